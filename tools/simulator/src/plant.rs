//! Bugs that are planted on purpose, to see that the judge finds them.

use std::fmt;
use std::str::FromStr;

/// A bug. All but the last are of the disk, as if the store had left out the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The `fdatasync` of a group does nothing.
    SkipFdatasync,
    /// No directory is ever synced.
    SkipDirsync,
    /// The high-water mark is never written.
    SkipMark,
    /// A copy's segment is renamed into its place without having been synced.
    SkipCopySync,
    /// A group is taken for acknowledged before it is appended.
    AckEarly,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SkipFdatasync,
        Self::SkipDirsync,
        Self::SkipMark,
        Self::SkipCopySync,
        Self::AckEarly,
    ];
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Plant::SkipFdatasync => "skip-fdatasync",
            Plant::SkipDirsync => "skip-dirsync",
            Plant::SkipMark => "skip-mark",
            Plant::SkipCopySync => "skip-copy-sync",
            Plant::AckEarly => "ack-early",
        })
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Plant::ALL.into_iter().find(|plant| plant.to_string() == text);
        known.ok_or_else(|| {
            let names = Plant::ALL.map(|plant| plant.to_string()).join(", ");
            format!("no such bug; there are {names}")
        })
    }
}
