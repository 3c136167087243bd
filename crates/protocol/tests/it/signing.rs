//! DSSE: what exactly a signature is over.

use ed25519_dalek::{Signer as _, SigningKey};
use tally_protocol::envelope::{PAYLOAD_TYPE, pre_authentication_encoding};
use tally_protocol::{Envelope, Fault, Malformed, SignedEnvelope, signature, wire};

use crate::samples;

/// DSSE 1.0.2, protocol.md, test vectors: `DSSEv1 29 http://example.com/HelloWorld 11 hello world`.
#[test]
fn the_encoding_that_is_signed_has_the_shape_of_the_specification() {
    let encoding = pre_authentication_encoding(b"hello world");
    let expect = "DSSEv1 42 application/vnd.tally.envelope.v1+protobuf 11 hello world";
    assert_eq!(String::from_utf8_lossy(&encoding), expect);
    assert_eq!(PAYLOAD_TYPE, "application/vnd.tally.envelope.v1+protobuf");
    assert_eq!(pre_authentication_encoding(b"").last(), Some(&b' '));
    // LEN is "ASCII decimal encoding of the byte length, with no leading zeros".
    let long = pre_authentication_encoding(&[0; 1_000]);
    assert!(long.starts_with(format!("DSSEv1 42 {PAYLOAD_TYPE} 1000 \0").as_bytes()));
}

fn encoding_of(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn is_verified(signed: SignedEnvelope) -> bool {
    signature::verify(signed.parse().expect("parses")).is_ok()
}

#[test]
fn what_is_signed_verifies() {
    for (name, envelope) in samples::all() {
        let signed = envelope.sign(&samples::key(1)).expect("signs");
        assert_eq!(signed.payload, envelope.encode().expect("encodes"), "{name}");
        assert!(is_verified(signed), "{name}");
    }
}

#[test]
fn any_ed25519_library_can_sign() {
    let payload = samples::sample("offer").encode().expect("encodes");
    let key = SigningKey::from_bytes(&[1; 32]);
    let sign = |message: &[u8]| SignedEnvelope {
        payload: payload.clone().into(),
        signature: key.sign(message).to_bytes(),
    };
    assert!(is_verified(sign(&encoding_of(PAYLOAD_TYPE, &payload))));
    assert!(!is_verified(sign(&encoding_of("application/vnd.other", &payload))));
    assert!(!is_verified(sign(&payload)), "the payload alone is not what is signed");
}

#[test]
fn a_signature_by_another_key_or_of_another_payload_fails() {
    let envelope = samples::sample("offer");
    let signed = envelope.sign(&samples::key(1)).expect("signs");
    let other = samples::sample("task_done").sign(&samples::key(1)).expect("signs");
    let moved = SignedEnvelope { payload: other.payload, signature: signed.signature };
    assert!(!is_verified(moved));
    let mut claimed = envelope;
    claimed.author = samples::agent(2);
    let payload = claimed.encode().expect("encodes");
    let signed_by_another =
        SigningKey::from_bytes(&[1; 32]).sign(&pre_authentication_encoding(&payload));
    let forged =
        SignedEnvelope { payload: payload.into(), signature: signed_by_another.to_bytes() };
    assert!(!is_verified(forged));
}

#[test]
fn every_turned_bit_of_a_signature_fails() {
    let signed = samples::sample("observe.trace").sign(&samples::key(1)).expect("signs");
    for bit in 0..512 {
        let mut turned = signed.clone();
        turned.signature[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_verified(turned), "bit {bit}");
    }
}

#[test]
#[should_panic(expected = "signed with its author's key")]
fn an_envelope_is_not_signed_with_another_key() {
    let _ = samples::sample("offer").sign(&samples::key(2));
}

#[test]
fn the_id_is_the_hash_of_the_payload_alone() {
    let mut signed = samples::sample("offer").sign(&samples::key(1)).expect("signs");
    let id = signed.id();
    assert_eq!(id.as_bytes(), blake3::hash(&signed.payload).as_bytes());
    signed.signature[0] ^= 1;
    assert_eq!(signed.id(), id);
    assert_eq!(signed.parse().expect("parses").id(), id);
}

#[test]
fn a_signed_envelope_passes_the_wire_unchanged() {
    let signed = samples::sample("offer").sign(&samples::key(1)).expect("signs");
    let wire = wire::SignedEnvelope::from(signed.clone());
    assert_eq!(SignedEnvelope::try_from(wire.clone()), Ok(signed));
    for length in [0, 63, 65] {
        let wire = wire::SignedEnvelope { signature: vec![0; length].into(), ..wire.clone() };
        let fault = Fault::Length { expected: 64, found: length };
        let expect = Malformed { path: "signature".into(), fault };
        assert_eq!(SignedEnvelope::try_from(wire), Err(expect));
    }
}

#[test]
fn a_payload_that_says_nothing_is_not_parsed() {
    let signed = SignedEnvelope { payload: vec![1, 2, 3].into(), signature: [0; 64] };
    let expect = Envelope::decode(&[1, 2, 3]).expect_err("is refused");
    assert_eq!(signed.parse(), Err(expect));
}
