//! An event of the log, ready to be folded.

use std::sync::OnceLock;

use tally_protocol::{
    AgentId, AuthorSequence, Envelope, EnvelopeId, Event, Malformed, MessageKind, Outline,
    Position, Time,
};

use crate::source::Asked;

/// An event of the log. Its envelope is decoded, and its id computed, when first asked for; who says
/// what kind of thing, where and when is known without that.
#[derive(Debug, Clone)]
pub struct Entry {
    event: Event,
    outline: Outline,
    id: OnceLock<EnvelopeId>,
    // In a box: most of what a fold passes over is never decoded.
    envelope: OnceLock<Box<Envelope>>,
}

/// An event of the log is no envelope: the log holds what no ledger admits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} does not parse: {cause}; run `tally verify`")]
pub struct Unreadable {
    /// Where.
    pub position: Position,
    /// Why.
    pub cause: Malformed,
}

impl Entry {
    /// An event of a log, which admitted its envelope.
    ///
    /// # Errors
    /// [`Unreadable`] with the position: there is no envelope even at a glance.
    pub fn new(event: Event) -> Result<Self, Unreadable> {
        let Some(outline) = Outline::of(event.payload()) else {
            let cause = Envelope::decode(event.payload()).expect_err("an envelope has an outline");
            return Err(Unreadable { position: event.position(), cause });
        };
        Ok(Self { event, outline, id: OnceLock::new(), envelope: OnceLock::new() })
    }

    /// An event whose envelope and id are ready, as far as they are asked for.
    pub(crate) fn ready(event: Event, asked: Asked) -> Result<Self, Unreadable> {
        let decoded = match asked.envelopes {
            // Straight into a box: an envelope is long enough for each move to show.
            true => Envelope::decode(event.payload()).map(Box::new).ok(),
            false => None,
        };
        let entry = match decoded {
            Some(envelope) => {
                let Envelope { author, author_sequence, .. } = *envelope;
                let outline = Outline { author, author_sequence, kind: envelope.message.kind() };
                Self { event, outline, id: OnceLock::new(), envelope: envelope.into() }
            }
            // Whoever asks for what does not decode hears why.
            None => Self::new(event)?,
        };
        if asked.ids {
            entry.id();
        }
        Ok(entry)
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.event.position()
    }

    /// When the ledger recorded it.
    pub fn recorded_at(&self) -> Time {
        self.event.recorded_at()
    }

    /// Its envelope's id, hashed when first asked for.
    pub fn id(&self) -> EnvelopeId {
        *self.id.get_or_init(|| self.event.signed().id())
    }

    /// Which of the eleven messages it carries.
    pub fn kind(&self) -> MessageKind {
        self.outline.kind
    }

    /// Who signed it.
    pub fn author(&self) -> AgentId {
        self.outline.author
    }

    /// How many envelopes its author signed for the ledger before it.
    pub fn author_sequence(&self) -> AuthorSequence {
        self.outline.author_sequence
    }

    /// What its author signed, decoded when first asked for.
    ///
    /// # Panics
    /// When the log holds what no ledger admits. A fold lets the panic pass: the event is put in
    /// quarantine with the reason.
    pub fn envelope(&self) -> &Envelope {
        self.decode().unwrap_or_else(|unreadable| panic!("{unreadable}"))
    }

    /// Decodes the envelope ahead of those who ask for it.
    ///
    /// # Errors
    /// [`Unreadable`] with the position.
    pub fn decode(&self) -> Result<&Envelope, Unreadable> {
        if let Some(envelope) = self.envelope.get() {
            return Ok(envelope);
        }
        let envelope = Envelope::decode(self.event.payload()).map(Box::new);
        let position = self.position();
        let envelope = envelope.map_err(|cause| Unreadable { position, cause })?;
        Ok(self.envelope.get_or_init(|| envelope))
    }

    /// Whether somebody has asked for the envelope.
    pub(crate) fn is_decoded(&self) -> bool {
        self.envelope.get().is_some()
    }

    /// Whether somebody has asked for the id.
    pub(crate) fn is_hashed(&self) -> bool {
        self.id.get().is_some()
    }

    /// The event as the log has it.
    pub fn event(&self) -> &Event {
        &self.event
    }
}
