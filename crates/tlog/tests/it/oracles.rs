//! Roots, proofs, notes and checkpoints against implementations that we did not write.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof as CtConsistency, InclusionProof as CtInclusion};
use proptest::prelude::*;
use sha2::Sha256;
use signed_note::{
    Note as OtherNote, StandardSigner, StandardVerifier, Verifier as _, VerifierList,
};
use tally_tlog::{
    Checkpoint, ConsistencyProof, Frontier, Hash, InclusionProof, KeyName, MemoryTree, Note,
    NoteSigner, Origin, SignedCheckpoint, VerifierKey, consistency_proof, inclusion_proof,
    leaf_hash, verify_consistency, verify_inclusion,
};
use tlog_tiles::Checkpoint as OtherCheckpoint;
use tlog_tiles::tlog;

use crate::support::{at, sized};

/// The same leaves in our tree and in the two others.
#[derive(Default)]
struct Trees {
    ours: MemoryTree,
    ct: Option<MemoryBackedTree<Sha256, Vec<u8>>>,
    tiles: Stored,
    leaves: Vec<Vec<u8>>,
}

/// `tlog_tiles` keeps its nodes in one row.
#[derive(Default)]
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&index| self.0[index as usize]).collect())
    }
}

impl Trees {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let mut trees = Trees { ct: Some(MemoryBackedTree::new()), ..Trees::default() };
        for (n, leaf) in leaves.iter().enumerate() {
            trees.ours.append(leaf_hash(leaf));
            trees.ct.as_mut().expect("a tree").push(leaf.clone());
            let nodes = tlog::stored_hashes(n as u64, leaf, &trees.tiles).expect("nodes");
            trees.tiles.0.extend(nodes);
        }
        trees.leaves = leaves.to_vec();
        trees
    }

    fn ct(&self) -> &MemoryBackedTree<Sha256, Vec<u8>> {
        self.ct.as_ref().expect("a tree")
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }
}

fn theirs(hash: Hash) -> tlog::Hash {
    tlog::Hash(hash.into_bytes())
}

fn all_theirs(hashes: &[Hash]) -> Vec<tlog::Hash> {
    hashes.iter().copied().map(theirs).collect()
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.into_bytes()).collect()
}

fn check_roots(trees: &Trees) {
    let n = trees.size();
    let root = trees.ours.root();
    assert_eq!(trees.ct().root().as_bytes().as_slice(), root.as_bytes());
    for m in [0, 1, n / 3, n / 2, n.saturating_sub(1), n].into_iter().filter(|&m| m <= n) {
        let root = trees.ours.root_at(sized(m)).expect("a root");
        assert_eq!(tlog::tree_hash(m, &trees.tiles).expect("a root"), theirs(root), "size {m}");
        let rebuilt = Frontier::from_nodes(sized(m), &trees.ours).expect("nodes");
        assert_eq!(rebuilt.root(), root);
    }
}

fn check_inclusion(trees: &Trees, i: u64) {
    let (n, root) = (trees.size(), trees.ours.root());
    let leaf = &trees.leaves[i as usize];
    let proof = inclusion_proof(&trees.ours, at(i), sized(n)).expect("a proof");
    // The same proof as both others make ...
    let ct = trees.ct().prove_inclusion(i as usize);
    assert_eq!(ct.as_bytes(), joined(proof.hashes()));
    let tiles = tlog::prove_record(n, i, &trees.tiles).expect("a proof");
    assert_eq!(tiles, all_theirs(proof.hashes()));
    // ... which they accept from us, and we from them.
    let ours = CtInclusion::from_bytes(joined(proof.hashes()));
    trees.ct().root().verify_inclusion(leaf, i, &ours).expect("accepted");
    tlog::check_record(&tiles, n, theirs(root), i, tlog::record_hash(leaf)).expect("accepted");
    let tiles = tiles.into_iter().map(|hash| Hash::new(hash.0)).collect();
    let tiles = InclusionProof::new(tiles).expect("short enough");
    verify_inclusion(leaf_hash(leaf), at(i), sized(n), &tiles, root).expect("accepted");
}

fn check_consistency(trees: &Trees, m: u64) {
    let (n, root) = (trees.size(), trees.ours.root());
    let old_root = trees.ours.root_at(sized(m)).expect("a root");
    let proof = consistency_proof(&trees.ours, sized(m), sized(n)).expect("a proof");
    let tiles = tlog::prove_tree(n, m, &trees.tiles).expect("a proof");
    assert_eq!(tiles, all_theirs(proof.hashes()), "{m} to {n}");
    tlog::check_tree(&tiles, n, theirs(root), m, theirs(old_root)).expect("accepted");
    let ct = trees.ct().prove_consistency((n - m) as usize);
    assert_eq!(ct.as_bytes(), joined(proof.hashes()), "{m} to {n}");
    let ours = CtConsistency::try_from_bytes(joined(proof.hashes())).expect("a proof");
    let old = Trees::of(&trees.leaves[..m as usize]);
    trees.ct().root().verify_consistency(&old.ct().root(), &ours).expect("accepted");
    let tiles = tiles.into_iter().map(|hash| Hash::new(hash.0)).collect();
    let tiles = ConsistencyProof::new(tiles).expect("short enough");
    verify_consistency(sized(m), sized(n), old_root, root, &tiles).expect("accepted");
}

fn leaves(at_most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=at_most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn roots_and_proofs_agree(leaves in leaves(600), picks in any::<[u64; 4]>()) {
        let trees = Trees::of(&leaves);
        check_roots(&trees);
        for pick in picks.into_iter().filter(|_| !leaves.is_empty()) {
            check_inclusion(&trees, pick % trees.size());
            check_consistency(&trees, pick % trees.size() + 1);
        }
    }
}

#[test]
fn every_proof_of_small_trees_agrees() {
    for n in 0..=40u8 {
        let leaves: Vec<Vec<u8>> = (0..n).map(|i| vec![i; usize::from(i)]).collect();
        let trees = Trees::of(&leaves);
        check_roots(&trees);
        for i in 0..u64::from(n) {
            check_inclusion(&trees, i);
            check_consistency(&trees, i + 1);
        }
    }
}

fn signer(seed: [u8; 32]) -> NoteSigner {
    NoteSigner::from_seed(KeyName::new("example.com/log").expect("a name"), &seed)
}

/// A note's text as any caller may write it: lines, empty ones among them.
fn texts() -> impl Strategy<Value = String> {
    "([a-z é—+]{0,12}\n){1,5}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_are_the_same_text(seed in any::<[u8; 32]>()) {
        let ours = signer(seed);
        let key = StandardVerifier::new(&ours.verifier_key().to_string()).expect("their key");
        prop_assert_eq!(key.key_id(), ours.key_id().as_u32());
        StandardSigner::new(&ours.to_secret_text()).expect("their secret key");
    }

    #[test]
    fn our_notes_verify_there(seed in any::<[u8; 32]>(), text in texts()) {
        let ours = signer(seed);
        let bytes = ours.sign(&text).expect("a note").to_bytes();
        let key = StandardVerifier::new(&ours.verifier_key().to_string()).expect("their key");
        let read = OtherNote::from_bytes(&bytes).expect("their note");
        let (known, unknown) =
            read.verify(&VerifierList::new(vec![Box::new(key)])).expect("verified");
        prop_assert_eq!((known.len(), unknown.len()), (1, 0));
        prop_assert_eq!(read.text(), text.as_bytes());
    }

    #[test]
    fn their_notes_verify_here(seed in any::<[u8; 32]>(), text in texts()) {
        let ours = signer(seed);
        let theirs = StandardSigner::new(&ours.to_secret_text()).expect("their secret key");
        let mut note = OtherNote::new(text.as_bytes(), &[]).expect("a note");
        note.add_sigs(&[&theirs]).expect("signed");
        let read = Note::parse(&note.to_bytes()).expect("our note");
        let keys = [ours.verifier_key()];
        prop_assert_eq!(read.verify(&keys).expect("verified").text(), text);
        prop_assert_eq!(read.to_bytes(), note.to_bytes());
    }

    #[test]
    fn checkpoints_are_read_both_ways(
        seed in any::<[u8; 32]>(), size in 1u64.., root in any::<[u8; 32]>(),
    ) {
        let ours = signer(seed);
        let origin: Origin = "example.com/log".parse().expect("an origin");
        let checkpoint =
            Checkpoint { origin: origin.clone(), size: sized(size), root: Hash::new(root) };
        let signed = checkpoint.sign(&ours);
        let note = OtherNote::from_bytes(&signed.to_bytes()).expect("their note");
        let read = OtherCheckpoint::from_bytes(note.text()).expect("their checkpoint");
        prop_assert_eq!(read.origin(), origin.as_str());
        prop_assert_eq!((read.size(), *read.hash()), (size, tlog::Hash(root)));
        prop_assert_eq!(read.extension(), "");

        let written = OtherCheckpoint::new(origin.as_str(), size, tlog::Hash(root), "");
        let mut note = OtherNote::new(&written.expect("their checkpoint").to_bytes(), &[])
            .expect("their note");
        let theirs = StandardSigner::new(&ours.to_secret_text()).expect("their secret key");
        note.add_sigs(&[&theirs]).expect("signed");
        let opened = SignedCheckpoint::parse(&note.to_bytes())
            .expect("our checkpoint")
            .open(&[ours.verifier_key()], &origin)
            .expect("verified");
        prop_assert_eq!(opened.checkpoint(), &checkpoint);
    }
}

#[test]
fn keys_generated_there_are_read_here() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let ours: VerifierKey = text.parse().expect("our key");
    let theirs = StandardVerifier::new(text).expect("their key");
    assert_eq!(ours.to_string(), text);
    assert_eq!(ours.id().as_u32(), theirs.key_id());
    assert_eq!(ours.name().as_str(), theirs.name());
}
