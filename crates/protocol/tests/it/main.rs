//! The language of the ledger against published vectors, pinned bytes, damage and arbitrary
//! input. One binary, so that it links once.

mod canonical;
mod events;
mod golden;
mod json;
mod malformed;
mod one_pass;
mod properties;

mod samples;
mod signatures;
mod signing;
mod strategies;

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
