//! The envelope: one message with its author, its place in the author's chain and its context.
//!
//! What is signed is the exact payload that was received; nothing is encoded again in order to be
//! hashed. This module does not decide whether an envelope is admitted, only what it says.

use bytes::Bytes;
use prost::Message as _;
use serde::{Serialize, Serializer};
use tally_tlog::Origin;

use crate::canonical::{self, Canonical, Fields, once, settle};
use crate::field::{Fault, Field, Malformed};
use crate::ids::{AuthorSequence, EnvelopeId, Time, TraceId};
use crate::key::{AgentId, AgentKey};
use crate::limits::{MAX_CAUSES, MAX_PAYLOAD_BYTES};
use crate::message::Message;
pub use crate::message::MessageKind;
use crate::wire;

/// Version of the envelope format.
pub const ENVELOPE_VERSION: u32 = 1;

/// Payload type of the DSSE envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.tally.envelope.v1+protobuf";

/// What an author says: one message in its context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// The ledger it is meant for.
    #[serde(serialize_with = "as_text")]
    pub origin: Origin,
    /// Who says it.
    pub author: AgentId,
    /// Place in the author's chain.
    pub author_sequence: AuthorSequence,
    /// The author's envelope before; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<EnvelopeId>,
    /// The author's own clock.
    pub issued_at_us: Time,
    /// The workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// What led to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<EnvelopeId>,
    /// The message.
    pub message: Message,
}

fn as_text<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

impl Envelope {
    /// The canonical encoding: what is signed.
    ///
    /// # Errors
    /// [`Malformed`] when the encoding is longer than [`MAX_PAYLOAD_BYTES`], or when a value is one
    /// that no one could read back (an author's second envelope without `previous`, say) or that
    /// would be read back as another (a deadline of 0, which is written as none).
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let payload = self.to_wire().encode_to_vec();
        // What this program writes is held to what it reads.
        if Self::decode(&payload)? != *self {
            return Err(Malformed::from(Fault::ReadBack).within("message"));
        }
        Ok(payload)
    }

    /// Signs this envelope with its author's key.
    ///
    /// # Errors
    /// As [`Envelope::encode`].
    ///
    /// # Panics
    /// When the key is not the author's.
    pub fn sign(&self, key: &AgentKey) -> Result<SignedEnvelope, Malformed> {
        assert_eq!(key.agent(), self.author, "an envelope is signed with its author's key");
        let payload = self.encode()?;
        let signature = key.sign(&pre_authentication_encoding(&payload));
        Ok(SignedEnvelope { payload: payload.into(), signature })
    }

    /// Reads a canonical payload.
    ///
    /// # Errors
    /// [`Malformed`] names the field and the rule.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            let fault = Fault::TooLong { limit: MAX_PAYLOAD_BYTES, found: payload.len() };
            return Err(Malformed::from(fault).within("payload"));
        }
        Self::read_canonical(payload).map_or_else(|| Self::decode_by_wire_form(payload), Ok)
    }

    /// Reads a canonical payload by way of the wire form, which is encoded again to be compared.
    /// [`Envelope::decode`] says the same in one pass, and comes here to say what is wrong.
    ///
    /// # Errors
    /// As [`Envelope::decode`], but for the length of the payload.
    pub fn decode_by_wire_form(payload: &[u8]) -> Result<Self, Malformed> {
        let wire = wire::Envelope::decode(payload)
            .map_err(|_| Malformed::from(Fault::Protobuf).within("payload"))?;
        if wire.encoded_len() != payload.len() || wire.encode_to_vec() != payload {
            return Err(Malformed::from(Fault::NotCanonical).within("payload"));
        }
        Self::from_wire(wire)
    }

    /// An envelope from exactly its canonical encoding; nothing where something is wrong with it.
    fn read_canonical(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::of(payload);
        let (mut version, mut origin, mut author) = (None, None, None);
        let (mut author_sequence, mut previous, mut issued_at_us) = (None, None, None);
        let (mut trace_id, mut schema, mut causes, mut message) = (None, None, None, None);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => u32::take(&mut version, field)?,
                2 => once(&mut origin, canonical::origin(field))?,
                3 => once(&mut author, AgentId::from_author_bytes(field.bytes()?).ok())?,
                4 => u64::take(&mut author_sequence, field)?,
                5 => Canonical::take(&mut previous, field)?,
                6 => Canonical::take(&mut issued_at_us, field)?,
                7 => Canonical::take(&mut trace_id, field)?,
                8 => once(&mut schema, field.bytes())?,
                9 => Canonical::take(&mut causes, field)?,
                _ => once(&mut message, Message::from_field(field))?,
            }
        }
        let envelope = Self {
            origin: origin?,
            author: author?,
            author_sequence: AuthorSequence(settle(author_sequence)?),
            previous: settle(previous)?,
            issued_at_us: settle(issued_at_us)?,
            trace_id: settle(trace_id)?,
            causes: settle(causes)?,
            message: message?,
        };
        let whole = version == Some(ENVELOPE_VERSION)
            && schema == Some(envelope.message.kind().object_schema().as_bytes())
            && envelope.causes.len() <= MAX_CAUSES
            && envelope.previous.is_some() == (envelope.author_sequence.0 > 0);
        whole.then_some(envelope)
    }

    fn from_wire(wire: wire::Envelope) -> Result<Self, Malformed> {
        let at = |field: &'static str| move |e: Malformed| e.within(field);
        let fault = |field: &'static str, fault: Fault| Malformed::from(fault).within(field);
        if wire.version != ENVELOPE_VERSION {
            let versions = Fault::Version { expected: ENVELOPE_VERSION, found: wire.version };
            return Err(fault("version", versions));
        }
        if wire.causes.len() > MAX_CAUSES {
            let found = wire.causes.len();
            return Err(fault("causes", Fault::TooMany { limit: MAX_CAUSES, found }));
        }
        let message = Message::read(wire.message.ok_or_else(|| fault("message", Fault::Missing))?)?;
        let expected = message.kind().object_schema();
        if wire.object_schema != expected {
            return Err(fault("object_schema", Fault::ObjectSchema { expected }));
        }
        let author = AgentId::from_author_bytes(&wire.author);
        let envelope = Self {
            origin: Origin::new(wire.origin).map_err(|_| fault("origin", Fault::Origin))?,
            author: author.map_err(|e| fault("author", Fault::Key(e)))?,
            author_sequence: AuthorSequence(wire.author_sequence),
            previous: Field::read(wire.previous).map_err(at("previous"))?,
            issued_at_us: Field::read(wire.issued_at_us).map_err(at("issued_at_us"))?,
            trace_id: Field::read(wire.trace_id).map_err(at("trace_id"))?,
            causes: Field::read(wire.causes).map_err(at("causes"))?,
            message,
        };
        if envelope.previous.is_some() != (envelope.author_sequence.0 > 0) {
            return Err(fault("previous", Fault::Previous));
        }
        Ok(envelope)
    }

    fn to_wire(&self) -> wire::Envelope {
        wire::Envelope {
            version: ENVELOPE_VERSION,
            origin: self.origin.to_string(),
            author: self.author.write(),
            author_sequence: self.author_sequence.0,
            previous: self.previous.write(),
            issued_at_us: self.issued_at_us.write(),
            trace_id: self.trace_id.write(),
            object_schema: self.message.kind().object_schema().to_owned(),
            causes: self.causes.write(),
            message: Some(self.message.write()),
        }
    }
}

/// Who says what kind of thing: what can be had of an envelope without reading its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Who says it.
    pub author: AgentId,
    /// Place in the author's chain.
    pub author_sequence: AuthorSequence,
    /// Which message it carries.
    pub kind: MessageKind,
}

impl Outline {
    /// Looks through a payload that was decoded before, as all in a log were. `None`: it never was;
    /// but what gives an outline need not decode.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::of(payload);
        let (mut author, mut author_sequence, mut kind) = (None, None, None);
        while let Some(field) = fields.next()? {
            match field.number {
                3 => author = Some(AgentId::from_author_bytes(field.bytes()?).ok()?),
                4 => author_sequence = Some(field.varint()?),
                16.. => kind = Some(MessageKind::of_field(field.number)?),
                _ => {}
            }
        }
        let author_sequence = AuthorSequence(author_sequence.unwrap_or(0));
        Some(Self { author: author?, author_sequence, kind: kind? })
    }
}

/// A payload with a signature that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// Canonical encoding of an [`Envelope`], if the sender is honest.
    pub payload: Bytes,
    /// Ed25519 over the pre-authentication encoding of the payload.
    pub signature: [u8; 64],
}

impl SignedEnvelope {
    /// The id that this payload has: BLAKE3-256 of it.
    pub fn id(&self) -> EnvelopeId {
        EnvelopeId(*blake3::hash(&self.payload).as_bytes())
    }

    /// The only parse of a message on its way in.
    ///
    /// # Errors
    /// [`Malformed`] names the field and the rule.
    pub fn parse(self) -> Result<ParsedEnvelope, Malformed> {
        let envelope = Envelope::decode(&self.payload)?;
        Ok(ParsedEnvelope(Box::new(Parsed { id: self.id(), envelope, signed: self })))
    }
}

impl TryFrom<wire::SignedEnvelope> for SignedEnvelope {
    type Error = Malformed;

    fn try_from(wire: wire::SignedEnvelope) -> Result<Self, Malformed> {
        let fault = Fault::Length { expected: 64, found: wire.signature.len() };
        let signature = wire.signature.as_ref().try_into();
        let signature = signature.map_err(|_| Malformed::from(fault).within("signature"))?;
        Ok(Self { payload: wire.payload, signature })
    }
}

impl From<SignedEnvelope> for wire::SignedEnvelope {
    fn from(signed: SignedEnvelope) -> Self {
        Self { payload: signed.payload, signature: signed.signature.to_vec().into() }
    }
}

/// An envelope that says something, by an author who may or may not have signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedEnvelope(Box<Parsed>);

/// In one piece of memory, which is not moved when the envelope is handed from thread to thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parsed {
    id: EnvelopeId,
    envelope: Envelope,
    signed: SignedEnvelope,
}

impl ParsedEnvelope {
    /// Its id.
    pub fn id(&self) -> EnvelopeId {
        self.0.id
    }

    /// What it says.
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The bytes as they came.
    pub fn signed(&self) -> &SignedEnvelope {
        &self.0.signed
    }
}

/// An envelope whose author has signed it. Made only by [`crate::signature`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEnvelope(ParsedEnvelope);

impl VerifiedEnvelope {
    pub(crate) fn trust(parsed: ParsedEnvelope) -> Self {
        Self(parsed)
    }
}

impl std::ops::Deref for VerifiedEnvelope {
    type Target = ParsedEnvelope;

    fn deref(&self) -> &ParsedEnvelope {
        &self.0
    }
}

/// What an author signs: the pre-authentication encoding of a payload of [`PAYLOAD_TYPE`].
pub fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    pre_authentication_encoding_of(PAYLOAD_TYPE, payload)
}

/// DSSE 1.0.2, protocol.md: `PAE(type, body) = "DSSEv1" + SP + LEN(type) + SP + type + SP +
/// LEN(body) + SP + body`.
pub fn pre_authentication_encoding_of(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    let mut encoding = Vec::with_capacity(head.len() + payload.len());
    encoding.extend_from_slice(head.as_bytes());
    encoding.extend_from_slice(payload);
    encoding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_payloads_are_read_in_one_pass() {
        for line in include_str!("../tests/golden/payloads.txt").lines() {
            let (name, payload) = (line.split(' ').next(), line.split(' ').next_back());
            let payload = hex::decode(payload.expect("a payload")).expect("hexadecimal");
            let read = Envelope::read_canonical(&payload).expect("in one pass");
            let Envelope { author, author_sequence, .. } = read;
            let outline = Outline { author, author_sequence, kind: read.message.kind() };
            assert_eq!(Outline::of(&payload), Some(outline), "{name:?}");
            assert_eq!(Envelope::decode_by_wire_form(&payload), Ok(read), "{name:?}");
        }
    }
}
