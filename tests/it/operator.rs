//! An operator who holds the log key and breaks the rules is caught like one who edits a byte: the
//! verdict names the position and the rule.

use std::path::Path;

use serde_json::Value;
use tally_protocol::{AuthorSequence, SignedEnvelope};
use tally_tests::life::{Life, origin};
use tally_tests::operator::Operator;
use tally_tests::program::tally;
use tally_tests::signer::{Signer, cancel, capability, done, intent, offer, progress};
use tally_tlog::{Hash, NoteSigner};

/// Lets an operator write a ledger, and gives the program's report on it.
fn report(write: impl FnOnce(&mut Operator)) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let mut operator = Operator::begin(directory.path(), &origin());
    write(&mut operator);
    drop(operator);
    verify(directory.path(), &[])
}

fn verify(data: &Path, more: &[&str]) -> Value {
    let args = ["verify", "--json", "--data", data.to_str().expect("UTF-8")];
    let answer = tally(args.iter().chain(more));
    let report = answer.json();
    let valid = report["verdict"] == "valid";
    assert_eq!(answer.code(), i32::from(!valid), "{answer:?}");
    report
}

#[track_caller]
fn is_bad(report: &Value, position: u64, rule: &str) {
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["first_bad"]["rule"], rule, "{report}");
    assert_eq!(report["first_bad"]["position"], position, "{report}");
    assert_eq!(report["size"], position, "what came before holds: {report}");
    assert!(!report["first_bad"]["found"].as_str().expect("what was found").is_empty());
}

/// Everything honest, one group an event.
fn each(operator: &mut Operator, said: &[SignedEnvelope]) {
    for signed in said {
        operator.record(signed);
        operator.commit();
    }
}

/// The same tools, used honestly, give a valid ledger: what is caught below is the crime.
#[test]
fn an_honest_operator_is_found_honest() {
    let said = Life::new().said;
    let report = report(|operator| {
        each(operator, &said[..3]);
        for signed in &said[3..] {
            operator.record(signed);
        }
        operator.commit();
    });
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(report["size"], said.len());
    assert_eq!(report["signed_size"], said.len());
    assert_eq!(report["first_bad"], Value::Null);
}

#[test]
fn a_dropped_message_breaks_its_authors_chain() {
    let said = Life::new().said;
    // The provider's capability stands, "accepted" is left out, "running" follows.
    let kept = [&said[..4], &said[5..]].concat();
    is_bad(&report(|operator| each(operator, &kept)), 4, "R13.author-sequence");
}

#[test]
fn a_replaced_message_breaks_its_authors_chain() {
    let life = Life::new();
    let mut said = life.said;
    let provider = Signer::new(2, &origin());
    let mut other = provider.envelope(progress(life.task, "accepted", 5));
    other.author_sequence = AuthorSequence(2);
    other.previous = Some(said[2].id());
    said[4] = provider.sign(&other);
    is_bad(&report(|operator| each(operator, &said)), 5, "R13.author-previous");
}

#[test]
fn an_order_that_the_rules_refuse_is_named() {
    let mut said = Life::new().said;
    // Two authors: each chain is whole, but the offer comes before its intent.
    said.swap(1, 2);
    is_bad(&report(|operator| each(operator, &said)), 1, "R13.reference");
}

#[test]
fn a_message_that_is_taken_in_twice_is_named() {
    let said = Life::new().said;
    let report = report(|operator| {
        each(operator, &said);
        each(operator, &said[1..2]);
    });
    is_bad(&report, 7, "position");
}

#[test]
fn a_backdated_event_is_named() {
    let said = Life::new().said;
    let report = report(|operator| {
        each(operator, &said[..3]);
        let before = tally_protocol::Time(operator.now().0 - 1);
        operator.record_at(&said[3], before);
        operator.commit();
    });
    is_bad(&report, 3, "time");
}

#[test]
fn a_report_on_an_ended_task_is_named() {
    let Life { mut provider, mut said, task, .. } = Life::new();
    said.push(provider.say(progress(task, "running", 60)));
    is_bad(&report(|operator| each(operator, &said)), 7, "R18.terminal");
}

#[test]
fn an_offer_on_a_cancelled_intent_is_named() {
    let Life { mut initiator, mut provider, capability, mut said, .. } = Life::new();
    said.push(initiator.say(intent("another basin")));
    let other = said[7].id();
    said.push(initiator.say(cancel(other)));
    said.push(provider.say(offer(other, capability)));
    is_bad(&report(|operator| each(operator, &said)), 9, "R12.intent-open");
}

#[test]
fn a_message_of_somebody_else_is_named() {
    let Life { mut provider, intent, mut said, .. } = Life::new();
    said.truncate(2);
    let mut stranger = Signer::new(3, &origin());
    said.push(stranger.say(cancel(intent)));
    is_bad(&report(|operator| each(operator, &said)), 2, "R3.author");
    // And one that was meant for another ledger.
    let other = Signer::new(4, &"example.org/other".parse().expect("an origin"));
    said[2] = other.try_out(capability("tides"));
    is_bad(&report(|operator| each(operator, &said)), 2, "R13.origin");
    said[2] = provider.say(capability("tides"));
    is_bad(&report(|operator| each(operator, &said)), 2, "R13.author-sequence");
}

#[test]
fn a_wrong_signature_is_named() {
    let mut said = Life::new().said;
    said[2].signature[17] ^= 4;
    is_bad(&report(|operator| each(operator, &said)), 2, "signature");
    // A good signature of another envelope is as wrong.
    said[2].signature = said[4].signature;
    is_bad(&report(|operator| each(operator, &said)), 2, "signature");
}

#[test]
fn a_payload_that_says_nothing_is_named() {
    let mut said = Life::new().said;
    said[2].payload = b"\xffnothing".to_vec().into();
    is_bad(&report(|operator| each(operator, &said)), 2, "envelope");
    // Another encoding of the same statement.
    let mut said = Life::new().said;
    said[2].payload = [&said[2].payload[..], &[0x78, 1]].concat().into();
    is_bad(&report(|operator| each(operator, &said)), 2, "envelope");
}

/// Groups are judged at their end, so the last event of the group is named.
#[track_caller]
fn is_bad_commit(report: &Value, last: u64, rule: &str) {
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["first_bad"]["rule"], rule, "{report}");
    assert_eq!(report["first_bad"]["position"], last, "{report}");
}

#[test]
fn a_checkpoint_of_another_key_is_named() {
    let said = Life::new().said;
    let other = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let report = report(|operator| {
        each(operator, &said[..3]);
        operator.record(&said[3]);
        operator.commit_signed_by(&other);
        each(operator, &said[4..]);
    });
    is_bad_commit(&report, 3, "checkpoint");
    assert_eq!(report["signed_size"], 3);
}

#[test]
fn a_root_that_is_not_the_trees_is_named() {
    let said = Life::new().said;
    let report = report(|operator| {
        each(operator, &said[..3]);
        operator.record(&said[3]);
        operator.commit_root(Hash::new([8; 32]));
    });
    is_bad_commit(&report, 3, "tree");
}

#[test]
fn a_checkpoint_that_signs_another_tree_is_named() {
    let said = Life::new().said;
    let report = report(|operator| {
        each(operator, &said[..3]);
        let earlier = operator.checkpoint();
        operator.record(&said[3]);
        let signer = NoteSigner::from_seed(origin().key_name(), &[3; 32]);
        let root = operator.checkpoint().root;
        operator.commit_as(root, &earlier, &signer);
    });
    is_bad_commit(&report, 3, "checkpoint");
}

/// A history that is rewritten from the end breaks no chain: a checkpoint that was kept shows it.
#[test]
fn a_rewritten_history_does_not_contain_a_kept_checkpoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept.checkpoint");
    let said = Life::new().said;
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let mut operator = Operator::begin(&first, &origin());
    each(&mut operator, &said[..6]);
    let signer = NoteSigner::from_seed(origin().key_name(), &[3; 32]);
    std::fs::write(&kept, operator.checkpoint().sign(&signer).to_bytes()).expect("written");
    each(&mut operator, &said[6..]);
    drop(operator);

    // Another ending: the task failed.
    let mut provider = Signer::new(2, &origin());
    provider.skip(4);
    let mut operator = Operator::begin(&second, &origin());
    each(&mut operator, &said[..5]);
    let mut other = provider.envelope(done(said[3].id(), "failed"));
    other.previous = Some(said[4].id());
    other.author_sequence = AuthorSequence(3);
    each(&mut operator, &[provider.sign(&other)]);
    drop(operator);

    let kept = kept.to_str().expect("UTF-8");
    assert_eq!(verify(&first, &[])["verdict"], "valid");
    assert_eq!(verify(&second, &[])["verdict"], "valid", "by itself it is in order");
    assert_eq!(verify(&first, &["--checkpoint", kept])["verdict"], "valid");
    let report = verify(&second, &["--checkpoint", kept]);
    is_bad_commit(&report, 5, "tree");

    // Shorter than what was kept is a rewriting too.
    let third = directory.path().join("third");
    let mut operator = Operator::begin(&third, &origin());
    each(&mut operator, &said[..4]);
    drop(operator);
    is_bad_commit(&verify(&third, &["--checkpoint", kept]), 4, "tree");
}

/// The key comes from the one who checks, never from the directory.
#[test]
fn another_trusted_key_does_not_accept_the_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut operator = Operator::begin(directory.path(), &origin());
    each(&mut operator, &Life::new().said);
    let own = operator.log_key().to_string();
    drop(operator);
    assert_eq!(verify(directory.path(), &["--log-key", &own])["verdict"], "valid");
    let other = NoteSigner::from_seed(origin().key_name(), &[4; 32]).verifier_key().to_string();
    is_bad_commit(&verify(directory.path(), &["--log-key", &other]), 0, "checkpoint");
    std::fs::remove_file(directory.path().join("log.pub")).expect("removed");
    let report = verify(directory.path(), &[]);
    assert_eq!(report["verdict"], "incomplete", "{report}");
    assert!(report["notes"][0].as_str().expect("a note").contains("--log-key"), "{report}");
}
