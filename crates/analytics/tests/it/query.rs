//! Questions: only questions, and errors that say where.

use tally_analytics::{QueryError, Tables, Value};
use tally_protocol::TreeSize;

use crate::history::{History, Rows, all_rows, ask, tables_of};

fn refusal(tables: &mut Tables, sql: &str, as_of: Option<u64>) -> QueryError {
    let mut rows = Rows::default();
    match tables.query(sql, as_of.map(TreeSize::new), &mut rows) {
        Ok(()) => panic!("{sql} was answered: {rows:?}"),
        Err(error) => error,
    }
}

#[test]
fn nothing_can_be_changed() {
    let history = History::whole();
    let mut tables = tables_of(&history, history.size());
    let before = all_rows(&mut tables, None);
    for sql in [
        "DELETE FROM events",
        "INSERT INTO labels SELECT * FROM labels",
        "UPDATE projection SET cursor = 0",
        "WITH x AS (SELECT 1) DELETE FROM events",
        "DELETE FROM events RETURNING position",
        "INSERT INTO findings (kind) VALUES ('x') RETURNING kind",
        "DROP TABLE events",
        "DROP VIEW tasks",
        "ALTER TABLE events ADD COLUMN x",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "CREATE TEMP VIEW events AS SELECT 1",
        "CREATE INDEX x ON events (type)",
        "CREATE TRIGGER x AFTER INSERT ON events BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
        "ATTACH '/tmp/elsewhere.sqlite' AS x",
        "DETACH temp",
        "VACUUM",
        "VACUUM INTO '/tmp/elsewhere.sqlite'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "PRAGMA journal_mode = delete",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "SELECT load_extension('x')",
    ] {
        for as_of in [None, Some(5)] {
            let error = refusal(&mut tables, sql, as_of);
            // As of an earlier moment the tables are views, of which another rule may tell first.
            let told = matches!(error, QueryError::Writes(_)) || as_of.is_some();
            assert!(told, "{sql}: {error:?}");
        }
    }
    assert_eq!(all_rows(&mut tables, None), before);
}

#[test]
fn a_refusal_names_what_it_refuses() {
    let mut tables = tables_of(&History::whole(), 10);
    let said = refusal(&mut tables, "DELETE FROM events WHERE position = 3", None).to_string();
    assert_eq!(said, "only questions are answered, and this would delete from events");
}

#[test]
fn errors_say_what_and_where() {
    let mut tables = tables_of(&History::whole(), 10);
    let sql = "SELECT position,\n       recorded\n  FROM events";
    let said = refusal(&mut tables, sql, None).to_string();
    assert_eq!(said, "no such column: recorded, line 2:\n         recorded\n         ^");
    let said = refusal(&mut tables, "SELEC 1", Some(3)).to_string();
    assert_eq!(said, "near \"SELEC\": syntax error, line 1:\n  SELEC 1\n  ^");
    assert!(matches!(refusal(&mut tables, "SELECT 1; SELECT 2", None), QueryError::Count(_)));
    for nothing in ["", "  ", "-- nothing", ";"] {
        assert!(matches!(refusal(&mut tables, nothing, None), QueryError::Count(_)), "{nothing:?}");
    }
    let same = refusal(&mut tables, "SELECT 1 AS a, 2 AS a", None);
    assert!(matches!(&same, QueryError::SameName(name) if name == "a"), "{same:?}");
    let long = format!("SELECT '{}'", "x".repeat(tally_analytics::MOST_STATEMENT_BYTES));
    assert!(matches!(refusal(&mut tables, &long, None), QueryError::Wrong { .. }));
    let huge = refusal(&mut tables, "SELECT abs(-9223372036854775808)", None);
    assert!(matches!(huge, QueryError::Wrong { .. }), "{huge:?}");
}

#[test]
fn questions_of_many_kinds_are_answered() {
    let mut tables = tables_of(&History::whole(), 60);
    for sql in [
        "SELECT 1;",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n",
        "SELECT json_extract(message, '$.offer.price.amount') FROM events WHERE type = 'offer'",
        "SELECT value FROM capabilities, json_each(tags)",
        "SELECT datetime(recorded_at / 1000000, 'unixepoch') FROM events",
        "SELECT type, count(*) OVER (PARTITION BY author) FROM events",
        "PRAGMA table_info(tasks)",
        "EXPLAIN QUERY PLAN SELECT * FROM tasks",
        "VALUES (1, 2.5, 'x', NULL, x'00ff')",
    ] {
        assert!(!ask(&mut tables, sql, None).rows.is_empty(), "{sql}");
        assert!(!ask(&mut tables, sql, Some(50)).rows.is_empty(), "{sql}");
    }
    let values = &ask(&mut tables, "VALUES (1, 2.5, 'x', NULL, x'00ff')", None).rows[0];
    let text = Value::Text("x".into());
    let expected =
        [Value::Integer(1), Value::Real(2.5), text, Value::Null, Value::Bytes(vec![0, 255])];
    assert_eq!(values[..], expected);
}

/// Views of an earlier moment are gone when the answer is.
#[test]
fn an_earlier_moment_leaves_nothing_behind() {
    let history = History::whole();
    let mut tables = tables_of(&history, history.size());
    let count = "SELECT count(*) FROM events";
    assert_eq!(ask(&mut tables, count, Some(3)).rows, [[Value::Integer(3)]]);
    let now = i64::try_from(history.size()).expect("small");
    assert_eq!(ask(&mut tables, count, None).rows, [[Value::Integer(now)]]);
    refusal(&mut tables, "SELECT nothing", Some(3));
    assert_eq!(ask(&mut tables, count, Some(4)).rows, [[Value::Integer(4)]]);
}

#[test]
fn a_statement_without_end_can_be_stopped() {
    let mut tables = tables_of(&History::whole(), 10);
    let interrupter = tables.interrupter();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let stopper = std::thread::spawn(move || {
        let pause = std::time::Duration::from_millis(20);
        while ended.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            interrupter.interrupt();
        }
    });
    let sql =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let error = refusal(&mut tables, sql, None);
    assert!(matches!(error, QueryError::Interrupted), "{error:?}");
    drop(done);
    stopper.join().expect("it ends");
    assert_eq!(ask(&mut tables, "SELECT 1", None).rows, [[Value::Integer(1)]]);
}
