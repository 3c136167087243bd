//! Every earlier moment answers as if nothing had come after it.

use proptest::prelude::*;
use tally_protocol::{AsOf, Time, TreeSize};

use crate::history::{History, Log, all_rows, origin, steps, tables_of};
use tally_analytics::{QueryError, Tables};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_size_is_a_fold_that_stops_there(steps in steps(60)) {
        let history = History::of(&steps);
        every_size(&history, 1);
    }
}

#[test]
fn each_size_of_the_whole_history() {
    every_size(&History::whole(), 9);
}

fn every_size(history: &History, step: usize) {
    let mut whole = tables_of(history, history.size());
    let mut growing = Tables::in_memory(&origin());
    for size in (0..=history.size()).step_by(step) {
        growing.catch_up(&Log { history, size }, &mut |_| {}).expect("folds");
        let (then, now) = (all_rows(&mut whole, Some(size)), all_rows(&mut growing, None));
        for (then, now) in then.iter().zip(&now) {
            assert_eq!(then, now, "as of {size}");
        }
    }
}

#[test]
fn a_time_is_the_number_of_events_recorded_by_then() {
    let history = History::whole();
    let tables = tables_of(&history, history.size());
    let at = |time| tables.size_as_of(AsOf::Time(Time(time))).expect("a size").as_u64();
    assert_eq!(at(0), 0);
    assert_eq!(at(i64::MAX), history.size());
    for (index, (event, _)) in history.events.iter().enumerate() {
        let time = event.recorded_at().0;
        assert_eq!(at(time), index as u64 + 1);
        assert_eq!(at(time - 1), index as u64);
    }
}

#[test]
fn what_is_not_there_yet_is_refused() {
    let history = History::whole();
    let mut tables = tables_of(&history, 10);
    let mut rows = crate::history::Rows::default();
    let beyond = tables.query("SELECT 1", Some(TreeSize::new(11)), &mut rows);
    assert!(matches!(beyond, Err(QueryError::Beyond { cursor: 10, size: 11 })), "{beyond:?}");
}
