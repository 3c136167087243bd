//! R15: how offers compare, by named factors and weights, so that anyone can compute it again.
//!
//! Scores are whole numbers from 0 to 1,000 and follow from what the log says of intent and offers
//! when the offers were made; a total is the weighted mean of the scores.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tally_protocol::message::{Candidate, Evaluation};
use tally_protocol::parts::{Measure, Name, Price, Resource};
use tally_protocol::{EnvelopeId, Time};

use crate::schema::{Fit, fit};
use crate::state::{Capability, Intent, Offer, OfferStanding, State, TrackRecord};

/// The method that is computed here.
pub const METHOD: &str = "tally.weighted.v1";

/// The best score.
pub const BEST: i64 = 1_000;

/// What offers are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// The capability's output is what the intent asks for: proved 1,000, unknown 500.
    Schema,
    /// The resources that the intent needs are there.
    Resources,
    /// The shortest estimate gets 1,000, twice that long 500.
    Time,
    /// The lowest price gets 1,000, twice that much 500; in another currency than most, 0.
    Price,
    /// The provider's tasks that succeeded, of all that ended; half when there are none.
    Reliability,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Schema, Self::Resources, Self::Time, Self::Price, Self::Reliability];

    /// The name in scores and weights.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Resources => "resources",
            Self::Time => "time",
            Self::Price => "price",
            Self::Reliability => "reliability",
        }
    }
}

/// Weights of which all are 1: every factor counts the same.
pub fn equal_weights() -> Vec<Measure> {
    Factor::ALL.map(|factor| measure(factor, 1)).into()
}

/// Compares the offers on an intent that are live at this state and time. Factors without a weight
/// do not count; weights of other names, and below 0, neither.
pub fn evaluate(state: &State, intent: &Intent, weights: &[Measure], at: Time) -> Evaluation {
    let live = |offer: &Arc<Offer>| offer.standing == OfferStanding::Live && !offer.is_expired(at);
    let offers = intent.offers.iter().filter_map(|id| state.offer(id)).filter(live);
    let offers: Vec<Arc<Offer>> = offers.collect();
    let as_of = state.next_position().0;
    compare(state, intent, &Field::of(&offers), weights, as_of)
}

/// The same for the offers that an evaluation names: what it must say.
///
/// In an excerpt, a score of reliability is taken as it is stated: the record that it follows from
/// is that of the whole history.
pub fn again(state: &State, intent: &Intent, evaluation: &Evaluation) -> Evaluation {
    let offers = evaluation.candidates.iter().filter_map(|given| state.offer(&given.offer));
    let offers: Vec<Arc<Offer>> = offers.collect();
    let believed = state.is_excerpt().then_some(evaluation);
    let field = Field { believed, ..Field::of(&offers) };
    compare(state, intent, &field, &evaluation.weights, evaluation.as_of)
}

/// The best candidates, best first: by total, then by age; none that is disqualified.
pub fn ranked<'e>(state: &State, evaluation: &'e Evaluation) -> Vec<&'e Candidate> {
    let position = |id: &EnvelopeId| state.offer(id).map(|offer| offer.position);
    let mut ranked: Vec<&Candidate> =
        evaluation.candidates.iter().filter(|candidate| candidate.disqualified.is_none()).collect();
    ranked.sort_by_key(|candidate| (-candidate.total, position(&candidate.offer)));
    ranked
}

fn compare(
    state: &State,
    intent: &Intent,
    field: &Field<'_>,
    weights: &[Measure],
    as_of: u64,
) -> Evaluation {
    let offers = field.offers.iter();
    let candidates = offers.map(|offer| candidate(state, intent, offer, weights, field));
    Evaluation {
        weights: weights.to_vec(),
        candidates: candidates.collect(),
        as_of,
        ..Evaluation::new(name(METHOD))
    }
}

/// The offers that are compared, and the best of each kind among them.
struct Field<'o> {
    offers: &'o [Arc<Offer>],
    /// The evaluation that is believed about reliability.
    believed: Option<&'o Evaluation>,
    currency: Option<&'o Name>,
    lowest_price: Option<u64>,
    shortest: Option<u64>,
}

impl<'o> Field<'o> {
    fn of(offers: &'o [Arc<Offer>]) -> Self {
        let times = offers.iter().map(|offer| offer.terms.estimated_duration_us);
        let prices = || offers.iter().filter_map(|offer| offer.price());
        let currency = common_currency(prices());
        Self {
            offers,
            believed: None,
            currency,
            lowest_price: prices()
                .filter(|price| Some(&price.currency) == currency)
                .map(|price| price.amount)
                .min(),
            shortest: times.filter(|&us| us > 0).min(),
        }
    }

    fn reliability(&self, offer: &Offer) -> i64 {
        let believed = self.believed.and_then(|evaluation| stated_reliability(evaluation, offer));
        believed.unwrap_or_else(|| reliability(offer.record))
    }
}

/// The score of reliability that an evaluation states for an offer, if there can be such a score.
fn stated_reliability(evaluation: &Evaluation, offer: &Offer) -> Option<i64> {
    let given = evaluation.candidates.iter().find(|given| given.offer == offer.id)?;
    let is_it = |score: &&Measure| score.name.as_str() == Factor::Reliability.name();
    let score = given.scores.iter().find(is_it)?.value;
    (0..=BEST).contains(&score).then_some(score)
}

/// The currency of most prices, and of several the first by name. There is no rate between
/// currencies here: prices in others do not compare.
pub(crate) fn common_currency<'p>(prices: impl IntoIterator<Item = &'p Price>) -> Option<&'p Name> {
    let mut counts = BTreeMap::<&Name, u32>::new();
    for price in prices {
        *counts.entry(&price.currency).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(name, count)| (*count, Reverse(*name))).map(|(name, _)| name)
}

fn candidate(
    state: &State,
    intent: &Intent,
    offer: &Offer,
    weights: &[Measure],
    field: &Field<'_>,
) -> Candidate {
    let (mut scores, mut disqualified) = (Vec::new(), None);
    for factor in Factor::ALL {
        match score(state, intent, offer, factor, field) {
            Ok(score) => scores.push(measure(factor, score)),
            Err(why) => {
                scores.push(measure(factor, 0));
                disqualified.get_or_insert(why);
            }
        }
    }
    let total = match disqualified {
        Some(_) => 0,
        None => weighted_mean(&scores, weights),
    };
    let disqualified = disqualified.map(name);
    Candidate { scores, total, disqualified, ..Candidate::new(offer.id) }
}

/// The score, or why the offer is out of the question.
fn score(
    state: &State,
    intent: &Intent,
    offer: &Offer,
    factor: Factor,
    field: &Field<'_>,
) -> Result<i64, &'static str> {
    let capability = state.capability(&offer.terms.capability);
    Ok(match factor {
        Factor::Schema => {
            let output =
                capability.as_ref().and_then(|capability| capability.terms.output_schema.as_ref());
            match fit(state, output, intent.terms.output_schema.as_ref()) {
                Fit::Fits => BEST,
                Fit::Unknown(_) => BEST / 2,
                Fit::Misfits(_) => return Err("schema"),
            }
        }
        Factor::Resources => match lacking(capability.as_deref(), offer, &intent.terms.resources) {
            None => BEST,
            Some(_) => return Err("resources"),
        },
        Factor::Time => {
            let stated = offer.terms.estimated_duration_us;
            share(field.shortest, (stated > 0).then_some(stated))
        }
        Factor::Price => {
            let price = offer.price().filter(|price| Some(&price.currency) == field.currency);
            share(field.lowest_price, price.map(|price| price.amount))
        }
        Factor::Reliability => field.reliability(offer),
    })
}

/// Tasks that succeeded, of all that ended; half of the best score when there are none.
pub(crate) fn reliability(record: TrackRecord) -> i64 {
    let succeeded = i64::from(record.succeeded);
    let ended = succeeded + i64::from(record.failed);
    BEST * (succeeded + 1) / (ended + 2)
}

/// A resource that an intent needs, and neither the offer nor its capability has so much of.
pub(crate) fn lacking<'n>(
    capability: Option<&Capability>,
    offer: &Offer,
    needed: &'n [Resource],
) -> Option<&'n Resource> {
    let stated = capability.into_iter().flat_map(|capability| &capability.terms.resources);
    let stated: Vec<&Resource> = stated.chain(&offer.terms.resources).collect();
    needed.iter().find(|needed| {
        !stated.iter().any(|given| {
            given.name == needed.name && given.unit == needed.unit && given.amount >= needed.amount
        })
    })
}

/// 1,000 for the best, less in proportion; for what is not stated, 0, unless nobody states it.
pub(crate) fn share(best: Option<u64>, own: Option<u64>) -> i64 {
    match (best, own) {
        (None, _) => BEST,
        (Some(_), None) => 0,
        (Some(best), Some(own)) if own == best => BEST,
        (Some(best), Some(own)) => {
            let share = u128::from(best) * BEST as u128 / u128::from(own);
            i64::try_from(share).expect("at most the best score")
        }
    }
}

fn weighted_mean(scores: &[Measure], weights: &[Measure]) -> i64 {
    let weight = |factor: &Name| {
        let given = weights.iter().find(|weight| weight.name == *factor);
        i128::from(given.map_or(0, |weight| weight.value.max(0)))
    };
    let sum: i128 = scores.iter().map(|score| weight(&score.name)).sum();
    if sum == 0 {
        return 0;
    }
    let total: i128 =
        scores.iter().map(|score| weight(&score.name) * i128::from(score.value)).sum();
    i64::try_from(total / sum).expect("a mean of scores is a score")
}

pub(crate) fn measure(factor: Factor, value: i64) -> Measure {
    Measure::new(name(factor.name()), value)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}
