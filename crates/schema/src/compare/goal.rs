//! What a value that is looked for must be.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use crate::decimal::Decimal;
use crate::json::canonical;
use crate::node::{NodeId, Range};
use crate::pattern::Pattern;

/// Something asked of a value of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Goal<'a> {
    /// It fits the subschema.
    Is(NodeId),
    /// It does not.
    IsNot(NodeId),
    /// It is a text.
    IsText,
    /// It is a text with a match of the pattern, or without one.
    Matches(&'a Pattern, bool),
    /// It is not this value, given as [`canonical`] text.
    Differs(Rc<str>),
}

impl Goal<'_> {
    pub(crate) fn differs(value: &Value) -> Self {
        Self::Differs(canonical(value).into())
    }
}

/// Something asked of a value of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fact<'a> {
    /// A number above the bound, which is `exclusive` if it is `true`.
    Least(&'a Decimal, bool),
    /// A number below the bound.
    Most(&'a Decimal, bool),
    Multiple(&'a Decimal),
    NotMultiple(&'a Decimal),

    /// A text with so many characters.
    Length(Range),

    /// A list of so many items.
    Count(Range),
    /// The items fit `prefixItems` and `items` of the subschema.
    Items(NodeId),
    /// So many items fit the subschema.
    Contains(NodeId, Range),
    Unique,
    /// Two items are equal.
    Repeats,
    /// There is an item at the place, and it does not fit.
    Item(usize, NodeId),
    /// An item at the place or behind it does not fit.
    SomeItem(usize, NodeId),

    /// An object of so many members.
    Size(Range),
    Present(&'a str),
    Absent(&'a str),
    /// The members fit `properties`, `patternProperties`, `additionalProperties` of the subschema.
    Members(NodeId),
    /// The names fit the subschema.
    Names(NodeId),
    /// There is a member of the name, and it does not fit.
    Member(&'a str, NodeId),
    /// A member whose name matches does not fit.
    SomeMatching(&'a Pattern, NodeId),
    /// A member that `properties` and `patternProperties` of the first subschema say nothing of
    /// does not fit the second.
    SomeOther(NodeId, NodeId),
    /// A member of a name that nothing mentions does not fit. That asks more than it must, and is
    /// only ever one way of several.
    SomeUnseen(NodeId, NodeId),
    /// A name does not fit.
    SomeName(NodeId),

    /// Nothing, but a keyword of the subschema is not looked at.
    Doubt(NodeId),
}

/// One of several things asked at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Clause<'a> {
    Goal(Goal<'a>),
    Fact(Fact<'a>),
}

/// Everything asked in one alternative.
pub(crate) type Alternative<'a> = Vec<Clause<'a>>;

/// Alternatives of which one must hold.
pub(crate) type Choice<'a> = Vec<Alternative<'a>>;

/// All that is asked of a value of one kind, as far as it was worked out.
#[derive(Clone, Default)]
pub(crate) struct State<'a> {
    /// Asked, and not looked into yet.
    pub(crate) open: Vec<Clause<'a>>,
    pub(crate) is: BTreeSet<NodeId>,
    pub(crate) is_not: BTreeSet<NodeId>,
    pub(crate) matches: BTreeSet<(&'a Pattern, bool)>,
    pub(crate) differs: BTreeSet<Rc<str>>,
    pub(crate) facts: BTreeSet<Fact<'a>>,
    pub(crate) choices: Vec<Choice<'a>>,
    /// The shortest list of values that the value must be in.
    pub(crate) values: Option<&'a [Value]>,
}

impl<'a> State<'a> {
    /// Whether the alternative asks nothing new.
    pub(crate) fn implies(&self, alternative: &Alternative<'a>) -> bool {
        alternative.iter().all(|clause| match clause {
            Clause::Goal(Goal::Is(id)) => self.is.contains(id),
            Clause::Goal(Goal::IsNot(id)) => self.is_not.contains(id),
            // Asked of names only, and never in a choice.
            Clause::Goal(Goal::IsText) => false,
            Clause::Goal(Goal::Matches(pattern, holds)) => {
                self.matches.contains(&(pattern, *holds))
            }
            Clause::Goal(Goal::Differs(text)) => self.differs.contains(text),
            Clause::Fact(Fact::Doubt(_)) => false,
            Clause::Fact(fact) => self.facts.contains(fact),
        })
    }

    /// How much there is to copy.
    pub(crate) fn weight(&self) -> u64 {
        let sets = self.is.len() + self.is_not.len() + self.differs.len() + self.facts.len();
        (sets + self.choices.len()) as u64
    }
}
