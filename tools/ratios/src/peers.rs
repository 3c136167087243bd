//! Other programs that keep rows durably: measured by `tally-peers`, which is built on its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::Failure;

/// The program that measures them.
#[derive(Debug, Clone)]
pub struct Peers(pub PathBuf);

/// What all of them did, each way for the same time.
pub(crate) struct Compared {
    /// What rows are held to.
    pub(crate) postgresql: Postgresql,
    /// The figures of each other program, or what installs it.
    pub(crate) others: Map<String, Value>,
}

/// What PostgreSQL did, rows a second, or why it did not.
pub(crate) enum Postgresql {
    There { single: f64, batches: f64, all: Value },
    Absent(String),
}

impl Peers {
    /// Measures them for so long in each way, on databases in `directory`, into which another user
    /// must be able to look.
    pub(crate) fn measure(
        &self,
        directory: &Path,
        payloads: &Path,
        seconds: f64,
    ) -> Result<Compared, Failure> {
        let failed = |said: String| Failure::Peers { program: self.0.display().to_string(), said };
        let mut command = Command::new(&self.0);
        command.args(["--json", "--seconds", &seconds.to_string()]);
        command.arg("--directory").arg(directory);
        let output = command.arg(payloads).output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let answer = serde_json::from_slice::<Map<String, Value>>(&output.stdout);
        let mut others = answer.map_err(|error| failed(error.to_string()))?;
        let found = others.remove("postgresql").unwrap_or_default();
        let postgresql = Postgresql::of(found).map_err(failed)?;
        Ok(Compared { postgresql, others })
    }
}

impl Postgresql {
    /// What it did by its part of the answer; else what is missing there.
    fn of(found: Value) -> Result<Self, String> {
        if let Some(install) = found["install"].as_str() {
            return Ok(Self::Absent(format!("PostgreSQL is not installed: {install}")));
        }
        let rate = |key: &str| {
            let rate = found[key].as_f64();
            rate.ok_or_else(|| format!("it does not say {key} of PostgreSQL: {found}"))
        };
        let insert = rate("batches_of_256_insert_rows_per_second")?;
        let copy = rate("batches_of_256_copy_rows_per_second")?;
        let single = rate("insert_64_clients_rows_per_second")?;
        Ok(Self::There { single, batches: insert.max(copy), all: found })
    }
}
