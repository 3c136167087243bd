//! What a stretch of the log changed: the youngest layer of a state, or one that waits for the
//! archive.
//!
//! A generation knows the last form of every object that its events touched, and nothing of the
//! others. Its maps are persistent, so a clone is cheap.

use std::num::NonZeroU64;
use std::sync::Arc;

use imbl::{HashMap, Vector};
use tally_protocol::message::{Attest, ClaimSubject};
use tally_protocol::parts::Name;
use tally_protocol::{AgentId, EnvelopeId, Position};

use super::objects::{Agent, Attestation, Capability, Intent, Offer, Put, Task, TrackRecord};
use crate::finding::Finding;

/// Events of a generation. What none of the last so many events touched is looked up in the archive.
pub const GENERATION_EVENTS: NonZeroU64 = NonZeroU64::new(65_536).expect("not zero");

/// Ids of attestations in log order, with their positions.
pub(super) type Listed = Vector<(Position, EnvelopeId)>;

/// What a stretch of the log changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Generation {
    pub(super) envelopes: HashMap<EnvelopeId, Position>,
    pub(super) agents: HashMap<AgentId, Agent>,
    pub(super) records: HashMap<AgentId, TrackRecord>,
    pub(super) capabilities: HashMap<EnvelopeId, Arc<Capability>>,
    pub(super) intents: HashMap<EnvelopeId, Arc<Intent>>,
    pub(super) offers: HashMap<EnvelopeId, Arc<Offer>>,
    pub(super) tasks: HashMap<EnvelopeId, Arc<Task>>,
    pub(super) attestations: HashMap<EnvelopeId, Arc<Attestation>>,
    /// Delegations that were made, by from whom and to whom.
    pub(super) delegations: HashMap<(AgentId, AgentId), Listed>,
    /// Claims that were made.
    pub(super) claims: HashMap<ClaimSubject, Listed>,
    pub(super) findings: Vector<Finding>,
    /// Names of capabilities that were given, or taken away.
    pub(super) names: HashMap<(AgentId, Name), Option<EnvelopeId>>,
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
                self.delegations.entry(key).or_default().push_back(place);
            }
            Attest::Claim(claim) => {
                let subject = match claim.subject {
                    ClaimSubject::Agent(agent) => ClaimSubject::Agent(party(&agent)),
                    message @ ClaimSubject::Envelope(_) => message,
                };
                self.claims.entry(subject).or_default().push_back(place);
            }
            Attest::Revoke(_) | Attest::RotateKey(_) | Attest::RevokeKey(_) => {}
        }
    }
}
