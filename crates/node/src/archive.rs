//! The archive of the state: older generations as rows in `state/` of the data directory.
//!
//! A thread follows what is durable and writes each generation that the state closes, in one piece
//! that ends with how far it goes; states find it there when they fold the next event, and let go of
//! what they held in memory. Nothing on the way of an event to the disk waits for that, until
//! [`MAX_WAITING`] generations wait: then the thread takes the places of the intake, and callers are
//! slowed like those of any busy ledger.
//!
//! Rows are a hint that a fold can make again: those that are damaged, of another log or ahead of it
//! are wiped at the start, and the whole log is folded. They are never asked for what is younger than
//! the last generation that they hold.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tally_coordination::{Archive, Rows as Generation, State};
use tally_protocol::{Origin, Position, TreeSize};
use tally_store::{FileError, LogReader, Rows, RowsError, RowsId, RowsView, Step};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::history::{HistoryError, fold_on, parse};
use crate::node::{MAX_IN_FLIGHT, Snapshot};
use crate::pipeline::spawn;

/// Most generations that wait in memory to be written; beyond it appends wait for them.
pub const MAX_WAITING: usize = 4;

/// Pause before rows that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why the state of a log can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The rows can't be opened, or made anew.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The log can't be folded.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// The rows of a ledger's state.
#[derive(Debug, Clone)]
pub struct StateRows(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    rows: Arc<Rows>,
    dir: PathBuf,
    /// How far the rows went when they were opened.
    opened_at: AtomicU64,
    /// How far the rows go, and how they are then.
    written: Mutex<Written>,
    /// Set when a row could not be read: what is there is of no use.
    damaged: AtomicBool,
}

#[derive(Debug, Clone)]
struct Written {
    end: Position,
    view: RowsView,
}

/// The rows up to a generation.
#[derive(Debug)]
struct View {
    view: RowsView,
    shelf: Arc<Shelf>,
}

impl StateRows {
    /// Opens the rows of a log in `state/` of its data directory, and folds what they do not hold:
    /// no more than a few generations of `every` so many events, unless the rows were wiped.
    ///
    /// # Errors
    /// [`ArchiveError`]: not even new rows can be made, or the log can't be folded.
    pub fn open(
        data: &Path,
        log: &dyn LogReader,
        every: NonZeroU64,
    ) -> Result<(Self, State), ArchiveError> {
        let dir = data.join("state");
        let (rows, mut state) = match Self::usable(&dir, log, every)? {
            Some(found) => found,
            None => {
                wipe(&dir).map_err(FileError::at(Step::Remove, &dir)).map_err(RowsError::from)?;
                let rows = Self::open_rows(&dir, log.origin())?;
                let state = rows.resume(log.origin(), every).expect("new rows are whole");
                (rows, state)
            }
        };
        let (from, end) = (state.next_position(), Position::at_tip(log.tip().size));
        rows.0.opened_at.store(from.0, Ordering::Relaxed);
        while state.next_position() < end {
            let generation = state.next_position().0 / every + 1;
            let turn = generation.saturating_mul(every.get()).min(end.0);
            state = fold_on(log, state, TreeSize::new(turn))?;
            rows.write_all(&state)?;
        }
        tracing::info!(archived = %from, folded = end.0 - from.0, "state opened");
        Ok((rows, state))
    }

    /// Rows that are whole and of this log, with the state that they hold.
    fn usable(
        dir: &Path,
        log: &dyn LogReader,
        every: NonZeroU64,
    ) -> Result<Option<(Self, State)>, ArchiveError> {
        let rows = Self::open_rows(dir, log.origin())?;
        let Some(state) = rows.resume(log.origin(), every) else { return Ok(None) };
        let next = state.next_position();
        if next > Position::at_tip(log.tip().size) {
            tracing::warn!(%next, "the rows of the state are ahead of the log, and made again");
            return Ok(None);
        }
        if let Some(last) = next.0.checked_sub(1).map(Position) {
            let event = log.event(last).map_err(HistoryError::from)?;
            if state.position_of(&parse(&event)?.id()) != Some(last) {
                tracing::warn!(%next, "the rows of the state are of another log, and made again");
                return Ok(None);
            }
        }
        Ok(Some((rows, state)))
    }

    fn open_rows(dir: &Path, origin: &Origin) -> Result<Self, RowsError> {
        let name = format!("state of {origin}");
        let id = RowsId { name, version: Generation::VERSION, start: Position(0) };
        // Their cursor never moves: how far they go is one of them.
        let (rows, opened) = Rows::open(dir, id, TreeSize::ZERO)?;
        tracing::debug!(?opened, "rows of the state");
        let rows = Arc::new(rows);
        let written = Mutex::new(Written { end: Position(0), view: rows.view()? });
        let damaged = AtomicBool::new(false);
        let (dir, opened_at) = (dir.to_owned(), AtomicU64::new(0));
        Ok(Self(Arc::new(Shelf { rows, dir, opened_at, written, damaged })))
    }

    /// The state that the rows hold; `None` when they are damaged.
    fn resume(&self, origin: &Origin, every: NonZeroU64) -> Option<State> {
        let view = self.0.written().view;
        let archive = Arc::new(View { view, shelf: Arc::clone(&self.0) });
        let state = State::resume(origin.clone(), archive, every).ok()?;
        self.0.written.lock().expect("nobody panics while holding it").end = state.next_position();
        Some(state)
    }

    /// How far the rows went when they were opened: what the start did not fold.
    pub fn opened_at(&self) -> Position {
        Position(self.0.opened_at.load(Ordering::Relaxed))
    }

    /// How far the rows go.
    pub fn end(&self) -> Position {
        self.0.written().end
    }

    /// Writes all generations of a durable state that wait.
    ///
    /// # Errors
    /// [`RowsError`]: what is written is whole, and the rest waits.
    pub fn write_all(&self, durable: &State) -> Result<(), RowsError> {
        while let Some(generation) = durable.to_archive(self.0.written().end) {
            let end = generation.end();
            self.0.rows.ingest(generation.changes())?;
            let view = self.0.rows.view()?;
            *self.0.written.lock().expect("nobody panics while holding it") = Written { end, view };
            tracing::debug!(%end, "generation of the state written");
        }
        Ok(())
    }

    /// Writes generations as they become durable, until the ledger closes. `turned` tells where the last
    /// of them ends.
    pub(crate) fn follow(
        self,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        mut turned: watch::Receiver<Position>,
        places: Arc<Semaphore>,
    ) -> Following {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O needs nothing from the operating system");
        let thread = spawn("state archive", move || {
            runtime.block_on(async {
                loop {
                    let state = snapshots.borrow().state.clone();
                    let held = self.hold_back(&state, &places).await;
                    if let Err(error) = self.write_all(&state) {
                        tracing::error!(%error, "the state can't be archived; tried again");
                        tokio::time::sleep(RETRY).await;
                        if turned.has_changed().is_ok() {
                            turned.mark_changed();
                        }
                    }
                    drop(held);
                    tokio::select! {
                        changed = turned.changed() => if changed.is_err() {
                            // Nothing is appended any more; others may still read what is there.
                            let _told = (&mut stopped).await;
                            break;
                        },
                        _ = &mut stopped => break,
                    }
                }
            });
            self.0.close();
        });
        Following { stop, thread }
    }

    /// Takes the whole intake while too much waits; `None` while it does not, or when it is closed.
    async fn hold_back(
        &self,
        state: &State,
        places: &Arc<Semaphore>,
    ) -> Option<OwnedSemaphorePermit> {
        if state.waiting_generations() < MAX_WAITING {
            return None;
        }
        tracing::warn!("appends wait until the state is archived");
        let all = u32::try_from(MAX_IN_FLIGHT).expect("few");
        Arc::clone(places).acquire_many_owned(all).await.ok()
    }
}

/// The events of a generation, for whoever folds a long log once: so many are in memory, about a
/// gigabyte of objects at most, and a log that has fewer is never written.
pub const SCRATCH_GENERATION: NonZeroU64 = NonZeroU64::new(524_288).expect("not zero");

/// Older generations of a state that is folded once, in a directory that goes when this does.
#[derive(Debug)]
pub struct ScratchRows {
    rows: StateRows,
    _directory: TempDir,
}

impl ScratchRows {
    /// For a log from its beginning, in the system's directory for temporary files (`TMPDIR`); with its
    /// first state, of generations of `every` so many events.
    ///
    /// # Errors
    /// [`RowsError`]: no room, or no right, to make files there.
    pub fn new(origin: &Origin, every: NonZeroU64) -> Result<(Self, State), RowsError> {
        let made = tempfile::Builder::new().prefix("tally-state-").tempdir();
        let place = std::env::temp_dir();
        let _directory = made.map_err(FileError::at(Step::Create, &place))?;
        let rows = StateRows::open_rows(&_directory.path().join("state"), origin)?;
        let state = rows.resume(origin, every).expect("new rows are whole");
        Ok((Self { rows, _directory }, state))
    }

    /// Writes the generations that a state has closed, which it lets go of when it folds on.
    ///
    /// # Errors
    /// [`RowsError`]: they stay in memory.
    pub fn write(&self, state: &State) -> Result<(), RowsError> {
        self.rows.write_all(state)
    }
}

/// The thread that writes generations. It ends when this is dropped.
pub(crate) struct Following {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Following {
    /// Ends it, once nobody folds any more: the rows are closed then.
    pub(crate) fn join(self) {
        drop(self.stop);
        self.thread.join().expect("writing generations does not panic");
    }
}

impl Shelf {
    fn written(&self) -> Written {
        self.written.lock().expect("nobody panics while holding it").clone()
    }

    fn close(&self) {
        self.rows.close();
        if self.damaged.load(Ordering::Relaxed)
            && let Err(error) = wipe(&self.dir)
        {
            tracing::warn!(%error, "damaged rows of the state could not be removed");
        }
    }

    /// Nobody may go on with less than what the log says.
    fn stop(&self, error: &RowsError) -> ! {
        if !matches!(error, RowsError::Closed) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        panic!("the state can't be read: {error}; open the ledger again, and it is made anew");
    }
}

impl Archive for View {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.view.get(key).unwrap_or_else(|error| self.shelf.stop(&error))
    }

    fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_> {
        let rows = self.view.scan(prefix).unwrap_or_else(|error| self.shelf.stop(&error));
        Box::new(rows.map(|row| row.unwrap_or_else(|error| self.shelf.stop(&error))))
    }

    fn newer(&self, least: Position) -> Option<(Position, Arc<dyn Archive>)> {
        let Written { end, view } = {
            let written = self.shelf.written.lock().expect("nobody panics while holding it");
            (written.end >= least).then(|| written.clone())?
        };
        let shelf = Arc::clone(&self.shelf);
        Some((end, Arc::new(Self { view, shelf })))
    }
}

/// Removes rows; the lock beside them stays.
fn wipe(dir: &Path) -> io::Result<()> {
    for gone in [fs::remove_dir_all(dir), fs::remove_file(dir.with_extension("seal"))] {
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
