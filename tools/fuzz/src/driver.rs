//! Many inputs for one target, all of them following from a seed.
//!
//! An input is a kept or a made one, changed a few times. What gets an answer unseen so far joins
//! the others. Stops at the first failure, and makes it smaller.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::check::{Failure, check};
use crate::mutate;
use crate::rng::Rng;
use crate::targets::Target;

/// Most inputs that are changed further.
const MAX_POOL: usize = 1_024;

/// Most changes to one input.
const MAX_CHANGES: usize = 5;

/// Runs between two looks at the clock.
const RUNS_PER_LOOK: u64 = 64;

/// Most runs that are spent on making a failing input smaller.
const MAX_SHRINK_RUNS: usize = 2_000;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After so many inputs.
    Runs(u64),
    /// After so much time.
    After(Duration),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What the inputs follow from.
    pub seed: u64,
    /// When to stop.
    pub stop: Stop,
}

/// A failing input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The input, made smaller.
    pub input: Vec<u8>,
    /// What it does.
    pub failure: Failure,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Inputs.
    pub runs: u64,
    /// Time taken.
    pub elapsed: Duration,
    /// Different answers.
    pub outcomes: usize,
    /// The input that came nearest to the memory limit: its length and the most bytes held.
    pub hungriest: (usize, u64),
    /// Of all inputs and answers: the same seed gives the same.
    pub digest: u64,
    /// The failure that ended it.
    pub found: Option<Found>,
}

/// Feeds a target from `corpus` until the plan says stop or something breaks.
pub fn fuzz(target: &Target, corpus: &[Vec<u8>], plan: &Plan) -> Summary {
    let mut session = Session::new(target, corpus, plan.seed);
    let start = Instant::now();
    while !session.summary.stops(plan.stop, start) {
        let input = session.next_input();
        if let Err(failure) = session.run(&input) {
            let (input, failure) = shrink(target, input, failure);
            session.summary.found = Some(Found { input, failure });
            break;
        }
    }
    session.summary.elapsed = start.elapsed();
    session.summary.digest = session.hasher.finish();
    session.summary
}

impl Summary {
    fn stops(&self, stop: Stop, start: Instant) -> bool {
        match stop {
            Stop::Runs(runs) => self.runs >= runs,
            Stop::After(time) => self.runs.is_multiple_of(RUNS_PER_LOOK) && start.elapsed() >= time,
        }
    }
}

struct Session<'a> {
    target: &'a Target,
    /// Kept inputs that were not run yet.
    fresh: std::slice::Iter<'a, Vec<u8>>,
    pool: Vec<Vec<u8>>,
    seen: HashSet<u64>,
    rng: Rng,
    hasher: DefaultHasher,
    summary: Summary,
}

impl<'a> Session<'a> {
    fn new(target: &'a Target, corpus: &'a [Vec<u8>], seed: u64) -> Self {
        // A seed means something else for each target.
        let mut hasher = DefaultHasher::new();
        (target.name, seed).hash(&mut hasher);
        Self {
            target,
            fresh: corpus.iter(),
            pool: corpus.to_vec(),
            seen: HashSet::new(),
            rng: Rng::new(hasher.finish()),
            hasher: DefaultHasher::new(),
            summary: Summary {
                runs: 0,
                elapsed: Duration::ZERO,
                outcomes: 0,
                hungriest: (0, 0),
                digest: 0,
                found: None,
            },
        }
    }

    /// Kept inputs as they are, then changed or made ones.
    fn next_input(&mut self) -> Vec<u8> {
        if let Some(kept) = self.fresh.next() {
            return kept.clone();
        }
        let rng = &mut self.rng;
        let made = self.pool.is_empty() || rng.once_in(8);
        let mut input = if made { (self.target.make)(rng) } else { rng.one_of(&self.pool).clone() };
        for _ in 0..rng.below(MAX_CHANGES + 1) {
            mutate::change(&mut input, self.target.grammar, &self.pool, rng);
        }
        if !rng.once_in(3) {
            (self.target.repair)(&mut input, rng);
        }
        input
    }

    fn run(&mut self, input: &[u8]) -> Result<(), Failure> {
        self.summary.runs += 1;
        let ran = check(self.target, input)?;
        (input, ran.outcome.shape()).hash(&mut self.hasher);
        if self.seen.insert(ran.outcome.shape()) {
            self.summary.outcomes += 1;
            if self.pool.len() < MAX_POOL {
                self.pool.push(input.to_vec());
            }
        }
        let nearness =
            |(bytes, peak): (usize, u64)| peak as f64 / self.target.memory.limit(bytes) as f64;
        let here = (input.len(), ran.peak_bytes);
        if nearness(here) > nearness(self.summary.hungriest) {
            self.summary.hungriest = here;
        }
        Ok(())
    }
}

/// Leaves out what is not needed for a failure of the same kind: halves, quarters … single bytes.
fn shrink(target: &Target, mut input: Vec<u8>, mut failure: Failure) -> (Vec<u8>, Failure) {
    let mut runs = 0;
    let mut step = input.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < input.len() && runs < MAX_SHRINK_RUNS {
            let mut smaller = input.clone();
            smaller.drain(at..input.len().min(at + step));
            runs += 1;
            match check(target, &smaller) {
                Err(same) if std::mem::discriminant(&same) == std::mem::discriminant(&failure) => {
                    (input, failure) = (smaller, same);
                }
                _ => at += step,
            }
        }
        step /= 2;
    }
    (input, failure)
}
