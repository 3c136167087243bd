//! One run: a ledger that lives through several crashes on one simulated disk.
//!
//! All of it follows from the seed: sizes, faults, when the machine stops, what is left of the
//! disk. The store's ordinary way in, [`SegmentLog`] and [`TreeFiles`], is the only code that
//! recovers; the [`Model`] judges what it comes to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tally_protocol::Position;
use tally_store::fs::FileSystem;
use tally_store::{
    AppendError, Copied, CopyError, Epoch, FileError, LogReader, LogWriter, MarkReport, OpenError,
    Options, Proof, ReadError, ReadLimit, Recovery, SegmentLog, SegmentReader, SegmentWriter,
    TreeFiles,
};
use tally_tlog::TreeSize;

use crate::content::SECTOR_BYTES;
use crate::copies::{Copies, copy};
use crate::disk::{Counts, Fault, Rates, Rot, SimFs};
use crate::model::{Made, Model, Violation, origin, require, violated};
use crate::plant::Plant;
use crate::random::Random;

/// Crashes of one run.
pub const CRASHES_PER_RUN: u64 = 8;

/// Most groups between two crashes.
const MOST_GROUPS: u64 = 24;

/// A lost sector that held fewer bytes of a group does not tell whether they were torn or damaged.
const FEWEST_SIGNS: u64 = 8;

/// Where the ledger is: none of these directories is there at first.
pub(crate) const DIRECTORY: &str = "/srv/tally/ledger";

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it followed from.
    pub seed: u64,
    /// Groups that were acknowledged.
    pub groups: u64,
    /// Openings that were refused because of damage, rightly.
    pub refused: u64,
    /// Copies of the log that were taken whole.
    pub copies: u64,
    /// Copies that were broken off.
    pub broken_copies: u64,
    /// Copies in which a rotten bit was found.
    pub damaged_copies: u64,
    /// Runs that ended because a sector was torn inside, which the store may take for damage.
    pub undecided: u64,
    /// What the disk did.
    pub faults: Counts,
    /// A hash over every call to the disk and its outcome.
    pub call_hash: u64,
    /// The promise that was not kept.
    pub violation: Option<Violation>,
}

impl Report {
    /// A run in which nothing has happened yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            groups: 0,
            refused: 0,
            copies: 0,
            broken_copies: 0,
            damaged_copies: 0,
            undecided: 0,
            faults: Counts::default(),
            call_hash: 0,
            violation: None,
        }
    }

    /// Kills and power losses.
    pub fn crashes(&self) -> u64 {
        self.faults.of(Fault::Kill) + self.faults.of(Fault::PowerLoss)
    }
}

/// Runs one seed; with `trace` every call to the disk is printed.
pub fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Report {
    let mut world = World::new(seed, plant, trace);
    let violation = world.live().err();
    Report {
        groups: world.groups,
        refused: world.refused,
        copies: world.copies.whole,
        broken_copies: world.copies.broken,
        damaged_copies: world.copies.damaged,
        undecided: u64::from(world.undecided),
        faults: world.fs.counts(),
        call_hash: world.fs.call_hash(),
        violation,
        ..Report::new(seed)
    }
}

/// How much of the log starts read: the last segment, some more, or all. A third of the runs each.
pub(crate) fn start_bytes(seed: u64) -> u64 {
    match seed % 3 {
        0 => 0,
        1 => 4_000,
        _ => u64::MAX,
    }
}

/// How a life ended.
enum End {
    /// The machine stopped, or the process ended because of an error.
    Down,
    /// The process ended in peace.
    Closed,
    /// Damage was found that is none of the store's.
    Undecided,
}

struct World {
    random: Random,
    fs: SimFs,
    model: Model,
    copies: Copies,
    options: Options,
    rates: Rates,
    /// Whether bits rot.
    rots: bool,
    plant: Option<Plant>,
    /// A bit that is flipped at present.
    rot: Option<Rot>,
    /// How many faults there were when the mark was last known to be current; power holds since.
    mark_is_current: Option<u64>,
    groups: u64,
    refused: u64,
    undecided: bool,
}

struct Opened {
    writer: SegmentWriter,
    reader: SegmentReader,
    tree: TreeFiles,
}

/// What was so when a copy began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// Events that were acknowledged.
    size: TreeSize,
    /// Faults that were met.
    faults: u64,
}

impl World {
    fn new(seed: u64, plant: Option<Plant>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let fs = SimFs::new(random.fork(), plant, trace);
        let copies = Copies::new(seed, &fs);
        let segment_bytes = random.within(300, 6_000);
        let options = Options { segment_bytes, start_bytes: start_bytes(seed) };
        let rates = rates(&mut random);
        let rots = random.chance(1, 3);
        if random.chance(1, 6) {
            fs.set_room(random.below(20_000));
        }
        Self {
            random,
            fs,
            model: Model::new(),
            copies,
            options,
            rates,
            rots,
            plant,
            rot: None,
            mark_is_current: None,
            groups: 0,
            refused: 0,
            undecided: false,
        }
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.fs.create_dir(Path::new("/srv")).expect("an empty disk");
        self.fs.sync_dir(Path::new("/")).expect("an empty disk");
        for _ in 0..CRASHES_PER_RUN {
            let calls = match self.random.below(4) {
                0 => 40,
                1 => 150,
                _ => 600,
            };
            self.fs.stop_in(self.random.below(calls));
            self.fs.set_rates(self.rates);
            match self.life()? {
                End::Down | End::Closed => self.crash()?,
                End::Undecided => return Ok(()),
            }
        }
        // The last life has a disk without faults.
        self.fs.set_rates(Rates::default());
        self.fs.set_room_without_end();
        match self.life()? {
            End::Closed => self.copies.restore(&self.model),
            End::Undecided => Ok(()),
            End::Down => violated("the store stopped though no fault was left"),
        }
    }

    /// The process or the machine goes down, and up again; a bit may have rotted meanwhile.
    fn crash(&mut self) -> Result<(), Violation> {
        let no_space = self.fs.counts().of(Fault::NoSpace) > 0;
        if self.random.chance(1, 2) {
            self.fs.kill();
        } else {
            self.fs.lose_power();
            self.mark_is_current = None;
        }
        if no_space {
            // Somebody makes room, or all of it.
            self.fs.set_room(self.random.within(500, 30_000));
        }
        self.copies.judge_left(&self.model)?;
        if self.rots && self.rot.is_none() && self.random.chance(1, 3) {
            self.rot = self.fs.rot().and_then(|rot| self.copies.take_rot(rot));
        }
        Ok(())
    }

    /// From one start of the process to its end.
    fn life(&mut self) -> Result<End, Violation> {
        if self.random.chance(1, 4) {
            self.look()?;
        }
        if self.copies.is_due() {
            self.copy_what_is_left()?;
        }
        if self.fs.is_stopped() {
            return Ok(End::Down);
        }
        let faults = self.faults();
        let (writer, reader, recovery) = match self.open_log() {
            Ok(opened) => opened,
            Err(error) => return self.refused(error, faults),
        };
        if self.fs.is_stopped() {
            return Ok(End::Down);
        }
        self.judge_log(&reader, &recovery)?;
        match self.open_tree(&reader)? {
            None => Ok(End::Down),
            Some(tree) => self.write(Opened { writer, reader, tree }),
        }
    }

    fn open_log(&self) -> Result<(SegmentWriter, SegmentReader, Recovery), OpenError> {
        let (fs, dir) = (Arc::new(self.fs.clone()), Path::new(DIRECTORY));
        SegmentLog::open_on(fs, dir, &origin(), self.options, &mut |_| {})
    }

    /// Opens the log only to read, as another process may, before anything is recovered.
    fn look(&mut self) -> Result<(), Violation> {
        let (faults, fs) = (self.faults(), Arc::new(self.fs.clone()));
        match SegmentReader::open_read_only_on(fs, Path::new(DIRECTORY), &mut |_| {}) {
            Ok((reader, _)) => self.fs.quietly(|| self.model.judge_reader(&reader)),
            Err(OpenError::NoLog { .. }) if self.model.tip().size.as_u64() == 0 => Ok(()),
            Err(OpenError::File(_)) if self.fs.is_stopped() || self.faults() > faults => Ok(()),
            Err(error) => self.excuse(&error).map(|_| ()),
        }
    }

    /// Copies what a crash left, before anything is recovered.
    fn copy_what_is_left(&mut self) -> Result<(), Violation> {
        let begun = Begun { size: self.model.tip().size, faults: self.faults() };
        match copy(&self.fs, &mut |_| {}) {
            Err(CopyError::Open(OpenError::NoLog { .. })) if begun.size.as_u64() == 0 => Ok(()),
            Err(CopyError::Open(error)) if !matches!(error, OpenError::File(_)) => {
                self.excuse(&error).map(|_| ())
            }
            outcome => self.judge_copy(begun, outcome),
        }
    }

    /// Copies the log while groups are appended; the end of this life when that went wrong.
    fn copy_beside(&mut self, opened: &mut Opened, epoch: Epoch) -> Result<Option<End>, Violation> {
        let begun = Begun { size: self.model.tip().size, faults: self.faults() };
        let (fs, mut appended) = (self.fs.clone(), Ok(None));
        let outcome = copy(&fs, &mut |_| {
            if matches!(appended, Ok(None)) && self.copies.chance(1, 3) {
                appended = self.append(opened, epoch);
            }
        });
        let end = appended?;
        self.judge_copy(begun, outcome)?;
        Ok(if self.fs.is_stopped() { Some(End::Down) } else { end })
    }

    fn judge_copy(
        &mut self,
        begun: Begun,
        outcome: Result<Copied, CopyError>,
    ) -> Result<(), Violation> {
        let failed = self.fs.is_stopped() || self.faults() > begun.faults;
        self.copies.judge(begun.size, outcome, failed, &self.model)
    }

    fn judge_log(&mut self, reader: &SegmentReader, found: &Recovery) -> Result<(), Violation> {
        let size = self.model.tip().size;
        let claims = matches!(found.mark, MarkReport::Claims(claimed) if claimed >= size);
        let current = self.mark_is_current == Some(self.faults());
        require(!current || claims, || {
            format!("{size} events were acknowledged before the kill, the mark: {:?}", found.mark)
        })?;
        self.meet_rot(reader)?;
        self.fs.quietly(|| self.model.judge_opened(reader))?;
        self.copies.judge_source(&self.model)?;
        self.mark_is_current = Some(self.faults());
        self.rot = None;
        Ok(())
    }

    /// A bit that rotted in a segment that the start took on trust is met by who reads it.
    fn meet_rot(&mut self, reader: &SegmentReader) -> Result<(), Violation> {
        let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        let found = self.fs.quietly(|| reader.read(Position(0), all));
        let Err(ReadError::Damaged(damage)) = found else { return Ok(()) };
        let segment = Path::new(DIRECTORY).join("log").join(damage.segment.to_string());
        match self.rot.take() {
            Some(rot) if rot.path == segment && damage.offset <= rot.at => {
                self.refused += 1;
                self.fs.mend(&rot);
                Ok(())
            }
            rot => violated(format!("an opened log cannot be read, with {rot:?} rotten: {damage}")),
        }
    }

    /// A log that is not opened: the disk failed, or what it says of damage is right.
    fn refused(&mut self, error: OpenError, faults: u64) -> Result<End, Violation> {
        if self.fs.is_stopped() {
            return Ok(End::Down);
        }
        if let OpenError::File(_) = error {
            require(self.faults() > faults, || format!("refused without a fault: {error}"))?;
            return Ok(End::Down);
        }
        match self.excuse(&error)? {
            Excuse::Torn => {
                self.undecided = true;
                Ok(End::Undecided)
            }
            Excuse::Rot(rot) => {
                // What an operator would do: put back the byte from a copy.
                self.refused += 1;
                self.fs.mend(&rot);
                self.rot = None;
                self.fs.exit();
                self.life()
            }
        }
    }

    /// Why damage may be reported.
    fn excuse(&self, error: &OpenError) -> Result<Excuse, Violation> {
        let what = match error {
            OpenError::Damaged { damage, proof } => Some((damage, Some(proof))),
            OpenError::Foreign { damage } => Some((damage, None)),
            _ => None,
        };
        let Some((damage, proof)) = what else {
            return self.excuse_mark(error);
        };
        let segment = Path::new(DIRECTORY).join("log").join(damage.segment.to_string());
        if let Some(rot) = &self.rot {
            let named = match rot.path.extension() {
                Some(_) => rot.path == segment && damage.offset <= rot.at,
                None => rot.path.ends_with("mark") && proof == Some(&Proof::MarkUnreadable),
            };
            if named {
                return Ok(Excuse::Rot(rot.clone()));
            }
        }
        let blamed = match proof {
            Some(Proof::MarkUnreadable) => Path::new(DIRECTORY).join("mark"),
            _ => segment,
        };
        let left = SECTOR_BYTES - damage.offset % SECTOR_BYTES;
        let unclear = left < FEWEST_SIGNS && matches!(proof, Some(Proof::LaterCommit { .. }));
        match unclear || self.fs.was_torn(&blamed) {
            true => Ok(Excuse::Torn),
            false => violated(format!("refused, with {:?} rotten: {error}", self.rot)),
        }
    }

    /// Why a log that has not begun may be missed.
    fn excuse_mark(&self, error: &OpenError) -> Result<Excuse, Violation> {
        let mark = Path::new(DIRECTORY).join("mark");
        let missed = matches!(error, OpenError::LogMissing { path } if *path == mark);
        match &self.rot {
            Some(rot) if missed && rot.path == mark => Ok(Excuse::Rot(rot.clone())),
            _ if missed && self.fs.was_torn(&mark) => Ok(Excuse::Torn),
            _ => violated(format!("refused, with {:?} rotten: {error}", self.rot)),
        }
    }

    /// Opens the tree and holds it to the log, whatever bit of it rotted.
    fn open_tree(&mut self, reader: &SegmentReader) -> Result<Option<TreeFiles>, Violation> {
        let faults = self.faults();
        let (fs, dir, tip) = (Arc::new(self.fs.clone()), tree_dir(), self.model.tip());
        let tree = match TreeFiles::open_on(fs, &dir, &tip, reader, &mut |_| {}) {
            Ok((tree, frontier, _)) => {
                require(frontier.root() == self.model.root(), || "another root".into())?;
                tree
            }
            Err(error) if self.fs.is_stopped() || self.faults() > faults => {
                drop(error);
                return Ok(None);
            }
            Err(error) => return violated(format!("the tree is not opened: {error}")),
        };
        let nodes = tree.reader();
        let verified = self.fs.quietly(|| nodes.verify(tip.size, tip.root));
        require(verified.is_ok(), || format!("the tree of an opened log: {verified:?}"))?;
        self.fs.quietly(|| self.model.judge_proofs(&nodes, &mut self.random))?;
        Ok(Some(tree))
    }

    fn write(&mut self, mut opened: Opened) -> Result<End, Violation> {
        let faults = self.faults();
        let epoch = match opened.writer.open_epoch("simulator") {
            Ok(epoch) => epoch,
            Err(error) => return self.stopped_writing(&error, &mut opened, None, faults),
        };
        for _ in 0..self.random.below(MOST_GROUPS) {
            if let Some(end) = self.work(&mut opened, epoch)? {
                return Ok(end);
            }
        }
        let faults = self.faults();
        let closed = opened.writer.close();
        let excused = self.fs.is_stopped() || self.faults() > faults;
        require(closed.is_ok() || excused, || format!("not closed: {closed:?}"))?;
        Ok(if closed.is_ok() { End::Closed } else { End::Down })
    }

    /// Appends a group, and does something else now and then; the end of this life when that went
    /// wrong.
    fn work(&mut self, opened: &mut Opened, epoch: Epoch) -> Result<Option<End>, Violation> {
        if let Some(end) = self.append(opened, epoch)? {
            return Ok(Some(end));
        }
        if self.copies.chance(1, 12)
            && let Some(end) = self.copy_beside(opened, epoch)?
        {
            return Ok(Some(end));
        }
        Ok(if self.try_something(opened)? { None } else { Some(End::Down) })
    }

    /// Appends one group; the end of this life when that went wrong.
    fn append(&mut self, opened: &mut Opened, epoch: Epoch) -> Result<Option<End>, Violation> {
        let (before, faults) = (self.model.tip(), self.faults());
        let made = self.model.make(&mut self.random);
        self.model.begin(made.clone());
        if self.plant == Some(Plant::AckEarly) {
            self.model.acknowledge();
        }
        if let Err(error) = opened.tree.append(&made.nodes) {
            return self.tree_failed(&error, faults);
        }
        match opened.writer.append(epoch, before.size, &made.group) {
            Ok(tip) => require(tip == made.tip, || format!("appended as {tip:?}"))?,
            Err(AppendError::Full(_)) if !self.fs.is_stopped() => {
                opened.tree.take_back(before.size);
                return self.full(opened, faults).map(|()| None);
            }
            Err(error) => {
                return self
                    .stopped_writing(&error, opened, Some((epoch, &made)), faults)
                    .map(Some);
            }
        }
        self.model.acknowledge();
        self.groups += 1;
        let settled = opened.tree.settle();
        let excused = settled.is_ok() || self.fs.is_stopped() || self.faults() > faults;
        require(excused, || format!("nodes are not durable: {settled:?}"))?;
        if settled.is_err() {
            return Ok(Some(End::Down));
        }
        Ok(None)
    }

    /// Nodes that could not be stored: with a full disk the process goes on.
    fn tree_failed(&mut self, error: &FileError, faults: u64) -> Result<Option<End>, Violation> {
        let excused = self.fs.is_stopped() || self.faults() > faults;
        require(excused, || format!("nodes are not stored: {error}"))?;
        if self.fs.is_stopped() || !error.is_full() {
            return Ok(Some(End::Down));
        }
        self.model.refuse();
        self.make_room();
        Ok(None)
    }

    /// A group for which there was no room: it is not in the log, and the next may be.
    fn full(&mut self, opened: &Opened, faults: u64) -> Result<(), Violation> {
        require(self.faults() > faults, || "full without a fault".into())?;
        self.model.refuse();
        self.model.judge_tip(opened.reader.tip())?;
        self.make_room();
        Ok(())
    }

    /// Somebody removes something, or nobody does.
    fn make_room(&mut self) {
        if self.random.chance(1, 2) {
            self.fs.set_room(self.random.within(500, 30_000));
        }
    }

    /// What else happens to a ledger at work; false when the process must end.
    fn try_something(&mut self, opened: &mut Opened) -> Result<bool, Violation> {
        let Opened { reader, tree, .. } = opened;
        match self.random.below(64) {
            0..6 => {
                self.fs.quietly(|| self.model.judge_one(reader, &mut self.random))?;
                self.fs.quietly(|| self.model.judge_proofs(&tree.reader(), &mut self.random))?;
            }
            6 => {
                let second = self.fs.quietly(|| self.open_log());
                let locked = matches!(second, Err(OpenError::Locked { .. }));
                require(locked, || "a second process opened the log".into())?;
            }
            7..10 => {
                let faults = self.faults();
                let synced = tree.sync();
                let excused = self.fs.is_stopped() || self.faults() > faults;
                require(synced.is_ok() || excused, || format!("tree: {synced:?}"))?;
                let again = synced.is_err() && self.fs.quietly(|| tree.sync()).is_ok();
                require(!again, || "a tree whose sync failed says it is durable".into())?;
                return Ok(synced.is_ok());
            }
            _ => {}
        }
        Ok(true)
    }

    /// A writer that said no: rightly, and it says nothing else from then on.
    fn stopped_writing(
        &mut self,
        error: &AppendError,
        opened: &mut Opened,
        append: Option<(Epoch, &Made)>,
        faults: u64,
    ) -> Result<End, Violation> {
        if self.fs.is_stopped() {
            return Ok(End::Down);
        }
        require(self.faults() > faults, || format!("not appended without a fault: {error}"))?;
        match (error, &append) {
            (AppendError::Epoch(_), None) | (AppendError::Unknown(_), Some(_)) => {}
            (AppendError::Roll(_), Some(_)) => self.model.refuse(),
            _ => return violated(format!("a disk that fails is no reason for: {error}")),
        }
        let again = match append {
            None => opened.writer.open_epoch("simulator").map(|_| ()),
            Some((epoch, made)) => {
                let tip = self.model.tip();
                opened.writer.append(epoch, tip.size, &made.group).map(|_| ())
            }
        };
        require(matches!(again, Err(AppendError::Poisoned)), || {
            format!("not poisoned: {again:?}")
        })?;
        if self.plant != Some(Plant::AckEarly) {
            self.model.judge_tip(opened.reader.tip())?;
        }
        Ok(End::Down)
    }

    /// How many faults there were that are not crashes.
    fn faults(&self) -> u64 {
        let counts = self.fs.counts();
        let crashes = [Fault::Kill, Fault::PowerLoss];
        Fault::ALL
            .into_iter()
            .filter(|kind| !crashes.contains(kind))
            .map(|kind| counts.of(kind))
            .sum()
    }
}

/// What makes a refusal right.
enum Excuse {
    /// The bit that it names.
    Rot(Rot),
    /// A sector torn inside, or of which the group had few bytes: no sign tells it from damage.
    Torn,
}

fn tree_dir() -> PathBuf {
    Path::new(DIRECTORY).join("tree")
}

/// Half of the disks never fail; the others in some of the ways.
pub(crate) fn rates(random: &mut Random) -> Rates {
    if random.chance(1, 2) {
        return Rates::default();
    }
    let mut rate = || if random.chance(1, 2) { random.within(50, 800) } else { 0 };
    Rates { read: rate(), write: rate(), sync: rate(), sync_dir: rate() }
}
