//! Has the words of a text counted: `cargo run --example initiator -- [URL] [TEXT]`.
//!
//! Publishes an intent, awards the best offer, watches the task, tries the next provider when one
//! fails, and prints what came back.

use std::time::Duration;

use tally_client::roles::{Goal, Initiator, Patience};
use tally_client::{Client, Observer, Trust};
use tally_protocol::message::IntentTerms;
use tally_protocol::parts::{DataRef, Document, Name, Schema, Text, Uri};
use tally_protocol::{AgentKey, Digest};

const WORDS: &str =
    r#"{"type":"object","properties":{"words":{"type":"integer"}},"required":["words"]}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:7420".into());
    let text = std::env::args().nth(2).unwrap_or("the tide waits for nobody".into());
    let client = Client::connect(&url, Trust::FirstUse).await?;
    let author = client.author(AgentKey::generate());
    println!("initiator {} on {}", author.agent(), client.origin());

    let input = DataRef {
        size: text.len() as u64,
        media_type: Some(Name::new("text/plain")?),
        inline: Document::new(text.as_str())?,
        ..DataRef::new(Uri::new("argument")?, Digest::of(text.as_bytes()))
    };
    let terms = IntentTerms {
        category: Some(Name::new("text.count")?),
        inputs: vec![input],
        output_schema: Some(Schema::inline(WORDS)?),
        ..IntentTerms::new(Text::new("how many words the text has")?)
    };
    let patience = Patience {
        accept: Some(Duration::from_secs(5)),
        heartbeat: Some(Duration::from_secs(5)),
        ..Patience::default()
    };
    let goal = Goal { patience, wait: Duration::from_secs(60), ..Goal::new(terms) };
    let achieved = Initiator::new(author, Observer::start(client)).pursue(&goal).await?;
    for output in &achieved.outputs {
        println!("{} {}", output.uri, output.inline);
    }
    Ok(())
}
