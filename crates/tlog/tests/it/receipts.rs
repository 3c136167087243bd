//! Log receipts: the file's form, and what verifying one refuses.

use proptest::prelude::*;
use tally_tlog::{
    Checkpoint, CheckpointError, HashTextError, InclusionProof, LogProof, LogProofError,
    LogProofVerifyError, MAX_EXTRA_BYTES, MAX_LOG_PROOF_BYTES, NoteError, NoteSigner, Origin,
    ProofError, VerifierKey, inclusion_proof,
};

use crate::support::{at, leaf, sized, tree_of};

fn origin() -> Origin {
    Origin::new("example.com/ledger").expect("an origin")
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed(origin().key_name(), &[7; 32])
}

fn keys() -> [VerifierKey; 1] {
    [signer().verifier_key()]
}

fn receipt(extra: Option<&[u8]>, index: u64, size: u64) -> LogProof {
    let tree = tree_of(size);
    let head = Checkpoint { origin: origin(), size: tree.size(), root: tree.root() };
    let proof = inclusion_proof(&tree, at(index), tree.size()).expect("a proof");
    LogProof::new(extra.map(<[u8]>::to_vec), at(index), proof, head.sign(&signer()))
        .expect("a receipt")
}

/// The expected file was made by a separate program, with another Ed25519 implementation.
#[test]
fn a_golden_receipt() {
    assert_eq!(
        receipt(Some(b"extra data"), 2, 3).to_string(),
        "c2sp.org/tlog-proof@v1\n\
         extra ZXh0cmEgZGF0YQ==\n\
         index 2\n\
         p9kYlLYfv0Y3jYjj4bH3rvOVMsUEtIS9MVUdFeCgnf8=\n\
         \n\
         example.com/ledger\n\
         3\n\
         m0ll+LIgukL3A5rQeByWbPkLsa6hWoBYbWNLMiqx9M4=\n\
         \n\
         \u{2014} example.com/ledger 7E1ubeaOrOCJmTkokatwkZHex+8vzRaeKc/UCuZB6Fp4nmZXmeKh/af3PqTXh1NJqYW/xtH0cVZcK85d1wcNmB1gNgc=\n"
    );
}

#[test]
fn the_form_is_the_specification_s() {
    let text = receipt(Some(b"x"), 10, 11).to_string();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra eA==", "index 10"]);
    let tree = tree_of(11);
    let proof = inclusion_proof(&tree, at(10), sized(11)).expect("a proof");
    let hashes: Vec<String> = proof.hashes().iter().map(ToString::to_string).collect();
    assert_eq!(lines[3..3 + hashes.len()], hashes);
    assert_eq!(lines[3 + hashes.len()..][..3], ["", "example.com/ledger", "11"]);
    let alone = receipt(None, 0, 1).to_string();
    assert!(alone.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nexample.com/ledger\n1\n"));
    assert_eq!(LogProof::parse(alone.as_bytes()), Ok(receipt(None, 0, 1)));
}

#[test]
fn every_receipt_is_read_back_and_verifies() {
    for size in 1..=17 {
        for index in 0..size {
            let made = receipt((index % 2 == 0).then_some(b"extra"), index, size);
            let read = LogProof::parse(&made.to_bytes()).expect("a receipt");
            assert_eq!(read, made);
            let opened = read.verify(leaf(index), &keys(), &origin()).expect("verified");
            assert_eq!((opened.size(), opened.root()), (sized(size), tree_of(size).root()));
            assert_eq!(opened.signed(), read.checkpoint());
        }
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let good = receipt(None, 5, 9);
    let wrong_leaf = good.verify(leaf(6), &keys(), &origin());
    assert_eq!(wrong_leaf, Err(LogProofVerifyError::Inclusion(ProofError::RootMismatch)));
    let other = Origin::new("example.com/other").expect("an origin");
    let wrong_log = good.verify(leaf(5), &keys(), &other);
    assert!(matches!(
        wrong_log,
        Err(LogProofVerifyError::Checkpoint(CheckpointError::WrongOrigin { .. }))
    ));
    let no_key = good.verify(leaf(5), &[], &origin());
    assert!(matches!(no_key, Err(LogProofVerifyError::Checkpoint(CheckpointError::Verify(_)))));
    let assemble = |index, hashes: &InclusionProof| {
        LogProof::new(None, at(index), hashes.clone(), good.checkpoint().clone())
            .expect("a receipt")
            .verify(leaf(5), &keys(), &origin())
    };
    assert!(assemble(5, good.inclusion_proof()).is_ok());
    assert!(assemble(4, good.inclusion_proof()).is_err());
    let beyond = ProofError::NoSuchLeaf { index: at(9), size: sized(9) };
    let refused = assemble(9, good.inclusion_proof());
    assert_eq!(refused, Err(LogProofVerifyError::Inclusion(beyond)));
    let none = InclusionProof::default();
    assert_eq!(assemble(5, &none), Err(LogProofVerifyError::Inclusion(ProofError::TooFewHashes)));
}

fn check_refused(text: &str, error: LogProofError) {
    assert_eq!(LogProof::parse(text.as_bytes()), Err(error), "{text:?}");
}

#[test]
fn malformed_receipts_are_refused() {
    use LogProofError as E;
    let good = receipt(Some(b"x"), 10, 11).to_string();
    check_refused("", E::NoCheckpoint);
    check_refused("c2sp.org/tlog-proof@v1\nindex 0\n", E::NoCheckpoint);
    check_refused(&good.replace("@v1", "@v2"), E::Header);
    check_refused(&format!("\n{good}"), E::Header);
    check_refused(&good.replace("extra eA==\n", "extra \n"), E::EmptyExtra);
    check_refused(&good.replace("extra eA==", "extra eB=="), E::ExtraBase64);
    check_refused(&good.replace("extra eA==", "extra  eA=="), E::ExtraBase64);
    check_refused(&good.replace("extra eA==", "Extra eA=="), E::Index);
    check_refused(&good.replace("extra eA==", "extra eA==\nextra eA=="), E::Index);
    check_refused(&good.replace("index 10\n", ""), E::Index);
    for index in ["010", "+10", "-1", "", "1 0", "18446744073709551616"] {
        check_refused(&good.replace("index 10", &format!("index {index}")), E::Index);
    }
    let shorter = good.replace("index 10\n", "index 10\nAAAA\n");
    check_refused(&shorter, E::Hash(HashTextError::Length { length: 3 }));
    let spaced = good.replace("index 10\n", "index 10\n ");
    check_refused(&spaced, E::Hash(HashTextError::Base64));
    check_refused(good.trim_end(), E::Checkpoint(NoteError::UnterminatedSignature.into()));
    let extended = good.replace("\n11\n", "\n11\nextension\n");
    assert!(matches!(LogProof::parse(extended.as_bytes()), Err(E::Checkpoint(_))));
    assert_eq!(LogProof::parse(b"c2sp\xff"), Err(E::NotUtf8));
}

#[test]
fn limits_are_held_on_both_sides() {
    let build = |extra: Vec<u8>| {
        let made = receipt(None, 0, 1);
        let hashes = made.inclusion_proof().clone();
        LogProof::new(Some(extra), made.index(), hashes, made.checkpoint().clone())
    };
    let largest = build(vec![1; MAX_EXTRA_BYTES]).expect("a receipt");
    assert_eq!(LogProof::parse(&largest.to_bytes()), Ok(largest.clone()));
    assert_eq!(largest.unauthenticated_extra().map(<[u8]>::len), Some(MAX_EXTRA_BYTES));
    let length = MAX_EXTRA_BYTES + 1;
    let refused = LogProofError::ExtraTooLarge { length };
    assert_eq!(build(vec![1; length]), Err(refused.clone()));
    assert_eq!(build(Vec::new()), Err(LogProofError::EmptyExtra));

    let hash = format!("{}\n", leaf(0));
    let with_hashes = |count: usize| {
        receipt(None, 0, 1)
            .to_string()
            .replace("index 0\n", &("index 0\n".to_owned() + &hash.repeat(count)))
    };
    assert!(LogProof::parse(with_hashes(64).as_bytes()).is_ok());
    let too_long = ProofError::TooLong { count: 65 };
    check_refused(&with_hashes(65), LogProofError::Proof(too_long));
    check_refused(&with_hashes(500), LogProofError::Proof(too_long));

    let length = MAX_LOG_PROOF_BYTES + 1;
    let refused = LogProofError::TooLarge { length };
    assert_eq!(LogProof::parse(&vec![b'x'; length]), Err(refused));
}

proptest! {
    /// No changed byte of a receipt passes: it is refused, or it was the unauthenticated extra
    /// data or a signature of an unknown key that changed.
    #[test]
    fn a_changed_byte_is_refused(at_byte in any::<prop::sample::Index>(), bit in 0u32..8) {
        let good = receipt(None, 5, 9);
        let mut bytes = good.to_bytes();
        let at_byte = at_byte.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        let verdict = LogProof::parse(&bytes)
            .ok()
            .and_then(|read| read.verify(leaf(5), &keys(), &origin()).ok());
        prop_assert_eq!(verdict, None);
    }

    #[test]
    fn whatever_parses_is_written_back(at_byte in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = receipt(Some(b"extra"), 5, 9).to_bytes();
        let at_byte = at_byte.index(bytes.len());
        bytes[at_byte] = byte;
        if let Ok(read) = LogProof::parse(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
