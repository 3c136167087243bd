//! The RFC 6962 vectors of transparency-dev/merkle, where they are present.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tally_tlog::{
    ConsistencyProof, Hash, InclusionProof, leaf_hash, verify_consistency, verify_inclusion,
};

use crate::support::{at, sized};

/// Fewer than the vectors had when this was written, so that an empty or moved directory is seen.
const LEAST_INCLUSION: usize = 98;
const LEAST_CONSISTENCY: usize = 98;

/// A vector's verdict, `Err` being a refusal for any reason.
type Verdict = Result<(), String>;

fn vectors(kind: &str) -> Option<Vec<(PathBuf, Value)>> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = base.join("../../../shared/vectors/rfc6962/testdata").join(kind);
    if !directory.is_dir() {
        println!("skipped: no vectors at {}", directory.display());
        return None;
    }
    let mut found = Vec::new();
    collect(&directory, &mut found);
    Some(found)
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).expect("a vector");
            found.push((path, serde_json::from_str(&text).expect("JSON")));
        }
    }
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().expect("a number")
}

/// Hashes of a wrong length cannot be spelled in our types. Some vectors use short texts as
/// stand-ins for roots, to be compared only; those become hashes of the same text, equal where
/// the texts were. An absent hash is refused.
fn hash(text: &Value) -> Result<Hash, String> {
    let text = text.as_str().expect("base64");
    if text.is_empty() {
        return Err("an absent hash".to_owned());
    }
    Ok(Hash::from_base64(text)
        .unwrap_or_else(|_| Hash::new(Sha256::digest(text.as_bytes()).into())))
}

fn hashes(vector: &Value) -> Result<Vec<Hash>, String> {
    match &vector["proof"] {
        Value::Null => Ok(Vec::new()),
        proof => proof
            .as_array()
            .expect("an array")
            .iter()
            // In a proof, unlike in a root, a text of another length is refused when parsed.
            .map(|text| {
                Hash::from_base64(text.as_str().expect("base64")).map_err(|e| e.to_string())
            })
            .collect(),
    }
}

fn inclusion(vector: &Value) -> Verdict {
    let proof = InclusionProof::new(hashes(vector)?).map_err(|e| e.to_string())?;
    let (index, size) = (at(number(vector, "leafIdx")), sized(number(vector, "treeSize")));
    let (leaf, root) = (hash(&vector["leafHash"])?, hash(&vector["root"])?);
    verify_inclusion(leaf, index, size, &proof, root).map_err(|e| e.to_string())
}

fn consistency(vector: &Value) -> Verdict {
    let proof = ConsistencyProof::new(hashes(vector)?).map_err(|e| e.to_string())?;
    let (old, new) = (sized(number(vector, "size1")), sized(number(vector, "size2")));
    let (old_root, new_root) = (hash(&vector["root1"])?, hash(&vector["root2"])?);
    verify_consistency(old, new, old_root, new_root, &proof).map_err(|e| e.to_string())
}

fn check(kind: &str, least: usize, verify: fn(&Value) -> Verdict) {
    let Some(vectors) = vectors(kind) else { return };
    for (path, vector) in &vectors {
        let refused = vector["wantErr"].as_bool().expect("wantErr");
        let verdict = verify(vector);
        assert_eq!(verdict.is_err(), refused, "{}: {verdict:?}", path.display());
    }
    assert!(vectors.len() >= least, "only {} {kind} vectors", vectors.len());
    println!("{} {kind} vectors", vectors.len());
}

#[test]
fn inclusion_vectors() {
    check("inclusion", LEAST_INCLUSION, inclusion);
}

#[test]
fn consistency_vectors() {
    check("consistency", LEAST_CONSISTENCY, consistency);
}

/// The vectors' own leaves: a tree built here has the roots that the vectors were made with.
#[test]
fn the_published_tree_has_the_published_roots() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let mut tree = tally_tlog::MemoryTree::new();
    leaves.iter().for_each(|leaf| {
        tree.append(leaf_hash(leaf));
    });
    let root = |size| tree.root_at(sized(size)).expect("a root").to_base64();
    assert_eq!(root(1), "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
    assert_eq!(root(2), "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=");
    assert_eq!(root(5), "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=");
    assert_eq!(root(8), "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=");
}
