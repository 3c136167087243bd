//! Why an envelope is refused: the rule, the object and the field, and what to do about it.

use std::fmt;

use serde::Serialize;
use tally_protocol::{AgentId, EnvelopeId, Position};

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $cause:ident, $remedy:literal;)*) => {
        /// A rule of admission. Its code begins with the row of the protocol that it comes from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code, as in `R12.intent-open`.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// What kind of refusal it is.
            pub fn cause(self) -> Cause {
                match self {
                    $(Self::$variant => Cause::$cause,)*
                }
            }

            /// What the author can do about it.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)*
                }
            }
        }
    };
}

/// Kinds of refusal, each with its own answer to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The envelope is meant for another ledger.
    Foreign,
    /// The author may not sign this.
    Signer,
    /// The author's sequence is taken by other bytes.
    Equivocation,
    /// The state of the ledger does not allow it.
    State,
}

rules! {
    /// The envelope names this ledger.
    Origin = "R13.origin", Foreign,
        "sign the envelope with the origin of this ledger";
    /// The author's sequence is the next one.
    AuthorSequence = "R13.author-sequence", State,
        "ask the ledger for the author's next sequence and sign again with it";
    /// The author's sequence is not taken by other bytes.
    Equivocation = "R13.equivocation", Equivocation,
        "an author signs one envelope a sequence; with concurrent writers, give each a key of its own";
    /// `previous` is the author's envelope before.
    AuthorPrevious = "R13.author-previous", State,
        "ask the ledger for the author's last envelope and sign again with its id";
    /// A reference names something in this ledger.
    Reference = "R13.reference", State,
        "append what is referred to first, or correct the id";
    /// A reference names an object of the right kind.
    ReferenceKind = "R13.reference-kind", State,
        "refer to an object of the kind that the field asks for";
    /// A policy that is referred to is in force.
    PolicyInForce = "R13.policy-in-force", State,
        "refer to the PolicyUpdate that put the version in force";
    /// A schema that is carried inline is one.
    SchemaDocument = "R13.schema", State,
        "correct the document, or leave the dialect out: then it is not judged";
    /// A schema that is to be judged is at hand.
    SchemaAtHand = "R13.schema-at-hand", State,
        "carry the document inline once, or leave the dialect out: then it is not judged";
    /// A key that signs has not been rotated or revoked.
    KeyLive = "R9.key-live", Signer,
        "sign with the agent's present key";
    /// A value fits the others of the message.
    Consistent = "R13.consistent", State,
        "correct the field";
    /// A time to come lies in the future.
    Future = "R20.future", State,
        "name a time after the present";

    /// Only the owner signs for a capability.
    CapabilityOwner = "R1.owner", Signer,
        "let the capability's owner sign";
    /// A capability is changed and cited by its version in force.
    CapabilityInForce = "R1.in-force", State,
        "look the capability up in the catalog and name its version in force";
    /// An owner's names are unique.
    CapabilityName = "R1.name", State,
        "revise the capability of that name, or choose another name";

    /// Only the author signs for an intent.
    IntentAuthor = "R3.author", Signer,
        "let the intent's author sign";
    /// The intent is open.
    IntentOpen = "R12.intent-open", State,
        "refer to an intent that is open, by its version in force";
    /// The intent's deadline has not passed.
    IntentDeadline = "R20.intent-deadline", State,
        "ask the intent's author to revise the deadline";
    /// An intent with a running task is not revised.
    IntentIdle = "R3.idle", State,
        "end the task first, or open another intent";

    /// What a capability gives is what the intent asks for.
    SchemaOutput = "R14.schema-output", State,
        "offer a capability whose output fits, or ask for another output";
    /// What an intent gives is what the capability takes.
    SchemaInput = "R14.schema-input", State,
        "offer a capability that takes this input";
    /// The resources that an intent needs are there.
    Resources = "R14.resources", State,
        "state enough of it in the offer, or do not offer";
    /// A task is accepted only if all that was looked at is as it must be.
    ChecksPassed = "R14.checks", State,
        "reject the task: a failed check is no way to begin";
    /// Output that is at hand fits the schema that was asked for.
    OutputData = "R14.output", State,
        "deliver what was asked for, or report that the task failed";

    /// Only the owner of the cited capability offers.
    OfferOwner = "R4.owner", Signer,
        "cite a capability of your own";
    /// An offer replaces a live one of the same provider on the same intent.
    OfferReplaces = "R4.replaces", State,
        "replace your own live offer on this intent, or leave `replaces` out";
    /// Only the provider signs for an offer.
    OfferProvider = "R5.provider", Signer,
        "let the offer's provider sign";
    /// The offer is live.
    OfferLive = "R12.offer-live", State,
        "refer to an offer that is live";

    /// An evaluation by the ledger's method says what everyone computes.
    Evaluation = "R15.evaluation", State,
        "compute it again with the offers that are live, or name a method of your own";
    /// The award goes to the best of the evaluation.
    EvaluationWinner = "R15.winner", State,
        "award the best candidate that is still live, or name a method of your own";
    /// No more tasks than the intent allows.
    Awards = "R15.awards", State,
        "end a task first, or revise the intent";
    /// An offer for a collaborative intent covers parts of it.
    Covers = "R16.covers", State,
        "name parts of the intent that the offer covers";
    /// A part is covered by one task.
    Covered = "R16.covered", State,
        "award offers that cover other parts";
    /// The terms of an auction fit its mechanism.
    AuctionTerms = "R17.terms", State,
        "English: a step, no reveal; sealed: a reveal after the bids, no step; times to come";
    /// Bids come while bids are taken.
    AuctionOpen = "R17.bids-open", State,
        "bid in time; sealed bids are revealed after it";
    /// A bid says what the mechanism asks for.
    AuctionBid = "R17.bid", State,
        "English: a price; sealed: a commitment instead; no end of validity in either";
    /// An English bid is lower than the lowest by a step, and none is above the reserve.
    AuctionStep = "R17.step", State,
        "bid less";
    /// A bid binds.
    AuctionBinding = "R17.binding", State,
        "a bid stands until the auction is over: outbid it, or wait";
    /// A sealed bid is opened as it was committed to.
    AuctionReveal = "R17.reveal", State,
        "reveal the price and salt that make the commitment, after the bids and in time";
    /// A task starts when the auction is over.
    AuctionClosed = "R17.closed", State,
        "wait until the auction is over";
    /// The auction's winner is awarded.
    AuctionWinner = "R17.winner", State,
        "award the winner";
    /// What is paid is what the offer or the auction says.
    TaskPrice = "R6.price", State,
        "state the price of the offer, or what the auction comes to";

    /// A task is started by the intent's author or an unexpired delegate.
    TaskInitiator = "R6.initiator", Signer,
        "let the intent's author sign, or attest a delegation first";
    /// The offer is for the intent that is named.
    TaskOffer = "R6.offer", State,
        "name an offer of this intent";
    /// A retry replaces an ended task of the same intent and counts the attempt.
    TaskReplaces = "R18.replaces", State,
        "replace an ended, unsuccessful task of this intent, with the next attempt number";
    /// Deadlines come in order.
    DeadlineOrder = "R20.deadline-order", State,
        "order them: accept by, start by, done by";
    /// Only parties of the task sign.
    TaskParty = "R5.task-party", Signer,
        "let the task's initiator or executor sign";
    /// Only the executor reports and ends the task.
    TaskExecutor = "R7.executor", Signer,
        "let the task's executor sign";
    /// The task has not ended.
    TaskLive = "R18.terminal", State,
        "an ended task never reopens; start another with `replaces` and the next attempt";
    /// States follow: assigned, accepted, running or blocked, one outcome.
    TaskTransition = "R18.transition", State,
        "report the states in order: accepted, then running or blocked, then the outcome";
    /// Percent is at most 100 and never falls.
    Percent = "R7.percent", State,
        "report a percentage from the last one up to 100";
    /// Only the initiator abandons.
    AbandonInitiator = "R18.abandon-initiator", Signer,
        "let the initiator abandon; the executor reports failed or rejected";
    /// A task is abandoned only after a deadline has passed.
    AbandonOverdue = "R20.abandon-overdue", State,
        "wait until a deadline of the task has passed";
    /// A task is cancelled only after one of its parties asked for it.
    CancelRequested = "R18.cancel-requested", State,
        "ask for cancellation with Negotiate first";
    /// A party adds at most one outcome to an ended task.
    LateTerminal = "R18.late-terminal", State,
        "the outcome stands; what you reported late is kept already";

    /// Only its author revokes an attestation.
    AttestAuthor = "R9.author", Signer,
        "let the attestation's author revoke it";
    /// An attestation is revoked once.
    AttestLive = "R9.live", State,
        "the attestation is revoked already";
    /// A delegation names another agent.
    DelegateOther = "R9.delegate", State,
        "name another agent than the author";

    /// A delegation that is passed on says no more than the one before.
    DelegationPassed = "R9.delegation", State,
        "pass on a live delegation to you, with its intent, within its scopes, depth and time";
    /// A successor is a key that has signed nothing and succeeds no other.
    Successor = "R9.successor", State,
        "make a new key for it";

    /// Only the owner of the scope updates its policies.
    PolicyOwner = "R10.owner", Signer,
        "let the owner of the scope sign";
    /// Versions strictly increase.
    PolicyVersion = "R10.version", State,
        "use a greater version";
    /// A policy that is judged can be read and is valid.
    PolicyText = "R10.text", State,
        "correct the text; the ledger's schema of requests says what a policy can ask for";
    /// Policies allow it.
    PolicyAllows = "R21.policy", State,
        "change the terms so that every policy allows it; a task that may not go on is blocked or \
         ends as violated";
    /// A task is pinned to the policies in force.
    PolicySet = "R21.policy-set", State,
        "pin the digest of the policies that judge the task, as the ledger computes it";
    /// A policy is activated once, then amended, overridden or revoked.
    PolicyAction = "R10.action", State,
        "activate a policy that is not in force; amend, override or revoke one that is";

    /// Only agents that may see an object observe it.
    Observer = "R11.observer", Signer,
        "let a party of the object sign, or be named as observer when the task starts";
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// An agent.
    Agent(AgentId),
    /// A capability.
    Capability(EnvelopeId),
    /// An intent.
    Intent(EnvelopeId),
    /// An offer.
    Offer(EnvelopeId),
    /// A task.
    Task(EnvelopeId),
    /// An attestation.
    Attestation(EnvelopeId),
    /// A policy, by the envelope that is referred to.
    Policy(EnvelopeId),
    /// An envelope of any kind.
    Envelope(EnvelopeId),
}

impl Object {
    /// The kind, as in `task`, and the bytes of the id.
    pub fn parts(&self) -> (&'static str, &[u8]) {
        match self {
            Self::Agent(agent) => ("agent", agent.as_bytes()),
            Self::Capability(id) => ("capability", &id.0),
            Self::Intent(id) => ("intent", &id.0),
            Self::Offer(id) => ("offer", &id.0),
            Self::Task(id) => ("task", &id.0),
            Self::Attestation(id) => ("attestation", &id.0),
            Self::Policy(id) => ("policy", &id.0),
            Self::Envelope(id) => ("envelope", &id.0),
        }
    }

    /// The object of a kind and an id; `None` where the parts name none.
    pub fn from_parts(kind: &str, id: &[u8]) -> Option<Self> {
        let envelope = || <[u8; 32]>::try_from(id).ok().map(EnvelopeId);
        Some(match kind {
            "agent" => Self::Agent(AgentId::from_bytes(id).ok()?),
            "capability" => Self::Capability(envelope()?),
            "intent" => Self::Intent(envelope()?),
            "offer" => Self::Offer(envelope()?),
            "task" => Self::Task(envelope()?),
            "attestation" => Self::Attestation(envelope()?),
            "policy" => Self::Policy(envelope()?),
            "envelope" => Self::Envelope(envelope()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent {agent}"),
            Self::Capability(id) => write!(f, "capability {id}"),
            Self::Intent(id) => write!(f, "intent {id}"),
            Self::Offer(id) => write!(f, "offer {id}"),
            Self::Task(id) => write!(f, "task {id}"),
            Self::Attestation(id) => write!(f, "attestation {id}"),
            Self::Policy(id) => write!(f, "policy {id}"),
            Self::Envelope(id) => write!(f, "envelope {id}"),
        }
    }
}

/// A refused envelope: nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {field}: {object} {found}; {}", rule.code(), rule.remedy())]
pub struct Refusal {
    /// The rule that refuses.
    pub rule: Rule,
    /// The object that the rule looked at.
    pub object: Object,
    /// The field of the envelope that is at fault, as in `offer.intent`.
    pub field: &'static str,
    /// What the rule found, as in `is cancelled`.
    pub found: String,
    /// Where the taken sequence stands, for an equivocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

impl Refusal {
    pub(crate) fn new(
        rule: Rule,
        object: Object,
        field: &'static str,
        found: impl Into<String>,
    ) -> Self {
        Self { rule, object, field, found: found.into(), position: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_name_a_row() {
        let codes: HashSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        assert_eq!(codes.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let (row, _) = rule.code().split_once('.').expect("row.name");
            let number: u32 = row.strip_prefix('R').and_then(|n| n.parse().ok()).expect("a row");
            assert!((1..=27).contains(&number), "{row}");
            assert!(!rule.remedy().is_empty());
        }
    }
}
