//! Is every value of one schema a value of another?

mod arrays;
mod classes;
mod expand;
mod goal;
mod numbers;
mod objects;
mod search;
mod strings;

use std::fmt;

use serde_json::Value;

use crate::compare::goal::Goal;
use crate::compare::search::{Doubt, Outcome, Reason, Search};
use crate::graph::Graph;
use crate::judge::Limit;
use crate::misfit::{Misfit, misfits, shortened};
use crate::schema::Schema;

/// The answer to: is every value of the narrow schema a value of the wide one?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// It is. This is proved.
    Compatible,
    /// It is not.
    Incompatible {
        /// Where, and by which keyword of the wide schema, the counterexample does not fit.
        misfit: Misfit,
        /// A value that fits the narrow schema and not the wide one; both were checked.
        counterexample: Value,
    },
    /// Neither was shown.
    Unknown {
        /// The schema that the reason is about.
        side: Side,
        /// JSON pointer into that schema; empty when the reason is about the whole.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// One of the two schemas that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one whose values are to fit the other.
    Narrow,
    /// The other.
    Wide,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
        })
    }
}

impl fmt::Display for Compatibility {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compatible => f.write_str("compatible"),
            Self::Incompatible { misfit, counterexample } => {
                let Misfit { instance, schema, rule } = misfit;
                let value = counterexample.pointer(instance).unwrap_or(counterexample);
                write!(f, "at {schema}: {} {rule}", shortened(&value.to_string()))?;
                if !instance.is_empty() {
                    write!(f, "; for example {}", shortened(&counterexample.to_string()))?;
                }
                Ok(())
            }
            Self::Unknown { side, path, reason } => {
                write!(f, "unknown, at {path:?} of the {side} schema: {reason}")
            }
        }
    }
}

/// Whether every value of `narrow` is a value of `wide`. A narrow schema without any value is
/// compatible with everything.
///
/// The answer depends on the two schemas alone, and takes bounded time and memory: see
/// [`limits`](crate::limits).
///
/// ```
/// use tally_schema::{Compatibility, Schema, compare};
///
/// let offered = Schema::parse(r#"{"type": "integer", "maximum": 10}"#)?;
/// let asked = Schema::parse(r#"{"type": "number", "maximum": 5}"#)?;
/// let answer = compare(&offered, &asked);
/// assert!(matches!(answer, Compatibility::Incompatible { .. }));
/// assert_eq!(answer.to_string(), "at /maximum: 6 must be at most 5");
/// # Ok::<(), tally_schema::SchemaError>(())
/// ```
pub fn compare(narrow: &Schema, wide: &Schema) -> Compatibility {
    let graph = Graph::of_two(&narrow.nodes, &wide.nodes);
    search(graph).unwrap_or_else(|limit| {
        let doubt = Doubt { about: None, reason: Reason::Limit(limit) };
        unknown(graph, doubt)
    })
}

fn search(graph: Graph<'_>) -> Result<Compatibility, Limit> {
    let (narrow, wide) = (graph.at(0), graph.second_root());
    let mut search = Search::new(graph)?;
    if search.are_same(narrow.id, wide.id) {
        return Ok(Compatibility::Compatible);
    }
    Ok(match search.solve(vec![Goal::Is(narrow.id), Goal::IsNot(wide.id)])? {
        Outcome::Nothing => Compatibility::Compatible,
        Outcome::Doubt(doubt) => unknown(graph, doubt),
        Outcome::Found(counterexample) => confirmed(&mut search, counterexample)?,
    })
}

/// Nothing is called incompatible without a counterexample that both schemas were asked about.
fn confirmed(search: &mut Search<'_>, counterexample: Value) -> Result<Compatibility, Limit> {
    let (graph, judge) = (search.graph, &mut search.judge);
    let fits_narrow = judge.fits(graph.at(0).id, &counterexample)?;
    let misfit = misfits(judge, graph.second_root(), &counterexample)?.into_iter().next();
    Ok(match misfit {
        Some(misfit) if fits_narrow => Compatibility::Incompatible { misfit, counterexample },
        _ => unknown(graph, Doubt { about: None, reason: Reason::Unconfirmed }),
    })
}

fn unknown(graph: Graph<'_>, doubt: Doubt) -> Compatibility {
    let about = doubt.about.map(|id| graph.at(id));
    Compatibility::Unknown {
        side: if about.is_some_and(|at| at.is_second()) { Side::Wide } else { Side::Narrow },
        path: about.map_or_else(String::new, |at| at.node.pointer.clone()),
        reason: doubt.reason.to_string(),
    }
}
