//! How a ledger's projections are doing, and building them again: for those who run it.

use tally_api::v1::{
    CancelRebuildRequest, GetProjectionAuditRequest, GetProjectionAuditResponse,
    ListProjectionsRequest, ListProjectionsResponse, RebuildProjectionRequest,
};

use crate::connection::Client;
use crate::error::Error;

impl Client {
    /// How each projection is doing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn projections(&self) -> Result<ListProjectionsResponse, Error> {
        let mut service = self.projections.clone();
        Ok(service.list_projections(ListProjectionsRequest {}).await?.into_inner())
    }

    /// Builds a projection again beside the one that is served.
    ///
    /// # Errors
    /// [`Error::Rejected`] when there is none of this name, or it is being built already.
    pub async fn rebuild_projection(&self, name: &str) -> Result<(), Error> {
        let request = RebuildProjectionRequest { name: name.to_owned() };
        self.projections.clone().rebuild_projection(request).await?;
        Ok(())
    }

    /// Gives up the build of a projection.
    ///
    /// # Errors
    /// [`Error::Rejected`] when it is not being built.
    pub async fn cancel_rebuild(&self, name: &str) -> Result<(), Error> {
        let request = CancelRebuildRequest { name: name.to_owned() };
        self.projections.clone().cancel_rebuild(request).await?;
        Ok(())
    }

    /// The events that a projection could not fold, and what became of its builds.
    ///
    /// # Errors
    /// [`Error::Rejected`] when there is none of this name.
    pub async fn projection_audit(&self, name: &str) -> Result<GetProjectionAuditResponse, Error> {
        let request = GetProjectionAuditRequest { name: name.to_owned() };
        let mut service = self.projections.clone();
        Ok(service.get_projection_audit(request).await?.into_inner())
    }
}
