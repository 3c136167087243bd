//! `tally export otlp`: tasks as spans.

use tally_interop::otlp::spans;

use super::history::graph_as_of;
use super::lines::Lines;
use crate::args::ExportOtlpArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(super) async fn run(args: ExportOtlpArgs, output: Output) -> Result<(), CliError> {
    let history = &args.history;
    let source = Source::open(&history.source, output).await?;
    let (origin, graph) = graph_as_of(&source, history.at.as_of).await?;
    let workflow = graph.workflow(args.trace);
    if args.trace.is_some() && workflow.intents.is_empty() {
        return Err(CliError::Absent("no event of this ledger names that trace by then".into()));
    }
    let mut lines = Lines::to(history.out.as_deref(), output)?;
    lines.write(&spans(&origin, &workflow))?;
    lines.finish_document("spans in OTLP JSON")
}
