//! OTLP spans: tasks for whoever looks at traces, in the JSON of OTLP 1 (ids in hexadecimal).
//!
//! A workflow is a trace: its trace id, or for intents without one the first 16 bytes of the id of
//! the first version. It has a root span, and a span for each task that has ended, with a link to
//! every task that it builds on: tasks that it names, makers of what it read, the attempt before.
//!
//! | field | what |
//! |---|---|
//! | `spanId` | the first 8 bytes of the task's id; of the root, of BLAKE3-256 of the trace id |
//! | start, end | as the first receipt states them, where it states both in order (`tally.clock` is `executor`); else when the ledger recorded the first sign of work and the receipt (`ledger`) |
//! | `events` | accepted, running, receipts: when the ledger recorded them |
//! | `status` | ok for succeeded, error with the outcome for any other |
//! | `attributes` | `tally.task`, `.intent`, `.position`, `.attempt`, `.executor`, `.outcome`, `.clock` |
//! | link's `attributes` | `tally.relation`: `wasInformedBy`, `retries` or `used` |
//!
//! Tasks that have not ended have no span yet; times before 1970 count as 1970.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tally_protocol::message::Outcome;
use tally_protocol::{Digest, EnvelopeId, Origin, Time};
use tally_provenance::{NodeRef, Relation, Workflow, WorkflowIntent, WorkflowTask};

/// The spans of all workflows in a graph's answer, as one OTLP request.
pub fn spans(origin: &Origin, workflow: &Workflow) -> Value {
    let links = links(workflow);
    let mut traces: BTreeMap<[u8; 16], Vec<Span<'_>>> = BTreeMap::new();
    let first = first_versions(workflow);
    for intent in &workflow.intents {
        let trace = workflow.trace_id.or(intent.trace_id);
        let trace = trace.map_or_else(|| head(first[&intent.id].as_bytes()), |trace| trace.0);
        let spans = traces.entry(trace).or_default();
        spans.extend(intent.tasks.iter().filter_map(|task| Span::of(intent, task)));
    }
    let places: BTreeMap<EnvelopeId, [u8; 16]> = traces
        .iter()
        .flat_map(|(trace, spans)| spans.iter().map(|span| (span.task.id, *trace)))
        .collect();
    let all = traces.iter().filter(|(_, spans)| !spans.is_empty()).flat_map(|(trace, spans)| {
        let own = spans.iter().map(|span| span.json(trace, &links, &places));
        std::iter::once(root(trace, spans)).chain(own).collect::<Vec<_>>()
    });
    let all: Vec<Value> = all.collect();
    let resource = [attribute("service.name", "tally"), attribute("tally.origin", origin.as_str())];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "tally", "version": "1" }, "spans": all }],
    }] })
}

struct Span<'a> {
    intent: &'a WorkflowIntent,
    task: &'a WorkflowTask,
    outcome: Outcome,
    start: Time,
    end: Time,
    clock: &'static str,
}

impl<'a> Span<'a> {
    fn of(intent: &'a WorkflowIntent, task: &'a WorkflowTask) -> Option<Self> {
        let receipt = task.receipts.first()?;
        let timing = &task.timing;
        let begun = timing.running_at.or(timing.accepted_at).unwrap_or(timing.start_at);
        let stated = receipt.started_at_us.zip(receipt.ended_at_us);
        let (start, end, clock) = match stated.filter(|(start, end)| start <= end) {
            Some((start, end)) => (start, end, "executor"),
            None => (begun, receipt.recorded_at.max(begun), "ledger"),
        };
        Some(Self { intent, task, outcome: receipt.outcome, start, end, clock })
    }

    fn json(
        &self,
        trace: &[u8; 16],
        links: &BTreeMap<EnvelopeId, BTreeSet<(EnvelopeId, Relation)>>,
        places: &BTreeMap<EnvelopeId, [u8; 16]>,
    ) -> Value {
        let task = self.task;
        let links = links.get(&task.id).into_iter().flatten().filter_map(|(before, relation)| {
            Some(json!({
                "traceId": hex::encode(places.get(before)?),
                "spanId": span_id(before),
                "attributes": [attribute("tally.relation", relation.name())],
            }))
        });
        let links: Vec<Value> = links.collect();
        let mut attributes = vec![
            attribute("tally.task", &task.id.to_string()),
            attribute("tally.intent", &self.intent.id.to_string()),
            number("tally.position", task.position.0),
            number("tally.attempt", u64::from(task.attempt)),
            attribute("tally.outcome", &self.outcome.name()),
            attribute("tally.clock", self.clock),
        ];
        attributes
            .extend(task.executor.map(|agent| attribute("tally.executor", &agent.to_string())));
        json!({
            "traceId": hex::encode(trace),
            "spanId": span_id(&task.id),
            "parentSpanId": root_id(trace),
            "name": task.title(),
            "kind": 1,
            "startTimeUnixNano": nanoseconds(self.start),
            "endTimeUnixNano": nanoseconds(self.end),
            "attributes": attributes,
            "events": events(task),
            "links": links,
            "status": status(self.outcome),
        })
    }
}

/// From the first start to the last end.
fn root(trace: &[u8; 16], spans: &[Span<'_>]) -> Value {
    let start = spans.iter().map(|span| span.start).min().expect("there are spans");
    let end = spans.iter().map(|span| span.end).max().expect("there are spans");
    json!({
        "traceId": hex::encode(trace),
        "spanId": root_id(trace),
        "name": "workflow",
        "kind": 1,
        "startTimeUnixNano": nanoseconds(start),
        "endTimeUnixNano": nanoseconds(end),
        "attributes": [number("tally.tasks", spans.len() as u64)],
        "status": {},
    })
}

fn events(task: &WorkflowTask) -> Vec<Value> {
    let reports = [("accepted", task.timing.accepted_at), ("running", task.timing.running_at)];
    let reports = reports.into_iter().filter_map(|(name, at)| Some((name.to_owned(), at?)));
    let receipts = task.receipts.iter();
    let receipts = receipts.map(|receipt| (receipt.outcome.name(), receipt.recorded_at));
    let event =
        |(name, at): (String, Time)| json!({ "timeUnixNano": nanoseconds(at), "name": name });
    reports.chain(receipts).map(event).collect()
}

/// Status codes of OTLP: 1 is ok, 2 is an error.
fn status(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Succeeded => json!({ "code": 1 }),
        other => json!({ "code": 2, "message": other.name() }),
    }
}

/// For each task, those that it builds on, and why; the first reason counts.
fn links(workflow: &Workflow) -> BTreeMap<EnvelopeId, BTreeSet<(EnvelopeId, Relation)>> {
    let task = |node: &NodeRef| match node {
        NodeRef::Task(id) => Some(*id),
        _ => None,
    };
    let mut makers: BTreeMap<&NodeRef, Vec<EnvelopeId>> = BTreeMap::new();
    for edge in workflow.edges.iter().filter(|edge| edge.relation == Relation::WasGeneratedBy) {
        makers.entry(&edge.from).or_default().extend(task(&edge.to));
    }
    let mut links: BTreeMap<EnvelopeId, BTreeMap<EnvelopeId, Relation>> = BTreeMap::new();
    for edge in &workflow.edges {
        let Some(later) = task(&edge.from) else { continue };
        let before: Vec<EnvelopeId> = match edge.relation {
            Relation::WasInformedBy | Relation::Retries => task(&edge.to).into_iter().collect(),
            Relation::Used => makers.get(&edge.to).cloned().unwrap_or_default(),
            _ => continue,
        };
        for before in before.into_iter().filter(|before| *before != later) {
            links.entry(later).or_default().entry(before).or_insert(edge.relation);
        }
    }
    links.into_iter().map(|(later, before)| (later, before.into_iter().collect())).collect()
}

/// The first version of every intent.
fn first_versions(workflow: &Workflow) -> BTreeMap<EnvelopeId, EnvelopeId> {
    let mut first = BTreeMap::new();
    for intent in &workflow.intents {
        let before = intent.revises.and_then(|before| first.get(&before).copied());
        first.insert(intent.id, before.unwrap_or(intent.id));
    }
    first
}

fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut head = [0; N];
    head.copy_from_slice(&bytes[..N]);
    head
}

fn span_id(task: &EnvelopeId) -> String {
    hex::encode(head::<8>(task.as_bytes()))
}

fn root_id(trace: &[u8; 16]) -> String {
    hex::encode(head::<8>(Digest::of(trace).as_bytes()))
}

/// Numbers of 64 bits are texts in the JSON of protobuf.
fn nanoseconds(time: Time) -> String {
    let us = u64::try_from(time.0).unwrap_or(0);
    us.saturating_mul(1_000).to_string()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
