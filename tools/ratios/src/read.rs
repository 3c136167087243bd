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
pub(crate) enum Kinds {
    /// From what is known of an envelope at a glance.
    Outlined,
    /// From envelopes that are decoded whole: what most folds need.
    Decoded,
}

impl Kinds {
    fn of(self, entry: &Entry) -> &'static str {
        let kind = match self {
            Self::Outlined => entry.kind(),
            Self::Decoded => entry.envelope().message.kind(),
        };
        kind.object_schema()
    }
}

impl Fold for Kinds {
    fn name(&self) -> &str {
        match self {
            Self::Outlined => "kinds",
            Self::Decoded => "kinds-decoded",
        }
    }

    fn version(&self) -> u32 {
        1
    }

    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(self.of(entry).as_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        rows.update(self.of(entry).as_bytes(), |count: &mut u64| *count += 1)
    }
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

/// A node over a ledger that is there, with two projections more than its own.
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
        let projections =
            [Kinds::Outlined, Kinds::Decoded].map(|kinds| Recipe::stored(kinds).0).into();
        let config = Config { projections, state_digest_every: None, ..node::config(data) };
        let open = Node::open(config, |_| {})?;
        while node::lag(&open) > 0 {
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self(open))
    }

    /// Builds one beside what is served, compares, and switches, as a running ledger does.
    pub(crate) async fn build(&self, kinds: Kinds) -> Result<Built, Failure> {
        let failed = |error: String| Failure::Build(error);
        let (own, began) = (Process::own(), Instant::now());
        let cpu = own.cpu();
        let projections = self.0.projections();
        let build = projections.rebuild(kinds.name()).map_err(|error| failed(error.to_string()))?;
        loop {
            let views = projections.list();
            let view = views.into_iter().find(|view| view.name == kinds.name());
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
