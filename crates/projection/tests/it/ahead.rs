//! Long stretches, which all cores read ahead of the fold: order, damage, panics, and no hangs.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tally_projection::{Cancelled, Entry, InMemory, MemoryFold, Projection, Runner, Stage, Stored};
use tally_protocol::{Digest, Position, TreeSize};

use crate::history::{Activities, Growing, history};

/// Long enough for threads.
const EVENTS: u64 = 14_000;

const POISON: [u64; 3] = [77, 5_000, 13_999];

static HISTORY: LazyLock<Vec<Entry>> = LazyLock::new(|| history(EVENTS, &POISON));

fn source(most: usize) -> Growing {
    Growing { most, ..Growing::new(HISTORY.clone(), EVENTS, true) }
}

fn stored(dir: &std::path::Path) -> Stored<Activities> {
    let (position, size) = (Position(0), TreeSize::new(EVENTS));
    Stored::open(&dir.join("rows"), Activities::default(), position, size).expect("rows").0
}

fn start(projection: impl Projection + 'static, source: &Growing) -> Runner {
    Runner::start("test", Box::new(projection), Box::new(source.clone()), || {}, |_| {})
}

/// What one thread makes of the first events.
fn expected(events: usize) -> Digest {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stored = stored(dir.path());
    for batch in HISTORY[..events].chunks(1_000) {
        stored.take(batch).expect("folded");
    }
    stored.rows().digest().expect("rows").0
}

/// Where a sum stands, and whether it took every event once and in order.
#[derive(Default)]
struct InOrder {
    next: u64,
    disorder: bool,
}

impl MemoryFold for InOrder {
    fn fold(&mut self, entry: &Entry) {
        let position = entry.position().0;
        self.disorder |= position != self.next;
        self.next = position + 1;
    }
}

#[test]
fn the_rows_are_those_of_one_thread_however_much_comes_at_once() {
    let wanted = expected(EVENTS as usize);
    // 50 and 1,999 are fewer than are asked for; then the rest of a piece is read when it is due.
    for most in [50, 1_999, usize::MAX] {
        let dir = tempfile::tempdir().expect("a directory");
        let projection = stored(dir.path());
        let rows = projection.rows().clone();
        let runner = start(projection, &source(most));
        runner.wait_for(Position(EVENTS)).expect("it runs");
        assert_eq!(runner.status().quarantined, POISON.len() as u64);
        assert_eq!(rows.digest().expect("rows").0, wanted, "{most} at once");
    }
}

#[test]
fn damage_in_the_middle_stalls_it_before_and_is_gone_on_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = source(usize::MAX);
    source.damaged.store(9_000, Ordering::SeqCst);
    let projection = stored(dir.path());
    let rows = projection.rows().clone();
    let runner = start(projection, &source);
    while runner.status().stage != Stage::Stalled {
        std::thread::sleep(Duration::from_millis(1));
    }
    let stands = runner.status().cursor.0;
    assert!((1..=9_000).contains(&stands), "what is before it is folded: {stands}");
    assert_eq!(rows.digest().expect("rows").0, expected(stands as usize));
    source.damaged.store(u64::MAX, Ordering::SeqCst);
    runner.wait_for(Position(EVENTS)).expect("it is tried again");
    assert_eq!(rows.digest().expect("rows").0, expected(EVENTS as usize));
}

#[test]
fn a_stop_in_the_middle_stops_it() {
    let source = source(usize::MAX);
    for nth in 0..500 {
        let projection = InMemory::<InOrder>::new("in order");
        let value = projection.value().clone();
        let runner = start(projection, &source);
        runner.wait_for(Position(nth * 28)).expect("it runs");
        runner.stop();
        let (value, cursor) = (value.read().expect("no panic"), runner.status().cursor);
        assert!(!value.disorder && cursor.0 >= nth * 28);
        assert_eq!(value.next, cursor.0);
    }
}

#[test]
fn a_hold_in_the_middle_stands_exactly_there() {
    let source = Growing { most: usize::MAX, ..Growing::new(HISTORY.clone(), 0, false) };
    let projection = InMemory::<InOrder>::new("in order");
    let value = projection.value().clone();
    let runner = start(projection, &source);
    let held = std::thread::scope(|scope| {
        let held = scope.spawn(|| runner.hold(Position(12_345)));
        std::thread::sleep(Duration::from_millis(20));
        source.grow(EVENTS);
        held.join().expect("no panic")
    });
    assert_eq!(held, Ok(Position(12_345)));
    assert_eq!(value.read().expect("no panic").next, 12_345);
    runner.release();
    runner.wait_for(Position(EVENTS)).expect("it runs");
}

#[test]
fn a_hold_takes_effect_while_nothing_comes() {
    let source = Growing::new(HISTORY.clone(), 100, false);
    let runner = start(InMemory::<InOrder>::new("in order"), &source);
    runner.wait_for(Position(100)).expect("it runs");
    for _ in 0..100 {
        assert_eq!(runner.hold(Position(0)), Ok(Position(100)));
        runner.release();
    }
    assert_eq!(runner.hold(Position(0)), Ok(Position(100)));
    source.grow(EVENTS);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(runner.status().cursor, Position(100), "it is held");
}

#[test]
fn who_waits_for_a_source_that_panics_is_told() {
    let source = Growing { panics_at: Some(9_000), ..source(usize::MAX) };
    let runner = start(InMemory::<InOrder>::new("in order"), &source);
    assert_eq!(runner.wait_for(Position(EVENTS)), Err(Cancelled));
    assert_eq!(runner.status().stage, Stage::Stopped);
}

/// Chokes in the middle of a stretch.
#[derive(Default)]
struct Choking(InOrder);

impl MemoryFold for Choking {
    fn fold(&mut self, entry: &Entry) {
        assert!(entry.position() != Position(12_640), "not this one");
        self.0.fold(entry);
    }
}

#[test]
fn memory_begins_again_in_the_middle() {
    let projection = InMemory::<Choking>::new("choking");
    let value = projection.value().clone();
    let runner = start(projection, &source(usize::MAX));
    runner.wait_for(Position(EVENTS)).expect("it runs");
    assert_eq!(runner.status().quarantined, 1);
    assert_eq!(value.read().expect("no panic").0.next, EVENTS);
}

#[test]
fn what_is_held_stands_until_it_is_released() {
    let source = Growing { most: usize::MAX, ..Growing::new(HISTORY.clone(), EVENTS, false) };
    let projection = InMemory::<InOrder>::new("in order");
    let value = projection.value().clone();
    let runner = start(projection, &source);
    let next = || value.read().expect("no panic").next;
    while runner.status().cursor.0 < EVENTS {
        let held = runner.hold(Position(0)).expect("it runs");
        assert_eq!(next(), held.0);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(next(), held.0);
        runner.release();
        std::thread::sleep(Duration::from_millis(1));
    }
}
