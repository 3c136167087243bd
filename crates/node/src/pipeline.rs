//! The way of an event: verify in batches, decide, commit, answer.
//!
//! ```text
//! intake (bounded) ─▶ verify ×cores ─▶ sequencer ─▶ committer ─▶ announce, answer
//!                     tickets keep      pure plan    one write,
//!                     the order                      one fdatasync
//! ```
//!
//! While a group is being committed, the next one is verified and planned. Nothing is visible or
//! answered before it is durable. A full disk refuses what finds no room; any other commit that
//! fails stops the pipeline, and the way back is to open the ledger again.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tally_protocol::{BadSignature, Event, ParsedEnvelope, Position, VerifiedEnvelope, signature};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::clock::Clock;
use crate::metrics::{self, CommitWatch};
use crate::node::{AppendError, Snapshot};
use crate::plan::Verdict;
use crate::sequencer::{CommitError, Committer, Planned, Sequencer};

/// Most envelopes in one group commit.
pub const MAX_GROUP_EVENTS: usize = 4_096;

/// Planned groups that wait for the one being committed.
const PLANNED_GROUPS: usize = 1;

/// An envelope on its way, with whoever waits for it. Dropping the permit frees its place in the
/// bounded intake.
pub(crate) struct Pending {
    pub(crate) envelope: ParsedEnvelope,
    pub(crate) waiter: Waiter,
}

/// Where an answer goes.
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Result<Placed, AppendError>>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A durable place in the log.
#[derive(Debug, Clone)]
pub(crate) enum Placed {
    /// New.
    Committed(Event),
    /// From before.
    Duplicate(Position),
}

type Checked = Vec<(Result<VerifiedEnvelope, BadSignature>, Waiter)>;

/// The threads of the pipeline. They end when the intake is closed and everything in it is done.
pub(crate) struct Pipeline {
    threads: Vec<JoinHandle<()>>,
}

pub(crate) struct Parts {
    pub(crate) sequencer: Sequencer,
    pub(crate) committer: Committer,
    pub(crate) watch: Arc<CommitWatch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) announce: watch::Sender<Arc<Snapshot>>,
    pub(crate) stopped: watch::Sender<Option<String>>,
}

impl Pipeline {
    pub(crate) fn start(intake: Receiver<Pending>, parts: Parts) -> Self {
        let Parts { sequencer, committer, watch, clock, announce, stopped } = parts;
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (checked_to, checked) = sync_channel(2 * workers);
        let (planned_to, planned) = sync_channel(PLANNED_GROUPS);
        let intake = Arc::new(Mutex::new(Intake { receiver: intake, next_ticket: 0 }));
        let mut threads: Vec<_> = (0..workers)
            .map(|i| {
                let (intake, to) = (intake.clone(), checked_to.clone());
                spawn(&format!("verify-{i}"), move || verify(&intake, &to))
            })
            .collect();
        drop(checked_to);
        threads.push(spawn("sequencer", move || {
            sequence(sequencer, &*clock, checked, &planned_to);
        }));
        let commits = Commits { committer, watch, announce, stopped };
        threads.push(spawn("committer", move || commits.run(planned)));
        Self { threads }
    }

    /// Waits until everything that was taken in is done.
    pub(crate) fn join(self) {
        for thread in self.threads {
            thread.join().expect("a pipeline thread panics only on a broken invariant");
        }
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .expect("the operating system gives a thread")
}

// ------------------------------------------------------------------ verify

struct Intake {
    receiver: Receiver<Pending>,
    next_ticket: u64,
}

impl Intake {
    /// Whatever is there, up to a batch: small when idle, large under load. The ticket keeps the
    /// order in which envelopes came in, on which authors with several in flight rely.
    fn take(&mut self) -> Option<(u64, Vec<Pending>)> {
        let first = self.receiver.recv().ok()?;
        let mut batch = vec![first];
        while batch.len() < signature::MAX_BATCH {
            let Ok(pending) = self.receiver.try_recv() else { break };
            batch.push(pending);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        Some((ticket, batch))
    }
}

fn verify(intake: &Mutex<Intake>, to: &SyncSender<(u64, Checked)>) {
    loop {
        let taken = intake.lock().expect("no thread panics while it takes a batch").take();
        let Some((ticket, batch)) = taken else { return };
        let (envelopes, waiters): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|pending| (pending.envelope, pending.waiter)).unzip();
        let verdicts = signature::verify_batch(envelopes);
        let checked = verdicts.into_iter().zip(waiters).collect();
        if to.send((ticket, checked)).is_err() {
            return;
        }
    }
}

// ------------------------------------------------------------------ sequence

/// A planned group, with those who wait for it.
struct Queued {
    planned: Planned,
    waiters: Vec<Waiter>,
}

fn sequence(
    mut sequencer: Sequencer,
    clock: &dyn Clock,
    checked: Receiver<(u64, Checked)>,
    to: &SyncSender<Queued>,
) {
    let mut queue = Reordered { receiver: checked, next: 0, early: BTreeMap::new() };
    while let Some(batch) = queue.take() {
        let mut envelopes = Vec::with_capacity(batch.len());
        let mut waiters = Vec::with_capacity(batch.len());
        for (verdict, waiter) in batch {
            match verdict {
                Ok(envelope) => {
                    envelopes.push(envelope);
                    waiters.push(waiter);
                }
                Err(bad) => waiter.answer(Err(AppendError::BadSignature(bad))),
            }
        }
        let planned = sequencer.plan(&envelopes, clock.now());
        if to.send(Queued { planned, waiters }).is_err() {
            return;
        }
    }
}

/// Checked batches in the order of their tickets.
struct Reordered {
    receiver: Receiver<(u64, Checked)>,
    next: u64,
    early: BTreeMap<u64, Checked>,
}

impl Reordered {
    /// Everything whose turn has come, up to a group; waits for the first.
    fn take(&mut self) -> Option<Checked> {
        while !self.early.contains_key(&self.next) {
            let (ticket, checked) = self.receiver.recv().ok()?;
            self.early.insert(ticket, checked);
        }
        while let Ok((ticket, checked)) = self.receiver.try_recv() {
            self.early.insert(ticket, checked);
        }
        let mut group = Vec::new();
        while let Some(checked) = self.early.get(&self.next) {
            if !group.is_empty() && group.len() + checked.len() > MAX_GROUP_EVENTS {
                break;
            }
            group.extend(self.early.remove(&self.next).expect("it was just seen"));
            self.next += 1;
        }
        Some(group)
    }
}

// ------------------------------------------------------------------ commit

struct Commits {
    committer: Committer,
    watch: Arc<CommitWatch>,
    announce: watch::Sender<Arc<Snapshot>>,
    stopped: watch::Sender<Option<String>>,
}

impl Commits {
    fn run(mut self, queue: Receiver<Queued>) {
        let mut broken = false;
        for Queued { planned, waiters } in queue {
            let outcome = if broken { Err(Uncommitted::Stopped) } else { self.commit(&planned) };
            broken |= matches!(outcome, Err(Uncommitted::Stopped | Uncommitted::Unknown));
            for (verdict, waiter) in planned.plan.verdicts.into_iter().zip(waiters) {
                // Not even refusals are told of a group that is not committed: they may be due to
                // events that are not in the log.
                waiter.answer(match outcome {
                    Ok(()) => answer(verdict),
                    Err(why) => Err(why.into()),
                });
            }
        }
        if let Err(error) = self.committer.finish() {
            tracing::warn!(%error, "tree nodes could not be made durable; a start rebuilds them");
        }
    }

    fn commit(&mut self, planned: &Planned) -> Result<(), Uncommitted> {
        let committed = self.watch.time(|| self.committer.commit(planned));
        let tip = match committed {
            Ok(Some(tip)) => tip,
            Ok(None) => return Ok(()),
            Err(error @ CommitError::Full(_)) => {
                metrics::disk_full();
                tracing::warn!(%error, "a group was given up");
                return Err(Uncommitted::Full);
            }
            Err(CommitError::GivenUp) => return Err(Uncommitted::Full),
            Err(error @ CommitError::Nodes(_)) => {
                self.stop(&error);
                return Err(Uncommitted::Stopped);
            }
            Err(error @ CommitError::Unknown(_)) => {
                self.stop(&error);
                return Err(Uncommitted::Unknown);
            }
        };
        if let Err(error) = self.committer.settle() {
            self.stop(&error);
        }
        let group = planned.plan.group.as_ref().expect("a commit has a group");
        let checkpoint = group.commit.checkpoint.clone();
        let state = planned.plan.next.state.clone();
        self.announce.send_replace(Arc::new(Snapshot { state, tip, checkpoint }));
        metrics::committed(group.events.len());
        tracing::debug!(size = tip.size.as_u64(), events = group.events.len(), "committed");
        Ok(())
    }

    fn stop(&self, error: &impl std::fmt::Display) {
        tracing::error!(%error, "the ledger stops and must be opened again");
        self.stopped.send_replace(Some(error.to_string()));
    }
}

/// What became of a group that was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uncommitted {
    /// It is not in the log; the next may be.
    Full,
    /// It is not in the log, and nothing more will be.
    Stopped,
    /// Nobody knows.
    Unknown,
}

impl From<Uncommitted> for AppendError {
    fn from(why: Uncommitted) -> Self {
        match why {
            Uncommitted::Full => Self::Full,
            Uncommitted::Stopped => Self::Stopped,
            Uncommitted::Unknown => Self::Unknown,
        }
    }
}

fn answer(verdict: Verdict) -> Result<Placed, AppendError> {
    match verdict {
        Verdict::Refused(refusal) => Err(AppendError::Refused(Box::new(refusal))),
        Verdict::Admitted(event) => Ok(Placed::Committed(event)),
        Verdict::Duplicate(position) => Ok(Placed::Duplicate(position)),
    }
}

impl Waiter {
    fn answer(self, answer: Result<Placed, AppendError>) {
        // Whoever waited may have gone; the event stays.
        let _gone = self.answer.send(answer);
    }
}

/// An unbounded channel whose bound is the number of permits.
pub(crate) fn intake() -> (Sender<Pending>, Receiver<Pending>) {
    mpsc::channel()
}
