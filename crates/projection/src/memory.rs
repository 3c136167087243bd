//! A projection that is kept in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

use tally_protocol::{Position, TreeSize};
use tally_store::Quarantined;

use crate::entry::Entry;
use crate::stored::{Projection, ProjectionError, panic_text};

/// Events that are folded before those who read get their turn.
const TURN_EVENTS: usize = 256;

/// A fold into a value in memory. It takes every event; where it panics instead, that event is put
/// in quarantine.
pub trait MemoryFold: Default + Send + Sync + 'static {
    /// Takes in an event.
    fn fold(&mut self, entry: &Entry);
}

/// A fold with its value in memory, shared with those who ask it.
pub struct InMemory<T> {
    name: &'static str,
    value: Arc<RwLock<T>>,
    cursor: Position,
    quarantined: Vec<Quarantined>,
}

impl<T: MemoryFold> InMemory<T> {
    /// Of no events yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, value: Arc::default(), cursor: Position(0), quarantined: Vec::new() }
    }

    /// The value, to be read while the fold goes on.
    pub fn value(&self) -> &Arc<RwLock<T>> {
        &self.value
    }

    fn fold(&mut self, entries: &[Entry]) -> Result<(), Quarantined> {
        let mut value = self.value.write().expect("panics are caught while it is held");
        for entry in entries {
            let position = entry.position();
            if !self.quarantined.iter().any(|poison| poison.position == position) {
                let folded = catch_unwind(AssertUnwindSafe(|| value.fold(entry)));
                folded.map_err(|panic| Quarantined {
                    position,
                    reason: format!("the fold panicked: {}", panic_text(&*panic)),
                })?;
            }
            self.cursor = position.next();
        }
        Ok(())
    }
}

impl<T: MemoryFold> Projection for InMemory<T> {
    fn cursor(&self) -> Position {
        self.cursor
    }

    /// Where the fold panics the value may be half changed: it is begun again without that event.
    fn take(&mut self, entries: &[Entry]) -> Result<u64, ProjectionError> {
        let mut quarantined = 0;
        for turn in entries.chunks(TURN_EVENTS) {
            let Err(poison) = self.fold(turn) else { continue };
            let (projection, position) = (self.name, poison.position);
            tracing::error!(projection, %position, poison.reason, "an event is in quarantine");
            self.quarantined.push(poison);
            quarantined += 1;
            *self.value.write().expect("panics are caught while it is held") = T::default();
            self.cursor = Position(0);
            break;
        }
        Ok(quarantined)
    }

    fn recover(&mut self, _: TreeSize) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, ProjectionError> {
        Ok(self.quarantined.clone())
    }
}
