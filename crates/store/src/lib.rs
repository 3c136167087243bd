//! The log's segments, the tree's nodes and the rebuildable rows of one ledger, in one directory.
//!
//! This crate knows positions, groups and bytes. It does not know envelopes, rules, keys or
//! signatures: whoever appends has checked the events and computed the commit.
//!
//! | path | what | can be rebuilt |
//! |---|---|---|
//! | `lock` | held by the one writer; readers take none | yes |
//! | `mark` | how many events were acknowledged at least, apart from the log ([`mark`]) | if the log is whole |
//! | `log/<first position>.seg` | the events and commits: the ledger ([`scan()`] reads them) | no |
//! | `log/<first position>.idx` | where each event of the segment begins | yes |
//! | `tree/t<tier>` | the Merkle tree's complete nodes ([`tree`]) | yes |
//! | `projections/` | what folds keep, one directory of [`rows`] each | yes |
//! | `damaged/` | segments that a repair has replaced, as they were ([`mod@repair`]) | needless |
//!
//! # What is promised
//!
//! - [`LogWriter::append`] returns after the group is durable: one write and one `fdatasync`.
//! - An acknowledged event is never silently lost. [`SegmentLog::open`] reads the end of the log,
//!   cuts only a tail that was never acknowledged, and otherwise refuses, naming the place. It reads
//!   all of the log where what it has of the older segments does not fit.
//! - What is read is checked again: [`LogReader::event`] compares checksum and position each time.
//! - [`fsck()`] names all that is damaged, not only the first place, and changes nothing.
//! - [`repair()`] takes from a copy only what leads to the signed head, and drops no acknowledged
//!   event; interrupted, it can be run again.
//!
//! # Example
//!
//! ```
//! use tally_store::{LogReader, Options, SegmentLog};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let origin = "example.com/ledger".parse()?;
//! let (writer, reader, recovery) =
//!     SegmentLog::open(dir, &origin, Options::default(), &mut |_| {})?;
//! assert_eq!(reader.tip(), recovery.tip);
//! writer.close()?;
//! # Ok(())
//! # }
//! ```

mod block;
mod copy;
mod error;
mod files;
mod frame;
pub mod fs;
pub mod fsck;
mod index;
mod log;
pub mod mark;
mod memtable;
mod patient;
mod reader;
mod recent;
mod recover;
pub mod repair;
pub mod rows;
mod salvage;
pub mod scan;
mod sealed;
mod tear;
mod tiers;
pub mod tree;
mod view;
mod writer;

pub use copy::{Copied, CopyError, copy_log, copy_log_on};
pub use error::{AppendError, Cause, Damage, FileError, OpenError, Proof, ReadError, Step};
pub use files::SegmentName;
pub use frame::{FRAME_HEADER_BYTES, FrameKind, SEGMENT_FORMAT_VERSION};
pub use fsck::fsck;
pub use log::{
    Commit, Epoch, Group, LogReader, LogWriter, MAX_GROUP_BYTES, Options, Progress, ReadLimit, Run,
    SEGMENT_BYTES, START_BYTES, SegmentLog, Tip,
};
pub use mark::{Mark, claim};
pub use reader::SegmentReader;
pub use recover::{Cut, MarkReport, Recovery};
pub use repair::repair;
pub use rows::{
    Change, MEMTABLE_BYTES, MEMTABLE_EVENTS, Quarantined, Rows, RowsError, RowsId, RowsSnapshot,
    RowsState,
};
pub use scan::{Located, Scan, ScanError, Scanned, SegmentStart, scan};
pub use tree::{RECENT_LEAVES, TreeError, TreeFiles, TreeReader, TreeReport};
pub use view::RowsView;
pub use writer::SegmentWriter;
