//! The witness itself: its checks of a checkpoint, and the durable record of what it cosigned.
//!
//! Knows no HTTP and reads no clock. In its directory:
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the one process that is this witness |
//! | `logs/<origin hash>` | the latest checkpoint of that log that was cosigned, with the cosignature |
//!
//! A record is replaced whole, and is durable before the cosignature is given out. So whoever kills
//! the witness finds the record before or after, and a cosignature that was given out is never
//! forgotten. Removing a record makes the witness forget the log's history: never do it.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use sha2::{Digest, Sha256};
use tally_tlog::{
    CheckpointError, CosignatureError, Cosigner, CosignerKey, NoteSignature, Origin, PosixTime,
    ProofError, SignedCheckpoint, TreeSize, VerifiedCheckpoint, VerifierKey, verify_consistency,
};
use thiserror::Error;

use crate::request::{AddCheckpoint, cause_of};

/// The process lock.
const LOCK: &str = "lock";
/// The directory of records.
const LOGS: &str = "logs";
/// How the names of files begin that are not records yet.
const UNFINISHED: &str = ".unfinished-";
/// "The cosignature MUST NOT omit the timestamp, i.e. the timestamp MUST NOT be zero."
const FIRST_SECOND: PosixTime = PosixTime::new(1).expect("below 2^63");

/// "The origin hash is the SHA-256 hash of the log's origin, hex encoded, in lowercase."
pub fn origin_hash(origin: &Origin) -> String {
    hex::encode(Sha256::digest(origin.as_str()))
}

/// A witness: a key, the logs that it knows, and what it cosigned of each.
#[derive(Debug)]
pub struct Witness {
    cosigner: Cosigner,
    /// By origin hash.
    logs: HashMap<String, Log>,
    directory: PathBuf,
    /// Held while it is open.
    _lock: File,
}

#[derive(Debug)]
struct Log {
    origin: Origin,
    keys: Vec<VerifierKey>,
    /// Held from the check of a checkpoint until it is durable: "checking the old size against the
    /// latest checkpoint and persisting the new checkpoint must be performed atomically".
    latest: Mutex<Option<Record>>,
}

/// The latest cosigned checkpoint of a log.
#[derive(Debug)]
struct Record {
    checkpoint: SignedCheckpoint,
    at: PosixTime,
}

impl Record {
    fn size(&self) -> TreeSize {
        self.checkpoint.unverified().size
    }
}

impl Witness {
    /// Opens the witness of this key in a directory, making it when absent, for the logs whose keys
    /// are given: a log's origin is its key's name, and a log may have several keys. Records of logs
    /// that are not among them are kept for the day when they are.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another process has it, the disk failed, or a record is damaged.
    pub fn open(
        directory: &Path,
        cosigner: Cosigner,
        logs: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Self, OpenError> {
        let records = directory.join(LOGS);
        make_directory(&records).map_err(OpenError::at(&records))?;
        let lock = lock(directory)?;
        let mut latest = read_records(&records, &cosigner.verifier_key())?;
        let mut known: HashMap<String, Log> = HashMap::new();
        for key in logs {
            let origin = Origin::new(key.name().as_str()).expect("a key's name is an origin");
            let hash = origin_hash(&origin);
            let log = known.entry(hash).or_insert_with_key(|hash| Log {
                origin,
                keys: Vec::new(),
                latest: Mutex::new(latest.remove(hash)),
            });
            log.keys.push(key);
        }
        Ok(Witness { cosigner, logs: known, directory: records, _lock: lock })
    }

    /// The key by which others verify its cosignatures.
    pub fn key(&self) -> CosignerKey {
        self.cosigner.verifier_key()
    }

    /// The logs that it knows, with the size of the latest checkpoint that it cosigned of each.
    pub fn logs(&self) -> impl Iterator<Item = (&Origin, Option<TreeSize>)> {
        self.logs.values().map(|log| (&log.origin, log.record().as_ref().map(Record::size)))
    }

    /// The latest checkpoint that it cosigned of the log of this origin hash, with the log's
    /// signatures and its own.
    pub fn latest(&self, origin_hash: &str) -> Option<Vec<u8>> {
        let log = self.logs.get(origin_hash)?;
        log.record().as_ref().map(|record| record.checkpoint.to_bytes())
    }

    /// Cosigns a checkpoint, if it extends what was cosigned of its log before. The record is
    /// durable when this returns. Blocks on the disk.
    ///
    /// Times never go back within a log: each states which tree was the largest "as of the specified
    /// time".
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing was cosigned.
    pub fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        now: PosixTime,
    ) -> Result<NoteSignature, Refusal> {
        let origin = &request.checkpoint().unverified().origin;
        // "If the checkpoint origin is unknown, the witness MUST respond with a \"404 Not Found\""
        let log = self.logs.get(&origin_hash(origin)).filter(|log| log.origin == *origin);
        let log = log.ok_or_else(|| Refusal::UnknownLog { origin: origin.clone() })?;
        // "either no signature from a trusted key for the origin is present, or a signature line's
        // key name and ID match a trusted key but the signature itself fails to verify"
        let verified = request.checkpoint().open(&log.keys, origin).map_err(Refusal::NotSigned)?;
        let mut latest = log.record();
        check_growth(request, &verified, latest.as_ref())?;
        let at = latest.as_ref().map_or(now, |latest| now.max(latest.at)).max(FIRST_SECOND);
        let cosignature = self.cosigner.cosign(verified.checkpoint(), at);
        let checkpoint = cosigned(&verified, &log.keys, &cosignature);
        // "The witness MUST persist the new checkpoint before responding."
        self.keep(&origin_hash(origin), &checkpoint)?;
        *latest = Some(Record { checkpoint, at });
        Ok(cosignature)
    }

    /// Makes a record durable, whole or not at all. When this fails, the record on disk may be the
    /// new one; no cosignature of it was given out, so it binds nobody.
    fn keep(&self, origin_hash: &str, checkpoint: &SignedCheckpoint) -> Result<(), Refusal> {
        let path = self.directory.join(origin_hash);
        let write = || {
            let mut builder = tempfile::Builder::new();
            let mut file = builder.prefix(UNFINISHED).tempfile_in(&self.directory)?;
            file.write_all(&checkpoint.to_bytes())?;
            file.as_file().sync_all()?;
            // IMPORTANT: the content is durable before it gets its name, and the name before this
            // returns.
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|source| Refusal::NotKept { path: path.clone(), source })
    }
}

impl Log {
    fn record(&self) -> MutexGuard<'_, Option<Record>> {
        self.latest.lock().expect("no holder of the lock panics")
    }
}

/// Holds a checkpoint that its log signed to what was cosigned before.
fn check_growth(
    request: &AddCheckpoint,
    new: &VerifiedCheckpoint,
    latest: Option<&Record>,
) -> Result<(), Refusal> {
    let (old, size) = (request.old(), new.size());
    // "The old size MUST be equal to or lower than the checkpoint size."
    if old > size {
        return Err(Refusal::OldAboveNew { old, size });
    }
    // "the old size matches the size of the latest checkpoint it cosigned for the checkpoint's
    // origin (or zero if it never cosigned a checkpoint for that origin)"
    let expected = latest.map_or(TreeSize::ZERO, Record::size);
    if old != expected {
        return Err(Refusal::NotTheLatest { latest: expected });
    }
    let proof = request.proof();
    match latest {
        Some(latest) if expected > TreeSize::ZERO => {
            let old_root = latest.checkpoint.unverified().root;
            verify_consistency(old, size, old_root, new.root(), proof).map_err(Refusal::NoGrowth)
        }
        // "If the old size is zero, the consistency proof MUST be empty". That an empty tree has
        // the one root is a matter of the form of a checkpoint.
        _ if proof.hashes().is_empty() => Ok(()),
        _ => Err(Refusal::NoGrowth(ProofError::TooManyHashes)),
    }
}

/// What is kept and shown of a checkpoint: "the cosignature(s) from the witness's key(s) that were
/// returned from add-checkpoint and the cosignature from the log key(s) that the witness verified".
/// Lines of others are left out.
fn cosigned(
    verified: &VerifiedCheckpoint,
    keys: &[VerifierKey],
    cosignature: &NoteSignature,
) -> SignedCheckpoint {
    let note = verified.signed().note();
    let of_log = |line: &&NoteSignature| keys.iter().any(|key| key.is_claimed_by(line));
    let lines: String = note
        .signatures()
        .iter()
        .filter(of_log)
        .take(tally_tlog::MAX_NOTE_SIGNATURES - 1)
        .chain([cosignature])
        .map(|line| format!("{line}\n"))
        .collect();
    let text = format!("{}\n{lines}", note.unverified_text());
    SignedCheckpoint::parse(text.as_bytes())
        .expect("three short lines and at most 64 short signatures")
}

/// Makes the directory of records, durably, with the one that it is in.
fn make_directory(records: &Path) -> io::Result<()> {
    if records.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(records)?;
    // Their entries: that of the records in the witness's directory, and of that in its own.
    for directory in records.ancestors().skip(1).take(2) {
        let named = !directory.as_os_str().is_empty();
        File::open(if named { directory } else { Path::new(".") })?.sync_all()?;
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(OpenError::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path, source }),
    }
}

fn read_records(directory: &Path, key: &CosignerKey) -> Result<HashMap<String, Record>, OpenError> {
    let mut records = HashMap::new();
    for entry in fs::read_dir(directory).map_err(OpenError::at(directory))? {
        let entry = entry.map_err(OpenError::at(directory))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with(UNFINISHED) {
            // A write that was cut off; its record is as it was.
            fs::remove_file(&path).map_err(OpenError::at(&path))?;
            continue;
        }
        let bytes = fs::read(&path).map_err(OpenError::at(&path))?;
        let record = read_record(&name, &bytes, key);
        let record = record.map_err(|damage| OpenError::Damaged { path, damage })?;
        records.insert(name, record);
    }
    Ok(records)
}

/// Believes a record by the witness's own cosignature under it.
fn read_record(name: &str, bytes: &[u8], key: &CosignerKey) -> Result<Record, Damage> {
    let checkpoint = SignedCheckpoint::parse(bytes)?;
    if origin_hash(&checkpoint.unverified().origin) != name {
        return Err(Damage::Name);
    }
    let cosignature = key.verify(&checkpoint)?.ok_or(Damage::NotOurs)?;
    Ok(Record { checkpoint, at: cosignature.timestamp })
}

/// Why a witness can't be opened. Nothing was changed, but for directories that were absent.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process is this witness.
    #[error("another process holds the lock {path}: stop it first", path = path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A record can't be believed. Going on without it could cosign a second history.
    #[error(
        "{path} is damaged: {damage}; put it back from a copy, or cosign under a new key in another \
         directory",
        path = path.display()
    )]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl OpenError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| OpenError::File { path, source }
    }
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// Not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its name is not the hash of its origin.
    #[error("its name is not the hash of its origin")]
    Name,
    /// The witness's key did not cosign it.
    #[error("this witness's key did not cosign it")]
    NotOurs,
    /// What claims to be the witness's cosignature is not.
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The log is not among those of the witness.
    #[error("this witness does not know the log {origin}; ask its operator to add the log's key")]
    UnknownLog {
        /// The log.
        origin: Origin,
    },
    /// No trusted key of the log signed it, or a line that claims so is forged.
    #[error("{0}{cause}; sign it with a key that this witness has of the log", cause = cause_of(.0))]
    NotSigned(#[source] CheckpointError),
    /// The older tree is the larger one.
    #[error("the old size {old} is above the checkpoint's {size}; send a later checkpoint")]
    OldAboveNew {
        /// The old size of the request.
        old: TreeSize,
        /// The checkpoint's.
        size: TreeSize,
    },
    /// Another checkpoint was cosigned last.
    #[error("the latest checkpoint that was cosigned has size {latest}; send a proof from there")]
    NotTheLatest {
        /// Its size; 0 when none was.
        latest: TreeSize,
    },
    /// The checkpoint is not proved to extend the latest one: a wrong proof, or a log that forks.
    #[error("the checkpoint does not extend the latest one that was cosigned: {0}")]
    NoGrowth(#[source] ProofError),
    /// The record could not be made durable.
    #[error("the checkpoint could not be kept in {path}: {source}", path = path.display())]
    NotKept {
        /// The record.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
