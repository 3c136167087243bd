//! The node's decisions without its threads: groups to write, made one after the other.
//!
//! Does not write them, and checks no speed.

use std::path::Path;

use tally_coordination::State;
use tally_node::{Config, Head, Plan, Verdict, plan};
use tally_protocol::{Origin, SignedEnvelope, Time, VerifiedEnvelope, signature};
use tally_store::Group;
use tally_tlog::{NoteSigner, VerifierKey};

use crate::market::START;

/// The name of every ledger that is measured.
pub fn origin() -> Origin {
    Origin::new("bench.example/ledger").expect("an origin")
}

/// How a node runs a ledger in this directory.
pub fn node_config(data: &Path) -> Config {
    Config::new(data.to_owned(), origin(), signer())
}

/// Parses and checks envelopes of a [`crate::Market`].
///
/// # Panics
/// When one is not what the market signed.
pub fn verified(envelopes: Vec<SignedEnvelope>) -> Vec<VerifiedEnvelope> {
    let parsed = envelopes.into_iter().map(|signed| signed.parse().expect("well-formed")).collect();
    signature::verify_batch(parsed)
        .into_iter()
        .map(|verdict| verdict.expect("signed by its author"))
        .collect()
}

/// The key that signs the checkpoints of every ledger that is measured.
pub fn signer() -> NoteSigner {
    NoteSigner::from_seed(origin().key_name(), &[7; 32])
}

/// A log's head that moves with every group.
pub struct Sequencer {
    head: Head,
    signer: NoteSigner,
    now: Time,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequencer {
    /// At the head of an empty log.
    pub fn new() -> Self {
        let now = START.plus_us(1_000_000_000_000);
        Self { head: Head::empty(State::new(origin())), signer: signer(), now }
    }

    /// The key that verifies the checkpoints.
    pub fn log_key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    /// What a batch comes to at this head; the head stays.
    pub fn plan(&self, batch: &[VerifiedEnvelope]) -> Plan {
        plan(&self.head, batch, self.now, &self.signer)
    }

    /// The group that a batch comes to; the head moves behind it.
    ///
    /// # Panics
    /// When the rules refuse an envelope.
    pub fn group(&mut self, batch: &[VerifiedEnvelope]) -> Group {
        let Plan { verdicts, group, next, .. } = self.plan(batch);
        for verdict in verdicts {
            assert!(matches!(verdict, Verdict::Admitted(_)), "{verdict:?}");
        }
        self.head = next;
        group.expect("a batch has an envelope")
    }
}
