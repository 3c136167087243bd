//! What a client reads of a server's answers, and a server of requests. The first byte says which.

use bytes::Bytes;
use prost::Message;
use tally_api::{LogReceipt, v1};
use tally_coordination::view::{
    AgentView, CapabilityView, CatalogView, ComplianceView, FindingsView, IntentView, Selector,
    TaskView,
};
use tally_protocol::message::Discover;
use tally_protocol::{ChainHash, Event, SignedEnvelope};
use tally_tlog::{ConsistencyProof, Hash, SignedCheckpoint, VerifierKey};

use crate::seeds;
use crate::targets::Outcome;

/// The answer to an append: a proof of what was sent, or none.
pub fn append_response(data: &[u8]) -> Outcome {
    let Ok(response) = v1::AppendResponse::decode(data) else {
        return Outcome::accepted("no protobuf");
    };
    let sent = seeds::sent();
    match LogReceipt::read(response, &sent) {
        Ok(receipt) => {
            assert_eq!(receipt.event.signed().payload, sent.payload, "it is about what was sent");
            verified(&receipt)
        }
        Err(error) => Outcome::refused(&error),
    }
}

fn verified(receipt: &LogReceipt) -> Outcome {
    match receipt.verify(&[seeds::log_key().verifier_key()], &seeds::log_origin()) {
        Ok(under) => {
            assert!(under.size().contains(receipt.event.position().leaf()));
            Outcome::accepted("proven")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// Every other answer.
pub fn answers(data: &[u8]) -> Outcome {
    let Some((which, data)) = data.split_first() else {
        return Outcome::accepted("empty");
    };
    match which % 11 {
        0 => log_receipt(data),
        1 => view::<v1::GetAgentResponse, AgentView>(data),
        2 => view::<v1::SearchCatalogResponse, CatalogView>(data),
        3 => view::<v1::CapabilityView, CapabilityView>(data),
        4 => each(data, |wire: v1::ListIntentsResponse| {
            wire.intents.into_iter().map(view_of::<_, IntentView>).collect()
        }),
        5 => each(data, |wire: v1::ListTasksResponse| {
            wire.tasks.into_iter().map(view_of::<_, TaskView>).collect()
        }),
        6 => each(data, |wire: v1::EventBatch| {
            wire.events.into_iter().map(|bytes| answer(Event::decode(bytes))).collect()
        }),
        7 => each(data, |wire: v1::GetHeadResponse| {
            let chain = wire.chain.as_slice().try_into().map(ChainHash);
            vec![
                answer(SignedCheckpoint::parse(&wire.checkpoint)),
                answer(wire.log_key.parse::<VerifierKey>()),
                answer(chain),
            ]
        }),
        8 => view::<v1::ListFindingsResponse, FindingsView>(data),
        9 => view::<v1::GetComplianceResponse, ComplianceView>(data),
        _ => each(data, |wire: v1::GetConsistencyProofResponse| {
            let hashes: Vec<Hash> = wire.proof.iter().filter_map(|hash| hash_of(hash)).collect();
            vec![answer(ConsistencyProof::new(hashes))]
        }),
    }
}

fn hash_of(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash::new)
}

fn log_receipt(data: &[u8]) -> Outcome {
    let Ok(response) = v1::GetLogReceiptResponse::decode(data) else {
        return Outcome::accepted("no protobuf");
    };
    match LogReceipt::try_from(response) {
        Ok(receipt) => verified(&receipt),
        Err(error) => Outcome::refused(&error),
    }
}

fn each<W: Message + Default>(data: &[u8], read: impl Fn(W) -> Vec<Outcome>) -> Outcome {
    match W::decode(data) {
        Ok(wire) => {
            let outcomes = read(wire);
            outcomes.into_iter().last().unwrap_or_else(|| Outcome::accepted("nothing"))
        }
        Err(_) => Outcome::accepted("no protobuf"),
    }
}

fn answer<T, E: std::fmt::Debug>(result: Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::accepted("read"),
        Err(error) => Outcome::refused(&error),
    }
}

fn view<W, V>(data: &[u8]) -> Outcome
where
    W: Message + Default + From<V> + TryInto<V>,
    V: Clone + PartialEq + std::fmt::Debug,
    W::Error: std::fmt::Debug,
{
    match W::decode(data) {
        Ok(wire) => view_of::<W, V>(wire),
        Err(_) => Outcome::accepted("no protobuf"),
    }
}

/// A view that was read can be written, and read again as the same.
fn view_of<W, V>(wire: W) -> Outcome
where
    W: Message + Default + From<V> + TryInto<V>,
    V: Clone + PartialEq + std::fmt::Debug,
    W::Error: std::fmt::Debug,
{
    let view = match wire.try_into() {
        Ok(view) => view,
        Err(error) => return Outcome::refused(&error),
    };
    let again = W::from(view.clone()).encode_to_vec();
    let again = W::decode(&again[..]).expect("its own encoding");
    assert_eq!(again.try_into().expect("its own encoding"), view, "an answer says one thing");
    Outcome::accepted("read")
}

/// What a server reads before it knows who asks.
pub fn requests(data: &[u8]) -> Outcome {
    let Some((which, data)) = data.split_first() else {
        return Outcome::accepted("empty");
    };
    match which % 3 {
        0 => each(data, |wire: v1::AppendRequest| {
            wire.envelope.into_iter().map(|wire| answer(parse(wire))).collect()
        }),
        1 => each(data, |wire: v1::SearchCatalogRequest| {
            vec![answer(Discover::from_wire(wire.criteria.unwrap_or_default()))]
        }),
        _ => each(data, |wire: v1::ListIntentsRequest| {
            vec![view_of::<v1::Selector, Selector>(wire.selector.unwrap_or_default())]
        }),
    }
}

fn parse(wire: tally_protocol::wire::SignedEnvelope) -> Result<Bytes, tally_protocol::Malformed> {
    SignedEnvelope::try_from(wire)?.parse().map(|parsed| parsed.signed().payload.clone())
}
