//! A projection whose rows are on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tally_protocol::{Position, TreeSize};
use tally_store::{Quarantined, Rows, RowsError, RowsId, RowsState};

use crate::changes::Changes;
use crate::draft::Draft;
use crate::entry::Entry;
use crate::fold::{Fold, Partition};

/// What a [`crate::Runner`] drives: a fold with its rows and its cursor, wherever it keeps them.
pub trait Projection: Send {
    /// The first event that is not folded yet.
    fn cursor(&self) -> Position;

    /// Folds events, of which the first stands at the cursor, and moves the cursor behind the last:
    /// all of it or, on an error, nothing. Returns how many were put in quarantine. (One that does not
    /// keep each batch at once may go back to what it kept instead.)
    ///
    /// # Errors
    /// [`ProjectionError`]: nothing has changed.
    fn take(&mut self, entries: &[Entry]) -> Result<u64, ProjectionError>;

    /// How many events are folded and not kept yet.
    fn unkept(&self) -> u64 {
        0
    }

    /// Keeps what is not kept yet: there is nothing to fold at the moment, or never again. Returns how
    /// many events of it were put in quarantine.
    ///
    /// # Errors
    /// [`ProjectionError`]: nothing has changed.
    fn settle(&mut self) -> Result<u64, ProjectionError> {
        Ok(0)
    }

    /// Mends what made [`Projection::take`] fail, for a log of `size` events. The cursor may go back.
    ///
    /// # Errors
    /// [`ProjectionError`]; try again later.
    fn recover(&mut self, size: TreeSize) -> Result<(), ProjectionError>;

    /// The events that could not be folded, in log order.
    ///
    /// # Errors
    /// [`ProjectionError`]: the list cannot be read.
    fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError>;
}

/// Why events were not folded.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The rows cannot be read or written.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Two partitions wrote one row: what comes out would depend on chance.
    #[error(
        "the fold is wrong: two partitions wrote the row {key} in one batch; make `partition` say \
         the same for both events, or nothing"
    )]
    Overlap {
        /// The row's key, in hexadecimal digits.
        key: String,
    },
    /// It keeps its state elsewhere, and that failed.
    #[error("{0}")]
    Elsewhere(Box<dyn std::error::Error + Send + Sync>),
}

/// Fewer events are folded by one thread: to share them out would cost more.
const WORTH_SHARING: usize = 256;

/// A fold with its rows on disk.
pub struct Stored<F> {
    fold: F,
    rows: Arc<Rows>,
    workers: usize,
}

impl<F: Fold> Stored<F> {
    /// Opens the rows of a fold in `dir`, for a log of `size` events; what cannot be used of them is
    /// wiped, and then the fold begins again. It begins at `start`: the events before are not folded.
    ///
    /// # Errors
    /// [`RowsError`]: open elsewhere, or not even new rows can be made.
    pub fn open(
        dir: &Path,
        fold: F,
        start: Position,
        size: TreeSize,
    ) -> Result<(Self, RowsState), RowsError> {
        let id = RowsId { name: fold.name().to_owned(), version: fold.version(), start };
        let (rows, state) = Rows::open(dir, id, size)?;
        Ok((Self { fold, rows: Arc::new(rows), workers: 1 }, state))
    }

    /// Folds partitions on so many threads.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        assert!(workers > 0, "somebody must do the work");
        Self { workers, ..self }
    }

    /// The rows, to be read while the fold goes on.
    pub fn rows(&self) -> &Arc<Rows> {
        &self.rows
    }

    fn fold_all(&self, entries: &[Entry]) -> Result<Folded, ProjectionError> {
        let mut folded = Folded::default();
        let mut rest = entries;
        while !rest.is_empty() {
            let parted = |entry| Some((self.fold.partition(entry)?, entry));
            let run: Vec<_> = match self.workers {
                1 => Vec::new(),
                _ => rest.iter().map_while(parted).collect(),
            };
            // Those that need to be alone, or are too few to share out.
            let alone = match (self.workers, run.len()) {
                (1, _) => rest.len(),
                (_, 0) => 1,
                (_, few) if few < WORTH_SHARING => few,
                (_, many) => {
                    self.together(&run, &mut folded)?;
                    rest = &rest[many..];
                    continue;
                }
            };
            let part = self.in_order(rest[..alone].iter(), &folded.changes)?;
            folded.add(part);
            rest = &rest[alone..];
        }
        Ok(folded)
    }

    /// Folds events that may be folded side by side.
    fn together(
        &self,
        entries: &[(Partition, &Entry)],
        folded: &mut Folded,
    ) -> Result<(), ProjectionError> {
        let before = &folded.changes;
        let parts = std::thread::scope(|scope| {
            let work = |worker| {
                let mine = entries.iter().filter(move |(p, _)| p.worker(self.workers) == worker);
                self.in_order(mine.map(|(_, entry)| *entry), before)
            };
            let started: Vec<_> =
                (1..self.workers).map(|worker| scope.spawn(move || work(worker))).collect();
            let mut parts = vec![work(0)];
            parts.extend(started.into_iter().map(|part| part.join().expect("panics are caught")));
            parts
        });
        // The barrier: all of them, before anything is kept.
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut written = Folded::default();
        for part in parts {
            if let Some(key) = part.changes.first_common(&written.changes) {
                let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                return Err(ProjectionError::Overlap { key });
            }
            written.add(part);
        }
        folded.add(written);
        Ok(())
    }

    fn in_order<'e>(
        &self,
        entries: impl Iterator<Item = &'e Entry>,
        before: &Changes,
    ) -> Result<Folded, RowsError> {
        let mut draft = Draft::new(&self.rows, before);
        let mut quarantined = Vec::new();
        for entry in entries {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.fold.fold(entry, &mut draft)));
            if let Some(failure) = draft.take_failure() {
                return Err(failure);
            }
            let reason = match outcome {
                Ok(Ok(())) => {
                    draft.keep();
                    continue;
                }
                Ok(Err(poison)) => poison.reason().to_owned(),
                Err(panic) => format!("the fold panicked: {}", panic_text(&*panic)),
            };
            draft.undo();
            quarantined.push(Quarantined { position: entry.position(), reason });
        }
        Ok(Folded { changes: draft.into_changes(), quarantined })
    }
}

#[derive(Default)]
struct Folded {
    changes: Changes,
    quarantined: Vec<Quarantined>,
}

impl Folded {
    fn add(&mut self, later: Self) {
        self.quarantined.extend(later.quarantined);
        self.changes.extend(later.changes);
    }
}

impl<F: Fold> Projection for Stored<F> {
    fn cursor(&self) -> Position {
        self.rows.cursor()
    }

    fn take(&mut self, entries: &[Entry]) -> Result<u64, ProjectionError> {
        let Some(last) = entries.last() else { return Ok(0) };
        assert_eq!(entries[0].position(), self.rows.cursor(), "events follow the cursor");
        let mut folded = self.fold_all(entries)?;
        folded.quarantined.sort_by_key(|event| event.position);
        for event in &folded.quarantined {
            let (projection, position) = (self.fold.name(), event.position);
            tracing::error!(projection, %position, event.reason, "an event is in quarantine");
        }
        let count = folded.quarantined.len() as u64;
        let changes = folded.changes.into_changes();
        self.rows.commit(last.position().next(), changes, &folded.quarantined)?;
        Ok(count)
    }

    fn recover(&mut self, size: TreeSize) -> Result<(), ProjectionError> {
        let state = self.rows.reopen(size)?;
        tracing::info!(projection = self.fold.name(), ?state, "rows opened again");
        Ok(())
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError> {
        Ok(self.rows.quarantined()?)
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
