//! Walks up and down.

use tally_protocol::message::{Offer, ProgressState, TaskDone};
use tally_protocol::{Digest, Message};
use tally_provenance::{Direction, NodeRef, Relation, Start, Unanswered};

use crate::history::*;

const UP: Direction = Direction::Up;
const DOWN: Direction = Direction::Down;

/// in ─▶ a ─▶ x ─▶ b ─▶ y ─▶ c ─▶ out
fn chain() -> History {
    let mut h = History::new();
    h.run("a", &["in"], &["x"]);
    h.run("b", &["x"], &["y"]);
    h.run("c", &["y"], &["out"]);
    h
}

fn check(
    h: &History,
    start: Start<'_>,
    direction: Direction,
    depth: Option<u32>,
    tasks: &[&str],
    data: &[&str],
) {
    let summary = h.summary(start.clone(), direction, depth);
    assert_eq!(summary.tasks, tasks, "tasks of {start:?} {direction:?} {depth:?}");
    assert_eq!(summary.data, data, "data of {start:?} {direction:?} {depth:?}");
}

#[test]
fn up_and_down_from_data_and_tasks() {
    let h = chain();
    check(&h, Start::DataUri("out"), UP, None, &["a", "b", "c"], &["in", "x", "y"]);
    check(&h, Start::DataUri("in"), DOWN, None, &["a", "b", "c"], &["out", "x", "y"]);
    check(&h, Start::DataUri("in"), UP, None, &[], &[]);
    check(&h, Start::TaskLabel("b"), UP, None, &["a"], &["in", "x"]);
    check(&h, Start::TaskLabel("b"), DOWN, None, &["c"], &["out", "y"]);
    check(&h, Start::Node(data("y")), UP, None, &["a", "b"], &["in", "x"]);
}

#[test]
fn depth_counts_edges() {
    let h = chain();
    check(&h, Start::DataUri("out"), UP, Some(0), &[], &[]);
    check(&h, Start::DataUri("out"), UP, Some(1), &["c"], &[]);
    check(&h, Start::DataUri("out"), UP, Some(2), &["c"], &["y"]);
    check(&h, Start::DataUri("out"), UP, Some(3), &["b", "c"], &["y"]);
    check(&h, Start::TaskLabel("a"), DOWN, Some(2), &["b"], &["x"]);
    let edges =
        |depth| h.graph.lineage(Start::DataUri("out"), UP, depth).expect("known").edges.len();
    assert_eq!((edges(Some(0)), edges(Some(3)), edges(None)), (0, 3, 6));
}

#[test]
fn dependencies_without_data_are_walked_and_retries_are_not() {
    let mut h = History::new();
    let a = h.run("a", &[], &[]);
    let failed = h.task(Work { label: Some("other"), ..Work::default() });
    let (label, depends_on, replaces) = (Some("b"), vec![a], Some(failed));
    h.task(Work { label, depends_on, replaces, ..Work::default() });
    check(&h, Start::TaskLabel("b"), UP, None, &["a"], &[]);
    check(&h, Start::TaskLabel("a"), DOWN, None, &["b"], &[]);
    check(&h, Start::TaskLabel("other"), DOWN, None, &[], &[]);
}

#[test]
fn attempts_with_one_label_are_one_entry_and_one_start() {
    let mut h = History::new();
    let first = h.task(Work { label: Some("t"), given: vec!["in"], ..Work::default() });
    h.failed(first);
    let (label, given, replaces) = (Some("t"), vec!["in"], Some(first));
    let second = h.task(Work { label, given, replaces, ..Work::default() });
    h.done(second, 5, &["in"], &["out"]);
    let down = h.graph.lineage(Start::DataUri("in"), DOWN, None).expect("known");
    assert_eq!(down.tasks.len(), 1);
    assert_eq!(down.tasks[0].ids, [first, second]);
    assert_eq!(down.tasks[0].name, "aligned reads");
    assert_eq!(down.as_of, h.graph.next_position());
    // Only the attempt that made it.
    let up = h.graph.lineage(Start::DataUri("out"), UP, None).expect("known");
    assert_eq!(up.tasks[0].ids, [second]);
    // The failed attempt stands for the task.
    for start in [Start::TaskLabel("t"), Start::Node(NodeRef::Task(first))] {
        check(&h, start.clone(), DOWN, None, &[], &["out"]);
        check(&h, start, UP, None, &[], &["in"]);
    }
}

#[test]
fn a_running_task_shows_in_the_impact_of_its_input() {
    let mut h = History::new();
    let task = h.task(Work { given: vec!["in"], ..Work::default() });
    let down = h.graph.lineage(Start::DataUri("in"), DOWN, None).expect("known");
    assert_eq!(down.summary().tasks, [task.to_string()]);
    assert_eq!(down.tasks[0].label, None);
    h.progress(task, ProgressState::Running, &[], &["partial"]);
    let hex = task.to_string();
    check(&h, Start::DataUri("in"), DOWN, None, &[&hex], &["partial"]);
}

#[test]
fn all_digests_of_a_uri_are_the_start_and_one_name() {
    let mut h = History::new();
    let [first, second] = ["a", "b"].map(|label| {
        let task = h.task(Work { label: Some(label), ..Work::default() });
        let mut output = data_ref("file");
        output.digest = Digest::of(label.as_bytes());
        h.say(2, Message::TaskDone(TaskDone { outputs: vec![output.clone()], ..receipt(task) }));
        output
    });
    check(&h, Start::DataUri("file"), UP, None, &["a", "b"], &[]);
    let node = |d: &tally_protocol::parts::DataRef| NodeRef::Data {
        uri: d.uri.to_string(),
        digest: d.digest,
    };
    check(&h, Start::Node(node(&first)), UP, None, &["a"], &[]);
    let task = h.task(Work { label: Some("c"), ..Work::default() });
    h.say(2, Message::TaskDone(TaskDone { inputs: vec![first, second], ..receipt(task) }));
    let up = h.graph.lineage(Start::TaskLabel("c"), UP, None).expect("known");
    assert_eq!((up.data.len(), up.summary().data), (2, vec!["file".to_owned()]));
}

#[test]
fn circles_end() {
    let mut h = History::new();
    h.run("a", &["f", "g"], &["f"]);
    h.run("b", &["f"], &["g"]);
    for direction in [UP, DOWN] {
        check(&h, Start::DataUri("f"), direction, None, &["a", "b"], &["g"]);
        check(&h, Start::TaskLabel("a"), direction, None, &["b"], &["f", "g"]);
    }
    let up = h.graph.lineage(Start::DataUri("f"), UP, None).expect("known");
    assert_eq!(up.edges.len(), 5);
    assert!(h.graph.workflow(None).critical_path().total_us <= 200);
}

#[test]
fn only_tasks_and_data_are_walked() {
    let h = chain();
    let up = h.graph.lineage(Start::DataUri("out"), UP, None).expect("known");
    let flow = [Relation::Used, Relation::WasGeneratedBy, Relation::WasInformedBy];
    assert!(up.edges.iter().all(|edge| flow.contains(&edge.relation)));
    assert!(up.edges.is_sorted_by_key(|edge| edge.position));
}

#[test]
fn what_is_unknown_is_said() {
    let mut h = chain();
    let intent = h.intent(terms(None, &[]));
    h.offer(2, Offer { policies: policies(&[id(60)]), ..offer(intent, id(200)) });
    let check = |start, unknown| assert_eq!(h.graph.lineage(start, UP, None), Err(unknown));
    // "aligned reads" is a text that the graph knows, but no URI.
    check(Start::DataUri("aligned reads"), Unanswered::DataUri("aligned reads".to_owned()));
    check(Start::TaskLabel("in"), Unanswered::TaskLabel("in".to_owned()));
    let nodes = [NodeRef::Task(id(99)), NodeRef::Task(intent)];
    for node in nodes {
        check(Start::Node(node.clone()), Unanswered::Node(node));
    }
    let node = NodeRef::Intent(intent);
    check(Start::Node(node.clone()), Unanswered::NoLineage(node));
    let message = Unanswered::TaskLabel("t".to_owned()).to_string();
    assert_eq!(message, "no task has the label wf.task=\"t\"");
}

#[test]
fn labels_are_those_of_the_intent() {
    let mut h = History::new();
    let mut with_labels = terms(Some("t"), &[]);
    with_labels.labels.push(label("team", "blue"));
    with_labels.labels.push(label("team", "blue"));
    let intent = h.intent(with_labels);
    let tasks = [(); 2].map(|()| h.start(task_start(intent, id(9))));
    assert_eq!(h.graph.tasks_labelled("team", "blue"), tasks);
    assert_eq!(h.graph.tasks_labelled("wf.task", "t"), tasks);
    assert!(h.graph.tasks_labelled("team", "t").is_empty());
    assert!(h.graph.tasks_labelled("blue", "team").is_empty());
}

#[test]
fn json_names_nodes_and_relations() {
    let h = chain();
    let up = h.graph.lineage(Start::DataUri("x"), UP, Some(1)).expect("known");
    let json = up.to_json();
    assert_eq!(json["tasks"][0]["label"], "a");
    assert_eq!(json["edges"][0]["relation"], "wasGeneratedBy");
    assert_eq!(json["edges"][0]["from"]["data"]["uri"], "x");
    assert_eq!(json["edges"][0]["class"], "asserted");
    assert_eq!(json["edges"][0]["position"], 3);
    let summary = serde_json::to_string(&up.summary()).expect("encodes");
    assert_eq!(summary, r#"{"tasks":["a"],"data":[]}"#);
    let again: tally_provenance::Lineage = serde_json::from_value(json).expect("decodes");
    assert_eq!(again, up);
}
