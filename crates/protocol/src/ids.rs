//! Ids, counts and times as types of their own: no bare `u64` or `[u8; 32]` crosses a boundary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tally_tlog::{LeafIndex, TreeSize};

/// A text that is not the hexadecimal form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, found {found:?}")]
pub struct BadHex {
    /// How many digits the id has.
    pub expected: usize,
    /// The text, cut to 80 characters.
    pub found: String,
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = BadHex;

            fn from_str(text: &str) -> Result<Self, BadHex> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| BadHex {
                    expected: 2 * $len,
                    found: text.chars().take(80).collect(),
                })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; $len]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

bytes_id! {
    /// BLAKE3-256 of an envelope's payload, never of its signature: 32 bytes, hexadecimal as text.
    EnvelopeId, 32
}

bytes_id! {
    /// BLAKE3-256 of data or of a document: 32 bytes, hexadecimal as text.
    Digest, 32
}

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

bytes_id! {
    /// Link of the log's chain: 32 bytes, hexadecimal as text.
    ChainHash, 32
}

bytes_id! {
    /// W3C trace id of a workflow: 16 bytes, not all zero.
    TraceId, 16
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

count! {
    /// Place of an event in the log, 0-based.
    Position(u64)
}

impl Position {
    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position that a log of this size gives to its next event.
    pub fn at_tip(size: TreeSize) -> Self {
        Self(size.as_u64())
    }

    /// The leaf of the tree at this position.
    pub fn leaf(self) -> LeafIndex {
        LeafIndex::new(self.0)
    }
}

count! {
    /// How many envelopes an author signed for a ledger before this one.
    AuthorSequence(u64)
}

impl AuthorSequence {
    /// The sequence after this one. Counting does not come to the last; an excerpt of a log may
    /// begin anywhere, and nothing comes after it there.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

count! {
    /// Microseconds since the Unix epoch.
    Time(i64)
}

impl Time {
    /// This time and so many microseconds; stops at the end of time.
    pub fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(us).unwrap_or(i64::MAX)))
    }
}
