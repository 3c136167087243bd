//! Appending and reading: what goes in comes out, at once and after opening again.

use std::fs;
use std::os::unix::fs::FileExt;

use tally_protocol::{Event, Position};
use tally_store::{
    AppendError, Cause, FRAME_HEADER_BYTES, Group, LogReader, LogWriter, MarkReport, OpenError,
    Options, ReadError, ReadLimit, SegmentLog, SegmentReader,
};
use tally_tlog::TreeSize;

use crate::ledger::{Maker, Saved, contents, fill, open, origin, segments};

#[test]
fn what_is_appended_is_read_at_once_and_after_opening_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let (mut writer, reader, recovery) = open(&dir).expect("open");
    assert_eq!((recovery.mark, recovery.cut), (MarkReport::New, None));
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    let mut events: Vec<Event> = Vec::new();
    for count in [1, 4, 2, 2, 7, 1, 1, 3] {
        let expected = maker.size();
        let group = maker.group(count);
        let tip = writer.append(epoch, expected, &group).expect("append");
        events.extend(group.events);
        let seen = contents(&reader);
        assert_eq!((seen.tip, &seen.events), (tip, &events));
        assert_eq!(seen.checkpoint, group.commit.checkpoint);
        assert_eq!((tip.root, tip.chain), (group.commit.root, group.commit.chain));
        assert_eq!(tip.recorded_at, events[events.len() - 1].recorded_at());
    }
    assert!(segments(&dir).len() >= 4);
    let before = contents(&reader);
    drop(writer);
    let (_writer, reader, recovery) = open(&dir).expect("open");
    assert_eq!(contents(&reader), before);
    assert_eq!(recovery.mark, MarkReport::Claims(before.tip.size));
    assert_eq!((recovery.cut, recovery.indexes_rebuilt), (None, 0));
    assert_eq!(recovery.segments, segments(&dir).len());
    assert_eq!(reader.origin(), &origin());
}

#[test]
fn limits_bound_a_read() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &[3, 3, 3, 3]);
    let (_writer, reader, _) = open(&dir).expect("open");
    let size = whole.events.len();
    let bytes_each = whole.events[0].bytes().len();
    for from in 0..size {
        for events in 0..=size {
            let limit = ReadLimit { events, bytes: usize::MAX };
            let read = reader.read(Position(from as u64), limit).expect("read");
            let end = size.min(from + events.max(1));
            assert_eq!(read, whole.events[from..end], "from {from}, {events} events");
        }
        for count in 0..size {
            let limit = ReadLimit { events: usize::MAX, bytes: count * (bytes_each + 1) };
            let read = reader.read(Position(from as u64), limit).expect("read");
            let bytes: usize = read.iter().map(|event| event.bytes().len()).sum();
            assert!(read.len() == 1 || bytes <= limit.bytes);
            assert!(read.len() >= count.clamp(1, size - from));
        }
    }
    let limit = ReadLimit { events: 1, bytes: 1 };
    assert_eq!(reader.read(Position(size as u64), limit).expect("at the tip"), []);
    assert_eq!(reader.read(Position(u64::MAX), limit).expect("beyond"), []);
    let error = reader.event(Position(size as u64)).expect_err("beyond");
    assert!(matches!(error, ReadError::Beyond { .. }), "{error}");
}

#[test]
fn a_wrong_size_is_a_conflict_and_a_foreign_epoch_is_fenced() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let (mut writer, reader, _) = open(&dir).expect("open");
    let mut maker = Maker::new();
    let (first, second) = (maker.group(2), maker.group(1));
    let early = writer.append(tally_store::Epoch::new(0), TreeSize::ZERO, &first);
    assert!(matches!(early, Err(AppendError::Fenced { .. })), "no epoch was opened");
    let old = writer.open_epoch("one").expect("an epoch");
    let new = writer.open_epoch("two").expect("an epoch");
    assert!(new > old);
    let error = writer.append(old, TreeSize::ZERO, &first).expect_err("fenced");
    assert!(matches!(error, AppendError::Fenced { epoch } if epoch == new), "{error}");
    let tip = writer.append(new, TreeSize::ZERO, &first).expect("append");
    for wrong in [0, 1, 3] {
        let error = writer.append(new, TreeSize::new(wrong), &second).expect_err("conflict");
        assert!(matches!(error, AppendError::Conflict { tip: at } if at == tip), "{error}");
    }
    writer.append(new, tip.size, &second).expect("still alive");
    assert_eq!(contents(&reader).events.len(), 3);
}

#[test]
fn epochs_rise_over_restarts() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    for number in 1..4 {
        let (mut writer, _, _) = open(&dir).expect("open");
        assert_eq!(writer.open_epoch("test").expect("an epoch").as_u64(), number);
    }
}

/// Appends a first event, and then a second one as `change` makes it of what would follow.
fn append_changed(other: bool, change: impl FnOnce(&mut Group)) {
    let temp = tempfile::tempdir().expect("a directory");
    let (mut writer, _, _) = open(temp.path()).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    let first = maker.group(1);
    if other {
        maker = Maker::new();
        maker.group_of(1, |_| b"other".to_vec());
    }
    let mut second = maker.group(3);
    change(&mut second);
    writer.append(epoch, TreeSize::ZERO, &first).expect("append");
    let _unreached = writer.append(epoch, first.commit.size, &second);
}

#[test]
#[should_panic(expected = "linked to the log")]
fn a_group_of_another_log_is_a_defect() {
    append_changed(true, |_| {});
}

#[test]
#[should_panic(expected = "in order")]
fn a_group_with_a_gap_is_a_defect() {
    append_changed(false, |group| drop(group.events.remove(1)));
}

#[test]
#[should_panic(expected = "chain after its group")]
fn a_commit_of_another_chain_is_a_defect() {
    append_changed(false, |group| group.commit.chain = group.events[0].chain());
}

#[test]
fn one_process_writes() {
    let temp = tempfile::tempdir().expect("a directory");
    let (mut writer, _, _) = open(temp.path()).expect("open");
    writer.open_epoch("the first").expect("an epoch");
    match open(temp.path()) {
        Err(OpenError::Locked { holder, .. }) => assert_eq!(holder, "the first, epoch 1"),
        other => panic!("{other:?}"),
    }
    writer.close().expect("close");
    open(temp.path()).expect("released");
}

#[test]
fn another_origin_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[1]);
    let other = "example.com/other".parse().expect("an origin");
    let error = SegmentLog::open(temp.path(), &other, Options::default(), &mut |_| {});
    assert!(matches!(error, Err(OpenError::OtherOrigin { .. })));
}

#[test]
fn a_reader_stands_beside_a_live_writer_and_changes_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let (mut writer, live, _) = open(&dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    for count in [2, 1, 3, 1, 2] {
        let expected = maker.size();
        writer.append(epoch, expected, &maker.group(count)).expect("append");
        let before = Saved::take(&dir);
        let (reader, recovery) = SegmentReader::open_read_only(&dir, &mut |_| {}).expect("open");
        assert_eq!(contents(&reader), contents(&live));
        assert_eq!((recovery.cut, recovery.indexes_rebuilt), (None, 0));
        assert_eq!(before.files(), Saved::take(&dir).files());
    }
    // A group half-way to the disk, and an index that is gone.
    let last = segments(&dir).pop().expect("a segment");
    let bytes = fs::read(&last).expect("read");
    let end = bytes.len() as u64;
    let file = fs::File::options().write(true).open(&last).expect("open");
    let header = FRAME_HEADER_BYTES + 57 + origin().as_str().len();
    file.write_all_at(&bytes[header..header + 30], end).expect("write");
    fs::remove_file(last.with_extension("idx")).expect("remove");
    let before = Saved::take(&dir);
    let (reader, recovery) = SegmentReader::open_read_only(&dir, &mut |_| {}).expect("open");
    assert_eq!(contents(&reader), contents(&live));
    let cut = recovery.cut.expect("reported");
    assert_eq!((cut.kept, cut.bytes, recovery.indexes_rebuilt), (end, 30, 1));
    assert_eq!(before.files(), Saved::take(&dir).files());
}

#[test]
fn nothing_to_read_is_said() {
    let temp = tempfile::tempdir().expect("a directory");
    let error = SegmentReader::open_read_only(temp.path(), &mut |_| {}).expect_err("empty");
    assert!(matches!(error, OpenError::NoLog { .. }), "{error}");
    assert!(crate::ledger::files(temp.path()).is_empty());
}

#[test]
fn an_event_damaged_after_opening_is_not_served() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[2]);
    let (_writer, reader, _) = open(&dir).expect("open");
    let path = &segments(&dir)[0];
    let bytes = fs::read(path).expect("read");
    let event = reader.event(Position(1)).expect("whole");
    let at = bytes.windows(event.bytes().len()).position(|found| found == event.bytes());
    let file = fs::File::options().write(true).open(path).expect("open");
    let at = at.expect("in the segment") as u64 + 60;
    file.write_all_at(&[bytes[at as usize] ^ 1], at).expect("write");
    for error in [
        reader.event(Position(1)).expect_err("damaged"),
        reader.read(Position(1), ReadLimit { events: 9, bytes: 999 }).expect_err("damaged"),
    ] {
        match error {
            ReadError::Damaged(damage) => {
                assert_eq!((damage.position, damage.cause), (Position(1), Cause::BodyChecksum));
            }
            other => panic!("{other}"),
        }
    }
    // An index that names another event's place.
    let index = path.with_extension("idx");
    let offsets = fs::read(&index).expect("read");
    fs::write(&index, [&offsets[8..], &offsets[..8]].concat()).expect("write");
    let error = reader.event(Position(1)).expect_err("another event");
    assert!(error.to_string().contains("position is 0"), "{error}");
}

#[test]
fn progress_ends_at_all_bytes() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[2, 1, 3]);
    let bytes: u64 =
        segments(temp.path()).iter().map(|path| path.metadata().expect("there").len()).sum();
    let mut last = None;
    let told = &mut |progress| last = Some(progress);
    SegmentLog::open(temp.path(), &origin(), Options::default(), told).expect("open");
    let last = last.expect("told");
    assert_eq!((last.bytes_done, last.bytes_total), (bytes, bytes));
}
