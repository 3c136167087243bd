//! Questions to the provenance graph. The answers are the server's word; whoever needs more reads
//! the log, folds it and asks the graph itself: the answers are of the same types.

use tally_api::provenance::{answer, wire_cause, wire_run, wire_start};
use tally_api::v1::{
    FlowSubject, GetAwardRequest, GetBlameRequest, GetBottlenecksRequest, GetDifferenceRequest,
    GetImpactRequest, GetKeysRequest, GetWhereaboutsRequest, GetWhyRequest,
};
use tally_api::wire_moment;
use tally_coordination::award::AwardsView;
use tally_protocol::{AsOf, EnvelopeId};
use tally_provenance::{
    Blame, Bottlenecks, Cause, Difference, Impact, Keys, Run, Start, Whereabouts, Why,
};

use crate::connection::Client;
use crate::error::Error;

/// Every question is asked at a moment, or as of the head. [`Error::Rejected`] says that the subject
/// is unknown, that the moment lies beyond the head, or that the answer is too large.
impl Client {
    /// What suffices to derive data, or for a task to have run.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn why(&self, start: &Start<'_>, as_of: Option<AsOf>) -> Result<Why, Error> {
        let (subject, as_of) = flow(start, as_of);
        let request = GetWhyRequest { subject, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_why(request).await?.into_inner())?)
    }

    /// Where data is said to be and came from.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn whereabouts(
        &self,
        start: &Start<'_>,
        as_of: Option<AsOf>,
    ) -> Result<Whereabouts, Error> {
        let (subject, as_of) = flow(start, as_of);
        let request = GetWhereaboutsRequest { subject, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_whereabouts(request).await?.into_inner())?)
    }

    /// Who signed what led to it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn blame(&self, start: &Start<'_>, as_of: Option<AsOf>) -> Result<Blame, Error> {
        let (subject, as_of) = flow(start, as_of);
        let request = GetBlameRequest { subject, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_blame(request).await?.into_inner())?)
    }

    /// Whose signatures must be believed for it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn keys(&self, start: &Start<'_>, as_of: Option<AsOf>) -> Result<Keys, Error> {
        let (subject, as_of) = flow(start, as_of);
        let request = GetKeysRequest { subject, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_keys(request).await?.into_inner())?)
    }

    /// What is affected by something bad.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn impact(&self, cause: &Cause<'_>, as_of: Option<AsOf>) -> Result<Impact, Error> {
        let (cause, as_of) = (Some(wire_cause(cause)), wire_moment(as_of));
        let request = GetImpactRequest { cause, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_impact(request).await?.into_inner())?)
    }

    /// Why offers were chosen for an intent or a task, and why the others, or this one, were not; as
    /// of the head.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn awards(
        &self,
        id: &EnvelopeId,
        against: Option<&EnvelopeId>,
        as_of: Option<AsOf>,
    ) -> Result<AwardsView, Error> {
        let against = against.map(|offer| offer.0.to_vec()).unwrap_or_default();
        let (id, as_of) = (id.0.to_vec(), wire_moment(as_of));
        let request = GetAwardRequest { id, against, at_least: None, as_of };
        Ok(answer(&self.provenance.clone().get_award(request).await?.into_inner())?)
    }

    /// How two runs differ.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn difference(
        &self,
        (first, second): (&Run, &Run),
        as_of: Option<AsOf>,
    ) -> Result<Difference, Error> {
        let (first, second) = (Some(wire_run(first)), Some(wire_run(second)));
        let as_of = wire_moment(as_of);
        let request = GetDifferenceRequest { first, second, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_difference(request).await?.into_inner())?)
    }

    /// Where the time of a workflow went.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn bottlenecks(&self, run: &Run, as_of: Option<AsOf>) -> Result<Bottlenecks, Error> {
        let (run, as_of) = (Some(wire_run(run)), wire_moment(as_of));
        let request = GetBottlenecksRequest { run, as_of, at_least: None };
        Ok(answer(&self.provenance.clone().get_bottlenecks(request).await?.into_inner())?)
    }
}

fn flow(
    start: &Start<'_>,
    as_of: Option<AsOf>,
) -> (Option<FlowSubject>, Option<tally_api::v1::AsOf>) {
    (Some(wire_start(start)), wire_moment(as_of))
}
