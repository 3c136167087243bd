//! Valid inputs, made from numbers: what the other inputs are changed from.

mod kept;
mod manifest;
mod questions;

use std::sync::LazyLock;

use prost::Message as _;
use tally_api::v1;
use tally_coordination::view::{
    AuctionView, CapabilityView, FindingsView, IntentView, OfferView, TaskView,
};
use tally_coordination::{Finding, FindingKind, Object};
use tally_interop::{CoseKey, CoseReceipt, DsseEnvelope};
use tally_protocol::event::ChainHash;
use tally_protocol::message::{AdvertiseCapability, Intent, Message};
use tally_protocol::parts::Label;
use tally_protocol::{
    AgentKey, AuthorSequence, Digest, Envelope, EnvelopeId, Event, Position, SignedEnvelope,
    StateDigest, Time, TraceId, wire,
};
use tally_provenance::Subject;
use tally_tlog::{
    Checkpoint, ConsistencyProof, Cosigner, Hash, LeafIndex, LogProof, MemoryTree, NoteSigner,
    Origin, PosixTime, SignedCheckpoint, TileKind, TilePath, TreeSize, encode_entries, leaf_hash,
};
use tally_verify::evidence::Evidence;
use tally_verify::{Bundle, Omission};
use tally_witness::AddCheckpoint;

use crate::repair::Files;
use crate::rng::Rng;

pub use kept::{GENERATION, state, state_row};
pub use manifest::manifest;
pub use questions::{
    data_uri, graph, graph_row, graph_rows, provenance_answer, provenance_question,
};

/// Every shape of a message, as the protocol pins them: name, id, payload.
const GOLDEN: &str = include_str!("../../../crates/protocol/tests/golden/payloads.txt");

/// How many authors there are.
const AUTHORS: u8 = 4;

/// Most leaves of a tree that proofs are made in.
const MAX_LEAVES: usize = 300;

/// Payloads of every shape.
pub fn payloads() -> &'static [Vec<u8>] {
    static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let last = |line: &'static str| line.rsplit(' ').next().expect("a field");
        GOLDEN.lines().map(|line| hex::decode(last(line)).expect("hexadecimal")).collect()
    });
    &PAYLOADS
}

fn any_payload(rng: &mut Rng) -> &'static [u8] {
    let payload: &Vec<u8> = rng.one_of(payloads());
    payload
}

/// The log of every input.
pub fn log_origin() -> Origin {
    Origin::new("ledger.example/fuzz").expect("an origin")
}

/// The key of the log.
pub fn log_key() -> &'static NoteSigner {
    static KEY: LazyLock<NoteSigner> =
        LazyLock::new(|| NoteSigner::from_seed(log_origin().key_name(), &[0x4c; 32]));
    &KEY
}

/// Another key of notes.
pub fn other_key() -> &'static NoteSigner {
    static KEY: LazyLock<NoteSigner> = LazyLock::new(|| {
        NoteSigner::from_seed("witness.example".parse().expect("a name"), &[0x57; 32])
    });
    &KEY
}

/// The witness of every input.
pub fn witness() -> &'static Cosigner {
    static KEY: LazyLock<Cosigner> = LazyLock::new(|| {
        Cosigner::from_seed("witness.example/w1".parse().expect("a name"), &[0x77; 32])
    });
    &KEY
}

/// An author.
pub fn author(which: u8) -> AgentKey {
    AgentKey::from_seed(&[which % AUTHORS + 1; 32])
}

/// Every author.
pub fn authors() -> impl Iterator<Item = AgentKey> {
    (0..AUTHORS).map(author)
}

/// The bytes of a leaf of the tree in which proofs are made.
pub fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// The envelope that an author has sent, when an answer comes.
pub fn sent() -> SignedEnvelope {
    static SENT: LazyLock<SignedEnvelope> = LazyLock::new(|| signed(&mut Rng::new(7)));
    SENT.clone()
}

/// An envelope of any shape and any author.
fn any_envelope(rng: &mut Rng) -> (Envelope, AgentKey) {
    let key = author(rng.byte());
    let message = Envelope::decode(any_payload(rng)).expect("pinned").message;
    let sequence = if rng.once_in(3) { 0 } else { rng.edge() };
    let envelope = Envelope {
        origin: log_origin(),
        author: key.agent(),
        author_sequence: AuthorSequence(sequence),
        previous: (sequence > 0).then(|| EnvelopeId(rng.array())),
        issued_at_us: Time((rng.edge() >> 1).cast_signed()),
        trace_id: rng.once_in(2).then(|| TraceId(rng.array())),
        causes: (0..rng.below(4)).map(|_| EnvelopeId(rng.array())).collect(),
        message,
    };
    (envelope, key)
}

fn signed(rng: &mut Rng) -> SignedEnvelope {
    let (envelope, key) = any_envelope(rng);
    envelope.sign(&key).expect("a valid envelope")
}

/// A payload.
pub fn envelope(rng: &mut Rng) -> Vec<u8> {
    if rng.once_in(2) { any_payload(rng).to_vec() } else { signed(rng).payload.to_vec() }
}

/// A payload and its signature.
pub fn signed_envelope(rng: &mut Rng) -> Vec<u8> {
    wire::SignedEnvelope::from(signed(rng)).encode_to_vec()
}

/// A message in JSON.
pub fn message_json(rng: &mut Rng) -> Vec<u8> {
    let (envelope, _) = any_envelope(rng);
    serde_json::to_vec(&envelope.message).expect("a message is JSON")
}

/// Messages to submit: some with a context, some bare, some in a list.
pub fn submission(rng: &mut Rng) -> Vec<u8> {
    let statement = |rng: &mut Rng| {
        let (envelope, _) = any_envelope(rng);
        let message = serde_json::to_value(&envelope.message).expect("a message is JSON");
        match rng.below(2) {
            0 => message,
            _ => serde_json::json!({
                "message": message,
                "trace_id": envelope.trace_id,
                "causes": envelope.causes,
            }),
        }
    };
    let statements: Vec<_> = (0..=rng.below(3)).map(|_| statement(rng)).collect();
    match rng.below(2) {
        0 => serde_json::to_vec(&statements).expect("JSON"),
        _ => statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into(),
    }
}

/// Two schemas and a value, a line each.
pub fn schemas(rng: &mut Rng) -> Vec<u8> {
    const SCHEMAS: [&str; 8] = [
        "true",
        r#"{"type":"integer","minimum":0,"maximum":9}"#,
        r#"{"type":["integer","null"],"multipleOf":2}"#,
        r#"{"type":"string","pattern":"^[a-z]{1,4}$","maxLength":3}"#,
        r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#,
        r##"{"$defs":{"l":{"type":"array","items":{"$ref":"#/$defs/l"}}},"$ref":"#/$defs/l"}"##,
        r#"{"anyOf":[{"enum":[1,"a",null]},{"const":{"b":[2]}}],"not":{"type":"null"}}"#,
        r#"{"type":"array","prefixItems":[{"type":"integer"}],"items":false,"uniqueItems":true}"#,
    ];
    const VALUES: [&str; 5] = ["4", "null", r#""abc""#, r#"{"a":1}"#, "[[],[1]]"];
    let [narrow, wide] = [(); 2].map(|()| *rng.one_of(&SCHEMAS));
    format!("{narrow}\n{wide}\n{}", rng.one_of(&VALUES)).into()
}

/// A policy in Cedar.
pub fn policy(rng: &mut Rng) -> Vec<u8> {
    const POLICIES: [&str; 4] = [
        r#"@id("cheap") forbid (principal, action, resource) when {
    context has cost && context.cost.amount > 10
};"#,
        r#"permit (principal, action == Action::"advertise", resource);"#,
        r#"forbid (principal, action, resource) unless {
    context.any_of.hasTag("region") && ["eu"].containsAll(context.any_of.getTag("region"))
};"#,
        r#"forbid (principal, action, resource) when { context.capability.name like "boat*" };"#,
    ];
    let policy: &&str = rng.one_of(&POLICIES);
    policy.as_bytes().to_vec()
}

/// A recorded workflow, each task after the one before.
pub fn trace(rng: &mut Rng) -> Vec<u8> {
    let count = 1 + rng.below(4);
    let id = |n: usize| format!("task-{n}");
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let parents: Vec<_> = n.checked_sub(1).map(id).into_iter().collect();
            let (input, output) = (format!("data-{n}"), format!("data-{}", n + 1));
            serde_json::json!({
                "id": id(n), "name": "a task", "parents": parents, "children": [],
                "inputFiles": [input], "outputFiles": [output],
            })
        })
        .collect();
    let files: Vec<_> = (0..=count)
        .map(|n| serde_json::json!({ "id": format!("data-{n}"), "sizeInBytes": rng.edge() }))
        .collect();
    let executed: Vec<_> = (0..count)
        .map(|n| {
            let runtime = rng.below(1_000) as f64 / 8.0;
            serde_json::json!({ "id": id(n), "runtimeInSeconds": runtime, "machines": ["m"] })
        })
        .collect();
    let workflow = serde_json::json!({
        "specification": { "tasks": tasks, "files": files },
        "execution": { "tasks": executed, "machines": [{ "nodeName": "m" }] },
    });
    let trace = serde_json::json!({
        "name": "a workflow", "schemaVersion": "1.5", "workflow": workflow,
        "tally": { "failures": { "task-0": "no power" }, "counters": [] },
    });
    serde_json::to_vec(&trace).expect("JSON")
}

fn event_at(position: u64, previous: ChainHash, time: i64, rng: &mut Rng) -> Event {
    Event::new(Position(position), previous, Time(time), &signed(rng))
}

/// An event.
pub fn event(rng: &mut Rng) -> Vec<u8> {
    let (position, time) = (rng.edge(), (rng.edge() >> 1).cast_signed());
    event_at(position, ChainHash(rng.array()), time, rng).bytes().to_vec()
}

/// A segment with a few groups.
pub fn segment(rng: &mut Rng) -> Vec<u8> {
    let mut log = Log::new();
    log.segment(0, rng)
}

/// A data directory with a few segments.
pub fn ledger(rng: &mut Rng) -> Vec<u8> {
    let mut log = Log::new();
    let mut files = Files::default();
    for epoch in 0..=rng.below(3) {
        let first = log.position;
        if epoch > 0 && first == files.segments.last().map_or(0, |(first, _)| *first) {
            break;
        }
        let bytes = log.segment(epoch as u64, rng);
        if rng.once_in(2) {
            files
                .indexes
                .push((first, log.offsets.iter().flat_map(|at| at.to_be_bytes()).collect()));
        }
        files.segments.push((first, bytes));
    }
    if !rng.once_in(4) {
        files.mark = Some(mark_of(log.position, &log.chain, rng));
    }
    files.encode()
}

/// The bytes of a mark.
pub fn mark(rng: &mut Rng) -> Vec<u8> {
    let (size, chain) = (rng.edge(), ChainHash(rng.array()));
    mark_of(size, &chain, rng)
}

fn mark_of(size: u64, chain: &ChainHash, rng: &mut Rng) -> Vec<u8> {
    let sequence = 1 + rng.number() % 1_000;
    let mut bytes = vec![0; 160];
    let newest = slot(sequence, size, chain);
    bytes[(sequence % 2 * 80) as usize..][..80].copy_from_slice(&newest);
    if sequence > 1 {
        let older = slot(sequence - 1, size / 2, &ChainHash(rng.array()));
        bytes[((sequence - 1) % 2 * 80) as usize..][..80].copy_from_slice(&older);
    }
    bytes
}

fn slot(sequence: u64, size: u64, chain: &ChainHash) -> Vec<u8> {
    let numbers = [sequence.to_be_bytes(), size.to_be_bytes()].concat();
    let mut slot = [b"TALLYMRK", &numbers[..], &chain.0, &3u64.to_be_bytes(), &[0; 12]].concat();
    let crc = crc32fast::hash(&slot);
    slot.extend_from_slice(&crc.to_be_bytes());
    slot
}

/// A log while it is written.
struct Log {
    position: u64,
    chain: ChainHash,
    time: i64,
    /// Where the events of the last segment begin.
    offsets: Vec<u64>,
}

impl Log {
    fn new() -> Self {
        let chain = ChainHash::genesis(&log_origin());
        Self { position: 0, chain, time: 1_790_000_000_000_000, offsets: Vec::new() }
    }

    fn segment(&mut self, epoch: u64, rng: &mut Rng) -> Vec<u8> {
        self.offsets.clear();
        let numbers = [epoch.to_be_bytes(), self.position.to_be_bytes()].concat();
        let origin = log_origin();
        let header = [b"TALLYLOG\x01", &numbers[..], &self.chain.0, origin.as_str().as_bytes()];
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 1, &header.concat());
        for _ in 0..rng.below(4) {
            self.group(&mut bytes, rng);
        }
        bytes
    }

    fn group(&mut self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        for _ in 0..1 + rng.below(3) {
            self.time += 1 + i64::from(rng.byte());
            let event = event_at(self.position, self.chain, self.time, rng);
            self.offsets.push(bytes.len() as u64);
            put_frame(bytes, 2, event.bytes());
            self.chain = event.chain();
            self.position += 1;
        }
        let note = if rng.once_in(2) { checkpoint(rng) } else { Vec::new() };
        let commit = [&self.position.to_be_bytes()[..], &self.chain.0, &rng.array::<32>(), &note];
        put_frame(bytes, 3, &commit.concat());
    }
}

fn put_frame(to: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    let header = [&[kind][..], &length].concat();
    to.extend_from_slice(&header);
    to.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    to.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    to.extend_from_slice(body);
}

/// A note with one or two signatures.
pub fn note(rng: &mut Rng) -> Vec<u8> {
    let texts = ["hello\n", "two\nlines\n", "an\n\nempty line\n", "\n", "é 漢字\n"];
    let text: &&str = rng.one_of(&texts);
    let mut note = log_key().sign(text).expect("a text");
    if rng.once_in(2) {
        other_key().countersign(&mut note).expect("room");
    }
    note.to_bytes()
}

/// What a ledger's key says of its state.
pub fn state_digest(rng: &mut Rng) -> Vec<u8> {
    let mut number = || TreeSize::new(rng.edge());
    let (size, next) = (number(), number());
    StateDigest { size, digest: Digest([7; 32]), next }.text(&log_origin()).into_bytes()
}

fn tree(leaves: usize) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for index in 0..leaves as u64 {
        tree.append(leaf(index));
    }
    tree
}

/// A checkpoint of the log.
pub fn head(size: TreeSize, root: Hash) -> SignedCheckpoint {
    Checkpoint { origin: log_origin(), size, root }.sign(log_key())
}

/// A checkpoint.
pub fn checkpoint(rng: &mut Rng) -> Vec<u8> {
    let size = if rng.once_in(4) { 0 } else { rng.edge() };
    let root = if size == 0 { tally_tlog::empty_root() } else { Hash::new(rng.array()) };
    head(TreeSize::new(size), root).to_bytes()
}

/// A checkpoint that the witness cosigned, once or twice, now and then beside another.
pub fn cosigned(rng: &mut Rng) -> Vec<u8> {
    let mut signed = head(TreeSize::new(1 + rng.edge() / 2), Hash::new(rng.array()));
    for _ in 0..1 + rng.below(2) {
        let at = PosixTime::new(rng.edge() / 2).expect("below 2^63");
        let by = if rng.once_in(4) { &other_witness(rng.byte()) } else { witness() };
        let line = by.cosign(signed.unverified(), at);
        signed.add_signature(line).expect("room");
    }
    signed.to_bytes()
}

fn other_witness(which: u8) -> Cosigner {
    let name = format!("witness.example/w{which}").parse().expect("a name");
    Cosigner::from_seed(name, &[which; 32])
}

/// A trust policy.
pub fn witness_policy(rng: &mut Rng) -> Vec<u8> {
    let mut policy = format!("# trust\nlog {}\n", log_key().verifier_key());
    let witnesses = 1 + rng.below(4);
    for which in 0..witnesses {
        let key = other_witness(which as u8).verifier_key();
        policy.push_str(&format!("witness w{which}\t{key} https://w{which}.example/\n"));
    }
    let names: Vec<String> = (0..witnesses).map(|which| format!("w{which}")).collect();
    let some = (1 + rng.below(witnesses)).to_string();
    let thresholds = ["any", "all", &some];
    let k: &&str = rng.one_of(&thresholds);
    policy.push_str(&format!("group g {k} {}\n", names.join(" ")));
    let quorum: &&str = rng.one_of(&["g", "w0", "none"]);
    policy.push_str(&format!("quorum {quorum}\n"));
    policy.into_bytes()
}

/// The path of a tile.
pub fn tile_path(rng: &mut Rng) -> Vec<u8> {
    let kind = match rng.below(4) {
        0 => TileKind::Entries,
        level => TileKind::Hashes { level: level as u8 - 1 },
    };
    let width = if rng.once_in(2) { 256 } else { 1 + rng.below(255) as u16 };
    let tile = TilePath::new(kind, rng.edge() >> 25, width).expect("small enough");
    tile.to_string().into_bytes()
}

/// An entry bundle.
pub fn entry_bundle(rng: &mut Rng) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = (0..1 + rng.below(6))
        .map(|_| {
            let length = rng.below(20);
            rng.bytes(length)
        })
        .collect();
    encode_entries(&entries).expect("few and short")
}

/// A request to a witness.
pub fn add_checkpoint(rng: &mut Rng) -> Vec<u8> {
    let tree = tree(1 + rng.below(MAX_LEAVES));
    let old = TreeSize::new(rng.number() % (tree.size().as_u64() + 1));
    let proof = match old {
        TreeSize::ZERO => ConsistencyProof::default(),
        _ => tally_tlog::consistency_proof(&tree, old, tree.size()).expect("a proof"),
    };
    let request = AddCheckpoint::new(old, proof, head(tree.size(), tree.root()));
    request.expect("a short proof").to_bytes()
}

/// A proof file.
pub fn log_proof(rng: &mut Rng) -> Vec<u8> {
    let tree = tree(1 + rng.below(MAX_LEAVES));
    let index = LeafIndex::new(rng.number() % tree.size().as_u64());
    let hashes = tally_tlog::inclusion_proof(&tree, index, tree.size()).expect("in the tree");
    let length = 1 + rng.below(40);
    let extra = rng.once_in(3).then(|| rng.bytes(length));
    let proof = LogProof::new(extra, index, hashes, head(tree.size(), tree.root()));
    proof.expect("a proof").to_bytes()
}

/// The key of COSE receipts.
pub fn cose() -> CoseKey {
    CoseKey::from_seed(&[0xc0; 32])
}

/// The event at a position of the log in which COSE receipts are made.
pub fn entry(position: u64) -> Event {
    let signed =
        SignedEnvelope { payload: position.to_be_bytes().to_vec().into(), signature: [0; 64] };
    Event::new(Position(position), ChainHash([7; 32]), Time(7), &signed)
}

/// A COSE receipt.
pub fn cose_receipt(rng: &mut Rng) -> Vec<u8> {
    let mut tree = MemoryTree::new();
    for position in 0..2 + rng.below(MAX_LEAVES) as u64 {
        tree.append(entry(position).leaf());
    }
    let entry = entry(rng.number() % tree.size().as_u64());
    let proof = tally_tlog::inclusion_proof(&tree, entry.position().leaf(), tree.size());
    let head = head(tree.size(), tree.root());
    let head = head.open(&[log_key().verifier_key()], &log_origin()).expect("signed");
    let receipt = CoseReceipt::issue(&entry, &proof.expect("in the tree"), &head, &cose());
    receipt.expect("in the tree").to_bytes()
}

/// A private key for COSE receipts.
pub fn cose_key(rng: &mut Rng) -> Vec<u8> {
    CoseKey::from_seed(&rng.array()).to_bytes()
}

/// A DSSE envelope: an author's own, or a document.
pub fn dsse(rng: &mut Rng) -> Vec<u8> {
    let envelope = if rng.once_in(2) {
        let parsed = signed(rng).parse().expect("an envelope");
        DsseEnvelope::of(&tally_protocol::signature::verify(parsed).expect("signed"))
    } else {
        let length = rng.below(40);
        DsseEnvelope::sign("text/plain", rng.bytes(length), &author(rng.byte()))
    };
    envelope.to_json().into_bytes()
}

/// A public key of notes.
pub fn verifier_key(rng: &mut Rng) -> Vec<u8> {
    let signer = NoteSigner::from_seed(log_origin().key_name(), &rng.array());
    signer.verifier_key().to_string().into_bytes()
}

/// A secret key of notes.
pub fn secret_key(rng: &mut Rng) -> Vec<u8> {
    NoteSigner::from_seed(log_origin().key_name(), &rng.array()).to_secret_text().into_bytes()
}

/// The name of a log.
pub fn origin(rng: &mut Rng) -> Vec<u8> {
    let names = ["ledger.example/main", "a", "-", "müller.example/日誌", "x".repeat(255).leak()];
    rng.one_of(&names).as_bytes().to_vec()
}

/// An agent, in text or as bytes.
pub fn did_key(rng: &mut Rng) -> Vec<u8> {
    let agent = AgentKey::from_seed(&rng.array()).agent();
    if rng.once_in(4) { agent.as_bytes().to_vec() } else { agent.to_string().into_bytes() }
}

/// A private key in PEM.
pub fn pem(rng: &mut Rng) -> Vec<u8> {
    AgentKey::from_seed(&rng.array()).to_pem().into_bytes()
}

fn proof_input(first: u64, second: u64, hash: Hash, hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = [first.to_be_bytes(), second.to_be_bytes()].concat();
    bytes.extend_from_slice(hash.as_bytes());
    hashes.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
    bytes
}

/// An inclusion proof: of a small tree, or as many hashes for any sizes.
pub fn inclusion_proof(rng: &mut Rng) -> Vec<u8> {
    if rng.once_in(2) {
        let hashes: Vec<Hash> = (0..rng.below(66)).map(|_| Hash::new(rng.array())).collect();
        return proof_input(rng.edge(), rng.edge(), Hash::new(rng.array()), &hashes);
    }
    let tree = tree(1 + rng.below(MAX_LEAVES));
    let index = rng.number() % tree.size().as_u64();
    let proof = tally_tlog::inclusion_proof(&tree, LeafIndex::new(index), tree.size());
    proof_input(index, tree.size().as_u64(), leaf(index), proof.expect("in the tree").hashes())
}

/// A consistency proof: of a small tree, or as many hashes for any sizes.
pub fn consistency_proof(rng: &mut Rng) -> Vec<u8> {
    if rng.once_in(2) {
        let hashes: Vec<Hash> = (0..rng.below(66)).map(|_| Hash::new(rng.array())).collect();
        return proof_input(rng.edge(), rng.edge(), Hash::new(rng.array()), &hashes);
    }
    let tree = tree(1 + rng.below(MAX_LEAVES));
    let old = TreeSize::new(1 + rng.number() % tree.size().as_u64());
    let proof = tally_tlog::consistency_proof(&tree, old, tree.size()).expect("it has grown");
    let root = tree.root_at(old).expect("it was that size");
    proof_input(old.as_u64(), tree.size().as_u64(), root, proof.hashes())
}

/// A receipt of [`sent`], at the end of a small tree.
fn log_receipt(rng: &mut Rng) -> (v1::LogReceipt, Event) {
    let before = rng.below(MAX_LEAVES);
    let mut tree = tree(before);
    let previous = ChainHash(rng.array());
    let event = Event::new(Position(before as u64), previous, Time(1), &sent());
    let index = tree.append(event.leaf());
    let proof = tally_tlog::inclusion_proof(&tree, index, tree.size()).expect("in the tree");
    let receipt = v1::LogReceipt {
        position: before as u64,
        recorded_at_us: 1,
        previous_chain: previous.0.to_vec().into(),
        signature: sent().signature.to_vec().into(),
        inclusion_proof: proof
            .hashes()
            .iter()
            .map(|hash| hash.as_bytes().to_vec().into())
            .collect(),
        checkpoint: head(tree.size(), tree.root()).to_bytes().into(),
    };
    (receipt, event)
}

/// The answer to an append.
pub fn append_response(rng: &mut Rng) -> Vec<u8> {
    let receipt = Some(log_receipt(rng).0);
    v1::AppendResponse { receipt, duplicate: rng.once_in(2) }.encode_to_vec()
}

/// An answer of any other kind, behind its number.
pub fn answer(rng: &mut Rng) -> Vec<u8> {
    let which = rng.below(11) as u8;
    let body = match which {
        0 => {
            let (receipt, event) = log_receipt(rng);
            let (receipt, event) = (Some(receipt), event.bytes().clone());
            v1::GetLogReceiptResponse { receipt, event }.encode_to_vec()
        }
        1 => v1::GetAgentResponse {
            as_of: rng.edge(),
            next_sequence: rng.edge(),
            last: rng.array::<32>().to_vec(),
        }
        .encode_to_vec(),
        2 => catalog(rng).encode_to_vec(),
        3 => v1::CapabilityView::from(capability(rng)).encode_to_vec(),
        4 => {
            let intents = (0..rng.below(3)).map(|_| intent(rng).into()).collect();
            v1::ListIntentsResponse { as_of: rng.edge(), intents }.encode_to_vec()
        }
        5 => {
            let tasks = (0..rng.below(3)).map(|_| task(rng).into()).collect();
            v1::ListTasksResponse { as_of: rng.edge(), tasks }.encode_to_vec()
        }
        6 => {
            let events = (0..rng.below(3)).map(|_| event(rng).into()).collect();
            v1::EventBatch { first: rng.edge(), events, head: rng.edge() }.encode_to_vec()
        }
        7 => v1::GetHeadResponse {
            origin: log_origin().to_string(),
            size: rng.edge(),
            checkpoint: checkpoint(rng),
            log_key: log_key().verifier_key().to_string(),
            chain: rng.array::<32>().to_vec(),
            recorded_at_us: 1,
        }
        .encode_to_vec(),
        8 => findings(rng).encode_to_vec(),
        9 => compliance(rng).encode_to_vec(),
        _ => v1::GetConsistencyProofResponse {
            proof: (0..rng.below(66)).map(|_| rng.array::<32>().to_vec()).collect(),
            new_size: rng.edge(),
            ..Default::default()
        }
        .encode_to_vec(),
    };
    [&[which][..], &body].concat()
}

/// A request, behind its number.
pub fn request(rng: &mut Rng) -> Vec<u8> {
    let which = rng.below(3) as u8;
    let body = match which {
        0 => v1::AppendRequest { envelope: Some(signed(rng).into()) }.encode_to_vec(),
        1 => {
            let criteria = messages().find_map(|message| match message {
                Message::Discover(discover) => Some(discover.to_wire()),
                _ => None,
            });
            v1::SearchCatalogRequest {
                criteria,
                at_least: None,
                as_of: None,
                searcher: author(rng.byte()).agent().as_bytes().to_vec(),
                capability: id(rng).0.to_vec(),
            }
            .encode_to_vec()
        }
        _ => {
            let selector = Some(v1::Selector {
                id: rng.array::<32>().to_vec(),
                label: Some(label().to_wire()),
                live: rng.once_in(2),
                limit: rng.edge() as u32,
            });
            v1::ListIntentsRequest { selector, at_least: None, as_of: None }.encode_to_vec()
        }
    };
    [&[which][..], &body].concat()
}

fn messages() -> impl Iterator<Item = Message> {
    payloads().iter().map(|payload| Envelope::decode(payload).expect("pinned").message)
}

fn label() -> Label {
    Label { key: "wf.task".parse().expect("a name"), value: "ID01".parse().expect("a text") }
}

fn id(rng: &mut Rng) -> EnvelopeId {
    EnvelopeId(rng.array())
}

fn capability(rng: &mut Rng) -> CapabilityView {
    let terms = messages().find_map(|message| match message {
        Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)) => Some(terms),
        _ => None,
    });
    CapabilityView {
        id: id(rng),
        root: id(rng),
        owner: author(rng.byte()).agent(),
        terms: terms.expect("pinned"),
        standing: "in_force".to_owned(),
        position: Position(rng.edge()),
        recorded_at_us: Time(1),
    }
}

fn catalog(rng: &mut Rng) -> v1::SearchCatalogResponse {
    use v1::search_catalog_response::{Criterion, Match, NearMiss};
    let failed = vec![Criterion {
        field: "output_schema".to_owned(),
        found: "other".to_owned(),
        path: "/type".to_owned(),
    }];
    let miss = NearMiss { capability: Some(capability(rng).into()), failed };
    let scores = vec![tally_protocol::wire::Measure {
        name: "price".to_owned(),
        value: 500,
        unit: String::new(),
    }];
    let found =
        |rng: &mut Rng| Match { capability: Some(capability(rng).into()), scores: scores.clone() };
    let matches = (0..rng.below(3)).map(|_| found(rng)).collect();
    v1::SearchCatalogResponse { as_of: rng.edge(), matches, near_misses: vec![miss] }
}

fn findings(rng: &mut Rng) -> v1::ListFindingsResponse {
    let kind = *rng.one_of(&FindingKind::ALL);
    let finding = Finding {
        kind,
        agent: author(rng.byte()).agent(),
        object: Object::Task(id(rng)),
        event: id(rng),
        position: Position(rng.edge()),
        found: "says failed".to_owned(),
    };
    FindingsView { as_of: rng.edge(), findings: vec![finding] }.into()
}

fn compliance(rng: &mut Rng) -> v1::GetComplianceResponse {
    use v1::get_compliance_response::NotCompliant;
    let digest = "00".repeat(32);
    let request = r#"{"agent": "a", "action": "advertise", "at": 1,
        "capability": {"id": "c", "name": "n", "category": "k"}}"#;
    let decision = format!(
        r#"{{"policy_set": "{digest}", "request": "{digest}", "allowed": false, "grounds": []}}"#
    );
    let record = format!(r#"{{"request": {request}, "decision": {decision}}}"#);
    let found = NotCompliant {
        object: Some((&Object::Offer(id(rng))).into()),
        why: vec!["it is not allowed".to_owned()],
        record,
    };
    v1::GetComplianceResponse { as_of: rng.edge(), not_compliant: vec![found] }
}

fn offer(rng: &mut Rng) -> OfferView {
    let terms = messages().find_map(|message| match message {
        Message::Offer(offer) => Some(offer),
        _ => None,
    });
    OfferView {
        id: id(rng),
        provider: author(rng.byte()).agent(),
        terms: terms.expect("pinned"),
        standing: "live".to_owned(),
        revealed: None,
        policy_set: rng.once_in(2).then(|| Digest(rng.array())),
        position: Position(rng.edge()),
        recorded_at_us: Time(1),
    }
}

fn intent(rng: &mut Rng) -> IntentView {
    let terms = messages().find_map(|message| match message {
        Message::Intent(Intent::Open(terms)) => Some(terms),
        _ => None,
    });
    IntentView {
        id: id(rng),
        root: id(rng),
        author: author(rng.byte()).agent(),
        terms: terms.expect("pinned"),
        trace_id: rng.once_in(2).then(|| TraceId(rng.array())),
        standing: "open".to_owned(),
        offers: (0..rng.below(2)).map(|_| offer(rng)).collect(),
        auction: rng.once_in(2).then(|| AuctionView {
            mechanism: "vickrey".to_owned(),
            phase: "closed".to_owned(),
            winner: Some(id(rng)),
            price: None,
        }),
        tasks: (0..rng.below(2)).map(|_| task(rng)).collect(),
        position: Position(rng.edge()),
        recorded_at_us: Time(1),
    }
}

fn task(rng: &mut Rng) -> TaskView {
    let wire = v1::TaskView {
        id: id(rng).0.to_vec(),
        intent: id(rng).0.to_vec(),
        offer: id(rng).0.to_vec(),
        initiator: author(0).agent().as_bytes().to_vec(),
        executor: author(1).agent().as_bytes().to_vec(),
        attempt: rng.edge() as u32,
        state: "running".to_owned(),
        percent: 40,
        started_at_us: 1,
        accepted_at_us: 2,
        receipt: id(rng).0.to_vec(),
        depends_on: vec![id(rng).0.to_vec()],
        labels: vec![label().to_wire()],
        overdue: vec!["done_by".to_owned()],
        late: vec![v1::task_view::Late {
            receipt: id(rng).0.to_vec(),
            author: author(2).agent().as_bytes().to_vec(),
            outcome: "failed".to_owned(),
            position: rng.edge(),
        }],
        ..Default::default()
    };
    TaskView::try_from(wire).expect("a view")
}

/// A subset proof of a small tree, or as many hashes for any size.
pub fn subset_proof(rng: &mut Rng) -> Vec<u8> {
    if rng.once_in(3) {
        let leaves: Vec<_> =
            (0..rng.below(4)).map(|_| (rng.edge(), Hash::new(rng.array()))).collect();
        let hashes: Vec<Hash> = (0..rng.below(66)).map(|_| Hash::new(rng.array())).collect();
        return subset_input(rng.edge(), &leaves, &hashes);
    }
    let tree = tree(1 + rng.below(MAX_LEAVES));
    let size = tree.size().as_u64();
    let mut wanted: Vec<u64> = (0..=rng.below(20)).map(|_| rng.number() % size).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let indices: Vec<LeafIndex> = wanted.iter().copied().map(LeafIndex::new).collect();
    let proof = tally_tlog::subset_proof(&tree, &indices, tree.size()).expect("in the tree");
    let leaves: Vec<_> = wanted.into_iter().map(|index| (index, leaf(index))).collect();
    subset_input(size, &leaves, proof.hashes())
}

fn subset_input(size: u64, leaves: &[(u64, Hash)], hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.push(leaves.len() as u8);
    for (index, leaf) in leaves {
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.extend_from_slice(leaf.as_bytes());
    }
    hashes.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
    bytes
}

/// Evidence of each kind.
pub fn evidence(rng: &mut Rng) -> Vec<u8> {
    let evidence = match rng.below(3) {
        0 => {
            let (size, prefix) = (TreeSize::new(1 + rng.number() % 9), Hash::new(rng.array()));
            Evidence::fork(&head(size, Hash::new(rng.array())), &head(size, prefix), prefix, None)
        }
        1 => {
            let (one, other) = (log_proof(rng), log_proof(rng));
            let read = |bytes: &[u8]| LogProof::parse(bytes).expect("a receipt");
            Evidence::two_events(&read(&one), &read(&other))
        }
        _ => {
            let open = |outcome: u64| serde_json::json!({ "intent": { "open": { "outcome": outcome.to_string() } } });
            let (one, other) = (Speaker::new(0).say(open(1)), Speaker::new(0).say(open(2)));
            Evidence::equivocation(&log_origin(), &one, &other)
        }
    };
    evidence.to_json().into_bytes()
}

/// A few events and a checkpoint, as a mirror is sent them.
pub fn replication(rng: &mut Rng) -> Vec<u8> {
    use prost::Message;
    let first = rng.number() % 6;
    let mut chain = ChainHash(rng.array());
    let events: Vec<Event> = (first..first + 1 + rng.number() % 4)
        .map(|position| {
            let event = event_at(position, chain, position as i64, rng);
            chain = event.chain();
            event
        })
        .collect();
    let size = first + events.len() as u64;
    let checkpoint = head(TreeSize::new(size), Hash::new(rng.array())).to_bytes().into();
    let message = v1::ReplicateResponse {
        first,
        events: events.iter().map(|event| event.bytes().clone()).collect(),
        trees: vec![v1::SignedTree { size, checkpoint }],
        head: size,
    };
    message.encode_to_vec()
}

/// A bundle of one task of two agents, with gaps between its events.
pub fn bundle(rng: &mut Rng) -> Vec<u8> {
    let (mut provider, mut initiator) = (Speaker::new(0), Speaker::new(1));
    let terms = serde_json::json!({ "name": "sounding", "category": "survey" });
    let mut said =
        vec![provider.say(serde_json::json!({ "advertise_capability": { "publish": terms } }))];
    said.push(initiator.say(serde_json::json!({ "intent": { "open": { "outcome": "depth" } } })));
    let (capability, intent) = (said[0].id(), said[1].id());
    let offer = serde_json::json!({ "intent": intent, "capability": capability });
    said.push(provider.say(serde_json::json!({ "offer": offer })));
    let start = serde_json::json!({ "intent": intent, "offer": said[2].id(), "attempt": 1 });
    said.push(initiator.say(serde_json::json!({ "task_start": start })));
    let task = said[3].id();
    for state in ["accepted", "running"] {
        let progress = serde_json::json!({ "task": task, "state": state });
        said.push(provider.say(serde_json::json!({ "task_progress": progress })));
    }
    let done = serde_json::json!({ "task": task, "outcome": "succeeded" });
    said.push(provider.say(serde_json::json!({ "task_done": done })));
    let (mut position, mut chain) = (0, ChainHash::genesis(&log_origin()));
    let mut events = Vec::new();
    for (at, signed) in said.iter().enumerate() {
        if rng.once_in(3) {
            (position, chain) = (position + 1 + rng.number() % 5, ChainHash(rng.array()));
        }
        let event = Event::new(Position(position), chain, Time(at as i64), signed);
        (position, chain) = (position + 1, event.chain());
        events.push(event);
    }
    proven(events, Subject::Task(task), Vec::new()).to_bytes()
}

/// A bundle of these events, with other leaves between them, signed by [`log_key`].
pub fn proven(events: Vec<Event>, subject: Subject, omitted: Vec<Omission>) -> Bundle {
    let mut tree = MemoryTree::new();
    for event in &events {
        while tree.size().as_u64() < event.position().0 {
            tree.append(leaf(tree.size().as_u64()));
        }
        tree.append(event.leaf());
    }
    let indices: Vec<LeafIndex> = events.iter().map(|event| event.position().leaf()).collect();
    let nodes = tally_tlog::subset_proof(&tree, &indices, tree.size()).unwrap_or_default();
    let (origin, checkpoint) = (log_origin(), head(tree.size(), tree.root()));
    Bundle { origin, subject, checkpoint, older: None, events, nodes, omitted }
}

/// An author with a chain.
struct Speaker {
    key: AgentKey,
    sequence: AuthorSequence,
    previous: Option<EnvelopeId>,
}

impl Speaker {
    fn new(which: u8) -> Self {
        Self { key: author(which), sequence: AuthorSequence(0), previous: None }
    }

    fn say(&mut self, message: serde_json::Value) -> SignedEnvelope {
        let envelope = Envelope {
            origin: log_origin(),
            author: self.key.agent(),
            author_sequence: self.sequence,
            previous: self.previous,
            issued_at_us: Time(1),
            trace_id: None,
            causes: Vec::new(),
            message: serde_json::from_value(message).expect("a message"),
        };
        let signed = envelope.sign(&self.key).expect("a valid envelope");
        self.sequence = self.sequence.next();
        self.previous = Some(signed.id());
        signed
    }
}
