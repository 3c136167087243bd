//! The static read path, and the same as files: a reader that has only GET and the log's key comes
//! to the same root, entries and proofs; so does a reader that we did not write.

use std::path::{Path, PathBuf};

use tally_tests::http::{Answer, get};
use tally_tests::program::{Server, copy, demo_args, shipped, tally};
use tally_tlog::{MemoryTree, SignedCheckpoint, VerifiedCheckpoint, decode_entries, leaf_hash};
use tlog_tiles::{Tile, TileHashReader, TileReader, tlog};

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A ledger of more than 256 events, and a server of it.
struct Ledger {
    directory: tempfile::TempDir,
    server: Server,
}

impl Ledger {
    fn of_372() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        copy(&shipped().data(), &data);
        for _ in 0..2 {
            tally(demo_args(&data, None)).expect(0);
        }
        let server = Server::start_with(&data, &["--http", "127.0.0.1:0"]);
        assert_eq!(server.size, 372);
        Ledger { directory, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn get(&self, path: &str) -> Answer {
        get(self.server.http.as_deref().expect("tiles are served"), path)
    }

    fn tile(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/octet-stream", "{path}");
        let cached = answer.header("cache-control");
        assert!(cached.contains("immutable") && cached.contains("max-age=31536000"), "{cached}");
        answer.body
    }

    fn checkpoint(&self) -> VerifiedCheckpoint {
        let answer = self.get("/checkpoint");
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-cache"));
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        let signed = SignedCheckpoint::parse(&answer.body).expect("a checkpoint");
        signed
            .open(std::slice::from_ref(&self.server.log_key), &self.server.origin)
            .expect("signed")
    }

    fn export(&self, out: &str) -> serde_json::Value {
        let (data, out) = (self.path("data"), self.path(out));
        tally(["export", "tiles", "--json", "--data", text(&data), text(&out)]).expect(0).json()
    }
}

/// The tiles of a level or of the entries by the specification's arithmetic, for a log of fewer than
/// 256,000 entries.
fn tiles(kind: &str, count: u64) -> Vec<String> {
    let full = (0..count / 256).map(|n| format!("/tile/{kind}/{n:03}"));
    let partial = (!count.is_multiple_of(256))
        .then(|| format!("/tile/{kind}/{:03}.p/{}", count / 256, count % 256));
    full.chain(partial).collect()
}

#[test]
fn a_reader_with_nothing_but_get_has_the_whole_log() {
    let ledger = Ledger::of_372();
    let head = ledger.checkpoint();
    assert_eq!(head.size().as_u64(), 372);
    assert_eq!(tiles("0", 372), ["/tile/0/000", "/tile/0/001.p/116"]);
    let leaves: Vec<u8> = tiles("0", 372).iter().flat_map(|path| ledger.tile(path)).collect();
    let mut tree = MemoryTree::new();
    let mut events = Vec::new();
    for path in tiles("entries", 372) {
        for entry in decode_entries(&ledger.tile(&path)).expect("a bundle") {
            tree.append(leaf_hash(entry));
            events.push(entry.to_vec());
        }
    }
    assert_eq!(tree.root(), head.root(), "the entries are those of the checkpoint");
    let hashes: Vec<u8> = events.iter().flat_map(|event| leaf_hash(event).into_bytes()).collect();
    assert_eq!(hashes, leaves);
    // "each hash in a tile is the Merkle Tree Hash of a *full* tile at the level below"
    let mut first = MemoryTree::new();
    for event in &events[..256] {
        first.append(leaf_hash(event));
    }
    assert_eq!(ledger.tile("/tile/1/000.p/1"), first.root().as_bytes());

    // The entries are the events as the ledger gives them otherwise.
    let event = tally_protocol::Event::decode(events[300].clone().into()).expect("an event");
    let log = tally(["log", "--json", "--url", &ledger.server.url, "--from", "300", "--to", "301"]);
    assert_eq!(log.expect(0).json()["id"], event.signed().id().to_string());
}

/// Fetches tiles for the other implementation, which checks each against the root.
struct Fetching<'a>(&'a Ledger);

impl TileReader for Fetching<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Its paths name the height, which in ours is always 8.
        let fetch = |tile: &Tile| self.0.tile(&tile.path().replacen("tile/8/", "/tile/", 1));
        Ok(tiles.iter().map(fetch).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn another_implementation_proves_from_the_tiles() {
    let ledger = Ledger::of_372();
    let head = ledger.checkpoint();
    let (size, root) = (head.size().as_u64(), tlog::Hash(head.root().into_bytes()));
    let fetching = Fetching(&ledger);
    let reader = TileHashReader::new(size, root, &fetching);
    let mut entries = Vec::new();
    for path in tiles("entries", size) {
        let bundle = ledger.tile(&path);
        entries.extend(decode_entries(&bundle).expect("a bundle").into_iter().map(<[u8]>::to_vec));
    }
    for n in [0, 1, 255, 256, 300, 371] {
        let proof = tlog::prove_record(size, n, &reader).expect("a proof");
        let leaf = tlog::record_hash(&entries[n as usize]);
        tlog::check_record(&proof, size, root, n, leaf).expect("in the tree");
    }
    for old in [1, 124, 256, 371] {
        let proof = tlog::prove_tree(size, old, &reader).expect("a proof");
        let old_root = tlog::tree_hash(old, &reader).expect("a root");
        tlog::check_tree(&proof, size, root, old, old_root).expect("grown from there");
    }
}

#[test]
fn only_what_the_head_has_is_served_and_by_one_name() {
    let ledger = Ledger::of_372();
    let refused = |path: &str, status: u16, words: &str| {
        let answer = ledger.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-cache", "it may be there soon");
        assert!(
            answer.text().contains(words) && answer.text().ends_with('\n'),
            "{}",
            answer.text()
        );
    };
    for path in [
        "/tile/0/001",
        "/tile/0/001.p/117",
        "/tile/0/002.p/1",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/entries/001",
        "/tile/entries/001.p/117",
        "/tile/entries/x001/000",
    ] {
        refused(path, 404, "and the log has 372");
    }
    refused("/tile/8/000.p/1", 404, "no tree is so large");
    for path in [
        "/tile/0/1",
        "/tile/0/x000/001",
        "/tile/00/000",
        "/tile/64/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/0/00%30",
        "/tile/data/000",
        "/tile/0/..",
        "/tile/0/000/",
        "/tile//0/000",
        "/tile/entries/000.gz",
    ] {
        refused(path, 400, "tile");
    }
    for path in ["/", "/tile", "/checkpoints", "/0/checkpoint"] {
        refused(path, 404, "/checkpoint");
    }
    // Narrower tiles were those of earlier heads.
    let full = ledger.tile("/tile/0/000");
    assert_eq!(ledger.tile("/tile/0/000.p/124"), &full[..124 * 32]);
    let bundle = ledger.tile("/tile/entries/000");
    assert!(bundle.starts_with(&ledger.tile("/tile/entries/000.p/1")));
}

#[test]
fn an_empty_log_has_no_checkpoint_yet() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--http", "127.0.0.1:0"]);
    let answer = get(server.http.as_deref().expect("an address"), "/checkpoint");
    assert_eq!(answer.status, 404);
    let out = directory.path().join("out");
    let args = ["export", "tiles", "--data", text(directory.path()), text(&out)];
    assert!(tally(args).expect(1).stderr.contains("no events"));
    assert!(!out.exists());
}

/// All files below a directory, as paths of the read path.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below it");
                found.push((format!("/{}", text(name)), std::fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_exported_is_what_is_served() {
    let ledger = Ledger::of_372();
    let first = ledger.export("out");
    assert_eq!(
        (&first["size"], &first["tiles_written"], &first["tiles_kept"]),
        (&372.into(), &5.into(), &0.into())
    );
    let out = ledger.path("out");
    let names = |files: &[(String, Vec<u8>)]| {
        files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let before = files(&out);
    assert_eq!(
        names(&before),
        [
            "/checkpoint",
            "/tile/0/000",
            "/tile/0/001.p/116",
            "/tile/1/000.p/1",
            "/tile/entries/000",
            "/tile/entries/001.p/116",
        ]
    );
    for (path, bytes) in &before {
        assert_eq!(&ledger.get(path).body, bytes, "{path}");
    }
    assert_eq!(ledger.export("out")["tiles_written"], 0);

    // The log grows: full tiles are not touched, partial ones of the new head come beside the old.
    let Ledger { directory, server } = ledger;
    server.kill();
    let data = directory.path().join("data");
    tally(demo_args(&data, None)).expect(0);
    let server = Server::start_with(&data, &["--http", "127.0.0.1:0"]);
    let ledger = Ledger { directory, server };
    let modified =
        |name: &str| out.join(name).metadata().and_then(|file| file.modified()).expect("a time");
    let full = modified("tile/0/000");
    let second = ledger.export("out");
    assert_eq!(
        (&second["size"], &second["tiles_written"], &second["tiles_kept"]),
        (&496.into(), &2.into(), &3.into())
    );
    assert_eq!(modified("tile/0/000"), full, "it is not written again");
    let after = files(&out);
    assert_eq!(after.len(), before.len() + 2);
    for (path, bytes) in &after {
        assert_eq!(&ledger.get(path).body, bytes, "{path}");
    }
}

#[test]
fn the_tiles_of_another_log_are_not_written_over() {
    let ledger = Ledger::of_372();
    ledger.export("out");
    let out = ledger.path("out");
    let before = files(&out);
    let refused = |data: &Path, words: &str| {
        let said = tally(["export", "tiles", "--data", text(data), text(&out)]).expect(1).stderr;
        assert!(said.contains(words), "{said}");
        assert_eq!(files(&out), before, "nothing was written");
    };
    let other = ledger.path("other");
    tally(demo_args(&other, None)).expect(0);
    refused(&other, "these are the tiles of");
    // An older copy, and an older copy that went on by itself.
    let old = ledger.path("old");
    copy(&shipped().data(), &old);
    refused(&old, "it lost its end");
    for _ in 0..3 {
        tally(demo_args(&old, None)).expect(0);
    }
    refused(&old, "another history");
}
