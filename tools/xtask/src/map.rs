//! The map of the crates, `crates/README.md`, held to the manifests.
//!
//! The map is the first table whose first column is headed `crate`. Its first column is a crate's
//! directory in backticks; its last column lists in backticks, separated by commas, the crates of
//! this workspace that it uses, or is `–` for none:
//!
//! ```text
//! | crate | the one thing it does | uses |
//! |---|---|---|
//! | `tlog` | Merkle tree, notes, checkpoints, proofs | – |
//! | `protocol` | messages, envelopes, events | `tlog` |
//! ```
//!
//! Only `[dependencies]` count; what tests and build scripts use is not on the map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::workspace::{Kind, Package};
use crate::{Error, Problem};

/// Where the map is, from the root.
pub const MAP: &str = "crates/README.md";

/// What every crate's name begins with and its directory does not.
const PREFIX: &str = "tally-";

/// One row of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line of the file, from 1.
    pub line: usize,
    /// The crate, by its directory.
    pub name: String,
    /// The crates that it uses.
    pub uses: BTreeSet<String>,
}

/// Holds the map to the packages.
///
/// # Errors
/// [`Error::Read`]. A map that is not there is a problem like any other.
pub fn check(root: &Path, packages: &[Package]) -> Result<Vec<Problem>, Error> {
    let path = root.join(MAP);
    if !path.exists() {
        let text = "the map of the crates is missing";
        return Ok(vec![Problem::of(MAP, text)]);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
    Ok(match parse(&text) {
        Ok(rows) => compare(&rows, &arrows(packages)),
        Err(problems) => problems,
    })
}

/// Which crates there are, by directory, and which of them each uses.
fn arrows(packages: &[Package]) -> BTreeMap<String, BTreeSet<String>> {
    let directory = |package: &Package| {
        let name = package.directory.strip_prefix("crates").ok()?.to_str()?;
        Some(name.to_owned())
    };
    let by_name: BTreeMap<&str, String> = packages
        .iter()
        .filter_map(|package| Some((package.name.as_str(), directory(package)?)))
        .collect();
    let uses = |package: &Package| {
        let normal = package.dependencies.iter().filter(|used| used.kind == Kind::Normal);
        normal.filter_map(|used| by_name.get(used.name.as_str()).cloned()).collect()
    };
    packages.iter().filter_map(|package| Some((directory(package)?, uses(package)))).collect()
}

fn compare(rows: &[Row], crates: &BTreeMap<String, BTreeSet<String>>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Row { line, name, uses } in rows {
        let mut report = |text| problems.push(Problem::at(MAP, *line, text));
        let Some(used) = crates.get(name) else {
            report(format!("there is no crates/{name}; remove its row"));
            continue;
        };
        for other in uses.difference(used) {
            let not = if crates.contains_key(other) {
                "does not use it"
            } else {
                "cannot: no such crate"
            };
            report(format!("says that `{name}` uses `{other}`; crates/{name}/Cargo.toml {not}"));
        }
        for other in used.difference(uses) {
            report(format!(
                "does not say that `{name}` uses `{other}`, as crates/{name}/Cargo.toml does: add \
                 the arrow, or take the dependency out"
            ));
        }
    }
    let named: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
    for name in crates.keys().filter(|name| !named.contains(name)) {
        problems.push(Problem::of(MAP, format!("has no row for `{name}`")));
    }
    problems
}

// ------------------------------------------------------------------ the table

/// Reads the map's rows.
///
/// # Errors
/// Every row that can't be read, or that there is no map in the text.
pub fn parse(text: &str) -> Result<Vec<Row>, Vec<Problem>> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, cells(line)));
    let is_header = |cells: &Vec<String>| cells[0].eq_ignore_ascii_case("crate");
    if !lines.any(|(_, cells)| cells.as_ref().is_some_and(is_header)) {
        let text = "has no table whose first column is headed `crate`";
        return Err(vec![Problem::of(MAP, text)]);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut problems = Vec::new();
    let table = lines.map_while(|(line, cells)| Some((line, cells?)));
    for (line, cells) in table.filter(|(_, cells)| !is_separator(cells)) {
        match row(line, &cells) {
            Ok(row) if rows.iter().any(|earlier| earlier.name == row.name) => {
                problems.push(Problem::at(MAP, line, format!("a second row for `{}`", row.name)));
            }
            Ok(row) => rows.push(row),
            Err(text) => problems.push(Problem::at(MAP, line, text)),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

/// The cells of a line of a table; `\|` does not end a cell.
fn cells(line: &str) -> Option<Vec<String>> {
    const ESCAPED: &str = "\u{0}";
    let line = line.trim().replace("\\|", ESCAPED);
    let inner = line.strip_prefix('|')?;
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    Some(inner.split('|').map(|cell| cell.trim().replace(ESCAPED, "|")).collect())
}

fn is_separator(cells: &[String]) -> bool {
    cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| c == '-' || c == ':'))
}

fn row(line: usize, cells: &[String]) -> Result<Row, String> {
    let [first, .., last] = cells else {
        return Err("a row of the map has at least two cells".into());
    };
    let name = name(first).ok_or_else(|| {
        format!("the first cell is a crate's directory in backticks, as in `tlog`; found: {first}")
    })?;
    Ok(Row { line, name, uses: names(last)? })
}

/// A list of names, or one of the dashes that mean none.
fn names(cell: &str) -> Result<BTreeSet<String>, String> {
    if ["", "-", "–", "—"].contains(&cell) {
        return Ok(BTreeSet::new());
    }
    let mut names = BTreeSet::new();
    for part in cell.split(',').map(str::trim) {
        let name = name(part).ok_or_else(|| {
            format!("the last cell lists crates as in `tlog`, `protocol`, or is –; found: {part}")
        })?;
        if !names.insert(name) {
            return Err(format!("the last cell lists {part} twice"));
        }
    }
    Ok(names)
}

/// A name in backticks; `tally-tlog` is `tlog`.
fn name(cell: &str) -> Option<String> {
    let name = cell.strip_prefix('`')?.strip_suffix('`')?;
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn table(rows: &str) -> String {
        format!(
            "# Map\n\n| file | what |\n|---|---|\n| `a` | b |\n\n| crate | what | uses |\n|---|---|:-:|\n{rows}\n\nMore text.\n| `not` | in the map |"
        )
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn texts(problems: Vec<Problem>) -> Vec<String> {
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn the_map_is_the_table_headed_crate() {
        let rows = parse(&table(
            "| `tlog` | a \\| b | – |\n| `protocol` | messages | `tlog` |\n\
             | `node` | joins | `tally-tlog`, `protocol` |",
        ));
        let expected = [
            Row { line: 9, name: "tlog".into(), uses: set(&[]) },
            Row { line: 10, name: "protocol".into(), uses: set(&["tlog"]) },
            Row { line: 11, name: "node".into(), uses: set(&["protocol", "tlog"]) },
        ];
        assert_eq!(rows.expect("a map"), expected);
    }

    #[test]
    fn what_is_no_map_is_refused_with_the_line() {
        let check = |rows: &str, expect: &str| {
            let problems = parse(&table(rows)).expect_err("is no map");
            assert_eq!(texts(problems), [format!("{MAP}:9: {expect}")]);
        };
        check("| `tlog` |", "a row of the map has at least two cells");
        check(
            "| tlog | x | – |",
            "the first cell is a crate's directory in backticks, as in `tlog`; found: tlog",
        );
        check(
            "| `tlog` | x | `a` and `b` |",
            "the last cell lists crates as in `tlog`, `protocol`, or is –; found: `a` and `b`",
        );
        check("| `tlog` | x | `a`, `a` |", "the last cell lists `a` twice");
        let twice = parse(&table("| `tlog` | x | – |\n| `tlog` | y | – |")).expect_err("twice");
        assert_eq!(texts(twice), [format!("{MAP}:10: a second row for `tlog`")]);
        let none = parse("| package | uses |\n|---|---|\n").expect_err("no map");
        let expected = format!("{MAP}: has no table whose first column is headed `crate`");
        assert_eq!(texts(none), [expected]);
    }

    fn package(directory: &str, dependencies: &[(&str, Kind)]) -> Package {
        let name = Path::new(directory).file_name().expect("a name").to_str().expect("UTF-8");
        let dependency =
            |(name, kind): &(&str, Kind)| Dependency { name: (*name).into(), kind: *kind };
        Package {
            name: format!("{PREFIX}{name}"),
            directory: directory.into(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn only_crates_and_what_they_ship_with_are_arrows() {
        let packages = [
            package("crates/tlog", &[("sha2", Kind::Normal)]),
            package("crates/store", &[("tally-tlog", Kind::Normal), ("tally-node", Kind::Dev)]),
            package("crates/node", &[("tally-benches", Kind::Normal)]),
            package("benches", &[("tally-tlog", Kind::Normal)]),
        ];
        let expected = [("tlog", set(&[])), ("store", set(&["tlog"])), ("node", set(&[]))];
        let expected = expected.map(|(name, uses)| (name.to_owned(), uses));
        assert_eq!(arrows(&packages), BTreeMap::from(expected));
    }

    #[test]
    fn map_and_manifests_say_the_same() {
        let crates = [("tlog", set(&[])), ("store", set(&["tlog"])), ("node", set(&["store"]))];
        let crates = BTreeMap::from(crates.map(|(name, uses)| (name.to_owned(), uses)));
        let check = |rows: &str, expect: &[&str]| {
            let rows = parse(&table(rows)).expect("a map");
            assert_eq!(texts(compare(&rows, &crates)), expect);
        };
        let whole = "| `tlog` | a | – |\n| `store` | b | `tlog` |\n| `node` | c | `store` |";
        check(whole, &[]);
        check(
            &whole.replace("c | `store`", "c | `tlog`"),
            &[
                "crates/README.md:11: says that `node` uses `tlog`; crates/node/Cargo.toml does \
                 not use it",
                "crates/README.md:11: does not say that `node` uses `store`, as \
                 crates/node/Cargo.toml does: add the arrow, or take the dependency out",
            ],
        );
        check(
            &whole.replace("a | –", "a | `gone`"),
            &["crates/README.md:9: says that `tlog` uses `gone`; crates/tlog/Cargo.toml cannot: \
               no such crate"],
        );
        check(
            &whole.replace("`node`", "`nodes`"),
            &[
                "crates/README.md:11: there is no crates/nodes; remove its row",
                "crates/README.md: has no row for `node`",
            ],
        );
    }
}
