//! Exports to other ecosystems: golden lines of a fixed story, which programs that are not ours are
//! shown in CI (`tools/interop`), what they say, and what is refused.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tally_interop::{
    CoseKey, CoseReceipt, CoseReceiptError, DsseEnvelope, IN_TOTO_PAYLOAD_TYPE, IssueError,
    STATEMENT_TYPE, TASK_RECEIPT_TYPE,
};
use tally_protocol::{AgentKey, Digest, Event, SignedEnvelope};
use tally_tests::operator::Operator;
use tally_tests::program::{Answer, Server, tally, workspace};
use tally_tests::scribe::Scribe;
use tally_tests::signer::Signer;
use tally_tests::story::{CHART, Story, capability, data, origin};
use tally_tests::torsion::signed_with_torsion;
use tally_tlog::{LogProof, NoteSigner, SignedCheckpoint, TreeSize};

/// The key of who exports statements.
const EXPORTER: [u8; 32] = [0xe4; 32];

/// The key of COSE receipts.
const COSE: [u8; 32] = [0xc0; 32];

/// The log key of [`Operator`].
const LOG: [u8; 32] = [3; 32];

/// A data directory with a log, its tree, and the keys of who exports.
pub(crate) struct Ledger {
    directory: tempfile::TempDir,
}

impl Ledger {
    /// A log of what was said, its tree made by a server that starts on it.
    pub(crate) fn of(said: &[SignedEnvelope]) -> Self {
        let ledger = Self { directory: tempfile::tempdir().expect("a directory") };
        let mut operator = Operator::begin(&ledger.data(), &origin());
        for signed in said {
            operator.record(signed);
        }
        operator.commit();
        // It holds the lock.
        drop(operator);
        let log_key = NoteSigner::from_seed(origin().key_name(), &LOG).to_secret_text();
        ledger.write("data/log.key", log_key.as_bytes());
        ledger.write("me.pem", AgentKey::from_seed(&EXPORTER).to_pem().as_bytes());
        ledger.write("cose.key", &CoseKey::from_seed(&COSE).to_bytes());
        Server::start(&ledger.data()).kill();
        ledger
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    /// `tally export WHAT --data … MORE`, with the keys that it asks for.
    pub(crate) fn export(&self, what: &str, more: &[&str]) -> Answer {
        let (data, pem, cose) = (self.data(), self.path("me.pem"), self.path("cose.key"));
        let mut args = vec!["export", what, "--data", text(&data)];
        match what {
            "in-toto" => args.extend(["--key", text(&pem)]),
            "cose" if !more.contains(&"--key") => args.extend(["--key", text(&cose)]),
            _ => {}
        }
        tally(args.into_iter().chain(more.iter().copied()))
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a text")).expect("base64")
}

fn event(line: &Value) -> Event {
    Event::decode(bytes(&line["event"]).into()).expect("an event")
}

/// The signed envelope of a line, and the statement in it.
fn statement(line: &str) -> (DsseEnvelope, Value) {
    let envelope = DsseEnvelope::parse(line.as_bytes()).expect("DSSE");
    assert_eq!(envelope.payload_type(), IN_TOTO_PAYLOAD_TYPE);
    assert!(envelope.verifies());
    let statement = serde_json::from_slice(envelope.payload()).expect("a statement");
    (envelope, statement)
}

fn statements(answer: &Answer) -> Vec<Value> {
    answer.stdout.lines().map(|line| statement(line).1).collect()
}

// ------------------------------------------------------------------ golden lines

/// Holds what was written to what is kept; `TALLY_MAKE_INTEROP` keeps it.
pub(crate) fn check_golden(name: &str, found: &str) {
    let path = workspace().join("tests/fixtures/interop").join(name);
    if std::env::var_os("TALLY_MAKE_INTEROP").is_some() {
        std::fs::write(&path, found).expect("the fixture is written");
    }
    let kept = std::fs::read_to_string(&path).expect("the fixture");
    for (number, (found, kept)) in found.lines().zip(kept.lines()).enumerate() {
        assert_eq!(found, kept, "{name}, line {number}");
    }
    assert_eq!(found.lines().count(), kept.lines().count(), "{name}");
}

#[test]
fn a_story_has_the_same_lines_as_ever() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    let dsse = ledger.export("dsse", &[]).expect(0);
    check_golden("dsse.jsonl", &dsse.stdout);
    for (line, said) in dsse.stdout.lines().zip(&story.said) {
        let envelope = DsseEnvelope::parse(line.as_bytes()).expect("DSSE");
        assert_eq!(envelope.signed_envelope().as_ref(), Some(said));
        assert!(envelope.verifies());
    }
    check_golden("in-toto.jsonl", &ledger.export("in-toto", &[]).expect(0).stdout);
    let last = (story.said.len() - 1).to_string();
    let cose = ["0", &last].map(|position| ledger.export("cose", &[position]).expect(0).stdout);
    check_golden("cose.jsonl", &cose.concat());
    check_golden("cose.pub", &CoseKey::from_seed(&COSE).public_key().to_pem());
}

#[test]
fn statements_say_what_the_log_says_and_prove_it() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    let answer = ledger.export("in-toto", &[]).expect(0);
    let found: Vec<_> = answer.stdout.lines().map(statement).collect();
    assert_eq!(found.len(), 3, "a receipt for each attempt");
    let exporter = AgentKey::from_seed(&EXPORTER).agent();
    assert!(found.iter().all(|(envelope, _)| envelope.signer() == exporter));
    let log_key = NoteSigner::from_seed(origin().key_name(), &LOG).verifier_key();
    for (_, statement) in &found {
        assert_eq!(statement["_type"], STATEMENT_TYPE);
        assert_eq!(statement["predicateType"], TASK_RECEIPT_TYPE);
        // The author's envelope is the one of the event that the log receipt proves.
        let said = &statement["predicate"];
        let author = DsseEnvelope::parse(said["envelope"].to_string().as_bytes()).expect("DSSE");
        assert!(author.verifies() && said["strictSignature"] == true);
        let receipt = said["logReceipt"].as_str().expect("a log receipt");
        let receipt = LogProof::parse(receipt.as_bytes()).expect("a log receipt");
        let event = receipt.unauthenticated_extra().expect("the event").to_vec();
        let event = Event::decode(event.into()).expect("an event");
        receipt
            .verify(event.leaf(), std::slice::from_ref(&log_key), &origin())
            .expect("the log vouches for it");
        assert_eq!(author.signed_envelope(), Some(event.signed()));
    }
    let (failed, charted) = (&found[0].1, &found[2].1);
    let said = &charted["predicate"];
    assert_eq!(
        charted["subject"],
        json!([{ "name": CHART, "digest": { "blake3": Digest::of(CHART.as_bytes()) } }])
    );
    assert_eq!(
        (&said["task"], &said["intent"]["id"], &said["intent"]["outcome"], &said["attempt"]),
        (&json!(story.id("draw")), &json!(story.id("charting")), &json!("a chart"), &json!(1))
    );
    assert_eq!(said["executor"], json!(story.agent("petrel")));
    assert_eq!(said["initiator"], json!(story.agent("deputy")));
    assert_eq!((&said["outcome"], &said["conclusive"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(said["ledger"], origin().as_str());
    assert_eq!(said["inputs"][0]["name"], "file:depths.csv");
    assert!(said["recordedOn"].as_str().expect("a time").ends_with('Z'));
    // Without an output, the receipt is about itself.
    assert_eq!(failed["predicate"]["outcome"], "failed");
    assert_eq!(failed["predicate"]["reason"], "fog");
    let author = bytes(&failed["predicate"]["envelope"]["payload"]);
    let digest = &failed["subject"][0]["digest"];
    assert_eq!(digest["blake3"], Digest::of(&author).to_string());
    assert_eq!(digest["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn one_task_is_found_by_its_id_and_all_attempts_by_their_label() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    let tasks = |wanted: &str| {
        let answer = ledger.export("in-toto", &[wanted]).expect(0);
        let task = |statement: &Value| statement["predicate"]["task"].clone();
        statements(&answer).iter().map(task).collect::<Vec<_>>()
    };
    let (first, again) = (json!(story.id("try")), json!(story.id("again")));
    assert_eq!(tasks("depth"), [first, again.clone()]);
    assert_eq!(tasks(&story.id("again").to_string()), [again]);
    let answer = ledger.export("in-toto", &["breadth"]).expect(1);
    assert!(answer.stderr.contains("no task with a receipt has"), "{}", answer.stderr);
}

// ------------------------------------------------------------------ what tasks name

/// A task with data of all sorts, that ends twice.
fn laden(privacy: &str) -> Story {
    let mut story = Story::empty();
    story.say("petrel", "skill", capability("sounding"));
    let terms = json!({ "outcome": "the depth", "privacy": privacy, "inputs": [data("file:in")] });
    story.say("buyer", "wish", json!({ "intent": { "open": terms } }));
    story.say("petrel", "bid", story.offer("wish", "skill", 9, None));
    story.say("buyer", "draw", story.start("wish", "bid", json!({ "attempt": 1 })));
    story.say("petrel", "accepted", story.progress("draw", "accepted", 0));
    let mut report = story.progress("draw", "running", 10);
    report["task_progress"]["outputs"] = json!([data("file:part")]);
    report["task_progress"]["inputs"] = json!([data("file:more"), data("file:in")]);
    story.say("petrel", "report", report);
    let note = json!({ "uri": "file:note", "digest": Digest::of(b"hello"), "inline": "hello",
        "media_type": "text/plain" });
    let end = json!({ "outcome": "succeeded", "outputs": [data("file:part"), note],
        "started_at_us": 1_795_000_000_000_000_u64, "ended_at_us": i64::MAX });
    story.say("petrel", "done", story.done("draw", end));
    story.say("petrel", "late", story.done("draw", json!({ "outcome": "failed" })));
    story
}

fn digest_names(resources: &Value) -> Vec<(String, Vec<String>)> {
    let of = |resource: &Value| {
        let digests = resource["digest"].as_object().expect("digests");
        (resource["name"].as_str().expect("a name").to_owned(), digests.keys().cloned().collect())
    };
    resources.as_array().expect("resources").iter().map(of).collect()
}

fn named(names: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    names.iter().map(|&(name, digests)| (name.to_owned(), own(digests))).collect()
}

#[test]
fn all_data_of_a_task_is_named_once_and_the_first_outcome_counts() {
    let ledger = Ledger::of(&laden("public").said);
    let found = statements(&ledger.export("in-toto", &[]).expect(0));
    let [first, late] = &found[..] else { panic!("{found:?}") };
    let blake3: &[&str] = &["blake3"];
    assert_eq!(
        digest_names(&first["subject"]),
        named(&[("file:part", blake3), ("file:note", &["blake3", "sha256"])])
    );
    // SHA-256 of "hello".
    let known = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(first["subject"][1]["digest"]["sha256"], known);
    assert_eq!(first["subject"][1]["mediaType"], "text/plain");
    let said = &first["predicate"];
    let inputs = named(&[("file:in", blake3), ("file:more", blake3)]);
    assert_eq!(digest_names(&said["inputs"]), inputs);
    assert_eq!(said["startedOn"], "2026-11-18T11:06:40Z");
    assert!(said.get("endedOn").is_none(), "RFC 3339 has no such year");
    assert_eq!((&said["outcome"], &said["conclusive"]), (&json!("succeeded"), &json!(true)));
    let said = &late["predicate"];
    assert_eq!((&said["outcome"], &said["conclusive"]), (&json!("failed"), &json!(false)));
}

#[test]
fn a_digest_that_may_be_salted_is_not_called_blake3() {
    let ledger = Ledger::of(&laden("parties").said);
    let found = statements(&ledger.export("in-toto", &[]).expect(0));
    assert_eq!(
        digest_names(&found[0]["subject"]),
        named(&[("file:part", &["blake3_salted"]), ("file:note", &["blake3", "sha256"])])
    );
}

// ------------------------------------------------------------------ where it comes from and goes

#[test]
fn a_server_and_a_directory_export_the_same_lines() {
    let ledger = Ledger::of(&Story::new().said);
    let server = Server::start(&ledger.data());
    let (key, pem) = (server.log_key.to_string(), ledger.path("me.pem"));
    for what in ["dsse", "in-toto"] {
        for more in [None, Some(if what == "dsse" { "3" } else { "chart" })] {
            let more: Vec<&str> = more.into_iter().collect();
            let mut args = vec!["export", what, "--url", &server.url, "--log-key", &key];
            if what == "in-toto" {
                args.extend(["--key", text(&pem)]);
            }
            let served = tally(args.into_iter().chain(more.iter().copied())).expect(0);
            assert_eq!(served.stdout, ledger.export(what, &more).expect(0).stdout, "{what}");
        }
    }
}

#[test]
fn a_file_has_all_lines_or_is_not_there() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    for (what, lines) in [("dsse", story.said.len()), ("cose", story.said.len()), ("in-toto", 3)] {
        let out = ledger.path(&format!("{what}.jsonl"));
        let answer = ledger.export(what, &["-o", text(&out), "--json"]).expect(0).json();
        assert_eq!(answer["lines"], lines);
        assert_eq!(answer["left_out"], json!([]));
        let written = std::fs::read_to_string(&out).expect("the file");
        assert_eq!(written, ledger.export(what, &[]).expect(0).stdout);
    }
    let id = story.id("draw").to_string();
    let one = ledger.export("dsse", &[&id]).expect(0).stdout;
    let position = story.position("draw").to_string();
    assert_eq!(one, ledger.export("dsse", &[&position]).expect(0).stdout);
    let nowhere = ledger.path("nowhere.jsonl");
    ledger.export("dsse", &["1000", "-o", text(&nowhere)]).expect(1);
    assert!(!nowhere.exists());
}

// ------------------------------------------------------------------ signatures that are refused elsewhere

#[test]
fn a_signature_that_other_tools_refuse_is_told_apart() {
    let mut story = Story::new();
    let at = story.said.len() - 1;
    // "petrel", who signs the last receipt, is the second of the story.
    story.said[at] = signed_with_torsion(&Signer::seed(1), &story.said[at]);
    let ledger = Ledger::of(&story.said);
    let all = ledger.export("dsse", &[]).expect(0);
    assert_eq!(all.stdout.lines().count(), at);
    assert!(all.stderr.contains("RFC 8032"), "{}", all.stderr);
    let out = ledger.path("dsse.jsonl");
    let answer = ledger.export("dsse", &["-o", text(&out), "--json"]).expect(0).json();
    assert_eq!((&answer["lines"], &answer["left_out"]), (&json!(at), &json!([at])));
    let one = ledger.export("dsse", &[&at.to_string()]).expect(1);
    assert!(one.stdout.is_empty() && one.stderr.contains("ZIP 215"), "{one:?}");
    // A statement is signed by its exporter, and says so.
    let found = statements(&ledger.export("in-toto", &[]).expect(0));
    let strict: Vec<_> = found.iter().map(|found| &found["predicate"]["strictSignature"]).collect();
    assert_eq!(strict, [true, true, false]);
}

// ------------------------------------------------------------------ COSE receipts

#[test]
fn receipts_of_every_tree_prove_their_events_and_no_others() {
    let story = Story::new();
    let key = CoseKey::from_seed(&COSE);
    let other = CoseKey::from_seed(&[1; 32]).public_key();
    let log_key = NoteSigner::from_seed(origin().key_name(), &LOG).verifier_key();
    for size in 1..=story.said.len() {
        let scribe = Scribe::of(&origin(), &story.said[..size]);
        let head = scribe.checkpoint();
        let head = head.open(std::slice::from_ref(&log_key), &origin()).expect("signed");
        for (index, event) in scribe.events().iter().enumerate() {
            let leaf = event.position().leaf();
            let proof = scribe.receipt(index as u64).inclusion_proof().clone();
            let issued = CoseReceipt::issue(event, &proof, &head, &key);
            if size == 1 {
                assert_eq!(issued, Err(IssueError::TreeOfOne));
                continue;
            }
            let bytes = issued.expect("it is in the tree").to_bytes();
            let receipt = CoseReceipt::parse(&bytes).expect("its own bytes");
            assert_eq!((receipt.size(), receipt.index()), (TreeSize::new(size as u64), leaf));
            assert_eq!(receipt.origin(), &origin());
            assert_eq!(receipt.envelope(), event.signed().id());
            assert_eq!(receipt.verify(event, &key.public_key()), Ok(head.root()));
            assert!(receipt.verify(event, &other).is_err());
            let next = &scribe.events()[(index + 1) % size];
            assert!(receipt.verify(next, &key.public_key()).is_err());
            let issued = CoseReceipt::issue(next, &proof, &head, &key);
            assert!(matches!(issued, Err(IssueError::Inclusion(_))), "nothing unproved is signed");
        }
    }
}

#[test]
fn a_receipt_with_a_bit_changed_is_refused_or_names_another_size() {
    let scribe = Scribe::of(&origin(), &Story::new().said);
    let log_key = NoteSigner::from_seed(origin().key_name(), &LOG).verifier_key();
    let head = scribe.checkpoint().open(&[log_key], &origin()).expect("signed");
    let (event, key) = (&scribe.events()[5], CoseKey::from_seed(&COSE));
    let proof = scribe.receipt(5).inclusion_proof().clone();
    let receipt = CoseReceipt::issue(event, &proof, &head, &key).expect("in the tree");
    let bytes = receipt.to_bytes();
    let holds = |bytes: &[u8]| {
        CoseReceipt::parse(bytes).is_ok_and(|read| read.verify(event, &key.public_key()).is_ok())
    };
    assert!(holds(&bytes));
    let mut sizes = 0;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if holds(&changed) {
            // The one thing that RFC 9942 leaves unsigned, where the path has the same shape.
            let read = CoseReceipt::parse(&changed).expect("it holds");
            assert_ne!(read.size(), receipt.size(), "bit {bit}");
            assert_eq!(read.verify(event, &key.public_key()), Ok(head.root()));
            sizes += 1;
        }
    }
    assert!(sizes <= 8, "{sizes} bits of the size");
    for end in 0..bytes.len() {
        assert!(!holds(&bytes[..end]));
    }
    assert!(!holds(&[&bytes[..], &[0]].concat()), "nothing may follow");
    // The same with the payload attached, which nothing would tie to the event.
    let root = [&[0x58, 0x20][..], head.root().as_bytes()].concat();
    let nil = bytes.len() - 64 - 2 - 1;
    assert_eq!(bytes[nil], 0xf6, "nil, and a signature behind it");
    let attached = [&bytes[..nil], &root, &bytes[nil + 1..]].concat();
    assert_eq!(CoseReceipt::parse(&attached), Err(CoseReceiptError::Attached));
    let empty = [0xd2, 0x84, 0x40, 0xa0, 0xf6, 0x40];
    assert!(CoseReceipt::parse(&empty).is_err());
    let large = vec![0; tally_interop::MAX_COSE_RECEIPT_BYTES + 1];
    assert!(matches!(CoseReceipt::parse(&large), Err(CoseReceiptError::TooLarge { .. })));
}

#[test]
fn exported_receipts_are_under_the_signed_root() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    let lines = ledger.export("cose", &[]).expect(0).json_lines();
    assert_eq!(lines.len(), story.said.len());
    let data = ledger.data();
    let head = tally(["checkpoint", "--data", text(&data)]).expect(0).stdout;
    let head = SignedCheckpoint::parse(head.as_bytes()).expect("a checkpoint");
    let key = CoseKey::from_seed(&COSE).public_key();
    for line in &lines {
        let receipt = CoseReceipt::parse(&bytes(&line["receipt"])).expect("a receipt");
        assert_eq!(receipt.verify(&event(line), &key), Ok(head.unverified().root));
        assert_eq!(line["id"], event(line).signed().id().to_string());
        assert_eq!(line["tree_size"], story.said.len());
    }
}

#[test]
fn nothing_is_signed_that_the_log_s_key_has_not_signed() {
    let story = Story::new();
    let ledger = Ledger::of(&story.said);
    let stranger = NoteSigner::from_seed(origin().key_name(), &[9; 32]).verifier_key().to_string();
    let answer = ledger.export("cose", &["--log-key", &stranger]).expect(1);
    assert!(answer.stderr.contains("signatures do not verify"), "{}", answer.stderr);
    let answer = ledger.export("in-toto", &["--log-key", &stranger]).expect(1);
    assert!(answer.stdout.is_empty(), "{}", answer.stdout);
    std::fs::remove_file(ledger.data().join("log.pub")).expect("the key is there");
    let answer = ledger.export("cose", &[]).expect(2);
    assert!(answer.stderr.contains("pass --log-key"), "{}", answer.stderr);
}

#[test]
fn a_tree_that_is_not_the_signed_one_is_refused() {
    let ledger = Ledger::of(&Story::new().said);
    let tree = ledger.data().join("tree");
    let mut changed = 0;
    for entry in std::fs::read_dir(tree).expect("the tree") {
        let path = entry.expect("an entry").path();
        let mut nodes = std::fs::read(&path).expect("a file");
        if let Some(byte) = nodes.last_mut() {
            *byte ^= 1;
            changed += 1;
        }
        std::fs::write(&path, nodes).expect("a file");
    }
    assert!(changed > 0);
    let answer = ledger.export("cose", &[]).expect(3);
    assert!(answer.stdout.is_empty() && answer.stderr.contains("tally fsck"), "{answer:?}");
    ledger.export("in-toto", &[]).expect(3);
}

#[test]
fn one_event_has_no_cose_receipt_and_two_have() {
    let story = Story::new();
    let out = |ledger: &Ledger| ledger.path("cose.jsonl");
    let one = Ledger::of(&story.said[..1]);
    let answer = one.export("cose", &["-o", text(&out(&one))]).expect(1);
    assert!(answer.stderr.contains("append another event"), "{}", answer.stderr);
    assert!(!out(&one).exists());
    let two = Ledger::of(&story.said[..2]);
    two.export("cose", &["-o", text(&out(&two))]).expect(0);
}

// ------------------------------------------------------------------ keys

#[test]
fn a_cose_key_is_made_once_and_signs_nothing_else() {
    let ledger = Ledger::of(&Story::new().said);
    let path = ledger.path("receipts.key");
    let made = tally(["keygen", "--cose", text(&path), "--json"]).expect(0).json();
    let key = CoseKey::parse(&std::fs::read(&path).expect("the key")).expect("a key");
    assert_eq!(made["cose_key"], key.public_key().to_string());
    let public = std::fs::read_to_string(ledger.path("receipts.pub")).expect("the public half");
    assert_eq!(public, key.public_key().to_pem());
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("it").permissions());
    assert_eq!(mode & 0o777, 0o600);
    tally(["keygen", "--cose", text(&path)]).expect(2);
    tally(["keygen", "--cose", text(&ledger.path("other.pub"))]).expect(2);

    // Without a key, one is made in the data directory, and is the same the next time.
    let data = ledger.data();
    let export = || tally(["export", "cose", "--data", text(&data), "0"]).expect(0).stdout;
    assert_eq!(export(), export());
    assert!(data.join("cose.key").is_file() && data.join("cose.pub").is_file());

    let refused = |name: &str, bytes: &[u8], words: &str| {
        ledger.write(name, bytes);
        let answer = ledger.export("cose", &["--key", text(&ledger.path(name))]).expect(2);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    };
    let log = CoseKey::from_seed(&LOG).to_bytes();
    refused("log-as-cose", &log, "signs the ledger's checkpoints");
    let pem = AgentKey::from_seed(&EXPORTER).to_pem();
    refused("pem", pem.as_bytes(), "no Ed25519 private key as a COSE_Key");
    // {1: 1, 3: -8, -1: 6, -2: public}: the private member cut off, and one member fewer.
    let key = CoseKey::from_seed(&COSE).to_bytes();
    let mut public = key[..key.len() - 35].to_vec();
    public[0] -= 1;
    refused("public", &public, "no private half");
    // The halves of two keys.
    let mut halves = key;
    *halves.last_mut().expect("a byte") ^= 1;
    refused("halves", &halves, "no Ed25519 private key");
}
