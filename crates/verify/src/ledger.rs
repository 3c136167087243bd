//! The examination of a ledger, in one pass and constant memory beside the state of its objects.
//!
//! Events are taken in chunks. While one chunk is judged in order (chain, rules, tree), the next
//! one is parsed and its signatures are checked on all cores.

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, TreeSize};
use tally_tlog::Hash;

use crate::examine::{Examined, examine};
use crate::judge::{Judge, Trust};
use crate::report::{FirstBad, Report};

/// Events that are judged together.
const CHUNK_EVENTS: usize = 4_096;

/// One thing that a log holds, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Event),
    /// The end of a group: what the operator committed to.
    Commit {
        /// Events in the log.
        size: TreeSize,
        /// Chain hash of the last.
        chain: ChainHash,
        /// Root of the tree.
        root: Hash,
        /// Signed note of the tree.
        checkpoint: Bytes,
    },
}

/// Judges a log. `items` come from the store, or end with what the store could not read;
/// `progress` is told how many events were judged.
pub fn verify_ledger(
    items: impl Iterator<Item = Result<Item, FirstBad>>,
    trust: &Trust,
    mut progress: impl FnMut(TreeSize),
) -> Report {
    let mut judge = Judge::new(trust.clone());
    let mut items = items;
    let mut waiting = examine_chunk(next_chunk(&mut items));
    loop {
        let last = waiting.is_last();
        let chunk = if last { Chunk::default() } else { next_chunk(&mut items) };
        let (examined, judged) =
            rayon::join(|| examine_chunk(chunk), || judge_chunk(&mut judge, waiting));
        progress(judge.size());
        if let Err(bad) = judged {
            return judge.report(Some(bad));
        }
        if last {
            return judge.finish();
        }
        waiting = examined;
    }
}

// ------------------------------------------------------------------ in parallel

#[derive(Default)]
struct Chunk {
    items: Vec<Item>,
    end: Option<Result<(), FirstBad>>,
}

fn next_chunk(items: &mut impl Iterator<Item = Result<Item, FirstBad>>) -> Chunk {
    let mut chunk = Chunk::default();
    while chunk.items.len() < CHUNK_EVENTS {
        match items.next() {
            Some(Ok(item)) => chunk.items.push(item),
            Some(Err(bad)) => {
                chunk.end = Some(Err(bad));
                break;
            }
            None => {
                chunk.end = Some(Ok(()));
                break;
            }
        }
    }
    chunk
}

enum ExaminedItem {
    Event(Box<Examined>),
    Commit { size: TreeSize, chain: ChainHash, root: Hash, checkpoint: Bytes },
}

struct ExaminedChunk {
    items: Vec<ExaminedItem>,
    end: Option<Result<(), FirstBad>>,
}

impl ExaminedChunk {
    fn is_last(&self) -> bool {
        self.end.is_some()
    }
}

fn examine_chunk(chunk: Chunk) -> ExaminedChunk {
    let event = |item: &Item| match item {
        Item::Event(event) => Some(event.clone()),
        Item::Commit { .. } => None,
    };
    let events = chunk.items.iter().filter_map(event).collect();
    let mut examined = examine(events).into_iter();
    let examined = |item| match item {
        Item::Event(_) => {
            ExaminedItem::Event(Box::new(examined.next().expect("one entry an event")))
        }
        Item::Commit { size, chain, root, checkpoint } => {
            ExaminedItem::Commit { size, chain, root, checkpoint }
        }
    };
    ExaminedChunk { items: chunk.items.into_iter().map(examined).collect(), end: chunk.end }
}

// ------------------------------------------------------------------ in order

fn judge_chunk(judge: &mut Judge, chunk: ExaminedChunk) -> Result<(), FirstBad> {
    for item in chunk.items {
        match item {
            ExaminedItem::Event(examined) => judge.event(*examined, |_, _| {})?,
            ExaminedItem::Commit { size, chain, root, checkpoint } => {
                judge.commit(size, chain, root, &checkpoint)?;
            }
        }
    }
    chunk.end.unwrap_or(Ok(()))
}
