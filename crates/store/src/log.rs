//! What a log store is: groups, the tip, the traits behind which another engine can stand.
//!
//! Does not touch a disk; [`SegmentLog`] is the door to the engine that does.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, Position, Time};
use tally_tlog::{Hash, Origin, TreeSize, empty_root};

use crate::error::{AppendError, OpenError, ReadError};
use crate::files::Layout;
use crate::fs::{FileSystem, RealFs};
use crate::reader::SegmentReader;
use crate::recover::{self, Recovery};
use crate::writer::SegmentWriter;

/// A segment that has reached this many bytes gets no further group.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What a start reads of the log at most, if the last segment is no longer.
pub const START_BYTES: u64 = 64 * 1024 * 1024;

/// Most bytes of one group on disk, frames included. Bounds the writer's buffer.
pub const MAX_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// The durable head of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// How many events there are.
    pub size: TreeSize,
    /// The chain's link after the last of them.
    pub chain: ChainHash,
    /// The tree's root over them, as the last commit says.
    pub root: Hash,
    /// When the last of them was recorded; 0 in an empty log.
    pub recorded_at: Time,
}

impl Tip {
    /// The head of a log without events.
    pub fn genesis(origin: &Origin) -> Self {
        Self {
            size: TreeSize::ZERO,
            chain: ChainHash::genesis(origin),
            root: empty_root(),
            recorded_at: Time(0),
        }
    }
}

/// What ends a group: the log's head after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// How many events the log has after the group.
    pub size: TreeSize,
    /// The chain's link after the group's last event.
    pub chain: ChainHash,
    /// The tree's root after the group.
    pub root: Hash,
    /// The signed checkpoint note of this head; empty when none was signed.
    pub checkpoint: Bytes,
}

/// One immutable group commit: all of its events become durable, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// At least one, in order, each linked to the one before.
    pub events: Vec<Event>,
    /// The head that they make.
    pub commit: Commit,
}

/// A fence: who holds a lower epoch cannot commit any more. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The epoch after it; the last there is has none.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Appends groups. One holder at a time; nothing is deleted or overwritten.
pub trait LogWriter: Send {
    /// Sets a durable fence at the tip: the holder of a lower epoch can't commit any more.
    ///
    /// `holder` is for people who ask who has the log.
    ///
    /// In the embedded engine the process lock is the fence, and the number is one more than the
    /// highest in the mark and in any segment header. It is written to the mark durably here, and
    /// to the header of each segment begun under it; a new segment is *not* begun for it. If the
    /// mark is lost, a number may be given again, which harms nobody while the lock stands.
    ///
    /// # Errors
    ///
    /// [`AppendError::Epoch`] when the fence could not be made durable, [`AppendError::Poisoned`].
    fn open_epoch(&mut self, holder: &str) -> Result<Epoch, AppendError>;

    /// Appends a group behind `expected` and returns when it is durable.
    ///
    /// # Errors
    ///
    /// - [`AppendError::Conflict`]: the log's size is not `expected`; nothing was written.
    /// - [`AppendError::Fenced`]: `epoch` is not the highest; nothing was written.
    /// - [`AppendError::GroupTooLarge`]: nothing was written.
    /// - [`AppendError::Full`]: what was written of the group was taken back, and the writer goes
    ///   on from the same tip.
    /// - [`AppendError::Roll`]: no segment could be begun; nothing was written, and the writer is
    ///   poisoned.
    /// - [`AppendError::Unknown`]: the group may or may not be durable, and the writer is
    ///   poisoned. Open the log again: its tip says which.
    /// - [`AppendError::Poisoned`]: an earlier append failed.
    ///
    /// # Panics
    ///
    /// When the group is not what follows `expected`: no events, a gap, a wrong link at its ends, or
    /// a commit that does not fit its events. Such a log could not be opened again. That the events
    /// within are linked is for the caller to know, who hashed them.
    fn append(
        &mut self,
        epoch: Epoch,
        expected: TreeSize,
        group: &Group,
    ) -> Result<Tip, AppendError>;

    /// The durable head.
    fn tip(&self) -> Tip;
}

/// How much one read returns at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Events. At least one is returned all the same.
    pub events: usize,
    /// Event bytes. A first event over it is returned all the same.
    pub bytes: usize,
}

/// Events in log order, and the commits that end groups among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The events.
    pub events: Vec<Event>,
    /// The commits of groups whose last event is among them, in order.
    pub commits: Vec<Commit>,
}

/// Reads durable events.
pub trait LogReader: Send + Sync {
    /// The log's name.
    fn origin(&self) -> &Origin;

    /// The head after the last durable group.
    fn tip(&self) -> Tip;

    /// The signed checkpoint note of the last commit; empty when none was signed.
    fn checkpoint(&self) -> Bytes;

    /// One event, its checksum and position compared again: disks lie.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn event(&self, at: Position) -> Result<Event, ReadError>;

    /// Events from a position on, in order: at least one if there is one, none at the tip or
    /// beyond. They share their memory: keeping one may keep its neighbours' bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Event>, ReadError> {
        Ok(self.run(from, limit)?.events)
    }

    /// The same events, with the commits that the writer ended its groups by.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn run(&self, from: Position, limit: ReadLimit) -> Result<Run, ReadError>;
}

/// How far a scan or a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read so far.
    pub bytes_done: u64,
    /// Bytes there are.
    pub bytes_total: u64,
}

/// Settings of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment of at least so many bytes gets no further group. [`SEGMENT_BYTES`] but in tests.
    pub segment_bytes: u64,
    /// A start reads the last segment, and as many before it as have so many bytes with it;
    /// [`START_BYTES`] but in tests. [`u64::MAX`] reads all of them.
    pub start_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, start_bytes: START_BYTES }
    }
}

/// The embedded engine: segment files with a process lock and an epoch.
#[derive(Debug)]
pub struct SegmentLog;

impl SegmentLog {
    /// Opens the log in `dir` to write and to read; makes it when there is none.
    ///
    /// A start reads the frames of the last segments: see [`Options::start_bytes`]. Those before
    /// were durable before the next one began, and are taken on trust if names, headers, lengths
    /// and the last group of each fit; if they do not, or mark or index is not whole, every frame
    /// is read. What has become of them since is found when they are read, by
    /// [`fsck()`](crate::fsck()), or by opening to read. A tail that was never acknowledged is cut
    /// and reported.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: locked, of another origin, damaged, or the disk failed.
    pub fn open(
        dir: &Path,
        origin: &Origin,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(SegmentWriter, SegmentReader, Recovery), OpenError> {
        Self::open_on(Arc::new(RealFs), dir, origin, options, progress)
    }

    /// Opens a log on another file system than the operating system's.
    ///
    /// # Errors
    ///
    /// As [`SegmentLog::open`].
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        origin: &Origin,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(SegmentWriter, SegmentReader, Recovery), OpenError> {
        recover::open(Layout::on(fs, dir), origin, options, progress)
    }
}
