//! What the log holds against somebody, and the decisions that everyone makes again from it.

use tally_coordination::{
    Change, Decision, Finding, FindingKind, Object, Rule, State, admit, compliance, evaluate,
    findings,
};
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{AgentKey, Envelope, EnvelopeId, Equivocation, Message, SignedEnvelope, Time};

use crate::world::*;

fn kinds(world: &World) -> Vec<(FindingKind, tally_protocol::AgentId)> {
    findings(&world.state).iter().map(|finding| (finding.kind, finding.agent)).collect()
}

fn resource(amount: u64) -> Vec<Resource> {
    vec![Resource::new(name("memory"), amount)]
}

fn used(value: i64) -> Vec<Measure> {
    vec![Measure::new(name("memory"), value)]
}

/// A running task of Bob's, who offered 64 of memory and ten microseconds.
fn running() -> (World, EnvelopeId) {
    let mut market = Market::new();
    let offer = Offer {
        resources: resource(64),
        estimated_duration_us: 10,
        ..offer_terms(market.intent, market.capability)
    };
    let offer = market.world.admits(BOB, Message::Offer(offer));
    let mut world = market.world;
    let task = world.admits(ALICE, start(market.intent, offer));
    world.admits(BOB, progress(task, ProgressState::Accepted, 0));
    world.admits(BOB, progress(task, ProgressState::Running, 0));
    (world, task)
}

#[test]
fn r18_late_and_conflicting_outcomes_are_found() {
    let (mut world, task) = running();
    world.admits(BOB, done(task, Outcome::Succeeded));
    assert_eq!(kinds(&world), []);
    let mut same = world.clone();
    same.admits(BOB, done(task, Outcome::Succeeded));
    assert_eq!(kinds(&same), [(FindingKind::LateOutcome, BOB.id())]);
    let event = world.admits(ALICE, done(task, Outcome::Abandoned));
    let found = findings(&world.state);
    let [Finding { kind, agent, object, event: shown, position, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((*kind, *agent), (FindingKind::ConflictingOutcome, ALICE.id()));
    assert_eq!((*object, *shown), (Object::Task(task), event));
    assert_eq!(Some(*position), world.state.position_of(&event));
    assert_eq!(findings(&world.refolded()), found);
}

#[test]
fn r8_more_than_was_offered_is_found() {
    let (world, task) = running();
    let end = |done: TaskDone| {
        let mut world = world.clone();
        world.admits(BOB, Message::TaskDone(done));
        kinds(&world)
    };
    let receipt = receipt(task, Outcome::Succeeded);
    assert_eq!(end(TaskDone { usage: used(64), ..receipt.clone() }), []);
    let over = end(TaskDone { usage: used(65), ..receipt.clone() });
    assert_eq!(over, [(FindingKind::OverUse, BOB.id())]);
    let took = |us| TaskDone {
        started_at_us: Some(Time(START.0 - us)),
        ended_at_us: Some(START),
        ..receipt.clone()
    };
    assert_eq!(end(took(10)), []);
    assert_eq!(end(took(11)), [(FindingKind::OverTime, BOB.id())]);
}

#[test]
fn r14_an_offer_without_substance_is_found() {
    let (market, task) = Market::with_task();
    let rejected = |kind, passed| {
        let check = Check { passed, reason: text("none left"), ..Check::new(kind) };
        let done = TaskDone { checks: vec![check], ..receipt(task, Outcome::Rejected) };
        let mut world = market.world.clone();
        world.admits(BOB, Message::TaskDone(done));
        kinds(&world)
    };
    let found = [(FindingKind::EmptyOffer, BOB.id())];
    assert_eq!(rejected(CheckKind::Resources, false), found);
    assert_eq!(rejected(CheckKind::Schema, false), found);
    assert_eq!(rejected(CheckKind::Resources, true), []);
    // What the initiator brings is not the provider's fault.
    assert_eq!(rejected(CheckKind::Inputs, false), []);
}

#[test]
fn r20_r21_missed_deadlines_and_violations_are_found() {
    let mut market = Market::new();
    let limit = Some(START.plus_us(10));
    let deadlines = Deadlines { accept_by_us: limit, ..NO_DEADLINES };
    let task = market.world.admits(ALICE, start_by(market.intent, market.offer, deadlines));
    let world = &mut market.world;
    world.later(11);
    assert_eq!(kinds(world), [], "the ledger's time moves with its events");
    world.admits(MALLORY, open());
    assert_eq!(kinds(world), [(FindingKind::Overdue, BOB.id())]);
    world.admits(ALICE, done(task, Outcome::Abandoned));
    assert_eq!(kinds(world), [(FindingKind::Abandoned, BOB.id())]);
    let (mut world, task) = running();
    world.admits(BOB, done(task, Outcome::Violated));
    assert_eq!(kinds(&world), [(FindingKind::Violated, BOB.id())]);
}

#[test]
fn r17_a_bid_that_stays_shut_is_found_when_the_auction_is_over() {
    let mut world = World::new();
    let capability = world.admits(BOB, publish("survey"));
    let auction = Auction {
        reveal_until_us: Some(START.plus_us(20)),
        reserve: Some(Price::new(100, name("EUR"))),
        ..Auction::new(START.plus_us(10))
    };
    let terms = IntentTerms {
        selection: Some(Selection::Vickrey),
        auction: Some(auction),
        ..intent_terms()
    };
    let intent = world.admits(ALICE, Message::Intent(Intent::Open(terms)));
    let commitment = Some(tally_protocol::Digest([1; 32]));
    let bid = Offer { commitment, ..offer_terms(intent, capability) };
    world.admits(BOB, Message::Offer(bid));
    world.later(20);
    world.admits(MALLORY, open());
    assert_eq!(kinds(&world), []);
    world.later(1);
    world.admits(MALLORY, open());
    assert_eq!(kinds(&world), [(FindingKind::UnopenedBid, BOB.id())]);
    world.admits(ALICE, cancel(intent));
    assert_eq!(kinds(&world), []);
}

#[test]
fn r15_prices_in_other_currencies_do_not_compare() {
    let mut market = Market::new();
    let world = &mut market.world;
    let mut bid = |amount, currency: &str| {
        let price = Some(Price::new(amount, name(currency)));
        let offer = Offer { price, ..offer_terms(market.intent, market.capability) };
        world.admits(BOB, Message::Offer(offer))
    };
    let offers = [bid(1, "shells"), bid(50, "EUR"), bid(100, "EUR")];
    let intent = world.state.intent(&market.intent).expect("open");
    let weights = vec![Measure::new(name("price"), 1)];
    let compared = evaluate::evaluate(&world.state, &intent, &weights, world.now);
    let total = |offer| {
        let found = compared.candidates.iter().find(|candidate| candidate.offer == offer);
        found.expect("compared").total
    };
    assert_eq!(offers.map(total), [0, 1_000, 500]);
    assert_eq!(total(market.offer), 0, "no price is no price");
}

// ------------------------------------------------------------------ decisions

/// The changes that a log makes, from nothing.
fn changes(world: &World) -> Vec<Change> {
    let mut state = State::new(origin());
    let mut changes = Vec::new();
    for (id, envelope, at) in &world.log {
        let change = admit(&state, *id, envelope, *at).expect("was admitted before");
        state.fold(change.clone());
        changes.push(change);
    }
    changes
}

#[test]
fn r21_every_policy_decision_is_made_again_from_the_log_alone() {
    let mut world = World::new();
    let capability = world.admits(BOB, publish("survey"));
    let intent = world.admits(ALICE, open());
    let rule = r#"@id("cheap") forbid (principal, action, resource) when {
        context has cost && context.cost.amount > 10
    };"#;
    let policy = PolicyUpdate {
        text: Document::new(rule).expect("short"),
        language: Some(PolicyLanguage::Cedar),
        ..PolicyUpdate::new(PolicyScope::Intent(intent), name("cost"), 1, PolicyAction::Activate)
    };
    let policy = world.admits(ALICE, Message::PolicyUpdate(policy));
    let offer = world.admits(BOB, offer(intent, capability));
    let (intent_now, offer_now) = (world.state.intent(&intent), world.state.offer(&offer));
    let policy_set = compliance::policy_set(
        &world.state,
        &intent_now.expect("open"),
        &offer_now.expect("live"),
        &[],
    );
    let task = TaskStart { policy_set, ..task_terms(intent, offer) };
    let task = world.admits(ALICE, task_start(task));
    let set = compliance::set(&world.state, [&policy]).expect("one policy");
    let mut judged = Vec::new();
    for decision in changes(&world).iter().flat_map(Change::decisions) {
        match decision {
            Decision::Policy { object, record } => {
                record.replay(&set).expect("the same again");
                assert!(record.decision.allowed);
                judged.push(*object);
            }
            Decision::Award { task: awarded, offer: chosen, evaluation, auction } => {
                assert_eq!((*awarded, *chosen), (task, offer));
                assert_eq!((evaluation, auction), (&None, &None));
            }
        }
    }
    assert_eq!(judged, [Object::Offer(offer), Object::Task(task)]);
}

#[test]
fn r15_an_award_says_what_it_was_chosen_by() {
    let market = Market::new();
    let mut world = market.world;
    let intent = world.state.intent(&market.intent).expect("open");
    let weights = evaluate::equal_weights();
    let evaluation = evaluate::evaluate(&world.state, &intent, &weights, world.now);
    let terms = TaskStart {
        evaluation: Some(evaluation.clone()),
        ..task_terms(market.intent, market.offer)
    };
    let task = world.admits(ALICE, task_start(terms));
    let last = changes(&world).pop().expect("the award");
    let award =
        Decision::Award { task, offer: market.offer, evaluation: Some(evaluation), auction: None };
    assert_eq!(last.decisions(), [award]);
}

/// What an author signed with his key, as it is in the log or would have been.
fn signed(envelope: &Envelope, who: Who) -> SignedEnvelope {
    envelope.sign(&AgentKey::from_seed(&[who.0; 32])).expect("signs")
}

#[test]
fn r11_who_signed_two_statements_with_one_sequence_is_on_record_for_everybody() {
    let mut world = World::new();
    let other = world.envelope(BOB, intent_message("another wish"));
    let first = world.envelope(BOB, intent_message("a wish"));
    let subject = world.append_envelope(first.clone()).expect("admitted");
    let (first, other) = (signed(&first, BOB), signed(&other, BOB));
    let notice = |state: &str, proof: &Equivocation| {
        let json = serde_json::to_string(proof).expect("JSON");
        let notice = StateNotice { subject, state: name(state), text: text(&json) };
        Message::Observe(Observe::Notice(notice))
    };
    let proof = Equivocation::new(&first, &other);
    // It has no part in anything, and what it says must be proved.
    world.refuses_by(MALLORY, notice("paused", &proof), Rule::Observer);
    for lie in [
        Equivocation::new(&first, &first),
        Equivocation::new(&other, &other),
        Equivocation::new(&first, &SignedEnvelope { signature: [0; 64], ..other.clone() }),
        Equivocation::new(&first, &signed(&world.envelope(CAROL, intent_message("x")), CAROL)),
        Equivocation::new(&first, &signed(&world.envelope(BOB, intent_message("x")), BOB)),
    ] {
        world.refuses_by(MALLORY, notice("equivocation", &lie), Rule::Observer);
    }
    let event = world.admits(MALLORY, notice("equivocation", &proof));
    assert_eq!(kinds(&world), [(FindingKind::Equivocation, BOB.id())]);
    let found = &findings(&world.state)[0];
    assert_eq!((found.object, found.event), (Object::Envelope(subject), event));
    // Once is enough.
    world.refuses_by(CAROL, notice("equivocation", &proof), Rule::Observer);
    assert_eq!(findings(&world.refolded()), findings(&world.state));
}

fn intent_message(outcome: &str) -> Message {
    Message::Intent(Intent::Open(IntentTerms::new(text(outcome))))
}
