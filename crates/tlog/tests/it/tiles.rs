//! Tiles: the specification's examples, hostile paths, and another implementation of the format.

use proptest::prelude::*;
use tally_tlog::{
    EntryBundleError, Hash, HashReader, LeafIndex, MAX_ENTRY_BYTES, NodeId, TileKind, TilePath,
    TilePathError, TreeSize, decode_entries, encode_entries, node_hash,
};
use tlog_tiles::Tile;

use crate::support::{sized, tree_of};

fn hashes(level: u8) -> TileKind {
    TileKind::Hashes { level }
}

fn tile(kind: TileKind, index: u64, width: u16) -> TilePath {
    TilePath::new(kind, index, width).expect("a tile")
}

fn check_path(path: &str, expected: TilePath) {
    assert_eq!(path.parse(), Ok(expected), "{path}");
    assert_eq!(expected.to_string(), path);
}

#[test]
fn the_specification_s_paths_are_read_and_written() {
    check_path("tile/0/x001/x234/067", tile(hashes(0), 1_234_067, 256));
    check_path("tile/0/x001/234.p/56", tile(hashes(0), 1_234, 56));
    check_path("tile/entries/000", tile(TileKind::Entries, 0, 256));
    check_path("tile/entries/999.p/255", tile(TileKind::Entries, 999, 255));
    check_path("tile/7/000.p/1", tile(hashes(7), 0, 1));
    let last = (u64::MAX >> 8) - 1;
    check_path("tile/0/x072/x057/x594/x037/x927/934", tile(hashes(0), last, 256));
}

#[test]
fn other_paths_are_refused() {
    use TilePathError as E;
    let refused = |path: &str, error| assert_eq!(path.parse::<TilePath>(), Err(error), "{path:?}");
    for path in
        ["", "tile", "tile/", "tile/0", "/tile/0/000", "tiles/0/000", "tile/entries", "checkpoint"]
    {
        refused(path, E::Form);
    }
    for level in ["", "00", "01", "64", "256", "-1", "+0", "entrie", "data", "x", " 0"] {
        refused(&format!("tile/{level}/000"), E::Level);
    }
    for index in [
        "",
        "0",
        "00",
        "0000",
        "1000",
        "x000",
        "x001/",
        "/000",
        "001/000",
        "x001/x000",
        "x01/000",
        "x000/000",
        "x000/001",
        "x000/x001/000",
        "X001/000",
        "x0a1/000",
        "+01",
        "-01",
        "x+01/000",
        "000/",
        "000.",
        "000.p",
        "..",
        "x001//000",
        "00\u{660}",
        "000%2e",
        "000 ",
    ] {
        refused(&format!("tile/0/{index}"), E::Index);
        refused(&format!("tile/entries/{index}.p/1"), E::Index);
    }
    for width in ["", "0", "256", "01", "+1", "-1", "1.p/1", "1/", "/1", "x", "65537", " 1"] {
        refused(&format!("tile/0/000.p/{width}"), E::Width);
    }
    // Well-formed, of a tree that cannot be.
    refused("tile/8/000", E::NoSuchTree);
    refused("tile/63/000.p/1", E::NoSuchTree);
    refused("tile/7/000", E::NoSuchTree);
    refused("tile/7/001.p/1", E::NoSuchTree);
    refused("tile/0/x072/x057/x594/x037/x927/935", E::NoSuchTree);
    refused(&format!("tile/0/{}999", "x999/".repeat(40)), E::NoSuchTree);
    refused(&format!("tile/0/x001/{}000", "x000/".repeat(40)), E::NoSuchTree);
}

#[test]
fn tiles_have_limits() {
    use TilePathError as E;
    assert_eq!(TilePath::new(hashes(0), 0, 0), Err(E::Width));
    assert_eq!(TilePath::new(hashes(0), 0, 257), Err(E::Width));
    assert_eq!(TilePath::new(hashes(64), 0, 1), Err(E::Level));
    assert_eq!(TilePath::new(hashes(63), 0, 1), Err(E::NoSuchTree));
    assert_eq!(TilePath::new(hashes(7), 0, 256), Err(E::NoSuchTree));
    assert_eq!(TilePath::new(TileKind::Entries, u64::MAX, 1), Err(E::NoSuchTree));
    let widest = tile(hashes(7), 0, 255);
    assert_eq!(widest.smallest_tree(), sized(255 << 56));
}

fn all_tiles(size: u64) -> Vec<TilePath> {
    TilePath::hash_tiles(sized(size)).collect()
}

#[test]
fn the_specification_s_trees_have_their_tiles() {
    let tiles = all_tiles(70_000);
    let of = |level| -> Vec<(u64, u16)> {
        let of_level = tiles.iter().filter(|tile| tile.kind() == hashes(level));
        of_level.map(|tile| (tile.index(), tile.width())).collect()
    };
    assert_eq!(of(0).len(), 274);
    assert!(of(0)[..273].iter().enumerate().all(|(n, tile)| *tile == (n as u64, 256)));
    assert_eq!(of(0)[273], (273, 112));
    assert_eq!(of(1), [(0, 256), (1, 17)]);
    assert_eq!(of(2), [(0, 1)]);
    assert_eq!(tiles.len(), 274 + 2 + 1);
    assert_eq!(TilePath::entry_tiles(sized(70_000)).count(), 274);

    assert_eq!(all_tiles(256), [tile(hashes(0), 0, 256), tile(hashes(1), 0, 1)]);
    assert_eq!(all_tiles(0), []);
    assert_eq!(TilePath::entry_tiles(TreeSize::ZERO).count(), 0);
}

/// Every node of a tree stands in a tile, or is computed from one; no tile holds another.
#[test]
fn tiles_hold_the_nodes_of_their_levels_once() {
    for size in [1, 255, 256, 257, 600, 65_536, 66_000] {
        let mut nodes: Vec<NodeId> = all_tiles(size).iter().flat_map(TilePath::nodes).collect();
        nodes.sort();
        let expected: Vec<NodeId> = (0..=2)
            .flat_map(|level| {
                (0..size >> (8 * level)).map(move |index| NodeId { level: 8 * level, index })
            })
            .collect();
        assert_eq!(nodes, expected, "size {size}");
    }
}

/// A tile's hashes, put together, are the node over them.
#[test]
fn a_full_tile_hashes_to_the_node_above() {
    let tree = tree_of(1_000);
    let tile = tile(hashes(0), 2, 256);
    let nodes: Vec<NodeId> = tile.nodes().collect();
    let mut row = tree.read(&nodes).expect("nodes");
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect::<Vec<Hash>>();
    }
    assert_eq!(row, tree.read(&[NodeId { level: 8, index: 2 }]).expect("a node"));
    assert_eq!(tile.leaves(), LeafIndex::new(512)..LeafIndex::new(768));
}

#[test]
fn a_tree_has_its_tiles_and_narrower_ones() {
    let has = |path: &str, size| path.parse::<TilePath>().expect("a tile").is_within(sized(size));
    assert!(has("tile/0/000.p/255", 255));
    assert!(!has("tile/0/000", 255));
    assert!(has("tile/0/000", 256) && has("tile/0/000.p/3", 256));
    assert!(!has("tile/0/001.p/1", 256));
    assert!(has("tile/1/000.p/1", 256) && !has("tile/1/000.p/1", 255));
    assert!(!has("tile/1/000.p/2", 511) && has("tile/1/000.p/2", 512));
    assert!(has("tile/entries/001.p/1", 257) && !has("tile/entries/001.p/2", 257));
    for size in [1, 300, 70_000] {
        assert!(all_tiles(size).iter().all(|tile| tile.is_within(sized(size))));
        assert!(all_tiles(size).iter().any(|tile| !tile.is_within(sized(size - 1))));
    }
}

/// The other implementation writes and reads the same paths; its levels are ours, its height 8.
fn check_other(path: TilePath) {
    let (level, entries) = match path.kind() {
        TileKind::Hashes { level } => (level, false),
        TileKind::Entries => (0, true),
    };
    let other = Tile::new(8, level, path.index(), u32::from(path.width()), entries);
    // "tile/8/0/..." there names the height, and entries are called data.
    let theirs =
        other.path().replacen("tile/8/", "tile/", 1).replacen("tile/data/", "tile/entries/", 1);
    assert_eq!(theirs, path.to_string());
}

proptest! {
    #[test]
    fn paths_round_trip_and_agree_with_another(
        level in 0u8..8, entries in any::<bool>(), index in any::<u64>(), shift in 0u32..64, width in 1u16..=256,
    ) {
        let kind = if entries { TileKind::Entries } else { hashes(level) };
        if let Ok(path) = TilePath::new(kind, index >> shift, width) {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
            prop_assert!(path.is_within(path.smallest_tree()));
            prop_assert_eq!(path.nodes().count(), usize::from(width));
            check_other(path);
        }
    }

    #[test]
    fn what_is_read_is_written_again(path in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(tile) = path.parse::<TilePath>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    #[test]
    fn the_tiles_of_a_tree_are_the_other_s(size in 1u64..200_000) {
        let mut theirs: Vec<String> = Tile::new_tiles(8, 0, size)
            .iter()
            .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
            .collect();
        let mut ours: Vec<String> = all_tiles(size).iter().map(TilePath::to_string).collect();
        theirs.sort();
        ours.sort();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=256)) {
        let bundle = encode_entries(&entries).expect("a bundle");
        prop_assert_eq!(decode_entries(&bundle).expect("a bundle"), entries);
        if let Some(cut) = bundle.len().checked_sub(1) {
            prop_assert!(decode_entries(&bundle[..cut]).is_err() || bundle[cut - 1..] == [0, 0]);
        }
    }
}

#[test]
fn bundles_have_limits() {
    assert_eq!(
        encode_entries(&[b"a".as_slice(), b"", b"bcd"]).expect("a bundle"),
        b"\0\x01a\0\0\0\x03bcd"
    );
    let longest = vec![7; MAX_ENTRY_BYTES];
    let bundle = encode_entries(&[&longest]).expect("a bundle");
    assert_eq!(bundle[..2], [0xff, 0xff]);
    assert_eq!(decode_entries(&bundle), Ok(vec![&longest[..]]));
    let length = MAX_ENTRY_BYTES + 1;
    assert_eq!(encode_entries(&[vec![7; length]]), Err(EntryBundleError::EntryTooLong { length }));
    assert_eq!(encode_entries(&[b""; 257]), Err(EntryBundleError::TooManyEntries));
    assert_eq!(decode_entries(&[0; 512]).expect("a bundle").len(), 256);
    assert_eq!(decode_entries(&[0; 514]), Err(EntryBundleError::TooManyEntries));
    for cut in [&b"\0"[..], b"\0\x01", b"\0\0\xff", b"\0\x02a"] {
        assert_eq!(decode_entries(cut), Err(EntryBundleError::Truncated), "{cut:?}");
    }
}
