//! Opens a log: reads its end, and cuts off what was never acknowledged, or refuses.
//!
//! This is the ordinary path of every start, not a repair. It never shortens the log below the
//! last whole commit, and does not verify signatures or the tree's roots. What it need not read of
//! the log a writer takes on trust ([`crate::sealed`]); who opens to read only reads all of it.
//!
//! What follows the last whole commit may be cut off only if nothing proves it acknowledged:
//!
//! - the mark, all of it readable, claims no more events than that commit;
//! - no commit frame stands anywhere in the bytes to be cut, but that of the one group that a
//!   reordered write left with a hole ([`crate::tear`]);
//! - a frame without its checksum is torn, not damaged later;
//! - they are in the last segment: one is begun only behind a durable commit.
//!
//! What is kept is made durable by being written again from where the mark ends: after a sync that
//! failed, what a process reads may be in the page cache only, where no later sync looks for it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tally_protocol::{ChainHash, Position};
use tally_tlog::{Origin, TreeSize};

use crate::error::{Cause, Damage, FileError, OpenError, Proof, Step};
use crate::files::{
    Layout, SegmentName, create_dir_on, exists, open_or_create, open_to_read, read_from,
    sync_dir_on, sync_parents_on,
};
use crate::fs::DiskFile;
use crate::index;
use crate::log::{Commit, Epoch, Options, Progress, Tip};
use crate::mark::{Mark, MarkFile, MarkRead};
use crate::reader::{Index, SegmentInfo, SegmentReader, Shared, State};
use crate::scan::{Located, Running, Scan, ScanError, Scanned, find_commit};
use crate::sealed::Sealed;
use crate::tear::Tail;
use crate::writer::{SegmentWriter, create_segment};

/// Progress is told each time so many more bytes were read.
const PROGRESS_STEP_BYTES: u64 = 1024 * 1024;

/// Most of the lock file's text that is shown.
pub(crate) const HOLDER_CHARACTERS: usize = 200;

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The head.
    pub tip: Tip,
    /// How many segments there are.
    pub segments: usize,
    /// How many of them, the oldest, were taken on trust and not read.
    pub sealed: usize,
    /// Bytes that followed the last whole commit. A writer has cut them off; a reader left them.
    pub cut: Option<Cut>,
    /// How the mark was found.
    pub mark: MarkReport,
    /// Indexes that did not agree with their segment. A writer has rewritten them.
    pub indexes_rebuilt: usize,
}

/// Bytes behind the last whole commit, never acknowledged as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where reading ended, and why.
    pub damage: Damage,
    /// The length to which the segment is cut; 0 when it is removed, having no whole header.
    pub kept: u64,
    /// How many bytes are behind it.
    pub bytes: u64,
}

/// How the mark was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkReport {
    /// There was no log, and no mark.
    New,
    /// It is whole, and claims so many events.
    Claims(TreeSize),
    /// It was missing or damaged. A writer has made it anew from the log, which ends cleanly.
    Unreadable,
}

pub(crate) fn open(
    layout: Layout,
    origin: &Origin,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<(SegmentWriter, SegmentReader, Recovery), OpenError> {
    create_dir_on(layout.fs(), layout.root())?;
    let lock = lock(&layout)?;
    let read = MarkRead::take(&layout)?;
    let mut names = layout.segments()?;
    let new = names.is_empty();
    if new {
        sync_parents_on(layout.fs(), layout.root())?;
        names = vec![begin(&layout, origin, &read)?];
    }
    let sealed = Sealed::look(&layout, &names, &read, options.start_bytes);
    let survey = Survey::take(&layout, names, sealed, &read, Some(origin), progress)?;
    survey.decide(&layout, &read)?;
    if !read.whole && !new && survey.tail.is_some() {
        return Err(survey.refuse(Proof::MarkUnreadable));
    }
    let recovery = survey.report(&read, new);
    let survey = survey.repair(&layout, origin)?;
    let mark = renew_mark(&layout, &read, new, &survey)?;
    let shared = Arc::new(survey.shared(layout.clone(), origin));
    let (epoch, last) = (survey.epoch, survey.last_events);
    let writer =
        SegmentWriter::open(layout, options, Arc::clone(&shared), mark, lock, epoch, last)?;
    let recovery = Recovery { segments: shared.state(|state| state.segments.len()), ..recovery };
    Ok((writer, SegmentReader::new(shared), recovery))
}

pub(crate) fn open_read_only(
    layout: Layout,
    progress: &mut dyn FnMut(Progress),
) -> Result<(SegmentReader, Recovery), OpenError> {
    // IMPORTANT: the mark before the log: a writer at work moves the log first.
    let read = MarkRead::take(&layout)?;
    let names = layout.segments()?;
    if names.is_empty() {
        return Err(match read.mark() {
            Some(mark) if mark.size > TreeSize::ZERO => nothing_left(mark),
            _ => OpenError::NoLog { path: layout.root().to_owned() },
        });
    }
    let survey = Survey::take(&layout, names, None, &read, None, progress)?;
    survey.decide(&layout, &read)?;
    let Some(origin) = survey.origin.clone() else {
        return Err(OpenError::NoLog { path: layout.root().to_owned() });
    };
    let recovery = survey.report(&read, false);
    let shared = Arc::new(survey.shared(layout, &origin));
    Ok((SegmentReader::new(shared), recovery))
}

/// Takes the process lock, and keeps it as long as the file is open.
pub(crate) fn lock(layout: &Layout) -> Result<Box<dyn DiskFile>, OpenError> {
    let path = layout.lock();
    let file = open_or_create(layout.fs(), &path)?;
    match file.try_lock().map_err(FileError::at(Step::Lock, &path))? {
        true => Ok(file),
        false => {
            let text = read_from(&*file, &path, 0)?;
            let text = String::from_utf8_lossy(&text);
            let holder = text.trim().chars().take(HOLDER_CHARACTERS).collect();
            Err(OpenError::Locked { path, holder })
        }
    }
}

/// Begins a log where there is none. The mark comes first: a log without one has lost it.
fn begin(layout: &Layout, origin: &Origin, read: &MarkRead) -> Result<SegmentName, OpenError> {
    match read.mark() {
        Some(mark) if mark.size > TreeSize::ZERO => return Err(nothing_left(mark)),
        _ if !read.blank && !read.whole => {
            return Err(OpenError::LogMissing { path: layout.mark() });
        }
        _ => {}
    }
    let tip = Tip::genesis(origin);
    if let Some(mark) = read.mark().filter(|mark| mark.chain != tip.chain) {
        return Err(OpenError::MarkDisagrees { path: layout.mark(), size: mark.size });
    }
    let epoch = read.mark().map_or(Epoch::default(), |mark| mark.epoch);
    let mut mark = MarkFile::open(layout, read)?;
    mark.advance(Mark { size: tip.size, chain: tip.chain, epoch })?;
    mark.sync()?;
    sync_dir_on(layout.fs(), layout.root())?;
    create_dir_on(layout.fs(), &layout.log())?;
    let name = SegmentName(Position(0));
    create_segment(layout, origin, epoch, &tip)?;
    Ok(name)
}

fn nothing_left(mark: Mark) -> OpenError {
    let segment = SegmentName(Position(0));
    let damage = Damage { segment, offset: 0, position: Position(0), cause: Cause::EndOfLog };
    OpenError::Damaged { damage, proof: Proof::Mark(mark.size) }
}

/// Makes the mark claim what the log has.
fn renew_mark(
    layout: &Layout,
    read: &MarkRead,
    new: bool,
    survey: &Survey,
) -> Result<MarkFile, FileError> {
    let read = if new { &MarkRead::take(layout)? } else { read };
    let Tip { size, chain, .. } = survey.tip;
    let wanted = Mark { size, chain, epoch: survey.epoch };
    let mut mark = MarkFile::open(layout, read)?;
    if !read.whole || read.mark() != Some(wanted) {
        mark.advance(wanted)?;
    }
    mark.sync()?;
    sync_dir_on(layout.fs(), layout.root())?;
    Ok(mark)
}

/// What stands in the log's files.
#[derive(Debug)]
struct Survey {
    /// `None` when not even the first segment has a whole header.
    origin: Option<Origin>,
    tip: Tip,
    checkpoint: Bytes,
    /// The highest there is, in mark or segments.
    epoch: Epoch,
    segments: Vec<SegmentInfo>,
    /// How many of them were taken on trust.
    sealed: usize,
    /// How many events the last segment has.
    last_events: u64,
    /// Where in the last segment the last commit ends of which the mark says it is durable.
    durable_end: u64,
    indexes_rebuilt: usize,
    tail: Option<Cut>,
    /// What says that the tail was acknowledged.
    later: Option<Proof>,
    /// The chain hash at the mark's size.
    at_mark: Option<ChainHash>,
}

impl Survey {
    /// Reads everything that is not sealed. Changes nothing but, for a writer, indexes of segments
    /// that are whole.
    fn take(
        layout: &Layout,
        mut names: Vec<SegmentName>,
        sealed: Option<Sealed>,
        read: &MarkRead,
        writer: Option<&Origin>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let last = *names.last().expect("a log has a segment");
        let mut running = Running::new();
        let mut reading = Reading::new(layout, read.mark(), writer);
        if let Some(sealed) = sealed {
            names.drain(..sealed.segments.len());
            running = sealed.running();
            reading.trust(sealed)?;
        }
        let mut scan = Scan::behind(layout.clone(), names, running)?;
        let mut told = 0;
        loop {
            match scan.next() {
                Some(Ok(found)) => reading.accept(found, scan.chain_hash())?,
                Some(Err(ScanError::File(error))) => return Err(error.into()),
                Some(Err(ScanError::Damaged(damage))) => return reading.end(damage, last),
                None => break,
            }
            let now = scan.progress();
            if now.bytes_done >= told + PROGRESS_STEP_BYTES {
                told = now.bytes_done;
                progress(now);
            }
        }
        progress(scan.progress());
        reading.finish(None)
    }

    /// Refuses a log of which something acknowledged is damaged or missing.
    fn decide(&self, layout: &Layout, read: &MarkRead) -> Result<(), OpenError> {
        if let Some(mark) = read.mark() {
            if mark.size > self.tip.size {
                return Err(self.refuse(Proof::Mark(mark.size)));
            }
            if self.at_mark.is_some_and(|chain| chain != mark.chain) {
                return Err(OpenError::MarkDisagrees { path: layout.mark(), size: mark.size });
            }
        }
        match &self.later {
            Some(proof) => Err(self.refuse(proof.clone())),
            None => Ok(()),
        }
    }

    fn refuse(&self, proof: Proof) -> OpenError {
        let end_of_log = || {
            let last = self.segments.last().expect("a log without a tail has a segment");
            let position = Position::at_tip(self.tip.size);
            Damage { segment: last.name, offset: last.end, position, cause: Cause::EndOfLog }
        };
        let damage = self.tail.as_ref().map_or_else(end_of_log, |tail| tail.damage.clone());
        OpenError::Damaged { damage, proof }
    }

    fn report(&self, read: &MarkRead, new: bool) -> Recovery {
        Recovery {
            tip: self.tip,
            segments: self.segments.len(),
            sealed: self.sealed,
            cut: self.tail.clone(),
            mark: match read.mark() {
                _ if new && read.blank => MarkReport::New,
                Some(mark) if read.whole => MarkReport::Claims(mark.size),
                _ => MarkReport::Unreadable,
            },
            indexes_rebuilt: self.indexes_rebuilt,
        }
    }

    /// Cuts the tail off and makes durable what is kept: it may be in the page cache only, of a
    /// process that was killed before it could acknowledge, or whose sync failed.
    fn repair(mut self, layout: &Layout, origin: &Origin) -> Result<Self, FileError> {
        match &self.tail {
            Some(tail) if tail.kept == 0 => remove_segment(layout, tail.damage.segment)?,
            Some(tail) => cut_segment(layout, tail)?,
            None => {}
        }
        if self.segments.is_empty() {
            let end = create_segment(layout, origin, self.epoch, &self.tip)?;
            let name = SegmentName(Position(0));
            self.segments.push(SegmentInfo { name, end, index: Index::File });
        }
        let last = layout.segment(self.segments.last().expect("made above").name);
        write_again(layout, &last, self.durable_end)?;
        sync_dir_on(layout.fs(), &layout.log())?;
        Ok(self)
    }

    fn shared(&self, layout: Layout, origin: &Origin) -> Shared {
        let state = State {
            tip: self.tip,
            checkpoint: self.checkpoint.clone(),
            segments: self.segments.clone(),
        };
        Shared::new(layout, origin.clone(), state)
    }
}

fn remove_segment(layout: &Layout, name: SegmentName) -> Result<(), FileError> {
    let path = layout.segment(name);
    layout.fs().remove(&path).map_err(FileError::at(Step::Remove, &path))?;
    let index = layout.index(name);
    if exists(layout.fs(), &index)? {
        layout.fs().remove(&index).map_err(FileError::at(Step::Remove, &index))?;
    }
    Ok(())
}

fn cut_segment(layout: &Layout, tail: &Cut) -> Result<(), FileError> {
    let path = layout.segment(tail.damage.segment);
    let file = open_or_create(layout.fs(), &path)?;
    file.set_len(tail.kept).map_err(FileError::at(Step::Truncate, &path))?;
    file.sync_all().map_err(FileError::at(Step::Sync, &path))
}

/// Makes a file durable, all of it from `offset` on by writing it again.
fn write_again(layout: &Layout, path: &Path, offset: u64) -> Result<(), FileError> {
    let file = open_or_create(layout.fs(), path)?;
    // IMPORTANT: a sync alone would believe a page clean that an earlier, failed sync gave up on.
    let bytes = read_from(&*file, path, offset)?;
    if !bytes.is_empty() {
        file.write_all_at(&bytes, offset).map_err(FileError::at(Step::Write, path))?;
    }
    file.sync_all().map_err(FileError::at(Step::Sync, path))
}

/// A survey while it is taken.
struct Reading<'a> {
    layout: &'a Layout,
    mark: Option<Mark>,
    /// The origin that a writer expects; a reader takes any.
    writer: Option<&'a Origin>,
    survey: Survey,
    /// Where the events of the current segment begin; the last may have no commit yet.
    offsets: Vec<u64>,
    committed: usize,
    /// Whether a segment is being read.
    begun: bool,
    last: Option<(ChainHash, tally_protocol::Time)>,
}

impl<'a> Reading<'a> {
    fn new(layout: &'a Layout, mark: Option<Mark>, writer: Option<&'a Origin>) -> Self {
        let nowhere: Origin = Origin::new("-").expect("an origin");
        let survey = Survey {
            origin: None,
            tip: Tip::genesis(writer.unwrap_or(&nowhere)),
            checkpoint: Bytes::new(),
            epoch: mark.map_or(Epoch::default(), |mark| mark.epoch),
            segments: Vec::new(),
            sealed: 0,
            last_events: 0,
            durable_end: 0,
            indexes_rebuilt: 0,
            tail: None,
            later: None,
            at_mark: None,
        };
        let (offsets, committed, begun, last) = (Vec::new(), 0, false, None);
        Self { layout, mark, writer, survey, offsets, committed, begun, last }
    }

    /// Goes on behind segments that are not read.
    fn trust(&mut self, sealed: Sealed) -> Result<(), OpenError> {
        let Sealed { origin, segments, epoch, tip, checkpoint, last_events } = sealed;
        self.name(&origin)?;
        let survey = &mut self.survey;
        // The mark claims all of it.
        survey.durable_end = segments.last().map_or(0, |last| last.end);
        survey.sealed = segments.len();
        survey.epoch = survey.epoch.max(epoch);
        (survey.segments, survey.last_events) = (segments, last_events);
        (survey.tip, survey.checkpoint) = (tip, checkpoint);
        self.look_at_mark(tip.size, tip.chain);
        Ok(())
    }

    fn accept(&mut self, found: Located, chain: Option<ChainHash>) -> Result<(), OpenError> {
        let chain = chain.expect("a frame is behind a segment's header");
        match found.item {
            Scanned::Segment(start) => {
                self.end_segment()?;
                self.begun = true;
                self.name(&start.origin)?;
                self.survey.epoch = self.survey.epoch.max(start.epoch);
                let (name, end) = (found.segment, found.end);
                self.survey.segments.push(SegmentInfo { name, end, index: Index::File });
                self.survey.durable_end = 0;
                self.look_at_mark(TreeSize::new(start.first.0), chain);
            }
            Scanned::Event(event) => {
                self.offsets.push(found.offset);
                self.last = Some((chain, event.recorded_at()));
                self.look_at_mark(event.position().leaf().size_after(), chain);
            }
            Scanned::Commit(commit) => self.commit(commit, found.end),
        }
        Ok(())
    }

    /// The first segment names the log.
    fn name(&mut self, found: &Origin) -> Result<(), OpenError> {
        if self.survey.origin.is_some() {
            return Ok(());
        }
        if let Some(expected) = self.writer.filter(|&expected| expected != found) {
            let (found, expected) = (found.clone(), expected.clone());
            return Err(OpenError::OtherOrigin { found, expected });
        }
        self.survey.tip = Tip::genesis(found);
        self.survey.origin = Some(found.clone());
        Ok(())
    }

    fn look_at_mark(&mut self, size: TreeSize, chain: ChainHash) {
        if self.mark.is_some_and(|mark| mark.size == size) {
            self.survey.at_mark = Some(chain);
        }
    }

    fn commit(&mut self, commit: Commit, end: u64) {
        let (chain, recorded_at) = self.last.expect("a commit is behind an event");
        let Commit { size, root, checkpoint, .. } = commit;
        self.survey.tip = Tip { size, chain, root, recorded_at };
        self.survey.checkpoint = checkpoint;
        if self.mark.is_some_and(|mark| mark.size >= size) {
            self.survey.durable_end = end;
        }
        self.survey.segments.last_mut().expect("a commit is in a segment").end = end;
        self.committed = self.offsets.len();
    }

    /// Compares the index of the segment that ends here with what was read.
    fn end_segment(&mut self) -> Result<(), FileError> {
        let Some(segment) = self.survey.segments.last_mut().filter(|_| self.begun) else {
            return Ok(());
        };
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.truncate(std::mem::take(&mut self.committed));
        self.survey.last_events = offsets.len() as u64;
        let path = self.layout.index(segment.name);
        if index::agrees(self.layout.fs(), &path, &offsets, self.writer.is_some())? {
            return Ok(());
        }
        self.survey.indexes_rebuilt += 1;
        match self.writer {
            Some(_) => index::rewrite(self.layout.fs(), &path, &offsets)?,
            None => segment.index = Index::Memory(offsets.into()),
        }
        Ok(())
    }

    /// Reading ended before the log did: is that a tail of the last segment?
    fn end(self, damage: Damage, last: SegmentName) -> Result<Survey, OpenError> {
        use Cause::{
            Magic, Origin, OtherOrigin, SegmentChain, SegmentEpoch, SegmentPosition, Version,
        };
        let found = damage.segment;
        match damage.cause {
            SegmentPosition { .. } | SegmentChain => {
                Err(OpenError::Damaged { damage, proof: Proof::LaterSegment(found) })
            }
            Magic | Version(_) | Origin(_) | OtherOrigin(_) | SegmentEpoch { .. } => {
                Err(OpenError::Foreign { damage })
            }
            _ if found != last => {
                Err(OpenError::Damaged { damage, proof: Proof::LaterSegment(last) })
            }
            _ => self.finish(Some(damage)),
        }
    }

    fn finish(mut self, damage: Option<Damage>) -> Result<Survey, OpenError> {
        if let Some(damage) = damage {
            self.look_at_tail(damage)?;
        }
        self.end_segment()?;
        // A copy: the scan's whole buffer would be kept with the slice.
        self.survey.checkpoint = Bytes::copy_from_slice(&self.survey.checkpoint);
        Ok(self.survey)
    }

    fn look_at_tail(&mut self, damage: Damage) -> Result<(), FileError> {
        let known = self.survey.segments.last().filter(|known| known.name == damage.segment);
        let kept = known.map_or(0, |known| known.end);
        let path = self.layout.segment(damage.segment);
        let file = open_to_read(self.layout.fs(), &path)?;
        let tail = Tail { bytes: read_from(&*file, &path, kept)?.into(), offset: kept };
        self.survey.later = acknowledged(&tail, self.survey.tip.size, &damage);
        self.survey.tail = Some(Cut { damage, kept, bytes: tail.bytes.len() as u64 });
        Ok(())
    }
}

/// What in a tail says that it was acknowledged.
pub(crate) fn acknowledged(tail: &Tail, size: TreeSize, damage: &Damage) -> Option<Proof> {
    let Damage { offset, cause, .. } = damage;
    match find_commit(&tail.bytes, tail.offset, size) {
        // Nothing is acknowledged of a segment that has no header and no commit.
        None if tail.offset == 0 || tail.is_cut(*offset, cause) => None,
        None => Some(Proof::NotTorn),
        // It ends what was written last, and nobody need have been told of it.
        Some(found) if found.is_last && tail.is_holed(*offset, cause) => None,
        Some(found) => Some(Proof::LaterCommit { offset: found.offset, size: found.size }),
    }
}
