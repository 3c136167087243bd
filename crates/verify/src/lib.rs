//! A whole ledger judged offline, from nothing but its bytes and a trusted key.
//!
//! Everything is checked again: the shape of each event, positions, the ledger's time, the log's
//! chain, signatures, author chains, *every rule*, the tree, and the signed checkpoint of every
//! group. Decisions about awards and policies are made again and summed up in one digest, which
//! is the same wherever the same log is judged. The verdict names the first bad position and the rule. There is no I/O here, no network
//! and no clock; where the bytes come from is the caller's business.

mod ledger;
mod report;

pub use ledger::{Item, Trust, verify_ledger};
pub use report::{Decisions, FirstBad, Report, Verdict};
