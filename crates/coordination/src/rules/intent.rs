//! R3: opening, revising and cancelling intents.

use std::sync::Arc;

use imbl::Vector;
use tally_protocol::EnvelopeId;
use tally_protocol::message::{
    Intent as IntentMessage, IntentCancellation, IntentRevision, IntentTerms,
};

use super::{Context, Verdict, bids};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Intent, IntentStanding, Put};

pub(super) fn intent(context: &Context<'_>, message: &IntentMessage) -> Verdict {
    match message {
        IntentMessage::Open(terms) => open(context, terms),
        IntentMessage::Revise(revision) => revise(context, revision),
        IntentMessage::Cancel(cancellation) => cancel(context, cancellation),
    }
}

fn open(context: &Context<'_>, terms: &IntentTerms) -> Verdict {
    context.future(terms.deadline_us, Object::Intent(context.id), "intent.open.deadline_us")?;
    context.policies(&terms.policies, "intent.open.policies")?;
    let mut puts = schemas(context, terms)?;
    bids::check_terms(context, terms, "intent.open.auction")?;
    puts.push(Put::Intent(version(context, terms, context.id)));
    Ok(puts)
}

fn schemas(context: &Context<'_>, terms: &IntentTerms) -> Verdict {
    let input = context.schema(terms.input_schema.as_ref(), "input_schema")?;
    let output = context.schema(terms.output_schema.as_ref(), "output_schema")?;
    Ok(input.into_iter().chain(output).collect())
}

fn revise(context: &Context<'_>, revision: &IntentRevision) -> Verdict {
    const FIELD: &str = "intent.revise.intent";
    let earlier = own_open(context, &revision.intent, FIELD)?;
    let object = Object::Intent(earlier.id);
    if earlier.live_tasks > 0 {
        let found = format!("has {} tasks that have not ended", earlier.live_tasks);
        return Err(Refusal::new(Rule::IntentIdle, object, FIELD, found));
    }
    let terms = &revision.terms;
    context.future(terms.deadline_us, object, "intent.revise.terms.deadline_us")?;
    context.policies(&terms.policies, "intent.revise.terms.policies")?;
    let mut puts = schemas(context, terms)?;
    bids::check_terms(context, terms, "intent.revise.terms.auction")?;
    let standing = IntentStanding::Superseded(context.id);
    puts.push(Put::Intent(Intent { standing, ..earlier.as_ref().clone() }));
    puts.push(Put::Intent(version(context, terms, earlier.root)));
    Ok(puts)
}

fn cancel(context: &Context<'_>, cancellation: &IntentCancellation) -> Verdict {
    let earlier = own_open(context, &cancellation.intent, "intent.cancel.intent")?;
    let standing = IntentStanding::Cancelled;
    Ok(vec![Put::Intent(Intent { standing, ..earlier.as_ref().clone() })])
}

fn version(context: &Context<'_>, terms: &IntentTerms, root: EnvelopeId) -> Intent {
    Intent {
        id: context.id,
        root,
        author: context.envelope.author,
        terms: Arc::new(terms.clone()),
        trace_id: context.envelope.trace_id,
        standing: IntentStanding::Open,
        offers: Vector::new(),
        tasks: Vector::new(),
        live_tasks: 0,
        succeeded_tasks: 0,
        position: context.position(),
        recorded_at: context.at,
    }
}

fn own_open(
    context: &Context<'_>,
    id: &EnvelopeId,
    field: &'static str,
) -> Result<Arc<Intent>, Refusal> {
    let intent = context.intent(id, field)?;
    if !context.is_author(&intent.author) {
        let found = format!("is {}'s", intent.author);
        return Err(Refusal::new(Rule::IntentAuthor, Object::Intent(*id), field, found));
    }
    open_now(&intent, field)?;
    Ok(intent)
}

pub(super) fn open_now(intent: &Intent, field: &'static str) -> Result<(), Refusal> {
    if intent.standing == IntentStanding::Open {
        return Ok(());
    }
    let object = Object::Intent(intent.id);
    Err(Refusal::new(Rule::IntentOpen, object, field, intent.standing.found()))
}

/// R12 and R20: the intent is open and its deadline has not passed.
pub(super) fn takes_work(
    context: &Context<'_>,
    intent: &Intent,
    field: &'static str,
) -> Result<(), Refusal> {
    open_now(intent, field)?;
    match intent.terms.deadline_us.filter(|deadline| *deadline < context.at) {
        None => Ok(()),
        Some(deadline) => {
            let found = format!("was open until {deadline} µs");
            Err(Refusal::new(Rule::IntentDeadline, Object::Intent(intent.id), field, found))
        }
    }
}
