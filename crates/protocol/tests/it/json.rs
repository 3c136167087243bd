//! JSON: every message round trips, unknown fields are refused, defaults may be left out.

use serde_json::{Value, json};
use tally_protocol::message::*;
use tally_protocol::{AgentId, Digest, EnvelopeId, Message, TraceId};

use crate::samples;

fn json_of(name: &str) -> Value {
    serde_json::to_value(samples::sample(name).message).expect("JSON")
}

#[test]
fn every_message_round_trips() {
    for (name, envelope) in samples::all() {
        let text = serde_json::to_string(&envelope.message).expect("JSON");
        let message: Message = serde_json::from_str(&text).expect(name);
        assert_eq!(message, envelope.message, "{name}");
    }
}

/// Adds a field to every object of the document in turn: each is refused, except within an enum
/// object, where it is a second variant and refused too.
#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    for (name, envelope) in samples::all() {
        let whole = serde_json::to_value(&envelope.message).expect("JSON");
        let mut objects = Vec::new();
        pointers(&whole, String::new(), &mut objects);
        assert!(!objects.is_empty());
        for pointer in objects {
            let mut changed = whole.clone();
            let object = changed.pointer_mut(&pointer).and_then(Value::as_object_mut);
            object.expect("an object").insert("surprise".into(), json!(1));
            let read = serde_json::from_value::<Message>(changed);
            assert!(read.is_err(), "{name}, in {pointer:?}");
        }
    }
}

fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| pointers(field, format!("{at}/{name}"), found));
            found.push(at);
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, item)| pointers(item, format!("{at}/{i}"), found)),
        _ => {}
    }
}

#[test]
fn a_message_is_written_as_people_write_it() {
    let expect = json!({"observe": {"notice": {
        "subject": "11".repeat(32), "state": "paused", "text": "maintenance until noon",
    }}});
    assert_eq!(json_of("observe.notice"), expect);
    let delegation = json_of("attest.delegate");
    let delegate = delegation.pointer("/attest/delegate/delegate").and_then(Value::as_str);
    assert_eq!(delegate, Some(samples::agent(3).to_string().as_str()));
}

#[test]
fn an_envelope_is_written_with_its_context() {
    let json = serde_json::to_value(samples::sample("observe.trace")).expect("JSON");
    let expect = json!({
        "origin": "ledger.example/main",
        "author": samples::agent(1).to_string(),
        "author_sequence": 7,
        "previous": "a0".repeat(32),
        "issued_at_us": 1_790_000_000_000_000_i64,
        "trace_id": "11".repeat(16),
        "causes": ["a1".repeat(32), "a2".repeat(32)],
        "message": {"observe": {"trace": "22".repeat(16)}},
    });
    assert_eq!(json, expect);
    let json = serde_json::to_value(samples::smallest()).expect("JSON");
    let fields: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(fields, ["origin", "author", "author_sequence", "issued_at_us", "message"]);
}

#[test]
fn what_may_be_absent_may_be_left_out() {
    let read = |json: Value| serde_json::from_value::<Message>(json).expect("a message");
    let open = read(json!({"intent": {"open": {"outcome": "text of every page"}}}));
    let Message::Intent(Intent::Open(terms)) = open else { panic!("an intent") };
    assert_eq!(terms.priority, 0);
    assert_eq!(terms.category, None);
    assert!(terms.inputs.is_empty());
    let Message::Discover(search) = read(json!({"discover": {}})) else { panic!("a search") };
    assert_eq!(serde_json::to_value(&search).expect("JSON"), json!({}));
    let done = read(json!({"task_done": {"task": "00".repeat(32), "outcome": "failed"}}));
    assert_eq!(
        serde_json::to_value(done).expect("JSON"),
        json!({"task_done": {"task": "00".repeat(32), "outcome": "failed"}})
    );
}

fn check_refused(json: Value, expect: &str) {
    let error = serde_json::from_value::<Message>(json).expect_err("is refused").to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn what_must_be_there_is_missed() {
    let id = "00".repeat(32);
    check_refused(json!({"intent": {"open": {}}}), "outcome");
    check_refused(json!({"task_done": {"task": id}}), "outcome");
    check_refused(json!({"offer": {"intent": id}}), "capability");
    check_refused(json!({"intent": {}}), "");
    check_refused(json!({}), "");
    check_refused(json!({"intention": {}}), "intention");
}

#[test]
fn limits_hold_in_json_too() {
    let id = "00".repeat(32);
    let notice = |state: &str| json!({"observe": {"notice": {"subject": id, "state": state}}});
    check_refused(notice(""), "is required");
    check_refused(notice("a\nb"), "control character");
    check_refused(notice(&"x".repeat(257)), "has 257 bytes, the limit is 256");
    check_refused(json!({"observe": {"trace": "00"}}), "expected 32 hexadecimal digits");
    check_refused(json!({"task_done": {"task": id, "outcome": "lost"}}), "lost");
}

// ------------------------------------------------------------------ ids and codes

#[test]
fn ids_are_hexadecimal() {
    fn check<T>(text: &str)
    where
        T: std::str::FromStr + std::fmt::Display + serde::Serialize + serde::de::DeserializeOwned,
        T::Err: std::fmt::Debug,
    {
        let id: T = text.parse().expect("an id");
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_value(&id).expect("JSON"), text);
        let again: T = serde_json::from_value(json!(text)).expect("an id");
        assert_eq!(again.to_string(), text);
        for wrong in [&text[1..], &text[2..], &format!("{text}00"), "", &text.replace('a', "g")] {
            assert!(wrong.parse::<T>().is_err(), "{wrong}");
        }
    }
    check::<EnvelopeId>(&"a1".repeat(32));
    check::<Digest>(&"0a".repeat(32));
    check::<TraceId>(&"fa".repeat(16));
    let error = "zz".repeat(100).parse::<TraceId>().expect_err("no id");
    assert_eq!((error.expected, error.found.len()), (32, 80));
}

#[test]
fn an_agent_is_a_did_key_in_json() {
    let agent = samples::agent(1);
    let json = serde_json::to_value(agent).expect("JSON");
    assert_eq!(json, agent.to_string());
    assert_eq!(serde_json::from_value::<AgentId>(json).expect("an agent"), agent);
    assert!(serde_json::from_value::<AgentId>(json!("did:key:z6Mk")).is_err());
}

#[test]
fn codes_have_one_name() {
    fn check<T: serde::Serialize>(code: T, name: String, expect: &str) {
        assert_eq!(name, expect);
        assert_eq!(serde_json::to_value(code).expect("JSON"), expect);
    }
    let blocked = ProgressState::BlockedAuthorisation;
    check(blocked, blocked.name(), "blocked_authorisation");
    let selection = Selection::SealedFirstPrice;
    check(selection, selection.name(), "sealed_first_price");
    check(Outcome::Succeeded, Outcome::Succeeded.name(), "succeeded");
    check(PolicyKind::ResourceLimits, PolicyKind::ResourceLimits.name(), "resource_limits");
}
