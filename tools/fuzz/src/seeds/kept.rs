//! The rows that a state keeps, of the ledger of the first format version.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use tally_coordination::{Archive, State, admit};
use tally_protocol::Position;
use tally_store::{LogReader, ReadLimit, SegmentReader};

use crate::rng::Rng;

/// Events of a generation: a divisor of the ledger's 124, so that all of them are in rows.
pub const GENERATION: u64 = 31;

type RowMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// An archive that nobody writes.
#[derive(Debug)]
struct Nothing;

impl Archive for Nothing {
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn scan(&self, _: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_> {
        Box::new(std::iter::empty())
    }

    fn newer(&self, _: Position) -> Option<(Position, Arc<dyn Archive>)> {
        None
    }
}

/// A state, and its rows.
pub fn state() -> &'static (State, RowMap) {
    static STATE: LazyLock<(State, RowMap)> = LazyLock::new(fold);
    &STATE
}

fn fold() -> (State, RowMap) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ledger-v1");
    let (log, _) = SegmentReader::open_read_only(&dir, &mut |_| {}).expect("a ledger");
    let every = NonZeroU64::new(GENERATION).expect("not zero");
    let mut state =
        State::resume(log.origin().clone(), Arc::new(Nothing), every).expect("nothing is whole");
    let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    for event in log.read(Position(0), all).expect("events") {
        let parsed = event.signed().parse().expect("it was taken in");
        let change = admit(&state, parsed.id(), parsed.envelope(), event.recorded_at());
        state.fold(change.expect("it was admitted"));
    }
    let (mut rows, mut written) = (RowMap::new(), Position(0));
    while let Some(more) = state.to_archive(written) {
        written = more.end();
        for (key, row) in more.changes() {
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
    assert_eq!(written, state.next_position(), "all of it is in rows");
    (state, rows)
}

/// One of these rows, behind its number.
pub fn state_row(rng: &mut Rng) -> Vec<u8> {
    let rows = &state().1;
    let which = rng.below(rows.len());
    let row = rows.values().nth(which).expect("one of them");
    [&(which as u16).to_be_bytes()[..], row].concat()
}
