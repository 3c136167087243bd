//! What the tests share: leaves and trees that a number determines.

use tally_tlog::{Hash, LeafIndex, MemoryTree, TreeSize, leaf_hash};

pub(crate) fn leaf(i: u64) -> Hash {
    leaf_hash(&i.to_be_bytes())
}

pub(crate) fn tree_of(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::new();
    (0..size).for_each(|i| {
        tree.append(leaf(i));
    });
    tree
}

pub(crate) fn at(index: u64) -> LeafIndex {
    LeafIndex::new(index)
}

pub(crate) fn sized(size: u64) -> TreeSize {
    TreeSize::new(size)
}
