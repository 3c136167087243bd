//! Repairs a damaged log from another copy of the same ledger.
//!
//! Whole segments stay as they are. Where events are damaged or missing, new segments are written
//! beside from what the source gives and what stands behind the damage, and all of the repaired log
//! is held to its highest signed head before anything is changed. Then the new segments take their
//! places, one at a time, and those that they replace are kept aside.
//!
//! A repair that is interrupted can be run again: the mark claims the repaired log before the first
//! segment is replaced, so that nobody starts a ledger without its end, and each segment is the old
//! or the new one at any moment. Does not repair what a start makes anew: indexes, tree, rows.

mod plan;
mod source;
mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tally_protocol::Position;
use tally_tlog::{Hash, Origin, TreeSize};
use thiserror::Error;

use crate::error::{Cause, FileError, OpenError, Step};
use crate::files::{Layout, SegmentName, create_dir, exists, sync_dir};
use crate::fsck::log::{Condition, Evidence, SegmentState, file_of};
use crate::fsck::{ASIDE_DIR, CheckpointFlaw, CheckpointVerifier, Flaw, Report, check};
use crate::log::Progress;
use crate::mark::{Mark, MarkFile, MarkRead};
use crate::recover::lock;
use crate::repair::plan::{Part, lay_out};
pub use crate::repair::source::{DirectorySource, Given, Source, SourceError};
use crate::repair::weave::{Known, Weaver, Woven};

/// How a segment's file ends while it is written beside its place.
const BESIDE_SUFFIX: &str = "repaired";

/// What a repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// How many events the log has.
    pub size: TreeSize,
    /// The root of the signed head that it agrees with; `None` for a log without events.
    pub root: Option<Hash>,
    /// Segments that were written.
    pub written: Vec<SegmentName>,
    /// Events that the source gave.
    pub given: u64,
    /// Where files were put that are no part of the log any more.
    pub aside: Vec<PathBuf>,
}

/// What a repair does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairStep {
    /// It reads the damaged log.
    Check(Progress),
    /// It puts the repaired log together.
    Build(Progress),
    /// It makes the mark claim the repaired log: from here on files are changed.
    Mark,
    /// It keeps a segment as it is under another name.
    Keep(SegmentName),
    /// It puts a new segment in its place.
    Replace(SegmentName),
    /// It puts a file away.
    PutAway(PathBuf),
}

/// Why a log was not repaired. But for [`RepairError::Interrupted`] nothing was changed.
#[derive(Debug, Error)]
pub enum RepairError {
    /// The log is held by a writer, is none, or the disk failed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source did not give what was asked for.
    #[error("the copy is of no use: {0}")]
    Source(#[from] SourceError),
    /// A segment that another version of this program wrote.
    #[error("{segment} has another format; repair it with the program that wrote it")]
    NewerFormat {
        /// Which.
        segment: SegmentName,
    },
    /// The source is a copy of another ledger.
    #[error("the copy is of the ledger {found}, not of {expected}; name a copy of this ledger")]
    OtherLedger {
        /// The source's log.
        found: Origin,
        /// The one to be repaired.
        expected: Origin,
    },
    /// The source ends before the damage does.
    #[error(
        "the copy has {has} events, {needs} are needed to close the gap; name a copy that reaches \
         further, or accept the loss and take the ledger from a backup by `tally restore`"
    )]
    TooShort {
        /// How many it has.
        has: TreeSize,
        /// How many it must have.
        needs: TreeSize,
    },
    /// What the source gives and what stands in the log are not of one history.
    #[error(
        "at position {position} the copy and the damaged log are of different histories: {cause}; \
         one of them is a fork, so keep both and compare them by `tally verify`"
    )]
    Fork {
        /// Where.
        position: Position,
        /// What does not fit.
        cause: Cause,
    },
    /// A head that stands in the damaged log is not one of the repaired log.
    #[error(
        "the damaged log holds a head of {size} events that the copy does not lead to; one of them \
         is a fork, so keep both and compare them by `tally verify`"
    )]
    Contradicted {
        /// Its size.
        size: TreeSize,
    },
    /// The mark is not one of the repaired log.
    #[error(
        "the mark says that the log's {size} events have another chain hash than the copy leads \
         to; one of them is a fork, so keep both and compare them by `tally verify`"
    )]
    MarkDisagrees {
        /// Its size.
        size: TreeSize,
    },
    /// A head whose root is not that of the events.
    #[error(
        "the head of {size} events says root {expected}, the events have {found}; name another copy"
    )]
    WrongRoot {
        /// Its size.
        size: TreeSize,
        /// What it says.
        expected: Hash,
        /// What the events give.
        found: Hash,
    },
    /// A head that is not signed as it must be.
    #[error(
        "the head of {size} events is not to be believed: {problem}; check the key, or name another copy"
    )]
    NotSigned {
        /// Its size.
        size: TreeSize,
        /// Why.
        problem: CheckpointFlaw,
    },
    /// Events behind the last head that is known.
    #[error("no signed head of {size} events is known; name another copy")]
    NoHead {
        /// How many events there are.
        size: TreeSize,
    },
    /// A segment that was whole a moment ago.
    #[error("{segment} changed while it was read; look at the disk and run the repair again")]
    Changed {
        /// Which.
        segment: SegmentName,
    },
    /// The repaired log was found good, and not all of it is in its place.
    #[error("{0}; the repair is not finished: mend that and run it again")]
    Interrupted(#[source] FileError),
}

impl From<FileError> for RepairError {
    fn from(error: FileError) -> Self {
        Self::Open(error.into())
    }
}

/// Repairs the log in `dir` from a source, and makes it as long as the longer of both.
///
/// What results has the root that its last head signs, as `verifier` says; contains every signed
/// head that stands in the damaged log; and is no shorter than what is known to be acknowledged.
///
/// # Errors
///
/// [`RepairError`].
pub fn repair(
    dir: &Path,
    origin: &Origin,
    source: &dyn Source,
    verifier: &CheckpointVerifier<'_>,
    progress: &mut dyn FnMut(RepairStep),
) -> Result<Repaired, RepairError> {
    if source.origin() != origin {
        let (found, expected) = (source.origin().clone(), origin.clone());
        return Err(RepairError::OtherLedger { found, expected });
    }
    let layout = Layout::new(dir);
    let _lock = lock(&layout)?;
    let read = MarkRead::take(&layout)?;
    let (report, states) = check(&layout, Some(origin), verifier, &mut |now| {
        progress(RepairStep::Check(now));
    })?;
    let newer = states.iter().find(|state| state.condition == Condition::NewerFormat);
    if let Some(SegmentState { name, .. }) = newer {
        return Err(RepairError::NewerFormat { segment: *name });
    }
    let strangers = strangers(&report, &states);
    let mut known = gather(&states, origin, verifier, read.mark());
    known.least = known.least.max(source.acknowledged()).max(stored_leaves(&report));
    let parts = lay_out(states, source.size());
    let woven = weave(&layout, &known, &parts, source, report.bytes, progress)?;
    let away = without_place(strangers, &parts, &woven);
    put_in_place(&layout, woven, away, read.mark(), progress)
}

/// Files that no start reads past, and that are no part of the log.
fn strangers(report: &Report, states: &[SegmentState]) -> Vec<PathBuf> {
    let strange = report.findings.iter().filter(|finding| finding.flaw == Flaw::StrangeName);
    let foreign = states
        .iter()
        .filter(|state| matches!(state.condition, Condition::Foreign | Condition::Superfluous));
    strange
        .map(|finding| finding.file.clone())
        .chain(foreign.map(|state| file_of(state.name)))
        .collect()
}

/// How many events the tree has nodes of, if the log has fewer.
fn stored_leaves(report: &Report) -> TreeSize {
    let ahead = |flaw: &Flaw| match flaw {
        Flaw::TreeAhead(size) => Some(*size),
        _ => None,
    };
    let sizes = report.findings.iter().filter_map(|finding| ahead(&finding.flaw));
    sizes.max().unwrap_or(TreeSize::ZERO)
}

/// What is known about the log beside its whole segments.
fn gather<'a>(
    states: &[SegmentState],
    origin: &'a Origin,
    verifier: &'a CheckpointVerifier<'a>,
    mark: Option<Mark>,
) -> Known<'a> {
    let least = mark.map_or(TreeSize::ZERO, |mark| mark.size);
    let mut known = Known { origin, verifier, mark, least, evidence: BTreeMap::new() };
    for state in states.iter().filter(|state| state.condition == Condition::Damaged) {
        known.least = known.least.max(state.said);
        for Evidence { commit, proven } in &state.evidence {
            if *proven || known.believe(commit).is_ok() {
                known.least = known.least.max(commit.size);
                known.evidence.entry(commit.size).or_default().push(commit.clone());
            }
        }
    }
    known
}

fn weave(
    layout: &Layout,
    known: &Known<'_>,
    parts: &[Part],
    source: &dyn Source,
    bytes_total: u64,
    progress: &mut dyn FnMut(RepairStep),
) -> Result<Woven, RepairError> {
    let mut tell = |bytes_done| {
        progress(RepairStep::Build(Progress { bytes_done, bytes_total }));
    };
    create_dir(&layout.log())?;
    remove_unfinished(layout)?;
    let woven = Weaver::new(layout, known, &mut tell).weave(parts, source);
    if woven.is_err() {
        remove_unfinished(layout)?;
    }
    woven
}

/// Removes what was written beside and takes no place.
fn remove_unfinished(layout: &Layout) -> Result<(), FileError> {
    let log = layout.log();
    let listed = layout.fs().read_dir(&log).map_err(FileError::at(Step::List, &log))?;
    for path in listed {
        if path.extension().is_some_and(|suffix| suffix == BESIDE_SUFFIX) {
            fs::remove_file(&path).map_err(FileError::at(Step::Remove, &path))?;
        }
    }
    Ok(())
}

/// Files that stand in no part of the repaired log, and in whose place no new segment comes.
fn without_place(strangers: Vec<PathBuf>, parts: &[Part], woven: &Woven) -> Vec<PathBuf> {
    let damaged = parts.iter().filter_map(|part| match part {
        Part::Fill(hole) => Some(&hole.segments),
        Part::Keep(_) => None,
    });
    let damaged = damaged.flatten().map(|state| file_of(state.name));
    let joined = woven.joined.iter().map(|&name| file_of(name));
    let made: BTreeSet<PathBuf> = woven.made.iter().map(|made| file_of(made.name)).collect();
    strangers.into_iter().chain(damaged).chain(joined).filter(|file| !made.contains(file)).collect()
}

/// Puts the new segments in their places, if there are any.
fn put_in_place(
    layout: &Layout,
    woven: Woven,
    away: Vec<PathBuf>,
    mark: Option<Mark>,
    progress: &mut dyn FnMut(RepairStep),
) -> Result<Repaired, RepairError> {
    let size = woven.commit.as_ref().map_or(TreeSize::ZERO, |commit| commit.size);
    let aside = if woven.made.is_empty() && away.is_empty() {
        Vec::new()
    } else {
        let epoch = mark.map_or(woven.epoch, |mark| mark.epoch.max(woven.epoch));
        let wanted = Mark { size, chain: woven.chain, epoch };
        change(layout, &woven, away, wanted, progress).map_err(RepairError::Interrupted)?
    };
    let root = woven.commit.map(|commit| commit.root);
    let written = woven.made.iter().map(|made| made.name).collect();
    Ok(Repaired { size, root, written, given: woven.given, aside })
}

/// Changes the directory: from here on there is no way but forward. Gives the files put aside.
fn change(
    layout: &Layout,
    woven: &Woven,
    away: Vec<PathBuf>,
    wanted: Mark,
    progress: &mut dyn FnMut(RepairStep),
) -> Result<Vec<PathBuf>, FileError> {
    let mut aside = Aside::open(layout)?;
    if wanted.size > TreeSize::ZERO {
        progress(RepairStep::Mark);
        claim(layout, wanted)?;
    }
    for made in &woven.made {
        let place = layout.segment(made.name);
        if exists(layout.fs(), &place)? {
            progress(RepairStep::Keep(made.name));
            aside.keep(&place)?;
        }
        progress(RepairStep::Replace(made.name));
        fs::rename(&made.beside, &place).map_err(FileError::at(Step::Create, &place))?;
        sync_dir(&layout.log())?;
    }
    for file in away {
        let path = layout.root().join(&file);
        progress(RepairStep::PutAway(file));
        aside.keep(&path)?;
        fs::remove_file(&path).map_err(FileError::at(Step::Remove, &path))?;
        sync_dir(&layout.log())?;
    }
    Ok(aside.files)
}

/// Makes the mark claim the repaired log, durably: a start without its end then fails.
fn claim(layout: &Layout, wanted: Mark) -> Result<(), FileError> {
    let read = MarkRead::take(layout)?;
    let mut mark = MarkFile::open(layout, &read)?;
    if !read.whole || read.mark() != Some(wanted) {
        mark.advance(wanted)?;
    }
    mark.sync()?;
    sync_dir(layout.root())
}

/// Where files are kept that are no part of the log any more.
struct Aside {
    dir: PathBuf,
    files: Vec<PathBuf>,
}

impl Aside {
    fn open(layout: &Layout) -> Result<Self, FileError> {
        let dir = layout.root().join(ASIDE_DIR);
        create_dir(&dir)?;
        Ok(Self { dir, files: Vec::new() })
    }

    /// Gives a file a second name here. The first one stays, so that it is never without a file.
    fn keep(&mut self, path: &Path) -> Result<(), FileError> {
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        let mut names =
            std::iter::once(name.to_string()).chain((1_u64..).map(|n| format!("{name}.{n}")));
        let free = names.find_map(|name| {
            let free = self.dir.join(name);
            match fs::hard_link(path, &free) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                linked => {
                    Some(linked.map(|()| free.clone()).map_err(FileError::at(Step::Create, &free)))
                }
            }
        });
        self.files.push(free.expect("a directory has fewer than 2^64 files")?);
        sync_dir(&self.dir)
    }
}
