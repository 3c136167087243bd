//! Drawings for Graphviz: boxes for tasks, ellipses for data, houses for agents; solid edges are
//! asserted, dashed ones inferred, dotted ones imported.
//!
//! Texts come from strangers: they only ever appear in quoted labels, escaped; the names of nodes
//! are numbers. No layout is done here.

use std::fmt::Write as _;

use crate::drawing::{Drawing, Symbol};
use crate::lineage::Lineage;
use crate::relation::Class;
use crate::workflow::Workflow;

impl Lineage {
    /// The answer and what was asked about as a Graphviz digraph. Attempts of one task are one box.
    pub fn to_dot(&self) -> String {
        dot(&self.drawing(), "lineage")
    }
}

impl Workflow {
    /// The coordination graph as a Graphviz digraph.
    pub fn to_dot(&self) -> String {
        dot(&self.drawing(), "workflow")
    }
}

const STRINGS_GROW: &str = "writing to a string succeeds";

fn dot(drawing: &Drawing, name: &str) -> String {
    let mut text = format!("digraph {name} {{\n  rankdir=BT;\n");
    for (number, node) in drawing.nodes.iter().enumerate() {
        let (shape, label) = (shape(node.symbol), escape(&node.caption));
        // What is marked has a double line.
        let style = format!("shape={shape}, peripheries={}", if node.is_marked { 2 } else { 1 });
        writeln!(text, "  n{number} [{style}, label=\"{label}\"];").expect(STRINGS_GROW);
    }
    for ((from, to, relation), class) in &drawing.edges {
        let (label, style) = (relation.name(), style(*class));
        writeln!(text, "  n{from} -> n{to} [label=\"{label}\", style={style}];")
            .expect(STRINGS_GROW);
    }
    text.push_str("}\n");
    text
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

fn shape(symbol: Symbol) -> &'static str {
    match symbol {
        Symbol::Agent => "house",
        Symbol::Task | Symbol::Imported => "box",
        Symbol::Data => "ellipse",
        Symbol::Intent => "diamond",
        Symbol::Offer => "hexagon",
        Symbol::Receipt => "note",
        Symbol::Capability => "component",
        Symbol::Policy => "octagon",
        Symbol::Attestation => "tab",
        Symbol::Message => "plaintext",
    }
}

fn style(class: Class) -> &'static str {
    match class {
        Class::Asserted => "solid",
        Class::Inferred => "dashed",
        Class::Imported => "dotted",
    }
}
