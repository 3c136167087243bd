//! Questions to the provenance graph, over histories of different length.
//!
//! A history is many chains of ten tasks, each of which reads what the one before it made: about 12
//! edges a task. The answers are of one size, so what a question takes should not grow with the
//! history.
//!
//! | benchmark | what |
//! |---|---|
//! | `provenance/lineage/N` | lineage upward, 20 steps, in a graph of N edges: 10 tasks, 10 data |
//! | `provenance/lineage-half/N` | the same as of half the log, about a chain that ended just before |
//! | `provenance/why/N` | the minimal derivation of the same data |
//! | `provenance/impact/N` | what is affected by the input of the same chain |
//! | `provenance/fold/N` | folding the whole history, an element an event |
//!
//! Envelopes are folded as they are: nothing is signed, encoded or read from a disk.

use std::hint::black_box;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tally_protocol::message::{Intent, IntentTerms, Offer, Outcome, TaskDone, TaskStart};
use tally_protocol::parts::{DataRef, Text, Uri};
use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, Position,
    Time, TreeSize,
};
use tally_provenance::{Cause, Direction, Graph, LineageQuestion, Start};

/// Tasks in a chain.
const CHAIN: usize = 10;

/// Edges in the graph, about.
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Edges that a task adds.
const EDGES_A_TASK: usize = 12;

/// Events that a task takes: intent, offer, start, receipt.
const EVENTS_A_TASK: usize = 4;

/// Says things, in order.
struct Speaker {
    events: Vec<(EnvelopeId, Envelope)>,
    agents: [AgentId; 2],
}

impl Speaker {
    fn say(&mut self, agent: usize, message: Message) -> EnvelopeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(self.events.len() as u64 + 1).to_be_bytes());
        let envelope = Envelope {
            origin: Origin::new("example.org/bench").expect("an origin"),
            author: self.agents[agent],
            author_sequence: AuthorSequence(0),
            previous: None,
            issued_at_us: Time(1),
            trace_id: None,
            causes: Vec::new(),
            message,
        };
        self.events.push((EnvelopeId(id), envelope));
        EnvelopeId(id)
    }

    fn task(&mut self, chain: usize, step: usize) {
        let (input, output) = (data(chain, step), data(chain, step + 1));
        let inputs = vec![input.clone()];
        let outcome = Text::new("the next of the chain").expect("a text");
        let terms = IntentTerms { inputs: vec![input], ..IntentTerms::new(outcome) };
        let intent = self.say(0, Message::Intent(Intent::Open(terms)));
        let offer = self.say(1, Message::Offer(Offer::new(intent, EnvelopeId([7; 32]))));
        let start = TaskStart::new(intent, offer, 1);
        let task = self.say(0, Message::TaskStart(Box::new(start)));
        let outputs = vec![output];
        let done = TaskDone { inputs, outputs, ..TaskDone::new(task, Outcome::Succeeded) };
        self.say(1, Message::TaskDone(done));
    }
}

fn uri(chain: usize, step: usize) -> String {
    format!("file:chain-{chain}/{step}")
}

fn data(chain: usize, step: usize) -> DataRef {
    let uri = uri(chain, step);
    let digest = Digest::of(uri.as_bytes());
    DataRef::new(Uri::new(uri).expect("a URI"), digest)
}

/// Chains, one after the other, of about so many edges together; how many chains.
fn history(edges: usize) -> (Vec<(EnvelopeId, Envelope)>, usize) {
    let agents = [1, 2].map(|seed| AgentKey::from_seed(&[seed; 32]).agent());
    let mut speaker = Speaker { events: Vec::new(), agents };
    let chains = edges / (EDGES_A_TASK * CHAIN);
    for chain in 0..chains {
        (0..CHAIN).for_each(|step| speaker.task(chain, step));
    }
    (speaker.events, chains)
}

fn fold(events: &[(EnvelopeId, Envelope)]) -> Graph {
    let mut graph = Graph::new();
    for (position, (id, envelope)) in (0..).zip(events) {
        graph.fold(Position(position), Time(position as i64), *id, envelope);
    }
    graph
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("provenance");
    let up = LineageQuestion { depth: Some(20), ..LineageQuestion::new(Direction::Up) };
    for size in SIZES {
        let (events, chains) = history(size);
        let graph = fold(&events);
        let (first, last) = (uri(chains / 2, 0), uri(chains / 2, CHAIN));
        let half = TreeSize::new(((chains / 2 + 1) * CHAIN * EVENTS_A_TASK) as u64);
        let (head, half) = (graph.head(), graph.at(half).expect("not beyond the head"));
        let answer = head.lineage(Start::DataUri(&last), &up).expect("known");
        assert_eq!((answer.tasks.len(), answer.data.len(), answer.edges.len()), (10, 10, 20));
        group.bench_function(BenchmarkId::new("lineage", size), |b| {
            b.iter(|| head.lineage(Start::DataUri(black_box(&last)), &up));
        });
        group.bench_function(BenchmarkId::new("lineage-half", size), |b| {
            b.iter(|| half.lineage(Start::DataUri(black_box(&last)), &up));
        });
        group.bench_function(BenchmarkId::new("why", size), |b| {
            b.iter(|| head.why(&Start::DataUri(black_box(&last))));
        });
        group.bench_function(BenchmarkId::new("impact", size), |b| {
            b.iter(|| head.impact(&Cause::Flow(Start::DataUri(black_box(&first)))));
        });
        group.throughput(Throughput::Elements(events.len() as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.bench_function(BenchmarkId::new("fold", size), |b| b.iter(|| fold(&events)));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
