//! Where answers come from: a running ledger, or a data directory read on its own.

use std::path::Path;

use tally_client::{Author, Client, Trust, judge};
use tally_coordination::{Change, State};
use tally_node::history::{self, READ_LIMIT, fold_state};
use tally_protocol::{AsOf, Event, Origin, Position, TreeSize};
use tally_store::{LogReader, SegmentReader};

use crate::args::{SourceArgs, WriterArgs};
use crate::error::CliError;
use crate::keys::{log_key_argument, read_agent_key};
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

/// Somebody who writes to a running ledger.
pub(crate) async fn author(args: &WriterArgs) -> Result<Author, CliError> {
    let key = read_agent_key(&args.key)?;
    Ok(connect(&args.url, args.log_key.as_deref()).await?.author(key))
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

impl Source {
    /// How many events an answer takes in: all, or what there was at that moment.
    pub(crate) async fn size_as_of(&self, as_of: Option<AsOf>) -> Result<TreeSize, CliError> {
        let head = match self {
            Self::Server(client) => client.head().await?.size,
            Self::Directory(reader) => reader.tip().size,
        };
        let size = match (as_of, self) {
            (None, _) => head,
            (Some(as_of), Self::Directory(reader)) => history::size_as_of(reader, as_of)?,
            (Some(as_of), Self::Server(client)) => client.size_as_of(as_of).await?,
        };
        if size > head {
            return Err(CliError::Absent(format!("the log has {head} events, not {size}")));
        }
        Ok(size)
    }

    /// The ledger's name.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Server(client) => client.origin().clone(),
            Self::Directory(reader) => reader.origin().clone(),
        }
    }

    /// The state at that moment: signatures and every rule are checked on the way, whoever the log
    /// comes from.
    pub(crate) async fn state_as_of(&self, as_of: Option<AsOf>) -> Result<State, CliError> {
        self.replay(as_of, |_, _| Ok(())).await
    }

    /// The same; `each` sees every event with the change that it made.
    pub(crate) async fn replay(
        &self,
        as_of: Option<AsOf>,
        mut each: impl FnMut(&Event, &Change) -> Result<(), CliError>,
    ) -> Result<State, CliError> {
        let size = self.size_as_of(as_of).await?;
        let end = Position::at_tip(size);
        let mut take = |state: &mut State, event: &Event| {
            let change = judge(state, event)?;
            each(event, &change)?;
            state.fold(change);
            Ok::<_, CliError>(())
        };
        match self {
            Self::Server(client) => {
                let mut state = State::new(client.origin().clone());
                if size > TreeSize::ZERO {
                    let mut events = client.read(Position(0), Some(end)).await?;
                    while let Some(event) = events.next().await? {
                        take(&mut state, &event)?;
                    }
                }
                Ok(state)
            }
            Self::Directory(reader) => {
                let mut state = State::new(reader.origin().clone());
                while state.next_position() < end {
                    for event in reader.read(state.next_position(), READ_LIMIT)? {
                        if event.position() < end {
                            take(&mut state, &event)?;
                        }
                    }
                }
                Ok(state)
            }
        }
    }
}
