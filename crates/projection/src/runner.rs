//! Drives a projection along a log, on a thread of its own.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tally_protocol::{Position, TreeSize};
use tally_store::LogReader;

use crate::ahead::ReadAhead;
use crate::entry::Entry;
use crate::source::{LogSource, Source, SourceError, Waited};
use crate::stored::{Projection, ProjectionError};

/// How long a projection that failed is left alone before it is tried again.
pub const RETRY: Duration = Duration::from_secs(1);

/// Longest wait for events between two looks at what the runner is told.
const TICK: Duration = Duration::from_millis(100);

/// Longest that a projection at the head waits for more events before it folds the few that there
/// are: small batches cost several times as much an event. Nobody who asks waits for that: see
/// [`Runner::hurry`].
const GATHER: Duration = Duration::from_millis(500);

/// Time between two looks at how many they are.
const GLANCE: Duration = Duration::from_millis(25);

/// So many events are no longer few: whoever asks then waits for them.
const FEW_EVENTS: u64 = 2_048;

/// The rate is measured over at least this time.
const RATE_TIME: Duration = Duration::from_secs(1);

/// What a projection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Behind the log, and folding.
    CatchingUp,
    /// At the head.
    Live,
    /// It failed, and is tried again every [`RETRY`].
    Stalled,
    /// Held at a position.
    Held,
    /// It runs no more: cancelled, or the log has ended.
    Stopped,
}

impl Stage {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }
}

/// How a projection is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it is at.
    pub stage: Stage,
    /// The first event that is not folded yet.
    pub cursor: Position,
    /// How many events there are.
    pub size: TreeSize,
    /// Events a second, lately; 0 when it has nothing to do.
    pub rate: f64,
    /// Events in quarantine.
    pub quarantined: u64,
    /// What stands in its way, or the last that did.
    pub last_error: Option<String>,
    /// Since when the cursor has not moved.
    pub unmoved_since: Instant,
}

impl Status {
    /// How many events it is behind the log.
    pub fn lag(&self) -> u64 {
        self.size.as_u64().saturating_sub(self.cursor.0)
    }
}

/// The projection was cancelled, or its log ended, before it came that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the projection was stopped before it came that far")]
pub struct Cancelled;

/// Why a projection does not go on.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The events can't be folded.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
}

/// Folds a log as far as it goes now, without a thread. `reached` hears of every new cursor.
///
/// # Errors
/// [`FoldError`]; what was folded before is kept.
pub fn catch_up(
    projection: &mut dyn Projection,
    log: &dyn LogReader,
    mut reached: impl FnMut(Position),
) -> Result<(), FoldError> {
    let end = Position::at_tip(log.tip().size);
    let (source, mut ahead) = (LogSource(log), ReadAhead::default());
    while projection.cursor() < end {
        let stretch = projection.cursor()..end;
        let handed = ahead.hand_out(&source, stretch, |entries| {
            if let Err(error) = projection.take(entries) {
                return ControlFlow::Break(Err(error.into()));
            }
            reached(projection.cursor());
            go_on_behind(entries, projection)
        })?;
        if let ControlFlow::Break(Err(error)) = handed {
            return Err(error);
        }
    }
    projection.settle()?;
    Ok(())
}

/// Breaks when the projection is to get other events than those that follow what it took.
fn go_on_behind(
    entries: &[Entry],
    projection: &dyn Projection,
) -> ControlFlow<Result<(), FoldError>> {
    match entries.last() {
        Some(last) if projection.cursor() == last.position().next() => ControlFlow::Continue(()),
        _ => ControlFlow::Break(Ok(())),
    }
}

/// A projection under way. Dropping it cancels it, and waits.
pub struct Runner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    status: Status,
    cancelled: bool,
    /// It goes no further than this.
    hold: Option<Position>,
    /// Somebody waits until it is here.
    wanted: Position,
    /// It is at events, or has some that are not kept, and has not looked at the above since.
    folds: bool,
}

impl Runner {
    /// Starts to drive a projection. `moved` hears of every new cursor, on the runner's thread.
    /// `prepare` is run first on that thread, as to make it give way to others.
    pub fn start(
        name: &str,
        projection: Box<dyn Projection>,
        source: Box<dyn Source>,
        prepare: impl FnOnce() + Send + 'static,
        moved: impl FnMut(&Status) + Send + 'static,
    ) -> Self {
        let status = Status {
            stage: Stage::CatchingUp,
            cursor: projection.cursor(),
            size: source.size(),
            rate: 0.0,
            quarantined: projection.quarantined().map_or(0, |events| events.len() as u64),
            last_error: None,
            unmoved_since: Instant::now(),
        };
        let wanted = status.cursor;
        let inner = Inner { status, cancelled: false, hold: None, wanted, folds: true };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() });
        let name = name.to_owned();
        let (thread, pace) = (format!("fold {name}"), Pace::new(projection.cursor()));
        let fold = Folding { name, shared: Arc::clone(&shared), projection, pace, moved };
        let work = Work { source, ahead: ReadAhead::default(), fold };
        let run = move || {
            prepare();
            work.run();
        };
        let thread = std::thread::Builder::new()
            .name(thread)
            .spawn(run)
            .expect("the operating system has a thread left");
        Self { shared, thread: Mutex::new(Some(thread)) }
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.lock().status.clone()
    }

    /// Waits until everything before a position is folded.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn wait_for(&self, position: Position) -> Result<(), Cancelled> {
        self.hurry(position);
        self.shared.wait(|inner| inner.status.cursor >= position)
    }

    /// The same, but not longer than until it stalls.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn try_for(&self, position: Position) -> Result<(), Cancelled> {
        self.hurry(position);
        self.shared
            .wait(|inner| inner.status.cursor >= position || inner.status.stage == Stage::Stalled)
    }

    /// Says that somebody waits until everything before a position is folded: it does not wait for
    /// more events until then.
    pub fn hurry(&self, position: Position) {
        let mut inner = self.shared.lock();
        inner.wanted = inner.wanted.max(position);
        drop(inner);
        self.shared.changed.notify_all();
    }

    /// Lets it go no further than a position, or than where it is if that lies beyond. Returns where
    /// it stands still, once it does: at the position, unless it had passed it.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn hold(&self, at: Position) -> Result<Position, Cancelled> {
        self.shared.lock().hold = Some(at);
        self.shared.changed.notify_all();
        // Whoever does not fold looks at the hold before it does.
        let stands = |inner: &Inner| {
            let Status { stage, cursor, .. } = inner.status;
            !inner.folds && stage != Stage::Stopped && cursor >= at
        };
        self.shared.wait(stands)?;
        Ok(self.status().cursor)
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.shared.lock().hold = None;
        self.shared.changed.notify_all();
    }

    /// Stops it after the batch that it is at, and waits. What is folded is kept.
    pub fn stop(&self) {
        self.shared.lock().cancelled = true;
        self.finish();
    }

    /// Waits until the log ends and all of it is folded.
    pub fn finish(&self) {
        self.hurry(Position(u64::MAX));
        let thread = self.thread.lock().expect("nobody panics while holding it").take();
        if let Some(thread) = thread {
            // A runner that panicked has said so; there is nothing more to wait for.
            let _ended = thread.join();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    fn wait(&self, until: impl Fn(&Inner) -> bool) -> Result<(), Cancelled> {
        let done = |inner: &mut Inner| !until(inner) && inner.status.stage != Stage::Stopped;
        let inner = self.changed.wait_while(self.lock(), done);
        let inner = inner.expect("nobody panics while holding it");
        if until(&inner) { Ok(()) } else { Err(Cancelled) }
    }

    /// Sleeps, unless the runner is told something.
    fn pause(&self, most: Duration) {
        let inner = self.lock();
        if !inner.cancelled {
            let _told = self.changed.wait_timeout(inner, most);
        }
    }

    /// Sleeps as long as something holds; whether it holds still.
    fn pause_while(&self, most: Duration, holds: impl Fn(&Inner) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), most, |inner| holds(inner));
        waited.is_ok_and(|(_, waited)| waited.timed_out())
    }
}

/// Says that it is over, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.status.stage = Stage::Stopped;
        inner.status.rate = 0.0;
        self.0.changed.notify_all();
    }
}

struct Work<M> {
    source: Box<dyn Source>,
    ahead: ReadAhead,
    fold: Folding<M>,
}

/// All but where the events come from.
struct Folding<M> {
    name: String,
    shared: Arc<Shared>,
    projection: Box<dyn Projection>,
    pace: Pace,
    moved: M,
}

/// What there is to do.
enum Next {
    /// Fold as far as this.
    Fold(Position),
    Hold,
    Wait,
    Stop,
}

impl<M: FnMut(&Status)> Work<M> {
    fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.fold.shared));
        loop {
            let size = self.source.size();
            match self.fold.next(size) {
                Next::Stop => return self.fold.stand(size),
                Next::Hold => {
                    self.fold.stand(size);
                    self.fold.tell(size, |status| status.stage = Stage::Held);
                    self.fold.shared.pause(TICK);
                }
                Next::Wait => {
                    self.fold.rest(size);
                    match self.source.wait(size, TICK) {
                        Waited::More => self.gather(),
                        Waited::Nothing => self.fold.stand(size),
                        Waited::Ended => return self.fold.stand(size),
                    }
                }
                Next::Fold(end) => {
                    if let Err(error) = self.fold_up_to(end) {
                        self.fold.fail(self.source.size(), &error);
                    }
                }
            }
        }
    }

    /// Lets a few events become more, unless somebody waits for them.
    fn gather(&self) {
        let cursor = self.fold.projection.cursor();
        let few = || self.source.size().as_u64().saturating_sub(cursor.0) < FEW_EVENTS;
        let quiet =
            |inner: &Inner| !inner.cancelled && inner.hold.is_none() && inner.wanted <= cursor;
        let until = Instant::now() + GATHER;
        while few() && Instant::now() < until && self.fold.shared.pause_while(GLANCE, quiet) {}
    }

    /// Folds towards a position until there is something else to do.
    fn fold_up_to(&mut self, end: Position) -> Result<(), FoldError> {
        let Self { source, ahead, fold } = self;
        let stretch = fold.projection.cursor()..end;
        let handed = ahead.hand_out(&**source, stretch, |entries| {
            if let Err(error) = fold.take(entries, source.size()) {
                return ControlFlow::Break(Err(error.into()));
            }
            match fold.next(source.size()) {
                Next::Fold(further) if further >= end => go_on_behind(entries, &*fold.projection),
                _ => ControlFlow::Break(Ok(())),
            }
        })?;
        handed.break_value().unwrap_or(Ok(()))
    }
}

impl<M: FnMut(&Status)> Folding<M> {
    fn next(&self, size: TreeSize) -> Next {
        let cursor = self.projection.cursor();
        let mut inner = self.shared.lock();
        let next = match inner.hold {
            _ if inner.cancelled => Next::Stop,
            Some(at) if cursor >= at => Next::Hold,
            _ if cursor.0 >= size.as_u64() => Next::Wait,
            Some(at) => Next::Fold(at.min(Position::at_tip(size))),
            None => Next::Fold(Position::at_tip(size)),
        };
        inner.folds = matches!(next, Next::Fold(_)) || self.projection.unkept() > 0;
        next
    }

    fn take(&mut self, entries: &[Entry], size: TreeSize) -> Result<(), ProjectionError> {
        let quarantined = self.projection.take(entries)?;
        let cursor = self.projection.cursor();
        let rate = self.pace.moved(cursor);
        self.tell(size, |status| {
            (status.stage, status.cursor) = (Stage::CatchingUp, cursor);
            (status.rate, status.unmoved_since) = (rate, Instant::now());
            status.quarantined += quarantined;
        });
        Ok(())
    }

    /// Keeps what is folded: there is nothing more to do for now.
    fn stand(&mut self, size: TreeSize) {
        if self.projection.unkept() == 0 {
            return;
        }
        match self.projection.settle() {
            Ok(quarantined) => self.tell(size, |status| status.quarantined += quarantined),
            Err(error) => self.fail(size, &error.into()),
        }
        self.shared.lock().folds = false;
        self.shared.changed.notify_all();
    }

    fn rest(&mut self, size: TreeSize) {
        self.pace = Pace::new(self.projection.cursor());
        self.tell(size, |status| (status.stage, status.rate) = (Stage::Live, 0.0));
    }

    fn fail(&mut self, size: TreeSize, error: &FoldError) {
        let position = self.projection.cursor();
        tracing::error!(projection = self.name, %position, %error, "a projection has stalled");
        self.tell(size, |status| {
            (status.stage, status.rate) = (Stage::Stalled, 0.0);
            status.last_error = Some(error.to_string());
        });
        self.shared.pause(RETRY);
        if let Err(error) = self.projection.recover(size) {
            tracing::warn!(projection = self.name, %error, "it cannot be mended yet");
        }
    }

    fn tell(&mut self, size: TreeSize, change: impl FnOnce(&mut Status)) {
        let status = {
            let mut inner = self.shared.lock();
            inner.status.size = size;
            change(&mut inner.status);
            inner.status.clone()
        };
        self.shared.changed.notify_all();
        (self.moved)(&status);
    }
}

/// Measures events a second.
struct Pace {
    since: Instant,
    from: Position,
    rate: f64,
}

impl Pace {
    fn new(from: Position) -> Self {
        Self { since: Instant::now(), from, rate: 0.0 }
    }

    fn moved(&mut self, to: Position) -> f64 {
        let (elapsed, events) = (self.since.elapsed(), to.0.saturating_sub(self.from.0));
        if elapsed >= RATE_TIME || self.rate == 0.0 {
            self.rate = events as f64 / elapsed.as_secs_f64().max(1e-6);
        }
        if elapsed >= RATE_TIME {
            (self.since, self.from) = (Instant::now(), to);
        }
        self.rate
    }
}
