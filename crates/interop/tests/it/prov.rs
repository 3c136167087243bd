//! The order that PROV demands: for every constraint a document that breaks it, and one that does
//! not though it comes close.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use tally_interop::prov::{Constraint, Contradiction, Document, Kind, ProvError, check};

/// A document of these members, with the prefix `ex`.
fn document(members: Value) -> Document {
    let mut all = json!({ "prefix": { "ex": "http://example.org/",
        "tally": "https://pervasive.link/tally/prov/v1#" } });
    for (key, value) in members.as_object().expect("members") {
        all[key] = value.clone();
    }
    Document::parse_json(all.to_string().as_bytes()).expect("PROV-JSON")
}

/// What is violated, as sets of constraints.
fn violated(members: Value) -> Vec<BTreeSet<Constraint>> {
    check(&document(members), 0).iter().map(|violation| violation.constraints()).collect()
}

fn at(second: u32) -> String {
    format!("2026-11-18T11:06:{second:02}Z")
}

/// The document breaks this constraint, and not when the two times are the other way round.
fn breaks(constraint: Constraint, make: impl Fn(String, String) -> Value) {
    let broken = violated(make(at(20), at(10)));
    assert!(broken.iter().any(|found| found.contains(&constraint)), "{constraint}: {broken:?}");
    assert_eq!(violated(make(at(10), at(20))), [], "{constraint} holds in the right order");
    assert_eq!(violated(make(at(10), at(10))), [], "equal times do not contradict {constraint}");
}

// ------------------------------------------------------------------ stated times

#[test]
fn an_activity_ends_after_it_starts() {
    breaks(
        Constraint::StartPrecedesEnd,
        |one, other| json!({ "activity": { "ex:a": { "prov:startTime": one, "prov:endTime": other } } }),
    );
    breaks(Constraint::StartPrecedesEnd, |one, other| {
        json!({ "wasStartedBy": { "ex:s": { "prov:activity": "ex:a", "prov:time": one } },
            "wasEndedBy": { "ex:e": { "prov:activity": "ex:a", "prov:time": other } } })
    });
}

#[test]
fn there_is_one_start_one_end_one_generation_and_one_invalidation() {
    let twice = |relation: &str, of: &str, one: u32, other: u32| {
        violated(json!({ relation: {
            "ex:1": { of: "ex:x", "prov:time": at(one) },
            "ex:2": { of: "ex:x", "prov:time": at(other) },
        } }))
    };
    for (relation, of, constraint) in [
        ("wasStartedBy", "prov:activity", Constraint::StartStart),
        ("wasEndedBy", "prov:activity", Constraint::EndEnd),
        ("wasGeneratedBy", "prov:entity", Constraint::GenerationGeneration),
        ("wasInvalidatedBy", "prov:entity", Constraint::InvalidationInvalidation),
    ] {
        assert_eq!(twice(relation, of, 10, 10), []);
        assert_eq!(twice(relation, of, 10, 20), [BTreeSet::from([constraint])]);
        assert_eq!(twice(relation, of, 20, 10), [BTreeSet::from([constraint])]);
    }
}

#[test]
fn usage_and_generation_lie_within_the_activity() {
    for (relation, constraint) in [
        ("used", Constraint::UsageWithinActivity),
        ("wasGeneratedBy", Constraint::GenerationWithinActivity),
    ] {
        let of = |at: String| json!({ "ex:r": { "prov:activity": "ex:a", "prov:entity": "ex:e", "prov:time": at } });
        breaks(
            constraint,
            |one, other| json!({ "activity": { "ex:a": { "prov:startTime": one } }, relation: of(other) }),
        );
        breaks(
            constraint,
            |one, other| json!({ "activity": { "ex:a": { "prov:endTime": other } }, relation: of(one) }),
        );
    }
}

#[test]
fn an_informant_starts_before_the_informed_one_ends() {
    breaks(Constraint::Communication, |one, other| {
        json!({ "activity": { "ex:a": { "prov:startTime": one }, "ex:b": { "prov:endTime": other } },
            "wasInformedBy": { "ex:i": { "prov:informed": "ex:b", "prov:informant": "ex:a" } } })
    });
}

#[test]
fn an_entity_is_generated_then_used_then_invalidated() {
    let generated = |at: String| json!({ "ex:g": { "prov:entity": "ex:e", "prov:time": at } });
    let used = |at: String| json!({ "ex:u": { "prov:entity": "ex:e", "prov:activity": "ex:a", "prov:time": at } });
    breaks(
        Constraint::GenerationPrecedesInvalidation,
        |one, other| json!({ "wasGeneratedBy": generated(one), "wasInvalidatedBy": generated(other) }),
    );
    breaks(
        Constraint::GenerationPrecedesUsage,
        |one, other| json!({ "wasGeneratedBy": generated(one), "used": used(other) }),
    );
    breaks(
        Constraint::UsagePrecedesInvalidation,
        |one, other| json!({ "used": used(one), "wasInvalidatedBy": generated(other) }),
    );
}

#[test]
fn what_is_derived_comes_after_what_it_is_derived_from() {
    breaks(Constraint::DerivationGenerationGeneration, |one, other| {
        json!({ "wasGeneratedBy": { "ex:g1": { "prov:entity": "ex:e1", "prov:time": one },
                "ex:g2": { "prov:entity": "ex:e2", "prov:time": other } },
            "wasDerivedFrom": { "ex:d": { "prov:generatedEntity": "ex:e2", "prov:usedEntity": "ex:e1" } } })
    });
    breaks(Constraint::DerivationUsageGeneration, |one, other| {
        json!({ "used": { "ex:u": { "prov:activity": "ex:a", "prov:entity": "ex:e1", "prov:time": one } },
            "wasGeneratedBy": { "ex:g": { "prov:entity": "ex:e2", "prov:activity": "ex:a", "prov:time": other } },
            "wasDerivedFrom": { "ex:d": { "prov:generatedEntity": "ex:e2", "prov:usedEntity": "ex:e1",
                "prov:activity": "ex:a", "prov:usage": "ex:u", "prov:generation": "ex:g" } } })
    });
}

#[test]
fn a_trigger_is_there_when_it_triggers() {
    for (relation, constraint) in
        [("wasStartedBy", Constraint::Start), ("wasEndedBy", Constraint::End)]
    {
        let of = |at: String| json!({ "ex:s": { "prov:activity": "ex:a", "prov:trigger": "ex:e", "prov:time": at } });
        let there = |at: String| json!({ "ex:g": { "prov:entity": "ex:e", "prov:time": at } });
        breaks(
            constraint,
            |one, other| json!({ "wasGeneratedBy": there(one), relation: of(other) }),
        );
        breaks(
            constraint,
            |one, other| json!({ "wasInvalidatedBy": there(other), relation: of(one) }),
        );
    }
}

#[test]
fn a_special_entity_lives_within_the_general_one() {
    let special = json!({ "_:s": { "prov:specificEntity": "ex:s", "prov:generalEntity": "ex:g" } });
    let both = |one: (&str, String), other: (&str, String)| {
        json!({ "ex:1": { "prov:entity": one.0, "prov:time": one.1 },
            "ex:2": { "prov:entity": other.0, "prov:time": other.1 } })
    };
    breaks(
        Constraint::SpecializationGeneration,
        |one, other| json!({ "specializationOf": special, "wasGeneratedBy": both(("ex:g", one), ("ex:s", other)) }),
    );
    breaks(
        Constraint::SpecializationInvalidation,
        |one, other| json!({ "specializationOf": special, "wasInvalidatedBy": both(("ex:s", one), ("ex:g", other)) }),
    );
}

#[test]
fn an_agent_is_there_during_its_activity() {
    let part = json!({ "ex:w": { "prov:activity": "ex:a", "prov:agent": "ex:ag" } });
    let agent = |at: String| json!({ "ex:g": { "prov:entity": "ex:ag", "prov:time": at } });
    breaks(Constraint::Association, |one, other| {
        json!({ "wasAssociatedWith": part, "wasGeneratedBy": agent(one),
            "activity": { "ex:a": { "prov:endTime": other } } })
    });
    breaks(Constraint::Association, |one, other| {
        json!({ "wasAssociatedWith": part, "wasInvalidatedBy": agent(other),
            "activity": { "ex:a": { "prov:startTime": one } } })
    });
    breaks(Constraint::Association, |one, other| {
        json!({ "wasAssociatedWith": part, "activity":
            { "ex:a": { "prov:endTime": other }, "ex:ag": { "prov:startTime": one } } })
    });
    // By way of a delegation in an activity (inference 14).
    breaks(Constraint::Association, |one, other| {
        json!({ "actedOnBehalfOf": { "ex:d": { "prov:delegate": "ex:x", "prov:responsible": "ex:ag",
                "prov:activity": "ex:a" } },
            "wasGeneratedBy": agent(one), "activity": { "ex:a": { "prov:endTime": other } } })
    });
}

#[test]
fn an_agent_is_there_before_what_is_attributed_to_it() {
    breaks(Constraint::Attribution, |one, other| {
        json!({ "wasAttributedTo": { "ex:w": { "prov:entity": "ex:e", "prov:agent": "ex:ag" } },
            "wasGeneratedBy": { "ex:1": { "prov:entity": "ex:ag", "prov:time": one },
                "ex:2": { "prov:entity": "ex:e", "prov:time": other } } })
    });
}

#[test]
fn who_is_acted_for_is_there_before_who_acts_is_gone() {
    breaks(Constraint::Delegation, |one, other| {
        json!({ "actedOnBehalfOf": { "ex:d": { "prov:delegate": "ex:x", "prov:responsible": "ex:y" } },
            "wasGeneratedBy": { "ex:g": { "prov:entity": "ex:y", "prov:time": one } },
            "wasInvalidatedBy": { "ex:i": { "prov:entity": "ex:x", "prov:time": other } } })
    });
}

#[test]
fn nothing_is_an_entity_and_an_activity() {
    let found =
        check(&document(json!({ "entity": { "ex:a": {} }, "activity": { "ex:a": {} } })), 0);
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!(found.constraints(), BTreeSet::from([Constraint::Disjoint]));
    let used_as = json!({ "entity": { "ex:a": {} },
        "used": { "ex:u": { "prov:activity": "ex:a", "prov:entity": "ex:e" } } });
    assert_eq!(violated(used_as), [BTreeSet::from([Constraint::Disjoint])]);
}

#[test]
fn every_constraint_has_a_number_and_a_name_of_its_own() {
    let names: BTreeSet<_> = Constraint::ALL.iter().map(|constraint| constraint.name()).collect();
    let numbers: BTreeSet<_> =
        Constraint::ALL.iter().map(|constraint| constraint.number()).collect();
    assert_eq!((names.len(), numbers.len()), (21, 21));
}

// ------------------------------------------------------------------ circles and long ways

fn derived(pairs: &[(&str, &str)]) -> Value {
    let of = |(at, (from, to)): (usize, &(&str, &str))| {
        let said = json!({ "prov:generatedEntity": format!("ex:{from}"),
            "prov:usedEntity": format!("ex:{to}"), "tally:position": at });
        (format!("ex:d{at}"), said)
    };
    json!({ "wasDerivedFrom": pairs.iter().enumerate().map(of).collect::<serde_json::Map<_, _>>() })
}

#[test]
fn nothing_comes_strictly_before_itself() {
    assert_eq!(violated(derived(&[("b", "a"), ("c", "b"), ("c", "a")])), []);
    let found = check(&document(derived(&[("a", "a")])), 0);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].contradiction, Contradiction::Cycle);
    let found = check(&document(derived(&[("b", "a"), ("c", "b"), ("a", "c"), ("d", "c")])), 0);
    assert_eq!(found.len(), 3, "each of the three strict steps of the circle");
    for found in found {
        assert_eq!(found.contradiction, Contradiction::Cycle);
        assert_eq!(found.positions, BTreeSet::from([0, 1, 2]), "the events of the circle, not 3");
        assert_eq!(found.steps.len(), 3);
    }
}

/// Without a strict step a circle says that all is one instant, and that can be.
#[test]
fn a_circle_without_a_strict_step_is_one_instant() {
    let circle = |one: u32, other: u32| {
        json!({ "activity": { "ex:a": { "prov:startTime": at(one), "prov:endTime": at(one) },
                "ex:b": { "prov:startTime": at(other), "prov:endTime": at(other) } },
            "wasInformedBy": { "ex:1": { "prov:informed": "ex:a", "prov:informant": "ex:b" },
                "ex:2": { "prov:informed": "ex:b", "prov:informant": "ex:a" } } })
    };
    assert_eq!(violated(circle(10, 10)), []);
    assert!(!violated(circle(10, 20)).is_empty());
}

#[test]
fn times_contradict_over_what_lies_between_and_the_nearest_pair_is_named() {
    let chain = json!({
        "activity": { "ex:a": { "prov:startTime": at(30), "tally:position": 3 },
            "ex:b": { "prov:endTime": at(10), "tally:position": 9 },
            "ex:c": { "prov:endTime": at(5) } },
        "wasGeneratedBy": { "ex:g": { "prov:entity": "ex:e", "prov:activity": "ex:a", "tally:position": 4 },
            "ex:h": { "prov:entity": "ex:f", "prov:activity": "ex:b", "prov:time": at(10) } },
        "used": { "ex:u": { "prov:entity": "ex:e", "prov:activity": "ex:b", "tally:position": 8 },
            "ex:v": { "prov:entity": "ex:f", "prov:activity": "ex:c" } },
    });
    let found = check(&document(chain.clone()), 0);
    assert_eq!(found.len(), 2, "{found:?}");
    let first = found.iter().find(|found| found.positions.contains(&3)).expect("the first pair");
    assert_eq!(first.contradiction, Contradiction::Times { before: at(30), after: at(10) });
    assert_eq!(first.positions, BTreeSet::from([3, 4, 8, 9]));
    assert!(first.to_string().contains("usage-within-activity (constraint 33)"), "{first}");
    assert_eq!(check(&document(chain.clone()), 19_999_999).len(), 1, "clocks differ");
    assert_eq!(check(&document(chain), 20_000_000), []);
}

#[test]
fn bundles_are_judged_on_their_own() {
    let circle = derived(&[("a", "b"), ("b", "a")]);
    let one = json!({ "bundle": { "ex:one": circle.clone(), "ex:two": derived(&[("a", "b")]) } });
    assert_eq!(violated(one).len(), 2);
    let apart =
        json!({ "bundle": { "ex:one": derived(&[("a", "b")]), "ex:two": derived(&[("b", "a")]) } });
    assert_eq!(violated(apart), []);
}

#[test]
fn very_long_chains_are_judged() {
    let names: Vec<String> = (0..100_000).map(|number| format!("n{number}")).collect();
    let pairs: Vec<(&str, &str)> = names.windows(2).map(|pair| (&*pair[1], &*pair[0])).collect();
    assert_eq!(violated(derived(&pairs)), []);
    let closed: Vec<(&str, &str)> =
        pairs.iter().copied().take(3_000).chain([("n0", "n3000")]).collect();
    assert_eq!(violated(derived(&closed)).len(), 1_000, "no more are reported");
}

proptest! {
    /// A document has contradictory times exactly when no way of moving its silent instants helps:
    /// held against a naive search over all paths.
    #[test]
    fn derivations_are_judged_as_a_naive_search_does(
        pairs in prop::collection::vec((0..6u8, 0..6u8), 0..9),
        times in prop::collection::vec(prop::option::of(0..5u32), 6),
    ) {
        let names: Vec<String> = (0..6).map(|number| format!("e{number}")).collect();
        let named: Vec<(&str, &str)> = pairs.iter()
            .map(|&(one, other)| (&*names[one as usize], &*names[other as usize])).collect();
        let mut members = derived(&named);
        let stated = times.iter().enumerate().filter_map(|(number, time)| Some((number, (*time)?)));
        let generated: serde_json::Map<_, _> = stated.clone().map(|(number, time)| {
            (format!("ex:g{number}"), json!({ "prov:entity": format!("ex:e{number}"), "prov:time": at(time) }))
        }).collect();
        members["wasGeneratedBy"] = generated.into();
        // Which can be reached from which, by at least one step.
        let mut reaches = [[false; 6]; 6];
        for &(later, earlier) in &pairs { reaches[earlier as usize][later as usize] = true; }
        for via in 0..6 { for from in 0..6 { for to in 0..6 {
            reaches[from][to] |= reaches[from][via] && reaches[via][to];
        } } }
        let circle = (0..6).any(|node| reaches[node][node]);
        let wrong = stated.clone().any(|(one, early)| stated.clone()
            .any(|(other, late)| reaches[one][other] && early > late));
        prop_assert_eq!(!violated(members).is_empty(), circle || wrong);
    }
}

// ------------------------------------------------------------------ reading

#[test]
fn what_is_read_is_written_again() {
    let document = document(json!({
        "entity": { "ex:e": { "prov:type": [{ "$": "ex:T", "type": "xsd:QName" }, "plain"],
            "prov:label": { "$": "hallo", "lang": "de" }, "ex:n": 3, "ex:f": 1.5, "ex:b": true } },
        "hadMember": { "_:m": { "prov:collection": "ex:c", "prov:entity": ["ex:e", "ex:f"] } },
        "used": { "ex:u": [{ "prov:activity": "ex:a" }, { "prov:activity": "ex:b" }] },
        "bundle": { "ex:in": { "entity": { "ex:e": {} } } },
    }));
    assert_eq!(document.count(Kind::Membership), 2);
    assert_eq!(document.count(Kind::Usage), 2);
    let again = Document::parse_json(document.to_json().as_bytes()).expect("its own JSON");
    assert_eq!(again.count(Kind::Membership), 2);
    assert_eq!(again.records.len(), document.records.len());
    assert_eq!(again.to_json(), document.to_json());
}

#[test]
fn what_can_t_be_read_names_the_place() {
    let refuse = |members: Value| {
        Document::parse_json(members.to_string().as_bytes()).expect_err("it is refused").to_string()
    };
    for (members, words) in [
        (json!([]), "document must be an object"),
        (json!({ "entities": {} }), "entities is no kind of record"),
        (json!({ "entity": { "ex:e": {} } }), "the prefix of \"ex:e\" is not declared"),
        (json!({ "entity": [] }), "entity must be an object"),
        (
            json!({ "used": { "_:u": { "prov:activity": 3 } } }),
            "used._:u.prov:activity must be a text",
        ),
        (json!({ "used": { "_:u": { "prov:time": "noon" } } }), "\"noon\" is no time"),
        (
            json!({ "used": { "_:u": { "prov:entity": ["prov:a", "prov:b"] } } }),
            "must be one value",
        ),
        (json!({ "entity": { "prov:e": { "prov:label": null } } }), "must be a value"),
    ] {
        let text = refuse(members);
        assert!(text.contains(words), "{text}");
    }
    assert!(matches!(Document::parse_json(b"{"), Err(ProvError::Json(_))));
}
