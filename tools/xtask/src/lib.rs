//! The rules of the tree that the compiler does not check.
//!
//! | rule | where |
//! |---|---|
//! | `crates/README.md` names exactly the crates there are, and who uses whom | [`map`] |
//! | only `tally-store` depends on fjall or bincode, only `tally-analytics` on rusqlite or parquet | [`workspace`] |
//! | no file of code is longer than [`source::MAX_LINES`] lines | [`source`] |
//! | no lint is allowed without a reason; no `unsafe`, `todo!`, `unimplemented!` or `dbg!` | [`source`] |
//! | at the top there is only what belongs there | [`tree`] |
//!
//! Nothing here changes a file or needs the network.

pub mod map;
pub mod source;
pub mod tree;
pub mod workspace;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, from the root of the workspace.
    pub path: PathBuf,
    /// The line, from 1; absent when it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    /// About a whole file.
    pub fn of(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, text: text.into() }
    }

    /// About a line of a file.
    pub fn at(path: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Why the tree could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory can't be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// `cargo metadata` did not run.
    #[error("cargo metadata: {0}")]
    Cargo(io::Error),
    /// `cargo metadata` failed.
    #[error("cargo metadata failed: {0}")]
    CargoFailed(String),
    /// `cargo metadata` printed something else than this program knows.
    #[error("cargo metadata printed no {0}")]
    Metadata(&'static str),
}

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// The root of this workspace.
///
/// # Panics
/// When this package has been moved out of it.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tools/xtask is two below")
}

/// Looks at the whole tree; what is wrong comes in the order of files and lines.
///
/// # Errors
/// [`Error`] when the tree can't be looked at.
pub fn tidy(root: &Path) -> Result<Vec<Problem>, Error> {
    let packages = workspace::packages(root)?;
    let mut problems = map::check(root, &packages)?;
    problems.extend(workspace::check(&packages));
    problems.extend(tree::check_top_level(root)?);
    for path in tree::rust_files(root)? {
        let full = root.join(&path);
        let text = std::fs::read_to_string(&full).map_err(Error::read(&full))?;
        problems.extend(source::check(&path, &text));
    }
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let problems = tidy(root()).expect("the tree can be read");
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(lines.is_empty(), "run `cargo xtask tidy`:\n{}", lines.join("\n"));
    }

    #[test]
    fn a_problem_names_its_place() {
        assert_eq!(Problem::at("a/b.rs", 7, "is odd").to_string(), "a/b.rs:7: is odd");
        assert_eq!(Problem::of("a/b.rs", "is odd").to_string(), "a/b.rs: is odd");
    }
}
