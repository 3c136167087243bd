//! Texts of given lengths, with and without matches of patterns, that differ from given ones.
//!
//! With patterns, the automata of all of them run side by side over every text, shortest first,
//! until one is accepted or no state is new. States are few, texts are not.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::rc::Rc;

use serde_json::Value;

use crate::compare::goal::{Fact, State};
use crate::compare::search::{Outcome, Reason, Search};
use crate::judge::Limit;
use crate::limits::MAX_WITNESS_SIZE;
use crate::node::Range;
use crate::pattern::{Exhausted, Pattern, Progress};

impl<'a> Search<'a> {
    /// A text by what is certain in the state.
    pub(crate) fn string(&mut self, state: &State<'a>) -> Result<Outcome, Limit> {
        let length = state.facts.iter().fold(Range::ANY, |length, fact| match fact {
            Fact::Length(range) => length.and(*range),
            _ => length,
        });
        self.judge.spend(1 + state.differs.len() as u64)?;
        if length.is_empty() {
            return Ok(Outcome::Nothing);
        }
        if length.least > MAX_WITNESS_SIZE {
            return Ok(Reason::Text.about(None));
        }
        if state.matches.is_empty() {
            return Ok(plain(length, &state.differs));
        }
        // What is no text is no JSON text of a string.
        let excluded: Vec<String> =
            state.differs.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let patterns: Vec<_> = state.matches.iter().copied().collect();
        self.matching(&patterns, length, &excluded)
    }

    fn matching(
        &mut self,
        patterns: &[(&'a Pattern, bool)],
        length: Range,
        excluded: &[String],
    ) -> Result<Outcome, Limit> {
        let bytes = self.bytes(patterns, excluded);
        let mut walk = Walk { search: self, patterns, length, trie: Trie::of(excluded) };
        match walk.shortest(&bytes) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Limit(limit)) => Err(limit),
            Err(Stop::Exhausted) => Ok(Reason::Limit(Limit::Automaton).about(None)),
        }
    }

    /// One byte for all that no pattern, no excluded text and no rule of UTF-8 tells apart.
    fn bytes(&self, patterns: &[(&'a Pattern, bool)], excluded: &[String]) -> Vec<u8> {
        let spelled: BTreeSet<u8> = excluded.iter().flat_map(|text| text.bytes()).collect();
        let mut seen = HashSet::new();
        let telling = |byte: &u8| {
            let classes: Vec<u8> = patterns.iter().map(|(p, _)| p.class(*byte)).collect();
            seen.insert((spelled.get(byte).copied(), utf8_class(*byte), classes))
        };
        legible_first().filter(telling).collect()
    }
}

/// A text where only length counts: as short as can be, but a character if there may be one.
fn plain(length: Range, differs: &BTreeSet<Rc<str>>) -> Outcome {
    if length.most == 0 {
        let text = Value::from("");
        let is_excluded = differs.contains(text.to_string().as_str());
        return if is_excluded { Outcome::Nothing } else { Outcome::Found(text) };
    }
    let head = "a".repeat(length.least.max(1) as usize - 1);
    // More last characters than excluded texts, so one of these texts is left.
    let texts = ('a'..=char::MAX).map(|last| Value::from(format!("{head}{last}")));
    let found =
        texts.take(differs.len() + 1).find(|text| !differs.contains(text.to_string().as_str()));
    found.map_or(Reason::Text.about(None), Outcome::Found)
}

/// All bytes: letters and digits, other ASCII, the rest.
fn legible_first() -> impl Iterator<Item = u8> {
    let plain = (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9');
    let marks = (b' '..=b'~').filter(|byte| !byte.is_ascii_alphanumeric());
    plain.chain(marks).chain(0..b' ').chain(127..=255)
}

/// Bytes that UTF-8 treats alike (Unicode 3.9, table 3-7).
fn utf8_class(byte: u8) -> u8 {
    const STARTS: [u8; 13] =
        [0x80, 0x90, 0xa0, 0xc0, 0xc2, 0xe0, 0xe1, 0xed, 0xee, 0xf0, 0xf1, 0xf4, 0xf5];
    STARTS.iter().take_while(|start| byte >= **start).count() as u8
}

/// How far a character has come: how many bytes are missing, and what the next may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Utf8 {
    missing: u8,
    next: (u8, u8),
}

impl Utf8 {
    const BETWEEN: Self = Self { missing: 0, next: (0, 0) };
    const CONTINUATION: (u8, u8) = (0x80, 0xbf);

    fn read(self, byte: u8) -> Option<Self> {
        let (missing, next) = if self.missing > 0 {
            let (first, last) = self.next;
            (first..=last).contains(&byte).then_some((self.missing - 1, Self::CONTINUATION))?
        } else {
            match byte {
                0x00..=0x7f => (0, Self::CONTINUATION),
                0xc2..=0xdf => (1, Self::CONTINUATION),
                0xe0 => (2, (0xa0, 0xbf)),
                0xed => (2, (0x80, 0x9f)),
                0xe1..=0xef => (2, Self::CONTINUATION),
                0xf0 => (3, (0x90, 0xbf)),
                0xf1..=0xf3 => (3, Self::CONTINUATION),
                0xf4 => (3, (0x80, 0x8f)),
                _ => return None,
            }
        };
        Some(if missing == 0 { Self::BETWEEN } else { Self { missing, next } })
    }
}

/// The excluded texts, letter by letter.
struct Trie {
    steps: BTreeMap<(usize, u8), usize>,
    ends: BTreeSet<usize>,
}

impl Trie {
    const ROOT: usize = 0;

    fn of(texts: &[String]) -> Self {
        let mut trie = Self { steps: BTreeMap::new(), ends: BTreeSet::new() };
        for text in texts {
            let mut at = Self::ROOT;
            for byte in text.bytes() {
                let next = trie.steps.len() + 1;
                at = *trie.steps.entry((at, byte)).or_insert(next);
            }
            trie.ends.insert(at);
        }
        trie
    }
}

/// Where all automata are after a text.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    progress: Vec<Progress>,
    utf8: Utf8,
    /// Characters, counted no further than makes a difference.
    count: u64,
    /// In the excluded texts, as long as it begins one.
    trie: Option<usize>,
}

enum Stop {
    Limit(Limit),
    Exhausted,
}

impl From<Limit> for Stop {
    fn from(limit: Limit) -> Self {
        Self::Limit(limit)
    }
}

impl From<Exhausted> for Stop {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

struct Walk<'a, 's> {
    search: &'s mut Search<'a>,
    patterns: &'s [(&'a Pattern, bool)],
    length: Range,
    trie: Trie,
}

impl Walk<'_, '_> {
    /// The shortest text that is wanted. `Nothing` only when every state was seen.
    fn shortest(&mut self, bytes: &[u8]) -> Result<Outcome, Stop> {
        let start = self.start()?;
        let mut seen = HashSet::from([start.clone()]);
        let mut queue = VecDeque::from([(start, Vec::new())]);
        while let Some((point, text)) = queue.pop_front() {
            if self.accepts(&point)? {
                return Ok(String::from_utf8(text)
                    .map_or(Reason::Text.about(None), |text| Outcome::Found(text.into())));
            }
            for byte in bytes {
                let Some(next) = self.read(&point, *byte)? else { continue };
                if seen.insert(next.clone()) {
                    let mut text = text.clone();
                    text.push(*byte);
                    queue.push_back((next, text));
                }
            }
        }
        Ok(Outcome::Nothing)
    }

    fn start(&mut self) -> Result<Point, Stop> {
        let automata = &mut self.search.judge.automata;
        let progress = self.patterns.iter().map(|(pattern, _)| automata.start_anew(pattern));
        let progress = progress.collect::<Result<_, _>>()?;
        Ok(Point { progress, utf8: Utf8::BETWEEN, count: 0, trie: Some(Trie::ROOT) })
    }

    /// The point after one byte more, if a wanted text may still come of it.
    fn read(&mut self, point: &Point, byte: u8) -> Result<Option<Point>, Stop> {
        self.search.judge.spend(1)?;
        let Some(utf8) = point.utf8.read(byte) else { return Ok(None) };
        let begins = point.utf8 == Utf8::BETWEEN;
        let count = point.count + u64::from(begins);
        if count > self.length.most {
            return Ok(None);
        }
        let unbounded = self.length.most == u64::MAX;
        let count = if unbounded { count.min(self.length.least) } else { count };
        let mut progress = Vec::with_capacity(point.progress.len());
        for ((pattern, wanted), before) in self.patterns.iter().zip(&point.progress) {
            let after = self.search.judge.automata.read_on(pattern, *before, byte)?;
            let hopeless = if *wanted { Progress::Failed } else { Progress::Matched };
            if after == hopeless {
                return Ok(None);
            }
            progress.push(after);
        }
        let trie = point.trie.and_then(|at| self.trie.steps.get(&(at, byte)).copied());
        Ok(Some(Point { progress, utf8, count, trie }))
    }

    fn accepts(&mut self, point: &Point) -> Result<bool, Stop> {
        let is_excluded = point.trie.is_some_and(|at| self.trie.ends.contains(&at));
        if point.utf8 != Utf8::BETWEEN || point.count < self.length.least || is_excluded {
            return Ok(false);
        }
        for ((pattern, wanted), progress) in self.patterns.iter().zip(&point.progress) {
            if self.search.judge.automata.ends(pattern, *progress)? != *wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_is_what_the_library_takes() {
        let mut points = VecDeque::from([(Utf8::BETWEEN, Vec::new())]);
        while let Some((utf8, text)) = points.pop_front() {
            for byte in 0..=255_u8 {
                let text: Vec<u8> = text.iter().copied().chain([byte]).collect();
                let read = utf8.read(byte);
                let expect = match std::str::from_utf8(&text) {
                    Ok(_) => Some(0),
                    // Without a length, it is only unfinished.
                    Err(error) if error.error_len().is_none() => Some(1),
                    Err(_) => None,
                };
                assert_eq!(read.map(|utf8| utf8.missing.min(1)), expect, "{text:?}");
                if let Some(utf8) = read.filter(|utf8| utf8.missing > 0 && text.len() < 3) {
                    points.push_back((utf8, text));
                }
            }
        }
    }

    #[test]
    fn bytes_of_a_class_are_read_alike() {
        let states = [0x61, 0xc3, 0xe0, 0xe1, 0xed, 0xf0, 0xf1, 0xf4]
            .map(|byte| Utf8::BETWEEN.read(byte).expect("a first byte"));
        for (a, b) in (0..=254_u8).map(|byte| (byte, byte + 1)) {
            if utf8_class(a) == utf8_class(b) {
                assert!(states.iter().all(|state| state.read(a) == state.read(b)), "{a:x}");
            }
        }
    }
}
