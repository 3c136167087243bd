//! R17: auctions. The initiator buys: the lowest price wins, and of equal bids the earlier.
//!
//! Pure functions of a state and a time; admission and every verifier compute winner and price.

use std::sync::Arc;

use serde::Serialize;
use tally_protocol::message::{Auction, IntentTerms, Selection};
use tally_protocol::parts::Price;
use tally_protocol::{EnvelopeId, Time};

use crate::state::{Intent, Offer, OfferStanding, State};

/// How bids are made and what the winner is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Open bids, each lower than the lowest before by a step; the winner is paid its bid.
    English,
    /// Sealed bids; the winner is paid its bid.
    SealedFirstPrice,
    /// Sealed bids; the winner is paid the second-lowest bid.
    Vickrey,
}

impl Mechanism {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "english",
            Self::SealedFirstPrice => "sealed_first_price",
            Self::Vickrey => "vickrey",
        }
    }

    /// Whether bids are sealed at first.
    pub fn is_sealed(self) -> bool {
        self != Self::English
    }
}

/// Where an auction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Bids are taken.
    Bidding,
    /// Sealed bids are opened.
    Revealing,
    /// The winner is settled.
    Closed,
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bidding => "bidding",
            Self::Revealing => "revealing",
            Self::Closed => "closed",
        }
    }
}

/// What an auction comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Result {
    /// The winning offer.
    pub offer: EnvelopeId,
    /// What its provider is paid.
    pub price: Price,
}

/// The auction that an intent declares.
pub fn auction(terms: &IntentTerms) -> Option<(Mechanism, &Auction)> {
    let mechanism = match terms.selection? {
        Selection::EnglishAuction => Mechanism::English,
        Selection::SealedFirstPrice => Mechanism::SealedFirstPrice,
        Selection::Vickrey => Mechanism::Vickrey,
        Selection::ContractNet | Selection::Collaborative => return None,
    };
    Some((mechanism, terms.auction.as_ref()?))
}

/// Where an auction stands at a time.
pub fn phase(mechanism: Mechanism, auction: &Auction, at: Time) -> Phase {
    if at <= auction.bids_until_us {
        return Phase::Bidding;
    }
    match auction.reveal_until_us {
        Some(until) if mechanism.is_sealed() && at <= until => Phase::Revealing,
        _ => Phase::Closed,
    }
}

/// The lowest open bid of an English auction.
pub fn lowest(state: &State, intent: &Intent) -> Option<Price> {
    bids(state, intent, None).first()?.price().cloned()
}

/// The winner among the bids that can still win, and what it is paid. `again` is an awarded offer
/// whose task ended without success and which may be awarded once more.
pub fn result(state: &State, intent: &Intent, again: Option<EnvelopeId>) -> Option<Result> {
    let (mechanism, auction) = auction(&intent.terms)?;
    let bids = bids(state, intent, again);
    let winner = bids.first()?;
    let own = winner.price()?;
    let second = bids.get(1).and_then(|bid| bid.price()).or(auction.reserve.as_ref());
    let price = match mechanism {
        Mechanism::English | Mechanism::SealedFirstPrice => own,
        Mechanism::Vickrey => second.unwrap_or(own),
    };
    Some(Result { offer: winner.id, price: Price::clone(price) })
}

/// Open or opened bids, best first.
fn bids(state: &State, intent: &Intent, again: Option<EnvelopeId>) -> Vec<Arc<Offer>> {
    let offers = intent.offers.iter().filter_map(|id| state.offer(id));
    let can_win = |offer: &Offer| offer.standing == OfferStanding::Live || Some(offer.id) == again;
    let mut bids: Vec<_> =
        offers.filter(|offer| can_win(offer) && offer.price().is_some()).collect();
    bids.sort_by_key(|offer| (offer.price().map(|price| price.amount), offer.position));
    bids
}
