//! How the tasks of each executor end: a projection in a few lines.

use std::collections::BTreeMap;

use tally_projection::{Draft, Entry, Fold, Partition, Poison};
use tally_protocol::Message;

/// The fold: a row for each executor, how many of its tasks ended in which way.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes;

/// How many tasks ended in which way.
pub type Ends = BTreeMap<String, u64>;

impl Fold for Outcomes {
    fn name(&self) -> &str {
        "outcomes"
    }

    fn version(&self) -> u32 {
        1
    }

    /// An event touches the row of its author only.
    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(entry.author().as_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        let Message::TaskDone(done) = &entry.envelope().message else { return Ok(()) };
        rows.update(entry.author().as_bytes(), |ends: &mut Ends| {
            *ends.entry(format!("{:?}", done.outcome).to_lowercase()).or_default() += 1;
        })
    }
}
