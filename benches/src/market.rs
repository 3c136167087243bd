//! Agents that trade: each advertises a capability, then all of them run workflows side by side.
//!
//! In a workflow one agent states an intent, two others make offers, the first starts a task on
//! the better one, and its provider accepts, reports progress and hands in a receipt: seven
//! envelopes by three signers. As many workflows as there are signers run at once, step by step,
//! so that neighbours in the log have different authors.
//!
//! Refusals, negotiation, delegation, retries and policies do not occur: this is the usual day.

use tally_protocol::message::{
    AdvertiseCapability, Candidate, CapabilityTerms, Deadlines, Evaluation, Intent, IntentTerms,
    Offer, Outcome, Privacy, ProgressState, Selection, Severity, TaskDone, TaskNotice,
    TaskProgress, TaskStart,
};
use tally_protocol::parts::{
    Comparison, Constraint, DataRef, Label, Measure, Name, Price, Resource, Text, Uri,
};
use tally_protocol::{
    AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Message, Origin, SignedEnvelope, Time,
    TraceId,
};

/// Fewer signers have no two providers for a third one's intent.
pub const FEWEST_SIGNERS: usize = 3;

/// No payload is shorter.
pub const SHORTEST_PAYLOAD: usize = 300;

/// No payload is longer.
pub const LONGEST_PAYLOAD: usize = 600;

/// When the first envelope was issued, by its author's clock: November 2023.
pub const START: Time = Time(1_700_000_000_000_000);

/// No deadline passes while anything is measured: the year 2100.
const DEADLINE: Time = Time(4_102_444_800_000_000);

/// An endless run of signed envelopes, each of which the rules admit after those before it.
pub struct Market {
    seed: u64,
    origin: Origin,
    agents: Vec<Agent>,
    flows: Vec<Flow>,
    wave: u64,
    step: Step,
    /// Whose workflow, or whose advertisement, comes next.
    turn: usize,
    issued: u64,
}

struct Agent {
    key: AgentKey,
    next: AuthorSequence,
    last: Option<EnvelopeId>,
    /// Its one capability, once it is advertised.
    capability: Option<EnvelopeId>,
}

/// What a workflow has come to.
#[derive(Clone, Copy)]
struct Flow {
    intent: EnvelopeId,
    offers: [EnvelopeId; 2],
    task: EnvelopeId,
    last: EnvelopeId,
}

const NOT_YET: EnvelopeId = EnvelopeId([0; 32]);

impl Flow {
    const NEW: Self = Self { intent: NOT_YET, offers: [NOT_YET; 2], task: NOT_YET, last: NOT_YET };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Advertise,
    Intend,
    OfferFirst,
    OfferSecond,
    Start,
    Accept,
    Report,
    Finish,
}

impl Step {
    /// What all agents or workflows do after they have all done this.
    fn next(self) -> Self {
        match self {
            Self::Advertise | Self::Finish => Self::Intend,
            Self::Intend => Self::OfferFirst,
            Self::OfferFirst => Self::OfferSecond,
            Self::OfferSecond => Self::Start,
            Self::Start => Self::Accept,
            Self::Accept => Self::Report,
            Self::Report => Self::Finish,
        }
    }
}

impl Market {
    /// A market of so many signers. The same seed gives the same envelopes, signatures included.
    ///
    /// # Panics
    /// With fewer than [`FEWEST_SIGNERS`].
    pub fn new(origin: Origin, signers: usize, seed: u64) -> Self {
        assert!(signers >= FEWEST_SIGNERS, "a workflow takes {FEWEST_SIGNERS} signers");
        let agent = |index| Agent {
            key: AgentKey::from_seed(&digest(seed, "key", index as u64).0),
            next: AuthorSequence(0),
            last: None,
            capability: None,
        };
        Self {
            seed,
            origin,
            agents: (0..signers).map(agent).collect(),
            flows: vec![Flow::NEW; signers],
            wave: 0,
            step: Step::Advertise,
            turn: 0,
            issued: 0,
        }
    }

    /// Signs the next so many envelopes.
    pub fn batch(&mut self, envelopes: usize) -> Vec<SignedEnvelope> {
        self.take(envelopes).collect()
    }

    fn advance(&mut self) {
        self.turn += 1;
        if self.turn < self.agents.len() {
            return;
        }
        self.turn = 0;
        if self.step == Step::Finish {
            self.wave += 1;
            self.flows.fill(Flow::NEW);
        }
        self.step = self.step.next();
    }

    /// The agent `steps` places on from the one whose turn it is.
    fn agent(&self, steps: usize) -> usize {
        (self.turn + steps) % self.agents.len()
    }

    /// A number that tells workflows apart.
    fn flow(&self) -> u64 {
        self.wave * self.agents.len() as u64 + self.turn as u64
    }

    /// Who says what now.
    fn message(&self) -> (usize, Message) {
        let flow = self.flow();
        let Flow { intent, offers, task, .. } = self.flows[self.turn];
        let offer = |by: usize, flow| {
            let capability = self.agents[by].capability.expect("all agents have advertised");
            (by, Message::Offer(offer(intent, capability, flow)))
        };
        match self.step {
            Step::Advertise => (self.turn, advertise(self.turn)),
            Step::Intend => (self.turn, self.intend(flow)),
            Step::OfferFirst => offer(self.agent(1), flow),
            Step::OfferSecond => offer(self.agent(2), flow + 7),
            Step::Start => (self.turn, start(intent, offers)),
            Step::Accept => (self.agent(1), self.progress(task, ProgressState::Accepted, 0)),
            Step::Report => (self.agent(1), self.progress(task, ProgressState::Running, 60)),
            Step::Finish => (self.agent(1), self.done(task, flow)),
        }
    }

    /// Keeps what later steps refer to.
    fn note(&mut self, id: EnvelopeId) {
        let flow = &mut self.flows[self.turn];
        match self.step {
            Step::Advertise => {
                self.agents[self.turn].capability = Some(id);
                return;
            }
            Step::Intend => flow.intent = id,
            Step::OfferFirst => flow.offers[0] = id,
            Step::OfferSecond => flow.offers[1] = id,
            Step::Start => flow.task = id,
            Step::Accept | Step::Report | Step::Finish => {}
        }
        flow.last = id;
    }

    fn sign(&mut self, author: usize, message: Message) -> SignedEnvelope {
        let in_workflow = self.step != Step::Advertise;
        let trace = digest(self.seed, "trace", self.flow());
        let trace_id = TraceId(trace.0[..16].try_into().expect("a digest is longer"));
        let before = self.flows[self.turn].last;
        let agent = &self.agents[author];
        let envelope = Envelope {
            origin: self.origin.clone(),
            author: agent.key.agent(),
            author_sequence: agent.next,
            previous: agent.last,
            issued_at_us: START.plus_us(10 * self.issued),
            trace_id: in_workflow.then_some(trace_id),
            causes: if before == NOT_YET { Vec::new() } else { vec![before] },
            message,
        };
        envelope.sign(&agent.key).expect("the market writes what can be read")
    }

    fn intend(&self, flow: u64) -> Message {
        Message::Intent(Intent::Open(IntentTerms {
            category: Some(name("document.ocr")),
            inputs: vec![self.data("input", flow)],
            constraints: vec![constraint("region", &["eu-central", "eu-north"])],
            priority: (flow % 5) as u32,
            deadline_us: Some(DEADLINE),
            utility_weights: vec![measure("price", 3, "1"), measure("duration", 1, "1")],
            privacy: Some(Privacy::Parties),
            selection: Some(Selection::ContractNet),
            labels: vec![label("project", "harbour"), label("shipment", &flow.to_string())],
            ..IntentTerms::new(text(&format!(
                "the pages of shipment {flow} as text, in reading order"
            )))
        }))
    }

    fn progress(&self, task: EnvelopeId, state: ProgressState, percent: u32) -> Message {
        let begun = state == ProgressState::Running;
        let notice = TaskNotice {
            severity: Severity::Info,
            code: name(if begun { "stage.layout.done" } else { "queue.entered" }),
            text: text("worker 3 of 8 has taken it on; two shipments are ahead of it"),
        };
        Message::TaskProgress(TaskProgress {
            percent,
            outputs: if begun { vec![self.data("layout", self.flow())] } else { Vec::new() },
            estimated_done_us: Some(DEADLINE),
            notices: vec![notice],
            ..TaskProgress::new(task, state)
        })
    }

    fn done(&self, task: EnvelopeId, flow: u64) -> Message {
        Message::TaskDone(TaskDone {
            started_at_us: Some(START),
            ended_at_us: Some(START.plus_us(10 * self.issued)),
            inputs: vec![self.data("input", flow)],
            outputs: vec![self.data("output", flow)],
            usage: vec![measure("cpu.time", 830_000 + flow as i64 % 10_000, "us")],
            ..TaskDone::new(task, Outcome::Succeeded)
        })
    }

    fn data(&self, what: &str, flow: u64) -> DataRef {
        DataRef {
            size: 40_000 + flow % 9_000,
            media_type: Some(name("application/json")),
            ..DataRef::new(
                Uri::new(format!("s3://harbour/{what}/{flow}")).expect("a short URI"),
                digest(self.seed, what, flow),
            )
        }
    }
}

impl Iterator for Market {
    type Item = SignedEnvelope;

    fn next(&mut self) -> Option<SignedEnvelope> {
        let (author, message) = self.message();
        let signed = self.sign(author, message);
        let id = signed.id();
        let agent = &mut self.agents[author];
        agent.next = agent.next.next();
        agent.last = Some(id);
        self.note(id);
        self.issued += 1;
        self.advance();
        Some(signed)
    }
}

fn advertise(owner: usize) -> Message {
    Message::AdvertiseCapability(AdvertiseCapability::Publish(CapabilityTerms {
        description: text(
            "Reads scanned pages in 40 languages; keeps tables, columns, footnotes and page numbers.",
        ),
        tags: vec![name("ocr"), name("tables")],
        constraints: vec![constraint("region", &["eu-central"])],
        resources: vec![resource("cpu.cores", 8)],
        performance: vec![measure("pages", 900, "min-1")],
        cost: Some(Price { amount: 12, currency: name("EUR") }),
        ..CapabilityTerms::new(name(&format!("ocr-{owner}")), name("document.ocr"))
    }))
}

fn offer(intent: EnvelopeId, capability: EnvelopeId, varied: u64) -> Offer {
    Offer {
        conditions: vec![constraint("region", &["eu-central"])],
        resources: vec![resource("cpu.cores", 1 + varied % 8)],
        estimated_duration_us: 60_000_000 + varied % 1_000_000,
        price: Some(Price { amount: 100 + varied % 50, currency: name("EUR") }),
        valid_until_us: Some(DEADLINE),
        ..Offer::new(intent, capability)
    }
}

fn start(intent: EnvelopeId, offers: [EnvelopeId; 2]) -> Message {
    let candidate = |offer, total| Candidate {
        scores: vec![measure("price", total, "1")],
        total,
        ..Candidate::new(offer)
    };
    Message::TaskStart(Box::new(TaskStart {
        parameters: vec![label("language", "de")],
        deadlines: Some(Deadlines {
            accept_by_us: None,
            start_by_us: None,
            done_by_us: Some(DEADLINE),
            heartbeat_us: 0,
        }),
        evaluation: Some(Evaluation {
            weights: vec![measure("price", 1, "1")],
            candidates: vec![candidate(offers[0], 90), candidate(offers[1], 70)],
            ..Evaluation::new(name("weighted-sum"))
        }),
        ..TaskStart::new(intent, offers[0], 1)
    }))
}

// ------------------------------------------------------------------ parts

fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

fn text(text: &str) -> Text {
    Text::new(text).expect("a short text")
}

fn label(key: &str, value: &str) -> Label {
    Label { key: name(key), value: text(value) }
}

fn measure(what: &str, value: i64, unit: &str) -> Measure {
    Measure { name: name(what), value, unit: Some(name(unit)) }
}

fn resource(what: &str, amount: u64) -> Resource {
    Resource { name: name(what), amount, unit: Some(name("1")) }
}

fn constraint(attribute: &str, values: &[&str]) -> Constraint {
    Constraint {
        attribute: name(attribute),
        comparison: Comparison::AnyOf,
        values: values.iter().map(|value| name(value)).collect(),
    }
}

fn digest(seed: u64, what: &str, number: u64) -> Digest {
    Digest::of(format!("{seed} {what} {number}").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Sequencer, origin, verified};

    #[test]
    fn the_same_seed_gives_the_same_envelopes() {
        let batch = |seed| Market::new(origin(), 16, seed).batch(500);
        assert_eq!(batch(1), batch(1));
        assert_ne!(batch(1), batch(2));
    }

    #[test]
    fn the_rules_admit_everything() {
        for signers in [FEWEST_SIGNERS, 16, 100] {
            // As many as make two waves of workflows and part of a third.
            let envelopes = verified(Market::new(origin(), signers, 7).batch(17 * signers));
            let plan = Sequencer::new().plan(&envelopes);
            assert_eq!(plan.group.expect("a group").events.len(), envelopes.len());
        }
    }

    #[test]
    fn payloads_are_as_long_as_is_said_and_all_signers_sign() {
        let envelopes = verified(Market::new(origin(), 16, 7).batch(2_000));
        let mut signers = BTreeSet::new();
        for envelope in &envelopes {
            let (kind, length) =
                (envelope.envelope().message.kind(), envelope.signed().payload.len());
            assert!((SHORTEST_PAYLOAD..=LONGEST_PAYLOAD).contains(&length), "{kind:?}: {length}");
            signers.insert(envelope.envelope().author);
        }
        assert_eq!(signers.len(), 16);
    }
}
