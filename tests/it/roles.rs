//! R26: agents that do their part without a person, against real ledgers. They know each other only
//! by the log; whoever folds it anew comes to the same state.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tally_client::roles::{
    Achieved, Awarder, Bid, Bidder, Collaborative, Competitive, Delivery, Failure, Goal, GoalError,
    Initiator, Job, Patience, Provider, Quote, ResourceAware, Worker,
};
use tally_client::{Author, Client, Context, Error, Observer};
use tally_coordination::{OfferStanding, State, Task, findings};
use tally_protocol::message::{
    AdvertiseCapability, Auction, CapabilityTerms, IntentTerms, Negotiate, Offer, Outcome,
    PolicyAction, PolicyLanguage, PolicyScope, PolicyUpdate, RequestCancellation, Selection,
};
use tally_protocol::parts::{DataRef, Document, Name, Price, Text, Uri};
use tally_protocol::{AgentId, AgentKey, Digest, EnvelopeId, Message, Position, Time};
use tally_tests::program::{Running, Server, WAIT_LIMIT, example};
use tokio::task::JoinSet;

/// What is worked on.
const KIND: &str = "survey";

/// How long a phase of an auction takes: ample for a few bids between processes of one machine.
const PHASE: Duration = Duration::from_secs(3);

/// A ledger with providers.
struct Market {
    client: Client,
    providers: JoinSet<Result<(), Error>>,
    server: Server,
    _directory: tempfile::TempDir,
}

impl Market {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(directory.path());
        let client = server.client().await;
        Self { client, providers: JoinSet::new(), server, _directory: directory }
    }

    fn observer(&self) -> Observer {
        Observer::start(self.client.clone())
    }

    fn initiator<A: Awarder>(&self, awarder: A) -> Initiator<A> {
        Initiator::with(author(&self.client, 1), self.observer(), awarder)
    }

    /// Starts a provider with the key of this seed.
    fn provider(
        &mut self,
        seed: u8,
        bidder: impl Bidder + 'static,
        worker: impl Worker,
    ) -> AgentId {
        let author = author(&self.client, seed);
        let agent = author.agent();
        let observer = self.observer();
        self.providers.spawn(Provider::new(author, observer, vec![terms()], bidder, worker).run());
        agent
    }

    /// Ends the providers; two that fold the whole log anew come to the same state.
    async fn close(mut self) -> State {
        self.providers.shutdown().await;
        let others = [self.client.clone(), self.server.client().await].map(Observer::start);
        loop {
            // What was on its way when the providers were ended may still arrive.
            let head = self.client.head().await.expect("a head");
            let last = Position(head.size.as_u64() - 1);
            let one = others[0].at_least(last).await.expect("a log by the rules");
            let other = others[1].at_least(last).await.expect("a log by the rules");
            if one.next_position() == other.next_position() {
                assert_eq!(one, other);
                return one;
            }
        }
    }

    /// Waits until all providers have advertised what they can do.
    async fn advertised(&self, count: usize) {
        let all = |state: &State| (state.capabilities().count() == count).then_some(());
        self.observer().until(all).await.expect("a log by the rules");
    }
}

fn author(client: &Client, seed: u8) -> Author {
    client.author(AgentKey::from_seed(&[seed; 32]))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

fn cents(amount: u64) -> Price {
    Price::new(amount, name("EUR.cent"))
}

fn terms() -> CapabilityTerms {
    CapabilityTerms::new(name("surveyor"), name(KIND))
}

fn quote(amount: u64) -> Quote {
    Quote::new(&terms(), cents(amount))
}

fn wanted() -> IntentTerms {
    let category = Some(name(KIND));
    IntentTerms { category, ..IntentTerms::new(Text::new("a survey").expect("short")) }
}

/// Waits for so many offers.
fn goal(offers: usize) -> Goal {
    Goal { offers, wait: WAIT_LIMIT, ..Goal::new(wanted()) }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Time(i64::try_from(since.as_micros()).expect("a time"))
}

fn later(from: Time, duration: Duration) -> Time {
    from.plus_us(u64::try_from(duration.as_micros()).expect("short"))
}

/// Delivers the inputs, and who did it.
async fn diligent(job: Job) -> Result<Delivery, Failure> {
    let inputs: String = job.inputs().iter().map(|input| format!("{};", input.inline)).collect();
    let text = format!("{inputs}by {}", job.task.executor);
    let output = job.output("survey", name("text/plain"), &text).expect("short");
    Ok(Delivery { outputs: vec![output], ..Delivery::default() })
}

async fn unlucky(_: Job) -> Result<Delivery, Failure> {
    Err(Failure::Failed("the boat is leaking".into()))
}

async fn endless(_: Job) -> Result<Delivery, Failure> {
    pending().await
}

fn texts(achieved: &Achieved) -> Vec<String> {
    achieved.outputs.iter().map(|output| output.inline.to_string()).collect()
}

/// All tasks on an intent, in the order of the log.
fn tasks(state: &State, intent: EnvelopeId) -> Vec<Arc<Task>> {
    let intent = state.intent(&intent).expect("it is there");
    intent.tasks.iter().map(|task| state.task(task).expect("it is there")).collect()
}

fn outcomes(state: &State, intent: EnvelopeId) -> Vec<(AgentId, u32, Outcome)> {
    let tasks = tasks(state, intent).into_iter();
    tasks.map(|t| (t.executor, t.terms.attempt, t.ended.expect("ended").outcome)).collect()
}

async fn first_task(observer: &Observer, holds: impl Fn(&Task) -> bool) -> EnvelopeId {
    let found = observer.until(|state| state.tasks().find(|task| holds(task)).map(|task| task.id));
    found.await.expect("a log by the rules")
}

// ------------------------------------------------------------------ strategies

/// What never ends would be no answer: it fails.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_LIMIT, work).await.expect("it comes to an end")
}

#[tokio::test]
async fn r16_the_best_of_two_offers_is_awarded_and_the_record_says_why() {
    let mut market = Market::open().await;
    let cheap = market.provider(2, quote(500), diligent);
    let _dear = market.provider(3, quote(900), diligent);
    let achieved = in_time(market.initiator(Competitive).pursue(&goal(2))).await.expect("achieved");
    assert_eq!(texts(&achieved), [format!("by {cheap}")]);
    let state = market.close().await;
    assert_eq!(outcomes(&state, achieved.intent), [(cheap, 1, Outcome::Succeeded)]);
    let task = &tasks(&state, achieved.intent)[0];
    let evaluation = task.terms.evaluation.as_ref().expect("on the record");
    assert_eq!(evaluation.candidates.len(), 2);
    assert_eq!(task.terms.price, Some(cents(500)));
    assert_eq!(findings(&state), []);
}

#[tokio::test]
async fn r16_when_time_counts_the_faster_offer_is_awarded() {
    let mut market = Market::open().await;
    let taking = |amount, duration_us| {
        let quote = quote(amount);
        Quote { bid: Bid { duration_us, ..quote.bid.clone() }, ..quote }
    };
    let _slow = market.provider(2, taking(100, 90_000_000), diligent);
    let fast = market.provider(3, taking(900, 60_000_000), diligent);
    let achieved =
        in_time(market.initiator(ResourceAware).pursue(&goal(2))).await.expect("achieved");
    assert_eq!(texts(&achieved), [format!("by {fast}")]);
    market.close().await;
}

#[tokio::test]
async fn r16_offers_that_cover_the_parts_are_awarded_together() {
    let mut market = Market::open().await;
    let covering = |amount, parts: &[&str]| {
        let covers = parts.iter().map(|part| name(part)).collect();
        let quote = quote(amount);
        Quote { bid: Bid { covers, ..quote.bid.clone() }, ..quote }
    };
    let sound = market.provider(2, covering(500, &["soundings"]), diligent);
    let chart = market.provider(3, covering(700, &["chart", "print"]), diligent);
    let _dear = market.provider(4, covering(900, &["soundings", "chart"]), diligent);
    let parts = ["soundings", "chart", "print"].map(name).into();
    let goal = Goal { terms: IntentTerms { parts, ..wanted() }, ..goal(3) };
    let achieved = in_time(market.initiator(Collaborative).pursue(&goal)).await.expect("achieved");
    let state = market.close().await;
    let found = outcomes(&state, achieved.intent);
    assert_eq!(found.len(), 2, "{found:?}");
    for provider in [sound, chart] {
        assert!(found.contains(&(provider, 1, Outcome::Succeeded)), "{found:?}");
    }
    assert_eq!(achieved.outputs.len(), 2);
}

#[tokio::test]
async fn r21_an_offer_that_policies_do_not_allow_is_declined_and_the_next_is_pinned_to_them() {
    const CHEAP: &str = r#"@reason("the budget is spent")
forbid (principal, action == Action::"start", resource) when {
    context has cost && context.cost.amount > 600
};"#;
    let mut market = Market::open().await;
    let author = Arc::new(author(&market.client, 1));
    let policy = PolicyUpdate {
        text: Document::new(CHEAP).expect("short"),
        language: Some(PolicyLanguage::Cedar),
        ..PolicyUpdate::new(
            PolicyScope::Agent(author.agent()),
            name("budget"),
            1,
            PolicyAction::Activate,
        )
    };
    author.append(Message::PolicyUpdate(policy), Context::default()).await.expect("in force");
    let taking = |amount, duration_us| {
        let quote = quote(amount);
        Quote { bid: Bid { duration_us, ..quote.bid.clone() }, ..quote }
    };
    let fast = market.provider(2, taking(900, 1_000_000), diligent);
    let allowed = market.provider(3, taking(600, 9_000_000), diligent);
    let initiator = Initiator::with(author, market.observer(), ResourceAware);
    let achieved = in_time(initiator.pursue(&goal(2))).await.expect("achieved");
    assert_eq!(texts(&achieved), [format!("by {allowed}")]);
    let state = market.close().await;
    assert_eq!(tasks(&state, achieved.intent)[0].policies.len(), 1);
    let intent = state.intent(&achieved.intent).expect("there");
    let offers = intent.offers.iter().map(|offer| state.offer(offer).expect("there"));
    let declined = offers.filter(|offer| offer.standing == OfferStanding::Declined);
    assert_eq!(declined.map(|offer| offer.provider).collect::<Vec<_>>(), [fast]);
}

// ------------------------------------------------------------------ failure and recovery

#[tokio::test]
async fn r19_a_failure_is_followed_by_the_next_best_offer() {
    let mut market = Market::open().await;
    let unlucky = market.provider(2, quote(500), unlucky);
    let second = market.provider(3, quote(900), diligent);
    let achieved = in_time(market.initiator(Competitive).pursue(&goal(2))).await.expect("achieved");
    let state = market.close().await;
    let expected = [(unlucky, 1, Outcome::Failed), (second, 2, Outcome::Succeeded)];
    assert_eq!(outcomes(&state, achieved.intent), expected);
    let tasks = tasks(&state, achieved.intent);
    assert_eq!(tasks[1].terms.replaces, Some(tasks[0].id));
}

#[tokio::test]
async fn r20_a_provider_that_stays_silent_is_given_up() {
    let mut market = Market::open().await;
    // It offers by hand, and does nothing more.
    let silent = author(&market.client, 2);
    let publish = Message::AdvertiseCapability(AdvertiseCapability::Publish(terms()));
    let said = silent.append(publish, Context::default()).await.expect("published");
    let capability = said.event().signed().id();
    let second = market.provider(3, quote(900), diligent);
    let observer = market.observer();
    let offering = async {
        let open = observer.until(|state| state.intents().next().map(|intent| intent.id));
        let intent = open.await.expect("a log by the rules");
        let offer = Offer { price: Some(cents(100)), ..Offer::new(intent, capability) };
        silent.append(Message::Offer(offer), Context::default()).await.expect("offered");
    };
    let accept = Some(Duration::from_secs(3));
    let goal = Goal { patience: Patience { accept, ..Patience::default() }, ..goal(2) };
    let initiator = market.initiator(Competitive);
    let (achieved, ()) = tokio::join!(initiator.pursue(&goal), offering);
    let achieved = achieved.expect("achieved");
    let state = market.close().await;
    let expected = [(silent.agent(), 1, Outcome::Abandoned), (second, 2, Outcome::Succeeded)];
    assert_eq!(outcomes(&state, achieved.intent), expected);
}

#[tokio::test]
async fn r14_inputs_that_are_not_at_hand_are_a_reason_to_reject() {
    let mut market = Market::open().await;
    let strict = market.provider(2, quote(500), diligent);
    let absent = DataRef::new(Uri::new("tide/gauge").expect("short"), Digest::of(b"elsewhere"));
    let terms = IntentTerms { inputs: vec![absent], ..wanted() };
    let goal = Goal { wait: Duration::ZERO, ..Goal { terms, attempts: 1, ..goal(1) } };
    let initiator = market.initiator(Competitive);
    // Without patience there is no offer yet: the intent is cancelled.
    let error = initiator.pursue(&goal).await.expect_err("nobody has offered");
    assert!(matches!(error, GoalError::NoOffer { .. } | GoalError::Failed { .. }), "{error}");
    let patient = Goal { wait: WAIT_LIMIT, ..goal };
    let error = initiator.pursue(&patient).await.expect_err("rejected");
    let GoalError::Failed { intent, outcome: Outcome::Rejected, reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, "inputs: tide/gauge is not at hand");
    let state = market.close().await;
    assert_eq!(outcomes(&state, intent), [(strict, 1, Outcome::Rejected)]);
    assert!(state.intents().all(|intent| !intent.is_open()), "given up and open");
}

#[tokio::test]
async fn r18_work_stops_when_cancellation_is_asked_for() {
    let mut market = Market::open().await;
    market.provider(2, quote(500), endless);
    let initiator = Arc::new(author(&market.client, 1));
    let observer = market.observer();
    let asking = async {
        let task = first_task(&observer, |task| task.running_at.is_some()).await;
        let ask = Negotiate::RequestCancellation(RequestCancellation::new(task));
        initiator.append(Message::Negotiate(ask), Context::default()).await.expect("asked");
    };
    let role = Initiator::new(Arc::clone(&initiator), market.observer());
    let goal = Goal { attempts: 1, ..goal(1) };
    let (error, ()) = tokio::join!(role.pursue(&goal), asking);
    let error = error.expect_err("cancelled");
    assert!(matches!(error, GoalError::Failed { outcome: Outcome::Cancelled, .. }), "{error}");
    market.close().await;
}

#[tokio::test]
async fn r20_long_work_is_heard_of_until_it_is_done() {
    /// So often the work is heard of before it ends.
    const BEATS: usize = 3;
    let mut market = Market::open().await;
    let observer = market.observer();
    let worker = move |job: Job| {
        let observer = observer.clone();
        async move {
            let mut heard = Vec::new();
            let beats = observer.until(|state| {
                let task = state.task(&job.task.id)?;
                if heard.last() != Some(&task.heard_at) {
                    heard.push(task.heard_at);
                }
                (heard.len() > BEATS).then_some(())
            });
            beats.await.map_err(|error| Failure::Failed(error.to_string()))?;
            job.report(99);
            diligent(job).await
        }
    };
    market.provider(2, quote(500), worker);
    let heartbeat = Some(Duration::from_secs(3));
    let goal = Goal { patience: Patience { heartbeat, ..Patience::default() }, ..goal(1) };
    in_time(market.initiator(Competitive).pursue(&goal)).await.expect("achieved");
    market.close().await;
}

#[tokio::test]
async fn roles_that_were_killed_go_on_where_the_log_says_they_were() {
    let mut market = Market::open().await;
    let agent = market.provider(2, quote(500), endless);
    let goal = goal(1);
    let observer = market.observer();
    let initiator = market.initiator(Competitive);
    let task = tokio::select! {
        ended = initiator.pursue(&goal) => panic!("{ended:?}"),
        task = first_task(&observer, |task| task.running_at.is_some()) => task,
    };
    market.providers.shutdown().await;
    drop(initiator);
    let intent = observer.state().task(&task).expect("there").terms.intent;
    assert_eq!(market.provider(2, quote(500), diligent), agent);
    let again =
        in_time(market.initiator(Competitive).resume(&goal, intent)).await.expect("achieved");
    assert_eq!(again.tasks[0].id, task);
    let state = market.close().await;
    assert_eq!(outcomes(&state, intent), [(agent, 1, Outcome::Succeeded)]);
    assert_eq!(state.capabilities().count(), 1, "published once");
}

// ------------------------------------------------------------------ auctions

#[tokio::test]
async fn r17_a_vickrey_auction_opens_itself_and_a_failed_winner_is_followed_by_the_next() {
    let mut market = Market::open().await;
    let winner = market.provider(2, quote(200), unlucky);
    let second = market.provider(3, quote(250), diligent);
    let _third = market.provider(4, quote(300), diligent);
    market.advertised(3).await;
    let bids_until_us = later(now(), PHASE);
    let auction = Auction {
        reveal_until_us: Some(later(bids_until_us, PHASE)),
        reserve: Some(cents(1_000)),
        ..Auction::new(bids_until_us)
    };
    let terms =
        IntentTerms { selection: Some(Selection::Vickrey), auction: Some(auction), ..wanted() };
    let goal = Goal { terms, ..goal(1) };
    let achieved = in_time(market.initiator(Competitive).pursue(&goal)).await.expect("achieved");
    let state = market.close().await;
    let expected = [(winner, 1, Outcome::Failed), (second, 2, Outcome::Succeeded)];
    assert_eq!(outcomes(&state, achieved.intent), expected);
    let prices = tasks(&state, achieved.intent).into_iter().map(|task| task.terms.price.clone());
    assert_eq!(prices.collect::<Vec<_>>(), [Some(cents(250)), Some(cents(300))]);
    assert_eq!(findings(&state), [], "every bid was opened");
}

#[tokio::test]
async fn r17_in_an_english_auction_providers_underbid_down_to_their_limits() {
    let mut market = Market::open().await;
    let down_to = |limit| {
        let quote = quote(1_000);
        Quote { bid: Bid { limit, ..quote.bid.clone() }, ..quote }
    };
    let winner = market.provider(2, down_to(300), diligent);
    let _loser = market.provider(3, down_to(600), diligent);
    let auction =
        Auction { min_step: 100, reserve: Some(cents(900)), ..Auction::new(later(now(), PHASE)) };
    let selection = Some(Selection::EnglishAuction);
    let terms = IntentTerms { selection, auction: Some(auction), ..wanted() };
    let goal = Goal { terms, ..goal(1) };
    let achieved = in_time(market.initiator(Competitive).pursue(&goal)).await.expect("achieved");
    let state = market.close().await;
    assert_eq!(outcomes(&state, achieved.intent), [(winner, 1, Outcome::Succeeded)]);
    let paid = tasks(&state, achieved.intent)[0].terms.price.clone().expect("a price").amount;
    // Who began settles which of the two: the loser's last bid is 600 or 700.
    assert!([500, 600].contains(&paid), "{paid}");
}

// ------------------------------------------------------------------ workflows

#[tokio::test]
async fn r22_outputs_of_one_goal_are_inputs_of_the_next() {
    let mut market = Market::open().await;
    let agent = market.provider(2, quote(500), diligent);
    let goals = [goal(1), goal(1)];
    let achieved = in_time(market.initiator(Competitive).chain(goals)).await.expect("achieved");
    let [first, second] = achieved.as_slice() else { panic!("{achieved:?}") };
    assert_eq!(texts(second), [format!("by {agent};by {agent}")]);
    let state = market.close().await;
    let inputs = &state.intent(&second.intent).expect("there").terms.inputs;
    assert_eq!(*inputs, first.outputs);
    assert_eq!(tasks(&state, second.intent)[0].terms.depends_on, [first.tasks[0].id]);
}

#[tokio::test]
async fn r22_goals_are_pursued_side_by_side() {
    let mut market = Market::open().await;
    let observer = market.observer();
    // Nobody is done before both are running.
    let worker = move |job: Job| {
        let observer = observer.clone();
        async move {
            let both = |state: &State| {
                (state.tasks().filter(|task| task.running_at.is_some()).count() == 2).then_some(())
            };
            observer.until(both).await.map_err(|error| Failure::Failed(error.to_string()))?;
            diligent(job).await
        }
    };
    market.provider(2, quote(500), worker);
    let (initiator, goal) = (market.initiator(Competitive), goal(1));
    let (one, other) = tokio::join!(initiator.pursue(&goal), initiator.pursue(&goal));
    assert_ne!(one.expect("achieved").intent, other.expect("achieved").intent);
    market.close().await;
}

// ------------------------------------------------------------------ the examples

#[tokio::test]
async fn the_examples_work_together() {
    let market = Market::open().await;
    let run = |name: &str| {
        let mut command = std::process::Command::new(example(name));
        command.args([&market.server.url, "six words are all it takes"]);
        Running::spawn(command)
    };
    let (_provider, mut observer, mut initiator) =
        (run("provider"), run("observer"), run("initiator"));
    let greeting = initiator.line().expect("a greeting");
    assert!(greeting.starts_with("initiator "), "{greeting}");
    let answer = initiator.line().expect("an answer");
    assert!(answer.ends_with(r#" {"words":6}"#), "{answer}");
    assert!(initiator.wait().success());
    let seen = std::iter::from_fn(|| observer.line()).find(|line| line.contains("succeeded"));
    assert!(seen.expect("the observer goes on").ends_with("succeeded 100 %"));
    market.close().await;
}
