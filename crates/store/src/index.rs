//! Where each event of a segment begins: an array of big-endian `u64` byte offsets beside it.
//!
//! Can always be rebuilt from the segment, is never synced on the hot path, and is believed no
//! further than to the frame it points at, which has checksum and position of its own.

use std::path::{Path, PathBuf};

use crate::error::{FileError, Step};
use crate::files::{open_or_create, read_file};
use crate::fs::{DiskFile, FileSystem};

const ENTRY_BYTES: usize = 8;

/// Whether the file begins with exactly these offsets, and, if `whole`, holds nothing else.
pub(crate) fn agrees(
    fs: &dyn FileSystem,
    path: &Path,
    offsets: &[u64],
    whole: bool,
) -> Result<bool, FileError> {
    let expected = encode(offsets);
    Ok(match read_file(fs, path)? {
        Some(found) if whole => found == expected,
        Some(found) => found.starts_with(&expected),
        None => false,
    })
}

/// Writes the file anew.
pub(crate) fn rewrite(fs: &dyn FileSystem, path: &Path, offsets: &[u64]) -> Result<(), FileError> {
    let file = open_or_create(fs, path)?;
    file.set_len(0).map_err(FileError::at(Step::Truncate, path))?;
    file.write_all_at(&encode(offsets), 0).map_err(FileError::at(Step::Write, path))
}

/// Bytes of an index of so many events; `None` of more than there can be.
pub(crate) fn bytes(events: u64) -> Option<u64> {
    events.checked_mul(ENTRY_BYTES as u64)
}

/// The entry of the segment's `nth` event.
pub(crate) fn offset(file: &dyn DiskFile, path: &Path, nth: u64) -> Result<u64, FileError> {
    let mut entry = [0; ENTRY_BYTES];
    file.read_exact_at(&mut entry, nth * ENTRY_BYTES as u64)
        .map_err(FileError::at(Step::Read, path))?;
    Ok(u64::from_be_bytes(entry))
}

/// The index of the segment that is being written.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    events: u64,
}

impl IndexWriter {
    /// Continues an index that has so many entries.
    pub(crate) fn open(fs: &dyn FileSystem, path: PathBuf, events: u64) -> Result<Self, FileError> {
        Ok(Self { file: open_or_create(fs, &path)?, path, events })
    }

    /// Writes entries behind those there are, which they join with [`IndexWriter::keep`].
    pub(crate) fn write(&self, offsets: &[u64]) -> Result<(), FileError> {
        self.file
            .write_all_at(&encode(offsets), self.events * ENTRY_BYTES as u64)
            .map_err(FileError::at(Step::Write, &self.path))
    }

    /// So many of the entries that were written behind the others are of committed events.
    pub(crate) fn keep(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// Drops what was written and not kept.
    pub(crate) fn cut(&self) -> Result<(), FileError> {
        self.file
            .set_len(self.events * ENTRY_BYTES as u64)
            .map_err(FileError::at(Step::Truncate, &self.path))
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

fn encode(offsets: &[u64]) -> Vec<u8> {
    offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect()
}
