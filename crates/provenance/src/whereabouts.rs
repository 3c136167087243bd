//! Where: where data is said to be, by whom, and where it came from.
//!
//! The ledger holds references, not data, but for what stands inline in a message. Whether the data
//! can still be had there is not known here.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_protocol::{AgentId, Digest, EnvelopeId, Position};

use crate::lineage::Start;
use crate::node::TaskEntry;
use crate::record::NodeIx;
use crate::relation::Relation;
use crate::unanswered::Unanswered;
use crate::view::View;

/// In what part of what message data is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Field {
    /// An intent asks to work on it.
    #[serde(rename = "intent.inputs")]
    IntentInputs,
    /// An executor read it.
    #[serde(rename = "task_progress.inputs")]
    ProgressInputs,
    /// An executor made it.
    #[serde(rename = "task_progress.outputs")]
    ProgressOutputs,
    /// A receipt: it was read.
    #[serde(rename = "task_done.inputs")]
    ReceiptInputs,
    /// A receipt: it was made.
    #[serde(rename = "task_done.outputs")]
    ReceiptOutputs,
    /// A claim rests on it.
    #[serde(rename = "attest.claim.evidence")]
    ClaimEvidence,
}

impl Field {
    /// The name of the field, as in `task_done.outputs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::IntentInputs => "intent.inputs",
            Self::ProgressInputs => "task_progress.inputs",
            Self::ProgressOutputs => "task_progress.outputs",
            Self::ReceiptInputs => "task_done.inputs",
            Self::ReceiptOutputs => "task_done.outputs",
            Self::ClaimEvidence => "attest.claim.evidence",
        }
    }
}

/// Where data is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// By URI and digest; several when one URI stands for several data.
    pub data: Vec<Place>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// Data, and all that says where it is and came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it is, or its name.
    pub uri: String,
    /// What it hashes to.
    pub digest: Digest,
    /// Other URIs of the same data, that is of the same digest; sorted.
    pub also_at: Vec<String>,
    /// The tasks that made it, in the order of the log; none for data from outside.
    pub made_by: Vec<Maker>,
    /// Every place in the log that names it, in order.
    pub mentions: Vec<Mention>,
}

/// A task that made data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The task.
    #[serde(flatten)]
    pub task: TaskEntry,
    /// The event that says it first.
    pub said_at: Position,
}

/// A place in the log that names data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// The event.
    pub position: Position,
    /// Who signed it.
    pub author: AgentId,
    /// The field.
    pub field: Field,
    /// Which item of the field, from 0.
    pub index: u32,
    /// The intent, receipt or attestation; for a report, its task.
    pub object: EnvelopeId,
    /// The data itself stands there too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
}

impl View<'_> {
    /// Where data is said to be.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such data, or the question is about a task.
    pub fn whereabouts(&self, start: &Start<'_>) -> Result<Whereabouts, Unanswered> {
        let nodes = match start {
            Start::Node(node) => BTreeSet::from([self.flow_node(node)?]),
            Start::DataUri(_) | Start::TaskLabel(_) => self.starting_nodes(start)?,
        };
        if let Some(&task) = nodes.iter().find(|&&node| !self.is_data(node)) {
            return Err(Unanswered::NotData(self.node_ref(task)));
        }
        let mut data: Vec<Place> = nodes.into_iter().filter_map(|node| self.place(node)).collect();
        self.within_limit(data.iter().map(|place| place.mentions.len()).sum())?;
        data.sort_by(|one, other| (&one.uri, one.digest).cmp(&(&other.uri, other.digest)));
        Ok(Whereabouts { data, as_of: self.next_position() })
    }

    fn place(&self, data: NodeIx) -> Option<Place> {
        let (uri, digest) = self.store().data_parts(data)?;
        let also_at = self.data_of(digest).filter(|&other| other != data);
        let also_at: BTreeSet<Arc<str>> =
            also_at.filter_map(|other| Some(self.store().data_parts(other)?.0)).collect();
        let made_by = self.links_from(data, Relation::WasGeneratedBy).filter_map(|link| {
            Some(Maker { task: self.task_entry(link.to)?, said_at: link.position })
        });
        let mentions = self.mentions(data).filter_map(|mention| {
            Some(Mention {
                position: mention.position,
                author: self.agent_id(mention.author)?,
                field: mention.field,
                index: mention.index,
                object: self.store().envelope_id(mention.event)?,
                inline: mention.inline,
            })
        });
        Some(Place {
            uri: (*uri).to_owned(),
            digest,
            also_at: also_at.into_iter().map(|uri| (*uri).to_owned()).collect(),
            made_by: made_by.collect(),
            mentions: mentions.collect(),
        })
    }
}
