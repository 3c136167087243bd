//! A check of a data directory: every damaged place is named, and nothing else; and it agrees with
//! what opening then does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tally_protocol::Position;
use tally_store::fs::{DiskFile, FileSystem, RealFs};
use tally_store::fsck::{Finding, Flaw, MAX_FINDINGS, Report, Severity, fsck, fsck_on};
use tally_store::{Cause, LogReader, LogWriter, Scanned, SegmentLog, TreeFiles, TreeReader, scan};

use crate::ledger::{Maker, SMALL, Saved, contents, files, open, origin, segments};
use crate::signed::{
    append, check, copy, directory, fill, group, of, relative, repair_from, sign, verify,
};

/// Five segments.
const SIZES: [u64; 8] = [2, 1, 3, 1, 2, 1, 1, 2];

/// Where the events of a log stand, and the end of each: file, offset, end, position.
fn events(dir: &Path) -> Vec<(PathBuf, u64, u64, Position)> {
    let mut found = Vec::new();
    for located in scan(dir).expect("scan") {
        let located = located.expect("whole");
        if let Scanned::Event(event) = located.item {
            let file = Path::new("log").join(located.segment.to_string());
            found.push((file, located.offset, located.end, event.position()));
        }
    }
    found
}

/// The position in a segment's name.
fn first(path: &Path) -> Position {
    let name = path.file_stem().expect("a name").to_str().expect("text");
    name.parse().expect("a position")
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at as usize] ^= 0x10;
    fs::write(path, bytes).expect("write");
}

#[test]
fn nothing_is_found_in_a_whole_log() {
    let temp = directory();
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let saved = Saved::take(&dir);
    let report = check(&dir);
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.segments), (whole.tip.size, segments(&dir).len()));
    assert_eq!((report.origin.as_ref(), &report.writer), (Some(&origin()), &None));
    assert!(report.is_whole() && report.roots_end.is_none());
    let after = Saved::take(&dir);
    assert_eq!(after.files(), saved.files(), "nothing was changed");
}

/// What a start makes of a directory: log, then tree.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    Refused,
    Whole,
}

fn start(dir: &Path) -> Start {
    let Ok((_writer, reader, _)) = open(dir) else { return Start::Refused };
    let (tip, tree) = (reader.tip(), dir.join("tree"));
    TreeFiles::open(&tree, &tip, &reader, &mut |_| {}).expect("a tree");
    let nodes = TreeReader::open_read_only(&tree).expect("nodes");
    nodes.verify(tip.size, tip.root).expect("the nodes are right");
    Start::Whole
}

/// Holds the findings to what a start then does.
fn check_start(dir: &Path, report: &Report, what: &str) {
    let saved = Saved::take(dir);
    let worst = report.findings.iter().map(|finding| finding.severity).min();
    let expected = match worst {
        Some(Severity::Ledger) => Start::Refused,
        _ => Start::Whole,
    };
    assert_eq!(start(dir), expected, "{what}: {report:?}");
    if worst == Some(Severity::Rebuildable) {
        let after: Vec<Finding> = check(dir).findings;
        assert_eq!(after, [], "{what}: the start has put it right");
    }
    saved.put_back();
}

/// One flipped bit in every byte of every file: the file is named and the byte is in the range, and
/// a repair from a copy brings back the same bytes.
#[test]
fn every_flipped_bit_is_found_and_mended() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
    let whole = fill(&dir, &SIZES);
    assert_eq!(segments(&dir).len(), 5);
    copy(&dir, &other);
    let saved = Saved::take(&dir);
    let header = events(&dir)[0].1;
    let mut seen: BTreeMap<Severity, usize> = BTreeMap::new();
    for (path, bytes) in saved.files() {
        let file = relative(&dir, path);
        for at in 0..bytes.len() as u64 {
            let what = format!("{} byte {at}", file.display());
            flip(path, at);
            let report = check(&dir);
            check_start(&dir, &report, &what);
            let is_segment = path.extension().is_some_and(|suffix| suffix == "seg");
            match &report.findings[..] {
                [] => assert_eq!(file, Path::new("lock"), "{what}"),
                [finding, more @ ..] => {
                    assert!(more.is_empty() || !is_segment, "{what}: {report:?}");
                    assert_eq!(finding.file, file, "{what}: {report:?}");
                    let is_named = finding.bytes.is_empty() || finding.bytes.contains(&at);
                    assert!(is_named, "{what}: {report:?}");
                    assert_eq!(finding.severity == Severity::Ledger, is_segment, "{what}");
                    assert!(!is_segment || !finding.bytes.is_empty(), "{what}: {report:?}");
                    *seen.entry(finding.severity).or_default() += 1;
                }
            }
            if is_segment {
                repair_from(&dir, &other).unwrap_or_else(|error| panic!("{what}: {error}"));
                // A damaged header cannot say its epoch, which then is the latest that fits.
                let kept = if at < header { header } else { 0 };
                let mended = fs::read(path).expect("read");
                assert_eq!(mended[kept as usize..], bytes[kept as usize..], "{what}");
                let (_writer, reader, _) = open(&dir).expect("open");
                assert_eq!(contents(&reader), whole, "{what}");
            }
            saved.put_back();
        }
    }
    let severities: Vec<Severity> = seen.into_keys().collect();
    assert_eq!(severities, [Severity::Ledger, Severity::Rebuildable]);
}

/// The last segment, cut at every length, with a mark that lags and with one that does not: what is
/// a tail and what is damage is what opening makes of it.
#[test]
fn a_cut_end_is_a_tail_or_damage_as_opening_says() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES[..5]);
    let lagging = fs::read(dir.join("mark")).expect("read");
    let mut maker = Maker::new();
    let groups: Vec<_> = SIZES.iter().map(|&count| group(&mut maker, count)).collect();
    append(&dir, &groups[5..]);
    let current = fs::read(dir.join("mark")).expect("read");
    // It would know that the log was longer.
    fs::remove_dir_all(dir.join("tree")).expect("remove");
    let saved = Saved::take(&dir);
    let last = segments(&dir).pop().expect("a segment");
    let (mut tails, mut damages) = (0, 0);
    for mark in [Some(lagging), Some(current), None] {
        for length in 0..saved.bytes(&last).len() {
            saved.put_back();
            fs::write(&last, &saved.bytes(&last)[..length]).expect("write");
            match &mark {
                Some(mark) => fs::write(dir.join("mark"), mark).expect("write"),
                None => fs::remove_file(dir.join("mark")).expect("remove"),
            }
            let report = check(&dir);
            let harm = !of(&report, Severity::Ledger).is_empty();
            assert_eq!(open(&dir).is_err(), harm, "length {length}: {report:?}");
            damages += usize::from(harm);
            tails += of(&report, Severity::Tail).len();
            for finding in of(&report, Severity::Tail) {
                assert_eq!(finding.bytes.end, length as u64, "{finding:?}");
            }
        }
    }
    assert!(tails > 100 && damages > 100, "{tails} tails, {damages} damages");
}

/// Damage in the first segment hides none in the third, nor one in the same segment.
#[test]
fn every_damaged_place_is_named_with_its_events() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let all = events(&dir);
    // Two events with others between them in the first segment, one in the third.
    for n in [0, 2, 7] {
        let (file, offset, ..) = &all[n];
        flip(&dir.join(file), offset + 40);
    }
    let report = check(&dir);
    let found: Vec<_> = of(&report, Severity::Ledger)
        .into_iter()
        .map(|finding| (finding.file.clone(), finding.bytes.clone(), finding.positions.clone()))
        .collect();
    let expected = [0, 2, 7].map(|n: usize| {
        let (file, offset, end, position) = all[n].clone();
        (file, offset..end, position..position.next())
    });
    assert_eq!(found, expected, "{report:?}");
    assert_eq!(report.findings.len(), 3, "stored leaves stand in: no root is wrong");
    assert_eq!(report.roots_end, None);

    // Without the tree, the roots behind the first damage cannot be known, and that is said.
    fs::remove_dir_all(dir.join("tree")).expect("remove");
    let report = check(&dir);
    assert_eq!(of(&report, Severity::Ledger).len(), 3);
    assert_eq!(report.roots_end, Some(Position(0)));
    assert_eq!(of(&report, Severity::Rebuildable)[0].flaw, Flaw::TreeMissing);
}

/// A frame whose header is damaged does not say where it ends: the next whole one is looked for.
#[test]
fn reading_goes_on_behind_a_damaged_length() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let all = events(&dir);
    for (file, offset, end, position) in &all[1..] {
        let saved = Saved::take(&dir);
        flip(&dir.join(file), offset + 2);
        let report = check(&dir);
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((&finding.file, &finding.bytes), (file, &(*offset..*end)));
        assert_eq!(finding.positions, *position..position.next());
        assert_eq!(finding.flaw, Flaw::Frame(Cause::HeaderChecksum));
        saved.put_back();
    }
}

#[test]
fn a_damaged_commit_costs_no_event() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let commits: Vec<_> = scan(&dir)
        .expect("scan")
        .map(|found| found.expect("whole"))
        .filter(|found| matches!(found.item, Scanned::Commit(_)))
        .collect();
    let saved = Saved::take(&dir);
    for commit in &commits[..commits.len() - 1] {
        flip(&dir.join("log").join(commit.segment.to_string()), commit.offset + 20);
        let report = check(&dir);
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(finding.bytes, commit.offset..commit.end);
        assert!(finding.positions.is_empty(), "{finding:?}");
        saved.put_back();
    }
}

#[test]
fn missing_segments_are_named_with_their_events() {
    let temp = directory();
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let saved = Saved::take(&dir);
    let all = segments(&dir);
    let end = Position::at_tip(whole.tip.size);
    for n in 0..all.len() {
        fs::remove_file(&all[n]).expect("remove");
        let report = check(&dir);
        let found = of(&report, Severity::Ledger);
        let [finding] = &found[..] else { panic!("segment {n}: {report:?}") };
        let lost = first(&all[n])..if n + 1 < all.len() { first(&all[n + 1]) } else { end };
        assert_eq!(finding.positions, lost, "segment {n}: {report:?}");
        if n + 1 < all.len() {
            assert_eq!(finding.flaw, Flaw::SegmentMissing);
            assert_eq!(finding.file, relative(&dir, &all[n]));
        } else {
            assert_eq!(finding.flaw, Flaw::EndsEarly(whole.tip.size));
            assert_eq!(finding.file, relative(&dir, &all[n - 1]));
        }
        // The index that is left over is no segment's.
        assert_eq!(of(&report, Severity::Leftover).len(), 1, "{report:?}");
        saved.put_back();
    }
    fs::remove_dir_all(dir.join("log")).expect("remove");
    let report = check(&dir);
    assert_eq!(of(&report, Severity::Ledger)[0].positions, Position(0)..end);
}

/// Neither a segment nor the mark says that there was more; the tree, which follows the log, does.
#[test]
fn a_lost_end_is_known_from_the_tree() {
    let temp = directory();
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let last = segments(&dir).pop().expect("a segment");
    fs::remove_file(&last).expect("remove");
    fs::remove_file(dir.join("mark")).expect("remove");
    let report = check(&dir);
    let [finding] = &of(&report, Severity::Ledger)[..] else { panic!("{report:?}") };
    assert_eq!(finding.flaw, Flaw::TreeAhead(whole.tip.size));
    assert_eq!(finding.positions, first(&last)..Position::at_tip(whole.tip.size));
}

/// A segment that lost its end, and the next one that is not there: both are one gap.
#[test]
fn damage_up_to_the_end_of_a_segment_reaches_to_the_next() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let all = segments(&dir);
    let bytes = fs::read(&all[1]).expect("read");
    fs::write(&all[1], &bytes[..bytes.len() / 2]).expect("write");
    let report = check(&dir);
    let found = of(&report, Severity::Ledger);
    let [finding] = &found[..] else { panic!("{report:?}") };
    assert_eq!(finding.bytes.end, bytes.len() as u64 / 2);
    assert_eq!(finding.positions.end, first(&all[2]));
    fs::remove_file(&all[2]).expect("remove");
    let report = check(&dir);
    assert_eq!(of(&report, Severity::Ledger)[0].positions.end, first(&all[3]));
}

#[test]
fn files_that_are_not_the_ledger_s_are_named() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    fill(&dir, &SIZES[..2]);
    fs::write(dir.join("log/notes.txt"), "x").expect("write");
    fs::write(dir.join("log/00000000000000000077.idx"), "x").expect("write");
    fs::write(dir.join("tree/x"), "x").expect("write");
    fs::create_dir(dir.join("damaged")).expect("create");
    fs::write(dir.join("damaged/00000000000000000000.seg"), "x").expect("write");
    let report = check(&dir);
    assert!(report.is_whole(), "{report:?}");
    let left: Vec<_> = of(&report, Severity::Leftover).iter().map(|f| f.file.clone()).collect();
    let expected = [
        "damaged/00000000000000000000.seg",
        "log/00000000000000000077.idx",
        "log/notes.txt",
        "tree/x",
    ];
    assert_eq!(left, expected.map(PathBuf::from));

    fs::write(dir.join("log/x.seg"), "x").expect("write");
    let report = check(&dir);
    assert_eq!(of(&report, Severity::ByHand)[0].flaw, Flaw::StrangeName);
    assert!(open(&dir).is_err() && !report.is_whole());
    fs::remove_file(dir.join("log/x.seg")).expect("remove");

    // A segment of another ledger.
    let foreign = "example.org/another".parse().expect("an origin");
    drop(SegmentLog::open(&other, &foreign, SMALL, &mut |_| {}).expect("open"));
    let name = "00000000000000000003.seg";
    fs::copy(&segments(&other)[0], dir.join("log").join(name)).expect("copy");
    let report = check(&dir);
    let found = of(&report, Severity::ByHand);
    assert_eq!(found[0].file, Path::new("log").join(name));
    assert_eq!(found[0].flaw, Flaw::Frame(Cause::OtherOrigin(foreign)));
    assert!(open(&dir).is_err());
}

/// A segment under another's name, twice there, or of another history.
#[test]
fn segments_that_do_not_fit_each_other_are_named() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    fill(&dir, &SIZES);
    crate::signed::fill_with(&other, &SIZES, "PAYLOAD");
    let (saved, all) = (Saved::take(&dir), segments(&dir));

    fs::copy(&segments(&other)[2], &all[2]).expect("copy");
    let report = check(&dir);
    let flaws: Vec<_> = of(&report, Severity::Ledger).iter().map(|f| f.flaw.clone()).collect();
    assert!(flaws.contains(&Flaw::Frame(Cause::SegmentChain)), "{report:?}");
    assert!(open(&dir).is_err());
    saved.put_back();

    fs::copy(&all[1], &all[2]).expect("copy");
    let report = check(&dir);
    let found = of(&report, Severity::Ledger);
    assert_eq!(found[0].file, relative(&dir, &all[2]), "{report:?}");
    let misplaced = Cause::SegmentPosition { found: Position(3) };
    assert_eq!(found[0].flaw, Flaw::Frame(misplaced), "{report:?}");
    saved.put_back();

    // The mark of another history of the same size.
    fs::copy(other.join("mark"), dir.join("mark")).expect("copy");
    let report = check(&dir);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!(matches!(finding.flaw, Flaw::MarkDisagrees(_)), "{report:?}");
    assert!(!report.is_whole() && open(&dir).is_err());
}

/// A head that nobody signed, or that is of another tree, is found though every checksum is right.
#[test]
fn a_head_that_is_not_to_be_believed_is_named() {
    let temp = directory();
    let dir = temp.path().join("data");
    let mut maker = Maker::new();
    append(&dir, &[group(&mut maker, 2)]);
    let stale = group(&mut maker.clone(), 1).commit.checkpoint;
    let mut forged = group(&mut maker, 1);
    forged.commit.checkpoint = "not a note".into();
    append(&dir, &[forged]);
    let report = check(&dir);
    assert!(matches!(of(&report, Severity::Ledger)[0].flaw, Flaw::Checkpoint { .. }), "{report:?}");
    let mut old = group(&mut maker, 1);
    old.commit.checkpoint = stale;
    append(&dir, &[old]);
    let report = check(&dir);
    assert!(matches!(of(&report, Severity::Ledger)[0].flaw, Flaw::Checkpoint { .. }), "{report:?}");
    assert!(report.findings[0].remedy().contains("key"));

    // A root that the events do not have.
    let mut wrong = group(&mut maker, 1);
    wrong.commit.root = tally_tlog::empty_root();
    let (mut writer, reader, _) = open(&dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    writer.append(epoch, reader.tip().size, &wrong).expect("append");
    writer.close().expect("close");
    let report = check(&dir);
    let flaws: Vec<_> = of(&report, Severity::Ledger).iter().map(|f| f.flaw.clone()).collect();
    assert!(flaws.iter().any(|flaw| matches!(flaw, Flaw::Root { .. })), "{report:?}");
}

#[test]
fn a_writer_at_work_is_named_and_not_disturbed() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let (mut writer, reader, _) = open(&dir).expect("open");
    let epoch = writer.open_epoch("harbour master").expect("an epoch");
    let report = check(&dir);
    assert!(report.writer.as_ref().expect("a writer").contains("harbour master"), "{report:?}");
    assert!(report.is_whole(), "{report:?}");
    let mut maker = Maker::new();
    SIZES.iter().for_each(|&count| drop(group(&mut maker, count)));
    writer.append(epoch, reader.tip().size, &group(&mut maker, 1)).expect("append");
    drop(writer);
    assert_eq!(check(&dir).writer, None);
}

#[test]
fn what_is_no_ledger_is_not_checked() {
    let temp = directory();
    let error = fsck(temp.path(), None, &verify, &mut |_| {}).expect_err("nothing there");
    assert!(matches!(error, tally_store::OpenError::NoLog { .. }), "{error}");
    // A damaged mark alone may be all that is left of one.
    fs::write(temp.path().join("mark"), [7; 160]).expect("write");
    let report = check(temp.path());
    assert_eq!(report.findings[0].flaw, Flaw::LogMissing);
}

/// Garbage of megabytes: bounded findings, and an end.
#[test]
fn findings_have_a_limit() {
    let temp = directory();
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let path = segments(&dir).remove(0);
    let mut bytes = fs::read(&path).expect("read");
    // Whole frames that are no events, each a finding.
    let frame = event_frame(&[9; 117]);
    bytes.extend(frame.iter().cycle().take(frame.len() * (MAX_FINDINGS + 7)));
    fs::write(&path, bytes).expect("write");
    let report = check(&dir);
    assert_eq!(report.findings.len() as u64 + report.left_out, MAX_FINDINGS as u64 + 7);
    assert!(report.findings.len() <= MAX_FINDINGS && !report.is_whole());
}

/// An event frame around a body, by the format's description.
fn event_frame(body: &[u8]) -> Vec<u8> {
    let mut head = vec![2];
    head.extend((body.len() as u32).to_be_bytes());
    [&head[..], &crc(&head).to_be_bytes(), &crc(body).to_be_bytes(), body].concat()
}

/// CRC-32 bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// An author who knows the format writes whole frames into an envelope, and then its frame's own
/// header is damaged: what follows is found all the same.
#[test]
fn frames_in_an_envelope_do_not_hide_what_follows() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
    let mut maker = Maker::new();
    let first = group(&mut maker, 1);
    // A frame of an event that would come much later, as far as the room allows.
    let forged = {
        let mut maker = maker.clone();
        let later = maker.group_of(3, |_| b"forged".to_vec());
        event_frame(later.events[2].bytes())
    };
    let payload = [vec![7; 500], forged].concat();
    let bait = sign(maker.group_of(1, |_| payload.clone()));
    let rest: Vec<_> = (0..4).map(|_| group(&mut maker, 1)).collect();
    append(&dir, &[&[first, bait][..], &rest].concat());
    copy(&dir, &other);
    let (file, offset, ..) = events(&dir)[1].clone();
    flip(&dir.join(&file), offset + 2);
    let report = check(&dir);
    let lost = of(&report, Severity::Ledger);
    assert_eq!(lost[0].positions.start, Position(1), "{report:?}");
    let readable =
        |position: u64| !lost.iter().any(|finding| finding.positions.contains(&Position(position)));
    assert!((2..6).all(readable) || lost.len() > 1, "{report:?}");
    repair_from(&dir, &other).expect("repaired");
    assert_eq!(check(&dir).findings.iter().filter(|f| f.severity.is_harm()).count(), 0);
}

/// A disk that does not give some bytes back.
#[derive(Debug, Clone)]
struct BadSectors {
    path: PathBuf,
    bytes: std::ops::Range<u64>,
}

impl FileSystem for BadSectors {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = RealFs.open(path)?;
        match path == self.path {
            true => Ok(Box::new(BadFile { file, bytes: self.bytes.clone() })),
            false => Ok(file),
        }
    }

    fn open_or_create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        unreachable!("a check makes nothing")
    }

    fn create_new(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        unreachable!("a check makes nothing")
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("a check makes nothing")
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealFs.read_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFs.exists(path)
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("a check removes nothing")
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("a check renames nothing")
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }
}

#[derive(Debug)]
struct BadFile {
    file: Box<dyn DiskFile>,
    bytes: std::ops::Range<u64>,
}

impl DiskFile for BadFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        if offset < self.bytes.end && self.bytes.start < end {
            return Err(io::Error::other("a bad sector"));
        }
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn sync_all(&self) -> io::Result<()> {
        unreachable!("a check writes nothing")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("a check cuts nothing")
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

#[test]
fn bytes_that_cannot_be_read_are_named_and_the_rest_is_read() {
    let temp = directory();
    let dir = temp.path().join("data");
    let mut maker = Maker::new();
    let mut group = || sign(maker.group_of(10, |at| vec![at as u8; 2_000]));
    append(&dir, &[group(), group()]);
    let path = segments(&dir).remove(0);
    let bad = BadSectors { path: path.clone(), bytes: 8_192..12_288 };
    let report = fsck_on(Arc::new(bad), &dir, None, &verify, &mut |_| {}).expect("a log");
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((&finding.flaw, finding.severity), (&Flaw::Unreadable, Severity::Ledger));
    assert!(finding.bytes.start <= 8_192 && finding.bytes.end >= 12_288, "{finding:?}");
    assert!(finding.bytes.end - finding.bytes.start < 9_000, "{finding:?}");
    assert_eq!(report.size.as_u64(), 20, "the commits behind are read");
    assert!(files(&dir).contains(&path));
}
