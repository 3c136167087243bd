//! Reading a log as fast as can be: the files, the checksums, the protobuf of each event.
//!
//! Holds no frame to the one before, computes no chain, types nothing, and keeps nothing. It has a
//! reader of frames of its own: the store's is among what is held to this limit.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use tally_protocol::{Event, wire};

use crate::Failure;
use crate::machine::cores;

/// Bytes that are read and decoded together.
const CHUNK: usize = 1024 * 1024;

/// Before each body: kind u8, body length u32, checksum of both, checksum of the body.
const HEADER: usize = 13;

/// The kind of a frame that holds an event.
const EVENT: u8 = 2;

/// How fast a log is read and decoded.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DecodeRate {
    /// Threads that decoded.
    pub cores: usize,
    /// Events in the log.
    pub events: u64,
    /// Events a second of all threads.
    pub per_second: f64,
}

/// Reads and decodes the log in a data directory on all cores.
///
/// # Errors
/// [`Failure`] when it can't be read or is damaged.
pub fn on_all_cores(data: &Path) -> Result<DecodeRate, Failure> {
    rate(data, cores())
}

/// Reads and decodes it on so many threads.
///
/// # Errors
/// [`Failure`] when it can't be read or is damaged.
///
/// # Panics
/// When a thread does.
pub fn rate(data: &Path, cores: usize) -> Result<DecodeRate, Failure> {
    let began = Instant::now();
    let files = Mutex::new(Files::open(data)?);
    let decode = || -> Result<u64, Failure> {
        let mut events = 0;
        loop {
            // What is read is in the page cache: the copy is short beside the decoding.
            let chunk = files.lock().expect("no holder of the lock panics").chunk()?;
            let Some(chunk) = chunk else { return Ok(events) };
            events += chunk.decode()?;
        }
    };
    let decoded = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(decode)).collect();
        let events = threads.into_iter().map(|thread| thread.join().expect("decoding is total"));
        events.sum::<Result<u64, Failure>>()
    })?;
    let per_second = decoded as f64 / began.elapsed().as_secs_f64();
    Ok(DecodeRate { cores, events: decoded, per_second })
}

/// The segments that are still to be read.
struct Files {
    /// The next is the last.
    waiting: Vec<PathBuf>,
    current: Option<(PathBuf, File)>,
    /// The beginning of a frame whose end is not read.
    torn: Vec<u8>,
}

/// Whole frames.
struct Chunk {
    path: PathBuf,
    frames: Bytes,
}

impl Files {
    fn open(data: &Path) -> Result<Self, Failure> {
        let log = data.join("log");
        let failed = || Failure::system(log.display().to_string());
        let mut waiting = Vec::new();
        for entry in std::fs::read_dir(&log).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.extension().is_some_and(|extension| extension == "seg") {
                waiting.push(path);
            }
        }
        waiting.sort_by(|a, b| b.cmp(a));
        Ok(Self { waiting, current: None, torn: Vec::new() })
    }

    fn chunk(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            let Some((path, file)) = &mut self.current else {
                let Some(path) = self.waiting.pop() else { return Ok(None) };
                let file =
                    File::open(&path).map_err(Failure::system(path.display().to_string()))?;
                self.current = Some((path, file));
                continue;
            };
            let mut bytes = Vec::with_capacity(CHUNK + self.torn.len());
            bytes.append(&mut self.torn);
            let failed = Failure::system(path.display().to_string());
            let read = file.take(CHUNK as u64).read_to_end(&mut bytes).map_err(failed)?;
            let path = path.clone();
            let whole = whole_frames(&bytes);
            if read == 0 {
                self.current = None;
                if whole < bytes.len() {
                    return Err(damaged(&path, whole));
                }
                continue;
            }
            self.torn = bytes.split_off(whole);
            return Ok(Some(Chunk { path, frames: bytes.into() }));
        }
    }
}

fn body_length(frame: &[u8]) -> Option<usize> {
    let length = frame.get(1..5)?.try_into().expect("four bytes");
    Some(u32::from_be_bytes(length) as usize)
}

/// Where the last whole frame ends.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = body_length(&bytes[end..]) {
        match end + HEADER + length {
            next if next <= bytes.len() => end = next,
            _ => break,
        }
    }
    end
}

impl Chunk {
    /// How many events it has.
    fn decode(&self) -> Result<u64, Failure> {
        let (mut at, mut events) = (0, 0);
        while at < self.frames.len() {
            let header = &self.frames[at..at + HEADER];
            let end = at + HEADER + body_length(header).expect("a whole header");
            let body = self.frames.slice(at + HEADER..end);
            if crc32fast::hash(&body).to_be_bytes() != header[9..] {
                return Err(damaged(&self.path, at));
            }
            if header[0] == EVENT {
                let event = Event::decode(body).map_err(|_| damaged(&self.path, at))?;
                let envelope = wire::Envelope::decode(event.signed().payload);
                std::hint::black_box(envelope.map_err(|_| damaged(&self.path, at))?);
                events += 1;
            }
            at = end;
        }
        Ok(events)
    }
}

fn damaged(path: &Path, offset: usize) -> Failure {
    Failure::Damaged { path: path.display().to_string(), offset }
}
