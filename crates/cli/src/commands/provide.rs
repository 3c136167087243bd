//! `tally provide`: a capability offered by the provider's role, its work done by a command.

use std::ffi::OsString;
use std::process::Stdio;

use serde_json::{Value, json};
use tally_client::Observer;
use tally_client::roles::{Delivery, Failure, Job, Provider, Quote, Worker};
use tally_protocol::message::CapabilityTerms;
use tally_protocol::parts::Name;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::args::ProvideArgs;
use crate::defaults::fill_in;
use crate::error::CliError;
use crate::output::Output;
use crate::source::author;
use crate::text::read_text;

/// Most of what a failed command said that is kept, in bytes.
const MAX_REASON_BYTES: usize = 2_000;

pub(crate) async fn run(args: ProvideArgs, output: Output) -> Result<(), CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::Usage(format!("{}: {error}", args.file.display()))
    };
    let mut terms: Value =
        serde_json::from_str(&read_text(&args.file)?).map_err(|error| wrong(&error))?;
    fill_in(&mut terms);
    let terms: CapabilityTerms = serde_json::from_value(terms).map_err(|error| wrong(&error))?;
    let media_type = Name::new(args.media_type)
        .map_err(|error| CliError::Usage(format!("--media-type: {error}")))?;
    let author = author(&args.writer).await?;
    output.say(&format!("{} offers {}   (Ctrl-C stops it)", author.agent(), terms.name));
    let observer = Observer::start(author.client().clone());
    let quote = Quote::new(&terms, args.price);
    let worker = CommandWorker { command: args.command, media_type };
    let provider = Provider::new(author, observer, vec![terms], quote, worker);
    tokio::select! {
        ended = provider.run() => Ok(ended?),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Runs a command for each task.
struct CommandWorker {
    command: Vec<OsString>,
    media_type: Name,
}

impl Worker for CommandWorker {
    async fn work(&self, job: Job) -> Result<Delivery, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let told = json!({
            "task": job.task.id,
            "intent": &*job.intent.terms,
            "parameters": &job.task.terms.parameters,
        });
        let [program, arguments @ ..] = self.command.as_slice() else {
            unreachable!("the arguments require a command");
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A task that is cancelled or given up ends its command.
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut input = child.stdin.take().expect("a pipe");
        let told = told.to_string();
        let (_, answer) = tokio::join!(
            // A command need not read what it is told.
            async move { drop(input.write_all(told.as_bytes()).await) },
            child.wait_with_output()
        );
        let answer = answer.map_err(|error| failed(&error))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            let end = said.floor_char_boundary(MAX_REASON_BYTES);
            return Err(Failure::Failed(format!("{}: {}", answer.status, said[..end].trim_end())));
        }
        let text = String::from_utf8(answer.stdout).map_err(|error| failed(&error))?;
        let made = job.output("output", self.media_type.clone(), text.trim_end());
        let made = made.map_err(|error| failed(&format!("its output: {error}")))?;
        Ok(Delivery { outputs: vec![made], usage: Vec::new() })
    }
}
