//! A server to load: `tally serve` on an empty ledger in the build directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tally_protocol::Origin;
use tally_tests::program::Server;
use tempfile::TempDir;

use crate::{Failure, Process};

/// A process that takes less than this share of a core has nothing to do.
const IDLE_SHARE: f64 = 0.02;

/// How long a look takes whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// Longest wait until it has.
const LONGEST_WORK: Duration = Duration::from_secs(120);

/// A directory that is gone with the value, in the build directory: on a real disk where that is
/// one.
///
/// # Errors
/// [`Failure::System`].
pub fn scratch() -> Result<TempDir, Failure> {
    let own = std::env::current_exe().map_err(Failure::system("the path of this program"))?;
    // target/<profile>/<tool> or target/<profile>/deps/<test>
    let is_profile = |directory: &&Path| directory.join("deps").is_dir();
    let profile = own.ancestors().skip(1).find(is_profile).unwrap_or(Path::new("."));
    let place = profile.parent().unwrap_or(profile).join("tmp");
    std::fs::create_dir_all(&place).map_err(Failure::system(place.display().to_string()))?;
    tempfile::tempdir_in(&place).map_err(Failure::system(place.display().to_string()))
}

/// A server that runs until the value is dropped.
pub struct Served {
    server: Server,
    directory: TempDir,
}

impl Served {
    /// Starts the program with an empty ledger of this name.
    ///
    /// # Errors
    /// [`Failure::System`].
    ///
    /// # Panics
    /// When the program does not build or start.
    pub fn start(origin: &Origin) -> Result<Self, Failure> {
        let directory = scratch()?;
        let data = directory.path().join("data");
        let server = Server::start_with(&data, &["--origin", &origin.to_string()]);
        Ok(Self { server, directory })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The process.
    pub fn process(&self) -> Process {
        Process::new(self.server.running.id())
    }

    /// Waits until it has nothing to do any more: its projections have caught up.
    pub fn settle(&self) {
        let (process, began) = (self.process(), Instant::now());
        let mut before = process.cpu_of_threads();
        while began.elapsed() < LONGEST_WORK {
            std::thread::sleep(LOOK);
            let now = process.cpu_of_threads();
            if now.saturating_sub(before) < LOOK.mul_f64(IDLE_SHARE) {
                return;
            }
            before = now;
        }
    }
}
