//! JSON Schema 2020-12: does a value fit, and is every value of one schema a value of another?
//!
//! [`Schema::parse`] reads a document, [`Schema::validate`] judges a value and names the places
//! where it does not fit, and [`compare`] says whether all that one schema accepts is accepted by
//! another: yes, no with a value that shows it, or that neither was shown. Rules that every
//! verifier runs again rest on these answers, so they depend on the bytes alone, are the same
//! everywhere, and take bounded time and memory: [`limits`].
//!
//! There is no I/O here and nothing is fetched: a `$ref` names something in its own document.
//! What a digest names is the bytes of a document; this crate does not hash. It does not look at
//! `format` and `content…`, which are annotations by default, nor at keywords that it does not
//! know. It refuses what would change a meaning that others see: other dialects, `$dynamicRef`,
//! look-around and back-references in patterns, names that stand twice, numbers that a double
//! does not keep.
//!
//! ```text
//! bytes ──Schema::parse──▶ Schema ──validate(value)──▶ Ok, or misfits
//!                          Schema × 2 ──compare──────▶ Compatible, Incompatible, Unknown
//! ```
//!
//! | module | what |
//! |---|---|
//! | `json`, `decimal`, `pattern` | strict documents, exact numbers, patterns as automata |
//! | `read`, `unevaluated`, `node`, `graph` | from a document to its subschemas |
//! | `judge`, `misfit` | validation |
//! | `compare` | compatibility: a search for a counterexample that is exhaustive where it says no |

pub mod limits;

mod compare;
mod decimal;
mod error;
mod graph;
mod json;
mod judge;
mod misfit;
mod node;
mod pattern;
mod read;
mod schema;
mod unevaluated;

pub use compare::{Compatibility, Side, compare};
pub use error::SchemaError;
pub use judge::Limit;
pub use misfit::{Invalid, Misfit};
pub use schema::Schema;
