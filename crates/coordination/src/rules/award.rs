//! R14 to R17, R21: what an award rests on, and what a running task is held to.

use std::collections::BTreeSet;

use imbl::Vector;
use tally_protocol::message::{Candidate, Evaluation, Outcome, TaskDone, TaskStart};
use tally_protocol::parts::{DataRef, Name, Schema};
use tally_protocol::{EnvelopeId, Position};

use super::{Context, bids};
use crate::compliance::{self, Moment};
use crate::decision::Decision;
use crate::evaluate;
use crate::refusal::{Object, Refusal, Rule};
use crate::schema::{Fit, document, fit};
use crate::state::{Intent, Offer, OfferStanding, State, Task};

/// Media types of data that a schema can judge.
const JSON: &str = "application/json";

/// The field of an evaluation.
const EVALUATION: &str = "task_start.evaluation";

/// An award fits the intent's mechanism, and what its evaluation says is what everyone computes.
/// `again` is the offer of the task that this one replaces.
pub(super) fn check(
    context: &Context<'_>,
    intent: &Intent,
    offer: &Offer,
    message: &TaskStart,
    again: Option<EnvelopeId>,
) -> Result<(), Refusal> {
    let most = intent.terms.max_awards;
    let awarded = intent.live_tasks + intent.succeeded_tasks;
    if most > 0 && awarded >= most {
        let found = format!("allows {most} tasks, {awarded} are live or have succeeded");
        let object = Object::Intent(intent.id);
        return Err(Refusal::new(Rule::Awards, object, "task_start.intent", found));
    }
    check_covered(context, intent, offer)?;
    check_output(context, offer, message)?;
    let auction = bids::check_award(context, intent, offer, message, again)?;
    let evaluation = check_evaluation(context, intent, message, again)?;
    let (task, offer) = (context.id, offer.id);
    let award = Decision::Award { task, offer, evaluation, auction };
    context.decisions.borrow_mut().push(award);
    Ok(())
}

/// R16: no part is covered twice.
fn check_covered(context: &Context<'_>, intent: &Intent, offer: &Offer) -> Result<(), Refusal> {
    let taken = covered(context, intent, |task| {
        task.ended.is_none_or(|ended| ended.outcome == Outcome::Succeeded)
    });
    match offer.terms.covers.iter().find(|part| taken.contains(part)) {
        None => Ok(()),
        Some(part) => {
            let found = format!("has part {part} covered already");
            let object = Object::Intent(intent.id);
            Err(Refusal::new(Rule::Covered, object, "task_start.offer", found))
        }
    }
}

/// R16: every part of the intent is covered by a task that succeeded, this one included.
pub(super) fn all_covered(
    context: &Context<'_>,
    intent: &Intent,
    ending: &Task,
    outcome: Outcome,
) -> bool {
    let mut done = covered(context, intent, |task| {
        task.ended.is_some_and(|ended| ended.outcome == Outcome::Succeeded)
    });
    if outcome == Outcome::Succeeded
        && let Some(offer) = context.state.offer(&ending.terms.offer)
    {
        done.extend(offer.terms.covers.iter().cloned());
    }
    intent.terms.parts.iter().all(|part| done.contains(part))
}

fn covered(context: &Context<'_>, intent: &Intent, counts: impl Fn(&Task) -> bool) -> Vec<Name> {
    let tasks = intent.tasks.iter().filter_map(|id| context.state.task(id));
    let offers =
        tasks.filter(|task| counts(task)).filter_map(|task| context.state.offer(&task.terms.offer));
    offers.flat_map(|offer| offer.terms.covers.clone()).collect()
}

/// R14: the capability gives what the task asks for.
fn check_output(context: &Context<'_>, offer: &Offer, message: &TaskStart) -> Result<(), Refusal> {
    const FIELD: &str = "task_start.output_schema";
    let capability = context.capability(&offer.terms.capability, "task_start.offer")?;
    let (given, asked) = (&capability.terms.output_schema, &message.output_schema);
    match fit(context.state, given.as_ref(), asked.as_ref()) {
        Fit::Fits | Fit::Unknown(_) => Ok(()),
        Fit::Misfits(why) => {
            let object = Object::Capability(capability.id);
            Err(Refusal::new(Rule::SchemaOutput, object, FIELD, why.found))
        }
    }
}

/// R15: an evaluation by the ledger's method covers every offer there was, says what everyone
/// computes, and the award follows from it.
fn check_evaluation(
    context: &Context<'_>,
    intent: &Intent,
    message: &TaskStart,
    again: Option<EnvelopeId>,
) -> Result<Option<Evaluation>, Refusal> {
    let stated = message.evaluation.as_ref();
    let Some(stated) = stated.filter(|stated| stated.method.as_str() == evaluate::METHOD) else {
        return Ok(None);
    };
    let state = context.state;
    let refuse = |rule, object, found: String| Err(Refusal::new(rule, object, EVALUATION, found));
    let wanted = &intent.terms.utility_weights;
    if !wanted.is_empty() && stated.weights != *wanted {
        let object = Object::Intent(intent.id);
        return refuse(Rule::Evaluation, object, "states other weights".into());
    }
    check_candidates(state, stated)?;
    let can_win = |offer: &Offer| match offer.standing {
        OfferStanding::Live => !offer.is_expired(context.at),
        _ => Some(offer.id) == again,
    };
    let looked_at = |id: &EnvelopeId| stated.candidates.iter().any(|given| given.offer == *id);
    let before = |offer: &Offer| offer.position < Position(stated.as_of);
    let offers = intent.offers.iter().filter_map(|id| state.offer(id));
    let missed = offers.filter(|offer| before(offer) && can_win(offer));
    if let Some(missed) = missed.into_iter().find(|offer| !looked_at(&offer.id)) {
        return refuse(Rule::Evaluation, Object::Offer(missed.id), "was not looked at".into());
    }
    let computed = evaluate::again(state, intent, stated);
    let mut pairs = computed.candidates.iter().zip(&stated.candidates);
    if let Some((computed, given)) = pairs.find(|(computed, given)| computed != given) {
        let found = format!("comes to {}, not {}", computed.total, given.total);
        return refuse(Rule::Evaluation, Object::Offer(given.offer), found);
    }
    // An auction has its own winner; the evaluation is then for the record.
    if crate::auction::auction(&intent.terms).is_some() || !intent.terms.parts.is_empty() {
        return Ok(Some(computed));
    }
    let best = evaluate::ranked(state, stated).into_iter().find(|candidate| {
        state.offer(&candidate.offer).is_some_and(|offer| can_win(&offer))
            && Some(candidate.offer) != again.filter(|again| *again != message.offer)
    });
    match best {
        Some(best) if best.offer == message.offer => Ok(Some(computed)),
        Some(best) => {
            let found = format!("is better, with a total of {}", best.total);
            refuse(Rule::EvaluationWinner, Object::Offer(best.offer), found)
        }
        None => {
            let found = "is disqualified by its own evaluation".into();
            refuse(Rule::EvaluationWinner, Object::Offer(message.offer), found)
        }
    }
}

/// R15: an evaluation looks once at each offer, and at none that came after it: an earlier `as_of`
/// leaves later offers out, but not all except the one that is to win.
fn check_candidates(state: &State, stated: &Evaluation) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for Candidate { offer, .. } in &stated.candidates {
        let refuse = |found| {
            let object = Object::Offer(*offer);
            Err(Refusal::new(Rule::Evaluation, object, EVALUATION, found))
        };
        if !seen.insert(offer) {
            return refuse("is named twice".into());
        }
        if state.position_of(offer).is_some_and(|position| position >= Position(stated.as_of)) {
            return refuse(format!("was not there after {} events", stated.as_of));
        }
    }
    Ok(())
}

// ------------------------------------------------------------------ policies

/// R21: the policies in force allow the task, which is pinned to them.
pub(super) fn check_policies(
    context: &Context<'_>,
    intent: &Intent,
    offer: &Offer,
    message: &TaskStart,
) -> Result<Vector<EnvelopeId>, Refusal> {
    const FIELD: &str = "task_start.policy_set";
    let object = Object::Task(context.id);
    let capability = context.capability(&offer.terms.capability, "task_start.offer")?;
    let of = (intent, &*capability, offer);
    let applicable = compliance::applicable_to_task(context.state, of, message);
    let policies = context.policy_set(&applicable, object, FIELD)?;
    let expected = (!policies.is_empty()).then(|| policies.digest().0);
    if message.policy_set.map(|digest| digest.0) != expected {
        let expected = expected
            .map_or("judged by none, and pins none".into(), |_| policies.digest().to_string());
        let found = format!("is judged by policy set {expected}");
        return Err(Refusal::new(Rule::PolicySet, object, FIELD, found));
    }
    let request = || {
        let start = (message, &context.envelope.author);
        let asked = (context.state, &policies);
        compliance::task_request(asked, of, start, Moment::Start, context.at)
    };
    context.allowed(&policies, request, object, FIELD)?;
    Ok(applicable.updates().copied().collect())
}

/// R21: the policies that a task is pinned to still allow it.
pub(super) fn still_allowed(
    context: &Context<'_>,
    task: &Task,
    moment: Moment<'_>,
    field: &'static str,
) -> Result<(), Refusal> {
    let object = Object::Task(task.id);
    let Ok(policies) = compliance::set(context.state, &task.policies) else { return Ok(()) };
    let Some(parts) = compliance::parts_of(context.state, task) else { return Ok(()) };
    let request = || {
        let start = (&*task.terms, &task.initiator);
        let asked = (context.state, &policies);
        compliance::task_request(asked, parts.of(), start, moment, context.at)
    };
    context.allowed(&policies, request, object, field)
}

// ------------------------------------------------------------------ outputs

/// R14: JSON that is at hand fits the schema that the task asks for, or else the intent.
pub(super) fn check_outputs(
    context: &Context<'_>,
    task: &Task,
    message: &TaskDone,
) -> Result<(), Refusal> {
    let intent = context.intent(&task.terms.intent, "task_done.task")?;
    let asked = task.terms.output_schema.as_ref().or(intent.terms.output_schema.as_ref());
    let Some(asked) = asked else { return Ok(()) };
    message.outputs.iter().try_for_each(|output| check_data(context, task, asked, output))
}

fn check_data(
    context: &Context<'_>,
    task: &Task,
    asked: &Schema,
    output: &DataRef,
) -> Result<(), Refusal> {
    let json = output.media_type.as_ref().is_some_and(|media_type| media_type.as_str() == JSON);
    let text = output.inline.as_str();
    if !json || text.is_empty() {
        return Ok(());
    }
    let Some(document) = document(context.state, asked) else { return Ok(()) };
    let misfit = match serde_json::from_str(text) {
        Ok(value) => document.schema().validate(&value).err().map(|invalid| invalid.to_string()),
        Err(error) => Some(format!("is no JSON: {error}")),
    };
    match misfit {
        None => Ok(()),
        Some(why) => {
            let found = format!("gives {}, which does not fit: {why}", output.uri);
            let object = Object::Task(task.id);
            Err(Refusal::new(Rule::OutputData, object, "task_done.outputs", found))
        }
    }
}
