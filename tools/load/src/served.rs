//! A server to load: `tally serve` on an empty ledger in the build directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::projections_client::ProjectionsClient;
use tally_api::v1::{GetHeadRequest, ListProjectionsRequest};
use tally_protocol::Origin;
use tally_tests::program::Server;
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::{Failure, Process};

/// A process that takes less than this share of a core has nothing to do.
const IDLE_SHARE: f64 = 0.02;

/// How long a look takes whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// Looks in a row that show it idle, until that is believed.
const IDLE_LOOKS: usize = 3;

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

    /// Waits until it has nothing to do any more: its projections have caught up, and what they wrote
    /// is in its place.
    ///
    /// # Errors
    /// [`Failure::Behind`] when that takes too long, and when it does not answer.
    pub async fn settle(&self) -> Result<(), Failure> {
        let channel = Endpoint::from_shared(self.url().to_owned())?.connect().await?;
        let mut ledger = LedgerClient::new(channel.clone());
        let mut projections = ProjectionsClient::new(channel);
        let (process, began) = (self.process(), Instant::now());
        let (mut before, mut idle) = (process.cpu_of_threads(), 0);
        while began.elapsed() < LONGEST_WORK {
            tokio::time::sleep(LOOK).await;
            let size = ledger.get_head(GetHeadRequest {}).await?.into_inner().size;
            let listed =
                projections.list_projections(ListProjectionsRequest {}).await?.into_inner();
            let cursors = listed.projections.iter().filter_map(|view| view.status.as_ref());
            let caught_up = cursors.map(|status| status.cursor).all(|cursor| cursor >= size);
            let now = process.cpu_of_threads();
            let works = now.saturating_sub(before) >= LOOK.mul_f64(IDLE_SHARE);
            (before, idle) = (now, if works { 0 } else { idle + 1 });
            // Who waits for the disk takes no processor time for a moment.
            if caught_up && idle >= IDLE_LOOKS {
                return Ok(());
            }
        }
        Err(Failure::Behind)
    }
}
