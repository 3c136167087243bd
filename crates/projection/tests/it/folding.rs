//! A fold with its rows: one result whatever the way, quarantine, and what wipes rows.

use proptest::prelude::*;
use tally_projection::determinism::{self, CheckError};
use tally_projection::{Entry, Fold, Projection, ProjectionError, Stored};
use tally_protocol::{AgentId, Digest, Position, TreeSize};
use tally_store::RowsState;

use crate::history::{Activities, Activity, Forgetful, Overlapping, history};

fn open<F: Fold>(dir: &std::path::Path, fold: F, size: u64) -> (Stored<F>, RowsState) {
    Stored::open(dir, fold, Position(0), TreeSize::new(size)).expect("rows")
}

fn digest<F: Fold>(stored: &Stored<F>) -> Digest {
    stored.rows().digest().expect("rows").0
}

/// What the fold comes to, by a few lines that know nothing of rows.
fn expected(entries: &[Entry], poison: &[u64]) -> Vec<(AgentId, Activity)> {
    let mut found: Vec<(AgentId, Activity)> = Vec::new();
    for entry in entries.iter().filter(|entry| !poison.contains(&entry.position().0)) {
        let author = entry.author();
        let nth = found.iter().position(|(agent, _)| *agent == author).unwrap_or_else(|| {
            found.push((author, Activity::default()));
            found.len() - 1
        });
        found[nth].1.events += 1;
        found[nth].1.trail = found[nth].1.trail.wrapping_mul(31).wrapping_add(entry.position().0);
    }
    found
}

fn check<F: Fold>(stored: &Stored<F>, entries: &[Entry], poison: &[u64]) {
    let wanted = expected(entries, poison);
    for (agent, activity) in &wanted {
        assert_eq!(stored.rows().value(agent.as_bytes()).expect("rows"), Some(activity.clone()));
    }
    assert_eq!(stored.rows().digest().expect("rows").1, wanted.len() as u64);
}

#[test]
fn a_fold_comes_to_one_result_in_every_way() {
    let entries = history(2_000, &[3, 500, 501, 1_999]);
    let digest = determinism::check(Activities::default, &entries).expect("one result");
    let dir = tempfile::tempdir().expect("a directory");
    let (mut stored, _) = open(&dir.path().join("rows"), Activities::default(), 2_000);
    assert_eq!(stored.take(&entries).expect("folded"), 4);
    check(&stored, &entries, &[3, 500, 501, 1_999]);
    assert_eq!(self::digest(&stored), digest);
}

#[test]
fn a_fold_that_keeps_something_to_itself_is_found_out() {
    let error = determinism::check(Forgetful::default, &history(100, &[])).expect_err("forgets");
    assert!(matches!(error, CheckError::Differs { .. }), "{error}");
    assert!(error.to_string().contains("opened again after every"), "{error}");
}

#[test]
fn partitions_that_meet_are_found_out() {
    let entries = history(1_000, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let (stored, _) = open(&dir.path().join("rows"), Overlapping, 1_000);
    let mut stored = stored.workers(3);
    let error = stored.take(&entries).expect_err("two wrote one row");
    assert!(matches!(&error, ProjectionError::Overlap { key } if key == "616c6c"), "{error}");
    assert_eq!(stored.cursor(), Position(0));
    assert_eq!(stored.rows().digest().expect("rows").1, 0);
}

#[test]
fn an_event_that_cannot_be_folded_is_put_in_quarantine() {
    let entries = history(300, &[40, 41]);
    let dir = tempfile::tempdir().expect("a directory");
    let rows = dir.path().join("rows");
    let (mut stored, _) = open(&rows, Activities::default(), 300);
    assert_eq!(stored.take(&entries[..100]).expect("folded"), 2);
    assert_eq!(stored.take(&entries[100..]).expect("folded"), 0);
    check(&stored, &entries, &[40, 41]);
    drop(stored);
    let (stored, state) = open(&rows, Activities::default(), 300);
    assert_eq!(state, RowsState::Kept);
    let told: Vec<_> = stored.quarantined().expect("rows");
    let told: Vec<_> = told.iter().map(|e| (e.position.0, e.reason.as_str())).collect();
    let panicked = "the fold panicked: not at all to my taste";
    assert_eq!(told, [(40, "not to my taste"), (41, panicked)]);
    // Mended and built from history, it has everything.
    let (mut mended, _) = open(&dir.path().join("next"), Activities { mended: true }, 300);
    assert_eq!(mended.take(&entries).expect("folded"), 0);
    check(&mended, &entries, &[]);
}

#[test]
fn a_fold_can_begin_at_a_position() {
    let entries = history(300, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let open = || {
        let (start, size) = (Position(120), TreeSize::new(300));
        Stored::open(&dir.path().join("rows"), Activities::default(), start, size).expect("rows")
    };
    let (mut stored, state) = open();
    assert_eq!((state, stored.cursor()), (RowsState::New, Position(120)));
    stored.take(&entries[120..]).expect("folded");
    check(&stored, &entries[120..], &[]);
    drop(stored);
    assert_eq!(open().1, RowsState::Kept);
    // From the beginning, it is another projection.
    let (again, state) = self::open(&dir.path().join("rows"), Activities::default(), 300);
    assert!(matches!(state, RowsState::WipedOther { found: Some(_) }));
    assert_eq!(again.cursor(), Position(0));
}

#[test]
#[should_panic(expected = "events follow the cursor")]
fn a_gap_is_a_defect() {
    let entries = history(3, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let (mut stored, _) = open(&dir.path().join("rows"), Activities::default(), 3);
    let _unreached = stored.take(&entries[1..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the history is cut into batches, whoever folds them, wherever the process stops.
    #[test]
    fn every_split_comes_to_the_same(
        cuts in prop::collection::vec((1_usize..700, 1_usize..5, any::<bool>()), 1..12),
        poison in prop::collection::vec(0_u64..1_500, 0..6),
    ) {
        let entries = history(1_500, &poison);
        let dir = tempfile::tempdir().expect("a directory");
        let rows = dir.path().join("rows");
        let mut stored = open(&rows, Activities::default(), 1_500).0;
        for (events, workers, restart) in cuts.into_iter().cycle().take(200) {
            if restart {
                drop(stored);
                let (again, state) = open(&rows, Activities::default(), 1_500);
                prop_assert!(matches!(state, RowsState::Kept | RowsState::New));
                stored = again;
            }
            stored = stored.workers(workers);
            let from = stored.cursor().0 as usize;
            stored.take(&entries[from..(from + events).min(entries.len())]).expect("folded");
        }
        stored.take(&entries[stored.cursor().0 as usize..]).expect("folded");
        check(&stored, &entries, &poison);
    }
}
