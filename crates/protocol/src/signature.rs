//! One rule for signatures: ZIP 215, with the key canonical and not of small order.
//!
//! Under this rule the verdict on a signature is the same singly and in a batch of any size, so
//! all verifiers of one ledger agree for ever. `verify_batch` of `ed25519-dalek` does not have
//! that property and is never used.

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};

use crate::envelope::{ParsedEnvelope, VerifiedEnvelope, pre_authentication_encoding};
use crate::key::AgentId;

/// Signatures in one batch at most. With 16 signers a batch of 1,024 is nearly as fast, but with 1,000
/// signers it takes this many to decompress a key once for several signatures.
pub const MAX_BATCH: usize = 4_096;

/// No signature is checked more often than this, whatever stands beside it: in its batch, in a
/// [`SPLIT`]th of it, in a `SPLIT`th of that, and alone.
pub const MAX_CHECKS: u32 = 4;

/// Parts into which a batch with a bad signature is split.
const SPLIT: usize = 8;

/// In a part that is no longer than this, and has a bad signature, each is checked alone.
const ALONE: usize = 64;

const _: () = assert!(MAX_BATCH <= ALONE * SPLIT.pow(MAX_CHECKS - 2));

/// The author named in an envelope did not sign it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not {0}'s over this payload")]
pub struct BadSignature(pub AgentId);

/// Checks one signature.
///
/// # Errors
/// [`BadSignature`] when it is not the author's.
pub fn verify(parsed: ParsedEnvelope) -> Result<VerifiedEnvelope, BadSignature> {
    let author = parsed.envelope().author;
    let message = pre_authentication_encoding(&parsed.signed().payload);
    if verifies(author.as_bytes(), &parsed.signed().signature, &message) {
        Ok(VerifiedEnvelope::trust(parsed))
    } else {
        Err(BadSignature(author))
    }
}

/// Checks many signatures, in batches of [`MAX_BATCH`]. A bad one is found without failing its
/// neighbours: what it costs them is bounded by [`MAX_CHECKS`]. The answers come in the order of the
/// envelopes.
pub fn verify_batch(parsed: Vec<ParsedEnvelope>) -> Vec<Result<VerifiedEnvelope, BadSignature>> {
    let item = |parsed: &ParsedEnvelope| {
        let message = pre_authentication_encoding(&parsed.signed().payload);
        item(parsed.envelope().author.as_bytes(), &parsed.signed().signature, &message)
    };
    let good = verdicts(parsed.iter().map(item).collect());
    let judge = |(parsed, good): (ParsedEnvelope, bool)| {
        let author = parsed.envelope().author;
        if good { Ok(VerifiedEnvelope::trust(parsed)) } else { Err(BadSignature(author)) }
    };
    parsed.into_iter().zip(good).map(judge).collect()
}

/// The rule itself, over a bare key, signature and message.
pub fn verifies(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    AgentId::from_author_bytes(key).is_ok()
        && VerificationKey::try_from(*key)
            .and_then(|key| key.verify(&Signature::from(*signature), message))
            .is_ok()
}

/// The rule over many bare keys, signatures and messages, checked as [`verify_batch`] does it. The
/// answers come in the order of what was asked.
pub fn verifies_batch(signatures: &[(&[u8; 32], &[u8; 64], &[u8])]) -> Vec<bool> {
    verdicts(
        signatures.iter().map(|(key, signature, message)| item(key, signature, message)).collect(),
    )
}

/// A member of a batch, or nothing when no signature of this key counts.
fn item(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> Option<batch::Item> {
    AgentId::from_author_bytes(key).ok()?;
    let (key, signature) = (VerificationKeyBytes::from(*key), Signature::from(*signature));
    Some(batch::Item::from((key, signature, message)))
}

fn verdicts(items: Vec<Option<batch::Item>>) -> Vec<bool> {
    let mut verdicts: Vec<bool> = items.iter().map(Option::is_some).collect();
    let items: Vec<batch::Item> = items.into_iter().flatten().collect();
    let mut good = vec![true; items.len()];
    let size = even_share(items.len());
    for (items, good) in items.chunks(size).zip(good.chunks_mut(size)) {
        find_bad(items, good);
    }
    let asked = verdicts.iter_mut().filter(|verdict| **verdict);
    asked.zip(good).for_each(|(verdict, good)| *verdict = good);
    verdicts
}

/// How long batches are so that none is much shorter than the others.
fn even_share(items: usize) -> usize {
    let batches = items.div_ceil(MAX_BATCH).max(1);
    items.div_ceil(batches).max(1)
}

fn find_bad(items: &[batch::Item], good: &mut [bool]) {
    if batch_verifies(items) {
        return;
    }
    if items.len() <= ALONE {
        for (item, good) in items.iter().zip(good) {
            *good = item.clone().verify_single().is_ok();
        }
        return;
    }
    let part = items.len().div_ceil(SPLIT);
    for (items, good) in items.chunks(part).zip(good.chunks_mut(part)) {
        find_bad(items, good);
    }
}

fn batch_verifies(items: &[batch::Item]) -> bool {
    if let [item] = items {
        return item.clone().verify_single().is_ok();
    }
    let mut verifier = batch::Verifier::new();
    for item in items {
        verifier.queue(item.clone());
    }
    verifier.verify(rand::rng()).is_ok()
}
