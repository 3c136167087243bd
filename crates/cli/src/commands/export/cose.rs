//! `tally export cose`: COSE receipts of inclusion, by the ledger's operator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tally_interop::{CoseKey, CoseReceipt, IssueError};
use tally_protocol::{EnvelopeId, Event, Position};
use tally_tlog::VerifierKey;

use super::lines::Lines;
use super::proofs::{SignedTree, events_in};
use crate::args::ExportCoseArgs;
use crate::commands::prove::{Wanted, event_in};
use crate::error::CliError;
use crate::keys::{cose_key_in, read_cose_key};
use crate::output::Output;
use crate::source::open_directory;

/// One receipt with what it is of: binary members are standard base64.
#[derive(Serialize)]
struct Line {
    position: Position,
    id: EnvelopeId,
    tree_size: u64,
    /// The entry of the leaf.
    event: String,
    /// The COSE_Sign1.
    receipt: String,
}

pub(super) fn run(args: &ExportCoseArgs, output: Output) -> Result<(), CliError> {
    let reader = open_directory(&args.data, output)?;
    let (tree, log_key) = SignedTree::open(&reader, &args.data, args.log_key.as_deref())?;
    let key = match &args.key {
        Some(path) => read_cose_key(path)?,
        None => cose_key_in(&args.data)?,
    };
    check_purpose(&key, &log_key)?;
    let mut lines = Lines::to(args.out.as_deref(), output)?;
    match args.event.as_deref().map(Wanted::parse).transpose()? {
        Some(wanted) => lines.write(&line(&event_in(&reader, &wanted)?, &tree, &key)?)?,
        None => {
            let each = |event: Event| lines.write(&line(&event, &tree, &key)?);
            events_in(&reader, output, each)?;
        }
    }
    lines.finish("COSE receipts", &[])
}

/// The same key under two rules would let one signature pass for another.
fn check_purpose(key: &CoseKey, log_key: &VerifierKey) -> Result<(), CliError> {
    if key.public_key().as_bytes() == log_key.public_key() {
        let what = "this is the key that signs the ledger's checkpoints, and each key has one use";
        return Err(CliError::Usage(format!("{what}; make another with `tally keygen --cose`")));
    }
    Ok(())
}

fn line(event: &Event, tree: &SignedTree, key: &CoseKey) -> Result<Line, CliError> {
    let proof = tree.inclusion(event)?;
    let receipt =
        CoseReceipt::issue(event, &proof, tree.head(), key).map_err(|error| match error {
            IssueError::TreeOfOne => CliError::Absent(error.to_string()),
            IssueError::Inclusion(_) => CliError::failed(event.position(), error),
        })?;
    Ok(Line {
        position: event.position(),
        id: receipt.envelope(),
        tree_size: receipt.size().as_u64(),
        event: STANDARD.encode(event.bytes()),
        receipt: STANDARD.encode(receipt.to_bytes()),
    })
}
