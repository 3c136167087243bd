//! The rules, run again, and the decisions that they come to.

use tally_coordination::{Decision, Refusal, State, admit};
use tally_protocol::{Digest, Position, Time, VerifiedEnvelope};

use crate::report::Decisions;

/// A state that is folded again, with a sum of what was decided on the way.
#[derive(Debug, Clone)]
pub(crate) struct Rerun {
    pub(crate) state: State,
    count: u64,
    decided: blake3::Hasher,
}

impl Rerun {
    pub(crate) fn new(state: State) -> Self {
        Self { state, count: 0, decided: blake3::Hasher::new() }
    }

    /// Admits and folds the next event; gives the decisions that the admission rests on.
    ///
    /// # Errors
    /// [`Refusal`]: the ledger should have refused it too.
    pub(crate) fn take(
        &mut self,
        position: Position,
        envelope: &VerifiedEnvelope,
        at: Time,
    ) -> Result<Vec<Decision>, Refusal> {
        let change = admit(&self.state, envelope.id(), envelope.envelope(), at)?;
        let decisions = change.decisions().to_vec();
        for decision in &decisions {
            self.decide(position, decision);
        }
        self.state.fold(change);
        Ok(decisions)
    }

    fn decide(&mut self, position: Position, decision: &Decision) {
        let json = serde_json::to_vec(decision).expect("a decision has keys of text");
        self.count += 1;
        self.decided.update(&position.0.to_be_bytes());
        self.decided.update(&(json.len() as u64).to_be_bytes()).update(&json);
    }

    /// All decisions so far.
    pub(crate) fn decisions(&self) -> Decisions {
        let digest = Digest(*self.decided.finalize().as_bytes());
        Decisions { count: self.count, digest }
    }
}
