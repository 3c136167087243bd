//! Feeds bytes to everything in the ledger that reads bytes from outside, and holds it to what it
//! promises: no panic, no more memory than a named limit, and what was accepted is written back as
//! it came.
//!
//! | module | what |
//! |---|---|
//! | [`targets`] | one function for each reader; it panics when a promise is broken |
//! | [`seeds`] | valid inputs, made from a number |
//! | [`foreign`] | the same in the formats of other systems |
//! | [`mutate`] | changes to bytes, texts and protobuf |
//! | [`repair`] | puts checksums and links right again, so that what is behind them is reached |
//! | [`check`] | one input: panic, memory |
//! | [`driver`] | many inputs from one seed |
//! | [`corpus`] | the inputs that are kept |
//!
//! Everything follows from a seed: no clock, except to stop. There is no feedback from coverage
//! here, only from the answers: an input that gets an answer unseen so far is kept and changed
//! further. For coverage there is `libfuzzer/`, which calls the same functions.
//!
//! What is *not* fed: the reader of recorded workflows (`tally demo --trace`) and the shape around
//! a submitted message (`tally submit`), which are inside the program and cannot be called from
//! here; gRPC framing and HTTP/2, which are tonic's; the rows, which a rebuild replaces.

pub mod check;
pub mod corpus;
pub mod driver;
pub mod foreign;
pub mod mutate;
pub mod repair;
pub mod rng;
pub mod seeds;
pub mod targets;

pub use check::{Failure, Memory, Ran, check};
pub use driver::{Found, Plan, Stop, Summary, fuzz};
pub use rng::Rng;
pub use targets::{Grammar, Outcome, TARGETS, Target};
