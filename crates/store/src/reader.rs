//! Reads events back, each with its checksum and its position compared again.
//!
//! Sees what the writer of the same process has published, or what was there when it was opened
//! read-only. Does not link events to each other again. An index that opening took on trust, and
//! that leads astray, is made again in memory.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tally_protocol::{Event, Position};
use tally_tlog::Origin;

use crate::error::{Cause, FileError, OpenError, ReadError};
use crate::files::{Layout, SegmentName, open_to_read};
use crate::frame::{FrameKind, decode_commit};
use crate::fs::{DiskFile, FileSystem};
use crate::index;
use crate::log::{LogReader, Progress, ReadLimit, Run, Tip};
use crate::recover::{self, Recovery};
use crate::scan::{Fault, Frames, Running, Scanned, Segment};

/// Segments that are kept open to read. The least recently read one is closed for another.
const MAX_OPEN_SEGMENTS: usize = 64;

/// Bytes read at once for a run of events.
const READ_CHUNK_BYTES: usize = 256 * 1024;

/// Bytes read at once for one event: most events fit.
const EVENT_CHUNK_BYTES: usize = 1024;

/// Reads a segment log. Cloning shares the open files.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    shared: Arc<Shared>,
}

impl SegmentReader {
    /// Opens the log in `dir` to read, without a lock and without changing anything on disk; a
    /// writer may be at work in another process.
    ///
    /// What is seen is the log up to the last whole commit at this moment, which the writer may
    /// not have acknowledged yet. The report says how many bytes follow it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: no log, damaged, or the disk failed.
    pub fn open_read_only(
        dir: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery), OpenError> {
        recover::open_read_only(Layout::new(dir), progress)
    }

    /// Opens a log to read on another file system than the operating system's.
    ///
    /// # Errors
    ///
    /// As [`SegmentReader::open_read_only`].
    pub fn open_read_only_on(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery), OpenError> {
        recover::open_read_only(Layout::on(fs, dir), progress)
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The segments, each up to its last commit. One without an event is a header alone.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.state(|state| state.segments.clone())
    }

    /// The frames from that event's on, to the last commit of its segment.
    fn frames(&self, at: Position, chunk_bytes: usize) -> Result<Frames, ReadError> {
        let place = self.shared.place(at)?;
        let files = self.shared.open(&place)?;
        let nth = at.0 - place.name.first().0;
        let offset = match (&place.index, &files.index) {
            (Index::Memory(offsets), _) => offsets[usize::try_from(nth).expect("in memory")],
            (Index::File | Index::Trusted, Some(file)) => {
                index::offset(&**file, &self.shared.layout.index(place.name), nth)?
            }
            (Index::File | Index::Trusted, None) => unreachable!("opened with its index"),
        };
        let path = self.shared.layout.segment(place.name);
        Ok(Frames::new(Arc::clone(&files.segment), path, offset..place.end, chunk_bytes))
    }

    /// Takes events from one segment's frames while `room` says so, at least one.
    fn take(
        &self,
        from: Position,
        chunk_bytes: usize,
        mut room: impl FnMut(&Event) -> bool,
    ) -> Result<(Run, bool), ReadError> {
        self.mending(from, || self.take_indexed(from, chunk_bytes, &mut room))
    }

    /// Reads what begins at that event, again if its index was to blame.
    fn mending<T>(
        &self,
        from: Position,
        mut read: impl FnMut() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        match read() {
            Err(ReadError::Damaged(found)) if found.position == from && self.mend_index(from) => {
                read()
            }
            found => found,
        }
    }

    /// Makes the index of a segment again that was taken on trust; false when that was no use. The
    /// last segment's is the writer's, who has appended to it.
    fn mend_index(&self, at: Position) -> bool {
        let Ok(place) = self.shared.place(at) else { return false };
        let is_last = self.shared.state(|state| state.is_last(place.name));
        if is_last || !matches!(place.index, Index::Trusted) {
            return false;
        }
        let offsets = self.read_offsets(&place);
        let is_mended = offsets.is_some();
        // Where the segment is damaged itself, this was the only attempt.
        let index = offsets.map_or(Index::File, |offsets| Index::Memory(offsets.into()));
        self.shared.publish(|state| state.set_index(place.name, &index));
        is_mended
    }

    /// Where the events of a segment begin, if all of it is whole.
    fn read_offsets(&self, place: &SegmentInfo) -> Option<Vec<u64>> {
        let path = self.shared.layout.segment(place.name);
        let file = Arc::from(open_to_read(self.shared.layout.fs(), &path).ok()?);
        let mut segment = Segment::new(place.name, file, path, place.end);
        let mut running = Running::seeded(place.name, Some(self.shared.origin.clone()));
        let mut offsets = Vec::new();
        while let Some(found) = segment.next(&mut running).ok()? {
            if let Scanned::Event(_) = found.item {
                offsets.push(found.offset);
            }
        }
        Some(offsets)
    }

    /// One event, whatever follows it.
    fn one(&self, at: Position) -> Result<Event, ReadError> {
        let mut frames = self.frames(at, EVENT_CHUNK_BYTES)?;
        let offset = frames.offset;
        let found = frames.next().and_then(|frame| match frame {
            Some((FrameKind::Event, body)) => Ok(checked(body, at)?),
            _ => Err(Cause::EventExpected.into()),
        });
        found.map_err(|fault| fault.at(self.shared.segment_of(at), offset, at))
    }

    fn take_indexed(
        &self,
        from: Position,
        chunk_bytes: usize,
        room: &mut impl FnMut(&Event) -> bool,
    ) -> Result<(Run, bool), ReadError> {
        let mut frames = self.frames(from, chunk_bytes)?;
        let mut run = Run::default();
        let mut at = from;
        loop {
            let offset = frames.offset;
            let located = |fault: Fault| fault.at(self.shared.segment_of(at), offset, at);
            match frames.next().map_err(located)? {
                Some((FrameKind::Event, body)) => {
                    let event = checked(body, at).map_err(|cause| located(cause.into()))?;
                    if !room(&event) {
                        return Ok((run, false));
                    }
                    run.events.push(event);
                    at = at.next();
                }
                Some((FrameKind::Commit, body)) if !run.events.is_empty() => {
                    run.commits.push(decode_commit(&body));
                }
                Some(_) => return Err(located(Cause::EventExpected.into())),
                None if run.events.is_empty() => return Err(located(Cause::EventExpected.into())),
                None => return Ok((run, true)),
            }
        }
    }
}

impl LogReader for SegmentReader {
    fn origin(&self) -> &Origin {
        &self.shared.origin
    }

    fn tip(&self) -> Tip {
        self.shared.state(|state| state.tip)
    }

    fn checkpoint(&self) -> Bytes {
        self.shared.state(|state| state.checkpoint.clone())
    }

    fn event(&self, at: Position) -> Result<Event, ReadError> {
        self.mending(at, || self.one(at))
    }

    fn run(&self, from: Position, limit: ReadLimit) -> Result<Run, ReadError> {
        let size = self.tip().size;
        let mut found = Run::default();
        let mut bytes = 0;
        let mut at = from;
        let chunk = limit.bytes.clamp(EVENT_CHUNK_BYTES, READ_CHUNK_BYTES);
        while size.contains(at.leaf()) {
            let mut count = found.events.len();
            let (run, more) = self.take(at, chunk, |event| {
                bytes += event.bytes().len();
                count += 1;
                count == 1 || (count <= limit.events && bytes <= limit.bytes)
            })?;
            at = Position(at.0 + run.events.len() as u64);
            found.events.extend(run.events);
            found.commits.extend(run.commits);
            if !more {
                break;
            }
        }
        Ok(found)
    }
}

/// The event of this frame, if it stands at that position.
fn checked(body: Bytes, at: Position) -> Result<Event, Cause> {
    let event = Event::decode(body).map_err(Cause::Event)?;
    match event.position() {
        found if found == at => Ok(event),
        found => Err(Cause::EventPosition { found }),
    }
}

/// Where the events of a segment begin.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    /// The file beside it says so.
    File,
    /// The file beside it says so, which was not held to the segment when it was opened.
    Trusted,
    /// That file does not, and may not be written.
    Memory(Arc<[u64]>),
}

/// A segment, as far as it is committed.
#[derive(Debug, Clone)]
pub(crate) struct SegmentInfo {
    pub(crate) name: SegmentName,
    /// Where its last commit ends.
    pub(crate) end: u64,
    pub(crate) index: Index,
}

/// What changes with each group.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tip: Tip,
    pub(crate) checkpoint: Bytes,
    /// In order, at least one.
    pub(crate) segments: Vec<SegmentInfo>,
}

/// What a writer and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    layout: Layout,
    origin: Origin,
    state: RwLock<State>,
    open: Mutex<VecDeque<(SegmentName, Arc<OpenSegment>)>>,
}

#[derive(Debug)]
struct OpenSegment {
    segment: Arc<dyn DiskFile>,
    index: Option<Box<dyn DiskFile>>,
}

impl Shared {
    pub(crate) fn new(layout: Layout, origin: Origin, state: State) -> Self {
        let (state, open) = (RwLock::new(state), Mutex::default());
        Self { layout, origin, state, open }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // Changes of the state cannot panic half-way: a poisoned lock holds a whole state.
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn place(&self, position: Position) -> Result<SegmentInfo, ReadError> {
        self.state(|state| {
            let size = state.tip.size;
            if !size.contains(position.leaf()) {
                return Err(ReadError::Beyond { position, size });
            }
            Ok(state.segment_of(position).clone())
        })
    }

    fn segment_of(&self, position: Position) -> SegmentName {
        self.state(|state| state.segment_of(position).name)
    }

    fn open(&self, place: &SegmentInfo) -> Result<Arc<OpenSegment>, FileError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|(name, _)| *name == place.name);
        let (_, files) = match known.and_then(|known| open.remove(known)) {
            Some(entry) => entry,
            None => (place.name, Arc::new(self.open_files(place)?)),
        };
        if open.len() == MAX_OPEN_SEGMENTS {
            open.pop_front();
        }
        open.push_back((place.name, Arc::clone(&files)));
        Ok(files)
    }

    fn open_files(&self, place: &SegmentInfo) -> Result<OpenSegment, FileError> {
        let fs = self.layout.fs();
        let index = match place.index {
            Index::File | Index::Trusted => Some(open_to_read(fs, &self.layout.index(place.name))?),
            Index::Memory(_) => None,
        };
        let segment = Arc::from(open_to_read(fs, &self.layout.segment(place.name))?);
        Ok(OpenSegment { segment, index })
    }
}

impl State {
    fn is_last(&self, name: SegmentName) -> bool {
        self.segments.last().is_some_and(|last| last.name == name)
    }

    fn set_index(&mut self, name: SegmentName, index: &Index) {
        let known = self.segments.iter_mut().find(|segment| segment.name == name);
        known.expect("segments stay").index = index.clone();
    }

    fn segment_of(&self, position: Position) -> &SegmentInfo {
        let after = self.segments.partition_point(|segment| segment.name.first() <= position);
        &self.segments[after.checked_sub(1).expect("the first segment begins at 0")]
    }
}
