//! Every limit, by name. Over one, parsing says so, validation says so, and comparing is `Unknown`.
//!
//! Verifiers run comparisons again, so a change here can change a verdict: treat it as a change of
//! the rules.

/// Most bytes of a schema document.
pub const MAX_BYTES: usize = 262_144;

/// Most levels of arrays and objects, of a schema document and of an instance.
pub const MAX_DEPTH: usize = 100;

/// Most subschemas of a document, each counted once.
pub const MAX_SUBSCHEMAS: usize = 4_096;

/// Most subschemas one inside another that speak of the same value (`$ref`, `allOf`, `not`, …).
pub const MAX_IN_PLACE: usize = 64;

/// Most digits of a number that is no 64-bit integer. A double keeps 15 decimal digits.
pub const MAX_DIGITS: usize = 15;

/// Greatest power of ten, positive or negative, of a number that is no 64-bit integer.
pub const MAX_EXPONENT: u32 = 22;

/// Most bytes that the compiled patterns of one schema take together.
pub const MAX_PATTERN_BYTES: usize = 4 << 20;

/// Most bytes that the automaton of one pattern may take while it runs.
pub const MAX_AUTOMATON_BYTES: usize = 1 << 20;

/// Most misfits that a validation lists.
pub const MAX_MISFITS: usize = 32;

/// Most steps of one validation: a subschema applied to a value, or an item looked at. Both kinds of
/// steps are taken while an envelope is admitted, and everybody else waits.
pub const MAX_VALIDATION_STEPS: u64 = 1_000_000;

/// Most subschemas that are being applied at once, one inside another.
pub const MAX_RECURSION: usize = 400;

/// Most steps of one comparison.
pub const MAX_COMPARISON_STEPS: u64 = 50_000;

/// Most values one inside another that a comparison looks into.
pub const MAX_COMPARISON_DEPTH: usize = 32;

/// Most items, properties or characters of a counterexample.
pub const MAX_WITNESS_SIZE: u64 = 1_000;
