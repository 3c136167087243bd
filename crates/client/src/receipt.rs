//! A log receipt that was checked.

use tally_api::{BadReceipt, LogReceipt};
use tally_protocol::{Event, Origin, Position, Time};
use tally_tlog::{LogProof, VerifiedCheckpoint, VerifierKey};

/// A log receipt whose checkpoint and inclusion proof hold. Made only by checking one.
#[derive(Debug, Clone)]
pub struct Receipt {
    receipt: LogReceipt,
    checkpoint: VerifiedCheckpoint,
}

impl Receipt {
    /// Checks a log receipt.
    ///
    /// # Errors
    /// [`BadReceipt`] says what does not hold.
    pub fn check(
        receipt: LogReceipt,
        key: &VerifierKey,
        origin: &Origin,
    ) -> Result<Self, BadReceipt> {
        let checkpoint = receipt.verify(std::slice::from_ref(key), origin)?;
        Ok(Self { receipt, checkpoint })
    }

    /// Where the event stands.
    pub fn position(&self) -> Position {
        self.receipt.event.position()
    }

    /// When the ledger recorded it.
    pub fn recorded_at(&self) -> Time {
        self.receipt.event.recorded_at()
    }

    /// The event: this half of the tally.
    pub fn event(&self) -> &Event {
        &self.receipt.event
    }

    /// The tree head that the event is proved under.
    pub fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// The proof, as a C2SP tlog-proof.
    pub fn proof(&self) -> &LogProof {
        &self.receipt.proof
    }

    /// Whether the envelope had been appended before.
    pub fn is_duplicate(&self) -> bool {
        self.receipt.duplicate
    }
}
