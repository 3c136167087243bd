//! The shape of the log's tree and how it grows.
//!
//! Names positions and stored nodes, keeps the right edge of a growing tree in O(log n) memory, and
//! says how stored nodes are read. Does not make or check proofs ([`crate::proof`]), and stores
//! nothing but in [`MemoryTree`].
//!
//! Only *complete* nodes are stored: those over exactly 2^level leaves. They never change once made,
//! so they can be written once and cached for ever; every other node of any tree of the log is
//! computed from at most 64 of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hash::{Hash, empty_root, node_hash};
use crate::text::parse_decimal;

/// The largest tree for which proofs are made: 2^63 leaves. Keeps every consistency proof within
/// [`crate::proof::MAX_PROOF_HASHES`].
pub const MAX_TREE_SIZE: TreeSize = TreeSize(1 << 63);

/// How many leaves a tree has: a count, so the next leaf's index is the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(u64);

impl TreeSize {
    /// The size of the empty tree.
    pub const ZERO: TreeSize = TreeSize(0);

    /// A size of `leaves` leaves.
    pub const fn new(leaves: u64) -> Self {
        TreeSize(leaves)
    }

    /// The number of leaves.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether a tree of this size has a leaf at `index`.
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }

    /// The index that the next appended leaf takes.
    pub const fn next_index(self) -> LeafIndex {
        LeafIndex(self.0)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TreeSize {
    type Err = TreeSizeTextError;

    /// Reads what `Display` writes, and nothing else: a decimal without leading zeroes.
    fn from_str(text: &str) -> Result<Self, TreeSizeTextError> {
        parse_decimal(text).map(TreeSize).ok_or(TreeSizeTextError)
    }
}

/// A text is not a tree size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a tree size is not a decimal number of 64 bits without leading zeroes")]
pub struct TreeSizeTextError;

/// Where a leaf stands in the log, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(u64);

impl LeafIndex {
    /// The leaf that has `before` leaves before it.
    pub const fn new(before: u64) -> Self {
        LeafIndex(before)
    }

    /// The number of leaves before this one.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The size of the smallest tree that holds this leaf.
    ///
    /// # Panics
    ///
    /// At `u64::MAX`, which no tree holds.
    pub const fn size_after(self) -> TreeSize {
        TreeSize(self.0.checked_add(1).expect("a tree holds fewer than 2^64 leaves"))
    }
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A complete node: the root over leaves `index << level .. (index + 1) << level`.
///
/// `level` 0 is a leaf hash. `level` is below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Height above the leaves.
    pub level: u8,
    /// Place among the nodes of its level, counted from 0.
    pub index: u64,
}

impl NodeId {
    /// The node of one leaf.
    pub const fn leaf(index: LeafIndex) -> Self {
        NodeId { level: 0, index: index.0 }
    }

    /// Whether a tree of `size` leaves has this node complete.
    pub const fn is_within(self, size: TreeSize) -> bool {
        self.level < 64 && self.index < size.0 >> self.level
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of level {}", self.index, self.level)
    }
}

/// Reads stored complete nodes. The tree's arithmetic knows no other storage.
pub trait HashReader {
    /// Why a read failed.
    type Error;

    /// The hashes of the nodes `ids`, in that order: as many hashes as ids.
    ///
    /// Returning another number of hashes is a defect of the implementation, and its caller panics.
    ///
    /// # Errors
    ///
    /// The implementation's own, when a node is missing or cannot be read.
    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, Self::Error>;

    /// The hash of one node.
    ///
    /// # Errors
    ///
    /// As [`HashReader::read`].
    fn read_one(&self, id: NodeId) -> Result<Hash, Self::Error> {
        let hashes = self.read(&[id])?;
        assert_eq!(hashes.len(), 1, "a hash reader answers every id");
        Ok(hashes[0])
    }
}

impl<R: HashReader + ?Sized> HashReader for &R {
    type Error = R::Error;

    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, R::Error> {
        (**self).read(ids)
    }

    fn read_one(&self, id: NodeId) -> Result<Hash, R::Error> {
        (**self).read_one(id)
    }
}

/// The right edge of a tree: enough to append leaves and to compute the root.
///
/// Holds one hash for each set bit of the size, the widest node first; at most 64.
///
/// ```
/// use tally_tlog::{Frontier, leaf_hash, node_hash};
/// let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
/// let mut frontier = Frontier::new();
/// let mut stored = Vec::new();
/// frontier.append(a, |id, hash| stored.push((id, hash)));
/// frontier.append(b, |id, hash| stored.push((id, hash)));
/// assert_eq!(stored.len(), 3, "two leaves and the node over them");
/// assert_eq!(frontier.root(), node_hash(&a, &b));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: TreeSize,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub const fn new() -> Self {
        Frontier { size: TreeSize::ZERO, nodes: Vec::new() }
    }

    /// Rebuilds the frontier of the tree of `size` leaves from its stored nodes, in one read.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub fn from_nodes<R: HashReader>(size: TreeSize, reader: &R) -> Result<Self, R::Error> {
        let nodes = read_exactly(reader, &Frontier::node_ids(size))?;
        Ok(Frontier { size, nodes })
    }

    /// The complete nodes that make up the right edge of a tree of `size` leaves, widest first.
    pub fn node_ids(size: TreeSize) -> Vec<NodeId> {
        complete_nodes(0, size.0).collect()
    }

    /// The number of leaves appended so far.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// Appends one leaf hash and returns its index.
    ///
    /// `on_node` is given every node that this completes: the leaf first, then its complete
    /// ancestors upwards. A caller that stores them all can read any proof later.
    ///
    /// # Panics
    ///
    /// When the tree already has `u64::MAX` leaves.
    pub fn append(&mut self, leaf: Hash, mut on_node: impl FnMut(NodeId, Hash)) -> LeafIndex {
        let index = self.size.next_index();
        self.size = index.size_after();
        let mut id = NodeId::leaf(index);
        let mut hash = leaf;
        on_node(id, hash);
        // A right child (odd index) completes the node over it and its left sibling, which is
        // the last of the edge.
        while id.index % 2 == 1 {
            let left = self.nodes.pop().expect("a right child has its left sibling on the edge");
            hash = node_hash(&left, &hash);
            id = NodeId { level: id.level + 1, index: id.index / 2 };
            on_node(id, hash);
        }
        self.nodes.push(hash);
        index
    }

    /// The root of the tree: of all leaves appended so far.
    pub fn root(&self) -> Hash {
        fold_right(&self.nodes).unwrap_or_else(empty_root)
    }
}

/// A whole tree in memory, for tests, tools and small logs. About 64 bytes a leaf.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    levels: Vec<Vec<Hash>>,
    frontier: Frontier,
}

impl MemoryTree {
    /// The empty tree.
    pub const fn new() -> Self {
        MemoryTree { levels: Vec::new(), frontier: Frontier::new() }
    }

    /// Appends one leaf hash and returns its index.
    pub fn append(&mut self, leaf: Hash) -> LeafIndex {
        let levels = &mut self.levels;
        self.frontier.append(leaf, |id, hash| store(levels, id, hash))
    }

    /// The number of leaves.
    pub const fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The root that the tree had when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// [`MissingNode`] when the tree never had so many.
    pub fn root_at(&self, size: TreeSize) -> Result<Hash, MissingNode> {
        crate::proof::root_at(self, size)
    }

    fn node(&self, id: NodeId) -> Option<Hash> {
        let level = self.levels.get(usize::from(id.level))?;
        level.get(usize::try_from(id.index).ok()?).copied()
    }
}

impl HashReader for MemoryTree {
    type Error = MissingNode;

    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, MissingNode> {
        ids.iter().map(|&id| self.node(id).ok_or(MissingNode(id))).collect()
    }
}

/// A node that the tree does not have complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the tree has no {0}")]
pub struct MissingNode(
    /// The node asked for.
    pub NodeId,
);

/// The complete nodes over leaves `start..end`, left to right, widest first.
///
/// `start` must be a multiple of the largest power of two within the length, as the start of every
/// subtree of an RFC 6962 tree is.
pub(crate) fn complete_nodes(start: u64, end: u64) -> impl Iterator<Item = NodeId> {
    let mut start = start;
    std::iter::from_fn(move || {
        let level = end.checked_sub(start)?.checked_ilog2()?;
        assert!(start.trailing_zeros() >= level, "a subtree starts on a multiple of its width");
        let id = NodeId { level: level as u8, index: start >> level };
        start += 1 << level;
        Some(id)
    })
}

/// The root over complete nodes given left to right, widest first; `None` over none.
pub(crate) fn fold_right(nodes: &[Hash]) -> Option<Hash> {
    nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

/// Reads `ids`, not asking at all for none, and holds the reader to its contract.
pub(crate) fn read_exactly<R: HashReader>(
    reader: &R,
    ids: &[NodeId],
) -> Result<Vec<Hash>, R::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let hashes = reader.read(ids)?;
    assert_eq!(hashes.len(), ids.len(), "a hash reader answers every id");
    Ok(hashes)
}

fn store(levels: &mut Vec<Vec<Hash>>, id: NodeId, hash: Hash) {
    let level = usize::from(id.level);
    if level == levels.len() {
        levels.push(Vec::new());
    }
    levels[level].push(hash);
    assert_eq!(levels[level].len() as u64, id.index + 1, "nodes complete in order");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    fn leaf(i: u64) -> Hash {
        leaf_hash(&i.to_be_bytes())
    }

    /// "MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))" with k "the largest power of two
    /// smaller than n", written as the RFC does and shared with nothing.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&defined_root(&leaves[..k]), &defined_root(&leaves[k..]))
            }
        }
    }

    #[test]
    fn roots_follow_the_definition() {
        let leaves: Vec<Hash> = (0..130).map(leaf).collect();
        let mut tree = MemoryTree::new();
        for n in 0..leaves.len() {
            assert_eq!(tree.root(), defined_root(&leaves[..n]), "size {n}");
            assert_eq!(tree.append(leaves[n]), LeafIndex::new(n as u64));
        }
        for n in 0..=leaves.len() {
            let size = TreeSize::new(n as u64);
            assert_eq!(tree.root_at(size), Ok(defined_root(&leaves[..n])), "size {n}");
        }
        assert!(tree.root_at(TreeSize::new(131)).is_err());
    }

    #[test]
    fn every_complete_node_is_given_once_and_right() {
        let leaves: Vec<Hash> = (0..37).map(leaf).collect();
        let mut given = Vec::new();
        let mut frontier = Frontier::new();
        for &leaf in &leaves {
            frontier.append(leaf, |id, hash| given.push((id, hash)));
        }
        for &(id, hash) in &given {
            let start = (id.index << id.level) as usize;
            assert_eq!(hash, defined_root(&leaves[start..start + (1 << id.level)]), "{id}");
        }
        let mut ids: Vec<NodeId> = given.iter().map(|&(id, _)| id).collect();
        ids.sort();
        ids.dedup();
        // 37 leaves complete 37 + 18 + 9 + 4 + 2 + 1 nodes.
        assert_eq!((ids.len(), given.len()), (71, 71));
        assert!(ids.iter().all(|id| id.is_within(frontier.size())));
    }

    #[test]
    fn a_frontier_is_rebuilt_from_stored_nodes() {
        let mut tree = MemoryTree::new();
        let mut frontier = Frontier::new();
        for i in 0..100 {
            let rebuilt = Frontier::from_nodes(tree.size(), &tree).expect("stored");
            assert_eq!(rebuilt, frontier, "size {i}");
            tree.append(leaf(i));
            frontier.append(leaf(i), |_, _| {});
        }
    }

    #[test]
    fn node_ids_are_the_set_bits_of_the_size() {
        assert_eq!(Frontier::node_ids(TreeSize::ZERO), []);
        let ids = Frontier::node_ids(TreeSize::new(0b1101));
        let expected = [(3, 0), (2, 2), (0, 12)].map(|(level, index)| NodeId { level, index });
        assert_eq!(ids, expected);
        assert_eq!(Frontier::node_ids(TreeSize::new(u64::MAX)).len(), 64);
    }

    #[test]
    fn a_node_is_within_a_tree_that_completes_it() {
        let id = NodeId { level: 2, index: 1 };
        assert!(!id.is_within(TreeSize::new(7)));
        assert!(id.is_within(TreeSize::new(8)));
        assert!(!NodeId { level: 64, index: 0 }.is_within(TreeSize::new(u64::MAX)));
    }

    #[test]
    #[should_panic(expected = "answers every id")]
    fn a_reader_that_answers_short_is_a_defect() {
        struct Short;
        impl HashReader for Short {
            type Error = std::convert::Infallible;
            fn read(&self, _: &[NodeId]) -> Result<Vec<Hash>, Self::Error> {
                Ok(Vec::new())
            }
        }
        let _ = Frontier::from_nodes(TreeSize::new(3), &Short);
    }

    #[test]
    fn size_and_index_meet() {
        let index = TreeSize::new(5).next_index();
        assert!(!TreeSize::new(5).contains(index));
        assert!(index.size_after().contains(index));
    }
}
