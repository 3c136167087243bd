//! Memory that does not grow with the log: older objects of a long one are rows in a temporary directory.

use tally_node::archive::{SCRATCH_GENERATION, ScratchRows};
use tally_protocol::ChainHash;
use tally_tlog::Frontier;
use tally_verify::{Judge, Trust};

use crate::error::CliError;

/// The rows behind a judge; none behind that of a log which is short enough for memory.
pub(super) struct Rows(Option<ScratchRows>);

/// A judge at the beginning of a log of about so many events, and the rows behind it.
pub(super) fn judge(trust: Trust, events: u64) -> Result<(Judge, Rows), CliError> {
    if events <= SCRATCH_GENERATION.get() {
        return Ok((Judge::new(trust), Rows(None)));
    }
    let (rows, state) = ScratchRows::new(&trust.origin, SCRATCH_GENERATION).map_err(|error| {
        CliError::failed("no temporary directory (TMPDIR names another one)", error)
    })?;
    let chain = ChainHash::genesis(&trust.origin);
    Ok((Judge::resume(trust, state, chain, Frontier::new()), Rows(Some(rows))))
}

impl Rows {
    /// Writes what the judge needs no more in memory.
    pub(super) fn follow(&self, judge: &Judge) {
        let written = self.0.as_ref().map_or(Ok(()), |rows| rows.write(judge.state()));
        if let Err(error) = written {
            tracing::warn!(%error, "the state stays in memory; TMPDIR names a directory with room");
        }
    }
}
