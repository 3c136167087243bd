//! Bundles, and the proof of many leaves that they carry.

use tally_tlog::{Hash, LeafIndex, SubsetProof, TreeSize, node_hash, subset_root};
use tally_verify::{Bundle, Trust, Verdict, verify_bundle};

use crate::seeds;
use crate::targets::Outcome;

/// A bundle: written back as it came; judged without a panic, and never valid without a subject
/// whose event was judged.
pub fn bundle(data: &[u8]) -> Outcome {
    let read = Bundle::parse(data);
    if let Ok(bundle) = &read {
        assert_eq!(bundle.to_bytes(), data, "a bundle is written back as it came");
    }
    let keys = vec![seeds::log_key().verifier_key()];
    let trust = Trust { origin: seeds::log_origin(), keys, earlier: Vec::new() };
    let report = verify_bundle(data, &trust, |_| {});
    assert_eq!(read.is_err(), report.first_bad.as_ref().is_some_and(|bad| bad.rule == "format"));
    assert!(report.held <= report.events);
    match report.verdict {
        Verdict::Valid => {
            assert!(report.held == report.events && report.held > 0 && report.missing.is_empty());
            Outcome::accepted("valid")
        }
        Verdict::Incomplete => Outcome::accepted("incomplete"),
        Verdict::Invalid => Outcome::refused(&report.first_bad.expect("what is bad").rule),
    }
}

/// ```text
/// subset = size u64 ‖ count u8 ‖ (index u64 ‖ leaf [32]) … ‖ hashes
/// ```
///
/// Leads to the root that the definition leads to, or is refused where the definition has none.
pub fn subset_proof(data: &[u8]) -> Outcome {
    let Some((size, leaves, hashes)) = read_subset(data) else {
        return Outcome::accepted("too short");
    };
    let ascends = leaves.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let within = leaves.last().is_some_and(|(last, _)| last.as_u64() < size);
    let expected = if ascends && within && size <= 1 << 63 {
        let mut rest = &hashes[..];
        defined_root(0, size, &leaves, &mut rest).filter(|_| rest.is_empty())
    } else {
        None
    };
    let found = subset_root(&leaves, TreeSize::new(size), &SubsetProof::new(hashes));
    assert_eq!(found.ok(), expected, "the definition leads to this root");
    match found {
        Ok(_) => Outcome::accepted("proven"),
        Err(error) => Outcome::refused(&error),
    }
}

type Subset = (u64, Vec<(LeafIndex, Hash)>, Vec<Hash>);

fn read_subset(data: &[u8]) -> Option<Subset> {
    let (size, data) = data.split_first_chunk()?;
    let (&[count], mut data) = data.split_first_chunk()?;
    let mut leaves = Vec::new();
    for _ in 0..count {
        let (index, rest) = data.split_first_chunk()?;
        let (leaf, rest) = rest.split_first_chunk::<32>()?;
        leaves.push((LeafIndex::new(u64::from_be_bytes(*index)), Hash::new(*leaf)));
        data = rest;
    }
    let (hashes, _) = data.as_chunks::<32>();
    Some((u64::from_be_bytes(*size), leaves, hashes.iter().copied().map(Hash::new).collect()))
}

/// "MTH(D\[n\])", RFC 6962 §2.1, over `low..high`, with the next hash for a complete range of which
/// no leaf is known.
fn defined_root(
    low: u64,
    high: u64,
    leaves: &[(LeafIndex, Hash)],
    hashes: &mut &[Hash],
) -> Option<Hash> {
    let here = |(index, _): &&(LeafIndex, Hash)| (low..high).contains(&index.as_u64());
    let own: Vec<(LeafIndex, Hash)> = leaves.iter().filter(here).copied().collect();
    match own[..] {
        [] if (high - low).is_power_of_two() => {
            let (next, rest) = hashes.split_first()?;
            *hashes = rest;
            Some(*next)
        }
        [(_, leaf)] if high - low == 1 => Some(leaf),
        _ => {
            let middle = low + (1 << (high - low - 1).ilog2());
            let left = defined_root(low, middle, &own, hashes)?;
            Some(node_hash(&left, &defined_root(middle, high, &own, hashes)?))
        }
    }
}
