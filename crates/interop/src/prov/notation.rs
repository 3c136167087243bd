//! PROV-N: what people read.

use std::fmt::Write as _;

use super::{Document, Record, Value};

const STRINGS_GROW: &str = "writing to a string succeeds";

impl Document {
    /// The document in PROV-N.
    pub fn to_notation(&self) -> String {
        let mut text = String::from("document\n");
        for (prefix, namespace) in &self.prefixes {
            writeln!(text, "  prefix {prefix} <{namespace}>").expect(STRINGS_GROW);
        }
        text.push('\n');
        for record in &self.records {
            writeln!(text, "  {}", expression(record)).expect(STRINGS_GROW);
        }
        text.push_str("endDocument\n");
        text
    }
}

fn expression(record: &Record) -> String {
    let mut terms: Vec<String> = Vec::new();
    let id = record.id.as_ref().map(ToString::to_string);
    if record.kind.is_element() {
        terms.extend(id.clone());
    }
    let parts = record.parts.iter().map(|part| part.clone().unwrap_or_else(|| "-".to_owned()));
    terms.extend(parts);
    if !record.attributes.is_empty() {
        let attributes = record.attributes.iter();
        let attributes = attributes.map(|(name, value)| format!("{name}={}", literal(value)));
        terms.push(format!("[{}]", attributes.collect::<Vec<_>>().join(", ")));
    }
    let before = match id {
        Some(id) if !record.kind.is_element() => format!("{id}; "),
        _ => String::new(),
    };
    format!("{}({before}{})", record.kind.keyword(), terms.join(", "))
}

/// [35] ConvenienceNotation and [36] TypedLiteral of PROV-N.
fn literal(value: &Value) -> String {
    match value {
        Value::Name(name) => format!("'{name}'"),
        Value::Literal { text, datatype: Some(datatype), .. } => {
            format!("{} %% {datatype}", quoted(text))
        }
        Value::Literal { text, language: Some(language), .. } => {
            format!("{}@{language}", quoted(text))
        }
        Value::Literal { text, .. } => quoted(text),
    }
}

/// A string literal as PROV-N and Turtle both have it: one line, escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
