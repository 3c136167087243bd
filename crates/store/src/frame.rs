//! Frames: how a segment's bytes are cut up.
//!
//! ```text
//! frame   = kind u8 ‖ body length u32 ‖ header crc32 (of kind and length) ‖ body crc32 ‖ body
//! 1 segment header = "TALLYLOG" ‖ version u8 ‖ epoch u64 ‖ first position u64
//!                    ‖ previous chain hash [32] ‖ origin
//! 2 event          = the exact event bytes
//! 3 commit         = size u64 ‖ chain hash [32] ‖ root [32] ‖ signed checkpoint note, may be empty
//! ```
//!
//! Integers are big-endian. The header has a checksum of its own, so that a damaged length and a
//! torn tail can be told apart. Kind 0 does not exist: zeros are never a frame. Checks one frame
//! at a time; whether frames fit each other is for [`crate::scan`].

use bytes::Bytes;
use tally_protocol::limits::{EVENT_OVERHEAD_BYTES, MAX_EVENT_BYTES};
use tally_protocol::{ChainHash, Position};
use tally_tlog::{Hash, MAX_NAME_BYTES, MAX_NOTE_BYTES, Origin, TreeSize};

use crate::error::Cause;
use crate::log::{Commit, Epoch};

/// Version of the segment format.
pub const SEGMENT_FORMAT_VERSION: u8 = 1;

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 1 + 4 + 4 + 4;

const MAGIC: &[u8; 8] = b"TALLYLOG";
const SEGMENT_FIXED_BYTES: usize = 8 + 1 + 8 + 8 + 32;
const COMMIT_FIXED_BYTES: usize = 8 + 32 + 32;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The first frame of a file.
    Segment,
    /// An event.
    Event,
    /// The end of a group.
    Commit,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            FrameKind::Segment => 1,
            FrameKind::Event => 2,
            FrameKind::Commit => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(FrameKind::Segment),
            2 => Some(FrameKind::Event),
            3 => Some(FrameKind::Commit),
            _ => None,
        }
    }

    /// The bodies it may have: shortest and longest.
    fn body_bytes(self) -> std::ops::RangeInclusive<usize> {
        match self {
            FrameKind::Segment => SEGMENT_FIXED_BYTES..=SEGMENT_FIXED_BYTES + MAX_NAME_BYTES,
            FrameKind::Event => EVENT_OVERHEAD_BYTES..=MAX_EVENT_BYTES,
            FrameKind::Commit => COMMIT_FIXED_BYTES..=COMMIT_FIXED_BYTES + MAX_NOTE_BYTES,
        }
    }
}

/// A frame's header whose checksum, kind and length are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) body_bytes: usize,
    body_crc: u32,
}

impl FrameHeader {
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, Cause> {
        if crc32fast::hash(&bytes[..5]) != u32_at(bytes, 5) {
            return Err(Cause::HeaderChecksum);
        }
        let kind = FrameKind::from_code(bytes[0]).ok_or(Cause::Kind(bytes[0]))?;
        let length = u32_at(bytes, 1);
        let body_bytes = length as usize;
        if !kind.body_bytes().contains(&body_bytes) {
            return Err(Cause::Length(length));
        }
        Ok(Self { kind, body_bytes, body_crc: u32_at(bytes, 9) })
    }

    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Cause> {
        let whole = body.len() == self.body_bytes && crc32fast::hash(body) == self.body_crc;
        if whole { Ok(()) } else { Err(Cause::BodyChecksum) }
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes
    }
}

/// The body of a segment header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: Epoch,
    pub(crate) first: Position,
    pub(crate) previous_chain: ChainHash,
    pub(crate) origin: Origin,
}

impl SegmentHeader {
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Cause> {
        if &body[..8] != MAGIC {
            return Err(Cause::Magic);
        }
        if body[8] != SEGMENT_FORMAT_VERSION {
            return Err(Cause::Version(body[8]));
        }
        // Bytes that are not text become characters that no origin in use has.
        let origin = String::from_utf8_lossy(&body[SEGMENT_FIXED_BYTES..]);
        Ok(Self {
            epoch: Epoch::new(u64_at(body, 9)),
            first: Position(u64_at(body, 17)),
            previous_chain: ChainHash(array(body, 25)),
            origin: Origin::new(origin).map_err(Cause::Origin)?,
        })
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_frame(&mut frame, FrameKind::Segment, |body| {
            body.extend_from_slice(MAGIC);
            body.push(SEGMENT_FORMAT_VERSION);
            body.extend_from_slice(&self.epoch.as_u64().to_be_bytes());
            body.extend_from_slice(&self.first.0.to_be_bytes());
            body.extend_from_slice(&self.previous_chain.0);
            body.extend_from_slice(self.origin.as_str().as_bytes());
        });
        frame
    }
}

pub(crate) fn decode_commit(body: &Bytes) -> Commit {
    Commit {
        size: TreeSize::new(u64_at(body, 0)),
        chain: ChainHash(array(body, 8)),
        root: Hash::new(array(body, 40)),
        checkpoint: body.slice(COMMIT_FIXED_BYTES..),
    }
}

pub(crate) fn put_event(to: &mut Vec<u8>, event: &[u8]) {
    put_frame(to, FrameKind::Event, |body| body.extend_from_slice(event));
}

pub(crate) fn put_commit(to: &mut Vec<u8>, commit: &Commit) {
    put_frame(to, FrameKind::Commit, |body| {
        body.extend_from_slice(&commit.size.as_u64().to_be_bytes());
        body.extend_from_slice(&commit.chain.0);
        body.extend_from_slice(commit.root.as_bytes());
        body.extend_from_slice(&commit.checkpoint);
    });
}

/// Bytes of a commit's frame.
pub(crate) fn commit_frame_bytes(commit: &Commit) -> usize {
    FRAME_HEADER_BYTES + COMMIT_FIXED_BYTES + commit.checkpoint.len()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes")
}

fn put_frame(to: &mut Vec<u8>, kind: FrameKind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    body(to);
    let (header, body) = to[start..].split_at_mut(FRAME_HEADER_BYTES);
    assert!(kind.body_bytes().contains(&body.len()), "a body within its kind's limits");
    let length = u32::try_from(body.len()).expect("within the limit");
    header[0] = kind.code();
    header[1..5].copy_from_slice(&length.to_be_bytes());
    let header_crc = crc32fast::hash(&header[..5]);
    header[5..9].copy_from_slice(&header_crc.to_be_bytes());
    header[9..13].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_no_frame() {
        assert!(FrameHeader::decode(&[0; FRAME_HEADER_BYTES]).is_err());
        let mut zero_with_crc = [0; FRAME_HEADER_BYTES];
        let crc = crc32fast::hash(&[0; 5]);
        zero_with_crc[5..9].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(FrameHeader::decode(&zero_with_crc), Err(Cause::Kind(0)));
    }

    #[test]
    fn a_length_that_its_kind_cannot_have_is_refused() {
        let mut header = [0; FRAME_HEADER_BYTES];
        header[0] = 2;
        header[1..5].copy_from_slice(&65_536u32.to_be_bytes());
        let crc = crc32fast::hash(&header[..5]);
        header[5..9].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(FrameHeader::decode(&header), Err(Cause::Length(65_536)));
    }

    #[test]
    fn another_version_is_named() {
        let header = SegmentHeader {
            epoch: Epoch::new(1),
            first: Position(0),
            previous_chain: ChainHash([0; 32]),
            origin: Origin::new("a").expect("an origin"),
        };
        let mut body = header.frame().split_off(FRAME_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&body), Ok(header));
        body[8] = 2;
        assert_eq!(SegmentHeader::decode(&body), Err(Cause::Version(2)));
        body[0] = b'X';
        assert_eq!(SegmentHeader::decode(&body), Err(Cause::Magic));
    }
}
