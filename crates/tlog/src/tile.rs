//! Tiles: the tree and the log's entries as immutable files, as C2SP tlog-tiles v0.1.0 specifies.
//!
//! Names tiles, says which nodes or leaves a tile holds and which tiles a tree has, and reads and
//! writes entry bundles. Reads no nodes and serves nothing. Nothing is ever pruned here.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

use crate::text::parse_decimal;
use crate::tree::{LeafIndex, NodeId, TreeSize};

/// "Full tiles MUST be exactly 256 hashes wide"; an entry bundle has as many entries.
pub const TILE_WIDTH: u16 = 256;
/// "`<L>` ... MUST be a decimal ASCII integer between 0 and 63".
pub const MAX_TILE_LEVEL: u8 = 63;
/// The most bytes of an entry: its length is a "big-endian uint16".
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// "a tile represents the entire subtree of height 8".
const TILE_HEIGHT: u8 = 8;
/// Levels whose tiles a tree of fewer than 2^64 leaves can have.
const LEVELS: u8 = 64 / TILE_HEIGHT;
/// Bytes of the length before an entry.
const LENGTH_BYTES: usize = 2;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of the tree at this tile level: each is a node of level 8 × `level`.
    Hashes {
        /// The tile level, 0 to 7: higher ones no tree of fewer than 2^64 leaves has.
        level: u8,
    },
    /// Log entries.
    Entries,
}

impl TileKind {
    /// The level of the tree whose nodes a tile holds, or whose leaves its entries hash to.
    fn node_level(self) -> u8 {
        match self {
            TileKind::Hashes { level } => level * TILE_HEIGHT,
            TileKind::Entries => 0,
        }
    }

    /// How many hashes or entries of this kind a tree has, over all tiles.
    fn count(self, size: TreeSize) -> u64 {
        size.as_u64() >> self.node_level()
    }
}

/// The name of a tile, full or partial, that some tree of fewer than 2^64 leaves has.
///
/// Written and read as the path below a log's prefix, without a slash before it:
///
/// ```
/// use tally_tlog::{TileKind, TilePath};
/// let tile: TilePath = "tile/0/x001/x234/067.p/56".parse()?;
/// assert_eq!(tile, TilePath::new(TileKind::Hashes { level: 0 }, 1_234_067, 56)?);
/// assert_eq!(tile.to_string(), "tile/0/x001/x234/067.p/56");
/// assert_eq!(TilePath::new(TileKind::Entries, 7, 256)?.to_string(), "tile/entries/007");
/// # Ok::<(), tally_tlog::TilePathError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// Names the tile at `index` of its level with `width` hashes or entries, 1 to 256.
    ///
    /// # Errors
    ///
    /// [`TilePathError::Level`], [`TilePathError::Width`] or [`TilePathError::NoSuchTree`].
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, TilePathError> {
        if !(1..=TILE_WIDTH).contains(&width) {
            return Err(TilePathError::Width);
        }
        if let TileKind::Hashes { level } = kind {
            match level {
                0..LEVELS => {}
                LEVELS..=MAX_TILE_LEVEL => return Err(TilePathError::NoSuchTree),
                _ => return Err(TilePathError::Level),
            }
        }
        let end = index.checked_mul(TILE_WIDTH.into()).and_then(|n| n.checked_add(width.into()));
        match end {
            Some(end) if end <= kind.count(TreeSize::new(u64::MAX)) => {
                Ok(TilePath { kind, index, width })
            }
            _ => Err(TilePathError::NoSuchTree),
        }
    }

    /// The hash tiles of the tree of `size` leaves, level by level from the leaves up, each level
    /// from the left: full ones, then the partial one of the right edge, if any.
    ///
    /// "The partial tile at level *l* for a tree of size *s* has `floor(s / 256**l) mod 256`
    /// entries. Empty tiles MUST NOT be served."
    pub fn hash_tiles(size: TreeSize) -> impl Iterator<Item = TilePath> {
        (0..LEVELS).flat_map(move |level| tiles(TileKind::Hashes { level }, size))
    }

    /// The entry bundles of the tree of `size` leaves, from the left: as its hash tiles of level 0.
    pub fn entry_tiles(size: TreeSize) -> impl Iterator<Item = TilePath> {
        tiles(TileKind::Entries, size)
    }

    /// What it holds.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its place among the tiles of its level, counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is full, and so never replaced by a wider one.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The complete nodes that a hash tile holds, from the left; of an entry bundle, the nodes of
    /// its leaves.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let level = self.kind.node_level();
        self.items().map(move |index| NodeId { level, index })
    }

    /// The leaves that the tile spans: those of an entry bundle, or those under a hash tile.
    pub fn leaves(&self) -> Range<LeafIndex> {
        let Range { start, end } = self.items();
        let leaf = |item: u64| LeafIndex::new(item << self.kind.node_level());
        leaf(start)..leaf(end)
    }

    /// The size of the smallest tree that has this tile.
    pub fn smallest_tree(&self) -> TreeSize {
        TreeSize::new(self.leaves().end.as_u64())
    }

    /// Whether the tree of `size` leaves has this tile, as one of its own or as a part of a wider
    /// one.
    pub fn is_within(&self, size: TreeSize) -> bool {
        self.smallest_tree() <= size
    }

    /// The hashes or entries among all of this kind.
    fn items(&self) -> Range<u64> {
        let start = self.index * u64::from(TILE_WIDTH);
        start..start + u64::from(self.width)
    }
}

/// The tiles of one kind that the tree of `size` leaves has, from the left.
fn tiles(kind: TileKind, size: TreeSize) -> impl Iterator<Item = TilePath> {
    let (full, rest) =
        (kind.count(size) / u64::from(TILE_WIDTH), kind.count(size) % u64::from(TILE_WIDTH));
    let tile = move |index, width| TilePath { kind, index, width };
    let edge = (rest > 0).then(|| tile(full, rest as u16));
    (0..full).map(move |index| tile(index, TILE_WIDTH)).chain(edge)
}

impl fmt::Display for TilePath {
    /// `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        write_index(f, self.index)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// "a non-negative integer encoded into zero-padded 3-digit path elements. All but the last path
/// element MUST begin with an `x`."
fn write_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let mut elements = vec![index % 1000];
    let mut rest = index / 1000;
    while rest > 0 {
        elements.push(rest % 1000);
        rest /= 1000;
    }
    elements[1..].iter().rev().try_for_each(|element| write!(f, "x{element:03}/"))?;
    write!(f, "{:03}", elements[0])
}

impl FromStr for TilePath {
    type Err = TilePathError;

    /// Reads what `Display` writes, and nothing else: each tile has one path.
    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let path = path.strip_prefix("tile/").ok_or(TilePathError::Form)?;
        let (kind, rest) = path.split_once('/').ok_or(TilePathError::Form)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes { level: parse_level(level)? },
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => (index, parse_width(width)?),
        };
        TilePath::new(kind, parse_index(index)?, width)
    }
}

/// "a decimal ASCII integer between 0 and 63, with no additional leading zeroes".
fn parse_level(text: &str) -> Result<u8, TilePathError> {
    let level = parse_decimal(text).and_then(|level| u8::try_from(level).ok());
    level.filter(|&level| level <= MAX_TILE_LEVEL).ok_or(TilePathError::Level)
}

/// "a decimal ASCII integer between 1 and 255, with no additional leading zeroes".
fn parse_width(text: &str) -> Result<u16, TilePathError> {
    let width = parse_decimal(text).and_then(|width| u16::try_from(width).ok());
    width.filter(|width| (1..TILE_WIDTH).contains(width)).ok_or(TilePathError::Width)
}

fn parse_index(text: &str) -> Result<u64, TilePathError> {
    let (first, last) = match text.rsplit_once('/') {
        None => (None, text),
        Some((first, last)) => (Some(first), last),
    };
    let mut index = 0u64;
    for (place, element) in first.iter().flat_map(|first| first.split('/')).enumerate() {
        let element = parse_element(element.strip_prefix('x').ok_or(TilePathError::Index)?)?;
        // An element of zeroes in front would give the same number another path.
        if place == 0 && element == 0 {
            return Err(TilePathError::Index);
        }
        index = push_element(index, element)?;
    }
    push_element(index, parse_element(last)?)
}

fn push_element(index: u64, element: u64) -> Result<u64, TilePathError> {
    let pushed = index.checked_mul(1000).and_then(|index| index.checked_add(element));
    pushed.ok_or(TilePathError::NoSuchTree)
}

fn parse_element(text: &str) -> Result<u64, TilePathError> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(TilePathError::Index)
}

/// Why a path or numbers name no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TilePathError {
    /// Not the path of a tile.
    #[error("a tile is at tile/<level>/<index> or tile/entries/<index>")]
    Form,
    /// The level.
    #[error("a tile's level is a number from 0 to {MAX_TILE_LEVEL} without leading zeroes")]
    Level,
    /// The index.
    #[error("a tile's index is written in elements of three digits, all but the last after an x")]
    Index,
    /// The width.
    #[error("the width of a partial tile is a number from 1 to 255 without leading zeroes")]
    Width,
    /// Well-formed, but no tree of fewer than 2^64 leaves has it.
    #[error("no tree is so large that it has this tile")]
    NoSuchTree,
}

/// Writes an entry bundle: "sequences of big-endian uint16 length-prefixed log entries".
///
/// # Errors
///
/// [`EntryBundleError::EntryTooLong`] or [`EntryBundleError::TooManyEntries`].
pub fn encode_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, EntryBundleError> {
    if entries.len() > usize::from(TILE_WIDTH) {
        return Err(EntryBundleError::TooManyEntries);
    }
    let bytes = entries.iter().map(|entry| LENGTH_BYTES + entry.as_ref().len()).sum();
    let mut bundle = Vec::with_capacity(bytes);
    for entry in entries {
        let entry = entry.as_ref();
        let too_long = |_| EntryBundleError::EntryTooLong { length: entry.len() };
        let length = u16::try_from(entry.len()).map_err(too_long)?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads an entry bundle: its entries, from the left, at most [`TILE_WIDTH`]. How many there must be
/// says the [`TilePath`] that it was asked for by.
///
/// # Errors
///
/// [`EntryBundleError::Truncated`] or [`EntryBundleError::TooManyEntries`].
pub fn decode_entries(bundle: &[u8]) -> Result<Vec<&[u8]>, EntryBundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == usize::from(TILE_WIDTH) {
            return Err(EntryBundleError::TooManyEntries);
        }
        let (length, tail) =
            rest.split_first_chunk::<LENGTH_BYTES>().ok_or(EntryBundleError::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, tail) = tail.split_at_checked(length).ok_or(EntryBundleError::Truncated)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

/// Why entries are no bundle, or bytes no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryBundleError {
    /// Over the limit.
    #[error("an entry of {length} bytes is over the limit of {MAX_ENTRY_BYTES}")]
    EntryTooLong {
        /// Bytes of the entry.
        length: usize,
    },
    /// Over the limit.
    #[error("a bundle has more than {TILE_WIDTH} entries")]
    TooManyEntries,
    /// The bundle ends within an entry.
    #[error("a bundle ends within an entry")]
    Truncated,
}
