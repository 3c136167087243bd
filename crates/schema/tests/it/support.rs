//! What the tests share.

use serde_json::Value;
use tally_schema::{Compatibility, Schema, compare};

/// A schema that must be readable.
#[track_caller]
pub(crate) fn schema(document: &Value) -> Schema {
    Schema::parse(document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The answer, with what must hold for every answer.
#[track_caller]
pub(crate) fn compared(narrow: &Value, wide: &Value) -> Compatibility {
    let (narrow, wide) = (schema(narrow), schema(wide));
    let answer = compare(&narrow, &wide);
    if let Compatibility::Incompatible { counterexample, .. } = &answer {
        assert_eq!(narrow.validate(counterexample), Ok(()), "{answer}");
        assert!(wide.validate(counterexample).is_err(), "{answer}");
    }
    answer
}
