//! A disk without room: nothing of a group stays, and the writer goes on when there is room again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tally_store::fs::{DiskFile, FileSystem, RealFs};
use tally_store::{AppendError, LogReader, LogWriter, SegmentLog, TreeFiles};
use tally_tlog::{Frontier, Hash, TreeSize};

use crate::ledger::{Maker, SMALL, contents, open, origin};

/// Room for so many bytes, on files whose name ends in one of these.
#[derive(Debug, Clone)]
struct SmallDisk {
    room: Arc<AtomicUsize>,
    endings: &'static [&'static str],
}

const ROOMY: usize = usize::MAX / 2;

impl SmallDisk {
    fn new(endings: &'static [&'static str]) -> Self {
        Self { room: Arc::new(AtomicUsize::new(ROOMY)), endings }
    }

    fn leave(&self, bytes: usize) {
        self.room.store(bytes, Ordering::SeqCst);
    }

    fn wrap(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        match self.endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            true => Box::new(SmallFile { file, room: Arc::clone(&self.room) }),
            false => file,
        }
    }
}

impl FileSystem for SmallDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealFs.open(path)
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealFs.open_or_create(path)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, RealFs.create_new(path)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealFs.read_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFs.exists(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFs.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(path)
    }
}

#[derive(Debug)]
struct SmallFile {
    file: Box<dyn DiskFile>,
    room: Arc<AtomicUsize>,
}

impl DiskFile for SmallFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fits = bytes.len().min(self.room.load(Ordering::SeqCst));
        self.file.write_all_at(&bytes[..fits], offset)?;
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

/// Appends five groups, before each of which there is at first only so much room.
fn five_groups(endings: &'static [&'static str], room: usize) -> u64 {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = SmallDisk::new(endings);
    let (mut writer, reader, _) =
        SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), &origin(), SMALL, &mut |_| {})
            .expect("open");
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    let mut refused = 0;
    for count in [1, 3, 2, 1, 2] {
        let (before, group) = (reader.tip(), maker.group(count));
        disk.leave(room);
        match writer.append(epoch, before.size, &group) {
            Ok(_) => {}
            Err(AppendError::Full(_)) => {
                refused += 1;
                assert_eq!(reader.tip(), before, "nothing of it is seen");
                let seen = contents(&reader);
                let (read_only, recovery) =
                    tally_store::SegmentReader::open_read_only(dir.path(), &mut |_| {})
                        .expect("another process reads it");
                assert_eq!(contents(&read_only), seen);
                assert_eq!(recovery.cut, None, "nothing of it is left behind the end");
                disk.leave(ROOMY);
                writer.append(epoch, before.size, &group).expect("there is room now");
            }
            Err(error) => panic!("{error}"),
        }
    }
    let written = contents(&reader);
    writer.close().expect("close");
    let (_, reader, recovery) = open(dir.path()).expect("open again");
    assert_eq!(contents(&reader), written);
    assert_eq!((recovery.cut, recovery.indexes_rebuilt), (None, 0));
    refused
}

#[test]
fn a_group_without_room_is_taken_back_and_goes_in_later() {
    let segments: Vec<u64> = (0..700).step_by(7).map(|room| five_groups(&[".seg"], room)).collect();
    assert_eq!(segments[0], 5, "no group without room");
    assert_eq!(segments.last(), Some(&0), "each with much of it");
    assert_eq!(five_groups(&[".idx"], 0), 5);
    assert_eq!(five_groups(&[".idx"], 3), 5);
    assert!((1..5).contains(&five_groups(&[".idx"], 16)));
}

#[test]
fn nodes_without_room_are_stored_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let (writer, log, _) = open(&dir.path().join("ledger")).expect("open");
    let disk = SmallDisk::new(&["t0", "t1"]);
    let fs = Arc::new(disk.clone());
    let path = dir.path().join("tree");
    let (mut tree, mut frontier, _) =
        TreeFiles::open_on(fs, &path, &log.tip(), &log, &mut |_| {}).expect("open");
    for n in 0..20_u64 {
        let before = frontier.clone();
        let mut nodes = Vec::new();
        let mut grow = |frontier: &mut Frontier| {
            for leaf in 0..3 {
                let leaf = Hash::new([(n * 3 + leaf) as u8; 32]);
                frontier.append(leaf, |id, hash| nodes.push((id, hash)));
            }
        };
        grow(&mut frontier);
        for room in [0, 31, 32, 95] {
            disk.leave(room);
            let error = tree.append(&nodes).expect_err("no room");
            assert!(error.is_full(), "{error}");
            assert_eq!(tree.size(), before.size());
        }
        disk.leave(ROOMY);
        tree.append(&nodes).expect("room");
        if n % 2 == 0 {
            // As when the log then had no room for the group.
            tree.take_back(before.size());
            tree.append(&nodes).expect("the same again");
        }
        tree.reader().verify(frontier.size(), frontier.root()).expect("whole");
    }
    assert_eq!(tree.size(), TreeSize::new(60));
    drop(writer);
}
