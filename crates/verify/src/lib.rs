//! A whole ledger, or a provenance bundle, judged offline: from nothing but bytes and a trusted key.
//!
//! Everything is checked again: the shape of each event, positions, the ledger's time, the log's
//! chain, signatures, author chains, *every rule*, the tree, and the signed checkpoint of every
//! group. Decisions about awards and policies are made again and summed up in one digest, which
//! is the same wherever the same log is judged. The verdict names the first bad position and the
//! rule. There is no I/O here, no network and no clock; where the bytes come from is the caller's
//! business.
//!
//! A bundle holds the events that say how one task or data came about, and one proof for all of
//! them. They are judged by the same rules, as far as that can be done without the rest of the log;
//! the report says what is not covered.

mod bundle;
pub mod evidence;
mod examine;
mod judge;
mod ledger;
mod ordered;
mod report;
mod rerun;

pub use bundle::{
    BUNDLE_FORMAT, BUNDLE_START, Bundle, BundleError, BundleFault, BundleReport, MAX_BUNDLE_BYTES,
    MAX_BUNDLE_EVENTS, Missing, Older, Omission, verify_bundle,
};
pub use examine::{Examined, examine, examine_here};
pub use judge::{Judge, Trust};
pub use ledger::{Item, verify_ledger};
pub use ordered::in_order;
pub use report::{Decisions, FirstBad, Report, StateDigests, Verdict};
