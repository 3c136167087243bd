//! Nodes, edges and texts as numbers: the memory of the graph.
//!
//! A node is interned once and has the list of its edges in either direction, so that a walk costs
//! what it visits. This module does not know what messages mean.
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
    Imported(TextIx),
}

#[derive(Debug, Clone)]
struct Node {
    key: Key,
    /// Means nothing unless the key is an envelope.
    kind: Kind,
    out: Vec<EdgeIx>,
    into: Vec<EdgeIx>,
}

/// An edge between numbers.
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
    nodes: Vec<Node>,
    by_key: HashMap<Key, NodeIx>,
    links: Vec<Link>,
    /// What was made or strengthened since it was last forgotten.
    touched: Vec<EdgeIx>,
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, TextIx>,
    digests: BTreeMap<TextIx, Vec<NodeIx>>,
}

impl Store {
    pub(crate) fn agent(&mut self, agent: AgentId) -> NodeIx {
        self.intern(Key::Agent(agent), Kind::Message)
    }

    pub(crate) fn data(&mut self, uri: &str, digest: Digest) -> NodeIx {
        let uri = self.text(uri);
        let known = self.nodes.len();
        let node = self.intern(Key::Data(uri, digest), Kind::Message);
        if node.at() == known {
            self.digests.entry(uri).or_default().push(node);
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
        self.nodes[node.at()].kind = kind;
        node
    }

    /// An envelope that another one refers to; `kind` holds where nothing better is known.
    pub(crate) fn mention(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        let node = self.intern(Key::Envelope(id), kind);
        let known = &mut self.nodes[node.at()].kind;
        if *known == Kind::Message {
            *known = kind;
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

    /// Adds an edge. Between two nodes there is one edge of a relation: a stronger class takes it
    /// over with its event, anything else leaves it as it is.
    pub(crate) fn link(&mut self, link: Link) {
        match self.find_link(link.from, link.relation, link.to) {
            None => self.push_link(link),
            Some(known) => {
                let held = &mut self.links[known.at()];
                if link.class > held.class {
                    (held.class, held.position) = (link.class, link.position);
                    self.touched.push(known);
                }
            }
        }
    }

    /// Forgets what was made or strengthened so far.
    pub(crate) fn forget_touched(&mut self) {
        self.touched.clear();
    }

    pub(crate) fn touched(&self) -> impl Iterator<Item = EdgeIx> + '_ {
        self.touched.iter().copied()
    }

    pub(crate) fn find_node(&self, node: &NodeRef) -> Option<NodeIx> {
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
        // The id of an intent does not name a task.
        self.by_key.get(&key).copied().filter(|&found| self.node_ref(found) == *node)
    }

    pub(crate) fn find_text(&self, text: &str) -> Option<TextIx> {
        self.by_text.get(text).copied()
    }

    /// All data of this URI, whatever the digest.
    pub(crate) fn data_at(&self, uri: &str) -> &[NodeIx] {
        let nodes = self.find_text(uri).and_then(|uri| self.digests.get(&uri));
        nodes.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn text_at(&self, text: TextIx) -> &str {
        &self.texts[text.at()]
    }

    pub(crate) fn node_ref(&self, node: NodeIx) -> NodeRef {
        let Node { key, kind, .. } = &self.nodes[node.at()];
        match *key {
            Key::Agent(agent) => NodeRef::Agent(agent),
            Key::Data(uri, digest) => NodeRef::Data { uri: self.text_at(uri).to_owned(), digest },
            Key::Imported(name) => NodeRef::Imported(self.text_at(name).to_owned()),
            Key::Envelope(id) => match kind {
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

    pub(crate) fn is_task(&self, node: NodeIx) -> bool {
        let node = &self.nodes[node.at()];
        matches!(node.key, Key::Envelope(_)) && node.kind == Kind::Task
    }

    pub(crate) fn is_imported(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node.at()].key, Key::Imported(_))
    }

    pub(crate) fn is_data(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node.at()].key, Key::Data(..))
    }

    /// The edges to what a node came from.
    pub(crate) fn outgoing(&self, node: NodeIx) -> impl Iterator<Item = (EdgeIx, Link)> + '_ {
        self.nodes[node.at()].out.iter().map(|&edge| (edge, self.links[edge.at()]))
    }

    /// The edges from what came of a node.
    pub(crate) fn incoming(&self, node: NodeIx) -> impl Iterator<Item = (EdgeIx, Link)> + '_ {
        self.nodes[node.at()].into.iter().map(|&edge| (edge, self.links[edge.at()]))
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn edge_indices(&self) -> impl Iterator<Item = EdgeIx> + '_ {
        (0..self.links.len()).map(EdgeIx::next_of)
    }

    /// The edges by position, each once.
    pub(crate) fn edges(&self, indices: impl IntoIterator<Item = EdgeIx>) -> Vec<Edge> {
        let mut indices: Vec<EdgeIx> = indices.into_iter().collect();
        indices.sort_unstable_by_key(|&edge| (self.links[edge.at()].position, edge));
        indices.dedup();
        indices.into_iter().map(|edge| self.edge(self.links[edge.at()])).collect()
    }

    fn edge(&self, link: Link) -> Edge {
        Edge {
            from: self.node_ref(link.from),
            relation: link.relation,
            to: self.node_ref(link.to),
            class: link.class,
            position: link.position,
        }
    }

    fn intern(&mut self, key: Key, kind: Kind) -> NodeIx {
        let next = NodeIx::next_of(self.nodes.len());
        let node = *self.by_key.entry(key).or_insert(next);
        if node == next {
            self.nodes.push(Node { key, kind, out: Vec::new(), into: Vec::new() });
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
