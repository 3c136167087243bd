//! One task of a provider, from the award to the receipt (R14, R18 to R21).

use std::sync::Arc;
use std::time::Duration;

use tally_coordination::schema::{Fit, fit};
use tally_coordination::{Rule, State, Task, TaskState, compliance};
use tally_protocol::message::{
    Check, CheckKind, Outcome, ProgressState, TaskDone, TaskProgress, TaskStart,
};
use tally_protocol::parts::{DataRef, Document};
use tally_protocol::{EnvelopeId, Message, Time};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::agent::{Agent, context, micros, refused_by, settled, text};
use super::work::{Delivery, Failure, Job, Worker};
use crate::error::Error;
use crate::receipt::Receipt;

/// So many reports fit into the longest silence that the initiator bears.
const BEATS: u64 = 3;

/// Shortest time between two reports.
const MIN_BEAT: Duration = Duration::from_millis(5);

pub(super) struct Execution<W> {
    agent: Arc<Agent>,
    worker: Arc<W>,
    task: EnvelopeId,
}

/// How the work ended.
enum End {
    Delivered(Delivery),
    Failed(String),
    Violated(String),
    /// Somebody asked for it.
    Cancelled,
    /// The task has ended without the executor.
    Gone,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Failed(why) => Self::Failed(why),
            Failure::Violated(why) => Self::Violated(why),
        }
    }
}

impl<W: Worker> Execution<W> {
    pub(super) fn new(agent: Arc<Agent>, worker: Arc<W>, task: EnvelopeId) -> Self {
        Self { agent, worker, task }
    }

    /// Brings the task to an end.
    ///
    /// # Errors
    /// What ends the provider; a refusal does not.
    pub(super) async fn run(self) -> Result<(), Error> {
        if let Err(rejection) = settled(self.attempt().await)? {
            tracing::warn!(task = %self.task, %rejection, "the ledger refused what the task needs");
        }
        Ok(())
    }

    async fn attempt(&self) -> Result<(), Error> {
        let (state, now) = self.agent.look();
        let Some(job) = Job::find(&state, &self.task) else { return Ok(()) };
        let inputs: Vec<DataRef> = job.inputs().iter().map(reference).collect();
        if job.task.cancellation_by.is_some() {
            return self.finish(End::Cancelled, None, inputs).await;
        }
        if job.task.state == TaskState::Assigned && !self.accept(&state, &job, now).await? {
            return Ok(());
        }
        let running = self.progress(ProgressState::Running, job.task.percent, Vec::new()).await;
        let began = match settled(running)? {
            Ok(receipt) => job.task.running_at.unwrap_or(receipt.recorded_at()),
            Err(denied) if refused_by(&denied, Rule::PolicyAllows) => {
                return self.finish(End::Violated(denied.message), None, inputs).await;
            }
            Err(refused) => return Err(refused.into()),
        };
        let end = self.work(job).await?;
        self.finish(end, Some(began), inputs).await
    }

    /// R14: looks before it accepts; rejects when a check fails. Whether it accepted.
    async fn accept(&self, state: &State, job: &Job, now: Time) -> Result<bool, Error> {
        let checks = checks(state, job, &*self.worker, now);
        let Some(failed) = checks.iter().find(|check| !check.passed) else {
            self.progress(ProgressState::Accepted, 0, checks).await?;
            return Ok(true);
        };
        let reason = text(&format!("{}: {}", failed.kind.name(), failed.reason));
        let done = TaskDone { reason, checks, ..TaskDone::new(self.task, Outcome::Rejected) };
        self.say(Message::TaskDone(done)).await?;
        Ok(false)
    }

    /// Works, and says so as long as it takes.
    async fn work(&self, job: Job) -> Result<End, Error> {
        let (start, progress) = (Arc::clone(&job.task.terms), job.progress());
        let worker = Arc::clone(&self.worker);
        // Dropped with this future, and apart from it: what panics there ends the task alone.
        let mut work = JoinSet::new();
        work.spawn(async move { worker.work(job).await });
        tokio::select! {
            worked = work.join_next() => Ok(match worked.expect("one was spawned") {
                Ok(Ok(delivery)) => End::Delivered(delivery),
                Ok(Err(failure)) => failure.into(),
                Err(panic) => End::Failed(format!("the work broke down: {panic}")),
            }),
            end = self.interrupted() => end,
            end = self.report(&start, progress) => end,
        }
    }

    /// Waits until the work is no longer wanted.
    async fn interrupted(&self) -> Result<End, Error> {
        let end = |task: &Task| match (task.ended, task.cancellation_by) {
            (Some(_), _) => Some(End::Gone),
            (None, Some(_)) => Some(End::Cancelled),
            (None, None) => None,
        };
        self.agent
            .observer()
            .until(|state| state.task(&self.task).and_then(|task| end(&task)))
            .await
    }

    /// Reports progress and, when there is none, that the work goes on; until it may not.
    async fn report(
        &self,
        start: &TaskStart,
        mut progress: watch::Receiver<u32>,
    ) -> Result<End, Error> {
        let wanted = start.monitoring.as_ref().map_or(0, |monitoring| monitoring.report_every_us);
        let silence = start.deadlines.as_ref().map_or(0, |deadlines| deadlines.heartbeat_us);
        let beat = (silence > 0).then(|| Duration::from_micros(silence / BEATS).max(MIN_BEAT));
        let longest = beat.map_or(u64::MAX, micros);
        let pause = Duration::from_micros(wanted.min(longest)).max(MIN_BEAT);
        loop {
            tokio::time::sleep(pause).await;
            tokio::select! {
                changed = progress.changed() => if changed.is_err() {
                    // The work has let go of its job; it goes on all the same.
                    sleep_for(beat).await;
                },
                () = sleep_for(beat.map(|beat| beat.saturating_sub(pause))) => {}
            }
            let percent = *progress.borrow_and_update();
            let said = self.progress(ProgressState::Running, percent, Vec::new()).await;
            match settled(said)? {
                Err(denied) if refused_by(&denied, Rule::PolicyAllows) => {
                    return Ok(End::Violated(denied.message));
                }
                Err(refused) => tracing::debug!(task = %self.task, %refused, "no report"),
                Ok(_) => {}
            }
        }
    }

    /// The receipt.
    async fn finish(
        &self,
        end: End,
        began: Option<Time>,
        inputs: Vec<DataRef>,
    ) -> Result<(), Error> {
        let (state, now) = self.agent.look();
        if state.task(&self.task).is_none_or(|task| !task.is_live()) {
            return Ok(());
        }
        let receipt = |outcome, why: &str| TaskDone {
            started_at_us: began,
            ended_at_us: began.map(|began| now.max(began)),
            inputs: inputs.clone(),
            reason: text(why),
            ..TaskDone::new(self.task, outcome)
        };
        let done = match end {
            End::Gone => return Ok(()),
            End::Failed(why) => receipt(Outcome::Failed, &why),
            End::Violated(why) => receipt(Outcome::Violated, &why),
            End::Cancelled => receipt(Outcome::Cancelled, ""),
            End::Delivered(Delivery { outputs, usage }) => {
                let done = TaskDone { outputs, usage, ..receipt(Outcome::Succeeded, "") };
                // Where it can't be called a success, the ledger says why.
                let (outcome, why) = match self.say(Message::TaskDone(done)).await {
                    Ok(_) => return Ok(()),
                    Err(Error::Rejected(denied)) if refused_by(&denied, Rule::PolicyAllows) => {
                        (Outcome::Violated, denied.message)
                    }
                    Err(Error::Rejected(refused)) => (Outcome::Failed, refused.message),
                    Err(Error::Malformed(fault)) => {
                        (Outcome::Failed, format!("the receipt can't be said: {fault}"))
                    }
                    Err(error) => return Err(error),
                };
                receipt(outcome, &why)
            }
        };
        self.say(Message::TaskDone(done)).await.map(drop)
    }

    async fn progress(
        &self,
        state: ProgressState,
        percent: u32,
        checks: Vec<Check>,
    ) -> Result<Receipt, Error> {
        let progress = TaskProgress { percent, checks, ..TaskProgress::new(self.task, state) };
        self.say(Message::TaskProgress(progress)).await
    }

    async fn say(&self, message: Message) -> Result<Receipt, Error> {
        let (state, _) = self.agent.look();
        let trace_id = state.task(&self.task).and_then(|task| task.trace_id);
        self.agent.say(message, context(trace_id, self.task)).await
    }
}

/// What an executor looks at before it takes a task on.
fn checks(state: &State, job: &Job, worker: &impl Worker, now: Time) -> Vec<Check> {
    let (asked, given) = (&job.intent.terms, &job.capability.terms);
    let output = job.task.terms.output_schema.as_ref().or(asked.output_schema.as_ref());
    let fits = [
        fit(state, asked.input_schema.as_ref(), given.input_schema.as_ref()),
        fit(state, given.output_schema.as_ref(), output),
    ];
    let misfit = fits.into_iter().find_map(|fit| match fit {
        Fit::Misfits(why) => Some(why.found),
        Fit::Fits | Fit::Unknown(_) => None,
    });
    let allowed = compliance::judge_running(state, &job.task, now);
    [
        (CheckKind::Schema, misfit.map_or(Ok(()), Err)),
        (CheckKind::Policy, allowed.map_err(|why| why.join("; "))),
        (CheckKind::Resources, worker.resources(job)),
        (CheckKind::Inputs, worker.inputs(job)),
    ]
    .map(|(kind, looked)| {
        let reason = looked.as_ref().err().map(|why| text(why)).unwrap_or_default();
        Check { passed: looked.is_ok(), reason, ..Check::new(kind) }
    })
    .into()
}

/// The data by reference only: it stands in the intent.
fn reference(data: &DataRef) -> DataRef {
    DataRef { inline: Document::default(), ..data.clone() }
}

async fn sleep_for(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
