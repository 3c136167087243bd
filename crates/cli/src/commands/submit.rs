//! `tally submit`: messages in JSON, signed and appended one after the other.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_client::Context;
use tally_protocol::{EnvelopeId, Message, Position, Time, TraceId};

use crate::args::SubmitArgs;
use crate::error::CliError;
use crate::keys::read_agent_key;
use crate::output::{Output, time_text};
use crate::source::connect;

/// Most bytes of a submission.
const MAX_SUBMISSION_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    message: Message,
    #[serde(default)]
    trace_id: Option<TraceId>,
    #[serde(default)]
    causes: Vec<EnvelopeId>,
}

#[derive(Serialize)]
struct Appended {
    id: EnvelopeId,
    position: Position,
    recorded_at_us: Time,
    message: &'static str,
    /// The tree size that the checked receipt is under.
    receipt_tree_size: u64,
}

pub(crate) async fn run(args: SubmitArgs, output: Output) -> Result<(), CliError> {
    let statements = read_statements(&args.file)?;
    let key = read_agent_key(&args.key)?;
    let client = connect(&args.url, args.log_key.as_deref()).await?;
    let author = client.author(key);
    for Statement { message, trace_id, causes } in statements {
        let kind = message.kind().name();
        let receipt = author.append(message, Context { trace_id, causes }).await?;
        let appended = Appended {
            id: receipt.event().signed().id(),
            position: receipt.position(),
            recorded_at_us: receipt.recorded_at(),
            message: kind,
            receipt_tree_size: receipt.checkpoint().size().as_u64(),
        };
        output.answer(&appended, |appended| {
            format!(
                "{} {} at position {}, {}; receipt checked",
                appended.message,
                appended.id,
                appended.position,
                time_text(appended.recorded_at_us)
            )
        });
    }
    Ok(())
}

fn read_statements(path: &Path) -> Result<Vec<Statement>, CliError> {
    parse_statements(&read_limited(path)?)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

/// Messages one after the other, or in lists.
pub(crate) fn parse_statements(text: &str) -> Result<Vec<Statement>, String> {
    let values: Vec<Value> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is no JSON: {error}"))?;
    let flat = values.into_iter().flat_map(|value| match value {
        Value::Array(list) => list,
        one => vec![one],
    });
    flat.enumerate().map(|(i, value)| read_statement(i, value)).collect()
}

fn read_statement(index: usize, value: Value) -> Result<Statement, String> {
    let bare = value.get("message").is_none();
    let read = if bare {
        serde_json::from_value(value).map(|message| Statement {
            message,
            trace_id: None,
            causes: Vec::new(),
        })
    } else {
        serde_json::from_value(value)
    };
    read.map_err(|error| {
        format!(
            "message {index}: {error}; a message looks like \
             {{\"intent\": {{\"open\": {{\"outcome\": \"…\"}}}}}}"
        )
    })
}

fn read_limited(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let limit = MAX_SUBMISSION_BYTES + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    if text.len() as u64 > MAX_SUBMISSION_BYTES {
        let path = path.display();
        return Err(CliError::Usage(format!(
            "{path} has more than {MAX_SUBMISSION_BYTES} bytes; split it"
        )));
    }
    Ok(text)
}
