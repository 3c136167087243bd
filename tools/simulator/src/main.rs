//! `tally-simulator`: crashes the store on a simulated disk until a promise breaks or it is enough.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tally_simulator::campaign::{Campaign, Subject, Summary};
use tally_simulator::disk::Fault;
use tally_simulator::plant::Plant;

/// Crashes the store on a simulated disk and judges what is left.
///
/// 100,000 crashes take about a minute; `--crashes 1000000` is for a night or a release. A seed that
/// fails is printed with the command that replays it: keep it in `seeds.txt`.
#[derive(Parser)]
struct Arguments {
    /// Crashes after which no further run begins.
    #[arg(long, default_value_t = 100_000)]
    crashes: u64,
    /// The first seed; runs take this and those after it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most runs.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    runs: u64,
    /// A bug to plant: skip-fdatasync, skip-dirsync, skip-mark, skip-copy-sync or ack-early.
    #[arg(long)]
    plant: Option<Plant>,
    /// Runs at once; as many as there are processors when not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs a node's sequencer and committer on the store, not the store by itself.
    #[arg(long)]
    sequencer: bool,
    /// Runs one seed and prints every call to the disk.
    #[arg(long)]
    trace: bool,
}

impl Arguments {
    fn subject(&self) -> Subject {
        if self.sequencer { Subject::Sequencer } else { Subject::Store }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace { trace(&arguments) } else { campaign(&arguments) }
}

fn trace(arguments: &Arguments) -> ExitCode {
    let report = arguments.subject().run(arguments.seed, arguments.plant, true);
    println!("{} groups, call log {:016x}", report.groups, report.call_hash);
    match report.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("violated: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(arguments: &Arguments) -> ExitCode {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let Arguments { seed, crashes, runs, plant, .. } = *arguments;
    let threads = arguments.threads.unwrap_or_else(processors);
    let begun = Instant::now();
    let subject = arguments.subject();
    let summary = Campaign { seed, crashes, runs, subject, plant, threads }.run();
    print(&summary, seed, begun.elapsed().as_secs_f64(), threads);
    let Some(failed) = summary.failed else { return ExitCode::SUCCESS };
    let violation = failed.violation.expect("a failed run");
    let mut more = plant.map_or(String::new(), |plant| format!(" --plant {plant}"));
    if arguments.sequencer {
        more.push_str(" --sequencer");
    }
    println!("seed {} failed: {violation}", failed.seed);
    println!(
        "replay: cargo run --release -p tally-simulator -- --seed {} --trace{more}",
        failed.seed
    );
    ExitCode::FAILURE
}

fn print(summary: &Summary, seed: u64, seconds: f64, threads: usize) {
    let Summary { runs, crashes, groups, refused, undecided, faults, .. } = summary;
    let Summary { copies, broken_copies, damaged_copies, .. } = summary;
    let last = seed.wrapping_add(runs.saturating_sub(1));
    println!(
        "{crashes} crashes in {seconds:.1} s on {threads} threads: {:.0} a second",
        *crashes as f64 / seconds
    );
    println!("seeds {seed} to {last}, {runs} runs, {groups} groups acknowledged");
    for fault in Fault::ALL {
        println!("{:>9}  {fault}", faults.of(fault));
    }
    println!("{refused:>9}  openings rightly refused because a bit had rotted");
    println!("{copies:>9}  copies of the log taken whole, {broken_copies} broken off");
    println!("{damaged_copies:>9}  copies in which a rotten bit was found");
    println!("{undecided:>9}  runs that ended at a sector torn inside");
}
