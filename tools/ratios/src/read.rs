//! Reading a ledger back: `tally verify`, and a new projection in a node that is open.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use tally_benches::signer;
use tally_load::{Process, node};
use tally_node::projections::BuildEnd;
use tally_node::{Config, Node, Recipe};
use tally_projection::{Draft, Entry, Fold, Partition, Poison};
use tally_tests::program::tally;

use crate::Failure;

/// Pause between two looks at a build.
const LOOK: Duration = Duration::from_millis(1);

/// How many envelopes of each kind there are: as simple as a fold can be.
#[derive(Debug, Clone, Copy)]
struct Kinds;

impl Fold for Kinds {
    fn name(&self) -> &str {
        "kinds"
    }

    fn version(&self) -> u32 {
        1
    }

    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(kind(entry).as_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        rows.update(kind(entry).as_bytes(), |count: &mut u64| *count += 1)
    }
}

fn kind(entry: &Entry) -> &'static str {
    entry.envelope().message.kind().object_schema()
}

/// How long `tally verify` takes over a data directory, from the start of the program to its end.
pub(crate) fn verify(data: &Path) -> Result<Duration, Failure> {
    let key = signer().verifier_key().to_string();
    let began = Instant::now();
    let fixed = ["verify", "--json", "--log-key", &key].map(OsStr::new);
    let answer = tally(fixed.into_iter().chain([data.as_os_str()]));
    let elapsed = began.elapsed();
    match answer.code() {
        0 => Ok(elapsed),
        code => {
            let said = format!("{}{}", answer.stdout, answer.stderr);
            Err(Failure::Program { command: "verify".into(), code, said })
        }
    }
}

/// A node over a ledger that is there, with one projection more than its own.
pub(crate) struct Replay(Node);

/// What building the projection took.
pub(crate) struct Built {
    /// From the request until it is served.
    pub(crate) elapsed: Duration,
    /// Processor time of that.
    pub(crate) cpu: Duration,
}

impl Replay {
    /// Opens it, and waits until nothing is behind.
    pub(crate) async fn open(data: &Path) -> Result<Self, Failure> {
        let projections = vec![Recipe::stored(Kinds).0];
        let config = Config { projections, state_digest_every: None, ..node::config(data) };
        let open = Node::open(config, |_| {})?;
        while node::lag(&open) > 0 {
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self(open))
    }

    /// Builds it beside what is served, compares, and switches, as a running ledger does.
    pub(crate) async fn build(&self) -> Result<Built, Failure> {
        let failed = |error: String| Failure::Build(error);
        let (own, began) = (Process::own(), Instant::now());
        let cpu = own.cpu();
        let projections = self.0.projections();
        let build = projections.rebuild(Kinds.name()).map_err(|error| failed(error.to_string()))?;
        loop {
            let views = projections.list();
            let view = views.into_iter().find(|view| view.name == Kinds.name());
            let view = view.expect("it was opened with it");
            if view.serving == build {
                return Ok(Built { elapsed: began.elapsed(), cpu: own.cpu() - cpu });
            }
            match view.last_build {
                Some(BuildEnd::Failed { build: other, reason }) if other == build => {
                    return Err(failed(reason));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Closes the ledger.
    pub(crate) async fn close(self) {
        self.0.shut_down().await;
    }
}
