//! Lineage: what something came from, and what came of it.
//!
//! The walk follows what flows between tasks and data and nothing else: who signed, who offered
//! and which policy held are other questions. It says nothing about tasks that merely could have
//! read something; a task that was given an input by its intent is taken to have used it, and the
//! edge says that this is inferred.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tally_protocol::{EnvelopeId, Position};

use crate::graph::Graph;
use crate::node::{DataEntry, NodeRef};
use crate::relation::Edge;
use crate::store::{EdgeIx, Link, NodeIx};

/// Key of the label by which a workflow names its tasks.
pub const TASK_LABEL_KEY: &str = "wf.task";

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what it came from.
    Up,
    /// To what came of it.
    Down,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start<'a> {
    /// Data of this URI, whatever its digest.
    DataUri(&'a str),
    /// The tasks with this value of the label [`TASK_LABEL_KEY`].
    TaskLabel(&'a str),
    /// A task (with its other attempts, where it has a label) or data.
    Node(NodeRef),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// No message names data of this URI.
    DataUri(String),
    /// No task has this label.
    TaskLabel(String),
    /// No message names this node.
    Node(NodeRef),
    /// The node is neither a task nor data.
    NoLineage(NodeRef),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataUri(uri) => write!(f, "no message names data at {uri:?}"),
            Self::TaskLabel(label) => write!(f, "no task has the label {TASK_LABEL_KEY}={label:?}"),
            Self::Node(node) => write!(f, "no message names {node}"),
            Self::NoLineage(node) => {
                write!(f, "{node} has no lineage of its own; ask about a task or about data")
            }
        }
    }
}

impl std::error::Error for Unknown {}

/// One task of an answer: all attempts that have one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageTask {
    /// The attempts that the walk came to, in the order of the log; never empty.
    pub ids: Vec<EnvelopeId>,
    /// Value of the label [`TASK_LABEL_KEY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The outcome that the intent asked for; the task's id where nothing is known of it.
    pub name: String,
}

impl LineageTask {
    /// The label, or the id of the first attempt.
    pub fn title(&self) -> String {
        let id = || self.ids.first().map(EnvelopeId::to_string).unwrap_or_default();
        self.label.clone().unwrap_or_else(id)
    }
}

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageStart {
    /// The tasks.
    pub tasks: Vec<LineageTask>,
    /// The data.
    pub data: Vec<DataEntry>,
}

/// An answer, without the object that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// What was asked about.
    pub start: LineageStart,
    /// The tasks, by title.
    pub tasks: Vec<LineageTask>,
    /// The data, by URI and digest.
    pub data: Vec<DataEntry>,
    /// Every edge that was walked, by position.
    pub edges: Vec<Edge>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// An answer in names: what a comparison with another system needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageSummary {
    /// Labels of the tasks, or their ids where they have none; sorted.
    pub tasks: Vec<String>,
    /// URIs of the data, each once; sorted.
    pub data: Vec<String>,
}

impl Lineage {
    /// The names of the tasks and of the data.
    pub fn summary(&self) -> LineageSummary {
        let tasks: BTreeSet<String> = self.tasks.iter().map(LineageTask::title).collect();
        let data: BTreeSet<String> = self.data.iter().map(|data| data.uri.clone()).collect();
        LineageSummary { tasks: tasks.into_iter().collect(), data: data.into_iter().collect() }
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("no maps with keys other than strings")
    }
}

impl Graph {
    /// What `start` came from, or what came of it. A step is one edge; `depth` is the most steps
    /// from the start, without it the walk goes as far as it can.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such start.
    pub fn lineage(
        &self,
        start: Start<'_>,
        direction: Direction,
        depth: Option<u32>,
    ) -> Result<Lineage, Unknown> {
        let start = self.starting_nodes(start)?;
        let walk = self.walk(&start, direction, depth);
        Ok(Lineage {
            start: LineageStart { tasks: self.entries(&start), data: self.data_entries(&start) },
            tasks: self.entries(&walk.found),
            data: self.data_entries(&walk.found),
            edges: self.store.edges(walk.edges),
            as_of: self.next_position(),
        })
    }

    fn starting_nodes(&self, start: Start<'_>) -> Result<BTreeSet<NodeIx>, Unknown> {
        let nodes = match &start {
            Start::DataUri(uri) => self.store.data_at(uri).iter().copied().collect(),
            Start::TaskLabel(label) => self.attempts(label),
            Start::Node(node) => self.starting_node(node)?,
        };
        match start {
            _ if !nodes.is_empty() => Ok(nodes),
            Start::DataUri(uri) => Err(Unknown::DataUri(uri.to_owned())),
            Start::TaskLabel(label) => Err(Unknown::TaskLabel(label.to_owned())),
            Start::Node(node) => Err(Unknown::Node(node)),
        }
    }

    fn starting_node(&self, node: &NodeRef) -> Result<BTreeSet<NodeIx>, Unknown> {
        let Some(found) = self.store.find_node(node) else {
            return Err(Unknown::Node(node.clone()));
        };
        if !self.store.is_task(found) && !self.store.is_data(found) {
            return Err(Unknown::NoLineage(node.clone()));
        }
        let mut nodes = self.task_label(found).map(|l| self.attempts(l)).unwrap_or_default();
        nodes.insert(found);
        Ok(nodes)
    }

    fn attempts(&self, label: &str) -> BTreeSet<NodeIx> {
        self.nodes_labelled(TASK_LABEL_KEY, label).iter().copied().collect()
    }

    fn walk(&self, start: &BTreeSet<NodeIx>, direction: Direction, depth: Option<u32>) -> Walk {
        let mut walk = Walk::default();
        let mut front: Vec<NodeIx> = start.iter().copied().collect();
        let mut steps = 0;
        while !front.is_empty() && depth.is_none_or(|most| steps < most) {
            let mut next = Vec::new();
            for node in front {
                for (edge, neighbour) in self.steps(node, direction) {
                    walk.edges.push(edge);
                    if !start.contains(&neighbour) && walk.found.insert(neighbour) {
                        next.push(neighbour);
                    }
                }
            }
            front = next;
            steps += 1;
        }
        walk
    }

    fn steps(&self, node: NodeIx, direction: Direction) -> Vec<(EdgeIx, NodeIx)> {
        let flow = |(edge, link): (EdgeIx, Link)| link.relation.is_flow().then_some((edge, link));
        let known = |node: NodeIx| {
            let is_theirs = self.store.is_imported(node);
            is_theirs || self.store.is_task(node) || self.store.is_data(node)
        };
        let steps: Vec<_> = match direction {
            Direction::Up => {
                self.store.outgoing(node).filter_map(flow).map(|(e, l)| (e, l.to)).collect()
            }
            Direction::Down => {
                self.store.incoming(node).filter_map(flow).map(|(e, l)| (e, l.from)).collect()
            }
        };
        // A message that takes an intent for a task has an edge too; it leads nowhere.
        steps.into_iter().filter(|&(_, neighbour)| known(neighbour)).collect()
    }

    /// The tasks among some nodes, attempts with one label as one.
    fn entries(&self, nodes: &BTreeSet<NodeIx>) -> Vec<LineageTask> {
        let mut entries: BTreeMap<(String, bool), LineageTask> = BTreeMap::new();
        for &node in nodes.iter().filter(|&&node| self.store.is_task(node)) {
            let Some(id) = self.store.envelope_id(node) else { continue };
            let label = self.task_label(node).map(str::to_owned);
            let key = (label.clone().unwrap_or_else(|| id.to_string()), label.is_some());
            let new = || LineageTask { ids: Vec::new(), label, name: self.task_name(node) };
            entries.entry(key).or_insert_with(new).ids.push(id);
        }
        entries.into_values().collect()
    }

    fn data_entries(&self, nodes: &BTreeSet<NodeIx>) -> Vec<DataEntry> {
        let data = nodes.iter().filter_map(|&node| match self.store.node_ref(node) {
            NodeRef::Data { uri, digest } => Some(DataEntry { uri, digest }),
            _ => None,
        });
        let data: BTreeSet<DataEntry> = data.collect();
        data.into_iter().collect()
    }
}

#[derive(Default)]
struct Walk {
    found: BTreeSet<NodeIx>,
    edges: Vec<EdgeIx>,
}
