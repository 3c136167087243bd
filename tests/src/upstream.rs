//! Writers for a mirror to follow: a data directory that is served as it is, whatever it says, and a
//! network between it and the mirror that loses its temper.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tally_node::Upstream;
use tally_node::mirror::{Continues, Lost, Shown};
use tally_node::replica::Batch;
use tally_protocol::{Position, TreeSize};
use tally_store::{LogReader, ReadLimit, SegmentReader};
use tally_tlog::{MemoryTree, consistency_proof, root_at};
use tokio::sync::mpsc;

/// How much a batch holds: small, so that there are many.
const BATCH: ReadLimit = ReadLimit { events: 16, bytes: 1 << 20 };

/// Serves what a directory holds. No rule is asked; it ends where the log ends.
#[derive(Debug, Clone)]
pub struct Directory {
    data: PathBuf,
    /// The size of the tree whose checkpoint it gives away; the head's when there is none.
    published: Option<TreeSize>,
}

impl Directory {
    /// The writer of this data directory.
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), published: None }
    }

    /// The same, but what it gives away is an earlier checkpoint: it waits for its witnesses.
    pub fn publishing(self, size: u64) -> Self {
        Self { published: Some(TreeSize::new(size)), ..self }
    }

    fn reader(&self) -> SegmentReader {
        SegmentReader::open_read_only(&self.data, &mut |_| {}).expect("a log").0
    }
}

impl Upstream for Directory {
    async fn head(&self) -> Result<Shown, Lost> {
        let reader = self.reader();
        let note = match self.published {
            None => reader.checkpoint(),
            Some(size) => {
                let run = reader.run(Position(0), BATCH).expect("events");
                let commit = run.commits.into_iter().find(|commit| commit.size == size);
                commit.expect("a group ends there").checkpoint
            }
        };
        Ok(Shown { size: reader.tip().size, note: (!note.is_empty()).then_some(note) })
    }

    async fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Continues, Lost> {
        let reader = self.reader();
        let mut tree = MemoryTree::new();
        while tree.size() < new {
            for event in reader.read(Position::at_tip(tree.size()), BATCH).expect("events") {
                if tree.size() < new {
                    tree.append(event.leaf());
                }
            }
        }
        let lost = |error: &dyn std::fmt::Display| Lost(error.to_string());
        let old_root = root_at(&tree, old).map_err(|error| lost(&error))?;
        let proof = consistency_proof(&tree, old, new).map_err(|error| lost(&error))?;
        Ok(Continues { old_root, proof })
    }

    async fn replicate(&self, from: Position) -> Result<mpsc::Receiver<Result<Batch, Lost>>, Lost> {
        let reader = self.reader();
        let (to, batches) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut next = from;
            while next < Position::at_tip(reader.tip().size) {
                let run = reader.run(next, BATCH).expect("events");
                let batch = Batch {
                    first: next,
                    events: run.events.iter().map(|event| event.bytes().clone()).collect(),
                    trees: run.commits.iter().map(|c| (c.size, c.checkpoint.clone())).collect(),
                };
                next = Position(next.0 + batch.events.len() as u64);
                if to.send(Ok(batch)).await.is_err() {
                    return;
                }
            }
        });
        Ok(batches)
    }
}

/// A network that delays, cuts, repeats, reorders and damages what a writer sends.
pub struct BadNetwork<U> {
    writer: U,
    chance: Mutex<StdRng>,
}

/// What happens to a message.
enum Fate {
    Arrives,
    Delayed,
    Lost,
    Repeated,
    Overtaken,
    Damaged,
    Cut,
}

impl<U> BadNetwork<U> {
    /// In front of a writer; the same seed does the same.
    pub fn new(writer: U, seed: u64) -> Self {
        Self { writer, chance: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.chance.lock().expect("no holder panics"))
    }

    fn is_cut(&self) -> bool {
        self.draw(|chance| chance.random_ratio(1, 10))
    }
}

fn fate(chance: &mut StdRng) -> Fate {
    match chance.random_range(0..20) {
        0 => Fate::Delayed,
        1 => Fate::Lost,
        2 => Fate::Repeated,
        3 => Fate::Overtaken,
        4 => Fate::Damaged,
        5 => Fate::Cut,
        _ => Fate::Arrives,
    }
}

/// One bit of one event or checkpoint is flipped, or an event is missing.
fn damage(chance: &mut StdRng, batch: &mut Batch) {
    let flip = |bytes: &mut Bytes, chance: &mut StdRng| {
        let mut changed = bytes.to_vec();
        let at = chance.random_range(0..changed.len());
        changed[at] ^= 1 << chance.random_range(0..8);
        *bytes = changed.into();
    };
    match chance.random_range(0..4) {
        0 if !batch.trees.is_empty() => {
            let at = chance.random_range(0..batch.trees.len());
            flip(&mut batch.trees[at].1, chance);
        }
        1 => {
            let at = chance.random_range(0..batch.events.len());
            batch.events.remove(at);
        }
        2 if batch.events.len() > 1 => batch.events.swap(0, 1),
        _ => {
            let at = chance.random_range(0..batch.events.len());
            flip(&mut batch.events[at], chance);
        }
    }
}

impl<U: Upstream> Upstream for BadNetwork<U> {
    async fn head(&self) -> Result<Shown, Lost> {
        if self.is_cut() {
            return Err(Lost("cut".into()));
        }
        self.writer.head().await
    }

    async fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Continues, Lost> {
        if self.is_cut() {
            return Err(Lost("cut".into()));
        }
        self.writer.consistency(old, new).await
    }

    async fn replicate(&self, from: Position) -> Result<mpsc::Receiver<Result<Batch, Lost>>, Lost> {
        let mut sent = self.writer.replicate(from).await?;
        let mut chance = StdRng::seed_from_u64(self.draw(|chance| chance.random()));
        let (to, batches) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut held_back: Option<Batch> = None;
            while let Some(Ok(mut batch)) = sent.recv().await {
                let mut arriving = Vec::new();
                match fate(&mut chance) {
                    Fate::Arrives => arriving.push(batch),
                    Fate::Delayed => {
                        tokio::time::sleep(Duration::from_millis(chance.random_range(1..5))).await;
                        arriving.push(batch);
                    }
                    Fate::Lost => {}
                    Fate::Repeated => arriving.extend([batch.clone(), batch]),
                    Fate::Overtaken => held_back = Some(batch),
                    Fate::Damaged => {
                        damage(&mut chance, &mut batch);
                        arriving.push(batch);
                    }
                    Fate::Cut => return,
                }
                if !arriving.is_empty() {
                    arriving.extend(held_back.take());
                }
                for batch in arriving {
                    if to.send(Ok(batch)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(batches)
    }
}
