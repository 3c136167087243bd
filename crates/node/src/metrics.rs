//! What the node tells a metrics recorder, if the program has installed one.
//!
//! Counters move with what they count. Gauges are set by [`Node::report`], which the server calls
//! every second: so a commit that hangs shows while it hangs.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use tally_protocol::TreeSize;

use crate::node::Node;
use crate::projections::View;

/// How long one commit took, write and sync.
pub const COMMIT_SECONDS: &str = "tally_commit_seconds";
/// How long the commit has been going on that is under way; 0 when none is.
pub const COMMIT_RUNNING_SECONDS: &str = "tally_commit_running_seconds";
/// Groups that found no room on the disk.
pub const DISK_FULL: &str = "tally_disk_full_total";
/// Events committed since the start.
pub const EVENTS_COMMITTED: &str = "tally_events_committed_total";
/// Events in the log.
pub const LOG_EVENTS: &str = "tally_log_events";
/// Events that a projection has not folded yet; `projection` is its name, here and below.
pub const PROJECTION_LAG: &str = "tally_projection_lag_events";
/// Events a second that a projection folds, while it is behind.
pub const PROJECTION_RATE: &str = "tally_projection_events_per_second";
/// Events that a projection could not fold.
pub const PROJECTION_QUARANTINED: &str = "tally_projection_quarantined_events";
/// How long a projection that is behind has not moved; 0 when it moves or is at the head.
pub const PROJECTION_STALLED_SECONDS: &str = "tally_projection_stalled_seconds";
/// Events that a build beside a projection has not folded yet; 0 when there is none.
pub const PROJECTION_BUILD_LAG: &str = "tally_projection_build_lag_events";
/// Share of the intake that is taken, 0 to 1; at 1 appends are refused or slowed down.
pub const INTAKE_USED: &str = "tally_intake_used_ratio";

/// Evidence that was met: `kind` is that of the document.
pub const EVIDENCE: &str = "tally_evidence_total";
/// Events that a mirror's writer has signed.
pub const WRITER_EVENTS: &str = "tally_mirror_writer_events";
/// How often a mirror found something against its writer.
pub const AGAINST_WRITER: &str = "tally_mirror_against_writer_total";

/// Events that not enough witnesses have cosigned yet.
pub const WITNESS_LAG: &str = "tally_witness_lag_events";
/// How often a witness did not cosign: `witness` is its name in the policy.
pub const WITNESS_FAILURES: &str = "tally_witness_failures_total";

/// A projection that is behind and has not moved for so long is told of in the log.
pub const STALLED: Duration = Duration::from_secs(10);

/// A commit that takes longer is told in the log while it is going on.
pub const SLOW_COMMIT: Duration = Duration::from_secs(1);

/// Says what each metric is, for recorders that show it.
pub fn describe() {
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "how long a commit took, write and sync");
    describe_gauge!(
        COMMIT_RUNNING_SECONDS,
        Unit::Seconds,
        "how long the present commit has been going on; 0 when none is"
    );
    describe_counter!(DISK_FULL, "groups that found no room on the disk");
    describe_counter!(EVENTS_COMMITTED, "events committed since the start");
    describe_gauge!(LOG_EVENTS, "events in the log");
    describe_gauge!(PROJECTION_LAG, "events that a projection has not folded yet");
    describe_gauge!(PROJECTION_RATE, "events a second that a projection folds while it is behind");
    describe_gauge!(PROJECTION_QUARANTINED, "events that a projection could not fold");
    describe_gauge!(
        PROJECTION_STALLED_SECONDS,
        Unit::Seconds,
        "how long a projection that is behind has not moved"
    );
    describe_gauge!(PROJECTION_BUILD_LAG, "events that a build beside a projection lacks");
    describe_counter!(EVIDENCE, "evidence against authors or ledgers that was met");
    describe_gauge!(WRITER_EVENTS, "events that the mirror's writer has signed");
    describe_counter!(AGAINST_WRITER, "how often something was found against the mirror's writer");
    describe_gauge!(WITNESS_LAG, "events that not enough witnesses have cosigned yet");
    describe_counter!(WITNESS_FAILURES, "how often a witness did not cosign");
    describe_gauge!(INTAKE_USED, "share of the intake that is taken, 0 to 1");
}

impl Node {
    /// Sets the gauges, and warns of a commit that takes long.
    pub fn report(&self) {
        let size = self.snapshot().tip.size.as_u64();
        gauge!(LOG_EVENTS).set(size as f64);
        self.projections().report();
        gauge!(INTAKE_USED).set(self.intake_used());
        let running = self.commit_running();
        gauge!(COMMIT_RUNNING_SECONDS).set(running.as_secs_f64());
        if running >= SLOW_COMMIT {
            tracing::warn!(
                seconds = running.as_secs_f64(),
                "the disk is slow: a commit is waiting"
            );
        }
    }
}

/// How a projection is doing.
pub(crate) fn projection(view: &View) {
    let set = |metric: &'static str, value: f64| {
        gauge!(metric, "projection" => view.name.clone()).set(value);
    };
    let build_lag = view.building.as_ref().map_or(0, |(_, status)| status.lag());
    set(PROJECTION_BUILD_LAG, build_lag as f64);
    let Some(status) = &view.status else { return };
    set(PROJECTION_LAG, status.lag() as f64);
    set(PROJECTION_RATE, status.rate);
    set(PROJECTION_QUARANTINED, status.quarantined as f64);
    let unmoved = status.unmoved_since.elapsed();
    let stalled = if status.lag() > 0 { unmoved } else { Duration::ZERO };
    set(PROJECTION_STALLED_SECONDS, stalled.as_secs_f64());
    if stalled >= STALLED {
        let (projection, lag, error) = (&view.name, status.lag(), status.last_error.as_deref());
        tracing::warn!(projection, lag, ?error, "a projection does not move");
    }
}

/// Times commits, also those that do not come to an end.
#[derive(Debug, Default)]
pub(crate) struct CommitWatch {
    since: Mutex<Option<Instant>>,
}

impl CommitWatch {
    pub(crate) fn time<T>(&self, commit: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        *self.since() = Some(begun);
        let outcome = commit();
        *self.since() = None;
        histogram!(COMMIT_SECONDS).record(begun.elapsed().as_secs_f64());
        outcome
    }

    /// How long the present commit has been going on; zero when none is.
    pub(crate) fn running(&self) -> Duration {
        self.since().map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().expect("nobody panics while holding it")
    }
}

pub(crate) fn committed(events: usize) {
    counter!(EVENTS_COMMITTED).increment(events as u64);
}

pub(crate) fn disk_full() {
    counter!(DISK_FULL).increment(1);
}

pub(crate) fn evidence(kind: &'static str) {
    counter!(EVIDENCE, "kind" => kind).increment(1);
}

pub(crate) fn writer_size(size: TreeSize) {
    gauge!(WRITER_EVENTS).set(size.as_u64() as f64);
}

pub(crate) fn against_writer() {
    counter!(AGAINST_WRITER).increment(1);
}

pub(crate) fn witness_lag(head: TreeSize, cosigned: TreeSize) {
    gauge!(WITNESS_LAG).set(head.as_u64().saturating_sub(cosigned.as_u64()) as f64);
}

pub(crate) fn witness_failure(name: &str) {
    counter!(WITNESS_FAILURES, "witness" => name.to_owned()).increment(1);
}
