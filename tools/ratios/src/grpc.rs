//! Appending to a real server over gRPC.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tally_benches::origin;
use tally_load::rpc::{self, Session};
use tally_load::{Load, Served};

use crate::Failure;

/// Envelopes of one stream that may be without an answer.
pub(crate) const WINDOW: usize = 2_048;

/// No limit of its own: the load ends it.
const WHOLE: Duration = Duration::from_secs(3_600);

/// What a load over streams came to.
pub(crate) struct Streamed {
    pub(crate) session: Session,
    /// Processor time of the server, its projections caught up.
    pub(crate) cpu: Duration,
    /// What of it the threads took, by their names.
    pub(crate) cpu_by_thread: BTreeMap<String, Duration>,
}

/// Appends a load to an empty ledger, a stream for each lane.
pub(crate) async fn stream(load: &Arc<Load>) -> Result<Streamed, Failure> {
    let served = Served::start(&origin())?;
    let process = served.process();
    let (before, threads_before) = (process.cpu(), process.cpu_by_thread());
    let session = rpc::stream(served.url(), load, WINDOW, WHOLE).await?;
    served.settle().await?;
    let cpu = process.cpu() - before;
    let mut cpu_by_thread = process.cpu_by_thread();
    for (thread, spent) in &mut cpu_by_thread {
        *spent = spent.saturating_sub(threads_before.get(thread).copied().unwrap_or_default());
    }
    Ok(Streamed { session, cpu, cpu_by_thread })
}

/// Appends to an empty ledger for so long, each lane one envelope at a time over a connection of its
/// own.
pub(crate) async fn unary(load: &Arc<Load>, most: Duration) -> Result<Session, Failure> {
    let served = Served::start(&origin())?;
    let session = rpc::unary(served.url(), load, load.lanes.len(), most).await?;
    if session.appended == 0 { Err(Failure::Nothing) } else { Ok(session) }
}
