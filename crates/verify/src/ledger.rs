//! The examination of a ledger, in one pass and constant memory beside the judge's state.
//!
//! Events are taken in chunks. While one is read and some are parsed and their signatures checked, the
//! chunk whose turn it is is judged in order: chain, rules, tree.

use std::ops::ControlFlow;

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, TreeSize};
use tally_tlog::Hash;

use crate::examine::{Examined, WORK_EVENTS, examine_here};
use crate::judge::Judge;
use crate::ordered::in_order;
use crate::report::{FirstBad, Report};

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

/// Judges a log, from where the judge stands. `items` come from the store, or end with what the store
/// could not read; `progress` is shown the judge again and again.
pub fn verify_ledger(
    mut items: impl Iterator<Item = Result<Item, FirstBad>> + Send,
    mut judge: Judge,
    mut progress: impl FnMut(&Judge),
) -> Report {
    let mut at_end = false;
    let next = || {
        let chunk = (!at_end).then(|| next_chunk(&mut items))?;
        at_end = chunk.end.is_some();
        Some(chunk)
    };
    let bad = in_order(next, examine_chunk, |chunk| {
        let judged = judge_chunk(&mut judge, chunk);
        progress(&judge);
        match judged {
            Ok(()) => ControlFlow::Continue(()),
            Err(bad) => ControlFlow::Break(bad),
        }
    });
    match bad {
        Some(bad) => judge.report(Some(bad)),
        None => judge.finish(),
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
    while chunk.items.len() < WORK_EVENTS {
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
    Event(Examined),
    Commit { size: TreeSize, chain: ChainHash, root: Hash, checkpoint: Bytes },
}

struct ExaminedChunk {
    items: Vec<ExaminedItem>,
    end: Option<Result<(), FirstBad>>,
}

fn examine_chunk(chunk: Chunk) -> ExaminedChunk {
    let event = |item: &Item| match item {
        Item::Event(event) => Some(event.clone()),
        Item::Commit { .. } => None,
    };
    let events = chunk.items.iter().filter_map(event).collect();
    let mut examined = examine_here(events).into_iter();
    let examined = |item| match item {
        Item::Event(_) => ExaminedItem::Event(examined.next().expect("one entry an event")),
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
            ExaminedItem::Event(examined) => judge.event(examined, |_, _| {})?,
            ExaminedItem::Commit { size, chain, root, checkpoint } => {
                judge.commit(size, chain, root, &checkpoint)?;
            }
        }
    }
    chunk.end.unwrap_or(Ok(()))
}
