//! The last nodes of each tier of the tree, in memory: what proofs near the head are made of, and of
//! other leaves all but the lowest block.
//!
//! Bounded by the number of tiers, not by the tree. Knows no files; what is not here is read there.

use std::collections::VecDeque;

use tally_tlog::Hash;

use crate::block::{BLOCK_NODES, BLOCK_WIDTH, Place};

/// Blocks that are kept of the lowest tier: 512 KiB.
const LEAF_BLOCKS: u64 = 64;

/// Blocks that are kept of each higher tier: 8 MiB, the whole tier up to 16 million leaves.
const UPPER_BLOCKS: u64 = 1_024;

/// So many of the last leaves are proved without a disk: the last block that is kept is not full.
pub const RECENT_LEAVES: u64 = (LEAF_BLOCKS - 1) * BLOCK_WIDTH;

/// The first node that is kept of a tier of so many: the first of a block.
pub(crate) fn oldest(tier: usize, count: u64) -> u64 {
    let kept = if tier == 0 { LEAF_BLOCKS } else { UPPER_BLOCKS };
    count.div_ceil(BLOCK_NODES).saturating_sub(kept) * BLOCK_NODES
}

/// The last nodes of every tier, from the leaves up.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    tiers: Vec<Tier>,
}

#[derive(Debug, Default)]
struct Tier {
    /// How many nodes of the tier are not here: whole blocks.
    forgotten: u64,
    /// All others, in order.
    nodes: VecDeque<Hash>,
}

impl Tier {
    fn count(&self) -> u64 {
        self.forgotten + self.nodes.len() as u64
    }
}

impl Recent {
    /// Nothing is kept of the first nodes of each tier that are older than [`oldest`] of so many.
    pub(crate) fn forgotten(counts: impl Iterator<Item = u64>) -> Self {
        let tier = |(tier, count)| Tier { forgotten: oldest(tier, count), nodes: VecDeque::new() };
        Self { tiers: counts.enumerate().map(tier).collect() }
    }

    /// Adds the next nodes of a tier. None is forgotten for them until [`Recent::trim`].
    pub(crate) fn push(&mut self, tier: usize, nodes: &[Hash]) {
        if self.tiers.len() <= tier {
            self.tiers.resize_with(tier + 1, Tier::default);
        }
        self.tiers[tier].nodes.extend(nodes);
    }

    /// Forgets what is older than so much of each tier as is kept.
    pub(crate) fn trim(&mut self) {
        for (number, tier) in self.tiers.iter_mut().enumerate() {
            let oldest = oldest(number, tier.count());
            if oldest > tier.forgotten {
                tier.nodes.drain(..(oldest - tier.forgotten) as usize);
                tier.forgotten = oldest;
            }
        }
    }

    /// Forgets what is behind so many nodes of each tier.
    ///
    /// # Panics
    ///
    /// When no more are here than were trimmed away.
    pub(crate) fn cut(&mut self, counts: &[u64]) {
        for (number, tier) in self.tiers.iter_mut().enumerate() {
            let count = counts.get(number).copied().unwrap_or(0);
            let left = count.checked_sub(tier.forgotten).expect("what was trimmed away is settled");
            tier.nodes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
    }

    /// A node, if it is here.
    pub(crate) fn get(&self, place: Place) -> Option<Hash> {
        let tier = self.tiers.get(place.tier)?;
        let nth = place.nth.checked_sub(tier.forgotten)?;
        tier.nodes.get(usize::try_from(nth).ok()?).copied()
    }

    /// The nodes of a tier's last block that is not full.
    pub(crate) fn open_block(&self, tier: usize) -> impl Iterator<Item = &Hash> {
        let nodes = self.tiers.get(tier).map(|tier| &tier.nodes);
        nodes.into_iter().flat_map(|nodes| nodes.range(nodes.len() - nodes.len() % BLOCK..))
    }
}

const BLOCK: usize = BLOCK_NODES as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(nth: u64) -> Hash {
        tally_tlog::leaf_hash(&nth.to_be_bytes())
    }

    fn pushed(recent: &mut Recent, tier: usize, range: std::ops::Range<u64>) {
        recent.push(tier, &range.map(hash).collect::<Vec<_>>());
    }

    fn get(recent: &Recent, tier: usize, nth: u64) -> Option<Hash> {
        recent.get(Place { tier, nth })
    }

    #[test]
    fn the_last_blocks_of_a_tier_are_kept_and_no_more() {
        for (tier, kept) in [(0, 64 * BLOCK_NODES), (1, 1_024 * BLOCK_NODES)] {
            let mut recent = Recent::default();
            pushed(&mut recent, tier, 0..kept + 5);
            assert_eq!(get(&recent, tier, 0), Some(hash(0)), "nothing is settled");
            recent.trim();
            for (nth, is_kept) in
                [(0, false), (BLOCK_NODES - 1, false), (BLOCK_NODES, true), (kept + 4, true)]
            {
                assert_eq!(get(&recent, tier, nth), is_kept.then(|| hash(nth)), "{tier} {nth}");
            }
            assert_eq!(get(&recent, tier, kept + 5), None);
            assert_eq!(get(&recent, tier + 1, 0), None);
            let open: Vec<_> = recent.open_block(tier).copied().collect();
            assert_eq!(open, (kept..kept + 5).map(hash).collect::<Vec<_>>());
            let nodes = &recent.tiers[tier].nodes;
            assert!(nodes.len() as u64 <= kept, "{}", nodes.len());
        }
    }

    #[test]
    fn what_was_cut_is_gone_and_can_come_again() {
        let mut recent = Recent::forgotten([BLOCK_NODES * 64 + 3].into_iter());
        let first = BLOCK_NODES;
        pushed(&mut recent, 0, first..first + 9);
        recent.cut(&[first + 5]);
        assert_eq!(get(&recent, 0, first + 5), None);
        assert_eq!(get(&recent, 0, first + 4), Some(hash(first + 4)));
        recent.push(0, &[hash(100)]);
        assert_eq!(get(&recent, 0, first + 5), Some(hash(100)));
        recent.cut(&[first]);
        assert_eq!(recent.open_block(0).count(), 0);
        pushed(&mut recent, 0, first..first + 1);
        assert_eq!(get(&recent, 0, first), Some(hash(first)));
    }
}
