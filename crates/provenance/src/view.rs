//! The graph as of a size: what every question is asked of.
//!
//! A view holds nothing of its own. Whatever it reads is compared with its size, so that it answers
//! what a graph would answer that was folded only so far; since lists grow in the order of the log,
//! what came later costs it nothing.

use std::sync::Arc;

use tally_protocol::{AgentId, Digest, EnvelopeId, Position, Time, TraceId, TreeSize};

use crate::graph::Graph;
use crate::lineage::TASK_LABEL_KEY;
use crate::memory::Name;
use crate::node::{DataEntry, NodeRef, TaskEntry};
use crate::record::{
    AttestationFacts, CapabilityFacts, IntentFacts, Member, Mention, Node, NodeIx, OfferFacts,
    Part, PolicyFacts, ReceiptFacts, Signed, TaskFacts,
};
use crate::relation::{Edge, Relation};
use crate::store::{Link, Store};
use crate::unanswered::Unanswered;
use crate::workflow::OfferState;

/// The graph as it was when the log had some size; see [`Graph::at`].
#[derive(Debug, Clone, Copy)]
pub struct View<'g> {
    pub(crate) graph: &'g Graph,
    /// The first position that is not seen.
    pub(crate) until: Position,
    /// Most nodes and edges of an answer.
    limit: usize,
}

impl<'g> View<'g> {
    pub(crate) fn new(graph: &'g Graph, until: Position) -> Self {
        Self { graph, until, limit: usize::MAX }
    }

    /// The same view, which gives no answer of more than about so many nodes and edges: a question
    /// that walks further ends with [`Unanswered::TooLarge`].
    pub fn limited_to(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The position after the last event that it sees: answers are as of it.
    pub fn next_position(&self) -> Position {
        self.until
    }

    /// The size that the log had.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.until.0)
    }

    /// When the last event that it sees was recorded.
    pub fn recorded_at(&self) -> Option<Time> {
        self.store().moment(self.until).map(|moment| moment.recorded_at)
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.store().node_count(self.until)
    }

    /// How many edges there are.
    pub fn edge_count(&self) -> usize {
        self.store().edge_count(self.until)
    }

    /// The edges to what a node came from, by position; none for an unknown node.
    pub fn edges_from(&self, node: &NodeRef) -> Vec<Edge> {
        let node = self.find_node(node);
        node.map_or_else(Vec::new, |node| self.edges(self.outgoing(node)))
    }

    /// The edges from what came of a node, by position; none for an unknown node.
    pub fn edges_to(&self, node: &NodeRef) -> Vec<Edge> {
        let node = self.find_node(node);
        node.map_or_else(Vec::new, |node| self.edges(self.incoming(node)))
    }

    /// The tasks whose intent carries a label, in log order.
    pub fn tasks_labelled(&self, key: &str, value: &str) -> Vec<EnvelopeId> {
        let tasks = self.nodes_labelled(key, value);
        tasks.filter_map(|task| self.store().envelope_id(task)).collect()
    }
}

// ------------------------------------------------------------------ what is seen of the graph

impl<'g> View<'g> {
    pub(crate) fn store(&self) -> &'g Store {
        &self.graph.store
    }

    /// Whether the answer grows too large.
    pub(crate) fn within_limit(&self, parts: usize) -> Result<(), Unanswered> {
        match parts <= self.limit {
            true => Ok(()),
            false => Err(Unanswered::TooLarge { limit: self.limit }),
        }
    }

    fn sees(&self, position: Position) -> bool {
        position < self.until
    }

    pub(crate) fn find_node(&self, node: &NodeRef) -> Option<NodeIx> {
        self.store().find_node(node, self.until)
    }

    pub(crate) fn node_ref(&self, node: NodeIx) -> NodeRef {
        self.store().node_ref(node, self.until)
    }

    pub(crate) fn is_task(&self, node: NodeIx) -> bool {
        self.store().is_task(node, self.until)
    }

    pub(crate) fn is_data(&self, node: NodeIx) -> bool {
        self.store().is_data(node)
    }

    pub(crate) fn outgoing(&self, node: NodeIx) -> impl Iterator<Item = Link> + use<'g> {
        self.store().outgoing(node, self.until)
    }

    pub(crate) fn incoming(&self, node: NodeIx) -> impl Iterator<Item = Link> + use<'g> {
        self.store().incoming(node, self.until)
    }

    pub(crate) fn edges(&self, links: impl IntoIterator<Item = Link>) -> Vec<Edge> {
        self.store().edges(links, self.until)
    }

    /// What a node points to by a relation, with the event that says so, in log order.
    pub(crate) fn links_from(
        &self,
        node: NodeIx,
        relation: Relation,
    ) -> impl Iterator<Item = Link> + use<'g> {
        self.outgoing(node).filter(move |link| link.relation == relation)
    }

    /// What points to a node by a relation, with the event that says so, in log order.
    pub(crate) fn links_to(
        &self,
        node: NodeIx,
        relation: Relation,
    ) -> impl Iterator<Item = Link> + use<'g> {
        self.incoming(node).filter(move |link| link.relation == relation)
    }

    /// What a node points to by a relation, as ids of envelopes.
    pub(crate) fn ids_from(&self, node: NodeIx, relation: Relation) -> Vec<EnvelopeId> {
        let links = self.links_from(node, relation);
        links.filter_map(|link| self.store().envelope_id(link.to)).collect()
    }

    /// What points to a node by a relation, in log order.
    pub(crate) fn nodes_to(
        &self,
        node: NodeIx,
        relation: Relation,
    ) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.links_to(node, relation).map(|link| link.from)
    }

    /// What one kind of message says of a node.
    fn facts<T: Clone>(
        &self,
        node: NodeIx,
        facts: impl Fn(&Node) -> Option<&T>,
        signed: impl Fn(&T) -> Signed,
    ) -> Option<T> {
        let node = self.store().node(node);
        facts(&node).filter(|facts| self.sees(signed(facts).position)).cloned()
    }

    pub(crate) fn capability(&self, node: NodeIx) -> Option<CapabilityFacts> {
        self.facts(node, Node::capability, |facts| facts.signed)
    }

    pub(crate) fn intent(&self, node: NodeIx) -> Option<IntentFacts> {
        self.facts(node, Node::intent, |facts| facts.signed)
    }

    pub(crate) fn offer(&self, node: NodeIx) -> Option<OfferFacts> {
        self.facts(node, Node::offer, |facts| facts.signed)
    }

    pub(crate) fn task(&self, node: NodeIx) -> Option<TaskFacts> {
        self.facts(node, Node::task, |facts| facts.signed)
    }

    pub(crate) fn receipt(&self, node: NodeIx) -> Option<ReceiptFacts> {
        self.facts(node, Node::receipt, |facts| facts.signed)
    }

    pub(crate) fn policy(&self, node: NodeIx) -> Option<PolicyFacts> {
        self.facts(node, Node::policy, |facts| facts.signed)
    }

    pub(crate) fn attestation(&self, node: NodeIx) -> Option<AttestationFacts> {
        self.facts(node, Node::attestation, |facts| facts.signed)
    }

    /// Who signed an envelope, and where it stands.
    pub(crate) fn signed(&self, node: NodeIx) -> Option<Signed> {
        let node = self.store().node(node);
        let sees = |signed: &Signed| self.sees(signed.position);
        let task = node.task().map(|facts| facts.signed).filter(sees);
        task.or_else(|| node.receipt().map(|facts| facts.signed).filter(sees))
            .or_else(|| node.offer().map(|facts| facts.signed).filter(sees))
            .or_else(|| node.intent().map(|facts| facts.signed).filter(sees))
            .or_else(|| node.capability().map(|facts| facts.signed).filter(sees))
            .or_else(|| node.policy().map(|facts| facts.signed).filter(sees))
            .or_else(|| node.attestation().map(|facts| facts.signed).filter(sees))
    }

    pub(crate) fn is_cancelled(&self, intent: &IntentFacts) -> bool {
        intent.cancelled.is_some_and(|position| self.sees(position))
    }

    pub(crate) fn offer_state(&self, offer: NodeIx) -> OfferState {
        self.store().node(offer).state(self.until)
    }

    /// A time that was reached at a position, if that is seen.
    pub(crate) fn reached(&self, moment: Option<(Position, Time)>) -> Option<Time> {
        moment.filter(|(position, _)| self.sees(*position)).map(|(_, time)| time)
    }

    fn members(&self, node: NodeIx, part: Part) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.store().seen(node, part, self.until).map(|member: Member| member.node)
    }

    /// The receipts of a task, in log order; the first one counts.
    pub(crate) fn receipts_of(&self, task: NodeIx) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.members(task, Part::Receipts)
    }

    /// The policies of a scope, in log order.
    pub(crate) fn policies_of(&self, scope: NodeIx) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.members(scope, Part::Policies)
    }

    /// How a task ended, by its first receipt.
    pub(crate) fn ending(&self, task: NodeIx) -> Option<ReceiptFacts> {
        self.receipts_of(task).next().and_then(|receipt| self.receipt(receipt))
    }

    pub(crate) fn mentions(&self, data: NodeIx) -> impl Iterator<Item = Mention> + use<'g> {
        self.store().mentions(data, self.until)
    }

    pub(crate) fn nodes_labelled(
        &self,
        key: &str,
        value: &str,
    ) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.store().group(&Name::label(key, value), self.until)
    }

    /// The intents of a trace or of the whole log, in the order in which they were first named.
    pub(crate) fn intents(&self, trace: Option<TraceId>) -> Vec<NodeIx> {
        let group = trace.map_or_else(Name::intents, Name::trace);
        let mut intents: Vec<NodeIx> = self.store().group(&group, self.until).collect();
        intents.sort_unstable();
        intents
    }

    /// Data of a URI, whatever the digest, by first mention.
    pub(crate) fn data_at(&self, uri: &str) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.store().group(&Name::uri(uri), self.until)
    }

    /// Data of a digest, wherever it is, by first mention.
    pub(crate) fn data_of(&self, digest: Digest) -> impl Iterator<Item = NodeIx> + use<'g> {
        self.store().group(&Name::digest(digest), self.until)
    }
}

// ------------------------------------------------------------------ parts of answers

impl View<'_> {
    /// The intent that a task serves, if it is known.
    pub(crate) fn intent_of(&self, task: NodeIx) -> Option<IntentFacts> {
        self.intent(self.task(task)?.intent)
    }

    /// The first value of the task label on a task's intent.
    pub(crate) fn task_label(&self, task: NodeIx) -> Option<Arc<str>> {
        let labels = self.intent_of(task)?.labels;
        let label = labels.iter().find(|(key, _)| **key == *TASK_LABEL_KEY);
        label.map(|(_, value)| Arc::clone(value))
    }

    /// What a task is for, in the words of its intent; its id where there are none.
    pub(crate) fn task_name(&self, task: NodeIx) -> String {
        match self.intent_of(task).map(|intent| intent.outcome) {
            Some(text) if !text.is_empty() => (*text).to_owned(),
            _ => self.store().envelope_id(task).map(|id| id.to_string()).unwrap_or_default(),
        }
    }

    /// Who executes a task: the author of the offer that was awarded.
    pub(crate) fn executor(&self, task: NodeIx) -> Option<NodeIx> {
        Some(self.offer(self.task(task)?.offer)?.signed.author)
    }

    pub(crate) fn task_entry(&self, task: NodeIx) -> Option<TaskEntry> {
        Some(TaskEntry {
            id: self.store().envelope_id(task)?,
            label: self.task_label(task).map(|label| (*label).to_owned()),
            name: self.task_name(task),
            executor: self.executor(task).and_then(|agent| self.agent_id(agent)),
            outcome: self.ending(task).map(|receipt| receipt.outcome),
            position: self.task(task).map(|facts| facts.signed.position),
        })
    }

    /// The tasks among some nodes, in log order; those of which no start is known come first.
    pub(crate) fn task_entries(&self, nodes: impl IntoIterator<Item = NodeIx>) -> Vec<TaskEntry> {
        let tasks = nodes.into_iter().filter(|&node| self.is_task(node));
        let mut tasks: Vec<TaskEntry> = tasks.filter_map(|task| self.task_entry(task)).collect();
        tasks.sort_by_key(|task| (task.position, task.id));
        tasks
    }

    /// The data among some nodes, by URI and digest.
    pub(crate) fn data_entries(&self, nodes: impl IntoIterator<Item = NodeIx>) -> Vec<DataEntry> {
        let mut data: Vec<_> = nodes.into_iter().filter_map(|node| self.data_entry(node)).collect();
        data.sort_unstable();
        data.dedup();
        data
    }

    pub(crate) fn data_entry(&self, node: NodeIx) -> Option<DataEntry> {
        let (uri, digest) = self.store().data_parts(node)?;
        Some(DataEntry { uri: (*uri).to_owned(), digest })
    }

    pub(crate) fn agent_id(&self, node: NodeIx) -> Option<AgentId> {
        self.store().agent_id(node)
    }
}
