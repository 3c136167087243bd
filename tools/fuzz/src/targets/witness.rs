//! What witnesses and readers of tiles exchange: cosigned checkpoints, requests, policies, tiles.

use tally_tlog::{
    Cosigner, CosignerKey, EntryBundleError, PolicyError, SignedCheckpoint, Standing, TilePath,
    TreeSize, WitnessPolicy, decode_entries, encode_entries,
};
use tally_witness::{AddCheckpoint, MAX_REQUEST_HASHES};

use crate::seeds;
use crate::targets::Outcome;

/// A checkpoint that the witness of every input may have cosigned: what verifies is of this text
/// and no other, and a public and a secret key of a cosigner are written back as they came.
pub fn cosignature(data: &[u8]) -> Outcome {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(key) = text.parse::<CosignerKey>() {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        if let Ok(cosigner) = Cosigner::parse_secret(text) {
            let again = Cosigner::parse_secret(&cosigner.to_secret_text()).expect("its own text");
            assert_eq!(again.verifier_key(), cosigner.verifier_key());
        }
    }
    let signed = match SignedCheckpoint::parse(data) {
        Ok(signed) => signed,
        Err(error) => return Outcome::refused(&error),
    };
    match seeds::witness().verifier_key().verify(&signed) {
        Ok(Some(cosignature)) => {
            let line = seeds::witness().cosign(signed.unverified(), cosignature.timestamp);
            // Ed25519 signatures are deterministic: the line that verifies is the one made.
            assert!(signed.note().signatures().contains(&line), "a cosignature of its own");
            Outcome::accepted("cosigned")
        }
        Ok(None) => Outcome::accepted("silent"),
        Err(error) => Outcome::refused(&error),
    }
}

/// A trust policy: no layout changes what it says, and nobody's word meets no quorum but `none`'s.
pub fn witness_policy(data: &[u8]) -> Outcome {
    let policy = match WitnessPolicy::parse(data) {
        Ok(policy) => policy,
        Err(PolicyError::Line { rule, .. }) => return Outcome::refused(&rule),
        Err(error) => return Outcome::refused(&error),
    };
    let roomy = [b"# once more\n\n \t", data].concat();
    assert_eq!(WitnessPolicy::parse(&roomy), Ok(policy.clone()));
    let quorum = policy.judge(&seeds::head(TreeSize::new(1), seeds::leaf(0)));
    assert_eq!(quorum.met, policy.needs_no_witness());
    assert_eq!(quorum.witnesses.len(), policy.witnesses().len());
    assert!(quorum.witnesses.iter().all(|(_, standing)| *standing == Standing::Silent));
    Outcome::accepted(if quorum.met { "none" } else { "quorum" })
}

/// The path of a tile: each tile has one, and is in some tree.
pub fn tile_path(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    match text.parse::<TilePath>() {
        Ok(tile) => {
            assert_eq!(tile.to_string(), text, "a tile has one path");
            let smallest = tile.smallest_tree();
            assert!(tile.is_within(smallest));
            assert!(!tile.is_within(TreeSize::new(smallest.as_u64() - 1)));
            assert_eq!(tile.nodes().count(), usize::from(tile.width()));
            assert!(tile.nodes().all(|node| node.is_within(smallest)));
            Outcome::accepted("tile")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// An entry bundle: written back as it came.
pub fn entry_bundle(data: &[u8]) -> Outcome {
    match decode_entries(data) {
        Ok(entries) => {
            assert_eq!(encode_entries(&entries).as_deref(), Ok(data));
            Outcome::accepted("entries")
        }
        Err(error @ EntryBundleError::EntryTooLong { .. }) => {
            panic!("no length of 16 bits is too long: {error}")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// The body of an `add-checkpoint` request: written back as it came.
pub fn add_checkpoint(data: &[u8]) -> Outcome {
    match AddCheckpoint::parse(data) {
        Ok(request) => {
            assert_eq!(request.to_bytes(), data, "a request is written back as it came");
            assert!(request.proof().hashes().len() <= MAX_REQUEST_HASHES);
            Outcome::accepted("request")
        }
        Err(error) => Outcome::refused(&error),
    }
}
