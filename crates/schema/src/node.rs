//! One subschema, read: every keyword of JSON Schema 2020-12 that can refuse a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::decimal::Decimal;
use crate::json::equal;
use crate::pattern::Pattern;

/// A subschema's place in its document's list.
pub(crate) type NodeId = u32;

/// A kind of value. Integers and other numbers are told apart by value: 1.0 is an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Integer,
    Fraction,
    String,
    Array,
    Object,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Null,
        Self::Boolean,
        Self::Integer,
        Self::Fraction,
        Self::String,
        Self::Array,
        Self::Object,
    ];

    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_i64() || number.is_u64() => Self::Integer,
            Value::Number(number) if Decimal::of(number).is_integer() => Self::Integer,
            Value::Number(_) => Self::Fraction,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(0b111_1111);

    pub(crate) fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// With the kinds of a `type` of JSON Schema; `None` for another word.
    pub(crate) fn with_type(self, name: &str) -> Option<Self> {
        Some(match name {
            "null" => self.with(Kind::Null),
            "boolean" => self.with(Kind::Boolean),
            "integer" => self.with(Kind::Integer),
            "number" => self.with(Kind::Integer).with(Kind::Fraction),
            "string" => self.with(Kind::String),
            "array" => self.with(Kind::Array),
            "object" => self.with(Kind::Object),
            _ => return None,
        })
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.contains(Kind::Fraction);
        let names = [
            (self.contains(Kind::Null), "null"),
            (self.contains(Kind::Boolean), "boolean"),
            (self.contains(Kind::Integer) && !number, "integer"),
            (number, "number"),
            (self.contains(Kind::String), "string"),
            (self.contains(Kind::Array), "array"),
            (self.contains(Kind::Object), "object"),
        ];
        let names: Vec<_> =
            names.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
        f.write_str(&names.join(" or "))
    }
}

/// An end of a range of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub(crate) value: Decimal,
    /// Whether the value itself is outside.
    pub(crate) exclusive: bool,
}

impl Bound {
    /// Of two ends of a range, the one that leaves less.
    pub(crate) fn tighter(a: Option<Self>, b: Self, is_least: bool) -> Option<Self> {
        let Some(a) = a else { return Some(b) };
        let order = a.value.cmp(&b.value);
        let order = if is_least { order } else { order.reverse() };
        Some(if order.then(a.exclusive.cmp(&b.exclusive)).is_ge() { a } else { b })
    }

    /// Whether the number is inside of this least bound.
    pub(crate) fn is_below(&self, number: &Decimal) -> bool {
        if self.exclusive { self.value < *number } else { self.value <= *number }
    }

    /// Whether the number is inside of this greatest bound.
    pub(crate) fn is_above(&self, number: &Decimal) -> bool {
        if self.exclusive { self.value > *number } else { self.value >= *number }
    }
}

/// Counts from `least` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Range {
    pub(crate) const ANY: Self = Self { least: 0, most: u64::MAX };
    pub(crate) const SOME: Self = Self { least: 1, most: u64::MAX };

    pub(crate) fn is_empty(self) -> bool {
        self.least > self.most
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { least: self.least.max(other.least), most: self.most.min(other.most) }
    }

    pub(crate) fn contains(self, count: u64) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

/// The values of an `enum` or `const`.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    /// Which of the two.
    pub(crate) keyword: &'static str,
    pub(crate) values: Vec<Value>,
}

impl Allowed {
    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.values.iter().any(|allowed| equal(allowed, value))
    }
}

/// `if` with its `then` and `else`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) test: NodeId,
    pub(crate) then: Option<NodeId>,
    pub(crate) otherwise: Option<NodeId>,
}

/// `contains` with its counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contains {
    pub(crate) schema: NodeId,
    pub(crate) count: Range,
}

/// One subschema. A keyword that is absent has the value that refuses nothing.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it stands in the document.
    pub(crate) pointer: String,

    pub(crate) kinds: Kinds,
    /// `enum` and `const`: the value is in each list.
    pub(crate) allowed: Vec<Allowed>,

    pub(crate) least: Option<Bound>,
    pub(crate) most: Option<Bound>,
    pub(crate) multiple_of: Option<Decimal>,

    pub(crate) length: Range,
    pub(crate) pattern: Option<Arc<Pattern>>,

    pub(crate) prefix: Vec<NodeId>,
    pub(crate) items: Option<NodeId>,
    pub(crate) unevaluated_items: Option<NodeId>,
    pub(crate) contains: Option<Contains>,
    pub(crate) count: Range,
    pub(crate) unique: bool,

    pub(crate) properties: BTreeMap<String, NodeId>,
    pub(crate) patterns: Vec<(Arc<Pattern>, NodeId)>,
    pub(crate) additional: Option<NodeId>,
    pub(crate) unevaluated_properties: Option<NodeId>,
    pub(crate) names: Option<NodeId>,
    pub(crate) required: BTreeSet<String>,
    pub(crate) size: Range,
    pub(crate) dependent_required: BTreeMap<String, BTreeSet<String>>,
    pub(crate) dependent_schemas: BTreeMap<String, NodeId>,

    pub(crate) reference: Option<NodeId>,
    pub(crate) all_of: Vec<NodeId>,
    pub(crate) any_of: Vec<NodeId>,
    pub(crate) one_of: Vec<NodeId>,
    pub(crate) not: Option<NodeId>,
    pub(crate) condition: Option<Condition>,
}

impl Node {
    /// The schema `true`.
    pub(crate) fn anything(pointer: String) -> Self {
        Self {
            pointer,
            kinds: Kinds::ALL,
            allowed: Vec::new(),
            least: None,
            most: None,
            multiple_of: None,
            length: Range::ANY,
            pattern: None,
            prefix: Vec::new(),
            items: None,
            unevaluated_items: None,
            contains: None,
            count: Range::ANY,
            unique: false,
            properties: BTreeMap::new(),
            patterns: Vec::new(),
            additional: None,
            unevaluated_properties: None,
            names: None,
            required: BTreeSet::new(),
            size: Range::ANY,
            dependent_required: BTreeMap::new(),
            dependent_schemas: BTreeMap::new(),
            reference: None,
            all_of: Vec::new(),
            any_of: Vec::new(),
            one_of: Vec::new(),
            not: None,
            condition: None,
        }
    }

    pub(crate) fn allows_kind_and_value(&self, value: &Value) -> bool {
        self.kinds.contains(Kind::of(value))
            && self.allowed.iter().all(|allowed| allowed.contains(value))
    }

    pub(crate) fn allows_number(&self, number: &Decimal) -> bool {
        self.least.as_ref().is_none_or(|least| least.is_below(number))
            && self.most.as_ref().is_none_or(|most| most.is_above(number))
            && self.multiple_of.as_ref().is_none_or(|unit| number.is_multiple_of(unit))
    }

    /// The subschemas that speak of the same value.
    pub(crate) fn in_place(&self) -> impl Iterator<Item = NodeId> {
        let condition = self.condition.iter();
        let condition = condition.flat_map(|c| [Some(c.test), c.then, c.otherwise]).flatten();
        let lists = [&self.all_of, &self.any_of, &self.one_of].into_iter().flatten().copied();
        let dependent = self.dependent_schemas.values().copied();
        self.reference.into_iter().chain(lists).chain(self.not).chain(condition).chain(dependent)
    }
}
