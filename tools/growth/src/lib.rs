//! What a ledger costs when it is long: appends, proofs, questions, memory and start.
//!
//! One ledger grows through a node, as `tally serve` runs it. At each size it is closed, and a
//! process of its own opens it again, asks, and appends a tail that was signed before: what it takes
//! then is a [`Point`]. Signing goes on while the ledger grows, and is in no figure.
//!
//! The files are in the page cache as far as they fit there.

mod measure;
mod picture;
mod tail;
mod write;

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use tally_load::{Machine, scratch};
use tally_node::Node;

pub use measure::measure;
pub use picture::svg;
use write::Writer;

/// Different signers of a ledger that grows.
pub const SIGNERS: usize = 16;

/// Events of which appending is measured, beyond each size.
pub const TAIL: usize = 10_000;

/// What a ledger of one size costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Point {
    /// Events in the ledger.
    pub events: u64,
    /// Processor time of appending one event, parsed and signed before, until all projections have
    /// it too; microseconds.
    pub append_cpu_us: f64,
    /// Time of that on the clock, of [`TAIL`] at once, until it is durable; microseconds an event.
    pub append_us: f64,
    /// The median time of proving an event, reading it included; microseconds.
    pub proof_us: f64,
    /// The median time of finding an event by its envelope's id, and reading it; microseconds.
    pub event_by_id_us: f64,
    /// The median time of finding a task by its id; microseconds.
    pub object_by_id_us: f64,
    /// The same three, asked once more: what the first time left at hand is.
    pub proof_again_us: f64,
    /// See [`Point::proof_again_us`].
    pub event_again_us: f64,
    /// See [`Point::proof_again_us`].
    pub object_again_us: f64,
    /// Bytes that came from the disk for each of all these questions, on average, the first time.
    pub disk_bytes_per_question: f64,
    /// The same, the second time.
    pub disk_bytes_per_question_again: f64,
    /// Memory once all projections have caught up after the start, bytes.
    pub resident_bytes: u64,
    /// The most memory that there was until then, bytes.
    pub peak_resident_bytes: u64,
    /// From the start until appends are taken in; seconds.
    pub open_s: f64,
    /// From the start until all projections have caught up; seconds.
    pub start_s: f64,
}

/// A ledger that grew.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    /// Where, and of what.
    pub machine: Machine,
    /// Different signers.
    pub signers: usize,
    /// One for each size, in their order.
    pub points: Vec<Point>,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The load.
    #[error(transparent)]
    Load(#[from] tally_load::Failure),
    /// The ledger does not open.
    #[error(transparent)]
    Open(#[from] tally_node::OpenError),
    /// It does not append.
    #[error(transparent)]
    Append(#[from] tally_node::AppendError),
    /// It does not prove.
    #[error(transparent)]
    Proof(#[from] tally_node::ProofError),
    /// A file that this program wrote is not as it wrote it.
    #[error("the signed tail is torn")]
    Tail,
    /// The process that measures a size.
    #[error("measuring {events} events: {said}")]
    Process {
        /// The size.
        events: u64,
        /// What it said.
        said: String,
    },
}

/// Lets a ledger grow to each of these sizes, in their order, in a directory that is gone
/// afterwards. `program` is `tally-growth`, whose `measure` is run at each size; `progress` hears
/// what is being done.
///
/// # Errors
/// [`Failure`].
///
/// # Panics
/// When a size is not larger than that before and its tail.
pub async fn grow(
    program: &Path,
    sizes: &[u64],
    progress: impl Fn(&str),
) -> Result<Growth, Failure> {
    let directory = scratch()?;
    let (data, tail) = (directory.path().join("data"), directory.path().join("tail"));
    let (mut writer, mut points) = (Writer::new(), Vec::new());
    for &events in sizes {
        progress(&format!("growing to {events} events"));
        let node = Node::open(tally_load::node::config(&data), |_| {})?;
        writer.grow(&node, events, |size| progress(&format!("{size} of {events} events"))).await?;
        node.shut_down().await;
        drop(node);
        tail::write(&tail, &writer.tail(TAIL))?;
        progress(&format!("measuring {events} events"));
        points.push(measured(program, events, &data, &tail)?);
    }
    Ok(Growth { machine: Machine::here(), signers: SIGNERS, points })
}

/// A point, by a process of its own.
fn measured(program: &Path, events: u64, data: &Path, tail: &Path) -> Result<Point, Failure> {
    let mut command = Command::new(program);
    command.arg("measure").arg(data).arg(tail).stderr(Stdio::inherit());
    let failed = tally_load::Failure::system(program.display().to_string());
    let output = command.output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match serde_json::from_str(&said) {
        Ok(point) if output.status.success() => Ok(point),
        _ => Err(Failure::Process { events, said: format!("{}: {said}", output.status) }),
    }
}
