//! Questions to the provenance graph, to the wire and back. Answers travel as JSON.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_protocol::{AgentId, Digest, EnvelopeId, Position, TraceId};
use tally_provenance::{Cause, Class, Filter, NodeRef, Only, Run, Start};

use crate::convert::BadAnswer;
use crate::v1;
use crate::v1::flow_subject::Subject;

fn id(bytes: &[u8], field: &'static str) -> Result<EnvelopeId, BadAnswer> {
    bytes.try_into().map(EnvelopeId).map_err(|_| BadAnswer::Shape(field))
}

fn agent(bytes: &[u8], field: &'static str) -> Result<AgentId, BadAnswer> {
    AgentId::from_bytes(bytes).map_err(|_| BadAnswer::Shape(field))
}

/// What a question is about, from the wire.
///
/// # Errors
/// [`BadAnswer`] when nothing is named, or an id has the wrong length.
pub fn start(wire: Option<&v1::FlowSubject>) -> Result<Start<'_>, BadAnswer> {
    let missing = BadAnswer::Shape("subject");
    Ok(match wire.and_then(|wire| wire.subject.as_ref()).ok_or(missing)? {
        Subject::DataUri(uri) => Start::DataUri(uri),
        Subject::TaskLabel(label) => Start::TaskLabel(label),
        Subject::Task(task) => Start::Node(NodeRef::Task(id(task, "subject.task")?)),
        Subject::Data(data) => {
            let digest = data.digest.as_slice().try_into().map(Digest);
            let digest = digest.map_err(|_| BadAnswer::Shape("subject.data.digest"))?;
            Start::Node(NodeRef::Data { uri: data.uri.clone(), digest })
        }
    })
}

/// What a question is about, on the wire. Nodes that are neither tasks nor data have no form there:
/// the server refuses the question.
pub fn wire_start(start: &Start<'_>) -> v1::FlowSubject {
    let subject = match start {
        Start::DataUri(uri) => Some(Subject::DataUri((*uri).to_owned())),
        Start::TaskLabel(label) => Some(Subject::TaskLabel((*label).to_owned())),
        Start::Node(NodeRef::Task(id)) => Some(Subject::Task(id.0.to_vec())),
        Start::Node(NodeRef::Data { uri, digest }) => {
            let (uri, digest) = (uri.clone(), digest.0.to_vec());
            Some(Subject::Data(v1::flow_subject::Data { uri, digest }))
        }
        Start::Node(
            NodeRef::Agent(_)
            | NodeRef::Capability(_)
            | NodeRef::Intent(_)
            | NodeRef::Offer(_)
            | NodeRef::Receipt(_)
            | NodeRef::Policy(_)
            | NodeRef::Attestation(_)
            | NodeRef::Imported(_)
            | NodeRef::Message(_),
        ) => None,
    };
    v1::FlowSubject { subject }
}

/// What turned out bad, from the wire.
///
/// # Errors
/// [`BadAnswer`] when nothing is named, or an id or key is none.
pub fn cause(wire: Option<&v1::get_impact_request::Cause>) -> Result<Cause<'_>, BadAnswer> {
    use v1::get_impact_request::Cause as Wire;
    Ok(match wire.ok_or(BadAnswer::Shape("cause"))? {
        Wire::Flow(subject) => Cause::Flow(start(Some(subject))?),
        Wire::Agent(signed) => {
            Cause::Agent(agent(&signed.key, "agent.key")?, Position(signed.from))
        }
        Wire::Key(signed) => Cause::Key(agent(&signed.key, "key.key")?, Position(signed.from)),
        Wire::Policy(policy) => Cause::Policy(id(policy, "policy")?),
    })
}

/// What turned out bad, on the wire.
pub fn wire_cause(cause: &Cause<'_>) -> v1::get_impact_request::Cause {
    use v1::get_impact_request::{Cause as Wire, Signed};
    let signed =
        |key: &AgentId, from: &Position| Signed { key: key.as_bytes().to_vec(), from: from.0 };
    match cause {
        Cause::Flow(start) => Wire::Flow(wire_start(start)),
        Cause::Agent(agent, from) => Wire::Agent(signed(agent, from)),
        Cause::Key(key, from) => Wire::Key(signed(key, from)),
        Cause::Policy(policy) => Wire::Policy(policy.0.to_vec()),
    }
}

/// A run, from the wire.
///
/// # Errors
/// [`BadAnswer`] when none is named, or an id has the wrong length.
pub fn run(wire: Option<&v1::Run>) -> Result<Run, BadAnswer> {
    use v1::run::Run as Wire;
    Ok(match wire.and_then(|wire| wire.run.as_ref()).ok_or(BadAnswer::Shape("run"))? {
        Wire::TraceId(trace) => {
            let trace = trace.as_slice().try_into().map(TraceId);
            Run::Trace(trace.map_err(|_| BadAnswer::Shape("run.trace_id"))?)
        }
        Wire::Part(part) => Run::Part(id(part, "run.part")?),
    })
}

/// A run, on the wire.
pub fn wire_run(run: &Run) -> v1::Run {
    use v1::run::Run as Wire;
    let run = match run {
        Run::Trace(trace) => Wire::TraceId(trace.0.to_vec()),
        Run::Part(part) => Wire::Part(part.0.to_vec()),
    };
    v1::Run { run: Some(run) }
}

const CLASSES: [(Class, &str); 3] =
    [(Class::Asserted, "asserted"), (Class::Inferred, "inferred"), (Class::Imported, "imported")];

/// What of a lineage is shown, from the wire.
///
/// # Errors
/// [`BadAnswer`] when a key or a class is none.
pub fn filter(wire: Option<v1::LineageFilter>) -> Result<Filter, BadAnswer> {
    use v1::lineage_filter::Only as Wire;
    let wire = wire.unwrap_or_default();
    let only = match wire.only() {
        Wire::Unspecified => None,
        Wire::Tasks => Some(Only::Tasks),
        Wire::Data => Some(Only::Data),
    };
    let class = |name: &String| CLASSES.iter().find(|(_, known)| known == name).map(|it| it.0);
    let classes: Option<BTreeSet<Class>> = wire.classes.iter().map(class).collect();
    let by = (!wire.agent.is_empty()).then(|| agent(&wire.agent, "filter.agent")).transpose()?;
    Ok(Filter {
        only,
        agent: by,
        label: wire.label.map(|label| (label.key, label.value)),
        classes: classes.ok_or(BadAnswer::Shape("filter.classes"))?,
        uri_prefix: (!wire.uri_prefix.is_empty()).then_some(wire.uri_prefix),
    })
}

/// What of a lineage is shown, on the wire.
pub fn wire_filter(filter: &Filter) -> v1::LineageFilter {
    use v1::lineage_filter::Only as Wire;
    let only = match filter.only {
        None => Wire::Unspecified,
        Some(Only::Tasks) => Wire::Tasks,
        Some(Only::Data) => Wire::Data,
    };
    let label = |(key, value): &(String, String)| tally_protocol::wire::Label {
        key: key.clone(),
        value: value.clone(),
    };
    let classes = CLASSES.iter().filter(|(class, _)| filter.classes.contains(class));
    v1::LineageFilter {
        only: only.into(),
        agent: filter.agent.map(|agent| agent.as_bytes().to_vec()).unwrap_or_default(),
        label: filter.label.as_ref().map(label),
        classes: classes.map(|(_, name)| (*name).to_owned()).collect(),
        uri_prefix: filter.uri_prefix.clone().unwrap_or_default(),
    }
}

/// An answer, on the wire.
pub fn wire_answer(as_of: Position, answer: &impl Serialize) -> v1::ProvenanceAnswer {
    let json = serde_json::to_string(answer).expect("no maps with keys other than strings");
    v1::ProvenanceAnswer { as_of: as_of.0, json }
}

/// An answer, from the wire.
///
/// # Errors
/// [`BadAnswer`] when it is not the JSON of such an answer.
pub fn answer<T: DeserializeOwned>(wire: &v1::ProvenanceAnswer) -> Result<T, BadAnswer> {
    serde_json::from_str(&wire.json).map_err(|_| BadAnswer::Shape("json"))
}
