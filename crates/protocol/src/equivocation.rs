//! Two envelopes of one author with one sequence: proof that the author said two things at once.
//!
//! Written as JSON: `{"one": {"payload": …, "signature": …}, "other": {…}}`, bytes in standard
//! base64. It needs no key and no ledger to be judged: the author's key is in the payload.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tally_tlog::Origin;

use crate::envelope::{SignedEnvelope, VerifiedEnvelope};
use crate::field::Malformed;
use crate::signature::{self, BadSignature};

/// Two statements, unjudged until [`Equivocation::prove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivocation {
    one: SignedText,
    other: SignedText,
}

/// A signed envelope as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    payload: String,
    signature: String,
}

/// Why two statements prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEquivocation {
    /// Not standard base64, or not 64 bytes of signature.
    #[error("{0} is not standard base64 of a payload and 64 bytes of signature")]
    Text(&'static str),
    /// A payload that is no envelope.
    #[error("{which}: {cause}")]
    Malformed {
        /// `one` or `other`.
        which: &'static str,
        /// Why.
        cause: Malformed,
    },
    /// A signature that is not the author's.
    #[error("{which}: {cause}")]
    Signature {
        /// `one` or `other`.
        which: &'static str,
        /// Why.
        cause: BadSignature,
    },
    /// Meant for another ledger.
    #[error("{0} is meant for another ledger")]
    Elsewhere(&'static str),
    /// Of two authors, or of two sequences.
    #[error("the envelopes are not of one author and one sequence")]
    Apart,
    /// The same statement twice.
    #[error("both envelopes say the same")]
    Same,
}

impl Equivocation {
    /// Puts two envelopes side by side. Judges nothing.
    pub fn new(one: &SignedEnvelope, other: &SignedEnvelope) -> Self {
        Self { one: SignedText::of(one), other: SignedText::of(other) }
    }

    /// Judges them: both are signed by one author, for this ledger, with one sequence, and say
    /// different things.
    ///
    /// # Errors
    /// [`NoEquivocation`].
    pub fn prove(
        &self,
        origin: &Origin,
    ) -> Result<(VerifiedEnvelope, VerifiedEnvelope), NoEquivocation> {
        let (one, other) = (self.one.open("one", origin)?, self.other.open("other", origin)?);
        let (said, second) = (one.envelope(), other.envelope());
        if said.author != second.author || said.author_sequence != second.author_sequence {
            return Err(NoEquivocation::Apart);
        }
        if one.id() == other.id() {
            return Err(NoEquivocation::Same);
        }
        Ok((one, other))
    }
}

impl SignedText {
    fn of(signed: &SignedEnvelope) -> Self {
        let payload = STANDARD.encode(&signed.payload);
        Self { payload, signature: STANDARD.encode(signed.signature) }
    }

    fn open(
        &self,
        which: &'static str,
        origin: &Origin,
    ) -> Result<VerifiedEnvelope, NoEquivocation> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| NoEquivocation::Text(which));
        let signature = decode(&self.signature)?;
        let signature = signature.as_slice().try_into().map_err(|_| NoEquivocation::Text(which))?;
        let signed = SignedEnvelope { payload: decode(&self.payload)?.into(), signature };
        let parsed = signed.parse().map_err(|cause| NoEquivocation::Malformed { which, cause })?;
        let verified = signature::verify(parsed)
            .map_err(|cause| NoEquivocation::Signature { which, cause })?;
        match verified.envelope().origin == *origin {
            true => Ok(verified),
            false => Err(NoEquivocation::Elsewhere(which)),
        }
    }
}
