//! Appending over a stream: every answer as it comes, every log receipt checked.

use std::collections::VecDeque;
use std::vec;

use bytes::Bytes;
use tally_api::v1::AppendStreamResponse;
use tally_api::v1::append_stream_response::Result as Item;
use tally_api::v1::append_stream_response::result::Outcome;
use tally_api::{BadAnswer, LogReceipt};
use tally_protocol::SignedEnvelope;
use tonic::Streaming;

use crate::connection::Client;
use crate::error::Error;
use crate::receipt::Receipt;

/// The answers to the envelopes of one stream, in their order.
pub struct Appends {
    client: Client,
    answers: Streaming<AppendStreamResponse>,
    unanswered: VecDeque<SignedEnvelope>,
    /// What came with the last message and was not asked for yet.
    buffered: vec::IntoIter<Item>,
    /// The checkpoint of the last message.
    checkpoint: Bytes,
    answered: u64,
}

impl Appends {
    pub(crate) fn new(
        client: Client,
        answers: Streaming<AppendStreamResponse>,
        sent: Vec<SignedEnvelope>,
    ) -> Self {
        let (unanswered, buffered) = (sent.into(), Vec::new().into_iter());
        Self { client, answers, unanswered, buffered, checkpoint: Bytes::new(), answered: 0 }
    }

    /// The answer to the next envelope; `None` once every one has its answer. An answer that is
    /// [`Error::Unreachable`] leaves the outcome of its envelope open.
    ///
    /// # Errors
    /// [`Error`] when the stream breaks; what is unanswered then may be in the log.
    pub async fn next(&mut self) -> Result<Option<Result<Receipt, Error>>, Error> {
        let Some(sent) = self.unanswered.front() else { return Ok(None) };
        let item = loop {
            if let Some(item) = self.buffered.next() {
                break item;
            }
            let message = self.answers.message().await?.ok_or(Error::StreamEnded)?;
            self.checkpoint = message.checkpoint;
            self.buffered = message.results.into_iter();
        };
        if item.index != self.answered {
            return Err(BadAnswer::Shape("result.index").into());
        }
        let answer = match item.outcome.ok_or(BadAnswer::Shape("result.outcome"))? {
            Outcome::Refused(refused) => Err(refused.into()),
            Outcome::Appended(mut response) => {
                let receipt = response.receipt.get_or_insert_default();
                receipt.checkpoint = self.checkpoint.clone();
                let receipt = LogReceipt::read(response, sent).map_err(Error::from);
                receipt.and_then(|receipt| self.client.check(receipt))
            }
        };
        self.unanswered.pop_front();
        self.answered += 1;
        Ok(Some(answer))
    }
}
