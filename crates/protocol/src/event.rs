//! The event: an envelope with its place in the log, as bytes that are hashed and kept.
//!
//! ```text
//! event_i = version u8 ‖ position u64 ‖ chain_{i-1} [32] ‖ recorded_at_µs i64
//!           ‖ payload len u32 ‖ payload ‖ signature [64]
//! chain_i = BLAKE3 derive_key(CHAIN_CONTEXT, event_i)
//! leaf_i  = SHA-256(0x00 ‖ event_i)
//! ```
//!
//! Integers are big-endian. Reading an event checks its shape, not its signature, its chain or its
//! place in a tree.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use tally_tlog::{Hash, Origin, leaf_hash};

use crate::envelope::SignedEnvelope;
pub use crate::ids::ChainHash;
use crate::ids::{Position, Time};
use crate::limits::{EVENT_OVERHEAD_BYTES, MAX_EVENT_BYTES};

/// Version of the event format.
pub const EVENT_VERSION: u8 = 1;

/// Context of the key derivation that makes the chain.
const CHAIN_CONTEXT: &str = "tally 2026-11-22 event v1 log chain";

/// Context of the key derivation that begins a chain.
const GENESIS_CONTEXT: &str = "tally 2026-11-22 event v1 log chain genesis";

const HEADER_BYTES: usize = 1 + 8 + 32 + 8 + 4;
const SIGNATURE_BYTES: usize = 64;

impl ChainHash {
    /// What the first event of a ledger links to.
    pub fn genesis(origin: &Origin) -> Self {
        Self(blake3::derive_key(GENESIS_CONTEXT, origin.to_string().as_bytes()))
    }

    /// The link that these event bytes make.
    pub fn of(event: &[u8]) -> Self {
        // Preparing the context costs as much as hashing an event: it is done once.
        static PREPARED: LazyLock<blake3::Hasher> =
            LazyLock::new(|| blake3::Hasher::new_derive_key(CHAIN_CONTEXT));
        Self(*PREPARED.clone().update(event).finalize().as_bytes())
    }
}

/// Why bytes are not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Shorter than the shortest event, or longer than the longest.
    #[error("an event has {EVENT_OVERHEAD_BYTES} to {MAX_EVENT_BYTES} bytes, found {0}")]
    Size(usize),
    /// A version that this program does not read.
    #[error("event version {0}, this program reads {EVENT_VERSION}")]
    Version(u8),
    /// The payload length does not fit the length of the event.
    #[error("the event says its payload has {said} bytes, it has {found}")]
    PayloadLength {
        /// What the event says.
        said: u32,
        /// What is there.
        found: usize,
    },
    /// A time before 1970.
    #[error("the event was recorded at {0} µs, before 1970")]
    RecordedAt(i64),
}

/// One event: its exact bytes, and what its header says. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    bytes: Bytes,
    position: Position,
    previous_chain: ChainHash,
    recorded_at: Time,
}

impl Event {
    /// Puts an envelope in its place.
    ///
    /// # Panics
    /// When the payload is longer than any envelope may be, or the time lies before 1970.
    pub fn new(
        position: Position,
        previous_chain: ChainHash,
        recorded_at: Time,
        signed: &SignedEnvelope,
    ) -> Self {
        let payload = &signed.payload;
        let total = EVENT_OVERHEAD_BYTES + payload.len();
        assert!(total <= MAX_EVENT_BYTES, "a parsed payload is within its limit");
        assert!(recorded_at.0 >= 0, "the ledger's time begins in 1970");
        let mut bytes = BytesMut::with_capacity(total);
        bytes.put_u8(EVENT_VERSION);
        bytes.put_u64(position.0);
        bytes.put_slice(&previous_chain.0);
        bytes.put_i64(recorded_at.0);
        bytes.put_u32(u32::try_from(payload.len()).expect("within the limit"));
        bytes.put_slice(payload);
        bytes.put_slice(&signed.signature);
        Self { bytes: bytes.freeze(), position, previous_chain, recorded_at }
    }

    /// Reads event bytes; copies nothing.
    ///
    /// # Errors
    /// [`EventError`] when the bytes do not have the shape of an event.
    pub fn decode(bytes: Bytes) -> Result<Self, EventError> {
        if bytes.len() < EVENT_OVERHEAD_BYTES || bytes.len() > MAX_EVENT_BYTES {
            return Err(EventError::Size(bytes.len()));
        }
        if bytes[0] != EVENT_VERSION {
            return Err(EventError::Version(bytes[0]));
        }
        let said = u32::from_be_bytes(array(&bytes, 49));
        let found = bytes.len() - EVENT_OVERHEAD_BYTES;
        if usize::try_from(said) != Ok(found) {
            return Err(EventError::PayloadLength { said, found });
        }
        let recorded_at = i64::from_be_bytes(array(&bytes, 41));
        if recorded_at < 0 {
            return Err(EventError::RecordedAt(recorded_at));
        }
        Ok(Self {
            position: Position(u64::from_be_bytes(array(&bytes, 1))),
            previous_chain: ChainHash(array(&bytes, 9)),
            recorded_at: Time(recorded_at),
            bytes,
        })
    }

    /// The exact bytes: what is hashed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Place in the log.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Link of the event before.
    pub fn previous_chain(&self) -> ChainHash {
        self.previous_chain
    }

    /// The ledger's time; never before that of the event before.
    pub fn recorded_at(&self) -> Time {
        self.recorded_at
    }

    /// What was signed: the payload of the envelope.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..self.bytes.len() - SIGNATURE_BYTES]
    }

    /// The envelope, as it was signed.
    pub fn signed(&self) -> SignedEnvelope {
        let end = self.bytes.len() - SIGNATURE_BYTES;
        SignedEnvelope {
            payload: self.bytes.slice(HEADER_BYTES..end),
            signature: array(&self.bytes, end),
        }
    }

    /// The author's signature: 64 bytes.
    pub fn signature(&self) -> Bytes {
        self.bytes.slice(self.bytes.len() - SIGNATURE_BYTES..)
    }

    /// The link that this event makes.
    pub fn chain(&self) -> ChainHash {
        ChainHash::of(&self.bytes)
    }

    /// The leaf of the tree that this event is.
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.bytes)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the length was checked")
}
