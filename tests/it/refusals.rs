//! Bad input over gRPC: each is refused with its code, rule, field and object, in words that say
//! what to do, and the head stays where it was.

use bytes::Bytes;
use serde_json::{Value, json};
use tally_api::tonic_types::StatusExt;
use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::proofs_client::ProofsClient;
use tally_api::v1::query_client::QueryClient;
use tally_api::v1::{
    AppendRequest, GetAgentRequest, GetConsistencyProofRequest, GetEventRequest, GetHeadRequest,
    GetHeadResponse, GetLineageRequest, GetLogReceiptRequest, ListTasksRequest, ReadEventsRequest,
    Selector, SubscribeRequest, get_event_request, get_lineage_request, get_log_receipt_request,
};
use tally_api::{ERROR_DOMAIN, MAX_MESSAGE_BYTES};
use tally_protocol::limits::MAX_PAYLOAD_BYTES;
use tally_protocol::{EnvelopeId, SignedEnvelope};
use tally_tests::program::{Server, tally};
use tally_tests::signer::{
    Signer, cancel, capability, done, intent, message, offer, progress, start,
};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// What a refusal must say.
struct Expected<'e> {
    code: Code,
    rule: &'e str,
    field: &'e str,
    object: &'e str,
    /// In the text, beside rule and field.
    words: &'e [&'e str],
}

struct World {
    directory: TempDir,
    server: Server,
    ledger: LedgerClient<Channel>,
    proofs: ProofsClient<Channel>,
    query: QueryClient<Channel>,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(directory.path());
        let url = server.url.clone();
        let ledger = LedgerClient::connect(url.clone()).await.expect("a connection");
        let proofs = ProofsClient::connect(url.clone()).await.expect("a connection");
        let query = QueryClient::connect(url).await.expect("a connection");
        Self { directory, server, ledger, proofs, query }
    }

    fn signer(&self, number: u64) -> Signer {
        Signer::new(number, &self.server.origin)
    }

    async fn head(&mut self) -> GetHeadResponse {
        self.ledger.get_head(GetHeadRequest {}).await.expect("a head").into_inner()
    }

    /// Appends what must be admitted and gives its position.
    async fn admit(&mut self, signed: &SignedEnvelope) -> u64 {
        let answer = self.ledger.append(request(signed)).await.expect("admitted").into_inner();
        assert!(!answer.duplicate);
        answer.receipt.expect("a receipt").position
    }

    /// Appends what must be refused; the head must not move.
    #[track_caller]
    fn refuse<'w>(
        &'w mut self,
        signed: &SignedEnvelope,
        expected: Expected<'w>,
    ) -> impl Future<Output = Status> + 'w {
        let request = request(signed);
        async move {
            let before = self.head().await;
            let status = self.ledger.append(request).await.expect_err(expected.rule);
            let after = self.head().await;
            match expected.rule {
                // The ledger itself puts the evidence on record.
                "R13.equivocation" => assert_eq!(after.size, before.size + 1, "{status:?}"),
                _ => assert_eq!(after, before, "the head moved: {status:?}"),
            }
            check(&status, &expected);
            status
        }
    }
}

fn request(signed: &SignedEnvelope) -> AppendRequest {
    AppendRequest { envelope: Some(signed.clone().into()) }
}

fn check(status: &Status, expected: &Expected<'_>) {
    let text = status.message();
    assert_eq!(status.code(), expected.code, "{status:?}");
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no info: {status:?}"));
    assert_eq!(info.domain, ERROR_DOMAIN, "{text}");
    assert_eq!(info.reason, expected.rule, "{text}");
    let named = |name: &str| info.metadata.get(name).map_or("", String::as_str);
    assert_eq!(named("field"), expected.field, "{text}");
    assert_eq!(named("object"), expected.object, "{text}");
    for word in expected.words.iter().chain([&expected.field, &expected.object]) {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

fn malformed<'e>(field: &'e str, words: &'e [&'e str]) -> Expected<'e> {
    Expected { code: Code::InvalidArgument, rule: "R13.malformed", field, object: "", words }
}

/// A refusal by a rule; its text begins with the rule's code and ends with the remedy.
fn rule<'e>(
    code: Code,
    rule: &'e str,
    field: &'e str,
    object: &'e str,
    words: &'e [&'e str],
) -> Expected<'e> {
    Expected { code, rule, field, object, words }
}

#[tokio::test]
async fn what_is_no_envelope_is_refused() {
    let mut world = World::new().await;
    let mut author = world.signer(1);
    let signed = author.say(intent("a wish"));
    let with = |payload: &[u8]| SignedEnvelope {
        payload: Bytes::copy_from_slice(payload),
        signature: signed.signature,
    };
    world.refuse(&with(b"\xff\xfe garbage"), malformed("payload", &["protobuf"])).await;
    world.refuse(&with(b""), malformed("version", &["version 0"])).await;
    let canonical: &[&str] = &["canonical", "ascending", "sign those bytes"];
    let unknown = [&signed.payload[..], &[0x78, 1]].concat();
    world.refuse(&with(&unknown), malformed("payload", canonical)).await;
    let long_varint = [&[0x08, 0x81, 0x00], &signed.payload[2..]].concat();
    world.refuse(&with(&long_varint), malformed("payload", canonical)).await;
    let cut = &signed.payload[..signed.payload.len() - 1];
    world.refuse(&with(cut), malformed("payload", &["protobuf"])).await;

    let limit = MAX_PAYLOAD_BYTES.to_string();
    let too_large = vec![b'x'; MAX_PAYLOAD_BYTES + 1];
    let words = ["65419 bytes", "limit", &limit];
    world.refuse(&with(&too_large), malformed("payload", &words)).await;

    // A signature of the wrong length.
    let mut request = request(&signed);
    request.envelope.as_mut().expect("an envelope").signature = vec![0; 63].into();
    let status = world.ledger.append(request).await.expect_err("63 bytes");
    check(&status, &malformed("signature", &["64 bytes", "63"]));
    let status = world.ledger.append(AppendRequest { envelope: None }).await.expect_err("none");
    check(&status, &malformed("signature", &["64 bytes"]));

    // More than a gRPC message may have is refused before it is read.
    let before = world.head().await;
    let huge = with(&vec![b'x'; MAX_MESSAGE_BYTES + 1]);
    let status = world.ledger.append(self::request(&huge)).await.expect_err("too large");
    assert!([Code::OutOfRange, Code::ResourceExhausted].contains(&status.code()), "{status:?}");
    assert!(status.message().contains(&MAX_MESSAGE_BYTES.to_string()), "{status:?}");
    assert_eq!(world.head().await, before);

    // The ledger is none the worse for it.
    assert_eq!(world.admit(&signed).await, 0);
}

#[tokio::test]
async fn who_does_not_sign_for_it_is_refused() {
    use Code::{InvalidArgument, PermissionDenied};
    let mut world = World::new().await;
    let (mut author, mut stranger) = (world.signer(1), world.signer(2));
    let mut forged = author.try_out(intent("a wish"));
    forged.signature[60] ^= 1;
    let words = [&*author.agent().to_string(), "signature"];
    let expected = rule(PermissionDenied, "R13.signature", "signature", "", &words);
    world.refuse(&forged, expected).await;

    let foreign = Signer::new(1, &"example.org/other".parse().expect("an origin"));
    let foreign = foreign.try_out(intent("a wish"));
    let object = format!("envelope {}", foreign.id());
    let words = ["R13.origin", "example.org/other", "sign the envelope with the origin"];
    let expected = rule(InvalidArgument, "R13.origin", "origin", &object, &words);
    world.refuse(&foreign, expected).await;

    let wish = author.say(intent("a wish"));
    world.admit(&wish).await;
    let object = format!("intent {}", wish.id());
    let words = ["R3.author", "let the intent's author sign"];
    let expected = rule(PermissionDenied, "R3.author", "intent.cancel.intent", &object, &words);
    world.refuse(&stranger.try_out(cancel(wish.id())), expected).await;

    let offered = stranger.say(capability("sounding"));
    world.admit(&offered).await;
    let object = format!("capability {}", offered.id());
    let words = ["R4.owner", "cite a capability of your own"];
    let expected = rule(PermissionDenied, "R4.owner", "offer.capability", &object, &words);
    world.refuse(&author.try_out(offer(wish.id(), offered.id())), expected).await;
}

#[tokio::test]
async fn an_authors_chain_has_no_gap_and_no_fork() {
    let mut world = World::new().await;
    let mut author = world.signer(1);
    let agent = format!("agent {}", author.agent());
    let first = author.say(intent("the first wish"));
    world.admit(&world.signer(9).try_out(intent("somebody else's"))).await;
    assert_eq!(world.admit(&first).await, 1);

    // The same again: the first receipt, marked.
    let before = world.head().await;
    let again = world.ledger.append(request(&first)).await.expect("taken").into_inner();
    assert!(again.duplicate);
    assert_eq!(again.receipt.expect("a receipt").position, 1);
    assert_eq!(world.head().await, before);

    // Other bytes with the same sequence.
    let other = world.signer(1).try_out(intent("another first wish"));
    let words = ["R13.equivocation", "one envelope a sequence", "sequence 0"];
    let field = "author_sequence";
    let expected = rule(Code::AlreadyExists, "R13.equivocation", field, &agent, &words);
    let status = world.refuse(&other, expected).await;
    let info = status.get_details_error_info().expect("info");
    assert_eq!(info.metadata.get("position").map(String::as_str), Some("1"));
    let evidence = std::fs::read_to_string(world.directory.path().join("evidence.jsonl"));
    let evidence = evidence.expect("evidence");
    let lines: Vec<Value> =
        evidence.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [line] = &lines[..] else { panic!("one document a line: {lines:?}") };
    let claim = json!({
        "kind": "equivocation", "one": text_of(&first), "other": text_of(&other),
    });
    assert_eq!(line["claim"], claim);
    let path = world.directory.path().join("evidence.jsonl");
    let judged = tally(["verify", "--json", path.to_str().expect("UTF-8")]).expect(0).json();
    assert_eq!(judged["verdict"], "valid", "{judged}");
    assert_eq!(judged["against"], json!(author.agent()), "{judged}");
    let found = tally(["findings", "--json", "--url", &world.server.url]).expect(0).json();
    assert_eq!(found["findings"][0]["kind"], "equivocation", "{found}");
    assert_eq!(found["findings"][0]["agent"], json!(author.agent()), "{found}");
    assert_eq!(found["findings"][0]["position"], 2, "{found}");

    let gap = {
        let mut ahead = world.signer(1);
        ahead.skip(3);
        ahead.try_out(intent("much later"))
    };
    let words = ["R13.author-sequence", "sequence 1", "says 3", "next sequence"];
    let expected = rule(Code::FailedPrecondition, "R13.author-sequence", field, &agent, &words);
    world.refuse(&gap, expected).await;

    let mut detached = author.envelope(intent("the second wish"));
    detached.previous = Some(EnvelopeId([9; 32]));
    let words = ["R13.author-previous", &*first.id().to_string(), "last envelope"];
    let expected =
        rule(Code::FailedPrecondition, "R13.author-previous", "previous", &agent, &words);
    world.refuse(&author.sign(&detached), expected).await;
    world.admit(&author.say(intent("the second wish"))).await;
}

/// A signed envelope as it stands in evidence.
fn text_of(signed: &SignedEnvelope) -> Value {
    use base64::Engine;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({ "payload": base64(&signed.payload), "signature": base64(&signed.signature) })
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_refused() {
    use Code::{FailedPrecondition, PermissionDenied};
    let mut world = World::new().await;
    let (mut initiator, mut provider) = (world.signer(1), world.signer(2));
    let offered = provider.say(capability("sounding"));
    world.admit(&offered).await;
    let wish = initiator.say(intent("the depth of the basin"));
    world.admit(&wish).await;

    let nobody = EnvelopeId([6; 32]);
    let object = format!("envelope {nobody}");
    let words = ["R13.reference", "not in this ledger", "append what is referred to first"];
    let expected = rule(FailedPrecondition, "R13.reference", "offer.intent", &object, &words);
    world.refuse(&provider.try_out(offer(nobody, offered.id())), expected).await;
    let mut caused = provider.envelope(capability("tides"));
    caused.causes = vec![nobody];
    let expected = rule(FailedPrecondition, "R13.reference", "causes", &object, &words);
    world.refuse(&provider.sign(&caused), expected).await;

    let object = format!("envelope {}", offered.id());
    let words = ["R13.reference-kind", "is no intent"];
    let expected = rule(FailedPrecondition, "R13.reference-kind", "offer.intent", &object, &words);
    world.refuse(&provider.try_out(offer(offered.id(), offered.id())), expected).await;

    // A whole task, and then one report too many.
    let bid = provider.say(offer(wish.id(), offered.id()));
    let award = initiator.say(start(wish.id(), bid.id()));
    let task = award.id();
    world.admit(&bid).await;
    world.admit(&award).await;
    let object = format!("task {task}");
    let words = ["R7.executor", "let the task's executor sign"];
    let expected = rule(PermissionDenied, "R7.executor", "task_progress.task", &object, &words);
    world.refuse(&initiator.try_out(progress(task, "accepted", 0)), expected).await;
    let words = ["R18.transition", "running cannot follow", "in order"];
    let field = "task_progress.state";
    let expected = rule(FailedPrecondition, "R18.transition", field, &object, &words);
    world.refuse(&provider.try_out(progress(task, "running", 0)), expected).await;
    world.admit(&provider.say(progress(task, "accepted", 0))).await;
    world.admit(&provider.say(progress(task, "running", 40))).await;
    let words = ["R7.percent", "40 %", "39 %"];
    let field = "task_progress.percent";
    let expected = rule(FailedPrecondition, "R7.percent", field, &object, &words);
    world.refuse(&provider.try_out(progress(task, "running", 39)), expected).await;
    world.admit(&provider.say(done(task, "succeeded"))).await;
    let words = ["R18.terminal", "succeeded at position 6", "never reopens"];
    let field = "task_progress.task";
    let expected = rule(FailedPrecondition, "R18.terminal", field, &object, &words);
    world.refuse(&provider.try_out(progress(task, "running", 50)), expected).await;

    // An intent that is closed.
    let other = initiator.say(intent("another basin"));
    world.admit(&other).await;
    world.admit(&initiator.say(cancel(other.id()))).await;
    let object = format!("intent {}", other.id());
    let words = ["R12.intent-open", "is cancelled", "an intent that is open"];
    let expected = rule(FailedPrecondition, "R12.intent-open", "offer.intent", &object, &words);
    world.refuse(&provider.try_out(offer(other.id(), offered.id())), expected).await;

    // A time that has passed.
    let late = json!({ "outcome": "yesterday's tide", "deadline_us": 1 });
    let late = initiator.try_out(message(json!({ "intent": { "open": late } })));
    let object = format!("intent {}", late.id());
    let words = ["R20.future", "1 µs", "after the present"];
    let field = "intent.open.deadline_us";
    let expected = rule(FailedPrecondition, "R20.future", field, &object, &words);
    world.refuse(&late, expected).await;
}

#[tokio::test]
async fn questions_that_have_no_answer_say_why() {
    let mut world = World::new().await;
    world.admit(&world.signer(1).try_out(intent("a wish"))).await;
    let before = world.head().await;

    for position in [1, 2, u64::MAX] {
        let mut beyond = Vec::new();
        let event = Some(get_event_request::Event::Position(position));
        beyond.push(world.ledger.get_event(GetEventRequest { event }).await.map(drop));
        let event = Some(get_log_receipt_request::Event::Position(position));
        beyond.push(world.proofs.get_log_receipt(GetLogReceiptRequest { event }).await.map(drop));
        // The head itself is where a reader waits.
        if position > 1 {
            let read = ReadEventsRequest { from: position, to: 0 };
            beyond.push(world.ledger.read_events(read).await.map(drop));
            let follow = SubscribeRequest { from: position };
            beyond.push(world.ledger.subscribe(follow).await.map(drop));
            let sizes = GetConsistencyProofRequest { old_size: 1, new_size: position };
            beyond.push(world.proofs.get_consistency_proof(sizes).await.map(drop));
        }
        for answer in beyond {
            let status = answer.expect_err("beyond the head");
            let words = [&*position.to_string(), "1"];
            check(&status, &rule(Code::OutOfRange, "beyond-head", "", "", &words));
            let info = status.get_details_error_info().expect("info");
            assert_eq!(info.metadata.get("head").map(String::as_str), Some("1"), "{status:?}");
        }
    }

    let nobody = EnvelopeId([6; 32]);
    let absent = nobody.to_string();
    let expected = rule(Code::NotFound, "absent", "", &absent, &["not in this ledger"]);
    let event = Some(get_event_request::Event::EnvelopeId(nobody.0.to_vec()));
    check(&world.ledger.get_event(GetEventRequest { event }).await.expect_err("absent"), &expected);
    let event = Some(get_log_receipt_request::Event::EnvelopeId(nobody.0.to_vec()));
    let status = world.proofs.get_log_receipt(GetLogReceiptRequest { event }).await;
    check(&status.expect_err("absent"), &expected);

    let wrong = |field| rule(Code::InvalidArgument, "request", field, "", &[]);
    let event = Some(get_event_request::Event::EnvelopeId(vec![1; 31]));
    let status = world.ledger.get_event(GetEventRequest { event }).await.expect_err("31 bytes");
    check(&status, &wrong("envelope_id"));
    let status = world.ledger.get_event(GetEventRequest { event: None }).await.expect_err("none");
    check(&status, &wrong("event"));
    let request = GetAgentRequest { agent: vec![1; 5], at_least: None, as_of: None };
    check(&world.query.get_agent(request).await.expect_err("5 bytes"), &wrong("agent"));
    let selector = Some(Selector { id: vec![1], ..Selector::default() });
    let request = ListTasksRequest { selector, at_least: None, as_of: None };
    check(&world.query.list_tasks(request).await.expect_err("1 byte"), &wrong("selector"));

    for (old_size, new_size) in [(0, 1), (2, 1)] {
        let sizes = GetConsistencyProofRequest { old_size, new_size };
        let status = world.proofs.get_consistency_proof(sizes).await.expect_err("sizes");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let info = status.get_details_error_info().expect("info");
        assert_eq!(info.reason, "tree-sizes", "{status:?}");
        assert_eq!(info.metadata.get("field").map(String::as_str), Some("old_size"), "{status:?}");
        assert!(status.message().contains(&format!("size {old_size}")), "{status:?}");
    }

    let mut lineage = GetLineageRequest {
        start: Some(get_lineage_request::Start::DataUri("wf:none/nothing".into())),
        ..GetLineageRequest::default()
    };
    let status = world.query.get_lineage(lineage.clone()).await.expect_err("no direction");
    check(&status, &wrong("direction"));
    lineage.set_direction(get_lineage_request::Direction::Up);
    let status = world.query.get_lineage(lineage).await.expect_err("nothing there");
    check(&status, &rule(Code::NotFound, "absent", "", "", &["wf:none/nothing"]));
    assert_eq!(world.head().await, before);
}
