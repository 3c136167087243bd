//! `tally export prov`: provenance in the words of W3C PROV.

use tally_interop::prov::Recorder;

use super::history::events_as_of;
use super::lines::Lines;
use crate::args::{ExportProvArgs, ProvFormat};
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(super) async fn run(args: ExportProvArgs, output: Output) -> Result<(), CliError> {
    let history = &args.history;
    let source = Source::open(&history.source, output).await?;
    let mut recorder = Recorder::new();
    let fold = |event: &_, envelope: &_| {
        recorder.fold(event, envelope);
        Ok(())
    };
    events_as_of(&source, history.at.as_of, fold).await?;
    let document = recorder.document(args.trace).ok_or_else(|| {
        CliError::Absent("no event of this ledger names that trace by then".into())
    })?;
    let (text, what) = match args.format {
        ProvFormat::Json => (document.to_json(), "PROV-JSON"),
        ProvFormat::N => (document.to_notation(), "PROV-N"),
        ProvFormat::Turtle => (document.to_turtle(), "PROV-O in Turtle"),
    };
    let mut lines = Lines::to(history.out.as_deref(), output)?;
    lines.write_text(text.trim_end())?;
    lines.finish_document(&format!("{what}, {} records", document.records.len()))
}
