//! The one map from causes to gRPC statuses. It has no wildcard arm: a new cause gets decided.

use std::collections::HashMap;
use std::time::Duration;

use tally_api::tonic_types::{ErrorDetails, StatusExt};
use tally_api::v1::Refused;
use tally_api::{ERROR_DOMAIN, MAX_STREAM_ENVELOPES};
use tally_coordination::{Cause, Refusal};
use tally_node::history::HistoryError;
use tally_node::projections::{AskError, ManageError};
use tally_node::{AppendError, FULL_RETRY_DELAY, ProofError, RETRY_DELAY};
use tally_protocol::{EnvelopeId, Malformed, TreeSize};
use tally_provenance::Unanswered;
use tally_store::{ReadError, TreeError};
use tonic::{Code, Status};

/// What went wrong, ready to be a status or an item of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    code: Code,
    message: String,
    rule: &'static str,
    field: String,
    object: String,
    extra: Option<(&'static str, String)>,
    retry: Option<Duration>,
}

impl Answer {
    fn new(code: Code, rule: &'static str, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
            rule,
            field: String::new(),
            object: String::new(),
            extra: None,
            retry: None,
        }
    }

    fn field(self, field: impl ToString) -> Self {
        Self { field: field.to_string(), ..self }
    }

    fn object(self, object: impl ToString) -> Self {
        Self { object: object.to_string(), ..self }
    }

    fn extra(self, name: &'static str, value: impl ToString) -> Self {
        Self { extra: Some((name, value.to_string())), ..self }
    }

    fn retry(self) -> Self {
        self.retry_in(RETRY_DELAY)
    }

    fn retry_in(self, delay: Duration) -> Self {
        Self { retry: Some(delay), ..self }
    }
}

impl From<Answer> for Status {
    fn from(answer: Answer) -> Self {
        let named = [("field", answer.field), ("object", answer.object)];
        let metadata: HashMap<String, String> = named
            .into_iter()
            .chain(answer.extra)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut details = ErrorDetails::with_error_info(answer.rule, ERROR_DOMAIN, metadata);
        if answer.retry.is_some() {
            details.set_retry_info(answer.retry);
        }
        Self::with_error_details(answer.code, answer.message, details)
    }
}

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        Self {
            code: answer.code.into(),
            message: answer.message,
            rule: answer.rule.to_owned(),
            field: answer.field,
            object: answer.object,
        }
    }
}

impl From<AppendError> for Answer {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Malformed(malformed) => malformed.into(),
            AppendError::BadSignature(bad) => {
                let text =
                    format!("R13.signature: signature: {bad}; let the author sign these bytes");
                Self::new(Code::PermissionDenied, "R13.signature", text).field("signature")
            }
            AppendError::Refused(refusal) => (*refusal).into(),
            AppendError::Busy => Self::new(Code::Unavailable, "busy", error).retry(),
            AppendError::Full => {
                Self::new(Code::ResourceExhausted, "disk-full", error).retry_in(FULL_RETRY_DELAY)
            }
            AppendError::Mirror { ref writer } => {
                let writer = writer.clone();
                Self::new(Code::FailedPrecondition, "mirror", error).extra("writer", writer)
            }
            AppendError::Stopped => Self::new(Code::Unavailable, "stopping", error).retry(),
            AppendError::Unknown => Self::new(Code::Unknown, "commit", error).retry(),
            AppendError::Proof(error) => error.into(),
        }
    }
}

impl From<Malformed> for Answer {
    fn from(malformed: Malformed) -> Self {
        let text = format!("R13.malformed: {malformed}");
        Self::new(Code::InvalidArgument, "R13.malformed", text).field(malformed.path)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.rule.cause() {
            Cause::Foreign => Code::InvalidArgument,
            Cause::Signer => Code::PermissionDenied,
            Cause::Equivocation => Code::AlreadyExists,
            Cause::State => Code::FailedPrecondition,
        };
        let answer = Self::new(code, refusal.rule.code(), &refusal)
            .field(refusal.field)
            .object(refusal.object);
        match refusal.position {
            Some(position) => answer.extra("position", position),
            None => answer,
        }
    }
}

impl From<ReadError> for Answer {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Beyond { size, .. } => {
                Self::new(Code::OutOfRange, "beyond-head", message).extra("head", size)
            }
            ReadError::Damaged(_) => Self::new(Code::DataLoss, "damaged", message),
            ReadError::File(_) => internal(&message),
        }
    }
}

impl From<ProofError> for Answer {
    fn from(error: ProofError) -> Self {
        let message = error.to_string();
        match error {
            ProofError::BeyondHead { head, .. } => {
                Self::new(Code::OutOfRange, "beyond-head", message).extra("head", head)
            }
            ProofError::Order { .. } => {
                Self::new(Code::InvalidArgument, "tree-sizes", message).field("old_size")
            }
            ProofError::EmptyOldTree => {
                Self::new(Code::InvalidArgument, "tree-sizes", message).field("old_size")
            }
            ProofError::NotWitnessed => {
                Self::new(Code::Unavailable, "not-witnessed", message).retry()
            }
            ProofError::TooLarge => Self::new(Code::ResourceExhausted, "tree-sizes", message),
            ProofError::Read(error) => error.into(),
            ProofError::Tree(TreeError::Damaged(_)) => {
                Self::new(Code::DataLoss, "damaged", message)
            }
            ProofError::Tree(
                TreeError::File(_)
                | TreeError::Log(_)
                | TreeError::WrongRoot { .. }
                | TreeError::Missing(_),
            ) => internal(&message),
        }
    }
}

impl From<HistoryError> for Answer {
    fn from(error: HistoryError) -> Self {
        let message = error.to_string();
        match error {
            HistoryError::Read(error) => error.into(),
            // What was admitted once is not admitted any more: the log or the program is broken.
            HistoryError::Malformed { .. } | HistoryError::Refused { .. } => {
                Self::new(Code::DataLoss, "damaged", message)
            }
        }
    }
}

impl From<ManageError> for Answer {
    fn from(error: ManageError) -> Self {
        let message = error.to_string();
        match error {
            ManageError::Unknown { .. } => {
                Self::new(Code::NotFound, "absent", message).field("name")
            }
            ManageError::Building { .. } | ManageError::NotBuilding { .. } => {
                Self::new(Code::FailedPrecondition, "projection-build", message).field("name")
            }
            ManageError::Projection(_) => internal(&message),
        }
    }
}

/// The text stays in the log.
fn internal(message: &str) -> Answer {
    tracing::error!(error = message, "internal error");
    Answer::new(Code::Internal, "internal", "internal error; see the server's log")
}

/// A request that lacks something.
pub(crate) fn invalid(field: &'static str, message: &'static str) -> Status {
    Answer::new(Code::InvalidArgument, "request", format!("{field} {message}")).field(field).into()
}

/// An answer that does not fit into one message.
pub(crate) fn too_large(what: &'static str) -> Status {
    let message = format!("the {what} is too large for one answer; read the log and fold it");
    Answer::new(Code::OutOfRange, "answer-too-large", message).field(what).into()
}

/// A message of an append stream with so many envelopes more than may be in one.
pub(crate) fn too_many(left_out: usize) -> Status {
    let message = format!(
        "request: envelopes: {} are more than the {MAX_STREAM_ENVELOPES} of one message, and nothing \
         of it or behind it was taken in; send them in several messages",
        MAX_STREAM_ENVELOPES + left_out
    );
    Answer::new(Code::InvalidArgument, "request", message).field("envelopes").into()
}

/// Nothing with this id is in the ledger.
pub(crate) fn absent(id: &EnvelopeId) -> Status {
    let message = format!("envelope {id} is not in this ledger");
    Answer::new(Code::NotFound, "absent", message).object(id).into()
}

/// A question about provenance that has no answer.
impl From<Unanswered> for Answer {
    fn from(unanswered: Unanswered) -> Self {
        let absent = |message: &Unanswered| Self::new(Code::NotFound, "absent", message);
        match &unanswered {
            Unanswered::DataUri(_)
            | Unanswered::TaskLabel(_)
            | Unanswered::Node(_)
            | Unanswered::Agent(_)
            | Unanswered::Trace(_)
            | Unanswered::Run(_)
            | Unanswered::NoLineage(_) => absent(&unanswered),
            Unanswered::NotData(_) | Unanswered::Ambiguous { .. } => {
                Self::new(Code::InvalidArgument, "request", &unanswered).field("subject")
            }
            Unanswered::TooLarge { limit } => {
                Self::new(Code::OutOfRange, "answer-too-large", &unanswered).extra("limit", limit)
            }
            Unanswered::Beyond { head, .. } => beyond(&unanswered, *head),
        }
    }
}

impl From<AskError> for Answer {
    fn from(error: AskError) -> Self {
        match &error {
            AskError::Stopped => AppendError::Stopped.into(),
            AskError::Unreadable(_) => {
                Self::new(Code::Unavailable, "graph-unreadable", &error).retry()
            }
        }
    }
}

fn beyond(message: impl ToString, head: TreeSize) -> Answer {
    Answer::new(Code::OutOfRange, "beyond-head", message).extra("head", head)
}

/// The node is stopping.
pub(crate) fn stopping() -> Status {
    Answer::from(AppendError::Stopped).into()
}
