//! Workloads for the benchmarks: real workflows, signed ahead of time, the same from the same seed.
//!
//! [`Market`] writes envelopes that the rules admit in the order in which it gives them, and
//! [`Sequencer`] makes durable groups of them as the node would. Nothing here is measured, tells
//! the time or draws at random; the benchmarks are in `benches/`.

mod market;
mod sequencer;

pub use market::{FEWEST_SIGNERS, LONGEST_PAYLOAD, Market, SHORTEST_PAYLOAD, START};
pub use sequencer::{Sequencer, node_config, origin, signer, verified};
