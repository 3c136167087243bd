//! The event: golden bytes, the chain, and every fault of a header.

use bytes::Bytes;
use tally_protocol::envelope::SignedEnvelope;
use tally_protocol::limits::{EVENT_OVERHEAD_BYTES, MAX_EVENT_BYTES, MAX_PAYLOAD_BYTES};
use tally_protocol::{ChainHash, Event, EventError, Origin, Position, Time};

fn signed(payload: &[u8]) -> SignedEnvelope {
    SignedEnvelope { payload: Bytes::copy_from_slice(payload), signature: [0x5a; 64] }
}

fn event() -> Event {
    let chain = ChainHash([0xc1; 32]);
    Event::new(
        Position(0x0102_0304_0506_0708),
        chain,
        Time(0x1112_1314_1516_1718),
        &signed(b"payload"),
    )
}

#[test]
fn the_bytes_are_laid_out_as_the_format_says() {
    let expect = [
        "01",
        "0102030405060708",
        &"c1".repeat(32),
        "1112131415161718",
        "00000007",
        &hex::encode("payload"),
        &"5a".repeat(64),
    ]
    .concat();
    assert_eq!(hex::encode(event().bytes()), expect);
}

#[test]
fn chain_and_leaf_are_as_pinned() {
    let event = event();
    assert_eq!(
        event.chain().to_string(),
        "e66e118b86c668ca6119565f7074899eca75902e8f0971cd9e0984ab5f6b6f00"
    );
    assert_eq!(
        hex::encode(event.leaf().as_bytes()),
        "f65cea081c8e1f79927bfd3effe706eadcfb5089128f80417c526e057686b064"
    );
    assert_eq!(event.chain(), ChainHash::of(event.bytes()));
    let origin = Origin::new("ledger.example/main").expect("an origin");
    assert_eq!(
        ChainHash::genesis(&origin).to_string(),
        "29e1c0286c2decba104a94d4dd2b36883523f05311d5bbf4dbb78faf4e8286e2"
    );
}

/// RFC 6962 §2.1: "The hash of a list with one entry … SHA-256(0x00 || d(0))".
#[test]
fn the_leaf_is_that_of_rfc_6962() {
    use sha2::Digest as _;
    let event = event();
    let hash = sha2::Sha256::new().chain_update([0]).chain_update(event.bytes()).finalize();
    assert_eq!(event.leaf().as_bytes()[..], hash[..]);
}

#[test]
fn the_chain_begins_differently_for_each_ledger() {
    let genesis = |origin: &str| ChainHash::genesis(&Origin::new(origin).expect("an origin"));
    assert_eq!(genesis("ledger.example/a"), genesis("ledger.example/a"));
    assert_ne!(genesis("ledger.example/a"), genesis("ledger.example/b"));
    // Contexts keep the two uses of the hash apart.
    assert_ne!(genesis("ledger.example/a"), ChainHash::of(b"ledger.example/a"));
}

#[test]
fn every_byte_of_an_event_moves_the_chain_and_the_leaf() {
    let event = event();
    for at in 0..event.bytes().len() {
        let mut bytes = event.bytes().to_vec();
        bytes[at] ^= 1;
        assert_ne!(ChainHash::of(&bytes), event.chain(), "byte {at}");
        if let Ok(other) = Event::decode(bytes.into()) {
            assert_ne!(other, event, "byte {at}");
            assert_ne!(other.leaf(), event.leaf(), "byte {at}");
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    for payload in [&b""[..], b"payload", &[7; MAX_PAYLOAD_BYTES]] {
        let event = Event::new(Position(3), ChainHash([9; 32]), Time(0), &signed(payload));
        let read = Event::decode(event.bytes().clone()).expect("decodes");
        assert_eq!(read, event);
        assert_eq!(read.position(), Position(3));
        assert_eq!(read.previous_chain(), ChainHash([9; 32]));
        assert_eq!(read.recorded_at(), Time(0));
        assert_eq!(read.signed(), signed(payload));
    }
}

// ------------------------------------------------------------------ faults

fn check(change: impl FnOnce(&mut Vec<u8>), expect: EventError) {
    let mut bytes = event().bytes().to_vec();
    change(&mut bytes);
    assert_eq!(Event::decode(bytes.into()), Err(expect));
}

#[test]
fn a_version_from_the_future_is_refused() {
    check(|bytes| bytes[0] = 0, EventError::Version(0));
    check(|bytes| bytes[0] = 2, EventError::Version(2));
}

#[test]
fn a_payload_length_that_does_not_fit_is_refused() {
    let found = b"payload".len();
    check(|bytes| bytes[52] = 6, EventError::PayloadLength { said: 6, found });
    check(|bytes| bytes[52] = 8, EventError::PayloadLength { said: 8, found });
    check(|bytes| bytes[49] = 0xff, EventError::PayloadLength { said: 0xff00_0007, found });
    check(|bytes| bytes.push(0), EventError::PayloadLength { said: 7, found: found + 1 });
}

#[test]
fn a_time_before_1970_is_refused() {
    check(|bytes| bytes[41..49].fill(0xff), EventError::RecordedAt(-1));
    check(|bytes| bytes[41] = 0x91, EventError::RecordedAt(i64::MIN + 0x1112_1314_1516_1718));
}

#[test]
fn sizes_at_the_limit_and_one_beyond() {
    let shortest = EVENT_OVERHEAD_BYTES;
    check(|bytes| bytes.truncate(shortest - 1), EventError::Size(shortest - 1));
    check(Vec::clear, EventError::Size(0));
    check(|bytes| bytes.resize(MAX_EVENT_BYTES + 1, 0), EventError::Size(MAX_EVENT_BYTES + 1));
    // At the limit it is the length that is at fault, no longer the size.
    let found = MAX_PAYLOAD_BYTES;
    let expect = EventError::PayloadLength { said: 7, found };
    check(|bytes| bytes.resize(MAX_EVENT_BYTES, 0), expect);
}

#[test]
fn a_cut_event_is_refused_at_every_length() {
    let bytes = event().bytes().clone();
    for length in 0..bytes.len() {
        assert!(Event::decode(bytes.slice(..length)).is_err(), "{length} bytes");
    }
}

#[test]
#[should_panic(expected = "within its limit")]
fn a_payload_beyond_the_limit_makes_no_event() {
    let payload = vec![0; MAX_PAYLOAD_BYTES + 1];
    let _ = Event::new(Position(0), ChainHash([0; 32]), Time(0), &signed(&payload));
}

#[test]
#[should_panic(expected = "begins in 1970")]
fn a_time_that_could_not_be_read_back_makes_no_event() {
    let _ = Event::new(Position(0), ChainHash([0; 32]), Time(-1), &signed(b""));
}
