//! The body of an `add-checkpoint` request: an older size, the proof from there, and a checkpoint.
//!
//! Read and written. Checks the form only: who signed, and whether the proof holds, is for
//! [`crate::witness`].

use std::fmt;

use tally_tlog::{
    CheckpointError, CheckpointTextError, ConsistencyProof, Hash, HashTextError, MAX_NOTE_BYTES,
    SignedCheckpoint, TreeSize, TreeSizeTextError,
};
use thiserror::Error;

/// "The client MUST NOT send more than 63 consistency proof lines."
pub const MAX_REQUEST_HASHES: usize = 63;
/// The most bytes that a request may have: the longest lines, and the longest checkpoint.
pub const MAX_REQUEST_BYTES: usize =
    MAX_OLD_LINE_BYTES + MAX_REQUEST_HASHES * HASH_LINE_BYTES + 1 + MAX_NOTE_BYTES;

/// `old`, a space, 20 digits and a newline.
const MAX_OLD_LINE_BYTES: usize = 25;
/// The base64 of 32 bytes, and a newline.
const HASH_LINE_BYTES: usize = 45;

/// What a log asks a witness: to cosign a checkpoint, given that it cosigned one of `old` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: TreeSize,
    proof: ConsistencyProof,
    checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// Asks for a cosignature on `checkpoint`, with the proof that it extends the tree of `old`
    /// leaves.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooManyHashes`].
    pub fn new(
        old: TreeSize,
        proof: ConsistencyProof,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, RequestError> {
        if proof.hashes().len() > MAX_REQUEST_HASHES {
            return Err(RequestError::TooManyHashes);
        }
        Ok(AddCheckpoint { old, proof, checkpoint })
    }

    /// Reads a request. [`AddCheckpoint::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: the first thing that is not as the specification says.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge { length: body.len() });
        }
        // "a sequence of an old size line, zero or more consistency proof lines, and an empty line,
        // followed by a checkpoint": the first empty line, since none of the lines before is empty.
        let blank = body.windows(2).position(|pair| pair == b"\n\n");
        let blank = blank.ok_or(RequestError::NoBlankLine)?;
        let head = std::str::from_utf8(&body[..blank]).map_err(|_| RequestError::OldLine)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.ok_or(RequestError::OldLine)?.parse()?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_REQUEST_HASHES {
                return Err(RequestError::TooManyHashes);
            }
            hashes.push(Hash::from_base64(line)?);
        }
        let proof = ConsistencyProof::new(hashes).expect("fewer hashes than any proof may have");
        let checkpoint = SignedCheckpoint::parse(&body[blank + 2..])?;
        AddCheckpoint::new(old, proof, checkpoint)
    }

    /// The size of the checkpoint that the witness is thought to have cosigned last.
    pub fn old(&self) -> TreeSize {
        self.old
    }

    /// The proof from there.
    pub fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// The checkpoint, not verified.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The request as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.hashes().iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint.note())
    }
}

/// Why bytes are no `add-checkpoint` request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Over the limit.
    #[error("a request of {length} bytes is over the limit of {MAX_REQUEST_BYTES}")]
    TooLarge {
        /// Bytes given.
        length: usize,
    },
    /// No empty line before the checkpoint.
    #[error("there is no empty line before the checkpoint")]
    NoBlankLine,
    /// The first line.
    #[error("the first line is not `old` and a tree size")]
    OldLine,
    /// The size on the first line.
    #[error("the first line: {0}")]
    OldSize(#[from] TreeSizeTextError),
    /// Over the limit.
    #[error("there are more than {MAX_REQUEST_HASHES} hashes in the proof")]
    TooManyHashes,
    /// A line of the proof.
    #[error("a line of the proof: {0}")]
    Hash(#[from] HashTextError),
    /// "A checkpoint of size zero MUST have the root hash of the empty tree": well-formed, but of no
    /// log.
    #[error("the checkpoint is of size 0 and does not have the empty tree's root")]
    EmptyTreeRoot,
    /// What follows the empty line.
    #[error("{0}{cause}", cause = cause_of(.0))]
    Checkpoint(#[source] CheckpointError),
}

impl From<CheckpointError> for RequestError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Text(CheckpointTextError::EmptyTreeRoot) => Self::EmptyTreeRoot,
            error => Self::Checkpoint(error),
        }
    }
}

/// What is wrong with a checkpoint in particular, for the one line that a client gets.
pub(crate) fn cause_of(error: &CheckpointError) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}
