//! Holds the stored nodes of the tree to those that the log's events make.
//!
//! Only nodes that are said to be durable: the next start makes the others anew in any case. What
//! opening the tree does not notice is told apart from what it does. Changes nothing.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tally_protocol::Position;
use tally_tlog::{Hash, LeafIndex, NodeId, TreeSize};

use crate::block::{
    BLOCK_BYTES, BLOCK_NODES, HASH_BYTES, Place, SEAL_BYTES, is_sealed, length_of, node_counts,
    node_in_block, node_over, nodes_in,
};
use crate::error::FileError;
use crate::files::{exists, read_file};
use crate::frame::array;
use crate::fs::{DiskFile, FileSystem};
use crate::fsck::finding::{Finding, Flaw, Severity};
use crate::patient::PatientFile;
use crate::recent::oldest;
use crate::tiers::{SYNCED_FILE, synced_size, tier_file};

/// The tree's directory, from the data directory.
pub(crate) const TREE_DIR: &str = "tree";

/// What is read at once: 32 blocks.
const CHUNK_BYTES: u64 = 32 * BLOCK_BYTES;

/// The stored nodes while they are compared.
#[derive(Debug)]
pub(crate) struct Nodes {
    is_there: bool,
    /// The file that says how many are durable is there and not whole.
    size_damaged: bool,
    /// The nodes of so many leaves are durable.
    durable: TreeSize,
    tiers: Vec<Tier>,
}

impl Nodes {
    pub(crate) fn open(fs: &dyn FileSystem, dir: &Path) -> Result<Self, FileError> {
        let synced = read_file(fs, &dir.join(SYNCED_FILE))?;
        let size = synced.as_ref().map(|bytes| synced_size(bytes));
        let durable = size.flatten().unwrap_or(TreeSize::ZERO);
        let open = |tier| Tier::open(fs, dir, tier);
        let tiers = (0..node_counts(durable).count()).map(open).collect::<Result<_, _>>()?;
        Ok(Self { is_there: exists(fs, dir)?, size_damaged: size == Some(None), durable, tiers })
    }

    /// Compares a stored node, if it is durable, with what it must be.
    pub(crate) fn compare(&mut self, id: NodeId, expected: Hash) {
        if let Some(place) = Place::of(id).filter(|_| id.is_within(self.durable)) {
            self.tiers[place.tier].compare(id, place, expected);
        }
    }

    /// The stored leaf hash of an event, if it is durable.
    pub(crate) fn leaf(&mut self, position: Position) -> Option<Hash> {
        let id = NodeId::leaf(LeafIndex::new(position.0));
        let place = Place::of(id).filter(|_| id.is_within(self.durable))?;
        self.tiers[place.tier].node(place)
    }

    /// What was found, for a log of so many events.
    pub(crate) fn finish(self, size: TreeSize) -> Vec<Finding> {
        if !self.is_there {
            let has_events = size > TreeSize::ZERO;
            return has_events.then(|| finding("", 0..0, Flaw::TreeMissing)).into_iter().collect();
        }
        let mut found = Vec::new();
        if self.size_damaged {
            found.push(finding(SYNCED_FILE, 0..0, Flaw::TreeSizeDamaged));
        }
        if self.durable > size {
            // Nodes are stored behind the commit: the log was longer.
            let positions = Position::at_tip(size)..Position::at_tip(self.durable);
            let ahead = finding(SYNCED_FILE, 0..0, Flaw::TreeAhead(self.durable));
            found.push(Finding { positions, severity: Severity::Ledger, ..ahead });
        }
        let common = self.durable.min(size);
        for (tier, count) in self.tiers.iter().zip(node_counts(common)) {
            found.extend(tier.missing(count, Position::at_tip(common)));
        }
        for (tier, count) in self.tiers.iter().zip(node_counts(self.durable)) {
            found.extend(tier.wrong(count));
        }
        found
    }
}

fn finding(file: &str, bytes: Range<u64>, flaw: Flaw) -> Finding {
    let positions = Position(0)..Position(0);
    let file = Path::new(TREE_DIR).join(file);
    Finding { file, bytes, positions, severity: Severity::Rebuildable, flaw }
}

/// One tier's file.
#[derive(Debug)]
struct Tier {
    number: usize,
    file: Option<Arc<PatientFile>>,
    /// Nodes in it.
    stored: u64,
    /// Bytes that were read, from `chunk_at` on, where a block begins.
    chunk: Vec<u8>,
    chunk_at: u64,
    nodes: Wrong,
    /// The block of the last wrong node: its seal has nothing to add.
    wrong_block: Option<u64>,
    seals: Wrong,
}

/// What is not as it must be, so many of a kind, from the first to the last of them.
#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    span: Option<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    bytes: Range<u64>,
    positions: Range<Position>,
}

impl Wrong {
    /// One more, which concerns the leaves below this node.
    fn add(&mut self, bytes: Range<u64>, id: NodeId) {
        let span = Span { bytes, positions: leaves_below(id) };
        let all = self.span.get_or_insert_with(|| span.clone());
        all.bytes = all.bytes.start.min(span.bytes.start)..all.bytes.end.max(span.bytes.end);
        let (first, end) = (all.positions.start, all.positions.end);
        all.positions = first.min(span.positions.start)..end.max(span.positions.end);
        self.count += 1;
    }
}

fn leaves_below(id: NodeId) -> Range<Position> {
    Position(id.index << id.level)..Position((id.index + 1) << id.level)
}

impl Tier {
    fn open(fs: &dyn FileSystem, dir: &Path, number: usize) -> Result<Self, FileError> {
        let path = dir.join(tier_file(number));
        let file = match exists(fs, &path)? {
            true => Some(PatientFile::open(fs, &path)?),
            false => None,
        };
        let stored = file.as_ref().map_or(0, |file| nodes_in(file.bytes()));
        let (nodes, seals) = (Wrong::default(), Wrong::default());
        let (chunk, chunk_at) = (Vec::new(), 0);
        Ok(Self { number, file, stored, chunk, chunk_at, nodes, wrong_block: None, seals })
    }

    fn compare(&mut self, id: NodeId, place: Place, expected: Hash) {
        // What is not there at all is found in the file's length.
        let Some(stored) = self.node(place) else { return };
        let end = place.offset() + HASH_BYTES;
        if stored != expected {
            self.nodes.add(place.offset()..end, id);
            self.wrong_block = Some(place.block());
        }
        let is_last = place.nth % BLOCK_NODES == BLOCK_NODES - 1;
        if is_last && self.wrong_block != Some(place.block()) && !self.is_sealed(place.block()) {
            let over = node_over(self.number, place.block());
            self.seals.add(end..end + SEAL_BYTES as u64, over);
        }
    }

    /// A stored node; what cannot be read is zeros.
    fn node(&mut self, place: Place) -> Option<Hash> {
        let is_stored = place.nth < self.stored;
        let block = is_stored.then(|| self.block(place.block()))?;
        Some(Hash::new(array(block, (place.nth % BLOCK_NODES * HASH_BYTES) as usize)))
    }

    fn is_sealed(&mut self, number: u64) -> bool {
        let tier = self.number;
        is_sealed(tier, number, self.block(number))
    }

    /// What the file has of a block, which it has some of.
    fn block(&mut self, number: u64) -> &[u8] {
        let begin = number * BLOCK_BYTES;
        let file = self.file.as_ref().expect("a file that has the block");
        let read = self.chunk_at..self.chunk_at + self.chunk.len() as u64;
        if !read.contains(&begin) {
            self.chunk_at = begin;
            self.chunk.resize(CHUNK_BYTES.min(file.bytes() - begin) as usize, 0);
            // Shorter by now: then nothing that stood there can be read.
            if file.read_exact_at(&mut self.chunk, begin).is_err() {
                self.chunk.fill(0);
            }
        }
        let rest = &self.chunk[(begin - self.chunk_at) as usize..];
        &rest[..rest.len().min(BLOCK_BYTES as usize)]
    }

    /// The finding if there are fewer than `count` nodes, of events up to `end`.
    fn missing(&self, count: u64, end: Position) -> Option<Finding> {
        let (block, nth) = (self.stored / BLOCK_NODES, self.stored % BLOCK_NODES);
        (self.stored < count).then(|| {
            let first = node_in_block(self.number, block, nth as usize);
            let bytes = length_of(self.stored)..length_of(count);
            let positions = leaves_below(first).start..end;
            Finding { positions, ..finding(&tier_file(self.number), bytes, Flaw::NodesMissing) }
        })
    }

    /// The findings about what is there, of a tier of `count` nodes.
    fn wrong(&self, count: u64) -> impl Iterator<Item = Finding> {
        let nodes = Flaw::NodesWrong { wrong: self.nodes.count };
        let seals = Flaw::SealsWrong { wrong: self.seals.count };
        let file = tier_file(self.number);
        // A start takes these blocks into memory, sees it, and makes the tree again.
        let looked_at = length_of(oldest(self.number, count));
        [(&self.nodes.span, nodes), (&self.seals.span, seals)].into_iter().filter_map(
            move |(span, flaw)| {
                let Span { bytes, positions } = span.clone()?;
                let severity = match bytes.end > looked_at {
                    true => Severity::Rebuildable,
                    false => Severity::ByHand,
                };
                Some(Finding { positions, severity, ..finding(&file, bytes, flaw) })
            },
        )
    }
}
