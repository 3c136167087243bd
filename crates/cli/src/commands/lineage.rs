//! `tally lineage`: what data or a task came from, or what came of it.

use serde::Serialize;

use crate::args::{LineageArgs, LineageDirection, Picture};
use crate::commands::ask::{Ledger, starts};
use crate::commands::export::history::graph_as_of;
use crate::error::CliError;
use crate::output::Output;
use crate::source::Source;

/// The names of what was found.
#[derive(Serialize)]
pub(crate) struct LineageAnswer {
    pub(crate) tasks: Vec<String>,
    pub(crate) data: Vec<String>,
}

pub(crate) async fn run(args: LineageArgs, output: Output) -> Result<(), CliError> {
    if let Some(picture) = args.draw.picture() {
        return draw(&args, picture, output).await;
    }
    let answer = Ledger::open(&args.ledger.source, output).await?.lineage(&args).await?;
    let word = match args.direction {
        LineageDirection::Up => "came from",
        LineageDirection::Down => "led to",
    };
    output.answer(&answer, |answer| format!("{word} {}", answer.text()));
    Ok(())
}

/// A picture of the answer, from the events themselves, wherever they are.
async fn draw(args: &LineageArgs, picture: Picture, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.ledger.source, output).await?;
    let (_, graph) = graph_as_of(&source, args.ledger.at.as_of).await?;
    let question = args.question();
    let mut answers =
        starts(&args.start, None).into_iter().map(|start| graph.head().lineage(start, &question));
    let first = answers.next().expect("something is asked about");
    let lineage = first.or_else(|unknown| answers.find_map(Result::ok).ok_or(unknown))?;
    let drawn = match picture {
        Picture::Dot => lineage.to_dot(),
        Picture::Mermaid => lineage.to_mermaid(),
        Picture::Svg => lineage.to_svg(),
    };
    output.line(drawn.trim_end());
    Ok(())
}

impl LineageAnswer {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("{} tasks and {} data references", self.tasks.len(), self.data.len());
        for task in &self.tasks {
            text.push_str(&format!("\n  task  {task}"));
        }
        for data in &self.data {
            text.push_str(&format!("\n  data  {data}"));
        }
        text
    }
}
