//! The transparency log's arithmetic: Merkle tree, signed notes, checkpoints and proofs.
//!
//! This crate computes and checks; it does not store, send, tell the time or make keys. Leaves are
//! given as leaf hashes, stored tree nodes are read through [`HashReader`], and keys and notes are
//! text. It knows nothing of what a leaf means.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`hash`] | leaf and node hashes | RFC 6962 §2.1 |
//! | [`tree`] | growing a tree in O(log n) memory, naming its stored nodes | RFC 6962 §2.1 |
//! | [`proof`] | inclusion and consistency proofs, made and verified | RFC 9162 §2.1.3, §2.1.4 |
//! | [`note`] | signed notes | C2SP signed-note v1 |
//! | [`key`] | named keys, public and secret | C2SP signed-note v1 |
//! | [`subset`] | one proof for many leaves | our own, over RFC 6962 §2.1 |
//! | [`checkpoint`] | the signed tree head | C2SP tlog-checkpoint v1 |
//! | [`cosignature`] | a witness's word on a checkpoint | C2SP tlog-cosignature v1 |
//! | [`policy`] | which logs, and which witnesses are enough | C2SP tlog-policy |
//! | [`tile`] | the tree and the entries as files | C2SP tlog-tiles v0.1.0 |
//! | [`receipt`] | the self-contained proof file of one leaf | C2SP tlog-proof@v1 |
//!
//! Two rules hold throughout. A verified thing is a different type from an unverified one:
//! [`SignedCheckpoint`] is what arrived, [`VerifiedCheckpoint`] is what a trusted key vouches for.
//! And what was parsed is written back byte for byte, so nothing is re-encoded on its way to a
//! signature check.
//!
//! # Example
//!
//! A log of two leaves signs its tree head; a holder of the log's public key checks a receipt.
//!
//! ```
//! use tally_tlog::{
//!     Checkpoint, LeafIndex, LogProof, MemoryTree, NoteSigner, Origin, inclusion_proof, leaf_hash,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let origin: Origin = "example.com/ledger".parse()?;
//! let signer = NoteSigner::from_seed(origin.key_name(), &[7; 32]);
//!
//! // The log appends two leaves, signs its tree head and cuts a receipt for the second leaf.
//! let mut tree = MemoryTree::new();
//! tree.append(leaf_hash(b"first"));
//! let index = tree.append(leaf_hash(b"second"));
//! let head = Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() };
//! let proof = inclusion_proof(&tree, index, tree.size())?;
//! let receipt = LogProof::new(None, index, proof, head.sign(&signer))?.to_bytes();
//!
//! // Anyone with the public key checks the receipt against the leaf they hold.
//! let key = signer.verifier_key();
//! let received = LogProof::parse(&receipt)?;
//! let verified = received.verify(leaf_hash(b"second"), &[key], &origin)?;
//! assert_eq!(received.index(), LeafIndex::new(1));
//! assert_eq!(verified.size(), tree.size());
//! # Ok(())
//! # }
//! ```

pub mod checkpoint;
pub mod cosignature;
pub mod hash;
pub mod key;
pub mod note;
pub mod policy;
pub mod proof;
mod prover;
pub mod receipt;
pub mod subset;
pub mod tile;
pub mod tree;

mod text;

pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointTextError, Origin, SignedCheckpoint, VerifiedCheckpoint,
};
pub use cosignature::{
    COSIGNATURE_TYPE, Cosignature, CosignatureError, Cosigner, CosignerKey, PosixTime,
};
pub use hash::{Hash, HashTextError, empty_root, leaf_hash, leaf_hash_parts, node_hash};
pub use key::{KeyTextError, PublicKey, SecretKey};
pub use note::{
    ED25519_SIGNATURE_TYPE, KeyId, KeyName, MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES,
    NameError, Note, NoteError, NoteSignature, NoteSigner, NoteVerifyError, VerifiedNote,
    VerifierKey, key_id,
};
pub use policy::{
    MAX_POLICY_BYTES, MAX_POLICY_GROUPS, MAX_POLICY_LOGS, MAX_POLICY_WITNESSES, Octets,
    PolicyError, PolicyLog, PolicyRule, PolicyWitness, Quorum, Standing, WitnessPolicy,
};
pub use proof::{
    ConsistencyProof, InclusionProof, MAX_PROOF_HASHES, ProofError, ProveError, consistency_proof,
    inclusion_proof, inclusion_root, root_at, verify_consistency, verify_inclusion,
};
pub use prover::Prover;
pub use receipt::{
    LOG_PROOF_HEADER, LogProof, LogProofError, LogProofVerifyError, MAX_EXTRA_BYTES,
    MAX_LOG_PROOF_BYTES,
};
pub use subset::{
    MAX_SUBSET_LEAVES, ProveSubsetError, SubsetError, SubsetProof, subset_proof, subset_root,
};
pub use tile::{
    EntryBundleError, MAX_ENTRY_BYTES, MAX_TILE_LEVEL, TILE_WIDTH, TileKind, TilePath,
    TilePathError, decode_entries, encode_entries,
};
pub use tree::{
    Frontier, HashReader, LeafIndex, MAX_TREE_SIZE, MemoryTree, MissingNode, NodeId, TreeSize,
    TreeSizeTextError,
};
