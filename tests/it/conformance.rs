//! The conformance kit in `tests/conformance`: receipts and bundles, sound and broken, with the
//! verdict that every verifier must come to. The files are made here, from numbers alone; set
//! `TALLY_MAKE_CONFORMANCE` to write them. Three judges must agree on each: the library, the
//! program, and the verifier in Python.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_protocol::{AuthorSequence, ChainHash, Envelope, EnvelopeId, Event, Time};
use tally_provenance::{LeftOut, Subject};
use tally_tests::program::{tally, workspace};
use tally_tests::scribe::Scribe;
use tally_tests::signer::{Signer, message};
use tally_tests::story::{Story, capability, data, origin};
use tally_tlog::{Hash, LogProof, NoteSigner, SignedCheckpoint, SubsetProof, encode_entries};
use tally_verify::evidence::Evidence;
use tally_verify::{Bundle, Omission, Trust, Verdict, verify_bundle};

/// Most bytes of a file, and most files.
const LIMITS: (usize, usize) = (20_000, 130);

/// What `expected.json` says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kit {
    /// The key that a verifier trusts.
    log_key: String,
    /// By file: receipts and bundles.
    files: BTreeMap<String, Expected>,
    /// By file: evidence.
    evidence: BTreeMap<String, Expected>,
    /// By directory: tiles.
    tiles: BTreeMap<String, Expected>,
}

/// The verdict on a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Expected {
    verdict: String,
    /// The event, where one is to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// The check that fails. Receipts have one or two, and any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The envelope that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<EnvelopeId>,
    /// A checkpoint that the verifier kept: a file beside this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

fn home() -> PathBuf {
    workspace().join("tests/conformance")
}

// ------------------------------------------------------------------ making the kit

/// The files, and what is expected of each that is judged.
#[derive(Default)]
struct Maker {
    files: BTreeMap<String, Vec<u8>>,
    expected: BTreeMap<String, Expected>,
    evidence: BTreeMap<String, Expected>,
    tiles: BTreeMap<String, Expected>,
}

fn valid() -> Expected {
    Expected {
        verdict: "valid".into(),
        position: None,
        rule: None,
        envelope: None,
        checkpoint: None,
    }
}

fn invalid(rule: &str, position: Option<u64>) -> Expected {
    Expected { verdict: "invalid".into(), rule: Some(rule.into()), position, ..valid() }
}

fn incomplete(position: Option<u64>, envelope: Option<EnvelopeId>) -> Expected {
    Expected { verdict: "incomplete".into(), position, envelope, ..valid() }
}

impl Maker {
    fn add(&mut self, name: &str, bytes: Vec<u8>, expected: Expected) {
        self.files.insert(name.to_owned(), bytes);
        self.expected.insert(name.to_owned(), expected);
    }

    fn bundle(&mut self, name: &str, bundle: &Bundle, expected: Expected) {
        self.add(&format!("{name}.tally-bundle"), bundle.to_bytes(), expected);
    }

    fn evidence(&mut self, name: &str, json: &str, verdict: &str) {
        let name = format!("{verdict}-{name}.tally-evidence");
        self.files.insert(name.clone(), format!("{json}\n").into_bytes());
        self.evidence.insert(name, Expected { verdict: verdict.into(), ..valid() });
    }

    fn receipt(&mut self, name: &str, text: &str, verdict: Expected) {
        let verdict = Expected { rule: None, ..verdict };
        self.add(&format!("{name}.tlog-proof"), text.as_bytes().to_vec(), verdict);
    }
}

/// One task, from the capability to the receipt; nobody else has a part in it.
fn short() -> Story {
    let mut story = Story::empty();
    story.say("petrel", "skill", capability("sounding"));
    story.say("buyer", "wish", json!({ "intent": { "open": { "outcome": "the depth" } } }));
    story.say("petrel", "bid", story.offer("wish", "skill", 9, None));
    story.say("buyer", "draw", story.start("wish", "bid", json!({ "attempt": 1 })));
    let outputs = json!({ "outcome": "succeeded", "outputs": [data("file:depth.csv")] });
    story.work("petrel", "draw", outputs);
    story
}

/// The kit, the same each time.
fn kit() -> (Kit, BTreeMap<String, Vec<u8>>) {
    let mut maker = Maker::default();
    sound(&mut maker);
    changed(&mut maker);
    spelt(&mut maker);
    holes(&mut maker);
    forged(&mut maker);
    refused(&mut maker);
    receipts(&mut maker);
    contradictions(&mut maker);
    tiles(&mut maker);
    let log_key = Scribe::new(&origin()).log_key().to_string();
    let Maker { files, expected, evidence, tiles } = maker;
    (Kit { log_key, files: expected, evidence, tiles }, files)
}

/// The checkpoint and the tiles of a short log: by path.
type Tiles = BTreeMap<String, Vec<u8>>;

fn tiles_of(scribe: &Scribe) -> Tiles {
    let entries: Vec<&[u8]> = scribe.events().iter().map(|event| &event.bytes()[..]).collect();
    let size = entries.len();
    let leaves = scribe.events().iter().flat_map(|event| event.leaf().into_bytes());
    BTreeMap::from([
        ("checkpoint".to_owned(), scribe.checkpoint().to_bytes()),
        (format!("tile/0/000.p/{size}"), leaves.collect()),
        (format!("tile/entries/000.p/{size}"), encode_entries(&entries).expect("few and short")),
    ])
}

fn tiles(maker: &mut Maker) {
    let (story, scribe, _) = honest();
    let size = scribe.events().len();
    let (hashes, bundle) = (format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}"));
    let honest = tiles_of(&scribe);
    let mut add = |name: &str, tiles: &Tiles, expected: Expected| {
        let name = format!("tiles/{name}");
        for (path, bytes) in tiles {
            maker.files.insert(format!("{name}/{path}"), bytes.clone());
        }
        maker.tiles.insert(name, expected);
    };
    add("valid", &honest, valid());
    let with = |path: &str, bytes: Vec<u8>| {
        let mut changed = honest.clone();
        changed.insert(path.to_owned(), bytes);
        changed
    };
    let without = |path: &str| {
        let mut changed = honest.clone();
        changed.remove(path);
        changed
    };
    add("invalid-no-entries", &without(&bundle), invalid("tile", Some(0)));
    add("invalid-no-hashes", &without(&hashes), invalid("tile", Some(0)));
    let mut flipped = honest[&hashes].clone();
    flipped[40] ^= 1;
    add("invalid-hash", &with(&hashes, flipped), invalid("tile", Some(0)));
    let short = honest[&hashes][..32 * (size - 1)].to_vec();
    add("invalid-hashes-cut", &with(&hashes, short), invalid("tile", Some(0)));
    let entries = |events: &[Event]| {
        let bytes: Vec<&[u8]> = events.iter().map(|event| &event.bytes()[..]).collect();
        encode_entries(&bytes).expect("few and short")
    };
    let fewer = entries(&scribe.events()[..size - 1]);
    add("invalid-entry-left-out", &with(&bundle, fewer), invalid("tile", Some(0)));
    let mut swapped = scribe.events().to_vec();
    swapped.swap(2, 3);
    add("invalid-entries-swapped", &with(&bundle, entries(&swapped)), invalid("position", Some(2)));
    let cut = honest[&bundle][..honest[&bundle].len() - 1].to_vec();
    add("invalid-entries-cut", &with(&bundle, cut), invalid("tile", Some(0)));
    let mut unsigned = Scribe::of(&origin(), &story.said[..4]);
    let mut signed = story.said[4].clone();
    signed.signature[9] ^= 1;
    unsigned.record(&signed);
    add("invalid-signature", &tiles_of(&unsigned), invalid("signature", Some(4)));
    let mut admitted = story.clone();
    admitted.say("stranger", "lie", story.done("draw", json!({ "outcome": "failed" })));
    let admitted = Scribe::of(&origin(), &admitted.said);
    let last = admitted.events().len() as u64 - 1;
    add("invalid-rule", &tiles_of(&admitted), invalid("R7.executor", Some(last)));
    let signer = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let foreign = scribe.checkpoint_signed_by(size as u64, &signer).to_bytes();
    let expected = invalid("checkpoint", Some(size as u64 - 1));
    add("invalid-key", &with("checkpoint", foreign), expected);
}

/// Evidence against the ledger, and against an author.
fn contradictions(maker: &mut Maker) {
    let (story, scribe, _) = honest();
    let mut other = Story::empty();
    other.say("stranger", "other", json!({ "intent": { "open": { "outcome": "other" } } }));
    other.said.extend(story.said.iter().skip(1).cloned());
    let other = Scribe::of(&origin(), &other.said);
    let root = |scribe: &Scribe| scribe.checkpoint_at(4).unverified().root;
    let fork = |older: &SignedCheckpoint, of: &Scribe, prefix: Hash| {
        Evidence::fork(older, &of.checkpoint(), prefix, Some(&of.older(4).proof)).to_json()
    };
    let (four, same) = (scribe.checkpoint_at(4), other.checkpoint_at(4));
    maker.evidence(
        "fork-of-one-size",
        &Evidence::fork(&four, &same, root(&other), None).to_json(),
        "valid",
    );
    maker.evidence("fork", &fork(&four, &other, root(&other)), "valid");
    maker.evidence("fork-of-agreeing-trees", &fork(&four, &scribe, root(&scribe)), "invalid");
    maker.evidence("fork-with-a-wrong-prefix", &fork(&four, &other, Hash::new([7; 32])), "invalid");
    let signer = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let foreign = scribe.checkpoint_signed_by(4, &signer);
    maker.evidence("fork-signed-by-another", &fork(&foreign, &other, root(&other)), "invalid");

    let (one, two) = (scribe.receipt(0), other.receipt(0));
    maker.evidence("two-events", &Evidence::two_events(&one, &two).to_json(), "valid");
    maker.evidence("two-events-of-one", &Evidence::two_events(&one, &one).to_json(), "invalid");
    let apart = Evidence::two_events(&scribe.receipt(1), &two).to_json();
    maker.evidence("two-events-apart", &apart, "invalid");

    let open = |outcome: &str| message(json!({ "intent": { "open": { "outcome": outcome } } }));
    let mut author = Signer::new(9, &origin());
    let other = author.try_out(open("one thing"));
    let first = author.say(open("another"));
    let twice = |one, other| Evidence::equivocation(&origin(), one, other).to_json();
    let honest = twice(&first, &other);
    maker.evidence("equivocation", &honest, "valid");
    maker.evidence("equivocation-of-one", &twice(&first, &first), "invalid");
    let next = author.say(open("the next"));
    maker.evidence("equivocation-in-order", &twice(&first, &next), "invalid");
    let mut unsigned = other.clone();
    unsigned.signature[9] ^= 1;
    maker.evidence("equivocation-unsigned", &twice(&first, &unsigned), "invalid");
    let elsewhere = honest.replacen(origin().as_str(), "example.org/elsewhere", 1);
    maker.evidence("equivocation-elsewhere", &elsewhere, "invalid");
}

fn sound(maker: &mut Maker) {
    let story = Story::new();
    let scribe = Scribe::of(&origin(), &story.said);
    maker.bundle("valid-task", &scribe.whole_bundle(story.task()), valid());
    maker.bundle("valid-data", &scribe.whole_bundle(story.chart()), valid());

    let (story, scribe, honest) = honest();
    maker.bundle("valid-short", &honest, valid());
    maker.files.insert("kept-4.checkpoint".into(), scribe.checkpoint_at(4).to_bytes());
    let kept = |expected| Expected { checkpoint: Some("kept-4.checkpoint".into()), ..expected };
    let mut older = honest.clone();
    older.older = Some(scribe.older(4));
    maker.bundle("valid-older", &older, kept(valid()));
    maker.bundle("incomplete-kept-not-linked", &honest, kept(incomplete(None, None)));
    let mut other = Story::empty();
    other.say("stranger", "other", json!({ "intent": { "open": { "outcome": "other" } } }));
    other.said.extend(story.said.iter().skip(1).cloned());
    let other = Scribe::of(&origin(), &other.said);
    older.older = Some(other.older(4));
    maker.bundle("invalid-older-of-other-history", &older, invalid("tree", None));
    maker.files.insert("other-4.checkpoint".into(), other.checkpoint_at(4).to_bytes());
    older.older = Some(scribe.older(4));
    let kept = Expected { checkpoint: Some("other-4.checkpoint".into()), ..invalid("tree", None) };
    maker.bundle("invalid-kept-of-other-history", &older, kept);

    rotated(maker);
}

/// The provider's key changes hands in the middle of the task, and the new one goes on.
fn rotated(maker: &mut Maker) {
    let mut story = short();
    story.said.truncate(4);
    // The provider has made its capability and its offer.
    let mut provider = Signer::new(1, &origin());
    provider.say(message(capability("sounding")));
    provider.say(message(story.offer("wish", "skill", 9, None)));
    let successor = Signer::new(9, &origin());
    let rotation = json!({ "attest": { "rotate_key": { "successor": successor.agent() } } });
    let rotation = provider.say(message(rotation));
    let mut consent = successor.envelope(message(story.progress("draw", "accepted", 0)));
    consent.causes = vec![rotation.id()];
    story.said.extend([rotation, successor.sign(&consent)]);
    let mut scribe = Scribe::of(&origin(), &story.said);
    maker.bundle("valid-rotated-key", &scribe.whole_bundle(story.task()), valid());
    scribe.record(&provider.say(message(story.progress("draw", "running", 1))));
    let bundle = scribe.whole_bundle(story.task());
    maker.bundle("invalid-rotated-key-signs", &bundle, invalid("R9.key-live", Some(6)));
}

fn honest() -> (Story, Scribe, Bundle) {
    let story = short();
    let scribe = Scribe::of(&origin(), &story.said);
    let bundle = scribe.whole_bundle(story.task());
    (story, scribe, bundle)
}

/// By somebody who can't sign for the log.
fn changed(maker: &mut Maker) {
    let (_, scribe, honest) = honest();
    let mut change = |name: &str, rule: &str, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = honest.clone();
        change(&mut bundle);
        maker.bundle(name, &bundle, invalid(rule, None));
    };
    change("invalid-dropped-event", "tree", &|bundle| drop(bundle.events.remove(3)));
    change("invalid-changed-event", "tree", &|bundle| {
        let mut bytes = bundle.events[3].bytes().to_vec();
        *bytes.last_mut().expect("bytes") ^= 1;
        bundle.events[3] = Event::decode(bytes.into()).expect("an event");
    });
    change("invalid-swapped-events", "format", &|bundle| bundle.events.swap(2, 3));
    change("invalid-doubled-event", "format", &|bundle| {
        bundle.events.insert(3, bundle.events[2].clone());
    });
    change("invalid-node-too-many", "tree", &|bundle| {
        bundle.nodes = SubsetProof::new(vec![Hash::new([7; 32])]);
    });
    change("invalid-checkpoint-of-other-key", "checkpoint", &|bundle| {
        let other = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
        bundle.checkpoint = scribe.checkpoint_signed_by(7, &other);
    });
    change("invalid-checkpoint-of-other-size", "tree", &|bundle| {
        bundle.checkpoint = scribe.checkpoint_at(6);
    });
    change("invalid-checkpoint-changed", "checkpoint", &|bundle| {
        let text = bundle.checkpoint.note().to_string().replace("\n7\n", "\n8\n");
        bundle.checkpoint =
            tally_tlog::SignedCheckpoint::parse(text.as_bytes()).expect("a checkpoint");
    });
    change("invalid-origin", "origin", &|bundle| {
        bundle.origin = "example.org/other".parse().expect("an origin");
    });
    let (story, scribe, _) = self::honest();
    let some = scribe.bundle(story.task(), [0, 1, 2, 3]);
    maker.bundle("valid-part", &some, valid());
    let mut nodes = some.clone();
    nodes.nodes = SubsetProof::new(Vec::new());
    maker.bundle("invalid-node-too-few", &nodes, invalid("tree", None));
    nodes.nodes =
        SubsetProof::new(some.nodes.hashes().iter().map(|_| Hash::new([7; 32])).collect());
    maker.bundle("invalid-node-forged", &nodes, invalid("tree", None));
}

/// In other words, of which there are none.
fn spelt(maker: &mut Maker) {
    let text = String::from_utf8(honest().2.to_bytes()).expect("UTF-8");
    let changes = [
        ("unknown-member", "\"omitted\":[]", "\"omitted\":[],\n\"more\":1"),
        ("doubled-member", "\"omitted\":[]", "\"omitted\":[],\n\"omitted\":[]"),
        ("null-member", "\"omitted\":[]", "\"older\":null,\n\"omitted\":[]"),
        ("space", "\"omitted\":[]", "\"omitted\": []"),
        ("other-version", "tally-bundle-v1", "tally-bundle-v2"),
        ("loose-base64", "\"AQ", "\"A\\nQ"),
        ("escaped", "\"origin\":\"example", "\"origin\":\"\\u0065xample"),
        ("upper-hex", "{\"task\":\"", "{\"task\":\"A"),
        ("no-end", "[]}\n", "[]}"),
    ];
    for (name, from, to) in changes {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{name}");
        let name = format!("invalid-spelling-{name}.tally-bundle");
        maker.add(&name, other.into_bytes(), invalid("format", None));
    }
    let cut = text.as_bytes()[..text.len() / 2].to_vec();
    maker.add("invalid-cut.tally-bundle", cut, invalid("format", None));
}

/// By somebody who leaves out what is needed, and proves the rest honestly.
fn holes(maker: &mut Maker) {
    let (story, scribe, honest) = honest();
    for (hole, by) in [("skill", 2), ("wish", 2), ("bid", 3), ("draw", 4)] {
        let at = story.position(hole);
        let bundle = scribe.bundle(story.task(), (0..7).filter(|position| *position != at));
        let expected = incomplete(Some(by), Some(story.id(hole)));
        maker.bundle(&format!("incomplete-without-{hole}"), &bundle, expected);
    }
    let mut other = honest;
    other.subject = Subject::Task(story.id("bid"));
    maker.bundle("incomplete-subject", &other, incomplete(None, None));
    let bundle = scribe.bundle(story.task(), [0, 1, 2, 3, 5, 6]);
    maker.bundle("invalid-without-accepted", &bundle, invalid("R18.transition", Some(5)));

    let story = Story::new();
    let scribe = Scribe::of(&origin(), &story.said);
    let closure = scribe.closure(&story.task(), Some(0));
    let positions: Vec<u64> = closure.positions.iter().map(|position| position.0).collect();
    let mut declared = scribe.bundle(story.task(), positions);
    let why = || "before the subject".to_owned();
    let omission = |what: LeftOut| Omission { what, why: why() };
    declared.omitted = closure.left_out.into_iter().map(omission).collect();
    maker.bundle("incomplete-declared", &declared, incomplete(None, None));
    declared.omitted.retain(|omission| matches!(omission.what, LeftOut::Data(_)));
    let expected = incomplete(Some(story.position("draw")), Some(story.id("again")));
    maker.bundle("incomplete-not-declared", &declared, expected);
}

/// By an operator who holds the log key and forges the last event.
fn forged(maker: &mut Maker) {
    let mut forge = |name: &str, rule: &str, record: &dyn Fn(&mut Scribe, &mut Story)| {
        let mut story = short();
        let mut scribe = Scribe::of(&origin(), &story.said);
        record(&mut scribe, &mut story);
        let all = 0..scribe.events().len() as u64;
        let bundle = scribe.bundle(story.task(), all);
        maker.bundle(&format!("invalid-{name}"), &bundle, invalid(rule, Some(7)));
    };
    let ask = |story: &Story| json!({ "observe": { "task_status": story.id("draw") } });
    let envelope = |change: fn(&mut Envelope)| {
        move |scribe: &mut Scribe, story: &mut Story| {
            let said = ask(story);
            let signed = story.forged("buyer", said, change);
            scribe.record(&signed);
        }
    };
    forge("time", "time", &|scribe, story| {
        let (said, before) = (ask(story), Time(scribe.now().0 - 1));
        let signed = story.forged("buyer", said, |_| {});
        scribe.record_at(&signed, before);
    });
    forge("chain", "chain", &|scribe, story| {
        let (said, now) = (ask(story), scribe.now());
        let signed = story.forged("buyer", said, |_| {});
        scribe.record_after(&signed, now, ChainHash([7; 32]));
    });
    forge("signature", "signature", &|scribe, story| {
        let said = ask(story);
        let mut signed = story.forged("buyer", said, |_| {});
        signed.signature[7] ^= 1;
        scribe.record(&signed);
    });
    forge("encoding", "envelope", &|scribe, story| {
        let said = ask(story);
        let mut signed = story.forged("buyer", said, |_| {});
        signed.payload = [&signed.payload[..], &[0x78, 1]].concat().into();
        scribe.record(&signed);
    });
    forge("twice", "position", &|scribe, story| {
        scribe.record(&story.said[2]);
    });
    forge(
        "other-ledger",
        "R13.origin",
        &envelope(|envelope| {
            envelope.origin = "example.org/other".parse().expect("an origin");
        }),
    );
    forge(
        "equivocation",
        "R13.equivocation",
        &envelope(|envelope| {
            envelope.author_sequence = AuthorSequence(1);
        }),
    );
    forge(
        "previous",
        "R13.author-previous",
        &envelope(|envelope| {
            envelope.previous = Some(EnvelopeId([7; 32]));
        }),
    );
}

/// By an operator who takes in what the rules refuse.
fn refused(maker: &mut Maker) {
    let mut refuse = |name: &str, rule: &str, said: &[(&'static str, Value)]| {
        let mut story = short();
        for (who, said) in said {
            story.say(who, "crime", said.clone());
        }
        let scribe = Scribe::of(&origin(), &story.said);
        let all = 0..scribe.events().len() as u64;
        let last = scribe.events().len() as u64 - 1;
        let bundle = scribe.bundle(story.task(), all);
        maker.bundle(&format!("invalid-rule-{name}"), &bundle, invalid(rule, Some(last)));
    };
    let story = short();
    let open = |outcome: &str| json!({ "intent": { "open": { "outcome": outcome } } });
    let done = |outcome: &str| story.done("draw", json!({ "outcome": outcome }));
    let start =
        |intent: &str, attempt: u32| story.start(intent, "bid", json!({ "attempt": attempt }));
    let policy = |version: u64, action: &str| {
        let scope = json!({ "agent": story.agent("buyer") });
        json!({ "policy_update": { "scope": scope, "name": "care", "policy_version": version,
            "action": action, "text": "for people" } })
    };
    let offer = json!({ "offer": story.id("bid") });
    refuse("terminal", "R18.terminal", &[("petrel", story.progress("draw", "running", 60))]);
    refuse("executor", "R7.executor", &[("stranger", done("failed"))]);
    refuse("late", "R18.late-terminal", &[("petrel", done("failed")), ("petrel", done("failed"))]);
    refuse("abandon", "R18.abandon-initiator", &[("petrel", done("abandoned"))]);
    refuse("closed", "R12.intent-open", &[("petrel", story.offer("wish", "skill", 1, None))]);
    refuse(
        "author",
        "R3.author",
        &[("stranger", json!({ "intent": { "cancel": { "intent": story.id("wish") } } }))],
    );
    refuse("initiator", "R6.initiator", &[("stranger", start("wish", 1))]);
    refuse(
        "provider",
        "R5.provider",
        &[("stranger", json!({ "negotiate": { "withdraw": offer } }))],
    );
    refuse("live", "R12.offer-live", &[("petrel", json!({ "negotiate": { "withdraw": offer } }))]);
    refuse(
        "party",
        "R5.task-party",
        &[(
            "stranger",
            json!({ "negotiate": { "request_cancellation": { "task": story.id("draw") } } }),
        )],
    );
    refuse(
        "kind",
        "R13.reference-kind",
        &[("buyer", json!({ "observe": { "task_status": story.id("wish") } }))],
    );
    refuse(
        "owner",
        "R1.owner",
        &[(
            "stranger",
            json!({ "advertise_capability": { "retire": { "capability": story.id("skill") } } }),
        )],
    );
    refuse(
        "name",
        "R1.name",
        &[(
            "petrel",
            json!({ "advertise_capability": { "publish": { "name": "sounding", "category": "x" } } }),
        )],
    );
    refuse(
        "past",
        "R20.future",
        &[("buyer", json!({ "intent": { "open": { "outcome": "too late", "deadline_us": 1 } } }))],
    );
    refuse("policy-owner", "R10.owner", &[("stranger", policy(1, "activate"))]);
    refuse(
        "policy-version",
        "R10.version",
        &[("buyer", policy(2, "activate")), ("buyer", policy(2, "amend"))],
    );
    refuse("policy-action", "R10.action", &[("buyer", policy(1, "amend"))]);
    refuse(
        "delegate",
        "R9.delegate",
        &[("buyer", json!({ "attest": { "delegate": { "delegate": story.agent("buyer") } } }))],
    );
    refuse(
        "key",
        "R9.key-live",
        &[("buyer", json!({ "attest": { "revoke_key": {} } })), ("buyer", open("more"))],
    );
}

fn receipts(maker: &mut Maker) {
    let (story, scribe, _) = honest();
    let text = scribe.receipt(3).to_string();
    maker.receipt("valid", &text, valid());
    maker.receipt("invalid-index", &text.replace("index 3", "index 2"), invalid("tree", None));
    let cut = text.replacen("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", 1);
    maker.receipt("invalid-header", &cut, invalid("format", None));
    let other = scribe.receipt(4);
    let proof = |extra: Option<Vec<u8>>| {
        let honest = scribe.receipt(3);
        let (path, checkpoint) = (honest.inclusion_proof().clone(), honest.checkpoint().clone());
        LogProof::new(extra, honest.index(), path, checkpoint).expect("a receipt").to_string()
    };
    let extra = other.unauthenticated_extra().map(<[u8]>::to_vec);
    maker.receipt("invalid-event", &proof(extra), invalid("tree", None));
    maker.receipt("incomplete-no-event", &proof(None), incomplete(None, None));
    let signer = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    let honest = scribe.receipt(3);
    let foreign = LogProof::new(
        honest.unauthenticated_extra().map(<[u8]>::to_vec),
        honest.index(),
        honest.inclusion_proof().clone(),
        scribe.checkpoint_signed_by(7, &signer),
    );
    let foreign = foreign.expect("a receipt").to_string();
    maker.receipt("invalid-key", &foreign, invalid("checkpoint", None));
    let mut scribe = Scribe::of(&origin(), &story.said[..3]);
    let mut signed = story.said[3].clone();
    signed.signature[7] ^= 1;
    scribe.record(&signed);
    let text = scribe.receipt(3).to_string();
    maker.receipt("invalid-signature", &text, invalid("signature", None));
}

// ------------------------------------------------------------------ the judges

fn read_kit() -> Kit {
    let text = std::fs::read(home().join("expected.json")).expect("the kit");
    serde_json::from_slice(&text).expect("what is expected")
}

#[test]
fn the_kit_is_what_is_made_here() {
    let (kit, files) = kit();
    let mut text = serde_json::to_string_pretty(&kit).expect("JSON");
    text.push('\n');
    if std::env::var_os("TALLY_MAKE_CONFORMANCE").is_some() {
        for (name, bytes) in &files {
            let path = home().join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            std::fs::write(path, bytes).expect("written");
        }
        std::fs::write(home().join("expected.json"), &text).expect("written");
    }
    assert_eq!(std::fs::read_to_string(home().join("expected.json")).expect("the kit"), text);
    for (name, bytes) in &files {
        assert!(bytes.len() <= LIMITS.0, "{name} has {} bytes", bytes.len());
        assert_eq!(&std::fs::read(home().join(name)).expect("a file"), bytes, "{name}");
    }
    assert!(files.len() <= LIMITS.1, "{} files", files.len());
    let there = std::fs::read_dir(home()).expect("the kit").count();
    let on_top = files.keys().filter(|name| !name.contains('/')).count();
    assert_eq!(there, on_top + 3, "files, tiles, expected.json and README.md");
}

#[test]
fn the_library_judges_every_bundle_as_expected() {
    let kit = read_kit();
    let key = kit.log_key.parse().expect("a key");
    let trust = Trust { origin: origin(), keys: vec![key], earlier: Vec::new() };
    for (name, expected) in kit.files.iter().filter(|(name, _)| name.ends_with(".tally-bundle")) {
        let kept = expected.checkpoint.iter().map(|kept| {
            let note = std::fs::read(home().join(kept)).expect("a checkpoint");
            let signed = tally_tlog::SignedCheckpoint::parse(&note).expect("a checkpoint");
            signed.unverified().clone()
        });
        let trust = Trust { earlier: kept.collect(), ..trust.clone() };
        let bytes = std::fs::read(home().join(name)).expect("a file");
        let report = verify_bundle(&bytes, &trust, |_| {});
        let (bad, missing) = (report.first_bad.as_ref(), report.missing.first());
        let declared = missing.is_some_and(|missing| missing.declared);
        let position = bad.map(|bad| bad.position).or(missing.map(|missing| missing.position));
        let found = Expected {
            verdict: report.verdict.name().into(),
            position: position.flatten().map(|position| position.0),
            rule: bad.map(|bad| bad.rule.clone()),
            envelope: missing.filter(|_| !declared).and_then(|missing| missing.envelope),
            checkpoint: expected.checkpoint.clone(),
        };
        assert_eq!(found, *expected, "{name}: {}", report.summary);
        assert_eq!(
            report.verdict == Verdict::Valid,
            report.covers.len() > 1 && bad.is_none() && missing.is_none(),
            "{name}"
        );
    }
}

/// What a verifier printed as JSON, against what is expected.
fn hold_to(name: &str, expected: &Expected, answer: &Value, code: i32) {
    assert_eq!(answer["verdict"], expected.verdict.as_str(), "{name}: {answer}");
    assert_eq!(code, i32::from(expected.verdict != "valid"), "{name}");
    if !name.ends_with(".tally-bundle") {
        return;
    }
    // The program has a fault or a list of what is missing; the small verifier one flat answer.
    let fault = match (&answer["first_bad"], &answer["missing"][0]) {
        (Value::Object(_), _) => &answer["first_bad"],
        (_, missing @ Value::Object(_)) => missing,
        _ => answer,
    };
    assert_eq!(fault["position"].as_u64(), expected.position, "{name}: {answer}");
    assert_eq!(fault["rule"].as_str(), expected.rule.as_deref(), "{name}: {answer}");
    if let Some(envelope) = expected.envelope {
        assert_eq!(fault["envelope"], envelope.to_string(), "{name}: {answer}");
    }
}

fn arguments(kit: &Kit, name: &str, expected: &Expected) -> Vec<String> {
    let path = |name: &str| home().join(name).to_str().expect("UTF-8").to_owned();
    let mut args = vec!["--json".into(), path(name), "--log-key".into(), kit.log_key.clone()];
    if let Some(kept) = &expected.checkpoint {
        args.extend(["--checkpoint".into(), path(kept)]);
    }
    args
}

#[test]
fn the_program_judges_every_file_as_expected() {
    let kit = read_kit();
    for (name, expected) in &kit.files {
        let args = arguments(&kit, name, expected);
        let answer = tally(std::iter::once("verify".to_owned()).chain(args));
        hold_to(name, expected, &answer.json(), answer.code());
    }
    for (name, expected) in &kit.evidence {
        let args = arguments(&kit, name, expected);
        let answer = tally(std::iter::once("verify".to_owned()).chain(args));
        hold_to(name, expected, &answer.json(), answer.code());
    }
}

#[test]
fn the_program_judges_tiles_as_expected() {
    let kit = read_kit();
    for (name, expected) in &kit.tiles {
        let answer =
            tally(std::iter::once("verify".to_owned()).chain(arguments(&kit, name, expected)));
        let report = answer.json();
        assert_eq!(report["verdict"], expected.verdict.as_str(), "{name}: {report}");
        assert_eq!(answer.code(), i32::from(expected.verdict != "valid"), "{name}");
        let bad = &report["first_bad"];
        assert_eq!(bad["position"].as_u64(), expected.position, "{name}: {report}");
        assert_eq!(bad["rule"].as_str(), expected.rule.as_deref(), "{name}: {report}");
    }
}

/// A document that says more than it may, or is of another version, is no evidence at all.
#[test]
fn evidence_is_read_strictly() {
    let kit = read_kit();
    let valid = kit.evidence.keys().filter(|name| name.starts_with("valid"));
    for name in valid {
        let text = std::fs::read_to_string(home().join(name)).expect("a file");
        assert!(Evidence::parse(text.as_bytes()).is_ok(), "{name}");
        let version = text.replacen("tally-evidence-v1", "tally-evidence-v2", 1);
        let more = text.replacen("\"origin\"", "\"more\":1,\"origin\"", 1);
        let inner = text.replacen("\"kind\"", "\"more\":1,\"kind\"", 1);
        for changed in [version, more, inner] {
            assert_ne!(changed, text);
            assert!(Evidence::parse(changed.as_bytes()).is_err(), "{name}: {changed}");
        }
    }
}

#[test]
fn the_second_verifier_judges_every_file_as_expected() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(python) = python(directory.path()) else {
        assert!(std::env::var_os("CI").is_none(), "no Python with `cryptography` can be had");
        println!("skipped: no Python with `cryptography` can be had");
        return;
    };
    let kit = read_kit();
    for (name, expected) in &kit.files {
        let mut command = Command::new(&python);
        command.arg(workspace().join("tools/verifier/tally_verify.py"));
        let answer = command.args(arguments(&kit, name, expected)).output().expect("it runs");
        let text = String::from_utf8(answer.stdout).expect("UTF-8");
        let complaint = String::from_utf8_lossy(&answer.stderr);
        let said = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: {complaint}"));
        hold_to(name, expected, &said, answer.status.code().expect("no signal"));
    }
}

/// A Python that has the one library; a place of its own is made for it where there is none.
fn python(room: &std::path::Path) -> Option<PathBuf> {
    let has = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import cryptography"]).output();
        asked.is_ok_and(|answer| answer.status.success())
    };
    let system = PathBuf::from("python3");
    if has(&system) {
        return Some(system);
    }
    let made = Command::new(&system).args(["-m", "venv"]).arg(room.join("venv")).output();
    made.ok().filter(|made| made.status.success())?;
    let own = room.join("venv/bin/python");
    let install = ["-m", "pip", "install", "--quiet", "cryptography"];
    Command::new(&own).args(install).output().ok()?;
    has(&own).then_some(own)
}
