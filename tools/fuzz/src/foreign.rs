//! Documents of other systems, made from numbers: what their readers are fed.

use serde_json::{Value, json};

use crate::rng::Rng;

/// A PROV-JSON document with a few activities and entities, in order or not.
pub fn prov_json(rng: &mut Rng) -> Vec<u8> {
    let mut document = json!({ "prefix": { "ex": "http://example.org/",
        "tally": "https://pervasive.link/tally/prov/v1#" } });
    let name = |rng: &mut Rng, kind: &str| format!("ex:{kind}{}", rng.below(4));
    for number in 0..1 + rng.below(6) {
        let (activity, entity, other) = (name(rng, "a"), name(rng, "e"), name(rng, "e"));
        let time = format!("2026-11-18T11:{:02}:00Z", rng.below(60));
        let (kind, record) = match rng.below(8) {
            0 => ("entity", json!({ "prov:type": { "$": "ex:T", "type": "prov:QUALIFIED_NAME" } })),
            1 => ("activity", json!({ "prov:startTime": time })),
            2 => ("used", json!({ "prov:activity": activity, "prov:entity": entity })),
            3 => (
                "wasGeneratedBy",
                json!({ "prov:entity": entity, "prov:activity": activity,
                "prov:time": time, "tally:position": { "$": "7", "type": "xsd:long" } }),
            ),
            4 => (
                "wasDerivedFrom",
                json!({ "prov:generatedEntity": entity, "prov:usedEntity": other }),
            ),
            5 => ("wasInvalidatedBy", json!({ "prov:entity": entity, "prov:time": time })),
            6 => {
                ("hadMember", json!({ "prov:collection": entity, "prov:entity": [other, "ex:m"] }))
            }
            _ => ("wasStartedBy", json!({ "prov:activity": activity, "prov:trigger": entity })),
        };
        let id = if kind == "activity" { activity } else { format!("ex:e{number}") };
        document[kind][id] = record;
    }
    if rng.once_in(4) {
        document["bundle"]["ex:b"] = json!({ "entity": { "ex:in": {} } });
    }
    bytes(&document)
}

/// Run events of OpenLineage, one a line.
pub fn openlineage_events(rng: &mut Rng) -> Vec<u8> {
    let states = ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"];
    let dataset = |rng: &mut Rng| {
        let namespace = *rng.one_of(&["s3://bucket", "example.org/ledger", "db"]);
        let mut dataset = json!({ "namespace": namespace, "name": format!("t{}", rng.below(3)) });
        if rng.once_in(2) {
            dataset["facets"] =
                json!({ "version": { "datasetVersion": hex::encode(rng.array::<32>()) } });
        }
        dataset
    };
    let mut text = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let run = format!("01890a5d-ac96-774b-bcce-b302099a805{}", rng.below(3));
        let event = json!({
            "eventTime": format!("2026-11-18T11:{:02}:00Z", rng.below(60)),
            "eventType": rng.one_of(&states),
            "producer": "https://example.org", "schemaURL": "https://openlineage.io/spec/2-0-2",
            "run": { "runId": run }, "job": { "namespace": "n", "name": "j" },
            "inputs": (0..rng.below(3)).map(|_| dataset(rng)).collect::<Vec<_>>(),
            "outputs": (0..rng.below(3)).map(|_| dataset(rng)).collect::<Vec<_>>(),
        });
        text.extend(bytes(&event));
        text.push(b'\n');
    }
    text
}

/// An agent card of A2A.
pub fn agent_card(rng: &mut Rng) -> Vec<u8> {
    let skill = |number: usize| json!({ "id": number.to_string(), "name": "Sounding", "description": "Depth.", "tags": ["survey"] });
    let mut card = json!({
        "name": "Petrel", "description": "Surveys.", "version": "1.0",
        "supportedInterfaces": [{ "url": "https://petrel.example", "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0" }],
        "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/csv"],
        "skills": (0..rng.below(200)).map(skill).collect::<Vec<_>>(),
    });
    if rng.once_in(2) {
        card["provider"] =
            json!({ "organization": "Soundings", "url": "https://soundings.example" });
    }
    bytes(&card)
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
