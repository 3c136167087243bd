//! What a process costs, as Linux counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Ticks in a second of `/proc/<pid>/stat`: the same for all programs on Linux.
const TICKS: f64 = 100.0;

/// A process that may still be running.
#[derive(Debug, Clone, Copy)]
pub struct Process(u32);

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// The one with this number.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Processor time so far, of threads that have ended too; exact to 10 ms. Zero when it is gone.
    pub fn cpu(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // proc_pid_stat(5): the name in parentheses may hold anything, so fields are counted from
        // the last parenthesis on; utime and stime are the 14th and 15th of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_secs_f64(ticks as f64 / TICKS)
    }

    /// Processor time of the threads that there are, by their names, exact to a nanosecond. Numbers
    /// at the ends of names do not count: `verify-0` and `verify-1` are both `verify`.
    pub fn cpu_by_thread(self) -> BTreeMap<String, Duration> {
        let mut by_name = BTreeMap::new();
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.0)) else { return by_name };
        for thread in threads.flatten() {
            let read = |file: &str| fs::read_to_string(thread.path().join(file)).ok();
            // A thread may end between two looks.
            let (Some(name), Some(spent)) = (read("comm"), read("schedstat")) else { continue };
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            let spent = spent.split(' ').next().and_then(|spent| spent.parse().ok());
            *by_name.entry(name.to_owned()).or_default() +=
                Duration::from_nanos(spent.unwrap_or_default());
        }
        by_name
    }

    /// Processor time of all threads that there are, exact to a nanosecond.
    pub fn cpu_of_threads(self) -> Duration {
        self.cpu_by_thread().into_values().sum()
    }

    /// Memory that it has now, bytes.
    pub fn resident_bytes(self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that it ever had, bytes.
    pub fn peak_resident_bytes(self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Bytes that it had fetched from a disk so far, not from memory; none where the system does not
    /// say.
    pub fn disk_bytes(self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.0)).unwrap_or_default();
        let read = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
        read.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_default()
    }

    fn status_bytes(self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1_024
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_shows_as_processor_time_and_sleep_does_not() {
        let own = Process::own();
        let (ticks, threads) = (own.cpu(), own.cpu_of_threads());
        let began = Instant::now();
        while own.cpu_of_threads() < threads + Duration::from_millis(60) {
            black_box((0..10_000).sum::<u64>());
            assert!(began.elapsed() < Duration::from_secs(20), "work is counted");
        }
        assert!(own.cpu() >= ticks + Duration::from_millis(30));
        assert!(own.resident_bytes() > 100_000);
        assert!(own.peak_resident_bytes() >= own.resident_bytes() / 2);
    }
}
