//! Inclusion and consistency proofs: made from stored nodes, verified from nothing but the proof.
//!
//! Follows RFC 9162 §2.1.3 and §2.1.4, whose proofs are those of RFC 6962 §2.1. Does not know who
//! vouches for a root: a proof is worth as much as the root it is verified against, which comes
//! from a [`crate::VerifiedCheckpoint`].

use thiserror::Error;

use crate::hash::{Hash, node_hash};
use crate::tree::{
    Frontier, HashReader, LeafIndex, MAX_TREE_SIZE, TreeSize, complete_nodes, read_exactly,
};

/// The most hashes a proof may have. A tree of at most [`MAX_TREE_SIZE`] leaves needs no more.
pub const MAX_PROOF_HASHES: usize = 64;

/// The audit path of one leaf, its sibling first, the root's child last: at most
/// [`MAX_PROOF_HASHES`] hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InclusionProof(Vec<Hash>);

impl InclusionProof {
    /// Takes hashes as a proof, the leaf's sibling first. Proves nothing until verified.
    ///
    /// # Errors
    ///
    /// [`ProofError::TooLong`].
    pub fn new(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        limit(hashes).map(InclusionProof)
    }

    /// The hashes, the leaf's sibling first.
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }
}

/// The nodes that link an older root to a newer one, in the order of RFC 6962 §2.1.2: at most
/// [`MAX_PROOF_HASHES`] hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsistencyProof(Vec<Hash>);

impl ConsistencyProof {
    /// Takes hashes as a proof. Proves nothing until verified.
    ///
    /// # Errors
    ///
    /// [`ProofError::TooLong`].
    pub fn new(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        limit(hashes).map(ConsistencyProof)
    }

    /// The hashes, in the RFC's order.
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// More hashes than any proof has.
    #[error("a proof of {count} hashes is over the limit of {MAX_PROOF_HASHES}")]
    TooLong {
        /// Hashes given.
        count: usize,
    },
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// The leaf asked about.
        index: LeafIndex,
        /// The tree's size.
        size: TreeSize,
    },
    /// The older tree is the larger one.
    #[error("an older tree of {old} leaves cannot grow into one of {new}")]
    Shrunk {
        /// The older tree's size.
        old: TreeSize,
        /// The newer tree's size.
        new: TreeSize,
    },
    /// The older tree is empty: every tree extends it, so there is nothing to prove.
    #[error("consistency with an empty tree proves nothing")]
    EmptyOldTree,
    /// More hashes than these sizes need.
    #[error("the proof has more hashes than the tree sizes allow")]
    TooManyHashes,
    /// Fewer hashes than these sizes need.
    #[error("the proof has fewer hashes than the tree sizes need")]
    TooFewHashes,
    /// The proof does not lead to the given root; for consistency, to the newer one.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// The proof does not lead to the older root.
    #[error("the proof does not lead to the older root")]
    OldRootMismatch,
}

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// A stored node could not be read.
    #[error("a node of the tree could not be read")]
    Read(#[source] E),
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// The leaf asked about.
        index: LeafIndex,
        /// The tree's size.
        size: TreeSize,
    },
    /// The older tree is the larger one.
    #[error("an older tree of {old} leaves cannot grow into one of {new}")]
    Shrunk {
        /// The older tree's size.
        old: TreeSize,
        /// The newer tree's size.
        new: TreeSize,
    },
    /// The older tree is empty: every tree extends it, so there is nothing to prove.
    #[error("consistency with an empty tree proves nothing")]
    EmptyOldTree,
    /// The tree is larger than [`MAX_TREE_SIZE`].
    #[error("a tree of {size} leaves is over the limit for proofs")]
    TreeTooLarge {
        /// The tree's size.
        size: TreeSize,
    },
}

/// The root that the log had at `size`, from stored nodes, in one read.
///
/// # Errors
///
/// The reader's: the log is smaller, or a node cannot be read.
pub fn root_at<R: HashReader>(reader: &R, size: TreeSize) -> Result<Hash, R::Error> {
    Ok(Frontier::from_nodes(size, reader)?.root())
}

/// Proves that the tree of `size` leaves has its leaf at `index`, with one read of complete nodes.
///
/// # Errors
///
/// [`ProveError`]: no such leaf, or a node cannot be read.
pub fn inclusion_proof<R: HashReader>(
    reader: &R,
    index: LeafIndex,
    size: TreeSize,
) -> Result<InclusionProof, ProveError<R::Error>> {
    if !size.contains(index) {
        return Err(ProveError::NoSuchLeaf { index, size });
    }
    check_size(size)?;
    let subtrees = inclusion_path(index.as_u64(), size.as_u64());
    Ok(InclusionProof(read_subtrees(reader, &subtrees).map_err(ProveError::Read)?))
}

/// Proves that the tree of `new` leaves extends the tree of `old`, with one read of complete nodes.
///
/// # Errors
///
/// [`ProveError`]: an empty or larger older tree, or a node cannot be read.
pub fn consistency_proof<R: HashReader>(
    reader: &R,
    old: TreeSize,
    new: TreeSize,
) -> Result<ConsistencyProof, ProveError<R::Error>> {
    if old > new {
        return Err(ProveError::Shrunk { old, new });
    }
    if old == TreeSize::ZERO {
        return Err(ProveError::EmptyOldTree);
    }
    check_size(new)?;
    let subtrees = consistency_path(old.as_u64(), new.as_u64());
    Ok(ConsistencyProof(read_subtrees(reader, &subtrees).map_err(ProveError::Read)?))
}

/// Verifies that the tree of `size` leaves under `root` has `leaf_hash` at `index`.
///
/// # Errors
///
/// [`ProofError`]: what does not fit.
pub fn verify_inclusion(
    leaf_hash: Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &InclusionProof,
    root: Hash,
) -> Result<(), ProofError> {
    if inclusion_root(leaf_hash, index, size, proof)? == root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// The root that a proof leads to from `leaf_hash` at `index` in a tree of `size` leaves: for those
/// to whom the root is known only by a signature over it. It proves nothing by itself.
///
/// The steps are those of RFC 9162 §2.1.3.2.
///
/// # Errors
///
/// [`ProofError`]: the proof does not have the shape that index and size ask for.
pub fn inclusion_root(
    leaf_hash: Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &InclusionProof,
) -> Result<Hash, ProofError> {
    // 1. "Compare leaf_index ... against tree_size. If leaf_index is greater than or equal to
    //    tree_size, then fail the proof verification."
    if !size.contains(index) {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    // 2. "Set fn to leaf_index and sn to tree_size - 1."
    let mut walk = Walk { node: index.as_u64(), last: size.as_u64() - 1 };
    // 3. "Set r to hash."
    let mut r = leaf_hash;
    // 4. "For each value p in the inclusion_path array:"
    for p in &proof.0 {
        r = match walk.step()? {
            // 4.b.i "Set r to HASH(0x01 || p || r)."
            Side::Left => node_hash(p, &r),
            // 4.b, otherwise: "Set r to HASH(0x01 || r || p)."
            Side::Right => node_hash(&r, p),
        };
    }
    // 5. "Compare sn to 0. Compare r against the root_hash. If sn is equal to 0 and r and the
    //    root_hash are equal, then the log has proven the inclusion of hash."
    walk.finish()?;
    Ok(r)
}

/// Verifies that the tree of `new` leaves under `new_root` extends the tree of `old` leaves under
/// `old_root`.
///
/// The steps are those of RFC 9162 §2.1.4.2. Sizes that are equal need equal roots and an empty
/// proof. An empty older tree is always refused: it has one root, known to all, and no proof, so
/// a caller who starts from nothing must say so and not call this.
///
/// # Errors
///
/// [`ProofError`]: what does not fit.
pub fn verify_consistency(
    old: TreeSize,
    new: TreeSize,
    old_root: Hash,
    new_root: Hash,
    proof: &ConsistencyProof,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == TreeSize::ZERO {
        return Err(ProofError::EmptyOldTree);
    }
    if old == new {
        return verify_same_tree(old_root, new_root, proof);
    }
    verify_growth(old.as_u64(), new.as_u64(), old_root, new_root, proof)
}

/// The RFC's algorithm is for 0 < first < second. A tree is consistent with itself, without proof:
/// "SUBPROOF(m, D\[m\], true) = {}" (RFC 6962 §2.1.2).
fn verify_same_tree(
    old_root: Hash,
    new_root: Hash,
    proof: &ConsistencyProof,
) -> Result<(), ProofError> {
    if !proof.0.is_empty() {
        return Err(ProofError::TooManyHashes);
    }
    if old_root == new_root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// RFC 9162 §2.1.4.2 for 0 < first < second.
fn verify_growth(
    first: u64,
    second: u64,
    first_hash: Hash,
    second_hash: Hash,
    proof: &ConsistencyProof,
) -> Result<(), ProofError> {
    // 1. "If consistency_path is an empty array, stop and fail the proof verification."
    let (head, tail) = proof.0.split_first().ok_or(ProofError::TooFewHashes)?;
    // 2. "If first is an exact power of 2, then prepend first_hash to the consistency_path array."
    let (start, rest) =
        if first.is_power_of_two() { (first_hash, &proof.0[..]) } else { (*head, tail) };
    // 3. "Set fn to first - 1 and sn to second - 1."
    let mut walk = Walk { node: first - 1, last: second - 1 };
    // 4. "If LSB(fn) is set, then right-shift both fn and sn equally until LSB(fn) is not set."
    walk.shift(walk.node.trailing_ones());
    // 5. "Set both fr and sr to the first value in the consistency_path array."
    let (mut fr, mut sr) = (start, start);
    // 6. "For each subsequent value c in the consistency_path array:"
    for c in rest {
        match walk.step()? {
            // 6.b.i, ii "Set fr to HASH(0x01 || c || fr). Set sr to HASH(0x01 || c || sr)."
            Side::Left => (fr, sr) = (node_hash(c, &fr), node_hash(c, &sr)),
            // 6.b, otherwise: "Set sr to HASH(0x01 || sr || c)."
            Side::Right => sr = node_hash(&sr, c),
        }
    }
    // 7. "... verify that the fr calculated is equal to the first_hash supplied, that the sr
    //    calculated is equal to the second_hash supplied, and that sn is 0."
    walk.finish()?;
    if fr != first_hash {
        return Err(ProofError::OldRootMismatch);
    }
    if sr == second_hash { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Where the next hash of a proof goes: to the left or to the right of what is known.
enum Side {
    Left,
    Right,
}

/// The way from a leaf up to the root that both verifications take: `node` is the RFC's fn,
/// `last` its sn, the last node of the same level.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// Takes one hash of the proof: steps a to c, the same in §2.1.3.2 and §2.1.4.2.
    fn step(&mut self) -> Result<Side, ProofError> {
        // a. "If sn is 0, then stop the iteration and fail the proof verification."
        if self.last == 0 {
            return Err(ProofError::TooManyHashes);
        }
        // b. "If LSB(fn) is set, or if fn is equal to sn, then:"
        let side = if self.node % 2 == 1 || self.node == self.last {
            // "If LSB(fn) is not set, then right-shift both fn and sn equally until either LSB(fn)
            //  is set or fn is 0." Here fn is not 0: it is odd, or equal to sn, which is not 0.
            self.shift(self.node.trailing_zeros());
            Side::Left
        } else {
            Side::Right
        };
        // c. "Finally, right-shift both fn and sn one time."
        self.shift(1);
        Ok(side)
    }

    fn finish(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::TooFewHashes) }
    }

    fn shift(&mut self, by: u32) {
        self.node = self.node.checked_shr(by).unwrap_or(0);
        self.last = self.last.checked_shr(by).unwrap_or(0);
    }
}

/// A subtree of the tree a proof is made in: the leaves `start..end`.
pub(crate) struct Subtree {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Subtree {
    /// "let k be the largest power of two smaller than n" (RFC 6962 §2.1): the start of the right
    /// child, for a subtree of two leaves or more.
    fn split(&self) -> u64 {
        self.start + (1 << (self.end - self.start - 1).ilog2())
    }

    /// The children, left and right.
    pub(crate) fn children(&self) -> (Subtree, Subtree) {
        let middle = self.split();
        (Subtree { start: self.start, end: middle }, Subtree { start: middle, end: self.end })
    }
}

/// "PATH(m, D\[n\])" (RFC 6962 §2.1.1), as the subtrees whose roots it lists.
fn inclusion_path(m: u64, n: u64) -> Vec<Subtree> {
    let mut path = Vec::new();
    let mut at = Subtree { start: 0, end: n };
    while at.end - at.start > 1 {
        let (left, right) = at.children();
        if m < right.start {
            // "PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k"
            path.push(right);
            at = left;
        } else {
            // "PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k]) for m >= k"
            path.push(left);
            at = right;
        }
    }
    // Written here from the root down; ":" appends on the way back up.
    path.reverse();
    path
}

/// "PROOF(m, D\[n\]) = SUBPROOF(m, D\[n\], true)" (RFC 6962 §2.1.2), as the subtrees whose roots it
/// lists.
fn consistency_path(m: u64, n: u64) -> Vec<Subtree> {
    let mut path = Vec::new();
    let mut at = Subtree { start: 0, end: n };
    while m != at.end {
        let (left, right) = at.children();
        if m <= right.start {
            // "If m <= k ... SUBPROOF(m, D[n], b) = SUBPROOF(m, D[0:k], b) : MTH(D[k:n])"
            path.push(right);
            at = left;
        } else {
            // "If m > k ... SUBPROOF(m, D[n], b) = SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k])"
            path.push(left);
            at = right;
        }
    }
    // "SUBPROOF(m, D[m], true) = {}" and "SUBPROOF(m, D[m], false) = {MTH(D[m])}": b stays true as
    // long as the subtree starts where the tree does.
    if at.start != 0 {
        path.push(at);
    }
    path.reverse();
    path
}

/// The roots of `subtrees`, from one read of all the complete nodes in them.
fn read_subtrees<R: HashReader>(reader: &R, subtrees: &[Subtree]) -> Result<Vec<Hash>, R::Error> {
    let mut nodes = Vec::with_capacity(2 * subtrees.len());
    let counts: Vec<usize> = subtrees
        .iter()
        .map(|subtree| {
            let before = nodes.len();
            nodes.extend(complete_nodes(subtree.start, subtree.end));
            nodes.len() - before
        })
        .collect();
    let hashes = read_exactly(reader, &nodes)?;
    let mut rest = &hashes[..];
    let roots = counts.into_iter().map(|count| {
        let (mine, others) = rest.split_at(count);
        rest = others;
        crate::tree::fold_right(mine).expect("a subtree of a proof has leaves")
    });
    Ok(roots.collect())
}

pub(crate) fn check_size<E>(size: TreeSize) -> Result<(), ProveError<E>> {
    if size > MAX_TREE_SIZE { Err(ProveError::TreeTooLarge { size }) } else { Ok(()) }
}

fn limit(hashes: Vec<Hash>) -> Result<Vec<Hash>, ProofError> {
    match hashes.len() {
        0..=MAX_PROOF_HASHES => Ok(hashes),
        count => Err(ProofError::TooLong { count }),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;
    use crate::tree::NodeId;

    /// Answers every node with the same hash and counts the reads.
    #[derive(Default)]
    struct Endless {
        reads: Cell<usize>,
    }

    impl HashReader for Endless {
        type Error = Infallible;

        fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, Infallible> {
            self.reads.set(self.reads.get() + 1);
            Ok(vec![Hash::new([1; 32]); ids.len()])
        }
    }

    const SIZES: [u64; 9] =
        [1, 2, 3, 1000, (1 << 40) + 1, (1 << 62) - 1, (1 << 62) + 1, (1 << 63) - 1, 1 << 63];

    #[test]
    fn the_largest_tree_s_proofs_are_within_the_limit_and_one_read() {
        for n in SIZES {
            for m in SIZES.iter().flat_map(|&m| [m - 1, m]).filter(|&m| m < n) {
                let reader = Endless::default();
                let size = TreeSize::new(n);
                let proof = inclusion_proof(&reader, LeafIndex::new(m), size).expect("a proof");
                assert!(proof.0.len() <= MAX_PROOF_HASHES);
                assert!(reader.reads.get() <= 1, "reads for leaf {m} of {n}");
                if m > 0 {
                    let reader = Endless::default();
                    let proof =
                        consistency_proof(&reader, TreeSize::new(m), size).expect("a proof");
                    assert!(proof.0.len() <= MAX_PROOF_HASHES, "{m} to {n}");
                    assert_eq!(reader.reads.get(), 1, "reads from {m} to {n}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_proved_is_said() {
        let reader = Endless::default();
        let (zero, two, three) = (TreeSize::ZERO, TreeSize::new(2), TreeSize::new(3));
        let index = LeafIndex::new(2);
        assert_eq!(
            inclusion_proof(&reader, index, two),
            Err(ProveError::NoSuchLeaf { index, size: two })
        );
        assert_eq!(
            consistency_proof(&reader, three, two),
            Err(ProveError::Shrunk { old: three, new: two })
        );
        assert_eq!(consistency_proof(&reader, zero, two), Err(ProveError::EmptyOldTree));
        let size = TreeSize::new((1 << 63) + 1);
        assert_eq!(inclusion_proof(&reader, index, size), Err(ProveError::TreeTooLarge { size }));
        assert_eq!(consistency_proof(&reader, two, size), Err(ProveError::TreeTooLarge { size }));
        assert_eq!(reader.reads.get(), 0);
    }

    #[test]
    fn long_proofs_are_refused_before_they_are_hashed() {
        let hashes = vec![Hash::new([0; 32]); MAX_PROOF_HASHES + 1];
        let refused = ProofError::TooLong { count: 65 };
        assert_eq!(InclusionProof::new(hashes.clone()), Err(refused));
        assert_eq!(ConsistencyProof::new(hashes.clone()), Err(refused));
        assert!(InclusionProof::new(hashes[1..].to_vec()).is_ok());
    }

    #[test]
    fn extreme_sizes_do_not_overflow() {
        let root = Hash::new([0; 32]);
        for count in [0, 1, 63, 64] {
            let hashes = vec![root; count];
            let inclusion = InclusionProof::new(hashes.clone()).expect("short enough");
            let consistency = ConsistencyProof::new(hashes).expect("short enough");
            for size in [0, 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX] {
                let size = TreeSize::new(size);
                let max = TreeSize::new(u64::MAX);
                for index in [0, 1, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
                    let index = LeafIndex::new(index);
                    let verdict = verify_inclusion(root, index, size, &inclusion, root);
                    let trivial = size == TreeSize::new(1) && index == LeafIndex::new(0);
                    assert_eq!(verdict.is_ok(), trivial && count == 0);
                }
                let verdict = verify_consistency(size, max, root, root, &consistency);
                assert_eq!(verdict.is_ok(), size == max && count == 0);
            }
        }
    }
}
