//! A start that reads the end of the log only: what it takes on trust, what it does not, and that
//! nothing damaged is served all the same.

use std::fs;
use std::path::Path;

use tally_protocol::Position;
use tally_store::{
    FRAME_HEADER_BYTES, LogReader, LogWriter, MarkReport, OpenError, Options, ReadError,
    SegmentLog, SegmentReader,
};

use crate::ledger::{
    Contents, Maker, Opened, SMALL, Saved, contents, fill, open, origin, segments,
};

/// Several segments.
const SIZES: [u64; 8] = [2, 1, 3, 1, 2, 1, 1, 2];

/// Opens, reading the last segment, and those before it that have so many bytes with it.
fn open_end(dir: &Path, start_bytes: u64) -> Result<Opened, OpenError> {
    SegmentLog::open(dir, &origin(), Options { start_bytes, ..SMALL }, &mut |_| {})
}

/// The frames that a start looks at in a sealed segment: the first, and the last event's and commit's.
fn is_looked_at(at: usize, last_event: usize) -> bool {
    at < FRAME_HEADER_BYTES + 57 + origin().as_str().len() || at >= last_event
}

/// Where the last event of a segment begins, as its index says.
fn last_event(segment: &Path) -> usize {
    let index = fs::read(segment.with_extension("idx")).expect("an index");
    let last = index.last_chunk().expect("an entry");
    u64::from_be_bytes(*last) as usize
}

/// Reads each event by itself: the one that stood there, or none. Tells how many are not read.
fn check_events(reader: &SegmentReader, whole: &Contents, what: &str) -> usize {
    assert_eq!(
        (reader.tip(), reader.checkpoint()),
        (whole.tip, whole.checkpoint.clone()),
        "{what}"
    );
    let read = |event: &tally_protocol::Event| match reader.event(event.position()) {
        Ok(found) => {
            assert_eq!(found, *event, "{what}");
            false
        }
        Err(ReadError::Damaged(_)) => true,
        Err(error) => panic!("{what}: {error}"),
    };
    whole.events.iter().filter(|event| read(event)).count()
}

#[test]
fn the_end_of_the_log_is_read_and_the_rest_is_there() {
    let temp = tempfile::tempdir().expect("a directory");
    let whole = fill(temp.path(), &SIZES);
    let lengths: Vec<u64> = segments(temp.path())
        .iter()
        .map(|path| fs::metadata(path).expect("a file").len())
        .collect();
    let all: u64 = lengths.iter().sum();
    for read in 1..=lengths.len() {
        let bytes: u64 = lengths.iter().rev().take(read).sum();
        for start_bytes in [bytes, bytes + 1] {
            let mut told = 0;
            let options = Options { start_bytes, ..SMALL };
            let (_writer, reader, recovery) =
                SegmentLog::open(temp.path(), &origin(), options, &mut |now| {
                    told = now.bytes_total
                })
                .expect("open");
            assert_eq!((recovery.segments, recovery.sealed), (lengths.len(), lengths.len() - read));
            assert_eq!((recovery.tip, told), (whole.tip, bytes), "of {all} bytes");
            assert_eq!(contents(&reader), whole);
        }
    }
    let (_writer, _, recovery) = open_end(temp.path(), 0).expect("open");
    assert_eq!(recovery.sealed, lengths.len() - 1, "the last segment is read whatever it has");
}

#[test]
fn a_log_goes_on_behind_what_was_not_read() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut maker = Maker::new();
    for n in 0..12 {
        let (mut writer, reader, recovery) = open_end(temp.path(), 0).expect("open");
        assert_eq!(recovery.sealed, recovery.segments - 1);
        let epoch = writer.open_epoch("test").expect("an epoch");
        for count in [1, 2] {
            writer.append(epoch, maker.size(), &maker.group(count)).expect("append");
        }
        assert_eq!(contents(&reader).events.len(), 3 * (n + 1));
        writer.close().expect("close");
    }
    let (_writer, reader, recovery) = open_end(temp.path(), u64::MAX).expect("open");
    assert_eq!((recovery.sealed, recovery.cut, recovery.indexes_rebuilt), (0, None, 0));
    assert_eq!(contents(&reader).events.len(), 36);
}

/// Flipped bytes all over every file: a start that reads the end does what one that reads all does,
/// or opens and serves no damaged event.
#[test]
fn a_start_that_reads_less_serves_nothing_damaged() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let sealed: Vec<_> = segments(&dir).into_iter().rev().skip(1).collect();
    let saved = Saved::take(&dir);
    let mut unseen = 0;
    for (path, bytes) in saved.files() {
        let last_event = sealed.contains(path).then(|| last_event(path));
        for at in (0..bytes.len()).step_by(5) {
            let what = format!("{} byte {at}", path.display());
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            saved.put_back();
            fs::write(path, &bad).expect("write");
            let all = open(&dir).map(drop).map_err(|error| error.to_string());
            saved.put_back();
            fs::write(path, &bad).expect("write");
            let end = open_end(&dir, 0);
            let is_seen = last_event.is_none_or(|last| is_looked_at(at, last));
            match end {
                Err(error) => assert_eq!(Err(error.to_string()), all, "{what}"),
                Ok((_, reader, _)) => {
                    assert_eq!(all.is_err(), !is_seen, "{what}");
                    unseen += usize::from(!is_seen);
                    let lost = check_events(&reader, &whole, &what);
                    assert!(lost <= usize::from(!is_seen), "{what}: {lost}");
                }
            }
        }
    }
    assert!(unseen > 100, "{unseen}");
}

/// What a sealed segment must have: without it everything is read, and says what is wrong.
#[test]
fn what_does_not_fit_is_read_whole() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    let whole = fill(&dir, &SIZES);
    let (ours, saved) = (segments(&dir), Saved::take(&dir));
    let check = |break_it: &dyn Fn(), what: &str| {
        saved.put_back();
        break_it();
        let found = open_end(&dir, 0).map(|(_, reader, recovery)| (contents(&reader), recovery));
        match found {
            Ok((found, recovery)) => {
                assert_eq!((found, recovery.sealed), (whole.clone(), 0), "{what}");
            }
            Err(error) => {
                saved.put_back();
                break_it();
                let all = open(&dir).map(drop).expect_err(what);
                assert_eq!(error.to_string(), all.to_string(), "{what}");
            }
        }
    };
    for segment in &ours[..ours.len() - 1] {
        let (bytes, index) = (saved.bytes(segment), segment.with_extension("idx"));
        for length in 0..bytes.len() {
            check(&|| fs::write(segment, &bytes[..length]).expect("write"), "cut");
        }
        check(&|| fs::write(segment, [bytes, b"more"].concat()).expect("write"), "longer");
        check(&|| fs::remove_file(segment).expect("remove"), "gone");
        for length in 0..saved.bytes(&index).len() {
            let cut = &saved.bytes(&index)[..length];
            check(&|| fs::write(&index, cut).expect("write"), "index cut");
        }
        check(&|| fs::remove_file(&index).expect("remove"), "index gone");
    }
    check(&|| fs::remove_file(dir.join("mark")).expect("remove"), "no mark");
    // Another history of the same log: its segments have the same names and lengths.
    let (mut maker, mut writer) = (Maker::new(), open(&other).expect("open").0);
    let epoch = writer.open_epoch("test").expect("an epoch");
    for count in SIZES {
        let group = maker.group_of(count, |n| format!("wayload of {n}").into_bytes());
        writer.append(epoch, writer.tip().size, &group).expect("append");
    }
    drop(writer);
    for (our, their) in ours.iter().zip(segments(&other)) {
        assert_eq!(our.file_name(), their.file_name());
        let theirs = fs::read(&their).expect("read");
        check(&|| fs::write(our, &theirs).expect("write"), "another history");
    }
}

/// A mark that does not reach the last segment proves nothing of those before it.
#[test]
fn a_lagging_mark_proves_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let old = {
        fill(&dir, &SIZES[..3]);
        fs::read(dir.join("mark")).expect("read")
    };
    fs::remove_dir_all(&dir).expect("remove");
    let whole = fill(&dir, &SIZES);
    fs::write(dir.join("mark"), old).expect("write");
    let (writer, reader, recovery) = open_end(&dir, 0).expect("open");
    assert!(matches!(recovery.mark, MarkReport::Claims(size) if size < whole.tip.size));
    assert_eq!((recovery.sealed, contents(&reader)), (0, whole));
    drop((writer, reader));
    let (_writer, _, recovery) = open_end(&dir, 0).expect("open");
    assert_eq!(recovery.sealed, recovery.segments - 1, "the mark claims all of it now");
}

/// An index that names wrong places: whoever reads by it makes it again.
#[test]
fn an_index_that_leads_astray_is_made_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let saved = Saved::take(&dir);
    for path in segments(&dir).into_iter().map(|path| path.with_extension("idx")) {
        let entries = saved.bytes(&path).len() / 8;
        for nth in 0..entries - 1 {
            for entry in [0, 1, 100, u64::MAX] {
                saved.put_back();
                let mut bad = saved.bytes(&path).to_vec();
                bad[8 * nth..][..8].copy_from_slice(&entry.to_be_bytes());
                fs::write(&path, bad).expect("write");
                let (_writer, reader, _) = open_end(&dir, 0).expect("open");
                assert_eq!(check_events(&reader, &whole, "one by one"), 0, "entry {nth}");
                assert_eq!(contents(&reader), whole);
            }
        }
    }
}

/// A segment that was not begun whole is removed, and the log goes on in the one before it, though
/// that was not read.
#[test]
fn a_torn_roll_behind_a_sealed_segment_is_removed() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let whole = fill(&dir, &SIZES);
    let saved = Saved::take(&dir);
    let header = FRAME_HEADER_BYTES + 57 + origin().as_str().len();
    let first = fs::read(&segments(&dir)[0]).expect("read");
    let torn = dir.join("log").join(format!("{:020}.seg", whole.tip.size.as_u64()));
    for length in [0, 1, FRAME_HEADER_BYTES, header - 1] {
        saved.put_back();
        fs::write(&torn, &first[..length]).expect("write");
        let (mut writer, reader, recovery) = open_end(&dir, 0).expect("open");
        let count = segments(&dir).len();
        assert_eq!((recovery.segments, recovery.sealed), (count, count));
        assert_eq!((contents(&reader), torn.exists()), (whole.clone(), false));
        let mut maker = Maker::new();
        SIZES.iter().for_each(|&count| drop(maker.group(count)));
        let epoch = writer.open_epoch("test").expect("an epoch");
        for _ in 0..4 {
            writer.append(epoch, maker.size(), &maker.group(1)).expect("append");
        }
        let written = contents(&reader);
        assert_eq!(written.events.len(), whole.events.len() + 4);
        drop(writer);
        let (_writer, reader, recovery) = open_end(&dir, u64::MAX).expect("open");
        assert_eq!((contents(&reader), recovery.indexes_rebuilt), (written, 0));
    }
}

/// Damage in the middle of an old segment: not met by the start, but by who reads it.
#[test]
fn damage_in_an_old_segment_is_found_when_it_is_read() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &SIZES);
    let old = segments(&dir).remove(0);
    let mut bytes = fs::read(&old).expect("read");
    let at = last_event(&old) - 100;
    bytes[at] ^= 1;
    fs::write(&old, bytes).expect("write");
    let (writer, reader, recovery) = open_end(&dir, 0).expect("open");
    assert_eq!((recovery.sealed, recovery.cut), (recovery.segments - 1, None));
    let lost = (0..reader.tip().size.as_u64()).filter_map(|n| match reader.event(Position(n)) {
        Err(ReadError::Damaged(damage)) => Some(damage),
        read => {
            read.expect("the others are read");
            None
        }
    });
    let lost: Vec<_> = lost.collect();
    assert_eq!((lost.len(), lost[0].segment.first()), (1, Position(0)), "{lost:?}");
    drop(writer);
    for refused in [
        open_end(&dir, u64::MAX).map(drop),
        SegmentReader::open_read_only(&dir, &mut |_| {}).map(drop),
    ] {
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    }
}
