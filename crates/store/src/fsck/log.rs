//! Holds the segments to each other, to the tree and to their indexes, all of them, whatever is
//! damaged.
//!
//! Where events are missing, the stored leaf hashes stand in for them, so that the roots of the
//! commits behind can be compared. Does not look at the mark but for the chain hash at its size.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, Position};
use tally_tlog::{Frontier, NodeId, Origin, TreeSize};

use crate::error::{Cause, Damage, FileError, Step};
use crate::files::{Layout, SegmentName};
use crate::fs::DiskFile;
use crate::fsck::finding::{Finding, Flaw, Severity};
use crate::fsck::nodes::Nodes;
use crate::fsck::{Count, Findings, LOG_DIR};
use crate::index;
use crate::log::{Commit, Epoch, Progress};
use crate::mark::MarkRead;
use crate::recover::acknowledged;
use crate::salvage::{Bad, Content, Piece, Place, Salvage};
use crate::scan::SegmentStart;
use crate::tear::Tail;

/// Progress is told each time so many more bytes were read.
const PROGRESS_STEP_BYTES: u64 = 1024 * 1024;

/// What a segment is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All of it.
    Whole,
    /// All of it up to its last commit; the next start cuts off what follows.
    Tail,
    /// Some of it, or none.
    Damaged,
    /// None of it: another segment holds the same events.
    Superfluous,
    /// None of it: it is not this log's.
    Foreign,
    /// This program cannot tell.
    NewerFormat,
}

/// What was found of one segment, as far as a repair must know it.
#[derive(Debug)]
pub(crate) struct SegmentState {
    pub(crate) name: SegmentName,
    pub(crate) condition: Condition,
    /// Its header, if that is whole.
    pub(crate) start: Option<SegmentStart>,
    /// Where the log stands behind its last event.
    pub(crate) end: Place,
    /// Where it stands behind its last commit, and where that ends.
    pub(crate) committed: (Place, u64),
    /// The last commit of each run of frames between damages.
    pub(crate) evidence: Vec<Evidence>,
    /// At least so many events may have been acknowledged, as its damaged end shows.
    pub(crate) said: TreeSize,
}

/// A commit that stands in a damaged segment.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) commit: Commit,
    /// See [`Piece::proven`].
    pub(crate) proven: bool,
}

/// The log while it is checked.
pub(crate) struct LogCheck<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) read: &'a MarkRead,
    pub(crate) findings: &'a mut Findings,
    /// A writer is at work: what it wrote last need not be in the index yet.
    pub(crate) has_writer: bool,
    /// The log's name, once it is known.
    pub(crate) origin: Option<Origin>,
    pub(crate) nodes: Nodes,
    /// The tree; `None` behind events for which nothing can stand in.
    frontier: Option<Frontier>,
    /// Where it was given up.
    pub(crate) roots_end: Option<Position>,
    /// In the tree there are stored leaf hashes that stand in for events, or events that may be
    /// none, and no root has confirmed them yet.
    unconfirmed: bool,
    pub(crate) place: Option<Place>,
    epoch: Epoch,
    pub(crate) at_mark: Option<ChainHash>,
    /// The last commit, its segment and where it stands there.
    pub(crate) last: Option<(Commit, SegmentName, Range<u64>)>,
    /// The finding about damage that reaches to the end of a segment: what comes next says how many
    /// events it cost.
    pub(crate) open_end: Option<usize>,
    pub(crate) segments: Vec<SegmentState>,
    bytes_before: u64,
    bytes_told: u64,
}

/// A segment while it is read.
struct Reading {
    state: SegmentState,
    /// Where reading strictly would have ended.
    first_bad: Option<FirstBad>,
    /// It follows the segment before it.
    is_linked: bool,
    /// It begins before this place, where the segment before it ends.
    overlaps: Option<Place>,
    /// How many findings there were before it.
    findings_before: Count,
    run: Option<Evidence>,
    offsets: Vec<u64>,
    committed_offsets: usize,
}

struct FirstBad {
    offset: u64,
    position: Position,
    cause: Cause,
    /// The size of the log and the byte at the last commit before it.
    committed: (TreeSize, u64),
}

impl<'a> LogCheck<'a> {
    pub(crate) fn new(
        layout: &'a Layout,
        read: &'a MarkRead,
        findings: &'a mut Findings,
        nodes: Nodes,
        origin: Option<Origin>,
    ) -> Self {
        Self {
            layout,
            read,
            findings,
            has_writer: false,
            origin,
            nodes,
            frontier: Some(Frontier::new()),
            roots_end: None,
            unconfirmed: false,
            place: None,
            epoch: Epoch::default(),
            at_mark: None,
            last: None,
            open_end: None,
            segments: Vec::new(),
            bytes_before: 0,
            bytes_told: 0,
        }
    }

    /// Reads all segments; `progress` is told about `bytes_total` bytes.
    pub(crate) fn run(
        &mut self,
        names: &[SegmentName],
        bytes_total: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), FileError> {
        for (n, &name) in names.iter().enumerate() {
            let mut salvage = Salvage::open(self.layout, name, self.origin.as_ref())?;
            let mut reading = Reading::new(name, self.findings.count());
            while let Some(piece) = salvage.next()? {
                self.piece(&mut reading, piece);
                let bytes_done = self.bytes_before + salvage.bytes_done();
                if bytes_done >= self.bytes_told + PROGRESS_STEP_BYTES {
                    self.bytes_told = bytes_done;
                    progress(Progress { bytes_done, bytes_total });
                }
                if matches!(reading.state.condition, Condition::Foreign | Condition::NewerFormat) {
                    break;
                }
            }
            self.bytes_before += salvage.bytes();
            self.end_segment(reading, &salvage, n + 1 == names.len())?;
        }
        progress(Progress { bytes_done: self.bytes_before, bytes_total });
        Ok(())
    }

    fn piece(&mut self, reading: &mut Reading, piece: Piece) {
        let Piece { bytes, content, place, proven } = piece;
        let is_whole = !matches!(content, Content::Bad(_));
        match content {
            Content::Header(start) => self.header(reading, start, bytes),
            Content::Event(event) => {
                reading.offsets.push(bytes.start);
                self.event(&event, proven);
            }
            Content::Commit(commit) => self.commit(reading, commit, bytes, place, proven),
            Content::Bad(bad) => self.bad(reading, bad, bytes),
        }
        if matches!(reading.state.condition, Condition::Foreign | Condition::NewerFormat) {
            return;
        }
        self.place = Some(place);
        reading.state.end = place;
        let at_mark = self.read.mark().is_some_and(|mark| mark.size.as_u64() == place.position.0);
        if is_whole && proven && at_mark {
            self.at_mark = place.chain;
        }
    }

    fn header(&mut self, reading: &mut Reading, start: SegmentStart, bytes: Range<u64>) {
        self.origin.get_or_insert_with(|| start.origin.clone());
        let place = Place { position: start.first, chain: Some(start.previous_chain) };
        self.link(reading, place, bytes.clone());
        if start.epoch < self.epoch {
            let flaw = Flaw::Frame(Cause::SegmentEpoch { found: start.epoch });
            reading.break_link();
            self.add(reading, Severity::Ledger, bytes.clone(), start.first..start.first, flaw);
        }
        self.epoch = self.epoch.max(start.epoch);
        reading.state.committed = (place, bytes.end);
        reading.state.start = Some(start);
    }

    /// Holds the beginning of a segment to the end of the one before it.
    fn link(&mut self, reading: &mut Reading, place: Place, bytes: Range<u64>) {
        let genesis =
            || Place { position: Position(0), chain: self.origin.as_ref().map(ChainHash::genesis) };
        let before = self.place.unwrap_or_else(genesis);
        let (first, end) = (place.position, before.position);
        let open_end = self.open_end.take();
        if first > end {
            match open_end {
                Some(finding) => self.findings.extend(finding, first),
                None => self.missing(end..first),
            }
            self.lose(end..first);
        } else if first < end {
            reading.break_link();
            reading.overlaps = Some(before);
            let flaw = Flaw::Overlap { first, end };
            self.add(reading, Severity::Ledger, bytes, first..first, flaw);
        } else if let (Some(here), Some(there)) = (place.chain, before.chain)
            && here != there
        {
            self.break_links(reading);
            let flaw = Flaw::Frame(Cause::SegmentChain);
            self.add(reading, Severity::Ledger, bytes, first..first, flaw);
        }
    }

    /// Two segments do not fit: nothing here says which of them is the wrong one.
    fn break_links(&mut self, reading: &mut Reading) {
        reading.break_link();
        let before = self.segments.last_mut();
        if let Some(state) = before.filter(|state| state.condition == Condition::Whole) {
            state.condition = Condition::Damaged;
        }
    }

    fn event(&mut self, event: &Event, proven: bool) {
        let (leaf, index) = (event.leaf(), event.position().leaf());
        match &mut self.frontier {
            Some(tree) if tree.size().next_index() == index => {
                tree.append(leaf, |id, hash| self.nodes.compare(id, hash));
                self.unconfirmed |= !proven;
            }
            // An event that another segment holds too.
            Some(tree) if tree.size().contains(index) => {}
            Some(_) | None => {
                self.give_up_tree(event.position());
                self.nodes.compare(NodeId::leaf(index), leaf);
            }
        }
    }

    fn commit(
        &mut self,
        reading: &mut Reading,
        commit: Commit,
        bytes: Range<u64>,
        place: Place,
        proven: bool,
    ) {
        reading.state.committed = (place, bytes.end);
        reading.committed_offsets = reading.offsets.len();
        // A copy: the whole buffer that it was read into would be kept with the slice.
        let checkpoint = Bytes::copy_from_slice(&commit.checkpoint);
        let commit = Commit { checkpoint, ..commit };
        if let Some(flaw) = self.root_flaw(&commit) {
            reading.state.condition = Condition::Damaged;
            let positions = place.position..place.position;
            self.add(reading, Severity::Ledger, bytes.clone(), positions, flaw);
        } else {
            reading.run = Some(Evidence { commit: commit.clone(), proven });
        }
        if commit.size >= self.size() {
            self.last = Some((commit, reading.state.name, bytes));
        }
    }

    /// Compares a commit's root with that of the tree, as far as there is one.
    fn root_flaw(&mut self, commit: &Commit) -> Option<Flaw> {
        let tree = self.frontier.as_ref().filter(|tree| tree.size() == commit.size)?;
        let (size, expected, found) = (commit.size, commit.root, tree.root());
        if found != expected && self.unconfirmed {
            self.give_up_tree(Position::at_tip(size));
            return None;
        }
        self.unconfirmed = false;
        (found != expected).then_some(Flaw::Root { size, expected, found })
    }

    fn bad(&mut self, reading: &mut Reading, bad: Bad, bytes: Range<u64>) {
        let Bad { ref cause, unreadable, before, after } = bad;
        if bytes.start == 0 && self.foreign(reading, cause, &bytes) {
            return;
        }
        if reading.first_bad.is_none() && reading.state.start.is_none() {
            self.link(reading, before, bytes.clone());
        }
        reading.note_first(bytes.start, before.position, cause, self.size());
        reading.state.condition = Condition::Damaged;
        let end = after.map_or(before.position, |after| after.position.max(before.position));
        let flaw = if unreadable { Flaw::Unreadable } else { Flaw::Frame(cause.clone()) };
        let from = match cause {
            Cause::Uncommitted { .. } => reading.state.committed.1,
            _ => bytes.start,
        };
        let lost = before.position..end;
        let range = from..bytes.end;
        let finding = self.add(reading, Severity::Ledger, range, lost.clone(), flaw);
        self.lose(lost);
        match after {
            None => self.open_end = finding,
            Some(after) if !bad.is_linked() => {
                reading.end_run();
                self.forget_future(after);
            }
            Some(_) => {}
        }
    }

    /// A file that another program wrote, or this one will in another version.
    fn foreign(&mut self, reading: &mut Reading, cause: &Cause, bytes: &Range<u64>) -> bool {
        reading.state.condition = match cause {
            Cause::Version(_) => Condition::NewerFormat,
            Cause::Magic | Cause::Origin(_) | Cause::OtherOrigin(_) => Condition::Foreign,
            _ => return false,
        };
        let flaw = Flaw::Frame(cause.clone());
        self.add(reading, Severity::ByHand, bytes.clone(), Position(0)..Position(0), flaw);
        true
    }

    /// Events cannot be read: their stored leaf hashes stand in for them.
    fn lose(&mut self, lost: Range<Position>) {
        for position in (lost.start.0..lost.end.0).map(Position) {
            let Some(tree) = &mut self.frontier else { return };
            let next = tree.size().next_index() == position.leaf();
            match self.nodes.leaf(position).filter(|_| next) {
                Some(leaf) => {
                    tree.append(leaf, |id, hash| self.nodes.compare(id, hash));
                    self.unconfirmed = true;
                }
                None => self.give_up_tree(position),
            }
        }
    }

    fn give_up_tree(&mut self, position: Position) {
        self.frontier = None;
        self.roots_end.get_or_insert(position);
    }

    /// What seemed to stand further on in the log was not written there.
    fn forget_future(&mut self, place: Place) {
        let next = place.position.leaf();
        if self.frontier.as_ref().is_some_and(|tree| tree.size().contains(next)) {
            self.give_up_tree(place.position);
        }
    }

    fn end_segment(
        &mut self,
        mut reading: Reading,
        salvage: &Salvage,
        is_last: bool,
    ) -> Result<(), FileError> {
        reading.end_run();
        if let Some(before) = reading.overlaps {
            self.end_overlap(&mut reading, before);
            // Whatever a file is called that holds no header yet: a start does away with it.
            if is_last && reading.state.start.is_none() {
                reading.is_linked = true;
                self.judge_tail(&mut reading, salvage)?;
            }
        } else {
            match reading.state.condition {
                Condition::Damaged if is_last => self.judge_tail(&mut reading, salvage)?,
                Condition::Whole => self.check_index(&reading, is_last)?,
                _ => {}
            }
        }
        self.segments.push(reading.state);
        Ok(())
    }

    /// A segment that begins within the one before it: the log goes on where that one ends, unless
    /// this one goes further.
    fn end_overlap(&mut self, reading: &mut Reading, before: Place) {
        let end = reading.state.end;
        if end == before && reading.first_bad.is_none() {
            reading.state.condition = Condition::Superfluous;
            self.findings.cut(reading.findings_before);
            let first = reading.state.name.first();
            self.add(reading, Severity::ByHand, 0..0, first..first, Flaw::Superfluous);
        }
        if end.position <= before.position {
            self.place = Some(before);
            self.open_end = None;
        }
    }

    /// Damage at the end of the log: is it a tail that the next start cuts off?
    fn judge_tail(&mut self, reading: &mut Reading, salvage: &Salvage) -> Result<(), FileError> {
        let Some(FirstBad { offset, position, cause, committed: (size, kept) }) =
            reading.first_bad.take()
        else {
            return Ok(());
        };
        let is_place = matches!(cause, Cause::SegmentPosition { .. } | Cause::SegmentChain);
        if !reading.is_linked || is_place {
            return Ok(());
        }
        let path = self.layout.segment(reading.state.name);
        let mut bytes = vec![0; (salvage.bytes() - kept) as usize];
        salvage.file().read_exact_at(&mut bytes, kept).map_err(FileError::at(Step::Read, &path))?;
        let tail = Tail { bytes: bytes.into(), offset: kept };
        let damage = Damage { segment: reading.state.name, offset, position, cause };
        let marked = self.read.mark().map_or(TreeSize::ZERO, |mark| mark.size);
        // What is damaged may have been acknowledged, and so may the events before it.
        let said = TreeSize::new(position.0.max(size.as_u64().saturating_add(1)));
        reading.state.said = said;
        if acknowledged(&tail, size, &damage).is_some() || marked > size {
            return Ok(());
        }
        self.findings.cut(reading.findings_before);
        self.open_end = None;
        let bytes = kept..salvage.bytes();
        let end = Position::at_tip(size);
        if !self.read.whole && !self.has_writer {
            let flaw = Flaw::TailUnproven;
            self.add(reading, Severity::Ledger, bytes, end..end, flaw);
            return Ok(());
        }
        reading.state.condition = Condition::Tail;
        reading.state.said = TreeSize::ZERO;
        let flaw = Flaw::Frame(damage.cause);
        self.add(reading, Severity::Tail, bytes, end..end, flaw);
        Ok(())
    }

    fn check_index(&mut self, reading: &Reading, is_last: bool) -> Result<(), FileError> {
        let path = self.layout.index(reading.state.name);
        let offsets = &reading.offsets[..reading.committed_offsets];
        let is_growing = is_last && self.has_writer;
        let fs = self.layout.fs();
        if is_growing || index::agrees(fs, &path, offsets, true)? {
            return Ok(());
        }
        let is_there = crate::files::exists(fs, &path)?;
        let flaw = if is_there { Flaw::IndexWrong } else { Flaw::IndexMissing };
        let first = reading.state.name.first();
        self.findings.add(Finding {
            file: Path::new(LOG_DIR).join(path.file_name().expect("an index has a name")),
            bytes: 0..0,
            positions: first..first,
            severity: Severity::Rebuildable,
            flaw,
        });
        Ok(())
    }

    fn missing(&mut self, positions: Range<Position>) {
        let file = file_of(SegmentName(positions.start));
        let (bytes, severity) = (0..0, Severity::Ledger);
        let flaw = Flaw::SegmentMissing;
        self.findings.add(Finding { file, bytes, positions, severity, flaw });
    }

    fn add(
        &mut self,
        reading: &Reading,
        severity: Severity,
        bytes: Range<u64>,
        positions: Range<Position>,
        flaw: Flaw,
    ) -> Option<usize> {
        let file = file_of(reading.state.name);
        self.findings.add(Finding { file, bytes, positions, severity, flaw })
    }

    /// The size that the last commit says.
    pub(crate) fn size(&self) -> TreeSize {
        self.last.as_ref().map_or(TreeSize::ZERO, |(commit, _, _)| commit.size)
    }
}

impl Reading {
    fn new(name: SegmentName, findings_before: Count) -> Self {
        let place = Place { position: name.first(), chain: None };
        let state = SegmentState {
            name,
            condition: Condition::Whole,
            start: None,
            end: place,
            committed: (place, 0),
            evidence: Vec::new(),
            said: TreeSize::ZERO,
        };
        Self {
            state,
            first_bad: None,
            is_linked: true,
            overlaps: None,
            findings_before,
            run: None,
            offsets: Vec::new(),
            committed_offsets: 0,
        }
    }

    fn break_link(&mut self) {
        self.is_linked = false;
        self.state.condition = Condition::Damaged;
    }

    fn end_run(&mut self) {
        self.state.evidence.extend(self.run.take());
    }

    /// Keeps where a strict reading would have ended; `size` is that of the log before it.
    fn note_first(&mut self, offset: u64, position: Position, cause: &Cause, size: TreeSize) {
        let (place, kept) = self.state.committed;
        let committed = match self.state.start {
            Some(_) => (TreeSize::new(place.position.0), kept),
            None => (size, 0),
        };
        let cause = cause.clone();
        self.first_bad.get_or_insert(FirstBad { offset, position, cause, committed });
    }
}

/// A segment's file, from the data directory.
pub(crate) fn file_of(name: SegmentName) -> PathBuf {
    Path::new(LOG_DIR).join(name.to_string())
}
