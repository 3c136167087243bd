//! What the graph remembers, as records: of nodes, and of parts of lists that grew long.
//!
//! Every list grows in the order of the log, and every item knows the position at which it came to
//! hold: what a view of an earlier size sees of a list is a prefix. The end of a list stands in the
//! record of its node; what is before that lies in blocks of [`BLOCK_ITEMS`], which are written once.
//! So a record stays small, however long the log.
//!
//! This module does not know where records are kept, nor what messages mean.

use std::sync::Arc;

use tally_protocol::message::{Outcome, PolicyAction};
use tally_protocol::{AgentId, Digest, EnvelopeId, Position, Time, TraceId};

use crate::relation::{Class, Relation};
use crate::whereabouts::Field;
use crate::workflow::OfferState;

/// Items of a list in one block.
pub(crate) const BLOCK_ITEMS: usize = 64;

/// Workflows of an intent that stand in its record; most have one.
pub(crate) const KNOWN_TRACES: usize = 4;

/// After every position: sees all.
pub(crate) const END: Position = Position(u64::MAX);

/// A node, in the order of first mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIx(pub(crate) u32);

/// An edge, in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EdgeIx(pub(crate) u32);

/// What an envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Capability,
    Intent,
    Offer,
    Task,
    Receipt,
    Policy,
    Attestation,
    Message,
}

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Agent(AgentId),
    Envelope(EnvelopeId),
    Data(Arc<str>, Digest),
    /// An activity of another system, by its name.
    Imported(Arc<str>),
    /// No node of the graph: what nodes have in common, and only a list of them.
    Group,
}

/// All that is known of a node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) key: Key,
    /// Where it was first named.
    pub(crate) since: Position,
    /// What it was taken for from which position on. Means nothing unless the key is an envelope.
    pub(crate) kinds: Vec<(Position, Kind)>,
    /// At most one of each message.
    pub(crate) facts: Vec<Facts>,
    /// How far an offer came, from which position on.
    pub(crate) states: Vec<(Position, OfferState)>,
    /// To what it came from.
    pub(crate) out: List<Half>,
    /// From what came of it.
    pub(crate) into: List<Half>,
    /// Where data is named.
    pub(crate) mentions: List<Mention>,
    /// The receipts of a task.
    pub(crate) receipts: List<Member>,
    /// The policies of a scope.
    pub(crate) policies: List<Member>,
    /// The nodes of a group.
    pub(crate) members: List<Member>,
    /// The first workflows that an intent belongs to.
    pub(crate) traces: Vec<TraceId>,
}

/// Which list of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Out,
    Into,
    Mentions,
    Receipts,
    Policies,
    Members,
    /// When events were recorded; of no node.
    Moments,
}

/// A list in log order, without its full blocks.
#[derive(Debug, Clone)]
pub(crate) struct List<T> {
    /// How many blocks are full.
    pub(crate) full: u32,
    /// What comes after them: empty only when the list is.
    pub(crate) rest: Vec<T>,
}

/// One end's knowledge of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Half {
    pub(crate) edge: EdgeIx,
    /// The other end.
    pub(crate) other: NodeIx,
    pub(crate) relation: Relation,
    /// From where on it stands on each ground, by the strength of [`Class`]; [`END`] where never.
    /// A weaker ground than it has is not noted, so these go up.
    pub(crate) since: [Position; 3],
}

/// A message that names data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) position: Position,
    pub(crate) event: NodeIx,
    pub(crate) author: NodeIx,
    pub(crate) field: Field,
    pub(crate) index: u32,
    pub(crate) inline: bool,
}

/// A node in a list, with the event by which it belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) position: Position,
    pub(crate) node: NodeIx,
}

/// An event, and how much there was after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) position: Position,
    pub(crate) recorded_at: Time,
    pub(crate) nodes: u32,
    pub(crate) edges: u32,
}

/// Who signed an envelope, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) author: NodeIx,
    pub(crate) position: Position,
    pub(crate) recorded_at: Time,
}

/// What a message says, beside edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Facts {
    Capability(CapabilityFacts),
    Intent(IntentFacts),
    Offer(OfferFacts),
    Task(TaskFacts),
    Receipt(ReceiptFacts),
    Policy(PolicyFacts),
    Attestation(AttestationFacts),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapabilityFacts {
    pub(crate) signed: Signed,
    pub(crate) name: Arc<str>,
}

/// Key and value.
pub(crate) type Label = (Arc<str>, Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntentFacts {
    pub(crate) signed: Signed,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) outcome: Arc<str>,
    pub(crate) labels: Arc<[Label]>,
    pub(crate) inputs: Arc<[NodeIx]>,
    /// Where it was cancelled.
    pub(crate) cancelled: Option<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferFacts {
    pub(crate) signed: Signed,
    pub(crate) intent: NodeIx,
    pub(crate) capability: NodeIx,
    pub(crate) valid_until: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskFacts {
    pub(crate) signed: Signed,
    pub(crate) intent: NodeIx,
    pub(crate) offer: NodeIx,
    pub(crate) attempt: u32,
    pub(crate) accepted: Option<(Position, Time)>,
    pub(crate) running: Option<(Position, Time)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceiptFacts {
    pub(crate) signed: Signed,
    pub(crate) outcome: Outcome,
    pub(crate) started_at_us: Option<Time>,
    pub(crate) ended_at_us: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFacts {
    pub(crate) signed: Signed,
    pub(crate) scope: NodeIx,
    pub(crate) name: Arc<str>,
    pub(crate) version: u64,
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttestationFacts {
    pub(crate) signed: Signed,
    pub(crate) says: Says,
    pub(crate) expires_at: Option<Time>,
}

/// What an attestation says of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Claim,
    Delegation { of: Option<NodeIx>, intent: Option<NodeIx> },
    Rotation { successor: NodeIx },
    Other,
}

/// The first items of a list that grew long, [`BLOCK_ITEMS`] to a block.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Halves(Vec<Half>),
    Mentions(Vec<Mention>),
    Members(Vec<Member>),
    Moments(Vec<Moment>),
}

/// An item of a list.
pub(crate) trait Item: Copy {
    /// Where it came to hold.
    fn position(&self) -> Position;

    /// A full block of a list.
    fn block(items: Vec<Self>) -> Block;

    /// The items of a block, if it is one of such a list.
    fn items(block: &Block) -> Option<&[Self]>;

    /// A list of a node, if it has such a one.
    fn list(node: &Node, part: Part) -> Option<&List<Self>>;

    /// The same, to be added to.
    fn list_mut(node: &mut Node, part: Part) -> Option<&mut List<Self>>;
}

macro_rules! item {
    ($item:ty: $block:ident, |$it:ident| $position:expr, { $($part:ident: $field:ident),* }) => {
        impl Item for $item {
            fn position(&self) -> Position {
                let $it = self;
                $position
            }

            fn block(items: Vec<Self>) -> Block {
                Block::$block(items)
            }

            fn items(block: &Block) -> Option<&[Self]> {
                match block {
                    Block::$block(items) => Some(items),
                    _ => None,
                }
            }

            fn list(node: &Node, part: Part) -> Option<&List<Self>> {
                let _ = node;
                match part {
                    $(Part::$part => Some(&node.$field),)*
                    _ => None,
                }
            }

            fn list_mut(node: &mut Node, part: Part) -> Option<&mut List<Self>> {
                let _ = &node;
                match part {
                    $(Part::$part => Some(&mut node.$field),)*
                    _ => None,
                }
            }
        }
    };
}
item!(Half: Halves, |half| half.first_said(), { Out: out, Into: into });
item!(Mention: Mentions, |mention| mention.position, { Mentions: mentions });
item!(Member: Members, |member| member.position, {
    Receipts: receipts, Policies: policies, Members: members
});
item!(Moment: Moments, |moment| moment.position, {});

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { full: 0, rest: Vec::new() }
    }
}

impl<T: Item> List<T> {
    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.full as usize * BLOCK_ITEMS + self.rest.len()
    }

    /// Adds an item. What it pushes out is a full block, to be kept under its number.
    pub(crate) fn push(&mut self, item: T) -> Option<(u32, Block)> {
        let is_full = self.rest.len() == BLOCK_ITEMS;
        let block = is_full.then(|| {
            let number = self.full;
            self.full = number.checked_add(1).expect("fewer than 2^32 blocks");
            (number, T::block(std::mem::take(&mut self.rest)))
        });
        self.rest.push(item);
        block
    }
}

impl Node {
    pub(crate) fn new(key: Key, since: Position) -> Self {
        Self {
            key,
            since,
            kinds: Vec::new(),
            facts: Vec::new(),
            states: Vec::new(),
            out: List::default(),
            into: List::default(),
            mentions: List::default(),
            receipts: List::default(),
            policies: List::default(),
            members: List::default(),
            traces: Vec::new(),
        }
    }

    /// What an envelope is taken for as of a position.
    pub(crate) fn kind(&self, until: Position) -> Kind {
        last_before(&self.kinds, until).unwrap_or(Kind::Message)
    }

    /// How far an offer came as of a position.
    pub(crate) fn state(&self, until: Position) -> OfferState {
        last_before(&self.states, until).unwrap_or(OfferState::Open)
    }

    /// Keeps what a message says; what it said first counts.
    pub(crate) fn insert(&mut self, facts: Facts) -> bool {
        let same = |known: &Facts| std::mem::discriminant(known) == std::mem::discriminant(&facts);
        let is_new = !self.facts.iter().any(same);
        if is_new {
            // Of most nodes it stays the only one.
            self.facts.reserve_exact(1);
            self.facts.push(facts);
        }
        is_new
    }
}

/// The last of the values that came to hold before a position.
fn last_before<V: Copy>(changes: &[(Position, V)], until: Position) -> Option<V> {
    let seen = changes.partition_point(|(position, _)| *position < until);
    seen.checked_sub(1).map(|last| changes[last].1)
}

macro_rules! facts {
    ($($name:ident: $kind:ident($facts:ty)),* $(,)?) => {
        impl Node {
            $(
                pub(crate) fn $name(&self) -> Option<&$facts> {
                    self.facts.iter().find_map(|facts| match facts {
                        Facts::$kind(facts) => Some(facts),
                        _ => None,
                    })
                }
            )*
        }
    };
}
facts! {
    capability: Capability(CapabilityFacts),
    intent: Intent(IntentFacts),
    offer: Offer(OfferFacts),
    task: Task(TaskFacts),
    receipt: Receipt(ReceiptFacts),
    policy: Policy(PolicyFacts),
    attestation: Attestation(AttestationFacts),
}

impl Node {
    pub(crate) fn intent_mut(&mut self) -> Option<&mut IntentFacts> {
        self.facts.iter_mut().find_map(|facts| match facts {
            Facts::Intent(facts) => Some(facts),
            _ => None,
        })
    }

    pub(crate) fn task_mut(&mut self) -> Option<&mut TaskFacts> {
        self.facts.iter_mut().find_map(|facts| match facts {
            Facts::Task(facts) => Some(facts),
            _ => None,
        })
    }
}

impl Half {
    /// What holds from a position on.
    pub(crate) fn new(
        edge: EdgeIx,
        other: NodeIx,
        relation: Relation,
        class: Class,
        position: Position,
    ) -> Self {
        let mut half = Self { edge, other, relation, since: [END; 3] };
        half.stand_on(class, position);
        half
    }

    /// It stands on this ground too from a position on.
    pub(crate) fn stand_on(&mut self, class: Class, position: Position) {
        self.since[class as usize] = position;
    }

    /// Where it was first said.
    pub(crate) fn first_said(&self) -> Position {
        self.since[0].min(self.since[1]).min(self.since[2])
    }

    /// The ground on which it stood as of a position, and where that was said.
    pub(crate) fn ground(&self, until: Position) -> (Class, Position) {
        let stands = |class: Class| {
            let since = self.since[class as usize];
            (since < until).then_some((class, since))
        };
        stands(Class::Asserted)
            .or_else(|| stands(Class::Imported))
            .unwrap_or((Class::Inferred, self.since[Class::Inferred as usize]))
    }
}

impl Block {
    /// The ends of edges in it.
    pub(crate) fn halves_mut(&mut self) -> &mut [Half] {
        match self {
            Self::Halves(halves) => halves,
            Self::Mentions(_) | Self::Members(_) | Self::Moments(_) => &mut [],
        }
    }
}
