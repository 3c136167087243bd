//! Cosignatures: made, verified, damaged, and judged by another Ed25519.

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use signed_note::{Note as OtherNote, Signature as OtherSignature, Verifier, VerifierList};
use tally_tlog::{
    COSIGNATURE_TYPE, Checkpoint, CosignatureError, Cosigner, CosignerKey, KeyTextError,
    NoteSignature, NoteSigner, PosixTime, SignedCheckpoint, VerifierKey, key_id,
};

use crate::support::{leaf, sized};

const AT: u64 = 1_679_315_147;

fn at(seconds: u64) -> PosixTime {
    PosixTime::new(seconds).expect("a time")
}

fn cosigner(name: &str, seed: u8) -> Cosigner {
    Cosigner::from_seed(name.parse().expect("a name"), &[seed; 32])
}

fn witness() -> Cosigner {
    cosigner("witness.example.com/w1", 2)
}

fn head(size: u64) -> Checkpoint {
    let origin = "example.com/behind-the-sofa".parse().expect("an origin");
    Checkpoint { origin, size: sized(size), root: leaf(0) }
}

fn signed(size: u64) -> SignedCheckpoint {
    let head = head(size);
    head.sign(&NoteSigner::from_seed(head.origin.key_name(), &[1; 32]))
}

fn with(mut checkpoint: SignedCheckpoint, line: NoteSignature) -> SignedCheckpoint {
    checkpoint.add_signature(line).expect("room");
    checkpoint
}

/// Judges cosignatures by the message that the specification shows, with the Ed25519 of another
/// version of dalek, under the rules of another implementation of notes.
struct OtherVerifier(CosignerKey);

impl Verifier for OtherVerifier {
    fn name(&self) -> &str {
        self.0.name().as_str()
    }

    fn key_id(&self) -> u32 {
        let name = self.0.name().as_str();
        let hash = Sha256::digest([name.as_bytes(), b"\n\x04", self.0.public_key()].concat());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let seconds = u64::from_be_bytes(*time);
        let message = [format!("cosignature/v1\ntime {seconds}\n").as_bytes(), text].concat();
        let key =
            tally_tlog::VerifierKey::new("other".parse().expect("a name"), self.0.public_key())
                .expect("the key");
        let standard = signed_note::StandardVerifier::new(&key.to_string()).expect("a verifier");
        standard.verify(&message, signature)
    }
}

#[test]
fn another_implementation_accepts_what_we_make() {
    let checkpoint = with(signed(5), witness().cosign(&head(5), at(AT)));
    let note = OtherNote::from_bytes(&checkpoint.to_bytes()).expect("a note");
    let verifiers = VerifierList::new(vec![Box::new(OtherVerifier(witness().verifier_key()))]);
    let (verified, _): (Vec<OtherSignature>, _) = note.verify(&verifiers).expect("verified");
    assert_eq!(verified.len(), 1);
}

/// The expected line was made by a separate program, with another Ed25519 implementation.
#[test]
fn a_golden_cosignature() {
    let line = witness().cosign(&head(5), at(AT));
    assert_eq!(line.to_string(), GOLDEN);
    assert_eq!(line.id(), key_id(line.name(), 0x04, witness().verifier_key().public_key()));
    assert_eq!(line.bytes()[..8], AT.to_be_bytes());
    let checkpoint = with(signed(5), NoteSignature::parse(GOLDEN).expect("a line"));
    let found = witness().verifier_key().verify(&checkpoint).expect("verified");
    assert_eq!(found.map(|found| found.timestamp), Some(at(AT)));
}

const GOLDEN: &str = "\u{2014} witness.example.com/w1 dF+16AAAAABkGFDLKqf9pjL9TvMs8+U5E2S3V+7Q6swllfzx3SZ7CxRnMqAT1hsbxT0Ii+mxiHqBeV7CTVVekqkJZLZ5qQ+T1uGJDg==";

/// The specification's example, whose keys it does not give: its lines are read, and strangers'.
#[test]
fn the_specification_s_example_is_read() {
    let text = "example.com/behind-the-sofa\n\
                20852163\n\
                CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
                \n\
                \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
                \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let checkpoint = SignedCheckpoint::parse(text.as_bytes()).expect("the example");
    let line = &checkpoint.note().signatures()[1];
    assert_eq!(line.bytes().len(), 72);
    assert_eq!(line.bytes()[..8], AT.to_be_bytes());
    // The name is ours, the key id is another's.
    assert_eq!(witness().verifier_key().verify(&checkpoint), Ok(None));
}

#[test]
fn only_lines_of_the_key_are_looked_at() {
    let key = witness().verifier_key();
    assert_eq!(key.verify(&signed(5)), Ok(None));
    let others = [cosigner("witness.example.com/w2", 2), cosigner("witness.example.com/w1", 3)];
    for other in others {
        let checkpoint = with(signed(5), other.cosign(&head(5), at(AT)));
        assert_eq!(key.verify(&checkpoint), Ok(None));
        assert!(other.verifier_key().verify(&checkpoint).expect("verified").is_some());
    }
}

fn check_bad(line: NoteSignature, error: CosignatureError) {
    let good = witness().cosign(&head(5), at(AT));
    let key = witness().verifier_key();
    assert_eq!(key.verify(&with(signed(5), line.clone())), Err(error));
    // Neither hides behind a good one, nor before it.
    assert_eq!(key.verify(&with(with(signed(5), good.clone()), line.clone())), Err(error));
    assert_eq!(key.verify(&with(with(signed(5), line), good)), Err(error));
}

fn claimed(bytes: Vec<u8>) -> NoteSignature {
    let key = witness().verifier_key();
    NoteSignature::new(key.name().clone(), key.id(), bytes).expect("bytes")
}

#[test]
fn a_line_of_the_key_that_does_not_verify_is_an_error() {
    let good = witness().cosign(&head(5), at(AT)).bytes().to_vec();
    check_bad(witness().cosign(&head(6), at(AT)), CosignatureError::Signature);
    for bit in [0, 63, 64, 300, 575] {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        let error =
            if bit == 0 { CosignatureError::Timestamp } else { CosignatureError::Signature };
        check_bad(claimed(bytes), error);
    }
    check_bad(claimed(good[..71].to_vec()), CosignatureError::Length { length: 71 });
    check_bad(claimed([&good[..], &[0]].concat()), CosignatureError::Length { length: 73 });
    check_bad(claimed(vec![0]), CosignatureError::Length { length: 1 });
    // A signature as a log makes it: over the text alone, without a time.
    let log = NoteSigner::from_seed(witness().name().clone(), &[2; 32]);
    let line = log.sign(&head(5).to_string()).expect("a note").signatures()[0].bytes().to_vec();
    check_bad(claimed([&AT.to_be_bytes()[..], &line].concat()), CosignatureError::Signature);
}

#[test]
fn of_several_the_latest_counts() {
    let key = witness().verifier_key();
    let mut checkpoint = signed(5);
    for seconds in [AT, AT + 7, AT + 3] {
        checkpoint = with(checkpoint, witness().cosign(&head(5), at(seconds)));
    }
    let latest = key.verify(&checkpoint).expect("verified").expect("cosigned");
    assert_eq!(latest.timestamp, at(AT + 7));
}

#[test]
fn times_end_at_2_to_the_63() {
    assert_eq!(PosixTime::new((1 << 63) - 1), Some(PosixTime::MAX));
    assert_eq!(PosixTime::new(1 << 63), None);
    for seconds in [0, 1, (1 << 63) - 1] {
        let checkpoint = with(signed(5), witness().cosign(&head(5), at(seconds)));
        let found = witness().verifier_key().verify(&checkpoint).expect("verified");
        assert_eq!(found.map(|found| found.timestamp.as_u64()), Some(seconds));
    }
}

#[test]
fn keys_are_of_their_own_type() {
    let cosigner = witness();
    let key = cosigner.verifier_key();
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    assert_eq!(text.parse::<VerifierKey>(), Err(KeyTextError::Type { found: COSIGNATURE_TYPE }));
    let log = VerifierKey::new(key.name().clone(), key.public_key()).expect("a key");
    assert_ne!(log.id(), key.id(), "the type is in the id");
    assert_eq!(log.to_string().parse::<CosignerKey>(), Err(KeyTextError::Type { found: 0x01 }));

    let secret = cosigner.to_secret_text();
    let again = Cosigner::parse_secret(&secret).expect("its own text");
    assert_eq!(again.verifier_key(), key);
    assert!(NoteSigner::parse_secret(&secret).is_err());
    let hidden = secret.splitn(5, '+').last().expect("a field");
    assert!(!format!("{cosigner:?}").contains(hidden), "a secret is not shown");
}

#[test]
fn weak_and_foreign_encodings_of_points_are_no_keys() {
    let name = || "w".parse().expect("a name");
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(CosignerKey::new(name(), &identity), Err(KeyTextError::WeakKey));
    // The identity once more, as y = p + 1.
    let mut foreign = [0xff; 32];
    (foreign[0], foreign[31]) = (0xee, 0x7f);
    assert_eq!(CosignerKey::new(name(), &foreign), Err(KeyTextError::NotAPoint));
}

proptest! {
    #[test]
    fn what_is_cosigned_verifies_and_nothing_else(
        seed in any::<u8>(), size in 1u64.., seconds in 0..(1u64 << 63), other in 1u64..,
    ) {
        let cosigner = cosigner("w", seed);
        let line = cosigner.cosign(&head(size), at(seconds));
        let key = cosigner.verifier_key();
        let found = key.verify(&with(signed(size), line.clone())).expect("verified");
        prop_assert_eq!(found.map(|found| found.timestamp.as_u64()), Some(seconds));
        if other != size {
            prop_assert!(key.verify(&with(signed(other), line)).is_err());
        }
    }
}
