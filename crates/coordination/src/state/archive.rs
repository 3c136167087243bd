//! What a state does not hold in memory: rows by key, in whatever keeps them.
//!
//! | key | row |
//! |---|---|
//! | `m` | how far the archive goes |
//! | `e` id | where an envelope stands |
//! | `a` agent, `r` agent | an agent's chain, its track record |
//! | `c`, `i`, `o`, `t`, `v` position | the capability, intent, offer, task or attestation that began there |
//! | `d` from, to, position; `q` subject, position | a delegation, a claim, by its id |
//! | `n` owner, name | the capability in force of that name |
//! | `f` number | a finding |
//! | `l` number | a change of what is always at hand |
//!
//! Positions and numbers are eight big-endian bytes, so that new rows mostly go behind the old ones
//! of their kind.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use tally_protocol::message::ClaimSubject;
use tally_protocol::parts::Name;
use tally_protocol::{AgentId, EnvelopeId, Origin, Position, Time};

use super::State;
use super::generation::Generation;
use super::objects::{Agent, Attestation, Capability, Intent, Offer, Put, Task, TrackRecord};
use super::row::Row;
use crate::finding::Finding;

/// Rows of older generations, as they are at one moment: what is written later is not among them.
///
/// What can't be read stops whoever asks: an implementation panics and says that the ledger must be
/// opened again, because a wrong answer would admit what the rules refuse.
pub trait Archive: fmt::Debug + Send + Sync {
    /// The row of a key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// All rows whose keys begin like this, in the order of their keys.
    fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + '_>;

    /// The archive with all generations that were written up to now, and where the last of them ends;
    /// `None` while that is not as far as `least`. Asked with every event.
    fn newer(&self, least: Position) -> Option<(Position, Arc<dyn Archive>)>;
}

/// The archive holds what no state has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the archive of the state is damaged; remove it, it is made again from the log")]
pub struct ArchiveDamaged;

/// What one generation writes into the archive, in one batch.
#[derive(Debug, Clone)]
pub struct Rows {
    turned: Arc<Turned>,
}

/// A generation that takes nothing in any more.
#[derive(Debug)]
pub(super) struct Turned {
    pub(super) generation: Generation,
    meta: Meta,
}

/// How far an archive goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) next: Position,
    pub(super) recorded_at: Time,
    pub(super) changes: u64,
    pub(super) findings: u64,
}

/// A row to write, or a key to remove.
pub type RowChange = (Vec<u8>, Option<Vec<u8>>);

impl State {
    /// The state that an archive holds, which takes further generations in: what the log had come to
    /// when the last of them was written. An empty archive gives the state of an empty ledger. `every`
    /// so many events are a generation, as a rule [`GENERATION_EVENTS`](super::GENERATION_EVENTS): those
    /// in memory are the present one and what waits to be written.
    ///
    /// # Errors
    /// [`ArchiveDamaged`]: wipe it, and fold the log from its beginning.
    pub fn resume(
        origin: Origin,
        archive: Arc<dyn Archive>,
        every: NonZeroU64,
    ) -> Result<Self, ArchiveDamaged> {
        let mut state = Self::new(origin);
        let archived = Archived { archive, every };
        if let Some(meta) = archived.archive.get(b"m") {
            let meta = Meta::of_row(&meta).ok_or(ArchiveDamaged)?;
            (state.next, state.recorded_at) = (meta.next, meta.recorded_at);
            state.load(&archived)?;
            state.lasting.findings = meta.findings;
            if state.lasting.changes != meta.changes {
                return Err(ArchiveDamaged);
            }
        }
        state.archived = Some(archived);
        Ok(state)
    }

    /// Reads what is always at hand.
    fn load(&mut self, archived: &Archived) -> Result<(), ArchiveDamaged> {
        for (_, row) in archived.archive.scan(b"l") {
            self.lasting.put(Put::of_row(&row).ok_or(ArchiveDamaged)?);
        }
        for (key, row) in archived.archive.scan(b"n") {
            let owner = Row::read(&mut &key[1..]).ok_or(ArchiveDamaged)?;
            let name = key.get(33..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.and_then(|name| Name::new(name).ok()).ok_or(ArchiveDamaged)?;
            let id = EnvelopeId::of_row(&row).ok_or(ArchiveDamaged)?;
            let capability = archived.object::<Capability>(&id).ok_or(ArchiveDamaged)?;
            self.lasting.capability_names.insert((owner, name), id);
            self.lasting.catalog.insert(id, capability);
        }
        Ok(())
    }

    /// The oldest generation that ends behind `after`, how far the archive goes. Only of a state
    /// whose events are durable: an archive is never ahead of its log.
    pub fn to_archive(&self, after: Position) -> Option<Rows> {
        let waiting = self.turned.iter().find(|turned| turned.meta.next > after)?;
        Some(Rows { turned: Arc::clone(waiting) })
    }

    /// Where the last generation in memory ends that takes nothing in any more; 0 when there is none.
    pub fn turned(&self) -> Position {
        self.turned.last().map_or(Position(0), |turned| turned.meta.next)
    }

    /// How many generations in memory are not written yet, the youngest aside.
    pub fn waiting_generations(&self) -> usize {
        let Some(oldest) = self.turned.front().map(|turned| turned.meta.next) else { return 0 };
        let written = self.archived.as_ref().and_then(|archived| archived.archive.newer(oldest));
        let written = written.map_or(Position(0), |(end, _)| end);
        self.turned.iter().filter(|turned| turned.meta.next > written).count()
    }

    /// Leaves to the archive what was written into it since.
    pub(super) fn leave(&mut self) {
        let Some(archived) = &mut self.archived else { return };
        let Some((oldest, newest)) = self.turned.front().zip(self.turned.last()) else { return };
        let newest = newest.meta.next;
        let Some((end, archive)) = archived.archive.newer(oldest.meta.next) else { return };
        // A state that is not so far must not see what came after it.
        if end <= newest {
            archived.archive = archive;
            self.turned.retain(|turned| turned.meta.next > end);
        }
    }

    /// Closes the youngest generation when it is full; where it ends follows from the log alone.
    pub(super) fn turn(&mut self) {
        let is_full = |archived: &Archived| self.next.0.is_multiple_of(archived.every.get());
        if !self.archived.as_ref().is_some_and(is_full) {
            return;
        }
        let meta = Meta {
            next: self.next,
            recorded_at: self.recorded_at,
            changes: self.lasting.changes,
            findings: self.lasting.findings,
        };
        let generation = std::mem::take(&mut self.young);
        self.turned.push_back(Arc::new(Turned { generation, meta }));
    }
}

impl Rows {
    /// Version of keys and rows. Rows of another version are wiped and made again.
    pub const VERSION: u32 = 1;

    /// How far the archive goes once they are written.
    pub fn end(&self) -> Position {
        self.turned.meta.next
    }

    /// The rows, by key.
    pub fn changes(&self) -> Vec<RowChange> {
        let Turned { generation, meta } = &*self.turned;
        let mut rows = generation_rows(generation, meta);
        rows.push((b"m".to_vec(), Some(meta.to_row())));
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        rows
    }
}

fn generation_rows(generation: &Generation, meta: &Meta) -> Vec<RowChange> {
    let mut rows = Vec::new();
    let mut put = |key: Vec<u8>, row: Vec<u8>| rows.push((key, Some(row)));
    for (id, position) in generation.envelopes.iter() {
        put(key(b'e', id), position.to_row());
    }
    for (id, agent) in generation.agents.iter() {
        put(key(b'a', id), agent.to_row());
    }
    for (id, record) in generation.records.iter() {
        put(key(b'r', id), record.to_row());
    }
    put_objects(generation.capabilities.values(), &mut put);
    put_objects(generation.intents.values(), &mut put);
    put_objects(generation.offers.values(), &mut put);
    put_objects(generation.tasks.values(), &mut put);
    put_objects(generation.attestations.values(), &mut put);
    for (parties, listed) in generation.delegations.iter() {
        listed.iter().for_each(|(at, id)| put(key(b'd', &(*parties, *at)), id.to_row()));
    }
    for (subject, listed) in generation.claims.iter() {
        listed.iter().for_each(|(at, id)| put(key(b'q', &(*subject, *at)), id.to_row()));
    }
    let first = meta.findings - generation.findings.len() as u64;
    for (number, finding) in (first..).zip(&generation.findings) {
        put(key(b'f', &number), finding.to_row());
    }
    let first = meta.changes - generation.lasting.len() as u64;
    for (number, change) in (first..).zip(&generation.lasting) {
        put(key(b'l', &number), change.to_row());
    }
    for ((owner, name), id) in generation.names.iter() {
        let mut key = key(b'n', owner);
        key.extend_from_slice(name.as_str().as_bytes());
        rows.push((key, id.map(|id| id.to_row())));
    }
    rows
}

fn put_objects<'o, T: Object + 'o>(
    objects: impl IntoIterator<Item = &'o Arc<T>>,
    put: &mut impl FnMut(Vec<u8>, Vec<u8>),
) {
    objects.into_iter().for_each(|object| put(key(T::KIND, &object.position()), object.to_row()));
}

fn key(kind: u8, of: &impl Row) -> Vec<u8> {
    let mut key = vec![kind];
    of.write(&mut key);
    key
}

/// An object that is kept at the position of the envelope that it began with, whose id it has.
pub(super) trait Object: Row {
    /// First byte of its keys.
    const KIND: u8;

    fn id(&self) -> EnvelopeId;

    fn position(&self) -> Position;
}

macro_rules! objects {
    ($($type:ident = $kind:literal),*) => {$(
        impl Object for $type {
            const KIND: u8 = $kind;

            fn id(&self) -> EnvelopeId {
                self.id
            }

            fn position(&self) -> Position {
                self.position
            }
        }
    )*};
}
objects!(Capability = b'c', Intent = b'i', Offer = b'o', Task = b't', Attestation = b'v');

/// An archive, as objects.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    archive: Arc<dyn Archive>,
    /// Events of a generation.
    every: NonZeroU64,
}

impl Archived {
    pub(super) fn position_of(&self, id: &EnvelopeId) -> Option<Position> {
        self.get(&key(b'e', id))
    }

    pub(super) fn agent(&self, id: &AgentId) -> Option<Agent> {
        self.get(&key(b'a', id))
    }

    pub(super) fn record(&self, party: &AgentId) -> Option<TrackRecord> {
        self.get(&key(b'r', party))
    }

    pub(super) fn object<T: Object>(&self, id: &EnvelopeId) -> Option<Arc<T>> {
        let position = self.position_of(id)?;
        self.get(&key(T::KIND, &position)).map(Arc::new)
    }

    pub(super) fn objects<T: Object>(&self) -> impl Iterator<Item = Arc<T>> {
        self.scan(&[T::KIND]).map(|(_, object)| Arc::new(object))
    }

    pub(super) fn envelopes(&self) -> impl Iterator<Item = (EnvelopeId, Position)> {
        self.scan(b"e").map(|(key, position)| (part(&key), position))
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = (AgentId, Agent)> {
        self.scan(b"a").map(|(key, agent)| (part(&key), agent))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (AgentId, TrackRecord)> {
        self.scan(b"r").map(|(key, record)| (part(&key), record))
    }

    pub(super) fn delegations<'s>(
        &'s self,
        parties: &(AgentId, AgentId),
    ) -> impl Iterator<Item = EnvelopeId> + use<'s> {
        self.scan(&key(b'd', parties)).map(|(_, id)| id)
    }

    pub(super) fn claims<'s>(
        &'s self,
        subject: &ClaimSubject,
    ) -> impl Iterator<Item = EnvelopeId> + use<'s> {
        self.scan(&key(b'q', subject)).map(|(_, id)| id)
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.scan(b"f").map(|(_, finding)| finding)
    }

    fn get<T: Row>(&self, key: &[u8]) -> Option<T> {
        self.archive.get(key).map(|row| of_row(&row))
    }

    fn scan<'s, T: Row>(
        &'s self,
        prefix: &[u8],
    ) -> impl Iterator<Item = (Vec<u8>, T)> + use<'s, T> {
        self.archive.scan(prefix).map(|(key, row)| (key, of_row(&row)))
    }
}

/// What is after the kind in a key.
fn part<T: Row>(key: &[u8]) -> T {
    of_row(&key[1..])
}

/// # Panics
/// When no state wrote these bytes.
fn of_row<T: Row>(row: &[u8]) -> T {
    T::of_row(row).unwrap_or_else(|| damaged())
}

/// # Panics
/// Always: a wrong answer would admit what the rules refuse.
pub(super) fn damaged() -> ! {
    panic!("{ArchiveDamaged}")
}
