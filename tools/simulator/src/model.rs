//! What was acknowledged, and the judgement of what is there.
//!
//! Knows nothing of the disk. It is told of a group before it is appended and of what the writer
//! said, and after each opening it holds what the log gives against that: everything acknowledged,
//! byte for byte, and beyond it at most the one whole group whose fate was unknown.

use bytes::Bytes;
use tally_protocol::{Event, Position, SignedEnvelope, Time};
use tally_store::{Commit, Group, LogReader, ReadLimit, SegmentReader, Tip, TreeReader};
use tally_tlog::{Frontier, Hash, NodeId, Origin, TreeSize, inclusion_proof, verify_inclusion};

use crate::random::Random;

/// The ledger of every run.
pub(crate) fn origin() -> Origin {
    "sim.example/ledger".parse().expect("an origin")
}

/// A group that is to be appended, and the head that it makes.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) group: Group,
    pub(crate) nodes: Vec<(NodeId, Hash)>,
    pub(crate) tip: Tip,
    frontier: Frontier,
}

/// The log as it must be.
#[derive(Debug)]
pub(crate) struct Model {
    tip: Tip,
    frontier: Frontier,
    events: Vec<Event>,
    /// The head behind each group, the empty log's first.
    tips: Vec<Tip>,
    /// May be in the log, whole.
    unknown: Option<Made>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub(crate) String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what promise was broken; for `?`.
pub(crate) fn violated<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

/// Breaks off unless this holds.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(text())) }
}

impl Model {
    pub(crate) fn new() -> Self {
        let tip = Tip::genesis(&origin());
        let (events, tips) = (Vec::new(), vec![tip]);
        Self { tip, frontier: Frontier::new(), events, tips, unknown: None }
    }

    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// The next group: random sizes, and payloads of which some are long and some are zeros.
    pub(crate) fn make(&self, random: &mut Random) -> Made {
        let (mut frontier, mut chain) = (self.frontier.clone(), self.tip.chain);
        let (mut nodes, mut events) = (Vec::new(), Vec::new());
        let mut recorded_at = self.tip.recorded_at;
        for _ in 0..random.within(1, 6) {
            recorded_at = Time(recorded_at.0 + random.below(1_000) as i64);
            let signed = SignedEnvelope { payload: payload(random), signature: [7; 64] };
            let at = Position::at_tip(frontier.size());
            let event = Event::new(at, chain, recorded_at, &signed);
            chain = event.chain();
            frontier.append(event.leaf(), |id, hash| nodes.push((id, hash)));
            events.push(event);
        }
        let tip = Tip { size: frontier.size(), chain, root: frontier.root(), recorded_at };
        let checkpoint = Bytes::from(format!("note of {}\n", tip.size));
        let commit = Commit { size: tip.size, chain, root: tip.root, checkpoint };
        Made { group: Group { events, commit }, nodes, tip, frontier }
    }

    /// The group may be in the log from now on.
    pub(crate) fn begin(&mut self, made: Made) {
        self.unknown = Some(made);
    }

    /// The group is in the log from now on.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(Made { group, tip, frontier, .. }) = self.unknown.take() {
            self.events.extend(group.events);
            (self.tip, self.frontier) = (tip, frontier);
            self.tips.push(tip);
        }
    }

    /// The group is not in the log, said the writer.
    pub(crate) fn refuse(&mut self) {
        self.unknown = None;
    }

    /// Judges a log that was opened only to read: it may show a group that is not durable.
    pub(crate) fn judge_reader(&self, reader: &SegmentReader) -> Result<(), Violation> {
        let tip = reader.tip();
        match &self.unknown {
            Some(made) if tip == made.tip => self.judge_events(reader, &made.group.events),
            _ => self.judge_tip(tip).and_then(|()| self.judge_events(reader, &[])),
        }
    }

    /// Judges a log that was opened to write. What it shows is acknowledged from now on.
    pub(crate) fn judge_opened(&mut self, reader: &SegmentReader) -> Result<(), Violation> {
        if self.unknown.as_ref().is_some_and(|made| made.tip.size == reader.tip().size) {
            self.acknowledge();
        }
        self.unknown = None;
        self.judge_tip(reader.tip())?;
        self.judge_events(reader, &[])
    }

    /// Judges a copy of the log: it ends where a group ended, not before `least` events.
    pub(crate) fn judge_copy(
        &self,
        reader: &SegmentReader,
        least: TreeSize,
    ) -> Result<(), Violation> {
        let (tip, unknown) = (reader.tip(), self.unknown.as_ref());
        require(tip.size >= least, || format!("a copy has {} of {least} events", tip.size))?;
        let ended = self.tips.contains(&tip) || unknown.is_some_and(|made| made.tip == tip);
        require(ended, || format!("a copy is at {tip:?}, where no group ends"))?;
        let more = unknown.map_or(&[][..], |made| &made.group.events);
        let expected = self.events.iter().chain(more).take(tip.size.as_u64() as usize);
        self.judge_all(reader, expected)
    }

    pub(crate) fn judge_tip(&self, found: Tip) -> Result<(), Violation> {
        let expected = self.tip;
        require(found == expected, || {
            format!("the log is at {found:?}, acknowledged was {expected:?}")
        })
    }

    fn judge_events(&self, reader: &SegmentReader, more: &[Event]) -> Result<(), Violation> {
        self.judge_all(reader, self.events.iter().chain(more))
    }

    fn judge_all<'e>(
        &self,
        reader: &SegmentReader,
        expected: impl Iterator<Item = &'e Event>,
    ) -> Result<(), Violation> {
        let all = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        let found = match reader.read(Position(0), all) {
            Ok(found) => found,
            Err(error) => return violated(format!("an opened log cannot be read: {error}")),
        };
        require(found.iter().eq(expected), || {
            format!("of {} events, {} are read, or others", self.events.len(), found.len())
        })
    }

    /// Reads one event again.
    pub(crate) fn judge_one(
        &self,
        reader: &SegmentReader,
        random: &mut Random,
    ) -> Result<(), Violation> {
        let Some(nth) = self.some_event(random) else { return Ok(()) };
        let found = reader.event(Position(nth as u64));
        let same = found.as_ref().is_ok_and(|found| *found == self.events[nth]);
        require(same, || format!("event {nth} is read as {found:?}"))
    }

    /// Proves some events from the stored nodes.
    pub(crate) fn judge_proofs(
        &self,
        tree: &TreeReader,
        random: &mut Random,
    ) -> Result<(), Violation> {
        for _ in 0..3 {
            let Some(nth) = self.some_event(random) else { return Ok(()) };
            let (index, size) = (Position(nth as u64).leaf(), self.tip.size);
            let proof = match inclusion_proof(tree, index, size) {
                Ok(proof) => proof,
                Err(error) => return violated(format!("no proof of event {nth}: {error}")),
            };
            let leaf = self.events[nth].leaf();
            let proved = verify_inclusion(leaf, index, size, &proof, self.tip.root);
            require(proved.is_ok(), || format!("a wrong proof of event {nth}"))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    fn some_event(&self, random: &mut Random) -> Option<usize> {
        let count = self.events.len() as u64;
        (count > 0).then(|| random.below(count) as usize)
    }
}

fn payload(random: &mut Random) -> Bytes {
    let bytes = match random.below(40) {
        0 => random.within(1_500, 5_000),
        1..8 => random.within(300, 1_500),
        _ => random.within(1, 300),
    } as usize;
    if random.chance(1, 16) {
        // Not a sector of them: the store says what that could cost.
        return vec![0; bytes.min(400)].into();
    }
    let mut payload = Vec::with_capacity(bytes + 8);
    while payload.len() < bytes {
        payload.extend_from_slice(&random.next().to_be_bytes());
    }
    payload.truncate(bytes);
    payload.into()
}
