//! Named Ed25519 keys and their text, as C2SP signed-note v1.0.0 and Go's `sumdb/note` write them.
//!
//! One kind of key for every purpose: its signature type, a part of the Rust type, says what it
//! signs ([`crate::note`], [`crate::cosignature`]), so that a key of one purpose can't stand in for
//! another. Makes no keys and knows no message.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::note::{KeyId, KeyName, NameError, NoteSignature, key_id};
use crate::text::{from_base64, to_base64};

/// How Go's `sumdb/note` marks the text of a secret key.
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
/// Hexadecimal digits of a key id.
const KEY_ID_DIGITS: usize = 8;
const ED25519_KEY_BYTES: usize = 32;

/// A named Ed25519 public key that a verifier trusts, for signatures of one type.
///
/// Written as `name+hexid+base64(TYPE || public key)`, the form of Go's `sumdb/note`. The key is
/// canonically encoded and not of small order.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey<const TYPE: u8> {
    name: KeyName,
    id: KeyId,
    key: VerifyingKey,
}

impl<const TYPE: u8> PublicKey<TYPE> {
    /// Takes a public key of 32 bytes under a name.
    ///
    /// # Errors
    ///
    /// [`KeyTextError::NotAPoint`] or [`KeyTextError::WeakKey`].
    pub fn new(name: KeyName, public_key: &[u8; 32]) -> Result<Self, KeyTextError> {
        let key = VerifyingKey::from_bytes(public_key).map_err(|_| KeyTextError::NotAPoint)?;
        if key.to_edwards().compress().as_bytes() != public_key {
            return Err(KeyTextError::NotAPoint);
        }
        if key.is_weak() {
            return Err(KeyTextError::WeakKey);
        }
        Ok(PublicKey::of(name, key))
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id under its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether a signature line claims to be this key's: "The tuple of key name and key ID uniquely
    /// identifies the key that performed the signature and the algorithm it used."
    pub fn is_claimed_by(&self, signature: &NoteSignature) -> bool {
        self.name == *signature.name() && self.id == signature.id()
    }

    /// Whether the 64 bytes of an RFC 8032 signature are this key's over a message.
    ///
    /// Verified by dalek's `verify_strict`: what it accepts, every RFC 8032 verifier accepts, so a
    /// note that is good here is good for witnesses and clients in other languages. The ledger's
    /// own rule for envelopes (ZIP 215, for batches) would accept notes that those refuse.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }

    fn of(name: KeyName, key: VerifyingKey) -> Self {
        let id = key_id(&name, TYPE, key.as_bytes());
        PublicKey { name, id, key }
    }
}

impl<const TYPE: u8> fmt::Display for PublicKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, self.id, TYPE, self.key.as_bytes())
    }
}

impl<const TYPE: u8> fmt::Debug for PublicKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl<const TYPE: u8> FromStr for PublicKey<TYPE> {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let (name, id, public_key) = parse_key(text, TYPE)?;
        let key = PublicKey::new(name, &public_key)?;
        if key.id == id { Ok(key) } else { Err(KeyTextError::WrongId) }
    }
}

/// A named Ed25519 secret key that makes signatures of one type.
///
/// `Debug` shows the public half only. Cloned keys are copies of the secret.
#[derive(Clone)]
pub struct SecretKey<const TYPE: u8> {
    key: SigningKey,
    public: PublicKey<TYPE>,
}

impl<const TYPE: u8> SecretKey<TYPE> {
    /// Takes a secret key under a name.
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        let public = PublicKey::of(name, key.verifying_key());
        SecretKey { key, public }
    }

    /// Takes the 32-byte seed of a secret key (RFC 8032's "private key") under a name.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Self {
        SecretKey::new(name, SigningKey::from_bytes(seed))
    }

    /// Reads a secret key: `PRIVATE+KEY+name+hexid+base64(TYPE || seed)`, the form of Go's
    /// `sumdb/note`. The id is that of the public key.
    ///
    /// # Errors
    ///
    /// [`KeyTextError`]: what is not of that form. It never quotes the text.
    pub fn parse_secret(text: &str) -> Result<Self, KeyTextError> {
        let fields = text.strip_prefix(SECRET_PREFIX).ok_or(KeyTextError::Form)?;
        let (name, id, seed) = parse_key(fields, TYPE)?;
        let signer = SecretKey::from_seed(name, &seed);
        if signer.key_id() == id { Ok(signer) } else { Err(KeyTextError::WrongId) }
    }

    /// The secret key as [`SecretKey::parse_secret`] reads it. Keep it secret.
    pub fn to_secret_text(&self) -> String {
        SecretText(self).to_string()
    }

    /// The public key, for those who verify.
    pub fn verifier_key(&self) -> PublicKey<TYPE> {
        self.public.clone()
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.public.name
    }

    /// The key's id under its name.
    pub fn key_id(&self) -> KeyId {
        self.public.id
    }

    /// The RFC 8032 signature over a message.
    pub(crate) fn signature_over(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// The line of a signature that this key made.
    pub(crate) fn line(&self, bytes: Vec<u8>) -> NoteSignature {
        NoteSignature::new(self.public.name.clone(), self.public.id, bytes)
            .expect("a signature has bytes")
    }
}

impl<const TYPE: u8> fmt::Debug for SecretKey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyTextError {
    /// Not the fields of a key.
    #[error("a key is not of the form name+id+key")]
    Form,
    /// The key's name.
    #[error("the key's name is not valid")]
    Name(#[from] NameError),
    /// The id is not 8 hexadecimal digits.
    #[error("the key's id is not 8 hexadecimal digits")]
    Id,
    /// The id is not that of this name and key.
    #[error("the key's id does not belong to its name and key")]
    WrongId,
    /// The key is not standard base64.
    #[error("the key is not standard base64")]
    Base64,
    /// The key is of another signature type.
    #[error("keys of type {found:#04x} are not supported")]
    Type {
        /// The type found.
        found: u8,
    },
    /// The key is not of 32 bytes.
    #[error("the key is not 32 bytes long")]
    Length,
    /// The bytes are not the canonical encoding of a point of the curve.
    #[error("the key is not a canonically encoded point")]
    NotAPoint,
    /// The key is of small order: anyone can sign for it.
    #[error("the key is of small order")]
    WeakKey,
}

/// Reads `name+hexid+base64(TYPE || 32 bytes)`, public or secret.
fn parse_key(
    text: &str,
    signature_type: u8,
) -> Result<(KeyName, KeyId, [u8; ED25519_KEY_BYTES]), KeyTextError> {
    // Base64 may contain a plus, a name may not: the first two separate the fields.
    let (name, rest) = text.split_once('+').ok_or(KeyTextError::Form)?;
    let (id, base64) = rest.split_once('+').ok_or(KeyTextError::Form)?;
    let id = parse_id(id).ok_or(KeyTextError::Id)?;
    let typed = from_base64(base64).ok_or(KeyTextError::Base64)?;
    let (&found, key) = typed.split_first().ok_or(KeyTextError::Length)?;
    if found != signature_type {
        return Err(KeyTextError::Type { found });
    }
    let key = key.try_into().map_err(|_| KeyTextError::Length)?;
    Ok((KeyName::new(name)?, id, key))
}

fn parse_id(text: &str) -> Option<KeyId> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    if text.len() != KEY_ID_DIGITS || !digits {
        return None;
    }
    u32::from_str_radix(text, 16).ok().map(KeyId::new)
}

fn write_key(
    f: &mut fmt::Formatter<'_>,
    name: &KeyName,
    id: KeyId,
    signature_type: u8,
    key: &[u8; ED25519_KEY_BYTES],
) -> fmt::Result {
    let typed = [&[signature_type][..], key].concat();
    write!(f, "{name}+{id}+{}", to_base64(&typed))
}

/// Keeps the secret out of `SecretKey`'s own `Display`, which it must not have.
struct SecretText<'a, const TYPE: u8>(&'a SecretKey<TYPE>);

impl<const TYPE: u8> fmt::Display for SecretText<'_, TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET_PREFIX)?;
        write_key(f, self.0.name(), self.0.key_id(), TYPE, self.0.key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::note::VerifierKey;

    /// What `verify_strict` and the strict keys refuse. The flags' names are those of the vectors.
    const REFUSED: [&str; 5] =
        ["low_order_A", "low_order_R", "low_order_residue", "non_canonical_A", "non_canonical_R"];

    fn bytes<const N: usize>(hex: &Value) -> [u8; N] {
        let hex = hex.as_str().expect("hexadecimal");
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("a byte");
        std::array::from_fn(byte)
    }

    fn accepted(vector: &Value) -> bool {
        let name = KeyName::new("log").expect("a name");
        let text = vector["msg"].as_str().expect("a text");
        VerifierKey::new(name, &bytes(&vector["key"]))
            .is_ok_and(|key| key.verifies(text.as_bytes(), &bytes::<64>(&vector["sig"])))
    }

    /// The edge cases of Ed25519 (C2SP/CCTV), where they are present.
    #[test]
    fn signatures_are_judged_strictly() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = base.join("../../../shared/vectors/ed25519/ed25519vectors.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: no vectors at {}", path.display());
            return;
        };
        let vectors: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let mut count = 0;
        for vector in &vectors {
            let has = |flag| {
                vector["flags"].as_array().is_some_and(|flags| flags.contains(&Value::from(flag)))
            };
            assert_eq!(accepted(vector), !REFUSED.into_iter().any(has), "{vector}");
            count += usize::from(accepted(vector));
        }
        // Those whose torsion in A and R cancels are among the accepted.
        assert!(vectors.len() >= 914 && count > 40, "{count} of {} accepted", vectors.len());
    }
}
