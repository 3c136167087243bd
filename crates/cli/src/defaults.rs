//! What a person need not write in a message, because it follows from the rest.
//!
//! | where | what is filled in |
//! |---|---|
//! | a schema: `"inline"` as text or as JSON itself | the text, its digest, the dialect |
//! | a data reference with `"inline"` | its digest and size |
//! | `task_start` | `attempt`: 1 |
//! | `policy_update` | `policy_version`: 1 |

use serde_json::{Map, Value, json};
use tally_protocol::Digest;

/// Deepest that messages are looked into; what lies deeper is no field of a message.
const MAX_DEPTH: usize = 16;

/// Fills in what follows from the rest; what is there already is left alone.
pub(crate) fn fill_in(message: &mut Value) {
    walk(message, MAX_DEPTH);
}

fn walk(value: &mut Value, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, depth)),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), value) {
                    ("input_schema" | "output_schema", Value::Object(schema)) => {
                        fill_schema(schema)
                    }
                    ("inputs" | "outputs" | "evidence", Value::Array(list)) => {
                        list.iter_mut().filter_map(Value::as_object_mut).for_each(fill_data);
                    }
                    ("task_start", Value::Object(start)) => absent(start, "attempt", 1.into()),
                    ("policy_update", Value::Object(update)) => {
                        absent(update, "policy_version", 1.into());
                    }
                    _ => {}
                }
            }
            fields.iter_mut().for_each(|(_, value)| walk(value, depth));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn absent(fields: &mut Map<String, Value>, name: &str, value: Value) {
    fields.entry(name).or_insert(value);
}

fn fill_schema(schema: &mut Map<String, Value>) {
    if let Some(text) = inline_text(schema) {
        let digest = Digest::of(text.as_bytes()).to_string();
        absent(schema, "digest", digest.into());
        absent(schema, "dialect", "json_schema".into());
    }
}

fn fill_data(data: &mut Map<String, Value>) {
    if let Some(text) = inline_text(data) {
        absent(data, "digest", Digest::of(text.as_bytes()).to_string().into());
        absent(data, "size", json!(text.len()));
    }
}

/// The inline document as text; JSON that is written out becomes its text.
fn inline_text(fields: &mut Map<String, Value>) -> Option<String> {
    let inline = fields.get_mut("inline")?;
    if !matches!(inline, Value::String(_)) {
        *inline = Value::String(inline.to_string());
    }
    inline.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tally_protocol::Message;

    fn filled(mut value: Value) -> Message {
        fill_in(&mut value);
        serde_json::from_value(value).expect("a message")
    }

    #[test]
    fn a_schema_is_its_document() {
        let schema = r#"{"type":"string"}"#;
        let written = |inline: Value| {
            filled(
                json!({"intent": {"open": {"outcome": "x", "output_schema": {"inline": inline}}}}),
            )
        };
        let Message::Intent(tally_protocol::message::Intent::Open(terms)) =
            written(json!({"type": "string"}))
        else {
            panic!("an intent");
        };
        let expected = tally_protocol::parts::Schema::inline(schema).expect("short");
        assert_eq!(terms.output_schema, Some(expected));
        assert_eq!(written(json!({"type": "string"})), written(schema.into()));
        let named = json!({"inline": {"type": "string"}, "uri": "https://schemas.example/1"});
        let open = json!({"outcome": "x", "output_schema": named});
        filled(json!({"intent": {"open": open}}));
    }

    #[test]
    fn data_at_hand_has_its_digest_and_what_is_stated_stays() {
        let data = |extra: Value| {
            let mut data =
                json!({"uri": "mem:x", "inline": "{}", "media_type": "application/json"});
            data.as_object_mut()
                .expect("an object")
                .extend(extra.as_object().expect("an object").clone());
            json!({"intent": {"open": {"outcome": "x", "inputs": [data]}}})
        };
        let Message::Intent(tally_protocol::message::Intent::Open(terms)) = filled(data(json!({})))
        else {
            panic!("an intent");
        };
        assert_eq!((terms.inputs[0].size, terms.inputs[0].digest), (2, Digest::of(b"{}")));
        let wrong = Digest::of(b"other").to_string();
        let mut stated = data(json!({"digest": wrong}));
        fill_in(&mut stated);
        assert!(serde_json::from_value::<Message>(stated).is_ok(), "the ledger refuses it, not we");
    }

    #[test]
    fn first_attempts_and_versions_are_one() {
        let id = "00".repeat(32);
        let start = filled(json!({"task_start": {"intent": id, "offer": id}}));
        let Message::TaskStart(start) = start else { panic!("a task") };
        assert_eq!(start.attempt, 1);
    }
}
