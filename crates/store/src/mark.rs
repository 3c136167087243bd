//! The high-water mark: how many events were acknowledged at least, kept apart from the log.
//!
//! ```text
//! slot = "TALLYMRK" ‖ sequence u64 ‖ size u64 ‖ chain hash [32] ‖ epoch u64 ‖ zeros [12] ‖ crc32
//! ```
//!
//! Two slots of 80 bytes, written in turn: sequence n goes to slot n mod 2. A slot of zeros was
//! never written. The mark is not synced for each group: it holds against a killed process, and
//! after a power loss it may lag, which is harmless, because it only proves that *at least* so
//! many events were acknowledged. It never says that there are no more.

use std::path::{Path, PathBuf};

use tally_protocol::ChainHash;
use tally_tlog::TreeSize;

use crate::error::{FileError, Step};
use crate::files::{Layout, length, open_or_create, read_file};
use crate::frame::{array, u32_at, u64_at};
use crate::fs::{DiskFile, FileSystem};
use crate::log::Epoch;

const MAGIC: &[u8; 8] = b"TALLYMRK";
const SLOT_BYTES: usize = 80;
const CRC_AT: usize = SLOT_BYTES - 4;
const FILE_BYTES: usize = 2 * SLOT_BYTES;

/// A slot with a higher sequence was not written by counting from 1, and is taken for damaged.
const MAX_SEQUENCE: u64 = u64::MAX / 2;

/// What the mark claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// At least so many events were acknowledged.
    pub size: TreeSize,
    /// The chain hash after them.
    pub chain: ChainHash,
    /// The highest epoch that was opened.
    pub epoch: Epoch,
}

/// The claim of the mark in a data directory; `None` when there is none or no slot is whole.
///
/// # Errors
///
/// [`FileError`] when the file is there and cannot be read.
pub fn claim(dir: &Path) -> Result<Option<Mark>, FileError> {
    Ok(MarkRead::take(&Layout::new(dir))?.mark())
}

/// What was found in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarkRead {
    newest: Option<Slot>,
    /// The file says everything that it ever said: a newer slot than `newest` was not lost.
    pub(crate) whole: bool,
    /// No file, an empty one, or nothing but zeros.
    pub(crate) blank: bool,
}

impl MarkRead {
    pub(crate) fn take(layout: &Layout) -> Result<Self, FileError> {
        Self::from_file(layout.fs(), &layout.mark())
    }

    fn from_file(fs: &dyn FileSystem, path: &Path) -> Result<Self, FileError> {
        Ok(Self::from_bytes(&read_file(fs, path)?.unwrap_or_default()))
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.newest.map(|slot| slot.mark)
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let slots = [0, 1].map(|n| bytes.get(n * SLOT_BYTES..(n + 1) * SLOT_BYTES));
        let slots = [0, 1].map(|n| slots[n].and_then(|slot| Slot::decode(slot, n as u64)));
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
        let older = slots.into_iter().flatten().min_by_key(|slot| slot.sequence);
        let whole = match (newest, older) {
            // The first slot written has no older one beside it, but zeros.
            (Some(only), Some(same)) if only == same => {
                only.sequence == 1 && bytes[..SLOT_BYTES] == [0; SLOT_BYTES]
            }
            (Some(newest), Some(older)) => newest.sequence == older.sequence + 1,
            _ => false,
        };
        let blank = bytes.iter().all(|&byte| byte == 0);
        Self { newest, whole: whole && bytes.len() == FILE_BYTES, blank }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    sequence: u64,
    mark: Mark,
}

impl Slot {
    /// The slot of these bytes at place `n`, if it is whole.
    fn decode(bytes: &[u8], n: u64) -> Option<Self> {
        if &bytes[..8] != MAGIC || u32_at(bytes, CRC_AT) != crc32fast::hash(&bytes[..CRC_AT]) {
            return None;
        }
        let sequence = u64_at(bytes, 8);
        let mark = Mark {
            size: TreeSize::new(u64_at(bytes, 16)),
            chain: ChainHash(array(bytes, 24)),
            epoch: Epoch::new(u64_at(bytes, 56)),
        };
        (sequence % 2 == n && sequence <= MAX_SEQUENCE).then_some(Self { sequence, mark })
    }

    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.mark.size.as_u64().to_be_bytes());
        bytes[24..56].copy_from_slice(&self.mark.chain.0);
        bytes[56..64].copy_from_slice(&self.mark.epoch.as_u64().to_be_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }
}

/// The mark, open to be moved.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
}

impl MarkFile {
    /// Opens the mark behind what was read from it. A mark that was not whole is begun anew when
    /// it is next moved: until then its bytes stay as they are.
    pub(crate) fn open(layout: &Layout, read: &MarkRead) -> Result<Self, FileError> {
        let path = layout.mark();
        let file = open_or_create(layout.fs(), &path)?;
        let sequence = match read.newest {
            Some(slot) if read.whole => slot.sequence,
            _ => 0,
        };
        Ok(Self { file, path, sequence })
    }

    /// Moves the mark; durable against a killed process, not against a power loss.
    pub(crate) fn advance(&mut self, mark: Mark) -> Result<(), FileError> {
        if self.sequence == 0 {
            self.clear()?;
        }
        self.sequence += 1;
        let slot = Slot { sequence: self.sequence, mark };
        let at = (self.sequence % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot.encode(), at).map_err(FileError::at(Step::Write, &self.path))
    }

    /// Makes the mark durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at(Step::Sync, &self.path))
    }

    fn clear(&self) -> Result<(), FileError> {
        if length(&*self.file, &self.path)? != FILE_BYTES as u64 {
            self.file
                .set_len(FILE_BYTES as u64)
                .map_err(FileError::at(Step::Truncate, &self.path))?;
        }
        self.file.write_all_at(&[0; FILE_BYTES], 0).map_err(FileError::at(Step::Write, &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u64) -> Mark {
        Mark { size: TreeSize::new(size), chain: ChainHash([size as u8; 32]), epoch: Epoch::new(3) }
    }

    fn written(sizes: std::ops::RangeInclusive<u64>) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let read = MarkRead::take(&layout).expect("read");
        assert!(read.blank && !read.whole);
        let mut file = MarkFile::open(&layout, &read).expect("open");
        for size in sizes {
            file.advance(mark(size)).expect("advance");
            let read = MarkRead::take(&layout).expect("read");
            assert_eq!((read.mark(), read.whole), (Some(mark(size)), true), "size {size}");
        }
        std::fs::read(layout.mark()).expect("read")
    }

    #[test]
    fn no_damaged_byte_passes_for_a_whole_mark() {
        for last in 1..=3 {
            let good = written(1..=last);
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                let read = MarkRead::from_bytes(&bad);
                assert!(!read.whole && !read.blank, "byte {at}");
                let newest = read.mark().map_or(0, |mark| mark.size.as_u64());
                assert!(newest <= last, "byte {at}");
            }
            for length in 0..good.len() {
                assert!(!MarkRead::from_bytes(&good[..length]).whole, "length {length}");
            }
        }
    }

    #[test]
    fn a_slot_in_the_other_s_place_is_none() {
        let good = written(1..=2);
        let swapped = [&good[SLOT_BYTES..], &good[..SLOT_BYTES]].concat();
        assert_eq!(MarkRead::from_bytes(&swapped).mark(), None);
    }

    #[test]
    fn a_slot_that_nobody_counted_to_is_none() {
        for (sequence, readable) in [(MAX_SEQUENCE, true), (MAX_SEQUENCE + 1, false)] {
            let slot = Slot { sequence, mark: mark(1) };
            assert_eq!(Slot::decode(&slot.encode(), sequence % 2).is_some(), readable);
        }
    }

    #[test]
    fn a_mark_is_continued_after_reopening() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        for size in 1..6 {
            let read = MarkRead::take(&layout).expect("read");
            let mut file = MarkFile::open(&layout, &read).expect("open");
            file.advance(mark(size)).expect("advance");
            assert_eq!(claim(dir.path()).expect("read"), Some(mark(size)));
        }
    }
}
