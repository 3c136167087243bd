//! `tally mirror`: a copy of somebody else's ledger that checks everything before it keeps it.

use std::sync::Arc;

use serde_json::json;
use tally_client::{Client, Error, Trust};
use tally_node::mirror::{Continues, Lost, Shown};
use tally_node::replica::Batch;
use tally_node::{Mirror, MirrorConfig, Node, Replica, Standing, SystemClock, Until, Upstream};
use tally_protocol::{Position, TreeSize};
use tally_tlog::VerifierKey;
use tokio::sync::{OnceCell, mpsc, watch};

use crate::args::MirrorArgs;
use crate::commands::serve::{listen, serve_http, serve_metrics, stop_signal};
use crate::error::CliError;
use crate::keys::{cosigner, log_key_argument, parse_origin, write_log_pub};
use crate::output::Output;

/// Messages of the writer that wait to be taken.
const MESSAGES_AHEAD: usize = 4;

pub(crate) async fn run(args: MirrorArgs, output: Output) -> Result<(), CliError> {
    let log_key = log_key_argument(&args.log_key)?;
    parse_origin(log_key.name().as_str())?;
    if args.data.join("log.key").exists() {
        let data = args.data.display();
        return Err(CliError::Usage(format!(
            "{data} has the key of a ledger that writes itself; mirror into another directory"
        )));
    }
    write_log_pub(&args.data, &log_key)?;
    let cosigner = cosigner(&args.data, "mirror", args.name.as_deref())?;
    let mirror_key = cosigner.verifier_key().to_string();
    let config = MirrorConfig {
        data: args.data.clone(),
        log_key: log_key.clone(),
        writer: args.from.clone(),
        cosigner: Some(cosigner),
        clock: Arc::new(SystemClock),
    };
    if let Some(address) = args.metrics {
        serve_metrics(address)?;
    }
    let bar = output.progress("opening", 0);
    let (node, replica) = Node::open_mirror(config, |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    })?;
    bar.finish_and_clear();
    let writer = Writer { url: args.from.clone(), log_key, client: OnceCell::new() };
    if args.once {
        return catch_up(writer, node, replica, output).await;
    }
    let http = match args.http {
        Some(address) => Some(serve_http(&node, address).await?),
        None => None,
    };
    let (listener, address) = listen(args.listen).await?;
    let snapshot = node.snapshot();
    let started = json!({
        "url": format!("http://{address}"),
        "writer": args.from,
        "origin": snapshot.state.origin().to_string(),
        "log_key": node.log_key().to_string(),
        "mirror_key": mirror_key,
        "size": snapshot.tip.size.as_u64(),
        "http": http.map(|address| format!("http://{address}")),
    });
    output.answer(&started, |_| {
        let tiles =
            http.map(|address| format!("tiles      http://{address}\n")).unwrap_or_default();
        format!(
            "mirror of  {}\nat         {}\nlog key    {}\nmirror key {mirror_key}\nsize       {}\n\
             {tiles}serving    http://{address}   (Ctrl-C stops it)",
            snapshot.state.origin(),
            args.from,
            node.log_key(),
            snapshot.tip.size
        )
    });
    drop(snapshot);
    let (stop_to, stop) = watch::channel(false);
    let mirror = Mirror::new(writer, node.clone(), replica);
    let mut following = tokio::spawn(mirror.run(Until::Stopped, stop));
    let failed = Arc::new(OnceCell::new());
    let failure = Arc::clone(&failed);
    let shutdown = async move {
        let ended = tokio::select! {
            ended = &mut following => ended,
            () = stop_signal() => {
                stop_to.send_replace(true);
                following.await
            }
        };
        if let Err(error) = ended.expect("a mirror panics only on a broken invariant") {
            // Set once, here.
            let _first = failure.set(error.to_string());
        }
    };
    tally_server::serve(node, listener, shutdown)
        .await
        .map_err(|error| CliError::Failed(error.to_string()))?;
    failed.get().map_or(Ok(()), |error| Err(CliError::Failed(error.clone())))
}

/// Fetches what the writer has signed now, and ends.
async fn catch_up(
    writer: Writer,
    node: Node,
    replica: Replica,
    output: Output,
) -> Result<(), CliError> {
    let (_stop_to, stop) = watch::channel(false);
    let mirror = Mirror::new(writer, node.clone(), replica);
    let bar = output.progress("mirroring", 0);
    let mut standing = mirror.standing();
    let mut snapshots = node.snapshots();
    let shown = bar.clone();
    let showing = tokio::spawn(async move {
        loop {
            tokio::select! {
                Ok(()) = standing.changed() => {
                    if let Standing::CatchingUp { writer } = *standing.borrow_and_update() {
                        shown.set_length(writer);
                    }
                }
                Ok(()) = snapshots.changed() => {
                    shown.set_position(snapshots.borrow_and_update().tip.size.as_u64());
                }
                else => return,
            }
        }
    });
    let ended = mirror.run(Until::Current, stop).await;
    showing.abort();
    bar.finish_and_clear();
    let standing = ended.map_err(|error| CliError::Failed(error.to_string()))?;
    let tip = node.snapshot().tip;
    node.shut_down().await;
    let answer = json!({
        "size": tip.size.as_u64(),
        "root": tip.root.to_base64(),
        "mirror": standing,
    });
    output.answer(&answer, |_| {
        format!("{} events checked and kept; {}\nroot {}", tip.size, standing.text(), tip.root)
    });
    match standing {
        Standing::Current => Ok(()),
        Standing::CatchingUp { .. } | Standing::Waiting { .. } => {
            Err(CliError::Failed(standing.text()))
        }
        Standing::WriterBehind { .. } | Standing::Refused { .. } | Standing::Forked { .. } => {
            Err(CliError::Negative("the writer is not to be trusted"))
        }
    }
}

/// The writer, over gRPC.
struct Writer {
    url: String,
    log_key: VerifierKey,
    client: OnceCell<Client>,
}

impl Writer {
    async fn client(&self) -> Result<&Client, Lost> {
        let connect = || Client::connect(&self.url, Trust::Key(self.log_key.clone()));
        self.client.get_or_try_init(connect).await.map_err(|error| Lost(error.to_string()))
    }
}

fn lost(error: Error) -> Lost {
    Lost(error.to_string())
}

impl Upstream for Writer {
    async fn head(&self) -> Result<Shown, Lost> {
        let (size, note) = self.client().await?.unverified_head().await.map_err(lost)?;
        Ok(Shown { size, note })
    }

    async fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Continues, Lost> {
        let claimed = self.client().await?.unverified_consistency(old, new).await;
        let (old_root, proof) = claimed.map_err(lost)?;
        Ok(Continues { old_root, proof })
    }

    async fn replicate(&self, from: Position) -> Result<mpsc::Receiver<Result<Batch, Lost>>, Lost> {
        let mut stream = self.client().await?.replicate(from).await.map_err(lost)?;
        let (to, batches) = mpsc::channel(MESSAGES_AHEAD);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = stream.next() => next,
                    () = to.closed() => return,
                };
                let batch = match next {
                    Ok(Some(message)) => Ok(Batch {
                        first: message.first,
                        events: message.events,
                        trees: message.trees,
                    }),
                    Ok(None) => return,
                    Err(error) => Err(lost(error)),
                };
                let broken = batch.is_err();
                if to.send(batch).await.is_err() || broken {
                    return;
                }
            }
        });
        Ok(batches)
    }
}
