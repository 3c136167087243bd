//! The difference between two runs of a workflow, or between two tasks.
//!
//! Tasks are matched by their label, else by the outcome that their intent asks for; attempts at one
//! task count as one, by the last of them. Where each run has only one task, those two are compared.
//! Data is compared by URI and digest. When something happened is not compared, how long it took is
//! shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_protocol::{EnvelopeId, Position, TraceId};

use crate::node::{DataEntry, NodeRef, TaskEntry};
use crate::relation::{Edge, Relation};
use crate::unanswered::Unanswered;
use crate::view::View;
use crate::workflow::{Workflow, WorkflowTask};

/// A run of a workflow, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// Everything of a trace.
    Trace(TraceId),
    /// An intent with all its versions, or a task.
    Part(EnvelopeId),
}

/// How two runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Tasks that only the first run has, by name.
    pub only_first: Vec<RunEntry>,
    /// Tasks that only the second run has, by name.
    pub only_second: Vec<RunEntry>,
    /// Tasks of both that differ, by name.
    pub changed: Vec<Change>,
    /// Tasks of both that do not differ, by name, each as it was in both runs.
    pub same: Vec<(RunEntry, RunEntry)>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// A task of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEntry {
    /// The last attempt.
    #[serde(flatten)]
    pub task: TaskEntry,
    /// How many attempts there were.
    pub attempts: u32,
    /// How long the last one took by its receipt, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
}

/// A task that is not the same in both runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// As it was in the first.
    pub first: RunEntry,
    /// As it was in the second.
    pub second: RunEntry,
    /// Somebody else executed it.
    pub executor: bool,
    /// It ended in another way.
    pub outcome: bool,
    /// It took another number of attempts.
    pub attempts: bool,
    /// Data that only the first read.
    pub inputs_first: Vec<DataEntry>,
    /// Data that only the second read.
    pub inputs_second: Vec<DataEntry>,
    /// Data that only the first made.
    pub outputs_first: Vec<DataEntry>,
    /// Data that only the second made.
    pub outputs_second: Vec<DataEntry>,
}

impl View<'_> {
    /// How two runs differ.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such run.
    pub fn difference(&self, first: &Run, second: &Run) -> Result<Difference, Unanswered> {
        let (mut one, mut other) = (self.efforts(first)?, self.efforts(second)?);
        if one.len() == 1 && other.len() == 1 {
            // Whatever they are called.
            let name = one.keys().next().expect("there is one").clone();
            other = other.into_values().map(|effort| (name.clone(), effort)).collect();
        }
        let mut difference = Difference {
            only_first: Vec::new(),
            only_second: Vec::new(),
            changed: Vec::new(),
            same: Vec::new(),
            as_of: self.next_position(),
        };
        for (name, first) in std::mem::take(&mut one) {
            match other.remove(&name) {
                None => difference.only_first.push(first.entry),
                Some(second) => difference.compare(first, second),
            }
        }
        difference.only_second.extend(other.into_values().map(|effort| effort.entry));
        Ok(difference)
    }

    /// The workflow that a run belongs to.
    pub(crate) fn workflow_of_run(&self, run: &Run) -> Result<Workflow, Unanswered> {
        match run {
            Run::Trace(trace) => {
                let workflow = self.workflow(Some(*trace));
                let known = !workflow.intents.is_empty();
                known.then_some(workflow).ok_or(Unanswered::Trace(*trace))
            }
            Run::Part(id) => {
                let task = self.find_node(&NodeRef::Task(*id)).and_then(|task| self.task(task));
                let intent = task.and_then(|task| self.store().envelope_id(task.intent));
                self.workflow_of(intent.unwrap_or(*id)).ok_or(Unanswered::Run(*id))
            }
        }
    }

    fn efforts(&self, run: &Run) -> Result<BTreeMap<String, Effort>, Unanswered> {
        let (workflow, only) = match run {
            Run::Trace(_) => (self.workflow_of_run(run)?, None),
            Run::Part(id) => self.part(*id).ok_or(Unanswered::Run(*id))?,
        };
        self.within_limit(workflow.edges.len())?;
        let flows = Flows::of(&workflow.edges);
        let mut efforts: BTreeMap<String, Effort> = BTreeMap::new();
        for task in workflow.tasks() {
            if only.is_some_and(|only| only != task.id) {
                continue;
            }
            let name = task.title().to_owned();
            let before = efforts.get(&name).map_or(0, |effort| effort.entry.attempts);
            efforts.insert(name, Effort::of(task, before + 1, &flows));
        }
        Ok(efforts)
    }

    /// All versions of an intent, or those of a task's intent with the task.
    fn part(&self, id: EnvelopeId) -> Option<(Workflow, Option<EnvelopeId>)> {
        let task = self.find_node(&NodeRef::Task(id)).and_then(|task| self.task(task));
        let intent = match task {
            Some(ref task) => task.intent,
            None => self.find_node(&NodeRef::Intent(id))?,
        };
        let versions: Vec<_> = self.versions(intent).into_iter().collect();
        Some((self.workflow_over(None, &versions), task.map(|_| id)))
    }
}

impl Difference {
    fn compare(&mut self, first: Effort, second: Effort) {
        let only = |one: &BTreeSet<DataEntry>, other: &BTreeSet<DataEntry>| {
            one.difference(other).cloned().collect::<Vec<_>>()
        };
        let change = Change {
            executor: first.entry.task.executor != second.entry.task.executor,
            outcome: first.entry.task.outcome != second.entry.task.outcome,
            attempts: first.entry.attempts != second.entry.attempts,
            inputs_first: only(&first.inputs, &second.inputs),
            inputs_second: only(&second.inputs, &first.inputs),
            outputs_first: only(&first.outputs, &second.outputs),
            outputs_second: only(&second.outputs, &first.outputs),
            first: first.entry,
            second: second.entry,
        };
        match change.is_none() {
            true => self.same.push((change.first, change.second)),
            false => self.changed.push(change),
        }
    }
}

impl Change {
    fn is_none(&self) -> bool {
        let data =
            [&self.inputs_first, &self.inputs_second, &self.outputs_first, &self.outputs_second];
        let flags = [self.executor, self.outcome, self.attempts];
        !flags.contains(&true) && data.iter().all(|data| data.is_empty())
    }
}

/// The attempts at one task, as the last of them.
struct Effort {
    entry: RunEntry,
    inputs: BTreeSet<DataEntry>,
    outputs: BTreeSet<DataEntry>,
}

impl Effort {
    fn of(task: &WorkflowTask, attempts: u32, flows: &Flows) -> Self {
        let data = |flows: &BTreeMap<EnvelopeId, BTreeSet<DataEntry>>| {
            flows.get(&task.id).cloned().unwrap_or_default()
        };
        let entry = TaskEntry {
            id: task.id,
            label: task.label.clone(),
            name: task.name.clone(),
            executor: task.executor,
            outcome: task.outcome,
            position: Some(task.position),
        };
        Self {
            entry: RunEntry { task: entry, attempts, duration_us: task.timing.duration_us },
            inputs: data(&flows.used),
            outputs: data(&flows.made),
        }
    }
}

/// What each task read and made.
#[derive(Default)]
struct Flows {
    used: BTreeMap<EnvelopeId, BTreeSet<DataEntry>>,
    made: BTreeMap<EnvelopeId, BTreeSet<DataEntry>>,
}

impl Flows {
    fn of(edges: &[Edge]) -> Self {
        let mut flows = Self::default();
        for edge in edges {
            let (ends, of_task) = match edge.relation {
                Relation::Used => ((&edge.from, &edge.to), &mut flows.used),
                Relation::WasGeneratedBy => ((&edge.to, &edge.from), &mut flows.made),
                _ => continue,
            };
            if let (NodeRef::Task(task), NodeRef::Data { uri, digest }) = ends {
                let data = DataEntry { uri: uri.clone(), digest: *digest };
                of_task.entry(*task).or_default().insert(data);
            }
        }
        flows
    }
}
