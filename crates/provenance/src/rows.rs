//! The rows of a graph whose records do not all stay in memory: their keys, their bytes, and what
//! somebody who keeps rows must do.
//!
//! | key | value |
//! |---|---|
//! | `h` | the head: how far, how many, and the last moments |
//! | `k` name | the number of the node of that name, or of the group of several |
//! | `n` node | all that is known of a node |
//! | `b` node list number | a full block of a list of a node |
//!
//! Rows are a function of the events that were folded, however these were split into batches. They
//! are a hint that folding the log again replaces: nothing is repaired here.

use std::error::Error;
use std::sync::Arc;

use crate::codec::Coded;
use crate::memory::{BlockId, Name};
use crate::record::{BLOCK_ITEMS, Block, Half, Member, Mention, Moment, Node, NodeIx, Part};

/// Version of how a graph is kept. Rows of another one are of no use.
pub const GRAPH_VERSION: u32 = 3;

/// Rows that somebody keeps for a graph, as they were last kept.
pub trait GraphRows: Send + Sync + 'static {
    /// The value of a key; `None` when there is none.
    ///
    /// # Errors
    /// The rows cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>>;
}

/// Why what a graph says is worth nothing: its rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GraphFailure {
    /// Whoever keeps the rows could not read them.
    #[error("the rows of the graph cannot be read")]
    Rows(#[source] Box<dyn Error + Send + Sync>),
    /// The value of a row is not what was written.
    #[error("a row of the graph is damaged: key {key:02x?}; build the graph again")]
    Damaged {
        /// The key.
        key: Vec<u8>,
    },
    /// A row that others refer to is not there.
    #[error("a row of the graph is missing: key {key:02x?}; build the graph again")]
    Missing {
        /// The key.
        key: Vec<u8>,
    },
    /// A row holds what belongs into another one.
    #[error("a row of the graph stands in the place of another; build the graph again")]
    Mixed,
}

/// The key of the head's row.
pub(crate) const HEAD_KEY: &[u8] = b"h";

/// A sort of rows.
pub(crate) trait Row: Copy + Eq + std::hash::Hash {
    /// What stands in such a row.
    type Value;

    /// Bytes that most values fit into.
    const ROOM: usize;

    /// Its key.
    fn row_key(&self) -> Vec<u8>;

    /// Its bytes.
    fn encode(value: &Self::Value, to: &mut Vec<u8>);

    /// What was written; `None` when this was not.
    fn decode(bytes: &[u8]) -> Option<Self::Value>;

    /// About how many bytes of memory it takes.
    fn weight(value: &Self::Value) -> usize;
}

/// What a map takes for an entry, beside the value.
const ENTRY_BYTES: usize = 64;

impl Row for Name {
    type Value = NodeIx;

    const ROOM: usize = 5;

    fn row_key(&self) -> Vec<u8> {
        [&b"k"[..], &self.0].concat()
    }

    fn encode(value: &NodeIx, to: &mut Vec<u8>) {
        value.put(to);
    }

    fn decode(bytes: &[u8]) -> Option<NodeIx> {
        whole(bytes)
    }

    fn weight(_: &NodeIx) -> usize {
        size_of::<(Self, NodeIx)>() + ENTRY_BYTES / 2
    }
}

impl Row for NodeIx {
    type Value = Arc<Node>;

    const ROOM: usize = 192;

    fn row_key(&self) -> Vec<u8> {
        [&b"n"[..], &self.0.to_be_bytes()].concat()
    }

    fn encode(value: &Arc<Node>, to: &mut Vec<u8>) {
        value.put(to);
    }

    fn decode(bytes: &[u8]) -> Option<Arc<Node>> {
        whole(bytes).map(Arc::new)
    }

    fn weight(node: &Arc<Node>) -> usize {
        let halves = (node.out.rest.len() + node.into.rest.len()) * size_of::<Half>();
        let mentions = node.mentions.rest.len() * size_of::<Mention>();
        let lists = [&node.receipts, &node.policies, &node.members];
        let members: usize = lists.iter().map(|list| list.rest.len() * size_of::<Member>()).sum();
        // Texts are counted by what most of them have.
        size_of::<Node>() + 2 * ENTRY_BYTES + halves + mentions + members + node.facts.len() * 256
    }
}

impl Row for BlockId {
    type Value = Arc<Block>;

    const ROOM: usize = 1024;

    fn row_key(&self) -> Vec<u8> {
        let part = match self.part {
            Part::Out => b'o',
            Part::Into => b'i',
            Part::Mentions => b'm',
            Part::Receipts => b'r',
            Part::Policies => b'p',
            Part::Members => b'g',
            Part::Moments => b't',
        };
        let (owner, number) = (self.owner.0.to_be_bytes(), self.number.to_be_bytes());
        [&b"b"[..], &owner, &[part], &number].concat()
    }

    fn encode(value: &Arc<Block>, to: &mut Vec<u8>) {
        value.put(to);
    }

    fn decode(bytes: &[u8]) -> Option<Arc<Block>> {
        whole(bytes).map(Arc::new)
    }

    fn weight(_: &Arc<Block>) -> usize {
        ENTRY_BYTES + BLOCK_ITEMS * size_of::<Half>().max(size_of::<Moment>())
    }
}

/// A value that takes up all of the bytes.
pub(crate) fn whole<T: Coded>(mut bytes: &[u8]) -> Option<T> {
    let value = T::take(&mut bytes)?;
    bytes.is_empty().then_some(value)
}
