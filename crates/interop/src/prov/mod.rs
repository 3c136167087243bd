//! Provenance in the words of W3C PROV: one model, three ways to write it, and a check of the order
//! in time that PROV demands.
//!
//! | module | what | source |
//! |---|---|---|
//! | `recorder` | a ledger as a PROV document | the graph of `tally-provenance` |
//! | `json` | PROV-JSON, written and read | W3C Member Submission 2013-04-24 |
//! | `notation` | PROV-N, written | PROV-N, REC 2013-04-30 |
//! | `turtle` | PROV-O with qualified relations, written | PROV-O, REC 2013-04-30 |
//! | `constraints` | what must come before what | PROV-CONSTRAINTS, REC 2013-04-30 |
//!
//! A [`Document`] is a list of records; a [`Record`] has the parts that its [`Kind`] names, in the
//! order of PROV-N, and any attributes. What a part may hold is said once, in [`Kind::parts`], and
//! every writer and the reader go by it. Inferences of PROV-CONSTRAINTS are not added to a document.

mod constraints;
mod json;
mod notation;
mod recorder;
mod turtle;

use std::collections::BTreeMap;
use std::fmt;

pub use constraints::{Constraint, Contradiction, MAX_VIOLATIONS, Step, Violation, check};
pub use json::{MAX_PROV_BYTES, ProvError};
pub use recorder::{MAX_DERIVATIONS, Recorder, TALLY};

/// The namespace of PROV.
pub const PROV: &str = "http://www.w3.org/ns/prov#";

/// The namespace of XML Schema's datatypes.
pub const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

/// A qualified name: prefix, colon, local part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// A name of a namespace with this prefix. The local part is letters, digits and hyphens, which
    /// need no escape in any of the three languages.
    pub(crate) fn new(prefix: &str, local: impl fmt::Display) -> Self {
        Self(format!("{prefix}:{local}"))
    }

    /// A name as somebody else wrote it.
    pub(crate) fn read(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Prefix, colon, local part.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A name.
    Name(Name),
    /// A text, with its datatype where it is not `xsd:string`, or its language.
    Literal {
        /// The lexical form.
        text: String,
        /// The name of its datatype.
        datatype: Option<Name>,
        /// BCP 47.
        language: Option<String>,
    },
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Literal { text: text.into(), datatype: None, language: None }
    }

    pub(crate) fn number(number: u64) -> Self {
        Self::typed(number.to_string(), "long")
    }

    pub(crate) fn time(time: &str) -> Self {
        Self::typed(time.to_owned(), "dateTime")
    }

    fn typed(text: String, datatype: &str) -> Self {
        Self::Literal { text, datatype: Some(Name::new("xsd", datatype)), language: None }
    }
}

/// What the part of a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Time,
}

/// A part of a record: its name in PROV-JSON without `prov:`, and what it holds.
pub(crate) type Part = (&'static str, Sort);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $keyword:literal, [$($part:literal $sort:ident),*];)*) => {
        /// What a record is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its word in PROV-N and PROV-JSON.
            pub fn keyword(self) -> &'static str {
                match self {
                    $(Self::$kind => $keyword,)*
                }
            }

            /// Its parts in the order of PROV-N, without the id of an element.
            pub(crate) fn parts(self) -> &'static [Part] {
                match self {
                    $(Self::$kind => &[$(($part, Sort::$sort)),*],)*
                }
            }
        }
    };
}

kinds! {
    /// A thing.
    Entity = "entity", [];
    /// Something that happens over time.
    Activity = "activity", ["startTime" Time, "endTime" Time];
    /// Who bears responsibility.
    Agent = "agent", [];
    /// An entity is there from now on.
    Generation = "wasGeneratedBy", ["entity" Name, "activity" Name, "time" Time];
    /// An activity begins to use an entity.
    Usage = "used", ["activity" Name, "entity" Name, "time" Time];
    /// An activity uses what another one generated.
    Communication = "wasInformedBy", ["informed" Name, "informant" Name];
    /// An activity begins, by a trigger that another activity generated.
    Start = "wasStartedBy", ["activity" Name, "trigger" Name, "starter" Name, "time" Time];
    /// An activity ends.
    End = "wasEndedBy", ["activity" Name, "trigger" Name, "ender" Name, "time" Time];
    /// An entity is no longer.
    Invalidation = "wasInvalidatedBy", ["entity" Name, "activity" Name, "time" Time];
    /// An entity comes from another.
    Derivation = "wasDerivedFrom", ["generatedEntity" Name, "usedEntity" Name, "activity" Name,
        "generation" Name, "usage" Name];
    /// An agent answers for an entity.
    Attribution = "wasAttributedTo", ["entity" Name, "agent" Name];
    /// An agent has a part in an activity, under a plan.
    Association = "wasAssociatedWith", ["activity" Name, "agent" Name, "plan" Name];
    /// An agent acts for another.
    Delegation = "actedOnBehalfOf", ["delegate" Name, "responsible" Name, "activity" Name];
    /// Anything has an effect on anything.
    Influence = "wasInfluencedBy", ["influencee" Name, "influencer" Name];
    /// An entity is an aspect of another.
    Specialization = "specializationOf", ["specificEntity" Name, "generalEntity" Name];
    /// Two entities are aspects of one thing.
    Alternate = "alternateOf", ["alternate1" Name, "alternate2" Name];
    /// An entity is in a collection.
    Membership = "hadMember", ["collection" Name, "entity" Name];
    /// An aspect of an entity, as a bundle has it.
    Mention = "mentionOf", ["specificEntity" Name, "generalEntity" Name, "bundle" Name];
}

impl Kind {
    /// Whether it stands for something, and not between things.
    pub(crate) fn is_element(self) -> bool {
        matches!(self, Self::Entity | Self::Activity | Self::Agent)
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// What it is called; elements always have a name.
    pub id: Option<Name>,
    /// The parts of its kind, in their order: names and times as written.
    pub(crate) parts: Vec<Option<String>>,
    /// The rest, in order; a name may come several times.
    pub attributes: Vec<(Name, Value)>,
}

impl Record {
    /// A record of a kind, with its parts in order.
    ///
    /// # Panics
    /// When there are other parts than the kind has.
    pub(crate) fn new<const N: usize>(kind: Kind, id: Name, parts: [Option<String>; N]) -> Self {
        assert_eq!(kind.parts().len(), N, "{} has other parts", kind.keyword());
        Self { kind, id: Some(id), parts: parts.into(), attributes: Vec::new() }
    }

    pub(crate) fn with(mut self, name: Name, value: Value) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// The part of this name in PROV-JSON, without `prov:`.
    pub fn part(&self, name: &str) -> Option<&str> {
        let at = self.kind.parts().iter().position(|(part, _)| *part == name)?;
        self.parts[at].as_deref()
    }

    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(found, _)| found.as_str() == name).map(|(_, value)| value)
    }
}

/// A PROV document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Namespaces by prefix; `prov` and `xsd` need not be said. The default namespace is `default`.
    pub prefixes: BTreeMap<String, String>,
    /// What is stated.
    pub records: Vec<Record>,
    /// Documents within, by name; each is judged on its own.
    pub bundles: BTreeMap<String, Document>,
}

impl Document {
    /// The record of this kind and name.
    pub fn find(&self, kind: Kind, id: &str) -> Option<&Record> {
        let is_it = |record: &&Record| {
            record.kind == kind && record.id.as_ref().is_some_and(|name| name.as_str() == id)
        };
        self.records.iter().find(is_it)
    }

    /// How many records there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.records.iter().filter(|record| record.kind == kind).count()
    }

    /// The URI that a name stands for; the name itself where its prefix is not declared.
    pub(crate) fn uri(&self, name: &str) -> String {
        let (prefix, local) = name.split_once(':').unwrap_or(("default", name));
        match (self.prefixes.get(prefix), prefix) {
            (Some(namespace), _) => format!("{namespace}{local}"),
            (None, "prov") => format!("{PROV}{local}"),
            (None, "xsd") => format!("{XSD}{local}"),
            (None, _) => name.to_owned(),
        }
    }
}
