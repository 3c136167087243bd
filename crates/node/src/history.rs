//! Folding what the log holds: for a start, and for reading a ledger that no server runs.

use std::sync::mpsc::{SyncSender, sync_channel};

use tally_coordination::{Refusal, State, admit};
use tally_protocol::{
    AsOf, Event, Malformed, ParsedEnvelope, Position, TimeSearch, TimeStep, TreeSize,
};
use tally_provenance::Graph;
use tally_store::{LogReader, ReadError, ReadLimit};

/// How much of the log is read at once.
pub const READ_LIMIT: ReadLimit = ReadLimit { events: 1_024, bytes: 1 << 20 };

/// Batches that are parsed before they are folded.
const READ_AHEAD: usize = 2;

/// Why history can't be folded.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is no envelope.
    #[error("the event at position {position} does not parse: {cause}; run `tally verify`")]
    Malformed {
        /// Where.
        position: Position,
        /// Why.
        cause: Malformed,
    },
    /// The log holds what the rules refuse.
    #[error("the rules refuse the event at position {position}: {cause}; run `tally verify`")]
    Refused {
        /// Where.
        position: Position,
        /// Why.
        cause: Box<Refusal>,
    },
}

/// Reads the log from a position to its end, event by event.
///
/// # Errors
/// [`HistoryError`] from reading, parsing or from `each`; the rest is not read then.
pub fn replay(
    reader: &dyn LogReader,
    from: Position,
    mut each: impl FnMut(&Event, &ParsedEnvelope) -> Result<(), HistoryError>,
) -> Result<Position, HistoryError> {
    let mut next = from;
    while next < Position::at_tip(reader.tip().size) {
        next = replay_to(reader, next, reader.tip().size, &mut each)?;
    }
    Ok(next)
}

/// Events that were read, with their envelopes; behind one that was not, there are none.
type ReadAhead = Vec<Result<(Event, ParsedEnvelope), HistoryError>>;

/// Reads the log from a position to a size. Another thread reads and parses ahead of `each`.
fn replay_to(
    reader: &dyn LogReader,
    from: Position,
    size: TreeSize,
    each: &mut dyn FnMut(&Event, &ParsedEnvelope) -> Result<(), HistoryError>,
) -> Result<Position, HistoryError> {
    let end = Position::at_tip(size);
    std::thread::scope(|scope| {
        let (to, batches) = sync_channel(READ_AHEAD);
        scope.spawn(move || read_ahead(reader, from, end, &to));
        let mut next = from;
        for batch in batches {
            for found in batch {
                let (event, envelope) = found?;
                each(&event, &envelope)?;
                next = event.position().next();
            }
        }
        Ok(next)
    })
}

/// Ends when nobody wants more.
fn read_ahead(reader: &dyn LogReader, from: Position, end: Position, to: &SyncSender<ReadAhead>) {
    let mut next = from;
    while next < end {
        let room = usize::try_from(end.0 - next.0).unwrap_or(usize::MAX);
        let limit = ReadLimit { events: READ_LIMIT.events.min(room), ..READ_LIMIT };
        let parsed = |event: Event| parse(&event).map(|envelope| (event, envelope));
        let batch: ReadAhead = match reader.read(next, limit) {
            Ok(events) => events.into_iter().map(parsed).collect(),
            Err(error) => vec![Err(error.into())],
        };
        next = match batch.last() {
            Some(Ok((event, _))) => event.position().next(),
            Some(Err(_)) | None => end,
        };
        if to.send(batch).is_err() {
            return;
        }
    }
}

/// Parses the envelope of an event of the log.
///
/// # Errors
/// [`HistoryError::Malformed`] with the position.
pub fn parse(event: &Event) -> Result<ParsedEnvelope, HistoryError> {
    let position = event.position();
    event.signed().parse().map_err(|cause| HistoryError::Malformed { position, cause })
}

/// How many events there were at a moment; a size is taken at its word.
///
/// # Errors
/// [`ReadError`] when the log can't be read.
pub fn size_as_of(reader: &dyn LogReader, as_of: AsOf) -> Result<TreeSize, ReadError> {
    let mut search = match as_of {
        AsOf::Size(size) => return Ok(size),
        AsOf::Time(time) => TimeSearch::new(time, reader.tip().size),
    };
    loop {
        match search.step() {
            TimeStep::Ask(position) => search.decide(reader.event(position)?.recorded_at()),
            TimeStep::Found(size) => return Ok(size),
        }
    }
}

/// The state that the whole log comes to; every rule runs again on the way.
///
/// # Errors
/// [`HistoryError`] names the first position that can't be folded.
pub fn fold_state(reader: &dyn LogReader) -> Result<State, HistoryError> {
    fold_on(reader, State::new(reader.origin().clone()), reader.tip().size)
}

/// The state that the first so many events come to, from one that they had come to before.
///
/// # Errors
/// [`HistoryError`] names the first position that can't be folded.
pub fn fold_on(
    reader: &dyn LogReader,
    mut state: State,
    size: TreeSize,
) -> Result<State, HistoryError> {
    replay_to(reader, state.next_position(), size, &mut |event, envelope| {
        let (position, at) = (event.position(), event.recorded_at());
        let refused = |cause| HistoryError::Refused { position, cause: Box::new(cause) };
        let change = admit(&state, envelope.id(), envelope.envelope(), at).map_err(refused)?;
        state.fold(change);
        Ok(())
    })?;
    Ok(state)
}

/// The provenance graph of the whole log.
///
/// # Errors
/// [`HistoryError`] names the first position that can't be folded.
pub fn fold_graph(reader: &dyn LogReader) -> Result<Graph, HistoryError> {
    let mut graph = Graph::new();
    replay(reader, Position(0), |event, envelope| {
        graph.fold(event.position(), event.recorded_at(), envelope.id(), envelope.envelope());
        Ok(())
    })?;
    Ok(graph)
}
