//! How policies decide: alone, together, and when they fail.

use tally_policy::request::Action;
use tally_policy::{Failure, Finding, PolicySet, PolicySetError, evaluate};

use crate::support::{
    all_actions, asked, check, decide, execution, map, offer, policies, policy, set,
};

const LIMIT: &str = r#"@id("limit") forbid (principal, action, resource) when { context.at < 0 };"#;
const FORBID_ALL: &str = "forbid (principal, action, resource);";
const PERMIT_ALL: &str = "permit (principal, action, resource);";
const PERMIT_OFFERS: &str =
    r#"@id("offers") permit (principal, action == Action::"offer", resource);"#;
/// Fails with an overflow at any time after 1970.
const FAILS: &str = "context.at * 9223372036854775807 > 0";

#[test]
fn no_policy_allows_everything() {
    for request in all_actions() {
        check(&[], &request, true, &[]);
    }
}

#[test]
fn limits_alone_allow_what_they_do_not_forbid() {
    for request in all_actions() {
        check(&[LIMIT], &request, true, &[]);
    }
    let expect = [r#"policy "p0" version 1, line 1: rule "limit" forbids"#];
    check(&[LIMIT], &tally_policy::Request { at: -1, ..offer() }, false, &expect);
}

#[test]
fn with_a_permit_what_is_not_permitted_is_denied() {
    let expect = [r#"policy "p0" version 1, line 1: rule "offers" permits"#];
    check(&[PERMIT_OFFERS], &offer(), true, &expect);
    let start = asked(Action::Start(execution()));
    check(
        &[PERMIT_OFFERS],
        &start,
        false,
        &[r#"policy "p0" version 1: none of its rules permits"#],
    );
}

#[test]
fn a_forbid_wins_over_any_number_of_permits() {
    for order in
        [format!("{PERMIT_ALL}{FORBID_ALL}{PERMIT_ALL}"), format!("{FORBID_ALL}{PERMIT_ALL}")]
    {
        let decision = decide(&[&order], &offer());
        assert!(!decision.allowed);
        assert!(matches!(&decision.grounds[0].finding, Finding::Forbids(_)), "{decision:?}");
        assert_eq!(decision.grounds.len(), 1);
    }
}

#[test]
fn a_permit_opens_nothing_that_another_policy_closes() {
    let start = asked(Action::Start(execution()));
    check(
        &[PERMIT_ALL, PERMIT_OFFERS],
        &start,
        false,
        &[r#"policy "p1" version 1: none of its rules permits"#],
    );
    assert!(!decide(&[PERMIT_ALL, FORBID_ALL], &start).allowed);
    assert!(decide(&[PERMIT_ALL, LIMIT], &start).allowed);
}

#[test]
fn all_grounds_are_told_by_policy_and_in_the_order_of_the_text() {
    let text = r#"
        @id("z") @reason("too early") forbid (principal, action, resource) when { context.at > 0 };

        @id("a")
        forbid (principal, action, resource)
        when { context.capability.category == "vision" };

        forbid (principal, action, resource);
    "#;
    check(
        &[LIMIT, text, FORBID_ALL],
        &offer(),
        false,
        &[
            r#"policy "p1" version 1, line 2: rule "z" forbids: too early"#,
            r#"policy "p1" version 1, line 4: rule "a" forbids"#,
            r##"policy "p1" version 1, line 8: rule "#3" forbids"##,
            r##"policy "p2" version 1, line 1: rule "#1" forbids"##,
        ],
    );
}

#[test]
fn an_error_denies_in_a_forbid_and_in_a_permit() {
    let failing_forbid = format!("forbid (principal, action, resource) when {{ {FAILS} }};");
    let failing_permit = format!("permit (principal, action, resource) when {{ {FAILS} }};");
    let expect = r##"policy "p0" version 1, line 1: rule "#1" could not be evaluated, which denies: a number beyond 64 bits"##;
    check(&[&failing_forbid], &offer(), false, &[expect]);
    check(&[&failing_permit], &offer(), false, &[expect]);
    // Another rule that permits does not save it.
    check(&[&format!("{failing_forbid}{PERMIT_ALL}")], &offer(), false, &[expect]);
    check(&[&format!("{failing_permit}{PERMIT_ALL}")], &offer(), false, &[expect]);
    // A rule whose scope does not match is not evaluated.
    let elsewhere =
        format!("forbid (principal, action == Action::\"start\", resource) when {{ {FAILS} }};");
    check(&[&elsewhere], &offer(), true, &[]);
}

#[test]
fn an_error_and_a_forbid_are_both_told() {
    let text = format!("forbid (principal, action, resource) when {{ {FAILS} }}; {FORBID_ALL}");
    let findings: Vec<Finding> =
        decide(&[&text], &offer()).grounds.into_iter().map(|ground| ground.finding).collect();
    let fails = Finding::Fails { rule: "#1".into(), failure: Failure::Overflow };
    assert_eq!(findings, [fails, Finding::Forbids("#2".into())]);
}

#[test]
fn a_request_that_is_too_large_is_denied_where_there_are_policies() {
    let mut request = offer();
    let values: Vec<String> = (0..6_000).map(|i| i.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    request.terms.any_of = map("region", set(&values));
    assert!(request.canonical().len() > tally_policy::limits::MAX_REQUEST_BYTES);
    let expect = r#"policy "p0" version 1: the request has more than 32768 bytes, which denies"#;
    check(&[PERMIT_ALL], &request, false, &[expect]);
    check(&[], &request, true, &[]);
}

#[test]
fn one_version_of_a_policy_is_in_force() {
    let (one, two) = (policy("p", 1, LIMIT), policy("p", 2, LIMIT));
    assert_eq!(
        PolicySet::new([one.clone(), two]),
        Err(PolicySetError::Twice { id: "p".into(), versions: [1, 2] })
    );
    let other_text = policy("p", 1, FORBID_ALL);
    assert_eq!(
        PolicySet::new([one.clone(), other_text]),
        Err(PolicySetError::Twice { id: "p".into(), versions: [1, 1] })
    );
    assert_eq!(PolicySet::new([one.clone(), one.clone()]), PolicySet::new([one]));
}

#[test]
fn a_set_has_limits() {
    let many = |n: usize| PolicySet::new((0..n).map(|i| policy(&i.to_string(), 1, FORBID_ALL)));
    let most = tally_policy::limits::MAX_POLICIES;
    assert!(many(most).is_ok());
    assert_eq!(many(most + 1), Err(PolicySetError::TooMany { found: most + 1 }));

    let padded = format!("{FORBID_ALL}//{}", "x".repeat(32_000));
    let long = |n: usize| PolicySet::new((0..n).map(|i| policy(&i.to_string(), 1, &padded)));
    assert!(long(4).is_ok());
    assert_eq!(long(5), Err(PolicySetError::TooLong { found: 5 * padded.len() }));
}

#[test]
fn the_agents_that_rules_name_are_known() {
    let set = policies(&[
        r#"forbid (principal == Agent::"a", action, resource) when {
               resource is Intent && [Agent::"b", Agent::"c"].contains(resource.author) };"#,
        r#"permit (principal, action, resource) unless {
               principal.hasTag("x") && principal.getTag("x").contains(Agent::"b") };
           forbid (principal, action == Action::"offer", resource == Intent::"not an agent");"#,
    ]);
    assert_eq!(set.agents().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn of_a_policy_that_is_not_at_hand_the_decision_itself_is_told() {
    let asked = policies(&[FORBID_ALL]);
    let decision = evaluate(&asked, &offer());
    let later = PolicySet::new([policy("p0", 2, PERMIT_ALL)]).expect("a set");
    for other in [later, PolicySet::new([]).expect("a set")] {
        let [ground] = &decision.explain(&other)[..] else { panic!("{decision:?}") };
        assert_eq!(ground.to_string(), r##"policy "p0" version 1: rule "#1" forbids"##);
        assert_eq!(ground.rule(), None);
    }
}
