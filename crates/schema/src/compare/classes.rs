//! Which subschemas say the same, whatever their titles, order or place.
//!
//! Subschemas start in one class and are told apart by their keywords, then by the classes of the
//! subschemas in them, until nothing changes (partition refinement). What is left together accepts
//! the same values, recursion through `$ref` included.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use crate::graph::{At, Graph};
use crate::json::canonical;
use crate::node::{Bound, Node, NodeId};

/// Most rounds of refinement; beyond, every subschema is told apart from every other.
const MAX_ROUNDS: usize = 100;

/// For each subschema the first that says the same, and the steps it took to find out.
pub(crate) fn representatives(graph: Graph<'_>) -> (Vec<NodeId>, u64) {
    let count = graph.len() as NodeId;
    let subschemas: Vec<Subschema> = {
        let mut keywords = HashMap::new();
        (0..count).map(|id| Subschema::of(graph.at(id), &mut keywords)).collect()
    };
    let mut classes = vec![0; subschemas.len()];
    let mut known = 1;
    for round in 1..=MAX_ROUNDS {
        let mut names = HashMap::new();
        let signatures = subschemas.iter().map(|subschema| subschema.signature(&classes));
        classes = signatures.map(|signature| number(&mut names, signature)).collect();
        if names.len() == known {
            return (firsts(&classes), (round * subschemas.len()) as u64);
        }
        known = names.len();
    }
    ((0..count).collect(), (MAX_ROUNDS * subschemas.len()) as u64)
}

fn number<K: std::hash::Hash + Eq>(names: &mut HashMap<K, u32>, name: K) -> u32 {
    let next = names.len() as u32;
    *names.entry(name).or_insert(next)
}

fn firsts(classes: &[u32]) -> Vec<NodeId> {
    let mut first = HashMap::new();
    let members = classes.iter().enumerate();
    members.map(|(id, class)| *first.entry(class).or_insert(id as NodeId)).collect()
}

/// A subschema as far as refinement looks at it.
struct Subschema {
    /// One number for one text of keywords.
    keywords: u32,
    /// The subschemas in it, in an order that the keywords fix.
    inner: Vec<NodeId>,
    /// `allOf`, `anyOf`, `oneOf`: their order says nothing.
    unordered: [Vec<NodeId>; 3],
}

impl Subschema {
    fn of(at: At<'_>, keywords: &mut HashMap<String, u32>) -> Self {
        let node = at.node;
        let all = |ids: &[NodeId]| ids.iter().map(|id| at.child(*id)).collect::<Vec<_>>();
        let condition = node.condition.iter();
        let condition = condition.flat_map(|c| [Some(c.test), c.then, c.otherwise]);
        let single = [
            node.items,
            node.unevaluated_items,
            node.contains.map(|contains| contains.schema),
            node.additional,
            node.unevaluated_properties,
            node.names,
            node.reference,
            node.not,
        ];
        let inner = single.into_iter().chain(condition).flatten();
        let inner = inner.chain(node.prefix.iter().copied());
        let inner = inner.chain(node.properties.values().copied());
        let inner = inner.chain(node.patterns.iter().map(|(_, id)| *id));
        let inner = inner.chain(node.dependent_schemas.values().copied());
        Self {
            keywords: number(keywords, keyword_text(node)),
            inner: inner.map(|id| at.child(id)).collect(),
            unordered: [all(&node.all_of), all(&node.any_of), all(&node.one_of)],
        }
    }

    fn signature(&self, classes: &[u32]) -> (u32, Vec<u32>, [Vec<u32>; 3]) {
        let class = |id: &NodeId| classes[*id as usize];
        let sorted = |ids: &Vec<NodeId>| {
            let mut sorted: Vec<u32> = ids.iter().map(class).collect();
            sorted.sort_unstable();
            sorted
        };
        (
            self.keywords,
            self.inner.iter().map(class).collect(),
            self.unordered.each_ref().map(sorted),
        )
    }
}

/// All that a subschema says, but for what the subschemas in it say.
fn keyword_text(node: &Node) -> String {
    let bound = |bound: &Bound| (bound.value.to_ratio(), bound.exclusive);
    let numbers = (
        node.least.as_ref().map(bound),
        node.most.as_ref().map(bound),
        node.multiple_of.as_ref().map(crate::decimal::Decimal::to_ratio),
    );
    let counts = (node.length, node.count, node.size, node.contains.map(|c| c.count), node.unique);
    let condition = node.condition.map(|c| (c.then.is_some(), c.otherwise.is_some()));
    let there = [
        node.items,
        node.unevaluated_items,
        node.additional,
        node.unevaluated_properties,
        node.names,
        node.reference,
        node.not,
    ];
    let there = there.map(|schema| schema.is_some());
    let properties: Vec<&String> = node.properties.keys().collect();
    let patterns: Vec<&str> = node.patterns.iter().map(|(p, _)| p.source.as_str()).collect();
    let dependent: Vec<&String> = node.dependent_schemas.keys().collect();
    let mut text = String::new();
    for list in &node.allowed {
        let mut values: Vec<String> = list.values.iter().map(canonical).collect();
        values.sort_unstable();
        values.dedup();
        let _ = write!(text, "{}", Value::from(values));
    }
    let _ = write!(
        text,
        "{:?}{numbers:?}{counts:?}{condition:?}{there:?}{:?}{properties:?}{patterns:?}{dependent:?}\
         {}{:?}{:?}",
        node.kinds,
        node.pattern,
        node.prefix.len(),
        node.required,
        node.dependent_required,
    );
    text
}
