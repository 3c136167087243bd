//! The coordination graph and the critical path.

use tally_protocol::message::*;
use tally_protocol::{Message, Time, TraceId};
use tally_provenance::{CriticalPath, Graph, OfferState, Relation, Workflow};

use crate::history::*;

fn path(graph: &Graph) -> (Vec<(String, u64)>, u64) {
    let CriticalPath { steps, total_us } = graph.workflow(None).critical_path();
    (steps.into_iter().map(|step| (step.name, step.duration_us)).collect(), total_us)
}

fn check_path(h: &History, expect: &[(&str, u64)]) {
    let (steps, total) = path(&h.graph);
    let expect: Vec<_> = expect.iter().map(|&(name, us)| (name.to_owned(), us)).collect();
    assert_eq!(steps, expect);
    assert_eq!(total, expect.iter().map(|step| step.1).sum::<u64>());
}

#[test]
fn all_offers_show_with_what_became_of_them() {
    let mut h = History::new();
    let capability = h.capability(2);
    let intent = h.intent(terms(Some("t"), &[]));
    let offers = [2, 3, 4, 5, 6].map(|agent| h.offer(agent, offer(intent, capability)));
    let better = Offer { replaces: Some(offers[0]), ..offer(intent, capability) };
    let better = h.offer(2, better);
    let decline = Decline { offer: offers[1], reason: text("") };
    h.say(1, Message::Negotiate(Negotiate::Decline(decline)));
    let withdraw = Withdraw { offer: offers[2], reason: text("") };
    h.say(4, Message::Negotiate(Negotiate::Withdraw(withdraw)));
    let task = h.start(task_start(intent, better));
    // Too late: the award stands.
    let withdraw = Withdraw { offer: better, reason: text("") };
    h.say(2, Message::Negotiate(Negotiate::Withdraw(withdraw)));
    let workflow = h.graph.workflow(Some(TRACE));
    let [shown] = &workflow.intents[..] else { panic!("one intent") };
    use OfferState::*;
    let states: Vec<_> = shown.offers.iter().map(|offer| offer.state).collect();
    assert_eq!(states, [Replaced, Declined, Withdrawn, Open, Open, Awarded]);
    assert_eq!(shown.offers[5].replaces, Some(offers[0]));
    assert_eq!(shown.offers[5].capability, capability);
    assert_eq!(shown.tasks[0].id, task);
    assert_eq!(shown.tasks[0].offer, better);
    assert_eq!(shown.tasks[0].executor, Some(h.agent(2)));
    assert_eq!(shown.tasks[0].outcome, None);
    assert_eq!(shown.labels, [("wf.task".to_owned(), "t".to_owned())]);
}

#[test]
fn timing_is_of_the_first_event_of_its_kind() {
    let mut h = History::new();
    let task = h.task(Work::default());
    for state in [ProgressState::Accepted, ProgressState::BlockedInput] {
        h.progress(task, state, &[], &[]);
    }
    for _ in 0..2 {
        h.progress(task, ProgressState::Running, &[], &[]);
    }
    h.done(task, 250, &[], &["x"]);
    h.failed(task);
    let workflow = h.graph.workflow(None);
    let task = workflow.tasks()[0];
    assert_eq!(task.timing.start_at, Time(20));
    assert_eq!(task.timing.accepted_at, Some(Time(30)));
    assert_eq!(task.timing.running_at, Some(Time(50)));
    assert_eq!(task.timing.done_at, Some(Time(70)));
    assert_eq!(task.timing.duration_us, Some(250));
    assert_eq!(task.outcome, Some(Outcome::Succeeded));
    assert_eq!(task.receipts.len(), 2);
    let made = |edge: &&tally_provenance::Edge| edge.relation == Relation::WasGeneratedBy;
    assert_eq!(workflow.edges.iter().filter(made).count(), 1);
}

#[test]
fn a_clock_that_runs_backwards_gives_no_duration() {
    let mut h = History::new();
    let task = h.task(Work::default());
    h.done(task, -1, &[], &[]);
    assert_eq!(h.graph.workflow(None).tasks()[0].timing.duration_us, None);
    assert_eq!(path(&h.graph).1, 0);
}

#[test]
fn a_trace_picks_its_intents() {
    let mut h = History::new();
    h.run("a", &[], &[]);
    let other = TraceId([8; 16]);
    h.trace = Some(other);
    h.run("b", &[], &[]);
    h.trace = None;
    h.run("c", &[], &[]);
    let labels = |trace| {
        let workflow = h.graph.workflow(trace);
        workflow.tasks().iter().map(|task| task.title().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(labels(Some(TRACE)), ["a"]);
    assert_eq!(labels(Some(other)), ["b"]);
    assert_eq!(labels(Some(TraceId([9; 16]))), [""; 0]);
    assert_eq!(labels(None), ["a", "b", "c"]);
}

#[test]
fn a_cancelled_intent_and_its_revision_show() {
    let mut h = History::new();
    let intent = h.intent(terms(None, &[]));
    let revision = IntentRevision { intent, terms: terms(None, &[]) };
    let second = h.say(1, Message::Intent(Intent::Revise(revision)));
    let cancellation = IntentCancellation { intent: second, reason: text("") };
    h.say(1, Message::Intent(Intent::Cancel(cancellation)));
    let workflow = h.graph.workflow(None);
    assert_eq!(workflow.intents[1].revises, Some(intent));
    assert_eq!(workflow.intents.iter().map(|i| i.cancelled).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn the_critical_path_follows_data_and_dependencies() {
    let mut h = History::new();
    // a ─▶ b ─▶ d (by dependency), a ─▶ c ─▶ d (by data); c takes longer than b.
    let mut run = |label, duration, depends_on, inputs: &[&str], outputs: &[&str]| {
        let task = h.task(Work { label: Some(label), depends_on, ..Work::default() });
        h.done(task, duration, inputs, outputs);
        task
    };
    run("a", 10, vec![], &[], &["x"]);
    let b = run("b", 30, vec![], &["x"], &[]);
    run("c", 40, vec![], &["x"], &["y"]);
    run("d", 5, vec![b], &["y"], &[]);
    run("lonely", 54, vec![], &[], &[]);
    check_path(&h, &[("a", 10), ("c", 40), ("d", 5)]);
}

#[test]
fn of_equal_paths_the_one_of_earlier_tasks_wins() {
    let mut h = History::new();
    h.run("a", &[], &["x"]);
    h.run("b", &[], &["x"]);
    h.run("c", &["x"], &[]);
    h.run("d", &["x"], &[]);
    check_path(&h, &[("a", 100), ("c", 100)]);
}

#[test]
fn retried_tasks_count_with_their_last_attempt() {
    let mut h = History::new();
    let first = h.task(Work { label: Some("a"), ..Work::default() });
    h.done(first, 1000, &[], &["partial"]);
    let (label, replaces) = (Some("a"), Some(first));
    let second = h.task(Work { label, replaces, ..Work::default() });
    h.done(second, 20, &[], &["x"]);
    h.run("b", &["partial"], &[]);
    check_path(&h, &[("a", 20), ("b", 100)]);
    assert_eq!(h.graph.workflow(None).critical_path().steps[0].task, second);
}

#[test]
fn a_file_changed_in_place_keeps_its_other_makers() {
    let mut h = History::new();
    h.run("a", &["f"], &["f"]);
    h.run("b", &["f"], &[]);
    check_path(&h, &[("a", 100), ("b", 100)]);
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let mut h = History::new();
    for i in 0..5_000 {
        let (input, output) = (format!("d{i}"), format!("d{}", i + 1));
        h.run("t", &[&input], &[&output]);
    }
    assert_eq!(path(&h.graph).1, 500_000);
}

#[test]
fn json_reads_back() {
    let mut h = History::new();
    h.run("a", &["in"], &["out"]);
    let workflow = h.graph.workflow(Some(TRACE));
    let json = workflow.to_json();
    assert_eq!(json["intents"][0]["offers"][0]["state"], "awarded");
    assert_eq!(json["intents"][0]["tasks"][0]["timing"]["duration_us"], 100);
    assert_eq!(serde_json::from_value::<Workflow>(json).expect("decodes"), workflow);
}
