//! R17: what an auction asks of intents, bids, their opening, and awards.

use tally_protocol::message::{
    Auction, IntentTerms, Offer as OfferMessage, Reveal, Selection, TaskStart,
};
use tally_protocol::parts::Price;
use tally_protocol::{EnvelopeId, Time};

use super::{Context, Verdict, offer};
use crate::auction::{self, Mechanism, Phase};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Intent, Offer, OfferStanding, Put};

/// The terms of an auction fit its mechanism and lie in the future.
pub(super) fn check_terms(
    context: &Context<'_>,
    terms: &IntentTerms,
    field: &'static str,
) -> Result<(), Refusal> {
    if terms.auction.is_none() {
        return Ok(());
    }
    let found = match auction::auction(terms) {
        None => {
            let selection = terms.selection.map_or("none".into(), Selection::name);
            Some(format!("has terms of an auction, its selection is {selection}"))
        }
        Some((mechanism, auction)) => unfit(mechanism, auction, context.at),
    };
    match found {
        None => Ok(()),
        Some(found) => {
            let object = Object::Intent(context.id);
            Err(Refusal::new(Rule::AuctionTerms, object, field, found))
        }
    }
}

fn unfit(mechanism: Mechanism, auction: &Auction, at: Time) -> Option<String> {
    let Auction { bids_until_us: bids, reveal_until_us: reveal, min_step, reserve } = auction;
    if reserve.is_none() {
        return Some("names no reserve, in whose currency bids are made".into());
    }
    if *bids <= at {
        return Some(format!("takes bids until {bids} µs, the ledger's time is {at} µs"));
    }
    match (mechanism.is_sealed(), reveal) {
        (true, None) => Some("has sealed bids and no time to reveal them".into()),
        (true, Some(reveal)) if reveal <= bids => {
            Some(format!("reveals until {reveal} µs, bids are taken until {bids} µs"))
        }
        (true, Some(_)) if *min_step > 0 => Some("has sealed bids and a step".into()),
        (false, Some(_)) => Some("has open bids and a time to reveal them".into()),
        (false, None) if *min_step == 0 => Some("has open bids and no step".into()),
        _ => None,
    }
}

/// A bid comes in time, says what the mechanism asks for, and is low enough.
pub(super) fn check_bid(
    context: &Context<'_>,
    intent: &Intent,
    message: &OfferMessage,
) -> Result<(), Refusal> {
    let refuse = |rule, field, found: String| {
        Err(Refusal::new(rule, Object::Intent(intent.id), field, found))
    };
    let Some((mechanism, auction)) = auction::auction(&intent.terms) else {
        return match message.commitment {
            None => Ok(()),
            Some(_) => refuse(
                Rule::AuctionBid,
                "offer.commitment",
                "is no auction with sealed bids".into(),
            ),
        };
    };
    if auction::phase(mechanism, auction, context.at) != Phase::Bidding {
        let found = format!("took bids until {} µs", auction.bids_until_us);
        return refuse(Rule::AuctionOpen, "offer.intent", found);
    }
    if message.valid_until_us.is_some() {
        let found = "is an auction, in which bids do not end by themselves".into();
        return refuse(Rule::AuctionBid, "offer.valid_until_us", found);
    }
    match (mechanism.is_sealed(), &message.commitment, &message.price) {
        (true, Some(_), None) => one_bid_each(context, intent, message),
        (true, _, _) => refuse(
            Rule::AuctionBid,
            "offer.commitment",
            "asks for a commitment, and no price".into(),
        ),
        (false, None, Some(price)) => check_step(context, intent, auction, price),
        (false, _, _) => {
            refuse(Rule::AuctionBid, "offer.price", "asks for a price, and no commitment".into())
        }
    }
}

/// A provider that could choose which of its sealed bids to open would know the others first.
fn one_bid_each(
    context: &Context<'_>,
    intent: &Intent,
    message: &OfferMessage,
) -> Result<(), Refusal> {
    let mut own = intent.offers.iter().filter_map(|id| context.state.offer(id)).filter(|offer| {
        offer.standing == OfferStanding::Live
            && Some(offer.id) != message.replaces
            && context.is_author(&offer.provider)
    });
    match own.next() {
        None => Ok(()),
        Some(earlier) => {
            let found = "is a sealed bid of the same provider; replace it";
            let object = Object::Offer(earlier.id);
            Err(Refusal::new(Rule::AuctionBid, object, "offer.replaces", found))
        }
    }
}

fn check_step(
    context: &Context<'_>,
    intent: &Intent,
    auction: &Auction,
    price: &Price,
) -> Result<(), Refusal> {
    const FIELD: &str = "offer.price";
    let object = Object::Intent(intent.id);
    let refuse = |found| Err(Refusal::new(Rule::AuctionStep, object, FIELD, found));
    let lowest = auction::lowest(context.state, intent);
    let currency = auction.reserve.as_ref().or(lowest.as_ref()).map(|price| &price.currency);
    if let Some(currency) = currency.filter(|currency| **currency != price.currency) {
        return refuse(format!("is bid for in {currency}"));
    }
    if let Some(reserve) = auction.reserve.as_ref().filter(|reserve| price.amount > reserve.amount)
    {
        return refuse(format!("has a reserve of {}", reserve.amount));
    }
    match &lowest {
        Some(lowest) if price.amount.saturating_add(auction.min_step) > lowest.amount => {
            let step = auction.min_step;
            refuse(format!("has a bid of {}, the next is lower by {step}", lowest.amount))
        }
        _ => Ok(()),
    }
}

/// A bid is neither taken back, declined nor countered while its auction can still come to it: the
/// second price, or another award when the first fails.
pub(super) fn not_binding(
    context: &Context<'_>,
    intent: &Intent,
    offer: &Offer,
    field: &'static str,
) -> Result<(), Refusal> {
    let over = intent.terms.deadline_us.is_some_and(|deadline| deadline < context.at);
    if over || auction::auction(&intent.terms).is_none() {
        return Ok(());
    }
    let found = format!("is a bid in the auction of intent {}", intent.id);
    Err(Refusal::new(Rule::AuctionBinding, Object::Offer(offer.id), field, found))
}

/// A provider opens its sealed bid.
pub(super) fn reveal(context: &Context<'_>, message: &Reveal) -> Verdict {
    const FIELD: &str = "negotiate.reveal.offer";
    let bid = context.offer(&message.offer, FIELD)?;
    let object = Object::Offer(bid.id);
    if !context.is_author(&bid.provider) {
        let found = format!("is {}'s", bid.provider);
        return Err(Refusal::new(Rule::OfferProvider, object, FIELD, found));
    }
    offer::live(context, &bid, FIELD)?;
    let intent = context.intent(&bid.terms.intent, FIELD)?;
    let refuse =
        |field, found: String| Err(Refusal::new(Rule::AuctionReveal, object, field, found));
    let Some((mechanism, auction)) = auction::auction(&intent.terms) else {
        return refuse(FIELD, "is no sealed bid".into());
    };
    if auction::phase(mechanism, auction, context.at) != Phase::Revealing {
        let until = auction.reveal_until_us.unwrap_or_default();
        let from = auction.bids_until_us;
        return refuse(FIELD, format!("is opened after {from} µs and until {until} µs"));
    }
    if bid.revealed.is_some() {
        return refuse(FIELD, "was opened before".into());
    }
    // The provider's key when it committed itself: it may have another now.
    let Reveal { price, salt, .. } = message;
    let commitment = Reveal::commitment(salt, &bid.provider, &bid.terms.intent, price);
    if bid.terms.commitment != Some(commitment) {
        return refuse("negotiate.reveal.salt", "is committed to something else".into());
    }
    if let Some(reserve) = &auction.reserve {
        let within = price.currency == reserve.currency && price.amount <= reserve.amount;
        if !within {
            let found = format!("is over the reserve of {} {}", reserve.amount, reserve.currency);
            return refuse("negotiate.reveal.price", found);
        }
    }
    Ok(vec![Put::Offer(Offer { revealed: Some(price.clone()), ..bid.as_ref().clone() })])
}

/// The award goes to the winner of the auction, at the price that the auction comes to; without
/// one, at the price of the offer.
pub(super) fn check_award(
    context: &Context<'_>,
    intent: &Intent,
    offer: &Offer,
    message: &TaskStart,
    again: Option<EnvelopeId>,
) -> Result<Option<auction::Result>, Refusal> {
    let object = Object::Intent(intent.id);
    let Some((mechanism, auction)) = auction::auction(&intent.terms) else {
        check_price(message, offer.price(), Object::Offer(offer.id))?;
        return Ok(None);
    };
    if auction::phase(mechanism, auction, context.at) != Phase::Closed {
        let until = auction.reveal_until_us.unwrap_or(auction.bids_until_us);
        let found = format!("is an auction until {until} µs");
        return Err(Refusal::new(Rule::AuctionClosed, object, "task_start.intent", found));
    }
    // A bid whose task has failed wins once more only if it is the one that is awarded: it does not
    // stand in the way of the next.
    let again = again.filter(|again| *again == offer.id);
    match auction::result(context.state, intent, again) {
        Some(result) if result.offer == offer.id => {
            if message.price.is_none() {
                let found = format!("comes to {}, no price is stated", result.price.amount);
                return Err(Refusal::new(Rule::TaskPrice, object, "task_start.price", found));
            }
            check_price(message, Some(&result.price), object)?;
            Ok(Some(result))
        }
        Some(result) => {
            let found = format!("is won by offer {}", result.offer);
            Err(Refusal::new(Rule::AuctionWinner, object, "task_start.offer", found))
        }
        None => {
            let found = "has no bid that was opened";
            Err(Refusal::new(Rule::AuctionWinner, object, "task_start.offer", found))
        }
    }
}

fn check_price(
    message: &TaskStart,
    expected: Option<&Price>,
    object: Object,
) -> Result<(), Refusal> {
    let Some(stated) = message.price.as_ref().filter(|stated| Some(*stated) != expected) else {
        return Ok(());
    };
    let expected =
        expected.map_or("no price".into(), |price| format!("{} {}", price.amount, price.currency));
    let found = format!("comes to {expected}, the task says {} {}", stated.amount, stated.currency);
    Err(Refusal::new(Rule::TaskPrice, object, "task_start.price", found))
}
