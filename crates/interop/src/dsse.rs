//! DSSE envelopes with one signature, in the JSON of the DSSE specification.
//!
//! An author signs the pre-authentication encoding of a payload, so an envelope of the ledger *is* a
//! DSSE envelope: only written differently here. `keyid` is the author's `did:key`. Reads what it
//! writes: one signature, standard base64; other members are ignored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tally_protocol::envelope::{PAYLOAD_TYPE, pre_authentication_encoding_of};
use tally_protocol::{AgentId, AgentKey, KeyError, SignedEnvelope, VerifiedEnvelope};

use crate::strict;

/// Most bytes of an envelope: a statement about the largest event, which is in it four times over, and
/// a hundred thousand outputs.
pub const MAX_DSSE_BYTES: usize = 64 * 1024 * 1024;

/// A payload with one signature, which nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub struct DsseEnvelope {
    payload: Vec<u8>,
    payload_type: String,
    signer: AgentId,
    signature: [u8; 64],
}

impl DsseEnvelope {
    /// An author's own envelope. Nothing is signed anew.
    pub fn of(envelope: &VerifiedEnvelope) -> Self {
        Self {
            payload: envelope.signed().payload.to_vec(),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signer: envelope.envelope().author,
            signature: envelope.signed().signature,
        }
    }

    /// A document that is not an envelope, signed by an agent.
    ///
    /// # Panics
    /// When the type is that of envelopes.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &AgentKey) -> Self {
        let signature = key.sign_document(payload_type, &payload);
        Self { payload, payload_type: payload_type.to_owned(), signer: key.agent(), signature }
    }

    /// Reads the JSON.
    ///
    /// # Errors
    /// [`DsseError`].
    pub fn parse(json: &[u8]) -> Result<Self, DsseError> {
        if json.len() > MAX_DSSE_BYTES {
            return Err(DsseError::TooLarge { length: json.len() });
        }
        Ok(serde_json::from_slice::<Json>(json)?.try_into()?)
    }

    /// The JSON, on one line.
    ///
    /// # Panics
    /// Never.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts under fixed names")
    }

    /// What is signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// How it is to be read.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// Who is said to have signed it.
    pub fn signer(&self) -> AgentId {
        self.signer
    }

    /// Whether every DSSE tool finds that the signer has signed it. Of an author's envelope that the
    /// ledger took, a few signatures that somebody made for the purpose do not pass: the ledger's
    /// rule is ZIP 215, that of DSSE tools RFC 8032.
    pub fn verifies(&self) -> bool {
        let message = pre_authentication_encoding_of(&self.payload_type, &self.payload);
        strict::verifies(self.signer.as_bytes(), &message, &self.signature)
    }

    /// The ledger's envelope that it is, if it is one.
    pub fn signed_envelope(&self) -> Option<SignedEnvelope> {
        (self.payload_type == PAYLOAD_TYPE).then(|| SignedEnvelope {
            payload: self.payload.clone().into(),
            signature: self.signature,
        })
    }
}

/// Why bytes are no DSSE envelope of this kind.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// Over the limit.
    #[error("a DSSE envelope of {length} bytes is over the limit of {MAX_DSSE_BYTES}")]
    TooLarge {
        /// The bytes.
        length: usize,
    },
    /// Not the JSON of one.
    #[error("this is no DSSE envelope: {0}")]
    Json(#[from] serde_json::Error),
    /// What the JSON says does not make one.
    #[error(transparent)]
    Shape(#[from] DsseShape),
}

/// What is wrong with a member of a DSSE envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DsseShape {
    /// A member that is not standard base64.
    #[error("a DSSE envelope's {0} is not standard base64")]
    Base64(&'static str),
    /// None, or several.
    #[error("a DSSE envelope has {0} signatures, and one is read here")]
    Signatures(usize),
    /// Another kind of key.
    #[error("a DSSE envelope's keyid names no agent: {0}")]
    Signer(#[from] KeyError),
    /// Not an Ed25519 signature.
    #[error("a DSSE envelope's signature has {0} bytes, not 64")]
    Signature(usize),
}

/// envelope.md: "The standard data structure for storing a signed message is a JSON message".
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    payload: String,
    payload_type: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature {
    keyid: String,
    sig: String,
}

impl From<DsseEnvelope> for Json {
    fn from(envelope: DsseEnvelope) -> Self {
        let DsseEnvelope { payload, payload_type, signer, signature } = envelope;
        let signature =
            JsonSignature { keyid: signer.to_string(), sig: STANDARD.encode(signature) };
        Self { payload: STANDARD.encode(payload), payload_type, signatures: vec![signature] }
    }
}

impl TryFrom<Json> for DsseEnvelope {
    type Error = DsseShape;

    fn try_from(json: Json) -> Result<Self, DsseShape> {
        let decode = |member: &'static str, text: &str| {
            STANDARD.decode(text).map_err(|_| DsseShape::Base64(member))
        };
        let [signature] = &json.signatures[..] else {
            return Err(DsseShape::Signatures(json.signatures.len()));
        };
        let sig = decode("sig", &signature.sig)?;
        Ok(Self {
            payload: decode("payload", &json.payload)?,
            payload_type: json.payload_type,
            signer: signature.keyid.parse()?,
            signature: sig.as_slice().try_into().map_err(|_| DsseShape::Signature(sig.len()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "text/plain";

    fn signed() -> DsseEnvelope {
        DsseEnvelope::sign(TYPE, b"hello".to_vec(), &AgentKey::from_seed(&[1; 32]))
    }

    #[test]
    fn a_document_is_signed_and_read_back() {
        let envelope = signed();
        assert!(envelope.verifies());
        let again = DsseEnvelope::parse(envelope.to_json().as_bytes()).expect("its own JSON");
        assert_eq!(again, envelope);
        assert_eq!(again.signed_envelope(), None);
        let other = DsseEnvelope { payload_type: "text/html".into(), ..envelope.clone() };
        assert!(!other.verifies(), "the type is signed too");
        let other = DsseEnvelope { payload: b"hallo".to_vec(), ..envelope };
        assert!(!other.verifies());
    }

    #[test]
    #[should_panic(expected = "an envelope is signed as an envelope")]
    fn an_envelope_is_not_signed_as_a_document() {
        DsseEnvelope::sign(PAYLOAD_TYPE, Vec::new(), &AgentKey::from_seed(&[1; 32]));
    }

    fn check_refused(from: &str, to: &str, words: &str) {
        let json = signed().to_json();
        assert!(json.contains(from), "{json}");
        let error = DsseEnvelope::parse(json.replacen(from, to, 1).as_bytes()).expect_err(to);
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn other_documents_are_refused() {
        check_refused("{\"payload\"", "[\"payload\"", "no DSSE envelope");
        check_refused("\"payload\":", "\"body\":", "missing field `payload`");
        check_refused("aGVsbG8=", "aGVsbG8", "payload is not standard base64");
        check_refused("aGVsbG8=", "aGVsbG9=", "payload is not standard base64");
        check_refused("\"sig\":\"", "\"sig\":\"AAAA", "has 67 bytes, not 64");
        check_refused("did:key:z6Mk", "did:web:z6Mk", "names no agent");
        let start = signed().to_json().find("{\"keyid\"").expect("a signature");
        let one = signed().to_json()[start..].trim_end_matches("]}").to_owned();
        check_refused(&one, "", "has 0 signatures");
        check_refused(&one, &format!("{one},{one}"), "has 2 signatures");
        let large = vec![b' '; MAX_DSSE_BYTES + 1];
        assert!(matches!(DsseEnvelope::parse(&large), Err(DsseError::TooLarge { .. })));
    }
}
