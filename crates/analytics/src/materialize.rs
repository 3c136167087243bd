//! Named views with stored rows, kept up to date as the tables move on.
//!
//! A definition is a file of SQL in a directory; rows are in the tables' own file, so that they are
//! a cache like the rest. There are two forms, told apart by the first word:
//!
//! | form | the file | what an update costs |
//! |---|---|---|
//! | whole | one `SELECT` | as much as the statement: all rows are computed again |
//! | incremental | `CREATE TABLE IF NOT EXISTS name (…);` and statements that fold `new_…` into it | as much as there are new events |
//!
//! In an incremental definition `new_events`, `new_tasks` … hold the rows that the events since the
//! last update made (of a versioned table: the versions that began). It must come to the same rows
//! whatever the pieces in which events come: that is its author's to see to.
//!
//! Rows and the tree size that they are as of change in one transaction. A definition that fails
//! leaves its last rows as they are, and says why.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Error, params_from_iter};
use serde::Serialize;

use crate::database;
use crate::error::{QueryError, ViewError};
use crate::query::{Guard, columns, guarded, read_error, single, values};
use crate::rows::schema;
use crate::tables::Tables;

/// Longest name of a view.
const MOST_NAME_CHARACTERS: usize = 60;

/// Why a view may not read another: which of them is updated first would show.
const OTHERS: &str = "which is a view itself";

/// The end of a definition's file name.
const SUFFIX: &str = ".sql";

/// A materialized view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// Its name, which SQL reads it by.
    pub name: String,
    /// Whether new events are folded in; else all rows are computed again.
    pub incremental: bool,
    /// The number of events that its rows are as of; none while it has no rows.
    pub as_of: Option<u64>,
    /// How many rows it has.
    pub rows: u64,
    /// Why it is not up to date.
    pub error: Option<String>,
}

/// The definitions: files in a directory, which is made when the first comes.
#[derive(Debug, Clone)]
pub struct Definitions {
    directory: PathBuf,
}

impl Definitions {
    /// Those in a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Keeps a definition; another of this name is replaced.
    ///
    /// # Errors
    /// [`ViewError::Name`] or [`ViewError::File`].
    pub fn put(&self, name: &str, sql: &str) -> Result<(), ViewError> {
        check_name(name)?;
        let path = self.path(name);
        let write = || {
            fs::create_dir_all(&self.directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(sql.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|cause| ViewError::File { path: path.clone(), cause })
    }

    /// Drops a definition; its rows go with the next [`Tables::refresh`].
    ///
    /// # Errors
    /// [`ViewError::Absent`] or [`ViewError::File`].
    pub fn remove(&self, name: &str) -> Result<(), ViewError> {
        check_name(name)?;
        let path = self.path(name);
        fs::remove_file(&path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => ViewError::Absent(name.to_owned()),
            _ => ViewError::File { path, cause },
        })
    }

    /// All of them by name, with their SQL.
    ///
    /// # Errors
    /// [`ViewError::File`].
    pub fn all(&self) -> Result<Vec<(String, String)>, ViewError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause: io::Error| ViewError::File { path, cause }
        };
        let entries = match fs::read_dir(&self.directory) {
            // Where no directory can be, nobody has put anything.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            entries => entries.map_err(failed(&self.directory))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&self.directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
            if check_name(name).is_ok() {
                all.push((name.to_owned(), fs::read_to_string(&path).map_err(failed(&path))?));
            }
        }
        all.sort();
        Ok(all)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }
}

fn check_name(name: &str) -> Result<(), ViewError> {
    let refuse = |why| Err(ViewError::Name { name: name.to_owned(), why });
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.chars().all(plain)
        || name.len() > MOST_NAME_CHARACTERS
    {
        return refuse("write up to 60 of a-z, 0-9 and _, beginning with a letter");
    }
    let taken = schema().any(|table| table.name == name || table.stored() == name);
    if taken || ["projection", "materialized"].contains(&name) {
        return refuse("a table has that name");
    }
    if name.starts_with("new_") || name.starts_with("sqlite_") {
        return refuse("names that begin so are not free");
    }
    Ok(())
}

/// Whether a definition folds new events in: its first word says so.
fn is_incremental(sql: &str) -> bool {
    let mut rest = sql.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            return rest.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("create"));
        }
        .trim_start();
    }
}

/// What is kept of a view beside its rows.
struct Kept {
    name: String,
    incremental: bool,
    sql: String,
    as_of: Option<u64>,
    error: Option<String>,
}

impl Tables {
    /// Brings all views up to the cursor: new and changed definitions are made, old ones updated,
    /// those without a definition dropped. What fails is in the view's `error`.
    ///
    /// # Errors
    /// [`ViewError`] when definitions or tables can't be read or written.
    pub fn refresh(&mut self, definitions: &Definitions) -> Result<Vec<View>, ViewError> {
        let definitions = definitions.all()?;
        if self.is_stale(&definitions).map_err(engine)? {
            self.connection.execute_batch("BEGIN IMMEDIATE").map_err(engine)?;
            let refreshed = self.refresh_all(&definitions);
            let end = if refreshed.is_ok() { "COMMIT" } else { "ROLLBACK" };
            let ended = self.connection.execute_batch(end);
            refreshed.and(ended).map_err(engine)?;
        }
        self.views().map_err(engine)
    }

    fn is_stale(&self, definitions: &[(String, String)]) -> Result<bool, Error> {
        let cursor = database::cursor(&self.connection)?.0.0;
        let kept = self.kept()?;
        let is_current = |(name, sql): &(String, String)| {
            kept.iter()
                .any(|kept| kept.name == *name && kept.sql == *sql && kept.as_of == Some(cursor))
        };
        Ok(kept.len() != definitions.len() || !definitions.iter().all(is_current))
    }

    fn refresh_all(&mut self, definitions: &[(String, String)]) -> Result<(), Error> {
        let cursor = database::cursor(&self.connection)?.0.0;
        for old in self.kept()? {
            if !definitions.iter().any(|(name, _)| *name == old.name) {
                drop_rows(&self.connection, &old.name)?;
                self.connection.execute("DELETE FROM materialized WHERE name = ?1", [&old.name])?;
            }
        }
        for (name, sql) in definitions {
            let kept = self.kept()?.into_iter().find(|kept| kept.name == *name);
            let from = match kept {
                Some(kept) if kept.sql == *sql && kept.as_of == Some(cursor) => continue,
                Some(kept) if kept.sql == *sql => kept.as_of,
                Some(_) | None => None,
            };
            self.connection.execute_batch("SAVEPOINT view")?;
            let made = if is_incremental(sql) {
                self.fold_in(name, sql, from, cursor)
            } else {
                self.compute(name, sql)
            };
            let error = match made {
                Ok(()) => None,
                Err(QueryError::Damaged(error)) => return Err(error),
                Err(error) => {
                    self.connection.execute_batch("ROLLBACK TO view")?;
                    Some(error.to_string())
                }
            };
            self.connection.execute_batch("RELEASE view")?;
            self.note(name, sql, if error.is_none() { Some(cursor) } else { from }, error)?;
        }
        Ok(())
    }

    fn note(
        &self,
        name: &str,
        sql: &str,
        as_of: Option<u64>,
        error: Option<String>,
    ) -> Result<(), Error> {
        if as_of.is_none() {
            // Rows of another definition are not rows of this one.
            drop_rows(&self.connection, name)?;
        }
        self.connection.execute(
            "INSERT OR REPLACE INTO materialized VALUES (?1, ?2, ?3, ?4, ?5)",
            (name, is_incremental(sql), sql, as_of, error),
        )?;
        Ok(())
    }

    /// Computes all rows beside the old ones, and puts them in their place.
    fn compute(&mut self, name: &str, sql: &str) -> Result<(), QueryError> {
        let engine = |error| read_error(error, sql);
        let others = self.others(name)?;
        // What it may do is decided here; the rows are read without the guard, which would refuse
        // to keep them.
        let names = self.guarded_view(Guard::asking(others, OTHERS), |connection| {
            columns(&single(connection, sql)?)
        })?;
        let beside = format!("next_of_{name}");
        let quoted = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let create = format!("CREATE TABLE {beside} ({quoted})");
        self.connection.execute_batch(&create).map_err(engine)?;
        self.copy_rows(sql, &beside, names.len())?;
        drop_rows(&self.connection, name).map_err(engine)?;
        let rename = format!("ALTER TABLE {beside} RENAME TO {}", quote(name));
        self.connection.execute_batch(&rename).map_err(engine)
    }

    /// Keeps the rows that a statement gives.
    fn copy_rows(&self, sql: &str, table: &str, width: usize) -> Result<(), QueryError> {
        let engine = |error| read_error(error, sql);
        let marks = vec!["?"; width].join(", ");
        let insert = format!("INSERT INTO {table} VALUES ({marks})");
        let mut insert = self.connection.prepare(&insert).map_err(engine)?;
        let mut statement = single(&self.connection, sql)?;
        let mut rows = statement.query([]).map_err(engine)?;
        while let Some(row) = rows.next().map_err(engine)? {
            insert
                .execute(params_from_iter(values(row, width).map_err(engine)?))
                .map_err(engine)?;
        }
        Ok(())
    }

    /// Lets the definition fold the rows since `from` into its table.
    fn fold_in(
        &mut self,
        name: &str,
        sql: &str,
        from: Option<u64>,
        to: u64,
    ) -> Result<(), QueryError> {
        let engine = |error| read_error(error, sql);
        if from.is_none() {
            drop_rows(&self.connection, name).map_err(engine)?;
        }
        self.fold_range(name, sql, from.unwrap_or(0), to)?;
        if from.is_none() {
            // Once more with nothing new: what can't be run twice is told now, not later.
            self.fold_range(name, sql, to, to)?;
        }
        let sql = format!("SELECT 1 FROM {} LIMIT 1", quote(name));
        self.connection.prepare(&sql).map(drop).map_err(|error| read_error(error, &sql))
    }

    fn fold_range(&mut self, name: &str, sql: &str, from: u64, to: u64) -> Result<(), QueryError> {
        let engine = |error| read_error(error, sql);
        for table in schema() {
            self.connection.execute_batch(&table.new_rows(from, to)).map_err(engine)?;
        }
        let guard = Guard::keeping(self.others(name)?, OTHERS, name);
        let done = self.guarded_view(guard, |connection| {
            let mut batch = Batch::new(connection, sql);
            while let Some(mut statement) = batch.next().map_err(engine)? {
                statement.raw_execute().map_err(engine)?;
            }
            Ok(())
        });
        for table in schema() {
            let drop = format!("DROP VIEW temp.new_{}", table.name);
            self.connection.execute_batch(&drop).map_err(engine)?;
        }
        done
    }

    fn guarded_view<T>(
        &mut self,
        guard: Guard,
        work: impl FnOnce(&Connection) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        guarded(&mut self.connection, guard, work).map_err(|(error, refused)| match refused {
            Some(refused) => QueryError::Writes(refused),
            None => error,
        })
    }

    /// The names of all other views.
    fn others(&self, name: &str) -> Result<Vec<String>, QueryError> {
        let kept = self.kept().map_err(|error| read_error(error, ""))?;
        Ok(kept.into_iter().map(|kept| kept.name).filter(|other| other != name).collect())
    }

    fn kept(&self) -> Result<Vec<Kept>, Error> {
        let sql = "SELECT name, incremental, sql, as_of, error FROM materialized ORDER BY name";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let (name, incremental, sql) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Kept { name, incremental, sql, as_of: row.get(3)?, error: row.get(4)? })
        })?;
        rows.collect()
    }

    /// All views, as they are.
    fn views(&self) -> Result<Vec<View>, Error> {
        let count = |name: &str| {
            let sql = format!("SELECT count(*) FROM {}", quote(name));
            self.connection.query_row(&sql, [], |row| row.get(0))
        };
        self.kept()?
            .into_iter()
            .map(|Kept { name, incremental, as_of, error, .. }| {
                let rows = if as_of.is_some() { count(&name)? } else { 0 };
                Ok(View { name, incremental, as_of, rows, error })
            })
            .collect()
    }

    /// Puts the definition of each whole view before its rows, so that it answers as of the moment
    /// that the tables show; the names of those that have none.
    pub(crate) fn views_as_of(&self) -> Result<Vec<String>, Error> {
        let mut hidden = Vec::new();
        for view in self.kept()? {
            if view.incremental || view.as_of.is_none() {
                hidden.push(view.name);
                continue;
            }
            let sql = view.sql.trim_end().trim_end_matches(';');
            let create = format!("CREATE TEMP VIEW {} AS {sql}\n", quote(&view.name));
            self.connection.execute_batch(&create)?;
        }
        Ok(hidden)
    }
}

fn drop_rows(connection: &Connection, name: &str) -> Result<(), Error> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{}", quote(name)))
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn engine(error: Error) -> ViewError {
    ViewError::Engine(error)
}
