//! Cosignatures of witnesses: asked for at every new head, one round at a time.
//!
//! Nothing waits for witnesses on the way of an event to the disk. Where they are required, the
//! receipt waits: an author has it only under a checkpoint that enough witnesses cosigned.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tally_store::TreeReader;
use tally_tlog::{Origin, SignedCheckpoint, TreeSize, VerifierKey, consistency_proof, root_at};
use tally_witness::{Collected, Collector, ProofFailure, SubmitError};
use tokio::sync::watch;

use crate::metrics;
use crate::node::Snapshot;
use crate::pipeline::spawn;

/// The last checkpoint that enough witnesses cosigned, in the data directory.
pub const COSIGNED: &str = "cosigned";

/// How long a receipt waits for the witnesses that are required.
pub const WITNESS_WAIT: Duration = Duration::from_secs(30);

/// How long witnesses that were not enough are left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Status by which a witness says that a checkpoint does not continue the one that it cosigned.
const INCONSISTENT: u16 = 422;

/// Who is to cosign.
pub struct Witnesses {
    /// Asks the witnesses of a policy.
    pub collector: Collector,
    /// Whether receipts wait for them (fail closed), or not (fail open).
    pub required: bool,
}

/// A checkpoint with enough cosignatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Events of its tree.
    pub size: TreeSize,
    /// The signed note, cosignatures included.
    pub note: Bytes,
}

/// The thread that asks, and what it has got.
pub(crate) struct Witnessing {
    pub(crate) required: bool,
    pub(crate) cosigned: watch::Receiver<Option<Cosigned>>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Witnessing {
    /// Without witnesses.
    pub(crate) fn none() -> Self {
        let (_, cosigned) = watch::channel(None);
        Self { required: false, cosigned, thread: None }
    }

    /// Asks at every head, until there are no further ones.
    pub(crate) fn start(
        witnesses: Witnesses,
        data: &Path,
        (key, origin): (&VerifierKey, &Origin),
        tree: TreeReader,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        let path = data.join(COSIGNED);
        let size = snapshots.borrow().tip.size;
        let known = read(&path, key, origin, &tree, size);
        let (cosigned_to, cosigned) = watch::channel(known);
        let required = witnesses.required;
        let collector = witnesses.collector;
        let asking = Asking { collector, required, path, tree, snapshots, cosigned_to };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O needs nothing from the operating system");
        let thread = spawn("witnesses", move || runtime.block_on(asking.run()));
        Self { required, cosigned, thread: Some(thread) }
    }
}

struct Asking {
    collector: Collector,
    required: bool,
    path: PathBuf,
    tree: TreeReader,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    cosigned_to: watch::Sender<Option<Cosigned>>,
}

impl Asking {
    async fn run(mut self) {
        let mut done = self.cosigned_to.borrow().as_ref().map_or(TreeSize::ZERO, |last| last.size);
        loop {
            let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
            let size = snapshot.tip.size;
            let enough = size <= done || self.ask(&snapshot);
            if enough {
                done = size;
            } else if !self.required {
                // Rather the head without them than an old tree.
                self.cosigned_to.send_replace(None);
            }
            metrics::witness_lag(size, done);
            if enough {
                if self.snapshots.changed().await.is_err() {
                    return;
                }
            } else if self.has_ended_within(RETRY).await {
                return;
            }
        }
    }

    /// Whether the ledger closes in the meantime.
    async fn has_ended_within(&mut self, time: Duration) -> bool {
        let ended = async { while self.snapshots.changed().await.is_ok() {} };
        tokio::time::timeout(time, ended).await.is_ok()
    }

    /// One round. Blocks, on the thread of its own.
    fn ask(&self, snapshot: &Snapshot) -> bool {
        let Ok(checkpoint) = SignedCheckpoint::parse(&snapshot.checkpoint) else { return true };
        let size = snapshot.tip.size;
        let prove = |old| {
            consistency_proof(&self.tree, old, size)
                .map_err(|error| ProofFailure::from(error.to_string()))
        };
        let Collected { checkpoint, quorum, failures } = self.collector.collect(&checkpoint, prove);
        for (name, error) in &failures {
            metrics::witness_failure(&name.to_string());
            match error {
                SubmitError::Refused { status: INCONSISTENT, .. } | SubmitError::Ahead { .. } => {
                    metrics::evidence("witness");
                    tracing::error!(witness = %name, %error, "a witness has seen another history of this ledger: stop, and compare the two");
                }
                _ => tracing::warn!(witness = %name, %error, "a witness did not cosign"),
            }
        }
        if !quorum.met {
            tracing::warn!(%size, "not enough witnesses cosigned; trying again");
            return false;
        }
        let note = Bytes::from(checkpoint.to_bytes());
        if let Err(error) = write(&self.path, &note) {
            tracing::warn!(%error, "the cosigned checkpoint could not be kept");
        }
        tracing::debug!(%size, "cosigned");
        self.cosigned_to.send_replace(Some(Cosigned { size, note }));
        true
    }
}

/// What was kept, if it is a checkpoint of this log.
fn read(
    path: &Path,
    key: &VerifierKey,
    origin: &Origin,
    tree: &TreeReader,
    size: TreeSize,
) -> Option<Cosigned> {
    let note = std::fs::read(path).ok()?;
    let signed = SignedCheckpoint::parse(&note).ok()?;
    let opened = signed.open(std::slice::from_ref(key), origin).ok()?;
    let holds = opened.size() <= size
        && root_at(tree, opened.size()).is_ok_and(|root| root == opened.root());
    holds.then(|| Cosigned { size: opened.size(), note: note.into() })
}

/// The old or the new one is there, whatever happens.
fn write(path: &Path, note: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(note)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
