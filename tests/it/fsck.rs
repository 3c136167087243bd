//! From damage to a ledger that serves again: the refusal names the place and the command, the
//! check names all places, and the repair takes from a copy only what was signed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tally_store::{Located, Scanned, scan};
use tally_tests::program::{Server, copy, demo_args, shipped, tally};

fn path(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A ledger with everything that a backup of it needs.
struct Ledger {
    directory: tempfile::TempDir,
    data: PathBuf,
    backup: PathBuf,
}

impl Ledger {
    /// The shipped scenario, and a backup of it.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (data, backup) = (directory.path().join("data"), directory.path().join("backup"));
        copy(&shipped().data(), &data);
        tally(["backup", "--data", path(&data), "--to", path(&backup)]).expect(0);
        Self { directory, data, backup }
    }

    /// Plays the scenario once more.
    fn grow(&self) {
        tally(demo_args(&self.data, None)).expect(0);
    }

    fn events(&self) -> Vec<Located> {
        let frames = scan(&self.data).expect("a log").map(|frame| frame.expect("whole"));
        frames.filter(|frame| matches!(frame.item, Scanned::Event(_))).collect()
    }

    /// Changes one byte of each of these events.
    fn damage(&self, positions: &[usize]) {
        let events = self.events();
        for &position in positions {
            let Located { segment, offset, .. } = &events[position];
            let file = self.data.join("log").join(segment.to_string());
            let mut bytes = fs::read(&file).expect("a segment");
            bytes[*offset as usize + 100] ^= 1;
            fs::write(&file, bytes).expect("written");
        }
    }

    fn check(&self, code: i32) -> Value {
        tally(["fsck", "--json", "--data", path(&self.data)]).expect(code).json()
    }

    fn repair(&self, from: &Path, code: i32) -> Value {
        let args = ["fsck", "--json", "--data", path(&self.data), "--repair-from", path(from)];
        tally(args).expect(code).json()
    }

    /// A repair that must not be made, and leaves every byte of the log.
    fn refused(&self, from: &Path) -> String {
        let before = log_of(&self.data);
        let answer = self.repair(from, 1);
        assert_eq!(log_of(&self.data), before, "{answer}");
        let text = answer["error"]["message"].as_str().expect("a reason").to_owned();
        assert!(text.starts_with("not repaired, and nothing was changed: "), "{text}");
        text
    }

    fn verified(&self) -> Value {
        tally(["verify", "--json", "--data", path(&self.data)]).expect(0).json()
    }
}

/// The files of the log and what is in them.
fn log_of(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(data.join("log")).expect("the log's directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect()
}

#[test]
fn a_damaged_ledger_is_repaired_from_its_backup_and_serves_again() {
    let ledger = Ledger::new();
    let whole = ledger.verified();
    let answer = ledger.check(0);
    assert_eq!((&answer["whole"], &answer["findings"]), (&true.into(), &Value::Array(vec![])));

    let events = ledger.events();
    ledger.damage(&[17, 60]);
    let data = path(&ledger.data);
    let refused = tally(["serve", "--json", "--data", data, "--listen", "127.0.0.1:0"]).expect(3);
    let reason = refused.json()["error"]["message"].as_str().expect("a reason").to_owned();
    let place = format!("byte {}, before position 17", events[17].offset);
    assert!(reason.contains(&place) && reason.contains("`tally fsck`"), "{reason}");

    // The start names the first place, the check all of them.
    let answer = ledger.check(1);
    let found = answer["findings"].as_array().expect("findings").iter();
    let found: Vec<_> = found.filter(|finding| finding["severity"] == "ledger").collect();
    assert_eq!(found.len(), 2, "{answer}");
    for (finding, n) in found.iter().zip([17, 60]) {
        assert_eq!(finding["file"], format!("log/{}", events[n].segment));
        assert_eq!(finding["bytes"]["from"], events[n].offset);
        assert_eq!(finding["bytes"]["to"], events[n].end);
        assert_eq!(finding["positions"], serde_json::json!({ "from": n, "to": n + 1 }));
        assert!(finding["remedy"].as_str().expect("text").contains("--repair-from"), "{finding}");
    }
    let text = tally(["fsck", "--data", data]).expect(1).stdout;
    assert!(text.starts_with("damaged: ") && text.contains("position 60"), "{text}");
    assert!(text.contains("not checked here: `tally verify"), "{text}");

    let answer = ledger.repair(&ledger.backup, 0);
    assert_eq!(answer["repaired"]["root"], whole["root"], "{answer}");
    let kept = answer["repaired"]["kept_aside"][0].as_str().expect("a path");
    assert!(Path::new(kept).starts_with(ledger.data.join("damaged")) && Path::new(kept).exists());
    let server = Server::start(&ledger.data);
    assert_eq!(server.size, whole["size"]);
    server.kill();
    assert_eq!(ledger.verified(), whole);
}

/// A backup that ends before the ledger does is enough for what it reaches, and not for more.
#[test]
fn a_short_backup_repairs_what_it_reaches() {
    let ledger = Ledger::new();
    let reach = ledger.events().len();
    ledger.grow();
    let whole = ledger.verified();
    let saved = ledger.directory.path().join("saved");
    copy(&ledger.data, &saved);

    ledger.damage(&[reach + 5, 3]);
    let reason = ledger.refused(&ledger.backup);
    let expected = format!("the copy has {reach} events, {} are needed", reach + 6);
    assert!(reason.contains(&expected), "{reason}");

    fs::remove_dir_all(&ledger.data).expect("removed");
    copy(&saved, &ledger.data);
    ledger.damage(&[3, reach - 1]);
    ledger.repair(&ledger.backup, 0);
    assert_eq!(ledger.verified(), whole, "what only the ledger had is there");
    assert_eq!(Server::start(&ledger.data).size, whole["size"]);
}

/// The same name, the same key, another history.
#[test]
fn a_forked_copy_is_refused() {
    let ledger = Ledger::new();
    let fork = ledger.directory.path().join("fork");
    copy(&ledger.data, &fork);
    ledger.grow();
    tally(demo_args(&fork, None)).expect(0);
    let last = ledger.events().len() - 1;
    ledger.damage(&[last - 3]);
    let reason = ledger.refused(&fork);
    assert!(reason.contains("fork"), "{reason}");
}

#[test]
fn a_ledger_that_runs_is_checked_and_not_repaired() {
    let ledger = Ledger::new();
    let server = Server::start(&ledger.data);
    let answer = ledger.check(0);
    assert!(answer["writer"].as_str().expect("a writer").contains("tally"), "{answer}");
    let text = tally(["fsck", "--data", path(&ledger.data)]).expect(0).stdout;
    assert!(text.contains("a writer has the ledger"), "{text}");
    let refused = ledger.repair(&ledger.backup, 3);
    let reason = refused["error"]["message"].as_str().expect("a reason");
    assert!(reason.contains("held by another process"), "{reason}");
    server.kill();
    assert_eq!(ledger.check(0)["writer"], Value::Null);
}

#[test]
fn wrong_use_is_told_apart_from_damage() {
    let ledger = Ledger::new();
    let (data, backup) = (path(&ledger.data), path(&ledger.backup));
    let nothing = ledger.directory.path().join("nothing");
    tally(["fsck", "--data", path(&nothing)]).expect(2);
    assert!(!nothing.exists(), "a check makes nothing");
    tally(["fsck", "--data", data, "--repair-from", data]).expect(2);
    tally(["fsck", "--data", data, "--repair-from", path(&nothing)]).expect(2);
    tally(["fsck", "--data", data, "--repair-from", backup, "--log-key", "no key"]).expect(2);
    fs::remove_file(ledger.data.join("log.pub")).expect("removed");
    tally(["fsck", "--data", data, "--repair-from", backup]).expect(2);
    // A key that did not sign the ledger.
    let origin = ledger.check(0)["origin"].as_str().expect("a name").to_owned();
    let stranger = ledger.directory.path().join("stranger");
    let made = tally(["keygen", "--json", path(&stranger), "--log", &origin]).expect(0).json();
    let key = made["log_key"].as_str().expect("a key");
    let answer = tally(["fsck", "--json", "--data", data, "--log-key", key]).expect(1).json();
    let cause = answer["findings"][0]["cause"].as_str().expect("a cause");
    assert!(cause.contains("not to be believed"), "{answer}");
}
