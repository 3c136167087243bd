//! A node within the process, as `tally serve` runs it, and appending to it without gRPC.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use tally_benches::node_config;
use tally_node::{AppendError, Appending, Config, Node};
use tally_protocol::{AgentKey, SignedEnvelope};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Load;

/// After how many events `tally serve` states a digest when nothing is said.
const STATE_DIGEST_EVERY: u64 = 100_000;

/// Envelopes that a lane hands in at once.
pub const PARCEL: usize = 256;

/// Parcels of one lane that wait for their receipts.
const WAITING: usize = 16;

/// How the program opens a ledger.
pub fn config(data: &Path) -> Config {
    Config {
        agent: Some(AgentKey::from_seed(&[9; 32])),
        state_digest_every: NonZeroU64::new(STATE_DIGEST_EVERY),
        ..node_config(data)
    }
}

/// Appends a load; all of it is durable and has its receipts then. Each lane has two tasks: one
/// parses and hands in, the other awaits the receipts.
///
/// # Errors
/// [`AppendError`] of the first envelope that is not appended.
///
/// # Panics
/// When a task does.
pub async fn append(node: &Node, load: &Arc<Load>) -> Result<(), AppendError> {
    let mut lanes = JoinSet::new();
    for lane in 0..load.lanes.len() {
        let (load, node) = (Arc::clone(load), node.clone());
        lanes.spawn(async move { append_lane(&node, &load.lanes[lane]).await });
    }
    while let Some(ended) = lanes.join_next().await {
        ended.expect("a lane does not panic")?;
    }
    Ok(())
}

async fn append_lane(node: &Node, lane: &[SignedEnvelope]) -> Result<(), AppendError> {
    let (to, mut waiting) = mpsc::channel::<Appending>(WAITING);
    let receipts = tokio::spawn(async move {
        let mut receipts = 0;
        while let Some(appending) = waiting.recv().await {
            for receipt in appending.receipts().await {
                receipt?;
                receipts += 1;
            }
        }
        Ok::<usize, AppendError>(receipts)
    });
    for parcel in lane.chunks(PARCEL) {
        let parse = |signed: &SignedEnvelope| signed.clone().parse();
        let parsed = parcel.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let appending = node.enqueue_all(parsed).await?;
        // Whoever awaits has ended: it says why.
        if to.send(appending).await.is_err() {
            break;
        }
    }
    drop(to);
    let receipts = receipts.await.expect("awaiting does not panic")?;
    assert_eq!(receipts, lane.len(), "every envelope has a receipt");
    Ok(())
}

/// Events by which the slowest projection is behind.
pub fn lag(node: &Node) -> u64 {
    let statuses = node.projections().list().into_iter().filter_map(|view| view.status);
    statuses.map(|status| status.lag()).max().unwrap_or_default()
}
