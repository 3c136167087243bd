//! Copies a log into another directory, while a writer may be at work on it.
//!
//! Only what was checked is copied: every frame of every segment, up to the last commit. What
//! stands in the target already is compared byte by byte; a segment that is there as long as it
//! must be is not written again, so that a copy brought up to date writes what is new. The mark,
//! indexes, tree and rows are not copied: a writer makes them anew. Checks no signature and no tree.
//!
//! Each segment is written beside its place, made durable, and renamed: at any moment, a crash
//! included, the target is a log that ends with a commit, and copying again completes it.

use std::path::Path;
use std::sync::Arc;

use tally_tlog::TreeSize;
use thiserror::Error;

use crate::error::{FileError, OpenError, Step};
use crate::files::{
    Layout, SegmentName, create_dir_on, if_writable, length, open_or_create, open_to_read,
    sync_dir_on, sync_parents_on,
};
use crate::fs::{DiskFile, FileSystem, RealFs};
use crate::log::{Commit, LogReader, Progress};
use crate::reader::{SegmentInfo, SegmentReader};

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 1024 * 1024;

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The last commit that was copied; `None` for a log without events, of which nothing is.
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
    /// The source is damaged or can't be read, or the target can't be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target holds more of the log than the source: it is newer, or of another history.
    #[error(
        "{segment} in the target is longer than in the source: the target is newer, or of another \
         history. Nothing was changed: compare them with `tally verify`"
    )]
    TargetAhead {
        /// The segment.
        segment: SegmentName,
    },
    /// The target holds something else than the source.
    #[error(
        "{segment} in the target is not what the source has from byte {offset} on: it is damaged, \
         or of another history. Nothing was changed: compare them with `tally verify`; a damaged \
         segment is copied again when it is removed"
    )]
    TargetDiffers {
        /// The segment.
        segment: SegmentName,
        /// The first byte that differs.
        offset: u64,
    },
}

impl From<FileError> for CopyError {
    fn from(error: FileError) -> Self {
        Self::Open(error.into())
    }
}

/// Copies the log of the data directory `from` into the directory `to`, up to the last commit.
/// What `to` holds already must be a beginning of it. `progress` is told of the check of the
/// source, and then of the copy.
///
/// What was committed when this was called is in the copy, and the copy is durable when this
/// returns. Nothing is in it that the source could still lose, unless a sync of the source has
/// failed before.
///
/// # Errors
///
/// [`CopyError`]; the target is then a log that ends with a commit all the same, or still none.
pub fn copy_log(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    copy_log_on(Arc::new(RealFs), from, to, progress)
}

/// Copies a log on another file system than the operating system's.
///
/// # Errors
///
/// As [`copy_log`].
pub fn copy_log_on(
    fs: Arc<dyn FileSystem>,
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let (source, target) = (Layout::on(Arc::clone(&fs), from), Layout::on(Arc::clone(&fs), to));
    let (reader, _) = SegmentReader::open_read_only_on(fs, from, progress)?;
    let segments = committed(&reader);
    let bytes_total = segments.iter().map(|segment| segment.end).sum();
    let there = compare(&source, &target, &segments)?;
    create_dir_on(target.fs(), &target.log())?;
    let mut copied = Copied { commit: last_commit(&reader), written: 0, kept: 0, bytes: 0 };
    let mut bytes_done = 0;
    for &SegmentInfo { name, end, .. } in &segments {
        if there.contains(&(name, end)) {
            copied.kept += 1;
        } else {
            copy_segment(&source, &target, name, end)?;
            copied.written += 1;
            copied.bytes += end;
        }
        bytes_done += end;
        progress(Progress { bytes_done, bytes_total });
    }
    // IMPORTANT: even if nothing was written: a copy that was killed may not have come to it.
    sync_dir_on(target.fs(), &target.log())?;
    sync_parents_on(target.fs(), &target.log())?;
    Ok(copied)
}

/// The segments that hold a commit. A header alone may be lost, and then another takes its place.
fn committed(reader: &SegmentReader) -> Vec<SegmentInfo> {
    let size = reader.tip().size;
    let mut segments = reader.segments();
    segments.retain(|segment| size.contains(segment.name.first().leaf()));
    segments
}

fn last_commit(reader: &SegmentReader) -> Option<Commit> {
    let tip = reader.tip();
    let checkpoint = reader.checkpoint();
    let commit = Commit { size: tip.size, chain: tip.chain, root: tip.root, checkpoint };
    (tip.size > TreeSize::ZERO).then_some(commit)
}

/// The segments that stand in the target, with their lengths, each a beginning of the source's.
fn compare(
    source: &Layout,
    target: &Layout,
    segments: &[SegmentInfo],
) -> Result<Vec<(SegmentName, u64)>, CopyError> {
    let mut there = Vec::new();
    for name in target.segments()? {
        let end = segments.iter().find(|segment| segment.name == name).map(|segment| segment.end);
        let (path, beside) = (source.segment(name), target.segment(name));
        let copy = open_to_read(target.fs(), &beside)?;
        let bytes = length(&*copy, &beside)?;
        if end.is_none_or(|end| bytes > end) {
            return Err(CopyError::TargetAhead { segment: name });
        }
        let original = open_to_read(source.fs(), &path)?;
        for range in chunks(bytes) {
            let offset = range.start;
            let expected = read(&*original, &path, range.clone())?;
            let found = read(&*copy, &beside, range)?;
            if let Some(at) = expected.iter().zip(&found).position(|(a, b)| a != b) {
                let offset = offset + at as u64;
                return Err(CopyError::TargetDiffers { segment: name, offset });
            }
        }
        there.push((name, bytes));
    }
    Ok(there)
}

/// Writes the first `end` bytes beside the target, durable, and then puts them in its place.
fn copy_segment(
    source: &Layout,
    target: &Layout,
    name: SegmentName,
    end: u64,
) -> Result<(), FileError> {
    let (fs, path, place) = (target.fs(), source.segment(name), target.segment(name));
    let original = open_to_read(source.fs(), &path)?;
    // IMPORTANT: or the source might lose with the power what its copy has, and go on otherwise.
    if_writable(original.sync_data()).map_err(FileError::at(Step::Sync, &path))?;
    let beside = place.with_extension("copying");
    let copy = open_or_create(fs, &beside)?;
    copy.set_len(0).map_err(FileError::at(Step::Truncate, &beside))?;
    for range in chunks(end) {
        let offset = range.start;
        let bytes = read(&*original, &path, range)?;
        copy.write_all_at(&bytes, offset).map_err(FileError::at(Step::Write, &beside))?;
    }
    copy.sync_all().map_err(FileError::at(Step::Sync, &beside))?;
    fs.rename(&beside, &place).map_err(FileError::at(Step::Rename, &beside))?;
    // IMPORTANT: before the next: a segment must not outlive a power cut that the one before did not.
    sync_dir_on(fs, &target.log())
}

fn chunks(bytes: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..bytes).step_by(CHUNK_BYTES as usize).map(move |from| from..bytes.min(from + CHUNK_BYTES))
}

fn read(
    file: &dyn DiskFile,
    path: &Path,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start).map_err(FileError::at(Step::Read, path))?;
    Ok(bytes)
}
