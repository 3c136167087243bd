//! `tally pursue`: a goal brought to its end by the initiator's role.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tally_client::Observer;
use tally_client::roles::{Achieved, Goal, GoalError, Initiator, Patience};
use tally_protocol::EnvelopeId;
use tally_protocol::message::IntentTerms;
use tally_protocol::parts::DataRef;

use crate::args::PursueArgs;
use crate::defaults::fill_in;
use crate::error::CliError;
use crate::output::{Output, short};
use crate::source::author;
use crate::text::read_text;

#[derive(Serialize)]
struct Answer {
    intent: EnvelopeId,
    tasks: Vec<EnvelopeId>,
    outputs: Vec<DataRef>,
}

pub(crate) async fn run(args: PursueArgs, output: Output) -> Result<(), CliError> {
    let goal = goal(&args)?;
    let author = author(&args.writer).await?;
    let observer = Observer::start(author.client().clone());
    let Achieved { intent, tasks, outputs } =
        Initiator::new(author, observer).pursue(&goal).await.map_err(failed)?;
    let tasks = tasks.iter().map(|task| task.id).collect();
    output.answer(&Answer { intent, tasks, outputs }, text);
    Ok(())
}

fn goal(args: &PursueArgs) -> Result<Goal, CliError> {
    let wrong = |error| CliError::Usage(format!("{}: {error}", args.file.display()));
    let mut terms: Value = serde_json::from_str(&read_text(&args.file)?).map_err(wrong)?;
    fill_in(&mut terms);
    let terms: IntentTerms = serde_json::from_value(terms).map_err(wrong)?;
    let patience = Patience {
        done: args.done_within.map(Duration::from_secs_f64),
        heartbeat: args.heartbeat.map(Duration::from_secs_f64),
        ..Patience::default()
    };
    Ok(Goal {
        offers: args.offers,
        wait: Duration::from_secs_f64(args.wait),
        attempts: args.attempts,
        patience,
        ..Goal::new(terms)
    })
}

fn failed(error: GoalError) -> CliError {
    match error {
        GoalError::Ledger(error) => error.into(),
        GoalError::NoOffer { .. }
        | GoalError::Denied { .. }
        | GoalError::Closed { .. }
        | GoalError::Failed { .. } => CliError::Absent(error.to_string()),
    }
}

fn text(answer: &Answer) -> String {
    let mut text = format!("intent  {}\n", answer.intent);
    for task in &answer.tasks {
        text.push_str(&format!("task    {} succeeded\n", short(task)));
    }
    for data in &answer.outputs {
        text.push_str(&format!("output  {}\n", data.uri));
        if !data.inline.as_str().is_empty() {
            text.push_str(&format!("{}\n", data.inline));
        }
    }
    text
}
