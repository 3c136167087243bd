//! One file's bytes: what programs read, what is durable, and what lies between the two.
//!
//! Programs read and write the page cache. Each change also stays as an [`Op`] until a sync applies
//! it to the durable bytes; a crash applies some of it. A write dirties whole sectors, as it dirties
//! whole pages of a real cache, and a crash keeps of every sector the state that it had at *some*
//! moment since the last sync: sectors are thereby lost, kept and reordered independently of each
//! other. Torn inside, a sector has its beginning from one moment and its end from another.

use crate::random::Random;

/// What a disk writes whole, if it does not tear.
pub(crate) const SECTOR_BYTES: u64 = 512;

const SECTOR: usize = SECTOR_BYTES as usize;

/// A change that is not durable.
#[derive(Debug, Clone)]
enum Op {
    /// Whole sectors, or up to the file's end, as they were behind the write.
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLen(usize),
}

/// How a crash treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tear {
    /// All of it is lost.
    Lost,
    /// All of it is kept.
    Kept,
    /// The file is as it was at one moment.
    Moment,
    /// Each sector, and the length, is as it was at some moment.
    Sectors,
    /// Sectors may be torn inside as well.
    Bytes,
}

impl Tear {
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.below(16) {
            0..3 => Tear::Lost,
            3..5 => Tear::Kept,
            5..8 => Tear::Moment,
            8..14 => Tear::Sectors,
            _ => Tear::Bytes,
        }
    }
}

/// Up to which change a sector is durable: its first `cut` bytes and those behind may differ.
#[derive(Debug, Clone, Copy)]
struct Moment {
    first: usize,
    cut: usize,
    rest: usize,
}

/// A file's content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    cache: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Op>,
}

impl Content {
    pub(crate) fn cache(&self) -> &[u8] {
        &self.cache
    }

    pub(crate) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        let first = offset - offset % SECTOR;
        let last = end.next_multiple_of(SECTOR).min(self.cache.len());
        let bytes = self.cache[first..last].to_vec();
        self.pending.push(Op::Write { offset: first, bytes });
    }

    pub(crate) fn set_len(&mut self, bytes: usize) {
        if self.cache.len() != bytes {
            self.cache.resize(bytes, 0);
            self.pending.push(Op::SetLen(bytes));
        }
    }

    pub(crate) fn sync(&mut self) {
        for op in std::mem::take(&mut self.pending) {
            match op {
                Op::SetLen(length) => self.durable.resize(length, 0),
                Op::Write { offset, bytes } => {
                    let end = offset + bytes.len();
                    if self.durable.len() < end {
                        self.durable.resize(end, 0);
                    }
                    self.durable[offset..end].copy_from_slice(&bytes);
                }
            }
        }
    }

    /// A sync that fails: part becomes durable, and the rest is taken for clean all the same, so
    /// that no later sync writes it. Until it is evicted, programs still read it. True when a
    /// sector was torn inside.
    pub(crate) fn fail_sync(&mut self, evict: bool, random: &mut Random) -> bool {
        let torn = self.settle(Tear::draw(random), random);
        let length = self.cache.len();
        if evict {
            self.cache.clone_from(&self.durable);
            self.cache.resize(length, 0);
        }
        // The length is metadata, and not forgotten.
        self.pending.push(Op::SetLen(length));
        torn
    }

    /// Power fails: true when a sector was torn inside.
    pub(crate) fn lose_power(&mut self, random: &mut Random) -> bool {
        let torn = match self.is_synced() {
            true => false,
            false => self.settle(Tear::draw(random), random),
        };
        self.cache = self.durable.clone();
        torn
    }

    /// Flips a bit of a durable byte, which is then read so, too.
    pub(crate) fn flip(&mut self, at: usize, bit: u8) {
        self.durable[at] ^= 1 << bit;
        if let Some(cached) = self.cache.get_mut(at) {
            *cached ^= 1 << bit;
        }
    }

    /// Makes durable what `tear` lets through, and forgets that the rest was to be written.
    fn settle(&mut self, tear: Tear, random: &mut Random) -> bool {
        let ops = std::mem::take(&mut self.pending);
        let one = draw(ops.len(), random);
        let (length, longest) = self.lengths(&ops, tear, one, random);
        self.durable.resize(longest, 0);
        let mut torn = false;
        let sectors = longest.div_ceil(SECTOR);
        let moments: Vec<Moment> = (0..sectors)
            .map(|_| moment(tear, one, ops.len(), random))
            .inspect(|moment| torn |= moment.first != moment.rest)
            .collect();
        for (n, op) in ops.iter().enumerate() {
            match op {
                Op::Write { offset, bytes } => {
                    apply(&mut self.durable, *offset, bytes, n, &moments)
                }
                Op::SetLen(length) => {
                    let zeros = vec![0; longest.saturating_sub(*length)];
                    apply(&mut self.durable, *length, &zeros, n, &moments);
                }
            }
        }
        self.durable.resize(length, 0);
        torn
    }

    /// The length that the file gets, and the longest that it ever had.
    fn lengths(&self, ops: &[Op], tear: Tear, one: usize, random: &mut Random) -> (usize, usize) {
        let mut lengths = vec![self.durable.len()];
        for op in ops {
            let before = *lengths.last().expect("one at least");
            lengths.push(match op {
                Op::Write { offset, bytes } => before.max(offset + bytes.len()),
                Op::SetLen(length) => *length,
            });
        }
        let at = match tear {
            Tear::Lost => 0,
            Tear::Kept => ops.len(),
            Tear::Moment => one,
            Tear::Sectors | Tear::Bytes => draw(ops.len(), random),
        };
        (lengths[at], lengths.into_iter().max().expect("one at least"))
    }
}

/// How many of so many changes: none, all, or some.
fn draw(changes: usize, random: &mut Random) -> usize {
    match random.below(4) {
        0 => 0,
        1 => changes,
        _ => random.below(changes as u64 + 1) as usize,
    }
}

fn moment(tear: Tear, one: usize, changes: usize, random: &mut Random) -> Moment {
    let whole = |n| Moment { first: n, cut: SECTOR, rest: n };
    match tear {
        Tear::Lost => whole(0),
        Tear::Kept => whole(changes),
        Tear::Moment => whole(one),
        Tear::Sectors => whole(draw(changes, random)),
        Tear::Bytes => {
            let cut = random.below(SECTOR_BYTES) as usize;
            Moment { first: draw(changes, random), cut, rest: draw(changes, random) }
        }
    }
}

/// Writes of change number `n` what each sector's moment lets through.
fn apply(durable: &mut [u8], offset: usize, bytes: &[u8], n: usize, moments: &[Moment]) {
    let end = (offset + bytes.len()).min(durable.len());
    let mut at = offset;
    while at < end {
        let sector = at / SECTOR;
        let Moment { first, cut, rest } = moments[sector];
        let begin = sector * SECTOR;
        for (from, to, until) in [(begin, begin + cut, first), (begin + cut, begin + SECTOR, rest)]
        {
            let (from, to) = (from.max(at), to.min(end));
            if n < until && from < to {
                durable[from..to].copy_from_slice(&bytes[from - offset..to - offset]);
            }
        }
        at = begin + SECTOR;
    }
}
