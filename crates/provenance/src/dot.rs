//! Drawings for Graphviz: boxes for tasks, ellipses for data, houses for agents; solid edges are
//! asserted, dashed ones inferred, dotted ones imported.
//!
//! Texts come from strangers: they only ever appear in quoted labels, escaped; the names of nodes
//! are numbers. No layout is done here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tally_protocol::EnvelopeId;

use crate::lineage::{Lineage, LineageTask};
use crate::node::NodeRef;
use crate::relation::{Class, Edge, Relation};
use crate::workflow::Workflow;

impl Lineage {
    /// The answer and what was asked about as a Graphviz digraph. Attempts of one task are one box.
    pub fn to_dot(&self) -> String {
        let mut drawing = Drawing::default();
        for (task, peripheries) in self.drawn_tasks() {
            drawing.task(task, peripheries);
        }
        for data in &self.start.data {
            drawing.node(NodeRef::from(data.clone()), 2);
        }
        for data in &self.data {
            drawing.node(NodeRef::from(data.clone()), 1);
        }
        drawing.edges(&self.edges);
        drawing.finish("lineage")
    }

    /// What was asked about has a double line.
    fn drawn_tasks(&self) -> impl Iterator<Item = (&LineageTask, u8)> {
        let start = self.start.tasks.iter().map(|task| (task, 2));
        start.chain(self.tasks.iter().map(|task| (task, 1)))
    }
}

impl Workflow {
    /// The coordination graph as a Graphviz digraph.
    pub fn to_dot(&self) -> String {
        let mut drawing = Drawing::default();
        for intent in &self.intents {
            let caption = format!("intent\n{}", intent.outcome);
            drawing.captioned(NodeRef::Intent(intent.id), &caption, 1);
        }
        for offer in self.intents.iter().flat_map(|intent| &intent.offers) {
            let peripheries = if offer.state == crate::OfferState::Awarded { 2 } else { 1 };
            drawing.node(NodeRef::Offer(offer.id), peripheries);
        }
        for task in self.tasks() {
            let outcome = task.outcome.map_or_else(|| "not ended".to_owned(), |o| o.name());
            let caption = format!("{}\nattempt {}, {outcome}", task.title(), task.attempt);
            drawing.captioned(NodeRef::Task(task.id), &caption, 1);
        }
        drawing.edges(&self.edges);
        drawing.finish("workflow")
    }
}

/// A text as the inside of a quoted label. Backslashes begin escapes there, and ampersands begin
/// entities.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

const STRINGS_GROW: &str = "writing to a string succeeds";

#[derive(Default)]
struct Drawing {
    /// Nodes and then edges, a line each.
    body: String,
    numbers: BTreeMap<NodeRef, usize>,
    /// Attempts that are drawn as another one.
    drawn_as: BTreeMap<EnvelopeId, EnvelopeId>,
}

impl Drawing {
    fn task(&mut self, task: &LineageTask, peripheries: u8) {
        let Some(&first) = task.ids.first() else { return };
        self.drawn_as.extend(task.ids.iter().map(|&id| (id, first)));
        let caption = match &task.label {
            Some(label) if *label != task.name => format!("{label}\n{}", task.name),
            _ => task.name.clone(),
        };
        self.captioned(NodeRef::Task(first), &caption, peripheries);
    }

    fn node(&mut self, node: NodeRef, peripheries: u8) -> usize {
        let caption = node.caption();
        self.captioned(node, &caption, peripheries)
    }

    fn captioned(&mut self, node: NodeRef, caption: &str, peripheries: u8) -> usize {
        if let Some(&number) = self.numbers.get(&node) {
            return number;
        }
        let number = self.numbers.len();
        let (shape, label) = (shape(&node), escape(caption));
        let style = format!("shape={shape}, peripheries={peripheries}");
        writeln!(self.body, "  n{number} [{style}, label=\"{label}\"];").expect(STRINGS_GROW);
        self.numbers.insert(node, number);
        number
    }

    /// Edges that fall together are drawn once, with the strongest class.
    fn edges(&mut self, edges: &[Edge]) {
        let mut drawn: BTreeMap<(usize, usize, Relation), Class> = BTreeMap::new();
        for edge in edges {
            let (from, to) = (self.end(&edge.from), self.end(&edge.to));
            let class = drawn.entry((from, to, edge.relation)).or_insert(edge.class);
            *class = edge.class.max(*class);
        }
        for ((from, to, relation), class) in drawn {
            let (label, style) = (relation.name(), style(class));
            writeln!(self.body, "  n{from} -> n{to} [label=\"{label}\", style={style}];")
                .expect(STRINGS_GROW);
        }
    }

    fn end(&mut self, node: &NodeRef) -> usize {
        let drawn = match node {
            NodeRef::Task(id) => NodeRef::Task(*self.drawn_as.get(id).unwrap_or(id)),
            other => other.clone(),
        };
        self.node(drawn, 1)
    }

    fn finish(self, name: &str) -> String {
        format!("digraph {name} {{\n  rankdir=BT;\n{}}}\n", self.body)
    }
}

fn shape(node: &NodeRef) -> &'static str {
    match node {
        NodeRef::Agent(_) => "house",
        NodeRef::Task(_) | NodeRef::Imported(_) => "box",
        NodeRef::Data { .. } => "ellipse",
        NodeRef::Intent(_) => "diamond",
        NodeRef::Offer(_) => "hexagon",
        NodeRef::Receipt(_) => "note",
        NodeRef::Capability(_) => "component",
        NodeRef::Policy(_) => "octagon",
        NodeRef::Attestation(_) => "tab",
        NodeRef::Message(_) => "plaintext",
    }
}

fn style(class: Class) -> &'static str {
    match class {
        Class::Asserted => "solid",
        Class::Inferred => "dashed",
        Class::Imported => "dotted",
    }
}
