//! Real faults against the real server: `tally serve` as a process of its own, on a real disk,
//! under load from real clients who keep every log receipt that they get.
//!
//! | module | what |
//! |---|---|
//! | [`kill`] | SIGKILL at any moment, also while the server starts |
//! | [`strace`] | one system call fails, is slow, or is the last: errors injected by `strace` |
//! | [`full`] | a disk that is full, and is not any more |
//! | [`replay`] | SIGKILL while a projection is built again from a long history |
//! | [`world`] | a ledger under attack: directory, server, agents, receipts |
//! | [`load`] | the agents |
//! | [`check`] | the judge: the whole log verified, and every receipt compared with it |
//!
//! A killed process does not lose the kernel's page cache, so none of this shows what a power cut
//! does: `tools/simulator` does. What is random follows from the seed; what the kernel and the
//! server's threads make of it does not.

pub mod check;
pub mod full;
pub mod kill;
pub mod load;
pub mod replay;
pub mod strace;
mod violation;
pub mod world;

pub use violation::{Failure, Report, Violation};

/// Exit code when the machine lacks what a kind of fault needs, so that nothing was tested.
pub const CANNOT: u8 = 77;
