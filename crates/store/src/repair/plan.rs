//! What of a damaged log stays as it is, and what must be filled in.
//!
//! Decides by what a check found. Reads nothing and changes nothing.

use tally_protocol::Position;
use tally_tlog::TreeSize;

use crate::fsck::log::{Condition, SegmentState};
use crate::log::Epoch;

/// A part of the repaired log.
#[derive(Debug)]
pub(crate) enum Part {
    /// A segment that stays.
    Keep(SegmentState),
    /// Events between two segments that stay, or behind the last.
    Fill(Hole),
}

/// Events that no whole segment holds.
#[derive(Debug)]
pub(crate) struct Hole {
    /// The damaged segments in it, in order.
    pub(crate) segments: Vec<SegmentState>,
    /// Where it ends; `None` behind the last segment that stays.
    pub(crate) end: Option<HoleEnd>,
}

/// The beginning of the segment behind a hole.
#[derive(Debug)]
pub(crate) struct HoleEnd {
    /// The position of its first event.
    pub(crate) position: Position,
    /// The epoch under which it was begun.
    pub(crate) epoch: Epoch,
}

/// Lays out the repaired log. Segments that are not this log's, or hold nothing that another does
/// not hold, are in no part.
pub(crate) fn lay_out(mut states: Vec<SegmentState>, source: TreeSize) -> Vec<Part> {
    states.retain(|state| !matches!(state.condition, Condition::Foreign | Condition::Superfluous));
    if let Some(last) = states.last_mut() {
        let (committed, _) = last.committed;
        let goes_on = Position::at_tip(source) > committed.position;
        let is_empty = committed.position == last.name.first();
        if goes_on && (last.condition == Condition::Tail || is_empty) {
            last.condition = Condition::Damaged;
        }
    }
    let (mut parts, mut damaged, mut end) = (Vec::new(), Vec::new(), Position(0));
    for state in states {
        match &state.start {
            Some(start) if is_kept(&state) => {
                if !damaged.is_empty() || start.first > end {
                    let segments = std::mem::take(&mut damaged);
                    let end = HoleEnd { position: start.first, epoch: start.epoch };
                    parts.push(Part::Fill(Hole { segments, end: Some(end) }));
                }
                end = state.committed.0.position;
                parts.push(Part::Keep(state));
            }
            // The next start removes it.
            None if state.condition == Condition::Tail => {}
            _ => damaged.push(state),
        }
    }
    if !damaged.is_empty() || Position::at_tip(source) > end {
        parts.push(Part::Fill(Hole { segments: damaged, end: None }));
    }
    parts
}

fn is_kept(state: &SegmentState) -> bool {
    matches!(state.condition, Condition::Whole | Condition::Tail)
}
