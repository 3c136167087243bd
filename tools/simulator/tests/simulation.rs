//! The simulation itself: the same from the same seed, sharp enough for planted bugs, and silent
//! about the store.

use tally_simulator::campaign::{Campaign, Subject, Summary};
use tally_simulator::disk::Fault;
use tally_simulator::plant::Plant;
use tally_simulator::run::run;

/// Runs in which a planted bug is found at the latest.
const RUNS_TO_FIND: u64 = 300;

fn campaign(seed: u64, crashes: u64, runs: u64, plant: Option<Plant>) -> Summary {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Campaign { seed, crashes, runs, subject: Subject::Store, plant, threads }.run()
}

fn sequenced(seed: u64, crashes: u64, runs: u64, plant: Option<Plant>) -> Summary {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Campaign { seed, crashes, runs, subject: Subject::Sequencer, plant, threads }.run()
}

#[test]
fn a_sequencer_loses_nothing_and_takes_nothing_twice() {
    let summary = sequenced(1, 2_000, u64::MAX, None);
    assert_eq!(summary.failed, None);
    assert!(summary.crashes >= 2_000 && summary.groups > summary.crashes);
    for fault in [Fault::WriteError, Fault::NoSpace, Fault::SyncError] {
        assert!(summary.faults.of(fault) > 0, "no {fault}");
    }
    assert!(summary.undecided * 20 < summary.runs, "{} undecided", summary.undecided);
    let first = Subject::Sequencer.run(7, None, false);
    assert_eq!(first, Subject::Sequencer.run(7, None, false), "a seed replays");
    let planted = sequenced(1, u64::MAX, RUNS_TO_FIND, Some(Plant::SkipFdatasync));
    assert!(planted.failed.is_some(), "a skipped fdatasync is not found");
}

#[test]
fn the_same_seed_gives_the_same_calls() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (first, second) = (run(seed, None, false), run(seed, None, false));
        assert_eq!(first, second, "seed {seed}");
        hashes.insert(first.call_hash);
    }
    assert_eq!(hashes.len(), 60, "and another seed gives others");
}

#[test]
fn thousands_of_crashes_break_no_promise() {
    let summary = campaign(1, 5_000, u64::MAX, None);
    assert_eq!(summary.failed, None);
    assert!(summary.crashes >= 5_000 && summary.groups > summary.crashes);
    for fault in Fault::ALL {
        assert!(summary.faults.of(fault) > 0, "no {fault}");
    }
    assert!(summary.refused > 0, "damage is found");
    let Summary { copies, broken_copies, damaged_copies, .. } = summary;
    assert!(copies > broken_copies && broken_copies > 0, "{copies} copies, {broken_copies} broken");
    assert!(damaged_copies > 0, "damage is found in copies");
    assert!(summary.undecided * 20 < summary.runs, "{} undecided", summary.undecided);
}

#[test]
fn seeds_that_failed_once_fail_no_more() {
    let mut replayed = 0;
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().expect("a seed");
        let report = run(seed.parse().expect("a number"), None, false);
        assert_eq!(report.violation, None, "{line}");
        replayed += 1;
    }
    assert!(replayed > 0);
}

#[test]
fn planted_bugs_are_found() {
    for plant in Plant::ALL {
        let summary = campaign(1, u64::MAX, RUNS_TO_FIND, Some(plant));
        assert!(summary.failed.is_some(), "{plant} is not found in {RUNS_TO_FIND} runs");
    }
}
