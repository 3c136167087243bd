//! The wire of the services: generated gRPC code and its conversions to and from plain types.
//!
//! Nothing is decided here. Refusals travel as gRPC statuses with google.rpc details; which cause
//! gets which code is the server's table.

mod convert;
mod moment;
pub mod provenance;
mod receipt;
mod stream;

pub use convert::{BadAnswer, lineage_request, search_scope};
pub use moment::{moment, wire_moment};
pub use receipt::{BadReceipt, LogReceipt};
pub use stream::MAX_STREAM_ENVELOPES;
pub use tonic_types;

/// Generated code of `proto/tally/v1`, the services.
pub mod v1 {
    #![expect(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::allow_attributes,
        reason = "generated; the .proto file documents it"
    )]
    pub use crate::stream::AppendStreamRequest;
    include!(concat!(env!("OUT_DIR"), "/tally.v1.rs"));
}

/// Descriptors of all messages and services, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Domain of the error details that this API gives.
pub const ERROR_DOMAIN: &str = "tally";

/// Most bytes of one gRPC message that either side takes: a batch of events and some room.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// What one stream may send before the other side has taken it: flow control, in both directions. A
/// whole message of many envelopes fits.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// What all streams of a connection may send before the other side has taken it.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// The longest HTTP/2 frame: with the usual 16 KiB, a message of many envelopes is cut into dozens.
pub const FRAME_BYTES: u32 = 256 * 1024;

/// Most bytes of a question: decoding one takes up to 40 times its size.
pub const MAX_QUESTION_BYTES: usize = 128 * 1024;

/// Most bytes of events in one batch; a batch has at least one event, however large.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Most events in one batch.
pub const MAX_BATCH_EVENTS: usize = 1_024;
