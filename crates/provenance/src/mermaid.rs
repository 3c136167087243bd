//! Drawings for Mermaid: what Markdown pages show. The same nodes and edges as for Graphviz; what is
//! marked has a thick line, inferred and imported edges are dashed and dotted.
//!
//! Texts come from strangers: they only ever appear in quoted labels, where every character that
//! means something to Mermaid or to HTML is written as an entity.

use std::fmt::Write as _;

use crate::drawing::{Drawing, Symbol};
use crate::lineage::Lineage;
use crate::relation::Class;
use crate::workflow::Workflow;

impl Lineage {
    /// The answer and what was asked about as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        mermaid(&self.drawing())
    }
}

impl Workflow {
    /// The coordination graph as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        mermaid(&self.drawing())
    }
}

const STRINGS_GROW: &str = "writing to a string succeeds";

fn mermaid(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart BT\n");
    for (number, node) in drawing.nodes.iter().enumerate() {
        let (open, close) = brackets(node.symbol);
        let mark = if node.is_marked { ":::marked" } else { "" };
        writeln!(text, "  n{number}{open}\"{}\"{close}{mark}", escape(&node.caption))
            .expect(STRINGS_GROW);
    }
    let mut imported = Vec::new();
    for (number, ((from, to, relation), class)) in drawing.edges.iter().enumerate() {
        let arrow = if *class == Class::Asserted { "-->" } else { "-.->" };
        writeln!(text, "  n{from} {arrow}|{}| n{to}", relation.name()).expect(STRINGS_GROW);
        if *class == Class::Imported {
            imported.push(number.to_string());
        }
    }
    text.push_str("  classDef marked stroke-width:4px\n");
    if !imported.is_empty() {
        writeln!(text, "  linkStyle {} stroke-dasharray:1 4", imported.join(","))
            .expect(STRINGS_GROW);
    }
    text
}

/// A text as the inside of a quoted label: entities are `#` and a number.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("<br/>"),
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' | ';' | '%' | '{' | '}' | '*' | '_' | '~' => {
                write!(escaped, "#{};", u32::from(c)).expect(STRINGS_GROW);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn brackets(symbol: Symbol) -> (&'static str, &'static str) {
    match symbol {
        Symbol::Agent => ("[/", "\\]"),
        Symbol::Task | Symbol::Imported | Symbol::Message => ("[", "]"),
        Symbol::Data => ("([", "])"),
        Symbol::Intent => ("{", "}"),
        Symbol::Offer => ("{{", "}}"),
        Symbol::Receipt => ("[[", "]]"),
        Symbol::Capability => ("[(", ")]"),
        Symbol::Policy => ("((", "))"),
        Symbol::Attestation => (">", "]"),
    }
}
