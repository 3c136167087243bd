//! What the log has come to: agents, capabilities, intents, offers, tasks, attestations, policies.
//!
//! A [`State`] is a persistent value: clones share what they have in common, so a reader keeps a
//! snapshot while the sequencer goes on. The only way it moves is [`State::fold`], which takes a
//! [`Change`] that the rules made and cannot fail.
//!
//! Whatever grows with the history is kept in generations: the youngest takes every change in, and
//! below them lies an [`Archive`], where there is one, with all that older events came to. A lookup
//! asks from the youngest down. So nothing has to be declared finished: what is not touched falls
//! out of memory, and comes back by a read. Without an archive there is one generation for all.
//!
//! Always at hand, and so bounded by what there is and not by how long it went on: the capabilities
//! in force, the policies, the schemas, and the keys that succeeded others or ended.

mod archive;
mod digest;
mod generation;
mod layers;
mod objects;
mod row;

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{HashMap, OrdSet, Vector};
use tally_protocol::message::{ClaimSubject, PolicyScope};
use tally_protocol::parts::Name;
use tally_protocol::{AgentId, Digest, EnvelopeId, Origin, ParsedEnvelope, Position, Time};

pub use archive::{Archive, ArchiveDamaged, RowChange, Rows};
pub use generation::GENERATION_EVENTS;
pub use objects::{
    Agent, Attestation, Capability, CapabilityStanding, Change, Deadline, Ended, Intent,
    IntentStanding, KeyEnd, LateTerminal, Offer, OfferStanding, Policy, PolicyKey, Put, Task,
    TaskState, TrackRecord,
};

use crate::finding::Finding;
use crate::schema::Document;
use archive::{Archived, Turned};
use generation::{Generation, Listed};
use layers::Layers;

/// Everything that admission needs to know.
#[derive(Debug, Clone)]
pub struct State {
    origin: Origin,
    next: Position,
    recorded_at: Time,
    /// Only for an excerpt: what it declares as left out.
    left_out: Option<Arc<BTreeSet<EnvelopeId>>>,
    lasting: Lasting,
    young: Generation,
    /// Generations that the archive does not have yet, the oldest first.
    turned: Vector<Arc<Turned>>,
    archived: Option<Archived>,
}

/// What is always at hand.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lasting {
    /// The capabilities in force.
    catalog: HashMap<EnvelopeId, Arc<Capability>>,
    capability_names: HashMap<(AgentId, Name), EnvelopeId>,
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
    /// How often any of this changed.
    changes: u64,
    /// How many findings there are.
    findings: u64,
}

impl State {
    /// The state of an empty ledger, without an archive.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            next: Position(0),
            recorded_at: Time(0),
            left_out: None,
            lasting: Lasting::default(),
            young: Generation::default(),
            turned: Vector::new(),
            archived: None,
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

    /// Where an envelope stands, if it was admitted.
    pub fn position_of(&self, id: &EnvelopeId) -> Option<Position> {
        self.touched(|generation| generation.envelopes.get(id).copied())
            .or_else(|| self.archived.as_ref()?.position_of(id))
    }

    /// Where this very envelope stands, if it was admitted before.
    ///
    /// An id covers the author and its sequence, so what continues its author's chain needs no
    /// search among all envelopes.
    pub fn repeated(&self, envelope: &ParsedEnvelope) -> Option<Position> {
        let agent = self.agent(&envelope.envelope().author)?;
        let signed_before = envelope.envelope().author_sequence < agent.next_sequence;
        signed_before.then(|| self.position_of(&envelope.id()))?
    }

    /// An agent that has signed something.
    pub fn agent(&self, id: &AgentId) -> Option<Agent> {
        self.touched(|generation| generation.agents.get(id).copied())
            .or_else(|| self.archived.as_ref()?.agent(id))
    }

    /// The first key of the agent that this key stands for, or stood for.
    pub fn party(&self, key: &AgentId) -> AgentId {
        self.lasting.first_keys.get(key).copied().unwrap_or(*key)
    }

    /// Whether two keys stand, or stood, for one agent.
    pub fn is_same_party(&self, one: &AgentId, other: &AgentId) -> bool {
        one == other || self.party(one) == self.party(other)
    }

    /// Why a key signs nothing any more; `None` while it does.
    pub fn key_end(&self, key: &AgentId) -> Option<KeyEnd> {
        self.lasting.ended_keys.get(key).copied()
    }

    /// The rotation of a key by an event: from which key to which.
    pub(crate) fn rotation(&self, event: &EnvelopeId) -> Option<(AgentId, AgentId)> {
        self.lasting.rotations.get(event).copied()
    }

    /// This state, with one key succeeding another.
    pub(crate) fn with_succession(&self, successor: AgentId, predecessor: AgentId) -> Self {
        let mut state = self.clone();
        state.put(Put::Succession(successor, predecessor));
        state
    }

    /// How the tasks of an agent ended, over all its keys.
    pub fn record(&self, agent: &AgentId) -> TrackRecord {
        let party = self.party(agent);
        self.touched(|generation| generation.records.get(&party).copied())
            .or_else(|| self.archived.as_ref()?.record(&party))
            .unwrap_or_default()
    }

    /// What events showed against somebody, in log order; what follows from the time alone is
    /// added by [`crate::findings`].
    pub fn shown(&self) -> impl Iterator<Item = Finding> {
        let old = self.archived.iter().flat_map(|archived| archived.findings());
        let turned = self.turned.iter().flat_map(|turned| turned.generation.findings.iter());
        old.chain(turned.chain(&self.young.findings).cloned())
    }

    /// A schema document that was carried inline.
    pub fn schema(&self, digest: &Digest) -> Option<&Document> {
        self.lasting.schemas.get(digest)
    }

    /// A version of a capability.
    pub fn capability(&self, id: &EnvelopeId) -> Option<Arc<Capability>> {
        let in_force = self.lasting.catalog.get(id).cloned();
        in_force
            .or_else(|| self.touched(|generation| generation.capabilities.get(id).cloned()))
            .or_else(|| self.archived.as_ref()?.object(id))
    }

    /// The capability in force that an owner gave this name, by whichever of its keys.
    pub fn capability_named(&self, owner: &AgentId, name: &Name) -> Option<EnvelopeId> {
        self.lasting.capability_names.get(&(self.party(owner), name.clone())).copied()
    }

    /// The capabilities in force, in no order.
    pub fn catalog(&self) -> impl Iterator<Item = &Capability> {
        self.lasting.catalog.values().map(AsRef::as_ref)
    }

    /// All versions of all capabilities, in no order. Reads the whole archive's.
    pub fn capabilities(&self) -> impl Iterator<Item = Arc<Capability>> {
        self.all(|generation| &generation.capabilities)
    }

    /// A version of an intent.
    pub fn intent(&self, id: &EnvelopeId) -> Option<Arc<Intent>> {
        self.touched(|generation| generation.intents.get(id).cloned())
            .or_else(|| self.archived.as_ref()?.object(id))
    }

    /// All versions of all intents, in no order. Reads the whole archive's.
    pub fn intents(&self) -> impl Iterator<Item = Arc<Intent>> {
        self.all(|generation| &generation.intents)
    }

    /// An offer.
    pub fn offer(&self, id: &EnvelopeId) -> Option<Arc<Offer>> {
        self.touched(|generation| generation.offers.get(id).cloned())
            .or_else(|| self.archived.as_ref()?.object(id))
    }

    /// A task.
    pub fn task(&self, id: &EnvelopeId) -> Option<Arc<Task>> {
        self.touched(|generation| generation.tasks.get(id).cloned())
            .or_else(|| self.archived.as_ref()?.object(id))
    }

    /// All tasks, in no order. Reads the whole archive's.
    pub fn tasks(&self) -> impl Iterator<Item = Arc<Task>> {
        self.all(|generation| &generation.tasks)
    }

    /// An attestation.
    pub fn attestation(&self, id: &EnvelopeId) -> Option<Arc<Attestation>> {
        self.touched(|generation| generation.attestations.get(id).cloned())
            .or_else(|| self.archived.as_ref()?.object(id))
    }

    /// Delegations by which one agent may act for another, revoked and expired ones included.
    pub fn delegations(
        &self,
        from: &AgentId,
        to: &AgentId,
    ) -> impl Iterator<Item = Arc<Attestation>> {
        let key = (self.party(from), self.party(to));
        let old = self.archived.iter().flat_map(move |archived| archived.delegations(&key));
        let young = self.listed(move |generation| generation.delegations.get(&key));
        old.chain(young).filter_map(|id| self.attestation(&id))
    }

    /// Claims about an agent, revoked and expired ones included.
    pub fn claims(&self, about: &AgentId) -> impl Iterator<Item = Arc<Attestation>> {
        let (party, key) = (self.party(about), *about);
        // What was claimed of a key before it succeeded another stays with the key.
        let own = (key != party).then_some(ClaimSubject::Agent(key));
        let own = own.into_iter().flat_map(|key| self.claims_about(key));
        self.claims_about(ClaimSubject::Agent(party)).chain(own)
    }

    /// Claims about a message, such as a version of a capability, revoked and expired ones
    /// included.
    pub fn claims_on(&self, message: &EnvelopeId) -> impl Iterator<Item = Arc<Attestation>> {
        self.claims_about(ClaimSubject::Envelope(*message))
    }

    fn claims_about(&self, subject: ClaimSubject) -> impl Iterator<Item = Arc<Attestation>> {
        let old = self.archived.iter().flat_map(move |archived| archived.claims(&subject));
        let young = self.listed(move |generation| generation.claims.get(&subject));
        old.chain(young).filter_map(|id| self.attestation(&id))
    }

    /// A policy by scope and name.
    pub fn policy(&self, key: &PolicyKey) -> Option<&Policy> {
        self.lasting.policies.get(key).map(AsRef::as_ref)
    }

    /// The policy in force that this PolicyUpdate put there.
    pub fn policy_in_force(&self, update: &EnvelopeId) -> Option<&Policy> {
        self.lasting.policies_in_force.get(update).and_then(|key| self.policy(key))
    }

    /// Policies in force for a scope, which names a capability or intent by its first version; in
    /// the order of their names.
    pub fn policies_for(&self, scope: PolicyScope) -> impl Iterator<Item = &Policy> {
        let names = self.lasting.policy_names.get(&scope).into_iter().flatten();
        names.filter_map(move |name| self.policy(&(scope, name.clone())))
    }

    /// All policies in force, in no order.
    pub fn policies_in_force(&self) -> impl Iterator<Item = &Policy> {
        self.lasting.policies_in_force.values().filter_map(|key| self.policy(key))
    }

    /// A version of a policy that is judged, in force or not.
    pub fn policy_version(&self, update: &EnvelopeId) -> Option<&Policy> {
        self.lasting.policy_versions.get(update).map(AsRef::as_ref)
    }

    /// Takes an admitted change in.
    ///
    /// # Panics
    /// When the change was admitted by another state than this one: the log would fork.
    pub fn fold(&mut self, change: Change) {
        assert_eq!(change.position, self.next, "changes are folded in the order of the log");
        self.next = change.position.next();
        self.recorded_at = change.recorded_at;
        self.young.envelopes.insert(change.id, change.position);
        let agent = Agent { next_sequence: change.sequence.next(), last: change.id };
        self.young.agents.insert(change.author, agent);
        for put in change.puts {
            self.put(put);
        }
        self.turn();
        self.leave();
    }

    fn put(&mut self, put: Put) {
        match put {
            Put::Capability(capability) => self.put_capability(capability),
            Put::Intent(intent) => {
                self.young.intents.insert(intent.id, Arc::new(intent));
            }
            Put::Offer(offer) => {
                self.young.offers.insert(offer.id, Arc::new(offer));
            }
            Put::Task(task) => {
                self.young.tasks.insert(task.id, Arc::new(*task));
            }
            Put::Attestation(attestation) => self.put_attestation(attestation),
            Put::Record(agent, record) => {
                self.young.records.insert(self.party(&agent), record);
            }
            Put::Finding(finding) => {
                self.lasting.findings += 1;
                self.young.findings.push_back(finding);
            }
            lasting => {
                self.young.lasting.push_back(lasting.clone());
                self.lasting.put(lasting);
            }
        }
    }

    fn put_capability(&mut self, capability: Capability) {
        let name = (self.party(&capability.owner), capability.terms.name.clone());
        let capability = Arc::new(capability);
        let Lasting { catalog, capability_names, .. } = &mut self.lasting;
        match capability.standing {
            CapabilityStanding::InForce => {
                catalog.insert(capability.id, Arc::clone(&capability));
                capability_names.insert(name.clone(), capability.id);
                self.young.names.insert(name, Some(capability.id));
            }
            CapabilityStanding::Superseded(_) | CapabilityStanding::Retired => {
                catalog.remove(&capability.id);
                if capability_names.get(&name) == Some(&capability.id) {
                    capability_names.remove(&name);
                    self.young.names.insert(name, None);
                }
            }
        }
        self.young.capabilities.insert(capability.id, capability);
    }

    fn put_attestation(&mut self, attestation: Attestation) {
        // One that is put again was revoked, and is listed.
        if attestation.position.next() == self.next {
            let first_keys = &self.lasting.first_keys;
            let party = |key: &AgentId| first_keys.get(key).copied().unwrap_or(*key);
            self.young.list(&attestation, party);
        }
        self.young.attestations.insert(attestation.id, Arc::new(attestation));
    }

    /// What the youngest generation that touched something has of it.
    fn touched<T>(&self, find: impl Fn(&Generation) -> Option<T>) -> Option<T> {
        find(&self.young)
            .or_else(|| self.turned.iter().rev().find_map(|turned| find(&turned.generation)))
    }

    /// Ids that the generations list, in log order.
    fn listed<'s>(
        &'s self,
        find: impl Fn(&'s Generation) -> Option<&'s Listed> + 's,
    ) -> impl Iterator<Item = EnvelopeId> + 's {
        let generations = self.turned.iter().map(|turned| &turned.generation);
        let generations = generations.chain([&self.young]);
        generations.filter_map(find).flatten().map(|(_, id)| *id)
    }

    /// All objects of a kind, each as its last change left it.
    fn all<'s, T: archive::Object + 's>(
        &'s self,
        of: impl Fn(&Generation) -> &Layers<EnvelopeId, Arc<T>> + Copy + 's,
    ) -> impl Iterator<Item = Arc<T>> + 's {
        let generations =
            || [&self.young].into_iter().chain(self.turned.iter().rev().map(|t| &t.generation));
        let newer = move |than: usize, id: &EnvelopeId| {
            generations().take(than).any(|generation| of(generation).contains_key(id))
        };
        let kept = generations().enumerate().flat_map(move |(age, generation)| {
            let objects = of(generation).iter().filter(move |(id, _)| !newer(age, id));
            objects.map(|(_, object)| Arc::clone(object))
        });
        let old = self.archived.iter().flat_map(|archived| archived.objects::<T>());
        kept.chain(old.filter(move |object| !newer(usize::MAX, &object.id())))
    }
}

impl Lasting {
    fn put(&mut self, put: Put) {
        self.changes += 1;
        match put {
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
                let first = self.first_keys.get(&predecessor).copied().unwrap_or(predecessor);
                self.first_keys.insert(successor, first);
            }
            put => unreachable!("{put:?} is kept in generations"),
        }
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

/// Two states are one when they know the same of the same ledger, whatever of it is archived.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let same_place = (&self.origin, self.next, self.recorded_at, &self.left_out)
            == (&other.origin, other.next, other.recorded_at, &other.left_out);
        let in_memory = self.archived.is_none() && other.archived.is_none();
        same_place
            && match in_memory {
                true => self.young == other.young && self.lasting == other.lasting,
                false => self.digest() == other.digest(),
            }
    }
}
