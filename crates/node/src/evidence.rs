//! Evidence against authors: envelopes that take a sequence their author has used already.
//!
//! Each line of the file is the refused envelope with its signature, so that anyone can check that
//! the author signed two statements with one sequence. What the log holds stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tally_protocol::{ParsedEnvelope, Position};

/// Most bytes that are kept; beyond it further evidence is only logged.
pub const MAX_EVIDENCE_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) struct Evidence(Mutex<File>);

impl Evidence {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Keeps an envelope whose sequence was taken by the event at `first`.
    pub(crate) fn keep(&self, refused: &ParsedEnvelope, first: Option<Position>) {
        let envelope = refused.envelope();
        tracing::warn!(
            author = %envelope.author, sequence = %envelope.author_sequence, id = %refused.id(),
            ?first, "an author signed two envelopes with one sequence"
        );
        let line = serde_json::json!({
            "author": envelope.author,
            "author_sequence": envelope.author_sequence,
            "first_position": first,
            "payload": STANDARD.encode(&refused.signed().payload),
            "signature": STANDARD.encode(refused.signed().signature),
        });
        if let Err(error) = self.write(&format!("{line}\n")) {
            tracing::error!(%error, "evidence could not be kept");
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut file = self.0.lock().expect("no holder of the lock panics");
        if file.metadata()?.len() + line.len() as u64 > MAX_EVIDENCE_BYTES {
            tracing::warn!(limit = MAX_EVIDENCE_BYTES, "the file for evidence is full");
            return Ok(());
        }
        file.write_all(line.as_bytes())
    }
}
