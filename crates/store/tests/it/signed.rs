//! Small logs whose commits carry signed checkpoints, with a tree beside them, and what a check
//! says about them.

use std::path::{Path, PathBuf};

use tally_store::fsck::{Finding, Report, Severity, fsck};
use tally_store::repair::{DirectorySource, RepairError, RepairStep, Repaired, Source, repair};
use tally_store::{Group, LogReader, LogWriter, TreeFiles};
use tally_tlog::{Checkpoint, CheckpointError, NoteSigner, SignedCheckpoint};

use crate::ledger::{Contents, Maker, contents, open, origin};

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed(origin().key_name(), &[5; 32])
}

/// Believes what [`signer`] has signed.
pub(crate) fn verify(note: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let keys = [signer().verifier_key()];
    let opened = SignedCheckpoint::parse(note)?.open(&keys, &origin())?;
    Ok(opened.checkpoint().clone())
}

/// The next group, its checkpoint signed.
pub(crate) fn group(maker: &mut Maker, count: u64) -> Group {
    group_of(maker, count, "payload")
}

pub(crate) fn group_of(maker: &mut Maker, count: u64, payload: &str) -> Group {
    sign(maker.group_of(count, |at| format!("{payload} of {at}").into_bytes()))
}

pub(crate) fn sign(mut group: Group) -> Group {
    let (size, root) = (group.commit.size, group.commit.root);
    let checkpoint = Checkpoint { origin: origin(), size, root };
    group.commit.checkpoint = checkpoint.sign(&signer()).to_bytes().into();
    group
}

/// Appends groups behind what is there and closes; returns what a reader then sees.
pub(crate) fn append(dir: &Path, groups: &[Group]) -> Contents {
    let (mut writer, reader, _) = open(dir).expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    for group in groups {
        writer.append(epoch, reader.tip().size, group).expect("append");
    }
    let tree = dir.join("tree");
    let opened = TreeFiles::open(&tree, &reader.tip(), &reader, &mut |_| {});
    let (mut tree, _, _) = opened.expect("a tree");
    tree.sync().expect("sync");
    writer.close().expect("close");
    contents(&reader)
}

/// A log of groups of these sizes, with its tree.
pub(crate) fn fill(dir: &Path, sizes: &[u64]) -> Contents {
    fill_with(dir, sizes, "payload")
}

pub(crate) fn fill_with(dir: &Path, sizes: &[u64], payload: &str) -> Contents {
    let mut maker = Maker::new();
    let groups: Vec<Group> =
        sizes.iter().map(|&count| group_of(&mut maker, count, payload)).collect();
    append(dir, &groups)
}

pub(crate) fn check(dir: &Path) -> Report {
    fsck(dir, Some(&origin()), &verify, &mut |_| {}).expect("a log")
}

/// Findings of this severity.
pub(crate) fn of(report: &Report, severity: Severity) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity == severity).collect()
}

pub(crate) fn repair_from(dir: &Path, copy: &Path) -> Result<Repaired, RepairError> {
    let source = DirectorySource::open(copy).expect("a copy");
    repair_with(dir, &source, &mut |_| {})
}

pub(crate) fn repair_with(
    dir: &Path,
    source: &dyn Source,
    progress: &mut dyn FnMut(RepairStep),
) -> Result<Repaired, RepairError> {
    repair(dir, &origin(), source, &verify, progress)
}

/// Copies a data directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    for path in crate::ledger::files(from) {
        let target = to.join(path.strip_prefix(from).expect("below"));
        std::fs::create_dir_all(target.parent().expect("in a directory")).expect("create");
        std::fs::copy(&path, target).expect("copy");
    }
}

/// A file's path from the data directory.
pub(crate) fn relative(dir: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(dir).expect("below").to_owned()
}

/// A directory in memory where there is one: thousands of syncs are made here.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}
