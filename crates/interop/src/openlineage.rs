//! OpenLineage 2-0-2: tasks as run events, and run events of others as activities to claim.
//!
//! | in the ledger | event |
//! |---|---|
//! | TaskStart | START, with the intent's inputs |
//! | TaskProgress | RUNNING, with the data that it names |
//! | TaskDone | COMPLETE (succeeded), FAIL (failed), ABORT (rejected, violated, cancelled, abandoned); a receipt after the first is OTHER |
//!
//! | field | what |
//! |---|---|
//! | `eventTime` | when the ledger recorded the event |
//! | `run.runId` | a UUID (version 8) of the first 16 bytes of the task's id |
//! | `run.facets.parent` | the workflow, where the task names a trace: run id of the trace id, job `workflow` |
//! | `run.facets.jobDependencies` | tasks that it names, the attempt before, makers of its inputs: so far |
//! | `run.facets.tally_event` | position, envelope, task, attempt, author, executor, state, percent, and the times that a receipt states |
//! | `job` | namespace: the ledger's origin; name: the label `wf.task`, else the outcome that is asked for |
//! | `inputs`, `outputs` | what this event names; consumers add up. Namespace and name are those of a URI with an authority; of any other, the ledger's origin and the URI. `version` is the digest; `inputStatistics` and `outputStatistics` have the size |
//!
//! Read are run events, one a line or in a list: [`read_events`]. Facets are not read, but for
//! `version`: a digest of 64 hexadecimal digits is taken for that of the data. Data without one is
//! known by the digest of its URI, so that its name stands for itself. A dataset of the ledger's own
//! namespace is the URI that its name is, any other `NAMESPACE/NAME`, with `openlineage:` before it
//! where the namespace has no scheme.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tally_protocol::message::{Message, Outcome};
use tally_protocol::parts::{DataRef, Uri};
use tally_protocol::{Digest, EnvelopeId, Event, Origin, ParsedEnvelope};
use tally_provenance::{DataEntry, ImportedActivity};

use crate::foreign::{Foreign, Member};
use crate::runs::{Run, Runs};
use crate::time::rfc3339;

/// Who made the events.
pub const PRODUCER: &str = "https://pervasive.link/tally";

const RUN_EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const EVENT_FACET: &str = "https://pervasive.link/tally/openlineage/v1#/$defs/EventRunFacet";

/// Makes run events of a log.
#[derive(Debug)]
pub struct RunEvents {
    origin: Origin,
    runs: Runs,
}

impl RunEvents {
    /// Of a ledger, before its first event.
    pub fn new(origin: Origin) -> Self {
        Self { origin, runs: Runs::default() }
    }

    /// Takes in the next event, which the rules admit. The run event that it makes, if it is about a
    /// task. One whose time is beyond the year 9999 makes none.
    pub fn fold(&mut self, event: &Event, envelope: &ParsedEnvelope) -> Option<Value> {
        let (task, named) = self.runs.fold(envelope)?;
        let message = &envelope.envelope().message;
        let had_ended = matches!(message, Message::TaskDone(_)) && self.runs.end(task);
        let run = self.runs.get(task)?;
        let facets = self.run_facets(event, envelope, task, run);
        Some(json!({
            "eventTime": rfc3339(event.recorded_at())?,
            "eventType": if had_ended { "OTHER" } else { event_type(message)? },
            "producer": PRODUCER,
            "schemaURL": RUN_EVENT,
            "run": { "runId": run_id(task.as_bytes()), "facets": facets },
            "job": self.job(run),
            "inputs": self.datasets(&named.inputs, "input"),
            "outputs": self.datasets(&named.outputs, "output"),
        }))
    }

    fn job(&self, run: &Run) -> Value {
        json!({ "namespace": self.origin.as_str(), "name": run.name })
    }

    fn run_facets(
        &self,
        event: &Event,
        envelope: &ParsedEnvelope,
        task: EnvelopeId,
        run: &Run,
    ) -> Value {
        let mut facets = Map::new();
        if let Some(trace) = run.trace {
            let parent = json!({
                "run": { "runId": run_id(trace.as_bytes()) },
                "job": { "namespace": self.origin.as_str(), "name": "workflow" },
            });
            facets.insert("parent".into(), facet("1-2-0/ParentRunFacet", parent));
        }
        let upstream = run.upstream.iter().filter_map(|&before| {
            let job = self.job(self.runs.get(before)?);
            Some(json!({ "job": job, "run": { "runId": run_id(before.as_bytes()) } }))
        });
        let upstream: Vec<Value> = upstream.collect();
        if !upstream.is_empty() {
            let dependencies = json!({ "upstream": upstream, "downstream": [] });
            let dependencies = facet("1-0-1/JobDependenciesRunFacet", dependencies);
            facets.insert("jobDependencies".into(), dependencies);
        }
        facets.insert("tally_event".into(), event_facet(event, envelope, task, run));
        facets.into()
    }

    fn datasets(&self, data: &[DataRef], way: &str) -> Vec<Value> {
        data.iter().map(|data| self.dataset(data, way)).collect()
    }

    fn dataset(&self, data: &DataRef, way: &str) -> Value {
        let (namespace, name) = dataset_name(&self.origin, data.uri.as_str());
        let version = json!({ "datasetVersion": data.digest });
        let facets = json!({ "version": facet("1-0-1/DatasetVersionDatasetFacet", version) });
        let mut dataset = json!({ "namespace": namespace, "name": name, "facets": facets });
        if data.size > 0 {
            let schema = match way {
                "input" => "1-0-0/InputStatisticsInputDatasetFacet",
                _ => "1-0-2/OutputStatisticsOutputDatasetFacet",
            };
            let statistics = facet(schema, json!({ "size": data.size }));
            dataset[format!("{way}Facets")] = json!({ format!("{way}Statistics"): statistics });
        }
        dataset
    }
}

fn event_type(message: &Message) -> Option<&'static str> {
    match message {
        Message::TaskStart(_) => Some("START"),
        Message::TaskProgress(_) => Some("RUNNING"),
        Message::TaskDone(done) => Some(match done.outcome {
            Outcome::Succeeded => "COMPLETE",
            Outcome::Failed => "FAIL",
            Outcome::Rejected | Outcome::Violated | Outcome::Cancelled | Outcome::Abandoned => {
                "ABORT"
            }
        }),
        _ => None,
    }
}

/// A facet of the specification: `VERSION/Name`.
fn facet(schema: &str, mut members: Value) -> Value {
    let name = schema.rsplit('/').next().unwrap_or(schema);
    let url = format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}");
    members["_producer"] = json!(PRODUCER);
    members["_schemaURL"] = json!(url);
    members
}

/// Where an event comes from, so that everything here can be looked up and proved.
fn event_facet(event: &Event, envelope: &ParsedEnvelope, task: EnvelopeId, run: &Run) -> Value {
    let mut members = json!({
        "_producer": PRODUCER,
        "_schemaURL": EVENT_FACET,
        "position": event.position(),
        "envelope": envelope.id(),
        "task": task,
        "attempt": run.attempt,
        "author": envelope.envelope().author,
    });
    if let Some(executor) = run.executor {
        members["executor"] = json!(executor);
    }
    match &envelope.envelope().message {
        Message::TaskProgress(report) => {
            members["state"] = json!(report.state);
            members["percent"] = json!(report.percent);
        }
        Message::TaskDone(done) => {
            members["state"] = json!(done.outcome);
            if !done.reason.as_str().is_empty() {
                members["reason"] = json!(done.reason);
            }
            let times = [("startedOn", done.started_at_us), ("endedOn", done.ended_at_us)];
            for (name, time) in times {
                if let Some(time) = time.and_then(rfc3339) {
                    members[name] = json!(time);
                }
            }
        }
        _ => members["state"] = json!("assigned"),
    }
    members
}

/// A UUID of version 8 (RFC 9562): bytes of ours, but for version and variant.
fn run_id(id: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Namespace and name of data: `s3://bucket` and `key`; the ledger's origin and the URI.
fn dataset_name(origin: &Origin, uri: &str) -> (String, String) {
    if let Some((scheme, rest)) = uri.split_once("://")
        && let Some((authority, path)) = rest.split_once('/')
        && !authority.is_empty()
        && !path.is_empty()
    {
        return (format!("{scheme}://{authority}"), path.to_owned());
    }
    (origin.as_str().to_owned(), uri.to_owned())
}

// ------------------------------------------------------------------ reading

/// Reads run events of another system, one a line or in a list, as activities: one a run, with all
/// that its events read and made, and the state of the last event that is not OTHER.
///
/// # Errors
/// [`Foreign`] names the field, the rule and the remedy.
pub fn read_events(text: &str, own: &Origin) -> Result<Vec<ImportedActivity>, Foreign> {
    let mut order = Vec::new();
    let mut runs: BTreeMap<String, ImportedActivity> = BTreeMap::new();
    for (number, event) in crate::foreign::documents(text)?.iter().enumerate() {
        let root = Member::root(event, format!("event {number}"));
        let read = read_event(&root, own)?;
        match runs.get_mut(&read.activity) {
            None => {
                order.push(read.activity.clone());
                runs.insert(read.activity.clone(), read);
            }
            Some(run) => merge(run, read),
        }
    }
    if order.is_empty() {
        return Err(Foreign::new("document", "it has no event", "write one run event a line"));
    }
    Ok(order.into_iter().filter_map(|name| runs.remove(&name)).collect())
}

fn merge(run: &mut ImportedActivity, later: ImportedActivity) {
    if later.state != "OTHER" {
        (run.state, run.at) = (later.state, later.at);
    }
    let add = |to: &mut Vec<DataEntry>, more: Vec<DataEntry>| {
        for entry in more {
            if !to.contains(&entry) {
                to.push(entry);
            }
        }
    };
    add(&mut run.used, later.used);
    add(&mut run.generated, later.generated);
}

const STATES: &[&str] = &["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"];

fn read_event(event: &Member<'_>, own: &Origin) -> Result<ImportedActivity, Foreign> {
    for name in ["producer", "schemaURL"] {
        event.text(name)?;
    }
    if event.get("run").is_none() {
        let rule = "only run events are imported, and this has no run";
        return Err(event.wrong("run", rule, "leave job and dataset events out"));
    }
    let run = event.member("run")?;
    let id = run.text("runId")?;
    if !is_uuid(id) {
        let rule = "a run id is a UUID";
        return Err(run.wrong("runId", rule, "write 8-4-4-4-12 hexadecimal digits"));
    }
    let job = event.member("job")?;
    let at = event.text("eventTime")?;
    if at.parse::<jiff::Timestamp>().is_err() {
        let remedy = "write it as in 2026-11-18T11:06:40Z";
        return Err(event.wrong("eventTime", "a time is RFC 3339 with a zone", remedy));
    }
    let state = event.optional_text("eventType")?.unwrap_or("OTHER");
    if !STATES.contains(&state) {
        let remedy = "write START, RUNNING, COMPLETE, ABORT, FAIL or OTHER";
        return Err(event.wrong("eventType", "there is no such type", remedy));
    }
    let (namespace, name) = (job.text("namespace")?, job.text("name")?);
    Ok(ImportedActivity {
        system: "openlineage".into(),
        activity: format!("{namespace}/{name}/{id}"),
        state: state.to_owned(),
        at: Some(at.to_owned()),
        used: read_datasets(event, "inputs", own)?,
        generated: read_datasets(event, "outputs", own)?,
    })
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(is_hex)
}

fn read_datasets(
    event: &Member<'_>,
    name: &'static str,
    own: &Origin,
) -> Result<Vec<DataEntry>, Foreign> {
    event.list(name)?.iter().map(|dataset| read_dataset(dataset, own)).collect()
}

fn read_dataset(dataset: &Member<'_>, own: &Origin) -> Result<DataEntry, Foreign> {
    let (namespace, name) = (dataset.text("namespace")?, dataset.text("name")?);
    let uri = if namespace == own.as_str() {
        name.to_owned()
    } else if namespace.contains("://") {
        format!("{}/{}", namespace.trim_end_matches('/'), name.trim_start_matches('/'))
    } else {
        format!("openlineage:{namespace}/{name}")
    };
    let uri = Uri::new(uri).map_err(|fault| {
        dataset.wrong("name", &format!("it makes no URI of ours: {fault}"), "shorten it")
    })?;
    let version = dataset.get("facets").and_then(|facets| facets.get("version"));
    let stated = version.and_then(|version| version.get("datasetVersion")?.as_str()?.parse().ok());
    let digest = stated.unwrap_or_else(|| Digest::of(uri.as_str().as_bytes()));
    Ok(DataEntry { uri: uri.into(), digest })
}
