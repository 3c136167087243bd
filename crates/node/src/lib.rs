//! A running ledger in plain types: sequencer, reads, proofs, snapshots and folds that follow.
//!
//! The way of an event: [`Node::append`] → signature batches on worker threads → [`plan`], a pure
//! function → one write and one fdatasync → everyone sees it. There is no gRPC here, and nothing
//! here judges messages: that is `tally-coordination`.

pub mod archive;
mod attesting;
mod clock;
mod evidence;
pub mod history;
pub mod index;
mod memory;
pub mod metrics;
pub mod mirror;
mod node;
mod past;
mod pipeline;
mod plan;
pub mod projections;
pub mod replica;
mod sequencer;
pub mod tiles;
pub mod witnessing;

pub use clock::{Clock, SystemClock};
pub use evidence::MAX_EVIDENCE_BYTES;
pub use memory::use_ordinary_pages;
pub use mirror::{Mirror, Standing, Until, Upstream};
pub use node::{
    AppendError, Appending, Config, Consistency, FULL_RETRY_DELAY, LogReceipt, MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_BYTES, MirrorConfig, Node, OpenError, ProofError, RETRY_DELAY, Snapshot,
};
pub use pipeline::{MAX_GROUP_EVENTS, MAX_PARCEL};
pub use plan::{Head, Plan, Verdict, plan};
pub use projections::{Projections, Recipe, Serving};
pub use replica::Replica;
pub use sequencer::{CommitError, Committer, Planned, Sequencer, commit_path};
