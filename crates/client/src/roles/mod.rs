//! Roles (R26): agents that do their part without a person. A [`Provider`] offers and works, an
//! [`Initiator`] brings goals to an end, both by the log that an [`Observer`](crate::Observer)
//! follows.
//!
//! ```text
//!                       ┌────────────── the log, checked and folded ──────────────┐
//!                       ▼                                                         │
//!            state ─► what is due now? ─► nothing ─► wait: an event, or a time ─► │
//!                       │                                                         │
//!                       └─ an act ─► sign, append, check the log receipt ─────────┘
//!
//!   Initiator   publish ─► weigh ─► award ─► watch ─► outputs
//!                            ▲                 │ failed, rejected, overdue
//!                            └── next offer ◄──┘
//!   Provider    advertise ─► bid ─► (reveal) ─► check ─► accept ─► run ─► receipt
//! ```
//!
//! A role decides anew at every turn, by the state alone: one that was killed goes on where the log
//! says it was. What the log does not have is the salt of a sealed bid, which a [`Provider`] keeps
//! in memory: after a restart its bids stay shut. A refusal by the ledger is an answer like any
//! other (something else came first), and ends no role.
//!
//! What differs from agent to agent is behind three traits: [`Bidder`] (what to bid), [`Worker`]
//! (what to do), [`Awarder`] (which offers to award). Closures are bidders and workers.
//!
//! Not here: counter-offers, delegates, and discovery before an intent is published: whoever has a
//! capability sees the intent.

mod agent;
mod award;
mod bid;
mod execution;
mod goal;
mod initiator;
mod provider;
mod work;

pub use award::{Awarder, Collaborative, Competitive, PolicyConstrained, ResourceAware, weighted};
pub use bid::{Bid, Bidder, Quote};
pub use goal::{Achieved, Goal, GoalError, Patience};
pub use initiator::Initiator;
pub use provider::Provider;
pub use work::{Delivery, Failure, Job, Worker};
