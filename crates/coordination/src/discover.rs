//! R2: which capabilities fit, and why the others do not.
//!
//! A pure function of a state: asked again at the same position it gives the same answer. Schemas
//! fit when that is proved; what is unknown is a near miss that says so.

use std::collections::HashMap;

use serde::Serialize;
use tally_protocol::message::{Attest, CapabilityTerms, Discover, TrustCriterion};
use tally_protocol::parts::{Comparison, Constraint, Measure, Name, Resource, Schema};
use tally_protocol::{AgentId, Digest};

use crate::compliance;
use crate::evaluate::{Factor, common_currency, measure, reliability, share};
use crate::schema::{Fit, Ground, fit};
use crate::state::{Attestation, Capability, CapabilityStanding, State};

/// A criterion that a capability does not meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Criterion {
    /// The field of the search, as in `constraints[0]`; `policy` for the policies in force, and
    /// `standing` for a version that is not.
    pub field: String,
    /// JSON pointer to the place in the schema; empty for the whole, and for other criteria.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What was found.
    pub found: String,
}

/// A capability that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The capability.
    pub capability: Capability,
    /// What it is ranked by: `price` among the matches and `reliability` of its owner, from 0 to
    /// 1,000; the better their sum, the earlier it stands.
    pub scores: Vec<Measure>,
}

/// A capability that fits but for some criteria.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The capability.
    pub capability: Capability,
    /// What it does not meet.
    pub failed: Vec<Criterion>,
}

/// Searches the catalog as it stands in `state`, for the agent that searches if it is known: its
/// policies are then asked too. What fits comes best first, and what misses by how little.
pub fn discover(
    state: &State,
    criteria: &Discover,
    searcher: Option<&AgentId>,
) -> (Vec<Match>, Vec<NearMiss>) {
    let mut search = Search { state, criteria, searcher, fits: HashMap::new() };
    let (mut found, mut misses) = (Vec::new(), Vec::new());
    for capability in state.catalog() {
        let failed = search.misses(capability);
        if failed.is_empty() {
            found.push(capability);
        } else {
            misses.push(NearMiss { capability: capability.clone(), failed });
        }
    }
    misses.sort_by_key(|missed| (missed.failed.len(), missed.capability.position));
    (rank(state, found), misses)
}

/// Why a version of a capability is not found; nothing when it is.
pub fn why_not(
    state: &State,
    criteria: &Discover,
    searcher: Option<&AgentId>,
    capability: &Capability,
) -> Vec<Criterion> {
    Search { state, criteria, searcher, fits: HashMap::new() }.misses(capability)
}

fn rank(state: &State, found: Vec<&Capability>) -> Vec<Match> {
    let costs = || found.iter().filter_map(|capability| capability.terms.cost.as_ref());
    let currency = common_currency(costs()).cloned();
    let cost = |capability: &Capability| match &capability.terms.cost {
        None => Some(0),
        Some(cost) => (Some(&cost.currency) == currency.as_ref()).then_some(cost.amount),
    };
    let lowest = found.iter().filter_map(|capability| cost(capability)).min();
    let mut ranked: Vec<_> = found
        .iter()
        .map(|capability| {
            let price = share(lowest, cost(capability));
            let reliability = reliability(state.record(&capability.owner));
            let scores =
                vec![measure(Factor::Price, price), measure(Factor::Reliability, reliability)];
            let order = (-(price + reliability), cost(capability), capability.position);
            (order, Match { capability: Capability::clone(capability), scores })
        })
        .collect();
    ranked.sort_by_key(|(order, _)| *order);
    ranked.into_iter().map(|(_, found)| found).collect()
}

/// A search, and what it has learned about pairs of schemas: many capabilities share theirs.
struct Search<'s> {
    state: &'s State,
    criteria: &'s Discover,
    searcher: Option<&'s AgentId>,
    fits: HashMap<(Option<Digest>, Digest), Fit>,
}

impl Search<'_> {
    fn misses(&mut self, capability: &Capability) -> Vec<Criterion> {
        let (criteria, terms) = (self.criteria, &capability.terms);
        let mut failed = stated_misses(self.state, capability, criteria);
        if let Some(asked) = &criteria.input_schema {
            failed.extend(self.schema("input_schema", Some(asked), terms.input_schema.as_ref()));
        }
        if let Some(asked) = &criteria.output_schema {
            failed.extend(self.schema("output_schema", terms.output_schema.as_ref(), Some(asked)));
        }
        if let Some(searcher) = self.searcher {
            let at = self.state.recorded_at();
            let denied = compliance::search_denied(self.state, criteria, searcher, capability, at);
            failed.extend(denied.map(|reasons| criterion("policy", reasons.join("; "))));
        }
        failed
    }

    /// Whether all data of `narrow` is data of `wide`, of which one is asked for and the other is
    /// the capability's.
    fn schema(
        &mut self,
        field: &str,
        narrow: Option<&Schema>,
        wide: Option<&Schema>,
    ) -> Option<Criterion> {
        let Some(wide) = wide else {
            return Some(criterion(field, "is not stated".into()));
        };
        let state = self.state;
        let pair = (narrow.map(|schema| schema.digest), wide.digest);
        let found = self.fits.entry(pair).or_insert_with(|| fit(state, narrow, Some(wide)));
        match found {
            Fit::Fits => None,
            Fit::Misfits(Ground { path, found }) | Fit::Unknown(Ground { path, found }) => {
                Some(Criterion { field: field.into(), path: path.clone(), found: found.clone() })
            }
        }
    }
}

fn criterion(field: impl Into<String>, found: String) -> Criterion {
    Criterion { field: field.into(), path: String::new(), found }
}

/// Criteria about what a capability states, schemas aside.
fn stated_misses(state: &State, capability: &Capability, criteria: &Discover) -> Vec<Criterion> {
    let terms = &capability.terms;
    let mut failed = Vec::new();
    let mut check = |met: bool, field: String, found: &dyn Fn() -> String| {
        if !met {
            failed.push(criterion(field, found()));
        }
    };
    let in_force = capability.standing == CapabilityStanding::InForce;
    check(in_force, "standing".into(), &|| capability.standing.found());
    if let Some(category) = &criteria.category {
        let met = terms.category == *category;
        check(met, "category".into(), &|| terms.category.to_string());
    }
    for (i, tag) in criteria.tags.iter().enumerate() {
        check(terms.tags.contains(tag), format!("tags[{i}]"), &|| format!("lacks {tag}"));
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
        let met = is_trusted(state, capability, trust);
        check(met, format!("trust[{i}]"), &|| format!("no live claim {}", trust.claim));
    }
    failed
}

fn attribute(terms: &CapabilityTerms, name: &Name) -> String {
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

/// Whether somebody who is trusted claims it of the owner or of this version. Without named
/// issuers everybody is, but for the owner itself.
fn is_trusted(state: &State, capability: &Capability, asked: &TrustCriterion) -> bool {
    let at = state.recorded_at();
    let issued = |attestation: &Attestation| {
        let by = |issuer| state.is_same_party(issuer, &attestation.author);
        if asked.issuers.is_empty() { !by(&capability.owner) } else { asked.issuers.iter().any(by) }
    };
    state.claims(&capability.owner).chain(state.claims_on(&capability.id)).any(|attestation| {
        attestation.holds(at)
            && issued(&attestation)
            && matches!(&*attestation.statement, Attest::Claim(claim) if claim.kind == asked.claim)
    })
}
