//! What must hold of a log and of the state that it comes to, said once more: by plain walks over
//! the log, with nothing of the rules, of `auction`, `compliance` and `evaluate`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tally_coordination::{CapabilityStanding, IntentStanding, OfferStanding, TaskState, findings};
use tally_coordination::{FindingKind, State};
use tally_policy::PolicySet;
use tally_protocol::message::*;
use tally_protocol::parts::{Name, PolicyRef, Price};
use tally_protocol::{AgentId, Digest, Envelope, EnvelopeId, Message, Time};

use crate::world::World;

/// Holds after each admitted event.
pub(crate) fn check(world: &World) {
    check_last(&world.log);
    check_tasks(world);
    check_intents(world);
    check_offers(world);
    check_capabilities(&world.state);
    let late: usize = world.state.tasks().map(|task| task.late.len()).sum();
    let is_late = |kind| matches!(kind, FindingKind::LateOutcome | FindingKind::ConflictingOutcome);
    let found = findings(&world.state);
    assert_eq!(found.iter().filter(|finding| is_late(finding.kind)).count(), late);
}

type Entry = (EnvelopeId, Envelope, Time);

/// The events up to a place.
#[derive(Clone, Copy)]
struct Log<'l>(&'l [Entry]);

/// A message with its id, its place and its author.
struct Said<'l, T> {
    id: EnvelopeId,
    place: usize,
    author: AgentId,
    terms: &'l T,
}

impl<'l> Log<'l> {
    /// Messages of one kind.
    fn said<T: 'l>(
        self,
        of_kind: impl Fn(&'l Message) -> Option<&'l T>,
    ) -> impl Iterator<Item = Said<'l, T>> {
        self.0.iter().enumerate().filter_map(move |(place, (id, envelope, _))| {
            let terms = of_kind(&envelope.message)?;
            Some(Said { id: *id, place, author: envelope.author, terms })
        })
    }

    fn attests(self) -> impl Iterator<Item = Said<'l, Attest>> {
        self.said(|message| match message {
            Message::Attest(attest) => Some(attest),
            _ => None,
        })
    }

    fn offers(self) -> impl Iterator<Item = Said<'l, Offer>> {
        self.said(|message| match message {
            Message::Offer(offer) => Some(offer),
            _ => None,
        })
    }

    fn answers(self) -> impl Iterator<Item = Said<'l, Negotiate>> {
        self.said(|message| match message {
            Message::Negotiate(answer) => Some(answer),
            _ => None,
        })
    }

    fn starts(self) -> impl Iterator<Item = Said<'l, TaskStart>> {
        self.said(|message| match message {
            Message::TaskStart(start) => Some(&**start),
            _ => None,
        })
    }

    fn receipts(self, task: EnvelopeId) -> impl Iterator<Item = Said<'l, TaskDone>> {
        self.said(move |message| match message {
            Message::TaskDone(done) if done.task == task => Some(done),
            _ => None,
        })
    }

    fn updates(self) -> impl Iterator<Item = Said<'l, PolicyUpdate>> {
        self.said(|message| match message {
            Message::PolicyUpdate(update) => Some(update),
            _ => None,
        })
    }

    fn offer(self, id: EnvelopeId) -> Said<'l, Offer> {
        self.offers().find(|offer| offer.id == id).expect("an offer")
    }

    fn task(self, id: EnvelopeId) -> Said<'l, TaskStart> {
        self.starts().find(|start| start.id == id).expect("a task")
    }

    /// A version of an intent.
    fn intent(self, id: EnvelopeId) -> Said<'l, IntentTerms> {
        let mut versions = self.said(|message| match message {
            Message::Intent(Intent::Open(terms)) => Some(terms),
            Message::Intent(Intent::Revise(revision)) => Some(&revision.terms),
            _ => None,
        });
        versions.find(|intent| intent.id == id).expect("an intent")
    }

    /// A version of a capability.
    fn capability(self, id: EnvelopeId) -> Said<'l, CapabilityTerms> {
        let mut versions = self.said(|message| match message {
            Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)) => Some(terms),
            Message::AdvertiseCapability(AdvertiseCapability::Revise(revision)) => {
                Some(&revision.terms)
            }
            _ => None,
        });
        versions.find(|capability| capability.id == id).expect("a capability")
    }

    /// The first version of a capability or an intent.
    fn root(self, id: EnvelopeId) -> EnvelopeId {
        let (_, envelope, _) = self.0.iter().find(|(known, ..)| *known == id).expect("a version");
        match &envelope.message {
            Message::Intent(Intent::Revise(revision)) => self.root(revision.intent),
            Message::AdvertiseCapability(AdvertiseCapability::Revise(revision)) => {
                self.root(revision.capability)
            }
            _ => id,
        }
    }

    /// The first key of an agent.
    fn party(self, key: AgentId) -> AgentId {
        // It consents with its first envelope, which may be the one that is looked at.
        let first = self.0.iter().map(|(_, said, _)| said).find(|said| said.author == key);
        let consents = |id: EnvelopeId| first.is_none_or(|said| said.causes.contains(&id));
        let before = self.attests().find(|said| {
            matches!(said.terms, Attest::RotateKey(to) if to.successor == key) && consents(said.id)
        });
        before.map_or(key, |said| self.party(said.author))
    }

    fn is_same(self, one: AgentId, other: AgentId) -> bool {
        one == other || self.party(one) == self.party(other)
    }

    /// How a task ended first.
    fn outcome(self, task: EnvelopeId) -> Option<Outcome> {
        self.receipts(task).next().map(|done| done.terms.outcome)
    }

    /// Tasks on an intent that are live or have succeeded.
    fn awarded(self, intent: EnvelopeId) -> impl Iterator<Item = Said<'l, TaskStart>> {
        let counts = move |task: &Said<'l, TaskStart>| {
            task.terms.intent == intent
                && self.outcome(task.id).is_none_or(|outcome| outcome == Outcome::Succeeded)
        };
        self.starts().filter(counts)
    }

    /// Whether an offer was neither taken back, refused, replaced nor accepted.
    fn stands(self, offer: EnvelopeId) -> bool {
        let answered = self.answers().any(|said| match said.terms {
            Negotiate::Decline(decline) => decline.offer == offer,
            Negotiate::Withdraw(withdraw) => withdraw.offer == offer,
            Negotiate::Counter(_) | Negotiate::RequestCancellation(_) | Negotiate::Reveal(_) => {
                false
            }
        });
        let replaced = self.offers().any(|other| other.terms.replaces == Some(offer));
        !answered && !replaced && !self.starts().any(|start| start.terms.offer == offer)
    }

    fn reveal(self, offer: EnvelopeId) -> Option<&'l Reveal> {
        self.answers().find_map(|said| match said.terms {
            Negotiate::Reveal(reveal) if reveal.offer == offer => Some(reveal),
            _ => None,
        })
    }

    /// What an offer asks for, stated or revealed.
    fn price(self, offer: &Said<'l, Offer>) -> Option<&'l Price> {
        offer.terms.price.as_ref().or_else(|| Some(&self.reveal(offer.id)?.price))
    }
}

// ------------------------------------------------------------------ the last event

fn check_last(entries: &[Entry]) {
    let ((id, envelope, at), before) = entries.split_last().expect("an event");
    let log = Log(before);
    check_chain(log, id, envelope, *at);
    let author = envelope.author;
    match &envelope.message {
        Message::Offer(offer) => check_bid(log, author, offer, *at),
        Message::Negotiate(Negotiate::Reveal(reveal)) => check_reveal(log, author, reveal, *at),
        Message::Negotiate(
            Negotiate::Counter(Counter { offer, .. }) | Negotiate::Decline(Decline { offer, .. }),
        ) => {
            let intent = log.intent(log.offer(*offer).terms.intent);
            assert!(may_act(log, author, &intent, DelegationScope::Negotiation, *at));
        }
        Message::TaskStart(start) => check_start(log, author, start, *at),
        Message::TaskProgress(progress) => {
            let executor = log.offer(log.task(progress.task).terms.offer).author;
            assert!(log.is_same(author, executor), "the executor reports");
            assert_eq!(log.outcome(progress.task), None, "an ended task has no progress");
            let accepts = progress.state == ProgressState::Accepted;
            assert!(!accepts || progress.checks.iter().all(|check| check.passed));
        }
        Message::TaskDone(done) => check_done(log, author, done),
        Message::PolicyUpdate(update) => {
            let key = policy_key(log, update);
            let mut earlier = log.updates().filter(|said| policy_key(log, said.terms) == key);
            let grows =
                |said: Said<'_, PolicyUpdate>| said.terms.policy_version < update.policy_version;
            assert!(earlier.all(grows), "versions of a policy strictly increase");
        }
        _ => {}
    }
}

/// No envelope comes twice, each continues its author's chain, and no key signs after its end.
fn check_chain(log: Log<'_>, id: &EnvelopeId, envelope: &Envelope, at: Time) {
    let author = envelope.author;
    assert!(log.0.iter().all(|(known, ..)| known != id), "no envelope comes twice");
    assert!(log.0.last().is_none_or(|(_, _, last)| *last <= at), "time does not go back");
    let own: Vec<_> = log.0.iter().filter(|(_, said, _)| said.author == author).collect();
    assert_eq!(envelope.author_sequence.0, own.len() as u64);
    assert_eq!(envelope.previous, own.last().map(|(id, ..)| *id));
    let has_ended = own.iter().any(|(_, said, _)| {
        matches!(said.message, Message::Attest(Attest::RotateKey(_) | Attest::RevokeKey(_)))
    });
    assert!(!has_ended, "a key that has ended signs nothing");
}

/// The auction of an intent: sealed or not, and its terms.
fn auction_of(intent: &IntentTerms) -> Option<(bool, &Auction)> {
    let sealed = match intent.selection? {
        Selection::EnglishAuction => false,
        Selection::SealedFirstPrice | Selection::Vickrey => true,
        Selection::ContractNet | Selection::Collaborative => return None,
    };
    Some((sealed, intent.auction.as_ref()?))
}

fn check_bid(log: Log<'_>, author: AgentId, offer: &Offer, at: Time) {
    let intent = log.intent(offer.intent);
    assert!(offer.covers.iter().all(|part| intent.terms.parts.contains(part)));
    assert!(log.is_same(author, log.capability(offer.capability).author));
    let Some((sealed, auction)) = auction_of(intent.terms) else {
        return assert_eq!(offer.commitment, None);
    };
    assert!(at <= auction.bids_until_us, "bids come in time");
    let standing =
        || log.offers().filter(|bid| bid.terms.intent == offer.intent && log.stands(bid.id));
    if sealed {
        assert!(offer.commitment.is_some() && offer.price.is_none(), "a sealed bid is sealed");
        let mut others = standing().filter(|bid| Some(bid.id) != offer.replaces);
        assert!(others.all(|bid| !log.is_same(bid.author, author)), "one sealed bid each");
        return;
    }
    let price = offer.price.as_ref().expect("an open bid has a price");
    for bid in standing() {
        let other = bid.terms.price.as_ref().expect("an open bid has a price");
        assert_eq!(price.currency, other.currency);
        assert!(price.amount + auction.min_step <= other.amount, "lower by a step");
    }
    let reserve = auction.reserve.as_ref();
    assert!(reserve.is_none_or(|reserve| price.amount <= reserve.amount), "within the reserve");
}

fn check_reveal(log: Log<'_>, author: AgentId, reveal: &Reveal, at: Time) {
    let bid = log.offer(reveal.offer);
    assert!(log.is_same(author, bid.author));
    let intent = log.intent(bid.terms.intent);
    let (sealed, auction) = auction_of(intent.terms).expect("an auction");
    let until = auction.reveal_until_us.expect("a time to reveal");
    assert!(sealed && auction.bids_until_us < at && at <= until, "bids are opened in their phase");
    let Reveal { salt, price, .. } = reveal;
    let opened = Reveal::commitment(salt, &bid.author, &intent.id, price);
    assert_eq!(bid.terms.commitment, Some(opened), "a bid is opened as it was made");
    assert!(log.reveal(bid.id).is_none(), "a bid is opened once");
    let reserve = auction.reserve.as_ref();
    assert!(reserve.is_none_or(|reserve| price.amount <= reserve.amount), "within the reserve");
}

fn check_done(log: Log<'_>, author: AgentId, done: &TaskDone) {
    let task = log.task(done.task);
    let executor = log.offer(task.terms.offer).author;
    let initiators = [task.author, log.intent(task.terms.intent).author];
    match done.outcome {
        Outcome::Abandoned => {
            assert!(initiators.iter().any(|initiator| log.is_same(author, *initiator)));
        }
        _ => assert!(log.is_same(author, executor), "the executor ends the task"),
    }
}

// ------------------------------------------------------------------ awards

fn check_start(log: Log<'_>, author: AgentId, start: &TaskStart, at: Time) {
    let intent = log.intent(start.intent);
    let terms = intent.terms;
    assert!(is_open(log, intent.id), "a task starts on an intent that is open");
    assert!(terms.deadline_us.is_none_or(|deadline| at <= deadline));
    let acts = may_act(log, author, &intent, DelegationScope::Tasks, at);
    assert!(acts, "the author or a delegate starts tasks");

    let offer = log.offer(start.offer);
    assert_eq!(offer.terms.intent, intent.id);
    let replaced = start.replaces.map(|id| log.task(id));
    check_acceptance(log, start, &offer, replaced.as_ref());
    assert!(offer.terms.valid_until_us.is_none_or(|until| at <= until), "the offer is valid");

    let awarded: Vec<_> = log.awarded(intent.id).collect();
    let most = terms.max_awards as usize;
    assert!(most == 0 || awarded.len() < most, "at most {most} tasks are live or succeeded");
    let taken: Vec<&Name> =
        awarded.iter().flat_map(|task| &log.offer(task.terms.offer).terms.covers).collect();
    assert!(!offer.terms.covers.iter().any(|part| taken.contains(&part)), "a part is covered once");

    let again = replaced.map(|task| task.terms.offer);
    match auction_of(terms) {
        Some((_, auction)) => {
            let closes = auction.reveal_until_us.unwrap_or(auction.bids_until_us);
            assert!(at > closes, "a task of an auction starts when it is over");
            let again = again.filter(|again| *again == start.offer);
            let (winner, price) = comes_to(log, &intent, again).expect("a bid that was opened");
            assert_eq!(start.offer, winner, "the cheapest bid wins");
            assert_eq!(start.price.as_ref(), Some(price), "it is paid what the auction comes to");
        }
        None => {
            let stated = start.price.as_ref();
            assert!(stated.is_none_or(|stated| Some(stated) == log.price(&offer)));
        }
    }
    if let Some(evaluation) = &start.evaluation
        && evaluation.method.as_str() == "tally.weighted.v1"
    {
        check_evaluation(log, start, evaluation, again, at);
    }
}

fn is_open(log: Log<'_>, id: EnvelopeId) -> bool {
    let ended = log.0.iter().any(|(_, envelope, _)| match &envelope.message {
        Message::Intent(Intent::Revise(revision)) => revision.intent == id,
        Message::Intent(Intent::Cancel(cancellation)) => cancellation.intent == id,
        _ => false,
    });
    !ended
}

/// An offer is accepted once, and again only by a task that replaces the one on it.
fn check_acceptance(
    log: Log<'_>,
    start: &TaskStart,
    offer: &Said<'_, Offer>,
    replaced: Option<&Said<'_, TaskStart>>,
) {
    let last = log.starts().filter(|task| task.terms.offer == offer.id).last();
    match last {
        None => assert!(log.stands(offer.id), "an offer that stands is accepted"),
        Some(last) => assert_eq!(Some(last.id), start.replaces, "an offer is accepted once"),
    }
    let attempt = replaced.map_or(1, |task| task.terms.attempt + 1);
    assert_eq!(start.attempt, attempt);
    if let Some(task) = replaced {
        assert!(log.outcome(task.id).is_some_and(|outcome| outcome != Outcome::Succeeded));
        assert!(log.starts().all(|other| other.terms.replaces != Some(task.id)));
        assert_eq!(log.root(task.terms.intent), log.root(start.intent));
    }
}

/// The winner among the bids that can win, and what it is paid.
fn comes_to<'l>(
    log: Log<'l>,
    intent: &Said<'l, IntentTerms>,
    again: Option<EnvelopeId>,
) -> Option<(EnvelopeId, &'l Price)> {
    let bids = log.offers().filter(|bid| bid.terms.intent == intent.id);
    let can_win = bids.filter(|bid| log.stands(bid.id) || Some(bid.id) == again);
    let mut prices: Vec<(&Price, usize, EnvelopeId)> =
        can_win.filter_map(|bid| Some((log.price(&bid)?, bid.place, bid.id))).collect();
    prices.sort_by_key(|(price, place, _)| (price.amount, *place));
    let (own, _, winner) = *prices.first()?;
    let reserve = intent.terms.auction.as_ref()?.reserve.as_ref();
    let price = match intent.terms.selection {
        Some(Selection::Vickrey) => prices.get(1).map(|(price, ..)| *price).or(reserve),
        _ => None,
    };
    Some((winner, price.unwrap_or(own)))
}

/// Whether an agent is the author of an intent or acts by delegations that hold now.
fn may_act(
    log: Log<'_>,
    agent: AgentId,
    intent: &Said<'_, IntentTerms>,
    scope: DelegationScope,
    at: Time,
) -> bool {
    let given = log.attests().filter_map(|said| match said.terms {
        Attest::Delegate(delegation) => Some((said, delegation)),
        _ => None,
    });
    let mut to_agent = given.filter(|(_, delegation)| log.is_same(delegation.delegate, agent));
    log.is_same(agent, intent.author)
        || to_agent.any(|(said, _)| holds(log, said.id, intent, scope, at))
}

fn holds(
    log: Log<'_>,
    id: EnvelopeId,
    intent: &Said<'_, IntentTerms>,
    scope: DelegationScope,
    at: Time,
) -> bool {
    let said = log.attests().find(|said| said.id == id).expect("an attestation");
    let Attest::Delegate(delegation) = said.terms else { return false };
    let revoked = log.attests().any(
        |later| matches!(later.terms, Attest::Revoke(revocation) if revocation.attestation == id),
    );
    let expired = delegation.expires_at_us.is_some_and(|until| until < at);
    let about = delegation.intent.is_none_or(|named| log.root(named) == log.root(intent.id));
    let allowed = delegation.scopes.is_empty() || delegation.scopes.contains(&scope);
    let from_above = || match delegation.of {
        None => log.is_same(said.author, intent.author),
        Some(of) => {
            let above = log.attests().find(|above| above.id == of).expect("an attestation");
            matches!(above.terms, Attest::Delegate(given)
                if given.depth > delegation.depth && log.is_same(given.delegate, said.author))
                && holds(log, of, intent, scope, at)
        }
    };
    !revoked && !expired && about && allowed && from_above()
}

/// An evaluation looks at every offer that could win, adds up, and the best is awarded.
fn check_evaluation(
    log: Log<'_>,
    start: &TaskStart,
    evaluation: &Evaluation,
    again: Option<EnvelopeId>,
    at: Time,
) {
    let candidates = &evaluation.candidates;
    let mut names = HashSet::new();
    assert!(candidates.iter().all(|given| names.insert(given.offer)), "each offer once");
    let as_of = usize::try_from(evaluation.as_of).expect("a place");
    for given in candidates {
        let offer = log.offer(given.offer);
        assert_eq!(offer.terms.intent, start.intent);
        assert!(offer.place < as_of, "only what was there was looked at");
        check_total(log, &offer, given, evaluation);
    }
    let can_win = |offer: &Said<'_, Offer>| {
        let valid = offer.terms.valid_until_us.is_none_or(|until| at <= until);
        (log.stands(offer.id) && valid) || Some(offer.id) == again
    };
    let offers = log.offers().filter(|offer| offer.terms.intent == start.intent);
    for offer in offers.filter(|offer| offer.place < as_of && can_win(offer)) {
        assert!(names.contains(&offer.id), "every offer that can win was looked at");
    }
    let intent = log.intent(start.intent).terms;
    if auction_of(intent).is_some() || !intent.parts.is_empty() {
        return;
    }
    let rivals = candidates.iter().filter(|given| {
        let fair = given.disqualified.is_none() && can_win(&log.offer(given.offer));
        fair && (Some(given.offer) != again || start.offer == given.offer)
    });
    let best = rivals.max_by_key(|given| (given.total, -(log.offer(given.offer).place as i64)));
    assert_eq!(best.map(|best| best.offer), Some(start.offer), "the best is awarded");
}

fn check_total(log: Log<'_>, offer: &Said<'_, Offer>, given: &Candidate, evaluation: &Evaluation) {
    let score = |factor: &str| {
        let found = given.scores.iter().find(|score| score.name.as_str() == factor);
        found.expect("a score of each factor").value
    };
    let fellows = evaluation.candidates.iter().map(|given| log.offer(given.offer));
    let lowest = fellows.filter_map(|offer| Some(log.price(&offer)?.amount)).min();
    let by_price = match (lowest, log.price(offer)) {
        (None, _) => 1_000,
        (Some(_), None) => 0,
        (Some(lowest), Some(own)) if lowest == own.amount => 1_000,
        (Some(lowest), Some(own)) => 1_000 * lowest / own.amount,
    };
    assert_eq!(score("price"), i64::try_from(by_price).expect("at most 1,000"));
    // By what the provider's tasks had come to when it made the offer.
    let then = Log(&log.0[..offer.place]);
    let executed = then
        .starts()
        .filter(|task| then.is_same(then.offer(task.terms.offer).author, offer.author));
    let outcomes = executed.filter_map(|task| then.outcome(task.id));
    let outcomes = outcomes.filter(|outcome| *outcome != Outcome::Cancelled);
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.partition(|end| *end == Outcome::Succeeded);
    let (good, all) = (good.len() as i64, (good.len() + bad.len()) as i64);
    assert_eq!(score("reliability"), 1_000 * (good + 1) / (all + 2));

    let weighted =
        evaluation.weights.iter().map(|weight| (weight.value, score(weight.name.as_str())));
    let (sum, weights) = weighted
        .fold((0, 0), |(sum, weights), (weight, score)| (sum + weight * score, weights + weight));
    let total = if weights == 0 || given.disqualified.is_some() { 0 } else { sum / weights };
    assert_eq!(given.total, total, "totals add up");
}

// ------------------------------------------------------------------ policies

fn policy_key(log: Log<'_>, update: &PolicyUpdate) -> (PolicyScope, Name) {
    let scope = match update.scope {
        PolicyScope::Agent(agent) => PolicyScope::Agent(log.party(agent)),
        PolicyScope::Capability(id) => PolicyScope::Capability(log.root(id)),
        PolicyScope::Intent(id) => PolicyScope::Intent(log.root(id)),
    };
    (scope, update.name.clone())
}

/// The policies that judge a task which starts now, by the updates that put them in force.
fn judging(log: Log<'_>, start: &TaskStart) -> BTreeSet<EnvelopeId> {
    let mut in_force: BTreeMap<(PolicyScope, Name), Said<'_, PolicyUpdate>> = BTreeMap::new();
    for said in log.updates() {
        let key = policy_key(log, said.terms);
        match said.terms.action {
            PolicyAction::Revoke => in_force.remove(&key),
            _ => in_force.insert(key, said),
        };
    }
    let intent = log.intent(start.intent);
    let offer = log.offer(start.offer);
    let capability = log.capability(offer.terms.capability);
    let mut judging = BTreeSet::new();
    for (narrow, owner) in [
        (PolicyScope::Capability(log.root(capability.id)), capability.author),
        (PolicyScope::Intent(log.root(intent.id)), intent.author),
    ] {
        let wide = PolicyScope::Agent(log.party(owner));
        for ((scope, name), said) in &in_force {
            let overridden = in_force
                .get(&(narrow, name.clone()))
                .is_some_and(|over| over.terms.action == PolicyAction::Override);
            if *scope == narrow || (*scope == wide && !overridden) {
                judging.insert(said.id);
            }
        }
    }
    let named = [&intent.terms.policies, &offer.terms.policies, &capability.terms.policies];
    let named = named.into_iter().flatten().chain(&start.policies);
    let named: HashSet<EnvelopeId> = named.map(|PolicyRef { update }| *update).collect();
    judging.extend(in_force.values().map(|said| said.id).filter(|id| named.contains(id)));
    judging.retain(|id| {
        let mut updates = log.updates();
        updates.any(|said| said.id == *id && said.terms.language == Some(PolicyLanguage::Cedar))
    });
    judging
}

fn check_pinned(log: Log<'_>, state: &State, start: &Said<'_, TaskStart>) {
    let judging = judging(Log(&log.0[..start.place]), start.terms);
    let pinned = &state.task(&start.id).expect("a task").policies;
    assert_eq!(pinned.iter().copied().collect::<BTreeSet<_>>(), judging);
    let texts = judging.iter().map(|id| {
        state.policy_version(id).and_then(|policy| policy.judged.clone()).expect("a policy")
    });
    let set = PolicySet::new(texts).expect("a set");
    let digest = (!judging.is_empty()).then(|| Digest(set.digest().0));
    assert_eq!(start.terms.policy_set, digest, "a task is pinned to the policies that judge it");
}

// ------------------------------------------------------------------ the state

/// Tasks are what the log says: the first receipt ends one for good, the others are late.
fn check_tasks(world: &World) {
    let (log, state) = (Log(&world.log), &world.state);
    assert_eq!(log.starts().count(), state.tasks().count());
    if let Some(start) = log.starts().last().filter(|start| start.place + 1 == log.0.len()) {
        check_pinned(log, state, &start);
    }
    for start in log.starts() {
        let task = state.task(&start.id).expect("a task");
        let mut receipts = log.receipts(task.id);
        let first = receipts.next().map(|done| (done.id, done.terms.outcome, done.place as u64));
        let ended = task.ended.map(|end| (end.receipt, end.outcome, end.position.0));
        assert_eq!(ended, first, "the first outcome stands");
        assert_eq!(task.ended.is_some(), matches!(task.state, TaskState::Ended(_)));
        let late: Vec<EnvelopeId> = task.late.iter().map(|late| late.receipt).collect();
        assert_eq!(late, receipts.map(|done| done.id).collect::<Vec<_>>(), "others are late");
        let authors: HashSet<_> = task.late.iter().map(|late| log.party(late.author)).collect();
        assert_eq!(authors.len(), late.len(), "one late outcome each");
        let reports = log.said(|message| match message {
            Message::TaskProgress(progress) if progress.task == start.id => Some(progress),
            _ => None,
        });
        let percent = match ended {
            Some((_, Outcome::Succeeded, _)) => 100,
            _ => reports.last().map_or(0, |said| said.terms.percent),
        };
        assert_eq!(task.percent, percent);
        assert!(percent <= 100 && (task.running_at.is_none() || task.accepted_at.is_some()));
        if let Some(earlier) = task.terms.replaces {
            assert_eq!(state.task(&earlier).expect("a task").replaced_by, Some(task.id));
        }
    }
}

fn check_intents(world: &World) {
    let (log, state) = (Log(&world.log), &world.state);
    let mut open = HashSet::new();
    for intent in state.intents() {
        let of_it = log.starts().filter(|start| start.terms.intent == intent.id);
        let outcomes: Vec<_> = of_it.map(|start| (log.outcome(start.id), start)).collect();
        assert_eq!(intent.tasks.len(), outcomes.len());
        let live = outcomes.iter().filter(|(outcome, _)| outcome.is_none()).count();
        let succeeded = || outcomes.iter().filter(|(end, _)| *end == Some(Outcome::Succeeded));
        assert_eq!(intent.live_tasks as usize, live);
        assert_eq!(intent.succeeded_tasks as usize, succeeded().count());
        let covers = succeeded().flat_map(|(_, start)| &log.offer(start.terms.offer).terms.covers);
        let covered: HashSet<&Name> = covers.collect();
        let met =
            succeeded().count() > 0 && intent.terms.parts.iter().all(|part| covered.contains(part));
        match intent.standing {
            IntentStanding::Open => {
                assert!(open.insert(log.root(intent.id)), "one version is open");
                assert!(live > 0 || !met, "an intent that was met is fulfilled");
            }
            IntentStanding::Fulfilled => assert!(live == 0 && met),
            IntentStanding::Superseded(by) => {
                assert_eq!(live, 0);
                assert_eq!(log.root(by), log.root(intent.id));
            }
            IntentStanding::Cancelled => assert!(!is_open(log, intent.id)),
        }
        assert_eq!(intent.root, log.root(intent.id));
        assert_eq!(intent.author, log.intent(intent.id).author);
    }
}

fn check_offers(world: &World) {
    let (log, state) = (Log(&world.log), &world.state);
    for said in log.offers() {
        let offer = state.offer(&said.id).expect("an offer");
        let accepting: Vec<_> = log.starts().filter(|task| task.terms.offer == said.id).collect();
        let live = accepting.iter().filter(|task| log.outcome(task.id).is_none()).count();
        assert!(live <= 1, "one live acceptance");
        match offer.standing {
            OfferStanding::Accepted(task) => {
                assert_eq!(accepting.last().map(|start| start.id), Some(task));
            }
            OfferStanding::Live => assert!(log.stands(said.id)),
            _ => assert!(accepting.is_empty() && !log.stands(said.id)),
        }
        assert_eq!(offer.price(), log.price(&said));
    }
}

fn check_capabilities(state: &State) {
    let (mut names, mut roots) = (HashMap::new(), HashSet::new());
    for capability in state.capabilities() {
        if capability.standing != CapabilityStanding::InForce {
            continue;
        }
        let name = (state.party(&capability.owner), capability.terms.name.clone());
        let named = state.capability_named(&capability.owner, &name.1);
        assert_eq!(named, Some(capability.id));
        assert_eq!(names.insert(name, capability.id), None, "an agent's names are unique");
        assert!(roots.insert(capability.root), "one version is in force");
    }
}
