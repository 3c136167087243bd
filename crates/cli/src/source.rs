//! Where answers come from: a running ledger, or a data directory read on its own.

use std::path::Path;

use tally_client::{Client, Trust};
use tally_coordination::State;
use tally_node::history::fold_state;
use tally_store::SegmentReader;

use crate::args::SourceArgs;
use crate::error::CliError;
use crate::keys::log_key_argument;
use crate::output::Output;

/// A ledger to read.
pub(crate) enum Source {
    /// A running one.
    Server(Box<Client>),
    /// A directory.
    Directory(SegmentReader),
}

impl Source {
    pub(crate) async fn open(args: &SourceArgs, output: Output) -> Result<Self, CliError> {
        match &args.data {
            Some(data) => Ok(Self::Directory(open_directory(data, output)?)),
            None => connect(&args.url, args.log_key.as_deref())
                .await
                .map(|client| Self::Server(Box::new(client))),
        }
    }
}

pub(crate) async fn connect(url: &str, log_key: Option<&str>) -> Result<Client, CliError> {
    let trust = match log_key {
        Some(key) => Trust::Key(log_key_argument(key)?),
        None => Trust::FirstUse,
    };
    Ok(Client::connect(url, trust).await?)
}

pub(crate) fn open_directory(data: &Path, output: Output) -> Result<SegmentReader, CliError> {
    let bar = output.progress("reading", 0);
    let (reader, report) = SegmentReader::open_read_only(data, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_done);
    })?;
    bar.finish_and_clear();
    if let Some(cut) = &report.cut {
        output.say(&format!(
            "note: {} bytes behind the last commit were never acknowledged and are left out",
            cut.bytes
        ));
    }
    Ok(reader)
}

/// The state that a directory's log comes to.
pub(crate) fn state_of(reader: &SegmentReader) -> Result<State, CliError> {
    Ok(fold_state(reader)?)
}
