//! The node's log, as projections follow it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tally_projection::{Asked, Batch, Source, SourceError, Waited};
use tally_protocol::{Position, TreeSize};
use tally_store::{LogReader, ReadLimit};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use crate::node::Snapshot;

/// How near the head a reader has to be to share what it parses: further back, nobody else is.
const SHARED_EVENTS: u64 = 4_096;

/// Batches that are kept for others.
const SHARED_BATCHES: usize = 8;

/// A log that grows, read by several: what is new is parsed once.
#[derive(Clone)]
pub(super) struct SharedLog {
    reader: Arc<dyn LogReader>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    recent: Arc<Mutex<VecDeque<Batch>>>,
}

impl SharedLog {
    pub(super) fn new(
        reader: Arc<dyn LogReader>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self { reader, snapshots, recent: Arc::default() }
    }

    pub(super) fn size(&self) -> TreeSize {
        self.reader.tip().size
    }

    /// A view of the log for one follower.
    pub(super) fn follow(&self) -> Follow {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O needs nothing from the operating system");
        Follow { log: self.clone(), runtime }
    }
}

pub(super) struct Follow {
    log: SharedLog,
    runtime: Runtime,
}

impl Source for Follow {
    fn size(&self) -> TreeSize {
        self.log.size()
    }

    fn read(&self, from: Position, limit: ReadLimit, asked: Asked) -> Result<Batch, SourceError> {
        if self.size().as_u64() - from.0 > SHARED_EVENTS {
            return Batch::read(&*self.log.reader, from, limit, asked);
        }
        // Held while it reads: who comes for the same events at the same time waits for them.
        let mut recent = self.log.recent.lock().expect("nobody panics while holding it");
        if let Some(known) = recent.iter().rev().find_map(|batch| batch.starting_at(from)) {
            return Ok(known);
        }
        // Others may ask for less: each does its own share.
        let batch = Batch::read(&*self.log.reader, from, limit, Asked::default())?;
        if recent.len() == SHARED_BATCHES {
            recent.pop_front();
        }
        recent.push_back(batch.clone());
        Ok(batch)
    }

    fn wait(&mut self, size: TreeSize, most: Duration) -> Waited {
        let Self { log, runtime } = self;
        // The sender is dropped when the pipeline has ended: what came last may be to read yet.
        let changed = log.snapshots.changed();
        let waited = runtime.block_on(async { tokio::time::timeout(most, changed).await });
        match waited {
            _ if log.size() > size => Waited::More,
            Ok(Err(_)) => Waited::Ended,
            Ok(Ok(())) | Err(_) => Waited::Nothing,
        }
    }
}
