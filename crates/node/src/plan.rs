//! The sequencer's decision, as a pure function: what a batch of envelopes comes to.
//!
//! [`plan`] settles duplicates, author chains, admission by the rules, positions, chain, leaves,
//! the new root and checkpoint. It reads no clock and touches no disk: given the same head, batch,
//! time and key it gives the same plan.

use tally_coordination::{Refusal, State, admit};
use tally_protocol::{ChainHash, Event, Position, Time, TreeSize, VerifiedEnvelope};
use tally_store::{Commit, Group, Tip};
use tally_tlog::{Checkpoint, Frontier, Hash, NodeId, NoteSigner};

/// Where the log stands, with everything that the next decision depends on.
#[derive(Debug, Clone)]
pub struct Head {
    /// The fold that admission reads.
    pub state: State,
    /// Right edge of the tree.
    pub frontier: Frontier,
    /// Chain hash of the last event.
    pub chain: ChainHash,
}

impl Head {
    /// The head of an empty ledger.
    pub fn empty(state: State) -> Self {
        let chain = ChainHash::genesis(state.origin());
        Self { state, frontier: Frontier::new(), chain }
    }

    /// How many events the log has.
    pub fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// This head as the store states it.
    pub fn tip(&self) -> Tip {
        Tip {
            size: self.size(),
            chain: self.chain,
            root: self.frontier.root(),
            recorded_at: self.state.recorded_at(),
        }
    }
}

/// What became of one envelope of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes this place once the group is committed.
    Admitted(Event),
    /// It took a place before.
    Duplicate(Position),
    /// The rules refuse it.
    Refused(Refusal),
}

/// What a batch comes to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One verdict an envelope, in their order.
    pub verdicts: Vec<Verdict>,
    /// What is to be written; absent when nothing was admitted.
    pub group: Option<Group>,
    /// Tree nodes that the group completes.
    pub nodes: Vec<(NodeId, Hash)>,
    /// The head once the group is committed.
    pub next: Head,
}

/// Decides on a batch. `now` is the ledger's clock; the time that is recorded never goes back.
pub fn plan(head: &Head, batch: &[VerifiedEnvelope], now: Time, signer: &NoteSigner) -> Plan {
    let mut next = head.clone();
    let recorded_at = now.max(head.state.recorded_at());
    let mut events = Vec::with_capacity(batch.len());
    let mut nodes = Vec::with_capacity(2 * batch.len());
    let verdicts = batch
        .iter()
        .map(|envelope| {
            let verdict = decide(&mut next, envelope, recorded_at, &mut nodes);
            if let Verdict::Admitted(event) = &verdict {
                events.push(event.clone());
            }
            verdict
        })
        .collect();
    let group = (!events.is_empty()).then(|| Group { events, commit: commit(&next, signer) });
    Plan { verdicts, group, nodes, next }
}

fn decide(
    next: &mut Head,
    envelope: &VerifiedEnvelope,
    recorded_at: Time,
    nodes: &mut Vec<(NodeId, Hash)>,
) -> Verdict {
    if let Some(position) = next.state.repeated(envelope) {
        return Verdict::Duplicate(position);
    }
    match admit(&next.state, envelope.id(), envelope.envelope(), recorded_at) {
        Err(refusal) => Verdict::Refused(refusal),
        Ok(change) => {
            let position = next.state.next_position();
            let event = Event::new(position, next.chain, recorded_at, envelope.signed());
            next.state.fold(change);
            next.chain = event.chain();
            next.frontier.append(event.leaf(), |id, hash| nodes.push((id, hash)));
            Verdict::Admitted(event)
        }
    }
}

fn commit(next: &Head, signer: &NoteSigner) -> Commit {
    let tip = next.tip();
    let checkpoint =
        Checkpoint { origin: next.state.origin().clone(), size: tip.size, root: tip.root };
    Commit {
        size: tip.size,
        chain: tip.chain,
        root: tip.root,
        checkpoint: checkpoint.sign(signer).to_bytes().into(),
    }
}
