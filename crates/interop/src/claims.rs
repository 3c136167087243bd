//! What others wrote, as claims of whoever imports it.
//!
//! The statement of a claim is readable JSON; its evidence is the document that was read, by its
//! digest, with the document itself in the first claim where it has at most [`MAX_INLINE_BYTES`].
//! A claim says what the importer read, not that it is true.

use tally_protocol::Digest;
use tally_protocol::limits::MAX_TEXT_BYTES;
use tally_protocol::message::{Claim, ClaimSubject};
use tally_protocol::parts::{DataRef, Document, Name, Text, Uri};
use tally_provenance::{IMPORTED_ACTIVITY, ImportedActivity};

use crate::a2a::{AGENT_CARD, AgentCard};
use crate::foreign::Foreign;

/// Most bytes of a document that goes into a claim: it shares an event with the statement.
pub const MAX_INLINE_BYTES: usize = 32 * 1024;

/// A document that was read.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// Where it can be had, or its name.
    pub uri: Uri,
    /// What is in it.
    pub text: &'a str,
    /// As in `application/json`.
    pub media_type: &'static str,
}

impl Source<'_> {
    fn evidence(&self, is_inline: bool) -> DataRef {
        let digest = Digest::of(self.text.as_bytes());
        let inline = match is_inline && self.text.len() <= MAX_INLINE_BYTES {
            true => Document::new(self.text).expect("shorter than the longest document"),
            false => Document::default(),
        };
        DataRef {
            size: self.text.len() as u64,
            media_type: Name::new(self.media_type).ok(),
            inline,
            ..DataRef::new(self.uri.clone(), digest)
        }
    }
}

/// Claims that state activities, one for each, or several where one names much data.
///
/// # Errors
/// [`Foreign`] when the name of an activity is too long for a statement.
pub fn of_activities(
    activities: &[ImportedActivity],
    source: &Source<'_>,
    about: ClaimSubject,
) -> Result<Vec<Claim>, Foreign> {
    let mut statements = Vec::new();
    for activity in activities {
        divide(activity.clone(), &mut statements)?;
    }
    let claim = |(number, statement): (usize, Text)| {
        claim(about, IMPORTED_ACTIVITY, statement, source.evidence(number == 0))
    };
    Ok(statements.into_iter().enumerate().map(claim).collect())
}

/// The claim that states an agent card.
///
/// # Errors
/// [`Foreign`] when name, description and interfaces alone are too long for a statement.
pub fn of_card(
    card: &AgentCard,
    source: &Source<'_>,
    about: ClaimSubject,
) -> Result<Claim, Foreign> {
    let too_long = || {
        let rule = format!("without skills it must fit into {MAX_TEXT_BYTES} bytes");
        Foreign::new("card", &rule, "shorten its description")
    };
    let statement = card.statement(MAX_TEXT_BYTES).ok_or_else(too_long)?;
    let statement = Text::new(statement).map_err(|_| too_long())?;
    Ok(claim(about, AGENT_CARD, statement, source.evidence(true)))
}

fn claim(about: ClaimSubject, kind: &str, statement: Text, evidence: DataRef) -> Claim {
    let kind = Name::new(kind).expect("a short word");
    Claim { statement, evidence: vec![evidence], ..Claim::new(about, kind) }
}

/// Halves what it read and made until each part fits into a statement.
fn divide(mut activity: ImportedActivity, to: &mut Vec<Text>) -> Result<(), Foreign> {
    let text = serde_json::to_string(&activity).expect("members have fixed names");
    if let Ok(text) = Text::new(text) {
        to.push(text);
        return Ok(());
    }
    if activity.used.len() + activity.generated.len() < 2 {
        let rule = format!("a statement about it must fit into {MAX_TEXT_BYTES} bytes");
        return Err(Foreign::new("job.name", &rule, "shorten the names of the job and its data"));
    }
    let mut second = activity.clone();
    second.used = activity.used.split_off(activity.used.len() / 2);
    second.generated = activity.generated.split_off(activity.generated.len().div_ceil(2));
    divide(activity, to)?;
    divide(second, to)
}
