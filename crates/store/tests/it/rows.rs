//! Rows held to a map: wherever a row is, in memory, in a table, or changed in memory over a table,
//! it reads the same; and a killed process leaves what was written last, whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tally_protocol::Position;
use tally_store::{Change, MEMTABLE_EVENTS, Quarantined, Rows, RowsError, RowsId, RowsState};
use tally_tlog::TreeSize;

/// Keys of all rows: few, so that most changes meet what is there.
const KEYS: u64 = 40;

const STEPS: u64 = 300;

/// What the rows must come to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    cursor: u64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    quarantined: Vec<Quarantined>,
}

/// Numbers that follow from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn key(&mut self) -> Vec<u8> {
        let n = self.below(KEYS);
        // Some are the beginning of others.
        vec![b'k'; 1 + (n % 4) as usize]
            .into_iter()
            .chain(format!("{}", n / 4).into_bytes())
            .collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        let count = self.below(12);
        let change = |_| {
            let key = self.key();
            let is_gone = self.below(3) == 0;
            (key, (!is_gone).then(|| self.below(1_000).to_string().into_bytes()))
        };
        (0..count).map(change).collect()
    }
}

impl Model {
    fn take(&mut self, changes: &[Change], poison: Option<Quarantined>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        self.quarantined.extend(poison);
    }

    fn check(&self, rows: &Rows, chance: &mut Chance) {
        assert_eq!(rows.cursor().0, self.cursor);
        assert_eq!(rows.quarantined().expect("read"), self.quarantined);
        let key = chance.key();
        assert_eq!(rows.get(&key).expect("read").as_ref(), self.rows.get(&key));
        let prefix = &key[..chance.below(key.len() as u64 + 1) as usize];
        let mut found = Vec::new();
        let kept = rows.scan(prefix, |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok::<_, RowsError>(())
        });
        kept.expect("read");
        let of_prefix = self.rows.iter().filter(|(key, _)| key.starts_with(prefix));
        let expected: Vec<_> = of_prefix.map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(found, expected);
    }

    fn digest(&self, dir: &Path) -> (tally_protocol::Digest, u64) {
        let (fresh, _) = open(dir, self.cursor);
        let changes = self.rows.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        fresh.commit(Position(self.cursor), changes, &[]).expect("commit");
        fresh.digest().expect("read")
    }
}

fn open(dir: &Path, size: u64) -> (Rows, RowsState) {
    let id = RowsId { name: "test".into(), version: 1, start: Position(0) };
    Rows::open(dir, id, TreeSize::new(size)).expect("open")
}

/// What a process that is killed now leaves: all files at one moment, in which the engine, which tidies
/// up in the background, has changed none of them.
fn copy(from: &Path, to: &Path) {
    loop {
        let before = files(from);
        let copied = before.iter().try_for_each(|(path, ..)| {
            let to = to.join(path.strip_prefix(from).expect("listed in it"));
            fs::create_dir_all(to.parent().expect("in a directory"))?;
            fs::copy(path, to).map(drop)
        });
        if copied.is_ok() && files(from) == before {
            return;
        }
        fs::remove_dir_all(to).expect("remove");
    }
}

/// The files in a directory: where, how long, and when they were changed.
fn files(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(file) => found.push((path, file.len(), file.modified().expect("a time"))),
            // It went in the meantime.
            Err(_) => {}
        }
    }
    found.sort();
    found
}

#[test]
fn rows_read_as_a_map_wherever_they_are() {
    for seed in 0..4 {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("rows");
        let (mut rows, _) = open(&dir, 0);
        let (mut chance, mut model) = (Chance(seed), Model::default());
        let mut written = model.clone();
        for step in 0..STEPS {
            match chance.below(20) {
                0..14 => {
                    let changes = chance.changes();
                    let at = Position(model.cursor);
                    let poison = (chance.below(9) == 0)
                        .then(|| Quarantined { position: at, reason: format!("step {step}") });
                    model.cursor += 1;
                    model.take(&changes, poison.clone());
                    rows.commit(Position(model.cursor), changes, poison.as_slice())
                        .expect("commit");
                }
                14..17 => {
                    rows.flush().expect("room on the disk");
                    written = model.clone();
                }
                17 => {
                    drop(rows);
                    let (again, state) = open(&dir, model.cursor);
                    assert_eq!(state, RowsState::Kept);
                    (rows, written) = (again, model.clone());
                }
                18 => {
                    // What a killed process leaves.
                    let (left, killed) = (temp.path().join(format!("left-{step}")), &written);
                    copy(&dir, &left);
                    let (rows, state) = open(&left, killed.cursor);
                    assert_eq!(state, RowsState::KeptUnclosed);
                    (0..9).for_each(|_| killed.check(&rows, &mut chance));
                }
                _ => {
                    let fresh = temp.path().join(format!("fresh-{step}"));
                    assert_eq!(rows.digest().expect("read"), model.digest(&fresh));
                    written = model.clone();
                }
            }
            model.check(&rows, &mut chance);
        }
    }
}

#[test]
fn a_tail_that_only_memory_has_is_bounded() {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("rows");
    let (rows, _) = open(&dir, 0);
    let row = || [(b"how far".to_vec(), Some(b"so far".to_vec()))];
    // No number of turns is the limit itself.
    let turn = MEMTABLE_EVENTS / 4 + 1_000;
    for next in (1..=9).map(|n| n * turn) {
        rows.commit(Position(next), row(), &[]).expect("commit");
        let left = temp.path().join(format!("left-{next}"));
        copy(&dir, &left);
        let (killed, _) = open(&left, next);
        assert!(rows.cursor().0 - killed.cursor().0 <= MEMTABLE_EVENTS, "{}", killed.cursor());
        let is_written = killed.cursor() > Position(0);
        let expected = is_written.then(|| b"so far".to_vec());
        assert_eq!(killed.get(b"how far").expect("read"), expected);
    }
}
