//! Puts right what a change has broken, so that what lies behind a checksum or a link is reached.
//!
//! Knows the formats a second time, on purpose: a mistake in the store is not made here as well.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use tally_protocol::{AgentKey, ChainHash, Envelope, Event, Origin, wire};

use crate::rng::Rng;
use crate::seeds;

const FRAME_HEADER_BYTES: usize = 13;
const SLOT_BYTES: usize = 80;
const SEGMENT_FIXED_BYTES: usize = 57;
const EVENT_OVERHEAD_BYTES: usize = 117;
const COMMIT_FIXED_BYTES: usize = 72;

/// Most files of a directory that is made from an input.
const MAX_FILES: usize = 8;

/// Signs again what is an envelope by an author whose key is known here.
pub fn signed_envelope(input: &mut Vec<u8>, _: &mut Rng) {
    let Ok(mut wire) = wire::SignedEnvelope::decode(&input[..]) else { return };
    let Ok(envelope) = Envelope::decode(&wire.payload) else { return };
    let known = |key: &AgentKey| key.agent() == envelope.author;
    if let Some(key) = seeds::authors().find(known)
        && let Ok(signed) = envelope.sign(&key)
    {
        wire.signature = signed.signature.to_vec().into();
        *input = wire.encode_to_vec();
    }
}

/// The files of a data directory in one input:
///
/// ```text
/// file = kind u8 (0 mark, 1 segment, 2 index) ‖ first position u64 ‖ length u32 ‖ bytes
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The mark.
    pub mark: Option<Vec<u8>>,
    /// Segments and their first positions, as their names say.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Indexes and the first positions of their segments.
    pub indexes: Vec<(u64, Vec<u8>)>,
}

impl Files {
    /// Reads an input; whatever it is, it is some files.
    pub fn decode(mut data: &[u8]) -> Self {
        let mut files = Self::default();
        for _ in 0..MAX_FILES {
            let Some((head, rest)) = data.split_first_chunk::<13>() else { break };
            let first = u64::from_be_bytes(head[1..9].try_into().expect("eight"));
            let said = u32::from_be_bytes(head[9..].try_into().expect("four"));
            let (bytes, rest) = rest.split_at(rest.len().min(said as usize));
            match head[0] % 3 {
                0 => files.mark = Some(bytes.to_vec()),
                1 => files.segments.push((first, bytes.to_vec())),
                _ => files.indexes.push((first, bytes.to_vec())),
            }
            data = rest;
        }
        // Two of one name are one file.
        files.segments.sort_by_key(|(first, _)| *first);
        files.segments.dedup_by_key(|(first, _)| *first);
        files
    }

    /// The input that says this.
    pub fn encode(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut put = |kind: u8, first: u64, bytes: &[u8]| {
            data.push(kind);
            data.extend_from_slice(&first.to_be_bytes());
            data.extend_from_slice(&u32::try_from(bytes.len()).expect("small").to_be_bytes());
            data.extend_from_slice(bytes);
        };
        if let Some(mark) = &self.mark {
            put(0, 0, mark);
        }
        self.segments.iter().for_each(|(first, bytes)| put(1, *first, bytes));
        self.indexes.iter().for_each(|(first, bytes)| put(2, *first, bytes));
        data
    }

    /// Makes the directory hold these files and no others.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let log = directory.join("log");
        for stale in [&log, &directory.join("mark"), &directory.join("lock")] {
            match fs::symlink_metadata(stale) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(stale)?,
                Ok(_) => fs::remove_file(stale)?,
                Err(_) => {}
            }
        }
        fs::create_dir_all(&log)?;
        if let Some(mark) = &self.mark {
            fs::write(directory.join("mark"), mark)?;
        }
        for (first, bytes) in &self.segments {
            fs::write(log.join(format!("{first:020}.seg")), bytes)?;
        }
        for (first, bytes) in &self.indexes {
            fs::write(log.join(format!("{first:020}.idx")), bytes)?;
        }
        Ok(())
    }

    /// The files that a directory holds.
    ///
    /// # Errors
    /// The system's.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut files = Self { mark: fs::read(directory.join("mark")).ok(), ..Self::default() };
        for entry in fs::read_dir(directory.join("log"))? {
            let path = entry?.path();
            let first =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|s| s.parse().ok());
            let Some(first) = first else { continue };
            let to = match path.extension().and_then(|suffix| suffix.to_str()) {
                Some("seg") => &mut files.segments,
                _ => &mut files.indexes,
            };
            to.push((first, fs::read(&path)?));
        }
        files.segments.sort();
        files.indexes.sort();
        Ok(files)
    }

    /// Whether all but what can be rebuilt is the same.
    pub fn same_log(&self, other: &Self) -> bool {
        self.mark == other.mark && self.segments == other.segments
    }
}

/// Checksums, sometimes also lengths and the links between frames.
pub fn segment(input: &mut [u8], rng: &mut Rng) {
    let mut links = Links::default();
    repair_segment(input, 0, rng.once_in(2).then_some(&mut links), rng);
}

/// Every segment, and the mark.
pub fn ledger(input: &mut Vec<u8>, rng: &mut Rng) {
    let mut files = Files::decode(input);
    let relink = rng.once_in(2);
    let mut links = Links::default();
    for (first, bytes) in &mut files.segments {
        if relink && !rng.once_in(16) {
            *first = links.next;
        }
        repair_segment(bytes, *first, relink.then_some(&mut links), rng);
    }
    if let Some(bytes) = &mut files.mark {
        if relink && rng.once_in(2) && bytes.len() >= SLOT_BYTES {
            let at = if bytes.len() >= 2 * SLOT_BYTES && rng.once_in(2) { SLOT_BYTES } else { 0 };
            bytes[at + 16..at + 24].copy_from_slice(&links.next.to_be_bytes());
            bytes[at + 24..at + 56].copy_from_slice(&links.chain.0);
        }
        mark(bytes, rng);
    }
    *input = files.encode();
}

/// The checksum of each slot.
pub fn mark(input: &mut [u8], rng: &mut Rng) {
    for slot in input.chunks_exact_mut(SLOT_BYTES) {
        let never_written = slot.iter().all(|byte| *byte == 0);
        if never_written || rng.once_in(4) {
            continue;
        }
        let crc = crc32fast::hash(&slot[..SLOT_BYTES - 4]);
        slot[SLOT_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
    }
}

/// What the next frame must link to.
struct Links {
    next: u64,
    chain: ChainHash,
    origin: Option<Vec<u8>>,
}

impl Default for Links {
    fn default() -> Self {
        Self { next: 0, chain: ChainHash([0; 32]), origin: None }
    }
}

fn repair_segment(bytes: &mut [u8], first: u64, mut links: Option<&mut Links>, rng: &mut Rng) {
    let mut at = 0;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        let left = bytes.len() - at - FRAME_HEADER_BYTES;
        let (header, rest) = bytes[at..].split_at_mut(FRAME_HEADER_BYTES);
        let said = u32::from_be_bytes(header[1..5].try_into().expect("four"));
        let mut length = said as usize;
        if length > left && rng.once_in(2) {
            length = left;
            header[1..5].copy_from_slice(&u32::try_from(left).expect("small").to_be_bytes());
        }
        let header_crc = crc32fast::hash(&header[..5]);
        header[5..9].copy_from_slice(&header_crc.to_be_bytes());
        if length > left {
            return;
        }
        let body = &mut rest[..length];
        if let Some(links) = &mut links {
            links.put(header[0], first, body);
        }
        header[9..13].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
        at += FRAME_HEADER_BYTES + length;
    }
}

impl Links {
    fn put(&mut self, kind: u8, first: u64, body: &mut [u8]) {
        match kind {
            1 if body.len() > SEGMENT_FIXED_BYTES => self.segment(first, body),
            2 if body.len() >= EVENT_OVERHEAD_BYTES => self.event(body),
            3 if body.len() >= COMMIT_FIXED_BYTES => {
                body[..8].copy_from_slice(&self.next.to_be_bytes());
                body[8..40].copy_from_slice(&self.chain.0);
            }
            _ => {}
        }
    }

    fn segment(&mut self, first: u64, body: &mut [u8]) {
        let origin = self.origin.get_or_insert_with(|| {
            let origin = body[SEGMENT_FIXED_BYTES..].to_vec();
            let text = String::from_utf8_lossy(&origin);
            if let Ok(origin) = Origin::new(text) {
                self.chain = ChainHash::genesis(&origin);
            }
            origin
        });
        let same = origin.len() == body.len() - SEGMENT_FIXED_BYTES;
        if same {
            body[SEGMENT_FIXED_BYTES..].copy_from_slice(origin);
        }
        body[17..25].copy_from_slice(&first.to_be_bytes());
        body[25..57].copy_from_slice(&self.chain.0);
    }

    fn event(&mut self, body: &mut [u8]) {
        let payload = u32::try_from(body.len() - EVENT_OVERHEAD_BYTES).expect("small");
        body[1..9].copy_from_slice(&self.next.to_be_bytes());
        body[9..41].copy_from_slice(&self.chain.0);
        body[49..53].copy_from_slice(&payload.to_be_bytes());
        self.chain = ChainHash::of(body);
        self.next += 1;
    }
}

/// Most leaves of the tree that a bundle is put into.
const MAX_TREE: u64 = 4_096;

/// Puts the events of a bundle that can still be read into a tree, and signs it: what is judged
/// behind the proof is reached with events changed, dropped and moved.
pub fn bundle(input: &mut Vec<u8>, _: &mut Rng) {
    let Ok(read) = serde_json::from_slice::<serde_json::Value>(input) else { return };
    let lines = read["events"].as_array().into_iter().flatten().filter_map(|line| line.as_str());
    let decoded = lines.filter_map(|line| STANDARD.decode(line).ok());
    let events = decoded.filter_map(|bytes| Event::decode(bytes.into()).ok());
    let mut events: Vec<Event> = events.filter(|event| event.position().0 < MAX_TREE).collect();
    events.sort_by_key(Event::position);
    events.dedup_by_key(|event| event.position());
    let subject = serde_json::from_value(read["subject"].clone());
    let (Ok(subject), false) = (subject, events.is_empty()) else { return };
    let omitted = serde_json::from_value(read["omitted"].clone()).unwrap_or_default();
    *input = seeds::proven(events, subject, omitted).to_bytes();
}
