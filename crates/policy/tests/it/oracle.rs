//! Random policies and requests against rules written by hand, which know no Cedar.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tally_policy::request::{Action, Amount, Claims, Money};
use tally_policy::{Finding, Policy, PolicySet, Request, evaluate};

use crate::support::{all_actions, map, offer};

const ACTIONS: [&str; 5] = ["advertise", "offer", "start", "continue", "complete"];
const REGIONS: [&str; 4] = ["eu-central", "eu-west", "us-east", "ap-south"];
const RESOURCES: [&str; 2] = ["memory", "gpu"];
const UNITS: [&str; 2] = ["By", "1"];
const CLAIMS: [&str; 2] = ["iso27001", "soc2"];
const AGENTS: [&str; 3] = ["did:key:a", "did:key:b", "did:key:c"];
const CURRENCIES: [&str; 2] = ["EUR", "USD"];

#[derive(Debug, Clone)]
enum Condition {
    /// All regions that may be used are among these, and some are named.
    Regions(Vec<&'static str>),
    /// The resource is named, in this unit, and at most this much.
    Resource(&'static str, &'static str, i64),
    /// One of these issuers attests the claim.
    Claim(&'static str, Vec<&'static str>),
    /// The cost is named, in this currency, and at most this much.
    Cost(&'static str, i64),
}

#[derive(Debug, Clone)]
struct Rule {
    permits: bool,
    /// It holds for these actions; all if there are none.
    actions: Vec<&'static str>,
    /// `unless` in place of `when`.
    unless: bool,
    condition: Condition,
}

// ------------------------------------------------------------------ the oracle

impl Condition {
    fn holds(&self, request: &Request) -> bool {
        match self {
            Self::Regions(allowed) => match request.terms.any_of.get("region") {
                None => false,
                Some(used) if used.is_empty() => false,
                Some(used) => used.iter().all(|region| allowed.contains(&region.as_str())),
            },
            Self::Resource(name, unit, most) => match request.terms.resources.get(*name) {
                None => false,
                Some(resource) => resource.unit == *unit && resource.amount <= *most,
            },
            Self::Claim(kind, trusted) => request.claims.iter().any(|(agent, claims)| {
                agent == &request.agent
                    && claims.iter().any(|(held, issuers)| {
                        held == kind && trusted.iter().any(|by| issuers.contains(*by))
                    })
            }),
            Self::Cost(currency, most) => match &request.terms.cost {
                None => false,
                Some(cost) => cost.currency == *currency && cost.amount <= *most,
            },
        }
    }
}

impl Rule {
    fn applies(&self, request: &Request) -> bool {
        let action = request.action.name();
        let about = self.actions.is_empty() || self.actions.contains(&action);
        about && self.condition.holds(request) != self.unless
    }
}

/// Whether a policy allows, and the rules that decide.
fn oracle(rules: &[Rule], request: &Request) -> (bool, Vec<usize>) {
    let applying = |permits: bool| -> Vec<usize> {
        (0..rules.len())
            .filter(|i| rules[*i].permits == permits && rules[*i].applies(request))
            .collect()
    };
    let forbids = applying(false);
    if !forbids.is_empty() {
        return (false, forbids);
    }
    let permits = applying(true);
    let lists_limits = rules.iter().all(|rule| !rule.permits);
    (lists_limits || !permits.is_empty(), permits)
}

// ------------------------------------------------------------------ as Cedar

impl Condition {
    fn cedar(&self) -> String {
        match self {
            Self::Regions(allowed) => format!(
                "context.any_of.hasTag(\"region\") && \
                 {allowed:?}.containsAll(context.any_of.getTag(\"region\"))"
            ),
            Self::Resource(name, unit, most) => format!(
                "context.resources.hasTag({name:?}) && \
                 context.resources.getTag({name:?}).unit == {unit:?} && \
                 context.resources.getTag({name:?}).amount <= {most}"
            ),
            Self::Claim(kind, trusted) => {
                let trusted: Vec<String> =
                    trusted.iter().map(|agent| format!("Agent::{agent:?}")).collect();
                format!(
                    "principal.hasTag({kind:?}) && \
                     principal.getTag({kind:?}).containsAny([{}])",
                    trusted.join(", ")
                )
            }
            Self::Cost(currency, most) => format!(
                "context has cost && context.cost.currency == {currency:?} && \
                 context.cost.amount <= {most}"
            ),
        }
    }
}

impl Rule {
    fn cedar(&self) -> String {
        let effect = if self.permits { "permit" } else { "forbid" };
        let actions: Vec<String> =
            self.actions.iter().map(|action| format!("Action::{action:?}")).collect();
        let scope = match &actions[..] {
            [] => "action".to_owned(),
            [one] => format!("action == {one}"),
            several => format!("action in [{}]", several.join(", ")),
        };
        let when = if self.unless { "unless" } else { "when" };
        let condition = self.condition.cedar();
        format!("{effect} (principal, {scope}, resource) {when} {{ {condition} }};\n")
    }
}

// ------------------------------------------------------------------ strategies

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        subsequence(&REGIONS[..], 1..=4).prop_map(Condition::Regions),
        (select(&RESOURCES[..]), select(&UNITS[..]), 0..5i64)
            .prop_map(|(name, unit, most)| Condition::Resource(name, unit, most)),
        (select(&CLAIMS[..]), subsequence(&AGENTS[..], 1..=3))
            .prop_map(|(kind, trusted)| Condition::Claim(kind, trusted)),
        (select(&CURRENCIES[..]), 0..5i64)
            .prop_map(|(currency, most)| Condition::Cost(currency, most)),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let actions = prop_oneof![Just(vec![]), subsequence(&ACTIONS[..], 1..=3)];
    (prop::bool::weighted(0.3), actions, any::<bool>(), condition()).prop_map(
        |(permits, actions, unless, condition)| Rule { permits, actions, unless, condition },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let regions = prop::option::of(subsequence(&REGIONS[..], 0..=3));
    let resource = (select(&UNITS[..]), 0..6i64);
    let resources = prop::collection::btree_map(select(&RESOURCES[..]), resource, 0..=2);
    let issuers = subsequence(&AGENTS[..], 0..=3);
    let claims = prop::collection::btree_map(select(&CLAIMS[..]), issuers, 0..=2);
    let claims = prop::collection::btree_map(select(&AGENTS[..]), claims, 0..=3);
    let cost = prop::option::of((select(&CURRENCIES[..]), 0..6i64));
    (0..ACTIONS.len(), select(&AGENTS[..]), regions, resources, claims, cost).prop_map(
        |(action, agent, regions, resources, claims, cost)| {
            let action: Action = all_actions()[action].action.clone();
            let mut request = Request { agent: agent.into(), action, ..offer() };
            let owned = |values: Vec<&str>| -> BTreeSet<String> {
                values.into_iter().map(str::to_owned).collect()
            };
            request.terms.any_of =
                regions.map(|regions| map("region", owned(regions))).unwrap_or_default();
            request.terms.resources = resources
                .into_iter()
                .map(|(name, (unit, amount))| (name.into(), Amount { amount, unit: unit.into() }))
                .collect();
            let claims_of = |claims: std::collections::BTreeMap<&str, Vec<&str>>| -> Claims {
                claims.into_iter().map(|(kind, by)| (kind.into(), owned(by))).collect()
            };
            request.claims =
                claims.into_iter().map(|(agent, held)| (agent.into(), claims_of(held))).collect();
            request.terms.cost =
                cost.map(|(currency, amount)| Money { amount, currency: currency.into() });
            request
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn policies_decide_as_the_oracle_does(
        policies in prop::collection::vec(prop::collection::vec(rule(), 1..5), 0..4),
        request in request(),
    ) {
        let parsed: Vec<Policy> = policies
            .iter()
            .enumerate()
            .map(|(i, rules)| {
                let text: String = rules.iter().map(Rule::cedar).collect();
                Policy::parse(&format!("p{i}"), 1, &text).expect("a policy")
            })
            .collect();
        let forwards = PolicySet::new(parsed.clone()).expect("a set");
        let decision = evaluate(&forwards, &request);

        let verdicts: Vec<(bool, Vec<usize>)> =
            policies.iter().map(|rules| oracle(rules, &request)).collect();
        let allowed = verdicts.iter().all(|(allowed, _)| *allowed);
        prop_assert_eq!(decision.allowed, allowed);

        // The same grounds: of a denial, the policies that deny.
        let expect: Vec<(String, Option<String>)> = verdicts
            .iter()
            .enumerate()
            .filter(|(_, (allows, _))| *allows == allowed)
            .flat_map(|(i, (allows, rules))| {
                let named = rules.iter().map(|rule| Some(format!("#{}", rule + 1)));
                let none = (!allows && rules.is_empty()).then_some(None);
                named.chain(none).map(move |rule| (format!("p{i}"), rule))
            })
            .collect();
        let found: Vec<(String, Option<String>)> = decision
            .grounds
            .iter()
            .map(|ground| (ground.policy.clone(), ground.finding.rule().map(str::to_owned)))
            .collect();
        prop_assert_eq!(found, expect);
        let failed = decision.grounds.iter().any(|g| matches!(g.finding, Finding::Fails { .. }));
        prop_assert!(!failed);

        // Neither the order of policies nor what was evaluated before matters.
        let backwards = PolicySet::new(parsed.into_iter().rev()).expect("a set");
        prop_assert_eq!(backwards.digest(), forwards.digest());
        prop_assert_eq!(&evaluate(&backwards, &request), &decision);
    }
}
