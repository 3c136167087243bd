//! Which documents are schemas, and what a value that does not fit is told.

use serde_json::{Value, json};
use tally_schema::{Invalid, Schema, limits};

use crate::support::schema;

#[track_caller]
fn refused(document: &Value, expect: &str) {
    let error = Schema::parse(document.to_string()).expect_err("refused").to_string();
    assert!(error.contains(expect), "{error}");
}

#[track_caller]
fn misfits(document: &Value, value: &Value, expect: &[&str]) {
    let Err(Invalid::Misfits(misfits)) = schema(document).validate(value) else {
        panic!("{value} fits {document}");
    };
    let found: Vec<String> = misfits.iter().map(ToString::to_string).collect();
    assert_eq!(found, expect);
}

#[test]
fn keywords_have_the_values_of_the_metaschema() {
    let wrong = [
        ("type", json!("int")),
        ("type", json!([])),
        ("type", json!(["null", "null"])),
        ("enum", json!(1)),
        ("minimum", json!("1")),
        ("exclusiveMinimum", json!(true)),
        ("multipleOf", json!(0)),
        ("minLength", json!(-1)),
        ("minItems", json!(0.5)),
        ("minContains", json!("1")),
        ("pattern", json!(1)),
        ("items", json!([true])),
        ("prefixItems", json!([])),
        ("uniqueItems", json!(1)),
        ("properties", json!([])),
        ("properties", json!({"a": 1})),
        ("patternProperties", json!({"a": null})),
        ("required", json!(["a", "a"])),
        ("required", json!(true)),
        ("dependentRequired", json!({"a": [1]})),
        ("allOf", json!([])),
        ("not", json!([])),
        ("then", json!(1)),
        ("$defs", json!({"a": 1})),
        ("$ref", json!(1)),
        ("$id", json!("a#b")),
        ("$anchor", json!("1a")),
        ("title", json!(1)),
        ("$vocabulary", json!({"a": 1})),
        ("readOnly", json!(1)),
        ("contentSchema", json!(1)),
    ];
    for (keyword, value) in wrong {
        let document = json!({"properties": {"p": {keyword: value}}});
        assert!(jsonschema::meta::validate(&document).is_err(), "{document} is a schema");
        refused(&document, &format!("at \"/properties/p/{keyword}"));
    }
    let right = json!({"minLength": 2.0, "enum": [], "required": [], "x-note": 1, "format": "x"});
    assert!(jsonschema::meta::validate(&right).is_ok());
    schema(&right);
}

#[test]
fn other_meanings_are_refused() {
    refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "draft-07");
    schema(&json!({"$schema": "https://json-schema.org/draft/2020-12/schema"}));
    refused(&json!({"items": {"$dynamicRef": "#a"}}), "use $ref");
    refused(&json!({"dependencies": {}}), "dependentRequired");
    refused(&json!({"pattern": "(?=a)"}), "look-around");
    refused(&json!({"patternProperties": {"(a)\\1": true}}), "backreferences");
    refused(&json!({"$ref": "https://example.com/schema"}), "nothing is fetched");
    refused(&json!({"$ref": "#/$defs/none"}), "nothing is fetched");
    refused(&json!({"$ref": "#none"}), "nothing is fetched");
    refused(&json!({"$defs": {"a": {"$id": "relative"}}}), "the whole URI");
    refused(&json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}), "is taken");
}

#[test]
fn references_lead_to_schemas_of_the_document() {
    for (reference, named) in [
        ("#/$defs/a~1b%25", json!({"a/b%": {"type": "null"}})),
        ("#point", json!({"x": {"$anchor": "point", "type": "null"}})),
        ("https://example.com/x", json!({"x": {"$id": "https://example.com/x", "type": "null"}})),
        (
            "https://example.com/x#/$defs/y",
            json!({"x": {"$id": "https://example.com/x#", "$defs": {"y": {"$ref": "#/$defs/z"}, "z": {"type": "null"}}}}),
        ),
    ] {
        let schema = schema(&json!({"$ref": reference, "$defs": named}));
        assert_eq!(schema.validate(&Value::Null), Ok(()), "{reference}");
        assert!(schema.validate(&json!(1)).is_err(), "{reference}");
    }
}

#[test]
fn a_schema_that_never_looks_inside_is_refused() {
    refused(&json!({"$ref": "#"}), "without end");
    refused(
        &json!({"$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"if": {"$ref": "#/$defs/a"}}}}),
        "without end",
    );
    schema(&json!({"properties": {"a": {"$ref": "#"}}}));
}

fn chain(length: usize) -> Value {
    let link = |i: usize| (i.to_string(), json!({"$ref": format!("#/$defs/{}", i + 1)}));
    let mut links: serde_json::Map<_, _> = (0..length).map(link).collect();
    links.insert(length.to_string(), json!({"type": "null"}));
    json!({"$defs": links})
}

#[test]
fn limits_are_named() {
    let many: Vec<Value> = (0..limits::MAX_SUBSCHEMAS).map(|_| json!(true)).collect();
    refused(&json!({"prefixItems": many}), "4096 subschemas");
    schema(&json!({"prefixItems": many[1..]}));
    refused(&chain(limits::MAX_IN_PLACE + 1), "more than 64 subschemas");
    schema(&chain(limits::MAX_IN_PLACE));
    let patterns = (1..200).map(|i| (format!("^\\p{{L}}{{{i}}}$"), json!(true)));
    refused(&json!({"patternProperties": patterns.collect::<Value>()}), "patterns of the schema");
}

#[test]
fn a_misfit_names_the_place_and_the_rule() {
    let order = json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "maximum": 5},
            "tags": {"type": "array", "items": {"enum": ["a", 1]}, "uniqueItems": true},
            "note": {"anyOf": [{"type": "null"}, {"minLength": 2}]},
        },
        "required": ["size", "id"],
        "additionalProperties": false,
    });
    misfits(
        &order,
        &json!({"size": 7, "tags": ["b"], "note": "x", "odd/~": 1}),
        &[
            r#"at "": must have "id" (/required)"#,
            r#"at "/size": must be at most 5 (/properties/size/maximum)"#,
            r#"at "/tags/0": must be "a" or 1 (/properties/tags/items/enum)"#,
            r#"at "/note": must fit one of 2 alternatives (/properties/note/anyOf)"#,
            r#"at "/odd~1~0": must not be there (/additionalProperties)"#,
        ],
    );
    misfits(&order, &json!([]), &[r#"at "": must be object (/type)"#]);
    misfits(
        &json!({"oneOf": [{"minimum": 1}, {"maximum": 1}]}),
        &json!(1),
        &[r#"at "": must fit exactly one of 2 alternatives, not 2 (/oneOf)"#],
    );
    misfits(
        &json!({"$defs": {"a": {"exclusiveMinimum": 0.5, "multipleOf": 0.2}}, "$ref": "#/$defs/a"}),
        &json!(0.5),
        &[
            r#"at "": must be greater than 0.5 (/$defs/a/exclusiveMinimum)"#,
            r#"at "": must be a multiple of 0.2 (/$defs/a/multipleOf)"#,
        ],
    );
    let all: Vec<Value> = (0..100).map(Value::from).collect();
    let many = schema(&json!({"items": false})).validate(&Value::from(all));
    let Err(Invalid::Misfits(many)) = many else { panic!("misfits") };
    assert_eq!(many.len(), limits::MAX_MISFITS);
}

#[test]
fn numbers_are_exact() {
    let third = schema(&json!({"multipleOf": 1.5}));
    assert_eq!(third.validate(&json!(9_007_199_254_740_993_u64)), Ok(()));
    assert!(third.validate(&json!(9_007_199_254_740_994_u64)).is_err());
    assert_eq!(schema(&json!({"multipleOf": 0.01})).validate(&json!(0.07)), Ok(()));
    assert_eq!(schema(&json!({"type": "integer"})).validate(&json!(1e300)), Ok(()));
}

#[test]
fn what_is_evaluated_depends_on_the_alternatives_that_fit() {
    let (a, b) =
        (json!({"properties": {"a": true}, "required": ["a"]}), json!({"properties": {"b": true}}));
    for keywords in [
        json!({"anyOf": [a, {"required": ["b"]}]}),
        json!({"oneOf": [a, {"required": ["b"]}]}),
        json!({"if": {"required": ["a"]}, "then": a}),
        json!({"dependentSchemas": {"a": a}}),
    ] {
        let mut document = keywords;
        document["unevaluatedProperties"] = json!(false);
        let closed = schema(&document);
        assert_eq!(closed.validate(&json!({"a": 1})), Ok(()), "{document}");
        assert!(closed.validate(&json!({"b": 1})).is_err(), "{document}");
    }
    let not = schema(&json!({"not": {"not": b}, "unevaluatedProperties": false}));
    assert!(not.validate(&json!({"b": 1})).is_err());
    let contains = schema(&json!({"contains": {"type": "null"}, "unevaluatedItems": {"const": 1}}));
    assert_eq!(contains.validate(&json!([null, 1, null])), Ok(()));
    misfits(
        &json!({"contains": {"type": "null"}, "unevaluatedItems": {"const": 1}}),
        &json!([null, 2]),
        &[r#"at "/1": must be 1 (/unevaluatedItems/const)"#],
    );
}
