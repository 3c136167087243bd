//! Copies of the ledger, as a backup takes them: onto the same disk, beside a writer at work, and
//! of what a crash left before anything is recovered.
//!
//! What is held to them, after every crash:
//!
//! - the copy's directory is a log that opens and ends where a group ended, or there is none yet;
//! - what a copy held that returned without an error is there, and is never lost by the source;
//! - an interrupted copy is completed by the next, and a damaged one is named, not believed.

use std::path::Path;
use std::sync::Arc;

use tally_store::fs::FileSystem;
use tally_store::{
    Copied, CopyError, Damage, LogReader, OpenError, Options, Progress, SegmentLog, SegmentName,
    SegmentReader, copy_log_on,
};
use tally_tlog::TreeSize;

use crate::disk::{Fault, Rot, SimFs};
use crate::model::{Model, Violation, origin, require, violated};
use crate::random::{Random, mix};
use crate::run::DIRECTORY;

/// Where the copy is: not even its directory is there at first.
const COPY: &str = "/srv/backups/ledger";

/// Sets the numbers for copies apart from those of the rest; no kept seed takes copies by it, so that
/// each still meets what it met.
const STREAM: u64 = 0xc0b1e6;

/// Copies are taken in one of so many runs.
const RUNS: u64 = 8;

/// The copy of one run's ledger.
pub(crate) struct Copies {
    fs: SimFs,
    /// Of its own: runs without copies draw the same numbers as if there were none.
    random: Random,
    wanted: bool,
    /// Events that the last whole copy held; none before the first.
    promised: TreeSize,
    /// Events that the copy was last seen to hold, of one that was broken off too.
    held: TreeSize,
    /// A bit of the copy that is flipped at present.
    rot: Option<Rot>,
    /// Copies that returned without an error.
    pub(crate) whole: u64,
    /// Copies that were broken off.
    pub(crate) broken: u64,
    /// Copies in which damage was found.
    pub(crate) damaged: u64,
}

/// Copies the ledger.
pub(crate) fn copy(fs: &SimFs, progress: &mut dyn FnMut(Progress)) -> Result<Copied, CopyError> {
    copy_log_on(Arc::new(fs.clone()), Path::new(DIRECTORY), Path::new(COPY), progress)
}

impl Copies {
    pub(crate) fn new(seed: u64, fs: &SimFs) -> Self {
        let mut random = Random::new(mix(seed ^ STREAM));
        let wanted = random.chance(1, RUNS);
        let (promised, held, rot) = (TreeSize::ZERO, TreeSize::ZERO, None);
        let (fs, whole, broken, damaged) = (fs.clone(), 0, 0, 0);
        Self { fs, random, wanted, promised, held, rot, whole, broken, damaged }
    }

    /// Whether to copy what a crash left: most often when it broke a copy off.
    pub(crate) fn is_due(&mut self) -> bool {
        self.chance(if self.held > self.promised { 3 } else { 1 }, 4)
    }

    /// Whether to do something about copies now.
    pub(crate) fn chance(&mut self, times: u64, out_of: u64) -> bool {
        self.wanted && self.random.chance(times, out_of)
    }

    /// Takes over a flipped bit if it is in the copy; one at a time.
    pub(crate) fn take_rot(&mut self, rot: Rot) -> Option<Rot> {
        if !rot.path.starts_with(COPY) {
            return Some(rot);
        }
        match &self.rot {
            None => self.rot = Some(rot),
            Some(_) => self.fs.mend(&rot),
        }
        None
    }

    /// Judges what became of a copy when `begun` events were acknowledged before; `failed` when
    /// the disk failed meanwhile.
    pub(crate) fn judge(
        &mut self,
        begun: TreeSize,
        outcome: Result<Copied, CopyError>,
        failed: bool,
        model: &Model,
    ) -> Result<(), Violation> {
        match outcome {
            Ok(copied) => {
                let size = copied.commit.as_ref().map_or(TreeSize::ZERO, |commit| commit.size);
                require(size >= begun, || {
                    format!("{begun} events were acknowledged, {size} copied")
                })?;
                require(!self.is_rotten(), || "a damaged copy was completed".into())?;
                self.promised = size;
                self.whole += 1;
                self.judge_left(model)
            }
            Err(CopyError::Open(OpenError::File(_))) if failed => {
                self.broken += 1;
                self.judge_left(model)
            }
            Err(CopyError::TargetDiffers { segment, offset }) if self.is_at(segment, offset) => {
                self.mend();
                Ok(())
            }
            Err(error) => violated(format!("not copied, with {:?} rotten: {error}", self.rot)),
        }
    }

    /// Judges what a crash left of the copy, or a copy that was broken off.
    pub(crate) fn judge_left(&mut self, model: &Model) -> Result<(), Violation> {
        if !self.wanted || self.fs.is_stopped() {
            return Ok(());
        }
        let fs = Arc::new(self.fs.clone());
        let open = || SegmentReader::open_read_only_on(fs, Path::new(COPY), &mut |_| {});
        let damage = match self.fs.quietly(open) {
            Ok((reader, found)) if found.cut.is_none() => {
                require(!self.is_rotten(), || "a damaged copy was opened".into())?;
                self.held = reader.tip().size;
                return self.fs.quietly(|| model.judge_copy(&reader, self.promised));
            }
            Err(OpenError::NoLog { .. }) if self.promised == TreeSize::ZERO => return Ok(()),
            Ok((_, found)) => found.cut.expect("looked at above").damage,
            Err(OpenError::Damaged { damage, .. } | OpenError::Foreign { damage }) => damage,
            Err(error) => return violated(format!("the copy is not opened: {error}")),
        };
        self.judge_damage(&damage)?;
        self.mend();
        self.judge_left(model)
    }

    fn judge_damage(&self, damage: &Damage) -> Result<(), Violation> {
        let named = |rot: &Rot| rot.path == segment(damage.segment) && damage.offset <= rot.at;
        require(self.rot.as_ref().is_some_and(named), || {
            format!("the copy, with {:?} rotten: {damage}", self.rot)
        })
    }

    /// Judges the log that was opened: it still has what its copy has. Only a sync that failed can
    /// make it forget; then the copy is of another history, and no copy goes on with it.
    pub(crate) fn judge_source(&mut self, model: &Model) -> Result<(), Violation> {
        let tip = model.tip();
        if self.held <= tip.size {
            return Ok(());
        }
        let forgot = self.fs.counts().of(Fault::SyncError) > 0;
        require(forgot, || format!("{} events were copied, {tip:?} is left", self.held))?;
        let refused = self.fs.quietly(|| copy(&self.fs, &mut |_| {}));
        let other =
            matches!(refused, Err(CopyError::TargetAhead { .. } | CopyError::TargetDiffers { .. }));
        require(other, || format!("another history was copied over: {refused:?}"))?;
        self.fs.clone().quietly(|| self.remove());
        Ok(())
    }

    /// On a disk without faults: a copy of everything comes back from a power loss as a ledger.
    pub(crate) fn restore(&mut self, model: &Model) -> Result<(), Violation> {
        if !self.wanted {
            return Ok(());
        }
        let all = model.tip().size;
        while self.promised < all {
            self.judge(all, copy(&self.fs, &mut |_| {}), false, model)?;
        }
        self.fs.lose_power();
        self.judge_left(model)?;
        let (fs, options) = (Arc::new(self.fs.clone()), Options::default());
        match SegmentLog::open_on(fs, Path::new(COPY), &origin(), options, &mut |_| {}) {
            Ok((_writer, reader, _)) => model.judge_copy(&reader, all),
            Err(error) => violated(format!("the copy is not restored: {error}")),
        }
    }

    /// Whether a bit of a segment is flipped; others, of a copy broken off, nobody reads.
    fn is_rotten(&self) -> bool {
        self.rot.as_ref().is_some_and(|rot| rot.path.extension().is_some_and(|end| end == "seg"))
    }

    fn is_at(&self, name: SegmentName, offset: u64) -> bool {
        self.rot.as_ref().is_some_and(|rot| rot.path == segment(name) && rot.at == offset)
    }

    /// What an operator would do: put back the byte.
    fn mend(&mut self) {
        let rot = self.rot.take().expect("damage was found where a bit is flipped");
        self.fs.mend(&rot);
        self.damaged += 1;
    }

    fn remove(&mut self) {
        let log = Path::new(COPY).join("log");
        for path in self.fs.read_dir(&log).expect("quiet") {
            self.fs.remove(&path).expect("quiet");
        }
        self.fs.sync_dir(&log).expect("quiet");
        (self.promised, self.held, self.rot) = (TreeSize::ZERO, TreeSize::ZERO, None);
    }
}

fn segment(name: SegmentName) -> std::path::PathBuf {
    Path::new(COPY).join("log").join(name.to_string())
}
