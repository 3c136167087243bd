//! What can go wrong with the log, sorted by cause.
//!
//! Does not decide what to do about it. The texts say what happened, where, and what to do next.
//! Errors of the tree files and of the rows stand with them, since a rebuild cures those.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tally_protocol::{EventError, Position};
use tally_tlog::{NameError, Origin, TreeSize};
use thiserror::Error;

use crate::files::SegmentName;
use crate::frame::{FRAME_HEADER_BYTES, SEGMENT_FORMAT_VERSION};
use crate::log::{Epoch, MAX_GROUP_BYTES, Tip};

/// What was being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making it.
    Create,
    /// Opening it.
    Open,
    /// Listing a directory.
    List,
    /// Reading it.
    Read,
    /// Writing it.
    Write,
    /// Making it durable.
    Sync,
    /// Shortening it.
    Truncate,
    /// Removing it.
    Remove,
    /// Giving it its name.
    Rename,
    /// Locking it.
    Lock,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Create => "create",
            Step::Open => "open",
            Step::List => "list",
            Step::Read => "read",
            Step::Write => "write",
            Step::Sync => "sync",
            Step::Truncate => "truncate",
            Step::Remove => "remove",
            Step::Rename => "rename",
            Step::Lock => "lock",
        })
    }
}

/// The operating system refused something.
#[derive(Debug, Error)]
#[error("cannot {step} {}", path.display())]
pub struct FileError {
    /// What was being done.
    pub step: Step,
    /// To what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Whether there was no room for what was to be written. Not so for a sync: what is durable
    /// after one that failed is not known.
    pub fn is_full(&self) -> bool {
        let room =
            matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        room && self.step != Step::Sync
    }

    /// Names the step and the file; for `map_err`.
    pub fn at(step: Step, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, path: path.to_owned(), source }
    }
}

/// A place in the log that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("segment {segment}, byte {offset}, before position {position}: {cause}")]
pub struct Damage {
    /// The file.
    pub segment: SegmentName,
    /// Where in it the frame begins.
    pub offset: u64,
    /// The position that the next event would have had.
    pub position: Position,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong with a place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cause {
    /// The file ends inside a frame.
    #[error("the file ends {missing} bytes short of the frame's end")]
    Truncated {
        /// Bytes that are not there, as far as can be told.
        missing: u64,
    },
    /// Kind and length do not have their checksum.
    #[error("the {FRAME_HEADER_BYTES} bytes of the frame's header do not have their checksum")]
    HeaderChecksum,
    /// The body does not have its checksum.
    #[error("the frame's body does not have its checksum")]
    BodyChecksum,
    /// A frame of no known kind.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// A body length that this kind of frame cannot have.
    #[error("a body of {0} bytes is too long or too short for its kind of frame")]
    Length(u32),
    /// The first frame of a file is not a segment header, or there is none.
    #[error("the segment does not begin with its header")]
    NoSegmentHeader,
    /// A segment header that is not the first frame.
    #[error("a segment header inside the segment")]
    StraySegmentHeader,
    /// A segment header without the magic bytes.
    #[error("the segment header does not say TALLYLOG")]
    Magic,
    /// A segment of another format.
    #[error("segment format {0}, this program reads {SEGMENT_FORMAT_VERSION}")]
    Version(u8),
    /// A segment header whose origin is none.
    #[error("the segment header's origin is not valid: {0}")]
    Origin(NameError),
    /// A segment header of another log.
    #[error("the segment is of another log, {0}")]
    OtherOrigin(Origin),
    /// A segment that does not begin where the one before ended, or whose name says otherwise.
    #[error("the segment says it begins at position {found}; a segment before it is missing")]
    SegmentPosition {
        /// The position in name or header.
        found: Position,
    },
    /// A segment that does not link to the one before.
    #[error("the segment does not link to the chain before it")]
    SegmentChain,
    /// A segment whose epoch is lower than that of one before.
    #[error("the segment's epoch {found} is lower than one before it")]
    SegmentEpoch {
        /// What the header says.
        found: Epoch,
    },
    /// A body that is not an event.
    #[error("not an event: {0}")]
    Event(EventError),
    /// An event with another position.
    #[error("the event says its position is {found}")]
    EventPosition {
        /// What it says.
        found: Position,
    },
    /// An event that does not link to the one before.
    #[error("the event does not link to the chain before it")]
    EventChain,
    /// The index names a place where no event begins.
    #[error("no event begins where the index says")]
    EventExpected,
    /// A commit without events.
    #[error("a commit without events")]
    CommitEmpty,
    /// A commit of another size than the events before it.
    #[error("the commit says the log has {found} events")]
    CommitSize {
        /// What it says.
        found: TreeSize,
    },
    /// A commit of another chain than the events before it.
    #[error("the commit's chain hash is not that of the events before it")]
    CommitChain,
    /// Events that no commit follows.
    #[error("the segment ends with {events} events that no commit ends")]
    Uncommitted {
        /// How many.
        events: u64,
    },
    /// The log ends, though more was acknowledged.
    #[error("the log ends here")]
    EndOfLog,
}

/// How it is known that what is damaged or missing was acknowledged, so that nothing may be cut.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Proof {
    /// The mark says so.
    #[error("the mark says that {0} events were acknowledged")]
    Mark(TreeSize),
    /// A commit stands behind the damage.
    #[error("a commit of {size} events stands behind it, at byte {offset}")]
    LaterCommit {
        /// Where.
        offset: u64,
        /// What it says.
        size: TreeSize,
    },
    /// A segment stands behind the damage, and one is begun only behind a durable commit.
    #[error("segment {0} stands behind it")]
    LaterSegment(SegmentName),
    /// What is damaged was whole once: a write that a crash tore leaves zeros, or ends early.
    #[error("no part of it was left unwritten, so it was not torn but damaged later")]
    NotTorn,
    /// The mark cannot be read, so that nothing says it was not acknowledged.
    #[error("the mark is missing or damaged, so it cannot be told whether it was acknowledged")]
    MarkUnreadable,
}

/// Why a log is not opened. Nothing was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process writes to this directory.
    #[error(
        "{} is held by another process ({holder}); stop it, or read without writing",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What that process wrote there, cut to 200 characters.
        holder: String,
    },
    /// There is no log to read.
    #[error("{} holds no log; name the directory of a ledger", path.display())]
    NoLog {
        /// The directory.
        path: PathBuf,
    },
    /// The log has another name.
    #[error("the log is {found}, not {expected}; name the right directory or the right origin")]
    OtherOrigin {
        /// The name in the first segment's header.
        found: Origin,
        /// The name asked for.
        expected: Origin,
    },
    /// A file of the log whose name is not that of a segment.
    #[error("{} is not a segment's name; move the file away if it is not the ledger's", path.display())]
    StrangeFile {
        /// The file.
        path: PathBuf,
    },
    /// Acknowledged events are damaged or missing.
    #[error(
        "acknowledged events are damaged or missing: {damage}; {proof}. Nothing was changed: \
         `tally fsck` names all that is damaged, and repairs it from a backup or another copy"
    )]
    Damaged {
        /// The place.
        damage: Damage,
        /// Why it is not cut off.
        proof: Proof,
    },
    /// A segment that cannot be read as one of this log, though its header is whole.
    #[error(
        "{damage}. Nothing was changed: use the program that wrote it, or move away what is not \
         this ledger's"
    )]
    Foreign {
        /// The place.
        damage: Damage,
    },
    /// The mark is of another log: its chain hash at its size is not this log's.
    #[error(
        "{} says that the log's {size} events have another chain hash; mark and log are not of \
         one ledger: restore both from one backup",
        path.display()
    )]
    MarkDisagrees {
        /// The mark.
        path: PathBuf,
        /// Its size.
        size: TreeSize,
    },
    /// The mark is damaged and there is no segment at all.
    #[error(
        "{} is damaged and there is no segment: the log may be lost. Restore it from a backup or \
         a mirror, or remove the file to begin an empty ledger",
        path.display()
    )]
    LogMissing {
        /// The mark.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{0}; mend that and open again")]
    File(#[from] FileError),
}

/// Why a group was not appended, or may not have been.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The log's size is not the one expected. Nothing was written.
    #[error("the log has {} events, not as many as expected; build the group on its tip", tip.size)]
    Conflict {
        /// The head there is.
        tip: Tip,
    },
    /// A higher epoch was opened, or none by this writer. Nothing was written.
    #[error("the log is in epoch {epoch}, held by another; open an epoch to write")]
    Fenced {
        /// The highest epoch.
        epoch: Epoch,
    },
    /// The group is over the limit. Nothing was written.
    #[error("a group of {bytes} bytes is over the limit of {MAX_GROUP_BYTES}; split it")]
    GroupTooLarge {
        /// Its bytes on disk.
        bytes: usize,
    },
    /// The disk is full. The group is not in the log, and the next may find room.
    #[error("the disk is full: nothing of the group was kept; make room and append it again")]
    Full(#[source] FileError),
    /// The fence could not be made durable. The writer is poisoned.
    #[error("the epoch is not durable; mend the disk and open the log again")]
    Epoch(#[source] FileError),
    /// No new segment could be begun. The group is not in the log; the writer is poisoned.
    #[error("no segment could be begun; mend the disk and open the log again")]
    Roll(#[source] FileError),
    /// The group may or may not be durable. The writer is poisoned.
    #[error("it is unknown whether the group is durable; open the log again and look at its tip")]
    Unknown(#[source] FileError),
    /// An earlier write failed.
    #[error("an earlier write failed; open the log again")]
    Poisoned,
}

/// Why an event was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The log is not that long.
    #[error("the log has {size} events, none at position {position}")]
    Beyond {
        /// The position asked for.
        position: Position,
        /// The log's size.
        size: TreeSize,
    },
    /// What is on disk is not what was written.
    #[error("{0}; `tally fsck` names all that is damaged, and repairs it from another copy")]
    Damaged(#[from] Damage),
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}
