//! The archive of the state: a node with one has what a fold of its whole log has, whatever became of
//! the rows in the meantime.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tally_coordination::State;
use tally_node::archive::ScratchRows;
use tally_node::history::fold_state;
use tally_node::{Config, Node, Recipe};
use tally_projection::{Draft, Entry, Fold, Poison};
use tally_protocol::{ChainHash, EnvelopeId, Position};
use tally_store::ReadLimit;
use tally_tlog::Frontier;
use tally_verify::{Judge, Trust, examine};

use crate::author::{Author, origin, signer};

/// Events of a generation.
const GENERATION: u64 = 8;

fn open(dir: &Path) -> Node {
    let generation = NonZeroU64::new(GENERATION).expect("not zero");
    let config = Config { generation, ..Config::new(dir.to_owned(), origin(), signer()) };
    Node::open(config, |_| {}).expect("opens")
}

/// A ledger in a directory, its one author, and what that said.
struct Ledger {
    dir: tempfile::TempDir,
    author: Author,
    said: Vec<EnvelopeId>,
}

impl Ledger {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, author: Author::new(1), said: Vec::new() }
    }

    /// Opens it, says so much more, holds the state to the log, and closes it.
    async fn grow(&mut self, events: usize) {
        let node = open(self.dir.path());
        for _ in 0..events {
            let envelope = self.author.intent(&self.said.len().to_string());
            self.said.push(envelope.id());
            node.append(envelope).await.expect("appended");
        }
        self.check(&node);
        let generations = || node.snapshot().state.waiting_generations();
        for _ in 0..500 {
            if generations() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(generations(), 0, "what is durable is written");
        node.shut_down().await;
    }

    fn check(&self, node: &Node) {
        let state = &node.snapshot().state;
        let folded: State = fold_state(&**node.log()).expect("it folds");
        assert_eq!(state.digest(), folded.digest());
        for (position, id) in (0..).zip(&self.said) {
            assert_eq!(state.position_of(id).map(|position| position.0), Some(position));
            assert_eq!(state.intent(id), folded.intent(id));
        }
        assert_eq!(state.intents().count(), self.said.len());
    }

    fn rows(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// Keeps the rows as they are, to put them back later.
    fn keep_rows(&self, to: &Path) {
        copy(&self.rows(), to);
        fs::copy(self.rows().with_extension("seal"), to.with_extension("seal")).expect("sealed");
    }

    fn put_rows(&self, from: &Path) {
        fs::remove_dir_all(self.rows()).expect("removed");
        copy(from, &self.rows());
        fs::copy(from.with_extension("seal"), self.rows().with_extension("seal")).expect("sealed");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(&path, &to).expect("copied")),
        }
    }
}

/// Changes a byte of every file.
fn spoil(dir: &Path) {
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            spoil(&path);
        } else if let mut bytes = fs::read(&path).expect("read")
            && !bytes.is_empty()
        {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).expect("written");
        }
    }
}

/// How many events the rows held before and after the next start.
async fn reopened(ledger: &Ledger) -> (u64, u64) {
    let node = open(ledger.dir.path());
    ledger.check(&node);
    let (before, after) = (node.state_rows().opened_at().0, node.state_rows().end().0);
    node.shut_down().await;
    (before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_folds_only_what_is_young() {
    let mut ledger = Ledger::new();
    for events in [0, 1, 7, 1, 30, 8, 3] {
        ledger.grow(events).await;
    }
    assert_eq!(reopened(&ledger).await, (48, 48));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_lag_are_completed() {
    let (mut ledger, kept) = (Ledger::new(), tempfile::tempdir().expect("a directory"));
    let kept = kept.path().join("rows");
    ledger.grow(20).await;
    ledger.keep_rows(&kept);
    ledger.grow(50).await;
    ledger.put_rows(&kept);
    assert_eq!(reopened(&ledger).await, (16, 64));
    ledger.grow(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_ahead_damaged_or_gone_are_made_again() {
    let (mut ledger, kept) = (Ledger::new(), tempfile::tempdir().expect("a directory"));
    let log = kept.path().join("log");
    ledger.grow(20).await;
    copy(&ledger.dir.path().join("log"), &log);
    let (said, mark) = (ledger.said.clone(), fs::read(ledger.dir.path().join("mark")));
    ledger.grow(50).await;
    // The log lost its end, and the rows did not.
    for (dir, from) in [("log", Some(&log)), ("tree", None), ("projections", None)] {
        fs::remove_dir_all(ledger.dir.path().join(dir)).expect("removed");
        from.into_iter().for_each(|from| copy(from, &ledger.dir.path().join(dir)));
    }
    fs::write(ledger.dir.path().join("mark"), mark.expect("there is one")).expect("written");
    ledger.said = said;
    assert_eq!(reopened(&ledger).await, (0, 16));
    spoil(&ledger.rows());
    assert_eq!(reopened(&ledger).await, (0, 16));
    fs::remove_dir_all(ledger.rows()).expect("removed");
    fs::create_dir(ledger.rows()).expect("made");
    assert_eq!(reopened(&ledger).await, (0, 16));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_log_are_not_believed() {
    let (mut one, mut other) = (Ledger::new(), Ledger::new());
    other.author = Author::new(2);
    one.grow(20).await;
    other.grow(40).await;
    let kept = tempfile::tempdir().expect("a directory");
    let kept = kept.path().join("rows");
    one.keep_rows(&kept);
    other.put_rows(&kept);
    assert_eq!(reopened(&other).await, (0, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_over_rows_comes_to_what_one_in_memory_does() {
    let mut ledger = Ledger::new();
    ledger.grow(60).await;
    let node = open(ledger.dir.path());
    let trust = Trust { origin: origin(), keys: Vec::new(), earlier: Vec::new() };
    let generation = NonZeroU64::new(GENERATION).expect("not zero");
    let (rows, state) = ScratchRows::new(&origin(), generation).expect("a temporary directory");
    let chain = ChainHash::genesis(&origin());
    let mut kept = Judge::resume(trust.clone(), state, chain, Frontier::new());
    let mut all = Judge::new(trust);
    let everything = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let events = node.read(Position(0), everything).expect("it reads");
    assert!(events.len() >= 60);
    for events in events.chunks(5) {
        for examined in examine(events.to_vec()) {
            kept.event(examined, |_, _| {}).expect("it holds");
        }
        for examined in examine(events.to_vec()) {
            all.event(examined, |_, _| {}).expect("it holds");
        }
        rows.write(kept.state()).expect("room on the disk");
        // What is written is let go of with the next event.
        assert!(kept.state().waiting_generations() <= 1);
        assert_eq!(kept.state().digest(), all.state().digest());
    }
    for id in &ledger.said {
        assert_eq!(kept.state().intent(id), all.state().intent(id));
    }
    assert_eq!(kept.finish().decisions, all.finish().decisions);
    node.shut_down().await;
}

/// Folds the last event only once the ledger is closing, and reads an old object then.
#[derive(Clone, Default)]
struct Late {
    last: Position,
    asked: Arc<OnceLock<(State, EnvelopeId)>>,
    found: Arc<AtomicBool>,
}

impl Fold for Late {
    fn name(&self) -> &str {
        "late"
    }

    fn version(&self) -> u32 {
        1
    }

    fn fold(&self, entry: &Entry, _: &mut Draft<'_>) -> Result<(), Poison> {
        if entry.position() == self.last {
            let (state, id) = self.asked.wait();
            std::thread::sleep(Duration::from_millis(500));
            self.found.store(state.intent(id).is_some(), Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_the_ledger_closes_reads_old_objects_too() {
    let mut ledger = Ledger::new();
    ledger.grow(5 * GENERATION as usize).await;
    let late = Late { last: Position(5 * GENERATION), ..Late::default() };
    let generation = NonZeroU64::new(GENERATION).expect("not zero");
    let projections = vec![Recipe::stored(late.clone()).0];
    let own = Config::new(ledger.dir.path().to_owned(), origin(), signer());
    let node = Node::open(Config { generation, projections, ..own }, |_| {}).expect("opens");
    node.append(ledger.author.intent("the last")).await.expect("appended");
    let asked = (node.snapshot().state.clone(), ledger.said[0]);
    assert!(late.asked.set(asked).is_ok());
    node.shut_down().await;
    assert!(late.found.load(Ordering::SeqCst));
}
