//! `mark` under libFuzzer, with its checksums and links put right after half of the changes.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tally_fuzz::{Rng, repair, targets};

fuzz_target!(|data: &[u8]| {
    let _ = targets::mark(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    let mut rng = Rng::new(u64::from(seed));
    let mut input = data[..size].to_vec();
    if rng.once_in(2) {
        repair::mark(&mut input, &mut rng);
    }
    let size = input.len().min(max_size);
    data[..size].copy_from_slice(&input[..size]);
    size
});
