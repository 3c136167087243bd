//! UmaDB on an empty database of its own: single appends and batches over gRPC, all durable.
//!
//! No append has a condition and no event has tags: what UmaDB is made for, appending only what
//! contradicts nothing, is not measured.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbEvent, DcbEventStoreAsync};

use crate::Bench;
use crate::failure::Failure;
use crate::payloads::Payloads;
use crate::process::{Running, find, free_port, patiently, version};

/// Clients that append single events, each on a connection of its own.
const CLIENTS: usize = 64;

/// Clients that append batches: the better of these counts.
const BATCHING: [usize; 2] = [1, 4];

/// Events of a batch.
const EVENTS: usize = 256;

pub(crate) async fn measure(bench: &Bench) -> Result<Value, Failure> {
    let Some(program) = find("umadb", &installed()) else {
        return Err(Failure::Absent { what: "UmaDB", install: crate::INSTALL_UMADB });
    };
    let single = rate(bench, &program, CLIENTS, 1).await?;
    let mut batches = (0.0, 0);
    for clients in BATCHING {
        let rate = rate(bench, &program, clients, EVENTS).await?;
        if rate > batches.0 {
            batches = (rate, clients);
        }
    }
    let (batches, clients) = batches;
    let settings = format!(
        "its defaults: fdatasync of a commit's pages, then of its header, before the answer; no \
         condition, no tags; batches by the better count of {BATCHING:?} clients, {clients}"
    );
    Ok(json!({
        "version": version(&program)?,
        "settings": settings,
        "batching_clients": clients,
        "insert_64_clients_events_per_second": single,
        "batches_of_256_events_per_second": batches,
    }))
}

/// Events a second of so many clients on an empty database, each of which waits for its answer.
async fn rate(
    bench: &Bench,
    program: &Path,
    clients: usize,
    events: usize,
) -> Result<f64, Failure> {
    let place = bench.directory.display().to_string();
    let directory = tempfile::tempdir_in(&bench.directory).map_err(Failure::system(place))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new(program);
    // It would take other settings from there.
    command.env_clear();
    command.args(["--listen", &address, "--db-path"]).arg(directory.path().join("uma.db"));
    let _server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    patiently(|| TcpStream::connect(&address).map_err(Failure::system("umadb")))?;

    let mut ready = Vec::new();
    for _ in 0..clients {
        let url = format!("http://{address}");
        ready.push(AsyncUmaDbClient::connect_with_tls_options(url, None, None, None).await?);
    }
    let payloads = Arc::new(bench.payloads.clone());
    let (began, end) = (Instant::now(), Instant::now() + bench.time);
    let mut tasks = JoinSet::new();
    for (number, client) in ready.into_iter().enumerate() {
        let payloads = Arc::clone(&payloads);
        tasks.spawn(async move { append(&client, &payloads, number * EVENTS, events, end).await });
    }
    let mut appended = 0;
    while let Some(ended) = tasks.join_next().await {
        appended += ended.expect("a client does not panic")?;
    }
    Ok(appended as f64 / began.elapsed().as_secs_f64())
}

/// Appends so many events at once until the end; how many in all.
async fn append(
    client: &AsyncUmaDbClient,
    payloads: &Payloads,
    place: usize,
    events: usize,
    end: Instant,
) -> Result<usize, Failure> {
    let mut payloads = payloads.from(place);
    let mut appended = 0;
    while Instant::now() < end {
        let batch = payloads.by_ref().take(events);
        let batch = batch.map(|payload| DcbEvent::new().event_type("event").data(&payload[..]));
        client.append(batch.collect(), None, None).await?;
        appended += events;
    }
    Ok(appended)
}

/// Where cargo puts programs, which is not on everyone's path.
fn installed() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    own.or(home).map(|cargo| cargo.join("bin")).into_iter().collect()
}
