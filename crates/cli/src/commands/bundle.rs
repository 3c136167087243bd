//! `tally bundle`: everything that says how a task or data came about, in one file that anyone can
//! check offline.
//!
//! The log is read from its first event on, every rule is run again, and the tree is built from the
//! bytes that were read: nothing that a server or a disk says is taken over unchecked. What is made
//! is judged as its reader will judge it before it is written.

use std::path::Path;

use serde_json::json;
use tally_client::Direction;
use tally_protocol::{AsOf, Digest, EnvelopeId, Event, Position, TreeSize};
use tally_provenance::{Causality, Closure, DataEntry, Graph, LeftOut, Start, Subject};
use tally_store::LogReader;
use tally_tlog::{
    HashReader, LeafIndex, MemoryTree, NodeId, SignedCheckpoint, SubsetProof, VerifierKey,
    consistency_proof, subset_proof,
};
use tally_verify::{Bundle, Older, Omission, Trust, Verdict, verify_bundle};

use crate::args::{BundleArgs, SourceArgs};
use crate::error::CliError;
use crate::keys::{log_key_argument, log_key_in, parse_origin, read_bytes};
use crate::output::Output;
use crate::source::Source;

pub(crate) async fn run(args: BundleArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let key = log_key(&source, &args.source)?;
    let older = args.older.as_deref().map(read_checkpoint).transpose()?;
    let checkpoint = head(&source).await?;
    let log = Log::read(&source, checkpoint.unverified().size, output).await?;
    let subject = log.subject(&args)?;
    let closure = log.closure(&subject, args.depth)?;
    let bundle = Bundle {
        origin: parse_origin(key.name().as_str())?,
        events: log.events(&source, &closure).await?,
        nodes: log.prove(&closure)?,
        older: older.map(|older| log.grown_from(older)).transpose()?,
        omitted: omissions(&closure, args.depth),
        subject,
        checkpoint,
    };
    write(&bundle, key, &args.out, output)
}

/// The key that the reader of the bundle is to trust.
fn log_key(source: &Source, args: &SourceArgs) -> Result<VerifierKey, CliError> {
    let known = match (source, &args.log_key, &args.data) {
        (Source::Server(client), _, _) => Some(client.log_key().clone()),
        (Source::Directory(_), Some(key), _) => Some(log_key_argument(key)?),
        (Source::Directory(_), None, Some(data)) => log_key_in(data)?,
        (Source::Directory(_), None, None) => None,
    };
    known.ok_or_else(|| {
        CliError::Usage(
            "no log key is known, and nothing unchecked is written: pass --log-key".into(),
        )
    })
}

/// The last checkpoint. Its signature is checked when the bundle is judged.
async fn head(source: &Source) -> Result<SignedCheckpoint, CliError> {
    let empty = || CliError::Absent("the ledger is empty".into());
    match source {
        Source::Server(client) => {
            let checkpoint = client.head().await?.checkpoint.ok_or_else(empty)?;
            Ok(checkpoint.signed().clone())
        }
        Source::Directory(reader) if reader.tip().size == TreeSize::ZERO => Err(empty()),
        Source::Directory(reader) => SignedCheckpoint::parse(&reader.checkpoint())
            .map_err(|error| CliError::failed("the log's last checkpoint", error)),
    }
}

/// What a log leads to, read once.
struct Log {
    causality: Causality,
    graph: Graph,
    tree: MemoryTree,
}

impl Log {
    async fn read(source: &Source, size: TreeSize, output: Output) -> Result<Self, CliError> {
        let bar = output.progress("reading", size.as_u64());
        let (mut causality, mut graph) = (Causality::new(), Graph::new());
        let mut tree = MemoryTree::new();
        source
            .replay(Some(AsOf::Size(size)), |event, _| {
                let parsed = event.signed().parse();
                let parsed = parsed.map_err(|error| CliError::failed(event.position(), error))?;
                let (position, id, said) = (event.position(), parsed.id(), parsed.envelope());
                causality.fold(position, id, said);
                graph.fold(position, event.recorded_at(), id, said);
                tree.append(event.leaf());
                bar.set_position(position.0);
                Ok(())
            })
            .await?;
        bar.finish_and_clear();
        Ok(Self { causality, graph, tree })
    }

    /// A task by its id or its label, or data by its URI.
    fn subject(&self, args: &BundleArgs) -> Result<Subject, CliError> {
        let text = &args.subject;
        let made = self.made(text, args.digest);
        let task = text.parse::<EnvelopeId>().ok().or_else(|| self.task_labelled(text));
        match (&made[..], task) {
            ([], Some(task)) => Ok(Subject::Task(task)),
            ([data], None) => Ok(Subject::Data(data.clone())),
            ([], None) => Err(CliError::Absent(format!(
                "no task has the id or the label {text:?}, and no task made data of that URI"
            ))),
            ([_, ..], Some(_)) => Err(CliError::Usage(format!(
                "{text:?} is both a task's label and the URI of data; name the task by its id"
            ))),
            (several, None) => {
                let digests: Vec<_> = several.iter().map(|data| data.digest.to_string()).collect();
                let digests = digests.join("\n  ");
                Err(CliError::Usage(format!(
                    "data of several digests is at {text:?}; pass --digest with one of\n  {digests}"
                )))
            }
        }
    }

    /// Data of this URI that a task made.
    fn made(&self, uri: &str, digest: Option<Digest>) -> Vec<DataEntry> {
        let known = self.graph.lineage(Start::DataUri(uri), Direction::Up, Some(0));
        let known = known.map(|lineage| lineage.start.data).unwrap_or_default();
        let is_made = |data: &DataEntry| {
            let subject = Subject::Data(data.clone());
            self.causality.closure(&subject, Some(0)).is_some()
        };
        let wanted = |data: &DataEntry| digest.is_none_or(|digest| digest == data.digest);
        known.into_iter().filter(|data| wanted(data) && is_made(data)).collect()
    }

    /// The last attempt of this label.
    fn task_labelled(&self, label: &str) -> Option<EnvelopeId> {
        let lineage = self.graph.lineage(Start::TaskLabel(label), Direction::Up, Some(0)).ok()?;
        let mut attempts = lineage.start.tasks.into_iter().flat_map(|task| task.ids);
        attempts.next_back()
    }

    fn closure(&self, subject: &Subject, depth: Option<u32>) -> Result<Closure, CliError> {
        self.causality.closure(subject, depth).ok_or_else(|| {
            CliError::Absent(match subject {
                Subject::Task(id) => format!("no task {id} is in this ledger"),
                Subject::Data(data) => format!("no task made {}", data.uri),
            })
        })
    }

    /// The events of a closure, with the bytes that were read before.
    async fn events(&self, source: &Source, closure: &Closure) -> Result<Vec<Event>, CliError> {
        let mut events = Vec::with_capacity(closure.positions.len());
        for (from, to) in runs(closure) {
            match source {
                Source::Server(client) => {
                    let mut answers = client.read(from, Some(to)).await?;
                    while let Some(event) = answers.next().await? {
                        events.push(event);
                    }
                }
                Source::Directory(reader) => {
                    for position in from.0..to.0 {
                        events.push(reader.event(Position(position))?);
                    }
                }
            }
        }
        let positions: Vec<_> = events.iter().map(Event::position).collect();
        let known = |event: &Event| {
            let leaf = NodeId::leaf(event.position().leaf());
            self.tree.read(&[leaf]).is_ok_and(|known| known == [event.leaf()])
        };
        if !closure.positions.iter().eq(&positions) || !events.iter().all(known) {
            return Err(CliError::Absent("the ledger shows other events than before".into()));
        }
        Ok(events)
    }

    fn prove(&self, closure: &Closure) -> Result<SubsetProof, CliError> {
        let leaves: Vec<LeafIndex> =
            closure.positions.iter().map(|position| position.leaf()).collect();
        subset_proof(&self.tree, &leaves, self.tree.size())
            .map_err(|error| CliError::failed("the proof", error))
    }

    /// The proof that the log has grown from a checkpoint of the reader's.
    fn grown_from(&self, checkpoint: SignedCheckpoint) -> Result<Older, CliError> {
        let older = checkpoint.unverified();
        let known = self.tree.root_at(older.size);
        if known.is_ok_and(|root| root != older.root) || older.size > self.tree.size() {
            return Err(CliError::Absent(format!(
                "the older checkpoint of size {} is not of this history",
                older.size
            )));
        }
        let proof = consistency_proof(&self.tree, older.size, self.tree.size())
            .map_err(|error| CliError::failed("the proof from the older checkpoint", error))?;
        Ok(Older { checkpoint, proof })
    }
}

/// Neighbouring positions as ranges, to be read together: the first, and the one after the last.
fn runs(closure: &Closure) -> Vec<(Position, Position)> {
    let mut runs: Vec<(Position, Position)> = Vec::new();
    for &position in &closure.positions {
        match runs.last_mut() {
            Some((_, to)) if *to == position => *to = position.next(),
            _ => runs.push((position, position.next())),
        }
    }
    runs
}

fn omissions(closure: &Closure, depth: Option<u32>) -> Vec<Omission> {
    let depth = depth.unwrap_or_default();
    let why = match depth {
        0 => "before the subject".to_owned(),
        steps => format!("more than {steps} steps before the subject"),
    };
    let omission = |what: &LeftOut| Omission { what: what.clone(), why: why.clone() };
    closure.left_out.iter().map(omission).collect()
}

fn read_checkpoint(path: &Path) -> Result<SignedCheckpoint, CliError> {
    SignedCheckpoint::parse(&read_bytes(path)?)
        .map_err(|error| CliError::Usage(format!("{} is no checkpoint: {error}", path.display())))
}

/// Writes a bundle that its reader will find valid, or incomplete as it says itself.
fn write(bundle: &Bundle, key: VerifierKey, out: &Path, output: Output) -> Result<(), CliError> {
    let bytes = bundle.to_bytes();
    let trust = Trust { origin: bundle.origin.clone(), keys: vec![key], earlier: Vec::new() };
    let bar = output.progress("checking", bundle.events.len() as u64);
    let report = verify_bundle(&bytes, &trust, |events| bar.set_position(events as u64));
    bar.finish_and_clear();
    let as_declared = report.missing.iter().all(|missing| missing.declared);
    if report.verdict == Verdict::Invalid || !as_declared {
        return Err(CliError::Absent(format!("nothing was written: {}", report.summary)));
    }
    std::fs::write(out, &bytes).map_err(|error| CliError::failed(out.display(), error))?;
    let size = report.checkpoint.as_ref().map_or(0, |open| open.size().as_u64());
    let answer = json!({
        "file": out, "events": bundle.events.len(), "tree_size": size, "bytes": bytes.len(),
        "verdict": report.verdict, "summary": report.summary, "omitted": bundle.omitted,
    });
    output.answer(&answer, |_| {
        let out = out.display();
        format!(
            "{}\n{out}: {} events, {} bytes\ncheck it with: tally verify {out} --log-key KEY",
            report.summary,
            bundle.events.len(),
            bytes.len()
        )
    });
    Ok(())
}
