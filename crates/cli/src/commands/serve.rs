//! `tally serve`: a ledger that runs until it is told to stop.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tally_node::witnessing::Witnesses;
use tally_node::{Config, Node, metrics};
use tally_witness::Collector;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ServeArgs;
use crate::commands::verify::{read_checkpoints, read_policy};
use crate::error::CliError;
use crate::keys::{Identity, open_identity, own_agent};
use crate::output::Output;

/// Upper bounds of the histogram of commit times, seconds: from a fast disk to one that hangs.
const COMMIT_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// Longest wait for one answer of a witness.
const WITNESS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) async fn run(args: ServeArgs, output: Output) -> Result<(), CliError> {
    let origin = args.origin.as_deref();
    let identity = open_identity(&args.data, origin, args.log_key_file.as_deref())?;
    let seen = read_checkpoints(&args.seen)?;
    if let Some(address) = args.metrics {
        serve_metrics(address)?;
    }
    let witnesses =
        args.witness_policy.as_deref().map(|file| witnesses(file, &args)).transpose()?;
    let state_digest_every = NonZeroU64::new(args.state_digest_every);
    let own = |config| Config { seen, witnesses, state_digest_every, ..config };
    let node = open_node(&args.data, identity, own, output)?;
    let http = match args.http {
        Some(address) => Some(serve_http(&node, address).await?),
        None => None,
    };
    let (listener, address) = listen(args.listen).await?;
    let snapshot = node.snapshot();
    let started = json!({
        "url": format!("http://{address}"),
        "origin": snapshot.state.origin().to_string(),
        "log_key": node.log_key().to_string(),
        "size": snapshot.tip.size.as_u64(),
        "http": http.map(|address| format!("http://{address}")),
    });
    output.answer(&started, |_| {
        let tiles = http.map(|address| format!("tiles    http://{address}\n")).unwrap_or_default();
        format!(
            "ledger   {}\nlog key  {}\nsize     {}\n{tiles}serving  http://{address}   (Ctrl-C \
             stops it)",
            snapshot.state.origin(),
            node.log_key(),
            snapshot.tip.size
        )
    });
    tally_server::serve(node, listener, stop_signal())
        .await
        .map_err(|error| CliError::Failed(error.to_string()))
}

/// Takes an address to serve at, and says which it is.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CliError> {
    let failed =
        |error| CliError::failed(format!("{address} can't be listened on; try --listen"), error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The witnesses of a policy file, which must be reachable enough to make its quorum.
fn witnesses(file: &std::path::Path, args: &ServeArgs) -> Result<Witnesses, CliError> {
    let policy = read_policy(file)?;
    let reachable = policy.witnesses().iter().any(|witness| witness.url.is_some());
    if !reachable && !policy.needs_no_witness() {
        let file = file.display();
        return Err(CliError::Usage(format!("{file}: no witness has a URL to ask it at; add it")));
    }
    let collector = Collector::new(policy, WITNESS_TIMEOUT);
    Ok(Witnesses { collector, required: args.witnesses_required })
}

/// Opens a node as `own` would have it, with progress for people.
pub(crate) fn open_node(
    data: &std::path::Path,
    identity: Identity,
    own: impl FnOnce(Config) -> Config,
    output: Output,
) -> Result<Node, CliError> {
    let Identity { origin, signer } = identity;
    let agent = Some(own_agent(data)?);
    let config = own(Config { agent, ..Config::new(data.to_owned(), origin, signer) });
    let bar = output.progress("opening", 0);
    let node = Node::open(config, |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    })?;
    bar.finish_and_clear();
    Ok(node)
}

/// Serves the checkpoint and the tiles at this address for as long as the program runs, and says
/// which address it is.
pub(crate) async fn serve_http(node: &Node, address: SocketAddr) -> Result<SocketAddr, CliError> {
    let failed =
        |error| CliError::failed(format!("{address} can't serve tiles; try --http"), error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let source = Arc::new(node.clone());
    tokio::spawn(async move {
        if let Err(error) = tally_server::http::serve(source, listener).await {
            tracing::error!(%error, "tiles are no longer served");
        }
    });
    Ok(bound)
}

/// Installs the recorder that answers `GET /metrics` at this address.
pub(crate) fn serve_metrics(address: SocketAddr) -> Result<(), CliError> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets(&COMMIT_BUCKETS)
        .and_then(PrometheusBuilder::install)
        .map_err(|error| CliError::failed(format!("{address} can't serve metrics"), error))?;
    metrics::describe();
    Ok(())
}

/// Completes at the first SIGINT or SIGTERM.
pub(crate) async fn stop_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without signals only a kill ends the program.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
