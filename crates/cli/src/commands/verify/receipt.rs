//! A log receipt: one event, and the proof that it is in the log.

use bytes::Bytes;
use serde::Serialize;
use tally_protocol::{AgentId, EnvelopeId, Event, Origin, Position, TreeSize, signature};
use tally_tlog::{LogProof, VerifierKey};
use tally_verify::Verdict;

use crate::error::CliError;
use crate::keys::parse_origin;
use crate::output::time_text;

#[derive(Serialize)]
pub(super) struct ReceiptAnswer {
    pub(super) verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EnvelopeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    found: String,
}

impl ReceiptAnswer {
    fn not(verdict: Verdict, found: impl ToString) -> Self {
        Self {
            verdict,
            position: None,
            tree_size: None,
            id: None,
            author: None,
            recorded_at: None,
            message: None,
            found: found.to_string(),
        }
    }
}

pub(super) fn judge(
    bytes: &[u8],
    key: Option<VerifierKey>,
    author: Option<AgentId>,
) -> Result<ReceiptAnswer, CliError> {
    let invalid = |found: &dyn std::fmt::Display| Ok(ReceiptAnswer::not(Verdict::Invalid, found));
    let proof = match LogProof::parse(bytes) {
        Ok(proof) => proof,
        Err(error) => return invalid(&error),
    };
    let Some(key) = key else {
        let found = "no log key is known: pass --log-key with the one you trust";
        return Ok(ReceiptAnswer::not(Verdict::Incomplete, found));
    };
    let Some(extra) = proof.unauthenticated_extra() else {
        let found = "the file does not carry its event; make it with `tally prove`";
        return Ok(ReceiptAnswer::not(Verdict::Incomplete, found));
    };
    let event = match Event::decode(Bytes::copy_from_slice(extra)) {
        Ok(event) => event,
        Err(error) => return invalid(&error),
    };
    let origin = parse_origin(key.name().as_str())?;
    let checkpoint = match proof.verify(event.leaf(), &[key], &origin) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return invalid(&error),
    };
    judge_event(&event, &proof, checkpoint.size(), &origin, author)
}

/// The log holds these bytes at this place; now whether they say what an event there must.
fn judge_event(
    event: &Event,
    proof: &LogProof,
    size: TreeSize,
    origin: &Origin,
    author: Option<AgentId>,
) -> Result<ReceiptAnswer, CliError> {
    let invalid = |found: String| Ok(ReceiptAnswer::not(Verdict::Invalid, found));
    if event.position().leaf() != proof.index() {
        return invalid(format!("the event says it is at {}", event.position()));
    }
    let envelope = match event.signed().parse() {
        Ok(parsed) => match signature::verify(parsed) {
            Ok(envelope) => envelope,
            Err(error) => return invalid(error.to_string()),
        },
        Err(error) => return invalid(error.to_string()),
    };
    let said = envelope.envelope();
    if said.origin != *origin {
        return invalid(format!("the envelope is meant for ledger {}", said.origin));
    }
    if author.is_some_and(|author| author != said.author) {
        return invalid(format!("the envelope is signed by {}", said.author));
    }
    Ok(ReceiptAnswer {
        verdict: Verdict::Valid,
        position: Some(event.position()),
        tree_size: Some(size.as_u64()),
        id: Some(envelope.id()),
        author: Some(said.author),
        recorded_at: Some(time_text(event.recorded_at())),
        message: Some(said.message.kind().name()),
        found: "the event is in the log, signed by its author".into(),
    })
}

pub(super) fn text(answer: &ReceiptAnswer) -> String {
    let mut text = format!("{}: {}", answer.verdict.name(), answer.found);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("\n{name:<9}{value}"));
        }
    };
    add("message", answer.message.map(str::to_owned));
    add("id", answer.id.map(|id| id.to_string()));
    add("author", answer.author.map(|author| author.to_string()));
    add("position", answer.position.map(|position| position.to_string()));
    add("recorded", answer.recorded_at.clone());
    add("in tree", answer.tree_size.map(|size| format!("of {size} events")));
    text
}
