//! Task receipts as in-toto statements: one statement a receipt, about the task's outputs.
//!
//! The author of a receipt signed its protobuf payload and not this JSON, so a statement is signed by
//! whoever exports it. Nothing need be believed of the exporter: the author's own envelope and the
//! log receipt of its event are in the predicate. Initiator, executor, intent and attempt follow
//! from the TaskStart whose id is `task`; a provenance bundle proves them.
//!
//! | digest | of |
//! |---|---|
//! | `blake3` | the data: BLAKE3-256 in lowercase hexadecimal, which in-toto has no name for |
//! | `blake3_salted` | the data under a salt that only the parties have (intents among parties) |
//! | `sha256` | the data, where it is in the receipt itself |
//!
//! A receipt that names no output is a statement about itself: its subject is the author's payload.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::Sha256;
use tally_coordination::State;
use tally_protocol::message::{Message, Outcome, Privacy, TaskDone};
use tally_protocol::parts::{DataRef, Text};
use tally_protocol::{AgentId, AgentKey, EnvelopeId, Event, ParsedEnvelope, VerifiedEnvelope};
use tally_tlog::LogProof;

use crate::dsse::DsseEnvelope;
use crate::time::rfc3339;

/// statement.md: "Identifier for the schema of the Statement."
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// envelope.md of in-toto: the `payloadType` of a statement in DSSE.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The predicate type of task receipts: [`TaskReceipt`]. Another meaning is another version.
pub const TASK_RECEIPT_TYPE: &str = "https://pervasive.link/tally/task-receipt/v1";

/// A statement about the outputs of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: &'static str,
    /// The outputs, or the receipt itself; never empty.
    pub subject: Vec<ResourceDescriptor>,
    /// [`TASK_RECEIPT_TYPE`].
    pub predicate_type: &'static str,
    /// How the task ended.
    pub predicate: TaskReceipt,
}

/// Data, by name and digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// Its URI or name.
    pub name: String,
    /// By name of the algorithm, in lowercase hexadecimal.
    pub digest: BTreeMap<&'static str, String>,
    /// As in `text/csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// The predicate: how a task ended. Times are RFC 3339 in UTC; one beyond the year 9999 is left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReceipt {
    /// The ledger's origin.
    pub ledger: String,
    /// Id of the TaskStart.
    pub task: EnvelopeId,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// What was wanted.
    pub intent: IntentSummary,
    /// Who started the task.
    pub initiator: AgentId,
    /// Who executed it.
    pub executor: AgentId,
    /// How it ended, by this receipt.
    pub outcome: Outcome,
    /// Whether this receipt ended the task; of several the first does (R18).
    pub conclusive: bool,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// When execution began, by the executor's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_on: Option<String>,
    /// When execution ended, by the executor's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_on: Option<String>,
    /// When the receipt was recorded, by the ledger's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_on: Option<String>,
    /// What was read: the intent's inputs, and what the executor names.
    pub inputs: Vec<ResourceDescriptor>,
    /// What policies said.
    pub policy_results: Vec<PolicyVerdict>,
    /// The author's own envelope.
    pub envelope: DsseEnvelope,
    /// Whether RFC 8032 verifiers take the author's signature; the ledger's rule does.
    pub strict_signature: bool,
    /// The log receipt of the event, with the event in it: a C2SP tlog-proof.
    pub log_receipt: String,
}

/// An intent, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntentSummary {
    /// The version that the task is about.
    pub id: EnvelopeId,
    /// The desired outcome, for people.
    pub outcome: Text,
}

/// What a policy said of an execution, as its executor reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyVerdict {
    /// Id of the PolicyUpdate.
    pub policy: EnvelopeId,
    /// Whether the execution complied.
    pub compliant: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

impl Statement {
    /// The statement, signed by who exports it.
    ///
    /// # Panics
    /// Never.
    pub fn sign(&self, key: &AgentKey) -> DsseEnvelope {
        let payload = serde_json::to_vec(self).expect("members have fixed names");
        DsseEnvelope::sign(IN_TOTO_PAYLOAD_TYPE, payload, key)
    }
}

// ------------------------------------------------------------------ making them

/// A receipt in the log, with the data that its task named before.
#[derive(Debug, Clone)]
pub struct FoundReceipt {
    event: Event,
    task: EnvelopeId,
    data: Data,
}

/// What a task read and made, each once, in the order in which it was named.
#[derive(Debug, Clone, Default)]
struct Data {
    inputs: Vec<DataRef>,
    outputs: Vec<DataRef>,
}

impl Data {
    fn add(&mut self, inputs: &[DataRef], outputs: &[DataRef]) {
        self.inputs.extend_from_slice(inputs);
        self.outputs.extend_from_slice(outputs);
    }
}

/// The receipts of a log: a fold over its events. Holds what running tasks have named so far.
#[derive(Debug, Default)]
pub struct TaskReceipts {
    named: BTreeMap<EnvelopeId, Data>,
    found: Vec<FoundReceipt>,
}

impl TaskReceipts {
    /// No event yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next event, which the rules admit.
    pub fn fold(&mut self, event: &Event, envelope: &ParsedEnvelope) {
        match &envelope.envelope().message {
            Message::TaskProgress(report) => {
                self.named.entry(report.task).or_default().add(&report.inputs, &report.outputs);
            }
            Message::TaskDone(done) => self.end(event, done),
            _ => {}
        }
    }

    fn end(&mut self, event: &Event, done: &TaskDone) {
        let mut data = self.named.get(&done.task).cloned().unwrap_or_default();
        data.add(&done.inputs, &done.outputs);
        self.found.push(FoundReceipt { event: event.clone(), task: done.task, data });
    }

    /// The receipts, in log order.
    pub fn into_found(self) -> Vec<FoundReceipt> {
        self.found
    }
}

impl FoundReceipt {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The task.
    pub fn task(&self) -> EnvelopeId {
        self.task
    }

    /// The statement that it makes, with the log receipt `proof`; the state is that of the log at
    /// the receipt or later.
    ///
    /// `None` when the envelope is not this event's, or the state does not know the task.
    pub fn statement(
        &self,
        envelope: &VerifiedEnvelope,
        state: &State,
        proof: &LogProof,
    ) -> Option<Statement> {
        let Message::TaskDone(done) = &envelope.envelope().message else { return None };
        let is_of_it = *envelope.signed() == self.event.signed();
        let task = state.task(&self.task).filter(|_| is_of_it)?;
        let intent = state.intent(&task.terms.intent)?;
        let describe = |data: &[&DataRef]| describe_all(data, intent.terms.privacy);
        let outputs: Vec<&DataRef> = self.data.outputs.iter().collect();
        let subject = if outputs.is_empty() { vec![itself(envelope)] } else { describe(&outputs) };
        // A task is taken to use its intent's inputs.
        let inputs: Vec<&DataRef> = intent.terms.inputs.iter().chain(&self.data.inputs).collect();
        let author = DsseEnvelope::of(envelope);
        let predicate = TaskReceipt {
            ledger: state.origin().to_string(),
            task: task.id,
            attempt: task.terms.attempt,
            intent: IntentSummary { id: intent.id, outcome: intent.terms.outcome.clone() },
            initiator: task.initiator,
            executor: task.executor,
            outcome: done.outcome,
            conclusive: task.ended.is_some_and(|ended| ended.receipt == envelope.id()),
            reason: unless_empty(&done.reason),
            started_on: done.started_at_us.and_then(rfc3339),
            ended_on: done.ended_at_us.and_then(rfc3339),
            recorded_on: rfc3339(self.event.recorded_at()),
            inputs: describe(&inputs),
            policy_results: done.policy_results.iter().map(PolicyVerdict::of).collect(),
            strict_signature: author.verifies(),
            envelope: author,
            log_receipt: proof.to_string(),
        };
        Some(Statement {
            kind: STATEMENT_TYPE,
            subject,
            predicate_type: TASK_RECEIPT_TYPE,
            predicate,
        })
    }
}

impl PolicyVerdict {
    fn of(result: &tally_protocol::message::PolicyResult) -> Self {
        Self {
            policy: result.policy.update,
            compliant: result.compliant,
            reason: unless_empty(&result.reason),
        }
    }
}

fn unless_empty(text: &Text) -> Option<Text> {
    (!text.as_str().is_empty()).then(|| text.clone())
}

/// Each data once.
fn describe_all(data: &[&DataRef], privacy: Option<Privacy>) -> Vec<ResourceDescriptor> {
    let mut seen = BTreeSet::new();
    let first = data.iter().filter(|data| seen.insert((data.uri.as_str(), data.digest)));
    first.map(|data| describe(data, privacy)).collect()
}

fn describe(data: &DataRef, privacy: Option<Privacy>) -> ResourceDescriptor {
    let document = data.inline.as_str();
    let mut digest = BTreeMap::new();
    if !document.is_empty() {
        // R13: the digest of a document that is at hand is its own, without salt.
        digest.insert("blake3", data.digest.to_string());
        digest.insert("sha256", sha256(document.as_bytes()));
    } else if privacy == Some(Privacy::Parties) {
        digest.insert("blake3_salted", data.digest.to_string());
    } else {
        digest.insert("blake3", data.digest.to_string());
    }
    let media_type = data.media_type.as_ref().map(ToString::to_string);
    ResourceDescriptor { name: data.uri.to_string(), digest, media_type }
}

/// The author's payload as a resource: its BLAKE3-256 is the envelope's id.
fn itself(envelope: &VerifiedEnvelope) -> ResourceDescriptor {
    let id = envelope.id().to_string();
    let name = format!("tally:envelope:{id}");
    let digest = [("blake3", id), ("sha256", sha256(&envelope.signed().payload))].into();
    let media_type = Some(tally_protocol::envelope::PAYLOAD_TYPE.to_owned());
    ResourceDescriptor { name, digest, media_type }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(Sha256::digest(bytes))
}
