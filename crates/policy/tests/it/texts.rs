//! Which texts are policies, and what authors of others are told.

use tally_policy::limits::{MAX_BRACKETS, MAX_DEPTH, MAX_RULES, MAX_TEXT_BYTES};
use tally_policy::{Effect, Policy, PolicyError};

use crate::support::policy;

/// The text is refused with this error.
#[track_caller]
fn refused(text: &str, expect: &str) {
    let error = Policy::parse("p", 1, text).expect_err("is refused");
    assert_eq!(error.to_string(), expect);
}

fn when(condition: &str) -> String {
    format!("forbid (principal, action, resource)\nwhen {{ {condition} }};")
}

#[test]
fn rules_have_names_effects_lines_and_annotations() {
    let text = "// Two rules.\n\n@id(\"first\")\n@reason(\"because\")\nforbid (principal, action, \
                resource); permit\n(principal, action, resource);";
    let policy = policy("p", 7, text);
    assert_eq!((policy.id(), policy.version(), policy.text()), ("p", 7, text));
    let [first, second] = policy.rules() else { panic!("two rules") };
    assert_eq!((first.name.as_str(), first.effect, first.line), ("first", Effect::Forbid, 3));
    assert_eq!(first.annotations["reason"], "because");
    assert_eq!((second.name.as_str(), second.effect, second.line), ("#2", Effect::Permit, 5));
}

#[test]
fn a_text_without_a_rule_is_refused() {
    let expect = "the text has no rule: write at least one `permit (…);` or `forbid (…);`";
    for empty in ["", "  \n", "// forbid (principal, action, resource);"] {
        refused(empty, expect);
    }
}

#[test]
fn what_is_not_cedar_is_refused_with_the_place() {
    refused(
        "forbid (principal, action, resource)",
        "line 1, column 37: unexpected end of input: expected `;` or identifier",
    );
    refused(
        "\n  grant (principal, action, resource);",
        "line 2, column 3: invalid policy effect: grant: effect must be either `permit` or `forbid`",
    );
    refused(
        "permit (principal, action, resource); ;",
        "line 1, column 39: unexpected token `;`: expected `@` or identifier",
    );
    refused(
        &when("context.at = 0"),
        "line 2, column 8: '=' is not a valid operator in Cedar: try using '==' instead",
    );
    refused(
        &when("context.at == 9223372036854775808"),
        "line 2, column 22: integer literal `9223372036854775808` is too large: maximum allowed \
         integer literal is `9223372036854775807`",
    );
    refused(&when("4 / 2 == 2"), "line 2, column 8: division is not supported");
}

#[test]
fn columns_count_characters() {
    refused("/* ü */ permit", "line 1, column 4: invalid token");
    refused(
        &when("\"üüü\" == context.nonsense"),
        "line 2, column 17: attribute `nonsense` in context for Action::\"advertise\" not found: \
         did you mean `none_of`?",
    );
}

#[test]
fn what_no_request_has_is_refused() {
    for (condition, expect) in [
        (
            "context.regoin == 1",
            "attribute `regoin` in context for Action::\"advertise\" not found: did you mean `cost`?",
        ),
        (
            "context.cost.amount > 1",
            "unable to guarantee safety of access to optional attribute `cost` in context for \
             Action::\"advertise\": try testing for the attribute's presence with `context has cost \
             && ..`",
        ),
        (
            "context.any_of.getTag(\"region\").contains(\"us\")",
            "unable to guarantee safety of access to tag `\"region\"` on entity type `Conditions`: \
             try testing for the tag's presence with `.hasTag(\"region\") && ..`",
        ),
        (
            "context.at == \"now\"",
            "the types Long and String are not compatible: both operands to a `==` expression must \
             have compatible types. Types must be exactly equal to be compatible",
        ),
        ("principal.claims.contains(\"x\")", "attribute `claims` on entity type `Agent` not found"),
        (
            "resource.priority > 3",
            "attribute `priority` on entity type `Capability` not found: did you mean `category`?",
        ),
        (
            "context.attempt > 3",
            "attribute `attempt` in context for Action::\"advertise\" not found: did you mean `at`?",
        ),
        ("[] == context.capability.tags", "empty set literals are forbidden in policies"),
        ("Agent::\"a\".hasTag(\"x\")", "entity literals cannot be dereferenced at any level"),
        ("context.at", "unexpected type: expected Bool but saw Long"),
    ] {
        refused(&when(condition), &format!("line 2, column 8: {expect}"));
    }
    refused(
        "forbid (principal is User, action, resource);",
        "line 1, column 22: unrecognized entity type `User`: did you mean `Agent`?",
    );
    refused(
        "forbid (principal, action == Action::\"pay\", resource);",
        "line 1, column 30: unrecognized action `Action::\"pay\"`: did you mean `Action::\"start\"`?",
    );
}

#[test]
fn of_several_faults_the_first_in_the_text_is_told() {
    let bad = |name: &str| when(&format!("context.{name} == 1"));
    refused(
        &format!("{}\n{}", bad("zzz"), bad("aaa")),
        "line 2, column 8: attribute `zzz` in context for Action::\"advertise\" not found: did you \
         mean `at`?",
    );
}

#[test]
fn an_attribute_that_only_some_requests_have_can_be_asked_for() {
    policy("p", 1, &when("context has attempt && context.attempt > 3"));
    policy("p", 1, &when("resource is Intent && resource.priority > 3"));
    policy(
        "p",
        1,
        "forbid (principal, action == Action::\"start\", resource) when { context.attempt > 3 };",
    );
}

#[test]
fn templates_are_refused() {
    let expect = "templates are not supported: name the agent or object in place of the slot";
    refused(
        "permit (principal == ?principal, action, resource);",
        &format!("line 1, column 22: {expect}"),
    );
    refused(
        "permit (principal, action,\n resource in ?resource);",
        &format!("line 2, column 14: {expect}"),
    );
}

#[test]
fn extension_functions_are_refused() {
    for (condition, name, column) in [
        ("ip(\"10.0.0.1\").isLoopback()", "ip", 8),
        ("decimal(\"1.0\").lessThan(decimal(\"2.0\"))", "decimal", 8),
        ("context.at > 0 && datetime (\"2026-01-01\") == datetime(\"2026-01-01\")", "datetime", 26),
        ("duration(\"1h\") == duration(\"1h\")", "duration", 8),
    ] {
        let expect = format!(
            "line 2, column {column}: the extension function `{name}` is not supported: amounts and \
             times are whole numbers, everything else is a string"
        );
        refused(&when(condition), &expect);
    }
}

#[test]
fn brackets_and_strings_must_end() {
    refused(
        &when("(context.at > 0]"),
        "line 2, column 23: `]` has no partner: balance the brackets",
    );
    refused(
        &when("(context.at > 0"),
        "line 2, column 24: `}` has no partner: balance the brackets",
    );
    refused(
        "forbid (principal, action, resource;",
        "line 1, column 8: `(` has no partner: balance the brackets",
    );
    refused(") forbid", "line 1, column 1: `)` has no partner: balance the brackets");
    refused(&when("\"a"), "line 2, column 8: the string does not end: close it with `\"`");
    refused(
        &when("\"a\\\nb\" == \"\""),
        "line 2, column 8: the string does not end: close it with `\"`",
    );
}

#[test]
fn characters_that_mislead_are_refused_everywhere() {
    for (c, code) in [
        ('\u{202E}', "202E"),
        ('\u{2066}', "2066"),
        ('\u{200B}', "200B"),
        ('\u{FEFF}', "FEFF"),
        ('\0', "0000"),
        ('\u{1B}', "001B"),
        ('\u{85}', "0085"),
    ] {
        let expect = format!("the character U+{code} is not allowed: remove it");
        refused(
            &format!("permit (principal, action, resource); // ü{c}"),
            &format!("line 1, column 43: {expect}"),
        );
        refused(&when(&format!("\"{c}\" == \"a\"")), &format!("line 2, column 9: {expect}"));
    }
    policy("p", 1, &when("context.capability.name like \"日本語 😀 é*\""));
    refused(
        "\n@reason(\"\\u{202e}\") permit (principal, action, resource);",
        "line 2, column 1: the character U+202E is not allowed: remove it",
    );
    policy("p", 1, "permit\t(principal,\r\naction, resource);");
}

#[test]
fn names_of_rules_are_unique_and_not_like_numbers() {
    let expect =
        "the rule's @id is empty, longer than 256 bytes, or begins with `#`: choose another";
    for bad in ["", "#1", &"x".repeat(257)] {
        let text = format!(
            "permit (principal, action, resource);\n @id(\"{bad}\") permit (principal, action, resource);"
        );
        refused(&text, &format!("line 2, column 2: {expect}"));
    }
    let twice = "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);";
    refused(twice, "line 2, column 1: a second rule with the @id \"a\": rename one");
}

#[test]
fn texts_and_rules_have_limits() {
    let rule = "forbid (principal, action, resource);";
    let padded = |bytes: usize| format!("{rule}//{}", "x".repeat(bytes - rule.len() - 2));
    policy("p", 1, &padded(MAX_TEXT_BYTES));
    let too_long = Policy::parse("p", 1, &padded(MAX_TEXT_BYTES + 1));
    assert_eq!(too_long.err(), Some(PolicyError::TooLong { found: MAX_TEXT_BYTES + 1 }));

    policy("p", 1, &rule.repeat(MAX_RULES));
    refused(
        &format!("{}\n{rule}", rule.repeat(MAX_RULES)),
        "line 2, column 1: more than 256 rules: split them into several policies",
    );

    // The brackets of scope and condition are two.
    let nested = |n: usize| when(&format!("{}true{}", "(".repeat(n), ")".repeat(n)));
    let too_deep = "line 1, column 1: the rule nests operators and brackets 65 deep, at most 64 are \
                    allowed: use lists, as in `[\"a\", \"b\"].contains(…)`, or several rules";
    policy("p", 1, &nested(MAX_DEPTH - 2));
    refused(&nested(MAX_DEPTH - 1), too_deep);
    // With them, the operators of one alternative, and those between alternatives.
    let alternatives = |n: usize| when(&vec!["context.at > 0"; n].join(" || "));
    policy("p", 1, &alternatives(MAX_DEPTH - 3));
    refused(&alternatives(MAX_DEPTH - 2), too_deep);

    // Beside the brackets of scope, condition, list and call.
    let brackets = |n: usize| when(&format!("[{}].contains(true)", vec!["(true)"; n].join(",")));
    policy("p", 1, &brackets(MAX_BRACKETS - 4));
    refused(
        &brackets(MAX_BRACKETS - 3),
        "line 2, column 14333: more than 2048 opening brackets in one rule: split the rule",
    );
}
