//! Projections: folds that follow the log at their own pace, and what it takes to trust them.
//!
//! ```text
//! Source ──read──▶ Entry … ──Runner──▶ Projection ──one batch──▶ rows + cursor (+ quarantine)
//! ```
//!
//! - A [`Fold`] is what its author writes: a name, a version, and what an event does to rows. It
//!   reads no clock and nothing but the event and its own rows.
//! - [`Stored`] keeps its rows on disk: rows, cursor and quarantine move in one batch. Events of
//!   different [`Partition`]s are folded side by side, with one barrier before each batch is kept.
//! - [`InMemory`] is for what fits into memory whatever the length of the log; it is built again at
//!   each start.
//! - A [`Runner`] drives a [`Projection`] from a [`Source`]: catching up and following live are one
//!   path. It can be held at a position and cancelled, and says how far it is, how fast, and what is
//!   in its way.
//! - A long way behind the head, all cores read ahead of a fold, and make ready what it asks of most
//!   events ([`Asked`]); it gets them in order, on its own thread.
//! - [`determinism`] folds one history in many ways and demands one result.
//!
//! An event that a fold cannot take stops nothing: it is put in quarantine with the reason, its
//! changes are undone, and the fold goes on. After a mend the projection is built again beside the
//! old one, from history: an event that is folded out of its order would give rows that no replay
//! gives.
//!
//! This crate does not know which projections there are, and serves nobody: that is the node.
//!
//! # Example
//!
//! ```
//! use tally_projection::{Draft, Entry, Fold, Partition, Poison};
//!
//! /// How many envelopes each agent has signed.
//! struct Envelopes;
//!
//! impl Fold for Envelopes {
//!     fn name(&self) -> &str {
//!         "envelopes"
//!     }
//!     fn version(&self) -> u32 {
//!         1
//!     }
//!     fn partition(&self, entry: &Entry) -> Option<Partition> {
//!         Some(Partition::of(entry.author().as_bytes()))
//!     }
//!     fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
//!         rows.update(entry.author().as_bytes(), |count: &mut u64| *count += 1)
//!     }
//! }
//! ```

mod ahead;
mod changes;
pub mod determinism;
mod draft;
mod entry;
mod fold;
mod memory;
mod runner;
mod source;
mod stored;

pub use draft::Draft;
pub use entry::{Entry, Unreadable};
pub use fold::{Fold, Partition, Poison};
pub use memory::{InMemory, MemoryFold};
pub use runner::{Cancelled, FoldError, RETRY, Runner, Stage, Status, catch_up};
pub use source::{Asked, Batch, FOLD_LIMIT, LogSource, Source, SourceError, Waited};
pub use stored::{Projection, ProjectionError, Stored};
