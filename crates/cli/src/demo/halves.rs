//! The agents' halves of the tally: a line for every log receipt that an agent has checked.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use tally_client::Receipt;
use tally_protocol::Position;
use tally_store::LogReader;
use tally_tlog::Hash;

use crate::error::CliError;

pub(crate) struct Halves {
    file: Mutex<File>,
    leaves: Mutex<HashMap<Position, Hash>>,
}

impl Halves {
    /// Goes on with the file, or begins it.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| CliError::failed(path.display(), error))?;
        Ok(Self { file: Mutex::new(file), leaves: Mutex::default() })
    }

    /// Keeps a checked receipt.
    pub(crate) fn keep(&self, agent: &str, receipt: &Receipt) -> Result<(), CliError> {
        let event = receipt.event();
        let leaf = event.leaf();
        let line = json!({
            "agent": agent,
            "position": event.position(),
            "id": event.signed().id(),
            "leaf": leaf.to_base64(),
        });
        let mut file = self.file.lock().expect("no holder of the lock panics");
        let written = file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| CliError::failed("the agents' receipts", error))?;
        self.leaves.lock().expect("no holder of the lock panics").insert(event.position(), leaf);
        Ok(())
    }

    /// The least position that an agent of this run holds a receipt for.
    pub(crate) fn first(&self) -> Position {
        let leaves = self.leaves.lock().expect("no holder of the lock panics");
        leaves.keys().min().copied().unwrap_or_default()
    }

    /// How many receipts the agents hold.
    pub(crate) fn count(&self) -> usize {
        self.leaves.lock().expect("no holder of the lock panics").len()
    }

    /// Lays the halves side by side: every event that an agent holds a receipt for is in the log.
    pub(crate) fn compare(&self, log: &dyn LogReader) -> Result<(), CliError> {
        let leaves = self.leaves.lock().expect("no holder of the lock panics");
        for (position, leaf) in leaves.iter() {
            if log.event(*position)?.leaf() != *leaf {
                return Err(CliError::Absent(format!(
                    "the log's event at {position} is not the one that an agent has a receipt for"
                )));
            }
        }
        Ok(())
    }
}
