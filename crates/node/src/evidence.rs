//! Evidence that a running node met: `evidence.jsonl` in the data directory, one document a line
//! ([`tally_verify::evidence`]), which anyone can check. What the log holds stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tally_verify::evidence::Evidence;

use crate::metrics;

/// Most bytes of evidence that are kept; beyond it further evidence is only logged.
pub const MAX_EVIDENCE_BYTES: u64 = 16 * 1024 * 1024;

/// The file for evidence in a data directory.
const FILE: &str = "evidence.jsonl";

/// Keeps evidence.
pub(crate) struct EvidenceFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl EvidenceFile {
    pub(crate) fn open(data: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let path = data.join(FILE);
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(Self { path, file: Mutex::new(file) }),
            Err(error) => Err((path, error)),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Raises evidence: in the log, in the metrics, and as a line of the file.
    pub(crate) fn raise(&self, evidence: &Evidence) {
        let (kind, json) = (evidence.claim.kind(), evidence.to_json());
        metrics::evidence(kind);
        tracing::error!(kind, evidence = json, "evidence against an author or a ledger");
        if let Err(error) = self.write(&format!("{json}\n")) {
            tracing::error!(%error, "evidence could not be kept");
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut file = self.file.lock().expect("no holder of the lock panics");
        if file.metadata()?.len() + line.len() as u64 > MAX_EVIDENCE_BYTES {
            tracing::warn!(limit = MAX_EVIDENCE_BYTES, "the file for evidence is full");
            return Ok(());
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}
