//! One version of a policy: its text, parsed, validated and ready to be evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{PolicyId, Schema, ValidationMode, Validator};

use crate::error::{Place, PolicyError};
use crate::limits::MAX_RULE_NAME_BYTES;
use crate::scan;
use crate::stack;

/// The schema of the ledger's requests, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("tally.cedarschema");

/// How far a rule may follow entities from principal, resource and context: to the author of an
/// intent and the claims that the author holds. No rule can ask about an entity that it names
/// itself, so what a request holds is all that an answer depends on.
const MAX_ENTITY_LEVEL: u32 = 2;

/// The rule that a policy without a `permit` ends with.
const PERMIT_THE_REST: &str = "permit (principal, action, resource);";

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(SCHEMA).expect("the schema is part of the program");
    Validator::new(schema)
});

/// A version of a policy; a clone shares everything.
///
/// A policy is one text with one or more rules. By itself it allows a request as Cedar does: no
/// `forbid` applies and some `permit` does. A policy that has no `permit` at all is a list of
/// limits, and allows what it does not forbid.
#[derive(Clone)]
pub struct Policy(Arc<Parsed>);

struct Parsed {
    id: String,
    version: u64,
    text: String,
    text_digest: [u8; 32],
    rules: Vec<Rule>,
    agents: BTreeSet<String>,
    cedar: cedar_policy::PolicySet,
}

/// One `permit` or `forbid` of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its `@id`, or `#1` for the first rule of the text, `#2` for the second …
    pub name: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Where it begins: the line of its first annotation, or of the rule itself.
    pub line: usize,
    /// Its annotations; `@reason("…")` is what people are told when it applies.
    pub annotations: BTreeMap<String, String>,
}

/// What a rule does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids, whatever permits.
    Forbid,
}

impl Policy {
    /// Parses the text of a PolicyUpdate and validates it against [`SCHEMA`].
    ///
    /// `id` names the policy across its versions. Parsing and validation happen here, once;
    /// evaluation only reads.
    ///
    /// # Errors
    /// [`PolicyError`]: the text is too large, no Cedar, or asks for what no request has.
    ///
    /// # Examples
    /// ```
    /// use tally_policy::Policy;
    ///
    /// let text = r#"
    ///     @id("region")
    ///     @reason("work stays in the EU")
    ///     forbid (principal, action, resource) unless {
    ///         context.any_of.hasTag("region") &&
    ///         ["eu-central", "eu-west"].containsAll(context.any_of.getTag("region"))
    ///     };"#;
    /// let policy = Policy::parse("residency", 1, text)?;
    /// assert_eq!(policy.rules()[0].name, "region");
    /// # Ok::<(), tally_policy::PolicyError>(())
    /// ```
    pub fn parse(id: &str, version: u64, text: &str) -> Result<Self, PolicyError> {
        let places = scan::rules(text)?;
        if places.is_empty() {
            return Err(PolicyError::Empty);
        }
        stack::parsing(|| {
            let parsed = places
                .iter()
                .enumerate()
                .map(|(index, place)| parse_rule(text, place, index))
                .collect::<Result<Vec<_>, _>>()?;
            let rules = rules(text, &places, &parsed)?;
            validate(text, &places, &parsed)?;
            Ok(Self(Arc::new(Parsed {
                id: id.to_owned(),
                version,
                text: text.to_owned(),
                text_digest: *blake3::hash(text.as_bytes()).as_bytes(),
                agents: parsed.iter().flat_map(agents).collect(),
                cedar: complete(parsed, &rules),
                rules,
            })))
        })
    }

    /// What names the policy across its versions.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The version.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// The text as it came.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// BLAKE3-256 of the text.
    pub(crate) fn text_digest(&self) -> &[u8; 32] {
        &self.0.text_digest
    }

    /// The rules, in the order of the text.
    pub fn rules(&self) -> &[Rule] {
        &self.0.rules
    }

    /// The ids of all agents that the rules name, as in `Agent::"did:key:…"`. Claims by other
    /// issuers are claims by strangers, which anyone can make; a request may leave them out.
    pub fn agents(&self) -> &BTreeSet<String> {
        &self.0.agents
    }

    pub(crate) fn cedar(&self) -> &cedar_policy::PolicySet {
        &self.0.cedar
    }

    /// The rule of an id that [`rule_id`] made, and its index; none for [`PERMIT_THE_REST`].
    pub(crate) fn rule(&self, id: &PolicyId) -> Option<(usize, &Rule)> {
        let index: usize = AsRef::<str>::as_ref(id).parse().ok()?;
        Some((index, self.0.rules.get(index)?))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("id", &self.0.id)
            .field("version", &self.0.version)
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let key = |policy: &Self| (policy.0.version, policy.0.text_digest);
        key(self) == key(other) && self.id() == other.id()
    }
}

impl Eq for Policy {}

// ------------------------------------------------------------------ Cedar

/// What Cedar calls a rule: its index in the text.
fn rule_id(index: usize) -> PolicyId {
    PolicyId::new(index.to_string())
}

fn parse_rule(
    text: &str,
    place: &Range<usize>,
    index: usize,
) -> Result<cedar_policy::Policy, PolicyError> {
    cedar_policy::Policy::parse(Some(rule_id(index)), &text[place.clone()]).map_err(|errors| {
        let first = errors.iter().next().map(DetailedError::from).unwrap_or_default();
        let place = fault_place(text, place, &first);
        let expected = first.source_locations.into_iter().find_map(|label| label.label);
        PolicyError::Syntax { place, message: first.message, help: first.help.or(expected) }
    })
}

fn rules(
    text: &str,
    places: &[Range<usize>],
    parsed: &[cedar_policy::Policy],
) -> Result<Vec<Rule>, PolicyError> {
    let mut rules = Vec::<Rule>::with_capacity(parsed.len());
    for (index, (range, policy)) in places.iter().zip(parsed).enumerate() {
        let place = Place::of(text, range.start);
        let name = rule_name(index, policy).ok_or(PolicyError::RuleName { place })?;
        if rules.iter().any(|earlier| earlier.name == name) {
            return Err(PolicyError::SameRuleName { place, name });
        }
        let effect = match policy.effect() {
            cedar_policy::Effect::Permit => Effect::Permit,
            cedar_policy::Effect::Forbid => Effect::Forbid,
        };
        let annotations = annotations(policy, place)?;
        rules.push(Rule { name, effect, line: place.line, annotations });
    }
    Ok(rules)
}

/// The rule's `@id`, if it can be one; a name made of its number if it has none.
fn rule_name(index: usize, policy: &cedar_policy::Policy) -> Option<String> {
    match policy.annotation("id") {
        None => Some(format!("#{}", index + 1)),
        Some("") => None,
        Some(name) if name.len() > MAX_RULE_NAME_BYTES || name.starts_with('#') => None,
        Some(name) => Some(name.to_owned()),
    }
}

/// Annotations are read by people, so an escape sequence brings in no character that misleads.
fn annotations(
    policy: &cedar_policy::Policy,
    place: Place,
) -> Result<BTreeMap<String, String>, PolicyError> {
    let plain = |(key, value): (&str, &str)| match value.chars().find(|c| scan::misleads(*c)) {
        None => Ok((key.to_owned(), value.to_owned())),
        Some(found) => Err(PolicyError::Character { place, found }),
    };
    policy.annotations().map(plain).collect()
}

/// Reports the first fault in the order of the text.
fn validate(
    text: &str,
    places: &[Range<usize>],
    parsed: &[cedar_policy::Policy],
) -> Result<(), PolicyError> {
    let set = cedar_set(parsed.to_vec());
    let result = VALIDATOR.validate_with_level(&set, ValidationMode::Strict, MAX_ENTITY_LEVEL);
    let faults = result.validation_errors().map(|error| {
        let index: usize = AsRef::<str>::as_ref(error.policy_id()).parse().unwrap_or_default();
        let fault = DetailedError::from(error);
        let place = fault_place(text, &places[index], &fault);
        // The place says which rule it is.
        let plain = |text: String| text.replace(&format!("for policy `{index}`, "), "");
        (place, plain(fault.message), fault.help.map(plain))
    });
    match faults.min() {
        None => Ok(()),
        Some((place, message, help)) => Err(PolicyError::Schema { place, message, help }),
    }
}

/// Where in the text Cedar sees a fault of a rule; the rule where it does not say.
fn fault_place(text: &str, rule: &Range<usize>, fault: &DetailedError) -> Place {
    let offset = fault.source_locations.first().map_or(0, |label| label.loc.start);
    Place::of(text, rule.end.min(rule.start + offset))
}

/// The rules, and the one that permits the rest where none permits.
fn complete(mut parsed: Vec<cedar_policy::Policy>, rules: &[Rule]) -> cedar_policy::PolicySet {
    if rules.iter().all(|rule| rule.effect == Effect::Forbid) {
        let rest = cedar_policy::Policy::parse(Some(PolicyId::new("rest")), PERMIT_THE_REST);
        parsed.push(rest.expect("is Cedar"));
    }
    cedar_set(parsed)
}

fn cedar_set(policies: Vec<cedar_policy::Policy>) -> cedar_policy::PolicySet {
    cedar_policy::PolicySet::from_policies(policies).expect("indices are unique")
}

fn agents(policy: &cedar_policy::Policy) -> impl Iterator<Item = String> + use<> {
    let literals = policy.entity_literals().into_iter();
    literals
        .filter(|literal| AsRef::<str>::as_ref(&literal.type_name().to_string()) == "Agent")
        .map(|agent| agent.id().unescaped().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_complete_and_without_warnings() {
        let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).expect("a schema");
        assert_eq!(warnings.count(), 0);
        assert_eq!(schema.request_envs().count(), 5);
    }
}
