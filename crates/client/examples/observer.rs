//! Follows a ledger and checks everything: `cargo run --example observer -- [URL]`.
//!
//! Prints how tasks stand whenever that changes, and what the log shows against somebody, until it
//! is ended or the log breaks a rule.

use std::collections::{BTreeSet, HashMap};

use tally_client::{Client, Observer, Trust};
use tally_coordination::findings;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:7420".into());
    let client = Client::connect(&url, Trust::FirstUse).await?;
    println!("observing {}", client.origin());
    let observer = Observer::start(client);
    let (mut told, mut found, mut seen) = (HashMap::new(), BTreeSet::new(), None);
    loop {
        let news = |state: &tally_coordination::State| {
            (Some(state.next_position()) != seen).then(|| state.clone())
        };
        let state = observer.until(news).await?;
        seen = Some(state.next_position());
        let mut tasks: Vec<_> = state.tasks().collect();
        tasks.sort_by_key(|task| task.position);
        for task in tasks {
            let standing = format!("{} {} %", task.state.name(), task.percent);
            if told.insert(task.id, standing.clone()).as_ref() != Some(&standing) {
                println!("{} task {} {standing}", state.next_position(), task.id);
            }
        }
        for finding in findings(&state) {
            if found.insert((finding.event, finding.kind)) {
                println!("{} {}: {}", finding.position, finding.kind.name(), finding.found);
            }
        }
    }
}
