//! What code may not contain. Comments and strings are told apart from code by the compiler's own
//! grammar of tokens, so that a word in a comment is never mistaken for the thing.

use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::Problem;

/// A file that is longer is two files.
pub const MAX_LINES: usize = 1_000;

/// Macros that mark something unfinished.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Looks at one file of code.
pub fn check(path: &Path, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let text = format!("has {lines} lines, at most {MAX_LINES} are allowed: split it");
        problems.push(Problem::of(path, text));
    }
    match text.parse::<TokenStream>() {
        Ok(tokens) => walk(tokens, &mut |line, text| problems.push(Problem::at(path, line, text))),
        Err(error) => {
            let line = error.span().start().line;
            problems.push(Problem::at(path, line, "is no Rust from here on"));
        }
    }
    problems
}

fn walk(tokens: TokenStream, report: &mut impl FnMut(usize, String)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                if word == "unsafe" {
                    report(word.span().start().line, "`unsafe` is forbidden".into());
                }
                let called = is_punct(tokens.get(i + 1), '!') && !is_punct(tokens.get(i + 2), '=');
                if called && UNFINISHED.iter().any(|name| word == name) {
                    report(word.span().start().line, format!("`{word}!` marks unfinished work"));
                }
            }
            TokenTree::Group(group) => {
                if is_attribute(&tokens[..i], group) {
                    check_attribute(group.stream(), report);
                }
                walk(group.stream(), report);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn is_punct(token: Option<&TokenTree>, expected: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == expected)
}

/// `[…]` behind `#` or `#!`.
fn is_attribute(before: &[TokenTree], group: &Group) -> bool {
    let outer = is_punct(before.last(), '#');
    let inner = is_punct(before.last(), '!') && is_punct(before.iter().rev().nth(1), '#');
    group.delimiter() == Delimiter::Bracket && (outer || inner)
}

/// `allow(…)` wherever it is in an attribute, within `cfg_attr(…)` too.
fn check_attribute(tokens: TokenStream, report: &mut impl FnMut(usize, String)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for pair in tokens.windows(2) {
        let [first, TokenTree::Group(group)] = pair else { continue };
        match first {
            TokenTree::Ident(word) if word == "allow" => {
                if !has_reason(group.stream()) {
                    let text = "a lint is allowed without a reason: write \
                                `#[expect(lint, reason = \"…\")]`";
                    report(word.span().start().line, text.into());
                }
            }
            _ => check_attribute(group.stream(), report),
        }
    }
}

fn has_reason(arguments: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    tokens.windows(2).any(|pair| {
        matches!(&pair[0], TokenTree::Ident(word) if word == "reason") && is_punct(pair.get(1), '=')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These lines are reported, and no others.
    #[track_caller]
    fn reports(text: &str, expect: &[usize]) {
        let problems = check(Path::new("x.rs"), text);
        let lines: Vec<usize> = problems.iter().map(|found| found.line.expect("a line")).collect();
        assert_eq!(lines, expect, "{problems:?}");
    }

    #[test]
    fn a_lint_is_allowed_only_with_a_reason() {
        reports("#[allow(dead_code)]\nfn f() {}", &[1]);
        reports("\n#![allow(\n    dead_code,\n)]", &[2]);
        reports("#[cfg_attr(test, allow(dead_code))]\nfn f() {}", &[1]);
        reports("fn f() { #[allow(unused)] let x = 1; }", &[1]);
        reports("#[allow(dead_code, reason = \"a test\")]\nfn f() {}", &[]);
        reports("#[expect(dead_code, reason = \"a test\")]\nfn f() {}", &[]);
        reports("fn f() { allow(x); let y = [allow(x)]; }", &[]);
    }

    #[test]
    fn unfinished_work_is_found_in_macros_too() {
        reports("fn f() {\n    todo!()\n}", &[2]);
        reports("fn f() { vec![dbg!(1)]; std::unimplemented!(\"x\") }", &[1, 1]);
        reports("fn f(todo: bool) -> bool { todo != true }", &[]);
    }

    #[test]
    fn unsafe_is_found_in_every_form() {
        reports("unsafe fn f() {}\nfn g() { unsafe { f() } }", &[1, 2]);
        reports("#[unsafe(no_mangle)]\nfn f() {}", &[1]);
        reports("#![forbid(unsafe_code)]", &[]);
    }

    #[test]
    fn comments_and_strings_may_say_anything() {
        reports("/// unsafe, todo!(), #[allow(x)]\nfn f() {} // unsafe", &[]);
        reports("const X: &str = r#\"unsafe #[allow(x)]\"#; /* dbg!(1) */", &[]);
    }

    #[test]
    fn a_file_has_a_limit() {
        assert_eq!(check(Path::new("x.rs"), &"\n".repeat(MAX_LINES)), []);
        let problems = check(Path::new("x.rs"), &"\n".repeat(MAX_LINES + 1));
        let text = "has 1001 lines, at most 1000 are allowed: split it";
        assert_eq!(problems, [Problem::of("x.rs", text)]);
    }

    #[test]
    fn what_is_no_rust_is_named() {
        reports("fn f() {\n    \"\n", &[2]);
    }
}
