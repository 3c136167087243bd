//! Does a value fit a schema?
//!
//! A verdict on a subschema and a value is kept, so the work is at most subschemas times values,
//! however often `$ref` leads to the same place.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::decimal::Decimal;
use crate::graph::{At, Graph};
use crate::json::canonical;
use crate::limits::{MAX_AUTOMATON_BYTES, MAX_RECURSION};
use crate::node::{Node, NodeId};
use crate::pattern::{Automata, Exhausted, Pattern};

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Limit {
    /// [`MAX_VALIDATION_STEPS`](crate::limits::MAX_VALIDATION_STEPS) or
    /// [`MAX_COMPARISON_STEPS`](crate::limits::MAX_COMPARISON_STEPS), whichever is given.
    #[error("it takes more than {0} steps")]
    Steps(u64),
    /// [`MAX_RECURSION`]
    #[error("more than {MAX_RECURSION} subschemas apply one inside another")]
    Recursion,
    /// [`MAX_AUTOMATON_BYTES`]
    #[error("a pattern takes more than {MAX_AUTOMATON_BYTES} bytes")]
    Automaton,
}

impl From<Exhausted> for Limit {
    fn from(_: Exhausted) -> Self {
        Self::Automaton
    }
}

/// What the subschemas that fit have looked at.
#[derive(Default)]
struct Seen {
    /// Names of members, or indices of items.
    names: BTreeSet<String>,
    schemas: BTreeSet<NodeId>,
}

/// Gives verdicts on the subschemas of a graph.
pub(crate) struct Judge<'a> {
    graph: Graph<'a>,
    pub(crate) automata: Automata<'a>,
    /// By subschema and address of the value, which is borrowed while this is filled.
    verdicts: HashMap<(NodeId, *const Value), bool>,
    steps_left: u64,
    most_steps: u64,
    depth: usize,
}

type Verdict = Result<bool, Limit>;

impl<'a> Judge<'a> {
    /// With so many steps to make.
    pub(crate) fn new(graph: Graph<'a>, most_steps: u64) -> Self {
        let (automata, verdicts) = (Automata::default(), HashMap::new());
        Self { graph, automata, verdicts, steps_left: most_steps, most_steps, depth: 0 }
    }

    /// Whether the value fits.
    pub(crate) fn fits(&mut self, id: NodeId, value: &Value) -> Verdict {
        self.verdicts.clear();
        self.depth = 0;
        self.judge(id, value)
    }

    pub(crate) fn graph(&self) -> Graph<'a> {
        self.graph
    }

    /// Counts steps.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Limit> {
        let left = self.steps_left.checked_sub(steps);
        self.steps_left = left.ok_or(Limit::Steps(self.most_steps))?;
        Ok(())
    }

    pub(crate) fn judge(&mut self, id: NodeId, value: &Value) -> Verdict {
        let key = (id, std::ptr::from_ref(value));
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(*verdict);
        }
        let at = self.graph.at(id);
        let values = at.node.allowed.iter().map(|allowed| allowed.values.len()).sum::<usize>();
        self.spend(1 + values as u64 / 8)?;
        if self.depth == MAX_RECURSION {
            return Err(Limit::Recursion);
        }
        self.depth += 1;
        let verdict = self.keywords(at, value);
        self.depth -= 1;
        self.verdicts.insert(key, verdict?);
        verdict
    }

    fn keywords(&mut self, at: At<'a>, value: &Value) -> Verdict {
        let verdict = at.node.allows_kind_and_value(value)
            && match value {
                Value::Null | Value::Bool(_) => true,
                Value::Number(number) => at.node.allows_number(&Decimal::of(number)),
                Value::String(text) => self.string(at.node, text)?,
                Value::Array(items) => self.array(at, items)?,
                Value::Object(_) => self.object(at, value)?,
            };
        Ok(verdict && self.in_place(at, value)? && self.unevaluated(at, value)?)
    }

    fn string(&mut self, node: &'a Node, text: &str) -> Verdict {
        self.spend(text.len() as u64 / 64)?;
        Ok(node.length.contains(text.chars().count() as u64)
            && node.pattern.iter().try_fold(true, |_, pattern| self.matches(pattern, text))?)
    }

    pub(crate) fn matches(&mut self, pattern: &'a Pattern, text: &str) -> Verdict {
        self.spend(text.len() as u64 / 64)?;
        Ok(self.automata.matches(pattern, text)?)
    }

    fn array(&mut self, at: At<'a>, items: &[Value]) -> Verdict {
        if !at.node.count.contains(items.len() as u64) {
            return Ok(false);
        }
        for (i, item) in items.iter().enumerate() {
            let schema = at.for_item(i);
            if !schema.map_or(Ok(true), |schema| self.judge(schema, item))? {
                return Ok(false);
            }
        }
        if let Some(contains) = at.node.contains {
            let found = self.containing(at.child(contains.schema), items)?;
            if !contains.count.contains(found.len() as u64) {
                return Ok(false);
            }
        }
        Ok(!at.node.unique || self.are_unique(items)?)
    }

    /// The places of the items that fit.
    pub(crate) fn containing(
        &mut self,
        schema: NodeId,
        items: &[Value],
    ) -> Result<Vec<usize>, Limit> {
        let mut found = Vec::new();
        for (i, item) in items.iter().enumerate() {
            if self.judge(schema, item)? {
                found.push(i);
            }
        }
        Ok(found)
    }

    pub(crate) fn are_unique(&mut self, items: &[Value]) -> Verdict {
        let texts: Vec<String> = items.iter().map(canonical).collect();
        self.spend(texts.iter().map(String::len).sum::<usize>() as u64 / 64)?;
        Ok(texts.iter().collect::<HashSet<_>>().len() == items.len())
    }

    fn object(&mut self, at: At<'a>, value: &Value) -> Verdict {
        let Value::Object(members) = value else { return Ok(true) };
        let node = at.node;
        let has = |name: &String| members.contains_key(name);
        if !node.size.contains(members.len() as u64)
            || !node.required.iter().all(has)
            || node
                .dependent_required
                .iter()
                .any(|(name, needed)| has(name) && !needed.iter().all(has))
        {
            return Ok(false);
        }
        for (name, member) in members {
            if let Some(names) = node.names
                && !self.judge_name(at.child(names), name)?
            {
                return Ok(false);
            }
            for schema in self.schemas_for(at, name)? {
                if !self.judge(schema, member)? {
                    return Ok(false);
                }
            }
        }
        for (name, schema) in &node.dependent_schemas {
            if has(name) && !self.judge(at.child(*schema), value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The subschemas of `properties`, `patternProperties` and `additionalProperties` for a name.
    pub(crate) fn schemas_for(&mut self, at: At<'a>, name: &str) -> Result<Vec<NodeId>, Limit> {
        at.for_property(Some(name), |pattern| self.matches(pattern, name))
    }

    /// A name becomes a value for a moment only, so verdicts on its address must not be kept.
    pub(crate) fn judge_name(&mut self, schema: NodeId, name: &str) -> Verdict {
        let kept = std::mem::take(&mut self.verdicts);
        let verdict = self.judge(schema, &Value::from(name));
        self.verdicts = kept;
        verdict
    }

    fn in_place(&mut self, at: At<'a>, value: &Value) -> Verdict {
        let node = at.node;
        for schema in node.reference.iter().chain(&node.all_of) {
            if !self.judge(at.child(*schema), value)? {
                return Ok(false);
            }
        }
        if !node.any_of.is_empty() && self.fitting(at, &node.any_of, value, 1)? == 0 {
            return Ok(false);
        }
        if !node.one_of.is_empty() && self.fitting(at, &node.one_of, value, 2)? != 1 {
            return Ok(false);
        }
        if let Some(not) = node.not
            && self.judge(at.child(not), value)?
        {
            return Ok(false);
        }
        match self.branch(at, value)? {
            Some(schema) => self.judge(schema, value),
            None => Ok(true),
        }
    }

    /// How many of the alternatives fit, counted up to `enough`.
    pub(crate) fn fitting(
        &mut self,
        at: At<'a>,
        schemas: &[NodeId],
        value: &Value,
        enough: usize,
    ) -> Result<usize, Limit> {
        let mut count = 0;
        for schema in schemas {
            count += usize::from(self.judge(at.child(*schema), value)?);
            if count == enough {
                break;
            }
        }
        Ok(count)
    }

    /// `then` or `else`, whichever `if` asks for.
    pub(crate) fn branch(&mut self, at: At<'a>, value: &Value) -> Result<Option<NodeId>, Limit> {
        let Some(condition) = at.node.condition else { return Ok(None) };
        let holds = self.judge(at.child(condition.test), value)?;
        let branch = if holds { condition.then } else { condition.otherwise };
        Ok(branch.map(|id| at.child(id)))
    }

    // -------------------------------------------------------------- unevaluated

    fn unevaluated(&mut self, at: At<'a>, value: &Value) -> Verdict {
        Ok(self.unevaluated_misfit(at, value)?.is_none())
    }

    /// The subschema and the member or item that no other keyword looked at and that does not fit.
    pub(crate) fn unevaluated_misfit<'v>(
        &mut self,
        at: At<'a>,
        value: &'v Value,
    ) -> Result<Option<(NodeId, String, &'v Value)>, Limit> {
        let (schema, members): (_, Vec<(String, &Value)>) = match value {
            Value::Object(members) => {
                let members = members.iter().map(|(name, member)| (name.clone(), member));
                (at.node.unevaluated_properties, members.collect())
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(i, item)| (i.to_string(), item));
                (at.node.unevaluated_items, items.collect())
            }
            _ => return Ok(None),
        };
        let Some(schema) = schema.map(|id| at.child(id)) else { return Ok(None) };
        let mut seen = Seen::default();
        self.evaluated(at, value, false, &mut seen)?;
        for (name, member) in members {
            if !seen.names.contains(&name) && !self.judge(schema, member)? {
                return Ok(Some((schema, name, member)));
            }
        }
        Ok(None)
    }

    /// Adds the names of members, or the indices of items, that a schema which fits looks at;
    /// `whole` with its own unevaluated keywords, which look at all that is left.
    fn evaluated(
        &mut self,
        at: At<'a>,
        value: &Value,
        whole: bool,
        seen: &mut Seen,
    ) -> Result<(), Limit> {
        if !seen.schemas.insert(at.id) {
            return Ok(());
        }
        match value {
            Value::Object(members) => {
                let all = whole && at.node.unevaluated_properties.is_some();
                for name in members.keys() {
                    if all || !self.schemas_for(at, name)?.is_empty() {
                        seen.names.insert(name.clone());
                    }
                }
            }
            Value::Array(items) => {
                let all = whole && at.node.unevaluated_items.is_some();
                let by_place = |i: &usize| all || at.for_item(*i).is_some();
                let mut places: Vec<usize> = (0..items.len()).filter(by_place).collect();
                if let Some(contains) = at.node.contains {
                    places.extend(self.containing(at.child(contains.schema), items)?);
                }
                seen.names.extend(places.iter().map(usize::to_string));
            }
            _ => return Ok(()),
        }
        self.evaluated_in_place(at, value, seen)
    }

    fn evaluated_in_place(
        &mut self,
        at: At<'a>,
        value: &Value,
        seen: &mut Seen,
    ) -> Result<(), Limit> {
        let node = at.node;
        let lists = [&node.all_of, &node.any_of, &node.one_of].into_iter().flatten();
        let dependent = node.dependent_schemas.iter();
        let dependent = dependent.filter(|(name, _)| value.get(name).is_some()).map(|(_, id)| id);
        let condition = node.condition.map(|condition| condition.test);
        let schemas = node.reference.iter().chain(lists).chain(dependent).chain(&condition);
        let mut schemas: Vec<NodeId> = schemas.map(|id| at.child(*id)).collect();
        schemas.extend(self.branch(at, value)?);
        for schema in schemas {
            if self.judge(schema, value)? {
                self.evaluated(self.graph.at(schema), value, true, seen)?;
            }
        }
        Ok(())
    }
}
