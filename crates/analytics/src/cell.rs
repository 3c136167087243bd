//! Values of columns, and what a column holds, told by the Rust type that it is made of.

use serde::Serialize;
use tally_protocol::parts::{Name, Text, Uri};
use tally_protocol::{
    AgentId, AuthorSequence, ChainHash, Digest, EnvelopeId, Position, Time, TraceId,
};

/// A value of a table or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// A number, a time, or a flag as 0 or 1.
    Integer(i64),
    /// A number with a fraction; only in answers.
    Real(f64),
    /// A text, an id or JSON.
    Text(String),
    /// Bytes; only in answers.
    Bytes(Vec<u8>),
}

impl Value {
    /// As JSON: numbers, texts, null; bytes in hexadecimal, and a number without end as a text.
    pub fn to_json(self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Integer(number) => number.into(),
            Self::Real(number) => match serde_json::Number::from_f64(number) {
                Some(number) => number.into(),
                None => number.to_string().into(),
            },
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => hex::encode(bytes).into(),
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number; one above 9223372036854775807 is given as that.
    Integer,
    /// 0 or 1; in Parquet a boolean.
    Flag,
    /// Microseconds since 1970 in UTC; in Parquet a timestamp.
    Time,
    /// A text.
    Text,
    /// Bytes in lower-case hexadecimal: 64 digits for an envelope or a digest, 32 for a trace.
    Id,
    /// An agent's key as `did:key`.
    Agent,
    /// A list or an object in JSON.
    Json,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Flag => "flag",
            Self::Time => "time",
            Self::Text => "text",
            Self::Id => "id",
            Self::Agent => "agent",
            Self::Json => "json",
        }
    }

    /// Whether its values are integers.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::Integer | Self::Flag | Self::Time)
    }
}

/// A Rust type that a column can be made of.
pub(crate) trait Cell {
    const KIND: Kind;
    const OPTIONAL: bool = false;

    fn value(self) -> Value;
}

/// A list or an object as JSON.
#[derive(Clone)]
pub(crate) struct Json(String);

impl Json {
    pub(crate) fn of(value: &(impl Serialize + ?Sized)) -> Self {
        Self(serde_json::to_string(value).expect("messages are JSON"))
    }
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn value(self) -> Value {
        self.map_or(Value::Null, T::value)
    }
}

macro_rules! cells {
    ($($type:ty: $kind:ident = |$value:ident| $make:expr;)*) => {$(
        impl Cell for $type {
            const KIND: Kind = Kind::$kind;

            fn value(self) -> Value {
                let $value = self;
                $make
            }
        }
    )*};
}
cells! {
    u64: Integer = |number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    u32: Integer = |number| Value::Integer(number.into());
    i64: Integer = |number| Value::Integer(number);
    usize: Integer = |number| (number as u64).value();
    Position: Integer = |position| position.0.value();
    AuthorSequence: Integer = |sequence| sequence.0.value();
    bool: Flag = |flag| Value::Integer(flag.into());
    Time: Time = |time| Value::Integer(time.0);
    String: Text = |text| Value::Text(text);
    &str: Text = |text| Value::Text(text.to_owned());
    Name: Text = |name| Value::Text(name.into());
    Text: Text = |text| Value::Text(text.into());
    Uri: Text = |uri| Value::Text(uri.into());
    EnvelopeId: Id = |id| Value::Text(id.to_string());
    Digest: Id = |digest| Value::Text(digest.to_string());
    ChainHash: Id = |hash| Value::Text(hash.to_string());
    TraceId: Id = |trace| Value::Text(trace.to_string());
    AgentId: Agent = |agent| Value::Text(agent.to_string());
    Json: Json = |json| Value::Text(json.0);
}
