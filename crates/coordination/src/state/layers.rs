//! A map whose clones are cheap, for many small changes between two clones.
//!
//! What is inserted goes into one plain hash map, until a clone shares it: then it becomes a layer that
//! nobody changes any more, and another one is begun. Layers of like size are merged, so a lookup asks
//! few of them: a handful for every fourfold of clones. A persistent tree copies a path for every
//! insertion that follows a clone; here an insertion costs what it costs in a hash map, and a share of
//! few merges.
//!
//! Nothing is removed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;

type Layer<K, V> = HashMap<K, V, RandomState>;

/// So many layers are merged when the lowest of them is not as many times larger than the highest.
const MERGED: usize = 4;

/// A map of layers.
#[derive(Debug)]
pub(super) struct Layers<K, V> {
    /// The oldest first.
    below: Arc<Vec<Arc<Layer<K, V>>>>,
    top: Arc<Layer<K, V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Layers<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.layers().find_map(|layer| layer.get(key))
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.layers().any(|layer| layer.contains_key(key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if Arc::get_mut(&mut self.top).is_none() {
            self.begin_layer();
        }
        let top = Arc::get_mut(&mut self.top).expect("nobody shares what was just begun");
        top.insert(key, value);
    }

    /// Each key once, with its last value; in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.layers().enumerate().flat_map(move |(depth, layer)| {
            let is_last =
                move |key: &K| !self.layers().take(depth).any(|above| above.contains_key(key));
            layer.iter().filter(move |(key, _)| is_last(key))
        })
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// From the newest down.
    fn layers(&self) -> impl Iterator<Item = &Layer<K, V>> {
        std::iter::once(&self.top).chain(self.below.iter().rev()).map(AsRef::as_ref)
    }

    fn begin_layer(&mut self) {
        let below = Arc::make_mut(&mut self.below);
        below.push(std::mem::take(&mut self.top));
        while let Some(from) = below.len().checked_sub(MERGED)
            && below[from].len() < MERGED * below[below.len() - 1].len()
        {
            let entries = below[from..].iter().map(|layer| layer.len()).sum();
            let mut merged = Layer::with_capacity_and_hasher(entries, RandomState::default());
            for layer in below.drain(from..) {
                merged.extend(layer.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            below.push(Arc::new(merged));
        }
    }
}

impl<K, V> Default for Layers<K, V> {
    fn default() -> Self {
        Self { below: Arc::default(), top: Arc::default() }
    }
}

impl<K, V> Clone for Layers<K, V> {
    fn clone(&self) -> Self {
        Self { below: Arc::clone(&self.below), top: Arc::clone(&self.top) }
    }
}

/// Two maps are one when they hold the same, in whatever layers.
impl<K: Clone + Eq + Hash, V: Clone + PartialEq> PartialEq for Layers<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let holds =
            |of: &Self, in_it: &Self| of.iter().all(|(key, value)| in_it.get(key) == Some(value));
        holds(self, other) && holds(other, self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sorted(map: &Layers<u8, u32>) -> BTreeMap<u8, u32> {
        let mut found = BTreeMap::new();
        for (key, value) in map.iter() {
            assert_eq!(found.insert(*key, *value), None, "each key once");
        }
        found
    }

    proptest! {
        #[test]
        fn it_and_each_of_its_clones_are_maps(
            steps in prop::collection::vec((any::<u8>(), any::<u32>(), any::<bool>()), 1..400),
        ) {
            let (mut map, mut model) = (Layers::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (key, value, is_cloned) in steps {
                map.insert(key, value);
                model.insert(key, value);
                if is_cloned {
                    clones.push((map.clone(), model.clone()));
                }
            }
            clones.push((map, model));
            for (map, model) in &clones {
                prop_assert_eq!(&sorted(map), model);
                for key in 0..=u8::MAX {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                    prop_assert_eq!(map.contains_key(&key), model.contains_key(&key));
                }
            }
            let (last, before) = (clones.len() - 1, clones.len() / 2);
            let same = clones[last].1 == clones[before].1;
            prop_assert_eq!(clones[last].0 == clones[before].0, same);
        }
    }

    #[test]
    fn layers_are_few() {
        let (mut map, mut clones) = (Layers::default(), Vec::new());
        for number in 0_u32..4_096 {
            map.insert(number, ());
            clones.push(map.clone());
        }
        let depth = map.below.len();
        assert!(depth <= 18, "three for each of the six fourfolds of 4096, but {depth}");
    }
}
