//! SIGKILL, again and again: under load, and while the server starts.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use tally_simulator::random::Random;

use crate::load::Session;
use crate::world::World;
use crate::{Failure, Report, Violation};

/// Cycles after which a new ledger is begun: each cycle verifies all of it.
const LEDGER_CYCLES: u64 = 25;

/// Longest time under load, in milliseconds.
const LONG_LOAD: u64 = 300;

/// Longest time under load in every other cycle: the first moments have faults of their own.
const SHORT_LOAD: u64 = 20;

/// One of so many starts is not waited for.
const START_KILLS: u64 = 3;

/// A loop of kills.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Kills under load.
    pub cycles: u64,
    /// What the moments and the messages follow from.
    pub seed: u64,
    /// Agents that load the ledger.
    pub clients: u64,
    /// Where the ledgers are made.
    pub directory: PathBuf,
}

/// What happened so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Kills under load.
    pub cycles: u64,
    /// Kills of a server that did not serve yet.
    pub kills_during_start: u64,
    /// Ledgers that were begun.
    pub ledgers: u64,
    /// Receipts that agents hold, all compared with the log after every kill.
    pub receipts: u64,
    /// Receipts for envelopes that had been appended before.
    pub duplicates: u64,
    /// Calls of clients that would have waited for an answer of a killed server for ever.
    pub hung: u64,
    /// Events in all ledgers.
    pub events: u64,
    /// Seconds that all of it took.
    pub seconds: f64,
}

impl Campaign {
    /// Runs it up to the first violation, and tells how far it is.
    ///
    /// # Panics
    /// When the machine has no processes or no space to give.
    pub fn run(&self, mut progress: impl FnMut(&Summary)) -> Report<Summary> {
        let began = Instant::now();
        let mut random = Random::new(self.seed);
        let mut summary = Summary::default();
        while summary.cycles < self.cycles {
            let directory = self.directory.join(format!("ledger-{}", summary.ledgers));
            let mut world = World::new(&directory, self.clients, random.next());
            summary.ledgers += 1;
            let last = self.cycles.min(summary.cycles + LEDGER_CYCLES);
            let mut killer = Killer { world: &mut world, random: &mut random, start: STARTING };
            let ended = killer.ledger(last, &mut summary, &mut |summary| {
                summary.seconds = began.elapsed().as_secs_f64();
                progress(summary);
            });
            if let Err(violation) = ended {
                let what = format!("seed {}, cycle {}", self.seed, summary.cycles);
                let failures = vec![Failure::new(what, violation, directory)];
                return Report { summary, failures };
            }
            summary.events += world.size().as_u64();
            std::fs::remove_dir_all(&directory).expect("the ledger is no longer needed");
        }
        summary.seconds = began.elapsed().as_secs_f64();
        Report { summary, failures: Vec::new() }
    }
}

/// How long a start is thought to take before one was seen.
const STARTING: Duration = Duration::from_millis(50);

/// Whoever kills one ledger.
struct Killer<'a> {
    world: &'a mut World,
    random: &'a mut Random,
    /// How long the last start took.
    start: Duration,
}

impl Killer<'_> {
    /// Up to the last cycle, then a last check with everything settled.
    fn ledger(
        &mut self,
        last: u64,
        summary: &mut Summary,
        progress: &mut dyn FnMut(&mut Summary),
    ) -> Result<(), Violation> {
        while summary.cycles < last {
            while self.random.chance(1, START_KILLS) {
                summary.kills_during_start += u64::from(self.kill_start());
                self.world.check()?;
            }
            summary.add(&self.kill_under_load()?);
            self.world.check()?;
            summary.cycles += 1;
            progress(summary);
        }
        summary.add(&self.world.finish()?);
        Ok(())
    }

    /// Kills a server that is about to serve; whether it did not yet.
    fn kill_start(&mut self) -> bool {
        let mut running = self.world.spawn(&[]);
        std::thread::sleep(self.moment(self.start));
        running.end();
        running.line().is_none()
    }

    fn kill_under_load(&mut self) -> Result<Session, Violation> {
        let began = Instant::now();
        let server = self.world.start()?;
        self.start = began.elapsed();
        let longest = if self.random.chance(1, 2) { SHORT_LOAD } else { LONG_LOAD };
        let moment = self.moment(Duration::from_millis(longest));
        self.world.load_and_kill(server, moment)
    }

    fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.random.below(longest.as_nanos() as u64))
    }
}

impl Summary {
    fn add(&mut self, session: &Session) {
        self.receipts += session.receipts.len() as u64;
        self.duplicates += session.duplicates;
        self.hung += session.hung;
    }
}
