//! What a witness remembers: through restarts, damage, races, and a death before the answer.

use std::collections::HashSet;
use std::fs;
use std::sync::Barrier;

use tally_tlog::{SignedCheckpoint, TreeSize};
use tally_witness::{OpenError, Refusal, Witness, origin_hash};

use crate::support::{LOG, Log, at, cosigner, open, sized};

fn log_hash() -> String {
    origin_hash(&LOG.parse().expect("an origin"))
}

fn latest(witness: &Witness) -> Option<SignedCheckpoint> {
    let bytes = witness.latest(&log_hash())?;
    Some(SignedCheckpoint::parse(&bytes).expect("a checkpoint"))
}

#[test]
fn the_origin_hash_is_sha_256_in_lower_case() {
    // By `printf %s example.com/behind-the-sofa | sha256sum`.
    assert_eq!(log_hash(), "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4");
}

#[test]
fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    assert!(latest(&witness).is_none());
    witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    witness.add_checkpoint(&log.request(5, 9), at(11)).expect("cosigned");
    let shown = latest(&witness).expect("a checkpoint");
    drop(witness);
    let witness = open(directory.path());
    assert_eq!(latest(&witness), Some(shown.clone()));
    assert_eq!(witness.logs().collect::<Vec<_>>(), [(&log.origin, Some(sized(9)))]);
    // The log's signature and the witness's, and both verify.
    assert!(shown.open(&[log.signer.verifier_key()], &log.origin).is_ok());
    assert_eq!(witness.key().verify(&shown).expect("verified").expect("ours").timestamp, at(11));
    let stale = witness.add_checkpoint(&log.request(5, 20), at(12));
    assert!(matches!(stale, Err(Refusal::NotTheLatest { latest }) if latest == sized(9)));
}

/// The record is durable, and then the process dies without having answered.
#[test]
fn a_death_before_the_answer_is_harmless() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    let lost = witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    drop((witness, lost));
    let witness = open(directory.path());
    let refused = witness.add_checkpoint(&log.request(0, 5), at(11));
    assert!(matches!(refused, Err(Refusal::NotTheLatest { latest }) if latest == sized(5)));
    let again = witness.add_checkpoint(&log.request(5, 5), at(12)).expect("cosigned again");
    let mut checkpoint = log.signed(5);
    checkpoint.add_signature(again).expect("room");
    assert_eq!(
        witness.key().verify(&checkpoint).expect("verified").expect("ours").timestamp,
        at(12)
    );
}

/// A write that was cut off leaves a file beside the record, which is as it was.
#[test]
fn a_death_within_the_write_is_harmless() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    drop(witness);
    let unfinished = directory.path().join("logs/.unfinished-x1y2z3");
    fs::write(&unfinished, "example.com/behind").expect("written");
    let witness = open(directory.path());
    assert!(!unfinished.exists());
    witness.add_checkpoint(&log.request(5, 9), at(11)).expect("cosigned");
}

#[test]
fn damage_refuses_the_start_and_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    drop(witness);
    let path = directory.path().join("logs").join(log_hash());
    let whole = fs::read(&path).expect("the record");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let opened = Witness::open(directory.path(), cosigner(1), [log.signer.verifier_key()]);
        let error = opened.err()?;
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&log_hash()), "{error}");
        Some(())
    };
    // Every bit of the text and of the witness's line; the log's line stands between.
    let line = |n: usize| whole.split_inclusive(|&b| b == b'\n').take(n).map(<[u8]>::len).sum();
    let (text, own): (usize, usize) = (line(4), line(5));
    for byte in (0..text).chain(own..whole.len()) {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1 << bit;
            assert!(refused(&damaged).is_some(), "bit {bit} of byte {byte}");
        }
    }
    for length in 0..whole.len() {
        assert!(refused(&whole[..length]).is_some(), "{length} bytes");
    }
    // Another log's name, and another witness's record.
    fs::write(&path, &whole).expect("written");
    let other = directory.path().join("logs").join("0".repeat(64));
    fs::rename(&path, &other).expect("renamed");
    assert!(Witness::open(directory.path(), cosigner(1), []).is_err());
    fs::rename(&other, &path).expect("renamed");
    let stranger = Witness::open(directory.path(), cosigner(2), []).expect_err("refused");
    assert!(stranger.to_string().contains("this witness's key did not cosign it"), "{stranger}");
    open(directory.path());
}

/// An older record that somebody put back is still a record: the next cosignature is its own, but
/// a log that is not known now is remembered for later.
#[test]
fn the_record_of_a_log_that_is_not_configured_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    drop(witness);
    let witness = Witness::open(directory.path(), cosigner(1), []).expect("a witness");
    let refused = witness.add_checkpoint(&log.request(5, 9), at(11));
    assert!(matches!(refused, Err(Refusal::UnknownLog { .. })));
    drop(witness);
    let witness = open(directory.path());
    let refused = witness.add_checkpoint(&log.request(0, 9), at(11));
    assert!(matches!(refused, Err(Refusal::NotTheLatest { latest }) if latest == sized(5)));
}

#[test]
fn a_directory_has_one_witness() {
    let directory = tempfile::tempdir().expect("a directory");
    let witness = open(directory.path());
    let second = Witness::open(directory.path(), cosigner(1), []).expect_err("refused");
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    drop(witness);
    open(directory.path());
}

#[test]
fn times_do_not_go_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Log::new();
    let witness = open(directory.path());
    let time_of = |old, new, now| {
        let line = witness.add_checkpoint(&log.request(old, new), at(now)).expect("cosigned");
        let lines = witness.key().verify_lines(&log.signed(new), &[line]);
        lines.expect("verified").expect("ours").timestamp.as_u64()
    };
    assert_eq!(time_of(0, 1, 0), 1, "zero would be no time");
    assert_eq!(time_of(1, 5, 100), 100);
    assert_eq!(time_of(5, 5, 70), 100);
    assert_eq!(time_of(5, 6, 101), 101);
}

/// Two histories race for the same place, many times: of each pair one is cosigned, and the record
/// never goes back.
#[test]
fn of_two_that_race_one_is_cosigned() {
    let directory = tempfile::tempdir().expect("a directory");
    let witness = open(directory.path());
    let log = Log::new();
    let mut old = 0;
    let mut winners = HashSet::new();
    for _ in 0..25 {
        let (near, far) = (log.request(old, old + 1), log.request(old, old + 3));
        let barrier = Barrier::new(2);
        let submit = |request| {
            barrier.wait();
            witness.add_checkpoint(request, at(10)).is_ok()
        };
        let (near, far) = std::thread::scope(|scope| {
            let near = scope.spawn(|| submit(&near));
            let far = scope.spawn(|| submit(&far));
            (near.join().expect("no panic"), far.join().expect("no panic"))
        });
        assert!(near != far, "one and only one of the two is cosigned");
        let size = old + if near { 1 } else { 3 };
        winners.insert(near);
        let record = latest(&witness).expect("a record");
        assert_eq!(record.unverified().size, sized(size), "the record is the winner's");
        old = size;
    }
    let stored = fs::read(directory.path().join("logs").join(log_hash())).expect("the record");
    assert_eq!(latest(&witness).map(|latest| latest.to_bytes()), Some(stored));
    println!("both kinds won: {}", winners.len() == 2);
}

#[test]
fn a_log_that_forks_is_not_cosigned() {
    let directory = tempfile::tempdir().expect("a directory");
    let witness = open(directory.path());
    let (log, fork) = (Log::new(), Log::forking_at(3));
    witness.add_checkpoint(&log.request(0, 5), at(10)).expect("cosigned");
    for new in [5, 6, 50] {
        let refused = witness.add_checkpoint(&fork.request(5, new), at(11));
        assert!(matches!(refused, Err(Refusal::NoGrowth(_))), "{new}: {refused:?}");
    }
    let later = Log::forking_at(5);
    witness.add_checkpoint(&later.request(5, 9), at(12)).expect("that is no fork yet");
    assert!(witness.add_checkpoint(&log.request(9, 20), at(13)).is_err(), "and now the first is");
}

#[test]
fn an_empty_log_is_cosigned_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let witness = open(directory.path());
    let log = Log::new();
    for now in [10, 11] {
        witness.add_checkpoint(&log.request(0, 0), at(now)).expect("cosigned");
        assert_eq!(latest(&witness).expect("a record").unverified().size, TreeSize::ZERO);
    }
    witness.add_checkpoint(&log.request(0, 7), at(12)).expect("cosigned");
}
