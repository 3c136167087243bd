//! Records as bytes: numbers in as few bytes as they need, seven bits each, lowest first; texts and
//! lists behind their length; one byte for which of several.
//!
//! Reading takes any bytes: what was not written gives nothing, and never takes more memory than the
//! bytes have room for.

use std::sync::Arc;

use tally_protocol::message::{Outcome, PolicyAction};
use tally_protocol::{AgentId, Digest, EnvelopeId, Position, Time, TraceId};

use crate::record::{
    AttestationFacts, Block, CapabilityFacts, END, EdgeIx, Facts, Half, IntentFacts, Key, Kind,
    List, Member, Mention, Moment, Node, NodeIx, OfferFacts, PolicyFacts, ReceiptFacts, Says,
    Signed, TaskFacts,
};
use crate::relation::Relation;
use crate::store::Head;
use crate::whereabouts::Field;
use crate::workflow::OfferState;

/// Has bytes.
pub(crate) trait Coded: Sized {
    /// Adds its bytes.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes it from the front of some bytes.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

fn take_bytes<'b>(from: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

impl Coded for u64 {
    fn put(&self, to: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            to.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        to.push(rest as u8);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u8::take(from)?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

impl Coded for u8 {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        Some(byte)
    }
}

impl Coded for u32 {
    fn put(&self, to: &mut Vec<u8>) {
        u64::from(*self).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        u64::take(from)?.try_into().ok()
    }
}

impl Coded for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Coded for Time {
    /// Near zero on either side is short.
    fn put(&self, to: &mut Vec<u8>) {
        ((self.0 << 1) ^ (self.0 >> 63)).cast_unsigned().put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let bits = u64::take(from)?;
        Some(Self((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()))
    }
}

impl<const N: usize> Coded for [u8; N] {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        take_bytes(from, N)?.try_into().ok()
    }
}

impl Coded for AgentId {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::from_bytes(take_bytes(from, 32)?).ok()
    }
}

impl Coded for Arc<str> {
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u64).put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let len = usize::try_from(u64::take(from)?).ok()?;
        std::str::from_utf8(take_bytes(from, len)?).ok().map(Self::from)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(match bool::take(from)? {
            true => Some(T::take(from)?),
            false => None,
        })
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

fn put_all<T: Coded>(items: &[T], to: &mut Vec<u8>) {
    (items.len() as u64).put(to);
    items.iter().for_each(|item| item.put(to));
}

fn take_all<T: Coded>(from: &mut &[u8]) -> Option<Vec<T>> {
    let len = usize::try_from(u64::take(from)?).ok()?;
    // Every item has a byte at least.
    let mut items = Vec::with_capacity(len.min(from.len()).min(1_024));
    for _ in 0..len {
        items.push(T::take(from)?);
    }
    Some(items)
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self, to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        take_all(from)
    }
}

impl<T: Coded> Coded for Arc<[T]> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self, to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        take_all(from).map(Self::from)
    }
}

/// Types around one value.
macro_rules! around {
    ($($name:ident),*) => {
        $(impl Coded for $name {
            fn put(&self, to: &mut Vec<u8>) {
                self.0.put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Coded::take(from).map(Self)
            }
        })*
    };
}
around!(NodeIx, EdgeIx, Position, EnvelopeId, Digest, TraceId);

/// Structs, field by field.
macro_rules! fields {
    ($($name:ident $(<$item:ident>)? { $($field:ident),* $(,)? })*) => {
        $(impl $(<$item: Coded>)? Coded for $name $(<$item>)? {
            fn put(&self, to: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Coded::take(from)?),* })
            }
        })*
    };
}
fields! {
    Node { key, since, kinds, facts, states, out, into, mentions, receipts, policies, members, traces }
    List<T> { full, rest }
    Mention { position, event, author, field, index, inline }
    Member { position, node }
    Moment { position, recorded_at, nodes, edges }
    Head { next, numbered, nodes, edges, awaited, moments }
    Signed { author, position, recorded_at }
    CapabilityFacts { signed, name }
    IntentFacts { signed, trace_id, outcome, labels, inputs, cancelled }
    OfferFacts { signed, intent, capability, valid_until }
    TaskFacts { signed, intent, offer, attempt, accepted, running }
    ReceiptFacts { signed, outcome, started_at_us, ended_at_us }
    PolicyFacts { signed, scope, name, version, action }
    AttestationFacts { signed, says, expires_at }
}

/// Which of several, with what each carries.
macro_rules! variants {
    ($($name:ident { $($number:literal: $variant:ident $(($($inner:ident),*))? $({$($field:ident),*})?,)* })*) => {
        $(impl Coded for $name {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($inner),*))? $({$($field),*})? => {
                        to.push($number);
                        $($($inner.put(to);)*)?
                        $($($field.put(to);)*)?
                    })*
                }
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(match u8::take(from)? {
                    $($number => {
                        $($(let $inner = Coded::take(from)?;)*)?
                        $($(let $field = Coded::take(from)?;)*)?
                        Self::$variant $(($($inner),*))? $({$($field),*})?
                    })*
                    _ => return None,
                })
            }
        })*
    };
}
variants! {
    Key { 0: Group, 1: Agent(id), 2: Envelope(id), 3: Data(uri, digest), 4: Imported(name), }
    Kind {
        0: Message, 1: Capability, 2: Intent, 3: Offer, 4: Task, 5: Receipt, 6: Policy,
        7: Attestation,
    }
    Facts {
        0: Capability(facts), 1: Intent(facts), 2: Offer(facts), 3: Task(facts), 4: Receipt(facts),
        5: Policy(facts), 6: Attestation(facts),
    }
    Block { 0: Halves(items), 1: Mentions(items), 2: Members(items), 3: Moments(items), }
    Says { 0: Claim, 1: Delegation { of, intent }, 2: Rotation { successor }, 3: Other, }
    Field {
        0: IntentInputs, 1: ProgressInputs, 2: ProgressOutputs, 3: ReceiptInputs,
        4: ReceiptOutputs, 5: ClaimEvidence,
    }
    OfferState { 0: Open, 1: Replaced, 2: Declined, 3: Withdrawn, 4: Awarded, }
    PolicyAction { 0: Activate, 1: Amend, 2: Revoke, 3: Override, }
    Outcome { 0: Succeeded, 1: Failed, 2: Rejected, 3: Violated, 4: Cancelled, 5: Abandoned, }
    Relation {
        0: Used, 1: WasGeneratedBy, 2: WasInformedBy, 3: Retries, 4: WasAssociatedWith,
        5: WasAttributedTo, 6: ActedOnBehalfOf, 7: WasRevisionOf, 8: Answers, 9: HadPlan,
        10: Serves, 11: Awards, 12: Concludes, 13: GovernedBy, 14: AttestsTo, 15: RestsOn,
        16: Revokes,
    }
}

impl Coded for Half {
    /// Which grounds there are stands in the byte of the relation.
    fn put(&self, to: &mut Vec<u8>) {
        let Self { edge, other, relation, since } = self;
        relation.put(to);
        let grounds = (0..3).filter(|&class| since[class] != END);
        let last = to.last_mut().expect("the relation was written");
        *last |= grounds.clone().map(|class| 0x20 << class).sum::<u8>();
        edge.put(to);
        other.put(to);
        grounds.for_each(|class| since[class].put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let first = u8::take(from)?;
        let relation = Relation::take(&mut &[first & 0x1f][..])?;
        let (edge, other, mut since) = (Coded::take(from)?, Coded::take(from)?, [END; 3]);
        for (class, since) in since.iter_mut().enumerate() {
            if first & (0x20 << class) != 0 {
                *since = Coded::take(from)?;
            }
        }
        Some(Self { edge, other, relation, since })
    }
}
