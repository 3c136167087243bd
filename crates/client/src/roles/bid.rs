//! What to bid.

use std::time::Duration;

use tally_coordination::{Intent, State};
use tally_protocol::message::CapabilityTerms;
use tally_protocol::parts::{Constraint, Name, Price, Resource};

/// What a provider would do for an intent, and for how much.
#[derive(Debug, Clone)]
pub struct Bid {
    /// The provider's own capability, by name.
    pub capability: Name,
    /// For how much. Auctions ask for one; in an English auction it is the opening bid.
    pub price: Option<Price>,
    /// The lowest amount in an English auction, in the price's currency.
    pub limit: u64,
    /// How long it takes, in microseconds; 0 says nothing.
    pub duration_us: u64,
    /// What it takes.
    pub resources: Vec<Resource>,
    /// Under which conditions.
    pub conditions: Vec<Constraint>,
    /// Parts of the intent that are covered.
    pub covers: Vec<Name>,
    /// How long the offer is live, by the ledger's time as last heard; bids in auctions bind.
    pub valid_for: Option<Duration>,
}

impl Bid {
    /// For nothing, without a word on conditions.
    pub fn new(capability: Name) -> Self {
        Self {
            capability,
            price: None,
            limit: 0,
            duration_us: 0,
            resources: Vec::new(),
            conditions: Vec::new(),
            covers: Vec::new(),
            valid_for: None,
        }
    }
}

/// Decides what to bid. A closure `|state, intent| -> Option<Bid>` is one.
pub trait Bidder: Send + Sync {
    /// The bid on an open intent of somebody else on which this provider has no offer; `None` for
    /// none at this state. It is asked again as the log goes on, and must answer at once.
    fn bid(&self, state: &State, intent: &Intent) -> Option<Bid>;
}

impl<F: Fn(&State, &Intent) -> Option<Bid> + Send + Sync> Bidder for F {
    fn bid(&self, state: &State, intent: &Intent) -> Option<Bid> {
        self(state, intent)
    }
}

/// The same quote for every intent in the category of one capability.
#[derive(Debug, Clone)]
pub struct Quote {
    /// What is bid; `covers` is cut down to the parts that an intent has.
    pub bid: Bid,
    /// The category.
    pub category: Name,
}

impl Quote {
    /// For this capability, at this price and no less.
    pub fn new(capability: &CapabilityTerms, price: Price) -> Self {
        let limit = price.amount;
        let bid = Bid { price: Some(price), limit, ..Bid::new(capability.name.clone()) };
        Self { bid, category: capability.category.clone() }
    }
}

impl Bidder for Quote {
    fn bid(&self, _: &State, intent: &Intent) -> Option<Bid> {
        let asked = &intent.terms;
        let covers = self.bid.covers.iter().filter(|part| asked.parts.contains(part));
        let bid = Bid { covers: covers.cloned().collect(), ..self.bid.clone() };
        let has_part = asked.parts.is_empty() || !bid.covers.is_empty();
        (asked.category.as_ref() == Some(&self.category) && has_part).then_some(bid)
    }
}
