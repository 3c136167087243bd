//! Rows in memory that are not in a table yet, and the cursor behind them.
//!
//! Knows how much it holds, and gives it sorted. Does not know what rows mean, nor where tables are.

use std::collections::HashMap;

use tally_protocol::Position;

use crate::rows::{Change, MEMTABLE_BYTES, MEMTABLE_EVENTS, Quarantined};

/// What the map takes for a row, beside key and value: their places, and those of neighbours that
/// are free.
const ENTRY_BYTES: usize = 96;

/// Changes since the last table.
#[derive(Debug)]
pub(crate) struct Memtable {
    /// By key, the value, or nothing where the row is removed.
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    quarantined: Vec<Quarantined>,
    bytes: usize,
    /// Where the last table ends.
    written: Position,
    cursor: Position,
}

impl Memtable {
    /// Nothing, behind a table that ends here.
    pub(crate) fn new(written: Position) -> Self {
        let (rows, quarantined) = (HashMap::new(), Vec::new());
        Self { rows, quarantined, bytes: 0, written, cursor: written }
    }

    /// Lets go of everything, which is in a table that ends here. Keeps the room for as much again.
    pub(crate) fn clear(&mut self, written: Position) {
        self.rows.clear();
        self.quarantined.clear();
        (self.bytes, self.written, self.cursor) = (0, written, written);
    }

    /// The position of the first event that is not folded yet.
    pub(crate) fn cursor(&self) -> Position {
        self.cursor
    }

    /// Where the last table ends.
    pub(crate) fn written(&self) -> Position {
        self.written
    }

    /// Takes changes in, and the cursor behind them.
    ///
    /// # Panics
    ///
    /// When the cursor would go back.
    pub(crate) fn take_in(
        &mut self,
        next: Position,
        changes: impl IntoIterator<Item = Change>,
        quarantined: &[Quarantined],
    ) {
        assert!(next >= self.cursor, "a cursor only goes on");
        self.cursor = next;
        self.quarantined.extend_from_slice(quarantined);
        for (key, value) in changes {
            let (key_bytes, bytes) = (key.len(), value.as_ref().map_or(0, Vec::len));
            match self.rows.insert(key, value) {
                Some(replaced) => self.bytes -= replaced.map_or(0, |value| value.len()),
                None => self.bytes += key_bytes + ENTRY_BYTES,
            }
            self.bytes += bytes;
        }
    }

    /// Whether it is worth a table before what ends here is taken in, too.
    pub(crate) fn is_full_before(&self, next: Position) -> bool {
        let events = next.0.saturating_sub(self.written.0);
        self.bytes >= MEMTABLE_BYTES || events > MEMTABLE_EVENTS
    }

    /// Whether there is nothing to write, not even a cursor.
    pub(crate) fn is_empty(&self) -> bool {
        self.cursor == self.written && self.rows.is_empty() && self.quarantined.is_empty()
    }

    /// What is known of a row: its value, that it is removed, or nothing.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(key).map(Option::as_deref)
    }

    /// All changes by key.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        // Most keys differ at their beginning, which is compared without going where the key is.
        let begun = self.rows.iter().map(|(key, value)| (beginning(key), key, value));
        let mut rows: Vec<_> = begun.collect();
        rows.sort_unstable_by(|(a, one, _), (b, other, _)| a.cmp(b).then_with(|| one.cmp(other)));
        rows.into_iter().map(|(_, key, value)| (key.as_slice(), value.as_deref()))
    }

    /// The changes of a prefix, by key.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Vec<Change> {
        let of_prefix = self.rows.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut rows: Vec<Change> =
            of_prefix.map(|(key, value)| (key.clone(), value.clone())).collect();
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        rows
    }

    /// The events that could not be folded, in log order.
    pub(crate) fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }
}

/// The first bytes of a key, as a number that has the order of the keys.
fn beginning(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let there = key.len().min(first.len());
    first[..there].copy_from_slice(&key[..there]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_sorted_however_alike_their_keys_begin(
            changes in prop::collection::vec(
                (prop::collection::vec(0_u8..3, 0..12), any::<Option<[u8; 1]>>()), 0..200,
            ),
        ) {
            let changes: Vec<Change> =
                changes.into_iter().map(|(key, value)| (key, value.map(Vec::from))).collect();
            let mut memtable = Memtable::new(Position(0));
            memtable.take_in(Position(1), changes.clone(), &[]);
            let expected: BTreeMap<_, _> = changes.into_iter().collect();
            let expected = expected.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
            prop_assert!(memtable.sorted().eq(expected));
        }
    }
}
