//! The bytes of the rows that are kept between two starts, of a ledger that never changes.
//!
//! A program that writes other rows than these reads what an older one has kept as something else,
//! and answers wrongly or not at all. So: if a digest below differs and that is meant, raise the
//! version that stands beside it, by one, and put the new digest here. The next start then wipes the
//! old rows and makes them again from the log.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use tally_coordination::{Archive, Rows as StateRows, State, admit};
use tally_node::index::Index;
use tally_projection::{Entry, Fold, determinism};
use tally_protocol::{Digest, Origin, Position};
use tally_provenance::{GRAPH_VERSION, Graph};
use tally_store::{LogReader, ReadLimit, SegmentReader};

/// Events of a generation: a divisor of the ledger's 124, so that all of them are written.
const EVERY: u64 = 31;

fn frozen() -> (Origin, Vec<Entry>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1");
    let (log, _) = SegmentReader::open_read_only(&dir, &mut |_| {}).expect("a ledger");
    let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let events = log.read(Position(0), all).expect("events").into_iter();
    let entries = events.map(|event| Entry::new(event).expect("it reads")).collect();
    (log.origin().clone(), entries)
}

/// One digest over rows in the order of their keys, of which each and each part has its length
/// before it.
fn digest(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> String {
    let sorted: BTreeMap<_, _> = rows.into_iter().collect();
    let mut bytes = Vec::new();
    for part in sorted.iter().flat_map(|(key, row)| [key, row]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes).to_string()
}

/// An archive that nobody writes: the state keeps all generations in memory.
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

#[test]
fn the_rows_of_the_state_have_these_bytes() {
    let every = NonZeroU64::new(EVERY).expect("not zero");
    let (origin, entries) = frozen();
    let mut state = State::resume(origin, Arc::new(Nothing), every).expect("empty");
    for entry in entries {
        let admitted = admit(&state, entry.id(), entry.envelope(), entry.recorded_at());
        state.fold(admitted.expect("admitted before"));
    }
    let (mut written, mut all) = (Position(0), Vec::new());
    let mut kinds: BTreeMap<char, usize> = BTreeMap::new();
    while let Some(rows) = state.to_archive(written) {
        written = rows.end();
        for (mut key, row) in rows.changes() {
            *kinds.entry(char::from(key[0])).or_default() += 1;
            // Generations write some keys again.
            key.extend_from_slice(&written.0.to_be_bytes());
            let is_there = u8::from(row.is_some());
            all.push((key, [&[is_there], &row.unwrap_or_default()[..]].concat()));
        }
    }
    assert_eq!(written, Position(124), "all events are in these rows");
    let kinds: String = kinds.iter().map(|(kind, count)| format!("{kind}{count} ")).collect();
    let found = (StateRows::VERSION, kinds.trim(), digest(all));
    let expected = (
        1,
        "a17 c24 e124 i13 l1 m4 n24 o32 q3 r8 t12 v3",
        "6cf686a30366c5bb0ff01c8c011aeb4fdd3727cfdbcdc3bca17a677b96912d3e".to_owned(),
    );
    assert_eq!(found, expected, "raise `tally_coordination::Rows::VERSION`");
}

#[test]
fn the_rows_of_the_provenance_graph_have_these_bytes() {
    let mut graph = Graph::new();
    for entry in frozen().1 {
        graph.fold(entry.position(), entry.recorded_at(), entry.id(), entry.envelope());
    }
    let found = (GRAPH_VERSION, graph.fresh_rows().count(), digest(graph.fresh_rows()));
    let expected =
        (3, 254, "f029cdb70b285081dd85e36d223a11c0d59cf1556acdbb4ec09eede44222d93e".to_owned());
    assert_eq!(found, expected, "raise `tally_provenance::GRAPH_VERSION`");
}

#[test]
fn the_rows_of_the_index_have_these_bytes() {
    let digest = determinism::check(|| Index, &frozen().1).expect("one result");
    let expected =
        (2, "a5946d95c4dbd9e394f0faed9a3bedccee7a1249ca09f03e108590aa58cf8c1c".to_owned());
    assert_eq!((Index.version(), digest.to_string()), expected, "raise `Index::version`");
}
