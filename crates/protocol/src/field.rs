//! How a typed value is read from the wire form and written back, and what is wrong when it can't.
//!
//! [`record!`], [`choice!`] and [`code!`] declare a message, a `oneof` and an enum once; reading
//! (from the wire form, and from [`crate::canonical`] bytes), writing, JSON and the path of a fault
//! follow from the declaration.

use std::fmt;

use crate::ids::{Digest, EnvelopeId, Time, TraceId};
use crate::key::{AgentId, KeyError};
use crate::limits::MAX_LIST_ITEMS;

/// What is wrong with the value at a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A required field is absent.
    #[error("is required")]
    Missing,
    /// A field of fixed length has another.
    #[error("must have {expected} bytes, has {found}")]
    Length {
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// Longer than its limit.
    #[error("has {found} bytes, the limit is {limit}")]
    TooLong {
        /// Most bytes.
        limit: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// More items than the limit.
    #[error("has {found} items, the limit is {limit}")]
    TooMany {
        /// Most items.
        limit: usize,
        /// Items that it has.
        found: usize,
    },
    /// A number that stands for nothing in this version.
    #[error("has the unknown code {0}")]
    UnknownCode(i32),
    /// A number outside its range.
    #[error("is {found}, outside {least} to {most}")]
    Range {
        /// Least value.
        least: i64,
        /// Greatest value.
        most: i64,
        /// The value.
        found: i64,
    },
    /// A control character in a text that may not have one.
    #[error("has a control character")]
    ControlCharacter,
    /// All bytes are zero, which stands for absent.
    #[error("is all zero")]
    Zero,
    /// Not an agent's key.
    #[error("is no agent's key: {0}")]
    Key(#[from] KeyError),
    /// An inline document does not hash to the digest beside it.
    #[error("does not hash to the digest beside it")]
    DigestMismatch,
    /// Not the origin of any ledger.
    #[error("is no origin of a ledger")]
    Origin,
    /// A version that this program does not speak.
    #[error("is version {found}, this ledger speaks {expected}")]
    Version {
        /// The version spoken here.
        expected: u32,
        /// The version found.
        found: u32,
    },
    /// The object schema is not that of the message.
    #[error("must be {expected:?}, the schema of the message that is carried")]
    ObjectSchema {
        /// What it must be.
        expected: &'static str,
    },
    /// `previous` is there for the first envelope of an author, or absent for a later one.
    #[error("must be the id of the author's envelope before, and absent for the first")]
    Previous,
    /// What is written would be read back as another statement.
    #[error("would be read back as another statement: a time of 0 stands for none at all")]
    ReadBack,
    /// Not protobuf of this schema at all.
    #[error("is no protobuf encoding of an envelope")]
    Protobuf,
    /// Decodes, but another encoding of the same statement is the canonical one.
    #[error(
        "is not the canonical encoding: fields ascending, defaults absent, no unknown fields; \
         encode it with a generated protobuf library and sign those bytes"
    )]
    NotCanonical,
}

/// Bytes that say nothing in this protocol: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {fault}")]
pub struct Malformed {
    /// Path of the field, as in `offer.price.currency` or `intent.open.inputs[3].digest`.
    pub path: String,
    /// What is wrong there.
    pub fault: Fault,
}

impl Malformed {
    /// A fault at the value itself.
    pub(crate) fn here(fault: Fault) -> Self {
        Self { path: String::new(), fault }
    }

    /// The same fault, seen from the message that has the value as a field.
    pub(crate) fn within(mut self, field: impl fmt::Display) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{field}{separator}{}", self.path);
        self
    }
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        Self::here(fault)
    }
}

/// A typed value with the wire form `W`.
pub(crate) trait Field<W>: Sized {
    fn read(wire: W) -> Result<Self, Malformed>;
    fn write(&self) -> W;
}

impl<T: Field<W>, W> Field<Option<W>> for Option<T> {
    fn read(wire: Option<W>) -> Result<Self, Malformed> {
        wire.map(T::read).transpose()
    }

    fn write(&self) -> Option<W> {
        self.as_ref().map(T::write)
    }
}

impl<T: Field<W>, W> Field<W> for Box<T> {
    fn read(wire: W) -> Result<Self, Malformed> {
        T::read(wire).map(Box::new)
    }

    fn write(&self) -> W {
        T::write(self)
    }
}

impl<T: Field<W>, W> Field<Vec<W>> for Vec<T> {
    fn read(wire: Vec<W>) -> Result<Self, Malformed> {
        if wire.len() > MAX_LIST_ITEMS {
            return Err(Fault::TooMany { limit: MAX_LIST_ITEMS, found: wire.len() }.into());
        }
        let read_item =
            |(i, item)| T::read(item).map_err(|e: Malformed| e.within(format!("[{i}]")));
        wire.into_iter().enumerate().map(read_item).collect()
    }

    fn write(&self) -> Vec<W> {
        self.iter().map(T::write).collect()
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Field<$type> for $type {
            fn read(wire: $type) -> Result<Self, Malformed> {
                Ok(wire)
            }

            fn write(&self) -> $type {
                *self
            }
        }
    )*};
}
plain!(u32, u64, i64, bool);

impl Field<i64> for Time {
    fn read(wire: i64) -> Result<Self, Malformed> {
        if wire < 0 {
            return Err(Fault::Range { least: 0, most: i64::MAX, found: wire }.into());
        }
        Ok(Self(wire))
    }

    fn write(&self) -> i64 {
        self.0
    }
}

impl Field<i64> for Option<Time> {
    fn read(wire: i64) -> Result<Self, Malformed> {
        Ok(Some(Time::read(wire)?).filter(|time| time.0 != 0))
    }

    fn write(&self) -> i64 {
        self.map_or(0, |time| time.0)
    }
}

macro_rules! fixed_bytes {
    ($($type:ty),*) => {$(
        impl Field<Vec<u8>> for $type {
            fn read(wire: Vec<u8>) -> Result<Self, Malformed> {
                if wire.is_empty() {
                    return Err(Fault::Missing.into());
                }
                let fault = Fault::Length { expected: Self::LEN, found: wire.len() };
                Ok(Self(wire.try_into().map_err(|_| fault)?))
            }

            fn write(&self) -> Vec<u8> {
                self.0.to_vec()
            }
        }
    )*};
}
fixed_bytes!(EnvelopeId, Digest);

impl Field<Vec<u8>> for TraceId {
    fn read(wire: Vec<u8>) -> Result<Self, Malformed> {
        let fault = Fault::Length { expected: Self::LEN, found: wire.len() };
        let bytes: [u8; 16] = wire.try_into().map_err(|_| fault)?;
        // W3C trace context, section 3.2.2.3: "All bytes as zero is considered an invalid value."
        if bytes == [0; 16] { Err(Fault::Zero.into()) } else { Ok(Self(bytes)) }
    }

    fn write(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl Field<Vec<u8>> for AgentId {
    fn read(wire: Vec<u8>) -> Result<Self, Malformed> {
        if wire.is_empty() {
            return Err(Fault::Missing.into());
        }
        Ok(Self::from_bytes(&wire).map_err(Fault::Key)?)
    }

    fn write(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

macro_rules! absent_when_empty {
    ($wire:ty: $($type:ty),*) => {$(
        impl Field<$wire> for Option<$type> {
            fn read(wire: $wire) -> Result<Self, Malformed> {
                if wire.is_empty() { Ok(None) } else { <$type>::read(wire).map(Some) }
            }

            fn write(&self) -> $wire {
                self.as_ref().map(<$type>::write).unwrap_or_default()
            }
        }
    )*};
}
pub(crate) use absent_when_empty;
absent_when_empty!(Vec<u8>: Digest, EnvelopeId, TraceId);

/// Whether a value is the default, which JSON leaves out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A message of which nothing must be there has a default.
macro_rules! default_of {
    ($name:ident,) => {
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
    ($name:ident, $($req:ident)+) => {};
}

/// Declares a message: its typed form, the wire form it is read from, JSON. Fields after
/// `optional` may be absent; what `check` says holds between fields.
macro_rules! record {
    (
        $(#[$doc:meta])*
        $name:ident($wire:ty) {
            $($(#[$req_doc:meta])* $req:ident: $req_type:ty,)*
        } $(optional {
            $($(#[$opt_doc:meta])* $opt:ident: $opt_type:ty,)*
        })? $(check $check:expr)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$req_doc])* pub $req: $req_type,)*
            $($(
                $(#[$opt_doc])*
                #[serde(default, skip_serializing_if = "crate::field::is_default")]
                pub $opt: $opt_type,
            )*)?
        }

        impl crate::field::Field<$wire> for $name {
            fn read(wire: $wire) -> Result<Self, crate::field::Malformed> {
                let record = Self {
                    $($req: crate::field::Field::read(wire.$req)
                        .map_err(|e: crate::field::Malformed| e.within(stringify!($req)))?,)*
                    $($($opt: crate::field::Field::read(wire.$opt)
                        .map_err(|e: crate::field::Malformed| e.within(stringify!($opt)))?,)*)?
                };
                $($check(&record)?;)?
                Ok(record)
            }

            fn write(&self) -> $wire {
                type Wire = $wire;
                Wire {
                    $($req: crate::field::Field::write(&self.$req),)*
                    $($($opt: crate::field::Field::write(&self.$opt),)*)?
                }
            }
        }

        impl crate::canonical::Canonical for $name {
            fn from_field(field: crate::canonical::Occurrence<'_>) -> Option<Self> {
                use crate::canonical::{Canonical, Numbers, settle};
                let mut fields = field.fields()?;
                $(let mut $req = None;)*
                $($(let mut $opt = None;)*)?
                while let Some(field) = fields.next()? {
                    $(if const { Numbers::of::<$wire>(stringify!($req)) }.have(field.number) {
                        Canonical::take(&mut $req, field)?;
                        continue;
                    })*
                    $($(if const { Numbers::of::<$wire>(stringify!($opt)) }.have(field.number) {
                        Canonical::take(&mut $opt, field)?;
                        continue;
                    })*)?
                    return None;
                }
                let record = Self {
                    $($req: settle($req)?,)*
                    $($($opt: settle($opt)?,)*)?
                };
                $($check(&record).ok()?;)?
                Some(record)
            }
        }

        crate::field::default_of!($name, $($req)*);

        impl $name {
            /// With what must be there, and nothing else.
            pub fn new($($req: $req_type),*) -> Self {
                Self { $($req,)* $($($opt: Default::default(),)*)? }
            }

            /// Reads the wire form.
            ///
            /// # Errors
            /// [`Malformed`](crate::Malformed) names the field and the rule.
            pub fn from_wire(wire: $wire) -> Result<Self, crate::field::Malformed> {
                crate::field::Field::read(wire)
            }

            /// The wire form.
            pub fn to_wire(&self) -> $wire {
                crate::field::Field::write(self)
            }
        }

        // As a field of another message that must be there.
        impl crate::field::Field<Option<$wire>> for $name {
            fn read(wire: Option<$wire>) -> Result<Self, crate::field::Malformed> {
                crate::field::Field::read(wire.ok_or(crate::field::Fault::Missing)?)
            }

            fn write(&self) -> Option<$wire> {
                Some(crate::field::Field::write(self))
            }
        }
    };
}
pub(crate) use default_of;
pub(crate) use record;

/// Declares a message that is nothing but a `oneof`.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        $name:ident($wire:ty, $field:ident: $oneof:ty) {
            $($(#[$var_doc:meta])* $variant:ident($type:ty) = $label:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$var_doc])* $variant($type),)*
        }

        impl crate::field::Field<$wire> for $name {
            fn read(wire: $wire) -> Result<Self, crate::field::Malformed> {
                use $oneof as Wire;
                let missing = || crate::field::Malformed::from(crate::field::Fault::Missing);
                match wire.$field.ok_or_else(|| missing().within(stringify!($field)))? {
                    $(Wire::$variant(inner) => crate::field::Field::read(inner)
                        .map(Self::$variant)
                        .map_err(|e: crate::field::Malformed| e.within($label)),)*
                }
            }

            fn write(&self) -> $wire {
                type Wire = $oneof;
                type Message = $wire;
                Message {
                    $field: Some(match self {
                        $(Self::$variant(inner) => {
                            Wire::$variant(crate::field::Field::write(inner))
                        })*
                    }),
                }
            }
        }

        impl crate::canonical::Canonical for $name {
            fn from_field(field: crate::canonical::Occurrence<'_>) -> Option<Self> {
                let mut fields = field.fields()?;
                let field = fields.next()??;
                let choice = crate::field::member!($wire, field => {
                    $(Self::$variant = $label,)*
                })?;
                fields.next()?.is_none().then_some(choice)
            }
        }
    };
}
pub(crate) use choice;

/// Reads the member of a oneof that a field is: the variant whose label is the field's name.
macro_rules! member {
    ($wire:ty, $field:expr => { $($variant:path = $label:literal,)* }) => {{
        use crate::canonical::{Canonical, Numbers};
        match $field.number {
            $(number if const { Numbers::of::<$wire>($label) }.have(number) => {
                Canonical::from_field($field).map($variant)
            })*
            _ => None,
        }
    }};
}
pub(crate) use member;

/// Declares an enum whose zero stands for absent.
macro_rules! code {
    (
        $(#[$doc:meta])*
        $name:ident($wire:ty) {
            $($(#[$var_doc:meta])* $variant:ident,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$var_doc])* $variant,)*
        }

        impl $name {
            /// The name that JSON and people use.
            pub fn name(self) -> String {
                let mut text = String::new();
                for (i, c) in format!("{self:?}").char_indices() {
                    if c.is_uppercase() && i > 0 {
                        text.push('_');
                    }
                    text.push(c.to_ascii_lowercase());
                }
                text
            }
        }

        impl crate::field::Field<i32> for Option<$name> {
            fn read(wire: i32) -> Result<Self, crate::field::Malformed> {
                type Wire = $wire;
                match Wire::try_from(wire) {
                    Ok(Wire::Unspecified) => Ok(None),
                    $(Ok(Wire::$variant) => Ok(Some($name::$variant)),)*
                    Err(_) => Err(crate::field::Fault::UnknownCode(wire).into()),
                }
            }

            fn write(&self) -> i32 {
                type Wire = $wire;
                (match self {
                    None => Wire::Unspecified,
                    $(Some($name::$variant) => Wire::$variant,)*
                }) as i32
            }
        }

        impl crate::canonical::Canonical for $name {
            fn from_field(field: crate::canonical::Occurrence<'_>) -> Option<Self> {
                let code = i32::try_from(field.varint()?).ok()?;
                crate::field::Field::read(code).ok()
            }

            fn list(
                items: &mut Vec<Self>,
                field: crate::canonical::Occurrence<'_>,
            ) -> Option<()> {
                crate::canonical::codes(items, field, |code| crate::field::Field::read(code).ok())
            }
        }

        impl crate::field::Field<i32> for $name {
            fn read(wire: i32) -> Result<Self, crate::field::Malformed> {
                let code: Option<Self> = crate::field::Field::read(wire)?;
                code.ok_or_else(|| crate::field::Fault::Missing.into())
            }

            fn write(&self) -> i32 {
                crate::field::Field::write(&Some(*self))
            }
        }
    };
}
pub(crate) use code;
