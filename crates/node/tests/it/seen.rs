//! What others have seen of a ledger: a log that does not contain it is not opened.

use tally_node::{Config, Node, OpenError};
use tally_protocol::TreeSize;
use tally_tlog::{Checkpoint, Hash, SignedCheckpoint};

use crate::author::{Author, origin, signer};

/// A ledger of five events in this directory, and its checkpoint after each.
async fn five_events(dir: &std::path::Path) -> Vec<Checkpoint> {
    let config = Config::new(dir.to_owned(), origin(), signer());
    let node = Node::open(config, |_| {}).expect("opens");
    let mut author = Author::new(1);
    let mut checkpoints = Vec::new();
    for n in 0..5 {
        let receipt = node.append(author.intent(&n.to_string())).await.expect("appended");
        let signed = SignedCheckpoint::parse(&receipt.checkpoint).expect("a note");
        checkpoints.push(signed.unverified().clone());
    }
    node.shut_down().await;
    checkpoints
}

fn open(dir: &std::path::Path, seen: Vec<Checkpoint>) -> Result<Node, OpenError> {
    Node::open(Config { seen, ..Config::new(dir.to_owned(), origin(), signer()) }, |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_holds_what_was_seen_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let seen = five_events(dir.path()).await;
    open(dir.path(), seen).expect("it holds all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let seen = five_events(dir.path()).await;
    let last = seen.last().expect("five").clone();
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = last.clone();
        change(&mut checkpoint);
        let seen = vec![seen[0].clone(), checkpoint];
        open(dir.path(), seen).map(|_| ()).expect_err("refused")
    };
    let ahead = with(&|seen| seen.size = TreeSize::new(6));
    assert!(
        matches!(ahead, OpenError::BehindSeen { seen, size }
            if (seen.as_u64(), size.as_u64()) == (6, 5)),
        "{ahead}"
    );
    let forked = with(&|seen| seen.root = Hash::new([1; 32]));
    assert!(matches!(forked, OpenError::OtherHistory { .. }), "{forked}");
    let foreign = with(&|seen| seen.origin = "else.example/ledger".parse().expect("an origin"));
    assert!(matches!(foreign, OpenError::SeenElsewhere { .. }), "{foreign}");
    open(dir.path(), Vec::new()).expect("nothing was changed");
}
