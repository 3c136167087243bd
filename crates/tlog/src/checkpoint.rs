//! Checkpoints: the signed tree head of a log, as C2SP tlog-checkpoint v1.0.0 specifies.
//!
//! Reads, writes, signs and verifies them. Reads no extension lines (this project's checkpoints
//! have none) and does not compare one checkpoint with another: that is a consistency proof
//! ([`crate::verify_consistency`]). Witnesses' cosignatures are carried along, not verified.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::hash::{Hash, HashTextError, empty_root};
use crate::note::{
    KeyName, NameError, Note, NoteError, NoteSigner, NoteVerifyError, VerifierKey, checked_name,
};
use crate::tree::{TreeSize, TreeSizeTextError};

/// The name of a log: "a unique identifier for the log identity which issued the checkpoint".
///
/// "The origin MUST be non-empty, and it SHOULD be a schema-less URL containing neither Unicode
/// spaces nor plus (U+002B), such as `example.com/log42`." Here the SHOULD is held to, and there
/// are at most [`crate::MAX_NAME_BYTES`] bytes and no control characters, so that every origin can
/// name a key. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Arc<str>);

impl Origin {
    /// Takes a text as an origin.
    ///
    /// # Errors
    ///
    /// [`NameError`]: what an origin may not be.
    pub fn new(origin: impl Into<String>) -> Result<Self, NameError> {
        checked_name(origin.into()).map(|origin| Origin(origin.into()))
    }

    /// The origin's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the log's own key: "The log's key name in its signature line SHOULD match the
    /// origin line."
    ///
    /// # Panics
    ///
    /// Never: origins and key names hold to the same rule.
    pub fn key_name(&self) -> KeyName {
        KeyName::new(self.as_str()).expect("an origin is a key name")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = NameError;

    fn from_str(origin: &str) -> Result<Self, NameError> {
        Origin::new(origin)
    }
}

/// A tree head: which log, how many leaves, and their root. A statement, signed by nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: Origin,
    /// How many leaves its tree has.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the three lines that `Display` writes.
    ///
    /// # Errors
    ///
    /// [`CheckpointTextError`]: the line that is not as it must be.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointTextError> {
        // "a sequence of at least three non-empty lines, separated by newlines (U+000A)"; of
        // extension lines, which are optional, we accept none.
        let lines = text.strip_suffix('\n').ok_or(CheckpointTextError::Lines)?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(CheckpointTextError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.next().is_some() {
            return Err(CheckpointTextError::ExtensionLines);
        }
        let size = size.parse().map_err(|TreeSizeTextError| CheckpointTextError::Size)?;
        let checkpoint =
            Checkpoint { origin: Origin::new(origin)?, size, root: Hash::from_base64(root)? };
        checkpoint.check_empty_tree()?;
        Ok(checkpoint)
    }

    /// Signs the tree head.
    ///
    /// "A log MUST not sign any checkpoint which is inconsistent with any checkpoint it previously
    /// signed": the caller's to know.
    ///
    /// # Panics
    ///
    /// When the size is 0 and the root is not that of the empty tree: no log is in that state.
    pub fn sign(&self, signer: &NoteSigner) -> SignedCheckpoint {
        assert!(self.check_empty_tree().is_ok(), "an empty log has the empty tree's root");
        let note = signer.sign(&self.to_string()).expect("a checkpoint is a note's text");
        SignedCheckpoint { note, claim: self.clone() }
    }

    /// "the root of the RFC 6962 Merkle hash tree at the specified tree size": of size 0 there is
    /// only one.
    fn check_empty_tree(&self) -> Result<(), CheckpointTextError> {
        match self.size {
            TreeSize::ZERO if self.root != empty_root() => Err(CheckpointTextError::EmptyTreeRoot),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the note text: origin, tree size in decimal, root in base64, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

/// A checkpoint with its signatures, well-formed but **not verified**.
///
/// [`SignedCheckpoint::open`] gives the verified one. The bytes are kept as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    claim: Checkpoint,
}

impl SignedCheckpoint {
    /// Reads a checkpoint. [`SignedCheckpoint::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Note`] or [`CheckpointError::Text`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let claim = Checkpoint::parse_text(note.unverified_text())?;
        Ok(SignedCheckpoint { note, claim })
    }

    /// Verifies that one of the log's `keys` signed this, for the log `origin`.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Verify`] or [`CheckpointError::WrongOrigin`].
    pub fn open(
        &self,
        keys: &[VerifierKey],
        origin: &Origin,
    ) -> Result<VerifiedCheckpoint, CheckpointError> {
        self.note.verify(keys)?;
        if self.claim.origin != *origin {
            return Err(CheckpointError::WrongOrigin { claimed: self.claim.origin.clone() });
        }
        Ok(VerifiedCheckpoint { signed: self.clone() })
    }

    /// What the checkpoint claims, for routing and display.
    pub fn unverified(&self) -> &Checkpoint {
        &self.claim
    }

    /// The note, with every signature.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The checkpoint as it is sent and stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }

    /// Adds a signature, such as a witness's cosignature or that of a key being rotated in.
    ///
    /// # Errors
    ///
    /// As [`Note::add_signature`].
    pub fn add_signature(
        &mut self,
        signature: crate::note::NoteSignature,
    ) -> Result<(), NoteError> {
        self.note.add_signature(signature)
    }
}

/// A checkpoint that a known key of its log signed. Only [`SignedCheckpoint::open`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
}

impl VerifiedCheckpoint {
    /// The tree head that was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.signed.claim
    }

    /// The log.
    pub fn origin(&self) -> &Origin {
        &self.signed.claim.origin
    }

    /// How many leaves its tree had.
    pub fn size(&self) -> TreeSize {
        self.signed.claim.size
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.signed.claim.root
    }

    /// The signed checkpoint, to store or pass on.
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }
}

/// Why a text is not a tree head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointTextError {
    /// Not three lines that each end in a newline.
    #[error("a checkpoint is not three lines")]
    Lines,
    /// Lines after the third.
    #[error("a checkpoint has extension lines")]
    ExtensionLines,
    /// The first line.
    #[error("a checkpoint's origin is not valid")]
    Origin(#[from] NameError),
    /// The second line is not a decimal of 64 bits without leading zeros.
    #[error("a checkpoint's tree size is not a decimal number")]
    Size,
    /// The third line.
    #[error("a checkpoint's root is not valid")]
    Root(#[from] HashTextError),
    /// Size 0 with a root that is not the empty tree's.
    #[error("a checkpoint of size 0 does not have the empty tree's root")]
    EmptyTreeRoot,
}

/// Why bytes are not a checkpoint, or not one to believe.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Not a note.
    #[error("a checkpoint is not a signed note")]
    Note(#[from] NoteError),
    /// A note whose text is not a tree head.
    #[error("a checkpoint's text is not a tree head")]
    Text(#[from] CheckpointTextError),
    /// The signatures.
    #[error("a checkpoint's signatures do not verify")]
    Verify(#[from] NoteVerifyError),
    /// Signed by a known key, for another log.
    #[error("the checkpoint is of another log, {claimed}")]
    WrongOrigin {
        /// The log it is of.
        claimed: Origin,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn the_specification_s_example_is_read_and_written() {
        let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
        let checkpoint = Checkpoint::parse_text(&text).expect("the example");
        assert_eq!(checkpoint.size, TreeSize::new(20852163));
        assert_eq!(checkpoint.root.to_base64(), ROOT);
        assert_eq!(checkpoint.origin.as_str(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.to_string(), text);
    }

    fn check_refused(text: &str, error: CheckpointTextError) {
        assert_eq!(Checkpoint::parse_text(text), Err(error), "{text:?}");
    }

    #[test]
    fn other_texts_are_refused() {
        use CheckpointTextError as E;
        check_refused("", E::Lines);
        check_refused("a\n1\n", E::Lines);
        check_refused(&format!("a\n1\n{ROOT}"), E::Lines);
        check_refused(&format!("a\n1\n{ROOT}\nextension\n"), E::ExtensionLines);
        check_refused(&format!("a\n1\n{ROOT}\n\n"), E::ExtensionLines);
        check_refused(&format!("\n1\n{ROOT}\n"), E::Origin(NameError::Empty));
        check_refused(&format!("a b\n1\n{ROOT}\n"), E::Origin(NameError::Space));
        check_refused(&format!("a+b\n1\n{ROOT}\n"), E::Origin(NameError::Plus));
        for size in ["", "01", "+1", "-1", "1 ", "18446744073709551616"] {
            check_refused(&format!("a\n{size}\n{ROOT}\n"), E::Size);
        }
        check_refused(&format!("a\n0\n{ROOT}\n"), E::EmptyTreeRoot);
        check_refused("a\n1\nAAAA\n", E::Root(HashTextError::Length { length: 3 }));
        let stray_bits = ROOT.replace("q2I=", "q2J=");
        check_refused(&format!("a\n1\n{stray_bits}\n"), E::Root(HashTextError::Base64));
        check_refused(&format!("a\n1\n{ROOT}\r\n"), E::Root(HashTextError::Base64));
    }

    #[test]
    fn the_empty_tree_has_a_checkpoint() {
        let text = format!("a\n0\n{}\n", empty_root());
        assert!(Checkpoint::parse_text(&text).is_ok());
    }

    #[test]
    fn origins_are_limited() {
        assert!(Origin::new("o".repeat(255)).is_ok());
        assert_eq!(Origin::new("o".repeat(256)), Err(NameError::TooLong { length: 256 }));
        assert_eq!(Origin::new("a\nb"), Err(NameError::Space));
        assert_eq!(Origin::new("a\u{3000}b"), Err(NameError::Space));
        assert_eq!(Origin::new("a\0b"), Err(NameError::Control));
    }
}
