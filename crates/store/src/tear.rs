//! Tells a torn write from damage, by what a crash leaves of a group whose sync never returned.
//!
//! A group goes behind the end of the file in one write. Whatever part of it a crash keeps, each
//! sector holds what was written or was never written, and then it reads as zeros, or the file ends
//! before it. So a frame without its checksum that is neither cut off nor has zeros up to the end of
//! a sector was not torn: it was whole once, and may have been acknowledged.
//!
//! Does not look at the mark, which can prove that even a torn group was acknowledged. Where the
//! mark lags, after a power cut, two things pass for a tear that are none: a durable sector that the
//! disk turned into zeros, and damage to an event that itself holds a sector of zeros. Either could
//! then cost the last group or two.

use std::ops::Range;

use bytes::Bytes;

use crate::error::Cause;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader};

/// What a disk writes whole; larger sectors are several of these.
const SECTOR_BYTES: u64 = 512;

/// The part of a sector that a tail begins with proves nothing if it is shorter: a frame's header
/// has few bytes that are not zero.
const FEWEST_BYTES: usize = 8;

/// Fewer zeros in a row than this prove nothing: lengths and sizes begin with zeros.
const FEWEST_ZEROS: usize = 16;

/// What follows the last whole commit, from there to the file's end.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) bytes: Bytes,
    /// Where in the file it begins.
    pub(crate) offset: u64,
}

impl Tail {
    /// Whether the frame at `frame` has only a beginning, as a torn write leaves it.
    pub(crate) fn is_cut(&self, frame: u64, cause: &Cause) -> bool {
        match cause {
            Cause::HeaderChecksum | Cause::BodyChecksum => {
                self.sectors(frame, cause).any(|sector| {
                    let zeros = sector.iter().rev().take_while(|&&byte| byte == 0).count();
                    zeros >= FEWEST_ZEROS.min(sector.len())
                })
            }
            // The file ends too early, or holds whole frames that do not fit: as it always was.
            _ => true,
        }
    }

    /// Whether the frame at `frame` lacks a whole sector though what follows it is there, as a
    /// write that was reordered leaves it.
    pub(crate) fn is_holed(&self, frame: u64, cause: &Cause) -> bool {
        let zeros =
            |sector: &[u8]| sector.len() >= FEWEST_BYTES && sector.iter().all(|&byte| byte == 0);
        let checksum = matches!(cause, Cause::HeaderChecksum | Cause::BodyChecksum);
        checksum && self.sectors(frame, cause).any(zeros)
    }

    /// The sectors that a frame stands in, as far as they are in the tail.
    fn sectors(&self, frame: u64, cause: &Cause) -> impl Iterator<Item = &[u8]> {
        let Range { start, end } = self.extent(frame, cause);
        let first = start / SECTOR_BYTES;
        (first..end.div_ceil(SECTOR_BYTES)).map(|sector| {
            let begin = (sector * SECTOR_BYTES).max(self.offset) - self.offset;
            let end = ((sector + 1) * SECTOR_BYTES - self.offset).min(self.bytes.len() as u64);
            &self.bytes[begin as usize..end as usize]
        })
    }

    /// The damaged part of a frame: its header, or a whole header's body.
    fn extent(&self, frame: u64, cause: &Cause) -> Range<u64> {
        let end = self.offset + self.bytes.len() as u64;
        let at = (frame - self.offset) as usize;
        let header = self.bytes[at..].first_chunk().map(FrameHeader::decode);
        let body = frame + FRAME_HEADER_BYTES as u64;
        match header {
            Some(Ok(header)) if *cause == Cause::BodyChecksum => {
                body..(frame + header.frame_bytes() as u64).min(end)
            }
            _ => frame..body.min(end),
        }
    }
}
