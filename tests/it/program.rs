//! What users rely on when they script the program: JSON, exit codes, files, and the same answers
//! from a server and from a directory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tally_tests::desk::Desk;
use tally_tests::program::{Answer, Running, Server, copy, shipped, tally, tally_with_input};
use tally_tests::signer::Signer;

/// A port that nobody listens on.
const NOBODY: &str = "http://127.0.0.1:1";

/// All commands.
const COMMANDS: [&str; 24] = [
    "serve",
    "demo",
    "keygen",
    "submit",
    "log",
    "catalog",
    "intent",
    "task",
    "lineage",
    "workflow",
    "why",
    "findings",
    "compliance",
    "decisions",
    "pursue",
    "provide",
    "seal",
    "schema",
    "policy",
    "prove",
    "verify",
    "backup",
    "restore",
    "fsck",
];

fn data(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn said(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().expect("a message").to_owned()
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = tally(["--help"]).expect(0).stdout;
    for command in COMMANDS {
        let named = help.lines().any(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert!(named, "{command} is not in {help}");
        let own = tally([command, "--help"]).expect(0).stdout;
        assert!(own.contains(&format!("tally {command}")), "{own}");
        assert!(own.contains("--json"), "{own}");
    }
    assert!(help.contains("Exit codes: 0"), "{help}");
    assert!(tally(["--version"]).expect(0).stdout.starts_with("tally "));
}

#[test]
fn wrong_usage_is_2_and_an_unreachable_ledger_is_3() {
    let desk = Desk::new();
    for wrong in [
        &["log", "--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["lineage", "--data", "x", "--direction", "up"],
        &["lineage", "--data", "x", "--task", "t", "--direction", "sideways"],
        &["log", "--data", "x", "--url", "http://localhost"],
        &["verify"],
        &["task", "not-an-id"],
    ] {
        let answer = tally(wrong).expect(2);
        assert!(answer.stdout.is_empty() && answer.stderr.contains("--help"), "{answer:?}");
    }
    let key = desk.key("me.pem");
    let message = desk.write("message.json", &wish("a wish").to_string());
    let missing = desk.path("missing");
    for (what, wrong) in [
        ("missing", desk.submit(&key, &missing)),
        ("missing", desk.submit(&missing, &message)),
        ("is no JSON", desk.submit(&key, &desk.write("no.json", "{"))),
        ("message 0", desk.submit(&key, &desk.write("odd.json", "{\"wish\": 1}"))),
        ("message 1", desk.submit(&key, &desk.write("odd.json", &format!("[{}, 7]", wish("a"))))),
        ("tally keygen", desk.submit(&message, &message)),
        ("name+id+key", tally(["log", "--json", "--url", NOBODY, "--log-key", "nonsense"])),
        ("KEY=VALUE", desk.ask(&["task", "--label", "nonsense"])),
        ("--criteria", desk.ask(&["catalog", "--criteria", "{"])),
        ("is no URL", tally(["log", "--json", "--url", "no url"])),
        ("neither a position", desk.ask(&["prove", "nonsense"])),
        ("holds no log", tally(["log", "--json", "--data", &missing])),
        ("holds no log", tally(["verify", "--json", "--data", &missing])),
        ("is not there", tally(["verify", "--json", &missing])),
        (
            "missing",
            tally(["demo", "--json", "--no-wait", "--trace", &missing, "--data", &missing]),
        ),
    ] {
        assert_eq!(wrong.code(), 2, "{wrong:?}");
        assert!(said(&wrong).contains(what), "{what:?}: {wrong:?}");
    }
    for lost in [
        tally(["log", "--json", "--url", NOBODY]),
        tally(["submit", "--json", "--url", NOBODY, "--key", &key, &message]),
        tally(["serve", "--json", "--data", &desk.path("other"), "--listen", &taken(&desk)]),
    ] {
        assert_eq!(lost.code(), 3, "{lost:?}");
        assert!(!said(&lost).is_empty());
    }
    // For people the same goes to standard error.
    let people = tally(["log", "--url", NOBODY]).expect(3);
    assert!(people.stdout.is_empty(), "{people:?}");
    assert!(people.stderr.contains("is `tally serve` running there?"), "{people:?}");
}

fn taken(desk: &Desk) -> String {
    desk.server.url.trim_start_matches("http://").to_owned()
}

fn wish(outcome: &str) -> Value {
    json!({ "intent": { "open": { "outcome": outcome } } })
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("me.pem");
    let made = tally(["keygen", "--json", data(&file)]).expect(0).json();
    assert!(made["agent"].as_str().expect("an agent").starts_with("did:key:z6Mk"));
    let mode = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let before = std::fs::read(&file).expect("a key");
    for args in [
        &["keygen", "--json", data(&file)][..],
        &["keygen", "--json", "--log", "a.org/l", data(&file)],
    ] {
        let again = tally(args).expect(2);
        assert!(said(&again).contains("is not overwritten"), "{again:?}");
    }
    assert_eq!(std::fs::read(&file).expect("a key"), before);

    // A log key names its ledger, and serves it.
    let log = directory.path().join("log.key");
    let made = tally(["keygen", "--json", "--log", "example.org/ledger", data(&log)]).expect(0);
    let named = made.json()["log_key"].as_str().expect("a key").to_owned();
    assert!(named.starts_with("example.org/ledger+"), "{named}");
    assert_eq!(mode(&log), 0o600);
    let served = directory.path().join("data");
    let args = ["serve", "--json", "--data", data(&served), "--listen", "127.0.0.1:0"];
    let mut running = Running::start(args.iter().chain(&["--log-key-file", data(&log)]));
    let said: Value = serde_json::from_str(&running.line().expect("a line")).expect("JSON");
    assert_eq!(said["log_key"], named);
    assert_eq!(said["origin"], "example.org/ledger");
    drop(running);
    let wrong = tally(args.iter().chain(&["--log-key-file", data(&log), "--origin", "a.org/l"]));
    assert!(said_of(&wrong.expect(2)).contains("example.org/ledger"));

    // The key that `serve` makes by itself is as private.
    let own = directory.path().join("own");
    drop(Server::start(&own));
    assert_eq!(mode(&own.join("log.key")), 0o600);
}

fn said_of(answer: &Answer) -> String {
    said(answer)
}

#[test]
fn messages_are_submitted_from_a_file_and_from_standard_input() {
    let desk = Desk::new();
    let key = desk.key("me.pem");
    // One, a list, and one a line with its context.
    let one = desk.submit(&key, &desk.write("one.json", &wish("one").to_string())).expect(0);
    let first = one.json();
    assert_eq!((&first["position"], &first["message"]), (&json!(0), &json!("Intent")));
    assert_eq!(first["receipt_tree_size"], 1);
    let list = json!([wish("two"), wish("three")]).to_string();
    let list = desk.submit(&key, &desk.write("list.json", &list)).expect(0).json_lines();
    let positions: Vec<_> = list.iter().map(|line| line["position"].clone()).collect();
    assert_eq!(positions, [1, 2]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let context = json!({ "message": wish("four"), "trace_id": trace, "causes": [first["id"]] });
    let lines = format!("{context}\n{}\n", wish("five"));
    let args = ["submit", "--json", "--url", &desk.server.url, "--key", &key, "-"];
    let piped = tally_with_input(args, &lines).expect(0).json_lines();
    assert_eq!(piped.len(), 2);

    let log = desk.ask(&["log"]).expect(0).json_lines();
    let outcomes: Vec<_> = log
        .iter()
        .map(|line| line["envelope"]["message"]["intent"]["open"]["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["one", "two", "three", "four", "five"]);
    let fourth = &log[3]["envelope"];
    assert_eq!((&fourth["trace_id"], &fourth["causes"]), (&json!(trace), &json!([first["id"]])));
    let chain: Vec<_> =
        log.iter().map(|line| line["envelope"]["author_sequence"].clone()).collect();
    assert_eq!(chain, [0, 1, 2, 3, 4]);

    // A refusal by the ledger: 1, with the rule, and what came before it stays.
    let nobody = "06".repeat(32);
    let cancel = json!({ "intent": { "cancel": { "intent": nobody } } });
    let both = desk.write("both.json", &json!([wish("six"), cancel, wish("seven")]).to_string());
    let refused = desk.submit(&key, &both).expect(1).json_lines();
    assert_eq!(refused[0]["position"], 5);
    let error = &refused[1]["error"];
    assert_eq!(error["code"], "FailedPrecondition");
    assert_eq!(error["rule"], "R13.reference");
    assert_eq!(error["field"], "intent.cancel.intent");
    assert_eq!(error["object"], format!("envelope {nobody}"));
    assert_eq!(refused.len(), 2, "what follows a refusal is not sent");
    let people = tally(["submit", "--url", &desk.server.url, "--key", &key, &both]).expect(1);
    assert!(people.stderr.contains("R13.reference"), "{people:?}");
    assert!(people.stdout.contains("Intent"), "{people:?}");
}

#[test]
fn following_the_log_prints_what_comes_later() {
    let desk = Desk::new();
    let key = desk.key("me.pem");
    desk.submit(&key, &desk.write("one.json", &wish("before").to_string())).expect(0);
    let args = ["log", "--json", "--follow", "--url", &desk.server.url];
    let mut follower = Running::start(args);
    let mut next = || {
        let line: Value = serde_json::from_str(&follower.line().expect("a line")).expect("JSON");
        line["envelope"]["message"]["intent"]["open"]["outcome"].clone()
    };
    assert_eq!(next(), "before");
    for outcome in ["after", "long after"] {
        desk.submit(&key, &desk.write("more.json", &wish(outcome).to_string())).expect(0);
        assert_eq!(next(), outcome);
    }
}

/// Objects by id, by label, and all of them: from a server and from its directory.
#[test]
fn a_server_and_a_directory_answer_alike() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    copy(&shipped().data(), &path);
    let server = Server::start(&path);
    let both = |args: &[&str], code: i32| -> Answer {
        let own = tally(args.iter().chain(&["--data", data(&path)])).expect(code);
        let asked = tally(args.iter().chain(&["--url", &server.url])).expect(code);
        if code == 0 {
            assert_eq!(own.stdout, asked.stdout, "{args:?}");
        }
        own
    };
    let catalog = both(&["catalog", "--json"], 0).json();
    let matches = catalog["matches"].as_array().expect("matches");
    assert!(matches.len() > 2);
    let one = both(&["catalog", "--json", "--category", "sweep"], 0).json();
    let found = one["matches"].as_array().expect("matches");
    assert!(!found.is_empty() && found.iter().all(|found| found["terms"]["category"] == "sweep"));
    assert!(!one["near_misses"].as_array().expect("misses").is_empty());
    let none = both(&["catalog", "--json", "--tag", "no such tag"], 0).json();
    assert_eq!(none["matches"], json!([]));
    let criteria = r#"{"category": "sweep", "tags": ["workflow"]}"#;
    assert_eq!(
        both(&["catalog", "--json", "--criteria", criteria], 0).json()["matches"],
        one["matches"]
    );

    for kind in ["intent", "task"] {
        let list = format!("{kind}s");
        let all = both(&[kind, "--json"], 0).json();
        let all = all[&list].as_array().expect("a list").clone();
        assert!(all.len() >= 10);
        let positions: Vec<_> = all.iter().map(|one| one["position"].as_u64()).collect();
        assert!(positions.is_sorted_by(|a, b| a > b), "newest first: {positions:?}");
        let id = all[3]["id"].as_str().expect("an id");
        let by_id = both(&[kind, "--json", id], 0).json();
        assert_eq!(by_id[&list], json!([all[3]]));
        let by_label = both(&[kind, "--json", "--label", "wf.task=find_hazards_01"], 0).json();
        let labelled = by_label[&list].as_array().expect("a list").len();
        assert_eq!(labelled, if kind == "task" { 2 } else { 1 }, "{by_label}");
        assert_eq!(both(&[kind, "--json", "--label", "wf.task=none"], 0).json()[&list], json!([]));
        assert_eq!(both(&[kind, "--json", "--live"], 0).json()[&list], json!([]), "all is done");
        let few = both(&[kind, "--json", "--limit", "2"], 0).json();
        assert_eq!(few[&list], json!(all[..2]));
        both(&[kind, &"06".repeat(32)], 1);
    }
    let tried = both(&["task", "--json", "--label", "wf.task=find_hazards_01"], 0).json();
    let states: Vec<_> = [0, 1].map(|n| &tried["tasks"][n]["state"]).into();
    assert_eq!(states, ["succeeded", "failed"], "the newest first");
    assert_eq!(tried["tasks"][0]["replaces"], tried["tasks"][1]["id"]);

    for args in [&["log", "--json"][..], &["log", "--json", "--from", "7", "--to", "9"]] {
        both(args, 0);
    }
    assert_eq!(both(&["log", "--json", "--from", "7", "--to", "9"], 0).json_lines().len(), 2);
    assert_eq!(both(&["log", "--json", "--to", "0"], 0).stdout, "");
    for start in [["--task", "merge_01"], ["--data-ref", "wf:harbour-survey/tide.csv"]] {
        for direction in ["up", "down"] {
            let args = ["lineage", start[0], start[1], "--direction", direction];
            both(&[&args[..], &["--json"]].concat(), 0);
            both(&[&args[..], &["--json", "--depth", "1"]].concat(), 0);
            both(&[&args[..], &["--dot"]].concat(), 0);
            both(&args, 0);
        }
    }
    let id = tried["tasks"][0]["id"].as_str().expect("an id");
    let by_id = both(&["lineage", "--json", "--direction", "up", "--task", id], 0).json();
    let by_label =
        both(&["lineage", "--json", "--direction", "up", "--task", "find_hazards_01"], 0).json();
    assert_eq!(by_id, by_label);
    both(&["lineage", "--json", "--direction", "up", "--task", "no such task"], 1);
    both(&["lineage", "--json", "--direction", "up", "--data-ref", "wf:none"], 1);
    both(&["prove", "100000"], 1);
    both(&["prove", &"06".repeat(32)], 1);
}

#[test]
fn a_receipt_proves_its_event_to_anyone_with_the_key() {
    let desk = Desk::new();
    let key = desk.key("me.pem");
    let both = json!([wish("one"), wish("two"), wish("three")]).to_string();
    let appended = desk.submit(&key, &desk.write("both.json", &both)).expect(0).json_lines();
    let id = appended[1]["id"].as_str().expect("an id");
    let log_key = desk.server.log_key.to_string();
    let file = desk.path("receipt.tlog-proof");
    let made = desk.ask(&["prove", "1", "-o", &file]).expect(0).json();
    assert_eq!((&made["position"], &made["tree_size"]), (&json!(1), &json!(3)));
    let checked = tally(["verify", "--json", &file, "--log-key", &log_key]).expect(0).json();
    assert_eq!(checked["verdict"], "valid", "{checked}");
    assert_eq!((&checked["position"], &checked["id"]), (&json!(1), &json!(id)));
    assert_eq!((&checked["tree_size"], &checked["message"]), (&json!(3), &json!("Intent")));

    // By id, and from the directory: the same file.
    let text = std::fs::read_to_string(&file).expect("a receipt");
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\n"), "{text}");
    assert_eq!(desk.ask(&["prove", id]).expect(0).json()["proof"], text.as_str());
    let path = desk.path("data");
    let offline = tally(["prove", "--json", "--data", &path, id]).expect(0).json();
    assert_eq!(offline["proof"], text.as_str());
    // The key may be in a file, and the author is checked where one is named.
    let public = desk.path("data/log.pub");
    let author = checked["author"].as_str().expect("an author");
    let args = ["verify", "--json", &file, "--log-key", &public, "--author"];
    tally(args.iter().chain(&[author])).expect(0);
    let other = Signer::new(1, &desk.server.origin).agent().to_string();
    let stranger = tally(args.iter().chain(&[other.as_str()])).expect(1).json();
    assert_eq!(stranger["verdict"], "invalid", "{stranger}");

    let without = tally(["verify", "--json", &file]).expect(1).json();
    assert_eq!(without["verdict"], "incomplete", "{without}");
    assert!(without["found"].as_str().expect("what").contains("--log-key"), "{without}");
    let wrong = tally_tlog::NoteSigner::from_seed(desk.server.origin.key_name(), &[1; 32]);
    let wrong = wrong.verifier_key().to_string();
    let wrong = tally(["verify", "--json", &file, "--log-key", &wrong]).expect(1).json();
    assert_eq!(wrong["verdict"], "invalid", "{wrong}");

    // Every line of it counts.
    let bytes = text.as_bytes();
    let mut begin = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let mut tampered = bytes.to_vec();
        tampered[begin + line.len() / 2] ^= 2;
        begin += line.len();
        let file = desk.path("tampered");
        std::fs::write(&file, tampered).expect("written");
        let answer = tally(["verify", "--json", &file, "--log-key", &log_key]).expect(1).json();
        assert_eq!(answer["verdict"], "invalid", "line {n}: {answer}");
    }
}

#[test]
fn drawings_are_graphviz() {
    let data = shipped().data();
    let data = data.to_str().expect("UTF-8");
    let args = ["lineage", "--data", data, "--task", "review_01", "--direction", "up", "--dot"];
    let dot = tally(args).expect(0).stdout;
    assert!(dot.starts_with("digraph"), "{dot}");
    for name in ["merge_01", "tide.csv"] {
        assert!(dot.contains(name), "{name} is not in {dot}");
    }
    let mut command = Command::new("dot");
    command.arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut drawing) = command.spawn() else {
        println!("skipped: Graphviz is not installed");
        return;
    };
    let mut input = drawing.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, dot.as_bytes()).expect("written");
    drop(input);
    let drawn = drawing.wait_with_output().expect("drawn");
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let svg = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(svg.contains("</svg>") && svg.contains("review_01"), "{svg}");
}

/// Every command answers in JSON when asked to: what can be parsed is what scripts need.
#[test]
fn verification_says_the_same_to_people_and_programs() {
    let path = shipped().data();
    let report = tally(["verify", "--json", "--data", data(&path)]).expect(0).json();
    assert_eq!(report["verdict"], "valid");
    assert_eq!(report["size"], shipped().answer["size"]);
    assert_eq!(report["signed_size"], report["size"]);
    assert_eq!(report["root"], shipped().answer["root"]);
    assert_eq!(report["notes"], json!([]));
    let people = tally(["verify", "--data", data(&path)]).expect(0);
    assert!(people.stdout.starts_with("valid: all "), "{people:?}");
    assert!(people.stdout.contains(report["root"].as_str().expect("a root")));
    assert!(people.stderr.contains("--log-key"), "it says whose key it believed: {people:?}");
}
