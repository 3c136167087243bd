//! `tally-growth`: what a ledger costs when it is long, as JSON and as an SVG.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tally_growth::{Failure, TAIL, grow, measure, svg};

/// What a ledger costs when it is long.
///
/// Exit codes: 0 measured · 1 not measured · 2 wrong usage.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Events at which costs are measured, growing.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    sizes: Vec<u64>,
    /// Where `growth.json` and `growth.svg` are written; the figures go to standard output when
    /// nothing is said.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Opens a ledger that is there, asks, and appends a signed tail to it.
    #[command(hide = true)]
    Measure {
        /// Its data directory.
        data: PathBuf,
        /// The tail.
        tail: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { sizes, out, part } = Arguments::parse();
    let before = [0].into_iter().chain(sizes.iter().map(|size| size + 2 * TAIL as u64));
    if part.is_none() && sizes.iter().zip(before).any(|(size, before)| *size <= before) {
        eprintln!("error: --sizes must grow, by more than {} each", 2 * TAIL);
        return ExitCode::from(2);
    }
    let ended = match part {
        Some(Part::Measure { data, tail }) => one(&data, &tail).await,
        None => all(&sizes, out.as_deref()).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn one(data: &Path, tail: &Path) -> Result<(), Failure> {
    println!("{}", serde_json::json!(measure(data, tail).await?));
    Ok(())
}

async fn all(sizes: &[u64], out: Option<&Path>) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(tally_load::Failure::system("this program"))?;
    let growth = grow(&own, sizes, |what| eprintln!("{what}")).await?;
    let json = format!("{:#}\n", serde_json::json!(growth));
    let Some(out) = out else {
        print!("{json}");
        return Ok(());
    };
    for (name, text) in [("growth.json", json), ("growth.svg", svg(&growth))] {
        let path = out.join(name);
        let failed = tally_load::Failure::system(path.display().to_string());
        std::fs::write(&path, text).map_err(failed)?;
    }
    Ok(())
}
