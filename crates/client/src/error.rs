//! What can go wrong between a client and a ledger, by cause.

use tally_api::tonic_types::StatusExt;
use tally_api::v1::Refused;
use tally_api::{BadAnswer, BadReceipt};
use tally_protocol::{EventError, Malformed, Position, TreeSize};
use tonic::{Code, Status};

/// Why a client did not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none.
    #[error("{url:?} is no URL of a ledger; it looks like http://127.0.0.1:7420")]
    Url {
        /// The URL.
        url: String,
    },
    /// Nobody answers.
    #[error("no ledger answers at {url}: {}; is `tally serve` running there?", root_cause(source))]
    Transport {
        /// The URL.
        url: String,
        /// What the transport says.
        source: tonic::transport::Error,
    },
    /// The first question was not answered.
    #[error(transparent)]
    Ledger(#[from] Error),
    /// The ledger names another key than the trusted one.
    #[error("the ledger says its log key is {said}, the trusted one is {trusted}")]
    OtherKey {
        /// The key that the ledger names.
        said: String,
        /// The key that is trusted.
        trusted: String,
    },
}

/// What the operating system said: the transport's own text says only that it failed.
fn root_cause(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A refusal by the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The gRPC status code.
    pub code: Code,
    /// What the ledger says: the rule, the field, the object, and what to do.
    pub message: String,
    /// Code of the rule, as in `R12.intent-open`.
    pub rule: String,
    /// The field at fault.
    pub field: String,
    /// The object that the rule looked at.
    pub object: String,
}

impl From<Status> for Rejection {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let (rule, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let named = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            rule,
            field: named("field"),
            object: named("object"),
        }
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self {
            code: Code::from(refused.code),
            message: refused.message,
            rule: refused.rule,
            field: refused.field,
            object: refused.object,
        }
    }
}

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was to be signed can't be said in this protocol.
    #[error("the envelope is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The ledger refused; nothing has changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The ledger could not be reached, or not in time; the outcome of an append is unknown, and
    /// appending the same envelope again is safe.
    #[error("the ledger can't be reached: {0}; append the same envelope again")]
    Unreachable(Rejection),
    /// The ledger answered with a receipt that is no proof: do not trust it.
    #[error("the ledger gave a receipt that does not hold: {0}")]
    BadReceipt(#[from] BadReceipt),
    /// The ledger showed two trees of one size: keep both checkpoints, they are evidence.
    #[error("the ledger forked: two different trees of size {size}")]
    Fork {
        /// The size of both trees.
        size: TreeSize,
    },
    /// An event of a subscription is malformed.
    #[error("the event at position {position} is malformed: {cause}")]
    BadEvent {
        /// Where.
        position: Position,
        /// Why.
        cause: EventError,
    },
    /// An event of a subscription does not continue the chain.
    #[error("the event at position {position} does not continue the log's chain")]
    BrokenChain {
        /// Where.
        position: Position,
    },
    /// An event of the log is not what its rules admit: the operator is not to be trusted.
    #[error("the event at position {position} breaks the ledger's rules: {found}")]
    BrokenRule {
        /// Where.
        position: Position,
        /// The rule, and what was found.
        found: String,
    },
    /// An observer came to an end.
    #[error("the log can't be followed any further: {0}")]
    Observed(std::sync::Arc<Error>),
    /// An answer has the wrong shape.
    #[error("the ledger's answer is malformed: {0}")]
    BadAnswer(#[from] BadAnswer),
    /// The stream ended before everything was answered.
    #[error("the ledger ended the stream early; append what is unanswered again")]
    StreamEnded,
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::sort(status.into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::sort(refused.into())
    }
}

impl Error {
    /// Tells what changed nothing from what may be in the log all the same.
    fn sort(rejection: Rejection) -> Self {
        match rejection.code {
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => {
                Self::Unreachable(rejection)
            }
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Self::Rejected(rejection),
        }
    }
}
