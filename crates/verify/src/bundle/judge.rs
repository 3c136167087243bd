//! Judging a bundle: no network, no clock, no trust in the file.
//!
//! First that a trusted key signed a tree in which these bytes stand where they say. Then what a
//! ledger must hold to, event by event, as far as it can be said without the events between. The
//! rules are those of the ledger, on the state of an excerpt ([`State::excerpt`]).

use std::collections::{BTreeMap, BTreeSet};

use tally_coordination::{Decision, Object, Refusal, Rule, State};
use tally_protocol::{AgentId, AuthorSequence, ChainHash, EnvelopeId, Position, Time, TreeSize};
use tally_provenance::{DataEntry, Direction, Graph, LeftOut, NodeRef, Start, Subject};
use tally_tlog::{
    LeafIndex, SignedCheckpoint, VerifiedCheckpoint, subset_root, verify_consistency,
};

use super::file::{Bundle, BundleError};
use super::report::{BundleFault, BundleReport, Missing};
use crate::examine::{Examined, examine};
use crate::judge::Trust;
use crate::report::{Decisions, Verdict};
use crate::rerun::Rerun;

/// Events that are examined together, between two words on progress.
const CHUNK_EVENTS: usize = 4_096;

/// Judges the bytes of a bundle; `progress` is told how many events were examined, and then how many
/// were judged.
pub fn verify_bundle(bytes: &[u8], trust: &Trust, mut progress: impl FnMut(usize)) -> BundleReport {
    match Bundle::parse(bytes) {
        Err(error) => unreadable(&error),
        Ok(bundle) => {
            let mut judge = Judge::new(&bundle, trust);
            let end = judge.judge(&mut progress);
            judge.report(end.err())
        }
    }
}

/// Why judging ended before its end.
enum Stop {
    Bad(BundleFault),
    Missing(Missing),
}

type Outcome<T> = Result<T, Stop>;

fn bad<T>(position: Option<Position>, rule: &str, found: impl ToString) -> Outcome<T> {
    Err(Stop::Bad(BundleFault { position, rule: rule.to_owned(), found: found.to_string() }))
}

fn missing<T>(position: Option<Position>, found: impl ToString) -> Outcome<T> {
    let found = found.to_string();
    Err(Stop::Missing(Missing { position, envelope: None, found, declared: false }))
}

struct Judge<'b> {
    bundle: &'b Bundle,
    trust: &'b Trust,
    checkpoint: Option<VerifiedCheckpoint>,
    /// The older checkpoint, once the log was shown to have grown from it.
    older: Option<VerifiedCheckpoint>,
    rerun: Rerun,
    graph: Graph,
    /// Envelopes of the file, wherever they stand.
    present: BTreeSet<EnvelopeId>,
    before: Option<(Position, ChainHash, Time)>,
    held: usize,
    authors: BTreeMap<AgentId, AuthorSequence>,
    /// Envelopes of those authors that lie between.
    skipped: u64,
    /// Evaluations in which the record of the providers was believed.
    believed: u64,
}

impl<'b> Judge<'b> {
    fn new(bundle: &'b Bundle, trust: &'b Trust) -> Self {
        let left_out = bundle.omitted.iter().filter_map(|omission| match &omission.what {
            LeftOut::Envelope(id) => Some(*id),
            LeftOut::Data(_) => None,
        });
        Self {
            bundle,
            trust,
            checkpoint: None,
            older: None,
            rerun: Rerun::new(State::excerpt(trust.origin.clone(), left_out)),
            graph: Graph::new(),
            present: BTreeSet::new(),
            before: None,
            held: 0,
            authors: BTreeMap::new(),
            skipped: 0,
            believed: 0,
        }
    }

    fn judge(&mut self, progress: &mut impl FnMut(usize)) -> Outcome<()> {
        let checkpoint = self.open_checkpoints()?;
        let examined = self.examine(progress);
        self.check_tree(&examined, &checkpoint)?;
        for (at, examined) in examined.iter().enumerate() {
            self.event(examined)?;
            if at % CHUNK_EVENTS == 0 {
                progress(at);
            }
        }
        progress(self.held);
        self.check_subject()?;
        self.check_earlier(&checkpoint)
    }

    // -------------------------------------------------------------- the tree head

    fn open_checkpoints(&mut self) -> Outcome<VerifiedCheckpoint> {
        if self.trust.keys.is_empty() {
            return missing(None, "no log key is known: pass --log-key with the one you trust");
        }
        if self.bundle.origin != self.trust.origin {
            let found = format!("is of {}, the key of {}", self.bundle.origin, self.trust.origin);
            return bad(None, "origin", found);
        }
        let checkpoint = self.open(&self.bundle.checkpoint)?;
        if let Some(older) = &self.bundle.older {
            let open = self.open(&older.checkpoint)?;
            let grown = verify_consistency(
                open.size(),
                checkpoint.size(),
                open.root(),
                checkpoint.root(),
                &older.proof,
            );
            if let Err(error) = grown {
                return bad(None, "tree", format!("from the older checkpoint: {error}"));
            }
            self.older = Some(open);
        }
        self.checkpoint = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    fn open(&self, signed: &SignedCheckpoint) -> Outcome<VerifiedCheckpoint> {
        signed
            .open(&self.trust.keys, &self.trust.origin)
            .or_else(|error| bad(None, "checkpoint", error))
    }

    /// The signed tree has these bytes where they say that they are.
    fn check_tree(&self, examined: &[Examined], checkpoint: &VerifiedCheckpoint) -> Outcome<()> {
        let leaves: Vec<_> = examined
            .iter()
            .map(|examined| (LeafIndex::new(examined.event.position().0), examined.leaf))
            .collect();
        match subset_root(&leaves, checkpoint.size(), &self.bundle.nodes) {
            Err(error) => bad(None, "tree", error),
            Ok(root) if root != checkpoint.root() => {
                let signed = checkpoint.root();
                bad(
                    None,
                    "tree",
                    format!("events and nodes lead to root {root}, {signed} is signed"),
                )
            }
            Ok(_) => Ok(()),
        }
    }

    // -------------------------------------------------------------- the events

    fn examine(&mut self, progress: &mut impl FnMut(usize)) -> Vec<Examined> {
        let mut all = Vec::with_capacity(self.bundle.events.len());
        for chunk in self.bundle.events.chunks(CHUNK_EVENTS) {
            all.extend(examine(chunk.to_vec()));
            progress(all.len());
        }
        let known = all.iter().filter_map(|examined| examined.envelope.as_ref().ok());
        self.present = known.map(|envelope| envelope.id()).collect();
        all
    }

    fn event(&mut self, examined: &Examined) -> Outcome<()> {
        let Examined { event, chain, envelope, .. } = examined;
        let (position, at) = (event.position(), event.recorded_at());
        self.check_place(examined)?;
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(fault) => return bad(Some(position), fault.rule(), fault),
        };
        let (id, said) = (envelope.id(), envelope.envelope());
        if let Some(first) = self.rerun.state.position_of(&id) {
            let found = format!("the envelope stands at {first} already");
            return bad(Some(position), "position", found);
        }
        self.rerun.state.skip_to(position);
        let decisions = self
            .rerun
            .take(position, envelope, at)
            .map_err(|refusal| self.refused(position, refusal))?;
        self.graph.fold(position, at, id, said);
        self.believed +=
            decisions.iter().filter(|decision| rests_on_records(decision)).count() as u64;
        let next = self.authors.entry(said.author).or_default();
        // An excerpt may claim any sequences: their sum need not be a number.
        let between = said.author_sequence.0 - next.0;
        self.skipped = self.skipped.saturating_add(between);
        *next = said.author_sequence.next();
        self.before = Some((position, *chain, at));
        self.held += 1;
        Ok(())
    }

    /// What an event says of the log around it.
    fn check_place(&self, examined: &Examined) -> Outcome<()> {
        let event = &examined.event;
        let (position, at) = (event.position(), event.recorded_at());
        let link = match self.before {
            _ if position == Position(0) => Some(ChainHash::genesis(&self.trust.origin)),
            Some((before, chain, _)) if before.next() == position => Some(chain),
            _ => None,
        };
        if let Some(link) = link.filter(|link| *link != event.previous_chain()) {
            let found = format!("links to {}, the log is at {link}", event.previous_chain());
            return bad(Some(position), "chain", found);
        }
        match self.before {
            Some((_, _, before)) if at < before => {
                let found = format!("recorded at {at} µs, after an event of {before} µs");
                bad(Some(position), "time", found)
            }
            _ => Ok(()),
        }
    }

    /// What is absent can't be judged; everything else that the rules refuse is wrong.
    fn refused(&self, position: Position, refusal: Refusal) -> Stop {
        let absent = match (refusal.rule, refusal.object) {
            (Rule::Reference, Object::Envelope(id)) if !self.present.contains(&id) => Some(id),
            _ => None,
        };
        if absent.is_some() || refusal.rule == Rule::SchemaAtHand {
            let declared = absent.is_some_and(|id| self.is_declared(&id));
            let found = match absent {
                Some(id) => format!("{} names envelope {id}", refusal.field),
                None => format!("{} {}", refusal.field, refusal.found),
            };
            let position = Some(position);
            return Stop::Missing(Missing { position, envelope: absent, found, declared });
        }
        let rule = refusal.rule.code().to_owned();
        let found = format!(
            "{refusal} (either the operator admitted what the rules refuse, or the file leaves out \
             what it rests on)"
        );
        Stop::Bad(BundleFault { position: Some(position), rule, found })
    }

    fn is_declared(&self, id: &EnvelopeId) -> bool {
        let omitted = self.bundle.omitted.iter();
        omitted.into_iter().any(|omission| omission.what == LeftOut::Envelope(*id))
    }

    // -------------------------------------------------------------- the whole

    fn check_subject(&self) -> Outcome<()> {
        match &self.bundle.subject {
            Subject::Task(id) if self.rerun.state.task(id).is_some() => Ok(()),
            Subject::Task(id) => missing(None, format!("its subject, task {id}")),
            Subject::Data(data) if self.is_made(data) => Ok(()),
            Subject::Data(data) => {
                let DataEntry { uri, digest } = data;
                missing(None, format!("a task that made its subject, {uri} of digest {digest}"))
            }
        }
    }

    fn is_made(&self, data: &DataEntry) -> bool {
        let start = Start::Node(NodeRef::from(data.clone()));
        let up = self.graph.lineage(start, Direction::Up, Some(1));
        up.is_ok_and(|lineage| !lineage.tasks.is_empty())
    }

    /// The tree heads that the examiner kept are of the same history.
    fn check_earlier(&self, checkpoint: &VerifiedCheckpoint) -> Outcome<()> {
        let heads = [Some(checkpoint), self.older.as_ref()];
        for kept in &self.trust.earlier {
            let size = kept.size;
            let same = heads.iter().flatten().find(|head| head.size() == size);
            match same {
                Some(head) if head.root() == kept.root => {}
                None if size == TreeSize::ZERO => {}
                Some(_) => {
                    let found = format!(
                        "the tree of size {size} is not the one of the checkpoint you kept"
                    );
                    return bad(None, "tree", found);
                }
                None => {
                    let found = format!(
                        "a proof from the checkpoint of size {size} that you kept; make the bundle \
                         with --older"
                    );
                    return missing(None, found);
                }
            }
        }
        Ok(())
    }

    // -------------------------------------------------------------- the report

    fn report(self, stop: Option<Stop>) -> BundleReport {
        let whole = stop.is_none();
        let (first_bad, mut missing) = match stop {
            None => (None, Vec::new()),
            Some(Stop::Bad(fault)) => (Some(fault), Vec::new()),
            Some(Stop::Missing(absent)) => (None, vec![absent]),
        };
        missing.extend(self.bundle.omitted.iter().map(|omission| {
            let (envelope, what) = match &omission.what {
                LeftOut::Envelope(id) => (Some(*id), format!("envelope {id}")),
                LeftOut::Data(data) => (None, format!("the tasks that made {}", data.uri)),
            };
            let found = format!("{what}: {}", omission.why);
            Missing { position: None, envelope, found, declared: true }
        }));
        let verdict = match (&first_bad, missing.is_empty()) {
            (Some(_), _) => Verdict::Invalid,
            (None, false) => Verdict::Incomplete,
            (None, true) => Verdict::Valid,
        };
        let workflow = self.graph.workflow(None);
        let critical_path = workflow.critical_path();
        let start = match &self.bundle.subject {
            Subject::Task(id) => NodeRef::Task(*id),
            Subject::Data(data) => NodeRef::from(data.clone()),
        };
        let lineage = self.graph.lineage(Start::Node(start), Direction::Up, None);
        let mut report = BundleReport {
            verdict,
            summary: String::new(),
            origin: Some(self.bundle.origin.clone()),
            subject: Some(self.bundle.subject.clone()),
            checkpoint: self.checkpoint.clone(),
            events: self.bundle.events.len(),
            held: self.held,
            first_bad,
            missing,
            decisions: self.rerun.decisions(),
            covers: self.covers(whole),
            does_not_cover: self.does_not_cover(),
            workflow,
            critical_path,
            lineage: lineage.ok().map(|lineage| lineage.summary()),
        };
        report.summary = summary(&report, self.authors.len());
        report
    }

    fn covers(&self, whole: bool) -> Vec<String> {
        let Some(checkpoint) = &self.checkpoint else { return Vec::new() };
        let (size, origin) = (checkpoint.size(), checkpoint.origin());
        let mut covers = vec![format!("the log key of {origin} signed a tree of {size} events")];
        if let Some(older) = &self.older {
            covers.push(format!("that log has only grown since it had {} events", older.size()));
        }
        if self.held > 0 {
            covers.push(format!(
                "{} stand in it at their positions, signed by their authors, in order, each allowed \
                 by every rule",
                count(self.held as u64, "event")
            ));
        }
        let decisions = self.rerun.decisions().count;
        if decisions > 0 {
            covers.push(format!("{} made again", count(decisions, "decision")));
        }
        if whole && !self.trust.earlier.is_empty() {
            covers.push("the checkpoints that you kept are of the same history".into());
        }
        covers
    }

    fn does_not_cover(&self) -> Vec<String> {
        let mut not = vec![
            "that nothing else happened: a bundle shows what is in it, never what is not"
                .to_owned(),
            "the data itself, of which only digests are on record".to_owned(),
        ];
        if self.skipped > 0 {
            not.push(format!(
                "{} of these authors that came between and are not here",
                count(self.skipped, "envelope")
            ));
        }
        if self.believed > 0 {
            not.push(format!(
                "the track records that {} name: they follow from the whole log",
                count(self.believed, "evaluation")
            ));
        }
        not
    }
}

/// Whether a decision was made with scores that follow from a whole history.
fn rests_on_records(decision: &Decision) -> bool {
    matches!(decision, Decision::Award { evaluation: Some(_), .. })
}

fn unreadable(error: &BundleError) -> BundleReport {
    let fault = BundleFault { position: None, rule: "format".to_owned(), found: error.to_string() };
    let graph = Graph::new();
    let workflow = graph.workflow(None);
    let mut report = BundleReport {
        verdict: Verdict::Invalid,
        summary: String::new(),
        origin: None,
        subject: None,
        checkpoint: None,
        events: 0,
        held: 0,
        first_bad: Some(fault),
        missing: Vec::new(),
        decisions: Decisions::none(),
        covers: Vec::new(),
        does_not_cover: Vec::new(),
        critical_path: workflow.critical_path(),
        workflow,
        lineage: None,
    };
    report.summary = summary(&report, 0);
    report
}

/// The verdict in one line.
fn summary(report: &BundleReport, authors: usize) -> String {
    let verdict = report.verdict.name();
    if let Some(BundleFault { position, rule, found }) = &report.first_bad {
        let place = match position {
            Some(position) => format!("position {position}"),
            None => "the file".into(),
        };
        return format!("{verdict}: {place} breaks rule {rule}: {found}");
    }
    let subject = report.subject.as_ref().map(|subject| subject_name(report, subject));
    let subject = subject.unwrap_or_default();
    let events = count(report.held as u64, "event");
    if let Some(Missing { position, found, declared, .. }) = report.missing.first() {
        let place = match position {
            Some(position) => format!("the event at position {position} can't be judged: "),
            None => String::new(),
        };
        let said = if *declared { ", as the file says" } else { "" };
        return format!(
            "{verdict}: {events} about {subject} hold, but something is not here{said}: \
             {place}{found}"
        );
    }
    let Some(checkpoint) = &report.checkpoint else { return verdict.to_owned() };
    let tasks = count(report.workflow.tasks().len() as u64, "task");
    let agents = count(authors as u64, "agent");
    let (size, origin) = (checkpoint.size(), checkpoint.origin());
    format!(
        "{verdict}: {events} prove how {subject} came about: {tasks} by {agents}, up to checkpoint \
         {size} of {origin}"
    )
}

fn subject_name(report: &BundleReport, subject: &Subject) -> String {
    match subject {
        Subject::Data(data) => data.uri.clone(),
        Subject::Task(id) => {
            let tasks = report.workflow.tasks();
            let label =
                tasks.iter().find(|task| task.id == *id).and_then(|task| task.label.clone());
            let short = || id.to_string().chars().take(12).collect();
            format!("task {}", label.unwrap_or_else(short))
        }
    }
}

fn count(number: u64, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}
