//! `tally findings`: what the log holds against somebody.

use tally_coordination::view::FindingsView;

use crate::args::FindingsArgs;
use crate::error::CliError;
use crate::output::{Output, short, table};
use crate::source::Source;

pub(crate) async fn run(args: FindingsArgs, output: Output) -> Result<(), CliError> {
    let agent = args.agent.as_ref();
    let source = Source::open(&args.source, output).await?;
    let found = match &source {
        Source::Server(client) => client.findings(agent, args.at.as_of).await?,
        Source::Directory(_) => FindingsView::of(&source.state_as_of(args.at.as_of).await?, agent),
    };
    output.answer(&found, text);
    Ok(())
}

fn text(found: &FindingsView) -> String {
    let mut rows = table(&["position", "finding", "agent", "object", "found"]);
    for finding in &found.findings {
        let (kind, _) = finding.object.parts();
        let id = finding.object.to_string().split(' ').next_back().map(short);
        rows.add_row([
            finding.position.to_string(),
            finding.kind.name().to_owned(),
            finding.agent.short(),
            format!("{kind} {}", id.unwrap_or_default()),
            finding.found.clone(),
        ]);
    }
    let count = found.findings.len();
    format!("{rows}\n{count} findings, as of {} events", found.as_of)
}
