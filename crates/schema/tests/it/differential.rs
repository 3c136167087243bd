//! Our answers against two programs in Python that we did not write: `jsonschema` judges values
//! and counterexamples, `jsonsubschema` answers containment for what draft 4 can say.
//!
//! They run in a virtual environment that the test makes. Where that can't be, the test says so
//! and passes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::canonical::Containment;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tally_schema::{Compatibility, Schema, compare};

use crate::properties::containment;
use crate::strategies::{flat_schema, old_schema, pair, schema, value};

const PACKAGES: [&str; 2] = ["jsonschema==4.26.0", "jsonsubschema==0.0.8"];
const PAIRS: usize = 1_000;
const VALUES_A_PAIR: usize = 8;

/// Pairs that `jsonsubschema` answers the other way. It denies what it can't prove, so where we
/// prove what it denies, the crate `jsonschema` has the third word.
const MOST_CONTRADICTED: usize = 40;

/// Fewer pairs than both answered, so that a program that gives up on everything is seen.
const LEAST_AGREED: u64 = 100;

/// The environment's interpreter, made when it is not there; `Err` says what is missing.
fn python() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential-venv");
    let python = directory.join("bin/python");
    let imports = ["-c", "import jsonschema, jsonsubschema"];
    if run(Command::new(&python).args(imports)).is_ok() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--retries=1"])
        .args(PACKAGES))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn pairs() -> impl Strategy<Value = (Value, Value)> {
    prop_oneof![1 => (schema(), schema()), 1 => pair(flat_schema()), 3 => pair(old_schema())]
}

/// Writes pairs with our answers, one a line; says how many answers are of which kind.
fn write_pairs(path: &Path) -> Value {
    let mut runner = TestRunner::deterministic();
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let (mut compatible, mut incompatible, mut unknown) = (0, 0, 0);
    while compatible + incompatible + unknown < PAIRS {
        let (narrow, wide) = pairs().new_tree(&mut runner).expect("a pair").current();
        let values = prop::collection::vec(value(), VALUES_A_PAIR);
        let values = values.new_tree(&mut runner).expect("values").current();
        let read = |document: &Value| Schema::parse(document.to_string()).ok();
        let (Some(ours), Some(ours_wide)) = (read(&narrow), read(&wide)) else { continue };
        let (answer, counterexample) = match compare(&ours, &ours_wide) {
            Compatibility::Compatible => ("compatible", Value::Null),
            Compatibility::Incompatible { counterexample, .. } => ("incompatible", counterexample),
            Compatibility::Unknown { .. } => ("unknown", Value::Null),
        };
        match answer {
            "compatible" => compatible += 1,
            "incompatible" => incompatible += 1,
            _ => unknown += 1,
        }
        let verdict = |value: Value| json!([value, ours.validate(&value).is_ok()]);
        let values: Vec<Value> = values.into_iter().map(verdict).collect();
        let line = json!({
            "narrow": narrow, "wide": wide, "answer": answer, "counterexample": counterexample,
            "values": values,
        });
        writeln!(file, "{line}").expect("a line");
    }
    file.flush().expect("flushed");
    json!({"compatible": compatible, "incompatible": incompatible, "unknown": unknown})
}

#[test]
fn others_agree() {
    let python = match python() {
        Ok(python) => python,
        Err(missing) => {
            println!("left out: no Python environment with {PACKAGES:?} can be made: {missing}");
            return;
        }
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pairs.jsonl");
    let answers = write_pairs(&path);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential.py");
    let output = run(Command::new(python).arg(script).arg(&path)).expect("the script runs");
    let found: Value = serde_json::from_str(&output).expect("JSON");
    println!("{answers} {}", found["counts"]);
    assert_eq!(found["validators"], json!([]), "verdicts differ");
    assert_eq!(found["refuted"], json!([]), "counterexamples are not confirmed");
    let contradicted = found["contradicted"].as_array().expect("a list");
    assert!(contradicted.len() <= MOST_CONTRADICTED, "too many: {contradicted:?}");
    // What we call incompatible has a counterexample, which was confirmed above.
    for pair in contradicted.iter().filter(|pair| pair[2] == "compatible") {
        let third = containment(&pair[0], &pair[1]);
        println!("we prove what jsonsubschema denies; the third says {third:?}: {pair}");
        assert_ne!(third, Containment::No, "{pair}");
    }
    assert!(found["counts"]["agreed"].as_u64() > Some(LEAST_AGREED), "{}", found["counts"]);
}
