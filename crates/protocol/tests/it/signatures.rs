//! One rule for signatures: ZIP 215 with the key canonical and not of small order, the same
//! singly and in a batch of any size.

use std::path::Path;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::RngExt as _;
use serde::Deserialize;
use sha2::Digest as _;
use tally_protocol::signature::{MAX_BATCH, verifies, verifies_batch, verify, verify_batch};
use tally_protocol::{AgentKey, AuthorSequence, BadSignature, SignedEnvelope};

use crate::samples;

// ------------------------------------------------------------------ the vectors of C2SP CCTV

#[derive(Deserialize)]
struct Vector {
    number: u32,
    key: String,
    sig: String,
    msg: String,
    flags: Option<Vec<String>>,
}

impl Vector {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().flatten().any(|found| found == flag)
    }

    fn bytes(&self) -> ([u8; 32], [u8; 64]) {
        let mut bytes = ([0; 32], [0; 64]);
        hex::decode_to_slice(&self.key, &mut bytes.0).expect("a key");
        hex::decode_to_slice(&self.sig, &mut bytes.1).expect("a signature");
        bytes
    }

    /// Our key rule first; then ZIP 215: R and A need not be canonical or without torsion, S is
    /// below ℓ in all vectors, the equation is taken times the cofactor, so a residue of small
    /// order is no matter, and k hashes the bytes as they came, so a signature over re-encoded
    /// ones fails.
    fn should_verify(&self) -> bool {
        let sound_key = !self.has("low_order_A") && !self.has("non_canonical_A");
        sound_key && !self.has("reencoded_k")
    }
}

/// BLAKE3 over the numbers of the accepted vectors, each in four big-endian bytes.
const ACCEPTED: &str = "245b3d5bffa99eb4b032c4a2de53fec5a742537b9414073ed5d5b156bcf03e89";
const ACCEPTED_COUNT: usize = 300;

fn vectors() -> Option<Vec<Vector>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors/ed25519/ed25519vectors.json");
    let Ok(json) = std::fs::read(&path) else {
        println!("skipped: the published vectors are not beside this repository");
        return None;
    };
    let vectors: Vec<Vector> = serde_json::from_slice(&json).expect("vectors");
    assert_eq!(vectors.len(), 914);
    Some(vectors)
}

#[test]
fn published_vectors_follow_the_rule() {
    let Some(vectors) = vectors() else { return };
    let mut hasher = blake3::Hasher::new();
    let mut accepted = 0;
    for vector in vectors {
        let (key, signature) = vector.bytes();
        let verdict = verifies(&key, &signature, vector.msg.as_bytes());
        assert_eq!(verdict, vector.should_verify(), "{}: {:?}", vector.number, vector.flags);
        assert_eq!(verdict, by_the_equation(&key, &signature, vector.msg.as_bytes()));
        if verdict {
            accepted += 1;
            hasher.update(&vector.number.to_be_bytes());
        }
    }
    assert_eq!(accepted, ACCEPTED_COUNT);
    assert_eq!(hasher.finalize().to_string(), ACCEPTED);
}

/// ZIP 215 written out: "S MUST represent an integer less than ℓ", and
/// "[8][S]B = [8]R + [8][k]A".
fn by_the_equation(key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    let compressed =
        |bytes: &[u8]| curve25519_dalek::edwards::CompressedEdwardsY::from_slice(bytes);
    let point = |bytes: &[u8]| compressed(bytes).expect("32 bytes").decompress();
    let s: [u8; 32] = signature[32..].try_into().expect("32 bytes");
    let (Some(a), Some(r), Some(s)) =
        (point(key), point(&signature[..32]), Option::from(Scalar::from_canonical_bytes(s)))
    else {
        return false;
    };
    let s: Scalar = s;
    let sound_key = a.compress().as_bytes() == key && !a.is_small_order();
    let k = challenge(&signature[..32], key, message);
    let residue: EdwardsPoint = ED25519_BASEPOINT_POINT * s - r - a * k;
    sound_key && residue.is_small_order()
}

fn challenge(r: &[u8], key: &[u8], message: &[u8]) -> Scalar {
    let hash = sha2::Sha512::new().chain_update(r).chain_update(key).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

#[test]
fn a_batch_agrees_with_single_checks_on_every_vector() {
    let Some(vectors) = vectors() else { return };
    let bytes: Vec<_> = vectors.iter().map(Vector::bytes).collect();
    let items: Vec<(&[u8; 32], &[u8; 64], &[u8])> = vectors
        .iter()
        .zip(&bytes)
        .map(|(vector, (key, signature))| (key, signature, vector.msg.as_bytes()))
        .collect();
    let single: Vec<bool> =
        items.iter().map(|(key, signature, message)| verifies(key, signature, message)).collect();
    for size in [1, 2, 3, 64, items.len()] {
        let batched: Vec<bool> = items.chunks(size).flat_map(verifies_batch).collect();
        assert_eq!(batched, single, "in batches of {size}");
    }
    // Good ones alone, so that no bad neighbour makes the batch fall back on single checks.
    let good: Vec<_> =
        items.iter().zip(&single).filter(|(_, good)| **good).map(|(item, _)| *item).collect();
    assert!(verifies_batch(&good).into_iter().all(|verdict| verdict));
}

// ------------------------------------------------------------------ torsion and malleability

/// A signature by a sound key whose R has a component of small order.
fn sign_with_torsion(secret: u64, torsion: EdwardsPoint, message: &[u8]) -> ([u8; 32], [u8; 64]) {
    let a = Scalar::from(secret);
    let key = (ED25519_BASEPOINT_POINT * a).compress().to_bytes();
    let nonce = Scalar::from(secret * 7_919 + 1);
    let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().to_bytes();
    let s = nonce + challenge(&r, &key, message) * a;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(s.as_bytes());
    (key, signature)
}

#[test]
fn torsion_in_r_is_accepted_singly_and_in_every_batch() {
    let message = b"torsion";
    let signed: Vec<_> = (0..256)
        .map(|i| sign_with_torsion(1_000 + i, EIGHT_TORSION[i as usize % 8], message))
        .collect();
    let items: Vec<_> =
        signed.iter().map(|(key, signature)| (key, signature, &message[..])).collect();
    assert!(items.iter().all(|(key, signature, message)| verifies(key, signature, message)));
    for size in [1, 2, 3, 64, 256] {
        let verdicts: Vec<bool> = items.chunks(size).flat_map(verifies_batch).collect();
        assert_eq!(verdicts, [true; 256], "in batches of {size}");
    }
}

/// ℓ = 2^252 + 27742317777372353535851937790883648493, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus_group_order(s: &mut [u8]) {
    let mut carry = 0;
    for (byte, add) in s.iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
}

#[test]
fn an_s_that_is_not_reduced_is_refused() {
    let message = b"malleable";
    let (key, signature) = sign_with_torsion(5, EIGHT_TORSION[0], message);
    let mut malleated = signature;
    plus_group_order(&mut malleated[32..]);
    assert!(verifies(&key, &signature, message));
    assert!(!verifies(&key, &malleated, message));
    let batch = [(&key, &malleated, &message[..]), (&key, &signature, &message[..])];
    assert_eq!(verifies_batch(&batch), [false, true]);
    // S = ℓ itself stands for 0.
    let mut zero = signature;
    zero[32..].copy_from_slice(&GROUP_ORDER);
    assert!(!verifies(&key, &zero, message));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    for torsion in EIGHT_TORSION {
        let key = torsion.compress().to_bytes();
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!verifies(&key, &signature, b"anything"));
        assert_eq!(verifies_batch(&[(&key, &signature, b"anything")]), [false]);
    }
}

// ------------------------------------------------------------------ batches of envelopes

fn signed(count: usize) -> Vec<SignedEnvelope> {
    let keys: Vec<AgentKey> = (1..=16).map(samples::key).collect();
    let sign = |i: usize| {
        let key = &keys[i % keys.len()];
        let mut envelope = samples::envelope(samples::sample("observe.notice").message);
        envelope.author = key.agent();
        envelope.author_sequence = AuthorSequence(i as u64 + 1);
        envelope.sign(key).expect("signs")
    };
    (0..count).map(sign).collect()
}

fn check_batch(size: usize, bad: &[usize]) {
    let mut signed = signed(size);
    for (nth, place) in bad.iter().enumerate() {
        // A wrong S, a wrong R, and an R that is no point.
        match nth % 3 {
            0 => signed[*place].signature[32] ^= 1,
            1 => signed[*place].signature[0] ^= 1,
            _ => signed[*place].signature[..32].copy_from_slice(&not_a_point()),
        }
    }
    let parse = |signed: &SignedEnvelope| signed.clone().parse().expect("parses");
    let verdicts = verify_batch(signed.iter().map(parse).collect());
    assert_eq!(verdicts.len(), size);
    for (place, verdict) in verdicts.into_iter().enumerate() {
        let parsed = parse(&signed[place]);
        let author = parsed.envelope().author;
        match verdict {
            Ok(verified) => {
                assert!(!bad.contains(&place), "{place} of {size}, bad {bad:?}");
                assert_eq!(*verified, parsed, "the answers come in the order of the envelopes");
            }
            Err(error) => {
                assert!(bad.contains(&place), "{place} of {size}, bad {bad:?}");
                assert_eq!(error, BadSignature(author));
            }
        }
    }
}

fn not_a_point() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    bytes
}

#[test]
fn exactly_the_bad_signatures_of_a_batch_are_refused() {
    check_batch(0, &[]);
    for size in [1, 2, 3, 64] {
        check_batch(size, &[]);
        check_batch(size, &[0]);
        check_batch(size, &[size - 1]);
        check_batch(size, &(0..size).collect::<Vec<_>>());
    }
    check_batch(64, &[0, 1, 31, 32, 63]);
    check_batch(65, &[0, 8, 9, 64]);
    check_batch(700, &[0, 87, 88, 89, 699]);
}

#[test]
fn bad_signatures_are_found_across_batches() {
    check_batch(MAX_BATCH, &[]);
    check_batch(MAX_BATCH, &[511, 512, MAX_BATCH - 1]);
    let several = MAX_BATCH + 500;
    check_batch(several, &[0, several / 2, MAX_BATCH - 1, MAX_BATCH, several - 1]);
    let mut rng = rand::rng();
    let mut places: Vec<usize> = (0..12).map(|_| rng.random_range(0..several)).collect();
    places.sort_unstable();
    places.dedup();
    check_batch(several, &places);
}

#[test]
fn a_single_check_gives_what_a_batch_gives() {
    let [good, mut bad] = <[SignedEnvelope; 2]>::try_from(signed(2)).expect("two");
    let author = samples::agent(2);
    bad.signature[40] ^= 0x10;
    let parse = |signed: SignedEnvelope| signed.parse().expect("parses");
    assert_eq!(*verify(parse(good.clone())).expect("is good"), parse(good));
    assert_eq!(verify(parse(bad)).expect_err("is bad"), BadSignature(author));
}
