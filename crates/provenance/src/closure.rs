//! The causal closure: which events of a log say how a task or data came about.
//!
//! [`Causality`] folds admitted events into one question, asked of every event: *what else must be
//! there, so that this can be judged and understood without the rest of the log?* Three answers:
//!
//! - **what it names**: causes, dependencies, the intent of an offer, the offer of a task, policies,
//!   schemas by the first envelope that carried them …;
//! - **what belongs to it**: all versions of an intent, all offers on it (losing ones too), all
//!   negotiation, all attempts, reports and receipts, policies and claims about it;
//! - **who speaks**: the life of the keys that signed it; of those who act in it also their
//!   policies, and what is claimed of them; and by which delegation they act for another.
//!
//! Data leads to the tasks that made it, so a closure reaches all the way up, and never down: what
//! came of the subject is another question. Nothing is judged here, and folding never fails.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use tally_protocol::message::{
    AdvertiseCapability, Attest, CapabilityTerms, ClaimSubject, Delegation, Intent, IntentTerms,
    Negotiate, Observe, Offer, PolicyScope, PolicyUpdate, TaskDone, TaskProgress, TaskStart,
};
use tally_protocol::parts::{DataRef, Dialect, PolicyRef, Schema};
use tally_protocol::{AgentId, Digest, Envelope, EnvelopeId, Message, Position};

use crate::node::DataEntry;

/// What a closure is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A task, by its TaskStart.
    Task(EnvelopeId),
    /// Data that a task made.
    Data(DataEntry),
}

/// Something that a closure leaves out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// An envelope that is named.
    Envelope(EnvelopeId),
    /// The tasks that made data which is named.
    Data(DataEntry),
}

/// Events that together say how a subject came about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closure {
    /// Where they stand.
    pub positions: BTreeSet<Position>,
    /// What lies further away than was asked for.
    pub left_out: BTreeSet<LeftOut>,
}

/// What leads to what in a log, as far as it is folded. Memory: about 200 bytes an event.
#[derive(Debug, Clone, Default)]
pub struct Causality {
    nodes: Vec<Node>,
    events: HashMap<EnvelopeId, Ix>,
    data: HashMap<DataEntry, Ix>,
    /// By the first key of each agent.
    keys: HashMap<AgentId, Ix>,
    agents: HashMap<AgentId, Ix>,
    first_keys: HashMap<AgentId, AgentId>,
    rotations: HashMap<EnvelopeId, AgentId>,
    successors: HashMap<EnvelopeId, AgentId>,
    tasks: HashSet<Ix>,
    /// The first version and the author of each intent.
    intents: HashMap<EnvelopeId, (EnvelopeId, AgentId)>,
    /// The intent of each offer.
    offers: HashMap<EnvelopeId, EnvelopeId>,
    /// By principal and delegate.
    delegations: HashMap<(AgentId, AgentId), Vec<Given>>,
    principals: HashMap<EnvelopeId, AgentId>,
    /// The first envelope that carried each schema.
    schemas: HashMap<Digest, Ix>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Ix(u32);

#[derive(Debug, Clone)]
struct Node {
    what: What,
    leads: Vec<Lead>,
}

#[derive(Debug, Clone)]
enum What {
    Event(Position, EnvelopeId),
    Data(DataEntry),
    /// The keys of an agent.
    Keys,
    /// An agent that acts.
    Agent,
}

/// Whoever has the one must have the other.
#[derive(Debug, Clone, Copy)]
struct Lead {
    to: Ix,
    /// A step towards the past, which a closure may leave out: to a cause, to a task that this one
    /// builds on, from data to the task that made it.
    is_step: bool,
}

/// A delegation, and the one intent that it is about.
#[derive(Debug, Clone, Copy)]
struct Given {
    event: Ix,
    intent: Option<EnvelopeId>,
}

impl Causality {
    /// Of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events that say how `subject` came about, no more than `depth` steps away; without a
    /// depth, all. A step leads to a cause, to a task that another one builds on, or from data to
    /// the tasks that made it. `None` when there is no such task, or no task made the data.
    pub fn closure(&self, subject: &Subject, depth: Option<u32>) -> Option<Closure> {
        let start: Vec<Ix> = match subject {
            Subject::Task(id) => self.events.get(id).copied().into_iter().collect(),
            Subject::Data(data) => {
                let data = self.data.get(data)?;
                self.node(*data).leads.iter().map(|lead| lead.to).collect()
            }
        };
        if start.is_empty() || !start.iter().all(|node| self.tasks.contains(node)) {
            return None;
        }
        Some(self.close(start, depth.unwrap_or(u32::MAX)))
    }

    /// Takes in the event at `position`. Events come in log order.
    pub fn fold(&mut self, position: Position, id: EnvelopeId, envelope: &Envelope) {
        let node = self.add(What::Event(position, id));
        self.events.insert(id, node);
        self.consent(node, envelope);
        for cause in &envelope.causes {
            self.step(node, cause);
        }
        let party = self.party(&envelope.author);
        let speaker = match &envelope.message {
            Message::Attest(_) | Message::Discover(_) | Message::Observe(_) => self.keys_of(party),
            _ => self.agent(party),
        };
        self.lead(node, speaker);
        let at = At { node, id, party };
        match &envelope.message {
            Message::AdvertiseCapability(message) => self.fold_capability(&at, message),
            Message::Intent(message) => self.fold_intent(&at, message),
            Message::Offer(message) => self.fold_offer(&at, message),
            Message::Negotiate(message) => self.fold_negotiate(&at, message),
            Message::TaskStart(message) => self.fold_start(&at, message),
            Message::TaskProgress(message) => self.fold_progress(&at, message),
            Message::TaskDone(message) => self.fold_done(&at, message),
            Message::Attest(message) => self.fold_attest(&at, message),
            Message::PolicyUpdate(message) => self.fold_policy(&at, message),
            Message::Observe(message) => self.fold_observe(&at, message),
            // A question, about nothing in particular.
            Message::Discover(_) => {}
        }
    }
}

/// The event that is folded.
struct At {
    node: Ix,
    id: EnvelopeId,
    /// The first key of its author.
    party: AgentId,
}

// ------------------------------------------------------------------ the messages

impl Causality {
    fn fold_capability(&mut self, at: &At, message: &AdvertiseCapability) {
        match message {
            AdvertiseCapability::Publish(terms) => self.capability_terms(at, terms),
            AdvertiseCapability::Revise(revision) => {
                self.part_of(at, &revision.capability);
                self.capability_terms(at, &revision.terms);
            }
            AdvertiseCapability::Retire(retirement) => self.part_of(at, &retirement.capability),
        }
    }

    fn capability_terms(&mut self, at: &At, terms: &CapabilityTerms) {
        self.policies(at, &terms.policies);
        self.schemas(at, terms.input_schema.iter().chain(&terms.output_schema));
    }

    fn fold_intent(&mut self, at: &At, message: &Intent) {
        match message {
            Intent::Open(terms) => self.intent_terms(at, terms, at.id),
            Intent::Revise(revision) => {
                self.part_of(at, &revision.intent);
                let root = self.intents.get(&revision.intent).map_or(at.id, |(root, _)| *root);
                self.intent_terms(at, &revision.terms, root);
            }
            Intent::Cancel(cancellation) => self.part_of(at, &cancellation.intent),
        }
    }

    fn intent_terms(&mut self, at: &At, terms: &IntentTerms, root: EnvelopeId) {
        self.intents.insert(at.id, (root, at.party));
        self.policies(at, &terms.policies);
        self.schemas(at, terms.input_schema.iter().chain(&terms.output_schema));
        self.uses(at, &terms.inputs);
    }

    fn fold_offer(&mut self, at: &At, offer: &Offer) {
        self.offers.insert(at.id, offer.intent);
        self.part_of(at, &offer.intent);
        self.needs(at, [&offer.capability].into_iter().chain(&offer.replaces));
        self.policies(at, &offer.policies);
    }

    fn fold_negotiate(&mut self, at: &At, message: &Negotiate) {
        let offer = match message {
            Negotiate::Counter(counter) => counter.offer,
            Negotiate::Decline(decline) => decline.offer,
            Negotiate::Withdraw(withdraw) => withdraw.offer,
            Negotiate::Reveal(reveal) => reveal.offer,
            Negotiate::RequestCancellation(request) => return self.part_of(at, &request.task),
        };
        self.part_of(at, &offer);
        if let Some(intent) = self.offers.get(&offer).copied() {
            self.acts_for(at, &intent);
        }
    }

    fn fold_start(&mut self, at: &At, start: &TaskStart) {
        self.tasks.insert(at.node);
        self.part_of(at, &start.intent);
        let candidates = start.evaluation.iter().flat_map(|evaluation| &evaluation.candidates);
        let offers = candidates.map(|candidate| &candidate.offer).chain([&start.offer]);
        self.needs(at, offers.chain(&start.replaces));
        self.policies(at, &start.policies);
        self.schemas(at, &start.output_schema);
        self.builds_on(at, &start.depends_on);
        self.acts_for(at, &start.intent);
    }

    fn fold_progress(&mut self, at: &At, progress: &TaskProgress) {
        self.part_of(at, &progress.task);
        self.builds_on(at, &progress.depends_on);
        self.uses(at, &progress.inputs);
        self.makes(&progress.task, &progress.outputs);
    }

    fn fold_done(&mut self, at: &At, done: &TaskDone) {
        self.part_of(at, &done.task);
        self.needs(at, done.policy_results.iter().map(|result| &result.policy.update));
        self.uses(at, &done.inputs);
        self.makes(&done.task, &done.outputs);
    }

    fn fold_attest(&mut self, at: &At, attest: &Attest) {
        match attest {
            Attest::Claim(claim) => match &claim.subject {
                ClaimSubject::Envelope(id) => self.part_of(at, id),
                ClaimSubject::Agent(agent) => {
                    let about = self.party(agent);
                    let about = self.agent(about);
                    self.lead(about, at.node);
                }
            },
            Attest::Delegate(delegation) => self.fold_delegation(at, delegation),
            Attest::Revoke(revocation) => self.part_of(at, &revocation.attestation),
            Attest::RotateKey(rotation) => {
                self.rotations.insert(at.id, at.party);
                self.successors.insert(at.id, rotation.successor);
                let keys = self.keys_of(at.party);
                self.lead(keys, at.node);
            }
            Attest::RevokeKey(_) => {
                let keys = self.keys_of(at.party);
                self.lead(keys, at.node);
            }
        }
    }

    fn fold_delegation(&mut self, at: &At, delegation: &Delegation) {
        self.needs(at, delegation.of.iter().chain(&delegation.intent));
        let before = delegation.of.and_then(|of| self.principals.get(&of).copied());
        let principal = before.unwrap_or(at.party);
        self.principals.insert(at.id, principal);
        let root = |id| self.intents.get(&id).map_or(id, |(root, _)| *root);
        let given = Given { event: at.node, intent: delegation.intent.map(root) };
        let delegate = self.party(&delegation.delegate);
        self.delegations.entry((principal, delegate)).or_default().push(given);
    }

    fn fold_policy(&mut self, at: &At, update: &PolicyUpdate) {
        match &update.scope {
            PolicyScope::Agent(agent) => {
                let owner = self.party(agent);
                let owner = self.agent(owner);
                self.lead(owner, at.node);
            }
            PolicyScope::Capability(id) | PolicyScope::Intent(id) => self.part_of(at, id),
        }
    }

    fn fold_observe(&mut self, at: &At, observe: &Observe) {
        match observe {
            Observe::TaskStatus(id) | Observe::CoordinationGraph(id) => self.needs(at, [id]),
            Observe::Notice(notice) => self.needs(at, [&notice.subject]),
            Observe::Trace(_) => {}
        }
    }
}

// ------------------------------------------------------------------ parts of several messages

impl Causality {
    /// It names these.
    fn needs<'i>(&mut self, at: &At, ids: impl IntoIterator<Item = &'i EnvelopeId>) {
        for id in ids {
            if let Some(&named) = self.events.get(id) {
                self.lead(at.node, named);
            }
        }
    }

    /// It names this, and belongs to it.
    fn part_of(&mut self, at: &At, whole: &EnvelopeId) {
        if let Some(&whole) = self.events.get(whole) {
            self.lead(at.node, whole);
            self.lead(whole, at.node);
        }
    }

    fn policies(&mut self, at: &At, policies: &[PolicyRef]) {
        self.needs(at, policies.iter().map(|policy| &policy.update));
    }

    /// A schema that is judged, by the first envelope that carried it.
    fn schemas<'s>(&mut self, at: &At, schemas: impl IntoIterator<Item = &'s Schema>) {
        let judged = |schema: &&Schema| schema.dialect == Some(Dialect::JsonSchema);
        for schema in schemas.into_iter().filter(judged) {
            let first = *self.schemas.entry(schema.digest).or_insert(at.node);
            if first != at.node && schema.inline.as_str().is_empty() {
                self.lead(at.node, first);
            }
        }
    }

    fn uses(&mut self, at: &At, inputs: &[DataRef]) {
        for input in inputs {
            let data = self.data(input);
            self.lead(at.node, data);
        }
    }

    fn makes(&mut self, task: &EnvelopeId, outputs: &[DataRef]) {
        let Some(&task) = self.events.get(task) else { return };
        for output in outputs {
            let data = self.data(output);
            self.add_lead(data, Lead { to: task, is_step: true });
        }
    }

    fn builds_on(&mut self, at: &At, tasks: &[EnvelopeId]) {
        for task in tasks {
            self.step(at.node, task);
        }
    }

    /// Whoever is not the intent's author acts by a delegation: by which, is the rules' to say, so
    /// all so far that could be it.
    fn acts_for(&mut self, at: &At, intent: &EnvelopeId) {
        let Some(&(root, author)) = self.intents.get(intent) else { return };
        let given = self.delegations.get(&(author, at.party)).into_iter().flatten();
        let about = |given: &&Given| given.intent.is_none_or(|about| about == root);
        let events: Vec<Ix> = given.filter(about).map(|given| given.event).collect();
        for event in events {
            self.lead(at.node, event);
        }
    }

    /// A key consents to succeed another by naming the rotation in its first envelope.
    fn consent(&mut self, node: Ix, envelope: &Envelope) {
        if envelope.author_sequence.0 > 0 {
            return;
        }
        let author = envelope.author;
        let own = |cause: &&EnvelopeId| self.successors.get(*cause) == Some(&author);
        let Some(rotation) = envelope.causes.iter().find(own) else { return };
        let first = self.rotations[rotation];
        self.first_keys.insert(author, first);
        let keys = self.keys_of(first);
        self.lead(keys, node);
        // What was claimed of the key before stays with the key.
        let (agent, before) = (self.agent(first), self.agent(author));
        self.lead(agent, before);
    }

    fn party(&self, key: &AgentId) -> AgentId {
        self.first_keys.get(key).copied().unwrap_or(*key)
    }
}

// ------------------------------------------------------------------ nodes and leads

impl Causality {
    fn node(&self, at: Ix) -> &Node {
        &self.nodes[at.0 as usize]
    }

    fn add(&mut self, what: What) -> Ix {
        let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 events and data");
        self.nodes.push(Node { what, leads: Vec::new() });
        Ix(at)
    }

    fn data(&mut self, data: &DataRef) -> Ix {
        let entry = DataEntry { uri: data.uri.to_string(), digest: data.digest };
        if let Some(&known) = self.data.get(&entry) {
            return known;
        }
        let node = self.add(What::Data(entry.clone()));
        self.data.insert(entry, node);
        node
    }

    fn keys_of(&mut self, party: AgentId) -> Ix {
        if let Some(&known) = self.keys.get(&party) {
            return known;
        }
        let node = self.add(What::Keys);
        self.keys.insert(party, node);
        node
    }

    fn agent(&mut self, party: AgentId) -> Ix {
        if let Some(&known) = self.agents.get(&party) {
            return known;
        }
        let keys = self.keys_of(party);
        let node = self.add(What::Agent);
        self.lead(node, keys);
        self.agents.insert(party, node);
        node
    }

    fn lead(&mut self, from: Ix, to: Ix) {
        self.add_lead(from, Lead { to, is_step: false });
    }

    fn step(&mut self, from: Ix, to: &EnvelopeId) {
        if let Some(&to) = self.events.get(to) {
            self.add_lead(from, Lead { to, is_step: true });
        }
    }

    fn add_lead(&mut self, from: Ix, lead: Lead) {
        self.nodes[from.0 as usize].leads.push(lead);
    }

    /// Everything within `depth` steps: a search in the order of steps, where most leads cost none.
    fn close(&self, start: Vec<Ix>, depth: u32) -> Closure {
        let mut steps_to: HashMap<Ix, u32> = start.iter().map(|&node| (node, 0)).collect();
        let mut open: VecDeque<(Ix, u32)> = start.into_iter().map(|node| (node, 0)).collect();
        while let Some((node, steps)) = open.pop_front() {
            if steps_to[&node] < steps {
                continue;
            }
            for lead in &self.node(node).leads {
                let steps = steps + u32::from(lead.is_step);
                let known = steps_to.get(&lead.to).copied().unwrap_or(u32::MAX);
                if steps > depth || steps >= known {
                    continue;
                }
                steps_to.insert(lead.to, steps);
                match lead.is_step {
                    true => open.push_back((lead.to, steps)),
                    false => open.push_front((lead.to, steps)),
                }
            }
        }
        let mut closure = Closure::default();
        for &found in steps_to.keys() {
            let Node { what, leads } = self.node(found);
            if let What::Event(position, _) = what {
                closure.positions.insert(*position);
            }
            let beyond = leads.iter().filter(|lead| !steps_to.contains_key(&lead.to));
            closure.left_out.extend(beyond.filter_map(|lead| self.left_out(what, lead.to)));
        }
        closure
    }

    fn left_out(&self, from: &What, to: Ix) -> Option<LeftOut> {
        match (from, &self.node(to).what) {
            (What::Data(data), _) => Some(LeftOut::Data(data.clone())),
            (_, What::Event(_, id)) => Some(LeftOut::Envelope(*id)),
            _ => None,
        }
    }
}
