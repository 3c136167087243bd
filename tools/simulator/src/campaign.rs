//! Many runs, one seed after the other, on several threads.
//!
//! A seed gives the same run on any thread, so what is found does not depend on how many there are;
//! only how far a campaign gets after a violation does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::Counts;
use crate::plant::Plant;
use crate::run::{Report, run};
use crate::sequenced;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed; the next is one more.
    pub seed: u64,
    /// No run begins behind so many crashes.
    pub crashes: u64,
    /// No more runs than this.
    pub runs: u64,
    /// What lives on the simulated disk.
    pub subject: Subject,
    /// A bug to plant.
    pub plant: Option<Plant>,
    /// How many runs at once.
    pub threads: usize,
}

/// What lives on the simulated disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The store by itself.
    Store,
    /// A node's sequencer and committer on the store.
    Sequencer,
}

impl Subject {
    /// Runs one seed; with `trace` every call to the disk is printed.
    pub fn run(self, seed: u64, plant: Option<Plant>, trace: bool) -> Report {
        match self {
            Self::Store => run(seed, plant, trace),
            Self::Sequencer => sequenced::run(seed, plant, trace),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Kills and power losses.
    pub crashes: u64,
    /// Groups that were acknowledged.
    pub groups: u64,
    /// Openings rightly refused because a bit had rotted.
    pub refused: u64,
    /// Copies of the log that were taken whole.
    pub copies: u64,
    /// Copies that were broken off.
    pub broken_copies: u64,
    /// Copies in which a rotten bit was found.
    pub damaged_copies: u64,
    /// Runs that ended at a sector torn inside.
    pub undecided: u64,
    /// What the disks did.
    pub faults: Counts,
    /// The failed run of the lowest seed.
    pub failed: Option<Report>,
}

impl Campaign {
    /// Runs until the limits, or until a promise is not kept.
    pub fn run(&self) -> Summary {
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (summary, crashes) = (Mutex::new(Summary::default()), AtomicU64::new(0));
        let work = || {
            while !stop.load(Ordering::Relaxed) && crashes.load(Ordering::Relaxed) < self.crashes {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= self.runs {
                    return;
                }
                let report = self.subject.run(self.seed.wrapping_add(nth), self.plant, false);
                crashes.fetch_add(report.crashes(), Ordering::Relaxed);
                stop.fetch_or(report.violation.is_some(), Ordering::Relaxed);
                summary.lock().expect("no run panics in here").take(report);
            }
        };
        std::thread::scope(|scope| {
            (1..self.threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        summary.into_inner().expect("no run panics in here")
    }
}

impl Summary {
    fn take(&mut self, report: Report) {
        self.runs += 1;
        self.crashes += report.crashes();
        self.groups += report.groups;
        self.refused += report.refused;
        self.copies += report.copies;
        self.broken_copies += report.broken_copies;
        self.damaged_copies += report.damaged_copies;
        self.undecided += report.undecided;
        self.faults.add(&report.faults);
        let lowest = self.failed.as_ref().is_none_or(|failed| report.seed < failed.seed);
        if report.violation.is_some() && lowest {
            self.failed = Some(report);
        }
    }
}
