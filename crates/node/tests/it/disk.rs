//! A disk that is full, and one that hangs: what the node answers, and that it goes on by itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tally_coordination::Rule;
use tally_node::{AppendError, Config, MAX_IN_FLIGHT, Node};
use tally_protocol::{ParsedEnvelope, Position, TreeSize};
use tally_store::ReadLimit;
use tally_store::fs::{DiskFile, FileSystem, RealFs};

use crate::author::{Author, origin, signer};

const ALL: ReadLimit = ReadLimit { events: usize::MAX, bytes: usize::MAX };

/// The system's disk, until it is told to be full or to hang.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Faults>);

#[derive(Debug, Default)]
struct Faults {
    /// Writes to the log stop half-way.
    log_is_full: AtomicBool,
    /// Writes to the tree stop half-way.
    tree_is_full: AtomicBool,
    hangs: Mutex<bool>,
    moves: Condvar,
}

impl Disk {
    fn hang(&self, hangs: bool) {
        *self.0.hangs.lock().expect("no panic") = hangs;
        self.0.moves.notify_all();
    }

    fn open(&self, dir: &Path) -> Node {
        let config = Config::new(dir.to_owned(), origin(), signer());
        Node::open_on(Arc::new(self.clone()), config, |_| {}).expect("opens")
    }

    fn wrap(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let in_tree = path.parent().is_some_and(|parent| parent.ends_with("tree"));
        let in_log = path.extension().is_some_and(|suffix| suffix == "seg");
        if in_tree || in_log {
            return Box::new(OnDisk { file, faults: Arc::clone(&self.0), in_log });
        }
        file
    }
}

impl FileSystem for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealFs.open(path)
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealFs.open_or_create(path)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealFs.create_new(path)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealFs.read_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFs.exists(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFs.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(path)
    }
}

#[derive(Debug)]
struct OnDisk {
    file: Box<dyn DiskFile>,
    faults: Arc<Faults>,
    in_log: bool,
}

impl DiskFile for OnDisk {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Faults { log_is_full, tree_is_full, .. } = &*self.faults;
        let full = if self.in_log { log_is_full } else { tree_is_full };
        if !full.load(Ordering::SeqCst) {
            return self.file.write_all_at(bytes, offset);
        }
        self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        let hangs = self.faults.hangs.lock().expect("no panic");
        drop(self.faults.moves.wait_while(hangs, |hangs| *hangs && self.in_log));
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

/// Takes all in at once, and waits for the answers.
async fn append_all(
    node: &Node,
    envelopes: &[ParsedEnvelope],
) -> Vec<Result<tally_node::LogReceipt, AppendError>> {
    let mut waiting = Vec::new();
    for envelope in envelopes {
        waiting.push(node.enqueue(envelope.clone()).await.expect("taken in"));
    }
    let mut answers = Vec::new();
    for appending in waiting {
        answers.push(appending.receipt().await);
    }
    answers
}

/// With either part of the directory full: everything is refused, an author's first envelope for
/// want of room and those behind it for that or because it is missing; reads go on, and the same
/// envelopes go in once there is room.
async fn full_and_not(set: impl Fn(&Faults, bool)) {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::default();
    let node = disk.open(dir.path());
    let mut authors = [Author::new(1), Author::new(2)];
    let mut appended = 0;
    for round in 0..5 {
        for author in &mut authors {
            node.append(author.intent(&format!("before {round}"))).await.expect("appended");
            appended += 1;
        }
        let before = node.snapshot();
        // Several groups, each planned on the one before it.
        let envelopes: Vec<_> =
            (0..500).map(|n| authors[n % 2].intent(&format!("{round} {n}"))).collect();
        set(&disk.0, true);
        for (n, answer) in append_all(&node, &envelopes).await.into_iter().enumerate() {
            let missing = matches!(&answer, Err(AppendError::Refused(refusal))
                if refusal.rule == Rule::AuthorSequence && n >= authors.len());
            assert!(missing || matches!(answer, Err(AppendError::Full)), "{n}: {answer:?}");
        }
        assert_eq!(node.snapshot().tip, before.tip);
        assert_eq!(node.read(Position(0), ALL).expect("reads go on").len(), appended);
        node.receipt(Position(0)).expect("and proofs");
        assert!(node.stopped().borrow().is_none(), "it goes on");

        set(&disk.0, false);
        for (n, answer) in append_all(&node, &envelopes).await.into_iter().enumerate() {
            let receipt = answer.expect("there is room");
            assert_eq!(receipt.event.position(), Position((appended + n) as u64));
            assert!(!receipt.duplicate, "nothing was kept of the first time");
        }
        appended += envelopes.len();
    }
    let tip = node.snapshot().tip;
    node.shut_down().await;
    drop(node);
    let node = disk.open(dir.path());
    assert_eq!((node.snapshot().tip, tip.size), (tip, TreeSize::new(appended as u64)));
    node.receipt(Position(7)).expect("proofs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_and_goes_on_without_a_restart() {
    full_and_not(|faults, full| faults.log_is_full.store(full, Ordering::SeqCst)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tree_refuses_and_goes_on_without_a_restart() {
    full_and_not(|faults, full| faults.tree_is_full.store(full, Ordering::SeqCst)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_shows_and_slows_its_callers_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::default();
    let node = disk.open(dir.path());
    assert_eq!(node.commit_running(), Duration::ZERO);
    disk.hang(true);
    let mut author = Author::new(1);
    let mut waiting = Vec::new();
    for n in 0..MAX_IN_FLIGHT {
        waiting.push(node.enqueue(author.intent(&n.to_string())).await.expect("taken in"));
    }
    while node.commit_running() < Duration::from_millis(20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((node.intake_used() - 1.0).abs() < f64::EPSILON, "{}", node.intake_used());
    let refused = node.append(Author::new(2).signed("one more")).await.expect_err("no place");
    assert!(matches!(refused, AppendError::Busy), "{refused}");
    assert_eq!(node.snapshot().tip.size, TreeSize::ZERO, "nothing is acknowledged");

    disk.hang(false);
    for appending in waiting {
        appending.receipt().await.expect("appended");
    }
    assert_eq!(node.snapshot().tip.size, TreeSize::new(MAX_IN_FLIGHT as u64));
    node.append(Author::new(2).signed("one more")).await.expect("there is a place");
}

#[tokio::test(flavor = "multi_thread")]
async fn few_envelopes_gather_while_others_are_on_their_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::default();
    let node = disk.open(dir.path());
    disk.hang(true);
    let mut author = Author::new(1);
    let mut waiting = vec![node.enqueue(author.intent("first")).await.expect("taken in")];
    while node.commit_running() == Duration::ZERO {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for n in 1..=40 {
        waiting.push(node.enqueue(author.intent(&n.to_string())).await.expect("taken in"));
        // Time enough to take it out alone.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    disk.hang(false);
    let mut heads = Vec::new();
    for appending in waiting {
        heads.push(appending.receipt().await.expect("appended").checkpoint);
    }
    heads.dedup();
    assert_eq!(heads.len(), 2, "what came while the first was committed is one group");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_envelopes_take_more_of_the_intake() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::default();
    let node = disk.open(dir.path());
    disk.hang(true);
    let small = node.enqueue(Author::new(1).signed("small")).await.expect("taken in");
    let one = node.intake_used();
    let large = node.enqueue(Author::new(2).signed(&"x".repeat(4_096))).await.expect("taken in");
    let both = node.intake_used();
    assert!((both - 3.0 * one).abs() < f64::EPSILON, "{one} and {both}");
    disk.hang(false);
    small.receipt().await.expect("appended");
    large.receipt().await.expect("appended");
    while node.intake_used() > 0.0 {
        // A place is free soon after the answer was given.
        tokio::task::yield_now().await;
    }
}
