//! A schema that was read and can be used.

use std::fmt;

use serde_json::Value;

use crate::error::SchemaError;
use crate::graph::Graph;
use crate::misfit::{Invalid, validate};
use crate::node::Node;
use crate::{json, read};

/// A JSON Schema 2020-12.
pub struct Schema {
    pub(crate) nodes: Vec<Node>,
}

impl Schema {
    /// Reads a document: UTF-8 JSON in which no name stands twice, that is a schema of 2020-12.
    ///
    /// # Errors
    /// [`SchemaError`] when it is something else, uses what is not supported, or is over a limit
    /// (see [`limits`](crate::limits)).
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, SchemaError> {
        let document = json::parse(bytes.as_ref())?;
        Ok(Self { nodes: read::read(&document)? })
    }

    /// Judges a value. `format` and `content…` are annotations, as 2020-12 has them by default.
    ///
    /// # Errors
    /// [`Invalid`] with the places where it does not fit, or with the limit that was reached.
    pub fn validate(&self, value: &Value) -> Result<(), Invalid> {
        validate(Graph::of(&self.nodes), value)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("subschemas", &self.nodes.len()).finish()
    }
}
