//! A state with an archive is the state without: whatever was said, whenever generations were
//! written, and wherever a reader begins again. The archive here is a map.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tally_coordination::compliance::not_compliant;
use tally_coordination::{Archive, State, admit, findings};
use tally_protocol::message::{Attest, Intent, PolicyScope};
use tally_protocol::{Message, Position};

use crate::speech::{say, step};
use crate::world::*;

const CASES: u32 = if cfg!(debug_assertions) { 64 } else { 1_000 };
const STEPS: usize = 150;

/// Most events of a generation: small, so that a life has many.
const MOST: u64 = 12;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// What was written up to a moment, and a place to find what was written since.
#[derive(Debug, Clone)]
struct Map {
    rows: Arc<Rows>,
    written: Arc<Mutex<(Position, Arc<Rows>)>>,
}

impl Map {
    fn new() -> Self {
        let rows = Arc::<Rows>::default();
        Self { written: Arc::new(Mutex::new((Position(0), Arc::clone(&rows)))), rows }
    }
}

impl Archive for Map {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).cloned()
    }

    fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_> {
        let prefix = prefix.to_vec();
        let from = self.rows.range(prefix.clone()..);
        let rows = from.take_while(move |(key, _)| key.starts_with(&prefix));
        Box::new(rows.map(|(key, row)| (key.clone(), row.clone())))
    }

    fn newer(&self, least: Position) -> Option<(Position, Arc<dyn Archive>)> {
        let (end, rows) = self.written.lock().expect("no panic").clone();
        let written = Arc::clone(&self.written);
        (end >= least).then(|| (end, Arc::new(Self { rows, written }) as Arc<dyn Archive>))
    }
}

/// A state, and the archive that it writes.
struct Keeper {
    state: State,
    map: Map,
    every: NonZeroU64,
}

impl Keeper {
    fn new(every: u64) -> Self {
        let (map, every) = (Map::new(), NonZeroU64::new(every).expect("not zero"));
        let state = State::resume(origin(), Arc::new(map.clone()), every).expect("whole");
        Self { state, map, every }
    }

    /// Another process, which begins with what the archive holds.
    fn restarted(&self) -> Self {
        let (end, rows) = self.map.written.lock().expect("no panic").clone();
        let map = Map { written: Arc::new(Mutex::new((end, Arc::clone(&rows)))), rows };
        let state = State::resume(origin(), Arc::new(map.clone()), self.every).expect("whole");
        assert_eq!(state.next_position(), end);
        Self { state, map, every: self.every }
    }

    /// Writes the oldest generation that waits, if one does. The state finds out when it goes on.
    fn archive(&mut self) {
        let mut written = self.map.written.lock().expect("no panic");
        let Some(rows) = self.state.to_archive(written.0) else { return };
        let mut all = Rows::clone(&written.1);
        for (key, row) in rows.changes() {
            match row {
                Some(row) => all.insert(key, row),
                None => all.remove(&key),
            };
        }
        *written = (rows.end(), Arc::new(all));
    }

    /// Folds what a world admitted, from where this state is.
    fn follow(&mut self, world: &World) {
        let from = usize::try_from(self.state.next_position().0).expect("small");
        for (id, envelope, at) in &world.log[from..] {
            let change = admit(&self.state, *id, envelope, *at).expect("admitted before");
            self.state.fold(change);
        }
    }
}

fn sorted<T: Debug>(all: impl Iterator<Item = T>) -> BTreeSet<String> {
    all.map(|one| format!("{one:?}")).collect()
}

/// Asks both states everything that can be asked.
fn agree(one: &State, other: &State, world: &World) {
    assert_eq!(one.digest(), other.digest());
    assert!(one == other);
    assert_eq!(sorted(one.tasks()), sorted(other.tasks()));
    assert_eq!(one.tasks().count(), other.tasks().count());
    assert_eq!(sorted(one.intents()), sorted(other.intents()));
    assert_eq!(one.intents().count(), other.intents().count());
    assert_eq!(sorted(one.capabilities()), sorted(other.capabilities()));
    assert_eq!(sorted(one.catalog()), sorted(other.catalog()));
    assert_eq!(sorted(one.policies_in_force()), sorted(other.policies_in_force()));
    assert!(one.shown().eq(other.shown()));
    assert_eq!(findings(one), findings(other));
    assert_eq!(not_compliant(one), not_compliant(other));
    for (id, envelope, _) in &world.log {
        assert_eq!(one.position_of(id), other.position_of(id));
        assert_eq!(one.capability(id), other.capability(id));
        assert_eq!(one.intent(id), other.intent(id));
        assert_eq!(one.offer(id), other.offer(id));
        assert_eq!(one.task(id), other.task(id));
        assert_eq!(one.attestation(id), other.attestation(id));
        assert_eq!(one.policy_version(id), other.policy_version(id));
        assert!(one.claims_on(id).eq(other.claims_on(id)), "claims in their order");
        if let Message::PolicyUpdate(update) = &envelope.message {
            let agent = PolicyScope::Agent(envelope.author);
            for scope in [update.scope, agent] {
                assert!(one.policies_for(scope).eq(other.policies_for(scope)));
            }
        }
    }
    let said = world.log.iter().map(|(_, envelope, _)| envelope);
    let told = said.clone().filter_map(|envelope| match &envelope.message {
        Message::Attest(Attest::Delegate(to)) => Some(to.delegate),
        Message::Attest(Attest::RotateKey(to)) => Some(to.successor),
        _ => None,
    });
    let agents: HashSet<_> = said.map(|envelope| envelope.author).chain(told).collect();
    for agent in &agents {
        assert_eq!(one.agent(agent), other.agent(agent));
        assert_eq!(one.record(agent), other.record(agent));
        assert_eq!(one.party(agent), other.party(agent));
        assert_eq!(one.key_end(agent), other.key_end(agent));
        assert!(one.claims(agent).eq(other.claims(agent)), "claims in their order");
        for to in &agents {
            assert!(one.delegations(agent, to).eq(other.delegations(agent, to)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_archive_changes_nothing(
        steps in proptest::collection::vec((step(), 0..4_u8), 0..STEPS),
        every in 1..=MOST,
    ) {
        let (mut world, mut keeper) = (World::new(), Keeper::new(every));
        let mut earlier: Option<(State, State)> = None;
        for (index, (step, turn)) in steps.iter().enumerate() {
            world.later(step.later);
            let envelope = say(&world, step);
            let (now, id) = (world.now, World::id_of(&envelope));
            let other = admit(&keeper.state, id, &envelope, now);
            prop_assert_eq!(&admit(&world.state, id, &envelope, now), &other);
            if world.append_envelope(envelope).is_ok() {
                keeper.follow(&world);
            }
            match turn {
                0 => keeper.archive(),
                // A process that was killed, and begins again with what the archive holds.
                1 if index % 16 == 0 => {
                    keeper = keeper.restarted();
                    keeper.follow(&world);
                }
                2 if earlier.is_none() => earlier = Some((world.state.clone(), keeper.state.clone())),
                _ => {}
            }
        }
        agree(&world.state, &keeper.state, &world);
        // An older snapshot sees nothing of what was written since.
        if let Some((one, other)) = earlier {
            agree(&one, &other, &world);
        }
        let mut again = keeper.restarted();
        again.follow(&world);
        agree(&world.state, &again.state, &world);
    }
}

/// What is not touched falls out of memory, in the order in which it was written.
#[test]
fn generations_leave_memory_in_their_order() {
    let (mut world, mut keeper) = (World::new(), Keeper::new(2));
    let mut open = |keeper: &mut Keeper, number| {
        world.admits(Who(number), Message::Intent(Intent::Open(intent_terms())));
        keeper.follow(&world);
        keeper.state.waiting_generations()
    };
    assert_eq!([1, 2, 3, 4, 5].map(|number| open(&mut keeper, number)), [0, 1, 1, 2, 2]);
    let first = keeper.state.to_archive(Position(0)).expect("it waits");
    assert_eq!(first.end(), Position(2));
    keeper.archive();
    assert_eq!(keeper.state.waiting_generations(), 1, "asked, before it goes on");
    assert_eq!(keeper.state.to_archive(first.end()).map(|rows| rows.end()), Some(Position(4)));
    assert_eq!(open(&mut keeper, 6), 2);
    assert_eq!(keeper.state.to_archive(Position(0)).map(|rows| rows.end()), Some(Position(4)));
}
