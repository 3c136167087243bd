//! One input: does the target panic, and how much memory does it take?

use std::cell::RefCell;
use std::fmt;
use std::panic::{PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::targets::{Outcome, Target};

/// The most memory a target may hold at once: so much for each byte of its input, and some more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes for each byte of input.
    pub per_byte: u64,
    /// Bytes for any input.
    pub base: u64,
}

impl Memory {
    /// What a reader may hold: one that copies its input a few times, and writes it as text.
    pub const USUAL: Self = Self { per_byte: 64, base: 1024 * 1024 };

    /// The limit for an input of this length.
    pub fn limit(&self, input_bytes: usize) -> u64 {
        self.base + self.per_byte * input_bytes as u64
    }
}

/// How a target took an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its answer.
    pub outcome: Outcome,
    /// The most bytes it held at once, on the heap.
    pub peak_bytes: u64,
}

/// How a target failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It panicked: the message and the place.
    Panicked(String),
    /// It held more than its limit.
    Memory {
        /// Most bytes held at once.
        peak_bytes: u64,
        /// The limit for this input.
        limit: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Memory { peak_bytes, limit } => {
                write!(f, "held {peak_bytes} bytes at once, the limit is {limit}")
            }
        }
    }
}

/// Gives one input to a target.
///
/// # Errors
/// [`Failure`].
pub fn check(target: &Target, input: &[u8]) -> Result<Ran, Failure> {
    record_panics();
    let mut result = Err(Failure::Panicked(String::new()));
    // The panic is caught inside: the counter must see its closure return.
    let memory = allocation_counter::measure(|| result = guarded(target, input));
    let outcome = result?;
    let (peak_bytes, limit) = (memory.bytes_max, target.memory.limit(input.len()));
    if peak_bytes > limit {
        return Err(Failure::Memory { peak_bytes, limit });
    }
    Ok(Ran { outcome, peak_bytes })
}

thread_local! {
    /// While a target runs: the panic that it ended with.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn guarded(target: &Target, input: &[u8]) -> Result<Outcome, Failure> {
    PANIC.set(Some(String::new()));
    let caught = catch_unwind(|| (target.run)(input));
    let message = PANIC.take().unwrap_or_default();
    caught.map_err(|_| Failure::Panicked(message))
}

/// Keeps the panics of targets off the terminal, and all others as they were.
fn record_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !recorded(panic) {
                others(panic);
            }
        }));
    });
}

fn recorded(panic: &PanicHookInfo<'_>) -> bool {
    PANIC.with_borrow_mut(|slot| match slot {
        Some(message) => {
            let text = panic.payload_as_str().unwrap_or("no message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            *message = format!("{text} ({place})");
            true
        }
        None => false,
    })
}
