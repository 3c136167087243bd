//! `tally demo`: a workflow played through a ledger of its own, by agents that are gRPC clients.
//!
//! The agents know each other only through the ledger: providers read intents from it, the
//! initiator reads offers from it. Everyone keeps the other half of the tally: the log receipts.

mod agents;
mod halves;
mod script;
mod show;
pub(crate) mod trace;

use std::path::Path;
use std::time::Instant;

use tally_client::{Client, Trust};
use tally_node::Node;
use tally_protocol::{TraceId, TreeSize};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::args::DemoArgs;
use crate::commands::serve::{open_node, stop_signal};
use crate::commands::verify::verify_directory;
use crate::demo::halves::Halves;
use crate::demo::script::Script;
use crate::demo::show::Played;
use crate::demo::trace::Trace;
use crate::error::CliError;
use crate::keys::open_identity;
use crate::output::Output;
use tally_verify::Verdict;

pub(crate) async fn run(args: DemoArgs, output: Output) -> Result<(), CliError> {
    let trace = match &args.trace {
        Some(path) => Trace::read(path)?,
        None => Trace::shipped(),
    };
    let script = Script::new(trace)?;
    let node =
        open_node(&args.data, open_identity(&args.data, None, None)?, |config| config, output)?;
    let listener = listen(&args).await?;
    let address = listener.local_addr().map_err(|error| CliError::failed("the listener", error))?;
    let url = format!("http://{address}");
    output.say(&format!(
        "playing {} ({} tasks, {} data references) on {url}, ledger in {}",
        script.name(),
        script.tasks().len(),
        script.data_count(),
        args.data.display()
    ));

    let (stop_to, stop) = oneshot::channel::<()>();
    let shutdown = async move {
        // A sender that is gone stops the server as well.
        let _asked = stop.await;
    };
    let serving = tokio::spawn(tally_server::serve(node.clone(), listener, shutdown));
    let played = play(script, &node, &args.data, &url, output).await;
    let finished = match played {
        Ok(played) => {
            output.answer(&played, Played::text);
            let valid = played.verdict == Verdict::Valid && played.completed;
            if !args.no_wait {
                output.say(&show::next_steps(&url, &args.data));
                stop_signal().await;
            }
            if valid { Ok(()) } else { Err(CliError::Negative(played.verdict.name())) }
        }
        Err(error) => Err(error),
    };
    // The receiver is gone only when the server has ended by itself.
    let _ended = stop_to.send(());
    let served = serving.await.map_err(|error| CliError::failed("the server", error))?;
    served.map_err(|error| CliError::Failed(error.to_string()))?;
    finished
}

async fn listen(args: &DemoArgs) -> Result<TcpListener, CliError> {
    if let Ok(listener) = TcpListener::bind(args.listen).await {
        return Ok(listener);
    }
    let mut any_port = args.listen;
    any_port.set_port(0);
    TcpListener::bind(any_port).await.map_err(|error| CliError::failed(any_port, error))
}

async fn play(
    script: Script,
    node: &Node,
    data: &Path,
    url: &str,
    output: Output,
) -> Result<Played, CliError> {
    let began = Instant::now();
    let trace_id = TraceId(rand::random());
    let halves = Halves::open(&data.join("receipts.jsonl"))?;
    let connect = async || -> Result<Client, CliError> {
        Ok(Client::connect(url, Trust::Key(node.log_key().clone())).await?)
    };
    let ending = agents::play(&script, trace_id, &halves, connect, output).await?;
    let size = node.snapshot().tip.size;
    let took = began.elapsed();

    let directory = data.to_owned();
    let key = node.log_key().clone();
    let verify = move || verify_directory(&directory, Some(key), Vec::new(), output);
    let report = tokio::task::spawn_blocking(verify)
        .await
        .map_err(|error| CliError::failed("verification", error))??;
    halves.compare(&**node.log())?;
    let workflow = node
        .ask_graph(TreeSize::new(size.as_u64()), |graph| graph.workflow(Some(trace_id)))
        .await
        .map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(Played::new(&script, &workflow, &report, &halves, &ending, took, url, data))
}
