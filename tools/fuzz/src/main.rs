//! The program: feeds targets and reports how fast, how hungry and what broke.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tally_fuzz::{Plan, Rng, Stop, Summary, TARGETS, Target, check, corpus, fuzz, targets};

/// Feeds bytes to everything that reads bytes from outside. Everything follows from the seed.
#[derive(Debug, Parser)]
#[command(name = "tally-fuzz")]
struct Args {
    /// What to feed; everything when none is named.
    targets: Vec<String>,
    /// Inputs for each target.
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// Seconds for each target [default: 10].
    #[arg(long)]
    seconds: Option<u64>,
    /// What the inputs follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Gives these files to the one target named, and does nothing else.
    #[arg(long, num_args = 1.., conflicts_with_all = ["runs", "seconds"])]
    replay: Vec<PathBuf>,
    /// Writes valid inputs into the corpus, so many for each target, and does nothing else.
    #[arg(long, conflicts_with_all = ["runs", "seconds", "replay"])]
    make: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went well.
fn run(args: &Args) -> Result<bool, String> {
    let chosen = chosen(&args.targets)?;
    if let Some(count) = args.make {
        chosen.iter().try_for_each(|target| make(target, count, args.seed))?;
        return Ok(true);
    }
    if !args.replay.is_empty() {
        let [target] = chosen[..] else { return Err("name one target to replay".to_owned()) };
        return replay(target, &args.replay);
    }
    let stop = match (args.runs, args.seconds) {
        (Some(runs), _) => Stop::Runs(runs),
        (None, seconds) => Stop::After(Duration::from_secs(seconds.unwrap_or(10))),
    };
    let mut well = true;
    println!("{:18} {:>10} {:>9} {:>8}  most held at once", "target", "runs", "runs/s", "answers");
    for target in chosen {
        let kept = corpus::read(&corpus::directory(target)).map_err(|error| error.to_string())?;
        let kept: Vec<Vec<u8>> = kept.into_iter().map(|(_, input)| input).collect();
        let summary = fuzz(target, &kept, &Plan { seed: args.seed, stop });
        well &= report(target, &summary)?;
    }
    Ok(well)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        targets::named(name).ok_or_else(|| format!("no target {name}; there are {}", known()))
    };
    names.iter().map(find).collect()
}

fn report(target: &Target, summary: &Summary) -> Result<bool, String> {
    let (bytes, peak) = summary.hungriest;
    println!(
        "{:18} {:>10} {:>9.0} {:>8}  {peak} bytes for an input of {bytes}, limit {}",
        target.name,
        summary.runs,
        summary.runs as f64 / summary.elapsed.as_secs_f64(),
        summary.outcomes,
        target.memory.limit(bytes),
    );
    let Some(found) = &summary.found else { return Ok(true) };
    let path = corpus::keep_crash(target, &found.input).map_err(|error| error.to_string())?;
    println!("  {}\n  {}", found.failure, replay_command(target, &path));
    Ok(false)
}

fn replay_command(target: &Target, path: &Path) -> String {
    let path = path.strip_prefix(corpus::home()).unwrap_or(path);
    let path = Path::new("tools/fuzz").join(path);
    format!(
        "again: cargo run --release -p tally-fuzz -- {} --replay {}",
        target.name,
        path.display()
    )
}

fn replay(target: &Target, files: &[PathBuf]) -> Result<bool, String> {
    let mut well = true;
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        match check(target, &input) {
            Ok(ran) => {
                println!("{}: {:?}, {} bytes held", file.display(), ran.outcome, ran.peak_bytes);
            }
            Err(failure) => {
                println!("{}: {failure}", file.display());
                well = false;
            }
        }
    }
    Ok(well)
}

fn make(target: &Target, count: usize, seed: u64) -> Result<(), String> {
    let directory = corpus::directory(target);
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let mut rng = Rng::new(seed);
    for nth in 0..count {
        let path = directory.join(format!("made-{nth:02}"));
        std::fs::write(path, (target.make)(&mut rng)).map_err(|error| error.to_string())?;
    }
    Ok(())
}
