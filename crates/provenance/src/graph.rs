//! The graph: what is kept of it, and the plain questions.
//!
//! How events become edges is the business of the fold; what a question sees of it is the business
//! of the [`View`].

use std::fmt;
use std::sync::Arc;

use tally_protocol::{AsOf, EnvelopeId, Position, Time, TraceId, TreeSize};

use crate::codec::Coded;
use crate::lineage::{Direction, Lineage, LineageQuestion, Start};
use crate::memory::Memory;
use crate::node::NodeRef;
use crate::relation::Edge;
use crate::rows::{GraphFailure, GraphRows, HEAD_KEY, whole};
use crate::store::{Head, Store};
use crate::unanswered::Unanswered;
use crate::view::View;
use crate::workflow::Workflow;

/// The provenance graph of a log: of all events that were folded, and of every earlier size.
///
/// The same events folded in the same order give the same answers, byte for byte. The graph itself
/// answers as of its head; [`Graph::at`] answers as of an earlier size what a graph that was folded
/// only so far would answer.
///
/// A graph made by [`Graph::new`] is all in memory. One made by [`Graph::over`] goes on from rows
/// that somebody keeps, has in memory what is not kept yet and a bounded part of the rest, and gives
/// the same answers. Then look at [`Graph::failure`] behind every answer.
#[derive(Default)]
pub struct Graph {
    pub(crate) store: Store,
}

impl Graph {
    /// The graph of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph whose records are in rows, as far as these were kept. About `cache_bytes` of them
    /// stay at hand in memory ([`crate::CACHE_BYTES`]).
    ///
    /// # Errors
    /// [`GraphFailure`]: the rows cannot be read.
    pub fn over(rows: Arc<dyn GraphRows>, cache_bytes: usize) -> Result<Self, GraphFailure> {
        let head = match rows.get(HEAD_KEY).map_err(GraphFailure::Rows)? {
            None => Head::default(),
            Some(bytes) => {
                whole(&bytes).ok_or_else(|| GraphFailure::Damaged { key: HEAD_KEY.to_vec() })?
            }
        };
        Ok(Self { store: Store::new(Memory::over(rows, cache_bytes), head) })
    }

    /// The rows that are not kept yet, in no order: keep all of them at once, then call
    /// [`Graph::take_over`]. Of a graph that is all in memory, all rows.
    pub fn fresh_rows(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        let mut head = Vec::new();
        self.store.head.put(&mut head);
        self.store.memory.fresh_rows().chain([(HEAD_KEY.to_vec(), head)])
    }

    /// What [`Graph::fresh_rows`] gave is kept now, and need not stay in memory. For a graph over
    /// rows.
    pub fn take_over(&mut self) {
        self.store.memory.take_over();
    }

    /// Why what the graph said last is worth nothing: its rows could not be read. Once there is a
    /// failure it stays, and the graph must be opened again. `None` for a graph that is all in memory.
    pub fn failure(&self) -> Option<&Arc<GraphFailure>> {
        self.store.memory.failure()
    }

    /// Passes over an event that can't be folded.
    pub fn pass(&mut self, position: Position) {
        self.store.head.next = position.next();
    }

    /// The position after the last event that was folded, or passed over: answers are as of it.
    pub fn next_position(&self) -> Position {
        self.store.head.next
    }

    /// The graph as it was when the log had this size.
    ///
    /// # Errors
    /// [`Unanswered::Beyond`] when not so many events were folded.
    pub fn at(&self, size: TreeSize) -> Result<View<'_>, Unanswered> {
        let head = TreeSize::new(self.next_position().0);
        match size <= head {
            true => Ok(View::new(self, Position::at_tip(size))),
            false => Err(Unanswered::Beyond { size, head }),
        }
    }

    /// The graph as it was at a moment.
    ///
    /// # Errors
    /// As [`Graph::at`].
    pub fn as_of(&self, moment: AsOf) -> Result<View<'_>, Unanswered> {
        match moment {
            AsOf::Size(size) => self.at(size),
            AsOf::Time(time) => self.at(self.size_at(time)),
        }
    }

    /// The graph as it is.
    pub fn head(&self) -> View<'_> {
        View::new(self, self.next_position())
    }

    /// The size that the log had at a time: with every event recorded up to and including it.
    pub fn size_at(&self, time: Time) -> TreeSize {
        let last = self.store.last_moment(|moment| moment.recorded_at <= time);
        TreeSize::new(last.map_or(0, |moment| moment.position.0.saturating_add(1)))
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.head().node_count()
    }

    /// How many edges there are.
    pub fn edge_count(&self) -> usize {
        self.head().edge_count()
    }

    /// The edges that the event folded last made or strengthened, each once.
    pub fn touched(&self) -> Vec<Edge> {
        self.head().edges(self.store.touched())
    }

    /// Every edge, by position.
    pub fn edges(&self) -> Vec<Edge> {
        let head = self.head();
        head.edges(self.store.all_edges(self.next_position()))
    }

    /// [`View::edges_from`] as of the head.
    pub fn edges_from(&self, node: &NodeRef) -> Vec<Edge> {
        self.head().edges_from(node)
    }

    /// [`View::edges_to`] as of the head.
    pub fn edges_to(&self, node: &NodeRef) -> Vec<Edge> {
        self.head().edges_to(node)
    }

    /// [`View::tasks_labelled`] as of the head.
    pub fn tasks_labelled(&self, key: &str, value: &str) -> Vec<EnvelopeId> {
        self.head().tasks_labelled(key, value)
    }

    /// [`View::lineage`] as of the head, without a filter.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such start.
    pub fn lineage(
        &self,
        start: Start<'_>,
        direction: Direction,
        depth: Option<u32>,
    ) -> Result<Lineage, Unanswered> {
        let question = LineageQuestion { depth, ..LineageQuestion::new(direction) };
        self.head().lineage(start, &question)
    }

    /// [`View::workflow`] as of the head.
    pub fn workflow(&self, trace_id: Option<TraceId>) -> Workflow {
        self.head().workflow(trace_id)
    }

    /// [`View::workflow_of`] as of the head.
    pub fn workflow_of(&self, intent: EnvelopeId) -> Option<Workflow> {
        self.head().workflow_of(intent)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("next", &self.next_position()).finish_non_exhaustive()
    }
}
