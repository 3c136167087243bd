//! The log as tiles (C2SP tlog-tiles): what a static read path serves, and what is exported as
//! files, byte for byte the same.
//!
//! Tiles are cut from the log and the tree's nodes when they are asked for; nothing is kept. What a
//! head is, a [`TileSource`] says.

use std::path::Path;

use bytes::Bytes;
use tally_protocol::{Event, Position, TreeSize};
use tally_store::{
    FileError, LogReader, ReadError, ReadLimit, SegmentReader, TreeError, TreeReader,
};
use tally_tlog::{Hash, HashReader, NodeId, TileKind, TilePath, encode_entries};

use crate::node::Node;

/// What tiles are cut from: a running ledger, or a directory of one.
pub trait TileSource: Send + Sync {
    /// The durable head.
    fn head(&self) -> TileHead;

    /// The hashes of complete nodes within the head's tree.
    ///
    /// # Errors
    /// [`TreeError`].
    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError>;

    /// Events from a position below the head on: at least one, and as many as the limit allows.
    ///
    /// # Errors
    /// [`ReadError`].
    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Event>, ReadError>;
}

/// The durable head that tiles are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileHead {
    /// How many events there are.
    pub size: TreeSize,
    /// The signed note of that tree; empty while the ledger is.
    pub checkpoint: Bytes,
}

/// Why there is no such tile.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The tree does not have it yet.
    #[error(
        "{tile} needs a tree of {needed} events, and the log has {head}; look at the checkpoint"
    )]
    BeyondHead {
        /// The tile.
        tile: TilePath,
        /// The size of the smallest tree that has it.
        needed: TreeSize,
        /// The head.
        head: TreeSize,
    },
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree can't be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The bytes of a tile, if the durable head has it: its hashes, or its entries as a bundle. An entry
/// is the bytes of an event.
///
/// # Errors
/// [`TileError`].
pub fn read_tile(source: &dyn TileSource, tile: TilePath) -> Result<Vec<u8>, TileError> {
    let head = source.head().size;
    if !tile.is_within(head) {
        return Err(TileError::BeyondHead { tile, needed: tile.smallest_tree(), head });
    }
    match tile.kind() {
        TileKind::Hashes { .. } => {
            let ids: Vec<NodeId> = tile.nodes().collect();
            Ok(source.nodes(&ids)?.iter().flat_map(|hash| hash.into_bytes()).collect())
        }
        TileKind::Entries => {
            let entries = read_entries(source, tile)?;
            Ok(encode_entries(&entries).expect("an event fits into a bundle"))
        }
    }
}

fn read_entries(source: &dyn TileSource, tile: TilePath) -> Result<Vec<Bytes>, ReadError> {
    let leaves = tile.leaves();
    let width = usize::from(tile.width());
    let mut entries = Vec::with_capacity(width);
    while entries.len() < width {
        let from = Position(leaves.start.as_u64() + entries.len() as u64);
        let limit = ReadLimit { events: width - entries.len(), bytes: usize::MAX };
        let events = source.events(from, limit)?;
        assert!(!events.is_empty(), "the log holds what its head counts");
        entries.extend(events.iter().map(|event| event.bytes().clone()));
    }
    Ok(entries)
}

impl TileSource for Node {
    fn head(&self) -> TileHead {
        TileHead { size: self.snapshot().tip.size, checkpoint: self.published() }
    }

    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        self.tree().read(ids)
    }

    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Event>, ReadError> {
        self.read(from, limit)
    }
}

/// The tiles of a data directory, as of when it was opened; a server may be at work on it.
#[derive(Debug)]
pub struct DirectoryTiles {
    log: SegmentReader,
    tree: TreeReader,
}

impl DirectoryTiles {
    /// Puts an open log and the tree in the same data directory together.
    ///
    /// # Errors
    /// [`FileError`] when the tree's files can't be opened.
    pub fn new(log: SegmentReader, data: &Path) -> Result<Self, FileError> {
        let tree = TreeReader::open_read_only(&data.join("tree"))?;
        Ok(Self { log, tree })
    }
}

impl TileSource for DirectoryTiles {
    fn head(&self) -> TileHead {
        TileHead { size: self.log.tip().size, checkpoint: self.log.checkpoint() }
    }

    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Hash>, TreeError> {
        self.tree.read(ids)
    }

    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Event>, ReadError> {
        self.log.read(from, limit)
    }
}
