//! Events to export, and the proof that they are in the log.

use std::path::Path;

use tally_node::history::READ_LIMIT;
use tally_protocol::{Event, Position, TreeSize};
use tally_store::{LogReader, SegmentReader, TreeReader};
use tally_tlog::{
    InclusionProof, LogProof, SignedCheckpoint, VerifiedCheckpoint, VerifierKey, inclusion_proof,
    root_at, verify_inclusion,
};

use crate::commands::prove::with_event;
use crate::error::CliError;
use crate::keys::{log_key_argument, log_key_in, parse_origin};
use crate::output::Output;
use crate::source::Source;

/// Gives every event to `each`, in log order.
pub(super) async fn events(
    source: &Source,
    output: Output,
    mut each: impl FnMut(Event) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let client = match source {
        Source::Server(client) => client,
        Source::Directory(reader) => return events_in(reader, output, each),
    };
    let size = client.head().await?.size;
    if size == TreeSize::ZERO {
        return Ok(());
    }
    let bar = output.progress("exporting", size.as_u64());
    let mut events = client.read(Position(0), Some(Position::at_tip(size))).await?;
    while let Some(event) = events.next().await? {
        each(event)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The same, of a directory.
pub(super) fn events_in(
    reader: &SegmentReader,
    output: Output,
    mut each: impl FnMut(Event) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let end = Position::at_tip(reader.tip().size);
    let bar = output.progress("exporting", end.0);
    let mut next = Position(0);
    while next < end {
        for event in reader.read(next, READ_LIMIT)? {
            next = event.position().next();
            each(event)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The tree of a directory under its last checkpoint, which is checked: the log's key has signed it,
/// and the tree has its root.
pub(super) struct SignedTree {
    tree: TreeReader,
    head: VerifiedCheckpoint,
}

impl SignedTree {
    /// Opens the tree; the key is `log.pub` in the directory when none is given.
    pub(super) fn open(
        reader: &SegmentReader,
        data: &Path,
        log_key: Option<&str>,
    ) -> Result<(Self, VerifierKey), CliError> {
        let key = match log_key {
            Some(key) => Some(log_key_argument(key)?),
            None => log_key_in(data)?,
        };
        let key = key.ok_or_else(|| {
            CliError::Usage(
                "no log key is known, and nothing unchecked is written: pass --log-key".into(),
            )
        })?;
        if reader.tip().size == TreeSize::ZERO {
            return Err(CliError::Absent("the ledger has no events, and so no proofs".into()));
        }
        let head = verified_head(reader, &key)?;
        let tree = TreeReader::open_read_only(&data.join("tree")).map_err(without_nodes)?;
        if root_at(&tree, head.size()).map_err(without_nodes)? != head.root() {
            let what = "the tree does not have the root that the last checkpoint signs";
            return Err(CliError::Failed(format!("{what}; run `tally fsck`")));
        }
        Ok((Self { tree, head }, key))
    }

    /// The checkpoint.
    pub(super) fn head(&self) -> &VerifiedCheckpoint {
        &self.head
    }

    /// The proof that an event is in the tree.
    pub(super) fn inclusion(&self, event: &Event) -> Result<InclusionProof, CliError> {
        let (index, size) = (event.position().leaf(), self.head.size());
        let proof = inclusion_proof(&self.tree, index, size).map_err(without_nodes)?;
        verify_inclusion(event.leaf(), index, size, &proof, self.head.root()).map_err(|error| {
            let what = format!("the event at position {}: {error}", event.position());
            CliError::Failed(format!("{what}; run `tally fsck`"))
        })?;
        Ok(proof)
    }

    fn log_proof(&self, event: &Event) -> Result<LogProof, CliError> {
        let proof = self.inclusion(event)?;
        LogProof::new(None, event.position().leaf(), proof, self.head.signed().clone())
            .map_err(|error| CliError::failed("the proof", error))
    }
}

fn verified_head(
    reader: &SegmentReader,
    key: &VerifierKey,
) -> Result<VerifiedCheckpoint, CliError> {
    let origin = parse_origin(key.name().as_str())?;
    let refused = |error: tally_tlog::CheckpointError| {
        CliError::Absent(format!("the log's last checkpoint: {error}"))
    };
    let signed = SignedCheckpoint::parse(&reader.checkpoint()).map_err(refused)?;
    let head = signed.open(std::slice::from_ref(key), &origin).map_err(refused)?;
    if head.size() == reader.tip().size {
        Ok(head)
    } else {
        Err(CliError::Failed(
            "the last checkpoint is not of the log's end; run `tally fsck`".into(),
        ))
    }
}

fn without_nodes(error: impl std::fmt::Display) -> CliError {
    CliError::failed("the tree's nodes can't be read; start the ledger to rebuild them", error)
}

/// Where log receipts come from.
pub(super) enum Proofs<'a> {
    Server(&'a tally_client::Client),
    Directory(Box<SignedTree>),
}

impl<'a> Proofs<'a> {
    pub(super) fn open(
        source: &'a Source,
        data: Option<&Path>,
        log_key: Option<&str>,
    ) -> Result<Self, CliError> {
        match source {
            Source::Server(client) => Ok(Self::Server(client)),
            Source::Directory(reader) => {
                let data = data.expect("a directory was given");
                Ok(Self::Directory(Box::new(SignedTree::open(reader, data, log_key)?.0)))
            }
        }
    }

    /// The log receipt of an event that was read, checked, with the event in it.
    pub(super) async fn receipt(&self, event: &Event) -> Result<LogProof, CliError> {
        let proof = match self {
            Self::Server(client) => {
                let receipt = client.receipt_at(event.position()).await?;
                if receipt.event() != event {
                    let what = "the ledger proves another event than it showed at position";
                    return Err(CliError::Absent(format!("{what} {}", event.position())));
                }
                receipt.proof().clone()
            }
            Self::Directory(tree) => tree.log_proof(event)?,
        };
        with_event(event, &proof)
    }
}
