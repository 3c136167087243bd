//! Rot, over a whole data directory as `tally serve` leaves it: bits flipped, files cut short, turned
//! to zeros, and gone. What opens is the same ledger, and what does not open says where.
//!
//! | files | damage | opened |
//! |---|---|---|
//! | `log/*.seg`, `log/*.idx`, `mark`, `tree/*`, `lock` | every bit, every length, zeros, gone | by the store, in memory |
//! | `projections/*` | a sample of [`ROW_BITS`] bits and [`ROW_LENGTHS`] lengths a file, zeros, gone | by the engine of the rows, on disk |
//! | all of them, and the key | a sample of [`NODE_BITS`] bits and [`NODE_LENGTHS`] lengths a file, zeros, gone | by the node, on disk |
//!
//! Opened means: every event, the tip, its checkpoint, a proof of every event, every look-up, the
//! objects and the graph are held to what they were before. Nothing is, of files that nobody reads
//! back: `evidence.jsonl` and `log.pub`, which each start writes anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tally_node::index::{self, Index};
use tally_node::{AppendError, Config, Node, OpenError as NodeError};
use tally_projection::{Entry, Projection, Stored};
use tally_protocol::{
    AgentId, AuthorSequence, EnvelopeId, Event, Origin, Position, SignedEnvelope,
};
use tally_simulator::disk::SimFs;
use tally_simulator::random::Random;
use tally_store::fs::FileSystem;
use tally_store::{
    Damage as Place, LogReader, OpenError, Options, ReadLimit, RowsState, SegmentLog, Tip,
    TreeFiles,
};
use tally_tests::signer::{Signer, capability, intent, message, offer, progress, start};
use tally_tlog::{
    HashReader, LogProof, NoteSigner, SignedCheckpoint, inclusion_proof, verify_inclusion,
};
use tempfile::TempDir;

/// Bits of each file of the rows that are flipped.
const ROW_BITS: u64 = 40;

/// Lengths to which each file of the rows is cut.
const ROW_LENGTHS: u64 = 8;

/// Bits of each file that are flipped for the node.
const NODE_BITS: u64 = 10;

/// Lengths to which each file is cut for the node.
const NODE_LENGTHS: u64 = 3;

/// Threads that share the work.
const WORKERS: usize = 2;

/// What becomes of a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Cut { length: usize },
    Zeros,
    Gone,
}

impl Damage {
    /// Every bit, every length, and the rest.
    fn all(bytes: usize) -> impl Iterator<Item = Self> {
        let flips = (0..bytes).flat_map(|at| (0..8).map(move |bit| Damage::Flip { at, bit }));
        let cuts = (0..bytes).map(|length| Damage::Cut { length });
        flips.chain(cuts).chain([Damage::Zeros, Damage::Gone])
    }

    /// So many bits and lengths, among them the first and the last, and the rest.
    fn some(bytes: usize, bits: u64, lengths: u64, seed: u64) -> Vec<Self> {
        let mut random = Random::new(seed);
        let mut below = |nth: u64, count: u64| match nth {
            0 => 0,
            1 => bytes - 1,
            _ => random.below(count) as usize,
        };
        let mut all = vec![Damage::Zeros, Damage::Gone];
        if bytes > 0 {
            let count = bytes as u64;
            all.extend((0..lengths).map(|nth| Damage::Cut { length: below(nth, count) }));
            all.extend((0..bits).map(|nth| {
                let at = below(nth, count);
                Damage::Flip { at, bit: (at as u64 * 5 + nth) as u8 % 8 }
            }));
        }
        all
    }

    /// What is left of a file.
    fn of(self, whole: &[u8]) -> Option<Vec<u8>> {
        match self {
            Damage::Flip { at, bit } => {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 1 << bit;
                Some(bytes)
            }
            Damage::Cut { length } => Some(whole[..length].to_vec()),
            Damage::Zeros => Some(vec![0; whole.len()]),
            Damage::Gone => None,
        }
    }

    /// The first byte that it reaches.
    fn begin(self) -> u64 {
        match self {
            Damage::Flip { at, .. } => at as u64,
            Damage::Cut { length } => length as u64,
            Damage::Zeros | Damage::Gone => 0,
        }
    }
}

/// Says which damage it was when a check panics.
struct Looking<'l>(&'l str, Damage);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {:?}", self.0, self.1);
        }
    }
}

/// What opening came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Same,
    Refused,
}

/// The bytes of a data directory, and what the ledger in it answers.
struct Ledger {
    files: BTreeMap<String, File>,
    origin: Origin,
    signer: NoteSigner,
    tip: Tip,
    checkpoint: Vec<u8>,
    events: Vec<Event>,
    rows: Vec<Row>,
    /// Envelopes that take a sequence of the event at the position once more.
    doubles: Vec<(SignedEnvelope, Position)>,
    objects: String,
    graph: String,
}

/// A file up to its last byte that is not zero: journals are preallocated.
#[derive(Debug, Clone)]
struct File {
    bytes: Vec<u8>,
    length: u64,
}

impl File {
    fn read(path: &Path) -> Self {
        let mut bytes = std::fs::read(path).expect("a file");
        let length = bytes.len() as u64;
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        Self { bytes, length }
    }

    fn damaged(&self, damage: Damage) -> Option<Self> {
        let length = match damage {
            Damage::Cut { length } => length as u64,
            _ => self.length,
        };
        damage.of(&self.bytes).map(|bytes| Self { bytes, length })
    }

    fn whole(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(usize::try_from(self.length).expect("fits into memory"), 0);
        bytes
    }

    fn write(&self, path: &Path) {
        std::fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
        std::fs::write(path, &self.bytes).expect("written");
        let file = std::fs::File::options().write(true).open(path).expect("a file");
        file.set_len(self.length).expect("its length");
    }
}

fn files(root: &Path, below: &Path, found: &mut BTreeMap<String, File>) {
    for entry in std::fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("below").to_str().expect("text");
            found.insert(name.to_owned(), File::read(&path));
        }
    }
}

/// A ledger of one finished task, made once.
fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| runtime().block_on(make()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

async fn make() -> Ledger {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let origin: Origin = "rot.example/ledger".parse().expect("an origin");
    let signer = NoteSigner::from_seed(origin.key_name(), &[5; 32]);
    std::fs::create_dir(&data).expect("a directory");
    let key = format!("{}\n", signer.to_secret_text());
    std::fs::write(data.join("log.key"), key).expect("the key");
    let said = say(&origin);
    // Two lives, so that what a start finds and makes anew is there too.
    for half in said.chunks(said.len().div_ceil(2)) {
        let node = open(&data, &origin, &signer).expect("a ledger");
        for (signed, _) in half {
            node.append(signed.clone().parse().expect("it reads")).await.expect("admitted");
        }
        node.shut_down().await;
    }
    let node = open(&data, &origin, &signer).expect("a ledger");
    let (objects, graph) = (objects(&node), graph(&node).await.expect("a graph"));
    let log = node.log();
    let events = log.read(Position(0), ALL).expect("events");
    let rows = events.iter().map(row).collect();
    let (tip, checkpoint) = (log.tip(), log.checkpoint().to_vec());
    node.shut_down().await;
    drop(node);
    let mut found = BTreeMap::new();
    files(&data, &data, &mut found);
    let positions = (0..).map(Position);
    let doubles = said.into_iter().zip(positions).map(|((_, double), at)| (double, at)).collect();
    Ledger { files: found, origin, signer, tip, checkpoint, events, rows, doubles, objects, graph }
}

/// Where the rows of the index lie, with their seal.
const ROWS: &str = "projections/index/v2-0";

/// What is kept of one event.
struct Row {
    envelope: EnvelopeId,
    author: AgentId,
    sequence: AuthorSequence,
    position: Position,
}

/// Everything at once.
const ALL: ReadLimit = ReadLimit { events: usize::MAX, bytes: usize::MAX };

fn row(event: &Event) -> Row {
    let envelope = event.signed().parse().expect("it reads");
    let said = envelope.envelope();
    let (author, sequence) = (said.author, said.author_sequence);
    Row { envelope: envelope.id(), author, sequence, position: event.position() }
}

/// What is said, each with another statement that takes the same sequence.
fn say(origin: &Origin) -> Vec<(SignedEnvelope, SignedEnvelope)> {
    let (mut office, mut boat) = (Signer::new(1, origin), Signer::new(2, origin));
    let mut said = Vec::new();
    let mut say = |who: &mut Signer, message| {
        let double = who.try_out(intent("something else"));
        let signed = who.say(message);
        let id = signed.id();
        said.push((signed, double));
        id
    };
    let able = say(&mut boat, capability("sweep"));
    let wish = say(&mut office, intent("a chart"));
    let bid = say(&mut boat, offer(wish, able));
    let task = say(&mut office, start(wish, bid));
    say(&mut boat, progress(task, "accepted", 0));
    say(&mut boat, progress(task, "running", 50));
    let output = serde_json::json!({ "uri": "s3://chart", "digest": "07".repeat(32), "size": 7 });
    let end = serde_json::json!({ "task": task, "outcome": "succeeded", "outputs": [output] });
    say(&mut boat, message(serde_json::json!({ "task_done": end })));
    say(&mut office, intent("another chart"));
    said
}

fn open(data: &Path, origin: &Origin, signer: &NoteSigner) -> Result<Node, NodeError> {
    let config = Config::new(data.to_owned(), origin.clone(), signer.clone());
    Node::open(config, |_| {})
}

/// The objects that the rules have made of the log.
fn objects(node: &Node) -> String {
    let state = &node.snapshot().state;
    let mut capabilities: Vec<_> = state.capabilities().collect();
    let mut intents: Vec<_> = state.intents().collect();
    let mut tasks: Vec<_> = state.tasks().collect();
    // The state keeps them in no order.
    capabilities.sort_by_key(|capability| capability.position);
    intents.sort_by_key(|intent| intent.position);
    tasks.sort_by_key(|task| task.position);
    format!("{capabilities:?} {intents:?} {tasks:?}")
}

/// The provenance graph, once it has seen all of the log.
async fn graph(node: &Node) -> Option<String> {
    let ask = |graph: &tally_provenance::Graph| {
        let workflow = graph.workflow(None).to_json();
        format!("{workflow} {} {}", graph.node_count(), graph.edge_count())
    };
    node.ask_graph(node.log().tip().size, ask).await.ok()
}

impl Ledger {
    /// The files of which these are damaged one by one.
    fn damages(&self, part: &str, some: impl Fn(usize, u64) -> Vec<Damage>) -> Vec<(&str, Damage)> {
        let named = self.files.iter().filter(|(name, _)| name.starts_with(part));
        let damages = named.zip(1..).flat_map(|((name, file), seed)| {
            some(file.bytes.len(), seed).into_iter().map(move |damage| (name.as_str(), damage))
        });
        damages.collect()
    }

    fn damaged(&self, name: &str, damage: Damage) -> BTreeMap<&str, File> {
        self.files
            .iter()
            .filter_map(|(file, whole)| {
                let left = if file == name { whole.damaged(damage) } else { Some(whole.clone()) };
                Some((file.as_str(), left?))
            })
            .collect()
    }

    fn check_log(&self, reader: &dyn LogReader) {
        assert_eq!((reader.tip(), &reader.checkpoint()[..]), (self.tip, &self.checkpoint[..]));
        let events = reader.read(Position(0), ALL).expect("an opened log can be read");
        assert!(events == self.events, "other events");
        for event in &self.events {
            assert!(reader.event(event.position()).expect("an event") == *event, "another event");
        }
    }

    fn check_tree<R: HashReader<Error: std::fmt::Debug>>(&self, tree: &R) {
        for event in &self.events {
            let (index, Tip { size, root, .. }) = (event.position().leaf(), self.tip);
            let proof = inclusion_proof(tree, index, size).expect("a proof");
            verify_inclusion(event.leaf(), index, size, &proof, root).expect("it holds");
        }
    }

    /// Damage must be said to be where it is: in this file, at or before this byte.
    fn check_refusal(&self, error: &OpenError, name: &str, damage: Damage) {
        let (OpenError::Damaged { damage: place, .. } | OpenError::Foreign { damage: place }) =
            error
        else {
            panic!("{error}");
        };
        let Place { segment, offset, position, .. } = place;
        assert_eq!(format!("log/{segment}"), name, "{error}");
        assert!(*offset <= damage.begin(), "{error}");
        assert!(position.0 <= self.tip.size.as_u64(), "{error}");
    }
}

/// Runs a check of every damage on all workers; gives how often each outcome was.
fn run(
    damages: &[(&str, Damage)],
    check: impl Fn(&TempDir, &str, Damage) -> Outcome + Sync,
) -> BTreeMap<Outcome, usize> {
    let next = AtomicUsize::new(0);
    let work = || {
        let directory = tempfile::tempdir().expect("a directory");
        let mut counts = BTreeMap::new();
        while let Some((name, damage)) = damages.get(next.fetch_add(1, Ordering::Relaxed)) {
            let _looking = Looking(name, *damage);
            *counts.entry(check(&directory, name, *damage)).or_insert(0) += 1;
        }
        counts
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            let counts = worker.join().expect("no check fails");
            counts.into_iter().for_each(|(outcome, n)| *all.entry(outcome).or_insert(0) += n);
        }
        all
    })
}

// ------------------------------------------------------------------ the store, in memory

/// A disk in memory that holds these files in the directory `/data`.
fn disk(files: &BTreeMap<&str, File>) -> SimFs {
    let fs = SimFs::new(Random::new(0), None, false);
    for directory in ["/data", "/data/log", "/data/tree"] {
        fs.create_dir(Path::new(directory)).expect("a directory");
    }
    let is_rows = |name: &str| name.starts_with("projections/") || name.starts_with("state");
    let wanted = files.iter().filter(|(name, _)| !is_rows(name));
    for (name, file) in wanted {
        let path = Path::new("/data").join(name);
        let written = fs.create_new(&path).expect("a file");
        written.write_all_at(&file.whole(), 0).expect("written");
    }
    fs
}

fn check_store(name: &str, damage: Damage) -> Outcome {
    let ledger = ledger();
    let fs = Arc::new(disk(&ledger.damaged(name, damage)));
    let (data, tree) = (Path::new("/data"), Path::new("/data/tree"));
    let opened =
        SegmentLog::open_on(fs.clone(), data, &ledger.origin, Options::default(), &mut |_| {});
    match opened {
        Ok((_writer, reader, recovery)) => {
            assert_eq!(recovery.cut, None, "all of it was acknowledged");
            ledger.check_log(&reader);
            let (tree, frontier, _) =
                TreeFiles::open_on(fs, tree, &ledger.tip, &reader, &mut |_| {}).expect("a tree");
            assert_eq!(frontier.root(), ledger.tip.root);
            ledger.check_tree(&tree.reader());
            Outcome::Same
        }
        Err(error) => {
            ledger.check_refusal(&error, name, damage);
            Outcome::Refused
        }
    }
}

#[test]
fn any_damage_to_the_log_is_refused_at_its_place() {
    let damages = ledger().damages("log/", |bytes, _| Damage::all(bytes).collect());
    let (segments, indexes): (Vec<_>, Vec<_>) =
        damages.into_iter().partition(|(name, _)| name.ends_with(".seg"));
    assert!(segments.len() > 8 * 5_000, "{}", segments.len());
    let counts = run(&segments, |_, name, damage| check_store(name, damage));
    assert_eq!(counts, [(Outcome::Refused, segments.len())].into());
    let counts = run(&indexes, |_, name, damage| check_store(name, damage));
    assert_eq!(counts, [(Outcome::Same, indexes.len())].into(), "an index is made again");
}

#[test]
fn any_damage_to_what_can_be_rebuilt_is_mended() {
    for part in ["mark", "tree/", "lock"] {
        let damages = ledger().damages(part, |bytes, _| Damage::all(bytes).collect());
        let counts = run(&damages, |_, name, damage| check_store(name, damage));
        assert_eq!(counts, [(Outcome::Same, damages.len())].into(), "{part}");
    }
}

// ------------------------------------------------------------------ the rows, on disk

/// Puts files in the place of what is there.
fn put(files: &BTreeMap<&str, File>, part: &str, data: &Path) {
    if data.exists() {
        std::fs::remove_dir_all(data).expect("removed");
    }
    let wanted = files.iter().filter(|(name, _)| name.starts_with(part));
    wanted.for_each(|(name, file)| file.write(&data.join(name)));
}

/// Rows that are damaged are as good as none: what is missing is fed again, and then every look-up
/// gives the one right answer.
fn check_rows(directory: &TempDir, name: &str, damage: Damage) -> Outcome {
    let ledger = ledger();
    let data = directory.path().join("data");
    put(&ledger.damaged(name, damage), ROWS, &data);
    let (dir, size) = (data.join(ROWS), ledger.tip.size);
    let (mut index, state) = Stored::open(&dir, Index, Position(0), size).expect("rows");
    let cursor = usize::try_from(index.cursor().0).expect("small");
    // Without its seal it is looked at from end to end.
    let whole = matches!(state, RowsState::Kept | RowsState::KeptUnclosed);
    assert!(whole || cursor == 0, "{state:?}");
    let events = ledger.events[cursor..].iter().cloned();
    let entries: Vec<_> = events.map(|event| Entry::new(event).expect("it reads")).collect();
    index.take(&entries).expect("fed again");
    let rows = index.rows();
    for row in &ledger.rows {
        let found = index::author(rows, &row.author, row.sequence);
        assert_eq!(found.expect("a row"), Some(row.position), "{state:?}");
        let beyond = AuthorSequence(row.sequence.0 + 100);
        assert_eq!(index::author(rows, &row.author, beyond).expect("no row"), None);
    }
    Outcome::Same
}

#[test]
fn damaged_rows_answer_right_or_are_made_again() {
    let some = |bytes, seed| Damage::some(bytes, ROW_BITS, ROW_LENGTHS, seed);
    let damages = ledger().damages(ROWS, some);
    let counts = run(&damages, check_rows);
    assert_eq!(counts, [(Outcome::Same, damages.len())].into());
}

// ------------------------------------------------------------------ the node, on disk

fn check_node(directory: &TempDir, name: &str, damage: Damage) -> Outcome {
    let ledger = ledger();
    let data = directory.path().join("data");
    put(&ledger.damaged(name, damage), "", &data);
    runtime().block_on(async {
        match open(&data, &ledger.origin, &ledger.signer) {
            Ok(node) => {
                check_answers(ledger, &node).await;
                node.shut_down().await;
                Outcome::Same
            }
            Err(NodeError::Store(error)) => {
                ledger.check_refusal(&error, name, damage);
                Outcome::Refused
            }
            Err(error) => panic!("{error}"),
        }
    })
}

async fn check_answers(ledger: &Ledger, node: &Node) {
    ledger.check_log(&**node.log());
    assert_eq!(objects(node), ledger.objects);
    assert_eq!(graph(node).await.as_ref(), Some(&ledger.graph));
    for (event, row) in ledger.events.iter().zip(&ledger.rows) {
        let receipt = node.receipt(row.position).expect("a receipt");
        let checkpoint = SignedCheckpoint::parse(&receipt.checkpoint).expect("a note");
        let proof = LogProof::new(None, row.position.leaf(), receipt.proof, checkpoint);
        let keys = [ledger.signer.verifier_key()];
        proof.expect("a proof").verify(event.leaf(), &keys, &ledger.origin).expect("it holds");
        assert_eq!(node.position_of(&row.envelope), Some(row.position));
    }
    // Only the rows know where the first of two statements with one sequence stands.
    for (double, first) in &ledger.doubles {
        match node.append(double.clone().parse().expect("it reads")).await {
            Err(AppendError::Refused(refusal)) => assert_eq!(refusal.position, Some(*first)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_damaged_directory_opens_to_the_same_ledger_or_not_at_all() {
    let some = |bytes, seed| Damage::some(bytes, NODE_BITS, NODE_LENGTHS, seed);
    let damages = ledger().damages("", some);
    let counts = run(&damages, check_node);
    println!("{counts:?}");
    assert!(counts[&Outcome::Same] > counts[&Outcome::Refused], "{counts:?}");
}

/// The key says by itself that it is damaged, or else reads as it was.
#[test]
fn a_damaged_key_signs_nothing() {
    let ledger = ledger();
    let whole = &ledger.files["log.key"].bytes;
    for damage in Damage::all(whole.len()) {
        let _looking = Looking("log.key", damage);
        let left = damage.of(whole).and_then(|bytes| String::from_utf8(bytes).ok());
        let read = left.and_then(|text| NoteSigner::parse_secret(text.trim()).ok());
        let same = read.is_none_or(|read| read.verifier_key() == ledger.signer.verifier_key());
        assert!(same, "another key was read");
    }
}
