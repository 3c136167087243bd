//! The parts that messages share: texts with limits, data references, schemas, constraints, money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{Canonical, Occurrence};
use crate::field::{Fault, Field, Malformed, absent_when_empty, code, record};
use crate::ids::{Digest, EnvelopeId};
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_TEXT_BYTES, MAX_URI_BYTES};
use crate::wire;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, limit: $limit:expr, empty: $empty:literal, control: $control:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the limits.
            pub fn new(text: impl Into<String>) -> Result<Self, Fault> {
                let text = text.into();
                if !$empty && text.is_empty() {
                    return Err(Fault::Missing);
                }
                if text.len() > $limit {
                    return Err(Fault::TooLong { limit: $limit, found: text.len() });
                }
                if !$control && text.chars().any(char::is_control) {
                    return Err(Fault::ControlCharacter);
                }
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Fault;

            fn from_str(text: &str) -> Result<Self, Fault> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Fault;

            fn try_from(text: String) -> Result<Self, Fault> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl Canonical for $name {
            fn from_field(field: Occurrence<'_>) -> Option<Self> {
                Self::new(field.text()?).ok()
            }

            fn absent() -> Option<Self> {
                if $empty { Some(Self(String::new())) } else { None }
            }
        }

        impl Field<String> for $name {
            fn read(wire: String) -> Result<Self, Malformed> {
                Ok(Self::new(wire)?)
            }

            fn write(&self) -> String {
                self.0.clone()
            }
        }
    };
}

text! {
    /// A name: not empty, no control characters, at most [`MAX_NAME_BYTES`].
    Name, limit: MAX_NAME_BYTES, empty: false, control: false
}
text! {
    /// Where data is, or its name: not empty, no control characters, at most [`MAX_URI_BYTES`].
    Uri, limit: MAX_URI_BYTES, empty: false, control: false
}
text! {
    /// A text for people: may be empty, at most [`MAX_TEXT_BYTES`].
    #[derive(Default)]
    Text, limit: MAX_TEXT_BYTES, empty: true, control: true
}
text! {
    /// A document such as a policy: may be empty, at most [`MAX_DOCUMENT_BYTES`].
    #[derive(Default)]
    Document, limit: MAX_DOCUMENT_BYTES, empty: true, control: true
}

absent_when_empty!(String: Name, Uri);

record! {
    /// Data by reference: where it is and what it must hash to.
    DataRef(wire::DataRef) {
        /// Where the data is, or its name.
        uri: Uri,
        /// BLAKE3-256 of the data, keyed by a salt where the data is personal.
        digest: Digest,
    } optional {
        /// Length in bytes.
        size: u64,
        /// Media type, as in `text/csv`.
        media_type: Option<Name>,
        /// The data itself where it is small and text; empty where it is not at hand.
        inline: Document,
    } check |data: &DataRef| hashes_to(&data.inline, &data.digest)
}

/// R13: a document that is at hand is the one that its digest names.
fn hashes_to(inline: &Document, digest: &Digest) -> Result<(), Malformed> {
    let document = inline.as_str().as_bytes();
    match document.is_empty() || Digest::of(document) == *digest {
        true => Ok(()),
        false => Err(Malformed::from(Fault::DigestMismatch).within("inline")),
    }
}

code! {
    /// What the rules may take a schema document for.
    Dialect(wire::schema::Dialect) {
        /// JSON Schema 2020-12.
        JsonSchema,
    }
}

record! {
    /// A schema by digest, with the document inline where the author chose so.
    Schema(wire::Schema) {
        /// BLAKE3-256 of the document.
        digest: Digest,
    } optional {
        /// Where the document can be had.
        uri: Option<Uri>,
        /// The document itself; empty where it is not inline.
        inline: Document,
        /// What it is written in; without a dialect it is not judged.
        dialect: Option<Dialect>,
    } check |schema: &Schema| hashes_to(&schema.inline, &schema.digest)
}

impl Schema {
    /// A JSON Schema 2020-12 with its document inline.
    ///
    /// # Errors
    /// [`Fault`] when the document is too long.
    pub fn inline(document: &str) -> Result<Self, Fault> {
        let digest = Digest::of(document.as_bytes());
        let (inline, dialect) = (Document::new(document)?, Some(Dialect::JsonSchema));
        Ok(Self { inline, dialect, ..Self::new(digest) })
    }
}

code! {
    /// How an attribute is compared with values.
    Comparison(wire::constraint::Comparison) {
        /// It has one of them.
        AnyOf,
        /// It has none of them.
        NoneOf,
        /// It has all of them.
        AllOf,
    }
}

record! {
    /// A condition on a named attribute: region, certification, encryption …
    Constraint(wire::Constraint) {
        /// The attribute.
        attribute: Name,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        values: Vec<Name>,
    }
}

record! {
    /// An amount of something that is needed or provided.
    Resource(wire::Resource) {
        /// `cpu.cores`, `memory`, `gpu` …
        name: Name,
        /// How much, in `unit`.
        amount: u64,
    } optional {
        /// UCUM unit: `1`, `By`, `us` …
        unit: Option<Name>,
    }
}

record! {
    /// A version of a policy, by the PolicyUpdate that put it in force.
    PolicyRef(wire::PolicyRef) {
        /// Id of the PolicyUpdate.
        update: EnvelopeId,
    }
}

record! {
    /// An amount of money in the smallest unit of its currency.
    Price(wire::Price) {
        /// How much.
        amount: u64,
        /// ISO 4217 code, or another unit that the parties agree on.
        currency: Name,
    }
}

record! {
    /// A named number: a performance figure, a score, a weight.
    Measure(wire::Measure) {
        /// What is measured.
        name: Name,
        /// How much, in `unit`.
        value: i64,
    } optional {
        /// UCUM unit.
        unit: Option<Name>,
    }
}

record! {
    /// A name and a value that the author chose.
    Label(wire::Label) {
        /// The name.
        key: Name,
    } optional {
        /// The value.
        value: Text,
    }
}
