//! Holds the stored nodes of the tree to those that the log's events make.
//!
//! Only nodes that are said to be durable: the next start makes the others anew in any case. What
//! opening the tree does not notice is told apart from what it does. Changes nothing.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tally_protocol::Position;
use tally_tlog::{Hash, LeafIndex, NodeId, TreeSize};

use crate::error::FileError;
use crate::files::{exists, read_file};
use crate::frame::array;
use crate::fs::{DiskFile, FileSystem};
use crate::fsck::finding::{Finding, Flaw, Severity};
use crate::patient::PatientFile;
use crate::tree::{HASH_BYTES, RECENT_NODES, SYNCED_FILE, level_file, node_counts, synced_size};

/// The tree's directory, from the data directory.
pub(crate) const TREE_DIR: &str = "tree";

/// Nodes that are read at once.
const CHUNK_NODES: u64 = 8_192;

/// The stored nodes while they are compared.
#[derive(Debug)]
pub(crate) struct Nodes {
    is_there: bool,
    /// The file that says how many are durable is there and not whole.
    size_damaged: bool,
    /// The nodes of so many leaves are durable.
    durable: TreeSize,
    levels: Vec<Level>,
}

impl Nodes {
    pub(crate) fn open(fs: &dyn FileSystem, dir: &Path) -> Result<Self, FileError> {
        let synced = read_file(fs, &dir.join(SYNCED_FILE))?;
        let size = synced.as_ref().map(|bytes| synced_size(bytes));
        let durable = size.flatten().unwrap_or(TreeSize::ZERO);
        let open = |level| Level::open(fs, &level_file(dir, level));
        let levels = (0..node_counts(durable).count()).map(open).collect::<Result<_, _>>()?;
        Ok(Self { is_there: exists(fs, dir)?, size_damaged: size == Some(None), durable, levels })
    }

    /// Compares a stored node, if it is durable, with what it must be.
    pub(crate) fn compare(&mut self, id: NodeId, expected: Hash) {
        if !id.is_within(self.durable) {
            return;
        }
        let level = &mut self.levels[usize::from(id.level)];
        // What is not there at all is found in the file's length.
        let Some(stored) = level.node(id.index) else { return };
        if stored != expected {
            level.wrong += 1;
            let first = level.span.as_ref().map_or(id.index, |span| span.start.min(id.index));
            let end = level.span.as_ref().map_or(0, |span| span.end).max(id.index + 1);
            level.span = Some(first..end);
        }
    }

    /// The stored leaf hash of an event, if it is durable.
    pub(crate) fn leaf(&mut self, position: Position) -> Option<Hash> {
        let id = NodeId::leaf(LeafIndex::new(position.0));
        id.is_within(self.durable).then(|| self.levels[0].node(id.index)).flatten()
    }

    /// What was found, for a log of so many events.
    pub(crate) fn finish(self, size: TreeSize) -> Vec<Finding> {
        if !self.is_there {
            let has_events = size > TreeSize::ZERO;
            return has_events
                .then(|| self.finding("", 0..0, Flaw::TreeMissing))
                .into_iter()
                .collect();
        }
        let mut found = Vec::new();
        if self.size_damaged {
            found.push(self.finding(SYNCED_FILE, 0..0, Flaw::TreeSizeDamaged));
        }
        if self.durable > size {
            // Nodes are stored behind the commit: the log was longer.
            let positions = Position::at_tip(size)..Position::at_tip(self.durable);
            let ahead = self.finding(SYNCED_FILE, 0..0, Flaw::TreeAhead(self.durable));
            found.push(Finding { positions, severity: Severity::Ledger, ..ahead });
        }
        let counts: Vec<u64> = node_counts(self.durable.min(size)).collect();
        for ((number, level), &count) in self.levels.iter().enumerate().zip(&counts) {
            if level.stored < count {
                let bytes = level.stored * HASH_BYTES..count.saturating_mul(HASH_BYTES);
                found.push(self.level_finding(number, bytes, Flaw::NodesMissing));
            }
        }
        for (number, level) in self.levels.iter().enumerate() {
            if let Some(Range { start, end }) = level.span {
                let bytes = start * HASH_BYTES..end * HASH_BYTES;
                let flaw = Flaw::NodesWrong { wrong: level.wrong };
                let finding = self.level_finding(number, bytes, flaw);
                let count = self.durable.as_u64() >> number;
                let severity = if is_looked_at(start, count) {
                    Severity::Rebuildable
                } else {
                    Severity::ByHand
                };
                found.push(Finding { severity, ..finding });
            }
        }
        found
    }

    fn finding(&self, file: &str, bytes: Range<u64>, flaw: Flaw) -> Finding {
        let positions = Position(0)..Position(0);
        let file = Path::new(TREE_DIR).join(file);
        Finding { file, bytes, positions, severity: Severity::Rebuildable, flaw }
    }

    /// About a level's nodes: the positions are those of the leaves below them.
    fn level_finding(&self, level: usize, bytes: Range<u64>, flaw: Flaw) -> Finding {
        let file: PathBuf = level_file(Path::new(""), level);
        let leaf = |byte: u64| Position((byte / HASH_BYTES) << level);
        let positions = leaf(bytes.start)..leaf(bytes.end);
        Finding { positions, ..self.finding(&file.to_string_lossy(), bytes, flaw) }
    }
}

/// Whether a start looks at this node of a level of `count` nodes, and so makes the tree again. It
/// holds the oldest of those it looks at to nothing, if they are not all.
fn is_looked_at(index: u64, count: u64) -> bool {
    match count.saturating_sub(RECENT_NODES as u64) {
        0 => true,
        oldest => index > oldest,
    }
}

/// One level's file.
#[derive(Debug)]
struct Level {
    file: Option<Arc<PatientFile>>,
    /// Nodes in it.
    stored: u64,
    /// Nodes that were read, from `first` on.
    chunk: Vec<u8>,
    first: u64,
    wrong: u64,
    /// From the first wrong node to behind the last.
    span: Option<Range<u64>>,
}

impl Level {
    fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self, FileError> {
        let file = match exists(fs, path)? {
            true => Some(PatientFile::open(fs, path)?),
            false => None,
        };
        let stored = file.as_ref().map_or(0, |file| file.bytes() / HASH_BYTES);
        Ok(Self { file, stored, chunk: Vec::new(), first: 0, wrong: 0, span: None })
    }

    /// A stored node; what cannot be read is zeros.
    fn node(&mut self, index: u64) -> Option<Hash> {
        let file = self.file.as_ref().filter(|_| index < self.stored)?;
        let read = self.chunk.len() as u64 / HASH_BYTES;
        if !(self.first..self.first + read).contains(&index) {
            self.first = index;
            let nodes = CHUNK_NODES.min(self.stored - index);
            self.chunk.resize((nodes * HASH_BYTES) as usize, 0);
            // Shorter by now: then nothing that stood there can be read.
            if file.read_exact_at(&mut self.chunk, index * HASH_BYTES).is_err() {
                self.chunk.fill(0);
            }
        }
        Some(Hash::new(array(&self.chunk, ((index - self.first) * HASH_BYTES) as usize)))
    }
}
