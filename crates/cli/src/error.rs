//! What can go wrong for a user of the program, sorted by what the user can do about it.

use std::fmt::Display;

use serde_json::{Value, json};
use tally_client::{ConnectError, Error as ClientError};
use tally_node::OpenError;
use tally_node::history::HistoryError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command was not used as it must be: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The ledger refused, or what was asked for is not there: exit code 1.
    #[error(transparent)]
    Refused(Box<ClientError>),
    /// What was asked for is not there: exit code 1.
    #[error("{0}")]
    Absent(String),
    /// A verdict that was printed already: exit code 1.
    #[error("the verdict is {0}")]
    Negative(&'static str),
    /// Something outside failed: exit code 3.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    pub(crate) fn failed(what: impl Display, cause: impl Display) -> Self {
        Self::Failed(format!("{what}: {cause}"))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Absent(_) | Self::Negative(_) => 1,
            Self::Usage(_) => 2,
            Self::Failed(_) => 3,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "message": self.to_string() });
        if let Self::Refused(cause) = self
            && let ClientError::Rejected(rejection) = &**cause
        {
            error["code"] = json!(format!("{:?}", rejection.code));
            error["rule"] = json!(rejection.rule);
            error["field"] = json!(rejection.field);
            error["object"] = json!(rejection.object);
        }
        json!({ "error": error })
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable(_) | ClientError::StreamEnded | ClientError::Observed(_) => {
                Self::Failed(error.to_string())
            }
            ClientError::Malformed(_)
            | ClientError::Rejected(_)
            | ClientError::BadReceipt(_)
            | ClientError::Fork { .. }
            | ClientError::BadEvent { .. }
            | ClientError::BrokenChain { .. }
            | ClientError::BrokenRule { .. }
            | ClientError::BadAnswer(_) => Self::Refused(Box::new(error)),
        }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Ledger(error) => error.into(),
            ConnectError::Url { .. } => Self::Usage(error.to_string()),
            ConnectError::Transport { .. } => Self::Failed(error.to_string()),
            ConnectError::OtherKey { .. } => Self::Absent(error.to_string()),
        }
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::BehindSeen { .. } | OpenError::OtherHistory { .. } => Self::Absent(text),
            OpenError::SeenElsewhere { .. } => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<HistoryError> for CliError {
    fn from(error: HistoryError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<tally_store::OpenError> for CliError {
    fn from(error: tally_store::OpenError) -> Self {
        match error {
            tally_store::OpenError::NoLog { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<tally_store::ReadError> for CliError {
    fn from(error: tally_store::ReadError) -> Self {
        match error {
            tally_store::ReadError::Beyond { .. } => Self::Absent(error.to_string()),
            tally_store::ReadError::Damaged(_) | tally_store::ReadError::File(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}
