//! A message without its envelope, as bytes: for rows and other storage, never for the wire.

use prost::Message as _;

use crate::field::{Fault, Malformed};
use crate::key::{AgentId, KeyError};
use crate::{Message, wire};

impl Message {
    /// The bytes of an envelope that carries this message and states nothing else.
    pub fn body(&self) -> Vec<u8> {
        let message = Some(self.write());
        wire::Envelope { message, ..wire::Envelope::default() }.encode_to_vec()
    }

    /// The message of such bytes.
    ///
    /// # Errors
    /// [`Malformed`] names the field and the rule.
    pub fn of_body(body: &[u8]) -> Result<Self, Malformed> {
        let wire = wire::Envelope::decode(body).map_err(|_| Malformed::here(Fault::Protobuf))?;
        Self::read(wire.message.ok_or(Malformed::here(Fault::Missing))?)
    }
}

impl AgentId {
    /// A key that was checked before it was stored: all but that the point is on the curve, which
    /// costs half a signature check.
    ///
    /// # Errors
    /// [`KeyError`] when these are not the bytes of a key.
    pub fn from_known_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::from_author_bytes(bytes)
    }
}
