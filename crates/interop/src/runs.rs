//! The tasks of a log as other systems count runs: what each was for, what came before it, what it
//! read and made. A fold that exports share; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use tally_protocol::message::{Intent, IntentTerms, Message, Offer, TaskStart};
use tally_protocol::parts::DataRef;
use tally_protocol::{AgentId, EnvelopeId, ParsedEnvelope, TraceId};
use tally_provenance::{DataEntry, TASK_LABEL_KEY};

/// A task.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The label `wf.task` of its intent, else the outcome that the intent asks for, else its id.
    pub(crate) name: String,
    pub(crate) trace: Option<TraceId>,
    pub(crate) attempt: u32,
    pub(crate) executor: Option<AgentId>,
    /// What came before it: tasks that it names, the attempt before, makers of what it read.
    pub(crate) upstream: BTreeSet<EnvelopeId>,
    pub(crate) has_ended: bool,
}

#[derive(Debug, Clone, Default)]
struct Wish {
    name: String,
    trace: Option<TraceId>,
    inputs: Vec<DataRef>,
}

/// The tasks so far.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    wishes: BTreeMap<EnvelopeId, Wish>,
    executors: BTreeMap<EnvelopeId, AgentId>,
    runs: BTreeMap<EnvelopeId, Run>,
    makers: BTreeMap<DataEntry, BTreeSet<EnvelopeId>>,
}

/// What a message says of a task's data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    pub(crate) inputs: Vec<DataRef>,
    pub(crate) outputs: Vec<DataRef>,
}

impl Runs {
    /// Takes in the next message. For one about a task: the task, and the data that it names.
    pub(crate) fn fold(&mut self, envelope: &ParsedEnvelope) -> Option<(EnvelopeId, Named)> {
        let (id, said) = (envelope.id(), envelope.envelope());
        match &said.message {
            Message::Intent(Intent::Open(terms)) => self.wish(id, said.trace_id, terms),
            Message::Intent(Intent::Revise(revision)) => {
                self.wish(id, said.trace_id, &revision.terms);
            }
            Message::Offer(Offer { .. }) => {
                self.executors.insert(id, said.author);
            }
            Message::TaskStart(start) => return Some((id, self.start(id, said.trace_id, start))),
            Message::TaskProgress(report) => {
                let (inputs, outputs) = (report.inputs.clone(), report.outputs.clone());
                let named = Named { inputs, outputs };
                self.name(report.task, &named, &report.depends_on);
                return Some((report.task, named));
            }
            Message::TaskDone(done) => {
                let named = Named { inputs: done.inputs.clone(), outputs: done.outputs.clone() };
                self.name(done.task, &named, &[]);
                return Some((done.task, named));
            }
            _ => {}
        }
        None
    }

    /// A task.
    pub(crate) fn get(&self, task: EnvelopeId) -> Option<&Run> {
        self.runs.get(&task)
    }

    /// Marks a task as ended, and says whether it had been before.
    pub(crate) fn end(&mut self, task: EnvelopeId) -> bool {
        let run = self.runs.get_mut(&task);
        run.is_some_and(|run| std::mem::replace(&mut run.has_ended, true))
    }

    fn wish(&mut self, id: EnvelopeId, trace: Option<TraceId>, terms: &IntentTerms) {
        let label = terms.labels.iter().find(|label| label.key.as_str() == TASK_LABEL_KEY);
        let name = label.map_or(terms.outcome.as_str(), |label| label.value.as_str()).to_owned();
        self.wishes.insert(id, Wish { name, trace, inputs: terms.inputs.clone() });
    }

    fn start(&mut self, id: EnvelopeId, trace: Option<TraceId>, start: &TaskStart) -> Named {
        let wish = self.wishes.get(&start.intent).cloned().unwrap_or_default();
        let run = Run {
            name: if wish.name.is_empty() { id.to_string() } else { wish.name },
            trace: trace.or(wish.trace),
            attempt: start.attempt,
            executor: self.executors.get(&start.offer).copied(),
            upstream: start.replaces.into_iter().collect(),
            has_ended: false,
        };
        self.runs.insert(id, run);
        let named = Named { inputs: wish.inputs, outputs: Vec::new() };
        self.name(id, &named, &start.depends_on);
        named
    }

    fn name(&mut self, task: EnvelopeId, named: &Named, depends_on: &[EnvelopeId]) {
        let makers = named.inputs.iter().filter_map(|data| self.makers.get(&key(data)));
        let before: Vec<EnvelopeId> = makers.flatten().chain(depends_on).copied().collect();
        if let Some(run) = self.runs.get_mut(&task) {
            run.upstream.extend(before.into_iter().filter(|before| *before != task));
        }
        for output in &named.outputs {
            self.makers.entry(key(output)).or_default().insert(task);
        }
    }
}

/// Data is the same when URI and digest are.
fn key(data: &DataRef) -> DataEntry {
    DataEntry { uri: data.uri.to_string(), digest: data.digest }
}
