//! Why a question has no answer.

use std::fmt;

use tally_protocol::{AgentId, EnvelopeId, TraceId, TreeSize};

use crate::lineage::TASK_LABEL_KEY;
use crate::node::NodeRef;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// No message names data of this URI.
    DataUri(String),
    /// No task has this label.
    TaskLabel(String),
    /// No message names this node.
    Node(NodeRef),
    /// No message names this agent.
    Agent(AgentId),
    /// No event carries this trace id.
    Trace(TraceId),
    /// No intent or task has this id.
    Run(EnvelopeId),
    /// The node is neither a task nor data.
    NoLineage(NodeRef),
    /// The question is about data, and the node is none.
    NotData(NodeRef),
    /// Several data have this URI; the question is about one.
    Ambiguous {
        /// Where they are.
        uri: String,
        /// The data.
        found: Vec<NodeRef>,
    },
    /// The answer would have more parts than were asked for at most.
    TooLarge {
        /// Most nodes and edges.
        limit: usize,
    },
    /// The question is about a size that the log does not have.
    Beyond {
        /// The size.
        size: TreeSize,
        /// The size that it has.
        head: TreeSize,
    },
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataUri(uri) => write!(f, "no message names data at {uri:?}"),
            Self::TaskLabel(label) => write!(f, "no task has the label {TASK_LABEL_KEY}={label:?}"),
            Self::Node(node) => write!(f, "no message names {node}"),
            Self::Agent(agent) => write!(f, "no message names the agent {agent}"),
            Self::Trace(trace) => write!(f, "no event carries the trace id {trace}"),
            Self::Run(id) => write!(f, "no intent or task has the id {id}"),
            Self::NoLineage(node) => {
                write!(f, "{node} has no lineage of its own; ask about a task or about data")
            }
            Self::NotData(node) => write!(f, "{node} is no data; ask about data"),
            Self::Ambiguous { uri, found } => {
                write!(
                    f,
                    "{} different data are at {uri:?}; name one by its digest:",
                    found.len()
                )?;
                found.iter().try_for_each(|node| write!(f, " {node}"))
            }
            Self::TooLarge { limit } => write!(
                f,
                "the answer has more than {limit} parts; ask for less depth, or read the log and \
                 fold it"
            ),
            Self::Beyond { size, head } => write!(f, "the log has {head} events, not {size}"),
        }
    }
}

impl std::error::Error for Unanswered {}
