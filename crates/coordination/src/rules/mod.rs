//! Admission: one envelope against the state of the ledger.
//!
//! Each rule is a pure function that gives the new versions of the objects it touches, or a
//! refusal. Nothing here changes the state.

mod attest;
mod award;
mod bids;
mod capability;
mod intent;
pub(crate) mod observe;
mod offer;
pub(crate) mod policy;
mod task;

use std::cell::RefCell;
use std::sync::Arc;

use tally_policy::{PolicySet, Record, Request};
use tally_protocol::parts::{PolicyRef, Schema as SchemaRef};
use tally_protocol::{AgentId, Envelope, EnvelopeId, Message, Position, Time};

use crate::compliance::{Applicable, reasons};
use crate::decision::Decision;
use crate::refusal::{Object, Refusal, Rule};
use crate::schema::Document;
use crate::state::{Capability, Change, Intent, KeyEnd, Offer, Put, State, Task};

/// Decides on one envelope whose signature was checked.
///
/// `recorded_at` is the time that the ledger gives the event; it never goes back.
///
/// # Errors
/// [`Refusal`] names the rule, the object and the field.
///
/// # Panics
/// When `recorded_at` lies before the last event's.
pub fn admit(
    state: &State,
    id: EnvelopeId,
    envelope: &Envelope,
    recorded_at: Time,
) -> Result<Change, Refusal> {
    assert!(recorded_at >= state.recorded_at(), "the ledger's time never goes back");
    check_origin(state, id, envelope)?;
    check_key(state, envelope)?;
    check_author_chain(state, envelope)?;
    for cause in &envelope.causes {
        if !state.is_left_out(cause) {
            known(state, cause, "causes")?;
        }
    }
    let succession = attest::succession(state, envelope);
    let succeeded = succession.map(|(key, before)| state.with_succession(key, before));
    let state = succeeded.as_ref().unwrap_or(state);
    let decisions = RefCell::default();
    let context = Context { state, id, envelope, at: recorded_at, decisions };
    let said = match &envelope.message {
        Message::AdvertiseCapability(message) => capability::advertise(&context, message)?,
        Message::Discover(message) => capability::search(&context, message)?,
        Message::Intent(message) => intent::intent(&context, message)?,
        Message::Offer(message) => offer::offer(&context, message)?,
        Message::Negotiate(message) => offer::negotiate(&context, message)?,
        Message::TaskStart(message) => task::start(&context, message)?,
        Message::TaskProgress(message) => task::progress(&context, message)?,
        Message::TaskDone(message) => task::done(&context, message)?,
        Message::Attest(message) => attest::attest(&context, message)?,
        Message::PolicyUpdate(message) => policy::update(&context, message)?,
        Message::Observe(message) => observe::observe(&context, message)?,
    };
    // First who speaks, then what is said.
    let succession = succession.map(|(key, before)| Put::Succession(key, before));
    let puts = succession.into_iter().chain(said).collect();
    Ok(Change {
        id,
        author: envelope.author,
        sequence: envelope.author_sequence,
        position: state.next_position(),
        recorded_at,
        puts,
        decisions: context.decisions.into_inner(),
    })
}

/// What the rules of one message look at.
struct Context<'a> {
    state: &'a State,
    id: EnvelopeId,
    envelope: &'a Envelope,
    at: Time,
    /// What was decided on the way; the rules themselves only read.
    decisions: RefCell<Vec<Decision>>,
}

type Verdict = Result<Vec<Put>, Refusal>;

impl Context<'_> {
    fn position(&self) -> Position {
        self.state.next_position()
    }

    fn capability(&self, id: &EnvelopeId, field: &'static str) -> Result<Arc<Capability>, Refusal> {
        self.object(id, field, "capability", self.state.capability(id))
    }

    fn intent(&self, id: &EnvelopeId, field: &'static str) -> Result<Arc<Intent>, Refusal> {
        self.object(id, field, "intent", self.state.intent(id))
    }

    fn offer(&self, id: &EnvelopeId, field: &'static str) -> Result<Arc<Offer>, Refusal> {
        self.object(id, field, "offer", self.state.offer(id))
    }

    fn task(&self, id: &EnvelopeId, field: &'static str) -> Result<Arc<Task>, Refusal> {
        self.object(id, field, "task", self.state.task(id))
    }

    /// A task that another one builds on. In an excerpt it may be declared as left out.
    fn dependency(&self, id: &EnvelopeId, field: &'static str) -> Result<(), Refusal> {
        if self.state.is_left_out(id) {
            return Ok(());
        }
        self.task(id, field).map(|_| ())
    }

    fn object<T>(
        &self,
        id: &EnvelopeId,
        field: &'static str,
        kind: &'static str,
        object: Option<Arc<T>>,
    ) -> Result<Arc<T>, Refusal> {
        if let Some(object) = object {
            return Ok(object);
        }
        known(self.state, id, field)?;
        let found = format!("is no {kind}");
        Err(Refusal::new(Rule::ReferenceKind, Object::Envelope(*id), field, found))
    }

    /// Whether a key stands, or stood, for the author.
    fn is_author(&self, key: &AgentId) -> bool {
        self.state.is_same_party(key, &self.envelope.author)
    }

    /// R13: a schema is judged if its document is at hand and can be read. The change that keeps a
    /// document which is not known yet.
    fn schema(
        &self,
        reference: Option<&SchemaRef>,
        field: &'static str,
    ) -> Result<Option<Put>, Refusal> {
        let Some(reference) = reference.filter(|reference| reference.dialect.is_some()) else {
            return Ok(None);
        };
        if self.state.schema(&reference.digest).is_some() {
            return Ok(None);
        }
        let object = Object::Envelope(self.id);
        match Document::read(reference) {
            Some(Ok(document)) => Ok(Some(Put::Schema(document))),
            Some(Err(error)) => {
                let found = format!("carries no schema that can be judged: {error}");
                Err(Refusal::new(Rule::SchemaDocument, object, field, found))
            }
            None => {
                let found = format!("names schema {}, which nobody has carried", reference.digest);
                Err(Refusal::new(Rule::SchemaAtHand, object, field, found))
            }
        }
    }

    /// R10, R21: all policies allow what `request` asks about.
    fn allowed(
        &self,
        policies: &PolicySet,
        request: impl FnOnce() -> Request,
        object: Object,
        field: &'static str,
    ) -> Result<(), Refusal> {
        if policies.is_empty() {
            return Ok(());
        }
        let record = Box::new(Record::make(policies, request()));
        if record.decision.allowed {
            self.decisions.borrow_mut().push(Decision::Policy { object, record });
            return Ok(());
        }
        let reasons = reasons(&record.decision, policies).join("; ");
        let found = format!("is not allowed: {reasons}");
        Err(Refusal::new(Rule::PolicyAllows, object, field, found))
    }

    /// The policies as one set.
    fn policy_set(
        &self,
        applicable: &Applicable,
        object: Object,
        field: &'static str,
    ) -> Result<PolicySet, Refusal> {
        applicable.set(self.state).map_err(|error| {
            let found = format!("is judged by too many policies: {error}");
            Refusal::new(Rule::PolicyAllows, object, field, found)
        })
    }

    /// R13: policies that are referred to are in force.
    fn policies(&self, policies: &[PolicyRef], field: &'static str) -> Result<(), Refusal> {
        for PolicyRef { update } in policies {
            if self.state.policy_in_force(update).is_none() {
                known(self.state, update, field)?;
                let object = Object::Policy(*update);
                return Err(Refusal::new(Rule::PolicyInForce, object, field, "is not in force"));
            }
        }
        Ok(())
    }

    /// R20: a time to come lies in the future.
    fn future(
        &self,
        time: Option<Time>,
        object: Object,
        field: &'static str,
    ) -> Result<(), Refusal> {
        match time.filter(|time| *time <= self.at) {
            None => Ok(()),
            Some(time) => {
                let found = format!("names {time} µs, the ledger's time is {} µs", self.at);
                Err(Refusal::new(Rule::Future, object, field, found))
            }
        }
    }
}

fn known(state: &State, id: &EnvelopeId, field: &'static str) -> Result<Position, Refusal> {
    state.position_of(id).ok_or_else(|| {
        Refusal::new(Rule::Reference, Object::Envelope(*id), field, "is not in this ledger")
    })
}

fn check_origin(state: &State, id: EnvelopeId, envelope: &Envelope) -> Result<(), Refusal> {
    if envelope.origin == *state.origin() {
        return Ok(());
    }
    let found = format!("is meant for {}, this ledger is {}", envelope.origin, state.origin());
    Err(Refusal::new(Rule::Origin, Object::Envelope(id), "origin", found))
}

/// R9: a key that was rotated or revoked signs nothing any more, from that position on.
fn check_key(state: &State, envelope: &Envelope) -> Result<(), Refusal> {
    let found = match state.key_end(&envelope.author) {
        None => return Ok(()),
        Some(KeyEnd::Rotated(successor)) => format!("was succeeded by {successor}"),
        Some(KeyEnd::Revoked) => "was revoked".into(),
    };
    Err(Refusal::new(Rule::KeyLive, Object::Agent(envelope.author), "author", found))
}

/// R13: the author's sequence and previous envelope continue the author's own chain.
fn check_author_chain(state: &State, envelope: &Envelope) -> Result<(), Refusal> {
    let agent = state.agent(&envelope.author);
    let expected = agent.map(|agent| agent.next_sequence).unwrap_or_default();
    let object = Object::Agent(envelope.author);
    let sequence = envelope.author_sequence;
    if sequence < expected {
        let found = format!("signed another envelope with sequence {sequence} before");
        return Err(Refusal::new(Rule::Equivocation, object, "author_sequence", found));
    }
    if sequence > expected {
        // In an excerpt, envelopes of the author may lie between.
        if state.is_excerpt() {
            return Ok(());
        }
        let found = format!("is at sequence {expected}, the envelope says {sequence}");
        return Err(Refusal::new(Rule::AuthorSequence, object, "author_sequence", found));
    }
    let last = agent.map(|agent| agent.last);
    if envelope.previous != last {
        let last = last.map_or("none".into(), |id| id.to_string());
        let found = format!("has as its last envelope {last}");
        return Err(Refusal::new(Rule::AuthorPrevious, object, "previous", found));
    }
    Ok(())
}
