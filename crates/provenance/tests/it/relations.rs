//! Every relation of the table, and what justifies it.

use tally_protocol::message::*;
use tally_protocol::{Message, Position, Time};
use tally_provenance::{Class, Direction, Graph, NodeRef, Relation, Start};

use crate::history::*;

#[test]
fn an_offer_answers_an_intent_with_a_capability_as_plan() {
    let mut h = History::new();
    let capability = h.capability(2);
    let intent = h.intent(terms(None, &[]));
    let offer = h.offer(2, offer(intent, capability));
    let node = NodeRef::Offer(offer);
    assert_eq!(h.targets(node.clone(), Relation::Answers), [NodeRef::Intent(intent)]);
    assert_eq!(h.targets(node.clone(), Relation::HadPlan), [NodeRef::Capability(capability)]);
    let author = NodeRef::Agent(h.agent(2));
    assert_eq!(h.targets(node, Relation::WasAttributedTo), [author]);
}

#[test]
fn a_task_serves_awards_and_is_executed_by_the_author_of_the_offer() {
    let mut h = History::new();
    let intent = h.intent(terms(None, &[]));
    let offer = h.offer(2, offer(intent, id(200)));
    let first = h.start(task_start(intent, offer));
    let start = TaskStart { depends_on: vec![first, first], ..task_start(intent, offer) };
    let second = h.start(TaskStart { replaces: Some(first), ..start });
    let node = NodeRef::Task(second);
    assert_eq!(h.targets(node.clone(), Relation::Serves), [NodeRef::Intent(intent)]);
    assert_eq!(h.targets(node.clone(), Relation::Awards), [NodeRef::Offer(offer)]);
    let (initiator, executor) = (NodeRef::Agent(h.agent(1)), NodeRef::Agent(h.agent(2)));
    assert_eq!(h.targets(node.clone(), Relation::WasAssociatedWith), [executor]);
    assert_eq!(h.targets(node.clone(), Relation::WasAttributedTo), [initiator]);
    assert_eq!(h.targets(node.clone(), Relation::WasInformedBy), [NodeRef::Task(first)]);
    assert_eq!(h.targets(node.clone(), Relation::Retries), [NodeRef::Task(first)]);
    assert!(h.graph.edges_from(&node).iter().all(|edge| edge.position == Position(3)));
    assert!(h.graph.edges_from(&node).iter().all(|edge| edge.class == Class::Asserted));
}

#[test]
fn progress_and_receipts_say_what_was_used_and_made() {
    let mut h = History::new();
    let task = h.task(Work::default());
    h.progress(task, ProgressState::Running, &["a"], &["x"]);
    let receipt = h.done(task, 5, &["a", "b"], &["x", "y"]);
    let used = h.from(NodeRef::Task(task), Relation::Used);
    let used: Vec<_> = used.into_iter().map(|e| (e.to, e.position, e.class)).collect();
    let asserted = Class::Asserted;
    assert_eq!(used, [(data("a"), Position(3), asserted), (data("b"), Position(4), asserted)]);
    for output in ["x", "y"] {
        assert_eq!(h.targets(data(output), Relation::WasGeneratedBy), [NodeRef::Task(task)]);
    }
    assert_eq!(h.targets(NodeRef::Receipt(receipt), Relation::Concludes), [NodeRef::Task(task)]);
}

#[test]
fn inputs_of_the_intent_are_inferred_until_the_executor_says_so() {
    let mut h = History::new();
    let task = h.task(Work { given: vec!["a", "b"], ..Work::default() });
    let used = h.from(NodeRef::Task(task), Relation::Used);
    assert!(used.iter().all(|e| e.class == Class::Inferred && e.position == Position(2)));
    let edges = h.graph.edge_count();
    h.progress(task, ProgressState::Running, &["b"], &[]);
    h.done(task, 1, &["b"], &[]);
    let used = h.from(NodeRef::Task(task), Relation::Used);
    let used: Vec<_> = used.into_iter().map(|e| (e.to, e.position, e.class)).collect();
    let inferred = (data("a"), Position(2), Class::Inferred);
    assert_eq!(used, [inferred, (data("b"), Position(3), Class::Asserted)]);
    // The receipt added who signed it and what it concludes, no further use.
    assert_eq!(h.graph.edge_count(), edges + 2);
}

#[test]
fn an_assertion_is_not_weakened_by_a_later_inference() {
    let mut h = History::new();
    let intent = h.intent(terms(None, &["a"]));
    // Reported before it was started: odd, and kept.
    h.progress(h.next_id(1), ProgressState::Running, &["a"], &[]);
    let task = h.start(task_start(intent, id(9)));
    let used = h.from(NodeRef::Task(task), Relation::Used);
    assert_eq!(used.len(), 1);
    assert_eq!((used[0].class, used[0].position), (Class::Asserted, Position(1)));
}

#[test]
fn versions_point_to_the_version_before() {
    let mut h = History::new();
    let capability = h.capability(2);
    let revise = CapabilityRevision { capability, terms: capability_terms() };
    let message = Message::AdvertiseCapability(AdvertiseCapability::Revise(revise));
    let capability_2 = h.say(2, message);
    let intent = h.intent(terms(None, &[]));
    let revise = IntentRevision { intent, terms: terms(Some("t"), &["a"]) };
    let intent_2 = h.say(1, Message::Intent(Intent::Revise(revise)));
    let offer_1 = h.offer(2, offer(intent_2, capability_2));
    let again = Offer { replaces: Some(offer_1), ..offer(intent_2, capability_2) };
    let offer_2 = h.offer(2, again);
    let before = |h: &History, node| h.targets(node, Relation::WasRevisionOf);
    let capabilities = [NodeRef::Capability(capability)];
    assert_eq!(before(&h, NodeRef::Capability(capability_2)), capabilities);
    assert_eq!(before(&h, NodeRef::Intent(intent_2)), [NodeRef::Intent(intent)]);
    assert_eq!(before(&h, NodeRef::Offer(offer_2)), [NodeRef::Offer(offer_1)]);
    // A task on the new version has its labels and inputs.
    let task = h.start(task_start(intent_2, offer_2));
    assert_eq!(h.graph.tasks_labelled("wf.task", "t"), [task]);
    assert_eq!(h.targets(NodeRef::Task(task), Relation::Used), [data("a")]);
}

#[test]
fn attestations_point_to_their_subjects_and_evidence() {
    let mut h = History::new();
    let task = h.run("t", &[], &[]);
    let claim = |subject| Claim {
        subject,
        kind: name("quality"),
        statement: text(""),
        evidence: data_refs(&["report"]),
        expires_at_us: None,
    };
    let on_task = Attest::Claim(claim(ClaimSubject::Envelope(task)));
    let on_unknown = Attest::Claim(claim(ClaimSubject::Envelope(id(77))));
    let [on_task, on_unknown] = [on_task, on_unknown].map(|a| h.say(3, Message::Attest(a)));
    let revocation = Revocation { attestation: on_task, reason: text("") };
    let revoke = h.say(3, Message::Attest(Attest::Revoke(revocation)));
    let node = NodeRef::Attestation(on_task);
    assert_eq!(h.targets(node.clone(), Relation::AttestsTo), [NodeRef::Task(task)]);
    assert_eq!(h.targets(node.clone(), Relation::RestsOn), [data("report")]);
    assert_eq!(h.targets(NodeRef::Attestation(revoke), Relation::Revokes), [node]);
    let unknown = h.targets(NodeRef::Attestation(on_unknown), Relation::AttestsTo);
    assert_eq!(unknown, [NodeRef::Message(id(77))]);
}

#[test]
fn a_delegate_acts_on_behalf_of_the_author() {
    let mut h = History::new();
    let (author, delegate) = (h.agent(1), h.agent(4));
    let delegation = Delegation::new(delegate);
    let attest = h.say(1, Message::Attest(Attest::Delegate(delegation)));
    let (author, delegate) = (NodeRef::Agent(author), NodeRef::Agent(delegate));
    assert_eq!(h.targets(delegate.clone(), Relation::ActedOnBehalfOf), [author]);
    assert_eq!(h.targets(NodeRef::Attestation(attest), Relation::AttestsTo), [delegate]);
}

#[test]
fn policies_govern_their_scope_and_what_names_them() {
    let mut h = History::new();
    let scope = PolicyScope::Agent(h.agent(1));
    let policy = h.say(
        1,
        Message::PolicyUpdate(PolicyUpdate::new(scope, name("region"), 1, PolicyAction::Activate)),
    );
    let intent = h.intent(IntentTerms { policies: policies(&[policy]), ..terms(None, &[]) });
    let task = h.task(Work::default());
    let policy_results = vec![PolicyResult {
        policy: policies(&[policy])[0].clone(),
        compliant: true,
        reason: text(""),
    }];
    let done = TaskDone { policy_results, ..receipt(task) };
    let done = h.say(2, Message::TaskDone(done));
    let author = NodeRef::Agent(h.agent(1));
    for node in [author, NodeRef::Intent(intent), NodeRef::Receipt(done)] {
        assert_eq!(h.targets(node, Relation::GovernedBy), [NodeRef::Policy(policy)]);
    }
    assert_eq!(h.graph.edges_to(&NodeRef::Policy(policy)).len(), 3);
}

#[test]
fn references_to_nothing_and_to_the_wrong_thing_are_kept_and_break_nothing() {
    let mut h = History::new();
    let intent = h.intent(terms(Some("t"), &["a"]));
    let start = TaskStart { depends_on: vec![id(50), intent], ..task_start(id(51), intent) };
    let task = h.start(TaskStart { replaces: Some(id(52)), ..start });
    h.progress(intent, ProgressState::Running, &["a"], &["x"]);
    h.done(id(53), 1, &["a"], &["y"]);
    h.say(1, Message::Negotiate(Negotiate::Withdraw(Withdraw { offer: task, reason: text("") })));
    let informed = h.targets(NodeRef::Task(task), Relation::WasInformedBy);
    assert_eq!(informed, [NodeRef::Task(id(50)), NodeRef::Intent(intent)]);
    let down = h.summary(Start::DataUri("a"), Direction::Down, None);
    assert_eq!(down.tasks, [id(53).to_string()]);
    assert_eq!(down.data, ["y"]);
    assert!(h.graph.workflow(None).critical_path().steps.is_empty());
    h.graph.fold(Position(u64::MAX), Time(i64::MAX), id(54), &h.events[0].3.clone());
    assert_eq!(h.graph.next_position(), Position(u64::MAX));
}

#[test]
fn the_same_history_gives_the_same_answers_even_where_an_event_comes_twice() {
    let mut h = History::new();
    let failed = h.task(Work { label: Some("b"), given: vec!["x"], ..Work::default() });
    h.failed(failed);
    let a = h.run("a", &["in"], &["x"]);
    let (label, given) = (Some("b"), vec!["x"]);
    let b = h.task(Work { label, given, depends_on: vec![a], replaces: Some(failed) });
    h.done(b, 20, &["x"], &["out"]);
    let mut twice = Graph::new();
    for (position, time, id, envelope) in &h.events {
        twice.fold(*position, *time, *id, envelope);
        twice.fold(*position, *time, *id, envelope);
    }
    for (position, time, id, envelope) in &h.events {
        twice.fold(*position, *time, *id, envelope);
    }
    let up = |graph: &Graph| graph.lineage(Start::DataUri("out"), Direction::Up, None);
    assert_eq!(up(&twice), up(&h.graph));
    assert_eq!(twice.workflow(None), h.graph.workflow(None));
    assert_eq!(twice.edge_count(), h.graph.edge_count());
    assert_eq!(twice.tasks_labelled("wf.task", "b"), [failed, b]);
    assert_eq!(twice.next_position(), Position(h.events.len() as u64));
}
