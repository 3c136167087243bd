//! Lineage: what something came from, and what came of it.
//!
//! The walk follows what flows between tasks and data and nothing else: who signed, who offered
//! and which policy held are other questions. It says nothing about tasks that merely could have
//! read something; a task that was given an input by its intent is taken to have used it, and the
//! edge says that this is inferred.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_protocol::{AgentId, EnvelopeId, Position};

use crate::node::{DataEntry, NodeRef};
use crate::record::{Label, NodeIx};
use crate::relation::{Class, Edge, Relation};
use crate::store::Link;
use crate::unanswered::Unanswered;
use crate::view::View;

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

/// What is asked about lineage, beside where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageQuestion {
    /// Which way to walk.
    pub direction: Direction,
    /// Most steps from the start, a step being one edge; without it the walk goes as far as it can.
    pub depth: Option<u32>,
    /// What of it is shown.
    pub filter: Filter,
}

impl LineageQuestion {
    /// All of it, in a direction.
    pub fn new(direction: Direction) -> Self {
        Self { direction, depth: None, filter: Filter::default() }
    }
}

/// What of a lineage is shown: all criteria that are set. The classes hold for the walk: it follows
/// no other edges. The rest holds for the answer: the walk goes through what is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only tasks, or only data.
    pub only: Option<Only>,
    /// Only tasks that this agent executes, and data that they made.
    pub agent: Option<AgentId>,
    /// Only tasks whose intent carries this label (key and value), and data that they made.
    pub label: Option<(String, String)>,
    /// Only edges of these classes; empty means any.
    pub classes: BTreeSet<Class>,
    /// Of data only what has a URI that begins so. Tasks are not concerned.
    pub uri_prefix: Option<String>,
}

/// One of the two kinds of things that lineage is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Tasks.
    Tasks,
    /// Data.
    Data,
}

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

impl<'g> View<'g> {
    /// What `start` came from, or what came of it.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such start.
    pub fn lineage(
        &self,
        start: Start<'_>,
        question: &LineageQuestion,
    ) -> Result<Lineage, Unanswered> {
        let start = self.starting_nodes(&start)?;
        let walk =
            self.walk(&start, question.direction, question.depth, &question.filter.classes)?;
        let shown = self.shown(walk.found, &question.filter);
        let edges = match question.filter.hides_nodes() {
            false => walk.edges,
            true => self.between(walk.edges, |node| shown.contains(&node) || start.contains(&node)),
        };
        Ok(Lineage {
            start: LineageStart { tasks: self.attempts(&start), data: self.data_entries(start) },
            tasks: self.attempts(&shown),
            data: self.data_entries(shown),
            edges: self.edges(edges),
            as_of: self.next_position(),
        })
    }

    /// What a question is about, as nodes; never none.
    pub(crate) fn starting_nodes(&self, start: &Start<'_>) -> Result<BTreeSet<NodeIx>, Unanswered> {
        let nodes = match start {
            Start::DataUri(uri) => self.data_at(uri).collect(),
            Start::TaskLabel(label) => self.labelled(label),
            Start::Node(node) => self.starting_node(node)?,
        };
        match start {
            _ if !nodes.is_empty() => Ok(nodes),
            Start::DataUri(uri) => Err(Unanswered::DataUri((*uri).to_owned())),
            Start::TaskLabel(label) => Err(Unanswered::TaskLabel((*label).to_owned())),
            Start::Node(node) => Err(Unanswered::Node(node.clone())),
        }
    }

    fn starting_node(&self, node: &NodeRef) -> Result<BTreeSet<NodeIx>, Unanswered> {
        let found = self.flow_node(node)?;
        let mut nodes =
            self.task_label(found).map(|label| self.labelled(&label)).unwrap_or_default();
        nodes.insert(found);
        Ok(nodes)
    }

    /// A task or data.
    pub(crate) fn flow_node(&self, node: &NodeRef) -> Result<NodeIx, Unanswered> {
        let Some(found) = self.find_node(node) else {
            return Err(Unanswered::Node(node.clone()));
        };
        match self.is_task(found) || self.is_data(found) {
            true => Ok(found),
            false => Err(Unanswered::NoLineage(node.clone())),
        }
    }

    fn labelled(&self, label: &str) -> BTreeSet<NodeIx> {
        self.nodes_labelled(TASK_LABEL_KEY, label).collect()
    }

    /// Follows what flows, breadth first.
    pub(crate) fn walk(
        &self,
        start: &BTreeSet<NodeIx>,
        direction: Direction,
        depth: Option<u32>,
        classes: &BTreeSet<Class>,
    ) -> Result<Walk, Unanswered> {
        let mut walk = Walk::default();
        let mut front: Vec<NodeIx> = start.iter().copied().collect();
        let mut steps = 0;
        while !front.is_empty() && depth.is_none_or(|most| steps < most) {
            let mut next = Vec::new();
            for node in front {
                for link in self.steps(node, direction) {
                    if !classes.is_empty() && !classes.contains(&link.class) {
                        continue;
                    }
                    walk.edges.push(link);
                    let neighbour = direction.ahead(&link);
                    if !start.contains(&neighbour) && walk.found.insert(neighbour) {
                        next.push(neighbour);
                    }
                }
                self.within_limit(walk.edges.len())?;
            }
            front = next;
            steps += 1;
        }
        Ok(walk)
    }

    /// The edges along which something flows between tasks and data, at a node.
    pub(crate) fn steps(&self, node: NodeIx, direction: Direction) -> Vec<Link> {
        // A message that takes an intent for a task has an edge too; it leads nowhere.
        let flows = |link: &Link| {
            let ahead = direction.ahead(link);
            let is_theirs = self.store().is_imported(ahead);
            link.relation.is_flow() && (is_theirs || self.is_task(ahead) || self.is_data(ahead))
        };
        match direction {
            Direction::Up => self.outgoing(node).filter(flows).collect(),
            Direction::Down => self.incoming(node).filter(flows).collect(),
        }
    }

    fn shown(&self, mut found: BTreeSet<NodeIx>, filter: &Filter) -> BTreeSet<NodeIx> {
        if filter.hides_nodes() {
            found.retain(|&node| match self.is_task(node) {
                true => filter.only != Some(Only::Data) && self.is_by(node, filter),
                false => filter.only != Some(Only::Tasks) && self.is_shown_data(node, filter),
            });
        }
        found
    }

    fn is_by(&self, task: NodeIx, filter: &Filter) -> bool {
        let executor = self.executor(task).and_then(|agent| self.agent_id(agent));
        let has_label = |(key, value): &(String, String)| {
            let labels = self.intent_of(task).map(|intent| intent.labels);
            let is_it = |(k, v): &Label| **k == **key && **v == **value;
            labels.is_some_and(|labels| labels.iter().any(is_it))
        };
        filter.agent.is_none_or(|agent| executor == Some(agent))
            && filter.label.as_ref().is_none_or(has_label)
    }

    fn is_shown_data(&self, data: NodeIx, filter: &Filter) -> bool {
        let begins = |prefix: &String| {
            self.store().data_parts(data).is_some_and(|(uri, _)| uri.starts_with(prefix.as_str()))
        };
        let asks_who = filter.agent.is_some() || filter.label.is_some();
        let mut makers = self.links_from(data, Relation::WasGeneratedBy).map(|link| link.to);
        filter.uri_prefix.as_ref().is_none_or(begins)
            && (!asks_who || makers.any(|maker| self.is_by(maker, filter)))
    }

    fn between(&self, mut edges: Vec<Link>, is_end: impl Fn(NodeIx) -> bool) -> Vec<Link> {
        edges.retain(|link| is_end(link.from) && is_end(link.to));
        edges
    }

    /// The tasks among some nodes, attempts with one label as one.
    fn attempts(&self, nodes: &BTreeSet<NodeIx>) -> Vec<LineageTask> {
        let mut entries: BTreeMap<(String, bool), LineageTask> = BTreeMap::new();
        for &node in nodes.iter().filter(|&&node| self.is_task(node)) {
            let Some(id) = self.store().envelope_id(node) else { continue };
            let label = self.task_label(node).map(|label| (*label).to_owned());
            let key = (label.clone().unwrap_or_else(|| id.to_string()), label.is_some());
            let new = || LineageTask { ids: Vec::new(), label, name: self.task_name(node) };
            entries.entry(key).or_insert_with(new).ids.push(id);
        }
        entries.into_values().collect()
    }
}

impl Filter {
    fn hides_nodes(&self) -> bool {
        let Self { only, agent, label, classes: _, uri_prefix } = self;
        only.is_some() || agent.is_some() || label.is_some() || uri_prefix.is_some()
    }
}

impl Direction {
    /// The end of an edge that lies this way.
    pub(crate) fn ahead(self, link: &Link) -> NodeIx {
        match self {
            Self::Up => link.to,
            Self::Down => link.from,
        }
    }
}

/// What a walk came to.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) found: BTreeSet<NodeIx>,
    pub(crate) edges: Vec<Link>,
}
