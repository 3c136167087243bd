//! Merkle tree, notes, checkpoints and proofs of a transparency log
