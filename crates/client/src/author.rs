//! An author: one key, one chain, one envelope after the other.

use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Envelope, EnvelopeId, Message, SignedEnvelope, Time, TraceId,
};
use tokio::sync::Mutex;

use crate::connection::Client;
use crate::error::Error;
use crate::receipt::Receipt;

/// How often the same envelope is appended again while the outcome is unknown.
pub const MAX_TRIES: u32 = 8;

/// What an author says beside the message.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The workflow.
    pub trace_id: Option<TraceId>,
    /// Envelopes that led to this one.
    pub causes: Vec<EnvelopeId>,
}

/// Signs and appends, one envelope at a time: a key has one chain. Writers that work side by side
/// need a key each.
pub struct Author {
    client: Client,
    key: AgentKey,
    chain: Mutex<Chain>,
}

/// Where the author's chain stands, as far as this client knows.
enum Chain {
    /// Ask the ledger.
    Unknown,
    /// The next sequence, and the envelope before it.
    At(AuthorSequence, Option<EnvelopeId>),
    /// This envelope was signed and its outcome is unknown: nothing else takes its sequence.
    Unresolved(SignedEnvelope, AuthorSequence),
}

impl Author {
    pub(crate) fn new(client: Client, key: AgentKey) -> Self {
        Self { client, key, chain: Mutex::new(Chain::Unknown) }
    }

    /// The agent that signs.
    pub fn agent(&self) -> AgentId {
        self.key.agent()
    }

    /// The ledger that is written to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Signs a message and appends it; returns once the log receipt was checked. Where an answer
    /// is lost, the same envelope is appended again: the ledger takes it once.
    ///
    /// # Errors
    /// [`Error`]. After [`Error::Unreachable`] the envelope may be in the log; the next append
    /// settles that first.
    pub async fn append(&self, message: Message, context: Context) -> Result<Receipt, Error> {
        let mut chain = self.chain.lock().await;
        let (sequence, previous) = self.resume(&mut chain).await?;
        let envelope = Envelope {
            origin: self.client.origin().clone(),
            author: self.agent(),
            author_sequence: sequence,
            previous,
            issued_at_us: now(),
            trace_id: context.trace_id,
            causes: context.causes,
            message,
        };
        let signed = envelope.sign(&self.key)?;
        self.settle(&mut chain, signed, sequence).await
    }

    /// The id that the receipt's envelope has.
    async fn settle(
        &self,
        chain: &mut Chain,
        signed: SignedEnvelope,
        sequence: AuthorSequence,
    ) -> Result<Receipt, Error> {
        let id = signed.id();
        *chain = Chain::Unresolved(signed.clone(), sequence);
        let outcome = self.client.append_until_settled(&signed, MAX_TRIES).await;
        match &outcome {
            Ok(_) => *chain = Chain::At(sequence.next(), Some(id)),
            // The same bytes stay first in line.
            Err(Error::Unreachable(_) | Error::StreamEnded) => {}
            Err(_) => *chain = Chain::Unknown,
        }
        outcome
    }

    async fn resume(
        &self,
        chain: &mut Chain,
    ) -> Result<(AuthorSequence, Option<EnvelopeId>), Error> {
        if let Chain::Unresolved(signed, sequence) = chain {
            let (signed, sequence) = (signed.clone(), *sequence);
            match self.settle(chain, signed, sequence).await {
                Ok(_) | Err(Error::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if let Chain::At(sequence, previous) = chain {
            return Ok((*sequence, *previous));
        }
        let agent = self.client.agent(&self.agent()).await?;
        *chain = Chain::At(agent.next_sequence, agent.last);
        Ok((agent.next_sequence, agent.last))
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX))
}
