//! However the history is folded, the rows are the same.

use tally_example_projection::Outcomes;
use tally_projection::{Entry, determinism};
use tally_protocol::Position;
use tally_store::{LogReader, ReadLimit, SegmentReader};

#[test]
fn outcomes_are_the_same_in_every_way() {
    let frozen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ledger-v1");
    let (log, _) = SegmentReader::open_read_only(frozen.as_ref(), &mut |_| {}).expect("a ledger");
    let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let events = log.read(Position(0), all).expect("events").into_iter();
    let entries: Vec<_> = events.map(|event| Entry::new(event).expect("it reads")).collect();
    determinism::check(|| Outcomes, &entries).expect("one result");
}
