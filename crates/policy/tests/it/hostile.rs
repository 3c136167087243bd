//! Texts and requests that mean harm: an answer always comes, on a small stack, and the same one
//! on every stack.

use std::thread;

use proptest::prelude::*;
use tally_policy::limits::{MAX_DEPTH, MAX_TEXT_BYTES};
use tally_policy::{Decision, Finding, Policy, PolicyError, PolicySet, Request, evaluate};

use crate::support::{map, offer, set};

const SMALL_STACK: usize = 256 * 1024;

fn on_stack<T: Send + 'static>(bytes: usize, run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::Builder::new().stack_size(bytes).spawn(run).expect("a thread");
    thread.join().expect("no panic")
}

fn parse(text: String) -> Result<Policy, PolicyError> {
    on_stack(SMALL_STACK, move || Policy::parse("p", 1, &text))
}

fn forbid_when(condition: &str) -> String {
    format!("forbid (principal, action, resource) when {{ {condition} }};")
}

fn nested(n: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(n), close.repeat(n))
}

/// Everything that nests, `n` times.
fn shapes(n: usize) -> Vec<String> {
    let one = "context.at";
    vec![
        nested(n, "(", "true", ")"),
        nested(n, "!(", "true", ")"),
        nested(n, "!!!!(", "true", ")"),
        format!("{} > 0", nested(n, "----(", one, ")")),
        nested(n, "(1 > 0) == (", "true", ")"),
        nested(n, "[true].contains(", "true", ")"),
        nested(n, "if ", "true", " then true else false"),
        nested(n, "if true then ", "true", " else false"),
        nested(n, "if true then false else ", "true", ""),
        nested(n, "true && (", "true", ")"),
        format!("{} == {}", nested(n, "[", "1", "]"), nested(n, "[", "1", "]")),
        format!("{} == {}", nested(n, "{a: ", "1", "}"), nested(n, "{a: ", "1", "}")),
        format!("{} > 0", nested(n, "{a: ", "1", "}.a")),
        format!("{} > 0", nested(n, "{a: ", "1", "}[\"a\"]")),
        format!("{} > 0", vec![one; n].join(" + ")),
        format!("{} > 0", vec![one; n].join(" - ")),
        format!("{} > 0", vec!["1"; n].join(" * ")),
        vec!["true"; n].join(" && "),
        vec!["false"; n].join(" || "),
        format!("context has a{}", ".b".repeat(n)),
        format!("true }} {}", vec!["when { true"; n].join(" } ")),
    ]
}

#[test]
fn the_deepest_rules_parse_and_evaluate_alike_on_every_stack() {
    let mut parsed = 0;
    for shape in 0..shapes(1).len() {
        // The deepest of this shape that the limits let through.
        let Some(policy) =
            (1..=MAX_DEPTH).rev().find_map(|n| match parse(forbid_when(&shapes(n)[shape])) {
                Ok(policy) => Some(policy),
                Err(PolicyError::TooDeep { .. }) => None,
                Err(error) => panic!("{}: {error}", shapes(n)[shape]),
            })
        else {
            panic!("no depth of shape {shape} is a policy");
        };
        parsed += 1;
        let policies = PolicySet::new([policy]).expect("a set");
        let decide = |bytes: usize| -> Decision {
            let policies = policies.clone();
            on_stack(bytes, move || evaluate(&policies, &offer()))
        };
        let decision = decide(SMALL_STACK);
        assert_eq!(decision, decide(64 * 1024 * 1024));
        let failed = decision.grounds.iter().any(|g| matches!(g.finding, Finding::Fails { .. }));
        assert!(!failed, "shape {shape}: {decision:?}");
    }
    assert_eq!(parsed, shapes(1).len());
}

#[test]
fn nesting_without_end_is_refused() {
    for shape in 0..shapes(1).len() {
        let longest = (1..).map(|n| forbid_when(&shapes(1 << n)[shape]));
        let longest = longest.take_while(|text| text.len() <= MAX_TEXT_BYTES).last();
        let error = parse(longest.expect("a text")).expect_err("is too deep");
        assert!(
            matches!(error, PolicyError::TooDeep { .. } | PolicyError::TooManyBrackets { .. }),
            "shape {shape}: {error}"
        );
    }
}

/// Where Cedar's parser recovers from an error it drops brackets, so that what is balanced in the
/// text nests deeper in the tree.
#[test]
fn brackets_that_error_recovery_unbalances_do_no_harm() {
    for (open, close) in
        [("{x}:", "{ x y {}}"), ("( x y (", "))"), ("[x y[", "]]"), ("{x y}:{", "}")]
    {
        for n in [60, 500, 1_000, 2_000] {
            let inner = nested(n, open, "", close);
            let _ = parse(forbid_when(&inner));
            let _ = parse(format!("forbid (principal == {inner}, action, resource);"));
            let flat = format!("{}{}", open.repeat(n), close.repeat(n));
            let _ = parse(format!("forbid (principal == ({flat}), action, resource);"));
        }
    }
}

#[test]
fn strange_ids_and_values_are_only_texts() {
    let strange = "\"'\\\n\0\u{202E}::){}@🦀é\u{301}";
    let text = "forbid (principal, action, resource) unless {
        context.any_of.hasTag(\"region\") && context.any_of.getTag(\"region\").contains(\"eu\")
        && principal.hasTag(\"\") && principal.getTag(\"\").contains(principal) };";
    let policies = PolicySet::new([Policy::parse(strange, u64::MAX, text).expect("a policy")]);
    let policies = policies.expect("a set");
    let mut request = offer();
    request.agent = strange.into();
    request.capability.id = String::new();
    request.capability.tags = set(&["", strange]);
    request.terms.any_of = map("region", set(&["eu", strange]));
    request.claims = map(strange, map("", set(&[strange])));
    request.at = i64::MIN;
    assert!(evaluate(&policies, &request).allowed);
    let again: Request = serde_json::from_slice(&request.canonical()).expect("a request");
    assert_eq!(evaluate(&policies, &again), evaluate(&policies, &request));
    request.claims.clear();
    let denied = evaluate(&policies, &request);
    assert!(denied.explain(&policies)[0].to_string().contains("rule \"#1\" forbids"));
}

/// Pieces of which texts are made that are nearly policies.
const PIECES: [&str; 48] = [
    "forbid",
    "permit",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "principal",
    "action",
    "resource",
    "context",
    ",",
    ";",
    "when",
    "unless",
    "==",
    "!=",
    "in",
    "is",
    "has",
    "like",
    ".",
    "::",
    ":",
    "@",
    "@id",
    "\"a\"",
    "\"",
    "\\",
    "//",
    "\n",
    "if",
    "then",
    "else",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "<",
    "7",
    "true",
    "Agent::\"a\"",
    "?principal",
    "ip(",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        let _ = Policy::parse("p", 1, &text);
    }

    #[test]
    fn any_tokens_get_an_answer(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..400)) {
        let _ = Policy::parse("p", 1, &pieces.join(" "));
        let _ = Policy::parse("p", 1, &forbid_when(&pieces.join(" ")));
    }

    /// A policy with pieces put in or taken out; where it still is one, it decides.
    #[test]
    fn a_changed_policy_gets_an_answer(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, prop::sample::select(&PIECES[..])), 1..6),
    ) {
        let mut text = include_str!("../fixtures/policies/platform.cedar").to_owned();
        for (index, remove, insert) in changes {
            let start = text.floor_char_boundary(index.index(text.len() + 1));
            let end = text.floor_char_boundary((start + remove).min(text.len()));
            text.replace_range(start..end.max(start), insert);
        }
        if let Ok(policy) = Policy::parse("p", 1, &text) {
            let policies = PolicySet::new([policy]).expect("a set");
            let decision = evaluate(&policies, &offer());
            prop_assert_eq!(&decision, &evaluate(&policies, &offer()));
        }
    }
}
