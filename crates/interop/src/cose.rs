//! COSE receipts of inclusion (RFC 9942): that an event is in the log, said in one signature over
//! the root of the tree.
//!
//! ```text
//! COSE_Sign1 (tag 18) of
//!   protected    alg 1: EdDSA (-8), kid 4: the key's thumbprint (RFC 9679, SHA-256),
//!                CWT claims 15: {iss 1: the ledger's origin, sub 2: the envelope's id},
//!                vds 395: RFC9162_SHA256 (1)
//!   unprotected  vdp 396: {inclusion proofs -1: [bstr of [tree size, leaf index, [+ hash]]]}
//!   payload      nil: the root, which the verifier computes from the leaf and the proof
//! ```
//!
//! The leaf's entry is the event's bytes. The root is that of a checkpoint, but the key is another
//! than the log's: keys have one purpose each. A receipt and a key have one encoding each, the
//! deterministic one of RFC 8949 §4.2.1; what is encoded otherwise is not read.
//!
//! The tree size and the leaf index stand in the unprotected header, as RFC 9942 has it. The index is
//! held to the position that the event itself carries. The size is not signed: another size in which
//! the path has the same shape passes, and only the checkpoint of that root says which it is.
//!
//! A tree of one leaf has no receipt: its inclusion path is empty, and the CDDL of RFC 9942 §5.2 asks
//! for `[ + bstr ]`, one hash at least.

use std::fmt;

use coset::cbor::{from_reader, into_writer, value::Value};
use coset::iana::{self, EnumI64};
use coset::{
    CborSerializable, CoseKeyBuilder, CoseSign1, CoseSign1Builder, HeaderBuilder, Label,
    TaggedCborSerializable,
};
use ed25519_dalek::pkcs8::EncodePublicKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use tally_protocol::{EnvelopeId, Event, Origin};
use tally_tlog::{
    Hash, InclusionProof, LeafIndex, MAX_PROOF_HASHES, ProofError, TreeSize, VerifiedCheckpoint,
    inclusion_root, verify_inclusion,
};

use crate::strict;

/// Most bytes of a receipt: 64 hashes of 34 bytes, the longest origin, and some.
pub const MAX_COSE_RECEIPT_BYTES: usize = 4 * 1024;

/// Most bytes of a key.
pub const MAX_COSE_KEY_BYTES: usize = 256;

/// RFC 9942 §8.1, header parameter `vds`.
const VDS: i64 = 395;
/// RFC 9942 §8.1, header parameter `vdp`.
const VDP: i64 = 396;
/// RFC 9942 §8.2.1: the tree of RFC 9162 with SHA-256.
const RFC9162_SHA256: i64 = 1;
/// RFC 9942 §8.2.2: inclusion proofs.
const INCLUSION_PROOFS: i64 = -1;
/// RFC 9597: CWT claims in a header, of which RFC 8392 §4 names these two.
const CWT_CLAIMS: i64 = 15;
const ISSUER: i64 = 1;
const SUBJECT: i64 = 2;

/// RFC 9679 §3.2, up to the key: `{1: 1 (OKP), -1: 6 (Ed25519), -2: bstr of 32}`.
const THUMBPRINT_HEAD: [u8; 8] = [0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];

// ------------------------------------------------------------------ keys

/// A private key that signs COSE receipts and nothing else; `Debug` shows the public half only.
#[derive(Clone)]
pub struct CoseKey(SigningKey);

impl CoseKey {
    /// The key with this seed: 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a `COSE_Key` (RFC 9052 §7) as [`CoseKey::to_bytes`] writes it.
    ///
    /// # Errors
    /// [`CoseKeyError`]. It never quotes the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoseKeyError> {
        if bytes.len() > MAX_COSE_KEY_BYTES {
            return Err(CoseKeyError::Form);
        }
        let parsed = coset::CoseKey::from_slice(bytes).map_err(|_| CoseKeyError::Form)?;
        let seed = Label::Int(iana::OkpKeyParameter::D.to_i64());
        let seed = parsed.params.iter().find(|(label, _)| *label == seed);
        let seed = seed.and_then(|(_, value)| value.as_bytes()).ok_or(CoseKeyError::NoSecret)?;
        let key = Self::from_seed(seed.as_slice().try_into().map_err(|_| CoseKeyError::Form)?);
        if key.to_bytes() == bytes { Ok(key) } else { Err(CoseKeyError::Form) }
    }

    /// The private key as a `COSE_Key`: `{1: 1 (OKP), 3: -8 (EdDSA), -1: 6 (Ed25519), -2: public,
    /// -4: private}`. Keep it secret.
    ///
    /// # Panics
    /// Never.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |bytes: [u8; 32]| Value::Bytes(bytes.to_vec());
        let curve = iana::EllipticCurve::Ed25519.to_i64();
        let key = CoseKeyBuilder::new_okp_key()
            .algorithm(iana::Algorithm::EdDSA)
            .param(iana::OkpKeyParameter::Crv.to_i64(), curve.into())
            .param(iana::OkpKeyParameter::X.to_i64(), bytes(self.0.verifying_key().to_bytes()))
            .param(iana::OkpKeyParameter::D.to_i64(), bytes(self.0.to_bytes()))
            .build();
        key.to_vec().expect("labels that differ")
    }

    /// The public key, for those who verify.
    pub fn public_key(&self) -> CosePublicKey {
        CosePublicKey(self.0.verifying_key())
    }
}

impl fmt::Debug for CoseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoseKey({})", self.public_key())
    }
}

/// The public half of a [`CoseKey`]. Shown as its thumbprint, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct CosePublicKey(VerifyingKey);

impl CosePublicKey {
    /// The key: 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Its name in receipts: the SHA-256 thumbprint of RFC 9679.
    pub fn thumbprint(&self) -> [u8; 32] {
        Sha256::new().chain_update(THUMBPRINT_HEAD).chain_update(self.as_bytes()).finalize().into()
    }

    /// The key as a SubjectPublicKeyInfo in PEM (RFC 8410), which most programs read.
    ///
    /// # Panics
    /// Never.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("32 bytes always encode")
    }
}

impl fmt::Display for CosePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.thumbprint()))
    }
}

impl fmt::Debug for CosePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosePublicKey({self})")
    }
}

/// Why bytes are no private key for COSE receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseKeyError {
    /// Not a key of this kind, or encoded otherwise, or its halves do not belong together.
    #[error("this is no Ed25519 private key as a COSE_Key in deterministic encoding")]
    Form,
    /// A public key.
    #[error("the COSE_Key has no private half")]
    NoSecret,
}

// ------------------------------------------------------------------ receipts

/// A receipt of inclusion, unverified until [`CoseReceipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoseReceipt {
    claims: Claims,
    key_id: [u8; 32],
    size: TreeSize,
    index: LeafIndex,
    path: InclusionProof,
    signature: [u8; 64],
}

/// What the signer says beside the root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claims {
    origin: Origin,
    envelope: EnvelopeId,
}

impl CoseReceipt {
    /// Signs that an event is in the log, in the tree of a checkpoint.
    ///
    /// # Errors
    /// [`IssueError`]: the tree has one leaf, or the proof does not lead to the checkpoint's root.
    pub fn issue(
        event: &Event,
        proof: &InclusionProof,
        head: &VerifiedCheckpoint,
        key: &CoseKey,
    ) -> Result<Self, IssueError> {
        if head.size() == TreeSize::new(1) {
            return Err(IssueError::TreeOfOne);
        }
        let index = event.position().leaf();
        verify_inclusion(event.leaf(), index, head.size(), proof, head.root())?;
        let mut receipt = Self {
            claims: Claims { origin: head.origin().clone(), envelope: event.signed().id() },
            key_id: key.public_key().thumbprint(),
            size: head.size(),
            index,
            path: proof.clone(),
            signature: [0; 64],
        };
        receipt.signature = key.0.sign(&receipt.signed_bytes(head.root())).to_bytes();
        Ok(receipt)
    }

    /// Reads a receipt. [`CoseReceipt::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    /// [`CoseReceiptError`]: the first thing that is not as it must be.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoseReceiptError> {
        if bytes.len() > MAX_COSE_RECEIPT_BYTES {
            return Err(CoseReceiptError::TooLarge { length: bytes.len() });
        }
        let sign1 = CoseSign1::from_tagged_slice(bytes).map_err(|_| CoseReceiptError::NotASign1)?;
        // RFC 9942 §4.4: the payload is detached, so that the verifier must compute it.
        if sign1.payload.is_some() {
            return Err(CoseReceiptError::Attached);
        }
        let header = &sign1.protected.header;
        let (size, index, path) = read_proof(&sign1)?;
        let receipt = Self {
            claims: Claims::read(&header.rest)?,
            key_id: array(&header.key_id).ok_or(CoseReceiptError::KeyId)?,
            size,
            index,
            path,
            signature: array(&sign1.signature).ok_or(CoseReceiptError::Signature)?,
        };
        // Whatever else there may be, and however it may be encoded: it would not be written so.
        if receipt.to_bytes() == bytes { Ok(receipt) } else { Err(CoseReceiptError::Encoding) }
    }

    /// The receipt, as a tagged COSE_Sign1.
    ///
    /// # Panics
    /// Never.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.sign1().to_tagged_vec().expect("labels that differ")
    }

    /// Verifies that the key's owner vouches for a log that has this event. Returns the root.
    ///
    /// # Errors
    /// [`CoseVerifyError`].
    pub fn verify(&self, event: &Event, key: &CosePublicKey) -> Result<Hash, CoseVerifyError> {
        if self.key_id != key.thumbprint() {
            return Err(CoseVerifyError::OtherKey);
        }
        let is_of_it = self.claims.envelope == event.signed().id();
        if !is_of_it || self.index != event.position().leaf() {
            return Err(CoseVerifyError::OtherEvent);
        }
        let root = inclusion_root(event.leaf(), self.index, self.size, &self.path)?;
        let is_signed = strict::verifies(key.as_bytes(), &self.signed_bytes(root), &self.signature);
        if is_signed { Ok(root) } else { Err(CoseVerifyError::Signature) }
    }

    /// The log, as the signer names it.
    pub fn origin(&self) -> &Origin {
        &self.claims.origin
    }

    /// The envelope, as the signer names it.
    pub fn envelope(&self) -> EnvelopeId {
        self.claims.envelope
    }

    /// How many events the tree has, as the proof says; no signature covers it.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// Where the event stands, as the proof says.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// RFC 9052 §4.4: the Sig_structure over the root, with empty external data.
    fn signed_bytes(&self, root: Hash) -> Vec<u8> {
        self.sign1().tbs_detached_data(root.as_bytes(), b"")
    }

    fn sign1(&self) -> CoseSign1 {
        // RFC 8949 §4.2.1: "The keys in every map MUST be sorted in the bytewise lexicographic order
        // of their deterministic encodings."
        let protected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .key_id(self.key_id.to_vec())
            .value(CWT_CLAIMS, self.claims.value())
            .value(VDS, RFC9162_SHA256.into())
            .build();
        let proofs = Value::Array(vec![Value::Bytes(self.proof_bytes())]);
        let proofs = Value::Map(vec![(INCLUSION_PROOFS.into(), proofs)]);
        CoseSign1Builder::new()
            .protected(protected)
            .unprotected(HeaderBuilder::new().value(VDP, proofs).build())
            .signature(self.signature.to_vec())
            .build()
    }

    /// RFC 9942 §5.2: `[ tree-size: uint, leaf-index: uint, inclusion-path: [ + bstr ] ]`.
    fn proof_bytes(&self) -> Vec<u8> {
        let hash = |hash: &Hash| Value::Bytes(hash.as_bytes().to_vec());
        let path = self.path.hashes().iter().map(hash).collect();
        let (size, index) = (self.size.as_u64(), self.index.as_u64());
        let mut bytes = Vec::new();
        into_writer(&Value::Array(vec![size.into(), index.into(), Value::Array(path)]), &mut bytes)
            .expect("memory takes what is written");
        bytes
    }
}

impl Claims {
    fn value(&self) -> Value {
        Value::Map(vec![
            (ISSUER.into(), self.origin.as_str().into()),
            (SUBJECT.into(), self.envelope.to_string().into()),
        ])
    }

    fn read(header: &[(Label, Value)]) -> Result<Self, CoseReceiptError> {
        let claims = header.iter().find(|(label, _)| *label == Label::Int(CWT_CLAIMS));
        let claims = claims.and_then(|(_, claims)| claims.as_map());
        let [(_, origin), (_, envelope)] = claims.map_or(&[][..], Vec::as_slice) else {
            return Err(CoseReceiptError::Claims);
        };
        let origin = origin.as_text().and_then(|text| Origin::new(text).ok());
        let envelope = envelope.as_text().and_then(|text| text.parse().ok());
        let claims = origin.zip(envelope).map(|(origin, envelope)| Self { origin, envelope });
        claims.ok_or(CoseReceiptError::Claims)
    }
}

/// The one inclusion proof in the unprotected header.
fn read_proof(
    sign1: &CoseSign1,
) -> Result<(TreeSize, LeafIndex, InclusionProof), CoseReceiptError> {
    let parts = || {
        let [(Label::Int(VDP), Value::Map(proofs))] = &sign1.unprotected.rest[..] else {
            return None;
        };
        let [(_, Value::Array(proofs))] = &proofs[..] else { return None };
        let [Value::Bytes(proof)] = &proofs[..] else { return None };
        let Ok(Value::Array(parts)) = from_reader::<Value, _>(&proof[..]) else { return None };
        let [Value::Integer(size), Value::Integer(index), Value::Array(path)] = &parts[..] else {
            return None;
        };
        let size = TreeSize::new(u64::try_from(*size).ok()?);
        let index = LeafIndex::new(u64::try_from(*index).ok()?);
        // One more than the limit is enough to refuse.
        let hashes = path.iter().take(MAX_PROOF_HASHES + 1);
        let hashes = hashes.map(|hash| Some(Hash::new(array(hash.as_bytes()?)?)));
        let path = InclusionProof::new(hashes.collect::<Option<_>>()?).ok()?;
        Some((size, index, path))
    };
    let (size, index, path) = parts().ok_or(CoseReceiptError::Proof)?;
    if path.hashes().is_empty() {
        return Err(CoseReceiptError::EmptyPath);
    }
    Ok((size, index, path))
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Why no receipt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// RFC 9942 has no encoding of an empty inclusion path.
    #[error(
        "the log has one event, so its inclusion path is empty, which a COSE receipt (RFC 9942) \
         can't express; append another event"
    )]
    TreeOfOne,
    /// The event is not in the tree.
    #[error("the event is not in the tree that the checkpoint signs")]
    Inclusion(#[from] ProofError),
}

/// Why bytes are no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseReceiptError {
    /// Over the limit.
    #[error("a COSE receipt of {length} bytes is over the limit of {MAX_COSE_RECEIPT_BYTES}")]
    TooLarge {
        /// The bytes.
        length: usize,
    },
    /// Not a tagged COSE_Sign1.
    #[error("a COSE receipt is a tagged COSE_Sign1")]
    NotASign1,
    /// With a payload, that nothing ties to the event.
    #[error("a COSE receipt's payload is the root and is not attached")]
    Attached,
    /// No CWT claims, or others.
    #[error("a COSE receipt's claims are a ledger's name and an envelope's id")]
    Claims,
    /// No key id, or of another length.
    #[error("a COSE receipt's key id is a SHA-256 thumbprint")]
    KeyId,
    /// Not one inclusion proof.
    #[error("a COSE receipt has one inclusion proof")]
    Proof,
    /// The CDDL asks for one hash at least.
    #[error("a COSE receipt's inclusion path is empty")]
    EmptyPath,
    /// Not 64 bytes.
    #[error("a COSE receipt's signature has 64 bytes")]
    Signature,
    /// Another algorithm or tree, more than there should be, or another encoding of it.
    #[error("a COSE receipt is not encoded as receipts of this ledger are")]
    Encoding,
}

/// Why a receipt is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseVerifyError {
    /// It names another key.
    #[error("the COSE receipt is signed by another key")]
    OtherKey,
    /// It is of another envelope, or of another position.
    #[error("the COSE receipt is of another event")]
    OtherEvent,
    /// The proof has not the shape that size and index ask for.
    #[error("the COSE receipt's inclusion proof does not fit its tree")]
    Proof(#[from] ProofError),
    /// The root to which the proof leads is not what was signed.
    #[error("the COSE receipt's signature is not over the root to which its proof leads")]
    Signature,
}
