//! `tally projection`: how the projections of a running ledger are doing, and building them again.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tally_client::{Client, Projection, ProjectionBuild, ProjectionStatus};

use crate::args::{ProjectionArgs, ProjectionWhat, RebuildArgs};
use crate::error::CliError;
use crate::output::{Output, duration_text, table};
use crate::source::connect;

/// Time between two looks at a build.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Row {
    name: String,
    build: String,
    #[serde(flatten)]
    status: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    building: Option<Building>,
    #[serde(skip_serializing_if = "Value::is_null")]
    last_build: Value,
}

#[derive(Serialize)]
struct Building {
    build: String,
    #[serde(flatten)]
    status: Standing,
}

#[derive(Serialize)]
struct Standing {
    stage: String,
    cursor: u64,
    size: u64,
    lag: u64,
    events_per_second: f64,
    quarantined: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error: String,
    unmoved_us: u64,
}

#[derive(Serialize)]
struct Audit {
    quarantined: Vec<Quarantined>,
    audit: Vec<Value>,
}

#[derive(Serialize)]
struct Quarantined {
    position: u64,
    reason: String,
}

pub(crate) async fn run(args: ProjectionArgs, output: Output) -> Result<(), CliError> {
    let client = connect(&args.url, None).await?;
    match args.what {
        ProjectionWhat::List => {
            output.answer(&rows(&client).await?, |rows| text(rows));
            Ok(())
        }
        ProjectionWhat::Rebuild(args) => rebuild(&client, &args, output).await,
        ProjectionWhat::Cancel(args) => {
            client.cancel_rebuild(&args.name).await?;
            output.answer(&rows(&client).await?, |rows| text(rows));
            Ok(())
        }
        ProjectionWhat::Audit(args) => {
            let found = client.projection_audit(&args.name).await?;
            let quarantined = found.quarantined.into_iter();
            let quarantined =
                quarantined.map(|e| Quarantined { position: e.position, reason: e.reason });
            let audit = found.audit.iter().map(|line| json(line));
            let audit = Audit { quarantined: quarantined.collect(), audit: audit.collect() };
            output.answer(&audit, audit_text);
            Ok(())
        }
    }
}

async fn rebuild(client: &Client, args: &RebuildArgs, output: Output) -> Result<(), CliError> {
    client.rebuild_projection(&args.name).await?;
    let bar = output.progress("building", 0);
    let row = loop {
        let rows = rows(client).await?;
        let row = rows.into_iter().find(|row| row.name == args.name);
        let row = row.ok_or_else(|| CliError::Failed("the projection is gone".into()))?;
        match &row.building {
            Some(building) if args.wait => {
                bar.set_length(building.status.size);
                bar.set_position(building.status.cursor);
            }
            _ => break row,
        }
        tokio::time::sleep(LOOK).await;
    };
    bar.finish_and_clear();
    let failed = args.wait && row.last_build["event"] != "switched";
    let why = row.last_build.to_string();
    output.answer(&[row], |rows| text(rows));
    if failed { Err(CliError::Failed(format!("it was not switched in: {why}"))) } else { Ok(()) }
}

async fn rows(client: &Client) -> Result<Vec<Row>, CliError> {
    Ok(client.projections().await?.projections.into_iter().map(row).collect())
}

fn row(projection: Projection) -> Row {
    let building = projection.building.zip(projection.build_status);
    Row {
        name: projection.name,
        build: build_text(projection.serving.unwrap_or_default()),
        status: standing(projection.status.unwrap_or_default()),
        building: building
            .map(|(build, s)| Building { build: build_text(build), status: standing(s) }),
        last_build: json(&projection.last_build),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn build_text(build: ProjectionBuild) -> String {
    format!("v{}-{}", build.version, build.number)
}

fn standing(status: ProjectionStatus) -> Standing {
    Standing {
        lag: status.size.saturating_sub(status.cursor),
        stage: status.stage,
        cursor: status.cursor,
        size: status.size,
        events_per_second: status.rate,
        quarantined: status.quarantined,
        last_error: status.last_error,
        unmoved_us: status.unmoved_us,
    }
}

fn text(rows: &[Row]) -> String {
    let mut found = table(&[
        "projection",
        "build",
        "stage",
        "cursor",
        "behind",
        "events/s",
        "quarantined",
        "unmoved",
    ]);
    let mut notes = String::new();
    for row in rows {
        let built = row.building.iter().map(|b| (format!("  {}", b.build), &b.status));
        for (build, status) in [(row.build.clone(), &row.status)].into_iter().chain(built) {
            found.add_row([
                row.name.clone(),
                build,
                status.stage.clone(),
                status.cursor.to_string(),
                status.lag.to_string(),
                format!("{:.0}", status.events_per_second),
                status.quarantined.to_string(),
                duration_text(status.unmoved_us),
            ]);
            if !status.last_error.is_empty() {
                notes.push_str(&format!("\n{}: {}", row.name, status.last_error));
            }
        }
        if row.status.quarantined > 0 {
            let name = &row.name;
            notes.push_str(&format!(
                "\n{name}: `tally projection audit {name}` says what it could not fold"
            ));
        }
    }
    format!("{found}{notes}")
}

fn audit_text(audit: &Audit) -> String {
    let mut rows = table(&["position", "could not be folded because"]);
    for event in &audit.quarantined {
        rows.add_row([event.position.to_string(), event.reason.clone()]);
    }
    let mut text = format!("{rows}\n{} events in quarantine", audit.quarantined.len());
    for line in &audit.audit {
        text.push_str(&format!("\n{line}"));
    }
    text
}
