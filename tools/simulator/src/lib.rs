//! Crashes the ledger's store on a simulated disk, thousands of times a second, and judges what is
//! left against what was acknowledged.
//!
//! | module | what |
//! |---|---|
//! | [`disk`] | the simulated disk: page cache, durable bytes, faults, crashes |
//! | [`run`](mod@run) | one ledger through several crashes, all of it from one seed |
//! | [`sequenced`] | the same for a node's sequencer and committer, with real envelopes |
//! | [`campaign`] | many runs on all processors |
//! | [`plant`] | bugs planted on purpose, which must be found |
//! | [`random`] | numbers from a seed |
//!
//! Does not simulate the rows: they can be rebuilt, and their engine has its own way to the disk.
//! Nor does it simulate several threads: the store's writer is one.

pub mod campaign;
mod content;
mod copies;
pub mod disk;
mod model;
pub mod plant;
pub mod random;
pub mod run;
pub mod sequenced;

pub use model::Violation;
