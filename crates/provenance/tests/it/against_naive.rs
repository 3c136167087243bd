//! Lineage against the plainest closure over (task, inputs, outputs, depends_on).

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_set;
use proptest::prelude::*;
use tally_protocol::EnvelopeId;
use tally_provenance::{Direction, LineageSummary, NodeRef, Start, Unanswered};

use crate::history::*;

const FILES: usize = 8;
const MOST_TASKS: usize = 9;

#[derive(Debug, Clone)]
struct Job {
    /// Few, so that tasks share them.
    label: Option<u8>,
    given: BTreeSet<usize>,
    read: BTreeSet<usize>,
    written: BTreeSet<usize>,
    /// Indices of any tasks; those that are not earlier are left out.
    depends_on: BTreeSet<usize>,
}

fn job() -> impl Strategy<Value = Job> {
    let label = proptest::option::weighted(0.8, 0..6_u8);
    let files = || btree_set(0..FILES, 0..3);
    let parts = (label, files(), files(), files(), btree_set(0..MOST_TASKS, 0..3));
    parts.prop_map(|(label, given, read, written, depends_on)| Job {
        label,
        given,
        read,
        written,
        depends_on,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Task(usize),
    File(usize),
}

/// Pairs of what came later and what it came from.
fn pairs(jobs: &[Job]) -> BTreeSet<(Thing, Thing)> {
    let mut pairs = BTreeSet::new();
    for (t, job) in jobs.iter().enumerate() {
        pairs.extend(job.given.union(&job.read).map(|&f| (Thing::Task(t), Thing::File(f))));
        pairs.extend(job.written.iter().map(|&f| (Thing::File(f), Thing::Task(t))));
        let earlier = job.depends_on.iter().filter(|&&before| before < t);
        pairs.extend(earlier.map(|&before| (Thing::Task(t), Thing::Task(before))));
    }
    pairs
}

/// All pairs are tried again and again: one round is one step.
fn closure(
    pairs: &BTreeSet<(Thing, Thing)>,
    start: &BTreeSet<Thing>,
    direction: Direction,
    depth: Option<u32>,
) -> BTreeSet<Thing> {
    let mut reached = start.clone();
    let rounds = depth.map_or(2 * (FILES + MOST_TASKS), |depth| depth as usize);
    for _ in 0..rounds {
        let before = reached.clone();
        for &(later, earlier) in pairs {
            let (here, there) = match direction {
                Direction::Up => (later, earlier),
                Direction::Down => (earlier, later),
            };
            if before.contains(&here) {
                reached.insert(there);
            }
        }
    }
    reached.difference(start).copied().collect()
}

fn file_name(file: usize) -> String {
    format!("file-{file}")
}

fn names(files: &BTreeSet<usize>) -> Vec<String> {
    files.iter().copied().map(file_name).collect()
}

fn play(jobs: &[Job]) -> (History, Vec<EnvelopeId>) {
    let (mut h, mut ids) = (History::new(), Vec::<EnvelopeId>::new());
    for (t, job) in jobs.iter().enumerate() {
        let [given, read, written] = [&job.given, &job.read, &job.written].map(names);
        let label = job.label.map(|label| format!("t{label}"));
        let depends_on = job.depends_on.iter().filter(|&&b| b < t).map(|&b| ids[b]).collect();
        let task = h.task(Work {
            label: label.as_deref(),
            given: given.iter().map(String::as_str).collect(),
            depends_on,
            replaces: None,
        });
        let [read, written] = [&read, &written].map(|l| l.iter().map(String::as_str).collect());
        let (read, written): (Vec<&str>, Vec<&str>) = (read, written);
        h.done(task, 1, &read, &written);
        ids.push(task);
    }
    (h, ids)
}

fn summary(reached: &BTreeSet<Thing>, jobs: &[Job], ids: &[EnvelopeId]) -> LineageSummary {
    let (mut tasks, mut data) = (BTreeSet::new(), BTreeSet::new());
    for &thing in reached {
        match thing {
            Thing::File(file) => drop(data.insert(file_name(file))),
            Thing::Task(task) => {
                let label = jobs[task].label.map(|label| format!("t{label}"));
                tasks.insert(label.unwrap_or_else(|| ids[task].to_string()));
            }
        }
    }
    LineageSummary { tasks: tasks.into_iter().collect(), data: data.into_iter().collect() }
}

fn check(
    h: &History,
    (jobs, ids): (&[Job], &[EnvelopeId]),
    start: &Start<'_>,
    things: &BTreeSet<Thing>,
) -> Result<(), TestCaseError> {
    let pairs = pairs(jobs);
    for direction in [Direction::Up, Direction::Down] {
        for depth in [None, Some(0), Some(1), Some(2), Some(3), Some(5)] {
            let answer = h.graph.lineage(start.clone(), direction, depth).expect("known");
            let reached = closure(&pairs, things, direction, depth);
            prop_assert_eq!(answer.summary(), summary(&reached, jobs, ids));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn lineage_is_the_closure(jobs in proptest::collection::vec(job(), 1..=MOST_TASKS)) {
        let (h, ids) = play(&jobs);
        let known: BTreeSet<usize> = jobs
            .iter()
            .flat_map(|job| job.given.iter().chain(&job.read).chain(&job.written).copied())
            .collect();
        for file in 0..FILES {
            let name = file_name(file);
            if known.contains(&file) {
                let things = BTreeSet::from([Thing::File(file)]);
                check(&h, (&jobs, &ids), &Start::DataUri(&name), &things)?;
            } else {
                let answer = h.graph.lineage(Start::DataUri(&name), Direction::Up, None);
                prop_assert_eq!(answer, Err(Unanswered::DataUri(name)));
            }
        }
        let mut starts: BTreeMap<u8, BTreeSet<Thing>> = BTreeMap::new();
        for (t, job) in jobs.iter().enumerate() {
            match job.label {
                Some(label) => drop(starts.entry(label).or_default().insert(Thing::Task(t))),
                None => {
                    let things = BTreeSet::from([Thing::Task(t)]);
                    let start = Start::Node(NodeRef::Task(ids[t]));
                    check(&h, (&jobs, &ids), &start, &things)?;
                }
            }
        }
        for (label, things) in starts {
            let label = format!("t{label}");
            check(&h, (&jobs, &ids), &Start::TaskLabel(&label), &things)?;
        }
    }

    #[test]
    fn the_same_history_gives_the_same_bytes(jobs in proptest::collection::vec(job(), 1..=4)) {
        let ((one, _), (two, _)) = (play(&jobs), play(&jobs));
        let bytes = |h: &History| {
            let workflow = h.graph.workflow(None);
            (workflow.to_json().to_string(), workflow.to_dot(), workflow.critical_path())
        };
        prop_assert_eq!(bytes(&one), bytes(&two));
    }
}
