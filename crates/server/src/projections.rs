//! How the projections are doing, and building them again.

use tally_api::v1::get_projection_audit_response::Quarantined as WireQuarantined;
use tally_api::v1::list_projections_response::Projection;
use tally_api::v1::projections_server::Projections;
use tally_api::v1::{
    CancelRebuildRequest, CancelRebuildResponse, GetProjectionAuditRequest,
    GetProjectionAuditResponse, ListProjectionsRequest, ListProjectionsResponse, ProjectionBuild,
    ProjectionStatus, RebuildProjectionRequest, RebuildProjectionResponse,
};
use tally_node::Node;
use tally_node::projections::{Build, ManageError, View};
use tally_projection::Status as Standing;
use tonic::{Request, Response, Status};

use crate::status::{Answer, stopping};

/// Most events in quarantine, and most lines of the audit trail, in one answer.
const MAX_LINES: usize = 1_000;

pub(crate) struct Service {
    pub(crate) node: Node,
}

impl Service {
    /// Runs what opens files on a thread that may wait.
    async fn manage<T: Send + 'static>(
        &self,
        manage: impl FnOnce(&Node) -> Result<T, ManageError> + Send + 'static,
    ) -> Result<T, Status> {
        let node = self.node.clone();
        let managed = tokio::task::spawn_blocking(move || manage(&node));
        Ok(managed.await.map_err(|_| stopping())?.map_err(Answer::from)?)
    }
}

#[tonic::async_trait]
impl Projections for Service {
    async fn list_projections(
        &self,
        _: Request<ListProjectionsRequest>,
    ) -> Result<Response<ListProjectionsResponse>, Status> {
        let projections = self.node.projections().list().into_iter().map(projection).collect();
        Ok(Response::new(ListProjectionsResponse { projections }))
    }

    async fn rebuild_projection(
        &self,
        request: Request<RebuildProjectionRequest>,
    ) -> Result<Response<RebuildProjectionResponse>, Status> {
        let name = request.into_inner().name;
        let build = self.manage(move |node| node.projections().rebuild(&name)).await?;
        Ok(Response::new(RebuildProjectionResponse { build: Some(wire(build)) }))
    }

    async fn cancel_rebuild(
        &self,
        request: Request<CancelRebuildRequest>,
    ) -> Result<Response<CancelRebuildResponse>, Status> {
        let name = request.into_inner().name;
        let build = self.manage(move |node| node.projections().cancel(&name)).await?;
        Ok(Response::new(CancelRebuildResponse { build: Some(wire(build)) }))
    }

    async fn get_projection_audit(
        &self,
        request: Request<GetProjectionAuditRequest>,
    ) -> Result<Response<GetProjectionAuditResponse>, Status> {
        let name = request.into_inner().name;
        let both = move |node: &Node| {
            let projections = node.projections();
            Ok((projections.quarantined(&name)?, projections.audit(&name)?))
        };
        let (quarantined, audit) = self.manage(both).await?;
        let quarantined = quarantined
            .into_iter()
            .take(MAX_LINES)
            .map(|event| WireQuarantined { position: event.position.0, reason: event.reason });
        let older = audit.len().saturating_sub(MAX_LINES);
        Ok(Response::new(GetProjectionAuditResponse {
            quarantined: quarantined.collect(),
            audit: audit.iter().skip(older).map(ToString::to_string).collect(),
        }))
    }
}

fn wire(build: Build) -> ProjectionBuild {
    ProjectionBuild { version: build.version, number: build.number }
}

fn projection(view: View) -> Projection {
    let (building, build_status) = view.building.unzip();
    let json = |end| serde_json::to_string(&end).expect("numbers and texts are JSON");
    Projection {
        name: view.name,
        serving: Some(wire(view.serving)),
        status: Some(view.status.map_or_else(frozen, status)),
        building: building.map(wire),
        build_status: build_status.map(status),
        last_build: view.last_build.map(json).unwrap_or_default(),
    }
}

fn frozen() -> ProjectionStatus {
    ProjectionStatus { stage: "frozen".into(), ..ProjectionStatus::default() }
}

fn status(status: Standing) -> ProjectionStatus {
    let unmoved = status.unmoved_since.elapsed().as_micros();
    ProjectionStatus {
        stage: status.stage.name().to_owned(),
        cursor: status.cursor.0,
        size: status.size.as_u64(),
        rate: status.rate,
        quarantined: status.quarantined,
        last_error: status.last_error.unwrap_or_default(),
        unmoved_us: u64::try_from(unmoved).unwrap_or(u64::MAX),
    }
}
