//! What drives a projection: live and catching up, held, cancelled, stalled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_projection::{
    Cancelled, Entry, InMemory, MemoryFold, Projection, ProjectionError, Runner, Stage, Status,
    Stored,
};
use tally_protocol::{Position, TreeSize};
use tally_store::Quarantined;

use crate::history::{Activities, Growing, history};

fn start(projection: impl Projection + 'static, source: &Growing) -> Runner {
    Runner::start("test", Box::new(projection), Box::new(source.clone()), || {}, |_| {})
}

fn stored(dir: &std::path::Path) -> Stored<Activities> {
    let (position, size) = (Position(0), TreeSize::new(1_000));
    Stored::open(&dir.join("rows"), Activities::default(), position, size).expect("rows").0
}

/// Waits for what must come, and fails if it does not.
fn until(runner: &Runner, what: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..2_000 {
        let status = runner.status();
        if what(&status) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it never came: {:?}", runner.status());
}

#[test]
fn catching_up_and_following_live_come_to_the_same() {
    let entries = history(1_000, &[77]);
    let (live, replayed) = (tempfile::tempdir(), tempfile::tempdir());
    let (live, replayed) = (live.expect("a directory"), replayed.expect("a directory"));
    let source = Growing::new(entries.clone(), 10, false);
    let projection = stored(live.path());
    let rows = projection.rows().clone();
    let runner = start(projection, &source);
    for size in [11, 80, 81, 500, 1_000] {
        source.grow(size);
        runner.wait_for(Position(size)).expect("it runs");
    }
    let status = until(&runner, |status| status.stage == Stage::Live);
    assert_eq!((status.cursor, status.lag(), status.quarantined), (Position(1_000), 0, 1));
    let mut whole = stored(replayed.path());
    whole.take(&entries).expect("folded");
    assert_eq!(rows.digest().expect("rows"), whole.rows().digest().expect("rows"));
    runner.stop();
}

#[test]
fn a_projection_is_held_released_and_cancelled() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = Growing::new(history(1_000, &[]), 1_000, false);
    let runner = start(stored(dir.path()), &source);
    let held = runner.hold(Position(333)).expect("it runs");
    assert!(held >= Position(333));
    let at = runner.status().cursor;
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((runner.status().cursor, runner.status().stage), (at, Stage::Held));
    runner.release();
    runner.wait_for(Position(1_000)).expect("it runs");
    runner.stop();
    // What was folded is kept.
    assert_eq!(stored(dir.path()).cursor(), Position(1_000));
}

#[test]
fn held_before_it_comes_there_it_stops_exactly_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = Growing::new(history(1_000, &[]), 100, false);
    let runner = start(stored(dir.path()), &source);
    runner.wait_for(Position(100)).expect("it runs");
    let held = std::thread::scope(|scope| {
        let held = scope.spawn(|| runner.hold(Position(333)));
        std::thread::sleep(Duration::from_millis(20));
        source.grow(1_000);
        held.join().expect("no panic")
    });
    assert_eq!(held, Ok(Position(333)));
}

#[test]
fn who_waits_for_a_projection_that_ends_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = Growing::new(history(100, &[]), 100, true);
    let runner = start(stored(dir.path()), &source);
    assert_eq!(runner.wait_for(Position(101)), Err(Cancelled));
    assert_eq!(runner.hold(Position(200)), Err(Cancelled));
    assert_eq!(runner.status().stage, Stage::Stopped);
    runner.finish();
}

#[test]
fn a_stall_shows_and_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = Growing::new(history(1_000, &[]), 1_000, false);
    source.failing.store(1, Ordering::SeqCst);
    let runner = start(stored(dir.path()), &source);
    let stalled = until(&runner, |status| status.stage == Stage::Stalled);
    assert!(stalled.last_error.is_some());
    assert_eq!((stalled.size, stalled.cursor), (TreeSize::new(1_000), Position(0)));
    runner.wait_for(Position(1_000)).expect("it was tried again");
}

/// Counts how often it is given events, and keeps them only when it is told to.
#[derive(Default)]
struct Lazy {
    cursor: u64,
    kept: u64,
    takes: Arc<AtomicU64>,
    settled: Arc<AtomicU64>,
}

impl Projection for Lazy {
    fn cursor(&self) -> Position {
        Position(self.cursor)
    }

    fn take(&mut self, entries: &[Entry]) -> Result<u64, ProjectionError> {
        self.cursor += entries.len() as u64;
        self.takes.fetch_add(1, Ordering::SeqCst);
        Ok(0)
    }

    fn unkept(&self) -> u64 {
        self.cursor - self.kept
    }

    fn settle(&mut self) -> Result<u64, ProjectionError> {
        self.kept = self.cursor;
        self.settled.store(self.kept, Ordering::SeqCst);
        Ok(0)
    }

    fn recover(&mut self, _: TreeSize) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError> {
        Ok(Vec::new())
    }
}

#[test]
fn few_events_gather_unless_somebody_waits_for_them() {
    let source = Growing::new(history(1_000, &[]), 0, false);
    let projection = Lazy::default();
    let takes = Arc::clone(&projection.takes);
    let runner = start(projection, &source);
    for size in 1..=100 {
        source.grow(size);
        std::thread::sleep(Duration::from_millis(2));
    }
    runner.wait_for(Position(100)).expect("it runs");
    let gathered = takes.swap(0, Ordering::SeqCst);
    assert!(gathered < 20, "100 events one after the other were folded {gathered} times");
    let began = std::time::Instant::now();
    for size in 101..=120 {
        source.grow(size);
        runner.wait_for(Position(size)).expect("it runs");
    }
    // Half a second for each if nobody hurried.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_is_not_kept_is_kept_when_there_is_nothing_to_do_and_when_it_stands() {
    let source = Growing::new(history(1_000, &[]), 100, false);
    let projection = Lazy::default();
    let settled = Arc::clone(&projection.settled);
    let runner = start(projection, &source);
    let kept = |events: u64| {
        for _ in 0..2_000 {
            if settled.load(Ordering::SeqCst) == events {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("only {} of {events} events are kept", settled.load(Ordering::SeqCst));
    };
    kept(100);
    source.grow(900);
    assert_eq!(runner.hold(Position(500)), Ok(Position(500)));
    assert_eq!(settled.load(Ordering::SeqCst), 500, "before anyone hears that it stands");
    runner.release();
    runner.wait_for(Position(900)).expect("it runs");
    runner.stop();
    assert_eq!(settled.load(Ordering::SeqCst), 900);
}

/// Chokes on poison, half-way through a change.
#[derive(Default)]
struct Sum {
    events: u64,
    positions: u64,
}

impl MemoryFold for Sum {
    fn fold(&mut self, entry: &Entry) {
        self.events += 1;
        assert!(entry.position() != Position(640), "not this one");
        self.positions += entry.position().0;
    }
}

#[test]
fn memory_begins_again_without_the_event_that_it_choked_on() {
    let projection = InMemory::<Sum>::new("sum");
    let value = projection.value().clone();
    let source = Growing::new(history(1_000, &[]), 1_000, false);
    let runner = start(projection, &source);
    let status = until(&runner, |status| status.stage == Stage::Live && status.quarantined == 1);
    assert_eq!(status.cursor, Position(1_000));
    let sum = value.read().expect("no panic gets through");
    assert_eq!((sum.events, sum.positions), (999, (0..1_000).sum::<u64>() - 640));
}
