//! A goal: what is wanted, how long it may take, and what came of it.

use std::time::Duration;

use tally_coordination::{IntentStanding, Task};
use tally_protocol::message::{Deadlines, IntentTerms, Outcome};
use tally_protocol::parts::DataRef;
use tally_protocol::{EnvelopeId, Time, TraceId};

use super::agent::micros;
use crate::error::Error;

/// How long to wait for offers, unless a goal says otherwise.
const WAIT: Duration = Duration::from_secs(10);

/// How often a task is tried, unless a goal says otherwise.
const ATTEMPTS: u32 = 3;

/// What an initiator wants.
#[derive(Debug, Clone)]
pub struct Goal {
    /// What the intent says. Its `max_awards` is how many tasks are awarded at once; 0 is one.
    pub terms: IntentTerms,
    /// So many offers are enough to choose from.
    pub offers: usize,
    /// Longest wait for that many; then the choice is among those that there are. Again after a
    /// task ended without success and no offer is left.
    pub wait: Duration,
    /// How long each task may take.
    pub patience: Patience,
    /// How often a task is tried at most, the first time included.
    pub attempts: u32,
    /// Tasks that this goal builds on.
    pub depends_on: Vec<EnvelopeId>,
    /// The workflow.
    pub trace_id: Option<TraceId>,
}

impl Goal {
    /// With the first offer that suits, in three attempts, without deadlines.
    pub fn new(terms: IntentTerms) -> Self {
        Self {
            terms,
            offers: 1,
            wait: WAIT,
            patience: Patience::default(),
            attempts: ATTEMPTS,
            depends_on: Vec::new(),
            trace_id: None,
        }
    }
}

/// Longest times, counted from the award; `None` is for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// Until the task is accepted.
    pub accept: Option<Duration>,
    /// Until it is running.
    pub start: Option<Duration>,
    /// Until it has ended.
    pub done: Option<Duration>,
    /// Between two messages of the executor.
    pub heartbeat: Option<Duration>,
}

impl Patience {
    pub(super) fn deadlines(self, now: Time) -> Option<Deadlines> {
        let by = |patience: Option<Duration>| patience.map(|limit| now.plus_us(micros(limit)));
        let deadlines = Deadlines {
            accept_by_us: by(self.accept),
            start_by_us: by(self.start),
            done_by_us: by(self.done),
            heartbeat_us: self.heartbeat.map_or(0, micros),
        };
        (deadlines != Deadlines::new()).then_some(deadlines)
    }
}

/// A goal that was reached.
#[derive(Debug, Clone)]
pub struct Achieved {
    /// The intent.
    pub intent: EnvelopeId,
    /// Tasks that succeeded, in log order.
    pub tasks: Vec<Task>,
    /// What they made, in the same order.
    pub outputs: Vec<DataRef>,
}

/// Why a goal was not reached.
#[derive(Debug, thiserror::Error)]
pub enum GoalError {
    /// The ledger refuses, is gone, or is not to be trusted.
    #[error(transparent)]
    Ledger(#[from] Error),
    /// No offer suited in the time that there was.
    #[error("no offer on intent {intent} suits; wait longer, or ask for less")]
    NoOffer {
        /// The intent; cancelled.
        intent: EnvelopeId,
    },
    /// The auction's winner may not be awarded, and nobody else.
    #[error("policies do not allow offer {offer}, which won the auction: {why}")]
    Denied {
        /// The offer.
        offer: EnvelopeId,
        /// What each rule says.
        why: String,
    },
    /// Somebody else who signs for the author ended the intent, or it is none.
    #[error("intent {intent} is not open any more: {standing:?}")]
    Closed {
        /// The intent.
        intent: EnvelopeId,
        /// How it stands; `None` when there is no such intent.
        standing: Option<IntentStanding>,
    },
    /// All attempts ended without success.
    #[error("attempt {attempt} at intent {intent} {}: {reason}", outcome.name())]
    Failed {
        /// The intent; cancelled.
        intent: EnvelopeId,
        /// How many attempts there were.
        attempt: u32,
        /// How the last one ended.
        outcome: Outcome,
        /// What its receipt says.
        reason: String,
    },
}
