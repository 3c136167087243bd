//! The initiator: brings goals to an end.

use std::sync::Arc;
use std::time::Duration;

use tally_coordination::auction::{self, Phase};
use tally_coordination::{Intent, IntentStanding, Offer, OfferStanding, State, Task, compliance};
use tally_protocol::limits::MAX_CAUSES;
use tally_protocol::message::{
    Decline, Intent as IntentMessage, IntentCancellation, IntentTerms, Negotiate, Outcome,
    TaskDone, TaskStart,
};
use tally_protocol::parts::DataRef;
use tally_protocol::{EnvelopeId, Message, Time};

use super::agent::{Agent, context, micros, settled, text};
use super::award::{Awarder, Competitive, uncovered};
use super::goal::{Achieved, Goal, GoalError};
use crate::author::{Author, Context};
use crate::error::{Error, Rejection};
use crate::observer::Observer;

/// Refusals in a row after which an initiator gives up: each time something else came first.
const MAX_REFUSALS: u32 = 8;

/// First pause after a refusal; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Most offers whose comparison fits into an award; of more, none is recorded.
const MAX_CANDIDATES: usize = 128;

/// Publishes goals, awards offers, and watches the tasks. It pursues as many goals at once as there
/// are calls: `tokio::join!(initiator.pursue(&one), initiator.pursue(&other))`.
pub struct Initiator<A = Competitive> {
    agent: Agent,
    awarder: A,
}

/// What is to be done for an intent now.
enum Step {
    Achieved,
    /// A deadline of this task has passed.
    Abandon(EnvelopeId),
    Award(Vec<EnvelopeId>),
    GiveUp,
    /// Until there are events, or until the ledger's time is past this.
    Wait(Option<Time>),
}

impl Initiator {
    /// An initiator that signs as `author`, sees by `observer`, and awards the best offer.
    pub fn new(author: impl Into<Arc<Author>>, observer: Observer) -> Self {
        Self::with(author, observer, Competitive)
    }
}

impl<A: Awarder> Initiator<A> {
    /// An initiator that awards by a strategy.
    pub fn with(author: impl Into<Arc<Author>>, observer: Observer, awarder: A) -> Self {
        Self { agent: Agent::new(author.into(), observer), awarder }
    }

    /// Publishes a goal and brings it to an end. Dropping the future leaves the intent and its tasks
    /// as they are: [`Initiator::resume`] goes on with them.
    ///
    /// # Errors
    /// [`GoalError`]; where the goal was given up, its intent is cancelled.
    pub async fn pursue(&self, goal: &Goal) -> Result<Achieved, GoalError> {
        let mut terms: IntentTerms = goal.terms.clone();
        self.awarder.shape(&mut terms);
        let causes = goal.depends_on.iter().take(MAX_CAUSES).copied().collect();
        let context = Context { trace_id: goal.trace_id, causes };
        let said = self.agent.say(Message::Intent(IntentMessage::Open(terms)), context).await?;
        self.resume(goal, said.event().signed().id()).await
    }

    /// Brings the goal of an intent to an end that was published before, by this initiator or by
    /// an earlier run of it: the log says how far it got.
    ///
    /// # Errors
    /// As [`Initiator::pursue`].
    pub async fn resume(&self, goal: &Goal, intent: EnvelopeId) -> Result<Achieved, GoalError> {
        self.agent.catch_up().await?;
        let mut refusals = 0;
        loop {
            let (state, now) = self.agent.look();
            let Some(found) = state.intent(&intent) else {
                return Err(GoalError::Closed { intent, standing: None });
            };
            let acted = match self.next_step(&state, &found, goal, now) {
                Step::Achieved => return self.achieved(&state, &found).await,
                Step::GiveUp => return Err(self.give_up(&state, &found).await?),
                Step::Wait(until) => {
                    tokio::select! {
                        news = self.agent.news(&state) => news?,
                        () = self.agent.passes(until) => {}
                    }
                    continue;
                }
                Step::Abandon(task) => self.abandon(&found, task).await?,
                Step::Award(offers) => self.award(&offers, goal, intent).await?,
            };
            match acted {
                Ok(()) => refusals = 0,
                Err(refused) if refusals == MAX_REFUSALS => return Err(Error::from(refused).into()),
                Err(refused) => {
                    tracing::debug!(%intent, %refused, "looking again");
                    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(refusals)).await;
                    refusals += 1;
                    self.agent.catch_up().await?;
                }
            }
        }
    }

    /// Pursues goals one after the other: the outputs of each are inputs of the next, which is
    /// looked for anew (R22).
    ///
    /// # Errors
    /// [`GoalError`] of the first goal that is not reached.
    pub async fn chain(
        &self,
        goals: impl IntoIterator<Item = Goal>,
    ) -> Result<Vec<Achieved>, GoalError> {
        let mut all: Vec<Achieved> = Vec::new();
        for mut goal in goals {
            if let Some(before) = all.last() {
                goal.terms.inputs.extend(before.outputs.iter().cloned());
                goal.depends_on.extend(before.tasks.iter().map(|task| task.id));
            }
            all.push(self.pursue(&goal).await?);
        }
        Ok(all)
    }

    // -------------------------------------------------------------- deciding

    /// What is due, by the log alone.
    fn next_step(&self, state: &State, intent: &Intent, goal: &Goal, now: Time) -> Step {
        match intent.standing {
            IntentStanding::Open => {}
            IntentStanding::Fulfilled => return Step::Achieved,
            IntentStanding::Superseded(_) | IntentStanding::Cancelled => return Step::GiveUp,
        }
        let live: Vec<Arc<Task>> = tasks(state, intent).filter(|task| task.is_live()).collect();
        if let Some(task) = live.iter().find(|task| !task.overdue(now).is_empty()) {
            return Step::Abandon(task.id);
        }
        let next = match self.is_wanting(state, intent) {
            true => self.next_award(state, intent, goal, now),
            false => Step::Wait(None),
        };
        let due = live.iter().filter_map(|task| task.due()).min();
        match next {
            Step::Wait(until) => Step::Wait(until.into_iter().chain(due).min()),
            // What is under way may end well.
            Step::GiveUp if !live.is_empty() => Step::Wait(due),
            next => next,
        }
    }

    /// Whether more is to be awarded.
    fn is_wanting(&self, state: &State, intent: &Intent) -> bool {
        match intent.terms.parts.is_empty() {
            true => intent.live_tasks + intent.succeeded_tasks < intent.terms.max_awards.max(1),
            false => !uncovered(state, intent).is_empty(),
        }
    }

    fn next_award(&self, state: &State, intent: &Intent, goal: &Goal, now: Time) -> Step {
        let over = intent.terms.deadline_us.is_some_and(|deadline| deadline < now);
        let failed = failed(state, intent, None);
        if over || failed.is_some_and(|task| task.terms.attempt >= goal.attempts) {
            return Step::GiveUp;
        }
        if let Some((mechanism, auction)) = auction::auction(&intent.terms) {
            let end = auction.reveal_until_us.unwrap_or(auction.bids_until_us);
            return match auction::phase(mechanism, auction, now) {
                Phase::Bidding | Phase::Revealing => Step::Wait(Some(end)),
                Phase::Closed => auction::result(state, intent, None)
                    .map_or(Step::GiveUp, |result| Step::Award(vec![result.offer])),
            };
        }
        let ends = tasks(state, intent).filter_map(|task| Some(task.ended?.recorded_at));
        let since = ends.fold(intent.recorded_at, Time::max);
        let until = since.plus_us(micros(goal.wait));
        let offers = intent.offers.iter().filter_map(|id| state.offer(id));
        let made = offers.filter(|offer| !matches!(offer.standing, OfferStanding::Replaced(_)));
        if intent.tasks.is_empty() && made.count() < goal.offers && now <= until {
            return Step::Wait(Some(until));
        }
        let evaluation = self.awarder.evaluate(state, intent, None, now);
        match self.awarder.choose(state, intent, &evaluation) {
            chosen if !chosen.is_empty() => Step::Award(chosen),
            _ if now <= until => Step::Wait(Some(until)),
            _ => Step::GiveUp,
        }
    }

    // -------------------------------------------------------------- acting

    /// Awards offers one by one, up to the first that the ledger refuses.
    async fn award(
        &self,
        offers: &[EnvelopeId],
        goal: &Goal,
        intent: EnvelopeId,
    ) -> Result<Result<(), Rejection>, GoalError> {
        for id in offers {
            let (state, now) = self.agent.look();
            let (Some(intent), Some(offer)) = (state.intent(&intent), state.offer(id)) else {
                break;
            };
            let mut start = self.start(&state, &intent, &offer, goal, now);
            let said = match compliance::judge_start(&state, &start, &self.agent.id(), now) {
                Ok(policy_set) => {
                    start.policy_set = policy_set;
                    let message = Message::TaskStart(Box::new(start));
                    self.agent.say(message, context(intent.trace_id, *id)).await
                }
                Err(why) if auction::auction(&intent.terms).is_some() => {
                    return Err(GoalError::Denied { offer: *id, why: why.join("; ") });
                }
                // Out of the field, on the record: else the ledger would ask why it did not win.
                Err(why) => {
                    let reason = text(&why.join("; "));
                    let decline = Decline { reason, ..Decline::new(*id) };
                    let message = Message::Negotiate(Negotiate::Decline(decline));
                    self.agent.say(message, context(intent.trace_id, *id)).await
                }
            };
            if let Err(refused) = settled(said)? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(()))
    }

    fn start(
        &self,
        state: &State,
        intent: &Intent,
        offer: &Offer,
        goal: &Goal,
        now: Time,
    ) -> TaskStart {
        let replaced = failed(state, intent, Some(offer));
        let again = replaced.as_ref().map(|task| task.terms.offer);
        let evaluation = self.awarder.evaluate(state, intent, again, now);
        let recorded = evaluation.candidates.len() <= MAX_CANDIDATES;
        let won = auction::result(state, intent, None).map(|result| result.price);
        TaskStart {
            depends_on: goal.depends_on.clone(),
            output_schema: intent.terms.output_schema.clone(),
            replaces: replaced.as_ref().map(|task| task.id),
            deadlines: goal.patience.deadlines(now),
            evaluation: recorded.then_some(evaluation),
            price: won.or_else(|| offer.price().cloned()),
            ..TaskStart::new(
                intent.id,
                offer.id,
                replaced.map_or(1, |task| task.terms.attempt.saturating_add(1)),
            )
        }
    }

    async fn abandon(
        &self,
        intent: &Intent,
        task: EnvelopeId,
    ) -> Result<Result<(), Rejection>, Error> {
        let reason = text("a deadline has passed");
        let done = TaskDone { reason, ..TaskDone::new(task, Outcome::Abandoned) };
        let said = self.agent.say(Message::TaskDone(done), context(intent.trace_id, task)).await;
        Ok(settled(said)?.map(drop))
    }

    /// Ends the intent, so that nobody goes on offering, and says why.
    async fn give_up(&self, state: &State, intent: &Intent) -> Result<GoalError, Error> {
        let id = intent.id;
        if !intent.is_open() {
            return Ok(GoalError::Closed { intent: id, standing: Some(intent.standing) });
        }
        let cancel = Message::Intent(IntentMessage::Cancel(IntentCancellation::new(id)));
        if let Err(refused) = settled(self.agent.say(cancel, context(intent.trace_id, id)).await)? {
            tracing::warn!(intent = %id, %refused, "the intent stays open");
        }
        let Some(task) = failed(state, intent, None) else {
            return Ok(GoalError::NoOffer { intent: id });
        };
        let done = self.receipt(&task).await?;
        Ok(GoalError::Failed {
            intent: id,
            attempt: task.terms.attempt,
            outcome: done.outcome,
            reason: done.reason.to_string(),
        })
    }

    async fn achieved(&self, state: &State, intent: &Intent) -> Result<Achieved, GoalError> {
        let succeeded =
            |task: &Arc<Task>| task.ended.is_some_and(|end| end.outcome == Outcome::Succeeded);
        let tasks = tasks(state, intent).filter(succeeded).map(Arc::unwrap_or_clone);
        let tasks: Vec<Task> = tasks.collect();
        let mut outputs: Vec<DataRef> = Vec::new();
        for task in &tasks {
            outputs.extend(self.receipt(task).await?.outputs);
        }
        Ok(Achieved { intent: intent.id, tasks, outputs })
    }

    /// The receipt of a task that has ended, proved to be in the log.
    async fn receipt(&self, task: &Task) -> Result<TaskDone, Error> {
        let ended = task.ended.expect("only of tasks that have ended");
        let receipt = self.agent.author().client().receipt_of(&ended.receipt).await?;
        let position = receipt.position();
        let broken = |found: String| Error::BrokenRule { position, found };
        let parsed = receipt.event().signed().parse().map_err(|error| broken(error.to_string()))?;
        match &parsed.envelope().message {
            Message::TaskDone(done) if parsed.id() == ended.receipt => Ok(done.clone()),
            _ => Err(broken(format!("it is not the receipt {}", ended.receipt))),
        }
    }
}

fn tasks<'s>(state: &'s State, intent: &'s Intent) -> impl Iterator<Item = Arc<Task>> {
    intent.tasks.iter().filter_map(|id| state.task(id))
}

/// The last task that ended without success and was not tried again; of an intent in parts, one
/// whose parts the next offer covers.
fn failed(state: &State, intent: &Intent, next: Option<&Offer>) -> Option<Arc<Task>> {
    let ended = tasks(state, intent).filter(|task| {
        let failed = task.ended.is_some_and(|ended| ended.outcome != Outcome::Succeeded);
        failed && task.replaced_by.is_none()
    });
    let shares = |task: &Arc<Task>| {
        let (Some(next), Some(before)) = (next, state.offer(&task.terms.offer)) else {
            return true;
        };
        let covers = &next.terms.covers;
        covers.is_empty() || before.terms.covers.iter().any(|part| covers.contains(part))
    };
    ended.filter(shares).last()
}
