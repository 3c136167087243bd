//! The main job: a workflow is played by agents that know each other only through the ledger, and
//! the lineage that the ledger then answers is the one that the workflow's file has.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tally_node::history::fold_graph;
use tally_protocol::{Envelope, MessageKind};
use tally_provenance::{Direction, Graph, Start};
use tally_store::SegmentReader;
use tally_tests::program::{Played, shipped, tally, workspace};
use tally_tests::workflow::{Flow, Names, Shape, Way, generate, recorded};

/// Recorded workflows that are there when any is.
const RECORDED: usize = 8;

/// The large generated workflow.
const LARGE: Shape = Shape { lanes: 54, steps: 37, fan_in: 1_500, waits_for: 600 };

fn scenario() -> std::path::PathBuf {
    workspace().join("crates/cli/scenarios/harbour-survey.json")
}

#[test]
fn the_shipped_scenario_completes_and_every_receipt_is_checked() {
    let answer = &shipped().answer;
    assert_eq!(answer["verdict"], "valid");
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["first_bad"], Value::Null);
    assert_eq!(answer["receipts_checked"], answer["size"], "an event without a receipt");
    let tasks = answer["tasks"].as_array().expect("tasks");
    let tried_again = tasks.iter().filter(|task| task["attempts"] == 2).count();
    assert_eq!(tried_again, 1, "{tasks:?}");
    assert!(tasks.iter().all(|task| task["outcome"] == "succeeded"), "{tasks:?}");
    let told = answer["critical_path"]["steps"].as_array().expect("the slowest path");
    assert!(told.len() > 2, "{told:?}");
    let flow = Flow::read(&scenario());
    assert_eq!(tasks.len(), flow.task_count());
    check_data_is_present(&shipped().data(), &flow);
    check_lineage(&shipped().data(), &flow, |_| true);
}

#[test]
fn every_kind_of_message_is_on_the_record_in_order() {
    let lines = log(&shipped().data());
    let mut kinds = BTreeSet::new();
    let mut last = 0;
    for (position, line) in lines.iter().enumerate() {
        assert_eq!(line["position"], position as u64);
        let recorded_at = line["recorded_at_us"].as_i64().expect("a time");
        assert!(recorded_at >= last, "the time goes back at {position}");
        last = recorded_at;
        let message = line["envelope"]["message"].as_object().expect("a message");
        kinds.extend(message.keys().cloned());
    }
    assert_eq!(lines.len() as u64, shipped().answer["size"]);
    let all: BTreeSet<String> = MessageKind::ALL.iter().map(|kind| kind.field().into()).collect();
    assert_eq!(kinds, all);
}

#[test]
fn lineage_of_recorded_workflows_is_that_of_their_files() {
    let traces = recorded();
    if traces.is_empty() {
        println!("skipped: no recorded workflows stand beside the workspace");
        return;
    }
    assert!(traces.len() >= RECORDED, "{traces:?}");
    for trace in traces {
        let played = Played::new(Some(&trace));
        assert_eq!(played.answer["verdict"], "valid", "{trace:?}");
        assert_eq!(played.answer["completed"], true, "{trace:?}");
        assert_eq!(played.answer["receipts_checked"], played.answer["size"], "{trace:?}");
        let flow = Flow::read(&trace);
        check_data_is_present(&played.data(), &flow);
        let (tasks, all) = (flow.task_count(), flow.len());
        // The program itself answers for the first, the last and the middle of both kinds.
        let some = [0, tasks / 2, tasks - 1, tasks, (tasks + all) / 2, all - 1];
        check_lineage(&played.data(), &flow, |object| some.contains(&object));
    }
}

#[test]
fn lineage_of_a_large_workflow_with_odd_names_is_that_of_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("large.json");
    let tasks = generate(&trace, 1, LARGE);
    assert_eq!(tasks, 2_000);
    let played = Played::new(Some(&trace));
    assert_eq!(played.answer["verdict"], "valid");
    assert_eq!(played.answer["completed"], true);
    let flow = Flow::read(&trace);
    assert_eq!(flow.task_count(), tasks);
    check_data_is_present(&played.data(), &flow);
    // The program itself answers for the two wide tasks at the end, and an odd file.
    let odd = (tasks..flow.len()).find(|file| flow.name(*file).contains('"')).expect("a quote");
    let some = [tasks - 2, tasks - 1, odd];
    check_lineage(&played.data(), &flow, |object| some.contains(&object));
}

fn log(data: &Path) -> Vec<Value> {
    tally(["log", "--json", "--data", data.to_str().expect("UTF-8")]).expect(0).json_lines()
}

/// Every file of the workflow is named by some message, and nothing else is.
fn check_data_is_present(data: &Path, flow: &Flow) {
    let lines = log(data);
    let named: BTreeSet<&str> = lines.iter().flat_map(|line| uris(&line["envelope"])).collect();
    assert_eq!(named, flow.data());
}

/// All values of `uri` in a message.
fn uris(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(list) => list.iter().flat_map(uris).collect(),
        Value::Object(fields) => {
            let own = fields.get("uri").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(uris)).collect()
        }
        _ => Vec::new(),
    }
}

/// Compares the lineage of every object, both ways; some also by asking the program.
fn check_lineage(data: &Path, flow: &Flow, asks_program: impl Fn(usize) -> bool) {
    let (reader, _) = SegmentReader::open_read_only(data, &mut |_| {}).expect("a log");
    let graph = fold_graph(&reader).expect("a graph");
    for object in 0..flow.len() {
        for way in Way::BOTH {
            let expected = flow.closure(object, way);
            let found = ask_graph(&graph, flow, object, way);
            assert_eq!(found, expected, "{} {}", flow.name(object), way.name());
            if asks_program(object) {
                let found = ask_program(data, flow, object, way);
                assert_eq!(found, expected, "{} {}", flow.name(object), way.name());
            }
        }
    }
}

fn ask_graph(graph: &Graph, flow: &Flow, object: usize, way: Way) -> Names {
    let name = flow.name(object);
    let start = if flow.is_task(object) { Start::TaskLabel(name) } else { Start::DataUri(name) };
    let direction = match way {
        Way::Up => Direction::Up,
        Way::Down => Direction::Down,
    };
    let summary = graph.lineage(start, direction, None).expect("it is known").summary();
    Names { tasks: summary.tasks.into_iter().collect(), data: summary.data.into_iter().collect() }
}

fn ask_program(data: &Path, flow: &Flow, object: usize, way: Way) -> Names {
    let name = flow.name(object);
    let start = if flow.is_task(object) { "task" } else { "data-ref" };
    let start = format!("--{start}={name}");
    let data = data.to_str().expect("UTF-8");
    let args = ["lineage", "--json", "--data", data, &start, "--direction", way.name()];
    Names::of(&tally(args).expect(0).json())
}

/// The log's lines and the envelopes in the segments say the same.
#[test]
fn the_printed_log_is_the_stored_one() {
    let data = shipped().data();
    let (reader, _) = SegmentReader::open_read_only(&data, &mut |_| {}).expect("a log");
    let lines = log(&data);
    let mut stored = Vec::new();
    tally_node::history::replay(&reader, tally_protocol::Position(0), |event, parsed| {
        stored.push((event.leaf().to_base64(), parsed.id(), parsed.envelope().clone()));
        Ok(())
    })
    .expect("the log replays");
    assert_eq!(lines.len(), stored.len());
    for (line, (leaf, id, envelope)) in lines.iter().zip(&stored) {
        assert_eq!(line["leaf"], leaf.as_str());
        assert_eq!(line["id"], id.to_string());
        let envelope: &Envelope = envelope;
        assert_eq!(line["envelope"], serde_json::to_value(envelope).expect("JSON"));
    }
}
