//! The ledger says at intervals what its log has come to, signed by its own key, for auditors to
//! compare: [`StateDigest`].
//!
//! The digest is computed on a thread of its own, of a state of exactly the size that was promised;
//! appends do not wait for it. It costs as much as there are objects, some 5 µs each: so that an event
//! costs no more than 0.2 µs of it, a log that is not small any more grows between two to many times
//! its size.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tally_coordination::State;
use tally_protocol::message::{Attest, Claim, ClaimSubject};
use tally_protocol::parts::{Name, Text};
use tally_protocol::state_digest::STATE_DIGEST;
use tally_protocol::{AgentId, Message, Position, StateDigest, TreeSize};
use tally_tlog::NoteSigner;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use crate::history;
use crate::node::{Snapshot, WeakNode};
use crate::pipeline::spawn;

/// How far ahead of the head the first size of a run is promised: the promise must be in the log
/// before that size is reached.
const AHEAD: u64 = 64;

/// Events of a small log: what its digest costs is not worth counting.
const SMALL: u64 = 10_000;

/// How many times its size a log beyond that grows between two digests.
const GROWTH: u64 = 25;

/// How long whoever follows the log at leisure lets it grow.
const LEISURE: Duration = Duration::from_millis(20);

/// Waits until the log has grown, and a little longer: the threads of those who follow it at leisure are
/// not woken for every group.
///
/// # Errors
/// [`RecvError`]: it grows no more.
async fn grown(snapshots: &mut watch::Receiver<Arc<Snapshot>>) -> Result<(), RecvError> {
    snapshots.changed().await?;
    tokio::time::sleep(LEISURE).await;
    Ok(())
}

/// States digests at intervals until the ledger closes.
pub(crate) fn start(
    node: WeakNode,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    signer: NoteSigner,
    interval: u64,
) -> JoinHandle<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing from the operating system");
    let attesting = Attesting { node, snapshots, signer, interval };
    spawn("state digests", move || {
        // The ledger has closed, or says in its log what went wrong.
        let _ended = runtime.block_on(attesting.run());
    })
}

struct Attesting {
    node: WeakNode,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    signer: NoteSigner,
    interval: u64,
}

impl Attesting {
    async fn run(mut self) -> Option<()> {
        loop {
            let begun = self.latest();
            let due = self.after(begun.tip.size);
            // Taken before the promise is made: what is promised lies ahead of it.
            let mut before = self.until(due, begun).await?;
            // What anyone knows, to promise the first size that takes finding out.
            let empty = State::new(before.state.origin().clone());
            let next = TreeSize::new(self.latest().tip.size.as_u64() + AHEAD);
            let mut promised = self.say(&empty, next).await?;
            while let Some(size) = promised {
                before = self.until(size, before).await?;
                let node = self.node.upgrade()?;
                let Ok(state) = history::fold_on(&**node.log(), before.state.clone(), size) else {
                    tracing::error!(%size, "the log can't be folded again for its digest");
                    return None;
                };
                drop(node);
                promised = self.say(&state, self.after(size)).await?;
            }
        }
    }

    /// The size of the next digest after one of this size.
    fn after(&self, size: TreeSize) -> TreeSize {
        let size = size.as_u64();
        let growth = size.saturating_sub(SMALL).saturating_mul(GROWTH);
        TreeSize::new(size.saturating_add(self.interval.max(growth)))
    }

    fn latest(&mut self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow_and_update())
    }

    /// Waits until the log has so many events; returns the last snapshot that has no more, which
    /// `before` had not. `None` when the ledger closes.
    async fn until(&mut self, size: TreeSize, mut before: Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        loop {
            let now = self.latest();
            if now.tip.size <= size {
                before = Arc::clone(&now);
            }
            if now.tip.size >= size {
                return Some(before);
            }
            grown(&mut self.snapshots).await.ok()?;
        }
    }

    /// Puts the digest of a state on record; the size that was promised with it, unless it was
    /// reached before the promise was in the log. `None` when that can't be done any more.
    async fn say(&mut self, state: &State, next: TreeSize) -> Option<Option<TreeSize>> {
        let size = TreeSize::new(state.next_position().0);
        let said = StateDigest { size, digest: state.digest(), next };
        let note = said.sign(state.origin(), &self.signer);
        let node = self.node.upgrade()?;
        let stands = node.say(|agent| claim(agent, &note)).await;
        match stands {
            Ok(Some(position)) => {
                tracing::info!(%size, digest = %said.digest, %position, "state digest on record");
                Some((Position::at_tip(next) > position).then_some(next))
            }
            Ok(None) => None,
            Err(why) => {
                tracing::warn!(%size, why, "the state digest could not be put on record");
                Some(None)
            }
        }
    }
}

fn claim(agent: AgentId, note: &str) -> Message {
    Message::Attest(Attest::Claim(Claim {
        subject: ClaimSubject::Agent(agent),
        kind: Name::new(STATE_DIGEST).expect("a word is a name"),
        statement: Text::new(note).expect("a note is a text"),
        evidence: Vec::new(),
        expires_at_us: None,
    }))
}
