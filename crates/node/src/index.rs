//! A projection: where each envelope stands, by its author and sequence. By its id the state knows.

use tally_projection::{Draft, Entry, Fold, Partition, Poison};
use tally_protocol::{AgentId, AuthorSequence, Position};
use tally_store::{Rows, RowsError};

/// What the index is called.
pub const INDEX: &str = "index";

/// The fold.
#[derive(Debug, Clone, Copy)]
pub struct Index;

impl Fold for Index {
    fn name(&self) -> &str {
        INDEX
    }

    fn version(&self) -> u32 {
        2
    }

    /// No two events have a row in common.
    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(&entry.position().0.to_be_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        rows.put(key(&entry.author(), entry.author_sequence()), &entry.position())
    }
}

/// Where an author's envelope of this sequence is in the log.
///
/// # Errors
/// [`RowsError`].
pub fn author(
    rows: &Rows,
    author: &AgentId,
    sequence: AuthorSequence,
) -> Result<Option<Position>, RowsError> {
    rows.value(&key(author, sequence))
}

/// Author and sequence, so that an author's rows stand in order.
fn key(author: &AgentId, sequence: AuthorSequence) -> [u8; 32 + 8] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(author.as_bytes());
    key[32..].copy_from_slice(&sequence.0.to_be_bytes());
    key
}
