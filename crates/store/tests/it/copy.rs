//! Copies of a log: brought up to date, held to what is there, durable when they say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tally_store::{CopyError, LogWriter, OpenError, SegmentReader, copy_log};
use tempfile::TempDir;

use crate::durable::{Call, Recording};
use crate::ledger::{Contents, Maker, contents, fill, open, segments};

/// A log of some segments, and a place for its copy that is not there yet.
fn filled() -> (TempDir, PathBuf, PathBuf, Contents) {
    let temp = tempfile::tempdir().expect("a directory");
    let (data, copy) = (temp.path().join("data"), temp.path().join("copies/of/it"));
    let whole = fill(&data, &[2, 1, 3, 1, 2]);
    assert!(segments(&data).len() >= 3);
    (temp, data, copy, whole)
}

fn take(from: &Path, to: &Path) -> Result<(usize, usize), CopyError> {
    copy_log(from, to, &mut |_| {}).map(|copied| (copied.written, copied.kept))
}

fn read(dir: &Path) -> Contents {
    let (reader, found) = SegmentReader::open_read_only(dir, &mut |_| {}).expect("a log");
    assert_eq!(found.cut, None);
    contents(&reader)
}

#[test]
fn a_copy_is_brought_up_to_date_beside_a_writer() {
    let temp = tempfile::tempdir().expect("a directory");
    let (data, copy) = (temp.path().join("data"), temp.path().join("copy"));
    let (mut writer, reader, _) = open(&data).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    assert_eq!(take(&data, &copy).expect("copied"), (0, 0), "nothing is committed");
    let mut maker = Maker::new();
    let mut kept = 0;
    for count in [2, 1, 3, 1, 2, 1] {
        let expected = maker.size();
        writer.append(epoch, expected, &maker.group(count)).expect("append");
        let (written, there) = take(&data, &copy).expect("copied");
        assert_eq!(written, 1, "the last segment is longer, or new");
        kept += there;
        assert_eq!(read(&copy), contents(&reader));
        let all = segments(&data).len();
        assert_eq!(take(&data, &copy).expect("copied"), (0, all), "all of it is there");
    }
    assert!(kept > 0);
    // A ledger can go on from it.
    let (_writer, restored, found) = open(&copy).expect("open");
    assert_eq!((contents(&restored), found.cut), (contents(&reader), None));
}

#[test]
fn what_was_broken_off_is_completed() {
    let (_temp, data, copy, whole) = filled();
    take(&data, &copy).expect("copied");
    let all = segments(&copy);
    for (n, path) in all.iter().enumerate() {
        let bytes = fs::read(path).expect("read");
        for length in [None, Some(0), Some(bytes.len() / 2)] {
            match length {
                None => fs::remove_file(path).expect("remove"),
                Some(length) => fs::write(path, &bytes[..length]).expect("write"),
            }
            let longer = [&bytes[..], &[7; 100]].concat();
            fs::write(path.with_extension("copying"), longer).expect("write");
            assert_eq!(take(&data, &copy).expect("copied"), (1, all.len() - 1), "segment {n}");
            assert_eq!(read(&copy), whole);
            assert!(!path.with_extension("copying").exists());
        }
    }
}

/// Every flipped byte of a copy is named, and nothing is written over it.
#[test]
fn a_damaged_copy_is_not_completed() {
    let (_temp, data, copy, _) = filled();
    take(&data, &copy).expect("copied");
    for path in segments(&copy) {
        let bytes = fs::read(&path).expect("read");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).expect("write");
            match take(&data, &copy) {
                Err(CopyError::TargetDiffers { segment, offset }) => {
                    assert_eq!(path.file_name(), Path::new(&segment.to_string()).file_name());
                    assert_eq!(offset, at as u64);
                }
                other => panic!("byte {at}: {other:?}"),
            }
            assert_eq!(fs::read(&path).expect("read"), bad);
        }
        fs::write(&path, &bytes).expect("write");
    }
    take(&data, &copy).expect("all bytes are back");
}

/// Its last segment is longer, or there is one more.
#[test]
fn a_longer_copy_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    for sizes in [&[2, 1, 3, 1, 2][..], &[2, 1, 3, 1, 2, 1]] {
        let place = temp.path().join(sizes.len().to_string());
        let (data, longer, copy) = (place.join("data"), place.join("longer"), place.join("copy"));
        fill(&data, sizes);
        fill(&longer, &[sizes, &[1]].concat());
        take(&longer, &copy).expect("copied");
        let error = take(&data, &copy).expect_err("the target is newer");
        assert!(matches!(error, CopyError::TargetAhead { .. }), "{error}");
        assert_eq!(read(&copy), read(&longer), "nothing was changed");
    }
}

#[test]
fn a_damaged_log_is_not_copied() {
    let (_temp, data, copy, whole) = filled();
    let last = segments(&data).pop().expect("a segment");
    let bytes = fs::read(&last).expect("read");
    // The mark knows of what a cut at a commit leaves out, and of a segment that is gone.
    fs::remove_file(&last).expect("remove");
    let error = take(&data, &copy).expect_err("the end is missing");
    assert!(matches!(error, CopyError::Open(OpenError::Damaged { .. })), "{error}");
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        fs::write(&last, bad).expect("write");
        let error = take(&data, &copy).expect_err("damaged");
        assert!(matches!(error, CopyError::Open(OpenError::Damaged { .. })), "{error}");
        assert!(!copy.exists(), "nothing was written");
    }
    // What follows the last commit was promised to nobody.
    fs::write(&last, [&bytes[..], &bytes[..9]].concat()).expect("write");
    take(&data, &copy).expect("copied");
    assert_eq!(read(&copy), whole);
}

/// A segment becomes durable before it gets its name, and its name before the next segment; a copy
/// that writes nothing makes durable what an earlier one, killed, did not come to.
#[test]
fn a_copy_is_durable_when_it_returns() {
    let (_temp, data, copy, _) = filled();
    let recording = Recording::default();
    let take = || {
        recording.take();
        let fs = Arc::new(recording.clone());
        tally_store::copy_log_on(fs, &data, &copy, &mut |_| {}).expect("copied");
        recording.take()
    };
    let log = copy.join("log");
    let mut wanted = Vec::new();
    for path in segments(&data) {
        let place = log.join(path.file_name().expect("a name"));
        let beside = place.with_extension("copying");
        let (offset, bytes) = (0, fs::read(&path).expect("read").len());
        wanted.push(Call::Sync(path));
        wanted.push(Call::Write { path: beside.clone(), offset, bytes });
        wanted.push(Call::Sync(beside.clone()));
        wanted.push(Call::Rename { from: beside, to: place });
        wanted.push(Call::SyncDir(log.clone()));
    }
    let first = take();
    let begin = first.iter().position(|call| *call == wanted[0]).expect("the first segment");
    assert_eq!(first[begin..begin + wanted.len()], wanted);
    let again = take();
    assert!(again.iter().all(|call| matches!(call, Call::SyncDir(_))), "{again:?}");
    for directory in log.ancestors() {
        assert!(again.contains(&Call::SyncDir(directory.to_owned())), "{}", directory.display());
    }
}
