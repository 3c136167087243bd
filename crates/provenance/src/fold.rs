//! How events become edges.
//!
//! Events were admitted by somebody else: nothing is checked here, and nothing fails. An id that
//! was never seen becomes a node all the same, of the kind that the reference takes it for.

use tally_protocol::message::{
    AdvertiseCapability, Attest, Claim, ClaimSubject, Delegation, Intent, IntentTerms, Negotiate,
    Offer, PolicyScope, PolicyUpdate, ProgressState, TaskDone, TaskProgress, TaskStart,
};
use tally_protocol::parts::{self, DataRef, PolicyRef};
use tally_protocol::{AgentId, Envelope, EnvelopeId, Message, Position, Time, TraceId};

use crate::graph::Graph;
use crate::memory::Name;
use crate::record::{
    AttestationFacts, CapabilityFacts, END, Facts, IntentFacts, Kind, Member, Mention, NodeIx,
    OfferFacts, Part, PolicyFacts, ReceiptFacts, Says, Signed, TaskFacts,
};
use crate::relation::{Class, Relation};
use crate::whereabouts::Field;
use crate::workflow::OfferState;

/// The event that is folded.
struct At {
    position: Position,
    recorded_at: Time,
    id: EnvelopeId,
    author: AgentId,
    trace_id: Option<TraceId>,
}

impl Graph {
    /// Takes in the event at `position`, which the ledger recorded at `recorded_at`. Events come
    /// in log order; one that comes again changes nothing.
    pub fn fold(
        &mut self,
        position: Position,
        recorded_at: Time,
        id: EnvelopeId,
        envelope: &Envelope,
    ) {
        if position < self.next_position() {
            return;
        }
        self.store.begin(position);
        let (author, trace_id) = (envelope.author, envelope.trace_id);
        let at = At { position, recorded_at, id, author, trace_id };
        match &envelope.message {
            Message::AdvertiseCapability(capability) => self.fold_capability(&at, capability),
            Message::Intent(intent) => self.fold_intent(&at, intent),
            Message::Offer(offer) => self.fold_offer(&at, offer),
            Message::Negotiate(negotiate) => self.fold_negotiate(negotiate),
            Message::TaskStart(start) => self.fold_start(&at, start),
            Message::TaskProgress(progress) => self.fold_progress(&at, progress),
            Message::TaskDone(done) => self.fold_done(&at, done),
            Message::Attest(attest) => self.fold_attest(&at, attest),
            Message::PolicyUpdate(update) => self.fold_policy(&at, update),
            // Questions: nothing comes of them.
            Message::Discover(_) | Message::Observe(_) => {}
        }
        self.store.end(recorded_at);
    }

    fn fold_capability(&mut self, at: &At, message: &AdvertiseCapability) {
        let (terms, before) = match message {
            AdvertiseCapability::Publish(terms) => (terms, None),
            AdvertiseCapability::Revise(revision) => (&revision.terms, Some(revision.capability)),
            AdvertiseCapability::Retire(_) => return,
        };
        let node = self.signed(at, Kind::Capability);
        self.revision(node, before, Kind::Capability);
        self.governed(node, &terms.policies);
        let (signed, name) = (self.signature(at), terms.name.as_str().into());
        self.store.insert(node, Facts::Capability(CapabilityFacts { signed, name }));
    }

    fn fold_intent(&mut self, at: &At, message: &Intent) {
        match message {
            Intent::Open(terms) => self.fold_intent_terms(at, terms, None),
            Intent::Revise(revision) => {
                self.fold_intent_terms(at, &revision.terms, Some(revision.intent));
            }
            Intent::Cancel(cancellation) => {
                let intent = self.store.mention(cancellation.intent, Kind::Intent);
                if self.store.node(intent).intent().is_some()
                    && let Some(facts) = self.store.memory.node_mut(intent).intent_mut()
                {
                    facts.cancelled.get_or_insert(at.position);
                }
            }
        }
    }

    fn fold_intent_terms(&mut self, at: &At, terms: &IntentTerms, before: Option<EnvelopeId>) {
        let node = self.signed(at, Kind::Intent);
        self.revision(node, before, Kind::Intent);
        self.governed(node, &terms.policies);
        self.traced(at, node);
        let inputs = self.mention_all(at, node, Field::IntentInputs, &terms.inputs);
        let label = |label: &parts::Label| (label.key.as_str().into(), label.value.as_str().into());
        let facts = IntentFacts {
            signed: self.signature(at),
            trace_id: at.trace_id,
            outcome: terms.outcome.as_str().into(),
            labels: terms.labels.iter().map(label).collect(),
            inputs: inputs.into(),
            cancelled: None,
        };
        if self.store.insert(node, Facts::Intent(facts)) {
            self.store.add_to(Name::intents(), node);
        }
    }

    fn fold_offer(&mut self, at: &At, offer: &Offer) {
        let node = self.signed(at, Kind::Offer);
        let intent = self.store.mention(offer.intent, Kind::Intent);
        let capability = self.store.mention(offer.capability, Kind::Capability);
        self.asserted(node, Relation::Answers, intent);
        self.asserted(node, Relation::HadPlan, capability);
        self.revision(node, offer.replaces, Kind::Offer);
        self.governed(node, &offer.policies);
        self.traced(at, intent);
        if let Some(before) = offer.replaces {
            self.settle(before, OfferState::Replaced);
        }
        let (signed, valid_until) = (self.signature(at), offer.valid_until_us);
        let facts = OfferFacts { signed, intent, capability, valid_until };
        self.store.insert(node, Facts::Offer(facts));
    }

    fn fold_negotiate(&mut self, negotiate: &Negotiate) {
        match negotiate {
            Negotiate::Decline(decline) => self.settle(decline.offer, OfferState::Declined),
            Negotiate::Withdraw(withdraw) => self.settle(withdraw.offer, OfferState::Withdrawn),
            // They ask for something, the answer is a message of its own; or open a bid.
            Negotiate::Counter(_) | Negotiate::RequestCancellation(_) | Negotiate::Reveal(_) => {}
        }
    }

    fn fold_start(&mut self, at: &At, start: &TaskStart) {
        let node = self.signed(at, Kind::Task);
        let intent = self.store.mention(start.intent, Kind::Intent);
        let offer = self.store.mention(start.offer, Kind::Offer);
        self.asserted(node, Relation::Serves, intent);
        self.asserted(node, Relation::Awards, offer);
        self.settle(start.offer, OfferState::Awarded);
        let executor = self.store.node(offer).offer().map(|facts| facts.signed.author);
        if let Some(executor) = executor {
            self.asserted(node, Relation::WasAssociatedWith, executor);
        }
        self.informed(node, &start.depends_on);
        if let Some(before) = start.replaces {
            let before = self.store.mention(before, Kind::Task);
            self.asserted(node, Relation::Retries, before);
        }
        self.governed(node, &start.policies);
        self.traced(at, intent);
        self.take_over_intent(node, intent);
        let facts = TaskFacts {
            signed: self.signature(at),
            intent,
            offer,
            attempt: start.attempt,
            accepted: None,
            running: None,
        };
        self.store.insert(node, Facts::Task(facts));
    }

    /// A task carries the labels of its intent, and is taken to use the intent's inputs from the
    /// start, so that tasks still running show when an input turns out bad.
    fn take_over_intent(&mut self, task: NodeIx, intent: NodeIx) {
        let Some(IntentFacts { labels, inputs, .. }) = self.store.node(intent).intent().cloned()
        else {
            return;
        };
        if self.store.node(task).task().is_some() {
            return; // Its first start counts.
        }
        for (key, value) in &*labels {
            let label = Name::label(key, value);
            if self.store.last_of(&label) != Some(task) {
                self.store.add_to(label, task);
            }
        }
        for &input in &*inputs {
            self.store.link(task, Relation::Used, input, Class::Inferred);
        }
    }

    fn informed(&mut self, task: NodeIx, depends_on: &[EnvelopeId]) {
        for &before in depends_on {
            let before = self.store.mention(before, Kind::Task);
            self.asserted(task, Relation::WasInformedBy, before);
        }
    }

    fn fold_progress(&mut self, at: &At, progress: &TaskProgress) {
        let task = self.store.mention(progress.task, Kind::Task);
        // What a report says belongs to its task; the report itself is no node.
        let inputs = self.mention_all(at, task, Field::ProgressInputs, &progress.inputs);
        let outputs = self.mention_all(at, task, Field::ProgressOutputs, &progress.outputs);
        self.flow(task, &inputs, &outputs);
        self.informed(task, &progress.depends_on);
        if self.store.node(task).task().is_none() {
            return;
        }
        let now = (at.position, at.recorded_at);
        let Some(facts) = self.store.memory.node_mut(task).task_mut() else { return };
        match progress.state {
            ProgressState::Accepted => facts.accepted.get_or_insert(now),
            ProgressState::Running => facts.running.get_or_insert(now),
            ProgressState::BlockedInput
            | ProgressState::BlockedAuthorisation
            | ProgressState::BlockedPolicy => return,
        };
    }

    fn fold_done(&mut self, at: &At, done: &TaskDone) {
        let node = self.signed(at, Kind::Receipt);
        let task = self.store.mention(done.task, Kind::Task);
        self.asserted(node, Relation::Concludes, task);
        let inputs = self.mention_all(at, node, Field::ReceiptInputs, &done.inputs);
        let outputs = self.mention_all(at, node, Field::ReceiptOutputs, &done.outputs);
        self.flow(task, &inputs, &outputs);
        for result in &done.policy_results {
            self.governed(node, std::slice::from_ref(&result.policy));
        }
        let facts = ReceiptFacts {
            signed: self.signature(at),
            outcome: done.outcome,
            started_at_us: done.started_at_us,
            ended_at_us: done.ended_at_us,
        };
        if self.store.insert(node, Facts::Receipt(facts)) {
            self.store.push(task, Part::Receipts, Member { position: at.position, node });
        }
    }

    fn fold_attest(&mut self, at: &At, attest: &Attest) {
        let node = self.signed(at, Kind::Attestation);
        let (says, expires_at) = match attest {
            Attest::Claim(claim) => (self.fold_claim(at, node, claim), claim.expires_at_us),
            Attest::Delegate(given) => (self.fold_delegation(at, node, given), given.expires_at_us),
            Attest::Revoke(revocation) => {
                let revoked = self.store.mention(revocation.attestation, Kind::Attestation);
                self.asserted(node, Relation::Revokes, revoked);
                (Says::Other, None)
            }
            Attest::RotateKey(rotation) => {
                let author = self.store.agent(at.author);
                let successor = self.store.agent(rotation.successor);
                self.asserted(successor, Relation::WasRevisionOf, author);
                self.asserted(node, Relation::AttestsTo, successor);
                (Says::Rotation { successor }, None)
            }
            Attest::RevokeKey(_) => {
                let author = self.store.agent(at.author);
                self.asserted(node, Relation::Revokes, author);
                (Says::Other, None)
            }
        };
        let facts = AttestationFacts { signed: self.signature(at), says, expires_at };
        self.store.insert(node, Facts::Attestation(facts));
    }

    fn fold_claim(&mut self, at: &At, node: NodeIx, claim: &Claim) -> Says {
        let subject = match claim.subject {
            ClaimSubject::Agent(agent) => self.store.agent(agent),
            ClaimSubject::Envelope(id) => self.store.mention(id, Kind::Message),
        };
        self.asserted(node, Relation::AttestsTo, subject);
        let evidence = self.mention_all(at, node, Field::ClaimEvidence, &claim.evidence);
        for evidence in evidence {
            self.asserted(node, Relation::RestsOn, evidence);
        }
        self.fold_imported(claim);
        Says::Claim
    }

    fn fold_delegation(&mut self, at: &At, node: NodeIx, delegation: &Delegation) -> Says {
        let author = self.store.agent(at.author);
        let delegate = self.store.agent(delegation.delegate);
        self.asserted(delegate, Relation::ActedOnBehalfOf, author);
        self.asserted(node, Relation::AttestsTo, delegate);
        let of = delegation.of.map(|of| self.store.mention(of, Kind::Attestation));
        let intent = delegation.intent.map(|intent| self.store.mention(intent, Kind::Intent));
        Says::Delegation { of, intent }
    }

    fn fold_policy(&mut self, at: &At, update: &PolicyUpdate) {
        let node = self.signed(at, Kind::Policy);
        let scope = match update.scope {
            PolicyScope::Agent(agent) => self.store.agent(agent),
            PolicyScope::Capability(id) => self.store.mention(id, Kind::Capability),
            PolicyScope::Intent(id) => self.store.mention(id, Kind::Intent),
        };
        self.asserted(scope, Relation::GovernedBy, node);
        let facts = PolicyFacts {
            signed: self.signature(at),
            scope,
            name: update.name.as_str().into(),
            version: update.policy_version,
            action: update.action,
        };
        if self.store.insert(node, Facts::Policy(facts)) {
            self.store.push(scope, Part::Policies, Member { position: at.position, node });
        }
    }

    // -------------------------------------------------------------- parts of several messages

    /// The node of the event itself, attributed to its author.
    fn signed(&mut self, at: &At, kind: Kind) -> NodeIx {
        let node = self.store.define(at.id, kind);
        let author = self.store.agent(at.author);
        self.asserted(node, Relation::WasAttributedTo, author);
        node
    }

    fn signature(&mut self, at: &At) -> Signed {
        let (position, recorded_at) = (at.position, at.recorded_at);
        Signed { author: self.store.agent(at.author), position, recorded_at }
    }

    fn revision(&mut self, node: NodeIx, before: Option<EnvelopeId>, kind: Kind) {
        if let Some(before) = before {
            let before = self.store.mention(before, kind);
            self.asserted(node, Relation::WasRevisionOf, before);
        }
    }

    fn governed(&mut self, node: NodeIx, policies: &[PolicyRef]) {
        for policy in policies {
            let policy = self.store.mention(policy.update, Kind::Policy);
            self.asserted(node, Relation::GovernedBy, policy);
        }
    }

    fn flow(&mut self, task: NodeIx, inputs: &[NodeIx], outputs: &[NodeIx]) {
        for &input in inputs {
            self.asserted(task, Relation::Used, input);
        }
        for &output in outputs {
            self.asserted(output, Relation::WasGeneratedBy, task);
        }
    }

    /// Notes who named data, and where; gives its nodes.
    fn mention_all(
        &mut self,
        at: &At,
        event: NodeIx,
        field: Field,
        data: &[DataRef],
    ) -> Vec<NodeIx> {
        let author = self.store.agent(at.author);
        let mut nodes = Vec::with_capacity(data.len());
        for (index, data) in (0..).zip(data) {
            let inline = !data.inline.as_str().is_empty();
            let mention = Mention { position: at.position, event, author, field, index, inline };
            let data = self.store.data(data.uri.as_str(), data.digest);
            self.store.push(data, Part::Mentions, mention);
            nodes.push(data);
        }
        nodes
    }

    /// An intent belongs to every workflow that it, an offer for it or a task of it names.
    fn traced(&mut self, at: &At, intent: NodeIx) {
        if let Some(trace_id) = at.trace_id {
            self.store.trace(trace_id, intent);
        }
    }

    /// An award is never undone; before it, the last word counts.
    fn settle(&mut self, offer: EnvelopeId, state: OfferState) {
        let offer = self.store.mention(offer, Kind::Offer);
        let node = self.store.node(offer);
        if node.offer().is_some() && node.state(END) != OfferState::Awarded {
            drop(node);
            self.store.settle(offer, state);
        }
    }

    fn asserted(&mut self, from: NodeIx, relation: Relation, to: NodeIx) {
        self.store.link(from, relation, to, Class::Asserted);
    }
}
