//! A market of more than fifty agents, honest and not, on one ledger. Honest work comes to its
//! end; every offence is refused by its rule, or stands among the findings with its author; and
//! whoever judges the log later, elsewhere, comes to the same decisions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tally_client::roles::{
    Achieved, Bid, Collaborative, Delivery, Failure, Goal, Initiator, Job, Patience, Provider,
    Worker,
};
use tally_client::{Author, Client, Context, Error, Observer, Trust};
use tally_coordination::{FindingKind, Intent, State, TaskState, findings};
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{AgentId, AgentKey, Digest, EnvelopeId, Message, SignedEnvelope, Time};
use tally_tests::program::{Server, copy, tally};
use tally_tests::signer::{self, Signer};
use tokio::task::JoinSet;

/// How long bids are taken, and as long again for opening them.
const PHASE: Duration = Duration::from_millis(1_500);

/// An executor that is silent for longer has failed.
const HEARTBEAT: Duration = Duration::from_millis(800);

/// Longest that an honest goal may wait for its offers.
const WAIT: Duration = Duration::from_secs(20);

/// An offence: who, and how it came out.
#[derive(Debug)]
enum Offence {
    /// The ledger refused it by this rule, and nothing has changed.
    Refused(&'static str),
    /// It stands in the log, as a finding about this agent.
    Found(FindingKind, AgentId),
    /// It was taken for what it was: nothing new.
    WithoutEffect,
}

type Offences = Vec<Offence>;

/// The ledger, and somebody's way to it.
#[derive(Clone)]
struct Market {
    client: Client,
    observer: Observer,
}

impl Market {
    fn author(&self) -> Arc<Author> {
        Arc::new(self.client.author(AgentKey::generate()))
    }

    /// An agent that signs by hand.
    fn rogue(&self, number: u64) -> Rogue {
        Rogue { signer: Signer::new(1_000 + number, self.client.origin()), market: self.clone() }
    }

    async fn until<T>(&self, what: &str, look: impl FnMut(&State) -> Option<T>) -> T {
        let found = tokio::time::timeout(Duration::from_secs(60), self.observer.until(look)).await;
        found.unwrap_or_else(|_| panic!("waited for {what}")).expect("an honest ledger")
    }

    /// The first intent for which there is this bait.
    async fn bait(&self, bait: &str) -> Arc<Intent> {
        self.until(bait, |state| state.intents().find(|intent| has(intent, bait))).await
    }
}

/// Says what no client would.
struct Rogue {
    signer: Signer,
    market: Market,
}

impl Rogue {
    async fn say(&mut self, message: Message) -> EnvelopeId {
        let signed = self.signer.say(message);
        self.market.client.append(&signed).await.expect("is admitted");
        signed.id()
    }

    /// Tries what must be refused by this rule.
    async fn tries(&self, message: Message, rule: &'static str) -> Offence {
        self.tries_one_of(message, [rule]).await
    }

    /// Tries what must be refused, by which of these rules depends on how far others are.
    async fn tries_one_of<const N: usize>(
        &self,
        message: Message,
        rules: [&'static str; N],
    ) -> Offence {
        refused_by(&self.market.client, &self.signer.try_out(message), &rules).await
    }

    async fn publishes(&mut self, name: &str) -> EnvelopeId {
        let terms = CapabilityTerms::new(text(name), text(CATEGORY));
        self.say(Message::AdvertiseCapability(AdvertiseCapability::Publish(terms))).await
    }
}

async fn refused(client: &Client, signed: &SignedEnvelope, rule: &'static str) -> Offence {
    refused_by(client, signed, &[rule]).await
}

async fn refused_by(client: &Client, signed: &SignedEnvelope, rules: &[&'static str]) -> Offence {
    let rejection = match client.append(signed).await {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("{rules:?}: {other:?}"),
    };
    let rule = rules.iter().find(|rule| **rule == rejection.rule);
    let rule = rule.unwrap_or_else(|| panic!("not by {rules:?}: {rejection}"));
    let known = client.receipt_of(&signed.id()).await;
    assert!(matches!(known, Err(Error::Rejected(_))), "{rule}: it is not in the log");
    Offence::Refused(rule)
}

const CATEGORY: &str = "survey";

fn text<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a short text")
}

fn euros(amount: u64) -> Price {
    Price { amount, currency: text("EUR") }
}

fn has(intent: &Intent, bait: &str) -> bool {
    intent.terms.labels.iter().any(|label| label.value.as_str() == bait)
}

/// An intent that brings out one kind of offender.
fn wanted(outcome: &str, bait: &str) -> IntentTerms {
    IntentTerms {
        category: Some(text(CATEGORY)),
        labels: vec![Label { key: text("bait"), value: text(bait) }],
        utility_weights: ["price", "schema", "resources", "time", "reliability"]
            .map(|factor| Measure::new(text(factor), if factor == "price" { 9 } else { 1 }))
            .to_vec(),
        ..IntentTerms::new(text(outcome))
    }
}

fn goal(terms: IntentTerms, offers: usize) -> Goal {
    let patience = Patience { heartbeat: Some(HEARTBEAT), ..Patience::default() };
    Goal { offers, wait: WAIT, patience, ..Goal::new(terms) }
}

// ------------------------------------------------------------------ honest agents

/// Does what was asked for, in no time.
async fn survey(job: Job) -> Result<Delivery, Failure> {
    let map = job.output("map", text("text/plain"), &job.intent.terms.outcome.to_string());
    let usage = vec![Measure::new(text("boats"), 1)];
    Ok(Delivery { outputs: vec![map.expect("a short text")], usage })
}

/// Quotes a price for everything in its line, and for every part that it can cover.
fn quoting(
    amount: u64,
    part: Option<&'static str>,
    takes: impl Fn(&Intent) -> bool + Send + Sync,
) -> impl Fn(&State, &Intent) -> Option<Bid> + Send + Sync {
    move |_, intent| {
        let parts = &intent.terms.parts;
        let covers: Vec<Name> =
            parts.iter().filter(|name| Some(name.as_str()) == part).cloned().collect();
        let can = takes(intent) && (parts.is_empty() || !covers.is_empty());
        can.then(|| Bid {
            price: Some(euros(amount)),
            limit: amount / 2,
            resources: vec![Resource::new(text("boats"), 1)],
            conditions: vec![Constraint {
                attribute: text("region"),
                comparison: Comparison::AnyOf,
                values: vec![text("eu")],
            }],
            covers,
            ..Bid::new(text("boat"))
        })
    }
}

fn provides(
    market: &Market,
    author: &Arc<Author>,
    bidder: impl Fn(&State, &Intent) -> Option<Bid> + Send + Sync + 'static,
    worker: impl Worker,
) -> impl Future<Output = Result<(), Error>> + Send + 'static {
    let boat = CapabilityTerms::new(text("boat"), text(CATEGORY));
    Provider::new(Arc::clone(author), market.observer.clone(), vec![boat], bidder, worker).run()
}

/// Pursues a goal to its end.
async fn buys(market: Market, goal: Goal) -> Achieved {
    let initiator = Initiator::new(market.author(), market.observer.clone());
    initiator.pursue(&goal).await.unwrap_or_else(|error| panic!("{}: {error}", goal.terms.outcome))
}

/// A goal in two parts, each by its own provider.
async fn buys_together(market: Market) -> Achieved {
    let mut terms = wanted("both shores", "parts");
    terms.parts = vec![text("north"), text("south")];
    let initiator = Initiator::with(market.author(), market.observer.clone(), Collaborative);
    initiator.pursue(&goal(terms, 2)).await.expect("both parts")
}

/// Two goals, the second on what came of the first.
async fn buys_in_a_chain(market: Market) -> Vec<Achieved> {
    let initiator = Initiator::new(market.author(), market.observer.clone());
    let goals = ["depths", "a chart of the depths"].map(|what| goal(wanted(what, "honest"), 2));
    initiator.chain(goals).await.expect("both goals")
}

async fn auctions(market: Market, selection: Selection) -> Achieved {
    let head = market.observer.state().recorded_at();
    let after = |phases: u32| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.expect("after 1970").as_micros()).expect("before 2262");
        let now = Time(now.max(head.0));
        now.plus_us(u64::try_from((PHASE * phases).as_micros()).expect("short"))
    };
    let sealed = selection != Selection::EnglishAuction;
    let auction = Auction {
        reveal_until_us: sealed.then(|| after(2)),
        min_step: if sealed { 0 } else { 1 },
        reserve: Some(euros(1_000)),
        ..Auction::new(after(1))
    };
    let terms = IntentTerms {
        selection: Some(selection),
        auction: Some(auction),
        ..wanted("an auction", if sealed { "sealed" } else { "english" })
    };
    buys(market, goal(terms, 2)).await
}

// ------------------------------------------------------------------ offenders

/// Wins by its price, accepts, and is never heard again.
async fn falls_silent(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let capability = rogue.publishes("ghost").await;
    let intent = market.bait("silent").await;
    let bid = Offer { price: Some(euros(1)), ..Offer::new(intent.id, capability) };
    let offer = rogue.say(Message::Offer(bid)).await;
    let task = market
        .until("the award", |state| {
            state
                .intent(&intent.id)?
                .tasks
                .iter()
                .copied()
                .find(|task| state.task(task).is_some_and(|task| task.terms.offer == offer))
        })
        .await;
    rogue.say(signer::progress(task, "accepted", 0)).await;
    market
        .until("the end of patience", |state| {
            (state.task(&task)?.state == TaskState::Ended(Outcome::Abandoned)).then_some(())
        })
        .await;
    vec![Offence::Found(FindingKind::Abandoned, rogue.signer.agent())]
}

/// Offers boats that it does not have.
struct Boatless;

impl Worker for Boatless {
    async fn work(&self, _: Job) -> Result<Delivery, Failure> {
        unreachable!("it has no boat to begin with")
    }

    fn resources(&self, _: &Job) -> Result<(), String> {
        Err("no boat is free".into())
    }
}

/// Uses more than it offered.
async fn wasteful(job: Job) -> Result<Delivery, Failure> {
    let delivery = survey(job).await?;
    Ok(Delivery { usage: vec![Measure::new(text("boats"), 7)], ..delivery })
}

/// Says failed after it said succeeded.
async fn takes_back(market: Market, author: Arc<Author>) -> Offences {
    let agent = author.agent();
    let task = market
        .until("its own success", |state| {
            let done = TaskState::Ended(Outcome::Succeeded);
            state.tasks().find(|task| task.executor == agent && task.state == done).map(|t| t.id)
        })
        .await;
    let failed = Message::TaskDone(TaskDone::new(task, Outcome::Failed));
    author.append(failed, Context::default()).await.expect("is kept");
    vec![Offence::Found(FindingKind::ConflictingOutcome, agent)]
}

/// Awards an offer twice, one task too many, and on terms that nobody computed.
async fn awards_twice(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let bait = format!("double {number}");
    let terms = IntentTerms { max_awards: 1, ..wanted("one survey", &bait) };
    let intent = rogue.say(Message::Intent(tally_protocol::message::Intent::Open(terms))).await;
    let offers = market
        .until("two offers", |state| {
            let offers: Vec<_> = state.intent(&intent)?.offers.iter().copied().collect();
            (offers.len() >= 2).then_some(offers)
        })
        .await;
    let state = market.observer.state();
    let open = state.intent(&intent).expect("open");
    let weights = open.terms.utility_weights.clone();
    let evaluation =
        tally_coordination::evaluate::evaluate(&state, &open, &weights, state.recorded_at());
    let ranked = tally_coordination::evaluate::ranked(&state, &evaluation);
    let (best, worst) = (ranked[0].offer, ranked.last().expect("two").offer);
    let start = |offer, evaluation| {
        let start = TaskStart { evaluation, ..TaskStart::new(intent, offer, 1) };
        Message::TaskStart(Box::new(start))
    };
    let mut flattered = evaluation.clone();
    for candidate in &mut flattered.candidates {
        candidate.total = if candidate.offer == worst { 1_000 } else { 0 };
    }
    let offences = vec![
        rogue.tries(start(worst, Some(flattered)), "R15.evaluation").await,
        rogue.tries(start(worst, Some(evaluation.clone())), "R15.winner").await,
    ];
    rogue.say(start(best, Some(evaluation))).await;
    // As long as the first task runs; when it is done already, there is nothing left to award.
    let other = *offers.iter().find(|offer| **offer != best).expect("two");
    let again = [
        rogue.tries_one_of(start(best, None), ["R12.offer-live", "R12.intent-open"]).await,
        rogue.tries_one_of(start(other, None), ["R15.awards", "R12.intent-open"]).await,
    ];
    offences.into_iter().chain(again).collect()
}

/// Bids when the auction is over, opens what was never bid, and opens another's bid.
async fn bids_late(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let capability = rogue.publishes("latecomer").await;
    let intent = market.bait("sealed").await;
    let until = intent.terms.auction.as_ref().expect("an auction").bids_until_us;
    let bid = market
        .until("the end of the bidding", |state| {
            let opened =
                |id: &&EnvelopeId| state.offer(id).is_some_and(|offer| offer.revealed.is_some());
            state.intent(&intent.id)?.offers.iter().find(opened).copied()
        })
        .await;
    assert!(market.observer.state().recorded_at() > until);
    let salt = Digest([1; 32]);
    let late = Offer {
        commitment: Some(Reveal::commitment(&salt, &rogue.signer.agent(), &intent.id, &euros(1))),
        ..Offer::new(intent.id, capability)
    };
    let reveal = Reveal { offer: bid, price: euros(1), salt };
    vec![
        rogue.tries(Message::Offer(late), "R17.bids-open").await,
        rogue.tries(Message::Negotiate(Negotiate::Reveal(reveal)), "R5.provider").await,
    ]
}

/// Bids low and never opens the bid.
async fn keeps_shut(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let capability = rogue.publishes("clam").await;
    let intent = market.bait("sealed").await;
    let salt = Digest([2; 32]);
    let shut = Offer {
        commitment: Some(Reveal::commitment(&salt, &rogue.signer.agent(), &intent.id, &euros(1))),
        ..Offer::new(intent.id, capability)
    };
    rogue.say(Message::Offer(shut)).await;
    vec![Offence::Found(FindingKind::UnopenedBid, rogue.signer.agent())]
}

/// Sends again what others have signed, here and as if for another ledger.
async fn replays(market: Market, number: u64) -> Offences {
    let rogue = market.rogue(number);
    let intent = market.bait("honest").await;
    let before = market.client.receipt_of(&intent.id).await.expect("a receipt");
    let again = market.client.append(&before.event().signed()).await.expect("the same receipt");
    assert_eq!(again.position(), before.position());
    let mut elsewhere = rogue.signer.envelope(signer::intent("moved"));
    elsewhere.origin = "another.example/ledger".parse().expect("an origin");
    let elsewhere = rogue.signer.sign(&elsewhere);
    vec![Offence::WithoutEffect, refused(&market.client, &elsewhere, "R13.origin").await]
}

/// Refers to what is not there or not its own, and signs for somebody else.
async fn forges(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let capability = rogue.publishes("mask").await;
    let intent = market.bait("honest").await;
    let task =
        market.until("a task", |state| state.intent(&intent.id)?.tasks.front().copied()).await;
    let theirs = market.observer.state();
    let offer = theirs.task(&task).expect("it is there").terms.offer;
    let boat = theirs.offer(&offer).expect("it is there").terms.capability;
    let nowhere = EnvelopeId([number as u8; 32]);
    let stolen = CapabilityRetirement::new(boat);
    let stolen = Message::AdvertiseCapability(AdvertiseCapability::Retire(stolen));
    let mut unsigned = rogue.signer.try_out(signer::intent("in another's name"));
    unsigned.signature[7] ^= 1;
    vec![
        rogue.tries(signer::offer(nowhere, capability), "R13.reference").await,
        rogue.tries(signer::offer(capability, intent.id), "R13.reference-kind").await,
        rogue.tries(signer::progress(task, "running", 50), "R7.executor").await,
        rogue.tries(stolen, "R1.owner").await,
        rogue.tries(signer::cancel(intent.id), "R3.author").await,
        refused(&market.client, &unsigned, "R13.signature").await,
    ]
}

/// Says two things at once, and goes on with a key that was given up.
async fn equivocates(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let other = rogue.signer.try_out(signer::intent("one thing to you"));
    rogue.say(signer::intent("another thing to you")).await;
    let twice = refused(&market.client, &other, "R13.equivocation").await;
    let successor = Signer::new(5_000 + number, market.client.origin()).agent();
    rogue.say(Message::Attest(Attest::RotateKey(KeyRotation::new(successor)))).await;
    let ended = rogue.tries(signer::intent("still me"), "R9.key-live").await;
    // The ledger put both statements on record.
    let agent = rogue.signer.agent();
    vec![twice, ended, Offence::Found(FindingKind::Equivocation, agent)]
}

/// Offers what the buyer's policy forbids.
async fn works_abroad(market: Market, number: u64) -> Offences {
    let mut rogue = market.rogue(number);
    let capability = rogue.publishes("abroad").await;
    let intent = market.bait("policy").await;
    market
        .until("the policy", |state| {
            let scope = PolicyScope::Intent(intent.root);
            state.policies_for(scope).next().map(drop)
        })
        .await;
    let region = Constraint {
        attribute: text("region"),
        comparison: Comparison::AnyOf,
        values: vec![text("us")],
    };
    let abroad = Offer {
        conditions: vec![region],
        price: Some(euros(1)),
        ..Offer::new(intent.id, capability)
    };
    vec![rogue.tries(Message::Offer(abroad), "R21.policy").await]
}

// ------------------------------------------------------------------ the market

#[tokio::test(flavor = "multi_thread")]
async fn honest_work_is_done_and_every_offence_is_refused_or_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("ledger");
    let server = Server::start(&data);
    let client = Client::connect(&server.url, Trust::FirstUse).await.expect("connects");
    let market = Market { observer: Observer::start(client.clone()), client };

    let mut providers = JoinSet::new();
    let mut agents = 0;
    // Honest providers of three lines: everybody's, the north, the south.
    for i in 0..14_u64 {
        let part = [None, Some("north"), Some("south")][i as usize % 3];
        let takes = move |intent: &Intent| {
            // Two for each bait are enough: what is cheap is tested elsewhere.
            let lot = i % 7 == intent.position.0 % 7 || !intent.terms.parts.is_empty();
            lot && !has(intent, "closed")
        };
        let author = market.author();
        let bidder = quoting(50 + i, part, takes);
        providers.spawn(provides(&market, &author, bidder, survey));
        agents += 1;
    }
    // Those that win by their price, where they are let.
    let baited = |bait: &'static str| quoting(2, None, move |intent| has(intent, bait));
    let mut found = Vec::new();
    for bait in ["wasteful one", "wasteful two"] {
        let author = market.author();
        found.push(Offence::Found(FindingKind::EmptyOffer, author.agent()));
        providers.spawn(provides(&market, &author, baited("boatless"), Boatless));
        let author = market.author();
        found.push(Offence::Found(FindingKind::OverUse, author.agent()));
        providers.spawn(provides(&market, &author, baited(bait), wasteful));
        agents += 2;
    }
    let mut offenders: JoinSet<Offences> = JoinSet::new();
    let fickle = market.author();
    providers.spawn(provides(&market, &fickle, baited("fickle"), survey));
    offenders.spawn(takes_back(market.clone(), fickle));
    agents += 1;
    for number in 0..3 {
        offenders.spawn(falls_silent(market.clone(), number));
        offenders.spawn(awards_twice(market.clone(), 10 + number));
        offenders.spawn(bids_late(market.clone(), 20 + number));
        offenders.spawn(replays(market.clone(), 30 + number));
        offenders.spawn(forges(market.clone(), 40 + number));
        offenders.spawn(equivocates(market.clone(), 50 + number));
        offenders.spawn(works_abroad(market.clone(), 60 + number));
        agents += 7;
    }
    for number in 0..2 {
        offenders.spawn(keeps_shut(market.clone(), 70 + number));
        agents += 1;
    }

    let mut buyers: JoinSet<Vec<Achieved>> = JoinSet::new();
    for bait in [
        "honest",
        "honest",
        "honest",
        "silent",
        "boatless",
        "wasteful one",
        "wasteful two",
        "fickle",
    ] {
        let (market, offers) = (market.clone(), if bait == "honest" { 2 } else { 4 });
        let goal = Goal { wait: Duration::from_secs(3), ..goal(wanted("a survey", bait), offers) };
        buyers.spawn(async move { vec![buys(market, Goal { attempts: 8, ..goal }).await] });
        agents += 1;
    }
    let together = market.clone();
    buyers.spawn(async move { vec![buys_together(together).await] });
    buyers.spawn(buys_in_a_chain(market.clone()));
    buyers.spawn(buys_under_policy(market.clone()));
    for selection in [Selection::Vickrey, Selection::SealedFirstPrice, Selection::EnglishAuction] {
        let market = market.clone();
        buyers.spawn(async move { vec![auctions(market, selection).await] });
        agents += 1;
    }
    agents += 3;
    assert!(agents >= 50, "{agents} agents");

    // Honest workflows finish.
    let mut achieved = Vec::new();
    while let Some(goals) = buyers.join_next().await {
        achieved.extend(goals.expect("no buyer fails"));
    }
    assert!(achieved.iter().all(|goal| !goal.tasks.is_empty() && !goal.outputs.is_empty()));
    // Every offence came out as it must.
    let mut refusals = std::collections::BTreeMap::<&str, u32>::new();
    while let Some(offences) = offenders.join_next().await {
        found.extend(offences.expect("no offender gets through"));
    }
    providers.shutdown().await;
    let state = market.observer.at_least(last(&market).await).await.expect("an honest ledger");
    let all = findings(&state);
    for offence in &found {
        match offence {
            Offence::Refused(rule) => *refusals.entry(rule).or_default() += 1,
            Offence::Found(kind, agent) => assert!(
                all.iter().any(|finding| finding.kind == *kind && finding.agent == *agent),
                "{offence:?} is not among {all:#?}"
            ),
            Offence::WithoutEffect => {}
        }
    }
    println!("{agents} agents, {} events, refused: {refusals:?}", state.next_position());
    // Nobody who is honest is found at fault.
    let guilty: Vec<AgentId> = found
        .iter()
        .filter_map(|offence| match offence {
            Offence::Found(_, agent) => Some(*agent),
            Offence::Refused(_) | Offence::WithoutEffect => None,
        })
        .collect();
    assert_eq!(all.iter().find(|finding| !guilty.contains(&finding.agent)), None);

    // Another machine, no server, no network, another time zone: the same decisions.
    drop(market);
    drop(server);
    let verdict = |data: &std::path::Path| {
        let data = data.to_str().expect("a path");
        let report = tally(["verify", "--json", "--data", data]).expect(0).json();
        assert_eq!(report["verdict"], "valid");
        assert!(report["decisions"]["count"].as_u64() > Some(10), "{report}");
        report["decisions"].clone()
    };
    let elsewhere = directory.path().join("elsewhere");
    copy(&data, &elsewhere);
    assert_eq!(verdict(&data), verdict(&elsewhere));
    assert_ne!(verdict(&data), json!(null));
}

/// The position of the last event.
async fn last(market: &Market) -> tally_protocol::Position {
    let head = market.client.head().await.expect("a head");
    tally_protocol::Position(head.size.as_u64() - 1)
}

/// A goal on which work stays in the EU.
async fn buys_under_policy(market: Market) -> Vec<Achieved> {
    let author = market.author();
    let initiator = Initiator::new(Arc::clone(&author), market.observer.clone());
    let goal = goal(wanted("a survey at home", "policy"), 2);
    let policy = async {
        let intent = market.bait("policy").await;
        let rule = r#"@id("eu") @reason("work stays in the EU")
            forbid (principal, action, resource) unless {
                context.any_of.hasTag("region") && ["eu"].containsAll(context.any_of.getTag("region"))
            };"#;
        let update = PolicyUpdate {
            text: text(rule),
            language: Some(PolicyLanguage::Cedar),
            ..PolicyUpdate::new(
                PolicyScope::Intent(intent.id),
                text("region"),
                1,
                PolicyAction::Activate,
            )
        };
        author.append(Message::PolicyUpdate(update), Context::default()).await
    };
    let (achieved, admitted) = tokio::join!(initiator.pursue(&goal), policy);
    admitted.expect("the policy is valid");
    vec![achieved.expect("a survey at home")]
}
