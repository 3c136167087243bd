//! A projection: where each envelope stands, by its id, and by its author and sequence.

use tally_projection::{Draft, Entry, Fold, Partition, Poison};
use tally_protocol::{AgentId, AuthorSequence, EnvelopeId, Position};
use tally_store::{Rows, RowsError};

/// What the index is called.
pub const INDEX: &str = "index";

/// First bytes of keys.
const BY_ENVELOPE: u8 = b'e';
const BY_AUTHOR: u8 = b'a';

/// The fold.
#[derive(Debug, Clone, Copy)]
pub struct Index;

impl Fold for Index {
    fn name(&self) -> &str {
        INDEX
    }

    fn version(&self) -> u32 {
        1
    }

    /// No two events have a row in common.
    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(&entry.position().0.to_be_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        let position = entry.position();
        rows.put(envelope_key(&entry.id()), &position)?;
        rows.put(author_key(&entry.author(), entry.author_sequence()), &position)
    }
}

/// Where an envelope is in the log.
///
/// # Errors
/// [`RowsError`].
pub fn envelope(rows: &Rows, id: &EnvelopeId) -> Result<Option<Position>, RowsError> {
    rows.value(&envelope_key(id))
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
    rows.value(&author_key(author, sequence))
}

fn envelope_key(id: &EnvelopeId) -> [u8; 1 + 32] {
    let mut key = [BY_ENVELOPE; 33];
    key[1..].copy_from_slice(&id.0);
    key
}

/// Author and sequence, so that an author's rows stand in order.
fn author_key(author: &AgentId, sequence: AuthorSequence) -> [u8; 1 + 32 + 8] {
    let mut key = [BY_AUTHOR; 41];
    key[1..33].copy_from_slice(author.as_bytes());
    key[33..].copy_from_slice(&sequence.0.to_be_bytes());
    key
}
