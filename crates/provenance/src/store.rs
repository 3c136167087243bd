//! Nodes and edges as numbers: the memory of the graph.
//!
//! A node is interned once and has the list of its edges in either direction, so that a walk costs
//! what it visits. This module does not know what messages mean.
//!
//! Everything is kept with the position at which it came to hold. Lists grow in the order of the
//! log, so what a view of an earlier size sees of a list is a prefix; what changes later (the kind
//! of a node that was only mentioned, the ground of an edge) stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tally_protocol::{AgentId, Digest, EnvelopeId, Position, Time, TraceId};

use crate::memory::{BlockId, Items, Memory, Name, WHOLE};
use crate::node::NodeRef;
use crate::record::{
    BLOCK_ITEMS, END, EdgeIx, Facts, Half, Item, KNOWN_TRACES, Key, Kind, List, Member, Mention,
    Moment, Node, NodeIx, Part,
};
use crate::relation::{Class, Edge, Relation};
use crate::workflow::OfferState;

/// An edge between numbers, with the ground on which it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) edge: EdgeIx,
    pub(crate) from: NodeIx,
    pub(crate) to: NodeIx,
    pub(crate) position: Position,
    pub(crate) relation: Relation,
    pub(crate) class: Class,
}

/// How far the graph is, and how much there is of it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The position after the last event that was folded.
    pub(crate) next: Position,
    /// Numbers of nodes that are taken, those of groups among them.
    pub(crate) numbered: u32,
    pub(crate) nodes: u32,
    pub(crate) edges: u32,
    /// Envelopes that were mentioned and did not come yet, or never got a node of their own.
    pub(crate) awaited: u32,
    /// The events that were folded.
    pub(crate) moments: List<Moment>,
}

/// Nodes and edges.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) memory: Memory,
    pub(crate) head: Head,
    /// Where the event stands that is folded.
    now: Position,
    /// The agent that was looked up last: an event asks for its author several times.
    last_agent: Option<(AgentId, NodeIx)>,
    /// What that event made or strengthened.
    touched: BTreeMap<EdgeIx, Link>,
}

impl Store {
    /// As far as it was kept.
    pub(crate) fn new(memory: Memory, head: Head) -> Self {
        Self { memory, now: head.next, head, ..Self::default() }
    }

    /// What is added from now on came to hold at this position.
    pub(crate) fn begin(&mut self, now: Position) {
        self.now = now;
        self.touched.clear();
    }

    /// The event is folded.
    pub(crate) fn end(&mut self, recorded_at: Time) {
        let Head { nodes, edges, .. } = self.head;
        let moment = Moment { position: self.now, recorded_at, nodes, edges };
        if let Some((number, block)) = self.head.moments.push(moment) {
            self.memory.add_block(BlockId { owner: WHOLE, part: Part::Moments, number }, block);
        }
        self.head.next = Position(self.now.0.saturating_add(1));
    }

    /// The edges that the event which was folded last made or strengthened.
    pub(crate) fn touched(&self) -> impl Iterator<Item = Link> + '_ {
        self.touched.values().copied()
    }

    pub(crate) fn agent(&mut self, agent: AgentId) -> NodeIx {
        if let Some((known, node)) = self.last_agent
            && known == agent
        {
            return node;
        }
        let (node, _) = self.intern(Name::of_id(b'a', *agent.as_bytes()), || Key::Agent(agent));
        self.last_agent = Some((agent, node));
        node
    }

    pub(crate) fn data(&mut self, uri: &str, digest: Digest) -> NodeIx {
        let of_uri = Name::uri(uri);
        let there = self.memory.find(&of_uri);
        if let Some(known) = there.and_then(|there| self.data_among(there, uri, digest)) {
            return known;
        }
        let node = self.add(Key::Data(uri.into(), digest));
        self.join(of_uri, there, node);
        if let Some(there) = there {
            // From the second data of a URI on, each is found by a name of its own.
            let first = match &self.memory.node(there).key {
                Key::Data(_, first) => Some(*first),
                _ => None,
            };
            first.into_iter().for_each(|first| self.memory.add_name(Name::data(uri, first), there));
            self.memory.add_name(Name::data(uri, digest), node);
        }
        self.add_to(Name::digest(digest), node);
        node
    }

    /// Data among those that are at a URI: one, or a group.
    fn data_among(&self, there: NodeIx, uri: &str, digest: Digest) -> Option<NodeIx> {
        match &self.memory.node(there).key {
            Key::Data(_, only) => (*only == digest).then_some(there),
            _ => self.memory.find(&Name::data(uri, digest)),
        }
    }

    /// An activity of another system.
    pub(crate) fn imported(&mut self, name: &str) -> NodeIx {
        self.intern(Name::of_texts(b'i', &[name]), || Key::Imported(name.into())).0
    }

    /// The envelope as it was folded: what it is, is settled.
    pub(crate) fn define(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        // A log has an envelope once: where nothing is awaited, nobody needs to look for it.
        let known = match self.head.awaited {
            0 => None,
            _ => self.memory.find(&Name::envelope(id)),
        };
        let Some(node) = known else { return self.add_envelope(id, kind) };
        if self.memory.node(node).facts.is_empty() {
            self.head.awaited = self.head.awaited.saturating_sub(1);
        }
        self.turn_into(node, kind, |known| known != kind);
        node
    }

    /// An envelope that another one refers to; `kind` holds where nothing better is known.
    pub(crate) fn mention(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        let Some(node) = self.memory.find(&Name::envelope(id)) else {
            self.head.awaited += 1;
            return self.add_envelope(id, kind);
        };
        if kind != Kind::Message {
            self.turn_into(node, kind, |known| known == Kind::Message);
        }
        node
    }

    fn add_envelope(&mut self, id: EnvelopeId, kind: Kind) -> NodeIx {
        let node = self.add(Key::Envelope(id));
        self.memory.add_name(Name::envelope(id), node);
        self.turn_into(node, kind, |_| true);
        node
    }

    fn turn_into(&mut self, node: NodeIx, kind: Kind, changes: impl Fn(Kind) -> bool) {
        if changes(self.memory.node(node).kind(END)) {
            let now = self.now;
            let kinds = &mut self.memory.node_mut(node).kinds;
            // Of most nodes it stays the only one.
            kinds.reserve_exact(1);
            kinds.push((now, kind));
        }
    }

    /// Adds a node to those that have something in common.
    pub(crate) fn add_to(&mut self, group: Name, node: NodeIx) {
        self.join(group, self.memory.find(&group), node);
    }

    /// A node that joined with its first mention stands for the group as long as it is the only one.
    fn join(&mut self, name: Name, known: Option<NodeIx>, node: NodeIx) {
        let joined_with = |node: &Node| node.since;
        let group = match known {
            None if joined_with(&self.memory.node(node)) == self.now => {
                return self.memory.add_name(name, node);
            }
            None => self.group_of(name),
            Some(known) => {
                let holder = self.memory.node(known);
                match holder.key {
                    Key::Group => known,
                    _ => {
                        let (group, position) = (self.group_of(name), joined_with(&holder));
                        self.push(group, Part::Members, Member { position, node: known });
                        group
                    }
                }
            }
        };
        self.push(group, Part::Members, Member { position: self.now, node });
    }

    fn group_of(&mut self, name: Name) -> NodeIx {
        let group = self.number(Key::Group);
        self.memory.add_name(name, group);
        group
    }

    /// Adds an intent to a workflow, once.
    pub(crate) fn trace(&mut self, trace: TraceId, intent: NodeIx) {
        let holder = self.memory.node(intent);
        if holder.traces.contains(&trace) {
            return;
        }
        let is_known = holder.traces.len() < KNOWN_TRACES;
        drop(holder);
        if is_known {
            let traces = &mut self.memory.node_mut(intent).traces;
            // Of most intents it stays the only one.
            traces.reserve_exact(1);
            traces.push(trace);
        } else {
            let mark = Name::traced(trace, intent);
            if self.memory.find(&mark).is_some() {
                return;
            }
            self.memory.add_name(mark, intent);
        }
        self.add_to(Name::trace(trace), intent);
    }

    /// The node that was added to a group last.
    pub(crate) fn last_of(&self, group: &Name) -> Option<NodeIx> {
        let found = self.memory.find(group)?;
        let group = self.memory.node(found);
        match group.key {
            Key::Group => group.members.rest.last().map(|member| member.node),
            _ => Some(found),
        }
    }

    /// Adds to a list of a node.
    pub(crate) fn push<T: Item>(&mut self, node: NodeIx, part: Part, item: T) {
        let list = T::list_mut(self.memory.node_mut(node), part).expect("a list of such items");
        if let Some((number, block)) = list.push(item) {
            self.memory.add_block(BlockId { owner: node, part, number }, block);
        }
    }

    /// Keeps what a message says, unless another one said it of this node before.
    pub(crate) fn insert(&mut self, node: NodeIx, facts: Facts) -> bool {
        self.memory.node_mut(node).insert(facts)
    }

    /// Says how far an offer came from now on.
    pub(crate) fn settle(&mut self, offer: NodeIx, state: OfferState) {
        let now = self.now;
        let node = self.memory.node_mut(offer);
        if node.state(END) != state {
            node.states.push((now, state));
        }
    }

    /// Adds an edge that the event which is folded says. Between two nodes there is one edge of a
    /// relation: a stronger class takes it over with its event, anything else leaves it as it is.
    pub(crate) fn link(&mut self, from: NodeIx, relation: Relation, to: NodeIx, class: Class) {
        let position = self.now;
        match self.find_link(from, relation, to) {
            None => {
                let edge = EdgeIx(self.head.edges);
                self.head.edges = edge.0.checked_add(1).expect("fewer than 2^32 edges");
                let half = |other| Half::new(edge, other, relation, class, position);
                self.push(from, Part::Out, half(to));
                self.push(to, Part::Into, half(from));
                self.touched.insert(edge, Link { edge, from, to, position, relation, class });
            }
            Some(known) if class > known.class => {
                self.strengthen(from, Part::Out, known.edge, class);
                self.strengthen(to, Part::Into, known.edge, class);
                self.touched.insert(known.edge, Link { position, class, ..known });
            }
            Some(_) => {}
        }
    }

    /// A node by what it is as of a position, if it was named before.
    pub(crate) fn find_node(&self, node: &NodeRef, until: Position) -> Option<NodeIx> {
        let name = match node {
            NodeRef::Agent(agent) => Name::of_id(b'a', *agent.as_bytes()),
            NodeRef::Data { uri, digest } => {
                let there = self.memory.find(&Name::uri(uri))?;
                let found = self.data_among(there, uri, *digest)?;
                return self.is_seen(found, until).then_some(found);
            }
            NodeRef::Imported(name) => Name::of_texts(b'i', &[name]),
            NodeRef::Capability(id)
            | NodeRef::Intent(id)
            | NodeRef::Offer(id)
            | NodeRef::Task(id)
            | NodeRef::Receipt(id)
            | NodeRef::Policy(id)
            | NodeRef::Attestation(id)
            | NodeRef::Message(id) => Name::envelope(*id),
        };
        let found = self.memory.find(&name).filter(|&found| self.is_seen(found, until))?;
        // The id of an intent does not name a task.
        (self.node_ref(found, until) == *node).then_some(found)
    }

    /// The nodes of a group as of a position, by first mention.
    pub(crate) fn group<'s>(
        &'s self,
        group: &Name,
        until: Position,
    ) -> impl Iterator<Item = NodeIx> + use<'s> {
        let found = self.memory.find(group);
        let (alone, group) = match found.map(|found| (found, self.node(found))) {
            Some((_, node)) if matches!(node.key, Key::Group) => (None, found),
            Some((alone, node)) => ((node.since < until).then_some(alone), None),
            None => (None, None),
        };
        let members = group.map(|group| self.seen(group, Part::Members, until));
        let members = members.into_iter().flatten().map(|member: Member| member.node);
        alone.into_iter().chain(members)
    }

    pub(crate) fn node(&self, node: NodeIx) -> Arc<Node> {
        self.memory.node(node)
    }

    /// Whether a node was named before a position.
    pub(crate) fn is_seen(&self, node: NodeIx, until: Position) -> bool {
        self.node(node).since < until
    }

    pub(crate) fn node_ref(&self, node: NodeIx, until: Position) -> NodeRef {
        let node = self.node(node);
        match &node.key {
            Key::Agent(agent) => NodeRef::Agent(*agent),
            Key::Data(uri, digest) => NodeRef::Data { uri: (**uri).to_owned(), digest: *digest },
            Key::Imported(name) => NodeRef::Imported((**name).to_owned()),
            // No answer shows a group, and none is given after rows could not be read.
            Key::Group => NodeRef::Message(EnvelopeId([0; 32])),
            &Key::Envelope(id) => match node.kind(until) {
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
        match self.node(node).key {
            Key::Envelope(id) => Some(id),
            Key::Agent(_) | Key::Data(..) | Key::Imported(_) | Key::Group => None,
        }
    }

    pub(crate) fn agent_id(&self, node: NodeIx) -> Option<AgentId> {
        match self.node(node).key {
            Key::Agent(agent) => Some(agent),
            Key::Envelope(_) | Key::Data(..) | Key::Imported(_) | Key::Group => None,
        }
    }

    /// URI and digest of data.
    pub(crate) fn data_parts(&self, node: NodeIx) -> Option<(Arc<str>, Digest)> {
        match &self.node(node).key {
            Key::Data(uri, digest) => Some((Arc::clone(uri), *digest)),
            Key::Envelope(_) | Key::Agent(_) | Key::Imported(_) | Key::Group => None,
        }
    }

    pub(crate) fn is_task(&self, node: NodeIx, until: Position) -> bool {
        let node = self.node(node);
        matches!(node.key, Key::Envelope(_)) && node.kind(until) == Kind::Task
    }

    pub(crate) fn is_imported(&self, node: NodeIx) -> bool {
        matches!(self.node(node).key, Key::Imported(_))
    }

    pub(crate) fn is_data(&self, node: NodeIx) -> bool {
        matches!(self.node(node).key, Key::Data(..))
    }

    /// A list of a node as of a position, in log order.
    pub(crate) fn seen<'s, T: Item + 's>(
        &'s self,
        node: NodeIx,
        part: Part,
        until: Position,
    ) -> impl Iterator<Item = T> + use<'s, T> {
        self.memory.list(node, part).take_while(move |item: &T| item.position() < until)
    }

    pub(crate) fn mentions(
        &self,
        data: NodeIx,
        until: Position,
    ) -> impl Iterator<Item = Mention> + '_ {
        self.seen(data, Part::Mentions, until)
    }

    /// The edges to what a node came from, as of a position.
    pub(crate) fn outgoing(
        &self,
        node: NodeIx,
        until: Position,
    ) -> impl Iterator<Item = Link> + '_ {
        self.seen(node, Part::Out, until).map(move |half| link_from(node, &half, until))
    }

    /// The edges from what came of a node, as of a position.
    pub(crate) fn incoming(
        &self,
        node: NodeIx,
        until: Position,
    ) -> impl Iterator<Item = Link> + '_ {
        self.seen(node, Part::Into, until).map(move |half| link_to(node, &half, until))
    }

    /// The same, without those that were first said before `from`.
    pub(crate) fn incoming_from(
        &self,
        node: NodeIx,
        from: Position,
        until: Position,
    ) -> impl Iterator<Item = Link> + '_ {
        let into: Items<'_, Half> = self.memory.list(node, Part::Into);
        let later = into.skipping(|half| half.first_said() < from);
        let seen = later.take_while(move |half| half.first_said() < until);
        seen.map(move |half| link_to(node, &half, until))
    }

    /// The last event before a position.
    pub(crate) fn moment(&self, until: Position) -> Option<Moment> {
        self.last_moment(|moment| moment.position < until)
    }

    /// The last of the first events for which something holds.
    pub(crate) fn last_moment(&self, holds: impl Fn(&Moment) -> bool) -> Option<Moment> {
        let (moments, owner) = (&self.head.moments, (WHOLE, Part::Moments));
        let count = self.memory.partition_point(moments, owner, holds);
        self.memory.item(moments, owner, count.checked_sub(1)?)
    }

    /// How many nodes were named before a position.
    pub(crate) fn node_count(&self, until: Position) -> usize {
        self.moment(until).map_or(0, |moment| moment.nodes as usize)
    }

    /// How many edges were said before a position.
    pub(crate) fn edge_count(&self, until: Position) -> usize {
        self.moment(until).map_or(0, |moment| moment.edges as usize)
    }

    /// Every edge that was said before a position.
    pub(crate) fn all_edges(&self, until: Position) -> impl Iterator<Item = Link> + '_ {
        let readable = |_: &NodeIx| self.memory.failure().is_none();
        let nodes = (0..self.head.numbered).map(NodeIx).take_while(readable);
        nodes.flat_map(move |node| self.outgoing(node, until))
    }

    /// The edges by position, each once, as of a position.
    pub(crate) fn edges(
        &self,
        links: impl IntoIterator<Item = Link>,
        until: Position,
    ) -> Vec<Edge> {
        let mut links: Vec<Link> = links.into_iter().collect();
        links.sort_unstable_by_key(|link| (link.position, link.edge));
        links.dedup_by_key(|link| link.edge);
        let edge = |link: Link| Edge {
            from: self.node_ref(link.from, until),
            relation: link.relation,
            to: self.node_ref(link.to, until),
            class: link.class,
            position: link.position,
        };
        links.into_iter().map(edge).collect()
    }

    /// The node of a name, and whether there was none before.
    fn intern(&mut self, name: Name, key: impl FnOnce() -> Key) -> (NodeIx, bool) {
        if let Some(known) = self.memory.find(&name) {
            return (known, false);
        }
        let node = self.add(key());
        self.memory.add_name(name, node);
        (node, true)
    }

    /// A node that nobody named before.
    fn add(&mut self, key: Key) -> NodeIx {
        self.head.nodes += 1;
        self.number(key)
    }

    fn number(&mut self, key: Key) -> NodeIx {
        let node = NodeIx(self.head.numbered);
        self.head.numbered = node.0.checked_add(1).expect("fewer than 2^32 nodes");
        self.memory.add_node(node, Node::new(key, self.now));
        node
    }

    /// Looks through the shorter of the two lists. All the edges of a graph cost at most E^1.5
    /// that way, and no second index of a million edges is needed.
    fn find_link(&self, from: NodeIx, relation: Relation, to: NodeIx) -> Option<Link> {
        let (out, into) = (self.node(from).out.len(), self.node(to).into.len());
        let (node, part, other) = match out <= into {
            true => (from, Part::Out, to),
            false => (to, Part::Into, from),
        };
        let mut halves = self.memory.list(node, part);
        let half: Half =
            halves.find(|half: &Half| half.other == other && half.relation == relation)?;
        Some(match part {
            Part::Into => link_to(node, &half, END),
            _ => link_from(node, &half, END),
        })
    }

    /// Notes at one end that an edge stands on a stronger ground from now on.
    fn strengthen(&mut self, node: NodeIx, part: Part, edge: EdgeIx, class: Class) {
        let now = self.now;
        let holder = self.memory.node(node);
        let list = Half::list(&holder, part).expect("edges");
        let earlier = |half: &Half| half.edge < edge;
        let index = self.memory.partition_point(list, (node, part), earlier);
        let (number, full) = (index / BLOCK_ITEMS, list.full as usize);
        drop(holder);
        let halves = match u32::try_from(number) {
            Ok(number) if (number as usize) < full => {
                self.memory.block_mut(BlockId { owner: node, part, number }).halves_mut()
            }
            _ => {
                let list = Half::list_mut(self.memory.node_mut(node), part);
                &mut list.expect("edges").rest
            }
        };
        // It is there, unless rows could not be read.
        if let Some(half) = halves.iter_mut().find(|half| half.edge == edge) {
            half.stand_on(class, now);
        }
    }
}

fn link_from(node: NodeIx, half: &Half, until: Position) -> Link {
    let (class, position) = half.ground(until);
    let Half { edge, other, relation, .. } = *half;
    Link { edge, from: node, to: other, position, relation, class }
}

fn link_to(node: NodeIx, half: &Half, until: Position) -> Link {
    let link = link_from(node, half, until);
    Link { from: link.to, to: node, ..link }
}

impl Name {
    fn of_id(letter: u8, id: [u8; 32]) -> Self {
        let mut name = [letter; 33];
        name[1..].copy_from_slice(&id);
        Self(name)
    }

    fn of_bytes(letter: u8, bytes: &[u8]) -> Self {
        Self::of_id(letter, Digest::of(bytes).0)
    }

    /// Texts, each behind its length.
    fn of_texts(letter: u8, texts: &[&str]) -> Self {
        let with_length =
            |text: &&str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
        Self::of_bytes(letter, &texts.iter().flat_map(with_length).collect::<Vec<u8>>())
    }

    fn envelope(id: EnvelopeId) -> Self {
        Self::of_id(b'e', id.0)
    }

    fn data(uri: &str, digest: Digest) -> Self {
        Self::of_bytes(b'd', &[&digest.0, uri.as_bytes()].concat())
    }

    /// All data of a URI, whatever the digest.
    pub(crate) fn uri(uri: &str) -> Self {
        Self::of_texts(b'u', &[uri])
    }

    /// All data of a digest, wherever it is.
    pub(crate) fn digest(digest: Digest) -> Self {
        Self::of_id(b'g', digest.0)
    }

    /// The tasks with a label.
    pub(crate) fn label(key: &str, value: &str) -> Self {
        Self::of_texts(b'l', &[key, value])
    }

    /// The intents of a workflow.
    pub(crate) fn trace(trace: TraceId) -> Self {
        Self::of_bytes(b't', &trace.0)
    }

    /// That an intent is one of a workflow's.
    fn traced(trace: TraceId, intent: NodeIx) -> Self {
        Self::of_bytes(b's', &[&trace.0[..], &intent.0.to_be_bytes()].concat())
    }

    /// All intents of the log.
    pub(crate) fn intents() -> Self {
        Self::of_id(b'x', [0; 32])
    }
}
