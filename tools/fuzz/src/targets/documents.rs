//! Documents inside messages that rules judge: schemas and policies.

use tally_policy::request::{Action, Capability, Terms};
use tally_policy::{Policy, PolicySet, Record, Request};
use tally_schema::{Compatibility, Schema, compare};

use crate::targets::Outcome;

/// Two schemas and a value, a line each: answers agree with each other and with the value.
pub fn schemas(data: &[u8]) -> Outcome {
    let mut lines = data.splitn(3, |&byte| byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (narrow, wide) = match (Schema::parse(line()), Schema::parse(line())) {
        (Ok(narrow), Ok(wide)) => (narrow, wide),
        (Err(error), _) | (_, Err(error)) => return Outcome::refused(&error),
    };
    let value = serde_json::from_slice(line()).unwrap_or_default();
    let (in_narrow, in_wide) = (narrow.validate(&value).is_ok(), wide.validate(&value).is_ok());
    let itself = compare(&narrow, &narrow);
    assert!(!matches!(itself, Compatibility::Incompatible { .. }), "a schema fits itself");
    match compare(&narrow, &wide) {
        Compatibility::Compatible => {
            assert!(!in_narrow || in_wide, "a value contradicts what was proved");
            Outcome::accepted("compatible")
        }
        Compatibility::Incompatible { counterexample, .. } => {
            assert!(narrow.validate(&counterexample).is_ok(), "it is data of the narrow schema");
            assert!(wide.validate(&counterexample).is_err(), "and not of the wide one");
            Outcome::accepted("incompatible")
        }
        Compatibility::Unknown { reason, .. } => Outcome::refused(&reason),
    }
}

/// A policy: what is valid decides, the same each time, and its record replays.
pub fn policy(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    let policy = match Policy::parse("policy", 1, text) {
        Ok(policy) => policy,
        Err(error) => return Outcome::refused(&error),
    };
    let policies = PolicySet::new([policy]).expect("one policy is a set");
    let record = Record::make(&policies, request());
    record.replay(&policies).expect("the same again");
    Outcome::accepted(if record.decision.allowed { "allows" } else { "denies" })
}

fn request() -> Request {
    Request {
        agent: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned(),
        action: Action::Advertise,
        capability: Capability {
            id: "c".to_owned(),
            name: "boat".to_owned(),
            category: "survey".to_owned(),
            tags: Default::default(),
            side_effects: Default::default(),
        },
        terms: Terms::default(),
        claims: Default::default(),
        at: 1,
    }
}
