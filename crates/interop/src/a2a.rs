//! A2A 1.0 agent cards, read as something to claim: what an agent says of itself elsewhere.
//!
//! A card is held to what A2A requires of it (`a2a.proto`, AgentCard): name, description, version,
//! capabilities, interfaces with URL, binding and version, media types, and skills with id, name,
//! description and tags. Signatures on a card are not verified: the importer's claim says what was
//! read, and the digest of the document says which it was.

use serde_json::{Value, json};

use crate::foreign::{Foreign, Member, documents};

/// The kind of claims about agent cards.
pub const AGENT_CARD: &str = "imported.a2a.agent-card";

/// An agent card, in short: the statement of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCard {
    summary: Value,
    skills: Vec<Value>,
}

impl AgentCard {
    /// Reads a card.
    ///
    /// # Errors
    /// [`Foreign`] names the field, the rule and the remedy.
    pub fn read(text: &str) -> Result<Self, Foreign> {
        let documents = documents(text)?;
        let [document] = &documents[..] else {
            let rule = "it must be one agent card";
            return Err(Foreign::new("document", rule, "import the cards one by one"));
        };
        let card = Member::root(document, "card".into());
        let mut interfaces = Vec::new();
        for interface in card.list("supportedInterfaces")? {
            interfaces.push(json!({
                "url": interface.text("url")?,
                "binding": interface.text("protocolBinding")?,
                "version": interface.text("protocolVersion")?,
            }));
        }
        if interfaces.is_empty() {
            let remedy = "a card before A2A 1.0 has url instead: convert it first";
            return Err(card.wrong("supportedInterfaces", "there must be one at least", remedy));
        }
        card.member("capabilities")?;
        let mut summary = json!({
            "name": card.text("name")?,
            "description": card.text("description")?,
            "version": card.text("version")?,
            "interfaces": interfaces,
            "inputModes": modes(&card, "defaultInputModes")?,
            "outputModes": modes(&card, "defaultOutputModes")?,
        });
        if card.get("provider").is_some() {
            let provider = card.member("provider")?;
            summary["provider"] = json!(provider.text("organization")?);
        }
        let skills: Result<Vec<Value>, Foreign> = card.list("skills")?.iter().map(skill).collect();
        Ok(Self { summary, skills: skills? })
    }

    /// The card as JSON of at most so many bytes: skills that find no room are counted in
    /// `skillsLeftOut`, and are in the document. `None` when there is no room even without skills.
    pub fn statement(&self, limit: usize) -> Option<String> {
        let room = limit.checked_sub(self.text(0).len())?;
        let mut length = 0;
        let fits = |skill: &&Value| {
            length += skill.to_string().len() + ",".len();
            length <= room
        };
        let kept = self.skills.iter().take_while(fits).count();
        Some(self.text(kept))
    }

    fn text(&self, kept: usize) -> String {
        let mut statement = self.summary.clone();
        statement["skills"] = json!(self.skills[..kept]);
        if kept < self.skills.len() {
            statement["skillsLeftOut"] = json!(self.skills.len() - kept);
        }
        statement.to_string()
    }
}

fn modes(card: &Member<'_>, name: &str) -> Result<Value, Foreign> {
    let modes = card.texts(name)?;
    match modes.is_empty() {
        true => Err(card.wrong(name, "there must be one at least", "add a media type")),
        false => Ok(json!(modes)),
    }
}

fn skill(skill: &Member<'_>) -> Result<Value, Foreign> {
    skill.text("description")?;
    let tags = skill.texts("tags")?;
    if tags.is_empty() {
        return Err(skill.wrong("tags", "there must be one at least", "add a tag"));
    }
    Ok(json!({ "id": skill.text("id")?, "name": skill.text("name")?, "tags": tags }))
}
