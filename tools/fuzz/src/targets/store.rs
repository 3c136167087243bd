//! The files of a data directory: what a start finds after a crash, or after someone has been
//! there.
//!
//! Written to a directory in memory where there is one, and read by the store as it always reads.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use tally_protocol::{ChainHash, Event, Origin, Position};
use tally_store::fsck::{Finding, Flaw};
use tally_store::{
    Commit, LogReader, MarkReport, OpenError, Options, Proof, ReadLimit, ScanError, Scanned,
    SegmentLog, SegmentReader, claim, fsck, scan,
};
use tally_tlog::SignedCheckpoint;
use tempfile::TempDir;

use crate::repair::Files;
use crate::targets::Outcome;

/// A directory in memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// Everything, as far as a log of a fuzzer goes.
const ALL: ReadLimit = ReadLimit { events: usize::MAX, bytes: usize::MAX };

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

fn in_directory<T>(f: impl FnOnce(&Path) -> T) -> T {
    DIRECTORY.with(|directory| {
        let make = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("tally-fuzz-");
            let made = if Path::new(MEMORY).is_dir() {
                builder.tempdir_in(MEMORY)
            } else {
                builder.tempdir()
            };
            made.expect("a directory for the files")
        };
        f(directory.get_or_init(make).path())
    })
}

/// An error without the directory that it names.
fn refused(error: &impl std::fmt::Debug, directory: &Path) -> Outcome {
    Outcome::accepted(&format!("{error:?}").replace(&directory.display().to_string(), ""))
}

/// The bytes of the mark: what is claimed was written so.
pub fn mark(data: &[u8]) -> Outcome {
    in_directory(|directory| {
        fs::write(directory.join("mark"), data).expect("writes");
        let claimed = claim(directory).expect("the file is there");
        fs::remove_file(directory.join("mark")).expect("removes");
        let Some(mark) = claimed else { return Outcome::accepted("none") };
        let said = [
            &mark.size.as_u64().to_be_bytes()[..],
            &mark.chain.0,
            &mark.epoch.as_u64().to_be_bytes(),
        ];
        let said = said.concat();
        let whole = |slot: &[u8]| {
            let crc = crc32fast::hash(&slot[..76]).to_be_bytes();
            slot.starts_with(b"TALLYMRK") && slot[16..64] == said && slot[76..] == crc
        };
        let slots = data[..data.len().min(160)].chunks_exact(80);
        assert!(slots.into_iter().any(whole), "a claim stands in a whole slot");
        Outcome::accepted("claimed")
    })
}

/// One segment file, alone in its directory.
pub fn segment(data: &[u8]) -> Outcome {
    in_directory(|directory| {
        let files = Files { mark: None, segments: vec![(0, data.to_vec())], indexes: Vec::new() };
        files.write(directory).expect("writes");
        read_only(directory).0
    })
}

/// Mark, segments and indexes: read, checked, then opened to write.
pub fn ledger(data: &[u8]) -> Outcome {
    in_directory(|directory| {
        let files = Files::decode(data);
        files.write(directory).expect("writes");
        let (outcome, seen) = read_only(directory);
        let before = Files::read(directory).expect("reads");
        let checked = Checked::take(directory);
        match open_to_write(directory, &seen) {
            Ok(size) => {
                seen.opened.allows_log(size);
                if let Checked::Refused(harm) = checked {
                    panic!("a check found harm that is none: {harm:?}");
                }
            }
            Err(error) => {
                seen.opened.allows_refusal(&error);
                let known = !matches!(checked, Checked::Opens) || seen.opened.is_of_another(&error);
                assert!(known, "a check found no harm: {error}");
                let after = Files::read(directory).expect("reads");
                assert!(after.same_log(&before), "a refusal changes nothing: {error}");
            }
        }
        outcome
    })
}

/// What a check says of a start.
enum Checked {
    /// It succeeds.
    Opens,
    /// It is refused, because of these.
    Refused(Vec<Finding>),
    /// Nothing: there is no log.
    Nothing,
}

impl Checked {
    fn take(directory: &Path) -> Self {
        let claim = |note: &[u8]| Ok(SignedCheckpoint::parse(note)?.unverified().clone());
        let report = match fsck(directory, None, &claim, &mut |_| {}) {
            Ok(report) => report,
            Err(OpenError::NoLog { .. }) => return Self::Nothing,
            Err(error) => panic!("{error}"),
        };
        let is_of_start = |finding: &Finding| {
            let of_signature = matches!(finding.flaw, Flaw::Root { .. } | Flaw::Checkpoint { .. });
            finding.severity.is_harm() && !of_signature
        };
        let harm: Vec<Finding> = report.findings.into_iter().filter(is_of_start).collect();
        if harm.is_empty() { Self::Opens } else { Self::Refused(harm) }
    }
}

/// What was found without writing.
struct Seen {
    opened: Opened,
    origin: Option<Origin>,
}

enum Opened {
    /// A log of so many events.
    Log(u64),
    /// No log.
    Nothing,
    /// A log that is not opened.
    Refused,
}

impl Opened {
    /// A writer found a log of so many events.
    fn allows_log(&self, size: u64) {
        match self {
            Self::Log(seen) => assert_eq!(size, *seen, "a writer sees what a reader saw"),
            Self::Nothing => assert_eq!(size, 0, "a writer begins where there is nothing"),
            Self::Refused => panic!("a writer opened what a reader refused"),
        }
    }

    /// A mark without a log: only a writer knows the origin that it must be of.
    fn is_of_another(&self, error: &OpenError) -> bool {
        matches!(self, Self::Nothing) && matches!(error, OpenError::MarkDisagrees { .. })
    }

    /// A writer refused: one that cuts asks more of the mark than a reader does.
    fn allows_refusal(&self, error: &OpenError) {
        let unreadable = matches!(
            error,
            OpenError::Damaged { proof: Proof::MarkUnreadable, .. } | OpenError::LogMissing { .. }
        );
        let refused = matches!(self, Self::Refused);
        let other_log = self.is_of_another(error);
        assert!(
            refused || unreadable || other_log,
            "a reader opened what a writer refused: {error}"
        );
    }
}

/// A scan of the whole directory.
struct Scanning {
    origin: Option<Origin>,
    events: Vec<Event>,
    last_commit: Option<Commit>,
    /// Whether it came to the end.
    whole: Result<Option<ChainHash>, Box<OpenError>>,
    damage: Option<ScanError>,
}

fn scan_all(directory: &Path) -> Scanning {
    let mut found = Scanning {
        origin: None,
        events: Vec::new(),
        last_commit: None,
        whole: Ok(None),
        damage: None,
    };
    let mut scanning = match scan(directory) {
        Ok(scanning) => scanning,
        Err(error) => {
            found.whole = Err(Box::new(error));
            return found;
        }
    };
    for item in scanning.by_ref() {
        match item.map(|located| located.item) {
            Ok(Scanned::Segment(start)) => found.origin = Some(start.origin),
            Ok(Scanned::Event(event)) => found.events.push(event),
            Ok(Scanned::Commit(commit)) => found.last_commit = Some(commit),
            Err(error) => found.damage = Some(error),
        }
    }
    assert!(scanning.next().is_none(), "after an error a scan ends");
    assert_eq!(scanning.position().0, found.events.len() as u64);
    found.whole = Ok(scanning.chain_hash());
    found
}

/// Scans, opens to read, and compares.
fn read_only(directory: &Path) -> (Outcome, Seen) {
    let scanned = scan_all(directory);
    let opened = SegmentReader::open_read_only(directory, &mut |_| {});
    let origin = scanned.origin.clone();
    let seen = |opened| Seen { opened, origin };
    let marked = claim(directory).expect("the file can be read").is_some();
    match opened {
        Ok((reader, recovery)) => {
            assert_eq!(reader.tip(), recovery.tip);
            let clean = scanned.damage.is_none();
            assert_eq!(recovery.cut.is_none(), clean, "what is clean is not cut");
            read_back(&reader, &scanned);
            let outcome = match scanned.damage {
                None => Outcome::accepted("whole"),
                Some(damage) => refused(&damage, directory),
            };
            (outcome, seen(Opened::Log(reader.tip().size.as_u64())))
        }
        Err(error) => {
            let clean = scanned.whole.is_ok() && scanned.damage.is_none();
            assert!(marked || !clean, "what scan accepts, open accepts: {error}");
            let nothing = matches!(error, OpenError::NoLog { .. });
            let state = if nothing { Opened::Nothing } else { Opened::Refused };
            (refused(&error, directory), seen(state))
        }
    }
}

/// The reader gives what the scan gave, up to the last commit.
fn read_back(reader: &SegmentReader, scanned: &Scanning) {
    let tip = reader.tip();
    let size = scanned.last_commit.as_ref().map_or(0, |commit| commit.size.as_u64());
    assert_eq!(tip.size.as_u64(), size, "a log ends with its last commit");
    let committed = &scanned.events[..usize::try_from(size).expect("as many as were scanned")];
    for (at, event) in committed.iter().enumerate() {
        let read = reader.event(Position(at as u64)).expect("the scan has read it");
        assert_eq!(read, *event);
    }
    let read = reader.read(Position(0), ALL).expect("the scan has read them");
    assert_eq!(read, committed);
    assert!(reader.event(Position(size)).is_err());
    assert!(reader.event(Position(u64::MAX)).is_err());
    if let Some(last) = committed.last() {
        assert_eq!(tip.chain, last.chain());
        assert_eq!(tip.recorded_at, last.recorded_at());
    }
}

/// Opens to write; then the log is clean for all who come after. Gives the log's size.
fn open_to_write(directory: &Path, seen: &Seen) -> Result<u64, OpenError> {
    let origin = seen.origin.clone().unwrap_or_else(crate::seeds::log_origin);
    let opened = SegmentLog::open(directory, &origin, Options::default(), &mut |_| {});
    let (writer, reader, _) = opened?;
    let tip = reader.tip();
    writer.close().expect("closes");
    let scanned = scan_all(directory);
    assert!(scanned.damage.is_none() && scanned.whole.is_ok(), "a writer leaves a clean log");
    let (again, recovery) = SegmentReader::open_read_only(directory, &mut |_| {})
        .expect("what a writer has opened, a reader opens");
    assert_eq!(again.tip(), tip);
    assert_eq!(recovery.cut, None);
    assert_eq!(recovery.mark, MarkReport::Claims(tip.size));
    assert_eq!(recovery.indexes_rebuilt, 0);
    read_back(&again, &scanned);
    Ok(tip.size.as_u64())
}
