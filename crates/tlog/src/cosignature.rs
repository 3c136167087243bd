//! Cosignatures: a witness's word on a checkpoint and when it gave it, as C2SP tlog-cosignature
//! v1.0.1 specifies, for Ed25519 (signature type 0x04).
//!
//! Makes and verifies them. Does not decide whether a checkpoint deserves one, tells no time, and
//! so does not judge whether a timestamp lies in the future. How many are enough is a policy's
//! matter ([`crate::policy`]). ML-DSA-44 cosignatures (type 0x06) and subtrees are not spoken.

use std::fmt;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::key::{PublicKey, SecretKey};
use crate::note::NoteSignature;

/// "Ed25519 public keys MAY be encoded as vkeys with signature type 0x04".
pub const COSIGNATURE_TYPE: u8 = 0x04;

/// "The header line MUST be the fixed string `cosignature/v1`, and provides domain separation."
const HEADER: &str = "cosignature/v1";
/// "u64 timestamp", "in big-endian order".
const TIMESTAMP_BYTES: usize = 8;
/// "opaque ed25519_signature\[64\]".
const ED25519_SIGNATURE_BYTES: usize = 64;
/// Bytes of a `timestamped_signature`.
const COSIGNATURE_BYTES: usize = TIMESTAMP_BYTES + ED25519_SIGNATURE_BYTES;

/// A named Ed25519 public key whose cosignatures a verifier trusts.
pub type CosignerKey = PublicKey<COSIGNATURE_TYPE>;

/// A named Ed25519 secret key that cosigns checkpoints: a witness's identity.
///
/// "the same public key can't be used across multiple cosigners", nor for a log.
///
/// ```
/// use tally_tlog::{Checkpoint, Cosigner, NoteSigner, PosixTime, TreeSize, empty_root};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = NoteSigner::from_seed("log.example".parse()?, &[1; 32]);
/// let witness = Cosigner::from_seed("witness.example/w1".parse()?, &[2; 32]);
/// let origin = "log.example".parse()?;
/// let head = Checkpoint { origin, size: TreeSize::ZERO, root: empty_root() };
///
/// let now = PosixTime::new(1_679_315_147).ok_or("before 2^63")?;
/// let mut signed = head.sign(&log);
/// signed.add_signature(witness.cosign(&head, now))?;
/// let cosignature = witness.verifier_key().verify(&signed)?.ok_or("it cosigned")?;
/// assert_eq!(cosignature.timestamp, now);
/// # Ok(())
/// # }
/// ```
pub type Cosigner = SecretKey<COSIGNATURE_TYPE>;

/// A time "as a POSIX timestamp": seconds since 1970, at most 2^63 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PosixTime(u64);

impl PosixTime {
    /// "It MUST NOT exceed 2^63 - 1".
    pub const MAX: PosixTime = PosixTime((1 << 63) - 1);

    /// Takes seconds since 1970 as a time; `None` above [`PosixTime::MAX`].
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds <= PosixTime::MAX.0 { Some(PosixTime(seconds)) } else { None }
    }

    /// Seconds since 1970.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PosixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A cosignature that was verified. Only [`CosignerKey::verify`](PublicKey::verify) makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cosignature {
    /// "the time at which the cosignature was generated".
    pub timestamp: PosixTime,
}

/// Why a signature line that claims a known cosigner is no cosignature of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CosignatureError {
    /// Not a `timestamped_signature`.
    #[error("a cosignature is {length} bytes, not {COSIGNATURE_BYTES}")]
    Length {
        /// Bytes found.
        length: usize,
    },
    /// The time is over the limit.
    #[error("a cosignature's time is beyond 2^63 - 1 seconds")]
    Timestamp,
    /// It does not verify.
    #[error("a cosignature does not verify")]
    Signature,
}

impl Cosigner {
    /// Cosigns a tree head at a time, as a line to add to the checkpoint.
    ///
    /// It states "that, as of the specified time, the consistent tree head with the largest size the
    /// cosigner has observed for the log identified by the origin line has the specified root hash":
    /// the caller's to know.
    pub fn cosign(&self, checkpoint: &Checkpoint, at: PosixTime) -> NoteSignature {
        let signature = self.signature_over(&message(&checkpoint.to_string(), at));
        self.line([&at.0.to_be_bytes()[..], &signature].concat())
    }
}

impl CosignerKey {
    /// What this cosigner says of a checkpoint; `None` when no line claims to be its own. Of several
    /// lines the latest counts.
    ///
    /// # Errors
    ///
    /// [`CosignatureError`]: "If the key name and ID match a known key, verifiers MUST verify the
    /// signature", so a line of this key that does not verify is never passed over.
    pub fn verify(
        &self,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Option<Cosignature>, CosignatureError> {
        self.verify_lines(checkpoint, checkpoint.note().signatures())
    }

    /// The same of lines that came apart from the checkpoint, as a witness's answer does.
    ///
    /// # Errors
    ///
    /// As [`CosignerKey::verify`](PublicKey::verify).
    pub fn verify_lines(
        &self,
        checkpoint: &SignedCheckpoint,
        lines: &[NoteSignature],
    ) -> Result<Option<Cosignature>, CosignatureError> {
        let text = checkpoint.note().unverified_text();
        let mut latest = None;
        for line in lines.iter().filter(|line| self.is_claimed_by(line)) {
            latest = latest.max(Some(self.time_of(text, line)?));
        }
        Ok(latest.map(|timestamp| Cosignature { timestamp }))
    }

    fn time_of(&self, text: &str, line: &NoteSignature) -> Result<PosixTime, CosignatureError> {
        let length = line.bytes().len();
        let (seconds, signature) = line
            .bytes()
            .split_first_chunk::<TIMESTAMP_BYTES>()
            .filter(|_| length == COSIGNATURE_BYTES)
            .ok_or(CosignatureError::Length { length })?;
        let seconds = u64::from_be_bytes(*seconds);
        let at = PosixTime::new(seconds).ok_or(CosignatureError::Timestamp)?;
        if self.verifies(&message(text, at), signature) {
            Ok(at)
        } else {
            Err(CosignatureError::Signature)
        }
    }
}

/// "two newline (U+000A) terminated lines (one header line and one timestamp line) followed by the
/// whole note body of the cosigned checkpoint (including the final newline ...)".
fn message(text: &str, at: PosixTime) -> Vec<u8> {
    format!("{HEADER}\ntime {at}\n{text}").into_bytes()
}
