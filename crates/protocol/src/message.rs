//! The eleven messages of Pervasive.link (R1 to R11), typed.
//!
//! What a single message can say is checked here; what depends on other messages (does that offer
//! exist, may this agent sign) is the business of the rules.

use crate::field::{choice, code, record};
use crate::ids::{Digest, EnvelopeId, Time, TraceId};
use crate::key::AgentId;
use crate::parts::{
    Constraint, DataRef, Document, Label, Measure, Name, PolicyRef, Price, Resource, Schema, Text,
};
use crate::wire;

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $label:literal, $schema:literal;)*) => {
        /// One of the eleven messages.
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Message {
            $($(#[$doc])* $variant($type),)*
        }

        /// Which of the eleven messages an envelope carries.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum MessageKind {
            $($(#[$doc])* $variant,)*
        }

        impl MessageKind {
            /// All kinds, in the order of R1 to R11.
            pub const ALL: [Self; 11] = [$(Self::$variant,)*];

            /// The name of the message, as in `TaskStart`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// The schema of the object that the message carries.
            pub fn object_schema(self) -> &'static str {
                match self {
                    $(Self::$variant => $schema,)*
                }
            }

            /// Of the message that an envelope's field of this number carries.
            pub(crate) fn of_field(number: u32) -> Option<Self> {
                use crate::canonical::Numbers;
                match number {
                    $(number if const { Numbers::of::<wire::Envelope>($label) }.have(number) => {
                        Some(Self::$variant)
                    })*
                    _ => None,
                }
            }

            /// The name of the field that carries the message, as in `task_start`.
            pub fn field(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }
        }

        impl Message {
            /// Which message it is.
            pub fn kind(&self) -> MessageKind {
                match self {
                    $(Self::$variant(_) => MessageKind::$variant,)*
                }
            }

            pub(crate) fn read(
                wire: wire::envelope::Message,
            ) -> Result<Self, crate::field::Malformed> {
                match wire {
                    $(wire::envelope::Message::$variant(inner) => {
                        crate::field::Field::read(inner)
                            .map(Self::$variant)
                            .map_err(|e: crate::field::Malformed| e.within($label))
                    })*
                }
            }

            /// From the field of an envelope that carries it.
            pub(crate) fn from_field(
                field: crate::canonical::Occurrence<'_>,
            ) -> Option<Self> {
                crate::field::member!(wire::Envelope, field => { $(Self::$variant = $label,)* })
            }

            pub(crate) fn write(&self) -> wire::envelope::Message {
                match self {
                    $(Self::$variant(inner) => {
                        wire::envelope::Message::$variant(crate::field::Field::write(inner))
                    })*
                }
            }
        }
    };
}

messages! {
    /// R1: publishes, revises or retires a capability.
    AdvertiseCapability(AdvertiseCapability) = "advertise_capability",
        "pervasive.link/v1/AdvertiseCapability";
    /// R2: searches the catalog.
    Discover(Discover) = "discover", "pervasive.link/v1/Discover";
    /// R3: states a desired outcome.
    Intent(Intent) = "intent", "pervasive.link/v1/Intent";
    /// R4: says what a provider would do for an intent.
    Offer(Offer) = "offer", "pervasive.link/v1/Offer";
    /// R5: negotiates about an offer or a task.
    Negotiate(Negotiate) = "negotiate", "pervasive.link/v1/Negotiate";
    /// R6: awards an offer and authorises execution.
    TaskStart(Box<TaskStart>) = "task_start", "pervasive.link/v1/TaskStart";
    /// R7: reports from execution.
    TaskProgress(TaskProgress) = "task_progress", "pervasive.link/v1/TaskProgress";
    /// R8: the receipt.
    TaskDone(TaskDone) = "task_done", "pervasive.link/v1/TaskDone";
    /// R9: a signed claim, delegation, or the revocation of one.
    Attest(Attest) = "attest", "pervasive.link/v1/Attest";
    /// R10: puts a policy in force or ends it.
    PolicyUpdate(PolicyUpdate) = "policy_update", "pervasive.link/v1/PolicyUpdate";
    /// R11: asks for what happened, or publishes a change of state.
    Observe(Observe) = "observe", "pervasive.link/v1/Observe";
}

// ------------------------------------------------------------------ R1

choice! {
    /// R1. A capability is known by the id of the envelope that published the version in force.
    AdvertiseCapability(wire::AdvertiseCapability, action: wire::advertise_capability::Action) {
        /// A new capability.
        Publish(CapabilityTerms) = "publish",
        /// A new version.
        Revise(CapabilityRevision) = "revise",
        /// The end of it.
        Retire(CapabilityRetirement) = "retire",
    }
}

record! {
    /// What a capability is.
    CapabilityTerms(wire::advertise_capability::Terms) {
        /// The owner's own name for it, unique for that owner.
        name: Name,
        /// What kind of work it does.
        category: Name,
    } optional {
        /// For people.
        description: Text,
        /// Further words to find it by.
        tags: Vec<Name>,
        /// What it takes.
        input_schema: Option<Schema>,
        /// What it gives.
        output_schema: Option<Schema>,
        /// What it offers or insists on.
        constraints: Vec<Constraint>,
        /// What it has.
        resources: Vec<Resource>,
        /// Policies that it follows.
        policies: Vec<PolicyRef>,
        /// How well it did.
        performance: Vec<Measure>,
        /// What it costs.
        cost: Option<Price>,
        /// What it changes beside its output.
        side_effects: Vec<Name>,
    }
}

record! {
    /// A new version of a capability.
    CapabilityRevision(wire::advertise_capability::Revision) {
        /// The version in force that this one replaces.
        capability: EnvelopeId,
        /// The new terms, all of them.
        terms: CapabilityTerms,
    }
}

record! {
    /// The end of a capability.
    CapabilityRetirement(wire::advertise_capability::Retirement) {
        /// The version in force.
        capability: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

// ------------------------------------------------------------------ R2

record! {
    /// R2. Criteria of a search; whatever is absent is not asked for.
    Discover(wire::Discover) {
    } optional {
        /// Data of this schema must be acceptable.
        input_schema: Option<Schema>,
        /// What comes back must be of this schema.
        output_schema: Option<Schema>,
        /// The kind of work.
        category: Option<Name>,
        /// All of these tags.
        tags: Vec<Name>,
        /// Conditions on its attributes.
        constraints: Vec<Constraint>,
        /// At least these resources.
        resources: Vec<Resource>,
        /// At most this cost.
        max_cost: Option<Price>,
        /// Attestations that the provider must hold.
        trust: Vec<TrustCriterion>,
    }
}

record! {
    /// An attestation that a provider must hold.
    TrustCriterion(wire::discover::TrustCriterion) {
        /// The kind of the claim.
        claim: Name,
    } optional {
        /// Who must have made it; empty means anyone.
        issuers: Vec<AgentId>,
    }
}

// ------------------------------------------------------------------ R3

choice! {
    /// R3. A desired outcome: never how, never who. Known by the id of the version in force.
    Intent(wire::Intent, action: wire::intent::Action) {
        /// A new intent.
        Open(IntentTerms) = "open",
        /// A new version.
        Revise(IntentRevision) = "revise",
        /// The end of it.
        Cancel(IntentCancellation) = "cancel",
    }
}

code! {
    /// How an offer is chosen.
    Selection(wire::intent::Selection) {
        /// The initiator chooses and records why.
        ContractNet,
        /// Open bids, each lower than the one before by a step.
        EnglishAuction,
        /// Sealed bids, the winner is paid its own.
        SealedFirstPrice,
        /// Sealed bids, the winner is paid the second-lowest.
        Vickrey,
        /// A set of offers that together cover the intent.
        Collaborative,
    }
}

code! {
    /// Who may see the data.
    Privacy(wire::intent::Privacy) {
        /// Anyone.
        Public,
        /// The parties; the ledger holds salted digests only.
        Parties,
    }
}

record! {
    /// What an intent asks for.
    IntentTerms(wire::intent::Terms) {
        /// The desired outcome, for people.
        outcome: Text,
    } optional {
        /// The kind of work.
        category: Option<Name>,
        /// What to work on.
        inputs: Vec<DataRef>,
        /// What must come back.
        output_schema: Option<Schema>,
        /// Conditions on who does it and where.
        constraints: Vec<Constraint>,
        /// Policies that hold.
        policies: Vec<PolicyRef>,
        /// Higher is more urgent.
        priority: u32,
        /// No offer is admitted and no task starts after it.
        deadline_us: Option<Time>,
        /// What matters how much when offers are compared.
        utility_weights: Vec<Measure>,
        /// Who may see the data.
        privacy: Option<Privacy>,
        /// How an offer is chosen.
        selection: Option<Selection>,
        /// The author's own marks.
        labels: Vec<Label>,
        /// Schema of the input data.
        input_schema: Option<Schema>,
        /// What the work needs; an offer provides at least this.
        resources: Vec<Resource>,
        /// How bids are taken.
        auction: Option<Auction>,
        /// Parts that a set of offers covers together.
        parts: Vec<Name>,
        /// Most tasks that may be live or have succeeded; 0 means any number.
        max_awards: u32,
    }
}

record! {
    /// R17. How bids are taken; the lowest price wins.
    Auction(wire::intent::Auction) {
        /// Bids are admitted up to and including this time.
        bids_until_us: Time,
    } optional {
        /// Sealed bids are revealed after the bids, up to and including this time.
        reveal_until_us: Option<Time>,
        /// English: each bid is lower than the lowest before by at least so much.
        min_step: u64,
        /// No bid above it is admitted.
        reserve: Option<Price>,
    }
}

record! {
    /// A new version of an intent; offers on it must be made anew.
    IntentRevision(wire::intent::Revision) {
        /// The version in force that this one replaces.
        intent: EnvelopeId,
        /// The new terms, all of them.
        terms: IntentTerms,
    }
}

record! {
    /// The end of an intent.
    IntentCancellation(wire::intent::Cancellation) {
        /// The version in force.
        intent: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

// ------------------------------------------------------------------ R4

record! {
    /// R4. What a provider would do for an intent, and for how much.
    Offer(wire::Offer) {
        /// The intent, by its version in force.
        intent: EnvelopeId,
        /// The author's capability, by its version in force.
        capability: EnvelopeId,
    } optional {
        /// The author's earlier offer that this one replaces.
        replaces: Option<EnvelopeId>,
        /// Under which conditions.
        conditions: Vec<Constraint>,
        /// What it takes.
        resources: Vec<Resource>,
        /// How long it takes, in microseconds.
        estimated_duration_us: u64,
        /// Policies that the provider will follow.
        policies: Vec<PolicyRef>,
        /// For how much.
        price: Option<Price>,
        /// Live up to and including this time.
        valid_until_us: Option<Time>,
        /// A sealed bid instead of a price; see [`Reveal`].
        commitment: Option<Digest>,
        /// Parts of the intent that the offer covers.
        covers: Vec<Name>,
    }
}

// ------------------------------------------------------------------ R5

choice! {
    /// R5. Between the two parties of an offer or a task.
    Negotiate(wire::Negotiate, action: wire::negotiate::Action) {
        /// The intent's author asks for other terms.
        Counter(Counter) = "counter",
        /// The intent's author refuses the offer.
        Decline(Decline) = "decline",
        /// The provider takes its offer back.
        Withdraw(Withdraw) = "withdraw",
        /// Either party of a task asks the other to end it.
        RequestCancellation(RequestCancellation) = "request_cancellation",
        /// The provider opens its sealed bid.
        Reveal(Reveal) = "reveal",
    }
}

record! {
    /// A sealed bid, opened.
    Reveal(wire::negotiate::Reveal) {
        /// The offer.
        offer: EnvelopeId,
        /// What was bid.
        price: Price,
        /// 32 random bytes.
        salt: Digest,
    }
}

impl Reveal {
    /// What a provider commits itself to: BLAKE3-256 of salt, key, intent, amount and currency.
    pub fn commitment(
        salt: &Digest,
        provider: &AgentId,
        intent: &EnvelopeId,
        price: &Price,
    ) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&salt.0).update(provider.as_bytes()).update(&intent.0);
        hasher.update(&price.amount.to_be_bytes()).update(price.currency.as_str().as_bytes());
        Digest(*hasher.finalize().as_bytes())
    }
}

record! {
    /// Other terms; the provider answers with an offer that replaces.
    Counter(wire::negotiate::Counter) {
        /// The offer.
        offer: EnvelopeId,
    } optional {
        /// The price asked for.
        price: Option<Price>,
        /// The duration asked for, in microseconds.
        duration_us: u64,
        /// The conditions asked for.
        conditions: Vec<Constraint>,
        /// For people.
        text: Text,
    }
}

record! {
    /// The intent's author refuses an offer.
    Decline(wire::negotiate::Decline) {
        /// The offer.
        offer: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

record! {
    /// The provider takes an offer back.
    Withdraw(wire::negotiate::Withdraw) {
        /// The offer.
        offer: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

record! {
    /// One party of a task asks the other to end it.
    RequestCancellation(wire::negotiate::RequestCancellation) {
        /// The task.
        task: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

// ------------------------------------------------------------------ R6

record! {
    /// R6. Awards an offer and authorises its execution; the task is known by its envelope id.
    TaskStart(wire::TaskStart) {
        /// The intent, by its version in force.
        intent: EnvelopeId,
        /// The live offer that is accepted.
        offer: EnvelopeId,
        /// 1 for the first try.
        attempt: u32,
    } optional {
        /// How to run it.
        parameters: Vec<Label>,
        /// Conditions that hold during execution.
        constraints: Vec<Constraint>,
        /// Policies that hold during execution.
        policies: Vec<PolicyRef>,
        /// How it is watched.
        monitoring: Option<Monitoring>,
        /// What must come back.
        output_schema: Option<Schema>,
        /// Tasks whose outcome this one builds on.
        depends_on: Vec<EnvelopeId>,
        /// The ended task that this one tries again.
        replaces: Option<EnvelopeId>,
        /// Times by which something must have happened.
        deadlines: Option<Deadlines>,
        /// Why this offer.
        evaluation: Option<Evaluation>,
        /// What is paid.
        price: Option<Price>,
        /// Digest of the policies that were in force for this task and judged it.
        policy_set: Option<Digest>,
    }
}

code! {
    /// What an executor looks at before it takes a task on.
    CheckKind(wire::check::Kind) {
        /// Do the schemas fit?
        Schema,
        /// Is it allowed?
        Policy,
        /// Are the resources there?
        Resources,
        /// Can the inputs be had?
        Inputs,
    }
}

record! {
    /// R14. Something an executor looked at before it took a task on.
    Check(wire::Check) {
        /// What.
        kind: CheckKind,
    } optional {
        /// Whether it is as it must be.
        passed: bool,
        /// Why not.
        reason: Text,
    }
}

record! {
    /// R20. Times by which something must have happened; absent means never.
    Deadlines(wire::task_start::Deadlines) {
    } optional {
        /// The executor accepts by then.
        accept_by_us: Option<Time>,
        /// Execution begins by then.
        start_by_us: Option<Time>,
        /// The task has ended by then.
        done_by_us: Option<Time>,
        /// Longest time without a message of the executor, in microseconds; 0 means any.
        heartbeat_us: u64,
    }
}

record! {
    /// How a task is watched.
    Monitoring(wire::task_start::Monitoring) {
    } optional {
        /// Least time between two progress messages, in microseconds.
        report_every_us: u64,
        /// Who may observe beside the two parties.
        observers: Vec<AgentId>,
        /// For people.
        instructions: Text,
    }
}

record! {
    /// R15. How the offers compared, so that anyone can compute it again.
    Evaluation(wire::task_start::Evaluation) {
        /// How the totals follow from scores and weights.
        method: Name,
    } optional {
        /// What counts how much.
        weights: Vec<Measure>,
        /// Every offer that was looked at.
        candidates: Vec<Candidate>,
        /// How many events the log had when the offers were compared.
        as_of: u64,
    }
}

record! {
    /// One offer in an evaluation.
    Candidate(wire::task_start::evaluation::Candidate) {
        /// The offer.
        offer: EnvelopeId,
    } optional {
        /// Its scores.
        scores: Vec<Measure>,
        /// What they come to.
        total: i64,
        /// Why it was out of the question.
        disqualified: Option<Name>,
    }
}

// ------------------------------------------------------------------ R7

code! {
    /// What the executor says of a task that has not ended.
    ProgressState(wire::task_progress::State) {
        /// Taken on, not begun.
        Accepted,
        /// Under way.
        Running,
        /// Waits for an input.
        BlockedInput,
        /// Waits for a permission.
        BlockedAuthorisation,
        /// Held by a policy.
        BlockedPolicy,
    }
}

code! {
    /// How grave a notice is.
    Severity(wire::task_progress::Severity) {
        /// Good to know.
        Info,
        /// It will take longer.
        Delay,
        /// Something is off.
        Warning,
        /// Something failed; the task goes on.
        Error,
    }
}

record! {
    /// Something an executor wants to be known.
    TaskNotice(wire::task_progress::Notice) {
        /// How grave it is.
        severity: Severity,
        /// For programs.
        code: Name,
    } optional {
        /// For people.
        text: Text,
    }
}

record! {
    /// R7. The executor's report.
    TaskProgress(wire::TaskProgress) {
        /// The task.
        task: EnvelopeId,
        /// Where it stands.
        state: ProgressState,
    } optional {
        /// 0 to 100, never falling.
        percent: u32,
        /// Data read so far that no message of this task named before.
        inputs: Vec<DataRef>,
        /// Intermediate outputs.
        outputs: Vec<DataRef>,
        /// New estimate of the end.
        estimated_done_us: Option<Time>,
        /// Delays, warnings, errors.
        notices: Vec<TaskNotice>,
        /// Tasks whose outcome was used and that no message of this task named before.
        depends_on: Vec<EnvelopeId>,
        /// What was looked at before the task was accepted.
        checks: Vec<Check>,
    }
}

// ------------------------------------------------------------------ R8

code! {
    /// How a task ended.
    Outcome(wire::task_done::Outcome) {
        /// With what was asked for.
        Succeeded,
        /// Without it.
        Failed,
        /// The executor did not take it on (R14).
        Rejected,
        /// A policy was violated and the task halted (R21).
        Violated,
        /// By agreement, after a cancellation was asked for.
        Cancelled,
        /// Given up by the initiator after a deadline had passed.
        Abandoned,
    }
}

record! {
    /// What a policy said of an execution.
    PolicyResult(wire::task_done::PolicyResult) {
        /// The policy.
        policy: PolicyRef,
    } optional {
        /// Whether the execution complied.
        compliant: bool,
        /// Why.
        reason: Text,
    }
}

record! {
    /// R8. The receipt: how a task ended.
    TaskDone(wire::TaskDone) {
        /// The task.
        task: EnvelopeId,
        /// How it ended.
        outcome: Outcome,
    } optional {
        /// When execution began; absent if it never did.
        started_at_us: Option<Time>,
        /// When execution ended.
        ended_at_us: Option<Time>,
        /// What was read.
        inputs: Vec<DataRef>,
        /// What was made.
        outputs: Vec<DataRef>,
        /// What policies said.
        policy_results: Vec<PolicyResult>,
        /// What went wrong.
        reason: Text,
        /// What it took.
        usage: Vec<Measure>,
        /// What was looked at before the task was rejected.
        checks: Vec<Check>,
    }
}

// ------------------------------------------------------------------ R9

choice! {
    /// R9. A signed claim, a delegation, or the revocation of one.
    Attest(wire::Attest, statement: wire::attest::Statement) {
        /// A claim about an agent or an envelope.
        Claim(Claim) = "claim",
        /// Lets another agent start tasks on the author's intents.
        Delegate(Delegation) = "delegate",
        /// Takes an earlier Attest back.
        Revoke(Revocation) = "revoke",
        /// The author's next key.
        RotateKey(KeyRotation) = "rotate_key",
        /// The end of the author's key.
        RevokeKey(KeyRevocation) = "revoke_key",
    }
}

/// What a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSubject {
    /// An agent.
    Agent(AgentId),
    /// A capability, an offer, a receipt …
    Envelope(EnvelopeId),
}

impl crate::canonical::Canonical for ClaimSubject {
    fn from_field(field: crate::canonical::Occurrence<'_>) -> Option<Self> {
        crate::field::member!(wire::attest::Claim, field => {
            Self::Agent = "agent",
            Self::Envelope = "envelope",
        })
    }
}

impl crate::field::Field<Option<wire::attest::claim::Subject>> for ClaimSubject {
    fn read(wire: Option<wire::attest::claim::Subject>) -> Result<Self, crate::field::Malformed> {
        use wire::attest::claim::Subject;
        match wire.ok_or(crate::field::Fault::Missing)? {
            Subject::Agent(key) => crate::field::Field::read(key).map(Self::Agent),
            Subject::Envelope(id) => crate::field::Field::read(id).map(Self::Envelope),
        }
    }

    fn write(&self) -> Option<wire::attest::claim::Subject> {
        use wire::attest::claim::Subject;
        Some(match self {
            Self::Agent(key) => Subject::Agent(crate::field::Field::write(key)),
            Self::Envelope(id) => Subject::Envelope(crate::field::Field::write(id)),
        })
    }
}

record! {
    /// A claim about an agent or an envelope.
    Claim(wire::attest::Claim) {
        /// What it is about.
        subject: ClaimSubject,
        /// `certification`, `compliance`, `environment`, `quality` …
        kind: Name,
    } optional {
        /// What is claimed.
        statement: Text,
        /// What it rests on.
        evidence: Vec<DataRef>,
        /// Up to and including this time.
        expires_at_us: Option<Time>,
    }
}

code! {
    /// What a delegate may do.
    DelegationScope(wire::attest::delegation::Scope) {
        /// Start tasks, abandon them, ask for their cancellation.
        Tasks,
        /// Counter and decline offers.
        Negotiation,
    }
}

record! {
    /// Lets another agent act on the author's intents.
    Delegation(wire::attest::Delegation) {
        /// Who.
        delegate: AgentId,
    } optional {
        /// The one intent it is about; absent means all of the author's.
        intent: Option<EnvelopeId>,
        /// Up to and including this time.
        expires_at_us: Option<Time>,
        /// What the delegate may do; empty means everything.
        scopes: Vec<DelegationScope>,
        /// How often the delegate may pass it on.
        depth: u32,
        /// The delegation that this one passes on.
        of: Option<EnvelopeId>,
    }
}

record! {
    /// The author's next key: from this position on the author's present one signs nothing. The
    /// next stands for the author once it consents: its first envelope names this one among its
    /// causes.
    KeyRotation(wire::attest::KeyRotation) {
        /// The new key.
        successor: AgentId,
    } optional {
        /// Why.
        reason: Text,
    }
}

record! {
    /// The author's key signs nothing any more, from this position on.
    KeyRevocation(wire::attest::KeyRevocation) {
    } optional {
        /// Why.
        reason: Text,
    }
}

record! {
    /// Takes an earlier Attest of the same author back.
    Revocation(wire::attest::Revocation) {
        /// The Attest.
        attestation: EnvelopeId,
    } optional {
        /// Why.
        reason: Text,
    }
}

// ------------------------------------------------------------------ R10

code! {
    /// What a PolicyUpdate does.
    PolicyAction(wire::policy_update::Action) {
        /// Puts the first version in force.
        Activate,
        /// Puts a new version in force.
        Amend,
        /// Ends it.
        Revoke,
        /// Puts a version in force over those of wider scopes.
        Override,
    }
}

code! {
    /// What a policy is about.
    PolicyKind(wire::policy_update::Kind) {
        /// Security.
        Security,
        /// Compliance.
        Compliance,
        /// Limits of resources.
        ResourceLimits,
        /// Governance.
        Governance,
    }
}

/// What a policy holds for; its owner is the author of what is named.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PolicyScope {
    /// All that this agent owns.
    Agent(AgentId),
    /// One capability, by its version in force.
    Capability(EnvelopeId),
    /// One intent, by its version in force.
    Intent(EnvelopeId),
}

impl crate::canonical::Canonical for PolicyScope {
    fn from_field(field: crate::canonical::Occurrence<'_>) -> Option<Self> {
        crate::field::member!(wire::PolicyUpdate, field => {
            Self::Agent = "agent",
            Self::Capability = "capability",
            Self::Intent = "intent",
        })
    }
}

impl crate::field::Field<Option<wire::policy_update::Scope>> for PolicyScope {
    fn read(wire: Option<wire::policy_update::Scope>) -> Result<Self, crate::field::Malformed> {
        use wire::policy_update::Scope;
        match wire.ok_or(crate::field::Fault::Missing)? {
            Scope::Agent(key) => crate::field::Field::read(key).map(Self::Agent),
            Scope::Capability(id) => crate::field::Field::read(id).map(Self::Capability),
            Scope::Intent(id) => crate::field::Field::read(id).map(Self::Intent),
        }
    }

    fn write(&self) -> Option<wire::policy_update::Scope> {
        use wire::policy_update::Scope;
        Some(match self {
            Self::Agent(key) => Scope::Agent(crate::field::Field::write(key)),
            Self::Capability(id) => Scope::Capability(crate::field::Field::write(id)),
            Self::Intent(id) => Scope::Intent(crate::field::Field::write(id)),
        })
    }
}

record! {
    /// R10. Puts a version of a policy in force, or ends it.
    PolicyUpdate(wire::PolicyUpdate) {
        /// What it holds for.
        scope: PolicyScope,
        /// Its name within the scope.
        name: Name,
        /// Strictly increasing for one scope and name.
        policy_version: u64,
        /// What is done.
        action: PolicyAction,
    } optional {
        /// What it is about.
        kind: Option<PolicyKind>,
        /// The policy itself; empty when revoking.
        text: Document,
        /// What the text is written in; without a language it is for people, and not judged.
        language: Option<PolicyLanguage>,
    }
}

code! {
    /// What a policy is written in.
    PolicyLanguage(wire::policy_update::Language) {
        /// Cedar, held to the ledger's schema of requests.
        Cedar,
    }
}

// ------------------------------------------------------------------ R11

record! {
    /// A change of state that its author publishes.
    StateNotice(wire::observe::Notice) {
        /// The envelope that it is about.
        subject: EnvelopeId,
        /// The new state.
        state: Name,
    } optional {
        /// For people.
        text: Text,
    }
}

choice! {
    /// R11. Asks for what happened, or publishes a change of state.
    Observe(wire::Observe, subject: wire::observe::Subject) {
        /// Status of a task.
        TaskStatus(EnvelopeId) = "task_status",
        /// Everything that carries a trace id.
        Trace(TraceId) = "trace",
        /// The coordination graph of an intent.
        CoordinationGraph(EnvelopeId) = "coordination_graph",
        /// A change of state.
        Notice(StateNotice) = "notice",
    }
}
