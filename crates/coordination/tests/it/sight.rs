//! What an agent sees in the state: what is wanted of it now.

use std::sync::Arc;

use tally_coordination::auction::{self, Phase};
use tally_coordination::{CapabilityStanding, Intent, KeyEnd, Offer, OfferStanding, State, Task};
use tally_protocol::message::Outcome;
use tally_protocol::{AgentId, EnvelopeId, Time};

use crate::world::*;

#[derive(Clone, Copy)]
pub(crate) struct Sight<'w> {
    world: &'w World,
    pub(crate) state: &'w State,
    now: Time,
}

impl<'w> Sight<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        Self { world, state: &world.state, now: world.now }
    }

    pub(crate) fn offers(self) -> impl Iterator<Item = Arc<Offer>> {
        self.world.log.iter().filter_map(move |(id, ..)| self.state.offer(id))
    }

    /// The present key of an agent.
    pub(crate) fn key_of(self, agent: &AgentId) -> Who {
        let mut key = *agent;
        while let Some(KeyEnd::Rotated(successor)) = self.state.key_end(&key) {
            key = successor;
        }
        Who::of(&key)
    }

    /// Whose capability it is, by the present key.
    pub(crate) fn owner(self, capability: &EnvelopeId) -> Who {
        let found = self.state.capability(capability);
        self.key_of(&found.map_or(BOB.id(), |found| found.owner))
    }

    /// Whose intent it is, by the present key.
    pub(crate) fn author(self, intent: &EnvelopeId) -> Who {
        let found = self.state.intent(intent);
        self.key_of(&found.map_or(ALICE.id(), |found| found.author))
    }

    fn is_in_time(self, intent: &Intent) -> bool {
        intent.is_open() && intent.terms.deadline_us.is_none_or(|until| self.now <= until)
    }

    fn phase(self, intent: &Intent) -> Option<Phase> {
        let (mechanism, terms) = auction::auction(&intent.terms)?;
        Some(auction::phase(mechanism, terms, self.now))
    }

    pub(crate) fn takes_offers(self, intent: &Intent) -> bool {
        let bidding = self.phase(intent).is_none_or(|phase| phase == Phase::Bidding);
        self.is_in_time(intent) && bidding
    }

    /// Whether an offer waits to be awarded, and the auction is over if there is one.
    pub(crate) fn can_start(self, intent: &Intent) -> bool {
        let closed = self.phase(intent).is_none_or(|phase| phase == Phase::Closed);
        let most = intent.terms.max_awards;
        let wanted = most == 0 || intent.live_tasks + intent.succeeded_tasks < most;
        let mut offers = intent.offers.iter().filter_map(|id| self.state.offer(id));
        self.is_in_time(intent) && closed && wanted && offers.any(|offer| self.waits(&offer))
    }

    /// Whether an offer can be awarded as far as it goes by itself.
    pub(crate) fn waits(self, offer: &Offer) -> bool {
        let opened = offer.terms.commitment.is_none() || offer.revealed.is_some();
        let capability = self.state.capability(&offer.terms.capability);
        let ended = capability.is_none_or(|found| found.standing == CapabilityStanding::Retired);
        let live = offer.standing == OfferStanding::Live && !offer.is_expired(self.now);
        live && opened && !ended
    }

    pub(crate) fn can_retry(self, task: &Task) -> bool {
        let intent = self.state.intent(&task.terms.intent);
        task.replaced_by.is_none()
            && task.ended.is_some_and(|ended| ended.outcome != Outcome::Succeeded)
            && intent.is_some_and(|intent| self.is_in_time(&intent))
    }

    /// Whether a sealed bid is to be opened now.
    pub(crate) fn can_open(self, offer: &Offer) -> bool {
        let intent = self.state.intent(&offer.terms.intent);
        let opening = intent.and_then(|intent| self.phase(&intent)) == Some(Phase::Revealing);
        let sealed = offer.terms.commitment.is_some() && offer.revealed.is_none();
        opening && sealed && offer.standing == OfferStanding::Live
    }
}
