//! Decisions that an admission rests on, so that everyone who folds the log sees them again.

use serde::Serialize;
use tally_policy::Record;
use tally_protocol::EnvelopeId;
use tally_protocol::message::Evaluation;

use crate::auction;
use crate::refusal::Object;

/// A decision that was made when an envelope was admitted. It follows from the log alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Policies allowed it (R21).
    Policy {
        /// What was judged.
        object: Object,
        /// Policies by digest, the request with its entities, the answer and what determined it.
        record: Box<Record>,
    },
    /// An offer was chosen (R15 to R17).
    Award {
        /// The TaskStart.
        task: EnvelopeId,
        /// The offer.
        offer: EnvelopeId,
        /// The evaluation, computed again; `None` where the initiator chose without one, or by a
        /// method that is not the ledger's.
        #[serde(skip_serializing_if = "Option::is_none")]
        evaluation: Option<Evaluation>,
        /// Winner and price of the auction, computed again.
        #[serde(skip_serializing_if = "Option::is_none")]
        auction: Option<auction::Result>,
    },
}
