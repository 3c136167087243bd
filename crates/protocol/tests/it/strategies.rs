//! Arbitrary envelopes, for property tests.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use tally_protocol::message::*;
use tally_protocol::parts::*;
use tally_protocol::{
    AgentId, AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, Time, TraceId,
};

fn name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9 ./é-]{1,12}".prop_map(|text| Name::new(text).expect("a name"))
}

fn text() -> impl Strategy<Value = Text> {
    "\\PC{0,12}\n?".prop_map(|text| Text::new(text).expect("a text"))
}

fn document() -> impl Strategy<Value = Document> {
    "\\PC{0,20}".prop_map(|text| Document::new(text).expect("a document"))
}

fn uri() -> impl Strategy<Value = Uri> {
    "[a-z0-9:/?#]{1,20}".prop_map(|text| Uri::new(text).expect("a URI"))
}

fn id() -> impl Strategy<Value = EnvelopeId> {
    any::<[u8; 32]>().prop_map(EnvelopeId)
}

fn agent() -> impl Strategy<Value = AgentId> {
    any::<u8>().prop_map(|seed| AgentKey::from_seed(&[seed; 32]).agent())
}

fn trace() -> impl Strategy<Value = TraceId> {
    any::<[u8; 16]>().prop_filter("not all zero", |id| *id != [0; 16]).prop_map(TraceId)
}

/// A time that an optional field can hold.
fn time() -> impl Strategy<Value = Time> {
    (1..=i64::MAX).prop_map(Time)
}

fn few<T: Strategy>(item: T) -> impl Strategy<Value = Vec<T::Value>>
where
    T::Value: std::fmt::Debug,
{
    vec(item, 0..3)
}

fn data() -> impl Strategy<Value = DataRef> {
    (uri(), any::<[u8; 32]>(), any::<u64>(), of(name()), document()).prop_map(
        |(uri, other, size, media_type, inline)| {
            let digest = digest(&inline, other);
            DataRef { uri, digest, size, media_type, inline }
        },
    )
}

/// The digest of a document, or any where there is none.
fn digest(inline: &Document, other: [u8; 32]) -> Digest {
    let is_inline = !inline.as_str().is_empty();
    if is_inline { Digest::of(inline.as_str().as_bytes()) } else { Digest(other) }
}

fn schema() -> impl Strategy<Value = Schema> {
    let dialect = of(Just(Dialect::JsonSchema));
    (of(uri()), document(), any::<[u8; 32]>(), dialect).prop_map(|(uri, inline, other, dialect)| {
        Schema { digest: digest(&inline, other), uri, inline, dialect }
    })
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let comparison =
        prop::sample::select(vec![Comparison::AnyOf, Comparison::NoneOf, Comparison::AllOf]);
    (name(), comparison, few(name())).prop_map(|(attribute, comparison, values)| Constraint {
        attribute,
        comparison,
        values,
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    (name(), any::<u64>(), of(name())).prop_map(|(name, amount, unit)| Resource {
        name,
        amount,
        unit,
    })
}

fn policy_ref() -> impl Strategy<Value = PolicyRef> {
    id().prop_map(|update| PolicyRef { update })
}

fn price() -> impl Strategy<Value = Price> {
    (any::<u64>(), name()).prop_map(|(amount, currency)| Price { amount, currency })
}

fn measure() -> impl Strategy<Value = Measure> {
    (name(), any::<i64>(), of(name())).prop_map(|(name, value, unit)| Measure { name, value, unit })
}

fn label() -> impl Strategy<Value = Label> {
    (name(), text()).prop_map(|(key, value)| Label { key, value })
}

fn capability() -> impl Strategy<Value = CapabilityTerms> {
    let head = (name(), name(), text(), few(name()), of(schema()), of(schema()));
    let tail = (few(constraint()), few(resource()), few(policy_ref()), few(measure()), of(price()));
    (head, tail, few(name())).prop_map(|(head, tail, side_effects)| {
        let (name, category, description, tags, input_schema, output_schema) = head;
        let (constraints, resources, policies, performance, cost) = tail;
        CapabilityTerms {
            name,
            category,
            description,
            tags,
            input_schema,
            output_schema,
            constraints,
            resources,
            policies,
            performance,
            cost,
            side_effects,
        }
    })
}

fn advertise() -> impl Strategy<Value = AdvertiseCapability> {
    prop_oneof![
        capability().prop_map(AdvertiseCapability::Publish),
        (id(), capability()).prop_map(|(capability, terms)| {
            AdvertiseCapability::Revise(CapabilityRevision { capability, terms })
        }),
        (id(), text()).prop_map(|(capability, reason)| {
            AdvertiseCapability::Retire(CapabilityRetirement { capability, reason })
        }),
    ]
}

fn discover() -> impl Strategy<Value = Discover> {
    let trust =
        (name(), few(agent())).prop_map(|(claim, issuers)| TrustCriterion { claim, issuers });
    let head = (of(schema()), of(schema()), of(name()), few(name()));
    (head, few(constraint()), few(resource()), of(price()), few(trust)).prop_map(
        |(
            (input_schema, output_schema, category, tags),
            constraints,
            resources,
            max_cost,
            trust,
        )| {
            Discover {
                input_schema,
                output_schema,
                category,
                tags,
                constraints,
                resources,
                max_cost,
                trust,
            }
        },
    )
}

fn intent_terms() -> impl Strategy<Value = IntentTerms> {
    use Selection::*;
    let selection = prop::sample::select(vec![
        ContractNet,
        EnglishAuction,
        SealedFirstPrice,
        Vickrey,
        Collaborative,
    ]);
    let privacy = prop::sample::select(vec![Privacy::Public, Privacy::Parties]);
    let head = (text(), of(name()), few(data()), of(schema()), few(constraint()));
    let tail = (few(policy_ref()), any::<u32>(), of(time()), few(measure()), few(label()));
    let auction = (time(), of(time()), any::<u64>(), of(price())).prop_map(
        |(bids_until_us, reveal_until_us, min_step, reserve)| Auction {
            bids_until_us,
            reveal_until_us,
            min_step,
            reserve,
        },
    );
    let work = (of(schema()), few(resource()), of(auction), few(name()), any::<u32>());
    let told = (head, tail, of(privacy), of(selection), work);
    told.prop_map(|(head, tail, privacy, selection, work)| {
        let (input_schema, resources, auction, parts, max_awards) = work;
        let (outcome, category, inputs, output_schema, constraints) = head;
        let (policies, priority, deadline_us, utility_weights, labels) = tail;
        IntentTerms {
            outcome,
            category,
            inputs,
            output_schema,
            constraints,
            policies,
            priority,
            deadline_us,
            utility_weights,
            privacy,
            selection,
            labels,
            input_schema,
            resources,
            auction,
            parts,
            max_awards,
        }
    })
}

fn intent() -> impl Strategy<Value = Intent> {
    prop_oneof![
        intent_terms().prop_map(Intent::Open),
        (id(), intent_terms())
            .prop_map(|(intent, terms)| Intent::Revise(IntentRevision { intent, terms })),
        (id(), text())
            .prop_map(|(intent, reason)| Intent::Cancel(IntentCancellation { intent, reason })),
    ]
}

fn offer() -> impl Strategy<Value = Offer> {
    let head = (id(), id(), of(id()), few(constraint()), few(resource()));
    let sealed = (of(any::<[u8; 32]>().prop_map(Digest)), few(name()));
    (head, any::<u64>(), few(policy_ref()), of(price()), of(time()), sealed).prop_map(
        |(head, estimated_duration_us, policies, price, valid_until_us, (commitment, covers))| {
            let (intent, capability, replaces, conditions, resources) = head;
            Offer {
                intent,
                capability,
                replaces,
                conditions,
                resources,
                estimated_duration_us,
                policies,
                price,
                valid_until_us,
                commitment,
                covers,
            }
        },
    )
}

fn negotiate() -> impl Strategy<Value = Negotiate> {
    prop_oneof![
        (id(), of(price()), any::<u64>(), few(constraint()), text()).prop_map(
            |(offer, price, duration_us, conditions, text)| {
                Negotiate::Counter(Counter { offer, price, duration_us, conditions, text })
            }
        ),
        (id(), text()).prop_map(|(offer, reason)| Negotiate::Decline(Decline { offer, reason })),
        (id(), text()).prop_map(|(offer, reason)| Negotiate::Withdraw(Withdraw { offer, reason })),
        (id(), text()).prop_map(|(task, reason)| {
            Negotiate::RequestCancellation(RequestCancellation { task, reason })
        }),
        (id(), price(), any::<[u8; 32]>()).prop_map(|(offer, price, salt)| {
            Negotiate::Reveal(Reveal { offer, price, salt: Digest(salt) })
        }),
    ]
}

fn deadlines() -> impl Strategy<Value = Deadlines> {
    (of(time()), of(time()), of(time()), any::<u64>()).prop_map(
        |(accept_by_us, start_by_us, done_by_us, heartbeat_us)| Deadlines {
            accept_by_us,
            start_by_us,
            done_by_us,
            heartbeat_us,
        },
    )
}

fn evaluation() -> impl Strategy<Value = Evaluation> {
    let candidate = (id(), few(measure()), any::<i64>(), of(name())).prop_map(
        |(offer, scores, total, disqualified)| Candidate { offer, scores, total, disqualified },
    );
    (name(), few(measure()), few(candidate), any::<u64>()).prop_map(
        |(method, weights, candidates, as_of)| Evaluation { method, weights, candidates, as_of },
    )
}

fn start() -> impl Strategy<Value = TaskStart> {
    let monitoring = (any::<u64>(), few(agent()), text()).prop_map(
        |(report_every_us, observers, instructions)| Monitoring {
            report_every_us,
            observers,
            instructions,
        },
    );
    let head = (id(), id(), any::<u32>(), few(label()), few(constraint()), few(policy_ref()));
    let tail =
        (of(monitoring), of(schema()), few(id()), of(id()), of(deadlines()), of(evaluation()));
    let pinned = (of(price()), of(any::<[u8; 32]>().prop_map(Digest)));
    (head, tail, pinned).prop_map(|(head, tail, (price, policy_set))| {
        let (intent, offer, attempt, parameters, constraints, policies) = head;
        let (monitoring, output_schema, depends_on, replaces, deadlines, evaluation) = tail;
        TaskStart {
            intent,
            offer,
            attempt,
            parameters,
            constraints,
            policies,
            monitoring,
            output_schema,
            depends_on,
            replaces,
            deadlines,
            evaluation,
            price,
            policy_set,
        }
    })
}

fn check() -> impl Strategy<Value = Check> {
    use CheckKind::*;
    let kind = prop::sample::select(vec![Schema, Policy, Resources, Inputs]);
    (kind, any::<bool>(), text()).prop_map(|(kind, passed, reason)| Check { kind, passed, reason })
}

fn progress() -> impl Strategy<Value = TaskProgress> {
    use ProgressState::*;
    let state = prop::sample::select(vec![
        Accepted,
        Running,
        BlockedInput,
        BlockedAuthorisation,
        BlockedPolicy,
    ]);
    let severity = prop::sample::select(vec![
        Severity::Info,
        Severity::Delay,
        Severity::Warning,
        Severity::Error,
    ]);
    let notice = (severity, name(), text()).prop_map(|(severity, code, text)| TaskNotice {
        severity,
        code,
        text,
    });
    let said = (state, any::<u32>(), of(time()), few(notice));
    (id(), said, few(data()), few(data()), (few(id()), few(check()))).prop_map(
        |(task, said, inputs, outputs, (depends_on, checks))| {
            let (state, percent, estimated_done_us, notices) = said;
            TaskProgress {
                task,
                state,
                percent,
                inputs,
                outputs,
                estimated_done_us,
                notices,
                depends_on,
                checks,
            }
        },
    )
}

fn done() -> impl Strategy<Value = TaskDone> {
    use Outcome::*;
    let outcome =
        prop::sample::select(vec![Succeeded, Failed, Rejected, Violated, Cancelled, Abandoned]);
    let result = (policy_ref(), any::<bool>(), text())
        .prop_map(|(policy, compliant, reason)| PolicyResult { policy, compliant, reason });
    let head = (id(), outcome, of(time()), of(time()), few(data()));
    (head, few(data()), few(result), text(), few(measure()), few(check())).prop_map(
        |(head, outputs, policy_results, reason, usage, checks)| {
            let (task, outcome, started_at_us, ended_at_us, inputs) = head;
            TaskDone {
                task,
                outcome,
                started_at_us,
                ended_at_us,
                inputs,
                outputs,
                policy_results,
                reason,
                usage,
                checks,
            }
        },
    )
}

fn attest() -> impl Strategy<Value = Attest> {
    let subject =
        prop_oneof![agent().prop_map(ClaimSubject::Agent), id().prop_map(ClaimSubject::Envelope)];
    prop_oneof![
        (subject, name(), text(), few(data()), of(time())).prop_map(
            |(subject, kind, statement, evidence, expires_at_us)| {
                Attest::Claim(Claim { subject, kind, statement, evidence, expires_at_us })
            }
        ),
        delegation().prop_map(Attest::Delegate),
        (agent(), text()).prop_map(|(successor, reason)| {
            Attest::RotateKey(KeyRotation { successor, reason })
        }),
        text().prop_map(|reason| Attest::RevokeKey(KeyRevocation { reason })),
        (id(), text()).prop_map(|(attestation, reason)| {
            Attest::Revoke(Revocation { attestation, reason })
        }),
    ]
}

fn delegation() -> impl Strategy<Value = Delegation> {
    let scope = prop::sample::select(vec![DelegationScope::Tasks, DelegationScope::Negotiation]);
    (agent(), of(id()), of(time()), few(scope), any::<u32>(), of(id())).prop_map(
        |(delegate, intent, expires_at_us, scopes, depth, of)| Delegation {
            delegate,
            intent,
            expires_at_us,
            scopes,
            depth,
            of,
        },
    )
}

fn policy() -> impl Strategy<Value = PolicyUpdate> {
    use PolicyAction::*;
    let scope = prop_oneof![
        agent().prop_map(PolicyScope::Agent),
        id().prop_map(PolicyScope::Capability),
        id().prop_map(PolicyScope::Intent),
    ];
    let action = prop::sample::select(vec![Activate, Amend, Revoke, Override]);
    let kind = prop::sample::select(vec![
        PolicyKind::Security,
        PolicyKind::Compliance,
        PolicyKind::ResourceLimits,
        PolicyKind::Governance,
    ]);
    let language = of(Just(PolicyLanguage::Cedar));
    (scope, name(), any::<u64>(), action, of(kind), document(), language).prop_map(
        |(scope, name, policy_version, action, kind, text, language)| PolicyUpdate {
            scope,
            name,
            policy_version,
            action,
            kind,
            text,
            language,
        },
    )
}

fn observe() -> impl Strategy<Value = Observe> {
    prop_oneof![
        id().prop_map(Observe::TaskStatus),
        trace().prop_map(Observe::Trace),
        id().prop_map(Observe::CoordinationGraph),
        (id(), name(), text()).prop_map(|(subject, state, text)| {
            Observe::Notice(StateNotice { subject, state, text })
        }),
    ]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        advertise().prop_map(Message::AdvertiseCapability),
        discover().prop_map(Message::Discover),
        intent().prop_map(Message::Intent),
        offer().prop_map(Message::Offer),
        negotiate().prop_map(Message::Negotiate),
        start().prop_map(|start| Message::TaskStart(Box::new(start))),
        progress().prop_map(Message::TaskProgress),
        done().prop_map(Message::TaskDone),
        attest().prop_map(Message::Attest),
        policy().prop_map(Message::PolicyUpdate),
        observe().prop_map(Message::Observe),
    ]
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let chain = (0..=u64::MAX, id());
    let origin = "[a-z0-9./-]{1,20}".prop_map(|text| Origin::new(text).expect("an origin"));
    (origin, agent(), chain, 0..=i64::MAX, of(trace()), few(id()), message()).prop_map(
        |(origin, author, (sequence, previous), issued_at, trace_id, causes, message)| Envelope {
            origin,
            author,
            author_sequence: AuthorSequence(sequence),
            previous: (sequence > 0).then_some(previous),
            issued_at_us: Time(issued_at),
            trace_id,
            causes,
            message,
        },
    )
}
