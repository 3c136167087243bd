//! How long things took: histograms, and when each thing of an open loop should have begun.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest time that is told from a longer one.
const LONGEST: Duration = Duration::from_secs(60);

/// Decimal digits that are kept of each time.
const DIGITS: u8 = 3;

/// Times that things took.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        Self(Histogram::new_with_bounds(1, longest, DIGITS).expect("bounds that make sense"))
    }
}

impl Latencies {
    /// Takes one in.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes in those of another.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time within which this share of all was done, 0 to 1.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// What people look at.
    pub fn summary(&self) -> Summary {
        let us = |share| self.quantile(share).as_secs_f64() * 1e6;
        Summary {
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }
}

/// A few points of a distribution, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Summary {
    /// Half took no longer.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1,000.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// When each thing of an open loop is to begin, whatever became of those before it.
///
/// Latency is counted from there: else a server that stalls would be asked less, and the wait of
/// those who could not even ask would be in no figure ("coordinated omission").
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first begins.
    pub begin: Instant,
    /// Things a second.
    pub rate: f64,
}

impl Schedule {
    /// When the thing of this number begins, from 0.
    pub fn intended(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Calls `send` for so many things, each with its number, at the intended time or as soon after
    /// it as the one before has gone. Blocks.
    pub fn run(&self, things: u64, mut send: impl FnMut(u64)) {
        for number in 0..things {
            let early = self.intended(number).saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            send(number);
        }
    }

    /// How long the thing of this number took when it is done now.
    pub fn latency(&self, number: u64) -> Duration {
        self.intended(number).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        latencies.record(Duration::from_secs(3_600));
        let near = |share: f64, ms: f64| {
            let found = latencies.quantile(share).as_secs_f64() * 1e3;
            assert!((found - ms).abs() <= ms / 500.0, "{found} is not {ms}");
        };
        near(0.5, 501.0);
        near(0.99, 991.0);
        near(1.0, 60_000.0);
    }

    /// One call that stalls is seen in all that it kept waiting, though each of them was quick.
    #[test]
    fn a_stall_counts_for_all_that_should_have_begun_meanwhile() {
        const STALL: Duration = Duration::from_millis(200);
        let schedule = Schedule { begin: Instant::now(), rate: 1_000.0 };
        let mut latencies = Latencies::default();
        schedule.run(101, |number| {
            if number == 0 {
                std::thread::sleep(STALL);
            }
            latencies.record(schedule.latency(number));
        });
        // The last of them should have begun 100 ms after the first, and began after 200.
        assert!(latencies.quantile(0.0) >= STALL / 2 - Duration::from_millis(1));
        assert!(latencies.quantile(0.5) >= STALL / 2);
    }

    #[test]
    fn nothing_begins_before_its_time() {
        let schedule = Schedule { begin: Instant::now(), rate: 500.0 };
        schedule.run(20, |number| assert!(Instant::now() >= schedule.intended(number)));
        assert!(schedule.begin.elapsed() >= Duration::from_millis(38));
    }
}
