//! `tally prove`: the log receipt of an event as a C2SP tlog-proof, with the event itself in the
//! `extra` line, so that the one file is all that a verifier needs beside the key.

use std::path::Path;

use serde_json::json;
use tally_protocol::{EnvelopeId, Event, Position, TreeSize};
use tally_store::{LogReader, SegmentReader, TreeReader};
use tally_tlog::{LogProof, SignedCheckpoint, inclusion_proof};

use crate::args::ProveArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::{Source, state_of};

pub(crate) async fn run(args: ProveArgs, output: Output) -> Result<(), CliError> {
    let wanted = Wanted::parse(&args.event)?;
    let (event, proof) = match Source::open(&args.source, output).await? {
        Source::Server(client) => {
            let receipt = match wanted {
                Wanted::Position(position) => client.receipt_at(position).await?,
                Wanted::Envelope(id) => client.receipt_of(&id).await?,
            };
            (receipt.event().clone(), receipt.proof().clone())
        }
        Source::Directory(reader) => {
            let data = args.source.data.as_deref().expect("a directory was given");
            prove(&reader, data, &wanted)?
        }
    };
    let file = with_event(&event, &proof)?.to_string();
    let position = event.position();
    let size = proof.checkpoint().unverified().size;
    match &args.out {
        None if output.is_json() => {
            output.line(&json!({ "position": position, "proof": file }).to_string());
        }
        None => output.line(file.trim_end()),
        Some(path) => {
            std::fs::write(path, &file).map_err(|e| CliError::failed(path.display(), e))?;
            let answer = json!({ "position": position, "tree_size": size.as_u64(), "file": path });
            output.answer(&answer, |_| {
                let path = path.display();
                format!(
                    "position {position} is in the tree of size {size}: {path}\ncheck it with: \
                     tally verify {path} --log-key KEY"
                )
            });
        }
    }
    Ok(())
}

/// An event that somebody asks for.
pub(crate) enum Wanted {
    Position(Position),
    Envelope(EnvelopeId),
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        let position = text.parse().map(Self::Position);
        position.or_else(|_| text.parse().map(Self::Envelope)).map_err(|_| {
            CliError::Usage(format!(
                "{text:?} is neither a position nor an envelope id of 64 hexadecimal digits"
            ))
        })
    }
}

/// The event, from wherever it is asked for.
pub(crate) async fn event_of(source: &Source, wanted: &Wanted) -> Result<Event, CliError> {
    match (source, wanted) {
        (Source::Server(client), Wanted::Position(position)) => {
            Ok(client.receipt_at(*position).await?.event().clone())
        }
        (Source::Server(client), Wanted::Envelope(id)) => {
            Ok(client.receipt_of(id).await?.event().clone())
        }
        (Source::Directory(reader), wanted) => event_in(reader, wanted),
    }
}

/// The event, from a directory.
pub(crate) fn event_in(reader: &SegmentReader, wanted: &Wanted) -> Result<Event, CliError> {
    let position = match wanted {
        Wanted::Position(position) => *position,
        Wanted::Envelope(id) => state_of(reader)?
            .position_of(id)
            .ok_or_else(|| CliError::Absent(format!("envelope {id} is not in this ledger")))?,
    };
    Ok(reader.event(position)?)
}

fn prove(
    reader: &SegmentReader,
    data: &Path,
    wanted: &Wanted,
) -> Result<(Event, LogProof), CliError> {
    let size = reader.tip().size;
    let event = event_in(reader, wanted)?;
    let position = event.position();
    let checkpoint = SignedCheckpoint::parse(&reader.checkpoint())
        .map_err(|error| CliError::failed("the log's last checkpoint", error))?;
    let proof = tree_proof(data, position, size)?;
    let proof = LogProof::new(None, position.leaf(), proof, checkpoint)
        .map_err(|error| CliError::failed("the proof", error))?;
    Ok((event, proof))
}

fn tree_proof(
    data: &Path,
    position: Position,
    size: TreeSize,
) -> Result<tally_tlog::InclusionProof, CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::failed("the tree's nodes can't be read; start the ledger to rebuild them", error)
    };
    let tree = TreeReader::open_read_only(&data.join("tree")).map_err(|error| failed(&error))?;
    inclusion_proof(&tree, position.leaf(), size).map_err(|error| failed(&error))
}

/// The same proof with the event in its `extra` line.
pub(crate) fn with_event(event: &Event, proof: &LogProof) -> Result<LogProof, CliError> {
    let extra = Some(event.bytes().to_vec());
    LogProof::new(extra, proof.index(), proof.inclusion_proof().clone(), proof.checkpoint().clone())
        .map_err(|error| CliError::failed("the proof", error))
}
