//! What a batch of events changes, by key.
//!
//! A key keeps its slot once it has one, so that a change is undone without its key. Says nothing
//! of what the rows are that are changed.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A new value, or none any more.
pub(crate) type Value = Option<Vec<u8>>;

/// Where the value of a key is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot(usize);

/// Values by key, in no order.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    slots: HashMap<Vec<u8>, usize, RandomState>,
    /// Nothing in the slot of a key whose changes were undone.
    values: Vec<Option<Value>>,
}

impl Changes {
    /// The slot of a key, if it has one.
    pub(crate) fn slot(&self, key: &[u8]) -> Option<Slot> {
        self.slots.get(key).copied().map(Slot)
    }

    /// A slot, with nothing in it, for a key that has none.
    pub(crate) fn add(&mut self, key: &[u8]) -> Slot {
        let slot = self.values.len();
        let had = self.slots.insert(key.to_vec(), slot);
        debug_assert!(had.is_none(), "a key has one slot");
        self.values.push(None);
        Slot(slot)
    }

    /// What is in a slot.
    pub(crate) fn value(&self, slot: Slot) -> Option<&Value> {
        self.values[slot.0].as_ref()
    }

    /// Puts something in a slot, or nothing; gives what was there.
    pub(crate) fn replace(&mut self, slot: Slot, value: Option<Value>) -> Option<Value> {
        std::mem::replace(&mut self.values[slot.0], value)
    }

    /// What a key is changed to, if it is changed.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.value(self.slot(key)?)
    }

    /// The first by key of those that both change.
    pub(crate) fn first_common(&self, other: &Self) -> Option<&[u8]> {
        let changed = self.slots.keys().filter(|key| self.get(key).is_some());
        changed.filter(|key| other.get(key).is_some()).min().map(Vec::as_slice)
    }

    /// Adds later changes.
    pub(crate) fn extend(&mut self, later: Self) {
        if self.slots.is_empty() {
            *self = later;
            return;
        }
        for (key, value) in later.into_changes() {
            let slot = self.slot(&key).unwrap_or_else(|| self.add(&key));
            self.replace(slot, Some(value));
        }
    }

    /// All of them, in no order.
    pub(crate) fn into_changes(self) -> impl Iterator<Item = (Vec<u8>, Value)> {
        let Self { slots, mut values } = self;
        slots.into_iter().filter_map(move |(key, slot)| Some((key, values[slot].take()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_has_its_latest_value(
            earlier in prop::collection::vec((prop::collection::vec(0_u8..3, 0..12), any::<Option<u8>>()), 0..60),
            later in prop::collection::vec((prop::collection::vec(0_u8..3, 0..12), any::<Option<u8>>()), 0..60),
        ) {
            let mut expected = BTreeMap::new();
            let mut all = Changes::default();
            for part in [earlier, later] {
                let mut changes = Changes::default();
                for (key, value) in part {
                    let value = value.map(|byte| vec![byte]);
                    let slot = changes.slot(&key).unwrap_or_else(|| changes.add(&key));
                    changes.replace(slot, Some(value.clone()));
                    expected.insert(key, value);
                }
                all.extend(changes);
            }
            let found: Vec<_> = all.into_changes().collect();
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
        }
    }
}
