//! SQL over a ledger, with the real program: kept tables, earlier moments, damage, a server at work,
//! views and files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tally_tests::program::{Answer, Running, Server, copy, shipped, tally, wait_for};

/// A copy of the shipped ledger.
struct Ledger {
    directory: tempfile::TempDir,
}

impl Ledger {
    fn new() -> Self {
        let ledger = Self { directory: tempfile::tempdir().expect("a directory") };
        copy(&shipped().data(), &ledger.data());
        ledger
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn cache(&self) -> PathBuf {
        self.data().join("projections/sql@1.sqlite")
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// `tally COMMAND --data … MORE`
    fn run(&self, command: &[&str], more: &[&str]) -> Answer {
        let data = self.data();
        let args = command.iter().copied().chain(["--data", text(&data)]);
        tally(args.chain(more.iter().copied()))
    }

    fn sql(&self, more: &[&str]) -> Answer {
        self.run(&["sql"], more)
    }

    fn rows(&self, statement: &str) -> Value {
        self.sql(&["--json", statement]).expect(0).json()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const COUNT: &str = "SELECT count(*) AS n FROM events";

const OUTCOMES: &str = "SELECT outcome, count(*) AS n FROM tasks GROUP BY outcome ORDER BY outcome";

fn size() -> u64 {
    let shipped = shipped().data();
    let answer = tally(["digest", "--json", "--data", text(&shipped)]).expect(0).json();
    answer["as_of"].as_u64().expect("a size")
}

#[test]
fn questions_are_answered_from_kept_tables() {
    let ledger = Ledger::new();
    assert_eq!(ledger.rows(COUNT), json!([{ "n": size() }]));
    let outcomes = json!([{ "outcome": "failed", "n": 1 }, { "outcome": "succeeded", "n": 10 }]);
    assert_eq!(ledger.rows(OUTCOMES), outcomes);
    let before = fs::read(ledger.cache()).expect("kept");
    assert_eq!(ledger.rows(OUTCOMES), outcomes);
    assert_eq!(fs::read(ledger.cache()).expect("kept"), before);
    assert_eq!(ledger.rows("SELECT 1 AS x WHERE false"), json!([]));

    let people = ledger.sql(&[OUTCOMES]).expect(0).stdout;
    assert!(people.contains("OUTCOME") && people.contains("succeeded"), "{people}");
    let csv = ledger.sql(&["--csv", "SELECT 1 AS a, 'x,\"y\"' AS b, NULL AS c"]).expect(0).stdout;
    assert_eq!(csv, "a,b,c\r\n1,\"x,\"\"y\"\"\",\r\n");
    let few = ledger.sql(&["--limit", "3", "SELECT position FROM events"]).expect(0);
    assert_eq!(few.stdout.lines().count(), 4, "{few:?}");
    assert!(few.stderr.contains("--limit"), "{few:?}");
    let file = ledger.write("question.sql", OUTCOMES);
    assert_eq!(ledger.sql(&["--json", "-f", &file]).expect(0).json(), outcomes);
}

#[test]
fn the_schema_is_told() {
    let people = tally(["sql", "--schema"]).expect(0).stdout;
    for table in ["events", "tasks", "edges", "labels", "data"] {
        assert!(people.lines().any(|line| line.starts_with(table)), "{table}");
    }
    let tables = tally(["sql", "--schema", "--json"]).expect(0).json()["tables"].clone();
    for table in tables.as_array().expect("a list") {
        let columns = table["columns"].as_array().expect("a list");
        assert!(!columns.is_empty());
        for column in columns {
            let meaning = column["meaning"].as_str().expect("a sentence");
            assert!(meaning.ends_with('.'), "{meaning}");
        }
    }
}

#[test]
fn an_earlier_moment_by_size_and_by_time() {
    let ledger = Ledger::new();
    let at =
        |moment: &str, sql: &str| ledger.sql(&["--json", "--as-of", moment, sql]).expect(0).json();
    assert_eq!(at("0", COUNT), json!([{ "n": 0 }]));
    assert_eq!(at("40", COUNT), json!([{ "n": 40 }]));
    let sql = "SELECT recorded_at, strftime('%Y-%m-%dT%H:%M:%S', recorded_at / 1000000, 'unixepoch') \
               || printf('.%06dZ', recorded_at % 1000000) AS time FROM events WHERE position = 60";
    let event = ledger.rows(sql)[0].clone();
    let sql =
        format!("SELECT count(*) AS n FROM events WHERE recorded_at <= {}", event["recorded_at"]);
    assert_eq!(at(event["time"].as_str().expect("a time"), COUNT), ledger.rows(&sql));
    let tasks = "SELECT state FROM tasks";
    let mut states = Vec::new();
    for size in [40, 80, 110] {
        states.push(at(&size.to_string(), tasks).as_array().expect("rows").len());
    }
    assert!(states.is_sorted() && states[0] < states[2], "{states:?}");
    let beyond = ledger.sql(&["--as-of", "100000", COUNT]).expect(1);
    assert!(beyond.stderr.contains("not 100000"), "{beyond:?}");
}

#[test]
fn only_questions_and_errors_that_say_where() {
    let ledger = Ledger::new();
    for statement in ["DELETE FROM events", "DROP TABLE events", "PRAGMA writable_schema = 1"] {
        let refused = ledger.sql(&[statement]).expect(2);
        assert!(refused.stderr.contains("only questions are answered"), "{refused:?}");
    }
    let wrong = ledger.sql(&["SELECT posit FROM events"]).expect(2);
    assert!(wrong.stderr.contains("no such column: posit, line 1"), "{wrong:?}");
    assert!(wrong.stderr.contains("\n         ^"), "{wrong:?}");
    let wrong = ledger.sql(&["--json", "SELEC"]).expect(2).json();
    assert!(wrong["error"]["message"].as_str().expect("a text").contains("syntax error"));
    ledger.sql(&["SELECT 1; SELECT 2"]).expect(2);
    assert_eq!(ledger.rows(COUNT), json!([{ "n": size() }]));
}

/// Killed again and again while it folds, it ends with the same rows.
#[test]
fn killed_while_the_tables_are_made() {
    let ledger = Ledger::new();
    let data = ledger.data();
    for pause in [0, 1, 2, 4, 8, 12, 16, 20, 25, 30, 40, 60] {
        let running = Running::start(["sql", "--data", text(&data), COUNT]);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        running.kill();
    }
    let all = "SELECT e.position, e.chain, t.state FROM events e LEFT JOIN tasks t ON t.id = e.task \
               ORDER BY e.position";
    let other = Ledger::new();
    assert_eq!(ledger.rows(all), other.rows(all));
}

#[test]
fn damaged_tables_are_made_anew() {
    let ledger = Ledger::new();
    let expected = ledger.rows(OUTCOMES);
    let whole = fs::read(ledger.cache()).expect("kept");
    for (at, length) in [(0, 100), (4096, 5000), (whole.len() / 2, 9000)] {
        let mut bytes = whole.clone();
        bytes[at..at + length].fill(0x5a);
        fs::write(ledger.cache(), bytes).expect("damaged");
        let answer = ledger.sql(&[OUTCOMES]).expect(0);
        assert!(answer.stderr.contains("made anew"), "{answer:?}");
        assert_eq!(ledger.rows(OUTCOMES), expected);
    }
    fs::write(ledger.cache(), &whole[..whole.len() / 3]).expect("cut");
    assert_eq!(ledger.rows(OUTCOMES), expected);
    // A cache that belongs to another ledger, or is no cache.
    let letter = ledger.write("letter", "dear reader");
    ledger.sql(&["--cache", &letter, COUNT]).expect(3);
    assert_eq!(fs::read_to_string(&letter).expect("it"), "dear reader");
}

#[test]
fn where_nothing_can_be_kept_memory_will_do() {
    let ledger = Ledger::new();
    // Who runs the tests may be allowed everything: a file stands where the directory would be.
    let place = ledger.data().join("projections");
    fs::remove_dir_all(&place).expect("what the server kept");
    fs::write(place, "").expect("a file");
    let answer = ledger.sql(&[COUNT]).expect(0);
    assert!(answer.stderr.contains("in memory"), "{answer:?}");
    let cache = ledger.directory.path().join("elsewhere/tables.sqlite");
    assert_eq!(
        ledger.sql(&["--json", "--cache", text(&cache), COUNT]).expect(0).json(),
        json!([{ "n": size() }])
    );
    assert!(cache.exists());
}

/// A server appends while the tables follow.
#[test]
fn beside_a_server_that_works() {
    let ledger = Ledger::new();
    let server = Server::start(&ledger.data());
    let before = size();
    assert_eq!(ledger.rows(COUNT), json!([{ "n": before }]));
    let key = ledger.directory.path().join("me.pem");
    tally(["keygen", text(&key)]).expect(0);
    let view = ledger.write("view.sql", "SELECT max(position) + 1 AS size FROM events");
    ledger.run(&["materialize", "height", "-f", &view], &[]).expect(0);
    let data = ledger.data();
    let mut follower = Running::start(["materialize", "--follow", "--json", "--data", text(&data)]);
    follower.line().expect("its first answer");
    let ask = ledger.write("ask.json", r#"{"intent": {"open": {"outcome": "more"}}}"#);
    let submit = ["submit", "--key", text(&key), "--url", &server.url, &ask];
    for more in 1..=3 {
        tally(submit).expect(0);
        assert_eq!(ledger.rows(COUNT), json!([{ "n": before + more }]));
    }
    let sql = "SELECT size FROM height";
    assert_eq!(ledger.rows(sql), json!([{ "size": before + 3 }]));
    wait_for("the follower", || {
        let line: Value = serde_json::from_str(&follower.line()?).expect("JSON");
        (line["views"][0]["as_of"] == json!(before + 3)).then_some(())
    });
    follower.kill();
    server.kill();
}

#[test]
fn views_are_kept_and_dropped() {
    let ledger = Ledger::new();
    let whole = ledger.write("whole.sql", "SELECT type, count(*) AS n FROM events GROUP BY type");
    let folded = ledger.write(
        "folded.sql",
        "CREATE TABLE IF NOT EXISTS by_type (type TEXT PRIMARY KEY, n INTEGER);
         INSERT INTO by_type SELECT type, count(*) FROM new_events WHERE true GROUP BY type
             ON CONFLICT (type) DO UPDATE SET n = n + excluded.n;",
    );
    ledger.run(&["materialize", "types", "-f", &whole], &[]).expect(0);
    ledger.run(&["materialize", "by_type", "-f", &folded], &[]).expect(0);
    let listed = ledger.run(&["materialize", "--list", "--json"], &[]).expect(0).json();
    let forms: Vec<_> = listed["views"].as_array().expect("views").iter().collect();
    assert_eq!(forms.len(), 2, "{listed}");
    assert!(forms.iter().all(|view| view["as_of"] == json!(size())), "{listed}");
    let ordered = |name: &str| ledger.rows(&format!("SELECT * FROM {name} ORDER BY type"));
    assert_eq!(ordered("types"), ordered("by_type"));
    // They outlive the cache.
    fs::remove_file(ledger.cache()).expect("removed");
    assert_eq!(ordered("types"), ordered("by_type"));
    let then = ledger.sql(&["--json", "--as-of", "50", "SELECT sum(n) AS n FROM types"]);
    assert_eq!(then.expect(0).json(), json!([{ "n": 50 }]));
    ledger.sql(&["--as-of", "50", "SELECT * FROM by_type"]).expect(2);

    let wrong = ledger.write("wrong.sql", "SELECT absent");
    let refused = ledger.run(&["materialize", "types", "-f", &wrong], &[]).expect(2);
    assert!(refused.stderr.contains("no such column: absent"), "{refused:?}");
    assert_eq!(ordered("types"), ordered("by_type"));
    ledger.run(&["materialize", "tasks", "-f", &whole], &[]).expect(2);
    ledger.run(&["materialize", "--drop", "types"], &[]).expect(0);
    ledger.run(&["materialize", "--drop", "types"], &[]).expect(1);
    ledger.sql(&["SELECT * FROM types"]).expect(2);
}

#[test]
fn exports_are_completed() {
    let ledger = Ledger::new();
    let out = ledger.directory.path().join("out");
    for encoding in ["parquet", "jsonl"] {
        let out = out.join(encoding);
        let export = || {
            let args = ["--json", "--part-events", "50", text(&out)];
            ledger.run(&["export", encoding], &args).expect(0).json()
        };
        let first = export();
        assert_eq!(first["size"], json!(size()));
        assert_eq!(first["files_kept"], json!(0));
        let again = export();
        assert_eq!(again["files_written"], json!(0));
        assert_eq!(again["rows"], first["rows"]);
        let manifest = fs::read_to_string(out.join("_manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        let events = manifest["tables"][0]["parts"].as_array().expect("parts");
        let rows: u64 = events.iter().map(|part| part["rows"].as_u64().expect("a number")).sum();
        assert_eq!(rows, size());
    }
    let other = ledger.run(&["export", "jsonl"], &[text(&out.join("parquet"))]).expect(1);
    assert!(other.stderr.contains("other tables"), "{other:?}");
}
