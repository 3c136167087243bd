//! Every fault, where it is found, and every limit at the limit and one beyond.

use prost::Message as _;
use tally_protocol::limits::*;
use tally_protocol::message::*;
use tally_protocol::parts::{Document, Name, Text, Uri};
use tally_protocol::wire::{self, envelope::Message as Wire};
use tally_protocol::{
    AuthorSequence, Envelope, Fault, KeyError, Malformed, Message, Time, TraceId,
};

use crate::samples;

fn read(sample: &str, change: impl FnOnce(&mut wire::Envelope)) -> Result<Envelope, Malformed> {
    let payload = samples::sample(sample).encode().expect("encodes");
    let mut wire = wire::Envelope::decode(&payload[..]).expect("protobuf");
    change(&mut wire);
    Envelope::decode(&wire.encode_to_vec())
}

fn check(sample: &str, change: impl FnOnce(&mut wire::Envelope), path: &str, fault: Fault) {
    let expect = Malformed { path: path.into(), fault };
    assert_eq!(read(sample, change), Err(expect), "{sample}");
}

fn accepts(sample: &str, change: impl FnOnce(&mut wire::Envelope)) {
    if let Err(error) = read(sample, change) {
        panic!("{sample}: {error}");
    }
}

/// The message of a wire envelope, as the variant that it must have.
macro_rules! in_message {
    ($($variant:ident)::+ => |$inner:ident| $change:expr) => {
        move |wire: &mut wire::Envelope| match &mut wire.message {
            Some(Wire::$($variant)::+($inner)) => { $change; }
            other => panic!("{other:?}"),
        }
    };
}

fn publish(wire: &mut wire::Envelope) -> &mut wire::advertise_capability::Terms {
    use wire::advertise_capability::Action;
    match &mut wire.message {
        Some(Wire::AdvertiseCapability(wire::AdvertiseCapability {
            action: Some(Action::Publish(terms)),
        })) => terms,
        other => panic!("{other:?}"),
    }
}

fn open(wire: &mut wire::Envelope) -> &mut wire::intent::Terms {
    match &mut wire.message {
        Some(Wire::Intent(wire::Intent { action: Some(wire::intent::Action::Open(terms)) })) => {
            terms
        }
        other => panic!("{other:?}"),
    }
}

const PUBLISH: &str = "advertise_capability.publish";

fn too_long(limit: usize) -> Fault {
    Fault::TooLong { limit, found: limit + 1 }
}

fn too_many(limit: usize) -> Fault {
    Fault::TooMany { limit, found: limit + 1 }
}

// ------------------------------------------------------------------ the envelope's own fields

#[test]
fn another_version_is_refused() {
    for found in [0, 2, u32::MAX] {
        let fault = Fault::Version { expected: 1, found };
        check("offer", |wire| wire.version = found, "version", fault);
    }
}

#[test]
fn an_origin_is_a_name() {
    for origin in ["", "two words", "a+b", "tab\t", &"x".repeat(100_000)[..1]] {
        let is_name = origin == "x";
        let read = read("offer", |wire| wire.origin = origin.into());
        let expect = Malformed { path: "origin".into(), fault: Fault::Origin };
        assert_eq!(read.err(), (!is_name).then_some(expect), "{origin:?}");
    }
}

#[test]
fn an_author_is_a_sound_key() {
    let with = |key: Vec<u8>| move |wire: &mut wire::Envelope| wire.author = key;
    let refused = |key, error| check("offer", with(key), "author", Fault::Key(error));
    refused(vec![], KeyError::Length(0));
    refused(vec![1; 31], KeyError::Length(31));
    refused(vec![0xff; 32], KeyError::NonCanonical);
    refused(vec![0; 32], KeyError::SmallOrder);
    // Whether the point is on the curve is found with the signature.
    accepts("offer", with([vec![2], vec![0; 31]].concat()));
}

#[test]
fn previous_is_there_for_all_but_the_first() {
    check("offer", |wire| wire.previous.clear(), "previous", Fault::Previous);
    check("offer", |wire| wire.author_sequence = 0, "previous", Fault::Previous);
    accepts("offer", |wire| {
        wire.author_sequence = 0;
        wire.previous.clear();
    });
    let fault = Fault::Length { expected: 32, found: 33 };
    check("offer", |wire| wire.previous.push(0), "previous", fault);
}

#[test]
fn times_lie_after_1970() {
    let fault = |found| Fault::Range { least: 0, most: i64::MAX, found };
    check("offer", |wire| wire.issued_at_us = -1, "issued_at_us", fault(-1));
    check(
        "intent.open",
        |wire| open(wire).deadline_us = i64::MIN,
        "intent.open.deadline_us",
        fault(i64::MIN),
    );
    accepts("offer", |wire| wire.issued_at_us = i64::MAX);
}

#[test]
fn a_trace_id_is_not_all_zero() {
    check("offer", |wire| wire.trace_id = vec![0; 16], "trace_id", Fault::Zero);
    let fault = Fault::Length { expected: 16, found: 15 };
    check("offer", |wire| wire.trace_id = vec![1; 15], "trace_id", fault);
    let zero = Message::Observe(Observe::Trace(TraceId([0; 16])));
    let expect = Malformed { path: "observe.trace".into(), fault: Fault::Zero };
    assert_eq!(samples::envelope(zero).encode(), Err(expect));
}

#[test]
fn the_schema_is_that_of_the_message() {
    let fault = Fault::ObjectSchema { expected: "pervasive.link/v1/Offer" };
    for schema in ["", "pervasive.link/v1/Intent", "pervasive.link/v2/Offer"] {
        check("offer", |wire| wire.object_schema = schema.into(), "object_schema", fault.clone());
    }
}

#[test]
fn causes_are_ids_within_their_limit() {
    accepts("offer", |wire| wire.causes = vec![vec![1; 32]; MAX_CAUSES]);
    let many = |wire: &mut wire::Envelope| wire.causes = vec![vec![1; 32]; MAX_CAUSES + 1];
    check("offer", many, "causes", too_many(MAX_CAUSES));
    let fault = Fault::Length { expected: 32, found: 3 };
    check("offer", |wire| wire.causes[1] = vec![1; 3], "causes[1]", fault);
    check("offer", |wire| wire.causes[0].clear(), "causes[0]", Fault::Missing);
}

#[test]
fn a_payload_that_is_not_canonical_is_refused() {
    let mut payload = samples::sample("offer").encode().expect("encodes");
    payload.extend([0xf8, 0x07, 0x01]);
    let error = Envelope::decode(&payload).expect_err("is refused");
    assert_eq!((error.path.as_str(), error.fault), ("payload", Fault::NotCanonical));
    let error = Envelope::decode(&[0xff]).expect_err("is refused");
    assert_eq!((error.path.as_str(), error.fault), ("payload", Fault::Protobuf));
}

// ------------------------------------------------------------------ fields of messages

#[test]
fn what_must_be_there_is_missed() {
    let missing = |sample, change: fn(&mut wire::Envelope), path| {
        check(sample, change, path, Fault::Missing);
    };
    missing("offer", |wire| wire.message = None, "message");
    missing("offer", in_message!(Offer => |offer| offer.capability.clear()), "offer.capability");
    missing("intent.open", in_message!(Intent => |intent| intent.action = None), "intent.action");
    missing(
        "intent.open",
        |wire| open(wire).inputs[0].digest.clear(),
        "intent.open.inputs[0].digest",
    );
    missing("intent.open", |wire| open(wire).inputs[0].uri.clear(), "intent.open.inputs[0].uri");
    missing(
        "advertise_capability.revise",
        in_message!(AdvertiseCapability => |message| match &mut message.action {
            Some(wire::advertise_capability::Action::Revise(revision)) => revision.terms = None,
            other => panic!("{other:?}"),
        }),
        "advertise_capability.revise.terms",
    );
    missing(
        "offer",
        in_message!(Offer => |offer| offer.price.as_mut().expect("a price").currency.clear()),
        "offer.price.currency",
    );
    missing(
        "task_progress",
        in_message!(TaskProgress => |progress| progress.state = 0),
        "task_progress.state",
    );
    missing(
        "task_progress",
        in_message!(TaskProgress => |progress| progress.notices[0].severity = 0),
        "task_progress.notices[0].severity",
    );
    missing(
        "task_done",
        in_message!(TaskDone => |done| done.policy_results[0].policy = None),
        "task_done.policy_results[0].policy",
    );
    missing(
        "policy_update",
        in_message!(PolicyUpdate => |policy| policy.scope = None),
        "policy_update.scope",
    );
    missing(
        "attest.claim",
        in_message!(Attest => |attest| match &mut attest.statement {
            Some(wire::attest::Statement::Claim(claim)) => claim.subject = None,
            other => panic!("{other:?}"),
        }),
        "attest.claim.subject",
    );
    missing(
        "discover",
        in_message!(Discover => |discover| discover.trust[0].claim.clear()),
        "discover.trust[0].claim",
    );
    missing(
        "discover",
        in_message!(Discover => |discover| discover.trust[0].issuers[1].clear()),
        "discover.trust[0].issuers[1]",
    );
}

#[test]
fn ids_have_their_length() {
    let fault = |found| Fault::Length { expected: 32, found };
    check(
        "offer",
        in_message!(Offer => |offer| offer.intent.truncate(31)),
        "offer.intent",
        fault(31),
    );
    check(
        "offer",
        in_message!(Offer => |offer| offer.replaces.push(1)),
        "offer.replaces",
        fault(33),
    );
    let fourth = |wire: &mut wire::Envelope| {
        let input = open(wire).inputs[0].clone();
        open(wire).inputs = vec![input; 5];
        open(wire).inputs[3].digest.truncate(20);
    };
    check("intent.open", fourth, "intent.open.inputs[3].digest", fault(20));
    check(
        "observe.task_status",
        in_message!(Observe => |observe| observe.subject = Some(wire::observe::Subject::TaskStatus(vec![1]))),
        "observe.task_status",
        fault(1),
    );
}

#[test]
fn agents_in_messages_are_sound_keys_on_the_curve() {
    let observers = "task_start.monitoring.observers[1]";
    let with = |key: Vec<u8>| {
        in_message!(TaskStart => |start| {
            start.monitoring.as_mut().expect("monitoring").observers[1] = key
        })
    };
    let off_curve = [vec![2], vec![0; 31]].concat();
    check("task_start", with(off_curve), observers, Fault::Key(KeyError::NotOnCurve));
    check("task_start", with(vec![0; 32]), observers, Fault::Key(KeyError::SmallOrder));
    check("task_start", with(vec![7; 5]), observers, Fault::Key(KeyError::Length(5)));
    let scope = in_message!(PolicyUpdate => |policy| {
        policy.scope = Some(wire::policy_update::Scope::Agent(vec![0xff; 32]))
    });
    check("policy_update", scope, "policy_update.scope", Fault::Key(KeyError::NonCanonical));
}

#[test]
fn codes_of_a_later_version_are_refused() {
    let done = in_message!(TaskDone => |done| done.outcome = 7);
    check("task_done", done, "task_done.outcome", Fault::UnknownCode(7));
    let done = in_message!(TaskDone => |done| done.outcome = -1);
    check("task_done", done, "task_done.outcome", Fault::UnknownCode(-1));
    let selection = |wire: &mut wire::Envelope| open(wire).selection = 6;
    check("intent.open", selection, "intent.open.selection", Fault::UnknownCode(6));
    let comparison = |wire: &mut wire::Envelope| publish(wire).constraints[2].comparison = 4;
    let path = "advertise_capability.publish.constraints[2].comparison";
    check(PUBLISH, comparison, path, Fault::UnknownCode(4));
}

#[test]
fn names_have_no_control_characters_and_texts_may() {
    for bad in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
        let name = |wire: &mut wire::Envelope| publish(wire).name = bad.into();
        check(PUBLISH, name, "advertise_capability.publish.name", Fault::ControlCharacter);
        let uri = |wire: &mut wire::Envelope| open(wire).inputs[0].uri = bad.into();
        check("intent.open", uri, "intent.open.inputs[0].uri", Fault::ControlCharacter);
        accepts(PUBLISH, |wire| publish(wire).description = bad.into());
    }
}

#[test]
fn an_inline_schema_hashes_to_its_digest() {
    let schema = |wire: &mut wire::Envelope| {
        publish(wire).output_schema.as_mut().expect("a schema").inline.push(' ');
    };
    let path = "advertise_capability.publish.output_schema.inline";
    check(PUBLISH, schema, path, Fault::DigestMismatch);
    // By digest alone there is nothing to compare.
    accepts(PUBLISH, |wire| publish(wire).output_schema.as_mut().expect("a schema").inline.clear());
}

// ------------------------------------------------------------------ limits

#[test]
fn lists_at_their_limit_and_one_beyond() {
    let tags = |count: usize| {
        move |wire: &mut wire::Envelope| publish(wire).tags = vec!["t".into(); count]
    };
    accepts(PUBLISH, tags(MAX_LIST_ITEMS));
    let path = "advertise_capability.publish.tags";
    check(PUBLISH, tags(MAX_LIST_ITEMS + 1), path, too_many(MAX_LIST_ITEMS));
    let values = |wire: &mut wire::Envelope| {
        publish(wire).constraints[1].values = vec!["v".into(); MAX_LIST_ITEMS + 1];
    };
    let path = "advertise_capability.publish.constraints[1].values";
    check(PUBLISH, values, path, too_many(MAX_LIST_ITEMS));
}

#[test]
fn names_uris_and_texts_at_their_limit_and_one_beyond() {
    let name = |length: usize| {
        move |wire: &mut wire::Envelope| publish(wire).category = "n".repeat(length)
    };
    accepts(PUBLISH, name(MAX_NAME_BYTES));
    let path = "advertise_capability.publish.category";
    check(PUBLISH, name(MAX_NAME_BYTES + 1), path, too_long(MAX_NAME_BYTES));

    let uri = |length: usize| {
        move |wire: &mut wire::Envelope| open(wire).inputs[0].uri = "u".repeat(length)
    };
    accepts("intent.open", uri(MAX_URI_BYTES));
    check(
        "intent.open",
        uri(MAX_URI_BYTES + 1),
        "intent.open.inputs[0].uri",
        too_long(MAX_URI_BYTES),
    );

    let text =
        |length: usize| move |wire: &mut wire::Envelope| open(wire).outcome = "t".repeat(length);
    accepts("intent.open", text(MAX_TEXT_BYTES));
    check("intent.open", text(MAX_TEXT_BYTES + 1), "intent.open.outcome", too_long(MAX_TEXT_BYTES));

    let document =
        |length: usize| in_message!(PolicyUpdate => |policy| policy.text = "d".repeat(length));
    accepts("policy_update", document(MAX_DOCUMENT_BYTES));
    check(
        "policy_update",
        document(MAX_DOCUMENT_BYTES + 1),
        "policy_update.text",
        too_long(MAX_DOCUMENT_BYTES),
    );
}

/// Limits count bytes, not characters.
#[test]
fn limits_are_the_same_for_values_made_here() {
    assert!(Name::new("é".repeat(128)).is_ok());
    assert_eq!(Name::new("é".repeat(129)), Err(Fault::TooLong { limit: 256, found: 258 }));
    assert_eq!(Name::new(""), Err(Fault::Missing));
    assert_eq!(Uri::new(""), Err(Fault::Missing));
    assert_eq!(Uri::new("u".repeat(2_049)), Err(Fault::TooLong { limit: 2_048, found: 2_049 }));
    assert!(Text::new("").is_ok());
    assert_eq!(Text::new("t".repeat(8_193)), Err(Fault::TooLong { limit: 8_192, found: 8_193 }));
    let found = 60_001;
    assert_eq!(Document::new("d".repeat(found)), Err(Fault::TooLong { limit: 60_000, found }));
}

#[test]
fn a_payload_at_its_limit_and_one_byte_beyond() {
    let sized = |text: usize| {
        let mut terms = samples::capability();
        terms.output_schema =
            Some(tally_protocol::parts::Schema::inline(&"s".repeat(58_000)).expect("a schema"));
        terms.description = Text::new("t".repeat(text)).expect("a text");
        samples::envelope(Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)))
    };
    let spare = MAX_PAYLOAD_BYTES - sized(5_000).encode().expect("encodes").len();
    let most = sized(5_000 + spare);
    let payload = most.encode().expect("encodes");
    assert_eq!(payload.len(), MAX_PAYLOAD_BYTES);
    assert_eq!(Envelope::decode(&payload), Ok(most));
    let expect = Malformed { path: "payload".into(), fault: too_long(MAX_PAYLOAD_BYTES) };
    assert_eq!(sized(5_001 + spare).encode(), Err(expect.clone()));
    assert_eq!(Envelope::decode(&[payload, vec![0]].concat()), Err(expect));
}

#[test]
fn an_event_at_its_limit_holds_the_longest_payload() {
    assert_eq!(MAX_EVENT_BYTES, 65_535);
    assert_eq!(MAX_PAYLOAD_BYTES, 65_535 - 117);
}

// ------------------------------------------------------------------ what is written

fn check_encode(envelope: Envelope, path: &str, fault: Fault) {
    let expect = Malformed { path: path.into(), fault };
    assert_eq!(envelope.encode(), Err(expect.clone()));
    assert_eq!(envelope.sign(&samples::key(1)), Err(expect));
}

#[test]
fn what_no_one_could_read_is_not_signed() {
    let offer = || samples::sample("offer");
    check_encode(Envelope { previous: None, ..offer() }, "previous", Fault::Previous);
    let first = Envelope { author_sequence: AuthorSequence(0), ..offer() };
    check_encode(first, "previous", Fault::Previous);
    let fault = Fault::Range { least: 0, most: i64::MAX, found: -5 };
    check_encode(Envelope { issued_at_us: Time(-5), ..offer() }, "issued_at_us", fault);
    let causes = vec![samples::id(1); MAX_CAUSES + 1];
    check_encode(Envelope { causes, ..offer() }, "causes", too_many(MAX_CAUSES));
}

/// An optional time of 0 is written as none: whoever signed "until 0" would have signed "for ever".
#[test]
fn what_would_be_read_as_something_else_is_not_signed() {
    let Message::Offer(offer) = samples::sample("offer").message else { panic!("an offer") };
    let offer = Offer { valid_until_us: Some(Time(0)), ..offer };
    check_encode(samples::envelope(Message::Offer(offer)), "message", Fault::ReadBack);
}

#[test]
fn a_fault_reads_as_a_sentence() {
    let error = read("intent.open", |wire| open(wire).inputs[0].digest.truncate(3));
    let text = error.expect_err("is refused").to_string();
    assert_eq!(text, "intent.open.inputs[0].digest must have 32 bytes, has 3");
    let error = read("offer", |wire| wire.causes[1].clear()).expect_err("is refused");
    assert_eq!(error.to_string(), "causes[1] is required");
}
