//! A client of a ledger: connect, sign, append, and trust nothing that was not checked.
//!
//! A log receipt is returned only after its checkpoint's signature and its inclusion proof hold for
//! the bytes that *this* client signed. Events of a subscription are checked against the chain.
//! Queries are the server's word: whoever needs more reads the log and folds it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tally_client::{Client, Context, Trust};
//! use tally_protocol::{AgentKey, Message, message::{Intent, IntentTerms}, parts::Text};
//!
//! let client = Client::connect("http://127.0.0.1:7420", Trust::FirstUse).await?;
//! let author = client.author(AgentKey::generate());
//! let terms = IntentTerms::new(Text::new("a tide table for next week")?);
//! let receipt = author.append(Message::Intent(Intent::Open(terms)), Context::default()).await?;
//! println!("at position {}", receipt.position());
//! # Ok(())
//! # }
//! ```

mod appends;
mod author;
mod connection;
mod error;
mod observer;
mod projections;
mod provenance;
mod receipt;
mod replication;
pub mod roles;
mod subscription;

pub use appends::Appends;
pub use author::{Author, Context, MAX_TRIES};
pub use connection::{Client, Head, LineageStart, Trust, When, WorkflowOf};
pub use error::{ConnectError, Error, Rejection};
pub use observer::{Observer, judge};
pub use receipt::Receipt;
pub use replication::{Replicated, Replication};
pub use subscription::Subscription;
pub use tally_api::v1::list_projections_response::Projection;
pub use tally_api::v1::{GetLineageResponse, ProjectionBuild, ProjectionStatus};
pub use tally_provenance::Direction;
