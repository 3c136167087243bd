//! The rules of the ledger: who may sign what, and the life of every object.
//!
//! ```text
//! admit(&State, envelope, recorded_at) -> Change | Refusal        pure, changes nothing
//! State::fold(Change)                  -> State                   never fails
//! ```
//!
//! The rules read no clock: the only time they know is the one that the ledger recorded with the
//! event, so that everyone who has the log computes every decision again. They check no
//! signatures and know no storage. A [`State`] is a persistent value: a clone is a snapshot and
//! costs next to nothing.

pub mod auction;
pub mod award;
pub mod compliance;
mod decision;
pub mod discover;
pub mod evaluate;
mod finding;
mod refusal;
mod rules;
pub mod schema;
mod state;
pub mod view;

pub use decision::Decision;
pub use discover::{Criterion, Match, NearMiss, discover, why_not};
pub use finding::{Finding, FindingKind, findings};
pub use refusal::{Cause, Object, Refusal, Rule};
pub use rules::admit;
pub use rules::observe::EQUIVOCATION;
pub use state::{
    Agent, Archive, ArchiveDamaged, Attestation, Capability, CapabilityStanding, Change, Deadline,
    Ended, GENERATION_EVENTS, Intent, IntentStanding, KeyEnd, LateTerminal, Offer, OfferStanding,
    Policy, PolicyKey, Put, RowChange, Rows, State, Task, TaskState, TrackRecord,
};
