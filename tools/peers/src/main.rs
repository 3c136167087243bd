//! `tally-peers PAYLOADS`: how many rows a second other programs keep durably, on this machine.
//!
//! The payloads are those of `tally-load payloads`: each behind its length as u32, big-endian. What
//! is not installed is named with the command that installs it, and gives no figure.
//!
//! None of these programs checks a signature or a rule, or proves anything: what they share with a
//! ledger is that a row that was answered is on the disk.

mod failure;
mod nats;
mod payloads;
mod postgresql;
mod process;
mod sqlite;
#[cfg(feature = "umadb")]
mod umadb;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::payloads::Payloads;

/// Both are built with `protoc`: the server, and the client that is part of this program.
const INSTALL_UMADB: &str =
    "apt-get install protobuf-compiler; cargo install umadb; then build tally-peers again";

/// What other programs make of the same payloads on the same disk, as durably.
///
/// Exit codes: 0 measured, or named as not installed · 1 not measured · 2 wrong usage.
#[derive(Parser)]
struct Arguments {
    /// The payloads, as `tally-load payloads` writes them.
    payloads: PathBuf,
    /// Only these; all when nothing is said.
    #[arg(long)]
    only: Vec<Peer>,
    /// How long each way is measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where the databases are made: on the disk that is compared.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Postgresql,
    Nats,
    Sqlite,
    Umadb,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Nats => "nats",
            Self::Sqlite => "sqlite",
            Self::Umadb => "umadb",
        }
    }

    async fn measure(self, bench: &Bench) -> Result<Value, Failure> {
        match self {
            Self::Postgresql => postgresql::measure(bench).await,
            Self::Nats => nats::measure(bench),
            Self::Sqlite => sqlite::measure(bench),
            #[cfg(feature = "umadb")]
            Self::Umadb => umadb::measure(bench).await,
            #[cfg(not(feature = "umadb"))]
            Self::Umadb => {
                Err(Failure::Absent { what: "the client of UmaDB", install: INSTALL_UMADB })
            }
        }
    }
}

/// What is common to all.
struct Bench {
    payloads: Payloads,
    time: Duration,
    directory: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments).await {
        Ok(answer) if json => {
            println!("{answer:#}");
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            print(&answer);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let Arguments { payloads, only, seconds, directory, .. } = arguments;
    let payloads = Payloads::read(&payloads)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| Failure::Seconds(seconds))?;
    let bench = Bench { payloads, time, directory };
    let peers = if only.is_empty() { Peer::value_variants() } else { &only };
    let mut answer = Map::new();
    for peer in peers {
        let found = match peer.measure(&bench).await {
            Err(Failure::Absent { what, install }) => json!({ "absent": what, "install": install }),
            found => found?,
        };
        answer.insert(peer.name().to_owned(), found);
    }
    Ok(answer.into())
}

fn print(answer: &Value) {
    for (peer, figures) in answer.as_object().into_iter().flatten() {
        for (name, figure) in figures.as_object().into_iter().flatten() {
            match figure.as_f64() {
                Some(figure) => println!("{peer:<12} {name:<44} {figure:>12.0}"),
                None => println!("{peer:<12} {name:<44} {figure}"),
            }
        }
    }
}
