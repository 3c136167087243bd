//! Where, blame, keys, impact, difference and bottlenecks, on small histories made by hand; and on
//! histories of chance, impact against the plainest walk over edges.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tally_protocol::message::*;
use tally_protocol::{AgentId, Digest, EnvelopeId, Message, Position, Time, TraceId};
use tally_provenance::{
    Cause, Edge, Field, Impact, NodeRef, Relation, Role, Run, Signer, Start, Unanswered,
};

use crate::history::*;
use crate::time::act;

const BUYER: u8 = 1;
const SELLER: u8 = 2;
const DEPUTY: u8 = 3;
const AUDITOR: u8 = 4;
const OTHER: u8 = 5;

fn policy(h: &mut History, agent: u8, scope: PolicyScope, action: PolicyAction) -> EnvelopeId {
    let version = h.events.len() as u64;
    let text = tally_protocol::parts::Document::new("").expect("a document");
    let update = PolicyUpdate { text, ..PolicyUpdate::new(scope, name("care"), version, action) };
    h.say(agent, Message::PolicyUpdate(update))
}

fn claim(h: &mut History, agent: u8, about: ClaimSubject, expires_at: Option<i64>) -> EnvelopeId {
    let claim = Claim { expires_at_us: expires_at.map(Time), ..Claim::new(about, name("skill")) };
    h.say(agent, Message::Attest(Attest::Claim(claim)))
}

/// Capability, intent, offer, start by the deputy, receipt: who takes part in one task.
struct Affair {
    h: History,
    capability: EnvelopeId,
    intent: EnvelopeId,
    offer: EnvelopeId,
    task: EnvelopeId,
    receipt: EnvelopeId,
    policy: EnvelopeId,
    delegation: EnvelopeId,
    good_claim: EnvelopeId,
}

fn affair() -> Affair {
    let mut h = History::new();
    let (buyer, seller, deputy) = (h.agent(BUYER), h.agent(SELLER), h.agent(DEPUTY));
    let capability = h.capability(SELLER);
    let ended = policy(&mut h, BUYER, PolicyScope::Agent(buyer), PolicyAction::Activate);
    let policy = policy(&mut h, BUYER, PolicyScope::Agent(buyer), PolicyAction::Amend);
    let good_claim = claim(&mut h, AUDITOR, ClaimSubject::Agent(seller), None);
    claim(&mut h, OTHER, ClaimSubject::Agent(seller), Some(1)); // Over when it matters.
    let revoked = claim(&mut h, OTHER, ClaimSubject::Envelope(capability), None);
    let revoke = Revocation { attestation: revoked, reason: text("") };
    h.say(OTHER, Message::Attest(Attest::Revoke(revoke)));
    let intent = h.intent(terms(Some("t"), &["in"]));
    let offer = h.offer(SELLER, offer(intent, capability));
    let delegation = h.say(BUYER, Message::Attest(Attest::Delegate(Delegation::new(deputy))));
    let task = h.say(DEPUTY, Message::TaskStart(Box::new(task_start(intent, offer))));
    let receipt = h.done(task, 7, &["in"], &["out"]);
    claim(&mut h, OTHER, ClaimSubject::Agent(seller), None); // Too late to have been relied on.
    assert_ne!(ended, policy);
    Affair { h, capability, intent, offer, task, receipt, policy, delegation, good_claim }
}

/// Who signed what as what, without the positions.
fn signatures(signers: &[Signer]) -> BTreeSet<(AgentId, Role, NodeRef)> {
    let of = |signer: &Signer| {
        let agent = signer.agent;
        signer.signed.iter().map(move |s| (agent, s.role, s.object.clone())).collect::<Vec<_>>()
    };
    signers.iter().flat_map(of).collect()
}

#[test]
fn blame_names_everybody_who_led_there_with_role_and_event() {
    let mut a = affair();
    let [buyer, seller, deputy, auditor] =
        [BUYER, SELLER, DEPUTY, AUDITOR].map(|agent| a.h.agent(agent));
    let blame = a.h.graph.head().blame(&Start::DataUri("out")).expect("known");
    let expected = BTreeSet::from([
        (buyer, Role::Principal, NodeRef::Intent(a.intent)),
        (buyer, Role::Supplier, data("in")),
        (buyer, Role::Delegator, NodeRef::Attestation(a.delegation)),
        (buyer, Role::PolicyOwner, NodeRef::Policy(a.policy)),
        (deputy, Role::Initiator, NodeRef::Task(a.task)),
        (seller, Role::Provider, NodeRef::Capability(a.capability)),
        (seller, Role::Provider, NodeRef::Offer(a.offer)),
        (seller, Role::Executor, NodeRef::Receipt(a.receipt)),
        (auditor, Role::Attester, NodeRef::Attestation(a.good_claim)),
    ]);
    assert_eq!(signatures(&blame.signers), expected);
    for signature in blame.signers.iter().flat_map(|signer| &signer.signed) {
        let event = &a.h.events[signature.position.0 as usize];
        let id = match &signature.object {
            NodeRef::Data { .. } => a.intent,
            NodeRef::Intent(id) | NodeRef::Task(id) | NodeRef::Capability(id) => *id,
            NodeRef::Offer(id) | NodeRef::Receipt(id) | NodeRef::Policy(id) => *id,
            NodeRef::Attestation(id) => *id,
            other => panic!("{other}"),
        };
        assert_eq!(event.2, id, "{signature:?}");
    }
    let policies: Vec<_> = blame.policies.iter().map(|p| (p.id, p.tasks.clone())).collect();
    assert_eq!(policies, [(a.policy, vec![a.task])], "the version in force, and no other");
}

#[test]
fn blame_goes_up_through_failed_attempts_and_keys_do_not() {
    let mut h = History::new();
    let failed = h.task(Work { label: Some("a"), given: vec!["in"], ..Work::default() });
    h.failed(failed);
    let intent = h.intent(terms(Some("a"), &["in"]));
    let offered = h.offer(OTHER, offer(intent, id(200)));
    let again = h.start(TaskStart { replaces: Some(failed), ..task_start(intent, offered) });
    h.say(OTHER, Message::TaskDone(TaskDone { outputs: data_refs(&["x"]), ..receipt(again) }));
    h.run("b", &["x"], &["out"]);
    let [seller, other] = [SELLER, OTHER].map(|agent| h.agent(agent));
    let executors = |signers: &[Signer]| -> BTreeSet<AgentId> {
        let all = signatures(signers).into_iter();
        all.filter(|(_, role, _)| *role == Role::Executor).map(|(agent, ..)| agent).collect()
    };
    let blame = h.graph.head().blame(&Start::TaskLabel("a")).expect("known");
    assert_eq!(executors(&blame.signers), [seller, other].into());
    let keys = h.graph.head().keys(&Start::TaskLabel("a")).expect("known");
    assert_eq!(executors(&keys.keys), [other].into());
    assert!(!keys.has_alternatives);
}

#[test]
fn keys_follow_a_rotation_back_and_leave_policies_out() {
    let mut a = affair();
    let (old, new) = (a.h.agent(SELLER), a.h.agent(OTHER));
    let rotate = KeyRotation { successor: new, reason: text("") };
    let rotation = a.h.say(SELLER, Message::Attest(Attest::RotateKey(rotate)));
    let intent = a.h.intent(terms(Some("next"), &["out"]));
    let offered = a.h.offer(OTHER, offer(intent, a.capability));
    let task = a.h.start(task_start(intent, offered));
    let outputs = data_refs(&["chart"]);
    let done = TaskDone { outputs, inputs: data_refs(&["out"]), ..receipt(task) };
    let receipt = a.h.say(OTHER, Message::TaskDone(done));
    let keys = a.h.graph.head().keys(&Start::DataUri("chart")).expect("known");
    let all = signatures(&keys.keys);
    assert!(all.contains(&(old, Role::Predecessor, NodeRef::Attestation(rotation))), "{all:?}");
    assert!(all.contains(&(new, Role::Executor, NodeRef::Receipt(receipt))));
    assert!(all.contains(&(old, Role::Executor, NodeRef::Receipt(a.receipt))));
    assert!(all.iter().all(|(_, role, _)| *role != Role::PolicyOwner));
    let alone = a.h.graph.head().keys(&Start::DataUri("in")).expect("known");
    let buyer = a.h.agent(BUYER);
    assert_eq!(signatures(&alone.keys), [(buyer, Role::Supplier, data("in"))].into());
}

#[test]
fn where_lists_every_field_that_names_data_and_other_places_of_it() {
    let mut h = History::new();
    let task = h.task(Work { label: Some("t"), given: vec!["a", "b"], ..Work::default() });
    let mut copy = data_ref("copy of b");
    copy.digest = Digest::of(b"b");
    let done = TaskDone { inputs: data_refs(&["a", "b"]), outputs: vec![copy], ..receipt(task) };
    let receipt = h.say(SELLER, Message::TaskDone(done));
    let found = h.graph.head().whereabouts(&Start::DataUri("b")).expect("known");
    assert_eq!(found.data.len(), 1);
    let place = &found.data[0];
    assert_eq!(place.also_at, ["copy of b"]);
    assert!(place.made_by.is_empty());
    let mentions: Vec<_> =
        place.mentions.iter().map(|m| (m.position.0, m.field, m.index, m.author)).collect();
    let (buyer, seller) = (h.agent(BUYER), h.agent(SELLER));
    let expected = [(0, Field::IntentInputs, 1, buyer), (3, Field::ReceiptInputs, 1, seller)];
    assert_eq!(mentions, expected);
    assert_eq!(place.mentions[1].object, receipt);
    let copy = h.graph.head().whereabouts(&Start::DataUri("copy of b")).expect("known");
    assert_eq!(copy.data[0].also_at, ["b"]);
    assert_eq!(copy.data[0].made_by[0].task.id, task);
    assert_eq!(copy.data[0].made_by[0].said_at, Position(3));
    assert_eq!(copy.data[0].mentions[0].field.name(), "task_done.outputs");
    let asked = h.graph.head().whereabouts(&Start::TaskLabel("t"));
    assert_eq!(asked, Err(Unanswered::NotData(NodeRef::Task(task))));
}

fn tasks(impact: &Impact) -> Vec<(EnvelopeId, bool)> {
    impact.tasks.iter().map(|task| (task.task.id, task.live)).collect()
}

fn uris(impact: &Impact) -> Vec<&str> {
    impact.data.iter().map(|data| data.uri.as_str()).collect()
}

#[test]
fn impact_of_data_marks_what_runs_and_what_is_on_offer() {
    let mut h = History::new();
    let a = h.run("a", &["in"], &["x"]);
    let live = h.task(Work { label: Some("b"), given: vec!["x"], ..Work::default() });
    h.run("apart", &["else"], &["z"]);
    let next = h.intent(terms(Some("c"), &["x"]));
    let open = h.offer(SELLER, offer(next, id(200)));
    let declined = h.offer(OTHER, offer(next, id(200)));
    let decline = Decline { offer: declined, reason: text("") };
    h.say(BUYER, Message::Negotiate(Negotiate::Decline(decline)));
    let lapsed = Offer { valid_until_us: Some(Time(1)), ..offer(next, id(200)) };
    h.offer(OTHER, lapsed);
    let impact = h.graph.head().impact(&Cause::Flow(Start::DataUri("in"))).expect("known");
    assert_eq!(tasks(&impact), [(a, false), (live, true)]);
    assert_eq!(uris(&impact), ["x"]);
    assert_eq!(impact.receipts.iter().map(|r| r.task).collect::<Vec<_>>(), [a]);
    assert_eq!(impact.offers.iter().map(|offer| offer.id).collect::<Vec<_>>(), [open]);
}

#[test]
fn impact_of_a_key_begins_at_a_position() {
    let mut h = History::new();
    let before = h.run("before", &["a"], &["x"]);
    let running = h.task(Work { label: Some("running"), given: vec!["b"], ..Work::default() });
    let from = Position(h.events.len() as u64);
    h.done(running, 1, &["b"], &["y"]);
    let after = h.run("after", &["y"], &["z"]);
    let seller = h.agent(SELLER);
    let impact = h.graph.head().impact(&Cause::Key(seller, from)).expect("known");
    assert_eq!(tasks(&impact), [(running, false), (after, false)]);
    assert_eq!(uris(&impact), ["y", "z"]);
    let all = h.graph.head().impact(&Cause::Agent(seller, Position(0))).expect("known");
    assert_eq!(tasks(&all), [(before, false), (running, false), (after, false)]);
    // Another key of the same agent.
    let next = h.agent(OTHER);
    let rotation = KeyRotation { successor: next, reason: text("") };
    h.say(SELLER, Message::Attest(Attest::RotateKey(rotation)));
    let by_agent = h.graph.head().impact(&Cause::Agent(next, Position(0))).expect("known");
    assert_eq!(tasks(&by_agent), tasks(&all));
    let by_key = h.graph.head().impact(&Cause::Key(next, Position(0))).expect("known");
    assert_eq!(tasks(&by_key), []);
    let stranger = h.agent(9);
    let unknown = h.graph.head().impact(&Cause::Key(stranger, Position(0)));
    assert_eq!(unknown, Err(Unanswered::Agent(stranger)));
}

#[test]
fn impact_of_a_policy_is_what_began_while_it_was_in_force() {
    let mut h = History::new();
    let buyer = h.agent(BUYER);
    h.run("before", &["a"], &["x"]);
    let first = policy(&mut h, BUYER, PolicyScope::Agent(buyer), PolicyAction::Activate);
    let during = h.run("during", &["b"], &["y"]);
    let second = policy(&mut h, BUYER, PolicyScope::Agent(buyer), PolicyAction::Amend);
    let after = h.task(Work { label: Some("after"), given: vec!["c"], ..Work::default() });
    let of = |policy| h.graph.head().impact(&Cause::Policy(policy)).expect("known");
    assert_eq!((tasks(&of(first)), uris(&of(first))), (vec![(during, false)], vec!["y"]));
    assert_eq!(tasks(&of(second)), [(after, true)]);
    let unknown = h.graph.head().impact(&Cause::Policy(during));
    assert_eq!(unknown, Err(Unanswered::Node(NodeRef::Policy(during))));
}

#[test]
fn the_difference_of_two_runs_is_told_by_task() {
    let mut h = History::new();
    let second_trace = TraceId([8; 16]);
    h.run("same", &["in"], &["x"]);
    h.run("changed", &["x"], &["y"]);
    let gone = h.run("gone", &["y"], &["z"]);
    h.trace = Some(second_trace);
    h.run("same", &["in"], &["x"]);
    let failed = h.task(Work { label: Some("changed"), ..Work::default() });
    h.failed(failed);
    let intent = h.intent(terms(Some("changed"), &["x"]));
    let offered = h.offer(OTHER, offer(intent, id(200)));
    let other = h.start(TaskStart { attempt: 2, ..task_start(intent, offered) });
    h.say(OTHER, Message::TaskDone(TaskDone { outputs: data_refs(&["v"]), ..receipt(other) }));
    let new = h.run("new", &[], &[]);
    let view = h.graph.head();
    let runs = [Run::Trace(TRACE), Run::Trace(second_trace)];
    let difference = view.difference(&runs[0], &runs[1]).expect("known");
    let only = |entries: &[tally_provenance::RunEntry]| -> Vec<EnvelopeId> {
        entries.iter().map(|entry| entry.task.id).collect()
    };
    assert_eq!(only(&difference.only_first), [gone]);
    assert_eq!(only(&difference.only_second), [new]);
    assert_eq!(difference.same.len(), 1);
    assert_eq!(difference.changed.len(), 1);
    let change = &difference.changed[0];
    assert!(change.executor && change.attempts && !change.outcome);
    assert_eq!((change.second.task.id, change.second.attempts), (other, 2));
    assert!(change.inputs_first.is_empty() && change.inputs_second.is_empty());
    assert_eq!(change.outputs_first[0].uri, "y");
    assert_eq!(change.outputs_second[0].uri, "v");
    assert_eq!((change.first.duration_us, change.second.duration_us), (Some(100), Some(0)));
    let itself = view.difference(&runs[0], &runs[0]).expect("known");
    assert_eq!((itself.changed.len(), itself.same.len()), (0, 3));
    // Two tasks are compared whatever they are called.
    let tasks = view.difference(&Run::Part(gone), &Run::Part(new)).expect("known");
    assert_eq!(tasks.changed.len(), 1);
    let unknown = view.difference(&runs[0], &Run::Part(id(77)));
    assert_eq!(unknown, Err(Unanswered::Run(id(77))));
}

#[test]
fn bottlenecks_tell_waiting_from_running_by_task_agent_and_capability() {
    let mut h = History::new();
    let capability = h.capability(SELLER); // At 0; time is ten times the position.
    let intent = h.intent(terms(Some("slow"), &[])); // 10
    let offered = h.offer(SELLER, offer(intent, capability)); // 20
    let slow = h.start(task_start(intent, offered)); // 30
    let quick = h.task(Work { label: Some("quick"), ..Work::default() }); // 40 to 60
    h.progress(quick, ProgressState::Running, &[], &[]); // 70
    h.progress(slow, ProgressState::Running, &[], &[]); // 80
    h.failed(slow); // 90
    h.done(quick, 500, &[], &["x"]); // 100
    let found = h.graph.head().bottlenecks(&Run::Trace(TRACE)).expect("known");
    let times: Vec<_> = found
        .tasks
        .iter()
        .map(|t| (t.id, t.times.award_us, t.times.wait_us, t.times.run_us, t.times.stated_us))
        .collect();
    assert_eq!(times, [(slow, 20, 50, 10, 0), (quick, 20, 10, 30, 500)]);
    assert_eq!(found.agents.len(), 1);
    let load = &found.agents[0];
    assert_eq!((load.attempts, load.failed, load.times.wait_us, load.times.run_us), (2, 1, 60, 40));
    let named: Vec<_> =
        found.capabilities.iter().map(|load| (load.name.as_deref(), load.times.wait_us)).collect();
    assert_eq!(named, [(Some("align"), 50), (None, 10)]);
    assert_eq!(found.critical_path.total_us, 500);
    assert!(found.tasks[1].is_critical && !found.tasks[0].is_critical);
    let of_task = h.graph.head().bottlenecks(&Run::Part(slow)).expect("known");
    assert_eq!(of_task, found, "the workflow of the task's trace");
}

#[test]
fn answers_read_back_from_json() {
    fn check<T>(answer: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let json = serde_json::to_string(answer).expect("JSON");
        assert_eq!(&serde_json::from_str::<T>(&json).expect("reads back"), answer, "{json}");
    }
    let a = affair();
    let (view, out) = (a.h.graph.head(), Start::DataUri("out"));
    check(&view.why(&out).expect("known"));
    check(&view.whereabouts(&out).expect("known"));
    check(&view.blame(&out).expect("known"));
    check(&view.keys(&out).expect("known"));
    check(&view.impact(&Cause::Flow(Start::DataUri("in"))).expect("known"));
    check(&view.difference(&Run::Trace(TRACE), &Run::Part(a.task)).expect("known"));
    check(&view.bottlenecks(&Run::Trace(TRACE)).expect("known"));
}

proptest! {
    #[test]
    fn impact_of_data_is_all_that_edges_lead_to(acts in prop::collection::vec(act(), 1..=24)) {
        let mut h = History::new();
        acts.iter().for_each(|act| act.play(&mut h));
        let view = h.graph.head();
        let is_flow = |edge: &Edge| {
            let flow = [Relation::Used, Relation::WasGeneratedBy, Relation::WasInformedBy];
            let later = matches!(&edge.from, NodeRef::Task(_) | NodeRef::Data { .. });
            flow.contains(&edge.relation) && later
        };
        for (_, _, id, _) in &h.events {
            let start = Start::Node(NodeRef::Task(*id));
            let Ok(impact) = view.impact(&Cause::Flow(start)) else { continue };
            // The task and its other attempts.
            let begun: BTreeSet<NodeRef> = impact.cause.iter().cloned().collect();
            let (mut reached, mut open) = (begun.clone(), impact.cause.clone());
            while let Some(node) = open.pop() {
                let next = view.edges_to(&node).into_iter().filter(is_flow).map(|edge| edge.from);
                open.extend(next.filter(|node| reached.insert(node.clone())));
            }
            let tasks = impact.tasks.iter().map(|task| NodeRef::Task(task.task.id));
            let data = impact.data.iter().map(|data| NodeRef::from(data.clone()));
            let found: BTreeSet<NodeRef> = tasks.chain(data).collect();
            let expected: BTreeSet<NodeRef> = reached.difference(&begun).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
