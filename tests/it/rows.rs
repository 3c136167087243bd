//! The table in this crate's README maps every row of the protocol to tests that are there.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Rows of the protocol that this ledger carries; R27 comes with federation.
const ROWS: std::ops::RangeInclusive<u32> = 1..=26;

/// The tests of each row: file and function.
fn table() -> BTreeMap<u32, Vec<(String, String)>> {
    let readme = include_str!("../README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| R"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let tests = cells[2].split('`').skip(1).step_by(2).map(|test| {
            let (file, function) = test.split_once("::").expect("a file and a function");
            (file.to_owned(), function.to_owned())
        });
        (cells[0].parse().expect("a row's number"), tests.collect())
    })
    .collect()
}

fn source(file: &str) -> String {
    let (crates, tests) = ("../crates/", "tests/it");
    let path = match file.split_once('/') {
        Some(("rules", module)) => format!("{crates}coordination/{tests}/{module}"),
        Some(("graph", module)) => format!("{crates}provenance/{tests}/{module}"),
        Some((of, module)) => format!("{crates}{of}/{tests}/{module}"),
        None => format!("it/{file}"),
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path).with_extension("rs");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_row_has_tests_and_they_are_there() {
    let table = table();
    assert!(table.keys().copied().eq(ROWS), "{:?}", table.keys());
    for (row, tests) in table {
        assert!(tests.len() > 1, "R{row} has {tests:?}");
        for (file, function) in tests {
            let source = source(&file);
            let known = [format!("fn {function}("), format!("=> {function} {{")];
            assert!(known.iter().any(|known| source.contains(known)), "{file}::{function}");
        }
    }
}
