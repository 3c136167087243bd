//! `tally export dsse`: envelopes as their authors signed them, for any DSSE tool.

use tally_interop::DsseEnvelope;
use tally_protocol::{Event, Position, VerifiedEnvelope, signature};

use super::lines::Lines;
use super::proofs::events;
use crate::args::ExportDsseArgs;
use crate::commands::prove::{Wanted, event_of};
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(super) async fn run(args: ExportDsseArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let mut lines = Lines::to(args.out.as_deref(), output)?;
    let mut left_out = Vec::new();
    match args.event.as_deref().map(Wanted::parse).transpose()? {
        Some(wanted) => {
            let event = event_of(&source, &wanted).await?;
            let envelope = DsseEnvelope::of(&verified(&event)?);
            if !envelope.verifies() {
                return Err(CliError::Absent(refused(event.position())));
            }
            lines.write(&envelope)?;
        }
        None => {
            let each = |event: Event| {
                let envelope = DsseEnvelope::of(&verified(&event)?);
                if envelope.verifies() {
                    return lines.write(&envelope);
                }
                eprintln!("tally: left out: {}", refused(event.position()));
                left_out.push(event.position());
                Ok(())
            };
            events(&source, output, each).await?;
        }
    }
    lines.finish("DSSE envelopes", &left_out)
}

/// The envelope of an event, under the ledger's own rule for signatures.
pub(super) fn verified(event: &Event) -> Result<VerifiedEnvelope, CliError> {
    let at = |error: &dyn std::fmt::Display| {
        CliError::Absent(format!("the event at position {}: {error}", event.position()))
    };
    let parsed = event.signed().parse().map_err(|error| at(&error))?;
    signature::verify(parsed).map_err(|error| at(&error))
}

fn refused(position: Position) -> String {
    format!(
        "the signature at position {position} holds by the ledger's rule (ZIP 215), but DSSE tools, \
         which go by RFC 8032, refuse it; `tally prove {position}` shows the event to those who know \
         the rule"
    )
}
