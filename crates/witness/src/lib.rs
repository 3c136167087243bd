//! Witnesses of logs, as C2SP tlog-witness v1.0.0 specifies: one to run, and a client that collects
//! the cosignatures of others.
//!
//! A witness keeps the latest checkpoint of each log that it knows and cosigns only what extends it,
//! so that a log cannot show two histories to people who ask for the same witnesses. It knows nothing
//! of what a log holds. Subtrees are not signed, and keys are Ed25519 only.
//!
//! | module | what |
//! |---|---|
//! | [`request`] | the body of `add-checkpoint`, read and written |
//! | [`witness`] | the witness without HTTP: its checks and its durable record |
//! | [`server`] | the witness over HTTP |
//! | [`client`] | asking one witness, or all of a policy |

pub mod client;
pub mod request;
pub mod server;
pub mod witness;

pub use client::{Collected, Collector, ProofFailure, SubmitError, WitnessClient};
pub use request::{AddCheckpoint, MAX_REQUEST_BYTES, MAX_REQUEST_HASHES, RequestError};
pub use server::{router, serve};
pub use witness::{OpenError, Refusal, Witness, origin_hash};
