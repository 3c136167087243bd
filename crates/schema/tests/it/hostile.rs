//! Schemas and values made to take long, much memory or a deep stack.

use serde_json::{Map, Value, json};
use tally_schema::{Compatibility, Invalid, Limit, Schema, compare, limits};

use crate::support::schema;

/// The stack of a worker thread of the server.
const STACK_BYTES: usize = 2 << 20;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test);
    thread.expect("a thread").join().expect("the test passes");
}

#[track_caller]
fn cut_off(narrow: &Value, wide: &Value) {
    let answer = compare(&schema(narrow), &schema(wide));
    assert!(matches!(answer, Compatibility::Unknown { .. }), "{answer}");
}

/// Definitions, each of which leads to the next by the keyword's value.
fn ladder(length: usize, rung: impl Fn(Value) -> Value, end: Value) -> Value {
    let next = |i: usize| json!({"$ref": format!("#/$defs/{}", i + 1)});
    let mut rungs: Map<_, _> = (0..length).map(|i| (i.to_string(), rung(next(i)))).collect();
    rungs.insert(length.to_string(), end);
    json!({"$defs": rungs, "$ref": "#/$defs/0"})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!({"a": inner}))
}

#[test]
fn what_doubles_at_each_step_is_judged_once() {
    let twice = |next: Value| json!({"allOf": [next, next]});
    let document = ladder(20, twice, json!({"type": "integer"}));
    assert_eq!(schema(&document).validate(&json!(1)), Ok(()));
    assert!(schema(&document).validate(&json!("x")).is_err());
    let inside = |next: Value| json!({"properties": {"a": {"allOf": [next, next]}}});
    let document = ladder(90, inside, json!({"type": "integer"}));
    assert_eq!(schema(&document).validate(&nested(90)), Ok(()));
    // An ordinary recursive choice, for which others take time that doubles with the depth.
    let branch = |name: &str| json!({"properties": {"a": {"$ref": "#"}}, "required": [name]});
    let choice = schema(&json!({"anyOf": [branch("b"), branch("c")]}));
    assert!(choice.validate(&nested(60)).is_err());
}

#[test]
fn names_that_are_unevaluated_are_found_once() {
    let twice = |next: Value| json!({"allOf": [next, next]});
    let mut document = ladder(20, twice, json!({"properties": {"a": true}}));
    document["unevaluatedProperties"] = json!(false);
    let closed = schema(&document);
    assert_eq!(closed.validate(&json!({"a": 1})), Ok(()));
    assert!(closed.validate(&json!({"b": 1})).is_err());
    assert!(matches!(
        compare(&schema(&json!({"type": "object"})), &closed),
        Compatibility::Incompatible { .. }
    ));
}

#[test]
fn a_large_value_is_judged_or_refused() {
    on_a_small_stack(|| {
        let list = schema(&json!({"properties": {"a": {"$ref": "#"}}}));
        assert_eq!(list.validate(&nested(120)), Ok(()));
        let many = Value::from(vec![json!("z"); 100_000]);
        let values: Vec<Value> = (0..2_000).map(Value::from).collect();
        let slow = schema(&json!({"items": {"not": {"enum": values}}}));
        let steps = Limit::Steps(limits::MAX_VALIDATION_STEPS);
        assert_eq!(slow.validate(&many), Err(Invalid::Limit(steps)));
        // 58 in place at each of 120 levels.
        let mut document = ladder(28, |next| json!({"allOf": [next]}), json!(true));
        document["$defs"]["28"] = json!({"properties": {"a": {"$ref": "#"}}});
        let deep = schema(&document);
        assert_eq!(deep.validate(&nested(120)), Err(Invalid::Limit(Limit::Recursion)));
    });
}

#[test]
fn comparisons_end() {
    on_a_small_stack(|| {
        // Every subset of names, present or absent.
        let choice = |i: usize| {
            json!({"anyOf": [
                {"required": [format!("a{i}")], "properties": {"x": {"multipleOf": i + 2}}},
                {"required": [format!("b{i}")], "properties": {"x": {"multipleOf": i + 3}}},
            ]})
        };
        let choices = |range: std::ops::Range<usize>| -> Vec<Value> { range.map(choice).collect() };
        let narrow = json!({"type": "object", "allOf": choices(0..60)});
        let wide = json!({"allOf": choices(30..61), "minProperties": 30});
        cut_off(&narrow, &wide);
        // A long chain of values inside values.
        let inside =
            |next: Value| json!({"type": "object", "properties": {"a": next}, "required": ["a"]});
        cut_off(
            &ladder(300, inside, json!({"type": "integer"})),
            &ladder(300, inside, json!({"type": "string"})),
        );
        // A deep value that is judged deep inside, by much in place.
        let step = |i: usize| {
            (format!("j{i}"), json!({"allOf": [{"$ref": format!("#/$defs/j{}", i + 1)}]}))
        };
        let mut wide = ladder(30, inside, json!({"$ref": "#/$defs/j0"}));
        let definitions = wide["$defs"].as_object_mut().expect("definitions");
        definitions.extend((0..28).map(step));
        definitions.insert(
            "j28".into(),
            json!({"properties": {"a": {"$ref": "#/$defs/j0"}}, "not": {"const": 1}}),
        );
        let narrow = ladder(30, inside, json!({"enum": [nested(3)]}));
        let answer = compare(&schema(&narrow), &schema(&wide));
        assert!(matches!(answer, Compatibility::Incompatible { .. }), "{answer}");
        cut_off(&ladder(30, inside, json!({"enum": [nested(60)]})), &wide);
        // Many alternatives, all of which an object must miss.
        let closed = |i: usize| json!({"properties": {format!("p{i}"): true}, "additionalProperties": false});
        let all: Vec<Value> = (0..1_300).map(closed).collect();
        let answer = compare(&schema(&json!({"type": "object"})), &schema(&json!({"anyOf": all})));
        assert!(!matches!(answer, Compatibility::Compatible), "{answer}");
        // Automata with more states than there is memory for.
        cut_off(
            &json!({"type": "string", "pattern": "(a|b)*a(a|b){60}"}),
            &json!({"type": "string", "pattern": "(a|b)*b(a|b){61}c"}),
        );
        // A multiple of many numbers.
        let multiples: Vec<Value> =
            (0..60).map(|i| json!({"multipleOf": 1_000_003 + 2 * i})).collect();
        cut_off(
            &json!({"type": "integer", "minimum": 1, "allOf": multiples}),
            &json!({"maximum": 7}),
        );
    });
}

#[test]
fn large_schemas_are_compared() {
    let properties = |extra: Value| -> Value {
        let mut all: Map<String, Value> = (0..900)
            .map(|i| (format!("p{i}"), json!({"type": ["integer", "null"], "minimum": i})))
            .collect();
        all.insert("last".into(), extra);
        json!({"type": "object", "properties": all, "required": ["p0"], "additionalProperties": false})
    };
    let (a, b) =
        (schema(&properties(json!({"maximum": 1}))), schema(&properties(json!({"maximum": 2}))));
    assert_eq!(compare(&a, &b), Compatibility::Compatible);
    assert!(matches!(compare(&b, &a), Compatibility::Incompatible { .. }));
}

#[test]
fn nothing_panics_on_the_way_to_a_schema() {
    for document in
        ["", "null", "1", "[]", "{\"$ref\":\"#%\"}", "{\"$ref\":\"#/%ff\"}", "{\"$id\":1}"]
    {
        assert!(Schema::parse(document).is_err(), "{document}");
    }
}
