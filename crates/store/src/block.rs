//! Where a node of the tree stands on the disk: with the others of its small subtree, in one block.
//!
//! Seven levels of the tree are a *tier*, and a tier is a file. In it the nodes below one node of the
//! next tier, all seven levels of them, are a *block*:
//!
//! ```text
//! t0, t1 …  = block 0 ‖ block 1 ‖ …                       of levels 0 to 6, 7 to 13 …
//! block     = 254 hashes of 32 bytes ‖ crc32 ‖ 60 zeros    8 KiB
//! ```
//!
//! The hashes of a block are in the order in which they become complete: each node behind its two
//! children. So a file only grows at its end, and the path from a leaf up is a block a tier. The
//! checksum is over tier (1 byte), number of the block (8) and hashes, and is there when the last
//! of them is. Arithmetic and checks only: reads no files.

use tally_tlog::{Hash, NodeId, TreeSize, node_hash};

use crate::frame::{array, u32_at};

/// Levels of a tier.
const TIER_LEVELS: u8 = 7;

/// Nodes of the lowest level of a block.
pub(crate) const BLOCK_WIDTH: u64 = 1 << TIER_LEVELS;

/// Nodes of a block: all levels below the one node that is the next tier's.
pub(crate) const BLOCK_NODES: u64 = 2 * BLOCK_WIDTH - 2;

/// Bytes of a block on the disk.
pub(crate) const BLOCK_BYTES: u64 = BLOCK_NODES * HASH_BYTES + SEAL_BYTES as u64;

/// Levels that a tree can have.
const MAX_LEVELS: u8 = 64;

/// Tiers that a tree can have.
pub(crate) const MAX_TIERS: usize = MAX_LEVELS.div_ceil(TIER_LEVELS) as usize;

pub(crate) const HASH_BYTES: u64 = Hash::LEN as u64;

/// What follows a block's hashes.
pub(crate) const SEAL_BYTES: usize = 64;

/// A node's place among those of its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) tier: usize,
    /// How many nodes of the tier stand before it.
    pub(crate) nth: u64,
}

impl Place {
    /// Where a node stands; `None` when no tree has it.
    pub(crate) fn of(id: NodeId) -> Option<Self> {
        if id.level >= MAX_LEVELS {
            return None;
        }
        let (tier, level) = (id.level / TIER_LEVELS, id.level % TIER_LEVELS);
        let (block, in_block) = split(id.index, TIER_LEVELS - level);
        // It completes with the last of the lowest nodes below it, behind what is below itself.
        let before = completed_by(((in_block + 1) << level) - 1) + u64::from(level);
        let nth = block.checked_mul(BLOCK_NODES)?.checked_add(before)?;
        Some(Self { tier: usize::from(tier), nth })
    }

    /// The number of its block.
    pub(crate) fn block(self) -> u64 {
        self.nth / BLOCK_NODES
    }

    /// Where its hash begins in the file.
    pub(crate) fn offset(self) -> u64 {
        length_of(self.nth)
    }
}

/// A number's high bits, and its lowest, so many.
fn split(number: u64, bits: u8) -> (u64, u64) {
    (number >> bits, number & ((1 << bits) - 1))
}

/// Nodes that a block has when it has so many of the lowest level.
fn completed_by(lowest: u64) -> u64 {
    2 * lowest - u64::from(lowest.count_ones())
}

/// How many complete nodes each tier has in a tree of `size` leaves, from the leaves up.
pub(crate) fn node_counts(size: TreeSize) -> impl Iterator<Item = u64> {
    let lowest = (0..MAX_TIERS).map(move |tier| size.as_u64() >> (tier as u8 * TIER_LEVELS));
    lowest.take_while(|&lowest| lowest > 0).map(|lowest| {
        let (blocks, in_block) = split(lowest, TIER_LEVELS);
        blocks.saturating_mul(BLOCK_NODES).saturating_add(completed_by(in_block))
    })
}

/// Bytes of a tier's file that has so many nodes.
pub(crate) fn length_of(nodes: u64) -> u64 {
    let blocks = (nodes / BLOCK_NODES).saturating_mul(BLOCK_BYTES);
    blocks.saturating_add(nodes % BLOCK_NODES * HASH_BYTES)
}

/// How many nodes a tier's file of so many bytes has: of a block without its seal none are counted
/// behind the last but one.
pub(crate) fn nodes_in(bytes: u64) -> u64 {
    let in_block = bytes % BLOCK_BYTES / HASH_BYTES;
    bytes / BLOCK_BYTES * BLOCK_NODES + in_block.min(BLOCK_NODES - 1)
}

/// The node that the next tier has of a block.
pub(crate) fn node_over(tier: usize, block: u64) -> NodeId {
    NodeId { level: (tier as u8 + 1) * TIER_LEVELS, index: block }
}

/// The nodes of a block in order, with their levels within it.
fn levels_in_block() -> impl Iterator<Item = u32> {
    (1..=BLOCK_WIDTH).flat_map(|lowest| 0..=lowest.trailing_zeros()).take(BLOCK_NODES as usize)
}

/// The id of the first node of a block that is not the hash of its children.
pub(crate) fn wrong_node(tier: usize, block: u64, nodes: &[Hash]) -> Option<NodeId> {
    let wrong = levels_in_block().zip(nodes).enumerate().find(|&(nth, (level, node))| {
        level > 0 && node_hash(&nodes[nth - (1 << level)], &nodes[nth - 1]) != *node
    });
    wrong.map(|(nth, _)| node_in_block(tier, block, nth))
}

/// The node that stands behind so many others in a block.
pub(crate) fn node_in_block(tier: usize, block: u64, nth: usize) -> NodeId {
    let level = levels_in_block().nth(nth).expect("a node of a block");
    let before = levels_in_block().take(nth).filter(|&other| other == level).count() as u64;
    let index = block * (BLOCK_WIDTH >> level) + before;
    NodeId { level: tier as u8 * TIER_LEVELS + level as u8, index }
}

/// The hash over a whole block: the node that the next tier has of it.
pub(crate) fn hash_over(nodes: &[Hash]) -> Hash {
    assert_eq!(nodes.len() as u64, BLOCK_NODES, "a block is whole");
    node_hash(&nodes[nodes.len() - BLOCK_WIDTH as usize], &nodes[nodes.len() - 1])
}

/// What follows the hashes of a whole block.
pub(crate) fn seal(tier: usize, block: u64, hashes: &[u8]) -> [u8; SEAL_BYTES] {
    assert_eq!(hashes.len() as u64, BLOCK_NODES * HASH_BYTES, "only a whole block is sealed");
    let mut seal = [0; SEAL_BYTES];
    seal[..4].copy_from_slice(&checksum(tier, block, hashes).to_be_bytes());
    seal
}

/// Whether the seal of a whole block is that of its hashes.
pub(crate) fn is_sealed(tier: usize, block: u64, bytes: &[u8]) -> bool {
    let (hashes, found) = bytes.split_at(bytes.len() - SEAL_BYTES);
    u32_at(found, 0) == checksum(tier, block, hashes) && found[4..].iter().all(|&byte| byte == 0)
}

fn checksum(tier: usize, block: u64, hashes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[tier as u8]);
    sum.update(&block.to_be_bytes());
    sum.update(hashes);
    sum.finalize()
}

/// The hashes that stand side by side in these bytes.
pub(crate) fn hashes(bytes: &[u8]) -> impl Iterator<Item = Hash> {
    bytes.chunks_exact(Hash::LEN).map(|hash| Hash::new(array(hash, 0)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tally_tlog::{Frontier, leaf_hash};

    use super::*;

    #[test]
    fn nodes_stand_in_the_order_in_which_they_complete() {
        let mut frontier = Frontier::new();
        let mut tiers: Vec<Vec<NodeId>> = vec![Vec::new(); MAX_TIERS];
        for leaf in 1..=40_000_u64 {
            frontier.append(leaf_hash(b""), |id, _| {
                let place = Place::of(id).expect("a node of a tree");
                assert_eq!(place.tier, usize::from(id.level / 7));
                assert_eq!(place.nth, tiers[place.tier].len() as u64, "{id}");
                tiers[place.tier].push(id);
            });
            if leaf < 300 || leaf % 1_000 < 2 {
                let counts = tiers.iter().map(|tier| tier.len() as u64).take_while(|&n| n > 0);
                assert!(node_counts(frontier.size()).eq(counts), "{leaf}");
            }
        }
    }

    #[test]
    fn the_nodes_below_one_of_the_next_tier_are_one_block() {
        let mut blocks: HashMap<(u8, u64), Vec<u64>> = HashMap::new();
        for level in 0..14_u8 {
            for index in 0..(1 << 15 >> level) {
                let place = Place::of(NodeId { level, index }).expect("a node");
                assert_eq!(place.block(), index >> (7 - level % 7), "level {level}, {index}");
                let in_block = place.nth % BLOCK_NODES;
                blocks.entry((level / 7, place.block())).or_default().push(in_block);
            }
        }
        for (block, mut nodes) in blocks {
            nodes.sort_unstable();
            assert!(nodes.into_iter().eq(0..BLOCK_NODES) || block == (1, 1), "{block:?}");
        }
        assert_eq!(BLOCK_BYTES, 8_192);
    }

    #[test]
    fn lengths_and_counts_are_each_other_s() {
        for nodes in 0..1_000 {
            let bytes = length_of(nodes);
            assert_eq!(nodes_in(bytes), nodes);
            assert!(bytes == 0 || nodes_in(bytes - 1) < nodes);
        }
        // A file without the seal of its last block.
        assert_eq!(nodes_in(BLOCK_BYTES - 1), BLOCK_NODES - 1);
    }

    #[test]
    fn what_no_tree_has_has_no_place() {
        let at = |level, index| Place::of(NodeId { level, index });
        assert_eq!((at(64, 0), at(0, u64::MAX)), (None, None));
        assert!(at(63, 1).is_some() && at(0, (1 << 63) - 1).is_some());
        assert_eq!(node_counts(TreeSize::ZERO).count(), 0);
        assert_eq!(node_counts(TreeSize::new(u64::MAX)).count(), MAX_TIERS);
        let _ = node_counts(TreeSize::new(u64::MAX)).map(length_of).count();
    }

    fn whole_block() -> Vec<Hash> {
        let (mut frontier, mut nodes) = (Frontier::new(), Vec::new());
        for leaf in 0..BLOCK_WIDTH as u8 {
            frontier.append(leaf_hash(&[leaf]), |_, hash| nodes.push(hash));
        }
        assert_eq!(nodes.pop(), Some(hash_over(&nodes)), "the next tier's node");
        nodes
    }

    #[test]
    fn a_wrong_node_is_found_from_its_children_or_its_parent() {
        let nodes = whole_block();
        assert_eq!(wrong_node(0, 5, &nodes), None);
        for nth in 0..nodes.len() {
            let mut bad = nodes.clone();
            bad[nth] = leaf_hash(b"bad");
            let is_seen = wrong_node(0, 5, &bad).is_some() || hash_over(&bad) != hash_over(&nodes);
            assert!(is_seen, "node {nth}");
        }
        let mut bad = nodes;
        // The parent of leaves 2 and 3 of the block.
        bad[5] = leaf_hash(b"bad");
        let id = |level| NodeId { level, index: 5 * 64 + 1 };
        assert_eq!(wrong_node(0, 5, &bad), Some(id(1)));
        assert_eq!(wrong_node(2, 5, &bad), Some(id(15)));
    }

    #[test]
    fn a_block_is_sealed_for_its_place() {
        let hashes: Vec<u8> = whole_block().iter().flat_map(|hash| *hash.as_bytes()).collect();
        let bytes = [&hashes[..], &seal(1, 5, &hashes)].concat();
        assert_eq!(bytes.len() as u64, BLOCK_BYTES);
        assert!(is_sealed(1, 5, &bytes));
        assert!(!is_sealed(0, 5, &bytes) && !is_sealed(1, 6, &bytes));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(!is_sealed(1, 5, &bad), "byte {at}");
        }
    }
}
