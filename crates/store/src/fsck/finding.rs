//! What a check of a data directory can find, what it means, and what to do about it.

use std::ops::Range;
use std::path::PathBuf;

use tally_protocol::Position;
use tally_tlog::{CheckpointError, Hash, TreeSize};
use thiserror::Error;

use crate::error::Cause;

/// What a finding means for the ledger, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Acknowledged events, or what proves them, are damaged or missing.
    Ledger,
    /// Nothing is lost, but no start puts it right: somebody must.
    ByHand,
    /// The next start makes it again.
    Rebuildable,
    /// It was never acknowledged, and the next start cuts it off.
    Tail,
    /// Nothing reads it.
    Leftover,
}

impl Severity {
    /// Whether the next start does not put it right by itself.
    pub fn is_harm(self) -> bool {
        match self {
            Self::Ledger | Self::ByHand => true,
            Self::Rebuildable | Self::Tail | Self::Leftover => false,
        }
    }
}

/// One place of a data directory that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, from the data directory.
    pub file: PathBuf,
    /// The bytes of it; empty where something is missing between two bytes, or all of the file.
    pub bytes: Range<u64>,
    /// The events that cannot be read because of it; for nodes of the tree, those they stand over.
    pub positions: Range<Position>,
    /// What it means.
    pub severity: Severity,
    /// What is wrong.
    pub flaw: Flaw,
}

impl Finding {
    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self.severity {
            Severity::Rebuildable if self.flaw == Flaw::IndexWrong => {
                "nothing: who is led astray by it makes it again; or remove it, and the next start \
                 does"
            }
            Severity::Rebuildable => "nothing: the next start makes it again",
            Severity::Tail => "nothing: the next start cuts it off",
            Severity::Ledger | Severity::ByHand | Severity::Leftover => self.flaw.remedy(),
        }
    }
}

/// What is wrong with a place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A frame, or a segment.
    #[error("{0}")]
    Frame(Cause),
    /// Bytes that cannot be read.
    #[error("the disk does not give these bytes back")]
    Unreadable,
    /// Two segments with events between them that no segment has.
    #[error("the segment is missing")]
    SegmentMissing,
    /// A segment whose events another one has too, in part.
    #[error("the segment begins at position {first}, the one before it ends at {end}")]
    Overlap {
        /// Where it begins.
        first: Position,
        /// Where the one before it ends.
        end: Position,
    },
    /// A segment whose events another one has too, all of them.
    #[error("another segment holds all of its events too")]
    Superfluous,
    /// A commit whose root is not that of the events.
    #[error("the commit of {size} events says root {expected}, the events have {found}")]
    Root {
        /// The commit's size.
        size: TreeSize,
        /// What it says.
        expected: Hash,
        /// What the events give.
        found: Hash,
    },
    /// The checkpoint of the last commit.
    #[error("the checkpoint of {size} events is not to be believed: {problem}")]
    Checkpoint {
        /// The commit's size.
        size: TreeSize,
        /// Why.
        problem: CheckpointFlaw,
    },
    /// The log ends before what was acknowledged does.
    #[error("the log ends here, the mark says that {0} events were acknowledged")]
    EndsEarly(TreeSize),
    /// There is no mark.
    #[error("the mark is missing")]
    MarkMissing,
    /// The mark does not say all that it said.
    #[error("the mark is damaged")]
    MarkDamaged,
    /// The mark is damaged and there is no segment.
    #[error("the mark is damaged and there is no segment: the log may be lost")]
    LogMissing,
    /// The mark's chain hash is not that of the log.
    #[error("the mark says that the log's {0} events have another chain hash")]
    MarkDisagrees(TreeSize),
    /// What follows the last commit may have been acknowledged: no mark says that it was not.
    #[error("events without a commit, and no whole mark says that they were not acknowledged")]
    TailUnproven,
    /// A segment without index.
    #[error("the index is missing")]
    IndexMissing,
    /// An index that names other places than those where events begin.
    #[error("the index does not fit its segment")]
    IndexWrong,
    /// There are events, and no tree.
    #[error("the tree's nodes are missing")]
    TreeMissing,
    /// How many nodes are durable cannot be read.
    #[error("it cannot be read how many nodes are durable")]
    TreeSizeDamaged,
    /// Nodes of events that the log does not have, though nodes are stored behind the commit.
    #[error("the tree has nodes of {0} events, and the log ends before them")]
    TreeAhead(TreeSize),
    /// A tier of the tree that is too short.
    #[error("nodes are missing")]
    NodesMissing,
    /// Nodes that are not those of the log's events.
    #[error("{wrong} nodes are not those of the log's events")]
    NodesWrong {
        /// How many.
        wrong: u64,
    },
    /// Blocks of right nodes whose seals are not theirs.
    #[error("{wrong} checksums are not those of the nodes before them")]
    SealsWrong {
        /// How many.
        wrong: u64,
    },
    /// A file that ends like a segment and is not named like one.
    #[error("this is not a segment's name")]
    StrangeName,
    /// A file that is not the ledger's, or was left behind.
    #[error("no part of the ledger")]
    Stray,
    /// A segment that a repair has kept.
    #[error("kept by a repair: the segment as it was before")]
    KeptAside,
}

/// Why a checkpoint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointFlaw {
    /// Not a checkpoint of this ledger, or not signed by its key.
    #[error("{0}")]
    Invalid(CheckpointError),
    /// It is of another size than its commit.
    #[error("it is of {signed} events")]
    Size {
        /// What it says.
        signed: TreeSize,
    },
    /// It is of another tree than its commit.
    #[error("it is of root {signed}")]
    Root {
        /// What it says.
        signed: Hash,
    },
}

const REPAIR: &str = "repair it from a copy of the ledger: `--repair-from COPY`";
const MOVE_AWAY: &str = "it is not this ledger's: move the file away";

impl Flaw {
    /// What to do about it where no start does it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Frame(cause) => frame_remedy(cause),
            Self::Unreadable
            | Self::SegmentMissing
            | Self::Overlap { .. }
            | Self::Root { .. }
            | Self::EndsEarly(_)
            | Self::TreeAhead(_)
            | Self::MarkMissing
            | Self::MarkDamaged
            | Self::LogMissing
            | Self::TailUnproven => REPAIR,
            Self::Checkpoint { .. } => {
                "make sure that the key is the ledger's; if it is, do not serve this log, and \
                 compare it with a copy by `tally verify`"
            }
            Self::MarkDisagrees(_) => {
                "mark and log are not of one ledger: restore both from one backup; if `tally \
                 verify` and a checkpoint kept elsewhere say that the log is right, remove the mark"
            }
            Self::IndexMissing | Self::IndexWrong => "remove the index: the next start makes it",
            Self::TreeMissing
            | Self::TreeSizeDamaged
            | Self::NodesMissing
            | Self::NodesWrong { .. }
            | Self::SealsWrong { .. } => {
                "stop the ledger and remove the directory `tree`: the next start makes it again"
            }
            Self::Superfluous => "move the file away: nothing is lost with it",
            Self::StrangeName => MOVE_AWAY,
            Self::Stray => "remove it if it is not yours",
            Self::KeptAside => "remove it when `tally verify` says that the ledger is valid",
        }
    }
}

fn frame_remedy(cause: &Cause) -> &'static str {
    match cause {
        Cause::Version(_) => "use the program that wrote it",
        Cause::Magic | Cause::Origin(_) | Cause::OtherOrigin(_) => MOVE_AWAY,
        Cause::Truncated { .. }
        | Cause::HeaderChecksum
        | Cause::BodyChecksum
        | Cause::Kind(_)
        | Cause::Length(_)
        | Cause::NoSegmentHeader
        | Cause::StraySegmentHeader
        | Cause::SegmentPosition { .. }
        | Cause::SegmentChain
        | Cause::SegmentEpoch { .. }
        | Cause::Event(_)
        | Cause::EventPosition { .. }
        | Cause::EventChain
        | Cause::EventExpected
        | Cause::CommitEmpty
        | Cause::CommitSize { .. }
        | Cause::CommitChain
        | Cause::Uncommitted { .. }
        | Cause::EndOfLog => REPAIR,
    }
}
