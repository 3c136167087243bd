//! R2: which capabilities fit, and why the others do not.
//!
//! A pure function of a state: asked again at the same position it gives the same answer. Schemas
//! fit here when they are the same document; anything looser needs schema compatibility, which
//! this module does not judge.

use serde::Serialize;
use tally_protocol::Time;
use tally_protocol::message::{Attest, Discover, TrustCriterion};
use tally_protocol::parts::{Comparison, Constraint, Name, Resource};

use crate::state::{Capability, CapabilityStanding, State};

/// A criterion that a capability does not meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Criterion {
    /// The field of the search, as in `constraints[0]`.
    pub field: String,
    /// What was found.
    pub found: String,
}

/// A capability that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The capability.
    pub capability: Capability,
}

/// A capability that fits but for some criteria.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The capability.
    pub capability: Capability,
    /// What it does not meet.
    pub failed: Vec<Criterion>,
}

/// Searches the catalog as it stands in `state`: what fits in the order of cost, then age; and
/// what misses, fewest failed criteria first.
pub fn discover(state: &State, criteria: &Discover) -> (Vec<Match>, Vec<NearMiss>) {
    let in_force = state
        .capabilities()
        .filter(|capability| capability.standing == CapabilityStanding::InForce);
    let (mut matches, mut misses) = (Vec::new(), Vec::new());
    for capability in in_force {
        let failed = failed(state, capability, criteria);
        let capability = capability.clone();
        if failed.is_empty() {
            matches.push(Match { capability });
        } else {
            misses.push(NearMiss { capability, failed });
        }
    }
    let cost = |c: &Capability| c.terms.cost.as_ref().map_or(0, |price| price.amount);
    matches.sort_by_key(|found| (cost(&found.capability), found.capability.position));
    misses.sort_by_key(|missed| (missed.failed.len(), missed.capability.position));
    (matches, misses)
}

fn failed(state: &State, capability: &Capability, criteria: &Discover) -> Vec<Criterion> {
    let terms = &capability.terms;
    let mut failed = Vec::new();
    let mut check = |met: bool, field: String, found: &dyn Fn() -> String| {
        if !met {
            failed.push(Criterion { field, found: found() });
        }
    };
    if let Some(category) = &criteria.category {
        let met = terms.category == *category;
        check(met, "category".into(), &|| terms.category.to_string());
    }
    for (i, tag) in criteria.tags.iter().enumerate() {
        check(terms.tags.contains(tag), format!("tags[{i}]"), &|| format!("lacks {tag}"));
    }
    let schemas = [
        ("input_schema", &criteria.input_schema, &terms.input_schema),
        ("output_schema", &criteria.output_schema, &terms.output_schema),
    ];
    for (field, asked, given) in schemas {
        if let Some(asked) = asked {
            let met = given.as_ref().is_some_and(|given| given.digest == asked.digest);
            check(met, field.into(), &|| match given {
                Some(given) => format!("is schema {}", given.digest),
                None => "is not stated".into(),
            });
        }
    }
    for (i, constraint) in criteria.constraints.iter().enumerate() {
        let met = satisfies(&terms.constraints, constraint);
        check(met, format!("constraints[{i}]"), &|| attribute(terms, &constraint.attribute));
    }
    for (i, resource) in criteria.resources.iter().enumerate() {
        let met = terms.resources.iter().any(|given| provides(given, resource));
        check(met, format!("resources[{i}]"), &|| format!("has too little {}", resource.name));
    }
    if let Some(max) = &criteria.max_cost {
        let met = terms
            .cost
            .as_ref()
            .is_none_or(|cost| cost.currency == max.currency && cost.amount <= max.amount);
        check(met, "max_cost".into(), &|| match &terms.cost {
            Some(cost) => format!("costs {} {}", cost.amount, cost.currency),
            None => "costs nothing".into(),
        });
    }
    for (i, trust) in criteria.trust.iter().enumerate() {
        let met = trusted(state, capability, trust, state.recorded_at());
        check(met, format!("trust[{i}]"), &|| format!("no live claim {}", trust.claim));
    }
    failed
}

fn attribute(terms: &tally_protocol::message::CapabilityTerms, name: &Name) -> String {
    let values: Vec<_> = terms
        .constraints
        .iter()
        .filter(|given| given.attribute == *name)
        .flat_map(|given| given.values.iter().map(Name::as_str))
        .collect();
    if values.is_empty() { format!("{name} is not stated") } else { values.join(", ") }
}

/// Whether stated attributes meet a condition; what is not stated has no values.
fn satisfies(stated: &[Constraint], asked: &Constraint) -> bool {
    let has = |value: &Name| {
        stated.iter().any(|given| {
            given.attribute == asked.attribute
                && given.comparison != Comparison::NoneOf
                && given.values.contains(value)
        })
    };
    match asked.comparison {
        Comparison::AnyOf => asked.values.iter().any(has),
        Comparison::AllOf => asked.values.iter().all(has),
        Comparison::NoneOf => !asked.values.iter().any(has),
    }
}

fn provides(given: &Resource, asked: &Resource) -> bool {
    given.name == asked.name && given.unit == asked.unit && given.amount >= asked.amount
}

fn trusted(state: &State, capability: &Capability, asked: &TrustCriterion, at: Time) -> bool {
    state.claims(&capability.owner).any(|attestation| {
        attestation.holds(at)
            && (asked.issuers.is_empty() || asked.issuers.contains(&attestation.author))
            && matches!(&*attestation.statement, Attest::Claim(claim) if claim.kind == asked.claim)
    })
}
