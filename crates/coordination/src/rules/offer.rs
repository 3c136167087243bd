//! R4 and R5: offers, and negotiation between the two parties of an offer or a task.

use std::sync::Arc;

use imbl::Vector;
use tally_protocol::EnvelopeId;
use tally_protocol::message::{
    Counter, DelegationScope, Negotiate, Offer as OfferMessage, RequestCancellation,
};

use super::{Context, Verdict, bids, capability, intent, task};
use crate::refusal::{Object, Refusal, Rule};
use crate::schema::{Fit, fit};
use crate::state::{Capability, Intent, Offer, OfferStanding, Put, Task};
use crate::{compliance, evaluate};

pub(super) fn offer(context: &Context<'_>, message: &OfferMessage) -> Verdict {
    let author = context.envelope.author;
    let capability = context.capability(&message.capability, "offer.capability")?;
    if !context.is_author(&capability.owner) {
        let object = Object::Capability(capability.id);
        let found = format!("belongs to {}", capability.owner);
        return Err(Refusal::new(Rule::OfferOwner, object, "offer.capability", found));
    }
    capability::in_force(&capability, "offer.capability")?;
    let intent = context.intent(&message.intent, "offer.intent")?;
    intent::takes_work(context, &intent, "offer.intent")?;
    let valid_until = message.valid_until_us;
    context.future(valid_until, Object::Offer(context.id), "offer.valid_until_us")?;
    context.policies(&message.policies, "offer.policies")?;
    bids::check_bid(context, &intent, message)?;
    check_covers(&intent, message)?;
    let record = context.state.record(&author);
    let offer = Offer {
        id: context.id,
        provider: author,
        terms: Arc::new(message.clone()),
        standing: OfferStanding::Live,
        counters: Vector::new(),
        revealed: None,
        record,
        position: context.position(),
        recorded_at: context.at,
    };
    check_fit(context, &intent, &capability, &offer)?;
    check_policies(context, &intent, &capability, &offer)?;

    let mut puts = Vec::with_capacity(3);
    if let Some(id) = &message.replaces {
        let earlier = replaceable(context, id, message)?;
        let standing = OfferStanding::Replaced(context.id);
        puts.push(Put::Offer(Offer { standing, ..earlier.as_ref().clone() }));
    }
    let mut intent = intent.as_ref().clone();
    intent.offers.push_back(context.id);
    puts.push(Put::Intent(intent));
    puts.push(Put::Offer(offer));
    Ok(puts)
}

/// R14: what the capability takes and gives fits the intent, and the resources are there.
fn check_fit(
    context: &Context<'_>,
    intent: &Intent,
    capability: &Capability,
    offer: &Offer,
) -> Result<(), Refusal> {
    const FIELD: &str = "offer.capability";
    let (asked, given) = (&intent.terms, &capability.terms);
    let fits = [
        (Rule::SchemaOutput, &given.output_schema, &asked.output_schema),
        (Rule::SchemaInput, &asked.input_schema, &given.input_schema),
    ];
    for (rule, narrow, wide) in fits {
        if let Fit::Misfits(why) = fit(context.state, narrow.as_ref(), wide.as_ref()) {
            let object = Object::Capability(capability.id);
            return Err(Refusal::new(rule, object, FIELD, why.found));
        }
    }
    match evaluate::lacking(Some(capability), offer, &asked.resources) {
        None => Ok(()),
        Some(needed) => {
            let found = format!("needs {} of {}", needed.amount, needed.name);
            let object = Object::Intent(intent.id);
            Err(Refusal::new(Rule::Resources, object, "offer.resources", found))
        }
    }
}

/// R10, R21: the policies of both sides allow the offer.
fn check_policies(
    context: &Context<'_>,
    intent: &Intent,
    capability: &Capability,
    offer: &Offer,
) -> Result<(), Refusal> {
    const FIELD: &str = "offer";
    let object = Object::Offer(offer.id);
    let named = intent.terms.policies.iter().chain(&offer.terms.policies);
    let named = named.chain(&capability.terms.policies);
    let applicable = compliance::applicable(context.state, Some(intent), capability, named);
    let policies = context.policy_set(&applicable, object, FIELD)?;
    let price = offer.price();
    let request = || {
        let asked = (context.state, &policies);
        compliance::offer_request(asked, intent, capability, &offer.terms, price, context.at)
    };
    context.allowed(&policies, request, object, FIELD)
}

/// R16: an offer for an intent in parts covers some of them.
fn check_covers(intent: &Intent, message: &OfferMessage) -> Result<(), Refusal> {
    let parts = &intent.terms.parts;
    let strange = message.covers.iter().find(|part| !parts.contains(part));
    let found = match strange {
        Some(part) => format!("has no part {part}"),
        None if !parts.is_empty() && message.covers.is_empty() => {
            "is in parts, the offer covers none".into()
        }
        None => return Ok(()),
    };
    let object = Object::Intent(intent.id);
    Err(Refusal::new(Rule::Covers, object, "offer.covers", found))
}

fn replaceable(
    context: &Context<'_>,
    id: &EnvelopeId,
    message: &OfferMessage,
) -> Result<Arc<Offer>, Refusal> {
    const FIELD: &str = "offer.replaces";
    let earlier = context.offer(id, FIELD)?;
    let refuse = |found| Err(Refusal::new(Rule::OfferReplaces, Object::Offer(*id), FIELD, found));
    if !context.is_author(&earlier.provider) {
        return refuse(format!("is {}'s", earlier.provider));
    }
    if earlier.terms.intent != message.intent {
        return refuse(format!("is for intent {}", earlier.terms.intent));
    }
    if earlier.standing != OfferStanding::Live {
        return refuse(earlier.found());
    }
    Ok(earlier)
}

/// R12: the offer can be accepted now.
pub(super) fn live(
    context: &Context<'_>,
    offer: &Offer,
    field: &'static str,
) -> Result<(), Refusal> {
    if offer.standing == OfferStanding::Live && !offer.is_expired(context.at) {
        return Ok(());
    }
    Err(Refusal::new(Rule::OfferLive, Object::Offer(offer.id), field, offer.found()))
}

pub(super) fn negotiate(context: &Context<'_>, message: &Negotiate) -> Verdict {
    match message {
        Negotiate::Counter(message) => counter(context, message),
        Negotiate::Decline(message) => {
            let offer = answered(context, &message.offer, "negotiate.decline.offer")?;
            let standing = OfferStanding::Declined;
            Ok(vec![Put::Offer(Offer { standing, ..offer.as_ref().clone() })])
        }
        Negotiate::Withdraw(message) => withdraw(context, &message.offer),
        Negotiate::RequestCancellation(message) => request_cancellation(context, message),
        Negotiate::Reveal(message) => bids::reveal(context, message),
    }
}

fn counter(context: &Context<'_>, message: &Counter) -> Verdict {
    let offer = answered(context, &message.offer, "negotiate.counter.offer")?;
    let mut offer = offer.as_ref().clone();
    offer.counters.push_back(context.id);
    Ok(vec![Put::Offer(offer)])
}

/// A live offer on an open intent of the author's, or of an agent that the author acts for.
fn answered(
    context: &Context<'_>,
    id: &EnvelopeId,
    field: &'static str,
) -> Result<Arc<Offer>, Refusal> {
    let offer = context.offer(id, field)?;
    let intent = context.intent(&offer.terms.intent, field)?;
    if !task::may_act(context, &intent, DelegationScope::Negotiation) {
        let found = format!("is {}'s", intent.author);
        return Err(Refusal::new(Rule::IntentAuthor, Object::Intent(intent.id), field, found));
    }
    intent::open_now(&intent, field)?;
    live(context, &offer, field)?;
    bids::not_binding(context, &intent, &offer, field)?;
    Ok(offer)
}

fn withdraw(context: &Context<'_>, id: &EnvelopeId) -> Verdict {
    const FIELD: &str = "negotiate.withdraw.offer";
    let offer = context.offer(id, FIELD)?;
    if !context.is_author(&offer.provider) {
        let found = format!("is {}'s", offer.provider);
        return Err(Refusal::new(Rule::OfferProvider, Object::Offer(*id), FIELD, found));
    }
    live(context, &offer, FIELD)?;
    let intent = context.intent(&offer.terms.intent, FIELD)?;
    bids::not_binding(context, &intent, &offer, FIELD)?;
    let standing = OfferStanding::Withdrawn;
    Ok(vec![Put::Offer(Offer { standing, ..offer.as_ref().clone() })])
}

fn request_cancellation(context: &Context<'_>, message: &RequestCancellation) -> Verdict {
    const FIELD: &str = "negotiate.request_cancellation.task";
    let author = context.envelope.author;
    let found = context.task(&message.task, FIELD)?;
    let parties = [found.initiator, found.intent_author, found.executor];
    if !parties.iter().any(|party| context.is_author(party)) {
        let text = format!("is between {} and {}", found.initiator, found.executor);
        return Err(Refusal::new(Rule::TaskParty, Object::Task(found.id), FIELD, text));
    }
    task::live(&found, FIELD)?;
    let cancellation_by = Some(found.cancellation_by.unwrap_or(author));
    Ok(vec![Put::Task(Box::new(Task { cancellation_by, ..found.as_ref().clone() }))])
}
