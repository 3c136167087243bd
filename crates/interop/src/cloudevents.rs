//! CloudEvents 1.0: every event of the ledger as one, in structured JSON.
//!
//! | attribute | what |
//! |---|---|
//! | `id` | the envelope's id |
//! | `source` | `//` and the ledger's origin |
//! | `type` | `link.pervasive.v1.` and the message, as in `link.pervasive.v1.task_start` |
//! | `time` | when the ledger recorded it; absent beyond the year 9999 |
//! | `dataschema` | the message's object schema |
//! | `sequence` | the position as 20 digits, so that texts sort like numbers |
//! | `traceparent` | where the author names a trace: trace context level 1; the parent is the first 8 bytes of the envelope's id |
//! | `causationid` | the first of the causes; all of them, with spaces between, are `causes` |
//! | `author` | the author's did:key |
//! | `signature` | the author's signature over the DSSE pre-authentication encoding of the payload, in base64 |
//! | `data` | the message in the JSON of `tally submit` |
//! | `data_base64` | instead, on request: the payload as it was signed |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tally_protocol::envelope::PAYLOAD_TYPE;
use tally_protocol::{Event, ParsedEnvelope};

use crate::time::rfc3339;

/// What a cloud event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// The message in JSON.
    Message,
    /// The payload as it was signed, in base64.
    Envelope,
}

/// The cloud event of an event.
pub fn cloud_event(event: &Event, envelope: &ParsedEnvelope, data: Data) -> Value {
    let (id, said, signed) = (envelope.id(), envelope.envelope(), event.signed());
    let kind = said.message.kind();
    let mut all = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("//{}", said.origin),
        "type": format!("link.pervasive.v1.{}", kind.field()),
        "dataschema": format!("https://{}", kind.object_schema()),
        "sequence": format!("{:020}", event.position().0),
        "author": said.author,
        "signature": STANDARD.encode(signed.signature),
    });
    if let Some(time) = rfc3339(event.recorded_at()) {
        all["time"] = json!(time);
    }
    if let Some(trace) = said.trace_id {
        all["traceparent"] = json!(format!("00-{trace}-{}-01", hex::encode(&id.as_bytes()[..8])));
    }
    if let Some(first) = said.causes.first() {
        all["causationid"] = json!(first);
        let causes: Vec<String> = said.causes.iter().map(ToString::to_string).collect();
        all["causes"] = json!(causes.join(" "));
    }
    match data {
        Data::Message => {
            all["datacontenttype"] = json!("application/json");
            all["data"] = json!(said.message);
        }
        Data::Envelope => {
            all["datacontenttype"] = json!(PAYLOAD_TYPE);
            all["data_base64"] = json!(STANDARD.encode(&signed.payload));
        }
    }
    all
}
