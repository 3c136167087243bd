//! The graph: what it keeps beside nodes and edges, and the plain questions.
//!
//! How events become edges is the business of the fold; walks and workflows have modules of their
//! own.

use std::collections::{BTreeMap, BTreeSet};

use tally_protocol::message::Outcome;
use tally_protocol::{EnvelopeId, Position, Time, TraceId};

use crate::lineage::TASK_LABEL_KEY;
use crate::node::NodeRef;
use crate::relation::{Edge, Relation};
use crate::store::{NodeIx, Store, TextIx};
use crate::workflow::OfferState;

/// The provenance graph of a log, as of a position.
///
/// The same events folded in the same order give the same answers, byte for byte.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) store: Store,
    pub(crate) intents: BTreeMap<NodeIx, IntentFacts>,
    pub(crate) offers: BTreeMap<NodeIx, OfferFacts>,
    pub(crate) tasks: BTreeMap<NodeIx, TaskFacts>,
    pub(crate) receipts: BTreeMap<NodeIx, ReceiptFacts>,
    /// Tasks by label, in log order.
    pub(crate) labelled: BTreeMap<(TextIx, TextIx), Vec<NodeIx>>,
    /// The intents of a workflow.
    pub(crate) traces: BTreeMap<TraceId, BTreeSet<NodeIx>>,
    pub(crate) next: Position,
}

#[derive(Debug, Clone)]
pub(crate) struct IntentFacts {
    pub(crate) author: NodeIx,
    pub(crate) recorded_at: Time,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) outcome: TextIx,
    pub(crate) labels: Vec<(TextIx, TextIx)>,
    pub(crate) inputs: Vec<NodeIx>,
    pub(crate) cancelled: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct OfferFacts {
    pub(crate) author: NodeIx,
    pub(crate) capability: NodeIx,
    pub(crate) recorded_at: Time,
    pub(crate) state: OfferState,
}

#[derive(Debug, Clone)]
pub(crate) struct TaskFacts {
    pub(crate) intent: NodeIx,
    pub(crate) offer: NodeIx,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) recorded_at: Time,
    pub(crate) accepted_at: Option<Time>,
    pub(crate) running_at: Option<Time>,
}

#[derive(Debug, Clone)]
pub(crate) struct ReceiptFacts {
    pub(crate) outcome: Outcome,
    pub(crate) recorded_at: Time,
    pub(crate) started_at_us: Option<Time>,
    pub(crate) ended_at_us: Option<Time>,
}

impl Graph {
    /// The graph of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The position after the last event that was folded: answers are as of it.
    pub fn next_position(&self) -> Position {
        self.next
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.store.node_count()
    }

    /// How many edges there are.
    pub fn edge_count(&self) -> usize {
        self.store.edge_count()
    }

    /// The edges that the event folded last made or strengthened, each once.
    pub fn touched(&self) -> Vec<Edge> {
        self.store.edges(self.store.touched())
    }

    /// Every edge, by position.
    pub fn edges(&self) -> Vec<Edge> {
        self.store.edges(self.store.edge_indices())
    }

    /// The edges to what a node came from, by position; none for an unknown node.
    pub fn edges_from(&self, node: &NodeRef) -> Vec<Edge> {
        let node = self.store.find_node(node);
        node.map_or_else(Vec::new, |node| {
            self.store.edges(self.store.outgoing(node).map(|(e, _)| e))
        })
    }

    /// The edges from what came of a node, by position; none for an unknown node.
    pub fn edges_to(&self, node: &NodeRef) -> Vec<Edge> {
        let node = self.store.find_node(node);
        node.map_or_else(Vec::new, |node| {
            self.store.edges(self.store.incoming(node).map(|(e, _)| e))
        })
    }

    /// The tasks whose intent carries a label, in log order.
    pub fn tasks_labelled(&self, key: &str, value: &str) -> Vec<EnvelopeId> {
        let tasks = self.nodes_labelled(key, value).iter();
        tasks.filter_map(|&task| self.store.envelope_id(task)).collect()
    }

    pub(crate) fn nodes_labelled(&self, key: &str, value: &str) -> &[NodeIx] {
        let label = self.store.find_text(key).zip(self.store.find_text(value));
        label.and_then(|label| self.labelled.get(&label)).map_or(&[], Vec::as_slice)
    }

    /// The intent that a task serves, if it is known.
    pub(crate) fn intent_of(&self, task: NodeIx) -> Option<&IntentFacts> {
        self.intents.get(&self.tasks.get(&task)?.intent)
    }

    /// The first value of the task label on a task's intent.
    pub(crate) fn task_label(&self, task: NodeIx) -> Option<&str> {
        let key = self.store.find_text(TASK_LABEL_KEY)?;
        let labels = &self.intent_of(task)?.labels;
        labels.iter().find(|label| label.0 == key).map(|label| self.store.text_at(label.1))
    }

    /// What a task is for, in the words of its intent; its id where there are none.
    pub(crate) fn task_name(&self, task: NodeIx) -> String {
        let outcome = self.intent_of(task).map(|intent| self.store.text_at(intent.outcome));
        match outcome {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => self.hex_id(task),
        }
    }

    fn hex_id(&self, task: NodeIx) -> String {
        self.store.envelope_id(task).map(|id| id.to_string()).unwrap_or_default()
    }

    /// What a node points to by a relation, as ids of envelopes.
    pub(crate) fn ids_from(&self, node: NodeIx, relation: Relation) -> Vec<EnvelopeId> {
        let links = self.store.outgoing(node).filter(|(_, link)| link.relation == relation);
        links.filter_map(|(_, link)| self.store.envelope_id(link.to)).collect()
    }

    /// What points to a node by a relation, in log order.
    pub(crate) fn nodes_to(
        &self,
        node: NodeIx,
        relation: Relation,
    ) -> impl Iterator<Item = NodeIx> + '_ {
        let links = self.store.incoming(node).filter(move |(_, link)| link.relation == relation);
        links.map(|(_, link)| link.from)
    }
}
