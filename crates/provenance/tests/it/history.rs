//! Histories made by hand: nothing is signed, ids are counted.

use std::collections::BTreeMap;

use tally_protocol::message::*;
use tally_protocol::parts::{DataRef, Label, Name, PolicyRef, Text, Uri};
use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, Position,
    Time, TraceId,
};
use tally_provenance::{Direction, Edge, Graph, LineageSummary, NodeRef, Relation, Start};

pub(crate) const TRACE: TraceId = TraceId([7; 16]);

/// A log that grows, and the graph of it.
pub(crate) struct History {
    pub(crate) graph: Graph,
    pub(crate) events: Vec<(Position, Time, EnvelopeId, Envelope)>,
    pub(crate) trace: Option<TraceId>,
    agents: BTreeMap<u8, AgentId>,
}

/// What a task is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work<'a> {
    pub(crate) label: Option<&'a str>,
    /// Inputs of the intent.
    pub(crate) given: Vec<&'a str>,
    pub(crate) depends_on: Vec<EnvelopeId>,
    pub(crate) replaces: Option<EnvelopeId>,
}

impl History {
    pub(crate) fn new() -> Self {
        let (graph, agents) = (Graph::new(), BTreeMap::new());
        Self { graph, events: Vec::new(), trace: Some(TRACE), agents }
    }

    pub(crate) fn agent(&mut self, seed: u8) -> AgentId {
        *self.agents.entry(seed).or_insert_with(|| AgentKey::from_seed(&[seed; 32]).agent())
    }

    /// Appends a message of an agent; recorded at ten times its position.
    pub(crate) fn say(&mut self, agent: u8, message: Message) -> EnvelopeId {
        let number = self.events.len() as u64;
        let envelope = Envelope {
            origin: Origin::new("example.org/test").expect("an origin"),
            author: self.agent(agent),
            author_sequence: AuthorSequence(0),
            previous: None,
            issued_at_us: Time(1),
            trace_id: self.trace,
            causes: Vec::new(),
            message,
        };
        let (position, time, id) = (Position(number), Time(number as i64 * 10), self.next_id(0));
        self.graph.fold(position, time, id, &envelope);
        self.events.push((position, time, id, envelope));
        id
    }

    /// The id of the event that comes after so many more.
    pub(crate) fn next_id(&self, after: u64) -> EnvelopeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(self.events.len() as u64 + 1 + after).to_be_bytes());
        EnvelopeId(id)
    }

    pub(crate) fn capability(&mut self, agent: u8) -> EnvelopeId {
        let message = AdvertiseCapability::Publish(capability_terms());
        self.say(agent, Message::AdvertiseCapability(message))
    }

    pub(crate) fn intent(&mut self, terms: IntentTerms) -> EnvelopeId {
        self.say(1, Message::Intent(Intent::Open(terms)))
    }

    pub(crate) fn offer(&mut self, agent: u8, offer: Offer) -> EnvelopeId {
        self.say(agent, Message::Offer(offer))
    }

    pub(crate) fn start(&mut self, start: TaskStart) -> EnvelopeId {
        self.say(1, Message::TaskStart(Box::new(start)))
    }

    /// Intent of agent 1, offer of agent 2, task.
    pub(crate) fn task(&mut self, work: Work<'_>) -> EnvelopeId {
        let intent = self.intent(terms(work.label, &work.given));
        let offer = self.offer(2, offer(intent, id(200)));
        let Work { depends_on, replaces, .. } = work;
        self.start(TaskStart { depends_on, replaces, ..task_start(intent, offer) })
    }

    pub(crate) fn progress(
        &mut self,
        task: EnvelopeId,
        state: ProgressState,
        inputs: &[&str],
        outputs: &[&str],
    ) -> EnvelopeId {
        let (inputs, outputs) = (data_refs(inputs), data_refs(outputs));
        let (percent, estimated_done_us, notices, depends_on) = (0, None, vec![], vec![]);
        self.say(
            2,
            Message::TaskProgress(TaskProgress {
                percent,
                inputs,
                outputs,
                estimated_done_us,
                notices,
                depends_on,
                ..TaskProgress::new(task, state)
            }),
        )
    }

    /// A receipt for so many microseconds of work.
    pub(crate) fn done(
        &mut self,
        task: EnvelopeId,
        duration_us: i64,
        inputs: &[&str],
        outputs: &[&str],
    ) -> EnvelopeId {
        let (inputs, outputs) = (data_refs(inputs), data_refs(outputs));
        let ended_at_us = Some(Time(1000 + duration_us));
        self.say(2, Message::TaskDone(TaskDone { inputs, outputs, ended_at_us, ..receipt(task) }))
    }

    pub(crate) fn failed(&mut self, task: EnvelopeId) -> EnvelopeId {
        self.say(2, Message::TaskDone(TaskDone { outcome: Outcome::Failed, ..receipt(task) }))
    }

    /// A task from start to end.
    pub(crate) fn run(&mut self, label: &str, inputs: &[&str], outputs: &[&str]) -> EnvelopeId {
        let task = self.task(Work { label: Some(label), ..Work::default() });
        self.done(task, 100, inputs, outputs);
        task
    }

    /// The edges of a relation from a node.
    pub(crate) fn from(&self, node: NodeRef, relation: Relation) -> Vec<Edge> {
        let edges = self.graph.edges_from(&node).into_iter();
        edges.filter(|edge| edge.relation == relation).collect()
    }

    /// What a node points to by a relation.
    pub(crate) fn targets(&self, node: NodeRef, relation: Relation) -> Vec<NodeRef> {
        self.from(node, relation).into_iter().map(|edge| edge.to).collect()
    }

    pub(crate) fn summary(
        &self,
        start: Start<'_>,
        direction: Direction,
        depth: Option<u32>,
    ) -> LineageSummary {
        self.graph.lineage(start, direction, depth).expect("known").summary()
    }
}

pub(crate) fn id(n: u8) -> EnvelopeId {
    EnvelopeId([n; 32])
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).expect("a text")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn data(uri: &str) -> NodeRef {
    NodeRef::Data { uri: uri.to_owned(), digest: Digest::of(uri.as_bytes()) }
}

pub(crate) fn data_ref(uri: &str) -> DataRef {
    let digest = Digest::of(uri.as_bytes());
    DataRef::new(Uri::new(uri).expect("a URI"), digest)
}

pub(crate) fn data_refs(uris: &[&str]) -> Vec<DataRef> {
    uris.iter().map(|uri| data_ref(uri)).collect()
}

pub(crate) fn policies(policies: &[EnvelopeId]) -> Vec<PolicyRef> {
    policies.iter().map(|&update| PolicyRef { update }).collect()
}

pub(crate) fn label(key: &str, value: &str) -> Label {
    Label { key: name(key), value: text(value) }
}

pub(crate) fn capability_terms() -> CapabilityTerms {
    CapabilityTerms {
        description: text(""),
        ..CapabilityTerms::new(name("align"), name("genomics"))
    }
}

pub(crate) fn terms(task_label: Option<&str>, inputs: &[&str]) -> IntentTerms {
    IntentTerms {
        inputs: data_refs(inputs),
        labels: task_label.map(|value| label("wf.task", value)).into_iter().collect(),
        ..IntentTerms::new(text("aligned reads"))
    }
}

pub(crate) fn offer(intent: EnvelopeId, capability: EnvelopeId) -> Offer {
    Offer::new(intent, capability)
}

pub(crate) fn task_start(intent: EnvelopeId, offer: EnvelopeId) -> TaskStart {
    TaskStart::new(intent, offer, 1)
}

pub(crate) fn receipt(task: EnvelopeId) -> TaskDone {
    TaskDone {
        started_at_us: Some(Time(1000)),
        ended_at_us: Some(Time(1000)),
        reason: text(""),
        ..TaskDone::new(task, Outcome::Succeeded)
    }
}
