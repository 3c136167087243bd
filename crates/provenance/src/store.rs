//! Nodes, edges and texts as numbers: the memory of the graph.
//!
//! A node is interned once and has the list of its edges in either direction, so that a walk costs
//! what it visits. This module does not know what messages mean.
//!
//! Everything is kept with the position at which it came to hold. Lists grow in the order of the
//! log, so what a view of an earlier size sees of a list is a prefix; what changes later (the kind
//! of a node that was only mentioned, the ground of an edge) stands beside it.
//!
//! The hash maps are only looked up, never iterated: their order reaches no answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tally_protocol::{AgentId, Digest, EnvelopeId, Position};

use crate::node::NodeRef;
use crate::relation::{Class, Edge, Relation};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl $name {
            /// The index of the next item of a list of this length.
            fn next_of(len: usize) -> Self {
                Self(u32::try_from(len).expect(concat!("fewer than 2^32 of ", stringify!($name))))
            }

            fn at(self) -> usize {
                self.0 as usize
            }
        }
    };
}
index! {
    /// A node, in the order of first mention.
    NodeIx
}
index! {
    /// An edge, in the order of the log.
    EdgeIx
}
index! {
    /// A text.
    TextIx
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Agent(AgentId),
    Envelope(EnvelopeId),
    Data(TextIx, Digest),
    /// An activity of another system, by its name.
    Imported(TextIx),
}

#[derive(Debug, Clone)]
struct Node {
    key: Key,
    /// Where it was first named.
    since: Position,
    /// As it was first named. Means nothing unless the key is an envelope.
    kind: Kind,
    out: Vec<EdgeIx>,
    into: Vec<EdgeIx>,
}

/// What of a fact was different later: the values that replaced the first one, in log order.
#[derive(Debug, Clone)]
pub(crate) struct Changes<K, V>(BTreeMap<K, Vec<(Position, V)>>);

impl<K: Ord, V: Copy> Changes<K, V> {
    pub(crate) fn push(&mut self, key: K, position: Position, value: V) {
        self.0.entry(key).or_default().push((position, value));
    }

    /// The last change before a position.
    pub(crate) fn before(&self, key: &K, until: Position) -> Option<(Position, V)> {
        let changes = self.0.get(key)?;
        let seen = changes.partition_point(|(position, _)| *position < until);
        seen.checked_sub(1).map(|last| changes[last])
    }
}

impl<K, V> Default for Changes<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// After every position: sees all.
const END: Position = Position(u64::MAX);

/// An edge between numbers, with the ground on which it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) from: NodeIx,
    pub(crate) to: NodeIx,
    pub(crate) position: Position,
    pub(crate) relation: Relation,
    pub(crate) class: Class,
}

/// Nodes, edges and texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    /// Where the event stands that is folded.
    now: Position,
    nodes: Vec<Node>,
    kinds: Changes<NodeIx, Kind>,
    by_key: HashMap<Key, NodeIx>,
    /// As they were first said.
    links: Vec<Link>,
    grounds: Changes<EdgeIx, Class>,
    /// What the event that is folded made or strengthened.
    touched: Vec<EdgeIx>,
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, TextIx>,
    by_uri: BTreeMap<TextIx, Vec<NodeIx>>,
    by_digest: HashMap<Digest, Vec<NodeIx>>,
}

impl Store {
    /// What is added from now on came to hold at this position.
    pub(crate) fn begin(&mut self, now: Position) {
        self.now = now;
        self.touched.clear();
    }

    /// The edges that the event which was folded last made or strengthened.
    pub(crate) fn touched(&self) -> &[EdgeIx] {
        &self.touched
    }

    pub(crate) fn agent(&mut self, agent: AgentId) -> NodeIx {
        self.intern(Key::Agent(agent), Kind::Message)
    }

    pub(crate) fn data(&mut self, uri: &str, digest: Digest) -> NodeIx {
        let uri = self.text(uri);
        let known = self.nodes.len();
        let node = self.intern(Key::Data(uri, digest), Kind::Message);
        if node.at() == known {
            self.by_uri.entry(uri).or_default().push(node);
            self.by_digest.entry(digest).or_default().push(node);
        }
        node
    }

    /// An activity of another system.
    pub(crate) fn imported(&mut self, name: &str) -> NodeIx {
        let name = self.text(name);
        self.intern(Key::Imported(name), Kind::Message)
    }

    /// The envelope as it was folded: what it is, is settled.
    pub(crate) fn define(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        let node = self.intern(Key::Envelope(id), kind);
        if self.kind(node, END) != kind {
            self.kinds.push(node, self.now, kind);
        }
        node
    }

    /// An envelope that another one refers to; `kind` holds where nothing better is known.
    pub(crate) fn mention(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        let node = self.intern(Key::Envelope(id), kind);
        if self.kind(node, END) == Kind::Message && kind != Kind::Message {
            self.kinds.push(node, self.now, kind);
        }
        node
    }

    pub(crate) fn text(&mut self, text: &str) -> TextIx {
        if let Some(&known) = self.by_text.get(text) {
            return known;
        }
        let (index, text) = (TextIx::next_of(self.texts.len()), Arc::<str>::from(text));
        self.texts.push(Arc::clone(&text));
        self.by_text.insert(text, index);
        index
    }

    /// Adds an edge that the event which is folded says. Between two nodes there is one edge of a
    /// relation: a stronger class takes it over with its event, anything else leaves it as it is.
    pub(crate) fn link(&mut self, from: NodeIx, relation: Relation, to: NodeIx, class: Class) {
        match self.find_link(from, relation, to) {
            None => self.push_link(Link { from, to, position: self.now, relation, class }),
            Some(known) => {
                if class > self.link_before(known, END).class {
                    self.grounds.push(known, self.now, class);
                    self.touched.push(known);
                }
            }
        }
    }

    /// A node by what it is as of a position, if it was named before.
    pub(crate) fn find_node(&self, node: &NodeRef, until: Position) -> Option<NodeIx> {
        let key = match node {
            NodeRef::Agent(agent) => Key::Agent(*agent),
            NodeRef::Data { uri, digest } => Key::Data(self.find_text(uri)?, *digest),
            NodeRef::Imported(name) => Key::Imported(self.find_text(name)?),
            NodeRef::Capability(id)
            | NodeRef::Intent(id)
            | NodeRef::Offer(id)
            | NodeRef::Task(id)
            | NodeRef::Receipt(id)
            | NodeRef::Policy(id)
            | NodeRef::Attestation(id)
            | NodeRef::Message(id) => Key::Envelope(*id),
        };
        let found = self.by_key.get(&key).copied().filter(|&found| self.is_seen(found, until))?;
        // The id of an intent does not name a task.
        (self.node_ref(found, until) == *node).then_some(found)
    }

    pub(crate) fn find_text(&self, text: &str) -> Option<TextIx> {
        self.by_text.get(text).copied()
    }

    /// All data of this URI, whatever the digest; by first mention.
    pub(crate) fn data_at(&self, uri: &str) -> &[NodeIx] {
        let nodes = self.find_text(uri).and_then(|uri| self.by_uri.get(&uri));
        nodes.map_or(&[], Vec::as_slice)
    }

    /// All data of this digest, wherever it is; by first mention.
    pub(crate) fn data_of(&self, digest: &Digest) -> &[NodeIx] {
        self.by_digest.get(digest).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn text_at(&self, text: TextIx) -> &str {
        &self.texts[text.at()]
    }

    /// Whether a node was named before a position.
    pub(crate) fn is_seen(&self, node: NodeIx, until: Position) -> bool {
        self.nodes[node.at()].since < until
    }

    /// What an envelope is taken for as of a position; means nothing for agents and data.
    fn kind(&self, node: NodeIx, until: Position) -> Kind {
        let changed = self.kinds.before(&node, until);
        changed.map_or(self.nodes[node.at()].kind, |(_, kind)| kind)
    }

    pub(crate) fn node_ref(&self, node: NodeIx, until: Position) -> NodeRef {
        match self.nodes[node.at()].key {
            Key::Agent(agent) => NodeRef::Agent(agent),
            Key::Data(uri, digest) => NodeRef::Data { uri: self.text_at(uri).to_owned(), digest },
            Key::Imported(name) => NodeRef::Imported(self.text_at(name).to_owned()),
            Key::Envelope(id) => match self.kind(node, until) {
                Kind::Capability => NodeRef::Capability(id),
                Kind::Intent => NodeRef::Intent(id),
                Kind::Offer => NodeRef::Offer(id),
                Kind::Task => NodeRef::Task(id),
                Kind::Receipt => NodeRef::Receipt(id),
                Kind::Policy => NodeRef::Policy(id),
                Kind::Attestation => NodeRef::Attestation(id),
                Kind::Message => NodeRef::Message(id),
            },
        }
    }

    pub(crate) fn envelope_id(&self, node: NodeIx) -> Option<EnvelopeId> {
        match self.nodes[node.at()].key {
            Key::Envelope(id) => Some(id),
            Key::Agent(_) | Key::Data(..) | Key::Imported(_) => None,
        }
    }

    pub(crate) fn agent_id(&self, node: NodeIx) -> Option<AgentId> {
        match self.nodes[node.at()].key {
            Key::Agent(agent) => Some(agent),
            Key::Envelope(_) | Key::Data(..) | Key::Imported(_) => None,
        }
    }

    /// URI and digest of data.
    pub(crate) fn data_parts(&self, node: NodeIx) -> Option<(&str, Digest)> {
        match self.nodes[node.at()].key {
            Key::Data(uri, digest) => Some((self.text_at(uri), digest)),
            Key::Envelope(_) | Key::Agent(_) | Key::Imported(_) => None,
        }
    }

    pub(crate) fn is_task(&self, node: NodeIx, until: Position) -> bool {
        let is_envelope = matches!(self.nodes[node.at()].key, Key::Envelope(_));
        is_envelope && self.kind(node, until) == Kind::Task
    }

    pub(crate) fn is_imported(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node.at()].key, Key::Imported(_))
    }

    pub(crate) fn is_data(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node.at()].key, Key::Data(..))
    }

    /// The edges to what a node came from, as of a position.
    pub(crate) fn outgoing(
        &self,
        node: NodeIx,
        until: Position,
    ) -> impl Iterator<Item = (EdgeIx, Link)> + '_ {
        self.seen(&self.nodes[node.at()].out, until)
    }

    /// The edges from what came of a node, as of a position.
    pub(crate) fn incoming(
        &self,
        node: NodeIx,
        until: Position,
    ) -> impl Iterator<Item = (EdgeIx, Link)> + '_ {
        self.seen(&self.nodes[node.at()].into, until)
    }

    /// The same, without those that were first said before `from`.
    pub(crate) fn incoming_from(
        &self,
        node: NodeIx,
        from: Position,
        until: Position,
    ) -> impl Iterator<Item = (EdgeIx, Link)> + '_ {
        let into = &self.nodes[node.at()].into;
        let earlier = into.partition_point(|edge| self.links[edge.at()].position < from);
        self.seen(&into[earlier..], until)
    }

    fn seen<'s>(
        &'s self,
        edges: &'s [EdgeIx],
        until: Position,
    ) -> impl Iterator<Item = (EdgeIx, Link)> + 's {
        let seen = edges.partition_point(|edge| self.links[edge.at()].position < until);
        edges[..seen].iter().map(move |&edge| (edge, self.link_before(edge, until)))
    }

    /// An edge on the ground on which it stood as of a position.
    fn link_before(&self, edge: EdgeIx, until: Position) -> Link {
        let link = self.links[edge.at()];
        if link.class == Class::Asserted {
            return link; // Nothing is stronger.
        }
        match self.grounds.before(&edge, until) {
            Some((position, class)) => Link { position, class, ..link },
            None => link,
        }
    }

    /// How many nodes were named before a position.
    pub(crate) fn node_count(&self, until: Position) -> usize {
        self.nodes.partition_point(|node| node.since < until)
    }

    /// How many edges were said before a position.
    pub(crate) fn edge_count(&self, until: Position) -> usize {
        self.links.partition_point(|link| link.position < until)
    }

    /// Every edge that was said before a position.
    pub(crate) fn all_edges(&self, until: Position) -> impl Iterator<Item = EdgeIx> + use<> {
        (0..self.edge_count(until)).map(EdgeIx::next_of)
    }

    /// The edges by position, each once, as of a position.
    pub(crate) fn edges(
        &self,
        indices: impl IntoIterator<Item = EdgeIx>,
        until: Position,
    ) -> Vec<Edge> {
        let with_link = |edge| (self.link_before(edge, until), edge);
        let mut links: Vec<(Link, EdgeIx)> = indices.into_iter().map(with_link).collect();
        links.sort_unstable_by_key(|&(link, edge)| (link.position, edge));
        links.dedup_by_key(|&mut (_, edge)| edge);
        let edge = |(link, _): (Link, EdgeIx)| Edge {
            from: self.node_ref(link.from, until),
            relation: link.relation,
            to: self.node_ref(link.to, until),
            class: link.class,
            position: link.position,
        };
        links.into_iter().map(edge).collect()
    }

    fn intern(&mut self, key: Key, kind: Kind) -> NodeIx {
        let next = NodeIx::next_of(self.nodes.len());
        let node = *self.by_key.entry(key).or_insert(next);
        if node == next {
            let since = self.now;
            self.nodes.push(Node { key, since, kind, out: Vec::new(), into: Vec::new() });
        }
        node
    }

    /// Looks through the shorter of the two lists. All the edges of a graph cost at most E^1.5
    /// that way, and no second index of a million edges is needed.
    fn find_link(&self, from: NodeIx, relation: Relation, to: NodeIx) -> Option<EdgeIx> {
        let (out, into) = (&self.nodes[from.at()].out, &self.nodes[to.at()].into);
        let shorter = if out.len() <= into.len() { out } else { into };
        shorter.iter().copied().find(|edge| {
            let link = &self.links[edge.at()];
            link.from == from && link.to == to && link.relation == relation
        })
    }

    fn push_link(&mut self, link: Link) {
        let edge = EdgeIx::next_of(self.links.len());
        self.nodes[link.from.at()].out.push(edge);
        self.nodes[link.to.at()].into.push(edge);
        self.links.push(link);
        self.touched.push(edge);
    }
}
