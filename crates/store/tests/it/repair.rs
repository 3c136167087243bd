//! Repair from a copy: the same events and heads come back, or nothing is changed; and a repair
//! that was interrupted can be run again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tally_protocol::{Event, Position};
use tally_store::fsck::Severity;
use tally_store::repair::{
    DirectorySource, Given, RepairError, RepairStep, Source, SourceError, repair,
};
use tally_store::{Commit, Group, LogReader, LogWriter, OpenError, Scanned, scan};
use tally_tlog::{NoteSigner, Origin, SignedCheckpoint, TreeSize};

use crate::ledger::{Contents, Maker, Saved, contents, files, open, origin, segments};
use crate::signed::{
    append, check, directory, fill, fill_with, group, of, relative, repair_from, repair_with,
    signer, verify,
};

/// Five segments: positions 0 to 3, 3 to 6, 6 to 9, 9 to 11, 11 to 13.
const SIZES: [u64; 8] = [2, 1, 3, 1, 2, 1, 1, 2];

/// A ledger, a copy of it, and what both hold.
struct Pair {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    copy: PathBuf,
    whole: Contents,
}

impl Pair {
    fn new() -> Self {
        Self::of(&SIZES, SIZES.len())
    }

    /// A ledger of groups of these sizes, and a copy of the first `groups` of them.
    fn of(sizes: &[u64], groups: usize) -> Self {
        let temp = directory();
        let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
        let whole = fill(&dir, sizes);
        fill(&other, &sizes[..groups]);
        Self { _temp: temp, dir, copy: other, whole }
    }

    /// Opens, and holds what is there to what was there.
    fn check_whole(&self, what: &str) {
        let (_writer, reader, recovery) = open(&self.dir).expect(what);
        assert_eq!(contents(&reader), self.whole, "{what}");
        assert_eq!(recovery.cut, None, "{what}");
        let report = check(&self.dir);
        assert!(report.is_whole(), "{what}: {report:?}");
    }

    /// The repair is refused, and the ledger is as it was, to the byte.
    #[track_caller]
    fn check_refused(&self) -> RepairError {
        let before = Saved::take(&self.dir);
        let refused = repair_from(&self.dir, &self.copy).expect_err("refused");
        assert_eq!(Saved::take(&self.dir).files(), before.files(), "{refused}");
        refused
    }
}

/// Damages the frame of this event.
fn damage(dir: &Path, position: u64) {
    for located in scan(dir).expect("scan") {
        let Ok(located) = located else { break };
        let Scanned::Event(event) = &located.item else { continue };
        if event.position().0 == position {
            let path = dir.join("log").join(located.segment.to_string());
            flip(&path, located.offset as usize + 50);
            return;
        }
    }
    panic!("no event at {position} is readable");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("write");
}

/// Many kinds of damage, alone and two together: what is left of the ledger and the copy make the
/// same ledger again.
#[test]
fn a_ledger_comes_back_from_a_copy() {
    let pair = Pair::new();
    let saved = Saved::take(&pair.dir);
    let all = segments(&pair.dir);
    let cut = |n: usize| {
        let bytes = saved.bytes(&all[n]);
        fs::write(&all[n], &bytes[..bytes.len() / 2]).expect("write");
    };
    let scatter = |n: usize| {
        let bytes = saved.bytes(&all[n]).iter().enumerate();
        let bytes: Vec<u8> = bytes.map(|(at, &b)| if at % 97 == 0 { !b } else { b }).collect();
        fs::write(&all[n], bytes).expect("write");
    };
    let kinds: [(&str, &dyn Fn(usize)); 7] = [
        ("flip", &|n| flip(&all[n], 200)),
        ("header", &|n| flip(&all[n], 20)),
        ("cut", &cut),
        ("scatter", &scatter),
        ("empty", &|n| fs::write(&all[n], []).expect("write")),
        ("zeros", &|n| fs::write(&all[n], vec![0; saved.bytes(&all[n]).len()]).expect("write")),
        ("remove", &|n| fs::remove_file(&all[n]).expect("remove")),
    ];
    for (first, break_first) in kinds {
        for (second, break_second) in kinds {
            for (n, m) in [(0, 1), (1, 3), (3, 4), (4, 0)] {
                let what = format!("{first} of {n}, {second} of {m}");
                break_first(n);
                break_second(m);
                let damaged = Saved::take(&pair.dir);
                let repaired = repair_from(&pair.dir, &pair.copy)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!((1..=2).contains(&repaired.written.len()), "{what}");
                for path in [&all[n], &all[m]] {
                    let kept = pair.dir.join("damaged").join(path.file_name().expect("a name"));
                    let was = damaged.files().iter().find(|(known, _)| known == path);
                    let was = was.map(|(_, bytes)| bytes.clone());
                    assert_eq!(fs::read(kept).ok(), was, "{what}");
                }
                pair.check_whole(&what);
                saved.put_back();
            }
        }
    }
}

#[test]
fn a_whole_ledger_is_left_alone() {
    let pair = Pair::new();
    let before = Saved::take(&pair.dir);
    let repaired = repair_from(&pair.dir, &pair.copy).expect("nothing to do");
    assert_eq!((repaired.given, repaired.written.len()), (0, 0));
    assert_eq!(repaired.size, pair.whole.tip.size);
    assert_eq!(Saved::take(&pair.dir).files(), before.files());
}

/// The copy ends before the ledger does: damage within its range is repaired, and what only the
/// ledger has is kept.
#[test]
fn a_short_copy_repairs_what_it_reaches() {
    for (groups, position) in [(2, 1), (4, 4), (7, 7), (7, 9), (7, 10)] {
        let pair = Pair::of(&SIZES, groups);
        damage(&pair.dir, position);
        let repaired = repair_from(&pair.dir, &pair.copy).expect("repaired");
        assert_eq!(repaired.size, pair.whole.tip.size);
        pair.check_whole(&format!("{groups} groups, position {position}"));
    }
}

/// The copy ends within the damaged segment, behind the damage: the rest of the segment survives.
#[test]
fn what_survives_behind_the_damage_is_kept() {
    // One segment of many groups.
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
    let mut maker = Maker::new();
    let groups: Vec<Group> = (0..9).map(|_| group(&mut maker, 2)).collect();
    let whole = append_all(&dir, &groups);
    append_all(&other, &groups[..4]);
    let pair = Pair { _temp: temp, dir, copy: other, whole };
    let saved = Saved::take(&pair.dir);
    for position in 0..8 {
        damage(&pair.dir, position);
        let repaired = repair_from(&pair.dir, &pair.copy).expect("repaired");
        assert!(repaired.given <= 8, "{repaired:?}");
        assert_eq!(repaired.size.as_u64(), 18);
        pair.check_whole(&format!("position {position}"));
        saved.put_back();
    }
    for position in 8..18 {
        damage(&pair.dir, position);
        let refused = pair.check_refused();
        let RepairError::TooShort { has, needs } = refused else { panic!("{refused}") };
        assert_eq!(has.as_u64(), 8);
        assert!(needs.as_u64() > position, "{needs}");
        let text = RepairError::TooShort { has, needs }.to_string();
        assert!(text.contains("the copy has 8 events") && text.contains("name a copy"), "{text}");
        saved.put_back();
    }
}

/// Appends all to one segment.
fn append_all(dir: &Path, groups: &[Group]) -> Contents {
    let options = tally_store::Options::default();
    let opened = tally_store::SegmentLog::open(dir, &origin(), options, &mut |_| {});
    let (mut writer, reader, _) = opened.expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    for group in groups {
        writer.append(epoch, reader.tip().size, group).expect("append");
    }
    writer.close().expect("close");
    contents(&reader)
}

/// Damage that the copy does not reach, in one place among others that it does reach: nothing is
/// changed.
#[test]
fn a_copy_that_is_too_short_is_refused() {
    let pair = Pair::of(&SIZES, 4);
    let saved = Saved::take(&pair.dir);
    let all = segments(&pair.dir);
    let too_short = |refused: RepairError| match refused {
        RepairError::TooShort { has, needs } => (has.as_u64(), needs.as_u64()),
        other => panic!("{other}"),
    };
    damage(&pair.dir, 9);
    damage(&pair.dir, 1);
    assert_eq!(too_short(pair.check_refused()), (7, 10));
    saved.put_back();
    fs::remove_file(&all[3]).expect("remove");
    assert_eq!(too_short(pair.check_refused()), (7, 11));
    saved.put_back();
    // The end is gone, and only the mark knows it.
    fs::remove_file(&all[4]).expect("remove");
    assert_eq!(too_short(pair.check_refused()), (7, 13));
    saved.put_back();
    // Not even the mark knows it, but damage shows that there was something.
    fs::remove_file(pair.dir.join("mark")).expect("remove");
    damage(&pair.dir, 12);
    assert_eq!(too_short(pair.check_refused()), (7, 13));
}

/// A copy of another history under the same name and key, wherever the damage is.
#[test]
fn a_fork_is_refused() {
    for position in 0..13 {
        let pair = Pair::new();
        fs::remove_dir_all(&pair.copy).expect("remove");
        fill_with(&pair.copy, &SIZES, "PAYLOAD");
        damage(&pair.dir, position);
        let refused = pair.check_refused();
        assert!(
            matches!(
                refused,
                RepairError::Fork { .. }
                    | RepairError::Contradicted { .. }
                    | RepairError::MarkDisagrees { .. }
            ),
            "position {position}: {refused}"
        );
        assert!(refused.to_string().contains("fork"), "{refused}");
    }
}

/// A fork that shares the beginning: what lies before it repairs, what lies behind does not.
#[test]
fn a_fork_repairs_what_lies_before_it() {
    let pair = Pair::new();
    fs::remove_dir_all(&pair.copy).expect("remove");
    let mut maker = Maker::new();
    let mut groups: Vec<Group> = SIZES[..4].iter().map(|&n| group(&mut maker, n)).collect();
    groups.extend((0..5).map(|_| crate::signed::group_of(&mut maker, 2, "PAYLOAD")));
    append(&pair.copy, &groups);
    let saved = Saved::take(&pair.dir);
    for position in [0, 8, 11, 12] {
        damage(&pair.dir, position);
        match repair_from(&pair.dir, &pair.copy) {
            // The longer history is that of the copy: it would go on from another one.
            Err(RepairError::Fork { .. } | RepairError::Contradicted { .. }) => {}
            other => panic!("position {position}: {other:?}"),
        }
        saved.put_back();
    }
    // Shorter than the ledger, it only gives what both share.
    fs::remove_dir_all(&pair.copy).expect("remove");
    append(&pair.copy, &groups[..5]);
    damage(&pair.dir, 0);
    repair_from(&pair.dir, &pair.copy).expect("repaired");
    pair.check_whole("the shared beginning");
}

/// Nothing of the log survives but the mark: it still tells the ledger from a fork.
#[test]
fn a_lost_log_comes_back_only_from_its_own_copy() {
    let pair = Pair::new();
    fs::remove_dir_all(pair.dir.join("log")).expect("remove");
    let fork = pair.copy.with_file_name("fork");
    fill_with(&fork, &SIZES, "PAYLOAD");
    let refused = repair_from(&pair.dir, &fork).expect_err("another history");
    assert!(matches!(refused, RepairError::MarkDisagrees { .. }), "{refused}");
    repair_from(&pair.dir, &pair.copy).expect("repaired");
    pair.check_whole("from the mark alone");
}

#[test]
fn a_copy_that_is_ahead_gives_what_the_ledger_lacks() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
    for groups in 0..SIZES.len() {
        for torn in [false, true] {
            let short = fill(&dir, &SIZES[..groups]);
            let whole = fill(&other, &SIZES);
            if torn {
                let last = segments(&dir).pop().expect("a segment");
                let bytes = fs::read(&last).expect("read");
                fs::write(&last, [&bytes[..], &bytes[..40]].concat()).expect("write");
            }
            let repaired = repair_from(&dir, &other).expect("repaired");
            assert_eq!(repaired.size, whole.tip.size, "{groups} groups");
            assert!(repaired.given >= whole.tip.size.as_u64() - short.tip.size.as_u64());
            let (_writer, reader, _) = open(&dir).expect("open");
            assert_eq!(contents(&reader), whole, "{groups} groups");
            drop((_writer, reader));
            fs::remove_dir_all(&dir).expect("remove");
            fs::remove_dir_all(&other).expect("remove");
        }
    }
}

/// Each of two copies is damaged, at different places: each repairs the other.
#[test]
fn damaged_copies_repair_each_other() {
    let pair = Pair::new();
    damage(&pair.copy, 12);
    damage(&pair.copy, 0);
    damage(&pair.dir, 7);
    damage(&pair.dir, 2);
    repair_from(&pair.dir, &pair.copy).expect("repaired");
    pair.check_whole("the first");
    repair_from(&pair.copy, &pair.dir).expect("repaired");
    let copy = Pair { _temp: directory(), dir: pair.copy, copy: pair.dir, whole: pair.whole };
    copy.check_whole("the second");
    // At the same place neither can.
    damage(&copy.dir, 7);
    damage(&copy.copy, 7);
    let refused = copy.check_refused();
    let position = Position(7);
    assert!(
        matches!(&refused, RepairError::Source(SourceError::Missing { position: p }) if *p == position),
        "{refused}"
    );
}

#[test]
fn what_is_not_the_ledger_s_is_put_away() {
    let pair = Pair::new();
    let foreign: Origin = "example.org/another".parse().expect("an origin");
    let other = pair.copy.with_file_name("other");
    let options = tally_store::Options::default();
    drop(tally_store::SegmentLog::open(&other, &foreign, options, &mut |_| {}).expect("open"));
    let all = segments(&pair.dir);
    // In the place of a segment, beyond the end, and under no name at all.
    fs::copy(&segments(&other)[0], &all[1]).expect("copy");
    let beyond = pair.dir.join("log/00000000000000000099.seg");
    fs::copy(&segments(&other)[0], &beyond).expect("copy");
    let strange = pair.dir.join("log/x.seg");
    fs::write(&strange, "x").expect("write");
    let repaired = repair_from(&pair.dir, &pair.copy).expect("repaired");
    assert_eq!(repaired.aside.len(), 3, "{repaired:?}");
    assert!(!beyond.exists() && !strange.exists());
    pair.check_whole("what is left is the ledger's");

    let copy_of_another = DirectorySource::open(&other).expect("a copy");
    let refused = repair_with(&pair.dir, &copy_of_another, &mut |_| {}).expect_err("another");
    assert!(matches!(refused, RepairError::OtherLedger { .. }), "{refused}");
}

#[test]
fn a_repair_needs_the_key_and_the_lock() {
    let pair = Pair::new();
    damage(&pair.dir, 4);
    let source = DirectorySource::open(&pair.copy).expect("a copy");
    let another = NoteSigner::from_seed(origin().key_name(), &[6; 32]).verifier_key();
    let stranger = |note: &[u8]| {
        let opened =
            SignedCheckpoint::parse(note)?.open(std::slice::from_ref(&another), &origin())?;
        Ok(opened.checkpoint().clone())
    };
    let before = Saved::take(&pair.dir);
    let refused = repair(&pair.dir, &origin(), &source, &stranger, &mut |_| {});
    let refused = refused.expect_err("not signed by that key");
    assert!(matches!(refused, RepairError::NotSigned { .. }), "{refused}");
    assert_eq!(Saved::take(&pair.dir).files(), before.files());

    let holder = repair_with(&pair.dir, &source, &mut |step| {
        if step == RepairStep::Mark {
            let refused = repair_from(&pair.dir, &pair.copy).expect_err("held");
            assert!(matches!(refused, RepairError::Open(OpenError::Locked { .. })), "{refused}");
        }
    });
    holder.expect("repaired");
}

/// Stops a repair before its `n`th change, as a killed process would; whether there was one.
fn stop_before(dir: &Path, source: &dyn Source, n: usize) -> bool {
    let mut changes = 0;
    let mut stop = |step: RepairStep| {
        if matches!(step, RepairStep::Check(_) | RepairStep::Build(_)) {
            return;
        }
        assert!(changes != n, "stopped here");
        changes += 1;
    };
    let ended = catch_unwind(AssertUnwindSafe(|| repair_with(dir, source, &mut stop)));
    match ended {
        Ok(repaired) => {
            repaired.expect("repaired");
            false
        }
        Err(_) => true,
    }
}

/// A repair that ends before any of its changes: nobody can start a shorter ledger, and the next
/// repair, itself interrupted or not, ends with the same ledger.
fn check_interrupted(pair: &Pair, source: &dyn Source) -> usize {
    let saved = Saved::take(&pair.dir);
    for n in 0.. {
        saved.put_back();
        if !stop_before(&pair.dir, source, n) {
            pair.check_whole("not stopped");
            return n;
        }
        let stopped = Saved::take(&pair.dir);
        if let Ok((_writer, reader, _)) = open(&pair.dir) {
            assert_eq!(contents(&reader), pair.whole, "stopped before change {n}");
        }
        for again in 0.. {
            stopped.put_back();
            if !stop_before(&pair.dir, source, again) {
                break;
            }
            repair_with(&pair.dir, source, &mut |_| {}).expect("the third time");
            pair.check_whole("after two stops");
        }
        pair.check_whole(&format!("stopped before change {n}"));
        let left = files(&pair.dir.join("log"));
        let ends = |path: &PathBuf, end: &str| path.extension().is_some_and(|e| e == end);
        assert!(left.iter().all(|path| ends(path, "seg") || ends(path, "idx")), "{left:?}");
    }
    unreachable!("a repair has an end")
}

#[test]
fn an_interrupted_repair_can_be_run_again() {
    let pair = Pair::new();
    damage(&pair.dir, 1);
    let all = segments(&pair.dir);
    fs::remove_file(&all[2]).expect("remove");
    damage_last(&pair.dir);
    let source = DirectorySource::open(&pair.copy).expect("a copy");
    assert!(check_interrupted(&pair, &source) >= 6);
}

/// The last segment is damaged and the mark unreadable: at no moment may a start take the log
/// without its end for the whole.
#[test]
fn an_interrupted_repair_never_leaves_a_shorter_ledger() {
    let pair = Pair::new();
    fs::write(pair.dir.join("mark"), [7; 160]).expect("write");
    damage_last(&pair.dir);
    let source = DirectorySource::open(&pair.copy).expect("a copy");
    assert!(check_interrupted(&pair, &source) >= 3);
}

/// What only the damaged segment holds is never without a file that the next repair reads.
#[test]
fn an_interrupted_repair_does_not_lose_what_survives() {
    let temp = directory();
    let (dir, other) = (temp.path().join("data"), temp.path().join("copy"));
    let mut maker = Maker::new();
    let groups: Vec<Group> = (0..6).map(|_| group(&mut maker, 2)).collect();
    let whole = append_all(&dir, &groups);
    append_all(&other, &groups[..3]);
    let pair = Pair { _temp: temp, dir, copy: other, whole };
    damage(&pair.dir, 3);
    let source = DirectorySource::open(&pair.copy).expect("a copy");
    assert!(check_interrupted(&pair, &source) >= 3);
}

fn damage_last(dir: &Path) {
    let last = segments(dir).pop().expect("a segment");
    flip(&last, 120);
}

/// A mirror: events by position, and the heads that it happened to see.
struct Mirror {
    origin: Origin,
    events: Vec<Event>,
    heads: Vec<Commit>,
}

impl Mirror {
    /// Of the log in a directory, with every `nth` of its heads and the last.
    fn of(dir: &Path, nth: usize) -> Self {
        let (mut events, mut heads) = (Vec::new(), Vec::new());
        for located in scan(dir).expect("scan") {
            match located.expect("whole").item {
                Scanned::Event(event) => events.push(event),
                Scanned::Commit(commit) => heads.push(commit),
                Scanned::Segment(_) => {}
            }
        }
        let last = heads.len() - 1;
        let heads = heads.into_iter().enumerate();
        let seen = heads.filter(|(n, _)| n % nth == nth - 1 || *n == last);
        Self { origin: origin(), events, heads: seen.map(|(_, head)| head).collect() }
    }
}

impl Source for Mirror {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn size(&self) -> TreeSize {
        self.heads.last().expect("a head").size
    }

    fn read(
        &self,
        from: Position,
    ) -> Result<Box<dyn Iterator<Item = Result<Given, SourceError>> + '_>, SourceError> {
        let size = |event: &Event| event.position().leaf().size_after();
        let events = self.events.iter().filter(move |event| event.position() >= from);
        let items = events.flat_map(move |event| {
            let head = self.heads.iter().find(|head| head.size == size(event));
            let head = head.map(|head| Ok(Given::Commit(head.clone())));
            std::iter::once(Ok(Given::Event(event.clone()))).chain(head)
        });
        Ok(Box::new(items))
    }
}

/// A mirror does not know every head. Where it knows none, a segment cannot end, and is joined with
/// the next one.
#[test]
fn a_mirror_with_few_heads_repairs_too() {
    for nth in [2, 3, 8] {
        let pair = Pair::new();
        let saved = Saved::take(&pair.dir);
        let mirror = Mirror::of(&pair.copy, nth);
        let all = segments(&pair.dir);
        for (n, path) in all.iter().enumerate() {
            fs::write(path, []).expect("write");
            let repaired = repair_with(&pair.dir, &mirror, &mut |_| {}).expect("repaired");
            let what = format!("segment {n}, every {nth}th head: {repaired:?}");
            let (_writer, reader, _) = open(&pair.dir).expect(&what);
            assert_eq!(contents(&reader), pair.whole, "{what}");
            drop((_writer, reader));
            assert!(check(&pair.dir).is_whole(), "{what}");
            saved.put_back();
        }
    }
}

#[test]
fn an_interrupted_join_can_be_run_again() {
    let pair = Pair::new();
    let mirror = Mirror::of(&pair.copy, 8);
    fs::write(&segments(&pair.dir)[1], []).expect("write");
    assert!(check_interrupted(&pair, &mirror) >= 4);
    let joined = segments(&pair.dir);
    assert!(joined.len() < 5, "{joined:?}");
}

/// Heads that stand in what is damaged are as good as the source's.
#[test]
fn heads_that_survive_end_the_segments() {
    let pair = Pair::new();
    let mirror = Mirror::of(&pair.copy, 8);
    // The last commit of the second segment survives behind the damage.
    damage(&pair.dir, 4);
    let before = segments(&pair.dir).len();
    let repaired = repair_with(&pair.dir, &mirror, &mut |_| {}).expect("repaired");
    assert_eq!(repaired.written.len(), 1);
    assert_eq!(segments(&pair.dir).len(), before, "nothing had to be joined");
    pair.check_whole("with its own head");
}

/// A source that lies: an event of its own, or a head that nobody signed.
#[test]
fn a_source_is_believed_only_as_far_as_it_is_signed() {
    let pair = Pair::new();
    damage(&pair.dir, 4);
    let mut forged = Mirror::of(&pair.copy, 1);
    let at = &forged.events[4];
    let signed = tally_protocol::SignedEnvelope { payload: "forged".into(), signature: [0; 64] };
    forged.events[4] = Event::new(at.position(), at.previous_chain(), at.recorded_at(), &signed);
    let refused = repair_with(&pair.dir, &forged, &mut |_| {}).expect_err("forged");
    assert!(matches!(refused, RepairError::Fork { .. }), "{refused}");

    let mut unsigned = Mirror::of(&pair.copy, 1);
    for head in &mut unsigned.heads {
        head.checkpoint = "nobody signed this".into();
    }
    let refused = repair_with(&pair.dir, &unsigned, &mut |_| {}).expect_err("unsigned");
    assert!(matches!(refused, RepairError::NotSigned { .. }), "{refused}");

    // An end that is forged, chained and rooted as it must be, and signed by another.
    let pair = Pair::of(&SIZES, 7);
    fs::remove_file(&segments(&pair.dir)[4]).expect("remove");
    fs::remove_file(pair.dir.join("mark")).expect("remove");
    let mut forged = Mirror::of(&pair.copy, 1);
    let mut maker = Maker::new();
    SIZES[..7].iter().for_each(|&count| drop(group(&mut maker, count)));
    let Group { events, mut commit } = group(&mut maker, 2);
    let liar = NoteSigner::from_seed(origin().key_name(), &[6; 32]);
    let said = verify(&commit.checkpoint).expect("signed");
    commit.checkpoint = said.sign(&liar).to_bytes().into();
    assert_ne!(liar.verifier_key(), signer().verifier_key());
    forged.events.extend(events);
    forged.heads.push(commit);
    let refused = repair_with(&pair.dir, &forged, &mut |_| {}).expect_err("signed by another");
    assert!(matches!(refused, RepairError::NotSigned { .. }), "{refused}");
}

/// Damaged files are kept under names of their own, again and again.
#[test]
fn what_was_kept_aside_is_never_replaced() {
    let pair = Pair::new();
    let mut kept = Vec::new();
    for position in [4, 5, 3] {
        damage(&pair.dir, position);
        let damaged = fs::read(&segments(&pair.dir)[1]).expect("read");
        let repaired = repair_from(&pair.dir, &pair.copy).expect("repaired");
        kept.push((repaired.aside[0].clone(), damaged));
    }
    for (path, bytes) in &kept {
        assert_eq!(&fs::read(path).expect("kept"), bytes);
    }
    let names: Vec<_> = kept.iter().map(|(path, _)| relative(&pair.dir, path)).collect();
    let name = "damaged/00000000000000000003.seg";
    assert_eq!(
        names,
        [name.into(), format!("{name}.1").into(), PathBuf::from(format!("{name}.2"))]
    );
    assert_eq!(of(&check(&pair.dir), Severity::Leftover).len(), 3);
    pair.check_whole("after three repairs");
}

/// Numbers from a seed: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Some damages of any kind in the files of a log, and in its mark.
fn damage_at_random(dir: &Path, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let mut all = segments(dir);
        all.push(dir.join("mark"));
        let path = &all[random.below(all.len())];
        let Ok(mut bytes) = fs::read(path) else { continue };
        let at = random.below(bytes.len().max(1));
        match random.below(8) {
            0 => {
                fs::remove_file(path).expect("remove");
                continue;
            }
            1 => bytes.truncate(at),
            2 => bytes.extend_from_within(at..),
            3 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(300)))),
            4 => bytes.iter_mut().skip(at).take(600).for_each(|byte| *byte = 0),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        }
        fs::write(path, bytes).expect("write");
    }
}

/// Damage without plan in the ledger, and in the copy too: what comes back is the same ledger, or
/// the repair is refused and nothing has changed. From a whole copy it always comes back, unless
/// bytes behind the end look like one event more, which nobody can give.
#[test]
fn a_repair_brings_back_the_same_ledger_or_changes_nothing() {
    let pair = Pair::new();
    let (ours, theirs) = (Saved::take(&pair.dir), Saved::take(&pair.copy));
    let (mut same, mut refused) = (0, 0);
    for seed in 1..=600 {
        let mut random = Random(seed);
        damage_at_random(&pair.dir, &mut random);
        let is_whole = random.below(2) == 0;
        if !is_whole {
            damage_at_random(&pair.copy, &mut random);
        }
        let what = format!("seed {seed}");
        let damaged = Saved::take(&pair.dir);
        let lists = |saved: &Saved| {
            let kept = saved.files().iter().filter(|(path, _)| !path.ends_with("lock"));
            kept.cloned().collect::<Vec<_>>()
        };
        let repaired = DirectorySource::open(&pair.copy)
            .map_err(RepairError::from)
            .and_then(|source| repair_with(&pair.dir, &source, &mut |_| {}));
        match repaired {
            Ok(_) => {
                pair.check_whole(&what);
                same += 1;
            }
            Err(error) => {
                let size = pair.whole.tip.size;
                let one_more = matches!(error, RepairError::TooShort { needs, .. } if needs > size);
                assert!(!is_whole || one_more, "{what}: {error}");
                assert_eq!(lists(&Saved::take(&pair.dir)), lists(&damaged), "{what}: {error}");
                refused += 1;
            }
        }
        ours.put_back();
        theirs.put_back();
    }
    assert!(same > 300 && refused > 30, "{same} the same, {refused} refused");
}
