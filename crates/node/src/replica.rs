//! A copy of another node's log that checks everything before it keeps it.
//!
//! Events come with the checkpoints that the writer signed over them. An event is kept once it was
//! judged (shape, signature, author's chain, log's chain, every rule) *and* a checkpoint covers it
//! whose root is that of the tree over the very events that are here. What fails is never on the
//! disk, and nobody sees it.

use std::sync::Arc;

use bytes::Bytes;
use tally_protocol::{Event, EventError, Position, TreeSize, signature};
use tally_store::{
    AppendError as WriteError, Commit, Epoch, FileError, Group, LogWriter, MAX_GROUP_BYTES,
    TreeFiles,
};
use tally_tlog::{Cosigner, Hash, NodeId, PosixTime, SignedCheckpoint};
use tally_verify::{Examined, FirstBad, Judge, examine_here};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::metrics;
use crate::node::{Heads, Snapshot};

/// Groups of the writer are kept as one as long as they have no more bytes than this together: one
/// fdatasync for all of them.
pub const MERGED_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of events that no checkpoint covers yet: as many as a writer puts into one group. Beyond
/// it the writer wants the mirror's memory, not its copy.
pub const MAX_OPEN_BYTES: usize = MAX_GROUP_BYTES;

/// What a writer sent, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Position of the first event.
    pub first: Position,
    /// Bytes of consecutive events.
    pub events: Vec<Bytes>,
    /// Sizes of trees that end among them, and their signed notes, in order.
    pub trees: Vec<(TreeSize, Bytes)>,
}

/// Why a batch is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Events are missing before it.
    #[error("the writer sent position {found}, position {expected} was to come")]
    Gap {
        /// What was to come.
        expected: Position,
        /// What came.
        found: Position,
    },
    /// Bytes that are no event.
    #[error("the event at position {position} is malformed: {cause}")]
    Malformed {
        /// Where.
        position: Position,
        /// Why.
        cause: EventError,
    },
    /// A checkpoint's place is not among the events beside it.
    #[error("a checkpoint of size {size} came beside events of other positions")]
    StrayCheckpoint {
        /// What it says.
        size: TreeSize,
    },
}

/// A batch with everything about its events that does not depend on others.
#[derive(Debug)]
pub struct ExaminedBatch {
    events: Vec<Examined>,
    trees: Vec<(TreeSize, Bytes)>,
}

/// Events that follow those before them, if they are what they say.
#[derive(Debug)]
pub struct AcceptedBatch {
    events: Vec<Event>,
    trees: Vec<(TreeSize, Bytes)>,
}

impl AcceptedBatch {
    /// Whether to examine it is worth a core's while.
    pub(crate) fn is_enough(&self) -> bool {
        let bytes = || self.events.iter().map(|event| event.bytes().len()).sum::<usize>();
        self.events.len() >= signature::MAX_BATCH || bytes() >= MERGED_BYTES
    }

    /// Adds the batch that was accepted after this one.
    pub fn join(&mut self, next: Self) {
        self.events.extend(next.events);
        self.trees.extend(next.trees);
    }

    /// Examines it on this thread.
    pub fn examine(self) -> ExaminedBatch {
        ExaminedBatch { events: examine_here(self.events), trees: self.trees }
    }
}

/// Puts batches in order. A part that was seen before is left out.
#[derive(Debug, Clone, Copy)]
pub struct Intake {
    next: Position,
}

impl Intake {
    /// Takes batches from this position on.
    pub fn new(next: Position) -> Self {
        Self { next }
    }

    /// Takes what was not seen before of a batch; `None` when all of it was.
    ///
    /// # Errors
    /// [`BatchError`]: nothing of the batch is taken.
    pub fn accept(&mut self, batch: Batch) -> Result<Option<AcceptedBatch>, BatchError> {
        let Batch { first, events, mut trees } = batch;
        if first > self.next {
            return Err(BatchError::Gap { expected: self.next, found: first });
        }
        let seen = usize::try_from(self.next.0 - first.0).unwrap_or(usize::MAX);
        if seen >= events.len() {
            return Ok(None);
        }
        let end = TreeSize::new(first.0.saturating_add(events.len() as u64));
        trees.retain(|(size, _)| size.as_u64() > self.next.0);
        let ascending = trees.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if let Some((size, _)) = trees.iter().find(|(size, _)| !ascending || *size > end) {
            return Err(BatchError::StrayCheckpoint { size: *size });
        }
        let decode = |(position, bytes): (u64, Bytes)| {
            let position = Position(position);
            Event::decode(bytes).map_err(|cause| BatchError::Malformed { position, cause })
        };
        let unseen = (self.next.0..).zip(events.into_iter().skip(seen));
        let events = unseen.map(decode).collect::<Result<Vec<_>, _>>()?;
        self.next = Position(self.next.0 + events.len() as u64);
        Ok(Some(AcceptedBatch { events, trees }))
    }
}

/// Why a copy does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// What the writer sent does not hold. Nothing of it was kept.
    #[error("position {} breaks rule {}: {}", .0.position, .0.rule, .0.found)]
    Bad(FirstBad),
    /// The disk is full; what was kept is kept.
    #[error("the mirror's disk is full: {0}; make room")]
    Full(#[source] FileError),
    /// The disk failed. The copy must be opened again.
    #[error("the mirror's disk failed: {0}; start the mirror again")]
    Disk(#[source] FileError),
    /// A group may or may not be durable. The copy must be opened again.
    #[error("the mirror's commit failed: {0}; start the mirror again")]
    Commit(#[source] WriteError),
}

/// The one writer of a copy.
pub struct Replica {
    /// As far as was judged.
    judge: Judge,
    /// As far as is durable.
    durable: Judge,
    /// Judged, and not durable yet.
    open: Vec<Event>,
    nodes: Vec<(NodeId, Hash)>,
    writer: Box<dyn LogWriter>,
    tree: TreeFiles,
    epoch: Epoch,
    announce: Announce,
    stamp: Stamp,
}

/// Where a copy tells what it has come to.
pub(crate) struct Announce {
    pub(crate) heads: Heads,
    /// Set when the copy had to stop, with the cause.
    pub(crate) stopped: watch::Sender<Option<String>>,
}

/// How a copy says that it holds what it serves.
#[derive(Clone)]
pub(crate) struct Stamp {
    pub(crate) cosigner: Option<Cosigner>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Stamp {
    /// The note with a cosignature under it, if there is a key for one.
    pub(crate) fn cosigned(&self, note: &Bytes) -> Bytes {
        let Some(cosigner) = &self.cosigner else { return note.clone() };
        let Ok(mut signed) = SignedCheckpoint::parse(note) else { return note.clone() };
        let seconds = self.clock.now().0.max(0).unsigned_abs() / MICROSECONDS;
        let now = PosixTime::new(seconds).expect("microseconds of 63 bits are fewer seconds");
        let cosignature = cosigner.cosign(signed.unverified(), now);
        match signed.add_signature(cosignature) {
            Ok(()) => signed.to_bytes().into(),
            Err(error) => {
                tracing::warn!(%error, "the checkpoint has no room for a cosignature");
                note.clone()
            }
        }
    }
}

const MICROSECONDS: u64 = 1_000_000;

/// Judged events that a checkpoint covers.
struct Covered {
    events: usize,
    nodes: usize,
    bytes: usize,
    judge: Judge,
    note: Bytes,
}

impl Replica {
    pub(crate) fn new(
        judge: Judge,
        (writer, epoch): (Box<dyn LogWriter>, Epoch),
        tree: TreeFiles,
        announce: Announce,
        stamp: Stamp,
    ) -> Self {
        let durable = judge.clone();
        let (open, nodes) = Default::default();
        Self { judge, durable, open, nodes, writer, tree, epoch, announce, stamp }
    }

    /// How many events are durable.
    pub fn size(&self) -> TreeSize {
        self.durable.size()
    }

    /// Root of the tree over them.
    pub fn root(&self) -> Hash {
        self.durable.frontier().root()
    }

    /// Judges a batch, and makes durable what a checkpoint covers.
    ///
    /// # Errors
    /// [`ReplicaError`]; what was not durable before is forgotten then, and must be sent again.
    pub fn take(&mut self, batch: ExaminedBatch) -> Result<(), ReplicaError> {
        let taken = self.try_take(batch);
        if let Err(error) = &taken {
            self.forget();
            if let ReplicaError::Disk(_) | ReplicaError::Commit(_) = error {
                self.announce.stopped.send_replace(Some(error.to_string()));
            }
        }
        taken
    }

    /// Forgets what is not durable.
    pub fn forget(&mut self) {
        self.judge = self.durable.clone();
        self.open.clear();
        self.nodes.clear();
    }

    fn try_take(&mut self, batch: ExaminedBatch) -> Result<(), ReplicaError> {
        let mut trees = batch.trees.into_iter().peekable();
        let mut covered: Option<Covered> = None;
        let mut bytes: usize = self.open.iter().map(|event| event.bytes().len()).sum();
        for examined in batch.events {
            let event = examined.event().clone();
            bytes += event.bytes().len();
            let covered_bytes = covered.as_ref().map_or(0, |covered| covered.bytes);
            if bytes - covered_bytes > MAX_OPEN_BYTES {
                let found = format!("over {MAX_OPEN_BYTES} bytes came without a checkpoint");
                let bad = FirstBad::new(event.position(), "checkpoint", found);
                return Err(ReplicaError::Bad(bad));
            }
            let nodes = &mut self.nodes;
            let on_node = |id, hash| nodes.push((id, hash));
            self.judge.event(examined, on_node).map_err(ReplicaError::Bad)?;
            self.open.push(event);
            let size = self.judge.size();
            let Some((_, note)) = trees.next_if(|(at, _)| *at == size) else { continue };
            self.judge.checkpoint(&note).map_err(ReplicaError::Bad)?;
            if bytes > MERGED_BYTES
                && let Some(before) = covered.take()
            {
                bytes -= before.bytes;
                self.keep(before)?;
            }
            let (events, nodes) = (self.open.len(), self.nodes.len());
            covered = Some(Covered { events, nodes, bytes, judge: self.judge.clone(), note });
        }
        covered.map_or(Ok(()), |covered| self.keep(covered))
    }

    /// Makes a group durable, and lets everyone see it.
    fn keep(&mut self, covered: Covered) -> Result<(), ReplicaError> {
        let Covered { events, nodes, judge, note, .. } = covered;
        let (before, frontier) = (self.size(), judge.frontier());
        let commit = Commit {
            size: frontier.size(),
            chain: judge.chain(),
            root: frontier.root(),
            checkpoint: note.clone(),
        };
        let group = Group { events: self.open.drain(..events).collect(), commit };
        let nodes: Vec<_> = self.nodes.drain(..nodes).collect();
        let full = |replica: &mut Self, error| {
            replica.tree.take_back(before);
            ReplicaError::Full(error)
        };
        self.tree.append(&nodes).map_err(|error| match error.is_full() {
            true => full(self, error),
            false => ReplicaError::Disk(error),
        })?;
        let tip = self.writer.append(self.epoch, before, &group).map_err(|error| match error {
            WriteError::Full(error) => full(self, error),
            error => ReplicaError::Commit(error),
        })?;
        self.durable = judge;
        self.tree.settle().map_err(ReplicaError::Disk)?;
        let state = self.durable.state().clone();
        let checkpoint = self.stamp.cosigned(&note);
        self.announce.heads.announce(Arc::new(Snapshot { state, tip, checkpoint }));
        metrics::committed(group.events.len());
        Ok(())
    }

    /// Makes all tree nodes durable, so that the next start need not rebuild them.
    ///
    /// # Errors
    /// [`FileError`]: what is not durable of them is rebuilt at the next start.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.tree.sync()
    }
}
