//! A decision can be made again from what is kept: in another process, and in later versions.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use tally_policy::{Digest, Finding, Mismatch, PolicySet, Record};

use crate::support::{offer, policies, policy, set};

/// What the log holds: the texts in force, and the record of a decision.
#[derive(Serialize, Deserialize)]
struct Kept {
    policies: Vec<(String, u64, String)>,
    record: Record,
}

impl Kept {
    fn make(policies: &PolicySet) -> Self {
        let texts = policies.policies().iter();
        Self {
            policies: texts.map(|p| (p.id().into(), p.version(), p.text().into())).collect(),
            record: Record::make(policies, offer()),
        }
    }

    fn policies(&self) -> PolicySet {
        let parsed = self.policies.iter().map(|(id, version, text)| policy(id, *version, text));
        PolicySet::new(parsed).expect("a set")
    }
}

fn in_force() -> PolicySet {
    let platform = include_str!("../fixtures/policies/platform.cedar");
    let strict = "@id(\"cheap\") forbid (principal, action, resource) unless {
        context has cost && context.cost.amount < 1000 };
        forbid (principal, action, resource) when { context.at * context.at > 0 };";
    PolicySet::new([policy("platform", 3, platform), policy("strict", 1, strict)]).expect("a set")
}

#[test]
fn a_record_replays_on_a_fresh_process() {
    let kept = Kept::make(&in_force());
    assert!(!kept.record.decision.allowed);
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "replay::in_a_fresh_process", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&serde_json::to_vec(&kept).expect("JSON")).expect("is read");
    drop(stdin);
    let output = child.wait_with_output().expect("an answer");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let answer = String::from_utf8(output.stdout).expect("UTF-8");
    let decision = serde_json::to_string(&kept.record.decision).expect("JSON");
    assert!(answer.lines().any(|line| line.ends_with(&decision)), "{answer}");
}

#[test]
#[ignore = "the other half of a_record_replays_on_a_fresh_process: reads a record from stdin"]
fn in_a_fresh_process() {
    let kept: Kept = serde_json::from_reader(std::io::stdin()).expect("a record");
    let policies = kept.policies();
    kept.record.replay(&policies).expect("the same");
    let again = Record::make(&policies, kept.record.request);
    println!("{}", serde_json::to_string(&again.decision).expect("JSON"));
}

#[test]
fn a_frozen_record_replays() {
    let frozen = include_str!("../fixtures/record-v1.json");
    let kept: Kept = serde_json::from_str(frozen).expect("a record");
    kept.record.replay(&kept.policies()).expect("the same");
    let made = serde_json::to_string_pretty(&Kept::make(&in_force())).expect("JSON");
    assert_eq!(made, frozen.trim_end(), "a new format or another decision needs a new version");
}

#[test]
fn other_policies_do_not_replay() {
    let record = Record::make(&in_force(), offer());
    let other = policies(&["permit (principal, action, resource);"]);
    let expect = Mismatch::PolicySet { recorded: in_force().digest(), found: other.digest() };
    assert_eq!(record.replay(&other), Err(expect));
}

#[test]
fn a_changed_request_does_not_replay() {
    let mut record = Record::make(&in_force(), offer());
    record.request.claims.clear();
    assert!(matches!(record.replay(&in_force()), Err(Mismatch::Request { .. })));
    // Even with a digest that fits, the decision tells.
    record.decision.request = Record::make(&in_force(), record.request.clone()).decision.request;
    assert!(matches!(record.replay(&in_force()), Err(Mismatch::Decision { .. })));
}

#[test]
fn a_changed_decision_does_not_replay() {
    let honest = Record::make(&in_force(), offer());
    let mut turned = honest.clone();
    turned.decision.allowed = true;
    let mut fewer = honest.clone();
    fewer.decision.grounds.pop();
    let mut other = honest.clone();
    other.decision.grounds[0].finding = Finding::PermitsNot;
    for record in [turned, fewer, other] {
        let mismatch = record.replay(&in_force()).expect_err("was changed");
        assert!(matches!(mismatch, Mismatch::Decision { .. }), "{mismatch}");
    }
    let mut pinned = honest;
    pinned.decision.policy_set = Digest([0; 32]);
    assert!(matches!(pinned.replay(&in_force()), Err(Mismatch::PolicySet { .. })));
}

#[test]
fn a_mismatch_is_told_in_words() {
    let mut record = Record::make(&in_force(), offer());
    record.decision.allowed = true;
    record.decision.grounds.clear();
    let mismatch = record.replay(&in_force()).expect_err("was changed");
    assert_eq!(
        mismatch.to_string(),
        "the record says allowed, the policies say denied (policy \"strict\": rule \"cheap\" \
         forbids; policy \"strict\": rule \"#2\" could not be evaluated, which denies: a number \
         beyond 64 bits)"
    );
}

#[test]
fn policies_that_differ_only_in_bytes_are_other_policies() {
    let text = "permit (principal, action, resource);";
    let digest = |text: &str| policies(&[text]).digest();
    assert_ne!(digest(text), digest(&format!("{text} ")));
    let request = offer();
    let mut other = offer();
    other.terms.any_of.insert("region".into(), set(&["eu-west"]));
    let set = policies(&[text]);
    let digest = |request| Record::make(&set, request).decision.request;
    assert_ne!(digest(request), digest(other));
}
