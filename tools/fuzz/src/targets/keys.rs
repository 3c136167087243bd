//! Names and keys in text.

use tally_protocol::{AgentId, AgentKey};
use tally_tlog::{KeyName, NoteSigner, Origin, VerifierKey};

use crate::targets::Outcome;

fn text(data: &[u8]) -> Result<&str, Outcome> {
    std::str::from_utf8(data).map_err(|_| Outcome::accepted("not UTF-8"))
}

/// A public key of notes: written back as it came, but for the case of its id.
pub fn verifier_key(data: &[u8]) -> Outcome {
    let text = match text(data) {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    match text.parse::<VerifierKey>() {
        Ok(key) => {
            let again = key.to_string();
            assert_eq!(again.parse(), Ok(key));
            assert_eq!(lower_id(&again), lower_id(text), "a key has one text");
            Outcome::accepted("key")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// A secret key of notes: written back as it came, and never shown.
pub fn secret_key(data: &[u8]) -> Outcome {
    let text = match text(data) {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    match NoteSigner::parse_secret(text) {
        Ok(signer) => {
            let again = signer.to_secret_text();
            // `PRIVATE+KEY+name+id+secret`, and the secret may have a plus of its own.
            let secret = again.splitn(5, '+').last().expect("a field");
            assert!(!format!("{signer:?}").contains(secret), "a secret is not shown");
            let other = NoteSigner::parse_secret(&again).expect("its own text");
            assert_eq!(other.verifier_key(), signer.verifier_key());
            let tail = |text: &str| text.strip_prefix("PRIVATE+KEY+").map(lower_id);
            assert_eq!(tail(&again), tail(text), "a key has one text");
            Outcome::accepted("key")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// `name+id+key` with the id in lower case.
fn lower_id(text: &str) -> Vec<String> {
    let mut fields: Vec<String> = text.splitn(3, '+').map(str::to_owned).collect();
    if let Some(id) = fields.get_mut(1) {
        id.make_ascii_lowercase();
    }
    fields
}

/// The name of a log: every origin names a key.
pub fn origin(data: &[u8]) -> Outcome {
    let text = match text(data) {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    match Origin::new(text) {
        Ok(origin) => {
            assert_eq!(origin.to_string(), text);
            assert_eq!(origin.key_name(), KeyName::new(text).expect("an origin is a key's name"));
            let signer = NoteSigner::from_seed(origin.key_name(), &[9; 32]);
            let key = signer.verifier_key();
            assert_eq!(key.to_string().parse(), Ok(key));
            let note = signer.sign(&format!("{origin}\n")).expect("an origin can stand in a note");
            assert_eq!(tally_tlog::Note::parse(&note.to_bytes()), Ok(note));
            Outcome::accepted("origin")
        }
        Err(error) => {
            assert_eq!(KeyName::new(text), Err(error), "one rule for names");
            Outcome::refused(&error)
        }
    }
}

/// An agent in text, or its 32 bytes.
pub fn did_key(data: &[u8]) -> Outcome {
    if let Ok(agent) = AgentId::from_bytes(data) {
        assert_eq!(agent.as_bytes(), data);
        assert_eq!(agent.to_string().parse(), Ok(agent));
        assert!(agent.to_string().ends_with(agent.short().trim_start_matches('…')));
    }
    let text = match text(data) {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    match text.parse::<AgentId>() {
        Ok(agent) => {
            assert_eq!(agent.to_string(), text, "an agent has one text");
            assert_eq!(AgentId::from_bytes(agent.as_bytes()), Ok(agent));
            Outcome::accepted("agent")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// A private key in PEM.
pub fn pem(data: &[u8]) -> Outcome {
    let text = match text(data) {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    match AgentKey::from_pem(text) {
        Ok(key) => {
            let again = AgentKey::from_pem(&key.to_pem()).expect("its own PEM");
            assert_eq!(again.agent(), key.agent());
            Outcome::accepted("key")
        }
        Err(error) => Outcome::refused(&error),
    }
}
