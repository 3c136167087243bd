//! Names and directories: where the files of a ledger are, and making directories durable.
//!
//! Does not read or write what is in the files.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tally_protocol::Position;

use crate::error::{FileError, OpenError, Step};

/// Digits of a position in a file name: all of `u64`.
const NAME_DIGITS: usize = 20;
const SEGMENT_SUFFIX: &str = ".seg";
const INDEX_SUFFIX: &str = ".idx";

/// A segment's file name: its first position in 20 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName(pub(crate) Position);

impl SegmentName {
    /// The position of the segment's first event.
    pub fn first(self) -> Position {
        self.0
    }

    fn parse(file: &str) -> Option<Self> {
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

/// The paths of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
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
        let listed = match fs::read_dir(&log) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::at(Step::List, &log)(error).into()),
        };
        let mut names = Vec::new();
        for entry in listed {
            let path = entry.map_err(FileError::at(Step::List, &log))?.path();
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

/// Makes a directory and its entry in the parent durable; nothing when it is there.
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(FileError::at(Step::Create, path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FileError> {
    let dir = File::open(path).map_err(FileError::at(Step::Open, path))?;
    dir.sync_all().map_err(FileError::at(Step::Sync, path))
}

/// Opens to read and write, making an empty file when there is none.
pub(crate) fn open_or_create(path: &Path) -> Result<File, FileError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(FileError::at(Step::Open, path))
}

/// Opens to read.
pub(crate) fn open_to_read(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(FileError::at(Step::Open, path))
}

/// The file's length in bytes.
pub(crate) fn length(file: &File, path: &Path) -> Result<u64, FileError> {
    Ok(file.metadata().map_err(FileError::at(Step::Read, path))?.len())
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
