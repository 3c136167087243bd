//! A state over an archive of which one row is not what was written.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tally_coordination::compliance::not_compliant;
use tally_coordination::{Archive, ArchiveDamaged, State, findings};
use tally_protocol::{Position, TreeSize};

use crate::seeds;
use crate::targets::Outcome;

/// Rows in a map, and one in the place of another.
#[derive(Debug)]
struct Replaced {
    rows: &'static BTreeMap<Vec<u8>, Vec<u8>>,
    key: &'static [u8],
    value: Vec<u8>,
}

impl Replaced {
    fn value<'v>(&'v self, key: &[u8], written: &'v [u8]) -> Vec<u8> {
        if key == self.key { self.value.clone() } else { written.to_vec() }
    }
}

impl Archive for Replaced {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).map(|written| self.value(key, written))
    }

    fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_> {
        let prefix = prefix.to_vec();
        let from = self.rows.range(prefix.clone()..);
        let rows = from.take_while(move |(key, _)| key.starts_with(&prefix));
        Box::new(rows.map(|(key, written)| (key.clone(), self.value(key, written))))
    }

    fn newer(&self, _: Position) -> Option<(Position, Arc<dyn Archive>)> {
        None
    }
}

/// Behind the number of a row, in two bytes, what stands in it: the archive is refused, or questions
/// end, with an answer or with the one stop that is promised: that the archive is damaged. What was
/// written gives the state that wrote it.
pub fn state_rows(data: &[u8]) -> Outcome {
    let Some((&[high, low], value)) = data.split_first_chunk() else {
        return Outcome::accepted("empty");
    };
    let (whole, rows) = seeds::state();
    let which = usize::from(u16::from_be_bytes([high, low])) % rows.len();
    let (key, written) = rows.iter().nth(which).expect("one of them");
    let archive = Arc::new(Replaced { rows, key, value: value.to_vec() });
    let every = NonZeroU64::new(seeds::GENERATION).expect("not zero");
    let state = match stopping(|| State::resume(whole.origin().clone(), archive, every)) {
        Ok(Ok(state)) => state,
        Ok(Err(damaged)) | Err(damaged) => {
            assert!(written != value, "{damaged}");
            return Outcome::refused(&damaged);
        }
    };
    match stopping(|| ask(&state)) {
        Ok(size) => {
            if written == value {
                assert_eq!(state.digest(), whole.digest());
                assert_eq!(size, TreeSize::new(whole.next_position().0));
            }
            Outcome::accepted("rows")
        }
        Err(damaged) => {
            assert!(written != value, "{damaged}");
            Outcome::refused(&(damaged, char::from(key[0])))
        }
    }
}

/// Asks for all that is in rows.
fn ask(state: &State) -> TreeSize {
    let _any = (findings(state), not_compliant(state), state.digest());
    let _any = (state.capabilities().count(), state.intents().count(), state.tasks().count());
    for task in state.tasks() {
        let _any = (state.offer(&task.terms.offer), state.record(&task.executor));
        let _any = (state.agent(&task.executor), state.claims_on(&task.id).count());
    }
    TreeSize::new(state.next_position().0)
}

/// What is promised of rows that no state has written: it stops, and says so.
fn stopping<T>(ask: impl FnOnce() -> T) -> Result<T, ArchiveDamaged> {
    catch_unwind(AssertUnwindSafe(ask)).or_else(|panic| match panic.downcast_ref::<String>() {
        Some(text) if *text == ArchiveDamaged.to_string() => Err(ArchiveDamaged),
        _ => resume_unwind(panic),
    })
}
