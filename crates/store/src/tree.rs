//! The Merkle tree's complete nodes on disk: one append-only array of 32-byte hashes a level.
//!
//! ```text
//! 00, 01, 02 … = node 0 ‖ node 1 ‖ …   of that level
//! synced       = size u64 ‖ crc32      so many leaves' nodes are durable
//! ```
//!
//! All of it can be rebuilt from the log, and opening does so for what is not known to be durable,
//! and for all of it when the root is not the log's, or one of the last [`RECENT_NODES`] of a level is
//! not the hash of its children. Those are kept in memory too. Opening looks at no older node, so
//! that it costs the same for every tree: what becomes of them is for [`TreeReader::verify`] and
//! [`fsck()`](crate::fsck()). Does not make proofs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tally_protocol::Position;
use tally_tlog::{Frontier, Hash, HashReader, NodeId, TreeSize, node_hash};
use thiserror::Error;

use crate::error::{FileError, ReadError, Step};
use crate::files::{
    create_dir_on, exists, length, open_or_create, open_to_read, read_file, sync_dir_on,
};
use crate::frame::{array, u32_at, u64_at};
use crate::fs::{DiskFile, FileSystem, RealFs};
use crate::log::{LogReader, Progress, ReadLimit, Tip};
pub use crate::recent::RECENT_NODES;
use crate::recent::Recent;

/// The nodes of so many leaves are made durable at once.
pub const SYNC_LEAVES: u64 = 65_536;

/// Nodes that [`TreeReader::verify`] reads at once.
const VERIFY_NODES: u64 = 8_192;

/// What a rebuild reads from the log at once.
const REBUILD_LIMIT: ReadLimit = ReadLimit { events: 4_096, bytes: 1024 * 1024 };

/// Levels that a tree can have.
const MAX_LEVELS: usize = 64;

pub(crate) const HASH_BYTES: u64 = Hash::LEN as u64;
pub(crate) const SYNCED_FILE: &str = "synced";
const SYNCED_BYTES: usize = 8 + 4;

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
    /// A stored node is not the hash of its children, or the right edge not that of the root.
    #[error("{0} or a node below it is damaged; remove the tree's directory to rebuild it")]
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
    dir: Dir,
    levels: Arc<Levels>,
    /// How many nodes each level has.
    counts: Vec<u64>,
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
        create_dir_on(dir.fs(), &dir.path)?;
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
    /// They may run ahead of the log until [`TreeFiles::settle`] or [`TreeFiles::take_back`].
    ///
    /// # Errors
    ///
    /// [`FileError`]: nothing is stored. If the disk is full ([`FileError::is_full`]), the next
    /// call may find room; otherwise open the tree again, since every call fails.
    ///
    /// # Panics
    ///
    /// When a node is not the next of its level.
    pub fn append(&mut self, nodes: &[(NodeId, Hash)]) -> Result<(), FileError> {
        let result = self.poisoning(|tree| tree.write(nodes));
        if result.as_ref().is_err_and(FileError::is_full) {
            // Nothing was counted, so that the next write begins at the same places.
            self.poisoned = false;
        }
        result
    }

    /// Makes durable what is stored, if it is much. The log must hold all of it.
    ///
    /// # Errors
    ///
    /// [`FileError`]: open the tree again; until then every call fails.
    pub fn settle(&mut self) -> Result<(), FileError> {
        match self.size().as_u64() - self.synced.as_u64() {
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
        assert!((self.synced..=self.size()).contains(&size), "what is settled stays");
        self.counts = node_counts(size).collect();
        self.levels.recent_mut().cut(&self.counts);
    }

    fn write(&mut self, nodes: &[(NodeId, Hash)]) -> Result<(), FileError> {
        let mut counts = self.counts.clone();
        let mut runs: Vec<Vec<u8>> = Vec::new();
        for (id, hash) in nodes {
            let level = usize::from(id.level);
            assert!(level < MAX_LEVELS, "a tree has at most {MAX_LEVELS} levels");
            runs.resize(runs.len().max(level + 1), Vec::new());
            counts.resize(counts.len().max(level + 1), 0);
            assert_eq!(id.index, counts[level], "nodes complete in order");
            runs[level].extend_from_slice(hash.as_bytes());
            counts[level] += 1;
        }
        for (level, run) in runs.iter().enumerate().filter(|(_, run)| !run.is_empty()) {
            let (file, path) = self.levels.get_or_create(level)?;
            let first = counts[level] * HASH_BYTES - run.len() as u64;
            file.write_all_at(run, first).map_err(FileError::at(Step::Write, &path))?;
        }
        self.counts = counts;
        let mut recent = self.levels.recent_mut();
        nodes.iter().for_each(|&(id, hash)| recent.push(id, hash));
        Ok(())
    }

    /// How many leaves are stored.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.counts.first().copied().unwrap_or(0))
    }

    /// A reader of these nodes, and of those to come.
    pub fn reader(&self) -> TreeReader {
        TreeReader { levels: Arc::clone(&self.levels) }
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
            return Err(FileError::at(Step::Sync, &self.dir.path)(earlier));
        }
        self.poisoned = true;
        call(self)?;
        self.poisoned = false;
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), FileError> {
        for level in 0..self.counts.len() {
            let (file, path) = self.levels.get_or_create(level)?;
            file.sync_data().map_err(FileError::at(Step::Sync, &path))?;
        }
        sync_dir_on(self.dir.fs(), &self.dir.path)?;
        let size = self.size();
        self.dir.write_synced(size)?;
        self.synced = size;
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
        let Some(levels) = Levels::open_at(dir, kept)? else { return Ok(None) };
        let levels = Arc::new(levels);
        let counts = node_counts(kept).collect();
        let mut tree = Self { dir: dir.clone(), levels, counts, synced: kept, poisoned: false };
        if !tree.levels.remember(kept)? {
            return Ok(None);
        }
        let mut frontier = Frontier::from_nodes(kept, &tree.reader())?;
        tree.extend(&mut frontier, tip, log, progress)?;
        match frontier.root() {
            root if root == tip.root => {}
            _ if kept > TreeSize::ZERO => return Ok(None),
            found => {
                return Err(TreeError::WrongRoot { size: tip.size, expected: tip.root, found });
            }
        }
        if tree.size() > kept {
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

/// Reads stored nodes. Cloning shares the open files.
#[derive(Debug, Clone)]
pub struct TreeReader {
    levels: Arc<Levels>,
}

impl TreeReader {
    /// Opens the nodes in `dir` as they are, changing nothing.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn open_read_only(dir: &Path) -> Result<Self, FileError> {
        let dir = Dir { fs: Arc::new(RealFs), path: dir.to_owned() };
        let mut files = Vec::new();
        while files.len() < MAX_LEVELS {
            let path = dir.level(files.len());
            if !exists(dir.fs(), &path)? {
                break;
            }
            files.push(Arc::from(open_to_read(dir.fs(), &path)?));
        }
        let levels = Levels { dir, files: RwLock::new(files), recent: RwLock::default() };
        Ok(Self { levels: Arc::new(levels) })
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
        for (level, count) in (0..).zip(node_counts(size)).skip(1) {
            for first in (0..count).step_by(VERIFY_NODES as usize) {
                self.verify_nodes(level, first..count.min(first + VERIFY_NODES))?;
            }
        }
        match Frontier::from_nodes(size, &Stored(&self.levels))?.root() {
            found if found == root => Ok(()),
            _ => {
                let edge = Frontier::node_ids(size).first().copied();
                Err(TreeError::Damaged(edge.unwrap_or(NodeId { level: 0, index: 0 })))
            }
        }
    }

    fn verify_nodes(&self, level: u8, range: std::ops::Range<u64>) -> Result<(), TreeError> {
        let ids = |level, range: std::ops::Range<u64>| -> Vec<NodeId> {
            range.map(|index| NodeId { level, index }).collect()
        };
        let stored = Stored(&self.levels);
        let children = stored.read(&ids(level - 1, 2 * range.start..2 * range.end))?;
        let nodes = ids(level, range);
        for ((id, hash), pair) in nodes.iter().zip(stored.read(&nodes)?).zip(children.chunks(2)) {
            if node_hash(&pair[0], &pair[1]) != hash {
                return Err(TreeError::Damaged(*id));
            }
        }
        Ok(())
    }
}

impl HashReader for TreeReader {
    type Error = TreeError;

    /// From memory, or else neighbours together: the nodes of a tile in one call.
    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        let mut hashes = Vec::with_capacity(ids.len());
        for run in ids.chunk_by(follows) {
            if !self.levels.recent().read(run, &mut hashes) {
                self.levels.read_run(run, &mut hashes)?;
            }
        }
        Ok(hashes)
    }
}

/// The nodes as they are on the disk.
struct Stored<'a>(&'a Levels);

impl HashReader for Stored<'_> {
    type Error = TreeError;

    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        let mut hashes = Vec::with_capacity(ids.len());
        for run in ids.chunk_by(follows) {
            self.0.read_run(run, &mut hashes)?;
        }
        Ok(hashes)
    }
}

/// Whether two nodes stand side by side in one level.
fn follows(a: &NodeId, b: &NodeId) -> bool {
    a.level == b.level && a.index.checked_add(1) == Some(b.index)
}

/// The files, widest level last.
#[derive(Debug)]
struct Levels {
    dir: Dir,
    files: RwLock<Vec<Arc<dyn DiskFile>>>,
    recent: RwLock<Recent>,
}

impl Levels {
    /// Opens the nodes of `size` leaves and drops what is behind them; `None` when a level does
    /// not have so many.
    fn open_at(dir: &Dir, size: TreeSize) -> Result<Option<Self>, FileError> {
        let mut files: Vec<Arc<dyn DiskFile>> = Vec::new();
        for (level, count) in (0..MAX_LEVELS).zip(node_counts(size).chain(std::iter::repeat(0))) {
            let path = dir.level(level);
            if count == 0 && !exists(dir.fs(), &path)? {
                break;
            }
            let file = open_or_create(dir.fs(), &path)?;
            let wanted = count * HASH_BYTES;
            match length(&*file, &path)? {
                found if found < wanted => return Ok(None),
                found if found > wanted => {
                    file.set_len(wanted).map_err(FileError::at(Step::Truncate, &path))?;
                }
                _ => {}
            }
            files.push(Arc::from(file));
        }
        Ok(Some(Self { dir: dir.clone(), files: RwLock::new(files), recent: RwLock::default() }))
    }

    /// Takes the last nodes of each level of a tree of `size` leaves into memory; false when one of
    /// them is not the hash of its children among them.
    fn remember(&self, size: TreeSize) -> Result<bool, TreeError> {
        let oldest = |count: u64| count.saturating_sub(RECENT_NODES as u64);
        let mut recent = Recent::forgotten(node_counts(size).map(oldest));
        let (mut below, mut below_first) = (Vec::new(), 0);
        for (level, count) in (0..).zip(node_counts(size)) {
            let first = oldest(count);
            let run: Vec<_> = (first..count).map(|index| NodeId { level, index }).collect();
            let mut nodes = Vec::with_capacity(run.len());
            self.read_run(&run, &mut nodes)?;
            for (&id, &node) in run.iter().zip(&nodes) {
                let left = (2 * id.index).checked_sub(below_first).filter(|_| level > 0);
                let pair = left.map(|left| &below[left as usize..][..2]);
                if pair.is_some_and(|pair| node_hash(&pair[0], &pair[1]) != node) {
                    return Ok(false);
                }
                recent.push(id, node);
            }
            (below, below_first) = (nodes, first);
        }
        *self.recent_mut() = recent;
        Ok(true)
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, level: usize) -> Option<Arc<dyn DiskFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(level).cloned()
    }

    fn get_or_create(&self, level: usize) -> Result<(Arc<dyn DiskFile>, PathBuf), FileError> {
        let path = self.dir.level(level);
        if let Some(file) = self.get(level) {
            return Ok((file, path));
        }
        let file: Arc<dyn DiskFile> = Arc::from(open_or_create(self.dir.fs(), &path)?);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(files.len(), level, "levels are made from the leaves up");
        files.push(Arc::clone(&file));
        Ok((file, path))
    }

    /// Reads nodes that stand side by side.
    fn read_run(&self, run: &[NodeId], hashes: &mut Vec<Hash>) -> Result<(), TreeError> {
        let first = run[0];
        let level = usize::from(first.level);
        let file = self.get(level).ok_or(TreeError::Missing(first))?;
        let mut bytes = vec![0; run.len() * Hash::LEN];
        let at = first.index.checked_mul(HASH_BYTES).ok_or(TreeError::Missing(first))?;
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(TreeError::Missing(run[run.len() - 1]));
            }
            Err(error) => {
                return Err(FileError::at(Step::Read, &self.dir.level(level))(error).into());
            }
        }
        hashes.extend(bytes.chunks_exact(Hash::LEN).map(|hash| Hash::new(array(hash, 0))));
        Ok(())
    }
}

/// The tree's directory, and the file system it is on.
#[derive(Debug, Clone)]
struct Dir {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl Dir {
    fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    fn level(&self, level: usize) -> PathBuf {
        level_file(&self.path, level)
    }

    /// How many leaves' nodes are known to be durable: 0 when that cannot be read.
    fn durable_size(&self) -> Result<TreeSize, FileError> {
        let bytes = read_file(self.fs(), &self.path.join(SYNCED_FILE))?.unwrap_or_default();
        Ok(synced_size(&bytes).unwrap_or(TreeSize::ZERO))
    }

    fn write_synced(&self, size: TreeSize) -> Result<(), FileError> {
        let path = self.path.join(SYNCED_FILE);
        let size = size.as_u64().to_be_bytes();
        let record = [&size[..], &crc32fast::hash(&size).to_be_bytes()].concat();
        let file = open_or_create(self.fs(), &path)?;
        file.write_all_at(&record, 0).map_err(FileError::at(Step::Write, &path))?;
        file.set_len(SYNCED_BYTES as u64).map_err(FileError::at(Step::Truncate, &path))?;
        file.sync_all().map_err(FileError::at(Step::Sync, &path))
    }
}

/// The file of a level's nodes.
pub(crate) fn level_file(dir: &Path, level: usize) -> PathBuf {
    dir.join(format!("{level:02}"))
}

/// How many leaves' nodes are durable, as these bytes of the file `synced` say, if they are whole.
pub(crate) fn synced_size(bytes: &[u8]) -> Option<TreeSize> {
    let whole = bytes.len() == SYNCED_BYTES && u32_at(bytes, 8) == crc32fast::hash(&bytes[..8]);
    whole.then(|| TreeSize::new(u64_at(bytes, 0)))
}

/// How many complete nodes each level has in a tree of `size` leaves, from the leaves up.
pub(crate) fn node_counts(size: TreeSize) -> impl Iterator<Item = u64> {
    (0..MAX_LEVELS).map(move |level| size.as_u64() >> level).take_while(|&count| count > 0)
}

/// Guesses all bytes from those of the leaves done so far.
fn estimate(bytes_done: u64, at: u64, from: u64, size: u64) -> Progress {
    let done = u128::from(at.saturating_sub(from)).max(1);
    let all = u128::from(size.saturating_sub(from));
    let total = u128::from(bytes_done) * all / done;
    let bytes_total = u64::try_from(total).unwrap_or(u64::MAX).max(bytes_done);
    Progress { bytes_done, bytes_total }
}
