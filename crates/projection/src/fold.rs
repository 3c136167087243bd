//! What a fold is.

use crate::draft::Draft;
use crate::entry::Entry;

/// A deterministic fold of the log into rows.
///
/// Rows may depend on the events and on nothing else: no clock, no randomness, no order of a hash
/// map. [`crate::determinism::check`] finds most folds that do.
pub trait Fold: Send + Sync + 'static {
    /// Its name: lowercase letters, digits and hyphens.
    fn name(&self) -> &str;

    /// Its version. Rows of another version are not gone on with: a new version is built from
    /// history.
    fn version(&self) -> u32;

    /// Which part of the rows the event touches. Events of different partitions are folded side by
    /// side and must not read or write the same row; those of one partition in the order of the
    /// log. `None`: the event may touch any row, and is folded alone.
    fn partition(&self, entry: &Entry) -> Option<Partition> {
        let _ = entry;
        None
    }

    /// What the event does to the rows.
    ///
    /// # Errors
    /// [`Poison`]: the fold cannot take this event. What it wrote for it is undone, and the event is
    /// put in quarantine. A panic comes to the same.
    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison>;
}

/// A part of a projection's rows that no other part reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u64);

impl Partition {
    /// The partition of a key, as of an agent or of a task.
    pub fn of(key: &[u8]) -> Self {
        // FNV-1a. Two keys in one partition are no error: they are folded in order.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(key.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    /// Which of so many workers folds it.
    pub(crate) fn worker(self, workers: usize) -> usize {
        // The upper half: the lower bits of the hash depend on few bits of the key.
        (self.0 >> 32) as usize % workers
    }
}

/// Why a fold cannot take an event. Made from any error by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison(String);

impl Poison {
    /// In words for people.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl<E: std::error::Error> From<E> for Poison {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
