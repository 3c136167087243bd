//! Provenance bundles: the exact events that say how a task or data came about, with one proof that
//! a log holds them, in one file; and what they are worth.
//!
//! [`Bundle`] reads and writes the file, [`verify_bundle`] judges it. Trust comes from the one who
//! judges, never from the file.

mod file;
mod judge;
mod report;

pub use file::{
    BUNDLE_FORMAT, BUNDLE_START, Bundle, BundleError, MAX_BUNDLE_BYTES, MAX_BUNDLE_EVENTS, Older,
    Omission,
};
pub use judge::verify_bundle;
pub use report::{BundleFault, BundleReport, Missing};
