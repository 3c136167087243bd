//! Evidence: a file that proves to anyone that a ledger or an author said two things at once.
//!
//! One JSON document, judged with nothing but the file and the ledger's public key:
//!
//! | `kind` | members | it proves that |
//! |---|---|---|
//! | `fork` | `older`, `newer`: signed notes; `prefix_root`; `consistency`: hashes | the ledger signed two trees of which one does not continue the other |
//! | `two_events` | `one`, `other`: tlog-proofs that carry their events | the ledger proved two different events at one position |
//! | `equivocation` | `one`, `other`: `payload` and `signature` | an author signed two statements with one sequence |
//!
//! Every document has `format` (`tally-evidence-v1`), `origin`, and `claim` with `kind` and the
//! members above; bytes are standard base64.
//! In a fork, `consistency` is the RFC 6962 proof that the newer tree continues a tree of the older
//! one's size whose root is `prefix_root`: and that is not the root that was signed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tally_protocol::{Equivocation, Event, Origin, SignedEnvelope};
use tally_tlog::{
    ConsistencyProof, Hash, LogProof, SignedCheckpoint, TreeSize, VerifiedCheckpoint, VerifierKey,
    verify_consistency,
};

use crate::report::Verdict;

/// What the first member of every document says.
pub const EVIDENCE_FORMAT: &str = "tally-evidence-v1";

/// Most bytes of a document: two log receipts with the largest events, and room.
pub const MAX_EVIDENCE_BYTES: usize = 2 * 1024 * 1024;

/// What is claimed, unjudged until [`Evidence::judge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    /// The ledger.
    pub origin: String,
    /// The two statements.
    pub claim: Claim,
}

/// Two statements that cannot both be honest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Claim {
    /// Two trees of which one does not continue the other.
    Fork {
        /// Signed note of the smaller tree, or of one of two of a size.
        older: String,
        /// Signed note of the other.
        newer: String,
        /// Root of what the newer tree has in place of the older one.
        prefix_root: String,
        /// That the newer tree continues that.
        consistency: Vec<String>,
    },
    /// Two events at one position.
    TwoEvents {
        /// A tlog-proof that carries its event.
        one: String,
        /// Another.
        other: String,
    },
    /// Two envelopes of one author with one sequence.
    Equivocation(Equivocation),
}

impl Claim {
    /// Its name in the document.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "fork",
            Self::TwoEvents { .. } => "two_events",
            Self::Equivocation(_) => "equivocation",
        }
    }
}

/// Why bytes are no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Over the limit.
    #[error("evidence of {length} bytes is over the limit of {MAX_EVIDENCE_BYTES}")]
    TooLarge {
        /// The document's bytes.
        length: usize,
    },
    /// Not such a document.
    #[error("this is no evidence: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of another version.
    #[error("evidence of the format {found:?} is not known here; {EVIDENCE_FORMAT} is")]
    Format {
        /// What it says.
        found: String,
    },
}

/// What evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// Valid: it proves what it claims.
    pub verdict: Verdict,
    /// Whom it is against: an origin or a did:key.
    pub against: Option<String>,
    /// One sentence.
    pub found: String,
}

impl Evidence {
    /// Evidence of two trees. `prefix_root` is what the newer one has in the older one's place.
    pub fn fork(
        older: &SignedCheckpoint,
        newer: &SignedCheckpoint,
        prefix_root: Hash,
        proof: Option<&ConsistencyProof>,
    ) -> Self {
        let hashes = proof.map(ConsistencyProof::hashes).unwrap_or_default();
        Self::of(
            &older.unverified().origin,
            Claim::Fork {
                older: older.note().to_string(),
                newer: newer.note().to_string(),
                prefix_root: prefix_root.to_base64(),
                consistency: hashes.iter().map(Hash::to_base64).collect(),
            },
        )
    }

    /// Evidence of two events at one position, by two receipts that carry them.
    pub fn two_events(one: &LogProof, other: &LogProof) -> Self {
        let origin = &one.checkpoint().unverified().origin;
        Self::of(origin, Claim::TwoEvents { one: one.to_string(), other: other.to_string() })
    }

    /// Evidence against an author.
    pub fn equivocation(origin: &Origin, one: &SignedEnvelope, other: &SignedEnvelope) -> Self {
        Self::of(origin, Claim::Equivocation(Equivocation::new(one, other)))
    }

    fn of(origin: &Origin, claim: Claim) -> Self {
        Self { format: EVIDENCE_FORMAT.to_owned(), origin: origin.to_string(), claim }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(EvidenceError::TooLarge { length: bytes.len() });
        }
        let evidence: Self = serde_json::from_slice(bytes)?;
        if evidence.format != EVIDENCE_FORMAT {
            return Err(EvidenceError::Format { found: evidence.format });
        }
        Ok(evidence)
    }

    /// The document, on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    /// Judges it. `keys` are those that may sign the ledger's checkpoints; evidence against an
    /// author needs none.
    pub fn judge(&self, keys: &[VerifierKey]) -> EvidenceReport {
        let about_ledger = !matches!(self.claim, Claim::Equivocation(_));
        if about_ledger && keys.is_empty() {
            let found = "no log key is known: pass --log-key with the one you trust".into();
            return EvidenceReport { verdict: Verdict::Incomplete, against: None, found };
        }
        let judged = match &self.claim {
            Claim::Fork { older, newer, prefix_root, consistency } => {
                self.judge_fork(keys, (older, newer), prefix_root, consistency)
            }
            Claim::TwoEvents { one, other } => self.judge_events(keys, one, other),
            Claim::Equivocation(claim) => self.judge_envelopes(claim),
        };
        match judged {
            Ok((against, found)) => {
                EvidenceReport { verdict: Verdict::Valid, against: Some(against), found }
            }
            Err(found) => EvidenceReport { verdict: Verdict::Invalid, against: None, found },
        }
    }

    fn origin(&self) -> Result<Origin, String> {
        Origin::new(self.origin.as_str()).map_err(|error| format!("origin: {error}"))
    }

    fn judge_fork(
        &self,
        keys: &[VerifierKey],
        (older, newer): (&str, &str),
        prefix_root: &str,
        consistency: &[String],
    ) -> Judged {
        let origin = self.origin()?;
        let open =
            |name: &str, note: &str| open(note, keys, &origin).map_err(|e| format!("{name}: {e}"));
        let (older, newer) = (open("older", older)?, open("newer", newer)?);
        let prefix = Hash::from_base64(prefix_root).map_err(|e| format!("prefix_root: {e}"))?;
        let hashes = consistency.iter().map(|hash| Hash::from_base64(hash));
        let hashes = hashes.collect::<Result<_, _>>().map_err(|e| format!("consistency: {e}"))?;
        let proof = ConsistencyProof::new(hashes).map_err(|e| format!("consistency: {e}"))?;
        if older.size() == TreeSize::ZERO {
            return Err("every tree continues the empty one".into());
        }
        verify_consistency(older.size(), newer.size(), prefix, newer.root(), &proof)
            .map_err(|error| format!("consistency: {error}"))?;
        if prefix == older.root() {
            return Err("the newer tree continues the older one: the two checkpoints agree".into());
        }
        let (old, new) = (older.size(), newer.size());
        let found = match old == new {
            true => format!("{origin} signed two different trees of size {old}"),
            false => format!(
                "{origin} signed a tree of size {old}, and one of size {new} that does not continue it"
            ),
        };
        Ok((origin.to_string(), found))
    }

    fn judge_events(&self, keys: &[VerifierKey], one: &str, other: &str) -> Judged {
        let origin = self.origin()?;
        let prove = |name: &str, text: &str| {
            proved_event(text, keys, &origin).map_err(|found| format!("{name}: {found}"))
        };
        let (one, other) = (prove("one", one)?, prove("other", other)?);
        let (position, second) = (one.position(), other.position());
        if position != second {
            return Err(format!("the events are at two positions, {position} and {second}"));
        }
        if one.bytes() == other.bytes() {
            return Err("both proofs are of the same event".into());
        }
        let found = format!("{origin} proved two different events at position {position}");
        Ok((origin.to_string(), found))
    }

    fn judge_envelopes(&self, claim: &Equivocation) -> Judged {
        let (one, _) = claim.prove(&self.origin()?).map_err(|error| error.to_string())?;
        let (author, sequence) = (one.envelope().author, one.envelope().author_sequence);
        let found = format!("{author} signed two different envelopes with sequence {sequence}");
        Ok((author.to_string(), found))
    }
}

/// Against whom, and what is proved; or why it is not.
type Judged = Result<(String, String), String>;

fn open(note: &str, keys: &[VerifierKey], origin: &Origin) -> Result<VerifiedCheckpoint, String> {
    let signed = SignedCheckpoint::parse(note.as_bytes());
    signed.and_then(|signed| signed.open(keys, origin)).map_err(|error| error.to_string())
}

/// The event that a receipt carries, once the receipt is verified.
fn proved_event(text: &str, keys: &[VerifierKey], origin: &Origin) -> Result<Event, String> {
    let proof = LogProof::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let extra = proof.unauthenticated_extra().ok_or("carries no event")?;
    let event = Event::decode(Bytes::copy_from_slice(extra)).map_err(|error| error.to_string())?;
    if event.position().leaf() != proof.index() {
        return Err(format!("the event says it is at {}", event.position()));
    }
    proof.verify(event.leaf(), keys, origin).map_err(|error| error.to_string())?;
    Ok(event)
}
