//! One envelope of every shape a message can take, with every field filled.

use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, Time, TraceId,
};

pub(crate) fn key(seed: u8) -> AgentKey {
    AgentKey::from_seed(&[seed; 32])
}

pub(crate) fn agent(seed: u8) -> AgentId {
    key(seed).agent()
}

pub(crate) fn id(byte: u8) -> EnvelopeId {
    EnvelopeId([byte; 32])
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).expect("a text")
}

/// An envelope with its whole context, by the agent of seed 1.
pub(crate) fn envelope(message: Message) -> Envelope {
    Envelope {
        origin: Origin::new("ledger.example/main").expect("an origin"),
        author: agent(1),
        author_sequence: AuthorSequence(7),
        previous: Some(id(0xa0)),
        issued_at_us: Time(1_790_000_000_000_000),
        trace_id: Some(TraceId([0x11; 16])),
        causes: vec![id(0xa1), id(0xa2)],
        message,
    }
}

/// The first envelope of its author, with nothing that may be absent.
pub(crate) fn smallest() -> Envelope {
    Envelope {
        author_sequence: AuthorSequence(0),
        previous: None,
        issued_at_us: Time(0),
        trace_id: None,
        causes: Vec::new(),
        ..envelope(Message::Observe(Observe::TaskStatus(id(1))))
    }
}

/// Every shape by name, in the order of R1 to R11.
pub(crate) fn all() -> Vec<(&'static str, Envelope)> {
    messages().into_iter().map(|(name, message)| (name, envelope(message))).collect()
}

pub(crate) fn sample(wanted: &str) -> Envelope {
    let found = all().into_iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("no sample {wanted}")).1
}

fn messages() -> Vec<(&'static str, Message)> {
    use Message as M;
    vec![
        (
            "advertise_capability.publish",
            M::AdvertiseCapability(AdvertiseCapability::Publish(capability())),
        ),
        (
            "advertise_capability.revise",
            M::AdvertiseCapability(AdvertiseCapability::Revise(CapabilityRevision {
                capability: id(2),
                terms: capability(),
            })),
        ),
        (
            "advertise_capability.retire",
            M::AdvertiseCapability(AdvertiseCapability::Retire(CapabilityRetirement {
                capability: id(3),
                reason: text("moved to another site"),
            })),
        ),
        ("discover", M::Discover(search())),
        ("intent.open", M::Intent(Intent::Open(intent()))),
        (
            "intent.revise",
            M::Intent(Intent::Revise(IntentRevision { intent: id(4), terms: intent() })),
        ),
        (
            "intent.cancel",
            M::Intent(Intent::Cancel(IntentCancellation {
                intent: id(5),
                reason: text("no longer needed"),
            })),
        ),
        ("intent.open.auction", M::Intent(Intent::Open(auctioned()))),
        ("offer", M::Offer(offer())),
        (
            "offer.sealed",
            M::Offer(Offer {
                commitment: Some(Digest::of(b"a sealed bid")),
                covers: vec![name("north"), name("south")],
                ..Offer::new(id(0x20), id(0x21))
            }),
        ),
        (
            "negotiate.reveal",
            M::Negotiate(Negotiate::Reveal(Reveal {
                offer: id(0x23),
                price: price(800),
                salt: Digest([0x24; 32]),
            })),
        ),
        (
            "negotiate.counter",
            M::Negotiate(Negotiate::Counter(Counter {
                offer: id(6),
                price: Some(price(900)),
                duration_us: 30_000_000,
                conditions: constraints(),
                text: text("can you do it for less?"),
            })),
        ),
        (
            "negotiate.decline",
            M::Negotiate(Negotiate::Decline(Decline { offer: id(7), reason: text("too dear") })),
        ),
        (
            "negotiate.withdraw",
            M::Negotiate(Negotiate::Withdraw(Withdraw { offer: id(8), reason: text("busy") })),
        ),
        (
            "negotiate.request_cancellation",
            M::Negotiate(Negotiate::RequestCancellation(RequestCancellation {
                task: id(9),
                reason: text("the input was wrong"),
            })),
        ),
        ("task_start", M::TaskStart(Box::new(start()))),
        ("task_start.pinned", M::TaskStart(Box::new(pinned()))),
        ("task_progress", M::TaskProgress(progress())),
        (
            "task_progress.checks",
            M::TaskProgress(TaskProgress {
                checks: checks(),
                ..TaskProgress::new(id(0x40), ProgressState::Accepted)
            }),
        ),
        ("task_done", M::TaskDone(done())),
        (
            "task_done.checks",
            M::TaskDone(TaskDone {
                checks: checks(),
                outputs: vec![inline("{\"pages\":3}")],
                ..TaskDone::new(id(0x50), Outcome::Rejected)
            }),
        ),
        (
            "attest.claim",
            M::Attest(Attest::Claim(Claim {
                subject: ClaimSubject::Agent(agent(2)),
                kind: name("certification"),
                statement: text("ISO 27001"),
                evidence: data(),
                expires_at_us: Some(Time(1_800_000_000_000_000)),
            })),
        ),
        (
            "attest.claim.envelope",
            M::Attest(Attest::Claim(Claim {
                subject: ClaimSubject::Envelope(id(10)),
                kind: name("quality"),
                statement: text("as promised"),
                evidence: data(),
                expires_at_us: Some(Time(1_800_000_000_000_001)),
            })),
        ),
        (
            "attest.delegate",
            M::Attest(Attest::Delegate(Delegation {
                delegate: agent(3),
                intent: Some(id(11)),
                expires_at_us: Some(Time(1_800_000_000_000_002)),
                ..Delegation::new(agent(3))
            })),
        ),
        (
            "attest.delegate.passed_on",
            M::Attest(Attest::Delegate(Delegation {
                scopes: vec![DelegationScope::Tasks, DelegationScope::Negotiation],
                depth: 2,
                of: Some(id(18)),
                ..Delegation::new(agent(3))
            })),
        ),
        (
            "attest.rotate_key",
            M::Attest(Attest::RotateKey(KeyRotation {
                successor: agent(8),
                reason: text("once a year"),
            })),
        ),
        (
            "attest.revoke_key",
            M::Attest(Attest::RevokeKey(KeyRevocation { reason: text("it was stolen") })),
        ),
        (
            "attest.revoke",
            M::Attest(Attest::Revoke(Revocation {
                attestation: id(12),
                reason: text("the audit failed"),
            })),
        ),
        ("policy_update", M::PolicyUpdate(policy(PolicyScope::Agent(agent(1))))),
        (
            "policy_update.cedar",
            M::PolicyUpdate(PolicyUpdate {
                language: Some(PolicyLanguage::Cedar),
                ..policy(PolicyScope::Agent(agent(1)))
            }),
        ),
        ("policy_update.capability", M::PolicyUpdate(policy(PolicyScope::Capability(id(13))))),
        ("policy_update.intent", M::PolicyUpdate(policy(PolicyScope::Intent(id(14))))),
        ("observe.task_status", M::Observe(Observe::TaskStatus(id(15)))),
        ("observe.trace", M::Observe(Observe::Trace(TraceId([0x22; 16])))),
        ("observe.coordination_graph", M::Observe(Observe::CoordinationGraph(id(16)))),
        (
            "observe.notice",
            M::Observe(Observe::Notice(StateNotice {
                subject: id(17),
                state: name("paused"),
                text: text("maintenance until noon"),
            })),
        ),
    ]
}

pub(crate) fn capability() -> CapabilityTerms {
    CapabilityTerms {
        name: name("ocr"),
        category: name("vision/text"),
        description: text("Reads scanned pages."),
        tags: vec![name("pdf"), name("handwriting")],
        input_schema: Some(schema("{\"type\":\"string\"}")),
        output_schema: Some(schema("{\"type\":\"object\"}")),
        constraints: constraints(),
        resources: resources(),
        policies: policies(),
        performance: measures(),
        cost: Some(price(1_200)),
        side_effects: vec![name("stores a copy for a day")],
    }
}

fn search() -> Discover {
    Discover {
        input_schema: Some(schema("{\"type\":\"string\"}")),
        output_schema: Some(schema("{\"type\":\"object\"}")),
        category: Some(name("vision/text")),
        tags: vec![name("pdf")],
        constraints: constraints(),
        resources: resources(),
        max_cost: Some(price(2_000)),
        trust: vec![TrustCriterion {
            claim: name("certification"),
            issuers: vec![agent(4), agent(5)],
        }],
    }
}

fn intent() -> IntentTerms {
    IntentTerms {
        outcome: text("Every page as text.\nWith its language."),
        category: Some(name("vision/text")),
        inputs: data(),
        output_schema: Some(schema("{\"type\":\"object\"}")),
        constraints: constraints(),
        policies: policies(),
        priority: 3,
        deadline_us: Some(Time(1_795_000_000_000_000)),
        utility_weights: measures(),
        privacy: Some(Privacy::Parties),
        selection: Some(Selection::Vickrey),
        labels: labels(),
        ..IntentTerms::new(text(""))
    }
}

fn auctioned() -> IntentTerms {
    let dialect = Some(Dialect::JsonSchema);
    IntentTerms {
        input_schema: Some(Schema { dialect, ..schema("{\"type\":\"string\"}") }),
        resources: resources(),
        auction: Some(Auction {
            bids_until_us: Time(1_791_000_000_000_000),
            reveal_until_us: Some(Time(1_792_000_000_000_000)),
            min_step: 25,
            reserve: Some(price(5_000)),
        }),
        parts: vec![name("north"), name("south")],
        max_awards: 2,
        ..IntentTerms::new(text("the coast, surveyed"))
    }
}

fn offer() -> Offer {
    Offer {
        intent: id(0x20),
        capability: id(0x21),
        replaces: Some(id(0x22)),
        conditions: constraints(),
        resources: resources(),
        estimated_duration_us: 60_000_000,
        policies: policies(),
        price: Some(price(1_000)),
        valid_until_us: Some(Time(1_791_000_000_000_000)),
        ..Offer::new(id(0x20), id(0x21))
    }
}

fn start() -> TaskStart {
    TaskStart {
        intent: id(0x30),
        offer: id(0x31),
        attempt: 2,
        parameters: labels(),
        constraints: constraints(),
        policies: policies(),
        monitoring: Some(Monitoring {
            report_every_us: 5_000_000,
            observers: vec![agent(6), agent(7)],
            instructions: text("report each page"),
        }),
        output_schema: Some(schema("{\"type\":\"object\"}")),
        depends_on: vec![id(0x32), id(0x33)],
        replaces: Some(id(0x34)),
        deadlines: Some(Deadlines {
            accept_by_us: Some(Time(1_790_000_001_000_000)),
            start_by_us: Some(Time(1_790_000_002_000_000)),
            done_by_us: Some(Time(1_790_000_003_000_000)),
            heartbeat_us: 10_000_000,
        }),
        evaluation: Some(Evaluation {
            method: name("weighted-sum/v1"),
            weights: measures(),
            candidates: vec![
                Candidate { offer: id(0x31), scores: measures(), total: 41, disqualified: None },
                Candidate {
                    offer: id(0x35),
                    scores: measures(),
                    total: -3,
                    disqualified: Some(name("region")),
                },
            ],
            as_of: 0,
        }),
        ..TaskStart::new(id(0x30), id(0x31), 2)
    }
}

fn pinned() -> TaskStart {
    let candidate = Candidate { total: 1_000, ..Candidate::new(id(0x31)) };
    TaskStart {
        evaluation: Some(Evaluation {
            candidates: vec![candidate],
            as_of: 412,
            ..Evaluation::new(name("tally.weighted.v1"))
        }),
        price: Some(price(950)),
        policy_set: Some(Digest::of(b"the policies")),
        ..TaskStart::new(id(0x30), id(0x31), 1)
    }
}

fn checks() -> Vec<Check> {
    let passed = |kind| Check { passed: true, ..Check::new(kind) };
    vec![
        passed(CheckKind::Schema),
        passed(CheckKind::Policy),
        passed(CheckKind::Resources),
        Check { reason: text("no such object"), ..Check::new(CheckKind::Inputs) },
    ]
}

fn progress() -> TaskProgress {
    TaskProgress {
        task: id(0x40),
        state: ProgressState::BlockedAuthorisation,
        percent: 55,
        inputs: data(),
        outputs: data(),
        estimated_done_us: Some(Time(1_790_000_004_000_000)),
        notices: vec![TaskNotice {
            severity: Severity::Delay,
            code: name("token-expired"),
            text: text("waiting for a new token"),
        }],
        depends_on: vec![id(0x41), id(0x42)],
        ..TaskProgress::new(id(0x40), ProgressState::BlockedAuthorisation)
    }
}

fn done() -> TaskDone {
    TaskDone {
        task: id(0x50),
        outcome: Outcome::Violated,
        started_at_us: Some(Time(1_790_000_005_000_000)),
        ended_at_us: Some(Time(1_790_000_006_000_000)),
        inputs: data(),
        outputs: data(),
        policy_results: vec![PolicyResult {
            policy: PolicyRef { update: id(0x51) },
            compliant: true,
            reason: text("in the region"),
        }],
        reason: text("the second policy was violated"),
        usage: measures(),
        ..TaskDone::new(id(0x50), Outcome::Violated)
    }
}

fn policy(scope: PolicyScope) -> PolicyUpdate {
    PolicyUpdate {
        scope,
        name: name("data-residency"),
        policy_version: 4,
        action: PolicyAction::Override,
        kind: Some(PolicyKind::ResourceLimits),
        text: Document::new("forbid(principal, action, resource);").expect("a document"),
        language: None,
    }
}

fn schema(document: &str) -> Schema {
    let uri = Uri::new("https://schemas.example/1").expect("a URI");
    Schema { uri: Some(uri), dialect: None, ..Schema::inline(document).expect("a document") }
}

fn constraints() -> Vec<Constraint> {
    let values = |texts: &[&str]| texts.iter().map(|text| name(text)).collect();
    vec![
        Constraint {
            attribute: name("region"),
            comparison: Comparison::AnyOf,
            values: values(&["eu-west", "eu-north"]),
        },
        Constraint {
            attribute: name("runtime"),
            comparison: Comparison::NoneOf,
            values: values(&["shared"]),
        },
        Constraint {
            attribute: name("certification"),
            comparison: Comparison::AllOf,
            values: values(&["iso27001"]),
        },
    ]
}

fn resources() -> Vec<Resource> {
    vec![Resource { name: name("memory"), amount: 1 << 33, unit: Some(name("By")) }]
}

fn policies() -> Vec<PolicyRef> {
    vec![PolicyRef { update: id(0x60) }, PolicyRef { update: id(0x61) }]
}

fn measures() -> Vec<Measure> {
    vec![
        Measure { name: name("accuracy"), value: 987, unit: Some(name("1e-3")) },
        Measure { name: name("latency"), value: -1, unit: None },
    ]
}

fn labels() -> Vec<Label> {
    vec![Label { key: name("project"), value: text("archive") }]
}

fn price(amount: u64) -> Price {
    Price { amount, currency: name("EUR") }
}

fn data() -> Vec<DataRef> {
    vec![DataRef {
        uri: Uri::new("s3://bucket/pages.tar").expect("a URI"),
        digest: Digest::of(b"pages"),
        size: 4_096,
        media_type: Some(name("application/x-tar")),
        inline: Document::default(),
    }]
}

fn inline(json: &str) -> DataRef {
    DataRef {
        size: json.len() as u64,
        media_type: Some(name("application/json")),
        inline: Document::new(json).expect("a document"),
        ..DataRef::new(Uri::new("result").expect("a URI"), Digest::of(json.as_bytes()))
    }
}
