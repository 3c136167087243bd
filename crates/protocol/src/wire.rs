//! The wire form: code generated from `proto/tally/v1/envelope.proto`.
//!
//! Nothing here is checked; the typed form in [`crate::envelope`] and [`crate::message`] is what
//! the rest of the ledger works with.
#![expect(missing_docs, clippy::all, reason = "generated; the .proto file documents it")]

include!(concat!(env!("OUT_DIR"), "/tally.v1.rs"));
