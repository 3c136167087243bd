//! Where and why a value does not fit a schema.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use crate::decimal::Decimal;
use crate::graph::{At, Graph};
use crate::json::step;
use crate::judge::{Judge, Limit};
use crate::limits::{MAX_MISFITS, MAX_VALIDATION_STEPS};
use crate::node::{Bound, Kind, NodeId, Range};

/// A place where a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer into the value.
    pub instance: String,
    /// JSON pointer to the keyword in the schema.
    pub schema: String,
    /// What the keyword asks for, as in `must be at most 5`.
    pub rule: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}: {} ({})", self.instance, self.rule, self.schema)
    }
}

/// Why a value is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It does not fit: at least one misfit, at most [`MAX_MISFITS`](crate::limits::MAX_MISFITS).
    #[error("{}", .0.iter().map(Misfit::to_string).collect::<Vec<_>>().join("; "))]
    Misfits(Vec<Misfit>),
    /// It could not be judged.
    #[error("the value can't be judged: {0}")]
    Limit(Limit),
}

/// Judges a value against the first document of the graph.
pub(crate) fn validate(graph: Graph<'_>, value: &Value) -> Result<(), Invalid> {
    let mut judge = Judge::new(graph, MAX_VALIDATION_STEPS);
    let misfits = misfits(&mut judge, graph.at(0), value).map_err(Invalid::Limit)?;
    if misfits.is_empty() { Ok(()) } else { Err(Invalid::Misfits(misfits)) }
}

/// Where a value does not fit a subschema; empty when it fits.
pub(crate) fn misfits<'a>(
    judge: &mut Judge<'a>,
    at: At<'a>,
    value: &Value,
) -> Result<Vec<Misfit>, Limit> {
    judge.fits(at.id, value)?;
    let mut report = Report { judge, misfits: Vec::new(), seen: HashSet::new() };
    report.schema(at, value, "")?;
    Ok(report.misfits)
}

struct Report<'a, 'j> {
    judge: &'j mut Judge<'a>,
    misfits: Vec<Misfit>,
    seen: HashSet<(NodeId, *const Value)>,
}

impl<'a> Report<'a, '_> {
    /// What is wrong by this schema. A schema and value are reported once.
    fn schema(&mut self, at: At<'a>, value: &Value, path: &str) -> Result<(), Limit> {
        let is_new = self.seen.insert((at.id, std::ptr::from_ref(value)));
        if !is_new || self.judge.judge(at.id, value)? {
            return Ok(());
        }
        self.kind_and_value(at, value, path);
        match value {
            Value::Number(number) => self.number(at, &Decimal::of(number), path),
            Value::String(text) => self.string(at, text, path)?,
            Value::Array(items) => self.array(at, items, path)?,
            Value::Object(_) => self.object(at, value, path)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.in_place(at, value, path)?;
        if let Some((schema, name, member)) = self.judge.unevaluated_misfit(at, value)? {
            self.id(schema, member, &step(path, &name))?;
        }
        Ok(())
    }

    fn id(&mut self, id: NodeId, value: &Value, path: &str) -> Result<(), Limit> {
        self.schema(self.judge.graph().at(id), value, path)
    }

    fn add(&mut self, at: At<'a>, keyword: &str, path: &str, rule: impl fmt::Display) {
        if self.misfits.len() < MAX_MISFITS {
            let pointer = &at.node.pointer;
            let schema = if keyword.is_empty() { pointer.clone() } else { step(pointer, keyword) };
            let rule = format!("must {rule}");
            self.misfits.push(Misfit { instance: path.to_owned(), schema, rule });
        }
    }

    fn kind_and_value(&mut self, at: At<'a>, value: &Value, path: &str) {
        let kinds = at.node.kinds;
        if kinds.is_empty() {
            self.add(at, "", path, "not be there");
        } else if !kinds.contains(Kind::of(value)) {
            self.add(at, "type", path, format_args!("be {kinds}"));
        }
        for allowed in at.node.allowed.iter().filter(|allowed| !allowed.contains(value)) {
            let texts: Vec<String> = allowed.values.iter().map(Value::to_string).collect();
            let texts = shortened(&texts.join(" or "));
            self.add(at, allowed.keyword, path, format_args!("be {texts}"));
        }
    }

    fn number(&mut self, at: At<'a>, number: &Decimal, path: &str) {
        let keyword = |bound: &Bound, inclusive, exclusive| {
            if bound.exclusive { exclusive } else { inclusive }
        };
        if let Some(least) = at.node.least.as_ref().filter(|least| !least.is_below(number)) {
            let keyword = keyword(least, "minimum", "exclusiveMinimum");
            let rule = if least.exclusive { "be greater than" } else { "be at least" };
            self.add(at, keyword, path, format_args!("{rule} {}", least.value));
        }
        if let Some(most) = at.node.most.as_ref().filter(|most| !most.is_above(number)) {
            let keyword = keyword(most, "maximum", "exclusiveMaximum");
            let rule = if most.exclusive { "be less than" } else { "be at most" };
            self.add(at, keyword, path, format_args!("{rule} {}", most.value));
        }
        if let Some(unit) = at.node.multiple_of.as_ref().filter(|unit| !number.is_multiple_of(unit))
        {
            self.add(at, "multipleOf", path, format_args!("be a multiple of {unit}"));
        }
    }

    fn string(&mut self, at: At<'a>, text: &str, path: &str) -> Result<(), Limit> {
        let keywords = ["minLength", "maxLength"];
        self.range(at, at.node.length, text.chars().count(), keywords, "characters", path);
        if let Some(pattern) = &at.node.pattern
            && !self.judge.matches(pattern, text)?
        {
            self.add(at, "pattern", path, format_args!("match {pattern:?}"));
        }
        Ok(())
    }

    fn range(
        &mut self,
        at: At<'a>,
        range: Range,
        count: usize,
        [min, max]: [&str; 2],
        of: &str,
        path: &str,
    ) {
        let count = count as u64;
        if count < range.least {
            self.add(at, min, path, format_args!("have at least {} {of}", range.least));
        }
        if count > range.most {
            self.add(at, max, path, format_args!("have at most {} {of}", range.most));
        }
    }

    fn array(&mut self, at: At<'a>, items: &[Value], path: &str) -> Result<(), Limit> {
        self.range(at, at.node.count, items.len(), ["minItems", "maxItems"], "items", path);
        for (i, item) in items.iter().enumerate() {
            if let Some(schema) = at.for_item(i) {
                self.id(schema, item, &step(path, &i.to_string()))?;
            }
        }
        if let Some(contains) = at.node.contains {
            let found = self.judge.containing(at.child(contains.schema), items)?.len();
            let keywords = ["contains", "maxContains"];
            self.range(at, contains.count, found, keywords, "items that fit it", path);
        }
        if at.node.unique && !self.judge.are_unique(items)? {
            self.add(at, "uniqueItems", path, "have no item twice");
        }
        Ok(())
    }

    fn object(&mut self, at: At<'a>, value: &Value, path: &str) -> Result<(), Limit> {
        let Value::Object(members) = value else { return Ok(()) };
        let node = at.node;
        let keywords = ["minProperties", "maxProperties"];
        self.range(at, node.size, members.len(), keywords, "properties", path);
        for name in node.required.iter().filter(|name| !members.contains_key(*name)) {
            self.add(at, "required", path, format_args!("have {name:?}"));
        }
        for (name, needed) in &node.dependent_required {
            let missing = needed.iter().find(|needed| !members.contains_key(*needed));
            if let Some(missing) = missing.filter(|_| members.contains_key(name)) {
                let rule = format_args!("have {missing:?} beside {name:?}");
                self.add(at, "dependentRequired", path, rule);
            }
        }
        for (name, member) in members {
            if let Some(names) = node.names
                && !self.judge.judge_name(at.child(names), name)?
            {
                self.add(at, "propertyNames", path, format_args!("not have the name {name:?}"));
            }
            for schema in self.judge.schemas_for(at, name)? {
                self.id(schema, member, &step(path, name))?;
            }
        }
        for (_, schema) in
            node.dependent_schemas.iter().filter(|(name, _)| members.contains_key(*name))
        {
            self.id(at.child(*schema), value, path)?;
        }
        Ok(())
    }

    fn in_place(&mut self, at: At<'a>, value: &Value, path: &str) -> Result<(), Limit> {
        let node = at.node;
        for schema in node.reference.iter().chain(&node.all_of) {
            self.id(at.child(*schema), value, path)?;
        }
        if !node.any_of.is_empty() && self.judge.fitting(at, &node.any_of, value, 1)? == 0 {
            let rule = format_args!("fit one of {} alternatives", node.any_of.len());
            self.add(at, "anyOf", path, rule);
        }
        if !node.one_of.is_empty() {
            let fitting = self.judge.fitting(at, &node.one_of, value, usize::MAX)?;
            if fitting != 1 {
                let alternatives = node.one_of.len();
                let rule =
                    format_args!("fit exactly one of {alternatives} alternatives, not {fitting}");
                self.add(at, "oneOf", path, rule);
            }
        }
        if let Some(not) = node.not
            && self.judge.judge(at.child(not), value)?
        {
            self.add(at, "not", path, "not fit this schema");
        }
        match self.judge.branch(at, value)? {
            Some(schema) => self.id(schema, value, path),
            None => Ok(()),
        }
    }
}

/// Most characters of a list of values in a rule.
const MAX_LIST_CHARS: usize = 200;

/// The beginning of a long text.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_LIST_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
