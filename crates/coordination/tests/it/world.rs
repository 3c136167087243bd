//! A ledger in memory: a state, agents with their chains, and a clock that the test sets.

use tally_coordination::{Object, Refusal, Rule, State, Task, admit};
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{
    AgentId, AgentKey, Envelope, EnvelopeId, Message, Origin, SignedEnvelope, Time,
};

/// An agent, by the seed of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who(pub(crate) u8);

/// Opens intents.
pub(crate) const ALICE: Who = Who(1);
/// Provides.
pub(crate) const BOB: Who = Who(2);
/// Provides too.
pub(crate) const CAROL: Who = Who(3);
/// Acts for Alice where she says so.
pub(crate) const DAVE: Who = Who(4);
/// Has no part in anything.
pub(crate) const MALLORY: Who = Who(5);

impl Who {
    pub(crate) fn id(self) -> AgentId {
        AgentKey::from_seed(&[self.0; 32]).agent()
    }
}

pub(crate) const START: Time = Time(1_000_000);

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Time,
    /// What was admitted, and when.
    pub(crate) log: Vec<(EnvelopeId, Envelope, Time)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { state: State::new(origin()), now: START, log: Vec::new() }
    }

    /// The envelope that continues the author's chain.
    pub(crate) fn envelope(&self, who: Who, message: Message) -> Envelope {
        let author = who.id();
        let agent = self.state.agent(&author);
        Envelope {
            origin: origin(),
            author,
            author_sequence: agent.map(|agent| agent.next_sequence).unwrap_or_default(),
            previous: agent.map(|agent| agent.last),
            issued_at_us: self.now,
            trace_id: None,
            causes: Vec::new(),
            message,
        }
    }

    pub(crate) fn append(
        &mut self,
        who: Who,
        message: impl Into<Message>,
    ) -> Result<EnvelopeId, Refusal> {
        let envelope = self.envelope(who, message.into());
        self.append_envelope(envelope)
    }

    /// Admits and folds; a refusal changes nothing, which is checked each time.
    pub(crate) fn append_envelope(&mut self, envelope: Envelope) -> Result<EnvelopeId, Refusal> {
        let payload = envelope.encode().expect("encodes");
        let id = SignedEnvelope { payload: payload.into(), signature: [0; 64] }.id();
        let before = self.state.clone();
        let verdict = admit(&self.state, id, &envelope, self.now);
        assert_eq!(self.state, before, "admission changes nothing");
        self.state.fold(verdict?);
        self.log.push((id, envelope, self.now));
        Ok(id)
    }

    /// Appends what must be admitted.
    #[track_caller]
    pub(crate) fn admits(&mut self, who: Who, message: impl Into<Message>) -> EnvelopeId {
        match self.append(who, message) {
            Ok(id) => id,
            Err(refusal) => panic!("{refusal}"),
        }
    }

    /// Appends what must be refused, by this rule, for this object, at this field.
    #[track_caller]
    pub(crate) fn refuses(
        &mut self,
        who: Who,
        message: impl Into<Message>,
        expect: (Rule, Object, &str),
    ) -> Refusal {
        let refusal = self.append(who, message).expect_err("is refused");
        assert_eq!((refusal.rule, refusal.object, refusal.field), expect, "{refusal}");
        refusal
    }

    /// Appends what must be refused by this rule, wherever it looks.
    #[track_caller]
    pub(crate) fn refuses_by(&mut self, who: Who, message: impl Into<Message>, rule: Rule) {
        let refusal = self.append(who, message).expect_err("is refused");
        assert_eq!(refusal.rule, rule, "{refusal}");
    }

    /// The id that the next envelope of an author would have.
    pub(crate) fn next_id(&self, who: Who, message: impl Into<Message>) -> EnvelopeId {
        let payload = self.envelope(who, message.into()).encode().expect("encodes");
        SignedEnvelope { payload: payload.into(), signature: [0; 64] }.id()
    }

    pub(crate) fn later(&mut self, us: u64) {
        self.now = self.now.plus_us(us);
    }

    pub(crate) fn task(&self, id: EnvelopeId) -> &Task {
        self.state.task(&id).expect("a task")
    }

    /// The state that the admitted log comes to, from nothing.
    pub(crate) fn refolded(&self) -> State {
        let mut state = State::new(origin());
        for (id, envelope, at) in &self.log {
            state.fold(admit(&state, *id, envelope, *at).expect("was admitted before"));
        }
        state
    }
}

/// A world in which Bob offers on Alice's intent.
pub(crate) struct Market {
    pub(crate) world: World,
    pub(crate) capability: EnvelopeId,
    pub(crate) intent: EnvelopeId,
    pub(crate) offer: EnvelopeId,
}

impl Market {
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        let capability = world.admits(BOB, publish("ocr"));
        let intent = world.admits(ALICE, open());
        let offer = world.admits(BOB, offer(intent, capability));
        Self { world, capability, intent, offer }
    }

    /// With a task that Bob executes.
    pub(crate) fn with_task() -> (Self, EnvelopeId) {
        let mut market = Self::new();
        let task = market.world.admits(ALICE, start(market.intent, market.offer));
        (market, task)
    }
}

pub(crate) fn origin() -> Origin {
    Origin::new("ledger.example/test").expect("an origin")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).expect("a text")
}

/// An id that names nothing.
pub(crate) const NOWHERE: EnvelopeId = EnvelopeId([0xee; 32]);

// ------------------------------------------------------------------ messages with nothing to spare

pub(crate) fn capability(label: &str) -> CapabilityTerms {
    CapabilityTerms {
        name: name(label),
        category: name("vision"),
        description: Text::default(),
        tags: Vec::new(),
        input_schema: None,
        output_schema: None,
        constraints: Vec::new(),
        resources: Vec::new(),
        policies: Vec::new(),
        performance: Vec::new(),
        cost: None,
        side_effects: Vec::new(),
    }
}

pub(crate) fn publish(label: &str) -> Message {
    Message::AdvertiseCapability(AdvertiseCapability::Publish(capability(label)))
}

pub(crate) fn revise(id: EnvelopeId, label: &str) -> Message {
    let revision = CapabilityRevision { capability: id, terms: capability(label) };
    Message::AdvertiseCapability(AdvertiseCapability::Revise(revision))
}

pub(crate) fn retire(id: EnvelopeId) -> Message {
    let retirement = CapabilityRetirement { capability: id, reason: Text::default() };
    Message::AdvertiseCapability(AdvertiseCapability::Retire(retirement))
}

pub(crate) fn intent_terms() -> IntentTerms {
    IntentTerms {
        outcome: text("every page as text"),
        category: None,
        inputs: Vec::new(),
        output_schema: None,
        constraints: Vec::new(),
        policies: Vec::new(),
        priority: 0,
        deadline_us: None,
        utility_weights: Vec::new(),
        privacy: None,
        selection: None,
        labels: Vec::new(),
    }
}

pub(crate) fn open() -> Message {
    Message::Intent(Intent::Open(intent_terms()))
}

pub(crate) fn open_until(deadline: Time) -> Message {
    let terms = IntentTerms { deadline_us: Some(deadline), ..intent_terms() };
    Message::Intent(Intent::Open(terms))
}

pub(crate) fn revise_intent(intent: EnvelopeId) -> Message {
    Message::Intent(Intent::Revise(IntentRevision { intent, terms: intent_terms() }))
}

pub(crate) fn cancel(intent: EnvelopeId) -> Message {
    Message::Intent(Intent::Cancel(IntentCancellation { intent, reason: Text::default() }))
}

pub(crate) fn offer_terms(intent: EnvelopeId, capability: EnvelopeId) -> Offer {
    Offer {
        intent,
        capability,
        replaces: None,
        conditions: Vec::new(),
        resources: Vec::new(),
        estimated_duration_us: 0,
        policies: Vec::new(),
        price: None,
        valid_until_us: None,
    }
}

pub(crate) fn offer(intent: EnvelopeId, capability: EnvelopeId) -> Message {
    Message::Offer(offer_terms(intent, capability))
}

pub(crate) fn offer_until(intent: EnvelopeId, capability: EnvelopeId, until: Time) -> Message {
    Message::Offer(Offer { valid_until_us: Some(until), ..offer_terms(intent, capability) })
}

pub(crate) fn replace(offer: EnvelopeId, intent: EnvelopeId, capability: EnvelopeId) -> Message {
    Message::Offer(Offer { replaces: Some(offer), ..offer_terms(intent, capability) })
}

pub(crate) fn counter(offer: EnvelopeId) -> Message {
    Message::Negotiate(Negotiate::Counter(Counter {
        offer,
        price: None,
        duration_us: 0,
        conditions: Vec::new(),
        text: text("for less?"),
    }))
}

pub(crate) fn decline(offer: EnvelopeId) -> Message {
    Message::Negotiate(Negotiate::Decline(Decline { offer, reason: Text::default() }))
}

pub(crate) fn withdraw(offer: EnvelopeId) -> Message {
    Message::Negotiate(Negotiate::Withdraw(Withdraw { offer, reason: Text::default() }))
}

pub(crate) fn request_cancellation(task: EnvelopeId) -> Message {
    let request = RequestCancellation { task, reason: Text::default() };
    Message::Negotiate(Negotiate::RequestCancellation(request))
}

pub(crate) fn task_terms(intent: EnvelopeId, offer: EnvelopeId) -> TaskStart {
    TaskStart {
        intent,
        offer,
        attempt: 1,
        parameters: Vec::new(),
        constraints: Vec::new(),
        policies: Vec::new(),
        monitoring: None,
        output_schema: None,
        depends_on: Vec::new(),
        replaces: None,
        deadlines: None,
        evaluation: None,
    }
}

pub(crate) fn task_start(terms: TaskStart) -> Message {
    Message::TaskStart(Box::new(terms))
}

pub(crate) fn start(intent: EnvelopeId, offer: EnvelopeId) -> Message {
    task_start(task_terms(intent, offer))
}

pub(crate) fn retry(
    intent: EnvelopeId,
    offer: EnvelopeId,
    task: EnvelopeId,
    attempt: u32,
) -> Message {
    task_start(TaskStart { replaces: Some(task), attempt, ..task_terms(intent, offer) })
}

pub(crate) const NO_DEADLINES: Deadlines =
    Deadlines { accept_by_us: None, start_by_us: None, done_by_us: None, heartbeat_us: 0 };

pub(crate) fn start_by(intent: EnvelopeId, offer: EnvelopeId, deadlines: Deadlines) -> Message {
    task_start(TaskStart { deadlines: Some(deadlines), ..task_terms(intent, offer) })
}

pub(crate) fn progress(task: EnvelopeId, state: ProgressState, percent: u32) -> Message {
    Message::TaskProgress(TaskProgress {
        task,
        state,
        percent,
        inputs: Vec::new(),
        outputs: Vec::new(),
        estimated_done_us: None,
        notices: Vec::new(),
        depends_on: Vec::new(),
    })
}

pub(crate) fn receipt(task: EnvelopeId, outcome: Outcome) -> TaskDone {
    TaskDone {
        task,
        outcome,
        started_at_us: None,
        ended_at_us: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        policy_results: Vec::new(),
        reason: Text::default(),
        usage: Vec::new(),
    }
}

pub(crate) fn done(task: EnvelopeId, outcome: Outcome) -> Message {
    Message::TaskDone(receipt(task, outcome))
}

pub(crate) fn claim(subject: ClaimSubject, kind: &str, expires: Option<Time>) -> Message {
    Message::Attest(Attest::Claim(Claim {
        subject,
        kind: name(kind),
        statement: Text::default(),
        evidence: Vec::new(),
        expires_at_us: expires,
    }))
}

pub(crate) fn delegate(to: Who, intent: Option<EnvelopeId>, expires: Option<Time>) -> Message {
    let delegation = Delegation { delegate: to.id(), intent, expires_at_us: expires };
    Message::Attest(Attest::Delegate(delegation))
}

pub(crate) fn revoke(attestation: EnvelopeId) -> Message {
    Message::Attest(Attest::Revoke(Revocation { attestation, reason: Text::default() }))
}

pub(crate) fn policy(scope: PolicyScope, version: u64, action: PolicyAction) -> Message {
    let text = if action == PolicyAction::Revoke { "" } else { "permit;" };
    Message::PolicyUpdate(PolicyUpdate {
        scope,
        name: name("residency"),
        policy_version: version,
        action,
        kind: None,
        text: Document::new(text).expect("a document"),
    })
}

pub(crate) fn notice(subject: EnvelopeId) -> Message {
    let notice = StateNotice { subject, state: name("paused"), text: Text::default() };
    Message::Observe(Observe::Notice(notice))
}
