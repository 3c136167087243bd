//! Each rule refuses what breaks it, names the object and the field, and admits the same message
//! without the fault.

use tally_coordination::{Cause, Object, Rule};
use tally_protocol::message::*;
use tally_protocol::parts::{Document, PolicyRef};
use tally_protocol::{AuthorSequence, EnvelopeId, Message, Origin, Time};

use crate::judged;
use crate::provoke::check;
use crate::world::*;

#[test]
fn every_rule_has_a_test() {
    for rule in Rule::ALL {
        assert!(
            TESTED.contains(rule) || judged::TESTED.contains(rule),
            "{rule:?} has no test that provokes it"
        );
    }
}

fn in_the_past(world: &World) -> Time {
    world.now
}

fn in_the_future(world: &World) -> Time {
    world.now.plus_us(1)
}

refusals! {
    // -------------------------------------------------------------- R13: the envelope itself

    Origin => r13_an_envelope_for_another_ledger_is_refused {
        let mut world = World::new();
        let right = world.envelope(ALICE, open());
        let mut wrong = right.clone();
        wrong.origin = Origin::new("ledger.example/other").expect("an origin");
        let refusal = world.append_envelope(wrong.clone()).expect_err("is refused");
        let payload = wrong.encode().expect("encodes").into();
        let id = tally_protocol::SignedEnvelope { payload, signature: [0; 64] }.id();
        assert_eq!((refusal.object, refusal.field), (Object::Envelope(id), "origin"));
        world.append_envelope(right).expect("is admitted");
        refusal
    }

    AuthorSequence => r13_a_gap_in_an_authors_chain_is_refused {
        let mut world = World::new();
        world.admits(ALICE, open());
        let right = world.envelope(ALICE, open());
        let mut wrong = right.clone();
        wrong.author_sequence = AuthorSequence(2);
        let refusal = world.append_envelope(wrong).expect_err("is refused");
        let expect = (Object::Agent(ALICE.id()), "author_sequence");
        assert_eq!((refusal.object, refusal.field), expect);
        world.append_envelope(right).expect("is admitted");
        refusal
    }

    Equivocation => r13_a_second_envelope_at_one_sequence_is_refused {
        let mut world = World::new();
        let other = world.envelope(ALICE, publish("ocr"));
        world.admits(ALICE, open());
        let refusal = world.append_envelope(other).expect_err("is refused");
        let expect = (Object::Agent(ALICE.id()), "author_sequence");
        assert_eq!((refusal.object, refusal.field), expect);
        assert_eq!(refusal.rule.cause(), Cause::Equivocation);
        world.admits(ALICE, publish("ocr"));
        refusal
    }

    AuthorPrevious => r13_previous_is_the_authors_own_last_envelope {
        let mut world = World::new();
        world.admits(ALICE, open());
        let bobs = world.admits(BOB, publish("ocr"));
        let right = world.envelope(ALICE, open());
        let mut wrong = right.clone();
        wrong.previous = Some(bobs);
        let refusal = world.append_envelope(wrong).expect_err("is refused");
        assert_eq!((refusal.object, refusal.field), (Object::Agent(ALICE.id()), "previous"));
        world.append_envelope(right).expect("is admitted");
        refusal
    }

    Reference => r13_a_reference_names_something_in_this_ledger {
        let mut world = World::new();
        let right = world.envelope(ALICE, open());
        let mut wrong = right.clone();
        wrong.causes = vec![NOWHERE];
        let refusal = world.append_envelope(wrong).expect_err("is refused");
        assert_eq!((refusal.object, refusal.field), (Object::Envelope(NOWHERE), "causes"));
        let intent = world.append_envelope(right).expect("is admitted");
        let mut caused = world.envelope(ALICE, open());
        caused.causes = vec![intent];
        world.append_envelope(caused).expect("a cause that is there");
        refusal
    }

    ReferenceKind => r13_a_reference_names_an_object_of_its_kind {
        let mut market = Market::new();
        let wrong = start(market.capability, market.offer);
        let expect = (Object::Envelope(market.capability), "task_start.intent");
        let right = start(market.intent, market.offer);
        check(&mut market.world, (ALICE, wrong), expect, (ALICE, right))
    }

    PolicyInForce => r13_a_policy_that_is_referred_to_is_in_force {
        let mut world = World::new();
        let scope = PolicyScope::Agent(ALICE.id());
        let first = world.admits(ALICE, policy(scope, 1, PolicyAction::Activate));
        let second = world.admits(ALICE, policy(scope, 2, PolicyAction::Amend));
        let under = |update| Message::Intent(Intent::Open(IntentTerms {
            policies: vec![PolicyRef { update }],
            ..intent_terms()
        }));
        let expect = (Object::Policy(first), "intent.open.policies");
        check(&mut world, (ALICE, under(first)), expect, (ALICE, under(second)))
    }

    Consistent => r13_a_receipt_does_not_end_before_it_starts {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        world.admits(BOB, progress(task, ProgressState::Accepted, 0));
        let between = |started: i64, ended: i64| Message::TaskDone(TaskDone {
            started_at_us: Some(Time(started)),
            ended_at_us: Some(Time(ended)),
            ..receipt(task, Outcome::Failed)
        });
        let expect = (Object::Task(task), "task_done.ended_at_us");
        check(world, (BOB, between(11, 10)), expect, (BOB, between(10, 10)))
    }

    Future => r20_a_time_to_come_lies_in_the_future {
        let mut world = World::new();
        let (past, future) = (in_the_past(&world), in_the_future(&world));
        let wrong = open_until(past);
        let object = Object::Intent(world.next_id(ALICE, wrong.clone()));
        let expect = (object, "intent.open.deadline_us");
        check(&mut world, (ALICE, wrong), expect, (ALICE, open_until(future)))
    }

    // -------------------------------------------------------------- R1: capabilities

    CapabilityOwner => r1_only_the_owner_revises_and_retires {
        let mut world = World::new();
        let id = world.admits(BOB, publish("ocr"));
        let object = Object::Capability(id);
        let retire_field = "advertise_capability.retire.capability";
        world.refuses(MALLORY, retire(id), (Rule::CapabilityOwner, object, retire_field));
        let expect = (object, "advertise_capability.revise.capability");
        check(&mut world, (MALLORY, revise(id, "ocr")), expect, (BOB, revise(id, "ocr")))
    }

    CapabilityInForce => r1_a_superseded_version_is_not_cited {
        let mut market = Market::new();
        let revised = market.world.admits(BOB, revise(market.capability, "ocr"));
        let expect = (Object::Capability(market.capability), "offer.capability");
        let wrong = offer(market.intent, market.capability);
        let right = offer(market.intent, revised);
        check(&mut market.world, (BOB, wrong), expect, (BOB, right))
    }

    CapabilityName => r1_an_owners_names_are_unique {
        let mut world = World::new();
        let first = world.admits(BOB, publish("ocr"));
        let expect = (Object::Capability(first), "advertise_capability.publish.name");
        world.admits(CAROL, publish("ocr"));
        check(&mut world, (BOB, publish("ocr")), expect, (BOB, publish("ocr2")))
    }

    // -------------------------------------------------------------- R3: intents

    IntentAuthor => r3_only_the_author_changes_an_intent {
        let mut market = Market::new();
        let object = Object::Intent(market.intent);
        let id = market.intent;
        let world = &mut market.world;
        world.refuses(BOB, cancel(id), (Rule::IntentAuthor, object, "intent.cancel.intent"));
        let declines = (Rule::IntentAuthor, object, "negotiate.decline.offer");
        world.refuses(BOB, decline(market.offer), declines);
        let counters = (Rule::IntentAuthor, object, "negotiate.counter.offer");
        world.refuses(MALLORY, counter(market.offer), counters);
        let delegates = (Rule::IntentAuthor, object, "attest.delegate.intent");
        world.refuses(MALLORY, delegate(DAVE, Some(id), None), delegates);
        let expect = (object, "intent.revise.intent");
        check(world, (MALLORY, revise_intent(id)), expect, (ALICE, revise_intent(id)))
    }

    IntentOpen => r12_a_cancelled_intent_takes_no_offers {
        let mut market = Market::new();
        let other = market.world.admits(ALICE, open());
        market.world.admits(ALICE, cancel(market.intent));
        let expect = (Object::Intent(market.intent), "offer.intent");
        let wrong = offer(market.intent, market.capability);
        let right = offer(other, market.capability);
        check(&mut market.world, (BOB, wrong), expect, (BOB, right))
    }

    IntentDeadline => r20_an_intent_takes_no_offers_after_its_deadline {
        let mut market = Market::new();
        let world = &mut market.world;
        let until = in_the_future(world);
        let intent = world.admits(ALICE, open_until(until));
        world.now = until;
        let at_the_deadline = world.admits(BOB, offer(intent, market.capability));
        world.later(1);
        let object = Object::Intent(intent);
        let starts = (Rule::IntentDeadline, object, "task_start.intent");
        world.refuses(ALICE, start(intent, at_the_deadline), starts);
        let wrong = offer(intent, market.capability);
        let right = offer(market.intent, market.capability);
        check(world, (BOB, wrong), (object, "offer.intent"), (BOB, right))
    }

    IntentIdle => r3_an_intent_with_a_running_task_is_not_revised {
        let (mut market, task) = Market::with_task();
        let expect = (Rule::IntentIdle, Object::Intent(market.intent), "intent.revise.intent");
        let refusal = market.world.refuses(ALICE, revise_intent(market.intent), expect);
        market.world.admits(BOB, done(task, Outcome::Rejected));
        market.world.admits(ALICE, revise_intent(market.intent));
        refusal
    }

    // -------------------------------------------------------------- R4 and R5: offers

    OfferOwner => r4_only_the_owner_offers_a_capability {
        let mut market = Market::new();
        let carols = market.world.admits(CAROL, publish("ocr"));
        let expect = (Object::Capability(market.capability), "offer.capability");
        let wrong = offer(market.intent, market.capability);
        let right = offer(market.intent, carols);
        check(&mut market.world, (CAROL, wrong), expect, (CAROL, right))
    }

    OfferReplaces => r4_only_the_providers_own_live_offer_is_replaced {
        let mut market = Market::new();
        let (intent, capability) = (market.intent, market.capability);
        let world = &mut market.world;
        let carols = world.admits(CAROL, publish("ocr"));
        let carols_offer = world.admits(CAROL, offer(intent, carols));
        let refused = |id| (Rule::OfferReplaces, Object::Offer(id), "offer.replaces");
        world.refuses(BOB, replace(carols_offer, intent, capability), refused(carols_offer));
        let other = world.admits(ALICE, open());
        world.refuses(BOB, replace(market.offer, other, capability), refused(market.offer));
        let second = world.admits(BOB, replace(market.offer, intent, capability));
        let wrong = replace(market.offer, intent, capability);
        let right = replace(second, intent, capability);
        let expect = (Object::Offer(market.offer), "offer.replaces");
        check(world, (BOB, wrong), expect, (BOB, right))
    }

    OfferProvider => r5_only_the_provider_withdraws {
        let mut market = Market::new();
        let expect = (Object::Offer(market.offer), "negotiate.withdraw.offer");
        let message = withdraw(market.offer);
        check(&mut market.world, (ALICE, message.clone()), expect, (BOB, message))
    }

    OfferLive => r12_a_withdrawn_offer_is_not_accepted {
        let mut market = Market::new();
        let second = market.world.admits(BOB, offer(market.intent, market.capability));
        market.world.admits(BOB, withdraw(market.offer));
        let expect = (Object::Offer(market.offer), "task_start.offer");
        let wrong = start(market.intent, market.offer);
        let right = start(market.intent, second);
        check(&mut market.world, (ALICE, wrong), expect, (ALICE, right))
    }

    // -------------------------------------------------------------- R6 and R18: tasks

    TaskInitiator => r6_only_the_author_or_a_delegate_starts_a_task {
        let mut market = Market::new();
        let expect = (Object::Intent(market.intent), "task_start.intent");
        let message = start(market.intent, market.offer);
        let world = &mut market.world;
        let provider = (Rule::TaskInitiator, expect.0, expect.1);
        world.refuses(BOB, message.clone(), provider);
        check(world, (MALLORY, message.clone()), expect, (ALICE, message))
    }

    TaskOffer => r6_the_offer_is_for_the_intent {
        let mut market = Market::new();
        let other = market.world.admits(ALICE, open());
        let expect = (Object::Offer(market.offer), "task_start.offer");
        let wrong = start(other, market.offer);
        let right = start(market.intent, market.offer);
        check(&mut market.world, (ALICE, wrong), expect, (ALICE, right))
    }

    TaskReplaces => r18_a_retry_replaces_an_ended_task {
        let (mut market, task) = Market::with_task();
        let (intent, world) = (market.intent, &mut market.world);
        let second = world.admits(BOB, offer(intent, market.capability));
        let expect = (Rule::TaskReplaces, Object::Task(task), "task_start.replaces");
        let refusal = world.refuses(ALICE, retry(intent, second, task, 2), expect);
        world.admits(BOB, done(task, Outcome::Rejected));
        world.admits(ALICE, retry(intent, second, task, 2));
        refusal
    }

    DeadlineOrder => r20_deadlines_come_in_order {
        let mut market = Market::new();
        let (first, second) = (market.world.now.plus_us(10), market.world.now.plus_us(20));
        let by = |accept, done| {
            let deadlines =
                Deadlines { accept_by_us: Some(accept), done_by_us: Some(done), ..NO_DEADLINES };
            start_by(market.intent, market.offer, deadlines)
        };
        let wrong = by(second, first);
        let object = Object::Task(market.world.next_id(ALICE, wrong.clone()));
        let expect = (object, "task_start.deadlines.done_by_us");
        let right = by(first, first);
        check(&mut market.world, (ALICE, wrong), expect, (ALICE, right))
    }

    TaskParty => r5_only_parties_ask_for_cancellation {
        let (mut market, task) = Market::with_task();
        let expect = (Object::Task(task), "negotiate.request_cancellation.task");
        let message = request_cancellation(task);
        check(&mut market.world, (MALLORY, message.clone()), expect, (ALICE, message))
    }

    TaskExecutor => r7_only_the_executor_reports_and_ends {
        let (mut market, task) = Market::with_task();
        let object = Object::Task(task);
        let world = &mut market.world;
        let ends = (Rule::TaskExecutor, object, "task_done.task");
        for outcome in [
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::Rejected,
            Outcome::Violated,
            Outcome::Cancelled,
        ] {
            world.refuses(ALICE, done(task, outcome), ends);
        }
        let message = progress(task, ProgressState::Accepted, 0);
        let expect = (object, "task_progress.task");
        check(world, (ALICE, message.clone()), expect, (BOB, message))
    }

    TaskLive => r18_an_ended_task_never_reopens {
        let (mut market, task) = Market::with_task();
        let second = market.world.admits(BOB, offer(market.intent, market.capability));
        let other = market.world.admits(ALICE, start(market.intent, second));
        let world = &mut market.world;
        world.admits(BOB, done(task, Outcome::Rejected));
        let object = Object::Task(task);
        let requests = (Rule::TaskLive, object, "negotiate.request_cancellation.task");
        world.refuses(ALICE, request_cancellation(task), requests);
        let accepted = |task| progress(task, ProgressState::Accepted, 0);
        let expect = (object, "task_progress.task");
        check(world, (BOB, accepted(task)), expect, (BOB, accepted(other)))
    }

    TaskTransition => r18_states_follow_in_order {
        let (mut market, task) = Market::with_task();
        let wrong = progress(task, ProgressState::Running, 0);
        let right = progress(task, ProgressState::Accepted, 0);
        let expect = (Object::Task(task), "task_progress.state");
        check(&mut market.world, (BOB, wrong), expect, (BOB, right))
    }

    Percent => r7_percent_never_falls {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        world.admits(BOB, progress(task, ProgressState::Accepted, 10));
        let running = |percent| progress(task, ProgressState::Running, percent);
        let object = Object::Task(task);
        world.refuses(BOB, running(101), (Rule::Percent, object, "task_progress.percent"));
        let expect = (object, "task_progress.percent");
        check(world, (BOB, running(9)), expect, (BOB, running(10)))
    }

    AbandonInitiator => r18_only_the_initiator_abandons {
        let mut market = Market::new();
        let until = in_the_future(&market.world);
        let deadlines = Deadlines { done_by_us: Some(until), ..NO_DEADLINES };
        let world = &mut market.world;
        let task = world.admits(ALICE, start_by(market.intent, market.offer, deadlines));
        world.later(2);
        let message = done(task, Outcome::Abandoned);
        let expect = (Object::Task(task), "task_done.task");
        world.refuses_by(MALLORY, message.clone(), Rule::AbandonInitiator);
        check(world, (BOB, message.clone()), expect, (ALICE, message))
    }

    AbandonOverdue => r20_a_task_is_abandoned_only_when_overdue {
        let mut market = Market::new();
        let until = in_the_future(&market.world);
        let deadlines = Deadlines { done_by_us: Some(until), ..NO_DEADLINES };
        let world = &mut market.world;
        let task = world.admits(ALICE, start_by(market.intent, market.offer, deadlines));
        world.now = until;
        let message = done(task, Outcome::Abandoned);
        let expect = (Rule::AbandonOverdue, Object::Task(task), "task_done.outcome");
        let refusal = world.refuses(ALICE, message.clone(), expect);
        world.later(1);
        world.admits(ALICE, message);
        refusal
    }

    CancelRequested => r18_a_task_is_cancelled_only_on_request {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        let expect = (Rule::CancelRequested, Object::Task(task), "task_done.outcome");
        let refusal = world.refuses(BOB, done(task, Outcome::Cancelled), expect);
        world.admits(ALICE, request_cancellation(task));
        world.admits(BOB, done(task, Outcome::Cancelled));
        refusal
    }

    LateTerminal => r18_a_party_adds_one_late_outcome {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        world.admits(BOB, done(task, Outcome::Rejected));
        world.admits(BOB, done(task, Outcome::Failed));
        let expect = (Object::Task(task), "task_done.task");
        let wrong = done(task, Outcome::Succeeded);
        let right = done(task, Outcome::Abandoned);
        check(world, (BOB, wrong), expect, (ALICE, right))
    }

    // -------------------------------------------------------------- R9: attestations

    AttestAuthor => r9_only_the_author_revokes_an_attestation {
        let mut world = World::new();
        let id = world.admits(ALICE, claim(ClaimSubject::Agent(BOB.id()), "quality", None));
        let expect = (Object::Attestation(id), "attest.revoke.attestation");
        check(&mut world, (BOB, revoke(id)), expect, (ALICE, revoke(id)))
    }

    AttestLive => r9_an_attestation_is_revoked_once {
        let mut world = World::new();
        let first = world.admits(ALICE, delegate(DAVE, None, None));
        let second = world.admits(ALICE, delegate(DAVE, None, None));
        world.admits(ALICE, revoke(first));
        let expect = (Object::Attestation(first), "attest.revoke.attestation");
        check(&mut world, (ALICE, revoke(first)), expect, (ALICE, revoke(second)))
    }

    DelegateOther => r9_a_delegate_is_another_agent {
        let mut world = World::new();
        let wrong = delegate(ALICE, None, None);
        let object = Object::Attestation(world.next_id(ALICE, wrong.clone()));
        let expect = (object, "attest.delegate.delegate");
        check(&mut world, (ALICE, wrong), expect, (ALICE, delegate(DAVE, None, None)))
    }

    // -------------------------------------------------------------- R10: policies

    PolicyOwner => r10_only_the_owner_of_the_scope_updates_a_policy {
        let mut market = Market::new();
        let world = &mut market.world;
        let activate = |scope| policy(scope, 1, PolicyAction::Activate);
        let field = "policy_update.scope";
        let of_capability = PolicyScope::Capability(market.capability);
        let object = Object::Capability(market.capability);
        world.refuses(ALICE, activate(of_capability), (Rule::PolicyOwner, object, field));
        let of_agent = PolicyScope::Agent(ALICE.id());
        let object = Object::Agent(ALICE.id());
        world.refuses(BOB, activate(of_agent), (Rule::PolicyOwner, object, field));
        world.admits(BOB, activate(of_capability));
        world.admits(ALICE, activate(of_agent));
        let message = activate(PolicyScope::Intent(market.intent));
        let expect = (Object::Intent(market.intent), field);
        check(world, (BOB, message.clone()), expect, (ALICE, message))
    }

    PolicyVersion => r10_versions_strictly_increase {
        let mut world = World::new();
        let scope = PolicyScope::Agent(ALICE.id());
        let first = world.admits(ALICE, policy(scope, 5, PolicyAction::Activate));
        let amend = |version| policy(scope, version, PolicyAction::Amend);
        world.refuses_by(ALICE, amend(4), Rule::PolicyVersion);
        let expect = (Object::Policy(first), "policy_update.policy_version");
        check(&mut world, (ALICE, amend(5)), expect, (ALICE, amend(6)))
    }

    PolicyAction => r10_a_policy_is_activated_before_it_is_amended {
        let mut world = World::new();
        let scope = PolicyScope::Agent(ALICE.id());
        let wrong = policy(scope, 1, PolicyAction::Amend);
        let object = Object::Policy(world.next_id(ALICE, wrong.clone()));
        let right = policy(scope, 1, PolicyAction::Activate);
        let expect = (object, "policy_update.action");
        check(&mut world, (ALICE, wrong), expect, (ALICE, right))
    }

    // -------------------------------------------------------------- R11: observing

    Observer => r11_only_who_may_see_a_task_asks_for_it {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        let graph = Message::Observe(Observe::CoordinationGraph(market.intent));
        let object = Object::Intent(market.intent);
        let field = "observe.coordination_graph";
        world.refuses(MALLORY, graph, (Rule::Observer, object, field));
        let object = Object::Envelope(task);
        let field = "observe.notice.subject";
        world.refuses(MALLORY, notice(task), (Rule::Observer, object, field));
        let message = Message::Observe(Observe::TaskStatus(task));
        let expect = (Object::Task(task), "observe.task_status");
        check(world, (MALLORY, message.clone()), expect, (BOB, message))
    }
}

// ------------------------------------------------------------------ further places of the same rules

#[test]
fn r13_every_reference_must_be_in_the_ledger() {
    let (mut market, _) = Market::with_task();
    let Market { world, capability, intent, offer: accepted } = &mut market;
    let (capability, intent, accepted) = (*capability, *intent, *accepted);
    let policies = vec![PolicyRef { update: NOWHERE }];
    let with_policy =
        task_start(TaskStart { policies: policies.clone(), ..task_terms(intent, accepted) });
    let fresh = world.admits(BOB, offer(intent, capability));
    let depends = task_start(TaskStart { depends_on: vec![NOWHERE], ..task_terms(intent, fresh) });
    let result = PolicyResult {
        policy: PolicyRef { update: NOWHERE },
        compliant: true,
        reason: Default::default(),
    };
    let judged = |task| {
        Message::TaskDone(TaskDone {
            policy_results: vec![result.clone()],
            ..receipt(task, Outcome::Rejected)
        })
    };
    let task = world.state.tasks().next().expect("a task").id;
    let mut check = |who, message: Message, field: &str| {
        let refusal = world.append(who, message).expect_err("is refused");
        let expect = (Rule::Reference, Object::Envelope(NOWHERE), field);
        assert_eq!((refusal.rule, refusal.object, refusal.field), expect, "{refusal}");
    };
    check(BOB, revise(NOWHERE, "x"), "advertise_capability.revise.capability");
    check(BOB, retire(NOWHERE), "advertise_capability.retire.capability");
    check(ALICE, revise_intent(NOWHERE), "intent.revise.intent");
    check(ALICE, cancel(NOWHERE), "intent.cancel.intent");
    check(BOB, offer(NOWHERE, capability), "offer.intent");
    check(BOB, offer(intent, NOWHERE), "offer.capability");
    check(BOB, replace(NOWHERE, intent, capability), "offer.replaces");
    check(ALICE, counter(NOWHERE), "negotiate.counter.offer");
    check(ALICE, decline(NOWHERE), "negotiate.decline.offer");
    check(BOB, withdraw(NOWHERE), "negotiate.withdraw.offer");
    check(BOB, request_cancellation(NOWHERE), "negotiate.request_cancellation.task");
    check(ALICE, start(NOWHERE, accepted), "task_start.intent");
    check(ALICE, start(intent, NOWHERE), "task_start.offer");
    check(ALICE, retry(intent, accepted, NOWHERE, 2), "task_start.replaces");
    check(ALICE, depends, "task_start.depends_on");
    check(BOB, progress(NOWHERE, ProgressState::Running, 0), "task_progress.task");
    let used = match progress(task, ProgressState::Accepted, 0) {
        Message::TaskProgress(report) => {
            Message::TaskProgress(TaskProgress { depends_on: vec![NOWHERE], ..report })
        }
        other => panic!("{other:?}"),
    };
    check(BOB, used, "task_progress.depends_on");
    check(BOB, done(NOWHERE, Outcome::Failed), "task_done.task");
    check(BOB, judged(task), "task_done.policy_results.policy");
    check(ALICE, claim(ClaimSubject::Envelope(NOWHERE), "quality", None), "attest.claim.subject");
    check(ALICE, delegate(DAVE, Some(NOWHERE), None), "attest.delegate.intent");
    check(ALICE, revoke(NOWHERE), "attest.revoke.attestation");
    let activate = |scope| policy(scope, 1, PolicyAction::Activate);
    check(BOB, activate(PolicyScope::Capability(NOWHERE)), "policy_update.scope");
    check(ALICE, activate(PolicyScope::Intent(NOWHERE)), "policy_update.scope");
    check(ALICE, Message::Observe(Observe::TaskStatus(NOWHERE)), "observe.task_status");
    check(ALICE, notice(NOWHERE), "observe.notice.subject");
    let terms = IntentTerms { policies: policies.clone(), ..intent_terms() };
    check(ALICE, Message::Intent(Intent::Open(terms)), "intent.open.policies");
    let terms = Offer { policies: policies.clone(), ..offer_terms(intent, capability) };
    check(BOB, Message::Offer(terms), "offer.policies");
    // The accepted offer is no longer live, which is found first.
    let refusal = world.append(ALICE, with_policy).expect_err("is refused");
    assert_eq!(refusal.rule, Rule::OfferLive);
    let with_policy = task_start(TaskStart { policies, ..task_terms(intent, fresh) });
    let expect = (Rule::Reference, Object::Envelope(NOWHERE), "task_start.policies");
    world.refuses(ALICE, with_policy, expect);
}

#[test]
fn r20_every_time_to_come_lies_in_the_future() {
    let mut market = Market::new();
    let (intent, capability, now) = (market.intent, market.capability, market.world.now);
    let mut check =
        |who, at: fn(Time, EnvelopeId, EnvelopeId, EnvelopeId) -> Message, field: &str| {
            let offer = market.offer;
            let refusal = market.world.append(who, at(now, intent, capability, offer));
            let refusal = refusal.expect_err("is refused");
            assert_eq!((refusal.rule, refusal.field), (Rule::Future, field), "{refusal}");
            let mut again = market.world.clone();
            again.admits(who, at(now.plus_us(1), intent, capability, offer));
        };
    check(
        BOB,
        |at, intent, capability, _| offer_until(intent, capability, at),
        "offer.valid_until_us",
    );
    check(
        ALICE,
        |at, intent, _, _| {
            let terms = IntentTerms { deadline_us: Some(at), ..intent_terms() };
            Message::Intent(Intent::Revise(IntentRevision { intent, terms }))
        },
        "intent.revise.terms.deadline_us",
    );
    check(
        ALICE,
        |at, intent, _, offer| {
            start_by(intent, offer, Deadlines { accept_by_us: Some(at), ..NO_DEADLINES })
        },
        "task_start.deadlines.accept_by_us",
    );
    check(
        ALICE,
        |at, intent, _, offer| {
            start_by(intent, offer, Deadlines { start_by_us: Some(at), ..NO_DEADLINES })
        },
        "task_start.deadlines.start_by_us",
    );
    check(
        ALICE,
        |at, intent, _, offer| {
            start_by(intent, offer, Deadlines { done_by_us: Some(at), ..NO_DEADLINES })
        },
        "task_start.deadlines.done_by_us",
    );
    check(ALICE, |at, _, _, _| delegate(DAVE, None, Some(at)), "attest.delegate.expires_at_us");
    check(
        ALICE,
        |at, _, _, _| claim(ClaimSubject::Agent(BOB.id()), "quality", Some(at)),
        "attest.claim.expires_at_us",
    );
}

#[test]
fn r13_a_policy_text_fits_its_action() {
    let mut world = World::new();
    let scope = PolicyScope::Agent(ALICE.id());
    let with_text = |version, action, text: &str| match policy(scope, version, action) {
        Message::PolicyUpdate(update) => Message::PolicyUpdate(PolicyUpdate {
            text: Document::new(text).expect("a document"),
            ..update
        }),
        other => panic!("{other:?}"),
    };
    world.refuses_by(ALICE, with_text(1, PolicyAction::Activate, ""), Rule::Consistent);
    world.admits(ALICE, policy(scope, 1, PolicyAction::Activate));
    world.refuses_by(ALICE, with_text(2, PolicyAction::Revoke, "permit;"), Rule::Consistent);
    world.admits(ALICE, policy(scope, 2, PolicyAction::Revoke));
}

#[test]
fn r13_a_receipt_does_not_start_in_the_future() {
    let (mut market, task) = Market::with_task();
    let now = market.world.now;
    let started = |at| {
        Message::TaskDone(TaskDone { started_at_us: Some(at), ..receipt(task, Outcome::Rejected) })
    };
    let expect = (Rule::Consistent, Object::Task(task), "task_done.started_at_us");
    market.world.refuses(BOB, started(now.plus_us(1)), expect);
    market.world.admits(BOB, started(now));
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let mut world = World::new();
    let id = world.admits(BOB, publish("ocr"));
    world.admits(BOB, retire(id));
    let refusal = world.append(BOB, retire(id)).expect_err("is refused");
    let expect = format!(
        "R1.in-force: advertise_capability.retire.capability: capability {id} is retired; look \
         the capability up in the catalog and name its version in force"
    );
    assert_eq!(refusal.to_string(), expect);
}

#[test]
#[should_panic(expected = "never goes back")]
fn the_ledgers_time_never_goes_back() {
    let mut world = World::new();
    world.admits(ALICE, open());
    world.now = Time(START.0 - 1);
    let _ = world.append(ALICE, open());
}

#[test]
#[should_panic(expected = "in the order of the log")]
fn a_change_is_not_folded_twice() {
    let mut world = World::new();
    let envelope = world.envelope(ALICE, open());
    let change =
        tally_coordination::admit(&world.state, NOWHERE, &envelope, START).expect("is admitted");
    world.state.fold(change.clone());
    world.state.fold(change);
}
