//! Appends groups to the last segment: one write and one sync a group.
//!
//! Does not retry. After a failed write or sync nobody knows what is on the disk, so the writer is
//! poisoned, and opening again finds out. A full disk is the exception: what was written of the
//! group is cut off again, durably, and the writer goes on from where it was.

use std::sync::Arc;

use tally_protocol::{Event, Position};
use tally_tlog::{Origin, TreeSize};

use crate::error::{AppendError, FileError, Step};
use crate::files::{Layout, SegmentName, exists, open_or_create, sync_dir_on};
use crate::frame::{FRAME_HEADER_BYTES, SegmentHeader, commit_frame_bytes, put_commit, put_event};
use crate::fs::DiskFile;
use crate::index::{self, IndexWriter};
use crate::log::{Commit, Epoch, Group, LogWriter, MAX_GROUP_BYTES, Options, Tip};
use crate::mark::{Mark, MarkFile};
use crate::reader::{Index, SegmentInfo, Shared};

/// The one writer of a log. Dropping it closes it, without telling whether that went well.
#[derive(Debug)]
pub struct SegmentWriter {
    layout: Layout,
    options: Options,
    shared: Arc<Shared>,
    segment: LastSegment,
    mark: MarkFile,
    /// Holds the process lock while it is open.
    lock: Box<dyn DiskFile>,
    /// The highest epoch known.
    epoch: Epoch,
    /// Whether this writer opened it.
    holds_epoch: bool,
    poisoned: bool,
    /// The frames of a group; kept for the next.
    buffer: Vec<u8>,
    /// Where its events begin; kept for the next.
    offsets: Vec<u64>,
}

impl SegmentWriter {
    pub(crate) fn open(
        layout: Layout,
        options: Options,
        shared: Arc<Shared>,
        mark: MarkFile,
        lock: Box<dyn DiskFile>,
        epoch: Epoch,
        last_events: u64,
    ) -> Result<Self, FileError> {
        let last = shared.state(|state| state.segments.last().cloned());
        let SegmentInfo { name, end, .. } = last.expect("a log has a segment");
        let segment = LastSegment::open(&layout, name, end, last_events)?;
        Ok(Self {
            layout,
            options,
            shared,
            segment,
            mark,
            lock,
            epoch,
            holds_epoch: false,
            poisoned: false,
            buffer: Vec::new(),
            offsets: Vec::new(),
        })
    }

    /// Makes the mark durable and releases the lock.
    ///
    /// # Errors
    ///
    /// [`FileError`]: the mark may lag behind the log, which harms nothing.
    pub fn close(self) -> Result<(), FileError> {
        self.mark.sync()
    }

    fn check(&self, epoch: Epoch, expected: TreeSize) -> Result<Tip, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        if !self.holds_epoch || epoch != self.epoch {
            return Err(AppendError::Fenced { epoch: self.epoch });
        }
        match self.tip() {
            tip if tip.size == expected => Ok(tip),
            tip => Err(AppendError::Conflict { tip }),
        }
    }

    /// Begins a segment if the current one is as long as one may be.
    fn roll(&mut self, tip: &Tip) -> Result<(), FileError> {
        if self.segment.end < self.options.segment_bytes || self.segment.index.events() == 0 {
            return Ok(());
        }
        self.mark.sync()?;
        let end = create_segment(&self.layout, self.shared.origin(), self.epoch, tip)?;
        let name = SegmentName(Position::at_tip(tip.size));
        self.segment = LastSegment::open(&self.layout, name, end, 0)?;
        let info = SegmentInfo { name, end, index: Index::File };
        self.shared.publish(|state| state.segments.push(info));
        Ok(())
    }

    /// Lays the group out in the buffer.
    fn encode(&mut self, group: &Group) {
        self.buffer.clear();
        self.offsets.clear();
        for event in &group.events {
            self.offsets.push(self.segment.end + self.buffer.len() as u64);
            put_event(&mut self.buffer, event.bytes());
        }
        put_commit(&mut self.buffer, &group.commit);
    }

    /// Writes the index's entries, then the buffer: nothing is left to write behind the sync that
    /// could find no room.
    fn write(&self) -> Result<(), FileError> {
        let LastSegment { name, file, end, index } = &self.segment;
        index.write(&self.offsets)?;
        file.write_all_at(&self.buffer, *end)
            .map_err(FileError::at(Step::Write, &self.layout.segment(*name)))
    }

    /// Makes the buffer durable, then moves the mark: it never claims what is not durable.
    fn commit(&mut self, tip: &Tip) -> Result<(), FileError> {
        let path = self.layout.segment(self.segment.name);
        self.segment.file.sync_data().map_err(FileError::at(Step::Sync, &path))?;
        self.segment.end += self.buffer.len() as u64;
        self.segment.index.keep(self.offsets.len());
        self.mark.advance(Mark { size: tip.size, chain: tip.chain, epoch: self.epoch })
    }

    /// Takes back a group for which there was no room.
    fn take_back(&self) -> Result<(), FileError> {
        let LastSegment { name, file, end, index } = &self.segment;
        let path = self.layout.segment(*name);
        index.cut()?;
        file.set_len(*end).map_err(FileError::at(Step::Truncate, &path))?;
        // IMPORTANT: else a power cut could mix sectors of this group into the next one, which
        // would look like damage.
        file.sync_data().map_err(FileError::at(Step::Sync, &path))
    }

    /// Takes back a segment for which there was no room.
    fn take_back_roll(&self, tip: &Tip) -> Result<(), FileError> {
        let name = SegmentName(Position::at_tip(tip.size));
        for path in [self.layout.segment(name), self.layout.index(name)] {
            if exists(self.layout.fs(), &path)? {
                self.layout.fs().remove(&path).map_err(FileError::at(Step::Remove, &path))?;
            }
        }
        sync_dir_on(self.layout.fs(), &self.layout.log())
    }

    fn publish(&self, tip: Tip, group: &Group) {
        self.shared.publish(|state| {
            state.tip = tip;
            state.checkpoint = group.commit.checkpoint.clone();
            state.segments.last_mut().expect("a log has a segment").end = self.segment.end;
        });
    }

    fn fence(&mut self, epoch: Epoch, holder: &str) -> Result<(), FileError> {
        let Tip { size, chain, .. } = self.tip();
        self.mark.advance(Mark { size, chain, epoch })?;
        self.mark.sync()?;
        let path = self.layout.lock();
        self.lock.set_len(0).map_err(FileError::at(Step::Truncate, &path))?;
        let text = format!("{holder}, epoch {epoch}\n");
        self.lock.write_all_at(text.as_bytes(), 0).map_err(FileError::at(Step::Write, &path))
    }
}

impl LogWriter for SegmentWriter {
    fn open_epoch(&mut self, holder: &str) -> Result<Epoch, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let epoch = self.epoch.next().ok_or(AppendError::Fenced { epoch: self.epoch })?;
        self.poisoned = true;
        self.fence(epoch, holder).map_err(AppendError::Epoch)?;
        self.poisoned = false;
        self.epoch = epoch;
        self.holds_epoch = true;
        Ok(epoch)
    }

    fn append(
        &mut self,
        epoch: Epoch,
        expected: TreeSize,
        group: &Group,
    ) -> Result<Tip, AppendError> {
        let tip = self.check(epoch, expected)?;
        let next = follow(&tip, group);
        let bytes = group_bytes(group);
        if bytes > MAX_GROUP_BYTES {
            return Err(AppendError::GroupTooLarge { bytes });
        }
        // IMPORTANT: an early return or a panic from here on leaves the writer poisoned.
        self.poisoned = true;
        if let Err(error) = self.roll(&tip) {
            let taken_back = error.is_full() && self.take_back_roll(&tip).is_ok();
            self.poisoned = !taken_back;
            return Err(if taken_back { AppendError::Full } else { AppendError::Roll }(error));
        }
        self.encode(group);
        if let Err(error) = self.write() {
            let taken_back = error.is_full() && self.take_back().is_ok();
            self.poisoned = !taken_back;
            return Err(if taken_back { AppendError::Full } else { AppendError::Unknown }(error));
        }
        self.commit(&next).map_err(AppendError::Unknown)?;
        self.publish(next, group);
        self.poisoned = false;
        Ok(next)
    }

    fn tip(&self) -> Tip {
        self.shared.state(|state| state.tip)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // The mark may lag; `close` is for those who want to know.
        let _lags = self.mark.sync();
    }
}

/// The head that the group makes of this one.
///
/// Of the links only the first and the last are hashed: who made the events has hashed each to make
/// the next, and a debug build does it again.
///
/// # Panics
///
/// When the group does not follow it: what would be written could not be opened again.
fn follow(tip: &Tip, group: &Group) -> Tip {
    let first = group.events.first().expect("a group has an event");
    let last = group.events.last().expect("a group has an event");
    assert_eq!(first.previous_chain(), tip.chain, "a group's events are linked to the log");
    let mut next = Position::at_tip(tip.size);
    for event in &group.events {
        assert_eq!(event.position(), next, "a group's events are in order");
        next = next.next();
    }
    let linked = |pair: &[Event]| pair[1].previous_chain() == pair[0].chain();
    debug_assert!(group.events.windows(2).all(linked), "a group's events are linked");
    let Commit { size, chain, root, .. } = group.commit;
    assert_eq!(Position::at_tip(size), next, "a commit is of the size after its group");
    assert_eq!(chain, last.chain(), "a commit is of the chain after its group");
    Tip { size, chain, root, recorded_at: last.recorded_at() }
}

fn group_bytes(group: &Group) -> usize {
    let event_bytes = |event: &Event| FRAME_HEADER_BYTES + event.bytes().len();
    group.events.iter().map(event_bytes).sum::<usize>() + commit_frame_bytes(&group.commit)
}

/// Begins the segment that follows `tip`: durable, entry and all, when this returns its length.
pub(crate) fn create_segment(
    layout: &Layout,
    origin: &Origin,
    epoch: Epoch,
    tip: &Tip,
) -> Result<u64, FileError> {
    let first = Position::at_tip(tip.size);
    let origin = origin.clone();
    let header = SegmentHeader { epoch, first, previous_chain: tip.chain, origin }.frame();
    let path = layout.segment(SegmentName(first));
    let file = layout.fs().create_new(&path).map_err(FileError::at(Step::Create, &path))?;
    file.write_all_at(&header, 0).map_err(FileError::at(Step::Write, &path))?;
    file.sync_all().map_err(FileError::at(Step::Sync, &path))?;
    index::rewrite(layout.fs(), &layout.index(SegmentName(first)), &[])?;
    sync_dir_on(layout.fs(), &layout.log())?;
    Ok(header.len() as u64)
}

/// The segment that groups go into.
#[derive(Debug)]
struct LastSegment {
    name: SegmentName,
    file: Box<dyn DiskFile>,
    end: u64,
    index: IndexWriter,
}

impl LastSegment {
    fn open(layout: &Layout, name: SegmentName, end: u64, events: u64) -> Result<Self, FileError> {
        let file = open_or_create(layout.fs(), &layout.segment(name))?;
        let index = IndexWriter::open(layout.fs(), layout.index(name), events)?;
        Ok(Self { name, file, end, index })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use tally_protocol::{ChainHash, SignedEnvelope, Time};
    use tally_tlog::Frontier;

    use super::*;
    use crate::log::{LogReader, SegmentLog};

    /// What fails, and how much is on the disk all the same.
    #[derive(Debug, Clone, Copy)]
    enum Failure {
        Write { written: usize },
        Sync { synced: bool },
    }

    #[derive(Debug)]
    struct FailingDisk {
        file: Box<dyn DiskFile>,
        failure: Failure,
    }

    impl DiskFile for FailingDisk {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            match self.failure {
                Failure::Write { written } => {
                    self.file.write_all_at(&bytes[..written.min(bytes.len())], offset)?;
                    Err(io_error())
                }
                Failure::Sync { synced: true } => self.file.write_all_at(bytes, offset),
                Failure::Sync { synced: false } => Ok(()),
            }
        }

        fn sync_data(&self) -> io::Result<()> {
            Err(io_error())
        }

        fn sync_all(&self) -> io::Result<()> {
            unreachable!("a group needs only its data")
        }

        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            unreachable!("a writer does not read")
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("a writer does not cut")
        }

        fn length(&self) -> io::Result<u64> {
            unreachable!("a writer knows the end")
        }

        fn try_lock(&self) -> io::Result<bool> {
            unreachable!("not the lock file")
        }
    }

    fn io_error() -> io::Error {
        io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
    }

    fn origin() -> Origin {
        "example.com/ledger".parse().expect("an origin")
    }

    /// Groups of one event each.
    fn groups(count: usize) -> Vec<Group> {
        let (mut chain, mut frontier) = (ChainHash::genesis(&origin()), Frontier::new());
        let mut group = || {
            let payload = Bytes::from_static(b"payload");
            let signed = SignedEnvelope { payload, signature: [0; 64] };
            let at = Position::at_tip(frontier.size());
            let event = Event::new(at, chain, Time(5), &signed);
            chain = event.chain();
            frontier.append(event.leaf(), |_, _| {});
            let (size, root) = (frontier.size(), frontier.root());
            Group {
                commit: Commit { size, chain, root, checkpoint: Bytes::new() },
                events: vec![event],
            }
        };
        (0..count).map(|_| group()).collect()
    }

    /// After the failure: poisoned, nothing published; opened again, `kept` says whether the
    /// group is there, and the log goes on.
    fn check(failure: Failure, kept: bool) {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || {
            let options = Options::default();
            SegmentLog::open(dir.path(), &origin(), options, &mut |_| {}).expect("open")
        };
        let groups = groups(3);
        let (mut writer, reader, _) = open();
        let epoch = writer.open_epoch("test").expect("an epoch");
        let tip = writer.append(epoch, TreeSize::ZERO, &groups[0]).expect("append");
        let path = writer.layout.segment(writer.segment.name);
        let file = open_or_create(writer.layout.fs(), &path).expect("open");
        writer.segment.file = Box::new(FailingDisk { file, failure });
        let error = writer.append(epoch, tip.size, &groups[1]).expect_err("fails");
        assert!(matches!(error, AppendError::Unknown(_)), "{failure:?}: {error}");
        let error = writer.append(epoch, tip.size, &groups[1]).expect_err("poisoned");
        assert!(matches!(error, AppendError::Poisoned), "{failure:?}: {error}");
        assert!(matches!(writer.open_epoch("test"), Err(AppendError::Poisoned)));
        assert_eq!(reader.tip(), tip, "nothing unacknowledged is read");
        drop(writer);

        let (mut writer, reader, _) = open();
        let epoch = writer.open_epoch("test").expect("an epoch");
        assert_eq!(reader.tip().size.as_u64(), 1 + u64::from(kept), "{failure:?}");
        for group in &groups[1 + usize::from(kept)..] {
            writer.append(epoch, reader.tip().size, group).expect("append");
        }
        assert_eq!(reader.tip().size.as_u64(), 3);
    }

    #[test]
    fn a_failed_write_poisons_and_opening_again_finds_out() {
        let whole = group_bytes(&groups(2)[1]);
        for written in 0..whole {
            check(Failure::Write { written }, false);
        }
        check(Failure::Write { written: whole }, true);
        check(Failure::Sync { synced: true }, true);
        check(Failure::Sync { synced: false }, false);
    }

    #[test]
    fn a_roll_that_fails_appends_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { segment_bytes: 1, ..Options::default() };
        let (mut writer, reader, _) =
            SegmentLog::open(dir.path(), &origin(), options, &mut |_| {}).expect("open");
        let epoch = writer.open_epoch("test").expect("an epoch");
        let groups = groups(2);
        let tip = writer.append(epoch, TreeSize::ZERO, &groups[0]).expect("append");
        let taken = writer.layout.segment(SegmentName(Position(1)));
        std::fs::create_dir(&taken).expect("create");
        let error = writer.append(epoch, tip.size, &groups[1]).expect_err("no segment");
        assert!(matches!(error, AppendError::Roll(_)), "{error}");
        assert!(matches!(writer.append(epoch, tip.size, &groups[1]), Err(AppendError::Poisoned)));
        assert_eq!(reader.tip(), tip);
    }
}
