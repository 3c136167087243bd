//! Reading ahead: while a batch is folded, another thread reads the one behind it.
//!
//! Where the fold asks for most envelopes, they are decoded there, too. A fold hears nothing of it:
//! it gets the same batches in the same order.

use tally_protocol::Position;
use tally_store::ReadLimit;

use crate::source::{Batch, Source, SourceError};
use crate::stored::{Projection, ProjectionError};

/// One batch ahead of a fold.
#[derive(Default)]
pub(crate) struct ReadAhead {
    next: Option<Batch>,
    /// What was folded last asked for most of its envelopes.
    decodes: bool,
}

impl ReadAhead {
    /// Events from a position on: what was read ahead, or else what is read now.
    pub(crate) fn read(
        &mut self,
        source: &dyn Source,
        from: Position,
        limit: ReadLimit,
    ) -> Result<Batch, SourceError> {
        match self.next.take().and_then(|batch| batch.starting_at(from)) {
            Some(batch) => Ok(batch),
            None => source.read(from, limit),
        }
    }

    /// Folds the first events of a batch. Where the log goes on for a whole batch behind them, that
    /// one is read in the meantime: near the head, a thread costs more than it saves.
    pub(crate) fn fold(
        &mut self,
        projection: &mut dyn Projection,
        source: &mut dyn Source,
        entries: &[crate::Entry],
        limit: ReadLimit,
    ) -> Result<u64, ProjectionError> {
        let Some(last) = entries.last() else { return Ok(0) };
        let from = last.position().next();
        let taken = if source.size().as_u64().saturating_sub(from.0) < limit.events as u64 {
            projection.take(entries)
        } else {
            let decodes = self.decodes;
            std::thread::scope(|scope| {
                // What cannot be read is read again when it is due, and then said.
                let ahead = scope.spawn(move || read(source, from, limit, decodes).ok());
                let taken = projection.take(entries);
                self.next = ahead.join().expect("reading does not panic");
                taken
            })
        };
        self.decodes = 2 * entries.iter().filter(|e| e.is_decoded()).count() > entries.len();
        taken
    }
}

fn read(
    source: &dyn Source,
    from: Position,
    limit: ReadLimit,
    decodes: bool,
) -> Result<Batch, SourceError> {
    let batch = source.read(from, limit)?;
    if decodes {
        for entry in batch.iter() {
            // Whoever asks for it hears why it cannot be.
            let _unreadable = entry.decode();
        }
    }
    Ok(batch)
}
