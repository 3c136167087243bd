//! Histories of signed envelopes, and folds to try on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tally_projection::{
    Asked, Batch, Draft, Entry, Fold, Partition, Poison, Source, SourceError, Waited,
};
use tally_protocol::message::{Observe, StateNotice};
use tally_protocol::parts::{Name, Text};
use tally_protocol::{
    AgentKey, AuthorSequence, ChainHash, Envelope, EnvelopeId, Event, Message, Origin, Position,
    Time, TreeSize,
};
use tally_store::ReadLimit;

/// The state of a notice that folds here choke on.
pub(crate) const POISON: &str = "poison";

/// So many events by four agents in turn; those at the positions in `poison` are poison.
pub(crate) fn history(count: u64, poison: &[u64]) -> Vec<Entry> {
    let origin = Origin::new("example.org/test").expect("an origin");
    let keys: Vec<_> = (1..5).map(|seed| AgentKey::from_seed(&[seed; 32])).collect();
    let mut chain = ChainHash::genesis(&origin);
    let mut entries = Vec::new();
    for nth in 0..count {
        let key = &keys[(nth * nth % 7 % 4) as usize];
        let state = if poison.contains(&nth) { POISON } else { "seen" };
        let notice =
            StateNotice::new(EnvelopeId([nth as u8; 32]), Name::new(state).expect("a name"));
        let text = Text::new(nth.to_string()).expect("a text");
        let envelope = Envelope {
            origin: origin.clone(),
            author: key.agent(),
            author_sequence: AuthorSequence(nth),
            previous: Some(EnvelopeId([1; 32])).filter(|_| nth > 0),
            issued_at_us: Time(1),
            trace_id: None,
            causes: Vec::new(),
            message: Message::Observe(Observe::Notice(StateNotice { text, ..notice })),
        };
        let signed = envelope.sign(key).expect("well-formed");
        let event = Event::new(Position(nth), chain, Time(nth as i64 * 10), &signed);
        chain = event.chain();
        entries.push(Entry::new(event).expect("an envelope"));
    }
    entries
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) events: u64,
    /// Depends on the order.
    pub(crate) trail: u64,
}

/// What each agent did, in order; chokes on poison after it has written.
#[derive(Clone, Default)]
pub(crate) struct Activities {
    /// Poison is taken like anything else.
    pub(crate) mended: bool,
}

impl Fold for Activities {
    fn name(&self) -> &str {
        "activities"
    }

    fn version(&self) -> u32 {
        1
    }

    fn partition(&self, entry: &Entry) -> Option<Partition> {
        // Every eleventh event waits for all before it.
        let key = entry.author();
        (!entry.position().0.is_multiple_of(11)).then(|| Partition::of(key.as_bytes()))
    }

    fn fold(&self, entry: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        let author = entry.author();
        rows.update(author.as_bytes(), |activity: &mut Activity| {
            activity.events += 1;
            activity.trail = activity.trail.wrapping_mul(31).wrapping_add(entry.position().0);
        })?;
        match &entry.envelope().message {
            Message::Observe(Observe::Notice(notice)) if notice.state.as_str() == POISON => {
                match entry.position().0 % 2 {
                    _ if self.mended => Ok(()),
                    0 => Err(Poison::new("not to my taste")),
                    _ => panic!("not at all to my taste"),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Says that all agents are apart, and keeps one row for all of them.
pub(crate) struct Overlapping;

impl Fold for Overlapping {
    fn name(&self) -> &str {
        "overlapping"
    }

    fn version(&self) -> u32 {
        1
    }

    fn partition(&self, entry: &Entry) -> Option<Partition> {
        Some(Partition::of(entry.author().as_bytes()))
    }

    fn fold(&self, _: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        rows.update("all", |count: &mut u64| *count += 1)
    }
}

/// Counts in memory what belongs in rows.
#[derive(Default)]
pub(crate) struct Forgetful(AtomicU64);

impl Fold for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }

    fn version(&self) -> u32 {
        1
    }

    fn fold(&self, _: &Entry, rows: &mut Draft<'_>) -> Result<(), Poison> {
        rows.put("count", &self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A log that grows while it is read.
#[derive(Clone)]
pub(crate) struct Growing {
    pub(crate) entries: Arc<[Entry]>,
    pub(crate) shown: Arc<AtomicU64>,
    /// Reads that fail from now on.
    pub(crate) failing: Arc<AtomicU64>,
    /// An event that cannot be read.
    pub(crate) damaged: Arc<AtomicU64>,
    /// An event at which reading panics.
    pub(crate) panics_at: Option<u64>,
    /// Most events that one read gives.
    pub(crate) most: usize,
    pub(crate) ended: bool,
}

/// Small batches, so that there are many.
const FEW: usize = 50;

impl Growing {
    pub(crate) fn new(entries: Vec<Entry>, shown: u64, ended: bool) -> Self {
        let shown = Arc::new(AtomicU64::new(shown));
        let damaged = Arc::new(AtomicU64::new(u64::MAX));
        let (entries, failing) = (entries.into(), Arc::default());
        Self { entries, shown, failing, damaged, panics_at: None, most: FEW, ended }
    }

    pub(crate) fn grow(&self, size: u64) {
        self.shown.store(size, Ordering::SeqCst);
    }
}

impl Source for Growing {
    fn size(&self) -> TreeSize {
        TreeSize::new(self.shown.load(Ordering::SeqCst))
    }

    fn read(&self, from: Position, limit: ReadLimit, _: Asked) -> Result<Batch, SourceError> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            let (position, size) = (from, self.size());
            return Err(tally_store::ReadError::Beyond { position, size }.into());
        }
        let end = self.size().as_u64().min(from.0 + limit.events.min(self.most) as u64);
        let read = from.0..end;
        if read.contains(&self.damaged.load(Ordering::SeqCst)) {
            let (position, size) = (from, self.size());
            return Err(tally_store::ReadError::Beyond { position, size }.into());
        }
        assert!(self.panics_at.is_none_or(|at| !read.contains(&at)), "a defect of the source");
        Ok(Batch::from(self.entries[from.0 as usize..end as usize].to_vec()))
    }

    fn wait(&mut self, size: TreeSize, most: std::time::Duration) -> Waited {
        if self.ended {
            return Waited::Ended;
        }
        std::thread::sleep(most.min(std::time::Duration::from_millis(5)));
        if self.size() > size { Waited::More } else { Waited::Nothing }
    }
}
