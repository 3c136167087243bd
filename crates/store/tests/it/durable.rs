//! What opening makes durable: which calls reach the file system, in which order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tally_store::fs::{DiskFile, FileSystem, RealFs};
use tally_store::{LogReader, LogWriter, SegmentLog, TreeFiles};

use crate::ledger::{Maker, Opened, SMALL, fill, origin, segments};

/// The real file system, with a list of what was written and synced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording {
    calls: Arc<Mutex<Vec<Call>>>,
    /// Syncs of files fail.
    failing: Arc<Mutex<bool>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Write { path: PathBuf, offset: u64, bytes: usize },
    Sync(PathBuf),
    SyncDir(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

impl Recording {
    fn note(&self, call: Call) {
        self.calls.lock().expect("a lock").push(call);
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().expect("a lock"))
    }

    fn wrap(
        &self,
        path: &Path,
        file: io::Result<Box<dyn DiskFile>>,
    ) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Recorded { fs: self.clone(), path: path.to_owned(), file: file? }))
    }
}

impl FileSystem for Recording {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(path, RealFs.open(path))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(path, RealFs.open_or_create(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(path, RealFs.create_new(path))
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
        self.note(Call::Rename { from: from.to_owned(), to: to.to_owned() });
        RealFs.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.note(Call::SyncDir(path.to_owned()));
        RealFs.sync_dir(path)
    }
}

#[derive(Debug)]
struct Recorded {
    fs: Recording,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl Recorded {
    fn sync(&self) -> io::Result<()> {
        self.fs.note(Call::Sync(self.path.clone()));
        match *self.fs.failing.lock().expect("a lock") {
            true => Err(io::Error::other("a sync that fails")),
            false => Ok(()),
        }
    }
}

impl DiskFile for Recorded {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.fs.note(Call::Write { path: self.path.clone(), offset, bytes: bytes.len() });
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
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

fn open(fs: &Recording, dir: &Path) -> Opened {
    SegmentLog::open_on(Arc::new(fs.clone()), dir, &origin(), SMALL, &mut |_| {}).expect("open")
}

/// A process that was killed between making a directory and syncing its parent leaves an entry
/// that the next one finds, and that only a sync makes durable.
#[test]
fn a_new_log_makes_the_way_to_it_durable_though_it_was_there() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("a/b");
    std::fs::create_dir_all(&dir).expect("create");
    let fs = Recording::default();
    let (writer, _, _) = open(&fs, &dir);
    let calls = fs.take();
    for parent in dir.ancestors() {
        assert!(calls.contains(&Call::SyncDir(parent.to_owned())), "{}", parent.display());
    }
    drop(writer);
    fs.take();
    drop(open(&fs, &dir));
    assert!(!fs.take().contains(&Call::SyncDir(temp.path().join("a"))), "once is enough");
}

/// After a sync that failed, the kernel takes what it did not write for clean: only writing it
/// again makes it durable. The mark says from where on that may be so.
#[test]
fn what_the_mark_does_not_claim_is_written_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    let fs = Recording::default();
    let (mut writer, reader, _) = open(&fs, &dir);
    let epoch = writer.open_epoch("test").expect("an epoch");
    let mut maker = Maker::new();
    writer.append(epoch, maker.size(), &maker.group(1)).expect("append");
    let segment = segments(&dir).pop().expect("a segment");
    let before = std::fs::read(&segment).expect("read").len();
    *fs.failing.lock().expect("a lock") = true;
    writer.append(epoch, reader.tip().size, &maker.group(1)).expect_err("not synced");
    drop(writer);
    *fs.failing.lock().expect("a lock") = false;
    let whole = std::fs::read(&segment).expect("read");
    fs.take();
    let (writer, reader, _) = open(&fs, &dir);
    assert_eq!(reader.tip().size.as_u64(), 2);
    let calls = fs.take();
    let (offset, bytes) = (before as u64, whole.len() - before);
    let written =
        calls.iter().position(|call| *call == Call::Write { path: segment.clone(), offset, bytes });
    let synced = calls.iter().rposition(|call| *call == Call::Sync(segment.clone()));
    assert!(written.is_some() && written < synced, "{calls:?}");
    drop((writer, reader));
    fs.take();
    drop(open(&fs, &dir));
    let wrote = |call: &Call| matches!(call, Call::Write { path, .. } if *path == segment);
    assert!(!fs.take().iter().any(wrote), "the mark claims all of it");
}

/// A tree whose sync failed must not say later that it is durable.
#[test]
fn a_tree_that_failed_fails_until_it_is_opened_again() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("data");
    fill(&dir, &[3]);
    let fs = Recording::default();
    let (_writer, log, _) = open(&fs, &dir);
    let tree = dir.join("tree");
    let open_tree = || {
        let fs = Arc::new(fs.clone());
        TreeFiles::open_on(fs, &tree, &log.tip(), &log, &mut |_| {}).expect("open")
    };
    let (mut tree, _, _) = open_tree();
    *fs.failing.lock().expect("a lock") = true;
    tree.sync().expect_err("not synced");
    *fs.failing.lock().expect("a lock") = false;
    tree.sync().expect_err("nobody knows what is durable");
    tree.append(&[]).expect_err("nor does a call that writes nothing");
    open_tree().0.sync().expect("opened again");
}
