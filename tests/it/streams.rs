//! Appending and reading in bulk: order, receipts, proofs between any two trees, and what readers
//! see.

use std::collections::HashSet;

use tally_api::MAX_STREAM_ENVELOPES;
use tally_api::tonic_types::StatusExt;
use tally_api::v1::append_stream_response::Result as Item;
use tally_api::v1::append_stream_response::result::Outcome;
use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::proofs_client::ProofsClient;
use tally_api::v1::{AppendStreamRequest, GetConsistencyProofRequest};
use tally_client::{Client, Error, Rejection, Subscription};
use tally_protocol::{ChainHash, EnvelopeId, Event, Position, SignedEnvelope, TreeSize};
use tally_tests::program::Server;
use tally_tests::signer::{Signer, cancel, intent};
use tally_tlog::{ConsistencyProof, Hash, MemoryTree, VerifiedCheckpoint, verify_consistency};
use tonic::Code;

/// Envelopes of one stream.
const ENVELOPES: usize = 3_000;

/// Authors who share it.
const AUTHORS: u64 = 8;

/// One of so many is refused.
const REFUSED_EVERY: usize = 50;

/// Events that come while somebody follows.
const LIVE: usize = 100;

/// What one stream carries, and whether each is to be refused.
fn traffic(server: &Server) -> (Vec<Signer>, Vec<(SignedEnvelope, bool)>) {
    let mut authors: Vec<Signer> =
        (0..AUTHORS).map(|number| Signer::new(number, &server.origin)).collect();
    let count = authors.len();
    let envelopes = (0..ENVELOPES).map(|n| {
        let author = &mut authors[n % count];
        if n % REFUSED_EVERY == REFUSED_EVERY - 1 {
            let mut id = [4; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            (author.try_out(cancel(EnvelopeId(id))), true)
        } else {
            (author.say(intent(&format!("wish {n}"))), false)
        }
    });
    let envelopes = envelopes.collect();
    (authors, envelopes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_answers_in_order_and_readers_agree() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let client = server.client().await;
    let (authors, envelopes) = traffic(&server);
    let early = client.subscribe(Position(0)).await.expect("a subscription");

    let appended = append(&client, &envelopes).await;
    let live = append_live(&client, authors);
    let late = client.subscribe(Position(0)).await.expect("a subscription");
    let all = appended.len() + LIVE;
    let (said, early, late) = tokio::join!(live, take(early, all), take(late, all));

    assert_eq!(early, late, "two readers see two logs");
    let seen: Vec<EnvelopeId> = early.iter().map(|event| event.signed().id()).collect();
    assert_eq!(seen, [appended, said].concat());
    let mut chain = ChainHash::genesis(&server.origin);
    for (position, event) in early.iter().enumerate() {
        assert_eq!(event.position(), Position(position as u64));
        assert_eq!(event.previous_chain(), chain);
        chain = event.chain();
    }
    assert_eq!(client.head().await.expect("a head").chain, chain);
    check_ranges(&client, &early).await;
    check_receipts(&client, &early).await;
    check_consistency(&server, &early).await;
}

/// Appends the traffic over one stream; gives the ids that were admitted, in log order.
async fn append(client: &Client, envelopes: &[(SignedEnvelope, bool)]) -> Vec<EnvelopeId> {
    let signed = envelopes.iter().map(|(signed, _)| signed.clone()).collect();
    let answers = client.append_all(signed).await.expect("the stream holds");
    assert_eq!(answers.len(), ENVELOPES);
    let mut admitted = Vec::new();
    for ((signed, refused), answer) in envelopes.iter().zip(answers) {
        match answer {
            Ok(receipt) => {
                assert!(!refused, "{:?}", receipt.position());
                assert_eq!(receipt.event().signed(), *signed, "an answer to another one");
                assert_eq!(receipt.position(), Position(admitted.len() as u64));
                assert!(!receipt.is_duplicate());
                admitted.push(signed.id());
            }
            Err(Error::Rejected(rejection)) => {
                assert!(refused, "{rejection}");
                check_refusal(&rejection);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(admitted.len(), ENVELOPES - ENVELOPES / REFUSED_EVERY);
    // The same stream again changes nothing: every answer is the first receipt.
    let some = envelopes.iter().filter(|(_, refused)| !refused).take(REFUSED_EVERY);
    let again = client.append_all(some.map(|(signed, _)| signed.clone()).collect()).await;
    for (position, receipt) in again.expect("the stream holds").into_iter().enumerate() {
        let receipt = receipt.expect("taken before");
        assert!(receipt.is_duplicate());
        assert_eq!(receipt.position(), Position(position as u64));
    }
    admitted
}

fn check_refusal(rejection: &Rejection) {
    assert_eq!(rejection.code, Code::FailedPrecondition, "{rejection}");
    assert_eq!(rejection.rule, "R13.reference", "{rejection}");
    assert_eq!(rejection.field, "intent.cancel.intent", "{rejection}");
    assert!(rejection.object.starts_with("envelope "), "{rejection}");
    assert!(rejection.message.contains("append what is referred to first"), "{rejection}");
}

/// Two bytes an envelope are more than thirty times that in memory: their number is bounded, and who
/// sends too many is told so, behind the answers to what came before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_too_many_envelopes_is_refused_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let mut ledger = LedgerClient::connect(server.url.clone()).await.expect("a connection");
    let mut author = Signer::new(1, &server.origin);
    let empty = |count| AppendStreamRequest::from(vec![Default::default(); count]);
    let good = AppendStreamRequest::from(vec![author.say(intent("before")).into()]);
    let behind = AppendStreamRequest::from(vec![author.say(intent("behind")).into()]);
    for too_many in [MAX_STREAM_ENVELOPES + 1, 2_000_000] {
        let messages = [good.clone(), empty(MAX_STREAM_ENVELOPES), empty(too_many), behind.clone()];
        let answers = ledger.append_stream(tokio_stream::iter(messages)).await.expect("a stream");
        let mut answers = answers.into_inner();
        let mut results = Vec::new();
        let status = loop {
            match answers.message().await {
                Ok(answer) => results.extend(answer.expect("a status ends it").results),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("send them in several messages"), "{status}");
        assert!(status.message().contains(&too_many.to_string()), "{status}");
        let details = status.get_error_details();
        let info = details.error_info().expect("a reason");
        assert_eq!((&*info.reason, &*info.metadata["field"]), ("request", "envelopes"));
        let is_appended = |result: &Item| matches!(result.outcome, Some(Outcome::Appended(_)));
        assert_eq!(results.len(), 1 + MAX_STREAM_ENVELOPES, "what came before is answered");
        assert_eq!(results.iter().filter(|result| is_appended(result)).count(), 1);
    }
    assert_eq!(server.client().await.head().await.expect("a head").size, TreeSize::new(1));
}

/// Says more, one by one, while others follow.
async fn append_live(client: &Client, mut authors: Vec<Signer>) -> Vec<EnvelopeId> {
    let count = authors.len();
    let mut said = Vec::new();
    for n in 0..LIVE {
        let signed = authors[n % count].say(intent(&format!("late wish {n}")));
        client.append(&signed).await.expect("appended");
        said.push(signed.id());
    }
    said
}

async fn take(mut events: Subscription, count: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(events.next().await.expect("the chain holds").expect("it goes on"));
    }
    taken
}

async fn check_ranges(client: &Client, all: &[Event]) {
    let size = all.len();
    for (from, to) in [(0, size), (0, 1), (5, 5), (7, 9), (9, 7), (1_000, 2_500), (size - 1, size)]
    {
        let (first, end) = (Position(from as u64), Some(Position(to as u64)));
        let mut events = client.read(first, end).await.expect("a range");
        let mut found = Vec::new();
        while let Some(event) = events.next().await.expect("the chain holds") {
            found.push(event);
        }
        assert_eq!(found, all[from.min(to)..to], "{from} to {to}");
    }
    let mut open = client.read(Position(size as u64 - 3), None).await.expect("a range");
    for event in &all[size - 3..] {
        assert_eq!(open.next().await.expect("the chain holds").as_ref(), Some(event));
    }
    assert_eq!(open.next().await.expect("the end"), None);
}

/// Receipts at old positions are under the present head and hold.
async fn check_receipts(client: &Client, all: &[Event]) {
    let head = client.head().await.expect("a head").checkpoint.expect("a checkpoint");
    for position in [0, 1, 2, 1_023, 1_024, all.len() - 2, all.len() - 1] {
        let receipt = client.receipt_at(Position(position as u64)).await.expect("a receipt");
        assert_eq!(receipt.event(), &all[position]);
        assert_eq!(receipt.checkpoint().root(), head.root());
        let by_id = client.receipt_of(&all[position].signed().id()).await.expect("a receipt");
        assert_eq!(by_id.event(), &all[position]);
    }
}

/// Between any two sizes, against a tree that this test grows itself.
async fn check_consistency(server: &Server, all: &[Event]) {
    let mut tree = MemoryTree::new();
    for event in all {
        tree.append(event.leaf());
    }
    let mut proofs = ProofsClient::connect(server.url.clone()).await.expect("a connection");
    let size = all.len() as u64;
    let sizes = [1, 2, 3, 7, 8, 255, 1_024, 1_025, size - 1, size];
    let mut seen = HashSet::new();
    for old in sizes {
        for new in sizes.into_iter().filter(|new| *new >= old) {
            let request = GetConsistencyProofRequest { old_size: old, new_size: new };
            let answer = proofs.get_consistency_proof(request).await.expect("a proof").into_inner();
            assert_eq!(answer.new_size, new);
            let hash = |bytes: &Vec<u8>| Hash::new(bytes.as_slice().try_into().expect("a hash"));
            let hashes: Vec<Hash> = answer.proof.iter().map(hash).collect();
            let (old, new) = (TreeSize::new(old), TreeSize::new(new));
            let root = |size| tree.root_at(size).expect("a root");
            assert_eq!(hash(&answer.old_root), root(old));
            assert_eq!(hash(&answer.new_root), root(new));
            let check = |hashes: Vec<Hash>| {
                let proof = ConsistencyProof::new(hashes).expect("a short proof");
                verify_consistency(old, new, root(old), root(new), &proof)
            };
            check(hashes.clone()).unwrap_or_else(|error| panic!("{old} to {new}: {error}"));
            if let Some((_, rest)) = hashes.split_first() {
                check(rest.to_vec()).expect_err("a proof with a hash less");
            }
            seen.insert((old, new));
        }
    }
    assert_eq!(seen.len(), sizes.len() * (sizes.len() + 1) / 2);
}

/// A client that follows an older head sees that the newer one continues it.
#[tokio::test]
async fn heads_grow_and_continue_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let client = server.client().await;
    let empty = client.head().await.expect("a head");
    assert_eq!(empty.size, TreeSize::ZERO);
    assert!(empty.checkpoint.is_none());
    assert_eq!(empty.chain, ChainHash::genesis(&server.origin));
    let mut author = Signer::new(1, &server.origin);
    let mut heads: Vec<VerifiedCheckpoint> = Vec::new();
    for n in 0..20 {
        let receipt = client.append(&author.say(intent(&format!("wish {n}")))).await;
        let receipt = receipt.expect("appended");
        let head = client.head().await.expect("a head").checkpoint.expect("a checkpoint");
        assert_eq!(head.size().as_u64(), n + 1);
        assert_eq!(head.root(), receipt.checkpoint().root());
        heads.push(head);
    }
    let mut proofs = ProofsClient::connect(server.url.clone()).await.expect("a connection");
    for pair in heads.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        let (old_size, new_size) = (old.size().as_u64(), new.size().as_u64());
        let request = GetConsistencyProofRequest { old_size, new_size };
        let answer = proofs.get_consistency_proof(request).await.expect("a proof").into_inner();
        let hash = |bytes: &Vec<u8>| Hash::new(bytes.as_slice().try_into().expect("a hash"));
        let proof = ConsistencyProof::new(answer.proof.iter().map(hash).collect()).expect("short");
        verify_consistency(old.size(), new.size(), old.root(), new.root(), &proof)
            .expect("the newer head continues the older one");
    }
}
