//! Reading a whole ledger back from disk: verification, replay and the raw scan.
//!
//! The ledger has 20,000 events by 16 signers in groups of 256, each with a signed checkpoint.
//!
//! | benchmark | what | threads |
//! |---|---|---|
//! | `ledger/verify` | [`verify_ledger`] over a scan: signatures, chain, every rule, tree, checkpoints | all |
//! | `ledger/mirror` | a mirror fetches it all within the process, judges it and keeps it on disk | all |
//! | `ledger/scan` | every frame: checksums, positions, the chain | one |
//! | `ledger/scan_decode` | that, and each envelope decoded: raw scan and decode | one |
//! | `ledger/replay/count` | a new projection in memory that counts the events of each kind | one, and one that reads ahead |
//! | `ledger/replay/read` | the same for a fold that asks for every envelope | as before |
//! | `ledger/replay/state` | that, and admission by the rules into the core fold | one |
//! | `ledger/replay/graph` | reading, parsing, and the provenance graph | one |
//! | `ledger/replay/index/<workers>` | a new projection with its rows on disk: the index | workers |
//! | `ledger/state_digest` | the digest of the state that the ledger comes to | one |
//!
//! The files are in the page cache: it is the program that is measured, not the disk. Opening a
//! ledger is not measured; it is a scan and a replay of the state.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tally_benches::{Market, Sequencer, origin, verified};
use tally_node::history::{fold_graph, fold_state};
use tally_node::index::Index;
use tally_node::mirror::{Continues, Lost, Shown};
use tally_node::replica::Batch;
use tally_node::{Mirror, MirrorConfig, Node, Replica, Standing, SystemClock, Until, Upstream};
use tally_projection::{Entry, InMemory, MemoryFold, Projection, Stored, catch_up};
use tally_protocol::{Envelope, MessageKind, Position, TreeSize};
use tally_store::{
    Commit, Group, Located, LogReader, LogWriter, Options, ReadLimit, ScanError, Scanned,
    SegmentLog, SegmentReader, scan,
};
use tally_tlog::VerifierKey;
use tally_verify::{FirstBad, Item, Judge, Trust, Verdict, verify_ledger};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

const EVENTS: usize = 20_000;
const GROUP_EVENTS: usize = 256;
const SIGNERS: usize = 16;

/// Writes the ledger and tells how to trust it.
fn write_ledger(dir: &Path) -> Trust {
    let (mut writer, _reader, _) =
        SegmentLog::open(dir, &origin(), Options::default(), &mut |_| {}).expect("a log");
    let epoch = writer.open_epoch("bench").expect("an epoch");
    let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
    let envelopes = verified(market.batch(EVENTS));
    let mut tip = TreeSize::ZERO;
    for batch in envelopes.chunks(GROUP_EVENTS) {
        let group: Group = sequencer.group(batch);
        tip = writer.append(epoch, tip, &group).expect("it is durable").size;
    }
    writer.close().expect("closed");
    Trust { origin: origin(), keys: vec![sequencer.log_key()], earlier: Vec::new() }
}

/// A writer within the process.
struct Writer(SegmentReader);

/// As much as a message over gRPC has.
const MESSAGE: ReadLimit = ReadLimit { events: 1_024, bytes: 1024 * 1024 };

impl Upstream for Writer {
    async fn head(&self) -> Result<Shown, Lost> {
        Ok(Shown { size: self.0.tip().size, note: Some(self.0.checkpoint()) })
    }

    async fn consistency(&self, _: TreeSize, _: TreeSize) -> Result<Continues, Lost> {
        Err(Lost("the mirror begins with nothing".into()))
    }

    async fn replicate(&self, from: Position) -> Result<mpsc::Receiver<Result<Batch, Lost>>, Lost> {
        let (reader, (to, batches)) = (self.0.clone(), mpsc::channel(4));
        tokio::spawn(async move {
            let mut first = from;
            while first < Position::at_tip(reader.tip().size) {
                let run = reader.run(first, MESSAGE).expect("events");
                let events: Vec<_> = run.events.iter().map(|e| e.bytes().clone()).collect();
                let trees = run.commits.into_iter().map(|c| (c.size, c.checkpoint)).collect();
                let next = Position(first.0 + events.len() as u64);
                if to.send(Ok(Batch { first, events, trees })).await.is_err() {
                    return;
                }
                first = next;
            }
        });
        Ok(batches)
    }
}

/// An empty mirror.
fn open_mirror(log_key: &VerifierKey) -> (TempDir, Node, Replica) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let config = MirrorConfig {
        data: dir.path().to_owned(),
        log_key: log_key.clone(),
        writer: String::new(),
        cosigner: None,
        clock: Arc::new(SystemClock),
    };
    let (node, replica) = Node::open_mirror(config, |_| {}).expect("it opens");
    (dir, node, replica)
}

/// What a scan found, as verification takes it.
fn item(found: Result<Located, ScanError>) -> Option<Result<Item, FirstBad>> {
    match found.expect("the log is whole").item {
        Scanned::Segment(_) => None,
        Scanned::Event(event) => Some(Ok(Item::Event(event))),
        Scanned::Commit(Commit { size, chain, root, checkpoint }) => {
            Some(Ok(Item::Commit { size, chain, root, checkpoint }))
        }
    }
}

/// How many events there are of each kind.
#[derive(Default)]
struct Kinds(BTreeMap<MessageKind, u64>);

impl MemoryFold for Kinds {
    fn fold(&mut self, entry: &Entry) {
        *self.0.entry(entry.kind()).or_default() += 1;
    }
}

/// How many causes all events name.
#[derive(Default)]
struct Causes(usize);

impl MemoryFold for Causes {
    fn fold(&mut self, entry: &Entry) {
        self.0 += entry.envelope().causes.len();
    }
}

fn fold_in_memory<T: MemoryFold>(reader: &dyn LogReader) {
    let mut projection = InMemory::<T>::new("bench");
    catch_up(&mut projection, reader, |_| {}).expect("the log is whole");
    assert_eq!(projection.cursor(), Position(EVENTS as u64));
    black_box(projection);
}

fn ledger(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let trust = write_ledger(dir.path());
    let (reader, _) = SegmentReader::open_read_only(dir.path(), &mut |_| {}).expect("a reader");
    let reader: &dyn LogReader = &reader;

    let mut group = c.benchmark_group("ledger");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("verify", |b| {
        b.iter(|| {
            let items = scan(dir.path()).expect("a log").filter_map(item);
            let report = verify_ledger(items, Judge::new(trust.clone()), |_| {});
            assert_eq!((report.verdict, report.size.as_u64()), (Verdict::Valid, EVENTS as u64));
        });
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (source, _) = SegmentReader::open_read_only(dir.path(), &mut |_| {}).expect("a reader");
    group.bench_function("mirror", |b| {
        let mirror = |(dir, node, replica): (TempDir, Node, Replica)| {
            let (_stop_to, stop) = watch::channel(false);
            let mirror = Mirror::new(Writer(source.clone()), node.clone(), replica);
            let standing = runtime.block_on(mirror.run(Until::Current, stop)).expect("a disk");
            assert_eq!(standing, Standing::Current);
            (dir, node)
        };
        b.iter_batched(|| open_mirror(&trust.keys[0]), mirror, BatchSize::PerIteration);
    });
    group.bench_function("scan", |b| {
        b.iter(|| {
            for found in scan(dir.path()).expect("a log") {
                black_box(found.expect("the log is whole"));
            }
        });
    });
    group.bench_function("scan_decode", |b| {
        b.iter(|| {
            for found in scan(dir.path()).expect("a log") {
                if let Scanned::Event(event) = found.expect("the log is whole").item {
                    black_box(Envelope::decode(event.payload()).expect("it was parsed"));
                }
            }
        });
    });
    group.bench_function("replay/count", |b| b.iter(|| fold_in_memory::<Kinds>(reader)));
    group.bench_function("replay/read", |b| b.iter(|| fold_in_memory::<Causes>(reader)));
    group.bench_function("replay/state", |b| {
        b.iter_with_large_drop(|| fold_state(reader).expect("the log is whole"));
    });
    group.bench_function("replay/graph", |b| {
        b.iter_with_large_drop(|| fold_graph(reader).expect("the log is whole"));
    });
    for workers in [1, 2] {
        group.bench_function(format!("replay/index/{workers}"), |b| {
            let fold = |dir: &TempDir| {
                let rows = dir.path().join("rows");
                let size = reader.tip().size;
                let (index, _) = Stored::open(&rows, Index, Position(0), size).expect("rows");
                let mut index = index.workers(workers);
                catch_up(&mut index, reader, |_| {}).expect("the log is whole");
                index
            };
            let place = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
            b.iter_batched_ref(place, |dir| fold(dir), BatchSize::PerIteration);
        });
    }
    let state = fold_state(reader).expect("the log is whole");
    group.bench_function("state_digest", |b| b.iter(|| state.digest()));
    group.finish();
}

/// The one of the program `tally`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = ledger
}
criterion_main!(benches);
