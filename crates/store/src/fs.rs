//! The file system as the log needs it: few calls, so that a simulated disk can stand in for them.
//!
//! Segments, indexes, mark, lock and tree go through [`FileSystem`]; [`RealFs`] is the one that is
//! used everywhere but in tests and simulations. The rows do not: their engine has its own way to
//! the disk. Does not buffer, retry, or know what the bytes mean.
//!
//! What a caller may rely on, and what a simulated disk must be allowed to break at a crash:
//!
//! - Written bytes are read back at once; they are durable only behind [`DiskFile::sync_data`].
//! - A made or removed entry is durable only behind [`FileSystem::sync_dir`] of its directory.
//! - A rename happens whole or not at all; until `sync_dir` of the directory, a crash may undo it.
//! - After a failed sync nobody knows what is durable, and a later sync that succeeds says nothing
//!   about what was written before the failed one.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Opens, makes, lists, renames and removes files. Errors are the operating system's.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Opens a file to read.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `NotFound` when there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to read and write, making an empty one when there is none.
    ///
    /// # Errors
    ///
    /// [`io::Error`].
    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a file that must not be there yet.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `AlreadyExists` when it is.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes one directory, in a parent that is there.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `AlreadyExists` when it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The paths of a directory's entries, in any order.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `NotFound` when there is no such directory.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Whether there is a file or a directory of this name.
    ///
    /// # Errors
    ///
    /// [`io::Error`] when that cannot be told.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `NotFound` when there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in its directory, in place of a file that has it. Whoever looks,
    /// behind a crash too, finds what had the new name before or what has it now; which of them
    /// after a crash is settled by [`FileSystem::sync_dir`]. Makes no bytes of the file durable.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `NotFound` when there is no such file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    ///
    /// [`io::Error`].
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Dropping it closes it and releases its lock; nothing becomes durable by that.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills the buffer from this offset on.
    ///
    /// # Errors
    ///
    /// [`io::Error`], of the kind `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of it at this offset, in one call if the system takes it.
    ///
    /// # Errors
    ///
    /// [`io::Error`]; any part may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    ///
    /// [`io::Error`]; any part may have become durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes content, length and the rest of the metadata durable.
    ///
    /// # Errors
    ///
    /// [`io::Error`]; any part may have become durable.
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts the file off, or extends it by zeros.
    ///
    /// # Errors
    ///
    /// [`io::Error`].
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    ///
    /// [`io::Error`].
    fn length(&self) -> io::Result<u64>;

    /// Takes the file's exclusive lock until it is closed; false when another has it.
    ///
    /// # Errors
    ///
    /// [`io::Error`].
    fn try_lock(&self) -> io::Result<bool>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl FileSystem for RealFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(File::open(path))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(File::options().read(true).write(true).create(true).truncate(false).open(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        boxed(File::create_new(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

fn boxed(file: io::Result<File>) -> io::Result<Box<dyn DiskFile>> {
    Ok(Box::new(file?))
}

impl DiskFile for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
