//! What a ledger that is there costs: a process opens it, asks, and appends a signed tail.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use tally_load::{Latencies, Process, node};
use tally_node::Node;
use tally_protocol::{EnvelopeId, MessageKind, ParsedEnvelope, Position};

use crate::{Failure, Point, tail};

/// Questions of each kind.
const QUESTIONS: u64 = 4_000;

/// Pause between two looks whether projections have caught up.
const LOOK: Duration = Duration::from_millis(1);

/// Opens the ledger in `data`, asks, and appends the envelopes in the file `tail`. To be run in a
/// process of its own: its memory is measured.
///
/// # Errors
/// [`Failure`].
pub async fn measure(data: &Path, tail: &Path) -> Result<Point, Failure> {
    let (own, began) = (Process::own(), Instant::now());
    let open = Node::open(node::config(data), |_| {})?;
    let open_s = began.elapsed().as_secs_f64();
    caught_up(&open).await;
    let start_s = began.elapsed().as_secs_f64();
    let (resident_bytes, peak_resident_bytes) = (own.resident_bytes(), own.peak_resident_bytes());
    let events = open.snapshot().tip.size.as_u64();

    let first = Asked::measure(&open, events)?;
    let again = Asked::measure(&open, events)?;
    let (append_cpu_us, append_us) = append(&open, tail).await?;
    open.shut_down().await;
    Ok(Point {
        events,
        append_cpu_us,
        append_us,
        proof_us: first.proof_us,
        event_by_id_us: first.event_us,
        object_by_id_us: first.object_us,
        proof_again_us: again.proof_us,
        event_again_us: again.event_us,
        object_again_us: again.object_us,
        disk_bytes_per_question: first.disk_bytes,
        disk_bytes_per_question_again: again.disk_bytes,
        resident_bytes,
        peak_resident_bytes,
        open_s,
        start_s,
    })
}

/// What questions cost.
struct Asked {
    proof_us: f64,
    event_us: f64,
    object_us: f64,
    disk_bytes: f64,
}

impl Asked {
    /// Asks all over the log.
    fn measure(open: &Node, events: u64) -> Result<Self, Failure> {
        let (own, before) = (Process::own(), Process::own().disk_bytes());
        let proof_us = proofs(open, events)?;
        let (event_us, object_us) = questions(open, events)?;
        let disk_bytes = (own.disk_bytes() - before) as f64 / (2 * QUESTIONS) as f64;
        Ok(Self { proof_us, event_us, object_us, disk_bytes })
    }
}

async fn caught_up(open: &Node) {
    while node::lag(open) > 0 {
        tokio::time::sleep(LOOK).await;
    }
}

/// Positions all over the log, none near the one before.
fn positions(events: u64) -> impl Iterator<Item = Position> {
    // The golden ratio: the most even of all steps, whatever the size.
    let step = (events as f64 * 0.618_033_988_75) as u64 | 1;
    (0..QUESTIONS).map(move |number| {
        Position((u128::from(number) * u128::from(step) % u128::from(events)) as u64)
    })
}

fn proofs(open: &Node, events: u64) -> Result<f64, Failure> {
    let mut latencies = Latencies::default();
    for position in positions(events) {
        let asked = Instant::now();
        black_box(open.receipt(position)?);
        latencies.record(asked.elapsed());
    }
    Ok(median_us(&latencies))
}

/// By the ids of envelopes, and by those of tasks.
fn questions(open: &Node, events: u64) -> Result<(f64, f64), Failure> {
    let (mut by_id, mut tasks) = (Latencies::default(), Latencies::default());
    for position in positions(events) {
        let event = open.event(position).map_err(tally_node::ProofError::from)?;
        let envelope = event.signed().parse().map_err(tally_node::AppendError::from)?;
        let id: EnvelopeId = envelope.id();
        let asked = Instant::now();
        let found = open.position_of(&id).expect("it is in the log");
        black_box(open.event(found).map_err(tally_node::ProofError::from)?);
        by_id.record(asked.elapsed());
        if envelope.envelope().message.kind() == MessageKind::TaskStart {
            let asked = Instant::now();
            let snapshot = open.snapshot();
            assert!(black_box(snapshot.state.task(&id)).is_some(), "the task is known");
            tasks.record(asked.elapsed());
        }
    }
    Ok((median_us(&by_id), median_us(&tasks)))
}

/// Processor time and time on the clock, microseconds an event.
async fn append(open: &Node, tail: &Path) -> Result<(f64, f64), Failure> {
    let parse = |signed: tally_protocol::SignedEnvelope| signed.parse();
    let envelopes: Vec<ParsedEnvelope> = tail::read(tail)?
        .into_iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(tally_node::AppendError::from)?;
    let events = envelopes.len() as f64;
    let (own, began) = (Process::own(), Instant::now());
    let cpu = own.cpu_of_threads();
    let mut appending = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        appending.push(open.enqueue(envelope).await?);
    }
    for waiting in appending {
        waiting.receipt().await?;
    }
    let elapsed = began.elapsed();
    caught_up(open).await;
    let cpu = own.cpu_of_threads() - cpu;
    Ok((cpu.as_secs_f64() * 1e6 / events, elapsed.as_secs_f64() * 1e6 / events))
}

fn median_us(latencies: &Latencies) -> f64 {
    latencies.quantile(0.5).as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_all_over_the_log() {
        for events in [10_000, 100_000, 10_000_000] {
            let mut tenths = [0; 10];
            for position in positions(events) {
                tenths[(position.0 * 10 / events) as usize] += 1;
            }
            assert!(tenths.iter().all(|&found| (300..500).contains(&found)), "{tenths:?}");
        }
    }
}
