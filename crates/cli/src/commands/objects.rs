//! `tally catalog`, `tally intent`, `tally task`: what the log has come to.

use serde::Serialize;
use std::path::Path;

use tally_coordination::view::{
    self, CapabilityView, CatalogView, IntentView, MatchView, Scope, Selector, TaskView,
};
use tally_protocol::Time;
use tally_protocol::message::Discover;
use tally_protocol::parts::{Label, Name, Schema, Text};

use crate::args::{CatalogArgs, ObjectArgs};
use crate::error::CliError;
use crate::output::{Output, duration_text, short, table};
use crate::source::Source;
use crate::text::read_text;

pub(crate) async fn catalog(args: CatalogArgs, output: Output) -> Result<(), CliError> {
    let criteria = criteria(&args)?;
    let scope = Scope { searcher: args.searcher, capability: args.why_not };
    let source = Source::open(&args.source, output).await?;
    let catalog = match &source {
        Source::Server(client) => client.catalog(&criteria, &scope, args.at.as_of).await?,
        Source::Directory(_) => {
            CatalogView::of(&source.state_as_of(args.at.as_of).await?, &criteria, &scope)
        }
    };
    let nothing = catalog.matches.is_empty() && catalog.near_misses.is_empty();
    if let Some(id) = args.why_not.filter(|_| nothing) {
        return Err(CliError::Absent(format!("no capability {id} is in this ledger")));
    }
    output.answer(&catalog, |catalog| catalog_text(catalog, args.misses || args.why_not.is_some()));
    Ok(())
}

fn criteria(args: &CatalogArgs) -> Result<Discover, CliError> {
    let usage =
        |what: &str, error: &dyn std::fmt::Display| CliError::Usage(format!("{what}: {error}"));
    let text = args.criteria.as_deref().unwrap_or("{}");
    let mut criteria: Discover =
        serde_json::from_str(text).map_err(|error| usage("--criteria", &error))?;
    if let Some(category) = &args.category {
        criteria.category = Some(Name::new(category).map_err(|e| usage("--category", &e))?);
    }
    for tag in &args.tag {
        criteria.tags.push(Name::new(tag).map_err(|error| usage("--tag", &error))?);
    }
    let schema = |path: &Path| {
        let wrong = |error| CliError::Usage(format!("{}: {error}", path.display()));
        Schema::inline(&read_text(path)?).map_err(wrong)
    };
    if let Some(path) = &args.input_schema {
        criteria.input_schema = Some(schema(path)?);
    }
    if let Some(path) = &args.output_schema {
        criteria.output_schema = Some(schema(path)?);
    }
    if args.max_cost.is_some() {
        criteria.max_cost.clone_from(&args.max_cost);
    }
    Ok(criteria)
}

fn catalog_text(catalog: &CatalogView, misses: bool) -> String {
    let mut found =
        table(&["capability", "id", "owner", "category", "tags", "cost", "price", "reliability"]);
    for MatchView { capability, scores } in &catalog.matches {
        let score = |factor: &str| {
            let found = scores.iter().find(|score| score.name.as_str() == factor);
            found.map_or(String::new(), |score| score.value.to_string())
        };
        let scores = [score("price"), score("reliability")];
        found.add_row(capability_row(capability).into_iter().chain(scores));
    }
    let mut text = format!("{found}\n{} capabilities", catalog.matches.len());
    if misses {
        for miss in &catalog.near_misses {
            let reasons = miss.failed.iter().map(|failed| match failed.path.as_str() {
                "" => format!("{}: {}", failed.field, failed.found),
                path => format!("{} at {path}: {}", failed.field, failed.found),
            });
            let reasons: Vec<_> = reasons.collect();
            let name = &miss.capability.terms.name;
            text.push_str(&format!("\nnot {name}: {}", reasons.join("; ")));
        }
    } else if !catalog.near_misses.is_empty() {
        text.push_str(&format!(
            ", {} more do not fit (--misses says why)",
            catalog.near_misses.len()
        ));
    }
    format!("{text}, as of {} events", catalog.as_of)
}

fn capability_row(capability: &CapabilityView) -> [String; 6] {
    let terms = &capability.terms;
    let tags: Vec<_> = terms.tags.iter().map(Name::as_str).collect();
    [
        terms.name.to_string(),
        short(capability.id),
        capability.owner.short(),
        terms.category.to_string(),
        tags.join(" "),
        terms.cost.as_ref().map_or(String::new(), |c| format!("{} {}", c.amount, c.currency)),
    ]
}

fn selector(args: &ObjectArgs) -> Result<Selector, CliError> {
    let label = args.label.as_deref().map(parse_label).transpose()?;
    Ok(Selector { id: args.id, label, live: args.live, limit: Some(args.limit) })
}

fn parse_label(text: &str) -> Result<Label, CliError> {
    let usage = |error: &dyn std::fmt::Display| CliError::Usage(format!("--label {text}: {error}"));
    let (key, value) = text.split_once('=').ok_or_else(|| usage(&"write KEY=VALUE"))?;
    Ok(Label {
        key: Name::new(key).map_err(|error| usage(&error))?,
        value: Text::new(value).map_err(|error| usage(&error))?,
    })
}

#[derive(Serialize)]
struct Intents {
    as_of: u64,
    intents: Vec<IntentView>,
}

pub(crate) async fn intent(args: ObjectArgs, output: Output) -> Result<(), CliError> {
    let selector = selector(&args)?;
    let source = Source::open(&args.source, output).await?;
    let (as_of, intents) = match &source {
        Source::Server(client) => client.intents(selector, args.at.as_of).await?,
        Source::Directory(_) => {
            let state = source.state_as_of(args.at.as_of).await?;
            (state.next_position().0, view::intents(&state, &selector))
        }
    };
    found(&args, intents.is_empty(), "intent")?;
    output.answer(&Intents { as_of, intents }, |answer| match answer.intents.as_slice() {
        [one] => intent_text(one),
        many => intents_text(many, answer.as_of),
    });
    Ok(())
}

/// Asking for one thing that is not there is a negative answer; an empty list is an answer.
fn found(args: &ObjectArgs, empty: bool, kind: &str) -> Result<(), CliError> {
    match args.id.filter(|_| empty) {
        Some(id) => Err(CliError::Absent(format!("no {kind} {id} is in this ledger"))),
        None => Ok(()),
    }
}

fn intents_text(intents: &[IntentView], as_of: u64) -> String {
    let mut rows = table(&["intent", "outcome", "standing", "offers", "tasks"]);
    for intent in intents {
        rows.add_row([
            short(intent.id),
            intent.terms.outcome.to_string(),
            intent.standing.clone(),
            intent.offers.len().to_string(),
            intent.tasks.len().to_string(),
        ]);
    }
    format!("{rows}\n{} intents, newest first, as of {as_of} events", intents.len())
}

fn intent_text(intent: &IntentView) -> String {
    let mut text = format!(
        "intent   {}\noutcome  {}\nauthor   {}\nstanding {}\n",
        intent.id, intent.terms.outcome, intent.author, intent.standing
    );
    for label in &intent.terms.labels {
        text.push_str(&format!("label    {}={}\n", label.key, label.value));
    }
    for input in &intent.terms.inputs {
        text.push_str(&format!("input    {}\n", input.uri));
    }
    let mut offers = table(&["offer", "provider", "price", "estimate", "standing"]);
    for offer in &intent.offers {
        let price = offer.terms.price.as_ref();
        offers.add_row([
            short(offer.id),
            offer.provider.short(),
            price.map_or(String::new(), |price| format!("{} {}", price.amount, price.currency)),
            duration_text(offer.terms.estimated_duration_us),
            offer.standing.clone(),
        ]);
    }
    format!("{text}{offers}\n{}", tasks_table(&intent.tasks))
}

#[derive(Serialize)]
struct Tasks {
    as_of: u64,
    tasks: Vec<TaskView>,
}

pub(crate) async fn task(args: ObjectArgs, output: Output) -> Result<(), CliError> {
    let selector = selector(&args)?;
    let source = Source::open(&args.source, output).await?;
    let (as_of, tasks) = match &source {
        Source::Server(client) => client.tasks(selector, args.at.as_of).await?,
        Source::Directory(_) => {
            let state = source.state_as_of(args.at.as_of).await?;
            (state.next_position().0, view::tasks(&state, &selector))
        }
    };
    found(&args, tasks.is_empty(), "task")?;
    output.answer(&Tasks { as_of, tasks }, |answer| {
        let count = answer.tasks.len();
        format!(
            "{}\n{count} tasks, newest first, as of {} events",
            tasks_table(&answer.tasks),
            answer.as_of
        )
    });
    Ok(())
}

fn tasks_table(tasks: &[TaskView]) -> String {
    let mut rows = table(&["task", "label", "executor", "attempt", "state", "%", "wait", "run"]);
    for task in tasks {
        let label = task.labels.first().map_or(String::new(), |label| label.value.to_string());
        let between = |from: Option<Time>, to: Option<Time>| match (from, to) {
            (Some(from), Some(to)) => duration_text(to.0.abs_diff(from.0)),
            _ => String::new(),
        };
        rows.add_row([
            short(task.id),
            label,
            task.executor.short(),
            task.attempt.to_string(),
            task.state.clone(),
            task.percent.to_string(),
            between(Some(task.started_at_us), task.running_at_us),
            between(task.running_at_us, task.ended_at_us),
        ]);
    }
    rows.to_string()
}
