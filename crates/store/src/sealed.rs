//! The segments that a start takes on trust: what it looks at, instead of reading them.
//!
//! A segment is begun only behind a durable commit, and the mark was made durable before it. So
//! everything in the segments before one that the mark has reached was durable, and nothing appends
//! to them any more. Of each this looks at the header, at the lengths of file and index, and at the
//! last group's end, which must link to the next segment's header. Whatever does not fit is for
//! [`crate::recover`] to find, by reading all. Says nothing about the frames between: they are held
//! to their checksums whenever they are read.

use std::sync::Arc;

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, Position};
use tally_tlog::Origin;

use crate::error::{Cause, FileError};
use crate::files::{Layout, SegmentName, length, open_to_read};
use crate::frame::{FrameKind, SegmentHeader, decode_commit};
use crate::fs::DiskFile;
use crate::index;
use crate::log::{Commit, Epoch, Tip};
use crate::mark::MarkRead;
use crate::reader::{Index, SegmentInfo};
use crate::scan::{Fault, Frames, Running, SegmentStart};

/// Bytes read at once: a header, or the end of most groups.
const CHUNK_BYTES: usize = 2 * 1024;

/// The first segments of a log, not read, and what they come to.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) origin: Origin,
    /// At least one, in order.
    pub(crate) segments: Vec<SegmentInfo>,
    /// The highest of their epochs.
    pub(crate) epoch: Epoch,
    /// The head at their end, and its checkpoint.
    pub(crate) tip: Tip,
    pub(crate) checkpoint: Bytes,
    /// Events of the last of them.
    pub(crate) last_events: u64,
}

impl Sealed {
    /// Looks at the first segments, leaving the last ones to be read: one, and more as long as they
    /// have at most `start_bytes` together. `None` when all are to be read: there are no others, or
    /// something does not fit.
    pub(crate) fn look(
        layout: &Layout,
        names: &[SegmentName],
        read: &MarkRead,
        start_bytes: u64,
    ) -> Option<Self> {
        let count = unread(layout, names, start_bytes).ok()?;
        let marked = read.mark().filter(|_| read.whole)?;
        let boundary = names[count].first();
        if count == 0 || Position::at_tip(marked.size) < boundary {
            return None;
        }
        let mut sealed: Option<Self> = None;
        for pair in names[..=count].windows(2) {
            // What is wrong is told by reading it.
            sealed = Some(Self::with(sealed, layout, pair[0], pair[1].first()).ok()?);
        }
        sealed
    }

    /// What a scan of the segments behind these is held to.
    pub(crate) fn running(&self) -> Running {
        let next = Position::at_tip(self.tip.size);
        Running::behind(self.origin.clone(), self.epoch, next, self.tip.chain)
    }

    /// These and one segment more, which must end before position `next`.
    fn with(
        before: Option<Self>,
        layout: &Layout,
        name: SegmentName,
        next: Position,
    ) -> Result<Self, Fault> {
        let path = layout.segment(name);
        let file = open_to_read(layout.fs(), &path).map_err(Fault::File)?;
        let end = length(&*file, &path).map_err(Fault::File)?;
        let file: Arc<dyn DiskFile> = file.into();
        let frames = |from| Frames::new(Arc::clone(&file), path.clone(), from..end, CHUNK_BYTES);
        let mut running = before.as_ref().map_or_else(Running::new, Self::running);
        let start = header(&mut frames(0), &mut running, name)?;
        let events = next.0.checked_sub(name.first().0).ok_or(Cause::EndOfLog)?;
        let last = last_offset(layout, name, events)?;
        let (event, commit) = last_group(&mut frames(last), next)?;
        let mut segments = before.map_or_else(Vec::new, |before| before.segments);
        segments.push(SegmentInfo { name, end, index: Index::Trusted });
        let Commit { size, chain, root, checkpoint } = commit;
        Ok(Self {
            origin: start.origin,
            segments,
            epoch: start.epoch,
            tip: Tip { size, chain, root, recorded_at: event.recorded_at() },
            checkpoint: Bytes::copy_from_slice(&checkpoint),
            last_events: events,
        })
    }
}

/// How many of the first segments need not be read.
fn unread(layout: &Layout, names: &[SegmentName], start_bytes: u64) -> Result<usize, FileError> {
    let mut count = names.len() - 1;
    let mut bytes = bytes_of(layout, names[count])?;
    while count > 0 {
        bytes = bytes.saturating_add(bytes_of(layout, names[count - 1])?);
        if bytes > start_bytes {
            break;
        }
        count -= 1;
    }
    Ok(count)
}

fn bytes_of(layout: &Layout, name: SegmentName) -> Result<u64, FileError> {
    let path = layout.segment(name);
    length(&*open_to_read(layout.fs(), &path)?, &path)
}

/// The header, held to the segment before.
fn header(
    frames: &mut Frames,
    running: &mut Running,
    name: SegmentName,
) -> Result<SegmentStart, Fault> {
    match frames.next()? {
        Some((FrameKind::Segment, body)) => Ok(running.begin(name, SegmentHeader::decode(&body)?)?),
        _ => Err(Cause::NoSegmentHeader.into()),
    }
}

/// Where the last of so many events begins, if the index is as long as it must be.
fn last_offset(layout: &Layout, name: SegmentName, events: u64) -> Result<u64, Fault> {
    let path = layout.index(name);
    let file = open_to_read(layout.fs(), &path).map_err(Fault::File)?;
    let last = events.checked_sub(1).ok_or(Cause::EventExpected)?;
    match length(&*file, &path).map_err(Fault::File)? {
        found if Some(found) == index::bytes(events) => {
            index::offset(&*file, &path, last).map_err(Fault::File)
        }
        _ => Err(Cause::EventExpected.into()),
    }
}

/// The event before position `next` and its group's commit, with which the file ends.
fn last_group(frames: &mut Frames, next: Position) -> Result<(Event, Commit), Fault> {
    let Some((FrameKind::Event, body)) = frames.next()? else {
        return Err(Cause::EventExpected.into());
    };
    let event = Event::decode(body).map_err(Cause::Event)?;
    let Some((FrameKind::Commit, body)) = frames.next()? else {
        return Err(Cause::Uncommitted { events: 1 }.into());
    };
    let commit = decode_commit(&body);
    let chain: ChainHash = event.chain();
    let fits = event.position().next() == next && Position::at_tip(commit.size) == next;
    match fits && commit.chain == chain && frames.offset == frames.end() {
        true => Ok((event, commit)),
        false => Err(Cause::CommitChain.into()),
    }
}
