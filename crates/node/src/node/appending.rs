//! Appending: envelopes are taken in, and answered once their group is durable.

use std::sync::Arc;

use tally_coordination::{Refusal, Rule};
use tally_protocol::{BadSignature, Malformed, ParsedEnvelope};
use tally_store::TreeReader;
use tally_tlog::Prover;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

use super::{
    LogReceipt, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES, Node, PLACE_BYTES, ProofError, Snapshot,
};
use crate::pipeline::{Answers, MAX_PARCEL, Parcel, Placed, Waiter};

/// Why an envelope was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It says nothing in this protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its author did not sign it.
    #[error(transparent)]
    BadSignature(BadSignature),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Too much is on its way.
    #[error(
        "the ledger is busy: {MAX_IN_FLIGHT} envelopes or {MAX_IN_FLIGHT_BYTES} bytes are on their \
         way; try again shortly"
    )]
    Busy,
    /// The ledger's disk is full; the envelope is not in the log.
    #[error(
        "the ledger's disk is full and nothing was appended; its operator must make room, then \
         append the same envelope again"
    )]
    Full,
    /// This is a mirror: only the writer appends.
    #[error("this is a mirror, which only copies; append to the writer at {writer}")]
    Mirror {
        /// The writer's address.
        writer: String,
    },
    /// The node is stopping or has stopped.
    #[error("the ledger is stopping; try again once it is back")]
    Stopped,
    /// The commit failed; the envelope may or may not be in the log.
    #[error("the commit failed and its outcome is unknown; append the same envelope again")]
    Unknown,
    /// It was appended, but no proof can be given.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Node {
    /// Appends one envelope; refuses at once when the node is busy.
    ///
    /// # Errors
    /// [`AppendError`]; nothing has changed, but for [`AppendError::Unknown`].
    pub async fn append(&self, envelope: ParsedEnvelope) -> Result<LogReceipt, AppendError> {
        let places = Arc::clone(&self.0.places).try_acquire_many_owned(places(&envelope));
        let places = places.map_err(|error| match error {
            TryAcquireError::NoPermits => AppendError::Busy,
            TryAcquireError::Closed => AppendError::Stopped,
        })?;
        self.submit(vec![envelope], places)?.only().await
    }

    /// Waits for a place and takes an envelope in; the answer comes later.
    ///
    /// # Errors
    /// [`AppendError::Stopped`] when the node is stopping, [`AppendError::Mirror`].
    pub async fn enqueue(&self, envelope: ParsedEnvelope) -> Result<Appending, AppendError> {
        self.enqueue_all(vec![envelope]).await
    }

    /// Waits for places and takes envelopes in, at most [`MAX_PARCEL`](crate::MAX_PARCEL): they stand
    /// in the log in their order and are answered together, later. For streams: the wait is what
    /// slows the sender down.
    ///
    /// # Errors
    /// [`AppendError::Stopped`] when the node is stopping, [`AppendError::Mirror`]: none was taken in.
    ///
    /// # Panics
    /// With more than a parcel, which might wait for ever.
    pub async fn enqueue_all(
        &self,
        envelopes: Vec<ParsedEnvelope>,
    ) -> Result<Appending, AppendError> {
        assert!(envelopes.len() <= MAX_PARCEL, "more than a parcel at once");
        let wanted = envelopes.iter().map(places).sum::<u32>().min(MAX_IN_FLIGHT as u32);
        let places = Arc::clone(&self.0.places).acquire_many_owned(wanted).await;
        self.submit(envelopes, places.map_err(|_| AppendError::Stopped)?)
    }

    fn submit(
        &self,
        envelopes: Vec<ParsedEnvelope>,
        places: OwnedSemaphorePermit,
    ) -> Result<Appending, AppendError> {
        if let Some(writer) = &self.0.writer {
            return Err(AppendError::Mirror { writer: writer.clone() });
        }
        let (answer_to, answers) = oneshot::channel();
        let count = envelopes.len();
        let waiter = Waiter { answer: answer_to, _places: places };
        let pipeline = self.0.pipeline.as_ref().ok_or(AppendError::Stopped)?;
        let parcel = Parcel { envelopes, waiter };
        pipeline.put(parcel).map_err(|_| AppendError::Stopped)?;
        Ok(Appending { node: self.clone(), count, answers })
    }

    async fn answer<'n>(
        &'n self,
        answer: Result<Placed, AppendError>,
        snapshot: &Snapshot,
        prover: &mut Option<Prover<&'n TreeReader>>,
    ) -> Result<LogReceipt, AppendError> {
        let (event, is_duplicate) = match answer? {
            Placed::Committed(event) => (event, false),
            Placed::Duplicate(position) => (self.event(position).map_err(ProofError::from)?, true),
            Placed::Refused(mut refusal, signed) => {
                if refusal.rule == Rule::Equivocation {
                    self.keep_evidence(signed, &mut refusal).await;
                }
                return Err(AppendError::Refused(refusal));
            }
        };
        self.witnessed(&event).await;
        Ok(self.prove(event, is_duplicate, snapshot, prover)?)
    }
}

/// Envelopes that were taken in together and wait for their answers.
pub struct Appending {
    node: Node,
    count: usize,
    answers: oneshot::Receiver<Answers>,
}

impl Appending {
    /// Waits for the commit of the only envelope and proves the event under its group's head.
    ///
    /// # Errors
    /// [`AppendError`]; nothing has changed, but for [`AppendError::Unknown`].
    ///
    /// # Panics
    /// When there are several.
    pub async fn receipt(self) -> Result<LogReceipt, AppendError> {
        self.only().await
    }

    /// Waits for the commit and proves the events under their group's head: an answer an envelope,
    /// in their order.
    pub async fn receipts(self) -> Vec<Result<LogReceipt, AppendError>> {
        let node = self.node.clone();
        let Answers { answers, snapshot } = self.answers().await;
        let snapshot = snapshot.unwrap_or_else(|| node.snapshot());
        let (mut receipts, mut prover) = (Vec::with_capacity(answers.len()), None);
        for answer in answers {
            receipts.push(node.answer(answer, &snapshot, &mut prover).await);
        }
        receipts
    }

    async fn only(self) -> Result<LogReceipt, AppendError> {
        let mut receipts = self.receipts().await;
        assert_eq!(receipts.len(), 1, "one envelope was taken in");
        receipts.remove(0)
    }

    /// What became of the envelopes; that is unknown when the pipeline broke.
    pub(super) async fn answers(self) -> Answers {
        let unknown = || (0..self.count).map(|_| Err(AppendError::Unknown)).collect();
        self.answers.await.unwrap_or_else(|_| Answers { answers: unknown(), snapshot: None })
    }
}

/// How many places of the intake an envelope takes.
fn places(envelope: &ParsedEnvelope) -> u32 {
    let bytes = envelope.signed().payload.len();
    u32::try_from(bytes.div_ceil(PLACE_BYTES)).expect("an envelope is small")
}
