//! Admission: one envelope against the state of the ledger.
//!
//! Each rule is a pure function that gives the new versions of the objects it touches, or a
//! refusal. Nothing here changes the state.

mod attest;
mod capability;
mod intent;
mod observe;
mod offer;
mod policy;
mod task;

use tally_protocol::parts::PolicyRef;
use tally_protocol::{Envelope, EnvelopeId, Message, Position, Time};

use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Capability, Change, Intent, Offer, Put, State, Task};

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
    check_author_chain(state, envelope)?;
    for cause in &envelope.causes {
        known(state, cause, "causes")?;
    }
    let context = Context { state, id, envelope, at: recorded_at };
    let puts = match &envelope.message {
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
    Ok(Change {
        id,
        author: envelope.author,
        sequence: envelope.author_sequence,
        position: state.next_position(),
        recorded_at,
        puts,
    })
}

/// What the rules of one message look at.
struct Context<'a> {
    state: &'a State,
    id: EnvelopeId,
    envelope: &'a Envelope,
    at: Time,
}

type Verdict = Result<Vec<Put>, Refusal>;

impl Context<'_> {
    fn position(&self) -> Position {
        self.state.next_position()
    }

    fn capability(&self, id: &EnvelopeId, field: &'static str) -> Result<&Capability, Refusal> {
        self.object(id, field, "capability", self.state.capability(id))
    }

    fn intent(&self, id: &EnvelopeId, field: &'static str) -> Result<&Intent, Refusal> {
        self.object(id, field, "intent", self.state.intent(id))
    }

    fn offer(&self, id: &EnvelopeId, field: &'static str) -> Result<&Offer, Refusal> {
        self.object(id, field, "offer", self.state.offer(id))
    }

    fn task(&self, id: &EnvelopeId, field: &'static str) -> Result<&Task, Refusal> {
        self.object(id, field, "task", self.state.task(id))
    }

    fn object<'o, T>(
        &self,
        id: &EnvelopeId,
        field: &'static str,
        kind: &'static str,
        object: Option<&'o T>,
    ) -> Result<&'o T, Refusal> {
        if let Some(object) = object {
            return Ok(object);
        }
        known(self.state, id, field)?;
        let found = format!("is no {kind}");
        Err(Refusal::new(Rule::ReferenceKind, Object::Envelope(*id), field, found))
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
