//! What an author signs and what the ledger keeps of it.

use bytes::Bytes;
use prost::Message as _;
use tally_protocol::event::ChainHash;
use tally_protocol::limits::MAX_PAYLOAD_BYTES;
use tally_protocol::{
    AuthorSequence, Envelope, Event, Message, SignedEnvelope, Time, signature, wire,
};
use tally_tlog::leaf_hash;

use crate::seeds;
use crate::targets::Outcome;

/// A payload: whoever reads it writes the same bytes, and JSON says the same.
pub fn envelope(data: &[u8]) -> Outcome {
    let read = Envelope::decode(data);
    if data.len() <= MAX_PAYLOAD_BYTES {
        assert_eq!(read, Envelope::decode_by_wire_form(data), "one pass says what two say");
    }
    let envelope = match read {
        Ok(envelope) => envelope,
        Err(error) => return Outcome::refused(&error),
    };
    let again = envelope.encode().expect("what was read can be written");
    assert_eq!(again, data, "a statement has one encoding");
    let id = |payload: Vec<u8>| {
        let signed = SignedEnvelope { payload: payload.into(), signature: [0; 64] };
        signed.parse().expect("decoded before").id()
    };
    assert_eq!(id(again), id(data.to_vec()));
    assert_eq!(id(data.to_vec()).0, *blake3::hash(data).as_bytes());
    let json = serde_json::to_string(&envelope.message).expect("a message is JSON");
    let back: Message = serde_json::from_str(&json).expect("its own JSON");
    assert_eq!(back, envelope.message, "JSON says the same");
    serde_json::to_string(&envelope).expect("an envelope is JSON");
    Outcome::accepted(envelope.message.kind().name())
}

/// A payload with its signature, as it arrives: one and many are judged the same.
pub fn signed_envelope(data: &[u8]) -> Outcome {
    let wire = match wire::SignedEnvelope::decode(data) {
        Ok(wire) => wire,
        Err(_) => return Outcome::accepted("no protobuf"),
    };
    let signed = match SignedEnvelope::try_from(wire) {
        Ok(signed) => signed,
        Err(error) => return Outcome::refused(&error),
    };
    let again = wire::SignedEnvelope::from(signed.clone()).encode_to_vec();
    let again = wire::SignedEnvelope::decode(&again[..]).expect("its own encoding");
    assert_eq!(SignedEnvelope::try_from(again), Ok(signed.clone()));
    let parsed = match signed.parse() {
        Ok(parsed) => parsed,
        Err(error) => return Outcome::refused(&error),
    };
    let batch = signature::verify_batch(vec![parsed.clone(), parsed.clone()]);
    let single = signature::verify(parsed);
    assert!(batch.iter().all(|one| one.is_ok() == single.is_ok()), "one rule for signatures");
    match single {
        Ok(_) => Outcome::accepted("signed"),
        Err(_) => Outcome::accepted("not signed"),
    }
}

/// An event: made again from what it says, it has the same bytes.
pub fn event(data: &[u8]) -> Outcome {
    let event = match Event::decode(Bytes::copy_from_slice(data)) {
        Ok(event) => event,
        Err(error) => return Outcome::refused(&error),
    };
    let signed = event.signed();
    let again = Event::new(event.position(), event.previous_chain(), event.recorded_at(), &signed);
    assert_eq!(again.bytes(), data, "an event has one encoding");
    assert_eq!(again, event);
    assert_eq!(event.chain(), ChainHash::of(data));
    assert_eq!(event.leaf(), leaf_hash(data));
    match signed.parse() {
        Ok(_) => Outcome::accepted("event"),
        Err(error) => Outcome::refused(&error),
    }
}

/// A message in JSON, as it is submitted: written as an envelope, or refused.
pub fn message_json(data: &[u8]) -> Outcome {
    let direct = serde_json::from_slice::<Message>(data);
    let value = serde_json::from_slice::<serde_json::Value>(data);
    let through_value = value.and_then(serde_json::from_value::<Message>);
    let message = match direct {
        Ok(message) => message,
        Err(error) => return Outcome::accepted(&format!("{:?}", error.classify())),
    };
    assert_eq!(through_value.ok().as_ref(), Some(&message), "both ways of reading agree");
    let json = serde_json::to_vec(&message).expect("a message is JSON");
    assert_eq!(serde_json::from_slice::<Message>(&json).expect("its own JSON"), message);
    let envelope = Envelope {
        origin: seeds::log_origin(),
        author: seeds::author(0).agent(),
        author_sequence: AuthorSequence(0),
        previous: None,
        issued_at_us: Time(1),
        trace_id: None,
        causes: Vec::new(),
        message,
    };
    match envelope.encode() {
        Ok(payload) => {
            assert_eq!(Envelope::decode(&payload), Ok(envelope.clone()));
            Outcome::accepted(envelope.message.kind().name())
        }
        Err(malformed) => Outcome::refused(&malformed),
    }
}
