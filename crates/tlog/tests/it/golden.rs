//! One pinned hash over every root and every proof of the small trees.

use sha2::{Digest, Sha256};
use tally_tlog::{Hash, consistency_proof, inclusion_proof};

use crate::support::{at, sized, tree_of};

/// Computed once by a separate program, written from the recursive definitions of RFC 6962 §2.1
/// (MTH, PATH, SUBPROOF): for each size 0 to 64 the root, then each inclusion proof, then each
/// consistency proof from 1 up to the size itself, a proof as its count in a byte and its hashes.
/// Leaf i is i in 8 bytes, big-endian.
const ALL_PROOFS: &str = "4OutQNYIYwraR3Z9ius08ivmpMwqX1r+LDfMReMqD08=";

fn update(hasher: &mut Sha256, hashes: &[Hash]) {
    hasher.update([hashes.len() as u8]);
    hashes.iter().for_each(|hash| hasher.update(hash.as_bytes()));
}

#[test]
fn all_proofs_of_small_trees_are_as_pinned() {
    let tree = tree_of(64);
    let mut hasher = Sha256::new();
    for n in 0..=64 {
        let size = sized(n);
        hasher.update(tree.root_at(size).expect("a root").as_bytes());
        for i in 0..n {
            update(&mut hasher, inclusion_proof(&tree, at(i), size).expect("a proof").hashes());
        }
        for m in 1..=n {
            let proof = consistency_proof(&tree, sized(m), size).expect("a proof");
            update(&mut hasher, proof.hashes());
        }
    }
    let aggregate: [u8; 32] = hasher.finalize().into();
    assert_eq!(Hash::new(aggregate).to_base64(), ALL_PROOFS);
}
