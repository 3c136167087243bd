//! A directory of tiles (C2SP tlog-tiles), as `tally export tiles` writes it or a web server has it.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use tally_protocol::{Event, Origin, Position};
use tally_tlog::{
    Checkpoint, Hash, NodeId, SignedCheckpoint, TILE_WIDTH, TileKind, TilePath, VerifierKey,
    decode_entries,
};
use tally_verify::{FirstBad, Judge, Report, Trust, examine};

use super::rows::{Rows, judge};
use crate::error::CliError;
use crate::keys::read_bytes;

const CHECKPOINT: &str = "checkpoint";

/// Whether a directory looks like one.
pub(super) fn is_tiles(directory: &Path) -> bool {
    directory.join(CHECKPOINT).is_file() && !directory.join("log").exists()
}

/// Reads all tiles of the checkpoint's tree and judges them as a whole ledger.
pub(super) fn verify(
    directory: &Path,
    key: Option<VerifierKey>,
    earlier: Vec<Checkpoint>,
) -> Result<(Report, SignedCheckpoint), CliError> {
    let note = read_bytes(&directory.join(CHECKPOINT))?;
    let signed = SignedCheckpoint::parse(&note)
        .map_err(|error| CliError::Absent(format!("invalid: {CHECKPOINT}: {error}")))?;
    let claimed = signed.unverified().origin.clone();
    let named = key.as_ref().and_then(|key| Origin::new(key.name().as_str()).ok());
    let origin = named.unwrap_or(claimed);
    let trust = Trust { origin, keys: key.into_iter().collect(), earlier };
    let judged = !trust.keys.is_empty();
    let size = signed.unverified().size;
    let (judge, rows) = judge(trust, size.as_u64())?;
    let mut reading = Reading { directory, judge, rows, nodes: HashMap::new() };
    let mut read = || {
        TilePath::entry_tiles(size).try_for_each(|tile| reading.entries(tile))?;
        TilePath::hash_tiles(size).try_for_each(|tile| reading.hashes(tile))?;
        if judged { reading.judge.checkpoint(&note).map(drop) } else { Ok(()) }
    };
    let report = match read() {
        Ok(()) => reading.judge.finish(),
        Err(bad) => reading.judge.report(Some(bad)),
    };
    Ok((report, signed))
}

struct Reading<'a> {
    directory: &'a Path,
    judge: Judge,
    rows: Rows,
    /// The tree over the events, computed again.
    nodes: HashMap<NodeId, Hash>,
}

impl Reading<'_> {
    /// Judges the events of an entry bundle.
    fn entries(&mut self, tile: TilePath) -> Result<(), FirstBad> {
        let bytes = self.read(tile)?;
        let entries = decode_entries(&bytes).map_err(|error| bad(tile, &error))?;
        let width = usize::from(tile.width());
        if entries.len() < width {
            return Err(bad(tile, &format!("has {} entries", entries.len())));
        }
        let decode = |(at, bytes): (u64, &&[u8])| {
            Event::decode(Bytes::copy_from_slice(bytes))
                .map_err(|error| FirstBad::new(Position(at), "event", error))
        };
        let positions = tile.leaves().start.as_u64()..;
        let events: Vec<Event> =
            positions.zip(&entries[..width]).map(decode).collect::<Result<_, _>>()?;
        for examined in examine(events) {
            let nodes = &mut self.nodes;
            self.judge.event(examined, |id, hash| {
                nodes.insert(id, hash);
            })?;
        }
        self.rows.follow(&self.judge);
        Ok(())
    }

    /// Holds a hash tile to the tree over the events.
    fn hashes(&self, tile: TilePath) -> Result<(), FirstBad> {
        let computed = tile.nodes().map(|id| self.nodes[&id]);
        let computed: Vec<u8> = computed.flat_map(Hash::into_bytes).collect();
        let bytes = self.read(tile)?;
        if bytes.get(..computed.len()) != Some(&computed[..]) {
            return Err(bad(tile, &"does not have the hashes of its events"));
        }
        Ok(())
    }

    /// The file of a tile; of a partial one also the full one that took its place.
    fn read(&self, tile: TilePath) -> Result<Vec<u8>, FirstBad> {
        let full = TilePath::new(tile.kind(), tile.index(), TILE_WIDTH);
        let full = full.ok().filter(|_| !tile.is_full());
        for path in [Some(tile), full].into_iter().flatten() {
            match std::fs::read(self.directory.join(path.to_string())) {
                Ok(bytes) => {
                    let exact = path == tile && tile.kind() != TileKind::Entries;
                    let expected = usize::from(tile.width()) * Hash::LEN;
                    if exact && bytes.len() != expected {
                        return Err(bad(tile, &format!("has {} bytes", bytes.len())));
                    }
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(bad(tile, &error)),
            }
        }
        Err(bad(tile, &"is not there"))
    }
}

fn bad(tile: TilePath, found: &dyn std::fmt::Display) -> FirstBad {
    let position = Position(tile.leaves().start.as_u64());
    FirstBad::new(position, "tile", format!("{tile} {found}"))
}
