//! SQLite, within the process: a write-ahead log with an fsync for each transaction.

use std::time::Instant;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::Bench;
use crate::failure::Failure;

/// Rows of one transaction.
const ROWS: usize = 256;

pub(crate) fn measure(bench: &Bench) -> Result<Value, Failure> {
    let place = bench.directory.display().to_string();
    let directory = tempfile::tempdir_in(&bench.directory).map_err(Failure::system(place))?;
    Ok(json!({
        "version": rusqlite::version(),
        "settings": "journal_mode WAL, synchronous FULL",
        "singly_rows_per_second": rate(bench, &directory.path().join("singly"), 1)?,
        "batches_of_256_rows_per_second": rate(bench, &directory.path().join("batches"), ROWS)?,
    }))
}

fn rate(bench: &Bench, path: &std::path::Path, rows: usize) -> Result<f64, Failure> {
    let mut database = Connection::open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch("CREATE TABLE events (position INTEGER PRIMARY KEY, payload BLOB)")?;
    let (mut payloads, mut inserted, began) = (bench.payloads.from(0), 0, Instant::now());
    while began.elapsed() < bench.time {
        let transaction = database.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO events (payload) VALUES (?1)")?;
            for payload in payloads.by_ref().take(rows) {
                insert.execute([&payload[..]])?;
            }
        }
        transaction.commit()?;
        inserted += rows;
    }
    Ok(inserted as f64 / began.elapsed().as_secs_f64())
}
