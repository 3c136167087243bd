//! The examination of a ledger, in one pass and constant memory beside the state of its objects.
//!
//! Events are taken in chunks. While one chunk is judged in order (chain, rules, tree), the next
//! one is parsed and its signatures are checked on all cores.

use bytes::Bytes;
use rayon::prelude::*;
use tally_coordination::{Decision, State, admit};
use tally_protocol::{
    BadSignature, ChainHash, Digest, Event, Malformed, Origin, Position, Time, TreeSize,
    VerifiedEnvelope, signature,
};
use tally_tlog::{Checkpoint, Frontier, Hash, SignedCheckpoint, VerifierKey};

use crate::report::{Decisions, FirstBad, Report, Verdict};

/// Events that are judged together.
const CHUNK_EVENTS: usize = 4_096;

/// Events that one worker takes at a time: a batch of signatures.
const WORK_EVENTS: usize = 1_024;

/// One thing that a log holds, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Event),
    /// The end of a group: what the operator committed to.
    Commit {
        /// Events in the log.
        size: TreeSize,
        /// Chain hash of the last.
        chain: ChainHash,
        /// Root of the tree.
        root: Hash,
        /// Signed note of the tree.
        checkpoint: Bytes,
    },
}

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

/// Judges a log. `items` come from the store, or end with what the store could not read;
/// `progress` is told how many events were judged.
pub fn verify_ledger(
    items: impl Iterator<Item = Result<Item, FirstBad>>,
    trust: &Trust,
    mut progress: impl FnMut(TreeSize),
) -> Report {
    let mut judge = Judge::new(trust);
    let mut items = items;
    let mut waiting = examine(next_chunk(&mut items));
    loop {
        let last = waiting.is_last();
        let chunk = if last { Chunk::default() } else { next_chunk(&mut items) };
        let (examined, judged) = rayon::join(|| examine(chunk), || judge.judge(waiting));
        progress(judge.frontier.size());
        if let Err(bad) = judged {
            return judge.report(Some(bad));
        }
        if last {
            return judge.finish();
        }
        waiting = examined;
    }
}

// ------------------------------------------------------------------ in parallel

#[derive(Default)]
struct Chunk {
    items: Vec<Item>,
    end: Option<Result<(), FirstBad>>,
}

fn next_chunk(items: &mut impl Iterator<Item = Result<Item, FirstBad>>) -> Chunk {
    let mut chunk = Chunk::default();
    while chunk.items.len() < CHUNK_EVENTS {
        match items.next() {
            Some(Ok(item)) => chunk.items.push(item),
            Some(Err(bad)) => {
                chunk.end = Some(Err(bad));
                break;
            }
            None => {
                chunk.end = Some(Ok(()));
                break;
            }
        }
    }
    chunk
}

/// An event with everything about it that does not depend on other events.
struct Examined {
    event: Event,
    chain: ChainHash,
    leaf: Hash,
    envelope: Result<VerifiedEnvelope, Fault>,
}

enum Fault {
    Malformed(Malformed),
    Signature(BadSignature),
}

enum ExaminedItem {
    Event(Box<Examined>),
    Commit { size: TreeSize, chain: ChainHash, root: Hash, checkpoint: Bytes },
}

struct ExaminedChunk {
    items: Vec<ExaminedItem>,
    end: Option<Result<(), FirstBad>>,
}

impl ExaminedChunk {
    fn is_last(&self) -> bool {
        self.end.is_some()
    }
}

fn examine(chunk: Chunk) -> ExaminedChunk {
    let items = chunk.items.into_par_iter().chunks(WORK_EVENTS).flat_map(examine_some).collect();
    ExaminedChunk { items, end: chunk.end }
}

fn examine_some(items: Vec<Item>) -> Vec<ExaminedItem> {
    let parse = |item: &Item| match item {
        Item::Event(event) => Some(event.signed().parse()),
        Item::Commit { .. } => None,
    };
    let mut faults = Vec::new();
    let mut parsed = Vec::with_capacity(items.len());
    for envelope in items.iter().filter_map(parse) {
        match envelope {
            Ok(envelope) => {
                faults.push(None);
                parsed.push(envelope);
            }
            Err(malformed) => faults.push(Some(malformed)),
        }
    }
    let mut verified = signature::verify_batch(parsed).into_iter();
    let mut faults = faults.into_iter();
    let finish = |item| match item {
        Item::Commit { size, chain, root, checkpoint } => {
            ExaminedItem::Commit { size, chain, root, checkpoint }
        }
        Item::Event(event) => {
            let envelope = match faults.next().expect("one entry an event") {
                Some(malformed) => Err(Fault::Malformed(malformed)),
                None => {
                    verified.next().expect("one entry a parsed event").map_err(Fault::Signature)
                }
            };
            let (chain, leaf) = (event.chain(), event.leaf());
            ExaminedItem::Event(Box::new(Examined { event, chain, leaf, envelope }))
        }
    };
    items.into_iter().map(finish).collect()
}

// ------------------------------------------------------------------ in order

struct Judge<'t> {
    trust: &'t Trust,
    state: State,
    chain: ChainHash,
    frontier: Frontier,
    recorded_at: Time,
    signed_size: TreeSize,
    committed: TreeSize,
    decisions: u64,
    decided: blake3::Hasher,
}

impl<'t> Judge<'t> {
    fn new(trust: &'t Trust) -> Self {
        Self {
            trust,
            state: State::new(trust.origin.clone()),
            chain: ChainHash::genesis(&trust.origin),
            frontier: Frontier::new(),
            recorded_at: Time(0),
            signed_size: TreeSize::ZERO,
            committed: TreeSize::ZERO,
            decisions: 0,
            decided: blake3::Hasher::new(),
        }
    }

    fn judge(&mut self, chunk: ExaminedChunk) -> Result<(), FirstBad> {
        for item in chunk.items {
            match item {
                ExaminedItem::Event(examined) => self.event(*examined)?,
                ExaminedItem::Commit { size, chain, root, checkpoint } => {
                    self.commit(size, chain, root, &checkpoint)?;
                }
            }
        }
        chunk.end.unwrap_or(Ok(()))
    }

    fn event(&mut self, examined: Examined) -> Result<(), FirstBad> {
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
            Err(Fault::Malformed(malformed)) => return bad("envelope", malformed.to_string()),
            Err(Fault::Signature(signature)) => return bad("signature", signature.to_string()),
        };
        let (id, said, at) = (envelope.id(), envelope.envelope(), event.recorded_at());
        if let Some(first) = self.state.position_of(&id) {
            return bad("position", format!("the envelope stands at {first} already"));
        }
        let change = admit(&self.state, id, said, at)
            .map_err(|refusal| FirstBad::new(next, refusal.rule.code(), refusal))?;
        for decision in change.decisions() {
            self.decide(next, decision);
        }
        self.state.fold(change);
        self.recorded_at = at;
        self.chain = chain;
        self.frontier.append(leaf, |_, _| {});
        self.check_earlier()
    }

    fn decide(&mut self, position: Position, decision: &Decision) {
        let json = serde_json::to_vec(decision).expect("a decision has keys of text");
        self.decisions += 1;
        self.decided.update(&position.0.to_be_bytes());
        self.decided.update(&(json.len() as u64).to_be_bytes()).update(&json);
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

    fn commit(
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
        let opened = SignedCheckpoint::parse(checkpoint)
            .and_then(|signed| signed.open(&self.trust.keys, &self.trust.origin));
        match opened {
            Err(error) => bad("checkpoint", error.to_string()),
            Ok(opened) if opened.size() != size || opened.root() != root => {
                let (size, root) = (opened.size(), opened.root());
                bad("checkpoint", format!("signs size {size}, root {root}"))
            }
            Ok(_) => {
                self.signed_size = size;
                Ok(())
            }
        }
    }

    fn finish(self) -> Report {
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

    fn report(&self, first_bad: Option<FirstBad>) -> Report {
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
        let digest = Digest(*self.decided.finalize().as_bytes());
        let decisions = Decisions { count: self.decisions, digest };
        Report { verdict, size, root, first_bad, signed_size: self.signed_size, decisions, notes }
    }
}
