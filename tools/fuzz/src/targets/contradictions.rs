//! Evidence, and what a mirror is sent.

use prost::Message;
use tally_api::v1::ReplicateResponse;
use tally_node::replica::{AcceptedBatch, Batch, Intake};
use tally_protocol::{Position, TreeSize};
use tally_verify::Verdict;
use tally_verify::evidence::Evidence;

use crate::seeds;
use crate::targets::Outcome;

/// Evidence: written and read again it is the same; what is valid is against somebody.
pub fn evidence(data: &[u8]) -> Outcome {
    let evidence = match Evidence::parse(data) {
        Ok(evidence) => evidence,
        Err(error) => return Outcome::refused(&error.to_string().len()),
    };
    let again = Evidence::parse(evidence.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(again, evidence);
    let report = evidence.judge(&[seeds::log_key().verifier_key()]);
    assert_eq!(report.verdict == Verdict::Valid, report.against.is_some());
    match report.verdict {
        Verdict::Valid => Outcome::accepted(evidence.claim.kind()),
        Verdict::Invalid | Verdict::Incomplete => Outcome::refused(&report.found),
    }
}

/// A message to a mirror that holds four events: what is taken begins there, without a gap.
pub fn replication(data: &[u8]) -> Outcome {
    let message = match ReplicateResponse::decode(data) {
        Ok(message) => message,
        Err(error) => return Outcome::refused(&error),
    };
    let trees = message.trees.into_iter().map(|tree| (TreeSize::new(tree.size), tree.checkpoint));
    let batch =
        Batch { first: Position(message.first), events: message.events, trees: trees.collect() };
    let mut intake = Intake::new(Position(4));
    match intake.accept(batch).map(|batch| batch.map(AcceptedBatch::examine)) {
        Ok(Some(_)) => Outcome::accepted("taken"),
        Ok(None) => Outcome::accepted("seen before"),
        Err(error) => Outcome::refused(&error),
    }
}
