//! What the log comes to, object by object; how they change is the business of the rules.

use std::sync::Arc;

use imbl::Vector;
use serde::{Serialize, Serializer};
use tally_protocol::message::{
    Attest, CapabilityTerms, Deadlines, IntentTerms, Offer as OfferTerms, Outcome, PolicyScope,
    PolicyUpdate, ProgressState, TaskStart,
};
use tally_protocol::parts::{Name, Price};
use tally_protocol::{AgentId, AuthorSequence, EnvelopeId, Position, Time, TraceId};

use crate::decision::Decision;
use crate::finding::Finding;
use crate::schema::Document;

/// An agent, as its chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The sequence that its next envelope must have.
    pub next_sequence: AuthorSequence,
    /// Its last envelope.
    pub last: EnvelopeId,
}

/// Why a key signs nothing any more (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEnd {
    /// This key stands for the agent now.
    Rotated(AgentId),
    /// The agent revoked it.
    Revoked,
}

/// How an agent's tasks have ended so far, over all its keys (R15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TrackRecord {
    /// Tasks that it executed with success.
    pub succeeded: u32,
    /// Tasks that it executed and that failed, were rejected, violated a policy or were given up.
    pub failed: u32,
}

/// A version of a capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Who owns it.
    pub owner: AgentId,
    /// What it is.
    #[serde(serialize_with = "shared")]
    pub terms: Arc<CapabilityTerms>,
    /// Whether it is in force.
    pub standing: CapabilityStanding,
    /// Where it was published.
    pub position: Position,
    /// When it was published.
    pub recorded_at: Time,
}

/// Whether a version of a capability is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityStanding {
    /// It can be offered.
    InForce,
    /// Another version took its place.
    Superseded(EnvelopeId),
    /// Its owner ended it.
    Retired,
}

impl CapabilityStanding {
    pub(crate) fn found(self) -> String {
        match self {
            Self::InForce => "is in force".into(),
            Self::Superseded(by) => format!("is superseded by {by}"),
            Self::Retired => "is retired".into(),
        }
    }
}

/// A version of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Intent {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Whose it is.
    pub author: AgentId,
    /// What it asks for.
    #[serde(serialize_with = "shared")]
    pub terms: Arc<IntentTerms>,
    /// The workflow.
    pub trace_id: Option<TraceId>,
    /// Whether it takes offers.
    pub standing: IntentStanding,
    /// All offers on it, in log order.
    #[serde(serialize_with = "list")]
    pub offers: Vector<EnvelopeId>,
    /// All tasks started on it, in log order.
    #[serde(serialize_with = "list")]
    pub tasks: Vector<EnvelopeId>,
    /// Tasks that have not ended.
    pub live_tasks: u32,
    /// Tasks that succeeded.
    pub succeeded_tasks: u32,
    /// Where it was opened.
    pub position: Position,
    /// When it was opened.
    pub recorded_at: Time,
}

/// Whether an intent takes offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStanding {
    /// It takes offers, and tasks may start.
    Open,
    /// A task succeeded and no other is running.
    Fulfilled,
    /// Another version took its place.
    Superseded(EnvelopeId),
    /// Its author ended it.
    Cancelled,
}

impl Intent {
    /// Whether it takes offers, its deadline aside.
    pub fn is_open(&self) -> bool {
        self.standing == IntentStanding::Open
    }
}

impl IntentStanding {
    pub(crate) fn found(self) -> String {
        match self {
            Self::Open => "is open".into(),
            Self::Fulfilled => "is fulfilled".into(),
            Self::Superseded(by) => format!("is superseded by {by}"),
            Self::Cancelled => "is cancelled".into(),
        }
    }
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Its id.
    pub id: EnvelopeId,
    /// Who offers.
    pub provider: AgentId,
    /// What is offered.
    #[serde(serialize_with = "shared")]
    pub terms: Arc<OfferTerms>,
    /// Whether it can be accepted.
    pub standing: OfferStanding,
    /// Counter-offers asked for, in log order.
    #[serde(serialize_with = "list")]
    pub counters: Vector<EnvelopeId>,
    /// The price of a sealed bid that was opened.
    pub revealed: Option<Price>,
    /// The provider's record when the offer was made: what an evaluation goes by.
    pub record: TrackRecord,
    /// Where it was made.
    pub position: Position,
    /// When it was made.
    pub recorded_at: Time,
}

/// Whether an offer can be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferStanding {
    /// It can be accepted while it is valid.
    Live,
    /// The provider put another in its place.
    Replaced(EnvelopeId),
    /// The provider took it back.
    Withdrawn,
    /// The intent's author refused it.
    Declined,
    /// A task was started on it.
    Accepted(EnvelopeId),
}

impl Offer {
    /// What it asks for: stated openly, or revealed.
    pub fn price(&self) -> Option<&Price> {
        self.revealed.as_ref().or(self.terms.price.as_ref())
    }

    /// Whether the offer's time has run out.
    pub fn is_expired(&self, at: Time) -> bool {
        self.terms.valid_until_us.is_some_and(|until| until < at)
    }

    pub(crate) fn found(&self) -> String {
        match self.standing {
            OfferStanding::Live => {
                let until = self.terms.valid_until_us.unwrap_or_default();
                format!("was valid until {until} µs")
            }
            OfferStanding::Replaced(by) => format!("is replaced by {by}"),
            OfferStanding::Withdrawn => "is withdrawn".into(),
            OfferStanding::Declined => "is declined".into(),
            OfferStanding::Accepted(task) => format!("is accepted by task {task}"),
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Id of the TaskStart.
    pub id: EnvelopeId,
    /// Who started it.
    pub initiator: AgentId,
    /// Whose intent it is about.
    pub intent_author: AgentId,
    /// Who executes it.
    pub executor: AgentId,
    /// On which terms.
    #[serde(serialize_with = "shared")]
    pub terms: Arc<TaskStart>,
    /// The policies that judge it, pinned when it started.
    #[serde(serialize_with = "list")]
    pub policies: Vector<EnvelopeId>,
    /// The workflow.
    pub trace_id: Option<TraceId>,
    /// Where it stands.
    pub state: TaskState,
    /// Last percentage reported; 100 after success.
    pub percent: u32,
    /// When it was accepted.
    pub accepted_at: Option<Time>,
    /// When it was first running.
    pub running_at: Option<Time>,
    /// When the executor was last heard; the start before that.
    pub heard_at: Time,
    /// Who asked for cancellation.
    pub cancellation_by: Option<AgentId>,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Outcomes that came after the first (R18); they change nothing.
    #[serde(serialize_with = "list")]
    pub late: Vector<LateTerminal>,
    /// The task that tries again.
    pub replaced_by: Option<EnvelopeId>,
    /// Where it was started.
    pub position: Position,
    /// When it was started.
    pub recorded_at: Time,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Authorised, not yet accepted by the executor.
    Assigned,
    /// What the executor last reported.
    Reported(ProgressState),
    /// Ended for good.
    Ended(Outcome),
}

impl TaskState {
    /// The word for it.
    pub fn name(self) -> String {
        match self {
            Self::Assigned => "assigned".into(),
            Self::Reported(state) => state.name(),
            Self::Ended(outcome) => outcome.name(),
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// The receipt.
    pub receipt: EnvelopeId,
    /// The outcome.
    pub outcome: Outcome,
    /// Where the receipt stands.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Time,
}

/// An outcome that came after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LateTerminal {
    /// The late receipt.
    pub receipt: EnvelopeId,
    /// Who signed it.
    pub author: AgentId,
    /// What it says.
    pub outcome: Outcome,
    /// Where it stands.
    pub position: Position,
}

/// A deadline of a task that has passed (R20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// Not accepted in time.
    AcceptBy,
    /// Not running in time.
    StartBy,
    /// Not ended in time.
    DoneBy,
    /// Not heard of for too long.
    Heartbeat,
}

impl Deadline {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptBy => "accept_by",
            Self::StartBy => "start_by",
            Self::DoneBy => "done_by",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl Task {
    /// Whether the task has not ended.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Deadlines that have passed at a stated time, for a task that has not ended.
    pub fn overdue(&self, at: Time) -> Vec<Deadline> {
        let limits = self.limits().into_iter();
        limits.filter_map(|(deadline, limit)| (limit? < at).then_some(deadline)).collect()
    }

    /// The next deadline: after it the task is overdue, unless the executor is heard before.
    pub fn due(&self) -> Option<Time> {
        self.limits().into_iter().filter_map(|(_, limit)| limit).min()
    }

    /// Until when each deadline is kept, as the task stands; `None` for what cannot be missed.
    fn limits(&self) -> [(Deadline, Option<Time>); 4] {
        let deadlines = self.terms.deadlines.as_ref().filter(|_| self.is_live());
        let open = Deadlines::new();
        let Deadlines { accept_by_us, start_by_us, done_by_us, heartbeat_us } =
            deadlines.unwrap_or(&open);
        let heartbeat = (*heartbeat_us > 0).then(|| self.heard_at.plus_us(*heartbeat_us));
        [
            (Deadline::AcceptBy, accept_by_us.filter(|_| self.accepted_at.is_none())),
            (Deadline::StartBy, start_by_us.filter(|_| self.running_at.is_none())),
            (Deadline::DoneBy, *done_by_us),
            (Deadline::Heartbeat, heartbeat),
        ]
    }
}

/// An attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attestation {
    /// Its id.
    pub id: EnvelopeId,
    /// Who attests.
    pub author: AgentId,
    /// For whom a delegation speaks: its author, or the one whose delegation it passes on.
    pub principal: AgentId,
    /// What is attested.
    #[serde(serialize_with = "shared")]
    pub statement: Arc<Attest>,
    /// Whether its author took it back.
    pub revoked: bool,
    /// Where it stands.
    pub position: Position,
}

impl Attestation {
    /// Whether it holds at a stated time.
    pub fn holds(&self, at: Time) -> bool {
        let expires = match &*self.statement {
            Attest::Claim(claim) => claim.expires_at_us,
            Attest::Delegate(delegation) => delegation.expires_at_us,
            Attest::Revoke(_) | Attest::RotateKey(_) | Attest::RevokeKey(_) => return false,
        };
        !self.revoked && expires.is_none_or(|until| at <= until)
    }
}

/// What a policy is known by: its scope, with a capability or intent by its first version, and its
/// name.
pub type PolicyKey = (PolicyScope, Name);

/// A policy, by its latest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Id of the PolicyUpdate.
    pub update: EnvelopeId,
    /// The latest version.
    #[serde(serialize_with = "shared")]
    pub terms: Arc<PolicyUpdate>,
    /// Its text, read; `None` for one that is not judged.
    #[serde(skip)]
    pub judged: Option<tally_policy::Policy>,
    /// Whether it is in force.
    pub in_force: bool,
    /// Where it stands.
    pub position: Position,
}

/// A new version of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant carries the object it names")]
pub enum Put {
    Capability(Capability),
    Intent(Intent),
    Offer(Offer),
    Task(Box<Task>),
    Attestation(Attestation),
    Policy(PolicyKey, Policy),
    Schema(Document),
    Key(AgentId, KeyEnd),
    /// A rotation, by its event: from this key to that.
    Rotation(EnvelopeId, AgentId, AgentId),
    /// This key succeeds that one from now on.
    Succession(AgentId, AgentId),
    Record(AgentId, TrackRecord),
    Finding(Finding),
}

/// What an admitted envelope changes. Made only by [`crate::admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub(crate) id: EnvelopeId,
    pub(crate) author: AgentId,
    pub(crate) sequence: AuthorSequence,
    pub(crate) position: Position,
    pub(crate) recorded_at: Time,
    pub(crate) puts: Vec<Put>,
    pub(crate) decisions: Vec<Decision>,
}

impl Change {
    /// The new versions of objects.
    pub fn puts(&self) -> &[Put] {
        &self.puts
    }

    /// The decisions that the admission rests on.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
}

fn shared<T: Serialize, S: Serializer>(shared: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    shared.serialize(serializer)
}

fn list<T, S>(list: &Vector<T>, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Clone + Serialize,
    S: Serializer,
{
    serializer.collect_seq(list)
}
