//! The inputs that are kept: valid ones and edge cases in `corpus/`, those that once broke
//! something in `crashes/`. A file an input, a directory a target.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::targets::Target;

/// The directory of this package: where the kept inputs are when it is run from the source tree.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where a target's inputs are kept.
pub fn directory(target: &Target) -> PathBuf {
    home().join("corpus").join(target.name)
}

/// Where the inputs are kept that broke a target.
pub fn crashes(target: &Target) -> PathBuf {
    home().join("crashes").join(target.name)
}

/// All files of a directory by name, in order; none when there is no such directory.
///
/// # Errors
/// The system's.
pub fn read(directory: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Keeps an input that broke a target, and says where.
///
/// # Errors
/// The system's.
pub fn keep_crash(target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let directory = crashes(target);
    fs::create_dir_all(&directory)?;
    let path = directory.join(&blake3::hash(input).to_hex()[..16]);
    fs::write(&path, input)?;
    Ok(path)
}
