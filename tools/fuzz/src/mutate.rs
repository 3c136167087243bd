//! Changes to inputs: to bytes, to texts and to protobuf, whose fields they can tell apart.

use crate::rng::Rng;
use crate::targets::Grammar;

/// Most bytes of an input: the longest event and some room.
pub const MAX_INPUT_BYTES: usize = 96 * 1024;

/// Most levels of protobuf that are looked into.
const MAX_DEPTH: usize = 6;

/// What means something in one of the text formats.
const TOKENS: &[&str] = &[
    "\n",
    "\n\n",
    "\u{2014} ",
    "+",
    " ",
    "=",
    "==",
    "\0",
    "\r",
    "\t",
    "\u{a0}",
    "\u{85}",
    "\u{feff}",
    "é",
    "0",
    "00",
    "-1",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "index ",
    "extra ",
    "c2sp.org/tlog-proof@v1\n",
    "PRIVATE+KEY+",
    "did:key:z",
    "z6Mk",
    "1111",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "1e400",
    "1.5",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"inline\"",
    "\"digest\"",
    "\"message\"",
    "\"labels\":[],",
    "AQ==",
    "////",
];

/// Changes an input once.
pub fn change(input: &mut Vec<u8>, grammar: Grammar, pool: &[Vec<u8>], rng: &mut Rng) {
    match grammar {
        _ if rng.once_in(3) => bytes(input, pool, rng),
        Grammar::Bytes => bytes(input, pool, rng),
        Grammar::Text => text(input, rng),
        Grammar::Protobuf { skip } => {
            let mut message = input.split_off(input.len().min(skip));
            protobuf(&mut message, rng, 0);
            input.append(&mut message);
        }
    }
    input.truncate(MAX_INPUT_BYTES);
}

fn bytes(input: &mut Vec<u8>, pool: &[Vec<u8>], rng: &mut Rng) {
    if input.is_empty() {
        *input = rng.bytes(8);
        return;
    }
    let at = rng.below(input.len());
    match rng.below(10) {
        0 => input[at] ^= 1 << rng.below(8),
        1 => input[at] = *rng.one_of(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'0']),
        2 => {
            let length = 1 + rng.below(8);
            insert(input, at, &rng.bytes(length));
        }
        3 => drop(input.drain(at..input.len().min(at + 1 + rng.below(16)))),
        4 => drop(input.drain(at..)),
        5 => duplicate(input, at, rng),
        6 => splice(input, at, pool, rng),
        7 => integer(input, at, rng),
        8 => input[at] = rng.byte(),
        _ => input[at] = input[at].wrapping_add(*rng.one_of(&[1, 255])),
    }
}

fn insert(input: &mut Vec<u8>, at: usize, what: &[u8]) {
    input.splice(at..at, what.iter().copied());
}

/// The same range again, sometimes very often.
fn duplicate(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let end = input.len().min(at + 1 + rng.below(64));
    let times = if rng.once_in(8) { 1 + rng.below(2_000) } else { 1 };
    let range = input[at..end].repeat(times);
    insert(input, end, &range);
}

/// This input up to a place, another from a place on.
fn splice(input: &mut Vec<u8>, at: usize, pool: &[Vec<u8>], rng: &mut Rng) {
    if pool.is_empty() {
        return;
    }
    let other = rng.one_of(pool);
    let from = rng.below(other.len() + 1);
    input.truncate(at);
    input.extend_from_slice(&other[from..]);
}

/// A number of 1, 2, 4 or 8 bytes at which arithmetic goes wrong.
fn integer(input: &mut [u8], at: usize, rng: &mut Rng) {
    let number = rng.edge().to_be_bytes();
    let width = (*rng.one_of(&[1, 2, 4, 8])).min(input.len() - at);
    input[at..at + width].copy_from_slice(&number[8 - width..]);
}

fn text(input: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(input.len() + 1);
    let lines: Vec<Vec<u8>> = input.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    match rng.below(5) {
        0 if lines.len() > 1 => *input = moved(lines, rng).concat(),
        1 => number_in_text(input, rng),
        2 => {
            let end = input.len().min(at + 1 + rng.below(6));
            input.splice(at..end, rng.one_of(TOKENS).bytes());
        }
        3 => switch_case(input, at),
        _ => insert(input, at, rng.one_of(TOKENS).as_bytes()),
    }
}

/// A line left out, doubled or in another place.
fn moved(mut lines: Vec<Vec<u8>>, rng: &mut Rng) -> Vec<Vec<u8>> {
    let line = lines.remove(rng.below(lines.len()));
    for _ in 0..rng.below(3) {
        lines.insert(rng.below(lines.len() + 1), line.clone());
    }
    lines
}

fn switch_case(input: &mut [u8], at: usize) {
    if let Some(letter) = input[at..].iter_mut().find(|byte| byte.is_ascii_alphabetic()) {
        *letter ^= 0x20;
    }
}

/// Another number in the place of one.
fn number_in_text(input: &mut Vec<u8>, rng: &mut Rng) {
    let from = rng.below(input.len() + 1);
    let Some(start) = input[from..].iter().position(u8::is_ascii_digit) else { return };
    let start = from + start;
    let digits = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(start..start + digits, rng.edge().to_string().into_bytes());
}

/// A field of a message: its key and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    key: u64,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Varint(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

/// Changes one field, at any depth, and puts the lengths around it right; or breaks the encoding.
fn protobuf(message: &mut Vec<u8>, rng: &mut Rng, depth: usize) {
    let Some(mut fields) = parse(message).filter(|fields| !fields.is_empty()) else {
        return bytes(message, &[], rng);
    };
    let at = rng.below(fields.len());
    match rng.below(11) {
        0 => drop(fields.remove(at)),
        1 => repeat(&mut fields, at, rng),
        2 => {
            let other = rng.below(fields.len());
            fields.swap(at, other);
        }
        3 => {
            let (key, value) = (rng.edge() << 3, Value::Varint(rng.edge()));
            fields.insert(at, Field { key, value });
        }
        4 => return not_canonical(message, &fields, rng),
        5 => {
            fields[at].key = fields[at].key.wrapping_add(*rng.one_of(&[8, 0u64.wrapping_sub(8), 1]))
        }
        _ => value(&mut fields[at].value, rng, depth),
    }
    *message = write(&fields, usize::MAX, 0);
}

fn repeat(fields: &mut Vec<Field>, at: usize, rng: &mut Rng) {
    let field = fields[at].clone();
    let times = if rng.once_in(6) { 1 + rng.below(3_000) } else { 1 };
    fields.splice(at..at, std::iter::repeat_n(field, times));
}

fn value(value: &mut Value, rng: &mut Rng, depth: usize) {
    match value {
        Value::Varint(number) if rng.once_in(2) => *number = rng.edge(),
        Value::Varint(number) => *number = number.wrapping_add(1),
        Value::Fixed(inner) => bytes_kept(inner, rng),
        Value::Bytes(inner) if rng.once_in(12) => inner.clear(),
        Value::Bytes(inner) if depth < MAX_DEPTH && parse(inner).is_some() && !rng.once_in(4) => {
            protobuf(inner, rng, depth + 1);
        }
        Value::Bytes(inner) if rng.once_in(3) => bytes(inner, &[], rng),
        Value::Bytes(inner) if rng.once_in(3) => text(inner, rng),
        Value::Bytes(inner) => bytes_kept(inner, rng),
    }
}

/// Other bytes, as many as before.
fn bytes_kept(inner: &mut [u8], rng: &mut Rng) {
    if !inner.is_empty() {
        inner[rng.below(inner.len())] = rng.byte();
    }
}

/// The same fields in an encoding that is not theirs: a varint with a byte too many, or a length
/// that is not the length.
fn not_canonical(message: &mut Vec<u8>, fields: &[Field], rng: &mut Rng) {
    let wrong = *rng.one_of(&[1, 2, usize::MAX]);
    *message = write(fields, rng.below(fields.len()), wrong);
}

fn parse(mut message: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Varint(read_varint(&mut message)?),
            1 => Value::Fixed(take(&mut message, 8)?),
            2 => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                Value::Bytes(take(&mut message, length)?)
            }
            5 => Value::Fixed(take(&mut message, 4)?),
            _ => return None,
        };
        fields.push(Field { key, value });
    }
    Some(fields)
}

fn take(message: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken.to_vec())
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Writes the fields; the one at `odd` wrong by `wrong`: 0 is right, 1 and `usize::MAX` are a
/// length or number off by one, 2 is a varint that is a byte too long.
fn write(fields: &[Field], odd: usize, wrong: usize) -> Vec<u8> {
    let mut to = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let wrong = if at == odd { wrong } else { 0 };
        let number = |number: u64, to: &mut Vec<u8>| {
            let off = if wrong == 2 { 0 } else { wrong as u64 };
            put_varint(number.wrapping_add(off), wrong == 2, to);
        };
        put_varint(field.key, false, &mut to);
        match &field.value {
            Value::Varint(value) => number(*value, &mut to),
            Value::Fixed(inner) => to.extend_from_slice(inner),
            Value::Bytes(inner) => {
                number(inner.len() as u64, &mut to);
                to.extend_from_slice(inner);
            }
        }
    }
    to
}

fn put_varint(mut number: u64, too_long: bool, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push((number as u8) | 0x80);
        number >>= 7;
    }
    if too_long {
        to.extend([(number as u8) | 0x80, 0]);
    } else {
        to.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_they_were_read() {
        for payload in crate::seeds::payloads() {
            let fields = parse(payload).expect("a payload");
            assert_eq!(write(&fields, usize::MAX, 0), *payload);
        }
    }

    #[test]
    fn a_varint_too_long_says_the_same() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX)] {
            let mut long = Vec::new();
            put_varint(number, true, &mut long);
            let mut short = Vec::new();
            put_varint(number, false, &mut short);
            assert_eq!(long.len(), short.len() + 1);
            assert_eq!(read_varint(&mut &long[..]), Some(number));
        }
    }

    #[test]
    fn an_input_stays_within_its_limit() {
        let mut rng = Rng::new(1);
        let mut input = b"index 7\n\nabc".to_vec();
        for grammar in [Grammar::Bytes, Grammar::Text, Grammar::Protobuf { skip: 1 }] {
            for _ in 0..2_000 {
                change(&mut input, grammar, &[vec![0; 10]], &mut rng);
                assert!(input.len() <= MAX_INPUT_BYTES);
            }
        }
    }
}
