//! The rules against the life of every object, against hostile authors and against chance. One
//! binary, so that it links once.

#[macro_use]
mod provoke;

mod archived;
mod discovery;
mod excerpts;
mod findings;
mod invariants;
mod judged;
mod lives;
mod refusals;
mod sequences;
mod sight;
mod speech;
mod tasks;
mod world;

/// A file that no `mod` names is never compiled, and its tests silently never run.
#[test]
fn every_test_file_is_compiled() {
    let source = include_str!("main.rs");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for entry in std::fs::read_dir(directory).expect("the test directory") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a UTF-8 file name");
        let declared = source.lines().any(|line| line == format!("mod {stem};"));
        assert!(stem == "main" || declared, "{stem} is not declared in main.rs");
    }
}
