//! Schemas and values by chance, from so small a world that they meet.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

const NAMES: [&str; 4] = ["a", "b", "c", "x-a"];
const TEXTS: [&str; 9] = ["", "a", "b", "c", "ab", "ba", "abc", "x-a", "é"];
const PATTERNS: [&str; 6] = ["^a", "b$", "^[a-c]+$", "^x-", "^.{2}$", "^$"];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (-3..8_i64).prop_map(Value::from),
        3 => (-6..16_i64).prop_map(|halves| json!(halves as f64 / 2.0)),
        1 => select(vec![json!(0.1), json!(0.3), json!(9_007_199_254_740_993_u64), json!(1e20)]),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    select(&TEXTS[..]).prop_map(Value::from)
}

/// A value of any kind.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text()];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(select(&NAMES[..]), inner, 0..4)
                .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

fn small() -> impl Strategy<Value = Value> {
    (0..4_u8).prop_map(Value::from)
}

/// One keyword, or two that belong together, and its value.
type Keywords = Vec<(&'static str, Value)>;

fn one(
    keyword: &'static str,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Keywords> {
    value.prop_map(move |value| vec![(keyword, value)]).boxed()
}

fn plain_keyword() -> impl Strategy<Value = Keywords> {
    let kinds = subsequence(&TYPES[..], 1..4).prop_map(|types| json!(types));
    let numeric = prop_oneof![
        one("minimum", number()),
        one("maximum", number()),
        one("exclusiveMinimum", number()),
        one("exclusiveMaximum", number()),
        one("multipleOf", select(vec![json!(1), json!(2), json!(3), json!(0.5)])),
    ];
    let texts = prop_oneof![
        one("minLength", small()),
        one("maxLength", small()),
        one("pattern", select(&PATTERNS[..]).prop_map(Value::from)),
    ];
    let names = || subsequence(&NAMES[..], 0..3).prop_map(|names| json!(names));
    let objects = prop_oneof![
        2 => one("required", names()),
        1 => one("minProperties", small()),
        1 => one("maxProperties", small()),
        1 => one("dependentRequired", (select(&NAMES[..]), names()).prop_map(|(name, names)| json!({name: names}))),
    ];
    let lists = prop_oneof![
        one("minItems", small()),
        one("maxItems", small()),
        one("uniqueItems", any::<bool>().prop_map(Value::from)),
    ];
    prop_oneof![
        5 => one("type", kinds),
        2 => one("type", select(&TYPES[..]).prop_map(Value::from)),
        4 => numeric,
        3 => texts,
        3 => objects,
        3 => lists,
        2 => one("enum", prop::collection::vec(value(), 1..4).prop_map(Value::from)),
        1 => one("const", value()),
    ]
}

/// Which keywords a schema may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Those that draft 4 has too, by these names or others.
    Old,
    /// All but `$ref`.
    All,
    /// All, with two definitions to refer to.
    Recursive,
}

fn nested_keyword(inner: BoxedStrategy<Value>, words: Words) -> BoxedStrategy<Keywords> {
    let map = |names: Vec<&'static str>, inner: BoxedStrategy<Value>| {
        prop::collection::btree_map(select(names), inner, 1..3).prop_map(|schemas| json!(schemas))
    };
    let list =
        |inner: BoxedStrategy<Value>| prop::collection::vec(inner, 1..4).prop_map(Value::from);
    let contains = (inner.clone(), prop::option::of(0..3_u8), prop::option::of(0..3_u8));
    let contains = contains.prop_map(|(schema, min, max)| {
        let counts = [("minContains", min), ("maxContains", max)];
        let counts = counts.into_iter().filter_map(|(keyword, n)| Some((keyword, json!(n?))));
        std::iter::once(("contains", schema)).chain(counts).collect()
    });
    let branches = (inner.clone(), inner.clone(), prop::option::of(inner.clone()));
    let branches = branches.prop_map(|(test, then, otherwise)| {
        let otherwise = otherwise.map(|schema| ("else", schema));
        [("if", test), ("then", then)].into_iter().chain(otherwise).collect()
    });
    let old = prop_oneof![
        6 => one("properties", map(NAMES.to_vec(), inner.clone())),
        2 => one("patternProperties", map(PATTERNS.to_vec(), inner.clone())),
        3 => one("additionalProperties", prop_oneof![Just(json!(false)), inner.clone()]),
        3 => one("items", inner.clone()),
        2 => one("prefixItems", list(inner.clone())),
        2 => one("allOf", list(inner.clone())),
        2 => one("anyOf", list(inner.clone())),
        2 => one("oneOf", list(inner.clone())),
        1 => one("not", inner.clone()),
    ];
    let new = prop_oneof![
        one("propertyNames", inner.clone()),
        one("dependentSchemas", map(NAMES.to_vec(), inner.clone())),
        contains,
        branches,
        one("unevaluatedProperties", inner.clone()),
        one("unevaluatedItems", inner),
    ];
    let reference = select(&["#/$defs/p", "#/$defs/q"][..]).prop_map(Value::from);
    match words {
        Words::Old => old.boxed(),
        Words::All => prop_oneof![4 => old, 1 => new].boxed(),
        Words::Recursive => prop_oneof![8 => old, 2 => new, 1 => one("$ref", reference)].boxed(),
    }
}

fn collect(keywords: Vec<Keywords>) -> Value {
    keywords.into_iter().flatten().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>().into()
}

fn subschema(words: Words) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Value::from),
        12 => prop::collection::vec(plain_keyword(), 0..4).prop_map(collect),
    ];
    leaf.prop_recursive(3, 16, 3, move |inner| {
        let nested = prop::collection::vec(nested_keyword(inner, words), 1..3);
        (prop::collection::vec(plain_keyword(), 0..3), nested)
            .prop_map(|(plain, nested)| collect(plain.into_iter().chain(nested).collect()))
    })
    .boxed()
}

/// A schema without definitions.
pub(crate) fn flat_schema() -> impl Strategy<Value = Value> + Clone {
    subschema(Words::All)
}

/// A schema, one in four with definitions that may lead back to themselves.
pub(crate) fn schema() -> impl Strategy<Value = Value> + Clone {
    let recursive =
        (subschema(Words::Recursive), subschema(Words::Recursive), subschema(Words::Recursive))
            .prop_map(|(root, p, q)| {
                // Beside `$ref`, so that `true` and `false` have a place for definitions too.
                json!({"$defs": {"p": p, "q": q, "root": root}, "$ref": "#/$defs/root"})
            });
    prop_oneof![3 => subschema(Words::All), 1 => recursive]
}

/// A schema that draft 4 can say.
pub(crate) fn old_schema() -> impl Strategy<Value = Value> + Clone {
    subschema(Words::Old)
}

/// A schema, and one that accepts no less.
pub(crate) fn related(
    schemas: impl Strategy<Value = Value> + Clone,
) -> impl Strategy<Value = (Value, Value)> {
    let change = prop_oneof![Just(Change::Keyword), Just(Change::Alternative), Just(Change::Both)];
    (schemas.clone(), schemas, change, any::<prop::sample::Index>()).prop_map(
        |(schema, other, change, index)| match change {
            Change::Keyword => (schema.clone(), without_a_keyword(&schema, index)),
            Change::Alternative => (schema.clone(), json!({"anyOf": [other, schema]})),
            Change::Both => (json!({"allOf": [schema, other]}), schema),
        },
    )
}

/// Two schemas: any, and the one within the other, either way round.
pub(crate) fn pair(
    schemas: impl Strategy<Value = Value> + Clone + 'static,
) -> impl Strategy<Value = (Value, Value)> {
    prop_oneof![
        (schemas.clone(), schemas.clone()),
        related(schemas.clone()),
        related(schemas).prop_map(|(narrow, wide)| (wide, narrow)),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Keyword,
    Alternative,
    Both,
}

/// Without a keyword that only ever refuses, whatever stands beside it.
fn without_a_keyword(schema: &Value, index: prop::sample::Index) -> Value {
    const REFUSING: [&str; 14] = [
        "type",
        "enum",
        "const",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "pattern",
        "required",
        "minProperties",
        "minItems",
        "uniqueItems",
        "propertyNames",
        "not",
    ];
    let mut schema = schema.clone();
    let Some(members) = schema.as_object_mut() else { return json!(true) };
    let there: Vec<&str> = REFUSING.into_iter().filter(|k| members.contains_key(*k)).collect();
    if !there.is_empty() {
        members.remove(*index.get(&there));
    }
    schema
}
