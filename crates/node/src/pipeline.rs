//! The way of an event: verify in batches, decide, commit, answer.
//!
//! ```text
//! intake (bounded) ─▶ verify ─▶ plan ─▶ commit ─▶ announce, answer
//!                     tickets    pure    one write,
//!                     keep the           one fdatasync
//!                     order
//! ```
//!
//! A crew of equal threads works on a board that shows what is to be done, and each takes what is
//! nearest to an answer: a commit before a plan, a plan before a check of signatures. One of them at
//! a time plans, and one commits: whoever has the [`Sequencer`] or the committer in its hands. So
//! while a group is being committed the next one is verified and planned, and on an idle ledger one
//! thread takes an envelope all the way.
//!
//! Nothing is visible or answered before it is durable. A full disk refuses what finds no room; any
//! other commit that fails stops the pipeline, and the way back is to open the ledger again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use tally_coordination::Refusal;
use tally_protocol::{
    BadSignature, Event, ParsedEnvelope, Position, SignedEnvelope, VerifiedEnvelope, signature,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::clock::Clock;
use crate::metrics::{self, CommitWatch};
use crate::node::{AppendError, Heads, Snapshot};
use crate::plan::Verdict;
use crate::sequencer::{CommitError, Committer, Planned, Sequencer};

/// Most envelopes in one group commit.
pub const MAX_GROUP_EVENTS: usize = 4_096;

/// Most envelopes of one parcel: a group has room for several.
pub const MAX_PARCEL: usize = 512;

/// A thread does not check fewer signatures than this while more are waiting, or others on their way.
const WORTH_CHECKING: usize = 64;

/// Planned groups that wait for the one being committed.
const PLANNED_GROUPS: usize = 1;

/// Envelopes of one sender that belong together, with who waits for them. They are answered together.
pub(crate) struct Parcel {
    pub(crate) envelopes: Vec<ParsedEnvelope>,
    pub(crate) waiter: Waiter,
}

/// Where answers go, one an envelope. Dropping the permit frees the parcel's places in the intake.
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Answers>,
    pub(crate) _places: OwnedSemaphorePermit,
}

/// What became of the envelopes of a parcel, in their order.
pub(crate) struct Answers {
    pub(crate) answers: Vec<Result<Placed, AppendError>>,
    /// What everyone may see, from the group's commit on; absent when nothing was committed.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

/// What the rules made of an envelope.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It has a new place, which is durable.
    Committed(Event),
    /// It had one before.
    Duplicate(Position),
    /// It has none.
    Refused(Box<Refusal>, SignedEnvelope),
}

impl Placed {
    fn of(verdict: Verdict, envelope: VerifiedEnvelope) -> Self {
        match verdict {
            Verdict::Admitted(event) => Self::Committed(event),
            Verdict::Duplicate(position) => Self::Duplicate(position),
            Verdict::Refused(refusal) => {
                Self::Refused(Box::new(refusal), envelope.signed().clone())
            }
        }
    }
}

pub(crate) struct Parts {
    pub(crate) sequencer: Sequencer,
    pub(crate) committer: Committer,
    pub(crate) watch: Arc<CommitWatch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heads: Heads,
    pub(crate) stopped: watch::Sender<Option<String>>,
}

/// The crew. It goes home when the intake is closed and everything in it is done.
pub(crate) struct Pipeline {
    crew: Arc<Crew>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pipeline {
    pub(crate) fn start(parts: Parts) -> Self {
        let Parts { sequencer, committer, watch, clock, heads, stopped } = parts;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let commits = Commits { committer, watch, heads, stopped: stopped.clone(), broken: false };
        let board = Board {
            sequencer: Some(Box::new(sequencer)),
            commits: Some(Box::new(commits)),
            ..Board::default()
        };
        let (board, more) = (Mutex::new(board), Condvar::new());
        let crew = Arc::new(Crew { cores, clock, stopped, board, more });
        // One more than there are cores: who waits for the disk needs none.
        let hand = |i| {
            let crew = Arc::clone(&crew);
            spawn(&format!("append-{i}"), move || crew.work())
        };
        let threads = Mutex::new((0..=cores).map(hand).collect());
        Self { crew, threads }
    }

    /// Takes a parcel in; gives it back when nothing is taken any more.
    pub(crate) fn put(&self, parcel: Parcel) -> Result<(), Parcel> {
        self.crew.put(parcel)
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        self.crew.board().closed = true;
        self.crew.more.notify_all();
    }

    /// Waits until everything that was taken in is done.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().expect("nobody panics with it"));
        for thread in threads {
            // A panic was told to everybody when it happened.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .expect("the operating system gives a thread")
}

// ------------------------------------------------------------------ the board

/// A parcel with the verdicts on its signatures.
struct Checked {
    verdicts: Vec<Result<VerifiedEnvelope, BadSignature>>,
    waiter: Waiter,
}

/// A planned group.
struct Queued {
    planned: Planned,
    /// What was planned, in the order of the verdicts.
    envelopes: Vec<VerifiedEnvelope>,
    parcels: Vec<Addressed>,
}

/// What is known of a parcel besides the plan: whose signatures are bad, and who waits.
struct Addressed {
    signatures: Vec<Result<(), BadSignature>>,
    waiter: Waiter,
}

/// What is to be done, and by whom it can be.
#[derive(Default)]
struct Board {
    intake: VecDeque<Parcel>,
    /// Envelopes in it.
    waiting: usize,
    /// The next number of a batch that is taken out.
    ticket: u64,
    /// Checked batches, whose order is that of their tickets: authors with several envelopes on
    /// their way rely on it.
    checked: BTreeMap<u64, Vec<Checked>>,
    /// The ticket whose turn it is.
    turn: u64,
    planned: VecDeque<Box<Queued>>,
    /// Absent while somebody plans.
    sequencer: Option<Box<Sequencer>>,
    /// Absent while somebody commits.
    commits: Option<Box<Commits>>,
    /// Threads with nothing to do.
    idle: usize,
    closed: bool,
    /// All is done, or somebody panicked: nothing goes on.
    over: bool,
}

enum Job {
    Commit(Box<Commits>, Box<Queued>),
    Plan(Box<Sequencer>, Vec<Checked>),
    Verify(u64, Vec<Parcel>),
}

impl Board {
    /// What is nearest to an answer, of what can be done now.
    fn next_job(&mut self, cores: usize) -> Option<Job> {
        if self.can_commit() {
            let (commits, queued) = (self.commits.take(), self.planned.pop_front());
            return commits.zip(queued).map(|(commits, queued)| Job::Commit(commits, queued));
        }
        if self.can_plan() {
            let group = self.group();
            return self.sequencer.take().map(|sequencer| Job::Plan(sequencer, group));
        }
        self.can_verify(cores).then(|| self.batch(cores))
    }

    fn has_job(&self, cores: usize) -> bool {
        self.can_commit() || self.can_plan() || self.can_verify(cores)
    }

    fn can_commit(&self) -> bool {
        self.commits.is_some() && !self.planned.is_empty()
    }

    fn can_plan(&self) -> bool {
        let has_turn = self.checked.contains_key(&self.turn);
        has_turn && self.sequencer.is_some() && self.planned.len() < PLANNED_GROUPS
    }

    /// What is checked too far ahead would only wait in memory; and a few envelopes gather while others
    /// are on their way, because a small group costs more an envelope.
    fn can_verify(&self, cores: usize) -> bool {
        let worth = self.waiting >= WORTH_CHECKING || !self.is_busy();
        !self.intake.is_empty() && worth && self.checked.len() < 2 * cores
    }

    /// Whether something was taken out of the intake and is not committed.
    fn is_busy(&self) -> bool {
        let at_rest = self.sequencer.is_some() && self.commits.is_some();
        !at_rest || self.turn != self.ticket || !self.planned.is_empty()
    }

    /// Batches that somebody checks now.
    fn being_checked(&self) -> usize {
        usize::try_from(self.ticket - self.turn).unwrap_or(usize::MAX) - self.checked.len()
    }

    /// Everything whose turn has come, up to a group.
    fn group(&mut self) -> Vec<Checked> {
        let (mut group, mut envelopes) = (Vec::new(), 0);
        while let Some(batch) = self.checked.get(&self.turn) {
            envelopes += batch.iter().map(|parcel| parcel.verdicts.len()).sum::<usize>();
            if !group.is_empty() && envelopes > MAX_GROUP_EVENTS {
                break;
            }
            group.extend(self.checked.remove(&self.turn).expect("it was just seen"));
            self.turn += 1;
        }
        group
    }

    /// The share of a core that checks nothing: small when idle, large under load, when the others are
    /// at work and all that has come in the meantime goes together.
    fn batch(&mut self, cores: usize) -> Job {
        let free = cores.saturating_sub(self.being_checked()).max(1);
        let share = self.waiting.div_ceil(free).clamp(WORTH_CHECKING, signature::MAX_BATCH);
        let (mut batch, mut envelopes) = (Vec::new(), 0);
        while let Some(next) = self.intake.front() {
            envelopes += next.envelopes.len();
            if !batch.is_empty() && envelopes > share {
                break;
            }
            self.waiting -= next.envelopes.len();
            batch.extend(self.intake.pop_front());
        }
        let ticket = self.ticket;
        self.ticket += 1;
        Job::Verify(ticket, batch)
    }

    /// Whether nothing will come any more.
    fn is_done(&self) -> bool {
        self.closed && self.intake.is_empty() && !self.is_busy()
    }
}

// ------------------------------------------------------------------ the crew

struct Crew {
    cores: usize,
    clock: Arc<dyn Clock>,
    stopped: watch::Sender<Option<String>>,
    board: Mutex<Board>,
    /// Something may have to be done.
    more: Condvar,
}

impl Crew {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("nobody panics while holding the board")
    }

    fn put(&self, parcel: Parcel) -> Result<(), Parcel> {
        let mut board = self.board();
        if board.closed || board.over {
            return Err(parcel);
        }
        board.waiting += parcel.envelopes.len();
        board.intake.push_back(parcel);
        self.call(board);
        Ok(())
    }

    /// Wakes another thread if there is something for it to do.
    fn call(&self, board: MutexGuard<'_, Board>) {
        let is_wanted = board.idle > 0 && board.has_job(self.cores);
        drop(board);
        if is_wanted {
            self.more.notify_one();
        }
    }

    fn work(&self) {
        let _alarm = Alarm(self);
        let mut board = self.board();
        while !board.over && !board.is_done() {
            match board.next_job(self.cores) {
                Some(job) => {
                    self.call(board);
                    self.carry_out(job);
                    board = self.board();
                }
                None => {
                    board.idle += 1;
                    board = self.more.wait(board).expect("nobody panics while holding the board");
                    board.idle -= 1;
                }
            }
        }
        // Who finds first that all is done closes the store and sends the others home.
        let commits = if board.over { None } else { board.commits.take() };
        board.over = true;
        drop(board);
        self.more.notify_all();
        if let Some(commits) = commits {
            commits.finish();
        }
    }

    fn carry_out(&self, job: Job) {
        match job {
            Job::Verify(ticket, batch) => {
                let checked = verify(batch);
                self.board().checked.insert(ticket, checked);
            }
            Job::Plan(mut sequencer, group) => {
                let queued = plan(&mut sequencer, group, &*self.clock);
                let mut board = self.board();
                board.sequencer = Some(sequencer);
                board.planned.push_back(queued);
            }
            Job::Commit(mut commits, queued) => {
                let answer_all = commits.commit(queued);
                let mut board = self.board();
                board.commits = Some(commits);
                // The next group need not wait until this one is answered.
                self.call(board);
                answer_all();
            }
        }
    }
}

/// Tells everybody when a thread of the crew panics: what it had in its hands is lost.
struct Alarm<'c>(&'c Crew);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let Ok(mut board) = self.0.board.lock() else { return };
        board.over = true;
        // Those who wait are told that the outcome is unknown.
        board.intake.clear();
        board.checked.clear();
        board.planned.clear();
        // Those who follow the log see that it has ended.
        board.commits = None;
        drop(board);
        tracing::error!("a thread on the way of an append panicked; the ledger stops");
        let why = "a thread panicked; its message is above".to_owned();
        self.0.stopped.send_replace(Some(why));
        self.0.more.notify_all();
    }
}

// ------------------------------------------------------------------ verify

fn verify(batch: Vec<Parcel>) -> Vec<Checked> {
    let lengths: Vec<usize> = batch.iter().map(|parcel| parcel.envelopes.len()).collect();
    let mut waiters = Vec::with_capacity(batch.len());
    let mut envelopes = Vec::with_capacity(lengths.iter().sum());
    for parcel in batch {
        envelopes.extend(parcel.envelopes);
        waiters.push(parcel.waiter);
    }
    let mut verdicts = signature::verify_batch(envelopes).into_iter();
    let parcel = |(waiter, length)| {
        let verdicts = verdicts.by_ref().take(length).collect();
        Checked { verdicts, waiter }
    };
    waiters.into_iter().zip(lengths).map(parcel).collect()
}

// ------------------------------------------------------------------ plan

fn plan(sequencer: &mut Sequencer, group: Vec<Checked>, clock: &dyn Clock) -> Box<Queued> {
    let count = group.iter().map(|parcel| parcel.verdicts.len()).sum();
    let mut envelopes = Vec::with_capacity(count);
    let address = |Checked { verdicts, waiter }| {
        let keep = |verdict: Result<_, _>| verdict.map(|envelope| envelopes.push(envelope));
        Addressed { signatures: verdicts.into_iter().map(keep).collect(), waiter }
    };
    let parcels = group.into_iter().map(address).collect();
    let planned = sequencer.plan(&envelopes, clock.now());
    Box::new(Queued { planned, envelopes, parcels })
}

// ------------------------------------------------------------------ commit

struct Commits {
    committer: Committer,
    watch: Arc<CommitWatch>,
    heads: Heads,
    stopped: watch::Sender<Option<String>>,
    /// A commit failed: no other is tried.
    broken: bool,
}

impl Commits {
    /// Commits a group; what is returned answers those who wait.
    fn commit(&mut self, queued: Box<Queued>) -> impl FnOnce() + use<> {
        let Queued { planned, envelopes, parcels } = *queued;
        let outcome = if self.broken { Err(Uncommitted::Stopped) } else { self.settle(&planned) };
        self.broken |= matches!(outcome, Err(Uncommitted::Stopped | Uncommitted::Unknown));
        let mut verdicts = planned.plan.verdicts.into_iter().zip(envelopes);
        move || {
            let snapshot = outcome.as_ref().ok().cloned().flatten();
            for Addressed { signatures, waiter } in parcels {
                let answer = |signature: Result<(), BadSignature>| {
                    signature.map_err(AppendError::BadSignature)?;
                    let (verdict, envelope) = verdicts.next().expect("one a good signature");
                    // Not even refusals are told of a group that is not committed: they may be due
                    // to events that are not in the log.
                    outcome.as_ref().map_err(|why| AppendError::from(*why))?;
                    Ok(Placed::of(verdict, envelope))
                };
                let answers = signatures.into_iter().map(answer).collect();
                // Whoever waited may have gone; the events stay.
                let _gone = waiter.answer.send(Answers { answers, snapshot: snapshot.clone() });
            }
        }
    }

    /// The snapshot from the commit on; `None` when there was nothing to commit.
    fn settle(&mut self, planned: &Planned) -> Result<Option<Arc<Snapshot>>, Uncommitted> {
        let committed = self.watch.time(|| self.committer.commit(planned));
        let tip = match committed {
            Ok(Some(tip)) => tip,
            Ok(None) => return Ok(None),
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
        let snapshot = Arc::new(Snapshot { state, tip, checkpoint });
        self.heads.announce(Arc::clone(&snapshot));
        metrics::committed(group.events.len());
        tracing::debug!(size = tip.size.as_u64(), events = group.events.len(), "committed");
        Ok(Some(snapshot))
    }

    fn stop(&self, error: &impl std::fmt::Display) {
        tracing::error!(%error, "the ledger stops and must be opened again");
        self.stopped.send_replace(Some(error.to_string()));
    }

    fn finish(self) {
        if let Err(error) = self.committer.finish() {
            tracing::warn!(%error, "tree nodes could not be made durable; a start rebuilds them");
        }
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

#[cfg(test)]
mod tests {
    use tally_protocol::message::{Intent, IntentTerms};
    use tally_protocol::parts::Text;
    use tally_protocol::{AgentKey, AuthorSequence, Envelope, Message, Time};
    use tokio::sync::Semaphore;

    use super::*;

    fn envelope() -> ParsedEnvelope {
        let key = AgentKey::from_seed(&[1; 32]);
        let terms = IntentTerms::new(Text::new("anything").expect("a text"));
        let envelope = Envelope {
            origin: "node.example/ledger".parse().expect("an origin"),
            author: key.agent(),
            author_sequence: AuthorSequence(0),
            previous: None,
            issued_at_us: Time(1),
            trace_id: None,
            causes: Vec::new(),
            message: Message::Intent(Intent::Open(terms)),
        };
        envelope.sign(&key).expect("well-formed").parse().expect("it reads back")
    }

    /// Parcels of 64 come in.
    fn come(board: &mut Board, parcels: usize) {
        let places = Arc::new(Semaphore::new(parcels));
        for _ in 0..parcels {
            let permit = Arc::clone(&places).try_acquire_owned().expect("a place");
            let waiter = Waiter { answer: oneshot::channel().0, _places: permit };
            board.waiting += WORTH_CHECKING;
            board.intake.push_back(Parcel { envelopes: vec![envelope(); WORTH_CHECKING], waiter });
        }
    }

    /// How many parcels the next thread takes.
    fn taken(board: &mut Board) -> usize {
        match board.batch(2) {
            Job::Verify(_, parcels) => parcels.len(),
            Job::Commit(..) | Job::Plan(..) => panic!("a batch is to be checked"),
        }
    }

    #[test]
    fn a_core_takes_its_share_and_all_that_is_there_while_the_others_check() {
        let mut board = Board::default();
        come(&mut board, 8);
        assert_eq!(taken(&mut board), 4, "half of it: the other core is free");
        assert_eq!(taken(&mut board), 4, "the rest: no other core is");
        come(&mut board, 6);
        assert_eq!(taken(&mut board), 6, "both are checking");
        // Two are done, of which one was planned.
        board.checked.insert(1, Vec::new());
        board.turn += 1;
        come(&mut board, 8);
        assert_eq!(taken(&mut board), 8, "one is checking still");
        board.checked.extend([(2, Vec::new()), (3, Vec::new())]);
        come(&mut board, 8);
        assert_eq!(taken(&mut board), 4, "nobody is checking");
    }
}
