//! Torn, cut, flipped and missing files: the same ledger, or a refusal that names the place.

use std::fs;
use std::path::Path;

use tally_protocol::Position;
use tally_store::{
    Cause, FRAME_HEADER_BYTES, LogWriter, MarkReport, OpenError, Options, Proof, Scanned,
    SegmentLog, claim, scan,
};

use crate::ledger::{Contents, Maker, Saved, contents, fill, open, segments};

/// Where the groups of the last segment end, its header first: (offset, size of the log).
fn commits(dir: &Path) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for located in scan(dir).expect("scan") {
        let located = located.expect("whole");
        match located.item {
            Scanned::Segment(start) => found = vec![(located.end, start.first.0)],
            Scanned::Event(_) => {}
            Scanned::Commit(commit) => found.push((located.end, commit.size.as_u64())),
        }
    }
    found
}

fn shortened(whole: &Contents, size: u64) -> Vec<tally_protocol::Event> {
    whole.events[..size as usize].to_vec()
}

#[test]
fn a_cut_last_segment_is_refused_at_every_length_when_the_mark_is_current() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &[2, 1, 3, 1, 2, 1]);
    let saved = Saved::take(&dir);
    let last = segments(&dir).pop().expect("a segment");
    for length in 0..saved.bytes(&last).len() {
        saved.put_back();
        fs::write(&last, &saved.bytes(&last)[..length]).expect("write");
        match open(&dir) {
            Err(OpenError::Damaged { damage, proof }) => {
                assert_eq!(proof, Proof::Mark(whole.tip.size), "length {length}");
                assert!(damage.offset <= length as u64, "length {length}");
                let name = last.file_name().expect("a name").to_str().expect("text");
                assert_eq!(damage.segment.to_string(), name);
            }
            other => panic!("length {length}: {other:?}"),
        }
        assert_eq!(fs::read(&last).expect("read").len(), length, "nothing was changed");
    }
}

#[test]
fn a_cut_last_segment_ends_at_its_last_commit_when_the_mark_lags() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let sizes = [2, 1, 3, 1];
    fill(&dir, &sizes);
    let lagging = fs::read(dir.join("mark")).expect("read");
    let before = segments(&dir).len();
    // The same log with two groups more, and the mark as it was.
    let (mut writer, reader, _) = open(&dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    sizes.iter().for_each(|&count| drop(maker.group(count)));
    for count in [2, 1] {
        let expected = maker.size();
        writer.append(epoch, expected, &maker.group(count)).expect("append");
    }
    writer.close().expect("close");
    let whole = contents(&reader);
    assert_eq!(segments(&dir).len(), before + 1, "the groups are in a segment of their own");
    fs::write(dir.join("mark"), lagging).expect("write");
    let ends = commits(&dir);
    assert_eq!(ends.len(), 3);
    let saved = Saved::take(&dir);
    let last = segments(&dir).pop().expect("a segment");
    for length in 0..=saved.bytes(&last).len() as u64 {
        saved.put_back();
        fs::write(&last, &saved.bytes(&last)[..length as usize]).expect("write");
        let kept = ends.iter().rev().find(|(end, _)| *end <= length);
        let (end, size) = kept.copied().unwrap_or((0, ends[0].1));
        let (writer, reader, recovery) = open(&dir).unwrap_or_else(|e| panic!("{length}: {e}"));
        assert_eq!(contents(&reader).events, shortened(&whole, size), "length {length}");
        match recovery.cut {
            Some(cut) => assert_eq!((cut.kept, cut.bytes), (end, length - end)),
            None => assert_eq!(length, end, "a tail is reported"),
        }
        drop(writer);
        let (_writer, reader, recovery) = open(&dir).expect("open again");
        assert_eq!((recovery.cut, recovery.indexes_rebuilt), (None, 0), "length {length}");
        assert_eq!(contents(&reader).events.len() as u64, size, "length {length}");
    }
}

#[test]
fn what_was_cut_is_written_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2]);
    let mark = fs::read(dir.join("mark")).expect("read");
    let mut maker = Maker::new();
    maker.group(2);
    let group = maker.group(3);
    for cut in [1, 200] {
        let (mut writer, _, _) = open(&dir).expect("open");
        let epoch = writer.open_epoch("test").expect("an epoch");
        writer.append(epoch, tally_tlog::TreeSize::new(2), &group).expect("append");
        drop(writer);
        let last = segments(&dir).pop().expect("a segment");
        let bytes = fs::read(&last).expect("read");
        fs::write(&last, &bytes[..bytes.len() - cut]).expect("write");
        fs::write(dir.join("mark"), &mark).expect("write");
    }
    let (mut writer, reader, recovery) = open(&dir).expect("open");
    assert!(recovery.cut.is_some());
    let epoch = writer.open_epoch("test").expect("an epoch");
    writer.append(epoch, tally_tlog::TreeSize::new(2), &group).expect("append");
    let written = contents(&reader);
    drop(writer);
    let (_writer, reader, _) = open(&dir).expect("open");
    assert_eq!(contents(&reader), written);
}

/// Flips one bit of every byte of every file: the same ledger, or a refusal.
fn check_flips(dir: &Path, bit: u8) -> (usize, usize) {
    let (mut same, mut refused) = (0, 0);
    let (writer, reader, _) = open(dir).expect("open");
    let whole = contents(&reader);
    writer.close().expect("close");
    let saved = Saved::take(dir);
    for (path, bytes) in saved.files() {
        for at in 0..bytes.len() {
            saved.put_back();
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            fs::write(path, bad).expect("write");
            match open(dir) {
                Ok((_writer, reader, _)) => {
                    assert_eq!(contents(&reader), whole, "{} byte {at}", path.display());
                    same += 1;
                }
                Err(OpenError::Damaged { .. } | OpenError::Foreign { .. }) => refused += 1,
                Err(other) => panic!("{} byte {at}: {other}", path.display()),
            }
        }
    }
    (same, refused)
}

#[test]
fn no_flipped_bit_makes_the_ledger_shorter_or_other() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2, 1, 3]);
    let log_bytes: usize =
        segments(&dir).iter().map(|path| fs::read(path).expect("read").len()).sum();
    for bit in [0, 7] {
        let (same, refused) = check_flips(&dir, bit);
        assert_eq!(refused, log_bytes, "every byte of the log is accounted for");
        assert!(same > 0);
    }
}

/// The log of two groups in one segment, whose mark lags: it claims none of them.
fn with_lagging_mark(dir: &Path, groups: [u64; 2]) -> (Contents, Saved) {
    let (writer, _, _) = open(dir).expect("open");
    writer.close().expect("close");
    let empty = fs::read(dir.join("mark")).expect("read");
    let whole = fill(dir, &groups);
    assert_eq!(segments(dir).len(), 1);
    fs::write(dir.join("mark"), empty).expect("write");
    (whole, Saved::take(dir))
}

/// A lagging mark: only what stands behind the damage, and that it is no tear, prove that it was
/// acknowledged.
#[test]
fn a_flipped_bit_is_refused_when_the_mark_lags() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let (_, saved) = with_lagging_mark(&dir, [1, 1]);
    let last = segments(&dir).pop().expect("a segment");
    let (mut by_commit, mut by_shape) = (0, 0);
    for at in 0..saved.bytes(&last).len() {
        saved.put_back();
        let mut bad = saved.bytes(&last).to_vec();
        bad[at] ^= 0x10;
        fs::write(&last, bad).expect("write");
        match open(&dir) {
            Err(OpenError::Damaged { proof: Proof::LaterCommit { .. }, .. }) => by_commit += 1,
            Err(OpenError::Damaged { proof: Proof::NotTorn, .. }) => by_shape += 1,
            other => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(by_commit > by_shape && by_shape > 0, "the last commit has none behind it");
}

/// A power cut that keeps the end of a group and loses a sector before it: the commit that stands
/// behind the hole is the group's own, and proves nothing.
#[test]
fn a_group_with_a_hole_is_cut_though_its_commit_is_there() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let (whole, saved) = with_lagging_mark(&dir, [3, 20]);
    let ends = commits(&dir);
    let last = segments(&dir).pop().expect("a segment");
    let begin = ends[1].0 as usize;
    let bytes = saved.bytes(&last);
    let last_sector = bytes.len() / 512;
    assert!(begin / 512 + 3 < last_sector, "a group of several sectors");
    for sector in begin / 512..last_sector {
        saved.put_back();
        let mut torn = bytes.to_vec();
        torn[begin.max(sector * 512)..(sector + 1) * 512].fill(0);
        fs::write(&last, torn).expect("write");
        let (_writer, reader, recovery) = open(&dir).expect("open");
        assert!(recovery.cut.is_some(), "sector {sector}");
        assert_eq!(contents(&reader).events, shortened(&whole, 3), "sector {sector}");
    }
    // The same hole in a group that another follows was acknowledged.
    saved.put_back();
    let mut holed = bytes.to_vec();
    holed[ends[0].0 as usize..512].fill(0);
    fs::write(&last, holed).expect("write");
    let error = open(&dir).expect_err("acknowledged");
    assert!(
        matches!(error, OpenError::Damaged { proof: Proof::LaterCommit { .. }, .. }),
        "{error}"
    );
}

#[test]
fn an_event_cannot_pass_for_a_commit() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[1, 1]);
    let mark = fs::read(dir.join("mark")).expect("read");
    // An author who knows the format writes a commit frame of size 3 into an envelope.
    let commit_frame = {
        let other = temp.path().join("other");
        fill(&other, &[2, 1]);
        let frames: Vec<_> =
            scan(&other).expect("scan").map(|found| found.expect("whole")).collect();
        let last = frames.last().expect("frames");
        let bytes = fs::read(segments(&other).pop().expect("a segment")).expect("read");
        bytes[last.offset as usize..last.end as usize].to_vec()
    };
    let mut maker = Maker::new();
    maker.group(1);
    maker.group(1);
    // Far enough in that there would be room for the event that it claims.
    let payload = [vec![0; 200], commit_frame].concat();
    let group = maker.group_of(1, |_| payload.clone());
    let (mut writer, _, _) = open(&dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    writer.append(epoch, tally_tlog::TreeSize::new(2), &group).expect("append");
    drop(writer);
    // The group is torn in its own commit: never acknowledged, and to be cut.
    let last = segments(&dir).pop().expect("a segment");
    let bytes = fs::read(&last).expect("read");
    fs::write(&last, &bytes[..bytes.len() - 1]).expect("write");
    fs::write(dir.join("mark"), mark).expect("write");
    let (_writer, reader, recovery) = open(&dir).expect("open");
    assert!(recovery.cut.is_some());
    assert_eq!(contents(&reader).events.len(), 2);
}

#[test]
fn a_missing_segment_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2, 1, 3, 1, 2, 1, 4]);
    let saved = Saved::take(&dir);
    let all = segments(&dir);
    assert!(all.len() >= 4, "{}", all.len());
    for (n, path) in all.iter().enumerate() {
        saved.put_back();
        fs::remove_file(path).expect("remove");
        match open(&dir) {
            Err(OpenError::Damaged { damage, proof: Proof::Mark(_) }) if n + 1 == all.len() => {
                assert_eq!(damage.cause, Cause::EndOfLog);
            }
            Err(OpenError::Damaged { damage, proof: Proof::LaterSegment(_) }) => {
                assert!(matches!(damage.cause, Cause::SegmentPosition { .. }), "{damage}");
            }
            other => panic!("segment {n}: {other:?}"),
        }
    }
    saved.put_back();
    fs::remove_dir_all(dir.join("log")).expect("remove");
    let error = open(&dir).expect_err("the log is gone");
    assert!(matches!(error, OpenError::Damaged { proof: Proof::Mark(_), .. }), "{error}");
}

/// Whole frames of another history of the same log: every checksum is right.
#[test]
fn a_spliced_history_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    fill(&dir, &[2, 2, 2]);
    let (mut writer, _, _) = open(&other).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    for size in [0, 2, 4] {
        let group = maker.group_of(2, |position| format!("PAYLOAD of {position}").into_bytes());
        writer.append(epoch, tally_tlog::TreeSize::new(size), &group).expect("append");
    }
    drop(writer);
    let saved = Saved::take(&dir);
    let (ours, theirs) = (segments(&dir), segments(&other));
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    let cause = |error| match error {
        OpenError::Damaged { damage, .. } => damage.cause,
        other => panic!("{other}"),
    };
    fs::copy(&theirs[1], &ours[1]).expect("copy");
    assert_eq!(cause(open(&dir).expect_err("another segment")), Cause::SegmentChain);

    saved.put_back();
    let first = scan(&dir).expect("scan").nth(1).expect("an event").expect("whole");
    let range = first.offset as usize..first.end as usize;
    let mut bytes = saved.bytes(&ours[0]).to_vec();
    bytes[range.clone()].copy_from_slice(&fs::read(&theirs[0]).expect("read")[range]);
    fs::write(&ours[0], bytes).expect("write");
    assert_eq!(cause(open(&dir).expect_err("another event")), Cause::EventChain);
}

#[test]
fn a_torn_roll_is_removed() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &[2, 1, 3, 1]);
    let saved = Saved::take(&dir);
    let header = {
        let first = fs::read(&segments(&dir)[0]).expect("read");
        first[..FRAME_HEADER_BYTES + 57].to_vec()
    };
    let torn = dir.join("log").join(format!("{:020}.seg", whole.tip.size.as_u64()));
    for length in [0, 1, FRAME_HEADER_BYTES, header.len()] {
        saved.put_back();
        fs::write(&torn, &header[..length]).expect("write");
        let (mut writer, reader, recovery) = open(&dir).expect("open");
        assert_eq!(contents(&reader), whole);
        let cut = recovery.cut.expect("reported");
        assert_eq!((cut.kept, cut.bytes), (0, length as u64));
        assert!(!torn.exists());
        let mut maker = Maker::new();
        [2, 1, 3, 1].iter().for_each(|&count| drop(maker.group(count)));
        let epoch = writer.open_epoch("test").expect("an epoch");
        writer.append(epoch, whole.tip.size, &maker.group(1)).expect("append");
        assert_eq!(contents(&reader).events.len(), whole.events.len() + 1);
    }
}

#[test]
fn a_torn_first_segment_is_begun_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[]);
    let first = segments(&dir).pop().expect("a segment");
    let header = fs::read(&first).expect("read");
    for length in 0..header.len() {
        fs::write(&first, &header[..length]).expect("write");
        let (_writer, reader, recovery) = open(&dir).expect("open");
        assert!(recovery.cut.is_some() && contents(&reader).events.is_empty());
        assert_eq!(fs::read(&first).expect("read").len(), header.len());
    }
}

#[test]
fn a_lost_mark_is_made_again_only_if_the_log_ends_cleanly() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &[2, 1, 3]);
    let saved = Saved::take(&dir);
    let mark = dir.join("mark");
    let breaks: [&dyn Fn(); 3] = [
        &|| fs::remove_file(&mark).expect("remove"),
        &|| fs::write(&mark, []).expect("write"),
        &|| fs::write(&mark, [7; 160]).expect("write"),
    ];
    for lose in breaks {
        saved.put_back();
        lose();
        let (_writer, reader, recovery) = open(&dir).expect("open");
        assert_eq!(recovery.mark, MarkReport::Unreadable);
        assert_eq!(contents(&reader), whole);
        let made = claim(&dir).expect("read").expect("a mark");
        assert_eq!((made.size, made.chain), (whole.tip.size, whole.tip.chain));

        saved.put_back();
        lose();
        let last = segments(&dir).pop().expect("a segment");
        let mut bytes = saved.bytes(&last).to_vec();
        bytes.push(2);
        fs::write(&last, bytes).expect("write");
        let error = open(&dir).expect_err("cannot tell");
        assert!(
            matches!(error, OpenError::Damaged { proof: Proof::MarkUnreadable, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_mark_of_another_log_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    fill(&dir, &[2, 1, 3]);
    let (mut writer, _, _) = open(&other).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let group = Maker::new().group_of(2, |_| b"another".to_vec());
    writer.append(epoch, tally_tlog::TreeSize::ZERO, &group).expect("append");
    drop(writer);
    fs::copy(other.join("mark"), dir.join("mark")).expect("copy");
    let error = open(&dir).expect_err("another log's mark");
    assert!(matches!(error, OpenError::MarkDisagrees { .. }), "{error}");
}

#[test]
fn a_mark_of_another_log_without_any_segment_is_refused_and_nothing_changes() {
    let temp = tempfile::tempdir().expect("a directory");
    let other = "example.com/another".parse().expect("an origin");
    let options = Options::default();
    drop(SegmentLog::open(temp.path(), &other, options, &mut |_| {}).expect("begins"));
    fs::remove_dir_all(temp.path().join("log")).expect("remove");
    let saved = Saved::take(temp.path());
    let error = open(temp.path()).expect_err("another log's mark");
    assert!(matches!(error, OpenError::MarkDisagrees { .. }), "{error}");
    assert_eq!(Saved::take(temp.path()).files(), saved.files());
    assert!(!temp.path().join("log").exists());
}

#[test]
fn a_refusal_names_file_byte_position_and_what_to_do() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2, 1]);
    let last = segments(&dir).pop().expect("a segment");
    let mut bytes = fs::read(&last).expect("read");
    let second = scan(&dir).expect("scan").map(|found| found.expect("whole")).find(
        |found| matches!(&found.item, Scanned::Event(event) if event.position() == Position(1)),
    );
    let offset = second.expect("there").offset;
    bytes[offset as usize + 60] ^= 1;
    fs::write(&last, bytes).expect("write");
    let text = open(&dir).expect_err("damaged").to_string();
    let place = format!("segment 00000000000000000000.seg, byte {offset}, before position 1");
    assert!(text.contains(&place), "{text}");
    assert!(text.contains("checksum") && text.contains("`tally fsck`"), "{text}");
}

#[test]
fn a_scan_names_the_damage_and_ends() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2, 1, 3, 1]);
    let saved = Saved::take(&dir);
    for path in segments(&dir) {
        for at in 0..saved.bytes(&path).len() {
            let mut bad = saved.bytes(&path).to_vec();
            bad[at] ^= 4;
            fs::write(&path, bad).expect("write");
            let mut scan = scan(&dir).expect("scan");
            assert!(scan.any(|found| found.is_err()), "{} byte {at}", path.display());
            assert!(scan.next().is_none(), "ended");
        }
        fs::write(&path, saved.bytes(&path)).expect("write");
    }
    assert!(scan(&dir).expect("scan").all(|found| found.is_ok()));
}
