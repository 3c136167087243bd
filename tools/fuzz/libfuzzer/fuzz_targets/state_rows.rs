//! `state_rows` under libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally_fuzz::targets;

fuzz_target!(|data: &[u8]| {
    let _ = targets::state_rows(data);
});
