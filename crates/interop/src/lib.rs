//! What is in the ledger, as other ecosystems write it, for programs that know nothing of ours.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`dsse`] | an author's envelope, and documents signed like one | DSSE 1.0.2 |
//! | [`statement`] | a task receipt as a statement about its outputs | in-toto Statement v1 |
//! | [`cose`] | the proof that an event is in the log, signed over the root | RFC 9942, RFC 9052 |
//! | [`prov`] | who did what with what, and whether the times can be true | W3C PROV |
//!
//! There is no I/O, no clock and no randomness here, and nothing is imported: what is read back is
//! only what this crate writes.
//!
//! Who reads an export verifies Ed25519 as RFC 8032 says it. The ledger's own rule (ZIP 215) takes a
//! few signatures more, that nobody makes by accident; [`DsseEnvelope::verifies`] tells them.

pub mod cose;
pub mod dsse;
pub mod prov;
pub mod statement;

mod strict;
mod time;

pub use cose::{
    CoseKey, CoseKeyError, CosePublicKey, CoseReceipt, CoseReceiptError, CoseVerifyError,
    IssueError, MAX_COSE_KEY_BYTES, MAX_COSE_RECEIPT_BYTES,
};
pub use dsse::{DsseEnvelope, DsseError, MAX_DSSE_BYTES};
pub use statement::{
    FoundReceipt, IN_TOTO_PAYLOAD_TYPE, IntentSummary, PolicyVerdict, ResourceDescriptor,
    STATEMENT_TYPE, Statement, TASK_RECEIPT_TYPE, TaskReceipt, TaskReceipts,
};
