//! Proofs with any sizes and hashes, compared with RFC 6962's own recursive definitions, which the
//! verifier does not use.
//!
//! ```text
//! inclusion   = index u64 ‖ size u64 ‖ leaf [32] ‖ hashes
//! consistency = old u64 ‖ new u64 ‖ old root [32] ‖ hashes
//! ```

use tally_tlog::{
    ConsistencyProof, Hash, InclusionProof, LeafIndex, TreeSize, node_hash, verify_consistency,
    verify_inclusion,
};

use crate::targets::Outcome;

struct Input {
    first: u64,
    second: u64,
    hash: Hash,
    hashes: Vec<Hash>,
}

fn read(data: &[u8]) -> Option<Input> {
    let (first, data) = data.split_first_chunk()?;
    let (second, data) = data.split_first_chunk()?;
    let (hash, data) = data.split_first_chunk::<32>()?;
    let (hashes, _) = data.as_chunks::<32>();
    Some(Input {
        first: u64::from_be_bytes(*first),
        second: u64::from_be_bytes(*second),
        hash: Hash::new(*hash),
        hashes: hashes.iter().copied().map(Hash::new).collect(),
    })
}

/// A hash that nobody can have led a proof to.
fn random_root(data: &[u8]) -> Hash {
    Hash::new(*blake3::hash(data).as_bytes())
}

/// An inclusion proof: leads to the root that the definition leads to, and to no other.
pub fn inclusion_proof(data: &[u8]) -> Outcome {
    let Some(Input { first, second, hash, hashes }) = read(data) else {
        return Outcome::accepted("too short");
    };
    let expected = if first < second { path_root(first, second, hash, &hashes) } else { None };
    let proof = match InclusionProof::new(hashes) {
        Ok(proof) => proof,
        Err(error) => return Outcome::refused(&error),
    };
    let verify =
        |root| verify_inclusion(hash, LeafIndex::new(first), TreeSize::new(second), &proof, root);
    let refused = verify(random_root(data)).expect_err("no proof leads to any root");
    match expected {
        Some(root) => {
            assert_eq!(verify(root), Ok(()), "the definition leads to this root");
            Outcome::accepted("proven")
        }
        None => Outcome::refused(&refused),
    }
}

/// The root that a path leads to. "PATH(m, D\[n\])", RFC 6962 §2.1.1, read backwards.
fn path_root(m: u64, n: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if n == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (last, path) = path.split_last()?;
    let k = split(n);
    if m < k {
        Some(node_hash(&path_root(m, k, leaf, path)?, last))
    } else {
        Some(node_hash(last, &path_root(m - k, n - k, leaf, path)?))
    }
}

/// A consistency proof: leads to the roots that the definition leads to, and to no others.
pub fn consistency_proof(data: &[u8]) -> Outcome {
    let Some(Input { first, second, hash, hashes }) = read(data) else {
        return Outcome::accepted("too short");
    };
    let grows = 0 < first && first <= second;
    let expected = if grows { subproof_roots(first, second, Some(hash), &hashes) } else { None };
    let proof = match ConsistencyProof::new(hashes) {
        Ok(proof) => proof,
        Err(error) => return Outcome::refused(&error),
    };
    let verify = |old_root, new_root| {
        verify_consistency(TreeSize::new(first), TreeSize::new(second), old_root, new_root, &proof)
    };
    let random = random_root(data);
    let refused = verify(hash, random).expect_err("no proof leads to any root");
    match expected {
        Some((old, new)) => {
            assert_eq!(verify(old, new), Ok(()), "the definition leads to these roots");
            assert!(verify(old, random).is_err());
            assert!(verify(random, new).is_err());
            Outcome::accepted("proven")
        }
        None => Outcome::refused(&refused),
    }
}

/// The two roots that a proof leads to. "SUBPROOF(m, D\[n\], b)", RFC 6962 §2.1.2, read backwards;
/// `known` is the older root as long as b is true.
fn subproof_roots(m: u64, n: u64, known: Option<Hash>, proof: &[Hash]) -> Option<(Hash, Hash)> {
    if m == n {
        return match (known, proof) {
            (Some(root), []) => Some((root, root)),
            (None, [root]) => Some((*root, *root)),
            _ => None,
        };
    }
    let (last, proof) = proof.split_last()?;
    let k = split(n);
    if m <= k {
        let (old, new) = subproof_roots(m, k, known, proof)?;
        Some((old, node_hash(&new, last)))
    } else {
        let (old, new) = subproof_roots(m - k, n - k, None, proof)?;
        Some((node_hash(last, &old), node_hash(last, &new)))
    }
}

/// "let k be the largest power of two smaller than n"
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
