//! How fast the ledger is, as ratios: each path against the raw limit of the machine, or against
//! another program, measured in one run.
//!
//! A figure of one machine says little about another, and on a shared machine little about the next
//! minute. So each path and its limit are measured in turn, several times, and a row is the median
//! of the ratios, with the raw figures of that very run beside it.
//!
//! The rows and their goals are in [`GOALS`]. Nothing is tuned here: the program runs as `tally
//! serve` and `tally verify` run it, on a ledger in the build directory.

mod append;
mod grpc;
mod peers;
mod read;
mod row;
mod suite;

pub use peers::Peers;
pub use row::{GOALS, Goal, Measured, Report, Row};
pub use suite::Suite;

/// Why the rows could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The load or a raw limit.
    #[error(transparent)]
    Load(#[from] tally_load::Failure),
    /// A ledger that grows.
    #[error(transparent)]
    Growth(#[from] tally_growth::Failure),
    /// The ledger does not open.
    #[error(transparent)]
    Open(#[from] tally_node::OpenError),
    /// It does not append.
    #[error(transparent)]
    Append(#[from] tally_node::AppendError),
    /// There was no time for a single call.
    #[error("no call was answered in the time there was; raise --seconds")]
    Nothing,
    /// A projection can't be built.
    #[error("the projection was not built: {0}")]
    Build(String),
    /// The program ends otherwise than it must.
    #[error("`tally {command}` ended with code {code}: {said}")]
    Program {
        /// What it was asked.
        command: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        said: String,
    },
    /// The comparison with other programs failed.
    #[error("{program}: {said}")]
    Peers {
        /// The program that compares.
        program: String,
        /// What it said.
        said: String,
    },
}
