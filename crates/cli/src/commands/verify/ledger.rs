//! A data directory, judged from its bytes.

use std::path::Path;

use tally_protocol::{Origin, Position};
use tally_store::{Located, ScanError, Scanned, scan};
use tally_tlog::{Checkpoint, VerifierKey};
use tally_verify::{
    Decisions, FirstBad, Item, Report, StateDigests, Trust, Verdict, verify_ledger,
};

use super::rows::judge;
use crate::error::CliError;
use crate::keys::{log_key_in, parse_origin};
use crate::output::Output;

/// Checks everything in a data directory. The key beside the data is believed when none is given:
/// then the verdict says that the ledger agrees with itself.
pub(crate) fn verify_directory(
    data: &Path,
    key: Option<VerifierKey>,
    earlier: Vec<Checkpoint>,
    output: Output,
) -> Result<Report, CliError> {
    let own_key = key.is_none();
    let key = match key {
        Some(key) => Some(key),
        None => log_key_in(data)?,
    };
    let mut frames = scan(data)?.peekable();
    let origin = match (&key, frames.peek()) {
        (Some(key), _) => parse_origin(key.name().as_str())?,
        (None, Some(Ok(located))) => match &located.item {
            Scanned::Segment(start) => start.origin.clone(),
            Scanned::Event(_) | Scanned::Commit(_) => unknown_origin(data)?,
        },
        (None, _) => unknown_origin(data)?,
    };
    let mark = tally_store::claim(data).map_err(|error| CliError::failed("the mark", error))?;
    let trust = Trust { origin: origin.clone(), keys: key.into_iter().collect(), earlier };
    let bar = output.progress("verifying", mark.map_or(0, |mark| mark.size.as_u64()));
    let items = items(frames, &origin);
    let (judge, rows) =
        judge(trust, mark.map_or(0, |mark| mark.size.as_u64()).max(most_events(data)))?;
    let mut report = verify_ledger(items, judge, |judge| {
        bar.set_position(judge.size().as_u64());
        rows.follow(judge);
    });
    bar.finish_and_clear();
    hold_to_mark(&mut report, data, mark)?;
    if own_key && report.verdict == Verdict::Valid {
        output.say("note: believed log.pub beside the data; pass --log-key to check against a key that you got elsewhere");
    }
    Ok(report)
}

/// Most events that the files have room for: an event has a key, a signature, an id and a chain.
fn most_events(data: &Path) -> u64 {
    let files = std::fs::read_dir(data.join("log")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>() / 192
}

fn unknown_origin(data: &Path) -> Result<Origin, CliError> {
    Err(CliError::Usage(format!(
        "{} does not say whose ledger it is; pass --log-key",
        data.display()
    )))
}

/// Whole groups, as the examiner takes them: what no commit ends was never acknowledged.
struct Groups<'a, F> {
    frames: F,
    origin: &'a Origin,
    open: Vec<Item>,
    whole: std::vec::IntoIter<Item>,
}

fn items<'a, F>(frames: F, origin: &'a Origin) -> Groups<'a, F>
where
    F: Iterator<Item = Result<Located, ScanError>>,
{
    Groups { frames, origin, open: Vec::new(), whole: Vec::new().into_iter() }
}

impl<F: Iterator<Item = Result<Located, ScanError>>> Iterator for Groups<'_, F> {
    type Item = Result<Item, FirstBad>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.whole.next() {
                return Some(Ok(item));
            }
            match self.frames.next()? {
                Ok(located) => {
                    if let Err(bad) = self.take(located.item) {
                        return Some(Err(bad));
                    }
                }
                Err(error) => return Some(Err(FirstBad::new(position(&error), "frame", error))),
            }
        }
    }
}

impl<F> Groups<'_, F> {
    fn take(&mut self, item: Scanned) -> Result<(), FirstBad> {
        match item {
            Scanned::Segment(start) if start.origin != *self.origin => {
                let found = format!("the segment is of ledger {}", start.origin);
                return Err(FirstBad::new(start.first, "frame", found));
            }
            Scanned::Segment(_) => {}
            Scanned::Event(event) => self.open.push(Item::Event(event)),
            Scanned::Commit(commit) => {
                self.open.push(Item::Commit {
                    size: commit.size,
                    chain: commit.chain,
                    root: commit.root,
                    checkpoint: commit.checkpoint,
                });
                self.whole = std::mem::take(&mut self.open).into_iter();
            }
        }
        Ok(())
    }
}

fn position(error: &ScanError) -> Position {
    match error {
        ScanError::Damaged(damage) => damage.position,
        // The operating system refuses a whole file, wherever it was read.
        ScanError::File(_) => Position(0),
    }
}

/// The mark says how much was acknowledged. What lies beyond both the last commit and the mark was
/// cut off by a crash and promises nothing; the next start removes it.
fn hold_to_mark(
    report: &mut Report,
    data: &Path,
    mark: Option<tally_store::Mark>,
) -> Result<(), CliError> {
    let Some(mark) = mark else { return Ok(()) };
    let torn = matches!(&report.first_bad, Some(bad) if bad.rule == "frame");
    if torn && report.size >= mark.size && tail_is_unacknowledged(data)? {
        report.first_bad = None;
        // Notes so far say what is missing for a verdict.
        report.verdict = if report.notes.is_empty() { Verdict::Valid } else { Verdict::Incomplete };
        report.notes.push("an unacknowledged tail will be cut at the next start".into());
    }
    if report.first_bad.is_none() && report.size < mark.size {
        let found = format!("the log ends here; {} events were acknowledged", mark.size);
        report.first_bad = Some(FirstBad::new(Position::at_tip(report.size), "mark", found));
        report.verdict = Verdict::Invalid;
    }
    Ok(())
}

/// Asks recovery itself, which changes nothing here.
fn tail_is_unacknowledged(data: &Path) -> Result<bool, CliError> {
    match tally_store::SegmentReader::open_read_only(data, &mut |_| {}) {
        Ok((_, report)) => Ok(report.cut.is_some()),
        Err(tally_store::OpenError::File(error)) => Err(CliError::failed(data.display(), error)),
        Err(_) => Ok(false),
    }
}

pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}: ", report.verdict.name());
    match (&report.first_bad, report.verdict) {
        (Some(bad), _) => text.push_str(&format!(
            "position {} breaks rule {}: {}\n{} events before it hold",
            bad.position, bad.rule, bad.found, report.size
        )),
        (None, Verdict::Incomplete) => text.push_str(&format!("{} events hold", report.size)),
        (None, _) => text.push_str(&format!(
            "all {} events hold: signatures, author chains, log chain, rules, tree, checkpoint",
            report.size
        )),
    }
    text.push_str(&format!("\nroot {}", report.root));
    if report.decisions.count > 0 {
        let Decisions { count, digest } = &report.decisions;
        text.push_str(&format!("\n{count} decisions made again, together {digest}"));
    }
    let StateDigests { agreed, unchecked } = report.state_digests;
    if agreed + unchecked > 0 {
        let others =
            if unchecked > 0 { format!(", {unchecked} not held to it") } else { String::new() };
        text.push_str(&format!("\n{agreed} state digests of the ledger's key agree{others}"));
    }
    for note in &report.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    text
}
