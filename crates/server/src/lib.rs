//! The gRPC server: handlers, the map from causes to status codes, health, reflection, shutdown.
//!
//! Beside it the static read path over plain HTTP ([`http`]): checkpoint and tiles.
//!
//! Handlers translate and nothing else: what is decided is decided in the node and by the rules.

pub mod http;
mod ledger;
mod projections;
mod proofs;
mod provenance;
mod query;
mod replication;
mod status;

use std::future::Future;
use std::time::Duration;

use tally_api::v1::ledger_server::LedgerServer;
use tally_api::v1::projections_server::ProjectionsServer;
use tally_api::v1::proofs_server::ProofsServer;
use tally_api::v1::provenance_server::ProvenanceServer;
use tally_api::v1::query_server::QueryServer;
use tally_api::v1::replication_server::ReplicationServer;
use tally_api::{
    CONNECTION_WINDOW_BYTES, DESCRIPTORS, FRAME_BYTES, MAX_MESSAGE_BYTES, MAX_QUESTION_BYTES,
    STREAM_WINDOW_BYTES,
};
use tally_node::Node;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::server::HealthReporter;

/// How long calls that are under way may go on after a shutdown was asked for.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How often the node's gauges are set.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("the server's transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors for reflection can't be read: the build is broken.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The ledger had to stop.
    #[error("the ledger stopped: {0}; start it again to recover")]
    Stopped(String),
}

/// Serves a node until `shutdown` completes, then finishes what is under way and closes the node.
///
/// # Errors
/// [`ServeError`] when the transport fails or the ledger had to stop.
pub async fn serve(
    node: Node,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (stopping_to, stopping) = watch::channel(false);
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, true).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let ledger = ledger::Service { node: node.clone(), stopping: stopping.clone() };
    let replication = replication::Service { node: node.clone(), stopping: stopping.clone() };
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(LedgerServer::new(ledger).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(
            ProofsServer::new(proofs::Service { node: node.clone() })
                .max_decoding_message_size(MAX_QUESTION_BYTES),
        )
        .add_service(
            ReplicationServer::new(replication).max_decoding_message_size(MAX_QUESTION_BYTES),
        )
        .add_service(
            QueryServer::new(query::Service { node: node.clone() })
                .max_decoding_message_size(MAX_QUESTION_BYTES),
        )
        .add_service(
            ProjectionsServer::new(projections::Service { node: node.clone() })
                .max_decoding_message_size(MAX_QUESTION_BYTES),
        )
        .add_service(
            ProvenanceServer::new(provenance::Service { node: node.clone() })
                .max_decoding_message_size(MAX_QUESTION_BYTES),
        );
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving");
    }

    let mut drained = stopping.clone();
    let graceful = async move {
        // An error means that the sender is gone, which ends the server as well.
        let _gone = drained.wait_for(|stopping| *stopping).await;
    };
    // Answers are small and awaited: waiting to fill a packet would cost 40 ms each.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut serving = Box::pin(router.serve_with_incoming_shutdown(incoming, graceful));
    let mut stopped = node.stopped();
    let reporting = tokio::spawn(report(node.clone()));
    let cause = tokio::select! {
        ended = &mut serving => { ended?; None }
        () = shutdown => None,
        cause = stopped.wait_for(Option::is_some) => cause.ok().and_then(|cause| cause.clone()),
    };
    reporting.abort();
    tracing::info!("shutting down");
    set_health(&health, false).await;
    stopping_to.send_replace(true);
    if tokio::time::timeout(SHUTDOWN_GRACE, &mut serving).await.is_err() {
        tracing::warn!(grace = ?SHUTDOWN_GRACE, "calls were still under way and are cut off");
    }
    drop(serving);
    node.shut_down().await;
    cause.map_or(Ok(()), |cause| Err(ServeError::Stopped(cause)))
}

async fn report(node: Node) {
    let mut ticks = tokio::time::interval(REPORT_INTERVAL);
    loop {
        ticks.tick().await;
        node.report();
    }
}

async fn set_health(health: &HealthReporter, serving: bool) {
    if serving {
        health.set_serving::<LedgerServer<ledger::Service>>().await;
        health.set_serving::<ProofsServer<proofs::Service>>().await;
        health.set_serving::<QueryServer<query::Service>>().await;
        health.set_serving::<ProvenanceServer<provenance::Service>>().await;
        health.set_serving::<ReplicationServer<replication::Service>>().await;
        health.set_serving::<ProjectionsServer<projections::Service>>().await;
    } else {
        health.set_not_serving::<LedgerServer<ledger::Service>>().await;
        health.set_not_serving::<ProofsServer<proofs::Service>>().await;
        health.set_not_serving::<QueryServer<query::Service>>().await;
        health.set_not_serving::<ProvenanceServer<provenance::Service>>().await;
        health.set_not_serving::<ReplicationServer<replication::Service>>().await;
        health.set_not_serving::<ProjectionsServer<projections::Service>>().await;
    }
}
