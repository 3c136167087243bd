//! Excerpts of a log: what the causal closure of a task holds is enough to judge it again, by the
//! same rules, with the same decisions, to the same task.

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use tally_coordination::{Refusal, Rule, State, admit};
use tally_protocol::message::*;
use tally_protocol::{AuthorSequence, EnvelopeId, Position};
use tally_provenance::{Causality, Closure, Subject};

use crate::speech::{say, step};
use crate::world::*;

/// Lives of chance, and steps of each.
const LIVES: usize = if cfg!(debug_assertions) { 4 } else { 48 };
const STEPS: usize = 400;

/// How an excerpt differs from the whole.
#[derive(Debug)]
enum Differs {
    Refused(Position, Box<Refusal>),
    Decides,
}

impl Differs {
    fn rule(&self) -> Option<(Position, Rule)> {
        match self {
            Self::Refused(position, refusal) => Some((*position, refusal.rule)),
            Self::Decides => None,
        }
    }
}

/// Runs the rules on some of a world's events.
fn excerpt(
    world: &World,
    positions: impl IntoIterator<Item = Position>,
    left_out: &[EnvelopeId],
) -> Result<State, Differs> {
    let mut state = State::excerpt(origin(), left_out.iter().copied());
    for position in positions {
        let at = usize::try_from(position.0).expect("a place");
        let (id, envelope, time) = &world.log[at];
        state.skip_to(position);
        let change = admit(&state, *id, envelope, *time)
            .map_err(|refusal| Differs::Refused(position, Box::new(refusal)))?;
        if change.decisions() != world.decisions[at] {
            return Err(Differs::Decides);
        }
        state.fold(change);
    }
    Ok(state)
}

fn causality(world: &World) -> Causality {
    let mut causality = Causality::new();
    for (at, (id, envelope, _)) in world.log.iter().enumerate() {
        causality.fold(Position(at as u64), *id, envelope);
    }
    causality
}

/// Everything there is to say about a task, but for the records of providers, which follow from the
/// whole log.
#[track_caller]
fn is_the_same(part: &State, whole: &State, task: &EnvelopeId) {
    assert_eq!(part.task(task), whole.task(task));
    let intent = whole.task(task).expect("a task").terms.intent;
    assert_eq!(part.intent(&intent), whole.intent(&intent));
    for id in &whole.intent(&intent).expect("an intent").offers {
        let offer = |state: &State| {
            state.offer(id).map(|o| (o.terms.clone(), o.standing, o.revealed.clone()))
        };
        assert_eq!(offer(part), offer(whole));
    }
}

#[test]
fn the_closure_of_every_task_is_judged_again_as_in_the_whole_log() {
    let mut runner = TestRunner::deterministic();
    let (mut tasks, mut smaller, mut with_others, mut noticed) = (0, 0, 0, 0);
    for _ in 0..LIVES {
        let steps = proptest::collection::vec(step(), STEPS);
        let mut world = World::new();
        for step in steps.new_tree(&mut runner).expect("steps").current() {
            world.later(step.later);
            let envelope = say(&world, &step);
            let _ = world.append_envelope(envelope);
        }
        let causality = causality(&world);
        for task in world.state.tasks() {
            let subject = Subject::Task(task.id);
            let Closure { positions, left_out } =
                causality.closure(&subject, None).expect("a task");
            assert!(left_out.is_empty());
            let (many, all) = (positions.len(), world.log.len());
            let part = excerpt(&world, positions.iter().copied(), &[]).expect("as in the whole");
            is_the_same(&part, &world.state, &task.id);
            // Most of what is there is needed: without it, this would be noticed.
            let without = positions.iter().nth(many / 2).copied();
            let rest = positions.iter().copied().filter(|position| Some(*position) != without);
            let rest = excerpt(&world, rest, &[]);
            noticed += usize::from(rest.is_err());
            tasks += 1;
            smaller += usize::from(many < all);
            with_others += usize::from(part.tasks().count() > 1);
        }
    }
    assert!(tasks > 4 * LIVES && smaller > tasks / 2 && with_others > 0, "{tasks} {smaller}");
    assert!(noticed > tasks / 4, "{noticed} of {tasks}");
}

/// The whole log as an excerpt comes to what the log comes to.
#[test]
fn an_excerpt_of_everything_is_the_whole() {
    let (market, task) = Market::with_task();
    let all = (0..market.world.log.len() as u64).map(Position);
    let part = excerpt(&market.world, all, &[]).expect("admitted");
    is_the_same(&part, &market.world.state, &task);
}

#[test]
fn an_authors_chain_goes_forward_only() {
    let mut world = World::new();
    for label in ["one", "two", "three"] {
        world.admits(BOB, publish(label));
    }
    let state = excerpt(&world, [Position(0), Position(2)], &[]).expect("a gap is none");
    let agent = state.agent(&BOB.id()).expect("it has signed");
    assert_eq!(agent.next_sequence, AuthorSequence(3));
    let back = [(Position(0), 2), (Position(1), 1)];
    let mut state = State::excerpt(origin(), []);
    let mut refused = None;
    for (position, from) in back {
        let (id, envelope, at) = &world.log[from];
        state.skip_to(position);
        match admit(&state, *id, envelope, *at.max(&state.recorded_at())) {
            Ok(change) => state.fold(change),
            Err(refusal) => refused = Some(refusal.rule),
        }
    }
    assert_eq!(refused, Some(Rule::Equivocation));
    // Without a gap, the link must hold.
    let mut forged = world.clone();
    forged.log[1].1.previous = Some(EnvelopeId([7; 32]));
    let refused =
        excerpt(&forged, [Position(0), Position(1)], &[]).expect_err("another envelope before");
    assert_eq!(refused.rule(), Some((Position(1), Rule::AuthorPrevious)));
}

/// What is declared as left out may be a cause or a dependency, never an object that is needed.
#[test]
fn what_is_left_out_is_no_object() {
    let (mut market, first) = Market::with_task();
    market.world.admits(BOB, progress(first, ProgressState::Accepted, 0));
    let intent = market.world.admits(ALICE, open());
    let offer = market.world.admits(BOB, offer(intent, market.capability));
    let terms = TaskStart { depends_on: vec![first], ..task_terms(intent, offer) };
    market.world.admits(ALICE, task_start(terms));
    let world = &market.world;
    let without = |hole: &[u64]| {
        let all = (0..world.log.len() as u64).filter(|at| !hole.contains(at));
        all.map(Position).collect::<Vec<_>>()
    };
    // The first task, its intent and its offer are not there.
    let hole = without(&[1, 2, 3, 4]);
    let refused = excerpt(world, hole.clone(), &[]).expect_err("a dependency is missing");
    assert_eq!(refused.rule().map(|(_, rule)| rule), Some(Rule::Reference));
    excerpt(world, hole, &[first]).expect("it is declared");
    let hole = without(&[1, 2, 3, 4, 5]);
    let refused = excerpt(world, hole, &[first, intent]).expect_err("an offer needs its intent");
    assert_eq!(refused.rule().map(|(_, rule)| rule), Some(Rule::Reference));
}
