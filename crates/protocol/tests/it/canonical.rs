//! One statement, one encoding: what is not the canonical encoding is refused.

use prost::Message as _;
use tally_protocol::message::MessageKind;
use tally_protocol::{Envelope, Fault, wire};

use crate::samples;

#[test]
fn every_message_is_sampled() {
    for kind in MessageKind::ALL {
        let sampled = samples::all().iter().any(|(_, sample)| sample.message.kind() == kind);
        assert!(sampled, "{}", kind.name());
    }
}

#[test]
fn kinds_name_themselves_as_the_wire_does() {
    for (name, sample) in samples::all() {
        let kind = sample.message.kind();
        assert_eq!(name.split('.').next(), Some(kind.field()));
        let json = serde_json::to_value(&sample.message).expect("JSON");
        assert!(json.get(kind.field()).is_some(), "{name}");
        assert_eq!(kind.object_schema(), format!("pervasive.link/v1/{}", kind.name()));
        let json = serde_json::to_value(kind).expect("JSON");
        assert_eq!(json, kind.field());
    }
}

#[test]
fn what_is_written_is_read_back() {
    let smallest = ("smallest", samples::smallest());
    for (name, envelope) in samples::all().into_iter().chain([smallest]) {
        let payload = envelope.encode().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Envelope::decode(&payload).as_ref(), Ok(&envelope), "{name}");
    }
}

/// Every bit of every sample is signed for: none can be turned unseen.
#[test]
fn a_turned_bit_is_refused_or_says_something_else() {
    for (name, envelope) in samples::all() {
        let payload = envelope.encode().expect("encodes");
        for bit in 0..payload.len() * 8 {
            let mut turned = payload.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Envelope::decode(&turned) {
                assert_ne!(other, envelope, "{name}, bit {bit}");
                assert_eq!(other.encode().as_ref(), Ok(&turned), "{name}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_cut_payload_is_refused_at_every_length() {
    for (name, envelope) in samples::all() {
        let payload = envelope.encode().expect("encodes");
        for length in 0..payload.len() {
            assert!(Envelope::decode(&payload[..length]).is_err(), "{name}, {length} bytes");
        }
    }
}

// ------------------------------------------------------------------ other encodings

fn check(payload: &[u8], expect: Fault) {
    let malformed = Envelope::decode(payload).expect_err("is refused");
    assert_eq!(malformed.path, "payload");
    assert_eq!(malformed.fault, expect);
}

fn payload() -> Vec<u8> {
    samples::sample("offer").encode().expect("encodes")
}

/// One field of protobuf: its tag and the rest.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn length_delimited(tag: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

#[test]
fn an_unknown_field_is_refused() {
    check(&[payload(), vec![0xf8, 0x07, 0x01]].concat(), Fault::NotCanonical);
    check(&[payload(), length_delimited(127, b"more")].concat(), Fault::NotCanonical);
}

#[test]
fn an_unknown_field_within_a_message_is_refused() {
    let head = wire::Envelope { message: None, ..wire_of("observe.notice") }.encode_to_vec();
    let Some(wire::envelope::Message::Observe(observe)) = wire_of("observe.notice").message else {
        panic!("an Observe");
    };
    let message = |content: &[u8]| [head.clone(), length_delimited(26, content)].concat();
    let observe = observe.encode_to_vec();
    assert!(Envelope::decode(&message(&observe)).is_ok(), "built as the encoder builds it");
    check(&message(&[observe, vec![0xf8, 0x07, 0x01]].concat()), Fault::NotCanonical);
}

fn wire_of(name: &str) -> wire::Envelope {
    let payload = samples::sample(name).encode().expect("encodes");
    wire::Envelope::decode(&payload[..]).expect("protobuf")
}

#[test]
fn a_varint_with_idle_bytes_is_refused() {
    let payload = payload();
    assert_eq!(payload[..2], [0x08, 0x01], "begins with the version");
    check(&[&[0x08, 0x81, 0x00], &payload[2..]].concat(), Fault::NotCanonical);
    check(&[&[0x88, 0x00, 0x01], &payload[2..]].concat(), Fault::NotCanonical);
}

#[test]
fn fields_out_of_order_are_refused() {
    let payload = payload();
    check(&[&payload[2..], &payload[..2]].concat(), Fault::NotCanonical);
}

#[test]
fn a_default_that_is_spelt_out_is_refused() {
    let head = wire::Envelope { author_sequence: 0, message: None, ..wire_of("offer") };
    let smallest = samples::smallest().encode().expect("encodes");
    // Version, then an issued-at of 0, which `smallest` leaves out.
    let origin = length_delimited(2, head.origin.as_bytes());
    let author = length_delimited(3, &head.author);
    let at = 2 + origin.len() + author.len();
    assert_eq!(smallest[2..at], [origin, author].concat());
    check(&[&smallest[..at], &[0x20, 0x00], &smallest[at..]].concat(), Fault::NotCanonical);
    check(&[&smallest[..at], &[0x2a, 0x00], &smallest[at..]].concat(), Fault::NotCanonical);
    check(&[&smallest[..at], &[0x30, 0x00], &smallest[at..]].concat(), Fault::NotCanonical);
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let payload = payload();
    check(&[&payload[..2], &payload[..]].concat(), Fault::NotCanonical);
    let message = wire::Envelope { message: wire_of("offer").message, ..Default::default() };
    // A second message of the oneof: the same one, and another.
    check(&[&payload[..], &message.encode_to_vec()].concat(), Fault::NotCanonical);
    let other = wire::Envelope { message: wire_of("discover").message, ..Default::default() };
    check(&[&payload[..], &other.encode_to_vec()].concat(), Fault::NotCanonical);
}

#[test]
fn what_is_no_protobuf_is_refused() {
    let payload = payload();
    check(&payload[..payload.len() - 1], Fault::Protobuf);
    // A group, a field 0, a wire type that does not exist, a text that is not UTF-8.
    check(&[0x0b], Fault::Protobuf);
    check(&[0x02, 0x00], Fault::Protobuf);
    check(&[0x0f], Fault::Protobuf);
    check(&[0x12, 0x01, 0xff], Fault::Protobuf);
    // The version as a text.
    check(&length_delimited(1, b"1"), Fault::Protobuf);
}
