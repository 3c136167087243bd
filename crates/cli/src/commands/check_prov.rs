//! `tally check-prov`: is the order in time that a PROV document implies possible?

use serde::Serialize;
use tally_interop::prov::{Document, Violation, check};

use crate::args::CheckProvArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::text::read_text;

#[derive(Serialize)]
struct Answer {
    verdict: &'static str,
    records: usize,
    violations: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    /// Names of PROV-CONSTRAINTS.
    constraints: Vec<&'static str>,
    /// Positions of the ledger's events, where the document names them.
    events: Vec<u64>,
    text: String,
}

impl Found {
    fn of(violation: &Violation) -> Self {
        Self {
            constraints: violation.constraints().iter().map(|found| found.name()).collect(),
            events: violation.positions.iter().copied().collect(),
            text: violation.to_string(),
        }
    }
}

pub(crate) fn run(args: &CheckProvArgs, output: Output) -> Result<(), CliError> {
    let text = read_text(&args.file)?;
    let document = Document::parse_json(text.as_bytes())
        .map_err(|error| CliError::Usage(format!("{}: {error}", args.file.display())))?;
    let violations = check(&document, (args.clock_skew * 1e6) as u64);
    let verdict = if violations.is_empty() { "possible" } else { "contradictory" };
    let records = document.records.len();
    let answer =
        Answer { verdict, records, violations: violations.iter().map(Found::of).collect() };
    output.answer(&answer, self::text);
    match violations.is_empty() {
        true => Ok(()),
        false => Err(CliError::Negative("contradictory")),
    }
}

fn text(answer: &Answer) -> String {
    let Answer { verdict, records, violations } = answer;
    let mut text = format!(
        "{verdict}: {records} records, {} violations of the order that PROV demands",
        violations.len()
    );
    for found in violations {
        text.push_str(&format!("\n  {}", found.text));
    }
    text
}
