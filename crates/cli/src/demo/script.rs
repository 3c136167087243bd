//! What the agents play: the trace turned into tasks with data references, dependencies, run times
//! and the agents that can do them.
//!
//! The mapping: a file is the data reference `wf:<workflow name>/<file id>`; a task is an intent
//! with the label `wf.task=<task id>`; a parent without a file edge is a `depends_on`. A trace
//! records no contents, so a file's digest is BLAKE3 over its URI and size.

use std::collections::{HashMap, HashSet, VecDeque};

use tally_protocol::Digest;
use tally_protocol::parts::{DataRef, Name, Uri};

use crate::demo::trace::{Notes, Trace};
use crate::error::CliError;

/// Providers that a trace with many machines is shared among.
const MAX_PROVIDERS: usize = 4;

/// Providers that compete at least.
const MIN_PROVIDERS: usize = 2;

/// One task of the workflow.
#[derive(Debug)]
pub(crate) struct ScriptTask {
    pub(crate) id: String,
    /// The kind of work: the task's name without its number.
    pub(crate) category: Name,
    pub(crate) inputs: Vec<DataRef>,
    pub(crate) outputs: Vec<DataRef>,
    /// Tasks that must have ended before.
    pub(crate) after: Vec<usize>,
    /// Parents without a file between them.
    pub(crate) depends_on: Vec<usize>,
    /// Recorded run time, in microseconds.
    pub(crate) runtime_us: u64,
    /// The provider that did it in the record.
    pub(crate) provider: usize,
    /// Why the first attempt fails.
    pub(crate) fails: Option<String>,
    /// Whether the best offer is countered.
    pub(crate) countered: bool,
    /// When it began, counted from the beginning of the workflow, in microseconds.
    pub(crate) begin_us: u64,
}

impl ScriptTask {
    /// How long an attempt that fails runs, in microseconds.
    pub(crate) fn failed_us(&self) -> u64 {
        self.runtime_us / 2
    }

    /// From the first attempt's begin to the last one's end, in microseconds.
    fn span_us(&self) -> u64 {
        let failed = if self.fails.is_some() { self.failed_us() } else { 0 };
        self.runtime_us.saturating_add(failed)
    }
}

/// The whole play.
#[derive(Debug)]
pub(crate) struct Script {
    name: String,
    tasks: Vec<ScriptTask>,
    index: HashMap<String, usize>,
    providers: Vec<String>,
    data_count: usize,
    makespan_us: u64,
}

impl Script {
    pub(crate) fn new(trace: Trace) -> Result<Self, CliError> {
        let Trace { name, workflow, tally: notes, .. } = trace;
        let (specification, execution) = (workflow.specification, workflow.execution);
        let mut index = HashMap::new();
        for (i, task) in specification.tasks.iter().enumerate() {
            if index.insert(task.id.clone(), i).is_some() {
                return Err(usage(format!("two tasks have the id {:?}", task.id)));
            }
        }
        let sizes: HashMap<&str, u64> =
            specification.files.iter().map(|file| (file.id.as_str(), file.size_in_bytes)).collect();
        let machines: Vec<String> =
            execution.machines.iter().map(|machine| machine.node_name.clone()).collect();
        let providers = providers(&machines);
        let executed: HashMap<&str, _> =
            execution.tasks.iter().map(|task| (task.id.as_str(), task)).collect();

        let mut files = HashSet::new();
        let mut tasks = Vec::with_capacity(specification.tasks.len());
        for task in &specification.tasks {
            let data = |ids: &[String]| data_refs(&name, ids, &sizes);
            let executed = executed.get(task.id.as_str());
            let machine = executed.and_then(|task| task.machines.first());
            let machine = machine.and_then(|name| machines.iter().position(|m| m == name));
            let seconds = executed.map_or(0.0, |task| task.runtime_in_seconds);
            files.extend(task.input_files.iter().chain(&task.output_files));
            tasks.push(ScriptTask {
                id: task.id.clone(),
                category: category(&task.name)?,
                inputs: data(&task.input_files)?,
                outputs: data(&task.output_files)?,
                after: parents(&index, task)?,
                depends_on: Vec::new(),
                // A cast of a float saturates; a negative or absent time becomes 0.
                runtime_us: (seconds * 1e6).round() as u64,
                provider: machine.unwrap_or(0) % providers.len(),
                fails: notes.failures.get(&task.id).cloned(),
                countered: notes.counters.contains(&task.id),
                begin_us: 0,
            });
        }
        let data_count = files.len();
        check_notes(&notes, &index)?;
        link(&mut tasks);
        let makespan_us = schedule(&mut tasks)?;
        Ok(Self { name, tasks, index, providers, data_count, makespan_us })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tasks(&self) -> &[ScriptTask] {
        &self.tasks
    }

    /// The task with this id.
    pub(crate) fn task(&self, id: &str) -> Option<(usize, &ScriptTask)> {
        self.index.get(id).map(|i| (*i, &self.tasks[*i]))
    }

    /// Names of the providers.
    pub(crate) fn providers(&self) -> &[String] {
        &self.providers
    }

    /// Kinds of work, in the order in which they appear.
    pub(crate) fn categories(&self) -> Vec<&Name> {
        let mut seen = HashSet::new();
        self.tasks.iter().map(|task| &task.category).filter(|c| seen.insert(*c)).collect()
    }

    /// How many files there are.
    pub(crate) fn data_count(&self) -> usize {
        self.data_count
    }

    /// From the first begin to the last end, in microseconds.
    pub(crate) fn makespan_us(&self) -> u64 {
        self.makespan_us
    }
}

fn usage(text: String) -> CliError {
    CliError::Usage(format!("the trace can't be played: {text}"))
}

/// Machines are the providers; a trace with one machine gets a competitor.
fn providers(machines: &[String]) -> Vec<String> {
    let mut names: Vec<String> = machines.iter().take(MAX_PROVIDERS).cloned().collect();
    for i in names.len()..MIN_PROVIDERS {
        names.push(format!("competitor-{}", i + 1));
    }
    names
}

fn data_refs(
    workflow: &str,
    ids: &[String],
    sizes: &HashMap<&str, u64>,
) -> Result<Vec<DataRef>, CliError> {
    let mut seen = HashSet::new();
    ids.iter()
        .filter(|id| seen.insert(*id))
        .map(|id| {
            let uri = format!("wf:{workflow}/{id}");
            let size = sizes.get(id.as_str()).copied().unwrap_or(0);
            let digest = Digest::of(format!("{uri}\n{size}").as_bytes());
            let uri = Uri::new(uri).map_err(|fault| usage(format!("file {id:?} {fault}")))?;
            Ok(DataRef { size, ..DataRef::new(uri, digest) })
        })
        .collect()
}

/// `mProject_ID0000002` is the second `mProject`.
fn category(name: &str) -> Result<Name, CliError> {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let kind = kind.strip_suffix("ID").unwrap_or(kind).trim_end_matches(['_', '-', '.', ' ']);
    let kind = if kind.is_empty() { name } else { kind };
    let kind = if kind.is_empty() { "task" } else { kind };
    Name::new(kind).map_err(|fault| usage(format!("the name of task {name:?} {fault}")))
}

fn parents(
    index: &HashMap<String, usize>,
    task: &crate::demo::trace::Task,
) -> Result<Vec<usize>, CliError> {
    let mut seen = HashSet::new();
    let known = |parent: &String| {
        index.get(parent).copied().ok_or_else(|| {
            usage(format!("task {:?} has the parent {parent:?}, which is no task", task.id))
        })
    };
    task.parents.iter().filter(|parent| seen.insert(*parent)).map(known).collect()
}

fn check_notes(notes: &Notes, index: &HashMap<String, usize>) -> Result<(), CliError> {
    match notes.failures.keys().chain(&notes.counters).find(|id| !index.contains_key(*id)) {
        None => Ok(()),
        Some(id) => Err(usage(format!("`tally` names {id:?}, which is no task"))),
    }
}

/// A parent whose output the task reads is linked by that data; any other is a `depends_on`.
fn link(tasks: &mut [ScriptTask]) {
    for i in 0..tasks.len() {
        let inputs: HashSet<_> = tasks[i].inputs.iter().map(|data| data.uri.clone()).collect();
        let by_data = |parent: &usize| {
            tasks[*parent].outputs.iter().any(|output| inputs.contains(&output.uri))
        };
        tasks[i].depends_on =
            tasks[i].after.iter().copied().filter(|parent| !by_data(parent)).collect();
    }
}

/// Sets when each task began and gives the end of the last, in microseconds.
fn schedule(tasks: &mut [ScriptTask]) -> Result<u64, CliError> {
    let mut waiting: Vec<usize> = tasks.iter().map(|task| task.after.len()).collect();
    let mut children = vec![Vec::new(); tasks.len()];
    for (i, task) in tasks.iter().enumerate() {
        for parent in &task.after {
            children[*parent].push(i);
        }
    }
    let mut ready: VecDeque<usize> = (0..tasks.len()).filter(|i| waiting[*i] == 0).collect();
    let (mut done, mut last_end) = (0, 0);
    while let Some(i) = ready.pop_front() {
        done += 1;
        let end = tasks[i].begin_us.saturating_add(tasks[i].span_us());
        last_end = last_end.max(end);
        for child in &children[i] {
            tasks[*child].begin_us = tasks[*child].begin_us.max(end);
            waiting[*child] -= 1;
            if waiting[*child] == 0 {
                ready.push_back(*child);
            }
        }
    }
    if done < tasks.len() {
        return Err(usage("its tasks wait for each other in a circle".into()));
    }
    Ok(last_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_the_name_without_its_number() {
        let check = |name: &str, expect: &str| {
            assert_eq!(category(name).expect("a name").as_str(), expect);
        };
        check("mProject_ID0000002", "mProject");
        check("cpuhog_chain_00000003", "cpuhog_chain");
        check("NFCORE_BACASS.BACASS.QUAST", "NFCORE_BACASS.BACASS.QUAST");
        check("42", "42");
    }

    #[test]
    fn parents_without_a_file_are_dependencies() {
        let script = Script::new(Trace::shipped()).expect("plays");
        for task in script.tasks() {
            for parent in &task.after {
                let outputs = &script.tasks()[*parent].outputs;
                let by_data =
                    outputs.iter().any(|o| task.inputs.iter().any(|input| input.uri == o.uri));
                assert_eq!(task.depends_on.contains(parent), !by_data, "{}", task.id);
            }
        }
        assert!(script.tasks().iter().any(|task| !task.depends_on.is_empty()));
    }

    #[test]
    fn children_begin_when_their_parents_have_ended() {
        let script = Script::new(Trace::shipped()).expect("plays");
        for task in script.tasks() {
            for parent in &task.after {
                let parent = &script.tasks()[*parent];
                assert!(task.begin_us >= parent.begin_us + parent.span_us(), "{}", task.id);
            }
        }
    }
}
