//! `tally digest`: one number for everything that the log has come to.

use serde::Serialize;
use tally_protocol::Digest;

use crate::args::DigestArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

#[derive(Serialize)]
struct Answer {
    as_of: u64,
    digest: Digest,
}

pub(crate) async fn run(args: DigestArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let state = source.state_as_of(args.at.as_of).await?;
    let answer = Answer { as_of: state.next_position().0, digest: state.digest() };
    output.answer(&answer, |answer| format!("{}\nas of {} events", answer.digest, answer.as_of));
    Ok(())
}
