//! The log receipt: what an author needs, beside the own payload, to prove that it is in the log.

use bytes::Bytes;
use tally_protocol::{ChainHash, Event, Origin, Position, SignedEnvelope, Time, signature};
use tally_tlog::{
    Hash, InclusionProof, LogProof, LogProofVerifyError, SignedCheckpoint, VerifiedCheckpoint,
    VerifierKey,
};

use crate::v1;

/// Why a log receipt is no proof.
#[derive(Debug, thiserror::Error)]
pub enum BadReceipt {
    /// A field has the wrong shape.
    #[error("the log receipt's {0} has the wrong shape")]
    Shape(&'static str),
    /// The recorded signature is not the author's over this payload.
    #[error("the log recorded a signature that is not the author's over this payload")]
    Signature,
    /// The checkpoint or the inclusion proof does not hold.
    #[error(transparent)]
    Proof(#[from] LogProofVerifyError),
}

/// A log receipt that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReceipt {
    /// The event that the log claims to hold.
    pub event: Event,
    /// Its proof.
    pub proof: LogProof,
    /// The envelope had been appended before.
    pub duplicate: bool,
}

impl LogReceipt {
    /// Puts the author's own payload into the place that the log claims, so that the proof can
    /// only hold for what the author sent.
    ///
    /// # Errors
    /// [`BadReceipt::Shape`] names the field; [`BadReceipt::Signature`] when another signature was
    /// recorded that is not the author's.
    pub fn read(response: v1::AppendResponse, sent: &SignedEnvelope) -> Result<Self, BadReceipt> {
        let receipt = response.receipt.ok_or(BadReceipt::Shape("receipt"))?;
        if receipt.recorded_at_us < 0 {
            return Err(BadReceipt::Shape("recorded_at_us"));
        }
        let signature = receipt.signature.as_ref().try_into();
        let signed = SignedEnvelope {
            payload: sent.payload.clone(),
            signature: signature.map_err(|_| BadReceipt::Shape("signature"))?,
        };
        // The first append of a duplicate may have carried another signature, as good as this one.
        if signed != *sent {
            let parsed = signed.clone().parse().map_err(|_| BadReceipt::Shape("payload"))?;
            signature::verify(parsed).map_err(|_| BadReceipt::Signature)?;
        }
        let chain = receipt.previous_chain.as_ref().try_into();
        let event = Event::new(
            Position(receipt.position),
            ChainHash(chain.map_err(|_| BadReceipt::Shape("previous_chain"))?),
            Time(receipt.recorded_at_us),
            &signed,
        );
        let proof = log_proof(&receipt)?;
        Ok(Self { event, proof, duplicate: response.duplicate })
    }

    /// Checks the checkpoint's signature and the inclusion proof.
    ///
    /// # Errors
    /// [`BadReceipt`] says what does not hold.
    pub fn verify(
        &self,
        keys: &[VerifierKey],
        origin: &Origin,
    ) -> Result<VerifiedCheckpoint, BadReceipt> {
        Ok(self.proof.verify(self.event.leaf(), keys, origin)?)
    }
}

/// The proof in a log receipt.
pub(crate) fn log_proof(receipt: &v1::LogReceipt) -> Result<LogProof, BadReceipt> {
    let hashes = hashes(&receipt.inclusion_proof).ok_or(BadReceipt::Shape("inclusion_proof"))?;
    let proof = InclusionProof::new(hashes).map_err(|_| BadReceipt::Shape("inclusion_proof"))?;
    let checkpoint = SignedCheckpoint::parse(&receipt.checkpoint)
        .map_err(|_| BadReceipt::Shape("checkpoint"))?;
    let index = Position(receipt.position).leaf();
    LogProof::new(None, index, proof, checkpoint).map_err(|_| BadReceipt::Shape("proof"))
}

impl TryFrom<v1::GetLogReceiptResponse> for LogReceipt {
    type Error = BadReceipt;

    fn try_from(response: v1::GetLogReceiptResponse) -> Result<Self, BadReceipt> {
        let receipt = response.receipt.ok_or(BadReceipt::Shape("receipt"))?;
        let event = Event::decode(response.event).map_err(|_| BadReceipt::Shape("event"))?;
        if event.position() != Position(receipt.position) {
            return Err(BadReceipt::Shape("position"));
        }
        Ok(Self { proof: log_proof(&receipt)?, event, duplicate: false })
    }
}

/// Hashes of a proof on the wire.
pub(crate) fn hashes(wire: &[Bytes]) -> Option<Vec<Hash>> {
    wire.iter().map(|hash| Some(Hash::new(hash.as_ref().try_into().ok()?))).collect()
}
