//! The fold: the same rows whatever the pieces, and what the rules say.

use proptest::prelude::*;
use tally_analytics::{FoldError, Opened, Tables, Value, schema};
use tally_coordination::TaskState;
use tally_protocol::Position;

use crate::history::{History, Log, all_rows, ask, origin, steps, tables_of};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Batches and restarts, in a file, come to the rows of one go in memory.
    #[test]
    fn pieces_make_no_difference(
        steps in steps(200),
        pieces in proptest::collection::vec((1..40_usize, any::<bool>()), 1..8),
    ) {
        let history = History::of(&steps);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sql@1.sqlite");
        let (mut tables, opened) = Tables::open(&path, &origin()).expect("opens");
        prop_assert_eq!(opened, Opened::Made);
        let mut size = 0;
        for (piece, restarts) in pieces {
            if restarts {
                drop(tables);
                let (again, opened) = Tables::open(&path, &origin()).expect("opens");
                prop_assert_eq!(opened, Opened::Kept);
                tables = again;
            }
            size = history.size().min(size + piece as u64);
            let log = Log { history: &history, size };
            prop_assert_eq!(tables.catch_up(&log, &mut |_| {}).expect("folds"), None);
            prop_assert_eq!(tables.cursor().expect("a cursor"), Position(size));
        }
        tables.catch_up(&Log::whole(&history), &mut |_| {}).expect("folds");
        let mut once = tables_of(&history, history.size());
        prop_assert_eq!(all_rows(&mut tables, None), all_rows(&mut once, None));
    }
}

#[test]
fn every_table_has_rows_in_the_whole_history() {
    let history = History::whole();
    let mut tables = tables_of(&history, history.size());
    for table in schema() {
        let rows = ask(&mut tables, &format!("SELECT * FROM {}", table.stored()), None);
        assert!(!rows.rows.is_empty(), "{} is empty", table.name);
    }
    let mut missing = Vec::new();
    for (kind, sql) in [
        ("replaced", "SELECT * FROM offers WHERE standing = 'replaced'"),
        ("fulfilled", "SELECT * FROM intents WHERE standing = 'fulfilled'"),
        ("superseded", "SELECT * FROM capabilities WHERE standing = 'superseded'"),
        ("late", "SELECT * FROM receipts WHERE counts = 0"),
        ("rotated", "SELECT * FROM agents WHERE standing = 'rotated'"),
        ("revoked", "SELECT * FROM attestations WHERE revoked = 1"),
        ("out of force", "SELECT * FROM policies WHERE in_force = 0"),
        ("strengthened", "SELECT * FROM edges_versions WHERE to_position IS NOT NULL"),
    ] {
        if ask(&mut tables, sql, None).rows.is_empty() {
            missing.push(kind);
        }
    }
    assert!(missing.is_empty(), "nothing is {missing:?}");
}

/// What holds at the end is what the rules have come to.
#[test]
fn rows_are_what_the_state_says() {
    let history = History::whole();
    let mut tables = tables_of(&history, history.size());
    let text = |text: &dyn ToString| Value::Text(text.to_string());
    let number = |number: u64| Value::Integer(i64::try_from(number).expect("small"));
    let state = &history.state;
    let sorted = |mut rows: Vec<Vec<Value>>| {
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };

    let rows = ask(&mut tables, "SELECT id, state, percent, executor FROM tasks", None).rows;
    let expected = state.tasks().map(|task| {
        assert!(matches!(task.state, TaskState::Ended(_)) == task.ended.is_some());
        let percent = number(task.percent.into());
        vec![text(&task.id), text(&task.state.name()), percent, text(&task.executor)]
    });
    assert_eq!(sorted(rows), sorted(expected.collect()));

    let sql = "SELECT id, offers, tasks, live_tasks, standing = 'open' FROM intents";
    let rows = ask(&mut tables, sql, None).rows;
    let expected = state.intents().map(|intent| {
        let counts = [intent.offers.len() as u64, intent.tasks.len() as u64];
        let [offers, tasks] = counts.map(number);
        let open = number(intent.is_open().into());
        vec![text(&intent.id), offers, tasks, number(intent.live_tasks.into()), open]
    });
    assert_eq!(sorted(rows), sorted(expected.collect()));

    let sql = "SELECT position, kind, agent, found FROM findings";
    let rows = ask(&mut tables, sql, None).rows;
    let expected = state.shown().map(|finding| {
        let (kind, agent) = (text(&finding.kind.name()), text(&finding.agent));
        vec![number(finding.position.0), kind, agent, text(&finding.found)]
    });
    assert_eq!(sorted(rows), sorted(expected.collect()));

    for row in ask(&mut tables, "SELECT id, party, succeeded, failed FROM agents", None).rows {
        let [Value::Text(key), party, succeeded, failed] = &row[..] else { panic!("{row:?}") };
        let key = key.parse().expect("a key");
        let record = state.record(&key);
        assert_eq!(*party, text(&state.party(&key)));
        assert_eq!(
            (succeeded, failed),
            (&number(record.succeeded.into()), &number(record.failed.into()),)
        );
    }
}

/// An event is about what its task, its offer and its intent are.
#[test]
fn events_say_what_they_are_about() {
    let history = History::whole();
    let mut tables = tables_of(&history, history.size());
    let sql = "SELECT count(*) FROM events e JOIN tasks t ON t.id = e.task \
               WHERE e.intent IS NOT t.intent OR e.offer IS NOT t.offer";
    assert_eq!(ask(&mut tables, sql, None).rows, [[Value::Integer(0)]]);
    let sql = "SELECT count(DISTINCT type) FROM events WHERE task IS NOT NULL";
    let Value::Integer(types) = ask(&mut tables, sql, None).rows[0][0] else { panic!() };
    assert!(types >= 4, "{types}");
}

/// What the rules refuse, and what is left out, is not folded; what came before stays.
#[test]
fn a_poisoned_event_stops_the_fold() {
    let history = History::whole();
    let mut tables = tables_of(&history, 20);
    let before = all_rows(&mut tables, None);
    let gap = tables.fold(&history.events[21..25]);
    assert!(matches!(gap, Err(FoldError::Gap { .. })), "{gap:?}");
    // The next one that is taken is the first of the log.
    assert_eq!(tables.next(), Position(0));
    let mut forged = history.events[..22].to_vec();
    // Twice the same author's envelope: the second is refused.
    forged[21].1 = forged[20].1.clone();
    let refused = tables.fold(&forged);
    assert!(
        matches!(&refused, Err(FoldError::Refused { position: Position(21), .. })),
        "{refused:?}"
    );
    assert_eq!(all_rows(&mut tables, None), before);
    tables.catch_up(&Log::whole(&history), &mut |_| {}).expect("folds");
    let mut once = tables_of(&history, history.size());
    assert_eq!(all_rows(&mut tables, None), all_rows(&mut once, None));
}

/// Two hands on one file: who comes second finds rows there, and writes none twice.
#[test]
fn two_processes_fold_into_one_file() {
    let history = History::whole();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sql@1.sqlite");
    let (mut one, _) = Tables::open(&path, &origin()).expect("opens");
    let (mut two, _) = Tables::open(&path, &origin()).expect("opens");
    let (half, size) = (history.events.len() / 2, history.events.len());
    one.fold(&history.events[..half]).expect("folds");
    two.fold(&history.events).expect("folds over what is there");
    one.fold(&history.events[half..size]).expect("folds over what is there");
    let mut once = tables_of(&history, history.size());
    assert_eq!(all_rows(&mut one, None), all_rows(&mut once, None));
}
