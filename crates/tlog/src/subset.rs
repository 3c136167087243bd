//! One proof for many leaves: made from stored nodes, verified from nothing but leaves and proof.
//!
//! Many inclusion proofs under one root repeat each other's hashes. Here each hash is there once, and
//! none that the leaves themselves lead to. This is our own format, no standard's: it follows
//! "MTH(D\[n\])" of RFC 6962 §2.1 from left to right.
//!
//! ```text
//! a range with nothing but one wanted leaf               → the leaf's hash, which the verifier has
//! a range of a power of two leaves, of which none is wanted → the next hash of the proof
//! any other range                                        → split where the RFC splits it
//! ```
//!
//! Does not know who vouches for the root ([`crate::VerifiedCheckpoint`]), and shows only what is in
//! the tree at the named places, never what is elsewhere.

use thiserror::Error;

use crate::hash::{Hash, node_hash};
use crate::proof::Subtree;
use crate::tree::{HashReader, LeafIndex, MAX_TREE_SIZE, NodeId, TreeSize, read_exactly};

/// The most leaves of one proof: a million.
pub const MAX_SUBSET_LEAVES: usize = 1 << 20;

/// The complete nodes without a wanted leaf, left to right: fewer than 64 for each wanted leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubsetProof(Vec<Hash>);

impl SubsetProof {
    /// Takes hashes as a proof. Proves nothing until verified.
    pub fn new(hashes: Vec<Hash>) -> Self {
        SubsetProof(hashes)
    }

    /// The hashes, left to right.
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }
}

/// Why a subset proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubsetError {
    /// No leaf: there is nothing to prove.
    #[error("a proof of no leaf proves nothing")]
    NoLeaves,
    /// Over the limit.
    #[error("{count} leaves are over the limit of {MAX_SUBSET_LEAVES}")]
    TooManyLeaves {
        /// Leaves given.
        count: usize,
    },
    /// Leaves are given by ascending index, each once.
    #[error("leaf {index} is not after the leaf before it")]
    Order {
        /// The leaf that is out of place.
        index: LeafIndex,
    },
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// The leaf.
        index: LeafIndex,
        /// The tree's size.
        size: TreeSize,
    },
    /// The tree is larger than [`MAX_TREE_SIZE`].
    #[error("a tree of {size} leaves is over the limit for proofs")]
    TreeTooLarge {
        /// The tree's size.
        size: TreeSize,
    },
    /// More hashes than the leaves leave open.
    #[error("the proof has more hashes than these leaves need")]
    TooManyHashes,
    /// Fewer hashes than the leaves leave open.
    #[error("the proof has fewer hashes than these leaves need")]
    TooFewHashes,
}

/// Why a subset proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProveSubsetError<E> {
    /// What is asked for is none that can be proved.
    #[error(transparent)]
    Subset(SubsetError),
    /// A stored node could not be read.
    #[error("a node of the tree could not be read")]
    Read(#[source] E),
}

/// Proves that the tree of `size` leaves has the leaves at `indices`, which ascend, with one read of
/// complete nodes.
///
/// # Errors
///
/// [`ProveSubsetError`]: indices that cannot be proved, or a node cannot be read.
pub fn subset_proof<R: HashReader>(
    reader: &R,
    indices: &[LeafIndex],
    size: TreeSize,
) -> Result<SubsetProof, ProveSubsetError<R::Error>> {
    check(indices, size).map_err(ProveSubsetError::Subset)?;
    let mut open = Vec::new();
    walk(Subtree { start: 0, end: size.as_u64() }, indices, &mut |step| {
        if let Step::Node(id) = step {
            open.push(id);
        }
        Ok::<_, SubsetError>(())
    })
    .map_err(ProveSubsetError::Subset)?;
    read_exactly(reader, &open).map(SubsetProof).map_err(ProveSubsetError::Read)
}

/// The root of the tree of `size` leaves that has these leaf hashes at their indices, which ascend,
/// if the proof is right. Whoever trusts that root then trusts the leaves.
///
/// Costs O(leaves × log size) hashes and no more memory than the leaves and the proof.
///
/// # Errors
///
/// [`SubsetError`]: leaves or hashes that no such tree has.
///
/// ```
/// use tally_tlog::{LeafIndex, MemoryTree, leaf_hash, subset_proof, subset_root};
/// let mut tree = MemoryTree::new();
/// for n in 0..9_u8 {
///     tree.append(leaf_hash(&[n]));
/// }
/// let wanted = [2, 7].map(LeafIndex::new);
/// let proof = subset_proof(&tree, &wanted, tree.size())?;
/// let leaves = [(wanted[0], leaf_hash(&[2])), (wanted[1], leaf_hash(&[7]))];
/// assert_eq!(subset_root(&leaves, tree.size(), &proof)?, tree.root());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn subset_root(
    leaves: &[(LeafIndex, Hash)],
    size: TreeSize,
    proof: &SubsetProof,
) -> Result<Hash, SubsetError> {
    let indices: Vec<LeafIndex> = leaves.iter().map(|&(index, _)| index).collect();
    check(&indices, size)?;
    let mut own = leaves.iter().map(|&(_, hash)| hash);
    let mut given = proof.0.iter().copied();
    let mut stack = Vec::new();
    walk(Subtree { start: 0, end: size.as_u64() }, &indices, &mut |step| {
        let hash = match step {
            Step::Leaf => own.next().expect("the walk comes to each wanted leaf once"),
            Step::Node(_) => given.next().ok_or(SubsetError::TooFewHashes)?,
            Step::Join => {
                let mut pop = || stack.pop().expect("two children come before their parent");
                let (right, left) = (pop(), pop());
                node_hash(&left, &right)
            }
        };
        stack.push(hash);
        Ok(())
    })?;
    match given.next() {
        None => Ok(stack.pop().expect("the walk ends at the root")),
        Some(_) => Err(SubsetError::TooManyHashes),
    }
}

fn check(indices: &[LeafIndex], size: TreeSize) -> Result<(), SubsetError> {
    let last = *indices.last().ok_or(SubsetError::NoLeaves)?;
    if indices.len() > MAX_SUBSET_LEAVES {
        return Err(SubsetError::TooManyLeaves { count: indices.len() });
    }
    if let Some(pair) = indices.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(SubsetError::Order { index: pair[1] });
    }
    if !size.contains(last) {
        return Err(SubsetError::NoSuchLeaf { index: last, size });
    }
    if size > MAX_TREE_SIZE { Err(SubsetError::TreeTooLarge { size }) } else { Ok(()) }
}

/// A step of the walk from left to right, children before their parent.
enum Step {
    /// The next wanted leaf.
    Leaf,
    /// A complete node without a wanted leaf.
    Node(NodeId),
    /// The node over the last two.
    Join,
}

/// Both sides take this one way, so that they cannot disagree on it. No deeper than the tree: 64.
fn walk<E>(
    range: Subtree,
    wanted: &[LeafIndex],
    visit: &mut impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let width = range.end - range.start;
    if wanted.is_empty() && width.is_power_of_two() {
        let level = width.ilog2();
        return visit(Step::Node(NodeId { level: level as u8, index: range.start >> level }));
    }
    if width == 1 {
        return visit(Step::Leaf);
    }
    let (left, right) = range.children();
    let (before, after) =
        wanted.split_at(wanted.partition_point(|index| index.as_u64() < right.start));
    walk(left, before, visit)?;
    walk(right, after, visit)?;
    visit(Step::Join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::proof::inclusion_proof;
    use crate::tree::MemoryTree;

    fn leaf(i: u64) -> Hash {
        leaf_hash(&i.to_be_bytes())
    }

    fn tree(size: u64) -> MemoryTree {
        let mut tree = MemoryTree::new();
        for i in 0..size {
            tree.append(leaf(i));
        }
        tree
    }

    fn leaves(wanted: &[u64]) -> Vec<(LeafIndex, Hash)> {
        wanted.iter().map(|&i| (LeafIndex::new(i), leaf(i))).collect()
    }

    fn indices(wanted: &[u64]) -> Vec<LeafIndex> {
        wanted.iter().copied().map(LeafIndex::new).collect()
    }

    /// Every subset of every tree of up to ten leaves, and every hash of its proof forged.
    #[test]
    fn every_subset_leads_to_the_root_and_to_no_other() {
        for size in 1..=10 {
            let tree = tree(size);
            for bits in 1..1_u64 << size {
                let wanted: Vec<u64> = (0..size).filter(|i| bits >> i & 1 == 1).collect();
                let proof = subset_proof(&tree, &indices(&wanted), tree.size()).expect("a proof");
                let root = |leaves: &[(LeafIndex, Hash)], proof: &SubsetProof| {
                    subset_root(leaves, tree.size(), proof)
                };
                assert_eq!(root(&leaves(&wanted), &proof), Ok(tree.root()), "{wanted:?} of {size}");
                for at in 0..proof.0.len() {
                    let mut forged = proof.clone();
                    forged.0[at] = leaf(99);
                    assert_ne!(root(&leaves(&wanted), &forged), Ok(tree.root()));
                }
                for at in 0..wanted.len() {
                    let mut forged = leaves(&wanted);
                    forged[at].1 = leaf(99);
                    assert_ne!(root(&forged, &proof), Ok(tree.root()));
                }
                let mut short = proof.clone();
                if short.0.pop().is_some() {
                    assert_eq!(root(&leaves(&wanted), &short), Err(SubsetError::TooFewHashes));
                }
                let long = SubsetProof([&proof.0[..], &[leaf(1)]].concat());
                assert_eq!(root(&leaves(&wanted), &long), Err(SubsetError::TooManyHashes));
            }
        }
    }

    /// For one leaf the hashes are those of its inclusion proof, where that has only complete nodes.
    #[test]
    fn one_leaf_needs_what_its_inclusion_proof_has() {
        let tree = tree(64);
        for i in 0..64 {
            let index = LeafIndex::new(i);
            let proof = subset_proof(&tree, &[index], tree.size()).expect("a proof");
            let inclusion = inclusion_proof(&tree, index, tree.size()).expect("a proof");
            let sorted = |hashes: &[Hash]| {
                let mut hashes = hashes.to_vec();
                hashes.sort();
                hashes
            };
            assert_eq!(sorted(proof.hashes()), sorted(inclusion.hashes()));
        }
    }

    #[test]
    fn leaves_that_no_tree_has_are_refused() {
        let size = TreeSize::new(8);
        let refused = |wanted: &[u64]| subset_root(&leaves(wanted), size, &SubsetProof::default());
        assert_eq!(refused(&[]), Err(SubsetError::NoLeaves));
        let (one, eight) = (LeafIndex::new(1), LeafIndex::new(8));
        assert_eq!(refused(&[1, 1]), Err(SubsetError::Order { index: one }));
        assert_eq!(refused(&[3, 1]), Err(SubsetError::Order { index: one }));
        assert_eq!(refused(&[3, 8]), Err(SubsetError::NoSuchLeaf { index: eight, size }));
        assert_eq!(refused(&[3]), Err(SubsetError::TooFewHashes));
        let size = TreeSize::new((1 << 63) + 1);
        assert_eq!(
            subset_root(&leaves(&[3]), size, &SubsetProof::default()),
            Err(SubsetError::TreeTooLarge { size })
        );
        let many = vec![(one, leaf(1)); MAX_SUBSET_LEAVES + 1];
        let count = many.len();
        assert_eq!(
            subset_root(&many, TreeSize::new(1 << 30), &SubsetProof::default()),
            Err(SubsetError::TooManyLeaves { count })
        );
    }

    /// The largest tree takes no more than 63 hashes for a leaf, and no deep recursion.
    #[test]
    fn the_largest_tree_is_walked() {
        for index in [0, 1, (1 << 63) - 1] {
            let proof = SubsetProof(vec![leaf(0); 63]);
            assert!(subset_root(&leaves(&[index]), MAX_TREE_SIZE, &proof).is_ok());
        }
    }
}
