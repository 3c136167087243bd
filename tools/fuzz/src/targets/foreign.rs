//! Documents of other systems.

use tally_interop::a2a::AgentCard;
use tally_interop::claims::{Source, of_activities, of_card};
use tally_interop::openlineage::read_events;
use tally_interop::prov::{Document, ProvError, check};
use tally_protocol::limits::MAX_TEXT_BYTES;
use tally_protocol::message::ClaimSubject;
use tally_protocol::{AgentKey, Origin};
use tally_provenance::ImportedActivity;

use crate::targets::Outcome;

/// A PROV-JSON document: what it says is written again as the same, and judged the same.
pub fn prov_json(data: &[u8]) -> Outcome {
    let document = match Document::parse_json(data) {
        Ok(document) => document,
        // Its text quotes the input.
        Err(ProvError::Json(error)) => return Outcome::refused(&error.classify()),
        Err(error) => return Outcome::refused(&std::mem::discriminant(&error)),
    };
    let written = document.to_json();
    let again = Document::parse_json(written.as_bytes()).expect("its own JSON");
    assert_eq!(again.to_json(), written);
    let found = check(&document, 0);
    assert_eq!(check(&again, 0).is_empty(), found.is_empty());
    assert!(check(&document, u64::MAX).len() <= found.len(), "no skew finds the most");
    drop((document.to_notation(), document.to_turtle()));
    match found.first() {
        None => Outcome::accepted("possible"),
        Some(found) => Outcome::refused(&found.constraints()),
    }
}

/// Run events of OpenLineage: every claim says what it is read as.
pub fn openlineage_events(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    let own: Origin = "example.org/ledger".parse().expect("an origin");
    let runs = match read_events(text, &own) {
        Ok(runs) => runs,
        Err(error) => return Outcome::refused(&format_args!("{}", error.remedy)),
    };
    let claims = match of_activities(&runs, &source(text), about()) {
        Ok(claims) => claims,
        Err(error) => return Outcome::refused(&format_args!("{}", error.remedy)),
    };
    assert!(!runs.is_empty() && claims.len() >= runs.len());
    let stated: Vec<ImportedActivity> =
        claims.iter().map(|claim| ImportedActivity::of(claim).expect("it states one")).collect();
    let data = |runs: &[ImportedActivity]| -> usize {
        runs.iter().map(|run| run.used.len() + run.generated.len()).sum()
    };
    assert_eq!(data(&stated), data(&runs), "nothing is lost between claims");
    Outcome::accepted(if claims.len() > runs.len() { "divided" } else { "runs" })
}

/// An agent card: its statement is JSON and fits.
pub fn agent_card(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    let card = match AgentCard::read(text) {
        Ok(card) => card,
        Err(error) => return Outcome::refused(&format_args!("{}", error.remedy)),
    };
    match of_card(&card, &source(text), about()) {
        Ok(claim) => {
            let statement = claim.statement.as_str();
            assert!(statement.len() <= MAX_TEXT_BYTES);
            let said: serde_json::Value = serde_json::from_str(statement).expect("JSON");
            let is_whole = said.get("skillsLeftOut").is_none();
            Outcome::accepted(if is_whole { "card" } else { "skills left out" })
        }
        Err(error) => Outcome::refused(&format_args!("{}", error.remedy)),
    }
}

fn source(text: &str) -> Source<'_> {
    Source { uri: "document".parse().expect("a URI"), text, media_type: "application/json" }
}

fn about() -> ClaimSubject {
    ClaimSubject::Agent(AgentKey::from_seed(&[1; 32]).agent())
}
