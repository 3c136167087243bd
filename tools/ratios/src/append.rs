//! Appending within the process: a node as `tally serve` runs it, without gRPC.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tally_load::{Load, Process, node};
use tally_node::Node;

use crate::Failure;

/// What appending came to.
pub(crate) struct Appended {
    /// From the first envelope to the last durable receipt.
    pub(crate) elapsed: Duration,
    /// Processor time of that, of feeding it too.
    pub(crate) cpu: Duration,
    /// Events by which the slowest projection was behind at that moment.
    pub(crate) lag: u64,
    /// Events in the ledger then, with what its own agent said.
    pub(crate) events: u64,
}

/// Appends a load to an empty ledger and closes it.
pub(crate) async fn append(load: &Arc<Load>, data: &Path) -> Result<Appended, Failure> {
    let open = Node::open(node::config(data), |_| {})?;
    let (own, began) = (Process::own(), Instant::now());
    let cpu = own.cpu();
    node::append(&open, load).await?;
    let (elapsed, cpu) = (began.elapsed(), own.cpu() - cpu);
    let lag = node::lag(&open);
    open.shut_down().await;
    let events = open.snapshot().tip.size.as_u64();
    Ok(Appended { elapsed, cpu, lag, events })
}
