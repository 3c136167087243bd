//! Agents: an Ed25519 key names an agent, written as `did:key:z6Mk…`.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::envelope::{PAYLOAD_TYPE, pre_authentication_encoding_of};

/// Multicodec prefix of an Ed25519 public key in a did:key.
const MULTICODEC_ED25519: [u8; 2] = [0xed, 0x01];

/// p = 2^255 - 19, little-endian.
const FIELD_PRIME: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The y coordinates of the eight points of small order, little-endian. A key with one of them
/// (with either sign bit) binds its signer to nothing.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = FIELD_PRIME;
        minus_one[0] -= 1;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Why bytes or a text are not an agent's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error("a key has 32 bytes, found {0}")]
    Length(usize),
    /// The y coordinate is not reduced modulo p.
    #[error("the key is not canonically encoded")]
    NonCanonical,
    /// The point has small order.
    #[error("the key is a point of small order and binds its signer to nothing")]
    SmallOrder,
    /// There is no such point.
    #[error("the key is not a point on the curve")]
    NotOnCurve,
    /// The text does not begin with `did:key:z`.
    #[error("an agent is written as did:key:z6Mk…")]
    NotDidKey,
    /// The text after `did:key:z` is not base58.
    #[error("the did:key is not base58")]
    Base58,
    /// Another kind of key.
    #[error("the did:key is not of an Ed25519 key")]
    NotEd25519,
    /// The file is not a PKCS#8 private key in PEM.
    #[error("the file is not an Ed25519 private key in PKCS#8 PEM")]
    Pem,
}

/// An agent: an Ed25519 public key that is canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId([u8; 32]);

impl AgentId {
    /// Checks all of it: canonical, not of small order, on the curve.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let id = Self::from_author_bytes(bytes)?;
        VerifyingKey::from_bytes(&id.0).map_err(|_| KeyError::NotOnCurve)?;
        Ok(id)
    }

    /// Checks all but that the point is on the curve, which costs half a signature check. Only
    /// for an envelope's author: there the signature check finds it.
    pub(crate) fn from_author_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let key: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))?;
        let mut y = key;
        y[31] &= 0x7f;
        if y.iter().rev().ge(FIELD_PRIME.iter().rev()) {
            return Err(KeyError::NonCanonical);
        }
        if SMALL_ORDER_Y.contains(&y) {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self(key))
    }

    /// The key: 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The last characters of the did:key, enough for a person to tell agents apart.
    pub fn short(&self) -> String {
        let text = self.to_string();
        format!("…{}", &text[text.len() - 8..])
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&MULTICODEC_ED25519);
        bytes[2..].copy_from_slice(&self.0);
        write!(f, "did:key:z{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentId({self})")
    }
}

impl FromStr for AgentId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix("did:key:z").ok_or(KeyError::NotDidKey)?;
        let mut bytes = [0; 34];
        let len = bs58::decode(encoded).onto(&mut bytes).map_err(|_| KeyError::Base58)?;
        let key = bytes[..len].strip_prefix(&MULTICODEC_ED25519).ok_or(KeyError::NotEd25519)?;
        Self::from_bytes(key)
    }
}

impl Serialize for AgentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Self::from_bytes(&<[u8; 32]>::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}

/// An agent's private key. Never used for notes or cosignatures.
#[derive(Clone)]
pub struct AgentKey(SigningKey);

impl AgentKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Self {
        Self::from_seed(&rand::random())
    }

    /// The key with this seed: 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| KeyError::Pem)
    }

    /// The private key in PKCS#8 PEM.
    pub fn to_pem(&self) -> String {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("32 bytes always encode").to_string()
    }

    /// The agent that this key signs for.
    pub fn agent(&self) -> AgentId {
        AgentId(self.0.verifying_key().to_bytes())
    }

    /// Signs a document that is not an envelope: Ed25519 over its DSSE pre-authentication encoding.
    ///
    /// # Panics
    /// When the type is that of envelopes, which are signed by [`crate::Envelope::sign`] alone.
    pub fn sign_document(&self, payload_type: &str, payload: &[u8]) -> [u8; 64] {
        assert_ne!(payload_type, PAYLOAD_TYPE, "an envelope is signed as an envelope");
        self.sign(&pre_authentication_encoding_of(payload_type, payload))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.agent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;

    #[test]
    fn every_point_of_small_order_is_refused() {
        for point in EIGHT_TORSION {
            for sign in [0x00, 0x80] {
                let mut bytes = point.compress().to_bytes();
                bytes[31] ^= sign;
                assert_eq!(AgentId::from_bytes(&bytes), Err(KeyError::SmallOrder));
            }
        }
    }

    #[test]
    fn keys_that_are_not_reduced_are_refused() {
        for low in 0xed..=0xff {
            let mut bytes = FIELD_PRIME;
            bytes[0] = low;
            assert_eq!(AgentId::from_bytes(&bytes), Err(KeyError::NonCanonical));
            bytes[31] |= 0x80;
            assert_eq!(AgentId::from_bytes(&bytes), Err(KeyError::NonCanonical));
        }
    }

    #[test]
    fn a_point_that_is_not_on_the_curve_is_refused() {
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(AgentId::from_bytes(&bytes), Err(KeyError::NotOnCurve));
    }

    // Example of the did:key specification, section "Ed25519 with X25519".
    #[test]
    fn did_key_is_written_as_the_specification_writes_it() {
        let text = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        let id: AgentId = text.parse().expect("parses");
        assert_eq!(
            hex::encode(id.as_bytes()),
            "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
        );
        assert_eq!(id.to_string(), text);
        let seed = [0; 32];
        assert_eq!(AgentKey::from_seed(&seed).agent(), id);
    }

    #[test]
    fn other_texts_are_refused_with_their_cause() {
        let check = |text: &str, error| assert_eq!(text.parse::<AgentId>(), Err(error), "{text}");
        check("did:web:example.org", KeyError::NotDidKey);
        check("did:key:z0OIl", KeyError::Base58);
        check("did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", KeyError::NotEd25519);
    }

    #[test]
    fn pem_round_trips() {
        let key = AgentKey::from_seed(&[7; 32]);
        let again = AgentKey::from_pem(&key.to_pem()).expect("parses");
        assert_eq!(again.agent(), key.agent());
        assert!(matches!(AgentKey::from_pem("nonsense"), Err(KeyError::Pem)));
    }
}
