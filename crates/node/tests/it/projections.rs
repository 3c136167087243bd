//! Projections of a node: built beside while it goes on, in quarantine and out of it, and whatever
//! became of their rows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tally_node::index::{self, INDEX};
use tally_node::projections::{Build, BuildEnd, GRAPH, ManageError, View};
use tally_node::{Config, Node, Recipe, Serving};
use tally_projection::{Draft, Entry, Fold, Partition, Poison, Stage};
use tally_protocol::message::Intent;
use tally_protocol::{AgentId, AuthorSequence, Message, Position, TreeSize};
use tally_store::Rows;

use crate::author::{Author, origin, signer};

/// Counts intents by the first letter of what they are for; cannot take what begins with `bad`,
/// unless it is mended.
#[derive(Clone)]
struct Letters {
    version: u32,
    mended: bool,
}

impl Fold for Letters {
    fn name(&self) -> &str {
        "letters"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(outcome(entry).get(..1)?.as_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        let outcome = outcome(entry);
        let letter = outcome.get(..1).ok_or_else(|| Poison::new("for nothing"))?;
        rows.update(letter, |count: &mut u64| *count += u64::from(self.version))?;
        if outcome.starts_with("bad") && !self.mended {
            return Err(Poison::new(format!("{outcome} is bad")));
        }
        Ok(())
    }
}

fn outcome(entry: &Entry) -> &str {
    match &entry.envelope().message {
        Message::Intent(Intent::Open(terms)) => terms.outcome.as_str(),
        other => panic!("{other:?}"),
    }
}

const AS_IT_WAS: Letters = Letters { version: 1, mended: false };
const MENDED: Letters = Letters { version: 1, mended: true };
const NEXT: Letters = Letters { version: 2, mended: true };

fn open(dir: &Path, fold: Letters) -> (Node, Serving<Rows>) {
    let (recipe, serving) = Recipe::stored(fold);
    let config = Config::new(dir.to_owned(), origin(), signer());
    let node = Node::open(Config { projections: vec![recipe], ..config }, |_| {});
    (node.expect("opens"), serving)
}

async fn append(node: &Node, author: &mut Author, outcomes: &[&str]) {
    for outcome in outcomes {
        node.append(author.intent(outcome)).await.expect("appended");
    }
}

async fn count(node: &Node, serving: &Serving<Rows>, letter: &str) -> Option<u64> {
    let rows = serving.at_least(node.snapshot().tip.size).await.expect("it follows");
    rows.value(letter.as_bytes()).expect("a row")
}

fn view(node: &Node, name: &str) -> View {
    let found = node.projections().list().into_iter().find(|view| view.name == name);
    found.expect("it is there")
}

/// Waits for what must come.
async fn until(node: &Node, name: &str, what: impl Fn(&View) -> bool) -> View {
    for _ in 0..2_000 {
        let view = view(node, name);
        if what(&view) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came: {:?}", view(node, name));
}

fn is_switched(view: &View) -> bool {
    matches!(view.last_build, Some(BuildEnd::Switched { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_stops_nothing_and_leaves_quarantine_after_a_mend() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    let (node, letters) = open(dir.path(), AS_IT_WAS);
    append(&node, &mut author, &["boat", "bad news", "buoy", "chart"]).await;
    assert_eq!(count(&node, &letters, "b").await, Some(2));
    let live = until(&node, "letters", |view| {
        view.status.as_ref().is_some_and(|status| status.stage == Stage::Live)
    });
    assert_eq!(live.await.status.expect("it runs").quarantined, 1);
    let listed = node.projections().quarantined("letters").expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].position, &*listed[0].reason), (Position(1), "bad news is bad"));
    let notes = node.projections().audit("letters").expect("a trail");
    assert_eq!((&notes[0]["event"], &notes[0]["position"]), (&"quarantined".into(), &1.into()));
    node.shut_down().await;
    drop((node, letters));

    // The program is mended: the rows stay as they are until they are built again.
    let (node, letters) = open(dir.path(), MENDED);
    assert_eq!(count(&node, &letters, "b").await, Some(2));
    let build = node.projections().rebuild("letters").expect("it begins");
    assert_eq!(build, Build { version: 1, number: 1 });
    append(&node, &mut author, &["beacon"]).await;
    let view = until(&node, "letters", is_switched).await;
    assert_eq!((view.serving, view.building), (build, None));
    let Some(BuildEnd::Switched { from, compared: Some(compared), .. }) = view.last_build else {
        panic!("{:?}", view.last_build);
    };
    assert_eq!((from, compared.same), (Build { version: 1, number: 0 }, false));
    assert_eq!(count(&node, &letters, "b").await, Some(4));
    assert_eq!(node.projections().quarantined("letters").expect("a list"), []);
    let notes = node.projections().audit("letters").expect("a trail");
    assert_eq!(notes.last().expect("a note")["event"], "switched");
    node.shut_down().await;
    drop((node, letters));
    // And that is what is served from now on.
    let (node, letters) = open(dir.path(), MENDED);
    assert_eq!(self::view(&node, "letters").serving, build);
    assert_eq!(count(&node, &letters, "b").await, Some(4));
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_built_beside_the_old_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    let (node, letters) = open(dir.path(), MENDED);
    append(&node, &mut author, &["boat", "buoy"]).await;
    assert_eq!(count(&node, &letters, "b").await, Some(2));
    node.shut_down().await;
    drop((node, letters));
    let (node, letters) = open(dir.path(), NEXT);
    // Nobody can go on with the old rows; they are there until the new ones are.
    let view = until(&node, "letters", is_switched).await;
    assert_eq!(view.serving, Build { version: 2, number: 0 });
    let compared = None;
    let (from, to) = (Build { version: 1, number: 0 }, view.serving);
    assert_eq!(view.last_build, Some(BuildEnd::Switched { from, to, compared }));
    append(&node, &mut author, &["bell"]).await;
    assert_eq!(count(&node, &letters, "b").await, Some(6));
    let left = || -> Vec<_> {
        std::fs::read_dir(dir.path().join("projections/letters"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .filter(|name| name.starts_with("v1-"))
            .collect()
    };
    // The old one is dropped behind the switch, for which nobody waits.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !left().is_empty() && std::time::Instant::now() < patience {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(left(), Vec::<String>::new(), "the old one is dropped");
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_come_of_every_build() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    let (node, _letters) = open(dir.path(), MENDED);
    append(&node, &mut author, &["boat", "buoy", "chart"]).await;
    let projections = node.projections();
    for name in [INDEX, "letters", GRAPH] {
        projections.rebuild(name).expect("it begins");
        let view = until(&node, name, is_switched).await;
        let Some(BuildEnd::Switched { compared, .. }) = view.last_build else { unreachable!() };
        assert!(compared.is_some_and(|compared| compared.same), "{name}");
    }
    assert!(matches!(projections.rebuild("nothing"), Err(ManageError::Unknown { .. })));
    assert!(matches!(projections.cancel(INDEX), Err(ManageError::NotBuilding { .. })));
    // Questions are answered as before.
    let size = node.snapshot().tip.size;
    let next = node.ask_graph(size, |graph| graph.next_position()).await;
    assert_eq!(next.expect("followed"), Position(3));
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_became_of_the_rows_they_are_there_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let rows = dir.path().join("projections/index/v2-0");
    let mut author = Author::new(1);
    let mut expected = Vec::new();
    for round in 0..5_u64 {
        let config = Config::new(dir.path().to_owned(), origin(), signer());
        let node = Node::open(config, |_| {}).expect("opens");
        let next = author.intent(&round.to_string());
        let said = next.envelope();
        expected.push((said.author, said.author_sequence));
        node.append(next).await.expect("appended");
        until(&node, INDEX, |view| {
            view.status.as_ref().is_some_and(|status| status.cursor.0 == round + 1)
        })
        .await;
        node.shut_down().await;
        drop(node);
        check_rows(&rows, &expected);
        match round {
            // Gone; not what was closed; of somebody else; and nothing at all where they were.
            0 => std::fs::remove_dir_all(&rows).expect("removed"),
            1 => std::fs::write(rows.with_extension("seal"), [7; 32]).expect("written"),
            2 => std::fs::remove_file(rows.with_extension("seal")).expect("removed"),
            3 => std::fs::remove_dir_all(dir.path().join("projections")).expect("removed"),
            _ => {}
        }
    }
}

/// Every envelope is found where it stands.
fn check_rows(dir: &Path, expected: &[(AgentId, AuthorSequence)]) {
    let size = TreeSize::new(expected.len() as u64);
    let (stored, _) =
        tally_projection::Stored::open(dir, index::Index, Position(0), size).expect("rows");
    let rows: &Arc<Rows> = stored.rows();
    assert_eq!(rows.cursor(), Position::at_tip(size));
    for (position, (author, sequence)) in expected.iter().enumerate() {
        let found = index::author(rows, author, *sequence).expect("a row");
        assert_eq!(found, Some(Position(position as u64)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_cut_off_goes_on_at_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut author = Author::new(1);
    let (node, letters) = open(dir.path(), MENDED);
    append(&node, &mut author, &["boat", "buoy"]).await;
    node.shut_down().await;
    drop((node, letters));
    // As a process that was killed would leave it: a younger build that is not current.
    let place = dir.path().join("projections/letters");
    let younger = place.join("v1-1");
    drop(tally_projection::Stored::open(&younger, MENDED, Position(0), TreeSize::ZERO));
    let (node, letters) = open(dir.path(), MENDED);
    let view = until(&node, "letters", is_switched).await;
    assert_eq!(view.serving, Build { version: 1, number: 1 });
    assert_eq!(count(&node, &letters, "b").await, Some(2));
    node.shut_down().await;
}
