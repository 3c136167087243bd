//! Folds that follow the log at their own pace: the provenance graph and the rows.
//!
//! One thread reads and parses each event once and hands it to every fold that has not seen it.
//! Catching up and following live are the same path. The hot path of appends does not wait for it.

use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tally_protocol::{Event, ParsedEnvelope, Position};
use tally_provenance::Graph;
use tally_store::{LogReader, Row, Rows};
use tokio::sync::watch;

use crate::history::{HistoryError, READ_LIMIT, parse_all};
use crate::node::Snapshot;
use crate::pipeline::spawn;

/// How long rows that failed are left alone.
const ROWS_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Followers {
    thread: JoinHandle<()>,
}

impl Followers {
    /// Starts following; the receiver tells how far the graph is.
    pub(crate) fn start(
        reader: Arc<dyn LogReader>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        graph: Arc<RwLock<Graph>>,
        rows: Arc<Rows>,
    ) -> (Self, watch::Receiver<Position>) {
        let (followed_to, followed) = watch::channel(Position(0));
        let rows_failed = None;
        let follower =
            Follower { reader, snapshots, graph, rows, rows_failed, followed: followed_to };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without I/O needs nothing from the operating system");
        let thread = spawn("follower", move || runtime.block_on(follower.run()));
        (Self { thread }, followed)
    }

    pub(crate) fn join(self) {
        self.thread.join().expect("the follower panics only on a broken invariant");
    }
}

struct Follower {
    reader: Arc<dyn LogReader>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    graph: Arc<RwLock<Graph>>,
    rows: Arc<Rows>,
    /// When the rows last failed, until they have caught up.
    rows_failed: Option<Instant>,
    followed: watch::Sender<Position>,
}

impl Follower {
    async fn run(mut self) {
        let mut next = Position(0);
        loop {
            match self.catch_up(next) {
                Ok(reached) => next = reached,
                Err(error) => {
                    tracing::error!(%error, position = %next, "projections stopped following");
                    return;
                }
            }
            // The sender is dropped when the pipeline has ended: what came last was just folded.
            let ended = self.snapshots.changed().await.is_err();
            if ended && next == Position::at_tip(self.reader.tip().size) {
                return;
            }
        }
    }

    fn catch_up(&mut self, from: Position) -> Result<Position, HistoryError> {
        let mut next = from;
        while next < Position::at_tip(self.reader.tip().size) {
            let batch = parse_all(self.reader.read(next, READ_LIMIT)?)?;
            next = Position(next.0 + batch.len() as u64);
            self.fold_graph(&batch);
            if self.rows_failed.is_none() {
                self.fold_rows(&batch);
            }
            self.followed.send_replace(next);
        }
        if self.rows_failed.is_some_and(|failed| failed.elapsed() >= ROWS_RETRY) {
            self.heal_rows()?;
        }
        Ok(next)
    }

    /// Opens rows that failed again, and feeds them what they missed.
    fn heal_rows(&mut self) -> Result<(), HistoryError> {
        let size = self.reader.tip().size;
        match self.rows.reopen(size) {
            Ok(state) => tracing::info!(?state, "rows opened again"),
            Err(error) => {
                self.rows_failed = Some(Instant::now());
                tracing::warn!(%error, "rows cannot be opened again yet");
                return Ok(());
            }
        }
        self.rows_failed = None;
        while self.rows_failed.is_none() && self.rows.cursor() < Position::at_tip(size) {
            let batch = parse_all(self.reader.read(self.rows.cursor(), READ_LIMIT)?)?;
            self.fold_rows(&batch);
        }
        Ok(())
    }

    fn fold_graph(&self, batch: &[(Event, ParsedEnvelope)]) {
        let mut graph = self.graph.write().expect("folding never panics");
        for (event, envelope) in batch {
            let (position, at) = (event.position(), event.recorded_at());
            graph.fold(position, at, envelope.id(), envelope.envelope());
        }
    }

    fn fold_rows(&mut self, batch: &[(Event, ParsedEnvelope)]) {
        let unseen: Vec<Row> = batch
            .iter()
            .filter(|(event, _)| event.position() >= self.rows.cursor())
            .map(|(event, envelope)| Row {
                envelope: envelope.id(),
                author: envelope.envelope().author,
                sequence: envelope.envelope().author_sequence,
                position: event.position(),
            })
            .collect();
        // Rows can be rebuilt, so a failure costs look-ups, not the ledger.
        if let Err(error) = self.rows.index(&unseen) {
            tracing::error!(%error, "rows could not be written; they will be opened again");
            self.rows_failed = Some(Instant::now());
        }
    }
}
