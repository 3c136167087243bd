//! The subschemas of one document, or of two that are compared, numbered in one row.

use std::sync::Arc;

use crate::node::{Node, NodeId};
use crate::pattern::Pattern;

/// Subschemas by number: those of the first document, then those of the second.
#[derive(Clone, Copy)]
pub(crate) struct Graph<'a> {
    first: &'a [Node],
    second: &'a [Node],
}

impl<'a> Graph<'a> {
    pub(crate) fn of(nodes: &'a [Node]) -> Self {
        Self { first: nodes, second: &[] }
    }

    pub(crate) fn of_two(first: &'a [Node], second: &'a [Node]) -> Self {
        Self { first, second }
    }

    pub(crate) fn len(self) -> usize {
        self.first.len() + self.second.len()
    }

    /// The root of the second document.
    pub(crate) fn second_root(self) -> At<'a> {
        self.at(self.first.len() as NodeId)
    }

    pub(crate) fn at(self, id: NodeId) -> At<'a> {
        let index = id as usize;
        let is_second = index >= self.first.len();
        let node =
            if is_second { &self.second[index - self.first.len()] } else { &self.first[index] };
        let offset = if is_second { self.first.len() as NodeId } else { 0 };
        At { node, id, offset }
    }
}

/// A subschema and its number.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) id: NodeId,
    /// What the numbers in the node are counted from.
    offset: NodeId,
}

impl<'a> At<'a> {
    /// The number, in the row, of a subschema that the node names.
    pub(crate) fn child(self, id: NodeId) -> NodeId {
        self.offset + id
    }

    /// Whether it is of the second document.
    pub(crate) fn is_second(self) -> bool {
        self.offset > 0
    }

    /// The subschemas that a property's value must fit, by the property's name, given which
    /// patterns match the name.
    pub(crate) fn for_property<E>(
        self,
        name: Option<&str>,
        mut matches: impl FnMut(&'a Arc<Pattern>) -> Result<bool, E>,
    ) -> Result<Vec<NodeId>, E> {
        let node = self.node;
        let named = name.and_then(|name| node.properties.get(name));
        let mut schemas: Vec<NodeId> = named.map(|id| self.child(*id)).into_iter().collect();
        for (pattern, schema) in &node.patterns {
            if matches(pattern)? {
                schemas.push(self.child(*schema));
            }
        }
        if schemas.is_empty() {
            schemas.extend(node.additional.map(|id| self.child(id)));
        }
        Ok(schemas)
    }

    /// The subschema that an item must fit by its place.
    pub(crate) fn for_item(self, index: usize) -> Option<NodeId> {
        self.node.prefix.get(index).copied().or(self.node.items).map(|id| self.child(id))
    }
}
