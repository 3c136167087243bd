//! What is in the ledger, as other ecosystems write it, for programs that know nothing of ours.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`dsse`] | an author's envelope, and documents signed like one | DSSE 1.0.2 |
//! | [`statement`] | a task receipt as a statement about its outputs | in-toto Statement v1 |
//! | [`cose`] | the proof that an event is in the log, signed over the root | RFC 9942, RFC 9052 |
//! | [`openlineage`] | tasks as runs; runs of others as activities to claim | OpenLineage 2-0-2 |
//! | [`cloudevents`] | every event as a cloud event | CloudEvents 1.0 |
//! | [`otlp`] | tasks as spans | OTLP 1 |
//! | [`a2a`] | agent cards of others, to claim | A2A 1.0 |
//! | [`claims`] | what others wrote, as claims of whoever imports it | – |
//! | [`prov`] | who did what with what, and whether the times can be true | W3C PROV |
//!
//! There is no I/O, no clock and no randomness here. What others wrote is never taken for a message of
//! the protocol: it becomes a claim, signed by whoever imports it.
//!
//! Who reads an export verifies Ed25519 as RFC 8032 says it. The ledger's own rule (ZIP 215) takes a
//! few signatures more, that nobody makes by accident; [`DsseEnvelope::verifies`] tells them.

pub mod a2a;
pub mod claims;
pub mod cloudevents;
pub mod cose;
pub mod dsse;
pub mod openlineage;
pub mod otlp;
pub mod prov;
pub mod statement;

mod foreign;
mod runs;
mod strict;
mod time;

pub use cose::{
    CoseKey, CoseKeyError, CosePublicKey, CoseReceipt, CoseReceiptError, CoseVerifyError,
    IssueError, MAX_COSE_KEY_BYTES, MAX_COSE_RECEIPT_BYTES,
};
pub use dsse::{DsseEnvelope, DsseError, MAX_DSSE_BYTES};
pub use foreign::Foreign;
pub use statement::{
    FoundReceipt, IN_TOTO_PAYLOAD_TYPE, IntentSummary, PolicyVerdict, ResourceDescriptor,
    STATEMENT_TYPE, Statement, TASK_RECEIPT_TYPE, TaskReceipt, TaskReceipts,
};
