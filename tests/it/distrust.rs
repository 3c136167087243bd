//! A client believes nothing that it has not checked: every field of a log receipt, and who signs.

use bytes::Bytes;
use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::{AppendRequest, AppendResponse, LogReceipt as WireReceipt};
use tally_api::{BadReceipt, LogReceipt};
use tally_client::{Client, ConnectError, Receipt, Trust};
use tally_protocol::{ChainHash, Event, Origin, Position, SignedEnvelope, Time};
use tally_tests::program::{Server, tally};
use tally_tests::signer::{Signer, intent};
use tally_tlog::{Checkpoint, MemoryTree, NoteSigner, VerifierKey, inclusion_proof};

/// Events before the one that is proved, so that the proof has several hashes.
const EVENTS_BEFORE: usize = 6;

fn check(
    response: &AppendResponse,
    sent: &SignedEnvelope,
    key: &VerifierKey,
    origin: &Origin,
) -> Result<Receipt, BadReceipt> {
    LogReceipt::read(response.clone(), sent)
        .and_then(|receipt| Receipt::check(receipt, key, origin))
}

fn change(receipt: &AppendResponse, change: impl FnOnce(&mut WireReceipt)) -> AppendResponse {
    let mut changed = receipt.clone();
    change(changed.receipt.as_mut().expect("a receipt"));
    assert_ne!(&changed, receipt, "nothing was changed");
    changed
}

fn flipped(bytes: &Bytes, at: usize, mask: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= mask;
    bytes.into()
}

#[tokio::test]
async fn a_receipt_with_anything_changed_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let (key, origin) = (&server.log_key, &server.origin);
    let mut ledger = LedgerClient::connect(server.url.clone()).await.expect("a connection");
    let mut author = Signer::new(1, origin);
    let mut append = async |signed: &SignedEnvelope| {
        let request = AppendRequest { envelope: Some(signed.clone().into()) };
        ledger.append(request).await.expect("appended").into_inner()
    };
    for n in 0..EVENTS_BEFORE {
        append(&author.say(intent(&format!("wish {n}")))).await;
    }
    let signed = author.say(intent("the last wish"));
    let honest = append(&signed).await;
    let receipt = check(&honest, &signed, key, origin).expect("the honest receipt holds");
    assert_eq!(receipt.position(), Position(EVENTS_BEFORE as u64));
    assert!(!receipt.is_duplicate());

    let mut lies = Vec::new();
    for position in [0, 1, EVENTS_BEFORE as u64 - 1, EVENTS_BEFORE as u64 + 1, u64::MAX] {
        lies.push(change(&honest, |receipt| receipt.position = position));
    }
    for shift in [-1, 1, -1_000_000, i64::MIN / 2] {
        lies.push(change(&honest, |receipt| receipt.recorded_at_us += shift));
    }
    lies.push(change(&honest, |receipt| receipt.recorded_at_us = -1));
    let receipt = honest.receipt.clone().expect("a receipt");
    for at in 0..receipt.previous_chain.len() {
        let chain = flipped(&receipt.previous_chain, at, 1);
        lies.push(change(&honest, |receipt| receipt.previous_chain = chain));
    }
    for at in 0..receipt.signature.len() {
        let signature = flipped(&receipt.signature, at, 0x80);
        lies.push(change(&honest, |receipt| receipt.signature = signature));
    }
    assert_eq!(receipt.inclusion_proof.len(), 2, "7 leaves");
    for (n, hash) in receipt.inclusion_proof.iter().enumerate() {
        for at in 0..hash.len() {
            let hash = flipped(hash, at, 0x10);
            lies.push(change(&honest, |receipt| receipt.inclusion_proof[n] = hash));
        }
        lies.push(change(&honest, |receipt| drop(receipt.inclusion_proof.remove(n))));
        lies.push(change(&honest, |receipt| receipt.inclusion_proof.insert(n, hash.clone())));
        lies.push(change(&honest, |receipt| receipt.inclusion_proof[n] = hash.slice(1..)));
    }
    lies.push(change(&honest, |receipt| receipt.inclusion_proof.swap(0, 1)));
    for at in 0..receipt.checkpoint.len() {
        for mask in [1, 0x20] {
            let checkpoint = flipped(&receipt.checkpoint, at, mask);
            lies.push(change(&honest, |receipt| receipt.checkpoint = checkpoint));
        }
    }
    lies.push(change(&honest, |receipt| receipt.checkpoint = Bytes::new()));
    lies.push(change(&honest, |receipt| receipt.previous_chain = Bytes::new()));
    lies.push(change(&honest, |receipt| receipt.signature = Bytes::new()));
    lies.push(AppendResponse { receipt: None, duplicate: false });
    for (n, lie) in lies.iter().enumerate() {
        let answer = check(lie, &signed, key, origin);
        assert!(answer.is_err(), "lie {n} is believed: {lie:?}");
    }

    // The honest receipt, for somebody else's payload, key or ledger.
    let other = author.say(intent("another wish"));
    assert!(check(&honest, &other, key, origin).is_err());
    let stranger = NoteSigner::from_seed(origin.key_name(), &[1; 32]).verifier_key();
    assert!(check(&honest, &signed, &stranger, origin).is_err());
    let elsewhere = "example.org/elsewhere".parse().expect("an origin");
    assert!(check(&honest, &signed, key, &elsewhere).is_err());
}

/// The log may hold the author's payload with a signature that is none, and prove that honestly.
#[test]
fn a_receipt_for_a_signature_that_is_not_the_authors_is_refused() {
    let origin: Origin = "example.org/ledger".parse().expect("an origin");
    let signer = NoteSigner::from_seed(origin.key_name(), &[3; 32]);
    let signed = Signer::new(1, &origin).say(intent("a wish"));
    let receipt = |signature: [u8; 64]| {
        let recorded = SignedEnvelope { signature, ..signed.clone() };
        let (position, time) = (Position(0), Time(1));
        let event = Event::new(position, ChainHash::genesis(&origin), time, &recorded);
        let mut tree = MemoryTree::new();
        tree.append(event.leaf());
        let proof = inclusion_proof(&tree, position.leaf(), tree.size()).expect("a proof");
        assert!(proof.hashes().is_empty());
        let head = Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() };
        AppendResponse {
            receipt: Some(WireReceipt {
                position: 0,
                recorded_at_us: 1,
                previous_chain: event.previous_chain().0.to_vec().into(),
                signature: signature.to_vec().into(),
                inclusion_proof: Vec::new(),
                checkpoint: head.sign(&signer).to_bytes().into(),
            }),
            duplicate: false,
        }
    };
    let key = signer.verifier_key();
    let honest = receipt(signed.signature);
    check(&honest, &signed, &key, &origin).expect("the honest receipt holds");
    let mut other = signed.signature;
    other[3] ^= 1;
    let answer = check(&receipt(other), &signed, &key, &origin);
    assert!(matches!(answer, Err(BadReceipt::Signature)), "{answer:?}");
}

#[tokio::test]
async fn a_ledger_with_another_key_is_not_connected_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let other = NoteSigner::from_seed(server.origin.key_name(), &[1; 32]).verifier_key();
    let answer = Client::connect(&server.url, Trust::Key(other.clone())).await;
    assert!(matches!(answer, Err(ConnectError::OtherKey { .. })), "refused");
    let client = Client::connect(&server.url, Trust::FirstUse).await.expect("on first use");
    assert_eq!(client.log_key(), &server.log_key);
    assert_eq!(client.origin(), &server.origin);

    let other = other.to_string();
    let refused = tally(["log", "--json", "--url", &server.url, "--log-key", &other]).expect(1);
    let text = refused.json()["error"]["message"].to_string();
    assert!(text.contains(&other) && text.contains(&server.log_key.to_string()), "{text}");
    let listed =
        tally(["log", "--json", "--url", &server.url, "--log-key", &server.log_key.to_string()]);
    assert_eq!(listed.expect(0).stdout, "", "an empty ledger");
}
