//! The file: opened, made, known again, thrown away. It does not know what rows mean.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, Error, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction,
    TransactionBehavior,
};
use sha2::{Digest as _, Sha256};
use tally_protocol::{ChainHash, Origin, Position};

use crate::error::OpenError;
use crate::rows::schema;
use crate::tables::{NAME, VERSION};

/// In the header of every file that is ours: "tasq".
const APPLICATION_ID: u32 = 0x7461_7371;

/// Where the header has it, big-endian.
const APPLICATION_ID_OFFSET: usize = 68;

/// Longest wait for another process that folds.
const BUSY: Duration = Duration::from_secs(60);

/// Up to this size every opening looks at all pages; a larger file is looked at before it grows.
const CHECKED_AT_OPEN_BYTES: u64 = 64 * 1024 * 1024;

/// Pages that are kept in memory, in KiB.
const CACHE_KIB: u32 = 64 * 1024;

/// What the file says of itself.
struct Head {
    name: String,
    version: u32,
    schema: String,
    origin: String,
}

/// What an opening came to.
pub(crate) enum Found {
    /// It holds tables of this log.
    Whole(Connection),
    /// It did not hold any.
    Empty(Connection),
    /// It can't be used: why.
    Unfit(String),
}

/// Opens or makes the file.
pub(crate) fn open(path: &Path, origin: &Origin) -> Result<Found, OpenError> {
    check_ours(path)?;
    match open_checked(path, origin) {
        Ok(found) => Ok(found),
        Err(error) if is_damage(&error) => Ok(Found::Unfit(format!("it is damaged: {error}"))),
        Err(cause) => Err(OpenError::Engine { path: path.to_owned(), cause }),
    }
}

fn open_checked(path: &Path, origin: &Origin) -> Result<Found, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
    if is_empty(&connection)? {
        // Before there is a journal: in it the mark would be unseen until it is written back.
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    if make(&connection, origin)? {
        return Ok(Found::Empty(connection));
    }
    if let Some(why) = other(&connection, origin)? {
        return Ok(Found::Unfit(why));
    }
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size <= CHECKED_AT_OPEN_BYTES
        && let Some(damage) = damage(&connection)?
    {
        return Ok(Found::Unfit(format!("it is damaged: {damage}")));
    }
    Ok(Found::Whole(connection))
}

/// Tables that nobody keeps.
pub(crate) fn in_memory(origin: &Origin) -> Connection {
    let make_all = || {
        let connection = Connection::open_in_memory()?;
        settle(&connection)?;
        make(&connection, origin)?;
        Ok::<_, Error>(connection)
    };
    make_all().expect("memory takes tables")
}

fn settle(connection: &Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", "off")?;
    Ok(())
}

fn is_empty(connection: &Connection) -> Result<bool, Error> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Makes the tables in an empty file; whether it was one.
fn make(connection: &Connection, origin: &Origin) -> Result<bool, Error> {
    if !is_empty(connection)? {
        return Ok(false);
    }
    // Another process may be making them.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if !is_empty(connection)? {
        return Ok(false);
    }
    connection.execute_batch(
        "CREATE TABLE projection (name TEXT, version INTEGER, schema TEXT, origin TEXT, \
         cursor INTEGER, chain TEXT) STRICT;
         CREATE TABLE materialized (name TEXT PRIMARY KEY, incremental INTEGER, sql TEXT, \
         as_of INTEGER, error TEXT) STRICT;",
    )?;
    for table in schema() {
        connection.execute_batch(&table.ddl())?;
    }
    let chain = ChainHash::genesis(origin).to_string();
    connection.execute(
        "INSERT INTO projection VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        (NAME, VERSION, schema_digest(), origin.as_str(), chain),
    )?;
    transaction.commit()?;
    Ok(true)
}

/// Why the tables in it are not those of this program and log, if they are not.
fn other(connection: &Connection, origin: &Origin) -> Result<Option<String>, Error> {
    let read = |row: &Row<'_>| {
        let (name, version, schema) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Head { name, version, schema, origin: row.get(3)? })
    };
    let sql = "SELECT name, version, schema, origin FROM projection";
    let head = match connection.query_row(sql, [], read).optional() {
        Ok(head) => head,
        Err(error) if is_damage(&error) => return Err(error),
        Err(error) => return Ok(Some(format!("it says nothing of itself: {error}"))),
    };
    Ok(match head {
        None => Some("it says nothing of itself".into()),
        Some(head) if head.name != NAME || head.version != VERSION => Some(format!(
            "it is {}@{}, this program keeps {NAME}@{VERSION}",
            head.name, head.version
        )),
        Some(head) if head.schema != schema_digest() => Some("its tables are others".into()),
        Some(head) if head.origin != origin.as_str() => {
            Some(format!("it is of {}, the log is {origin}", head.origin))
        }
        Some(_) => None,
    })
}

/// A change of a column makes other tables, even if somebody forgot to count the version up.
fn schema_digest() -> String {
    let ddl: String = schema().map(super::schema::Table::ddl).collect();
    hex::encode(Sha256::digest(ddl))
}

/// What a look at all pages finds.
pub(crate) fn damage(connection: &Connection) -> Result<Option<String>, Error> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

/// How far the rows are, and the link of the log's chain there.
pub(crate) fn cursor(connection: &Connection) -> Result<(Position, Option<ChainHash>), Error> {
    connection.query_row("SELECT cursor, chain FROM projection", [], |row| {
        let (cursor, chain): (u64, String) = (row.get(0)?, row.get(1)?);
        Ok((Position(cursor), chain.parse().ok()))
    })
}

/// Whether an error says that the file is not what was written.
pub(crate) fn is_damage(error: &Error) -> bool {
    let damaged = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    );
    // A value of a type that no row of ours has.
    damaged || matches!(error, Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..))
}

/// A file of somebody else is never thrown away.
fn check_ours(path: &Path) -> Result<(), OpenError> {
    let mut header = Vec::new();
    let failed = |cause: io::Error| OpenError::File { path: path.to_owned(), cause };
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) => drop(file.take(100).read_to_end(&mut header).map_err(failed)?),
    }
    let at = APPLICATION_ID_OFFSET;
    let is_marked = header.get(at..at + 4).is_some_and(|id| id == APPLICATION_ID.to_be_bytes());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // By its name it is ours even when the header is damaged.
    let is_named = name.starts_with(NAME) && name.ends_with(".sqlite");
    // A maker that was killed may leave an empty one.
    if header.is_empty() || is_marked || is_named {
        return Ok(());
    }
    let what = "this is no file of ours, and it is left as it is; name another";
    Err(failed(io::Error::new(ErrorKind::AlreadyExists, what)))
}

/// Throws the file away; who still reads it goes on with what it has open.
pub(crate) fn remove(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(&name)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(OpenError::File { path: name.into(), cause });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
