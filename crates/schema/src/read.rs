//! From a document to its subschemas. This is as strict as the metaschema of 2020-12.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::decimal::Decimal;
use crate::error::SchemaError;
use crate::json::step;
use crate::limits::{MAX_IN_PLACE, MAX_PATTERN_BYTES, MAX_SUBSCHEMAS};
use crate::node::{Allowed, Bound, Condition, Contains, Kinds, Node, NodeId, Range};
use crate::pattern::Pattern;
use crate::unevaluated;

/// The dialect that is read.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

type Members = Map<String, Value>;

/// The subschemas of a document; the first is the document itself.
pub(crate) fn read(document: &Value) -> Result<Vec<Node>, SchemaError> {
    let mut reader = Reader::new(document)?;
    reader.id_of(document, String::new(), 0)?;
    while let Some(found) = reader.next() {
        let node = reader.node(&found)?;
        reader.nodes.push(node);
    }
    let mut nodes = reader.nodes;
    InPlace { nodes: &nodes, heights: HashMap::new() }.check()?;
    unevaluated::simplify(&mut nodes);
    Ok(nodes)
}

/// A schema resource: a schema with an `$id`, or the document.
struct Resource<'a> {
    /// The identifier without an empty fragment; the document's may be absent.
    id: Option<String>,
    pointer: String,
    schema: &'a Value,
    anchors: BTreeMap<&'a str, (&'a Value, String)>,
}

/// A subschema that is to be read.
struct Found<'a> {
    schema: &'a Value,
    pointer: String,
    resource: usize,
}

struct Reader<'a> {
    resources: Vec<Resource<'a>>,
    /// By address: a subschema is read once, however many ways lead to it.
    ids: HashMap<*const Value, NodeId>,
    found: Vec<Found<'a>>,
    nodes: Vec<Node>,
    patterns: HashMap<&'a str, Arc<Pattern>>,
    pattern_bytes: usize,
}

impl<'a> Reader<'a> {
    fn new(document: &'a Value) -> Result<Self, SchemaError> {
        let mut resources = Vec::new();
        find_names(document, String::new(), None, &mut resources)?;
        Ok(Self {
            resources,
            ids: HashMap::new(),
            found: Vec::new(),
            nodes: Vec::new(),
            patterns: HashMap::new(),
            pattern_bytes: 0,
        })
    }

    fn is_resource(&self, schema: &Value) -> bool {
        self.resources.iter().any(|own| std::ptr::eq(own.schema, schema))
    }

    fn next(&mut self) -> Option<Found<'a>> {
        let found = self.found.get_mut(self.nodes.len())?;
        let pointer = std::mem::take(&mut found.pointer);
        Some(Found { schema: found.schema, pointer, resource: found.resource })
    }

    fn id_of(
        &mut self,
        schema: &'a Value,
        pointer: String,
        resource: usize,
    ) -> Result<NodeId, SchemaError> {
        let next = NodeId::try_from(self.found.len()).unwrap_or(NodeId::MAX);
        if let Some(id) = self.ids.get(&std::ptr::from_ref(schema)) {
            return Ok(*id);
        }
        if self.found.len() == MAX_SUBSCHEMAS {
            return Err(SchemaError::TooManySubschemas);
        }
        let own = self.resources.iter().position(|own| std::ptr::eq(own.schema, schema));
        self.found.push(Found { schema, pointer, resource: own.unwrap_or(resource) });
        self.ids.insert(schema, next);
        Ok(next)
    }

    fn node(&mut self, found: &Found<'a>) -> Result<Node, SchemaError> {
        let mut node = Node::anything(found.pointer.clone());
        match found.schema {
            Value::Bool(true) => {}
            Value::Bool(false) => node.kinds = Kinds::NONE,
            Value::Object(members) => {
                for (keyword, value) in sorted(members) {
                    let at = step(&found.pointer, keyword);
                    self.keyword(&mut node, keyword, &Place { value, at, members, found })?;
                }
            }
            _ => return Err(expected(&found.pointer, "a schema: an object, true or false")),
        }
        Ok(node)
    }

    fn keyword(
        &mut self,
        node: &mut Node,
        keyword: &str,
        place: &Place<'a, '_>,
    ) -> Result<(), SchemaError> {
        match keyword {
            "$schema" => place.dialect()?,
            "$ref" => node.reference = Some(self.reference(place)?),
            "$defs" | "definitions" => self.schema_map(place).map(drop)?,
            "$dynamicRef" | "$recursiveRef" => {
                return Err(place.unsupported("use $ref"));
            }
            "dependencies" => {
                return Err(place.unsupported("use dependentRequired or dependentSchemas"));
            }
            "$comment" | "title" | "description" | "format" | "contentEncoding"
            | "contentMediaType" => place.string().map(drop)?,
            "deprecated" | "readOnly" | "writeOnly" | "$recursiveAnchor" => {
                place.boolean().map(drop)?;
            }
            "examples" => place.array().map(drop)?,
            "$vocabulary" => place.vocabulary()?,
            "contentSchema" => self.schema(place).map(drop)?,

            "type" => node.kinds = node.kinds.and(place.kinds()?),
            "enum" => {
                let values = place.array()?.clone();
                node.allowed.push(Allowed { keyword: "enum", values });
            }
            "const" => {
                let values = vec![place.value.clone()];
                node.allowed.push(Allowed { keyword: "const", values });
            }

            "minimum" => node.least = Bound::tighter(node.least.take(), place.bound(false)?, true),
            "exclusiveMinimum" => {
                node.least = Bound::tighter(node.least.take(), place.bound(true)?, true)
            }
            "maximum" => node.most = Bound::tighter(node.most.take(), place.bound(false)?, false),
            "exclusiveMaximum" => {
                node.most = Bound::tighter(node.most.take(), place.bound(true)?, false)
            }
            "multipleOf" => node.multiple_of = Some(place.positive()?),

            "minLength" => node.length.least = place.count()?,
            "maxLength" => node.length.most = place.count()?,
            "pattern" => {
                let source = place.string()?;
                node.pattern = Some(self.pattern(source, &place.at)?);
            }

            "prefixItems" => node.prefix = self.schema_list(place)?,
            "items" => node.items = Some(self.schema(place)?),
            "unevaluatedItems" => node.unevaluated_items = Some(self.schema(place)?),
            "contains" => {
                let schema = self.schema(place)?;
                node.contains = Some(Contains { schema, count: place.contains_count()? });
            }
            "minContains" | "maxContains" => place.count().map(drop)?,
            "minItems" => node.count.least = place.count()?,
            "maxItems" => node.count.most = place.count()?,
            "uniqueItems" => node.unique = place.boolean()?,

            "properties" => node.properties = self.schema_map(place)?,
            "patternProperties" => node.patterns = self.pattern_map(place)?,
            "additionalProperties" => node.additional = Some(self.schema(place)?),
            "unevaluatedProperties" => node.unevaluated_properties = Some(self.schema(place)?),
            "propertyNames" => node.names = Some(self.schema(place)?),
            "required" => node.required = place.names()?,
            "minProperties" => node.size.least = place.count()?,
            "maxProperties" => node.size.most = place.count()?,
            "dependentRequired" => node.dependent_required = place.names_map()?,
            "dependentSchemas" => node.dependent_schemas = self.schema_map(place)?,

            "allOf" => node.all_of = self.schema_list(place)?,
            "anyOf" => node.any_of = self.schema_list(place)?,
            "oneOf" => node.one_of = self.schema_list(place)?,
            "not" => node.not = Some(self.schema(place)?),
            "if" => node.condition = Some(self.condition(place)?),
            // Read with `if`; alone they say nothing, but must be schemas.
            "then" | "else" => self.schema(place).map(drop)?,
            // An `$id` that `find_names` read makes a resource. In a place where no schema is
            // expected, only a `$ref` leads to it, and what it means there is not defined.
            "$id" if !self.is_resource(place.found.schema) => {
                return Err(place.unsupported("put the schema under $defs"));
            }
            // The anchors were read by `find_names`; what is unknown is an annotation.
            _ => {}
        }
        Ok(())
    }

    fn schema(&mut self, place: &Place<'a, '_>) -> Result<NodeId, SchemaError> {
        self.id_of(place.value, place.at.clone(), place.found.resource)
    }

    fn schema_list(&mut self, place: &Place<'a, '_>) -> Result<Vec<NodeId>, SchemaError> {
        let Value::Array(schemas) = place.value else {
            return Err(place.expected("a list of schemas"));
        };
        if schemas.is_empty() {
            return Err(place.expected("a list of at least one schema"));
        }
        let schemas = schemas.iter().enumerate();
        schemas
            .map(|(i, schema)| {
                self.id_of(schema, step(&place.at, &i.to_string()), place.found.resource)
            })
            .collect()
    }

    fn schema_map(
        &mut self,
        place: &Place<'a, '_>,
    ) -> Result<BTreeMap<String, NodeId>, SchemaError> {
        let schemas = sorted(place.object("an object of schemas")?).into_iter();
        schemas
            .map(|(name, schema)| {
                let id = self.id_of(schema, step(&place.at, name), place.found.resource)?;
                Ok((name.clone(), id))
            })
            .collect()
    }

    fn pattern_map(
        &mut self,
        place: &Place<'a, '_>,
    ) -> Result<Vec<(Arc<Pattern>, NodeId)>, SchemaError> {
        let schemas = sorted(place.object("an object of schemas")?).into_iter();
        schemas
            .map(|(source, schema)| {
                let at = step(&place.at, source);
                let pattern = self.pattern(source, &at)?;
                Ok((pattern, self.id_of(schema, at, place.found.resource)?))
            })
            .collect()
    }

    fn condition(&mut self, place: &Place<'a, '_>) -> Result<Condition, SchemaError> {
        let test = self.schema(place)?;
        let mut branch = |keyword: &str| {
            let Some(schema) = place.members.get(keyword) else { return Ok(None) };
            let at = step(&place.found.pointer, keyword);
            self.id_of(schema, at, place.found.resource).map(Some)
        };
        Ok(Condition { test, then: branch("then")?, otherwise: branch("else")? })
    }

    fn pattern(&mut self, source: &'a str, at: &str) -> Result<Arc<Pattern>, SchemaError> {
        if let Some(pattern) = self.patterns.get(source) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Pattern::new(source, MAX_PATTERN_BYTES)
            .map_err(|reason| SchemaError::Pattern { at: at.to_owned(), reason })?;
        self.pattern_bytes += pattern.memory();
        if self.pattern_bytes > MAX_PATTERN_BYTES {
            return Err(SchemaError::PatternsTooLarge { at: at.to_owned() });
        }
        let pattern = Arc::new(pattern);
        self.patterns.insert(source, Arc::clone(&pattern));
        Ok(pattern)
    }

    /// What a `$ref` names: a pointer or an anchor, in this resource or in one named by its `$id`.
    fn reference(&mut self, place: &Place<'a, '_>) -> Result<NodeId, SchemaError> {
        let reference = place.string()?;
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let own = place.found.resource;
        let resource = match uri {
            "" => Some(own),
            _ => self.resources.iter().position(|other| other.id.as_deref() == Some(uri)),
        };
        let target = resource.and_then(|index| {
            let (schema, pointer) = self.resources[index].target(fragment)?;
            // A pointer may lead into a resource within the resource.
            let inside = |other: &&Resource<'_>| is_within(&pointer, &other.pointer);
            let innermost = self.resources.iter().filter(inside).max_by_key(|r| r.pointer.len());
            let index = innermost.and_then(|inner| {
                self.resources.iter().position(|other| std::ptr::eq(other, inner))
            });
            Some((schema, pointer, index.unwrap_or(own)))
        });
        let Some((schema, pointer, resource)) = target else {
            let at = place.at.clone();
            return Err(SchemaError::Reference { at, reference: reference.to_owned() });
        };
        self.id_of(schema, pointer, resource)
    }
}

/// In an order of their own, so that nothing depends on how `serde_json` keeps them.
fn sorted(members: &Members) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

fn is_within(pointer: &str, ancestor: &str) -> bool {
    pointer.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Resource<'a> {
    fn target(&self, fragment: &str) -> Option<(&'a Value, String)> {
        let fragment = percent_decoded(fragment)?;
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.anchors.get(fragment.as_str()).cloned();
        }
        let schema = self.schema.pointer(&fragment)?;
        Some((schema, format!("{}{fragment}", self.pointer)))
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

// ------------------------------------------------------------------ names

/// Keywords whose value is a schema, a list of schemas, or an object of schemas.
const SCHEMA_KEYWORDS: [&str; 11] = [
    "items",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
];
const LIST_KEYWORDS: [&str; 4] = ["prefixItems", "allOf", "anyOf", "oneOf"];
const MAP_KEYWORDS: [&str; 5] =
    ["$defs", "definitions", "properties", "patternProperties", "dependentSchemas"];

/// Finds the resources and anchors of a schema and of those inside it. The depth of a document is
/// limited, and so is this recursion.
fn find_names<'a>(
    schema: &'a Value,
    pointer: String,
    resource: Option<usize>,
    resources: &mut Vec<Resource<'a>>,
) -> Result<(), SchemaError> {
    let members = schema.as_object();
    let id = members.and_then(|members| members.get("$id"));
    let resource = match resource {
        Some(resource) if id.is_none() => resource,
        outer => {
            let id = id.map(|id| identifier(id, &pointer, outer.is_none())).transpose()?;
            let taken = |id: &String| resources.iter().any(|other| other.id.as_ref() == Some(id));
            if let Some(name) = id.clone().filter(taken) {
                return Err(SchemaError::Name { at: step(&pointer, "$id"), name });
            }
            let pointer = pointer.clone();
            resources.push(Resource { id, pointer, schema, anchors: BTreeMap::new() });
            resources.len() - 1
        }
    };
    let Some(members) = members else { return Ok(()) };
    for (keyword, value) in sorted(members) {
        let at = step(&pointer, keyword);
        let mut inside = |value, at| find_names(value, at, Some(resource), resources);
        match (keyword.as_str(), value) {
            ("$anchor" | "$dynamicAnchor", value) => {
                let anchor = value.as_str().filter(|anchor| is_anchor(anchor));
                let anchor = anchor.ok_or_else(|| expected(&at, "an anchor, as in \"point\""))?;
                let known = &mut resources[resource].anchors;
                let taken = known.insert(anchor, (schema, pointer.clone()));
                if taken.is_some_and(|(other, _)| !std::ptr::eq(other, schema)) {
                    return Err(SchemaError::Name { at, name: anchor.to_owned() });
                }
            }
            (keyword, value) if SCHEMA_KEYWORDS.contains(&keyword) => inside(value, at)?,
            (keyword, Value::Array(schemas)) if LIST_KEYWORDS.contains(&keyword) => {
                for (i, schema) in schemas.iter().enumerate() {
                    inside(schema, step(&at, &i.to_string()))?;
                }
            }
            (keyword, Value::Object(schemas)) if MAP_KEYWORDS.contains(&keyword) => {
                for (name, schema) in sorted(schemas) {
                    inside(schema, step(&at, name))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An `$id`. One inside the document must be absolute: nothing here resolves it against another.
fn identifier(id: &Value, pointer: &str, is_document: bool) -> Result<String, SchemaError> {
    let at = || step(pointer, "$id");
    let id = id.as_str().ok_or_else(|| expected(&at(), "a URI"))?;
    let id = id.strip_suffix('#').unwrap_or(id);
    if id.contains('#') {
        return Err(expected(&at(), "a URI without a fragment"));
    }
    if !is_document && !is_absolute(id) {
        return Err(SchemaError::Unsupported { at: at(), remedy: "write the whole URI" });
    }
    Ok(id.to_owned())
}

/// Whether it begins with a scheme (RFC 3986 §3.1).
fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn is_anchor(anchor: &str) -> bool {
    anchor.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && anchor.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

// ------------------------------------------------------------------ values of keywords

/// A keyword's value and where it stands.
struct Place<'a, 'f> {
    value: &'a Value,
    at: String,
    /// The schema that the keyword is in.
    members: &'a Members,
    found: &'f Found<'a>,
}

fn expected(at: &str, expected: &'static str) -> SchemaError {
    SchemaError::Keyword { at: at.to_owned(), expected }
}

impl<'a> Place<'a, '_> {
    fn expected(&self, what: &'static str) -> SchemaError {
        expected(&self.at, what)
    }

    fn unsupported(&self, remedy: &'static str) -> SchemaError {
        SchemaError::Unsupported { at: self.at.clone(), remedy }
    }

    fn dialect(&self) -> Result<(), SchemaError> {
        let found = self.string()?;
        if found.strip_suffix('#').unwrap_or(found) == DIALECT {
            return Ok(());
        }
        Err(SchemaError::Dialect { at: self.at.clone(), found: found.to_owned() })
    }

    fn vocabulary(&self) -> Result<(), SchemaError> {
        let vocabularies = self.object("an object of booleans")?;
        if vocabularies.values().all(Value::is_boolean) {
            return Ok(());
        }
        Err(self.expected("an object of booleans"))
    }

    fn string(&self) -> Result<&'a str, SchemaError> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    fn boolean(&self) -> Result<bool, SchemaError> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    fn array(&self) -> Result<&'a Vec<Value>, SchemaError> {
        self.value.as_array().ok_or_else(|| self.expected("a list"))
    }

    fn object(&self, what: &'static str) -> Result<&'a Members, SchemaError> {
        self.value.as_object().ok_or_else(|| self.expected(what))
    }

    fn number(&self) -> Result<Decimal, SchemaError> {
        match self.value {
            Value::Number(number) => Ok(Decimal::of(number)),
            _ => Err(self.expected("a number")),
        }
    }

    fn bound(&self, exclusive: bool) -> Result<Bound, SchemaError> {
        Ok(Bound { value: self.number()?, exclusive })
    }

    fn positive(&self) -> Result<Decimal, SchemaError> {
        let number = self.number().ok().filter(Decimal::is_positive);
        number.ok_or_else(|| self.expected("a number greater than 0"))
    }

    fn count(&self) -> Result<u64, SchemaError> {
        let count = self.number().ok().and_then(|number| number.to_count());
        count.ok_or_else(|| self.expected("a whole number from 0"))
    }

    /// `minContains` and `maxContains` beside this `contains`.
    fn contains_count(&self) -> Result<Range, SchemaError> {
        let beside = |keyword: &str, absent| {
            let Some(value) = self.members.get(keyword) else { return Ok(absent) };
            let at = step(&self.found.pointer, keyword);
            Place { value, at, members: self.members, found: self.found }.count()
        };
        Ok(Range { least: beside("minContains", 1)?, most: beside("maxContains", u64::MAX)? })
    }

    fn kinds(&self) -> Result<Kinds, SchemaError> {
        const TYPES: &str = "a type, or a list of different types: null, boolean, object, array, \
                             number, integer, string";
        let wrong = || self.expected(TYPES);
        if let Value::String(name) = self.value {
            return Kinds::NONE.with_type(name).ok_or_else(wrong);
        }
        let names = self.names().map_err(|_| wrong())?;
        if names.is_empty() {
            return Err(wrong());
        }
        names.iter().try_fold(Kinds::NONE, |kinds, name| kinds.with_type(name)).ok_or_else(wrong)
    }

    fn names(&self) -> Result<BTreeSet<String>, SchemaError> {
        names(self.value).ok_or_else(|| self.expected("a list of different names"))
    }

    fn names_map(&self) -> Result<BTreeMap<String, BTreeSet<String>>, SchemaError> {
        let lists = self.object("an object of lists of names")?;
        let read = |(name, list): (&String, &Value)| {
            let names = names(list)
                .ok_or_else(|| expected(&step(&self.at, name), "a list of different names"))?;
            Ok((name.clone(), names))
        };
        lists.iter().map(read).collect()
    }
}

fn names(value: &Value) -> Option<BTreeSet<String>> {
    let list = value.as_array()?;
    let names: BTreeSet<String> =
        list.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    (names.len() == list.len()).then_some(names)
}

// ------------------------------------------------------------------ endless schemas

/// Looks for schemas that apply themselves to the same value, and limits how many do one inside
/// another.
struct InPlace<'n> {
    nodes: &'n [Node],
    /// How many subschemas are inside; `None` while that is being found out.
    heights: HashMap<NodeId, Option<usize>>,
}

impl InPlace<'_> {
    fn check(mut self) -> Result<(), SchemaError> {
        (0..self.nodes.len() as NodeId).try_for_each(|id| self.height(id, 0).map(drop))
    }

    fn height(&mut self, id: NodeId, depth: usize) -> Result<usize, SchemaError> {
        let at = || self.nodes[id as usize].pointer.clone();
        match self.heights.get(&id) {
            Some(Some(height)) if depth + height <= MAX_IN_PLACE => return Ok(*height),
            Some(None) => return Err(SchemaError::Endless { at: at() }),
            Some(Some(_)) => return Err(SchemaError::TooDeep { at: at() }),
            None if depth > MAX_IN_PLACE => return Err(SchemaError::TooDeep { at: at() }),
            None => self.heights.insert(id, None),
        };
        let mut height = 0;
        let nodes = self.nodes;
        for inner in nodes[id as usize].in_place() {
            height = height.max(1 + self.height(inner, depth + 1)?);
        }
        self.heights.insert(id, Some(height));
        Ok(height)
    }
}
