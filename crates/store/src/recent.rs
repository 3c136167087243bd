//! The last nodes of each level of the tree, in memory: what proofs near the head are made of.
//!
//! A proof of one of the last leaves needs, of each level, a node near the end of it, or of the
//! right edge: all of them are here. Of older leaves the higher nodes are. Bounded by the number of
//! levels, not by the tree. Knows no files; what is not here is read there.

use std::collections::VecDeque;

use tally_tlog::{Hash, NodeId};

/// Nodes that are kept of each level: 256 KiB, so about 4 MiB for a tree of ten million leaves.
pub const RECENT_NODES: usize = 8_192;

/// The last nodes of every level, from the leaves up.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// How many nodes the level has.
    count: u64,
    /// The last of them, in order.
    nodes: VecDeque<Hash>,
}

impl Recent {
    /// Nothing is kept of the first nodes of a tree, so many of each level.
    pub(crate) fn forgotten(counts: impl Iterator<Item = u64>) -> Self {
        let level = |count| Level { count, nodes: VecDeque::new() };
        Self { levels: counts.map(level).collect() }
    }

    /// Adds the next node of its level.
    ///
    /// # Panics
    ///
    /// When it is another.
    pub(crate) fn push(&mut self, id: NodeId, hash: Hash) {
        let level = usize::from(id.level);
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        let level = &mut self.levels[level];
        assert_eq!(id.index, level.count, "nodes complete in order");
        if level.nodes.len() == RECENT_NODES {
            level.nodes.pop_front();
        }
        level.nodes.push_back(hash);
        level.count += 1;
    }

    /// Forgets what is behind so many nodes of each level.
    pub(crate) fn cut(&mut self, counts: &[u64]) {
        for (n, level) in self.levels.iter_mut().enumerate() {
            let count = counts.get(n).copied().unwrap_or(0).min(level.count);
            let cut = usize::try_from(level.count - count).unwrap_or(usize::MAX);
            level.nodes.truncate(level.nodes.len().saturating_sub(cut));
            level.count = count;
        }
    }

    /// Adds nodes that stand side by side in a level to `hashes`, if all of them are here.
    pub(crate) fn read(&self, run: &[NodeId], hashes: &mut Vec<Hash>) -> bool {
        let first = run[0];
        let Some(level) = self.levels.get(usize::from(first.level)) else { return false };
        let oldest = level.count - level.nodes.len() as u64;
        let begin = first.index.checked_sub(oldest).and_then(|nth| usize::try_from(nth).ok());
        let Some(begin) = begin else { return false };
        match begin.checked_add(run.len()) {
            Some(end) if end <= level.nodes.len() => {
                hashes.extend(level.nodes.range(begin..end));
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u64) -> NodeId {
        NodeId { level: 0, index }
    }

    fn hash(index: u64) -> Hash {
        tally_tlog::leaf_hash(&index.to_be_bytes())
    }

    fn pushed(recent: &mut Recent, range: std::ops::Range<u64>) {
        range.for_each(|index| recent.push(leaf(index), hash(index)));
    }

    fn read(recent: &Recent, first: u64, count: u64) -> Option<Vec<Hash>> {
        let (run, mut hashes) = ((first..first + count).map(leaf).collect::<Vec<_>>(), Vec::new());
        recent.read(&run, &mut hashes).then_some(hashes)
    }

    #[test]
    fn the_last_nodes_are_kept_and_no_more() {
        let kept = RECENT_NODES as u64;
        let mut recent = Recent::default();
        pushed(&mut recent, 0..kept + 5);
        assert_eq!(read(&recent, 5, 2), Some(vec![hash(5), hash(6)]));
        assert_eq!(read(&recent, kept + 4, 1), Some(vec![hash(kept + 4)]));
        for (first, count) in [(4, 1), (4, 2), (kept + 5, 1), (kept + 4, 2), (u64::MAX - 2, 1)] {
            assert_eq!(read(&recent, first, count), None, "{first} {count}");
        }
        assert!(!recent.read(&[NodeId { level: 1, index: 0 }], &mut Vec::new()));
    }

    #[test]
    fn what_was_cut_is_gone_and_can_come_again() {
        let mut recent = Recent::forgotten([3].into_iter());
        pushed(&mut recent, 3..9);
        recent.cut(&[5]);
        assert_eq!((read(&recent, 4, 1), read(&recent, 5, 1)), (Some(vec![hash(4)]), None));
        recent.push(leaf(5), hash(100));
        assert_eq!(read(&recent, 5, 1), Some(vec![hash(100)]));
        recent.cut(&[2]);
        assert_eq!(read(&recent, 1, 1), None, "older than what is kept");
        recent.cut(&[]);
        pushed(&mut recent, 0..1);
        assert_eq!(read(&recent, 0, 1), Some(vec![hash(0)]));
    }
}
