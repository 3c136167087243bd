//! Chance: honest and hostile agents say what they like, in any order. A refusal changes nothing,
//! the invariants hold after each event, and the admitted log comes to the same state again, by
//! the same decisions.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tally_coordination::compliance::not_compliant;
use tally_coordination::{IntentStanding, Rule, State, findings};
use tally_protocol::Message;
use tally_protocol::message::*;

use crate::invariants::check;
use crate::speech::{Step, say, step};
use crate::world::*;

const CASES: u32 = if cfg!(debug_assertions) { 64 } else { 3_000 };
const STEPS: usize = 150;

/// Long lives, for what is reached.
const LIVES: usize = 64;
const LONG: usize = 400;

/// After so many steps the whole state is asked for what is not compliant.
const REVIEW: usize = 25;

/// What happened, so that the test knows that chance reached it.
#[derive(Debug, Default)]
struct Reached {
    admitted: BTreeMap<&'static str, usize>,
    refused: BTreeMap<&'static str, usize>,
    rules: HashSet<Rule>,
    things: BTreeMap<String, usize>,
}

fn run(steps: &[Step], reached: &mut Reached) -> World {
    let mut world = World::new();
    for (index, step) in steps.iter().enumerate() {
        world.later(step.later);
        let envelope = say(&world, step);
        let kind = kind(&envelope.message);
        match world.append_envelope(envelope) {
            Ok(_) => {
                check(&world);
                *reached.admitted.entry(kind).or_default() += 1;
            }
            Err(refusal) => {
                assert!(!refusal.to_string().is_empty());
                *reached.refused.entry(kind).or_default() += 1;
                reached.rules.insert(refusal.rule);
            }
        }
        if index % REVIEW == 0 {
            not_compliant(&world.state);
        }
    }
    world
}

/// What is derived from the state is derived from the log.
fn derived(state: &State) -> impl PartialEq + std::fmt::Debug + use<> {
    (findings(state), not_compliant(state))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_said_the_ledger_stays_sound(
        steps in proptest::collection::vec(step(), 0..STEPS),
    ) {
        let world = run(&steps, &mut Reached::default());
        let again = world.refolded();
        prop_assert!(again == world.state, "the log comes to another state");
        prop_assert_eq!(derived(&again), derived(&world.state));
    }
}

/// A test of chance that never gets anywhere shows nothing.
#[test]
fn chance_reaches_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut reached = Reached::default();
    for _ in 0..LIVES {
        let steps = proptest::collection::vec(step(), LONG);
        let steps = steps.new_tree(&mut runner).expect("steps").current();
        let world = run(&steps, &mut reached);
        count(&world, &mut reached.things);
    }
    for kind in KINDS {
        assert!(reached.admitted.contains_key(kind), "{kind} was never admitted: {reached:#?}");
        assert!(reached.refused.contains_key(kind), "{kind} was never refused: {reached:#?}");
    }
    for thing in THINGS {
        assert!(reached.things.contains_key(*thing), "{thing} never happened: {reached:#?}");
    }
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !reached.rules.contains(rule)).collect();
    assert!(missing.is_empty(), "never provoked: {missing:?}");
}

/// What must have happened, beside every kind of message.
const THINGS: &[&str] = &[
    "succeeded",
    "failed",
    "rejected",
    "violated",
    "cancelled",
    "abandoned",
    "english_auction",
    "sealed_first_price",
    "vickrey",
    "fulfilled",
    "fulfilled in parts",
    "retry",
    "retry on the same offer",
    "evaluated",
    "started by a delegate",
    "passed on",
    "pinned",
    "override",
    "late_outcome",
    "conflicting_outcome",
    "overdue",
    "over_use",
    "over_time",
    "empty_offer",
    "unopened_bid",
    "not compliant",
    "signed by a later key",
];

fn count(world: &World, things: &mut BTreeMap<String, usize>) {
    let state = &world.state;
    let mut happened = |thing: &str| *things.entry(thing.into()).or_default() += 1;
    for task in state.tasks() {
        let intent = state.intent(&task.terms.intent).expect("an intent");
        if let Some(ended) = task.ended {
            happened(&ended.outcome.name());
        }
        if intent.terms.auction.is_some() {
            happened(&intent.terms.selection.expect("a selection").name());
        }
        if let Some(earlier) = task.terms.replaces.and_then(|id| state.task(&id)) {
            happened("retry");
            if earlier.terms.offer == task.terms.offer {
                happened("retry on the same offer");
            }
        }
        if task.terms.evaluation.is_some() {
            happened("evaluated");
        }
        if !state.is_same_party(&task.initiator, &intent.author) {
            happened("started by a delegate");
        }
        if !task.policies.is_empty() {
            happened("pinned");
        }
    }
    for intent in state.intents().filter(|intent| intent.standing == IntentStanding::Fulfilled) {
        happened(if intent.terms.parts.is_empty() { "fulfilled" } else { "fulfilled in parts" });
    }
    findings(state).iter().for_each(|finding| happened(finding.kind.name()));
    not_compliant(state).iter().for_each(|_| happened("not compliant"));
    for (_, envelope, _) in &world.log {
        match &envelope.message {
            Message::Attest(Attest::Delegate(delegation)) if delegation.of.is_some() => {
                happened("passed on");
            }
            Message::PolicyUpdate(update) if update.action == PolicyAction::Override => {
                happened("override");
            }
            _ => {}
        }
        if state.party(&envelope.author) != envelope.author {
            happened("signed by a later key");
        }
    }
}

macro_rules! kinds {
    ($($name:literal: $pattern:pat,)*) => {
        /// Every kind of message, in each of its forms.
        const KINDS: &[&str] = &[$($name,)*];

        fn kind(message: &Message) -> &'static str {
            match message {
                $($pattern => $name,)*
            }
        }
    };
}

kinds! {
    "publish": Message::AdvertiseCapability(AdvertiseCapability::Publish(_)),
    "revise a capability": Message::AdvertiseCapability(AdvertiseCapability::Revise(_)),
    "retire": Message::AdvertiseCapability(AdvertiseCapability::Retire(_)),
    "discover": Message::Discover(_),
    "open": Message::Intent(Intent::Open(_)),
    "revise an intent": Message::Intent(Intent::Revise(_)),
    "cancel": Message::Intent(Intent::Cancel(_)),
    "offer": Message::Offer(_),
    "counter": Message::Negotiate(Negotiate::Counter(_)),
    "decline": Message::Negotiate(Negotiate::Decline(_)),
    "withdraw": Message::Negotiate(Negotiate::Withdraw(_)),
    "request cancellation": Message::Negotiate(Negotiate::RequestCancellation(_)),
    "reveal": Message::Negotiate(Negotiate::Reveal(_)),
    "start": Message::TaskStart(_),
    "progress": Message::TaskProgress(_),
    "done": Message::TaskDone(_),
    "claim": Message::Attest(Attest::Claim(_)),
    "delegate": Message::Attest(Attest::Delegate(_)),
    "revoke": Message::Attest(Attest::Revoke(_)),
    "rotate a key": Message::Attest(Attest::RotateKey(_)),
    "revoke a key": Message::Attest(Attest::RevokeKey(_)),
    "update a policy": Message::PolicyUpdate(_),
    "ask for a task": Message::Observe(Observe::TaskStatus(_)),
    "ask for a trace": Message::Observe(Observe::Trace(_)),
    "ask for a graph": Message::Observe(Observe::CoordinationGraph(_)),
    "notice": Message::Observe(Observe::Notice(_)),
}
