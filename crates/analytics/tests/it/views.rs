//! Materialized views: kept up to date, whole or by what is new.

use tally_analytics::materialize::{Definitions, View};
use tally_analytics::{QueryError, Tables, Value, ViewError};
use tally_protocol::TreeSize;

use crate::history::{History, Log, Rows, ask, origin, tables_of};

const WHOLE: &str = "-- how many of each\nSELECT type, count(*) AS n FROM events GROUP BY type;";

const FOLDED: &str =
    "/* the same */ CREATE TABLE IF NOT EXISTS folded (type TEXT PRIMARY KEY, n INTEGER);
    INSERT INTO folded SELECT type, count(*) FROM new_events WHERE true GROUP BY type
        ON CONFLICT (type) DO UPDATE SET n = n + excluded.n;";

struct Views {
    history: History,
    tables: Tables,
    definitions: Definitions,
    _directory: tempfile::TempDir,
}

impl Views {
    fn new(size: u64) -> Self {
        let (history, directory) = (History::whole(), tempfile::tempdir().expect("a directory"));
        let tables = tables_of(&history, size);
        let definitions = Definitions::new(directory.path().join("views"));
        Self { history, tables, definitions, _directory: directory }
    }

    fn put(&self, name: &str, sql: &str) {
        self.definitions.put(name, sql).expect("kept");
    }

    fn grow(&mut self, size: u64) {
        let log = Log { history: &self.history, size };
        self.tables.catch_up(&log, &mut |_| {}).expect("folds");
    }

    fn refresh(&mut self) -> Vec<View> {
        self.tables.refresh(&self.definitions).expect("refreshes")
    }

    fn rows(&mut self, sql: &str) -> Vec<Vec<Value>> {
        ask(&mut self.tables, sql, None).rows
    }
}

#[test]
fn views_follow_the_log() {
    let mut views = Views::new(30);
    views.put("counted", WHOLE);
    views.put("folded", FOLDED);
    for size in [30, 30, 31, 90, views.history.size()] {
        views.grow(size);
        let listed = views.refresh();
        assert_eq!(listed.len(), 2);
        assert!(listed.iter().all(|view| view.as_of == Some(size) && view.error.is_none()));
        assert_eq!(listed.iter().map(|view| view.incremental).collect::<Vec<_>>(), [false, true]);
        let expected = views.rows("SELECT type, count(*) FROM events GROUP BY type ORDER BY type");
        assert!(!expected.is_empty());
        for name in ["counted", "folded"] {
            assert_eq!(views.rows(&format!("SELECT * FROM {name} ORDER BY type")), expected);
        }
    }
}

/// An incremental view sees each event once, and only what is new.
#[test]
fn only_new_rows_are_folded_in() {
    let mut views = Views::new(10);
    let sql = "CREATE TABLE IF NOT EXISTS seen (least, most, n);
               INSERT INTO seen SELECT min(position), max(position), count(*) FROM new_events
                   HAVING count(*) > 0";
    views.put("seen", sql);
    for size in [10, 25, 60] {
        views.grow(size);
        views.refresh();
    }
    let number = Value::Integer;
    let expected = [[0, 9, 10], [10, 24, 15], [25, 59, 35]].map(|row| row.map(number).to_vec());
    assert_eq!(views.rows("SELECT * FROM seen"), expected);
}

#[test]
fn an_earlier_moment_has_the_view_of_then() {
    let mut views = Views::new(90);
    views.put("counted", WHOLE);
    views.put("folded", FOLDED);
    views.refresh();
    let then = ask(&mut views.tables, "SELECT sum(n) FROM counted", Some(40)).rows;
    assert_eq!(then, [[Value::Integer(40)]]);
    let mut rows = Rows::default();
    let size = Some(TreeSize::new(40));
    let error = views.tables.query("SELECT * FROM folded", size, &mut rows).expect_err("refused");
    assert!(error.to_string().contains("folded"), "{error}");
    assert!(matches!(error, QueryError::Writes(_)));
}

#[test]
fn what_fails_leaves_the_last_rows_and_says_why() {
    let mut views = Views::new(30);
    // From some event on it fails, by a number that is too great.
    let sql = "SELECT max(position) AS p, CASE WHEN max(position) > 50 \
               THEN abs(-9223372036854775808) ELSE 1 END AS x FROM events";
    views.put("fragile", sql);
    assert_eq!(views.refresh()[0].error, None);
    views.grow(60);
    let view = views.refresh().remove(0);
    assert_eq!((view.as_of, view.rows), (Some(30), 1));
    assert!(view.error.expect("an error").contains("overflow"));
    assert_eq!(views.rows("SELECT p FROM fragile"), [[Value::Integer(29)]]);
    views.put("fragile", WHOLE);
    let view = views.refresh().remove(0);
    assert_eq!((view.as_of, view.error), (Some(60), None));
    views.definitions.remove("fragile").expect("dropped");
    assert_eq!(views.refresh(), []);
    let mut rows = Rows::default();
    assert!(views.tables.query("SELECT * FROM fragile", None, &mut rows).is_err());
}

#[test]
fn a_definition_changes_nothing_but_its_own_rows() {
    let mut views = Views::new(30);
    views.put("other", WHOLE);
    views.refresh();
    for sql in [
        "DELETE FROM events",
        "SELECT 1; SELECT 2",
        "SELECT * FROM other",
        "",
        "CREATE TABLE IF NOT EXISTS else_where (x)",
        "CREATE TABLE IF NOT EXISTS view (x); DELETE FROM events",
        "CREATE TABLE IF NOT EXISTS view (x); DROP TABLE other",
        "CREATE TABLE IF NOT EXISTS view (x); UPDATE projection SET cursor = 0",
        "CREATE TABLE IF NOT EXISTS view (x); INSERT INTO view SELECT n FROM other",
        "CREATE TABLE IF NOT EXISTS view (x); COMMIT",
        // It could not be run twice.
        "CREATE TABLE view (x)",
    ] {
        views.put("view", sql);
        let listed = views.refresh();
        let view = listed.iter().find(|view| view.name == "view").expect("listed");
        assert!(view.error.is_some() && view.as_of.is_none(), "{sql}: {view:?}");
        assert_eq!(listed.iter().find(|view| view.name == "other").expect("it").error, None);
        assert_eq!(views.rows("SELECT count(*) FROM events"), [[Value::Integer(30)]], "{sql}");
    }
}

#[test]
fn names_are_plain_and_free() {
    let views = Views::new(3);
    let long = "x".repeat(61);
    for name in ["", "Tasks", "tasks", "tasks_versions", "projection", "a b", "1a", "../x", "new_x"]
        .into_iter()
        .chain([long.as_str()])
    {
        let refused = views.definitions.put(name, WHOLE);
        assert!(matches!(refused, Err(ViewError::Name { .. })), "{name:?}");
    }
    assert!(matches!(views.definitions.remove("absent"), Err(ViewError::Absent(_))));
}

/// Definitions outlive the tables: rows are a cache.
#[test]
fn views_come_back_when_the_tables_are_made_anew() {
    let mut views = Views::new(40);
    views.put("folded", FOLDED);
    views.refresh();
    let before = views.rows("SELECT * FROM folded ORDER BY type");
    views.tables = Tables::in_memory(&origin());
    views.grow(40);
    views.refresh();
    assert_eq!(views.rows("SELECT * FROM folded ORDER BY type"), before);
}
