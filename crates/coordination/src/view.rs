//! Objects as they are shown to people and programs: one form for the server's answers and for
//! what is read straight from a data directory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_protocol::message::{
    CapabilityTerms, Discover, Evaluation, IntentTerms, Offer as OfferTerms,
};
use tally_protocol::parts::{Label, Measure, Price};
use tally_protocol::{AgentId, AuthorSequence, Digest, EnvelopeId, Position, Time, TraceId};

use crate::auction;
use crate::compliance::{self, NotCompliant};
use crate::discover::{Criterion, discover, why_not};
use crate::finding::{Finding, findings};
use crate::state::{
    Capability, CapabilityStanding, Intent, IntentStanding, Offer, OfferStanding, State, Task,
};

/// Most objects in one answer, whatever the caller asks for.
pub const MAX_ANSWER_OBJECTS: usize = 1_000;

/// Where an author's chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Events folded.
    pub as_of: u64,
    /// The sequence that the next envelope must have.
    pub next_sequence: AuthorSequence,
    /// The last envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<EnvelopeId>,
}

impl AgentView {
    /// Looks an agent up; one that has signed nothing begins at sequence 0.
    pub fn of(state: &State, agent: &AgentId) -> Self {
        let as_of = state.next_position().0;
        match state.agent(agent) {
            Some(agent) => {
                Self { as_of, next_sequence: agent.next_sequence, last: Some(agent.last) }
            }
            None => Self { as_of, next_sequence: AuthorSequence(0), last: None },
        }
    }
}

/// A version of a capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapabilityView {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Who owns it.
    pub owner: AgentId,
    /// What it is.
    pub terms: CapabilityTerms,
    /// `in_force`, `superseded` or `retired`.
    pub standing: String,
    /// Where it was published.
    pub position: Position,
    /// When it was published.
    pub recorded_at_us: Time,
}

impl From<&Capability> for CapabilityView {
    fn from(capability: &Capability) -> Self {
        Self {
            id: capability.id,
            root: capability.root,
            owner: capability.owner,
            terms: (*capability.terms).clone(),
            standing: match capability.standing {
                CapabilityStanding::InForce => "in_force",
                CapabilityStanding::Superseded(_) => "superseded",
                CapabilityStanding::Retired => "retired",
            }
            .into(),
            position: capability.position,
            recorded_at_us: capability.recorded_at,
        }
    }
}

/// A capability that misses some criteria.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMissView {
    /// The capability.
    pub capability: CapabilityView,
    /// What it does not meet.
    pub failed: Vec<Criterion>,
}

/// A capability that fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchView {
    /// The capability.
    #[serde(flatten)]
    pub capability: CapabilityView,
    /// What it is ranked by, from 0 to 1,000.
    pub scores: Vec<Measure>,
}

/// Who searches, and for what in particular.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The agent whose policies are asked too.
    pub searcher: Option<AgentId>,
    /// Only this version of a capability, in force or not.
    pub capability: Option<EnvelopeId>,
}

/// What a search of the catalog came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogView {
    /// Events folded.
    pub as_of: u64,
    /// What fits, best first.
    pub matches: Vec<MatchView>,
    /// What does not, and why.
    pub near_misses: Vec<NearMissView>,
}

impl CatalogView {
    /// Searches the catalog.
    pub fn of(state: &State, criteria: &Discover, scope: &Scope) -> Self {
        let (matches, misses) = search(state, criteria, scope);
        let missed = |miss: crate::NearMiss| NearMissView {
            capability: (&miss.capability).into(),
            failed: miss.failed,
        };
        Self {
            as_of: state.next_position().0,
            matches: matches
                .iter()
                .take(MAX_ANSWER_OBJECTS)
                .map(|found| MatchView {
                    capability: (&found.capability).into(),
                    scores: found.scores.clone(),
                })
                .collect(),
            near_misses: misses.into_iter().take(MAX_ANSWER_OBJECTS).map(missed).collect(),
        }
    }
}

fn search(
    state: &State,
    criteria: &Discover,
    scope: &Scope,
) -> (Vec<crate::Match>, Vec<crate::NearMiss>) {
    let searcher = scope.searcher.as_ref();
    let Some(id) = scope.capability else { return discover(state, criteria, searcher) };
    let Some(capability) = state.capability(&id).map(Arc::unwrap_or_clone) else {
        return Default::default();
    };
    match why_not(state, criteria, searcher, &capability) {
        failed if failed.is_empty() => {
            (vec![crate::Match { capability, scores: Vec::new() }], Vec::new())
        }
        failed => (Vec::new(), vec![crate::NearMiss { capability, failed }]),
    }
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfferView {
    /// Its id.
    pub id: EnvelopeId,
    /// Who offers.
    pub provider: AgentId,
    /// What is offered.
    pub terms: OfferTerms,
    /// `live`, `expired`, `replaced`, `withdrawn`, `declined` or `accepted`.
    pub standing: String,
    /// The price of a sealed bid that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revealed: Option<Price>,
    /// The policies that a task on this offer is pinned to, if it starts now and names none itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<Digest>,
    /// Where it was made.
    pub position: Position,
    /// When it was made.
    pub recorded_at_us: Time,
}

impl OfferView {
    fn of(state: &State, intent: &Intent, offer: &Offer) -> Self {
        Self {
            revealed: offer.revealed.clone(),
            policy_set: compliance::policy_set(state, intent, offer, &[]),
            id: offer.id,
            provider: offer.provider,
            terms: (*offer.terms).clone(),
            standing: offer_standing(state, offer).into(),
            position: offer.position,
            recorded_at_us: offer.recorded_at,
        }
    }
}

/// Where an offer stands at the ledger's time.
pub(crate) fn offer_standing(state: &State, offer: &Offer) -> &'static str {
    match offer.standing {
        OfferStanding::Live if offer.is_expired(state.recorded_at()) => "expired",
        OfferStanding::Live => "live",
        OfferStanding::Replaced(_) => "replaced",
        OfferStanding::Withdrawn => "withdrawn",
        OfferStanding::Declined => "declined",
        OfferStanding::Accepted(_) => "accepted",
    }
}

/// An intent with all its offers and tasks: how a decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntentView {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Whose it is.
    pub author: AgentId,
    /// What it asks for.
    pub terms: IntentTerms,
    /// The workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// `open`, `fulfilled`, `superseded` or `cancelled`.
    pub standing: String,
    /// All offers, in log order.
    pub offers: Vec<OfferView>,
    /// Where its auction stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auction: Option<AuctionView>,
    /// All tasks, in log order.
    pub tasks: Vec<TaskView>,
    /// Where it was opened.
    pub position: Position,
    /// When it was opened.
    pub recorded_at_us: Time,
}

impl IntentView {
    fn of(state: &State, intent: &Intent) -> Self {
        let offers = intent.offers.iter().filter_map(|id| state.offer(id));
        let tasks = intent.tasks.iter().filter_map(|id| state.task(id));
        Self {
            id: intent.id,
            root: intent.root,
            author: intent.author,
            terms: (*intent.terms).clone(),
            trace_id: intent.trace_id,
            standing: match intent.standing {
                IntentStanding::Open => "open",
                IntentStanding::Fulfilled => "fulfilled",
                IntentStanding::Superseded(_) => "superseded",
                IntentStanding::Cancelled => "cancelled",
            }
            .into(),
            offers: offers.map(|offer| OfferView::of(state, intent, &offer)).collect(),
            auction: AuctionView::of(state, intent),
            tasks: tasks.map(|task| TaskView::of(state, &task)).collect(),
            position: intent.position,
            recorded_at_us: intent.recorded_at,
        }
    }
}

/// Where an auction stands, and what it comes to so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionView {
    /// `english`, `sealed_first_price` or `vickrey`.
    pub mechanism: String,
    /// `bidding`, `revealing` or `closed`.
    pub phase: String,
    /// The best offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<EnvelopeId>,
    /// What its provider would be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl AuctionView {
    pub(crate) fn of(state: &State, intent: &Intent) -> Option<Self> {
        let (mechanism, auction) = auction::auction(&intent.terms)?;
        let phase = auction::phase(mechanism, auction, state.recorded_at());
        // What was awarded has won already.
        let awarded = intent.tasks.last().and_then(|task| state.task(task));
        let again = awarded.map(|task| task.terms.offer);
        let result = auction::result(state, intent, again);
        Some(Self {
            mechanism: mechanism.name().into(),
            phase: phase.name().into(),
            winner: result.as_ref().map(|result| result.offer),
            price: result.map(|result| result.price),
        })
    }
}

/// An outcome that came after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LateView {
    /// The late receipt.
    pub receipt: EnvelopeId,
    /// Who signed it.
    pub author: AgentId,
    /// What it says.
    pub outcome: String,
    /// Where it stands.
    pub position: Position,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Its id.
    pub id: EnvelopeId,
    /// The intent that it serves.
    pub intent: EnvelopeId,
    /// The offer that was accepted.
    pub offer: EnvelopeId,
    /// Who started it.
    pub initiator: AgentId,
    /// Who executes it.
    pub executor: AgentId,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// `assigned`, `accepted`, `running`, `blocked_…`, or an outcome.
    pub state: String,
    /// Last percentage reported.
    pub percent: u32,
    /// When it was started.
    pub started_at_us: Time,
    /// When it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at_us: Option<Time>,
    /// When it was first running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_at_us: Option<Time>,
    /// When its receipt was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_us: Option<Time>,
    /// The receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<EnvelopeId>,
    /// The task that it tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<EnvelopeId>,
    /// The task that tries it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<EnvelopeId>,
    /// Tasks whose outcome it builds on.
    pub depends_on: Vec<EnvelopeId>,
    /// Labels of its intent.
    pub labels: Vec<Label>,
    /// Deadlines that have passed at the ledger's time.
    pub overdue: Vec<String>,
    /// Outcomes that came after the first.
    pub late: Vec<LateView>,
    /// What led to the award, as the TaskStart records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// What the executor is paid, if the TaskStart says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The policies that it is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<Digest>,
    /// The updates that put them in force.
    pub policies: Vec<EnvelopeId>,
    /// Where it was started.
    pub position: Position,
}

impl TaskView {
    fn of(state: &State, task: &Task) -> Self {
        let labels = state.intent(&task.terms.intent).map(|intent| intent.terms.labels.clone());
        let overdue = task.overdue(state.recorded_at());
        let late = task.late.iter().map(|late| LateView {
            receipt: late.receipt,
            author: late.author,
            outcome: late.outcome.name(),
            position: late.position,
        });
        Self {
            id: task.id,
            intent: task.terms.intent,
            offer: task.terms.offer,
            initiator: task.initiator,
            executor: task.executor,
            attempt: task.terms.attempt,
            state: task.state.name(),
            percent: task.percent,
            started_at_us: task.recorded_at,
            accepted_at_us: task.accepted_at,
            running_at_us: task.running_at,
            ended_at_us: task.ended.map(|ended| ended.recorded_at),
            receipt: task.ended.map(|ended| ended.receipt),
            replaces: task.terms.replaces,
            replaced_by: task.replaced_by,
            depends_on: task.terms.depends_on.clone(),
            labels: labels.unwrap_or_default(),
            overdue: overdue.iter().map(|deadline| deadline.name().to_owned()).collect(),
            late: late.collect(),
            evaluation: task.terms.evaluation.clone(),
            price: task.terms.price.clone(),
            policy_set: task.terms.policy_set,
            policies: task.policies.iter().copied().collect(),
            position: task.position,
        }
    }
}

/// Which intents or tasks are asked for: all criteria that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The one with this id.
    pub id: Option<EnvelopeId>,
    /// Those whose intent has this label.
    pub label: Option<Label>,
    /// Only what has not ended.
    pub live: bool,
    /// Most answers, newest first; absent means [`MAX_ANSWER_OBJECTS`].
    pub limit: Option<usize>,
}

impl Selector {
    fn most(&self) -> usize {
        self.limit.unwrap_or(MAX_ANSWER_OBJECTS).min(MAX_ANSWER_OBJECTS)
    }

    fn has_label(&self, intent: Option<&Intent>) -> bool {
        self.label
            .as_ref()
            .is_none_or(|label| intent.is_some_and(|intent| intent.terms.labels.contains(label)))
    }
}

/// Intents that were asked for, newest first.
pub fn intents(state: &State, selector: &Selector) -> Vec<IntentView> {
    let candidates: Vec<Arc<Intent>> = match &selector.id {
        Some(id) => state.intent(id).into_iter().collect(),
        None => state.intents().collect(),
    };
    let mut wanted: Vec<Arc<Intent>> = candidates
        .into_iter()
        .filter(|intent| selector.has_label(Some(intent)))
        .filter(|intent| !selector.live || intent.standing == IntentStanding::Open)
        .collect();
    wanted.sort_by_key(|intent| std::cmp::Reverse(intent.position));
    wanted.into_iter().take(selector.most()).map(|intent| IntentView::of(state, &intent)).collect()
}

/// Tasks that were asked for, newest first.
pub fn tasks(state: &State, selector: &Selector) -> Vec<TaskView> {
    let candidates: Vec<Arc<Task>> = match &selector.id {
        Some(id) => state.task(id).into_iter().collect(),
        None => state.tasks().collect(),
    };
    let mut wanted: Vec<Arc<Task>> = candidates
        .into_iter()
        .filter(|task| selector.has_label(state.intent(&task.terms.intent).as_deref()))
        .filter(|task| !selector.live || task.is_live())
        .collect();
    wanted.sort_by_key(|task| std::cmp::Reverse(task.position));
    wanted.into_iter().take(selector.most()).map(|task| TaskView::of(state, &task)).collect()
}

/// Open negotiations and running tasks that the policies in force do not allow (R21).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComplianceView {
    /// Events folded.
    pub as_of: u64,
    /// Offers and tasks, in log order.
    pub not_compliant: Vec<NotCompliant>,
}

impl ComplianceView {
    /// Asks the policies about all open negotiations and running tasks.
    pub fn of(state: &State) -> Self {
        let mut not_compliant = compliance::not_compliant(state);
        not_compliant.truncate(MAX_ANSWER_OBJECTS);
        Self { as_of: state.next_position().0, not_compliant }
    }
}

/// What the log shows against somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingsView {
    /// Events folded.
    pub as_of: u64,
    /// In log order; the newest when there are too many.
    pub findings: Vec<Finding>,
}

impl FindingsView {
    /// All findings, or those about one agent.
    pub fn of(state: &State, agent: Option<&AgentId>) -> Self {
        let mut found = findings(state);
        found.retain(|finding| agent.is_none_or(|a| state.is_same_party(a, &finding.agent)));
        let too_many = found.len().saturating_sub(MAX_ANSWER_OBJECTS);
        Self { as_of: state.next_position().0, findings: found.split_off(too_many) }
    }
}
