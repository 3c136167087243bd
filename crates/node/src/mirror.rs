//! A mirror: follows a writer for as long as what the writer sends can be proved.
//!
//! ```text
//! upstream ─▶ receive ─▶ examine ×cores ─▶ judge, keep ─▶ announce
//!             in order    signatures        rules, tree,
//!                                           one fdatasync
//! ```
//!
//! Before each stream the mirror asks for the writer's head and for the proof that it continues
//! what the mirror holds. A writer that cannot give it, or that shows less than it signed before,
//! is not followed; two trees that contradict each other are kept as evidence for everyone.

use std::future::Future;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tally_protocol::{Origin, Position, TreeSize};
use tally_tlog::{
    ConsistencyProof, Hash, SignedCheckpoint, VerifiedCheckpoint, VerifierKey, verify_consistency,
};
use tally_verify::evidence::Evidence;
use tally_verify::{FirstBad, in_order};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::metrics;
use crate::node::{Node, ProofError};
use crate::replica::{AcceptedBatch, Batch, BatchError, Intake, Replica, ReplicaError};

/// First wait before the writer is asked again; doubles each time.
pub const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Longest wait before the writer is asked again.
pub const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Batches that wait to be examined: as many as make up a batch of signatures.
const BATCHES_AHEAD: usize = 4;

/// The writer, as a mirror sees it. Nothing it says is believed.
pub trait Upstream: Send + Sync {
    /// What it shows of its head.
    fn head(&self) -> impl Future<Output = Result<Shown, Lost>> + Send;

    /// Its proof that the tree of `new` events continues the one of `old`.
    fn consistency(
        &self,
        old: TreeSize,
        new: TreeSize,
    ) -> impl Future<Output = Result<Continues, Lost>> + Send;

    /// Its events from a position on, and then every new one.
    fn replicate(
        &self,
        from: Position,
    ) -> impl Future<Output = Result<mpsc::Receiver<Result<Batch, Lost>>, Lost>> + Send;
}

/// What a writer shows of its head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Events that it says are durable.
    pub size: TreeSize,
    /// The last signed note that it gives away: of a smaller tree where witnesses are slow, absent
    /// while there is none.
    pub note: Option<Bytes>,
}

/// What a writer claims of two of its trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continues {
    /// Root of the older tree, as the writer has it.
    pub old_root: Hash,
    /// The proof.
    pub proof: ConsistencyProof,
}

/// The writer can't be reached, or gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// How a mirror stands to its writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It fetches what it lacks.
    CatchingUp {
        /// Events that the writer has signed.
        writer: u64,
    },
    /// It holds all that the writer has shown.
    Current,
    /// The writer can't be reached, or the mirror has no room: it tries again.
    Waiting {
        /// Why.
        why: String,
    },
    /// The writer shows fewer events than it signed before: it lost its end, or hides it.
    WriterBehind {
        /// Events that the writer shows.
        writer: u64,
    },
    /// What the writer sends does not hold. Nothing of it is kept.
    Refused {
        /// Where, which rule, and what was found.
        bad: FirstBad,
    },
    /// The writer signed two histories. It is not followed any more.
    Forked {
        /// The proof.
        evidence: PathBuf,
    },
}

impl Standing {
    /// One sentence.
    pub fn text(&self) -> String {
        match self {
            Self::CatchingUp { writer } => format!("catching up with {writer} events"),
            Self::Current => "holds all that the writer has shown".into(),
            Self::Waiting { why } => format!("waiting: {why}"),
            Self::WriterBehind { writer } => {
                format!("the writer shows {writer} events, fewer than it signed before")
            }
            Self::Refused { bad } => format!(
                "refused: position {} breaks rule {}: {}",
                bad.position, bad.rule, bad.found
            ),
            Self::Forked { evidence } => {
                format!("the writer forked; the proof is in {}", evidence.display())
            }
        }
    }

    /// Whether it speaks against the writer.
    pub fn is_against_writer(&self) -> bool {
        match self {
            Self::WriterBehind { .. } | Self::Refused { .. } | Self::Forked { .. } => true,
            Self::CatchingUp { .. } | Self::Current | Self::Waiting { .. } => false,
        }
    }
}

/// Why a mirror came to an end by itself.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The copy can't be written any more.
    #[error(transparent)]
    Replica(ReplicaError),
    /// The copy can't be read any more.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Follows one writer.
pub struct Mirror<U> {
    upstream: U,
    node: Node,
    /// Away while a stream is taken in.
    replica: Option<Replica>,
    log_key: VerifierKey,
    origin: Origin,
    standing: watch::Sender<Standing>,
    retry: Duration,
    longest_retry: Duration,
}

/// How far a mirror goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Stopped,
    /// Until it holds what the writer has signed when first asked, or can't.
    Current,
}

/// What became of one try.
enum Turn {
    /// The mirror holds this much, and all that was asked for.
    Done,
    /// The stream broke; try again.
    Again,
    /// Try again, later.
    Later,
}

impl<U: Upstream> Mirror<U> {
    /// A mirror of `upstream` in what [`Node::open_mirror`] opened.
    pub fn new(upstream: U, node: Node, replica: Replica) -> Self {
        let (standing, _) = watch::channel(Standing::Waiting { why: "not started".into() });
        let log_key = node.log_key().clone();
        let origin = node.snapshot().state.origin().clone();
        let (retry, longest_retry) = (FIRST_RETRY, LONGEST_RETRY);
        Self {
            upstream,
            node,
            replica: Some(replica),
            log_key,
            origin,
            standing,
            retry,
            longest_retry,
        }
    }

    /// The same, with another longest wait before the writer is asked again.
    pub fn with_longest_retry(self, longest_retry: Duration) -> Self {
        Self { retry: self.retry.min(longest_retry), longest_retry, ..self }
    }

    /// How it stands to its writer, from now on.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Follows the writer.
    ///
    /// # Errors
    /// [`MirrorError`] when the mirror's own disk fails.
    pub async fn run(
        mut self,
        until: Until,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Standing, MirrorError> {
        let mut enough = None;
        loop {
            let before = self.size();
            let turn = tokio::select! {
                turn = self.check_head(until, &mut enough) => turn?,
                () = stopped(&mut stop) => break,
            };
            let turn = match turn {
                Some(turn) => turn,
                None => self.stream(enough, &mut stop).await?,
            };
            if self.size() > before {
                self.retry = FIRST_RETRY.min(self.longest_retry);
            }
            let standing = self.standing.borrow().clone();
            let later = matches!(turn, Turn::Later);
            let tired = later && self.retry >= self.longest_retry;
            let given_up = until == Until::Current && (standing.is_against_writer() || tired);
            if matches!(turn, Turn::Done) || given_up || *stop.borrow() {
                break;
            }
            if later {
                let waited = tokio::time::sleep(self.retry);
                self.retry = (self.retry * 2).min(self.longest_retry);
                tokio::select! {
                    () = waited => {}
                    () = stopped(&mut stop) => break,
                }
            }
        }
        let standing = self.standing.borrow().clone();
        let replica = self.replica.take().expect("it comes back from every stream");
        if let Err(error) = replica.finish() {
            tracing::warn!(%error, "tree nodes could not be made durable; a start rebuilds them");
        }
        Ok(standing)
    }

    /// How many events are durable here.
    fn size(&self) -> TreeSize {
        self.node.snapshot().tip.size
    }

    fn stand(&self, standing: Standing) {
        let changed = self.standing.send_if_modified(|before| {
            let changed = *before != standing;
            *before = standing.clone();
            changed
        });
        if changed && standing.is_against_writer() {
            tracing::error!(standing = standing.text(), "the writer is not to be trusted");
            metrics::against_writer();
        } else if changed {
            tracing::info!(standing = standing.text(), "mirror");
        }
    }

    /// Asks for the writer's head, and holds it to what is here. `None`: go on with its events.
    async fn check_head(
        &mut self,
        until: Until,
        enough: &mut Option<TreeSize>,
    ) -> Result<Option<Turn>, MirrorError> {
        let Shown { size, note } = match self.upstream.head().await {
            Ok(shown) => shown,
            Err(lost) => return Ok(Some(self.wait(lost.to_string()))),
        };
        let own = self.size();
        let Some(note) = note else { return Ok(self.check_shorter(size, until)) };
        let opened = SignedCheckpoint::parse(&note)
            .and_then(|signed| signed.open(std::slice::from_ref(&self.log_key), &self.origin));
        let head = match opened {
            Ok(head) => head,
            Err(error) => return Ok(Some(self.refuse("checkpoint", error.to_string()))),
        };
        metrics::writer_size(head.size());
        if head.size() <= own {
            if let Some(evidence) = self.compare_shorter(&head)? {
                return Ok(Some(self.fork(&evidence)));
            }
            return Ok(self.check_shorter(size.max(head.size()), until));
        }
        if until == Until::Current && enough.is_none() {
            *enough = Some(head.size());
        }
        if own > TreeSize::ZERO
            && let Some(turn) = self.check_continues(&head).await
        {
            return Ok(Some(turn));
        }
        self.stand(Standing::CatchingUp { writer: head.size().as_u64() });
        Ok(None)
    }

    /// What the writer has signed is here; what it says that it has must not be less.
    fn check_shorter(&mut self, writer: TreeSize, until: Until) -> Option<Turn> {
        if writer < self.size() {
            self.stand(Standing::WriterBehind { writer: writer.as_u64() });
            return Some(Turn::Later);
        }
        self.stand(Standing::Current);
        (until == Until::Current).then_some(Turn::Done)
    }

    /// Evidence, if the writer's head is not the tree of that size that is here.
    fn compare_shorter(&self, head: &VerifiedCheckpoint) -> Result<Option<Evidence>, MirrorError> {
        let (own, asked) = (self.size(), head.size());
        if asked == TreeSize::ZERO {
            return Ok(None);
        }
        let here = self.node.consistency(asked, Some(own))?;
        if here.old_root == head.root() {
            return Ok(None);
        }
        let newer = self.own_checkpoint();
        Ok(Some(Evidence::fork(head.signed(), &newer, here.old_root, Some(&here.proof))))
    }

    /// Holds the writer to its proof that its head continues what is here.
    async fn check_continues(&mut self, head: &VerifiedCheckpoint) -> Option<Turn> {
        let tip = self.node.snapshot().tip;
        let (own, root) = (tip.size, tip.root);
        let Continues { old_root, proof } = match self.upstream.consistency(own, head.size()).await
        {
            Ok(claimed) => claimed,
            Err(lost) => return Some(self.wait(lost.to_string())),
        };
        let holds = |prefix| verify_consistency(own, head.size(), prefix, head.root(), &proof);
        let Err(error) = holds(root) else { return None };
        if old_root != root && holds(old_root).is_ok() {
            let older = self.own_checkpoint();
            let evidence = Evidence::fork(&older, head.signed(), old_root, Some(&proof));
            return Some(self.fork(&evidence));
        }
        let found = format!(
            "the writer can't prove that its {} events continue the {own} that it signed: {error}",
            head.size()
        );
        Some(self.refuse("consistency", found))
    }

    /// The checkpoint that the writer signed of what is here.
    fn own_checkpoint(&self) -> SignedCheckpoint {
        SignedCheckpoint::parse(&self.node.log().checkpoint()).expect("it was judged before")
    }

    fn wait(&mut self, why: String) -> Turn {
        self.stand(Standing::Waiting { why });
        Turn::Later
    }

    fn refuse(&mut self, rule: &str, found: String) -> Turn {
        let position = Position::at_tip(self.size());
        self.stand(Standing::Refused { bad: FirstBad::new(position, rule, found) });
        Turn::Later
    }

    fn fork(&mut self, evidence: &Evidence) -> Turn {
        let known = matches!(*self.standing.borrow(), Standing::Forked { .. });
        if !known {
            self.node.evidence().raise(evidence);
        }
        self.stand(Standing::Forked { evidence: self.node.evidence().path().to_owned() });
        Turn::Later
    }

    // -------------------------------------------------------------- events

    /// Takes events until the stream breaks, there are enough, or the mirror is told to stop.
    async fn stream(
        &mut self,
        enough: Option<TreeSize>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Turn, MirrorError> {
        let from = Position::at_tip(self.size());
        let mut batches = match self.upstream.replicate(from).await {
            Ok(batches) => batches,
            Err(lost) => return Ok(self.wait(lost.to_string())),
        };
        let (to_examine, received) = mpsc::channel(BATCHES_AHEAD);
        let received = Received { batches: received, runtime: Handle::current() };
        let mut replica = self.replica.take().expect("it comes back from every stream");
        let mut taking = spawn_blocking(move || {
            let taken = take(&mut replica, Intake::new(from), received, enough);
            (replica, taken)
        });
        let mut snapshots = self.node.snapshots();
        let mut lost = None;
        let ended = loop {
            tokio::select! {
                ended = &mut taking => break Some(ended),
                () = stopped(stop) => break None,
                Ok(()) = snapshots.changed() => self.stand_current(),
                batch = batches.recv() => match batch {
                    Some(Ok(batch)) => {
                        if to_examine.send(batch).await.is_err() {
                            break None;
                        }
                    }
                    Some(Err(error)) => {
                        lost = Some(error);
                        break None;
                    }
                    None => break None,
                },
            }
        };
        drop(to_examine);
        let ended = match ended {
            Some(ended) => ended,
            None => taking.await,
        };
        let (replica, taken) = ended.expect("judging panics only on a broken invariant");
        self.replica = Some(replica);
        self.stand_current();
        self.after_stream(taken, lost, enough)
    }

    fn stand_current(&self) {
        let size = self.size().as_u64();
        let reached =
            matches!(*self.standing.borrow(), Standing::CatchingUp { writer } if size >= writer);
        if reached {
            self.stand(Standing::Current);
        }
    }

    fn after_stream(
        &mut self,
        taken: Result<(), TakeError>,
        lost: Option<Lost>,
        enough: Option<TreeSize>,
    ) -> Result<Turn, MirrorError> {
        match taken {
            Ok(()) if enough.is_some_and(|enough| self.size() >= enough) => Ok(Turn::Done),
            Ok(()) => Ok(lost.map_or(Turn::Again, |lost| self.wait(lost.to_string()))),
            Err(TakeError::Batch(gap @ BatchError::Gap { .. })) => Ok(self.wait(gap.to_string())),
            Err(TakeError::Batch(error)) => Ok(self.refuse("event", error.to_string())),
            Err(TakeError::Replica(ReplicaError::Bad(bad))) => {
                self.stand(Standing::Refused { bad });
                Ok(Turn::Later)
            }
            Err(TakeError::Replica(full @ ReplicaError::Full(_))) => {
                Ok(self.wait(full.to_string()))
            }
            Err(TakeError::Replica(error @ (ReplicaError::Disk(_) | ReplicaError::Commit(_)))) => {
                Err(MirrorError::Replica(error))
            }
        }
    }
}

/// Completes when the mirror is told to stop, or nobody is left to tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}

enum TakeError {
    Batch(BatchError),
    Replica(ReplicaError),
}

/// What comes, for a thread that waits for it.
struct Received {
    batches: mpsc::Receiver<Batch>,
    runtime: Handle,
}

impl Received {
    /// The next batch; `None` at the end, or when nobody wants more.
    fn next(&mut self, unwanted: &mut watch::Receiver<bool>) -> Option<Batch> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = unwanted.wait_for(|unwanted| *unwanted) => None,
                batch = self.batches.recv() => batch,
            }
        })
    }
}

type Accepted = Result<AcceptedBatch, BatchError>;

/// Puts what comes in order, in pieces that are worth a core's while.
struct Accepting {
    intake: Intake,
    received: Received,
    unwanted: watch::Receiver<bool>,
    /// What was wrong with the batch behind those that were given last.
    failed: Option<BatchError>,
}

impl Accepting {
    /// What was not seen before of the next batches: as many as are there, up to a batch of
    /// signatures.
    fn next(&mut self) -> Option<Accepted> {
        if let Some(failed) = self.failed.take() {
            return Some(Err(failed));
        }
        let mut accepted: Option<AcceptedBatch> = None;
        loop {
            let batch = match &accepted {
                None => self.received.next(&mut self.unwanted)?,
                Some(accepted) if accepted.is_enough() => break,
                Some(_) => match self.received.batches.try_recv() {
                    Ok(batch) => batch,
                    Err(_) => break,
                },
            };
            match (self.intake.accept(batch), &mut accepted) {
                (Err(error), None) => return Some(Err(error)),
                (Err(error), Some(_)) => {
                    self.failed = Some(error);
                    break;
                }
                (Ok(None), _) => {}
                (Ok(Some(next)), Some(accepted)) => accepted.join(next),
                (Ok(Some(next)), None) => accepted = Some(next),
            }
        }
        accepted.map(Ok)
    }
}

/// Shapes and signatures on all cores; rules and tree in order, and the disk. Blocks.
fn take(
    replica: &mut Replica,
    intake: Intake,
    received: Received,
    enough: Option<TreeSize>,
) -> Result<(), TakeError> {
    let (unwanted_to, unwanted) = watch::channel(false);
    let mut accepting = Accepting { intake, received, unwanted, failed: None };
    let next = || accepting.next();
    let examine = |accepted: Accepted| accepted.map(AcceptedBatch::examine);
    let taken = in_order(next, examine, |examined| {
        let taken = examined.map_err(TakeError::Batch);
        let taken = taken.and_then(|batch| replica.take(batch).map_err(TakeError::Replica));
        let is_enough = enough.is_some_and(|enough| replica.size() >= enough);
        if taken.is_ok() && !is_enough {
            return ControlFlow::Continue(());
        }
        unwanted_to.send_replace(true);
        ControlFlow::Break(taken)
    });
    // What no checkpoint covers yet is sent again.
    replica.forget();
    taken.unwrap_or(Ok(()))
}
