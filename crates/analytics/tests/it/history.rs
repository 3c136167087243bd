//! Histories in memory: what agents say by chance, as far as the rules admit it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tally_analytics::{Answer, Tables, Value, schema};
use tally_coordination::{State, admit};
use tally_protocol::{
    AgentId, AgentKey, ChainHash, Digest, Envelope, EnvelopeId, Event, Message, Origin,
    ParsedEnvelope, Position, SignedEnvelope, Time, TraceId, TreeSize,
};
use tally_store::{LogReader, ReadError, ReadLimit, Run, Tip};

/// A log in memory, of what was admitted.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) state: State,
    pub(crate) events: Vec<(Event, ParsedEnvelope)>,
    chain: ChainHash,
    now: i64,
    keys: Vec<AgentId>,
    capabilities: Vec<EnvelopeId>,
    intents: Vec<EnvelopeId>,
    offers: Vec<EnvelopeId>,
    tasks: Vec<EnvelopeId>,
    attestations: Vec<EnvelopeId>,
}

/// What somebody tries to say.
pub(crate) type Step = (u8, u8, u8, u8);

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), 0..most)
}

pub(crate) fn origin() -> Origin {
    Origin::new("ledger.example/tables").expect("an origin")
}

impl History {
    pub(crate) fn new(origin: Origin) -> Self {
        let agent = |seed| AgentKey::from_seed(&[seed; 32]).agent();
        Self {
            chain: ChainHash::genesis(&origin),
            state: State::new(origin),
            events: Vec::new(),
            now: 1_000_000,
            keys: (1..=6).map(agent).collect(),
            capabilities: Vec::new(),
            intents: Vec::new(),
            offers: Vec::new(),
            tasks: Vec::new(),
            attestations: Vec::new(),
        }
    }

    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut history = Self::new(origin());
        history.begin();
        steps.iter().for_each(|step| history.attempt(*step));
        history
    }

    /// Something of everything, the same each time.
    pub(crate) fn whole() -> Self {
        let mut history = Self::new(origin());
        history.begin();
        for round in 0..40_u8 {
            for kind in 0..KINDS {
                history.attempt((kind, round, round.wrapping_mul(7), round.wrapping_mul(13)));
            }
        }
        history.fulfil();
        history
    }

    /// An intent from its opening to its end, and a policy from its activation to its end.
    fn fulfil(&mut self) {
        let mut must = |who, message| self.say(who, message).expect("the rules admit it");
        let terms = json!({ "name": "last", "category": "work" });
        let capability = must(1, json!({ "advertise_capability": { "publish": terms } }));
        let intent = must(0, json!({ "intent": { "open": { "outcome": "the last" } } }));
        for (version, action, text) in [(1, "activate", "be kind"), (2, "revoke", "")] {
            must(
                0,
                json!({ "policy_update": { "scope": { "intent": intent }, "name": "last",
                "policy_version": version, "action": action, "text": text } }),
            );
        }
        let bid = json!({ "intent": intent, "capability": capability });
        let offer = must(1, json!({ "offer": bid }));
        let mut better = bid;
        better["replaces"] = json!(offer);
        let offer = must(1, json!({ "offer": better }));
        let task =
            must(0, json!({ "task_start": { "intent": intent, "offer": offer, "attempt": 1 } }));
        must(1, json!({ "task_progress": { "task": task, "state": "accepted" } }));
        must(1, json!({ "task_progress": { "task": task, "state": "running", "percent": 9 } }));
        must(1, json!({ "task_done": { "task": task, "outcome": "succeeded" } }));
    }

    /// Offers and a task, so that chance has something to go on.
    fn begin(&mut self) {
        for step in [(0, 0, 0, 0), (3, 1, 0, 0), (6, 0, 0, 0), (11, 1, 0, 0), (12, 0, 0, 0)] {
            self.attempt(step);
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.events.len() as u64
    }

    /// Says something if the rules admit it.
    pub(crate) fn say(&mut self, who: usize, message: Json) -> Option<EnvelopeId> {
        let message: Message = serde_json::from_value(message).expect("a message");
        let author = self.keys[who % self.keys.len()];
        let agent = self.state.agent(&author);
        let succeeds = self.events.iter().find(|(_, parsed)| {
            let text = serde_json::to_string(&parsed.envelope().message).expect("JSON");
            text.contains("rotate_key") && text.contains(&author.to_string())
        });
        let envelope = Envelope {
            origin: self.state.origin().clone(),
            author,
            author_sequence: agent.map(|agent| agent.next_sequence).unwrap_or_default(),
            previous: agent.map(|agent| agent.last),
            issued_at_us: Time(self.now),
            trace_id: who.is_multiple_of(2).then_some(TraceId([7; 16])),
            causes: succeeds.filter(|_| agent.is_none()).map(|(_, p)| p.id()).into_iter().collect(),
            message,
        };
        let payload = envelope.encode().ok()?.into();
        let signed = SignedEnvelope { payload, signature: [0; 64] };
        self.now += 1_000;
        let at = Time(self.now);
        let change = admit(&self.state, signed.id(), &envelope, at).ok()?;
        self.state.fold(change);
        let event = Event::new(Position(self.size()), self.chain, at, &signed);
        self.chain = event.chain();
        self.events.push((event, signed.parse().expect("it was encoded here")));
        self.events.last().map(|(_, parsed)| parsed.id())
    }

    fn attempt(&mut self, (kind, who, which, more): Step) {
        let (who, more) = (usize::from(who), u64::from(more));
        let pick = |of: &[EnvelopeId]| {
            let at = usize::from(which).checked_rem(of.len());
            at.map_or(json!("ee".repeat(32)), |at| json!(of[of.len() - 1 - at]))
        };
        let (capability, intent) = (pick(&self.capabilities), pick(&self.intents));
        let (offer, task) = (pick(&self.offers), pick(&self.tasks));
        let data = |name: u64| {
            let uri = format!("file:{name}");
            json!([{ "uri": uri, "digest": Digest::of(uri.as_bytes()), "size": name }])
        };
        let price = json!({ "amount": more, "currency": "EUR" });
        let terms = json!({ "name": format!("c{more}"), "category": "work", "tags": ["a", "b"] });
        let wish = json!({ "outcome": "it's \"done\"", "inputs": data(more % 5),
            "labels": [{ "key": "wf.task", "value": format!("t{more}") }] });
        let bid = json!({ "intent": intent, "capability": capability, "price": price,
            "estimated_duration_us": 5 });
        let message = match kind % KINDS {
            0 => json!({ "advertise_capability": { "publish": terms } }),
            1 => json!({ "advertise_capability": { "revise": {
                "capability": capability, "terms": terms } } }),
            2 => json!({ "advertise_capability": { "retire": { "capability": capability } } }),
            3 => json!({ "intent": { "open": wish } }),
            4 => json!({ "intent": { "revise": { "intent": intent, "terms": wish } } }),
            5 => json!({ "intent": { "cancel": { "intent": intent } } }),
            6 => json!({ "offer": bid }),
            7 => {
                let mut bid = bid;
                bid["intent"] = self.intent_of(&offer, intent);
                bid["replaces"] = offer;
                json!({ "offer": bid })
            }
            8 => json!({ "negotiate": { "counter": { "offer": offer, "price": price } } }),
            9 => json!({ "negotiate": { "decline": { "offer": offer } } }),
            10 => json!({ "negotiate": { "withdraw": { "offer": offer } } }),
            11 => {
                let known = self.offers.iter().find(|id| json!(id) == offer);
                let on = self.intent_of(&offer, intent);
                json!({ "task_start": { "intent": on, "offer": offer, "attempt": 1,
                    "price": price_of(&self.state, known), "depends_on": [],
                    "parameters": [{ "key": "p", "value": "1" }] } })
            }
            12 => json!({ "task_progress": { "task": task, "percent": more % 101,
                "state": if more % 3 == 0 { "accepted" } else { "running" },
                "inputs": data(more % 5), "outputs": data(more % 7 + 10) } }),
            13 => json!({ "task_done": { "task": task, "started_at_us": 10, "ended_at_us": 99,
                "outcome": if more % 2 == 0 { "succeeded" } else { "failed" },
                "outputs": data(more % 7 + 10), "reason": if more % 2 == 0 { "" } else { "fog" } } }),
            14 => json!({ "attest": { "claim": { "subject": { "agent": self.keys[who % 6] },
                "kind": "quality", "evidence": data(99) } } }),
            15 => json!({ "attest": { "revoke": { "attestation": pick(&self.attestations) } } }),
            16 => {
                let agent = json!({ "agent": self.keys[who % self.keys.len()] });
                let scope = if more % 2 == 0 { agent } else { json!({ "intent": intent }) };
                let action = ["activate", "amend", "revoke"][usize::from(which) % 3];
                json!({ "policy_update": { "scope": scope, "name": "p", "action": action,
                    "policy_version": self.size(),
                    "text": if action == "revoke" { "" } else { "be kind" } } })
            }
            17 => json!({ "negotiate": { "request_cancellation": { "task": task } } }),
            18 => json!({ "observe": { "task_status": task } }),
            19 => json!({ "discover": { "category": "work" } }),
            _ => {
                // Rare, or soon nobody could speak.
                if more > 20 {
                    return;
                }
                let successor = AgentKey::from_seed(&[100 + which % 50; 32]).agent();
                let rotate = json!({ "attest": { "rotate_key": { "successor": successor } } });
                if self.say(who, rotate).is_some() {
                    let len = self.keys.len();
                    self.keys[who % len] = successor;
                }
                return;
            }
        };
        // Whoever may say it: most steps would be refused else.
        for other in 0..self.keys.len() {
            if let Some(id) = self.say(who + other, message.clone()) {
                self.remember(kind % KINDS, id);
                return;
            }
        }
    }

    /// The intent that an offer is for.
    fn intent_of(&self, offer: &Json, otherwise: Json) -> Json {
        let known = self.offers.iter().find(|id| json!(id) == *offer);
        let known = known.and_then(|id| self.state.offer(id));
        known.map_or(otherwise, |offer| json!(offer.terms.intent))
    }

    fn remember(&mut self, kind: u8, id: EnvelopeId) {
        match kind {
            0 | 1 => self.capabilities.push(id),
            3 | 4 => self.intents.push(id),
            6 | 7 => self.offers.push(id),
            11 => self.tasks.push(id),
            14 => self.attestations.push(id),
            _ => {}
        }
    }
}

/// How many kinds of steps there are.
const KINDS: u8 = 21;

fn price_of(state: &State, offer: Option<&EnvelopeId>) -> Json {
    let price = offer.and_then(|id| state.offer(id)).and_then(|offer| offer.price().cloned());
    json!(price)
}

/// The first events of a history as a log.
pub(crate) struct Log<'h> {
    pub(crate) history: &'h History,
    pub(crate) size: u64,
}

impl<'h> Log<'h> {
    pub(crate) fn whole(history: &'h History) -> Self {
        Self { history, size: history.size() }
    }
}

impl LogReader for Log<'_> {
    fn origin(&self) -> &Origin {
        self.history.state.origin()
    }

    fn tip(&self) -> Tip {
        Tip { size: TreeSize::new(self.size), ..Tip::genesis(self.origin()) }
    }

    fn checkpoint(&self) -> Bytes {
        Bytes::new()
    }

    fn event(&self, at: Position) -> Result<Event, ReadError> {
        Ok(self.history.events[usize::try_from(at.0).expect("small")].0.clone())
    }

    fn run(&self, from: Position, limit: ReadLimit) -> Result<Run, ReadError> {
        let events = (from.0..self.size).take(limit.events.min(7));
        let events: Result<_, _> = events.map(|at| self.event(Position(at))).collect();
        Ok(Run { events: events?, commits: Vec::new() })
    }
}

/// An answer in memory: the names of its columns, and its rows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Answer for Rows {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        self.names = names.to_vec();
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<bool> {
        self.rows.push(values);
        Ok(true)
    }
}

/// What a statement answers.
#[track_caller]
pub(crate) fn ask(tables: &mut Tables, sql: &str, as_of: Option<u64>) -> Rows {
    let mut rows = Rows::default();
    match tables.query(sql, as_of.map(TreeSize::new), &mut rows) {
        Ok(()) => rows,
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// All rows of all tables, versions included, in an order of their own.
pub(crate) fn all_rows(tables: &mut Tables, as_of: Option<u64>) -> Vec<(String, Rows)> {
    let names = schema().flat_map(|table| {
        let both = [table.name.to_owned(), table.stored()];
        if table.versioned { both.to_vec() } else { vec![both[0].clone()] }
    });
    let mut all = Vec::new();
    for name in names {
        let mut rows = ask(tables, &format!("SELECT * FROM {name}"), as_of);
        rows.rows.sort_by_key(|row| format!("{row:?}"));
        all.push((name, rows));
    }
    all
}

/// Tables in memory of the first events.
pub(crate) fn tables_of(history: &History, size: u64) -> Tables {
    let mut tables = Tables::in_memory(&origin());
    let log = Log { history, size };
    assert_eq!(tables.catch_up(&log, &mut |_| {}).expect("folds"), None);
    tables
}

/// All files below a directory with their bytes, by path.
pub(crate) fn files(directory: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut all = std::collections::BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            all.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            all.insert(name, fs::read(&path).expect("a file"));
        }
    }
    all
}
