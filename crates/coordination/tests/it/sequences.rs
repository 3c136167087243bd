//! Chance: honest and hostile agents say what they like, in any order. A refusal changes nothing,
//! the invariants hold after each event, and the admitted log comes to the same state again.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use tally_coordination::{
    CapabilityStanding, Ended, IntentStanding, OfferStanding, State, TaskState,
};
use tally_protocol::message::*;
use tally_protocol::{EnvelopeId, Message};

use crate::world::*;

const CASES: u32 = if cfg!(debug_assertions) { 192 } else { 4_000 };

/// One step: what is said, about which of the ids there are, by whom, and how much later.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    first: usize,
    second: usize,
    /// The agent who says it if it is not the one who should.
    hostile: Option<u8>,
    choice: u8,
    later: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let hostile = prop_oneof![4 => Just(None), 1 => (1..=5_u8).prop_map(Some)];
    let later = prop_oneof![3 => Just(0), 1 => 1..50_u64];
    (0..32_u8, any::<usize>(), any::<usize>(), hostile, any::<u8>(), later).prop_map(
        |(kind, first, second, hostile, choice, later)| Step {
            kind,
            first,
            second,
            hostile,
            choice,
            later,
        },
    )
}

/// The ids there are, by kind.
#[derive(Default)]
struct Ids {
    capabilities: Vec<EnvelopeId>,
    intents: Vec<EnvelopeId>,
    offers: Vec<EnvelopeId>,
    tasks: Vec<EnvelopeId>,
    attestations: Vec<EnvelopeId>,
}

/// Mostly one of the latest, so that much is admitted.
fn pick(ids: &[EnvelopeId], index: usize) -> EnvelopeId {
    match ids.len() {
        0 => NOWHERE,
        len if index.is_multiple_of(4) => ids[index / 4 % len],
        len => ids[len - 1 - index / 4 % len.min(3)],
    }
}

fn who(agent: tally_protocol::AgentId) -> Who {
    [ALICE, BOB, CAROL, DAVE, MALLORY].into_iter().find(|who| who.id() == agent).expect("one of us")
}

/// What a step says, and who should say it.
fn say(world: &World, ids: &Ids, step: &Step) -> (Who, Message) {
    let state = &world.state;
    let (a, b, choice) = (step.first, step.second, step.choice);
    let label = ["ocr", "asr", "mt"][usize::from(choice) % 3];
    let soon = world.now.plus_us(u64::from(choice % 60));
    let capability = pick(&ids.capabilities, a);
    let intent = pick(&ids.intents, a);
    let offered = pick(&ids.offers, a);
    let task = pick(&ids.tasks, a);
    let provider = if choice % 2 == 0 { BOB } else { CAROL };
    let owner = state.capability(&capability).map_or(BOB, |found| who(found.owner));
    let executor = state.task(&task).map_or(BOB, |found| who(found.executor));
    let initiator = state.task(&task).map_or(ALICE, |found| who(found.initiator));
    let offerer = state.offer(&offered).map_or(BOB, |found| who(found.provider));
    let offered_for = state.offer(&offered).map_or(intent, |found| found.terms.intent);
    match step.kind {
        0 => (provider, publish(label)),
        1 => (owner, revise(capability, label)),
        2 if choice % 4 == 0 => (owner, retire(capability)),
        2..=4 => (ALICE, if choice % 5 == 0 { open_until(soon) } else { open() }),
        5 => (ALICE, revise_intent(intent)),
        6 if choice % 4 == 0 => (ALICE, cancel(intent)),
        6..=9 => {
            let cited = pick(&ids.capabilities, b);
            let owner = state.capability(&cited).map_or(BOB, |found| who(found.owner));
            let message = match choice % 6 {
                0 => offer_until(intent, cited, soon),
                1 => replace(pick(&ids.offers, a), intent, cited),
                _ => offer(intent, cited),
            };
            (owner, message)
        }
        10 => (ALICE, counter(offered)),
        11 if choice % 3 == 0 => (ALICE, decline(offered)),
        11 if choice % 3 == 1 => (offerer, withdraw(offered)),
        11 => (initiator, request_cancellation(task)),
        12..=15 => {
            let starter = if choice % 5 == 0 { DAVE } else { ALICE };
            let deadlines = Deadlines { done_by_us: Some(soon), heartbeat_us: 20, ..NO_DEADLINES };
            let message = match choice % 3 {
                0 => start_by(offered_for, offered, deadlines),
                _ => start(offered_for, offered),
            };
            (starter, message)
        }
        16 | 17 => {
            let ended = state.task(&task);
            let attempt = ended.map_or(2, |task| task.terms.attempt + 1);
            let again = match (choice % 2, ended) {
                (0, Some(task)) => task.terms.offer,
                _ => pick(&ids.offers, b),
            };
            let intent = state.offer(&again).map_or(intent, |found| found.terms.intent);
            (ALICE, retry(intent, again, task, attempt))
        }
        18..=23 => {
            use ProgressState::*;
            let state = [Accepted, Running, Running, BlockedInput, BlockedPolicy, Accepted]
                [usize::from(step.kind - 18)];
            (executor, progress(task, state, u32::from(choice) % 104))
        }
        24..=27 => {
            use Outcome::*;
            let outcome = [Succeeded, Failed, Rejected, Violated, Cancelled, Abandoned][b % 6];
            (if outcome == Abandoned { initiator } else { executor }, done(task, outcome))
        }
        28 => (
            ALICE,
            delegate(DAVE, (choice % 2 == 0).then_some(intent), (b % 2 == 0).then_some(soon)),
        ),
        29 => match pick(&ids.attestations, a) {
            id if choice % 2 == 0 => (ALICE, revoke(id)),
            _ => (ALICE, claim(ClaimSubject::Agent(BOB.id()), "quality", None)),
        },
        30 => {
            use PolicyAction::*;
            let scope = match choice % 3 {
                0 => PolicyScope::Agent(ALICE.id()),
                1 => PolicyScope::Capability(capability),
                _ => PolicyScope::Intent(intent),
            };
            let signer = if choice % 3 == 1 { owner } else { ALICE };
            let action = [Activate, Amend, Revoke, Override][a % 4];
            (signer, policy(scope, (b % 8) as u64, action))
        }
        _ => (initiator, notice(if choice % 2 == 0 { task } else { intent })),
    }
}

fn remember(ids: &mut Ids, state: &State, id: EnvelopeId) {
    let kinds = [
        (state.capability(&id).is_some(), &mut ids.capabilities),
        (state.intent(&id).is_some(), &mut ids.intents),
        (state.offer(&id).is_some(), &mut ids.offers),
        (state.task(&id).is_some(), &mut ids.tasks),
        (state.attestation(&id).is_some(), &mut ids.attestations),
    ];
    kinds.into_iter().filter(|(is_one, _)| *is_one).for_each(|(_, ids)| ids.push(id));
}

// ------------------------------------------------------------------ invariants

fn check_tasks(state: &State, ended: &mut HashMap<EnvelopeId, (Ended, u32)>) {
    let mut replaced = HashSet::new();
    for task in state.tasks() {
        assert_eq!(task.ended.is_some(), matches!(task.state, TaskState::Ended(_)));
        assert!(task.percent <= 100);
        assert!(task.running_at.is_none() || task.accepted_at.is_some());
        if let Some(id) = task.terms.replaces {
            assert!(replaced.insert(id), "a task is replaced once");
            assert_eq!(state.task(&id).expect("the earlier").replaced_by, Some(task.id));
        }
        let mut authors = HashSet::new();
        assert!(task.late.iter().all(|late| authors.insert(late.author)), "one late outcome each");
        if let Some(end) = task.ended {
            let first = ended.entry(task.id).or_insert((end, task.percent));
            assert_eq!(*first, (end, task.percent), "an ended task never changes");
            assert_eq!(task.state, TaskState::Ended(end.outcome));
        } else {
            assert!(!ended.contains_key(&task.id), "an ended task never reopens");
            assert!(task.late.is_empty());
        }
    }
}

fn check_intents(state: &State) {
    let mut open = HashSet::new();
    for intent in state.intents() {
        let tasks: Vec<_> = state.tasks().filter(|task| task.terms.intent == intent.id).collect();
        assert_eq!(intent.tasks.len(), tasks.len());
        let live = tasks.iter().filter(|task| task.is_live()).count();
        assert_eq!(intent.live_tasks as usize, live);
        let is_success = |state| state == TaskState::Ended(Outcome::Succeeded);
        let succeeded = tasks.iter().filter(|task| is_success(task.state)).count();
        assert_eq!(intent.succeeded_tasks as usize, succeeded);
        match intent.standing {
            IntentStanding::Open => {
                assert!(open.insert(intent.root), "one version is open");
                assert!(live > 0 || succeeded == 0, "an intent that was met is fulfilled");
            }
            IntentStanding::Fulfilled => assert!(live == 0 && succeeded > 0),
            IntentStanding::Superseded(by) => {
                assert_eq!(live, 0);
                assert_eq!(state.intent(&by).expect("the next").root, intent.root);
            }
            IntentStanding::Cancelled => {}
        }
        intent.offers.iter().for_each(|id| check_offer(state, id));
    }
}

fn check_offer(state: &State, id: &EnvelopeId) {
    let offer = state.offer(id).expect("an offer that its intent lists");
    let accepting = || state.tasks().filter(|task| task.terms.offer == *id);
    assert!(accepting().filter(|task| task.is_live()).count() <= 1, "one live acceptance");
    match offer.standing {
        OfferStanding::Accepted(task) => {
            let last = accepting().max_by_key(|task| task.position).expect("a task");
            assert_eq!(last.id, task);
        }
        _ => assert_eq!(accepting().count(), 0),
    }
}

fn check_capabilities(state: &State) {
    let (mut names, mut roots) = (HashSet::new(), HashSet::new());
    let in_force = state.capabilities().filter(|c| c.standing == CapabilityStanding::InForce);
    for capability in in_force {
        let name = capability.terms.name.clone();
        assert_eq!(state.capability_named(&capability.owner, &name), Some(capability.id));
        assert!(names.insert((capability.owner, name)), "names are unique");
        assert!(roots.insert(capability.root), "one version is in force");
    }
}

/// What happened, so that the test knows that chance reached it.
#[derive(Debug, Default)]
struct Reached {
    admitted: usize,
    refused: usize,
    outcomes: HashSet<Outcome>,
    retries: usize,
    fulfilled: usize,
}

fn run(steps: &[Step]) -> (World, Reached) {
    let mut world = World::new();
    let (mut ids, mut ended, mut reached) = (Ids::default(), HashMap::new(), Reached::default());
    for step in steps {
        world.later(step.later);
        let (should, message) = say(&world, &ids, step);
        let before = world.state.clone();
        match world.append(step.hostile.map_or(should, Who), message) {
            Ok(id) => {
                remember(&mut ids, &world.state, id);
                check_tasks(&world.state, &mut ended);
                check_intents(&world.state);
                check_capabilities(&world.state);
                reached.admitted += 1;
            }
            Err(refusal) => {
                assert_eq!(world.state, before, "{refusal}");
                reached.refused += 1;
            }
        }
    }
    for task in world.state.tasks() {
        reached.outcomes.extend(task.ended.map(|ended| ended.outcome));
        reached.retries += usize::from(task.replaced_by.is_some());
    }
    let fulfilled = |intent: &&_| standing(intent) == IntentStanding::Fulfilled;
    reached.fulfilled = world.state.intents().filter(fulfilled).count();
    (world, reached)
}

fn standing(intent: &tally_coordination::Intent) -> IntentStanding {
    intent.standing
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_said_the_ledger_stays_sound(steps in proptest::collection::vec(step(), 0..150)) {
        let (world, _) = run(&steps);
        prop_assert_eq!(world.refolded(), world.state);
    }
}

/// A test of chance that never gets anywhere shows nothing.
#[test]
fn chance_reaches_every_outcome() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut all = Reached::default();
    for _ in 0..24 {
        let steps = proptest::collection::vec(step(), 300);
        let steps = steps.new_tree(&mut runner).expect("steps").current();
        let (_, reached) = run(&steps);
        all.admitted += reached.admitted;
        all.refused += reached.refused;
        all.outcomes.extend(reached.outcomes);
        all.retries += reached.retries;
        all.fulfilled += reached.fulfilled;
    }
    assert_eq!(all.outcomes.len(), 6, "{all:?}");
    assert!(all.admitted > 1_000 && all.refused > 1_000, "{all:?}");
    assert!(all.retries > 0 && all.fulfilled > 0, "{all:?}");
}
