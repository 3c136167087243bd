//! The tables there are, each column with its meaning and where its value comes from.
//!
//! What is an object of the ledger is a table of versions: a row is followed by another when an
//! event changes it. Everything else is said once and stays. Lists are JSON where they belong to one
//! row, and tables of their own where they are asked for by themselves: labels and data.

use std::sync::LazyLock;

use tally_coordination::{
    Attestation, Capability, CapabilityStanding, Finding, Intent, IntentStanding, KeyEnd, Offer,
    OfferStanding, Policy, Task, TrackRecord,
};
use tally_protocol::message::{
    Attest, ClaimSubject, Deadlines, PolicyScope, TaskDone, TaskProgress,
};
use tally_protocol::parts::{DataRef, Label, Name};
use tally_protocol::{AgentId, AuthorSequence, ChainHash, EnvelopeId, Position, Time, TraceId};
use tally_provenance::{Edge, NodeRef};

use crate::cell::Json;
use crate::schema::{Rows, Table};

/// All tables, in the order in which they are told.
pub fn schema() -> impl Iterator<Item = &'static Table> {
    [
        &EVENTS.table,
        &AGENTS.table,
        &CAPABILITIES.table,
        &INTENTS.table,
        &OFFERS.table,
        &TASKS.table,
        &PROGRESS.table,
        &RECEIPTS.table,
        &ATTESTATIONS.table,
        &POLICIES.table,
        &FINDINGS.table,
        &EDGES.table,
        &LABELS.table,
        &DATA.table,
    ]
    .into_iter()
}

/// An event, as the table has it.
pub(crate) struct EventRow {
    pub(crate) position: Position,
    pub(crate) id: EnvelopeId,
    pub(crate) kind: &'static str,
    pub(crate) author: AgentId,
    pub(crate) author_sequence: AuthorSequence,
    pub(crate) recorded_at: Time,
    pub(crate) issued_at: Time,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) about: About,
    pub(crate) causes: Json,
    pub(crate) bytes: usize,
    pub(crate) chain: ChainHash,
    pub(crate) message: Json,
}

/// The objects that an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About {
    pub(crate) capability: Option<EnvelopeId>,
    pub(crate) intent: Option<EnvelopeId>,
    pub(crate) offer: Option<EnvelopeId>,
    pub(crate) task: Option<EnvelopeId>,
}

pub(crate) static EVENTS: LazyLock<Rows<EventRow>> = LazyLock::new(|| {
    Rows::kept("events", &["position"], "Every event of the log.")
        .column("position", "Place in the log, from 0.", |row: &EventRow| row.position)
        .column("id", "The envelope: BLAKE3-256 of what its author signed.", |row| row.id)
        .column("type", "The message, as in `task_start`.", |row| row.kind)
        .column("author", "Who signed it.", |row| row.author)
        .column("author_sequence", "How many envelopes the author signed before.", |row| {
            row.author_sequence
        })
        .column("recorded_at", "The ledger's time, which never goes back.", |row| row.recorded_at)
        .column("issued_at", "The author's own clock.", |row| row.issued_at)
        .column("trace_id", "The workflow, as a W3C trace id.", |row| row.trace_id)
        .column("capability", "The version of a capability that it is about.", |row| {
            row.about.capability
        })
        .column("intent", "The intent that it is about, by way of an offer or task too.", |row| {
            row.about.intent
        })
        .column("offer", "The offer that it is about, by way of a task too.", |row| row.about.offer)
        .column("task", "The task that it is about.", |row| row.about.task)
        .column("causes", "Envelopes that led to it, as its author says.", |row| row.causes.clone())
        .column("bytes", "Size of the event in the log.", |row| row.bytes)
        .column("chain", "Its link of the log's chain.", |row| row.chain)
        .column("message", "The whole message.", |row| row.message.clone())
});

/// A key that has signed or that takes part in a rotation.
pub(crate) struct AgentRow {
    pub(crate) key: AgentId,
    pub(crate) party: AgentId,
    pub(crate) end: Option<KeyEnd>,
    pub(crate) record: TrackRecord,
    pub(crate) first: Position,
    pub(crate) recorded_at: Time,
}

pub(crate) static AGENTS: LazyLock<Rows<AgentRow>> = LazyLock::new(|| {
    Rows::versions("agents", &["id"], "Keys that have signed something.")
        .column("id", "The key.", |row: &AgentRow| row.key)
        .column("party", "The agent's first key: the same for all that succeeded it.", |row| {
            row.party
        })
        .column("standing", "`live`, `rotated` or `revoked`.", |row| match row.end {
            None => "live",
            Some(KeyEnd::Rotated(_)) => "rotated",
            Some(KeyEnd::Revoked) => "revoked",
        })
        .column("successor", "The key that stands for the agent after this one.", |row| {
            match row.end {
                Some(KeyEnd::Rotated(to)) => Some(to),
                None | Some(KeyEnd::Revoked) => None,
            }
        })
        .column("succeeded", "Tasks that the agent executed with success.", |row| {
            row.record.succeeded
        })
        .column("failed", "Tasks that the agent took on and did not bring to a success.", |row| {
            row.record.failed
        })
        .column("position", "Position of the key's first event.", |row| row.first)
        .column("recorded_at", "When that was recorded.", |row| row.recorded_at)
});

pub(crate) static CAPABILITIES: LazyLock<Rows<Capability>> = LazyLock::new(|| {
    Rows::versions("capabilities", &["id"], "Capabilities, each by every version of its terms.")
        .column("id", "Id of these terms.", |row: &Capability| row.id)
        .column("root", "Id of the first terms.", |row| row.root)
        .column("owner", "Who offers it.", |row| row.owner)
        .column("name", "The owner's name for it.", |row| row.terms.name.clone())
        .column("category", "The kind of work.", |row| row.terms.category.clone())
        .column("description", "What it is, for people.", |row| row.terms.description.clone())
        .column("standing", "`in_force`, `superseded` or `retired`.", |row| match row.standing {
            CapabilityStanding::InForce => "in_force",
            CapabilityStanding::Superseded(_) => "superseded",
            CapabilityStanding::Retired => "retired",
        })
        .column("superseded_by", "Id of the terms that took their place.", |row| {
            match row.standing {
                CapabilityStanding::Superseded(by) => Some(by),
                CapabilityStanding::InForce | CapabilityStanding::Retired => None,
            }
        })
        .column("cost", "What it costs, in the smallest unit of the currency.", |row| {
            row.terms.cost.as_ref().map(|cost| cost.amount)
        })
        .column("currency", "The currency of the cost.", |row| {
            row.terms.cost.as_ref().map(|cost| cost.currency.clone())
        })
        .column("input_schema", "Digest of the schema of what it takes.", |row| {
            row.terms.input_schema.as_ref().map(|schema| schema.digest)
        })
        .column("output_schema", "Digest of the schema of what it gives.", |row| {
            row.terms.output_schema.as_ref().map(|schema| schema.digest)
        })
        .column("tags", "Its tags.", |row| Json::of(&row.terms.tags))
        .column("constraints", "What it offers or insists on.", |row| {
            Json::of(&row.terms.constraints)
        })
        .column("resources", "What it provides.", |row| Json::of(&row.terms.resources))
        .column("policies", "Policies that it names.", |row| Json::of(&row.terms.policies))
        .column("performance", "Figures that the owner states.", |row| {
            Json::of(&row.terms.performance)
        })
        .column("position", "Position of the event that published these terms.", |row| row.position)
        .column("recorded_at", "When that was recorded.", |row| row.recorded_at)
});

pub(crate) static INTENTS: LazyLock<Rows<Intent>> = LazyLock::new(|| {
    Rows::versions("intents", &["id"], "Intents, each by every version of its terms.")
        .column("id", "Id of these terms.", |row: &Intent| row.id)
        .column("root", "Id of the first terms.", |row| row.root)
        .column("author", "Whose it is.", |row| row.author)
        .column("outcome", "What is wanted, for people.", |row| row.terms.outcome.clone())
        .column("category", "The kind of work.", |row| row.terms.category.clone())
        .column("standing", "`open`, `fulfilled`, `superseded` or `cancelled`.", |row| {
            match row.standing {
                IntentStanding::Open => "open",
                IntentStanding::Fulfilled => "fulfilled",
                IntentStanding::Superseded(_) => "superseded",
                IntentStanding::Cancelled => "cancelled",
            }
        })
        .column("superseded_by", "Id of the terms that took their place.", |row| {
            match row.standing {
                IntentStanding::Superseded(by) => Some(by),
                IntentStanding::Open | IntentStanding::Fulfilled | IntentStanding::Cancelled => {
                    None
                }
            }
        })
        .column("trace_id", "The workflow, as a W3C trace id.", |row| row.trace_id)
        .column("priority", "Higher is more urgent.", |row| row.terms.priority)
        .column("deadline", "After it no offer is taken and no task starts.", |row| {
            row.terms.deadline_us
        })
        .column("selection", "How an offer is chosen, as in `vickrey`.", |row| {
            row.terms.selection.map(|selection| selection.name())
        })
        .column("output_schema", "Digest of the schema of what is wanted.", |row| {
            row.terms.output_schema.as_ref().map(|schema| schema.digest)
        })
        .column("offers", "How many offers were made on it.", |row| row.offers.len())
        .column("tasks", "How many tasks were started on it.", |row| row.tasks.len())
        .column("live_tasks", "How many of those have not ended.", |row| row.live_tasks)
        .column("succeeded_tasks", "How many of those succeeded.", |row| row.succeeded_tasks)
        .column("constraints", "What offers must fit.", |row| Json::of(&row.terms.constraints))
        .column("resources", "What the work needs.", |row| Json::of(&row.terms.resources))
        .column("policies", "Policies that it names.", |row| Json::of(&row.terms.policies))
        .column("utility_weights", "What counts how much in an evaluation.", |row| {
            Json::of(&row.terms.utility_weights)
        })
        .column("auction", "The terms of an auction.", |row| {
            row.terms.auction.as_ref().map(Json::of)
        })
        .column("position", "Position of the event that opened or revised it.", |row| row.position)
        .column("recorded_at", "When that was recorded.", |row| row.recorded_at)
});

pub(crate) static OFFERS: LazyLock<Rows<Offer>> = LazyLock::new(|| {
    Rows::versions("offers", &["id"], "Offers; one that replaces another is an offer of its own.")
        .column("id", "Its id.", |row: &Offer| row.id)
        .column("intent", "The intent that it is for.", |row| row.terms.intent)
        .column("capability", "The capability that it rests on.", |row| row.terms.capability)
        .column("provider", "Who offers.", |row| row.provider)
        .column("standing", "`live`, `replaced`, `withdrawn`, `declined` or `accepted`.", |row| {
            match row.standing {
                OfferStanding::Live => "live",
                OfferStanding::Replaced(_) => "replaced",
                OfferStanding::Withdrawn => "withdrawn",
                OfferStanding::Declined => "declined",
                OfferStanding::Accepted(_) => "accepted",
            }
        })
        .column("task", "The last task that was started on it.", |row| match row.standing {
            OfferStanding::Accepted(task) => Some(task),
            OfferStanding::Live
            | OfferStanding::Replaced(_)
            | OfferStanding::Withdrawn
            | OfferStanding::Declined => None,
        })
        .column("replaces", "The offer that it takes the place of.", |row| row.terms.replaces)
        .column("replaced_by", "The offer that took its place.", |row| match row.standing {
            OfferStanding::Replaced(by) => Some(by),
            OfferStanding::Live
            | OfferStanding::Withdrawn
            | OfferStanding::Declined
            | OfferStanding::Accepted(_) => None,
        })
        .column("price", "What it asks for, in the smallest unit of the currency.", |row| {
            row.price().map(|price| price.amount)
        })
        .column("currency", "The currency of the price.", |row| {
            row.price().map(|price| price.currency.clone())
        })
        .column("commitment", "The sealed bid, as a digest.", |row| row.terms.commitment)
        .column("revealed", "Whether a sealed bid was opened.", |row| row.revealed.is_some())
        .column("estimated_us", "How long the work is to take, in µs; 0 where nothing is said.", {
            |row| row.terms.estimated_duration_us
        })
        .column("valid_until", "Until when it can be accepted.", |row| row.terms.valid_until_us)
        .column("counters", "How many counter-offers were asked for.", |row| row.counters.len())
        .column("resources", "What it provides.", |row| Json::of(&row.terms.resources))
        .column("conditions", "On what conditions.", |row| Json::of(&row.terms.conditions))
        .column("policies", "Policies that it names.", |row| Json::of(&row.terms.policies))
        .column("position", "Position of the event that made it.", |row| row.position)
        .column("recorded_at", "When that was recorded.", |row| row.recorded_at)
});

fn deadlines(task: &Task) -> Deadlines {
    task.terms.deadlines.clone().unwrap_or_default()
}

pub(crate) static TASKS: LazyLock<Rows<Task>> = LazyLock::new(|| {
    Rows::versions("tasks", &["id"], "Tasks; each attempt is a task of its own.")
        .column("id", "Its id: that of the TaskStart.", |row: &Task| row.id)
        .column("intent", "The intent that it serves.", |row| row.terms.intent)
        .column("offer", "The offer that it was awarded to.", |row| row.terms.offer)
        .column("initiator", "Who started it.", |row| row.initiator)
        .column("executor", "Who executes it.", |row| row.executor)
        .column("trace_id", "The workflow, as a W3C trace id.", |row| row.trace_id)
        .column("attempt", "1 for the first try.", |row| row.terms.attempt)
        .column("state", "`assigned`, what was last reported, or the outcome.", |row| {
            row.state.name()
        })
        .column("percent", "How much of it is done, as last reported.", |row| row.percent)
        .column("outcome", "How it ended.", |row| row.ended.map(|ended| ended.outcome.name()))
        .column("receipt", "The receipt that ended it.", |row| row.ended.map(|ended| ended.receipt))
        .column("recorded_at", "When it was started, by the ledger's time.", |row| row.recorded_at)
        .column("accepted_at", "When it was accepted.", |row| row.accepted_at)
        .column("running_at", "When it was first running.", |row| row.running_at)
        .column("heard_at", "When the executor was last heard.", |row| row.heard_at)
        .column("ended_at", "When it ended.", |row| row.ended.map(|ended| ended.recorded_at))
        .column("accept_by", "Until when it must be accepted.", |row| deadlines(row).accept_by_us)
        .column("start_by", "Until when it must run.", |row| deadlines(row).start_by_us)
        .column("done_by", "Until when it must end.", |row| deadlines(row).done_by_us)
        .column("heartbeat_us", "Longest silence of the executor, in µs; 0 for any.", |row| {
            deadlines(row).heartbeat_us
        })
        .column("price", "What is paid, in the smallest unit of the currency.", |row| {
            row.terms.price.as_ref().map(|price| price.amount)
        })
        .column("currency", "The currency of the price.", |row| {
            row.terms.price.as_ref().map(|price| price.currency.clone())
        })
        .column("method", "The method of the evaluation that led to the award.", |row| {
            row.terms.evaluation.as_ref().map(|evaluation| evaluation.method.clone())
        })
        .column("replaces", "The attempt before.", |row| row.terms.replaces)
        .column("replaced_by", "The attempt after.", |row| row.replaced_by)
        .column("cancellation_by", "Who asked to end it.", |row| row.cancellation_by)
        .column("late_outcomes", "How many outcomes came after the first.", |row| row.late.len())
        .column("depends_on", "Tasks that it builds on, as its start says.", |row| {
            Json::of(&row.terms.depends_on)
        })
        .column("policies", "Policies that it is pinned to.", |row| {
            Json::of(&row.policies.iter().collect::<Vec<_>>())
        })
        .column("position", "Position of the event that started it.", |row| row.position)
});

/// A message with its place.
pub(crate) struct Said<T> {
    pub(crate) id: EnvelopeId,
    pub(crate) author: AgentId,
    pub(crate) position: Position,
    pub(crate) recorded_at: Time,
    pub(crate) what: T,
}

pub(crate) static PROGRESS: LazyLock<Rows<Said<TaskProgress>>> = LazyLock::new(|| {
    Rows::kept("progress", &["id"], "What executors reported on their tasks.")
        .column("id", "Id of the report.", |row: &Said<TaskProgress>| row.id)
        .column("task", "The task.", |row| row.what.task)
        .column("author", "The executor.", |row| row.author)
        .column("state", "`accepted`, `running` or blocked.", |row| row.what.state.name())
        .column("percent", "How much is done.", |row| row.what.percent)
        .column("estimated_done_at", "When the executor will be done, as it says.", |row| {
            row.what.estimated_done_us
        })
        .column("notices", "Delays, warnings and errors.", |row| Json::of(&row.what.notices))
        .column("checks", "What was looked at before the task was accepted.", |row| {
            Json::of(&row.what.checks)
        })
        .column("position", "Position of the event.", |row| row.position)
        .column("recorded_at", "When it was recorded.", |row| row.recorded_at)
});

/// A receipt, and whether it ended its task.
pub(crate) struct Concluded {
    pub(crate) done: TaskDone,
    pub(crate) counts: bool,
}

pub(crate) static RECEIPTS: LazyLock<Rows<Said<Concluded>>> = LazyLock::new(|| {
    Rows::kept("receipts", &["id"], "How tasks ended, as their executors or initiators say.")
        .column("id", "Id of the receipt.", |row: &Said<Concluded>| row.id)
        .column("task", "The task.", |row| row.what.done.task)
        .column("author", "Who signed it.", |row| row.author)
        .column("outcome", "How it ended, as in `succeeded` or `failed`.", |row| {
            row.what.done.outcome.name()
        })
        .column("counts", "Whether it ended the task: the first one does.", |row| row.what.counts)
        .column("started_at", "When execution began, as its author says.", |row| {
            row.what.done.started_at_us
        })
        .column("ended_at", "When execution ended, as its author says.", |row| {
            row.what.done.ended_at_us
        })
        .column("reason", "What went wrong.", |row| row.what.done.reason.clone())
        .column("usage", "What was used.", |row| Json::of(&row.what.done.usage))
        .column("policy_results", "How policies were met, as its author says.", |row| {
            Json::of(&row.what.done.policy_results)
        })
        .column("checks", "What was looked at before the task was rejected.", |row| {
            Json::of(&row.what.done.checks)
        })
        .column("position", "Position of the event.", |row| row.position)
        .column("recorded_at", "When it was recorded.", |row| row.recorded_at)
});

pub(crate) static ATTESTATIONS: LazyLock<Rows<Attestation>> = LazyLock::new(|| {
    Rows::versions("attestations", &["id"], "Claims, delegations, revocations and ends of keys.")
        .column("id", "Its id.", |row: &Attestation| row.id)
        .column("author", "Who attests.", |row| row.author)
        .column("type", "`claim`, `delegate`, `revoke`, `rotate_key` or `revoke_key`.", |row| {
            match &*row.statement {
                Attest::Claim(_) => "claim",
                Attest::Delegate(_) => "delegate",
                Attest::Revoke(_) => "revoke",
                Attest::RotateKey(_) => "rotate_key",
                Attest::RevokeKey(_) => "revoke_key",
            }
        })
        .column("kind", "The kind of a claim, as in `certification`.", |row| {
            match &*row.statement {
                Attest::Claim(claim) => Some(claim.kind.clone()),
                _ => None,
            }
        })
        .column("agent", "The agent that it is about: subject, delegate or next key.", |row| {
            match &*row.statement {
                Attest::Claim(claim) => match claim.subject {
                    ClaimSubject::Agent(agent) => Some(agent),
                    ClaimSubject::Envelope(_) => None,
                },
                Attest::Delegate(delegation) => Some(delegation.delegate),
                Attest::RotateKey(rotation) => Some(rotation.successor),
                Attest::RevokeKey(_) => Some(row.author),
                Attest::Revoke(_) => None,
            }
        })
        .column("envelope", "The envelope that it is about.", |row| match &*row.statement {
            Attest::Claim(claim) => match claim.subject {
                ClaimSubject::Envelope(id) => Some(id),
                ClaimSubject::Agent(_) => None,
            },
            Attest::Delegate(delegation) => delegation.intent,
            Attest::Revoke(revocation) => Some(revocation.attestation),
            Attest::RotateKey(_) | Attest::RevokeKey(_) => None,
        })
        .column("statement", "What is claimed, or why.", |row| match &*row.statement {
            Attest::Claim(claim) => Some(claim.statement.clone()),
            Attest::Revoke(revocation) => Some(revocation.reason.clone()),
            Attest::RotateKey(rotation) => Some(rotation.reason.clone()),
            Attest::RevokeKey(revocation) => Some(revocation.reason.clone()),
            Attest::Delegate(_) => None,
        })
        .column("expires_at", "Until when it holds.", |row| match &*row.statement {
            Attest::Claim(claim) => claim.expires_at_us,
            Attest::Delegate(delegation) => delegation.expires_at_us,
            Attest::Revoke(_) | Attest::RotateKey(_) | Attest::RevokeKey(_) => None,
        })
        .column("revoked", "Whether its author took it back.", |row| row.revoked)
        .column("position", "Position of the event.", |row| row.position)
});

/// A policy with its key, of which the scope is by the first version.
pub(crate) struct PolicyRow {
    pub(crate) scope: PolicyScope,
    pub(crate) name: Name,
    pub(crate) policy: Policy,
}

pub(crate) static POLICIES: LazyLock<Rows<PolicyRow>> = LazyLock::new(|| {
    let key = &["scope_kind", "scope", "name"];
    Rows::versions("policies", key, "Policies, each by its latest version.")
        .column("scope_kind", "What it holds for: `agent`, `capability` or `intent`.", {
            |row: &PolicyRow| match row.scope {
                PolicyScope::Agent(_) => "agent",
                PolicyScope::Capability(_) => "capability",
                PolicyScope::Intent(_) => "intent",
            }
        })
        .column("scope", "The agent's key, or the id of the first terms.", |row| match row.scope {
            PolicyScope::Agent(agent) => agent.to_string(),
            PolicyScope::Capability(id) | PolicyScope::Intent(id) => id.to_string(),
        })
        .column("name", "Its name in the scope.", |row| row.name.clone())
        .column("id", "Id of the latest PolicyUpdate.", |row| row.policy.update)
        .column("version", "Its version, which only grows.", |row| row.policy.terms.policy_version)
        .column("action", "`activate`, `amend`, `revoke` or `override`.", |row| {
            row.policy.terms.action.name()
        })
        .column("in_force", "Whether it is in force.", |row| row.policy.in_force)
        .column("kind", "`security`, `compliance`, `resource_limits` or `governance`.", |row| {
            row.policy.terms.kind.map(|kind| kind.name())
        })
        .column("language", "What it is written in; none for a text for people.", |row| {
            row.policy.terms.language.map(|language| language.name())
        })
        .column("text", "The policy itself.", |row| row.policy.terms.text.as_str().to_owned())
        .column("position", "Position of the event.", |row| row.policy.position)
});

pub(crate) static FINDINGS: LazyLock<Rows<Finding>> = LazyLock::new(|| {
    let meaning = "What events showed against somebody; what only follows from the time (a deadline \
                   that passed, a bid that stayed shut) is in `tasks` and `offers`.";
    Rows::kept("findings", &[], meaning)
        .column("kind", "What kind of thing, as in `over_use`.", |row: &Finding| row.kind.name())
        .column("agent", "Whom it is about.", |row| row.agent)
        .column("object_kind", "What it is about, as in `task`.", |row| row.object.parts().0)
        .column("object", "The id of that, or the agent's key.", |row| match row.object {
            tally_coordination::Object::Agent(agent) => agent.to_string(),
            other => hex::encode(other.parts().1),
        })
        .column("found", "What was found, for people.", |row| row.found.clone())
        .column("event", "The envelope that shows it.", |row| row.event)
        .column("position", "Position of that event.", |row| row.position)
});

fn kind_of(node: &NodeRef) -> &'static str {
    match node {
        NodeRef::Agent(_) => "agent",
        NodeRef::Capability(_) => "capability",
        NodeRef::Intent(_) => "intent",
        NodeRef::Offer(_) => "offer",
        NodeRef::Task(_) => "task",
        NodeRef::Receipt(_) => "receipt",
        NodeRef::Data { .. } => "data",
        NodeRef::Policy(_) => "policy",
        NodeRef::Attestation(_) => "attestation",
        NodeRef::Imported(_) => "imported",
        NodeRef::Message(_) => "message",
    }
}

fn id_of(node: &NodeRef) -> String {
    match node {
        NodeRef::Agent(agent) => agent.to_string(),
        NodeRef::Data { digest, .. } => digest.to_string(),
        NodeRef::Imported(name) => name.clone(),
        NodeRef::Capability(id)
        | NodeRef::Intent(id)
        | NodeRef::Offer(id)
        | NodeRef::Task(id)
        | NodeRef::Receipt(id)
        | NodeRef::Policy(id)
        | NodeRef::Attestation(id)
        | NodeRef::Message(id) => id.to_string(),
    }
}

fn uri_of(node: &NodeRef) -> String {
    match node {
        NodeRef::Data { uri, .. } => uri.clone(),
        _ => String::new(),
    }
}

pub(crate) static EDGES: LazyLock<Rows<Edge>> = LazyLock::new(|| {
    let key = &["source", "source_uri", "relation", "target", "target_uri"];
    Rows::versions("edges", key, "The provenance graph: from what came later to what it came from.")
        .column("source_kind", "The kind of `source`, as in `task` or `data`.", |row: &Edge| {
            kind_of(&row.from)
        })
        .column(
            "source",
            "An id, a key, the digest of data, or what another system calls it.",
            |row| id_of(&row.from),
        )
        .column("source_uri", "Where data is; empty for everything else.", |row| uri_of(&row.from))
        .column("relation", "What the edge means, as in `used` or `wasGeneratedBy`.", |row| {
            row.relation.name()
        })
        .column("target_kind", "As `source_kind`.", |row| kind_of(&row.to))
        .column("target", "As `source`.", |row| id_of(&row.to))
        .column("target_uri", "As `source_uri`.", |row| uri_of(&row.to))
        .column("class", "`asserted` by a signature, `inferred` by a rule, or `imported`.", |row| {
            match row.class {
                tally_provenance::Class::Inferred => "inferred",
                tally_provenance::Class::Imported => "imported",
                tally_provenance::Class::Asserted => "asserted",
            }
        })
        .column("position", "Position of the event that justifies it.", |row| row.position)
});

/// A label, and what carries it.
pub(crate) struct Labelled {
    pub(crate) kind: &'static str,
    pub(crate) label: Label,
}

pub(crate) static LABELS: LazyLock<Rows<Said<Labelled>>> = LazyLock::new(|| {
    Rows::kept("labels", &[], "Labels of intents and parameters of tasks.")
        .column("object_kind", "`intent` or `task`.", |row: &Said<Labelled>| row.what.kind)
        .column("object", "Id of the intent's terms or of the task.", |row| row.id)
        .column("key", "The name that its author chose.", |row| row.what.label.key.clone())
        .column("value", "The value.", |row| row.what.label.value.clone())
        .column("position", "Position of the event.", |row| row.position)
});

/// Data that a message names.
pub(crate) struct Named {
    pub(crate) role: &'static str,
    pub(crate) about: About,
    pub(crate) data: DataRef,
}

pub(crate) static DATA: LazyLock<Rows<Said<Named>>> = LazyLock::new(|| {
    Rows::kept("data", &[], "Data that messages name: a row each time that one does.")
        .column("uri", "Where it is, or its name.", |row: &Said<Named>| row.what.data.uri.clone())
        .column("digest", "What it hashes to.", |row| row.what.data.digest)
        .column("role", "`input`, `output` or `evidence`.", |row| row.what.role)
        .column("envelope", "The message that names it.", |row| row.id)
        .column("author", "Who says so.", |row| row.author)
        .column("intent", "The intent, by way of a task too.", |row| row.what.about.intent)
        .column("task", "The task.", |row| row.what.about.task)
        .column("bytes", "Its size.", |row| row.what.data.size)
        .column("media_type", "Its media type.", |row| row.what.data.media_type.clone())
        .column("inline", "The data itself, where it is carried; else empty.", |row| {
            row.what.data.inline.as_str().to_owned()
        })
        .column("position", "Position of the event.", |row| row.position)
});
