//! `tally submit`: messages in JSON, signed and appended one after the other.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_client::{Client, Context, When};
use tally_coordination::view::Selector;
use tally_protocol::message::TaskStart;
use tally_protocol::{EnvelopeId, Message, Position, Time, TraceId};

use crate::args::SubmitArgs;
use crate::defaults::fill_in;
use crate::error::CliError;
use crate::output::{Output, time_text};
use crate::source::author;
use crate::text::read_text;

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
    let author = author(&args.writer).await?;
    for Statement { mut message, trace_id, causes } in statements {
        if let Message::TaskStart(start) = &mut message {
            pin(author.client(), start).await?;
        }
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

/// A TaskStart that pins no policies is given those that judge its offer now.
async fn pin(client: &Client, start: &mut TaskStart) -> Result<(), CliError> {
    if start.policy_set.is_some() || !start.policies.is_empty() {
        return Ok(());
    }
    let selector = Selector { id: Some(start.intent), ..Selector::default() };
    let (_, intents) = client.intents(selector, When::HEAD).await?;
    let mut offers = intents.iter().flat_map(|intent| &intent.offers);
    start.policy_set =
        offers.find(|offer| offer.id == start.offer).and_then(|offer| offer.policy_set);
    Ok(())
}

fn read_statements(path: &Path) -> Result<Vec<Statement>, CliError> {
    parse_statements(&read_text(path)?)
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

fn read_statement(index: usize, mut value: Value) -> Result<Statement, String> {
    fill_in(&mut value);
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
