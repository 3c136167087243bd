//! A full disk: the ledger on a file system of its own, small, filled by ballast.
//!
//! Needs a mount namespace of one's own, which an ordinary user gets from `unshare` where the
//! system allows user namespaces.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use tally_tests::program::{Server, copy};

use crate::load::Effort;
use crate::world::{World, ended};
use crate::{Failure, Report, Violation};

/// Size of the small file system, as `mount` takes it.
const DISK: &str = "size=4m";

/// Agents that load the ledger.
const CLIENTS: u64 = 4;

/// New envelopes of each agent before the disk is full.
const BEFORE: u64 = 20;

/// New envelopes of each agent after the disk has been full.
const AFTER: u64 = 5;

/// Rounds of one envelope each after which a full disk must have been noticed.
const ROUNDS: usize = 200;

/// What a ledger did when its disk was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It refused appends with RESOURCE_EXHAUSTED, served reads, and took appends again once there
    /// was space, without a restart.
    Refused,
    /// It stopped, and said so.
    Stopped,
}

/// What runs a command in namespaces of its own, as their root.
pub fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command
}

/// Why no file system can be mounted here; nothing when one can.
pub fn missing(directory: &Path) -> Option<String> {
    let mut mount = unshare();
    mount.args(["mount", "-t", "tmpfs", "-o", DISK, "tally-faults"]).arg(directory);
    match mount.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// Fills the disk of a ledger that serves, and of one that starts. Must run under [`unshare`].
///
/// # Panics
/// When no file system can be mounted.
pub fn run(directory: &Path, seed: u64, strict: bool) -> Report<Option<Outcome>> {
    let disk = directory.join("disk");
    fs::create_dir_all(&disk).expect("a directory to mount on");
    let mount = ["-t", "tmpfs", "-o", DISK, "tally-faults"];
    let status = Command::new("mount").args(mount).arg(&disk).status().expect("mount runs");
    assert!(status.success(), "mount: {status}");
    let ballast = Ballast(disk.join("ballast"));
    let mut world = World::new(&disk.join("ledger"), CLIENTS, seed);
    match fill_and_free(&mut world, &ballast, strict) {
        Ok(outcome) => Report { summary: Some(outcome), failures: Vec::new() },
        Err(violation) => {
            // The disk goes when this process ends.
            let kept = directory.join("kept");
            copy(world.directory(), &kept);
            let failure = Failure::new(format!("seed {seed}, full disk"), violation, kept);
            Report { summary: None, failures: vec![failure] }
        }
    }
}

fn fill_and_free(world: &mut World, ballast: &Ballast, strict: bool) -> Result<Outcome, Violation> {
    let server = world.start()?;
    world.load(&server, Effort::of(BEFORE))?;
    let outcome = outlast(world, server, strict, || ballast.fill(), || ballast.drop())?;
    world.check()?;
    world.finish()?;

    ballast.fill();
    match world.try_start(&[])? {
        Ok(server) => server.kill(),
        Err(status) if !status.success() => {}
        Err(status) => return Err(Violation::Ended(status)),
    }
    ballast.drop();
    world.check()?;
    world.finish()?;
    Ok(outcome)
}

/// Has agents append while there is no space, and again when there is. `strict`: the ledger may
/// not stop. In the end the server has ended, one way or the other.
///
/// # Errors
/// [`Violation`].
pub fn outlast(
    world: &mut World,
    mut server: Server,
    strict: bool,
    fill: impl FnOnce(),
    free: impl FnOnce(),
) -> Result<Outcome, Violation> {
    fill();
    let mut stopped = false;
    let mut refused = false;
    for _ in 0..ROUNDS {
        let session = world.load(&server, Effort { tries: 0, ..Effort::of(1) })?;
        (stopped, refused) = (session.cut_off, session.full > 0);
        if stopped || refused {
            break;
        }
    }
    if stopped && strict {
        return Err(Violation::StoppedByFullDisk);
    }
    if stopped {
        let status = ended(&mut server.running).ok_or(Violation::Lingers)?;
        free();
        return if status.success() { Err(Violation::Ended(status)) } else { Ok(Outcome::Stopped) };
    }
    if !refused {
        return Err(Violation::NeverRefused);
    }
    world.read(&server)?;
    free();
    let session = world.load(&server, Effort::of(AFTER))?;
    if session.cut_off {
        return Err(Violation::StoppedByFullDisk);
    }
    world.settled()?;
    world.read(&server)?;
    server.kill();
    Ok(Outcome::Refused)
}

/// A file that takes all the space there is.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(&self) {
        let mut file = File::create(&self.0).expect("a file on the small disk");
        loop {
            match file.write(&[1; 512]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{}: {error}", self.0.display()),
            }
        }
    }

    fn drop(&self) {
        fs::remove_file(&self.0).expect("the ballast is there");
    }
}
