//! Folds one history in many ways and demands one result.
//!
//! What it finds: folds that depend on a clock, on chance, on the order of a hash map, on memory
//! that a restart loses, or on rows of another partition. What it can't find: a fold that is wrong
//! in the same way each time.

use std::fmt;
use std::path::Path;

use tally_protocol::{Digest, Position, TreeSize};
use tally_store::RowsError;

use crate::entry::Entry;
use crate::fold::Fold;
use crate::stored::{Projection, ProjectionError, Stored};

/// A way to fold a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Events in a batch; the last has fewer.
    pub batch: usize,
    /// Threads.
    pub workers: usize,
    /// The rows are closed and opened again, with a new fold, after so many batches.
    pub reopened_after: Option<usize>,
}

/// The ways that are tried: the first is the one that others are compared with.
const WAYS: [Way; 7] = [
    Way { batch: 1, workers: 1, reopened_after: None },
    Way { batch: 1, workers: 1, reopened_after: None },
    Way { batch: usize::MAX, workers: 1, reopened_after: None },
    Way { batch: usize::MAX, workers: 2, reopened_after: None },
    Way { batch: usize::MAX, workers: 7, reopened_after: None },
    Way { batch: 977, workers: 3, reopened_after: Some(1) },
    Way { batch: 7, workers: 1, reopened_after: Some(5) },
];

/// Why a fold cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Two ways to fold the same events gave other rows.
    #[error("folded {one}, and folded {other}, the same events give other rows; first at {key}")]
    Differs {
        /// One way.
        one: Way,
        /// Another.
        other: Way,
        /// Key of the first row that differs, in hexadecimal digits.
        key: String,
    },
    /// It could not be folded in some way.
    #[error(transparent)]
    Failed(#[from] ProjectionError),
    /// No directory for the rows.
    #[error(transparent)]
    Directory(#[from] std::io::Error),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batch {
            usize::MAX => write!(f, "in one batch")?,
            1 => write!(f, "one by one")?,
            batch => write!(f, "in batches of {batch}")?,
        }
        if self.workers > 1 {
            write!(f, " on {} threads", self.workers)?;
        }
        match self.reopened_after {
            Some(batches) => write!(f, ", opened again after every {batches}"),
            None => Ok(()),
        }
    }
}

/// Folds `entries`, which begin at position 0, in many ways: one by one and in batches, on one
/// thread and on several, with restarts. Returns the digest of the rows ([`tally_store::Rows::digest`]).
///
/// # Errors
/// [`CheckError::Differs`] names the ways and the row.
pub fn check<F: Fold>(new: impl Fn() -> F, entries: &[Entry]) -> Result<Digest, CheckError> {
    let dir = tempfile::tempdir()?;
    let mut first: Option<Outcome> = None;
    for (nth, way) in WAYS.into_iter().enumerate() {
        let outcome = run(&dir.path().join(nth.to_string()), &new, entries, way)?;
        match &first {
            None => first = Some(outcome),
            Some(expected) if expected.rows != outcome.rows => {
                let key = first_difference(&expected.rows, &outcome.rows);
                return Err(CheckError::Differs { one: WAYS[0], other: way, key });
            }
            Some(_) => {}
        }
    }
    Ok(first.expect("there are ways").digest)
}

type RowsOf = Vec<(Vec<u8>, Vec<u8>)>;

struct Outcome {
    rows: RowsOf,
    digest: Digest,
}

fn run<F: Fold>(
    dir: &Path,
    new: &impl Fn() -> F,
    entries: &[Entry],
    way: Way,
) -> Result<Outcome, ProjectionError> {
    let size = TreeSize::new(entries.len() as u64);
    let open = || Stored::open(dir, new(), Position(0), size).map(|(p, _)| p.workers(way.workers));
    let mut projection = open()?;
    for (nth, batch) in entries.chunks(way.batch).enumerate() {
        if way.reopened_after.is_some_and(|after| nth > 0 && nth % after == 0) {
            drop(projection);
            projection = open()?;
        }
        projection.take(batch)?;
    }
    let mut rows = RowsOf::new();
    projection.rows().scan(&[], |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok::<_, RowsError>(())
    })?;
    // What is in quarantine is a result too.
    for event in projection.rows().quarantined()? {
        rows.push((event.position.0.to_be_bytes().to_vec(), event.reason.into_bytes()));
    }
    let (digest, _) = projection.rows().digest()?;
    Ok(Outcome { rows, digest })
}

fn first_difference(one: &RowsOf, other: &RowsOf) -> String {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let row = one.get(same).or(other.get(same)).expect("they differ");
    row.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
