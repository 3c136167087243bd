//! Reads a log's files frame by frame and holds each to what came before it.
//!
//! Strict: every byte of every segment is accounted for, and the first that is not ends the scan
//! with a [`Damage`]. Recovery and offline verification both read this way. Does not decide
//! whether damage may be cut off, compares no signature, and computes no tree.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tally_protocol::limits::EVENT_OVERHEAD_BYTES;
use tally_protocol::{ChainHash, Event, Position};
use tally_tlog::{MAX_TREE_SIZE, Origin, TreeSize};
use thiserror::Error;

use crate::error::{Cause, Damage, FileError, OpenError, Step};
use crate::files::{Layout, SegmentName, length, open_to_read};
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, SegmentHeader, decode_commit};
use crate::fs::DiskFile;
use crate::log::{Commit, Epoch, Progress};

/// Bytes that a scan reads at once.
const SCAN_CHUNK_BYTES: usize = 1024 * 1024;

/// Scans the log in `dir`, whose mark and indexes it does not look at.
///
/// # Errors
///
/// [`OpenError::NoLog`], [`OpenError::StrangeFile`], [`OpenError::File`]. Damage is an item.
pub fn scan(dir: &Path) -> Result<Scan, OpenError> {
    let layout = Layout::new(dir);
    let names = layout.segments()?;
    if names.is_empty() {
        return Err(OpenError::NoLog { path: dir.to_owned() });
    }
    Ok(Scan::new(layout, names)?)
}

/// What a frame was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A segment begins.
    Segment(SegmentStart),
    /// An event that follows the one before.
    Event(Event),
    /// A commit that fits the events before it.
    Commit(Commit),
}

/// What a segment's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentStart {
    /// The epoch under which it was begun.
    pub epoch: Epoch,
    /// The position of its first event.
    pub first: Position,
    /// The chain hash before that.
    pub previous_chain: ChainHash,
    /// The log's name.
    pub origin: Origin,
}

/// A frame and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub segment: SegmentName,
    /// Where in it the frame begins.
    pub offset: u64,
    /// Where in it the frame ends.
    pub end: u64,
    /// What it is.
    pub item: Scanned,
}

/// Why a scan ended before the log did.
#[derive(Debug, Error)]
pub enum ScanError {
    /// A place that is not as it must be.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An iterator over the frames of a log; after an error it ends.
#[derive(Debug)]
pub struct Scan {
    layout: Layout,
    names: std::vec::IntoIter<SegmentName>,
    current: Option<Segment>,
    running: Running,
    read_before: u64,
    bytes_total: u64,
}

impl Scan {
    pub(crate) fn new(layout: Layout, names: Vec<SegmentName>) -> Result<Self, FileError> {
        Self::behind(layout, names, Running::new())
    }

    /// Scans the last segments of a log, behind those that came to `running`.
    pub(crate) fn behind(
        layout: Layout,
        names: Vec<SegmentName>,
        running: Running,
    ) -> Result<Self, FileError> {
        let mut bytes_total = 0;
        for &name in &names {
            let path = layout.segment(name);
            bytes_total += length(&*open_to_read(layout.fs(), &path)?, &path)?;
        }
        Ok(Self {
            layout,
            names: names.into_iter(),
            current: None,
            running,
            read_before: 0,
            bytes_total,
        })
    }

    /// How far the scan is.
    pub fn progress(&self) -> Progress {
        let current = self.current.as_ref().map_or(0, |segment| segment.frames.offset);
        Progress { bytes_done: self.read_before + current, bytes_total: self.bytes_total }
    }

    /// The chain hash after the last event that was returned; `None` before the first segment.
    pub fn chain_hash(&self) -> Option<ChainHash> {
        self.running.origin.as_ref().map(|_| self.running.chain)
    }

    /// The position that the next event must have.
    pub fn position(&self) -> Position {
        self.running.next
    }

    fn step(&mut self) -> Result<Option<Located>, ScanError> {
        loop {
            if self.current.is_none() {
                let Some(name) = self.names.next() else { return Ok(None) };
                self.current = Some(Segment::open(&self.layout, name)?);
            }
            let segment = self.current.as_mut().expect("opened above");
            let found = segment.next(&mut self.running).map_err(|fault| -> ScanError {
                fault.at(segment.name, segment.at, self.running.next)
            })?;
            if found.is_some() {
                return Ok(found);
            }
            self.read_before += segment.frames.offset;
            self.current = None;
        }
    }
}

impl Iterator for Scan {
    type Item = Result<Located, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.names = Vec::new().into_iter();
            self.current = None;
        }
        step.transpose()
    }
}

/// One segment of a scan.
#[derive(Debug)]
pub(crate) struct Segment {
    name: SegmentName,
    pub(crate) frames: Frames,
    /// Where the frame begins that is being looked at.
    pub(crate) at: u64,
}

impl Segment {
    fn open(layout: &Layout, name: SegmentName) -> Result<Self, FileError> {
        let path = layout.segment(name);
        let file = open_to_read(layout.fs(), &path)?;
        let end = length(&*file, &path)?;
        Ok(Self::new(name, Arc::from(file), path, end))
    }

    /// The first `end` bytes of a file that is open.
    pub(crate) fn new(name: SegmentName, file: Arc<dyn DiskFile>, path: PathBuf, end: u64) -> Self {
        Self { name, frames: Frames::new(file, path, 0..end, SCAN_CHUNK_BYTES), at: 0 }
    }

    /// The next frame, held to what came before it; `None` behind the last.
    pub(crate) fn next(&mut self, running: &mut Running) -> Result<Option<Located>, Fault> {
        self.at = self.frames.offset;
        let Some((kind, body)) = self.frames.next()? else {
            running.end_segment(self.at)?;
            return Ok(None);
        };
        let item = match (kind, self.at) {
            (FrameKind::Segment, 0) => Scanned::Segment(running.segment(self.name, &body)?),
            (_, 0) => return Err(Cause::NoSegmentHeader.into()),
            (FrameKind::Segment, _) => return Err(Cause::StraySegmentHeader.into()),
            (FrameKind::Event, _) => Scanned::Event(running.event(body)?),
            (FrameKind::Commit, _) => Scanned::Commit(running.commit(&body)?),
        };
        let (segment, offset, end) = (self.name, self.at, self.frames.offset);
        Ok(Some(Located { segment, offset, end, item }))
    }
}

/// The log's head while it is read: what the next frame is held to.
#[derive(Debug)]
pub(crate) struct Running {
    /// `None` before the first segment header.
    origin: Option<Origin>,
    /// The first segment header says itself where the log stands.
    seeded: bool,
    epoch: Epoch,
    pub(crate) next: Position,
    pub(crate) committed: Position,
    pub(crate) chain: ChainHash,
}

impl Running {
    /// At the beginning of a log.
    pub(crate) fn new() -> Self {
        Self {
            origin: None,
            seeded: false,
            epoch: Epoch::default(),
            next: Position(0),
            committed: Position(0),
            chain: ChainHash([0; ChainHash::LEN]),
        }
    }

    /// At the beginning of a segment that is read on its own: its header is believed, if it is of
    /// the log `origin`, or of any.
    pub(crate) fn seeded(name: SegmentName, origin: Option<Origin>) -> Self {
        let first = name.first();
        Self { origin, seeded: true, next: first, committed: first, ..Self::new() }
    }

    /// Behind segments of the log `origin` that were not read.
    pub(crate) fn behind(origin: Origin, epoch: Epoch, next: Position, chain: ChainHash) -> Self {
        let origin = Some(origin);
        Self { origin, epoch, next, committed: next, chain, ..Self::new() }
    }

    /// Goes on from another place, as if everything before it had been read.
    pub(crate) fn go_on(&mut self, next: Position, chain: ChainHash) {
        self.next = next;
        self.committed = next;
        self.chain = chain;
    }

    fn segment(&mut self, name: SegmentName, body: &[u8]) -> Result<SegmentStart, Cause> {
        let header = SegmentHeader::decode(body)?;
        self.begin(name, header)
    }

    /// Holds a segment's header to what came before it.
    pub(crate) fn begin(
        &mut self,
        name: SegmentName,
        header: SegmentHeader,
    ) -> Result<SegmentStart, Cause> {
        let SegmentHeader { epoch, first, previous_chain, origin } = header;
        match &self.origin {
            Some(before) if *before != origin => return Err(Cause::OtherOrigin(origin)),
            _ if self.seeded => self.chain = previous_chain,
            Some(_) => {}
            None => self.chain = ChainHash::genesis(&origin),
        }
        for found in [name.first(), first] {
            if found != self.next {
                return Err(Cause::SegmentPosition { found });
            }
        }
        if previous_chain != self.chain {
            return Err(Cause::SegmentChain);
        }
        if epoch < self.epoch {
            return Err(Cause::SegmentEpoch { found: epoch });
        }
        self.epoch = epoch;
        self.origin = Some(origin.clone());
        Ok(SegmentStart { epoch, first, previous_chain, origin })
    }

    fn event(&mut self, body: Bytes) -> Result<Event, Cause> {
        let event = Event::decode(body).map_err(Cause::Event)?;
        self.follow(&event)?;
        Ok(event)
    }

    /// Holds an event to what came before it.
    pub(crate) fn follow(&mut self, event: &Event) -> Result<(), Cause> {
        let found = event.position();
        // A segment that is read on its own may begin beyond what any tree holds.
        if found != self.next || found.0 >= MAX_TREE_SIZE.as_u64() {
            return Err(Cause::EventPosition { found });
        }
        if event.previous_chain() != self.chain {
            return Err(Cause::EventChain);
        }
        self.chain = event.chain();
        self.next = self.next.next();
        Ok(())
    }

    fn commit(&mut self, body: &Bytes) -> Result<Commit, Cause> {
        let commit = decode_commit(body);
        self.end_group(&commit)?;
        Ok(commit)
    }

    /// Holds a commit to the events before it.
    pub(crate) fn end_group(&mut self, commit: &Commit) -> Result<(), Cause> {
        if self.next == self.committed {
            return Err(Cause::CommitEmpty);
        }
        if commit.size.as_u64() != self.next.0 {
            return Err(Cause::CommitSize { found: commit.size });
        }
        if commit.chain != self.chain {
            return Err(Cause::CommitChain);
        }
        self.committed = self.next;
        Ok(())
    }

    fn end_segment(&self, offset: u64) -> Result<(), Cause> {
        if offset == 0 {
            return Err(Cause::NoSegmentHeader);
        }
        match self.next.0 - self.committed.0 {
            0 => Ok(()),
            events => Err(Cause::Uncommitted { events }),
        }
    }
}

/// What went wrong with a frame, before it is known where that is.
#[derive(Debug)]
pub(crate) enum Fault {
    Cause(Cause),
    File(FileError),
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Fault::Cause(cause)
    }
}

impl Fault {
    pub(crate) fn at<E: From<Damage> + From<FileError>>(
        self,
        segment: SegmentName,
        offset: u64,
        position: Position,
    ) -> E {
        match self {
            Fault::Cause(cause) => Damage { segment, offset, position, cause }.into(),
            Fault::File(error) => error.into(),
        }
    }
}

/// Cuts a range of a file into frames. Bodies share the buffer they were read into.
#[derive(Debug)]
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Where the next frame begins.
    pub(crate) offset: u64,
    end: u64,
    chunk_bytes: usize,
    /// What was read and not used, from `offset` on.
    ahead: Bytes,
}

impl Frames {
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        range: std::ops::Range<u64>,
        chunk_bytes: usize,
    ) -> Self {
        let (offset, end) = (range.start, range.end);
        Self { file, path, offset, end, chunk_bytes, ahead: Bytes::new() }
    }

    /// The next frame, its checksums compared; `None` at the end of the range. After an error the
    /// place is still that of the frame.
    pub(crate) fn next(&mut self) -> Result<Option<(FrameKind, Bytes)>, Fault> {
        if self.offset >= self.end {
            return Ok(None);
        }
        self.fill(FRAME_HEADER_BYTES)?;
        let header = self.ahead[..FRAME_HEADER_BYTES].try_into().expect("filled");
        let header = FrameHeader::decode(header)?;
        self.fill(header.frame_bytes())?;
        let body = self.ahead.slice(FRAME_HEADER_BYTES..header.frame_bytes());
        header.check_body(&body)?;
        let _frame = self.ahead.split_to(header.frame_bytes());
        self.offset += header.frame_bytes() as u64;
        Ok(Some((header.kind, body)))
    }

    /// Goes on at another byte of the range.
    pub(crate) fn seek(&mut self, offset: u64) {
        match offset.checked_sub(self.offset) {
            Some(bytes) if bytes <= self.ahead.len() as u64 => self.ahead.advance(bytes as usize),
            _ => self.ahead = Bytes::new(),
        }
        self.offset = offset;
    }

    /// Where the frame ends that begins here, if its header is whole.
    pub(crate) fn frame_end(&mut self) -> Option<u64> {
        self.fill(FRAME_HEADER_BYTES).ok()?;
        let header = FrameHeader::decode(self.ahead.first_chunk()?).ok()?;
        Some(self.offset + header.frame_bytes() as u64)
    }

    /// Where the range ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Reads until at least `bytes` are ahead.
    fn fill(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.ahead.len() >= bytes {
            return Ok(());
        }
        let left = self.end - self.offset;
        if left < bytes as u64 {
            return Err(Cause::Truncated { missing: bytes as u64 - left }.into());
        }
        let wanted = left.min(self.chunk_bytes.max(bytes) as u64);
        let mut buffer = vec![0; usize::try_from(wanted).expect("at most a chunk or a frame")];
        let kept = self.ahead.len();
        buffer[..kept].copy_from_slice(&self.ahead);
        match self.file.read_exact_at(&mut buffer[kept..], self.offset + kept as u64) {
            Ok(()) => self.ahead = Bytes::from(buffer),
            // The file has become shorter since its length was taken.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Cause::Truncated { missing: wanted - kept as u64 }.into());
            }
            Err(error) => return Err(Fault::File(FileError::at(Step::Read, &self.path)(error))),
        }
        Ok(())
    }
}

/// A commit frame found in bytes that a scan could not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StrayCommit {
    pub(crate) offset: u64,
    pub(crate) size: TreeSize,
    /// Nothing follows it.
    pub(crate) is_last: bool,
}

/// Looks byte by byte for a commit frame that can follow a log of `size` events.
///
/// Whole events are stepped over: what an author wrote into an envelope is not taken for a commit.
/// Within a damaged event it could be; then a log is refused that could have been cut, which loses
/// nothing.
pub(crate) fn find_commit(tail: &Bytes, tail_offset: u64, size: TreeSize) -> Option<StrayCommit> {
    let mut at = 0;
    while at + FRAME_HEADER_BYTES <= tail.len() {
        match whole_frame(&tail.slice(at..)) {
            Some((FrameKind::Commit, body)) => {
                let found = decode_commit(&body).size;
                if can_follow(size, found, at) {
                    let is_last = at + FRAME_HEADER_BYTES + body.len() == tail.len();
                    let offset = tail_offset + at as u64;
                    return Some(StrayCommit { offset, size: found, is_last });
                }
                at += 1;
            }
            Some((FrameKind::Event, body)) => at += FRAME_HEADER_BYTES + body.len(),
            Some((FrameKind::Segment, _)) | None => at += 1,
        }
    }
    None
}

/// Whether `bytes` bytes have room for the events from size `before` to size `after`.
fn can_follow(before: TreeSize, after: TreeSize, bytes: usize) -> bool {
    let room = (bytes / (FRAME_HEADER_BYTES + EVENT_OVERHEAD_BYTES)) as u64;
    let events = after.as_u64().checked_sub(before.as_u64());
    events.is_some_and(|events| events > 0 && events <= room)
}

fn whole_frame(bytes: &Bytes) -> Option<(FrameKind, Bytes)> {
    let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    let header = FrameHeader::decode(header).ok()?;
    if bytes.len() < header.frame_bytes() {
        return None;
    }
    let body = bytes.slice(FRAME_HEADER_BYTES..header.frame_bytes());
    header.check_body(&body).ok()?;
    Some((header.kind, body))
}
