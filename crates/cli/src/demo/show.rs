//! What happened, for people and for programs.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tally_protocol::AgentId;
use tally_provenance::{CriticalPath, Workflow, WorkflowIntent, WorkflowTask};
use tally_verify::{FirstBad, Report, Verdict};

use crate::demo::agents::Ending;
use crate::demo::halves::Halves;
use crate::demo::script::Script;
use crate::output::{duration_text, table};

/// Most rows of the table for people; JSON has them all.
const MAX_ROWS: usize = 24;

/// Most steps of the slowest path that are shown to people.
const MAX_STEPS: usize = 12;

/// What a run came to.
#[derive(Serialize)]
pub(crate) struct Played {
    workflow: String,
    /// Whether every task succeeded.
    pub(crate) completed: bool,
    tasks: Vec<TaskRow>,
    offers: usize,
    attempts: usize,
    receipts_checked: usize,
    elapsed_ms: u64,
    critical_path: CriticalPath,
    pub(crate) verdict: Verdict,
    size: u64,
    root: String,
    first_bad: Option<FirstBad>,
    url: String,
    data: String,
}

/// One task of the workflow, by its last attempt.
#[derive(Serialize)]
struct TaskRow {
    task: String,
    offers: usize,
    attempts: usize,
    executor: Option<AgentId>,
    executor_name: Option<String>,
    outcome: String,
    duration_us: u64,
}

impl TaskRow {
    fn new(intent: &WorkflowIntent, last: &WorkflowTask, ending: &Ending) -> Self {
        Self {
            task: last.title().to_owned(),
            offers: intent.offers.len(),
            attempts: intent.tasks.len(),
            executor: last.executor,
            executor_name: last.executor.and_then(|agent| ending.names.get(&agent).cloned()),
            outcome: last.outcome.map_or("running".into(), |outcome| outcome.name()),
            duration_us: last.timing.duration_us.unwrap_or(0),
        }
    }
}

impl Played {
    #[expect(clippy::too_many_arguments, reason = "everything that a run has come to, once")]
    pub(crate) fn new(
        script: &Script,
        workflow: &Workflow,
        report: &Report,
        halves: &Halves,
        ending: &Ending,
        took: Duration,
        url: &str,
        data: &Path,
    ) -> Self {
        let row =
            |intent: &WorkflowIntent| Some(TaskRow::new(intent, intent.tasks.last()?, ending));
        Self {
            workflow: script.name().to_owned(),
            completed: ending.completed,
            tasks: workflow.intents.iter().filter_map(row).collect(),
            offers: workflow.intents.iter().map(|intent| intent.offers.len()).sum(),
            attempts: workflow.intents.iter().map(|intent| intent.tasks.len()).sum(),
            receipts_checked: halves.count(),
            elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            critical_path: workflow.critical_path(),
            verdict: report.verdict,
            size: report.size.as_u64(),
            root: report.root.to_base64(),
            first_bad: report.first_bad.clone(),
            url: url.to_owned(),
            data: data.display().to_string(),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut rows = table(&["task", "offers", "attempts", "executor", "outcome", "ran for"]);
        for task in self.tasks.iter().take(MAX_ROWS) {
            rows.add_row([
                task.task.clone(),
                task.offers.to_string(),
                task.attempts.to_string(),
                task.executor_name.clone().unwrap_or_default(),
                task.outcome.clone(),
                duration_text(task.duration_us),
            ]);
        }
        let mut text = rows.to_string();
        if self.tasks.len() > MAX_ROWS {
            text.push_str(&format!("\n… and {} more tasks", self.tasks.len() - MAX_ROWS));
        }
        text.push_str(&format!("\n\n{}", self.path_text()));
        text.push_str(&format!(
            "\n\n{} tasks in {} attempts, {} offers; {} events, {} log receipts checked, in {:.1} s\n",
            self.tasks.len(),
            self.attempts,
            self.offers,
            self.size,
            self.receipts_checked,
            self.elapsed_ms as f64 / 1e3
        ));
        text.push_str(&match &self.first_bad {
            None => format!(
                "verdict {}: signatures, author chains, log chain, rules, tree and checkpoint hold\n\
                 root    {}",
                self.verdict.name(),
                self.root
            ),
            Some(bad) => format!(
                "verdict {}: position {} breaks {}: {}",
                self.verdict.name(),
                bad.position,
                bad.rule,
                bad.found
            ),
        });
        if !self.completed {
            text.push_str("\nthe workflow did not complete: a task failed at every attempt");
        }
        text
    }

    fn path_text(&self) -> String {
        let path = &self.critical_path;
        let step = |step: &tally_provenance::PathStep| {
            format!("{} ({})", step.name, duration_text(step.duration_us))
        };
        let steps: Vec<String> = path.steps.iter().take(MAX_STEPS).map(step).collect();
        let rest = path.steps.len().saturating_sub(MAX_STEPS);
        let rest = if rest > 0 { format!(" → … {rest} more") } else { String::new() };
        format!("slowest path, {}: {}{rest}", duration_text(path.total_us), steps.join(" → "))
    }
}

/// What a person can do while the ledger stays up.
pub(crate) fn next_steps(url: &str, data: &Path) -> String {
    let data = data.display();
    format!(
        "\nthe ledger stays up on {url} (Ctrl-C ends it); in another terminal:\n  \
         tally log --url {url}\n  \
         tally task --url {url}\n  \
         tally verify --data {data}"
    )
}
