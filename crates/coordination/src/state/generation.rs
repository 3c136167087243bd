//! What a stretch of the log changed: the youngest layer of a state, or one that waits for the
//! archive.
//!
//! A generation knows the last form of every object that its events touched, and nothing of the
//! others. A clone of it is cheap.

use std::hash::Hash;
use std::num::NonZeroU64;
use std::sync::Arc;

use imbl::Vector;
use tally_protocol::message::{Attest, ClaimSubject};
use tally_protocol::parts::Name;
use tally_protocol::{AgentId, EnvelopeId, Position};

use super::layers::Layers;
use super::objects::{Agent, Attestation, Capability, Intent, Offer, Put, Task, TrackRecord};
use crate::finding::Finding;

/// Events of a generation. What none of the last so many events touched is looked up in the archive.
pub const GENERATION_EVENTS: NonZeroU64 = NonZeroU64::new(65_536).expect("not zero");

/// Ids of attestations in log order, with their positions.
pub(super) type Listed = Vector<(Position, EnvelopeId)>;

/// What a stretch of the log changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Generation {
    pub(super) envelopes: Layers<EnvelopeId, Position>,
    pub(super) agents: Layers<AgentId, Agent>,
    pub(super) records: Layers<AgentId, TrackRecord>,
    pub(super) capabilities: Layers<EnvelopeId, Arc<Capability>>,
    pub(super) intents: Layers<EnvelopeId, Arc<Intent>>,
    pub(super) offers: Layers<EnvelopeId, Arc<Offer>>,
    pub(super) tasks: Layers<EnvelopeId, Arc<Task>>,
    pub(super) attestations: Layers<EnvelopeId, Arc<Attestation>>,
    /// Delegations that were made, by from whom and to whom.
    pub(super) delegations: Layers<(AgentId, AgentId), Listed>,
    /// Claims that were made.
    pub(super) claims: Layers<ClaimSubject, Listed>,
    pub(super) findings: Vector<Finding>,
    /// Names of capabilities that were given, or taken away.
    pub(super) names: Layers<(AgentId, Name), Option<EnvelopeId>>,
    /// Changes of what a state always has at hand, in log order.
    pub(super) lasting: Vector<Put>,
}

impl Generation {
    /// Lists a new attestation under what it is looked up by; `party` gives an agent's first key.
    pub(super) fn list(&mut self, made: &Attestation, party: impl Fn(&AgentId) -> AgentId) {
        let place = (made.position, made.id);
        match &*made.statement {
            Attest::Delegate(to) => {
                let key = (party(&made.principal), party(&to.delegate));
                push(&mut self.delegations, key, place);
            }
            Attest::Claim(claim) => {
                let subject = match claim.subject {
                    ClaimSubject::Agent(agent) => ClaimSubject::Agent(party(&agent)),
                    message @ ClaimSubject::Envelope(_) => message,
                };
                push(&mut self.claims, subject, place);
            }
            Attest::Revoke(_) | Attest::RotateKey(_) | Attest::RevokeKey(_) => {}
        }
    }
}

fn push<K: Clone + Eq + Hash>(
    lists: &mut Layers<K, Listed>,
    key: K,
    place: (Position, EnvelopeId),
) {
    let mut listed = lists.get(&key).cloned().unwrap_or_default();
    listed.push_back(place);
    lists.insert(key, listed);
}
