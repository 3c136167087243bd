//! Rows that can be rebuilt: an event's position by its envelope's id, and by author and sequence.
//!
//! The only module that knows fjall and bincode. Does not read the log: when rows are missing,
//! damaged, not closed, of another version or ahead of the log they are wiped, and the caller feeds
//! them again from [`Rows::cursor`] on. A row is a hint; the event at its position is the truth.
//!
//! Beside the directory stand `rows.seal` and `rows.lock`. The seal is a digest over all files,
//! made when the rows are closed and removed when they are opened: the engine believes lengths that
//! it reads, so it gets to read only what it wrote.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tally_protocol::{AgentId, AuthorSequence, EnvelopeId, Position};
use tally_tlog::TreeSize;
use thiserror::Error;

use crate::error::{FileError, Step};
use crate::files::{create_dir, open_or_create};
use crate::fs::{DiskFile, RealFs};

/// Version of the rows. Another version on disk is wiped.
pub const ROWS_VERSION: u32 = 1;

/// Bytes of blocks kept in memory.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

const META_KEY: &[u8] = b"meta";

const SEAL_SUFFIX: &str = "seal";
const LOCK_SUFFIX: &str = "lock";

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

/// What opening the rows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsState {
    /// There were none.
    New,
    /// They are whole, up to the cursor.
    Kept,
    /// They are not what was closed.
    WipedDamaged,
    /// The process that had them open did not close them.
    WipedUnclosed,
    /// They are of another version.
    WipedVersion {
        /// Which.
        found: u32,
    },
    /// They are of a longer log.
    WipedAhead {
        /// How far they went.
        cursor: Position,
    },
}

/// What is kept of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its envelope; in a ledger no two events have the same.
    pub envelope: EnvelopeId,
    /// Who signed it.
    pub author: AgentId,
    /// The author's count; no two events of an author have the same.
    pub sequence: AuthorSequence,
    /// Its position.
    pub position: Position,
}

/// The rows of a ledger. Dropping them closes and seals them.
pub struct Rows {
    dir: PathBuf,
    /// Held as long as they are open.
    _lock: Box<dyn DiskFile>,
    /// `None` only while it is opened again, or when that failed.
    engine: RwLock<Option<Engine>>,
    cursor: Mutex<Position>,
}

struct Engine {
    database: Database,
    envelopes: Keyspace,
    authors: Keyspace,
    meta: Keyspace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    version: u32,
    cursor: Position,
}

impl Rows {
    /// Opens the rows in `dir` for a log of `size` events; wipes what cannot be used.
    ///
    /// Reads all their files once, to compare them with the seal.
    ///
    /// # Errors
    ///
    /// [`RowsError`]: open elsewhere, or not even new rows can be made.
    pub fn open(dir: &Path, size: TreeSize) -> Result<(Self, RowsState), RowsError> {
        let lock = lock(dir)?;
        let (engine, cursor, state) = Engine::open(dir, size)?;
        let (engine, cursor) = (RwLock::new(Some(engine)), Mutex::new(cursor));
        Ok((Self { dir: dir.to_owned(), _lock: lock, engine, cursor }, state))
    }

    /// Opens the engine again after [`Rows::index`] failed: an engine that failed once refuses
    /// everything. Then go on from [`Rows::cursor`], which may have gone back.
    ///
    /// # Errors
    ///
    /// [`RowsError`] as from [`Rows::open`]; try again later.
    pub fn reopen(&self, size: TreeSize) -> Result<RowsState, RowsError> {
        let mut place = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the engine's lock.
        *place = None;
        let (engine, cursor, state) = Engine::open(&self.dir, size)?;
        (*place, *at) = (Some(engine), cursor);
        Ok(state)
    }

    /// The position of the first event that has no rows yet.
    pub fn cursor(&self) -> Position {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the rows of events, one each, and the cursor behind them, in one batch.
    ///
    /// Durable against a killed process; after a power loss older rows may be found, which a
    /// rebuild from their cursor completes.
    ///
    /// # Errors
    ///
    /// [`RowsError`]: nothing of the batch is there.
    ///
    /// # Panics
    ///
    /// When the rows do not follow the cursor without a gap.
    pub fn index(&self, rows: &[Row]) -> Result<(), RowsError> {
        let engine = self.engine();
        let engine = engine.as_ref().ok_or(RowsError::Closed)?;
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = *cursor;
        let mut batch = engine.database.batch().durability(Some(PersistMode::Buffer));
        for row in rows {
            assert_eq!(row.position, next, "rows follow the cursor");
            let position = encode(&row.position);
            batch.insert(&engine.envelopes, row.envelope.0, position.as_slice());
            batch.insert(&engine.authors, author_key(&row.author, row.sequence), position);
            next = next.next();
        }
        batch.insert(&engine.meta, META_KEY, encode(&Meta { version: ROWS_VERSION, cursor: next }));
        batch.commit()?;
        *cursor = next;
        Ok(())
    }

    /// Where an envelope is in the log.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn envelope(&self, id: &EnvelopeId) -> Result<Option<Position>, RowsError> {
        look_up(&self.engine().as_ref().ok_or(RowsError::Closed)?.envelopes, &id.0)
    }

    /// Where an author's envelope of this sequence is in the log.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn author(
        &self,
        author: &AgentId,
        sequence: AuthorSequence,
    ) -> Result<Option<Position>, RowsError> {
        let engine = self.engine();
        let engine = engine.as_ref().ok_or(RowsError::Closed)?;
        look_up(&engine.authors, &author_key(author, sequence))
    }

    fn engine(&self) -> RwLockReadGuard<'_, Option<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let engine = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Without a seal they are rebuilt, which is what a failure here comes to.
        if let Some(engine) = engine
            && engine.database.persist(PersistMode::SyncAll).is_ok()
        {
            drop(engine);
            let _unsealed = seal(&self.dir);
        }
    }
}

fn lock(dir: &Path) -> Result<Box<dyn DiskFile>, RowsError> {
    create_dir(dir.parent().unwrap_or(Path::new(".")))?;
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
    File::open(dir.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(Some(digest(dir).is_ok_and(|found| found.as_bytes()[..] == sealed)))
}

/// A digest of the names and contents of all files, in order.
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
            hasher.update(&file.metadata()?.len().to_be_bytes());
            hasher.update_reader(file)?;
        }
    }
    Ok(())
}

impl Engine {
    /// The engine on whole rows, with their cursor; new ones where those there cannot be used.
    fn open(dir: &Path, size: TreeSize) -> Result<(Self, Position, RowsState), RowsError> {
        if !dir.exists() {
            return Ok((Self::create(dir)?, Position(0), RowsState::New));
        }
        let state = match unseal(dir) {
            Ok(None) => RowsState::WipedUnclosed,
            Ok(Some(false)) | Err(_) => RowsState::WipedDamaged,
            Ok(Some(true)) => match Self::open_whole(dir, size) {
                Ok(Ok((engine, cursor))) => return Ok((engine, cursor, RowsState::Kept)),
                Ok(Err(state)) => state,
                Err(RowsError::Locked) => return Err(RowsError::Locked),
                Err(_) => RowsState::WipedDamaged,
            },
        };
        fs::remove_dir_all(dir).map_err(FileError::at(Step::Remove, dir))?;
        Ok((Self::create(dir)?, Position(0), state))
    }

    fn create(dir: &Path) -> Result<Self, RowsError> {
        create_dir(dir)?;
        let engine = Self::start(dir)?;
        engine
            .meta
            .insert(META_KEY, encode(&Meta { version: ROWS_VERSION, cursor: Position(0) }))?;
        Ok(engine)
    }

    /// The rows, or why they cannot be used though they can be read.
    fn open_whole(
        dir: &Path,
        size: TreeSize,
    ) -> Result<Result<(Self, Position), RowsState>, RowsError> {
        let engine = Self::start(dir)?;
        let Some(Meta { version, cursor }) = look_up(&engine.meta, META_KEY)? else {
            return Ok(Err(RowsState::WipedDamaged));
        };
        if version != ROWS_VERSION {
            return Ok(Err(RowsState::WipedVersion { found: version }));
        }
        if cursor.0 > size.as_u64() {
            return Ok(Err(RowsState::WipedAhead { cursor }));
        }
        Ok(Ok((engine, cursor)))
    }

    fn start(dir: &Path) -> Result<Self, RowsError> {
        let database = Database::builder(dir).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let (envelopes, authors) = (keyspace("envelopes")?, keyspace("authors")?);
        let meta = keyspace("meta")?;
        Ok(Self { database, envelopes, authors, meta })
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

/// Author and sequence, so that an author's rows stand in order.
fn author_key(author: &AgentId, sequence: AuthorSequence) -> Vec<u8> {
    [&author.as_bytes()[..], &sequence.0.to_be_bytes()].concat()
}

fn look_up<T: DeserializeOwned>(keyspace: &Keyspace, key: &[u8]) -> Result<Option<T>, RowsError> {
    let Some(value) = keyspace.get(key)? else { return Ok(None) };
    let (value, _) = bincode::serde::decode_from_slice(&value, bincode::config::standard())
        .map_err(|error| RowsError::Value(Box::new(error)))?;
    Ok(Some(value))
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("numbers have an encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_these_bytes() {
        assert_eq!(encode(&Position(5)), [5]);
        assert_eq!(encode(&Meta { version: 1, cursor: Position(300) }), [1, 251, 44, 1]);
    }

    #[test]
    fn rows_of_another_version_are_wiped() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let (rows, _) = Rows::open(&dir, TreeSize::ZERO).expect("create");
        let meta = encode(&Meta { version: 7, cursor: Position(0) });
        rows.engine().as_ref().expect("open").meta.insert(META_KEY, meta).expect("insert");
        drop(rows);
        let (rows, state) = Rows::open(&dir, TreeSize::ZERO).expect("open");
        assert_eq!(state, RowsState::WipedVersion { found: 7 });
        assert_eq!(rows.cursor(), Position(0));
    }

    #[test]
    fn rows_opened_again_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("rows");
        let (rows, _) = Rows::open(&dir, TreeSize::ZERO).expect("create");
        let author = tally_protocol::AgentKey::from_seed(&[1; 32]).agent();
        let row = |n: u64| Row {
            envelope: EnvelopeId([n as u8; 32]),
            author,
            sequence: AuthorSequence(n),
            position: Position(n),
        };
        rows.index(&[row(0)]).expect("index");
        // What was open was not closed.
        assert_eq!(rows.reopen(TreeSize::new(1)).expect("opens"), RowsState::WipedUnclosed);
        assert!(matches!(Rows::open(&dir, TreeSize::ZERO), Err(RowsError::Locked)));
        rows.index(&[row(0), row(1)]).expect("index");
        for n in 0..2 {
            let found = rows.author(&author, AuthorSequence(n)).expect("look up");
            assert_eq!(found, Some(Position(n)));
        }
    }
}
