//! What must hold for all schemas and values, by chance: against ourselves and against the
//! validator and the containment of the crate `jsonschema`, which shares only the translation of
//! patterns with ours.

use jsonschema::canonical::Containment;
use jsonschema::{Draft, PatternOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tally_schema::{Compatibility, Invalid, Schema, compare};

use crate::strategies::{flat_schema, pair, related, schema as any_schema, value};
use crate::support::compared;

/// The other validator; `None` for what it refuses.
fn other(document: &Value) -> Option<jsonschema::Validator> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(false)
        .build(document)
        .ok()
}

/// A schema that is not endless.
fn readable(document: &Value) -> Option<Schema> {
    Schema::parse(document.to_string()).ok()
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(value(), 24)
}

/// Without optimisation, fewer.
const CASES: u32 = if cfg!(debug_assertions) { 300 } else { 3_000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    /// The other validator gives the same verdicts.
    #[test]
    fn verdicts_agree(document in any_schema(), values in values()) {
        let Some(ours) = readable(&document) else { return Ok(()) };
        let theirs = other(&document).expect("what we read, they read");
        for value in values {
            let verdict = ours.validate(&value);
            prop_assert_eq!(verdict.is_ok(), theirs.is_valid(&value), "{} {}", document, value);
            if let Err(Invalid::Misfits(misfits)) = verdict {
                prop_assert!(!misfits.is_empty());
                for misfit in misfits {
                    prop_assert!(value.pointer(&misfit.instance).is_some(), "{}", misfit);
                }
            }
        }
    }

    /// No value contradicts a proof, and both validators confirm a counterexample.
    #[test]
    fn answers_hold(narrow in any_schema(), wide in any_schema(), values in values()) {
        answer_holds(&narrow, &wide, &values)?;
    }

    /// The same where one schema is made from the other so that it accepts no less: that must not be
    /// called incompatible.
    #[test]
    fn answers_hold_for_related((narrow, wide) in related(flat_schema()), values in values()) {
        answer_holds(&narrow, &wide, &values)?;
        answer_holds(&wide, &narrow, &values)?;
        if readable(&narrow).is_some() && readable(&wide).is_some() {
            let answer = compared(&narrow, &wide);
            let denied = matches!(answer, Compatibility::Incompatible { .. });
            prop_assert!(!denied, "{} {} {}", narrow, wide, answer);
        }
    }

    /// Any schema is compatible with itself.
    #[test]
    fn reflexive(document in any_schema()) {
        let Some(schema) = readable(&document) else { return Ok(()) };
        prop_assert_eq!(compare(&schema, &schema), Compatibility::Compatible);
    }

    /// Any bytes are read or refused.
    #[test]
    fn bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Schema::parse(&bytes);
    }
}

fn answer_holds(narrow: &Value, wide: &Value, values: &[Value]) -> Result<(), TestCaseError> {
    if readable(narrow).is_none() || readable(wide).is_none() {
        return Ok(());
    }
    let theirs = (other(narrow).expect("theirs"), other(wide).expect("theirs"));
    let refutes = |value: &Value| theirs.0.is_valid(value) && !theirs.1.is_valid(value);
    match compared(narrow, wide) {
        Compatibility::Compatible => {
            let found = values.iter().find(|value| refutes(value));
            prop_assert_eq!(found, None, "{} in {}", narrow, wide);
        }
        Compatibility::Incompatible { counterexample, .. } => {
            prop_assert!(refutes(&counterexample), "{} in {}: {}", narrow, wide, counterexample);
        }
        Compatibility::Unknown { .. } => {}
    }
    Ok(())
}

/// How often we and they said what.
#[derive(Default, Debug)]
struct Count {
    compatible: u32,
    incompatible: u32,
    unknown: u32,
    theirs_known: u32,
}

/// The containment of the crate `jsonschema` never says the contrary, and what we leave open is
/// little.
#[test]
fn containment_agrees() {
    let mut runner = TestRunner::deterministic();
    let pairs = prop_oneof![1 => (any_schema(), any_schema()), 2 => pair(flat_schema())];
    let mut count = Count::default();
    for _ in 0..2 * CASES {
        let (narrow, wide) = pairs.new_tree(&mut runner).expect("a pair").current();
        let (Some(ours), Some(ours_wide)) = (readable(&narrow), readable(&wide)) else { continue };
        let theirs = containment(&narrow, &wide);
        count.theirs_known += u32::from(theirs != Containment::Unknown);
        match compare(&ours, &ours_wide) {
            Compatibility::Compatible => {
                count.compatible += 1;
                assert_ne!(theirs, Containment::No, "{narrow} in {wide}");
            }
            Compatibility::Incompatible { counterexample, .. } => {
                count.incompatible += 1;
                assert_ne!(theirs, Containment::Yes, "{narrow} in {wide}: {counterexample}");
            }
            Compatibility::Unknown { .. } => count.unknown += 1,
        }
    }
    println!("{count:?}");
    let all = count.compatible + count.incompatible + count.unknown;
    assert!(count.unknown * 20 < all, "more than one in twenty is unknown: {count:?}");
}

/// What the crate `jsonschema` says.
pub(crate) fn containment(narrow: &Value, wide: &Value) -> Containment {
    let canonical = |document: &Value| {
        jsonschema::canonical::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .canonicalize(document)
            .ok()
    };
    match (canonical(narrow), canonical(wide)) {
        (Some(narrow), Some(wide)) => wide.covers(&narrow).unwrap_or(Containment::Unknown),
        _ => Containment::Unknown,
    }
}
