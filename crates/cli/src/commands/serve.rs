//! `tally serve`: a ledger that runs until it is told to stop.

use std::sync::Arc;

use serde_json::json;
use tally_node::{Config, Node, SystemClock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ServeArgs;
use crate::error::CliError;
use crate::keys::{Identity, open_identity};
use crate::output::Output;

pub(crate) async fn run(args: ServeArgs, output: Output) -> Result<(), CliError> {
    let origin = args.origin.as_deref();
    let identity = open_identity(&args.data, origin, args.log_key_file.as_deref())?;
    let node = open_node(&args.data, identity, output)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        CliError::failed(format!("{} can't be listened on; try --listen", args.listen), error)
    })?;
    let address = listener.local_addr().map_err(|error| CliError::failed("the listener", error))?;
    let snapshot = node.snapshot();
    let started = json!({
        "url": format!("http://{address}"),
        "origin": snapshot.state.origin().to_string(),
        "log_key": node.log_key().to_string(),
        "size": snapshot.tip.size.as_u64(),
    });
    output.answer(&started, |_| {
        format!(
            "ledger   {}\nlog key  {}\nsize     {}\nserving  http://{address}   (Ctrl-C stops it)",
            snapshot.state.origin(),
            node.log_key(),
            snapshot.tip.size
        )
    });
    tally_server::serve(node, listener, stop_signal())
        .await
        .map_err(|error| CliError::Failed(error.to_string()))
}

/// Opens a node, with progress for people.
pub(crate) fn open_node(
    data: &std::path::Path,
    identity: Identity,
    output: Output,
) -> Result<Node, CliError> {
    let Identity { origin, signer } = identity;
    let config = Config { data: data.to_owned(), origin, signer, clock: Arc::new(SystemClock) };
    let bar = output.progress("opening", 0);
    let node = Node::open(config, |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    })?;
    bar.finish_and_clear();
    Ok(node)
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
