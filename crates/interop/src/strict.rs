//! Ed25519 as every RFC 8032 verifier checks it.

use ed25519_dalek::{Signature, VerifyingKey};

/// Whether a signature is the key's over a message, by dalek's `verify_strict`: what it accepts,
/// verifiers with and without cofactor accept.
pub(crate) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
