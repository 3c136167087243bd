//! Where the time of a workflow went: wait against run time, by task, agent and capability.
//!
//! Waiting is what the ledger saw: from the award to the first sign of work. Running is both what the
//! ledger saw and what the executor states in the receipt; where a workflow is only recorded and not
//! run, the two differ.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tally_protocol::{AgentId, EnvelopeId, Position, Time, TraceId};

use crate::difference::Run;
use crate::node::NodeRef;
use crate::unanswered::Unanswered;
use crate::view::View;
use crate::workflow::{CriticalPath, Workflow, WorkflowIntent, WorkflowTask};

/// Where the time of a workflow went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottlenecks {
    /// The workflow; absent for an intent of no trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Every attempt, those that waited longest first.
    pub tasks: Vec<TaskTime>,
    /// The executors, those that let others wait longest first.
    pub agents: Vec<Load>,
    /// The capabilities, those that were waited for longest first.
    pub capabilities: Vec<Load>,
    /// The chain of tasks that took the longest, by their receipts.
    pub critical_path: CriticalPath,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// The time of one attempt at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTime {
    /// Its id.
    pub id: EnvelopeId,
    /// Its label, or else its name.
    pub name: String,
    /// Where its TaskStart stands.
    pub position: Position,
    /// Who executes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<AgentId>,
    /// 1 for the first try.
    pub attempt: u32,
    /// Whether it lies on the critical path.
    pub is_critical: bool,
    /// Its times.
    #[serde(flatten)]
    pub times: Times,
}

/// Times in microseconds; 0 where nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// From the intent to the award: offers and their choice.
    pub award_us: u64,
    /// From the award to the executor's first "running", or else to its receipt.
    pub wait_us: u64,
    /// From the first "running" to the receipt, as the ledger recorded them.
    pub run_us: u64,
    /// From begin to end of execution, as the receipt states them.
    pub stated_us: u64,
}

/// What lay on an agent or a capability: the sums over its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The agent or the version of the capability.
    pub who: NodeRef,
    /// The name of a capability, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many attempts.
    pub attempts: u64,
    /// How many did not succeed.
    pub failed: u64,
    /// Their times, added up.
    #[serde(flatten)]
    pub times: Times,
}

impl View<'_> {
    /// Where the time of a workflow went: of a trace, or of the trace of an intent or task.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such trace, intent or task.
    pub fn bottlenecks(&self, run: &Run) -> Result<Bottlenecks, Unanswered> {
        let workflow = self.workflow_of_run(run)?;
        self.within_limit(workflow.edges.len())?;
        let critical_path = workflow.critical_path();
        let mut tasks: Vec<TaskTime> = Vec::new();
        let (mut agents, mut capabilities) = (BTreeMap::new(), BTreeMap::new());
        for (intent, task) in attempts(&workflow) {
            let times = Times::of(intent, task);
            let offer = intent.offers.iter().find(|offer| offer.id == task.offer);
            let capability = offer.map(|offer| NodeRef::Capability(offer.capability));
            add(&mut agents, task.executor.map(NodeRef::Agent), task, times);
            add(&mut capabilities, capability, task, times);
            let is_critical = critical_path.steps.iter().any(|step| step.task == task.id);
            tasks.push(task_time(task, times, is_critical));
        }
        tasks.sort_by_key(|task| (Reverse(task.times.wait_us), task.position));
        Ok(Bottlenecks {
            trace_id: workflow.trace_id,
            tasks,
            agents: self.loads(agents),
            capabilities: self.loads(capabilities),
            critical_path,
            as_of: self.next_position(),
        })
    }

    fn loads(&self, loads: BTreeMap<NodeRef, Load>) -> Vec<Load> {
        let with_name = |mut load: Load| {
            let facts = self.find_node(&load.who).and_then(|node| self.capability(node));
            load.name = facts.map(|facts| (*facts.name).to_owned());
            load
        };
        let mut loads: Vec<Load> = loads.into_values().map(with_name).collect();
        loads.sort_by_key(|load| Reverse((load.times.wait_us, load.times.run_us)));
        loads
    }
}

fn attempts(workflow: &Workflow) -> impl Iterator<Item = (&WorkflowIntent, &WorkflowTask)> {
    workflow.intents.iter().flat_map(|intent| intent.tasks.iter().map(move |task| (intent, task)))
}

fn task_time(task: &WorkflowTask, times: Times, is_critical: bool) -> TaskTime {
    TaskTime {
        id: task.id,
        name: task.title().to_owned(),
        position: task.position,
        executor: task.executor,
        attempt: task.attempt,
        is_critical,
        times,
    }
}

fn add(
    loads: &mut BTreeMap<NodeRef, Load>,
    who: Option<NodeRef>,
    task: &WorkflowTask,
    times: Times,
) {
    let Some(who) = who else { return };
    let empty =
        Load { who: who.clone(), name: None, attempts: 0, failed: 0, times: Times::default() };
    let load = loads.entry(who).or_insert(empty);
    load.attempts += 1;
    let failed = task.outcome.is_some_and(|end| end != tally_protocol::message::Outcome::Succeeded);
    load.failed += u64::from(failed);
    load.times.add(times);
}

impl Times {
    fn of(intent: &WorkflowIntent, task: &WorkflowTask) -> Self {
        let timing = &task.timing;
        let between = |from: Option<Time>, to: Option<Time>| {
            let (from, to) = from.zip(to)?;
            u64::try_from(to.0.checked_sub(from.0)?).ok()
        };
        let begun = timing.running_at.or(timing.done_at);
        Self {
            award_us: between(Some(intent.recorded_at), Some(timing.start_at)).unwrap_or(0),
            wait_us: between(Some(timing.start_at), begun).unwrap_or(0),
            run_us: between(timing.running_at, timing.done_at).unwrap_or(0),
            stated_us: timing.duration_us.unwrap_or(0),
        }
    }

    fn add(&mut self, other: Self) {
        let Self { award_us, wait_us, run_us, stated_us } = other;
        self.award_us = self.award_us.saturating_add(award_us);
        self.wait_us = self.wait_us.saturating_add(wait_us);
        self.run_us = self.run_us.saturating_add(run_us);
        self.stated_us = self.stated_us.saturating_add(stated_us);
    }
}
