//! Projections as an operator sees them, and answers as of earlier moments.

use serde_json::{Value, json};
use tally_tests::desk::Desk;
use tally_tests::program::tally;

fn told(desk: &Desk, args: &[&str]) -> Value {
    desk.ask(&[&["projection"], args].concat()).expect(0).json()
}

fn submit(desk: &Desk, key: &str, message: &Value) -> String {
    let answer = desk.submit(key, &desk.write("message.json", &message.to_string())).expect(0);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_projection_is_listed_built_again_and_switched() {
    let desk = Desk::new();
    let key = desk.key("a.pem");
    for n in 0..5 {
        let intent = json!({ "intent": { "open": { "outcome": format!("chart {n}") } } });
        submit(&desk, &key, &intent);
    }
    let listed = told(&desk, &["list"]);
    let names: Vec<_> = listed.as_array().expect("rows").iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["graph", "index"]);
    for (row, build) in listed.as_array().expect("rows").iter().zip(["v3-0", "v2-0"]) {
        assert_eq!((&row["build"], &row["quarantined"]), (&json!(build), &json!(0)), "{row}");
        assert_eq!(row["size"], 5, "what gathers to be folded is counted: {row}");
    }
    for (name, build) in [("index", "v2-1"), ("graph", "v3-1"), ("index", "v2-2")] {
        let row = told(&desk, &["rebuild", name, "--wait"])[0].clone();
        assert_eq!((&row["name"], &row["build"]), (&json!(name), &json!(build)), "{row}");
        assert_eq!((&row["cursor"], &row["lag"]), (&json!(5), &json!(0)), "{row}");
        let same = &row["last_build"]["compared"]["same"];
        assert_eq!(same, &json!(true), "{row}");
    }
    let audit = told(&desk, &["audit", "index"]);
    assert_eq!(audit["quarantined"], json!([]));
    let events = audit["audit"].as_array().expect("lines");
    assert_eq!(events.len(), 2, "{audit}");
    assert_eq!((&events[1]["event"], &events[1]["to"]["number"]), (&json!("switched"), &json!(2)));
    // What can't be done is said.
    for (args, says) in [
        (["rebuild", "nothing"], "there are graph, index"),
        (["cancel", "index"], "nothing to cancel"),
        (["audit", "nothing"], "there is no projection"),
    ] {
        let refused = desk.ask(&["projection", args[0], args[1]]).expect(1);
        assert!(refused.stdout.contains(says), "{refused:?}");
    }
    // For people.
    tally(["projection", "list", "--url", &desk.server.url]).expect(0);
    tally(["projection", "audit", "index", "--url", &desk.server.url]).expect(0);
}

#[test]
fn every_answer_can_be_had_as_of_an_earlier_moment() {
    let desk = Desk::new();
    let (buyer, seller) = (desk.key("buyer.pem"), desk.key("seller.pem"));
    let capability = json!({ "advertise_capability": { "publish": {
        "name": "survey", "category": "survey" } } });
    let capability = submit(&desk, &seller, &capability);
    let intent = json!({ "intent": { "open": { "outcome": "depths", "category": "survey" } } });
    let intent = submit(&desk, &buyer, &intent);
    let offer = json!({ "offer": { "intent": intent, "capability": capability } });
    let offer = submit(&desk, &seller, &offer);
    let task =
        submit(&desk, &buyer, &json!({ "task_start": { "intent": intent, "offer": offer } }));
    for state in ["accepted", "running"] {
        let progress = json!({ "task": task, "state": state, "percent": 10 });
        submit(&desk, &seller, &json!({ "task_progress": progress }));
    }
    let done = json!({ "task": task, "outcome": "succeeded" });
    submit(&desk, &seller, &json!({ "task_done": done }));

    let size = desk.ask(&["findings"]).expect(0).json()["as_of"].as_u64().expect("a size");
    let data = desk.path("data");
    let log = tally(["log", "--json", "--data", &data]).expect(0).json_lines();
    let time = |nth: u64| {
        let us = log[nth as usize - 1]["recorded_at_us"].as_i64().expect("a time");
        jiff::Timestamp::from_microsecond(us).expect("a time").to_string()
    };
    let mut states = Vec::new();
    // From the last to the first: what was asked before must not show.
    for at in (1..=size).rev() {
        for question in ["task", "intent", "catalog", "findings", "compliance", "digest"] {
            let by = |moment: &str, place: [&str; 2]| {
                let asked = tally([question, "--json", "--as-of", moment].iter().chain(&place));
                asked.expect(0).json()
            };
            let folded = by(&at.to_string(), ["--data", &data]);
            assert_eq!(folded["as_of"], at, "{question}");
            let server = ["--url", &desk.server.url];
            assert_eq!(by(&at.to_string(), server), folded, "{question} as of {at}");
            if at == size || time(at) != time(at + 1) {
                assert_eq!(by(&time(at), server), folded, "{question} as of {}", time(at));
            }
            if question == "task" {
                states.push(folded["tasks"][0]["state"].clone());
            }
        }
        // Before the intent is there, nobody knows of it.
        let at = at.to_string();
        let drawn = |place: [&str; 2]| {
            tally(["workflow", &intent, "--json", "--as-of", &at].iter().chain(&place))
        };
        let (folded, told) = (drawn(["--data", &data]), drawn(["--url", &desk.server.url]));
        assert_eq!(folded.code(), told.code(), "workflow as of {at}");
        assert_eq!(folded.code(), i32::from(at == "1"), "workflow as of {at}");
        assert_eq!(
            (folded.code() == 0).then(|| folded.json()),
            (told.code() == 0).then(|| told.json())
        );
    }
    states.reverse();
    states.dedup();
    assert_eq!(
        states,
        [Value::Null, "assigned".into(), "accepted".into(), "running".into(), "succeeded".into()]
    );
    // Beyond the head there is nothing.
    let beyond = (size + 1).to_string();
    for place in [["--data", &data], ["--url", &desk.server.url]] {
        tally(["task", "--json", "--as-of", &beyond].iter().chain(&place)).expect(1);
    }
    tally(["task", "--as-of", "yesterday", "--data", &data]).expect(2);
}
