//! The tables as files that other tools read: Parquet or JSON lines, in parts of the log.
//!
//! ```text
//! OUT/_manifest.json                     schema, tree size, rows and digest of every file
//! OUT/events/part-0000000000-0000065536.parquet
//! OUT/events/part-0000065536-0000070000.parquet     the last part, until it is whole
//! OUT/tasks/part-…
//! ```
//!
//! A part has the rows that the events from its first to before its second number made; of a
//! versioned table, the versions that began there. A whole part never changes, and the same log gives
//! the same bytes. The last part is replaced by a longer one. Files are there whole or not at all,
//! and the manifest names only what is there: it is written between new parts and the end of old
//! ones, so that who goes by it never sees an event twice; who goes by file names may, in that moment.
//!
//! When a version ends is not in the files, since a later event says so: it is where the next
//! version of the same key begins.

mod jsonl;
mod manifest;
mod parquet;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ::parquet::errors::ParquetError;
use rusqlite::{Connection, Error, OptionalExtension};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tally_protocol::{ChainHash, Position};

use crate::cell::Value;
use crate::database;
use crate::error::ExportError;
use crate::query::values;
use crate::rows::schema;
use crate::schema::{Table, names};
use crate::tables::Tables;

pub use manifest::{BadManifest, Encoding, Manifest, PART_EVENTS, Part, PartedTable};

/// The manifest's name.
pub const MANIFEST: &str = "_manifest.json";

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The number of events that the files are as of.
    pub size: u64,
    /// Rows in all files.
    pub rows: u64,
    /// Files that were written.
    pub files_written: u64,
    /// Files that were there.
    pub files_kept: u64,
}

/// Writes what is not there yet.
///
/// `part_events` is the number of events of a whole part, for a new export; an earlier one has its
/// own. `progress` is told how many files are done, and of how many.
///
/// # Errors
/// [`ExportError`]: files can't be written, or something else was exported there. What was whole
/// stays.
pub fn export(
    tables: &Tables,
    out: &Path,
    encoding: Encoding,
    part_events: Option<u64>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    // All files are of one moment, whoever folds meanwhile.
    let transaction = tables.connection.unchecked_transaction().map_err(ExportError::Read)?;
    let (cursor, chain) = database::cursor(&transaction).map_err(ExportError::Read)?;
    let earlier = read_manifest(out)?;
    let mut manifest = Manifest::empty(encoding, origin(&transaction)?, part_events);
    manifest.size = cursor.0;
    manifest.chain = chain.unwrap_or(ChainHash([0; 32])).to_string();
    if let Some(earlier) = &earlier {
        manifest.part_events = earlier.part_events;
        check_earlier(&transaction, earlier, &manifest, cursor)
            .map_err(|what| ExportError::Other { path: out.join(MANIFEST), what })?;
    }
    let mut done = Exported { size: cursor.0, rows: 0, files_written: 0, files_kept: 0 };
    let count = manifest.ranges().count() * manifest.tables.len();
    for (at, table) in schema().enumerate() {
        let known = earlier.as_ref().map_or(&[][..], |earlier| &earlier.tables[at].parts);
        for (from, to) in manifest.ranges().collect::<Vec<_>>() {
            let kept = known.iter().find(|part| part.from == from && part.to == to);
            let part = match kept.filter(|part| is_there(out, part)) {
                Some(part) => {
                    done.files_kept += 1;
                    part.clone()
                }
                None => {
                    done.files_written += 1;
                    write_part(&transaction, out, table, encoding, (from, to))?
                }
            };
            done.rows += part.rows;
            manifest.tables[at].parts.push(part);
            progress(done.files_written + done.files_kept, count as u64);
        }
    }
    write_whole(&out.join(MANIFEST), manifest.to_json().as_bytes())?;
    remove_replaced(out, earlier.as_ref(), &manifest)?;
    Ok(done)
}

fn origin(connection: &Connection) -> Result<String, ExportError> {
    let origin = connection.query_row("SELECT origin FROM projection", [], |row| row.get(0));
    origin.map_err(ExportError::Read)
}

/// What was exported there is the beginning of this log, as the same tables.
fn check_earlier(
    connection: &Connection,
    earlier: &Manifest,
    now: &Manifest,
    cursor: Position,
) -> Result<(), String> {
    if earlier.encoding != now.encoding || !earlier.has_tables_of(now) {
        return Err("other tables were exported there; choose another place".into());
    }
    if earlier.origin != now.origin {
        return Err(format!("this is of {}; choose another place", earlier.origin));
    }
    if earlier.size > cursor.0 {
        let Manifest { size, .. } = earlier;
        return Err(format!("{size} events were exported, and the log has {cursor}"));
    }
    let Some(last) = earlier.size.checked_sub(1) else { return Ok(()) };
    let sql = "SELECT chain FROM events WHERE position = ?1";
    let chain: Result<Option<String>, Error> =
        connection.query_row(sql, [last], |row| row.get(0)).optional();
    match chain {
        Ok(Some(chain)) if chain == earlier.chain => Ok(()),
        Ok(_) => Err("another history was exported there; keep both, and compare them".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn read_manifest(out: &Path) -> Result<Option<Manifest>, ExportError> {
    let path = out.join(MANIFEST);
    let failed = |cause| ExportError::File { path: path.clone(), cause };
    let mut text = String::new();
    match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(file) => {
            let most = manifest::MOST_BYTES as u64 + 1;
            file.take(most).read_to_string(&mut text).map_err(failed)?
        }
    };
    let parsed = Manifest::parse(&text);
    let other = |error: BadManifest| ExportError::Other { path, what: error.to_string() };
    parsed.map(Some).map_err(other)
}

/// Whether a part is in its place, as long as it was. What is in it is for `sha256sum` to tell.
fn is_there(out: &Path, part: &Part) -> bool {
    fs::metadata(out.join(&part.file)).is_ok_and(|found| found.len() == part.bytes)
}

/// What writes the rows of one part.
trait PartWriter {
    fn row(&mut self, values: Vec<Value>) -> Result<(), ParquetError>;
    fn finish(self: Box<Self>) -> Result<(), ParquetError>;
}

fn write_part(
    connection: &Connection,
    out: &Path,
    table: &Table,
    encoding: Encoding,
    (from, to): (u64, u64),
) -> Result<Part, ExportError> {
    let file = manifest::part_file(table.name, encoding, from, to);
    let path = out.join(&file);
    let directory = path.parent().expect("a file in a directory");
    let failed = |cause| ExportError::File { path: path.clone(), cause };
    fs::create_dir_all(directory).map_err(failed)?;
    let mut temporary = temporary(directory).map_err(failed)?;
    let mut sink = Counted { inner: temporary.as_file_mut(), bytes: 0, digest: Sha256::new() };
    let columns = table.exported_columns();
    let encoder = |cause| ExportError::Parquet { path: path.clone(), cause };
    let mut writer: Box<dyn PartWriter + '_> = match encoding {
        Encoding::Parquet => {
            Box::new(parquet::Writer::new(&mut sink, table.name, &columns).map_err(encoder)?)
        }
        Encoding::Jsonl => Box::new(jsonl::Writer::new(&mut sink, &columns)),
    };
    let mut rows = 0;
    let (begins, stored) = (table.begins(), table.stored());
    let sql = format!(
        "SELECT {} FROM {stored} WHERE {begins} >= ?1 AND {begins} < ?2 ORDER BY {begins}, rowid",
        names(&columns)
    );
    let mut statement = connection.prepare(&sql).map_err(ExportError::Read)?;
    let mut found = statement.query([from, to]).map_err(ExportError::Read)?;
    while let Some(row) = found.next().map_err(ExportError::Read)? {
        writer.row(values(row, columns.len()).map_err(ExportError::Read)?).map_err(encoder)?;
        rows += 1;
    }
    writer.finish().map_err(encoder)?;
    let (bytes, sha256) = (sink.bytes, hex::encode(sink.digest.finalize()));
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(&path).map_err(|error| failed(error.error))?;
    sync_directory(directory).map_err(failed)?;
    Ok(Part { file, from, to, rows, bytes, sha256 })
}

/// Counts and hashes what is written.
struct Counted<'f> {
    inner: &'f mut File,
    bytes: u64,
    digest: Sha256,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Parts that a longer one replaces.
fn remove_replaced(
    out: &Path,
    earlier: Option<&Manifest>,
    now: &Manifest,
) -> Result<(), ExportError> {
    let parts = |manifest: &Manifest| -> Vec<PathBuf> {
        let parts = manifest.tables.iter().flat_map(|table| &table.parts);
        parts.map(|part| out.join(&part.file)).collect()
    };
    let kept = parts(now);
    for path in earlier.map(parts).unwrap_or_default() {
        if !kept.contains(&path) {
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => {
                    return Err(ExportError::File { path, cause });
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Writes a file that is there whole and durable, or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let directory = path.parent().expect("a file in a directory");
    let write = || {
        fs::create_dir_all(directory)?;
        let mut file = temporary(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_directory(directory)
    };
    write().map_err(|cause| ExportError::File { path: path.to_owned(), cause })
}

/// Whoever reads the files may be another user.
fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".part-").permissions(fs::Permissions::from_mode(0o644)).tempfile_in(directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
