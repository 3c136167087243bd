//! The provenance graph of a node goes on from its rows: after an end, after a kill, and when they
//! are not what was written; and says what a graph says that was folded in memory.

use std::fs;
use std::path::{Path, PathBuf};

use tally_node::history::fold_graph;
use tally_node::projections::GRAPH;
use tally_node::{Config, Node};
use tally_protocol::{Position, TreeSize};
use tally_provenance::GRAPH_VERSION;
use tally_store::{Rows, RowsId, RowsState};

use crate::author::{Author, origin, signer};

fn open(dir: &Path) -> Node {
    Node::open(Config::new(dir.to_owned(), origin(), signer()), |_| {}).expect("opens")
}

/// Appends intents, as many as make lists longer than a block.
async fn append(node: &Node, author: &mut Author) {
    for n in 0..70 {
        node.append(author.intent(&format!("number {n}"))).await.expect("appended");
    }
}

/// What the graph says, and what one folded in memory says, is the same.
async fn agrees(node: &Node) {
    let size = node.snapshot().tip.size;
    let folded = fold_graph(&**node.log()).expect("the log reads");
    let found = node.ask_graph(size, |graph| {
        assert_eq!(graph.next_position(), folded.next_position());
        for size in (0..=size.as_u64()).step_by(23).map(TreeSize::new) {
            let [found, expected] = [graph, &folded].map(|graph| {
                let view = graph.at(size).expect("folded");
                (view.node_count(), view.edge_count(), view.recorded_at(), view.workflow(None))
            });
            assert_eq!(found, expected, "as of {size:?}");
        }
        graph.edges()
    });
    assert_eq!(found.await.expect("an answer"), folded.edges());
}

/// Where the rows lie.
fn rows(dir: &Path) -> PathBuf {
    dir.join("projections").join(GRAPH).join(format!("v{GRAPH_VERSION}-0"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_an_end_and_after_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    for round in 0..3 {
        let node = open(dir.path());
        agrees(&node).await;
        append(&node, &mut author).await;
        agrees(&node).await;
        // As it would lie there if the process were killed now.
        let killed = dir.path().with_extension(format!("killed-{round}"));
        copy(dir.path(), &killed);
        node.shut_down().await;
        drop(node);
        assert!(rows(dir.path()).with_extension("seal").exists());
        // Not only what was worth keeping in between: the next start folds nothing.
        let size = TreeSize::new(70 * (round + 1));
        let id = RowsId { name: GRAPH.into(), version: GRAPH_VERSION, start: Position(0) };
        let (kept, state) = Rows::open(&rows(dir.path()), id, size).expect("rows");
        assert_eq!((kept.cursor(), state), (Position::at_tip(size), RowsState::Kept));
        kept.close();
        let node = open(&killed);
        agrees(&node).await;
        node.shut_down().await;
        drop(node);
        fs::remove_dir_all(&killed).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_damaged_or_ahead_of_the_log_are_folded_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(dir.path());
    let (mut author, mut other) = (Author::new(1), Author::new(2));
    append(&node, &mut author).await;
    agrees(&node).await;
    node.shut_down().await;
    drop(node);
    let seal = rows(dir.path()).with_extension("seal");
    let mut bytes = fs::read(&seal).expect("a seal");
    bytes[0] ^= 1;
    fs::write(&seal, bytes).expect("written");
    let node = open(dir.path());
    agrees(&node).await;
    append(&node, &mut author).await;
    agrees(&node).await;
    node.shut_down().await;
    drop(node);
    // The log of another ledger of the same origin, which is shorter.
    let shorter = tempfile::tempdir().expect("a directory");
    let node = open(shorter.path());
    append(&node, &mut other).await;
    node.shut_down().await;
    drop(node);
    let place = shorter.path().join("projections").join(GRAPH);
    fs::remove_dir_all(&place).expect("removed");
    copy(&dir.path().join("projections").join(GRAPH), &place);
    let node = open(shorter.path());
    agrees(&node).await;
    node.shut_down().await;
}
