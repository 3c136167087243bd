//! The language of the ledger: messages, envelopes, events, the chain, ids, keys and limits.
//!
//! Bytes are parsed here once, into types that cannot be wrong, and what was verified is a
//! different type from what was not:
//!
//! ```text
//! bytes ──Envelope::parse──▶ ParsedEnvelope ──signature::verify──▶ VerifiedEnvelope
//! ```
//!
//! There is no I/O and no clock here. Randomness appears in two places, where it changes no
//! result: making a new key, and the coefficients of a signature batch.

pub mod as_of;
mod body;
mod canonical;
pub mod envelope;
pub mod equivocation;
pub mod event;
mod field;
pub mod ids;
pub mod key;
pub mod limits;
pub mod message;
pub mod parts;
pub mod signature;
pub mod state_digest;
pub mod wire;

pub use as_of::{AsOf, TimeSearch, TimeStep};
pub use envelope::{
    Envelope, MessageKind, Outline, ParsedEnvelope, SignedEnvelope, VerifiedEnvelope,
};
pub use equivocation::{Equivocation, NoEquivocation};
pub use event::{ChainHash, Event, EventError};
pub use field::{Fault, Malformed};
pub use ids::{AuthorSequence, Digest, EnvelopeId, Position, Time, TraceId};
pub use key::{AgentId, AgentKey, KeyError};
pub use message::Message;
pub use signature::BadSignature;
pub use state_digest::StateDigest;
pub use tally_tlog::{Origin, TreeSize};
