//! R10, R21: the kinds of rules that the protocol names: region, resources, security claims, cost;
//! and what else a request can be asked about.

use tally_policy::Request;
use tally_policy::request::{Action, Money};

use crate::support::{
    AUDITOR, INITIATOR, PROVIDER, STRANGER, all_actions, amount, asked, decide, execution, intent,
    map, offer, set,
};

const REGION: &str = r#"
    forbid (principal, action, resource) unless {
        context.any_of.hasTag("region") &&
        ["eu-central", "eu-west"].containsAll(context.any_of.getTag("region"))
    };"#;

const MEMORY: &str = r#"
    forbid (principal, action, resource) unless {
        context.resources.hasTag("memory") &&
        context.resources.getTag("memory").unit == "By" &&
        context.resources.getTag("memory").amount <= 16000000000
    };"#;

const CLAIM: &str = r#"
    forbid (principal, action, resource) unless {
        principal.hasTag("iso27001") &&
        principal.getTag("iso27001").contains(Agent::"did:key:z6MkAuditor")
    };"#;

const COST: &str = r#"
    forbid (principal, action, resource) unless {
        context has cost && context.cost.currency == "EUR" && context.cost.amount <= 2000
    };"#;

/// The rule allows the request as it is, and not after the change.
#[track_caller]
fn denies_after(text: &str, change: impl Fn(&mut Request)) {
    for mut request in all_actions() {
        assert!(decide(&[text], &request).allowed, "{}", request.action.name());
        change(&mut request);
        assert!(!decide(&[text], &request).allowed, "{}", request.action.name());
    }
}

#[test]
fn a_region_rule_holds_for_every_region_that_may_be_used() {
    denies_after(REGION, |request| request.terms.any_of = map("region", set(&["us-east"])));
    denies_after(REGION, |request| {
        request.terms.any_of = map("region", set(&["eu-west", "us-east"]));
    });
    denies_after(REGION, |request| request.terms.any_of.clear());
    // Each of no regions is in the EU.
    denies_after(REGION, |request| request.terms.any_of = map("region", set(&[])));
}

#[test]
fn a_resource_rule_compares_amounts_in_the_declared_unit() {
    let put = |amount| move |request: &mut Request| request.terms.resources = amount;
    let memory = |value, unit| map("memory", amount(value, unit));
    for denied in [memory(16_000_000_001, "By"), memory(8, "GBy"), map("gpu", amount(1, "1"))] {
        denies_after(MEMORY, |request| put(denied.clone())(request));
    }
    let mut request = offer();
    request.terms.resources = memory(16_000_000_000, "By");
    assert!(decide(&[MEMORY], &request).allowed);
}

#[test]
fn a_claim_counts_by_kind_and_issuer() {
    denies_after(CLAIM, |request| request.claims.clear());
    denies_after(CLAIM, |request| {
        request.claims = map(PROVIDER, map("iso27001", set(&[STRANGER])));
    });
    denies_after(CLAIM, |request| request.claims = map(PROVIDER, map("soc2", set(&[AUDITOR]))));
    denies_after(CLAIM, |request| {
        request.claims = map(INITIATOR, map("iso27001", set(&[AUDITOR])));
    });
    denies_after(CLAIM, |request| request.agent = STRANGER.into());
}

#[test]
fn a_claim_without_an_issuer_is_not_held() {
    let anyone = r#"forbid (principal, action, resource) unless { principal.hasTag("iso27001") };"#;
    denies_after(anyone, |request| request.claims = map(PROVIDER, map("iso27001", set(&[]))));
}

#[test]
fn a_cost_rule_compares_amounts_in_the_named_currency() {
    let cost = |amount, currency: &str| Some(Money { amount, currency: currency.into() });
    for denied in [None, cost(2_001, "EUR"), cost(1, "USD")] {
        denies_after(COST, |request| request.terms.cost = denied.clone());
    }
    let mut request = offer();
    request.terms.cost = cost(2_000, "EUR");
    assert!(decide(&[COST], &request).allowed);
}

#[test]
fn rules_of_all_kinds_hold_together() {
    let all = [REGION, MEMORY, CLAIM, COST];
    assert!(decide(&all, &offer()).allowed);
    let mut request = offer();
    request.terms.cost = None;
    request.claims.clear();
    let denied = decide(&all, &request);
    let by: Vec<&str> = denied.grounds.iter().map(|ground| ground.policy.as_str()).collect();
    assert_eq!(by, ["p2", "p3"]);
}

#[test]
fn conditions_are_told_apart_by_how_they_are_meant() {
    let holds = |condition: &str| {
        decide(
            &[&format!("forbid (principal, action, resource) unless {{ {condition} }};")],
            &offer(),
        )
        .allowed
    };
    assert!(holds(
        r#"context.all_of.hasTag("certification") &&
           context.all_of.getTag("certification").contains("soc2")"#
    ));
    assert!(!holds(r#"context.any_of.hasTag("certification")"#));
    assert!(holds(
        r#"context.none_of.hasTag("storage") && context.none_of.getTag("storage").contains("tape")"#
    ));
    assert!(!holds(r#"context.none_of.hasTag("region")"#));
}

/// What a rule asks about is what the request says, for each attribute of the schema.
#[test]
fn every_attribute_can_be_asked_about() {
    let everywhere = [
        r#"principal == Agent::"did:key:z6MkProvider""#,
        r#"context.capability == Capability::"c1""#,
        r#"context.capability.name == "ocr""#,
        r#"context.capability.category == "vision""#,
        r#"context.capability.tags == ["pages", "text"]"#,
        r#"context.capability.side_effects.isEmpty()"#,
        r#"context.resources.getTag("memory") == {amount: 8000000000, unit: "By"}"#,
        r#"context.cost == {amount: 1250, currency: "EUR"}"#,
        r#"context.at == 1764000000000000"#,
    ];
    let with_intent = [
        r#"resource == Intent::"i1""#,
        r#"resource.author == Agent::"did:key:z6MkInitiator""#,
        r#"resource.category == "vision""#,
        r#"resource.priority == 5"#,
        r#"resource.privacy == "parties""#,
        r#"resource.getTag("project") == "apollo""#,
        r#"context.duration == 60000000"#,
        r#"context.deadline == 1764003600000000"#,
    ];
    let with_task = [
        r#"context.initiator == Agent::"did:key:z6MkInitiator""#,
        r#"context.attempt == 1"#,
        r#"context.usage.getTag("energy") == {amount: 3000, unit: "J"}"#,
    ];
    for request in all_actions() {
        let name = request.action.name();
        let mut asked = everywhere.to_vec();
        if name != "advertise" {
            asked.extend(with_intent);
        } else {
            asked.push(r#"resource == Capability::"c1""#);
        }
        if ["start", "continue", "complete"].contains(&name) {
            asked.extend(with_task);
        }
        for condition in asked {
            for (condition, expect) in
                [(condition.to_owned(), true), (format!("!({condition})"), false)]
            {
                let guards = guards(&condition);
                let text = format!(
                    "permit (principal, action == Action::\"{name}\", resource) \
                     when {{ {guards} }} when {{ {condition} }};"
                );
                assert_eq!(decide(&[&text], &request).allowed, expect, "{text}");
            }
        }
    }
}

/// What strict validation asks for before optional attributes and tags.
fn guards(condition: &str) -> String {
    let mut guards = vec!["true".to_owned()];
    for optional in ["cost", "duration", "deadline"] {
        if condition.contains(&format!("context.{optional} ")) {
            guards.push(format!("context has {optional}"));
        }
    }
    for optional in ["category", "privacy"] {
        if condition.contains(&format!("resource.{optional} ")) {
            guards.push(format!("resource has {optional}"));
        }
    }
    if let Some((before, after)) = condition.split_once(".getTag(") {
        let entity = before.trim_start_matches("!(");
        let tag = after.split(')').next().expect("the end of the call");
        guards.push(format!("{entity}.hasTag({tag})"));
    }
    guards.join(" && ")
}

#[test]
fn a_rule_can_be_about_the_claims_of_the_initiator() {
    let text = r#"
        forbid (principal, action == Action::"start", resource) unless {
            context.initiator.hasTag("kyc") &&
            context.initiator.getTag("kyc").contains(Agent::"did:key:z6MkAuditor")
        };
        forbid (principal, action == Action::"offer", resource) unless {
            resource.author.hasTag("kyc") &&
            resource.author.getTag("kyc").contains(Agent::"did:key:z6MkAuditor")
        };"#;
    for action in [Action::Start(execution()), Action::Offer(intent())] {
        let mut request = asked(action);
        assert!(!decide(&[text], &request).allowed);
        request.claims.insert(INITIATOR.into(), map("kyc", set(&[AUDITOR])));
        assert!(decide(&[text], &request).allowed);
    }
}
