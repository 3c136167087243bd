//! The bytes of a row: what an [`Archive`](super::Archive) keeps of an object.
//!
//! A structure is its fields in their order, a choice its number and what it carries. Numbers are
//! big-endian and as wide as their type; a list, a text or terms have their length before them, in
//! four bytes; terms are the bytes of the message that said them. Another order or form of anything
//! is another [`VERSION`](super::Rows::VERSION).
//!
//! Rows are trusted as far as their storage checks them: a key is not held to the curve again.

use std::sync::Arc;

use imbl::Vector;
use tally_protocol::message::{
    AdvertiseCapability, Attest, CapabilityTerms, ClaimSubject, Intent as IntentMessage,
    IntentTerms, Offer as OfferTerms, Outcome, PolicyScope, PolicyUpdate, ProgressState, TaskStart,
};
use tally_protocol::parts::{Name, Price};
use tally_protocol::{
    AgentId, AuthorSequence, Digest, EnvelopeId, Message, Position, Time, TraceId,
};

use super::archive::Meta;
use super::objects::{
    Agent, Attestation, Capability, CapabilityStanding, Ended, Intent, IntentStanding, KeyEnd,
    LateTerminal, Offer, OfferStanding, Policy, Put, Task, TaskState, TrackRecord,
};
use crate::finding::{Finding, FindingKind};
use crate::refusal::Object;
use crate::rules::policy::read_text;
use crate::schema::Document;

/// What has the form of a row, or of a part of one.
pub(super) trait Row: Sized {
    /// Writes it behind what is there.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes it from the front; `None` when no such thing was written there.
    fn read(from: &mut &[u8]) -> Option<Self>;

    /// Its bytes.
    fn to_row(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// What the bytes were written from; `None` when they are of nothing such, or of more.
    fn of_row(mut row: &[u8]) -> Option<Self> {
        let read = Self::read(&mut row)?;
        row.is_empty().then_some(read)
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Row for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                take(from).map(Self::from_be_bytes)
            }
        }
    )*};
}
numbers!(u8, u32, u64, i64);

macro_rules! wrapped {
    ($($type:ident($inner:ty)),*) => {$(
        impl Row for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                <$inner>::read(from).map(Self)
            }
        }
    )*};
}
wrapped!(Position(u64), AuthorSequence(u64), Time(i64));
wrapped!(EnvelopeId([u8; 32]), Digest([u8; 32]), TraceId([u8; 16]));

impl<const N: usize> Row for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from)
    }
}

impl Row for bool {
    fn write(&self, out: &mut Vec<u8>) {
        u8::from(*self).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Row for AgentId {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        AgentId::from_known_bytes(&take::<32>(from)?).ok()
    }
}

/// Bytes behind their length.
fn write_long(bytes: &[u8], out: &mut Vec<u8>) {
    u32::try_from(bytes.len()).expect("parts of a message are small").write(out);
    out.extend_from_slice(bytes);
}

fn read_long<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(u32::read(from)?).ok()?;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

impl Row for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_long(self.as_bytes(), out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        String::from_utf8(read_long(from)?.to_vec()).ok()
    }
}

impl Row for Name {
    fn write(&self, out: &mut Vec<u8>) {
        write_long(self.as_str().as_bytes(), out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Name::new(String::read(from)?).ok()
    }
}

impl<T: Row> Row for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(match bool::read(from)? {
            true => Some(T::read(from)?),
            false => None,
        })
    }
}

impl<T: Row + Clone> Row for Vector<T> {
    fn write(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).expect("an object lists what fits into memory").write(out);
        self.iter().for_each(|value| value.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        (0..u32::read(from)?).map(|_| T::read(from)).collect()
    }
}

impl<A: Row, B: Row> Row for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

impl<A: Row, B: Row, C: Row> Row for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?, C::read(from)?))
    }
}

/// Terms are the bytes of the message that said them, or would say them.
macro_rules! terms {
    ($($type:ty: $terms:ident => $message:expr, $pattern:pat => $read:expr;)*) => {$(
        impl Row for Arc<$type> {
            fn write(&self, out: &mut Vec<u8>) {
                let $terms = <$type>::clone(self);
                write_long(&$message.body(), out);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                match Message::of_body(read_long(from)?).ok()? {
                    $pattern => Some(Arc::new($read)),
                    _ => None,
                }
            }
        }
    )*};
}
terms! {
    CapabilityTerms: terms => Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)),
        Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)) => terms;
    IntentTerms: terms => Message::Intent(IntentMessage::Open(terms)),
        Message::Intent(IntentMessage::Open(terms)) => terms;
    OfferTerms: terms => Message::Offer(terms), Message::Offer(terms) => terms;
    TaskStart: terms => Message::TaskStart(Box::new(terms)), Message::TaskStart(terms) => *terms;
    Attest: terms => Message::Attest(terms), Message::Attest(terms) => terms;
    PolicyUpdate: terms => Message::PolicyUpdate(terms), Message::PolicyUpdate(terms) => terms;
}

macro_rules! structures {
    ($($type:ident { $($field:ident),* $(,)? })*) => {$(
        impl Row for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(out);)*
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                $(let $field = Row::read(from)?;)*
                Some(Self { $($field),* })
            }
        }
    )*};
}
structures! {
    Meta { next, recorded_at, changes, findings }
    Agent { next_sequence, last }
    TrackRecord { succeeded, failed }
    Capability { id, root, owner, terms, standing, position, recorded_at }
    Intent {
        id, root, author, terms, trace_id, standing, offers, tasks, live_tasks, succeeded_tasks,
        position, recorded_at,
    }
    Offer { id, provider, terms, standing, counters, revealed, record, position, recorded_at }
    Task {
        id, initiator, intent_author, executor, terms, policies, trace_id, state, percent,
        accepted_at, running_at, heard_at, cancellation_by, ended, late, replaced_by, position,
        recorded_at,
    }
    Ended { receipt, outcome, position, recorded_at }
    LateTerminal { receipt, author, outcome, position }
    Attestation { id, author, principal, statement, revoked, position }
    Finding { kind, agent, object, event, position, found }
}

macro_rules! choices {
    ($($type:ident { $($number:literal = $variant:ident $(($part:ident))?),* $(,)? })*) => {$(
        impl Row for $type {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($part))? => {
                        out.push($number);
                        $($part.write(out);)?
                    })*
                }
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                Some(match u8::read(from)? {
                    $($number => {
                        $(let $part = Row::read(from)?;)?
                        Self::$variant $(($part))?
                    })*
                    _ => return None,
                })
            }
        }
    )*};
}
choices! {
    KeyEnd { 0 = Rotated(successor), 1 = Revoked }
    CapabilityStanding { 0 = InForce, 1 = Superseded(by), 2 = Retired }
    IntentStanding { 0 = Open, 1 = Fulfilled, 2 = Superseded(by), 3 = Cancelled }
    OfferStanding { 0 = Live, 1 = Replaced(by), 2 = Withdrawn, 3 = Declined, 4 = Accepted(task) }
    TaskState { 0 = Assigned, 1 = Reported(state), 2 = Ended(outcome) }
    ProgressState {
        0 = Accepted, 1 = Running, 2 = BlockedInput, 3 = BlockedAuthorisation, 4 = BlockedPolicy,
    }
    Outcome {
        0 = Succeeded, 1 = Failed, 2 = Rejected, 3 = Violated, 4 = Cancelled, 5 = Abandoned,
    }
    ClaimSubject { 0 = Agent(agent), 1 = Envelope(id) }
    PolicyScope { 0 = Agent(agent), 1 = Capability(id), 2 = Intent(id) }
    Object {
        0 = Agent(agent), 1 = Capability(id), 2 = Intent(id), 3 = Offer(id), 4 = Task(id),
        5 = Attestation(id), 6 = Policy(id), 7 = Envelope(id),
    }
    FindingKind {
        0 = LateOutcome, 1 = ConflictingOutcome, 2 = Overdue, 3 = Abandoned, 4 = Violated,
        5 = EmptyOffer, 6 = OverUse, 7 = OverTime, 8 = UnopenedBid, 9 = Equivocation,
    }
}

impl Row for Price {
    fn write(&self, out: &mut Vec<u8>) {
        self.amount.write(out);
        self.currency.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let (amount, currency) = Row::read(from)?;
        Some(Self { amount, currency })
    }
}

/// What a state always has at hand, as the changes that made it. Texts are read again.
impl Row for Put {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Policy(key, policy) => {
                out.push(0);
                key.write(out);
                policy.update.write(out);
                policy.terms.write(out);
                policy.judged.is_some().write(out);
                policy.in_force.write(out);
                policy.position.write(out);
            }
            Self::Schema(document) => {
                out.push(1);
                document.digest().write(out);
                write_long(document.text().as_bytes(), out);
            }
            Self::Key(key, end) => {
                out.push(2);
                key.write(out);
                end.write(out);
            }
            Self::Rotation(event, from, to) => {
                out.push(3);
                event.write(out);
                from.write(out);
                to.write(out);
            }
            Self::Succession(successor, predecessor) => {
                out.push(4);
                successor.write(out);
                predecessor.write(out);
            }
            put => unreachable!("{put:?} is kept in generations"),
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(match u8::read(from)? {
            0 => {
                let key = Row::read(from)?;
                let (update, terms): (_, Arc<PolicyUpdate>) = Row::read(from)?;
                let judged = match bool::read(from)? {
                    true => Some(read_text(&key, &terms).ok()?),
                    false => None,
                };
                let (in_force, position) = Row::read(from)?;
                Self::Policy(key, Policy { update, terms, judged, in_force, position })
            }
            1 => {
                let (digest, text): (_, String) = Row::read(from)?;
                Self::Schema(Document::of_text(digest, &text).ok()?)
            }
            2 => {
                let (key, end) = Row::read(from)?;
                Self::Key(key, end)
            }
            3 => {
                let (event, from, to) = Row::read(from)?;
                Self::Rotation(event, from, to)
            }
            4 => {
                let (successor, predecessor) = Row::read(from)?;
                Self::Succession(successor, predecessor)
            }
            _ => return None,
        })
    }
}
