//! Minimal derivations, against all subsets of the tasks tried one by one.

use std::collections::BTreeSet;

use proptest::collection::btree_set;
use proptest::prelude::*;
use tally_protocol::EnvelopeId;
use tally_provenance::{MAX_DERIVATIONS, NodeRef, Start, Unanswered, Why};

use crate::history::*;

const FILES: usize = 6;

#[derive(Debug, Clone)]
struct Job {
    read: BTreeSet<usize>,
    written: BTreeSet<usize>,
    depends_on: BTreeSet<usize>,
    fails: bool,
}

fn job() -> impl Strategy<Value = Job> {
    let files = || btree_set(0..FILES, 0..3);
    let parts = (files(), files(), btree_set(0..7_usize, 0..2), prop::bool::weighted(0.15));
    parts.prop_map(|(read, written, depends_on, fails)| Job { read, written, depends_on, fails })
}

fn play(jobs: &[Job]) -> (History, Vec<EnvelopeId>) {
    let (mut h, mut ids) = (History::new(), Vec::<EnvelopeId>::new());
    for (t, job) in jobs.iter().enumerate() {
        let depends_on = job.depends_on.iter().filter(|&&b| b < t).map(|&b| ids[b]).collect();
        let task = h.task(Work { depends_on, ..Work::default() });
        let name = |file: &usize| format!("f{file}");
        let [read, written] =
            [&job.read, &job.written].map(|files| files.iter().map(name).collect::<Vec<_>>());
        let [read, written] =
            [&read, &written].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        if job.fails {
            h.progress(task, tally_protocol::message::ProgressState::Running, &read, &written);
            h.failed(task);
        } else {
            h.done(task, 1, &read, &written);
        }
        ids.push(task);
    }
    (h, ids)
}

/// The files that follow from some of the tasks: rounds until nothing is added.
fn derived(jobs: &[Job], tasks: &BTreeSet<usize>) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let made = |file: usize| jobs.iter().any(|job| !job.fails && job.written.contains(&file));
    let mut files: BTreeSet<usize> = (0..FILES).filter(|&file| !made(file)).collect();
    let mut done = BTreeSet::new();
    for _ in 0..=jobs.len() {
        for &t in tasks {
            let before = jobs[t].depends_on.iter().filter(|&&b| b < t && !jobs[b].fails);
            if jobs[t].read.is_subset(&files) && before.copied().all(|b| done.contains(&b)) {
                done.insert(t);
                files.extend(&jobs[t].written);
            }
        }
    }
    (files, done)
}

/// All minimal sets of tasks by which `is_reached` comes to hold.
fn minimal(
    jobs: &[Job],
    is_reached: impl Fn(&BTreeSet<usize>, &BTreeSet<usize>) -> bool,
) -> BTreeSet<BTreeSet<usize>> {
    let counted: Vec<usize> = (0..jobs.len()).filter(|&t| !jobs[t].fails).collect();
    let subsets = (0..1_usize << counted.len()).map(|bits| {
        let chosen = counted.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        chosen.map(|(_, &task)| task).collect::<BTreeSet<usize>>()
    });
    let enough: Vec<BTreeSet<usize>> = subsets
        .filter(|tasks| {
            let (files, done) = derived(jobs, tasks);
            is_reached(&files, &done)
        })
        .collect();
    let is_minimal = |tasks: &&BTreeSet<usize>| {
        !enough.iter().any(|other| other.len() < tasks.len() && other.is_subset(tasks))
    };
    enough.iter().filter(is_minimal).cloned().collect()
}

fn found(why: &Why, ids: &[EnvelopeId]) -> BTreeSet<BTreeSet<usize>> {
    let number = |id: &EnvelopeId| ids.iter().position(|known| known == id).expect("a task");
    let tasks = |d: &tally_provenance::Derivation| d.tasks.iter().map(|t| number(&t.id)).collect();
    why.derivations.iter().map(tasks).collect()
}

/// Every source is needed, and was made by no task that counts.
fn check_sources(why: &Why, jobs: &[Job], ids: &[EnvelopeId], subject: Option<usize>) {
    for (tasks, derivation) in found_in_order(why, ids).into_iter().zip(&why.derivations) {
        let made = |file: usize| jobs.iter().any(|job| !job.fails && job.written.contains(&file));
        let read = tasks.iter().flat_map(|&t| jobs[t].read.iter().copied()).chain(subject);
        let expected: BTreeSet<String> =
            read.filter(|&file| !made(file)).map(|file| format!("f{file}")).collect();
        let sources: BTreeSet<String> =
            derivation.sources.iter().map(|source| source.uri.clone()).collect();
        assert_eq!(sources, expected);
        for source in &derivation.sources {
            let failed = (0..jobs.len()).filter(|&t| {
                jobs[t].fails && jobs[t].written.iter().any(|f| format!("f{f}") == source.uri)
            });
            let failed: BTreeSet<EnvelopeId> = failed.map(|t| ids[t]).collect();
            assert_eq!(source.made_by_failed.iter().copied().collect::<BTreeSet<_>>(), failed);
        }
    }
}

fn found_in_order(why: &Why, ids: &[EnvelopeId]) -> Vec<BTreeSet<usize>> {
    let number = |id: &EnvelopeId| ids.iter().position(|known| known == id).expect("a task");
    let tasks = |d: &tally_provenance::Derivation| d.tasks.iter().map(|t| number(&t.id)).collect();
    why.derivations.iter().map(tasks).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn derivations_are_all_minimal_ones(jobs in prop::collection::vec(job(), 1..=7)) {
        let (h, ids) = play(&jobs);
        let view = h.graph.head();
        for file in 0..FILES {
            let uri = format!("f{file}");
            let why = match view.why(&Start::DataUri(&uri)) {
                Ok(why) => why,
                Err(unknown) => {
                    prop_assert_eq!(unknown, Unanswered::DataUri(uri));
                    continue;
                }
            };
            let expected = minimal(&jobs, |files, _| files.contains(&file));
            if expected.is_empty() {
                // Made in a circle only.
                prop_assert_eq!(why.derivations.is_empty(), false);
                continue;
            }
            if expected.len() <= MAX_DERIVATIONS {
                prop_assert_eq!(found(&why, &ids), expected);
                prop_assert!(!why.more);
            } else {
                prop_assert!(found(&why, &ids).is_subset(&expected));
                prop_assert!(why.more && why.derivations.len() == MAX_DERIVATIONS);
            }
            check_sources(&why, &jobs, &ids, Some(file));
        }
        for (t, id) in ids.iter().enumerate().filter(|(t, _)| !jobs[*t].fails) {
            let why = view.why(&Start::Node(NodeRef::Task(*id))).expect("known");
            let expected = minimal(&jobs, |_, done| done.contains(&t));
            if expected.is_empty() {
                prop_assert_eq!(why.derivations.is_empty(), false);
            } else if expected.len() <= MAX_DERIVATIONS {
                prop_assert_eq!(found(&why, &ids), expected);
            }
        }
    }
}

#[test]
fn more_derivations_than_are_shown_are_said_to_be_there() {
    let mut h = History::new();
    // Five steps that each two tasks can do: 32 ways.
    for step in 0..5 {
        for by in 0..2 {
            let (from, to) = (format!("x{step}"), format!("x{}", step + 1));
            h.run(&format!("t{step}-{by}"), &[&from], &[&to]);
        }
    }
    let why = h.graph.head().why(&Start::DataUri("x5")).expect("known");
    assert_eq!((why.derivations.len(), why.more), (MAX_DERIVATIONS, true));
    assert!(why.derivations.iter().all(|derivation| derivation.tasks.len() == 5));
    let why = h.graph.head().why(&Start::DataUri("x3")).expect("known");
    assert_eq!((why.derivations.len(), why.more), (8, false));
}

#[test]
fn a_derivation_shows_the_events_and_leaves_failed_attempts_out() {
    let mut h = History::new();
    let failed = h.task(Work { label: Some("a"), given: vec!["in"], ..Work::default() });
    h.progress(failed, tally_protocol::message::ProgressState::Running, &["in"], &["x"]);
    h.failed(failed);
    let a = h.task(Work {
        label: Some("a"),
        given: vec!["in"],
        replaces: Some(failed),
        ..Work::default()
    });
    h.done(a, 5, &["in"], &["x"]);
    let b = h.run("b", &["x"], &["out"]);
    let why = h.graph.head().why(&Start::DataUri("out")).expect("known");
    assert_eq!(why.derivations.len(), 1);
    let derivation = &why.derivations[0];
    assert_eq!(derivation.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [a, b]);
    assert_eq!(derivation.sources[0].uri, "in");
    assert_eq!(derivation.sources[0].named_at, Some(tally_protocol::Position(0)));
    let said: Vec<u64> = derivation.edges.iter().map(|edge| edge.position.0).collect();
    assert_eq!(said, [8, 8, 12, 12], "the receipts of the two");
    // A label stands for the attempt that did not fail; an id for exactly that attempt.
    let of_label = h.graph.head().why(&Start::TaskLabel("a")).expect("known");
    assert_eq!(of_label.subject, [NodeRef::Task(a)]);
    let of_failed = h.graph.head().why(&Start::Node(NodeRef::Task(failed))).expect("known");
    assert_eq!(of_failed.derivations[0].tasks[0].id, failed);
}

#[test]
fn a_circle_is_cut_and_a_way_out_of_it_is_preferred() {
    let mut h = History::new();
    let t = h.run("t", &["d"], &["d"]);
    let why = h.graph.head().why(&Start::DataUri("d")).expect("known");
    let ids = |why: &Why| -> Vec<EnvelopeId> {
        why.derivations[0].tasks.iter().map(|task| task.id).collect()
    };
    assert_eq!((ids(&why), why.derivations[0].sources.len()), (vec![t], 1));
    let other = h.run("other", &["s"], &["d"]);
    let why = h.graph.head().why(&Start::DataUri("d")).expect("known");
    assert_eq!((ids(&why), why.derivations.len()), (vec![other], 1));
}

#[test]
fn several_data_of_one_uri_are_to_be_told_apart() {
    let mut h = History::new();
    h.run("a", &["in"], &["x"]);
    let mut other = data_ref("x");
    other.digest = tally_protocol::Digest::of(b"other");
    let task = h.task(Work::default());
    let done = tally_protocol::message::TaskDone { outputs: vec![other], ..receipt(task) };
    h.say(2, tally_protocol::Message::TaskDone(done));
    let asked = h.graph.head().why(&Start::DataUri("x"));
    assert!(matches!(asked, Err(Unanswered::Ambiguous { found, .. }) if found.len() == 2));
    let one = h.graph.head().why(&Start::Node(data("x"))).expect("known");
    assert_eq!(one.derivations[0].tasks[0].label.as_deref(), Some("a"));
}
