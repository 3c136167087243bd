//! `cargo xtask ratios`: builds what measures and what is measured, and hands over.
//!
//! The peers are in a workspace of their own, so that nobody else waits for their clients to build. The
//! client of UmaDB needs `protoc`: it is left out where there is none, and the others are measured.

use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

/// What is measured and what measures; and a test, because the features of all dependencies are then
/// those of `cargo test --workspace`, and nothing is built twice.
const TARGETS: [&str; 11] = [
    "--workspace",
    "--bin",
    "tally",
    "--bin",
    "tally-load",
    "--bin",
    "tally-ratios",
    "--bin",
    "tally-growth",
    "--test",
    "smoke",
];

/// Leaves the peers out; all other options are those of `tally-ratios`.
const WITHOUT_PEERS: &str = "--without-peers";

/// The exit code is that of the first program that fails, or of `tally-ratios`.
pub(crate) fn run(root: &Path, options: &[&str]) -> ExitCode {
    match try_run(root, options) {
        Ok(status) => {
            ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn try_run(root: &Path, options: &[&str]) -> io::Result<ExitStatus> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let built = build(root, &TARGETS)?;
    if !built.success() {
        return Ok(built);
    }
    let mut ratios = Command::new(target.join("release/tally-ratios"));
    ratios.args(options.iter().filter(|option| **option != WITHOUT_PEERS));
    if !options.contains(&WITHOUT_PEERS) {
        let own = target.join("peers");
        let place = own.display().to_string();
        let mut what = vec!["--manifest-path", "tools/peers/Cargo.toml", "--target-dir", &place];
        what.extend((!has_protoc()).then_some("--no-default-features"));
        let built = build(root, &what)?;
        if !built.success() {
            return Ok(built);
        }
        ratios.arg("--peers").arg(own.join("release/tally-peers"));
    }
    ratios.status()
}

/// Whether there is a `protoc`, where build scripts look for it.
fn has_protoc() -> bool {
    let protoc = std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    Command::new(protoc).arg("--version").output().is_ok_and(|said| said.status.success())
}

/// What cargo says about this package is not for the build of others: a build script that asks for
/// it would be run again whenever the chore is not what builds.
fn build(root: &Path, what: &[&str]) -> io::Result<ExitStatus> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release"]).args(what).current_dir(root);
    for (name, _) in std::env::vars_os() {
        let about = |prefix: &str| name.to_string_lossy().starts_with(prefix);
        if about("CARGO_PKG_") || about("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo.status()
}
