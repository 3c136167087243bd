//! A log in memory, kept by an operator who takes in whatever it is given and proves it honestly:
//! for bundles and receipts that must not be believed.

use tally_protocol::{ChainHash, Event, Origin, Position, SignedEnvelope, Time};
use tally_provenance::{Causality, Closure, Subject};
use tally_tlog::{
    Checkpoint, LeafIndex, LogProof, MemoryTree, NoteSigner, SignedCheckpoint, TreeSize,
    VerifierKey, consistency_proof, inclusion_proof, subset_proof,
};
use tally_verify::{Bundle, Older};

/// When the first event is recorded, in microseconds.
const BEGIN: Time = Time(1_795_000_000_000_000);

/// Between two events.
const STEP_US: u64 = 1_000_000;

/// The log.
pub struct Scribe {
    origin: Origin,
    signer: NoteSigner,
    events: Vec<Event>,
    tree: MemoryTree,
}

impl Scribe {
    /// An empty log.
    pub fn new(origin: &Origin) -> Self {
        let signer = NoteSigner::from_seed(origin.key_name(), &[3; 32]);
        Self { origin: origin.clone(), signer, events: Vec::new(), tree: MemoryTree::new() }
    }

    /// A log of these envelopes.
    pub fn of(origin: &Origin, said: &[SignedEnvelope]) -> Self {
        let mut scribe = Self::new(origin);
        for signed in said {
            scribe.record(signed);
        }
        scribe
    }

    /// The key that signs checkpoints.
    pub fn log_key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    /// The time of the last event.
    pub fn now(&self) -> Time {
        self.events.last().map_or(BEGIN, Event::recorded_at)
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes an envelope in, whatever it says.
    pub fn record(&mut self, signed: &SignedEnvelope) -> Position {
        self.record_at(signed, self.now().plus_us(STEP_US))
    }

    /// Takes an envelope in at a time of the operator's choice.
    pub fn record_at(&mut self, signed: &SignedEnvelope, at: Time) -> Position {
        let chain = self.events.last().map_or(ChainHash::genesis(&self.origin), Event::chain);
        self.record_after(signed, at, chain)
    }

    /// Takes an envelope in behind a chain of the operator's choice.
    pub fn record_after(
        &mut self,
        signed: &SignedEnvelope,
        at: Time,
        chain: ChainHash,
    ) -> Position {
        let event = Event::new(Position(self.events.len() as u64), chain, at, signed);
        self.record_event(event)
    }

    /// Takes an event in as it is.
    pub fn record_event(&mut self, event: Event) -> Position {
        let position = Position(self.events.len() as u64);
        self.tree.append(event.leaf());
        self.events.push(event);
        position
    }

    /// The signed tree head at a size.
    ///
    /// # Panics
    /// When the log was never so large.
    pub fn checkpoint_at(&self, size: u64) -> SignedCheckpoint {
        self.checkpoint_signed_by(size, &self.signer)
    }

    /// The tree head at a size, signed by somebody.
    ///
    /// # Panics
    /// When the log was never so large.
    pub fn checkpoint_signed_by(&self, size: u64, signer: &NoteSigner) -> SignedCheckpoint {
        let size = TreeSize::new(size);
        let root = self.tree.root_at(size).expect("the log was so large");
        Checkpoint { origin: self.origin.clone(), size, root }.sign(signer)
    }

    /// The signed tree head.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.checkpoint_at(self.events.len() as u64)
    }

    /// An earlier tree head with the proof of growth.
    ///
    /// # Panics
    /// When the log was never so large.
    pub fn older(&self, size: u64) -> Older {
        let proof = consistency_proof(&self.tree, TreeSize::new(size), self.tree.size());
        Older { checkpoint: self.checkpoint_at(size), proof: proof.expect("it has grown") }
    }

    /// What belongs into the bundle of a subject.
    ///
    /// # Panics
    /// When an event is no envelope, or the subject is none.
    pub fn closure(&self, subject: &Subject, depth: Option<u32>) -> Closure {
        let mut causality = Causality::new();
        for event in &self.events {
            let parsed = event.signed().parse().expect("an envelope");
            causality.fold(event.position(), parsed.id(), parsed.envelope());
        }
        causality.closure(subject, depth).expect("a subject")
    }

    /// A bundle with the events at these positions, under the head.
    ///
    /// # Panics
    /// When one of them is not there.
    pub fn bundle(&self, subject: Subject, positions: impl IntoIterator<Item = u64>) -> Bundle {
        let positions: Vec<u64> = positions.into_iter().collect();
        let indices: Vec<LeafIndex> = positions.iter().copied().map(LeafIndex::new).collect();
        let nodes = subset_proof(&self.tree, &indices, self.tree.size()).expect("in the tree");
        let event = |&position: &u64| self.events[position as usize].clone();
        Bundle {
            origin: self.origin.clone(),
            subject,
            checkpoint: self.checkpoint(),
            older: None,
            events: positions.iter().map(event).collect(),
            nodes,
            omitted: Vec::new(),
        }
    }

    /// The bundle with all that belongs into it.
    pub fn whole_bundle(&self, subject: Subject) -> Bundle {
        let closure = self.closure(&subject, None);
        self.bundle(subject, closure.positions.iter().map(|position| position.0))
    }

    /// The log receipt of an event, with the event in it.
    ///
    /// # Panics
    /// When it is not there.
    pub fn receipt(&self, position: u64) -> LogProof {
        let index = LeafIndex::new(position);
        let proof = inclusion_proof(&self.tree, index, self.tree.size()).expect("in the tree");
        let extra = self.events[position as usize].bytes().to_vec();
        LogProof::new(Some(extra), index, proof, self.checkpoint()).expect("a receipt")
    }
}
