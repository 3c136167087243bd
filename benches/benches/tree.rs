//! The Merkle tree's arithmetic: growing it, and proofs in a tree of 100,000 leaves.
//!
//! | benchmark | one element is |
//! |---|---|
//! | `tree/frontier/append` | one leaf hash appended to the right edge, its complete nodes handed out |
//! | `tree/frontier/root` | the root over the right edge |
//! | `tree/inclusion/prove` | one inclusion proof from nodes in memory |
//! | `tree/inclusion/verify` | one inclusion proof checked |
//! | `tree/consistency/prove`, `…/verify` | a consistency proof from half of the tree |
//!
//! There are no signers. Hashing an event into its leaf is not measured, nor is reading stored
//! nodes from a disk.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tally_tlog::{
    Frontier, Hash, LeafIndex, MemoryTree, TreeSize, consistency_proof, inclusion_proof, leaf_hash,
    verify_consistency, verify_inclusion,
};

const LEAVES: u64 = 100_000;

/// Leaves that are appended together.
const RUN: u64 = 1_024;

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn tree(c: &mut Criterion) {
    let mut tree = MemoryTree::new();
    let mut frontier = Frontier::new();
    for index in 0..LEAVES {
        tree.append(leaf(index));
        frontier.append(leaf(index), |_, _| {});
    }
    let (size, root) = (tree.size(), tree.root());
    // Steps through the tree without repeating a neighbour.
    let mut next = 0;
    let mut index = || {
        next = (next + 61_803) % LEAVES;
        LeafIndex::new(next)
    };

    let mut group = c.benchmark_group("tree");
    group.throughput(Throughput::Elements(RUN));
    let leaves: Vec<Hash> = (0..RUN).map(leaf).collect();
    group.bench_function("frontier/append", |b| {
        b.iter(|| {
            let mut frontier = frontier.clone();
            for leaf in &leaves {
                frontier.append(*leaf, |id, hash| {
                    black_box((id, hash));
                });
            }
            frontier
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("frontier/root", |b| b.iter(|| black_box(&frontier).root()));
    group.bench_function("inclusion/prove", |b| {
        b.iter(|| inclusion_proof(&tree, index(), size).expect("a leaf of the tree"));
    });
    let at = LeafIndex::new(LEAVES / 3);
    let proof = inclusion_proof(&tree, at, size).expect("a leaf of the tree");
    let leaf = leaf(at.as_u64());
    group.bench_function("inclusion/verify", |b| {
        b.iter(|| verify_inclusion(black_box(leaf), at, size, &proof, root).expect("it is there"));
    });
    let old = TreeSize::new(LEAVES / 2 - 1);
    let old_root = tree.root_at(old).expect("an earlier tree");
    group.bench_function("consistency/prove", |b| {
        b.iter(|| consistency_proof(&tree, black_box(old), size).expect("an earlier tree"));
    });
    let proof = consistency_proof(&tree, old, size).expect("an earlier tree");
    group.bench_function("consistency/verify", |b| {
        b.iter(|| {
            verify_consistency(old, size, black_box(old_root), root, &proof).expect("it grew");
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = tree
}
criterion_main!(benches);
