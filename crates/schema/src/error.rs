//! Why a document is no schema that can be used here.

use crate::limits::{
    MAX_BYTES, MAX_DIGITS, MAX_EXPONENT, MAX_IN_PLACE, MAX_PATTERN_BYTES, MAX_SUBSCHEMAS,
};

/// A document that is refused. `at` is a JSON pointer into the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// More than [`MAX_BYTES`].
    #[error("the schema has {bytes} bytes, at most {MAX_BYTES} are read")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// No JSON, or JSON with a name that stands twice, or nested too deep.
    #[error("the schema is not JSON as it must be: {0}")]
    Json(String),
    /// A number that a double or a 64-bit integer would change.
    #[error(
        "the number {token} would change when it is read: use a 64-bit integer, or at most \
         {MAX_DIGITS} digits and a power of ten from -{MAX_EXPONENT} to {MAX_EXPONENT}"
    )]
    Number {
        /// As it stands in the document.
        token: String,
    },
    /// A keyword's value is not what JSON Schema 2020-12 asks for.
    #[error("at {at:?}: must be {expected}")]
    Keyword {
        /// Where.
        at: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Another dialect than 2020-12.
    #[error(
        "at {at:?}: dialect {found:?} is not known; use https://json-schema.org/draft/2020-12/schema"
    )]
    Dialect {
        /// Where.
        at: String,
        /// What `$schema` says.
        found: String,
    },
    /// A keyword that would change what is valid and is not supported.
    #[error("at {at:?}: not supported; {remedy}")]
    Unsupported {
        /// Where.
        at: String,
        /// What to use.
        remedy: &'static str,
    },
    /// A pattern that can't be used.
    #[error("at {at:?}: the pattern {reason}")]
    Pattern {
        /// Where.
        at: String,
        /// Why not.
        reason: String,
    },
    /// A `$ref` to something that is not in the document. Nothing is ever fetched.
    #[error(
        "at {at:?}: {reference:?} names nothing in this document; nothing is fetched, so put it under $defs"
    )]
    Reference {
        /// Where.
        at: String,
        /// What `$ref` says.
        reference: String,
    },
    /// A name, by `$id` or `$anchor`, that two schemas of the document have.
    #[error("at {at:?}: the name {name:?} is taken by another schema of this document")]
    Name {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// A schema that applies itself to the same value, for ever.
    #[error("at {at:?}: the schema applies itself to the same value without end")]
    Endless {
        /// Where.
        at: String,
    },
    /// More than [`MAX_SUBSCHEMAS`].
    #[error("the schema has more than {MAX_SUBSCHEMAS} subschemas")]
    TooManySubschemas,
    /// More than [`MAX_IN_PLACE`] subschemas that speak of the same value one inside another.
    #[error(
        "at {at:?}: more than {MAX_IN_PLACE} subschemas speak of the same value, one inside another"
    )]
    TooDeep {
        /// Where.
        at: String,
    },
    /// Patterns that take more than [`MAX_PATTERN_BYTES`].
    #[error("at {at:?}: the patterns of the schema take more than {MAX_PATTERN_BYTES} bytes")]
    PatternsTooLarge {
        /// The one that is too much.
        at: String,
    },
}
