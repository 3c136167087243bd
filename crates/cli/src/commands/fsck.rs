//! `tally fsck`: what is damaged in a data directory, and its repair from a copy of the ledger.
//!
//! A check changes nothing. It ends well when the next start leaves everything right by itself:
//! indexes, tree and mark that are made again, and a tail that was never acknowledged, are named
//! and are no failure.

use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use tally_protocol::Position;
use tally_store::fsck::{Finding, Report, Severity};
use tally_store::repair::{DirectorySource, RepairError, RepairStep, Repaired, SourceError};
use tally_store::{Progress, fsck, repair};
use tally_tlog::{Checkpoint, CheckpointError, Origin, SignedCheckpoint, VerifierKey};

use crate::args::FsckArgs;
use crate::error::CliError;
use crate::keys::{log_key_argument, log_key_in, parse_origin};
use crate::output::Output;

/// Most findings of one kind that a person is shown; programs get all.
const SHOWN_FINDINGS: usize = 20;

/// What is not looked at, and why.
const ROWS: &str = "rows: opening them writes; the next start compares them with the log";

pub(crate) fn run(args: FsckArgs, output: Output) -> Result<(), CliError> {
    let trust = Trust::new(args.log_key.as_deref(), &args.data, output)?;
    let repaired = match &args.repair_from {
        Some(copy) => Some(repair_from(&args.data, copy, &trust, output)?),
        None => None,
    };
    let answer = Answer::new(check(&args.data, &trust, output)?, repaired, &args.data);
    output.answer(&answer, Answer::text);
    if answer.whole { Ok(()) } else { Err(CliError::Negative("damaged")) }
}

/// Whose signature a checkpoint must have.
struct Trust(Option<(VerifierKey, Origin)>);

impl Trust {
    /// The key that was given, or the one beside the data. A key file that is damaged is no reason
    /// not to look at the rest.
    fn new(argument: Option<&str>, data: &Path, output: Output) -> Result<Self, CliError> {
        let key = match argument.map(log_key_argument).transpose()? {
            Some(key) => Some(key),
            None => log_key_in(data).unwrap_or_else(|error| {
                output.say(&format!("note: log.pub is of no use: {error}"));
                None
            }),
        };
        let Some(key) = key else { return Ok(Self(None)) };
        let origin = parse_origin(key.name().as_str())?;
        Ok(Self(Some((key, origin))))
    }

    fn origin(&self) -> Option<&Origin> {
        self.0.as_ref().map(|(_, origin)| origin)
    }

    /// What a note claims, if its signature holds; where no key is known, if it is well-formed.
    fn open(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let signed = SignedCheckpoint::parse(note)?;
        match &self.0 {
            Some((key, origin)) => {
                Ok(signed.open(std::slice::from_ref(key), origin)?.checkpoint().clone())
            }
            None => Ok(signed.unverified().clone()),
        }
    }
}

fn check(data: &Path, trust: &Trust, output: Output) -> Result<Report, CliError> {
    let bar = output.progress("checking", 0);
    let open = |note: &[u8]| trust.open(note);
    let report = fsck(data, trust.origin(), &open, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    });
    bar.finish_and_clear();
    Ok(report?)
}

// ------------------------------------------------------------------ repair

fn repair_from(
    data: &Path,
    copy: &Path,
    trust: &Trust,
    output: Output,
) -> Result<Repaired, CliError> {
    let Some(origin) = trust.origin() else {
        return Err(CliError::Usage(
            "a repair needs the ledger's key: there is no log.pub, so pass --log-key".into(),
        ));
    };
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(data, copy) {
        let text = "a ledger can't be repaired from itself; name another copy of it";
        return Err(CliError::Usage(text.into()));
    }
    let source = DirectorySource::open(copy)?;
    let bar = output.progress("repairing", 0);
    let show = |Progress { bytes_done, bytes_total }| {
        bar.set_length(bytes_total);
        bar.set_position(bytes_done);
    };
    let open = |note: &[u8]| trust.open(note);
    let repaired = repair(data, origin, &source, &open, &mut |step| match step {
        RepairStep::Check(progress) | RepairStep::Build(progress) => show(progress),
        RepairStep::Mark
        | RepairStep::Keep(_)
        | RepairStep::Replace(_)
        | RepairStep::PutAway(_) => {}
    });
    bar.finish_and_clear();
    repaired.map_err(refused)
}

fn refused(error: RepairError) -> CliError {
    match error {
        RepairError::Open(error) | RepairError::Source(SourceError::Open(error)) => error.into(),
        RepairError::Interrupted(_)
        | RepairError::Changed { .. }
        | RepairError::Source(SourceError::File(_)) => CliError::Failed(error.to_string()),
        RepairError::Source(SourceError::Missing { .. })
        | RepairError::NewerFormat { .. }
        | RepairError::OtherLedger { .. }
        | RepairError::TooShort { .. }
        | RepairError::Fork { .. }
        | RepairError::Contradicted { .. }
        | RepairError::MarkDisagrees { .. }
        | RepairError::WrongRoot { .. }
        | RepairError::NotSigned { .. }
        | RepairError::NoHead { .. } => {
            CliError::Absent(format!("not repaired, and nothing was changed: {error}"))
        }
    }
}

// ------------------------------------------------------------------ the answer

#[derive(Serialize)]
struct Answer {
    /// The next start leaves everything right by itself.
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<RepairedAnswer>,
    origin: Option<String>,
    /// Events up to the last commit that can be read.
    size: u64,
    segments: usize,
    bytes: u64,
    findings: Vec<FindingAnswer>,
    /// Findings beyond those that are kept.
    left_out: u64,
    /// Who has the ledger open to write.
    writer: Option<String>,
    not_checked: Vec<String>,
    #[serde(skip)]
    data: String,
}

#[derive(Serialize)]
struct RepairedAnswer {
    size: u64,
    root: Option<String>,
    segments_written: Vec<String>,
    events_from_copy: u64,
    kept_aside: Vec<String>,
}

#[derive(Serialize)]
struct FindingAnswer {
    file: String,
    bytes: Span,
    /// Events that cannot be read because of it; for nodes of the tree, those they stand over.
    positions: Span,
    severity: &'static str,
    cause: String,
    remedy: &'static str,
    #[serde(skip)]
    kind: Severity,
}

/// From the first to behind the last.
#[derive(Serialize)]
struct Span {
    from: u64,
    to: u64,
}

impl Answer {
    fn new(report: Report, repaired: Option<Repaired>, data: &Path) -> Self {
        let mut not_checked = Vec::new();
        if data.join("rows").exists() {
            not_checked.push(ROWS.to_owned());
        }
        if let Some(position) = report.roots_end {
            not_checked.push(format!(
                "roots and inner nodes of the tree behind position {position}: events before are \
                 missing, and so are the leaf hashes that could stand in for them"
            ));
        }
        Self {
            whole: report.is_whole(),
            repaired: repaired.map(RepairedAnswer::new),
            origin: report.origin.as_ref().map(Origin::to_string),
            size: report.size.as_u64(),
            segments: report.segments,
            bytes: report.bytes,
            findings: report.findings.iter().map(FindingAnswer::new).collect(),
            left_out: report.left_out,
            writer: report.writer,
            not_checked,
            data: data.display().to_string(),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.repaired.iter().map(RepairedAnswer::text));
        let (size, segments, bytes) = (self.size, self.segments, self.bytes);
        let verdict = if self.whole { "whole" } else { "damaged" };
        lines.push(format!("{verdict}: {size} events in {segments} segments ({bytes} bytes)"));
        for kind in [
            Severity::Ledger,
            Severity::ByHand,
            Severity::Rebuildable,
            Severity::Tail,
            Severity::Leftover,
        ] {
            let found: Vec<_> =
                self.findings.iter().filter(|finding| finding.kind == kind).collect();
            lines.extend(kind_text(kind, &found));
        }
        if self.left_out > 0 {
            lines.push(format!("and {} findings more", self.left_out));
        }
        if let Some(writer) = &self.writer {
            lines.push(format!(
                "note: a writer has the ledger ({writer}); what it was writing may look like a \
                 tail, so look again when it has stopped"
            ));
        }
        lines.extend(self.not_checked.iter().map(|text| format!("not checked: {text}")));
        lines.push(format!(
            "signatures and rules are not checked here: `tally verify --data {}` does that",
            self.data
        ));
        lines.join("\n")
    }
}

impl RepairedAnswer {
    fn new(repaired: Repaired) -> Self {
        Self {
            size: repaired.size.as_u64(),
            root: repaired.root.map(|root| root.to_base64()),
            segments_written: repaired.written.iter().map(ToString::to_string).collect(),
            events_from_copy: repaired.given,
            kept_aside: repaired.aside.iter().map(|path| path.display().to_string()).collect(),
        }
    }

    fn text(&self) -> String {
        if self.segments_written.is_empty() && self.kept_aside.is_empty() {
            return format!("nothing to repair: all {} events lead to the signed root", self.size);
        }
        let mut text = format!(
            "repaired: all {} events lead to the signed root; {} segments written, with {} events \
             from the copy",
            self.size,
            self.segments_written.len(),
            self.events_from_copy
        );
        for path in &self.kept_aside {
            text.push_str(&format!("\nkept as it was: {path}"));
        }
        text
    }
}

impl FindingAnswer {
    fn new(finding: &Finding) -> Self {
        let Finding { file, bytes, positions, severity, flaw } = finding;
        let Range { start: Position(from), end: Position(to) } = positions.clone();
        Self {
            file: file.display().to_string(),
            bytes: Span { from: bytes.start, to: bytes.end },
            positions: Span { from, to },
            severity: name(*severity),
            cause: flaw.to_string(),
            remedy: finding.remedy(),
            kind: *severity,
        }
    }

    /// The place and what is wrong with it.
    fn text(&self) -> String {
        let mut place = self.file.clone();
        if self.bytes.to > self.bytes.from {
            place.push_str(&format!(", {}", self.bytes.text("byte")));
        }
        if self.kind == Severity::Ledger {
            let lost = match self.positions.to > self.positions.from {
                true => self.positions.text("position"),
                false => "no event lost".to_owned(),
            };
            place.push_str(&format!(", {lost}"));
        }
        format!("{place}: {}", self.cause)
    }
}

impl Span {
    fn text(&self, what: &str) -> String {
        match self.to - self.from {
            1 => format!("{what} {}", self.from),
            _ => format!("{what}s {} to {}", self.from, self.to - 1),
        }
    }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Ledger => "ledger",
        Severity::ByHand => "by_hand",
        Severity::Rebuildable => "rebuildable",
        Severity::Tail => "tail",
        Severity::Leftover => "leftover",
    }
}

fn kind_text(kind: Severity, found: &[&FindingAnswer]) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        match kind {
            Severity::Ledger => "damage of the ledger:",
            Severity::ByHand => "nothing is lost, but no start puts it right:",
            Severity::Rebuildable => "made again by the next start:",
            Severity::Tail => "never acknowledged, and cut off by the next start:",
            Severity::Leftover => "left over, read by nobody:",
        }
        .to_owned(),
    ];
    for same in found[..found.len().min(SHOWN_FINDINGS)].chunk_by(|a, b| a.remedy == b.remedy) {
        lines.extend(same.iter().map(|finding| format!("  {}", finding.text())));
        if !matches!(kind, Severity::Rebuildable | Severity::Tail) {
            lines.push(format!("  → {}", same[0].remedy));
        }
    }
    if found.len() > SHOWN_FINDINGS {
        lines.push(format!("  and {} more: --json names all", found.len() - SHOWN_FINDINGS));
    }
    lines
}
