//! What the log shows against somebody and no rule refuses (R18 to R21).
//!
//! A finding is no verdict: it names the agent, the object, the event and what was found, and
//! leaves the rest to the reader.

use serde::Serialize;
use tally_protocol::message::{Check, CheckKind, Outcome, TaskDone};
use tally_protocol::parts::{Measure, Resource};
use tally_protocol::{AgentId, EnvelopeId, Position};

use crate::auction::{self, Phase};
use crate::refusal::Object;
use crate::state::{Intent, IntentStanding, Offer, OfferStanding, State, Task};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An outcome came after the first, and says the same.
    LateOutcome,
    /// An outcome came after the first, and says something else.
    ConflictingOutcome,
    /// A deadline of a live task has passed at the ledger's time.
    Overdue,
    /// A task was given up after a deadline had passed.
    Abandoned,
    /// A policy was violated.
    Violated,
    /// A provider rejected the task on its own offer, for want of its resources or schema.
    EmptyOffer,
    /// A receipt states more than the offer did.
    OverUse,
    /// Execution took longer than the offer estimated.
    OverTime,
    /// A sealed bid was not opened in time.
    UnopenedBid,
    /// An author signed two statements with one sequence; the proof is in the event.
    Equivocation,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::LateOutcome,
        Self::ConflictingOutcome,
        Self::Overdue,
        Self::Abandoned,
        Self::Violated,
        Self::EmptyOffer,
        Self::OverUse,
        Self::OverTime,
        Self::UnopenedBid,
        Self::Equivocation,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LateOutcome => "late_outcome",
            Self::ConflictingOutcome => "conflicting_outcome",
            Self::Overdue => "overdue",
            Self::Abandoned => "abandoned",
            Self::Violated => "violated",
            Self::EmptyOffer => "empty_offer",
            Self::OverUse => "over_use",
            Self::OverTime => "over_time",
            Self::UnopenedBid => "unopened_bid",
            Self::Equivocation => "equivocation",
        }
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Whom it is about.
    pub agent: AgentId,
    /// What it is about.
    pub object: Object,
    /// The event that shows it, or the one that was not followed up.
    pub event: EnvelopeId,
    /// Where that event stands.
    pub position: Position,
    /// What was found, for people.
    pub found: String,
}

/// All findings at this state, in the order of the log: those that events showed, and those that
/// follow from the ledger's time.
pub fn findings(state: &State) -> Vec<Finding> {
    let mut all: Vec<Finding> = state.shown().collect();
    all.extend(state.tasks().filter_map(|task| overdue(state, &task)));
    all.extend(state.intents().flat_map(|intent| unopened(state, &intent)));
    all.sort_by_key(|finding| (finding.position, finding.kind));
    all
}

fn overdue(state: &State, task: &Task) -> Option<Finding> {
    let missed: Vec<_> = task.overdue(state.recorded_at());
    let missed: Vec<_> = missed.into_iter().map(crate::Deadline::name).collect();
    (!missed.is_empty()).then(|| Finding {
        kind: FindingKind::Overdue,
        agent: task.executor,
        object: Object::Task(task.id),
        event: task.id,
        position: task.position,
        found: format!("missed {}", missed.join(", ")),
    })
}

/// Sealed bids that lost because their providers kept them shut.
fn unopened<'s>(state: &'s State, intent: &Intent) -> impl Iterator<Item = Finding> + use<'s> {
    // Who was not let open a bid, because the intent was over before, is not at fault.
    let stands = matches!(intent.standing, IntentStanding::Open | IntentStanding::Fulfilled);
    let over = auction::auction(&intent.terms).is_some_and(|(mechanism, auction)| {
        stands
            && mechanism.is_sealed()
            && auction::phase(mechanism, auction, state.recorded_at()) == Phase::Closed
    });
    let offers = intent.offers.clone().into_iter().filter(move |_| over);
    offers.filter_map(|id| state.offer(&id)).filter_map(|offer| {
        let shut = offer.revealed.is_none() && offer.standing == OfferStanding::Live;
        shut.then(|| Finding {
            kind: FindingKind::UnopenedBid,
            agent: offer.provider,
            object: Object::Offer(offer.id),
            event: offer.id,
            position: offer.position,
            found: "was never opened".into(),
        })
    })
}

/// What a receipt shows by itself.
pub(crate) fn in_receipt(
    event: (EnvelopeId, Position),
    task: &Task,
    promised: (&Offer, &[Resource]),
    done: &TaskDone,
) -> Vec<Finding> {
    let finding = |kind, found| Finding {
        kind,
        agent: task.executor,
        object: Object::Task(task.id),
        event: event.0,
        position: event.1,
        found,
    };
    let (offer, resources) = promised;
    let mut found = Vec::new();
    match done.outcome {
        Outcome::Abandoned => {
            found.push(finding(FindingKind::Abandoned, "was given up by its initiator".into()));
        }
        Outcome::Violated => {
            found.push(finding(FindingKind::Violated, done.reason.to_string()));
        }
        Outcome::Rejected => {
            let empty = done.checks.iter().find(|check| lacks_what_was_offered(check));
            found.extend(empty.map(|check| {
                let found = format!("has no {}: {}", check.kind.name(), check.reason);
                finding(FindingKind::EmptyOffer, found)
            }));
        }
        Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled => {}
    }
    let over = done.usage.iter().filter_map(|usage| over_use(usage, resources));
    found.extend(over.map(|over| finding(FindingKind::OverUse, over)));
    found.extend(over_time(offer, done).map(|over| finding(FindingKind::OverTime, over)));
    found
}

/// Inputs and policies are the initiator's matter too; resources and schemas are the provider's.
fn lacks_what_was_offered(check: &Check) -> bool {
    !check.passed && matches!(check.kind, CheckKind::Resources | CheckKind::Schema)
}

fn over_use(usage: &Measure, promised: &[Resource]) -> Option<String> {
    let most = promised
        .iter()
        .filter(|resource| resource.name == usage.name && resource.unit == usage.unit)
        .map(|resource| resource.amount)
        .max()?;
    let used = u64::try_from(usage.value).unwrap_or(0);
    (used > most).then(|| format!("used {used} of {}, offered were {most}", usage.name))
}

fn over_time(offer: &Offer, done: &TaskDone) -> Option<String> {
    let estimate = offer.terms.estimated_duration_us;
    let (started, ended) = (done.started_at_us?, done.ended_at_us?);
    let took = u64::try_from(ended.0.saturating_sub(started.0)).unwrap_or(0);
    (estimate > 0 && took > estimate)
        .then(|| format!("took {took} µs, the estimate was {estimate} µs"))
}
