//! R11: who may ask, and who may publish a change of state.
//!
//! Changes are published by the parties of their subject. One notice is everybody's: that an author
//! signed two statements with one sequence, with the proof in it.

use tally_protocol::message::{Observe, StateNotice};
use tally_protocol::{AgentId, EnvelopeId, Equivocation};

use super::{Context, Verdict, known};
use crate::finding::{Finding, FindingKind};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Intent, Put, State, Task};

pub(super) fn observe(context: &Context<'_>, message: &Observe) -> Verdict {
    let author = &context.envelope.author;
    match message {
        Observe::TaskStatus(id) => {
            let task = context.task(id, "observe.task_status")?;
            allow(
                sees_task(context.state, &task, author),
                Object::Task(*id),
                "observe.task_status",
            )?;
        }
        Observe::CoordinationGraph(id) => {
            const FIELD: &str = "observe.coordination_graph";
            let intent = context.intent(id, FIELD)?;
            allow(sees_intent(context.state, &intent, author), Object::Intent(*id), FIELD)?;
        }
        // A trace spans owners; what it leads to is answered object by object.
        Observe::Trace(_) => {}
        Observe::Notice(notice) => return publish(context, notice),
    }
    Ok(Vec::new())
}

/// The state that a notice with proof of an equivocation names.
pub const EQUIVOCATION: &str = "equivocation";

fn publish(context: &Context<'_>, notice: &StateNotice) -> Verdict {
    const FIELD: &str = "observe.notice.subject";
    known(context.state, &notice.subject, FIELD)?;
    let (state, author) = (context.state, &context.envelope.author);
    let object = Object::Envelope(notice.subject);
    if let Some(finding) = equivocation(context, notice) {
        return Ok(vec![Put::Finding(finding)]);
    }
    allow(is_party(state, &notice.subject, author), object, FIELD)?;
    Ok(Vec::new())
}

/// What a notice proves against the author of its subject; nothing when that is on record already.
fn equivocation(context: &Context<'_>, notice: &StateNotice) -> Option<Finding> {
    if notice.state.as_str() != EQUIVOCATION {
        return None;
    }
    let claim: Equivocation = serde_json::from_str(notice.text.as_str()).ok()?;
    let (one, other) = claim.prove(context.state.origin()).ok()?;
    if ![one.id(), other.id()].contains(&notice.subject) {
        return None;
    }
    let (kind, object) = (FindingKind::Equivocation, Object::Envelope(notice.subject));
    let known = |finding: &Finding| finding.kind == kind && finding.object == object;
    let sequence = one.envelope().author_sequence;
    (!context.state.shown().any(|finding| known(&finding))).then(|| Finding {
        kind,
        agent: one.envelope().author,
        object,
        event: context.id,
        position: context.position(),
        found: format!("signed another envelope with sequence {sequence} too"),
    })
}

fn is_party(state: &State, id: &EnvelopeId, agent: &AgentId) -> bool {
    let is = |owner: &AgentId| state.is_same_party(owner, agent);
    state.task(id).is_some_and(|task| sees_task(state, &task, agent))
        || state.intent(id).is_some_and(|intent| sees_intent(state, &intent, agent))
        || state.offer(id).is_some_and(|offer| is(&offer.provider))
        || state.capability(id).is_some_and(|capability| is(&capability.owner))
        || state.attestation(id).is_some_and(|attestation| is(&attestation.author))
}

fn sees_task(state: &State, task: &Task, agent: &AgentId) -> bool {
    let observers = task.terms.monitoring.iter().flat_map(|monitoring| &monitoring.observers);
    [&task.initiator, &task.intent_author, &task.executor]
        .into_iter()
        .chain(observers)
        .any(|admitted| state.is_same_party(admitted, agent))
}

fn sees_intent(state: &State, intent: &Intent, agent: &AgentId) -> bool {
    state.is_same_party(&intent.author, agent)
        || intent
            .offers
            .iter()
            .filter_map(|id| state.offer(id))
            .any(|offer| state.is_same_party(&offer.provider, agent))
        || intent
            .tasks
            .iter()
            .filter_map(|id| state.task(id))
            .any(|task| sees_task(state, &task, agent))
}

fn allow(admitted: bool, object: Object, field: &'static str) -> Result<(), Refusal> {
    if admitted {
        return Ok(());
    }
    Err(Refusal::new(Rule::Observer, object, field, "does not name the author as an observer"))
}
