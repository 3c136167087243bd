//! `unevaluatedProperties` and `unevaluatedItems` in words that are easier to compare.
//!
//! They speak of what no other keyword looked at, which depends on the value when there are
//! alternatives. Where there are none, only `$ref` and `allOf`, the names and places that are
//! looked at are known, and a subschema with `additionalProperties` or `items` says the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Node, NodeId};

/// Puts what it can into a subschema of its own, which joins `allOf`.
pub(crate) fn simplify(nodes: &mut Vec<Node>) {
    let read = nodes.len() as NodeId;
    for id in 0..read {
        if let Some(schema) = nodes[id as usize].unevaluated_properties {
            let rest = properties(nodes, id, schema);
            if let Some(rest) = rest {
                nodes[id as usize].unevaluated_properties = None;
                join(nodes, id, rest);
            }
        }
        if let Some(schema) = nodes[id as usize].unevaluated_items {
            let rest = items(nodes, id, schema);
            if let Some(rest) = rest {
                nodes[id as usize].unevaluated_items = None;
                join(nodes, id, rest);
            }
        }
    }
}

/// What is left to say of the members or items.
enum Rest {
    Nothing,
    /// This subschema, in which `true` stands for the one to be made with it.
    Said(Box<Node>),
}

fn join(nodes: &mut Vec<Node>, id: NodeId, rest: Rest) {
    let Rest::Said(mut said) = rest else { return };
    let anything = nodes.len() as NodeId;
    nodes.push(Node::anything(said.pointer.clone()));
    said.properties.values_mut().for_each(|schema| *schema = anything);
    said.patterns.iter_mut().for_each(|(_, schema)| *schema = anything);
    said.prefix.fill(anything);
    nodes[id as usize].all_of.push(anything + 1);
    nodes.push(*said);
}

fn properties(nodes: &[Node], id: NodeId, schema: NodeId) -> Option<Rest> {
    let all = all_of(nodes, id)?;
    let sees_all = |inner: &&Node| {
        inner.additional.is_some()
            || (inner.unevaluated_properties.is_some()
                && !std::ptr::eq(*inner, &nodes[id as usize]))
    };
    if all.iter().any(sees_all) {
        return Some(Rest::Nothing);
    }
    let mut said = Node::anything(nodes[id as usize].pointer.clone());
    let names = all.iter().flat_map(|inner| inner.properties.keys().cloned());
    said.properties = names.map(|name| (name, schema)).collect();
    let patterns = all.iter().flat_map(|inner| &inner.patterns);
    let patterns: BTreeMap<_, _> = patterns.map(|(p, _)| (&p.source, p)).collect();
    said.patterns = patterns.into_values().map(|pattern| (pattern.clone(), schema)).collect();
    said.additional = Some(schema);
    Some(Rest::Said(Box::new(said)))
}

fn items(nodes: &[Node], id: NodeId, schema: NodeId) -> Option<Rest> {
    let all = all_of(nodes, id)?;
    let sees_all = |inner: &&Node| {
        inner.items.is_some()
            || (inner.unevaluated_items.is_some() && !std::ptr::eq(*inner, &nodes[id as usize]))
    };
    if all.iter().any(sees_all) {
        return Some(Rest::Nothing);
    }
    // Which items are contained depends on the value.
    if all.iter().any(|inner| inner.contains.is_some()) {
        return None;
    }
    let mut said = Node::anything(nodes[id as usize].pointer.clone());
    let places = all.iter().map(|inner| inner.prefix.len()).max().unwrap_or_default();
    said.prefix = vec![schema; places];
    said.items = Some(schema);
    Some(Rest::Said(Box::new(said)))
}

/// The subschema and all that `$ref` and `allOf` add to it; `None` if there are alternatives.
fn all_of(nodes: &[Node], id: NodeId) -> Option<Vec<&Node>> {
    let mut all = Vec::new();
    let (mut open, mut seen) = (vec![id], BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = &nodes[id as usize];
        let has_alternatives = !node.any_of.is_empty()
            || !node.one_of.is_empty()
            || node.condition.is_some()
            || !node.dependent_schemas.is_empty();
        if has_alternatives {
            return None;
        }
        open.extend(node.reference.iter().chain(&node.all_of));
        all.push(node);
    }
    Some(all)
}
