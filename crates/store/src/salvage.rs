//! Reads one segment on its own, and goes on behind what is damaged.
//!
//! [`crate::scan`] ends at the first damage. Here a segment's own header says where the log stood,
//! and behind damage the next whole frame does: an event knows its position and the chain before
//! it, a commit its size and the chain after it. Every byte is in some piece. Whether what stands
//! behind damage is what stood there before, no segment can say of itself: a commit that was signed
//! can, or a chain that joins it to the next segment. Changes nothing.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tally_protocol::limits::EVENT_OVERHEAD_BYTES;
use tally_protocol::{ChainHash, Event, Position};
use tally_tlog::{MAX_TREE_SIZE, Origin};

use crate::error::{Cause, FileError};
use crate::files::{Layout, SegmentName};
use crate::frame::{FRAME_HEADER_BYTES, FrameKind, decode_commit};
use crate::log::Commit;
use crate::patient::PatientFile;
use crate::scan::{Fault, Running, Scanned, Segment, SegmentStart};

/// Bytes that an event needs at least.
const EVENT_FRAME_BYTES: u64 = (FRAME_HEADER_BYTES + EVENT_OVERHEAD_BYTES) as u64;

/// Where a log stands between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The position of the next event.
    pub(crate) position: Position,
    /// The chain hash before it; `None` where a header that would say so is damaged.
    pub(crate) chain: Option<ChainHash>,
}

/// Some bytes of a segment, and what they are.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Range<u64>,
    pub(crate) content: Content,
    /// Where the log stands behind them.
    pub(crate) place: Place,
    /// Nothing but damaged frames, whose headers say where they end, stands between here and the
    /// segment's header: this was written as a frame. What is found by looking for a frame byte by
    /// byte may be what an author wrote into an envelope.
    pub(crate) proven: bool,
}

/// What some bytes are.
#[derive(Debug)]
pub(crate) enum Content {
    Header(SegmentStart),
    Event(Event),
    Commit(Commit),
    Bad(Bad),
}

/// Bytes that are not what must stand there.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) cause: Cause,
    /// The disk did not give some of them back.
    pub(crate) unreadable: bool,
    /// Where the log stood before them.
    pub(crate) before: Place,
    /// Where it goes on; `None` at the end of the segment.
    pub(crate) after: Option<Place>,
}

impl Bad {
    /// Whether no event is missing between what stands before and what stands behind.
    pub(crate) fn is_linked(&self) -> bool {
        self.before.chain.is_some() && self.after == Some(self.before)
    }
}

/// The pieces of one segment, in order.
#[derive(Debug)]
pub(crate) struct Salvage {
    file: Arc<PatientFile>,
    segment: Segment,
    running: Running,
    /// Whether `running` knows the chain.
    known: bool,
    proven: bool,
    /// The last proven place: position and byte. What follows cannot be before it.
    anchor: (Position, u64),
    /// What was found behind damage, to be given next.
    found: Option<Piece>,
    ended: bool,
}

impl Salvage {
    /// Opens a segment of the log `origin`; of any log if that is not known.
    pub(crate) fn open(
        layout: &Layout,
        name: SegmentName,
        origin: Option<&Origin>,
    ) -> Result<Self, FileError> {
        let path = layout.segment(name);
        let file = PatientFile::open(layout.fs(), &path)?;
        let segment = Segment::new(name, file.clone(), path, file.bytes());
        Ok(Self {
            file,
            segment,
            running: Running::seeded(name, origin.cloned()),
            known: false,
            proven: true,
            anchor: (name.first(), 0),
            found: None,
            ended: false,
        })
    }

    /// The length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// The file, to read what was found damaged again.
    pub(crate) fn file(&self) -> &PatientFile {
        &self.file
    }

    /// How many bytes were read.
    pub(crate) fn bytes_done(&self) -> u64 {
        self.segment.frames.offset
    }

    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`FileError`]: not for bytes that cannot be read, which are damage.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, FileError> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        if self.ended {
            return Ok(None);
        }
        let before = self.place();
        match self.segment.next(&mut self.running) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                self.known = true;
                Ok(Some(self.whole(found.offset..found.end, found.item)))
            }
            Err(Fault::File(error)) => Err(error),
            Err(Fault::Cause(cause)) => {
                let at = self.segment.at;
                let (end, after) = self.go_on(at)?;
                let bytes = at..end;
                let unreadable = self.file.is_unreadable(&bytes);
                let place = after.unwrap_or(before);
                let content = Content::Bad(Bad { cause, unreadable, before, after });
                Ok(Some(Piece { bytes, content, place, proven: self.proven }))
            }
        }
    }

    fn place(&self) -> Place {
        let chain = self.known.then_some(self.running.chain);
        Place { position: self.running.next, chain }
    }

    fn whole(&mut self, bytes: Range<u64>, item: Scanned) -> Piece {
        if self.proven {
            self.anchor = (self.running.next, bytes.end);
        }
        let content = match item {
            Scanned::Segment(start) => Content::Header(start),
            Scanned::Event(event) => Content::Event(event),
            Scanned::Commit(commit) => Content::Commit(commit),
        };
        Piece { bytes, content, place: self.place(), proven: self.proven }
    }

    /// Goes on behind the damage at this byte: where that ends, and where the log stands there.
    fn go_on(&mut self, at: u64) -> Result<(u64, Option<Place>), FileError> {
        let behind = self.segment.frames.offset;
        if at == self.segment.frames.end() {
            return Ok(self.end(at));
        }
        if behind > at {
            return self.go_on_from_whole(at, behind);
        }
        let mut from = at;
        // A whole header says where its frame ends, whatever stands in the body.
        loop {
            self.segment.frames.seek(from);
            match self.segment.frames.frame_end() {
                Some(end) if end >= self.segment.frames.end() => return Ok(self.end_behind()),
                Some(end) => {
                    self.segment.frames.seek(end);
                    if let Some(after) = self.accept(true)? {
                        return Ok((end, Some(after)));
                    }
                    if self.segment.frames.offset > end + 1 {
                        return self.search();
                    }
                    from = end;
                }
                None => break,
            }
        }
        self.segment.frames.seek(from + 1);
        self.search()
    }

    /// A whole frame does not fit what stands before it: the log goes on with it, or behind it.
    fn go_on_from_whole(
        &mut self,
        at: u64,
        behind: u64,
    ) -> Result<(u64, Option<Place>), FileError> {
        self.segment.frames.seek(at);
        if let Some(after) = self.accept(true)? {
            return Ok((behind, Some(after)));
        }
        self.segment.frames.seek(behind);
        if self.known {
            return Ok((behind, Some(self.place())));
        }
        self.search()
    }

    /// Looks for a frame with which the log can go on, byte by byte. Whole frames with which it
    /// cannot are stepped over.
    fn search(&mut self) -> Result<(u64, Option<Place>), FileError> {
        while self.segment.frames.offset < self.segment.frames.end() {
            let at = self.segment.frames.offset;
            if let Some(after) = self.accept(false)? {
                return Ok((at, Some(after)));
            }
        }
        Ok(self.end_behind())
    }

    fn end_behind(&mut self) -> (u64, Option<Place>) {
        self.end(self.segment.frames.end())
    }

    fn end(&mut self, at: u64) -> (u64, Option<Place>) {
        self.ended = true;
        (at, None)
    }

    /// Goes on with the frame that begins here, if it is whole and can follow; its place, and the
    /// frame is what comes next. Otherwise goes one byte on, or behind a whole frame.
    fn accept(&mut self, is_boundary: bool) -> Result<Option<Place>, FileError> {
        let at = self.segment.frames.offset;
        let before = self.place();
        let frame = match self.segment.frames.next() {
            Ok(frame) => frame,
            Err(Fault::File(error)) => return Err(error),
            Err(Fault::Cause(_)) => {
                self.segment.frames.seek(at + 1);
                None
            }
        };
        let Some((kind, body)) = frame else { return Ok(None) };
        let Some((after, item)) = self.fits(kind, body, at, is_boundary) else { return Ok(None) };
        let linked = before.chain.is_some() && before == after;
        self.proven = self.proven && (is_boundary || linked);
        self.known = true;
        if let Some(chain) = after.chain {
            self.running.go_on(after.position, chain);
        }
        if let Scanned::Event(event) = &item {
            self.running.follow(event).expect("it was gone on from this event");
        }
        let end = self.segment.frames.offset;
        self.found = Some(self.whole(at..end, item));
        Ok(Some(after))
    }

    /// Where the log stands if it goes on with this frame, if it can.
    fn fits(
        &self,
        kind: FrameKind,
        body: Bytes,
        at: u64,
        is_boundary: bool,
    ) -> Option<(Place, Scanned)> {
        let (position, chain, item) = match kind {
            FrameKind::Segment => return None,
            FrameKind::Event => {
                let event = Event::decode(body).ok()?;
                (event.position(), event.previous_chain(), Scanned::Event(event))
            }
            FrameKind::Commit => {
                let commit = decode_commit(&body);
                (Position::at_tip(commit.size), commit.chain, Scanned::Commit(commit))
            }
        };
        let (first, offset) = self.anchor;
        let events = position.0.checked_sub(first.0)?;
        let has_room = is_boundary || events <= (at - offset) / EVENT_FRAME_BYTES;
        let in_a_tree = position.0 < MAX_TREE_SIZE.as_u64();
        let place = Place { position, chain: Some(chain) };
        let says_more = match &item {
            Scanned::Commit(_) => self.is_news(place),
            Scanned::Event(_) | Scanned::Segment(_) => true,
        };
        (has_room && in_a_tree && says_more).then_some((place, item))
    }

    /// Whether a commit of this place is more than was known: a commit that only contradicts what
    /// stands before it is itself the odd one.
    fn is_news(&self, place: Place) -> bool {
        let ends_group = place == self.place() && self.running.committed < place.position;
        place.position > self.running.next || ends_group
    }
}
