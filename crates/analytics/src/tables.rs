//! The tables as a projection: opened, folded, made anew.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, InterruptHandle, Statement, params_from_iter};
use tally_protocol::{AsOf, Event, Origin, ParsedEnvelope, Position, TreeSize};
use tally_store::{LogReader, ReadLimit};

use crate::cell::Value;
use crate::database::{self, Found, is_damage};
use crate::error::{FoldError, OpenError, QueryError};
use crate::fold::Folds;
use crate::query::read_error;
use crate::rows::schema;
use crate::schema::{Row, names};

/// The projection's name.
pub const NAME: &str = "sql";

/// The projection's version: tables of another one are made anew.
pub const VERSION: u32 = 1;

/// How much is folded in one transaction.
const BATCH: ReadLimit = ReadLimit { events: 4_096, bytes: 4 << 20 };

/// Where tables are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whence {
    /// In a file.
    File(PathBuf),
    /// Nowhere.
    Memory,
}

/// How the tables were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// With what was folded before.
    Kept,
    /// Not at all: they are empty.
    Made,
    /// Unfit, and thrown away: they are empty. Why.
    Remade(String),
}

/// The tables of one log.
///
/// Rows and cursor move in one transaction, so that a process that is killed leaves the tables as
/// they were after some number of events. Several processes may have them open; who folds waits for
/// who folds.
pub struct Tables {
    pub(crate) connection: Connection,
    whence: Whence,
    origin: Origin,
    folds: Folds,
    /// Whether a look at all pages found them whole since they were opened.
    checked: bool,
}

impl Tables {
    /// Opens the tables of the log of this name in a file; makes them when there are none, or none
    /// that can be used.
    ///
    /// # Errors
    /// [`OpenError`] when the file can't be made or written, or is somebody else's.
    pub fn open(path: &Path, origin: &Origin) -> Result<(Self, Opened), OpenError> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(directory) = directory {
            let failed = |cause| OpenError::File { path: directory.to_owned(), cause };
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let (connection, opened) = open_or_remake(path, origin)?;
        let whence = Whence::File(path.to_owned());
        Ok((Self::new(connection, whence, origin), opened))
    }

    /// Empty tables that nobody keeps.
    pub fn in_memory(origin: &Origin) -> Self {
        Self::new(database::in_memory(origin), Whence::Memory, origin)
    }

    fn new(connection: Connection, whence: Whence, origin: &Origin) -> Self {
        let folds = Folds::new(origin.clone());
        Self { connection, whence, origin: origin.clone(), folds, checked: false }
    }

    /// Where they are kept.
    pub fn whence(&self) -> &Whence {
        &self.whence
    }

    /// How far the rows are: the position of the first event that is not in them.
    ///
    /// # Errors
    /// [`FoldError::Damaged`] or [`FoldError::Write`] when the file can't be read.
    pub fn cursor(&self) -> Result<Position, FoldError> {
        Ok(database::cursor(&self.connection).map_err(write_error)?.0)
    }

    /// The position of the event that [`Tables::fold`] takes next. After an opening that is the
    /// first of the log, whatever the cursor: the state of the rules is not kept, and is folded
    /// again from the events before the cursor, whose rows are there already.
    pub fn next(&self) -> Position {
        self.folds.next()
    }

    /// What can stop a statement from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.connection.get_interrupt_handle())
    }

    /// The number of events that there were at a moment, of those in the tables.
    ///
    /// # Errors
    /// [`QueryError::Damaged`] or [`QueryError::Read`] when the file can't be read.
    pub fn size_as_of(&self, as_of: AsOf) -> Result<TreeSize, QueryError> {
        let sql = "SELECT coalesce(max(position) + 1, 0) FROM events WHERE recorded_at <= ?1";
        match as_of {
            AsOf::Size(size) => Ok(size),
            AsOf::Time(time) => {
                let size = self.connection.query_row(sql, [time.0], |row| row.get(0));
                size.map(TreeSize::new).map_err(|error| read_error(error, sql))
            }
        }
    }

    /// Folds the events from [`Tables::next`] on, in log order. Their rows, unless they are there,
    /// and the cursor are kept in one transaction.
    ///
    /// # Errors
    /// [`FoldError`]; nothing of these events is kept then, and the next event that is taken is the
    /// first of the log.
    pub fn fold(&mut self, events: &[(Event, ParsedEnvelope)]) -> Result<(), FoldError> {
        let folded = self.fold_all(events);
        if folded.is_err() {
            self.folds = Folds::new(self.origin.clone());
        }
        folded
    }

    fn fold_all(&mut self, events: &[(Event, ParsedEnvelope)]) -> Result<(), FoldError> {
        let Some((last, _)) = events.last() else { return Ok(()) };
        // Behind the cursor there is nothing to write, and nobody to wait for.
        if last.position() < self.cursor()? {
            return events.iter().try_for_each(|(event, parsed)| self.folds.pass(event, parsed));
        }
        self.check_pages()?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(write_error)?;
        let kept = self
            .keep(events)
            .and_then(|()| self.connection.execute_batch("COMMIT").map_err(write_error));
        if kept.is_err() && !self.connection.is_autocommit() {
            // What fails here is told by the first failure.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        kept
    }

    /// A large file is looked at once before it grows.
    fn check_pages(&mut self) -> Result<(), FoldError> {
        if !self.checked
            && let Some(damage) = database::damage(&self.connection).map_err(write_error)?
        {
            return Err(FoldError::Pages(damage));
        }
        self.checked = true;
        Ok(())
    }

    fn keep(&mut self, events: &[(Event, ParsedEnvelope)]) -> Result<(), FoldError> {
        // Another process may have come further since.
        let (cursor, _) = database::cursor(&self.connection).map_err(write_error)?;
        let mut writer = Writer::new(&self.connection).map_err(write_error)?;
        for (event, parsed) in events {
            if event.position() < cursor {
                self.folds.pass(event, parsed)?;
                continue;
            }
            for row in self.folds.rows(event, parsed)? {
                writer.write(event.position(), &row).map_err(write_error)?;
            }
        }
        let (last, _) = events.last().expect("there are events");
        if last.position() >= cursor {
            let at = (last.position().next().0, last.chain().to_string());
            let sql = "UPDATE projection SET cursor = ?1, chain = ?2";
            self.connection.execute(sql, at).map_err(write_error)?;
        }
        Ok(())
    }

    /// Folds the log up to its end. Tables that are damaged, or that hold what the log does not, are
    /// made anew: the answer says why. `progress` is told where the fold is.
    ///
    /// # Errors
    /// [`FoldError`]; the tables are then as they were after some number of events.
    pub fn catch_up(
        &mut self,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Position),
    ) -> Result<Option<String>, FoldError> {
        let why = match self.follow(log, progress) {
            Ok(()) => return Ok(None),
            Err(FoldError::Damaged(error)) => error.to_string(),
            Err(FoldError::Pages(damage)) => damage,
            Err(FoldError::Strays(why)) => why.to_owned(),
            Err(error) => return Err(error),
        };
        self.remake()?;
        self.follow(log, progress)?;
        Ok(Some(why))
    }

    fn follow(
        &mut self,
        log: &dyn LogReader,
        progress: &mut dyn FnMut(Position),
    ) -> Result<(), FoldError> {
        let end = Position::at_tip(log.tip().size);
        let (cursor, chain) = database::cursor(&self.connection).map_err(write_error)?;
        if cursor > end {
            return Err(FoldError::Strays("they are ahead of the log"));
        }
        if cursor > Position(0) && Some(log.event(Position(cursor.0 - 1))?.chain()) != chain {
            return Err(FoldError::Strays("they are of another history"));
        }
        if cursor == end {
            return Ok(());
        }
        while self.next() < end {
            let events = log.read(self.next(), BATCH)?;
            let parsed: Result<Vec<_>, _> = events.into_iter().map(parse).collect();
            self.fold(&parsed?)?;
            progress(self.next());
        }
        Ok(())
    }

    /// Throws all rows away.
    ///
    /// # Errors
    /// [`OpenError`] when the file can't be made.
    pub fn remake(&mut self) -> Result<(), OpenError> {
        // The old file is closed before it goes.
        self.connection = database::in_memory(&self.origin);
        if let Whence::File(path) = &self.whence {
            database::remove(path)?;
            self.connection = open_or_remake(path, &self.origin)?.0;
        }
        self.folds = Folds::new(self.origin.clone());
        self.checked = false;
        Ok(())
    }
}

fn open_or_remake(path: &Path, origin: &Origin) -> Result<(Connection, Opened), OpenError> {
    match database::open(path, origin)? {
        Found::Whole(connection) => Ok((connection, Opened::Kept)),
        Found::Empty(connection) => Ok((connection, Opened::Made)),
        Found::Unfit(why) => {
            database::remove(path)?;
            match database::open(path, origin)? {
                Found::Whole(connection) | Found::Empty(connection) => {
                    Ok((connection, Opened::Remade(why)))
                }
                Found::Unfit(why) => {
                    let cause = std::io::Error::other(why);
                    Err(OpenError::File { path: path.to_owned(), cause })
                }
            }
        }
    }
}

fn parse(event: Event) -> Result<(Event, ParsedEnvelope), FoldError> {
    let position = event.position();
    let parsed = event.signed().parse();
    parsed.map(|parsed| (event, parsed)).map_err(|cause| FoldError::Malformed { position, cause })
}

pub(crate) fn write_error(error: Error) -> FoldError {
    // Rows that are there although they come after the cursor were not written by a fold.
    let collides = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
    if collides || is_damage(&error) { FoldError::Damaged(error) } else { FoldError::Write(error) }
}

/// Stops a statement of these tables from another thread.
pub struct Interrupter(InterruptHandle);

impl Interrupter {
    /// Stops the statement that runs, if one does.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

/// Keeps rows: one statement for each table, and one that ends the version before.
struct Writer<'c> {
    statements: HashMap<&'static str, (Statement<'c>, Option<Statement<'c>>)>,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection) -> Result<Self, Error> {
        let mut statements = HashMap::new();
        for table in schema() {
            let (stored, columns) = (table.stored(), table.stored_columns());
            let kept = columns.len() - usize::from(table.versioned);
            let marks = vec!["?"; kept].join(", ");
            let insert =
                format!("INSERT INTO {stored} ({}) VALUES ({marks})", names(&columns[..kept]));
            let key = table.key.iter().map(|column| format!("{column} = ?"));
            let key = key.collect::<Vec<_>>().join(" AND ");
            let end =
                format!("UPDATE {stored} SET to_position = ? WHERE {key} AND to_position IS NULL");
            let end = table.versioned.then(|| connection.prepare(&end)).transpose()?;
            statements.insert(table.name, (connection.prepare(&insert)?, end));
        }
        Ok(Self { statements })
    }

    fn write(&mut self, at: Position, row: &Row<'_>) -> Result<(), Error> {
        let at = Value::Integer(i64::try_from(at.0).expect("a log is shorter than that"));
        let found = self.statements.get_mut(row.table.name);
        let (insert, end) = found.expect("every table has its statements");
        let Some(end) = end else {
            insert.execute(params_from_iter(&row.values))?;
            return Ok(());
        };
        end.execute(params_from_iter([&at].into_iter().chain(row.key())))?;
        insert.execute(params_from_iter(row.values.iter().chain([&at])))?;
        Ok(())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}
