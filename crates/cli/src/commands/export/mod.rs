//! `tally export`: the ledger as files that others read.
//!
//! Tiles and tables are directories; everything else is JSON lines, one for each envelope, receipt or event.

mod cose;
mod dsse;
mod in_toto;
mod lines;
mod proofs;
mod tables;
mod tiles;

use tally_analytics::export::Encoding;

use crate::args::{ExportArgs, ExportWhat};
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(args: ExportArgs, output: Output) -> Result<(), CliError> {
    match args.what {
        ExportWhat::Tiles(args) => tiles::run(&args, output),
        ExportWhat::Parquet(args) => tables::run(&args, Encoding::Parquet, output),
        ExportWhat::Jsonl(args) => tables::run(&args, Encoding::Jsonl, output),
        ExportWhat::Dsse(args) => dsse::run(args, output).await,
        ExportWhat::InToto(args) => in_toto::run(args, output).await,
        ExportWhat::Cose(args) => cose::run(&args, output),
    }
}
