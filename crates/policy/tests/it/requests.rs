//! The canonical form of requests, and that what Cedar is asked fits the schema.

use tally_policy::Request;

use crate::support::{all_actions, offer};

#[test]
fn the_canonical_form_is_pinned() {
    let text = String::from_utf8(offer().canonical()).expect("JSON is UTF-8");
    let expect = concat!(
        r#"{"agent":"did:key:z6MkProvider","#,
        r#""action":{"offer":{"id":"i1","author":"did:key:z6MkInitiator","category":"vision","#,
        r#""priority":5,"privacy":"parties","labels":{"project":"apollo"}}},"#,
        r#""capability":{"id":"c1","name":"ocr","category":"vision","tags":["pages","text"]},"#,
        r#""terms":{"any_of":{"region":["eu-central"]},"#,
        r#""all_of":{"certification":["iso27001","soc2"]},"none_of":{"storage":["tape"]},"#,
        r#""resources":{"memory":{"amount":8000000000,"unit":"By"}},"#,
        r#""cost":{"amount":1250,"currency":"EUR"},"duration":60000000,"#,
        r#""deadline":1764003600000000},"#,
        r#""claims":{"did:key:z6MkProvider":{"iso27001":["did:key:z6MkAuditor"]}},"#,
        r#""at":1764000000000000}"#,
    );
    assert_eq!(text, expect);
}

#[test]
fn a_request_reads_back_as_it_was() {
    for request in all_actions() {
        let again: Request = serde_json::from_slice(&request.canonical()).expect("a request");
        assert_eq!(again, request);
        assert_eq!(again.canonical(), request.canonical());
    }
}

#[test]
fn order_and_white_space_of_the_source_do_not_matter() {
    let text = r#"{ "at": 7, "terms": {}, "claims": {"b": {}, "a": {"k": ["z", "y", "z"]}},
        "capability": {"category": "x", "id": "c", "name": "n", "tags": []},
        "action": "advertise", "agent": "p" }"#;
    let request: Request = serde_json::from_str(text).expect("a request");
    let canonical = String::from_utf8(request.canonical()).expect("JSON is UTF-8");
    assert_eq!(
        canonical,
        r#"{"agent":"p","action":"advertise","capability":{"id":"c","name":"n","category":"x"},"claims":{"a":{"k":["y","z"]},"b":{}},"at":7}"#
    );
}

#[test]
fn unknown_fields_are_refused() {
    let text = String::from_utf8(offer().canonical()).expect("JSON is UTF-8");
    for (field, with) in
        [(r#""agent":"#, r#""surprise":1,"agent":"#), (r#""cost":{"#, r#""cost":{"tax":1,"#)]
    {
        let changed = text.replacen(field, with, 1);
        assert_ne!(changed, text);
        let error = serde_json::from_str::<Request>(&changed).expect_err("an unknown field");
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
