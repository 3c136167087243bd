//! Questions to the provenance graph.

use serde::Serialize;
use tally_api::MAX_MESSAGE_BYTES;
use tally_api::moment;
use tally_api::provenance::{cause, run, start, wire_answer};
use tally_api::v1::provenance_server::Provenance;
use tally_api::v1::{
    AsOf as WireAsOf, AtLeast, FlowSubject, GetAwardRequest, GetBlameRequest,
    GetBottlenecksRequest, GetDifferenceRequest, GetImpactRequest, GetKeysRequest,
    GetWhereaboutsRequest, GetWhyRequest, ProvenanceAnswer,
};
use tally_coordination::award::AwardsView;
use tally_node::Node;
use tally_protocol::{AsOf, EnvelopeId, Position, TreeSize};
use tally_provenance::{Start, Unanswered, View};
use tonic::{Request, Response, Status};

use crate::query::ANSWER_ROOM;
use crate::query::state;
use crate::status::{Answer, absent, invalid, too_large};

/// Most nodes and edges that a question walks: what fits into one message is far less, and nobody
/// else is kept waiting for long.
const MAX_PARTS: usize = 200_000;

pub(crate) struct Service {
    pub(crate) node: Node,
}

/// The events that an answer takes in.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    at_least: TreeSize,
    as_of: Option<AsOf>,
}

impl Moment {
    pub(crate) fn new(at_least: Option<AtLeast>, as_of: Option<WireAsOf>) -> Self {
        let at_least = TreeSize::new(at_least.unwrap_or_default().size);
        Self { at_least, as_of: moment(as_of) }
    }
}

/// Asks the graph at a moment, or as of all that was durable when the question came. The graph
/// follows the log: what it lacks is waited for, and a moment that the log has not reached is refused.
pub(crate) async fn ask_view<T>(
    node: &Node,
    Moment { at_least, as_of }: Moment,
    ask: impl FnOnce(View<'_>) -> Result<T, Unanswered>,
) -> Result<T, Status> {
    let head = node.snapshot().tip.size;
    let needed = match as_of {
        Some(AsOf::Size(size)) if size > head => {
            return Err(Answer::from(Unanswered::Beyond { size, head }).into());
        }
        Some(AsOf::Size(size)) => at_least.max(size),
        Some(AsOf::Time(_)) | None => at_least.max(head),
    };
    let answer = node
        .ask_graph(needed, |graph| {
            let view = as_of.map_or_else(|| Ok(graph.head()), |moment| graph.as_of(moment))?;
            ask(view.limited_to(MAX_PARTS))
        })
        .await;
    let answer = answer.map_err(|error| Status::from(Answer::from(error)))?;
    answer.map_err(|unanswered| Answer::from(unanswered).into())
}

impl Service {
    /// Asks the graph, and puts the answer into one message.
    async fn ask<T: Serialize>(
        &self,
        moment: Moment,
        what: &'static str,
        ask: impl FnOnce(View<'_>) -> Result<(Position, T), Unanswered>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let (as_of, answer) = ask_view(&self.node, moment, ask).await?;
        answered(as_of, &answer, what)
    }

    async fn ask_flow<T: Serialize>(
        &self,
        subject: Option<FlowSubject>,
        moment: Moment,
        what: &'static str,
        ask: impl FnOnce(View<'_>, &Start<'_>) -> Result<(Position, T), Unanswered>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let start = start(subject.as_ref())
            .map_err(|_| invalid("subject", "is required: data, a label or a task's id"))?;
        self.ask(moment, what, |view| ask(view, &start)).await
    }
}

fn answered(
    as_of: Position,
    answer: &impl Serialize,
    what: &'static str,
) -> Result<Response<ProvenanceAnswer>, Status> {
    let answer = wire_answer(as_of, answer);
    match answer.json.len() <= MAX_MESSAGE_BYTES - ANSWER_ROOM {
        true => Ok(Response::new(answer)),
        false => Err(too_large(what)),
    }
}

#[tonic::async_trait]
impl Provenance for Service {
    async fn get_why(
        &self,
        request: Request<GetWhyRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetWhyRequest { subject, as_of, at_least } = request.into_inner();
        let ask = |view: View<'_>, start: &Start<'_>| view.why(start).map(|why| (why.as_of, why));
        self.ask_flow(subject, Moment::new(at_least, as_of), "derivations", ask).await
    }

    async fn get_whereabouts(
        &self,
        request: Request<GetWhereaboutsRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetWhereaboutsRequest { subject, as_of, at_least } = request.into_inner();
        let ask = |view: View<'_>, start: &Start<'_>| {
            view.whereabouts(start).map(|found| (found.as_of, found))
        };
        self.ask_flow(subject, Moment::new(at_least, as_of), "whereabouts", ask).await
    }

    async fn get_blame(
        &self,
        request: Request<GetBlameRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetBlameRequest { subject, as_of, at_least } = request.into_inner();
        let ask =
            |view: View<'_>, start: &Start<'_>| view.blame(start).map(|blame| (blame.as_of, blame));
        self.ask_flow(subject, Moment::new(at_least, as_of), "blame", ask).await
    }

    async fn get_keys(
        &self,
        request: Request<GetKeysRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetKeysRequest { subject, as_of, at_least } = request.into_inner();
        let ask =
            |view: View<'_>, start: &Start<'_>| view.keys(start).map(|keys| (keys.as_of, keys));
        self.ask_flow(subject, Moment::new(at_least, as_of), "keys", ask).await
    }

    async fn get_impact(
        &self,
        request: Request<GetImpactRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetImpactRequest { cause: bad, as_of, at_least } = request.into_inner();
        let cause = cause(bad.as_ref()).map_err(|_| {
            invalid("cause", "is required: data, a task, an agent, a key or a policy")
        })?;
        let ask = |view: View<'_>| view.impact(&cause).map(|impact| (impact.as_of, impact));
        self.ask(Moment::new(at_least, as_of), "impact", ask).await
    }

    async fn get_award(
        &self,
        request: Request<GetAwardRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetAwardRequest { id, against, at_least, as_of } = request.into_inner();
        let read = |bytes: &[u8]| bytes.try_into().map(EnvelopeId);
        let id = read(&id).map_err(|_| invalid("id", "must have 32 bytes"))?;
        let against = (!against.is_empty()).then(|| read(&against)).transpose();
        let against = against.map_err(|_| invalid("against", "must have 32 bytes"))?;
        let state = state(&self.node, at_least, as_of).await?;
        let awards = AwardsView::of(&state, &id, against.as_ref());
        let awards = awards.ok_or_else(|| absent(&id))?;
        answered(awards.as_of, &awards, "award")
    }

    async fn get_difference(
        &self,
        request: Request<GetDifferenceRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetDifferenceRequest { first, second, as_of, at_least } = request.into_inner();
        let named = "is required: a trace, an intent or a task";
        let first = run(first.as_ref()).map_err(|_| invalid("first", named))?;
        let second = run(second.as_ref()).map_err(|_| invalid("second", named))?;
        let ask = |view: View<'_>| {
            view.difference(&first, &second).map(|difference| (difference.as_of, difference))
        };
        self.ask(Moment::new(at_least, as_of), "difference", ask).await
    }

    async fn get_bottlenecks(
        &self,
        request: Request<GetBottlenecksRequest>,
    ) -> Result<Response<ProvenanceAnswer>, Status> {
        let GetBottlenecksRequest { run: asked, as_of, at_least } = request.into_inner();
        let named = "is required: a trace, an intent or a task";
        let asked = run(asked.as_ref()).map_err(|_| invalid("run", named))?;
        let ask = |view: View<'_>| view.bottlenecks(&asked).map(|found| (found.as_of, found));
        self.ask(Moment::new(at_least, as_of), "bottlenecks", ask).await
    }
}
