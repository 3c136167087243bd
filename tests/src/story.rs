//! A short history that has something of everything that a bundle holds: competing offers, a counter
//! and an offer that replaces, a task that fails and is tried again by another, data that flows on
//! into a second task, a delegate who starts that one, a claim, and strangers who have no part in
//! it. The same in every run.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_protocol::{AgentId, Digest, EnvelopeId, Message, Origin, SignedEnvelope, TraceId};
use tally_provenance::{DataEntry, Subject};

use crate::signer::{Signer, message};

/// The name of the ledger in which it happens.
pub const ORIGIN: &str = "example.org/ledger";

/// The data that the last task makes.
pub const CHART: &str = "file:chart.pdf";

/// What was said, in order, and by whom more could be said.
#[derive(Clone)]
pub struct Story {
    /// What was said.
    pub said: Vec<SignedEnvelope>,
    names: BTreeMap<&'static str, EnvelopeId>,
    signers: BTreeMap<&'static str, Signer>,
}

impl Story {
    /// The whole story.
    pub fn new() -> Self {
        let mut story = Self::empty();
        story.first_task();
        story.second_task();
        story
    }

    /// Nobody has said anything yet.
    pub fn empty() -> Self {
        let origin = origin();
        let named = ["buyer", "petrel", "tern", "deputy", "auditor", "stranger"].into_iter();
        let signers = named.enumerate().map(|(at, name)| (name, Signer::new(at as u64, &origin)));
        Self { said: Vec::new(), names: BTreeMap::new(), signers: signers.collect() }
    }

    fn first_task(&mut self) {
        self.say("petrel", "sounding", capability("sounding"));
        self.say("tern", "sweeping", capability("sweeping"));
        self.say("stranger", "strange", capability("strange"));
        let terms = json!({ "outcome": "the depth of the basin", "inputs": [data("file:basin.csv")],
            "labels": [{ "key": "wf.task", "value": "depth" }] });
        self.say("buyer", "depth", json!({ "intent": { "open": terms } }));
        self.say("petrel", "dear", self.offer("depth", "sounding", 90, None));
        self.say("tern", "fair", self.offer("depth", "sweeping", 80, None));
        let counter = json!({ "offer": self.id("dear"), "price": euro(70) });
        self.say("buyer", "counter", json!({ "negotiate": { "counter": counter } }));
        self.say("petrel", "cheap", self.offer("depth", "sounding", 70, Some("dear")));
        self.say("buyer", "try", self.start("depth", "cheap", json!({ "attempt": 1 })));
        self.work("petrel", "try", json!({ "outcome": "failed", "reason": "fog" }));
        let again = json!({ "attempt": 2, "replaces": self.id("try") });
        self.say("buyer", "again", self.start("depth", "fair", again));
        let outputs = [data("file:depths.csv")];
        self.work("tern", "again", json!({ "outcome": "succeeded", "outputs": outputs }));
    }

    fn second_task(&mut self) {
        let claim =
            json!({ "subject": { "agent": self.agent("petrel") }, "kind": "certification" });
        self.say("auditor", "claim", json!({ "attest": { "claim": claim } }));
        let terms = json!({ "outcome": "a chart", "inputs": [data("file:depths.csv")],
            "labels": [{ "key": "wf.task", "value": "chart" }] });
        self.say("buyer", "charting", json!({ "intent": { "open": terms } }));
        self.say("stranger", "aside", json!({ "intent": { "open": { "outcome": "a song" } } }));
        self.say("petrel", "drawing", self.offer("charting", "sounding", 20, None));
        let deputy = json!({ "delegate": self.agent("deputy"), "scopes": ["tasks"] });
        self.say("buyer", "delegation", json!({ "attest": { "delegate": deputy } }));
        let more = json!({ "attempt": 1, "depends_on": [self.id("again")] });
        self.say("deputy", "draw", self.start("charting", "drawing", more));
        self.work("petrel", "draw", json!({ "outcome": "succeeded", "outputs": [data(CHART)] }));
    }

    /// Says the next thing; it gets a name.
    pub fn say(&mut self, who: &'static str, name: &'static str, said: Value) {
        let signed = self.signer(who).say(message(said));
        self.names.insert(name, signed.id());
        self.said.push(signed);
    }

    /// Says the next thing as part of a workflow; it gets a name.
    pub fn say_in(&mut self, trace: TraceId, who: &'static str, name: &'static str, said: Value) {
        let signed = self.signer(who).say_in(trace, message(said));
        self.names.insert(name, signed.id());
        self.said.push(signed);
    }

    /// Accepts, runs and ends a task.
    pub fn work(&mut self, who: &'static str, task: &'static str, end: Value) {
        self.say(who, "accepted", self.progress(task, "accepted", 0));
        self.say(who, "running", self.progress(task, "running", 50));
        self.say(who, "done", self.done(task, end));
    }

    /// Somebody who can say more.
    ///
    /// # Panics
    /// When there is nobody of that name.
    pub fn signer(&mut self, who: &str) -> &mut Signer {
        self.signers.get_mut(who).expect("somebody of this story")
    }

    /// Somebody's key.
    pub fn agent(&self, who: &str) -> AgentId {
        self.signers[who].agent()
    }

    /// What was said under a name.
    pub fn id(&self, name: &str) -> EnvelopeId {
        self.names[name]
    }

    /// Where it was said.
    ///
    /// # Panics
    /// When it was not.
    pub fn position(&self, name: &str) -> u64 {
        let id = self.id(name);
        self.said.iter().position(|signed| signed.id() == id).expect("it was said") as u64
    }

    /// The second task.
    pub fn task(&self) -> Subject {
        Subject::Task(self.id("draw"))
    }

    /// What the second task made.
    pub fn chart(&self) -> Subject {
        Subject::Data(DataEntry { uri: CHART.into(), digest: Digest::of(CHART.as_bytes()) })
    }

    /// An offer on an intent.
    pub fn offer(
        &self,
        intent: &str,
        capability: &str,
        price: u64,
        replaces: Option<&str>,
    ) -> Value {
        let mut offer = json!({ "intent": self.id(intent), "capability": self.id(capability),
            "price": euro(price) });
        if let Some(replaces) = replaces {
            offer["replaces"] = json!(self.id(replaces));
        }
        json!({ "offer": offer })
    }

    /// The start of a task, with more fields.
    pub fn start(&self, intent: &str, offer: &str, more: Value) -> Value {
        let mut start = more;
        start["intent"] = json!(self.id(intent));
        start["offer"] = json!(self.id(offer));
        json!({ "task_start": start })
    }

    /// A report from a task.
    pub fn progress(&self, task: &str, state: &str, percent: u32) -> Value {
        json!({ "task_progress": { "task": self.id(task), "state": state, "percent": percent } })
    }

    /// The receipt of a task, with more fields.
    pub fn done(&self, task: &str, more: Value) -> Value {
        let mut done = more;
        done["task"] = json!(self.id(task));
        json!({ "task_done": done })
    }

    /// What would be said next, signed by somebody, with changes to its envelope; nothing is said.
    pub fn forged(
        &mut self,
        who: &str,
        said: Value,
        change: impl FnOnce(&mut tally_protocol::Envelope),
    ) -> SignedEnvelope {
        let said: Message = message(said);
        let signer = self.signer(who);
        let mut envelope = signer.envelope(said);
        change(&mut envelope);
        signer.sign(&envelope)
    }
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

/// The ledger in which it happens.
///
/// # Panics
/// Never.
pub fn origin() -> Origin {
    ORIGIN.parse().expect("an origin")
}

/// A new capability.
pub fn capability(name: &str) -> Value {
    json!({ "advertise_capability": { "publish": { "name": name, "category": "survey" } } })
}

fn euro(amount: u64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// A reference to data; its content is its name.
pub fn data(uri: &str) -> Value {
    json!({ "uri": uri, "digest": Digest::of(uri.as_bytes()) })
}
