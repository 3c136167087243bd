//! Copies a log into another directory, while a writer may be at work on it.
//!
//! Only what was checked is copied: every frame of every segment, up to the last commit. A segment
//! that stands in the target already, as long as it must be, is not copied again, so that a copy
//! brought up to date costs what is new. The mark, indexes, tree and rows are not copied: a writer
//! makes them anew. Checks no signature and no tree.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use tally_tlog::TreeSize;
use thiserror::Error;

use crate::error::{FileError, OpenError, Step};
use crate::files::{Layout, SegmentName, create_dir, sync_dir};
use crate::log::Commit;
use crate::scan::{ScanError, Scanned, scan};

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The last commit that was copied; `None` for a log without events.
    pub commit: Option<Commit>,
    /// Segments that were written.
    pub written: usize,
    /// Segments that stood in the target already.
    pub kept: usize,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Why a log was not copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The source can't be read, or the files can't be written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source is damaged before its end.
    #[error("{0}; nothing that is damaged is copied: run `tally fsck`")]
    Damaged(ScanError),
    /// The target holds more of the log than the source: it is newer, or of another history.
    #[error(
        "{segment} in the target is longer than in the source: the target is newer, or of another \
         history; compare them with `tally verify`"
    )]
    TargetAhead {
        /// The segment.
        segment: SegmentName,
    },
}

impl From<FileError> for CopyError {
    fn from(error: FileError) -> Self {
        Self::Open(error.into())
    }
}

/// Copies the log of the data directory `from` into the directory `to`, up to the last commit.
/// What `to` holds already must be a beginning of it; `progress` is told the bytes that were read.
///
/// # Errors
///
/// [`CopyError`]; what was copied before stays.
pub fn copy_log(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, CopyError> {
    let (source, target) = (Layout::new(from), Layout::new(to));
    let whole = whole_segments(from, progress)?;
    create_dir(&target.log())?;
    let mut copied = Copied { commit: whole.commit, written: 0, kept: 0, bytes: 0 };
    for &(name, end) in &whole.segments {
        match target.segment(name).metadata() {
            Ok(there) if there.len() == end => copied.kept += 1,
            Ok(there) if there.len() > end => {
                return Err(CopyError::TargetAhead { segment: name });
            }
            _ => {
                copy_segment(&source, &target, name, end)?;
                copied.written += 1;
                copied.bytes += end;
            }
        }
    }
    let beyond = target
        .segments()?
        .into_iter()
        .find(|name| !whole.segments.iter().any(|(segment, _)| segment == name));
    match beyond {
        Some(segment) => Err(CopyError::TargetAhead { segment }),
        None => Ok(copied),
    }
}

struct Whole {
    /// Each segment with the end of its last commit, or of its header while it has none.
    segments: Vec<(SegmentName, u64)>,
    commit: Option<Commit>,
}

fn whole_segments(from: &Path, progress: &mut dyn FnMut(u64)) -> Result<Whole, CopyError> {
    let mut whole = Whole { segments: Vec::new(), commit: None };
    let mut frames = scan(from)?;
    while let Some(frame) = frames.next() {
        let located = match frame {
            Ok(located) => located,
            Err(error) => return at_the_end(from, error, whole),
        };
        match located.item {
            Scanned::Segment(_) => whole.segments.push((located.segment, located.end)),
            Scanned::Event(_) => {}
            Scanned::Commit(commit) => {
                whole.segments.last_mut().expect("a header comes first").1 = located.end;
                whole.commit = Some(commit);
                progress(frames.progress().bytes_done);
            }
        }
    }
    Ok(whole)
}

/// A writer may be in the middle of a group: what follows the last commit is left out, if recovery
/// would cut it too.
fn at_the_end(from: &Path, error: ScanError, whole: Whole) -> Result<Whole, CopyError> {
    let committed = whole.commit.as_ref().map_or(TreeSize::ZERO, |commit| commit.size);
    match crate::reader::SegmentReader::open_read_only(from, &mut |_| {}) {
        Ok((_, report)) if report.cut.is_some() || report.tip.size >= committed => Ok(whole),
        _ => Err(CopyError::Damaged(error)),
    }
}

/// Writes the first `end` bytes beside the target, durable, and then puts them in its place.
fn copy_segment(
    source: &Layout,
    target: &Layout,
    name: SegmentName,
    end: u64,
) -> Result<(), FileError> {
    let (from, to) = (source.segment(name), target.segment(name));
    let beside = to.with_extension("copying");
    let read = File::open(&from).map_err(FileError::at(Step::Open, &from))?;
    let mut write = File::create(&beside).map_err(FileError::at(Step::Create, &beside))?;
    let bytes =
        io::copy(&mut read.take(end), &mut write).map_err(FileError::at(Step::Write, &beside))?;
    assert_eq!(bytes, end, "a segment never becomes shorter");
    write.flush().map_err(FileError::at(Step::Write, &beside))?;
    write.sync_all().map_err(FileError::at(Step::Sync, &beside))?;
    fs::rename(&beside, &to).map_err(FileError::at(Step::Create, &to))?;
    sync_dir(&target.log())
}
