//! JSON as this crate reads it: no name twice, no number that would change when it is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::decimal::Decimal;
use crate::error::SchemaError;
use crate::limits::{MAX_BYTES, MAX_DEPTH, MAX_DIGITS, MAX_EXPONENT};

/// Reads a document strictly.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, SchemaError> {
    if bytes.len() > MAX_BYTES {
        return Err(SchemaError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| SchemaError::Json(format!("not UTF-8: {error}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    let mut value = value.map_err(|error| SchemaError::Json(error.to_string()))?;
    // Answers name the first of several findings: they must not depend on the order of members.
    value.sort_all_objects();
    match numbers(text).find(|token| !is_kept(token)) {
        Some(token) => Err(SchemaError::Number { token: token.to_owned() }),
        None => Ok(value),
    }
}

/// One value that is `depth` levels down.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inside)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("the name {name:?} stands twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// The number tokens of a text that is JSON.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if let Some(string) = rest.strip_prefix('"') {
                rest = after_string(string);
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            rest = after;
            return Some(token);
        }
    })
}

/// What follows the closing quotation mark.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or("", |end| &text[end + 1..])
}

/// Whether the number is the same after it was read: a 64-bit integer, or few enough digits.
fn is_kept(token: &str) -> bool {
    if token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok() {
        return true;
    }
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|&digit| digit == b'0');
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let power = exponent.parse::<i64>().map(|exponent| exponent - fraction as i64);
    digits.count() <= MAX_DIGITS
        && power.is_ok_and(|power| power.unsigned_abs() <= u64::from(MAX_EXPONENT))
}

/// Equality of JSON Schema: numbers by their value, objects in any order.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || Decimal::of(a) == Decimal::of(b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

/// A text that two values share exactly when they are [`equal`].
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&Decimal::of(number).to_ratio()),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in members {
                write_canonical(&Value::from(name.as_str()), out);
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

/// One step of a JSON pointer (RFC 6901).
pub(crate) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(text: &str, because: &str) {
        let error = parse(text.as_bytes()).expect_err("refused").to_string();
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn a_name_stands_once() {
        refused(r#"{"a": {"b": 1, "b": 1}}"#, r#"the name "b" stands twice"#);
        refused(r#"{"a": 1, "\u0061": 1}"#, r#"the name "a" stands twice"#);
    }

    #[test]
    fn nothing_follows_the_document() {
        refused("{} {}", "trailing characters");
        refused("", "EOF");
        refused("[1,]", "trailing comma");
        refused(r#""\ud800""#, "hex escape");
        let error = parse(b"\"\xff\"").expect_err("refused").to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn depth_and_size_have_limits() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        parse(nested(MAX_DEPTH).as_bytes()).expect("at the limit");
        refused(&nested(MAX_DEPTH + 1), "nested more than 100 levels");
        refused(&nested(100_000), "nested more than 100 levels");
        let spaces = " ".repeat(MAX_BYTES);
        refused(&format!("{spaces}1"), "262144");
        parse(format!("{}1", &spaces[1..]).as_bytes()).expect("at the limit");
    }

    #[test]
    fn numbers_that_would_change_are_refused() {
        for kept in ["18446744073709551615", "-9223372036854775808", "0.1", "1e22", "1E-22", "-0.0"]
        {
            parse(kept.as_bytes()).unwrap_or_else(|error| panic!("{kept}: {error}"));
        }
        for changed in
            ["18446744073709551616", "0.1234567890123456", "1e23", "1.5e-22", "1e-99999999999999"]
        {
            refused(changed, changed);
            refused(&format!(r#"{{"a": ["x\"5\\", {changed}]}}"#), changed);
        }
        parse(br#"{"a": "1e999 \" 1e999", "b": "\\"}"#).expect("no number");
    }

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(equal(&json!([1, {"a": 1e2, "b": 0}]), &json!([1.0, {"b": -0.0, "a": 100}])));
        assert!(!equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992.0)));
        for (a, b) in
            [(json!(1), json!("1")), (json!([1]), json!([1, 1])), (json!(0), json!(false))]
        {
            assert!(!equal(&a, &b), "{a} {b}");
            assert_ne!(canonical(&a), canonical(&b));
        }
        assert_eq!(canonical(&json!({"b": 1.0, "a": []})), canonical(&json!({"a": [], "b": 1})));
    }
}
