//! The events of a ledger up to a moment, for exports that tell what they come to.

use tally_protocol::{AsOf, Event, Origin, ParsedEnvelope};
use tally_provenance::Graph;

use crate::error::CliError;
use crate::source::Source;

/// Gives every event up to a moment to `each`, in log order, once the rules have admitted it. The name
/// of the ledger comes back.
pub(crate) async fn events_as_of(
    source: &Source,
    as_of: Option<AsOf>,
    mut each: impl FnMut(&Event, &ParsedEnvelope) -> Result<(), CliError>,
) -> Result<Origin, CliError> {
    let state = source
        .replay(as_of, |event, _| {
            let parsed = event.signed().parse();
            let parsed = parsed.map_err(|error| CliError::failed(event.position(), error))?;
            each(event, &parsed)
        })
        .await?;
    Ok(state.origin().clone())
}

/// The provenance graph at a moment.
pub(crate) async fn graph_as_of(
    source: &Source,
    as_of: Option<AsOf>,
) -> Result<(Origin, Graph), CliError> {
    let mut graph = Graph::new();
    let fold = |event: &Event, parsed: &ParsedEnvelope| {
        graph.fold(event.position(), event.recorded_at(), parsed.id(), parsed.envelope());
        Ok(())
    };
    let origin = events_as_of(source, as_of, fold).await?;
    Ok((origin, graph))
}
