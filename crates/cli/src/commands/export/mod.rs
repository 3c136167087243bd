//! `tally export`: the ledger as files that others read.
//!
//! Tiles are a directory; everything else is JSON lines, one for each envelope, receipt or event.

mod cose;
mod dsse;
mod in_toto;
mod lines;
mod proofs;
mod tiles;

use crate::args::{ExportArgs, ExportWhat};
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(args: ExportArgs, output: Output) -> Result<(), CliError> {
    match args.what {
        ExportWhat::Tiles(args) => tiles::run(&args, output),
        ExportWhat::Dsse(args) => dsse::run(args, output).await,
        ExportWhat::InToto(args) => in_toto::run(args, output).await,
        ExportWhat::Cose(args) => cose::run(&args, output),
    }
}
