//! The tables of a ledger's history: found or made, and brought up to the end of the log.

use std::path::{Path, PathBuf};

use tally_analytics::materialize::{Definitions, View};
use tally_analytics::{
    ExportError, FoldError, NAME, OpenError, Opened, QueryError, Tables, VERSION, ViewError,
};
use tally_protocol::Position;
use tally_store::{LogReader, SegmentReader};

use crate::error::CliError;
use crate::output::Output;
use crate::source::open_directory;

/// The directory of what is folded from the log and kept beside it.
const PROJECTIONS: &str = "projections";

/// Tables with the log that they are of.
pub(crate) struct History {
    data: PathBuf,
    pub(crate) tables: Tables,
    pub(crate) definitions: Definitions,
    output: Output,
    /// How far the tables were when they were last brought up: other processes fold too.
    seen: Position,
}

impl History {
    /// Opens the tables, up to the end of the log, with all views.
    pub(crate) fn open(
        data: &Path,
        cache: Option<&Path>,
        output: Output,
    ) -> Result<Self, CliError> {
        let reader = open_directory(data, output)?;
        let tables = open_tables(data, cache, &reader, output)?;
        let directory = match cache {
            Some(cache) => cache.with_extension("views"),
            None => data.join(PROJECTIONS).join(format!("{NAME}.views")),
        };
        let definitions = Definitions::new(directory);
        let (data, seen) = (data.to_owned(), Position(0));
        let mut history = Self { data, tables, definitions, output, seen };
        history.catch_up(reader)?;
        Ok(history)
    }

    /// Looks at the log again, and folds what is new; whether the tables moved on since the last
    /// look, by whomever.
    pub(crate) fn follow(&mut self) -> Result<bool, CliError> {
        let before = self.seen;
        self.catch_up(open_directory(&self.data, self.output)?)?;
        Ok(self.seen != before)
    }

    fn catch_up(&mut self, reader: SegmentReader) -> Result<(), CliError> {
        // Another process may have seen more of the log by now.
        let is_behind = self.tables.cursor()? > Position::at_tip(reader.tip().size);
        let reader = if is_behind { open_directory(&self.data, self.output)? } else { reader };
        let bar = self.output.progress("folding", reader.tip().size.as_u64());
        let remade = self.tables.catch_up(&reader, &mut |at| bar.set_position(at.0))?;
        bar.finish_and_clear();
        if let Some(why) = remade {
            self.output.say(&format!("note: the tables were made anew: {why}"));
        }
        self.seen = self.tables.cursor()?;
        Ok(())
    }

    /// Brings the views up to the tables; those that can't be are named.
    pub(crate) fn refresh(&mut self) -> Result<Vec<View>, CliError> {
        let views = self.tables.refresh(&self.definitions)?;
        for View { name, error, .. } in &views {
            if let Some(error) = error {
                self.output.say(&format!("note: view {name} is not up to date: {error}"));
            }
        }
        Ok(views)
    }

    /// Throws damaged tables away and makes them again.
    pub(crate) fn remake(&mut self) -> Result<(), CliError> {
        self.output.say("note: the tables are damaged, and are made anew");
        self.tables.remake()?;
        self.catch_up(open_directory(&self.data, self.output)?)?;
        self.refresh().map(drop)
    }
}

/// Only a place that somebody named must be there: else memory will do.
fn open_tables(
    data: &Path,
    cache: Option<&Path>,
    reader: &SegmentReader,
    output: Output,
) -> Result<Tables, CliError> {
    let default = || data.join(PROJECTIONS).join(format!("{NAME}@{VERSION}.sqlite"));
    let path = cache.map_or_else(default, Path::to_owned);
    match Tables::open(&path, reader.origin()) {
        Ok((tables, Opened::Remade(why))) => {
            output.say(&format!("note: the tables are made anew: {why}"));
            Ok(tables)
        }
        Ok((tables, Opened::Kept | Opened::Made)) => Ok(tables),
        Err(error) if cache.is_none() => {
            let what =
                "the tables are made in memory, for this once; --cache names a place for them";
            output.say(&format!("note: {error}: {what}"));
            Ok(Tables::in_memory(reader.origin()))
        }
        Err(error) => Err(error.into()),
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<FoldError> for CliError {
    fn from(error: FoldError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::Wrong { .. }
            | QueryError::Writes(_)
            | QueryError::Count(_)
            | QueryError::SameName(_) => Self::Usage(text),
            QueryError::Beyond { .. } | QueryError::Interrupted => Self::Absent(text),
            QueryError::Damaged(_) | QueryError::Read(_) | QueryError::Output(_) => {
                Self::Failed(text)
            }
        }
    }
}

impl From<ViewError> for CliError {
    fn from(error: ViewError) -> Self {
        let text = error.to_string();
        match error {
            ViewError::Name { .. } => Self::Usage(text),
            ViewError::Absent(_) => Self::Absent(text),
            ViewError::File { .. } | ViewError::Engine(_) => Self::Failed(text),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        let text = error.to_string();
        match error {
            ExportError::Other { .. } => Self::Absent(text),
            ExportError::File { .. } | ExportError::Parquet { .. } | ExportError::Read(_) => {
                Self::Failed(text)
            }
        }
    }
}
