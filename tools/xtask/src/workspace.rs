//! The packages of the workspace and what they depend on, as cargo reads their manifests.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Error, Problem};

/// Crates that only one package may depend on, and that package's directory.
const CONFINED: [(&str, &str); 4] = [
    ("fjall", "crates/store"),
    ("bincode", "crates/store"),
    ("rusqlite", "crates/analytics"),
    ("parquet", "crates/analytics"),
];

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, as in `tally-store`.
    pub name: String,
    /// Its directory, from the root.
    pub directory: PathBuf,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

/// One dependency of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// Which table of the manifest it is in.
    pub kind: Kind,
}

/// A table of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `[dependencies]`
    Normal,
    /// `[dev-dependencies]`
    Dev,
    /// `[build-dependencies]`
    Build,
}

/// Asks cargo for the packages; needs neither the network nor a lock file.
///
/// # Errors
/// [`Error`] when cargo can't be run or says no.
pub fn packages(root: &Path) -> Result<Vec<Package>, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(Error::Cargo)?;
    if !output.status.success() {
        return Err(Error::CargoFailed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata = serde_json::from_slice(&output.stdout).map_err(|_| Error::Metadata("JSON"))?;
    read(&metadata).ok_or(Error::Metadata("packages with names, paths and dependencies"))
}

fn read(metadata: &Value) -> Option<Vec<Package>> {
    let root = Path::new(metadata["workspace_root"].as_str()?);
    let package = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            directory: manifest.parent()?.strip_prefix(root).ok()?.to_owned(),
            dependencies: package["dependencies"]
                .as_array()?
                .iter()
                .map(dependency)
                .collect::<Option<_>>()?,
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

fn dependency(dependency: &Value) -> Option<Dependency> {
    let kind = match dependency["kind"].as_str() {
        None => Kind::Normal,
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        Some(_) => return None,
    };
    Some(Dependency { name: dependency["name"].as_str()?.to_owned(), kind })
}

/// Who depends on what it should not know.
pub fn check(packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        for (confined, home) in CONFINED {
            let depends = package.dependencies.iter().any(|used| used.name == confined);
            if depends && package.directory != Path::new(home) {
                let text = format!("depends on {confined}, which only {home} may know");
                problems.push(Problem::of(package.directory.join("Cargo.toml"), text));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> Value {
        let dependencies = json!([
            { "name": "tally-tlog", "kind": null },
            { "name": "fjall", "kind": "dev" },
        ]);
        let package = |directory: &str| {
            let manifest = format!("/w/crates/{directory}/Cargo.toml");
            let name = format!("tally-{directory}");
            json!({ "name": name, "manifest_path": manifest, "dependencies": dependencies })
        };
        json!({ "workspace_root": "/w", "packages": [package("store"), package("node")] })
    }

    #[test]
    fn metadata_is_read() {
        let packages = read(&metadata()).expect("packages");
        assert_eq!(packages[1].name, "tally-node");
        assert_eq!(packages[1].directory, Path::new("crates/node"));
        let [tlog, fjall] = &packages[1].dependencies[..] else { panic!("two dependencies") };
        assert_eq!((tlog.name.as_str(), tlog.kind), ("tally-tlog", Kind::Normal));
        assert_eq!((fjall.name.as_str(), fjall.kind), ("fjall", Kind::Dev));
    }

    #[test]
    fn other_shapes_are_refused() {
        assert_eq!(read(&json!({})), None);
        let mut odd = metadata();
        odd["packages"][0]["dependencies"][0]["kind"] = json!("artifact");
        assert_eq!(read(&odd), None);
    }

    #[test]
    fn only_the_store_knows_its_engine() {
        let problems = check(&read(&metadata()).expect("packages"));
        let text = "depends on fjall, which only crates/store may know";
        assert_eq!(problems, [Problem::of("crates/node/Cargo.toml", text)]);
    }
}
