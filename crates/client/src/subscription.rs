//! Following the log: every event checked against the chain as it comes.

use std::collections::VecDeque;

use bytes::Bytes;
use tally_api::v1::EventBatch;
use tally_protocol::{ChainHash, Event, Position};
use tonic::Streaming;

use crate::error::Error;

/// Events in log order, from a position on.
pub struct Subscription {
    batches: Streaming<EventBatch>,
    buffered: VecDeque<Bytes>,
    next: Position,
    chain: Option<ChainHash>,
}

impl Subscription {
    pub(crate) fn new(
        batches: Streaming<EventBatch>,
        from: Position,
        chain: Option<ChainHash>,
    ) -> Self {
        Self { batches, buffered: VecDeque::new(), next: from, chain }
    }

    /// The position of the event that comes next.
    pub fn position(&self) -> Position {
        self.next
    }

    /// The next event; `None` when the stream has an end and it is reached.
    ///
    /// # Errors
    /// [`Error::BrokenChain`] when the log does not continue what was seen before.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        while self.buffered.is_empty() {
            match self.batches.message().await? {
                Some(batch) => self.buffered.extend(batch.events),
                None => return Ok(None),
            }
        }
        let bytes = self.buffered.pop_front().expect("the loop filled it");
        self.check(bytes).map(Some)
    }

    /// The next event, if it came with the same message as the one before.
    pub(crate) fn next_buffered(&mut self) -> Option<Result<Event, Error>> {
        let bytes = self.buffered.pop_front()?;
        Some(self.check(bytes))
    }

    fn check(&mut self, bytes: Bytes) -> Result<Event, Error> {
        let position = self.next;
        let event = Event::decode(bytes).map_err(|cause| Error::BadEvent { position, cause })?;
        let continues = self.chain.is_none_or(|chain| chain == event.previous_chain());
        if event.position() != position || !continues {
            return Err(Error::BrokenChain { position });
        }
        self.chain = Some(event.chain());
        self.next = position.next();
        Ok(event)
    }
}
