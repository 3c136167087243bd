//! Where the ledger's time comes from. Only the node asks; rules and folds never do.

use std::time::{SystemTime, UNIX_EPOCH};

use tally_protocol::Time;

/// A source of the present time.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Time;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        // A clock before 1970 reads as 1970: recorded times never go back anyway.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
