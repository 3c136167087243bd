//! `tally export`: the ledger as files that others read.
//!
//! Tiles and tables are directories, PROV and OTLP one document; everything else is JSON lines, one for
//! each envelope, receipt or event. Formats that tell a history read the log from its first event on and
//! run every rule again: nothing follows from what a server or a disk says of it.

mod cloudevents;
mod cose;
mod dsse;
pub(super) mod history;
mod in_toto;
mod lines;
mod openlineage;
mod otlp;
mod proofs;
mod prov;
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
        ExportWhat::Prov(args) => prov::run(args, output).await,
        ExportWhat::Openlineage(args) => openlineage::run(args, output).await,
        ExportWhat::Cloudevents(args) => cloudevents::run(args, output).await,
        ExportWhat::Otlp(args) => otlp::run(args, output).await,
    }
}
