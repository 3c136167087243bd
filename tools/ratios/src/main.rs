//! `tally-ratios`: every ratio that the ledger is held to, measured in one go.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tally_load::Machine;
use tally_ratios::{Peers, Suite};

/// The one of the program `tally`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How fast the ledger is against the raw limits of this machine, and against peers.
///
/// Exit codes: 0 measured, whatever came of it · 1 not measured · 2 wrong usage.
#[derive(Parser)]
struct Arguments {
    /// How long checking the signatures alone of each load takes; every path takes longer.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often each path is measured beside its limit.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The program `tally-peers`; without it no other program is compared with.
    #[arg(long, value_name = "PROGRAM")]
    peers: Option<PathBuf>,
    /// Sizes of a ledger that grows, events; one alone leaves the rows of growth out.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "100000,1000000")]
    growth: Vec<u64>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    // As the program `tally` does.
    tally_node::use_ordinary_pages();
    let Arguments { seconds, runs, peers, growth, json } = Arguments::parse();
    if seconds <= 0.0 || runs == 0 {
        eprintln!("error: --seconds and --runs must be more than 0");
        return ExitCode::from(2);
    }
    let suite = Suite { seconds, runs, peers: peers.map(Peers), growth };
    match suite.run(|what| eprintln!("{what}")).await {
        Ok(report) if json => {
            println!("{:#}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            let Machine { cpu, cores, avx512, commit, date } = Machine::here();
            let vectors = if avx512 { "AVX-512" } else { "no AVX-512" };
            println!(
                "{}\n\n{cpu}, {cores} cores, {vectors}; commit {commit}, {date}",
                report.table()
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
