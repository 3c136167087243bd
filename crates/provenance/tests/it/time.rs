//! A view of an earlier size answers what a graph answers that was folded only so far: every
//! question, of every size, over histories of chance in which messages also name what is not there,
//! comes later, or is of another kind.

use std::fmt::Write as _;

use proptest::prelude::*;
use tally_protocol::message::*;
use tally_protocol::parts::{DataRef, Document, Uri};
use tally_protocol::{
    AgentId, AsOf, Digest, EnvelopeId, Message, Position, Time, TraceId, TreeSize,
};
use tally_provenance::{
    Cause, Class, Direction, Filter, Graph, LineageQuestion, NodeRef, Only, Run, Start, Unanswered,
    View,
};

use crate::history::*;

pub(crate) const AGENTS: u8 = 3;
const FILES: u8 = 4;
const LABELS: u8 = 2;

/// What is said, with numbers for what it names.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) kind: u8,
    pub(crate) agent: u8,
    /// Envelopes, by number; some were not said yet.
    pub(crate) of: [u8; 3],
    pub(crate) files: [u8; 3],
    pub(crate) more: u8,
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let of = prop::array::uniform3(any::<u8>());
    let files = prop::array::uniform3(0..2 * FILES);
    (0..17_u8, 0..AGENTS, of, files, any::<u8>()).prop_map(|(kind, agent, of, files, more)| Act {
        kind,
        agent,
        of,
        files,
        more,
    })
}

/// Mostly one digest of a URI, sometimes another; URIs share some digests.
fn file(number: u8) -> DataRef {
    let (uri, other) = (number % FILES, number / FILES);
    let contents = format!("contents {}", if other == 0 { uri } else { 1 });
    let uri = Uri::new(format!("file-{uri}")).expect("a URI");
    DataRef::new(uri, Digest::of(contents.as_bytes()))
}

impl Act {
    fn envelope(&self, h: &History, which: usize) -> EnvelopeId {
        let known = h.events.len() as u64;
        let picked = u64::from(self.of[which]) % (known + 2);
        match h.events.get(picked as usize) {
            Some((_, _, id, _)) => *id,
            None => h.next_id(picked - known + 1),
        }
    }

    fn pick(&self, h: &History, which: usize, is_wanted: fn(&Message) -> bool) -> EnvelopeId {
        let wanted: Vec<EnvelopeId> =
            h.events.iter().filter(|e| is_wanted(&e.3.message)).map(|e| e.2).collect();
        match (self.more % 8, wanted.len()) {
            (0, _) | (_, 0) => self.envelope(h, which),
            (_, len) => wanted[usize::from(self.of[which]) % len],
        }
    }

    fn task(&self, h: &History, which: usize) -> EnvelopeId {
        self.pick(h, which, |message| matches!(message, Message::TaskStart(_)))
    }

    fn files(&self, most: usize) -> Vec<DataRef> {
        let count = usize::from(self.more / 8) % (most + 1);
        self.files[..count].iter().map(|&number| file(number)).collect()
    }

    pub(crate) fn play(&self, h: &mut History) {
        h.trace = match self.more % 4 {
            0 => None,
            1 => Some(TraceId([9; 16])),
            _ => Some(TRACE),
        };
        let message = self.message(h);
        h.say(self.agent, message);
    }

    fn message(&self, h: &mut History) -> Message {
        let odd = self.more.is_multiple_of(2);
        let intent = self.pick(h, 0, |message| matches!(message, Message::Intent(_)));
        let offer = self.pick(h, 1, |message| matches!(message, Message::Offer(_)));
        let capability =
            self.pick(h, 1, |message| matches!(message, Message::AdvertiseCapability(_)));
        let policy = self.pick(h, 2, |message| matches!(message, Message::PolicyUpdate(_)));
        let named = if odd { std::slice::from_ref(&policy) } else { &[] };
        let other = h.agent((self.agent + 1 + self.of[0] % 2) % AGENTS);
        let label = format!("t{}", self.of[2] % LABELS);
        let terms = IntentTerms {
            inputs: self.files(2),
            policies: policies(named),
            ..terms((!self.more.is_multiple_of(3)).then_some(label.as_str()), &[])
        };
        match self.kind {
            0 => Message::AdvertiseCapability(AdvertiseCapability::Publish(CapabilityTerms {
                policies: policies(named),
                ..capability_terms()
            })),
            1 | 2 => Message::Intent(Intent::Open(terms)),
            3 => Message::Intent(Intent::Revise(IntentRevision { intent, terms })),
            4 => Message::Intent(Intent::Cancel(IntentCancellation { intent, reason: text("") })),
            5 | 6 => Message::Offer(Offer {
                replaces: odd.then_some(offer),
                valid_until_us: odd.then_some(Time(i64::from(self.more))),
                ..Offer::new(intent, capability)
            }),
            7 => Message::Negotiate(Negotiate::Decline(Decline { offer, reason: text("") })),
            8 => Message::Negotiate(Negotiate::Withdraw(Withdraw { offer, reason: text("") })),
            9 | 10 => self.start(h, offer),
            11 => Message::TaskProgress(TaskProgress {
                inputs: self.files(1),
                outputs: self.files(2),
                depends_on: if odd { vec![self.task(h, 2)] } else { vec![] },
                ..TaskProgress::new(
                    self.task(h, 0),
                    if odd { ProgressState::Accepted } else { ProgressState::Running },
                )
            }),
            12 | 13 => Message::TaskDone(TaskDone {
                inputs: self.files(1),
                outputs: self.files(3),
                started_at_us: Some(Time(0)),
                ended_at_us: Some(Time(i64::from(self.of[1]))),
                ..TaskDone::new(
                    self.task(h, 0),
                    if self.of[2].is_multiple_of(3) { Outcome::Failed } else { Outcome::Succeeded },
                )
            }),
            14 => self.attest(h, other),
            15 => Message::Attest(Attest::RotateKey(KeyRotation {
                successor: other,
                reason: text(""),
            })),
            _ => self.policy(h, (intent, capability)),
        }
    }

    fn start(&self, h: &History, offer: EnvelopeId) -> Message {
        let intent = h.events.iter().find_map(|(_, _, id, envelope)| match &envelope.message {
            Message::Offer(terms) if *id == offer => Some(terms.intent),
            _ => None,
        });
        let intent = intent.unwrap_or_else(|| self.envelope(h, 0));
        Message::TaskStart(Box::new(TaskStart {
            depends_on: if self.more.is_multiple_of(5) { vec![self.task(h, 2)] } else { vec![] },
            replaces: (self.more % 5 == 1).then(|| self.task(h, 2)),
            ..TaskStart::new(intent, offer, 1)
        }))
    }

    fn attest(&self, h: &mut History, other: AgentId) -> Message {
        let envelope = self.envelope(h, 1);
        Message::Attest(match self.of[0] % 5 {
            0 => Attest::Delegate(Delegation {
                intent: self.more.is_multiple_of(2).then_some(envelope),
                expires_at_us: self.more.is_multiple_of(4).then_some(Time(i64::from(self.more))),
                ..Delegation::new(other)
            }),
            1 => Attest::Revoke(Revocation { attestation: envelope, reason: text("") }),
            2 => Attest::RevokeKey(KeyRevocation { reason: text("") }),
            3 => Attest::Claim(Claim {
                evidence: self.files(2),
                ..Claim::new(ClaimSubject::Envelope(envelope), name("quality"))
            }),
            _ => Attest::Claim(Claim {
                expires_at_us: self.more.is_multiple_of(4).then_some(Time(i64::from(self.more))),
                ..Claim::new(ClaimSubject::Agent(other), name("certification"))
            }),
        })
    }

    fn policy(&self, h: &mut History, of: (EnvelopeId, EnvelopeId)) -> Message {
        let scope = match self.of[1] % 3 {
            0 => PolicyScope::Agent(h.agent(self.agent)),
            1 => PolicyScope::Intent(of.0),
            _ => PolicyScope::Capability(of.1),
        };
        let action =
            if self.of[0].is_multiple_of(4) { PolicyAction::Revoke } else { PolicyAction::Amend };
        let text = Document::new("").expect("a document");
        Message::PolicyUpdate(PolicyUpdate {
            text,
            ..PolicyUpdate::new(scope, name("care"), u64::from(self.more), action)
        })
    }
}

/// Every question about everything that the whole history names, with its answer.
pub(crate) fn answers(view: View<'_>, h: &History, agents: &[AgentId]) -> String {
    let mut all = String::new();
    let mut say = |question: &str, answer: &dyn std::fmt::Debug| {
        writeln!(all, "{question}: {answer:?}").expect("a string grows");
    };
    say("nodes", &(view.node_count(), view.edge_count(), view.recorded_at()));
    for trace in [None, Some(TRACE), Some(TraceId([9; 16]))] {
        let workflow = view.workflow(trace);
        say("workflow", &(workflow.critical_path(), workflow.to_dot(), workflow));
        let run = Run::Trace(trace.unwrap_or(TraceId([1; 16])));
        say("bottlenecks", &view.bottlenecks(&run));
        say("difference", &view.difference(&run, &Run::Trace(TRACE)));
    }
    for label in 0..LABELS {
        let label = format!("t{label}");
        say("labelled", &view.tasks_labelled("wf.task", &label));
        flow_answers(view, &Start::TaskLabel(&label), &mut say);
    }
    for number in 0..2 * FILES {
        let DataRef { uri, digest, .. } = file(number);
        flow_answers(view, &Start::DataUri(uri.as_str()), &mut say);
        let node = NodeRef::Data { uri: uri.to_string(), digest };
        flow_answers(view, &Start::Node(node), &mut say);
    }
    for &agent in agents {
        for from in [0, 4, 9] {
            say("agent", &view.impact(&Cause::Agent(agent, Position(from))));
            say("key", &view.impact(&Cause::Key(agent, Position(from))));
        }
        say("edges", &view.edges_to(&NodeRef::Agent(agent)));
    }
    for (_, _, id, _) in &h.events {
        flow_answers(view, &Start::Node(NodeRef::Task(*id)), &mut say);
        say("policy", &view.impact(&Cause::Policy(*id)));
        say("workflow of", &view.workflow_of(*id));
        say("part", &view.difference(&Run::Part(*id), &Run::Part(h.events[0].2)));
        say("part", &view.bottlenecks(&Run::Part(*id)));
        for node in [NodeRef::Intent(*id), NodeRef::Offer(*id), NodeRef::Message(*id)] {
            say("edges", &(view.edges_from(&node), view.edges_to(&node)));
        }
    }
    all
}

fn flow_answers(
    view: View<'_>,
    start: &Start<'_>,
    say: &mut impl FnMut(&str, &dyn std::fmt::Debug),
) {
    let filters = [
        Filter::default(),
        Filter { only: Some(Only::Data), ..Filter::default() },
        Filter { label: Some(("wf.task".into(), "t1".into())), ..Filter::default() },
        Filter { classes: [Class::Asserted].into(), ..Filter::default() },
        Filter { uri_prefix: Some("file-1".into()), ..Filter::default() },
    ];
    for direction in [Direction::Up, Direction::Down] {
        for filter in &filters {
            for depth in [None, Some(2)] {
                let question = LineageQuestion { direction, depth, filter: filter.clone() };
                say("lineage", &view.lineage(start.clone(), &question));
            }
        }
    }
    say("why", &view.why(start));
    say("where", &view.whereabouts(start));
    say("blame", &view.blame(start));
    say("keys", &view.keys(start));
    say("impact", &view.impact(&Cause::Flow(start.clone())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_view_is_the_graph_folded_so_far(acts in prop::collection::vec(act(), 1..=24)) {
        let mut h = History::new();
        acts.iter().for_each(|act| act.play(&mut h));
        let agents: Vec<AgentId> = (0..AGENTS).map(|agent| h.agent(agent)).collect();
        let mut folded = Graph::new();
        for size in 0..=h.events.len() {
            let view = h.graph.at(TreeSize::new(size as u64)).expect("not beyond the head");
            let (seen, whole) = (answers(view, &h, &agents), answers(folded.head(), &h, &agents));
            if seen != whole {
                let differs = seen.lines().zip(whole.lines()).find(|(one, other)| one != other);
                prop_assert!(false, "as of {size}: {differs:#?}");
            }
            if let Some((position, time, id, envelope)) = h.events.get(size) {
                folded.fold(*position, *time, *id, envelope);
            }
        }
    }
}

#[test]
fn a_moment_is_a_size_or_a_time_and_never_beyond_the_head() {
    let mut h = History::new();
    h.run("a", &["in"], &["out"]);
    // Recorded at 0, 10, 20 and 30.
    let size = |moment| h.graph.as_of(moment).map(|view| view.size().as_u64());
    for (time, events) in [(-1, 0), (0, 1), (9, 1), (10, 2), (30, 4), (1_000, 4)] {
        assert_eq!(size(AsOf::Time(Time(time))), Ok(events), "{time}");
    }
    assert_eq!(size(AsOf::Size(TreeSize::new(4))), Ok(4));
    let (size_5, head) = (TreeSize::new(5), TreeSize::new(4));
    assert_eq!(size(AsOf::Size(size_5)), Err(Unanswered::Beyond { size: size_5, head }));
    let before = h.graph.at(TreeSize::new(3)).expect("a view");
    let unknown = before.lineage(Start::DataUri("out"), &LineageQuestion::new(Direction::Up));
    assert_eq!(unknown, Err(Unanswered::DataUri("out".into())));
    assert!(before.workflow(None).tasks()[0].outcome.is_none());
}

#[test]
fn an_answer_keeps_to_its_limit() {
    let mut h = History::new();
    for step in 0..20 {
        let (from, to) = (format!("x{step}"), format!("x{}", step + 1));
        h.run(&format!("t{step}"), &[&from], &[&to]);
    }
    let question = LineageQuestion::new(Direction::Up);
    let ask = |limit| h.graph.head().limited_to(limit).lineage(Start::DataUri("x20"), &question);
    assert!(ask(40).is_ok());
    assert_eq!(ask(39), Err(Unanswered::TooLarge { limit: 39 }));
    let start = Start::DataUri("x20");
    let view = h.graph.head().limited_to(39);
    assert!(matches!(view.why(&start), Err(Unanswered::TooLarge { .. })));
    assert!(matches!(view.blame(&start), Err(Unanswered::TooLarge { .. })));
    let start = Cause::Flow(Start::DataUri("x0"));
    assert!(matches!(view.impact(&start), Err(Unanswered::TooLarge { .. })));
}
