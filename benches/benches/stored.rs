//! A ledger as it is kept: groups of every size, recovery, proofs from the stored tree, bundles.
//!
//! The ledger has 20,000 events by 16 signers in groups of 256, each with a signed checkpoint.
//!
//! | benchmark | what |
//! |---|---|
//! | `stored/group/<n>` | verifying, planning and committing groups of so many events, one after the other, on one thread |
//! | `stored/recover` | opening the log: what a start reads of it before anything is folded |
//! | `stored/open` | opening a node and closing it: recovery, the state, the projections |
//! | `stored/prove/inclusion` | one event read and proved under the head, from the tree on disk |
//! | `stored/prove/consistency` | that the head continues the tree of half the size, from the same |
//! | `stored/bundle/verify` | [`verify_bundle`] of the provenance bundle of one task |
//!
//! The files are in the page cache. In a node the stages of a group overlap with those of its
//! neighbours; here they do not, so that each size shows what it costs.

use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tally_benches::{Market, Sequencer, node_config, origin, verified};
use tally_node::Node;
use tally_protocol::{MessageKind, Position, TreeSize};
use tally_provenance::{Causality, Subject};
use tally_store::{LogReader, LogWriter, Options, SegmentLog, SegmentReader};
use tally_tlog::{LeafIndex, MemoryTree, SignedCheckpoint, VerifierKey, subset_proof};
use tally_verify::{Bundle, Trust, Verdict, verify_bundle};
use tempfile::TempDir;

const EVENTS: usize = 20_000;
const GROUP_EVENTS: usize = 256;
const SIGNERS: usize = 16;

/// Events of one group: alone, up to the most that a node commits together.
const SIZES: [usize; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// Writes the ledger; the key that signs its checkpoints.
fn write_ledger(dir: &Path) -> VerifierKey {
    let (mut writer, _reader, _) =
        SegmentLog::open(dir, &origin(), Options::default(), &mut |_| {}).expect("a log");
    let epoch = writer.open_epoch("bench").expect("an epoch");
    let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
    let mut tip = TreeSize::ZERO;
    for batch in verified(market.batch(EVENTS)).chunks(GROUP_EVENTS) {
        tip = writer.append(epoch, tip, &sequencer.group(batch)).expect("it is durable").size;
    }
    writer.close().expect("closed");
    sequencer.log_key()
}

/// The bundle of a task in the middle of the log.
fn bundle(reader: &SegmentReader) -> Vec<u8> {
    let (mut causality, mut tree, mut subject) = (Causality::new(), MemoryTree::new(), None);
    for position in (0..EVENTS as u64).map(Position) {
        let event = reader.event(position).expect("an event");
        let parsed = event.signed().parse().expect("an envelope");
        causality.fold(position, parsed.id(), parsed.envelope());
        tree.append(event.leaf());
        let is_task = parsed.envelope().message.kind() == MessageKind::TaskStart;
        if is_task && position.0 < EVENTS as u64 / 2 {
            subject = Some(Subject::Task(parsed.id()));
        }
    }
    let subject = subject.expect("a task");
    let closure = causality.closure(&subject, None).expect("a task of the log");
    let leaves: Vec<LeafIndex> = closure.positions.iter().map(|position| position.leaf()).collect();
    let event = |position: &Position| reader.event(*position).expect("an event");
    let bundle = Bundle {
        origin: origin(),
        events: closure.positions.iter().map(event).collect(),
        nodes: subset_proof(&tree, &leaves, tree.size()).expect("leaves of the tree"),
        older: None,
        omitted: Vec::new(),
        subject,
        checkpoint: SignedCheckpoint::parse(&reader.checkpoint()).expect("a checkpoint"),
    };
    bundle.to_bytes()
}

fn stored(c: &mut Criterion) {
    let mut group = c.benchmark_group("stored");
    group.sampling_mode(SamplingMode::Flat);
    for size in SIZES {
        let dir = directory();
        let (mut writer, _reader, _) =
            SegmentLog::open(dir.path(), &origin(), Options::default(), &mut |_| {})
                .expect("a log");
        let epoch = writer.open_epoch("bench").expect("an epoch");
        let (mut market, mut sequencer) = (Market::new(origin(), SIGNERS, 1), Sequencer::new());
        let mut tip = TreeSize::ZERO;
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("group/{size}"), |b| {
            let append = |signed| {
                let planned = sequencer.group(&verified(signed));
                tip = writer.append(epoch, tip, &planned).expect("it is durable").size;
                planned
            };
            b.iter_batched(|| market.batch(size), append, BatchSize::PerIteration);
        });
        writer.close().expect("closed");
    }

    let dir = directory();
    let key = write_ledger(dir.path());
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("recover", |b| {
        let open = || {
            SegmentLog::open(dir.path(), &origin(), Options::default(), &mut |_| {}).expect("a log")
        };
        b.iter(open);
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let open = || Node::open(node_config(dir.path()), |_| {}).expect("a ledger");
    group.bench_function("open", |b| b.iter(|| runtime.block_on(open().shut_down())));

    group.throughput(Throughput::Elements(1));
    let node = open();
    let mut next = 0;
    let mut position = || {
        next = (next + 6_180_339) % EVENTS as u64;
        Position(next)
    };
    group.bench_function("prove/inclusion", |b| {
        b.iter(|| node.receipt(position()).expect("an event of the log"));
    });
    let half = TreeSize::new(EVENTS as u64 / 2 - 1);
    group.bench_function("prove/consistency", |b| {
        b.iter(|| node.consistency(half, None).expect("an earlier tree"));
    });
    runtime.block_on(node.shut_down());

    let (reader, _) = SegmentReader::open_read_only(dir.path(), &mut |_| {}).expect("a reader");
    let bytes = bundle(&reader);
    let trust = Trust { origin: origin(), keys: vec![key], earlier: Vec::new() };
    group.bench_function("bundle/verify", |b| {
        b.iter(|| {
            let report = verify_bundle(&bytes, &trust, |_| {});
            assert_eq!(report.verdict, Verdict::Valid, "{}", report.summary);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = stored
}
criterion_main!(benches);
