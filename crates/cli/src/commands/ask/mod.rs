//! `tally ask`: questions to the provenance graph, of a server or of a directory. The answers are of
//! the same types.

mod text;

use std::io::Read as _;

use serde::Serialize;
use tally_client::{Client, Error as ClientError, GetLineageResponse, LineageStart};
use tally_coordination::award::AwardsView;
use tally_node::history::fold_graph;
use tally_protocol::{AsOf, Digest, EnvelopeId, Position};
use tally_provenance::{
    Blame, Bottlenecks, Cause, Difference, Graph, Impact, Keys, NodeRef, Start, Unanswered, View,
    Whereabouts, Why,
};

use crate::args::{
    AskArgs, AwardArgs, Cli, Command, EachArgs, FlowArgs, ImpactArgs, LedgerArgs, LineageArgs,
    LineageStartArgs, Question, SourceArgs,
};
use crate::commands::lineage::LineageAnswer;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

/// Most bytes of a file of questions.
const MAX_QUESTIONS_BYTES: u64 = 64 * 1024 * 1024;

/// An answer, in JSON as itself.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Why(Why),
    Where(Whereabouts),
    Blame(Blame),
    Keys(Keys),
    Impact(Impact),
    Award(AwardsView),
    Difference(Difference),
    Bottlenecks(Bottlenecks),
    Lineage(LineageAnswer),
}

pub(crate) async fn run(args: AskArgs, output: Output) -> Result<(), CliError> {
    if let Question::Each(args) = args.question {
        return each(args, output).await;
    }
    let ledger = Ledger::open(&source(&args.question).source, output).await?;
    let answer = ledger.answer(&args.question).await?;
    output.answer(&answer, text::text);
    Ok(())
}

fn source(question: &Question) -> &LedgerArgs {
    match question {
        Question::Why(args)
        | Question::Where(args)
        | Question::Blame(args)
        | Question::Keys(args) => &args.ledger,
        Question::Impact(args) => &args.ledger,
        Question::Award(args) => &args.ledger,
        Question::Difference(args) => &args.ledger,
        Question::Bottlenecks(args) => &args.ledger,
        Question::Each(_) => unreachable!("many questions are taken apart before"),
    }
}

/// Answers line by line; a question without an answer does not end the others.
async fn each(args: EachArgs, output: Output) -> Result<(), CliError> {
    let ledger = Ledger::open(&args.source, output).await?;
    for (number, line) in (1..).zip(read_lines(&args)?.lines()) {
        let usage = |cause: String| CliError::Usage(format!("question {number}: {cause}"));
        let words: Vec<String> =
            serde_json::from_str(line).map_err(|error| usage(error.to_string()))?;
        let words = std::iter::once("tally".to_owned()).chain(words);
        let cli = <Cli as clap::Parser>::try_parse_from(words);
        let cli = cli.map_err(|error| usage(error.to_string()))?;
        let own_source = || usage("it names a ledger of its own".into());
        let answer = match cli.command {
            Command::Lineage(args) if args.ledger.source.data.is_some() => return Err(own_source()),
            Command::Lineage(args) => ledger.lineage(&args).await.map(Answer::Lineage),
            Command::Ask(AskArgs { question: Question::Each(_) }) => {
                return Err(usage("questions do not nest".into()));
            }
            Command::Ask(args) if source(&args.question).source.data.is_some() => {
                return Err(own_source());
            }
            Command::Ask(args) => ledger.answer(&args.question).await,
            _ => return Err(usage("only `ask` and `lineage` can be asked here".into())),
        };
        let line = match answer {
            Ok(answer) => serde_json::to_string(&answer).expect("answers have string keys"),
            Err(error @ (CliError::Absent(_) | CliError::Refused(_))) => {
                error.to_json().to_string()
            }
            Err(error) => return Err(error),
        };
        output.line(&line);
    }
    Ok(())
}

fn read_lines(args: &EachArgs) -> Result<String, CliError> {
    let failed = |error| CliError::failed(args.file.display(), error);
    let reader: Box<dyn std::io::Read> = match args.file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(&args.file).map_err(failed)?),
    };
    let mut text = String::new();
    let read = reader.take(MAX_QUESTIONS_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    match read as u64 > MAX_QUESTIONS_BYTES {
        true => Err(CliError::Usage(format!("more than {MAX_QUESTIONS_BYTES} bytes of questions"))),
        false => Ok(text),
    }
}

/// A ledger that is asked: a directory is folded once for all questions.
pub(crate) struct Ledger {
    source: Source,
    /// Of a directory.
    graph: Option<Graph>,
}

impl Ledger {
    pub(crate) async fn open(args: &SourceArgs, output: Output) -> Result<Self, CliError> {
        let source = Source::open(args, output).await?;
        let graph = match &source {
            Source::Server(_) => None,
            Source::Directory(reader) => Some(fold_graph(reader)?),
        };
        Ok(Self { source, graph })
    }

    async fn answer(&self, question: &Question) -> Result<Answer, CliError> {
        Ok(match question {
            Question::Why(args) => Answer::Why(
                self.flow(
                    args,
                    |view, start| view.why(start),
                    async |client, start, as_of| client.why(start, as_of).await,
                )
                .await?,
            ),
            Question::Where(args) => Answer::Where(
                self.flow(
                    args,
                    |view, start| view.whereabouts(start),
                    async |client, start, as_of| client.whereabouts(start, as_of).await,
                )
                .await?,
            ),
            Question::Blame(args) => Answer::Blame(
                self.flow(
                    args,
                    |view, start| view.blame(start),
                    async |client, start, as_of| client.blame(start, as_of).await,
                )
                .await?,
            ),
            Question::Keys(args) => Answer::Keys(
                self.flow(
                    args,
                    |view, start| view.keys(start),
                    async |client, start, as_of| client.keys(start, as_of).await,
                )
                .await?,
            ),
            Question::Impact(args) => Answer::Impact(self.impact(args).await?),
            Question::Award(args) => Answer::Award(self.awards(args).await?),
            Question::Difference(args) => {
                let (first, second) = (&args.first, &args.second);
                let ask = |view: View<'_>| view.difference(first, second);
                let as_of = args.ledger.at.as_of;
                let server =
                    async |client: &Client| client.difference((first, second), as_of).await;
                Answer::Difference(self.ask(as_of, ask, server).await?)
            }
            Question::Bottlenecks(args) => {
                let as_of = args.ledger.at.as_of;
                let server = async |client: &Client| client.bottlenecks(&args.run, as_of).await;
                let ask = |view: View<'_>| view.bottlenecks(&args.run);
                Answer::Bottlenecks(self.ask(as_of, ask, server).await?)
            }
            Question::Each(_) => unreachable!("many questions are taken apart before"),
        })
    }

    /// Asks the graph of the directory, or the server.
    async fn ask<T>(
        &self,
        as_of: Option<AsOf>,
        graph: impl FnOnce(View<'_>) -> Result<T, Unanswered>,
        server: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, CliError> {
        match (&self.source, &self.graph) {
            (Source::Server(client), _) => Ok(server(client).await?),
            (Source::Directory(_), Some(folded)) => {
                let view = as_of.map_or_else(|| Ok(folded.head()), |moment| folded.as_of(moment));
                Ok(view.and_then(graph)?)
            }
            (Source::Directory(_), None) => unreachable!("a directory is folded when it is opened"),
        }
    }

    async fn flow<T>(
        &self,
        args: &FlowArgs,
        graph: impl Fn(View<'_>, &Start<'_>) -> Result<T, Unanswered>,
        server: impl AsyncFn(&Client, &Start<'_>, Option<AsOf>) -> Result<T, ClientError>,
    ) -> Result<T, CliError> {
        let as_of = args.ledger.at.as_of;
        first_known(starts(&args.start, args.digest), async |start| {
            self.ask(
                as_of,
                |view| graph(view, start),
                async |client| server(client, start, as_of).await,
            )
            .await
        })
        .await
    }

    async fn impact(&self, args: &ImpactArgs) -> Result<Impact, CliError> {
        let (as_of, from) = (args.ledger.at.as_of, Position(args.from));
        let ask = async |cause: &Cause<'_>| {
            self.ask(
                as_of,
                |view| view.impact(cause),
                async |client| client.impact(cause, as_of).await,
            )
            .await
        };
        let cause = &args.cause;
        if let Some(agent) = cause.agent {
            return ask(&Cause::Agent(agent, from)).await;
        }
        if let Some(key) = cause.key {
            return ask(&Cause::Key(key, from)).await;
        }
        if let Some(policy) = cause.policy {
            return ask(&Cause::Policy(policy)).await;
        }
        let (data_ref, task) = (cause.data_ref.clone(), cause.task.clone());
        let start = LineageStartArgs { data_ref, task };
        let starts = starts(&start, args.digest);
        first_known(starts, async |start| ask(&Cause::Flow(start.clone())).await).await
    }

    async fn awards(&self, args: &AwardArgs) -> Result<AwardsView, CliError> {
        let (as_of, against) = (args.ledger.at.as_of, args.against.as_ref());
        if let Source::Server(client) = &self.source {
            return Ok(client.awards(&args.id, against, as_of).await?);
        }
        let state = self.source.state_as_of(as_of).await?;
        AwardsView::of(&state, &args.id, against).ok_or_else(|| {
            CliError::Absent(format!("no intent or task {} is in this ledger", args.id))
        })
    }

    pub(crate) async fn lineage(&self, args: &LineageArgs) -> Result<LineageAnswer, CliError> {
        let (question, as_of) = (args.question(), args.ledger.at.as_of);
        first_known(starts(&args.start, None), async |start| {
            let graph = |view: View<'_>| {
                view.lineage(start.clone(), &question).map(|lineage| {
                    let summary = lineage.summary();
                    LineageAnswer { tasks: summary.tasks, data: summary.data }
                })
            };
            let server = async |client: &Client| {
                let asked = client.lineage(wire_start(start), &question, as_of).await;
                asked.map(|GetLineageResponse { tasks, data, .. }| LineageAnswer { tasks, data })
            };
            self.ask(as_of, graph, server).await
        })
        .await
    }
}

impl From<Unanswered> for CliError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Absent(unanswered.to_string())
    }
}

fn wire_start(start: &Start<'_>) -> LineageStart {
    match start {
        Start::DataUri(uri) => LineageStart::DataUri((*uri).to_owned()),
        Start::TaskLabel(label) => LineageStart::TaskLabel((*label).to_owned()),
        Start::Node(NodeRef::Task(id)) => LineageStart::Task(*id),
        Start::Node(_) => unreachable!("lineage is asked by URI, label or task"),
    }
}

/// What may be meant, in the order in which it is tried: a task is named by its label; a text that
/// is an id, and no label, names it by its id.
pub(crate) fn starts(args: &LineageStartArgs, digest: Option<Digest>) -> Vec<Start<'_>> {
    match (&args.data_ref, &args.task) {
        (Some(uri), _) => vec![match digest {
            Some(digest) => Start::Node(NodeRef::Data { uri: uri.clone(), digest }),
            None => Start::DataUri(uri),
        }],
        (None, Some(task)) => {
            let by_id = task.parse::<EnvelopeId>().ok();
            let by_id = by_id.map(|id| Start::Node(NodeRef::Task(id)));
            std::iter::once(Start::TaskLabel(task)).chain(by_id).collect()
        }
        (None, None) => unreachable!("the arguments require one of them"),
    }
}

/// The first answer that there is.
async fn first_known<'s, T>(
    starts: Vec<Start<'s>>,
    ask: impl AsyncFn(&Start<'s>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let (last, before) = starts.split_last().expect("something is asked about");
    for start in before {
        match ask(start).await {
            Err(CliError::Absent(_) | CliError::Refused(_)) => {}
            answer => return answer,
        }
    }
    ask(last).await
}
