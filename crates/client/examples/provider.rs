//! Counts the words of whatever an intent gives it: `cargo run --example provider -- [URL]`.
//!
//! Publishes its capability, offers on every intent of its kind, does what it is awarded, and goes
//! on until it is ended.

use tally_client::roles::{Delivery, Failure, Job, Provider, Quote};
use tally_client::{Client, Observer, Trust};
use tally_protocol::AgentKey;
use tally_protocol::message::CapabilityTerms;
use tally_protocol::parts::{Measure, Name, Price};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:7420".into());
    let client = Client::connect(&url, Trust::FirstUse).await?;
    let author = client.author(AgentKey::generate());
    println!("provider {} on {}", author.agent(), client.origin());

    let capability = CapabilityTerms::new(Name::new("word-count")?, Name::new("text.count")?);
    let price = Price::new(5, Name::new("EUR.cent")?);
    let bidder = Quote::new(&capability, price);
    let observer = Observer::start(client);
    Ok(Provider::new(author, observer, vec![capability], bidder, count).run().await?)
}

async fn count(job: Job) -> Result<Delivery, Failure> {
    let texts = job.inputs().iter().map(|input| input.inline.as_str());
    let words: usize = texts.map(|text| text.split_whitespace().count()).sum();
    println!("task {}: {words} words", job.task.id);
    let failed = |fault: tally_protocol::Fault| Failure::Failed(fault.to_string());
    let json = Name::new("application/json").map_err(failed)?;
    let output = job.output("words", json, &format!(r#"{{"words":{words}}}"#)).map_err(failed)?;
    let counted = Measure::new(Name::new("words").map_err(failed)?, words as i64);
    Ok(Delivery { outputs: vec![output], usage: vec![counted] })
}
