//! Looks at every part of a data directory, and goes on behind whatever is damaged.
//!
//! [`SegmentLog::open`](crate::SegmentLog::open) ends at the first damage and refuses; this says
//! what else is wrong, where, and what to do. It changes nothing, holds no lock, and a writer may be
//! at work. It checks frames, the chain, the tree and what claims something about them; it does not
//! check envelopes or rules, and of checkpoints only that of the last commit. The rows are not
//! looked at: opening them writes.

mod finding;
pub(crate) mod log;
mod nodes;

use std::io;
use std::path::{Path, PathBuf};

use tally_protocol::Position;
use tally_tlog::{Checkpoint, CheckpointError, Origin, TreeSize};

use crate::error::{FileError, OpenError, Step};
use crate::files::{INDEX_SUFFIX, Layout, SEGMENT_SUFFIX, SegmentName, length, read_from};
pub use crate::fsck::finding::{CheckpointFlaw, Finding, Flaw, Severity};
use crate::fsck::log::{LogCheck, SegmentState, file_of};
use crate::fsck::nodes::{Nodes, TREE_DIR};
use crate::log::{Commit, Progress};
use crate::mark::MarkRead;
use crate::recover::HOLDER_CHARACTERS;
use crate::tiers::{SYNCED_FILE, is_level_file, is_tier_file};

/// Most findings that are kept; of more only the number.
pub const MAX_FINDINGS: usize = 10_000;

/// The log's directory, from the data directory.
const LOG_DIR: &str = "log";

/// The mark, from the data directory.
const MARK_FILE: &str = "mark";

/// Where a repair keeps segments as they were, from the data directory.
pub(crate) const ASIDE_DIR: &str = "damaged";

/// Gives what a checkpoint note claims, if it is to be believed: the store knows no keys.
pub type CheckpointVerifier<'a> = dyn Fn(&[u8]) -> Result<Checkpoint, CheckpointError> + 'a;

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's name; `None` when no header says it.
    pub origin: Option<Origin>,
    /// How many events the last commit that can be read says there are.
    pub size: TreeSize,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes of the segments.
    pub bytes: u64,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// How many findings there were beyond [`MAX_FINDINGS`].
    pub left_out: u64,
    /// The writer that has the directory, as it calls itself.
    pub writer: Option<String>,
    /// Behind this position neither roots nor inner nodes were compared: events before are missing
    /// that nothing can stand in for.
    pub roots_end: Option<Position>,
}

impl Report {
    /// Whether the next start leaves everything right without anybody's doing.
    pub fn is_whole(&self) -> bool {
        self.left_out == 0 && !self.findings.iter().any(|finding| finding.severity.is_harm())
    }
}

/// Looks at all of a data directory. Without `origin` the first segment names the log.
///
/// # Errors
///
/// [`OpenError::NoLog`] and [`OpenError::File`]; bytes that cannot be read are findings.
pub fn fsck(
    dir: &Path,
    origin: Option<&Origin>,
    verifier: &CheckpointVerifier<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, OpenError> {
    check(&Layout::new(dir), origin, verifier, progress).map(|(report, _)| report)
}

/// Looks at all of a data directory on another file system than the operating system's.
///
/// # Errors
///
/// As [`fsck`].
pub fn fsck_on(
    fs: std::sync::Arc<dyn crate::fs::FileSystem>,
    dir: &Path,
    origin: Option<&Origin>,
    verifier: &CheckpointVerifier<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, OpenError> {
    check(&Layout::on(fs, dir), origin, verifier, progress).map(|(report, _)| report)
}

/// The report, and what a repair must know of each segment.
pub(crate) fn check(
    layout: &Layout,
    origin: Option<&Origin>,
    verifier: &CheckpointVerifier<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Vec<SegmentState>), OpenError> {
    let writer = writer_of(layout)?;
    // IMPORTANT: mark and tree before the log: a writer at work moves the log first.
    let read = MarkRead::take(layout)?;
    let nodes = Nodes::open(layout.fs(), &layout.root().join(TREE_DIR))?;
    let mut findings = Findings::default();
    let names = list(layout, &mut findings)?;
    if names.is_empty() && read.blank {
        return Err(OpenError::NoLog { path: layout.root().to_owned() });
    }
    let bytes = total_bytes(layout, &names)?;
    let mut log = LogCheck::new(layout, &read, &mut findings, nodes, origin.cloned());
    log.has_writer = writer.is_some();
    log.run(&names, bytes, progress)?;
    check_mark(&mut log, names.last().map(|&last| bytes_of(layout, last)).transpose()?);
    check_checkpoint(&mut log, verifier);
    let size = log.size();
    let LogCheck { nodes, origin, segments, roots_end, .. } = log;
    // Nodes of acknowledged events that the log has lost are not too many.
    let marked = read.mark().map_or(TreeSize::ZERO, |mark| mark.size);
    for finding in nodes.finish(size.max(marked)) {
        findings.add(finding);
    }
    findings.list.sort_by(|a, b| (a.severity, &a.file).cmp(&(b.severity, &b.file)));
    let Findings { list, left_out } = findings;
    let (findings, count) = (list, names.len());
    let report =
        Report { origin, size, segments: count, bytes, findings, left_out, writer, roots_end };
    Ok((report, segments))
}

/// Who holds the lock, if somebody does.
fn writer_of(layout: &Layout) -> Result<Option<String>, FileError> {
    let path = layout.lock();
    let file = match layout.fs().open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(FileError::at(Step::Open, &path))?,
    };
    // Given back at once: nobody is kept from starting.
    if file.try_lock().map_err(FileError::at(Step::Lock, &path))? {
        return Ok(None);
    }
    let text = read_from(&*file, &path, 0)?;
    let text = String::from_utf8_lossy(&text);
    Ok(Some(text.trim().chars().take(HOLDER_CHARACTERS).collect()))
}

/// The segments, in order; what else lies about is noted.
fn list(layout: &Layout, findings: &mut Findings) -> Result<Vec<SegmentName>, FileError> {
    let mut names = Vec::new();
    let mut others = Vec::new();
    for path in entries(layout, &layout.log())? {
        let file = name_of(&path);
        match SegmentName::parse(&file) {
            Some(name) => names.push(name),
            None => others.push(file),
        }
    }
    names.sort_unstable();
    for file in others {
        let segment = file.strip_suffix(INDEX_SUFFIX).map(|name| format!("{name}{SEGMENT_SUFFIX}"));
        let segment = segment.and_then(|name| SegmentName::parse(&name));
        if file.ends_with(SEGMENT_SUFFIX) {
            findings.add_file(Severity::ByHand, LOG_DIR, &file, Flaw::StrangeName);
        } else if segment.is_none_or(|segment| names.binary_search(&segment).is_err()) {
            findings.add_file(Severity::Leftover, LOG_DIR, &file, Flaw::Stray);
        }
    }
    for path in entries(layout, &layout.root().join(TREE_DIR))? {
        let file = name_of(&path);
        // The next start removes files of levels, as older programs made them.
        let is_the_tree_s = is_tier_file(&file) || is_level_file(&file) || file == SYNCED_FILE;
        if !is_the_tree_s {
            findings.add_file(Severity::Leftover, TREE_DIR, &file, Flaw::Stray);
        }
    }
    for path in entries(layout, &layout.root().join(ASIDE_DIR))? {
        findings.add_file(Severity::Leftover, ASIDE_DIR, &name_of(&path), Flaw::KeptAside);
    }
    Ok(names)
}

fn entries(layout: &Layout, dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    match layout.fs().read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(FileError::at(Step::List, dir)),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn bytes_of(layout: &Layout, name: SegmentName) -> Result<u64, FileError> {
    let path = layout.segment(name);
    length(&*crate::files::open_to_read(layout.fs(), &path)?, &path)
}

fn total_bytes(layout: &Layout, names: &[SegmentName]) -> Result<u64, FileError> {
    names.iter().map(|&name| bytes_of(layout, name)).sum()
}

/// Holds the log to the mark, and says what the mark itself is worth.
fn check_mark(log: &mut LogCheck<'_>, end: Option<u64>) {
    let nothing = Position(0)..Position(0);
    let mut add = |severity, flaw| {
        let file = MARK_FILE.into();
        log.findings.add(Finding { file, bytes: 0..0, positions: nothing.clone(), severity, flaw });
    };
    let has_segments = end.is_some();
    if log.read.blank {
        add(Severity::Rebuildable, Flaw::MarkMissing);
    } else if !log.read.whole && !has_segments {
        add(Severity::Ledger, Flaw::LogMissing);
    } else if !log.read.whole {
        add(Severity::Rebuildable, Flaw::MarkDamaged);
    }
    let Some(mark) = log.read.mark() else { return };
    if log.at_mark.is_some_and(|chain| chain != mark.chain) {
        add(Severity::ByHand, Flaw::MarkDisagrees(mark.size));
    }
    let size = log.size();
    if mark.size <= size {
        return;
    }
    let end_of_mark = Position::at_tip(mark.size);
    if let Some(finding) = log.open_end {
        log.findings.extend(finding, end_of_mark);
        return;
    }
    let name = log.segments.last().map_or(SegmentName(Position(0)), |segment| segment.name);
    let end = end.unwrap_or(0);
    log.findings.add(Finding {
        file: file_of(name),
        bytes: end..end,
        positions: Position::at_tip(size)..end_of_mark,
        severity: Severity::Ledger,
        flaw: Flaw::EndsEarly(mark.size),
    });
}

/// Whether the last commit's checkpoint says what the commit says, and is to be believed.
fn check_checkpoint(log: &mut LogCheck<'_>, verifier: &CheckpointVerifier<'_>) {
    let Some((commit, segment, bytes)) = &log.last else { return };
    let Err(problem) = believe(commit, log.origin.as_ref(), verifier) else { return };
    let end = Position::at_tip(commit.size);
    log.findings.add(Finding {
        file: file_of(*segment),
        bytes: bytes.clone(),
        positions: end..end,
        severity: Severity::Ledger,
        flaw: Flaw::Checkpoint { size: commit.size, problem },
    });
}

/// Opens a commit's checkpoint, which must be of the commit's own tree.
pub(crate) fn believe(
    commit: &Commit,
    origin: Option<&Origin>,
    verifier: &CheckpointVerifier<'_>,
) -> Result<(), CheckpointFlaw> {
    let signed = verifier(&commit.checkpoint).map_err(CheckpointFlaw::Invalid)?;
    if origin.is_some_and(|origin| *origin != signed.origin) {
        let error = CheckpointError::WrongOrigin { claimed: signed.origin };
        return Err(CheckpointFlaw::Invalid(error));
    }
    if signed.size != commit.size {
        return Err(CheckpointFlaw::Size { signed: signed.size });
    }
    if signed.root != commit.root {
        return Err(CheckpointFlaw::Root { signed: signed.root });
    }
    Ok(())
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    left_out: u64,
}

impl Findings {
    /// Keeps a finding, under the number that is returned, unless there are too many.
    fn add(&mut self, finding: Finding) -> Option<usize> {
        if self.list.len() == MAX_FINDINGS {
            self.left_out += 1;
            return None;
        }
        self.list.push(finding);
        Some(self.list.len() - 1)
    }

    fn add_file(&mut self, severity: Severity, dir: &str, file: &str, flaw: Flaw) {
        let (file, positions) = (Path::new(dir).join(file), Position(0)..Position(0));
        self.add(Finding { file, bytes: 0..0, positions, severity, flaw });
    }

    /// The events up to this position were lost to it too.
    fn extend(&mut self, finding: usize, to: Position) {
        let positions = &mut self.list[finding].positions;
        positions.end = positions.end.max(to);
    }

    fn count(&self) -> Count {
        Count { kept: self.list.len(), left_out: self.left_out }
    }

    /// Takes back what was found since there were so many.
    fn cut(&mut self, count: Count) {
        self.list.truncate(count.kept);
        self.left_out = count.left_out;
    }
}

/// How many findings there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    kept: usize,
    left_out: u64,
}
