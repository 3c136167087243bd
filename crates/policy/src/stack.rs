//! Enough stack for whatever the limits let through, on any thread.
//!
//! Where the stack runs low, Cedar's parser overflows it and its evaluator gives an error. Whether
//! that happens must not depend on who calls, or two verifiers would disagree.

/// Stack for parsing and validating: the deepest rule takes 1 MiB of it when optimised.
const PARSE_BYTES: usize = 8 * 1024 * 1024;

/// Stack for evaluating: the deepest rule takes half of it when optimised. It is little enough to
/// be there on ordinary threads, so that no other stack has to be made.
const EVALUATE_BYTES: usize = 1024 * 1024;

/// Runs Cedar's parser and validator.
pub(crate) fn parsing<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(PARSE_BYTES, PARSE_BYTES, run)
}

/// Runs Cedar's evaluator.
pub(crate) fn evaluating<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(EVALUATE_BYTES, 2 * EVALUATE_BYTES, run)
}
