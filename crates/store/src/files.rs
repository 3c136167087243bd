//! Names and directories: where the files of a ledger are, and making directories durable.
//!
//! Does not read or write what is in the files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tally_protocol::Position;

use crate::error::{FileError, OpenError, Step};
use crate::fs::{DiskFile, FileSystem, RealFs};

/// Digits of a position in a file name: all of `u64`.
const NAME_DIGITS: usize = 20;
pub(crate) const SEGMENT_SUFFIX: &str = ".seg";
pub(crate) const INDEX_SUFFIX: &str = ".idx";

/// A segment's file name: its first position in 20 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName(pub(crate) Position);

impl SegmentName {
    /// The position of the segment's first event.
    pub fn first(self) -> Position {
        self.0
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let digits = file.strip_suffix(SEGMENT_SUFFIX)?;
        let decimal = digits.len() == NAME_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        decimal.then(|| digits.parse().ok().map(SegmentName)).flatten()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}{SEGMENT_SUFFIX}", self.0.0)
    }
}

/// The paths of one data directory, and the file system they are on.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    fs: Arc<dyn FileSystem>,
    root: PathBuf,
}

impl Layout {
    /// The layout of a directory of the operating system's.
    pub(crate) fn new(root: &Path) -> Self {
        Self::on(Arc::new(RealFs), root)
    }

    pub(crate) fn on(fs: Arc<dyn FileSystem>, root: &Path) -> Self {
        Self { fs, root: root.to_owned() }
    }

    pub(crate) fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.root.join("mark")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn segment(&self, name: SegmentName) -> PathBuf {
        self.log().join(name.to_string())
    }

    pub(crate) fn index(&self, name: SegmentName) -> PathBuf {
        self.log().join(format!("{:020}{INDEX_SUFFIX}", name.0.0))
    }

    /// The segments there are, in order; none when there is no `log` directory. Files that do not
    /// end in `.seg` are not looked at.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentName>, OpenError> {
        let log = self.log();
        let listed = match self.fs.read_dir(&log) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::at(Step::List, &log)(error).into()),
        };
        let mut names = Vec::new();
        for path in listed {
            if path.extension().is_some_and(|suffix| suffix == &SEGMENT_SUFFIX[1..]) {
                let name = path.file_name().and_then(|name| name.to_str());
                let name = name.and_then(SegmentName::parse);
                names.push(name.ok_or(OpenError::StrangeFile { path })?);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Makes a directory of the operating system's: see [`create_dir_on`].
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    create_dir_on(&RealFs, path)
}

/// Makes the entries of a directory of the operating system's durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FileError> {
    sync_dir_on(&RealFs, path)
}

/// Makes a directory, and its entry in the parent durable; nothing when it is there. Parents are
/// made too, each in the same way.
pub(crate) fn create_dir_on(fs: &dyn FileSystem, path: &Path) -> Result<(), FileError> {
    if exists(fs, path)? {
        return Ok(());
    }
    create_dir_on(fs, parent(path))?;
    match fs.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(FileError::at(Step::Create, path))?,
    }
    sync_dir_on(fs, parent(path))
}

/// Makes the entries durable that lead to a directory: a process may have been killed between
/// making one of them and its sync. What may not be synced was not made by this program.
pub(crate) fn sync_parents_on(fs: &dyn FileSystem, path: &Path) -> Result<(), FileError> {
    let mut path = path;
    while path != Path::new(".") && path.parent().is_some() {
        path = parent(path);
        if_writable(fs.sync_dir(path)).map_err(FileError::at(Step::Sync, path))?;
    }
    Ok(())
}

/// A sync that did not fail, or of what this program can't write and so need not sync.
pub(crate) fn if_writable(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match synced {
        Err(error)
            if matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// The directory that a path's last name stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir_on(fs: &dyn FileSystem, path: &Path) -> Result<(), FileError> {
    fs.sync_dir(path).map_err(FileError::at(Step::Sync, path))
}

/// Whether there is such a file or directory.
pub(crate) fn exists(fs: &dyn FileSystem, path: &Path) -> Result<bool, FileError> {
    fs.exists(path).map_err(FileError::at(Step::Open, path))
}

/// Opens to read and write, making an empty file when there is none.
pub(crate) fn open_or_create(
    fs: &dyn FileSystem,
    path: &Path,
) -> Result<Box<dyn DiskFile>, FileError> {
    fs.open_or_create(path).map_err(FileError::at(Step::Open, path))
}

/// Opens to read.
pub(crate) fn open_to_read(
    fs: &dyn FileSystem,
    path: &Path,
) -> Result<Box<dyn DiskFile>, FileError> {
    fs.open(path).map_err(FileError::at(Step::Open, path))
}

/// The file's length in bytes.
pub(crate) fn length(file: &dyn DiskFile, path: &Path) -> Result<u64, FileError> {
    file.length().map_err(FileError::at(Step::Read, path))
}

/// All bytes of a file; `None` when there is none.
pub(crate) fn read_file(fs: &dyn FileSystem, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let file = match fs.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(FileError::at(Step::Read, path))?,
    };
    read_from(&*file, path, 0).map(Some)
}

/// The bytes of a file from this offset to its end.
pub(crate) fn read_from(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
) -> Result<Vec<u8>, FileError> {
    let bytes = length(file, path)?.saturating_sub(offset);
    let mut buffer = vec![0; usize::try_from(bytes).expect("a file that fits into memory")];
    file.read_exact_at(&mut buffer, offset).map_err(FileError::at(Step::Read, path))?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_twenty_digits() {
        let name = SegmentName(Position(42));
        assert_eq!(name.to_string(), "00000000000000000042.seg");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        let last = SegmentName(Position(u64::MAX));
        assert_eq!(SegmentName::parse(&last.to_string()), Some(last));
        for bad in ["42.seg", "+0000000000000000042.seg", "99999999999999999999.seg", "x.seg"] {
            assert_eq!(SegmentName::parse(bad), None, "{bad}");
        }
    }
}
