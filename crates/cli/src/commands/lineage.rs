//! `tally lineage`: what data or a task came from, or what came of it.

use serde::Serialize;
use tally_client::{Client, Direction, Error as ClientError, GetLineageResponse, LineageStart};
use tally_node::history::fold_graph;
use tally_protocol::{EnvelopeId, TreeSize};
use tally_provenance::{Graph, NodeRef, Start, Unanswered};

use crate::args::{LineageArgs, LineageDirection, LineageStartArgs, Picture};
use crate::commands::export::history::graph_as_of;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

#[derive(Serialize)]
struct Answer {
    tasks: Vec<String>,
    data: Vec<String>,
}

pub(crate) async fn run(args: LineageArgs, output: Output) -> Result<(), CliError> {
    let direction = match args.direction {
        LineageDirection::Up => Direction::Up,
        LineageDirection::Down => Direction::Down,
    };
    let source = Source::open(&args.source, output).await?;
    if let Some(picture) = args.draw.picture() {
        return draw(&source, &args, direction, picture, output).await;
    }
    let answer = match source {
        Source::Directory(reader) => {
            let graph = fold_graph(&reader)?;
            let lineage = ask(&graph, &args.start, direction, args.depth)
                .map_err(|unknown| CliError::Absent(unknown.to_string()))?;
            let summary = lineage.summary();
            Answer { tasks: summary.tasks, data: summary.data }
        }
        Source::Server(client) => {
            let answer = ask_server(&client, &args, direction).await?;
            Answer { tasks: answer.tasks, data: answer.data }
        }
    };
    output.answer(&answer, |answer| text(answer, args.direction));
    Ok(())
}

/// A picture of the answer, from the events themselves, wherever they are.
async fn draw(
    source: &Source,
    args: &LineageArgs,
    direction: Direction,
    picture: Picture,
    output: Output,
) -> Result<(), CliError> {
    let (_, graph) = graph_as_of(source, None).await?;
    let lineage = ask(&graph, &args.start, direction, args.depth)
        .map_err(|unknown| CliError::Absent(unknown.to_string()))?;
    let drawn = match picture {
        Picture::Dot => lineage.to_dot(),
        Picture::Mermaid => lineage.to_mermaid(),
        Picture::Svg => lineage.to_svg(),
    };
    output.line(drawn.trim_end());
    Ok(())
}

/// A task is named by its label; a text that is an id, and no label, names it by its id.
fn ask(
    graph: &Graph,
    start: &LineageStartArgs,
    direction: Direction,
    depth: Option<u32>,
) -> Result<tally_provenance::Lineage, Unanswered> {
    match (&start.data_ref, &start.task) {
        (Some(uri), _) => graph.lineage(Start::DataUri(uri), direction, depth),
        (None, Some(task)) => {
            let by_label = graph.lineage(Start::TaskLabel(task), direction, depth);
            match (by_label, task.parse::<EnvelopeId>()) {
                (Err(_), Ok(id)) => graph.lineage(Start::Node(NodeRef::Task(id)), direction, depth),
                (answer, _) => answer,
            }
        }
        (None, None) => unreachable!("the arguments require one of them"),
    }
}

/// The same question to a server.
async fn ask_server(
    client: &Client,
    args: &LineageArgs,
    direction: Direction,
) -> Result<GetLineageResponse, ClientError> {
    let ask = async |start| client.lineage(start, direction, args.depth, TreeSize::ZERO).await;
    match (&args.start.data_ref, &args.start.task) {
        (Some(uri), _) => ask(LineageStart::DataUri(uri.clone())).await,
        (None, Some(task)) => {
            let by_label = ask(LineageStart::TaskLabel(task.clone())).await;
            match (by_label, task.parse::<EnvelopeId>()) {
                (Err(ClientError::Rejected(_)), Ok(id)) => ask(LineageStart::Task(id)).await,
                (answer, _) => answer,
            }
        }
        (None, None) => unreachable!("the arguments require one of them"),
    }
}

fn text(answer: &Answer, direction: LineageDirection) -> String {
    let word = match direction {
        LineageDirection::Up => "came from",
        LineageDirection::Down => "led to",
    };
    let mut text =
        format!("{word} {} tasks and {} data references", answer.tasks.len(), answer.data.len());
    for task in &answer.tasks {
        text.push_str(&format!("\n  task  {task}"));
    }
    for data in &answer.data {
        text.push_str(&format!("\n  data  {data}"));
    }
    text
}
