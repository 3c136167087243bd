//! A request as Cedar sees it: principal, action, resource, context, and the entities that these
//! lead to. It fits the schema by construction; a test holds it to that.
//!
//! An attribute without values and a claim without issuers say nothing and have no tag. Otherwise
//! "in one of no regions" would pass every rule that looks at each region.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Value,
};

use crate::request::{Amount, Capability, Claims, Execution, Intent, Money, Request, Terms};

/// What Cedar is asked.
pub(crate) struct Question {
    pub(crate) request: cedar_policy::Request,
    pub(crate) entities: Entities,
}

/// Translates a request.
pub(crate) fn question(request: &Request) -> Question {
    let agent = AGENT.uid(&request.agent);
    let action = ACTION.uid(request.action.name());
    let resource = match request.action.intent() {
        Some(intent) => INTENT.uid(&intent.id),
        None => CAPABILITY.uid(&request.capability.id),
    };
    let context = Context::from_pairs(context(request)).expect("names are unique");
    let request_ = cedar_policy::Request::new(agent, action, resource, context, None);
    let entities = Entities::from_entities(entities(request), None);
    Question {
        request: request_.expect("without a schema nothing is checked"),
        entities: entities.expect("ids are unique, and no entity has a parent"),
    }
}

type Fields = Vec<(String, Value)>;

fn context(request: &Request) -> Fields {
    let terms = &request.terms;
    let mut fields = Fields::new();
    let mut put = |name: &str, value| fields.push((name.to_owned(), value));
    put("capability", reference(&CAPABILITY, &request.capability.id));
    for name in ["any_of", "all_of", "none_of"] {
        put(name, reference(&CONDITIONS, name));
    }
    put("resources", reference(&AMOUNTS, "resources"));
    put("at", Value::new_long(request.at));
    if let Some(cost) = &terms.cost {
        put("cost", money(cost));
    }
    if request.action.intent().is_some() {
        for (name, time) in [("duration", terms.duration), ("deadline", terms.deadline)] {
            if let Some(time) = time {
                put(name, Value::new_long(time));
            }
        }
    }
    if let Some(task) = request.action.execution() {
        put("initiator", reference(&AGENT, &task.initiator));
        put("attempt", Value::new_long(task.attempt.into()));
        put("usage", reference(&AMOUNTS, "usage"));
    }
    fields
}

fn entities(request: &Request) -> Vec<Entity> {
    let Terms { any_of, all_of, none_of, resources, .. } = &request.terms;
    let mut entities = vec![
        capability(&request.capability),
        conditions("any_of", any_of),
        conditions("all_of", all_of),
        conditions("none_of", none_of),
        amounts("resources", resources),
    ];
    entities.extend(request.action.intent().map(intent));
    if let Some(Execution { usage, .. }) = request.action.execution() {
        entities.push(amounts("usage", usage));
    }
    entities.extend(request.claims.iter().map(|(agent, claims)| agent_with(agent, claims)));
    entities
}

fn agent_with(id: &str, claims: &Claims) -> Entity {
    let issuers = |issuers: &BTreeSet<String>| {
        Value::new_set(issuers.iter().map(|issuer| reference(&AGENT, issuer)))
    };
    entity(AGENT.uid(id), Fields::new(), stated(claims, issuers))
}

fn capability(capability: &Capability) -> Entity {
    let Capability { id, name, category, tags, side_effects } = capability;
    let fields = vec![
        ("name".into(), text(name)),
        ("category".into(), text(category)),
        ("tags".into(), texts(tags)),
        ("side_effects".into(), texts(side_effects)),
    ];
    entity(CAPABILITY.uid(id), fields, Fields::new())
}

fn intent(intent: &Intent) -> Entity {
    let Intent { id, author, category, priority, privacy, labels } = intent;
    let mut fields = vec![
        ("author".into(), reference(&AGENT, author)),
        ("priority".into(), Value::new_long((*priority).into())),
    ];
    for (name, value) in [("category", category), ("privacy", privacy)] {
        fields.extend(value.as_ref().map(|value| (name.into(), text(value))));
    }
    let labels = labels.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    entity(INTENT.uid(id), fields, labels)
}

fn conditions(id: &str, values: &BTreeMap<String, BTreeSet<String>>) -> Entity {
    entity(CONDITIONS.uid(id), Fields::new(), stated(values, texts))
}

/// The tags of all names that have values.
fn stated(
    values: &BTreeMap<String, BTreeSet<String>>,
    value: impl Fn(&BTreeSet<String>) -> Value,
) -> Fields {
    let stated = values.iter().filter(|(_, values)| !values.is_empty());
    stated.map(|(name, values)| (name.clone(), value(values))).collect()
}

fn amounts(id: &str, amounts: &BTreeMap<String, Amount>) -> Entity {
    let amount = |Amount { amount, unit }: &Amount| quantity(*amount, "unit", unit);
    let tags = amounts.iter().map(|(name, value)| (name.clone(), amount(value))).collect();
    entity(AMOUNTS.uid(id), Fields::new(), tags)
}

fn money(Money { amount, currency }: &Money) -> Value {
    quantity(*amount, "currency", currency)
}

// ------------------------------------------------------------------ values

fn entity(uid: EntityUid, fields: Fields, tags: Fields) -> Entity {
    Entity::new_with_tags(uid, fields, [], tags).expect("values hold no call that could fail")
}

fn quantity(amount: i64, unit_name: &str, unit: &str) -> Value {
    let fields =
        [("amount".to_owned(), Value::new_long(amount)), (unit_name.to_owned(), text(unit))];
    Value::new_record(fields).expect("names are unique")
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn texts(values: &BTreeSet<String>) -> Value {
    Value::new_set(values.iter().map(|value| text(value)))
}

fn reference(kind: &Kind, id: &str) -> Value {
    Value::new_entity_uid(kind.uid(id))
}

/// A type of entities.
struct Kind(LazyLock<EntityTypeName>);

impl Kind {
    fn uid(&self, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.0.clone(), EntityId::new(id))
    }
}

macro_rules! kinds {
    ($($name:ident = $text:literal),*) => {
        $(static $name: Kind = Kind(LazyLock::new(|| $text.parse().expect("is a name")));)*
    };
}

kinds! {
    ACTION = "Action", AGENT = "Agent", AMOUNTS = "Amounts", CAPABILITY = "Capability",
    CONDITIONS = "Conditions", INTENT = "Intent"
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::Schema;

    use crate::policy::SCHEMA;

    /// Everything that a request can say, and nothing that it need not.
    const TERMS: [&str; 2] = [
        r#"{"any_of": {"region": ["eu", "us"], "": []}, "all_of": {"x": ["y"]},
            "none_of": {"z": [""]}, "resources": {"memory": {"amount": -1, "unit": "By"}},
            "cost": {"amount": 9, "currency": "EUR"}, "duration": 1, "deadline": 2}"#,
        "{}",
    ];
    const CLAIMS: [&str; 2] = [r#"{"p": {"k": ["p", "q"]}, "a": {"": []}, "stranger": {}}"#, "{}"];
    const INTENTS: [&str; 2] = [
        r#"{"id": "i", "author": "a", "category": "c", "priority": 4294967295,
            "privacy": "public", "labels": {"l": "m"}}"#,
        r#"{"id": "", "author": ""}"#,
    ];

    fn actions(intent: &str) -> [String; 5] {
        let task = format!(
            r#"{{"intent": {intent}, "initiator": "d", "attempt": 4294967295,
                "usage": {{"energy": {{"amount": 1, "unit": "J"}}}}}}"#
        );
        [
            r#""advertise""#.to_owned(),
            format!(r#"{{"offer": {intent}}}"#),
            format!(r#"{{"start": {task}}}"#),
            format!(r#"{{"continue": {task}}}"#),
            format!(r#"{{"complete": {task}}}"#),
        ]
    }

    #[test]
    fn every_request_fits_the_schema() {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("a schema");
        for (intent, terms, claims) in INTENTS
            .iter()
            .flat_map(|i| TERMS.map(|t| (i, t)))
            .flat_map(|(i, t)| CLAIMS.map(|c| (i, t, c)))
        {
            for action in actions(intent) {
                let text = format!(
                    r#"{{"agent": "p", "action": {action}, "terms": {terms}, "claims": {claims},
                        "capability": {{"id": "c", "name": "n", "category": "", "tags": ["t"]}},
                        "at": -1}}"#
                );
                let asked: Request = serde_json::from_str(&text).expect("a request");
                let Question { request, entities } = question(&asked);
                let context = Context::from_pairs(context(&asked)).expect("a context");
                let again = cedar_policy::Request::new(
                    request.principal().expect("a principal").clone(),
                    request.action().expect("an action").clone(),
                    request.resource().expect("a resource").clone(),
                    context,
                    Some(&schema),
                );
                assert!(again.is_ok(), "{text}: {again:?}");
                let checked = Entities::from_entities(entities, Some(&schema));
                assert!(checked.is_ok(), "{text}: {checked:?}");
            }
        }
    }
}
