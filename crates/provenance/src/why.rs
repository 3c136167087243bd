//! Why: what suffices to derive something, and nothing that it could do without.
//!
//! A *derivation* is a set of tasks from which something follows: for each of its tasks it has what
//! that task used and builds on, and for each of those data one task that made it, down to *sources*:
//! data that no task made. It is minimal when no task can be left out. Data that several tasks made
//! has several derivations, and so has everything that came of it.
//!
//! Attempts that failed are in no derivation; data that nothing else made is a source then, and says
//! which attempts made it. A task still running is in: it may have made intermediate data. Where
//! things were made of each other in a circle and nothing else leads to them, the circle is cut where
//! a walk from the start meets it again, and what is needed there is a source.
//!
//! How the data came about within a task is not known: all that a task used counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use tally_protocol::message::Outcome;
use tally_protocol::{Digest, EnvelopeId, Position};

use crate::lineage::{Direction, Start, TASK_LABEL_KEY};
use crate::node::{NodeRef, TaskEntry};
use crate::record::NodeIx;
use crate::relation::{Edge, Relation};
use crate::store::Link;
use crate::unanswered::Unanswered;
use crate::view::View;

/// Most derivations in one answer.
pub const MAX_DERIVATIONS: usize = 16;

/// Most edges that are looked at for further derivations: there can be exponentially many.
const MAX_STEPS: usize = 2_000_000;

/// What suffices to derive something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What was asked about: data, or the attempts at a task of which one suffices.
    pub subject: Vec<NodeRef>,
    /// The alternatives, each minimal; those of fewer tasks first, then those of earlier ones.
    pub derivations: Vec<Derivation>,
    /// There are more, or there may be: no more than [`MAX_DERIVATIONS`] are shown, and the search
    /// for them is bounded.
    pub more: bool,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// One way in which it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    /// Data that no task made, by URI and digest.
    pub sources: Vec<Source>,
    /// The tasks, in the order of the log.
    pub tasks: Vec<TaskEntry>,
    /// What holds them together, each with the event that says so; by position.
    pub edges: Vec<Edge>,
}

/// Data that a derivation begins with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Where it is, or its name.
    pub uri: String,
    /// What it hashes to.
    pub digest: Digest,
    /// The event that named it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_at: Option<Position>,
    /// Attempts that made it, and failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_by_failed: Vec<EnvelopeId>,
}

impl View<'_> {
    /// What suffices to derive data, or for a task to have run.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such start, or several data have the URI.
    pub fn why(&self, start: &Start<'_>) -> Result<Why, Unanswered> {
        let goals = self.goals(start)?;
        let needs = Needs::of(self, &goals)?;
        let (found, more) = needs.derivations(&goals);
        let mut derivations: Vec<Derivation> =
            found.iter().map(|tasks| self.derivation(&needs, &goals, tasks)).collect();
        let order = |derivation: &Derivation| {
            let tasks = derivation.tasks.iter().map(|task| (task.position, task.id));
            (derivation.tasks.len(), tasks.collect::<Vec<_>>())
        };
        derivations.sort_by_cached_key(order);
        let subject = goals.iter().map(|&goal| self.node_ref(goal)).collect();
        Ok(Why { subject, derivations, more, as_of: self.next_position() })
    }

    /// One data, one task, or the attempts with a label that did not fail; all, if all did.
    pub(crate) fn goals(&self, start: &Start<'_>) -> Result<Vec<NodeIx>, Unanswered> {
        match start {
            Start::Node(node) => Ok(vec![self.flow_node(node)?]),
            Start::DataUri(uri) => {
                let data: Vec<NodeIx> = self.starting_nodes(start)?.into_iter().collect();
                match data.len() {
                    1 => Ok(data),
                    _ => Err(Unanswered::Ambiguous {
                        uri: (*uri).to_owned(),
                        found: data.into_iter().map(|node| self.node_ref(node)).collect(),
                    }),
                }
            }
            Start::TaskLabel(label) => {
                let all: Vec<NodeIx> = self.nodes_labelled(TASK_LABEL_KEY, label).collect();
                let counted: Vec<NodeIx> =
                    all.iter().copied().filter(|&task| !self.has_failed(task)).collect();
                match (all.is_empty(), counted.is_empty()) {
                    (true, _) => Err(Unanswered::TaskLabel((*label).to_owned())),
                    (false, true) => Ok(all),
                    (false, false) => Ok(counted),
                }
            }
        }
    }

    pub(crate) fn has_failed(&self, task: NodeIx) -> bool {
        self.ending(task).is_some_and(|receipt| receipt.outcome != Outcome::Succeeded)
    }

    fn derivation(&self, needs: &Needs, goals: &[NodeIx], tasks: &BTreeSet<usize>) -> Derivation {
        let (mut edges, mut sources) = (Vec::new(), BTreeSet::new());
        let mut data: BTreeSet<usize> = BTreeSet::new();
        for &task in tasks {
            let used = needs.all_of(task).iter().chain(&needs.given[task]);
            for &(edge, need) in used {
                edges.push(edge);
                data.extend((!needs.is_task[need]).then_some(need));
            }
            sources.extend(needs.given[task].iter().map(|&(_, given)| given));
        }
        data.extend(goals.iter().map(|goal| needs.index[goal]).filter(|&g| !needs.is_task[g]));
        for &made in &data {
            let makers = needs.one_of(made);
            sources.extend(makers.is_empty().then_some(made));
            let inside = makers.iter().filter(|(_, maker)| tasks.contains(maker));
            edges.extend(inside.map(|&(edge, _)| edge));
        }
        let node = |&local: &usize| needs.nodes[local];
        let mut sources: Vec<Source> =
            sources.iter().map(node).filter_map(|data| self.source(data)).collect();
        sources.sort_unstable();
        Derivation {
            sources,
            tasks: self.task_entries(tasks.iter().map(node)),
            edges: self.edges(edges),
        }
    }

    fn source(&self, data: NodeIx) -> Option<Source> {
        let (uri, digest) = self.store().data_parts(data)?;
        let makers = self.links_from(data, Relation::WasGeneratedBy).map(|link| link.to);
        let failed = makers.filter(|&maker| self.has_failed(maker));
        Some(Source {
            uri: (*uri).to_owned(),
            digest,
            named_at: self.mentions(data).next().map(|mention| mention.position),
            made_by_failed: failed.filter_map(|task| self.store().envelope_id(task)).collect(),
        })
    }
}

/// What leads to the goals, as tasks that need all of what they used, and data that needs one of the
/// tasks that made it. Numbered from 0, in the order in which a walk comes to it.
struct Needs {
    nodes: Vec<NodeIx>,
    /// Only looked up.
    index: HashMap<NodeIx, usize>,
    is_task: Vec<bool>,
    /// All of it for a task, one of it for data; data without it is a source.
    needs: Vec<Vec<(Link, usize)>>,
    /// What a task has without deriving it: where a circle was cut.
    given: Vec<Vec<(Link, usize)>>,
    needed_by: Vec<Vec<usize>>,
}

impl Needs {
    fn of(view: &View<'_>, goals: &[NodeIx]) -> Result<Self, Unanswered> {
        let (nodes, index, is_task) = (Vec::new(), HashMap::new(), Vec::new());
        let (needs, given, needed_by) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Self { nodes, index, is_task, needs, given, needed_by };
        for &goal in goals {
            all.number(view, goal);
        }
        let (mut next, mut edges) = (0, 0);
        while let Some(&node) = all.nodes.get(next) {
            for link in view.steps(node, Direction::Up) {
                // What another system made is a source here: nobody on this ledger derived it.
                if view.store().is_imported(link.to) {
                    continue;
                }
                if view.is_task(link.to) && view.has_failed(link.to) && !goals.contains(&link.to) {
                    continue;
                }
                let need = all.number(view, link.to);
                all.needs[next].push((link, need));
            }
            edges += all.needs[next].len();
            view.within_limit(edges)?;
            next += 1;
        }
        all.link_back();
        let derivable = all.derivable(|_| true);
        if goals.iter().all(|goal| derivable[all.index[goal]].is_none()) {
            all.cut_circles(goals);
            all.link_back();
        }
        Ok(all)
    }

    fn number(&mut self, view: &View<'_>, node: NodeIx) -> usize {
        let next = self.nodes.len();
        let number = *self.index.entry(node).or_insert(next);
        if number == next {
            self.nodes.push(node);
            self.is_task.push(view.is_task(node));
            self.needs.push(Vec::new());
            self.given.push(Vec::new());
        }
        number
    }

    fn link_back(&mut self) {
        self.needed_by = vec![Vec::new(); self.nodes.len()];
        for (node, needs) in self.needs.iter().enumerate() {
            for &(_, need) in needs {
                self.needed_by[need].push(node);
            }
        }
    }

    fn all_of(&self, task: usize) -> &[(Link, usize)] {
        &self.needs[task]
    }

    fn one_of(&self, data: usize) -> &[(Link, usize)] {
        &self.needs[data]
    }

    /// Takes out of every circle the step by which a walk comes back to it. What a task needs there
    /// is given; data that would be made there is a source, unless something else made it.
    fn cut_circles(&mut self, goals: &[NodeIx]) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Closed,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        for goal in goals {
            let goal = self.index[goal];
            let mut stack = Vec::new();
            if marks[goal] == Mark::New {
                marks[goal] = Mark::Open;
                stack.push((goal, 0));
            }
            while let Some((node, next)) = stack.last_mut() {
                let (node, at) = (*node, *next);
                let Some(&(edge, need)) = self.needs[node].get(at) else {
                    marks[node] = Mark::Closed;
                    stack.pop();
                    continue;
                };
                match marks[need] {
                    Mark::Open => {
                        self.needs[node].remove(at);
                        if self.is_task[node] {
                            self.given[node].push((edge, need));
                        }
                    }
                    Mark::New => {
                        *next += 1;
                        marks[need] = Mark::Open;
                        stack.push((need, 0));
                    }
                    Mark::Closed => *next += 1,
                }
            }
        }
    }

    /// For everything that follows from sources by tasks that are allowed, its turn: it follows from
    /// what came before it alone.
    fn derivable(&self, is_allowed: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        let mut missing: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut turns = vec![None; self.nodes.len()];
        let may = |node: usize| !self.is_task[node] || is_allowed(node);
        let begin = |node: &usize| missing[*node] == 0 && may(*node);
        let mut open: VecDeque<usize> = (0..self.nodes.len()).filter(begin).collect();
        let mut turn = 0;
        while let Some(node) = open.pop_front() {
            if turns[node].is_some() {
                continue;
            }
            turns[node] = Some(turn);
            turn += 1;
            for &above in &self.needed_by[node] {
                missing[above] = missing[above].saturating_sub(1);
                if may(above) && (!self.is_task[above] || missing[above] == 0) {
                    open.push_back(above);
                }
            }
        }
        turns
    }

    /// All minimal sets of tasks from which a goal follows, within the limits; whether there may be
    /// more.
    fn derivations(&self, goals: &[NodeIx]) -> (Vec<BTreeSet<usize>>, bool) {
        let turns = self.derivable(|_| true);
        let goals = goals.iter().map(|goal| self.index[goal]).filter(|&goal| turns[goal].is_some());
        let goals: Vec<usize> = goals.collect();
        let mut found: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
        for &goal in &goals {
            found.insert(self.shrunk(goal, self.first(goal, &turns)));
        }
        let mut steps = 0;
        for &goal in &goals {
            let mut open = vec![Choices::new()];
            while let Some(choices) = open.pop() {
                if steps > MAX_STEPS || found.len() > MAX_DERIVATIONS {
                    let shown = found.into_iter().take(MAX_DERIVATIONS);
                    return (shown.collect(), true);
                }
                match self.close(goal, &turns, &choices, &mut steps) {
                    Closed::Whole(tasks) => {
                        // A choice can go round in a circle.
                        if self.derivable(|task| tasks.contains(&task))[goal].is_some() {
                            found.insert(self.shrunk(goal, tasks));
                        }
                    }
                    Closed::Undecided(data, makers) => {
                        let with = |maker| {
                            let mut choices = choices.clone();
                            choices.insert(data, maker);
                            choices
                        };
                        open.extend(makers.into_iter().rev().map(with));
                    }
                }
            }
        }
        (found.into_iter().collect(), false)
    }

    /// By the makers that come first: never in a circle.
    fn first(&self, goal: usize, turns: &[Option<usize>]) -> BTreeSet<usize> {
        let maker = |data: usize| {
            let makers = self.one_of(data).iter().map(|&(_, maker)| maker);
            makers.filter(|&maker| turns[maker].is_some()).min_by_key(|&maker| turns[maker])
        };
        let (mut seen, mut open) = (BTreeSet::from([goal]), vec![goal]);
        while let Some(node) = open.pop() {
            let needs: Vec<usize> = match self.is_task[node] {
                true => self.all_of(node).iter().map(|&(_, need)| need).collect(),
                false => maker(node).into_iter().collect(),
            };
            open.extend(needs.into_iter().filter(|&need| seen.insert(need)));
        }
        seen.into_iter().filter(|&node| self.is_task[node]).collect()
    }

    /// What the goal needs by these choices, or the first data for which one is missing.
    fn close(
        &self,
        goal: usize,
        turns: &[Option<usize>],
        choices: &Choices,
        steps: &mut usize,
    ) -> Closed {
        let (mut seen, mut open) = (BTreeSet::from([goal]), vec![goal]);
        while let Some(node) = open.pop() {
            *steps += 1 + self.needs[node].len();
            let needs = self.needs[node].iter().map(|&(_, need)| need);
            let needs: Vec<usize> = match (self.is_task[node], choices.get(&node)) {
                (true, _) => needs.collect(),
                (false, Some(&maker)) => vec![maker],
                (false, None) => {
                    let makers: Vec<usize> =
                        needs.filter(|&maker| turns[maker].is_some()).collect();
                    if makers.len() > 1 {
                        return Closed::Undecided(node, makers);
                    }
                    makers
                }
            };
            open.extend(needs.into_iter().filter(|&need| seen.insert(need)));
        }
        Closed::Whole(seen.into_iter().filter(|&node| self.is_task[node]).collect())
    }

    /// Leaves out what the goal follows without. Only where two of the tasks made the same data can
    /// there be something: else every task is the only one that makes what another needs.
    fn shrunk(&self, goal: usize, mut tasks: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut makers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &task in &tasks {
            for &data in &self.needed_by[task] {
                if !self.is_task[data] {
                    makers.entry(data).or_default().push(task);
                }
            }
        }
        let several = makers.into_values().filter(|makers| makers.len() > 1);
        let candidates: BTreeSet<usize> = several.flatten().collect();
        for candidate in candidates {
            let turns = self.derivable(|task| task != candidate && tasks.contains(&task));
            if tasks.contains(&candidate) && turns[goal].is_some() {
                tasks = self.first(goal, &turns);
            }
        }
        tasks
    }
}

/// Which task is taken to have made data.
type Choices = BTreeMap<usize, usize>;

enum Closed {
    Whole(BTreeSet<usize>),
    Undecided(usize, Vec<usize>),
}
