//! The projections of a node: opened, followed, built again beside the old ones, and watched.
//!
//! A projection that is damaged, ahead of the log, or unfinished goes on or begins again by itself.
//! One whose fold has a new version is built from history while the rows of the old version are
//! served as they are. In both cases, and when a build is asked for, the order is: build beside,
//! stand both at one position, compare, switch, drop the old one. Those who ask wait for nothing.
//!
//! Folds run on threads that give way to those that append, and builds give way to folds. Nothing here
//! is on the way of an append.

mod graph;
mod place;
mod serving;
mod source;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use serde::Serialize;
use tally_projection::{Cancelled, Fold, Projection, ProjectionError, Runner, Status, Stored};
use tally_protocol::{Digest, Position, Time, TreeSize};
use tally_store::{FileError, LogReader, Quarantined, Rows, RowsError, RowsId, RowsSnapshot};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::metrics;
use crate::node::Snapshot;
use crate::pipeline::spawn;

use place::Place;
use source::SharedLog;

pub use graph::{AskError, GRAPH};
pub use place::Build;
use serving::Progress;
pub use serving::Serving;

/// A build this near to the head is stood beside the one that is served.
const NEAR_EVENTS: u64 = 4_096;

/// How much what follows the log gives way to what appends to it: the operating system's nice value.
/// Under more load than the machine has room for, folds fall behind rather than appends.
const FOLD_GIVES_WAY: i32 = 5;

/// How much a build gives way to all others.
const BUILD_GIVES_WAY: i32 = 10;

/// How to open one build of a projection.
pub struct Recipe {
    name: String,
    version: u32,
    open: Box<OpenBuild>,
}

/// From the directory, the version of its rows, and the size of the log.
type OpenBuild = dyn Fn(&Path, u32, TreeSize) -> Result<Opened, ProjectionError> + Send + Sync;

struct Opened {
    /// `None`: rows of an older version, which nobody can go on with.
    projection: Option<Box<dyn Projection>>,
    rows: Option<Arc<Rows>>,
    serve: Box<dyn FnOnce(Progress) + Send>,
}

impl Recipe {
    /// A fold with its rows on disk, and where they are served.
    pub fn stored<F: Fold + Clone>(fold: F) -> (Self, Serving<Rows>) {
        let serving = Serving::new();
        let (name, version) = (fold.name().to_owned(), fold.version());
        let place = serving.clone();
        let open = move |dir: &Path, of: u32, size: TreeSize| {
            let (rows, projection) = if of == version {
                let (stored, state) = Stored::open(dir, fold.clone(), Position(0), size)?;
                tracing::info!(projection = fold.name(), ?state, "rows opened");
                let rows = Arc::clone(stored.rows());
                (rows, Some(Box::new(stored) as Box<dyn Projection>))
            } else {
                let name = fold.name().to_owned();
                let id = RowsId { name, version: of, start: Position(0) };
                (Arc::new(Rows::open(dir, id, size)?.0), None)
            };
            let (place, value) = (place.clone(), Arc::clone(&rows));
            let serve = Box::new(move |progress| place.switch(value, progress));
            Ok(Opened { projection, rows: Some(rows), serve })
        };
        (Self { name, version, open: Box::new(open) }, serving)
    }
}

/// How a projection is doing.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What is served.
    pub serving: Build,
    /// How that one is doing; `None`: rows of an older version, which stand still.
    pub status: Option<Status>,
    /// What is built beside it.
    pub building: Option<(Build, Status)>,
    /// How the last build ended.
    pub last_build: Option<BuildEnd>,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum BuildEnd {
    /// It is served now.
    Switched {
        /// What was served before.
        from: Build,
        /// What is served now.
        to: Build,
        /// Where both stood when they were compared.
        #[serde(skip_serializing_if = "Option::is_none")]
        compared: Option<Comparison>,
    },
    /// It was given up.
    Cancelled {
        /// Which.
        build: Build,
    },
    /// It could not be put in its place.
    Failed {
        /// Which.
        build: Build,
        /// Why.
        reason: String,
    },
}

/// Two builds at one position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Where both stood.
    pub position: Position,
    /// Whether all rows are the same.
    pub same: bool,
    /// Digest and number of the rows that were served.
    pub old: (Digest, u64),
    /// Digest and number of the rows that took their place.
    pub new: (Digest, u64),
}

/// A line of the audit trail.
#[derive(Serialize)]
struct Note<'n, T> {
    at: Time,
    projection: &'n str,
    #[serde(flatten)]
    what: &'n T,
}

/// An event was put in quarantine, as the audit trail has it.
#[derive(Serialize)]
struct QuarantinedNote<'n> {
    event: &'static str,
    build: Build,
    position: Position,
    reason: &'n str,
}

/// Why something can't be done to a projection.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// There is none of this name.
    #[error("there is no projection {name:?}; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It is being built already.
    #[error("{name} is being built already; wait, or cancel that build first")]
    Building {
        /// Which.
        name: String,
    },
    /// It is not being built.
    #[error("{name} is not being built; there is nothing to cancel")]
    NotBuilding {
        /// Which.
        name: String,
    },
    /// Its rows can't be opened.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
}

/// All projections of a node.
pub struct Projections {
    log: SharedLog,
    slots: Vec<Arc<Slot>>,
    finishers: Mutex<Vec<JoinHandle<()>>>,
}

/// One projection.
struct Slot {
    recipe: Recipe,
    place: Place,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    serving: Option<Active>,
    building: Option<Active>,
    last_build: Option<BuildEnd>,
}

/// A build that is open.
#[derive(Clone)]
struct Active {
    build: Build,
    runner: Option<Arc<Runner>>,
    rows: Option<Arc<Rows>>,
    /// Puts it where questions are answered; taken once.
    serve: Arc<Mutex<Option<Serve>>>,
    /// Says where rows without a runner stand, for as long as they are served.
    _stands: Option<Arc<watch::Sender<Position>>>,
}

type Serve = Box<dyn FnOnce() + Send>;

impl Projections {
    /// Opens all of them, and starts to follow the log.
    pub(crate) fn open(
        data: &Path,
        reader: Arc<dyn LogReader>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        clock: &Arc<dyn Clock>,
        recipes: Vec<Recipe>,
    ) -> Result<Self, ProjectionError> {
        let log = SharedLog::new(reader, snapshots);
        let projections = Self { log, slots: Vec::new(), finishers: Mutex::default() };
        let slots = recipes.into_iter().map(|recipe| {
            let place = Place::open(data, &recipe.name).map_err(RowsError::from)?;
            let state = State { serving: None, building: None, last_build: None };
            let clock = Arc::clone(clock);
            let slot = Arc::new(Slot { recipe, place, clock, state: Mutex::new(state) });
            projections.start(&slot)?;
            Ok(slot)
        });
        let slots = slots.collect::<Result<_, ProjectionError>>()?;
        Ok(Self { slots, ..projections })
    }

    /// How each is doing.
    pub fn list(&self) -> Vec<View> {
        let size = self.log.size();
        self.slots.iter().map(|slot| slot.view(size)).collect()
    }

    /// Builds a projection again beside the one that is served, and switches when it has come as
    /// far. After a mend this is how events leave quarantine.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn rebuild(&self, name: &str) -> Result<Build, ManageError> {
        let slot = self.slot(name)?;
        let mut state = slot.state();
        if state.building.is_some() {
            return Err(ManageError::Building { name: name.to_owned() });
        }
        let version = slot.recipe.version;
        let serving = state.serving.as_ref().map(|active| active.build);
        let known = slot.place.builds().into_iter().chain(serving);
        let last = known.filter(|build| build.version == version).map(|build| build.number).max();
        let build = Build { version, number: last.map_or(0, |last| last + 1) };
        state.building = Some(slot.start(build, &self.log, BUILD_GIVES_WAY)?);
        drop(state);
        self.finish(slot);
        Ok(build)
    }

    /// Gives up the build that is under way; what is served stays.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn cancel(&self, name: &str) -> Result<Build, ManageError> {
        let slot = self.slot(name)?;
        let building = slot.state().building.take();
        let building = building.ok_or(ManageError::NotBuilding { name: name.to_owned() })?;
        let build = building.build;
        if let Some(runner) = &building.runner {
            runner.stop();
        }
        drop(building);
        slot.place.remove(build);
        let end = BuildEnd::Cancelled { build };
        slot.note_end(&end);
        slot.state().last_build = Some(end);
        Ok(build)
    }

    /// The events that what is served could not fold.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn quarantined(&self, name: &str) -> Result<Vec<Quarantined>, ManageError> {
        let slot = self.slot(name)?;
        let rows = slot.state().serving.as_ref().and_then(|serving| serving.rows.clone());
        let found = rows.map_or_else(|| Ok(Vec::new()), |rows| rows.quarantined());
        Ok(found.map_err(ProjectionError::from)?)
    }

    /// The audit trail of a projection, the latest last.
    ///
    /// # Errors
    /// [`ManageError::Unknown`].
    pub fn audit(&self, name: &str) -> Result<Vec<serde_json::Value>, ManageError> {
        Ok(self.slot(name)?.place.notes())
    }

    /// Sets the gauges of all of them.
    pub(crate) fn report(&self) {
        for view in self.list() {
            metrics::projection(&view);
        }
    }

    /// Gives up what is built, and lets the rest come to the end of the log. Builds go on at the
    /// next start.
    pub(crate) fn shut_down(&self) {
        for slot in &self.slots {
            let building = slot.state().building.take();
            if let Some(runner) = building.and_then(|building| building.runner) {
                runner.stop();
            }
        }
        let finishers = std::mem::take(&mut *self.finishers.lock().expect("nobody panics"));
        for finisher in finishers {
            finisher.join().expect("switching does not panic");
        }
        for slot in &self.slots {
            let serving = slot.state().serving.clone();
            if let Some(runner) = serving.and_then(|serving| serving.runner) {
                runner.finish();
            }
        }
    }

    fn slot(&self, name: &str) -> Result<&Arc<Slot>, ManageError> {
        let names = || self.slots.iter().map(|slot| slot.recipe.name.as_str());
        let found = self.slots.iter().find(|slot| slot.recipe.name == name);
        found.ok_or_else(|| ManageError::Unknown {
            name: name.to_owned(),
            known: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// Serves what there is, and goes on with what was not finished.
    fn start(&self, slot: &Arc<Slot>) -> Result<(), ProjectionError> {
        let version = slot.recipe.version;
        let current = slot.place.current();
        let first = Build { version, number: 0 };
        let serving = current.unwrap_or(first);
        let builds = slot.place.builds();
        // A build of this version that is younger than what is served was not finished.
        let younger = |build: &&Build| build.version == version && **build != serving;
        let unfinished = builds.iter().filter(younger).max().filter(|build| match current {
            Some(current) if current.version == version => build.number > current.number,
            Some(_) => true,
            None => false,
        });
        for &build in builds.iter().filter(|build| **build != serving && Some(*build) != unfinished)
        {
            slot.place.remove(build);
        }
        let active = slot.start(serving, &self.log, FOLD_GIVES_WAY)?;
        active.serve();
        slot.state().serving = Some(active);
        if current.is_none() {
            slot.place.make_current(serving).map_err(RowsError::from)?;
        }
        let building = match unfinished {
            Some(&build) => Some(build),
            None if serving.version != version => Some(first),
            None => None,
        };
        if let Some(build) = building {
            tracing::info!(projection = slot.recipe.name, %serving, %build, "built beside the old");
            slot.state().building = Some(slot.start(build, &self.log, BUILD_GIVES_WAY)?);
            self.finish(slot);
        }
        Ok(())
    }

    /// Switches to the build once it has come as far as what is served.
    fn finish(&self, slot: &Arc<Slot>) {
        let (slot, log) = (Arc::clone(slot), self.log.clone());
        let finisher = spawn("switch", move || slot.finish(&log));
        let mut finishers = self.finishers.lock().expect("nobody panics while holding it");
        finishers.retain(|finisher| !finisher.is_finished());
        finishers.push(finisher);
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// With the log's size as it is: a fold that lets events gather has not looked.
    fn view(&self, size: TreeSize) -> View {
        let state = self.state();
        let serving = state.serving.as_ref().expect("served since the node opened");
        let status = |active: &Active| {
            let runner = active.runner.as_ref()?;
            Some(Status { size, ..runner.status() })
        };
        let building = state.building.as_ref();
        View {
            name: self.recipe.name.clone(),
            serving: serving.build,
            status: status(serving),
            building: building.and_then(|active| Some((active.build, status(active)?))),
            last_build: state.last_build.clone(),
        }
    }

    /// Opens a build and starts to fold, giving way by so much.
    fn start(
        self: &Arc<Self>,
        build: Build,
        log: &SharedLog,
        by: i32,
    ) -> Result<Active, ProjectionError> {
        let opened = (self.recipe.open)(&self.place.rows(build), build.version, log.size())?;
        let Opened { projection, rows, serve } = opened;
        let stands = rows.as_ref().map_or(Position(0), |rows| rows.cursor());
        let (cursor_to, cursor) = watch::channel(stands);
        let Some(projection) = projection else {
            let serve = Active::serving(serve, Progress { cursor, runner: None });
            let _stands = Some(Arc::new(cursor_to));
            return Ok(Active { build, runner: None, rows, serve, _stands });
        };
        let told = self.listener(build, rows.clone(), cursor_to);
        let prepare = move || give_way(by);
        let follow = Box::new(log.follow());
        let runner = Runner::start(&self.recipe.name, projection, follow, prepare, told);
        let runner = Arc::new(runner);
        let progress = Progress { cursor, runner: Some(Arc::downgrade(&runner)) };
        let serve = Active::serving(serve, progress);
        Ok(Active { build, runner: Some(runner), rows, serve, _stands: None })
    }

    /// Passes on how far a build is, and writes down what it puts in quarantine.
    fn listener(
        self: &Arc<Self>,
        build: Build,
        rows: Option<Arc<Rows>>,
        cursor: watch::Sender<Position>,
    ) -> impl FnMut(&Status) + Send + 'static {
        let (slot, rows) = (Arc::downgrade(self), rows.as_ref().map(Arc::downgrade));
        let mut known = None;
        move |status| {
            cursor.send_if_modified(|at| std::mem::replace(at, status.cursor) != status.cursor);
            let before = *known.get_or_insert(status.quarantined);
            if before == status.quarantined {
                return;
            }
            known = Some(status.quarantined);
            let rows = rows.as_ref().and_then(std::sync::Weak::upgrade);
            let found = rows.and_then(|rows| rows.quarantined().ok()).unwrap_or_default();
            let Some(slot) = slot.upgrade() else { return };
            for event in found.iter().skip(usize::try_from(before).unwrap_or(usize::MAX)) {
                let Quarantined { position, ref reason } = *event;
                slot.note(&QuarantinedNote { event: "quarantined", build, position, reason });
            }
        }
    }

    fn finish(&self, log: &SharedLog) {
        let (Some(old), Some(new)) = ({
            let state = self.state();
            (state.serving.clone(), state.building.clone())
        }) else {
            return;
        };
        let Some(runner) = new.runner.clone() else { return };
        // Cancelled: what was to be done about that is done.
        let Ok(compared) = self.stand_beside(&old, &new, &runner, log) else { return };
        let mut state = self.state();
        if state.building.as_ref().is_none_or(|building| building.build != new.build) {
            return;
        }
        let made = self.place.make_current(new.build);
        let (from, to) = (old.build, new.build);
        let end = match &made {
            Ok(()) => BuildEnd::Switched { from, to, compared },
            Err(error) => BuildEnd::Failed { build: to, reason: error.to_string() },
        };
        // At once: who sees that nothing is built any more sees how it ended.
        self.note_end(&end);
        (state.building, state.last_build) = (None, Some(end.clone()));
        if made.is_ok() {
            new.serve();
            state.serving = Some(new);
        }
        drop(state);
        if made.is_ok() {
            runner.release();
            if let Some(runner) = &old.runner {
                runner.stop();
            }
            drop(old);
            self.place.remove(from);
        }
    }

    /// Brings a build as far as what is served, and compares the two where both stand.
    fn stand_beside(
        &self,
        old: &Active,
        new: &Active,
        runner: &Runner,
        log: &SharedLog,
    ) -> Result<Option<Comparison>, Cancelled> {
        loop {
            let target = Position::at_tip(log.size());
            runner.hold(target)?;
            if log.size().as_u64() - target.0 <= NEAR_EVENTS {
                break;
            }
        }
        let Some((old_rows, new_rows)) = old.rows.as_ref().zip(new.rows.as_ref()) else {
            return Ok(None);
        };
        let Some(old_runner) = &old.runner else { return Ok(None) };
        // Where it lets events gather, it would stand behind; where it has stalled, it does.
        let Ok(()) = old_runner.try_for(runner.status().cursor) else { return Ok(None) };
        let Ok(stands) = old_runner.hold(Position(0)) else { return Ok(None) };
        let reached = runner.hold(stands);
        // Both stand for as long as it takes to note what their rows are.
        let views = (reached == Ok(stands)).then(|| (old_rows.snapshot(), new_rows.snapshot()));
        old_runner.release();
        reached?;
        let Some((Ok(old), Ok(new))) = views else { return Ok(None) };
        let (old, new) = std::thread::scope(|scope| {
            let digest = |rows: RowsSnapshot| {
                give_way(BUILD_GIVES_WAY);
                rows.digest()
            };
            let old = scope.spawn(move || digest(old));
            let new = scope.spawn(move || digest(new));
            [old, new].map(|digest| digest.join().expect("a digest does not panic")).into()
        });
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(None) };
        Ok(Some(Comparison { position: stands, same: old == new, old, new }))
    }

    fn note_end(&self, end: &BuildEnd) {
        tracing::info!(projection = self.recipe.name, ?end, "a build ended");
        self.note(end);
    }

    fn note(&self, what: &impl Serialize) {
        let (at, projection) = (self.clock.now(), self.recipe.name.as_str());
        self.place.note(&Note { at, projection, what });
    }
}

impl Active {
    fn serving(
        serve: Box<dyn FnOnce(Progress) + Send>,
        progress: Progress,
    ) -> Arc<Mutex<Option<Serve>>> {
        Arc::new(Mutex::new(Some(Box::new(move || serve(progress)))))
    }

    fn serve(&self) {
        let serve = self.serve.lock().expect("nobody panics while holding it").take();
        serve.expect("served once")();
    }
}

/// Lets other threads of the node go first.
fn give_way(by: i32) {
    let given = rustix::process::setpriority_process(Some(rustix::thread::gettid()), by);
    if let Err(error) = given {
        tracing::debug!(%error, "a fold has the same right to the processor as everyone");
    }
}

impl From<FileError> for ManageError {
    fn from(error: FileError) -> Self {
        Self::Projection(RowsError::from(error).into())
    }
}
