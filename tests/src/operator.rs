//! An operator who holds the log key and writes what he likes: events in any order and at any
//! time, with chain, tree and checkpoints computed as they must be. Only the rules are not asked.

use std::path::Path;

use tally_protocol::{ChainHash, Event, Origin, Position, SignedEnvelope, Time};
use tally_store::{Commit, Epoch, Group, LogWriter, Options, SegmentLog, SegmentWriter};
use tally_tlog::{Checkpoint, Frontier, Hash, NoteSigner, VerifierKey};

/// When the first event is recorded, in microseconds.
const BEGIN: Time = Time(1_795_000_000_000_000);

/// Microseconds between two events.
const STEP_US: u64 = 1_000;

/// Writes a ledger by hand.
pub struct Operator {
    origin: Origin,
    signer: NoteSigner,
    writer: SegmentWriter,
    epoch: Epoch,
    chain: ChainHash,
    frontier: Frontier,
    now: Time,
    events: Vec<Event>,
}

impl Operator {
    /// Begins a ledger in a directory, with `log.pub` beside it.
    ///
    /// # Panics
    /// When the directory can't be written.
    pub fn begin(data: &Path, origin: &Origin) -> Self {
        let signer = NoteSigner::from_seed(origin.key_name(), &[3; 32]);
        let (mut writer, _, _) =
            SegmentLog::open(data, origin, Options::default(), &mut |_| {}).expect("a new log");
        let epoch = writer.open_epoch("operator").expect("an epoch");
        std::fs::write(data.join("log.pub"), format!("{}\n", signer.verifier_key()))
            .expect("the key is written");
        Self {
            origin: origin.clone(),
            signer,
            writer,
            epoch,
            chain: ChainHash::genesis(origin),
            frontier: Frontier::new(),
            now: BEGIN,
            events: Vec::new(),
        }
    }

    /// The key that signs checkpoints.
    pub fn log_key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    /// Takes an envelope in, whatever it says.
    pub fn record(&mut self, signed: &SignedEnvelope) -> Position {
        self.record_at(signed, self.now.plus_us(STEP_US))
    }

    /// Takes an envelope in at a time of the operator's choice.
    pub fn record_at(&mut self, signed: &SignedEnvelope, at: Time) -> Position {
        let position = Position::at_tip(self.frontier.size());
        let event = Event::new(position, self.chain, at, signed);
        self.chain = event.chain();
        self.frontier.append(event.leaf(), |_, _| {});
        self.now = at;
        self.events.push(event);
        position
    }

    /// The time of the last event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The tree's head.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.origin.clone(),
            size: self.frontier.size(),
            root: self.frontier.root(),
        }
    }

    /// Ends a group, signed as it must be.
    pub fn commit(&mut self) {
        let (checkpoint, signer) = (self.checkpoint(), self.signer.clone());
        self.commit_as(self.frontier.root(), &checkpoint, &signer);
    }

    /// Ends a group, signed by somebody else.
    pub fn commit_signed_by(&mut self, signer: &NoteSigner) {
        self.commit_as(self.frontier.root(), &self.checkpoint(), signer);
    }

    /// Ends a group with a root of the operator's choice.
    pub fn commit_root(&mut self, root: Hash) {
        let checkpoint = Checkpoint { root, ..self.checkpoint() };
        let signer = self.signer.clone();
        self.commit_as(root, &checkpoint, &signer);
    }

    /// Ends a group with a root and a checkpoint that need not agree.
    pub fn commit_as(&mut self, root: Hash, checkpoint: &Checkpoint, signer: &NoteSigner) {
        let commit = Commit {
            size: self.frontier.size(),
            chain: self.chain,
            root,
            checkpoint: checkpoint.sign(signer).to_bytes().into(),
        };
        let group = Group { events: std::mem::take(&mut self.events), commit };
        let before = self.writer.tip().size;
        self.writer.append(self.epoch, before, &group).expect("the group is written");
    }
}
