//! What is appended: envelopes that are signed before any clock runs.

use std::io::{self, Write};

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tally_benches::{FEWEST_SIGNERS, Market};
use tally_protocol::{Origin, SignedEnvelope};

/// Envelopes that must be appended in this order, and depend on none of another lane.
pub type Lane = Vec<SignedEnvelope>;

/// Signed envelopes in lanes that may be appended side by side.
#[derive(Debug, Clone)]
pub struct Load {
    /// Different signers in all lanes together.
    pub signers: usize,
    /// The lanes; all have the same length.
    pub lanes: Vec<Lane>,
}

/// Which load.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Different signers.
    pub signers: usize,
    /// Lanes, to which the signers are shared out.
    pub lanes: usize,
    /// Envelopes, about.
    pub envelopes: usize,
    /// Another seed gives other signers.
    pub seed: u64,
}

impl Load {
    /// Signs a load on all cores. Each lane is a [`Market`] of its own.
    ///
    /// # Panics
    /// When a lane would have fewer than [`FEWEST_SIGNERS`].
    pub fn sign(origin: &Origin, wanted: Wanted) -> Self {
        let Wanted { signers, lanes, envelopes, seed } = wanted;
        assert!(signers >= lanes * FEWEST_SIGNERS, "too few signers for {lanes} lanes");
        let lane = |lane: usize| {
            let own = signers / lanes + usize::from(lane < signers % lanes);
            let seed = (seed << 32) | lane as u64;
            Market::new(origin.clone(), own, seed).batch(envelopes.div_ceil(lanes))
        };
        Self { signers, lanes: (0..lanes).into_par_iter().map(lane).collect() }
    }

    /// How many envelopes there are.
    pub fn len(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All envelopes, one of each lane in turn: as a ledger would have them.
    pub fn in_turn(&self) -> impl Iterator<Item = &SignedEnvelope> {
        let longest = self.lanes.iter().map(Vec::len).max().unwrap_or_default();
        (0..longest).flat_map(|at| self.lanes.iter().filter_map(move |lane| lane.get(at)))
    }

    /// Writes all payloads in turn, each behind its length as u32, big-endian: what other programs
    /// store for comparison.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_payloads(&self, out: &mut impl Write) -> io::Result<()> {
        for SignedEnvelope { payload, .. } in self.in_turn() {
            let length = u32::try_from(payload.len()).expect("a payload is short");
            out.write_all(&length.to_be_bytes())?;
            out.write_all(payload)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tally_benches::{Sequencer, origin, verified};

    use super::*;

    #[test]
    fn lanes_in_turn_are_admitted_and_have_all_signers() {
        let load =
            Load::sign(&origin(), Wanted { signers: 17, lanes: 4, envelopes: 1_000, seed: 1 });
        assert_eq!(load.len(), 1_000);
        let envelopes = verified(load.in_turn().cloned().collect());
        let signers: BTreeSet<_> = envelopes.iter().map(|e| e.envelope().author).collect();
        assert_eq!(signers.len(), 17);
        let plan = Sequencer::new().plan(&envelopes);
        assert_eq!(plan.group.expect("a group").events.len(), 1_000);
    }
}
