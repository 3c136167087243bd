//! How events become edges.
//!
//! Events were admitted by somebody else: nothing is checked here, and nothing fails. An id that
//! was never seen becomes a node all the same, of the kind that the reference takes it for.

use tally_protocol::message::{
    AdvertiseCapability, Attest, Claim, ClaimSubject, Intent, IntentTerms, Negotiate, Offer,
    PolicyScope, PolicyUpdate, ProgressState, TaskDone, TaskProgress, TaskStart,
};
use tally_protocol::parts::{DataRef, PolicyRef};
use tally_protocol::{AgentId, Envelope, EnvelopeId, Message, Position, Time, TraceId};

use crate::graph::{Graph, IntentFacts, OfferFacts, ReceiptFacts, TaskFacts};
use crate::relation::{Class, Relation};
use crate::store::{Kind, Link, NodeIx};
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
    /// in log order.
    pub fn fold(
        &mut self,
        position: Position,
        recorded_at: Time,
        id: EnvelopeId,
        envelope: &Envelope,
    ) {
        self.store.forget_touched();
        self.next = self.next.max(Position(position.0.saturating_add(1)));
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
    }

    fn fold_capability(&mut self, at: &At, message: &AdvertiseCapability) {
        let (terms, before) = match message {
            AdvertiseCapability::Publish(terms) => (terms, None),
            AdvertiseCapability::Revise(revision) => (&revision.terms, Some(revision.capability)),
            AdvertiseCapability::Retire(_) => return,
        };
        let node = self.signed(at, Kind::Capability);
        self.revision(at, node, before, Kind::Capability);
        self.governed(at, node, &terms.policies);
    }

    fn fold_intent(&mut self, at: &At, message: &Intent) {
        match message {
            Intent::Open(terms) => self.fold_intent_terms(at, terms, None),
            Intent::Revise(revision) => {
                self.fold_intent_terms(at, &revision.terms, Some(revision.intent));
            }
            Intent::Cancel(cancellation) => {
                let intent = self.store.mention(cancellation.intent, Kind::Intent);
                if let Some(facts) = self.intents.get_mut(&intent) {
                    facts.cancelled = true;
                }
            }
        }
    }

    fn fold_intent_terms(&mut self, at: &At, terms: &IntentTerms, before: Option<EnvelopeId>) {
        let node = self.signed(at, Kind::Intent);
        self.revision(at, node, before, Kind::Intent);
        self.governed(at, node, &terms.policies);
        self.traced(at, node);
        let facts = IntentFacts {
            author: self.store.agent(at.author),
            recorded_at: at.recorded_at,
            trace_id: at.trace_id,
            outcome: self.store.text(terms.outcome.as_str()),
            labels: terms
                .labels
                .iter()
                .map(|l| (self.store.text(l.key.as_str()), self.store.text(l.value.as_str())))
                .collect(),
            inputs: terms.inputs.iter().map(|data| self.data(data)).collect(),
            cancelled: false,
        };
        self.intents.entry(node).or_insert(facts);
    }

    fn fold_offer(&mut self, at: &At, offer: &Offer) {
        let node = self.signed(at, Kind::Offer);
        let intent = self.store.mention(offer.intent, Kind::Intent);
        let capability = self.store.mention(offer.capability, Kind::Capability);
        self.asserted(at, node, Relation::Answers, intent);
        self.asserted(at, node, Relation::HadPlan, capability);
        self.revision(at, node, offer.replaces, Kind::Offer);
        self.governed(at, node, &offer.policies);
        self.traced(at, intent);
        if let Some(before) = offer.replaces {
            self.settle(before, OfferState::Replaced);
        }
        let author = self.store.agent(at.author);
        let (recorded_at, state) = (at.recorded_at, OfferState::Open);
        self.offers.entry(node).or_insert(OfferFacts { author, capability, recorded_at, state });
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
        self.asserted(at, node, Relation::Serves, intent);
        self.asserted(at, node, Relation::Awards, offer);
        self.settle(start.offer, OfferState::Awarded);
        if let Some(executor) = self.offers.get(&offer).map(|facts| facts.author) {
            self.asserted(at, node, Relation::WasAssociatedWith, executor);
        }
        self.informed(at, node, &start.depends_on);
        if let Some(before) = start.replaces {
            let before = self.store.mention(before, Kind::Task);
            self.asserted(at, node, Relation::Retries, before);
        }
        self.governed(at, node, &start.policies);
        self.traced(at, intent);
        self.take_over_intent(at, node, intent);
        let facts = TaskFacts {
            intent,
            offer,
            position: at.position,
            attempt: start.attempt,
            recorded_at: at.recorded_at,
            accepted_at: None,
            running_at: None,
        };
        self.tasks.entry(node).or_insert(facts);
    }

    /// A task carries the labels of its intent, and is taken to use the intent's inputs from the
    /// start, so that tasks still running show when an input turns out bad.
    fn take_over_intent(&mut self, at: &At, task: NodeIx, intent: NodeIx) {
        let Some(facts) = self.intents.get(&intent) else { return };
        if self.tasks.contains_key(&task) {
            return; // The event was folded before.
        }
        for &label in &facts.labels {
            let tasks = self.labelled.entry(label).or_default();
            if tasks.last() != Some(&task) {
                tasks.push(task);
            }
        }
        for input in facts.inputs.clone() {
            self.link(at, task, Relation::Used, input, Class::Inferred);
        }
    }

    fn informed(&mut self, at: &At, task: NodeIx, depends_on: &[EnvelopeId]) {
        for &before in depends_on {
            let before = self.store.mention(before, Kind::Task);
            self.asserted(at, task, Relation::WasInformedBy, before);
        }
    }

    fn fold_progress(&mut self, at: &At, progress: &TaskProgress) {
        let task = self.store.mention(progress.task, Kind::Task);
        self.flow(at, task, &progress.inputs, &progress.outputs);
        self.informed(at, task, &progress.depends_on);
        let Some(facts) = self.tasks.get_mut(&task) else { return };
        match progress.state {
            ProgressState::Accepted => facts.accepted_at.get_or_insert(at.recorded_at),
            ProgressState::Running => facts.running_at.get_or_insert(at.recorded_at),
            ProgressState::BlockedInput
            | ProgressState::BlockedAuthorisation
            | ProgressState::BlockedPolicy => return,
        };
    }

    fn fold_done(&mut self, at: &At, done: &TaskDone) {
        let node = self.signed(at, Kind::Receipt);
        let task = self.store.mention(done.task, Kind::Task);
        self.asserted(at, node, Relation::Concludes, task);
        self.flow(at, task, &done.inputs, &done.outputs);
        for result in &done.policy_results {
            self.governed(at, node, std::slice::from_ref(&result.policy));
        }
        let facts = ReceiptFacts {
            outcome: done.outcome,
            recorded_at: at.recorded_at,
            started_at_us: done.started_at_us,
            ended_at_us: done.ended_at_us,
        };
        self.receipts.entry(node).or_insert(facts);
    }

    fn fold_attest(&mut self, at: &At, attest: &Attest) {
        let node = self.signed(at, Kind::Attestation);
        match attest {
            Attest::Claim(claim) => self.fold_claim(at, node, claim),
            Attest::Delegate(delegation) => {
                let author = self.store.agent(at.author);
                let delegate = self.store.agent(delegation.delegate);
                self.asserted(at, delegate, Relation::ActedOnBehalfOf, author);
                self.asserted(at, node, Relation::AttestsTo, delegate);
            }
            Attest::Revoke(revocation) => {
                let revoked = self.store.mention(revocation.attestation, Kind::Attestation);
                self.asserted(at, node, Relation::Revokes, revoked);
            }
            Attest::RotateKey(rotation) => {
                let author = self.store.agent(at.author);
                let successor = self.store.agent(rotation.successor);
                self.asserted(at, successor, Relation::WasRevisionOf, author);
                self.asserted(at, node, Relation::AttestsTo, successor);
            }
            Attest::RevokeKey(_) => {
                let author = self.store.agent(at.author);
                self.asserted(at, node, Relation::Revokes, author);
            }
        }
    }

    fn fold_claim(&mut self, at: &At, node: NodeIx, claim: &Claim) {
        let subject = match claim.subject {
            ClaimSubject::Agent(agent) => self.store.agent(agent),
            ClaimSubject::Envelope(id) => self.store.mention(id, Kind::Message),
        };
        self.asserted(at, node, Relation::AttestsTo, subject);
        for evidence in &claim.evidence {
            let evidence = self.data(evidence);
            self.asserted(at, node, Relation::RestsOn, evidence);
        }
        self.fold_imported(at.position, claim);
    }

    fn fold_policy(&mut self, at: &At, update: &PolicyUpdate) {
        let node = self.signed(at, Kind::Policy);
        let scope = match update.scope {
            PolicyScope::Agent(agent) => self.store.agent(agent),
            PolicyScope::Capability(id) => self.store.mention(id, Kind::Capability),
            PolicyScope::Intent(id) => self.store.mention(id, Kind::Intent),
        };
        self.asserted(at, scope, Relation::GovernedBy, node);
    }

    // -------------------------------------------------------------- parts of several messages

    /// The node of the event itself, attributed to its author.
    fn signed(&mut self, at: &At, kind: Kind) -> NodeIx {
        let node = self.store.define(at.id, kind);
        let author = self.store.agent(at.author);
        self.asserted(at, node, Relation::WasAttributedTo, author);
        node
    }

    fn revision(&mut self, at: &At, node: NodeIx, before: Option<EnvelopeId>, kind: Kind) {
        if let Some(before) = before {
            let before = self.store.mention(before, kind);
            self.asserted(at, node, Relation::WasRevisionOf, before);
        }
    }

    fn governed(&mut self, at: &At, node: NodeIx, policies: &[PolicyRef]) {
        for policy in policies {
            let policy = self.store.mention(policy.update, Kind::Policy);
            self.asserted(at, node, Relation::GovernedBy, policy);
        }
    }

    fn flow(&mut self, at: &At, task: NodeIx, inputs: &[DataRef], outputs: &[DataRef]) {
        for input in inputs {
            let input = self.data(input);
            self.asserted(at, task, Relation::Used, input);
        }
        for output in outputs {
            let output = self.data(output);
            self.asserted(at, output, Relation::WasGeneratedBy, task);
        }
    }

    /// An intent belongs to every workflow that it, an offer for it or a task of it names.
    fn traced(&mut self, at: &At, intent: NodeIx) {
        if let Some(trace_id) = at.trace_id {
            self.traces.entry(trace_id).or_default().insert(intent);
        }
    }

    /// An award is never undone; before it, the last word counts.
    fn settle(&mut self, offer: EnvelopeId, state: OfferState) {
        let offer = self.store.mention(offer, Kind::Offer);
        if let Some(facts) = self.offers.get_mut(&offer)
            && facts.state != OfferState::Awarded
        {
            facts.state = state;
        }
    }

    fn data(&mut self, data: &DataRef) -> NodeIx {
        self.store.data(data.uri.as_str(), data.digest)
    }

    fn asserted(&mut self, at: &At, from: NodeIx, relation: Relation, to: NodeIx) {
        self.link(at, from, relation, to, Class::Asserted);
    }

    fn link(&mut self, at: &At, from: NodeIx, relation: Relation, to: NodeIx, class: Class) {
        self.store.link(Link { from, to, position: at.position, relation, class });
    }
}
