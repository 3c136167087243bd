//! `tally-load`: load against a real server, with latencies, and the raw limits of the machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use tally_api::v1::GetHeadRequest;
use tally_api::v1::ledger_client::LedgerClient;
use tally_benches::origin;
use tally_load::raw::{self, Prepared};
use tally_load::rpc::{self, Session};
use tally_load::{EmptyServer, Failure, Load, Machine, Process, Served, Wanted, decode, scratch};
use tally_protocol::Origin;

/// Envelopes that are signed for each second of a closed loop: more than any server takes.
const ENVELOPES_A_SECOND: usize = 100_000;

/// How long each raw limit is measured.
const RAW_TIME: Duration = Duration::from_secs(2);

/// Load against a real server: envelopes of real workflows, signed ahead of time.
///
/// Exit codes: 0 measured · 1 not measured · 2 wrong usage.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Single calls in a closed loop: each client waits for its receipt.
    Unary {
        /// Calls in flight, each of a client with workflows of its own.
        #[arg(long, default_value_t = 64)]
        clients: usize,
        /// Connections that they share; one each when nothing is said.
        #[arg(long)]
        connections: Option<usize>,
        #[command(flatten)]
        common: Common,
    },
    /// Streams in a closed loop.
    Stream {
        /// Streams, each over its own connection.
        #[arg(long, default_value_t = 4)]
        streams: usize,
        /// Envelopes of a stream that may be without an answer.
        #[arg(long, default_value_t = 2_048)]
        window: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Streams in an open loop: latency counts from when each envelope was to be sent.
    Open {
        /// Streams, each over its own connection.
        #[arg(long, default_value_t = 4)]
        streams: usize,
        /// Envelopes a second.
        #[arg(long)]
        rate: f64,
        #[command(flatten)]
        common: Common,
    },
    /// The raw limits: signatures, the disk, an empty round trip; reading a ledger, if one is named.
    Raw {
        /// Different signers.
        #[arg(long, default_value_t = 16)]
        signers: usize,
        /// A data directory to read and decode.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Writes the payloads of a load to standard output, each behind its length as u32,
    /// big-endian: what other programs store for comparison.
    Payloads {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        envelopes: usize,
    },
    /// Answers empty calls, for `raw`.
    #[command(hide = true)]
    EmptyServer,
}

#[derive(Args)]
struct Common {
    /// Different signers; three for each client or stream at least.
    #[arg(long, default_value_t = 16)]
    signers: usize,
    /// How long.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// A server that runs; the program on an empty ledger in the build directory when nothing is
    /// said.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What the load follows from; a ledger takes each only once.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { what, json } = Arguments::parse();
    match run(what).await {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) if json => {
            println!("{answer:#}");
            ExitCode::SUCCESS
        }
        Ok(Some(answer)) => {
            print!("{}", table("", &answer));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(what: What) -> Result<Option<Value>, Failure> {
    match what {
        What::Unary { clients, connections, common } => {
            let connections = connections.unwrap_or(clients);
            let bench = Bench::ready(&common, clients, common.most()).await?;
            let session = rpc::unary(&bench.url, &bench.load, connections, common.time()).await?;
            let how = json!({ "mode": "unary", "clients": clients, "connections": connections });
            Ok(Some(bench.report(how, &session)))
        }
        What::Stream { streams, window, common } => {
            let bench = Bench::ready(&common, streams, common.most()).await?;
            let session = rpc::stream(&bench.url, &bench.load, window, common.time()).await?;
            let how = json!({ "mode": "stream", "streams": streams, "window": window });
            Ok(Some(bench.report(how, &session)))
        }
        What::Open { streams, rate, common } => {
            let bench = Bench::ready(&common, streams, rate * common.seconds).await?;
            let session = rpc::open(&bench.url, &bench.load, rate, common.time()).await?;
            let how = json!({ "mode": "open", "streams": streams, "asked_per_second": rate });
            Ok(Some(bench.report(how, &session)))
        }
        What::Raw { signers, data } => limits(signers, data).await.map(Some),
        What::Payloads { envelopes } => payloads(envelopes).map(|()| None),
        What::EmptyServer => tally_load::serve_empty().await.map(|()| None),
    }
}

impl Common {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// More envelopes than a closed loop can append.
    fn most(&self) -> f64 {
        self.seconds * ENVELOPES_A_SECOND as f64
    }
}

/// A server and what it is to append.
struct Bench {
    served: Option<Served>,
    url: String,
    load: Arc<Load>,
    before: Duration,
}

impl Bench {
    async fn ready(common: &Common, lanes: usize, envelopes: f64) -> Result<Self, Failure> {
        let (served, url, origin) = match &common.server {
            Some(url) => (None, url.clone(), origin_of(url).await?),
            None => {
                let served = Served::start(&origin())?;
                let url = served.url().to_owned();
                (Some(served), url, origin())
            }
        };
        let signers = common.signers.max(lanes * tally_benches::FEWEST_SIGNERS);
        let wanted = Wanted { signers, lanes, envelopes: envelopes as usize, seed: common.seed };
        let load = Arc::new(Load::sign(&origin, wanted));
        let before = served.as_ref().map(|served| served.process().cpu()).unwrap_or_default();
        Ok(Self { served, url, load, before })
    }

    fn report(self, mut how: Value, session: &Session) -> Value {
        let figures = json!({
            "signers": self.load.signers,
            "appended": session.appended,
            "seconds": session.elapsed.as_secs_f64(),
            "events_per_second": session.per_second(),
            "latency": session.latencies.summary(),
            "server_cpu_us_per_event": self.served.as_ref().map(|served| {
                let cpu = served.process().cpu() - self.before;
                cpu.as_secs_f64() * 1e6 / session.appended as f64
            }),
            "server_peak_resident_bytes":
                self.served.as_ref().map(|served| served.process().peak_resident_bytes()),
            "machine": Machine::here(),
        });
        for (key, figure) in figures.as_object().into_iter().flatten() {
            how[key] = figure.clone();
        }
        how
    }
}

/// Whose ledger a server has.
async fn origin_of(url: &str) -> Result<Origin, Failure> {
    let mut client = LedgerClient::connect(url.to_owned()).await?;
    let origin = client.get_head(GetHeadRequest {}).await?.into_inner().origin;
    origin.parse().map_err(|_| Failure::Refused(format!("the server's origin is {origin:?}")))
}

async fn limits(signers: usize, data: Option<PathBuf>) -> Result<Value, Failure> {
    let wanted = Wanted { signers, lanes: 1, envelopes: 16 * raw::BATCH, seed: 1 };
    let prepared = Prepared::new(&Load::sign(&origin(), wanted));
    let directory = scratch()?;
    let server = EmptyServer::start()?;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let data = data.as_deref();
    Ok(json!({
        "signers": signers,
        "signatures_on_one_core": prepared.rate(1, RAW_TIME),
        "signatures_on_all_cores": prepared.on_all_cores(RAW_TIME),
        "single_verification_us": us(prepared.single()),
        "fdatasync_us": us(raw::fdatasync(directory.path(), RAW_TIME)?),
        "empty_round_trip_us": us(raw::round_trip(&server.url, RAW_TIME).await?),
        "decode_on_one_core": data.map(|data| decode::rate(data, 1)).transpose()?,
        "decode_on_all_cores": data.map(decode::on_all_cores).transpose()?,
        "own_peak_resident_bytes": Process::own().peak_resident_bytes(),
        "machine": Machine::here(),
    }))
}

fn payloads(envelopes: usize) -> Result<(), Failure> {
    let load = Load::sign(&origin(), Wanted { signers: 16, lanes: 4, envelopes, seed: 1 });
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = load.write_payloads(&mut out).and_then(|()| out.flush());
    written.map_err(Failure::system("standard output"))
}

/// A value as lines of a name and a figure.
fn table(prefix: &str, value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                table(&name, value)
            })
            .collect(),
        Value::Null => String::new(),
        Value::Number(number) if number.is_f64() => {
            format!("{prefix:<44} {:>16.1}\n", number.as_f64().unwrap_or_default())
        }
        Value::String(text) => format!("{prefix:<44} {text:>16}\n"),
        other => format!("{prefix:<44} {other:>16}\n"),
    }
}
