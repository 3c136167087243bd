//! The graph: what it keeps beside nodes and edges, and the plain questions.
//!
//! How events become edges is the business of the fold; what a question sees of it is the business
//! of the [`View`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tally_protocol::message::{Outcome, PolicyAction};
use tally_protocol::{AsOf, EnvelopeId, Position, Time, TraceId, TreeSize};

use crate::lineage::{Direction, Lineage, LineageQuestion, Start};
use crate::node::NodeRef;
use crate::relation::Edge;
use crate::store::{Changes, NodeIx, Store, TextIx};
use crate::unanswered::Unanswered;
use crate::view::View;
use crate::whereabouts::Field;
use crate::workflow::{OfferState, Workflow};

/// The provenance graph of a log: of all events that were folded, and of every earlier size.
///
/// The same events folded in the same order give the same answers, byte for byte. The graph itself
/// answers as of its head; [`Graph::at`] answers as of an earlier size what a graph that was folded
/// only so far would answer.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) store: Store,
    pub(crate) capabilities: BTreeMap<NodeIx, CapabilityFacts>,
    pub(crate) intents: BTreeMap<NodeIx, IntentFacts>,
    pub(crate) offers: BTreeMap<NodeIx, OfferFacts>,
    pub(crate) offer_states: Changes<NodeIx, OfferState>,
    pub(crate) tasks: BTreeMap<NodeIx, TaskFacts>,
    pub(crate) receipts: BTreeMap<NodeIx, ReceiptFacts>,
    /// The receipts of a task, in log order.
    pub(crate) concluded: HashMap<NodeIx, Vec<NodeIx>>,
    pub(crate) policies: BTreeMap<NodeIx, PolicyFacts>,
    /// The policies of a scope, in log order.
    pub(crate) scopes: BTreeMap<NodeIx, Vec<NodeIx>>,
    pub(crate) attestations: BTreeMap<NodeIx, AttestationFacts>,
    /// Where data is named, in log order.
    pub(crate) mentions: HashMap<NodeIx, Vec<MentionFacts>>,
    /// Tasks by label, in log order.
    pub(crate) labelled: BTreeMap<(TextIx, TextIx), Vec<NodeIx>>,
    /// The intents of a workflow, each with the event by which it belongs to it, in log order.
    pub(crate) traces: BTreeMap<TraceId, Vec<(Position, NodeIx)>>,
    pub(crate) traced: BTreeSet<(TraceId, NodeIx)>,
    /// When the events were recorded.
    pub(crate) recorded: Vec<(Position, Time)>,
    pub(crate) next: Position,
}

/// Who signed an envelope, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) author: NodeIx,
    pub(crate) position: Position,
    pub(crate) recorded_at: Time,
}

#[derive(Debug, Clone)]
pub(crate) struct CapabilityFacts {
    pub(crate) signed: Signed,
    pub(crate) name: TextIx,
}

#[derive(Debug, Clone)]
pub(crate) struct IntentFacts {
    pub(crate) signed: Signed,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) outcome: TextIx,
    pub(crate) labels: Vec<(TextIx, TextIx)>,
    pub(crate) inputs: Vec<NodeIx>,
    /// Where it was cancelled.
    pub(crate) cancelled: Option<Position>,
}

#[derive(Debug, Clone)]
pub(crate) struct OfferFacts {
    pub(crate) signed: Signed,
    pub(crate) intent: NodeIx,
    pub(crate) capability: NodeIx,
    pub(crate) valid_until: Option<Time>,
}

#[derive(Debug, Clone)]
pub(crate) struct TaskFacts {
    pub(crate) signed: Signed,
    pub(crate) intent: NodeIx,
    pub(crate) offer: NodeIx,
    pub(crate) attempt: u32,
    pub(crate) accepted: Option<(Position, Time)>,
    pub(crate) running: Option<(Position, Time)>,
}

#[derive(Debug, Clone)]
pub(crate) struct ReceiptFacts {
    pub(crate) signed: Signed,
    pub(crate) outcome: Outcome,
    pub(crate) started_at_us: Option<Time>,
    pub(crate) ended_at_us: Option<Time>,
}

#[derive(Debug, Clone)]
pub(crate) struct PolicyFacts {
    pub(crate) signed: Signed,
    pub(crate) scope: NodeIx,
    pub(crate) name: TextIx,
    pub(crate) version: u64,
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Clone)]
pub(crate) struct AttestationFacts {
    pub(crate) signed: Signed,
    pub(crate) says: Says,
    pub(crate) expires_at: Option<Time>,
}

/// What an attestation says of its subject.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    Claim,
    Delegation { of: Option<NodeIx>, intent: Option<NodeIx> },
    Rotation { successor: NodeIx },
    Other,
}

/// A message that names data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MentionFacts {
    pub(crate) position: Position,
    pub(crate) event: NodeIx,
    pub(crate) author: NodeIx,
    pub(crate) field: Field,
    pub(crate) index: u32,
    pub(crate) inline: bool,
}

impl Graph {
    /// The graph of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The position after the last event that was folded: answers are as of it.
    pub fn next_position(&self) -> Position {
        self.next
    }

    /// The graph as it was when the log had this size.
    ///
    /// # Errors
    /// [`Unanswered::Beyond`] when not so many events were folded.
    pub fn at(&self, size: TreeSize) -> Result<View<'_>, Unanswered> {
        let head = TreeSize::new(self.next.0);
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
        View::new(self, self.next)
    }

    /// The size that the log had at a time: with every event recorded up to and including it.
    pub fn size_at(&self, time: Time) -> TreeSize {
        let recorded = self.recorded.partition_point(|(_, at)| *at <= time);
        let last = recorded.checked_sub(1).map(|last| self.recorded[last].0);
        TreeSize::new(last.map_or(0, |position| position.0.saturating_add(1)))
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
        self.head().edges(self.store.touched().iter().copied())
    }

    /// Every edge, by position.
    pub fn edges(&self) -> Vec<Edge> {
        let head = self.head();
        head.edges(self.store.all_edges(self.next))
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
