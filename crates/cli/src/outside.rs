//! The readers of files that come from outside, without the files.

use crate::commands::submit;
use crate::demo::trace::Trace;

/// Reads messages in JSON as `tally submit` does, and says how many there are.
///
/// # Errors
/// What is wrong with them, for people.
pub fn submission(text: &str) -> Result<usize, String> {
    submit::parse_statements(text).map(|statements| statements.len())
}

/// Reads a workflow as `tally demo --trace` does, and says how many tasks it has.
///
/// # Errors
/// What is wrong with it, for people.
pub fn trace(text: &str) -> Result<usize, String> {
    Trace::parse(text).map(|trace| trace.workflow.specification.tasks.len())
}
