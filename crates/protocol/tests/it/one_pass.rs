//! The one pass over a canonical payload and the way by the wire form say the same of all bytes.

use proptest::prelude::*;
use tally_protocol::Envelope;

use crate::{samples, strategies};

fn check(payload: &[u8]) {
    assert_eq!(
        Envelope::decode(payload),
        Envelope::decode_by_wire_form(payload),
        "{}",
        hex::encode(payload)
    );
}

fn payloads() -> Vec<Vec<u8>> {
    let smallest = ("smallest", samples::smallest());
    let samples = samples::all().into_iter().chain([smallest]);
    samples.map(|(_, envelope)| envelope.encode().expect("encodes")).collect()
}

/// Values that mean something to a reader of protobuf: ends and beginnings of varints, small
/// lengths, keys, bytes that are no UTF-8.
const TELLING: [u8; 14] =
    [0x00, 0x01, 0x02, 0x08, 0x0a, 0x12, 0x20, 0x22, 0x7f, 0x80, 0x81, 0xc0, 0xfe, 0xff];

#[test]
fn for_every_byte_set_put_in_and_left_out() {
    for payload in payloads() {
        for at in 0..payload.len() {
            for telling in TELLING {
                let mut other = payload.clone();
                other[at] = telling;
                check(&other);
                other = payload.clone();
                other.insert(at, telling);
                check(&other);
            }
            let mut other = payload.clone();
            other.remove(at);
            check(&other);
        }
    }
}

/// Fields that are there twice, in another order, or empty: what a length says is kept right.
#[test]
fn for_every_field_doubled_swapped_and_emptied() {
    for payload in payloads() {
        for (start, end) in nested(&payload) {
            let fields = split(&payload[start..end]);
            let write = |fields: &[&[u8]]| check(&with(&payload, start, end, &fields.concat()));
            for i in 0..fields.len() {
                let mut other = fields.clone();
                other.insert(i, fields[i]);
                write(&other);
                other = fields.clone();
                other.remove(i);
                write(&other);
                other = fields.clone();
                other.swap(i, 0);
                write(&other);
                let key = [&[fields[i][0]], &[0][..]].concat();
                other = fields.clone();
                other[i] = &key;
                write(&other);
                for unknown in [&[0x7a, 0x00][..], &[0x78, 0x01], &[0x08, 0x01], &[0x0a, 0x00]] {
                    other = fields.clone();
                    other.insert(i, unknown);
                    write(&other);
                }
            }
        }
    }
}

/// Where messages lie in a payload, itself among them, as far as their bytes look like messages.
fn nested(payload: &[u8]) -> Vec<(usize, usize)> {
    let mut found = vec![(0, payload.len())];
    let mut next = 0;
    while next < found.len() {
        let (start, end) = found[next];
        let mut at = start;
        for field in split(&payload[start..end]) {
            let head = head(field);
            let inner = &field[head..];
            if field[0] & 7 == 2 && inner.len() > 2 && looks_like_a_message(inner) {
                found.push((at + head, at + field.len()));
            }
            at += field.len();
        }
        next += 1;
    }
    found
}

fn looks_like_a_message(bytes: &[u8]) -> bool {
    let fields = split(bytes);
    let known = |field: &&[u8]| matches!(field[0] & 7, 0 | 2) && field[0] >> 3 > 0;
    !fields.is_empty() && fields.iter().all(known) && fields.concat() == bytes
}

/// Length of a key and, behind it, a length.
fn head(field: &[u8]) -> usize {
    let key = varint_length(field);
    key + if field[0] & 7 == 2 { varint_length(&field[key..]) } else { 0 }
}

fn varint_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1
}

/// The fields of a message; what does not look like a field ends it.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while bytes.len() > 1 {
        let key = varint_length(bytes);
        let Some(value) = bytes.get(key..).filter(|value| !value.is_empty()) else { break };
        let length = varint_length(value);
        let total = match bytes[0] & 7 {
            0 => key + length,
            2 if length <= 2 => {
                let said = value.iter().take(length).rev();
                let said = said.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
                key + length + said
            }
            _ => break,
        };
        if total > bytes.len() {
            break;
        }
        let (field, rest) = bytes.split_at(total);
        fields.push(field);
        bytes = rest;
    }
    fields
}

/// The payload with other bytes from `start` to `end`, and every length around them put right.
fn with(payload: &[u8], start: usize, end: usize, bytes: &[u8]) -> Vec<u8> {
    if (start, end) == (0, payload.len()) {
        return bytes.to_vec();
    }
    let around = nested(payload)
        .into_iter()
        .filter(|(from, to)| (*from, *to) != (start, end) && *from < start && end <= *to);
    let (from, to) = around.min_by_key(|(from, to)| to - from).expect("in the payload");
    let mut at = from;
    let mut parts = Vec::new();
    for field in split(&payload[from..to]) {
        let head = head(field);
        if at + head == start {
            let key = varint_length(field);
            parts.extend_from_slice(&field[..key]);
            prost::encode_length_delimiter(bytes.len(), &mut parts).expect("it grows");
            parts.extend_from_slice(bytes);
        } else {
            parts.extend_from_slice(field);
        }
        at += field.len();
    }
    with(payload, from, to, &parts)
}

proptest! {
    #[test]
    fn for_arbitrary_envelopes(envelope in strategies::envelope()) {
        check(&envelope.encode().expect("encodes"));
    }

    #[test]
    fn for_arbitrary_damage(
        envelope in strategies::envelope(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = envelope.encode().expect("encodes");
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        check(&payload);
    }
}
