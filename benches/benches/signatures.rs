//! Signature checks: one by one and in batches, and the parse that comes before them.
//!
//! | benchmark | one element is | signers |
//! |---|---|---|
//! | `signatures/parse` | decoding, the check that the encoding is canonical, the envelope's id | 16 |
//! | `signatures/decode` | the same without the id | 16 |
//! | `signatures/decode_by_wire_form` | the same by way of generated types, encoded again to compare | 16 |
//! | `signatures/single` | one signature on its own, decompression of its key included | 16 |
//! | `signatures/batch/<signers>/<size>` | one signature of a batch of that size | 16 or 1,000 |
//!
//! All of it is on one thread. Payloads have 300 to 600 bytes. Copying the envelopes that a check
//! consumes is not measured, nor is a batch with a bad signature in it, which costs more.

use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tally_benches::{Market, origin};
use tally_protocol::{Envelope, ParsedEnvelope, SignedEnvelope, signature};

const SIZES: [usize; 5] = [16, 64, 256, 1_024, 4_096];

fn signed(signers: usize) -> Vec<SignedEnvelope> {
    Market::new(origin(), signers, 1).batch(4_096)
}

fn parsed(signers: usize) -> Vec<ParsedEnvelope> {
    signed(signers).into_iter().map(|signed| signed.parse().expect("well-formed")).collect()
}

fn signatures(c: &mut Criterion) {
    let mut group = c.benchmark_group("signatures");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(1));
    let (signed, envelopes) = (signed(16), parsed(16));
    let mut next = signed.iter().cycle().cloned();
    let mut copy = || next.next().expect("a cycle has no end");
    group.bench_function("parse", |b| {
        b.iter_batched(&mut copy, SignedEnvelope::parse, BatchSize::SmallInput);
    });
    let mut payloads = signed.iter().cycle().map(|signed| &signed.payload);
    let mut payload = || payloads.next().expect("a cycle has no end");
    group.bench_function("decode", |b| {
        b.iter_batched(&mut payload, |payload| Envelope::decode(payload), BatchSize::SmallInput);
    });
    group.bench_function("decode_by_wire_form", |b| {
        let decode = |payload: &Bytes| Envelope::decode_by_wire_form(payload);
        b.iter_batched(&mut payload, decode, BatchSize::SmallInput);
    });
    let mut next = envelopes.iter().cycle().cloned();
    let mut copy = || next.next().expect("a cycle has no end");
    group.bench_function("single", |b| {
        b.iter_batched(&mut copy, signature::verify, BatchSize::SmallInput);
    });
    for (signers, envelopes) in [(16, envelopes), (1_000, parsed(1_000))] {
        for size in SIZES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(format!("batch/{signers}/{size}"), |b| {
                let batch = || envelopes[..size].to_vec();
                b.iter_batched(batch, signature::verify_batch, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

/// The one of the program `tally`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    targets = signatures
}
criterion_main!(benches);
