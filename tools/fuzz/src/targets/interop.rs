//! What was exported and comes back.

use tally_interop::{CoseKey, CoseReceipt, DsseEnvelope, DsseError};

use crate::seeds;
use crate::targets::Outcome;

/// A DSSE envelope: what it says is written again, and an envelope of the ledger is one.
pub fn dsse(data: &[u8]) -> Outcome {
    let envelope = match DsseEnvelope::parse(data) {
        Ok(envelope) => envelope,
        // Its text quotes the input.
        Err(DsseError::Json(error)) => return Outcome::refused(&error.classify()),
        Err(error) => return Outcome::refused(&error),
    };
    let again = DsseEnvelope::parse(envelope.to_json().as_bytes()).expect("its own JSON");
    assert_eq!(again, envelope);
    let is_ours = envelope.payload_type() == tally_protocol::envelope::PAYLOAD_TYPE;
    match envelope.signed_envelope() {
        Some(signed) => assert!(is_ours && signed.payload == envelope.payload()),
        None => assert!(!is_ours),
    }
    Outcome::accepted(if envelope.verifies() { "signed" } else { "unsigned" })
}

/// A COSE receipt: written back as it came; it proves one event and no other.
pub fn cose_receipt(data: &[u8]) -> Outcome {
    let receipt = match CoseReceipt::parse(data) {
        Ok(receipt) => receipt,
        Err(error) => return Outcome::refused(&error),
    };
    assert_eq!(receipt.to_bytes(), data, "a receipt has one encoding");
    let key = seeds::cose().public_key();
    let index = receipt.index().as_u64();
    let other = seeds::entry(index.wrapping_add(1));
    assert!(receipt.verify(&other, &key).is_err());
    match receipt.verify(&seeds::entry(index), &key) {
        Ok(_) => Outcome::accepted("verified"),
        Err(error) => Outcome::refused(&error),
    }
}

/// A private key for COSE receipts: written back as it came, and never shown.
pub fn cose_key(data: &[u8]) -> Outcome {
    match CoseKey::parse(data) {
        Ok(key) => {
            assert_eq!(key.to_bytes(), data, "a key has one encoding");
            let secret = hex::encode(&data[data.len() - 32..]);
            assert!(!format!("{key:?}").contains(&secret), "a secret is not shown");
            Outcome::accepted("key")
        }
        Err(error) => Outcome::refused(&error),
    }
}
