//! Where a repair takes events from: another copy of the same ledger.
//!
//! What a source gives is believed no further than it is proved: the chain must join it to what
//! stands in the damaged log, and the tree's root be the one that was signed.

use std::iter::Peekable;
use std::path::Path;

use tally_protocol::{Event, Position};
use tally_tlog::{Origin, TreeSize};
use thiserror::Error;

use crate::error::{FileError, OpenError};
use crate::files::{Layout, SegmentName};
use crate::log::Commit;
use crate::mark::MarkRead;
use crate::salvage::{Content, Salvage};

/// What a source gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// An event, byte for byte.
    Event(Event),
    /// A signed head. It stands behind the last event that it covers.
    Commit(Commit),
}

/// Events and signed heads of a log, as a backup or a mirror has them.
///
/// Events are what is hashed, so they are given by position; how they lie in files is no concern of
/// a source. Heads may be few: a segment is made to end at one, and two segments become one where
/// none is known between them.
pub trait Source {
    /// The log's name.
    fn origin(&self) -> &Origin;

    /// The size of the last head that it has.
    fn size(&self) -> TreeSize;

    /// At least so many events were acknowledged, as far as it knows: it may have lost its own end.
    fn acknowledged(&self) -> TreeSize {
        self.size()
    }

    /// From this position on: the events in order, and the heads that are known.
    ///
    /// # Errors
    ///
    /// [`SourceError`]. Events that the source does not have are left out.
    fn read(
        &self,
        from: Position,
    ) -> Result<Box<dyn Iterator<Item = Result<Given, SourceError>> + '_>, SourceError>;
}

/// Why a source did not give what was asked for.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not have an event, or not whole.
    #[error("it lacks the event at position {position} as well; name another copy")]
    Missing {
        /// Which.
        position: Position,
    },
}

/// The segments of another data directory or backup. What is damaged in it is left out.
#[derive(Debug)]
pub struct DirectorySource {
    layout: Layout,
    names: Vec<SegmentName>,
    origin: Origin,
    size: TreeSize,
    marked: TreeSize,
}

impl DirectorySource {
    /// Opens the log in a directory, reading its end.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; damage is none.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let layout = Layout::new(dir);
        let names = layout.segments()?;
        let (mut origin, mut size) = (None, TreeSize::ZERO);
        for &name in names.iter().rev() {
            let mut salvage = Salvage::open(&layout, name, None)?;
            while let Some(piece) = salvage.next()? {
                match piece.content {
                    Content::Header(start) => origin = Some(start.origin),
                    Content::Commit(commit) if piece.proven => size = commit.size,
                    Content::Event(_) | Content::Commit(_) | Content::Bad(_) => {}
                }
            }
            if origin.is_some() && size > TreeSize::ZERO {
                break;
            }
        }
        let Some(origin) = origin else { return Err(OpenError::NoLog { path: dir.to_owned() }) };
        let marked = MarkRead::take(&layout)?.mark().map_or(TreeSize::ZERO, |mark| mark.size);
        Ok(Self { layout, names, origin, size, marked })
    }
}

impl Source for DirectorySource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn size(&self) -> TreeSize {
        self.size
    }

    fn acknowledged(&self) -> TreeSize {
        self.size.max(self.marked)
    }

    fn read(
        &self,
        from: Position,
    ) -> Result<Box<dyn Iterator<Item = Result<Given, SourceError>> + '_>, SourceError> {
        let after = self.names.partition_point(|name| name.first() <= from);
        let names = self.names[after.saturating_sub(1)..].to_vec();
        Ok(Box::new(Items::new(&self.layout, &self.origin, names, from)))
    }
}

/// What can be read of some segments, from a position on.
pub(crate) struct Items<'a> {
    layout: &'a Layout,
    origin: &'a Origin,
    names: std::vec::IntoIter<SegmentName>,
    current: Option<Salvage>,
    from: Position,
}

impl<'a> Items<'a> {
    pub(crate) fn new(
        layout: &'a Layout,
        origin: &'a Origin,
        names: Vec<SegmentName>,
        from: Position,
    ) -> Self {
        Self { layout, origin, names: names.into_iter(), current: None, from }
    }

    fn step(&mut self) -> Result<Option<Given>, FileError> {
        loop {
            let Some(salvage) = &mut self.current else {
                let Some(name) = self.names.next() else { return Ok(None) };
                self.current = Some(Salvage::open(self.layout, name, Some(self.origin))?);
                continue;
            };
            let Some(piece) = salvage.next()? else {
                self.current = None;
                continue;
            };
            match piece.content {
                Content::Event(event) if event.position() >= self.from => {
                    return Ok(Some(Given::Event(event)));
                }
                Content::Commit(commit) if Position::at_tip(commit.size) > self.from => {
                    return Ok(Some(Given::Commit(commit)));
                }
                Content::Header(_) | Content::Event(_) | Content::Commit(_) | Content::Bad(_) => {}
            }
        }
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Given, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(SourceError::from).transpose()
    }
}

/// What a source gives, looked at one step ahead.
pub(crate) struct Stream<'a>(Peekable<Box<dyn Iterator<Item = Result<Given, SourceError>> + 'a>>);

impl<'a> Stream<'a> {
    pub(crate) fn new(items: Box<dyn Iterator<Item = Result<Given, SourceError>> + 'a>) -> Self {
        Self(items.peekable())
    }

    /// The head that comes next, if it is wanted.
    pub(crate) fn head(&mut self, is_wanted: impl Fn(&Commit) -> bool) -> Option<Commit> {
        let found =
            self.0.next_if(|item| matches!(item, Ok(Given::Commit(head)) if is_wanted(head)));
        match found {
            Some(Ok(Given::Commit(head))) => Some(head),
            _ => None,
        }
    }

    /// The event at this position, if it has it; what comes before is dropped.
    pub(crate) fn event(&mut self, at: Position) -> Result<Option<Event>, SourceError> {
        let is_past = |item: &Result<Given, SourceError>| match item {
            Ok(Given::Event(event)) => event.position() < at,
            Ok(Given::Commit(head)) => Position::at_tip(head.size) <= at,
            Err(_) => false,
        };
        while self.0.next_if(is_past).is_some() {}
        let is_it = |item: &Result<Given, SourceError>| match item {
            Ok(Given::Event(event)) => event.position() == at,
            Ok(Given::Commit(_)) => false,
            Err(_) => true,
        };
        match self.0.next_if(is_it).transpose()? {
            Some(Given::Event(event)) => Ok(Some(event)),
            Some(Given::Commit(_)) | None => Ok(None),
        }
    }

    /// Where it has something again.
    pub(crate) fn resumes(&mut self) -> Option<Position> {
        match self.0.peek()? {
            Ok(Given::Event(event)) => Some(event.position()),
            Ok(Given::Commit(head)) => Some(Position::at_tip(head.size)),
            Err(_) => None,
        }
    }
}
