//! `tally export parquet` and `tally export jsonl`: the tables as files.

use std::path::Path;

use serde::Serialize;
use tally_analytics::export::{Encoding, Exported, MANIFEST, export};

use crate::args::analytics::ExportTablesArgs;
use crate::commands::tables::History;
use crate::error::CliError;
use crate::output::Output;

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    done: Exported,
    directory: &'a Path,
}

pub(super) fn run(
    args: &ExportTablesArgs,
    encoding: Encoding,
    output: Output,
) -> Result<(), CliError> {
    let tables = &args.tables;
    let history = History::open(&tables.data, tables.cache.as_deref(), output)?;
    let bar = output.progress("exporting", 0);
    let done = export(&history.tables, &args.out, encoding, args.part_events, &mut |at, of| {
        bar.set_length(of);
        bar.set_position(at);
    })?;
    bar.finish_and_clear();
    output.answer(&Answer { done, directory: &args.out }, |Answer { done, directory }| {
        let Exported { size, rows, files_written, files_kept } = done;
        let directory = directory.display();
        format!(
            "{directory}: {rows} rows of {size} events, {files_written} files written, {files_kept} \
             kept as they were; {directory}/{MANIFEST} says what is in them"
        )
    });
    Ok(())
}
