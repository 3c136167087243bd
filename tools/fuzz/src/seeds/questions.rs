//! Questions to the provenance graph, and answers of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message as _;
use tally_api::v1;
use tally_protocol::message::Message;
use tally_protocol::{Digest, Envelope, EnvelopeId, Position, Time};
use tally_provenance::{Cause, Graph, Start};

use super::{author, id, label, messages, payloads};
use crate::rng::Rng;

/// The graph of everything that the protocol pins, one event after the other.
pub fn graph() -> &'static Graph {
    static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
        let mut graph = Graph::new();
        for (position, payload) in (0..).zip(payloads()) {
            let envelope = Envelope::decode(payload).expect("pinned");
            let id = EnvelopeId(Digest::of(payload).0);
            graph.fold(Position(position), Time(position as i64), id, &envelope);
        }
        graph
    });
    &GRAPH
}

/// The rows of that graph.
pub fn graph_rows() -> &'static BTreeMap<Vec<u8>, Vec<u8>> {
    static ROWS: LazyLock<BTreeMap<Vec<u8>, Vec<u8>>> =
        LazyLock::new(|| graph().fresh_rows().collect());
    &ROWS
}

/// One of these rows, behind its number.
pub fn graph_row(rng: &mut Rng) -> Vec<u8> {
    let which = rng.below(graph_rows().len());
    let row = graph_rows().values().nth(which).expect("one of them");
    [&(which as u16).to_be_bytes()[..], row].concat()
}

/// The URI of data that some of them name.
pub fn data_uri() -> String {
    let receipt = messages().find_map(|message| match message {
        Message::TaskDone(done) => done.outputs.first().map(|data| data.uri.to_string()),
        _ => None,
    });
    receipt.expect("a receipt with outputs is pinned")
}

fn flow_subject(rng: &mut Rng) -> v1::FlowSubject {
    use v1::flow_subject::{Data, Subject};
    let subject = match rng.below(4) {
        0 => Subject::DataUri(data_uri()),
        1 => Subject::TaskLabel("a task".into()),
        2 => Subject::Task(id(rng).0.to_vec()),
        _ => Subject::Data(Data { uri: data_uri(), digest: rng.array::<32>().to_vec() }),
    };
    v1::FlowSubject { subject: Some(subject) }
}

fn run_of(rng: &mut Rng) -> v1::Run {
    use v1::run::Run;
    let run = match rng.once_in(2) {
        true => Run::TraceId(rng.array::<16>().to_vec()),
        false => Run::Part(id(rng).0.to_vec()),
    };
    v1::Run { run: Some(run) }
}

/// A question about provenance, behind its number.
pub fn provenance_question(rng: &mut Rng) -> Vec<u8> {
    use v1::get_impact_request::{Cause, Signed};
    let which = rng.below(4) as u8;
    let as_of = Some(v1::AsOf { moment: Some(v1::as_of::Moment::Size(rng.edge())) });
    let body = match which {
        0 => {
            let subject = Some(flow_subject(rng));
            v1::GetWhyRequest { subject, as_of, at_least: None }.encode_to_vec()
        }
        1 => {
            let key = author(rng.byte()).agent().as_bytes().to_vec();
            let cause = match rng.below(3) {
                0 => Cause::Flow(flow_subject(rng)),
                1 => Cause::Key(Signed { key, from: rng.edge() }),
                _ => Cause::Policy(id(rng).0.to_vec()),
            };
            v1::GetImpactRequest { cause: Some(cause), as_of, at_least: None }.encode_to_vec()
        }
        2 => {
            let (first, second) = (Some(run_of(rng)), Some(run_of(rng)));
            v1::GetDifferenceRequest { first, second, as_of, at_least: None }.encode_to_vec()
        }
        _ => {
            let filter = v1::LineageFilter {
                only: rng.below(3) as i32,
                agent: author(rng.byte()).agent().as_bytes().to_vec(),
                label: Some(label().to_wire()),
                classes: vec!["asserted".into()],
                uri_prefix: "wf:".into(),
            };
            let filter = Some(filter);
            v1::GetLineageRequest { filter, ..Default::default() }.encode_to_vec()
        }
    };
    [&[which][..], &body].concat()
}

/// An answer about provenance.
pub fn provenance_answer(rng: &mut Rng) -> Vec<u8> {
    let (view, uri) = (graph().head(), data_uri());
    let start = Start::DataUri(&uri);
    let json = match rng.below(5) {
        0 => view.why(&start).ok().map(|answer| serde_json::to_vec(&answer)),
        1 => view.whereabouts(&start).ok().map(|answer| serde_json::to_vec(&answer)),
        2 => view.blame(&start).ok().map(|answer| serde_json::to_vec(&answer)),
        3 => view.keys(&start).ok().map(|answer| serde_json::to_vec(&answer)),
        _ => view.impact(&Cause::Flow(start)).ok().map(|answer| serde_json::to_vec(&answer)),
    };
    json.transpose().expect("JSON").unwrap_or_default()
}
