//! Reading ahead: far behind the head, all cores read what is folded next.
//!
//! They parse it, too; they decode envelopes, and hash them for their ids, where the fold asks for
//! most of them. A fold hears nothing of it: it gets the same events in the same order, on its own
//! thread. The others are there for one stretch of the log, and give way as that one does. Nothing
//! here waits for a log to grow.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use tally_protocol::Position;
use tally_store::ReadLimit;

use crate::entry::Entry;
use crate::source::{Asked, Batch, FOLD_LIMIT, Source, SourceError};

/// Most that a thread reads at once, and a fold gets at once.
const PIECE: ReadLimit = ReadLimit { events: 2_048, bytes: 2 << 20 };

/// Pieces for each core that are being read or wait to be folded: what bounds the memory.
const PIECES_A_CORE: usize = 2;

/// With fewer events to go, threads cost more than they save.
const FEW_EVENTS: u64 = 8_192;

/// Events for a fold.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// What was asked of most events that were handed out last.
    asked: Asked,
}

impl ReadAhead {
    /// Hands out the first events of a stretch if it is short, all of them if it is long; fewer if
    /// `fold` breaks.
    pub(crate) fn hand_out<T>(
        &mut self,
        source: &dyn Source,
        stretch: Range<Position>,
        mut fold: impl FnMut(&[Entry]) -> ControlFlow<T>,
    ) -> Result<ControlFlow<T>, SourceError> {
        let events = stretch.end.0.saturating_sub(stretch.start.0);
        if events < FEW_EVENTS {
            let batch = source.read(stretch.start, FOLD_LIMIT, Asked::default())?;
            return Ok(fold(up_to(stretch.end, &batch)));
        }
        let asked = &mut self.asked;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let crew = Crew::new(source, stretch, *asked, cores);
        thread::scope(|scope| {
            // However this thread leaves.
            let _ending = Ending(&crew);
            for reader in 0..cores {
                let thread = thread::Builder::new().name("read ahead".into());
                let crew = &crew;
                let started = thread.spawn_scoped(scope, move || crew.work(reader));
                started.expect("the operating system has a thread left");
            }
            crew.hand_out(|entries| {
                let flow = fold(entries);
                *asked = Asked::of(entries);
                (flow, *asked)
            })
        })
    }
}

/// The events of a batch before a position.
fn up_to(end: Position, batch: &Batch) -> &[Entry] {
    let first = batch.first().map_or(end, Entry::position);
    let room = usize::try_from(end.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
    &batch[..batch.len().min(room)]
}

/// Threads that read one stretch of the log.
struct Crew<'s> {
    source: &'s dyn Source,
    stretch: Range<Position>,
    /// Pieces that may be under way.
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The first event that nobody reads yet.
    next: Position,
    /// Events of the next piece.
    events: usize,
    /// Pieces that are being read, or are read and not folded.
    under_way: usize,
    /// What was read, by where it begins.
    read: BTreeMap<Position, Piece>,
    /// Folded, for each thread that reads: memory is given back most cheaply where it was taken.
    folded: Vec<Vec<Batch>>,
    asked: Asked,
    over: bool,
}

/// Part of a stretch.
struct Piece {
    end: Position,
    /// The thread that read it.
    reader: usize,
    /// Its first events, or why there are none; what a panic left is for the thread that folds.
    read: thread::Result<Result<Batch, SourceError>>,
}

/// Sends the threads home.
struct Ending<'c, 's>(&'c Crew<'s>);

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}

impl<'s> Crew<'s> {
    fn new(source: &'s dyn Source, stretch: Range<Position>, asked: Asked, cores: usize) -> Self {
        let state = State {
            next: stretch.start,
            events: PIECE.events,
            under_way: 0,
            read: BTreeMap::new(),
            folded: vec![Vec::new(); cores],
            asked,
            over: false,
        };
        let room = PIECES_A_CORE * cores;
        Self { source, stretch, room, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn wait(&self, on: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.changed.wait_while(self.state(), |state| on(state));
        state.expect("nobody panics while holding it")
    }

    /// Reads piece by piece while there is room.
    fn work(&self, reader: usize) {
        while let Some((piece, asked)) = self.next_piece(reader) {
            let read = || self.source.read(piece.start, limit(&piece), asked);
            let read = catch_unwind(AssertUnwindSafe(read));
            let Range { start, end } = piece;
            self.state().read.insert(start, Piece { end, reader, read });
            self.changed.notify_all();
        }
    }

    fn next_piece(&self, reader: usize) -> Option<(Range<Position>, Asked)> {
        let is_full = |state: &State| !state.over && state.under_way == self.room;
        let mut state = self.wait(is_full);
        if state.over || state.next >= self.stretch.end {
            return None;
        }
        let start = state.next;
        let end = Position(start.0.saturating_add(state.events as u64)).min(self.stretch.end);
        state.next = end;
        state.under_way += 1;
        let (folded, asked) = (std::mem::take(&mut state.folded[reader]), state.asked);
        drop(state);
        drop(folded);
        Some((start..end, asked))
    }

    /// Hands out the stretch, in order. `fold` says what was asked for.
    fn hand_out<T>(
        &self,
        mut fold: impl FnMut(&[Entry]) -> (ControlFlow<T>, Asked),
    ) -> Result<ControlFlow<T>, SourceError> {
        let mut at = self.stretch.start;
        while at < self.stretch.end {
            let Piece { end, reader, read } = self.due(at);
            let mut batch = read.unwrap_or_else(|panic| resume_unwind(panic))?;
            loop {
                let entries = up_to(end, &batch);
                let Some(last) = entries.last() else { return Ok(ControlFlow::Continue(())) };
                at = last.position().next();
                let (flow, asked) = fold(entries);
                if flow.is_break() {
                    return Ok(flow);
                }
                self.take_back(batch, reader, asked);
                if at >= end {
                    break;
                }
                // Fewer came than were asked for: the limit is one of bytes, too.
                batch = self.source.read(at, limit(&(at..end)), asked)?;
            }
            self.state().under_way -= 1;
            self.changed.notify_all();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The piece that begins at a position, once it is read.
    fn due(&self, at: Position) -> Piece {
        let mut state = self.wait(|state| !state.read.contains_key(&at));
        let piece = state.read.remove(&at).expect("waited for");
        // As many at once as fit.
        if let Ok(Ok(batch)) = &piece.read {
            let asked = piece.end.0 - at.0;
            state.events = match batch.len() {
                few if (few as u64) < asked => few.max(1),
                _ => PIECE.events.min(2 * state.events),
            };
        }
        piece
    }

    fn take_back(&self, batch: Batch, reader: usize, asked: Asked) {
        let mut state = self.state();
        state.folded[reader].push(batch);
        state.asked = asked;
    }
}

/// All of a piece, within what a thread reads at once.
fn limit(piece: &Range<Position>) -> ReadLimit {
    let events = usize::try_from(piece.end.0 - piece.start.0).unwrap_or(usize::MAX);
    ReadLimit { events: events.min(PIECE.events), ..PIECE }
}
