//! How fast schemas are read, judged and compared: `cargo run --release -p tally-schema --example rates`

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_schema::{Compatibility, Schema, compare};

const MEASURE_FOR: Duration = Duration::from_secs(1);

/// What a search agent may offer to take.
fn search(most: u32) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Search",
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 500},
            "limit": {"type": "integer", "minimum": 1, "maximum": most, "default": 10},
            "language": {"enum": ["en", "de", "fr"]},
            "filters": {
                "type": "array",
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string", "pattern": "^[a-z_]+$"},
                        "operator": {"enum": ["eq", "lt", "gt"]},
                        "value": {"type": ["string", "number", "boolean", "null"]},
                    },
                    "required": ["field", "operator"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["query"],
        "additionalProperties": false,
    })
}

fn request() -> Value {
    let filter = json!({"field": "depth_m", "operator": "lt", "value": 12.5});
    json!({"query": "harbour soundings", "limit": 50, "language": "de", "filters": [filter, filter]})
}

fn rate<T>(what: &str, mut work: impl FnMut() -> T) {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < MEASURE_FOR {
        black_box(work());
        count += 1;
    }
    println!("{what:<42} {:>9.0} a second", f64::from(count) / start.elapsed().as_secs_f64());
}

fn once(what: &str, narrow: &Value, wide: &Value) {
    let read = |document: &Value| Schema::parse(document.to_string()).expect("a schema");
    let (narrow, wide) = (read(narrow), read(wide));
    let start = Instant::now();
    let answer = match compare(&narrow, &wide) {
        Compatibility::Compatible => "compatible",
        Compatibility::Incompatible { .. } => "incompatible",
        Compatibility::Unknown { .. } => "unknown",
    };
    println!("{what:<42} {:>9.1} ms, {answer}", start.elapsed().as_secs_f64() * 1e3);
}

fn main() {
    let document = search(100).to_string();
    let read = |most| Schema::parse(search(most).to_string()).expect("a schema");
    let (schema, same, wider) = (read(100), read(100), read(200));
    let request = request();
    println!("a schema of {} bytes, a value of {}", document.len(), request.to_string().len());
    rate("parse", || Schema::parse(&document));
    rate("validate", || schema.validate(&request));
    rate("compare, the same", || compare(&schema, &same));
    rate("compare, compatible", || compare(&schema, &wider));
    rate("compare, incompatible", || compare(&wider, &schema));

    println!();
    let choice = |i: usize| {
        json!({"anyOf": [
            {"required": [format!("a{i}")], "properties": {"x": {"multipleOf": i + 2}}},
            {"required": [format!("b{i}")], "properties": {"x": {"multipleOf": i + 3}}},
        ]})
    };
    let choices = |range: std::ops::Range<usize>| -> Vec<Value> { range.map(choice).collect() };
    once(
        "hostile: 60 choices against 31",
        &json!({"type": "object", "allOf": choices(0..60)}),
        &json!({"allOf": choices(30..61), "minProperties": 30}),
    );
    once(
        "hostile: automata of 2^60 states",
        &json!({"type": "string", "pattern": "(a|b)*a(a|b){60}"}),
        &json!({"type": "string", "pattern": "(a|b)*b(a|b){61}c"}),
    );
    let multiples: Vec<Value> = (0..12).map(|i| json!({"multipleOf": 1_000_003 + 2 * i})).collect();
    once(
        "hostile: a multiple of 12 numbers",
        &json!({"type": "integer", "minimum": 1, "allOf": multiples}),
        &json!({"maximum": 7}),
    );
    let properties = |most: u64| -> Value {
        let all = (0..2_000).map(|i| (format!("p{i}"), json!({"minimum": i, "maximum": most})));
        json!({"type": "object", "properties": all.collect::<Value>(), "additionalProperties": false})
    };
    once("2,000 properties, each wider", &properties(3_000), &properties(4_000));
}
