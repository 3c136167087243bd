//! `tally`: run a ledger, write to it, ask it, and check it without trusting anyone.
//!
//! A library only so that the readers of files from outside can be reached by who tests them
//! ([`outside`]); the program is [`main`].
//!
//! Exit codes: 0 success, 1 a negative verdict or a refusal, 2 wrong usage, 3 something outside
//! (disk, network) failed.

mod args;
mod commands;
mod defaults;
mod demo;
mod error;
mod keys;
mod output;
pub mod outside;
mod source;
mod text;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::error::CliError;
use crate::output::Output;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    tally_node::use_ordinary_pages();
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    start_logs(&cli);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(cli, output)),
        Err(error) => Err(CliError::failed("the runtime could not start", error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    match cli.command {
        Command::Serve(args) => commands::serve::run(args, output).await,
        Command::Demo(args) => demo::run(args, output).await,
        Command::Keygen(args) => commands::keygen::run(args, output),
        Command::Submit(args) => commands::submit::run(args, output).await,
        Command::Log(args) => commands::log::run(args, output).await,
        Command::Catalog(args) => commands::objects::catalog(args, output).await,
        Command::Intent(args) => commands::objects::intent(args, output).await,
        Command::Task(args) => commands::objects::task(args, output).await,
        Command::Lineage(args) => commands::lineage::run(args, output).await,
        Command::Ask(args) => commands::ask::run(args, output).await,
        Command::Workflow(args) => commands::workflow::run(args, output).await,
        Command::Why(args) => commands::why::run(args, output).await,
        Command::Findings(args) => commands::findings::run(args, output).await,
        Command::Compliance(args) => commands::compliance::run(args, output).await,
        Command::Decisions(args) => commands::decisions::run(args, output).await,
        Command::Sql(args) => commands::sql::run(args, output).await,
        Command::Materialize(args) => commands::materialize::run(args, output).await,
        Command::Pursue(args) => commands::pursue::run(args, output).await,
        Command::Provide(args) => commands::provide::run(args, output).await,
        Command::Seal(args) => commands::seal::run(args, output),
        Command::Schema(args) => commands::schema::run(args, output),
        Command::Policy(args) => commands::policy::run(args, output),
        Command::Digest(args) => commands::digest::run(args, output).await,
        Command::Mirror(args) => commands::mirror::run(args, output).await,
        Command::Prove(args) => commands::prove::run(args, output).await,
        Command::Bundle(args) => commands::bundle::run(args, output).await,
        Command::Verify(args) => commands::verify::run(args, output).await,
        Command::Checkpoint(args) => commands::checkpoint::run(args, output).await,
        Command::Compare(args) => commands::compare::run(args, output).await,
        Command::Backup(args) => commands::backup::backup(args, output),
        Command::Restore(args) => commands::backup::restore(args, output),
        Command::Fsck(args) => commands::fsck::run(args, output),
        Command::Export(args) => commands::export::run(args, output).await,
        Command::Projection(args) => commands::projection::run(args, output).await,
        Command::Import(args) => commands::import::run(args, output).await,
        Command::CheckProv(args) => commands::check_prov::run(&args, output),
        Command::Witness(args) => commands::witness::run(args, output).await,
    }
}

/// Logs go to standard error: as JSON for programs, short for people.
fn start_logs(cli: &Cli) {
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log_level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A log that finds no room may not end what it tells of: a complaint about it would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if cli.json {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
