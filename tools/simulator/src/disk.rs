//! A simulated disk behind the store's [`FileSystem`]: in memory, and the same from the same seed.
//!
//! It keeps apart what programs see and what is durable, fails calls now and then, stops at a
//! chosen call as a power cut or a killed process would, and says in numbers what it did.
//!
//! Why not `turmoil-fs` 0.1.0: its crash drops every unsynced change or keeps a beginning of each
//! write, never a change of an unsynced length or directory entry; a sync of it cannot fail; and it
//! does not stop at a chosen call. Those are what this simulation is about.
//!
//! Not modelled: directory syncs that fail and are believed the next time (metadata goes through a
//! journal, and a file system whose journal fails goes read-only), stale bytes of removed files in
//! sectors that were never written (they read as zeros here), and disks that lie about flushes,
//! which nothing on one machine survives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tally_store::fs::{DiskFile, FileSystem};

use crate::content::{Content, SECTOR_BYTES};
use crate::plant::Plant;
use crate::random::{Random, mix};

/// What a disk did to the program above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process was killed; the page cache lives on.
    Kill,
    /// Power failed: what was not synced is lost, kept, reordered or torn.
    PowerLoss,
    /// A read said EIO.
    ReadError,
    /// A write said EIO, and wrote some of it.
    WriteError,
    /// A write said ENOSPC, and wrote what had room.
    NoSpace,
    /// A sync of a file failed: some of it is durable, the rest is taken for clean.
    SyncError,
    /// A sync of a directory failed.
    DirSyncError,
    /// A durable bit flipped.
    BitRot,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::PowerLoss,
        Self::ReadError,
        Self::WriteError,
        Self::NoSpace,
        Self::SyncError,
        Self::DirSyncError,
        Self::BitRot,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Kill => "killed processes",
            Fault::PowerLoss => "power losses",
            Fault::ReadError => "reads that failed",
            Fault::WriteError => "writes that failed",
            Fault::NoSpace => "writes without room",
            Fault::SyncError => "syncs that failed",
            Fault::DirSyncError => "directory syncs that failed",
            Fault::BitRot => "flipped bits",
        })
    }
}

/// How often each kind of fault happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; Fault::ALL.len()]);

impl Counts {
    /// How often this kind.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    pub(crate) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }
}

/// How likely a call fails, in 1 of so many; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Reads.
    pub read: u64,
    /// Writes.
    pub write: u64,
    /// Syncs of files.
    pub sync: u64,
    /// Syncs of directories.
    pub sync_dir: u64,
}

/// A bit that was flipped, so that it can be flipped back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rot {
    /// The file.
    pub path: PathBuf,
    /// The byte.
    pub at: u64,
    bit: u8,
    file: usize,
    /// What the byte became.
    byte: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(usize),
}

/// What got another name.
#[derive(Debug, Clone)]
struct Renamed {
    from: String,
    file: usize,
}

/// The disk, behind one lock: the simulation is of one thread.
#[derive(Debug)]
struct Disk {
    random: Random,
    plant: Option<Plant>,
    rates: Rates,
    /// Bytes that fit, if that is limited.
    capacity: Option<u64>,
    files: Vec<Content>,
    /// What programs see.
    entries: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    /// Renames that are not durable, by the new name.
    renamed: BTreeMap<String, Renamed>,
    /// Files of which a sector was torn inside.
    torn: BTreeSet<String>,
    locks: BTreeSet<usize>,
    /// Which life of the machine this is; handles of another are dead.
    life: u64,
    /// Calls until it stops.
    stop_in: Option<u64>,
    stopped: bool,
    /// Calls of the judge: they neither stop nor fail.
    quiet: bool,
    counts: Counts,
    calls: Calls,
}

/// What was asked of the disk, and how it answered.
#[derive(Debug, Default)]
struct Calls {
    hash: u64,
    trace: bool,
}

impl Calls {
    fn note(&mut self, call: &str, path: &Path, numbers: [u64; 2], outcome: &str) {
        for text in [call.as_bytes(), path.as_os_str().as_encoded_bytes()] {
            for word in text.chunks(8) {
                let mut number = [0; 8];
                number[..word.len()].copy_from_slice(word);
                self.hash = mix(self.hash ^ u64::from_le_bytes(number));
            }
        }
        for number in numbers {
            self.hash = mix(self.hash ^ number);
        }
        self.hash = mix(self.hash ^ outcome.len() as u64);
        if self.trace {
            let [first, second] = numbers;
            println!("{call:<9} {:<44} {first:>7} {second:>7}  {outcome}", path.display());
        }
    }
}

/// A handle on a simulated disk; clones are of the same disk.
#[derive(Clone)]
pub struct SimFs(Arc<Mutex<Disk>>);

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFs").finish_non_exhaustive()
    }
}

impl SimFs {
    /// An empty disk. With `trace` every call is printed.
    pub fn new(random: Random, plant: Option<Plant>, trace: bool) -> Self {
        let root = BTreeMap::from([("/".to_owned(), Entry::Dir)]);
        Self(Arc::new(Mutex::new(Disk {
            random,
            plant,
            rates: Rates::default(),
            capacity: None,
            files: Vec::new(),
            entries: root.clone(),
            durable: root,
            renamed: BTreeMap::new(),
            torn: BTreeSet::new(),
            locks: BTreeSet::new(),
            life: 0,
            stop_in: None,
            stopped: false,
            quiet: false,
            counts: Counts::default(),
            calls: Calls { hash: 0, trace },
        })))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops at the call after so many; every call fails from then on.
    pub fn stop_in(&self, calls: u64) {
        self.disk().stop_in = Some(calls);
    }

    /// Whether it has stopped.
    pub fn is_stopped(&self) -> bool {
        self.disk().stopped
    }

    /// Lets the judge look: nothing stops or fails meanwhile, unless it has stopped before.
    pub fn quietly<T>(&self, look: impl FnOnce() -> T) -> T {
        self.disk().quiet = true;
        let found = look();
        self.disk().quiet = false;
        found
    }

    /// How likely calls fail from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.disk().rates = rates;
    }

    /// Leaves room for so many more bytes.
    pub fn set_room(&self, bytes: u64) {
        let mut disk = self.disk();
        disk.capacity = Some(disk.used() + bytes);
    }

    /// Leaves room for everything.
    pub fn set_room_without_end(&self) {
        self.disk().capacity = None;
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.disk().counts
    }

    /// A hash over all calls and their outcomes so far.
    pub fn call_hash(&self) -> u64 {
        self.disk().calls.hash
    }

    /// Starts again after the process was killed.
    pub fn kill(&self) {
        let mut disk = self.disk();
        disk.counts.count(Fault::Kill);
        disk.restart("kill");
    }

    /// Starts again after the process ended by itself.
    pub fn exit(&self) {
        self.disk().restart("exit");
    }

    /// Whether a sector of this file was ever torn inside.
    pub fn was_torn(&self, path: &Path) -> bool {
        self.disk().torn.contains(name(path))
    }

    /// Starts again after power failed.
    pub fn lose_power(&self) {
        let mut disk = self.disk();
        disk.lose_entries();
        disk.lose_contents();
        disk.counts.count(Fault::PowerLoss);
        disk.restart("power");
    }

    /// Flips a durable bit of some file.
    pub fn rot(&self) -> Option<Rot> {
        self.disk().rot()
    }

    /// Flips a bit back, if its byte is still what the rot made of it.
    pub fn mend(&self, rot: &Rot) {
        let mut disk = self.disk();
        let file = &mut disk.files[rot.file];
        if file.durable().get(rot.at as usize) == Some(&rot.byte) {
            file.flip(rot.at as usize, rot.bit);
        }
    }

    /// What programs see of a file.
    pub fn seen(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        match disk.entries.get(name(path))? {
            Entry::Dir => None,
            Entry::File(file) => Some(disk.files[*file].cache().to_vec()),
        }
    }
}

impl Disk {
    fn restart(&mut self, why: &str) {
        self.life += 1;
        self.locks.clear();
        self.stop_in = None;
        self.stopped = false;
        self.calls.note(why, Path::new("/"), [self.life, 0], "");
    }

    /// Each entry that was not synced is as it was or as it should be; what stands in a directory
    /// that is not there is gone.
    fn lose_entries(&mut self) {
        let bias = self.random.below(4);
        for (to, Renamed { from, file }) in std::mem::take(&mut self.renamed) {
            self.settle_rename(to, from, Entry::File(file), bias);
        }
        let paths: BTreeSet<String> =
            self.entries.keys().chain(self.durable.keys()).cloned().collect();
        let mut left = BTreeMap::new();
        for path in paths {
            let (new, old) = (self.entries.get(&path), self.durable.get(&path));
            let kept = if new == old || self.random.chance(bias, 3) { new } else { old };
            let parent = parent(&path).is_none_or(|parent| left.get(parent) == Some(&Entry::Dir));
            if let (Some(entry), true) = (kept, parent) {
                left.insert(path, *entry);
            }
        }
        self.entries = left.clone();
        self.durable = left;
    }

    /// A rename is kept, and the file has its old name no more, or is undone.
    fn settle_rename(&mut self, to: String, from: String, entry: Entry, bias: u64) {
        if self.random.chance(bias, 3) {
            self.durable.insert(to, entry);
            if self.durable.get(&from) == Some(&entry) {
                self.durable.remove(&from);
            }
            return;
        }
        match self.durable.get(&to) {
            Some(before) => self.entries.insert(to, *before),
            None => self.entries.remove(&to),
        };
        self.entries.entry(from).or_insert(entry);
    }

    fn lose_contents(&mut self) {
        for (path, entry) in &self.entries {
            if let Entry::File(file) = *entry
                && self.files[file].lose_power(&mut self.random)
            {
                self.torn.insert(path.clone());
            }
        }
    }

    fn rot(&mut self) -> Option<Rot> {
        let (entries, files) = (&self.entries, &self.files);
        let targets: Vec<(&String, usize)> = entries
            .iter()
            .filter_map(|(path, entry)| match entry {
                Entry::File(file) => Some((path, *file)),
                Entry::Dir => None,
            })
            .filter(|(_, file)| files[*file].is_synced() && !files[*file].durable().is_empty())
            .collect();
        let nth = self.random.below(targets.len().max(1) as u64) as usize;
        let (path, file) = targets.get(nth).map(|(path, file)| (PathBuf::from(path), *file))?;
        let at = self.random.below(self.files[file].durable().len() as u64);
        let bit = self.random.below(8) as u8;
        self.files[file].flip(at as usize, bit);
        self.counts.count(Fault::BitRot);
        self.calls.note("rot", &path, [at, u64::from(bit)], "");
        let byte = self.files[file].durable()[at as usize];
        Some(Rot { path, at, bit, file, byte })
    }

    fn used(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::Dir => 0,
            Entry::File(file) => self.files[*file].cache().len() as u64,
        };
        self.entries.values().map(bytes).sum()
    }

    /// Begins a call: an error when the machine is off, or goes off here.
    fn call(&mut self, call: &str, path: &Path, numbers: [u64; 2]) -> io::Result<()> {
        if self.stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        if self.quiet {
            return Ok(());
        }
        let stops = self.stop_in == Some(0);
        self.stop_in = self.stop_in.map(|calls| calls.saturating_sub(1));
        self.calls.note(call, path, numbers, if stops { "stopped" } else { "" });
        self.stopped = stops;
        if stops { Err(io::Error::other("the machine stops")) } else { Ok(()) }
    }

    /// Whether a call fails in this way.
    fn fails(&mut self, fault: Fault, path: &Path) -> io::Result<()> {
        let rate = match fault {
            Fault::ReadError => self.rates.read,
            Fault::WriteError => self.rates.write,
            Fault::SyncError => self.rates.sync,
            Fault::DirSyncError => self.rates.sync_dir,
            Fault::Kill | Fault::PowerLoss | Fault::NoSpace | Fault::BitRot => 0,
        };
        if self.quiet || rate == 0 || !self.random.chance(1, rate) {
            return Ok(());
        }
        self.counts.count(fault);
        self.calls.note("", path, [0, 0], "EIO");
        Err(io::Error::other("simulated EIO"))
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.entries.get(name(path)) {
            Some(Entry::File(file)) => Ok(*file),
            Some(Entry::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn make(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        if self.entries.contains_key(name(path)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match parent(name(path)).and_then(|parent| self.entries.get(parent)) {
            Some(Entry::Dir) => {}
            Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        self.entries.insert(name(path).to_owned(), entry);
        Ok(())
    }

    fn create(&mut self, path: &Path) -> io::Result<usize> {
        self.make(path, Entry::File(self.files.len()))?;
        self.files.push(Content::default());
        Ok(self.files.len() - 1)
    }

    /// Writes as much as has room, or some of it when the disk fails or stops.
    fn write(&mut self, path: &Path, file: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let on = !self.stopped;
        let mut outcome = self.call("write", path, [offset, bytes.len() as u64]);
        if on && outcome.is_ok() {
            outcome = self.fails(Fault::WriteError, path);
        }
        let mut written = match outcome {
            Ok(()) => bytes.len() as u64,
            Err(_) if on => self.random.below(bytes.len() as u64 + 1),
            Err(_) => 0,
        };
        let grows = (offset + written).saturating_sub(self.files[file].cache().len() as u64);
        let over = self.capacity.map_or(0, |bytes| (self.used() + grows).saturating_sub(bytes));
        let over = over.min(grows);
        if over > 0 {
            written = written.saturating_sub(over);
            self.counts.count(Fault::NoSpace);
            self.calls.note("", path, [written, 0], "ENOSPC");
            outcome = outcome.and(Err(io::ErrorKind::StorageFull.into()));
        }
        if written < bytes.len() as u64 && (self.stopped || !is_segment(path)) {
            // A process is killed, and a cache runs full, between two pages; a write that fails may
            // be short by any number of bytes, but only the store's groups are held to that.
            let end = offset + written;
            written = (end - end % SECTOR_BYTES).saturating_sub(offset);
        }
        let dropped = self.plant == Some(Plant::SkipMark) && path.ends_with("mark");
        if !dropped {
            self.files[file].write(&bytes[..written as usize], offset as usize);
        }
        outcome
    }

    fn sync(&mut self, call: &str, path: &Path, file: usize) -> io::Result<()> {
        self.call(call, path, [0, 0])?;
        if let Err(error) = self.fails(Fault::SyncError, path) {
            let evict = self.random.chance(1, 3);
            if self.files[file].fail_sync(evict, &mut self.random) {
                self.torn.insert(name(path).to_owned());
            }
            return Err(error);
        }
        let skipped = match self.plant {
            Some(Plant::SkipFdatasync) => call == "fdatasync" && is_segment(path),
            Some(Plant::SkipCopySync) => name(path).ends_with(".copying"),
            _ => false,
        };
        if !skipped {
            self.files[file].sync();
        }
        Ok(())
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.call("sync_dir", path, [0, 0])?;
        self.fails(Fault::DirSyncError, path)?;
        if self.plant == Some(Plant::SkipDirsync) {
            return Ok(());
        }
        let path = name(path);
        let gone = |(entry, _): &(&String, &Entry)| !self.entries.contains_key(*entry);
        let stale: Vec<String> =
            inside(&self.durable, path).filter(gone).map(|(entry, _)| entry.clone()).collect();
        for entry in &stale {
            self.durable.remove(entry);
        }
        for (entry, made) in inside(&self.entries, path) {
            match self.durable.get_mut(entry) {
                Some(known) => *known = *made,
                None => drop(self.durable.insert(entry.clone(), *made)),
            }
        }
        self.renamed.retain(|to, _| parent(to) != Some(path));
        Ok(())
    }
}

impl SimFs {
    fn handle(&self, disk: &Disk, path: &Path, file: usize) -> Box<dyn DiskFile> {
        Box::new(SimFile { fs: self.clone(), path: path.to_owned(), file, life: disk.life })
    }
}

impl FileSystem for SimFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut disk = self.disk();
        disk.call("open", path, [0, 0])?;
        let file = disk.file(path)?;
        Ok(self.handle(&disk, path, file))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut disk = self.disk();
        disk.call("open+", path, [0, 0])?;
        let file = match disk.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path)?,
            found => found?,
        };
        Ok(self.handle(&disk, path, file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut disk = self.disk();
        disk.call("create", path, [0, 0])?;
        let file = disk.create(path)?;
        Ok(self.handle(&disk, path, file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call("mkdir", path, [0, 0])?;
        disk.make(path, Entry::Dir)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut disk = self.disk();
        disk.call("read_dir", path, [0, 0])?;
        if disk.entries.get(name(path)) != Some(&Entry::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.fails(Fault::ReadError, path)?;
        Ok(inside(&disk.entries, name(path)).map(|(entry, _)| PathBuf::from(entry)).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut disk = self.disk();
        disk.call("exists", path, [0, 0])?;
        Ok(disk.entries.contains_key(name(path)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call("remove", path, [0, 0])?;
        disk.file(path)?;
        disk.entries.remove(name(path));
        disk.renamed.remove(name(path));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call("rename", from, [0, 0])?;
        assert_eq!(from.parent(), to.parent(), "one directory's sync makes it durable");
        assert!(!disk.renamed.contains_key(name(from)), "one rename of a file is undone, not two");
        let file = disk.file(from)?;
        disk.entries.remove(name(from));
        disk.entries.insert(name(to).to_owned(), Entry::File(file));
        disk.renamed.insert(name(to).to_owned(), Renamed { from: name(from).to_owned(), file });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk().sync_dir(path)
    }
}

/// A path as the disk keeps it: text compares faster.
fn name(path: &Path) -> &str {
    path.to_str().expect("a path of the simulation is text")
}

/// What stands in a directory itself.
fn inside<'e>(
    entries: &'e BTreeMap<String, Entry>,
    directory: &str,
) -> impl Iterator<Item = (&'e String, &'e Entry)> {
    let prefix = if directory == "/" { "/".to_owned() } else { format!("{directory}/") };
    let begin = prefix.len();
    entries
        .range(prefix.clone()..)
        .take_while(move |(entry, _)| entry.starts_with(&prefix))
        .filter(move |(entry, _)| entry.len() > begin && !entry[begin..].contains('/'))
}

/// The directory of a name; the root has none.
fn parent(name: &str) -> Option<&str> {
    match name.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

fn is_segment(path: &Path) -> bool {
    name(path).ends_with(".seg")
}

/// A file of a [`SimFs`], open in one life of the machine.
#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    path: PathBuf,
    file: usize,
    life: u64,
}

impl SimFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk();
        if disk.life == self.life { Ok(disk) } else { Err(io::Error::other("an earlier life")) }
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.call("read", &self.path, [offset, buffer.len() as u64])?;
        disk.fails(Fault::ReadError, &self.path)?;
        let range = offset as usize..offset as usize + buffer.len();
        let found = disk.files[self.file].cache().get(range);
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk()?.write(&self.path, self.file, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk()?.sync("fdatasync", &self.path, self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk()?.sync("fsync", &self.path, self.file)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.call("set_len", &self.path, [bytes, 0])?;
        disk.fails(Fault::WriteError, &self.path)?;
        disk.files[self.file].set_len(bytes as usize);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut disk = self.disk()?;
        disk.call("length", &self.path, [0, 0])?;
        Ok(disk.files[self.file].cache().len() as u64)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut disk = self.disk()?;
        disk.call("lock", &self.path, [0, 0])?;
        // Kept until the machine starts again: a process that lets go of it ends here.
        Ok(disk.locks.insert(self.file))
    }
}
