//! Compatibility, keyword by keyword.

use serde_json::{Value, json};
use tally_schema::Compatibility;

use crate::support::compared;

#[track_caller]
fn within(narrow: Value, wide: Value) {
    assert_eq!(compared(&narrow, &wide), Compatibility::Compatible, "{narrow} in {wide}");
}

#[track_caller]
fn not_within(narrow: Value, wide: Value) {
    let answer = compared(&narrow, &wide);
    assert!(matches!(answer, Compatibility::Incompatible { .. }), "{narrow} in {wide}: {answer}");
}

/// The first is within the second, and not the other way round.
#[track_caller]
fn strictly(narrow: Value, wide: Value) {
    within(narrow.clone(), wide.clone());
    not_within(wide, narrow);
}

/// Each is within the other, whatever their form.
#[track_caller]
fn equivalent(a: Value, b: Value) {
    within(a.clone(), b.clone());
    within(b, a);
}

#[track_caller]
fn unknown(narrow: Value, wide: Value, because: &str) {
    let answer = compared(&narrow, &wide).to_string();
    assert!(answer.contains("unknown") && answer.contains(because), "{answer}");
}

#[test]
fn types() {
    strictly(json!({"type": "integer"}), json!({"type": "number"}));
    strictly(json!({"type": "string"}), json!({"type": ["string", "null"]}));
    strictly(json!({"type": "string"}), json!(true));
    strictly(json!(false), json!({"type": "string"}));
    not_within(json!({"type": "string"}), json!({"type": "integer"}));
    equivalent(json!({"type": ["integer", "number"]}), json!({"type": "number"}));
    equivalent(
        json!({"type": ["null", "boolean", "object", "array", "number", "string"]}),
        json!({}),
    );
    equivalent(json!({"type": "integer"}), json!({"type": "number", "multipleOf": 1}));
    equivalent(json!({"type": "boolean"}), json!({"enum": [true, false]}));
}

#[test]
fn numbers() {
    strictly(json!({"minimum": 2}), json!({"minimum": 1}));
    strictly(json!({"maximum": 5}), json!({"maximum": 10}));
    strictly(json!({"exclusiveMinimum": 1}), json!({"minimum": 1}));
    strictly(json!({"exclusiveMaximum": 1}), json!({"maximum": 1}));
    equivalent(
        json!({"type": "integer", "exclusiveMinimum": 1}),
        json!({"type": "integer", "minimum": 2}),
    );
    strictly(
        json!({"type": "number", "exclusiveMinimum": 1}),
        json!({"type": "number", "exclusiveMinimum": 0.5}),
    );
    strictly(json!({"multipleOf": 6}), json!({"multipleOf": 3}));
    strictly(json!({"multipleOf": 1}), json!({"multipleOf": 0.5}));
    not_within(json!({"multipleOf": 0.3}), json!({"multipleOf": 0.2}));
    equivalent(json!({"allOf": [{"multipleOf": 2}, {"multipleOf": 3}]}), json!({"multipleOf": 6}));
    within(
        json!({"type": "integer", "minimum": 7, "maximum": 9, "multipleOf": 5}),
        json!({"type": "string"}),
    );
    equivalent(
        json!({"minimum": 9_007_199_254_740_993_u64}),
        json!({"minimum": 9_007_199_254_740_993_u64, "title": "t"}),
    );
    strictly(
        json!({"maximum": 9_007_199_254_740_992_u64}),
        json!({"maximum": 9_007_199_254_740_993_u64}),
    );
    strictly(
        json!({"type": "integer", "maximum": 10.7}),
        json!({"type": "integer", "maximum": 11}),
    );
    equivalent(
        json!({"type": "integer", "maximum": 10.7}),
        json!({"type": "integer", "maximum": 10}),
    );
    equivalent(json!({"type": "number", "minimum": 3, "maximum": 3}), json!({"const": 3.0}));
}

#[test]
fn values() {
    strictly(json!({"enum": ["a", "b"]}), json!({"enum": ["b", "c", "a"]}));
    strictly(json!({"const": 1}), json!({"enum": [2, 1.0]}));
    within(json!({"enum": [1, 2, 3]}), json!({"type": "integer", "minimum": 1, "maximum": 3}));
    equivalent(json!({"enum": [1, 2, 3]}), json!({"type": "integer", "minimum": 1, "maximum": 3}));
    not_within(json!({"type": "integer", "minimum": 1, "maximum": 4}), json!({"enum": [1, 2, 3]}));
    within(json!({"enum": ["eur", "usd"]}), json!({"type": "string", "pattern": "^[a-z]{3}$"}));
    not_within(json!({"enum": ["eur", "US"]}), json!({"type": "string", "pattern": "^[a-z]{3}$"}));
    equivalent(json!({"const": {"a": [1, 2]}}), json!({"enum": [{"a": [1.0, 2]}]}));
    strictly(json!({"not": {"enum": ["a", "b"]}}), json!({"not": {"const": "b"}}));
    within(json!({"enum": []}), json!(false));
}

#[test]
fn strings() {
    strictly(json!({"type": "string", "minLength": 3}), json!({"type": "string", "minLength": 2}));
    strictly(json!({"maxLength": 3}), json!({"maxLength": 4}));
    equivalent(json!({"type": "string", "maxLength": 0}), json!({"const": ""}));
    within(json!({"type": "string", "minLength": 4, "maxLength": 3}), json!(false));
    strictly(json!({"pattern": "^[a-z]+$"}), json!({"pattern": "^[a-z0-9]+$"}));
    equivalent(json!({"pattern": "^a|^b"}), json!({"pattern": "^[ab]"}));
    equivalent(
        json!({"type": "string", "pattern": "^[a-z]{2,4}$"}),
        json!({"type": "string", "pattern": "^[a-z]*$", "minLength": 2, "maxLength": 4}),
    );
    not_within(json!({"type": "string"}), json!({"pattern": "^\\S+$"}));
    within(json!({"type": "string", "pattern": "^é$"}), json!({"maxLength": 1}));
    equivalent(json!({"type": "string", "pattern": "^[ab]$"}), json!({"enum": ["a", "b"]}));
    equivalent(json!({"format": "email"}), json!({}));
    strictly(
        json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
        json!({"type": "string", "minLength": 10, "maxLength": 10}),
    );
}

#[test]
fn lists() {
    strictly(json!({"items": {"type": "integer"}}), json!({"items": {"type": "number"}}));
    strictly(json!({"minItems": 2}), json!({"minItems": 1}));
    strictly(json!({"maxItems": 2}), json!({"maxItems": 3}));
    strictly(
        json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
        json!({"prefixItems": [{"type": "string"}]}),
    );
    within(
        json!({"type": "array", "items": {"type": "integer"}, "minItems": 1}),
        json!({"contains": {"type": "number"}}),
    );
    strictly(json!({"contains": {"const": 1}}), json!({"contains": {"type": "integer"}}));
    strictly(
        json!({"contains": {"const": 1}, "minContains": 2}),
        json!({"contains": {"const": 1}}),
    );
    equivalent(json!({"contains": {"const": 1}, "minContains": 0}), json!({}));
    equivalent(json!({"type": "array", "contains": true}), json!({"type": "array", "minItems": 1}));
    not_within(
        json!({"contains": {"const": 1}}),
        json!({"contains": {"const": 1}, "maxContains": 1}),
    );
    strictly(json!({"uniqueItems": true}), json!({}));
    within(json!({"maxItems": 1}), json!({"uniqueItems": true}));
    within(
        json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true}),
        json!({"maxItems": 2}),
    );
    not_within(
        json!({"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": true}),
        json!({"maxItems": 2}),
    );
    equivalent(
        json!({"type": "array", "prefixItems": [true, false]}),
        json!({"type": "array", "maxItems": 1}),
    );
    equivalent(json!({"type": "array", "items": false}), json!({"const": []}));
    within(
        json!({"type": "array", "prefixItems": [true, false], "uniqueItems": true, "minItems": 2}),
        json!(false),
    );
    // [2, 1] is overlooked, but not taken to be absent.
    unknown(
        json!({"type": "array", "prefixItems": [{"enum": [1, 2]}, {"const": 1}], "uniqueItems": true, "minItems": 2}),
        json!(false),
        "no list was found",
    );
}

#[test]
fn objects() {
    strictly(json!({"required": ["a", "b"]}), json!({"required": ["a"]}));
    strictly(
        json!({"properties": {"a": {"type": "integer"}}}),
        json!({"properties": {"a": {"type": "number"}}}),
    );
    strictly(
        json!({"properties": {"a": {}}, "additionalProperties": false}),
        json!({"properties": {"a": {}, "b": {}}, "additionalProperties": false}),
    );
    strictly(
        json!({"additionalProperties": {"type": "integer"}}),
        json!({"properties": {"a": {"type": "number"}}, "additionalProperties": {"type": "integer"}}),
    );
    not_within(json!({"type": "object"}), json!({"additionalProperties": false}));
    strictly(json!({"minProperties": 2}), json!({"minProperties": 1}));
    within(
        json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
        json!({"maxProperties": 1}),
    );
    strictly(
        json!({"patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"patternProperties": {"^x-a": {"type": "number"}}}),
    );
    within(
        json!({"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": false}),
        json!({"propertyNames": {"pattern": "^x"}}),
    );
    strictly(
        json!({"propertyNames": {"maxLength": 3}}),
        json!({"propertyNames": {"maxLength": 4}}),
    );
    equivalent(
        json!({"type": "object", "propertyNames": {"enum": ["a"]}, "minProperties": 1}),
        json!({"type": "object", "properties": {"a": true}, "additionalProperties": false, "required": ["a"]}),
    );
    equivalent(json!({"type": "object", "propertyNames": false}), json!({"const": {}}));
    within(
        json!({"type": "object", "propertyNames": {"enum": ["a", "b"]}, "minProperties": 3}),
        json!(false),
    );
    strictly(
        json!({"dependentRequired": {"a": ["b", "c"]}}),
        json!({"dependentRequired": {"a": ["b"]}}),
    );
    within(json!({"required": ["b"]}), json!({"dependentRequired": {"a": ["b"]}}));
    equivalent(
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
    );
    // Two members are needed, and each of two names can be either.
    let values = json!({"type": ["string", "integer"]});
    let narrow = json!({"type": "object", "propertyNames": {"pattern": "^[ab]$"}, "additionalProperties": values});
    let texts = json!({"additionalProperties": {"type": "string"}});
    let numbers =
        json!({"patternProperties": {"^a$": true}, "additionalProperties": {"type": "integer"}});
    not_within(narrow.clone(), json!({"anyOf": [texts, numbers]}));
    not_within(narrow, json!({"anyOf": [numbers, texts]}));
    // A property that can't be there.
    equivalent(
        json!({"type": "object", "properties": {"a": false}}),
        json!({"type": "object", "not": {"required": ["a"]}}),
    );
}

#[test]
fn combinations() {
    equivalent(
        json!({"allOf": [{"type": "integer"}, {"minimum": 3}]}),
        json!({"type": "integer", "minimum": 3}),
    );
    strictly(json!({"type": "string"}), json!({"anyOf": [{"type": "string"}, {"type": "null"}]}));
    within(
        json!({"anyOf": [{"type": "integer", "maximum": 0}, {"type": "integer", "minimum": 1}]}),
        json!({"type": "integer"}),
    );
    equivalent(
        json!({"anyOf": [{"type": "integer", "maximum": 0}, {"type": "integer", "minimum": 1}]}),
        json!({"type": "integer"}),
    );
    not_within(
        json!({"type": "integer"}),
        json!({"oneOf": [{"type": "integer", "maximum": 1}, {"type": "integer", "minimum": 1}]}),
    );
    equivalent(
        json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"type": ["string", "null"]}),
    );
    equivalent(json!({"not": {"not": {"minimum": 3}}}), json!({"minimum": 3}));
    equivalent(
        json!({"type": "integer", "not": {"minimum": 3}}),
        json!({"type": "integer", "maximum": 2}),
    );
    strictly(
        json!({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "null"}}),
        json!({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "null"}}),
    );
    equivalent(
        json!({"if": {"type": "string"}, "then": {"minLength": 2}}),
        json!({"minLength": 2}),
    );
}

fn variants(radius: &Value, extra: &Value) -> Value {
    json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": radius}, "required": ["kind", "radius"], "additionalProperties": false},
        {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number", "exclusiveMinimum": 0}}, "required": ["kind", "side"], "additionalProperties": false},
        {"type": "object", "properties": {"kind": {"const": "text"}, "value": extra}, "required": ["kind"], "additionalProperties": false},
    ]})
}

#[test]
fn variants_with_a_tag() {
    let small = json!({"type": "number", "maximum": 5, "exclusiveMinimum": 0});
    let any = json!({"type": "number"});
    strictly(
        variants(&small, &json!({"type": "string"})),
        variants(&any, &json!({"type": "string"})),
    );
    strictly(
        variants(&small, &json!({"type": "string", "maxLength": 5})),
        variants(&any, &json!({"type": ["string", "null"]})),
    );
}

fn tree(label: Value) -> Value {
    json!({
        "$defs": {"node": {
            "type": "object",
            "properties": {"label": label, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["label"],
            "additionalProperties": false,
        }},
        "$ref": "#/$defs/node",
    })
}

#[test]
fn recursion() {
    strictly(tree(json!({"type": "integer"})), tree(json!({"type": "number"})));
    equivalent(tree(json!({"enum": [1]})), tree(json!({"const": 1})));
    // Nothing fits what must contain itself.
    within(
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
        json!(false),
    );
    // The second item fits only what the first turned out to hold after it was looked into.
    not_within(
        json!({
            "$defs": {
                "a": {"anyOf": [{"$ref": "#/$defs/list-of-b"}, {"type": "object"}]},
                "list-of-a": {"type": "array", "prefixItems": [{"$ref": "#/$defs/a"}], "minItems": 1},
                "list-of-b": {"type": "array", "prefixItems": [{"$ref": "#/$defs/list-of-a"}], "minItems": 1},
            },
            "type": "array",
            "prefixItems": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/list-of-a"}],
            "minItems": 2,
        }),
        json!(false),
    );
    // The same, said with other names.
    let list = |name: &str| {
        json!({
            "$defs": {name: {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"next": {"$ref": format!("#/$defs/{name}")}}, "required": ["next"]}]}},
            "$ref": format!("#/$defs/{name}"),
        })
    };
    equivalent(list("a"), list("b"));
}

#[test]
fn unevaluated() {
    equivalent(
        json!({"type": "object", "properties": {"a": true}, "unevaluatedProperties": false}),
        json!({"type": "object", "properties": {"a": true}, "additionalProperties": false}),
    );
    let base = json!({"properties": {"a": true}, "patternProperties": {"^x": true}});
    equivalent(
        json!({"$defs": {"base": base}, "$ref": "#/$defs/base", "allOf": [{"properties": {"b": true}}], "unevaluatedProperties": {"type": "null"}}),
        json!({"properties": {"a": true, "b": true}, "patternProperties": {"^x": true}, "additionalProperties": {"type": "null"}}),
    );
    equivalent(
        json!({"allOf": [{"additionalProperties": {"type": "null"}}], "unevaluatedProperties": false}),
        json!({"additionalProperties": {"type": "null"}}),
    );
    equivalent(
        json!({"allOf": [{"prefixItems": [true, true]}], "prefixItems": [true], "unevaluatedItems": false}),
        json!({"maxItems": 2}),
    );
    equivalent(json!({"allOf": [{"items": true}], "unevaluatedItems": false}), json!({}));
    // What is unevaluated depends on the value.
    let closed = json!({"anyOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["b"]}], "unevaluatedProperties": false});
    let mut same = closed.clone();
    same["title"] = json!("the same");
    within(closed.clone(), same);
    not_within(json!({"type": "object"}), closed.clone());
    not_within(closed.clone(), json!({"required": ["b"]}));
    unknown(closed, json!({"propertyNames": {"enum": ["a"]}}), "unevaluated");
}
