//! R2: what a search finds, in which order, and why the rest does not fit.

use tally_coordination::{discover, why_not};
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{Digest, EnvelopeId, Message, Time};

use crate::world::*;

fn nothing_asked() -> Discover {
    Discover {
        input_schema: None,
        output_schema: None,
        category: None,
        tags: Vec::new(),
        constraints: Vec::new(),
        resources: Vec::new(),
        max_cost: None,
        trust: Vec::new(),
    }
}

fn price(amount: u64, currency: &str) -> Price {
    Price { amount, currency: name(currency) }
}

fn schema(document: &str) -> Schema {
    Schema::inline(document).expect("a schema")
}

fn constraint(attribute: &str, comparison: Comparison, values: &[&str]) -> Constraint {
    let values = values.iter().map(|value| name(value)).collect();
    Constraint { attribute: name(attribute), comparison, values }
}

fn memory(amount: u64, unit: &str) -> Resource {
    Resource { name: name("memory"), amount, unit: Some(name(unit)) }
}

fn full() -> CapabilityTerms {
    CapabilityTerms {
        tags: vec![name("pdf"), name("fast")],
        input_schema: Some(schema("{}")),
        output_schema: Some(schema("true")),
        constraints: vec![
            constraint("region", Comparison::AnyOf, &["eu", "uk"]),
            constraint("tenancy", Comparison::NoneOf, &["shared"]),
        ],
        resources: vec![memory(64, "By")],
        cost: Some(price(100, "EUR")),
        ..capability("ocr")
    }
}

fn publishing(terms: CapabilityTerms) -> Message {
    Message::AdvertiseCapability(AdvertiseCapability::Publish(terms))
}

fn world() -> (World, EnvelopeId) {
    let mut world = World::new();
    let id = world.admits(BOB, publishing(full()));
    (world, id)
}

/// Searches a catalog of one capability: the criteria that it fails, with what was found.
fn check(criteria: Discover, expect: &[(&str, &str)]) {
    let (world, id) = world();
    check_in(&world, id, &criteria, expect);
}

fn check_in(world: &World, id: EnvelopeId, criteria: &Discover, expect: &[(&str, &str)]) {
    let (matches, misses) = discover(&world.state, criteria, None);
    let matched: Vec<_> = matches.iter().map(|found| found.capability.id).collect();
    let missed: Vec<_> = misses.iter().map(|missed| missed.capability.id).collect();
    if expect.is_empty() {
        assert_eq!((matched, missed), (vec![id], vec![]), "{criteria:?}");
    } else {
        assert_eq!((matched, missed), (vec![], vec![id]), "{criteria:?}");
        let failed: Vec<_> =
            misses[0].failed.iter().map(|c| (c.field.as_str(), c.found.as_str())).collect();
        assert_eq!(failed, expect);
    }
}

#[test]
fn r2_whatever_is_not_asked_for_fits() {
    check(nothing_asked(), &[]);
}

#[test]
fn r2_category_and_tags() {
    let category = |text| Discover { category: Some(name(text)), ..nothing_asked() };
    check(category("vision"), &[]);
    check(category("speech"), &[("category", "vision")]);
    let tags = |tags: &[&str]| Discover {
        tags: tags.iter().map(|tag| name(tag)).collect(),
        ..nothing_asked()
    };
    check(tags(&["fast", "pdf"]), &[]);
    check(tags(&["pdf", "cheap"]), &[("tags[1]", "lacks cheap")]);
}

#[test]
fn r2_schemas_fit_when_all_data_of_the_one_is_data_of_the_other() {
    let input = |schema| Discover { input_schema: Some(schema), ..nothing_asked() };
    let output = |schema| Discover { output_schema: Some(schema), ..nothing_asked() };
    // What the searcher has goes into what the capability takes …
    check(input(schema("{ }")), &[]);
    check(input(schema(r#"{"type": "string"}"#)), &[]);
    // … and what the capability gives into what the searcher takes.
    check(output(schema("{}")), &[]);
    let (world, id) = world();
    let asked = output(schema(r#"{"type": "string"}"#));
    let (matches, misses) = discover(&world.state, &asked, None);
    let [miss] = &misses[..] else { panic!("{misses:?}") };
    assert_eq!((matches.len(), miss.capability.id), (0, id));
    let [failed] = &miss.failed[..] else { panic!("{miss:?}") };
    assert_eq!((failed.field.as_str(), failed.path.as_str()), ("output_schema", "/type"));
    assert!(failed.found.contains("must be string"), "{failed:?}");
    // What is not at hand is unknown, and no match, unless it is the same document.
    let digest = Schema::new(Digest::of(b"somewhere"));
    let found = format!("schema {} is not judged", digest.digest);
    check(input(digest.clone()), &[("input_schema", &found)]);
    check(output(digest), &[("output_schema", &found)]);
    check(output(Schema::new(Digest::of(b"true"))), &[]);
    let mut world = World::new();
    let id = world.admits(BOB, publish("bare"));
    check_in(&world, id, &output(schema("true")), &[("output_schema", "is not stated")]);
    check_in(&world, id, &input(schema("true")), &[("input_schema", "is not stated")]);
}

#[test]
fn r2_the_searcher_s_own_policies_are_asked() {
    let (mut world, id) = world();
    let searched = |world: &World, searcher: Who| {
        let (matches, misses) = discover(&world.state, &nothing_asked(), Some(&searcher.id()));
        let failed = misses.first().map(|miss| miss.failed[0].clone());
        (matches.len(), failed)
    };
    assert_eq!(searched(&world, ALICE), (1, None));
    let text = r#"@id("far") forbid (principal, action, resource) when {
        context.any_of.hasTag("region") && context.any_of.getTag("region").contains("uk")
    };"#;
    let scope = PolicyScope::Agent(ALICE.id());
    let policy = PolicyUpdate {
        text: Document::new(text).expect("short"),
        language: Some(PolicyLanguage::Cedar),
        ..PolicyUpdate::new(scope, name("region"), 1, PolicyAction::Activate)
    };
    world.admits(ALICE, Message::PolicyUpdate(policy));
    let (matches, failed) = searched(&world, ALICE);
    let failed = failed.expect("a near miss");
    assert_eq!((matches, failed.field.as_str()), (0, "policy"));
    assert!(failed.found.contains("far"), "{failed:?}");
    assert_eq!(searched(&world, CAROL), (1, None));
    // Asked about by name, it says the same; and a version that is gone says so.
    let capability = world.state.capability(&id).expect("there").clone();
    let why = why_not(&world.state, &nothing_asked(), Some(&ALICE.id()), &capability);
    assert_eq!(why, [failed]);
    world.admits(BOB, revise(id, "ocr"));
    let capability = world.state.capability(&id).expect("there").clone();
    let why = why_not(&world.state, &nothing_asked(), None, &capability);
    assert_eq!(why[0].field, "standing");
}

#[test]
fn r2_a_better_record_and_a_lower_price_come_first() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    world.admits(BOB, progress(task, ProgressState::Accepted, 0));
    world.admits(BOB, progress(task, ProgressState::Running, 0));
    world.admits(BOB, done(task, Outcome::Succeeded));
    let mut publish = |who, label: &str, amount| {
        let (cost, tags) = (Some(price(amount, "EUR")), vec![name("priced")]);
        let terms = CapabilityTerms { cost, tags, ..capability(label) };
        world.admits(who, publishing(terms))
    };
    let proven = publish(BOB, "proven", 100);
    let cheap = publish(CAROL, "cheap", 50);
    let same = publish(CAROL, "same", 100);
    let wanted = Discover { tags: vec![name("priced")], ..nothing_asked() };
    let (matches, _) = discover(&world.state, &wanted, None);
    let order: Vec<_> = matches.iter().map(|found| found.capability.id).collect();
    // Half the price outweighs one task; of one price the proven comes first.
    assert_eq!(order, [cheap, proven, same]);
    let scores: Vec<_> = matches[1].scores.iter().map(|score| score.value).collect();
    assert_eq!(scores, [500, 666]);
}

#[test]
fn r2_constraints_on_attributes() {
    let on = |attribute, comparison, values: &[&str]| Discover {
        constraints: vec![constraint(attribute, comparison, values)],
        ..nothing_asked()
    };
    let at = "constraints[0]";
    check(on("region", Comparison::AnyOf, &["us", "uk"]), &[]);
    check(on("region", Comparison::AnyOf, &["us"]), &[(at, "eu, uk")]);
    check(on("region", Comparison::AllOf, &["uk", "eu"]), &[]);
    check(on("region", Comparison::AllOf, &["eu", "us"]), &[(at, "eu, uk")]);
    check(on("region", Comparison::NoneOf, &["us"]), &[]);
    check(on("region", Comparison::NoneOf, &["us", "eu"]), &[(at, "eu, uk")]);
    check(on("licence", Comparison::AnyOf, &["mit"]), &[(at, "licence is not stated")]);
    check(on("licence", Comparison::NoneOf, &["gpl"]), &[]);
    // What a provider says that it is not, it is not.
    check(on("tenancy", Comparison::AnyOf, &["shared"]), &[(at, "shared")]);
    check(on("tenancy", Comparison::NoneOf, &["shared"]), &[]);
}

#[test]
fn r2_resources_in_the_same_unit() {
    let asks = |resource| Discover { resources: vec![resource], ..nothing_asked() };
    let miss = [("resources[0]", "has too little memory")];
    check(asks(memory(64, "By")), &[]);
    check(asks(memory(65, "By")), &miss);
    check(asks(memory(1, "kBy")), &miss);
}

#[test]
fn r2_cost_in_the_same_currency() {
    let at_most = |price| Discover { max_cost: Some(price), ..nothing_asked() };
    check(at_most(price(100, "EUR")), &[]);
    check(at_most(price(99, "EUR")), &[("max_cost", "costs 100 EUR")]);
    check(at_most(price(1_000, "USD")), &[("max_cost", "costs 100 EUR")]);
    let mut world = World::new();
    let id = world.admits(BOB, publish("free"));
    check_in(&world, id, &at_most(price(0, "EUR")), &[]);
}

#[test]
fn r2_trust_rests_on_live_claims_of_named_issuers() {
    let (mut world, id) = world();
    let by = |issuers: &[Who]| Discover {
        trust: vec![TrustCriterion {
            claim: name("certification"),
            issuers: issuers.iter().map(|who| who.id()).collect(),
        }],
        ..nothing_asked()
    };
    let miss = [("trust[0]", "no live claim certification")];
    check_in(&world, id, &by(&[]), &miss);
    let bob = ClaimSubject::Agent(BOB.id());
    world.admits(ALICE, claim(bob, "quality", None));
    world.admits(ALICE, claim(ClaimSubject::Agent(CAROL.id()), "certification", None));
    check_in(&world, id, &by(&[]), &miss);
    let until = world.now.plus_us(10);
    let attestation = world.admits(ALICE, claim(bob, "certification", Some(until)));
    check_in(&world, id, &by(&[]), &[]);
    check_in(&world, id, &by(&[CAROL, ALICE]), &[]);
    check_in(&world, id, &by(&[CAROL]), &miss);
    // It holds up to and including its time, by the ledger's time.
    let mut expired = world.clone();
    expired.now = until;
    expired.admits(MALLORY, open());
    check_in(&expired, id, &by(&[]), &[]);
    expired.later(1);
    expired.admits(MALLORY, open());
    check_in(&expired, id, &by(&[]), &miss);
    world.admits(ALICE, revoke(attestation));
    check_in(&world, id, &by(&[]), &miss);
}

#[test]
fn r2_only_versions_in_force_are_found() {
    let (mut world, id) = world();
    let revised = world.admits(BOB, revise(id, "ocr"));
    check_in(&world, revised, &nothing_asked(), &[]);
    world.admits(BOB, retire(revised));
    assert_eq!(discover(&world.state, &nothing_asked(), None), (vec![], vec![]));
}

#[test]
fn r2_matches_come_by_cost_then_age_and_misses_by_how_little_they_miss() {
    let mut world = World::new();
    let mut publish = |label: &str, cost: Option<u64>, tags: &[&str]| {
        let terms = CapabilityTerms {
            cost: cost.map(|amount| price(amount, "EUR")),
            tags: tags.iter().map(|tag| name(tag)).collect(),
            ..capability(label)
        };
        world.admits(BOB, publishing(terms))
    };
    let dear = publish("dear", Some(9), &["a", "b"]);
    let first = publish("first", Some(5), &["a", "b"]);
    let second = publish("second", Some(5), &["a", "b"]);
    let free = publish("free", None, &["a", "b"]);
    let lacks_two = publish("lacks two", None, &[]);
    let lacks_one = publish("lacks one", Some(3), &["a"]);
    let lacks_one_too = publish("lacks one too", Some(2), &["b"]);
    let criteria = Discover { tags: vec![name("a"), name("b")], ..nothing_asked() };
    let (matches, misses) = discover(&world.state, &criteria, None);
    let matched: Vec<_> = matches.iter().map(|found| found.capability.id).collect();
    assert_eq!(matched, [free, first, second, dear]);
    let missed: Vec<_> = misses.iter().map(|missed| missed.capability.id).collect();
    assert_eq!(missed, [lacks_one, lacks_one_too, lacks_two]);
    // Another copy of the state, folded from the log, gives the same answer.
    for _ in 0..5 {
        assert_eq!(discover(&world.refolded(), &criteria, None), (matches.clone(), misses.clone()));
    }
}

#[test]
fn r2_a_search_is_admitted_and_changes_no_object() {
    let (mut world, id) = world();
    world.later(1);
    world.admits(MALLORY, Message::Discover(nothing_asked()));
    check_in(&world, id, &nothing_asked(), &[]);
    assert_eq!(world.state.recorded_at(), Time(START.0 + 1));
}
