//! The provider: offers, reveals, and does what it is awarded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tally_coordination::auction::{self, Mechanism, Phase};
use tally_coordination::{Intent, Offer, OfferStanding, State};
use tally_protocol::message::{
    AdvertiseCapability, Auction, CapabilityRevision, CapabilityTerms, Negotiate,
    Offer as OfferTerms, Reveal,
};
use tally_protocol::parts::Price;
use tally_protocol::{Digest, EnvelopeId, Message, Time};
use tokio::task::JoinSet;

use super::agent::{Agent, context, micros, settled};
use super::bid::{Bid, Bidder};
use super::execution::Execution;
use super::work::Worker;
use crate::author::{Author, Context};
use crate::error::Error;
use crate::observer::Observer;

/// Offers on intents and does the work, until it is dropped.
pub struct Provider<B, W> {
    agent: Arc<Agent>,
    capabilities: Vec<CapabilityTerms>,
    bidder: B,
    worker: Arc<W>,
    /// Sealed bids that are to be opened. The log can't have the salts, so they go with the
    /// process.
    sealed: HashMap<EnvelopeId, Sealed>,
    /// Intents and amounts that were bid: what was refused once is not said again.
    tried: HashSet<(EnvelopeId, Option<u64>)>,
    /// Tasks that are being executed, or were.
    taken: HashSet<EnvelopeId>,
    executions: JoinSet<Result<(), Error>>,
}

/// A sealed bid on an intent.
struct Sealed {
    offer: EnvelopeId,
    price: Price,
    salt: Digest,
}

/// A bid as it goes to the ledger.
struct Offering {
    terms: OfferTerms,
    /// What a commitment commits to.
    secret: Option<(Price, Digest)>,
}

impl<B: Bidder, W: Worker> Provider<B, W> {
    /// A provider that signs as `author`, sees by `observer`, and has these capabilities.
    pub fn new(
        author: impl Into<Arc<Author>>,
        observer: Observer,
        capabilities: Vec<CapabilityTerms>,
        bidder: B,
        worker: W,
    ) -> Self {
        Self {
            agent: Arc::new(Agent::new(author.into(), observer)),
            capabilities,
            bidder,
            worker: Arc::new(worker),
            sealed: HashMap::new(),
            tried: HashSet::new(),
            taken: HashSet::new(),
            executions: JoinSet::new(),
        }
    }

    /// Works for ever. Dropping the future ends all work; what is unfinished then is taken up by
    /// the next run.
    ///
    /// # Errors
    /// [`Error`] when the ledger is gone, is not to be trusted, or refuses a capability.
    pub async fn run(mut self) -> Result<(), Error> {
        self.agent.catch_up().await?;
        self.advertise().await?;
        loop {
            let (state, now) = self.agent.look();
            self.offer(&state, now).await?;
            self.reveal(&state, now).await?;
            self.take_on(&state);
            let reveals = self.next_reveal(&state);
            tokio::select! {
                news = self.agent.news(&state) => news?,
                () = self.agent.passes(reveals) => {}
                Some(ended) = self.executions.join_next() => ended.expect("it does not panic")?,
            }
        }
    }

    /// Publishes what is not published, and revises what was published otherwise.
    async fn advertise(&mut self) -> Result<(), Error> {
        for terms in std::mem::take(&mut self.capabilities) {
            let (state, _) = self.agent.look();
            let known = state.capability_named(&self.agent.id(), &terms.name);
            let message = match known.and_then(|id| state.capability(&id)) {
                None => AdvertiseCapability::Publish(terms),
                Some(known) if *known.terms == terms => continue,
                Some(known) => {
                    AdvertiseCapability::Revise(CapabilityRevision { capability: known.id, terms })
                }
            };
            self.agent.say(Message::AdvertiseCapability(message), Context::default()).await?;
        }
        Ok(())
    }

    // -------------------------------------------------------------- offers

    async fn offer(&mut self, state: &State, now: Time) -> Result<(), Error> {
        let others = |intent: &Arc<Intent>| !self.agent.is_me(state, &intent.author);
        let in_time =
            |intent: &Arc<Intent>| intent.terms.deadline_us.is_none_or(|last| now <= last);
        let open = state.intents().filter(|intent| intent.is_open()).filter(in_time);
        let mut open: Vec<Arc<Intent>> = open.filter(others).collect();
        open.sort_by_key(|intent| intent.position);
        for intent in open {
            let Some(Offering { terms, secret }) = self.offering(state, &intent, now) else {
                continue;
            };
            let context = context(intent.trace_id, intent.id);
            match settled(self.agent.say(Message::Offer(terms), context).await)? {
                Err(refused) => tracing::warn!(intent = %intent.id, %refused, "no offer"),
                Ok(receipt) => {
                    let offer = receipt.event().signed().id();
                    let sealed = secret.map(|(price, salt)| Sealed { offer, price, salt });
                    self.sealed.extend(sealed.map(|sealed| (intent.id, sealed)));
                }
            }
        }
        Ok(())
    }

    /// What is to be said on an intent now.
    fn offering(&mut self, state: &State, intent: &Intent, now: Time) -> Option<Offering> {
        let offers = intent.offers.iter().rev().filter_map(|id| state.offer(id));
        let mut own = offers.filter(|offer| self.agent.is_me(state, &offer.provider));
        let (own, auction) = (own.next(), auction::auction(&intent.terms));
        if let Some((mechanism, auction)) = auction
            && auction::phase(mechanism, auction, now) != Phase::Bidding
        {
            return None;
        }
        let english = match auction {
            Some((Mechanism::English, auction)) => Some(auction),
            Some((Mechanism::SealedFirstPrice | Mechanism::Vickrey, _)) | None => None,
        };
        if english.is_none() && own.is_some() {
            return None;
        }
        let mut bid = self.bidder.bid(state, intent)?;
        if let Some(auction) = english {
            bid.price = Some(underbid(state, intent, auction, &bid, own.as_deref())?);
        }
        let capability = state.capability_named(&self.agent.id(), &bid.capability)?;
        let amount = bid.price.as_ref().map(|price| price.amount);
        if !self.tried.insert((intent.id, amount)) {
            return None;
        }
        let live = own.filter(|own| own.standing == OfferStanding::Live);
        let terms = OfferTerms {
            replaces: live.map(|own| own.id),
            conditions: bid.conditions,
            resources: bid.resources,
            estimated_duration_us: bid.duration_us,
            price: bid.price,
            covers: bid.covers,
            ..OfferTerms::new(intent.id, capability)
        };
        match auction {
            None => {
                let valid_until_us = bid.valid_for.map(|valid| now.plus_us(micros(valid)));
                Some(Offering { terms: OfferTerms { valid_until_us, ..terms }, secret: None })
            }
            Some((mechanism, _)) if mechanism.is_sealed() => self.seal(intent, terms),
            Some(_) => Some(Offering { terms, secret: None }),
        }
    }

    fn seal(&self, intent: &Intent, mut terms: OfferTerms) -> Option<Offering> {
        let (price, salt) = (terms.price.take()?, Digest(rand::random()));
        let commitment = Reveal::commitment(&salt, &self.agent.id(), &intent.id, &price);
        terms.commitment = Some(commitment);
        Some(Offering { terms, secret: Some((price, salt)) })
    }

    // -------------------------------------------------------------- sealed bids

    /// Opens the bids of the auctions that take no more.
    async fn reveal(&mut self, state: &State, now: Time) -> Result<(), Error> {
        let over = |intent: &EnvelopeId| bids_until(state, intent).is_none_or(|until| until < now);
        let due: Vec<_> = self.sealed.extract_if(|intent, _| over(intent)).collect();
        for (intent, Sealed { offer, price, salt }) in due {
            let message = Message::Negotiate(Negotiate::Reveal(Reveal { offer, price, salt }));
            let trace_id = state.intent(&intent).and_then(|intent| intent.trace_id);
            let said = self.agent.say(message, context(trace_id, offer)).await;
            if let Err(refused) = settled(said)? {
                tracing::warn!(%intent, %refused, "a sealed bid stays shut");
            }
        }
        Ok(())
    }

    fn next_reveal(&self, state: &State) -> Option<Time> {
        self.sealed.keys().filter_map(|intent| bids_until(state, intent)).min()
    }

    // -------------------------------------------------------------- tasks

    fn take_on(&mut self, state: &State) {
        let own = |task: &Arc<tally_coordination::Task>| self.agent.is_me(state, &task.executor);
        for task in state.tasks().filter(|task| task.is_live()).filter(own) {
            if self.taken.insert(task.id) {
                let (agent, worker) = (Arc::clone(&self.agent), Arc::clone(&self.worker));
                self.executions.spawn(Execution::new(agent, worker, task.id).run());
            }
        }
    }
}

fn bids_until(state: &State, intent: &EnvelopeId) -> Option<Time> {
    let intent = state.intent(intent)?;
    let (_, auction) = auction::auction(&intent.terms)?;
    Some(auction.bids_until_us)
}

/// The next bid in an English auction: the opening price, or a step below the lowest bid of
/// another, down to the limit.
fn underbid(
    state: &State,
    intent: &Intent,
    auction: &Auction,
    bid: &Bid,
    own: Option<&Offer>,
) -> Option<Price> {
    let lowest = auction::lowest(state, intent);
    let is_lowest = |own: &Offer| own.price() == lowest.as_ref();
    let leads = own.is_some_and(|own| own.standing == OfferStanding::Live && is_lowest(own));
    if leads {
        return None;
    }
    let opening = bid.price.as_ref()?;
    let reserve = auction.reserve.as_ref().map_or(u64::MAX, |reserve| reserve.amount);
    let below = match lowest {
        Some(lowest) => lowest.amount.checked_sub(auction.min_step)?,
        None => u64::MAX,
    };
    let amount = opening.amount.min(reserve).min(below);
    (amount >= bid.limit).then(|| Price { amount, ..opening.clone() })
}
