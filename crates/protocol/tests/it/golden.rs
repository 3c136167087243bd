//! The pinned encodings: one line a sample in `tests/golden/payloads.txt`, with its name, the
//! BLAKE3 of its payload (the envelope id) and the payload, in hexadecimal.
//!
//! What is pinned here was signed by someone: a change is a new format version. Only where the
//! samples themselves changed, `TALLY_WRITE_GOLDEN=1 cargo test -p tally-protocol golden` writes
//! the file anew; the aggregate below is then changed by hand.

use std::path::PathBuf;

use crate::samples;

/// BLAKE3 over all payloads, each behind its length in eight big-endian bytes.
const AGGREGATE: &str = "21f038475dc3bcbf1407d7658c0470d6948fdc7dd86d87add268bf14e3f373e1";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/payloads.txt")
}

fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let encode = |(name, envelope): (_, tally_protocol::Envelope)| {
        (name, envelope.encode().unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    let smallest = ("smallest", samples::smallest());
    samples::all().into_iter().chain([smallest]).map(encode).collect()
}

#[test]
fn every_payload_is_as_pinned() {
    let line = |(name, payload): &(&str, Vec<u8>)| {
        format!("{name} {} {}\n", blake3::hash(payload), hex::encode(payload))
    };
    let lines: Vec<String> = payloads().iter().map(line).collect();
    if std::env::var_os("TALLY_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(path(), lines.concat()).expect("writes the golden file");
    }
    let pinned = std::fs::read_to_string(path()).expect("the golden file");
    for (pinned, line) in pinned.lines().zip(&lines) {
        assert_eq!(pinned, line.trim_end());
    }
    assert_eq!(pinned.lines().count(), lines.len());
}

#[test]
fn pinned_payloads_are_still_read() {
    let pinned = std::fs::read_to_string(path()).expect("the golden file");
    let mut samples = samples::all();
    samples.push(("smallest", samples::smallest()));
    assert_eq!(pinned.lines().count(), samples.len());
    for (line, (name, envelope)) in pinned.lines().zip(samples) {
        let [said, id, payload] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        assert_eq!(said, name);
        let payload = hex::decode(payload).expect("hexadecimal");
        let signed = tally_protocol::SignedEnvelope { payload: payload.into(), signature: [0; 64] };
        let parsed = signed.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(*parsed.envelope(), envelope, "{name}");
        assert_eq!(parsed.id().to_string(), id, "{name}");
    }
}

#[test]
fn all_payloads_together_are_as_pinned() {
    let mut hasher = blake3::Hasher::new();
    for (_, payload) in payloads() {
        hasher.update(&(payload.len() as u64).to_be_bytes());
        hasher.update(&payload);
    }
    assert_eq!(hasher.finalize().to_string(), AGGREGATE);
}
