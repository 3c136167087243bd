//! `tally compliance`: what the policies in force do not allow any more.

use tally_coordination::view::ComplianceView;

use crate::args::ComplianceArgs;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::source::Source;

pub(crate) async fn run(args: ComplianceArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let found = match &source {
        Source::Server(client) => client.compliance(args.at.as_of).await?,
        Source::Directory(_) => ComplianceView::of(&source.state_as_of(args.at.as_of).await?),
    };
    output.answer(&found, text);
    Ok(())
}

fn text(found: &ComplianceView) -> String {
    let mut rows = table(&["not compliant", "why"]);
    for found in &found.not_compliant {
        rows.add_row([found.object.to_string(), found.why.join("; ")]);
    }
    let count = found.not_compliant.len();
    format!("{rows}\n{count} open offers and running tasks, as of {} events", found.as_of)
}
