//! `tally materialize`: named views with stored rows.

use std::time::Duration;

use serde::Serialize;
use tally_analytics::materialize::View;

use super::tables::History;
use crate::args::analytics::MaterializeArgs;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::text::read_text;

/// Pause between two looks at the log.
const PAUSE: Duration = Duration::from_millis(500);

/// What is answered.
#[derive(Serialize)]
struct Answer {
    views: Vec<View>,
}

pub(crate) async fn run(args: MaterializeArgs, output: Output) -> Result<(), CliError> {
    let tables = &args.tables;
    let mut history = History::open(&tables.data, tables.cache.as_deref(), output)?;
    if let (Some(name), Some(file)) = (&args.name, &args.file) {
        define(&mut history, name, &read_text(file)?)?;
    }
    if let Some(name) = &args.drop {
        history.definitions.remove(name)?;
    }
    show(history.refresh()?, output);
    if args.follow {
        loop {
            tokio::time::sleep(PAUSE).await;
            if history.follow()? {
                show(history.refresh()?, output);
            }
        }
    }
    Ok(())
}

/// Keeps a definition if it works; else everything stays as it was.
fn define(history: &mut History, name: &str, sql: &str) -> Result<(), CliError> {
    let before = history.definitions.all()?.into_iter().find(|(known, _)| known == name);
    history.definitions.put(name, sql)?;
    let views = history.tables.refresh(&history.definitions)?;
    let made = views.into_iter().find(|view| view.name == name);
    let Some(error) = made.and_then(|view| view.error) else { return Ok(()) };
    match before {
        Some((_, sql)) => history.definitions.put(name, &sql)?,
        None => history.definitions.remove(name)?,
    }
    history.refresh()?;
    Err(CliError::Usage(format!("view {name}: {error}")))
}

fn show(views: Vec<View>, output: Output) {
    output.answer(&Answer { views }, |Answer { views }| {
        if views.is_empty() {
            return "no views".into();
        }
        let mut grid = table(&["view", "form", "as of", "rows", "error"]);
        for View { name, incremental, as_of, rows, error } in views {
            grid.add_row([
                name.clone(),
                if *incremental { "incremental" } else { "whole" }.into(),
                as_of.map(|as_of| as_of.to_string()).unwrap_or_default(),
                rows.to_string(),
                error.clone().unwrap_or_default(),
            ]);
        }
        grid.to_string()
    });
}
