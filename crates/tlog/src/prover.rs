//! Inclusion proofs of many leaves of one tree.
//!
//! Neighbours share most of their proofs. The last node of each level is kept, so that leaves which
//! are asked for in order cost about two reads each, and the right edge of the tree is hashed once.

use crate::hash::{Hash, node_hash};
use crate::proof::{InclusionProof, ProveError, check_size};
use crate::tree::{HashReader, LeafIndex, NodeId, TreeSize};

/// Proves leaves of the tree of one size.
#[derive(Debug)]
pub struct Prover<R> {
    reader: R,
    size: TreeSize,
    /// Of each level, what was needed last: its index, and the root of what the tree has of it.
    last: Vec<Option<(u64, Hash)>>,
}

impl<R: HashReader> Prover<R> {
    /// For the tree of `size` leaves.
    pub fn new(reader: R, size: TreeSize) -> Self {
        Self { reader, size, last: Vec::new() }
    }

    /// The size of the tree.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// The same proof as from [`crate::inclusion_proof`].
    ///
    /// # Errors
    ///
    /// [`ProveError`]: no such leaf, or a node cannot be read.
    pub fn inclusion(&mut self, index: LeafIndex) -> Result<InclusionProof, ProveError<R::Error>> {
        let (size, leaf) = (self.size.as_u64(), index.as_u64());
        if !self.size.contains(index) {
            return Err(ProveError::NoSuchLeaf { index, size: self.size });
        }
        check_size(self.size)?;
        let height = u64::BITS - (size - 1).leading_zeros();
        self.last.resize(height as usize, None);
        let mut hashes = Vec::with_capacity(height as usize);
        for level in 0..height {
            let sibling = (leaf >> level) ^ 1;
            // The last node of a level may have none: it is its parent, too.
            if sibling << level < size {
                hashes.push(self.subtree(level, sibling).map_err(ProveError::Read)?);
            }
        }
        Ok(InclusionProof::new(hashes).expect("as many as levels at most"))
    }

    /// The root of the leaves that the tree has under a node.
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, R::Error> {
        if let Some((known, hash)) = self.last[level as usize]
            && known == index
        {
            return Ok(hash);
        }
        let size = self.size.as_u64();
        let hash = if (index + 1) << level <= size {
            let level = u8::try_from(level).expect("at most 64 levels");
            self.reader.read_one(NodeId { level, index })?
        } else {
            let (left, right) = (2 * index, 2 * index + 1);
            let below = self.subtree(level - 1, left)?;
            match right << (level - 1) < size {
                true => node_hash(&below, &self.subtree(level - 1, right)?),
                false => below,
            }
        };
        self.last[level as usize] = Some((index, hash));
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;
    use crate::hash::leaf_hash;
    use crate::proof::inclusion_proof;
    use crate::tree::Frontier;

    /// The complete nodes of a tree, and how often they were read.
    struct Nodes {
        levels: Vec<Vec<Hash>>,
        reads: Cell<usize>,
    }

    impl Nodes {
        fn of(leaves: u64) -> Self {
            let mut levels: Vec<Vec<Hash>> = Vec::new();
            let mut frontier = Frontier::default();
            for leaf in 0..leaves {
                frontier.append(leaf_hash(&leaf.to_be_bytes()), |id, hash| {
                    let level = usize::from(id.level);
                    levels.resize(levels.len().max(level + 1), Vec::new());
                    levels[level].push(hash);
                });
            }
            Self { levels, reads: Cell::new(0) }
        }
    }

    impl HashReader for Nodes {
        type Error = Infallible;

        fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, Infallible> {
            self.reads.set(self.reads.get() + 1);
            Ok(ids.iter().map(|id| self.levels[usize::from(id.level)][id.index as usize]).collect())
        }
    }

    #[test]
    fn every_proof_is_that_of_the_leaf_alone() {
        let nodes = Nodes::of(67);
        for size in (1..=67).map(TreeSize::new) {
            let leaves = (0..size.as_u64()).map(LeafIndex::new);
            let (mut forward, mut backward) =
                (Prover::new(&nodes, size), Prover::new(&nodes, size));
            for leaf in leaves.clone() {
                let alone = inclusion_proof(&nodes, leaf, size).expect("a leaf of it");
                assert_eq!(
                    forward.inclusion(leaf).expect("a leaf of it"),
                    alone,
                    "{leaf} of {size}"
                );
            }
            for leaf in leaves.rev().chain([LeafIndex::new(size.as_u64() / 2)]) {
                let alone = inclusion_proof(&nodes, leaf, size).expect("a leaf of it");
                assert_eq!(backward.inclusion(leaf).expect("a leaf of it"), alone);
            }
            let beyond = LeafIndex::new(size.as_u64());
            assert_eq!(
                forward.inclusion(beyond),
                Err(ProveError::NoSuchLeaf { index: beyond, size })
            );
        }
    }

    #[test]
    fn neighbours_are_read_twice_each_at_most() {
        let (nodes, size) = (Nodes::of(1_000), TreeSize::new(1_000));
        let mut prover = Prover::new(&nodes, size);
        for leaf in 0..1_000 {
            prover.inclusion(LeafIndex::new(leaf)).expect("a leaf of it");
        }
        assert!(nodes.reads.get() <= 2 * 1_000 + 64, "{}", nodes.reads.get());
    }
}
