//! The Merkle tree's complete nodes on disk, seven levels a file.
//!
//! ```text
//! t0, t1 …  = the nodes of levels 0 to 6, 7 to 13 …   in sealed blocks
//! synced    = size u64 ‖ crc32                        so many leaves' nodes are durable
//! ```
//!
//! A block is what a proof needs of seven levels, so the proof of any leaf reads one, and what is
//! above it from memory: all of it up to 16 million leaves, the newest beyond.
//!
//! All of it can be rebuilt from the log, and opening does so for what is not known to be durable,
//! and for all of it when the root is not the log's, or a node of the blocks that it takes into
//! memory is not the hash of its children. Opening looks at no older node, so that it costs the same
//! for every tree that is larger than what is kept. Older blocks are held to their checksums at each
//! read, and to the root by [`TreeReader::verify`] and [`fsck()`](crate::fsck()). Does not make
//! proofs.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tally_protocol::Position;
use tally_tlog::{Frontier, Hash, HashReader, NodeId, TreeSize};
use thiserror::Error;

use crate::block::{
    BLOCK_NODES, Place, hash_over, length_of, node_counts, node_in_block, node_over, wrong_node,
};
use crate::error::{FileError, ReadError, Step};
use crate::fs::{FileSystem, RealFs};
use crate::log::{LogReader, Progress, ReadLimit, Tip};
pub use crate::recent::RECENT_LEAVES;
use crate::recent::{Recent, oldest};
use crate::tiers::{Block, Dir, Tiers};

/// The nodes of so many leaves are made durable at once.
pub const SYNC_LEAVES: u64 = 65_536;

/// What a rebuild reads from the log at once.
const REBUILD_LIMIT: ReadLimit = ReadLimit { events: 4_096, bytes: 1024 * 1024 };

/// Why the tree's nodes cannot be used.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log could not be read for a rebuild.
    #[error("the tree cannot be rebuilt from the log")]
    Log(#[from] ReadError),
    /// The log's events do not have the root that its last commit says.
    #[error(
        "the {size} events of the log have the root {found}, its last commit says {expected}; do \
         not serve this log, compare it with a mirror"
    )]
    WrongRoot {
        /// The log's size.
        size: TreeSize,
        /// What the commit says.
        expected: Hash,
        /// What the events give.
        found: Hash,
    },
    /// A node that was never stored.
    #[error("{0} is not stored; open the tree again to rebuild it")]
    Missing(NodeId),
    /// A stored node is not the hash of its children, its block does not have its checksum, or the
    /// right edge is not that of the root.
    #[error(
        "{0}, or a node that is stored with it, is damaged; remove the tree's directory to rebuild it"
    )]
    Damaged(NodeId),
}

/// What opening the tree did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeReport {
    /// The nodes of so many leaves were kept.
    pub kept: TreeSize,
    /// The nodes of so many leaves were made again from the log.
    pub rebuilt: u64,
}

/// The stored nodes, to append to.
#[derive(Debug)]
pub struct TreeFiles {
    nodes: Arc<Nodes>,
    size: TreeSize,
    /// How many nodes each tier has.
    counts: Vec<u64>,
    /// At most so many bytes each tier's file has.
    lengths: Vec<u64>,
    synced: TreeSize,
    /// A write or sync failed: what is durable is not known, and no later sync can tell.
    poisoned: bool,
}

impl TreeFiles {
    /// Opens the nodes in `dir` for a log at `tip`, and rebuilds from `log` what is missing,
    /// damaged, not known to be durable, or ahead of the log.
    ///
    /// # Errors
    ///
    /// [`TreeError`]: the disk or the log failed, or the events do not have the commit's root.
    pub fn open(
        dir: &Path,
        tip: &Tip,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Frontier, TreeReport), TreeError> {
        Self::open_on(Arc::new(RealFs), dir, tip, log, progress)
    }

    /// Opens the nodes on another file system than the operating system's.
    ///
    /// # Errors
    ///
    /// As [`TreeFiles::open`].
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        tip: &Tip,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Frontier, TreeReport), TreeError> {
        let dir = &Dir { fs, path: dir.to_owned() };
        dir.make()?;
        let base = dir.durable_size()?;
        let kept = base.min(tip.size);
        if let Some((tree, frontier)) = Self::open_from(dir, kept, base, tip, log, progress)? {
            let rebuilt = tip.size.as_u64() - kept.as_u64();
            return Ok((tree, frontier, TreeReport { kept, rebuilt }));
        }
        let kept = TreeSize::ZERO;
        let (tree, frontier) = Self::open_from(dir, kept, base, tip, log, progress)?
            .expect("a tree built from nothing is whole");
        Ok((tree, frontier, TreeReport { kept, rebuilt: tip.size.as_u64() }))
    }

    /// Stores nodes as [`Frontier::append`] gives them. Readers see them when this returns.
    ///
    /// They may run ahead of the log until [`TreeFiles::settle`] or [`TreeFiles::take_back`], and
    /// are all kept in memory until then.
    ///
    /// # Errors
    ///
    /// [`FileError`]: nothing is stored. If the disk is full ([`FileError::is_full`]), the next
    /// call may find room; otherwise open the tree again, since every call fails.
    ///
    /// # Panics
    ///
    /// When a node is not the next of those that complete.
    pub fn append(&mut self, nodes: &[(NodeId, Hash)]) -> Result<(), FileError> {
        let result = self.poisoning(|tree| tree.write(nodes));
        if result.as_ref().is_err_and(FileError::is_full) {
            // Nothing was counted, so that the next write begins at the same places.
            self.poisoned = false;
        }
        result
    }

    /// Keeps no more than the newest nodes in memory, and makes durable what is stored, if it is
    /// much. The log must hold all of it.
    ///
    /// # Errors
    ///
    /// [`FileError`]: open the tree again; until then every call fails.
    pub fn settle(&mut self) -> Result<(), FileError> {
        self.nodes.recent_mut().trim();
        match self.size.as_u64() - self.synced.as_u64() {
            0..SYNC_LEAVES => Ok(()),
            _ => self.sync(),
        }
    }

    /// Takes back the nodes that only more than `size` leaves complete.
    ///
    /// # Panics
    ///
    /// When they were settled, or there are not so many leaves.
    pub fn take_back(&mut self, size: TreeSize) {
        assert!((self.synced..=self.size).contains(&size), "what is settled stays");
        self.size = size;
        self.counts = node_counts(size).collect();
        self.nodes.recent_mut().cut(&self.counts);
    }

    fn write(&mut self, nodes: &[(NodeId, Hash)]) -> Result<(), FileError> {
        let runs = self.runs(nodes);
        let counts = |tier| self.counts.get(tier).copied().unwrap_or(0);
        let recent = self.nodes.recent();
        self.lengths.resize(self.lengths.len().max(runs.len()), 0);
        for (tier, run) in runs.iter().enumerate().filter(|(_, run)| !run.is_empty()) {
            let behind = (counts(tier), recent.open_block(tier));
            self.nodes.tiers.write(tier, behind, run, &mut self.lengths[tier])?;
        }
        drop(recent);
        self.counts.resize(self.counts.len().max(runs.len()), 0);
        let mut recent = self.nodes.recent_mut();
        for (tier, run) in runs.iter().enumerate() {
            self.counts[tier] += run.len() as u64;
            recent.push(tier, run);
        }
        let leaves = nodes.iter().filter(|(id, _)| id.level == 0).count();
        self.size = TreeSize::new(self.size.as_u64() + leaves as u64);
        Ok(())
    }

    /// The nodes by tier, each the next of its tier.
    fn runs(&self, nodes: &[(NodeId, Hash)]) -> Vec<Vec<Hash>> {
        let mut runs: Vec<Vec<Hash>> = Vec::new();
        for &(id, hash) in nodes {
            let Place { tier, nth } = Place::of(id).expect("a node of a tree");
            runs.resize(runs.len().max(tier + 1), Vec::new());
            let next = self.counts.get(tier).copied().unwrap_or(0) + runs[tier].len() as u64;
            assert_eq!(nth, next, "nodes complete in order");
            runs[tier].push(hash);
        }
        runs
    }

    /// How many leaves are stored.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// A reader of these nodes, and of those to come.
    pub fn reader(&self) -> TreeReader {
        TreeReader { nodes: Arc::clone(&self.nodes) }
    }

    /// Makes everything stored so far durable, so that the next opening need not rebuild it.
    ///
    /// # Errors
    ///
    /// [`FileError`]: open the tree again; until then every call fails.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.poisoning(Self::make_durable)
    }

    /// Does nothing more once a call has failed.
    fn poisoning(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        if self.poisoned {
            let earlier = io::Error::other("an earlier write or sync of the tree failed");
            return Err(FileError::at(Step::Sync, self.nodes.tiers.path())(earlier));
        }
        self.poisoned = true;
        call(self)?;
        self.poisoned = false;
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), FileError> {
        self.nodes.tiers.sync(self.counts.len(), self.size)?;
        self.synced = self.size;
        Ok(())
    }

    /// Continues from the nodes of `kept` leaves; `None` when those nodes are not all right.
    fn open_from(
        dir: &Dir,
        kept: TreeSize,
        durable: TreeSize,
        tip: &Tip,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<(Self, Frontier)>, TreeError> {
        if durable > kept {
            // IMPORTANT: before anything is shortened, or a crash would leave a false claim.
            dir.write_synced(kept)?;
        }
        let Some(tiers) = Tiers::open_at(dir, kept)? else { return Ok(None) };
        let Some(recent) = remembered(&tiers, kept)? else { return Ok(None) };
        let nodes = Arc::new(Nodes { tiers, recent: RwLock::new(recent) });
        let counts: Vec<u64> = node_counts(kept).collect();
        let lengths = counts.iter().copied().map(length_of).collect();
        let mut tree = Self { nodes, size: kept, counts, lengths, synced: kept, poisoned: false };
        let mut frontier = Frontier::from_nodes(kept, &tree.reader())?;
        tree.extend(&mut frontier, tip, log, progress)?;
        match frontier.root() {
            root if root == tip.root => {}
            _ if kept > TreeSize::ZERO => return Ok(None),
            found => {
                return Err(TreeError::WrongRoot { size: tip.size, expected: tip.root, found });
            }
        }
        if tree.size > kept {
            tree.sync()?;
        }
        Ok(Some((tree, frontier)))
    }

    fn extend(
        &mut self,
        frontier: &mut Frontier,
        tip: &Tip,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), TreeError> {
        let mut nodes = Vec::new();
        let mut bytes_done = 0;
        while frontier.size() < tip.size {
            let mut at = Position::at_tip(frontier.size());
            nodes.clear();
            for event in log.read(at, REBUILD_LIMIT)? {
                if at.0 < tip.size.as_u64() {
                    frontier.append(event.leaf(), |id, hash| nodes.push((id, hash)));
                    at = at.next();
                    bytes_done += event.bytes().len() as u64;
                }
            }
            self.append(&nodes)?;
            self.settle()?;
            progress(estimate(bytes_done, at.0, self.synced.as_u64(), tip.size.as_u64()));
        }
        Ok(())
    }
}

/// Takes the last blocks of each tier of a tree of `size` leaves into memory; `None` when one of
/// their nodes is not the hash of its children, or a seal is not that of its block.
fn remembered(tiers: &Tiers, size: TreeSize) -> Result<Option<Recent>, FileError> {
    let counts: Vec<u64> = node_counts(size).collect();
    let mut recent = Recent::forgotten(counts.iter().copied());
    // From the top, so that what is over a block is there before it.
    for (tier, &count) in counts.iter().enumerate().rev() {
        for first in (oldest(tier, count)..count).step_by(BLOCK_NODES as usize) {
            let number = first / BLOCK_NODES;
            let Some(block) = tiers.read_block(tier, number)? else { return Ok(None) };
            let nodes: Vec<Hash> = block.nodes().collect();
            let over = Place::of(node_over(tier, number)).and_then(|place| recent.get(place));
            let is_whole = nodes.len() as u64 == BLOCK_NODES;
            let fits_above = !is_whole || over == Some(hash_over(&nodes));
            if !fits_above || wrong_node(tier, number, &nodes).is_some() {
                return Ok(None);
            }
            recent.push(tier, &nodes);
        }
    }
    Ok(Some(recent))
}

/// The nodes in files and in memory.
#[derive(Debug)]
struct Nodes {
    tiers: Tiers,
    recent: RwLock<Recent>,
}

impl Nodes {
    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads stored nodes. Cloning shares the open files.
#[derive(Debug, Clone)]
pub struct TreeReader {
    nodes: Arc<Nodes>,
}

impl TreeReader {
    /// Opens the nodes in `dir` as they are, changing nothing.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn open_read_only(dir: &Path) -> Result<Self, FileError> {
        let dir = Dir { fs: Arc::new(RealFs), path: dir.to_owned() };
        let tiers = Tiers::open_read_only(dir)?;
        Ok(Self { nodes: Arc::new(Nodes { tiers, recent: RwLock::default() }) })
    }

    /// Hashes every stored node of the tree of `size` leaves again, up to its root: what is on the
    /// disk, not what is in memory.
    ///
    /// Does not compare leaves with events, and need not: `root` stands for all of them.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`], [`TreeError::Missing`], [`TreeError::File`].
    pub fn verify(&self, size: TreeSize, root: Hash) -> Result<(), TreeError> {
        for (tier, count) in node_counts(size).enumerate() {
            for first in (0..count).step_by(BLOCK_NODES as usize) {
                let nodes = BLOCK_NODES.min(count - first) as usize;
                self.verify_block(tier, first / BLOCK_NODES, nodes)?;
            }
        }
        match Frontier::from_nodes(size, &Stored(&self.nodes.tiers))?.root() {
            found if found == root => Ok(()),
            _ => {
                let edge = Frontier::node_ids(size).first().copied();
                Err(TreeError::Damaged(edge.unwrap_or(NodeId { level: 0, index: 0 })))
            }
        }
    }

    /// The first `count` nodes of a block, and what is over them.
    fn verify_block(&self, tier: usize, number: u64, count: usize) -> Result<(), TreeError> {
        let nth = |nth| node_in_block(tier, number, nth);
        let Some(block) = self.nodes.tiers.read_block(tier, number)? else {
            return Err(TreeError::Damaged(nth(0)));
        };
        let nodes: Vec<Hash> = block.nodes().take(count).collect();
        if nodes.len() < count {
            return Err(TreeError::Missing(nth(nodes.len())));
        }
        if let Some(id) = wrong_node(tier, number, &nodes) {
            return Err(TreeError::Damaged(id));
        }
        if count as u64 == BLOCK_NODES {
            let id = node_over(tier, number);
            if Stored(&self.nodes.tiers).read(&[id])? != [hash_over(&nodes)] {
                return Err(TreeError::Damaged(id));
            }
        }
        Ok(())
    }
}

impl HashReader for TreeReader {
    type Error = TreeError;

    /// From memory, or else whole blocks.
    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        let recent = self.nodes.recent();
        let in_memory = |id: &NodeId| Place::of(*id).and_then(|place| recent.get(place));
        let found: Vec<Option<Hash>> = ids.iter().map(in_memory).collect();
        drop(recent);
        let others = ids.iter().zip(&found).filter(|(_, found)| found.is_none());
        let others: Vec<NodeId> = others.map(|(&id, _)| id).collect();
        let mut stored = Stored(&self.nodes.tiers).read(&others)?.into_iter();
        let mut next = || stored.next().expect("what is not in memory was read");
        Ok(found.into_iter().map(|found| found.unwrap_or_else(&mut next)).collect())
    }

    fn read_one(&self, id: NodeId) -> Result<Hash, TreeError> {
        let recent = Place::of(id).and_then(|place| self.nodes.recent().get(place));
        recent.map_or_else(|| Stored(&self.nodes.tiers).read_one(id), Ok)
    }
}

/// The nodes as they are on the disk.
struct Stored<'a>(&'a Tiers);

impl HashReader for Stored<'_> {
    type Error = TreeError;

    /// Nodes of one block that follow each other in `ids` cost one read.
    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        let mut last: Option<Block> = None;
        let mut hashes = Vec::with_capacity(ids.len());
        for &id in ids {
            let place = Place::of(id).ok_or(TreeError::Missing(id))?;
            let block = match last.take().filter(|block| block.holds(place)) {
                Some(block) => block,
                None => {
                    self.0.read_block(place.tier, place.block())?.ok_or(TreeError::Damaged(id))?
                }
            };
            hashes.push(block.get(place).ok_or(TreeError::Missing(id))?);
            last = Some(block);
        }
        Ok(hashes)
    }
}

/// Guesses all bytes from those of the leaves done so far.
fn estimate(bytes_done: u64, at: u64, from: u64, size: u64) -> Progress {
    let done = u128::from(at.saturating_sub(from)).max(1);
    let all = u128::from(size.saturating_sub(from));
    let total = u128::from(bytes_done) * all / done;
    let bytes_total = u64::try_from(total).unwrap_or(u64::MAX).max(bytes_done);
    Progress { bytes_done, bytes_total }
}
