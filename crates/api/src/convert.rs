//! Views and questions, to the wire and back.

use tally_coordination::compliance::NotCompliant;
use tally_coordination::view::{
    AgentView, AuctionView, CapabilityView, CatalogView, ComplianceView, FindingsView, IntentView,
    LateView, MatchView, NearMissView, OfferView, Scope, Selector, TaskView,
};
use tally_coordination::{Criterion, Finding, FindingKind, Object};
use tally_protocol::message::{CapabilityTerms, Evaluation, IntentTerms, Offer};
use tally_protocol::parts::{Label, Measure, Price};
use tally_protocol::{
    AgentId, AuthorSequence, Digest, EnvelopeId, Malformed, Position, Time, TraceId,
};
use tally_provenance::{Class, Direction, Edge, LineageQuestion};

use crate::v1;

/// An answer that does not say what its schema promises.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// A field is absent or has the wrong length.
    #[error("{0} has the wrong shape")]
    Shape(&'static str),
    /// A message inside it is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

fn id(bytes: &[u8], field: &'static str) -> Result<EnvelopeId, BadAnswer> {
    bytes.try_into().map(EnvelopeId).map_err(|_| BadAnswer::Shape(field))
}

fn optional_id(bytes: &[u8], field: &'static str) -> Result<Option<EnvelopeId>, BadAnswer> {
    if bytes.is_empty() { Ok(None) } else { id(bytes, field).map(Some) }
}

fn ids(list: &[Vec<u8>], field: &'static str) -> Result<Vec<EnvelopeId>, BadAnswer> {
    list.iter().map(|bytes| id(bytes, field)).collect()
}

fn agent(bytes: &[u8], field: &'static str) -> Result<AgentId, BadAnswer> {
    AgentId::from_bytes(bytes).map_err(|_| BadAnswer::Shape(field))
}

fn labels(wire: Vec<tally_protocol::wire::Label>) -> Result<Vec<Label>, Malformed> {
    wire.into_iter().map(Label::from_wire).collect()
}

fn optional_bytes(id: Option<EnvelopeId>) -> Vec<u8> {
    id.map(|id| id.0.to_vec()).unwrap_or_default()
}

fn digest_bytes(digest: Option<Digest>) -> Vec<u8> {
    digest.map(|digest| digest.0.to_vec()).unwrap_or_default()
}

fn optional_digest(bytes: &[u8], field: &'static str) -> Result<Option<Digest>, BadAnswer> {
    match bytes {
        [] => Ok(None),
        bytes => bytes.try_into().map(|it| Some(Digest(it))).map_err(|_| BadAnswer::Shape(field)),
    }
}

fn time(us: i64) -> Option<Time> {
    (us != 0).then_some(Time(us))
}

fn us(time: Option<Time>) -> i64 {
    time.map_or(0, |time| time.0)
}

fn each<A, B, E>(list: Vec<A>) -> Result<Vec<B>, E>
where
    B: TryFrom<A, Error = E>,
{
    list.into_iter().map(B::try_from).collect()
}

// ------------------------------------------------------------------ agents

impl From<AgentView> for v1::GetAgentResponse {
    fn from(view: AgentView) -> Self {
        Self {
            as_of: view.as_of,
            next_sequence: view.next_sequence.0,
            last: optional_bytes(view.last),
        }
    }
}

impl TryFrom<v1::GetAgentResponse> for AgentView {
    type Error = BadAnswer;

    fn try_from(wire: v1::GetAgentResponse) -> Result<Self, BadAnswer> {
        Ok(Self {
            as_of: wire.as_of,
            next_sequence: AuthorSequence(wire.next_sequence),
            last: optional_id(&wire.last, "last")?,
        })
    }
}

// ------------------------------------------------------------------ catalog

impl From<CapabilityView> for v1::CapabilityView {
    fn from(view: CapabilityView) -> Self {
        Self {
            id: view.id.0.to_vec(),
            root: view.root.0.to_vec(),
            owner: view.owner.as_bytes().to_vec(),
            terms: Some(view.terms.to_wire()),
            standing: view.standing,
            position: view.position.0,
            recorded_at_us: view.recorded_at_us.0,
        }
    }
}

impl TryFrom<v1::CapabilityView> for CapabilityView {
    type Error = BadAnswer;

    fn try_from(wire: v1::CapabilityView) -> Result<Self, BadAnswer> {
        Ok(Self {
            id: id(&wire.id, "capability.id")?,
            root: id(&wire.root, "capability.root")?,
            owner: agent(&wire.owner, "capability.owner")?,
            terms: CapabilityTerms::from_wire(
                wire.terms.ok_or(BadAnswer::Shape("capability.terms"))?,
            )?,
            standing: wire.standing,
            position: Position(wire.position),
            recorded_at_us: Time(wire.recorded_at_us),
        })
    }
}

impl From<CatalogView> for v1::SearchCatalogResponse {
    fn from(view: CatalogView) -> Self {
        use v1::search_catalog_response::{Criterion, Match, NearMiss};
        let found = |found: MatchView| Match {
            capability: Some(found.capability.into()),
            scores: found.scores.iter().map(Measure::to_wire).collect(),
        };
        let miss = |miss: NearMissView| NearMiss {
            capability: Some(miss.capability.into()),
            failed: miss
                .failed
                .into_iter()
                .map(|failed| Criterion {
                    field: failed.field,
                    found: failed.found,
                    path: failed.path,
                })
                .collect(),
        };
        Self {
            as_of: view.as_of,
            matches: view.matches.into_iter().map(found).collect(),
            near_misses: view.near_misses.into_iter().map(miss).collect(),
        }
    }
}

impl TryFrom<v1::SearchCatalogResponse> for CatalogView {
    type Error = BadAnswer;

    fn try_from(wire: v1::SearchCatalogResponse) -> Result<Self, BadAnswer> {
        let miss = |miss: v1::search_catalog_response::NearMiss| {
            let capability = miss.capability.ok_or(BadAnswer::Shape("near_miss.capability"))?;
            let failed = miss.failed.into_iter();
            Ok::<_, BadAnswer>(NearMissView {
                capability: capability.try_into()?,
                failed: failed
                    .map(|failed| Criterion {
                        field: failed.field,
                        path: failed.path,
                        found: failed.found,
                    })
                    .collect(),
            })
        };
        let found = |found: v1::search_catalog_response::Match| {
            let capability = found.capability.ok_or(BadAnswer::Shape("match.capability"))?;
            let scores = found.scores.into_iter().map(Measure::from_wire);
            Ok::<_, BadAnswer>(MatchView {
                capability: capability.try_into()?,
                scores: scores.collect::<Result<_, _>>()?,
            })
        };
        Ok(Self {
            as_of: wire.as_of,
            matches: wire.matches.into_iter().map(found).collect::<Result<_, _>>()?,
            near_misses: wire.near_misses.into_iter().map(miss).collect::<Result<_, _>>()?,
        })
    }
}

/// Who searches, and for what in particular, from the fields of the request.
///
/// # Errors
/// [`BadAnswer`] when an id has the wrong length.
pub fn search_scope(searcher: &[u8], capability: &[u8]) -> Result<Scope, BadAnswer> {
    let searcher = (!searcher.is_empty()).then(|| agent(searcher, "searcher")).transpose()?;
    Ok(Scope { searcher, capability: optional_id(capability, "capability")? })
}

// ------------------------------------------------------------------ compliance and findings

impl From<&Object> for v1::ObjectRef {
    fn from(object: &Object) -> Self {
        let (kind, id) = object.parts();
        Self { kind: kind.into(), id: id.to_vec() }
    }
}

fn object(wire: Option<v1::ObjectRef>) -> Result<Object, BadAnswer> {
    wire.and_then(|wire| Object::from_parts(&wire.kind, &wire.id)).ok_or(BadAnswer::Shape("object"))
}

impl From<ComplianceView> for v1::GetComplianceResponse {
    fn from(view: ComplianceView) -> Self {
        use v1::get_compliance_response::NotCompliant as Wire;
        let found = |found: &NotCompliant| Wire {
            object: Some((&found.object).into()),
            why: found.why.clone(),
            record: serde_json::to_string(&found.record).expect("a record is JSON"),
        };
        Self { as_of: view.as_of, not_compliant: view.not_compliant.iter().map(found).collect() }
    }
}

impl TryFrom<v1::GetComplianceResponse> for ComplianceView {
    type Error = BadAnswer;

    fn try_from(wire: v1::GetComplianceResponse) -> Result<Self, BadAnswer> {
        let found = |found: v1::get_compliance_response::NotCompliant| {
            let record = serde_json::from_str(&found.record);
            Ok::<_, BadAnswer>(NotCompliant {
                object: object(found.object)?,
                why: found.why,
                record: record.map_err(|_| BadAnswer::Shape("record"))?,
            })
        };
        let not_compliant = wire.not_compliant.into_iter().map(found).collect::<Result<_, _>>()?;
        Ok(Self { as_of: wire.as_of, not_compliant })
    }
}

impl From<FindingsView> for v1::ListFindingsResponse {
    fn from(view: FindingsView) -> Self {
        let finding = |finding: Finding| v1::list_findings_response::Finding {
            kind: finding.kind.name().into(),
            agent: finding.agent.as_bytes().to_vec(),
            object: Some((&finding.object).into()),
            event: finding.event.0.to_vec(),
            position: finding.position.0,
            found: finding.found,
        };
        Self { as_of: view.as_of, findings: view.findings.into_iter().map(finding).collect() }
    }
}

impl TryFrom<v1::ListFindingsResponse> for FindingsView {
    type Error = BadAnswer;

    fn try_from(wire: v1::ListFindingsResponse) -> Result<Self, BadAnswer> {
        let finding = |wire: v1::list_findings_response::Finding| {
            let kind = FindingKind::ALL.into_iter().find(|kind| kind.name() == wire.kind);
            Ok::<_, BadAnswer>(Finding {
                kind: kind.ok_or(BadAnswer::Shape("finding.kind"))?,
                agent: agent(&wire.agent, "finding.agent")?,
                object: object(wire.object)?,
                event: id(&wire.event, "finding.event")?,
                position: Position(wire.position),
                found: wire.found,
            })
        };
        let findings = wire.findings.into_iter().map(finding).collect::<Result<_, _>>()?;
        Ok(Self { as_of: wire.as_of, findings })
    }
}

// ------------------------------------------------------------------ intents and tasks

impl TryFrom<v1::Selector> for Selector {
    type Error = BadAnswer;

    fn try_from(wire: v1::Selector) -> Result<Self, BadAnswer> {
        Ok(Self {
            id: optional_id(&wire.id, "selector.id")?,
            label: wire.label.map(Label::from_wire).transpose()?,
            live: wire.live,
            limit: (wire.limit > 0).then_some(wire.limit as usize),
        })
    }
}

impl From<Selector> for v1::Selector {
    fn from(selector: Selector) -> Self {
        Self {
            id: optional_bytes(selector.id),
            label: selector.label.map(|label| label.to_wire()),
            live: selector.live,
            limit: selector.limit.map_or(0, |limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        }
    }
}

impl From<OfferView> for v1::OfferView {
    fn from(view: OfferView) -> Self {
        Self {
            id: view.id.0.to_vec(),
            provider: view.provider.as_bytes().to_vec(),
            terms: Some(view.terms.to_wire()),
            standing: view.standing,
            position: view.position.0,
            recorded_at_us: view.recorded_at_us.0,
            revealed: view.revealed.map(|price| price.to_wire()),
            policy_set: digest_bytes(view.policy_set),
        }
    }
}

impl TryFrom<v1::OfferView> for OfferView {
    type Error = BadAnswer;

    fn try_from(wire: v1::OfferView) -> Result<Self, BadAnswer> {
        Ok(Self {
            id: id(&wire.id, "offer.id")?,
            provider: agent(&wire.provider, "offer.provider")?,
            terms: Offer::from_wire(wire.terms.ok_or(BadAnswer::Shape("offer.terms"))?)?,
            standing: wire.standing,
            revealed: wire.revealed.map(Price::from_wire).transpose()?,
            policy_set: optional_digest(&wire.policy_set, "offer.policy_set")?,
            position: Position(wire.position),
            recorded_at_us: Time(wire.recorded_at_us),
        })
    }
}

impl From<AuctionView> for v1::AuctionView {
    fn from(view: AuctionView) -> Self {
        Self {
            mechanism: view.mechanism,
            phase: view.phase,
            winner: optional_bytes(view.winner),
            price: view.price.map(|price| price.to_wire()),
        }
    }
}

impl TryFrom<v1::AuctionView> for AuctionView {
    type Error = BadAnswer;

    fn try_from(wire: v1::AuctionView) -> Result<Self, BadAnswer> {
        Ok(Self {
            mechanism: wire.mechanism,
            phase: wire.phase,
            winner: optional_id(&wire.winner, "auction.winner")?,
            price: wire.price.map(Price::from_wire).transpose()?,
        })
    }
}

impl From<IntentView> for v1::IntentView {
    fn from(view: IntentView) -> Self {
        Self {
            id: view.id.0.to_vec(),
            root: view.root.0.to_vec(),
            author: view.author.as_bytes().to_vec(),
            terms: Some(view.terms.to_wire()),
            trace_id: view.trace_id.map(|trace| trace.0.to_vec()).unwrap_or_default(),
            standing: view.standing,
            offers: view.offers.into_iter().map(Into::into).collect(),
            auction: view.auction.map(Into::into),
            tasks: view.tasks.into_iter().map(Into::into).collect(),
            position: view.position.0,
            recorded_at_us: view.recorded_at_us.0,
        }
    }
}

impl TryFrom<v1::IntentView> for IntentView {
    type Error = BadAnswer;

    fn try_from(wire: v1::IntentView) -> Result<Self, BadAnswer> {
        let trace_id = match wire.trace_id.as_slice() {
            [] => None,
            bytes => {
                Some(TraceId(bytes.try_into().map_err(|_| BadAnswer::Shape("intent.trace_id"))?))
            }
        };
        Ok(Self {
            id: id(&wire.id, "intent.id")?,
            root: id(&wire.root, "intent.root")?,
            author: agent(&wire.author, "intent.author")?,
            terms: IntentTerms::from_wire(wire.terms.ok_or(BadAnswer::Shape("intent.terms"))?)?,
            trace_id,
            standing: wire.standing,
            offers: each(wire.offers)?,
            auction: wire.auction.map(TryInto::try_into).transpose()?,
            tasks: each(wire.tasks)?,
            position: Position(wire.position),
            recorded_at_us: Time(wire.recorded_at_us),
        })
    }
}

impl From<TaskView> for v1::TaskView {
    fn from(view: TaskView) -> Self {
        let late = |late: LateView| v1::task_view::Late {
            receipt: late.receipt.0.to_vec(),
            author: late.author.as_bytes().to_vec(),
            outcome: late.outcome,
            position: late.position.0,
        };
        Self {
            id: view.id.0.to_vec(),
            intent: view.intent.0.to_vec(),
            offer: view.offer.0.to_vec(),
            initiator: view.initiator.as_bytes().to_vec(),
            executor: view.executor.as_bytes().to_vec(),
            attempt: view.attempt,
            state: view.state,
            percent: view.percent,
            started_at_us: view.started_at_us.0,
            accepted_at_us: us(view.accepted_at_us),
            running_at_us: us(view.running_at_us),
            ended_at_us: us(view.ended_at_us),
            receipt: optional_bytes(view.receipt),
            replaces: optional_bytes(view.replaces),
            replaced_by: optional_bytes(view.replaced_by),
            depends_on: view.depends_on.iter().map(|id| id.0.to_vec()).collect(),
            labels: view.labels.iter().map(Label::to_wire).collect(),
            overdue: view.overdue,
            late: view.late.into_iter().map(late).collect(),
            evaluation: view.evaluation.map(|evaluation| evaluation.to_wire()),
            price: view.price.map(|price| price.to_wire()),
            policy_set: digest_bytes(view.policy_set),
            policies: view.policies.iter().map(|id| id.0.to_vec()).collect(),
            position: view.position.0,
        }
    }
}

impl TryFrom<v1::TaskView> for TaskView {
    type Error = BadAnswer;

    fn try_from(wire: v1::TaskView) -> Result<Self, BadAnswer> {
        let late = |late: v1::task_view::Late| {
            Ok::<_, BadAnswer>(LateView {
                receipt: id(&late.receipt, "task.late.receipt")?,
                author: agent(&late.author, "task.late.author")?,
                outcome: late.outcome,
                position: Position(late.position),
            })
        };
        Ok(Self {
            id: id(&wire.id, "task.id")?,
            intent: id(&wire.intent, "task.intent")?,
            offer: id(&wire.offer, "task.offer")?,
            initiator: agent(&wire.initiator, "task.initiator")?,
            executor: agent(&wire.executor, "task.executor")?,
            attempt: wire.attempt,
            state: wire.state,
            percent: wire.percent,
            started_at_us: Time(wire.started_at_us),
            accepted_at_us: time(wire.accepted_at_us),
            running_at_us: time(wire.running_at_us),
            ended_at_us: time(wire.ended_at_us),
            receipt: optional_id(&wire.receipt, "task.receipt")?,
            replaces: optional_id(&wire.replaces, "task.replaces")?,
            replaced_by: optional_id(&wire.replaced_by, "task.replaced_by")?,
            depends_on: ids(&wire.depends_on, "task.depends_on")?,
            labels: labels(wire.labels)?,
            overdue: wire.overdue,
            late: wire.late.into_iter().map(late).collect::<Result<_, _>>()?,
            evaluation: wire.evaluation.map(Evaluation::from_wire).transpose()?,
            price: wire.price.map(Price::from_wire).transpose()?,
            policy_set: optional_digest(&wire.policy_set, "task.policy_set")?,
            policies: ids(&wire.policies, "task.policies")?,
            position: Position(wire.position),
        })
    }
}

// ------------------------------------------------------------------ lineage

/// A question about lineage, on the wire.
pub fn lineage_request(
    start: v1::get_lineage_request::Start,
    question: &LineageQuestion,
) -> v1::GetLineageRequest {
    use v1::get_lineage_request::Direction as Wire;
    let direction = match question.direction {
        Direction::Up => Wire::Up,
        Direction::Down => Wire::Down,
    };
    v1::GetLineageRequest {
        start: Some(start),
        direction: direction.into(),
        depth: question.depth.unwrap_or(0),
        at_least: None,
        as_of: None,
        filter: Some(crate::provenance::wire_filter(&question.filter)),
    }
}

impl From<&Edge> for v1::get_lineage_response::Edge {
    fn from(edge: &Edge) -> Self {
        Self {
            from: edge.from.to_string(),
            relation: edge.relation.name().to_owned(),
            to: edge.to.to_string(),
            position: edge.position.0,
            class: match edge.class {
                Class::Asserted => "asserted",
                Class::Inferred => "inferred",
                Class::Imported => "imported",
            }
            .to_owned(),
        }
    }
}
