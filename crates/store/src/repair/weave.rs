//! Puts the repaired log together, and holds it to all that is known about it.
//!
//! Every frame of the repaired log goes through here in order, those that stay as well as those
//! that are filled in: chain, tree, the mark, and the signed heads that stand in damaged segments.
//! New segments are written beside, durable, and nothing else is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use tally_protocol::{ChainHash, Event, Position};
use tally_tlog::{Frontier, Origin, TreeSize};

use crate::error::{FileError, Step};
use crate::files::{Layout, SegmentName};
use crate::frame::{SegmentHeader, put_commit, put_event};
use crate::fsck::log::SegmentState;
use crate::fsck::{CheckpointFlaw, CheckpointVerifier, believe};
use crate::log::{Commit, Epoch, SEGMENT_BYTES};
use crate::mark::Mark;
use crate::repair::plan::{Hole, Part};
use crate::repair::source::{Items, Source, SourceError, Stream};
use crate::repair::{BESIDE_SUFFIX, RepairError};
use crate::salvage::{Content, Salvage};
use crate::scan::Running;

/// What a log must agree with.
pub(crate) struct Known<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) verifier: &'a CheckpointVerifier<'a>,
    pub(crate) mark: Option<Mark>,
    /// At least so many events were acknowledged.
    pub(crate) least: TreeSize,
    /// Commits that stand in damaged segments, by size.
    pub(crate) evidence: BTreeMap<TreeSize, Vec<Commit>>,
}

impl Known<'_> {
    pub(crate) fn believe(&self, commit: &Commit) -> Result<(), CheckpointFlaw> {
        believe(commit, Some(self.origin), self.verifier)
    }
}

/// A repaired log that is not in its place yet.
#[derive(Debug)]
pub(crate) struct Woven {
    /// Its head.
    pub(crate) commit: Option<Commit>,
    pub(crate) chain: ChainHash,
    /// The highest epoch of a segment.
    pub(crate) epoch: Epoch,
    /// Segments that were written beside, in order.
    pub(crate) made: Vec<Made>,
    /// Segments that stayed, but that a new one holds too.
    pub(crate) joined: Vec<SegmentName>,
    /// Events that the source gave.
    pub(crate) given: u64,
}

/// A segment that was written beside its place.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) name: SegmentName,
    pub(crate) beside: PathBuf,
}

/// The repaired log while it is put together.
pub(crate) struct Weaver<'a> {
    layout: &'a Layout,
    known: &'a Known<'a>,
    tell: &'a mut dyn FnMut(u64),
    running: Running,
    tree: Frontier,
    epoch: Epoch,
    commit: Option<Commit>,
    /// The hole that is being filled.
    names: Option<Names>,
    open: Option<NewSegment>,
    made: Vec<Made>,
    joined: Vec<SegmentName>,
    given: u64,
    bytes: u64,
}

impl<'a> Weaver<'a> {
    /// `tell` is told the bytes of events that went through.
    pub(crate) fn new(
        layout: &'a Layout,
        known: &'a Known<'a>,
        tell: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            layout,
            known,
            tell,
            running: Running::new(),
            tree: Frontier::new(),
            epoch: Epoch::default(),
            commit: None,
            names: None,
            open: None,
            made: Vec::new(),
            joined: Vec::new(),
            given: 0,
            bytes: 0,
        }
    }

    pub(crate) fn weave(
        mut self,
        parts: &[Part],
        source: &dyn Source,
    ) -> Result<Woven, RepairError> {
        for part in parts {
            match part {
                Part::Keep(state) => self.keep(state)?,
                Part::Fill(hole) => self.fill(hole, source)?,
            }
        }
        self.settle()?;
        self.close()?;
        self.judge(source)?;
        let Self { commit, running, epoch, made, joined, given, .. } = self;
        Ok(Woven { commit, chain: running.chain, epoch, made, joined, given })
    }

    /// The head must be signed, and there must be no less than was acknowledged.
    fn judge(&self, source: &dyn Source) -> Result<(), RepairError> {
        let size = self.size();
        if self.running.next != self.running.committed {
            return Err(RepairError::NoHead { size });
        }
        if size < self.known.least {
            return Err(RepairError::TooShort { has: source.size(), needs: self.known.least });
        }
        let Some(commit) = &self.commit else { return Ok(()) };
        self.known.believe(commit).map_err(|problem| RepairError::NotSigned { size, problem })
    }

    fn size(&self) -> TreeSize {
        self.tree.size()
    }

    /// A segment that stays where it is; unless no head is known where it begins, so that the one
    /// before it cannot end there.
    fn keep(&mut self, state: &SegmentState) -> Result<(), RepairError> {
        let start = state.start.as_ref().expect("a segment that stays has a header");
        self.settle()?;
        if self.running.next == self.running.committed {
            self.close()?;
            let (first, previous_chain) = (start.first, start.previous_chain);
            let origin = start.origin.clone();
            let header = SegmentHeader { epoch: start.epoch, first, previous_chain, origin };
            self.begin(state.name, header)?;
        } else {
            self.joined.push(state.name);
        }
        let (committed, end) = state.committed;
        self.replay(state.name, end)?;
        match self.running.next {
            next if next == committed.position => Ok(()),
            _ => Err(RepairError::Changed { segment: state.name }),
        }
    }

    /// The frames of a segment that stays, up to this byte.
    fn replay(&mut self, segment: SegmentName, end: u64) -> Result<(), RepairError> {
        let mut salvage = Salvage::open(self.layout, segment, Some(self.known.origin))?;
        while let Some(piece) = salvage.next()? {
            match piece.content {
                _ if piece.bytes.end > end => break,
                Content::Event(event) => self.event(&event)?,
                Content::Commit(commit) => self.end_group(commit)?,
                Content::Header(_) => {}
                Content::Bad(_) => return Err(RepairError::Changed { segment }),
            }
        }
        Ok(())
    }

    fn fill(&mut self, hole: &Hole, source: &dyn Source) -> Result<(), RepairError> {
        self.settle()?;
        if self.running.next == self.running.committed {
            self.close()?;
        }
        self.names = Some(Names::of(hole, self.known.mark));
        self.fill_in(hole, source)?;
        self.names = None;
        self.settle()
    }

    /// Takes each event from the source, or where that has none, from the damaged segments.
    fn fill_in(&mut self, hole: &Hole, source: &dyn Source) -> Result<(), RepairError> {
        let (reach, next) = (source.size(), self.running.next);
        let end = match &hole.end {
            Some(end) => end.position,
            None => Position::at_tip(reach.max(self.known.least)).max(next),
        };
        let names = hole.segments.iter().map(|state| state.name).collect();
        let own = Items::new(self.layout, self.known.origin, names, next);
        let mut own = Stream::new(Box::new(own));
        let mut given = Stream::new(source.read(next)?);
        loop {
            if let Some(head) = given.head(|head| self.is_head_here(head)) {
                self.end_group(head)?;
            }
            if let Some(head) = own.head(|head| self.is_head_here(head) && self.believes(head)) {
                self.end_group(head)?;
            }
            let next = self.running.next;
            if next >= end {
                return Ok(());
            }
            let event = match given.event(next)? {
                Some(event) => {
                    self.given += 1;
                    event
                }
                None => match own.event(next).map_err(of_the_log)? {
                    Some(event) => event,
                    None => {
                        return Err(lacking(next, reach, own.resumes().unwrap_or(end).min(end)));
                    }
                },
            };
            self.event(&event)?;
        }
    }

    /// Whether a head that stands in a damaged segment is one of the repaired log.
    fn believes(&self, commit: &Commit) -> bool {
        commit.root == self.tree.root() && self.known.believe(commit).is_ok()
    }

    /// Begins a new segment in a hole, where the damaged log had one, or the last one is full.
    fn begin_new(&mut self) -> Result<(), RepairError> {
        let at = self.running.next;
        let Some(names) = self.names.as_ref().filter(|_| self.running.committed == at) else {
            return Ok(());
        };
        let stays = self.open.as_ref().is_some_and(|open| {
            let is_end = open.bytes >= SEGMENT_BYTES || names.firsts.contains(&at);
            open.name.first() == at || !is_end
        });
        if stays {
            return Ok(());
        }
        let (name, epoch) = (SegmentName(at), names.epoch(at, self.epoch));
        self.close()?;
        let origin = self.known.origin.clone();
        let previous_chain = match at {
            Position(0) => ChainHash::genesis(&origin),
            _ => self.running.chain,
        };
        let header = SegmentHeader { epoch, first: at, previous_chain, origin };
        self.open = Some(NewSegment::create(self.layout, name, &header)?);
        self.begin(name, header)
    }

    fn begin(&mut self, name: SegmentName, header: SegmentHeader) -> Result<(), RepairError> {
        let position = header.first;
        self.epoch = self.epoch.max(header.epoch);
        let begun = self.running.begin(name, header);
        begun.map(drop).map_err(|cause| RepairError::Fork { position, cause })
    }

    fn event(&mut self, event: &Event) -> Result<(), RepairError> {
        self.settle()?;
        self.begin_new()?;
        let position = self.running.next;
        self.running.follow(event).map_err(|cause| RepairError::Fork { position, cause })?;
        self.tree.append(event.leaf(), |_, _| {});
        if let Some(open) = &mut self.open {
            open.write(|buffer| put_event(buffer, event.bytes()))?;
        }
        self.bytes += event.bytes().len() as u64;
        (self.tell)(self.bytes);
        self.hold_to_known()
    }

    /// Holds the log, as far as it has come, to what else says something about this size.
    fn hold_to_known(&self) -> Result<(), RepairError> {
        let (size, chain) = (self.size(), self.running.chain);
        if self.known.mark.is_some_and(|mark| mark.size == size && mark.chain != chain) {
            return Err(RepairError::MarkDisagrees { size });
        }
        for commit in self.known.evidence.get(&size).into_iter().flatten() {
            if commit.chain != chain || commit.root != self.tree.root() {
                return Err(RepairError::Contradicted { size });
            }
        }
        Ok(())
    }

    /// Whether a commit is of the size that the log has come to, which has none yet.
    fn is_head_here(&self, commit: &Commit) -> bool {
        let Running { next, committed, .. } = self.running;
        Position::at_tip(commit.size) == next && committed < next
    }

    fn end_group(&mut self, commit: Commit) -> Result<(), RepairError> {
        let (size, position) = (commit.size, self.running.next);
        self.running.end_group(&commit).map_err(|cause| RepairError::Fork { position, cause })?;
        let found = self.tree.root();
        if commit.root != found {
            return Err(RepairError::WrongRoot { size, expected: commit.root, found });
        }
        if let Some(open) = &mut self.open {
            self.known
                .believe(&commit)
                .map_err(|problem| RepairError::NotSigned { size, problem })?;
            open.write(|buffer| put_commit(buffer, &commit))?;
        }
        self.commit = Some(commit);
        Ok(())
    }

    /// Ends the group with a head that stands in a damaged segment, where one is known.
    fn settle(&mut self) -> Result<(), RepairError> {
        if self.running.next == self.running.committed {
            return Ok(());
        }
        let mut known = self.known.evidence.get(&self.size()).into_iter().flatten();
        match known.find(|head| self.believes(head)) {
            Some(head) => self.end_group(head.clone()),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), RepairError> {
        if let Some(open) = self.open.take() {
            self.made.push(open.finish()?);
        }
        Ok(())
    }
}

/// An error of the damaged log, not of the source.
fn of_the_log(error: SourceError) -> RepairError {
    match error {
        SourceError::File(error) => error.into(),
        SourceError::Open(error) => error.into(),
        SourceError::Missing { .. } => error.into(),
    }
}

/// Neither the source, which goes up to `reach`, nor the damaged log has an event.
fn lacking(position: Position, reach: TreeSize, needs: Position) -> RepairError {
    match position < Position::at_tip(reach) {
        true => SourceError::Missing { position }.into(),
        false => RepairError::TooShort { has: reach, needs: TreeSize::new(needs.0) },
    }
}

/// Where segments of a hole begin, and under which epoch.
struct Names {
    firsts: BTreeSet<Position>,
    /// Those of the damaged segments whose headers are whole.
    epochs: BTreeMap<Position, Epoch>,
    /// The latest that a segment can have had: that of the next one, or what the mark says.
    latest: Epoch,
    /// The next one's, which none exceeds.
    limit: Option<Epoch>,
}

impl Names {
    fn of(hole: &Hole, mark: Option<Mark>) -> Self {
        let firsts = hole.segments.iter().map(|state| state.name.first()).collect();
        let starts = hole.segments.iter().filter_map(|state| state.start.as_ref());
        let epochs = starts.map(|start| (start.first, start.epoch)).collect();
        let limit = hole.end.as_ref().map(|end| end.epoch);
        let latest = limit.or(mark.map(|mark| mark.epoch)).unwrap_or_default();
        Self { firsts, epochs, latest, limit }
    }

    /// The epoch that the damaged segment had; if nothing says it, the latest that it can have had:
    /// a fence must not become lower.
    fn epoch(&self, first: Position, before: Epoch) -> Epoch {
        let epoch = self.epochs.get(&first).copied().unwrap_or(self.latest);
        self.limit.map_or(epoch, |limit| epoch.min(limit)).max(before)
    }
}

/// A segment that is being written beside its place.
struct NewSegment {
    name: SegmentName,
    path: PathBuf,
    file: BufWriter<File>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl NewSegment {
    fn create(
        layout: &Layout,
        name: SegmentName,
        header: &SegmentHeader,
    ) -> Result<Self, FileError> {
        let path = layout.segment(name).with_extension(BESIDE_SUFFIX);
        let file = File::create(&path).map_err(FileError::at(Step::Create, &path))?;
        let file = BufWriter::new(file);
        let mut segment = Self { name, path, file, buffer: Vec::new(), bytes: 0 };
        segment.write(|buffer| buffer.extend_from_slice(&header.frame()))?;
        Ok(segment)
    }

    fn write(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), FileError> {
        self.buffer.clear();
        put(&mut self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.file.write_all(&self.buffer).map_err(FileError::at(Step::Write, &self.path))
    }

    /// Makes it durable.
    fn finish(mut self) -> Result<Made, FileError> {
        self.file.flush().map_err(FileError::at(Step::Write, &self.path))?;
        self.file.get_ref().sync_all().map_err(FileError::at(Step::Sync, &self.path))?;
        Ok(Made { name: self.name, beside: self.path })
    }
}
