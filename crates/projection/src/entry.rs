//! An event of the log, ready to be folded.

use tally_protocol::{
    Envelope, EnvelopeId, Event, Malformed, MessageKind, ParsedEnvelope, Position, Time,
};

/// An event with its parsed envelope.
#[derive(Debug, Clone)]
pub struct Entry {
    event: Event,
    envelope: ParsedEnvelope,
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
    /// Parses the envelope of an event.
    ///
    /// # Errors
    /// [`Unreadable`] with the position.
    pub fn parse(event: Event) -> Result<Self, Unreadable> {
        let position = event.position();
        let envelope = event.signed().parse();
        let envelope = envelope.map_err(|cause| Unreadable { position, cause })?;
        Ok(Self { event, envelope })
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.event.position()
    }

    /// When the ledger recorded it.
    pub fn recorded_at(&self) -> Time {
        self.event.recorded_at()
    }

    /// Its envelope's id.
    pub fn id(&self) -> EnvelopeId {
        self.envelope.id()
    }

    /// Which of the eleven messages it carries.
    pub fn kind(&self) -> MessageKind {
        self.envelope().message.kind()
    }

    /// What its author signed.
    pub fn envelope(&self) -> &Envelope {
        self.envelope.envelope()
    }

    /// The event as the log has it.
    pub fn event(&self) -> &Event {
        &self.event
    }
}
