//! What agents say by chance. They see the state, so that most of what they say has a point; some
//! of them are hostile, and some of what they say is wrong.

use std::fmt;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use tally_coordination::evaluate::{self, equal_weights};
use tally_coordination::{
    Attestation, Capability, CapabilityStanding, Intent, Offer, OfferStanding, State, Task,
    TaskState, auction, compliance,
};
use tally_protocol::message::{self, *};
use tally_protocol::parts::*;
use tally_protocol::{
    AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, Time, TraceId,
};

use crate::sight::Sight;
use crate::world::*;

/// What a step is about. The more often it is here, the more often it is said.
const TOPICS: &[(usize, Topic)] = &[
    (7, Topic::Award),
    (9, Topic::Offer),
    (9, Topic::Progress),
    (7, Topic::Done),
    (3, Topic::Intent),
    (3, Topic::Capability),
    (6, Topic::Reveal),
    (3, Topic::Retry),
    (3, Topic::Policy),
    (2, Topic::Answer),
    (2, Topic::Delegate),
    (1, Topic::EndIntent),
    (1, Topic::EndCapability),
    (1, Topic::Claim),
    (1, Topic::TakeBack),
    (1, Topic::Key),
    (2, Topic::Watch),
    (1, Topic::Strange),
];

#[derive(Debug, Clone, Copy)]
enum Topic {
    Capability,
    EndCapability,
    Intent,
    EndIntent,
    Offer,
    Answer,
    Reveal,
    Award,
    Retry,
    Progress,
    Done,
    Claim,
    Delegate,
    TakeBack,
    Key,
    Policy,
    Watch,
    /// An envelope that does not continue its author's chain.
    Strange,
}

/// One step: what it is about, what chance says about the rest, and how much later it is.
#[derive(Clone)]
pub(crate) struct Step {
    topic: Topic,
    throws: Vec<u16>,
    /// The agent who says it instead of the one who should.
    hostile: Option<u8>,
    pub(crate) later: u64,
}

/// A line: a failure shows many of them.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, throws, hostile, later } = self;
        let end = throws.iter().rposition(|throw| *throw != 0).map_or(0, |last| last + 1);
        write!(f, "{topic:?} {:?} by {hostile:?} after {later}", &throws[..end])
    }
}

/// Throws for one step; the rest is the plainest choice.
const THROWS: usize = 28;

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let topics = TOPICS.iter().flat_map(|(often, topic)| std::iter::repeat_n(*topic, *often));
    let topic = select(topics.collect::<Vec<_>>());
    let hostile = prop_oneof![15 => Just(None), 1 => (1..=7_u8).prop_map(Some)];
    let later = prop_oneof![12 => Just(0), 6 => 1..6_u64, 1 => 10..60_u64];
    let throws = proptest::collection::vec(any::<u16>(), THROWS);
    (topic, throws, hostile, later).prop_map(|(topic, throws, hostile, later)| Step {
        topic,
        throws,
        hostile,
        later,
    })
}

/// The envelope that a step comes to in this world.
pub(crate) fn say(world: &World, step: &Step) -> Envelope {
    let mut speaker =
        Speaker { world, state: &world.state, sight: Sight::of(world), throws: step.throws.iter() };
    let (who, message) = match speaker.fitting(step.topic) {
        Topic::Capability => speaker.capability(),
        Topic::EndCapability => speaker.end_capability(),
        Topic::Intent => speaker.intent(),
        Topic::EndIntent => speaker.end_intent(),
        Topic::Offer => speaker.offer(),
        Topic::Answer => speaker.answer(),
        Topic::Reveal => speaker.reveal(),
        Topic::Award => speaker.award(),
        Topic::Retry => speaker.retry(),
        Topic::Progress => speaker.progress(),
        Topic::Done => speaker.done(),
        Topic::Claim => speaker.claim(),
        Topic::Delegate => speaker.delegate(),
        Topic::TakeBack => speaker.take_back(),
        Topic::Key => speaker.key(),
        Topic::Policy => speaker.policy(),
        Topic::Watch => speaker.watch(),
        Topic::Strange => return speaker.strange(),
    };
    world.envelope(step.hostile.map_or(who, Who), message)
}

/// Prices that are bid and stated; the last is over every reserve.
const AMOUNTS: [u64; 8] = [400, 500, 600, 700, 700, 800, 900, 1_100];
const RESERVE: u64 = 1_000;
const STEP: u64 = 50;
/// How long bids are taken, and opened.
const BIDS: u64 = 50;
const REVEALS: u64 = 100;
/// The salt of every sealed bid: who knows the amounts can open them all.
const SALT: Digest = Digest([7; 32]);

const PARTS: [&str; 3] = ["north", "south", "east"];
const LABELS: [&str; 3] = ["ocr", "asr", "mt"];
/// Seeds of keys: the agents' first ones, then those that succeed them.
const FIRST_KEYS: std::ops::RangeInclusive<u8> = 1..=5;
const LATER_KEYS: std::ops::RangeInclusive<u8> = 6..=40;

/// Texts of policies: most let most things through.
static TEXTS: LazyLock<[String; 7]> = LazyLock::new(|| {
    let certified = format!(
        r#"forbid (principal, action == Action::"start", resource) unless {{
            principal.hasTag("quality") &&
            principal.getTag("quality").contains(Agent::"{}")
        }};"#,
        DAVE.id()
    );
    [
        "permit (principal, action, resource);".into(),
        CHEAP.into(),
        EU_ONLY.into(),
        r#"forbid (principal, action == Action::"continue", resource) when {
            context.attempt > 1
        };"#
        .into(),
        r#"forbid (principal, action, resource) when {
            context has cost && context.cost.amount > 800
        };"#
        .into(),
        certified,
        // Not valid: a number is no condition.
        "forbid (principal, action, resource) when { 1 };".into(),
    ]
});

/// Who says something, by chance and by what it sees.
struct Speaker<'w> {
    world: &'w World,
    state: &'w State,
    sight: Sight<'w>,
    throws: std::slice::Iter<'w, u16>,
}

type Said = (Who, Message);

// ------------------------------------------------------------------ chance

impl Speaker<'_> {
    /// Mostly a topic about which there is something to say.
    fn fitting(&mut self, topic: Topic) -> Topic {
        if self.one_in(12) {
            return topic;
        }
        let sight = self.sight;
        let can_start = sight.state.intents().any(|intent| sight.can_start(&intent));
        let is_live = sight.state.tasks().any(|task| task.is_live());
        match topic {
            Topic::Progress | Topic::Done if is_live => topic,
            Topic::Progress | Topic::Done | Topic::Award if can_start => Topic::Award,
            Topic::Retry if sight.state.tasks().any(|task| sight.can_retry(&task)) => topic,
            Topic::Reveal if sight.offers().any(|offer| sight.can_open(&offer)) => topic,
            Topic::Progress | Topic::Done | Topic::Award | Topic::Retry | Topic::Reveal => {
                match sight.state.intents().any(|intent| sight.takes_offers(&intent)) {
                    true if sight.state.capabilities().any(|one| is_in_force(&one)) => Topic::Offer,
                    true => Topic::Capability,
                    false => Topic::Intent,
                }
            }
            _ => topic,
        }
    }
}

impl Speaker<'_> {
    fn throw(&mut self) -> usize {
        self.throws.next().copied().map_or(0, usize::from)
    }

    /// True once in so many times.
    fn one_in(&mut self, many: usize) -> bool {
        self.throw() % many == many - 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.throw() % choices.len()]
    }

    fn soon(&mut self) -> Time {
        let us = self.of(&[20, 5, 40, 80, 300]);
        self.world.now.plus_us(us)
    }

    /// Mostly one of the latest, so that much is about the same; mostly one that is wanted.
    fn pick(
        &mut self,
        mut wanted: Vec<EnvelopeId>,
        kind: fn(&State, &EnvelopeId) -> bool,
    ) -> EnvelopeId {
        if wanted.is_empty() || self.one_in(24) {
            let all = self.world.log.iter().map(|(id, ..)| *id);
            wanted = all.filter(|id| kind(self.state, id)).collect();
        }
        if self.one_in(60) {
            return self.world.log.first().map_or(NOWHERE, |(id, ..)| *id);
        }
        let throw = self.throw();
        match wanted.len() {
            0 => NOWHERE,
            len if throw.is_multiple_of(3) => wanted[throw / 3 % len],
            len => wanted[len - 1 - throw / 3 % len.min(4)],
        }
    }

    fn pick_intent(&mut self, wanted: impl Fn(&Intent) -> bool) -> EnvelopeId {
        let state = self.state;
        let ids = self.logged(|id| state.intent(id).is_some_and(|one| wanted(&one)));
        self.pick(ids, |state, id| state.intent(id).is_some())
    }

    fn pick_offer(&mut self, wanted: impl Fn(&Offer) -> bool) -> EnvelopeId {
        let state = self.state;
        let ids = self.logged(|id| state.offer(id).is_some_and(|one| wanted(&one)));
        self.pick(ids, |state, id| state.offer(id).is_some())
    }

    fn pick_task(&mut self, wanted: impl Fn(&Task) -> bool) -> EnvelopeId {
        let state = self.state;
        let ids = self.logged(|id| state.task(id).is_some_and(|one| wanted(&one)));
        self.pick(ids, |state, id| state.task(id).is_some())
    }

    fn pick_capability(&mut self) -> EnvelopeId {
        let ids = self.logged(|id| self.state.capability(id).is_some_and(|one| is_in_force(&one)));
        self.pick(ids, |state, id| state.capability(id).is_some())
    }

    fn pick_attestation(&mut self, wanted: impl Fn(&Attestation) -> bool) -> EnvelopeId {
        let state = self.state;
        let ids = self.logged(|id| state.attestation(id).is_some_and(|one| wanted(&one)));
        self.pick(ids, |state, id| state.attestation(id).is_some())
    }

    fn logged(&self, wanted: impl Fn(&EnvelopeId) -> bool) -> Vec<EnvelopeId> {
        self.world.log.iter().map(|(id, ..)| *id).filter(|id| wanted(id)).collect()
    }

    /// One of these, by its present key.
    fn one_of(&mut self, agents: &[Who]) -> Who {
        let agent = self.of(agents);
        self.sight.key_of(&agent.id())
    }
}

fn is_in_force(capability: &Capability) -> bool {
    capability.standing == CapabilityStanding::InForce
}

// ------------------------------------------------------------------ what terms say

impl Speaker<'_> {
    fn schema(&mut self) -> Option<Schema> {
        let carried = |text| schema(text);
        let named = |text| Schema { inline: Document::default(), ..schema(text).expect("one") };
        match self.throw() % 14 {
            8 => carried(INTEGER),
            9 => carried(SMALL),
            10 => carried(TEXT),
            11 => Some(named(INTEGER)),
            12 => Some(Schema { dialect: None, ..named(TEXT) }),
            13 if self.one_in(3) => carried(r#"{"type":"integr"}"#),
            _ => None,
        }
    }

    fn memory(&mut self) -> Vec<Resource> {
        let amount = self.of(&[8, 4, 16]);
        vec![Resource { unit: Some(name("By")), ..Resource::new(name("memory"), amount) }]
    }

    fn region(&mut self) -> Vec<Constraint> {
        region(self.of(&["eu", "eu", "eu", "us"]))
    }

    fn price(&mut self) -> Price {
        price(self.of(&AMOUNTS))
    }

    /// A policy that is referred to: mostly none, mostly in force.
    fn policies(&mut self) -> Vec<PolicyRef> {
        if !self.one_in(12) {
            return Vec::new();
        }
        let state = self.state;
        let in_force = self.logged(|id| state.policy_in_force(id).is_some());
        let update = self.pick(in_force, |state, id| state.policy_version(id).is_some());
        vec![PolicyRef::new(update)]
    }

    fn capability_terms(&mut self) -> CapabilityTerms {
        CapabilityTerms {
            output_schema: self.schema(),
            input_schema: self.schema(),
            resources: if self.one_in(2) { self.memory() } else { Vec::new() },
            constraints: self.region(),
            cost: self.one_in(4).then(|| price(900)),
            policies: self.policies(),
            ..capability(self.of(&LABELS))
        }
    }

    fn intent_terms(&mut self) -> IntentTerms {
        let weights = if self.one_in(4) { equal_weights() } else { Vec::new() };
        let mut terms = IntentTerms {
            output_schema: self.schema(),
            input_schema: self.schema(),
            resources: if self.one_in(5) { self.memory() } else { Vec::new() },
            deadline_us: self.one_in(6).then(|| self.soon()),
            max_awards: self.of(&[0, 0, 1, 2]),
            policies: self.policies(),
            utility_weights: weights,
            ..intent_terms()
        };
        if self.one_in(3) {
            let count = self.of(&[2, 3]);
            terms.parts = PARTS[..count].iter().map(|part| name(part)).collect();
        }
        use Selection::*;
        terms.selection = self.of(&[
            None,
            Some(ContractNet),
            Some(EnglishAuction),
            Some(SealedFirstPrice),
            Some(Vickrey),
            Some(Vickrey),
        ]);
        terms.auction = self.auction(terms.selection);
        terms
    }

    fn auction(&mut self, selection: Option<Selection>) -> Option<Auction> {
        let sealed = matches!(selection, Some(Selection::SealedFirstPrice | Selection::Vickrey));
        let english = selection == Some(Selection::EnglishAuction);
        let wrong = self.one_in(16);
        let now = self.world.now;
        let auction = Auction {
            reveal_until_us: (sealed != wrong).then(|| now.plus_us(REVEALS)),
            min_step: if english != wrong { STEP } else { 0 },
            reserve: (!self.one_in(8)).then(|| price(RESERVE)),
            ..Auction::new(now.plus_us(BIDS))
        };
        (sealed || english || wrong).then_some(auction)
    }
}

// ------------------------------------------------------------------ publication to offers

impl Speaker<'_> {
    fn capability(&mut self) -> Said {
        let owner = self.one_of(&[BOB, CAROL, DAVE]);
        let terms = self.capability_terms();
        if !self.one_in(3) {
            return (owner, publish_terms(terms));
        }
        let capability = self.pick_capability();
        let owner = self.sight.owner(&capability);
        let terms = match self.state.capability(&capability).filter(|_| !self.one_in(6)) {
            Some(found) => CapabilityTerms { name: found.terms.name.clone(), ..terms },
            None => terms,
        };
        let revision = CapabilityRevision { capability, terms };
        (owner, Message::AdvertiseCapability(AdvertiseCapability::Revise(revision)))
    }

    fn end_capability(&mut self) -> Said {
        let capability = self.pick_capability();
        if !self.one_in(3) {
            return self.capability();
        }
        (self.sight.owner(&capability), retire(capability))
    }

    fn intent(&mut self) -> Said {
        let author = self.one_of(&[ALICE, ALICE, ALICE, CAROL]);
        (author, open_terms(self.intent_terms()))
    }

    fn end_intent(&mut self) -> Said {
        let intent = self.pick_intent(Intent::is_open);
        let author = self.sight.author(&intent);
        if self.one_in(3) {
            return (author, cancel(intent));
        }
        let terms = self.intent_terms();
        (author, Message::Intent(message::Intent::Revise(IntentRevision { intent, terms })))
    }

    fn offer(&mut self) -> Said {
        let sight = self.sight;
        let intent = self.pick_intent(|intent| sight.takes_offers(intent));
        let capability = self.pick_capability();
        let provider = self.sight.owner(&capability);
        let mut terms = message::Offer {
            conditions: self.region(),
            estimated_duration_us: self.of(&[0, 5, 10]),
            valid_until_us: self.one_in(10).then(|| self.soon()),
            policies: self.policies(),
            ..offer_terms(intent, capability)
        };
        if let Some(intent) = self.state.intent(&intent) {
            self.bid(&intent, provider, &mut terms);
        }
        (provider, Message::Offer(terms))
    }

    /// What the intent asks of an offer, or not quite.
    fn bid(&mut self, intent: &Intent, provider: Who, terms: &mut message::Offer) {
        terms.covers = self.covers(intent);
        if !self.one_in(6) {
            terms.resources.clone_from(&intent.terms.resources);
        }
        let own = self.logged(|id| {
            self.state.offer(id).is_some_and(|offer| {
                offer.terms.intent == intent.id
                    && offer.standing == OfferStanding::Live
                    && self.state.is_same_party(&offer.provider, &provider.id())
            })
        });
        let stated = self.price();
        match auction::auction(&intent.terms).filter(|_| !self.one_in(16)) {
            None => {
                terms.price = self.one_in(2).then_some(stated);
                terms.replaces = own.last().copied().filter(|_| self.one_in(6));
            }
            Some((mechanism, auction)) if mechanism.is_sealed() => {
                terms.valid_until_us = terms.valid_until_us.filter(|_| self.one_in(4));
                let commitment = Reveal::commitment(&SALT, &provider.id(), &intent.id, &stated);
                terms.commitment = Some(commitment);
                terms.price = auction.reserve.clone().filter(|_| self.one_in(20));
                terms.replaces = own.last().copied().filter(|_| !self.one_in(6));
            }
            Some((_, auction)) => {
                terms.valid_until_us = terms.valid_until_us.filter(|_| self.one_in(4));
                let lowest = auction::lowest(self.state, intent).or(auction.reserve.clone());
                let lowest = lowest.map_or(RESERVE, |price| price.amount);
                let less = self.of(&[STEP, 2 * STEP, STEP, STEP - 1]);
                terms.price = Some(price(lowest.saturating_sub(less)));
                terms.replaces = own.last().copied().filter(|_| self.one_in(4));
            }
        }
        if self.one_in(40) {
            terms.replaces = Some(self.pick_offer(|_| true));
        }
    }

    fn covers(&mut self, intent: &Intent) -> Vec<Name> {
        if self.one_in(16) {
            return vec![name(PARTS[2])];
        }
        let parts = &intent.terms.parts;
        let Some(last) = parts.len().checked_sub(1) else { return Vec::new() };
        let (from, to) = (self.throw() % parts.len(), self.throw() % parts.len());
        parts[from.min(to)..=from.max(to).min(last)].to_vec()
    }

    fn answer(&mut self) -> Said {
        let offer = self.pick_offer(|offer| offer.standing == OfferStanding::Live);
        let found = self.state.offer(&offer);
        let intent = found.as_ref().map_or(NOWHERE, |found| found.terms.intent);
        let provider = self.sight.key_of(&found.map_or(BOB.id(), |found| found.provider));
        let answering = self.acting(&intent);
        match self.throw() % 5 {
            0 => (answering, counter(offer)),
            1 => (answering, decline(offer)),
            2 => (provider, withdraw(offer)),
            _ => {
                let task = self.pick_task(Task::is_live);
                let parties = self
                    .state
                    .task(&task)
                    .map_or([ALICE.id(); 2], |task| [task.initiator, task.executor]);
                let party = self.of(&parties);
                (self.sight.key_of(&party), request_cancellation(task))
            }
        }
    }

    fn reveal(&mut self) -> Said {
        let (sight, state, hasty) = (self.sight, self.state, self.one_in(8));
        let offer = self.pick_offer(|offer| {
            let sealed = offer.terms.commitment.is_some();
            if hasty { sealed } else { sight.can_open(offer) }
        });
        let Some(found) = state.offer(&offer) else {
            return (
                BOB,
                Message::Negotiate(Negotiate::Reveal(Reveal::new(offer, price(0), SALT))),
            );
        };
        let committed = AMOUNTS.into_iter().map(price).find(|price| {
            let intent = &found.terms.intent;
            let opens = Reveal::commitment(&SALT, &found.provider, intent, price);
            Some(opens) == found.terms.commitment
        });
        let stated = self.price();
        let said = committed.filter(|_| !self.one_in(10)).unwrap_or(stated);
        let salt = if self.one_in(24) { Digest([8; 32]) } else { SALT };
        let provider = self.sight.key_of(&found.provider);
        (provider, Message::Negotiate(Negotiate::Reveal(Reveal::new(offer, said, salt))))
    }
}

// ------------------------------------------------------------------ tasks

impl Speaker<'_> {
    /// The author of an intent, or one who may act for it.
    fn acting(&mut self, intent: &EnvelopeId) -> Who {
        let author = self.sight.author(intent);
        let (state, now) = (self.state, self.world.now);
        let holding = self.logged(|id| {
            state.attestation(id).is_some_and(|attestation| {
                attestation.holds(now)
                    && matches!(&*attestation.statement, Attest::Delegate(_))
                    && state.is_same_party(&attestation.principal, &author.id())
            })
        });
        if holding.is_empty() || !self.one_in(3) {
            return author;
        }
        let delegation = self.of(&holding);
        match state.attestation(&delegation).as_deref().map(|found| &*found.statement) {
            Some(Attest::Delegate(delegation)) => self.sight.key_of(&delegation.delegate),
            _ => author,
        }
    }

    fn award(&mut self) -> Said {
        let (sight, state, hasty) = (self.sight, self.state, self.one_in(10));
        let intent = self
            .pick_intent(|intent| if hasty { intent.is_open() } else { sight.can_start(intent) });
        let Some(found) = state.intent(&intent) else { return (ALICE, start(intent, NOWHERE)) };
        let offer = self.chosen(&found, None);
        self.start(&found, offer, None)
    }

    fn retry(&mut self) -> Said {
        let (sight, state) = (self.sight, self.state);
        let task = self.pick_task(|task| sight.can_retry(task));
        let Some(task) = state.task(&task) else {
            let intent = self.pick_intent(|_| true);
            return (self.sight.author(&intent), retry(intent, NOWHERE, task, 2));
        };
        let Some(intent) = state.intent(&task.terms.intent) else { unreachable!("of the task") };
        let offer = match self.throw() % 4 {
            0 => task.terms.offer,
            1 => self.pick_offer(|_| true),
            _ => self.chosen(&intent, Some(task.terms.offer)),
        };
        self.start(&intent, offer, Some(&task))
    }

    /// The auction's winner, or a live offer.
    fn chosen(&mut self, intent: &Intent, again: Option<EnvelopeId>) -> EnvelopeId {
        let winner = auction::result(self.state, intent, again).map(|result| result.offer);
        if let Some(winner) = winner.filter(|_| !self.one_in(6)) {
            return winner;
        }
        let id = intent.id;
        let sight = self.sight;
        self.pick_offer(|offer| offer.terms.intent == id && sight.waits(offer))
    }

    fn start(&mut self, intent: &Intent, offer: EnvelopeId, replaces: Option<&Task>) -> Said {
        let starter = self.acting(&intent.id);
        let again = replaces.map(|task| task.terms.offer);
        let mut offer = offer;
        let evaluation = self.one_in(3).then(|| self.evaluation(intent, again, &mut offer));
        let attempt = replaces.map_or(1, |task| task.terms.attempt + 1);
        let other = self.state.offer(&offer).filter(|_| self.one_in(30));
        let mut terms = TaskStart {
            replaces: replaces.map(|task| task.id),
            attempt: if self.one_in(24) { attempt + 1 } else { attempt },
            evaluation,
            price: self.paid(intent, offer, again),
            deadlines: self.one_in(2).then(|| self.deadlines()),
            output_schema: if self.one_in(6) { self.schema() } else { None },
            policies: self.policies(),
            depends_on: if self.one_in(12) { vec![self.pick_task(|_| true)] } else { Vec::new() },
            monitoring: self
                .one_in(8)
                .then(|| Monitoring { observers: vec![MALLORY.id()], ..Monitoring::new() }),
            ..task_terms(other.map_or(intent.id, |_| self.pick_intent(|_| true)), offer)
        };
        terms.policy_set = self.policy_set(intent, &terms);
        (starter, task_start(terms))
    }

    fn paid(
        &mut self,
        intent: &Intent,
        offer: EnvelopeId,
        again: Option<EnvelopeId>,
    ) -> Option<Price> {
        let result = auction::result(self.state, intent, again).map(|result| result.price);
        let stated = self.state.offer(&offer).and_then(|offer| offer.price().cloned());
        match (self.throw() % 10, auction::auction(&intent.terms)) {
            (0..8, Some(_)) => result,
            (0..4, None) | (9, _) => stated,
            (8, _) => Some(self.price()),
            _ => None,
        }
    }

    fn deadlines(&mut self) -> Deadlines {
        let at = |us: Option<u64>| us.map(|us| self.world.now.plus_us(us));
        let wrong = [at(Some(90)), at(Some(40)), at(Some(20))];
        let right = [at(Some(10)), at(Some(25)), at(Some(50))];
        let [accept_by_us, start_by_us, done_by_us] = if self.one_in(16) { wrong } else { right };
        Deadlines {
            accept_by_us,
            start_by_us,
            done_by_us,
            heartbeat_us: self.of(&[0, 15, u64::MAX]),
        }
    }

    /// What the evaluation of the offers says, whose best is then chosen; or what it should not.
    fn evaluation(
        &mut self,
        intent: &Intent,
        again: Option<EnvelopeId>,
        offer: &mut EnvelopeId,
    ) -> Evaluation {
        let weights = match intent.terms.utility_weights.as_slice() {
            [] => vec![Measure::new(name("price"), 3), Measure::new(name("reliability"), 1)],
            stated => stated.to_vec(),
        };
        let mut fair = evaluate::evaluate(self.state, intent, &weights, self.world.now);
        fair.candidates.extend(again.map(Candidate::new));
        let mut fair = evaluate::again(self.state, intent, &fair);
        let ranked = evaluate::ranked(self.state, &fair);
        let best =
            ranked.iter().map(|candidate| candidate.offer).find(|offer| Some(*offer) != again);
        let is_open = auction::auction(&intent.terms).is_none() && intent.terms.parts.is_empty();
        if let Some(best) = best.filter(|_| is_open && !self.one_in(6)) {
            *offer = best;
        }
        match self.throw() % 16 {
            0 => fair.candidates.iter_mut().for_each(|candidate| candidate.total += 1),
            1 => fair.candidates.truncate(1),
            2 => fair.candidates.extend(fair.candidates.first().cloned()),
            3 => fair.as_of = self.throw() as u64 % (fair.as_of + 1),
            4 => fair.weights.truncate(1),
            5 => fair.method = name("by.hand"),
            6 => fair.candidates.push(Candidate::new(self.pick_offer(|_| true))),
            _ => {}
        }
        fair
    }

    /// The digest of the policies that judge a task.
    fn policy_set(&mut self, intent: &Intent, terms: &TaskStart) -> Option<Digest> {
        if self.one_in(16) {
            return self.one_in(2).then(|| Digest::of(b"others"));
        }
        let offer = self.state.offer(&terms.offer)?;
        let capability = self.state.capability(&offer.terms.capability)?;
        let named = intent.terms.policies.iter().chain(&offer.terms.policies);
        let named = named.chain(&capability.terms.policies).chain(&terms.policies);
        let applicable = compliance::applicable(self.state, Some(intent), &capability, named);
        let policies = applicable.set(self.state).ok()?;
        (!policies.is_empty()).then(|| Digest(policies.digest().0))
    }

    fn progress(&mut self) -> Said {
        use ProgressState::*;
        let task = self.pick_task(Task::is_live);
        let found = self.state.task(&task);
        let executor = self.sight.key_of(&found.as_ref().map_or(BOB.id(), |task| task.executor));
        let next = match found.as_ref().map_or(TaskState::Assigned, |task| task.state) {
            TaskState::Assigned => Accepted,
            TaskState::Reported(Accepted) => Running,
            _ => self.of(&[Running, BlockedInput, BlockedAuthorisation, BlockedPolicy]),
        };
        let any = self.of(&[Running, Accepted, BlockedInput]);
        let percent = found.as_ref().map_or(0, |task| task.percent) + self.of(&[0, 10, 30]);
        let check = Check { passed: !self.one_in(4), ..Check::new(CheckKind::Inputs) };
        let message = TaskProgress {
            percent: if self.one_in(12) { percent / 2 } else { percent },
            checks: if self.one_in(4) { vec![check] } else { Vec::new() },
            depends_on: if self.one_in(16) { vec![self.pick_task(|_| true)] } else { Vec::new() },
            ..TaskProgress::new(task, if self.one_in(10) { any } else { next })
        };
        (executor, Message::TaskProgress(message))
    }

    fn done(&mut self) -> Said {
        use Outcome::*;
        let (now, late) = (self.world.now, self.one_in(6));
        let task = self.pick_task(|task| task.is_live() != late);
        let found = self.state.task(&task);
        let [executor, initiator] = found
            .as_ref()
            .map_or([BOB.id(), ALICE.id()], |task| [task.executor, task.initiator])
            .map(|party| self.sight.key_of(&party));
        let outcome = match found {
            Some(task) if task.cancellation_by.is_some() => self.of(&[Cancelled, Failed]),
            Some(task) if !task.overdue(now).is_empty() => self.of(&[Abandoned, Failed, Succeeded]),
            Some(task) if task.running_at.is_some() => {
                self.of(&[Succeeded, Succeeded, Failed, Violated])
            }
            Some(task) if task.accepted_at.is_some() => self.of(&[Failed, Succeeded]),
            _ => self.of(&[Rejected, Abandoned, Cancelled]),
        };
        let outcome = if late { self.of(&[Succeeded, Failed, Abandoned]) } else { outcome };
        let message = self.receipt(task, outcome);
        (if outcome == Abandoned { initiator } else { executor }, Message::TaskDone(message))
    }

    fn receipt(&mut self, task: EnvelopeId, outcome: Outcome) -> TaskDone {
        let output = |json: &str| DataRef {
            media_type: Some(name("application/json")),
            inline: Document::new(json).expect("a short text"),
            ..DataRef::new(Uri::new("result.json").expect("a URI"), Digest::of(json.as_bytes()))
        };
        let started = self.world.now.0 - 10 + if self.one_in(16) { 20 } else { 0 };
        let ended = started + if self.one_in(16) { -1 } else { 8 };
        let energy = Measure::new(name("energy"), self.of(&[5, 9, 11]));
        let memory =
            Measure { unit: Some(name("By")), ..Measure::new(name("memory"), self.of(&[4, 20])) };
        let lacking = Check { passed: false, ..Check::new(CheckKind::Resources) };
        TaskDone {
            started_at_us: self.one_in(3).then_some(Time(started)),
            ended_at_us: self.one_in(2).then_some(Time(ended)),
            outputs: match self.throw() % 6 {
                0 => vec![output("5")],
                1 => vec![output(&format!("\"{}\"", self.of(&["six", "7"])))],
                2 => vec![output("9"), output("no JSON")],
                _ => Vec::new(),
            },
            usage: if self.one_in(3) { vec![energy, memory] } else { Vec::new() },
            checks: if self.one_in(2) { vec![lacking] } else { Vec::new() },
            ..receipt(task, outcome)
        }
    }
}

// ------------------------------------------------------------------ attestations, policies, rest

impl Speaker<'_> {
    fn claim(&mut self) -> Said {
        let issuer = self.one_of(&[DAVE, MALLORY]);
        let about = self.of(&[BOB, CAROL, DAVE]);
        let subject = match self.throw() % 6 {
            0 => ClaimSubject::Envelope(self.pick_task(|_| true)),
            1 => ClaimSubject::Envelope(NOWHERE),
            _ => ClaimSubject::Agent(self.sight.key_of(&about.id()).id()),
        };
        let expires = self.one_in(3).then(|| self.soon());
        let past = self.one_in(12).then_some(self.world.now);
        (issuer, claim(subject, "quality", past.or(expires)))
    }

    fn delegate(&mut self) -> Said {
        use DelegationScope::*;
        let to = self.one_of(&[DAVE, MALLORY, CAROL]);
        let intent = self.pick_intent(Intent::is_open);
        let scopes: &[&[DelegationScope]] = &[&[], &[Tasks], &[Negotiation], &[Tasks, Negotiation]];
        let past = self.one_in(16).then_some(self.world.now);
        let mut terms = Delegation {
            intent: self.one_in(2).then_some(intent),
            expires_at_us: past.or_else(|| self.one_in(3).then(|| self.soon())),
            scopes: self.of(scopes).to_vec(),
            depth: self.of(&[0, 1, 2]),
            ..Delegation::new(to.id())
        };
        if !self.one_in(2) {
            return (self.sight.author(&intent), Message::Attest(Attest::Delegate(terms)));
        }
        let now = self.world.now;
        let of = self.pick_attestation(|attestation| {
            let given = &*attestation.statement;
            matches!(given, Attest::Delegate(given) if given.depth > 0) && attestation.holds(now)
        });
        terms.of = Some(of);
        let mut author = self.sight.author(&intent);
        if let Some(Attest::Delegate(given)) =
            self.state.attestation(&of).as_deref().map(|found| &*found.statement)
        {
            author = self.sight.key_of(&given.delegate);
            if !self.one_in(4) {
                terms.intent = given.intent;
                terms.scopes.clone_from(&given.scopes);
                terms.depth = given.depth.saturating_sub(1);
            }
        }
        (author, Message::Attest(Attest::Delegate(terms)))
    }

    fn take_back(&mut self) -> Said {
        let attestation = self.pick_attestation(|attestation| !attestation.revoked);
        let author = self.state.attestation(&attestation).map_or(ALICE.id(), |found| found.author);
        (self.sight.key_of(&author), revoke(attestation))
    }

    fn key(&mut self) -> Said {
        let who = self.one_of(&[ALICE, BOB, CAROL, DAVE, MALLORY]);
        if self.one_in(5) {
            let who = self.one_of(&[MALLORY, DAVE]);
            return (who, Message::Attest(Attest::RevokeKey(KeyRevocation::new())));
        }
        let state = self.state;
        let is_new =
            |who: &Who| state.agent(&who.id()).is_none() && state.party(&who.id()) == who.id();
        let new = LATER_KEYS.map(Who).find(is_new).unwrap_or(MALLORY);
        let successor = if self.one_in(5) { self.one_of(&[ALICE, BOB]) } else { new };
        (who, Message::Attest(Attest::RotateKey(KeyRotation::new(successor.id()))))
    }

    fn policy(&mut self) -> Said {
        use PolicyAction::*;
        let (scope, owner) = match self.throw() % 4 {
            0 => {
                let owner = self.one_of(&[ALICE, BOB, CAROL]);
                (PolicyScope::Agent(owner.id()), owner)
            }
            1 => {
                let capability = self.pick_capability();
                (PolicyScope::Capability(capability), self.sight.owner(&capability))
            }
            _ => {
                let intent = self.pick_intent(Intent::is_open);
                (PolicyScope::Intent(intent), self.sight.author(&intent))
            }
        };
        let label = self.of(&["region", "energy"]);
        let by_root = match scope {
            PolicyScope::Agent(agent) => PolicyScope::Agent(self.state.party(&agent)),
            PolicyScope::Capability(id) => {
                let found = self.state.capability(&id);
                PolicyScope::Capability(found.map_or(id, |found| found.root))
            }
            PolicyScope::Intent(id) => {
                PolicyScope::Intent(self.state.intent(&id).map_or(id, |found| found.root))
            }
        };
        let earlier = self.state.policy(&(by_root, name(label)));
        let version = earlier.map_or(0, |policy| policy.terms.policy_version);
        let fitting = match earlier.is_some_and(|policy| policy.in_force) {
            true => self.of(&[Amend, Revoke, Override, Revoke]),
            false => Activate,
        };
        let action = if self.one_in(12) { self.of(&[Activate, Amend]) } else { fitting };
        let text = self.throw() % TEXTS.len();
        let text = if self.one_in(3) { 0 } else { text };
        let text = if action == Revoke && !self.one_in(12) { "" } else { &TEXTS[text] };
        let update = PolicyUpdate {
            action,
            language: (!self.one_in(6)).then_some(PolicyLanguage::Cedar),
            ..cedar(scope, label, version + u64::from(!self.one_in(12)), text)
        };
        (owner, Message::PolicyUpdate(update))
    }

    fn watch(&mut self) -> Said {
        let who = self.one_of(&[ALICE, BOB, CAROL, DAVE, MALLORY]);
        let (task, intent) = (self.pick_task(|_| true), self.pick_intent(|_| true));
        let message = match self.throw() % 6 {
            0 => Message::Discover(Discover { category: Some(name("vision")), ..Discover::new() }),
            1 => Message::Observe(Observe::TaskStatus(task)),
            2 => Message::Observe(Observe::CoordinationGraph(intent)),
            3 => Message::Observe(Observe::Trace(TraceId([1; 16]))),
            _ => notice(if self.one_in(2) { task } else { intent }),
        };
        (who, message)
    }

    fn strange(&mut self) -> Envelope {
        let who = FIRST_KEYS.map(Who).nth(self.throw() % 5).expect("one of five");
        let mut envelope = self.world.envelope(who, publish(self.of(&LABELS)));
        match self.throw() % 6 {
            0 => envelope.origin = Origin::new("ledger.example/other").expect("an origin"),
            1 => envelope.author_sequence = envelope.author_sequence.next(),
            2 => envelope.author_sequence = AuthorSequence(envelope.author_sequence.0 / 2),
            3 if envelope.previous.is_some() => envelope.previous = Some(NOWHERE),
            4 => envelope.causes = vec![self.pick_task(|_| true)],
            // What was said before, bit by bit.
            _ => {
                let throw = self.throw();
                let log = &self.world.log;
                if let Some((_, said, _)) = log.get(throw % log.len().max(1)) {
                    envelope = said.clone();
                }
            }
        }
        // An envelope that names one before it although it is the first is none at all.
        let is_first = envelope.author_sequence == AuthorSequence::default();
        envelope.previous = (!is_first).then(|| envelope.previous.unwrap_or(NOWHERE));
        envelope
    }
}
