//! What must never change unseen: how sets and requests are digested, which texts are policies, and
//! what policies decide. A new version of Cedar has to pass this before it is taken.

use tally_policy::request::{Action, Money};
use tally_policy::{Policy, PolicySet, Record, Request, evaluate};

use crate::support::{AUDITOR, PROVIDER, all_actions, amount, map, offer, policy, set};

#[test]
fn the_digest_of_a_set_is_pinned() {
    let text_a = "permit (principal, action, resource);";
    let text_b = "forbid (principal, action, resource);";
    let set = PolicySet::new([policy("b", 2, text_b), policy("aé", 258, text_a)]).expect("a set");

    let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 2];
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 3, b'a', 0xC3, 0xA9, 0, 0, 0, 0, 0, 0, 1, 2]);
    bytes.extend(blake3::hash(text_a.as_bytes()).as_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, b'b', 0, 0, 0, 0, 0, 0, 0, 2]);
    bytes.extend(blake3::hash(text_b.as_bytes()).as_bytes());
    assert_eq!(set.digest().0, blake3::derive_key("tally 2026-11-22 policy set v1", &bytes));
    assert_eq!(
        set.digest().to_string(),
        "a3ceae01c9d1a11790d5982e54e2f933ab31cac61f6b65808e21b42ddaa0204e"
    );
    let none = PolicySet::new([]).expect("a set");
    assert_eq!(
        none.digest().to_string(),
        "545b33c716e2a8c23853e95e28b7ef286132ac736056189f63fe1447bd1f6f4a"
    );
}

#[test]
fn the_digest_of_a_request_is_pinned() {
    let record = Record::make(&PolicySet::new([]).expect("a set"), offer());
    let expect = blake3::derive_key("tally 2026-11-22 policy request v1", &offer().canonical());
    assert_eq!(record.decision.request.0, expect);
    assert_eq!(
        record.decision.request.to_string(),
        "3bbf82c35d808f999b87fbe13bc2d5cdc8c658d1d03de7532aa37673e3fbd134"
    );
}

/// Requests that differ in what rules ask about.
fn requests() -> Vec<Request> {
    let mut requests = Vec::new();
    for request in all_actions() {
        let mut abroad = request.clone();
        abroad.terms.any_of = map("region", set(&["eu-west", "us-east"]));
        let mut dear = request.clone();
        dear.terms.cost = Some(Money { amount: 5_001, currency: "EUR".into() });
        let mut unknown = request.clone();
        unknown.claims = map(PROVIDER, map("soc2", set(&[AUDITOR])));
        unknown.terms.cost = None;
        let mut large = request.clone();
        large.terms.resources = map("memory", amount(i64::MAX, "By"));
        large.terms.none_of.clear();
        let mut again = request.clone();
        if let Action::Start(task) | Action::Continue(task) | Action::Complete(task) =
            &mut again.action
        {
            task.attempt = u32::MAX;
            task.usage = map("energy", amount(1_000_001, "J"));
        }
        requests.extend([request, abroad, dear, unknown, large, again]);
    }
    requests
}

/// Every operator of the language, alone or with others.
const CONDITIONS: [&str; 40] = [
    "true",
    "!true",
    "context.at == 0",
    "context.at != 0",
    "context.at < 1764000000000001",
    "context.at <= 1763999999999999",
    "context.at > -1",
    "context.at >= 1764000000000000",
    "context.at + 1 - 2 * 3 == 1763999999999995",
    "-context.at < 0",
    "context.at * context.at > 0",
    "context.at > 0 && context.at * context.at > 0",
    "context.at < 0 && context.at * context.at > 0",
    "context.at > 0 || context.at * context.at > 0",
    "if context has cost then context.cost.amount > 1250 else true",
    "context has cost && context.cost.amount > 1250",
    "context has cost.amount && context.cost == {currency: \"EUR\", amount: 1250}",
    "context[\"at\"] == 1764000000000000",
    "context has \"attempt\" && context.attempt > 1",
    "principal == Agent::\"did:key:z6MkProvider\"",
    "principal in [Agent::\"did:key:z6MkAuditor\", Agent::\"did:key:z6MkProvider\"]",
    "principal is Agent",
    "resource is Intent && resource.author == principal",
    "resource is Intent in Intent::\"i1\"",
    "resource is Intent && resource has category && resource.category like \"v*i*n\"",
    "context.capability.name like \"o\\*r\"",
    "context.capability.name like \"*\"",
    "context.capability.tags.contains(\"text\")",
    "context.capability.tags.containsAll([\"text\", \"pages\"])",
    "context.capability.tags.containsAny([\"x\", \"pages\"])",
    "context.capability.side_effects.isEmpty()",
    "context.capability.tags == [\"text\", \"pages\", \"text\"]",
    "[1, 2, 3].contains(context.at)",
    "[[1], [2, 1]].contains([1, 2, 2])",
    "{a: {b: 1}}.a.b == 1",
    "principal.hasTag(\"iso27001\")",
    "principal.hasTag(\"soc2\") && principal.getTag(\"soc2\").contains(Agent::\"did:key:z6MkAuditor\")",
    "resource is Intent && resource.hasTag(\"project\") && resource.getTag(\"project\") == \"apollo\"",
    "context.any_of.hasTag(\"region\") && context.any_of.getTag(\"region\").contains(\"us-east\")",
    "context.capability.name == \"\\u{6f}cr\" && \"\\n\\t\\\"\" != \"\"",
];

#[test]
fn decisions_are_pinned() {
    let mut sets: Vec<PolicySet> = CONDITIONS
        .iter()
        .flat_map(|condition| {
            ["permit", "forbid"].map(|effect| {
                let text =
                    format!("{effect} (principal, action, resource) when {{ {condition} }};");
                PolicySet::new([policy("p", 1, &text)]).expect("a set")
            })
        })
        .collect();
    let platform = policy("platform", 1, include_str!("../fixtures/policies/platform.cedar"));
    let list = policy("list", 1, include_str!("../fixtures/policies/allow-list.cedar"));
    sets.push(PolicySet::new([platform.clone()]).expect("a set"));
    sets.push(PolicySet::new([platform, list]).expect("a set"));

    let mut aggregate = blake3::Hasher::new();
    let (mut allowed, mut denied) = (0, 0);
    for set in &sets {
        for request in requests() {
            let decision = evaluate(set, &request);
            *(if decision.allowed { &mut allowed } else { &mut denied }) += 1;
            aggregate.update(&serde_json::to_vec(&decision).expect("JSON"));
        }
    }
    assert_eq!((allowed, denied), (1_164, 1_296));
    assert_eq!(
        aggregate.finalize().to_hex().as_str(),
        "20da3dc5c07294514c8125860a1f72dc7f3a235cc001d0ec222477a8b960d13a"
    );
}

/// Texts near the border of what is valid: the ledger admits the PolicyUpdate or refuses it, and
/// later versions must do the same.
#[test]
fn which_texts_are_policies_is_pinned() {
    let valid = [
        "permit(principal,action,resource);",
        "permit(principal,action,resource,);",
        "@a @b(\"x\") permit(principal, action, resource);",
        "permit(principal is Agent, action in [Action::\"offer\",], resource is Intent);",
        "permit(principal, action == Action::\"advertise\", resource is Intent);",
        "permit(principal, action, resource) when { true } unless { false } when { true };",
        "permit(principal, action, resource) when { [1,2,].contains(1) };",
        "permit(principal, action, resource) when { context has cost.amount };",
        "permit(principal, action, resource) when { context has nonsense };",
        "permit(principal, action, resource) when { false && context.nonsense };",
        "permit(principal, action, resource) when { principal in resource };",
        "permit(principal, action, resource) when { principal == resource };",
        "permit(principal, action, resource) when { if resource is Intent then resource.priority > 1 else true };",
        "permit(principal, action, resource) when { principal.hasTag(context.capability.name) };",
        "permit(principal in Agent::\"a\", action, resource);",
        "permit(principal, action, resource) when { \"a\" == 1 };",
        "permit(principal, action, resource) when { 1 + 1 == 2 };",
        "permit(principal, action, resource) when { - 1 < --1 };",
        "permit(principal, action, resource) when { \"\\u{1F980}\" like \"*\" };",
    ];
    let invalid = [
        "permit(principal, action);",
        "permit(action, principal, resource);",
        "permit(principal, action, resource) when { };",
        "permit(principal, action, resource) when { 1 };",
        "permit(principal, action, resource) when { true & true };",
        "permit(principal, action, resource) when { 4 / 2 == 2 };",
        "permit(principal, action, resource) when { !!!!!true };",
        "permit(principal, action, resource) when { \"a\" < \"b\" };",
        "permit(principal, action, resource) when { context.at == -9223372036854775809 };",
        "permit(principal, action, resource) when { [].contains(1) };",
        "permit(principal, action, resource) when { if true then 1 else \"a\" };",
        "permit(principal, action, resource) when { context.capability.tags.contains(1) };",
        "permit(principal, action, resource) when { context.cost.amount > 1 };",
        "permit(principal, action, resource) when { principal.getTag(\"x\").contains(principal) };",
        "permit(principal, action, resource) when { principal.hasTag(1) };",
        "permit(principal, action, resource) when { context.like };",
        "permit(principal, action, resource) when { \"\\u{110000}\" == \"\" };",
        "permit(principal, action, resource) when { \"\\q\" == \"\" };",
        "@a @a permit(principal, action, resource);",
        "permit(principal == Agent::'a', action, resource);",
        "permit(principal == Agent::\"a\" || true, action, resource);",
        "PERMIT(principal, action, resource);",
        "permit(principal, action in Agent::\"a\", resource);",
        "permit(principal, action, resource) when { Action::\"offer\".x };",
    ];
    for text in valid {
        policy("p", 1, text);
    }
    for text in invalid {
        assert!(Policy::parse("p", 1, text).is_err(), "{text}");
    }
}
