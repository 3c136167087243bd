//! The state at earlier moments.
//!
//! A state is folded from the nearest earlier one that is kept, so that questions about neighbouring
//! moments cost little after the first. What is kept shares with the present state whatever has not
//! changed since.

use std::collections::BTreeMap;

use tally_coordination::State;
use tally_protocol::TreeSize;
use tally_store::LogReader;

use crate::history::{HistoryError, fold_on};

/// Most states that are kept.
const KEPT_STATES: usize = 16;

/// States by their size.
#[derive(Debug, Default)]
pub(crate) struct Past(BTreeMap<TreeSize, State>);

impl Past {
    /// The state after so many events of the log. Costs a fold from the nearest earlier state that
    /// is kept, in which every rule runs again.
    pub(crate) fn state(
        &mut self,
        log: &dyn LogReader,
        size: TreeSize,
    ) -> Result<State, HistoryError> {
        let nearest = self.0.range(..=size).next_back().map(|(_, state)| state.clone());
        let from = nearest.unwrap_or_else(|| State::new(log.origin().clone()));
        let state = fold_on(log, from, size)?;
        self.0.insert(size, state.clone());
        if self.0.len() > KEPT_STATES {
            self.thin_out();
        }
        Ok(state)
    }

    /// Drops the state that the one before it replaces best: the next fold from there is shortest.
    fn thin_out(&mut self) {
        let sizes: Vec<_> = self.0.keys().copied().collect();
        let gaps = sizes.windows(2).map(|pair| (pair[1].as_u64() - pair[0].as_u64(), pair[1]));
        if let Some((_, size)) = gaps.min() {
            self.0.remove(&size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_spread_over_the_log() {
        let empty = State::new("example.org/test".parse().expect("an origin"));
        let sizes = [5, 10, 11, 20, 40].map(TreeSize::new);
        let mut past = Past(sizes.map(|size| (size, empty.clone())).into());
        past.thin_out();
        assert_eq!(past.0.keys().map(|size| size.as_u64()).collect::<Vec<_>>(), [5, 10, 20, 40]);
    }
}
