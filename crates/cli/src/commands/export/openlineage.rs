//! `tally export openlineage`: tasks as run events.

use tally_interop::openlineage::RunEvents;

use super::history::events_as_of;
use super::lines::Lines;
use crate::args::HistoryArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(super) async fn run(args: HistoryArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let mut events = RunEvents::new(source.origin());
    let mut lines = Lines::to(args.out.as_deref(), output)?;
    let fold = |event: &_, envelope: &_| match events.fold(event, envelope) {
        Some(event) => lines.write(&event),
        None => Ok(()),
    };
    events_as_of(&source, args.at.as_of, fold).await?;
    lines.finish("run events of OpenLineage", &[])
}
