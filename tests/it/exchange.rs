//! A ledger in the words of others: golden files of a small workflow, which programs that are not
//! ours are shown in CI (`tools/interop`), the order of its times, pictures, and imports.

use serde_json::{Value, json};
use tally_interop::prov::{Document, Kind};
use tally_protocol::{Digest, TraceId};
use tally_tests::desk::Desk;
use tally_tests::program::{Server, tally};
use tally_tests::story::{Story, capability, data};

use crate::interop::{Ledger, check_golden, text};

const TRACE: TraceId = TraceId([0xab; 16]);

/// When the first event is recorded, and how far apart events are, in microseconds.
const BEGIN: u64 = 1_795_000_000_000_000;
const STEP: u64 = 1_000;

/// The time at which the event at a position is recorded.
fn recorded(position: usize) -> u64 {
    BEGIN + (position as u64 + 1) * STEP
}

/// A workflow of two tasks, the first tried twice, with times that can be; a policy, a delegation, a
/// claim on evidence that is taken back, and an activity that somebody imported.
fn workflow() -> Story {
    let mut story = Story::empty();
    story.say("petrel", "sounding", capability("sounding"));
    story.say("tern", "sweeping", capability("sweeping"));
    let scope = json!({ "agent": story.agent("buyer") });
    story.say(
        "buyer",
        "policy",
        json!({ "policy_update": { "scope": scope, "name": "care",
        "policy_version": 1, "action": "activate", "text": "handle with care" } }),
    );
    let terms = json!({ "outcome": "the depth of \"the basin\" <&>", "inputs": [data("s3://harbour/basin.csv")],
        "labels": [{ "key": "wf.task", "value": "depth" }] });
    story.say_in(TRACE, "buyer", "depth", json!({ "intent": { "open": terms } }));
    story.say("petrel", "cheap", story.offer("depth", "sounding", 70, None));
    story.say("tern", "fair", story.offer("depth", "sweeping", 80, None));
    story.say_in(TRACE, "buyer", "try", story.start("depth", "cheap", json!({ "attempt": 1 })));
    let times = |from: usize, to: usize| json!({ "started_at_us": recorded(from), "ended_at_us": recorded(to) });
    let mut failed = times(6, 8);
    failed["outcome"] = json!("failed");
    failed["reason"] = json!("fog");
    story.work("petrel", "try", failed);
    let again = json!({ "attempt": 2, "replaces": story.id("try") });
    story.say_in(TRACE, "buyer", "again", story.start("depth", "fair", again));
    story.say("tern", "accepted", story.progress("again", "accepted", 0));
    let mut report = story.progress("again", "running", 50);
    let raw = json!({ "uri": "file:raw.bin", "digest": Digest::of(b"raw"), "size": 3 });
    report["task_progress"]["outputs"] = json!([raw]);
    story.say("tern", "running", report);
    let mut end = times(10, 13);
    end["outcome"] = json!("succeeded");
    end["outputs"] = json!([data("file:depths.csv")]);
    story.say("tern", "done", story.done("again", end));
    let terms = json!({ "outcome": "a chart", "inputs": [data("file:depths.csv")] });
    story.say_in(TRACE, "buyer", "charting", json!({ "intent": { "open": terms } }));
    story.say("petrel", "drawing", story.offer("charting", "sounding", 20, None));
    let deputy = json!({ "delegate": story.agent("deputy"), "scopes": ["tasks"] });
    story.say("buyer", "delegation", json!({ "attest": { "delegate": deputy } }));
    let more = json!({ "attempt": 1, "depends_on": [story.id("again")] });
    story.say_in(TRACE, "deputy", "draw", story.start("charting", "drawing", more));
    story.work(
        "petrel",
        "draw",
        json!({ "outcome": "succeeded", "outputs": [data("file:chart.pdf")] }),
    );
    let claim = json!({ "subject": { "envelope": story.id("draw") }, "kind": "quality",
        "evidence": [data("file:review.txt")] });
    story.say("auditor", "claim", json!({ "attest": { "claim": claim } }));
    let revoke = json!({ "attestation": story.id("claim") });
    story.say("auditor", "revoked", json!({ "attest": { "revoke": revoke } }));
    let entry = |uri: &str| json!({ "uri": uri, "digest": Digest::of(uri.as_bytes()) });
    let activity = json!({ "system": "openlineage", "activity": "press/print/1", "state": "COMPLETE",
        "used": [entry("file:chart.pdf")], "generated": [entry("file:poster.pdf")] });
    let claim = json!({ "subject": { "agent": story.agent("auditor") }, "kind": "imported.activity",
        "statement": activity.to_string() });
    story.say("auditor", "imported", json!({ "attest": { "claim": claim } }));
    story
}

#[test]
fn a_workflow_has_the_same_files_as_ever() {
    let ledger = Ledger::of(&workflow().said);
    for (name, what, more) in [
        ("prov.json", "prov", &[][..]),
        ("prov.provn", "prov", &["--format", "n"]),
        ("prov.ttl", "prov", &["--format", "turtle"]),
        ("openlineage.jsonl", "openlineage", &[]),
        ("cloudevents.jsonl", "cloudevents", &[]),
        ("cloudevents-envelopes.jsonl", "cloudevents", &["--envelopes"]),
        ("otlp.json", "otlp", &[]),
    ] {
        let written = ledger.export(what, more).expect(0).stdout;
        check_golden(name, &written);
        let out = ledger.path(name);
        ledger.export(what, &[more, &["-o", text(&out)]].concat()).expect(0);
        assert_eq!(std::fs::read_to_string(&out).expect("the file"), written, "{name}");
    }
    let trace = TRACE.to_string();
    let data = ledger.data();
    for (name, more) in
        [("workflow.svg", "--svg"), ("workflow.dot", "--dot"), ("workflow.mmd", "--mermaid")]
    {
        let drawn = tally(["workflow", "--data", text(&data), "--trace", &trace, more]).expect(0);
        check_golden(name, &drawn.stdout);
    }
}

#[test]
fn a_server_and_a_directory_tell_the_same_and_an_earlier_moment_tells_less() {
    let story = workflow();
    let ledger = Ledger::of(&story.said);
    let half = (story.position("charting")).to_string();
    let server = Server::start(&ledger.data());
    for what in ["prov", "openlineage", "cloudevents", "otlp"] {
        let read = |more: &[&str]| ledger.export(what, more).expect(0).stdout;
        let served = tally(["export", what, "--url", &server.url]).expect(0).stdout;
        assert_eq!(served, read(&[]), "{what}");
        let then = tally(["export", what, "--url", &server.url, "--as-of", &half]).expect(0).stdout;
        assert_eq!(then, read(&["--as-of", &half]), "{what}");
        assert!(then.len() < served.len(), "{what}");
    }
    let question = ["lineage", "--data-ref", "file:poster.pdf", "--direction", "up"];
    let data = ledger.data();
    for picture in ["--dot", "--mermaid", "--svg"] {
        let read = tally(question.iter().chain(&["--data", text(&data), picture])).expect(0).stdout;
        let asked = tally(question.iter().chain(&["--url", &server.url, picture])).expect(0).stdout;
        assert_eq!(read, asked, "{picture}");
        assert!(read.contains("poster") && read.contains("press/print"), "{read}");
    }
    for what in ["prov", "otlp"] {
        let unknown = ["--trace", "07070707070707070707070707070707"];
        ledger.export(what, &unknown).expect(1);
    }
}

fn document(ledger: &Ledger, more: &[&str]) -> Document {
    let json = ledger.export("prov", more).expect(0).stdout;
    Document::parse_json(json.as_bytes()).expect("PROV-JSON")
}

#[test]
fn every_relation_names_its_event_and_its_ground() {
    let story = workflow();
    let ledger = Ledger::of(&story.said);
    let all = document(&ledger, &[]);
    let mut grounds = std::collections::BTreeMap::<String, usize>::new();
    for record in &all.records {
        if matches!(record.kind, Kind::Entity | Kind::Activity | Kind::Agent) {
            continue;
        }
        let position = record.attribute("tally:position").expect("a position");
        let number: usize = match position {
            tally_interop::prov::Value::Literal { text, .. } => text.parse().expect("a number"),
            tally_interop::prov::Value::Name(name) => panic!("{name}"),
        };
        assert!(number < story.said.len());
        *grounds.entry(format!("{:?}", record.attribute("tally:class"))).or_default() += 1;
    }
    assert_eq!(grounds.len(), 3, "asserted, inferred, imported: {grounds:?}");
    let run = format!("run:{}", story.id("again"));
    let used = all
        .records
        .iter()
        .find(|record| record.kind == Kind::Usage && record.part("activity") == Some(&run));
    let used = format!("{:?}", used.expect("it used the intent's input"));
    assert!(used.contains("inferred"), "{used}");
    // One workflow leaves out what is not of it.
    let one = document(&ledger, &["--trace", &TRACE.to_string()]);
    assert!(one.records.len() < all.records.len());
    assert_eq!(one.count(Kind::Delegation), 0);
    assert_eq!((all.count(Kind::Delegation), all.count(Kind::Invalidation)), (1, 1));
}

/// What `tally check-prov` answers to a ledger's export.
fn verdict(ledger: &Ledger, code: i32, more: &[&str]) -> Value {
    let out = ledger.path("prov.json");
    ledger.export("prov", &["-o", text(&out)]).expect(0);
    tally(["check-prov", text(&out), "--json"].iter().chain(more)).expect(code).json()
}

#[test]
fn times_that_can_be_are_possible_and_those_that_can_t_are_named_with_their_events() {
    let story = workflow();
    assert_eq!(verdict(&Ledger::of(&story.said), 0, &[])["verdict"], "possible");

    // A task that states it ended before its terms were on record, which its outputs rest on.
    let mut early = Story::empty();
    early.say("petrel", "skill", capability("sounding"));
    early.say("buyer", "wish", json!({ "intent": { "open": { "outcome": "the depth" } } }));
    early.say("petrel", "bid", early.offer("wish", "skill", 9, None));
    early.say("buyer", "draw", early.start("wish", "bid", json!({ "attempt": 1 })));
    let end = json!({ "outcome": "succeeded", "started_at_us": BEGIN, "ended_at_us": recorded(5) });
    early.work("petrel", "draw", end);
    let ledger = Ledger::of(&early.said);
    let answer = verdict(&ledger, 1, &[]);
    assert_eq!(answer["verdict"], "contradictory");
    let found = answer["violations"].as_array().expect("violations");
    assert!(!found.is_empty());
    for found in found {
        let constraints = found["constraints"].as_array().expect("constraints");
        assert!(constraints.contains(&json!("wasStartedBy-ordering")), "{found}");
        assert_eq!(found["events"], json!([early.position("draw"), early.position("done")]));
    }
    assert_eq!(verdict(&ledger, 0, &["--clock-skew", "1"])["verdict"], "possible");
    tally(["check-prov", text(&ledger.path("me.pem"))]).expect(2);
}

// ------------------------------------------------------------------ imports

fn event(number: u64, change: impl FnOnce(&mut Value)) -> String {
    let mut event = json!({
        "eventTime": "2026-11-18T11:06:40Z", "eventType": "COMPLETE",
        "producer": "https://press.example", "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        "run": { "runId": format!("01890a5d-ac96-774b-bcce-b302099a805{number}") },
        "job": { "namespace": "press", "name": "print" },
        "inputs": [{ "namespace": "s3://harbour", "name": "chart.pdf" }],
        "outputs": [{ "namespace": "press", "name": "poster" }],
    });
    change(&mut event);
    event.to_string()
}

fn size(desk: &Desk) -> Value {
    desk.ask(&["findings"]).expect(0).json()["as_of"].clone()
}

#[test]
fn what_others_recorded_becomes_claims_of_the_importer() {
    let desk = Desk::new();
    let (key, me) = desk.agent("me.pem");
    let import = |file: &str, more: &[&str]| {
        tally(
            ["import", "openlineage", file, "--key", &key, "--url", &desk.server.url, "--json"]
                .iter()
                .chain(more),
        )
    };
    let text = format!("{}\n{}\n", event(1, |_| {}), event(2, |event| event["inputs"] = json!([])));
    let file = desk.write("runs.jsonl", &text);
    let shown = import(&file, &["--dry-run"]).expect(0).json_lines();
    assert_eq!(size(&desk), 0, "a look appends nothing");
    assert_eq!(import(&file, &[]).expect(0).json_lines().len(), 2);
    let log = tally(["log", "--url", &desk.server.url, "--json"]).expect(0).json_lines();
    for (line, shown) in log.iter().zip(&shown) {
        assert_eq!(line["envelope"]["message"], shown["message"], "{line}");
        let claim = &shown["message"]["attest"]["claim"];
        assert_eq!(claim["subject"]["agent"], json!(me), "the importer answers for it");
        assert_eq!(claim["evidence"][0]["digest"], json!(Digest::of(text.as_bytes())));
    }
    assert_eq!(shown[0]["message"]["attest"]["claim"]["evidence"][0]["inline"], json!(text));
    let up = ["lineage", "--data-ref", "openlineage:press/poster", "--direction", "up"];
    assert_eq!(desk.ask(&up).expect(0).json()["data"], json!(["s3://harbour/chart.pdf"]));
    let drawn = tally(up.iter().chain(&["--dot", "--url", &desk.server.url])).expect(0).stdout;
    assert!(
        drawn.contains("dotted") && !drawn.contains("solid"),
        "imported, not asserted: {drawn}"
    );
}

#[test]
fn what_is_malformed_is_refused_with_field_rule_and_remedy_and_appends_nothing() {
    let desk = Desk::new();
    let key = desk.key("me.pem");
    let refuse = |what: &str, text: String, words: &str| {
        let file = desk.write("document", &text);
        let answer =
            tally(["import", what, &file, "--key", &key, "--url", &desk.server.url]).expect(2);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
        assert!(answer.stderr.contains("nothing was appended"), "{}", answer.stderr);
    };
    let good = event(1, |_| {});
    let second = |change: fn(&mut Value)| format!("{good}\n{}", event(2, change));
    refuse(
        "openlineage",
        second(|event| event["eventTime"] = json!("noon")),
        "event 1.eventTime: a time is RFC 3339 with a zone; write it as in 2026-",
    );
    refuse("openlineage", second(|event| event["eventType"] = json!("DONE")), "event 1.eventType");
    refuse(
        "openlineage",
        second(|event| event["run"]["runId"] = json!("7")),
        "event 1.run.runId: a run id is a UUID",
    );
    refuse(
        "openlineage",
        second(|event| event["inputs"][0]["name"] = json!(3)),
        "event 1.inputs[0].name: it must be a text",
    );
    refuse(
        "openlineage",
        second(|event| event["inputs"] = json!([3])),
        "event 1.inputs[0]: it must be an object",
    );
    refuse(
        "openlineage",
        second(|event| event["run"] = Value::Null),
        "leave job and dataset events out",
    );
    refuse("openlineage", format!("{good}\n{{"), "document: it is no JSON");
    refuse("openlineage", String::new(), "it has no event");
    let card = json!({ "name": "Petrel", "description": "Surveys.", "version": "1.0",
        "supportedInterfaces": [{ "url": "https://petrel.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/csv"],
        "skills": [{ "id": "s", "name": "Sounding", "description": "Depth.", "tags": ["survey"] }] });
    for (pointer, words) in [
        ("/name", "card.name: it must be there"),
        ("/version", "card.version"),
        ("/capabilities", "card.capabilities"),
        ("/supportedInterfaces", "a card before A2A 1.0"),
        ("/supportedInterfaces/0/url", "card.supportedInterfaces[0].url"),
        ("/skills/0/tags", "card.skills[0].tags"),
        ("/defaultInputModes", "card.defaultInputModes: there must be one"),
    ] {
        let mut damaged = card.clone();
        *damaged.pointer_mut(pointer).expect("a member") = Value::Null;
        refuse("a2a", damaged.to_string(), words);
    }
    assert_eq!(size(&desk), 0);
    let file = desk.write("card.json", &card.to_string());
    let import = ["import", "a2a", &file, "--key", &key, "--url", &desk.server.url, "--json"];
    tally(import.iter().chain(&["--about", "nobody"])).expect(2);
    let appended = tally(import).expect(0).json();
    assert_eq!(appended["kind"], "imported.a2a.agent-card");
}
