//! How events become rows: the rules and the graph fold them, and what changed is written down.
//!
//! The state of the rules is in memory only. Whoever goes on from a cursor folds the events before
//! it once more, without writing their rows again; see [`Tables::fold`](crate::Tables::fold).

use std::collections::HashMap;

use tally_coordination::{Change, Put, State, admit};
use tally_protocol::message::{
    AdvertiseCapability, Attest, Intent, Negotiate, Observe, PolicyScope,
};
use tally_protocol::parts::{DataRef, Label};
use tally_protocol::{AgentId, EnvelopeId, Event, Message, Origin, ParsedEnvelope, Position, Time};
use tally_provenance::Graph;

use crate::cell::Json;
use crate::error::FoldError;
use crate::rows::{
    AGENTS, ATTESTATIONS, About, AgentRow, CAPABILITIES, Concluded, DATA, EDGES, EVENTS, EventRow,
    FINDINGS, INTENTS, LABELS, Labelled, Named, OFFERS, POLICIES, PROGRESS, PolicyRow, RECEIPTS,
    Said, TASKS,
};
use crate::schema::Row;

/// What the log has come to, as far as new rows need it.
pub(crate) struct Folds {
    state: State,
    graph: Graph,
    /// Keys that have signed, with their first event.
    first: HashMap<AgentId, (Position, Time)>,
    /// The keys of an agent by its first one, when there are several.
    keys: HashMap<AgentId, Vec<AgentId>>,
}

impl Folds {
    pub(crate) fn new(origin: Origin) -> Self {
        let (first, keys) = (HashMap::new(), HashMap::new());
        Self { state: State::new(origin), graph: Graph::new(), first, keys }
    }

    /// The event that is folded next.
    pub(crate) fn next(&self) -> Position {
        self.state.next_position()
    }

    /// Takes an event in without making its rows.
    pub(crate) fn pass(&mut self, event: &Event, parsed: &ParsedEnvelope) -> Result<(), FoldError> {
        let change = self.admit(event, parsed)?;
        self.take(event, parsed, change);
        Ok(())
    }

    /// Takes an event in; the rows that it makes, at most one version of each object.
    pub(crate) fn rows(
        &mut self,
        event: &Event,
        parsed: &ParsedEnvelope,
    ) -> Result<Vec<Row<'static>>, FoldError> {
        let change = self.admit(event, parsed)?;
        let puts = change.puts().to_vec();
        let is_first = self.take(event, parsed, change);
        let mut rows = Made(vec![EVENTS.row(&self.event_row(event, parsed))]);
        self.put_rows(&puts, is_first.then_some(parsed.envelope().author), &mut rows);
        self.message_rows(event, parsed, &mut rows);
        self.graph.touched().iter().for_each(|edge| rows.push(EDGES.row(edge)));
        Ok(rows.0)
    }

    fn admit(&self, event: &Event, parsed: &ParsedEnvelope) -> Result<Change, FoldError> {
        let (expected, found) = (self.next(), event.position());
        if expected != found {
            return Err(FoldError::Gap { expected, found });
        }
        let refused = |cause| FoldError::Refused { position: found, cause: Box::new(cause) };
        admit(&self.state, parsed.id(), parsed.envelope(), event.recorded_at()).map_err(refused)
    }

    /// Folds it; whether its author has signed for the first time.
    fn take(&mut self, event: &Event, parsed: &ParsedEnvelope, change: Change) -> bool {
        let (position, at) = (event.position(), event.recorded_at());
        let author = parsed.envelope().author;
        for put in change.puts() {
            if let Put::Succession(successor, predecessor) = put {
                let party = self.state.party(predecessor);
                self.keys.entry(party).or_insert_with(|| vec![party]).push(*successor);
            }
        }
        self.state.fold(change);
        self.graph.fold(position, at, parsed.id(), parsed.envelope());
        let known = self.first.len();
        self.first.entry(author).or_insert((position, at));
        self.first.len() > known
    }

    // -------------------------------------------------------------- the event itself

    fn event_row(&self, event: &Event, parsed: &ParsedEnvelope) -> EventRow {
        let envelope = parsed.envelope();
        EventRow {
            position: event.position(),
            id: parsed.id(),
            kind: envelope.message.kind().field(),
            author: envelope.author,
            author_sequence: envelope.author_sequence,
            recorded_at: event.recorded_at(),
            issued_at: envelope.issued_at_us,
            trace_id: envelope.trace_id,
            about: self.about(parsed.id(), &envelope.message),
            causes: Json::of(&envelope.causes),
            bytes: event.bytes().len(),
            chain: event.chain(),
            message: Json::of(&envelope.message),
        }
    }

    /// What a message is about; what a task or an offer stands for is about its intent too.
    fn about(&self, id: EnvelopeId, message: &Message) -> About {
        let capability = |id| About { capability: Some(id), ..About::default() };
        let intent = |id| About { intent: Some(id), ..About::default() };
        match message {
            Message::AdvertiseCapability(message) => capability(match message {
                AdvertiseCapability::Publish(_) | AdvertiseCapability::Revise(_) => id,
                AdvertiseCapability::Retire(retirement) => retirement.capability,
            }),
            Message::Intent(message) => intent(match message {
                Intent::Open(_) | Intent::Revise(_) => id,
                Intent::Cancel(cancellation) => cancellation.intent,
            }),
            Message::Offer(_) => self.about_offer(id),
            Message::Negotiate(message) => match message {
                Negotiate::Counter(counter) => self.about_offer(counter.offer),
                Negotiate::Decline(decline) => self.about_offer(decline.offer),
                Negotiate::Withdraw(withdraw) => self.about_offer(withdraw.offer),
                Negotiate::Reveal(reveal) => self.about_offer(reveal.offer),
                Negotiate::RequestCancellation(request) => self.about_task(request.task),
            },
            Message::TaskStart(_) => self.about_task(id),
            Message::TaskProgress(progress) => self.about_task(progress.task),
            Message::TaskDone(done) => self.about_task(done.task),
            Message::PolicyUpdate(update) => match update.scope {
                PolicyScope::Agent(_) => About::default(),
                PolicyScope::Capability(id) => capability(id),
                PolicyScope::Intent(id) => intent(id),
            },
            Message::Observe(message) => match message {
                Observe::TaskStatus(task) => self.about_task(*task),
                Observe::CoordinationGraph(id) => intent(*id),
                Observe::Trace(_) | Observe::Notice(_) => About::default(),
            },
            Message::Discover(_) | Message::Attest(_) => About::default(),
        }
    }

    fn about_offer(&self, id: EnvelopeId) -> About {
        let offer = self.state.offer(&id);
        About {
            capability: offer.as_ref().map(|offer| offer.terms.capability),
            intent: offer.as_ref().map(|offer| offer.terms.intent),
            offer: Some(id),
            task: None,
        }
    }

    fn about_task(&self, id: EnvelopeId) -> About {
        let offer = self.state.task(&id).map(|task| self.about_offer(task.terms.offer));
        About { task: Some(id), ..offer.unwrap_or_default() }
    }

    // -------------------------------------------------------------- objects

    fn put_rows(&self, puts: &[Put], newcomer: Option<AgentId>, rows: &mut Made) {
        newcomer.iter().for_each(|key| self.agent_row(key, rows));
        for put in puts {
            match put {
                Put::Capability(capability) => rows.version(CAPABILITIES.row(capability)),
                Put::Intent(intent) => rows.version(INTENTS.row(intent)),
                Put::Offer(offer) => rows.version(OFFERS.row(offer)),
                Put::Task(task) => rows.version(TASKS.row(task)),
                Put::Attestation(attestation) => rows.version(ATTESTATIONS.row(attestation)),
                Put::Policy((scope, name), policy) => {
                    let (scope, name, policy) = (*scope, name.clone(), policy.clone());
                    rows.version(POLICIES.row(&PolicyRow { scope, name, policy }));
                }
                Put::Key(key, _) => self.agent_row(key, rows),
                Put::Succession(_, predecessor) => self.agent_row(predecessor, rows),
                Put::Record(agent, _) => {
                    let party = self.state.party(agent);
                    let keys = self.keys.get(&party).map_or(&[party][..], Vec::as_slice).to_vec();
                    keys.iter().for_each(|key| self.agent_row(key, rows));
                }
                Put::Finding(finding) => rows.push(FINDINGS.row(finding)),
                Put::Schema(_) | Put::Rotation(..) => {}
            }
        }
    }

    fn agent_row(&self, key: &AgentId, rows: &mut Made) {
        let Some(&(first, recorded_at)) = self.first.get(key) else { return };
        let (party, end) = (self.state.party(key), self.state.key_end(key));
        let record = self.state.record(key);
        rows.version(AGENTS.row(&AgentRow { key: *key, party, end, record, first, recorded_at }));
    }

    // -------------------------------------------------------------- what messages say

    fn message_rows(&self, event: &Event, parsed: &ParsedEnvelope, rows: &mut Made) {
        let message = &parsed.envelope().message;
        let said = Saying { event, parsed, about: self.about(parsed.id(), message) };
        match message {
            Message::Intent(Intent::Open(terms)) => {
                said.labels("intent", &terms.labels, rows);
                said.data("input", &terms.inputs, rows);
            }
            Message::Intent(Intent::Revise(revision)) => {
                said.labels("intent", &revision.terms.labels, rows);
                said.data("input", &revision.terms.inputs, rows);
            }
            Message::TaskStart(start) => said.labels("task", &start.parameters, rows),
            Message::TaskProgress(progress) => {
                rows.push(PROGRESS.row(&said.with(progress.clone())));
                said.data("input", &progress.inputs, rows);
                said.data("output", &progress.outputs, rows);
            }
            Message::TaskDone(done) => {
                let ended = self.state.task(&done.task).and_then(|task| task.ended);
                let counts = ended.is_some_and(|ended| ended.receipt == parsed.id());
                let done = done.clone();
                rows.push(RECEIPTS.row(&said.with(Concluded { done: done.clone(), counts })));
                said.data("input", &done.inputs, rows);
                said.data("output", &done.outputs, rows);
            }
            Message::Attest(Attest::Claim(claim)) => said.data("evidence", &claim.evidence, rows),
            Message::AdvertiseCapability(_)
            | Message::Discover(_)
            | Message::Intent(Intent::Cancel(_))
            | Message::Offer(_)
            | Message::Negotiate(_)
            | Message::Attest(_)
            | Message::PolicyUpdate(_)
            | Message::Observe(_) => {}
        }
    }
}

/// A message with its place, from which rows are made.
struct Saying<'e> {
    event: &'e Event,
    parsed: &'e ParsedEnvelope,
    about: About,
}

impl Saying<'_> {
    fn with<T>(&self, what: T) -> Said<T> {
        Said {
            id: self.parsed.id(),
            author: self.parsed.envelope().author,
            position: self.event.position(),
            recorded_at: self.event.recorded_at(),
            what,
        }
    }

    fn labels(&self, kind: &'static str, labels: &[Label], rows: &mut Made) {
        for label in labels {
            rows.push(LABELS.row(&self.with(Labelled { kind, label: label.clone() })));
        }
    }

    fn data(&self, role: &'static str, data: &[DataRef], rows: &mut Made) {
        for data in data {
            let named = Named { role, about: self.about, data: data.clone() };
            rows.push(DATA.row(&self.with(named)));
        }
    }
}

/// The rows of one event.
struct Made(Vec<Row<'static>>);

impl Made {
    fn push(&mut self, row: Row<'static>) {
        self.0.push(row);
    }

    /// A version of an object. What one event says of it last is what holds after the event.
    fn version(&mut self, row: Row<'static>) {
        let same = |made: &&mut Row<'static>| {
            made.table.name == row.table.name && made.key().eq(row.key())
        };
        match self.0.iter_mut().find(same) {
            Some(made) => *made = row,
            None => self.0.push(row),
        }
    }
}
