//! What the log has come to: agents, capabilities, intents, offers, tasks, attestations, policies.
//!
//! A [`State`] is a persistent value: clones share what they have in common, so a reader keeps a
//! snapshot while the sequencer goes on. The only way it moves is [`State::fold`], which takes a
//! [`Change`] that the rules made and cannot fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{HashMap, OrdSet, Vector};
use serde::{Serialize, Serializer};
use tally_protocol::message::{
    Attest, CapabilityTerms, ClaimSubject, Deadlines, IntentTerms, Offer as OfferTerms, Outcome,
    PolicyUpdate, ProgressState, TaskStart,
};
use tally_protocol::parts::{Name, Price};
use tally_protocol::{
    AgentId, AuthorSequence, Digest, EnvelopeId, Origin, Position, Time, TraceId,
    message::PolicyScope,
};

use crate::decision::Decision;
use crate::finding::Finding;
use crate::schema::Document;

/// An agent, as its chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// Everything that admission needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    origin: Origin,
    next: Position,
    recorded_at: Time,
    /// Only for an excerpt: what it declares as left out.
    left_out: Option<Arc<BTreeSet<EnvelopeId>>>,
    envelopes: HashMap<EnvelopeId, Position>,
    agents: HashMap<AgentId, Agent>,
    capabilities: HashMap<EnvelopeId, Arc<Capability>>,
    capability_names: HashMap<(AgentId, Name), EnvelopeId>,
    intents: HashMap<EnvelopeId, Arc<Intent>>,
    offers: HashMap<EnvelopeId, Arc<Offer>>,
    tasks: HashMap<EnvelopeId, Arc<Task>>,
    attestations: HashMap<EnvelopeId, Arc<Attestation>>,
    delegations: HashMap<(AgentId, AgentId), Vector<EnvelopeId>>,
    claims: HashMap<ClaimSubject, Vector<EnvelopeId>>,
    policies: HashMap<PolicyKey, Arc<Policy>>,
    policies_in_force: HashMap<EnvelopeId, PolicyKey>,
    /// Names of the policies in force for a scope.
    policy_names: HashMap<PolicyScope, OrdSet<Name>>,
    /// Every version that was ever in force and is judged: what tasks are pinned to.
    policy_versions: HashMap<EnvelopeId, Arc<Policy>>,
    schemas: HashMap<Digest, Document>,
    ended_keys: HashMap<AgentId, KeyEnd>,
    /// Rotations by their events: from which key to which.
    rotations: HashMap<EnvelopeId, (AgentId, AgentId)>,
    /// The first key of an agent, by each later one.
    first_keys: HashMap<AgentId, AgentId>,
    records: HashMap<AgentId, TrackRecord>,
    /// What events showed against somebody, in log order.
    findings: Vector<Finding>,
}

impl State {
    /// The state of an empty ledger.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            next: Position(0),
            recorded_at: Time(0),
            left_out: None,
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
            policy_names: HashMap::new(),
            policy_versions: HashMap::new(),
            schemas: HashMap::new(),
            ended_keys: HashMap::new(),
            rotations: HashMap::new(),
            first_keys: HashMap::new(),
            records: HashMap::new(),
            findings: Vector::new(),
        }
    }

    /// The state of an excerpt of a log: some of its events, in its order, with the positions they
    /// have there ([`State::skip_to`]). The same rules are run, with three differences that follow
    /// from what is not there:
    ///
    /// - an author's chain may have gaps, forward only;
    /// - a cause or a dependency may be one of the envelopes that the excerpt declares as
    ///   `left_out`;
    /// - what a provider's record was worth when it offered is taken from the evaluation that says
    ///   so: it follows from the whole history.
    pub fn excerpt(origin: Origin, left_out: impl IntoIterator<Item = EnvelopeId>) -> Self {
        let left_out = Some(Arc::new(left_out.into_iter().collect()));
        Self { left_out, ..Self::new(origin) }
    }

    /// Whether this is the state of an excerpt.
    pub(crate) fn is_excerpt(&self) -> bool {
        self.left_out.is_some()
    }

    /// Whether this is an excerpt that declares an envelope as left out.
    pub(crate) fn is_left_out(&self, id: &EnvelopeId) -> bool {
        self.left_out.as_ref().is_some_and(|left_out| left_out.contains(id))
    }

    /// Goes on in an excerpt at a later position: nothing is known of those between.
    ///
    /// # Panics
    /// When this is no excerpt, or the position was passed.
    pub fn skip_to(&mut self, position: Position) {
        assert!(self.is_excerpt(), "only an excerpt leaves events out");
        assert!(position >= self.next, "an excerpt has the order of its log");
        self.next = position;
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

    /// One number for everything in it: two folds of the same events give the same.
    ///
    /// BLAKE3-256 over the objects, sorted by kind and key: of each the kind, the key and the object
    /// as JSON, each behind its length in eight big-endian bytes. Costs as much as there are
    /// objects.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher(blake3::Hasher::new());
        let (next, at) = (self.next, self.recorded_at);
        hasher.object("ledger", "", &(self.origin.as_str(), next, at));
        hasher.map("agent", &self.agents, |agent| agent);
        hasher.map("attestation", &self.attestations, |value| &**value);
        hasher.map("capability", &self.capabilities, |value| &**value);
        hasher.map("envelope", &self.envelopes, |value| value);
        hasher.map("first_key", &self.first_keys, |value| value);
        hasher.map("intent", &self.intents, |value| &**value);
        hasher.map("key_end", &self.ended_keys, |value| value);
        hasher.map("offer", &self.offers, |value| &**value);
        hasher.map("policy", &self.policies, |value| &**value);
        hasher.map("policy_version", &self.policy_versions, |value| &**value);
        hasher.map("record", &self.records, |value| value);
        hasher.map("rotation", &self.rotations, |value| value);
        hasher.map("schema", &self.schemas, |_| &());
        hasher.map("task", &self.tasks, |value| &**value);
        for finding in &self.findings {
            hasher.object("finding", "", finding);
        }
        Digest(*hasher.0.finalize().as_bytes())
    }

    /// Where an envelope stands, if it was admitted.
    pub fn position_of(&self, id: &EnvelopeId) -> Option<Position> {
        self.envelopes.get(id).copied()
    }

    /// An agent that has signed something.
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// The first key of the agent that this key stands for, or stood for.
    pub fn party(&self, key: &AgentId) -> AgentId {
        self.first_keys.get(key).copied().unwrap_or(*key)
    }

    /// Whether two keys stand, or stood, for one agent.
    pub fn is_same_party(&self, one: &AgentId, other: &AgentId) -> bool {
        one == other || self.party(one) == self.party(other)
    }

    /// Why a key signs nothing any more; `None` while it does.
    pub fn key_end(&self, key: &AgentId) -> Option<KeyEnd> {
        self.ended_keys.get(key).copied()
    }

    /// The rotation of a key by an event: from which key to which.
    pub(crate) fn rotation(&self, event: &EnvelopeId) -> Option<(AgentId, AgentId)> {
        self.rotations.get(event).copied()
    }

    /// This state, with one key succeeding another.
    pub(crate) fn with_succession(&self, successor: AgentId, predecessor: AgentId) -> Self {
        let mut state = self.clone();
        state.put(Put::Succession(successor, predecessor));
        state
    }

    /// How the tasks of an agent ended, over all its keys.
    pub fn record(&self, agent: &AgentId) -> TrackRecord {
        self.records.get(&self.party(agent)).copied().unwrap_or_default()
    }

    /// What events showed against somebody, in log order; what follows from the time alone is
    /// added by [`crate::findings`].
    pub fn shown(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter()
    }

    /// A schema document that was carried inline.
    pub fn schema(&self, digest: &Digest) -> Option<&Document> {
        self.schemas.get(digest)
    }

    /// A version of a capability.
    pub fn capability(&self, id: &EnvelopeId) -> Option<&Capability> {
        self.capabilities.get(id).map(AsRef::as_ref)
    }

    /// The capability in force that an owner gave this name, by whichever of its keys.
    pub fn capability_named(&self, owner: &AgentId, name: &Name) -> Option<EnvelopeId> {
        self.capability_names.get(&(self.party(owner), name.clone())).copied()
    }

    /// The capabilities in force, in no order.
    pub fn catalog(&self) -> impl Iterator<Item = &Capability> {
        self.capability_names.values().filter_map(|id| self.capability(id))
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

    /// Delegations by which one agent may act for another, revoked and expired ones included.
    pub fn delegations(&self, from: &AgentId, to: &AgentId) -> impl Iterator<Item = &Attestation> {
        let ids = self.delegations.get(&(self.party(from), self.party(to)));
        ids.into_iter().flatten().filter_map(|id| self.attestation(id))
    }

    /// Claims about an agent, revoked and expired ones included.
    pub fn claims(&self, about: &AgentId) -> impl Iterator<Item = &Attestation> {
        let (party, key) = (self.party(about), *about);
        // What was claimed of a key before it succeeded another stays with the key.
        let own = (key != party).then_some(ClaimSubject::Agent(key));
        let own = own.into_iter().flat_map(|key| self.claims_about(key));
        self.claims_about(ClaimSubject::Agent(party)).chain(own)
    }

    /// Claims about a message, such as a version of a capability, revoked and expired ones
    /// included.
    pub fn claims_on(&self, message: &EnvelopeId) -> impl Iterator<Item = &Attestation> {
        self.claims_about(ClaimSubject::Envelope(*message))
    }

    fn claims_about(&self, subject: ClaimSubject) -> impl Iterator<Item = &Attestation> {
        let ids = self.claims.get(&subject).into_iter().flatten();
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

    /// Policies in force for a scope, which names a capability or intent by its first version; in
    /// the order of their names.
    pub fn policies_for(&self, scope: PolicyScope) -> impl Iterator<Item = &Policy> {
        let names = self.policy_names.get(&scope).into_iter().flatten();
        names.filter_map(move |name| self.policy(&(scope, name.clone())))
    }

    /// All policies in force, in no order.
    pub fn policies_in_force(&self) -> impl Iterator<Item = &Policy> {
        self.policies_in_force.values().filter_map(|key| self.policy(key))
    }

    /// A version of a policy that is judged, in force or not.
    pub fn policy_version(&self, update: &EnvelopeId) -> Option<&Policy> {
        self.policy_versions.get(update).map(AsRef::as_ref)
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
            Put::Schema(document) => {
                self.schemas.insert(document.digest(), document);
            }
            Put::Key(key, end) => {
                self.ended_keys.insert(key, end);
            }
            Put::Rotation(event, from, to) => {
                self.rotations.insert(event, (from, to));
            }
            Put::Succession(successor, predecessor) => {
                self.first_keys.insert(successor, self.party(&predecessor));
            }
            Put::Record(agent, record) => {
                self.records.insert(self.party(&agent), record);
            }
            Put::Finding(finding) => self.findings.push_back(finding),
        }
    }

    fn put_capability(&mut self, capability: Capability) {
        let name = (self.party(&capability.owner), capability.terms.name.clone());
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
        let id = attestation.id;
        if !self.attestations.contains_key(&id) {
            match &*attestation.statement {
                Attest::Delegate(to) => {
                    let key = (self.party(&attestation.principal), self.party(&to.delegate));
                    self.delegations.entry(key).or_default().push_back(id);
                }
                Attest::Claim(claim) => {
                    let subject = match claim.subject {
                        ClaimSubject::Agent(agent) => ClaimSubject::Agent(self.party(&agent)),
                        message @ ClaimSubject::Envelope(_) => message,
                    };
                    self.claims.entry(subject).or_default().push_back(id);
                }
                Attest::Revoke(_) | Attest::RotateKey(_) | Attest::RevokeKey(_) => {}
            }
        }
        self.attestations.insert(id, Arc::new(attestation));
    }

    fn put_policy(&mut self, key: PolicyKey, policy: Policy) {
        if let Some(earlier) = self.policies.get(&key) {
            self.policies_in_force.remove(&earlier.update);
        }
        let (scope, name) = key.clone();
        let names = self.policy_names.entry(scope).or_default();
        if policy.in_force {
            names.insert(name);
            self.policies_in_force.insert(policy.update, key.clone());
        } else {
            names.remove(&name);
        }
        let policy = Arc::new(policy);
        if policy.in_force && policy.judged.is_some() {
            self.policy_versions.insert(policy.update, Arc::clone(&policy));
        }
        self.policies.insert(key, policy);
    }
}

/// Hashes objects for [`State::digest`]. Maps that follow from others (names, indexes) are left
/// out.
struct Hasher(blake3::Hasher);

impl Hasher {
    fn map<K: Serialize, V, T: Serialize + ?Sized>(
        &mut self,
        kind: &str,
        map: &HashMap<K, V>,
        value: impl for<'v> Fn(&'v V) -> &'v T,
    ) {
        let json = |key: &K| serde_json::to_string(key).expect("keys are JSON");
        let mut objects: Vec<_> = map.iter().map(|(key, object)| (json(key), object)).collect();
        objects.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, object) in objects {
            self.object(kind, &key, value(object));
        }
    }

    fn object<T: Serialize + ?Sized>(&mut self, kind: &str, key: &str, object: &T) {
        let json = serde_json::to_string(object).expect("objects are JSON");
        for part in [kind, key, &json] {
            self.0.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
    }
}
