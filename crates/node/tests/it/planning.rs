//! The plan: what a batch comes to, as a pure function.

use tally_coordination::{Rule, State};
use tally_node::{Head, Plan, Verdict, plan};
use tally_protocol::{Position, Time, VerifiedEnvelope};
use tally_tlog::{Frontier, SignedCheckpoint};

use crate::author::{Author, origin, signer, verified};

fn empty() -> Head {
    Head::empty(State::new(origin()))
}

fn run(head: &Head, batch: &[VerifiedEnvelope], now: i64) -> Plan {
    plan(head, batch, Time(now), &signer())
}

#[test]
fn a_batch_becomes_one_group_in_its_order() {
    let (mut a, mut b) = (Author::new(1), Author::new(2));
    let batch = [a.intent("one"), b.intent("two"), a.intent("three")].map(verified);
    let head = empty();
    let planned = run(&head, &batch, 5);
    let group = planned.group.as_ref().expect("something was admitted");
    assert_eq!(group.events.len(), 3);
    let mut chain = head.chain;
    let mut frontier = Frontier::new();
    for (i, event) in group.events.iter().enumerate() {
        assert_eq!(event.position(), Position(i as u64));
        assert_eq!(event.previous_chain(), chain);
        assert_eq!(event.recorded_at(), Time(5));
        assert_eq!(event.signed(), *batch[i].signed());
        chain = event.chain();
        frontier.append(event.leaf(), |_, _| {});
    }
    assert_eq!(group.commit.chain, chain);
    assert_eq!(group.commit.root, frontier.root());
    let checkpoint = SignedCheckpoint::parse(&group.commit.checkpoint).expect("a note");
    let opened = checkpoint.open(&[signer().verifier_key()], &origin()).expect("signed");
    assert_eq!((opened.size(), opened.root()), (frontier.size(), frontier.root()));
    assert_eq!(planned.next.tip().root, frontier.root());
}

#[test]
fn the_head_that_was_given_stays_as_it_was() {
    let mut author = Author::new(1);
    let head = empty();
    let before = head.state.clone();
    let first = author.intent("one");
    let planned = run(&head, &[verified(first.clone())], 5);
    assert_eq!(head.state, before);
    assert_eq!(head.size().as_u64(), 0);
    assert_eq!(planned.next.size().as_u64(), 1);
    // The same question has the same answer.
    let again = run(&head, &[verified(first)], 5);
    assert_eq!(again.verdicts, planned.verdicts);
    assert_eq!(again.group, planned.group);
}

#[test]
fn time_never_goes_back() {
    let mut author = Author::new(1);
    let first = run(&empty(), &[verified(author.intent("one"))], 100);
    let second = run(&first.next, &[verified(author.intent("two"))], 50);
    let event = &second.group.expect("admitted").events[0];
    assert_eq!(event.recorded_at(), Time(100));
}

#[test]
fn a_duplicate_has_the_first_position_within_a_batch_and_after_it() {
    let mut author = Author::new(1);
    let envelope = author.intent("one");
    let batch = [envelope.clone(), envelope.clone()].map(verified);
    let planned = run(&empty(), &batch, 5);
    assert_eq!(planned.group.as_ref().expect("one was admitted").events.len(), 1);
    assert_eq!(planned.verdicts[1], Verdict::Duplicate(Position(0)));
    let later = run(&planned.next, &[verified(envelope)], 6);
    assert_eq!(later.verdicts, [Verdict::Duplicate(Position(0))]);
    assert!(later.group.is_none());
}

#[test]
fn a_refusal_changes_nothing_for_its_neighbours() {
    let (mut a, b) = (Author::new(1), Author::new(2));
    let first = a.intent("one");
    let fork = Author::new(1).signed("another first");
    let batch = [first, fork, b.signed("two")].map(verified);
    let planned = run(&empty(), &batch, 5);
    let Verdict::Refused(refusal) = &planned.verdicts[1] else { panic!("refused") };
    assert_eq!(refusal.rule, Rule::Equivocation);
    assert_eq!(planned.group.expect("two were admitted").events.len(), 2);
    assert_eq!(planned.next.size().as_u64(), 2);
}

#[test]
fn the_nodes_of_a_plan_are_those_of_the_tree() {
    let mut author = Author::new(1);
    let batch: Vec<_> = (0..5).map(|i| verified(author.intent(&i.to_string()))).collect();
    let planned = run(&empty(), &batch, 5);
    let mut expected = Vec::new();
    let mut frontier = Frontier::new();
    for event in &planned.group.expect("admitted").events {
        frontier.append(event.leaf(), |id, hash| expected.push((id, hash)));
    }
    assert_eq!(planned.nodes, expected);
}
