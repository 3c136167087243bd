//! Rows: what a projection keeps, and how far it has folded the log.
//!
//! A key has a value, both bytes; the cursor behind the last folded event moves together with
//! the rows, and so do the events that could not be folded. Rows are a hint that a rebuild can
//! replace; the event at its position is the truth. This module does not know what rows mean.
//!
//! What is committed stands in memory, for everyone to read, until it is worth a table: rows, cursor
//! and quarantine are then written sorted, all or none of them, past the engine's own memory and journal.
//! A killed process loses what was not written: its next start folds that tail again, at most
//! [`MEMTABLE_EVENTS`] events (or one commit), and [`MEMTABLE_BYTES`] bytes of rows with one commit.
//!
//! | key in the engine | value |
//! |---|---|
//! | `m` | whose rows they are, and their cursor |
//! | `q` position | an event that could not be folded |
//! | `r` key | a row |
//!
//! Rows that cannot be used are wiped when they are opened: damaged, of another fold, or ahead of
//! the log. The caller feeds them again from [`Rows::cursor`] on.
//!
//! Beside the directory stand `<dir>.seal`, `<dir>.lock` and, while it is looked at, `<dir>.trial`.
//! The seal is a digest over all files, made when the rows are closed and removed when they are
//! opened: the engine believes lengths that it reads, so it gets to read only what it wrote. Rows
//! without a seal were left by a process that was killed: the engine opens them on trial. If it takes
//! the process down with it, the next start finds the trial unfinished and wipes them.
//!
//! A start costs the same for any number of rows: of the engine's tables, which it never changes once
//! they are written, seal and engine look at the two ends only, where what is believed stands. The
//! blocks between have checksums, which the engine compares whenever it reads them. A block that does
//! not have its own fails the read, and leaves a trial unfinished: the next start wipes the rows. An
//! engine that failed is opened again only on rows that have been read whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{
    Database, Guard, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable, Snapshot,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tally_protocol::{Digest, Position};
use tally_tlog::TreeSize;
use thiserror::Error;

use crate::error::{FileError, Step};
use crate::files::{create_dir, open_or_create};
use crate::fs::{DiskFile, RealFs};
use crate::memtable::Memtable;

/// Version of how rows are kept. Another version on disk is wiped.
pub const ROWS_VERSION: u32 = 3;

/// Most bytes of a key.
pub const MAX_KEY_BYTES: usize = 1024;

/// Most bytes of a value.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Bytes of blocks kept in memory.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of rows in memory, by estimate, that are written as a table.
pub const MEMTABLE_BYTES: usize = 48 * 1024 * 1024;

/// Events behind which rows in memory are written as a table, however few these are.
pub const MEMTABLE_EVENTS: u64 = 65_536;

/// The engine's directory of what it writes once.
const TABLES_DIR: &str = "tables";

/// Bytes of each end of a table that a seal is over.
const TABLE_END_BYTES: u64 = 64 * 1024;

/// What the engine's keys begin with, in order.
const META: u8 = b'm';
const QUARANTINE: u8 = b'q';
const ROW: u8 = b'r';

const SEAL_SUFFIX: &str = "seal";
const LOCK_SUFFIX: &str = "lock";
const TRIAL_SUFFIX: &str = "trial";

/// Why rows cannot be used.
#[derive(Debug, Error)]
pub enum RowsError {
    /// The engine failed and could not be opened again.
    #[error("the rows' engine failed and is not open; make room on the disk or start again")]
    Closed,
    /// Another process has them open.
    #[error("the rows are open in another process; stop it")]
    Locked,
    /// The engine failed.
    #[error("the rows' engine failed; remove the rows' directory to rebuild them")]
    Engine(#[source] Box<fjall::Error>),
    /// A value is not what was written.
    #[error("a row is damaged; remove the rows' directory to rebuild them")]
    Value(#[source] Box<bincode::error::DecodeError>),
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<fjall::Error> for RowsError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => RowsError::Locked,
            error => RowsError::Engine(Box::new(error)),
        }
    }
}

/// Whose rows they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsId {
    /// The projection's name.
    pub name: String,
    /// Version of its fold.
    pub version: u32,
    /// The first event that it folds.
    pub start: Position,
}

/// What opening the rows did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsState {
    /// There were none.
    New,
    /// They are whole, up to the cursor.
    Kept,
    /// The process that had them open was killed; they are whole all the same.
    KeptUnclosed,
    /// They are not what was written.
    WipedDamaged,
    /// They are of another fold, or kept in another way.
    WipedOther {
        /// Whose, where that can be read.
        found: Option<RowsId>,
    },
    /// They are of a longer log.
    WipedAhead {
        /// How far they went.
        cursor: Position,
    },
}

/// A change of one row: its key, and its value, or nothing where it is removed.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// An event that could not be folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Where it stands.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// The rows of a projection. Dropping them closes and seals them.
pub struct Rows {
    id: RowsId,
    dir: PathBuf,
    /// Held as long as they are open.
    lock: Mutex<Option<Box<dyn DiskFile>>>,
    /// `None` only while it is opened again, or when that failed.
    engine: RwLock<Option<Engine>>,
    /// What is not in the engine yet. Whoever holds both takes `engine` first.
    memtable: RwLock<Memtable>,
    /// Held by the one who writes.
    writing: Mutex<()>,
}

/// How closely rows are looked at before they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The engine opens them.
    Start,
    /// All of them are read too.
    Whole,
}

pub(crate) struct Engine {
    pub(crate) database: Database,
    rows: Keyspace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    version: u32,
    id: RowsId,
    cursor: Position,
}

impl Rows {
    /// Opens the rows in `dir` for a log of `size` events; wipes what cannot be used.
    ///
    /// Reads the engine's journals and the ends of its tables, to compare them with the seal.
    ///
    /// # Errors
    ///
    /// [`RowsError`]: open elsewhere, or not even new rows can be made.
    pub fn open(dir: &Path, id: RowsId, size: TreeSize) -> Result<(Self, RowsState), RowsError> {
        let lock = Mutex::new(Some(lock(dir)?));
        let (engine, cursor, state) = Engine::open(dir, &id, size, Look::Start)?;
        let (engine, memtable) = (RwLock::new(Some(engine)), RwLock::new(Memtable::new(cursor)));
        let (dir, writing) = (dir.to_owned(), Mutex::default());
        Ok((Self { id, dir, lock, engine, memtable, writing }, state))
    }

    /// Opens the engine again after [`Rows::commit`] failed: an engine that failed once refuses
    /// everything. Reads all rows, since nobody knows why it failed. What is in memory only stays, as
    /// far as it continues them. Then go on from [`Rows::cursor`], which may have gone back.
    ///
    /// # Errors
    ///
    /// [`RowsError`] as from [`Rows::open`]; try again later.
    pub fn reopen(&self, size: TreeSize) -> Result<RowsState, RowsError> {
        let _writing = self.writing();
        let mut place = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let mut memtable = self.memtable.write().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the engine's lock.
        *place = None;
        let (engine, cursor, state) = Engine::open(&self.dir, &self.id, size, Look::Whole)?;
        *place = Some(engine);
        if memtable.written() != cursor {
            *memtable = Memtable::new(cursor);
        }
        Ok(state)
    }

    /// Whose rows they are.
    pub fn id(&self) -> &RowsId {
        &self.id
    }

    /// The position of the first event that is not folded yet.
    pub fn cursor(&self) -> Position {
        self.memtable().cursor()
    }

    /// Takes in changes, events that could not be folded, and the cursor behind all of it. Everyone
    /// reads them when it returns. They are written, sorted, with what was taken in before, once that is
    /// worth a table: [`MEMTABLE_BYTES`], [`MEMTABLE_EVENTS`].
    ///
    /// # Errors
    ///
    /// [`RowsError`]: what was taken in before could not be written, and nothing of this is there.
    ///
    /// # Panics
    ///
    /// When the cursor would go back.
    pub fn commit(
        &self,
        next: Position,
        changes: impl IntoIterator<Item = Change>,
        quarantined: &[Quarantined],
    ) -> Result<(), RowsError> {
        let _writing = self.writing();
        if self.engine().is_none() {
            return Err(RowsError::Closed);
        }
        if self.memtable().is_full_before(next) {
            self.write_table()?;
        }
        let mut memtable = self.memtable.write().unwrap_or_else(PoisonError::into_inner);
        memtable.take_in(next, changes, quarantined);
        Ok(())
    }

    /// Writes what is in memory only: durable when it returns.
    ///
    /// # Errors
    ///
    /// [`RowsError`]: as [`Rows::commit`].
    pub fn flush(&self) -> Result<(), RowsError> {
        let _writing = self.writing();
        self.write_table()
    }

    /// For whoever is the one that writes. Others read on meanwhile: in memory, until it is in the
    /// table too.
    fn write_table(&self) -> Result<(), RowsError> {
        if self.memtable().is_empty() {
            return Ok(());
        }
        let engine = self.engine();
        let engine = engine.as_ref().ok_or(RowsError::Closed)?;
        let cursor = {
            let memtable = self.memtable();
            let meta = Meta::new(&self.id, memtable.cursor());
            engine.ingest(Some(&meta), memtable.quarantined(), memtable.sorted())?;
            meta.cursor
        };
        self.memtable.write().unwrap_or_else(PoisonError::into_inner).clear(cursor);
        Ok(())
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        let engine = self.engine();
        let engine = engine.as_ref().ok_or(RowsError::Closed)?;
        if let Some(value) = self.memtable().get(key) {
            return Ok(value.map(<[u8]>::to_vec));
        }
        let found = engine.rows.get(engine_key(ROW, key)).map_err(|error| met(&self.dir, error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// The value of a key, as what it was written from.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn value<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, RowsError> {
        self.get(key)?.map(|bytes| from_bytes(&bytes)).transpose()
    }

    /// Hands out all rows whose key begins with `prefix`, by key, as they are now: what is committed
    /// in the meantime is not among them.
    ///
    /// # Errors
    ///
    /// [`RowsError`], and what `each` fails with.
    pub fn scan<E: From<RowsError>>(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (found, fresh) = {
            let engine = self.engine();
            let engine = engine.as_ref().ok_or(RowsError::Closed)?;
            // Held until both are had: what leaves memory is in the engine by then.
            let memtable = self.memtable();
            (engine.rows.prefix(engine_key(ROW, prefix)), memtable.scan(prefix))
        };
        let mut fresh = fresh.into_iter().peekable();
        for row in found {
            let (key, value) = row.into_inner().map_err(|error| met(&self.dir, error))?;
            let key = &key[1..];
            while let Some((known, change)) = fresh.next_if(|(known, _)| known.as_slice() < key) {
                change.map_or(Ok(()), |value| each(&known, &value))?;
            }
            match fresh.next_if(|(known, _)| known == key) {
                Some((_, change)) => change.map_or(Ok(()), |value| each(key, &value))?,
                None => each(key, &value)?,
            }
        }
        fresh.try_for_each(|(key, change)| change.map_or(Ok(()), |value| each(&key, &value)))
    }

    /// The events that could not be folded, in log order.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, RowsError> {
        let (found, fresh) = {
            let engine = self.engine();
            let engine = engine.as_ref().ok_or(RowsError::Closed)?;
            let memtable = self.memtable();
            (engine.rows.prefix([QUARANTINE]), memtable.quarantined().to_vec())
        };
        let value = |row: Guard| row.value().map_err(|error| met(&self.dir, error));
        let written = found.map(|row| from_bytes::<Quarantined>(&value(row)?));
        let written = written.collect::<Result<Vec<_>, RowsError>>()?;
        // Some may have been written between the two looks: each position stands there once.
        let last = written.last().map(|event| event.position);
        let later = fresh.into_iter().filter(|event| last.is_none_or(|at| event.position > at));
        Ok(written.into_iter().chain(later).collect())
    }

    /// All rows as they are now: what is committed later is not among them. Writes what is in memory
    /// only.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn snapshot(&self) -> Result<RowsSnapshot, RowsError> {
        let _writing = self.writing();
        self.write_table()?;
        let rows = self.engine().as_ref().ok_or(RowsError::Closed)?.rows.prefix([ROW]);
        Ok(RowsSnapshot { rows, dir: self.dir.clone() })
    }

    /// One number for all rows, and how many there are: [`RowsSnapshot::digest`].
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn digest(&self) -> Result<(Digest, u64), RowsError> {
        self.snapshot()?.digest()
    }

    /// Closes and seals them: what is asked or written afterwards fails.
    pub fn close(&self) {
        // What is not written is folded again.
        let _unwritten = self.flush();
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        // Without a seal they are rebuilt, which is what a failure here comes to.
        if let Some(engine) = engine
            && engine.database.persist(PersistMode::SyncAll).is_ok()
            && !self.dir.with_extension(TRIAL_SUFFIX).exists()
        {
            drop(engine);
            let _unsealed = seal(&self.dir);
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn engine(&self) -> RwLockReadGuard<'_, Option<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memtable(&self) -> RwLockReadGuard<'_, Memtable> {
        self.memtable.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All rows at one moment.
pub struct RowsSnapshot {
    rows: fjall::Iter,
    dir: PathBuf,
}

impl RowsSnapshot {
    /// One number for all rows: BLAKE3-256 over them by key, of each the key and the value, behind
    /// their lengths in eight big-endian bytes. Two folds of the same events give the same. The
    /// second number is how many rows there are.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn digest(self) -> Result<(Digest, u64), RowsError> {
        let (mut hasher, mut count) = (blake3::Hasher::new(), 0);
        for row in self.rows {
            let (key, value) = row.into_inner().map_err(|error| met(&self.dir, error))?;
            for part in [&key[1..], &value] {
                hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
            }
            count += 1;
        }
        Ok((Digest(*hasher.finalize().as_bytes()), count))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.close();
    }
}

/// The directory that this one is in; a bare name is in the present one.
fn above(dir: &Path) -> &Path {
    dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn lock(dir: &Path) -> Result<Box<dyn DiskFile>, RowsError> {
    create_dir(above(dir))?;
    let path = dir.with_extension(LOCK_SUFFIX);
    let file = open_or_create(&RealFs, &path)?;
    match file.try_lock().map_err(FileError::at(Step::Lock, &path))? {
        true => Ok(file),
        false => Err(RowsError::Locked),
    }
}

/// Writes what the files are, durable behind them.
fn seal(dir: &Path) -> io::Result<()> {
    let (path, digest) = (dir.with_extension(SEAL_SUFFIX), digest(dir)?);
    fs::write(&path, digest.as_bytes())?;
    File::open(&path)?.sync_all()
}

/// Whether the files are what was sealed; `None` when nothing was. The seal is broken by this.
fn unseal(dir: &Path) -> io::Result<Option<bool>> {
    let path = dir.with_extension(SEAL_SUFFIX);
    let sealed = match fs::read(&path) {
        Ok(sealed) => sealed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    File::open(above(dir))?.sync_all()?;
    Ok(Some(digest(dir).is_ok_and(|found| found.as_bytes()[..] == sealed)))
}

/// A digest of the names and contents of all files, in order; of long tables, of their ends.
fn digest(dir: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    add_files(dir, &mut hasher)?;
    Ok(hasher.finalize())
}

fn add_files(dir: &Path, hasher: &mut blake3::Hasher) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        hasher.update(&(name.len() as u64).to_be_bytes()).update(name.as_encoded_bytes());
        if kind.is_dir() {
            hasher.update(b"(");
            add_files(&entry.path(), hasher)?;
            hasher.update(b")");
        } else {
            let file = File::open(entry.path())?;
            let bytes = file.metadata()?.len();
            hasher.update(&bytes.to_be_bytes());
            if bytes > 2 * TABLE_END_BYTES && dir.ends_with(TABLES_DIR) {
                add_ends(&file, bytes, hasher)?;
            } else {
                hasher.update_reader(file)?;
            }
        }
    }
    Ok(())
}

fn add_ends(mut file: &File, bytes: u64, hasher: &mut blake3::Hasher) -> io::Result<()> {
    for begin in [0, bytes - TABLE_END_BYTES] {
        file.seek(SeekFrom::Start(begin))?;
        hasher.update_reader(file.take(TABLE_END_BYTES))?;
    }
    Ok(())
}

/// An error of the engine, met when rows were read. Rows that are damaged are not to be opened again.
fn met(dir: &Path, error: fjall::Error) -> RowsError {
    let is_damage = match &error {
        fjall::Error::Storage(LsmError::Io(error)) | fjall::Error::Io(error) => {
            error.kind() == io::ErrorKind::UnexpectedEof
        }
        fjall::Error::Storage(_) | fjall::Error::Decompress(_) => true,
        _ => false,
    };
    if is_damage {
        // If that fails too, whoever reads them next says so again.
        let _unfinished = File::create(dir.with_extension(TRIAL_SUFFIX));
    }
    error.into()
}

/// Looks at rows that were not closed, so that a look that never ends is known of at the next start.
fn on_trial<T>(
    dir: &Path,
    look: impl FnOnce() -> Result<T, RowsError>,
) -> Result<Option<T>, RowsError> {
    let trial = dir.with_extension(TRIAL_SUFFIX);
    if trial.exists() {
        return Ok(None);
    }
    File::create(&trial).map_err(FileError::at(Step::Write, &trial))?;
    look().map(Some)
}

fn end_trial(dir: &Path) -> Result<(), FileError> {
    let trial = dir.with_extension(TRIAL_SUFFIX);
    match fs::remove_file(&trial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::at(Step::Remove, &trial)(error))
        }
        _ => Ok(()),
    }
}

impl Meta {
    fn new(id: &RowsId, cursor: Position) -> Self {
        Self { version: ROWS_VERSION, id: id.clone(), cursor }
    }
}

impl Engine {
    /// The engine on whole rows, with their cursor; new ones where those there cannot be used.
    fn open(
        dir: &Path,
        id: &RowsId,
        size: TreeSize,
        look: Look,
    ) -> Result<(Self, Position, RowsState), RowsError> {
        if !dir.exists() {
            return Ok((Self::create(dir, id)?, id.start, RowsState::New));
        }
        let found = match unseal(dir) {
            Ok(Some(false)) | Err(_) => Err(RowsState::WipedDamaged),
            Ok(Some(true)) => Self::usable(dir, id, size, RowsState::Kept, look)?,
            Ok(None) => {
                let usable = || Self::usable(dir, id, size, RowsState::KeptUnclosed, look);
                on_trial(dir, usable)?.unwrap_or(Err(RowsState::WipedDamaged))
            }
        };
        let opened = match found {
            Ok(opened) => opened,
            Err(state) => {
                fs::remove_dir_all(dir).map_err(FileError::at(Step::Remove, dir))?;
                (Self::create(dir, id)?, id.start, state)
            }
        };
        end_trial(dir)?;
        Ok(opened)
    }

    fn create(dir: &Path, id: &RowsId) -> Result<Self, RowsError> {
        create_dir(dir)?;
        let engine = Self::start(dir)?;
        engine.ingest(Some(&Meta::new(id, id.start)), &[], Vec::<Change>::new())?;
        Ok(engine)
    }

    /// The rows, or why they cannot be used.
    fn usable(
        dir: &Path,
        id: &RowsId,
        size: TreeSize,
        state: RowsState,
        look: Look,
    ) -> Result<Result<(Self, Position, RowsState), RowsState>, RowsError> {
        let read = Self::start(dir).and_then(|engine| {
            if look == Look::Whole {
                engine.read_all()?;
            }
            let meta = engine.rows.get([META])?;
            Ok((engine, meta))
        });
        let (engine, meta) = match read {
            Ok(found) => found,
            Err(RowsError::Locked) => return Err(RowsError::Locked),
            Err(_) => return Ok(Err(RowsState::WipedDamaged)),
        };
        let Some(meta) = meta else { return Ok(Err(RowsState::WipedDamaged)) };
        Ok(match from_bytes::<Meta>(&meta) {
            Ok(meta) if meta.version != ROWS_VERSION || meta.id != *id => {
                Err(RowsState::WipedOther { found: Some(meta.id) })
            }
            // Kept in a way that was another's.
            Err(_) => Err(RowsState::WipedOther { found: None }),
            Ok(meta) if meta.cursor.0 > size.as_u64() => {
                Err(RowsState::WipedAhead { cursor: meta.cursor })
            }
            Ok(meta) => Ok((engine, meta.cursor, state)),
        })
    }

    /// Meets every block with its checksum.
    fn read_all(&self) -> Result<(), RowsError> {
        for row in self.rows.iter() {
            row.into_inner()?;
        }
        Ok(())
    }

    /// Writes all of it, or nothing, past the engine's memory and journal: durable when it returns.
    pub(crate) fn ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        meta: Option<&Meta>,
        quarantined: &[Quarantined],
        changes: impl IntoIterator<Item = (K, Option<V>)>,
    ) -> Result<(), RowsError> {
        let mut ingestion = self.rows.start_ingestion()?;
        if let Some(meta) = meta {
            ingestion.write([META], to_bytes(meta))?;
        }
        for event in quarantined {
            let key = engine_key(QUARANTINE, &event.position.0.to_be_bytes());
            ingestion.write(key, to_bytes(event))?;
        }
        let mut room = Vec::with_capacity(MAX_KEY_BYTES + 1);
        for (key, value) in changes {
            room.clear();
            room.push(ROW);
            room.extend_from_slice(key.as_ref());
            match value {
                Some(value) => ingestion.write(&room[..], value.as_ref())?,
                None => ingestion.write_tombstone(&room[..])?,
            }
        }
        Ok(ingestion.finish()?)
    }

    /// The value of a row as of a moment.
    pub(crate) fn get_at(&self, at: &Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(at.get(&self.rows, engine_key(ROW, key))?.map(|value| value.to_vec()))
    }

    /// The rows of a prefix as of a moment; what is read of each still has the engine's key.
    pub(crate) fn prefix_at(&self, at: &Snapshot, prefix: &[u8]) -> fjall::Iter {
        at.prefix(&self.rows, engine_key(ROW, prefix))
    }

    fn start(dir: &Path) -> Result<Self, RowsError> {
        let database = Database::builder(dir).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        // The two upper levels have a bounded number of tables: their filters and indexes are in one piece
        // each and stay in memory (those that a start finds in the second one, in the engine's cache).
        // Below they grow with the rows, to megabytes a table, and are in parts: in one piece they would
        // be read and let go of for a single row, once all are more than the cache.
        let in_parts = || PartitioningPolicy::new([false, false, true]);
        let at_hand = || PinningPolicy::new([true, true, false]);
        let options = || {
            KeyspaceCreateOptions::default()
                .filter_block_partitioning_policy(in_parts())
                .filter_block_pinning_policy(at_hand())
                .index_block_partitioning_policy(in_parts())
                .index_block_pinning_policy(at_hand())
        };
        let rows = database.keyspace("rows", options)?;
        Ok(Self { database, rows })
    }
}

/// The key under which the engine has something.
fn engine_key(what: u8, key: &[u8]) -> Vec<u8> {
    [&[what][..], key].concat()
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

/// The bytes of a value of a row.
///
/// # Panics
///
/// When the type has no encoding: maps and sequences whose length is not known ahead.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("the type has an encoding")
}

/// What the value of a row was written from.
///
/// # Errors
///
/// [`RowsError::Value`]: the bytes are not those of such a value.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowsError> {
    let limited = bincode::config::standard().with_limit::<MAX_VALUE_BYTES>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, limited)
        .map_err(|error| RowsError::Value(Box::new(error)))?;
    match read == bytes.len() {
        true => Ok(value),
        false => Err(RowsError::Value(Box::new(bincode::error::DecodeError::Other(
            "bytes are left over",
        )))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(version: u32) -> RowsId {
        RowsId { name: "test".into(), version, start: Position(0) }
    }

    #[test]
    fn values_have_these_bytes() {
        assert_eq!(to_bytes(&Position(5)), [5]);
        let meta = Meta::new(&id(1), Position(300));
        assert_eq!(to_bytes(&meta), [3, 4, b't', b'e', b's', b't', 1, 0, 251, 44, 1]);
        assert_eq!(from_bytes::<Meta>(&to_bytes(&meta)).expect("its bytes"), meta);
        assert!(from_bytes::<Position>(&[5, 0]).is_err());
    }

    #[test]
    fn a_bare_name_is_in_the_present_directory() {
        for (dir, expected) in [("rows", "."), ("./rows", "."), ("a/rows", "a"), ("/rows", "/")] {
            assert_eq!(above(Path::new(dir)), Path::new(expected));
        }
    }

    #[test]
    fn rows_of_another_fold_are_wiped() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let (rows, _) = Rows::open(&dir, id(1), TreeSize::ZERO).expect("create");
        rows.commit(Position(0), [(vec![1], Some(vec![2]))], &[]).expect("commit");
        drop(rows);
        let (rows, state) = Rows::open(&dir, id(2), TreeSize::ZERO).expect("open");
        assert_eq!(state, RowsState::WipedOther { found: Some(id(1)) });
        assert_eq!((rows.cursor(), rows.get(&[1]).expect("read")), (Position(0), None));
    }

    #[test]
    fn rows_on_an_unfinished_trial_are_wiped() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let (rows, _) = Rows::open(&dir, id(1), TreeSize::ZERO).expect("create");
        rows.commit(Position(3), [(vec![1], Some(vec![2]))], &[]).expect("commit");
        drop(rows);
        // As if killed while open: kept.
        fs::remove_file(dir.with_extension(SEAL_SUFFIX)).expect("there is one");
        let (rows, state) = Rows::open(&dir, id(1), TreeSize::new(3)).expect("open");
        assert_eq!((state, rows.cursor()), (RowsState::KeptUnclosed, Position(3)));
        drop(rows);
        // As if looking at them had killed the process.
        fs::remove_file(dir.with_extension(SEAL_SUFFIX)).expect("there is one");
        File::create(dir.with_extension(TRIAL_SUFFIX)).expect("create");
        let (rows, state) = Rows::open(&dir, id(1), TreeSize::new(3)).expect("open");
        assert_eq!((state, rows.cursor()), (RowsState::WipedDamaged, Position(0)));
        assert!(!dir.with_extension(TRIAL_SUFFIX).exists());
    }

    #[test]
    fn rows_opened_again_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let (rows, _) = Rows::open(&dir, id(1), TreeSize::ZERO).expect("create");
        rows.commit(Position(1), [(vec![1], Some(vec![2]))], &[]).expect("commit");
        // What was open was not closed.
        assert_eq!(rows.reopen(TreeSize::new(1)).expect("opens"), RowsState::KeptUnclosed);
        assert!(matches!(Rows::open(&dir, id(1), TreeSize::ZERO), Err(RowsError::Locked)));
        rows.commit(Position(2), [(vec![3], Some(vec![4]))], &[]).expect("commit");
        assert_eq!(rows.get(&[1]).expect("read"), Some(vec![2]));
        assert_eq!(rows.cursor(), Position(2));
    }

    /// Rows in a table whose ends are not all of it; gives the table's file.
    fn with_table(dir: &Path) -> PathBuf {
        let (rows, _) = Rows::open(dir, id(1), TreeSize::new(1)).expect("create");
        let value = |n: u32| blake3::hash(&n.to_be_bytes()).as_bytes().repeat(2);
        let changes = (0..20_000_u32).map(|n| (n.to_be_bytes().to_vec(), Some(value(n))));
        rows.commit(Position(1), changes, &[]).expect("commit");
        drop(rows);
        let long = |path: &PathBuf| fs::metadata(path).expect("a file").len() > 4 * TABLE_END_BYTES;
        let in_tables = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with(TABLES_DIR));
        let mut tables = files(dir);
        tables.retain(|path| in_tables(path) && long(path));
        assert_eq!(tables.len(), 1);
        tables.remove(0)
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).expect("list").map(|entry| entry.expect("entry").path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    fn flip(path: &Path, at: u64) {
        let mut bytes = fs::read(path).expect("read");
        bytes[at as usize] ^= 1;
        fs::write(path, bytes).expect("write");
    }

    fn open_and_read(dir: &Path) -> (RowsState, bool) {
        let (rows, state) = Rows::open(dir, id(1), TreeSize::new(1)).expect("open");
        let is_whole = rows.digest().is_ok();
        assert_eq!(is_whole, !dir.with_extension(TRIAL_SUFFIX).exists());
        (state, is_whole)
    }

    #[test]
    fn a_damaged_block_is_met_when_it_is_read_and_wiped_at_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let table = with_table(&dir);
        assert_eq!(open_and_read(&dir), (RowsState::Kept, true));
        let middle = fs::metadata(&table).expect("a file").len() / 2;
        flip(&table, middle);
        assert_eq!(open_and_read(&dir), (RowsState::Kept, false), "no start reads that block");
        assert_eq!(open_and_read(&dir), (RowsState::WipedDamaged, true));
        assert_eq!(open_and_read(&dir), (RowsState::Kept, true));
    }

    #[test]
    fn a_table_is_sealed_at_its_ends() {
        for from_end in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            let dir = dir.path().join("rows");
            let table = with_table(&dir);
            let bytes = fs::metadata(&table).expect("a file").len();
            flip(&table, if from_end { bytes - TABLE_END_BYTES } else { TABLE_END_BYTES - 1 });
            assert_eq!(open_and_read(&dir), (RowsState::WipedDamaged, true));
        }
    }

    #[test]
    fn an_engine_that_failed_is_opened_again_on_whole_rows_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let table = with_table(&dir);
        let (rows, state) = Rows::open(&dir, id(1), TreeSize::new(1)).expect("open");
        assert_eq!(state, RowsState::Kept);
        assert_eq!(rows.reopen(TreeSize::new(1)).expect("opens"), RowsState::KeptUnclosed);
        let middle = fs::metadata(&table).expect("a file").len() / 2;
        flip(&table, middle);
        assert_eq!(rows.reopen(TreeSize::new(1)).expect("opens"), RowsState::WipedDamaged);
    }
}
