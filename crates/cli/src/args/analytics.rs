//! What `tally sql`, `tally materialize` and the exports of tables can be told.

use std::path::PathBuf;

use clap::Args;

use super::AsOfArgs;

/// Most rows that a person is shown when nothing else is said.
const DEFAULT_ROWS: usize = 200;

/// Which tables.
#[derive(Debug, Args)]
pub(crate) struct TablesArgs {
    /// The ledger's data directory; a server may be at work on it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Where the tables are kept between two runs; in the data directory when nothing is said, or in
    /// memory when that can't be written.
    #[arg(long, value_name = "FILE")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The question, in the SQL of SQLite; `--schema` tells what there is.
    #[arg(value_name = "SELECT", conflicts_with = "file",
          required_unless_present_any = ["file", "schema"])]
    pub(crate) statement: Option<String>,

    /// Read the question from this file; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The ledger's data directory; a server may be at work on it.
    #[arg(long, value_name = "DIR", required_unless_present = "schema")]
    pub(crate) data: Option<PathBuf>,

    /// Where the tables are kept between two runs; in the data directory when nothing is said, or in
    /// memory when that can't be written.
    #[arg(long, value_name = "FILE")]
    pub(crate) cache: Option<PathBuf>,

    /// Print the tables and what each column means.
    #[arg(long, conflicts_with_all = ["statement", "file"])]
    pub(crate) schema: bool,

    /// Answer in CSV (RFC 4180).
    #[arg(long, conflicts_with_all = ["json", "schema"])]
    pub(crate) csv: bool,

    /// Most rows that are shown; JSON and CSV always have all.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ROWS)]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MaterializeArgs {
    /// The view's name, by which `tally sql` reads it.
    #[arg(value_name = "NAME", requires = "file",
          required_unless_present_any = ["list", "drop", "follow"])]
    pub(crate) name: Option<String>,

    /// What it is: one `SELECT`; or `CREATE TABLE IF NOT EXISTS name (…);` and statements that fold
    /// `new_events`, `new_tasks` … into it.
    #[arg(short, long, value_name = "FILE", requires = "name")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) tables: TablesArgs,

    /// Name all views, and the number of events that they are as of.
    #[arg(long, conflicts_with_all = ["name", "drop", "follow"])]
    pub(crate) list: bool,

    /// Drop a view.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "follow"])]
    pub(crate) drop: Option<String>,

    /// Keep all views up to date while the ledger grows, until Ctrl-C.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportTablesArgs {
    #[command(flatten)]
    pub(crate) tables: TablesArgs,

    /// Where the files are, or are to be.
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,

    /// Events of a whole part, for a new export.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) part_events: Option<u64>,
}
