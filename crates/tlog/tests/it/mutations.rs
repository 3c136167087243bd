//! Every damaged proof is refused.

use proptest::prelude::*;
use tally_tlog::{
    ConsistencyProof, Hash, InclusionProof, ProofError, consistency_proof, empty_root,
    inclusion_proof, verify_consistency, verify_inclusion,
};

use crate::support::{at, leaf, sized, tree_of};

fn flipped(hash: Hash, bit: usize) -> Hash {
    let mut bytes = hash.into_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

/// Every way to damage a list of hashes in one place: a bit, a hash less, a hash more, two swapped.
fn damaged(hashes: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for i in 0..hashes.len() {
        let mut flip = hashes.to_vec();
        flip[i] = flipped(flip[i], bit);
        let mut drop = hashes.to_vec();
        drop.remove(i);
        all.extend([flip, drop]);
        for j in 0..i {
            let mut swap = hashes.to_vec();
            swap.swap(i, j);
            all.push(swap);
        }
    }
    for i in 0..=hashes.len() {
        for extra in [leaf(u64::MAX), empty_root(), *hashes.first().unwrap_or(&leaf(0))] {
            let mut add = hashes.to_vec();
            add.insert(i, extra);
            all.push(add);
        }
    }
    // Swapping equal hashes, or adding a copy of a hash beside itself, can give the same list.
    all.retain(|list| list != hashes);
    all
}

#[test]
fn damaged_inclusion_proofs_are_refused() {
    let tree = tree_of(33);
    let mut refused = 0;
    for n in 1..=33 {
        let (size, root) = (sized(n), tree.root_at(sized(n)).expect("a root"));
        for i in 0..n {
            let proof = inclusion_proof(&tree, at(i), size).expect("a proof");
            assert_eq!(verify_inclusion(leaf(i), at(i), size, &proof, root), Ok(()));
            for hashes in damaged(proof.hashes(), (n * i) as usize) {
                let proof = InclusionProof::new(hashes).expect("short enough");
                assert!(verify_inclusion(leaf(i), at(i), size, &proof, root).is_err());
                refused += 1;
            }
        }
    }
    assert!(refused > 10_000, "only {refused} damaged proofs");
}

#[test]
fn inclusion_proofs_do_not_fit_elsewhere() {
    let tree = tree_of(20);
    let (size, root) = (sized(20), tree.root());
    for i in 0..20 {
        let proof = inclusion_proof(&tree, at(i), size).expect("a proof");
        for j in (0..25).filter(|&j| j != i) {
            assert!(verify_inclusion(leaf(i), at(j), size, &proof, root).is_err(), "{i} as {j}");
        }
        let wrong_leaf = verify_inclusion(leaf(i + 1), at(i), size, &proof, root);
        assert_eq!(wrong_leaf, Err(ProofError::RootMismatch));
        let wrong_root = verify_inclusion(leaf(i), at(i), size, &proof, flipped(root, 7));
        assert_eq!(wrong_root, Err(ProofError::RootMismatch));
    }
}

#[test]
fn damaged_consistency_proofs_are_refused() {
    let tree = tree_of(33);
    let mut refused = 0;
    for n in 1..=33 {
        for m in 1..=n {
            let (old, new) = (sized(m), sized(n));
            let (old_root, new_root) =
                (tree.root_at(old).expect("a root"), tree.root_at(new).expect("a root"));
            let proof = consistency_proof(&tree, old, new).expect("a proof");
            assert_eq!(verify_consistency(old, new, old_root, new_root, &proof), Ok(()));
            for hashes in damaged(proof.hashes(), (n * m) as usize) {
                let proof = ConsistencyProof::new(hashes).expect("short enough");
                assert!(verify_consistency(old, new, old_root, new_root, &proof).is_err());
                refused += 1;
            }
        }
    }
    assert!(refused > 10_000, "only {refused} damaged proofs");
}

#[test]
fn consistency_proofs_do_not_fit_other_roots_or_sizes() {
    let tree = tree_of(24);
    let root = |n| tree.root_at(sized(n)).expect("a root");
    for m in 1..24 {
        let proof = consistency_proof(&tree, sized(m), sized(24)).expect("a proof");
        let verify = |m, old_root, n, new_root| {
            verify_consistency(sized(m), sized(n), old_root, new_root, &proof)
        };
        assert!(verify(m, flipped(root(m), 3), 24, root(24)).is_err());
        assert_eq!(verify(m, root(m), 24, flipped(root(24), 3)), Err(ProofError::RootMismatch));
        assert!(verify(m, root(24), 24, root(m)).is_err(), "roots swapped");
        assert!(verify(24, root(24), m, root(m)).is_err(), "trees swapped");
        for other in (1..24).filter(|&other| other != m) {
            assert!(verify(other, root(other), 24, root(24)).is_err(), "{m} as {other}");
        }
    }
}

#[test]
fn an_empty_older_tree_and_a_shrunk_one_are_refused_by_name() {
    let (tree, none) = (tree_of(3), ConsistencyProof::default());
    let verify = |m, old_root, n, new_root| {
        verify_consistency(sized(m), sized(n), old_root, new_root, &none)
    };
    assert_eq!(verify(0, empty_root(), 3, tree.root()), Err(ProofError::EmptyOldTree));
    assert_eq!(verify(0, empty_root(), 0, empty_root()), Err(ProofError::EmptyOldTree));
    let shrunk = ProofError::Shrunk { old: sized(3), new: sized(2) };
    assert_eq!(verify(3, tree.root(), 2, tree.root()), Err(shrunk));
    assert_eq!(verify(2, tree.root(), 3, tree.root()), Err(ProofError::TooFewHashes));
    assert_eq!(verify(3, tree.root(), 3, leaf(0)), Err(ProofError::RootMismatch));
    assert_eq!(verify(3, tree.root(), 3, tree.root()), Ok(()));
}

#[test]
fn a_proof_of_the_wrong_length_is_refused_by_name() {
    let tree = tree_of(5);
    let (size, root) = (tree.size(), tree.root());
    let shorter = |hashes: &[Hash]| hashes[1..].to_vec();
    let longer = |hashes: &[Hash]| [hashes, &[leaf(9)]].concat();

    let proof = inclusion_proof(&tree, at(2), size).expect("a proof");
    let verify = |hashes| {
        let proof = InclusionProof::new(hashes).expect("short enough");
        verify_inclusion(leaf(2), at(2), size, &proof, root)
    };
    assert_eq!(verify(shorter(proof.hashes())), Err(ProofError::TooFewHashes));
    assert_eq!(verify(longer(proof.hashes())), Err(ProofError::TooManyHashes));

    let proof = consistency_proof(&tree, sized(3), size).expect("a proof");
    let verify = |hashes| {
        let proof = ConsistencyProof::new(hashes).expect("short enough");
        verify_consistency(sized(3), size, tree.root_at(sized(3)).expect("a root"), root, &proof)
    };
    assert_eq!(verify(shorter(proof.hashes())), Err(ProofError::TooFewHashes));
    assert_eq!(verify(longer(proof.hashes())), Err(ProofError::TooManyHashes));
}

proptest! {
    /// No list of hashes that is not the proof passes for it.
    #[test]
    fn any_flipped_bit_is_refused(n in 2u64..600, pick in any::<u64>(), bit in 0usize..256) {
        let (tree, size, i) = (tree_of(n), sized(n), pick % n);
        let proof = inclusion_proof(&tree, at(i), size).expect("a proof");
        let at_hash = pick as usize % proof.hashes().len();
        let mut hashes = proof.hashes().to_vec();
        hashes[at_hash] = flipped(hashes[at_hash], bit);
        let damaged = InclusionProof::new(hashes).expect("short enough");
        prop_assert_eq!(
            verify_inclusion(leaf(i), at(i), size, &damaged, tree.root()),
            Err(ProofError::RootMismatch)
        );
    }
}
