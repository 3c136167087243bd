//! Manifests of exported tables.

use crate::rng::Rng;

/// The manifest of an export of a few tables in a few parts.
pub fn manifest(rng: &mut Rng) -> Vec<u8> {
    let (size, step) = (rng.below(50) as u64, 10);
    let part = |table: &str, from: u64| {
        let to = size.min(from + step);
        serde_json::json!({ "file": format!("{table}/part-{from:010}-{to:010}.jsonl"),
            "from": from, "to": to, "rows": to, "bytes": 7, "sha256": "ab" })
    };
    let table = |name: String| {
        let parts: Vec<_> = (0..size).step_by(10).map(|from| part(&name, from)).collect();
        let column = serde_json::json!({ "name": "id", "kind": "id", "optional": false,
            "meaning": "Its id." });
        serde_json::json!({ "name": name, "meaning": "Rows.", "key": ["id"], "versioned": true,
            "columns": [column], "parts": parts })
    };
    let tables: Vec<_> = (0..rng.below(3)).map(|n| table(format!("table_{n}"))).collect();
    let manifest = serde_json::json!({ "format": "tally.tables.v1", "encoding": "jsonl",
        "origin": "ledger.example/fuzz", "size": size, "chain": "ab".repeat(32),
        "part_events": step, "tables": tables });
    manifest.to_string().into_bytes()
}
