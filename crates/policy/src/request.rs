//! What a policy is asked: who does which work, for whom, on which terms.
//!
//! A request says only what the log says, so that anyone who has the log can ask again. Its JSON
//! is canonical: one text for one request, fields in the order of the declarations below, maps and
//! sets sorted, defaults absent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Separates digests of requests from all others.
const REQUEST_CONTEXT: &str = "tally 2026-11-22 policy request v1";

/// A question to a policy set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The agent that does the work: owner of the capability, author of the offer, executor of the
    /// task. Agents are named by their did:key.
    pub agent: String,
    /// What is decided about.
    pub action: Action,
    /// What does the work.
    pub capability: Capability,
    /// On which terms.
    #[serde(default, skip_serializing_if = "is_default")]
    pub terms: Terms,
    /// Live claims about the agent, the intent's author and the task's initiator.
    #[serde(default, skip_serializing_if = "is_default")]
    pub claims: BTreeMap<String, Claims>,
    /// The ledger's time of the event that asks, in microseconds since 1970.
    pub at: i64,
}

/// Claims about one agent: by kind, the agents that attest it.
pub type Claims = BTreeMap<String, BTreeSet<String>>;

/// What is decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A capability is published or revised.
    Advertise,
    /// An offer is made on an intent, or is looked at again while it is open.
    Offer(Intent),
    /// A task starts.
    Start(Execution),
    /// A running task goes on.
    Continue(Execution),
    /// A task ends with success.
    Complete(Execution),
}

/// What does the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Id of the version.
    pub id: String,
    /// The owner's name for it.
    pub name: String,
    /// The kind of work.
    pub category: String,
    /// Further words for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// What it changes beside its output.
    #[serde(default, skip_serializing_if = "is_default")]
    pub side_effects: BTreeSet<String>,
}

/// What the work is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Id of the version.
    pub id: String,
    /// Whose it is.
    pub author: String,
    /// The kind of work.
    #[serde(default, skip_serializing_if = "is_default")]
    pub category: Option<String>,
    /// Higher is more urgent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u32,
    /// `public` or `parties`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privacy: Option<String>,
    /// The author's own marks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

/// A task, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// What the work is for.
    pub intent: Intent,
    /// Who starts it: the intent's author or a delegate.
    pub initiator: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// What it has taken so far, by name, where that is known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub usage: BTreeMap<String, Amount>,
}

/// The terms of the work, as far as messages have set them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// By attribute, values of which the work has one: `region` …
    #[serde(default, skip_serializing_if = "is_default")]
    pub any_of: BTreeMap<String, BTreeSet<String>>,
    /// By attribute, values that the work has, all of them: `certification` …
    #[serde(default, skip_serializing_if = "is_default")]
    pub all_of: BTreeMap<String, BTreeSet<String>>,
    /// By attribute, values that the work does not have, none of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub none_of: BTreeMap<String, BTreeSet<String>>,
    /// What the work needs, by name: `cpu.cores`, `memory` …
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: BTreeMap<String, Amount>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cost: Option<Money>,
    /// How long it takes, in microseconds; not asked about when a capability is advertised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duration: Option<i64>,
    /// When it must be done, in microseconds since 1970; not asked about when a capability is
    /// advertised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadline: Option<i64>,
}

/// An amount of something. Cedar's numbers are `i64`; what does not fit can't be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// How much, in `unit`.
    pub amount: i64,
    /// UCUM unit; `1` where the message names none.
    pub unit: String,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// How much, in the smallest unit of the currency.
    pub amount: i64,
    /// ISO 4217 code, or another unit that the parties agree on.
    pub currency: String,
}

impl Request {
    /// The canonical bytes: JSON without white space.
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and maps with texts as keys are JSON")
    }
}

/// Digest of the canonical bytes.
pub(crate) fn digest(canonical: &[u8]) -> Digest {
    Digest(blake3::derive_key(REQUEST_CONTEXT, canonical))
}

impl Action {
    /// The name of the action in policies.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Advertise => "advertise",
            Self::Offer(_) => "offer",
            Self::Start(_) => "start",
            Self::Continue(_) => "continue",
            Self::Complete(_) => "complete",
        }
    }

    pub(crate) fn intent(&self) -> Option<&Intent> {
        match self {
            Self::Advertise => None,
            Self::Offer(intent) => Some(intent),
            Self::Start(task) | Self::Continue(task) | Self::Complete(task) => Some(&task.intent),
        }
    }

    pub(crate) fn execution(&self) -> Option<&Execution> {
        match self {
            Self::Advertise | Self::Offer(_) => None,
            Self::Start(task) | Self::Continue(task) | Self::Complete(task) => Some(task),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
