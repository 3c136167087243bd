//! One message of an append stream, which takes up no more memory than its envelopes are worth.
//!
//! Written by hand, where all other messages are generated: an empty envelope is two bytes on the wire
//! and more than thirty times that in memory, so that their number is bounded while they are read.
//! Does not say what becomes of a message with too many.

use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message, bytes};
use tally_protocol::wire::SignedEnvelope;

/// Most envelopes in one message of an append stream.
pub const MAX_STREAM_ENVELOPES: usize = 4_096;

/// The field `envelopes`.
const ENVELOPES: u32 = 1;

/// `tally.v1.AppendStreamRequest`: what `AppendRequest` is for one envelope.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppendStreamRequest {
    /// The envelopes: when it was read, at most [`MAX_STREAM_ENVELOPES`].
    pub envelopes: Vec<SignedEnvelope>,
    /// How many more there were when it was read.
    pub left_out: usize,
}

impl From<Vec<SignedEnvelope>> for AppendStreamRequest {
    fn from(envelopes: Vec<SignedEnvelope>) -> Self {
        Self { envelopes, left_out: 0 }
    }
}

impl Message for AppendStreamRequest {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        encoding::message::encode_repeated(ENVELOPES, &self.envelopes, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl bytes::Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let is_envelope = tag == ENVELOPES;
        if is_envelope && self.envelopes.len() < MAX_STREAM_ENVELOPES {
            return encoding::message::merge_repeated(wire_type, &mut self.envelopes, buf, ctx);
        }
        self.left_out += usize::from(is_envelope);
        encoding::skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        encoding::message::encoded_len_repeated(ENVELOPES, &self.envelopes)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(nth: u8) -> SignedEnvelope {
        SignedEnvelope { payload: vec![nth; 3].into(), signature: vec![nth; 2].into() }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let request = AppendStreamRequest::from(vec![envelope(1), SignedEnvelope::default()]);
        let bytes = request.encode_to_vec();
        assert_eq!(bytes.len(), request.encoded_len());
        // Field 1 with 9 bytes: its fields 1 and 2; then field 1 with none.
        assert_eq!(bytes, b"\x0a\x09\x0a\x03\x01\x01\x01\x12\x02\x01\x01\x0a\x00");
        assert_eq!(AppendStreamRequest::decode(&bytes[..]), Ok(request));
        // A field that is not known is passed over, as everywhere.
        let unknown = [&bytes[..], b"\x52\x01x"].concat();
        assert_eq!(AppendStreamRequest::decode(&unknown[..]).expect("read").envelopes.len(), 2);
        assert!(AppendStreamRequest::decode(&bytes[..5]).is_err());
    }

    #[test]
    fn no_more_than_the_limit_is_held() {
        for (count, left_out) in [(MAX_STREAM_ENVELOPES, 0), (2 << 20, (2 << 20) - 4_096)] {
            let bytes = b"\x0a\x00".repeat(count);
            let request = AppendStreamRequest::decode(&bytes[..]).expect("read");
            assert_eq!((request.envelopes.len(), request.left_out), (4_096, left_out));
            assert!(request.envelopes.capacity() <= 2 * MAX_STREAM_ENVELOPES);
        }
    }
}
