//! Agent cards as statements: what finds no room is counted.

use serde_json::{Value, json};
use tally_interop::a2a::AgentCard;

fn card(skills: usize) -> AgentCard {
    let skill = |number: usize| json!({ "id": number.to_string(), "name": "Sounding", "description": "Depth.", "tags": ["survey"] });
    let card = json!({
        "name": "Petrel", "description": "Surveys.", "version": "1.0", "capabilities": {},
        "supportedInterfaces": [{ "url": "https://petrel.example", "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0" }],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/csv"],
        "skills": (0..skills).map(skill).collect::<Vec<_>>(),
    });
    AgentCard::read(&card.to_string()).expect("a card")
}

#[test]
fn as_many_skills_as_find_room_are_in_a_statement() {
    let said = |card: &AgentCard, limit: usize| {
        let text = card.statement(limit).expect("there is room");
        assert!(text.len() <= limit);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let all = said(&card(3), 8_192);
    assert_eq!((all["skills"].as_array().map(Vec::len), all.get("skillsLeftOut")), (Some(3), None));
    let many = card(100_000);
    for limit in [400, 1_000, 8_192] {
        let some = said(&many, limit);
        let kept = some["skills"].as_array().map_or(0, Vec::len);
        assert_eq!(some["skillsLeftOut"], json!(100_000 - kept));
        assert!(said(&many, limit + 100)["skills"].as_array().map_or(0, Vec::len) > kept);
    }
    assert_eq!(many.statement(100), None);
}
