//! The moment that an answer is as of.

use tally_tlog::TreeSize;

use crate::ids::{Position, Time};

/// A moment in a ledger's life. The ledger's own time orders it: the two forms name the same
/// moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// When the log had so many events.
    Size(TreeSize),
    /// When everything was recorded that has this time or an earlier one.
    Time(Time),
}

/// Looks for the number of events that were recorded by a time, in as many questions as the size of
/// the log has bits. Asks nothing itself: who searches fetches the events.
#[derive(Debug, Clone)]
pub struct TimeSearch {
    time: Time,
    /// So many were recorded by then.
    within: u64,
    /// From this one on they were not.
    beyond: u64,
}

/// A step of a [`TimeSearch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeStep {
    /// When was this event recorded?
    Ask(Position),
    /// So many events were recorded by then.
    Found(TreeSize),
}

impl TimeSearch {
    /// Of `time`, among `size` events.
    pub fn new(time: Time, size: TreeSize) -> Self {
        Self { time, within: 0, beyond: size.as_u64() }
    }

    /// What is to be done next.
    pub fn step(&self) -> TimeStep {
        match self.within == self.beyond {
            true => TimeStep::Found(TreeSize::new(self.within)),
            false => TimeStep::Ask(Position(self.middle())),
        }
    }

    /// Takes the answer to [`TimeStep::Ask`]: when that event was recorded.
    pub fn decide(&mut self, recorded_at: Time) {
        let middle = self.middle();
        if recorded_at <= self.time {
            self.within = middle + 1;
        } else {
            self.beyond = middle;
        }
    }

    fn middle(&self) -> u64 {
        self.within + (self.beyond - self.within) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_takes_in_all_that_was_recorded_by_then() {
        let recorded = [10, 10, 20, 20, 20, 30];
        let size = |time| {
            let mut search = TimeSearch::new(Time(time), TreeSize::new(6));
            loop {
                match search.step() {
                    TimeStep::Ask(position) => search.decide(Time(recorded[position.0 as usize])),
                    TimeStep::Found(size) => return size.as_u64(),
                }
            }
        };
        assert_eq!([9, 10, 19, 20, 29, 30, 31].map(size), [0, 2, 2, 5, 5, 6, 6]);
    }
}
