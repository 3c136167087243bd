//! The files of the tree's tiers, and which of their nodes are durable.
//!
//! Whole blocks are read, and held to their seals each time. Does not know which nodes the log's
//! events make, nor keep any in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tally_tlog::{Hash, TreeSize};

use crate::block::{
    BLOCK_BYTES, BLOCK_NODES, HASH_BYTES, MAX_TIERS, Place, SEAL_BYTES, hashes, is_sealed,
    length_of, node_counts, seal,
};
use crate::error::{FileError, Step};
use crate::files::{
    create_dir_on, exists, length, open_or_create, open_to_read, read_file, sync_dir_on,
};
use crate::frame::{u32_at, u64_at};
use crate::fs::{DiskFile, FileSystem};

/// Says how many leaves' nodes are durable.
pub(crate) const SYNCED_FILE: &str = "synced";
const SYNCED_BYTES: usize = 8 + 4;

/// The tree's directory, and the file system it is on.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) path: PathBuf,
}

impl Dir {
    fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    fn tier(&self, tier: usize) -> PathBuf {
        self.path.join(tier_file(tier))
    }

    /// Makes it if need be, and removes what an older program has kept here: a file a level.
    pub(crate) fn make(&self) -> Result<(), FileError> {
        create_dir_on(self.fs(), &self.path)?;
        let entries = self.fs.read_dir(&self.path);
        for path in entries.map_err(FileError::at(Step::List, &self.path))? {
            if path.file_name().is_some_and(|name| is_level_file(&name.to_string_lossy())) {
                self.fs.remove(&path).map_err(FileError::at(Step::Remove, &path))?;
            }
        }
        Ok(())
    }

    /// How many leaves' nodes are known to be durable: 0 when that cannot be read.
    pub(crate) fn durable_size(&self) -> Result<TreeSize, FileError> {
        let bytes = read_file(self.fs(), &self.path.join(SYNCED_FILE))?.unwrap_or_default();
        Ok(synced_size(&bytes).unwrap_or(TreeSize::ZERO))
    }

    pub(crate) fn write_synced(&self, size: TreeSize) -> Result<(), FileError> {
        let path = self.path.join(SYNCED_FILE);
        let size = size.as_u64().to_be_bytes();
        let record = [&size[..], &crc32fast::hash(&size).to_be_bytes()].concat();
        let file = open_or_create(self.fs(), &path)?;
        file.write_all_at(&record, 0).map_err(FileError::at(Step::Write, &path))?;
        file.set_len(SYNCED_BYTES as u64).map_err(FileError::at(Step::Truncate, &path))?;
        file.sync_all().map_err(FileError::at(Step::Sync, &path))
    }
}

/// The name of a tier's file.
pub(crate) fn tier_file(tier: usize) -> String {
    format!("t{tier}")
}

/// Whether this is the name of a tier's file.
pub(crate) fn is_tier_file(name: &str) -> bool {
    name.len() == 2 && name.starts_with('t') && name.as_bytes()[1].is_ascii_digit()
}

/// Whether older programs have kept a level's nodes under this name.
pub(crate) fn is_level_file(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// How many leaves' nodes are durable, as these bytes of the file `synced` say, if they are whole.
pub(crate) fn synced_size(bytes: &[u8]) -> Option<TreeSize> {
    let whole = bytes.len() == SYNCED_BYTES && u32_at(bytes, 8) == crc32fast::hash(&bytes[..8]);
    whole.then(|| TreeSize::new(u64_at(bytes, 0)))
}

/// What a block's part of the file holds: all its nodes and their seal, or the first of them.
#[derive(Debug)]
pub(crate) struct Block {
    tier: usize,
    number: u64,
    /// The hashes, without the seal.
    bytes: Vec<u8>,
}

impl Block {
    /// Whether a node's place is in it.
    pub(crate) fn holds(&self, place: Place) -> bool {
        (self.tier, self.number) == (place.tier, place.block())
    }

    /// A node that stands in it, if it is there.
    pub(crate) fn get(&self, place: Place) -> Option<Hash> {
        let at = (place.nth % BLOCK_NODES * HASH_BYTES) as usize;
        hashes(self.bytes.get(at..at + Hash::LEN)?).next()
    }

    /// The nodes that are there.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Hash> {
        hashes(&self.bytes)
    }
}

/// The open files, the leaves' first.
#[derive(Debug)]
pub(crate) struct Tiers {
    dir: Dir,
    files: RwLock<Vec<Arc<dyn DiskFile>>>,
}

impl Tiers {
    /// Opens the nodes of `size` leaves and drops what is behind them; `None` when a tier does not
    /// have so many.
    pub(crate) fn open_at(dir: &Dir, size: TreeSize) -> Result<Option<Self>, FileError> {
        let mut files: Vec<Arc<dyn DiskFile>> = Vec::new();
        let counts = node_counts(size).chain(std::iter::repeat(0));
        for (tier, count) in (0..MAX_TIERS).zip(counts) {
            let path = dir.tier(tier);
            if count == 0 && !exists(dir.fs(), &path)? {
                break;
            }
            let file = open_or_create(dir.fs(), &path)?;
            let wanted = length_of(count);
            match length(&*file, &path)? {
                found if found < wanted => return Ok(None),
                found if found > wanted => {
                    file.set_len(wanted).map_err(FileError::at(Step::Truncate, &path))?;
                }
                _ => {}
            }
            files.push(Arc::from(file));
        }
        Ok(Some(Self { dir: dir.clone(), files: RwLock::new(files) }))
    }

    /// Opens the files as they are.
    pub(crate) fn open_read_only(dir: Dir) -> Result<Self, FileError> {
        let mut files = Vec::new();
        while files.len() < MAX_TIERS {
            let path = dir.tier(files.len());
            if !exists(dir.fs(), &path)? {
                break;
            }
            files.push(Arc::from(open_to_read(dir.fs(), &path)?));
        }
        Ok(Self { dir, files: RwLock::new(files) })
    }

    /// Reads what the file has of a block; `None` when its seal is not that of its nodes.
    pub(crate) fn read_block(&self, tier: usize, number: u64) -> Result<Option<Block>, FileError> {
        let mut bytes = Vec::new();
        if let Some(file) = self.get(tier) {
            bytes.resize(BLOCK_BYTES as usize, 0);
            self.read_as_much(tier, &*file, &mut bytes, number * BLOCK_BYTES)?;
        }
        if bytes.len() as u64 == BLOCK_BYTES {
            if !is_sealed(tier, number, &bytes) {
                return Ok(None);
            }
            bytes.truncate(bytes.len() - SEAL_BYTES);
        }
        Ok(Some(Block { tier, number, bytes }))
    }

    /// Fills the buffer, or cuts it down to what there is.
    fn read_as_much(
        &self,
        tier: usize,
        file: &dyn DiskFile,
        buffer: &mut Vec<u8>,
        offset: u64,
    ) -> Result<(), FileError> {
        let mut read = file.read_exact_at(buffer, offset);
        let path = || self.dir.tier(tier);
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            let there = length(file, &path())?.saturating_sub(offset);
            buffer.truncate(usize::try_from(there).unwrap_or(usize::MAX));
            read = file.read_exact_at(buffer, offset);
        }
        read.map_err(|error| FileError::at(Step::Read, &path())(error))
    }

    /// Writes the next nodes of a tier, and the seals of the blocks that they fill. Before them it
    /// has the nodes `open` in its last block, and `first` in all. `length` is that of the file, and
    /// at least that when this fails.
    pub(crate) fn write<'a>(
        &self,
        tier: usize,
        (first, open): (u64, impl Iterator<Item = &'a Hash>),
        nodes: &'a [Hash],
        length: &mut u64,
    ) -> Result<(), FileError> {
        let (file, path) = self.get_or_create(tier)?;
        let offset = length_of(first);
        if *length > offset {
            // IMPORTANT: or the seal of a block that was taken back would follow other nodes.
            file.set_len(offset).map_err(FileError::at(Step::Truncate, &path))?;
        }
        let bytes = to_bytes(tier, first, open, nodes);
        *length = offset + bytes.len() as u64;
        file.write_all_at(&bytes, offset).map_err(FileError::at(Step::Write, &path))
    }

    /// Makes durable what was written to the first tiers, so many, and says so.
    pub(crate) fn sync(&self, tiers: usize, size: TreeSize) -> Result<(), FileError> {
        for tier in 0..tiers {
            let (file, path) = self.get_or_create(tier)?;
            file.sync_data().map_err(FileError::at(Step::Sync, &path))?;
        }
        sync_dir_on(self.dir.fs(), &self.dir.path)?;
        self.dir.write_synced(size)
    }

    fn get(&self, tier: usize) -> Option<Arc<dyn DiskFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(tier).cloned()
    }

    fn get_or_create(&self, tier: usize) -> Result<(Arc<dyn DiskFile>, PathBuf), FileError> {
        let path = self.dir.tier(tier);
        if let Some(file) = self.get(tier) {
            return Ok((file, path));
        }
        let file: Arc<dyn DiskFile> = Arc::from(open_or_create(self.dir.fs(), &path)?);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(files.len(), tier, "tiers are made from the leaves up");
        files.push(Arc::clone(&file));
        Ok((file, path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir.path
    }
}

/// What stands in the file from node `first` on, whose block has the nodes `open` before it.
fn to_bytes<'a>(
    tier: usize,
    first: u64,
    open: impl Iterator<Item = &'a Hash>,
    nodes: &'a [Hash],
) -> Vec<u8> {
    let (block, in_block) = (first / BLOCK_NODES, (first % BLOCK_NODES) as usize);
    let filling = nodes.len().min(BLOCK_NODES as usize - in_block);
    let (filling, rest) = nodes.split_at(filling);
    let mut bytes = Vec::with_capacity(length_of(BLOCK_NODES + nodes.len() as u64) as usize);
    push(&mut bytes, filling);
    if in_block + filling.len() == BLOCK_NODES as usize {
        let mut whole = Vec::with_capacity(BLOCK_BYTES as usize);
        push(&mut whole, open.chain(filling));
        bytes.extend_from_slice(&seal(tier, block, &whole));
    }
    for (block, nodes) in (block + 1..).zip(rest.chunks(BLOCK_NODES as usize)) {
        let begin = bytes.len();
        push(&mut bytes, nodes);
        if nodes.len() as u64 == BLOCK_NODES {
            let seal = seal(tier, block, &bytes[begin..]);
            bytes.extend_from_slice(&seal);
        }
    }
    bytes
}

fn push<'a>(bytes: &mut Vec<u8>, nodes: impl IntoIterator<Item = &'a Hash>) {
    nodes.into_iter().for_each(|node| bytes.extend_from_slice(node.as_bytes()));
}
