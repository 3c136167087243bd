//! Signed notes: a text and the signature lines under it, as C2SP signed-note v1.0.0 specifies.
//!
//! Reads, writes, signs and verifies notes; their keys are in [`crate::key`]. Verifies only Ed25519
//! signatures (type 0x01): signatures of every other type, witnesses' cosignatures (type 0x04, see
//! [`crate::cosignature`]) among them, are carried along unverified, for other code to verify by
//! [`NoteSignature::bytes`].

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::key::{PublicKey, SecretKey};
use crate::text::{from_base64, to_base64};

/// The most bytes a note may have, signatures included. Leaves room for the most signatures, each
/// as long as a post-quantum one ("up to nearly 5kB"), under a text of our own size.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;
/// The most signatures a note may have. "Verifiers SHOULD apply a maximum limit ... but MUST accept
/// at least up to 16 signatures."
pub const MAX_NOTE_SIGNATURES: usize = 64;
/// The most bytes a key name or an origin may have.
pub const MAX_NAME_BYTES: usize = 255;
/// "`0x01` — Ed25519 signatures as specified by this document."
pub const ED25519_SIGNATURE_TYPE: u8 = 0x01;

/// "em dash (U+2014), space (U+0020)": how a signature line begins.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A text and its signatures, well-formed but not verified.
///
/// "The text MUST be ignored unless the note is signed by a trusted key and the signature has been
/// verified": so the text is for routing and display of what was claimed; [`Note::verify`] gives
/// the text that may be believed. A note always has at least one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note. [`Note::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    ///
    /// [`NoteError`]: the first thing that is not as the specification says, or a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        check_size(bytes.len())?;
        // "Signed notes MUST be valid UTF-8"
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        check_characters(note)?;
        // "The note text MAY contain empty lines; the text is separated from the signatures by the
        // last empty line in the note." "The note text includes the final newline but not the
        // separating blank line."
        let blank = note.rfind("\n\n").ok_or(NoteError::NoBlankLine)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        Ok(Note { text: text.to_owned(), signatures: parse_signatures(lines)? })
    }

    /// The claimed text, which ends in a newline.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signatures, of known and unknown keys, in the note's order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note as it is sent and stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Adds a signature below the others, such as a witness's cosignature. It is not verified.
    ///
    /// # Errors
    ///
    /// [`NoteError::TooManySignatures`] or [`NoteError::TooLarge`]; the note is then as it was.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.len() == MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        let fits = check_size(self.to_string().len());
        if fits.is_err() {
            self.signatures.pop();
        }
        fits
    }

    /// Verifies the note against the known `keys`.
    ///
    /// Every signature that claims a known key must verify, and at least one must be there.
    /// Signatures of unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// [`NoteVerifyError`]: a known key's signature that fails, or none.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedNote<'_>, NoteVerifyError> {
        let mut signers: Vec<&KeyName> = Vec::new();
        for signature in &self.signatures {
            // "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID
            // (but not both) with a known key."
            let Some(key) = known_key(keys, signature)? else { continue };
            // "If the key name and ID match a known key, verifiers MUST verify the signature. If a
            // signature from a known key fails to verify, clients SHOULD reject the whole note."
            // A second signature by the same key is no exception.
            if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                return Err(NoteVerifyError::BadSignature {
                    name: signature.name.clone(),
                    id: signature.id,
                });
            }
            signers.push(&signature.name);
        }
        // "If no signature from a known key verifies successfully, clients MUST reject the note."
        if signers.is_empty() {
            return Err(NoteVerifyError::NoKnownKey);
        }
        Ok(VerifiedNote { text: &self.text, signers })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "a text ending in newline (U+000A), followed by a blank line (only a newline), followed
        // by one or more signature lines"
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// The text of a note that a known key signed. Only [`Note::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedNote<'a> {
    text: &'a str,
    signers: Vec<&'a KeyName>,
}

impl<'a> VerifiedNote<'a> {
    /// The text that was signed, which ends in a newline.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The names of the known keys that signed, in the note's order; at least one.
    pub fn signers(&self) -> &[&'a KeyName] {
        &self.signers
    }
}

/// One signature line: who claims to have signed, with which key, and the signature's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// Takes a signature made by other code, of any type.
    ///
    /// # Errors
    ///
    /// [`NoteError::EmptySignature`].
    pub fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Result<Self, NoteError> {
        if bytes.is_empty() {
            return Err(NoteError::EmptySignature);
        }
        Ok(NoteSignature { name, id, bytes })
    }

    /// Reads a signature line, without its newline.
    ///
    /// # Errors
    ///
    /// [`NoteError`]: what is not as the specification says.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        // "em dash (U+2014), space (U+0020), key name, space, base64-encoded signature, newline"
        let fields = line.strip_prefix(SIGNATURE_PREFIX).ok_or(NoteError::SignatureLine)?;
        let (name, base64) = fields.split_once(' ').ok_or(NoteError::SignatureLine)?;
        let bytes = from_base64(base64).ok_or(NoteError::SignatureBase64)?;
        // "The first four bytes in the signature are the uint32 key ID stored in big-endian order.
        // The remaining n bytes are the result of using the specified key to sign the note text"
        let (id, bytes) = bytes.split_first_chunk().ok_or(NoteError::EmptySignature)?;
        NoteSignature::new(KeyName::new(name)?, KeyId(u32::from_be_bytes(*id)), bytes.to_vec())
    }

    /// The name of the key that claims to have signed.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of that key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature, without the key id; at least one byte, 64 for Ed25519.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0.to_be_bytes()[..], &self.bytes].concat();
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, to_base64(&bytes))
    }
}

/// The name of a key: "non-empty and MUST NOT contain any Unicode spaces or plus (U+002B)
/// characters"; nor control characters, which no note may contain; at most [`MAX_NAME_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Takes a text as a key name.
    ///
    /// # Errors
    ///
    /// [`NameError`]: what a name may not be.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        checked_name(name.into()).map(KeyName)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        KeyName::new(name)
    }
}

/// Why a text is not a key name or an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// No character at all.
    #[error("a name is empty")]
    Empty,
    /// Over the limit.
    #[error("a name of {length} bytes is over the limit of {MAX_NAME_BYTES}")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// A Unicode space, a newline among them.
    #[error("a name contains a space")]
    Space,
    /// The character that separates the fields of a key.
    #[error("a name contains a plus")]
    Plus,
    /// A control character.
    #[error("a name contains a control character")]
    Control,
}

/// The short identifier of a key under a name: a hint which key to use, not a commitment to it.
/// Written as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl KeyId {
    /// Takes a number as a key id.
    pub const fn new(id: u32) -> Self {
        KeyId(id)
    }

    /// The number, big-endian in a signature.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The id of a key of any type:
/// "key ID = SHA-256(key name || 0x0A || signature type || public key)\[:4\]".
pub fn key_id(name: &KeyName, signature_type: u8, public_key: &[u8]) -> KeyId {
    let mut hasher = Sha256::new();
    hasher.update(name.as_str());
    hasher.update([0x0A, signature_type]);
    hasher.update(public_key);
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    KeyId(u32::from_be_bytes([a, b, c, d]))
}

/// A named Ed25519 public key that a verifier of notes trusts.
pub type VerifierKey = PublicKey<ED25519_SIGNATURE_TYPE>;

/// A named Ed25519 secret key that signs notes.
pub type NoteSigner = SecretKey<ED25519_SIGNATURE_TYPE>;

impl NoteSigner {
    /// Makes a note of `text`, which must end in a newline, with this key's signature.
    ///
    /// # Errors
    ///
    /// [`NoteError`]: a text that no note may have.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        check_characters(text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::UnterminatedText);
        }
        let note = Note { text: text.to_owned(), signatures: vec![self.signature(text)] };
        check_size(note.to_string().len())?;
        Ok(note)
    }

    /// Adds this key's signature to a note, such as that of a key being rotated in.
    ///
    /// # Errors
    ///
    /// As [`Note::add_signature`].
    pub fn countersign(&self, note: &mut Note) -> Result<(), NoteError> {
        note.add_signature(self.signature(&note.text))
    }

    /// "Ed25519 signatures are generated according to RFC 8032 over the note text."
    fn signature(&self, text: &str) -> NoteSignature {
        self.line(self.signature_over(text.as_bytes()).to_vec())
    }
}

/// Why bytes are not a note, or a text or signature cannot be part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Over the limit.
    #[error("a note of {length} bytes is over the limit of {MAX_NOTE_BYTES}")]
    TooLarge {
        /// The note's bytes.
        length: usize,
    },
    /// Not UTF-8.
    #[error("a note is not UTF-8")]
    NotUtf8,
    /// A control character other than a newline.
    #[error("a note contains a control character")]
    ControlCharacter,
    /// No blank line between text and signatures.
    #[error("a note has no blank line before its signatures")]
    NoBlankLine,
    /// The text does not end in a newline.
    #[error("a note's text does not end in a newline")]
    UnterminatedText,
    /// Nothing after the blank line.
    #[error("a note has no signature")]
    NoSignature,
    /// Over the limit.
    #[error("a note has more than {MAX_NOTE_SIGNATURES} signatures")]
    TooManySignatures,
    /// The last signature line does not end in a newline.
    #[error("a note does not end in a newline")]
    UnterminatedSignature,
    /// A line below the blank line is not `— name base64`.
    #[error("a note has a malformed signature line")]
    SignatureLine,
    /// The name in a signature line.
    #[error("a signature's key name is not valid")]
    Name(#[from] NameError),
    /// A signature is not standard base64.
    #[error("a signature is not standard base64")]
    SignatureBase64,
    /// A signature has no bytes after the key id.
    #[error("a signature is empty")]
    EmptySignature,
}

/// Why a well-formed note is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteVerifyError {
    /// A signature claims a known key and does not verify.
    #[error("the signature by {name} (key {id}) does not verify")]
    BadSignature {
        /// The known key's name.
        name: KeyName,
        /// The known key's id.
        id: KeyId,
    },
    /// No signature by a known key.
    #[error("no known key signed the note")]
    NoKnownKey,
    /// Two different known keys share the name and the id, so which one signed cannot be told.
    #[error("two known keys are both {name} (key {id})")]
    AmbiguousKey {
        /// The name they share.
        name: KeyName,
        /// The id they share.
        id: KeyId,
    },
}

/// "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B)
/// characters." Origins hold to the same.
pub(crate) fn checked_name(name: String) -> Result<String, NameError> {
    let fault = |c: char| match c {
        _ if c.is_whitespace() => Some(NameError::Space),
        '+' => Some(NameError::Plus),
        _ if c.is_control() => Some(NameError::Control),
        _ => None,
    };
    match name.len() {
        0 => Err(NameError::Empty),
        1..=MAX_NAME_BYTES => name.chars().find_map(fault).map_or(Ok(name), Err),
        length => Err(NameError::TooLong { length }),
    }
}

fn check_size(length: usize) -> Result<(), NoteError> {
    if length > MAX_NOTE_BYTES { Err(NoteError::TooLarge { length }) } else { Ok(()) }
}

/// "MUST NOT contain any ASCII control characters (those below U+0020) other than newline."
fn check_characters(text: &str) -> Result<(), NoteError> {
    let control = |b: u8| b < 0x20 && b != b'\n';
    if text.bytes().any(control) { Err(NoteError::ControlCharacter) } else { Ok(()) }
}

fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    if lines.is_empty() {
        return Err(NoteError::NoSignature);
    }
    let lines = lines.strip_suffix('\n').ok_or(NoteError::UnterminatedSignature)?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        signatures.push(NoteSignature::parse(line)?);
    }
    Ok(signatures)
}

/// The known key that a signature claims.
fn known_key<'k>(
    keys: &'k [VerifierKey],
    signature: &NoteSignature,
) -> Result<Option<&'k VerifierKey>, NoteVerifyError> {
    let mut claimed = keys.iter().filter(|key| key.is_claimed_by(signature));
    let first = claimed.next();
    if claimed.any(|other| Some(other) != first) {
        return Err(NoteVerifyError::AmbiguousKey {
            name: signature.name.clone(),
            id: signature.id,
        });
    }
    Ok(first)
}
