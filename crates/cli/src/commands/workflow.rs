//! `tally workflow`: how a workflow was coordinated, and where its time went.

use serde::Serialize;
use tally_client::WorkflowOf;
use tally_protocol::Time;
use tally_provenance::{CriticalPath, Workflow, WorkflowTask};

use crate::args::{Picture, WorkflowArgs};
use crate::commands::export::history::graph_as_of;
use crate::error::CliError;
use crate::output::{Output, duration_text, short, table};
use crate::source::Source;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    workflow: Workflow,
    critical_path: CriticalPath,
}

pub(crate) async fn run(args: WorkflowArgs, output: Output) -> Result<(), CliError> {
    let of = match (args.of.trace, args.of.intent) {
        (Some(trace), _) => WorkflowOf::Trace(trace),
        (None, Some(intent)) => WorkflowOf::Intent(intent),
        (None, None) => unreachable!("the arguments require one of them"),
    };
    let source = Source::open(&args.source, output).await?;
    let workflow = match &source {
        Source::Server(client) => client.workflow(of, args.at.as_of).await?,
        Source::Directory(_) => {
            let (_, graph) = graph_as_of(&source, args.at.as_of).await?;
            match of {
                WorkflowOf::Trace(trace) => graph.workflow(Some(trace)),
                WorkflowOf::Intent(intent) => graph.workflow_of(intent).ok_or_else(|| {
                    CliError::Absent(format!("no intent {intent} is in this ledger"))
                })?,
            }
        }
    };
    if workflow.intents.is_empty() {
        return Err(CliError::Absent("no event of this ledger names that trace".into()));
    }
    if let Some(picture) = args.draw.picture() {
        let drawn = match picture {
            Picture::Dot => workflow.to_dot(),
            Picture::Mermaid => workflow.to_mermaid(),
            Picture::Svg => workflow.to_svg(),
        };
        output.line(drawn.trim_end());
        return Ok(());
    }
    let critical_path = workflow.critical_path();
    output.answer(&Answer { workflow, critical_path }, |answer| {
        text(&answer.workflow, &answer.critical_path)
    });
    Ok(())
}

/// A workflow for people: a line for each task, and where the time went.
pub(crate) fn text(workflow: &Workflow, critical_path: &CriticalPath) -> String {
    let columns = ["task", "executor", "attempt", "outcome", "offers", "wait", "run", "critical"];
    let mut rows = table(&columns);
    for intent in &workflow.intents {
        for task in &intent.tasks {
            let critical = critical_path.steps.iter().any(|step| step.task == task.id);
            rows.add_row([
                task.title().to_owned(),
                task.executor.map(|executor| executor.short()).unwrap_or_default(),
                task.attempt.to_string(),
                task.outcome.map_or("live".into(), |outcome| outcome.name()),
                intent.offers.len().to_string(),
                wait(task).map(duration_text).unwrap_or_default(),
                run_time(task).map(duration_text).unwrap_or_default(),
                if critical { "*" } else { "" }.to_owned(),
            ]);
        }
        if intent.tasks.is_empty() {
            let title = format!("(no task) {}", intent.outcome);
            let offers = intent.offers.len().to_string();
            rows.add_row([&title, "", "", "", &offers, "", "", ""]);
        }
    }
    let mut text = format!("{rows}\n");
    if let Some(worst) = bottleneck(workflow) {
        text.push_str(&format!(
            "bottleneck     {} ({}) waited {}\n",
            worst.title(),
            short(worst.id),
            wait(worst).map(duration_text).unwrap_or_default()
        ));
    }
    let steps: Vec<_> = critical_path.steps.iter().map(|step| step.name.as_str()).collect();
    text.push_str(&format!(
        "critical path  {} in {}\n{} intents, {} tasks, as of {} events",
        steps.join(" → "),
        duration_text(critical_path.total_us),
        workflow.intents.len(),
        workflow.tasks().len(),
        workflow.as_of
    ));
    text
}

fn between(from: Time, to: Option<Time>) -> Option<u64> {
    to.map(|to| to.0.abs_diff(from.0))
}

/// From the award to the first sign of work.
fn wait(task: &WorkflowTask) -> Option<u64> {
    between(task.timing.start_at, task.timing.running_at.or(task.timing.done_at))
}

fn run_time(task: &WorkflowTask) -> Option<u64> {
    task.timing.running_at.and_then(|running| between(running, task.timing.done_at))
}

/// The task that waited longest.
fn bottleneck(workflow: &Workflow) -> Option<&WorkflowTask> {
    let waited = workflow.tasks().into_iter().filter(|task| wait(task) > Some(0));
    waited.max_by_key(|task| wait(task))
}
