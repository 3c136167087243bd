//! What to do.

use std::sync::Arc;

use tally_coordination::{Capability, Intent, Offer, State, Task};
use tally_protocol::parts::{DataRef, Document, Measure, Name, Uri};
use tally_protocol::{Digest, EnvelopeId, Fault};
use tokio::sync::watch;

/// A task that was awarded, with all that it is about.
#[derive(Debug)]
pub struct Job {
    /// The task, as it stood when the job began.
    pub task: Arc<Task>,
    /// The intent.
    pub intent: Arc<Intent>,
    /// The offer that was accepted.
    pub offer: Arc<Offer>,
    /// The capability that was offered.
    pub capability: Arc<Capability>,
    percent: watch::Sender<u32>,
}

impl Job {
    pub(super) fn find(state: &State, task: &EnvelopeId) -> Option<Self> {
        let task = state.task(task)?;
        let offer = state.offer(&task.terms.offer)?;
        let capability = state.capability(&offer.terms.capability)?;
        let intent = state.intent(&task.terms.intent)?;
        let percent = watch::Sender::new(task.percent);
        Some(Self { task, intent, offer, capability, percent })
    }

    /// What to work on.
    pub fn inputs(&self) -> &[DataRef] {
        &self.intent.terms.inputs
    }

    /// Says how far the work is, 0 to 100; it is reported as often as the initiator wants to hear.
    pub fn report(&self, percent: u32) {
        self.percent.send_if_modified(|known| {
            let further = percent.min(100) > *known;
            *known = percent.min(100).max(*known);
            further
        });
    }

    /// Small output of this task, kept in the log itself.
    ///
    /// # Errors
    /// [`Fault`] when the name or the text is too long.
    pub fn output(&self, name: &str, media_type: Name, text: &str) -> Result<DataRef, Fault> {
        let uri = Uri::new(format!("task:{}/{name}", self.task.id))?;
        Ok(DataRef {
            size: text.len() as u64,
            media_type: Some(media_type),
            inline: Document::new(text)?,
            ..DataRef::new(uri, Digest::of(text.as_bytes()))
        })
    }

    pub(super) fn progress(&self) -> watch::Receiver<u32> {
        self.percent.subscribe()
    }
}

/// What came of the work.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// What was made.
    pub outputs: Vec<DataRef>,
    /// What it took.
    pub usage: Vec<Measure>,
}

/// Why nothing came of it; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It did not work.
    Failed(String),
    /// Going on would have violated a policy (R21).
    Violated(String),
}

/// Does what a provider offers. A closure `|job| async { … }` is one; it takes inputs that the log
/// carries.
pub trait Worker: Send + Sync + 'static {
    /// Does the work. It is dropped when the task is cancelled, given up by its initiator, or no
    /// longer allowed; after a restart of the provider it begins anew.
    fn work(&self, job: Job) -> impl Future<Output = Result<Delivery, Failure>> + Send;

    /// R14: whether the resources for it are there now.
    ///
    /// # Errors
    /// What is lacking, for people.
    fn resources(&self, job: &Job) -> Result<(), String> {
        let _ = job;
        Ok(())
    }

    /// R14: whether the inputs can be had. Unless a worker knows better, those that the log carries.
    ///
    /// # Errors
    /// What can't be had, for people.
    fn inputs(&self, job: &Job) -> Result<(), String> {
        let absent = job.inputs().iter().find(|input| input.inline.as_str().is_empty());
        absent.map_or(Ok(()), |input| Err(format!("{} is not at hand", input.uri)))
    }
}

impl<F, R> Worker for F
where
    F: Fn(Job) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Delivery, Failure>> + Send,
{
    fn work(&self, job: Job) -> impl Future<Output = Result<Delivery, Failure>> + Send {
        self(job)
    }
}
