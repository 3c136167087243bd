//! `tally checkpoint`: the signed head of a ledger, to keep or to compare later.

use serde_json::json;
use tally_store::LogReader;
use tally_tlog::SignedCheckpoint;

use crate::args::CheckpointArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

pub(crate) async fn run(args: CheckpointArgs, output: Output) -> Result<(), CliError> {
    let note = match Source::open(&args.source, output).await? {
        Source::Server(client) => {
            client.head().await?.checkpoint.map(|head| head.signed().to_bytes())
        }
        Source::Directory(reader) => {
            let note = reader.checkpoint();
            (!note.is_empty()).then(|| note.to_vec())
        }
    };
    let note =
        note.ok_or_else(|| CliError::Absent("the ledger is empty: nothing is signed".into()))?;
    let signed = SignedCheckpoint::parse(&note)
        .map_err(|error| CliError::failed("the log's last checkpoint", error))?;
    let head = signed.unverified();
    match &args.out {
        None if output.is_json() => {
            let note = signed.note().to_string();
            output.line(&json!({ "size": head.size.as_u64(), "checkpoint": note }).to_string());
        }
        None => output.line(signed.note().to_string().trim_end()),
        Some(path) => {
            std::fs::write(path, &note).map_err(|e| CliError::failed(path.display(), e))?;
            let answer = json!({ "size": head.size.as_u64(), "file": path });
            output.answer(&answer, |_| format!("{} events: {}", head.size, path.display()));
        }
    }
    Ok(())
}
