//! R14, R18 to R20: the life of a task.

use Outcome::*;
use ProgressState::*;
use tally_coordination::{Deadline, IntentStanding, OfferStanding, Rule, TaskState};
use tally_protocol::message::*;
use tally_protocol::{EnvelopeId, Message, Time};

use crate::world::*;

/// What a party says next.
#[derive(Debug, Clone, Copy)]
enum Says {
    Reports(ProgressState),
    Ends(Outcome),
}

const EVERYTHING: [Says; 11] = [
    Says::Reports(Accepted),
    Says::Reports(Running),
    Says::Reports(BlockedInput),
    Says::Reports(BlockedAuthorisation),
    Says::Reports(BlockedPolicy),
    Says::Ends(Succeeded),
    Says::Ends(Failed),
    Says::Ends(Rejected),
    Says::Ends(Violated),
    Says::Ends(Cancelled),
    Says::Ends(Abandoned),
];

fn say(market: &mut Market, task: EnvelopeId, says: Says) -> Result<EnvelopeId, Rule> {
    let (who, message) = match says {
        Says::Reports(state) => (BOB, progress(task, state, 0)),
        Says::Ends(Abandoned) => (ALICE, done(task, Abandoned)),
        Says::Ends(outcome) => (BOB, done(task, outcome)),
    };
    market.world.append(who, message).map_err(|refusal| refusal.rule)
}

/// A task that came here by these reports; then each of the eleven things is said to a copy.
fn check(way: &[Says], expect: [Option<Rule>; 11]) {
    for (says, expect) in EVERYTHING.into_iter().zip(expect) {
        let (mut market, task) = Market::with_task();
        for step in way {
            say(&mut market, task, *step).expect("the way there");
        }
        let before = market.world.task(task).clone();
        let verdict = say(&mut market, task, says);
        assert_eq!(verdict.err(), expect, "{way:?}, then {says:?}");
        let after = market.world.task(task);
        let to = match says {
            Says::Reports(state) => TaskState::Reported(state),
            Says::Ends(outcome) => TaskState::Ended(outcome),
        };
        let is_late = before.ended.is_some();
        let moves = expect.is_none() && !is_late;
        assert_eq!(after.state, if moves { to } else { before.state }, "{way:?}, then {says:?}");
        assert_eq!(after.late.len(), usize::from(expect.is_none() && is_late));
    }
}

const OK: Option<Rule> = None;
const TRANSITION: Option<Rule> = Some(Rule::TaskTransition);
const NOT_ASKED: Option<Rule> = Some(Rule::CancelRequested);
const NOT_OVERDUE: Option<Rule> = Some(Rule::AbandonOverdue);
const ENDED: Option<Rule> = Some(Rule::TaskLive);

#[test]
fn r14_r18_from_assigned_a_task_is_accepted_or_rejected() {
    let reports = [OK, TRANSITION, TRANSITION, TRANSITION, TRANSITION];
    let ends = [TRANSITION, TRANSITION, OK, TRANSITION, NOT_ASKED, NOT_OVERDUE];
    check(&[], [&reports[..], &ends].concat().try_into().expect("eleven"));
}

#[test]
fn r18_from_accepted_a_task_begins_is_blocked_or_fails() {
    let reports = [TRANSITION, OK, OK, OK, OK];
    let ends = [TRANSITION, OK, TRANSITION, OK, NOT_ASKED, NOT_OVERDUE];
    let expect = [&reports[..], &ends].concat().try_into().expect("eleven");
    check(&[Says::Reports(Accepted)], expect);
    // Blocked before it ever ran: nothing has succeeded.
    for blocked in [BlockedInput, BlockedAuthorisation, BlockedPolicy] {
        check(&[Says::Reports(Accepted), Says::Reports(blocked)], expect);
    }
}

#[test]
fn r18_from_running_and_blocked_a_task_goes_on_or_ends() {
    let reports = [TRANSITION, OK, OK, OK, OK];
    let ends = [OK, OK, TRANSITION, OK, NOT_ASKED, NOT_OVERDUE];
    let expect = [&reports[..], &ends].concat().try_into().expect("eleven");
    let running = [Says::Reports(Accepted), Says::Reports(Running)];
    check(&running, expect);
    for blocked in [BlockedInput, BlockedAuthorisation, BlockedPolicy] {
        check(&[&running[..], &[Says::Reports(blocked)]].concat(), expect);
    }
}

#[test]
fn r18_terminal_states_never_reopen_and_late_outcomes_are_kept() {
    let expect = [&[ENDED; 5][..], &[OK; 6]].concat().try_into().expect("eleven");
    check(&[Says::Ends(Rejected)], expect);
    let running = [Says::Reports(Accepted), Says::Reports(Running)];
    for outcome in [Succeeded, Failed, Violated] {
        check(&[&running[..], &[Says::Ends(outcome)]].concat(), expect);
    }
}

#[test]
fn r18_the_first_outcome_wins_and_later_ones_change_nothing_else() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    let first = world.admits(BOB, done(task, Rejected));
    let intent = world.state.intent(&market.intent).expect("the intent").clone();
    let ended = world.task(task).ended.expect("has ended");
    assert_eq!((ended.receipt, ended.outcome), (first, Rejected));
    let late = world.admits(BOB, done(task, Succeeded));
    let abandoned = world.admits(ALICE, done(task, Abandoned));
    let after = world.task(task);
    assert_eq!(after.ended, Some(ended));
    let kept: Vec<_> =
        after.late.iter().map(|late| (late.receipt, late.author, late.outcome)).collect();
    assert_eq!(kept, [(late, BOB.id(), Succeeded), (abandoned, ALICE.id(), Abandoned)]);
    assert_eq!(world.state.intent(&market.intent), Some(intent));
    world.refuses_by(ALICE, done(task, Abandoned), Rule::LateTerminal);
    world.refuses_by(BOB, done(task, Failed), Rule::LateTerminal);
    world.refuses_by(MALLORY, done(task, Abandoned), Rule::AbandonInitiator);
    world.refuses_by(MALLORY, done(task, Failed), Rule::TaskExecutor);
}

#[test]
fn r7_reports_are_remembered() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    let started = world.now;
    assert_eq!(world.task(task).heard_at, started);
    world.later(5);
    let accepted = world.now;
    world.admits(BOB, progress(task, Accepted, 0));
    world.later(5);
    let running = world.now;
    world.admits(BOB, progress(task, Running, 40));
    world.later(5);
    world.admits(BOB, progress(task, BlockedInput, 40));
    world.later(5);
    world.admits(BOB, progress(task, Running, 100));
    let found = world.task(task);
    assert_eq!(found.accepted_at, Some(accepted));
    assert_eq!(found.running_at, Some(running), "when it first ran");
    assert_eq!(found.heard_at, world.now);
    assert_eq!(found.percent, 100);
    assert_eq!(found.recorded_at, started);
    assert_eq!((found.initiator, found.executor), (ALICE.id(), BOB.id()));
}

#[test]
fn r5_either_party_asks_for_cancellation_and_the_executor_agrees() {
    for asks in [ALICE, BOB] {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        world.admits(asks, request_cancellation(task));
        assert_eq!(world.task(task).cancellation_by, Some(asks.id()));
        // Asked for again by the other: the first is remembered.
        world.admits(if asks == ALICE { BOB } else { ALICE }, request_cancellation(task));
        assert_eq!(world.task(task).cancellation_by, Some(asks.id()));
        // It is the executor's to agree, and it may go on instead.
        world.refuses_by(ALICE, done(task, Cancelled), Rule::TaskExecutor);
        world.admits(BOB, progress(task, Accepted, 0));
        world.admits(BOB, done(task, Cancelled));
        assert_eq!(world.task(task).state, TaskState::Ended(Cancelled));
    }
}

// ------------------------------------------------------------------ R20: deadlines

fn with_deadlines(deadlines: Deadlines) -> (Market, EnvelopeId) {
    let mut market = Market::new();
    let message = start_by(market.intent, market.offer, deadlines);
    let task = market.world.admits(ALICE, message);
    (market, task)
}

fn after_start(us: i64) -> Time {
    Time(START.0 + us)
}

fn all_deadlines() -> Deadlines {
    Deadlines {
        accept_by_us: Some(after_start(10)),
        start_by_us: Some(after_start(20)),
        done_by_us: Some(after_start(30)),
        heartbeat_us: 40,
    }
}

#[test]
fn r20_overdue_is_derived_at_a_stated_time() {
    let (market, task) = with_deadlines(all_deadlines());
    let task = market.world.task(task);
    let check = |us, expect: &[Deadline]| assert_eq!(task.overdue(after_start(us)), expect, "{us}");
    check(0, &[]);
    check(10, &[]);
    check(11, &[Deadline::AcceptBy]);
    check(20, &[Deadline::AcceptBy]);
    check(21, &[Deadline::AcceptBy, Deadline::StartBy]);
    check(30, &[Deadline::AcceptBy, Deadline::StartBy]);
    check(31, &[Deadline::AcceptBy, Deadline::StartBy, Deadline::DoneBy]);
    check(40, &[Deadline::AcceptBy, Deadline::StartBy, Deadline::DoneBy]);
    let all = [Deadline::AcceptBy, Deadline::StartBy, Deadline::DoneBy, Deadline::Heartbeat];
    check(41, &all);
    // Asked about an earlier time again, the answer is as it was.
    check(11, &[Deadline::AcceptBy]);
}

#[test]
fn r20_what_was_done_is_no_longer_overdue() {
    let (mut market, task) = with_deadlines(all_deadlines());
    let world = &mut market.world;
    world.later(15);
    world.admits(BOB, progress(task, Accepted, 0));
    let overdue = |world: &World, us| world.task(task).overdue(after_start(us));
    assert_eq!(overdue(world, 25), [Deadline::StartBy], "blocked or not, it must run");
    world.admits(BOB, progress(task, BlockedInput, 0));
    assert_eq!(overdue(world, 25), [Deadline::StartBy]);
    world.admits(BOB, progress(task, Running, 0));
    assert_eq!(overdue(world, 25), []);
    assert_eq!(overdue(world, 55), [Deadline::DoneBy]);
    assert_eq!(overdue(world, 56), [Deadline::DoneBy, Deadline::Heartbeat], "40 µs after 15");
    world.later(25);
    world.admits(BOB, progress(task, Running, 1));
    assert_eq!(overdue(world, 56), [Deadline::DoneBy], "heard of again");
    world.admits(BOB, done(task, Succeeded));
    assert_eq!(overdue(world, 1_000), [], "an ended task owes nothing");
}

#[test]
fn r20_without_deadlines_nothing_is_overdue() {
    for (market, task) in [Market::with_task(), with_deadlines(NO_DEADLINES)] {
        assert_eq!(market.world.task(task).overdue(Time(i64::MAX)), []);
    }
    let endless = Deadlines { heartbeat_us: u64::MAX, ..NO_DEADLINES };
    let (market, task) = with_deadlines(endless);
    assert_eq!(market.world.task(task).overdue(Time(i64::MAX)), []);
}

#[test]
fn r20_any_missed_deadline_lets_the_initiator_abandon() {
    let at = Some(after_start(10));
    for deadlines in [
        Deadlines { accept_by_us: at, ..NO_DEADLINES },
        Deadlines { start_by_us: at, ..NO_DEADLINES },
        Deadlines { done_by_us: at, ..NO_DEADLINES },
        Deadlines { heartbeat_us: 10, ..NO_DEADLINES },
    ] {
        let (mut market, task) = with_deadlines(deadlines);
        market.world.later(10);
        market.world.refuses_by(ALICE, done(task, Abandoned), Rule::AbandonOverdue);
        market.world.later(1);
        market.world.admits(ALICE, done(task, Abandoned));
        let found = market.world.task(task);
        assert_eq!(found.state, TaskState::Ended(Abandoned));
        assert_eq!(market.world.state.intent(&market.intent).expect("it").live_tasks, 0);
    }
}

#[test]
fn r20_a_deadline_may_be_left_out_between_others() {
    let mut market = Market::new();
    let by = |accept, start, done| Deadlines {
        accept_by_us: Some(after_start(accept)),
        start_by_us: start,
        done_by_us: Some(after_start(done)),
        heartbeat_us: 0,
    };
    let (intent, offer) = (market.intent, market.offer);
    let world = &mut market.world;
    world.refuses_by(ALICE, start_by(intent, offer, by(20, None, 10)), Rule::DeadlineOrder);
    let between = Some(after_start(5));
    world.refuses_by(ALICE, start_by(intent, offer, by(10, between, 20)), Rule::DeadlineOrder);
    world.admits(ALICE, start_by(intent, offer, by(10, None, 10)));
}

// ------------------------------------------------------------------ R18: retries

#[test]
fn r18_r19_a_retry_runs_on_another_offer() {
    let (mut market, task) = Market::with_task();
    let intent = market.intent;
    let world = &mut market.world;
    let carols = world.admits(CAROL, publish("ocr"));
    let second = world.admits(CAROL, offer(intent, carols));
    world.admits(BOB, done(task, Rejected));
    let again = world.admits(ALICE, retry(intent, second, task, 2));
    assert_eq!(world.task(task).replaced_by, Some(again));
    assert_eq!(world.task(task).state, TaskState::Ended(Rejected));
    assert_eq!(world.task(again).executor, CAROL.id());
    assert_eq!(world.state.intent(&intent).expect("it").live_tasks, 1);
}

#[test]
fn r18_a_retry_may_run_on_the_same_offer_and_only_for_the_task_it_replaces() {
    let (mut market, task) = Market::with_task();
    let (intent, accepted) = (market.intent, market.offer);
    let world = &mut market.world;
    world.admits(BOB, progress(task, Accepted, 0));
    world.admits(BOB, done(task, Failed));
    // Without `replaces` the offer is spent.
    world.refuses_by(ALICE, start(intent, accepted), Rule::OfferLive);
    let again = world.admits(ALICE, retry(intent, accepted, task, 2));
    let offer = world.state.offer(&accepted).expect("the offer");
    assert_eq!(offer.standing, OfferStanding::Accepted(again));
    world.admits(BOB, progress(again, Accepted, 0));
    world.admits(BOB, done(again, Failed));
    let third = world.admits(ALICE, retry(intent, accepted, again, 3));
    assert_eq!(world.task(third).terms.attempt, 3);
}

#[test]
fn r18_a_retry_on_the_same_offer_needs_it_to_be_valid_still() {
    let mut market = Market::new();
    let (intent, capability) = (market.intent, market.capability);
    let world = &mut market.world;
    let short = world.admits(BOB, offer_until(intent, capability, after_start(10)));
    let task = world.admits(ALICE, start(intent, short));
    world.admits(BOB, done(task, Rejected));
    world.now = after_start(11);
    world.refuses_by(ALICE, retry(intent, short, task, 2), Rule::OfferLive);
    world.admits(ALICE, retry(intent, market.offer, task, 2));
}

#[test]
fn r18_a_task_is_replaced_once_with_the_next_attempt() {
    let (mut market, task) = Market::with_task();
    let (intent, capability) = (market.intent, market.capability);
    let world = &mut market.world;
    let fresh = world.admits(BOB, offer(intent, capability));
    let refuse = |world: &mut World, message: Message, field: &str| {
        let refusal = world.append(ALICE, message).expect_err("is refused");
        assert_eq!((refusal.rule, refusal.field), (Rule::TaskReplaces, field), "{refusal}");
    };
    refuse(world, retry(intent, fresh, task, 2), "task_start.replaces");
    world.admits(BOB, done(task, Rejected));
    for attempt in [0, 1, 3] {
        refuse(world, retry(intent, fresh, task, attempt), "task_start.attempt");
    }
    let first = task_start(TaskStart { attempt: 2, ..task_terms(intent, fresh) });
    refuse(world, first, "task_start.attempt");
    let first = task_start(TaskStart { attempt: 0, ..task_terms(intent, fresh) });
    refuse(world, first, "task_start.attempt");
    // Of another intent.
    let other = world.admits(ALICE, open());
    let elsewhere = world.admits(BOB, offer(other, capability));
    refuse(world, retry(other, elsewhere, task, 2), "task_start.replaces");
    let again = world.admits(ALICE, retry(intent, fresh, task, 2));
    world.admits(BOB, done(again, Rejected));
    // Replaced already.
    let fresh = world.admits(BOB, offer(intent, capability));
    refuse(world, retry(intent, fresh, task, 2), "task_start.replaces");
    world.admits(ALICE, retry(intent, fresh, again, 3));
}

#[test]
fn r18_what_succeeded_is_not_tried_again() {
    let (mut market, task) = Market::with_task();
    let (intent, capability) = (market.intent, market.capability);
    let world = &mut market.world;
    let fresh = world.admits(BOB, offer(intent, capability));
    let running = world.admits(BOB, offer(intent, capability));
    world.admits(ALICE, start(intent, running));
    world.admits(BOB, progress(task, Accepted, 0));
    world.admits(BOB, progress(task, Running, 0));
    world.admits(BOB, done(task, Succeeded));
    world.refuses_by(ALICE, retry(intent, fresh, task, 2), Rule::TaskReplaces);
}

#[test]
fn r18_a_retry_follows_a_revised_intent() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    world.admits(BOB, done(task, Rejected));
    let revised = world.admits(ALICE, revise_intent(market.intent));
    // The offer is on the version before and must be made anew.
    world.refuses_by(ALICE, retry(revised, market.offer, task, 2), Rule::TaskOffer);
    let fresh = world.admits(BOB, offer(revised, market.capability));
    world.admits(ALICE, retry(revised, fresh, task, 2));
}

// ------------------------------------------------------------------ R22: workflows

#[test]
fn r22_parallel_tasks_fulfil_an_intent_when_the_last_has_ended() {
    let (mut market, first) = Market::with_task();
    let intent = market.intent;
    let world = &mut market.world;
    let second_offer = world.admits(BOB, offer(intent, market.capability));
    let second = world.admits(ALICE, start(intent, second_offer));
    let standing = |world: &World| world.state.intent(&intent).expect("it").standing;
    for task in [first, second] {
        world.admits(BOB, progress(task, Accepted, 0));
        world.admits(BOB, progress(task, Running, 0));
    }
    world.admits(BOB, done(first, Succeeded));
    assert_eq!(standing(world), IntentStanding::Open, "another task is running");
    world.admits(BOB, done(second, Failed));
    assert_eq!(standing(world), IntentStanding::Fulfilled);
    let found = world.state.intent(&intent).expect("it");
    assert_eq!((found.live_tasks, found.succeeded_tasks), (0, 1));
    world.refuses_by(BOB, offer(intent, market.capability), Rule::IntentOpen);
    world.refuses_by(ALICE, cancel(intent), Rule::IntentOpen);
}

#[test]
fn r19_an_intent_stays_open_while_nothing_has_succeeded() {
    let (mut market, task) = Market::with_task();
    market.world.admits(BOB, done(task, Rejected));
    let intent = market.world.state.intent(&market.intent).expect("it");
    assert_eq!(intent.standing, IntentStanding::Open);
    assert_eq!((intent.live_tasks, intent.succeeded_tasks), (0, 0));
}

#[test]
fn r22_a_task_of_a_cancelled_intent_runs_to_its_end() {
    let (mut market, task) = Market::with_task();
    let intent = market.intent;
    let world = &mut market.world;
    world.admits(ALICE, cancel(intent));
    world.admits(BOB, progress(task, Accepted, 0));
    world.admits(BOB, progress(task, Running, 0));
    world.admits(BOB, done(task, Succeeded));
    let found = world.state.intent(&intent).expect("it");
    assert_eq!(found.standing, IntentStanding::Cancelled);
    assert_eq!((found.live_tasks, found.succeeded_tasks), (0, 1));
}

#[test]
fn r22_a_task_depends_on_earlier_tasks() {
    let (mut market, task) = Market::with_task();
    let intent = market.intent;
    let world = &mut market.world;
    let fresh = world.admits(BOB, offer(intent, market.capability));
    let on = |id| task_start(TaskStart { depends_on: vec![id], ..task_terms(intent, fresh) });
    world.refuses_by(ALICE, on(intent), Rule::ReferenceKind);
    world.admits(ALICE, on(task));
}

#[test]
fn r15_the_evaluation_names_offers_of_the_intent() {
    let mut market = Market::new();
    let intent = market.intent;
    let world = &mut market.world;
    let other = world.admits(ALICE, open());
    let elsewhere = world.admits(BOB, offer(other, market.capability));
    let compared = |candidate| {
        let candidate =
            Candidate { offer: candidate, scores: Vec::new(), total: 0, disqualified: None };
        let evaluation = Evaluation { candidates: vec![candidate], ..Evaluation::new(name("sum")) };
        let terms = task_terms(intent, market.offer);
        task_start(TaskStart { evaluation: Some(evaluation), ..terms })
    };
    world.refuses_by(ALICE, compared(elsewhere), Rule::TaskOffer);
    world.refuses_by(ALICE, compared(NOWHERE), Rule::Reference);
    world.admits(ALICE, compared(market.offer));
}

#[test]
fn r1_a_retired_capability_is_not_awarded_and_a_superseded_one_is() {
    let mut market = Market::new();
    let world = &mut market.world;
    let revised = world.admits(BOB, revise(market.capability, "ocr"));
    let mut retired = world.clone();
    // The version that the offer cites is superseded; the offer still stands.
    world.admits(ALICE, start(market.intent, market.offer));
    let fresh = retired.admits(BOB, offer(market.intent, revised));
    retired.admits(BOB, retire(revised));
    retired.refuses_by(ALICE, start(market.intent, fresh), Rule::CapabilityInForce);
}
