//! The pipeline: real files, several threads, everything answered.

use tally_coordination::Rule;
use tally_node::{AppendError, Config, Node};
use tally_protocol::{Position, SignedEnvelope, TreeSize};
use tally_tlog::{LogProof, SignedCheckpoint, verify_consistency};
use tally_verify::Verdict;
use tally_verify::evidence::Evidence;

use crate::author::{Author, origin, signer};

fn open(dir: &std::path::Path) -> Node {
    Node::open(Config::new(dir.to_owned(), origin(), signer()), |_| {}).expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_author_with_many_in_flight_keeps_its_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let mut author = Author::new(1);
    let mut waiting = Vec::new();
    for i in 0..3_000 {
        waiting.push(node.enqueue(author.intent(&i.to_string())).await.expect("taken in"));
    }
    for (i, appending) in waiting.into_iter().enumerate() {
        let receipt = appending.receipt().await.expect("appended");
        assert_eq!(receipt.event.position(), Position(i as u64));
        let checkpoint = SignedCheckpoint::parse(&receipt.checkpoint).expect("a note");
        let leaf = receipt.event.leaf();
        let index = receipt.event.position().leaf();
        let proof = LogProof::new(None, index, receipt.proof, checkpoint).expect("a proof");
        proof.verify(leaf, &[signer().verifier_key()], &origin()).expect("it holds");
    }
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_signature_among_many_is_refused_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let mut waiting = Vec::new();
    for seed in 0..100 {
        let parsed = Author::new(seed).signed("mine");
        let SignedEnvelope { payload, mut signature } = parsed.signed().clone();
        if seed == 41 {
            signature[3] ^= 1;
        }
        let parsed = SignedEnvelope { payload, signature }.parse().expect("it reads");
        waiting.push(node.enqueue(parsed).await.expect("taken in"));
    }
    for (seed, appending) in waiting.into_iter().enumerate() {
        match appending.receipt().await {
            Ok(_) => assert_ne!(seed, 41),
            Err(AppendError::BadSignature(_)) => assert_eq!(seed, 41),
            Err(error) => panic!("{seed}: {error}"),
        }
    }
    assert_eq!(node.snapshot().tip.size, TreeSize::new(99));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ledger_opens_where_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    let mut roots = Vec::new();
    for round in 0..3_u64 {
        let node = open(dir.path());
        assert_eq!(node.snapshot().tip.size.as_u64(), round * 10);
        for _ in 0..10 {
            node.append(author.intent("more")).await.expect("appended");
        }
        roots.push((node.snapshot().tip.size, node.snapshot().tip.root));
        if let [(old, old_root), .., (new, new_root)] = roots[..] {
            let proof = node.consistency(old, Some(new)).expect("a proof").proof;
            verify_consistency(old, new, old_root, new_root, &proof).expect("it holds");
        }
        node.shut_down().await;
        let refused = node.append(author.signed("too late")).await.expect_err("it has stopped");
        assert!(matches!(refused, AppendError::Stopped), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equivocation_names_the_first_and_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let mut author = Author::new(1);
    node.append(Author::new(2).signed("ahead of it")).await.expect("appended");
    node.append(author.intent("one")).await.expect("appended");
    // The rows follow at their own pace; an answer as of the head means that they have caught up.
    node.ask_graph(TreeSize::new(2), |_| ()).await.expect("followed");
    let refused = node.append(Author::new(1).signed("other")).await.expect_err("refused");
    let AppendError::Refused(refusal) = refused else { panic!("{refused}") };
    assert_eq!(refusal.rule, Rule::Equivocation);
    assert_eq!(refusal.position, Some(Position(1)));
    let kept = std::fs::read_to_string(dir.path().join("evidence.jsonl")).expect("a file");
    assert_eq!(kept.lines().count(), 1);
    let evidence = Evidence::parse(kept.trim_end().as_bytes()).expect("a document");
    let report = evidence.judge(&[]);
    assert_eq!(report.verdict, Verdict::Valid, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_does_not_go_on_with_a_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    node.append(Author::new(1).signed("one")).await.expect("appended");
    node.shut_down().await;
    let stranger = tally_tlog::NoteSigner::from_seed(origin().key_name(), &[1; 32]);
    let config = Config::new(dir.path().to_owned(), origin(), stranger);
    let Err(error) = Node::open(config, |_| {}) else { panic!("it opened") };
    assert!(error.to_string().contains("was not signed by"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_is_locked_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let config = Config::new(dir.path().to_owned(), origin(), signer());
    let Err(error) = Node::open(config, |_| {}) else { panic!("it opened") };
    assert!(error.to_string().contains("held by another process"), "{error}");
    assert_eq!(node.log().tip().size, TreeSize::ZERO);
}
