//! Requests and policies that tests begin with.

use std::collections::{BTreeMap, BTreeSet};

use tally_policy::request::{Action, Amount, Capability, Execution, Intent, Money, Terms};
use tally_policy::{Decision, Policy, PolicySet, Request, evaluate};

pub(crate) const PROVIDER: &str = "did:key:z6MkProvider";
pub(crate) const INITIATOR: &str = "did:key:z6MkInitiator";
pub(crate) const AUDITOR: &str = "did:key:z6MkAuditor";
pub(crate) const STRANGER: &str = "did:key:z6MkStranger";

/// The provider offers text recognition in `eu-central` for 12.50 EUR on 8 GB; the auditor attests
/// ISO 27001 for it.
pub(crate) fn offer() -> Request {
    Request {
        agent: PROVIDER.into(),
        action: Action::Offer(intent()),
        capability: Capability {
            id: "c1".into(),
            name: "ocr".into(),
            category: "vision".into(),
            tags: set(&["text", "pages"]),
            side_effects: BTreeSet::new(),
        },
        terms: Terms {
            any_of: map("region", set(&["eu-central"])),
            all_of: map("certification", set(&["iso27001", "soc2"])),
            none_of: map("storage", set(&["tape"])),
            resources: map("memory", amount(8_000_000_000, "By")),
            cost: Some(Money { amount: 1_250, currency: "EUR".into() }),
            duration: Some(60_000_000),
            deadline: Some(1_764_003_600_000_000),
        },
        claims: map(PROVIDER, map("iso27001", set(&[AUDITOR]))),
        at: 1_764_000_000_000_000,
    }
}

pub(crate) fn intent() -> Intent {
    Intent {
        id: "i1".into(),
        author: INITIATOR.into(),
        category: Some("vision".into()),
        priority: 5,
        privacy: Some("parties".into()),
        labels: map("project", "apollo".to_owned()),
    }
}

pub(crate) fn execution() -> Execution {
    Execution {
        intent: intent(),
        initiator: INITIATOR.into(),
        attempt: 1,
        usage: map("energy", amount(3_000, "J")),
    }
}

/// The offer's request with another action.
pub(crate) fn asked(action: Action) -> Request {
    Request { action, ..offer() }
}

/// One request for each of the five actions.
pub(crate) fn all_actions() -> [Request; 5] {
    [
        asked(Action::Advertise),
        asked(Action::Offer(intent())),
        asked(Action::Start(execution())),
        asked(Action::Continue(execution())),
        asked(Action::Complete(execution())),
    ]
}

pub(crate) fn amount(amount: i64, unit: &str) -> Amount {
    Amount { amount, unit: unit.into() }
}

pub(crate) fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub(crate) fn map<T>(key: &str, value: T) -> BTreeMap<String, T> {
    BTreeMap::from([(key.to_owned(), value)])
}

#[track_caller]
pub(crate) fn policy(id: &str, version: u64, text: &str) -> Policy {
    Policy::parse(id, version, text).unwrap_or_else(|error| panic!("{id}: {error}\n{text}"))
}

/// A set of policies `p0`, `p1` … with these texts.
#[track_caller]
pub(crate) fn policies(texts: &[&str]) -> PolicySet {
    let named = texts.iter().enumerate();
    PolicySet::new(named.map(|(i, text)| policy(&format!("p{i}"), 1, text))).expect("a set")
}

#[track_caller]
pub(crate) fn decide(texts: &[&str], request: &Request) -> Decision {
    evaluate(&policies(texts), request)
}

/// Says whether the texts allow the request, and why in words.
#[track_caller]
pub(crate) fn check(texts: &[&str], request: &Request, allowed: bool, expect: &[&str]) {
    let policies = policies(texts);
    let decision = evaluate(&policies, request);
    let why: Vec<String> = decision.explain(&policies).iter().map(ToString::to_string).collect();
    assert_eq!(
        (decision.allowed, why.iter().map(String::as_str).collect()),
        (allowed, expect.to_vec())
    );
}
