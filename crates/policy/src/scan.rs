//! One pass over a policy's text before Cedar parses it.
//!
//! Cedar's parser, validator and evaluator recurse as deep as an expression nests, and nothing in
//! Cedar bounds it: enough brackets overflow the stack, and `a && b && …` nests as well. So nesting
//! is bounded here, on the tokens of Cedar's grammar, together with what a schema can't forbid:
//! templates, extension functions, characters that mislead readers. What a text means is Cedar's
//! business.

use std::ops::Range;

use crate::error::{Place, PolicyError};
use crate::limits::{MAX_BRACKETS, MAX_DEPTH, MAX_RULES, MAX_TEXT_BYTES};

/// Words that stand between the operands of a logical expression.
const LOGICAL_WORDS: [&str; 3] = ["if", "then", "else"];

/// Words that nest their operands as other operators do.
const OPERATOR_WORDS: [&str; 4] = ["in", "has", "like", "is"];

/// The bytes of each rule, from its first token to its `;`.
///
/// # Errors
/// Whatever the tokens alone tell. A text that passes need not be Cedar.
pub(crate) fn rules(text: &str) -> Result<Vec<Range<usize>>, PolicyError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PolicyError::TooLong { found: text.len() });
    }
    check_characters(text)?;
    let mut rules = Vec::new();
    let mut rest = Tokens { text, at: 0 }.peekable();
    while let Some((range, _)) = rest.peek() {
        let start = range.start;
        if rules.len() == MAX_RULES {
            return Err(PolicyError::TooManyRules { place: Place::of(text, start) });
        }
        let end = rule(text, start, &mut rest)?;
        rules.push(start..end);
    }
    Ok(rules)
}

/// Takes the tokens of one rule and gives its end.
fn rule<'t>(
    text: &'t str,
    start: usize,
    tokens: &mut impl Iterator<Item = (Range<usize>, Token<'t>)>,
) -> Result<usize, PolicyError> {
    let mut nesting = Nesting::new(start);
    let mut before = [(start, Token::Other); 2];
    let mut end = text.len();
    for (range, token) in tokens {
        let place = || Place::of(text, range.start);
        match token {
            Token::Slot => return Err(PolicyError::Template { place: place() }),
            Token::OpenString => return Err(PolicyError::OpenString { place: place() }),
            Token::Open(bracket) => {
                if nesting.is_open() && bracket == '(' {
                    check_call(text, before)?;
                }
                let annotates = before[0].1 == Token::At;
                nesting.open(bracket, range.start, !annotates);
                if nesting.brackets > MAX_BRACKETS {
                    return Err(PolicyError::TooManyBrackets { place: place() });
                }
            }
            Token::Close(found) => {
                nesting.close(found).map_err(|()| PolicyError::Bracket { place: place(), found })?
            }
            Token::Comma => nesting.next_item(),
            Token::Logical => nesting.logical(),
            Token::Dot | Token::Operator => nesting.operator(),
            Token::Word(_) | Token::At | Token::Other => {}
            Token::End => {
                end = range.end;
                break;
            }
        }
        before = [before[1], (range.start, token)];
    }
    let depth = nesting
        .depth()
        .map_err(|(at, found)| PolicyError::Bracket { place: Place::of(text, at), found })?;
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep { place: Place::of(text, start), found: depth });
    }
    Ok(end)
}

/// No function is called by the bracket behind these tokens; methods are no functions.
fn check_call(text: &str, before: [(usize, Token<'_>); 2]) -> Result<(), PolicyError> {
    match before {
        [(_, Token::Dot), _] => Ok(()),
        [_, (at, Token::Word(name))] => {
            Err(PolicyError::Extension { place: Place::of(text, at), name: name.into() })
        }
        _ => Ok(()),
    }
}

fn check_characters(text: &str) -> Result<(), PolicyError> {
    match text.char_indices().find(|(_, c)| misleads(*c)) {
        None => Ok(()),
        Some((at, found)) => Err(PolicyError::Character { place: Place::of(text, at), found }),
    }
}

/// Control characters but tab and line ends, and what is invisible or reorders what is read.
pub(crate) fn misleads(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        // Bidirectional marks, embeddings, overrides and isolates; zero-width characters.
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' => true,
        '\u{2060}'..='\u{206F}' | '\u{FEFF}' => true,
        c => c.is_control(),
    }
}

// ------------------------------------------------------------------ nesting

/// How deep a rule nests, at most.
///
/// The logical operators of an item are taken as nested in each other, its deepest operand as nested
/// in all of them; so are the other operators of an operand, and its deepest bracket. The tree that
/// Cedar makes of a rule is at most twice as deep: it writes `a > b` as `!(a <= b)`, and `a has b.c`
/// as `a has b && a.b has c`.
struct Nesting {
    /// The rule itself, then every open bracket.
    levels: Vec<Level>,
    brackets: usize,
}

struct Level {
    bracket: char,
    at: usize,
    /// Operators of the current operand.
    operators: usize,
    /// Its deepest bracket.
    within: usize,
    /// Logical operators of the current item.
    logical: usize,
    /// Its deepest operand so far.
    operand: usize,
    /// The deepest item so far.
    deepest: usize,
}

impl Level {
    fn new(bracket: char, at: usize) -> Self {
        Self { bracket, at, operators: 0, within: 0, logical: 0, operand: 0, deepest: 0 }
    }

    fn end_operand(&mut self) {
        self.operand = self.operand.max(self.operators + self.within);
        (self.operators, self.within) = (0, 0);
    }

    fn end_item(&mut self) {
        self.end_operand();
        self.deepest = self.deepest.max(self.logical + self.operand);
        (self.logical, self.operand) = (0, 0);
    }
}

impl Nesting {
    fn new(at: usize) -> Self {
        Self { levels: vec![Level::new(';', at)], brackets: 0 }
    }

    /// Whether a bracket is open.
    fn is_open(&self) -> bool {
        self.levels.len() > 1
    }

    fn current(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the rule's own level is never closed")
    }

    fn operator(&mut self) {
        self.current().operators += 1;
    }

    fn logical(&mut self) {
        let level = self.current();
        level.end_operand();
        level.logical += 1;
    }

    fn next_item(&mut self) {
        self.current().end_item();
    }

    fn open(&mut self, bracket: char, at: usize, counts: bool) {
        self.current().operators += usize::from(counts);
        self.brackets += 1;
        self.levels.push(Level::new(bracket, at));
    }

    /// Fails when the bracket that is open is another one, or none is.
    fn close(&mut self, found: char) -> Result<(), ()> {
        let partner =
            matches!((self.current().bracket, found), ('(', ')') | ('[', ']') | ('{', '}'));
        if !partner {
            return Err(());
        }
        self.current().end_item();
        let closed = self.levels.pop().map_or(0, |level| level.deepest);
        let level = self.current();
        level.within = level.within.max(closed);
        Ok(())
    }

    /// Fails with a bracket that is still open.
    fn depth(mut self) -> Result<usize, (usize, char)> {
        let level = self.current();
        level.end_item();
        match level.bracket {
            ';' => Ok(level.deepest),
            bracket => Err((level.at, bracket)),
        }
    }
}

// ------------------------------------------------------------------ tokens

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Open(char),
    Close(char),
    Comma,
    Dot,
    At,
    /// `;`
    End,
    /// `&&`, `||` and the words of a conditional.
    Logical,
    /// All other operators.
    Operator,
    /// `?name`
    Slot,
    /// A string whose end is missing.
    OpenString,
    /// Numbers, strings, `:` and `::`, and what is no token of Cedar's, where its lexer stops.
    Other,
}

/// The tokens of a text with the bytes that they take; comments and white space are left out.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = (Range<usize>, Token<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.skip_blank();
        let first = rest.chars().next()?;
        let (length, token) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = word(rest);
                (word.len(), word_token(word))
            }
            '"' => match string_length(rest) {
                Some(length) => (length, Token::Other),
                None => (rest.len(), Token::OpenString),
            },
            '(' | '[' | '{' => (1, Token::Open(first)),
            ')' | ']' | '}' => (1, Token::Close(first)),
            ',' => (1, Token::Comma),
            '.' => (1, Token::Dot),
            '@' => (1, Token::At),
            ';' => (1, Token::End),
            '?' => (1, Token::Slot),
            _ => operator(rest).unwrap_or((first.len_utf8(), Token::Other)),
        };
        let start = self.at;
        self.at += length;
        Some((start..self.at, token))
    }
}

impl<'t> Tokens<'t> {
    fn skip_blank(&mut self) -> &'t str {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.len() - rest.trim_start().len();
            let comment = if rest[blank..].starts_with("//") {
                rest[blank..].find(['\n', '\r']).unwrap_or(rest.len() - blank)
            } else {
                0
            };
            self.at += blank + comment;
            if comment == 0 {
                return &self.text[self.at..];
            }
        }
    }
}

fn word_token(word: &str) -> Token<'_> {
    if LOGICAL_WORDS.contains(&word) {
        Token::Logical
    } else if OPERATOR_WORDS.contains(&word) {
        Token::Operator
    } else {
        Token::Word(word)
    }
}

fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &rest[..end.unwrap_or(rest.len())]
}

/// Bytes of the string that begins here, its quotes included.
fn string_length(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    loop {
        match characters.next()? {
            (at, '"') => return Some(at + 1),
            // As in Cedar's grammar, a backslash takes any character but a line feed.
            (_, '\\') if characters.next()?.1 == '\n' => return None,
            _ => {}
        }
    }
}

fn operator(rest: &str) -> Option<(usize, Token<'static>)> {
    if rest.starts_with("&&") || rest.starts_with("||") {
        return Some((2, Token::Logical));
    }
    if ["==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) {
        return Some((2, Token::Operator));
    }
    let single = rest.starts_with(['<', '>', '=', '!', '+', '-', '*', '/', '%']);
    single.then_some((1, Token::Operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rules(text: &str, expect: &[&str]) {
        let found: Vec<&str> =
            rules(text).expect("is scanned").into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expect);
    }

    #[track_caller]
    fn check_depth(text: &str, expect: usize) {
        let mut nesting = Nesting::new(0);
        for (range, token) in (Tokens { text, at: 0 }) {
            match token {
                Token::Open(bracket) => nesting.open(bracket, range.start, true),
                Token::Close(bracket) => nesting.close(bracket).expect("has a partner"),
                Token::Comma => nesting.next_item(),
                Token::Logical => nesting.logical(),
                Token::Dot | Token::Operator => nesting.operator(),
                _ => {}
            }
        }
        assert_eq!(nesting.depth(), Ok(expect), "{text}");
    }

    #[test]
    fn rules_end_at_semicolons_that_are_tokens() {
        check_rules("", &[]);
        check_rules(" // permit;\n", &[]);
        check_rules("a ; b;", &["a ;", "b;"]);
        check_rules("a \"; \\\" ;\" // ; \" \n ; b", &["a \"; \\\" ;\" // ; \" \n ;", "b"]);
        check_rules(";;", &[";", ";"]);
    }

    #[test]
    fn items_of_a_list_do_not_nest() {
        check_depth("a", 0);
        check_depth("[a, b, c]", 1);
        check_depth("[a + b, c + d + e, f]", 3);
        check_depth("a && b && c", 2);
        check_depth("a.b == c && d.e == f.g || !h", 5);
        check_depth("if a then b.c else if d then e else f", 7);
        check_depth("((a))", 2);
        check_depth("(((a).b).c).d", 6);
        check_depth("f([a], [[b]]).g(c)", 5);
    }

    #[test]
    fn operators_behind_a_bracket_nest_what_is_in_it() {
        // Twenty brackets with four operators behind each: a hundred levels.
        let mut text = "a".to_owned();
        for _ in 0..20 {
            text = format!("({text}).b.c.d.e");
        }
        check_depth(&text, 100);
    }
}
