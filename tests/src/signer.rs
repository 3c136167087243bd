//! Authors who sign by hand, so that they can also sign what no client would.

use serde_json::{Value, json};
use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Envelope, EnvelopeId, Message, Origin, SignedEnvelope, Time,
    TraceId,
};

/// When everything here says that it was issued, in microseconds.
const ISSUED_AT: Time = Time(1_795_000_000_000_000);

/// A message from its JSON.
///
/// # Panics
/// When it is none.
pub fn message(value: Value) -> Message {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// A new intent.
pub fn intent(outcome: &str) -> Message {
    message(json!({ "intent": { "open": { "outcome": outcome } } }))
}

/// The end of an intent.
pub fn cancel(intent: EnvelopeId) -> Message {
    message(json!({ "intent": { "cancel": { "intent": intent } } }))
}

/// A new capability.
pub fn capability(name: &str) -> Message {
    let terms = json!({ "name": name, "category": "survey", "tags": ["sea"] });
    message(json!({ "advertise_capability": { "publish": terms } }))
}

/// An offer.
pub fn offer(intent: EnvelopeId, capability: EnvelopeId) -> Message {
    message(json!({ "offer": { "intent": intent, "capability": capability } }))
}

/// The first try at a task.
pub fn start(intent: EnvelopeId, offer: EnvelopeId) -> Message {
    message(json!({ "task_start": { "intent": intent, "offer": offer, "attempt": 1 } }))
}

/// A report from a task.
pub fn progress(task: EnvelopeId, state: &str, percent: u32) -> Message {
    message(json!({ "task_progress": { "task": task, "state": state, "percent": percent } }))
}

/// The receipt of a task.
pub fn done(task: EnvelopeId, outcome: &str) -> Message {
    message(json!({ "task_done": { "task": task, "outcome": outcome } }))
}

/// One author with one chain.
#[derive(Clone)]
pub struct Signer {
    key: AgentKey,
    origin: Origin,
    sequence: AuthorSequence,
    previous: Option<EnvelopeId>,
}

impl Signer {
    /// An author who has said nothing yet; the same number is the same author.
    pub fn new(number: u64, origin: &Origin) -> Self {
        let key = AgentKey::from_seed(&Self::seed(number));
        Self { key, origin: origin.clone(), sequence: AuthorSequence(0), previous: None }
    }

    /// The seed of an author's key.
    pub fn seed(number: u64) -> [u8; 32] {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        seed
    }

    /// Who signs.
    pub fn agent(&self) -> AgentId {
        self.key.agent()
    }

    /// The envelope that would come next.
    pub fn envelope(&self, message: Message) -> Envelope {
        Envelope {
            origin: self.origin.clone(),
            author: self.agent(),
            author_sequence: self.sequence,
            previous: self.previous,
            issued_at_us: ISSUED_AT,
            trace_id: None,
            causes: Vec::new(),
            message,
        }
    }

    /// Signs any envelope of this author.
    ///
    /// # Panics
    /// When it can't be said in the protocol.
    pub fn sign(&self, envelope: &Envelope) -> SignedEnvelope {
        envelope.sign(&self.key).expect("an envelope that can be read back")
    }

    /// Signs what would come next and stays where it is: for what is to be refused.
    pub fn try_out(&self, message: Message) -> SignedEnvelope {
        self.sign(&self.envelope(message))
    }

    /// Signs the next envelope of the chain.
    pub fn say(&mut self, message: Message) -> SignedEnvelope {
        let signed = self.try_out(message);
        self.sequence = self.sequence.next();
        self.previous = Some(signed.id());
        signed
    }

    /// The same as part of a workflow.
    pub fn say_in(&mut self, trace: TraceId, message: Message) -> SignedEnvelope {
        let signed = self.sign(&Envelope { trace_id: Some(trace), ..self.envelope(message) });
        self.sequence = self.sequence.next();
        self.previous = Some(signed.id());
        signed
    }

    /// Goes on as if this many envelopes had been said after the last.
    pub fn skip(&mut self, envelopes: u64) {
        self.sequence = AuthorSequence(self.sequence.0 + envelopes);
        self.previous = self.previous.or(Some(EnvelopeId([9; 32])));
    }
}
