//! The agents of the demo: one initiator, several providers, an auditor. Each has a key and a
//! connection of its own, and learns from the ledger alone what the others do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::task::Poll;

use indicatif::ProgressBar;
use tally_client::roles::weighted;
use tally_client::{Author, Client, Context, Observer, Receipt, Subscription};
use tally_coordination::evaluate::{self, Factor};
use tally_coordination::view::Scope;
use tally_coordination::{State, compliance};
use tally_protocol::message::{
    AdvertiseCapability, Attest, CapabilityTerms, Claim, ClaimSubject, Counter, Deadlines,
    Discover, Evaluation, Intent, IntentTerms, Monitoring, Negotiate, Observe, Offer, Outcome,
    PolicyAction, PolicyKind, PolicyLanguage, PolicyScope, PolicyUpdate, ProgressState, Selection,
    Severity, TaskDone, TaskNotice, TaskProgress, TaskStart,
};
use tally_protocol::parts::{
    DataRef, Document, Label, Measure, Name, PolicyRef, Price, Resource, Text,
};
use tally_protocol::{AgentId, AgentKey, Envelope, EnvelopeId, Message, Position, Time, TraceId};
use tally_provenance::TASK_LABEL_KEY;
use tokio::sync::watch;

use crate::demo::halves::Halves;
use crate::demo::script::{Script, ScriptTask};
use crate::error::CliError;
use crate::output::Output;

/// Bytes of data references in one message; what is beyond goes into progress messages.
const DATA_BYTES: usize = 24_000;

/// Bytes that a data reference takes beside its URI.
const DATA_REF_BYTES: usize = 64;

/// Dependencies in one message.
const MAX_DEPENDENCIES: usize = 500;

/// Attempts at one task before the workflow is given up.
const MAX_ATTEMPTS: u32 = 3;

/// What the initiator holds everybody to who works for it.
const POLICY: &str = r#"@id("cents") @reason("work is paid in cents of a euro")
forbid (principal, action, resource) unless {
    context has cost && context.cost.currency == "EUR.cent"
};"#;

const HOUR_US: u64 = 3_600_000_000;

/// How a play ended.
pub(crate) struct Ending {
    /// False when a task failed at every attempt.
    pub(crate) completed: bool,
    /// What the providers are called.
    pub(crate) names: HashMap<AgentId, String>,
}

/// Plays the whole workflow.
pub(crate) async fn play(
    script: &Script,
    trace_id: TraceId,
    halves: &Halves,
    connect: impl AsyncFn() -> Result<Client, CliError>,
    output: Output,
) -> Result<Ending, CliError> {
    let agent = |name: &str, client: Client| Agent {
        name: name.to_owned(),
        author: client.author(AgentKey::generate()),
        trace_id,
        halves,
    };
    let initiator = agent("initiator", connect().await?);
    let auditor = agent("auditor", connect().await?);
    let head = initiator.author.client().head().await?;
    let from = Position::at_tip(head.size);
    let began_us = now_us().saturating_sub(script.makespan_us());

    let mut providers = Vec::new();
    let mut names = HashMap::new();
    for (index, name) in script.providers().iter().enumerate() {
        let events = connect().await?.subscribe(from).await?;
        let agent = agent(name, connect().await?);
        auditor.certify(&agent).await?;
        names.insert(agent.id(), name.clone());
        let provider = Provider { agent, index, script, began_us, events, seen: Seen::default() };
        providers.push(provider.publish().await?);
    }
    let bar = output.progress("playing", script.tasks().len() as u64);
    let client = connect().await?;
    let events = client.subscribe(from).await?;
    let observer = Observer::start(client);
    let mut conductor = Conductor::new(initiator, script, (events, observer), bar).await?;
    let (done_to, done) = watch::channel(false);
    let conducting = async {
        let completed = conductor.conduct().await;
        // The providers finish what they are saying, receipts included.
        done_to.send_replace(true);
        completed
    };
    let working = providers.into_iter().map(|provider| provider.work(done.clone()));
    let (completed, ()) = tokio::try_join!(conducting, all(working.collect()))?;
    conductor.bar.finish_and_clear();
    conductor.close().await?;
    Ok(Ending { completed, names })
}

/// Runs the providers side by side until all have ended, or one fails.
async fn all<P>(providers: Vec<P>) -> Result<(), CliError>
where
    P: Future<Output = Result<(), CliError>>,
{
    let mut working: Vec<_> = providers.into_iter().map(Box::pin).collect();
    std::future::poll_fn(move |context| {
        let mut failed = None;
        working.retain_mut(|provider| match provider.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if working.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

// ------------------------------------------------------------------ any agent

struct Agent<'h> {
    name: String,
    author: Author,
    trace_id: TraceId,
    halves: &'h Halves,
}

impl Agent<'_> {
    fn id(&self) -> AgentId {
        self.author.agent()
    }

    /// Says something and keeps the half that comes back.
    async fn say(&self, message: Message, causes: Vec<EnvelopeId>) -> Result<EnvelopeId, CliError> {
        let context = Context { trace_id: Some(self.trace_id), causes };
        let receipt: Receipt = self.author.append(message, context).await?;
        self.halves.keep(&self.name, &receipt)?;
        Ok(receipt.event().signed().id())
    }

    async fn certify(&self, provider: &Agent<'_>) -> Result<(), CliError> {
        let claim = Claim {
            subject: ClaimSubject::Agent(provider.id()),
            kind: name("certification"),
            statement: text(&format!("{} keeps to the survey handbook", provider.name)),
            evidence: Vec::new(),
            expires_at_us: Some(Time(now_i64()).plus_us(24 * HOUR_US)),
        };
        self.say(Message::Attest(Attest::Claim(claim)), Vec::new()).await.map(|_| ())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

/// A text for people, cut to what a text may have.
fn text(text: &str) -> Text {
    let cut: String = text.chars().take(2_000).collect();
    Text::new(cut).expect("2,000 characters fit")
}

fn now_i64() -> i64 {
    i64::try_from(now_us()).unwrap_or(i64::MAX)
}

fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn wf_task(labels: &[Label]) -> Option<&str> {
    let label = labels.iter().find(|label| label.key.as_str() == TASK_LABEL_KEY)?;
    Some(label.value.as_str())
}

/// Cuts a list of data references into messages.
fn portions(data: &[DataRef]) -> Vec<Vec<DataRef>> {
    let mut portions = vec![Vec::new()];
    let mut bytes = 0;
    for item in data {
        bytes += item.uri.as_str().len() + DATA_REF_BYTES;
        if bytes > DATA_BYTES {
            portions.push(Vec::new());
            bytes = item.uri.as_str().len() + DATA_REF_BYTES;
        }
        portions.last_mut().expect("there is one").push(item.clone());
    }
    portions
}

/// The tasks that a task depends on, in the order of the script.
fn dependencies(task: &ScriptTask, ended: &HashMap<usize, EnvelopeId>) -> Vec<EnvelopeId> {
    task.depends_on.iter().filter_map(|parent| ended.get(parent).copied()).collect()
}

/// What does not fit into the TaskStart, in portions.
fn after_first(dependencies: &[EnvelopeId]) -> Vec<Vec<EnvelopeId>> {
    dependencies.chunks(MAX_DEPENDENCIES).skip(1).map(<[_]>::to_vec).collect()
}

async fn next_envelope(
    events: &mut Subscription,
) -> Result<Option<(EnvelopeId, Envelope)>, CliError> {
    let Some(event) = events.next().await? else { return Ok(None) };
    let parsed = event.signed().parse().map_err(|error| {
        CliError::failed(format!("the event at position {}", event.position()), error)
    })?;
    Ok(Some((parsed.id(), parsed.envelope().clone())))
}

// ------------------------------------------------------------------ providers

/// Offers on every intent that it has a capability for, and does what it is awarded.
struct Provider<'s> {
    agent: Agent<'s>,
    index: usize,
    script: &'s Script,
    /// When the recorded workflow is taken to have begun, in microseconds since 1970.
    began_us: u64,
    events: Subscription,
    seen: Seen,
}

/// What a provider has learnt from the ledger.
#[derive(Default)]
struct Seen {
    /// Its own capabilities.
    capabilities: HashMap<Name, EnvelopeId>,
    /// Its own offers that are out.
    offered: HashMap<EnvelopeId, (usize, Offer)>,
    /// Which task of the script an intent is about.
    intents: HashMap<EnvelopeId, usize>,
    /// Which task of the script a task is.
    tasks: HashMap<EnvelopeId, usize>,
    /// The task that succeeded, for each of the script.
    succeeded: HashMap<usize, EnvelopeId>,
}

impl Provider<'_> {
    async fn publish(mut self) -> Result<Self, CliError> {
        for category in self.script.categories() {
            let terms = CapabilityTerms {
                description: text(&format!("{category} by {}", self.agent.name)),
                tags: vec![name("workflow")],
                resources: vec![Resource {
                    name: name("cpu.cores"),
                    amount: 4,
                    unit: Some(name("1")),
                }],
                cost: Some(price(self.rate())),
                ..CapabilityTerms::new(category.clone(), category.clone())
            };
            let message = Message::AdvertiseCapability(AdvertiseCapability::Publish(terms));
            let id = self.agent.say(message, Vec::new()).await?;
            self.seen.capabilities.insert(category.clone(), id);
        }
        Ok(self)
    }

    /// Cents a minute.
    fn rate(&self) -> u64 {
        10 + self.index as u64
    }

    async fn work(mut self, mut done: watch::Receiver<bool>) -> Result<(), CliError> {
        loop {
            let next = tokio::select! {
                next = next_envelope(&mut self.events) => next?,
                _ = done.wait_for(|done| *done) => return Ok(()),
            };
            let Some((id, envelope)) = next else {
                return Err(CliError::Failed("the ledger ended a provider's subscription".into()));
            };
            if envelope.trace_id == Some(self.agent.trace_id) {
                self.answer(id, envelope.message).await?;
            }
        }
    }

    async fn answer(&mut self, id: EnvelopeId, message: Message) -> Result<(), CliError> {
        match message {
            Message::Intent(Intent::Open(terms)) => {
                let task = wf_task(&terms.labels).and_then(|task| self.script.task(task));
                let Some((index, task)) = task else { return Ok(()) };
                self.seen.intents.insert(id, index);
                let offer = self.offer(id, task);
                self.make(id, index, offer).await?;
            }
            Message::Negotiate(Negotiate::Counter(counter)) => {
                if let Some((index, mut offer)) = self.seen.offered.remove(&counter.offer) {
                    offer.replaces = Some(counter.offer);
                    offer.price = counter.price.or(offer.price);
                    self.make(id, index, offer).await?;
                }
            }
            Message::TaskStart(start) => {
                if let Some(index) = self.seen.intents.get(&start.intent) {
                    self.seen.tasks.insert(id, *index);
                }
                if let Some((index, _)) = self.seen.offered.get(&start.offer) {
                    self.execute(id, &self.script.tasks()[*index], start.attempt).await?;
                }
            }
            Message::TaskDone(done) if done.outcome == Outcome::Succeeded => {
                if let Some(index) = self.seen.tasks.get(&done.task) {
                    self.seen.succeeded.insert(*index, done.task);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn make(
        &mut self,
        cause: EnvelopeId,
        index: usize,
        offer: Offer,
    ) -> Result<(), CliError> {
        let id = self.agent.say(Message::Offer(offer.clone()), vec![cause]).await?;
        self.seen.offered.insert(id, (index, offer));
        Ok(())
    }

    /// The provider of the record is the fastest; others say that they take longer.
    fn offer(&self, intent: EnvelopeId, task: &ScriptTask) -> Offer {
        let distance = (self.index + self.script.providers().len() - task.provider)
            % self.script.providers().len();
        let duration_us = task.runtime_us / 100 * (100 + 12 * distance as u64);
        Offer {
            estimated_duration_us: duration_us,
            price: Some(price(50 + 5 * distance as u64 + duration_us * self.rate() / 60_000_000)),
            valid_until_us: Some(Time(now_i64()).plus_us(24 * HOUR_US)),
            ..Offer::new(intent, self.seen.capabilities[&task.category])
        }
    }

    async fn execute(
        &self,
        id: EnvelopeId,
        task: &ScriptTask,
        attempt: u32,
    ) -> Result<(), CliError> {
        let fails = task.fails.as_deref().filter(|_| attempt == 1);
        self.report(id, ProgressState::Accepted, Report::default()).await?;
        self.report(id, ProgressState::Running, Report::default()).await?;
        let mut inputs = portions(&task.inputs);
        let mut outputs = if fails.is_some() { vec![Vec::new()] } else { portions(&task.outputs) };
        // What does not fit into the receipt is reported on the way to it.
        let last = (inputs.pop().unwrap_or_default(), outputs.pop().unwrap_or_default());
        let depends_on = after_first(&dependencies(task, &self.seen.succeeded));
        let more = depends_on
            .into_iter()
            .map(|depends_on| Report { percent: 10, depends_on, ..Report::default() })
            .chain(inputs.into_iter().map(|inputs| Report {
                percent: 30,
                inputs,
                ..Report::default()
            }))
            .chain(outputs.into_iter().map(|outputs| Report {
                percent: 80,
                outputs,
                ..Report::default()
            }))
            .chain(fails.map(|reason| Report {
                percent: 80,
                notices: vec![TaskNotice {
                    severity: Severity::Error,
                    code: name("failed"),
                    text: text(reason),
                }],
                ..Report::default()
            }));
        for report in more {
            self.report(id, ProgressState::Running, report).await?;
        }
        self.end(id, task, attempt, fails, last).await
    }

    async fn report(
        &self,
        task: EnvelopeId,
        state: ProgressState,
        report: Report,
    ) -> Result<(), CliError> {
        let Report { percent, inputs, outputs, notices, depends_on } = report;
        let progress = TaskProgress {
            percent,
            inputs,
            outputs,
            notices,
            depends_on,
            ..TaskProgress::new(task, state)
        };
        self.agent.say(Message::TaskProgress(progress), vec![task]).await.map(|_| ())
    }

    /// The receipt, with the times of the record.
    async fn end(
        &self,
        id: EnvelopeId,
        task: &ScriptTask,
        attempt: u32,
        fails: Option<&str>,
        (inputs, outputs): (Vec<DataRef>, Vec<DataRef>),
    ) -> Result<(), CliError> {
        let retried = attempt > 1 && task.fails.is_some();
        let begin = self.began_us + task.begin_us + if retried { task.failed_us() } else { 0 };
        let run = if fails.is_some() { task.failed_us() } else { task.runtime_us };
        let at = |us: u64| Some(Time(i64::try_from(us).unwrap_or(i64::MAX)));
        let done = TaskDone {
            started_at_us: at(begin),
            ended_at_us: at(begin.saturating_add(run)),
            inputs,
            outputs,
            reason: text(fails.unwrap_or_default()),
            ..TaskDone::new(id, if fails.is_some() { Outcome::Failed } else { Outcome::Succeeded })
        };
        self.agent.say(Message::TaskDone(done), vec![id]).await.map(|_| ())
    }
}

#[derive(Default)]
struct Report {
    percent: u32,
    inputs: Vec<DataRef>,
    outputs: Vec<DataRef>,
    notices: Vec<TaskNotice>,
    depends_on: Vec<EnvelopeId>,
}

fn price(cents: u64) -> Price {
    Price { amount: cents, currency: name("EUR.cent") }
}

// ------------------------------------------------------------------ the initiator

/// Opens an intent for each task whose parents have ended, weighs the offers, awards, and tries
/// again with another provider when a task fails.
struct Conductor<'s> {
    agent: Agent<'s>,
    script: &'s Script,
    events: Subscription,
    observer: Observer,
    bar: ProgressBar,
    policy: EnvelopeId,
    /// Providers that the catalog names for each kind of work.
    competitors: HashMap<Name, usize>,
    children: Vec<Vec<usize>>,
    waiting: Vec<usize>,
    ready: VecDeque<usize>,
    open: HashMap<EnvelopeId, Negotiation>,
    running: HashMap<EnvelopeId, Awarded>,
    /// The task that stands for each finished one.
    ended: HashMap<usize, EnvelopeId>,
    last_intent: Option<EnvelopeId>,
}

/// An intent and the offers on it that can be accepted.
struct Negotiation {
    task: usize,
    offers: BTreeMap<EnvelopeId, Offer>,
    countered: bool,
}

/// A task under way, with the offers that are left if it fails.
struct Awarded {
    intent: EnvelopeId,
    negotiation: Negotiation,
    attempt: u32,
}

impl<'s> Conductor<'s> {
    async fn new(
        agent: Agent<'s>,
        script: &'s Script,
        (events, observer): (Subscription, Observer),
        bar: ProgressBar,
    ) -> Result<Self, CliError> {
        let waiting: Vec<usize> = script.tasks().iter().map(|task| task.after.len()).collect();
        let mut children = vec![Vec::new(); waiting.len()];
        for (i, task) in script.tasks().iter().enumerate() {
            for parent in &task.after {
                children[*parent].push(i);
            }
        }
        let ready = (0..waiting.len()).filter(|i| waiting[*i] == 0).collect();
        let policy = PolicyUpdate {
            kind: Some(PolicyKind::Compliance),
            text: Document::new(POLICY).expect("a short policy"),
            language: Some(PolicyLanguage::Cedar),
            ..PolicyUpdate::new(
                PolicyScope::Agent(agent.id()),
                name("payment"),
                now_us(),
                PolicyAction::Activate,
            )
        };
        let policy = agent.say(Message::PolicyUpdate(policy), Vec::new()).await?;
        Ok(Self {
            agent,
            script,
            events,
            observer,
            bar,
            policy,
            competitors: HashMap::new(),
            children,
            waiting,
            ready,
            open: HashMap::new(),
            running: HashMap::new(),
            ended: HashMap::new(),
            last_intent: None,
        })
    }

    async fn conduct(&mut self) -> Result<bool, CliError> {
        while self.ended.len() < self.script.tasks().len() {
            if let Some(task) = self.ready.pop_front() {
                self.open(task).await?;
                continue;
            }
            let Some((id, envelope)) = next_envelope(&mut self.events).await? else {
                return Err(CliError::Failed("the ledger ended the subscription".into()));
            };
            let goes_on = match envelope.message {
                Message::Offer(offer) => self.weigh(id, offer).await.map(|()| true)?,
                Message::TaskDone(done) => self.take_receipt(&done).await?,
                _ => true,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn open(&mut self, index: usize) -> Result<(), CliError> {
        let task = &self.script.tasks()[index];
        self.discover(&task.category).await?;
        let terms = IntentTerms {
            category: Some(task.category.clone()),
            inputs: portions(&task.inputs).swap_remove(0),
            policies: vec![PolicyRef { update: self.policy }],
            utility_weights: weights(),
            selection: Some(Selection::ContractNet),
            labels: vec![Label {
                key: name(TASK_LABEL_KEY),
                value: Text::new(task.id.clone()).map_err(|fault| {
                    CliError::Usage(format!("the id of task {:?} {fault}", task.id))
                })?,
            }],
            ..IntentTerms::new(text(&format!("{} of {}", task.id, self.script.name())))
        };
        let causes = self.parents(task).take(16).collect();
        let intent = self.agent.say(Message::Intent(Intent::Open(terms)), causes).await?;
        self.last_intent = Some(intent);
        let negotiation = Negotiation { task: index, offers: BTreeMap::new(), countered: false };
        self.open.insert(intent, negotiation);
        Ok(())
    }

    fn parents<'a>(&'a self, task: &'a ScriptTask) -> impl Iterator<Item = EnvelopeId> + 'a {
        task.after.iter().filter_map(|parent| self.ended.get(parent).copied())
    }

    /// Asks the catalog once for each kind of work.
    async fn discover(&mut self, category: &Name) -> Result<(), CliError> {
        if self.competitors.contains_key(category) {
            return Ok(());
        }
        let criteria = Discover {
            category: Some(category.clone()),
            tags: vec![name("workflow")],
            ..Discover::new()
        };
        self.agent.say(Message::Discover(criteria.clone()), Vec::new()).await?;
        let client = self.agent.author.client();
        let head = client.head().await?;
        let scope = Scope { searcher: Some(self.agent.id()), capability: None };
        let catalog = client.catalog(&criteria, &scope, head.size).await?;
        let ours = catalog.matches.iter().filter(|found| {
            // An earlier run's providers do not answer any more.
            found.capability.position >= self.first_position()
        });
        self.competitors.insert(category.clone(), ours.count());
        Ok(())
    }

    fn first_position(&self) -> Position {
        self.agent.halves.first()
    }

    async fn weigh(&mut self, id: EnvelopeId, offer: Offer) -> Result<(), CliError> {
        let intent = offer.intent;
        let Some(negotiation) = self.open.get_mut(&intent) else { return Ok(()) };
        if let Some(replaced) = &offer.replaces {
            negotiation.offers.remove(replaced);
        }
        negotiation.offers.insert(id, offer);
        let task = &self.script.tasks()[negotiation.task];
        if negotiation.offers.len() < self.competitors[&task.category] {
            return Ok(());
        }
        if task.countered && !negotiation.countered {
            negotiation.countered = true;
            let known = negotiation.offers.keys().copied().collect();
            let (best, _) = self.weighed(intent, known, None).await?;
            let negotiation = &self.open[&intent];
            let asked = negotiation.offers[&best].price.as_ref().map_or(0, |price| price.amount);
            let counter = Counter {
                offer: best,
                price: Some(price(asked * 9 / 10)),
                duration_us: 0,
                conditions: Vec::new(),
                text: text("ten per cent less, for the whole survey"),
            };
            let message = Message::Negotiate(Negotiate::Counter(counter));
            return self.agent.say(message, vec![best]).await.map(|_| ());
        }
        let negotiation = self.open.remove(&intent).expect("it was just there");
        self.award(intent, negotiation, None, 1).await
    }

    async fn award(
        &mut self,
        intent: EnvelopeId,
        mut negotiation: Negotiation,
        replaces: Option<EnvelopeId>,
        attempt: u32,
    ) -> Result<(), CliError> {
        let known = negotiation.offers.keys().copied().collect();
        let (offer, evaluation) = self.weighed(intent, known, replaces).await?;
        let policies = vec![PolicyRef { update: self.policy }];
        let state = self.observer.state();
        let policy_set = state
            .intent(&intent)
            .zip(state.offer(&offer))
            .and_then(|(i, o)| compliance::policy_set(&state, &i, &o, &policies));
        let task = &self.script.tasks()[negotiation.task];
        // The executor names the dependencies that do not fit here.
        let mut depends_on = dependencies(task, &self.ended);
        depends_on.truncate(MAX_DEPENDENCIES);
        let start = TaskStart {
            policies,
            policy_set,
            price: negotiation.offers[&offer].price.clone(),
            monitoring: Some(Monitoring {
                report_every_us: 0,
                observers: Vec::new(),
                instructions: Text::default(),
            }),
            depends_on,
            replaces,
            deadlines: Some(Deadlines {
                accept_by_us: Some(Time(now_i64()).plus_us(HOUR_US)),
                start_by_us: Some(Time(now_i64()).plus_us(2 * HOUR_US)),
                done_by_us: Some(Time(now_i64()).plus_us(12 * HOUR_US)),
                heartbeat_us: 0,
            }),
            evaluation: Some(evaluation),
            ..TaskStart::new(intent, offer, attempt)
        };
        let id = self.agent.say(Message::TaskStart(Box::new(start)), vec![offer]).await?;
        negotiation.offers.remove(&offer);
        self.running.insert(id, Awarded { intent, negotiation, attempt });
        Ok(())
    }

    /// The best of these offers, and how it compares: by the ledger's method, over the log as this
    /// agent folds it itself.
    async fn weighed(
        &self,
        intent: EnvelopeId,
        offers: Vec<EnvelopeId>,
        replaces: Option<EnvelopeId>,
    ) -> Result<(EnvelopeId, Evaluation), CliError> {
        let is_known = |state: &State| {
            let ended = |task| state.task(&task).is_some_and(|task| !task.is_live());
            offers.iter().all(|id| state.offer(id).is_some()) && replaces.is_none_or(ended)
        };
        let state = self.observer.until(|state| is_known(state).then(|| state.clone())).await?;
        let again = replaces.and_then(|task| state.task(&task)).map(|task| task.terms.offer);
        let open = state.intent(&intent).expect("offers are for intents of the log");
        let at = Time(now_i64()).max(state.recorded_at());
        let evaluation = weighted(&state, &open, again, at);
        let ranked = evaluate::ranked(&state, &evaluation);
        let best = ranked.into_iter().find(|candidate| offers.contains(&candidate.offer));
        let best = best.ok_or_else(|| CliError::Failed("no offer can be awarded".into()))?.offer;
        Ok((best, evaluation))
    }

    /// False when a task has failed for good.
    async fn take_receipt(&mut self, done: &TaskDone) -> Result<bool, CliError> {
        let Some(awarded) = self.running.remove(&done.task) else { return Ok(true) };
        if done.outcome == Outcome::Succeeded {
            self.bar.inc(1);
            let index = awarded.negotiation.task;
            self.ended.insert(index, done.task);
            for child in &self.children[index] {
                self.waiting[*child] -= 1;
                if self.waiting[*child] == 0 {
                    self.ready.push_back(*child);
                }
            }
            return Ok(true);
        }
        if awarded.attempt == MAX_ATTEMPTS || awarded.negotiation.offers.is_empty() {
            return Ok(false);
        }
        let attempt = awarded.attempt + 1;
        self.award(awarded.intent, awarded.negotiation, Some(done.task), attempt).await?;
        Ok(true)
    }

    /// Asks for the graph of the last decision, so that the question is on record too.
    async fn close(&self) -> Result<(), CliError> {
        let Some(intent) = self.last_intent else { return Ok(()) };
        let question = Message::Observe(Observe::CoordinationGraph(intent));
        self.agent.say(question, vec![intent]).await.map(|_| ())
    }
}

/// Price and time count the same.
fn weights() -> Vec<Measure> {
    [Factor::Price, Factor::Time].map(|factor| Measure::new(name(factor.name()), 1)).into()
}
