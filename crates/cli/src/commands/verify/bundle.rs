//! A provenance bundle.

use tally_tlog::VerifierKey;
use tally_verify::{BundleReport, Trust, verify_bundle};

use crate::args::VerifyArgs;
use crate::commands::verify::read_checkpoints;
use crate::commands::workflow;
use crate::error::CliError;
use crate::keys::parse_origin;
use crate::output::Output;

pub(super) fn judge(
    bytes: &[u8],
    key: Option<VerifierKey>,
    args: &VerifyArgs,
    output: Output,
) -> Result<BundleReport, CliError> {
    if args.author.is_some() {
        return Err(CliError::Usage("--author is for a log receipt; a bundle has many".into()));
    }
    // Without a key nothing is judged, and no ledger is meant.
    let origin = parse_origin(key.as_ref().map_or("unknown", |key| key.name().as_str()))?;
    let earlier = read_checkpoints(&args.checkpoint)?;
    let trust = Trust { origin, keys: key.into_iter().collect(), earlier };
    let bar = output.progress("verifying", 0);
    let report = verify_bundle(bytes, &trust, |events| bar.set_position(events as u64));
    bar.finish_and_clear();
    Ok(report)
}

pub(super) fn text(report: &BundleReport) -> String {
    let mut text = report.summary.clone();
    let mut list = |title: &str, lines: &[String]| {
        for (at, line) in lines.iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            text.push_str(&format!("\n{title:<9}{line}"));
        }
    };
    let missing: Vec<_> = report.missing.iter().map(|missing| missing.found.clone()).collect();
    list("missing", &missing);
    list("covers", &report.covers);
    list("not", &report.does_not_cover);
    if let Some(lineage) = &report.lineage {
        let (tasks, data) = (lineage.tasks.len(), lineage.data.len());
        list("from", &[format!("{tasks} tasks and {data} data references")]);
    }
    if report.decisions.count > 0 {
        list("together", &[format!("the decisions are {}", report.decisions.digest)]);
    }
    if !report.workflow.intents.is_empty() {
        text.push_str("\n\n");
        text.push_str(&workflow::text(&report.workflow, &report.critical_path));
    }
    text
}
