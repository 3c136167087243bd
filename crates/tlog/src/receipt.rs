//! The log receipt of one leaf: a self-contained proof file, as C2SP tlog-proof@v1 specifies.
//!
//! Reads, writes and verifies it. Does not hold the leaf, whose hash the verifier computes from the
//! bytes it has, and gives no meaning to the extra data, which nothing authenticates.

use std::fmt;

use thiserror::Error;

use crate::checkpoint::{CheckpointError, Origin, SignedCheckpoint, VerifiedCheckpoint};
use crate::hash::{Hash, HashTextError};
use crate::note::{MAX_NOTE_BYTES, VerifierKey};
use crate::proof::{InclusionProof, MAX_PROOF_HASHES, ProofError, verify_inclusion};
use crate::text::{from_base64, parse_decimal, to_base64};
use crate::tree::LeafIndex;

/// "The first line MUST be the string `c2sp.org/tlog-proof@v1`."
pub const LOG_PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The most bytes of extra data: room for the largest log entry (65,535 bytes) and then some.
pub const MAX_EXTRA_BYTES: usize = 128 * 1024;
/// The most bytes of a whole file: the longest header, extra data, index, hashes and checkpoint.
pub const MAX_LOG_PROOF_BYTES: usize = FIELD_BYTES
    + MAX_EXTRA_BYTES.div_ceil(3) * 4
    + HASH_LINE_BYTES * MAX_PROOF_HASHES
    + MAX_NOTE_BYTES;

/// Header, field names, index and newlines need 58 bytes.
const FIELD_BYTES: usize = 64;
/// 44 characters of base64 and a newline.
const HASH_LINE_BYTES: usize = 45;
const EXTRA_FIELD: &str = "extra ";
const INDEX_FIELD: &str = "index ";

/// A leaf's index, its inclusion proof and the checkpoint it leads to; well-formed but **not
/// verified** until [`LogProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    extra: Option<Vec<u8>>,
    index: LeafIndex,
    hashes: InclusionProof,
    checkpoint: SignedCheckpoint,
}

impl LogProof {
    /// Puts a receipt together. Verifies nothing.
    ///
    /// # Errors
    ///
    /// [`LogProofError::EmptyExtra`] or [`LogProofError::ExtraTooLarge`].
    pub fn new(
        extra: Option<Vec<u8>>,
        index: LeafIndex,
        hashes: InclusionProof,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, LogProofError> {
        extra.as_deref().map_or(Ok(()), check_extra)?;
        Ok(LogProof { extra, index, hashes, checkpoint })
    }

    /// Reads a file. [`LogProof::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    ///
    /// [`LogProofError`]: the first thing that is not as the specification says, or a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogProofError> {
        if bytes.len() > MAX_LOG_PROOF_BYTES {
            return Err(LogProofError::TooLarge { length: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LogProofError::NotUtf8)?;
        // "After the inclusion proof lines and an empty line, the checkpoint issued by the log is
        // included verbatim": no line above is empty, so the first empty line is that one.
        let (lines, checkpoint) = text.split_once("\n\n").ok_or(LogProofError::NoCheckpoint)?;
        let (extra, index, hashes) = parse_lines(lines)?;
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        LogProof::new(extra, index, hashes, checkpoint)
    }

    /// Verifies that the log `origin`, by one of its `keys`, vouches for the leaf of this hash at
    /// [`LogProof::index`]. Returns the checkpoint under which it does.
    ///
    /// # Errors
    ///
    /// [`LogProofVerifyError`]: the checkpoint or the inclusion proof.
    pub fn verify(
        &self,
        leaf: Hash,
        keys: &[VerifierKey],
        origin: &Origin,
    ) -> Result<VerifiedCheckpoint, LogProofVerifyError> {
        let checkpoint = self.checkpoint.open(keys, origin)?;
        verify_inclusion(leaf, self.index, checkpoint.size(), &self.hashes, checkpoint.root())?;
        Ok(checkpoint)
    }

    /// The extra data, never empty. "Applications MUST NOT implicitly trust the extra data, as it
    /// is not authenticated."
    pub fn unauthenticated_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The leaf's place in the log.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// The inclusion proof.
    pub fn inclusion_proof(&self) -> &InclusionProof {
        &self.hashes
    }

    /// The checkpoint, unverified.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The file. "Proofs SHOULD be stored with file extension `.tlog-proof`."
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{LOG_PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "{EXTRA_FIELD}{}", to_base64(extra))?;
        }
        writeln!(f, "{INDEX_FIELD}{}", self.index)?;
        self.hashes.hashes().iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint.note())
    }
}

/// Why bytes are not a log receipt, or parts do not make one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogProofError {
    /// Over the limit.
    #[error("a log receipt of {length} bytes is over the limit of {MAX_LOG_PROOF_BYTES}")]
    TooLarge {
        /// The file's bytes.
        length: usize,
    },
    /// Not UTF-8.
    #[error("a log receipt is not UTF-8")]
    NotUtf8,
    /// No empty line before a checkpoint.
    #[error("a log receipt has no checkpoint")]
    NoCheckpoint,
    /// The first line is another.
    #[error("a log receipt does not begin with {LOG_PROOF_HEADER}")]
    Header,
    /// The extra data is not standard base64.
    #[error("a log receipt's extra data is not standard base64")]
    ExtraBase64,
    /// An extra line without data: "If no extra data is present, this line is omitted."
    #[error("a log receipt has an empty extra line")]
    EmptyExtra,
    /// Over the limit.
    #[error("extra data of {length} bytes is over the limit of {MAX_EXTRA_BYTES}")]
    ExtraTooLarge {
        /// The extra data's bytes.
        length: usize,
    },
    /// No index line, or not a decimal of 64 bits without leading zeros.
    #[error("a log receipt has no valid index line")]
    Index,
    /// A line of the inclusion proof.
    #[error("a log receipt's inclusion proof has a line that is no hash")]
    Hash(#[from] HashTextError),
    /// The inclusion proof is too long.
    #[error("a log receipt's inclusion proof is too long")]
    Proof(#[source] ProofError),
    /// The checkpoint.
    #[error("a log receipt's checkpoint is not valid")]
    Checkpoint(#[from] CheckpointError),
}

/// Why a well-formed log receipt is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogProofVerifyError {
    /// The checkpoint is not one of this log.
    #[error("the log receipt's checkpoint does not verify")]
    Checkpoint(#[from] CheckpointError),
    /// The leaf is not in the tree at this index.
    #[error("the log receipt's inclusion proof does not verify")]
    Inclusion(#[from] ProofError),
}

type Lines = (Option<Vec<u8>>, LeafIndex, InclusionProof);

/// Reads all above the empty line.
fn parse_lines(lines: &str) -> Result<Lines, LogProofError> {
    let mut lines = lines.split('\n').peekable();
    if lines.next() != Some(LOG_PROOF_HEADER) {
        return Err(LogProofError::Header);
    }
    // "The second line MAY start with the string `extra` followed by a space (U+0020) and
    // base64-encoded opaque extra data."
    let extra = lines.next_if(|line| line.starts_with(EXTRA_FIELD)).map(parse_extra).transpose()?;
    // "The next line MUST start with the string `index` followed by a space (U+0020) and the
    // zero-based index of the entry in the log"
    let index = lines.next().and_then(parse_index).ok_or(LogProofError::Index)?;
    // "The next zero or more non-empty lines are the base64-encoded Merkle inclusion proof", of
    // which one more than the limit is enough to refuse.
    let hashes: Vec<Hash> =
        lines.take(MAX_PROOF_HASHES + 1).map(Hash::from_base64).collect::<Result<_, _>>()?;
    Ok((extra, index, InclusionProof::new(hashes).map_err(LogProofError::Proof)?))
}

fn parse_extra(line: &str) -> Result<Vec<u8>, LogProofError> {
    let extra = from_base64(&line[EXTRA_FIELD.len()..]).ok_or(LogProofError::ExtraBase64)?;
    check_extra(&extra)?;
    Ok(extra)
}

fn parse_index(line: &str) -> Option<LeafIndex> {
    line.strip_prefix(INDEX_FIELD).and_then(parse_decimal).map(LeafIndex::new)
}

fn check_extra(extra: &[u8]) -> Result<(), LogProofError> {
    match extra.len() {
        0 => Err(LogProofError::EmptyExtra),
        1..=MAX_EXTRA_BYTES => Ok(()),
        length => Err(LogProofError::ExtraTooLarge { length }),
    }
}
