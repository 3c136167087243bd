//! `tally import`: what documents of other systems say, as claims of the importer.
//!
//! All of a document is read before anything is signed: one that is wrong anywhere appends nothing.

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use tally_client::{Author, Context};
use tally_interop::a2a::AgentCard;
use tally_interop::claims::{Source, of_activities, of_card};
use tally_interop::{Foreign, openlineage};
use tally_protocol::message::{Attest, Claim, ClaimSubject};
use tally_protocol::parts::Uri;
use tally_protocol::{EnvelopeId, Message, Position};

use crate::args::{ImportArgs, ImportCardArgs, ImportFileArgs, ImportWhat, WriterArgs};
use crate::error::CliError;
use crate::output::Output;
use crate::source::author;
use crate::text::read_text;

#[derive(Serialize)]
struct Appended {
    id: EnvelopeId,
    position: Position,
    kind: String,
}

pub(crate) async fn run(args: ImportArgs, output: Output) -> Result<(), CliError> {
    match args.what {
        ImportWhat::Openlineage(args) => import_runs(args, output).await,
        ImportWhat::A2a(args) => import_card(args, output).await,
    }
}

async fn import_runs(args: ImportFileArgs, output: Output) -> Result<(), CliError> {
    let text = read_text(&args.file)?;
    let source = source(&args, &text, "application/x-ndjson")?;
    let author = importer(&args).await?;
    let about = ClaimSubject::Agent(author.agent());
    let refused = |error| unreadable(&args.file, &error);
    let runs = openlineage::read_events(&text, author.client().origin()).map_err(refused)?;
    let claims = of_activities(&runs, &source, about).map_err(refused)?;
    say(&author, claims, args.dry_run, output).await
}

async fn import_card(args: ImportCardArgs, output: Output) -> Result<(), CliError> {
    let ImportCardArgs { file: args, about } = args;
    let text = read_text(&args.file)?;
    let source = source(&args, &text, "application/json")?;
    let refused = |error| unreadable(&args.file, &error);
    let card = AgentCard::read(&text).map_err(refused)?;
    let author = importer(&args).await?;
    let about = about.unwrap_or(ClaimSubject::Agent(author.agent()));
    let claim = of_card(&card, &source, about).map_err(refused)?;
    say(&author, vec![claim], args.dry_run, output).await
}

fn source<'a>(
    args: &ImportFileArgs,
    text: &'a str,
    media_type: &'static str,
) -> Result<Source<'a>, CliError> {
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let uri = args.uri.clone().or(name).unwrap_or_else(|| "document".to_owned());
    let uri = Uri::new(uri).map_err(|fault| CliError::Usage(format!("--uri: {fault}")))?;
    Ok(Source { uri, text, media_type })
}

async fn importer(args: &ImportFileArgs) -> Result<Author, CliError> {
    let (key, url, log_key) = (args.key.clone(), args.url.clone(), args.log_key.clone());
    author(&WriterArgs { key, url, log_key }).await
}

fn unreadable(path: &Path, error: &Foreign) -> CliError {
    CliError::Usage(format!("{}: {error}; nothing was appended", path.display()))
}

async fn say(
    author: &Author,
    claims: Vec<Claim>,
    dry_run: bool,
    output: Output,
) -> Result<(), CliError> {
    for claim in claims {
        let kind = claim.kind.to_string();
        let message = Message::Attest(Attest::Claim(claim));
        if dry_run {
            output.line(&json!({ "message": message }).to_string());
            continue;
        }
        let receipt = author.append(message, Context::default()).await?;
        let (id, position) = (receipt.event().signed().id(), receipt.position());
        output.answer(&Appended { id, position, kind }, |Appended { id, position, kind }| {
            format!("{kind} {id} at position {position}; receipt checked")
        });
    }
    Ok(())
}
