//! Where a projection's rows lie: one directory for each time that they were built.
//!
//! ```text
//! projections/<name>/current          which of them is served, as `v1-0`
//! projections/<name>/v<version>-<n>/  the rows of one build, with seal and lock beside it
//! projections/<name>/audit.jsonl      what became of them, one line each
//! ```

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use tally_store::{FileError, Step};

/// One build of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Build {
    /// Version of the fold.
    pub version: u32,
    /// How many builds of this version there were before.
    pub number: u32,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}-{}", self.version, self.number)
    }
}

impl FromStr for Build {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (version, number) = text.strip_prefix('v').and_then(|t| t.split_once('-')).ok_or(())?;
        let build = Self {
            version: version.parse().map_err(|_| ())?,
            number: number.parse().map_err(|_| ())?,
        };
        // One spelling.
        if build.to_string() == text { Ok(build) } else { Err(()) }
    }
}

/// The directory of one projection.
#[derive(Debug, Clone)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn open(data: &Path, name: &str) -> Result<Self, FileError> {
        let dir = data.join("projections").join(name);
        fs::create_dir_all(&dir).map_err(FileError::at(Step::Create, &dir))?;
        Ok(Self(dir))
    }

    pub(super) fn rows(&self, build: Build) -> PathBuf {
        self.0.join(build.to_string())
    }

    /// The build that is served; `None` when there is none, or not any more.
    pub(super) fn current(&self) -> Option<Build> {
        let text = fs::read_to_string(self.0.join("current")).ok()?;
        text.trim_end().parse().ok().filter(|build| self.rows(*build).is_dir())
    }

    /// Serves this build from now on, and at the next start.
    pub(super) fn make_current(&self, build: Build) -> Result<(), FileError> {
        let path = self.0.join("current");
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            writeln!(file, "{build}")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            fs::File::open(&self.0)?.sync_all()
        };
        write().map_err(FileError::at(Step::Write, &path))
    }

    /// All builds of which something is there, in order.
    pub(super) fn builds(&self) -> Vec<Build> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut builds: Vec<_> = names.filter_map(|name| name.parse().ok()).collect();
        builds.sort_unstable();
        builds
    }

    /// Removes what there is of a build. What can't be removed is tried again at the next start.
    pub(super) fn remove(&self, build: Build) {
        let dir = self.rows(build);
        let mut removed = vec![fs::remove_dir_all(&dir)];
        for suffix in ["seal", "trial", "lock"] {
            removed.push(fs::remove_file(dir.with_extension(suffix)));
        }
        for error in removed.into_iter().filter_map(Result::err) {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, dir = %dir.display(), "an old build could not be removed");
            }
        }
    }

    /// Writes down what became of the projection.
    pub(super) fn note(&self, line: &impl Serialize) {
        let path = self.0.join("audit.jsonl");
        let json = serde_json::to_string(line).expect("numbers and texts are JSON");
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(format!("{json}\n").as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), json, "an audit line was not written");
        }
    }

    /// What was written down, the latest last; lines that are cut off are left out.
    pub(super) fn notes(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.0.join("audit.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_one_name() {
        let build = Build { version: 12, number: 3 };
        assert_eq!(build.to_string().parse(), Ok(build));
        for wrong in ["", "v", "v1", "1-0", "v1-0.seal", "v01-0", "v1-+0", "v1--1", "v1-0 "] {
            assert_eq!(wrong.parse::<Build>(), Err(()), "{wrong}");
        }
    }
}
