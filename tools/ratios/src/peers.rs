//! Other programs that keep rows durably: measured by `tally-peers`, which is built on its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;

/// The program that measures them.
#[derive(Debug, Clone)]
pub struct Peers(pub PathBuf);

/// What PostgreSQL did, rows a second, or why it did not.
pub(crate) enum Postgresql {
    There { single: f64, batches: f64, all: Value },
    Absent(String),
}

impl Peers {
    /// Measures PostgreSQL for so long in each way, on a cluster in `directory`, into which another
    /// user must be able to look.
    pub(crate) fn postgresql(
        &self,
        directory: &Path,
        payloads: &Path,
        seconds: f64,
    ) -> Result<Postgresql, Failure> {
        let failed = |said: String| Failure::Peers { program: self.0.display().to_string(), said };
        let mut command = Command::new(&self.0);
        command.args(["--json", "--only", "postgresql", "--seconds", &seconds.to_string()]);
        command.arg("--directory").arg(directory);
        let output = command.arg(payloads).output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let answer = serde_json::from_slice::<Value>(&output.stdout);
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let found = &answer["postgresql"];
        if let Some(install) = found["install"].as_str() {
            return Ok(Postgresql::Absent(format!("PostgreSQL is not installed: {install}")));
        }
        let rate = |key: &str| {
            let rate = found[key].as_f64();
            rate.ok_or_else(|| failed(format!("it does not say {key}: {answer}")))
        };
        let insert = rate("batches_of_256_insert_rows_per_second")?;
        let copy = rate("batches_of_256_copy_rows_per_second")?;
        let single = rate("insert_64_clients_rows_per_second")?;
        Ok(Postgresql::There { single, batches: insert.max(copy), all: found.clone() })
    }
}
