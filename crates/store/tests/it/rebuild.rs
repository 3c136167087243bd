//! Tree and rows: wiped, damaged or ahead, they come back the same.

use std::fs;
use std::path::Path;

use tally_protocol::Position;
use tally_store::fsck::{self, Flaw, Severity};
use tally_store::{
    Change, LogReader, Quarantined, RECENT_LEAVES, Rows, RowsId, RowsState, SegmentReader, Tip,
    TreeError, TreeFiles, TreeReader,
};
use tally_tlog::{
    CheckpointError, Frontier, HashReader, LeafIndex, NodeId, ProveError, SignedCheckpoint,
    TreeSize, inclusion_proof, leaf_hash, verify_inclusion,
};

use crate::ledger::{Maker, Saved, contents, fill, open};

fn open_log(dir: &Path) -> SegmentReader {
    SegmentReader::open_read_only(dir, &mut |_| {}).expect("open").0
}

/// Opens the tree, and proves every leaf from it.
fn check_tree(dir: &Path, log: &SegmentReader) -> (u64, u64) {
    let tip = log.tip();
    let (tree, frontier, report) =
        TreeFiles::open(&dir.join("tree"), &tip, log, &mut |_| {}).expect("open");
    assert_eq!((frontier.root(), tree.size()), (tip.root, tip.size));
    let reader = tree.reader();
    reader.verify(tip.size, tip.root).expect("whole");
    for event in contents(log).events {
        let index = event.position().leaf();
        let proof = inclusion_proof(&reader, index, tip.size).expect("proof");
        verify_inclusion(event.leaf(), index, tip.size, &proof, tip.root).expect("included");
    }
    (report.kept.as_u64(), report.rebuilt)
}

#[test]
fn a_wiped_or_short_tree_is_rebuilt_to_the_same_bytes() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[5, 6, 2]);
    let log = open_log(&dir);
    assert_eq!(check_tree(&dir, &log), (0, 13));
    let saved = Saved::take(&dir.join("tree"));
    assert_eq!(check_tree(&dir, &log), (13, 0), "kept");
    fs::remove_dir_all(dir.join("tree")).expect("remove");
    check_tree(&dir, &log);
    assert_eq!(Saved::take(&dir.join("tree")).files(), saved.files());
    for (path, bytes) in saved.files() {
        for length in 0..bytes.len() {
            fs::write(path, &bytes[..length]).expect("write");
            assert_eq!(check_tree(&dir, &log), (0, 13), "{} {length}", path.display());
            assert_eq!(Saved::take(&dir.join("tree")).files(), saved.files());
        }
        fs::remove_file(path).expect("remove");
        check_tree(&dir, &log);
        assert_eq!(Saved::take(&dir.join("tree")).files(), saved.files());
    }
}

#[test]
fn every_flipped_byte_of_the_tree_is_rebuilt() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[5, 6, 2]);
    let log = open_log(&dir);
    check_tree(&dir, &log);
    let saved = Saved::take(&dir.join("tree"));
    for (path, bytes) in saved.files() {
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(path, bad).expect("write");
            assert_eq!(check_tree(&dir, &log), (0, 13), "{} byte {at}", path.display());
            assert_eq!(Saved::take(&dir.join("tree")).files(), saved.files());
        }
    }
}

/// A node that is damaged while the tree is open: whoever verifies finds it.
#[test]
fn a_node_damaged_after_opening_is_found() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[5, 6, 2]);
    let log = open_log(&dir);
    let tip = log.tip();
    check_tree(&dir, &log);
    let saved = Saved::take(&dir.join("tree"));
    let reader = TreeReader::open_read_only(&dir.join("tree")).expect("open");
    let nodes = saved.files().iter().filter(|(path, _)| !path.ends_with("synced"));
    for (path, bytes) in nodes {
        for at in (0..bytes.len()).step_by(32) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(path, bad).expect("write");
            let found = reader.verify(tip.size, tip.root);
            assert!(matches!(found, Err(TreeError::Damaged(_))), "{} {at}", path.display());
        }
        fs::write(path, bytes).expect("write");
    }
    reader.verify(tip.size, tip.root).expect("whole");
}

/// A start looks at the last blocks of each tier only, `fsck` at all of them, and who reads an older
/// one is not given what is damaged.
#[test]
fn a_start_looks_at_the_last_blocks_only() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, tree) = (temp.path().join("data"), temp.path().join("data/tree"));
    fill(&dir, &[5_000, 5_000]);
    let log = open_log(&dir);
    let tip = log.tip();
    let open_tree = || {
        let (tree, frontier, report) =
            TreeFiles::open(&tree, &tip, &log, &mut |_| {}).expect("open");
        assert_eq!(frontier.root(), tip.root);
        let reader = tree.reader();
        (reader, report.kept.as_u64(), report.rebuilt)
    };
    let verified = |reader: &TreeReader| reader.verify(tip.size, tip.root).is_ok();
    let (reader, kept, rebuilt) = open_tree();
    assert_eq!((verified(&reader), kept, rebuilt), (true, 0, 10_000));
    let (reader, kept, rebuilt) = open_tree();
    assert_eq!((verified(&reader), kept, rebuilt), (true, 10_000, 0));
    let saved = Saved::take(&tree);
    // 79 blocks of 128 leaves, 8 KiB each, of which the last 64 are looked at.
    let first_seen = 15 * 8_192;
    let leaves = saved.bytes(&tree.join("t0")).len();
    let seen = [first_seen, first_seen + 8_127, first_seen + 8_128, first_seen + 8_191, leaves - 1];
    let unseen = [0, 4_000, 8_128, 8_131, 8_191, first_seen - 1];
    let places = seen.iter().map(|&at| ("t0", at, true));
    let places = places.chain(unseen.iter().map(|&at| ("t0", at, false)));
    for (file, at, is_seen) in places.chain([("t1", 0, true), ("t1", 151 * 32, true)]) {
        let what = format!("{file} byte {at}");
        saved.put_back();
        let mut bytes = saved.bytes(&tree.join(file)).to_vec();
        bytes[at] ^= 1;
        fs::write(tree.join(file), bytes).expect("write");
        let report = fsck::fsck(&dir, None, &|_| Err(unsigned()), &mut |_| {}).expect("fsck");
        let wrong = |finding: &&fsck::Finding| finding.file == Path::new("tree").join(file);
        let found = report.findings.iter().find(wrong).expect("found");
        assert!(found.bytes.contains(&(at as u64)), "{what}: {found:?}");
        let is_seal = at % 8_192 >= 8_128;
        assert_eq!(matches!(found.flaw, Flaw::SealsWrong { wrong: 1 }), is_seal, "{found:?}");
        assert_eq!(matches!(found.flaw, Flaw::NodesWrong { wrong: 1 }), !is_seal, "{found:?}");
        assert_eq!(found.severity == Severity::Rebuildable, is_seen, "{what}");
        let (reader, kept, rebuilt) = open_tree();
        let expected = if is_seen { (0, 10_000) } else { (10_000, 0) };
        assert_eq!((kept, rebuilt), expected, "{what}");
        assert_eq!(verified(&reader), is_seen, "{what}");
        let leaf = (at / 8_192 * 128) as u64;
        let proof = inclusion_proof(&reader, LeafIndex::new(leaf), tip.size);
        let refused = matches!(proof, Err(ProveError::Read(TreeError::Damaged(_))));
        assert_eq!(refused, !is_seen, "{what}: {proof:?}");
    }
    fs::remove_dir_all(&tree).expect("remove");
    let (reader, kept, rebuilt) = open_tree();
    assert_eq!((verified(&reader), kept, rebuilt), (true, 0, 10_000), "as fsck advises");
}

/// Every leaf of a tree that is larger than what is in memory, under its head and an older one.
#[test]
fn every_leaf_of_a_long_tree_is_proved() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[5_000, 4_321, 10_000]);
    let log = open_log(&dir);
    check_tree(&dir, &log);
    assert!(log.tip().size.as_u64() > 2 * RECENT_LEAVES);
    assert_eq!(check_tree(&dir, &log), (19_321, 0));
    let reader = TreeReader::open_read_only(&dir.join("tree")).expect("open");
    let events = contents(&log).events;
    let mut older = Frontier::new();
    for event in &events[..9_000] {
        older.append(event.leaf(), |_, _| {});
    }
    reader.verify(older.size(), older.root()).expect("what is behind it is not looked at");
    for event in &events[..9_000] {
        let index = event.position().leaf();
        let proof = inclusion_proof(&reader, index, older.size()).expect("proof");
        verify_inclusion(event.leaf(), index, older.size(), &proof, older.root()).expect("in it");
    }
}

/// Older programs kept a file a level, and said in the same file how much of it was durable.
#[test]
fn the_files_of_an_older_program_are_replaced() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, tree) = (temp.path().join("data"), temp.path().join("data/tree"));
    fill(&dir, &[300]);
    let log = open_log(&dir);
    check_tree(&dir, &log);
    let expected = Saved::take(&tree);
    for file in ["t0", "t1"] {
        fs::remove_file(tree.join(file)).expect("remove");
    }
    for level in 0..9 {
        fs::write(tree.join(format!("{level:02}")), vec![7; 32 * (300 >> level)]).expect("write");
    }
    let report = fsck::fsck(&dir, None, &|_| Err(unsigned()), &mut |_| {}).expect("fsck");
    let in_tree = report.findings.iter().filter(|finding| finding.file.starts_with("tree"));
    let flaws: Vec<_> = in_tree.map(|finding| (&finding.flaw, finding.severity)).collect();
    assert_eq!(flaws, [(&Flaw::NodesMissing, Severity::Rebuildable); 2]);
    assert_eq!(check_tree(&dir, &log), (0, 300));
    assert_eq!(Saved::take(&tree).files(), expected.files());
}

/// A block that was full, of which nodes were taken back and others came: its seal is not kept.
#[test]
fn what_is_taken_back_from_a_full_block_leaves_no_seal() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[]);
    let log = open_log(temp.path());
    let dir = temp.path().join("tree");
    let (mut tree, mut frontier, _) =
        TreeFiles::open(&dir, &log.tip(), &log, &mut |_| {}).expect("open");
    let grow = |tree: &mut TreeFiles, from: &Frontier, leaves: std::ops::Range<u64>| {
        let (mut grown, mut nodes) = (from.clone(), Vec::new());
        for leaf in leaves {
            grown.append(leaf_hash(&leaf.to_be_bytes()), |id, hash| nodes.push((id, hash)));
        }
        tree.append(&nodes).expect("append");
        let own = TreeReader::open_read_only(&dir).expect("open");
        own.verify(grown.size(), grown.root()).expect("whole");
        grown
    };
    frontier = grow(&mut tree, &frontier, 0..100);
    for more in [28, 29, 300, 20_000] {
        grow(&mut tree, &frontier, 1_000_000..1_000_000 + more);
        tree.take_back(frontier.size());
        frontier = grow(&mut tree, &frontier, 0..7);
        tree.settle().expect("settle");
    }
    assert_eq!(tree.size(), TreeSize::new(128));
}

/// Why a checkpoint that nobody signed is not believed.
fn unsigned() -> CheckpointError {
    SignedCheckpoint::parse(b"").expect_err("no note")
}

/// Proofs near the head need no disk: the files are emptied, and only who verifies them notices.
#[test]
fn proofs_near_the_head_come_from_memory() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[5, 6, 2]);
    let log = open_log(&dir);
    let (tip, path) = (log.tip(), dir.join("tree"));
    let (tree, _, _) = TreeFiles::open(&path, &tip, &log, &mut |_| {}).expect("open");
    for (path, _) in Saved::take(&path).files() {
        fs::write(path, []).expect("write");
    }
    let reader = tree.reader();
    for event in contents(&log).events {
        let index = event.position().leaf();
        let proof = inclusion_proof(&reader, index, tip.size).expect("proof");
        verify_inclusion(event.leaf(), index, tip.size, &proof, tip.root).expect("included");
    }
    assert!(matches!(reader.verify(tip.size, tip.root), Err(TreeError::Missing(_))));
}

#[test]
fn a_tree_ahead_of_the_log_is_cut() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, longer) = (temp.path().join("data"), temp.path().join("longer"));
    fill(&dir, &[5, 6]);
    fill(&longer, &[5, 6, 9]);
    let log = open_log(&dir);
    check_tree(&dir, &log);
    let expected = Saved::take(&dir.join("tree"));
    check_tree(&longer, &open_log(&longer));
    for (path, bytes) in Saved::take(&longer.join("tree")).files() {
        fs::write(dir.join("tree").join(path.file_name().expect("a name")), bytes).expect("write");
    }
    assert_eq!(check_tree(&dir, &log), (11, 0), "all that the log has is kept");
    let mut found = Saved::take(&dir.join("tree")).files().to_vec();
    found.retain(|(_, bytes)| !bytes.is_empty());
    assert_eq!(found, expected.files());
}

#[test]
fn a_tree_of_another_log_is_rebuilt() {
    let temp = tempfile::tempdir().expect("a directory");
    let (dir, other) = (temp.path().join("data"), temp.path().join("other"));
    fill(&dir, &[5, 6]);
    let mut frontier = Frontier::new();
    let mut nodes = Vec::new();
    for i in 0u8..11 {
        frontier.append(tally_tlog::leaf_hash(&[i]), |id, hash| nodes.push((id, hash)));
    }
    fill(&other, &[]);
    let empty = open_log(&other);
    let tree_dir = dir.join("tree");
    let (mut tree, _, _) =
        TreeFiles::open(&tree_dir, &empty.tip(), &empty, &mut |_| {}).expect("open");
    tree.append(&nodes).expect("append");
    tree.sync().expect("sync");
    drop(tree);
    assert_eq!(check_tree(&dir, &open_log(&dir)), (0, 11));
}

#[test]
fn nodes_are_seen_at_once_and_by_a_reader_of_its_own() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[]);
    let log = open_log(temp.path());
    let dir = temp.path().join("tree");
    let (mut tree, mut frontier, _) =
        TreeFiles::open(&dir, &log.tip(), &log, &mut |_| {}).expect("open");
    let reader = tree.reader();
    for event in Maker::new().group(9).events {
        let mut nodes = Vec::new();
        frontier.append(event.leaf(), |id, hash| nodes.push((id, hash)));
        tree.append(&nodes).expect("append");
        let again = Frontier::from_nodes(frontier.size(), &reader).expect("read");
        assert_eq!(again, frontier);
        let own = TreeReader::open_read_only(&dir).expect("open");
        own.verify(frontier.size(), frontier.root()).expect("whole");
    }
    let missing = NodeId { level: 0, index: 9 };
    for error in [
        reader.read(&[missing]).expect_err("not there"),
        reader.read_one(missing).expect_err("not there"),
    ] {
        assert!(matches!(error, TreeError::Missing(_)), "{error}");
    }
}

#[test]
fn events_without_the_commit_s_root_are_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[3]);
    let log = open_log(temp.path());
    let tip = Tip { root: tally_tlog::empty_root(), ..log.tip() };
    let error = TreeFiles::open(&temp.path().join("tree"), &tip, &log, &mut |_| {});
    assert!(matches!(error, Err(TreeError::WrongRoot { .. })));
}

/// A row for each of so many events, at scattered keys.
fn rows_of(count: u64) -> Vec<Change> {
    let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    (0..count).map(|n| (key(n), Some(n.to_be_bytes().to_vec()))).collect()
}

fn open_rows(dir: &Path, size: u64) -> (Rows, RowsState) {
    let id = RowsId { name: "test".into(), version: 1, start: Position(0) };
    Rows::open(dir, id, TreeSize::new(size)).expect("open")
}

fn keep(rows: &Rows, changes: &[Change]) {
    let next = Position(rows.cursor().0 + changes.len() as u64);
    rows.commit(next, changes.to_vec(), &[]).expect("commit");
}

fn check_rows(rows: &Rows, expected: &[Change]) {
    assert_eq!(rows.cursor().0, expected.len() as u64);
    for (key, value) in expected {
        assert_eq!(rows.get(key).expect("read"), *value);
    }
    assert_eq!(rows.get(&[9; 8]).expect("read"), None);
    assert_eq!(rows.digest().expect("read").1, expected.len() as u64);
}

#[test]
fn rows_are_kept_and_looked_up() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("rows");
    let all = rows_of(50);
    let (rows, state) = open_rows(&dir, 0);
    assert_eq!(state, RowsState::New);
    keep(&rows, &all[..30]);
    check_rows(&rows, &all[..30]);
    let (before, digest) = (rows.snapshot().expect("open"), rows.digest().expect("read"));
    keep(&rows, &all[30..]);
    // A snapshot stays what it was.
    assert_eq!(before.digest().expect("read"), digest);
    assert_ne!(rows.digest().expect("read"), digest);
    let poison = Quarantined { position: Position(50), reason: "bad".into() };
    let removed = vec![(all[7].0.clone(), None)];
    rows.commit(Position(51), removed, std::slice::from_ref(&poison)).expect("commit");
    drop(rows);
    let (rows, state) = open_rows(&dir, 51);
    assert_eq!((state, rows.cursor()), (RowsState::Kept, Position(51)));
    assert_eq!(rows.quarantined().expect("read"), [poison]);
    assert_eq!(rows.get(&all[7].0).expect("read"), None);
    assert_eq!(rows.get(&all[8].0).expect("read"), all[8].1);
}

#[test]
fn rows_ahead_of_the_log_are_wiped() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("rows");
    let all = rows_of(5);
    keep(&open_rows(&dir, 5).0, &all);
    let (rows, state) = open_rows(&dir, 4);
    assert_eq!(state, RowsState::WipedAhead { cursor: Position(5) });
    check_rows(&rows, &[]);
    keep(&rows, &all[..4]);
    check_rows(&rows, &all[..4]);
}

/// Flips bytes all over every file: after feeding from the cursor on, the rows are the same.
#[test]
fn damaged_rows_are_rebuilt_to_the_same() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("rows");
    let all = rows_of(40);
    let (rows, _) = open_rows(&dir, 0);
    for chunk in all.chunks(8) {
        keep(&rows, chunk);
    }
    drop(rows);
    let saved = Saved::take(&dir);
    let mut wiped = 0;
    for (path, bytes) in saved.files() {
        // Journals are preallocated: most of their bytes are zeros that nobody reads.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for at in (0..used).step_by(used.div_ceil(3).max(1)) {
            saved.put_back();
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(path, bad).expect("write");
            let (rows, state) = open_rows(&dir, 40);
            wiped += u32::from(state != RowsState::Kept);
            keep(&rows, &all[rows.cursor().0 as usize..]);
            check_rows(&rows, &all);
        }
    }
    assert!(wiped > 0);
}

#[test]
#[should_panic(expected = "a cursor only goes on")]
fn a_cursor_that_goes_back_is_a_defect() {
    let temp = tempfile::tempdir().expect("a directory");
    let (rows, _) = open_rows(&temp.path().join("rows"), 0);
    keep(&rows, &rows_of(2));
    let _unreached = rows.commit(Position(1), Vec::new(), &[]);
}

#[test]
fn the_log_opens_whatever_became_of_tree_and_rows() {
    let temp = tempfile::tempdir().expect("a directory");
    let whole = fill(temp.path(), &[3]);
    fs::write(temp.path().join("tree"), b"not a directory").expect("write");
    fs::write(temp.path().join("rows"), b"not a directory").expect("write");
    let (_writer, reader, _) = open(temp.path()).expect("open");
    assert_eq!(contents(&reader), whole);
}
