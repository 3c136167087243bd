//! Bundles: what a person gets who has one file and one key, and what becomes of a file that lies.

use std::path::Path;

use serde_json::{Value, json};
use tally_node::history::fold_graph;
use tally_protocol::{AuthorSequence, EnvelopeId, Event, Time};
use tally_provenance::{
    DataEntry, Direction, Graph, LeftOut, NodeRef, Start, Subject, Workflow, WorkflowIntent,
};
use tally_store::{LogReader, SegmentReader};
use tally_tests::program::{Played, Server, shipped, tally};
use tally_tests::scribe::Scribe;
use tally_tests::story::{Story, origin};
use tally_tests::workflow::{Shape, generate, recorded};
use tally_tlog::{Hash, NoteSigner, SubsetProof};
use tally_verify::{Bundle, BundleReport, Omission, Trust, Verdict, verify_bundle};

// ------------------------------------------------------------------ honest bundles

fn log_key(data: &Path) -> String {
    std::fs::read_to_string(data.join("log.pub")).expect("a key").trim().to_owned()
}

fn graph(data: &Path) -> Graph {
    let (reader, _) = SegmentReader::open_read_only(data, &mut |_| {}).expect("a log");
    fold_graph(&reader).expect("a graph")
}

/// Makes a bundle and has the program judge it: the file's path and the report.
fn bundle_of(data: &Path, subject: &str, out: &Path) -> Value {
    let (data_text, out_text) = (data.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let made = tally(["bundle", "--json", "--data", data_text, subject, "-o", out_text]).expect(0);
    let made = made.json();
    assert_eq!(made["omitted"], json!([]));
    let key = log_key(data);
    let report = tally(["verify", "--json", out_text, "--log-key", &key]).expect(0).json();
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(made["summary"], report["summary"]);
    assert_eq!(made["events"], report["held"]);
    report
}

/// What a bundle says of a workflow is what the whole ledger says of those intents, and its lineage
/// is the whole ledger's.
fn agrees_with_the_ledger(report: &Value, graph: &Graph) {
    let told: Workflow = serde_json::from_value(report["workflow"].clone()).expect("a workflow");
    let whole = graph.workflow(None);
    let is_told = |intent: &&WorkflowIntent| told.intents.iter().any(|own| own.id == intent.id);
    let expected: Vec<_> = whole.intents.iter().filter(is_told).cloned().collect();
    assert_eq!(told.intents, expected);
    let subject: Subject = serde_json::from_value(report["subject"].clone()).expect("a subject");
    let start = match subject {
        Subject::Task(id) => NodeRef::Task(id),
        Subject::Data(DataEntry { uri, digest }) => NodeRef::Data { uri, digest },
    };
    let lineage = graph.lineage(Start::Node(start), Direction::Up, None).expect("it is known");
    assert_eq!(report["lineage"], serde_json::to_value(lineage.summary()).expect("JSON"));
    for name in &lineage.summary().tasks {
        assert!(told.tasks().iter().any(|task| task.title() == name), "{name} is told");
    }
}

#[test]
fn every_task_of_the_shipped_workflow_has_a_bundle_that_agrees_with_the_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("some.tally-bundle");
    let data = shipped().data();
    let graph = graph(&data);
    let tasks = shipped().answer["tasks"].as_array().expect("tasks");
    for task in tasks {
        let report = bundle_of(&data, task["task"].as_str().expect("a label"), &out);
        agrees_with_the_ledger(&report, &graph);
    }
    // The last task came of all others, by their data.
    let report = bundle_of(&data, "review_01", &out);
    assert_eq!(report["workflow"]["intents"].as_array().expect("intents").len(), tasks.len());
    let summary = report["summary"].as_str().expect("a text");
    assert!(summary.contains("how task review_01 came about: 11 tasks by"), "{summary}");
    // What was made has a bundle too.
    let made = report["lineage"]["data"].as_array().expect("data").last().expect("data").clone();
    let made = made.as_str().expect("a URI");
    let answer = tally([
        "bundle",
        "--json",
        "--data",
        data.to_str().expect("UTF-8"),
        made,
        "-o",
        out.to_str().expect("UTF-8"),
    ]);
    assert!(answer.code() == 0 || answer.stdout.contains("no task"), "{answer:?}");
}

#[test]
fn the_last_task_of_recorded_workflows_has_a_bundle_that_agrees_with_the_ledger() {
    let traces = recorded();
    if traces.is_empty() {
        println!("skipped: no recorded workflows stand beside the workspace");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("last.tally-bundle");
    for trace in traces {
        let played = Played::new(Some(&trace));
        let graph = graph(&played.data());
        let whole = graph.workflow(None);
        let last = *whole.tasks().last().expect("tasks");
        agrees_with_the_ledger(&bundle_of(&played.data(), &last.id.to_string(), &out), &graph);
    }
}

#[test]
fn a_bundle_of_ten_thousand_events_needs_its_file_and_a_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let (trace, out) = (directory.path().join("large.json"), directory.path().join("large.bundle"));
    generate(&trace, 1, Shape { lanes: 74, steps: 37, fan_in: 2_300, waits_for: 600 });
    let played = Played::new(Some(&trace));
    let graph = graph(&played.data());
    let lineage = |id| {
        let start = Start::Node(NodeRef::Task(id));
        graph.lineage(start, Direction::Up, None).expect("it is known").tasks.len()
    };
    let whole = graph.workflow(None);
    let widest = whole.tasks().into_iter().max_by_key(|task| lineage(task.id)).expect("tasks");
    let report = bundle_of(&played.data(), &widest.id.to_string(), &out);
    agrees_with_the_ledger(&report, &graph);
    let held = report["held"].as_u64().expect("a number");
    assert!(held >= 10_000, "{held} events");
    let summary = report["summary"].as_str().expect("a text");
    assert!(!summary.contains('\n') && summary.starts_with("valid: "), "{summary}");
}

/// From a server the same, byte for byte, and a checkpoint that the reader kept is followed up.
#[test]
fn a_server_and_its_directory_give_one_bundle() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    tally_tests::program::copy(&shipped().data(), &data);
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let old = path("old.checkpoint");
    {
        let (reader, _) = SegmentReader::open_read_only(&data, &mut |_| {}).expect("a log");
        std::fs::write(&old, reader.checkpoint()).expect("written");
    }
    let server = Server::start(&data);
    let key = path("me.pem");
    tally(["keygen", &key]).expect(0);
    let ask = path("ask.json");
    std::fs::write(&ask, r#"{"intent": {"open": {"outcome": "later"}}}"#).expect("written");
    tally(["submit", "--url", &server.url, "--key", &key, &ask]).expect(0);
    let (one, other) = (path("one.bundle"), path("other.bundle"));
    let args = ["bundle", "--json", "review_01", "--older", &old, "-o"];
    tally(args.iter().copied().chain([&*one, "--url", &server.url])).expect(0);
    drop(server);
    let data_text = data.to_str().expect("UTF-8");
    tally(args.iter().copied().chain([&*other, "--data", data_text])).expect(0);
    assert_eq!(std::fs::read(&one).expect("a file"), std::fs::read(&other).expect("a file"));

    let log_key = log_key(&data);
    let verify = ["verify", "--json", &*one, "--log-key", &log_key];
    let report = tally(verify.iter().chain(&["--checkpoint", &old])).expect(0).json();
    let covers = report["covers"].to_string();
    assert!(covers.contains("only grown") && covers.contains("you kept"), "{covers}");
    // Without a key there is no verdict, and the question is answered in words for people.
    let report = tally(["verify", "--json", &one]).expect(1).json();
    assert_eq!(report["verdict"], "incomplete");
    assert!(report["summary"].as_str().expect("a text").contains("--log-key"), "{report}");
    let text = tally(["verify", &one, "--log-key", &log_key]).expect(0).stdout;
    assert!(text.starts_with("valid: ") && text.contains("critical path"), "{text}");
    tally(["bundle", "nothing", "-o", &other, "--data", data_text]).expect(1);
}

#[test]
fn less_lineage_is_said_in_the_file() {
    let scribe = Scribe::of(&origin(), &Story::new().said);
    let story = Story::new();
    let closure = scribe.closure(&story.task(), Some(0));
    let made = LeftOut::Data(data("file:depths.csv"));
    let built_on = LeftOut::Envelope(story.id("again"));
    assert_eq!(closure.left_out.into_iter().collect::<Vec<_>>(), [built_on.clone(), made.clone()]);
    let mut bundle =
        scribe.bundle(story.task(), closure.positions.iter().map(|position| position.0));
    assert!(bundle.events.len() < 12, "{}", bundle.events.len());
    let why = || "before the subject".to_owned();
    bundle.omitted = vec![Omission { what: built_on, why: why() }];
    bundle.omitted.push(Omission { what: made, why: why() });
    let report = judge(&bundle.to_bytes());
    assert_eq!(report.verdict, Verdict::Incomplete, "{}", report.summary);
    assert_eq!(report.held, bundle.events.len(), "all that is there was judged");
    assert!(report.missing.iter().all(|missing| missing.declared), "{:?}", report.missing);
    // Not declared, it is a hole.
    bundle.omitted.remove(0);
    is_missing(&judge(&bundle.to_bytes()), Some(story.position("draw")), Some(story.id("again")));
    // All steps are the whole.
    assert_eq!(scribe.closure(&story.task(), Some(2)), scribe.closure(&story.task(), None));
}

// ------------------------------------------------------------------ bundles that lie

fn data(uri: &str) -> DataEntry {
    DataEntry { uri: uri.into(), digest: tally_protocol::Digest::of(uri.as_bytes()) }
}

fn trust() -> Trust {
    let key = NoteSigner::from_seed(origin().key_name(), &[3; 32]).verifier_key();
    Trust { origin: origin(), keys: vec![key], earlier: Vec::new() }
}

fn judge(bytes: &[u8]) -> BundleReport {
    verify_bundle(bytes, &trust(), |_| {})
}

#[track_caller]
fn is_bad(report: &BundleReport, position: Option<u64>, rule: &str) {
    assert_eq!(report.verdict, Verdict::Invalid, "{}", report.summary);
    let bad = report.first_bad.as_ref().expect("what is bad");
    assert_eq!(bad.rule, rule, "{}", report.summary);
    assert_eq!(bad.position.map(|position| position.0), position, "{}", report.summary);
}

#[track_caller]
fn is_missing(report: &BundleReport, position: Option<u64>, envelope: Option<EnvelopeId>) {
    assert_eq!(report.verdict, Verdict::Incomplete, "{}", report.summary);
    let missing = &report.missing[0];
    assert_eq!(missing.position.map(|position| position.0), position, "{}", report.summary);
    assert_eq!(missing.envelope, envelope, "{}", report.summary);
    assert!(!missing.declared);
}

fn whole() -> (Story, Scribe, Bundle) {
    let story = Story::new();
    let scribe = Scribe::of(&origin(), &story.said);
    let bundle = scribe.whole_bundle(story.task());
    (story, scribe, bundle)
}

#[test]
fn an_honest_bundle_is_valid_and_leaves_strangers_out() {
    let (story, scribe, bundle) = whole();
    let report = judge(&bundle.to_bytes());
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.summary);
    let all: Vec<u64> = (0..scribe.events().len() as u64).collect();
    let strange = [story.position("strange"), story.position("aside")];
    let expected: Vec<u64> = all.into_iter().filter(|at| !strange.contains(at)).collect();
    let there: Vec<u64> = bundle.events.iter().map(|event| event.position().0).collect();
    assert_eq!(there, expected);
    assert_eq!(
        report.summary,
        "valid: 23 events prove how task chart came about: 3 tasks by 5 agents, up to checkpoint 25 \
         of example.org/ledger"
    );
    assert_eq!(judge(&scribe.whole_bundle(story.chart()).to_bytes()).verdict, Verdict::Valid);
    assert_eq!(Bundle::parse(&bundle.to_bytes()).expect("a bundle"), bundle);
}

/// Whoever changes the file and can't sign for the log.
#[test]
fn a_file_that_was_changed_is_invalid() {
    let (story, scribe, honest) = whole();
    let changed = |change: fn(&mut Bundle)| {
        let mut bundle = honest.clone();
        change(&mut bundle);
        judge(&bundle.to_bytes())
    };
    is_bad(&changed(|bundle| drop(bundle.events.remove(4))), None, "tree");
    is_bad(&changed(|bundle| bundle.events.swap(4, 5)), None, "format");
    is_bad(&changed(|bundle| bundle.events[5] = bundle.events[4].clone()), None, "format");
    is_bad(
        &changed(|bundle| {
            let mut bytes = bundle.events[4].bytes().to_vec();
            *bytes.last_mut().expect("bytes") ^= 1;
            bundle.events[4] = Event::decode(bytes.into()).expect("an event");
        }),
        None,
        "tree",
    );
    let with_nodes = |bundle: &mut Bundle, change: fn(&mut Vec<Hash>)| {
        let mut nodes = bundle.nodes.hashes().to_vec();
        change(&mut nodes);
        bundle.nodes = SubsetProof::new(nodes);
    };
    let mut bundle = honest.clone();
    with_nodes(&mut bundle, |nodes| nodes[0] = Hash::new([7; 32]));
    is_bad(&judge(&bundle.to_bytes()), None, "tree");
    let mut bundle = honest.clone();
    with_nodes(&mut bundle, |nodes| nodes.truncate(nodes.len() - 1));
    is_bad(&judge(&bundle.to_bytes()), None, "tree");
    let mut bundle = honest.clone();
    with_nodes(&mut bundle, |nodes| nodes.push(Hash::new([7; 32])));
    is_bad(&judge(&bundle.to_bytes()), None, "tree");

    let other = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let mut bundle = honest.clone();
    bundle.checkpoint = scribe.checkpoint_signed_by(25, &other);
    is_bad(&judge(&bundle.to_bytes()), None, "checkpoint");
    let mut bundle = honest.clone();
    bundle.checkpoint = scribe.checkpoint_at(24);
    is_bad(&judge(&bundle.to_bytes()), None, "tree");
    let mut bundle = honest.clone();
    bundle.origin = "example.org/other".parse().expect("an origin");
    is_bad(&judge(&bundle.to_bytes()), None, "origin");
    let mut bundle = honest.clone();
    bundle.subject = Subject::Task(story.id("drawing"));
    is_missing(&judge(&bundle.to_bytes()), None, None);
    let mut bundle = honest;
    bundle.subject = Subject::Data(data("file:basin.csv"));
    is_missing(&judge(&bundle.to_bytes()), None, None);
}

/// A bundle has one spelling.
#[test]
fn another_spelling_is_no_bundle() {
    let text = String::from_utf8(whole().2.to_bytes()).expect("UTF-8");
    let spelt = |from: &str, to: &str| {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        is_bad(&judge(other.as_bytes()), None, "format");
    };
    spelt("\"omitted\":[]", "\"omitted\":[],\n\"more\":1");
    spelt("\"omitted\":[]", "\"omitted\":[],\n\"omitted\":[]");
    spelt("\"omitted\":[]", "\"older\":null,\n\"omitted\":[]");
    spelt("\"omitted\":[]", "\"omitted\": []");
    spelt("tally-bundle-v1", "tally-bundle-v2");
    spelt("\"events\":[\n\"AQ", "\"events\":[\n\"AR");
    spelt("}\n", "}");
    spelt("\"origin\":\"example", "\"origin\":\"\\u0065xample");
    is_bad(&judge(b""), None, "format");
    let cut = text.len() / 2;
    is_bad(&judge(&text.as_bytes()[..cut]), None, "format");
}

/// Whoever leaves out what another event needs and proves the rest honestly.
#[test]
fn a_hole_is_named() {
    let (story, scribe, bundle) = whole();
    let without = |name: &str| {
        let hole = story.position(name);
        let positions = bundle.events.iter().map(|event| event.position().0);
        let rest = scribe.bundle(story.task(), positions.filter(|at| *at != hole));
        judge(&rest.to_bytes())
    };
    let names = [
        ("sounding", "dear"),
        ("depth", "dear"),
        ("fair", "again"),
        ("dear", "counter"),
        ("try", "accepted of try"),
        ("again", "accepted of again"),
        ("drawing", "draw"),
    ];
    for (hole, by) in names {
        let at = match by {
            "accepted of try" => story.position("try") + 1,
            "accepted of again" => story.position("again") + 1,
            other => story.position(other),
        };
        is_missing(&without(hole), Some(at), Some(story.id(hole)));
    }
    is_missing(&without("draw"), Some(story.position("draw") + 1), Some(story.id("draw")));
    // What no event names is missed where the rules can't go on.
    is_bad(&without("delegation"), Some(story.position("draw")), "R6.initiator");
    is_bad(&without("accepted"), Some(story.position("running")), "R18.transition");
    // And what nobody needs is not missed at all: no bundle shows that nothing else happened.
    assert_eq!(without("claim").verdict, Verdict::Valid);
}

/// An operator who holds the log key and took in what the rules refuse.
#[test]
fn what_the_operator_should_have_refused_is_named() {
    let bad = |who: &'static str, said: fn(&Story) -> Value, rule: &str| {
        let mut story = Story::new();
        let said = said(&story);
        story.say(who, "crime", said);
        let scribe = Scribe::of(&origin(), &story.said);
        let bundle = scribe.whole_bundle(story.task());
        is_bad(&judge(&bundle.to_bytes()), Some(story.position("crime")), rule);
    };
    bad("petrel", |story| story.progress("draw", "running", 60), "R18.terminal");
    bad("tern", |story| story.done("draw", json!({ "outcome": "failed" })), "R7.executor");
    bad("petrel", |story| story.offer("charting", "sounding", 1, None), "R12.intent-open");
    bad(
        "stranger",
        |story| json!({ "intent": { "cancel": { "intent": story.id("charting") } } }),
        "R3.author",
    );
    bad("buyer", |story| story.start("depth", "cheap", json!({ "attempt": 1 })), "R12.intent-open");
    bad(
        "stranger",
        |story| json!({ "negotiate": { "withdraw": { "offer": story.id("drawing") } } }),
        "R5.provider",
    );
}

#[test]
fn what_the_operator_forged_is_named() {
    let judged = |record: &mut dyn FnMut(&mut Scribe, &mut Story)| {
        let mut story = Story::new();
        let before = story.said.len() - 1;
        let mut scribe = Scribe::of(&origin(), &story.said[..before]);
        record(&mut scribe, &mut story);
        let all = 0..scribe.events().len() as u64;
        judge(&scribe.bundle(story.task(), all).to_bytes())
    };
    let last = |story: &Story| story.said.last().expect("the end").clone();
    is_bad(
        &judged(&mut |scribe, story| {
            let before = Time(scribe.now().0 - 1);
            scribe.record_at(&last(story), before);
        }),
        Some(24),
        "time",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            let at = scribe.now();
            scribe.record_after(&last(story), at, tally_protocol::ChainHash([7; 32]));
        }),
        Some(24),
        "chain",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            let mut signed = last(story);
            signed.signature[7] ^= 1;
            scribe.record(&signed);
        }),
        Some(24),
        "signature",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            let mut signed = last(story);
            signed.payload = [&signed.payload[..], &[0x78, 1]].concat().into();
            scribe.record(&signed);
        }),
        Some(24),
        "envelope",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            scribe.record(&story.said[3]);
        }),
        Some(24),
        "position",
    );
    let ask = |story: &Story| json!({ "observe": { "task_status": story.id("draw") } });
    is_bad(
        &judged(&mut |scribe, story| {
            let said = ask(story);
            let forged = story.forged("buyer", said, |envelope| {
                envelope.origin = "example.org/other".parse().expect("an origin");
            });
            scribe.record(&forged);
        }),
        Some(24),
        "R13.origin",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            let said = ask(story);
            let forged = story.forged("buyer", said, |envelope| {
                envelope.author_sequence = AuthorSequence(1);
            });
            scribe.record(&forged);
        }),
        Some(24),
        "R13.equivocation",
    );
    is_bad(
        &judged(&mut |scribe, story| {
            let said = ask(story);
            let forged = story.forged("buyer", said, |envelope| {
                envelope.previous = Some(EnvelopeId([7; 32]));
            });
            scribe.record(&forged);
        }),
        Some(24),
        "R13.author-previous",
    );
    // An author's envelopes may lie between; the last of all sequences is no trap.
    let report = judged(&mut |scribe, story| {
        let said = ask(story);
        for who in ["buyer", "petrel"] {
            let forged = story.forged(who, said.clone(), |envelope| {
                envelope.author_sequence = AuthorSequence(u64::MAX);
            });
            scribe.record(&forged);
        }
    });
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.summary);
}

#[test]
fn kept_checkpoints_are_of_the_same_history() {
    let (story, scribe, mut bundle) = whole();
    let keeping = |bundle: &Bundle, kept: &tally_tlog::Checkpoint| {
        let trust = Trust { earlier: vec![kept.clone()], ..trust() };
        verify_bundle(&bundle.to_bytes(), &trust, |_| {})
    };
    let at = |scribe: &Scribe, size| scribe.checkpoint_at(size).unverified().clone();
    // Another history with the same key.
    let mut other = Story::empty();
    other.say("stranger", "other", json!({ "intent": { "open": { "outcome": "other" } } }));
    let mut other = Scribe::of(&origin(), &other.said);
    for signed in &story.said[1..] {
        other.record(signed);
    }

    assert_eq!(keeping(&bundle, &at(&scribe, 25)).verdict, Verdict::Valid);
    is_bad(&keeping(&bundle, &at(&other, 25)), None, "tree");
    is_missing(&keeping(&bundle, &at(&scribe, 10)), None, None);
    bundle.older = Some(scribe.older(10));
    assert_eq!(keeping(&bundle, &at(&scribe, 10)).verdict, Verdict::Valid);
    is_bad(&keeping(&bundle, &at(&other, 10)), None, "tree");
    is_missing(&keeping(&bundle, &at(&scribe, 11)), None, None);
    // An older one that is none of this history, and one that nobody signed.
    bundle.older = Some(other.older(10));
    is_bad(&judge(&bundle.to_bytes()), None, "tree");
    let forger = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let mut older = scribe.older(10);
    older.checkpoint = scribe.checkpoint_signed_by(10, &forger);
    bundle.older = Some(older);
    is_bad(&judge(&bundle.to_bytes()), None, "checkpoint");
}

/// Any part of a log under an honest proof: judged without a panic, and never more than is there.
#[test]
fn any_part_of_a_log_is_judged() {
    let (story, scribe, _) = whole();
    let all = scribe.events().len() as u64;
    let mut number = 1_u64;
    let mut verdicts = [0; 3];
    for _ in 0..600 {
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Two of three bits, so that parts are large.
        let bits = (number >> 32) | (number << 5 >> 32);
        let part: Vec<u64> = (0..all).filter(|at| bits >> at & 1 == 1).collect();
        if part.is_empty() {
            continue;
        }
        let report = judge(&scribe.bundle(story.task(), part).to_bytes());
        verdicts[report.verdict as usize] += 1;
        assert!(report.held <= report.events);
        if report.verdict == Verdict::Valid {
            assert!(report.workflow.tasks().iter().any(|task| task.id == story.id("draw")));
        }
    }
    assert!(verdicts[1] > 0 && verdicts[2] > 0, "{verdicts:?}");
}
