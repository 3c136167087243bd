//! `tally export cloudevents`: every event as a cloud event.

use tally_interop::cloudevents::{Data, cloud_event};

use super::history::events_as_of;
use super::lines::Lines;
use crate::args::ExportCloudEventsArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(super) async fn run(args: ExportCloudEventsArgs, output: Output) -> Result<(), CliError> {
    let history = &args.history;
    let source = Source::open(&history.source, output).await?;
    let mut lines = Lines::to(history.out.as_deref(), output)?;
    let data = if args.envelopes { Data::Envelope } else { Data::Message };
    let fold = |event: &_, envelope: &_| lines.write(&cloud_event(event, envelope, data));
    events_as_of(&source, history.at.as_of, fold).await?;
    lines.finish("cloud events", &[])
}
