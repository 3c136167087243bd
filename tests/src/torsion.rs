//! Signatures that the ledger's rule takes and RFC 8032 verifiers refuse: somebody has to make them
//! for the purpose.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use sha2::{Digest, Sha512};
use tally_protocol::envelope::pre_authentication_encoding;
use tally_protocol::{AgentKey, SignedEnvelope};

/// The same envelope, signed again by the key of this seed with a point of order 8 added to R.
///
/// # Panics
/// Never.
pub fn signed_with_torsion(seed: &[u8; 32], signed: &SignedEnvelope) -> SignedEnvelope {
    let secret: [u8; 32] = Sha512::digest(seed)[..32].try_into().expect("64 bytes");
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let nonce = Scalar::from(1_795_u64);
    let r = (ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[1]).compress().to_bytes();
    let challenge = Sha512::new()
        .chain_update(r)
        .chain_update(AgentKey::from_seed(seed).agent().as_bytes())
        .chain_update(pre_authentication_encoding(&signed.payload))
        .finalize();
    let s = nonce + Scalar::from_bytes_mod_order_wide(&challenge.into()) * secret;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&s.to_bytes());
    SignedEnvelope { payload: signed.payload.clone(), signature }
}
