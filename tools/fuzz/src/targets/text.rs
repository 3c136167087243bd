//! What the log signs: notes, checkpoints and the proof files that hold them.

use tally_protocol::StateDigest;
use tally_tlog::{Checkpoint, LogProof, Note, SignedCheckpoint, leaf_hash};

use crate::seeds;
use crate::targets::Outcome;

/// A signed note: written back as it came, and another signature below changes nothing above.
pub fn note(data: &[u8]) -> Outcome {
    let note = match Note::parse(data) {
        Ok(note) => note,
        Err(error) => return Outcome::refused(&error),
    };
    assert_eq!(note.to_bytes(), data, "a note is written back as it came");
    let verdict = note.verify(&[seeds::log_key().verifier_key()]).map(|_| ());
    let mut signed = note.clone();
    let signer = seeds::other_key();
    if signer.countersign(&mut signed).is_ok() {
        assert!(signed.to_bytes().starts_with(data));
        assert_eq!(Note::parse(&signed.to_bytes()), Ok(signed.clone()));
        let foreign = |note: &Note| note.verify(&[signer.verifier_key()]).map(|_| ());
        // Only another signature that claims the same key, and is none, spoils it.
        assert!(foreign(&signed).is_ok() || foreign(&note).is_err());
    }
    match verdict {
        Ok(()) => Outcome::accepted("verified"),
        Err(error) => Outcome::refused(&error),
    }
}

/// A checkpoint: written back as it came, and what it claims is what its text says.
pub fn checkpoint(data: &[u8]) -> Outcome {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(head) = Checkpoint::parse_text(text)
    {
        assert_eq!(head.to_string(), text, "a tree head has one text");
    }
    let signed = match SignedCheckpoint::parse(data) {
        Ok(signed) => signed,
        Err(error) => return Outcome::refused(&error),
    };
    assert_eq!(signed.to_bytes(), data, "a checkpoint is written back as it came");
    assert_eq!(signed.unverified().to_string(), signed.note().unverified_text());
    match signed.open(&[seeds::log_key().verifier_key()], &seeds::log_origin()) {
        Ok(open) => {
            assert_eq!(open.checkpoint(), signed.unverified());
            assert_eq!(*open.origin(), seeds::log_origin());
            Outcome::accepted("verified")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// What a ledger's key says of its state: written back as it came.
pub fn state_digest(data: &[u8]) -> Outcome {
    let origin = seeds::log_origin();
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::refused(&"not UTF-8") };
    let Some(said) = StateDigest::parse(text, &origin) else {
        return Outcome::refused(&"no digest");
    };
    assert_eq!(said.text(&origin), text, "a state digest has one text");
    let note = said.sign(&origin, seeds::log_key());
    let keys = [seeds::log_key().verifier_key()];
    assert_eq!(StateDigest::open(&note, &keys, &origin), Some(said));
    Outcome::accepted("state digest")
}

/// A proof file: written back as it came; it proves one leaf and no other.
pub fn log_proof(data: &[u8]) -> Outcome {
    let proof = match LogProof::parse(data) {
        Ok(proof) => proof,
        Err(error) => return Outcome::refused(&error),
    };
    assert_eq!(proof.to_bytes(), data, "a proof file is written back as it came");
    let keys = [seeds::log_key().verifier_key()];
    let verify = |leaf| proof.verify(leaf, &keys, &seeds::log_origin());
    assert!(verify(leaf_hash(b"in no tree here")).is_err());
    let leaf = seeds::leaf(proof.index().as_u64());
    match verify(leaf) {
        Ok(under) => {
            assert!(under.size().contains(proof.index()));
            Outcome::accepted("verified")
        }
        Err(error) => Outcome::refused(&error),
    }
}
