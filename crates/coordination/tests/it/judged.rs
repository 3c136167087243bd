//! What is judged by documents and mechanisms: schemas, policies, evaluations, auctions, parts,
//! delegations, keys. Each rule refuses what breaks it and admits the same without the fault.

use tally_coordination::auction;
use tally_coordination::evaluate::{self, equal_weights};
use tally_coordination::{KeyEnd, Object, Rule};
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{Digest, Envelope, EnvelopeId, Message, Time};

use crate::provoke::check;
use crate::world::*;

/// A world with an intent of Alice's and a capability of Bob's.
fn world_of(intent: IntentTerms, capability: CapabilityTerms) -> (World, EnvelopeId, EnvelopeId) {
    let mut world = World::new();
    let capability = world.admits(BOB, publish_terms(capability));
    let intent = world.admits(ALICE, open_terms(intent));
    (world, intent, capability)
}

// ------------------------------------------------------------------ auctions

const BIDS: u64 = 100;
const REVEALS: u64 = 200;

fn auctioned(selection: Selection, auction: Auction) -> IntentTerms {
    let (selection, auction) = (Some(selection), Some(auction));
    IntentTerms { selection, auction, ..intent_terms() }
}

fn english() -> IntentTerms {
    let auction =
        Auction { min_step: 10, reserve: Some(price(1_000)), ..Auction::new(START.plus_us(BIDS)) };
    auctioned(Selection::EnglishAuction, auction)
}

fn sealed(selection: Selection) -> IntentTerms {
    let auction = Auction {
        reveal_until_us: Some(START.plus_us(REVEALS)),
        reserve: Some(price(1_000)),
        ..Auction::new(START.plus_us(BIDS))
    };
    auctioned(selection, auction)
}

/// Bidders with a capability each.
struct Hall {
    world: World,
    intent: EnvelopeId,
    capabilities: Vec<(Who, EnvelopeId)>,
}

impl Hall {
    fn new(terms: IntentTerms) -> Self {
        let mut world = World::new();
        let capabilities =
            [BOB, CAROL, DAVE].map(|who| (who, world.admits(who, publish("survey")))).into();
        let intent = world.admits(ALICE, open_terms(terms));
        Self { world, intent, capabilities }
    }

    fn terms(&self, who: Who) -> Offer {
        let found = self.capabilities.iter().find(|(bidder, _)| *bidder == who);
        offer_terms(self.intent, found.expect("a bidder").1)
    }

    fn open_bid(&self, who: Who, amount: u64) -> Message {
        Message::Offer(Offer { price: Some(price(amount)), ..self.terms(who) })
    }

    fn sealed_bid(&self, who: Who, amount: u64) -> Message {
        let salt = salt(who);
        let commitment = Reveal::commitment(&salt, &who.id(), &self.intent, &price(amount));
        Message::Offer(Offer { commitment: Some(commitment), ..self.terms(who) })
    }

    fn after(&mut self, us: u64) -> &mut World {
        self.world.now = START.plus_us(us);
        &mut self.world
    }

    fn award(&self, offer: EnvelopeId, amount: Option<u64>) -> Message {
        task_start(TaskStart { price: amount.map(price), ..task_terms(self.intent, offer) })
    }

    /// Sealed bids of these amounts, opened; the auction is over.
    fn opened(selection: Selection, bids: &[(Who, u64)]) -> (Self, Vec<EnvelopeId>) {
        let mut hall = Self::new(sealed(selection));
        let mut offers = Vec::new();
        for &(who, amount) in bids {
            let bid = hall.sealed_bid(who, amount);
            offers.push(hall.world.admits(who, bid));
        }
        hall.after(BIDS + 1);
        for (&(who, amount), &offer) in bids.iter().zip(&offers) {
            hall.world.admits(who, reveal(offer, who, amount));
        }
        hall.after(REVEALS + 1);
        (hall, offers)
    }
}

fn salt(who: Who) -> Digest {
    Digest([who.0; 32])
}

fn reveal(offer: EnvelopeId, who: Who, amount: u64) -> Message {
    Message::Negotiate(Negotiate::Reveal(Reveal::new(offer, price(amount), salt(who))))
}

// ------------------------------------------------------------------ policies

/// An intent under a policy, and an offer that it allows.
fn under_policy(text: &str) -> (World, EnvelopeId, Offer) {
    let (mut world, intent, capability) = world_of(intent_terms(), capability("survey"));
    let scope = PolicyScope::Intent(intent);
    world.admits(ALICE, Message::PolicyUpdate(cedar(scope, "rules", 1, text)));
    let offer = Offer { conditions: region("eu"), ..offer_terms(intent, capability) };
    (world, intent, offer)
}

/// The digest that a task on this offer pins, as its refusal names it.
fn pinned(world: &mut World, intent: EnvelopeId, offer: EnvelopeId) -> TaskStart {
    let terms = task_terms(intent, offer);
    let refusal = world.append(ALICE, task_start(terms.clone())).expect_err("it pins nothing");
    assert_eq!(refusal.rule, Rule::PolicySet, "{refusal}");
    let digest = refusal.found.rsplit(' ').next().expect("a digest");
    TaskStart { policy_set: Some(digest.parse().expect("a digest in text")), ..terms }
}

refusals! {
    // -------------------------------------------------------------- R13, R14: schemas

    SchemaDocument => r13_a_schema_that_is_judged_is_one {
        let mut world = World::new();
        let wrong = CapabilityTerms {
            output_schema: schema(r#"{"type":"integr"}"#), ..capability("count")
        };
        let right = CapabilityTerms { output_schema: schema(INTEGER), ..capability("count") };
        let object = Object::Envelope(world.next_id(BOB, publish_terms(wrong.clone())));
        check(
            &mut world,
            (BOB, publish_terms(wrong)),
            (object, "output_schema"),
            (BOB, publish_terms(right)),
        )
    }

    SchemaAtHand => r13_a_schema_that_is_judged_was_carried_once {
        let mut world = World::new();
        let by_digest = Schema { inline: Document::default(), ..schema(INTEGER).expect("one") };
        let asks = IntentTerms { output_schema: Some(by_digest), ..intent_terms() };
        let refusal = world.append(ALICE, open_terms(asks.clone())).expect_err("not at hand");
        world.admits(BOB, publish_terms(CapabilityTerms {
            input_schema: schema(INTEGER), ..capability("count")
        }));
        world.admits(ALICE, open_terms(asks));
        refusal
    }

    SchemaOutput => r14_an_output_beyond_what_is_asked_for_is_not_offered {
        let asks = IntentTerms { output_schema: schema(SMALL), ..intent_terms() };
        let gives = CapabilityTerms { output_schema: schema(INTEGER), ..capability("count") };
        let (mut world, intent, capability) = world_of(asks.clone(), gives);
        let expect = (Rule::SchemaOutput, Object::Capability(capability), "offer.capability");
        let refusal = world.refuses(BOB, offer(intent, capability), expect);
        assert!(refusal.found.contains("must be at most 5"), "{refusal}");
        let wider = world.admits(ALICE, open_terms(IntentTerms {
            output_schema: schema(INTEGER), ..asks
        }));
        let task = world.admits(BOB, offer(wider, capability));
        // The task may ask for less than the intent, but not for what the capability does not give.
        let narrow = TaskStart { output_schema: schema(SMALL), ..task_terms(wider, task) };
        world.refuses_by(ALICE, task_start(narrow), Rule::SchemaOutput);
        world.admits(ALICE, start(wider, task));
        refusal
    }

    SchemaInput => r14_an_input_that_is_not_taken_is_not_offered_for {
        let gives = IntentTerms { input_schema: schema(TEXT), ..intent_terms() };
        let takes = CapabilityTerms { input_schema: schema(INTEGER), ..capability("count") };
        let (mut world, intent, capability) = world_of(gives, takes);
        let fits = world.admits(ALICE, open_terms(IntentTerms {
            input_schema: schema(SMALL), ..intent_terms()
        }));
        check(
            &mut world,
            (BOB, offer(intent, capability)),
            (Object::Capability(capability), "offer.capability"),
            (BOB, offer(fits, capability)),
        )
    }

    Resources => r14_resources_that_are_needed_are_there {
        let needs = vec![Resource { unit: Some(name("By")), ..Resource::new(name("memory"), 8) }];
        let asks = IntentTerms { resources: needs.clone(), ..intent_terms() };
        let (mut world, intent, capability) = world_of(asks, capability("count"));
        let with = |amount| {
            let resources = vec![Resource { amount, ..needs[0].clone() }];
            Message::Offer(Offer { resources, ..offer_terms(intent, capability) })
        };
        let place = (Object::Intent(intent), "offer.resources");
        check(&mut world, (BOB, with(7)), place, (BOB, with(8)))
    }

    ChecksPassed => r14_a_task_with_a_failed_check_is_not_accepted {
        let (mut market, task) = Market::with_task();
        let checked = |passed| {
            let check = Check { passed, ..Check::new(CheckKind::Inputs) };
            Message::TaskProgress(TaskProgress {
                checks: vec![check],
                ..TaskProgress::new(task, ProgressState::Accepted)
            })
        };
        let place = (Object::Task(task), "task_progress.checks");
        check(&mut market.world, (BOB, checked(false)), place, (BOB, checked(true)))
    }

    OutputData => r14_output_that_is_at_hand_fits {
        let asks = IntentTerms { output_schema: schema(SMALL), ..intent_terms() };
        let gives = CapabilityTerms { output_schema: schema(SMALL), ..capability("count") };
        let (mut world, intent, capability) = world_of(asks, gives);
        let offer = world.admits(BOB, offer(intent, capability));
        let task = world.admits(ALICE, start(intent, offer));
        world.admits(BOB, progress(task, ProgressState::Accepted, 0));
        world.admits(BOB, progress(task, ProgressState::Running, 0));
        let with = |json: &str| {
            let uri = Uri::new("count.json").expect("a URI");
            let output = DataRef {
                media_type: Some(name("application/json")),
                inline: Document::new(json).expect("a short text"),
                ..DataRef::new(uri, Digest::of(json.as_bytes()))
            };
            Message::TaskDone(TaskDone {
                outputs: vec![output], ..receipt(task, Outcome::Succeeded)
            })
        };
        world.refuses_by(BOB, with("five"), Rule::OutputData);
        let place = (Object::Task(task), "task_done.outputs");
        check(&mut world, (BOB, with("6")), place, (BOB, with("5")))
    }

    // -------------------------------------------------------------- R15: evaluation

    Evaluation => r15_an_evaluation_says_what_everyone_computes {
        let mut market = Market::new();
        let world = &mut market.world;
        let intent = world.state.intent(&market.intent).expect("open").clone();
        let right = evaluate::evaluate(&world.state, &intent, &equal_weights(), world.now);
        let award = |evaluation: Evaluation| {
            let evaluation = Some(evaluation);
            task_start(TaskStart { evaluation, ..task_terms(market.intent, market.offer) })
        };
        let mut flattered = right.clone();
        flattered.candidates[0].total += 1;
        let mut blind = right.clone();
        blind.candidates.clear();
        world.refuses_by(ALICE, award(blind), Rule::Evaluation);
        let mut twice = right.clone();
        twice.candidates.push(right.candidates[0].clone());
        world.refuses_by(ALICE, award(twice), Rule::Evaluation);
        let place = (Object::Offer(market.offer), "task_start.evaluation");
        check(world, (ALICE, award(flattered)), place, (ALICE, award(right)))
    }

    EvaluationWinner => r15_the_award_follows_from_the_evaluation {
        let (mut world, intent, capability) = world_of(intent_terms(), capability("ocr"));
        let at = |amount| {
            Message::Offer(Offer { price: Some(price(amount)), ..offer_terms(intent, capability) })
        };
        let dear = world.admits(BOB, at(200));
        let cheap = world.admits(BOB, at(100));
        let state = world.state.intent(&intent).expect("open").clone();
        let evaluation = evaluate::evaluate(&world.state, &state, &equal_weights(), world.now);
        let award = |offer| {
            let evaluation = Some(evaluation.clone());
            task_start(TaskStart { evaluation, ..task_terms(intent, offer) })
        };
        let place = (Object::Offer(cheap), "task_start.evaluation");
        check(&mut world, (ALICE, award(dear)), place, (ALICE, award(cheap)))
    }

    Awards => r15_an_intent_is_not_awarded_more_often_than_it_allows {
        let asks = IntentTerms { max_awards: 1, ..intent_terms() };
        let (mut world, intent, capability) = world_of(asks, capability("ocr"));
        let first = world.admits(BOB, offer(intent, capability));
        let second = world.admits(BOB, offer(intent, capability));
        let task = world.admits(ALICE, start(intent, first));
        let expect = (Rule::Awards, Object::Intent(intent), "task_start.intent");
        let refusal = world.refuses(ALICE, start(intent, second), expect);
        world.admits(BOB, done(task, Outcome::Rejected));
        world.admits(ALICE, start(intent, second));
        refusal
    }

    // -------------------------------------------------------------- R16: parts

    Covers => r16_an_offer_for_parts_covers_some {
        let parts = vec![name("north"), name("south")];
        let asks = IntentTerms { parts, ..intent_terms() };
        let (mut world, intent, capability) = world_of(asks, capability("survey"));
        let covering = |covers: &[&str]| {
            let covers = covers.iter().map(|part| name(part)).collect();
            Message::Offer(Offer { covers, ..offer_terms(intent, capability) })
        };
        world.refuses_by(BOB, covering(&[]), Rule::Covers);
        let place = (Object::Intent(intent), "offer.covers");
        check(&mut world, (BOB, covering(&["north", "west"])), place, (BOB, covering(&["north"])))
    }

    Covered => r16_parts_are_covered_once_and_all_of_them_fulfil_the_intent {
        let parts = vec![name("north"), name("south")];
        let asks = IntentTerms { parts, ..intent_terms() };
        let (mut world, intent, capability) = world_of(asks, capability("survey"));
        let mut covering = |covers: &[&str]| {
            let covers = covers.iter().map(|part| name(part)).collect();
            world.admits(BOB, Message::Offer(Offer { covers, ..offer_terms(intent, capability) }))
        };
        let (north, both) = (covering(&["north"]), covering(&["north", "south"]));
        let south = covering(&["south"]);
        let finish = |world: &mut World, offer| {
            let task = world.admits(ALICE, start(intent, offer));
            world.admits(BOB, progress(task, ProgressState::Accepted, 0));
            world.admits(BOB, progress(task, ProgressState::Running, 0));
            world.admits(BOB, done(task, Outcome::Succeeded));
        };
        finish(&mut world, north);
        assert!(world.state.intent(&intent).expect("there").is_open(), "the south is missing");
        let expect = (Rule::Covered, Object::Intent(intent), "task_start.offer");
        let refusal = world.refuses(ALICE, start(intent, both), expect);
        finish(&mut world, south);
        assert!(!world.state.intent(&intent).expect("there").is_open(), "all is covered");
        refusal
    }

    // -------------------------------------------------------------- R17: auctions

    AuctionTerms => r17_the_terms_of_an_auction_fit_its_mechanism {
        let mut world = World::new();
        let late = Some(START.plus_us(REVEALS));
        let wrong: Vec<(Selection, Auction)> = vec![
            (Selection::EnglishAuction, Auction::new(START.plus_us(BIDS))),
            (Selection::EnglishAuction, Auction { min_step: 1, ..Auction::new(START) }),
            (Selection::EnglishAuction, Auction {
                min_step: 1, reveal_until_us: late, ..Auction::new(START.plus_us(BIDS))
            }),
            (Selection::Vickrey, Auction::new(START.plus_us(BIDS))),
            (Selection::Vickrey, Auction {
                reveal_until_us: Some(START.plus_us(BIDS)), ..Auction::new(START.plus_us(BIDS))
            }),
            (Selection::SealedFirstPrice, Auction {
                min_step: 1, reveal_until_us: late, ..Auction::new(START.plus_us(BIDS))
            }),
            (Selection::ContractNet, Auction::new(START.plus_us(BIDS))),
        ];
        let mut last = None;
        for (selection, auction) in wrong {
            let message = open_terms(auctioned(selection, auction));
            let object = Object::Intent(world.next_id(ALICE, message.clone()));
            let expect = (Rule::AuctionTerms, object, "intent.open.auction");
            last = Some(world.refuses(ALICE, message, expect));
        }
        for terms in [english(), sealed(Selection::Vickrey), sealed(Selection::SealedFirstPrice)] {
            world.admits(ALICE, open_terms(terms));
        }
        last.expect("several")
    }

    AuctionOpen => r17_bids_come_in_time {
        let mut hall = Hall::new(english());
        let (early, late) = (hall.open_bid(BOB, 900), hall.open_bid(CAROL, 800));
        hall.after(BIDS).admits(BOB, early);
        let expect = (Rule::AuctionOpen, Object::Intent(hall.intent), "offer.intent");
        hall.after(BIDS + 1).refuses(CAROL, late, expect)
    }

    AuctionBid => r17_a_bid_says_what_the_mechanism_asks_for {
        let mut open = Hall::new(english());
        let sealed_in_open = open.sealed_bid(BOB, 900);
        open.world.refuses_by(BOB, sealed_in_open, Rule::AuctionBid);
        let mut hall = Hall::new(sealed(Selection::Vickrey));
        let open_in_sealed = hall.open_bid(BOB, 900);
        hall.world.refuses_by(BOB, open_in_sealed, Rule::AuctionBid);
        let ends = Offer { valid_until_us: Some(START.plus_us(BIDS)), ..hall.terms(BOB) };
        hall.world.refuses_by(BOB, Message::Offer(ends), Rule::AuctionBid);
        let (first, second) = (hall.sealed_bid(BOB, 900), hall.sealed_bid(BOB, 800));
        let first = hall.world.admits(BOB, first);
        // Two sealed bids of one provider: it could choose later which to open.
        let expect = (Rule::AuctionBid, Object::Offer(first), "offer.replaces");
        let refusal = hall.world.refuses(BOB, second.clone(), expect);
        let Message::Offer(second) = second else { unreachable!("an offer") };
        hall.world.admits(BOB, Message::Offer(Offer { replaces: Some(first), ..second }));
        refusal
    }

    AuctionStep => r17_each_bid_is_lower_by_a_step {
        let mut hall = Hall::new(english());
        let over = hall.open_bid(BOB, 1_001);
        hall.world.refuses_by(BOB, over, Rule::AuctionStep);
        let dollars = Offer { price: Some(Price::new(5, name("USD"))), ..hall.terms(BOB) };
        hall.world.refuses_by(BOB, Message::Offer(dollars), Rule::AuctionStep);
        let (first, close, low) =
            (hall.open_bid(BOB, 900), hall.open_bid(CAROL, 891), hall.open_bid(CAROL, 890));
        hall.world.admits(BOB, first);
        let place = (Object::Intent(hall.intent), "offer.price");
        check(&mut hall.world, (CAROL, close), place, (CAROL, low))
    }

    AuctionBinding => r17_a_bid_binds_until_the_intent_is_over {
        let terms = IntentTerms { deadline_us: Some(START.plus_us(500)), ..english() };
        let mut hall = Hall::new(terms);
        let bid = hall.open_bid(BOB, 900);
        let bid = hall.world.admits(BOB, bid);
        hall.world.refuses_by(ALICE, decline(bid), Rule::AuctionBinding);
        hall.world.refuses_by(ALICE, counter(bid), Rule::AuctionBinding);
        let field = "negotiate.withdraw.offer";
        let expect = (Rule::AuctionBinding, Object::Offer(bid), field);
        let refusal = hall.after(BIDS + 1).refuses(BOB, withdraw(bid), expect);
        hall.after(501).admits(BOB, withdraw(bid));
        refusal
    }

    AuctionReveal => r17_a_sealed_bid_is_opened_in_time_and_as_it_was_made {
        let mut hall = Hall::new(sealed(Selection::Vickrey));
        let bid = hall.sealed_bid(BOB, 900);
        let bid = hall.world.admits(BOB, bid);
        hall.world.refuses_by(BOB, reveal(bid, BOB, 900), Rule::AuctionReveal);
        hall.after(BIDS + 1).refuses_by(BOB, reveal(bid, BOB, 800), Rule::AuctionReveal);
        hall.world.refuses_by(CAROL, reveal(bid, BOB, 900), Rule::OfferProvider);
        hall.world.admits(BOB, reveal(bid, BOB, 900));
        let field = "negotiate.reveal.offer";
        let expect = (Rule::AuctionReveal, Object::Offer(bid), field);
        hall.world.refuses(BOB, reveal(bid, BOB, 900), expect);
        let mut late = Hall::new(sealed(Selection::Vickrey));
        let bid = late.sealed_bid(BOB, 900);
        let bid = late.world.admits(BOB, bid);
        let expect = (Rule::AuctionReveal, Object::Offer(bid), field);
        late.after(REVEALS + 1).refuses(BOB, reveal(bid, BOB, 900), expect)
    }

    AuctionClosed => r17_nothing_is_awarded_while_bids_can_come {
        let mut hall = Hall::new(english());
        let bid = hall.open_bid(BOB, 900);
        let bid = hall.world.admits(BOB, bid);
        let award = hall.award(bid, Some(900));
        let expect = (Rule::AuctionClosed, Object::Intent(hall.intent), "task_start.intent");
        let refusal = hall.after(BIDS).refuses(ALICE, award.clone(), expect);
        hall.after(BIDS + 1).admits(ALICE, award);
        refusal
    }

    AuctionWinner => r17_the_lowest_bid_wins_and_of_equal_ones_the_first {
        let bids = [(BOB, 900), (CAROL, 700), (DAVE, 700)];
        let (mut hall, offers) = Hall::opened(Selection::SealedFirstPrice, &bids);
        let (wrong, right) = (hall.award(offers[2], Some(700)), hall.award(offers[1], Some(700)));
        let dear = hall.award(offers[0], Some(900));
        hall.world.refuses_by(ALICE, dear, Rule::AuctionWinner);
        let place = (Object::Intent(hall.intent), "task_start.offer");
        check(&mut hall.world, (ALICE, wrong), place, (ALICE, right))
    }

    TaskPrice => r17_a_vickrey_winner_is_paid_the_second_price {
        let bids = [(BOB, 900), (CAROL, 700), (DAVE, 850)];
        let (mut hall, offers) = Hall::opened(Selection::Vickrey, &bids);
        let (own, second) = (hall.award(offers[1], Some(700)), hall.award(offers[1], Some(850)));
        let silent = hall.award(offers[1], None);
        hall.world.refuses_by(ALICE, silent, Rule::TaskPrice);
        let place = (Object::Intent(hall.intent), "task_start.price");
        check(&mut hall.world, (ALICE, own), place, (ALICE, second))
    }

    // -------------------------------------------------------------- R9: keys and delegations

    KeyLive => r9_a_rotated_key_signs_nothing_and_its_successor_goes_on {
        let (mut market, task) = Market::with_task();
        let world = &mut market.world;
        let rotate = Message::Attest(Attest::RotateKey(KeyRotation::new(MALLORY.id())));
        let rotation = world.admits(BOB, rotate);
        assert_eq!(world.state.key_end(&BOB.id()), Some(KeyEnd::Rotated(MALLORY.id())));
        let report = progress(task, ProgressState::Accepted, 0);
        let expect = (Rule::KeyLive, Object::Agent(BOB.id()), "author");
        let refusal = world.refuses(BOB, report.clone(), expect);
        // Without its consent a key takes nothing over: neither what is due nor what was done.
        let mut stranger = world.clone();
        let silent = Envelope {
            causes: Vec::new(),
            ..stranger.envelope(MALLORY, report.clone())
        };
        let refused = stranger.append_envelope(silent).expect_err("it is nobody yet");
        assert_eq!(refused.rule, Rule::TaskExecutor);
        stranger
            .append_envelope(Envelope { causes: Vec::new(), ..stranger.envelope(MALLORY, open()) })
            .expect("it may speak for itself");
        let late = Envelope {
            causes: vec![rotation],
            ..stranger.envelope(MALLORY, report.clone())
        };
        let refused = stranger.append_envelope(late).expect_err("consent comes first or never");
        assert_eq!(refused.rule, Rule::TaskExecutor);
        world.admits(MALLORY, report);
        world.admits(MALLORY, revise(market.capability, "ocr"));
        let revoked = Message::Attest(Attest::RevokeKey(KeyRevocation::new()));
        world.admits(MALLORY, revoked);
        world.refuses_by(MALLORY, progress(task, ProgressState::Running, 0), Rule::KeyLive);
        refusal
    }

    CapabilityName => r1_a_name_is_unique_over_all_keys_of_its_owner {
        let mut market = Market::new();
        let world = &mut market.world;
        world.admits(BOB, Message::Attest(Attest::RotateKey(KeyRotation::new(MALLORY.id()))));
        let place = (Object::Capability(market.capability), "advertise_capability.publish.name");
        let refusal = check(world, (MALLORY, publish("ocr")), place, (MALLORY, publish("asr")));
        world.admits(MALLORY, revise(market.capability, "ocr"));
        refusal
    }

    Successor => r9_a_successor_is_a_new_key {
        let mut market = Market::new();
        let world = &mut market.world;
        let to = |who: Who| Message::Attest(Attest::RotateKey(KeyRotation::new(who.id())));
        // Else Mallory's key would take over what Alice has signed.
        let expect = (Object::Agent(ALICE.id()), "attest.rotate_key.successor");
        world.refuses_by(BOB, to(BOB), Rule::Successor);
        check(world, (BOB, to(ALICE)), expect, (BOB, to(CAROL)))
    }

    DelegationPassed => r9_a_delegation_that_is_passed_on_becomes_less {
        let mut market = Market::new();
        let world = &mut market.world;
        let to = |who: Who| Delegation::new(who.id());
        let given = Delegation {
            scopes: vec![DelegationScope::Tasks],
            depth: 1,
            intent: Some(market.intent),
            ..to(DAVE)
        };
        let message = |delegation: Delegation| Message::Attest(Attest::Delegate(delegation));
        let passed_on = world.admits(ALICE, message(given.clone()));
        let of = Some(passed_on);
        let wrong = [
            Delegation { of, depth: 1, ..given.clone() },
            Delegation { of, depth: 0, intent: None, ..given.clone() },
            Delegation { of, depth: 0, scopes: Vec::new(), ..given.clone() },
            Delegation {
                of,
                depth: 0,
                scopes: vec![DelegationScope::Negotiation],
                ..given.clone()
            },
        ];
        for delegation in wrong {
            let delegation = Delegation { delegate: CAROL.id(), ..delegation };
            world.refuses_by(DAVE, message(delegation), Rule::DelegationPassed);
        }
        let right = Delegation { delegate: CAROL.id(), of, depth: 0, ..given };
        let passed = message(right.clone());
        let place = (Object::Attestation(passed_on), "attest.delegate.of");
        let refusal = check(world, (MALLORY, passed.clone()), place, (DAVE, passed));
        // Carol may start tasks, but was not let negotiate; and not when Alice takes it back.
        world.refuses_by(CAROL, counter(market.offer), Rule::IntentAuthor);
        let mut taken_back = world.clone();
        taken_back.admits(ALICE, revoke(passed_on));
        taken_back.refuses_by(CAROL, start(market.intent, market.offer), Rule::TaskInitiator);
        world.admits(CAROL, start(market.intent, market.offer));
        refusal
    }

    // -------------------------------------------------------------- R10, R21: policies

    PolicyText => r10_a_policy_that_is_judged_is_valid {
        let mut world = World::new();
        let scope = PolicyScope::Agent(ALICE.id());
        let wrong = cedar(scope, "rules", 1, "forbid (principal, action, resource) when { 1 };");
        let right = cedar(scope, "rules", 1, EU_ONLY);
        let object = Object::Policy(world.next_id(ALICE, Message::PolicyUpdate(wrong.clone())));
        check(
            &mut world,
            (ALICE, Message::PolicyUpdate(wrong)),
            (object, "policy_update.text"),
            (ALICE, Message::PolicyUpdate(right)),
        )
    }

    PolicyAllows => r21_policies_of_the_buyer_hold_for_offers_and_execution {
        let (mut world, _, offer) = under_policy(EU_ONLY);
        let wrong = Message::Offer(Offer { conditions: region("us"), ..offer.clone() });
        let object = Object::Offer(world.next_id(BOB, wrong.clone()));
        let place = (object, "offer");
        let refusal = check(&mut world, (BOB, wrong), place, (BOB, Message::Offer(offer)));
        assert!(refusal.found.contains("work stays in the EU"), "{refusal}");
        let (mut world, intent, offer) = under_policy(CHEAP);
        let offer = world.admits(BOB, Message::Offer(offer));
        let terms = pinned(&mut world, intent, offer);
        let task = world.admits(ALICE, task_start(terms));
        world.admits(BOB, progress(task, ProgressState::Accepted, 0));
        world.admits(BOB, progress(task, ProgressState::Running, 0));
        let used = |value| {
            let usage = vec![Measure::new(name("energy"), value)];
            Message::TaskDone(TaskDone { usage, ..receipt(task, Outcome::Succeeded) })
        };
        // Too much was used: it can't be called a success, but a violation.
        world.refuses_by(BOB, used(11), Rule::PolicyAllows);
        let mut violated = world.clone();
        violated.admits(BOB, done(task, Outcome::Violated));
        assert!(violated.state.intent(&intent).expect("there").is_open(), "others may try");
        world.admits(BOB, used(10));
        refusal
    }

    PolicySet => r21_a_task_is_pinned_to_the_policies_that_judge_it {
        let (mut world, intent, offer) = under_policy(EU_ONLY);
        let offer = world.admits(BOB, Message::Offer(offer));
        let right = pinned(&mut world, intent, offer);
        let wrong = TaskStart { policy_set: Some(Digest::of(b"others")), ..right.clone() };
        let object = Object::Task(world.next_id(ALICE, task_start(wrong.clone())));
        let place = (object, "task_start.policy_set");
        check(&mut world, (ALICE, task_start(wrong)), place, (ALICE, task_start(right)))
    }
}

// ------------------------------------------------------------------ what follows from them

#[test]
fn r17_an_english_auction_ends_with_its_lowest_bid() {
    let mut hall = Hall::new(english());
    let mut last = None;
    for (who, amount) in [(BOB, 900), (CAROL, 850), (BOB, 700), (CAROL, 600)] {
        let bid = hall.open_bid(who, amount);
        last = Some(hall.world.admits(who, bid));
    }
    hall.after(BIDS + 1);
    let intent = hall.world.state.intent(&hall.intent).expect("open");
    let result = auction::result(&hall.world.state, &intent, None).expect("a winner");
    assert_eq!((Some(result.offer), result.price), (last, price(600)));
}

#[test]
fn r17_a_bid_that_is_not_opened_cannot_win_and_a_failed_winner_is_followed_by_the_next() {
    let mut hall = Hall::new(sealed(Selection::Vickrey));
    let (low, high) = (hall.sealed_bid(BOB, 100), hall.sealed_bid(CAROL, 500));
    let low = hall.world.admits(BOB, low);
    let high = hall.world.admits(CAROL, high);
    hall.after(BIDS + 1).admits(CAROL, reveal(high, CAROL, 500));
    hall.after(REVEALS + 1);
    let silent = hall.award(low, Some(1_000));
    hall.world.refuses_by(ALICE, silent, Rule::AuctionWinner);
    // Alone, Carol is paid the reserve.
    let award = hall.award(high, Some(1_000));
    let task = hall.world.admits(ALICE, award);
    hall.world.admits(CAROL, done(task, Outcome::Rejected));
    let retry = TaskStart {
        replaces: Some(task),
        price: Some(price(1_000)),
        ..TaskStart::new(hall.intent, high, 2)
    };
    hall.world.admits(ALICE, task_start(retry));
}

/// Else an initiator names an early `as_of` and looks at nothing but the offer that it wants.
#[test]
fn r15_an_evaluation_looks_at_no_offer_that_came_after_it() {
    let (mut world, intent, capability) = world_of(intent_terms(), capability("ocr"));
    let at = |amount| {
        Message::Offer(Offer { price: Some(price(amount)), ..offer_terms(intent, capability) })
    };
    let cheap = world.admits(BOB, at(100));
    let dear = world.admits(BOB, at(200));
    let award = |as_of: u64, offer| {
        let looked_at = Evaluation {
            weights: equal_weights(),
            candidates: vec![Candidate::new(offer)],
            as_of,
            ..Evaluation::new(name(evaluate::METHOD))
        };
        let state = world.state.intent(&intent).expect("open");
        let evaluation = Some(evaluate::again(&world.state, &state, &looked_at));
        task_start(TaskStart { evaluation, ..task_terms(intent, offer) })
    };
    let place = |offer| world.state.position_of(&offer).expect("there").0;
    let (early, right) = (award(place(cheap), dear), award(place(dear), cheap));
    let expect = (Rule::Evaluation, Object::Offer(dear), "task_start.evaluation");
    world.refuses(ALICE, early, expect);
    world.admits(ALICE, right);
}

#[test]
fn r15_what_is_not_stated_counts_nothing_beside_what_is_free() {
    let (mut world, intent, capability) = world_of(intent_terms(), capability("ocr"));
    let free = Offer { price: Some(price(0)), ..offer_terms(intent, capability) };
    world.admits(BOB, Message::Offer(free));
    world.admits(BOB, offer(intent, capability));
    let state = world.state.intent(&intent).expect("open");
    let by_price = [Measure::new(name("price"), 1)];
    let evaluation = evaluate::evaluate(&world.state, &state, &by_price, world.now);
    let totals: Vec<i64> = evaluation.candidates.iter().map(|given| given.total).collect();
    assert_eq!(totals, [1_000, 0]);
}

#[test]
fn r15_a_better_record_counts() {
    let (mut market, task) = Market::with_task();
    let world = &mut market.world;
    world.admits(BOB, progress(task, ProgressState::Accepted, 0));
    world.admits(BOB, progress(task, ProgressState::Running, 0));
    world.admits(BOB, done(task, Outcome::Succeeded));
    let carols = world.admits(CAROL, publish("ocr"));
    let intent = world.admits(ALICE, open());
    let unknown = world.admits(CAROL, offer(intent, carols));
    let proven = world.admits(BOB, offer(intent, market.capability));
    let state = world.state.intent(&intent).expect("open");
    let evaluation = evaluate::evaluate(&world.state, &state, &equal_weights(), world.now);
    let ranked = evaluate::ranked(&world.state, &evaluation);
    let order: Vec<EnvelopeId> = ranked.iter().map(|candidate| candidate.offer).collect();
    assert_eq!(order, [proven, unknown]);
    let score = |candidate: &Candidate| {
        let found = candidate.scores.iter().find(|score| score.name.as_str() == "reliability");
        found.expect("scored").value
    };
    assert_eq!((score(ranked[0]), score(ranked[1])), (666, 500));
}

#[test]
fn r21_a_new_policy_lists_what_it_no_longer_allows() {
    let (mut world, intent, offer) = under_policy(EU_ONLY);
    let offered = world.admits(BOB, Message::Offer(offer.clone()));
    let terms = pinned(&mut world, intent, offered);
    let task = world.admits(ALICE, task_start(terms));
    let other = world.admits(BOB, Message::Offer(offer));
    assert_eq!(tally_coordination::compliance::not_compliant(&world.state), []);
    let nobody = "forbid (principal, action, resource);";
    let amended = PolicyUpdate {
        action: PolicyAction::Amend,
        ..cedar(PolicyScope::Intent(intent), "rules", 2, nobody)
    };
    world.admits(ALICE, Message::PolicyUpdate(amended));
    let found = tally_coordination::compliance::not_compliant(&world.state);
    let objects: Vec<Object> = found.iter().map(|found| found.object).collect();
    assert_eq!(objects, [Object::Task(task), Object::Offer(other)]);
    // The task goes on under the policies that it was pinned to.
    world.admits(BOB, progress(task, ProgressState::Accepted, 0));
    world.admits(BOB, progress(task, ProgressState::Running, 0));
    assert_eq!(world.refolded(), world.state);
}

#[test]
fn r10_an_override_takes_the_place_of_the_wider_policy_of_its_name() {
    let (mut world, intent, capability) = world_of(intent_terms(), capability("survey"));
    let wide = cedar(PolicyScope::Agent(ALICE.id()), "region", 1, EU_ONLY);
    world.admits(ALICE, Message::PolicyUpdate(wide));
    let us = Message::Offer(Offer { conditions: region("us"), ..offer_terms(intent, capability) });
    world.refuses_by(BOB, us.clone(), Rule::PolicyAllows);
    let anywhere = "forbid (principal, action, resource) when { context.resources.hasTag(\"x\") };";
    let scope = PolicyScope::Intent(intent);
    world.admits(ALICE, Message::PolicyUpdate(cedar(scope, "region", 1, anywhere)));
    world.refuses_by(BOB, us.clone(), Rule::PolicyAllows);
    let over =
        PolicyUpdate { action: PolicyAction::Override, ..cedar(scope, "region", 2, anywhere) };
    world.admits(ALICE, Message::PolicyUpdate(over));
    world.admits(BOB, us);
}

#[test]
fn r21_claims_count_when_a_trusted_issuer_made_them() {
    let (mut world, intent, capability) = world_of(intent_terms(), capability("survey"));
    let text = format!(
        r#"forbid (principal, action, resource) unless {{
            principal.hasTag("iso27001") &&
            principal.getTag("iso27001").contains(Agent::"{}")
        }};"#,
        DAVE.id()
    );
    let scope = PolicyScope::Intent(intent);
    world.admits(ALICE, Message::PolicyUpdate(cedar(scope, "certified", 1, &text)));
    let certified = claim(ClaimSubject::Agent(BOB.id()), "iso27001", Some(Time(2_000_000)));
    world.admits(BOB, certified.clone());
    world.refuses_by(BOB, offer(intent, capability), Rule::PolicyAllows);
    world.admits(DAVE, certified);
    world.admits(BOB, offer(intent, capability));
    world.now = Time(2_000_001);
    world.refuses_by(BOB, offer(intent, capability), Rule::PolicyAllows);
}
