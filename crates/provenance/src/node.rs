//! What the graph is about: nodes as questions and answers name them.
//!
//! Inside, nodes are numbers; see the store.

use std::fmt;

use serde::{Deserialize, Serialize};
use tally_protocol::message::Outcome;
use tally_protocol::{AgentId, Digest, EnvelopeId, Position};

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRef {
    /// An agent.
    Agent(AgentId),
    /// A version of a capability.
    Capability(EnvelopeId),
    /// A version of an intent.
    Intent(EnvelopeId),
    /// A version of an offer.
    Offer(EnvelopeId),
    /// A task, by its TaskStart.
    Task(EnvelopeId),
    /// A receipt, by its TaskDone.
    Receipt(EnvelopeId),
    /// Data by reference.
    Data {
        /// Where it is, or its name.
        uri: String,
        /// What it hashes to.
        digest: Digest,
    },
    /// A version of a policy, by its PolicyUpdate.
    Policy(EnvelopeId),
    /// A claim, a delegation or a revocation.
    Attestation(EnvelopeId),
    /// Another message that an attestation is about: a search, a report, or one never seen.
    Message(EnvelopeId),
    /// An activity that another system recorded, by its name.
    Imported(String),
}

impl NodeRef {
    /// A short text for people.
    pub(crate) fn caption(&self) -> String {
        match self {
            Self::Agent(agent) => agent.short(),
            Self::Data { uri, digest } => format!("{uri}\n{:.8}", digest.to_string()),
            Self::Capability(id) => short("capability", id),
            Self::Intent(id) => short("intent", id),
            Self::Offer(id) => short("offer", id),
            Self::Task(id) => short("task", id),
            Self::Receipt(id) => short("receipt", id),
            Self::Policy(id) => short("policy", id),
            Self::Attestation(id) => short("attestation", id),
            Self::Message(id) => short("message", id),
            Self::Imported(name) => format!("imported\n{name}"),
        }
    }
}

/// Kind and name, as in `task:3fa2…` or `data:wf:montage/a.fits#9c1e…`.
impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent:{agent}"),
            Self::Capability(id) => write!(f, "capability:{id}"),
            Self::Intent(id) => write!(f, "intent:{id}"),
            Self::Offer(id) => write!(f, "offer:{id}"),
            Self::Task(id) => write!(f, "task:{id}"),
            Self::Receipt(id) => write!(f, "receipt:{id}"),
            Self::Data { uri, digest } => write!(f, "data:{uri}#{digest}"),
            Self::Policy(id) => write!(f, "policy:{id}"),
            Self::Attestation(id) => write!(f, "attestation:{id}"),
            Self::Message(id) => write!(f, "message:{id}"),
            Self::Imported(name) => write!(f, "imported:{name}"),
        }
    }
}

/// Data as an answer lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataEntry {
    /// Where it is, or its name.
    pub uri: String,
    /// What it hashes to.
    pub digest: Digest,
}

/// A task as an answer lists it: one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEntry {
    /// Its id.
    pub id: EnvelopeId,
    /// Value of the label [`TASK_LABEL_KEY`](crate::TASK_LABEL_KEY).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The outcome that the intent asked for; the task's id where nothing is known of it.
    pub name: String,
    /// Who executes it; absent where the offer is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<AgentId>,
    /// How it ended, by its first receipt; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where its TaskStart stands; absent where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

impl TaskEntry {
    /// The label, or else the id.
    pub fn title(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.id.to_string())
    }
}

impl From<DataEntry> for NodeRef {
    fn from(DataEntry { uri, digest }: DataEntry) -> Self {
        Self::Data { uri, digest }
    }
}

fn short(kind: &str, id: &EnvelopeId) -> String {
    format!("{kind} {:.8}", id.to_string())
}
