//! Questions about provenance to the real program: a server and a directory give the same answers, of
//! every question, as of now and as of earlier; and what can't be answered says why.

use serde_json::{Value, json};
use tally_client::{Client, Error};
use tally_protocol::{AsOf, Digest, EnvelopeId, Time, TreeSize};
use tally_provenance::{Cause, Direction, LineageQuestion, NodeRef, Run, Start};
use tally_tests::program::{Server, copy, shipped, tally};
use tonic::Code;

/// The shipped scenario, served from a copy.
struct Desk {
    _directory: tempfile::TempDir,
    data: String,
    server: Server,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let [served, read] = ["served", "read"].map(|name| directory.path().join(name));
        copy(&shipped().data(), &served);
        copy(&shipped().data(), &read);
        let data = read.to_str().expect("UTF-8").to_owned();
        Self { server: Server::start(&served), data, _directory: directory }
    }

    /// The same answer from the directory and from the server.
    fn ask(&self, args: &[&str]) -> Value {
        let read = tally(args.iter().chain(&["--json", "--data", &self.data])).expect(0);
        let asked = tally(args.iter().chain(&["--json", "--url", &self.server.url])).expect(0);
        assert_eq!(read.stdout, asked.stdout, "{args:?}");
        // And for people.
        let people = tally(args.iter().chain(&["--data", &self.data])).expect(0);
        assert!(!people.stdout.is_empty(), "{args:?}");
        read.json()
    }

    /// No answer from either, for the same reason.
    fn refused(&self, args: &[&str], why: &str) {
        for source in [["--data", &self.data], ["--url", &self.server.url]] {
            let answer = tally(args.iter().chain(&["--json"]).chain(&source)).expect(1).json();
            let message = answer["error"]["message"].as_str().expect("a message");
            assert!(message.contains(why), "{args:?}: {message}");
        }
    }
}

fn labels(tasks: &Value) -> Vec<&str> {
    let tasks = tasks.as_array().expect("a list").iter();
    tasks.map(|task| task["label"].as_str().expect("a label")).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

const CHART: &str = "wf:harbour-survey/chart.pdf";

/// What the last task but one made, whatever its name.
fn chart(desk: &Desk) -> String {
    let found =
        desk.ask(&["lineage", "--task", "draw_chart_01", "--direction", "down", "--depth", "1"]);
    text(&found["data"][0]).to_owned()
}

#[test]
fn r24_every_question_is_answered_alike_by_a_server_and_a_directory() {
    let desk = Desk::new();
    let chart = chart(&desk);
    assert!(chart.starts_with("wf:harbour-survey/"), "{chart} is like {CHART}");

    let why = desk.ask(&["ask", "why", "--data-ref", &chart]);
    assert_eq!(
        (why["derivations"].as_array().map(Vec::len), &why["more"]),
        (Some(1), &json!(false))
    );
    let tasks = labels(&why["derivations"][0]["tasks"]);
    assert!(tasks.contains(&"find_hazards_01") && tasks.contains(&"plan_lines_01"), "{tasks:?}");
    assert_eq!(tasks.iter().filter(|task| **task == "find_hazards_01").count(), 1, "one attempt");

    let whereabouts = desk.ask(&["ask", "where", "--data-ref", &chart]);
    let place = &whereabouts["data"][0];
    assert_eq!(place["made_by"][0]["label"], "draw_chart_01");
    let fields: Vec<&str> =
        place["mentions"].as_array().expect("a list").iter().map(|m| text(&m["field"])).collect();
    assert_eq!(fields[0], "task_done.outputs");
    assert!(fields.contains(&"intent.inputs"), "the review asks to work on it: {fields:?}");

    let blame = desk.ask(&["ask", "blame", "--data-ref", &chart]);
    let roles = |answer: &Value, list: &str| -> Vec<String> {
        let signers = answer[list].as_array().expect("a list").iter();
        let signed = signers.flat_map(|signer| signer["signed"].as_array().expect("a list"));
        let mut roles: Vec<String> = signed.map(|s| text(&s["role"]).to_owned()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    };
    let all =
        ["attester", "executor", "initiator", "policy_owner", "principal", "provider", "supplier"];
    assert_eq!(roles(&blame, "signers"), all);
    assert_eq!(blame["policies"].as_array().map(Vec::len), Some(1));
    let keys = desk.ask(&["ask", "keys", "--data-ref", &chart]);
    let believed = roles(&keys, "keys");
    assert!(!believed.contains(&"policy_owner".to_owned()), "{believed:?}");
    assert!(believed.contains(&"executor".to_owned()), "{believed:?}");

    let impact = desk.ask(&["ask", "impact", "--task", "clean_01"]);
    assert!(labels(&impact["tasks"]).contains(&"review_01"));
    assert_eq!(
        impact["tasks"].as_array().expect("tasks").iter().filter(|t| t["live"] == true).count(),
        0
    );
    let executor = text(&why["derivations"][0]["tasks"][0]["executor"]).to_owned();
    let by_agent = desk.ask(&["ask", "impact", "--agent", &executor]);
    let by_key = desk.ask(&["ask", "impact", "--key", &executor, "--from", "0"]);
    assert_eq!(by_agent, by_key, "the agent has one key");
    let none = desk.ask(&["ask", "impact", "--key", &executor, "--from", "1000"]);
    assert_eq!(none["tasks"], json!([]));
    let policy = text(&blame["policies"][0]["id"]).to_owned();
    let by_policy = desk.ask(&["ask", "impact", "--policy", &policy]);
    assert_eq!(by_policy["tasks"].as_array().map(Vec::len), Some(11), "all attempts");

    let tasks = why["derivations"][0]["tasks"].as_array().expect("tasks");
    let hazards = tasks.iter().find(|task| task["label"] == "find_hazards_01").expect("a task");
    let id = text(&hazards["id"]);
    let award = desk.ask(&["ask", "award", id]);
    let others = award["awards"][0]["others"].as_array().expect("a list");
    assert_eq!((award["awards"].as_array().map(Vec::len), others.len()), (Some(1), 2));
    let reason = |other: &Value| other["reasons"][0].clone();
    assert!(others.iter().any(|other| reason(other)["tried_before"].is_string()), "{others:?}");
    assert!(others.iter().any(|other| reason(other)["lower_total"].is_i64()), "{others:?}");
    let against = text(&others[0]["offer"]);
    let one = desk.ask(&["ask", "award", id, "--against", against]);
    assert_eq!(one["awards"][0]["others"], json!([others[0]]));
    let both = desk.ask(&["ask", "award", text(&award["intent"])]);
    assert_eq!(both["awards"].as_array().map(Vec::len), Some(2), "both attempts");

    let difference = desk.ask(&["ask", "difference", id, id]);
    assert_eq!(difference["same"].as_array().map(Vec::len), Some(1));
    let bottlenecks = desk.ask(&["ask", "bottlenecks", id]);
    assert_eq!(bottlenecks["tasks"].as_array().map(Vec::len), Some(11));
    assert_eq!(bottlenecks["critical_path"], shipped().answer["critical_path"]);
    let trace = text(&bottlenecks["trace_id"]).to_owned();
    assert_eq!(desk.ask(&["ask", "bottlenecks", &trace]), bottlenecks);
    let itself = desk.ask(&["ask", "difference", &trace, &trace]);
    assert_eq!(itself["same"].as_array().map(Vec::len), Some(10));
}

#[test]
fn answers_are_as_of_a_size_or_a_time() {
    let desk = Desk::new();
    let chart = chart(&desk);
    let why = desk.ask(&["ask", "why", "--data-ref", &chart]);
    let made = why["derivations"][0]["edges"].as_array().expect("edges").iter();
    let last = made.map(|edge| edge["position"].as_u64().expect("a position")).max().expect("one");
    let (before, then) = (last.to_string(), (last + 1).to_string());
    desk.refused(
        &["ask", "why", "--data-ref", &chart, "--as-of", &before],
        "no message names data",
    );
    let as_of = |args: &[&str]| {
        let mut answer = desk.ask(&[args, &["--as-of", &then]].concat());
        assert_eq!(answer["as_of"].take(), json!(last + 1));
        answer
    };
    let mut now = why.clone();
    now["as_of"].take();
    assert_eq!(as_of(&["ask", "why", "--data-ref", &chart]), now);
    // The review has not been asked for then.
    let found = as_of(&["ask", "where", "--data-ref", &chart]);
    assert_eq!(found["data"][0]["mentions"].as_array().map(Vec::len), Some(1));
    let task = text(&why["derivations"][0]["tasks"][0]["id"]).to_owned();
    let early = desk.ask(&["ask", "award", &task, "--as-of", &then]);
    assert_eq!(early["as_of"], json!(last + 1));
    let lineage = ["lineage", "--task", "plan_lines_01", "--direction", "down"];
    let (all, some) = (desk.ask(&lineage), desk.ask(&[&lineage[..], &["--as-of", "60"]].concat()));
    let count = |answer: &Value| answer["tasks"].as_array().map(Vec::len);
    assert!(count(&some) < count(&all), "{some} {all}");
    // By the ledger's time: that of the event before.
    let event = tally(["log", "--json", "--data", &desk.data, "--from", &before, "--to", &then]);
    let at = event.expect(0).json_lines()[0]["recorded_at_us"].as_i64().expect("a time");
    let time = jiff::Timestamp::from_microsecond(at).expect("a time").to_string();
    let by_time = desk.ask(&["ask", "why", "--data-ref", &chart, "--as-of", &time]);
    assert!(by_time["as_of"].as_u64().expect("a size") > last);
    desk.refused(&["ask", "why", "--data-ref", &chart, "--as-of", "100000"], "the log has");
}

#[test]
fn lineage_is_filtered() {
    let desk = Desk::new();
    let base = ["lineage", "--task", "review_01", "--direction", "up"];
    let lineage = |more: &[&str]| desk.ask(&[&base[..], more].concat());
    let all = lineage(&[]);
    let names = |answer: &Value, kind: &str| -> Vec<String> {
        answer[kind].as_array().expect("a list").iter().map(|name| text(name).to_owned()).collect()
    };
    let tasks = lineage(&["--only", "tasks"]);
    assert_eq!((&tasks["tasks"], &tasks["data"]), (&all["tasks"], &json!([])));
    let data = lineage(&["--only", "data"]);
    assert_eq!((&data["tasks"], &data["data"]), (&json!([]), &all["data"]));
    let one = lineage(&["--label", "wf.task=clean_01"]);
    assert_eq!(names(&one, "tasks"), ["clean_01"]);
    assert!(
        !names(&one, "data").is_empty() && names(&one, "data").len() < names(&all, "data").len()
    );
    let prefix = "wf:harbour-survey/depth";
    let depths = lineage(&["--uri-prefix", prefix]);
    let expected: Vec<String> =
        names(&all, "data").into_iter().filter(|uri| uri.starts_with(prefix)).collect();
    assert_eq!(names(&depths, "data"), expected);
    assert_eq!(depths["tasks"], all["tasks"]);
    // All that was done, its executors signed.
    assert_eq!(lineage(&["--class", "asserted"]), all);
    let inferred = lineage(&["--class", "inferred"]);
    assert!(names(&inferred, "tasks").is_empty(), "{inferred}");
    let why = desk.ask(&["ask", "why", "--task", "sweep_01"]);
    let agent = text(
        &why["derivations"][0]["tasks"].as_array().expect("tasks").last().expect("one")["executor"],
    );
    let own = lineage(&["--agent", agent]);
    assert!(names(&own, "tasks").contains(&"sweep_01".to_owned()));
    assert!(names(&own, "tasks").len() < names(&all, "tasks").len());
}

#[test]
fn many_questions_are_answered_line_by_line() {
    let desk = Desk::new();
    let questions = [
        r#"["lineage", "--task", "review_01", "--direction", "up"]"#,
        r#"["ask", "why", "--data-ref", "none"]"#,
        r#"["ask", "why", "--task", "review_01", "--as-of", "100000"]"#,
        r#"["ask", "blame", "--task", "review_01"]"#,
    ]
    .join("\n");
    let file = format!("{}.questions", desk.data);
    std::fs::write(&file, questions).expect("written");
    let lines = |source: [&str; 2]| {
        tally(["ask", "each", &file].iter().chain(&source)).expect(0).json_lines()
    };
    let read = lines(["--data", &desk.data]);
    assert_eq!(read.len(), 4);
    assert!(read[0]["tasks"].is_array() && read[3]["signers"].is_array(), "{read:?}");
    assert!(read[1]["error"].is_object() && read[2]["error"].is_object(), "{read:?}");
    let asked = lines(["--url", &desk.server.url]);
    assert_eq!((&read[0], &read[3]), (&asked[0], &asked[3]));
    assert_eq!(asked[1]["error"]["code"], "NotFound");
    assert_eq!(asked[2]["error"]["code"], "OutOfRange");
    for wrong in [r#"["demo"]"#, "why", r#"["ask", "each", "-"]"#, r#"["ask", "why"]"#] {
        std::fs::write(&file, wrong).expect("written");
        tally(["ask", "each", &file, "--data", &desk.data]).expect(2);
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let desk = Desk::new();
    let (id, key) = ("07".repeat(32), "did:key:z6MkrQsrLY8GqEUEX7wrEFCnpMzeXXMR9Cvj5QwgTmtvPH9Z");
    desk.refused(&["ask", "why", "--data-ref", "none"], "no message names data");
    desk.refused(&["ask", "blame", "--task", "none"], "no task has the label");
    desk.refused(&["ask", "keys", "--task", &id], "no message names task:0707");
    desk.refused(&["ask", "where", "--task", "review_01"], "is no data");
    desk.refused(&["ask", "impact", "--agent", key], "no message names the agent");
    desk.refused(&["ask", "impact", "--policy", &id], "no message names policy:0707");
    desk.refused(&["ask", "bottlenecks", &id], "no intent or task has the id");
    desk.refused(&["ask", "bottlenecks", &id[..32]], "no event carries the trace id");
    desk.refused(&["ask", "award", &id], "0707");
    tally(["ask", "why", "--data", &desk.data]).expect(2);
    tally(["ask", "impact", "--task", "a", "--policy", &id, "--data", &desk.data]).expect(2);
    tally(["ask", "difference", "x", "y", "--data", &desk.data]).expect(2);
}

fn code<T>(answer: Result<T, Error>) -> (Code, String) {
    match answer {
        Err(Error::Rejected(rejection)) => (rejection.code, rejection.rule),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("answered"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_those_of_the_table() {
    let desk = Desk::new();
    let client: Client = desk.server.client().await;
    let review = Start::TaskLabel("review_01");
    let absent = (Code::NotFound, "absent".to_owned());
    let beyond = (Code::OutOfRange, "beyond-head".to_owned());
    let request = (Code::InvalidArgument, "request".to_owned());
    let far = Some(AsOf::Size(TreeSize::new(1 << 40)));
    assert_eq!(code(client.why(&Start::DataUri("none"), None).await), absent);
    assert_eq!(code(client.why(&review, far).await), beyond);
    assert_eq!(code(client.impact(&Cause::Flow(review.clone()), far).await), beyond);
    assert_eq!(code(client.whereabouts(&review, None).await), request);
    let agent = Start::Node(NodeRef::Intent(EnvelopeId([1; 32])));
    assert_eq!(code(client.blame(&agent, None).await), request);
    assert_eq!(code(client.awards(&EnvelopeId([1; 32]), None, None).await), absent);
    let run = Run::Part(EnvelopeId([1; 32]));
    assert_eq!(code(client.difference((&run, &run), None).await), absent);
    let question = LineageQuestion::new(Direction::Up);
    let start = tally_client::LineageStart::TaskLabel("review_01".into());
    assert_eq!(code(client.lineage(start, &question, far).await), beyond);
    // Before everything there is nothing.
    let none = client.keys(&review, Some(AsOf::Time(Time(0)))).await;
    assert_eq!(code(none), absent);
    let data = NodeRef::Data { uri: "wf:harbour-survey/none".into(), digest: Digest([0; 32]) };
    assert_eq!(code(client.keys(&Start::Node(data), None).await), absent);
}
