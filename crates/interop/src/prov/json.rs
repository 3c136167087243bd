//! PROV-JSON: what programs read, ours among them.
//!
//! The reader takes documents of others too: with bundles, several values of an attribute, several
//! records of one name. A key that comes twice in one object counts with its last value.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Document, Kind, Name, Record, Sort, Value};

/// Most bytes of a document that is read.
pub const MAX_PROV_BYTES: usize = 256 * 1024 * 1024;

/// Why bytes are no PROV-JSON. Each names the place.
#[derive(Debug, thiserror::Error)]
pub enum ProvError {
    /// More than [`MAX_PROV_BYTES`].
    #[error("the document has {length} bytes, and at most {MAX_PROV_BYTES} are read; split it")]
    TooLarge {
        /// Bytes.
        length: usize,
    },
    /// No JSON.
    #[error("the document is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something else than is wanted there.
    #[error("{at} must be {wanted}")]
    Wanted {
        /// Where, as a path of keys.
        at: String,
        /// What.
        wanted: &'static str,
    },
    /// A word that PROV does not have.
    #[error(
        "{at} is no kind of record; PROV-JSON has entity, activity, agent, used, wasGeneratedBy …"
    )]
    Kind {
        /// The word.
        at: String,
    },
    /// A name whose prefix nobody declared.
    #[error("{at}: the prefix of {name:?} is not declared; add it to \"prefix\"")]
    Prefix {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// A time that is none.
    #[error(
        "{at}: {text:?} is no time; write it as xsd:dateTime with a zone, as in 2026-11-18T11:06:40Z"
    )]
    Time {
        /// Where.
        at: String,
        /// What stands there.
        text: String,
    },
}

// ------------------------------------------------------------------ writing

impl Document {
    /// The document in PROV-JSON, on one line.
    pub fn to_json(&self) -> String {
        let mut all = Map::new();
        all.insert("prefix".to_owned(), json!(self.prefixes));
        for &kind in Kind::ALL {
            let mut of_kind = Map::new();
            let records = self.records.iter().filter(|record| record.kind == kind);
            for (number, record) in records.enumerate() {
                let id = record.id.as_ref().map(ToString::to_string);
                let id = id.unwrap_or_else(|| format!("_:{}{number}", kind.keyword()));
                add(&mut of_kind, id, write_record(record));
            }
            if !of_kind.is_empty() {
                all.insert(kind.keyword().to_owned(), of_kind.into());
            }
        }
        if !self.bundles.is_empty() {
            let bundles = self.bundles.iter();
            let bundles: Map<String, Json> = bundles
                .map(|(name, bundle)| {
                    let bundle = serde_json::from_str(&bundle.to_json());
                    (name.clone(), bundle.expect("its own JSON"))
                })
                .collect();
            all.insert("bundle".to_owned(), bundles.into());
        }
        Json::from(all).to_string()
    }
}

fn write_record(record: &Record) -> Json {
    let mut members = Map::new();
    for ((part, _), value) in record.kind.parts().iter().zip(&record.parts) {
        if let Some(value) = value {
            members.insert(format!("prov:{part}"), json!(value));
        }
    }
    for (name, value) in &record.attributes {
        add(&mut members, name.to_string(), write_value(value));
    }
    members.into()
}

fn write_value(value: &Value) -> Json {
    match value {
        Value::Name(name) => json!({ "$": name.as_str(), "type": "prov:QUALIFIED_NAME" }),
        Value::Literal { text, datatype: Some(datatype), .. } => {
            json!({ "$": text, "type": datatype.as_str() })
        }
        Value::Literal { text, language: Some(language), .. } => {
            json!({ "$": text, "lang": language })
        }
        Value::Literal { text, .. } => json!(text),
    }
}

/// What comes again under one key becomes a list.
fn add(members: &mut Map<String, Json>, key: String, value: Json) {
    match members.get_mut(&key) {
        None => {
            members.insert(key, value);
        }
        Some(Json::Array(list)) => list.push(value),
        Some(one) => *one = json!([one.take(), value]),
    }
}

// ------------------------------------------------------------------ reading

impl Document {
    /// Reads PROV-JSON.
    ///
    /// # Errors
    /// [`ProvError`] names the place.
    pub fn parse_json(bytes: &[u8]) -> Result<Self, ProvError> {
        if bytes.len() > MAX_PROV_BYTES {
            return Err(ProvError::TooLarge { length: bytes.len() });
        }
        Reader { prefixes: BTreeMap::new() }.document(&serde_json::from_slice(bytes)?, "document")
    }
}

/// Reads with the prefixes that are in scope.
struct Reader {
    prefixes: BTreeMap<String, String>,
}

impl Reader {
    fn document(mut self, json: &Json, at: &str) -> Result<Document, ProvError> {
        let members = object(json, at)?;
        if let Some(prefixes) = members.get("prefix") {
            for (prefix, uri) in object(prefixes, "prefix")? {
                let uri = text(uri, &format!("prefix.{prefix}"))?;
                self.prefixes.insert(prefix.clone(), uri.to_owned());
            }
        }
        let (mut records, mut bundles) = (Vec::new(), BTreeMap::new());
        for (key, value) in members.iter().filter(|(key, _)| *key != "prefix") {
            if key == "bundle" {
                for (name, inner) in object(value, "bundle")? {
                    let reader = Self { prefixes: self.prefixes.clone() };
                    let inner_at = format!("bundle.{name}");
                    bundles.insert(name.clone(), reader.document(inner, &inner_at)?);
                }
                continue;
            }
            let kind = Kind::ALL.iter().find(|kind| kind.keyword() == key);
            let kind = *kind.ok_or_else(|| ProvError::Kind { at: key.clone() })?;
            for (id, value) in object(value, key)? {
                for (_, value) in each(value) {
                    self.records(kind, id, value, &mut records)?;
                }
            }
        }
        Ok(Document { prefixes: self.prefixes, records, bundles })
    }

    /// One record; a collection with several members is several.
    fn records(
        &self,
        kind: Kind,
        id: &str,
        json: &Json,
        to: &mut Vec<Record>,
    ) -> Result<(), ProvError> {
        let at = format!("{}.{id}", kind.keyword());
        let is_blank = id.starts_with("_:") && !kind.is_element();
        let id = if is_blank { None } else { Some(self.name(id, &at)?) };
        let mut parts = vec![None; kind.parts().len()];
        let mut more_members = Vec::new();
        let mut attributes = Vec::new();
        for (key, value) in object(json, &at)? {
            let at = format!("{at}.{key}");
            let part =
                kind.parts().iter().position(|(part, _)| key.strip_prefix("prov:") == Some(part));
            let Some(part) = part else {
                let name = self.name(key, &at)?;
                for (number, value) in each(value) {
                    attributes.push((name.clone(), self.value(value, &format!("{at}[{number}]"))?));
                }
                continue;
            };
            for (number, value) in each(value) {
                let value = self.part(kind.parts()[part].1, value, &at)?;
                match number {
                    0 => parts[part] = Some(value),
                    _ if kind == Kind::Membership => more_members.push(value),
                    _ => return Err(ProvError::Wanted { at, wanted: "one value" }),
                }
            }
        }
        let first = Record { kind, id, parts, attributes };
        let more = more_members.into_iter().map(|member| {
            let collection = first.parts[0].clone();
            let parts = vec![collection, Some(member)];
            Record { kind, id: None, parts, attributes: Vec::new() }
        });
        let more: Vec<Record> = more.collect();
        to.push(first);
        to.extend(more);
        Ok(())
    }

    fn part(&self, sort: Sort, json: &Json, at: &str) -> Result<String, ProvError> {
        let json = json.get("$").unwrap_or(json);
        let found = text(json, at)?;
        match sort {
            Sort::Name => self.name(found, at).map(|name| name.as_str().to_owned()),
            Sort::Time if time_us(found).is_some() => Ok(found.to_owned()),
            Sort::Time => Err(ProvError::Time { at: at.to_owned(), text: found.to_owned() }),
        }
    }

    fn value(&self, json: &Json, at: &str) -> Result<Value, ProvError> {
        let plain = |text: String, datatype: &str| {
            Ok(Value::Literal { text, datatype: Some(Name::new("xsd", datatype)), language: None })
        };
        match json {
            Json::String(text) => Ok(Value::text(text.as_str())),
            Json::Bool(value) => plain(value.to_string(), "boolean"),
            Json::Number(number) if number.is_f64() => plain(number.to_string(), "double"),
            Json::Number(number) => plain(number.to_string(), "long"),
            Json::Object(members) => self.typed(members, at),
            Json::Null | Json::Array(_) => {
                Err(ProvError::Wanted { at: at.to_owned(), wanted: "a value" })
            }
        }
    }

    fn typed(&self, members: &Map<String, Json>, at: &str) -> Result<Value, ProvError> {
        let inner = |key: &str| members.get(key).map(|value| text(value, &format!("{at}.{key}")));
        let found = match members.get("$") {
            Some(Json::String(text)) => text.clone(),
            Some(value @ (Json::Number(_) | Json::Bool(_))) => value.to_string(),
            _ => return Err(ProvError::Wanted { at: format!("{at}.$"), wanted: "a text" }),
        };
        match (inner("type").transpose()?, inner("lang").transpose()?) {
            (Some("prov:QUALIFIED_NAME" | "xsd:QName"), _) => {
                Ok(Value::Name(self.name(&found, at)?))
            }
            (Some("xsd:string") | None, language) => {
                let language = language.map(str::to_owned);
                Ok(Value::Literal { text: found, datatype: None, language })
            }
            (Some(datatype), _) => {
                let datatype = Some(self.name(datatype, at)?);
                Ok(Value::Literal { text: found, datatype, language: None })
            }
        }
    }

    fn name(&self, text: &str, at: &str) -> Result<Name, ProvError> {
        let prefix = text.split_once(':').map_or("default", |(prefix, _)| prefix);
        match matches!(prefix, "prov" | "xsd" | "_") || self.prefixes.contains_key(prefix) {
            true => Ok(Name::read(text)),
            false => Err(ProvError::Prefix { at: at.to_owned(), name: text.to_owned() }),
        }
    }
}

fn object<'j>(json: &'j Json, at: &str) -> Result<&'j Map<String, Json>, ProvError> {
    json.as_object().ok_or_else(|| ProvError::Wanted { at: at.to_owned(), wanted: "an object" })
}

fn text<'j>(json: &'j Json, at: &str) -> Result<&'j str, ProvError> {
    json.as_str().ok_or_else(|| ProvError::Wanted { at: at.to_owned(), wanted: "a text" })
}

/// One value, or each of a list, with its number.
fn each(json: &Json) -> impl Iterator<Item = (usize, &Json)> {
    let values = match json {
        Json::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    values.iter().enumerate()
}

/// An `xsd:dateTime`, in microseconds since 1970. One without a zone is taken for UTC.
pub(super) fn time_us(text: &str) -> Option<i64> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let local =
        || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    Some(zoned.or_else(|| Some(local()?.timestamp()))?.as_microsecond())
}
