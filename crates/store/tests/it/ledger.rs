//! Makes small logs. Knows no rules and signs nothing: the store verifies no signature.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, Position, SignedEnvelope, Time};
use tally_store::{
    Commit, Group, LogReader, LogWriter, OpenError, Options, ReadLimit, Recovery, START_BYTES,
    SegmentLog, SegmentReader, SegmentWriter, Tip,
};
use tally_tlog::{Frontier, Origin, TreeSize};

/// Two groups of the sizes used here fill a segment.
pub(crate) const SMALL: Options = Options { segment_bytes: 700, start_bytes: START_BYTES };

pub(crate) fn origin() -> Origin {
    "example.com/ledger".parse().expect("an origin")
}

/// The head that grows as groups are made.
#[derive(Clone)]
pub(crate) struct Maker {
    next: Position,
    chain: ChainHash,
    frontier: Frontier,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let chain = ChainHash::genesis(&origin());
        Self { next: Position(0), chain, frontier: Frontier::new() }
    }

    pub(crate) fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    pub(crate) fn group(&mut self, count: u64) -> Group {
        self.group_of(count, |position| format!("payload of {position}").into_bytes())
    }

    pub(crate) fn group_of(&mut self, count: u64, payload: impl Fn(u64) -> Vec<u8>) -> Group {
        let events: Vec<Event> = (0..count).map(|_| self.event(payload(self.next.0))).collect();
        let (size, chain, root) = (self.size(), self.chain, self.frontier.root());
        let checkpoint = Bytes::from(format!("note of {size}\n"));
        Group { events, commit: Commit { size, chain, root, checkpoint } }
    }

    fn event(&mut self, payload: Vec<u8>) -> Event {
        let signed = SignedEnvelope { payload: payload.into(), signature: [0; 64] };
        let recorded_at = Time(1_000 + self.next.0 as i64);
        let event = Event::new(self.next, self.chain, recorded_at, &signed);
        self.next = self.next.next();
        self.chain = event.chain();
        self.frontier.append(event.leaf(), |_, _| {});
        event
    }
}

pub(crate) type Opened = (SegmentWriter, SegmentReader, Recovery);

pub(crate) fn open(dir: &Path) -> Result<Opened, OpenError> {
    SegmentLog::open(dir, &origin(), SMALL, &mut |_| {})
}

/// Appends groups of these sizes and closes; returns what a reader then sees.
pub(crate) fn fill(dir: &Path, groups: &[u64]) -> Contents {
    let (mut writer, reader, _) = open(dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    for &count in groups {
        let expected = maker.size();
        writer.append(epoch, expected, &maker.group(count)).expect("append");
    }
    writer.close().expect("close");
    contents(&reader)
}

/// Everything a reader can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) tip: Tip,
    pub(crate) checkpoint: Bytes,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn contents(reader: &SegmentReader) -> Contents {
    let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let events = reader.read(Position(0), all).expect("read");
    assert_eq!(events.len() as u64, reader.tip().size.as_u64());
    for event in &events {
        assert_eq!(reader.event(event.position()).expect("event"), *event);
    }
    Contents { tip: reader.tip(), checkpoint: reader.checkpoint(), events }
}

/// The files of a directory and its directories, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found = files(&dir.join("log"));
    found.retain(|path| path.extension().is_some_and(|suffix| suffix == "seg"));
    found
}

/// A copy of a directory whose files can be put back.
pub(crate) struct Saved {
    dir: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Saved {
    pub(crate) fn take(dir: &Path) -> Self {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).expect("read");
            (path, bytes)
        };
        Self { dir: dir.to_owned(), files: files(dir).into_iter().map(read).collect() }
    }

    pub(crate) fn put_back(&self) {
        fs::remove_dir_all(&self.dir).expect("remove");
        for (path, bytes) in &self.files {
            fs::create_dir_all(path.parent().expect("in a directory")).expect("create");
            fs::write(path, bytes).expect("write");
        }
    }

    pub(crate) fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        &self.files
    }

    pub(crate) fn bytes(&self, path: &Path) -> &[u8] {
        &self.files.iter().find(|(known, _)| known == path).expect("a saved file").1
    }
}
