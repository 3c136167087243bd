//! R6 to R8, R14, R18 to R20: the life of a task.

use std::sync::Arc;

use imbl::Vector;
use tally_protocol::message::{
    Check, Deadlines, DelegationScope, Outcome, ProgressState, TaskDone, TaskProgress, TaskStart,
};
use tally_protocol::{EnvelopeId, Time};

use super::{Context, Verdict, attest, award, intent, offer};
use crate::compliance::Moment;
use crate::finding::{self, Finding, FindingKind};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{
    CapabilityStanding, Ended, Intent, IntentStanding, LateTerminal, Offer, OfferStanding, Put,
    Task, TaskState,
};

// ------------------------------------------------------------------ TaskStart

pub(super) fn start(context: &Context<'_>, message: &TaskStart) -> Verdict {
    let intent = context.intent(&message.intent, "task_start.intent")?;
    if !may_act(context, &intent, DelegationScope::Tasks) {
        let object = Object::Intent(intent.id);
        let found = format!("is {}'s, who has not delegated it", intent.author);
        return Err(Refusal::new(Rule::TaskInitiator, object, "task_start.intent", found));
    }
    intent::takes_work(context, &intent, "task_start.intent")?;
    let replaced = replaced(context, message)?;
    let offer = awarded(context, message, replaced.as_deref())?;
    check_references(context, message)?;
    check_deadlines(context, message.deadlines.as_ref())?;
    let again = replaced.as_ref().map(|task| task.terms.offer);
    award::check(context, &intent, &offer, message, again)?;
    let document = context.schema(message.output_schema.as_ref(), "task_start.output_schema")?;
    let policies = award::check_policies(context, &intent, &offer, message)?;

    let mut intent = intent.as_ref().clone();
    intent.tasks.push_back(context.id);
    intent.live_tasks += 1;
    let standing = OfferStanding::Accepted(context.id);
    let task = Task { policies, ..assigned(context, message, &intent, &offer) };
    let mut puts: Vec<Put> = document.into_iter().collect();
    puts.push(Put::Intent(intent));
    puts.push(Put::Offer(Offer { standing, ..offer.as_ref().clone() }));
    puts.push(Put::Task(Box::new(task)));
    if let Some(replaced) = replaced {
        let replaced_by = Some(context.id);
        puts.push(Put::Task(Box::new(Task { replaced_by, ..replaced.as_ref().clone() })));
    }
    Ok(puts)
}

fn assigned(context: &Context<'_>, message: &TaskStart, intent: &Intent, offer: &Offer) -> Task {
    Task {
        id: context.id,
        initiator: context.envelope.author,
        intent_author: intent.author,
        executor: offer.provider,
        terms: Arc::new(message.clone()),
        policies: Vector::new(),
        trace_id: context.envelope.trace_id,
        state: TaskState::Assigned,
        percent: 0,
        accepted_at: None,
        running_at: None,
        heard_at: context.at,
        cancellation_by: None,
        ended: None,
        late: Vector::new(),
        replaced_by: None,
        position: context.position(),
        recorded_at: context.at,
    }
}

/// The intent's author, or a delegate who may do this.
pub(super) fn may_act(context: &Context<'_>, intent: &Intent, scope: DelegationScope) -> bool {
    let author = &context.envelope.author;
    context.is_author(&intent.author)
        || context
            .state
            .delegations(&intent.author, author)
            .any(|attestation| attest::covers(context, &attestation, intent, scope))
}

/// R18: a retry names an ended, unsuccessful task of the same intent and counts on.
fn replaced(context: &Context<'_>, message: &TaskStart) -> Result<Option<Arc<Task>>, Refusal> {
    let refuse = |object, field, found| Err(Refusal::new(Rule::TaskReplaces, object, field, found));
    let Some(id) = &message.replaces else {
        if message.attempt != 1 {
            let found = format!("is attempt {} of nothing that it replaces", message.attempt);
            return refuse(Object::Task(context.id), "task_start.attempt", found);
        }
        return Ok(None);
    };
    let task = context.task(id, "task_start.replaces")?;
    let object = Object::Task(task.id);
    let root = |intent: &EnvelopeId| context.state.intent(intent).map(|intent| intent.root);
    if root(&task.terms.intent) != root(&message.intent) {
        let found = format!("is of intent {}", task.terms.intent);
        return refuse(object, "task_start.replaces", found);
    }
    match task.ended {
        None => return refuse(object, "task_start.replaces", "has not ended".into()),
        Some(ended) if ended.outcome == Outcome::Succeeded => {
            return refuse(object, "task_start.replaces", "has succeeded".into());
        }
        Some(_) => {}
    }
    if let Some(by) = task.replaced_by {
        return refuse(object, "task_start.replaces", format!("is replaced by {by}"));
    }
    let next = task.terms.attempt.saturating_add(1);
    if message.attempt != next {
        let found = format!("was attempt {}, the next is {next}", task.terms.attempt);
        return refuse(object, "task_start.attempt", found);
    }
    Ok(Some(task))
}

/// R6, R12: a live offer of that intent; a retry may run on the offer of the task it replaces.
fn awarded(
    context: &Context<'_>,
    message: &TaskStart,
    replaced: Option<&Task>,
) -> Result<Arc<Offer>, Refusal> {
    const FIELD: &str = "task_start.offer";
    let offer = context.offer(&message.offer, FIELD)?;
    if offer.terms.intent != message.intent {
        let found = format!("is for intent {}", offer.terms.intent);
        return Err(Refusal::new(Rule::TaskOffer, Object::Offer(offer.id), FIELD, found));
    }
    let again = replaced.is_some_and(|task| offer.standing == OfferStanding::Accepted(task.id));
    if again {
        let still_live = Offer { standing: OfferStanding::Live, ..offer.as_ref().clone() };
        offer::live(context, &still_live, FIELD)?;
    } else {
        offer::live(context, &offer, FIELD)?;
    }
    let capability = context.capability(&offer.terms.capability, FIELD)?;
    if capability.standing == CapabilityStanding::Retired {
        let object = Object::Capability(capability.id);
        let found = capability.standing.found();
        return Err(Refusal::new(Rule::CapabilityInForce, object, FIELD, found));
    }
    Ok(offer)
}

fn check_references(context: &Context<'_>, message: &TaskStart) -> Result<(), Refusal> {
    for id in &message.depends_on {
        context.dependency(id, "task_start.depends_on")?;
    }
    context.policies(&message.policies, "task_start.policies")?;
    let candidates = message.evaluation.iter().flat_map(|evaluation| &evaluation.candidates);
    for candidate in candidates {
        const FIELD: &str = "task_start.evaluation.candidates.offer";
        let offer = context.offer(&candidate.offer, FIELD)?;
        if offer.terms.intent != message.intent {
            let found = format!("is for intent {}", offer.terms.intent);
            return Err(Refusal::new(Rule::TaskOffer, Object::Offer(offer.id), FIELD, found));
        }
    }
    Ok(())
}

fn check_deadlines(context: &Context<'_>, deadlines: Option<&Deadlines>) -> Result<(), Refusal> {
    let Some(deadlines) = deadlines else { return Ok(()) };
    let object = Object::Task(context.id);
    let named = [
        (deadlines.accept_by_us, "task_start.deadlines.accept_by_us"),
        (deadlines.start_by_us, "task_start.deadlines.start_by_us"),
        (deadlines.done_by_us, "task_start.deadlines.done_by_us"),
    ];
    let mut latest = Time(0);
    for (time, field) in named {
        context.future(time, object, field)?;
        let Some(time) = time else { continue };
        if time < latest {
            let found = format!("names {time} µs, before the deadline ahead of it");
            return Err(Refusal::new(Rule::DeadlineOrder, object, field, found));
        }
        latest = time;
    }
    Ok(())
}

// ------------------------------------------------------------------ TaskProgress

pub(super) fn progress(context: &Context<'_>, message: &TaskProgress) -> Verdict {
    const FIELD: &str = "task_progress.task";
    let task = context.task(&message.task, FIELD)?;
    by_executor(context, &task, FIELD)?;
    live(&task, FIELD)?;
    let (from, to) = (task.state, message.state);
    if !follows(from, to) {
        let found = format!("is {}, {} cannot follow", from.name(), to.name());
        let object = Object::Task(task.id);
        let field = "task_progress.state";
        return Err(Refusal::new(Rule::TaskTransition, object, field, found));
    }
    check_checks(to, &message.checks, Object::Task(task.id))?;
    if to == ProgressState::Running {
        award::still_allowed(context, &task, Moment::Continue, "task_progress.state")?;
    }
    if message.percent > 100 || message.percent < task.percent {
        let found = format!("is at {} %, the message says {} %", task.percent, message.percent);
        let object = Object::Task(task.id);
        return Err(Refusal::new(Rule::Percent, object, "task_progress.percent", found));
    }
    for id in &message.depends_on {
        context.dependency(id, "task_progress.depends_on")?;
    }
    let mut task = task.as_ref().clone();
    task.state = TaskState::Reported(to);
    task.percent = message.percent;
    task.heard_at = context.at;
    task.accepted_at.get_or_insert(context.at);
    if to == ProgressState::Running {
        task.running_at.get_or_insert(context.at);
    }
    Ok(vec![Put::Task(Box::new(task))])
}

/// R14: a task is accepted when all that was looked at is as it must be.
fn check_checks(to: ProgressState, checks: &[Check], object: Object) -> Result<(), Refusal> {
    let failed = checks.iter().find(|check| !check.passed);
    match failed.filter(|_| to == ProgressState::Accepted) {
        None => Ok(()),
        Some(check) => {
            let found = format!("failed the check of its {}: {}", check.kind.name(), check.reason);
            Err(Refusal::new(Rule::ChecksPassed, object, "task_progress.checks", found))
        }
    }
}

/// R18: assigned → accepted → running ⇄ blocked.
fn follows(from: TaskState, to: ProgressState) -> bool {
    match (from, to) {
        (TaskState::Assigned, to) => to == ProgressState::Accepted,
        (TaskState::Reported(_), to) => to != ProgressState::Accepted,
        (TaskState::Ended(_), _) => false,
    }
}

fn by_executor(context: &Context<'_>, task: &Task, field: &'static str) -> Result<(), Refusal> {
    if context.is_author(&task.executor) {
        return Ok(());
    }
    let found = format!("is executed by {}", task.executor);
    Err(Refusal::new(Rule::TaskExecutor, Object::Task(task.id), field, found))
}

/// R18: terminal states never reopen.
pub(super) fn live(task: &Task, field: &'static str) -> Result<(), Refusal> {
    match task.ended {
        None => Ok(()),
        Some(ended) => {
            let found = format!("{} at position {}", ended.outcome.name(), ended.position);
            Err(Refusal::new(Rule::TaskLive, Object::Task(task.id), field, found))
        }
    }
}

// ------------------------------------------------------------------ TaskDone

pub(super) fn done(context: &Context<'_>, message: &TaskDone) -> Verdict {
    const FIELD: &str = "task_done.task";
    let task = context.task(&message.task, FIELD)?;
    let object = Object::Task(task.id);
    if message.outcome == Outcome::Abandoned {
        let initiators = [task.initiator, task.intent_author];
        if !initiators.iter().any(|initiator| context.is_author(initiator)) {
            let found = format!("was started by {}", task.initiator);
            return Err(Refusal::new(Rule::AbandonInitiator, object, FIELD, found));
        }
    } else {
        by_executor(context, &task, FIELD)?;
    }
    check_times(context, message)?;
    let policies = message.policy_results.iter().map(|result| result.policy.update);
    for update in policies {
        super::known(context.state, &update, "task_done.policy_results.policy")?;
    }
    if task.is_live() {
        check_outcome(context, &task, message.outcome)?;
        if message.outcome == Outcome::Succeeded {
            award::check_outputs(context, &task, message)?;
            let moment = Moment::Complete(message);
            award::still_allowed(context, &task, moment, "task_done.outcome")?;
        }
        ended(context, &task, message)
    } else {
        late(context, &task, message.outcome)
    }
}

fn check_times(context: &Context<'_>, message: &TaskDone) -> Result<(), Refusal> {
    if let (Some(started), Some(ended)) = (message.started_at_us, message.ended_at_us)
        && ended < started
    {
        let found = format!("ended at {ended} µs, before it started at {started} µs");
        let object = Object::Task(message.task);
        return Err(Refusal::new(Rule::Consistent, object, "task_done.ended_at_us", found));
    }
    if message.started_at_us.is_some_and(|started| started > context.at) {
        let found = "started after the ledger's present time";
        let object = Object::Task(message.task);
        return Err(Refusal::new(Rule::Consistent, object, "task_done.started_at_us", found));
    }
    Ok(())
}

/// R18: which outcome may end a task in which state.
fn check_outcome(context: &Context<'_>, task: &Task, outcome: Outcome) -> Result<(), Refusal> {
    const FIELD: &str = "task_done.outcome";
    let object = Object::Task(task.id);
    let possible = match outcome {
        Outcome::Rejected => task.state == TaskState::Assigned,
        Outcome::Succeeded => task.running_at.is_some(),
        Outcome::Failed | Outcome::Violated => task.accepted_at.is_some(),
        Outcome::Cancelled => {
            if task.cancellation_by.is_none() {
                let found = "has no request for cancellation";
                return Err(Refusal::new(Rule::CancelRequested, object, FIELD, found));
            }
            true
        }
        Outcome::Abandoned => {
            if task.overdue(context.at).is_empty() {
                let found = format!("is not overdue at {} µs", context.at);
                return Err(Refusal::new(Rule::AbandonOverdue, object, FIELD, found));
            }
            true
        }
    };
    if possible {
        return Ok(());
    }
    let found = format!("is {}, {} cannot follow", task.state.name(), outcome.name());
    Err(Refusal::new(Rule::TaskTransition, object, FIELD, found))
}

fn ended(context: &Context<'_>, task: &Task, message: &TaskDone) -> Verdict {
    let outcome = message.outcome;
    let intent = context.intent(&task.terms.intent, "task_done.task")?;
    let mut intent = intent.as_ref().clone();
    intent.live_tasks -= 1;
    intent.succeeded_tasks += u32::from(outcome == Outcome::Succeeded);
    let covered = award::all_covered(context, &intent, task, outcome);
    let idle = intent.live_tasks == 0 && intent.succeeded_tasks > 0;
    if intent.standing == IntentStanding::Open && idle && covered {
        intent.standing = IntentStanding::Fulfilled;
    }
    let receipt = context.id;
    let (position, recorded_at) = (context.position(), context.at);
    let task = Task {
        state: TaskState::Ended(outcome),
        percent: if outcome == Outcome::Succeeded { 100 } else { task.percent },
        heard_at: context.at,
        ended: Some(Ended { receipt, outcome, position, recorded_at }),
        ..task.clone()
    };
    let record = record(context, &task, outcome);
    let findings = findings(context, &task, message)?;
    let puts = [Put::Intent(intent), Put::Task(Box::new(task))].into_iter();
    Ok(puts.chain(record).chain(findings.into_iter().map(Put::Finding)).collect())
}

/// What the receipt shows against the executor, by what was offered.
fn findings(
    context: &Context<'_>,
    task: &Task,
    message: &TaskDone,
) -> Result<Vec<Finding>, Refusal> {
    let offer = context.offer(&task.terms.offer, "task_done.task")?;
    let capability = context.capability(&offer.terms.capability, "task_done.task")?;
    let resources = capability.terms.resources.iter().chain(&offer.terms.resources);
    let resources: Vec<_> = resources.cloned().collect();
    let event = (context.id, context.position());
    Ok(finding::in_receipt(event, task, (&offer, &resources), message))
}

/// R15: what the outcome says about the executor; a cancellation by agreement says nothing.
fn record(context: &Context<'_>, task: &Task, outcome: Outcome) -> Option<Put> {
    let mut record = context.state.record(&task.executor);
    match outcome {
        Outcome::Succeeded => record.succeeded += 1,
        Outcome::Failed | Outcome::Rejected | Outcome::Violated | Outcome::Abandoned => {
            record.failed += 1;
        }
        Outcome::Cancelled => return None,
    }
    Some(Put::Record(task.executor, record))
}

/// R18: the first terminal event in log order wins; later ones are kept and flagged.
fn late(context: &Context<'_>, task: &Task, outcome: Outcome) -> Verdict {
    let author = context.envelope.author;
    let winner = task.ended.expect("only ended tasks have late outcomes");
    if task.late.iter().any(|late| context.is_author(&late.author)) {
        let found = format!("{} at position {}", winner.outcome.name(), winner.position);
        let object = Object::Task(task.id);
        return Err(Refusal::new(Rule::LateTerminal, object, "task_done.task", found));
    }
    let (receipt, position) = (context.id, context.position());
    let finding = Finding {
        kind: match outcome == winner.outcome {
            true => FindingKind::LateOutcome,
            false => FindingKind::ConflictingOutcome,
        },
        agent: author,
        object: Object::Task(task.id),
        event: receipt,
        position,
        found: format!(
            "says {}, the task {} at position {}",
            outcome.name(),
            winner.outcome.name(),
            winner.position
        ),
    };
    let mut task = task.clone();
    task.late.push_back(LateTerminal { receipt, author, outcome, position });
    Ok(vec![Put::Task(Box::new(task)), Put::Finding(finding)])
}
