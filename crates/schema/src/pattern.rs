//! Patterns: ECMA 262 regular expressions as lazy automata, which take linear time and bounded
//! memory. Look-around and back-references are regular no more and are refused.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;

use crate::limits::MAX_AUTOMATON_BYTES;

/// A pattern and its automaton.
pub(crate) struct Pattern {
    pub(crate) source: String,
    dfa: DFA,
}

impl Pattern {
    /// Compiles a pattern into at most `bytes`.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub(crate) fn new(source: &str, bytes: usize) -> Result<Self, String> {
        let translated = jsonschema_regex::to_rust_regex(source)
            .map_err(|()| "is no regular expression of ECMA 262".to_owned())?;
        let dfa = DFA::builder()
            .configure(
                DFA::config().cache_capacity(MAX_AUTOMATON_BYTES).skip_cache_capacity_check(true),
            )
            .thompson(thompson::Config::new().nfa_size_limit(Some(bytes)))
            .build(&with_ascii_words(&translated))
            .map_err(|error| cause(&error))?;
        Ok(Self { source: source.to_owned(), dfa })
    }

    /// The class of bytes that the automaton does not tell apart.
    pub(crate) fn class(&self, byte: u8) -> u8 {
        self.dfa.byte_classes().get(byte)
    }

    /// Bytes of the compiled pattern.
    pub(crate) fn memory(&self) -> usize {
        self.dfa.get_nfa().memory_usage() + self.source.len()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.source.cmp(&other.source)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// With `\b` as ECMA 262 has it: words are of ASCII letters, digits and `_`.
fn with_ascii_words(pattern: &str) -> String {
    let (mut classes, mut escaped) = (0_u32, false);
    let mut ascii = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if escaped && c == 'b' && classes == 0 {
            ascii.pop();
            ascii.push_str(r"(?-u:\b)");
        } else {
            ascii.push(c);
        }
        match c {
            '[' if !escaped => classes += 1,
            ']' if !escaped => classes = classes.saturating_sub(1),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    ascii
}

/// The innermost reason, on one line.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// How far a text has been read against a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// A match was seen.
    Matched,
    /// No match can come any more.
    Failed,
    /// Neither so far.
    Open(LazyStateID),
}

/// The automaton could not be run to its end within [`MAX_AUTOMATON_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// The running automata of patterns, made when they are first asked.
#[derive(Default)]
pub(crate) struct Automata<'a> {
    caches: HashMap<&'a str, Cache>,
}

impl<'a> Automata<'a> {
    fn cache(&mut self, pattern: &'a Pattern) -> &mut Cache {
        self.caches.entry(&pattern.source).or_insert_with(|| pattern.dfa.create_cache())
    }

    /// Whether a match is in the text.
    pub(crate) fn matches(&mut self, pattern: &'a Pattern, text: &str) -> Result<bool, Exhausted> {
        let mut progress = self.start(pattern)?;
        for byte in text.bytes() {
            match progress {
                Progress::Matched => return Ok(true),
                Progress::Failed => return Ok(false),
                Progress::Open(_) => progress = self.read(pattern, progress, byte)?,
            }
        }
        self.accepts_end(pattern, progress)
    }

    /// Before the first byte.
    fn start(&mut self, pattern: &'a Pattern) -> Result<Progress, Exhausted> {
        let cache = self.cache(pattern);
        let id = pattern.dfa.start_state(cache, &start::Config::new()).map_err(|_| Exhausted)?;
        progress(id)
    }

    /// After one byte more. An automaton that runs out of memory forgets the states it was in
    /// before, so only the newest progress may be used further.
    fn read(
        &mut self,
        pattern: &'a Pattern,
        before: Progress,
        byte: u8,
    ) -> Result<Progress, Exhausted> {
        let Progress::Open(id) = before else { return Ok(before) };
        let cache = self.cache(pattern);
        let id = pattern.dfa.next_state(cache, id, byte).map_err(|_| Exhausted)?;
        progress(id)
    }

    /// Before the first byte, for [`Self::read_on`].
    pub(crate) fn start_anew(&mut self, pattern: &'a Pattern) -> Result<Progress, Exhausted> {
        pattern.dfa.reset_cache(self.cache(pattern));
        self.start(pattern)
    }

    /// After one byte more than any progress since [`Self::start_anew`]: nothing is forgotten.
    pub(crate) fn read_on(
        &mut self,
        pattern: &'a Pattern,
        before: Progress,
        byte: u8,
    ) -> Result<Progress, Exhausted> {
        let after = self.read(pattern, before, byte)?;
        self.remembers(pattern).then_some(after).ok_or(Exhausted)
    }

    /// Whether a match was seen when the text ends here.
    fn accepts_end(&mut self, pattern: &'a Pattern, at: Progress) -> Result<bool, Exhausted> {
        let Progress::Open(id) = at else { return Ok(at == Progress::Matched) };
        let cache = self.cache(pattern);
        let id = pattern.dfa.next_eoi_state(cache, id).map_err(|_| Exhausted)?;
        Ok(id.is_match())
    }

    /// Whether a match was seen when the text ends here; nothing is forgotten.
    pub(crate) fn ends(&mut self, pattern: &'a Pattern, at: Progress) -> Result<bool, Exhausted> {
        let accepts = self.accepts_end(pattern, at)?;
        self.remembers(pattern).then_some(accepts).ok_or(Exhausted)
    }

    /// Whether all states of the automaton are kept.
    fn remembers(&mut self, pattern: &'a Pattern) -> bool {
        self.cache(pattern).clear_count() == 0
    }
}

fn progress(id: LazyStateID) -> Result<Progress, Exhausted> {
    if id.is_quit() {
        return Err(Exhausted);
    }
    Ok(match id {
        id if id.is_match() => Progress::Matched,
        id if id.is_dead() => Progress::Failed,
        id => Progress::Open(id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    #[track_caller]
    fn check(pattern: &str, text: &str, expect: bool) {
        let pattern = Pattern::new(pattern, SIZE).expect("a pattern");
        assert_eq!(Automata::default().matches(&pattern, text), Ok(expect), "{pattern:?} {text:?}");
    }

    #[test]
    fn a_match_may_be_anywhere() {
        check("b+", "abc", true);
        check("^b", "abc", false);
        check("^$", "", true);
        check("^a$", "a\n", false);
        check("", "x", true);
        check("^[a-z]+$", "abc", true);
        check("^[a-z]+$", "abC", false);
        check("^.$", "é", true);
        check(r"^\d$", "٣", false);
        check(r"\bfoo\b", "a foo.", true);
        check(r"\bfoo\b", "afoo.", false);
        check(r"\bfoo\b", "éfoo", true);
        check(r"^\\b$", r"\b", true);
        check(r"^[\\b]$", "b", true);
        check(r"^\p{L}+$", "añb", true);
        check("a|b$", "cb", true);
    }

    #[test]
    fn what_is_not_regular_is_refused() {
        for (pattern, because) in [
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "ECMA 262"),
            ("a{1000}{1000}", "exceeded"),
        ] {
            let error = Pattern::new(pattern, SIZE).expect_err("refused");
            assert!(error.contains(because), "{pattern}: {error}");
        }
    }
}
