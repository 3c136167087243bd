//! A file of which some bytes cannot be read: they read as zeros, and it is kept which they are.
//!
//! A disk that fails gives an error for a whole read, though most of it could be had. Zeros are
//! never a frame and never a hash in use, so what is missing shows. Reads only.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::FileError;
use crate::files::{length, open_to_read};
use crate::fs::{DiskFile, FileSystem};

/// What is read at once where a larger read failed: what disks and file systems keep together.
const BLOCK_BYTES: u64 = 4_096;

/// An open file that goes on reading behind what cannot be read.
#[derive(Debug)]
pub(crate) struct PatientFile {
    file: Box<dyn DiskFile>,
    bytes: u64,
    /// Blocks that could not be read, in the order in which they were asked for.
    unreadable: Mutex<Vec<Range<u64>>>,
}

impl PatientFile {
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path) -> Result<Arc<Self>, FileError> {
        let file = open_to_read(fs, path)?;
        let bytes = length(&*file, path)?;
        Ok(Arc::new(Self { file, bytes, unreadable: Mutex::default() }))
    }

    /// Its length when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether some of these bytes were asked for and could not be read.
    pub(crate) fn is_unreadable(&self, range: &Range<u64>) -> bool {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        unreadable.iter().any(|block| block.start < range.end && range.start < block.end)
    }

    fn read_blocks(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        let mut at = offset;
        while at < end {
            let next = ((at / BLOCK_BYTES + 1) * BLOCK_BYTES).min(end);
            let block = &mut buffer[(at - offset) as usize..(next - offset) as usize];
            match self.file.read_exact_at(block, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(error),
                Err(_) => {
                    block.fill(0);
                    self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).push(at..next);
                }
                Ok(()) => {}
            }
            at = next;
        }
        Ok(())
    }
}

impl DiskFile for PatientFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.file.read_exact_at(buffer, offset) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                self.read_blocks(buffer, offset)
            }
            read => read,
        }
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
