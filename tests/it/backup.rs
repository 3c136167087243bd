//! Copies of a ledger: backup while it runs, restore, and what is not restored. And the frozen
//! ledger of the first format version, which always opens and verifies.

use std::path::Path;

use serde_json::Value;
use tally_tests::program::{Server, copy, demo_args, shipped, tally};

fn path(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn verified(data: &Path) -> Value {
    tally(["verify", "--json", "--data", path(data)]).expect(0).json()
}

#[test]
fn a_backup_taken_while_the_ledger_runs_comes_back_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, backup) = (directory.path().join("data"), directory.path().join("backup"));
    let restored = directory.path().join("restored");
    copy(&shipped().data(), &data);
    let server = Server::start(&data);
    let take = || {
        let args = ["backup", "--json", "--data", path(&data), "--to", path(&backup)];
        tally(args.iter().chain(&["--with-key"])).expect(0).json()
    };
    let first = take();
    assert_eq!(first["size"], server.size);
    assert_eq!(first["segments_written"], 1);
    // Brought up to date: nothing new is nothing written, something new is.
    assert_eq!(take()["segments_written"], 0);
    server.kill();
    tally(demo_args(&data, None)).expect(0);
    let second = take();
    assert!(second["size"].as_u64() > first["size"].as_u64(), "{second}");

    let args = ["restore", "--json", "--from", path(&backup), "--data", path(&restored)];
    assert_eq!(tally(args).expect(0).json()["size"], second["size"]);
    assert_eq!(verified(&restored)["root"], verified(&data)["root"]);
    // It goes on where it was.
    assert_eq!(Some(Server::start(&restored).size), second["size"].as_u64());
    // A ledger is never restored over another.
    tally(args).expect(2);
}

#[test]
fn a_backup_that_is_not_whole_is_not_restored() {
    let directory = tempfile::tempdir().expect("a directory");
    let (backup, restored) = (directory.path().join("backup"), directory.path().join("restored"));
    let data = shipped().data();
    tally(["backup", "--json", "--data", path(&data), "--to", path(&backup)]).expect(0);
    let segment = backup.join("log").join(format!("{:020}.seg", 0));
    let whole = std::fs::read(&segment).expect("a segment");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &flipped] {
        std::fs::write(&segment, damaged).expect("written");
        let args = ["restore", "--json", "--from", path(&backup), "--data", path(&restored)];
        let refused = tally(args).expect(1);
        assert!(refused.stdout.contains("nothing was restored"), "{refused:?}");
        assert!(!restored.exists(), "something was restored");
    }
}

#[test]
fn a_ledger_without_events_is_backed_up_and_not_restored() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, backup) = (directory.path().join("data"), directory.path().join("backup"));
    Server::start(&data).kill();
    let args = ["backup", "--json", "--data", path(&data), "--to", path(&backup)];
    assert_eq!(tally(args).expect(0).json()["size"], 0);
    let restored = directory.path().join("restored");
    let args = ["restore", "--json", "--from", path(&backup), "--data", path(&restored)];
    let refused = tally(args).expect(1);
    assert!(refused.stdout.contains("without events"), "{refused:?}");
    // Later there is something in it.
    tally(demo_args(&data, None)).expect(0);
    tally(["backup", "--json", "--data", path(&data), "--to", path(&backup)]).expect(0);
    tally(args).expect(0);
    assert_eq!(verified(&restored)["root"], verified(&data)["root"]);
}

/// Someone has seen a later head than the backup holds: the restored ledger would fork.
#[test]
fn a_ledger_that_would_fork_is_not_restored() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, backup) = (directory.path().join("data"), directory.path().join("backup"));
    copy(&shipped().data(), &data);
    tally(["backup", "--json", "--data", path(&data), "--to", path(&backup)]).expect(0);
    tally(demo_args(&data, None)).expect(0);
    let proof = tally(["prove", "--json", "--data", path(&data), "0"]).expect(0).json();
    let proof = proof["proof"].as_str().expect("a proof").to_owned();
    let (_, checkpoint) = proof.split_once("\n\n").expect("the checkpoint comes last");
    let seen = directory.path().join("seen");
    std::fs::write(&seen, checkpoint).expect("written");
    let restored = directory.path().join("restored");
    let args = ["restore", "--json", "--from", path(&backup), "--data", path(&restored)];
    let refused = tally(args.iter().chain(&["--seen", path(&seen)])).expect(1);
    assert!(refused.stdout.contains("you kept a checkpoint of size"), "{refused:?}");
    assert!(!restored.exists(), "something was restored");
    tally(args).expect(0);
}

/// A log that someone put back from an older copy, by hand: it is not served, so nothing is signed.
#[test]
fn a_log_behind_what_was_seen_is_not_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, old) = (directory.path().join("data"), directory.path().join("old"));
    copy(&shipped().data(), &data);
    copy(&data, &old);
    tally(demo_args(&data, None)).expect(0);
    let seen = directory.path().join("seen");
    let proof = tally(["prove", "--json", "--data", path(&data), "0"]).expect(0).json();
    let proof = proof["proof"].as_str().expect("a proof").to_owned();
    let (_, checkpoint) = proof.split_once("\n\n").expect("the checkpoint comes last");
    std::fs::write(&seen, checkpoint).expect("written");
    let serve = |data: &Path| {
        let args = ["serve", "--json", "--listen", "127.0.0.1:0", "--data", path(data)];
        tally(args.iter().chain(&["--seen", path(&seen)]))
    };
    let refused = serve(&old).expect(1);
    assert!(refused.stdout.contains("going on would fork it"), "{refused:?}");
    drop(Server::start_with(&data, &["--seen", path(&seen)]));
    std::fs::write(&seen, checkpoint.replacen(|c: char| c != '\n', "x", 1)).expect("written");
    assert!(serve(&data).stdout.contains("that was seen is of"), "another ledger's");
}

#[test]
fn the_ledger_of_the_first_format_version_opens_and_verifies() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1");
    let report = verified(&frozen);
    assert_eq!(report["verdict"], "valid");
    assert_eq!(report["size"], 124);
    assert_eq!(report["root"], "+K60e/m2extddDVmWPhnYDmhSEGama5VBKNqVWCvQzs=");
    let made_from = tally([
        "lineage",
        "--json",
        "--data",
        path(&frozen),
        "--data-ref",
        "wf:harbour-survey/tide.csv",
        "--direction",
        "up",
    ]);
    let made_from = made_from.expect(0).json();
    assert_eq!(made_from["tasks"], serde_json::json!(["plan_lines_01", "tide_model_01"]));
    // A writer goes on with it, in a copy: what is frozen stays as it is.
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    copy(&frozen, &data);
    let server = Server::start(&data);
    assert_eq!(server.size, 124);
    drop(server);
    tally(demo_args(&data, None)).expect(0);
    assert!(verified(&data)["size"].as_u64().expect("a size") > 124);
}
