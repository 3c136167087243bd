//! What a subschema asks of a value of one kind, and what it takes not to fit it.

use serde_json::Value;

use crate::compare::goal::{Alternative, Choice, Clause, Fact, Goal, State};
use crate::graph::At;
use crate::json::canonical;
use crate::node::{Kind, Node, NodeId, Range};

/// Most subschemas of a `oneOf` that are compared with each other.
const MAX_ONE_OF: usize = 24;

fn is<'a>(at: At<'a>, id: NodeId) -> Clause<'a> {
    Clause::Goal(Goal::Is(at.child(id)))
}

fn is_not<'a>(at: At<'a>, id: NodeId) -> Clause<'a> {
    Clause::Goal(Goal::IsNot(at.child(id)))
}

fn fact(fact: Fact<'_>) -> Clause<'_> {
    Clause::Fact(fact)
}

/// The counts below and above a range.
fn outside(range: Range) -> impl Iterator<Item = Range> {
    let below = range.least.checked_sub(1).map(|most| Range { least: 0, most });
    let above = range.most.checked_add(1).map(|least| Range { least, most: u64::MAX });
    below.into_iter().chain(above)
}

// ------------------------------------------------------------------ fitting

/// Adds what a value of this kind needs to fit; the kind is one that the subschema allows.
pub(crate) fn fit<'a>(at: At<'a>, kind: Kind, state: &mut State<'a>) {
    let node = at.node;
    for list in &node.allowed {
        if state.values.is_none_or(|values| list.values.len() < values.len()) {
            state.values = Some(&list.values);
        }
    }
    fit_kind(at, kind, state);
    state.open.extend(node.reference.iter().chain(&node.all_of).map(|id| is(at, *id)));
    state.open.extend(node.not.map(|id| is_not(at, id)));
    if !node.any_of.is_empty() {
        state.choices.push(node.any_of.iter().map(|id| vec![is(at, *id)]).collect());
    }
    if !node.one_of.is_empty() {
        state.choices.push(exactly_one(at, &node.one_of));
    }
    if let Some(condition) = node.condition {
        let then = condition.then.map(|id| is(at, id));
        let otherwise = condition.otherwise.map(|id| is(at, id));
        let test = condition.test;
        state.choices.push(vec![
            std::iter::once(is(at, test)).chain(then).collect(),
            std::iter::once(is_not(at, test)).chain(otherwise).collect(),
        ]);
    }
}

/// One alternative a subschema: it fits and the others do not. Of very many, only that it fits:
/// that asks less, so nothing is lost but certainty.
fn exactly_one<'a>(at: At<'a>, schemas: &'a [NodeId]) -> Choice<'a> {
    let one = |one: &NodeId| {
        let others = schemas.iter().filter(|_| schemas.len() <= MAX_ONE_OF);
        let others = others.filter(|other| !std::ptr::eq(*other, one));
        std::iter::once(is(at, *one)).chain(others.map(|other| is_not(at, *other))).collect()
    };
    schemas.iter().map(one).collect()
}

fn fit_kind<'a>(at: At<'a>, kind: Kind, state: &mut State<'a>) {
    let node = at.node;
    let facts = &mut state.facts;
    match kind {
        Kind::Null | Kind::Boolean => {}
        Kind::Integer | Kind::Fraction => {
            facts.extend(node.least.as_ref().map(|b| Fact::Least(&b.value, b.exclusive)));
            facts.extend(node.most.as_ref().map(|b| Fact::Most(&b.value, b.exclusive)));
            facts.extend(node.multiple_of.as_ref().map(Fact::Multiple));
        }
        Kind::String => {
            facts.insert(Fact::Length(node.length));
            state.matches.extend(node.pattern.iter().map(|pattern| (&**pattern, true)));
        }
        Kind::Array => {
            facts.insert(Fact::Count(node.count));
            if node.items.is_some() || !node.prefix.is_empty() {
                facts.insert(Fact::Items(at.id));
            }
            let contains = node.contains.map(|c| Fact::Contains(at.child(c.schema), c.count));
            facts.extend(contains);
            facts.extend(node.unique.then_some(Fact::Unique));
            facts.extend(node.unevaluated_items.map(|_| Fact::Doubt(at.id)));
        }
        Kind::Object => {
            facts.insert(Fact::Size(node.size));
            facts.extend(node.required.iter().map(|name| Fact::Present(name)));
            facts.extend(node.has_members().then_some(Fact::Members(at.id)));
            facts.extend(node.names.map(|names| Fact::Names(at.child(names))));
            facts.extend(node.unevaluated_properties.map(|_| Fact::Doubt(at.id)));
            state.choices.extend(dependencies(at));
        }
    }
}

fn dependencies<'a>(at: At<'a>) -> impl Iterator<Item = Choice<'a>> {
    let node = at.node;
    let absent = |name: &'a String| vec![fact(Fact::Absent(name))];
    let required = node.dependent_required.iter().filter(|(_, needed)| !needed.is_empty());
    let required = required.map(move |(name, needed)| {
        vec![absent(name), needed.iter().map(|name| fact(Fact::Present(name))).collect()]
    });
    let schemas = node.dependent_schemas.iter().map(move |(name, schema)| {
        vec![absent(name), vec![fact(Fact::Present(name)), is(at, *schema)]]
    });
    required.chain(schemas)
}

impl Node {
    fn has_members(&self) -> bool {
        !self.properties.is_empty() || !self.patterns.is_empty() || self.additional.is_some()
    }
}

// ------------------------------------------------------------------ not fitting

/// The ways not to fit for a value of this kind, which the subschema allows.
pub(crate) fn misfit<'a>(at: At<'a>, kind: Kind) -> Choice<'a> {
    let node = at.node;
    let mut ways: Choice<'a> = misfit_kind(at, kind);
    ways.extend(node.allowed.iter().map(|list| unlike(&list.values, kind)));
    ways.extend(node.reference.iter().chain(&node.all_of).map(|id| vec![is_not(at, *id)]));
    ways.extend(node.not.map(|id| vec![is(at, id)]));
    if !node.any_of.is_empty() {
        ways.push(none(at, &node.any_of));
    }
    if !node.one_of.is_empty() {
        ways.push(none(at, &node.one_of));
        ways.extend(two(at, &node.one_of));
    }
    if let Some(condition) = node.condition {
        let test = condition.test;
        ways.extend(condition.then.map(|then| vec![is(at, test), is_not(at, then)]));
        ways.extend(condition.otherwise.map(|other| vec![is_not(at, test), is_not(at, other)]));
    }
    ways
}

fn unlike<'a>(list: &[Value], kind: Kind) -> Alternative<'a> {
    let same_kind = list.iter().filter(|value| Kind::of(value) == kind);
    same_kind.map(|value| Clause::Goal(Goal::Differs(canonical(value).into()))).collect()
}

fn none<'a>(at: At<'a>, schemas: &[NodeId]) -> Alternative<'a> {
    schemas.iter().map(|id| is_not(at, *id)).collect()
}

/// Two at once fit a `oneOf`. Of very many, nothing is asked.
fn two<'a>(at: At<'a>, schemas: &[NodeId]) -> Choice<'a> {
    if schemas.len() > MAX_ONE_OF {
        return vec![vec![fact(Fact::Doubt(at.id))]];
    }
    let pairs = schemas.iter().enumerate().flat_map(|(i, first)| {
        schemas[i + 1..].iter().map(move |second| vec![is(at, *first), is(at, *second)])
    });
    pairs.collect()
}

fn misfit_kind<'a>(at: At<'a>, kind: Kind) -> Choice<'a> {
    match kind {
        Kind::Null | Kind::Boolean => Vec::new(),
        Kind::Integer | Kind::Fraction => misfit_number(at.node),
        Kind::String => misfit_string(at.node),
        Kind::Array => misfit_array(at),
        Kind::Object => misfit_object(at),
    }
}

fn misfit_number(node: &Node) -> Choice<'_> {
    let below = node.least.as_ref().map(|bound| Fact::Most(&bound.value, !bound.exclusive));
    let above = node.most.as_ref().map(|bound| Fact::Least(&bound.value, !bound.exclusive));
    let between = node.multiple_of.as_ref().map(Fact::NotMultiple);
    [below, above, between].into_iter().flatten().map(|found| vec![fact(found)]).collect()
}

fn misfit_string(node: &Node) -> Choice<'_> {
    let lengths = outside(node.length).map(|range| vec![fact(Fact::Length(range))]);
    let pattern = node.pattern.iter();
    let pattern = pattern.map(|pattern| vec![Clause::Goal(Goal::Matches(pattern, false))]);
    lengths.chain(pattern).collect()
}

fn misfit_array(at: At<'_>) -> Choice<'_> {
    let node = at.node;
    let mut ways: Vec<Fact<'_>> = outside(node.count).map(Fact::Count).collect();
    let prefix = node.prefix.iter().enumerate();
    ways.extend(prefix.map(|(i, schema)| Fact::Item(i, at.child(*schema))));
    let rest = [node.items, node.unevaluated_items].into_iter().flatten();
    ways.extend(rest.map(|schema| Fact::SomeItem(node.prefix.len(), at.child(schema))));
    if let Some(contains) = node.contains {
        let schema = at.child(contains.schema);
        ways.extend(outside(contains.count).map(|count| Fact::Contains(schema, count)));
    }
    ways.extend(node.unique.then_some(Fact::Repeats));
    ways.extend(node.unevaluated_items.map(|_| Fact::Doubt(at.id)));
    ways.into_iter().map(|way| vec![fact(way)]).collect()
}

fn misfit_object<'a>(at: At<'a>) -> Choice<'a> {
    let node = at.node;
    let mut ways: Vec<Fact<'a>> = outside(node.size).map(Fact::Size).collect();
    ways.extend(node.required.iter().map(|name| Fact::Absent(name)));
    let properties = node.properties.iter();
    ways.extend(properties.map(|(name, schema)| Fact::Member(name, at.child(*schema))));
    let patterns = node.patterns.iter();
    ways.extend(patterns.map(|(pattern, id)| Fact::SomeMatching(pattern, at.child(*id))));
    ways.extend(node.additional.map(|schema| Fact::SomeOther(at.id, at.child(schema))));
    ways.extend(node.names.map(|names| Fact::SomeName(at.child(names))));
    if let Some(schema) = node.unevaluated_properties {
        ways.extend([Fact::SomeUnseen(at.id, at.child(schema)), Fact::Doubt(at.id)]);
    }
    let mut ways: Choice<'a> = ways.into_iter().map(|way| vec![fact(way)]).collect();
    for (name, needed) in &node.dependent_required {
        let missing = needed.iter().filter(|needed| *needed != name);
        ways.extend(
            missing.map(|other| vec![fact(Fact::Present(name)), fact(Fact::Absent(other))]),
        );
    }
    let schemas = node.dependent_schemas.iter();
    ways.extend(schemas.map(|(name, id)| vec![fact(Fact::Present(name)), is_not(at, *id)]));
    ways
}
