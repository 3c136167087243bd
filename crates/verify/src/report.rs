//! The verdict and what it covers.

use serde::{Serialize, Serializer};
use tally_protocol::{Digest, Position, TreeSize};
use tally_tlog::Hash;

/// What an examination came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything holds.
    Valid,
    /// Something does not hold.
    Invalid,
    /// What is there holds, but something that is needed for a verdict is missing.
    Incomplete,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The first thing that does not hold, in log order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstBad {
    /// Where: the position of the event, or the one that would come next.
    pub position: Position,
    /// Which check: a rule of admission as in `R12.intent-open`, or one of `frame`, `event`,
    /// `position`, `time`, `chain`, `envelope`, `signature`, `state`, `tree`, `checkpoint`, `mark`,
    /// `tile`.
    pub rule: String,
    /// What was found, for people.
    pub found: String,
}

impl FirstBad {
    /// A failed check.
    pub fn new(position: Position, rule: impl Into<String>, found: impl ToString) -> Self {
        Self { position, rule: rule.into(), found: found.to_string() }
    }
}

/// What was examined, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// Events that hold, from the first on.
    #[serde(serialize_with = "size")]
    pub size: TreeSize,
    /// Root of the tree over those events.
    #[serde(serialize_with = "root")]
    pub root: Hash,
    /// What does not hold.
    pub first_bad: Option<FirstBad>,
    /// Events that the last good signed checkpoint covers.
    #[serde(serialize_with = "size")]
    pub signed_size: TreeSize,
    /// Decisions that were made again on the way: policies, evaluations, auctions.
    pub decisions: Decisions,
    /// What the ledger's key says that its log has come to, held to what it does come to.
    pub state_digests: StateDigests,
    /// What is missing for a verdict, or worth knowing.
    pub notes: Vec<String>,
}

/// How many statements of the ledger's key about its state there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StateDigests {
    /// Those that say what the examiner came to as well.
    pub agreed: u64,
    /// Those about a state that the examiner had not been told to keep.
    pub unchecked: u64,
}

/// Every decision that admissions rested on, in one number: whoever judges the same log anywhere
/// comes to the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decisions {
    /// How many there are.
    pub count: u64,
    /// BLAKE3-256 over all of them, in log order: of each the position in eight big-endian bytes,
    /// the length of its JSON in eight more, and the JSON.
    pub digest: Digest,
}

impl Decisions {
    /// Nothing was decided.
    pub(crate) fn none() -> Self {
        Self { count: 0, digest: Digest::of(&[]) }
    }
}

fn size<S: Serializer>(size: &TreeSize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(size.as_u64())
}

fn root<S: Serializer>(root: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&root.to_base64())
}
