//! The lives of capabilities, intents, offers, delegations and policies, and who may observe.

use tally_coordination::{CapabilityStanding, IntentStanding, OfferStanding, Rule, State};
use tally_protocol::message::*;
use tally_protocol::parts::PolicyRef;
use tally_protocol::{EnvelopeId, Message, TraceId};

use crate::world::*;

// ------------------------------------------------------------------ R1: capabilities

fn capability_standing(state: &State, id: EnvelopeId) -> CapabilityStanding {
    state.capability(&id).expect("a capability").standing
}

#[test]
fn r1_a_capability_is_published_revised_and_retired() {
    let mut world = World::new();
    let first = world.admits(BOB, publish("ocr"));
    assert_eq!(world.state.capability_named(&BOB.id(), &name("ocr")), Some(first));
    let second = world.admits(BOB, revise(first, "reader"));
    assert_eq!(capability_standing(&world.state, first), CapabilityStanding::Superseded(second));
    assert_eq!(capability_standing(&world.state, second), CapabilityStanding::InForce);
    assert_eq!(world.state.capability(&second).expect("it").root, first);
    assert_eq!(world.state.capability_named(&BOB.id(), &name("ocr")), None);
    assert_eq!(world.state.capability_named(&BOB.id(), &name("reader")), Some(second));
    for message in [revise(first, "ocr"), retire(first)] {
        world.refuses_by(BOB, message, Rule::CapabilityInForce);
    }
    world.admits(BOB, retire(second));
    assert_eq!(capability_standing(&world.state, second), CapabilityStanding::Retired);
    for message in [revise(second, "ocr"), retire(second)] {
        world.refuses_by(BOB, message, Rule::CapabilityInForce);
    }
    // The names are free again.
    world.admits(BOB, publish("ocr"));
    world.admits(BOB, publish("reader"));
}

#[test]
fn r1_a_revision_keeps_its_name_and_takes_no_other() {
    let mut world = World::new();
    let ocr = world.admits(BOB, publish("ocr"));
    world.admits(BOB, publish("asr"));
    world.refuses_by(BOB, revise(ocr, "asr"), Rule::CapabilityName);
    let second = world.admits(BOB, revise(ocr, "ocr"));
    assert_eq!(world.state.capability_named(&BOB.id(), &name("ocr")), Some(second));
    world.refuses_by(BOB, publish("ocr"), Rule::CapabilityName);
}

// ------------------------------------------------------------------ R3: intents

#[test]
fn r3_an_intent_is_opened_revised_and_cancelled() {
    let mut market = Market::new();
    let world = &mut market.world;
    let second = world.admits(ALICE, revise_intent(market.intent));
    let standing = |state: &State, id| state.intent(&id).expect("an intent").standing;
    assert_eq!(standing(&world.state, market.intent), IntentStanding::Superseded(second));
    assert_eq!(world.state.intent(&second).expect("it").root, market.intent);
    assert_eq!(world.state.intent(&second).expect("it").offers.len(), 0);
    // Offers on the version before must be made anew, and nothing more is done about them.
    world.refuses_by(ALICE, start(market.intent, market.offer), Rule::IntentOpen);
    world.refuses_by(ALICE, start(second, market.offer), Rule::TaskOffer);
    world.refuses_by(BOB, offer(market.intent, market.capability), Rule::IntentOpen);
    world.refuses_by(ALICE, revise_intent(market.intent), Rule::IntentOpen);
    let fresh = world.admits(BOB, offer(second, market.capability));
    world.admits(ALICE, cancel(second));
    assert_eq!(standing(&world.state, second), IntentStanding::Cancelled);
    for message in [cancel(second), revise_intent(second), start(second, fresh)] {
        world.refuses_by(ALICE, message, Rule::IntentOpen);
    }
}

#[test]
fn r4_a_closed_intent_has_no_live_offers_to_answer() {
    let mut market = Market::new();
    let world = &mut market.world;
    world.admits(ALICE, cancel(market.intent));
    world.refuses_by(ALICE, counter(market.offer), Rule::IntentOpen);
    world.refuses_by(ALICE, decline(market.offer), Rule::IntentOpen);
    // What a provider takes back is its own business.
    world.admits(BOB, withdraw(market.offer));
}

// ------------------------------------------------------------------ R4 and R5: offers

fn offer_standing(world: &World, id: EnvelopeId) -> OfferStanding {
    world.state.offer(&id).expect("an offer").standing
}

#[test]
fn r4_r5_a_counter_is_answered_by_an_offer_that_replaces() {
    let mut market = Market::new();
    let world = &mut market.world;
    let asked = world.admits(ALICE, counter(market.offer));
    assert_eq!(offer_standing(world, market.offer), OfferStanding::Live);
    let counters = &world.state.offer(&market.offer).expect("it").counters;
    assert_eq!(counters.iter().copied().collect::<Vec<_>>(), [asked]);
    let second = world.admits(BOB, replace(market.offer, market.intent, market.capability));
    assert_eq!(offer_standing(world, market.offer), OfferStanding::Replaced(second));
    assert_eq!(offer_standing(world, second), OfferStanding::Live);
    let offers = &world.state.intent(&market.intent).expect("it").offers;
    assert_eq!(offers.iter().copied().collect::<Vec<_>>(), [market.offer, second]);
}

/// Whatever ended an offer, nothing more is done with it.
#[test]
fn r12_an_offer_that_is_not_live_takes_no_answer() {
    let check = |end: fn(&mut Market), expect: fn(OfferStanding) -> bool| {
        let mut market = Market::new();
        end(&mut market);
        let (offer, intent) = (market.offer, market.intent);
        let world = &mut market.world;
        assert!(expect(offer_standing(world, offer)));
        world.refuses_by(ALICE, start(intent, offer), Rule::OfferLive);
        world.refuses_by(ALICE, counter(offer), Rule::OfferLive);
        world.refuses_by(ALICE, decline(offer), Rule::OfferLive);
        world.refuses_by(BOB, withdraw(offer), Rule::OfferLive);
        let again = replace(offer, intent, market.capability);
        world.refuses_by(BOB, again, Rule::OfferReplaces);
    };
    check(
        |market| {
            market.world.admits(BOB, withdraw(market.offer));
        },
        |standing| standing == OfferStanding::Withdrawn,
    );
    check(
        |market| {
            market.world.admits(ALICE, decline(market.offer));
        },
        |standing| standing == OfferStanding::Declined,
    );
    check(
        |market| {
            market.world.admits(BOB, replace(market.offer, market.intent, market.capability));
        },
        |standing| matches!(standing, OfferStanding::Replaced(_)),
    );
    check(
        |market| {
            market.world.admits(ALICE, start(market.intent, market.offer));
        },
        |standing| matches!(standing, OfferStanding::Accepted(_)),
    );
}

#[test]
fn r12_an_offer_is_live_up_to_and_including_its_time() {
    let mut market = Market::new();
    let (intent, capability) = (market.intent, market.capability);
    let until = market.world.now.plus_us(10);
    let short = market.world.admits(BOB, offer_until(intent, capability, until));
    let mut at_the_time = market.world.clone();
    at_the_time.now = until;
    assert!(!at_the_time.state.offer(&short).expect("it").is_expired(until));
    at_the_time.admits(ALICE, start(intent, short));
    let world = &mut market.world;
    world.now = until.plus_us(1);
    assert!(world.state.offer(&short).expect("it").is_expired(world.now));
    for message in [start(intent, short), counter(short), decline(short)] {
        world.refuses_by(ALICE, message, Rule::OfferLive);
    }
    world.refuses_by(BOB, withdraw(short), Rule::OfferLive);
}

// ------------------------------------------------------------------ R9: delegation

#[test]
fn r9_a_delegate_starts_tasks_until_it_is_revoked() {
    let mut market = Market::new();
    let (intent, capability) = (market.intent, market.capability);
    let world = &mut market.world;
    world.refuses_by(DAVE, start(intent, market.offer), Rule::TaskInitiator);
    let delegation = world.admits(ALICE, delegate(DAVE, None, None));
    world.refuses_by(MALLORY, start(intent, market.offer), Rule::TaskInitiator);
    let task = world.admits(DAVE, start(intent, market.offer));
    let found = world.task(task);
    assert_eq!((found.initiator, found.intent_author), (DAVE.id(), ALICE.id()));
    // A delegation is for tasks; the intent stays its author's.
    world.refuses_by(DAVE, cancel(intent), Rule::IntentAuthor);
    world.admits(ALICE, revoke(delegation));
    let second = world.admits(BOB, offer(intent, capability));
    world.refuses_by(DAVE, start(intent, second), Rule::TaskInitiator);
    world.admits(ALICE, start(intent, second));
}

#[test]
fn r9_a_delegation_holds_up_to_and_including_its_time() {
    let mut market = Market::new();
    let until = market.world.now.plus_us(10);
    market.world.admits(ALICE, delegate(DAVE, None, Some(until)));
    market.world.now = until;
    let mut later = market.world.clone();
    later.later(1);
    let message = start(market.intent, market.offer);
    later.refuses_by(DAVE, message.clone(), Rule::TaskInitiator);
    market.world.admits(DAVE, message);
}

#[test]
fn r9_a_delegation_is_for_its_author_and_its_intent() {
    let mut market = Market::new();
    let world = &mut market.world;
    let other = world.admits(ALICE, open());
    let elsewhere = world.admits(BOB, offer(other, market.capability));
    // Whoever is no party to the intent delegates nothing.
    world.admits(MALLORY, delegate(DAVE, None, None));
    world.admits(ALICE, claim(ClaimSubject::Agent(DAVE.id()), "delegate", None));
    world.refuses_by(DAVE, start(market.intent, market.offer), Rule::TaskInitiator);
    world.admits(ALICE, delegate(DAVE, Some(market.intent), None));
    world.refuses_by(DAVE, start(other, elsewhere), Rule::TaskInitiator);
    world.admits(DAVE, start(market.intent, market.offer));
}

/// Whichever version it named, the delegation is about the intent.
#[test]
fn r9_a_delegation_outlives_revisions_of_its_intent() {
    for named in 0..3 {
        let mut market = Market::new();
        let world = &mut market.world;
        let mut version = market.intent;
        for i in 0..3 {
            if i == named {
                world.admits(ALICE, delegate(DAVE, Some(version), None));
            }
            version = world.admits(ALICE, revise_intent(version));
        }
        let fresh = world.admits(BOB, offer(version, market.capability));
        world.admits(DAVE, start(version, fresh));
    }
}

// ------------------------------------------------------------------ R10: policies

#[test]
fn r10_a_policy_is_activated_amended_overridden_and_revoked() {
    use PolicyAction::*;
    let mut world = World::new();
    let scope = PolicyScope::Agent(ALICE.id());
    let key = (scope, name("residency"));
    let in_force = |world: &World, id| world.state.policy_in_force(&id).is_some();
    for action in [Amend, Override, Revoke] {
        world.refuses_by(ALICE, policy(scope, 1, action), Rule::PolicyAction);
    }
    let first = world.admits(ALICE, policy(scope, 1, Activate));
    assert!(in_force(&world, first));
    world.refuses_by(ALICE, policy(scope, 2, Activate), Rule::PolicyAction);
    let second = world.admits(ALICE, policy(scope, 2, Amend));
    assert!(in_force(&world, second) && !in_force(&world, first));
    let third = world.admits(ALICE, policy(scope, 7, Override));
    assert!(in_force(&world, third) && !in_force(&world, second));
    let fourth = world.admits(ALICE, policy(scope, 8, Revoke));
    assert!(!in_force(&world, third) && !in_force(&world, fourth));
    assert_eq!(world.state.policy(&key).map(|policy| policy.update), Some(fourth));
    // Versions go on after a revocation.
    world.refuses_by(ALICE, policy(scope, 8, Activate), Rule::PolicyVersion);
    world.refuses_by(ALICE, policy(scope, 9, Revoke), Rule::PolicyAction);
    let fifth = world.admits(ALICE, policy(scope, 9, Activate));
    assert!(in_force(&world, fifth));
}

#[test]
fn r10_a_policy_follows_the_versions_of_its_scope() {
    use PolicyAction::*;
    let mut market = Market::new();
    let world = &mut market.world;
    let on_capability = |id, version, action| policy(PolicyScope::Capability(id), version, action);
    let on_intent = |id, version, action| policy(PolicyScope::Intent(id), version, action);
    world.admits(BOB, on_capability(market.capability, 1, Activate));
    world.admits(ALICE, on_intent(market.intent, 1, Activate));
    let capability = world.admits(BOB, revise(market.capability, "ocr"));
    let intent = world.admits(ALICE, revise_intent(market.intent));
    let superseded = on_capability(market.capability, 2, Amend);
    world.refuses_by(BOB, superseded, Rule::CapabilityInForce);
    world.refuses_by(ALICE, on_intent(market.intent, 2, Amend), Rule::IntentOpen);
    // It is the same policy, by the first version of its scope.
    world.refuses_by(BOB, on_capability(capability, 1, Amend), Rule::PolicyVersion);
    world.admits(BOB, on_capability(capability, 2, Amend));
    world.admits(ALICE, on_intent(intent, 2, Amend));
}

#[test]
fn r13_policies_are_cited_while_in_force_by_every_message_that_cites_them() {
    let mut market = Market::new();
    let (intent, capability_id, offered) = (market.intent, market.capability, market.offer);
    let world = &mut market.world;
    let scope = PolicyScope::Agent(BOB.id());
    let update = world.admits(BOB, policy(scope, 1, PolicyAction::Activate));
    let policies = vec![PolicyRef { update }];
    let publishing = |label: &str| {
        let terms = CapabilityTerms { policies: policies.clone(), ..capability(label) };
        Message::AdvertiseCapability(AdvertiseCapability::Publish(terms))
    };
    let revising = {
        let terms = CapabilityTerms { policies: policies.clone(), ..capability("ocr") };
        let revision = CapabilityRevision { capability: capability_id, terms };
        Message::AdvertiseCapability(AdvertiseCapability::Revise(revision))
    };
    let revised_intent = {
        let terms = IntentTerms { policies: policies.clone(), ..intent_terms() };
        Message::Intent(Intent::Revise(IntentRevision { intent, terms }))
    };
    let offering =
        Message::Offer(Offer { policies: policies.clone(), ..offer_terms(intent, capability_id) });
    let starting =
        task_start(TaskStart { policies: policies.clone(), ..task_terms(intent, offered) });
    let messages = [
        (BOB, publishing("asr")),
        (BOB, revising),
        (ALICE, revised_intent),
        (BOB, offering),
        (ALICE, starting),
    ];
    let mut revoked = world.clone();
    revoked.admits(BOB, policy(scope, 2, PolicyAction::Revoke));
    for (who, message) in messages {
        world.clone().admits(who, message.clone());
        revoked.refuses_by(who, message, Rule::PolicyInForce);
    }
}

// ------------------------------------------------------------------ R11: observers

#[test]
fn r11_parties_and_named_observers_see_a_task_and_its_intent() {
    let mut market = Market::new();
    let (intent, offered) = (market.intent, market.offer);
    let world = &mut market.world;
    world.admits(ALICE, delegate(DAVE, None, None));
    let monitoring = Monitoring {
        report_every_us: 0,
        observers: vec![CAROL.id()],
        instructions: Default::default(),
    };
    let terms = TaskStart { monitoring: Some(monitoring), ..task_terms(intent, offered) };
    let task = world.admits(DAVE, task_start(terms));
    let asks = [
        Message::Observe(Observe::TaskStatus(task)),
        Message::Observe(Observe::CoordinationGraph(intent)),
        notice(task),
        notice(intent),
    ];
    for message in asks {
        for who in [ALICE, BOB, CAROL, DAVE] {
            world.admits(who, message.clone());
        }
        world.refuses_by(MALLORY, message, Rule::Observer);
    }
    // A trace spans owners; what it leads to is answered object by object.
    world.admits(MALLORY, Message::Observe(Observe::Trace(TraceId([1; 16]))));
}

#[test]
fn r11_whoever_offered_sees_how_the_decision_was_made() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    let graph = Message::Observe(Observe::CoordinationGraph(market.intent));
    let carols = world.admits(CAROL, publish("ocr"));
    world.refuses_by(CAROL, graph.clone(), Rule::Observer);
    world.admits(CAROL, offer(market.intent, carols));
    world.admits(CAROL, graph);
    let status = Message::Observe(Observe::TaskStatus(task));
    world.refuses_by(CAROL, status, Rule::Observer);
}

#[test]
fn r11_owners_publish_changes_of_what_they_own() {
    let mut market = Market::new();
    let world = &mut market.world;
    let attestation = world.admits(CAROL, claim(ClaimSubject::Agent(BOB.id()), "quality", None));
    for (subject, owner, other) in [
        (market.capability, BOB, ALICE),
        (market.offer, BOB, ALICE),
        (market.intent, ALICE, CAROL),
        (attestation, CAROL, BOB),
    ] {
        world.refuses_by(other, notice(subject), Rule::Observer);
        world.admits(owner, notice(subject));
    }
}
