//! The log's SHA-256 tree hashes: of a leaf, of a node, of the empty tree (RFC 6962 §2.1).
//!
//! Does not know where a hash stands in a tree; see [`crate::tree`]. A [`struct@Hash`] here is always
//! the hash of a leaf or of a node, never an envelope id or a chain hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::text;

/// Domain separation: "SHA-256(0x00 || d(0))" for leaves (RFC 6962 §2.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
/// Domain separation: "SHA-256(0x01 || MTH(D\[0:k\]) || MTH(D\[k:n\]))" for nodes (RFC 6962 §2.1).
const NODE_PREFIX: [u8; 1] = [0x01];

/// A SHA-256 tree hash, 32 bytes: of a leaf, of a node or of a whole tree (its root).
///
/// Written as standard base64 of 44 characters by `Display`, and read back by `FromStr`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::LEN]);

impl Hash {
    /// Bytes in a hash.
    pub const LEN: usize = 32;

    /// Takes 32 bytes as a hash.
    pub const fn new(bytes: [u8; Hash::LEN]) -> Self {
        Hash(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Hash::LEN] {
        &self.0
    }

    /// The 32 bytes, by value.
    pub const fn into_bytes(self) -> [u8; Hash::LEN] {
        self.0
    }

    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(&self) -> String {
        text::to_base64(&self.0)
    }

    /// Reads what [`Hash::to_base64`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// [`HashTextError`] when the text is not canonical base64 or not of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, HashTextError> {
        let bytes = text::from_base64(text).ok_or(HashTextError::Base64)?;
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| HashTextError::Length { length })?;
        Ok(Hash(bytes))
    }
}

impl From<[u8; Hash::LEN]> for Hash {
    fn from(bytes: [u8; Hash::LEN]) -> Self {
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashTextError;

    fn from_str(text: &str) -> Result<Self, HashTextError> {
        Hash::from_base64(text)
    }
}

/// Why a text is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashTextError {
    /// Not standard base64 with padding.
    #[error("a hash is not standard base64")]
    Base64,
    /// Base64 of another length than 32 bytes.
    #[error("a hash is {length} bytes, not 32")]
    Length {
        /// Bytes found.
        length: usize,
    },
}

/// The hash of a leaf: "SHA-256(0x00 || d(0))" (RFC 6962 §2.1).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    leaf_hash_parts(&[leaf])
}

/// The hash of the leaf whose bytes are the `parts`, joined; allocates nothing.
///
/// ```
/// use tally_tlog::{leaf_hash, leaf_hash_parts};
/// assert_eq!(leaf_hash_parts(&[b"le", b"", b"af"]), leaf_hash(b"leaf"));
/// ```
pub fn leaf_hash_parts(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new_with_prefix(LEAF_PREFIX);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// The hash of a node over its two children: "SHA-256(0x01 || left || right)" (RFC 6962 §2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new_with_prefix(NODE_PREFIX);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

/// The root of the empty tree: "The hash of an empty list is the hash of an empty string:
/// MTH({}) = SHA-256()" (RFC 6962 §2.1).
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_hashes_of_the_empty_tree_and_the_empty_leaf() {
        assert_eq!(empty_root().to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(leaf_hash(b"").to_base64(), "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
    }

    #[test]
    fn a_node_is_not_a_leaf_of_the_same_bytes() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let joined = [left.into_bytes(), right.into_bytes()].concat();
        assert_ne!(node_hash(&left, &right), leaf_hash(&joined));
        assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
    }

    #[test]
    fn parts_are_joined() {
        assert_eq!(leaf_hash_parts(&[b"ab", b"", b"c"]), leaf_hash(b"abc"));
        assert_eq!(leaf_hash_parts(&[]), leaf_hash(b""));
    }

    #[test]
    fn text_round_trips_and_is_strict() {
        let hash = leaf_hash(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::from_base64("AAAA"), Err(HashTextError::Length { length: 3 }));
        assert_eq!(Hash::from_base64("é"), Err(HashTextError::Base64));
        let unpadded = hash.to_base64().replace('=', "");
        assert_eq!(Hash::from_base64(&unpadded), Err(HashTextError::Base64));
    }
}
