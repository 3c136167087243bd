//! What can be said of an event without any other: its hashes, its envelope, its signature.

use std::fmt;

use rayon::prelude::*;
use tally_protocol::{BadSignature, ChainHash, Event, Malformed, VerifiedEnvelope, signature};
use tally_tlog::Hash;

/// Events that one worker takes at a time: a batch of signatures.
pub(crate) const WORK_EVENTS: usize = signature::MAX_BATCH;

/// An event with everything about it that does not depend on other events.
#[derive(Debug)]
pub struct Examined {
    pub(crate) event: Event,
    pub(crate) chain: ChainHash,
    pub(crate) leaf: Hash,
    pub(crate) envelope: Result<VerifiedEnvelope, Fault>,
}

impl Examined {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }
}

/// Why an event holds no envelope of its author.
#[derive(Debug)]
pub(crate) enum Fault {
    Malformed(Malformed),
    Signature(BadSignature),
}

impl Fault {
    /// The check that failed.
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "envelope",
            Self::Signature(_) => "signature",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Signature(signature) => signature.fmt(f),
        }
    }
}

/// Examines events on all cores, and gives them in their order.
pub fn examine(events: Vec<Event>) -> Vec<Examined> {
    let share = events.len().div_ceil(rayon::current_num_threads()).clamp(1, WORK_EVENTS);
    events.into_par_iter().chunks(share).flat_map(examine_here).collect()
}

/// Examines events on this thread.
pub fn examine_here(events: Vec<Event>) -> Vec<Examined> {
    let mut faults = Vec::with_capacity(events.len());
    let mut parsed = Vec::with_capacity(events.len());
    for event in &events {
        match event.signed().parse() {
            Ok(envelope) => {
                faults.push(None);
                parsed.push(envelope);
            }
            Err(malformed) => faults.push(Some(malformed)),
        }
    }
    let mut verified = signature::verify_batch(parsed).into_iter();
    let finish = |(event, fault): (Event, Option<Malformed>)| {
        let envelope = match fault {
            Some(malformed) => Err(Fault::Malformed(malformed)),
            None => verified.next().expect("one entry a parsed event").map_err(Fault::Signature),
        };
        let (chain, leaf) = (event.chain(), event.leaf());
        Examined { event, chain, leaf, envelope }
    };
    events.into_iter().zip(faults).map(finish).collect()
}
