//! The coordination graph of a workflow (R24): intents, all offers, awards, tasks, receipts, and
//! where the time went (R23).
//!
//! It shows what was decided, not why in numbers: the scores of an evaluation stand in the
//! TaskStart at the task's position. Tasks of an intent that was never seen are not shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tally_protocol::message::Outcome;
use tally_protocol::{AgentId, EnvelopeId, Position, Time, TraceId};

use crate::node::NodeRef;
use crate::record::{NodeIx, ReceiptFacts};
use crate::relation::{Edge, Relation};
use crate::store::Link;
use crate::view::View;

/// How far an offer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferState {
    /// Nobody has answered it. Whether it has lapsed since depends on the time.
    Open,
    /// Its author made another one instead.
    Replaced,
    /// The intent's author refused it.
    Declined,
    /// Its author took it back.
    Withdrawn,
    /// A task was started on it.
    Awarded,
}

/// How a workflow was coordinated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// The workflow; absent when the whole log was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Every version of every intent, in the order of the log.
    pub intents: Vec<WorkflowIntent>,
    /// Every edge at these intents, offers, tasks and receipts, by position.
    pub edges: Vec<Edge>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// A version of an intent with all that it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowIntent {
    /// Its id.
    pub id: EnvelopeId,
    /// The version that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<EnvelopeId>,
    /// Who asks.
    pub author: AgentId,
    /// The desired outcome.
    pub outcome: String,
    /// Key and value of each label.
    pub labels: Vec<(String, String)>,
    /// The workflow that the intent itself names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// When the ledger recorded it.
    pub recorded_at: Time,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// All competing offers, in the order of the log.
    pub offers: Vec<WorkflowOffer>,
    /// The tasks, in the order of the log.
    pub tasks: Vec<WorkflowTask>,
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowOffer {
    /// Its id.
    pub id: EnvelopeId,
    /// The provider.
    pub author: AgentId,
    /// The capability that it rests on.
    pub capability: EnvelopeId,
    /// The offer that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<EnvelopeId>,
    /// When the ledger recorded it.
    pub recorded_at: Time,
    /// How far it came.
    pub state: OfferState,
}

/// A task: one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowTask {
    /// Its id.
    pub id: EnvelopeId,
    /// Where its TaskStart stands.
    pub position: Position,
    /// Value of the label [`TASK_LABEL_KEY`](crate::TASK_LABEL_KEY).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The outcome that the intent asked for; the task's id where that is empty.
    pub name: String,
    /// The offer that was awarded.
    pub offer: EnvelopeId,
    /// Who executes it; absent where the offer is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<AgentId>,
    /// 1 for the first try.
    pub attempt: u32,
    /// The task that it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<EnvelopeId>,
    /// How it ended, by the first receipt; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When what happened.
    pub timing: Timing,
    /// All receipts in the order of the log; the first one counts (R18).
    pub receipts: Vec<WorkflowReceipt>,
}

/// When what happened to a task: times of the ledger, and the duration that the receipt states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Its start was recorded.
    pub start_at: Time,
    /// The executor's first "accepted" was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Time>,
    /// The executor's first "running" was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_at: Option<Time>,
    /// The first receipt was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
    /// From begin to end of execution by the first receipt, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowReceipt {
    /// Its id.
    pub id: EnvelopeId,
    /// How the task ended.
    pub outcome: Outcome,
    /// When the ledger recorded it.
    pub recorded_at: Time,
    /// When execution began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_us: Option<Time>,
    /// When execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_us: Option<Time>,
}

/// The chain of tasks that took the longest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CriticalPath {
    /// The tasks, first to last.
    pub steps: Vec<PathStep>,
    /// The sum of their durations, in microseconds.
    pub total_us: u64,
}

/// A task on the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// The last attempt.
    pub task: EnvelopeId,
    /// Its label, or else its name.
    pub name: String,
    /// Its duration by its receipt, in microseconds; 0 without one.
    pub duration_us: u64,
}

impl WorkflowTask {
    /// The label, or else the name.
    pub fn title(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

impl Workflow {
    /// The tasks of all intents, in the order of the log.
    pub fn tasks(&self) -> Vec<&WorkflowTask> {
        let mut tasks: Vec<_> = self.intents.iter().flat_map(|intent| &intent.tasks).collect();
        tasks.sort_by_key(|task| task.position);
        tasks
    }

    /// The chain of tasks, along data and dependencies, with the greatest sum of durations. A
    /// retried task counts with its last attempt. Of equal chains the one of earlier tasks wins.
    /// Where tasks wait for each other in a circle, the circle is cut where a walk in the order of
    /// the log meets it again.
    pub fn critical_path(&self) -> CriticalPath {
        let efforts = Efforts::of(self);
        let order = finishing_order(&efforts.before);
        efforts.longest_chain(&order)
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("no maps with keys other than strings")
    }
}

impl View<'_> {
    /// The coordination graph of the workflow with this trace id (R24, R25), or of the whole log.
    /// An intent belongs to a workflow when it, an offer for it or a task of it names the trace.
    pub fn workflow(&self, trace_id: Option<TraceId>) -> Workflow {
        self.workflow_over(trace_id, &self.intents(trace_id))
    }

    /// The coordination graph of the workflow that an intent belongs to: its trace, or without one
    /// all versions of the intent. `None` when there is no such intent.
    pub fn workflow_of(&self, intent: EnvelopeId) -> Option<Workflow> {
        let node = self.find_node(&NodeRef::Intent(intent))?;
        if let Some(trace_id) = self.intent(node)?.trace_id {
            return Some(self.workflow(Some(trace_id)));
        }
        let versions: Vec<NodeIx> = self.versions(node).into_iter().collect();
        Some(self.workflow_over(None, &versions))
    }

    /// All versions of an intent, a capability, an offer or a key, this one among them.
    pub(crate) fn versions(&self, node: NodeIx) -> BTreeSet<NodeIx> {
        let mut versions = BTreeSet::from([node]);
        let mut open = vec![node];
        while let Some(version) = open.pop() {
            let before = self.links_from(version, Relation::WasRevisionOf).map(|link| link.to);
            let after = self.nodes_to(version, Relation::WasRevisionOf);
            open.extend(before.chain(after).filter(|other| versions.insert(*other)));
        }
        versions
    }

    pub(crate) fn workflow_over(&self, trace_id: Option<TraceId>, intents: &[NodeIx]) -> Workflow {
        Workflow {
            trace_id,
            edges: self.coordination_edges(intents),
            intents: intents.iter().filter_map(|&i| self.workflow_intent(i)).collect(),
            as_of: self.next_position(),
        }
    }

    fn workflow_intent(&self, intent: NodeIx) -> Option<WorkflowIntent> {
        let facts = self.intent(intent)?;
        Some(WorkflowIntent {
            id: self.store().envelope_id(intent)?,
            revises: self.ids_from(intent, Relation::WasRevisionOf).first().copied(),
            author: self.agent_id(facts.signed.author)?,
            outcome: text(&facts.outcome),
            labels: facts.labels.iter().map(|(key, value)| (text(key), text(value))).collect(),
            trace_id: facts.trace_id,
            recorded_at: facts.signed.recorded_at,
            cancelled: self.is_cancelled(&facts),
            offers: self
                .nodes_to(intent, Relation::Answers)
                .filter_map(|offer| self.workflow_offer(offer))
                .collect(),
            tasks: self
                .nodes_to(intent, Relation::Serves)
                .filter_map(|task| self.workflow_task(task))
                .collect(),
        })
    }

    fn workflow_offer(&self, offer: NodeIx) -> Option<WorkflowOffer> {
        let facts = self.offer(offer)?;
        Some(WorkflowOffer {
            id: self.store().envelope_id(offer)?,
            author: self.agent_id(facts.signed.author)?,
            capability: self.store().envelope_id(facts.capability)?,
            replaces: self.ids_from(offer, Relation::WasRevisionOf).first().copied(),
            recorded_at: facts.signed.recorded_at,
            state: self.offer_state(offer),
        })
    }

    fn workflow_task(&self, task: NodeIx) -> Option<WorkflowTask> {
        let facts = self.task(task)?;
        let receipts = self.receipts_of(task);
        let receipts: Vec<WorkflowReceipt> =
            receipts.filter_map(|receipt| self.workflow_receipt(receipt)).collect();
        Some(WorkflowTask {
            id: self.store().envelope_id(task)?,
            position: facts.signed.position,
            label: self.task_label(task).map(|label| text(&label)),
            name: self.task_name(task),
            offer: self.store().envelope_id(facts.offer)?,
            executor: self.executor(task).and_then(|agent| self.agent_id(agent)),
            attempt: facts.attempt,
            replaces: self.ids_from(task, Relation::Retries).first().copied(),
            outcome: receipts.first().map(|receipt| receipt.outcome),
            timing: Timing {
                start_at: facts.signed.recorded_at,
                accepted_at: self.reached(facts.accepted),
                running_at: self.reached(facts.running),
                done_at: receipts.first().map(|receipt| receipt.recorded_at),
                duration_us: receipts.first().and_then(duration),
            },
            receipts,
        })
    }

    fn workflow_receipt(&self, receipt: NodeIx) -> Option<WorkflowReceipt> {
        let ReceiptFacts { signed, outcome, started_at_us, ended_at_us } = self.receipt(receipt)?;
        let (id, recorded_at) = (self.store().envelope_id(receipt)?, signed.recorded_at);
        Some(WorkflowReceipt { id, outcome, recorded_at, started_at_us, ended_at_us })
    }

    fn coordination_edges(&self, intents: &[NodeIx]) -> Vec<Edge> {
        let mut edges: Vec<Link> = Vec::new();
        let mut all_from = |node| edges.extend(self.outgoing(node));
        let mut tasks = Vec::new();
        for &intent in intents {
            all_from(intent);
            self.nodes_to(intent, Relation::Answers).for_each(&mut all_from);
            tasks.extend(self.nodes_to(intent, Relation::Serves));
        }
        for &task in &tasks {
            all_from(task);
            self.nodes_to(task, Relation::Concludes).for_each(&mut all_from);
        }
        let made = |link: &Link| link.relation == Relation::WasGeneratedBy;
        for &task in &tasks {
            edges.extend(self.incoming(task).filter(made));
        }
        self.edges(edges)
    }
}

/// Nothing when the clock ran backwards or a time is missing.
fn duration(receipt: &WorkflowReceipt) -> Option<u64> {
    let (begin, end) = receipt.started_at_us.zip(receipt.ended_at_us)?;
    u64::try_from(end.0.checked_sub(begin.0)?).ok()
}

// -------------------------------------------------------------- the critical path

/// The tasks with their attempts taken together, and which come before which.
struct Efforts<'a> {
    /// The last attempt of each.
    last: Vec<&'a WorkflowTask>,
    /// For each, those that it waited for; sorted, each once. An effort that changes
    /// a file in place waits for itself, which is the smallest circle.
    before: Vec<Vec<usize>>,
}

impl<'a> Efforts<'a> {
    fn of(workflow: &'a Workflow) -> Self {
        let mut last: Vec<&WorkflowTask> = Vec::new();
        let mut effort_of: BTreeMap<EnvelopeId, usize> = BTreeMap::new();
        for task in workflow.tasks() {
            let earlier = task.replaces.and_then(|id| effort_of.get(&id).copied());
            let effort = earlier.unwrap_or(last.len());
            match last.get_mut(effort) {
                Some(slot) => *slot = task,
                None => last.push(task),
            }
            effort_of.insert(task.id, effort);
        }
        let before = waits(&workflow.edges, &effort_of, &last);
        Self { last, before }
    }

    /// `order` has every effort after those that it waited for, but for the cut of a circle.
    fn longest_chain(&self, order: &[usize]) -> CriticalPath {
        let mut sums: Vec<Option<u64>> = vec![None; self.last.len()];
        let mut via: Vec<Option<usize>> = vec![None; self.last.len()];
        for &effort in order {
            let done = |&before: &usize| sums[before].map(|sum| (sum, Reverse(before)));
            let best = self.before[effort].iter().filter_map(done).max();
            via[effort] = best.map(|(_, Reverse(before))| before);
            let sum = best.map_or(0, |(sum, _)| sum);
            sums[effort] = Some(sum.saturating_add(self.duration(effort)));
        }
        let last = (0..sums.len()).max_by_key(|&effort| (sums[effort], Reverse(effort)));
        let mut chain: Vec<usize> = std::iter::successors(last, |&effort| via[effort]).collect();
        chain.reverse();
        CriticalPath {
            steps: chain.into_iter().map(|effort| self.step(effort)).collect(),
            total_us: last.and_then(|effort| sums[effort]).unwrap_or(0),
        }
    }

    fn step(&self, effort: usize) -> PathStep {
        let task = self.last[effort];
        let (name, duration_us) = (task.title().to_owned(), self.duration(effort));
        PathStep { task: task.id, name, duration_us }
    }

    fn duration(&self, effort: usize) -> u64 {
        self.last[effort].timing.duration_us.unwrap_or(0)
    }
}

/// What the last attempt of each effort waited for: efforts of which any attempt made what it
/// used, and efforts that it names.
fn waits(
    edges: &[Edge],
    effort_of: &BTreeMap<EnvelopeId, usize>,
    last: &[&WorkflowTask],
) -> Vec<Vec<usize>> {
    let effort = |node: &NodeRef| match node {
        NodeRef::Task(id) => effort_of.get(id).copied(),
        _ => None,
    };
    let waiting = |node: &NodeRef| effort(node).filter(|&e| *node == NodeRef::Task(last[e].id));
    let mut makers: BTreeMap<&NodeRef, Vec<usize>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.relation == Relation::WasGeneratedBy) {
        makers.entry(&edge.from).or_default().extend(effort(&edge.to));
    }
    let mut before = vec![BTreeSet::new(); last.len()];
    for edge in edges {
        let Some(waiting) = waiting(&edge.from) else { continue };
        match edge.relation {
            Relation::Used => before[waiting].extend(makers.get(&edge.to).into_iter().flatten()),
            Relation::WasInformedBy => before[waiting].extend(effort(&edge.to)),
            _ => {}
        }
    }
    before.into_iter().map(|waits| waits.into_iter().collect()).collect()
}

/// Depth-first: every effort after those it waited for, unless they are in a circle with it. Its
/// own stack, since chains can be longer than the thread's.
fn finishing_order(before: &[Vec<usize>]) -> Vec<usize> {
    let mut seen = vec![false; before.len()];
    let mut order = Vec::with_capacity(before.len());
    for root in 0..before.len() {
        let mut stack = Vec::new();
        if !std::mem::replace(&mut seen[root], true) {
            stack.push((root, before[root].iter()));
        }
        while let Some((effort, rest)) = stack.last_mut() {
            match rest.next() {
                None => {
                    order.push(*effort);
                    stack.pop();
                }
                Some(&next) => {
                    if !std::mem::replace(&mut seen[next], true) {
                        stack.push((next, before[next].iter()));
                    }
                }
            }
        }
    }
    order
}

fn text(text: &Arc<str>) -> String {
    (**text).to_owned()
}
