//! The verdict on a bundle, and what it covers.

use serde::{Serialize, Serializer};
use tally_protocol::{EnvelopeId, Origin, Position, TreeSize};
use tally_provenance::{CriticalPath, LineageSummary, Subject, Workflow};
use tally_tlog::{Hash, VerifiedCheckpoint};

use crate::report::{Decisions, Verdict};

/// The first thing in a bundle that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleFault {
    /// The event, by its position in the log; `None` where the file as a whole is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Which check: a rule of admission as in `R12.intent-open`, or one of `format`, `origin`,
    /// `checkpoint`, `tree`, `position`, `time`, `chain`, `envelope`, `signature`.
    pub rule: String,
    /// What was found, for people.
    pub found: String,
}

/// Something without which there is no verdict, or only one about less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The event that names it, by its position in the log; `None` where the file as a whole lacks
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The envelope that is not there, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<EnvelopeId>,
    /// What it is, for people.
    pub found: String,
    /// Whether the file says itself that it is left out.
    pub declared: bool,
}

/// What a bundle is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in one line, for people.
    pub summary: String,
    /// The ledger that it says it is from.
    #[serde(serialize_with = "origin", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What it says how it came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The tree head that it is under, once a trusted key was found to have signed it.
    #[serde(serialize_with = "checkpoint", skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// Events in the file.
    pub events: usize,
    /// Events that hold, from the first on.
    pub held: usize,
    /// What does not hold.
    pub first_bad: Option<BundleFault>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Decisions that were made again on the way: policies, evaluations, auctions.
    pub decisions: Decisions,
    /// What the verdict is about, for people.
    pub covers: Vec<String>,
    /// What it is not about, for people.
    pub does_not_cover: Vec<String>,
    /// The workflow, as the events that hold tell it.
    pub workflow: Workflow,
    /// The chain of tasks in it that took the longest.
    pub critical_path: CriticalPath,
    /// What the subject came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lineage: Option<LineageSummary>,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn origin<S: Serializer>(origin: &Option<Origin>, serializer: S) -> Result<S::Ok, S::Error> {
    origin.as_ref().map(Origin::as_str).serialize(serializer)
}

#[derive(Serialize)]
struct Head {
    size: u64,
    root: String,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn checkpoint<S: Serializer>(
    checkpoint: &Option<VerifiedCheckpoint>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let head = |open: &VerifiedCheckpoint| {
        let (size, root): (TreeSize, Hash) = (open.size(), open.root());
        Head { size: size.as_u64(), root: root.to_base64() }
    };
    checkpoint.as_ref().map(head).serialize(serializer)
}
