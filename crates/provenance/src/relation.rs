//! The closed set of relations, and what an edge says beside its relation.
//!
//! An edge points from what came later to what it came from: walking with the edges goes up to
//! origins, walking against them goes down to consequences. That an output was derived from an
//! input is not stored: it follows from one `Used` and one `WasGeneratedBy` of the same task, and
//! would take inputs times outputs edges.

use serde::{Deserialize, Serialize};
use tally_protocol::Position;

use crate::node::NodeRef;

/// What an edge means.
///
/// | relation | from → to | PROV | justified by |
/// |---|---|---|---|
/// | `Used` | task → data | used | TaskProgress, TaskDone; inferred from the intent's inputs at TaskStart; imported by Attest `claim` |
/// | `WasGeneratedBy` | data → task | wasGeneratedBy | TaskProgress, TaskDone; imported by Attest `claim` |
/// | `WasInformedBy` | task → task | wasInformedBy | TaskStart `depends_on` |
/// | `Retries` | task → task | wasInformedBy | TaskStart `replaces` |
/// | `WasAssociatedWith` | task → agent | wasAssociatedWith | TaskStart; the author of the offer |
/// | `WasAttributedTo` | anything signed → agent | wasAttributedTo | the signed message; for a task, its initiator |
/// | `ActedOnBehalfOf` | agent → agent | actedOnBehalfOf | Attest `delegate`; from the delegate |
/// | `WasRevisionOf` | intent, capability, offer, key → its version before | wasRevisionOf | revisions, Offer `replaces`, Attest `rotate_key` |
/// | `Answers` | offer → intent | wasInfluencedBy | Offer |
/// | `HadPlan` | offer → capability | hadPlan | Offer |
/// | `Serves` | task → intent | hadPlan | TaskStart |
/// | `Awards` | task → offer | hadPlan | TaskStart |
/// | `Concludes` | receipt → task | wasGeneratedBy | TaskDone |
/// | `GovernedBy` | what a policy holds for → policy | wasInfluencedBy | policies of a message, PolicyUpdate scope, policy results of a receipt |
/// | `AttestsTo` | attestation → its subject | wasInfluencedBy | Attest `claim`, `delegate`, `rotate_key` |
/// | `RestsOn` | attestation → data | wasDerivedFrom | Attest `claim` evidence |
/// | `Revokes` | attestation → attestation, key | wasInvalidatedBy, reversed | Attest `revoke`, `revoke_key` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Relation {
    /// A task read data.
    Used,
    /// Data was made by a task.
    WasGeneratedBy,
    /// A task builds on the outcome of another.
    WasInformedBy,
    /// A task tries another one again.
    Retries,
    /// A task was executed by an agent.
    WasAssociatedWith,
    /// A message was signed by an agent.
    WasAttributedTo,
    /// An agent may act for another.
    ActedOnBehalfOf,
    /// A version replaces another.
    WasRevisionOf,
    /// An offer is made for an intent.
    Answers,
    /// An offer rests on a capability.
    HadPlan,
    /// A task is there for an intent.
    Serves,
    /// A task was awarded to an offer.
    Awards,
    /// A receipt ends a task.
    Concludes,
    /// A policy holds for something.
    GovernedBy,
    /// An attestation is about something.
    AttestsTo,
    /// An attestation has evidence.
    RestsOn,
    /// An attestation takes another one back.
    Revokes,
}

impl Relation {
    /// The word for it, as JSON and drawings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::WasGeneratedBy => "wasGeneratedBy",
            Self::WasInformedBy => "wasInformedBy",
            Self::Retries => "retries",
            Self::WasAssociatedWith => "wasAssociatedWith",
            Self::WasAttributedTo => "wasAttributedTo",
            Self::ActedOnBehalfOf => "actedOnBehalfOf",
            Self::WasRevisionOf => "wasRevisionOf",
            Self::Answers => "answers",
            Self::HadPlan => "hadPlan",
            Self::Serves => "serves",
            Self::Awards => "awards",
            Self::Concludes => "concludes",
            Self::GovernedBy => "governedBy",
            Self::AttestsTo => "attestsTo",
            Self::RestsOn => "restsOn",
            Self::Revokes => "revokes",
        }
    }

    /// Whether lineage walks it: what flows between tasks and data.
    pub(crate) fn is_flow(self) -> bool {
        matches!(self, Self::Used | Self::WasGeneratedBy | Self::WasInformedBy)
    }
}

/// On what ground an edge stands; the later the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Follows from signed messages by a rule.
    Inferred,
    /// Taken over from a record of another system, by a claim of whoever took it over.
    Imported,
    /// An agent signed it.
    Asserted,
}

/// An edge with the event that justifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// What came later.
    pub from: NodeRef,
    /// What it means.
    pub relation: Relation,
    /// What it came from.
    pub to: NodeRef,
    /// On what ground it stands.
    pub class: Class,
    /// The event that justifies it: the first one of the strongest class.
    pub position: Position,
}
