//! What the log has come to: agents, capabilities, intents, offers, tasks, attestations, policies.
//!
//! A [`State`] is a persistent value: clones share what they have in common, so a reader keeps a
//! snapshot while the sequencer goes on. The only way it moves is [`State::fold`], which takes a
//! [`Change`] that the rules made and cannot fail.

use std::sync::Arc;

use imbl::{HashMap, Vector};
use serde::Serialize;
use tally_protocol::message::{
    Attest, CapabilityTerms, Deadlines, IntentTerms, Offer as OfferTerms, Outcome, PolicyUpdate,
    ProgressState, TaskStart,
};
use tally_protocol::parts::Name;
use tally_protocol::{
    AgentId, AuthorSequence, EnvelopeId, Origin, Position, Time, TraceId, message::PolicyScope,
};

/// An agent, as its chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The sequence that its next envelope must have.
    pub next_sequence: AuthorSequence,
    /// Its last envelope.
    pub last: EnvelopeId,
}

/// A version of a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Who owns it.
    pub owner: AgentId,
    /// What it is.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Id of this version.
    pub id: EnvelopeId,
    /// Id of the first version.
    pub root: EnvelopeId,
    /// Whose it is.
    pub author: AgentId,
    /// What it asks for.
    pub terms: Arc<IntentTerms>,
    /// The workflow.
    pub trace_id: Option<TraceId>,
    /// Whether it takes offers.
    pub standing: IntentStanding,
    /// All offers on it, in log order.
    pub offers: Vector<EnvelopeId>,
    /// All tasks started on it, in log order.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: EnvelopeId,
    /// Who offers.
    pub provider: AgentId,
    /// What is offered.
    pub terms: Arc<OfferTerms>,
    /// Whether it can be accepted.
    pub standing: OfferStanding,
    /// Counter-offers asked for, in log order.
    pub counters: Vector<EnvelopeId>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub terms: Arc<TaskStart>,
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
        let Some(Deadlines { accept_by_us, start_by_us, done_by_us, heartbeat_us }) =
            self.terms.deadlines.as_ref().filter(|_| self.is_live())
        else {
            return Vec::new();
        };
        let passed = |limit: &Option<Time>| limit.is_some_and(|limit| limit < at);
        let silent = *heartbeat_us > 0 && self.heard_at.plus_us(*heartbeat_us) < at;
        [
            (Deadline::AcceptBy, self.accepted_at.is_none() && passed(accept_by_us)),
            (Deadline::StartBy, self.running_at.is_none() && passed(start_by_us)),
            (Deadline::DoneBy, passed(done_by_us)),
            (Deadline::Heartbeat, silent),
        ]
        .into_iter()
        .filter_map(|(deadline, missed)| missed.then_some(deadline))
        .collect()
    }
}

/// An attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Its id.
    pub id: EnvelopeId,
    /// Who attests.
    pub author: AgentId,
    /// What is attested.
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
            Attest::Revoke(_) => return false,
        };
        !self.revoked && expires.is_none_or(|until| at <= until)
    }
}

/// What a policy is known by: its scope, with a capability or intent by its first version, and its
/// name.
pub type PolicyKey = (PolicyScope, Name);

/// A policy, by its latest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Id of the PolicyUpdate.
    pub update: EnvelopeId,
    /// The latest version.
    pub terms: Arc<PolicyUpdate>,
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
}

impl Change {
    /// The new versions of objects.
    pub fn puts(&self) -> &[Put] {
        &self.puts
    }
}

/// Everything that admission needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    origin: Origin,
    next: Position,
    recorded_at: Time,
    envelopes: HashMap<EnvelopeId, Position>,
    agents: HashMap<AgentId, Agent>,
    capabilities: HashMap<EnvelopeId, Arc<Capability>>,
    capability_names: HashMap<(AgentId, Name), EnvelopeId>,
    intents: HashMap<EnvelopeId, Arc<Intent>>,
    offers: HashMap<EnvelopeId, Arc<Offer>>,
    tasks: HashMap<EnvelopeId, Arc<Task>>,
    attestations: HashMap<EnvelopeId, Arc<Attestation>>,
    delegations: HashMap<(AgentId, AgentId), Vector<EnvelopeId>>,
    claims: HashMap<AgentId, Vector<EnvelopeId>>,
    policies: HashMap<PolicyKey, Arc<Policy>>,
    policies_in_force: HashMap<EnvelopeId, PolicyKey>,
}

impl State {
    /// The state of an empty ledger.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            next: Position(0),
            recorded_at: Time(0),
            envelopes: HashMap::new(),
            agents: HashMap::new(),
            capabilities: HashMap::new(),
            capability_names: HashMap::new(),
            intents: HashMap::new(),
            offers: HashMap::new(),
            tasks: HashMap::new(),
            attestations: HashMap::new(),
            delegations: HashMap::new(),
            claims: HashMap::new(),
            policies: HashMap::new(),
            policies_in_force: HashMap::new(),
        }
    }

    /// The ledger's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The position that the next admitted envelope takes: how far the log is folded.
    pub fn next_position(&self) -> Position {
        self.next
    }

    /// When the last folded event was recorded.
    pub fn recorded_at(&self) -> Time {
        self.recorded_at
    }

    /// Where an envelope stands, if it was admitted.
    pub fn position_of(&self, id: &EnvelopeId) -> Option<Position> {
        self.envelopes.get(id).copied()
    }

    /// An agent that has signed something.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// A version of a capability.
    pub fn capability(&self, id: &EnvelopeId) -> Option<&Capability> {
        self.capabilities.get(id).map(AsRef::as_ref)
    }

    /// The capability in force that an owner gave this name.
    pub fn capability_named(&self, owner: &AgentId, name: &Name) -> Option<EnvelopeId> {
        self.capability_names.get(&(*owner, name.clone())).copied()
    }

    /// All versions of all capabilities, in no order.
    pub fn capabilities(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.values().map(AsRef::as_ref)
    }

    /// A version of an intent.
    pub fn intent(&self, id: &EnvelopeId) -> Option<&Intent> {
        self.intents.get(id).map(AsRef::as_ref)
    }

    /// All versions of all intents, in no order.
    pub fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.intents.values().map(AsRef::as_ref)
    }

    /// An offer.
    pub fn offer(&self, id: &EnvelopeId) -> Option<&Offer> {
        self.offers.get(id).map(AsRef::as_ref)
    }

    /// A task.
    pub fn task(&self, id: &EnvelopeId) -> Option<&Task> {
        self.tasks.get(id).map(AsRef::as_ref)
    }

    /// All tasks, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().map(AsRef::as_ref)
    }

    /// An attestation.
    pub fn attestation(&self, id: &EnvelopeId) -> Option<&Attestation> {
        self.attestations.get(id).map(AsRef::as_ref)
    }

    /// Delegations from one agent to another, revoked and expired ones included.
    pub fn delegations(&self, from: &AgentId, to: &AgentId) -> impl Iterator<Item = &Attestation> {
        let ids = self.delegations.get(&(*from, *to)).into_iter().flatten();
        ids.filter_map(|id| self.attestation(id))
    }

    /// Claims about an agent, revoked and expired ones included.
    pub fn claims(&self, about: &AgentId) -> impl Iterator<Item = &Attestation> {
        let ids = self.claims.get(about).into_iter().flatten();
        ids.filter_map(|id| self.attestation(id))
    }

    /// A policy by scope and name.
    pub fn policy(&self, key: &PolicyKey) -> Option<&Policy> {
        self.policies.get(key).map(AsRef::as_ref)
    }

    /// The policy in force that this PolicyUpdate put there.
    pub fn policy_in_force(&self, update: &EnvelopeId) -> Option<&Policy> {
        self.policies_in_force.get(update).and_then(|key| self.policy(key))
    }

    /// Takes an admitted change in.
    ///
    /// # Panics
    /// When the change was admitted by another state than this one: the log would fork.
    pub fn fold(&mut self, change: Change) {
        assert_eq!(change.position, self.next, "changes are folded in the order of the log");
        self.next = change.position.next();
        self.recorded_at = change.recorded_at;
        self.envelopes.insert(change.id, change.position);
        let agent = Agent { next_sequence: change.sequence.next(), last: change.id };
        self.agents.insert(change.author, agent);
        for put in change.puts {
            self.put(put);
        }
    }

    fn put(&mut self, put: Put) {
        match put {
            Put::Capability(capability) => self.put_capability(capability),
            Put::Intent(intent) => {
                self.intents.insert(intent.id, Arc::new(intent));
            }
            Put::Offer(offer) => {
                self.offers.insert(offer.id, Arc::new(offer));
            }
            Put::Task(task) => {
                self.tasks.insert(task.id, Arc::new(*task));
            }
            Put::Attestation(attestation) => self.put_attestation(attestation),
            Put::Policy(key, policy) => self.put_policy(key, policy),
        }
    }

    fn put_capability(&mut self, capability: Capability) {
        let name = (capability.owner, capability.terms.name.clone());
        match capability.standing {
            CapabilityStanding::InForce => {
                self.capability_names.insert(name, capability.id);
            }
            CapabilityStanding::Superseded(_) | CapabilityStanding::Retired => {
                if self.capability_names.get(&name) == Some(&capability.id) {
                    self.capability_names.remove(&name);
                }
            }
        }
        self.capabilities.insert(capability.id, Arc::new(capability));
    }

    fn put_attestation(&mut self, attestation: Attestation) {
        use tally_protocol::message::ClaimSubject;
        let id = attestation.id;
        if !self.attestations.contains_key(&id) {
            match &*attestation.statement {
                Attest::Delegate(to) => {
                    let key = (attestation.author, to.delegate);
                    self.delegations.entry(key).or_default().push_back(id);
                }
                Attest::Claim(claim) => {
                    if let ClaimSubject::Agent(agent) = claim.subject {
                        self.claims.entry(agent).or_default().push_back(id);
                    }
                }
                Attest::Revoke(_) => {}
            }
        }
        self.attestations.insert(id, Arc::new(attestation));
    }

    fn put_policy(&mut self, key: PolicyKey, policy: Policy) {
        if let Some(earlier) = self.policies.get(&key) {
            self.policies_in_force.remove(&earlier.update);
        }
        if policy.in_force {
            self.policies_in_force.insert(policy.update, key.clone());
        }
        self.policies.insert(key, Arc::new(policy));
    }
}
