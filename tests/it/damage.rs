//! Any single byte of the log's files that is changed is found, at its place.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tally_store::{Scanned, scan};
use tally_tests::examiner::verify;
use tally_tests::program::{copy, shipped, tally};
use tally_tlog::VerifierKey;
use tally_verify::Verdict;

/// Frames at the beginning of which every byte is changed.
const FIRST_FRAMES: usize = 2;

/// Groups at the end of which every byte is changed.
const LAST_GROUPS: usize = 3;

/// Between them, every one of so many bytes.
const STRIDE: u64 = 7;

/// Changed bytes for which the program itself is asked.
const ASKS: usize = 20;

struct Place {
    file: PathBuf,
    offset: u64,
    /// The last event that may be named: the one that stands there, or comes next.
    latest: u64,
}

/// Threads that share the work, each with a copy of the log.
const WORKERS: usize = 2;

#[test]
fn any_changed_byte_of_the_log_is_found() {
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || change_bytes(worker));
        }
    });
}

/// Changes every so many-th of the sampled bytes, one at a time.
fn change_bytes(worker: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    copy(&shipped().data(), &data);
    let key: VerifierKey = std::fs::read_to_string(data.join("log.pub"))
        .expect("the log key")
        .trim()
        .parse()
        .expect("a key");
    let whole = verify(&data, &key);
    assert_eq!(whole.verdict, Verdict::Valid, "{whole:?}");

    let places = places(&data);
    assert!(places.len() > 4_000, "{} places", places.len());
    for (n, place) in places.iter().enumerate().filter(|(n, _)| n % WORKERS == worker) {
        // Every bit has its turn; now and then the whole byte.
        let mask = if n % 9 == 8 { 0xff } else { 1 << (n % 9) };
        let changed = Changed::new(place, mask);
        let report = verify(&data, &key);
        let what = || format!("{:?} at {}: {report:?}", place.file, place.offset);
        assert_eq!(report.verdict, Verdict::Invalid, "{}", what());
        let bad = report.first_bad.as_ref().unwrap_or_else(|| panic!("{}", what()));
        assert_eq!(bad.rule, "frame", "{}", what());
        assert!(bad.position.0 <= place.latest, "{}", what());
        assert!(report.size.as_u64() <= bad.position.0, "{}", what());
        if n / WORKERS % (places.len() / ASKS) == worker {
            check_program(&data, place);
        }
        drop(changed);
    }
    assert_eq!(verify(&data, &key), whole, "every byte is back");
}

fn check_program(data: &Path, place: &Place) {
    let data = data.to_str().expect("UTF-8");
    let report = tally(["verify", "--json", "--data", data]).expect(1).json();
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["first_bad"]["rule"], "frame", "{report}");
    let position = report["first_bad"]["position"].as_u64().expect("a position");
    assert!(position <= place.latest, "{report}");
    let text = tally(["verify", "--data", data]).expect(1).stdout;
    assert!(text.starts_with("invalid: position "), "{text}");
}

/// The sample: all of the first frames and the last groups, and a stride between.
fn places(data: &Path) -> Vec<Place> {
    let frames: Vec<_> = scan(data).expect("a log").map(|frame| frame.expect("whole")).collect();
    let commits: Vec<usize> =
        (0..frames.len()).filter(|n| matches!(frames[*n].item, Scanned::Commit(_))).collect();
    let last_groups = commits[commits.len() - 1 - LAST_GROUPS] + 1;
    let mut places = Vec::new();
    let mut events = 0;
    for (n, frame) in frames.iter().enumerate() {
        let file = data.join("log").join(frame.segment.to_string());
        let all = n < FIRST_FRAMES || n >= last_groups;
        let wanted = (frame.offset..frame.end).filter(|offset| all || offset % STRIDE == 0);
        places.extend(wanted.map(|offset| Place { file: file.clone(), offset, latest: events }));
        events += u64::from(matches!(frame.item, Scanned::Event(_)));
    }
    places
}

fn only_segment(data: &Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("log")).expect("the log's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    assert_eq!(segments.len(), 1, "the shipped scenario fits one segment");
    segments.into_iter().next().expect("there is one")
}

/// A byte that is changed as long as this is held.
struct Changed<'p> {
    place: &'p Place,
    before: u8,
}

impl<'p> Changed<'p> {
    fn new(place: &'p Place, mask: u8) -> Self {
        let mut byte = [0];
        let file = OpenOptions::new().read(true).open(&place.file).expect("the segment");
        file.read_exact_at(&mut byte, place.offset).expect("a byte");
        let changed = Self { place, before: byte[0] };
        changed.write(byte[0] ^ mask);
        changed
    }

    fn write(&self, byte: u8) {
        let file = OpenOptions::new().write(true).open(&self.place.file).expect("the segment");
        file.write_all_at(&[byte], self.place.offset).expect("a byte");
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.write(self.before);
    }
}

/// What a crash leaves behind the last commit was promised to nobody.
#[test]
fn a_torn_tail_is_no_damage_and_a_missing_end_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    copy(&shipped().data(), &data);
    let path = data.to_str().expect("UTF-8");
    let segment = only_segment(&data);
    let whole = std::fs::read(&segment).expect("the segment");
    let size = &shipped().answer["size"];

    std::fs::write(&segment, [&whole[..], &whole[..40]].concat()).expect("written");
    let report = tally(["verify", "--json", "--data", path]).expect(0).json();
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(report["size"], *size);
    assert!(report["notes"][0].as_str().expect("a note").contains("tail"), "{report}");

    // Without a key nothing says who committed to it: torn or not, that is incomplete.
    std::fs::rename(data.join("log.pub"), data.join("log.away")).expect("renamed");
    let report = tally(["verify", "--json", "--data", path]).expect(1).json();
    assert_eq!(report["verdict"], "incomplete", "{report}");
    std::fs::rename(data.join("log.away"), data.join("log.pub")).expect("renamed");

    let last = scan(&data).expect("a log").filter_map(Result::ok).last().expect("a frame");
    let cut = usize::try_from(last.offset).expect("small");
    std::fs::write(&segment, &whole[..cut]).expect("written");
    let report = tally(["verify", "--json", "--data", path]).expect(1).json();
    assert_eq!(report["verdict"], "invalid", "{report}");
}

/// A cut at a commit leaves a log that fits itself: only the mark knows that more was promised.
#[test]
fn a_log_cut_at_a_commit_is_held_to_the_mark() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    copy(&shipped().data(), &data);
    let path = data.to_str().expect("UTF-8");
    let commits: Vec<_> = scan(&data)
        .expect("a log")
        .filter_map(Result::ok)
        .filter_map(|frame| match frame.item {
            Scanned::Commit(commit) => Some((frame.end, commit.size.as_u64())),
            _ => None,
        })
        .collect();
    let (end, size) = commits[commits.len() / 2];
    let segment = OpenOptions::new().write(true).open(only_segment(&data)).expect("the segment");
    segment.set_len(end).expect("cut");
    let report = tally(["verify", "--json", "--data", path]).expect(1).json();
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["first_bad"]["rule"], "mark", "{report}");
    assert_eq!(report["first_bad"]["position"], size, "{report}");
    let refused = tally(["serve", "--json", "--data", path, "--listen", "127.0.0.1:0"]).expect(3);
    assert!(refused.json()["error"]["message"].is_string(), "{refused:?}");
}
