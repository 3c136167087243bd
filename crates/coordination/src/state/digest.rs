//! One number for a state.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use tally_protocol::{Digest, EnvelopeId};

use super::State;
use super::archive::damaged;
use super::generation::Generation;
use super::layers::Layers;

impl State {
    /// One number for everything in it: two folds of the same events give the same.
    ///
    /// BLAKE3-256 over the objects, sorted by kind and key: of each the kind, the key and the object
    /// as JSON, each behind its length in eight big-endian bytes. Costs as much as there are
    /// objects, and memory for their ids.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher(blake3::Hasher::new());
        let (next, at) = (self.next, self.recorded_at);
        let lasting = &self.lasting;
        hasher.object("ledger", "", &(self.origin.as_str(), next, at));
        let old = self.archived.iter().flat_map(|archived| archived.agents());
        hasher.map("agent", &self.last(old, |generation| &generation.agents));
        let ids = self.all(|generation| &generation.attestations).map(|one| one.id);
        hasher.objects("attestation", ids, |id| self.attestation(id));
        let ids = self.all(|generation| &generation.capabilities).map(|one| one.id);
        hasher.objects("capability", ids, |id| self.capability(id));
        let old = self.archived.iter().flat_map(|archived| archived.envelopes());
        hasher.map("envelope", &self.last(old, |generation| &generation.envelopes));
        hasher.map("first_key", &lasting.first_keys);
        let ids = self.all(|generation| &generation.intents).map(|one| one.id);
        hasher.objects("intent", ids, |id| self.intent(id));
        hasher.map("key_end", &lasting.ended_keys);
        let ids = self.all(|generation| &generation.offers).map(|one| one.id);
        hasher.objects("offer", ids, |id| self.offer(id));
        hasher.map("policy", lasting.policies.iter().map(|(key, one)| (key, &**one)));
        let versions = lasting.policy_versions.iter().map(|(id, one)| (id, &**one));
        hasher.map("policy_version", versions);
        let old = self.archived.iter().flat_map(|archived| archived.records());
        hasher.map("record", &self.last(old, |generation| &generation.records));
        hasher.map("rotation", &lasting.rotations);
        hasher.map("schema", lasting.schemas.keys().map(|digest| (digest, &())));
        let ids = self.all(|generation| &generation.tasks).map(|one| one.id);
        hasher.objects("task", ids, |id| self.task(id));
        for finding in self.shown() {
            hasher.object("finding", "", &finding);
        }
        Digest(*hasher.0.finalize().as_bytes())
    }

    /// The last form of everything of a kind, given what the archive has of it.
    fn last<K: Copy + Hash + Ord, V: Copy>(
        &self,
        old: impl Iterator<Item = (K, V)>,
        of: impl Fn(&Generation) -> &Layers<K, V>,
    ) -> BTreeMap<K, V> {
        let mut last: BTreeMap<K, V> = old.collect();
        let turned = self.turned.iter().map(|turned| &turned.generation);
        for generation in turned.chain([&self.young]) {
            last.extend(of(generation).iter().map(|(key, value)| (*key, *value)));
        }
        last
    }
}

/// Hashes objects for [`State::digest`]. Maps that follow from others (names, indexes) are left
/// out.
struct Hasher(blake3::Hasher);

impl Hasher {
    fn map<K: Serialize, V: Deref<Target: Serialize>>(
        &mut self,
        kind: &str,
        objects: impl IntoIterator<Item = (K, V)>,
    ) {
        let json = |key: &K| serde_json::to_string(key).expect("keys are JSON");
        let mut objects: Vec<_> =
            objects.into_iter().map(|(key, object)| (json(&key), object)).collect();
        objects.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, object) in objects {
            self.object(kind, &key, &*object);
        }
    }

    /// Objects by id, each looked up when its turn comes: they need not be in memory all at once.
    fn objects<T: Serialize>(
        &mut self,
        kind: &str,
        ids: impl Iterator<Item = EnvelopeId>,
        find: impl Fn(&EnvelopeId) -> Option<Arc<T>>,
    ) {
        // Digits sort as the bytes that they stand for.
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        for id in ids {
            let key = serde_json::to_string(&id).expect("keys are JSON");
            // What is in an index of the archive is in the archive.
            self.object(kind, &key, &*find(&id).unwrap_or_else(|| damaged()));
        }
    }

    fn object<T: Serialize + ?Sized>(&mut self, kind: &str, key: &str, object: &T) {
        let json = serde_json::to_string(object).expect("objects are JSON");
        for part in [kind, key, &json] {
            self.0.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
    }
}
