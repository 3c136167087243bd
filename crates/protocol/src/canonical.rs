//! The canonical encoding read straight into typed values: one pass, one verdict.
//!
//! It says yes to exactly those bytes that the wire form, encoded again, would say yes to, and what
//! it makes of them is the same; but it makes no wire form and encodes nothing. It does *not* say
//! what is wrong with other bytes: `None` means that [`crate::Envelope::decode_by_wire_form`] is to
//! be asked. A `None` too many costs time, a `Some` too many would be another protocol.
//!
//! What makes an encoding canonical here: fields in ascending order, each at most once unless it is
//! a list; varints as short as they can be; defaults absent; lists of codes packed; nothing else.
//! Everything that can stand in a message is one of two wire types: a varint, or bytes.

use std::cell::RefCell;

use tally_tlog::Origin;

use crate::ids::{Digest, EnvelopeId, Time, TraceId};
use crate::key::AgentId;
use crate::limits::MAX_LIST_ITEMS;

/// Keys that each thread remembers as points on the curve: 8 KiB.
const KNOWN_KEYS: usize = 256;

/// A message of the wire form: its fields' names with their numbers, those of a oneof's members
/// under the oneof's name, too. Generated from the `.proto` file.
pub(crate) trait Numbered {
    const FIELDS: &'static [(&'static str, u32)];
}

include!(concat!(env!("OUT_DIR"), "/numbers.rs"));

/// The numbers of a field, which are many for a oneof: from the first to the last.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    first: u32,
    last: u32,
}

impl Numbers {
    /// Those of the field or oneof of that name. Used in constants: a name that is not there, or a
    /// oneof with another field between its members, does not compile.
    pub(crate) const fn of<M: Numbered>(name: &str) -> Self {
        let (mut found, mut i) = (Self { first: 0, last: 0 }, 0);
        while i < M::FIELDS.len() {
            let (field, number) = M::FIELDS[i];
            if same(field, name) {
                assert!(found.last == 0 || number == found.last + 1, "a oneof has no gaps");
                let first = if found.last == 0 { number } else { found.first };
                found = Self { first, last: number };
            }
            i += 1;
        }
        assert!(found.last > 0, "the message has a field of that name");
        found
    }

    pub(crate) const fn have(self, number: u32) -> bool {
        self.first <= number && number <= self.last
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut i = 0;
    while i < one.len() && i < other.len() && one[i] == other[i] {
        i += 1;
    }
    i == one.len() && i == other.len()
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Held<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// One occurrence of a field.
#[derive(Clone, Copy)]
pub(crate) struct Occurrence<'a> {
    pub(crate) number: u32,
    held: Held<'a>,
}

impl<'a> Occurrence<'a> {
    /// The fields of the message that it holds.
    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        self.bytes().map(Fields::of)
    }

    /// A number that is not the default.
    pub(crate) fn varint(self) -> Option<u64> {
        match self.held {
            Held::Varint(value) if value != 0 => Some(value),
            _ => None,
        }
    }

    /// Its bytes: a text or a message, perhaps empty.
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self.held {
            Held::Bytes(bytes) => Some(bytes),
            Held::Varint(_) => None,
        }
    }

    /// A text that is not the default.
    pub(crate) fn text(self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.bytes()?).ok()?;
        if text.is_empty() { None } else { Some(text) }
    }

    fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }
}

/// The fields of a message, in ascending order.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// Number of the field before, which a list may have again.
    before: u32,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message, before: 1 }
    }

    /// The next field, or nothing at the end.
    pub(crate) fn next(&mut self) -> Option<Option<Occurrence<'a>>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number >= self.before)?;
        self.before = number;
        let held = match key & 7 {
            0 => Held::Varint(varint(&mut self.rest)?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Held::Bytes(bytes)
            }
            _ => return None,
        };
        Some(Some(Occurrence { number, held }))
    }
}

/// A varint in as few bytes as can be.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    if *first < 0x80 { Some(u64::from(*first)) } else { long_varint(*first, rest) }
}

fn long_varint(first: u8, rest: &mut &[u8]) -> Option<u64> {
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return if *byte == 0 { None } else { Some(value) };
        }
    }
    None
}

/// A typed value that is read from a field.
pub(crate) trait Canonical: Sized {
    /// From one occurrence of the field.
    fn from_field(field: Occurrence<'_>) -> Option<Self>;

    /// What it is where the field is absent; nothing where it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// Adds an occurrence of the field to what came before of it.
    fn take(place: &mut Option<Self>, field: Occurrence<'_>) -> Option<()> {
        once(place, Self::from_field(field))
    }

    /// Adds an occurrence of a list's field to the list.
    fn list(items: &mut Vec<Self>, field: Occurrence<'_>) -> Option<()> {
        items.push(Self::from_field(field)?);
        Some(())
    }
}

/// What a place holds after all fields were read.
pub(crate) fn settle<T: Canonical>(place: Option<T>) -> Option<T> {
    place.or_else(T::absent)
}

/// Puts what a field holds into its place, once.
pub(crate) fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value?);
    Some(())
}

impl<T: Canonical> Canonical for Option<T> {
    fn from_field(field: Occurrence<'_>) -> Option<Self> {
        T::from_field(field).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Canonical> Canonical for Box<T> {
    fn from_field(field: Occurrence<'_>) -> Option<Self> {
        T::from_field(field).map(Box::new)
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn from_field(field: Occurrence<'_>) -> Option<Self> {
        let mut items = Self::new();
        T::list(&mut items, field)?;
        Some(items)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn take(place: &mut Option<Self>, field: Occurrence<'_>) -> Option<()> {
        let items = place.get_or_insert_default();
        T::list(items, field)?;
        (items.len() <= MAX_LIST_ITEMS).then_some(())
    }
}

macro_rules! numbers {
    ($($type:ty: $read:expr;)*) => {$(
        impl Canonical for $type {
            fn from_field(field: Occurrence<'_>) -> Option<Self> {
                let read: fn(u64) -> Option<Self> = $read;
                read(field.varint()?)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }

            /// No message has a list of numbers, which would be packed.
            fn list(_: &mut Vec<Self>, _: Occurrence<'_>) -> Option<()> {
                None
            }
        }
    )*};
}
numbers! {
    u32: |value: u64| u32::try_from(value).ok();
    u64: Some;
    i64: |value: u64| Some(value.cast_signed());
    bool: |value: u64| (value == 1).then_some(true);
    Time: |value: u64| i64::try_from(value).ok().map(Time);
}

macro_rules! fixed_bytes {
    ($($type:ident),*) => {$(
        impl Canonical for $type {
            fn from_field(field: Occurrence<'_>) -> Option<Self> {
                field.array().map(Self)
            }
        }
    )*};
}
fixed_bytes!(EnvelopeId, Digest);

impl Canonical for TraceId {
    fn from_field(field: Occurrence<'_>) -> Option<Self> {
        field.array().filter(|bytes| *bytes != [0; 16]).map(Self)
    }
}

thread_local! {
    /// Where a key's first byte says: a key that is a point on the curve. No key is all zero.
    static KEYS: RefCell<[[u8; 32]; KNOWN_KEYS]> = const { RefCell::new([[0; 32]; KNOWN_KEYS]) };

    /// The origin that was read last: most envelopes are of one ledger.
    static ORIGIN: RefCell<Option<Origin>> = const { RefCell::new(None) };
}

impl Canonical for AgentId {
    /// That a key is a point on the curve costs half a signature check: it is remembered.
    fn from_field(field: Occurrence<'_>) -> Option<Self> {
        let key: [u8; 32] = field.array()?;
        KEYS.with_borrow_mut(|known| {
            let place = &mut known[usize::from(key[0])];
            if *place == key {
                return Self::from_author_bytes(&key).ok();
            }
            let agent = Self::from_bytes(&key).ok()?;
            *place = key;
            Some(agent)
        })
    }
}

/// An origin: the text is shared with the one read before, where it is the same.
pub(crate) fn origin(field: Occurrence<'_>) -> Option<Origin> {
    let text = field.text()?;
    ORIGIN.with_borrow_mut(|last| match last {
        Some(origin) if origin.as_str() == text => Some(origin.clone()),
        _ => last.insert(Origin::new(text).ok()?).clone().into(),
    })
}

/// The codes of a packed list.
pub(crate) fn codes<T>(
    items: &mut Vec<T>,
    field: Occurrence<'_>,
    read: impl Fn(i32) -> Option<T>,
) -> Option<()> {
    let mut packed = field.bytes()?;
    if packed.is_empty() || !items.is_empty() {
        return None;
    }
    while !packed.is_empty() {
        items.push(read(i32::try_from(varint(&mut packed)?).ok()?)?);
    }
    Some(())
}
