//! The whole, from outside: the program as a child process, its gRPC services with a raw client,
//! and data directories in the hands of those who mean ill. One binary, so that it links once.

mod ask;
mod attesting;
mod backup;
mod bundle;
mod conformance;
mod crashes;
mod damage;
mod distrust;
mod exchange;
mod fsck;
mod interop;
mod kept;
mod market;
mod mirror;
mod operator;
mod program;
mod projections;
mod questions;
mod quorum;
mod refusals;
mod roles;
mod rot;
mod rows;
mod service;
mod sql;
mod streams;
mod tiles;
mod witness;
mod workflows;

/// A file that no `mod` names is never compiled, and its tests silently never run.
#[test]
fn every_test_file_is_compiled() {
    let source = include_str!("main.rs");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    for entry in std::fs::read_dir(directory).expect("the test directory") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a UTF-8 file name");
        let declared = source.lines().any(|line| line == format!("mod {stem};"));
        assert!(stem == "main" || declared, "{stem} is not declared in main.rs");
    }
}
