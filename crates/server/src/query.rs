//! What the log has come to. Every answer says the tree size it is as of.

use prost::Message as _;
use tally_api::provenance::filter;
use tally_api::v1::get_lineage_request::{Direction as WireDirection, Start as WireStart};
use tally_api::v1::get_workflow_request::Workflow as WireWorkflow;
use tally_api::v1::query_server::Query;
use tally_api::v1::{
    AsOf as WireAsOf, AtLeast, GetAgentRequest, GetAgentResponse, GetComplianceRequest,
    GetComplianceResponse, GetLineageRequest, GetLineageResponse, GetStateDigestRequest,
    GetStateDigestResponse, GetWorkflowRequest, GetWorkflowResponse, ListFindingsRequest,
    ListFindingsResponse, ListIntentsRequest, ListIntentsResponse, ListTasksRequest,
    ListTasksResponse, SearchCatalogRequest, SearchCatalogResponse, Selector as WireSelector,
};
use tally_api::{MAX_MESSAGE_BYTES, moment, search_scope};
use tally_coordination::State;
use tally_coordination::view::{
    self, AgentView, CatalogView, ComplianceView, FindingsView, Selector,
};
use tally_node::Node;
use tally_protocol::message::Discover;
use tally_protocol::{AgentId, EnvelopeId, TraceId, TreeSize};
use tally_provenance::{Direction, Lineage, LineageQuestion, NodeRef, Start, View};
use tonic::{Request, Response, Status};

use crate::provenance::{Moment, ask_view};
use crate::status::{Answer, absent, invalid, stopping, too_large};

pub(crate) struct Service {
    pub(crate) node: Node,
}

impl Service {
    async fn state(
        &self,
        at_least: Option<AtLeast>,
        as_of: Option<WireAsOf>,
    ) -> Result<State, Status> {
        state(&self.node, at_least, as_of).await
    }

    /// Asks a state what may take long: schemas and policies of many objects.
    async fn ask<T: Send + 'static>(
        &self,
        at_least: Option<AtLeast>,
        as_of: Option<WireAsOf>,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let state = self.state(at_least, as_of).await?;
        let asked = tokio::task::spawn_blocking(move || question(&state));
        asked.await.map_err(|_| stopping())
    }
}

/// The state at the head, once that holds so many events; or at an earlier moment.
pub(crate) async fn state(
    node: &Node,
    at_least: Option<AtLeast>,
    as_of: Option<WireAsOf>,
) -> Result<State, Status> {
    let snapshot = node.snapshot_at_least(size(at_least)).await.ok_or_else(stopping)?;
    let Some(as_of) = moment(as_of) else { return Ok(snapshot.state.clone()) };
    let node = node.clone();
    let earlier = move || {
        let size = node.size_as_of(as_of).map_err(|error| Box::new(error.into()))?;
        node.state_as_of(size).map_err(|error| Box::new(Answer::from(error)))
    };
    let state = tokio::task::spawn_blocking(earlier).await.map_err(|_| stopping())?;
    state.map_err(|answer: Box<Answer>| Status::from(*answer))
}

/// Room in a message for what is not the answer itself.
pub(crate) const ANSWER_ROOM: usize = 1024;

/// The size a caller waits for; a call's own deadline ends the wait.
fn size(at_least: Option<AtLeast>) -> TreeSize {
    TreeSize::new(at_least.unwrap_or_default().size)
}

#[tonic::async_trait]
impl Query for Service {
    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let GetAgentRequest { agent, at_least, as_of } = request.into_inner();
        let agent = AgentId::from_bytes(&agent)
            .map_err(|_| invalid("agent", "is no agent's key: 32 bytes of Ed25519"))?;
        let state = self.state(at_least, as_of).await?;
        Ok(Response::new(AgentView::of(&state, &agent).into()))
    }

    async fn search_catalog(
        &self,
        request: Request<SearchCatalogRequest>,
    ) -> Result<Response<SearchCatalogResponse>, Status> {
        let SearchCatalogRequest { criteria, at_least, searcher, capability, as_of } =
            request.into_inner();
        let scope = search_scope(&searcher, &capability).map_err(|_| {
            invalid("searcher", "is no agent's key, or capability no envelope's id")
        })?;
        let criteria = Discover::from_wire(criteria.unwrap_or_default());
        let criteria = criteria.map_err(Answer::from)?;
        let found = self
            .ask(at_least, as_of, move |state| CatalogView::of(state, &criteria, &scope))
            .await?;
        Ok(Response::new(found.into()))
    }

    async fn list_intents(
        &self,
        request: Request<ListIntentsRequest>,
    ) -> Result<Response<ListIntentsResponse>, Status> {
        let ListIntentsRequest { selector: wanted, at_least, as_of } = request.into_inner();
        let wanted = selector(wanted)?;
        let state = self.state(at_least, as_of).await?;
        let intents = view::intents(&state, &wanted);
        let as_of = state.next_position().0;
        let intents = intents.into_iter().map(Into::into).collect();
        Ok(Response::new(ListIntentsResponse { as_of, intents }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let ListTasksRequest { selector: wanted, at_least, as_of } = request.into_inner();
        let wanted = selector(wanted)?;
        let state = self.state(at_least, as_of).await?;
        let tasks = view::tasks(&state, &wanted);
        let as_of = state.next_position().0;
        let tasks = tasks.into_iter().map(Into::into).collect();
        Ok(Response::new(ListTasksResponse { as_of, tasks }))
    }

    async fn get_lineage(
        &self,
        request: Request<GetLineageRequest>,
    ) -> Result<Response<GetLineageResponse>, Status> {
        let request = request.into_inner();
        let direction = match request.direction() {
            WireDirection::Up => Direction::Up,
            WireDirection::Down => Direction::Down,
            WireDirection::Unspecified => return Err(invalid("direction", "must be up or down")),
        };
        let start = match &request.start {
            Some(WireStart::DataUri(uri)) => Start::DataUri(uri),
            Some(WireStart::TaskLabel(label)) => Start::TaskLabel(label),
            Some(WireStart::Task(id)) => {
                let id = id.as_slice().try_into().map(EnvelopeId);
                let id = id.map_err(|_| invalid("task", "must have 32 bytes"))?;
                Start::Node(NodeRef::Task(id))
            }
            None => return Err(invalid("start", "is required: a data URI, a label or a task")),
        };
        let question = LineageQuestion {
            direction,
            depth: (request.depth > 0).then_some(request.depth),
            filter: filter(request.filter)
                .map_err(|_| invalid("filter", "has an agent or a class that is none"))?,
        };
        let moment = Moment::new(request.at_least, request.as_of);
        let ask = |view: View<'_>| view.lineage(start, &question);
        let lineage = ask_view(&self.node, moment, ask).await?;
        let answer = wire_lineage(&lineage);
        if answer.encoded_len() > MAX_MESSAGE_BYTES - ANSWER_ROOM {
            return Err(too_large("lineage"));
        }
        Ok(Response::new(answer))
    }

    async fn get_workflow(
        &self,
        request: Request<GetWorkflowRequest>,
    ) -> Result<Response<GetWorkflowResponse>, Status> {
        let GetWorkflowRequest { workflow, at_least, as_of } = request.into_inner();
        let asked = match workflow {
            Some(WireWorkflow::TraceId(id)) => {
                let id = id.as_slice().try_into().map(TraceId);
                Ok(id.map_err(|_| invalid("trace_id", "must have 16 bytes"))?)
            }
            Some(WireWorkflow::Intent(id)) => {
                let id = id.as_slice().try_into().map(EnvelopeId);
                Err(id.map_err(|_| invalid("intent", "must have 32 bytes"))?)
            }
            None => return Err(invalid("workflow", "is required: a trace or an intent")),
        };
        let ask = |view: View<'_>| {
            Ok(match &asked {
                Ok(trace) => Some(view.workflow(Some(*trace))),
                Err(intent) => view.workflow_of(*intent),
            })
        };
        let workflow = ask_view(&self.node, Moment::new(at_least, as_of), ask).await?;
        let workflow = match (workflow, asked) {
            (Some(workflow), _) => workflow,
            (None, Err(intent)) => return Err(absent(&intent)),
            (None, Ok(_)) => return Err(invalid("trace_id", "is in no event of this ledger")),
        };
        let (json, dot) = (workflow.to_json().to_string(), workflow.to_dot());
        if json.len() + dot.len() > MAX_MESSAGE_BYTES - ANSWER_ROOM {
            return Err(too_large("workflow"));
        }
        Ok(Response::new(GetWorkflowResponse { as_of: workflow.as_of.0, json, dot }))
    }

    async fn get_compliance(
        &self,
        request: Request<GetComplianceRequest>,
    ) -> Result<Response<GetComplianceResponse>, Status> {
        let GetComplianceRequest { at_least, as_of } = request.into_inner();
        Ok(Response::new(self.ask(at_least, as_of, ComplianceView::of).await?.into()))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let ListFindingsRequest { agent, at_least, as_of } = request.into_inner();
        let agent = match agent.as_slice() {
            [] => None,
            bytes => Some(
                AgentId::from_bytes(bytes)
                    .map_err(|_| invalid("agent", "is no agent's key: 32 bytes of Ed25519"))?,
            ),
        };
        let found =
            self.ask(at_least, as_of, move |state| FindingsView::of(state, agent.as_ref())).await?;
        Ok(Response::new(found.into()))
    }

    async fn get_state_digest(
        &self,
        request: Request<GetStateDigestRequest>,
    ) -> Result<Response<GetStateDigestResponse>, Status> {
        let GetStateDigestRequest { at_least, as_of } = request.into_inner();
        let digest = |state: &State| (state.next_position().0, state.digest());
        let (as_of, digest) = self.ask(at_least, as_of, digest).await?;
        Ok(Response::new(GetStateDigestResponse { as_of, digest: digest.0.to_vec() }))
    }
}

fn selector(wire: Option<WireSelector>) -> Result<Selector, Status> {
    Selector::try_from(wire.unwrap_or_default())
        .map_err(|_| invalid("selector", "has an id that is not 32 bytes, or a bad label"))
}

fn wire_lineage(lineage: &Lineage) -> GetLineageResponse {
    let summary = lineage.summary();
    GetLineageResponse {
        as_of: lineage.as_of.0,
        tasks: summary.tasks,
        data: summary.data,
        edges: lineage.edges.iter().map(Into::into).collect(),
        dot: lineage.to_dot(),
    }
}
