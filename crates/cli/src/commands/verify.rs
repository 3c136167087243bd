//! `tally verify`: a whole ledger or one log receipt, offline.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use tally_protocol::{AgentId, EnvelopeId, Event, Origin, Position, TreeSize, signature};
use tally_store::{Located, ScanError, Scanned, scan};
use tally_tlog::{Checkpoint, LogProof, SignedCheckpoint, VerifierKey};
use tally_verify::{Decisions, FirstBad, Item, Report, Trust, Verdict, verify_ledger};

use crate::args::VerifyArgs;
use crate::error::CliError;
use crate::keys::{log_key_argument, log_key_in, parse_origin, read_bytes};
use crate::output::{Output, time_text};

pub(crate) fn run(args: VerifyArgs, output: Output) -> Result<(), CliError> {
    let key = args.log_key.as_deref().map(log_key_argument).transpose()?;
    let verdict = match (&args.data, &args.file) {
        (Some(data), _) => {
            let earlier = read_checkpoints(&args.checkpoint)?;
            let report = verify_directory(data, key, earlier, output)?;
            output.answer(&report, report_text);
            report.verdict
        }
        (None, Some(file)) => {
            let answer = verify_receipt(file, key, args.author)?;
            output.answer(&answer, receipt_text);
            answer.verdict
        }
        (None, None) => unreachable!("the arguments require one of them"),
    };
    if verdict == Verdict::Valid { Ok(()) } else { Err(CliError::Negative(verdict.name())) }
}

// ------------------------------------------------------------------ a ledger

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
    let mut report = verify_ledger(items, &trust, |size| bar.set_position(size.as_u64()));
    bar.finish_and_clear();
    hold_to_mark(&mut report, data, mark)?;
    if own_key && report.verdict == Verdict::Valid {
        output.say("note: believed log.pub beside the data; pass --log-key to check against a key that you got elsewhere");
    }
    Ok(report)
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

fn report_text(report: &Report) -> String {
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
    for note in &report.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    text
}

pub(crate) fn read_checkpoints(paths: &[std::path::PathBuf]) -> Result<Vec<Checkpoint>, CliError> {
    let read = |path: &std::path::PathBuf| {
        let bytes = read_bytes(path)?;
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| {
            CliError::Usage(format!("{} is no checkpoint: {error}", path.display()))
        })?;
        Ok(signed.unverified().clone())
    };
    paths.iter().map(read).collect()
}

// ------------------------------------------------------------------ a log receipt

#[derive(Serialize)]
struct ReceiptAnswer {
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EnvelopeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    found: String,
}

impl ReceiptAnswer {
    fn not(verdict: Verdict, found: impl ToString) -> Self {
        Self {
            verdict,
            position: None,
            tree_size: None,
            id: None,
            author: None,
            recorded_at: None,
            message: None,
            found: found.to_string(),
        }
    }
}

fn verify_receipt(
    file: &Path,
    key: Option<VerifierKey>,
    author: Option<AgentId>,
) -> Result<ReceiptAnswer, CliError> {
    let bytes = read_bytes(file)?;
    let invalid = |found: &dyn std::fmt::Display| Ok(ReceiptAnswer::not(Verdict::Invalid, found));
    let proof = match LogProof::parse(&bytes) {
        Ok(proof) => proof,
        Err(error) => return invalid(&error),
    };
    let Some(key) = key else {
        let found = "no log key is known: pass --log-key with the one you trust";
        return Ok(ReceiptAnswer::not(Verdict::Incomplete, found));
    };
    let Some(extra) = proof.unauthenticated_extra() else {
        let found = "the file does not carry its event; make it with `tally prove`";
        return Ok(ReceiptAnswer::not(Verdict::Incomplete, found));
    };
    let event = match Event::decode(Bytes::copy_from_slice(extra)) {
        Ok(event) => event,
        Err(error) => return invalid(&error),
    };
    let origin = parse_origin(key.name().as_str())?;
    let checkpoint = match proof.verify(event.leaf(), &[key], &origin) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return invalid(&error),
    };
    judge_event(&event, &proof, checkpoint.size(), &origin, author)
}

/// The log holds these bytes at this place; now whether they say what an event there must.
fn judge_event(
    event: &Event,
    proof: &LogProof,
    size: TreeSize,
    origin: &Origin,
    author: Option<AgentId>,
) -> Result<ReceiptAnswer, CliError> {
    let invalid = |found: String| Ok(ReceiptAnswer::not(Verdict::Invalid, found));
    if event.position().leaf() != proof.index() {
        return invalid(format!("the event says it is at {}", event.position()));
    }
    let envelope = match event.signed().parse() {
        Ok(parsed) => match signature::verify(parsed) {
            Ok(envelope) => envelope,
            Err(error) => return invalid(error.to_string()),
        },
        Err(error) => return invalid(error.to_string()),
    };
    let said = envelope.envelope();
    if said.origin != *origin {
        return invalid(format!("the envelope is meant for ledger {}", said.origin));
    }
    if author.is_some_and(|author| author != said.author) {
        return invalid(format!("the envelope is signed by {}", said.author));
    }
    Ok(ReceiptAnswer {
        verdict: Verdict::Valid,
        position: Some(event.position()),
        tree_size: Some(size.as_u64()),
        id: Some(envelope.id()),
        author: Some(said.author),
        recorded_at: Some(time_text(event.recorded_at())),
        message: Some(said.message.kind().name()),
        found: "the event is in the log, signed by its author".into(),
    })
}

fn receipt_text(answer: &ReceiptAnswer) -> String {
    let mut text = format!("{}: {}", answer.verdict.name(), answer.found);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("\n{name:<9}{value}"));
        }
    };
    add("message", answer.message.map(str::to_owned));
    add("id", answer.id.map(|id| id.to_string()));
    add("author", answer.author.map(|author| author.to_string()));
    add("position", answer.position.map(|position| position.to_string()));
    add("recorded", answer.recorded_at.clone());
    add("in tree", answer.tree_size.map(|size| format!("of {size} events")));
    text
}
