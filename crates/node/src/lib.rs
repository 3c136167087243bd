//! A running ledger in plain types: sequencer, reads, proofs, snapshots and folds that follow.
//!
//! The way of an event: [`Node::append`] → signature batches on worker threads → [`plan`], a pure
//! function → one write and one fdatasync → everyone sees it. There is no gRPC here, and nothing
//! here judges messages: that is `tally-coordination`.

mod clock;
mod evidence;
mod follow;
pub mod history;
mod node;
mod pipeline;
mod plan;

pub use clock::{Clock, SystemClock};
pub use evidence::MAX_EVIDENCE_BYTES;
pub use node::{
    AppendError, Appending, Config, Consistency, LogReceipt, MAX_IN_FLIGHT, Node, OpenError,
    ProofError, RETRY_DELAY, Snapshot,
};
pub use pipeline::MAX_GROUP_EVENTS;
pub use plan::{Head, Plan, Verdict, plan};
