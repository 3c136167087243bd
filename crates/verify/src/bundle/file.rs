//! The file: one JSON document, one event a line.
//!
//! ```json
//! {"format":"tally-bundle-v1",
//! "origin":"example.org/ledger",
//! "subject":{"task":"<id>"},
//! "checkpoint":"<the note, as the log signed it>",
//! "older":{"checkpoint":"<an earlier note>","proof":["<hash>"]},
//! "events":[
//! "<base64 of the exact event bytes, by ascending position>"
//! ],
//! "nodes":[
//! "<hash>"
//! ],
//! "omitted":[
//! {"what":{"envelope":"<id>"},"why":"<for people>"}
//! ]}
//! ```
//!
//! `subject` may also be `{"data":{"uri":…,"digest":…}}`, and so may `what`; `older` may be absent.
//! `nodes` are the hashes of a [`SubsetProof`]. A bundle has one spelling: what was read is written
//! back byte for byte, or it is refused. So unknown and doubled members, another order, other
//! spaces and loose base64 are all errors, and two readers never see two things in one file.
//!
//! Nothing here is believed: see [`crate::verify_bundle`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tally_protocol::{Event, EventError, Origin, Position};
use tally_provenance::{LeftOut, Subject};
use tally_tlog::{
    CheckpointError, ConsistencyProof, Hash, HashTextError, MAX_SUBSET_LEAVES, NameError,
    ProofError, SignedCheckpoint, SubsetProof,
};

/// The first member of a bundle, by which it is known.
pub const BUNDLE_FORMAT: &str = "tally-bundle-v1";

/// What every bundle begins with.
pub const BUNDLE_START: &[u8] = b"{\"format\":\"tally-bundle-v";

/// Most bytes of a bundle: 1 GiB.
pub const MAX_BUNDLE_BYTES: usize = 1 << 30;

/// Most events of a bundle.
pub const MAX_BUNDLE_EVENTS: usize = MAX_SUBSET_LEAVES;

/// A provenance bundle, read and **not verified**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The ledger that it says it is from.
    pub origin: Origin,
    /// What it says how it came about.
    pub subject: Subject,
    /// The tree head that the events are to be under.
    pub checkpoint: SignedCheckpoint,
    /// An earlier tree head of the same log, where one was given.
    pub older: Option<Older>,
    /// The events, by ascending position.
    pub events: Vec<Event>,
    /// The proof that they are where they say.
    pub nodes: SubsetProof,
    /// What its maker left out and says so.
    pub omitted: Vec<Omission>,
}

/// An earlier tree head, and the proof that the log has only grown since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Older {
    /// The earlier one.
    pub checkpoint: SignedCheckpoint,
    /// From it to that of the bundle.
    pub proof: ConsistencyProof,
}

/// Something that the maker of a bundle left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// What.
    pub what: LeftOut,
    /// Why, for people.
    pub why: String,
}

/// Why bytes are not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Over the limit.
    #[error("a bundle of {length} bytes is over the limit of {MAX_BUNDLE_BYTES}")]
    TooLarge {
        /// The file's bytes.
        length: usize,
    },
    /// No JSON of this shape.
    #[error("the file is no bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// A format that this program does not read.
    #[error("the file is of format {found:?}, this program reads {BUNDLE_FORMAT:?}")]
    Format {
        /// What it says.
        found: String,
    },
    /// The ledger's name.
    #[error("the file names no ledger")]
    Origin(#[from] NameError),
    /// The checkpoint, or the older one.
    #[error("a checkpoint of the file is none: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The older checkpoint's proof.
    #[error("the proof from the older checkpoint is none: {0}")]
    Proof(#[from] ProofError),
    /// Over the limit.
    #[error("{count} events are over the limit of {MAX_BUNDLE_EVENTS}")]
    TooManyEvents {
        /// Events in the file.
        count: usize,
    },
    /// An event that is not standard base64.
    #[error("event {index} of the file is not standard base64")]
    Base64 {
        /// The first is 0.
        index: usize,
    },
    /// An event without the shape of one.
    #[error("event {index} of the file: {error}")]
    Event {
        /// The first is 0.
        index: usize,
        /// Why.
        error: EventError,
    },
    /// Events come by ascending position.
    #[error("the event of position {position} is not after the one before it")]
    Order {
        /// The event that is out of place.
        position: Position,
    },
    /// A node that is no hash.
    #[error("a node or a proof's line is no hash: {0}")]
    Hash(#[from] HashTextError),
    /// The same bundle is written in another way.
    #[error("the file is not spelt as a bundle is")]
    Spelling,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: String,
    origin: String,
    subject: Subject,
    checkpoint: String,
    #[serde(default)]
    older: Option<WrittenOlder>,
    events: Vec<String>,
    nodes: Vec<String>,
    omitted: Vec<Omission>,
}

#[derive(Serialize, Deserialize)]
struct WrittenOlder {
    checkpoint: String,
    proof: Vec<String>,
}

impl Bundle {
    /// Reads a file. [`Bundle::to_bytes`] gives back the same bytes.
    ///
    /// # Errors
    /// [`BundleError`]: the first thing that is not as it must be, or a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { length: bytes.len() });
        }
        let written: Written = serde_json::from_slice(bytes)?;
        if written.format != BUNDLE_FORMAT {
            return Err(BundleError::Format { found: written.format });
        }
        let bundle = Self::read(written)?;
        if bundle.to_bytes() == bytes { Ok(bundle) } else { Err(BundleError::Spelling) }
    }

    fn read(written: Written) -> Result<Self, BundleError> {
        Ok(Self {
            origin: Origin::new(written.origin)?,
            subject: written.subject,
            checkpoint: SignedCheckpoint::parse(written.checkpoint.as_bytes())?,
            older: written.older.map(Older::read).transpose()?,
            events: read_events(&written.events)?,
            nodes: SubsetProof::new(read_hashes(&written.nodes)?),
            omitted: written.omitted,
        })
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let events = self.events.iter().map(|event| json(&STANDARD.encode(event.bytes())));
        let nodes = self.nodes.hashes().iter().map(|hash| json(&hash.to_base64()));
        let members = [
            ("format", Some(json(BUNDLE_FORMAT))),
            ("origin", Some(json(self.origin.as_str()))),
            ("subject", Some(json(&self.subject))),
            ("checkpoint", Some(json(&self.checkpoint.note().to_string()))),
            ("older", self.older.as_ref().map(|older| json(&older.written()))),
            ("events", Some(lines(events))),
            ("nodes", Some(lines(nodes))),
            ("omitted", Some(lines(self.omitted.iter().map(json)))),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let members: Vec<String> =
            members.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}\n", members.join(",\n")).into_bytes()
    }
}

impl Older {
    fn read(written: WrittenOlder) -> Result<Self, BundleError> {
        let checkpoint = SignedCheckpoint::parse(written.checkpoint.as_bytes())?;
        let proof = ConsistencyProof::new(read_hashes(&written.proof)?)?;
        Ok(Self { checkpoint, proof })
    }

    fn written(&self) -> WrittenOlder {
        let proof = self.proof.hashes().iter().map(Hash::to_base64).collect();
        WrittenOlder { checkpoint: self.checkpoint.note().to_string(), proof }
    }
}

fn read_events(lines: &[String]) -> Result<Vec<Event>, BundleError> {
    if lines.len() > MAX_BUNDLE_EVENTS {
        return Err(BundleError::TooManyEvents { count: lines.len() });
    }
    let mut events: Vec<Event> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let bytes = STANDARD.decode(line).map_err(|_| BundleError::Base64 { index })?;
        let event =
            Event::decode(bytes.into()).map_err(|error| BundleError::Event { index, error })?;
        let position = event.position();
        if events.last().is_some_and(|before| position <= before.position()) {
            return Err(BundleError::Order { position });
        }
        events.push(event);
    }
    Ok(events)
}

fn read_hashes(lines: &[String]) -> Result<Vec<Hash>, HashTextError> {
    lines.iter().map(|line| Hash::from_base64(line)).collect()
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("members have keys of text")
}

/// A list with one item a line.
fn lines(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.is_empty() {
        true => "[]".into(),
        false => format!("[\n{}\n]", items.join(",\n")),
    }
}
