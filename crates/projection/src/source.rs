//! Where events come from.

use std::sync::Arc;
use std::time::Duration;

use tally_protocol::{Position, TreeSize};
use tally_store::{LogReader, ReadError, ReadLimit};

use crate::entry::{Entry, Unreadable};

/// How much is read and folded at once.
pub const FOLD_LIMIT: ReadLimit = ReadLimit { events: 4_096, bytes: 4 << 20 };

/// What a fold is likely to ask of each event: it is made ready when the event is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// [`Entry::envelope`].
    pub envelopes: bool,
    /// [`Entry::id`].
    pub ids: bool,
}

impl Asked {
    /// What was asked of most of these, or made ready.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let most = |is_asked: fn(&Entry) -> bool| {
            2 * entries.iter().filter(|entry| is_asked(entry)).count() > entries.len()
        };
        Self { envelopes: most(Entry::is_decoded), ids: most(Entry::is_hashed) }
    }
}

/// Why events cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is no envelope.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// There is more to read.
    More,
    /// Nothing yet.
    Nothing,
    /// Nothing more will come.
    Ended,
}

/// Consecutive events. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Batch {
    entries: Arc<Vec<Entry>>,
    first: usize,
}

impl Batch {
    /// Reads and parses events from a position on.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(
        log: &dyn LogReader,
        from: Position,
        limit: ReadLimit,
        asked: Asked,
    ) -> Result<Self, SourceError> {
        let events = log.read(from, limit)?;
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            entries.push(Entry::ready(event, asked)?);
        }
        Ok(entries.into())
    }

    /// Its events from a position on, if that one is among them.
    pub fn starting_at(&self, position: Position) -> Option<Self> {
        let behind = position.0.checked_sub(self.entries.first()?.position().0)?;
        let first = usize::try_from(behind).ok().filter(|&first| first < self.entries.len())?;
        Some(Self { entries: Arc::clone(&self.entries), first })
    }
}

impl From<Vec<Entry>> for Batch {
    /// Entries that stand one behind the other.
    fn from(entries: Vec<Entry>) -> Self {
        Self { entries: Arc::new(entries), first: 0 }
    }
}

impl std::ops::Deref for Batch {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.entries[self.first..]
    }
}

/// A log to follow, which several threads may read at once.
pub trait Source: Send + Sync {
    /// How many events there are.
    fn size(&self) -> TreeSize;

    /// Events from a position on: at least one if there is one, and perhaps more than the limit
    /// allows, where they were read before. What is asked of them need not be ready.
    ///
    /// # Errors
    /// [`SourceError`].
    fn read(&self, from: Position, limit: ReadLimit, asked: Asked) -> Result<Batch, SourceError>;

    /// Waits until there are more than `size` events, but not longer than `most`.
    fn wait(&mut self, size: TreeSize, most: Duration) -> Waited;
}

/// A log as it is now: who has read it has come to the end.
pub struct LogSource<'l>(pub &'l dyn LogReader);

impl Source for LogSource<'_> {
    fn size(&self) -> TreeSize {
        self.0.tip().size
    }

    fn read(&self, from: Position, limit: ReadLimit, asked: Asked) -> Result<Batch, SourceError> {
        Batch::read(self.0, from, limit, asked)
    }

    fn wait(&mut self, size: TreeSize, _: Duration) -> Waited {
        if self.size() > size { Waited::More } else { Waited::Ended }
    }
}
