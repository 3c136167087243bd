//! The official JSON Schema Test Suite, where it is present: every verdict on every value, and no
//! answer of a comparison that a value of the suite contradicts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tally_schema::{Compatibility, Schema, SchemaError, compare};

/// Fewer than there were when this was written, so that an empty or moved directory is seen.
const LEAST_VERDICTS: usize = 1_100;

/// How many groups of a file need what is refused here: `$dynamicRef`, a relative `$id` inside a
/// document, something outside of the document, or another dialect.
const REFUSED: [(&str, usize); 8] = [
    ("anchor", 2),
    ("defs", 1),
    ("dynamicRef", 19),
    ("ref", 7),
    ("refRemote", 15),
    ("unevaluatedItems", 1),
    ("unevaluatedProperties", 1),
    ("vocabulary", 2),
];

struct Group {
    file: String,
    description: String,
    schema: Value,
    tests: Vec<(Value, bool)>,
}

fn groups() -> Option<Vec<Group>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = base.join("../../../shared/vectors/json-schema-test-suite/tests/draft2020-12");
    if !directory.is_dir() {
        println!("skipped: no test suite at {}", directory.display());
        return None;
    }
    let files = std::fs::read_dir(directory).expect("a directory");
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let files = files.iter().filter(|path| path.is_file());
    Some(files.flat_map(|path| groups_of(path)).collect())
}

fn groups_of(path: &Path) -> Vec<Group> {
    let text = std::fs::read_to_string(path).expect("a file of tests");
    let groups: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let tests = |group: &Value| {
        let tests = group["tests"].as_array().expect("tests").iter();
        tests.map(|test| (test["data"].clone(), test["valid"] == true)).collect()
    };
    let group = |group: &Value| Group {
        file: stem.to_owned(),
        description: group["description"].as_str().expect("a description").to_owned(),
        schema: group["schema"].clone(),
        tests: tests(group),
    };
    groups.iter().map(group).collect()
}

#[test]
fn every_verdict_is_right() {
    let Some(groups) = groups() else { return };
    let (mut verdicts, mut refused) = (0, BTreeMap::new());
    for group in &groups {
        let about = format!("{}: {}: {}", group.file, group.description, group.schema);
        let schema = match Schema::parse(group.schema.to_string()) {
            Ok(schema) => schema,
            Err(error) => {
                let is_expected = matches!(
                    error,
                    SchemaError::Unsupported { .. }
                        | SchemaError::Reference { .. }
                        | SchemaError::Dialect { .. }
                );
                assert!(is_expected, "{about}: {error}");
                *refused.entry(group.file.as_str()).or_insert(0) += 1;
                continue;
            }
        };
        for (value, valid) in &group.tests {
            assert_eq!(schema.validate(value).is_ok(), *valid, "{about}: {value}");
            verdicts += 1;
        }
    }
    println!("{verdicts} verdicts");
    assert!(verdicts >= LEAST_VERDICTS, "only {verdicts} verdicts");
    assert_eq!(refused, BTreeMap::from(REFUSED));
}

/// The schemas of a file speak of the same things, so each is compared with each.
#[test]
fn no_value_contradicts_an_answer() {
    let Some(groups) = groups() else { return };
    let readable = |group: &Group| Schema::parse(group.schema.to_string()).ok();
    let groups: Vec<_> =
        groups.iter().filter_map(|group| Some((group, readable(group)?))).collect();
    let (mut answers, mut unknown) = (0, 0);
    for (narrow, narrow_schema) in &groups {
        for (wide, wide_schema) in groups.iter().filter(|(wide, _)| wide.file == narrow.file) {
            answers += 1;
            match compare(narrow_schema, wide_schema) {
                Compatibility::Compatible => {
                    let values = narrow.tests.iter().chain(&wide.tests).map(|(value, _)| value);
                    for value in values.filter(|value| narrow_schema.validate(value).is_ok()) {
                        assert_eq!(
                            wide_schema.validate(value),
                            Ok(()),
                            "{} in {}: {value}",
                            narrow.schema,
                            wide.schema
                        );
                    }
                }
                Compatibility::Incompatible { counterexample, .. } => {
                    assert_eq!(narrow_schema.validate(&counterexample), Ok(()));
                    assert!(wide_schema.validate(&counterexample).is_err());
                }
                Compatibility::Unknown { .. } => unknown += 1,
            }
        }
    }
    println!("{answers} answers, {unknown} unknown");
    assert!(unknown * 10 < answers, "{unknown} of {answers} are unknown");
}
