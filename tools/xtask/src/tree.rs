//! What files there are: at the top of the tree, and of code in all of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Problem};

/// What may be at the top, beside names that begin with a dot and what `.gitignore` names there.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "crates",
    "proto",
    "tools",
    "tests",
    "benches",
    "target",
];

/// Names whatever does not belong at the top.
///
/// # Errors
/// [`Error::Read`].
pub fn check_top_level(root: &Path) -> Result<Vec<Problem>, Error> {
    let ignored = ignored_at_top(root)?;
    let mut problems = Vec::new();
    for (name, _) in entries(root)? {
        let known = TOP_LEVEL.contains(&name.as_str()) || ignored.contains(&name);
        if !known && !name.starts_with('.') {
            problems.push(Problem::of(name, "does not belong at the top of the tree"));
        }
    }
    Ok(problems)
}

/// The entries of `.gitignore` that name one thing at the top, as `/tally-data` does.
fn ignored_at_top(root: &Path) -> Result<Vec<String>, Error> {
    let path = root.join(".gitignore");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
    let name = |line: &str| line.trim_end_matches('/').strip_prefix('/').map(str::to_owned);
    Ok(text.lines().filter_map(name).collect())
}

/// Every `.rs` file, from the root and in order; not those of `target` or of dot directories.
///
/// # Errors
/// [`Error::Read`].
pub fn rust_files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let ignored = ignored_at_top(root)?;
    for (name, is_directory) in entries(root)? {
        if is_directory && !name.starts_with('.') && name != "target" && !ignored.contains(&name) {
            collect(root, Path::new(&name), &mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for (name, is_directory) in entries(&root.join(directory))? {
        let path = directory.join(&name);
        if name.starts_with('.') {
            continue;
        }
        if is_directory {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Names, and whether each is a directory; links are not followed.
fn entries(directory: &Path) -> Result<Vec<(String, bool)>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::read(directory))? {
        let entry = entry.map_err(Error::read(directory))?;
        let is_directory = entry.file_type().map_err(Error::read(directory))?.is_dir();
        entries.push((entry.file_name().to_string_lossy().into_owned(), is_directory));
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, if *file == ".gitignore" { "/target\n/data/\n" } else { "" })
                .expect("a file");
        }
        dir
    }

    #[test]
    fn what_does_not_belong_at_the_top_is_named() {
        let dir = tree(&["Cargo.toml", ".gitignore", ".ci/run", "data/x", "crates/a", "notes.txt"]);
        let problems = check_top_level(dir.path()).expect("read");
        assert_eq!(problems, [Problem::of("notes.txt", "does not belong at the top of the tree")]);
    }

    #[test]
    fn code_is_found_where_it_is_written_and_not_where_it_is_built() {
        let dir = tree(&[
            ".gitignore",
            "crates/b/src/lib.rs",
            "crates/a/build.rs",
            "crates/a/README.md",
            "target/x.rs",
            "data/y.rs",
            ".git/z.rs",
            "crates/.hidden/w.rs",
        ]);
        let files = rust_files(dir.path()).expect("read");
        assert_eq!(files, [Path::new("crates/a/build.rs"), Path::new("crates/b/src/lib.rs")]);
    }
}
