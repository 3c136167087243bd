//! `tally backup` and `tally restore`: a copy of a ledger that can be brought up to date, and a
//! ledger from a copy.
//!
//! A backup is the segments up to a commit, the ledger's public key, and `backup.json`, which says
//! what must be there. The private key is copied only when asked for.

use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tally_store::{Copied, copy_log};
use tally_tlog::{Checkpoint, SignedCheckpoint};
use tally_verify::Verdict;

use crate::args::{BackupArgs, RestoreArgs};
use crate::commands::verify::{read_checkpoints, verify_directory};
use crate::error::CliError;
use crate::keys::log_key_in;
use crate::output::Output;

/// What a backup must hold.
const MANIFEST: &str = "backup.json";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// Events in the backup.
    size: u64,
    /// The signed note of their tree.
    checkpoint: String,
}

#[derive(Serialize)]
struct Answer {
    size: u64,
    segments_written: usize,
    segments_kept: usize,
    bytes_written: u64,
    directory: String,
}

impl Answer {
    fn new(copied: &Copied, directory: &Path) -> Self {
        Self {
            size: copied.commit.as_ref().map_or(0, |commit| commit.size.as_u64()),
            segments_written: copied.written,
            segments_kept: copied.kept,
            bytes_written: copied.bytes,
            directory: directory.display().to_string(),
        }
    }

    fn text(&self, verb: &str) -> String {
        format!(
            "{verb} {} events in {}: {} segments written ({} bytes), {} were there already",
            self.size,
            self.directory,
            self.segments_written,
            self.bytes_written,
            self.segments_kept
        )
    }
}

pub(crate) fn backup(args: BackupArgs, output: Output) -> Result<(), CliError> {
    let copied = copy(&args.data, &args.to, output)?;
    copy_file(&args.data, &args.to, "log.pub")?;
    if args.with_key {
        copy_file(&args.data, &args.to, "log.key")?;
    }
    let manifest = Manifest {
        size: copied.commit.as_ref().map_or(0, |commit| commit.size.as_u64()),
        checkpoint: copied.commit.as_ref().map_or(Ok(String::new()), |commit| {
            String::from_utf8(commit.checkpoint.to_vec())
                .map_err(|error| CliError::failed("the last checkpoint is no text", error))
        })?,
    };
    let text = serde_json::to_string_pretty(&manifest).expect("strings and numbers");
    replace(&args.to.join(MANIFEST), text.as_bytes())?;
    output.answer(&Answer::new(&copied, &args.to), |answer| answer.text("backed up"));
    Ok(())
}

/// A ledger comes back only whole: all that the manifest promises, and all of it valid. Earlier
/// checkpoints that the restored log does not contain mean that others have seen more of it: it
/// would fork, so it is not restored.
pub(crate) fn restore(args: RestoreArgs, output: Output) -> Result<(), CliError> {
    if args.data.join("log").exists() {
        let data = args.data.display();
        return Err(CliError::Usage(format!("{data} holds a ledger; restore into another place")));
    }
    let manifest = read_manifest(&args.from)?;
    if manifest.size == 0 {
        return Err(CliError::Absent("the backup is of a ledger without events".into()));
    }
    let mut earlier = read_checkpoints(&args.seen)?;
    earlier.extend(manifest_checkpoint(&manifest)?);
    let key = match log_key_in(&args.from)? {
        Some(key) => key,
        None => return Err(CliError::Usage("the backup has no log.pub".into())),
    };
    let report = verify_directory(&args.from, Some(key), earlier, output)?;
    if report.verdict != Verdict::Valid {
        let found = report.first_bad.map_or(String::new(), |bad| {
            format!(": position {} breaks {}: {}", bad.position, bad.rule, bad.found)
        });
        let verdict = report.verdict.name();
        return Err(CliError::Absent(format!(
            "the backup is {verdict}{found}; nothing was restored"
        )));
    }
    let copied = copy(&args.from, &args.data, output)?;
    copy_file(&args.from, &args.data, "log.pub")?;
    if args.from.join("log.key").exists() {
        copy_file(&args.from, &args.data, "log.key")?;
    } else {
        output.say("note: the backup has no log.key; put it beside log.pub before you serve");
    }
    output.answer(&Answer::new(&copied, &args.data), |answer| answer.text("restored"));
    Ok(())
}

fn copy(from: &Path, to: &Path, output: Output) -> Result<Copied, CliError> {
    fs::create_dir_all(to).map_err(|error| CliError::failed(to.display(), error))?;
    let bar = output.progress("copying", 0);
    let copied = copy_log(from, to, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    });
    bar.finish_and_clear();
    copied.map_err(|error| CliError::Failed(error.to_string()))
}

fn read_manifest(from: &Path) -> Result<Manifest, CliError> {
    let path = from.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| {
        CliError::Usage(format!(
            "{}: {error}; name a directory made by `tally backup`",
            path.display()
        ))
    })?;
    serde_json::from_str(&text).map_err(|error| CliError::failed(path.display(), error))
}

fn manifest_checkpoint(manifest: &Manifest) -> Result<Option<Checkpoint>, CliError> {
    if manifest.checkpoint.is_empty() {
        return Ok(None);
    }
    let signed = SignedCheckpoint::parse(manifest.checkpoint.as_bytes())
        .map_err(|error| CliError::failed(MANIFEST, error))?;
    Ok(Some(signed.unverified().clone()))
}

fn copy_file(from: &Path, to: &Path, name: &str) -> Result<(), CliError> {
    let source = from.join(name);
    let bytes = fs::read(&source).map_err(|error| CliError::failed(source.display(), error))?;
    let target = to.join(name);
    replace(&target, &bytes)?;
    let permissions =
        fs::metadata(&source).map_err(|error| CliError::failed(source.display(), error))?;
    fs::set_permissions(&target, permissions.permissions())
        .map_err(|error| CliError::failed(target.display(), error))
}

/// Writes a file so that the old or the new one is there, whatever happens, and the new one once
/// this returns.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::failed(path.display(), error);
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).map_err(failed)?;
    File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let directory = path.parent().expect("a file in a directory");
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
