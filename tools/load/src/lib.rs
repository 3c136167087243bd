//! Load against a real server, and the raw limits of the machine that it runs on.
//!
//! ```text
//! Load (signed ahead of time) ──unary │ stream │ open──▶ tally serve ──▶ Session (rate, latencies)
//! raw: signatures in batches · one signature · fdatasync · empty round trip · read and decode
//! ```
//!
//! - [`Load`] is what is appended: envelopes of real workflows, in lanes that do not depend on each
//!   other.
//! - [`rpc`] appends them over gRPC and checks no receipt: the generator is to cost little. [`node`]
//!   appends them within the process.
//! - [`raw`] and [`decode`] measure what no ledger can be faster than. They share no code with the
//!   paths that are held to them, but for the formats.
//! - [`Process`] says what a process costs, [`Machine`] where it was measured.
//!
//! A figure alone says little, since the speed of a shared machine drifts: compare what was
//! measured in one run. Nothing here judges a figure.

pub mod decode;
mod empty;
mod latency;
mod load;
mod machine;
pub mod node;
mod process;
pub mod raw;
pub mod rpc;
mod served;

pub use empty::{EmptyServer, serve_empty};
pub use latency::{Latencies, Schedule, Summary};
pub use load::{Lane, Load, Wanted};
pub use machine::Machine;
pub use process::Process;
pub use served::{Served, scratch};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or a process.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// A call failed.
    #[error("a call failed: {0}")]
    Call(Box<tonic::Status>),
    /// The ledger refuses what it must admit.
    #[error("the ledger refuses an envelope: {0}")]
    Refused(String),
    /// The load was appended before.
    #[error("the ledger has this load already: choose another seed, or an empty ledger")]
    Duplicate,
    /// A stream ended before everything was answered.
    #[error("{0} envelopes were sent and not answered")]
    Unanswered(usize),
    /// A server has work left after the longest time that is waited for it.
    #[error("the server's projections have not caught up, or it still works at something else")]
    Behind,
    /// A segment holds what is no event.
    #[error("{path} is damaged at byte {offset}")]
    Damaged {
        /// The segment.
        path: String,
        /// Where in what was read of it.
        offset: usize,
    },
}

impl Failure {
    /// A failure of the operating system at something.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}
