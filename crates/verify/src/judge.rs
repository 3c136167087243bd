//! One event after the other, in the order of the log: chain, time, rules, tree, checkpoints.

use tally_coordination::State;
use tally_protocol::{ChainHash, Message, Origin, Position, StateDigest, Time, TreeSize};
use tally_tlog::{
    Checkpoint, Frontier, Hash, NodeId, SignedCheckpoint, VerifiedCheckpoint, VerifierKey,
};

use crate::examine::Examined;
use crate::report::{FirstBad, Report, StateDigests, Verdict};
use crate::rerun::Rerun;

/// What the examiner believes beforehand.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The ledger's name.
    pub origin: Origin,
    /// Keys that may sign its checkpoints. Without any, the verdict is at best *incomplete*.
    pub keys: Vec<VerifierKey>,
    /// Earlier tree heads of it, which the examiner kept: history must contain them.
    pub earlier: Vec<Checkpoint>,
}

/// Judges events and checkpoints in log order, from where a log stands.
///
/// A clone is cheap: what a mirror has judged and not yet made durable can be taken back.
#[derive(Debug, Clone)]
pub struct Judge {
    trust: Trust,
    rerun: Rerun,
    chain: ChainHash,
    frontier: Frontier,
    recorded_at: Time,
    signed_size: TreeSize,
    committed: TreeSize,
    statements: Statements,
}

/// What the ledger's key says that the log has come to.
#[derive(Debug, Clone, Default)]
struct Statements {
    /// The size that the next statement is to be for.
    promised: Option<TreeSize>,
    /// The state at that size, once it has passed.
    kept: Option<State>,
    counted: StateDigests,
}

impl Judge {
    /// At the beginning of a log.
    pub fn new(trust: Trust) -> Self {
        let (state, chain) = (State::new(trust.origin.clone()), ChainHash::genesis(&trust.origin));
        Self::resume(trust, state, chain, Frontier::new())
    }

    /// Goes on behind what was judged before: the state that the log came to, the chain hash of
    /// its last event, and the right edge of its tree.
    pub fn resume(trust: Trust, state: State, chain: ChainHash, frontier: Frontier) -> Self {
        let recorded_at = state.recorded_at();
        let (signed_size, committed) = (TreeSize::ZERO, TreeSize::ZERO);
        let rerun = Rerun::new(state);
        let statements = Statements::default();
        Self { trust, rerun, chain, frontier, recorded_at, signed_size, committed, statements }
    }

    /// How many events hold.
    pub fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// What the log has come to.
    pub fn state(&self) -> &State {
        &self.rerun.state
    }

    /// The chain hash of the last event.
    pub fn chain(&self) -> ChainHash {
        self.chain
    }

    /// The right edge of the tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Judges the next event. `on_node` is given the nodes of the tree that it completes.
    ///
    /// # Errors
    /// [`FirstBad`] names the position and the rule.
    pub fn event(
        &mut self,
        examined: Examined,
        on_node: impl FnMut(NodeId, Hash),
    ) -> Result<(), FirstBad> {
        let Examined { event, chain, leaf, envelope } = examined;
        let next = Position::at_tip(self.frontier.size());
        let bad = |rule: &str, found: String| Err(FirstBad::new(next, rule, found));
        if event.position() != next {
            return bad("position", format!("the event says it is at {}", event.position()));
        }
        if event.previous_chain() != self.chain {
            let found =
                format!("links to {}, the log is at {}", event.previous_chain(), self.chain);
            return bad("chain", found);
        }
        if event.recorded_at() < self.recorded_at {
            let (now, before) = (event.recorded_at(), self.recorded_at);
            return bad("time", format!("recorded at {now} µs, after an event of {before} µs"));
        }
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(fault) => return bad(fault.rule(), fault.to_string()),
        };
        if let Some(first) = self.rerun.state.repeated(&envelope) {
            return bad("position", format!("the envelope stands at {first} already"));
        }
        let at = event.recorded_at();
        self.rerun
            .take(next, &envelope, at)
            .map_err(|refusal| FirstBad::new(next, refusal.rule.code(), refusal))?;
        self.recorded_at = at;
        self.chain = chain;
        self.frontier.append(leaf, on_node);
        self.check_statement(next, &envelope.envelope().message)?;
        self.check_earlier()
    }

    /// Holds what the ledger's key says of the state to the state here.
    fn check_statement(&mut self, at: Position, message: &Message) -> Result<(), FirstBad> {
        let size = self.frontier.size();
        if let Some(said) = StateDigest::of_message(message, &self.trust.keys, &self.trust.origin) {
            let empty = || State::new(self.trust.origin.clone());
            let kept = self.statements.kept.take();
            let state = match said.size {
                TreeSize::ZERO => Some(empty()),
                said => kept.filter(|kept| Position::at_tip(said) == kept.next_position()),
            };
            match state.map(|state| state.digest()) {
                None => self.statements.counted.unchecked += 1,
                Some(digest) if digest == said.digest => self.statements.counted.agreed += 1,
                Some(digest) => {
                    let StateDigest { size, digest: said, .. } = said;
                    let found = format!(
                        "the ledger's key says that {size} events come to {said}; they come to {digest}"
                    );
                    return Err(FirstBad::new(at, "state", found));
                }
            }
            self.statements.promised = Some(said.next).filter(|next| *next > size);
        }
        if self.statements.promised == Some(size) {
            self.statements.kept = Some(self.rerun.state.clone());
        }
        Ok(())
    }

    /// History contains every tree head that the examiner kept.
    fn check_earlier(&self) -> Result<(), FirstBad> {
        let size = self.frontier.size();
        let mut earlier = self.trust.earlier.iter().filter(|earlier| earlier.size == size);
        if !earlier.any(|earlier| earlier.root != self.frontier.root()) {
            return Ok(());
        }
        let last = Position(size.as_u64() - 1);
        let found = format!("the tree of size {size} is not the one of the checkpoint you kept");
        Err(FirstBad::new(last, "tree", found))
    }

    /// Judges the end of a group: what the operator committed to.
    ///
    /// # Errors
    /// [`FirstBad`] names the last event that it covers.
    pub fn commit(
        &mut self,
        size: TreeSize,
        chain: ChainHash,
        root: Hash,
        checkpoint: &[u8],
    ) -> Result<(), FirstBad> {
        let here = self.frontier.size();
        let last = Position(here.as_u64().saturating_sub(1));
        let bad = |rule: &str, found: String| Err(FirstBad::new(last, rule, found));
        if size != here || chain != self.chain {
            return bad("chain", format!("the group's end says size {size}, chain {chain}"));
        }
        let computed = self.frontier.root();
        if root != computed {
            return bad(
                "tree",
                format!("the group's end says root {root}, the tree has {computed}"),
            );
        }
        self.committed = size;
        if self.trust.keys.is_empty() {
            return Ok(());
        }
        self.checkpoint(checkpoint).map(drop)
    }

    /// Judges a checkpoint of everything up to here: signed by a key that is trusted, and of this
    /// very tree.
    ///
    /// # Errors
    /// [`FirstBad`] names the last event that it covers.
    pub fn checkpoint(&mut self, note: &[u8]) -> Result<VerifiedCheckpoint, FirstBad> {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        let last = Position(size.as_u64().saturating_sub(1));
        let bad = |found: String| FirstBad::new(last, "checkpoint", found);
        let opened = SignedCheckpoint::parse(note)
            .and_then(|signed| signed.open(&self.trust.keys, &self.trust.origin))
            .map_err(|error| bad(error.to_string()))?;
        if opened.size() != size || opened.root() != root {
            let (signed, other) = (opened.size(), opened.root());
            return Err(bad(format!(
                "signs size {signed}, root {other}; the events make size {size}, root {root}"
            )));
        }
        (self.signed_size, self.committed) = (size, size);
        Ok(opened)
    }

    /// The verdict on a log that ends here.
    pub fn finish(self) -> Report {
        let size = self.frontier.size();
        let beyond = self.trust.earlier.iter().find(|earlier| earlier.size > size);
        let missing = beyond.map(|earlier| {
            let found = format!(
                "the log ends at size {size}; you kept a checkpoint of size {}",
                earlier.size
            );
            FirstBad::new(Position::at_tip(size), "tree", found)
        });
        self.report(missing)
    }

    /// The verdict so far.
    pub fn report(&self, first_bad: Option<FirstBad>) -> Report {
        let size = self.frontier.size();
        let mut notes = Vec::new();
        if self.trust.keys.is_empty() {
            notes.push("no log key is known, so no checkpoint was checked: pass --log-key".into());
        }
        if self.committed < size && first_bad.is_none() {
            let open = size.as_u64() - self.committed.as_u64();
            notes.push(format!("the last {open} events were never committed"));
        }
        let verdict = match (&first_bad, notes.is_empty()) {
            (Some(_), _) => Verdict::Invalid,
            (None, true) => Verdict::Valid,
            (None, false) => Verdict::Incomplete,
        };
        let root = self.frontier.root();
        let (decisions, state_digests) = (self.rerun.decisions(), self.statements.counted);
        let signed_size = self.signed_size;
        Report { verdict, size, root, first_bad, signed_size, decisions, state_digests, notes }
    }
}
