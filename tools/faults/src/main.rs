//! `tally-faults`: real faults against the real server, until a promise breaks or it is enough.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tally_faults::{CANNOT, Failure, Report, full, kill, replay, strace};

/// Real faults against the real server.
///
/// Exit codes: 0 nothing was broken · 1 a promise was broken · 2 wrong usage · 77 the machine lacks
/// what this kind of fault needs, so that nothing was tested.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    attack: Attack,
}

#[derive(Subcommand)]
enum Attack {
    /// Kill the server under load and while it starts, again and again.
    Kill {
        /// Kills under load.
        #[arg(long, default_value_t = 500)]
        cycles: u64,
        /// Agents that load it.
        #[arg(long, default_value_t = 6)]
        clients: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Let one system call fail, be slow, or be the last.
    Strace {
        /// Most cases; all there are when nothing is said.
        #[arg(long)]
        cases: Option<usize>,
        /// Only cases with this in their name.
        #[arg(long, default_value = "", hide_default_value = true)]
        only: String,
        #[command(flatten)]
        common: Common,
    },
    /// Build a projection again from a long history while the ledger serves, with kills.
    Replay {
        /// Events of the history.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// Kills while it is built.
        #[arg(long, default_value_t = 5)]
        kills: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Fill the disk, and make space again.
    Full {
        /// This process is in namespaces of its own already.
        #[arg(long, hide = true)]
        inside: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// What everything follows from that this program chooses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the ledgers are made, each in a directory of its own; a temporary directory when
    /// nothing is said.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Excuse nothing: neither what is known to be broken, nor a full disk that stops the ledger.
    #[arg(long)]
    strict: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { attack } = Arguments::parse();
    match attack {
        Attack::Kill { cycles, clients, common } => kill(cycles, clients, &common),
        Attack::Strace { cases, only, common } => match strace::missing() {
            None => strace(cases, &only, &common),
            Some(why) => cannot("strace", &why),
        },
        Attack::Replay { events, kills, common } => replay(events, kills, &common),
        Attack::Full { inside: true, common } => fill(&common),
        Attack::Full { inside: false, common } => unshare(&common),
    }
}

fn kill(cycles: u64, clients: u64, common: &Common) -> ExitCode {
    common.run(
        cycles,
        |directory, progress| {
            let directory = directory.to_owned();
            let campaign = kill::Campaign { cycles, seed: common.seed, clients, directory };
            campaign.run(|summary| progress(summary.cycles, &kill_text(summary)))
        },
        kill_text,
    )
}

fn kill_text(summary: &kill::Summary) -> String {
    let kill::Summary {
        cycles,
        kills_during_start,
        ledgers,
        receipts,
        duplicates,
        hung,
        events,
        seconds,
    } = summary;
    let hung = match hung {
        0 => String::new(),
        hung => format!("; {hung} calls to a dead server did not end by themselves"),
    };
    let rate = (cycles + kills_during_start) as f64 / seconds;
    format!(
        "{cycles} kills under load and {kills_during_start} during start, {ledgers} ledgers, \
         {events} events, {receipts} receipts of which {duplicates} are duplicates; \
         {seconds:.1} s, {rate:.1} kills a second{hung}"
    )
}

fn replay(events: u64, kills: u64, common: &Common) -> ExitCode {
    common.run(
        events,
        |directory, progress| {
            let directory = directory.to_owned();
            let campaign = replay::Campaign { events, kills, seed: common.seed, directory };
            campaign.run(progress)
        },
        replay_text,
    )
}

fn replay_text(summary: &replay::Summary) -> String {
    let replay::Summary { events, kills, before, during, events_per_second, seconds, .. } = summary;
    let took = |name: &str, times: &replay::Latencies| {
        let replay::Latencies { appends, median_us, p99_us, longest_us } = times;
        format!(
            "\n{appends:>9}  appends {name}: median {median_us} µs, 99 % within {p99_us} µs, \
             longest {longest_us} µs"
        )
    };
    format!(
        "{events} events, {kills} kills, built in {seconds:.1} s with all starts, at most \
         {events_per_second:.0} events a second{}{}",
        took("before", before),
        took("during", during),
    )
}

fn strace(cases: Option<usize>, only: &str, common: &Common) -> ExitCode {
    let mut chosen = strace::choose(usize::MAX, common.seed);
    chosen.retain(|case| case.to_string().contains(only));
    chosen.truncate(cases.unwrap_or(usize::MAX));
    let total = chosen.len() as u64;
    common.run(
        total,
        |directory, progress| {
            let (cases, directory) = (chosen, directory.to_owned());
            let Common { seed, strict, .. } = *common;
            let campaign = strace::Campaign { cases, seed, strict, directory };
            campaign.run(|summary| progress(summary.cases as u64, &strace_text(summary)))
        },
        strace_text,
    )
}

fn strace_text(summary: &strace::Summary) -> String {
    let strace::Summary { cases, outcomes, receipts, seconds, .. } = summary;
    let outcomes = outcomes.iter().map(|(outcome, count)| format!("\n{count:>9}  {outcome}"));
    let outcomes: String = outcomes.collect();
    format!("{cases} faults, {receipts} receipts; {seconds:.1} s{outcomes}")
}

/// Runs this program again, in namespaces in which it may mount.
fn unshare(common: &Common) -> ExitCode {
    let probe = tempfile::tempdir().expect("a temporary directory");
    if let Some(why) = full::missing(probe.path()) {
        return cannot("a file system of its own", &why);
    }
    let own = std::env::current_exe().expect("this program's own path");
    let mut command: Command = full::unshare();
    command.arg(own).args(["full", "--inside", "--seed", &common.seed.to_string()]);
    command.args(common.strict.then_some("--strict")).args(common.json.then_some("--json"));
    if let Some(directory) = &common.directory {
        command.arg("--directory").arg(directory);
    }
    let status = command.status().expect("unshare ran just now");
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn fill(common: &Common) -> ExitCode {
    common.run(
        1,
        |directory, _| full::run(directory, common.seed, common.strict),
        |outcome| match outcome {
            Some(full::Outcome::Refused) => "a full disk: refused appends, and went on".to_owned(),
            Some(full::Outcome::Stopped) => "a full disk: stopped with an error".to_owned(),
            None => "a full disk: broke a promise".to_owned(),
        },
    )
}

fn cannot(what: &str, why: &str) -> ExitCode {
    eprintln!("not tested: this needs {what}, which can't be had here: {why}");
    ExitCode::from(CANNOT)
}

/// Told how far an attack is: the steps done, and a line about all so far.
type Progress<'a> = &'a mut dyn FnMut(u64, &str);

impl Common {
    /// Runs an attack of so many steps in a directory, which is kept when a promise was broken.
    fn run<T: Serialize>(
        &self,
        steps: u64,
        attack: impl FnOnce(&Path, Progress<'_>) -> Report<T>,
        text: impl Fn(&T) -> String,
    ) -> ExitCode {
        let mut place = tempfile::Builder::new();
        let place = place.prefix("tally-faults-");
        let place = match &self.directory {
            Some(directory) => place.tempdir_in(directory),
            None => place.tempdir(),
        };
        let place = place.expect("a directory to work in");
        let bar = self.bar(steps);
        let report = attack(place.path(), &mut |done, so_far| {
            bar.set_position(done);
            bar.set_message(so_far.to_owned());
        });
        bar.finish_and_clear();
        let excused = |failure: &Failure| !self.strict && failure.known.is_some();
        if self.json {
            println!("{}", json!(report));
        } else {
            println!("{}", text(&report.summary));
            for failure in &report.failures {
                let word = if excused(failure) { "known" } else { "broken" };
                println!("{word}: {failure}");
            }
        }
        if report.failures.iter().all(excused) {
            return ExitCode::SUCCESS;
        }
        let _kept = place.keep();
        ExitCode::FAILURE
    }

    /// A progress bar on standard error, for people only.
    fn bar(&self, steps: u64) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template("[{bar:30}] {pos}/{len}  {elapsed} (left {eta})\n{msg}")
                .expect("the template is fixed")
                .progress_chars("━╸ ");
        ProgressBar::new(steps).with_style(style)
    }
}
