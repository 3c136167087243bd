//! R13, R14: schemas that the log carries, and whether the data of one fits another.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tally_protocol::Digest;
use tally_protocol::parts::{Dialect, Schema as SchemaRef};
use tally_schema::{Compatibility, Schema, SchemaError, compare};

use crate::state::State;

/// A schema document of the log, read.
#[derive(Clone)]
pub struct Document {
    digest: Digest,
    text: Arc<str>,
    schema: Arc<Schema>,
}

impl Document {
    /// Reads the document of a reference that is to be judged and has it inline.
    pub(crate) fn read(reference: &SchemaRef) -> Option<Result<Self, SchemaError>> {
        let text = reference.inline.as_str();
        let judged = reference.dialect == Some(Dialect::JsonSchema) && !text.is_empty();
        judged.then(|| Self::of_text(reference.digest, text))
    }

    /// Reads a text that has this digest.
    pub(crate) fn of_text(digest: Digest, text: &str) -> Result<Self, SchemaError> {
        Ok(Self { digest, text: text.into(), schema: Arc::new(Schema::parse(text)?) })
    }

    /// The document as it was carried.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it is known by: BLAKE3-256 of the document.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// A document is what its digest names.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.digest)
    }
}

/// The document of a reference: carried before, or by the reference itself.
pub(crate) fn document(state: &State, reference: &SchemaRef) -> Option<Document> {
    reference.dialect?;
    let known = state.schema(&reference.digest).cloned();
    known.or_else(|| Document::read(reference)?.ok())
}

/// Whether all data of one schema is data of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "fit", content = "found")]
pub enum Fit {
    /// It is: proved, or they are one document.
    Fits,
    /// It is not: a value of the one that is none of the other.
    Misfits(Ground),
    /// Neither was shown: a document is not at hand, or the comparison gave up.
    Unknown(Ground),
}

/// Where and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ground {
    /// JSON pointer into the wide schema of a misfit, or the schema that leaves it unknown; empty
    /// for the whole.
    pub path: String,
    /// What was found, for people.
    pub found: String,
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)
    }
}

/// Whether all data of schema `narrow` is data of schema `wide`, with the documents that the log
/// has carried so far.
pub fn fit(state: &State, narrow: Option<&SchemaRef>, wide: Option<&SchemaRef>) -> Fit {
    let Some(wide) = wide else { return Fit::Fits };
    let unknown = |found| Fit::Unknown(Ground { path: String::new(), found });
    let Some(narrow) = narrow else { return unknown("is not stated".into()) };
    if narrow.digest == wide.digest {
        return Fit::Fits;
    }
    match (document(state, narrow), document(state, wide)) {
        (Some(narrow), Some(wide)) => {
            let answer = compare(narrow.schema(), wide.schema());
            let found = answer.to_string();
            match answer {
                Compatibility::Compatible => Fit::Fits,
                Compatibility::Incompatible { misfit, .. } => {
                    Fit::Misfits(Ground { path: misfit.schema, found })
                }
                Compatibility::Unknown { path, .. } => Fit::Unknown(Ground { path, found }),
            }
        }
        (None, _) => unknown(format!("schema {} is not judged", narrow.digest)),
        (_, None) => unknown(format!("schema {} is not judged", wide.digest)),
    }
}
