//! Appending: the whole way of an event through a node, and two of its stages alone.
//!
//! | benchmark | what | signers |
//! |---|---|---|
//! | `append/node/<n>` | so many envelopes are given to a node at once and all log receipts awaited: signatures, rules, one `fdatasync` a group, inclusion proofs | 16 |
//! | `append/plan/1024` | the sequencer's decision on 1,024 envelopes, at the head of a ledger of 20,000 | 16 |
//! | `append/store/<n>` | the store alone: groups of so many events, one write and one `fdatasync` each | 16 |
//! | `append/raw/<n>` | nothing but that: one write of as many bytes behind the end of a file, and one `fdatasync` | – |
//!
//! The ledgers are in the build directory, on a real disk where that is one: with 1 in flight the
//! figure is mostly the latency of its `fdatasync`. Signing, parsing, gRPC and the network are not
//! measured. A node's ledger grows throughout, and its projections catch up between two rounds,
//! so this is the rate of a node with pauses, not of one that is fed without end.
//!
//! A disk that is still busy with what was written before shows in the small groups: to compare
//! those, run one benchmark by itself: `cargo bench -p tally-benches --bench append -- 'store/1$'`.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tally_benches::{Market, Sequencer, node_config, origin, verified};
use tally_node::Node;
use tally_protocol::{ParsedEnvelope, TreeSize};
use tally_store::{LogWriter, Options, SegmentLog};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SIGNERS: usize = 16;

/// Envelopes that are on their way together.
const SIZES: [usize; 3] = [1, 64, 1_024];

/// Events of a group that the store makes durable.
const GROUPS: [usize; 4] = [1, 256, 1_024, 4_096];

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.sampling_mode(SamplingMode::Flat);
    for size in SIZES {
        group.throughput(Throughput::Elements(size as u64));
        node(&mut group, size);
    }
    for size in GROUPS {
        group.throughput(Throughput::Elements(size as u64));
        raw(&mut group, size);
        store(&mut group, size);
    }
    group.throughput(Throughput::Elements(1_024));
    plan(&mut group);
    group.finish();
}

fn node(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    group.bench_function(format!("node/{size}"), |b| {
        let dir = directory();
        let runtime = Runtime::new().expect("a runtime");
        let node = Node::open(node_config(dir.path()), |_| {}).expect("a ledger");
        let mut market = Market::new(origin(), SIGNERS, 1);
        let batch = || -> Vec<ParsedEnvelope> {
            market.by_ref().take(size).map(|signed| signed.parse().expect("well-formed")).collect()
        };
        let append = |batch| runtime.block_on(append_all(&node, batch));
        b.iter_batched(batch, append, BatchSize::PerIteration);
        runtime.block_on(node.shut_down());
    });
}

async fn append_all(node: &Node, batch: Vec<ParsedEnvelope>) {
    let mut appending = Vec::with_capacity(batch.len());
    for envelope in batch {
        appending.push(node.enqueue(envelope).await.expect("the node takes it in"));
    }
    for waiting in appending {
        black_box(waiting.receipt().await.expect("it is admitted"));
    }
}

fn raw(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
    let written = sequencer.group(&verified(market.batch(size)));
    let bytes: usize = written.events.iter().map(|event| event.bytes().len()).sum();
    let bytes = vec![1_u8; bytes + written.commit.checkpoint.len()];
    group.bench_function(format!("raw/{size}"), |b| {
        let dir = directory();
        let mut file = File::create(dir.path().join("raw")).expect("a file");
        b.iter(|| {
            file.write_all(&bytes).expect("written");
            file.sync_data().expect("synced");
        });
    });
}

fn store(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    group.bench_function(format!("store/{size}"), |b| {
        let dir = directory();
        let (mut writer, _reader, _) =
            SegmentLog::open(dir.path(), &origin(), Options::default(), &mut |_| {})
                .expect("a log");
        let epoch = writer.open_epoch("bench").expect("an epoch");
        let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
        let mut tip = TreeSize::ZERO;
        let next = || sequencer.group(&verified(market.batch(size)));
        let append = |group| {
            tip = writer.append(epoch, tip, &group).expect("it is durable").size;
            group
        };
        b.iter_batched(next, append, BatchSize::PerIteration);
        writer.close().expect("closed");
    });
}

fn plan(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function("plan/1024", |b| {
        let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
        sequencer.group(&verified(market.batch(20_000)));
        let batch = verified(market.batch(1_024));
        b.iter_with_large_drop(|| sequencer.plan(&batch));
    });
}

/// The one of the program `tally`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .without_plots()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = append
}
criterion_main!(benches);
