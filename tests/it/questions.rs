//! The program's questions about decisions, on a negotiation that is written in JSON by hand: what
//! a person need not write is filled in, and every answer is the same from a server and a directory.

use serde_json::{Value, json};
use tally_protocol::message::Reveal;
use tally_protocol::parts::Price;
use tally_protocol::{Digest, EnvelopeId};
use tally_tests::desk::Desk;
use tally_tests::program::{Answer, Running, tally};

fn try_submit(desk: &Desk, key: &str, message: &Value) -> Answer {
    desk.submit(key, &desk.write("message.json", &message.to_string()))
}

fn submit(desk: &Desk, key: &str, message: Value) -> String {
    let answer = try_submit(desk, key, &message).expect(0).json();
    answer["id"].as_str().expect("an id").to_owned()
}

/// The same answer from the server and from its directory.
fn ask(desk: &Desk, args: &[&str]) -> Answer {
    ask_for(desk, args, 0)
}

fn ask_for(desk: &Desk, args: &[&str], code: i32) -> Answer {
    let asked = desk.ask(args).expect(code);
    let read = tally(args.iter().chain(&["--json", "--data", &desk.path("data")])).expect(code);
    if code == 0 {
        assert_eq!(asked.stdout, read.stdout, "{args:?}");
    }
    // And for people.
    tally(args.iter().chain(&["--url", &desk.server.url])).expect(code);
    asked
}

fn size(desk: &Desk) -> String {
    ask(desk, &["findings"]).json()["as_of"].to_string()
}

fn cedar(text: &str, version: u64, action: &str, scope: &Value) -> Value {
    json!({ "policy_update": {
        "scope": scope, "name": "care", "policy_version": version, "action": action,
        "text": text, "language": "cedar",
    } })
}

const CHEAP: &str = r#"@id("cheap") @reason("we pay ten at most")
    forbid (principal, action, resource) when { context has cost && context.cost.amount > 10 };"#;

#[test]
fn r2_r15_r21_r23_r24_decisions_are_explained_from_the_log() {
    let desk = Desk::new();
    let (buyer, buyer_name) = desk.agent("buyer.pem");
    let (seller, seller_name) = desk.agent("seller.pem");
    let survey = |name: &str, cost: u64| {
        json!({ "advertise_capability": { "publish": {
            "name": name, "category": "survey",
            "output_schema": { "inline": { "type": "integer", "maximum": 5 } },
            "resources": [{ "name": "boats", "amount": 2 }],
            "cost": { "amount": cost, "currency": "EUR" },
        } } })
    };
    let cheap = submit(&desk, &seller, survey("cheap", 8));
    let before_dear = size(&desk);
    let dear = submit(&desk, &seller, survey("dear", 80));

    // R2: schemas as files, the searcher's policies, and why something is not found, then and now.
    let wide = desk.write("wide.json", r#"{"type": "integer"}"#);
    let narrow = desk.write("narrow.json", r#"{"type": "integer", "maximum": 3}"#);
    let found = |args: &[&str]| {
        let catalog = ask(&desk, &[&["catalog", "--category", "survey"], args].concat()).json();
        let found = catalog["matches"].as_array().expect("matches").clone();
        found.iter().map(|found| found["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all: Vec<String> = found(&["--output-schema", &wide]);
    assert_eq!(all, [cheap.clone(), dear.clone()], "the cheaper first");
    assert_eq!(found(&["--output-schema", &narrow]), Vec::<String>::new());
    assert_eq!(found(&["--at", &before_dear]), std::slice::from_ref(&cheap));
    let why_not = |args: &[&str]| {
        let catalog = ask(&desk, &[&["catalog", "--why-not", &dear], args].concat()).json();
        catalog["near_misses"][0]["failed"].clone()
    };
    let failed = why_not(&["--output-schema", &narrow]);
    assert_eq!(
        (&failed[0]["field"], &failed[0]["path"]),
        (&json!("output_schema"), &json!("/maximum"))
    );
    assert_eq!(why_not(&["--max-cost", "10 EUR"])[0]["found"], "costs 80 EUR");
    let own = json!({ "agent": buyer_name });
    submit(&desk, &buyer, cedar(CHEAP, 1, "activate", &own));
    let denied = why_not(&["--searcher", &buyer_name])[0].clone();
    assert_eq!(denied["field"], "policy");
    assert!(denied["found"].as_str().expect("a text").contains("we pay ten at most"), "{denied}");
    ask_for(&desk, &["catalog", "--why-not", &"07".repeat(32)], 1);

    // R15, R21: an award under policies, which the program pins, and what it rests on.
    let intent = json!({ "intent": { "open": {
        "outcome": "depths", "category": "survey",
        "output_schema": { "inline": { "type": "integer" } },
    } } });
    let intent = submit(&desk, &buyer, intent);
    let offer = |capability: &str, price: u64| {
        let price = json!({ "amount": price, "currency": "EUR" });
        json!({ "offer": { "intent": intent, "capability": capability, "price": price } })
    };
    let refused = try_submit(&desk, &seller, &offer(&dear, 80)).expect(1).json();
    assert_eq!(refused["error"]["rule"], "R21.policy");
    let offered = submit(&desk, &seller, offer(&cheap, 8));
    assert_eq!(ask(&desk, &["why", &intent]).json()["awards"], json!([]));
    let task =
        submit(&desk, &buyer, json!({ "task_start": { "intent": intent, "offer": offered } }));
    for id in [&intent, &task] {
        let why = ask(&desk, &["why", id]).json();
        assert_eq!(why["awards"][0]["offer"], json!(offered));
        assert!(why["awards"][0]["policy_set"].is_string(), "{why}");
        assert_eq!(why["awards"][0]["policies"].as_array().expect("policies").len(), 1);
    }
    ask_for(&desk, &["why", &"07".repeat(32)], 1);

    // R21: what a new policy no longer allows.
    assert_eq!(ask(&desk, &["compliance"]).json()["not_compliant"], json!([]));
    let nothing = r#"forbid (principal, action, resource);"#;
    let before_policy = size(&desk);
    submit(&desk, &buyer, cedar(nothing, 2, "amend", &own));
    let listed = ask(&desk, &["compliance"]).json()["not_compliant"].clone();
    assert_eq!(listed[0]["object"], json!({ "task": task }));
    assert_eq!(listed[0]["record"]["decision"]["allowed"], false);
    assert_eq!(
        ask(&desk, &["compliance", "--at", &before_policy]).json()["not_compliant"],
        json!([])
    );

    // R18: what the executor says after the end is found.
    for (state, percent) in [("accepted", 0), ("running", 10)] {
        let said = json!({ "task": task, "state": state, "percent": percent });
        submit(&desk, &seller, json!({ "task_progress": said }));
    }
    let done = |outcome: &str, depth: &str| {
        let map = json!({ "uri": "mem:depth", "inline": depth, "media_type": "application/json" });
        json!({ "task_done": { "task": task, "outcome": outcome, "outputs": [map] } })
    };
    let refused = try_submit(&desk, &seller, &done("succeeded", "\"deep\"")).expect(1).json();
    assert_eq!(refused["error"]["rule"], "R14.output", "the data does not fit the schema");
    submit(&desk, &seller, done("succeeded", "4"));
    assert_eq!(ask(&desk, &["findings"]).json()["findings"], json!([]));
    submit(&desk, &seller, done("failed", "4"));
    let findings = ask(&desk, &["findings", "--agent", &seller_name]).json()["findings"].clone();
    assert_eq!(findings[0]["kind"], "conflicting_outcome");
    assert_eq!(ask(&desk, &["findings", "--agent", &buyer_name]).json()["findings"], json!([]));

    // R21: every decision, made again from either source.
    let decisions = ask(&desk, &["decisions"]).json_lines();
    let kinds: Vec<&str> =
        decisions.iter().map(|line| line["decision"].as_str().expect("a kind")).collect();
    // Offer, award and start, running, done.
    assert_eq!(kinds, ["policy", "award", "policy", "policy", "policy"]);
    let position = decisions[1]["position"].to_string();
    let one = ask(&desk, &["decisions", "--position", &position]).json_lines();
    assert_eq!(one, decisions[1..3]);

    // R23, R24: the workflow, drawn and in numbers.
    let workflow = ask(&desk, &["workflow", &intent]).json();
    assert_eq!(workflow["intents"][0]["offers"].as_array().expect("offers").len(), 1);
    assert_eq!(workflow["critical_path"]["steps"][0]["task"], json!(task));
    let url = ["--url", &desk.server.url];
    let drawn = tally(["workflow", &intent, "--dot"].iter().chain(&url)).expect(0).stdout;
    assert!(drawn.starts_with("digraph") && drawn.contains("depths"), "{drawn}");
    ask_for(&desk, &["workflow", &"07".repeat(32)], 1);
    ask_for(&desk, &["workflow", "--trace", &"07".repeat(16)], 1);
}

#[test]
fn r17_a_sealed_bid_has_two_halves() {
    let agent = tally_tests::signer::Signer::new(1, &"ledger.example/seal".parse().expect("one"));
    let (intent, bidder) = ("05".repeat(32), agent.agent().to_string());
    let sealed = tally(["seal", "--json", &intent, "70 EUR", "--bidder", &bidder]).expect(0).json();
    let digest = |name: &str| sealed[name].as_str().expect("a digest").parse::<Digest>();
    let intent: EnvelopeId = intent.parse().expect("an id");
    let price = Price::new(70, "EUR".parse().expect("a currency"));
    let salt = digest("salt").expect("hexadecimal");
    let expected = Reveal::commitment(&salt, &agent.agent(), &intent, &price);
    assert_eq!(digest("commitment"), Ok(expected));
    let again = tally(["seal", "--json", &intent.to_string(), "70 EUR", "--bidder", &bidder]);
    assert_ne!(again.expect(0).json()["salt"], sealed["salt"], "a salt is used once");
    tally(["seal", &intent.to_string(), "seventy", "--bidder", &bidder]).expect(2);
}

#[test]
fn schemas_and_policies_are_checked_before_anything_is_signed() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let small = write("small.json", r#"{"type": "integer", "maximum": 5}"#);
    let whole = write("whole.json", r#"{"type": "integer"}"#);
    let verdict = |args: &[&str], code| {
        tally(["schema", "--json"].iter().chain(args)).expect(code).json()["verdict"].clone()
    };
    assert_eq!(verdict(&[&small, "--within", &whole], 0), "compatible");
    assert_eq!(verdict(&[&whole, "--within", &small], 1), "incompatible");
    let (four, nine) = (write("four.json", "4"), write("nine.json", "9"));
    assert_eq!(verdict(&[&small, "--data", &four], 0), "valid");
    assert_eq!(verdict(&[&small, "--data", &nine], 1), "invalid");
    let none = write("none.json", r#"{"type": "integr"}"#);
    tally(["schema", &none, "--data", &four]).expect(2);

    let policy = write("cheap.cedar", CHEAP);
    assert_eq!(tally(["policy", "--json", &policy]).expect(0).json()["rules"], 1);
    let wrong = write("wrong.cedar", "forbid (principal, action, resource) when { context.x };");
    let refused = tally(["policy", &wrong]).expect(1);
    assert!(refused.stderr.contains("wrong.cedar"), "{refused:?}");
    let schema = tally(["policy", "--schema"]).expect(0).stdout;
    assert!(schema.contains("entity Agent"));
    let told = tally(["policy", "--schema", "--json"]).expect(0).json();
    assert_eq!(told["schema"].as_str().map(str::trim_end), Some(schema.trim_end()));
}

#[test]
fn r26_a_goal_is_pursued_and_a_capability_provided_by_commands() {
    let desk = Desk::new();
    let (seller, _) = desk.agent("seller.pem");
    let (buyer, _) = desk.agent("buyer.pem");
    let capability = json!({ "name": "reader", "category": "read" });
    let capability = desk.write("capability.json", &capability.to_string());
    let goal = |bait: &str| {
        let schema = json!({ "inline": { "type": "string", "minLength": 3 } });
        let data = json!({ "uri": "mem:word", "inline": bait, "media_type": "text/plain" });
        let terms = json!({
            "outcome": "the word, quoted", "category": "read", "inputs": [data],
            "output_schema": schema,
        });
        desk.write("goal.json", &terms.to_string())
    };
    let url = desk.server.url.as_str();
    // It gives back what it was told; on one word it fails, and says why.
    let work = r#"word=$(grep -o '"inline":"[a-z]*"' | head -1 | cut -d'"' -f4)
        if [ "$word" = bad ]; then echo "not that word" >&2; exit 3; fi
        echo "\"$word\"""#;
    let provider = Running::start([
        "provide",
        &capability,
        "--key",
        &seller,
        "--url",
        url,
        "--price",
        "5 EUR",
        "--",
        "sh",
        "-c",
        work,
    ]);
    let pursue = |goal: &str, code| {
        let args = ["pursue", "--json", goal, "--key", &buyer, "--url", url, "--wait", "60"];
        tally(args.iter().chain(&["--attempts", "1"])).expect(code).json()
    };
    let reached = pursue(&goal("good"), 0);
    assert_eq!(reached["outputs"][0]["inline"], "\"good\"", "{reached}");
    assert_eq!(reached["tasks"].as_array().expect("tasks").len(), 1);
    let missed = pursue(&goal("bad"), 1);
    let message = missed["error"]["message"].as_str().expect("a message");
    assert!(message.contains("not that word") && message.contains("failed"), "{message}");
    // What does not fit the schema of the goal is no success either.
    let missed = pursue(&goal("no"), 1);
    assert!(missed["error"]["message"].as_str().expect("a message").contains("R14.output"));
    provider.kill();
}
