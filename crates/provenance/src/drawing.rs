//! What a picture of an answer shows, whatever language draws it: nodes with captions, and edges
//! between them. Attempts of one task are one node; edges that fall together are one, with the
//! strongest class. Where things lie is for the languages to say.

use std::collections::BTreeMap;

use tally_protocol::EnvelopeId;

use crate::lineage::{Lineage, LineageTask};
use crate::node::NodeRef;
use crate::relation::{Class, Edge, Relation};
use crate::workflow::Workflow;

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    Agent,
    Task,
    Imported,
    Data,
    Intent,
    Offer,
    Receipt,
    Capability,
    Policy,
    Attestation,
    Message,
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) symbol: Symbol,
    /// One or more lines, by strangers.
    pub(crate) caption: String,
    /// Asked about, or awarded.
    pub(crate) is_marked: bool,
}

/// Nodes and edges between their numbers.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    pub(crate) nodes: Vec<Drawn>,
    pub(crate) edges: BTreeMap<(usize, usize, Relation), Class>,
    numbers: BTreeMap<NodeRef, usize>,
    /// Attempts that are drawn as another one.
    drawn_as: BTreeMap<EnvelopeId, EnvelopeId>,
}

impl Lineage {
    /// The answer and what was asked about, which is marked.
    pub(crate) fn drawing(&self) -> Drawing {
        let mut drawing = Drawing::default();
        let start = self.start.tasks.iter().map(|task| (task, true));
        for (task, is_marked) in start.chain(self.tasks.iter().map(|task| (task, false))) {
            drawing.task(task, is_marked);
        }
        for data in &self.start.data {
            drawing.node(NodeRef::from(data.clone()), true);
        }
        for data in &self.data {
            drawing.node(NodeRef::from(data.clone()), false);
        }
        drawing.connect(&self.edges);
        drawing
    }
}

impl Workflow {
    /// The coordination graph; awarded offers are marked.
    pub(crate) fn drawing(&self) -> Drawing {
        let mut drawing = Drawing::default();
        for intent in &self.intents {
            let caption = format!("intent\n{}", intent.outcome);
            drawing.captioned(NodeRef::Intent(intent.id), &caption, false);
        }
        for offer in self.intents.iter().flat_map(|intent| &intent.offers) {
            drawing.node(NodeRef::Offer(offer.id), offer.state == crate::OfferState::Awarded);
        }
        for task in self.tasks() {
            let outcome = task.outcome.map_or_else(|| "not ended".to_owned(), |o| o.name());
            let caption = format!("{}\nattempt {}, {outcome}", task.title(), task.attempt);
            drawing.captioned(NodeRef::Task(task.id), &caption, false);
        }
        drawing.connect(&self.edges);
        drawing
    }
}

impl Drawing {
    fn task(&mut self, task: &LineageTask, is_marked: bool) {
        let Some(&first) = task.ids.first() else { return };
        self.drawn_as.extend(task.ids.iter().map(|&id| (id, first)));
        let caption = match &task.label {
            Some(label) if *label != task.name => format!("{label}\n{}", task.name),
            _ => task.name.clone(),
        };
        self.captioned(NodeRef::Task(first), &caption, is_marked);
    }

    fn node(&mut self, node: NodeRef, is_marked: bool) -> usize {
        let caption = node.caption();
        self.captioned(node, &caption, is_marked)
    }

    fn captioned(&mut self, node: NodeRef, caption: &str, is_marked: bool) -> usize {
        let next = self.nodes.len();
        let symbol = symbol(&node);
        let number = *self.numbers.entry(node).or_insert(next);
        if number == next {
            self.nodes.push(Drawn { symbol, caption: caption.to_owned(), is_marked });
        }
        number
    }

    fn connect(&mut self, edges: &[Edge]) {
        for edge in edges {
            let (from, to) = (self.end(&edge.from), self.end(&edge.to));
            let class = self.edges.entry((from, to, edge.relation)).or_insert(edge.class);
            *class = edge.class.max(*class);
        }
    }

    fn end(&mut self, node: &NodeRef) -> usize {
        let drawn = match node {
            NodeRef::Task(id) => NodeRef::Task(*self.drawn_as.get(id).unwrap_or(id)),
            other => other.clone(),
        };
        self.node(drawn, false)
    }
}

fn symbol(node: &NodeRef) -> Symbol {
    match node {
        NodeRef::Agent(_) => Symbol::Agent,
        NodeRef::Task(_) => Symbol::Task,
        NodeRef::Imported(_) => Symbol::Imported,
        NodeRef::Data { .. } => Symbol::Data,
        NodeRef::Intent(_) => Symbol::Intent,
        NodeRef::Offer(_) => Symbol::Offer,
        NodeRef::Receipt(_) => Symbol::Receipt,
        NodeRef::Capability(_) => Symbol::Capability,
        NodeRef::Policy(_) => Symbol::Policy,
        NodeRef::Attestation(_) => Symbol::Attestation,
        NodeRef::Message(_) => Symbol::Message,
    }
}
