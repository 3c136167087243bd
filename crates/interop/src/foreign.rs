//! Reading JSON that others wrote: what is wrong is said with the field, the rule and the remedy.

use serde_json::Value;

/// Why a document of another system is not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}; {remedy}")]
pub struct Foreign {
    /// Where, as a path.
    pub field: String,
    /// What must hold there.
    pub rule: String,
    /// What to do.
    pub remedy: String,
}

impl Foreign {
    pub(crate) fn new(field: &str, rule: &str, remedy: &str) -> Self {
        Self { field: field.to_owned(), rule: rule.to_owned(), remedy: remedy.to_owned() }
    }
}

/// The JSON documents of a text: one, a list, or one after the other.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, Foreign> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = Vec::new();
    for value in values {
        match value {
            Ok(Value::Array(list)) => documents.extend(list),
            Ok(one) => documents.push(one),
            Err(error) => {
                let rule = format!("it is no JSON: {error}");
                return Err(Foreign::new("document", &rule, "write JSON, one document a line"));
            }
        }
    }
    Ok(documents)
}

/// A place in a document.
#[derive(Debug, Clone)]
pub(crate) struct Member<'j> {
    value: &'j Value,
    path: String,
}

impl<'j> Member<'j> {
    pub(crate) fn root(value: &'j Value, path: String) -> Self {
        Self { value, path }
    }

    pub(crate) fn wrong(&self, name: &str, rule: &str, remedy: &str) -> Foreign {
        Foreign::new(&format!("{}.{name}", self.path), rule, remedy)
    }

    /// What is there, if anything is.
    pub(crate) fn get(&self, name: &str) -> Option<&'j Value> {
        self.value.get(name).filter(|value| !value.is_null())
    }

    /// The member that must be there.
    pub(crate) fn member(&self, name: &str) -> Result<Member<'j>, Foreign> {
        let Some(value) = self.get(name) else {
            return Err(self.wrong(name, "it must be there", "add it"));
        };
        if !value.is_object() {
            return Err(self.wrong(name, "it must be an object", "write {…}"));
        }
        Ok(Member { value, path: format!("{}.{name}", self.path) })
    }

    /// A text that must be there and not be empty.
    pub(crate) fn text(&self, name: &str) -> Result<&'j str, Foreign> {
        match self.optional_text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.wrong(name, "it must be there and not be empty", "add it")),
        }
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'j str>, Foreign> {
        let text = |value: &'j Value| {
            value.as_str().ok_or_else(|| self.wrong(name, "it must be a text", "write \"…\""))
        };
        self.get(name).map(text).transpose()
    }

    /// The objects of a list; none where it is absent.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<Member<'j>>, Foreign> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let list = value.as_array();
        let list = list.ok_or_else(|| self.wrong(name, "it must be a list", "write […]"))?;
        let item = |(number, value): (usize, &'j Value)| {
            let path = format!("{}.{name}[{number}]", self.path);
            match value.is_object() {
                true => Ok(Member { value, path }),
                false => Err(Foreign::new(&path, "it must be an object", "write {…}")),
            }
        };
        list.iter().enumerate().map(item).collect()
    }

    /// The texts of a list; none where it is absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'j str>, Foreign> {
        let wrong = || self.wrong(name, "it must be a list of texts", "write [\"…\"]");
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(wrong)?;
        list.iter().map(|value| value.as_str().ok_or_else(wrong)).collect()
    }
}
