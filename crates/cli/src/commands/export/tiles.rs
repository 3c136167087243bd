//! `tally export tiles`: what the static read path serves (C2SP tlog-tiles), byte for byte, to be
//! put on any web server. Full tiles never change and are not written again; partial ones of
//! earlier heads stay. The checkpoint comes last: it is there only when all that it needs is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tally_node::tiles::{DirectoryTiles, TileHead, TileSource, read_tile};
use tally_protocol::TreeSize;
use tally_tlog::{Checkpoint, Hash, HashReader, NodeId, SignedCheckpoint, TilePath, root_at};

use crate::args::ExportTilesArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::source::open_directory;

/// The name of the checkpoint among the files.
const CHECKPOINT: &str = "checkpoint";

/// What was exported.
#[derive(Debug, Serialize)]
struct Answer {
    size: u64,
    tiles_written: u64,
    tiles_kept: u64,
    bytes_written: u64,
    directory: PathBuf,
}

impl Answer {
    fn text(&self) -> String {
        let Self { size, tiles_written, tiles_kept, bytes_written, directory } = self;
        format!(
            "exported the tiles of {size} events to {}: {tiles_written} written ({bytes_written} \
             bytes), {tiles_kept} were there already",
            directory.display()
        )
    }
}

pub(super) fn run(args: &ExportTilesArgs, output: Output) -> Result<(), CliError> {
    let reader = open_directory(&args.data, output)?;
    let source = DirectoryTiles::new(reader, &args.data).map_err(without_nodes)?;
    let head = source.head();
    if head.size == TreeSize::ZERO {
        return Err(CliError::Absent("the ledger has no events, and so no tiles".into()));
    }
    check_head(&source, &head)?;
    check_earlier(&source, &head, &args.out)?;
    let all = || TilePath::hash_tiles(head.size).chain(TilePath::entry_tiles(head.size));
    let bar = output.progress("exporting", all().count() as u64);
    let mut answer = Answer {
        size: head.size.as_u64(),
        tiles_written: 0,
        tiles_kept: 0,
        bytes_written: 0,
        directory: args.out.clone(),
    };
    for tile in all() {
        let path = args.out.join(tile.to_string());
        if path.exists() {
            // It was renamed into its place, so all of it is there.
            answer.tiles_kept += 1;
        } else {
            let bytes = read_tile(&source, tile).map_err(without_nodes)?;
            write_whole(&path, &bytes)?;
            answer.tiles_written += 1;
            answer.bytes_written += bytes.len() as u64;
        }
        bar.inc(1);
    }
    write_whole(&args.out.join(CHECKPOINT), &head.checkpoint)?;
    bar.finish_and_clear();
    output.answer(&answer, Answer::text);
    Ok(())
}

/// The tree is what the checkpoint says: else no reader could use the tiles.
fn check_head(source: &DirectoryTiles, head: &TileHead) -> Result<(), CliError> {
    let claim = parse_checkpoint(&head.checkpoint, "the log's last checkpoint")?;
    if claim.size != head.size || root_of(source, head.size)? != claim.root {
        let what = "the tree does not have the root that the last checkpoint signs";
        return Err(CliError::Failed(format!("{what}; run `tally fsck`")));
    }
    Ok(())
}

/// What was exported there earlier is the beginning of this log.
fn check_earlier(source: &DirectoryTiles, head: &TileHead, out: &Path) -> Result<(), CliError> {
    let path = out.join(CHECKPOINT);
    if !path.exists() {
        return Ok(());
    }
    let earlier = fs::read(&path).map_err(|error| CliError::failed(path.display(), error))?;
    let earlier = parse_checkpoint(&earlier, path.display())?;
    let own = parse_checkpoint(&head.checkpoint, "the log's last checkpoint")?;
    let refuse = |what: String| Err(CliError::Absent(format!("{}: {what}", path.display())));
    if earlier.origin != own.origin {
        return refuse(format!("these are the tiles of {}; choose another place", earlier.origin));
    }
    if earlier.size > head.size {
        let Checkpoint { size, .. } = earlier;
        return refuse(format!(
            "{size} events were exported, and this log has {}: it lost its end, or is a copy",
            head.size
        ));
    }
    if root_of(source, earlier.size)? != earlier.root {
        return refuse("another history was exported there; keep both, and compare them".into());
    }
    Ok(())
}

fn root_of(source: &DirectoryTiles, size: TreeSize) -> Result<Hash, CliError> {
    root_at(&Nodes(source), size).map_err(without_nodes)
}

/// The nodes of a source for the arithmetic of trees.
struct Nodes<'a>(&'a DirectoryTiles);

impl HashReader for Nodes<'_> {
    type Error = tally_store::TreeError;

    fn read(&self, ids: &[NodeId]) -> Result<Vec<Hash>, Self::Error> {
        self.0.nodes(ids)
    }
}

fn parse_checkpoint(bytes: &[u8], what: impl std::fmt::Display) -> Result<Checkpoint, CliError> {
    let signed = SignedCheckpoint::parse(bytes).map_err(|error| CliError::failed(what, error))?;
    Ok(signed.unverified().clone())
}

fn without_nodes(error: impl std::fmt::Display) -> CliError {
    CliError::failed("a tile can't be cut; start the ledger to rebuild the tree's nodes", error)
}

/// Writes a file that is there whole and durable, or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let directory = path.parent().expect("a file in a directory");
    let write = || {
        fs::create_dir_all(directory)?;
        let mut builder = tempfile::Builder::new();
        let mut file = builder.prefix(".part-").permissions(public()).tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| CliError::failed(path.display(), error))
}

/// Whoever serves the files may be another user.
pub(super) fn public() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}
