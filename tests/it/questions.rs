//! The program's questions about decisions, on a negotiation that is written in JSON by hand: what
//! a person need not write is filled in, and every answer is the same from a server and a directory.

use serde_json::{Value, json};
use tally_protocol::message::Reveal;
use tally_protocol::parts::Price;
use tally_protocol::{Digest, EnvelopeId};
use tally_tests::program::{Answer, Running, Server, tally};

struct Desk {
    directory: tempfile::TempDir,
    server: Server,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(&directory.path().join("data"));
        Self { directory, server }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    /// A new agent: its key's file, and its name.
    fn agent(&self, name: &str) -> (String, String) {
        let key = self.path(name);
        let made = tally(["keygen", "--json", &key]).expect(0).json();
        (key, made["agent"].as_str().expect("a name").to_owned())
    }

    fn try_submit(&self, key: &str, message: &Value) -> Answer {
        let file = self.write("message.json", &message.to_string());
        tally(["submit", "--json", "--url", &self.server.url, "--key", key, &file])
    }

    fn submit(&self, key: &str, message: Value) -> String {
        let answer = self.try_submit(key, &message).expect(0).json();
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// The same answer from the server and from its directory.
    fn ask(&self, args: &[&str]) -> Answer {
        self.ask_for(args, 0)
    }

    fn ask_for(&self, args: &[&str], code: i32) -> Answer {
        let asked = tally(args.iter().chain(&["--json", "--url", &self.server.url])).expect(code);
        let read = tally(args.iter().chain(&["--json", "--data", &self.path("data")])).expect(code);
        if code == 0 {
            assert_eq!(asked.stdout, read.stdout, "{args:?}");
        }
        // And for people.
        tally(args.iter().chain(&["--url", &self.server.url])).expect(code);
        asked
    }

    fn size(&self) -> String {
        self.ask(&["findings"]).json()["as_of"].to_string()
    }
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
    let cheap = desk.submit(&seller, survey("cheap", 8));
    let before_dear = desk.size();
    let dear = desk.submit(&seller, survey("dear", 80));

    // R2: schemas as files, the searcher's policies, and why something is not found, then and now.
    let wide = desk.write("wide.json", r#"{"type": "integer"}"#);
    let narrow = desk.write("narrow.json", r#"{"type": "integer", "maximum": 3}"#);
    let found = |args: &[&str]| {
        let catalog = desk.ask(&[&["catalog", "--category", "survey"], args].concat()).json();
        let found = catalog["matches"].as_array().expect("matches").clone();
        found.iter().map(|found| found["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all: Vec<String> = found(&["--output-schema", &wide]);
    assert_eq!(all, [cheap.clone(), dear.clone()], "the cheaper first");
    assert_eq!(found(&["--output-schema", &narrow]), Vec::<String>::new());
    assert_eq!(found(&["--at", &before_dear]), std::slice::from_ref(&cheap));
    let why_not = |args: &[&str]| {
        let catalog = desk.ask(&[&["catalog", "--why-not", &dear], args].concat()).json();
        catalog["near_misses"][0]["failed"].clone()
    };
    let failed = why_not(&["--output-schema", &narrow]);
    assert_eq!(
        (&failed[0]["field"], &failed[0]["path"]),
        (&json!("output_schema"), &json!("/maximum"))
    );
    assert_eq!(why_not(&["--max-cost", "10 EUR"])[0]["found"], "costs 80 EUR");
    let own = json!({ "agent": buyer_name });
    desk.submit(&buyer, cedar(CHEAP, 1, "activate", &own));
    let denied = why_not(&["--searcher", &buyer_name])[0].clone();
    assert_eq!(denied["field"], "policy");
    assert!(denied["found"].as_str().expect("a text").contains("we pay ten at most"), "{denied}");
    desk.ask_for(&["catalog", "--why-not", &"07".repeat(32)], 1);

    // R15, R21: an award under policies, which the program pins, and what it rests on.
    let intent = json!({ "intent": { "open": {
        "outcome": "depths", "category": "survey",
        "output_schema": { "inline": { "type": "integer" } },
    } } });
    let intent = desk.submit(&buyer, intent);
    let offer = |capability: &str, price: u64| {
        let price = json!({ "amount": price, "currency": "EUR" });
        json!({ "offer": { "intent": intent, "capability": capability, "price": price } })
    };
    let refused = desk.try_submit(&seller, &offer(&dear, 80)).expect(1).json();
    assert_eq!(refused["error"]["rule"], "R21.policy");
    let offered = desk.submit(&seller, offer(&cheap, 8));
    assert_eq!(desk.ask(&["why", &intent]).json()["awards"], json!([]));
    let task = desk.submit(&buyer, json!({ "task_start": { "intent": intent, "offer": offered } }));
    for id in [&intent, &task] {
        let why = desk.ask(&["why", id]).json();
        assert_eq!(why["awards"][0]["offer"], json!(offered));
        assert!(why["awards"][0]["policy_set"].is_string(), "{why}");
        assert_eq!(why["awards"][0]["policies"].as_array().expect("policies").len(), 1);
    }
    desk.ask_for(&["why", &"07".repeat(32)], 1);

    // R21: what a new policy no longer allows.
    assert_eq!(desk.ask(&["compliance"]).json()["not_compliant"], json!([]));
    let nothing = r#"forbid (principal, action, resource);"#;
    let before_policy = desk.size();
    desk.submit(&buyer, cedar(nothing, 2, "amend", &own));
    let listed = desk.ask(&["compliance"]).json()["not_compliant"].clone();
    assert_eq!(listed[0]["object"], json!({ "task": task }));
    assert_eq!(listed[0]["record"]["decision"]["allowed"], false);
    assert_eq!(
        desk.ask(&["compliance", "--at", &before_policy]).json()["not_compliant"],
        json!([])
    );

    // R18: what the executor says after the end is found.
    for (state, percent) in [("accepted", 0), ("running", 10)] {
        let said = json!({ "task": task, "state": state, "percent": percent });
        desk.submit(&seller, json!({ "task_progress": said }));
    }
    let done = |outcome: &str, depth: &str| {
        let map = json!({ "uri": "mem:depth", "inline": depth, "media_type": "application/json" });
        json!({ "task_done": { "task": task, "outcome": outcome, "outputs": [map] } })
    };
    let refused = desk.try_submit(&seller, &done("succeeded", "\"deep\"")).expect(1).json();
    assert_eq!(refused["error"]["rule"], "R14.output", "the data does not fit the schema");
    desk.submit(&seller, done("succeeded", "4"));
    assert_eq!(desk.ask(&["findings"]).json()["findings"], json!([]));
    desk.submit(&seller, done("failed", "4"));
    let findings = desk.ask(&["findings", "--agent", &seller_name]).json()["findings"].clone();
    assert_eq!(findings[0]["kind"], "conflicting_outcome");
    assert_eq!(desk.ask(&["findings", "--agent", &buyer_name]).json()["findings"], json!([]));

    // R21: every decision, made again from either source.
    let decisions = desk.ask(&["decisions"]).json_lines();
    let kinds: Vec<&str> =
        decisions.iter().map(|line| line["decision"].as_str().expect("a kind")).collect();
    // Offer, award and start, running, done.
    assert_eq!(kinds, ["policy", "award", "policy", "policy", "policy"]);
    let position = decisions[1]["position"].to_string();
    let one = desk.ask(&["decisions", "--position", &position]).json_lines();
    assert_eq!(one, decisions[1..3]);

    // R23, R24: the workflow, drawn and in numbers.
    let workflow = desk.ask(&["workflow", &intent]).json();
    assert_eq!(workflow["intents"][0]["offers"].as_array().expect("offers").len(), 1);
    assert_eq!(workflow["critical_path"]["steps"][0]["task"], json!(task));
    let url = ["--url", &desk.server.url];
    let drawn = tally(["workflow", &intent, "--dot"].iter().chain(&url)).expect(0).stdout;
    assert!(drawn.starts_with("digraph") && drawn.contains("depths"), "{drawn}");
    desk.ask_for(&["workflow", &"07".repeat(32)], 1);
    desk.ask_for(&["workflow", "--trace", &"07".repeat(16)], 1);
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
    assert!(tally(["policy", "--schema"]).expect(0).stdout.contains("entity Agent"));
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
