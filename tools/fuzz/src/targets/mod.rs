//! One function for each reader of outside bytes.
//!
//! Each takes any bytes and panics when a promise is broken. What it returns is only for the
//! driver, to tell answers apart.

mod bundles;
mod contradictions;
mod documents;
mod files;
mod foreign;
mod graph;
mod interop;
mod keys;
mod proofs;
mod questions;
mod signed;
mod state;
mod store;
mod text;
mod wire;
mod witness;

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

pub use bundles::{bundle, subset_proof};
pub use contradictions::{evidence, replication};
pub use documents::{policy, schemas};
pub use files::{manifest, submission, trace};
pub use foreign::{agent_card, openlineage_events, prov_json};
pub use graph::graph_rows;
pub use interop::{cose_key, cose_receipt, dsse};
pub use keys::{did_key, origin, pem, secret_key, verifier_key};
pub use proofs::{consistency_proof, inclusion_proof};
pub use questions::{provenance_answer, provenance_question};
pub use signed::{envelope, event, message_json, signed_envelope};
pub use state::state_rows;
pub use store::{ledger, mark, segment};
pub use text::{checkpoint, log_proof, note, state_digest};
pub use wire::{answers, append_response, requests};
pub use witness::{add_checkpoint, cosignature, entry_bundle, tile_path, witness_policy};

use crate::check::Memory;
use crate::rng::Rng;
use crate::{foreign as foreign_seeds, repair, seeds};

/// Most characters of an answer that are looked at.
const SHAPE_CHARACTERS: usize = 200;

/// Most characters of the path of a field.
const MAX_PATH_CHARACTERS: usize = 60;

/// A reader of outside bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of the directories with its inputs.
    pub name: &'static str,
    /// Takes an input, and panics when a promise is broken.
    pub run: fn(&[u8]) -> Outcome,
    /// Makes an input that is valid, or nearly so.
    pub make: fn(&mut Rng) -> Vec<u8>,
    /// Puts right what a change has broken: checksums, links, signatures.
    pub repair: fn(&mut Vec<u8>, &mut Rng),
    /// What its inputs are made of.
    pub grammar: Grammar,
    /// How much it may hold.
    pub memory: Memory,
}

/// What an input is made of, for those who change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// Bytes in fixed places.
    Bytes,
    /// Lines, numbers, JSON.
    Text,
    /// A protobuf message.
    Protobuf {
        /// Bytes before it.
        skip: usize,
    },
}

/// What a target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(String);

impl Outcome {
    /// The input was taken for one of this kind.
    pub fn accepted(kind: &str) -> Self {
        Self(kind.to_owned())
    }

    /// The input was refused for this reason.
    pub fn refused(reason: &impl Debug) -> Self {
        Self(format!("{reason:?}"))
    }

    /// The answer without its numbers and the input's texts: which of the answers it is.
    pub fn shape(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // Texts stand in quotation marks: paths of fields, which tell answers apart, or the input.
        let parts = self.0.split('"').enumerate();
        for (_, part) in parts.filter(|(at, part)| at % 2 == 0 || is_path(part)) {
            let plain = part.chars().filter(|c| !c.is_ascii_digit());
            plain.take(SHAPE_CHARACTERS).for_each(|c| c.hash(&mut hasher));
        }
        hasher.finish()
    }
}

/// Whether a text looks like `intent.open.inputs[3].digest`.
fn is_path(text: &str) -> bool {
    let of_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]".contains(c);
    text.len() <= MAX_PATH_CHARACTERS && text.chars().all(of_path)
}

/// A list of empty messages: each is 2 bytes on the wire, up to 80 in memory, and a list that grows
/// is there once and twice at the same time.
const MESSAGES: Memory = Memory { per_byte: 160, base: 1024 * 1024 };

/// The same with views, which are structs of up to 612 bytes.
const VIEWS: Memory = Memory { per_byte: 1_024, base: 1024 * 1024 };

/// Patterns are compiled, and a comparison keeps what it has seen; both have limits of their own.
const DOCUMENTS: Memory = Memory { per_byte: 4_096, base: 64 * 1024 * 1024 };

/// What is judged is folded into a state and a graph beside the file.
const BUNDLES: Memory = Memory { per_byte: 1_024, base: 16 * 1024 * 1024 };

/// A violation repeats the titles of all instants on its way.
const PROV: Memory = Memory { per_byte: 1_024, base: 16 * 1024 * 1024 };

/// No repair.
fn as_it_is(_: &mut Vec<u8>, _: &mut Rng) {}

macro_rules! targets {
    ($($name:ident: $make:path, $repair:expr, $grammar:expr, $memory:expr;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name,
            make: $make,
            repair: $repair,
            grammar: $grammar,
            memory: $memory,
        },)*];
    };
}

targets! {
    envelope: seeds::envelope, as_it_is, Grammar::Protobuf { skip: 0 }, MESSAGES;
    signed_envelope: seeds::signed_envelope, repair::signed_envelope,
        Grammar::Protobuf { skip: 0 }, MESSAGES;
    event: seeds::event, as_it_is, Grammar::Bytes, Memory::USUAL;
    message_json: seeds::message_json, as_it_is, Grammar::Text, Memory::USUAL;
    submission: seeds::submission, as_it_is, Grammar::Text, Memory::USUAL;
    trace: seeds::trace, as_it_is, Grammar::Text, Memory::USUAL;
    manifest: seeds::manifest, as_it_is, Grammar::Text, Memory::USUAL;
    segment: seeds::segment, |input, rng| repair::segment(input, rng), Grammar::Bytes,
        Memory::USUAL;
    ledger: seeds::ledger, repair::ledger, Grammar::Bytes, Memory::USUAL;
    mark: seeds::mark, |input, rng| repair::mark(input, rng), Grammar::Bytes, Memory::USUAL;
    note: seeds::note, as_it_is, Grammar::Text, Memory::USUAL;
    checkpoint: seeds::checkpoint, as_it_is, Grammar::Text, Memory::USUAL;
    log_proof: seeds::log_proof, as_it_is, Grammar::Text, Memory::USUAL;
    state_digest: seeds::state_digest, as_it_is, Grammar::Text, Memory::USUAL;
    verifier_key: seeds::verifier_key, as_it_is, Grammar::Text, Memory::USUAL;
    secret_key: seeds::secret_key, as_it_is, Grammar::Text, Memory::USUAL;
    origin: seeds::origin, as_it_is, Grammar::Text, Memory::USUAL;
    did_key: seeds::did_key, as_it_is, Grammar::Text, Memory::USUAL;
    pem: seeds::pem, as_it_is, Grammar::Text, Memory::USUAL;
    inclusion_proof: seeds::inclusion_proof, as_it_is, Grammar::Bytes, Memory::USUAL;
    consistency_proof: seeds::consistency_proof, as_it_is, Grammar::Bytes, Memory::USUAL;
    subset_proof: seeds::subset_proof, as_it_is, Grammar::Bytes, Memory::USUAL;
    bundle: seeds::bundle, repair::bundle, Grammar::Text, BUNDLES;
    evidence: seeds::evidence, as_it_is, Grammar::Text, Memory::USUAL;
    replication: seeds::replication, as_it_is, Grammar::Protobuf { skip: 0 }, MESSAGES;
    schemas: seeds::schemas, as_it_is, Grammar::Text, DOCUMENTS;
    policy: seeds::policy, as_it_is, Grammar::Text, DOCUMENTS;
    cosignature: seeds::cosigned, as_it_is, Grammar::Text, Memory::USUAL;
    witness_policy: seeds::witness_policy, as_it_is, Grammar::Text, Memory::USUAL;
    tile_path: seeds::tile_path, as_it_is, Grammar::Text, Memory::USUAL;
    entry_bundle: seeds::entry_bundle, as_it_is, Grammar::Bytes, Memory::USUAL;
    add_checkpoint: seeds::add_checkpoint, as_it_is, Grammar::Text, Memory::USUAL;
    dsse: seeds::dsse, as_it_is, Grammar::Text, Memory::USUAL;
    cose_receipt: seeds::cose_receipt, as_it_is, Grammar::Bytes, Memory::USUAL;
    cose_key: seeds::cose_key, as_it_is, Grammar::Bytes, Memory::USUAL;
    prov_json: foreign_seeds::prov_json, as_it_is, Grammar::Text, PROV;
    openlineage_events: foreign_seeds::openlineage_events, as_it_is, Grammar::Text,
        Memory::USUAL;
    agent_card: foreign_seeds::agent_card, as_it_is, Grammar::Text, Memory::USUAL;
    append_response: seeds::append_response, as_it_is, Grammar::Protobuf { skip: 0 },
        MESSAGES;
    answers: seeds::answer, as_it_is, Grammar::Protobuf { skip: 1 }, VIEWS;
    requests: seeds::request, as_it_is, Grammar::Protobuf { skip: 1 }, MESSAGES;
    provenance_question: seeds::provenance_question, as_it_is, Grammar::Protobuf { skip: 1 },
        MESSAGES;
    provenance_answer: seeds::provenance_answer, as_it_is, Grammar::Text, VIEWS;
    graph_rows: seeds::graph_row, as_it_is, Grammar::Bytes, BUNDLES;
    state_rows: seeds::state_row, as_it_is, Grammar::Bytes, BUNDLES;
}

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
