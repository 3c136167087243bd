//! Which offers to award (R15, R16).

use std::sync::Arc;

use tally_coordination::evaluate::{self, Factor, METHOD};
use tally_coordination::{Intent, Offer, OfferStanding, State};
use tally_protocol::message::{Candidate, Evaluation, IntentTerms, Outcome, Selection};
use tally_protocol::parts::{Measure, Name, PolicyRef};
use tally_protocol::{EnvelopeId, Time};

/// Most sets of offers that are looked at for one that covers an intent.
const MAX_SETS: u32 = 10_000;

/// Decides which offers to award, where no auction does.
pub trait Awarder: Send + Sync {
    /// What the intent says about how offers are chosen, before it is published.
    fn shape(&self, terms: &mut IntentTerms) {
        terms.selection.get_or_insert(Selection::ContractNet);
    }

    /// Compares the offers that are live; `again` is the offer of the task that is tried again,
    /// which the record names too. Unless an awarder has a method of its own: [`weighted`].
    fn evaluate(
        &self,
        state: &State,
        intent: &Intent,
        again: Option<EnvelopeId>,
        at: Time,
    ) -> Evaluation {
        weighted(state, intent, again, at)
    }

    /// Live offers to award together, none that is disqualified; empty while none suits. By the
    /// ledger's method, the best: the ledger refuses another.
    fn choose(&self, state: &State, intent: &Intent, evaluation: &Evaluation) -> Vec<EnvelopeId> {
        let _ = intent;
        live(state, evaluation).first().map(|offer| offer.id).into_iter().collect()
    }
}

/// The ledger's own method, with the weights of the intent; all equal where it has none.
pub fn weighted(state: &State, intent: &Intent, again: Option<EnvelopeId>, at: Time) -> Evaluation {
    let weights = match intent.terms.utility_weights.as_slice() {
        [] => evaluate::equal_weights(),
        stated => stated.to_vec(),
    };
    let mut evaluation = evaluate::evaluate(state, intent, &weights, at);
    debug_assert_eq!(evaluation.method.as_str(), METHOD);
    let Some(again) = again else { return evaluation };
    evaluation.candidates.push(Candidate::new(again));
    evaluate::again(state, intent, &evaluation)
}

/// The best offer by equal weights, or by those of the intent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Competitive;

impl Awarder for Competitive {}

/// Offers that together cover all parts of the intent, none of them twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Collaborative;

impl Awarder for Collaborative {
    fn shape(&self, terms: &mut IntentTerms) {
        terms.selection.get_or_insert(Selection::Collaborative);
    }

    fn choose(&self, state: &State, intent: &Intent, evaluation: &Evaluation) -> Vec<EnvelopeId> {
        let offers = live(state, evaluation);
        let (mut chosen, mut sets) = (Vec::new(), MAX_SETS);
        match cover(&uncovered(state, intent), &offers, &mut chosen, &mut sets) {
            true => chosen,
            false => Vec::new(),
        }
    }
}

/// The best offer when resources and time count, and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceAware;

impl Awarder for ResourceAware {
    fn shape(&self, terms: &mut IntentTerms) {
        Competitive.shape(terms);
        let name = |factor: Factor| Name::new(factor.name()).expect("a short name");
        let weight = |factor| Measure::new(name(factor), 1);
        terms.utility_weights = [Factor::Resources, Factor::Time].map(weight).into();
    }
}

/// The best of those that these policies allow: the ledger holds offers and the task to them.
#[derive(Debug, Clone, Default)]
pub struct PolicyConstrained {
    /// Policies in force.
    pub policies: Vec<PolicyRef>,
}

impl Awarder for PolicyConstrained {
    fn shape(&self, terms: &mut IntentTerms) {
        Competitive.shape(terms);
        let named = |policy: &&PolicyRef| !terms.policies.contains(policy);
        let more: Vec<PolicyRef> = self.policies.iter().filter(named).cloned().collect();
        terms.policies.extend(more);
    }
}

/// Offers of an evaluation that can be awarded, best first.
fn live(state: &State, evaluation: &Evaluation) -> Vec<Arc<Offer>> {
    let ranked = evaluate::ranked(state, evaluation).into_iter();
    let offers = ranked.filter_map(|given| state.offer(&given.offer));
    offers.filter(|offer| offer.standing == OfferStanding::Live).collect()
}

/// Parts that no task covers which is live or has succeeded.
pub(super) fn uncovered<'s>(state: &'s State, intent: &'s Intent) -> Vec<&'s Name> {
    let tasks = intent.tasks.iter().filter_map(|id| state.task(id));
    let counts = tasks.filter(|task| task.ended.is_none_or(|e| e.outcome == Outcome::Succeeded));
    let offers = counts.filter_map(|task| state.offer(&task.terms.offer));
    let covered: Vec<Name> = offers.flat_map(|offer| offer.terms.covers.clone()).collect();
    intent.terms.parts.iter().filter(|part| !covered.contains(part)).collect()
}

/// The first set, in the order of the offers, that covers all parts once.
fn cover(
    parts: &[&Name],
    offers: &[Arc<Offer>],
    chosen: &mut Vec<EnvelopeId>,
    sets: &mut u32,
) -> bool {
    let Some(first) = parts.first() else { return true };
    for offer in offers.iter().filter(|offer| offer.terms.covers.contains(first)) {
        let Some(left) = sets.checked_sub(1) else { return false };
        *sets = left;
        if offer.terms.covers.iter().any(|part| !parts.contains(&part)) {
            continue;
        }
        let rest: Vec<&Name> =
            parts.iter().filter(|part| !offer.terms.covers.contains(part)).copied().collect();
        chosen.push(offer.id);
        if cover(&rest, offers, chosen, sets) {
            return true;
        }
        chosen.pop();
    }
    false
}
