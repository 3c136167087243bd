//! R15, R24: why an offer was chosen, and why the others were not.
//!
//! Everything is taken from what is on record: the evaluation of the TaskStart, the auction, and
//! where an offer stands. Nothing is evaluated again here: that the record is right is a rule, and
//! was checked when it was admitted. Where nothing is on record the initiator chose, and only the
//! plain terms are compared.

use std::fmt;

use serde::{Deserialize, Serialize};
use tally_protocol::message::{Candidate, Evaluation};
use tally_protocol::parts::{Measure, Price};
use tally_protocol::{AgentId, EnvelopeId, Position};

use crate::state::{Intent, Offer, State, Task};
use crate::view::{AuctionView, offer_standing};

/// Why offers were chosen for an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwardsView {
    /// The intent.
    pub intent: EnvelopeId,
    /// What it asks for.
    pub outcome: String,
    /// How its auction came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auction: Option<AuctionView>,
    /// Each award, in log order.
    pub awards: Vec<AwardView>,
    /// Events folded.
    pub as_of: Position,
}

/// Why one offer was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwardView {
    /// The task that it was chosen for.
    pub task: EnvelopeId,
    /// Where its TaskStart stands, which holds the evaluation.
    pub position: Position,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// How the offers were compared, and over how many events; absent when nothing is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How many events the log had when they were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_at: Option<u64>,
    /// The offer that was chosen.
    pub chosen: ConsideredView,
    /// The others on the intent, best first, then in log order.
    pub others: Vec<ConsideredView>,
}

/// An offer beside the one that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsideredView {
    /// The offer.
    pub offer: EnvelopeId,
    /// Who made it.
    pub provider: AgentId,
    /// Where it was made.
    pub position: Position,
    /// What it costs; for a sealed bid what was revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How long it is said to take, in microseconds; 0 when nothing is said.
    pub estimated_duration_us: u64,
    /// `live`, `expired`, `replaced`, `withdrawn`, `declined` or `accepted`, as of the answer.
    pub standing: String,
    /// How it scored by each criterion that counted, beside the chosen offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<CriterionView>,
    /// What the scores come to; absent when it was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Why it was not chosen; nothing for the chosen one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<NotChosen>,
}

/// A criterion of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriterionView {
    /// Its name, as in `price`.
    pub name: String,
    /// What it counts.
    pub weight: i64,
    /// The score, from 0 to 1,000.
    pub score: i64,
    /// How far the score lies above that of the chosen offer; below it, negative.
    pub ahead: i64,
}

/// Why an offer was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotChosen {
    /// It was out of the question.
    Disqualified(String),
    /// Its total is lower by so much.
    LowerTotal(i64),
    /// Its total is the same, and it was made later.
    SameTotalLater,
    /// It had been chosen before, for a task that did not succeed.
    TriedBefore(EnvelopeId),
    /// It was made after the award.
    MadeAfter,
    /// It does not stand any more: `replaced`, `withdrawn`, `declined` or `expired`.
    NotStanding(String),
    /// It was not compared, and nothing says why.
    NotCompared,
    /// In the auction another bid won.
    Outbid,
    /// Its total is not lower: the initiator chose otherwise.
    InitiatorChose,
    /// It costs so much more, in the same currency.
    Dearer(u64),
    /// It takes so much longer, in microseconds, by its own word.
    Slower(u64),
}

impl fmt::Display for NotChosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disqualified(why) => write!(f, "out of the question: {why}"),
            Self::LowerTotal(by) => write!(f, "total lower by {by}"),
            Self::SameTotalLater => f.write_str("same total, made later"),
            Self::TriedBefore(_) => f.write_str("tried before"),
            Self::MadeAfter => f.write_str("made after the award"),
            Self::NotStanding(standing) => write!(f, "is {standing}"),
            Self::NotCompared => f.write_str("not compared"),
            Self::Outbid => f.write_str("outbid"),
            Self::InitiatorChose => f.write_str("the initiator chose otherwise"),
            Self::Dearer(by) => write!(f, "dearer by {by}"),
            Self::Slower(us) => write!(f, "slower by {} s", us / 1_000_000),
        }
    }
}

impl AwardsView {
    /// The awards on an intent, or the one of a task; beside each the other offers, or the one that
    /// is asked `against`. `None` when there is no such intent or task.
    pub fn of(state: &State, id: &EnvelopeId, against: Option<&EnvelopeId>) -> Option<Self> {
        let task = state.task(id);
        let intent = state.intent(task.as_ref().map_or(id, |task| &task.terms.intent))?;
        let tasks = intent.tasks.iter().filter_map(|id| state.task(id));
        let asked = tasks.filter(|one| task.as_ref().is_none_or(|task| task.id == one.id));
        Some(Self {
            intent: intent.id,
            outcome: intent.terms.outcome.to_string(),
            auction: AuctionView::of(state, &intent),
            awards: asked.filter_map(|task| award(state, &intent, &task, against)).collect(),
            as_of: state.next_position(),
        })
    }
}

fn award(
    state: &State,
    intent: &Intent,
    task: &Task,
    against: Option<&EnvelopeId>,
) -> Option<AwardView> {
    let chosen = state.offer(&task.terms.offer)?;
    let evaluation = task.terms.evaluation.as_ref();
    let contest = Contest { state, intent, task, chosen: &chosen, evaluation };
    let others = intent.offers.iter().filter(|id| **id != chosen.id);
    let others = others.filter(|id| against.is_none_or(|asked| asked == *id));
    let others = others.filter_map(|id| state.offer(id));
    let mut others: Vec<ConsideredView> = others.map(|offer| contest.loser(&offer)).collect();
    let out = |other: &ConsideredView| {
        other.reasons.iter().any(|reason| matches!(reason, NotChosen::Disqualified(_)))
    };
    others.sort_by_key(|other| {
        (std::cmp::Reverse(other.total.filter(|_| !out(other))), other.position)
    });
    Some(AwardView {
        task: task.id,
        position: task.position,
        attempt: task.terms.attempt,
        method: evaluation.map(|evaluation| evaluation.method.to_string()),
        compared_at: evaluation.map(|evaluation| evaluation.as_of),
        chosen: contest.considered(&chosen, Vec::new()),
        others,
    })
}

/// An award, and what it rests on.
struct Contest<'s> {
    state: &'s State,
    intent: &'s Intent,
    task: &'s Task,
    chosen: &'s Offer,
    evaluation: Option<&'s Evaluation>,
}

impl Contest<'_> {
    fn candidate(&self, offer: &Offer) -> Option<&Candidate> {
        self.evaluation?.candidates.iter().find(|candidate| candidate.offer == offer.id)
    }

    fn considered(&self, offer: &Offer, reasons: Vec<NotChosen>) -> ConsideredView {
        let candidate = self.candidate(offer);
        ConsideredView {
            offer: offer.id,
            provider: offer.provider,
            position: offer.position,
            price: offer.price().cloned(),
            estimated_duration_us: offer.terms.estimated_duration_us,
            standing: offer_standing(self.state, offer).into(),
            criteria: candidate.map(|candidate| self.criteria(candidate)).unwrap_or_default(),
            total: candidate.map(|candidate| candidate.total),
            reasons,
        }
    }

    fn criteria(&self, candidate: &Candidate) -> Vec<CriterionView> {
        let value = |measures: &[Measure], name: &str| {
            let found = measures.iter().find(|measure| measure.name.as_str() == name);
            found.map_or(0, |measure| measure.value)
        };
        let weights = self.evaluation.map_or(&[][..], |evaluation| &evaluation.weights);
        let chosen = self.candidate(self.chosen).map_or(&[][..], |chosen| &chosen.scores);
        let criterion = |score: &Measure| CriterionView {
            name: score.name.to_string(),
            weight: value(weights, score.name.as_str()).max(0),
            score: score.value,
            ahead: score.value.saturating_sub(value(chosen, score.name.as_str())),
        };
        let all = candidate.scores.iter().map(criterion);
        // What counts nothing can still have put an offer out of the question.
        all.filter(|criterion| criterion.weight > 0 || criterion.ahead != 0).collect()
    }

    fn loser(&self, offer: &Offer) -> ConsideredView {
        let mut reasons = self.decisive(offer).map_or_else(Vec::new, |reason| vec![reason]);
        if self.evaluation.is_none() {
            reasons.extend(self.plainly_worse(offer));
            if reasons.is_empty() {
                reasons.push(NotChosen::InitiatorChose);
            }
        }
        self.considered(offer, reasons)
    }

    /// The one reason that settles it, if there is one on record.
    fn decisive(&self, offer: &Offer) -> Option<NotChosen> {
        if offer.position > self.task.position {
            return Some(NotChosen::MadeAfter);
        }
        if let Some(before) = self.tried_before(offer) {
            return Some(NotChosen::TriedBefore(before));
        }
        if let Some(candidate) = self.candidate(offer) {
            return Some(self.compared(offer, candidate));
        }
        match offer_standing(self.state, offer) {
            "live" if crate::auction::auction(&self.intent.terms).is_some() => {
                Some(NotChosen::Outbid)
            }
            "live" | "accepted" => self.evaluation.map(|_| NotChosen::NotCompared),
            standing => Some(NotChosen::NotStanding(standing.to_owned())),
        }
    }

    /// The task on this offer that the award tries again, itself or by way of others.
    fn tried_before(&self, offer: &Offer) -> Option<EnvelopeId> {
        let earlier = |task: &EnvelopeId| {
            let task = self.state.task(task)?;
            (task.position < self.task.position && task.terms.offer == offer.id).then_some(task.id)
        };
        self.intent.tasks.iter().find_map(earlier)
    }

    fn compared(&self, offer: &Offer, candidate: &Candidate) -> NotChosen {
        if let Some(why) = &candidate.disqualified {
            return NotChosen::Disqualified(why.to_string());
        }
        let chosen = self.candidate(self.chosen).map_or(0, |chosen| chosen.total);
        match chosen.saturating_sub(candidate.total) {
            by if by > 0 => NotChosen::LowerTotal(by),
            0 if offer.position > self.chosen.position => NotChosen::SameTotalLater,
            _ => NotChosen::InitiatorChose,
        }
    }

    fn plainly_worse(&self, offer: &Offer) -> Vec<NotChosen> {
        let mut found = Vec::new();
        if let Some((own, chosen)) = offer.price().zip(self.chosen.price())
            && own.currency == chosen.currency
            && own.amount > chosen.amount
        {
            found.push(NotChosen::Dearer(own.amount - chosen.amount));
        }
        let (own, chosen) =
            (offer.terms.estimated_duration_us, self.chosen.terms.estimated_duration_us);
        if chosen > 0 && own > chosen {
            found.push(NotChosen::Slower(own - chosen));
        }
        found
    }
}
