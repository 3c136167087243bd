//! Whatever comes in: what can be said round trips, and no input makes a reader panic.

use proptest::prelude::*;
use tally_protocol::{AgentId, AgentKey, Envelope, Event, Message, SignedEnvelope};

use crate::{samples, strategies};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn envelopes_round_trip(envelope in strategies::envelope()) {
        let payload = envelope.encode().expect("encodes");
        prop_assert_eq!(Envelope::decode(&payload), Ok(envelope));
    }

    #[test]
    fn messages_round_trip_in_json(message in strategies::message()) {
        let json = serde_json::to_string(&message).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Message>(&json).expect("a message"), message);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Envelope::decode(&bytes);
        let _ = Event::decode(bytes.clone().into());
        let _ = SignedEnvelope { payload: bytes.into(), signature: [0; 64] }.parse();
    }

    /// Bytes that nearly are an envelope go deeper than arbitrary ones.
    #[test]
    fn no_damage_makes_a_reader_panic(
        sample in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let samples = samples::all();
        let mut payload = sample.get(&samples).1.encode().expect("encodes");
        for (at, byte) in cuts {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(envelope) = Envelope::decode(&payload) {
            prop_assert_eq!(envelope.encode(), Ok(payload));
        }
    }

    #[test]
    fn no_text_makes_a_key_reader_panic(text in "\\PC{0,80}", base58 in "[1-9A-HJ-NP-Za-km-z]{0,80}") {
        let _ = text.parse::<AgentId>();
        let _ = format!("did:key:{text}").parse::<AgentId>();
        if let Ok(agent) = format!("did:key:z{base58}").parse::<AgentId>() {
            prop_assert_eq!(agent.to_string(), format!("did:key:z{base58}"));
        }
        let _ = AgentKey::from_pem(&text);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base58}\n-----END PRIVATE KEY-----\n");
        let _ = AgentKey::from_pem(&pem);
    }

    #[test]
    fn keys_round_trip(seed in any::<[u8; 32]>()) {
        let key = AgentKey::from_seed(&seed);
        prop_assert_eq!(key.agent().to_string().parse(), Ok(key.agent()));
        prop_assert_eq!(AgentId::from_bytes(key.agent().as_bytes()), Ok(key.agent()));
        let again = AgentKey::from_pem(&key.to_pem()).expect("a key");
        prop_assert_eq!(again.agent(), key.agent());
    }
}
