//! The provenance graph of a node: its records are rows on disk, of which a bounded part is at hand.
//!
//! Events are folded in memory; after some, the rows that they changed are kept in one batch with the
//! cursor, and only then is what is needed no more let go. Not with each batch: an agent or a capability
//! that many events touch would be written again for every few of them. What the graph is and how it
//! is written is `tally-provenance`'s business. Rows of another version are of no use: while a build of
//! this version is made, questions wait.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tally_projection::{Entry, Projection, ProjectionError};
use tally_protocol::{Position, TreeSize};
use tally_provenance::{CACHE_BYTES, GRAPH_VERSION, Graph, GraphFailure, GraphRows};
use tally_store::{FileError, Quarantined, Rows, RowsError, RowsId, Step};

use super::{Opened, Recipe, Serving};

/// What the provenance graph is called among the projections.
pub const GRAPH: &str = "graph";

/// Events that are folded before those who ask get their turn.
const TURN_EVENTS: usize = 256;

/// Events that are folded before what they changed is kept, unless there are no more for a moment.
const KEPT_EVENTS: u64 = 16_384;

/// Why the graph gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The node stopped before the graph had come that far.
    #[error("the ledger stopped while it was asked")]
    Stopped,
    /// What is kept of the graph can't be read. It is opened again at the next event.
    #[error(transparent)]
    Unreadable(#[from] Arc<GraphFailure>),
}

impl Recipe {
    /// The graph, and where it is served.
    pub(crate) fn graph() -> (Self, Serving<RwLock<Graph>>) {
        let serving = Serving::new();
        let place = serving.clone();
        let open = move |dir: &Path, version: u32, size: TreeSize| {
            let (place, opened) = (
                place.clone(),
                match version {
                    GRAPH_VERSION => Some(KeptGraph::open(dir, size)?),
                    _ => None,
                },
            );
            let graph = opened.as_ref().map(|kept| Arc::clone(&kept.graph)).unwrap_or_default();
            let rows = opened.as_ref().map(|kept| Arc::clone(&kept.rows));
            let projection = opened.map(|kept| Box::new(kept) as Box<dyn Projection>);
            let serve = Box::new(move |progress| place.switch(graph, progress));
            Ok(Opened { projection, rows, serve })
        };
        (Self { name: GRAPH.to_owned(), version: GRAPH_VERSION, open: Box::new(open) }, serving)
    }
}

/// The graph, shared with those who ask it, and its rows.
struct KeptGraph {
    rows: Arc<Rows>,
    graph: Arc<RwLock<Graph>>,
    /// How far the graph is; the rows may be behind.
    cursor: Position,
    /// Events behind what is kept that can't be folded.
    poison: Vec<Quarantined>,
    /// The graph is not what its events make of what is kept: nothing more may be kept of it.
    lost: bool,
}

/// What the graph reads.
struct Behind(Arc<Rows>);

impl GraphRows for Behind {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.get(key)?)
    }
}

fn over(rows: &Arc<Rows>) -> Result<Graph, ProjectionError> {
    let graph = Graph::over(Arc::new(Behind(Arc::clone(rows))), CACHE_BYTES);
    graph.map_err(|failure| ProjectionError::Elsewhere(Box::new(failure)))
}

impl KeptGraph {
    /// Opens the rows for a log of `size` events; what can't be used of them is wiped.
    fn open(dir: &Path, size: TreeSize) -> Result<Self, ProjectionError> {
        let open = || -> Result<Self, ProjectionError> {
            let id = RowsId { name: GRAPH.into(), version: GRAPH_VERSION, start: Position(0) };
            let (rows, state) = Rows::open(dir, id, size)?;
            tracing::info!(projection = GRAPH, ?state, "rows opened");
            let rows = Arc::new(rows);
            let graph = Arc::new(RwLock::new(over(&rows)?));
            let (cursor, poison) = (rows.cursor(), Vec::new());
            Ok(Self { rows, graph, cursor, poison, lost: false })
        };
        match open() {
            // What the engine takes for whole, the graph does not.
            Err(ProjectionError::Elsewhere(error)) => {
                tracing::warn!(projection = GRAPH, %error, "rows wiped");
                let wiped = std::fs::remove_dir_all(dir).map_err(FileError::at(Step::Remove, dir));
                wiped.map_err(RowsError::from)?;
                open()
            }
            opened => opened,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Graph> {
        self.graph.read().expect("panics are caught while it is held")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Graph> {
        self.graph.write().expect("panics are caught while it is held")
    }

    /// Folds events, but for those that are known to make the fold panic.
    fn fold(&self, entries: &[Entry]) -> Result<(), Quarantined> {
        for turn in entries.chunks(TURN_EVENTS) {
            let mut graph = self.write();
            for entry in turn {
                let position = entry.position();
                if self.poison.iter().any(|poison| poison.position == position) {
                    graph.pass(position);
                    continue;
                }
                // What is no envelope panics when it is asked for.
                let folded = catch_unwind(AssertUnwindSafe(|| {
                    graph.fold(position, entry.recorded_at(), entry.id(), entry.envelope());
                }));
                folded.map_err(|panic| {
                    let reason = format!("the fold panicked: {}", panic_text(&*panic));
                    Quarantined { position, reason }
                })?;
            }
        }
        Ok(())
    }

    /// Goes back to what is kept.
    fn go_back(&mut self) -> Result<(), ProjectionError> {
        let kept = over(&self.rows)?;
        *self.write() = kept;
        (self.cursor, self.lost) = (self.rows.cursor(), false);
        Ok(())
    }

    fn readable(&self) -> Result<(), ProjectionError> {
        match self.read().failure() {
            Some(failure) => Err(ProjectionError::Elsewhere(Box::new(Arc::clone(failure)))),
            None => Ok(()),
        }
    }
}

impl Projection for KeptGraph {
    fn cursor(&self) -> Position {
        self.cursor
    }

    fn take(&mut self, entries: &[Entry]) -> Result<u64, ProjectionError> {
        let Some(last) = entries.last() else { return Ok(0) };
        if self.lost {
            self.go_back()?;
            return Ok(0);
        }
        assert_eq!(entries[0].position(), self.cursor, "events follow the cursor");
        self.lost = true;
        let folded = self.fold(entries);
        self.readable()?;
        if let Err(poison) = folded {
            let position = poison.position;
            tracing::error!(projection = GRAPH, %position, poison.reason, "an event is in quarantine");
            self.poison.push(poison);
            // Without it, from there on.
            self.go_back()?;
            return Ok(0);
        }
        (self.cursor, self.lost) = (last.position().next(), false);
        if self.unkept() < KEPT_EVENTS { Ok(0) } else { self.settle() }
    }

    fn unkept(&self) -> u64 {
        self.cursor.0.saturating_sub(self.rows.cursor().0)
    }

    fn settle(&mut self) -> Result<u64, ProjectionError> {
        if self.lost {
            self.go_back()?;
            return Ok(0);
        }
        let kept = |poison: &mut Quarantined| poison.position < self.cursor;
        let mut quarantined: Vec<Quarantined> = self.poison.extract_if(.., kept).collect();
        quarantined.sort_by_key(|event| event.position);
        let kept = {
            // Those who ask go on meanwhile: what changed is not let go before it is kept.
            let graph = self.read();
            let changes = graph.fresh_rows().map(|(key, value)| (key, Some(value)));
            self.rows.commit(self.cursor, changes, &quarantined)
        };
        if let Err(error) = kept {
            self.poison.extend(quarantined);
            return Err(error.into());
        }
        self.write().take_over();
        Ok(quarantined.len() as u64)
    }

    fn recover(&mut self, size: TreeSize) -> Result<(), ProjectionError> {
        self.lost = true;
        let state = self.rows.reopen(size)?;
        tracing::info!(projection = GRAPH, ?state, "rows opened again");
        self.go_back()
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError> {
        Ok(self.rows.quarantined()?)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use tally_protocol::message::{Intent, IntentTerms};
    use tally_protocol::parts::Text;
    use tally_protocol::{
        AgentKey, AuthorSequence, ChainHash, Envelope, EnvelopeId, Event, Message, Origin, Time,
    };

    use super::*;

    /// Three intents, of which the second is no envelope, though it looks like one at a glance.
    fn entries() -> Vec<Entry> {
        let origin: Origin = "node.example/ledger".parse().expect("an origin");
        let key = AgentKey::from_seed(&[1; 32]);
        let mut chain = ChainHash::genesis(&origin);
        let entry = |nth: u64| {
            let terms = IntentTerms::new(Text::new(nth.to_string()).expect("a text"));
            let envelope = Envelope {
                origin: origin.clone(),
                author: key.agent(),
                author_sequence: AuthorSequence(nth),
                previous: Some(EnvelopeId([1; 32])).filter(|_| nth > 0),
                issued_at_us: Time(1),
                trace_id: None,
                causes: Vec::new(),
                message: Message::Intent(Intent::Open(terms)),
            };
            let mut signed = envelope.sign(&key).expect("well-formed");
            if nth == 1 {
                let mut payload = signed.payload.to_vec();
                let name = payload.windows(4).position(|bytes| bytes == b"node").expect("origin");
                payload[name] = 0xff; // in no text
                signed.payload = payload.into();
            }
            let event = Event::new(Position(nth), chain, Time(10), &signed);
            chain = event.chain();
            Entry::new(event).expect("an envelope at a glance")
        };
        (0..3).map(entry).collect()
    }

    #[test]
    fn an_event_that_makes_the_fold_panic_is_left_out_and_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let size = TreeSize::new(3);
        let mut kept = KeptGraph::open(&dir.path().join("graph"), size).expect("opens");
        let entries = entries();
        assert!(entries[1].decode().is_err());

        // The graph goes back to what is kept, and does without it from there on.
        assert_eq!(kept.take(&entries).expect("it goes back"), 0);
        assert_eq!((kept.cursor(), kept.read().next_position()), (Position(0), Position(0)));
        assert_eq!(kept.read().node_count(), 0);
        kept.take(&entries).expect("it is folded");
        assert_eq!(kept.cursor(), Position(3));
        assert_eq!(kept.settle().expect("it is kept"), 1);
        let listed = kept.quarantined().expect("a list");
        let [Quarantined { position, reason }] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!(*position, Position(1));
        assert!(reason.contains("the event at position 1 does not parse"), "{reason}");

        let mut expected = Graph::new();
        for entry in [&entries[0], &entries[2]] {
            expected.fold(entry.position(), entry.recorded_at(), entry.id(), entry.envelope());
        }
        assert_eq!(kept.read().edges(), expected.edges());
        assert_eq!(kept.read().next_position(), Position(3));
    }
}
