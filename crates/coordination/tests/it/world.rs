//! A ledger in memory: a state, agents with their chains, and a clock that the test sets.

use std::sync::{Arc, LazyLock};

use tally_coordination::{Decision, Object, Refusal, Rule, State, Task, admit};
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

/// Agents by seed: a key is made once.
static AGENTS: LazyLock<Vec<AgentId>> = LazyLock::new(|| {
    let agent = |seed| AgentKey::from_seed(&[seed; 32]).agent();
    (0..=u8::MAX).map(agent).collect()
});

impl Who {
    pub(crate) fn id(self) -> AgentId {
        AGENTS[usize::from(self.0)]
    }

    /// Whose key it is.
    pub(crate) fn of(agent: &AgentId) -> Self {
        let seed = AGENTS.iter().position(|known| known == agent).expect("one of us");
        Self(u8::try_from(seed).expect("a seed"))
    }
}

pub(crate) const START: Time = Time(1_000_000);

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Time,
    /// What was admitted, and when.
    pub(crate) log: Vec<(EnvelopeId, Envelope, Time)>,
    /// What was decided on the way, for each event.
    pub(crate) decisions: Vec<Vec<Decision>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { state: State::new(origin()), now: START, log: Vec::new(), decisions: Vec::new() }
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
            causes: self.consent(&author),
            message,
        }
    }

    /// The rotation that a key succeeds by, which its first envelope names.
    fn consent(&self, key: &AgentId) -> Vec<EnvelopeId> {
        let names_it = |(_, envelope, _): &&(EnvelopeId, Envelope, Time)| {
            matches!(&envelope.message,
                Message::Attest(Attest::RotateKey(to)) if to.successor == *key)
        };
        let first = self.state.agent(key).is_none();
        self.log.iter().find(names_it).filter(|_| first).map(|(id, ..)| *id).into_iter().collect()
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
        let change = admit(&self.state, id, &envelope, self.now).inspect_err(|refusal| {
            assert!(self.state == before, "a refusal changes nothing: {refusal}");
        })?;
        self.decisions.push(change.decisions().to_vec());
        self.state.fold(change);
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
        Self::id_of(&self.envelope(who, message.into()))
    }

    pub(crate) fn id_of(envelope: &Envelope) -> EnvelopeId {
        let payload = envelope.encode().expect("encodes");
        SignedEnvelope { payload: payload.into(), signature: [0; 64] }.id()
    }

    pub(crate) fn later(&mut self, us: u64) {
        self.now = self.now.plus_us(us);
    }

    pub(crate) fn task(&self, id: EnvelopeId) -> Arc<Task> {
        self.state.task(&id).expect("a task")
    }

    /// The state that the admitted log comes to, from nothing, by the same decisions.
    pub(crate) fn refolded(&self) -> State {
        let mut state = State::new(origin());
        for ((id, envelope, at), decisions) in self.log.iter().zip(&self.decisions) {
            let change = admit(&state, *id, envelope, *at).expect("was admitted before");
            assert_eq!(change.decisions(), decisions, "what was decided is decided again");
            state.fold(change);
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
    IntentTerms::new(text("every page as text"))
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
    Offer::new(intent, capability)
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
    TaskStart::new(intent, offer, 1)
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
    Message::TaskProgress(TaskProgress { percent, ..TaskProgress::new(task, state) })
}

pub(crate) fn receipt(task: EnvelopeId, outcome: Outcome) -> TaskDone {
    TaskDone::new(task, outcome)
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
    let delegation = Delegation { intent, expires_at_us: expires, ..Delegation::new(to.id()) };
    Message::Attest(Attest::Delegate(delegation))
}

pub(crate) fn revoke(attestation: EnvelopeId) -> Message {
    Message::Attest(Attest::Revoke(Revocation { attestation, reason: Text::default() }))
}

pub(crate) fn policy(scope: PolicyScope, version: u64, action: PolicyAction) -> Message {
    let text = if action == PolicyAction::Revoke { "" } else { "permit;" };
    Message::PolicyUpdate(PolicyUpdate {
        text: Document::new(text).expect("a document"),
        ..PolicyUpdate::new(scope, name("residency"), version, action)
    })
}

pub(crate) fn notice(subject: EnvelopeId) -> Message {
    let notice = StateNotice { subject, state: name("paused"), text: Text::default() };
    Message::Observe(Observe::Notice(notice))
}

// ------------------------------------------------------------------ what is judged

pub(crate) const INTEGER: &str = r#"{"type":"integer"}"#;
pub(crate) const SMALL: &str = r#"{"type":"integer","maximum":5}"#;
pub(crate) const TEXT: &str = r#"{"type":"string"}"#;

pub(crate) const EU_ONLY: &str = r#"@reason("work stays in the EU")
forbid (principal, action, resource) unless {
    context.any_of.hasTag("region") && ["eu"].containsAll(context.any_of.getTag("region"))
};"#;

pub(crate) const CHEAP: &str = r#"forbid (principal, action == Action::"complete", resource) when {
    context.usage.hasTag("energy") && context.usage.getTag("energy").amount > 10
};"#;

pub(crate) fn schema(document: &str) -> Option<Schema> {
    Some(Schema::inline(document).expect("a short document"))
}

pub(crate) fn price(amount: u64) -> Price {
    Price::new(amount, name("EUR"))
}

pub(crate) fn publish_terms(terms: CapabilityTerms) -> Message {
    Message::AdvertiseCapability(AdvertiseCapability::Publish(terms))
}

pub(crate) fn open_terms(terms: IntentTerms) -> Message {
    Message::Intent(Intent::Open(terms))
}

pub(crate) fn cedar(scope: PolicyScope, label: &str, version: u64, text: &str) -> PolicyUpdate {
    PolicyUpdate {
        text: Document::new(text).expect("a short text"),
        language: Some(PolicyLanguage::Cedar),
        ..PolicyUpdate::new(scope, name(label), version, PolicyAction::Activate)
    }
}

pub(crate) fn region(value: &str) -> Vec<Constraint> {
    vec![Constraint::new(name("region"), Comparison::AnyOf, vec![name(value)])]
}
