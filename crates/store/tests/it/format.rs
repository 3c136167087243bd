//! The bytes on disk, pinned: a change here is a change of the format.

use std::fs;

use crate::ledger::{fill, segments};

fn check(found: Vec<u8>, length: usize, expected: &str) {
    let hash = blake3::hash(&found).to_hex();
    assert_eq!((found.len(), hash.as_str()), (length, expected), "{}", show(&found));
}

fn show(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| format!("{line:02x?}\n")).collect()
}

#[test]
fn a_tiny_ledger_has_these_bytes() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[2, 1]);
    let segment = &segments(temp.path())[0];
    check(
        fs::read(segment).expect("read"),
        704,
        "cfc243a4e307eaefab08f18ecfaf20a95ba2a40f384f8c247f2e09f406e891d1",
    );
}

#[test]
fn its_index_has_these_bytes() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[2, 1]);
    let index = segments(temp.path())[0].with_extension("idx");
    let offsets = [88u64, 230, 467].map(u64::to_be_bytes).concat();
    assert_eq!(fs::read(index).expect("read"), offsets);
}

#[test]
fn its_mark_has_these_bytes() {
    let temp = tempfile::tempdir().expect("a directory");
    fill(temp.path(), &[2, 1]);
    check(
        fs::read(temp.path().join("mark")).expect("read"),
        160,
        "b4174a037c60341a26e4452bb3ff4256f3f08ef91c68ea7ab288c5eae4644641",
    );
}
