//! A file that is damaged, old, of another log or ahead of it is made anew; one of somebody else is
//! left alone.

use std::fs;
use std::path::{Path, PathBuf};

use tally_analytics::{OpenError, Opened, Tables};
use tally_protocol::Origin;

use crate::history::{History, Log, all_rows, origin, tables_of};

struct File {
    history: History,
    directory: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        let file = Self { history: History::whole(), directory: tempfile::tempdir().expect("one") };
        let (mut tables, _) = Tables::open(&file.path(), &origin()).expect("opens");
        tables.catch_up(&Log::whole(&file.history), &mut |_| {}).expect("folds");
        drop(tables);
        assert!(!file.directory.path().join("sql@1.sqlite-wal").exists(), "closed cleanly");
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sql@1.sqlite")
    }

    /// Opens it and catches up: whether it was made anew, on either way.
    fn heals(&self, what: &str) -> bool {
        let (mut tables, opened) = Tables::open(&self.path(), &origin()).expect(what);
        let log = Log::whole(&self.history);
        let remade = tables.catch_up(&log, &mut |_| {}).unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut once = tables_of(&self.history, self.history.size());
        assert!(all_rows(&mut tables, None) == all_rows(&mut once, None), "{what}: other rows");
        matches!(opened, Opened::Remade(_) | Opened::Made) || remade.is_some()
    }

    fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).expect("opens");
        connection.execute_batch(sql).expect("runs");
    }
}

#[test]
fn a_whole_file_is_kept() {
    assert!(!File::new().heals("whole"));
}

#[test]
fn damage_of_any_page_is_healed() {
    let file = File::new();
    let whole = fs::read(file.path()).expect("bytes");
    let mut healed = 0;
    for page in (0..whole.len()).step_by(4096 * (whole.len() / 4096 / 24).max(1)) {
        let mut bytes = whole.clone();
        let end = (page + 400).min(bytes.len());
        bytes[page..end].fill(0xa5);
        fs::write(file.path(), bytes).expect("written");
        healed += u32::from(file.heals(&format!("page at {page}")));
    }
    assert!(healed >= 12, "{healed}");
}

#[test]
fn a_file_that_ends_too_soon_is_healed() {
    let file = File::new();
    let whole = fs::read(file.path()).expect("bytes");
    for length in [0, 1, 99, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(file.path(), &whole[..length]).expect("written");
        assert!(file.heals(&format!("{length} bytes")));
    }
    fs::write(file.path(), b"not a database at all, but of some length".repeat(200)).expect("it");
    assert!(file.heals("a text"));
}

#[test]
fn tables_of_another_version_or_log_are_made_anew() {
    let file = File::new();
    for (what, sql) in [
        ("version", "UPDATE projection SET version = 0"),
        ("name", "UPDATE projection SET name = 'other'"),
        ("schema", "UPDATE projection SET schema = ''"),
        ("origin", "UPDATE projection SET origin = 'other.example/log'"),
        ("no head", "DELETE FROM projection"),
        ("no heads", "DROP TABLE projection"),
        ("ahead", "UPDATE projection SET cursor = 1000000"),
        ("other history", "UPDATE projection SET chain = 'ab'"),
        ("lost", "UPDATE projection SET cursor = cursor - 1"),
    ] {
        file.sql(sql);
        assert!(file.heals(what), "{what}");
    }
    assert!(!file.heals("healed"));
}

#[test]
fn tables_of_another_ledger_are_not_taken_for_ours() {
    let file = File::new();
    let other = Origin::new("other.example/log").expect("an origin");
    let (tables, opened) = Tables::open(&file.path(), &other).expect("opens");
    assert!(matches!(opened, Opened::Remade(_)), "{opened:?}");
    assert_eq!(tables.cursor().expect("a cursor").0, 0);
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("letters.txt");
    let kept = |path: &Path, bytes: &[u8]| {
        let opened = Tables::open(path, &origin());
        assert!(matches!(opened, Err(OpenError::File { .. })));
        assert_eq!(fs::read(path).expect("still there"), bytes);
    };
    fs::write(&path, "dear reader").expect("written");
    kept(&path, b"dear reader");
    let path = directory.path().join("books.sqlite");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute_batch("CREATE TABLE books (title)").expect("runs");
    drop(connection);
    let bytes = fs::read(&path).expect("bytes");
    kept(&path, &bytes);
}
